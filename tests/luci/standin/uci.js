'use strict';
'require baseclass';
'require rpc';

/* Configurations with the changes of this page, which `save` hands to rpcd as changes of the session. */

const callLoad = rpc.declare({ object: 'uci', method: 'get', params: [ 'config' ], expect: { values: {} }, reject: true });
const callSet = rpc.declare({ object: 'uci', method: 'set', params: [ 'config', 'section', 'values' ], reject: true });
const callAdd = rpc.declare({ object: 'uci', method: 'add', params: [ 'config', 'type', 'name', 'values' ], expect: { section: '' }, reject: true });
const callDelete = rpc.declare({ object: 'uci', method: 'delete', params: [ 'config', 'section', 'options' ], reject: true });
const callOrder = rpc.declare({ object: 'uci', method: 'order', params: [ 'config', 'sections' ], reject: true });

const loaded = {};
const loading = {};
let created = 0;

function isOption(name) {
	return name.charAt(0) != '.';
}

function copyOf(one) {
	return JSON.parse(JSON.stringify(one));
}

return baseclass.extend({
	/* What could not be loaded is not asked for again before it is unloaded. */
	load: function(names) {
		return Promise.all(L.toArray(names).filter(name => !loaded[name]).map(name => (loading[name] || (loading[name] = callLoad(name))).then(values => {
			loaded[name] = { saved: values, now: copyOf(values), is_moved: false };
		}))).then(() => {
			document.dispatchEvent(new CustomEvent('uci-loaded'));
			return L.toArray(names);
		});
	},

	unload: function(names) {
		L.toArray(names).forEach(name => {
			delete loaded[name];
			delete loading[name];
		});
	},

	get: function(config, section, option) {
		const found = loaded[config] && section != null ? loaded[config].now[section] : null;

		if (!found || option == null)
			return found || null;

		return found[option];
	},

	set: function(config, section, option, value) {
		const found = this.get(config, section);

		if (!found || !isOption(option))
			return;

		if (value == null || value === '')
			delete found[option];
		else
			found[option] = Array.isArray(value) ? value.map(String) : String(value);
	},

	unset: function(config, section, option) {
		this.set(config, section, option, null);
	},

	sections: function(config, type, callback) {
		const found = Object.values(loaded[config] ? loaded[config].now : {}).filter(one => type == null || one['.type'] == type);

		found.sort((one, other) => one['.index'] - other['.index']);
		if (typeof(callback) == 'function')
			found.forEach(one => callback.call(this, one, one['.name']));

		return found;
	},

	add: function(config, type, name) {
		const id = name || 'new%06x'.format(++created);

		if (loaded[config].now[id])
			return id;

		loaded[config].now[id] = { '.type': type, '.name': id, '.create': name || '', '.anonymous': !name, '.index': 1000 + created };
		return id;
	},

	remove: function(config, section) {
		delete loaded[config].now[section];
	},

	move: function(config, one, other, is_after) {
		const all = this.sections(config).filter(section => section['.name'] != one);
		const place = all.findIndex(section => section['.name'] == other);

		all.splice(place < 0 ? all.length : place + (is_after ? 1 : 0), 0, loaded[config].now[one]);
		all.forEach((section, index) => { section['.index'] = index; });
		loaded[config].is_moved = true;
		return true;
	},

	resolveSID: (config, section) => section,

	saveSection: function(config, id, was, is) {
		const values = {};
		const gone = [];

		for (const option of Object.keys(is).filter(isOption))
			if (!was || JSON.stringify(was[option]) != JSON.stringify(is[option]))
				values[option] = is[option];

		if (is['.create'] != null)
			return callAdd(config, is['.type'], is['.create'] || null, values).then(name => { is['.saved'] = name || is['.name']; });

		for (const option of Object.keys(was).filter(isOption))
			if (is[option] == null)
				gone.push(option);

		const tasks = Object.keys(values).length ? [ callSet(config, id, values) ] : [];

		return Promise.all(gone.length ? tasks.concat(callDelete(config, id, gone)) : tasks);
	},

	saveConfig: function(config) {
		const { saved, now, is_moved } = loaded[config];
		let chain = Promise.resolve();

		for (const id in saved)
			if (!now[id])
				chain = chain.then(() => callDelete(config, id, null));

		for (const one of this.sections(config))
			chain = chain.then(() => this.saveSection(config, one['.name'], saved[one['.name']], one));

		return chain.then(() => (is_moved ? callOrder(config, this.sections(config).map(one => one['.saved'] || one['.name'])) : null));
	},

	save: function() {
		const names = Object.keys(loaded);

		return Promise.all(names.map(name => this.saveConfig(name))).then(() => {
			this.unload(names);
			return this.load(names);
		});
	}
});
