'use strict';
'require baseclass';
'require dom';
'require ui';
'require uci';
'require rpc';

/* Forms over a configuration: sections with options, which are checked and written when the form is saved. */

function isEqual(one, other) {
	if (one == null || other == null)
		return one == null && other == null;

	return typeof(one) == typeof(other) && String(one) == String(other);
}

const callAccess = rpc.declare({ object: 'session', method: 'access', params: [ 'scope', 'object', 'function' ], expect: { access: false } });

const Node = baseclass.extend({
	__init__: function(title, description) {
		this.title = title || '';
		this.description = description || '';
		this.children = [];
	},

	append: function(child) {
		this.children.push(child);
		return child;
	}
});

const Map = Node.extend({
	__init__: function(config, ...texts) {
		this.super('__init__', texts);
		this.config = config;
		this.data = uci;
	},

	section: function(kind, ...values) {
		if (!AbstractSection.isSubclass(kind))
			L.raise('TypeError', 'Class must be a descendent of CBIAbstractSection');

		return this.append(new kind(this, ...values));
	},

	load: function() {
		return Promise.all([ callAccess('uci', this.config, 'write'), uci.load(this.config) ]).then(() => this);
	},

	render: function() {
		return this.load().then(() => this.renderContents());
	},

	renderContents: function() {
		const root = this.root || (this.root = E('div', { 'id': `cbi-${this.config}`, 'class': 'cbi-map' }));

		if (!this.root.luciInstance)
			root.addEventListener('widget-change', () => this.checkDepends());

		dom.bindClassInstance(root, this);
		return Promise.all(this.children.map(child => child.render())).then(nodes => {
			dom.content(root, null);
			dom.append(root, (this.title ? [ E('h2', { 'name': 'content' }, this.title) ] : []).concat(this.description ? [ E('div', {}, this.description) ] : []));
			dom.append(root, this.tabbed ? [ this.renderTabs(nodes) ] : nodes);
			this.checkDepends();
			return root;
		});
	},

	renderTabs: function(nodes) {
		nodes.forEach((node, place) => {
			node.setAttribute('data-tab', this.children[place].sectiontype);
			node.setAttribute('data-tab-title', this.children[place].title);
		});

		return tabbed(nodes);
	},

	/* A change may show options that others depend on. */
	checkDepends: function() {
		for (let turn = 0; turn < 10 && this.children.filter(child => child.checkDepends()).length; turn++) { /* once more */ }

		this.children.forEach(child => child.triggerValidation());
	},

	isDependencySatisfied: function(all, section, section_id) {
		return !all.length || all.some(depends => Object.keys(depends).filter(name => name.charAt(0) != '!').every(name => {
			const option = section.children.find(child => child.option == name);
			const value = option && option.isActive(section_id) ? option.formvalue(section_id) : null;

			return depends['!contains'] ? L.toArray(value).includes(depends[name]) : isEqual(value, depends[name]);
		}));
	},

	parse: function() {
		return Promise.all(this.children.map(child => child.parse()));
	},

	save: function(callback, is_silent) {
		this.checkDepends();
		return this.parse().then(callback).then(() => uci.save()).then(() => this.load()).catch(error => {
			if (!is_silent)
				ui.showModal('Save error', [
					E('p', {}, [ 'An error occurred while saving the form:' ]), E('p', {}, [ E('em', { 'style': 'white-space:pre-wrap' }, [ error.message ]) ]),
					E('div', { 'class': 'right' }, [ E('button', { 'class': 'cbi-button', 'click': ui.hideModal }, [ 'Dismiss' ]) ])
				]);

			return Promise.reject(error);
		}).then(() => this.renderContents());
	},

	reset: function() {
		return this.renderContents();
	}
});

/* One shown at a time. */
function tabbed(nodes) {
	const show = shown => nodes.forEach((node, place) => {
		node.style.display = node == shown ? '' : 'none';
		menu.children[place].className = node == shown ? 'cbi-tab' : 'cbi-tab-disabled';
	});
	const menu = E('ul', { 'class': 'cbi-tabmenu' }, nodes.map(node => E('li', { 'class': 'cbi-tab-disabled', 'data-tab-name': node.getAttribute('data-tab'), 'click': () => show(node) },
		[ E('a', {}, [ node.getAttribute('data-tab-title') ]) ])));

	if (nodes.length)
		show(nodes[0]);

	return E('div', {}, [ menu ].concat(nodes));
}

