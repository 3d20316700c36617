'use strict';
'require view';
'require form';
'require uci';
'require ui';
'require lispguard.state as state';
'require lispguard.page as page';
'require lispguard.validators as validators';

/* The section `config lispguard 'main'`. */

const DATABASE = [ 'xtr', 'mobile_node' ];
const NEEDED_BY = { eid_prefix: DATABASE, map_server: DATABASE, uplink: DATABASE, site: [ 'map_server' ] };

/* An option that only nodes with one of these roles have. */
function only(option, roles) {
	for (const role of roles)
		option.depends({ role: role, '!contains': true });

	return option;
}

/* A value with its default in grey. */
function value(section, tab, name, title, text, placeholder, validate) {
	const option = section.taboption(tab, form.Value, name, title, text);

	option.placeholder = placeholder;
	option.validate = validators.optional(validate);
	return option;
}

/* One of some words, the first of which is the default. */
function choice(section, tab, name, title, text, words) {
	const option = section.taboption(tab, form.ListValue, name, title, text);

	for (const word in words)
		option.value(word, words[word]);

	option.default = Object.keys(words)[0];
	option.optional = false;
	return option;
}

/* What another option of the same section says now. */
function now(option, name) {
	const text = option.section.formvalue('main', name);

	return text == null ? '' : text;
}

function validateRoles(section_id) {
	const roles = L.toArray(this.formvalue(section_id));

	if (!roles.length)
		return _('Choose at least one role.');

	if (roles.includes('xtr') && roles.includes('mobile_node'))
		return _('A mobile node is an xTR for itself: choose one of the two.');

	for (const type in NEEDED_BY)
		if (uci.sections('lispguard', type).length && !NEEDED_BY[type].some(role => roles.includes(role)))
			return _('There are sections “%s”, which these roles do not use. Delete them under Prefixes and Peers first.').format(type);

	return true;
}

function addKeys(section) {
	let option = section.taboption('node', form.Value, 'private_key', _('Private key'),
		_('The private control key. Who has it is this node: never give it away. Accounts that may only read can read it here, but not in a file.'));

	option.password = true;
	option.placeholder = _('44 characters');
	option.validate = function(section_id, text) {
		const file = now(this, 'private_key_file');

		if (text && file)
			return _('There is a file with the key, too: empty one of the two.');

		if (!text && !file)
			return _('A key is needed: press “Make a new key”, or name a file that holds one.');

		return validators.optional(validators.key).call(this, section_id, text);
	};

	option = section.taboption('node', form.Button, '_generate', _('New key'),
		_('In a file of its own. Another key makes this node a stranger to its Map-Servers and sites, until they have its new public key.'));
	option.inputtitle = _('Make a new key');
	option.inputstyle = 'action';
	option.onclick = function(ev, section_id) {
		return state.generateKey().then(pair => {
			if (pair.problem) {
				ui.addNotification(null, page.problem(pair.problem), 'warning');
				return;
			}

			this.section.getUIElement(section_id, 'private_key').setValue('');
			this.section.getUIElement(section_id, 'private_key_file').setValue(pair.file);
			section.public_key = pair.public_key;
			document.getElementById('lispguard-public-key').textContent = pair.public_key;
			this.map.checkDepends();
		});
	};

	option = section.taboption('node', form.DummyValue, '_public_key', _('Public key'),
		_('Of the key that was made here just now, or else of the one that is in use.'));
	option.rawhtml = true;
	option.cfgvalue = function() {
		return E('code', { 'id': 'lispguard-public-key', 'style': 'word-break:break-all' }, [ section.public_key || '–' ]);
	};

	value(section, 'node', 'private_key_file', _('Private key file'),
		_('Instead of the private key: a file that holds it and nothing else.'), '/etc/lispguard/private_key', validators.path);
}

