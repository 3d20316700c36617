'use strict';
'require view';
'require form';
'require uci';
'require ui';
'require network';
'require lispguard.state as state';
'require lispguard.page as page';
'require lispguard.validators as validators';

/* Every section beside the main one. */

function hasRole(role) {
	return L.toArray(uci.get('lispguard', 'main', 'role')).includes(role);
}

/* A node of the overlay with rows that are edited in a dialog of their own, so that nothing else there is lost. */
const Section = form.GridSection.extend({
	handleAdd: function(ev, name) {
		const wrong = this.refusal(name);

		if (wrong)
			return Promise.resolve(ui.addNotification(null, E('p', {}, [ wrong ]), 'warning'));

		return this.super('handleAdd', [ ev, name ]);
	},

	/* Before a dialog is shown. */
	addModalOptions: function(section) {
		page.explained(section.map);
	},

	/* Why a section of this name is not added. */
	refusal: function(name) {
		const max = +((this.sectiontype == 'site' && uci.get('lispguard', 'main', 'max_sites')) || this.max);

		if (name && uci.get('lispguard', name) != null)
			return _('There is a section “%s” already. Choose another name.').format(name);

		if (uci.sections('lispguard', this.sectiontype).length >= max)
			return _('There are %d of them, which is as many as can be.').format(max);

		if (this.roles.some(hasRole))
			return null;

		return this.sectiontype == 'site' ? _('Only a Map-Server has these. Give this node the role under Settings first.')
			: _('Only an xTR or a mobile node has these. Give this node the role under Settings first.');
	}
});

function addSection(map, type, max, title, text, button) {
	const section = map.section(Section, type, title, text);

	section.addremove = true;
	section.max = max;
	section.roles = type == 'site' ? [ 'map_server' ] : [ 'xtr', 'mobile_node' ];
	section.addbtntitle = button;
	section.modaltitle = title;
	section.nodescriptions = true;
	return section;
}

/* Other sections of the type. */
function others(type, section_id) {
	return uci.sections('lispguard', type).filter(other => other['.name'] != section_id);
}

/* A validator: no other section of the type has this value. */
function unique(type, option) {
	return function(text, section_id) {
		const same = others(type, section_id).find(other => L.toArray(other[option]).includes(text));

		return same ? _('Section “%s” has the same. Delete one of the two.').format(same['.name']) : true;
	};
}

function insideEidSpace(text) {
	const spaces = L.toArray(uci.get('lispguard', 'main', 'eid_space')).map(validators.parsePrefix).filter(space => space);

	if (!spaces.length || spaces.some(space => validators.covers(space, validators.parsePrefix(text))))
		return true;

	return _('This is outside the EID-space. Write another, or add it to the EID-space under Settings.');
}

function oneAddress(text) {
	const one = validators.parsePrefix(text);

	if (!hasRole('mobile_node') || one.length == one.family)
		return true;

	return _('A mobile node has single addresses: write ADDRESS/%d.').format(one.family);
}

/* Who holds the wider prefix would never ask for the other. */
function notNested(text, section_id) {
	const one = validators.parsePrefix(text);
	const nested = others('site', section_id).find(site => L.toArray(site.eid_prefix).map(validators.parsePrefix)
		.some(other => other && (validators.covers(other, one) || validators.covers(one, other))));

	return nested ? _('A prefix of site “%s” contains it, or lies inside of it. Sites need prefixes of their own.').format(nested['.name']) : true;
}

function addPrefixes(map) {
	const section = addSection(map, 'eid_prefix', 32, _('EID-prefixes'),
		_('The networks behind this xTR, or the addresses of this mobile node. At most 32.'), _('Add a prefix'));

	section.anonymous = true;

	let option = section.option(form.Value, 'prefix', _('Prefix'), _('Inside of the EID-space.'));
	option.placeholder = '10.1.0.0/24';
	option.rmempty = false;
	option.validate = validators.required(validators.eidPrefix, oneAddress, insideEidSpace, unique('eid_prefix', 'prefix'));

	option = section.option(form.Value, 'record_ttl', _('Mapping lifetime'),
		_('Minutes that others may keep this mapping; if empty, as under Settings.'));
	option.placeholder = uci.get('lispguard', 'main', 'record_ttl') || '60';
	option.validate = validators.optional(validators.number(1, 10080));
}