const AbstractSection = Node.extend({
	__init__: function(map, sectiontype, ...texts) {
		this.super('__init__', texts);
		this.map = map;
		this.config = map.config;
		this.sectiontype = sectiontype;
		this.tabs = [];
	},

	tab: function(name, title) {
		this.tabs.push({ name: name, title: title });
	},

	option: function(kind, ...values) {
		if (!AbstractValue.isSubclass(kind))
			L.raise('TypeError', 'Class must be a descendent of CBIAbstractValue');

		return this.append(new kind(this.map, this, ...values));
	},

	taboption: function(tab, ...values) {
		if (!this.tabs.some(one => one.name == tab))
			L.raise('ReferenceError', 'Associated tab not declared');

		const option = this.option(...values);

		option.tab = tab;
		return option;
	},

	getOption: function(name) {
		return this.children.find(child => child.option == name) || null;
	},

	getUIElement: function(section_id, name) {
		const option = this.getOption(name);

		return option ? option.getUIElement(section_id) : null;
	},

	formvalue: function(section_id, name) {
		const option = this.getOption(name);

		return option ? option.formvalue(section_id) : null;
	},

	parse: function() {
		return Promise.all(this.cfgsections().flatMap(id => this.children.map(child => child.parse(id))));
	},

	checkDepends: function() {
		let is_changed = false;

		for (const id of this.cfgsections())
			for (const child of this.children)
				if (child.isActive(id) != child.checkDepends(id)) {
					child.setActive(id, !child.isActive(id));
					is_changed = true;
				}

		return is_changed;
	},

	triggerValidation: function() {
		this.cfgsections().forEach(id => this.children.filter(child => child.isActive(id)).forEach(child => child.triggerValidation(id)));
	},

	renderOptions: function(section_id) {
		return Promise.all(this.children.map(child => child.render(section_id))).then(nodes => {
			if (!this.tabs.length)
				return nodes;

			return [ tabbed(this.tabs.map(tab => E('div', { 'data-tab': tab.name, 'data-tab-title': tab.title },
				nodes.filter((node, place) => this.children[place].tab == tab.name)))) ];
		});
	}
});

const NamedSection = AbstractSection.extend({
	__init__: function(map, section_id, ...values) {
		this.super('__init__', [ map, ...values ]);
		this.section = section_id;
	},

	cfgsections: function() {
		return [ this.section ];
	},

	/* Without its section there is nothing to see. */
	render: function() {
		if (uci.get(this.config, this.section) == null)
			return Promise.resolve(E('div', { 'class': 'cbi-section' }, []));

		return this.renderOptions(this.section).then(nodes => E('div', { 'class': 'cbi-section', 'data-section-id': this.section },
			(this.title ? [ E('h3', {}, this.title) ] : []).concat(nodes)));
	}
});

const TypedSection = AbstractSection.extend({
	cfgsections: function() {
		return uci.sections(this.config, this.sectiontype).map(one => one['.name']);
	},

	/* Named sections are added by a name of UCI. */
	renderAdd: function() {
		const name = E('input', { 'type': 'text', 'class': 'cbi-section-create-name' });
		const add = ev => (this.anonymous || /^[a-zA-Z0-9_]+$/.test(name.value) ? this.handleAdd(ev, this.anonymous ? undefined : name.value) : null);
		const button = E('button', { 'class': 'cbi-button cbi-button-add', 'click': ui.createHandlerFn(this, add) }, [ this.addbtntitle || 'Add' ]);

		return E('div', { 'class': 'cbi-section-create' }, this.anonymous ? [ button ] : [ name, button ]);
	},

	handleRemove: function(section_id) {
		uci.remove(this.config, section_id);
		return this.map.save(null, true);
	}
});