function addNode(section) {
	let option = section.taboption('node', form.MultiValue, 'role', _('Role'),
		_('What this router is. A Map-Server may be an xTR or a mobile node as well; in a home, one of the routers is the Map-Server.'));

	option.value('xtr', _('xTR: a router for the networks behind it'));
	option.value('mobile_node', _('Mobile node: keeps its address wherever it is'));
	option.value('map_server', _('Map-Server: tells sites where the others are'));
	option.validate = validateRoles;

	addKeys(section);

	option = only(section.taboption('node', form.DynamicList, 'eid_space', _('EID-space'),
		_('Destinations that go into the overlay. All EID-prefixes lie inside of it.')), DATABASE);
	option.placeholder = '10.0.0.0/8';
	option.validate = validators.list(_('At least one prefix is needed, as 10.0.0.0/8: write it and press “+”.'), validators.prefix);

	only(choice(section, 'node', 'on_miss', _('Unknown destinations'),
		_('What happens to packets into the EID-space that nobody has registered.'),
		{ drop: _('Drop, and tell the sender'), native: _('Send outside the overlay') }), DATABASE);

	value(section, 'node', 'instance_id', _('Instance-ID'),
		_('The VPN that all EID-prefixes here belong to.'), '0', validators.number(0, 16777215));

	option = choice(section, 'node', 'log_level', _('Log level'), _('The least severe message that goes to the system log.'), {
		error: _('Error'), warn: _('Warning'), info: _('Info'), debug: _('Debug: every mapping'), trace: _('Trace: every message')
	});
	option.default = 'info';
}

function addTunnels(section) {
	const port = validators.number(1, 65535);

	value(section, 'tunnels', 'control_port', _('Control port'),
		_('UDP port where WireGuard of the control tunnels listens. It is open on every interface.'), '51821', port);

	const option = only(value(section, 'tunnels', 'data_port', _('Data port'),
		_('UDP port where WireGuard of the data tunnels listens. Further lanes have the ports from two above it on.'), '51820'), DATABASE);
	option.validate = validators.optional(port, function(text) {
		return +text == +(now(this, 'control_port') || 51821) ? _('The control tunnels use this port. Choose another.') : true;
	});

	value(section, 'tunnels', 'lisp_port', _('LISP port'),
		_('UDP port of LISP inside of the tunnels. All nodes must have the same.'), '4342', port);
	value(section, 'tunnels', 'control_address', _('Control address'),
		_('The address inside of the control tunnels, for neighbours that expect a certain one.'),
		_('derived from the key'), validators.controlAddress);

	choice(section, 'tunnels', 'dataplane', _('Data plane'), _('Which WireGuard forwards packets.'), {
		auto: _('The kernel\'s where it is there'), kernel: _('The kernel\'s (kmod-wireguard)'),
		userspace: _('lispguard\'s own (package lispguard-full)')
	});
	value(section, 'tunnels', 'mtu', _('MTU'),
		_('Octets of a packet in the overlay. “auto” is what the uplinks leave room for.'), 'auto', validators.mtu);

	addDevices(section);
}

function addDevices(section) {
	const names = { data_device: 'lg-data0', control_device: 'lg-ctl', miss_device: 'lg-miss' };
	const validate = validators.optional(validators.device, function(text) {
		const others = Object.keys(names).filter(name => name != this.option).map(name => now(this, name) || names[name]);

		return others.includes(text) ? _('Another interface of lispguard has this name. Choose another.') : true;
	});
	const add = (name, title, text) => {
		const option = value(section, 'tunnels', name, title, text, names[name]);

		option.validate = validate;
		return option;
	};

	only(add('data_device', _('Data interface'),
		_('The interface of the data tunnels. Further lanes have the next numbers at the end of its name.')), DATABASE);
	add('control_device', _('Control interface'), _('With the kernel\'s WireGuard, the interface of the control tunnels.'));
	only(add('miss_device', _('Miss interface'),
		_('With the kernel\'s WireGuard, where packets to unknown EIDs come to lispguard.')), DATABASE);
}

function addMobility(section) {
	only(value(section, 'mobility', 'silence', _('Silence'),
		_('Milliseconds without an answer after which a path is probed, and then left; 0 never probes.'), '300', validators.silence), DATABASE);
	value(section, 'mobility', 'handover_hold', _('Hold'),
		_('Milliseconds that a better uplink is there before it is used, while another one works.'), '1000', validators.number(0, 60000));

	const option = only(section.taboption('mobility', form.Flag, 'multipath_l4', _('Lane per connection'),
		_('Uplinks of equal priority share single connections instead of pairs of hosts. This sets the kernel so for all its routes.')), DATABASE);
	option.default = '0';

	only(value(section, 'mobility', 'record_ttl', _('Mapping lifetime'),
		_('Minutes that others may keep our mappings. Changes do not wait for it.'), '60', validators.number(1, 10080)), DATABASE);
	only(value(section, 'mobility', 'register_interval', _('Registration interval'),
		_('Seconds between refreshes of our registration.'), '60', validators.number(1, 3600)), DATABASE);
	only(value(section, 'mobility', 'registration_timeout', _('Registration timeout'),
		_('Seconds without a refresh after which the registration of a site ends here.'), '180', validators.number(3, 86400)), [ 'map_server' ]);
}

