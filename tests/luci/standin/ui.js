'use strict';
'require baseclass';
'require dom';
'require rpc';
'require validation';

/* Widgets, dialogs and notices. A wrong widget has the class cbi-input-invalid and says why in its tooltip. */

/* Has the value of a field looked at when it changes, and says what came of it to whoever holds the field. What is not on the page is not looked at. */
function addValidator(field, options, events) {
	const validate = () => {
		if (!document.body.contains(field) && !field.closest('[data-field]'))
			return;

		/* A box has no value. */
		const text = field.value == null || field.type == 'checkbox' ? '' : String(field.value);

		field.classList.remove('cbi-input-invalid');

		const wrong = validation.problem(options.datatype, text, options.optional !== false, options.validate);

		field.classList.toggle('cbi-input-invalid', wrong != null);
		if (wrong == null)
			field.removeAttribute('data-tooltip');
		else
			field.setAttribute('data-tooltip', wrong);

		field.dispatchEvent(new CustomEvent('validation', { bubbles: true, detail: wrong }));
	};

	events.forEach(event => field.addEventListener(event, validate));
	return validate;
}

const Element = baseclass.extend({
	/* What holds the field, and the field whose value is looked at. */
	setUp: function(node, field, options, events, change) {
		this.node = node;
		this.field = field;
		this.options = options;
		this.is_valid = true;
		dom.bindClassInstance(node, this);
		this.look = addValidator(field, options, events || [ 'keyup', 'blur' ]);
		node.addEventListener('validation', event => {
			this.is_valid = event.detail == null;
			this.problem = event.detail;
		});
		field.addEventListener(change || 'change', () => node.dispatchEvent(new CustomEvent('widget-change', { bubbles: true })));

		return node;
	},

	triggerValidation: function() {
		const was_valid = this.is_valid;

		this.look();
		return was_valid != this.is_valid;
	},

	isValid: function() {
		return this.is_valid;
	},

	getValidationError: function() {
		return this.problem || '';
	},

	getValue: function() {
		return this.field.value;
	},

	setValue: function(value) {
		this.field.value = value == null ? '' : value;
	}
});

const Textfield = Element.extend({
	__init__: function(value, options) {
		const field = E('input', {
			'type': options.password ? 'password' : 'text', 'class': 'cbi-input-text', 'placeholder': options.placeholder, 'value': value, 'list': options.choices ? options.id + '.list' : null
		});
		const choices = Object.keys(options.choices || {}).map(one => E('option', { 'value': one }, [ options.choices[one] ]));

		this.setUp(E('div', { 'id': options.id }, [ field ].concat(options.choices ? [ E('datalist', { 'id': options.id + '.list' }, choices) ] : [])), field, options);
	}
});

const Select = Element.extend({
	__init__: function(value, choices, options) {
		const field = E('select', { 'class': 'cbi-input-select' }, Object.keys(choices).map(one => E('option', { 'value': one }, [ choices[one] ])));

		field.value = value;
		this.setUp(E('div', { 'id': options.id }, [ field ]), field, options, [ 'change', 'click', 'blur' ]);
	}
});

const Checkbox = Element.extend({
	__init__: function(value, options) {
		const field = E('input', { 'type': 'checkbox', 'class': 'cbi-input-checkbox', 'checked': value == options.value_enabled ? '' : null });

		this.setUp(E('div', { 'id': options.id, 'class': 'cbi-checkbox' }, [ field ]), field, options, [ 'click', 'blur' ]);
	},

	getValue: function() {
		return this.field.checked ? this.options.value_enabled : this.options.value_disabled;
	},

	setValue: function(value) {
		this.field.checked = value == this.options.value_enabled;
	}
});

/* Several of some words; the whole has no text that a validator would be given. */
const Dropdown = Element.extend({
	__init__: function(values, choices, options) {
		const node = E('div', { 'id': options.id, 'class': 'cbi-dropdown' }, Object.keys(choices).map(one => E('label', { 'style': 'display:block' }, [
			E('input', { 'type': 'checkbox', 'value': one, 'checked': L.toArray(values).includes(one) ? '' : null }), ' ', choices[one]
		])));

		this.setUp(node, node, options, [ 'change' ]);
	},

	getValue: function() {
		return Array.from(this.node.querySelectorAll('input:checked'), one => one.value);
	},

	setValue: function(values) {
		this.node.querySelectorAll('input').forEach(one => { one.checked = L.toArray(values).includes(one.value); });
	}
});