/* Rows of a table, each edited in a dialog with a form of its own. */
const GridSection = TypedSection.extend({
	handleAdd: function(ev, name) {
		this.added = uci.add(this.config, this.sectiontype, name);
		return this.renderMoreOptionsModal(this.added);
	},

	render: function() {
		const shown = this.children.filter(child => !child.modalonly);
		const row = id => E('tr', { 'class': 'tr', 'data-sid': id }, (this.anonymous ? [] : [ E('td', {}, [ id ]) ])
			.concat(shown.map(child => E('td', { 'data-name': child.option }, [ child.textvalue(id) || E('em', {}, [ 'none' ]) ])), [ E('td', {}, this.rowButtons(id)) ]));

		return Promise.resolve(E('div', { 'class': 'cbi-section', 'data-type': this.sectiontype }, [
			E('h3', {}, this.title), E('div', {}, this.description),
			E('table', { 'class': 'table' }, [
				E('tr', {}, (this.anonymous ? [] : [ E('th', {}, [ 'Name' ]) ]).concat(shown.map(child => E('th', {}, [ child.title ])), [ E('th') ]))
			].concat(this.cfgsections().map(row))),
			this.addremove ? this.renderAdd() : E([])
		]));
	},

	rowButtons: function(id) {
		return [
			E('button', { 'class': 'btn cbi-button cbi-button-edit', 'click': ui.createHandlerFn(this, 'renderMoreOptionsModal', id) }, [ 'Edit' ]), ' ',
			E('button', { 'class': 'btn cbi-button cbi-button-remove', 'click': ui.createHandlerFn(this, 'handleRemove', id) }, [ 'Delete' ])
		];
	},

	/* The values stand in the dialog, not in the table. */
	parse: () => Promise.resolve(),
	checkDepends: () => false,
	triggerValidation: () => {},

	addModalOptions: () => {},

	renderMoreOptionsModal: function(section_id) {
		const map = new Map(this.config, null, null);
		const section = map.section(NamedSection, section_id, this.sectiontype);

		for (const child of this.children) {
			const option = section.option(child.constructor, child.option, child.title, child.description);

			for (const key of Object.keys(child))
				if (![ 'map', 'section', 'active', 'elements' ].includes(key))
					option[key] = child[key];
		}

		map.parent = this.map;
		map.section = section_id;
		return Promise.resolve(this.addModalOptions(section, section_id)).then(() => map.render()).then(nodes => ui.showModal(this.modaltitle || '', [
			nodes,
			E('div', { 'class': 'button-row' }, [
				E('button', { 'class': 'btn cbi-button', 'data-modal': 'dismiss', 'click': ui.createHandlerFn(this, 'handleModalCancel') }, [ 'Dismiss' ]), ' ',
				E('button', { 'class': 'btn cbi-button cbi-button-positive', 'data-modal': 'save', 'click': ui.createHandlerFn(this, 'handleModalSave', map) }, [ 'Save' ])
			])
		]));
	},

	handleModalSave: function(map) {
		return map.save(null, true).then(() => {
			this.added = null;
			return this.map.load().then(() => this.map.reset());
		}).then(() => ui.hideModal()).catch(() => {});
	},

	handleModalCancel: function() {
		if (this.added != null)
			uci.remove(this.config, this.added);

		this.added = null;
		return this.map.reset().then(() => ui.hideModal());
	}
});

const AbstractValue = Node.extend({
	__init__: function(map, section, option, ...texts) {
		this.super('__init__', texts);
		Object.assign(this, { map: map, section: section, option: option, config: map.config, active: {}, elements: {} });
		Object.assign(this, { deps: [], rmempty: true, optional: false, default: null });
	},

	depends: function(name, value) {
		this.deps.push(typeof(name) == 'string' ? { [name]: value } : name);
	},

	cfgvalue: function(section_id) {
		return uci.get(this.config, section_id, this.option);
	},

	formvalue: function(section_id) {
		const element = this.getUIElement(section_id);

		return element ? element.getValue() : null;
	},

	textvalue: function(section_id) {
		const value = this.cfgvalue(section_id) == null ? this.default : this.cfgvalue(section_id);

		return value == null ? null : (Array.isArray(value) ? value.join(' ') : String(value));
	},

	getUIElement: function(section_id) {
		return this.elements[section_id] || null;
	},

	isActive: function(section_id) {
		return this.active[section_id] !== false;
	},

	setActive: function(section_id, is_active) {
		this.active[section_id] = is_active;
		if (this.nodes && this.nodes[section_id])
			this.nodes[section_id].style.display = is_active ? '' : 'none';
	},

	checkDepends: function(section_id) {
		return this.map.isDependencySatisfied(this.deps, this.section, section_id);
	},

	triggerValidation: function(section_id) {
		const element = this.getUIElement(section_id);

		return element ? element.triggerValidation() : true;
	},

	isValid: function(section_id) {
		const element = this.getUIElement(section_id);

		return element ? element.isValid() : true;
	},

	validate: () => true,

	render: function(section_id) {
		const value = this.cfgvalue(section_id) == null ? this.default : this.cfgvalue(section_id);
		const widget = this.renderWidget(section_id, value, {
			id: `widget.cbid.${this.config}.${section_id}.${this.option}`, placeholder: this.placeholder, password: this.password, datatype: this.datatype,
			optional: this.optional || this.rmempty, validate: text => this.validate(section_id, text)
		});
		const field = E('div', { 'class': 'cbi-value', 'data-field': `cbid.${this.config}.${section_id}.${this.option}`, 'data-name': this.option }, [
			E('label', { 'class': 'cbi-value-title' }, [ this.title ]),
			E('div', { 'class': 'cbi-value-field' }, [ widget ].concat(this.description ? [ E('div', { 'class': 'cbi-value-description' }, this.description) ] : []))
		]);

		this.nodes = this.nodes || {};
		this.nodes[section_id] = field;
		this.active[section_id] = true;
		return Promise.resolve(field);
	},

	show: function(section_id, element) {
		this.elements[section_id] = element;
		return element.node;
	},

	parse: function(section_id) {
		if (!this.isActive(section_id))
			return this.retain ? Promise.resolve() : Promise.resolve(this.remove(section_id));

		if (!this.isValid(section_id))
			return Promise.reject(new TypeError('Option "%s" contains an invalid input value. %s'.format(this.title || this.option, this.getUIElement(section_id).getValidationError())));

		return this.take(section_id, this.formvalue(section_id));
	},

	take: function(section_id, value) {
		if (value == null || value == '') {
			if (this.rmempty || this.optional)
				return Promise.resolve(this.remove(section_id));

			return Promise.reject(new TypeError('Option "%s" must not be empty.'.format(this.title || this.option)));
		}

		return Promise.resolve(this.forcewrite || !isEqual(this.cfgvalue(section_id), value) ? this.write(section_id, value) : null);
	},

	write: function(section_id, value) {
		return uci.set(this.config, section_id, this.option, value);
	},

	remove: function(section_id) {
		return uci.unset(this.config, section_id, this.option);
	}
});