function addRouting(section) {
	const first = 4294967292;
	const option = value(section, 'routing', 'fwmark', _('Firewall mark'),
		_('On the tunnels\' own packets, which keeps them out of the overlay. Further lanes have the next numbers.'), '0x4c47');

	option.validate = validators.optional(function(text) {
		return validators.number(now(this, 'rules') == 'none' ? 0 : 1, first)(text);
	});

	only(value(section, 'routing', 'table', _('Routing table'),
		_('The first of six routing tables that nothing else may use; or main, which needs no rules, for a site without uplinks of its own.'),
		'4342', validators.table), DATABASE);
	only(value(section, 'routing', 'rule_priority', _('Rule priority'),
		_('The first of seven priorities of routing rules. Put it before mwan3 or pbr where these catch the EID-space.'),
		'5090', validators.number(1, 32759)), DATABASE);
	only(choice(section, 'routing', 'rules', _('Rules'), _('Whether lispguard makes the routing rules.'),
		{ auto: _('lispguard makes them'), none: _('None: I lead packets to the table myself') }), DATABASE);
}

function addLimits(section, sites) {
	only(value(section, 'limits', 'map_cache_size', _('Map-cache'),
		_('Mappings that are kept. When it is full, the one that expires soonest makes room.'), '1024', validators.number(1, 65536)), DATABASE);
	only(value(section, 'limits', 'waiting_per_eid', _('Waiting per EID'),
		_('Packets that wait for the mapping of one EID.'), '16', validators.number(1, 1024)), DATABASE);

	const option = only(value(section, 'limits', 'waiting_total', _('Waiting in all'),
		_('Packets that wait for mappings in all.'), '256'), DATABASE);
	const validate = validators.number(1, 65536);
	option.validate = function(section_id, text) {
		const least = now(this, 'waiting_per_eid') || 16;

		if (+(text || 256) < +least)
			return _('This is less than may wait for one EID (%d). Raise it.').format(+least);

		return validators.optional(validate).call(this, section_id, text);
	};

	only(value(section, 'limits', 'max_sites', _('Sites'),
		_('Sites that this Map-Server takes at most. More than 64 need the package lispguard-full.'), String(sites.usual), validators.number(1, sites.most)),
	[ 'map_server' ]);
}

function addFiles(section) {
	value(section, 'files', 'run_dir', _('Run directory'),
		_('For files that may vanish at a reboot.'), '/var/run/lispguard', validators.path);
	value(section, 'files', 'state_dir', _('State directory'),
		_('For what must survive a reboot, which is written once per start.'), '/etc/lispguard', validators.path);
	value(section, 'files', 'control_socket', _('Control socket'),
		_('Where “lispguard status” asks.'), '/var/run/lispguard/control.sock', validators.socket);
	value(section, 'files', 'ubus_socket', _('ubus socket'),
		_('Where ubusd listens.'), '/var/run/ubus/ubus.sock', validators.socket);
}

return view.extend({
	load: function() {
		return state.read().then(found => uci.load('lispguard').then(() => {
			if (uci.get('lispguard', 'main') == null)
				uci.add('lispguard', 'lispguard', 'main');

			return Promise.all([ state.ownKey(found), state.siteLimits() ]);
		})).then(both => ({ key: both[0], sites: both[1] })).catch(error => ({ failed: state.explain(error) }));
	},

	render: function(found) {
		const title = _('lispguard: Settings');

		if (found.failed) {
			this.handleSaveApply = this.handleSave = this.handleReset = null;
			return page.instead(title, found.failed);
		}

		const map = page.explained(new form.Map('lispguard', title,
			_('What is empty here has the value in grey. Prefixes, Map-Servers, sites and uplinks stand under Prefixes and Peers.')));
		const section = map.section(form.NamedSection, 'main', 'lispguard');

		section.public_key = found.key;
		section.tab('node', _('Node'));
		section.tab('tunnels', _('Tunnels'));
		section.tab('mobility', _('Mobility'));
		section.tab('routing', _('Routing'));
		section.tab('limits', _('Limits'));
		section.tab('files', _('Files'));

		addNode(section);
		addTunnels(section);
		addMobility(section);
		addRouting(section);
		addLimits(section, found.sites);
		addFiles(section);

		return map.render().catch(error => page.instead(title, state.explain(error)));
	}
});