/* Items, and a field for one more. Both are validated: the field when somebody types, and the whole, which has no value of its own, with a change of
   the items and when the form asks. What came last counts. */
const DynamicList = Element.extend({
	__init__: function(values, choices, options) {
		const settings = Object.assign({}, options, { optional: true });

		this.input = E('input', { 'type': 'text', 'class': 'cbi-input-text', 'placeholder': options.placeholder });
		addValidator(this.input, settings, [ 'blur', 'keyup' ]);

		const adder = E('div', { 'class': 'add-item' }, [ this.input, E('div', { 'class': 'btn cbi-button cbi-button-add', 'click': () => {
			if (this.input.value.length && !this.input.classList.contains('cbi-input-invalid')) {
				this.addItem(this.input.value);
				this.input.value = '';
			}
		} }, [ '+' ]) ]);
		const node = E('div', { 'id': options.id, 'class': 'cbi-dynlist' }, [ adder ]);

		this.setUp(node, node, settings, [ 'cbi-dynlist-change' ], 'cbi-dynlist-change');
		L.toArray(values).forEach(value => this.addItem(value));
	},

	tell: function() {
		this.node.dispatchEvent(new CustomEvent('cbi-dynlist-change', { bubbles: true }));
	},

	addItem: function(value) {
		const item = E('div', { 'class': 'item', 'data-value': value, 'click': () => {
			item.remove();
			this.tell();
		} }, [ value ]);

		if (!this.items().includes(value))
			this.node.insertBefore(item, this.node.lastChild);

		this.tell();
	},

	items: function() {
		return Array.from(this.node.querySelectorAll('.item'), item => item.getAttribute('data-value'));
	},

	getValue: function() {
		const all = this.items();
		const more = this.input.value;

		return /\S/.test(more) && !this.input.classList.contains('cbi-input-invalid') && !all.includes(more) ? all.concat(more) : all;
	},

	setValue: function(values) {
		this.node.querySelectorAll('.item').forEach(item => item.remove());
		L.toArray(values).forEach(value => this.addItem(value));
	}
});

const callApply = rpc.declare({ object: 'uci', method: 'apply', params: [ 'timeout', 'rollback' ], reject: true });
const callConfirm = rpc.declare({ object: 'uci', method: 'confirm', reject: true });

return baseclass.extend({
	Textfield: Textfield, Combobox: Textfield, Select: Select, Checkbox: Checkbox, Dropdown: Dropdown, DynamicList: DynamicList,

	/* A listener that spins until what it does is done; a name is looked up now, not later. */
	createHandlerFn: function(that, method, ...values) {
		const handler = typeof(method) == 'string' ? that[method] : method;

		if (typeof(handler) != 'function')
			return null;

		return ev => {
			const target = ev.currentTarget;

			ev.preventDefault();
			target.classList.add('spinning');
			target.disabled = true;
			return Promise.resolve(handler.call(that, ...values, ev)).finally(() => {
				target.classList.remove('spinning');
				target.disabled = false;
			});
		};
	},

	showModal: function(title, children) {
		const place = document.getElementById('modal_overlay');

		dom.content(place.firstElementChild, E('h4', {}, title));
		dom.append(place.firstElementChild, children);
		document.body.classList.add('modal-overlay-active');
		return place.firstElementChild;
	},

	hideModal: function() {
		document.body.classList.remove('modal-overlay-active');
		dom.content(document.getElementById('modal_overlay').firstElementChild, null);
	},

	addNotification: function(title, children, ...classes) {
		const node = E('div', { 'class': [ 'alert-message', 'fade-in' ].concat(classes).join(' ') }, title ? [ E('h4', {}, title) ] : []);

		dom.append(node, children);
		document.getElementById('notices').appendChild(node);
		return node;
	},

	changes: {
		apply: function() {
			return callApply(90, false).then(() => callConfirm().catch(() => null)).then(() => document.body.setAttribute('data-applied', ''));
		}
	}
});