/* Key, endpoint and secret of another node. */
function addPeer(section, type, key_text, endpoint_text) {
	let option = section.option(form.Value, 'public_key', _('Public key'), key_text);
	option.placeholder = _('44 characters');
	option.rmempty = false;
	option.validate = validators.required(validators.key, unique(type, 'public_key'));

	option = section.option(form.Value, 'endpoint', _('Endpoint'), endpoint_text);
	option.placeholder = 'ms.example.net:51821';
	option.validate = validators.optional(validators.endpoint);

	option = section.option(form.Value, 'authentication_key', _('Authentication key'),
		_('The secret for Map-Register and Map-Notify, where the other side is not lispguard.'));
	option.password = true;
	option.modalonly = true;
	option.placeholder = _('derived from the keys');
	option.validate = validators.optional(validators.secret);
}

function addMapServers(map, own_key) {
	const section = addSection(map, 'map_server', 8, _('Map-Servers'),
		_('Where this node registers and asks, in order of preference. At most 8.'), _('Add a Map-Server'));

	section.sortable = true;
	addPeer(section, 'map_server', _('The Map-Server\'s public control key; its administrator finds it under Join. It may be this node\'s own.'),
		_('Where it listens, as HOST:PORT. Leave it empty where this node is the Map-Server itself.'));

	section.children.find(option => option.option == 'endpoint').validate = function(section_id, text) {
		const key = this.section.formvalue(section_id, 'public_key');
		const is_own = own_key ? key == own_key : !text && hasRole('map_server');

		if (is_own && text)
			return _('This Map-Server is the node itself. Leave it empty.');

		if (!is_own && !text)
			return _('Write where the Map-Server listens, as ms.example.net:51821.');

		return validators.optional(validators.endpoint).call(this, section_id, text);
	};

	const option = section.option(form.Value, 'persistent_keepalive', _('Keepalive'),
		_('Seconds after which the tunnel is kept open; if empty, 25 behind a NAT, else never.'));
	option.modalonly = true;
	option.placeholder = _('automatic');
	option.validate = validators.optional(validators.number(1, 65535));
}

function addSites(map, sites) {
	const section = addSection(map, 'site', sites.usual, _('Sites'),
		_('Who may register at this Map-Server. The other side finds the line to paste under Join.'), _('Add a site'));

	addPeer(section, 'site', _('The site\'s public control key; its administrator finds it under Join.'),
		_('Where it listens, as HOST:PORT, if it cannot reach this Map-Server first. Usually empty.'));

	let option = section.option(form.DynamicList, 'eid_prefix', _('EID-prefixes'), _('What the site may register.'));
	option.placeholder = '10.2.0.0/24';
	option.rmempty = false;
	option.validate = validators.list(_('At least one prefix is needed, as 10.2.0.0/24: write it and press “+”.'), validators.eidPrefix, notNested);

	option = section.option(form.Flag, 'accept_more_specifics', _('Parts'), _('Whether it may register parts of these prefixes, too.'));
	option.default = '1';
	option.modalonly = true;
}

function addUplinks(map, networks) {
	const section = addSection(map, 'uplink', 8, _('Uplinks'),
		_('Ways out of this node, at most 8. Without any, the default routes are followed. ' +
			'The lowest priority is used; equal ones share the traffic, with the kernel\'s WireGuard.'), _('Add an uplink'));

	section.anonymous = true;

	let option = section.option(form.Value, 'device', _('Interface'), _('A logical interface of OpenWrt, as wan, or a network device.'));
	for (const name of networks)
		option.value(name);
	option.rmempty = false;
	option.validate = validators.required(validators.device, unique('uplink', 'device'));

	option = section.option(form.Value, 'priority', _('Priority'), _('0 to 255; the lowest is used first, 255 never.'));
	option.placeholder = '1';
	option.validate = validators.optional(validators.number(0, 255));

	option = section.option(form.Value, 'weight', _('Weight'), _('0 to 255: the share of traffic among uplinks of equal priority.'));
	option.placeholder = '100';
	option.validate = validators.optional(validators.number(0, 255));
}

/* Names of OpenWrt's logical interfaces; none where they cannot be asked for. */
function networkNames() {
	return network.getNetworks()
		.then(all => all.filter(one => one.getProtocol() != 'lispguard').map(one => one.getName()).filter(name => name != 'loopback'))
		.catch(() => []);
}

return view.extend({
	load: function() {
		return state.read().then(found => uci.load('lispguard').then(() => Promise.all([ networkNames(), state.ownKey(found), state.siteLimits() ])))
			.catch(error => ({ failed: state.explain(error) }));
	},

	render: function(found) {
		const title = _('lispguard: Prefixes and Peers');

		if (found.failed) {
			this.handleSaveApply = this.handleSave = this.handleReset = null;
			return page.instead(title, found.failed);
		}

		const map = page.explained(new form.Map('lispguard', title));

		map.tabbed = true;
		addPrefixes(map);
		addMapServers(map, found[1]);
		addSites(map, found[2]);
		addUplinks(map, found[0]);

		return map.render().catch(error => page.instead(title, state.explain(error)));
	}
});