const Value = AbstractValue.extend({
	value: function(key, text) {
		this.choices = this.choices || {};
		this.choices[key] = text == null ? key : text;
	},

	renderWidget: function(section_id, value, options) {
		return this.show(section_id, new ui.Textfield(Array.isArray(value) ? value.join(' ') : value, Object.assign(options, { choices: this.choices })));
	}
});

const ListValue = Value.extend({
	renderWidget: function(section_id, value, options) {
		return this.show(section_id, new ui.Select(value == null ? Object.keys(this.choices)[0] : value, this.choices, options));
	}
});

const MultiValue = Value.extend({
	renderWidget: function(section_id, value, options) {
		return this.show(section_id, new ui.Dropdown(value, this.choices, options));
	}
});

const DynamicList = Value.extend({
	renderWidget: function(section_id, value, options) {
		return this.show(section_id, new ui.DynamicList(value, null, options));
	}
});

/* Its default is not written. */
const Flag = AbstractValue.extend({
	renderWidget: function(section_id, value, options) {
		this.default = this.default == null ? '0' : this.default;
		return this.show(section_id, new ui.Checkbox(value == null ? this.default : value, Object.assign(options, { value_enabled: '1', value_disabled: '0' })));
	},

	textvalue: function(section_id) {
		return (this.cfgvalue(section_id) || this.default) == '1' ? 'Yes' : 'No';
	},

	take: function(section_id, value) {
		return Promise.resolve(value == this.default && (this.optional || this.rmempty) ? this.remove(section_id) : this.write(section_id, value));
	}
});

const DummyValue = AbstractValue.extend({
	renderWidget: function(section_id) {
		const value = this.cfgvalue(section_id);

		return this.rawhtml ? E('div', {}, value) : E('div', {}, [ value == null ? this.default : value ]);
	},

	formvalue: () => null, remove: () => {}, write: () => {}
});

const Button = AbstractValue.extend({
	renderWidget: function(section_id) {
		const click = ui.createHandlerFn(this, ev => this.onclick(ev, section_id));

		return E('button', { 'class': `cbi-button cbi-button-${this.inputstyle || 'button'}`, 'click': click }, [ this.inputtitle || this.title ]);
	},

	formvalue: () => null, remove: () => {}, write: () => {}
});

return baseclass.extend({
	Map: Map, NamedSection: NamedSection, TypedSection: TypedSection, GridSection: GridSection, AbstractValue: AbstractValue, Value: Value, ListValue: ListValue,
	MultiValue: MultiValue, DynamicList: DynamicList, Flag: Flag, DummyValue: DummyValue, Button: Button
});
