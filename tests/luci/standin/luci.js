'use strict';

/* A stand-in of LuCI's core: classes, loading of modules, the DOM, formats. What is not here, the pages do not use;
   what is here is as strict as in LuCI: texts given to E() are HTML, unknown modules and failing views are errors. */

(function(window, document) {
	const CONVERSION = /%(?:(%)|(0|-)?(\d+)?(?:\.(\d+))?([sdfhmqx]))/g;
	const ENTITIES = { '&': '&#38;', '<': '&#60;', '>': '&#62;', '"': '&#34;', "'": '&#39;' };
	const UNITS = [ ' ', ' K', ' M', ' G', ' T', ' P', ' E' ];

	function scaled(number, base, digits) {
		let unit = 0;

		for (; unit < UNITS.length - 1 && number > base; unit++)
			number /= base;

		return unit ? number.toFixed(digits) + UNITS[unit] + (base == 1024 ? 'i' : '') : number + ' ';
	}

	function converted(kind, value, width, digits) {
		switch (kind) {
		case 'd': return Math.floor(+value || 0).toFixed(0).padStart(width || 0);
		case 'f': return digits == null ? String(parseFloat(value)) : parseFloat(value).toFixed(digits);
		case 'x': return (+value).toString(16);
		case 'm': return scaled(+value || 0, +width || 1000, digits == null ? 2 : +digits);
		case 'h':
		case 'q': return String(value).replace(/[&<>"']/g, one => ENTITIES[one]);
		default: return String(value);
		}
	}

	String.prototype.format = function(...values) {
		let place = 0;

		return this.replace(CONVERSION, (all, percent, flag, width, digits, kind) => (percent ? '%' : converted(kind, values[place++], width, digits)));
	};

	let class_count = 0;
	const Class = function() {};

	Class.prototype = { varargs: (values, offset, ...first) => first.concat(Array.prototype.slice.call(values, offset)) };

	/* A method of the class above the one that calls. */
	Class.prototype.super = function(key, values) {
		const depth = (this.__depth || (this.__depth = {}));
		let owner = Object.getPrototypeOf(this);

		for (let level = 0; level <= (depth[key] || 0); level++) {
			while (owner && !Object.prototype.hasOwnProperty.call(owner, key))
				owner = Object.getPrototypeOf(owner);

			owner = owner && Object.getPrototypeOf(owner);
		}

		if (!owner || typeof(owner[key]) != 'function')
			throw new ReferenceError(`${key} is in no class above`);

		depth[key] = (depth[key] || 0) + 1;
		try { return owner[key].apply(this, values || []); }
		finally { depth[key]--; }
	};

	Class.extend = function(properties) {
		const Base = this;
		const Derived = function(...values) {
			if (typeof(this.__init__) == 'function')
				this.__init__(...values);
		};

		Derived.prototype = Object.assign(Object.create(Base.prototype), properties);
		Derived.prototype.constructor = Derived;
		Derived.extend = Class.extend;
		Derived.isSubclass = other => other && other.prototype instanceof Derived;
		Derived.number = ++class_count;
		return Derived;
	};

	const dom = {
		elem: one => one != null && typeof(one) == 'object' && 'nodeType' in one,

		append: function(node, children) {
			if (Array.isArray(children)) {
				for (const child of children)
					if (dom.elem(child))
						node.appendChild(child);
					else if (Array.isArray(child))
						throw new TypeError('a list in a list of children becomes text with commas');
					else if (child != null)
						node.appendChild(document.createTextNode(String(child)));
			}
			else if (typeof(children) == 'function') {
				dom.append(node, children(node));
			}
			else if (dom.elem(children)) {
				node.appendChild(children);
			}
			else if (children != null) {
				node.innerHTML = String(children);
			}
		},

		content: function(node, children) {
			while (node.firstChild)
				node.removeChild(node.firstChild);

			dom.append(node, children);
		},

		attr: function(node, attributes) {
			for (const name in attributes)
				if (attributes[name] != null && typeof(attributes[name]) == 'function')
					node.addEventListener(name, attributes[name]);
				else if (attributes[name] != null)
					node.setAttribute(name, typeof(attributes[name]) == 'object' ? JSON.stringify(attributes[name]) : attributes[name]);
		},

		/* Of a tag, markup or an array: the last makes a fragment. */
		create: function(html, attributes, children) {
			let node;

			if (Array.isArray(html)) {
				node = document.createDocumentFragment();
				html.forEach(one => dom.append(node, [ one ]));
			}
			else if (/</.test(html)) {
				node = new DOMParser().parseFromString(html, 'text/html').body.firstChild;
			}
			else {
				node = document.createElement(html);
			}

			if (attributes && (typeof(attributes) != 'object' || Array.isArray(attributes) || dom.elem(attributes)))
				dom.append(node, attributes);
			else {
				dom.attr(node, attributes);
				dom.append(node, children);
			}

			return node;
		},

		bindClassInstance: (node, instance) => { node.luciInstance = instance; },
		findClassInstance: function(node) {
			for (; node && !node.luciInstance; node = node.parentNode) { /* upwards */ }

			return node ? node.luciInstance : null;
		}
	};

	const loaded = {};
	const BUILT_IN = { baseclass: Class, dom: dom };

	/* The directives stand before anything else; the module's text becomes the body of a function. */
	function compile(name, source) {
		const head = /^(?:\s*(?:'[^']*';|\/\/.*|\/\*[^]*?\*\/))*/.exec(source)[0];
		const needs = Array.from(head.matchAll(/'require ([\w.-]+)(?: as (\w+))?';/g), match => [ match[1], match[2] || match[1] ]);

		if (/'require /.test(source.slice(head.length).replace(/\/\*[^]*?\*\//g, '')))
			throw new SyntaxError(`${name}: a require that does not stand at the head of the file`);

		return Promise.all(needs.map(need => L.require(need[0], [ name ]))).then(values => {
			const names = needs.map(need => need[1].replace(/\W/g, '_'));
			const made = new Function('window', 'document', 'L', ...names, `${source}\n//# sourceURL=${name}.js`)
				.call(null, window, document, L, ...values);

			if (typeof(made) != 'function' || !(made.prototype instanceof Class))
				throw new TypeError(`"${name}" factory yields invalid constructor`);

			/* Pages extend this class, all other modules are used as they are. */
			return name == 'view' ? made : new made();
		});
	}

	const L = {
		env: JSON.parse(document.getElementById('env').textContent),
		dom: dom,
		Class: Class,

		require: function(name) {
			if (BUILT_IN[name])
				return Promise.resolve(BUILT_IN[name]);

			if (!loaded[name])
				loaded[name] = fetch(`${L.env.resource}/${name.replace(/\./g, '/')}.js`).then(reply => {
					if (!reply.ok)
						throw new Error(`HTTP error ${reply.status} while loading class file "${name}"`);

					return reply.text();
				}).then(source => compile(name, source));

			return loaded[name];
		},

		bind: (method, that, ...values) => Function.prototype.bind.call(method, that, ...values),
		isObject: one => one != null && typeof(one) == 'object' && !Array.isArray(one),
		isArguments: one => Object.prototype.toString.call(one) == '[object Arguments]',

		toArray: function(one) {
			if (one == null)
				return [];

			if (Array.isArray(one))
				return one;

			if (typeof(one) == 'object')
				return [ one ];

			const text = String(one).trim();
			return text == '' ? [] : text.split(/\s+/);
		},

		resolveDefault: (one, otherwise) => Promise.resolve(one).catch(() => otherwise),
		hasViewPermission: () => L.env.permission,
		url: (...parts) => [ L.env.scriptname ].concat(parts).join('/'),

		/* The message goes on with where it was raised. */
		raise: function(name, text, ...values) {
			const error = new (window[name] || Error)(text.format(...values));

			error.name = name;
			error.message += new Error().stack.split(/\n/).slice(2).map(frame => `\n  ${frame.trim()}`).join('');
			throw error;
		},

		/* What LuCI shows of a view that fails. */
		showError: error => dom.content(document.getElementById('view'),
			E('pre', { 'class': 'alert-message error' }, [ `${error && error.name}: ${error && error.message}\n${error && error.stack}` ]))
	};

	window.L = L;
	window.E = dom.create;
	window._ = text => text;
	window.Class = Class;

	document.addEventListener('DOMContentLoaded', () => L.require('rpc').then(() => Promise.all([ L.require('ui'), L.require('uci') ]))
		.then(() => L.require(L.env.view)).catch(L.showError));
})(window, document);
