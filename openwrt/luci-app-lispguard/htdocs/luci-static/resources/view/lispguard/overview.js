'use strict';
'require view';
'require dom';
'require poll';
'require ui';
'require lispguard.state as state';
'require lispguard.page as page';
'require lispguard.timeline as timeline';

/* What lispguard does now. */

const SECONDS = 5;
/* Updates until the configuration is checked again, which takes a process. */
const CHECK = 12;
const ROLES = { xtr: _('xTR'), mobile_node: _('Mobile node'), map_server: _('Map-Server') };
const FORWARDING = { peer: _('one tunnel'), lanes: _('several lanes'), drop: _('dropped'), native: _('outside the overlay') };

function part(name, title, content) {
	return E('div', { 'class': 'cbi-section', 'data-part': name }, [ E('h3', {}, [ title ]), content ]);
}

function list(found, name) {
	return L.toArray(found[name]);
}

function node(status) {
	const data = status.data || {};
	const rows = [
		[ _('Role'), list(status, 'roles').map(role => ROLES[role] || role).join(', ') ],
		[ _('State'), status.ok ? _('All is up.') : list(status, 'reasons') ],
		[ _('Up for'), page.span(status.uptime_s) ],
		[ _('Public control key'), page.key(status.control_key) ],
		[ _('Control address'), _('%s, port %d').format(status.control_address, status.control_port) ],
		status.data ? [ _('Public data key'), page.key(data.key) ] : null,
		status.data ? [ _('Data plane'), _('%s: %s, MTU %d, port %d').format(data.backend, data.device, data.mtu, data.port) ] : null,
		status.data ? [ _('RLOCs'), list(status, 'rlocs') ] : null,
		list(status, 'remarks').length ? [ _('Remarks'), status.remarks ] : null
	];

	return page.table([ '', '' ], rows.filter(row => row));
}

function tunnels(rows, is_data) {
	const titles = [ _('Name'), _('Key'), _('Endpoint'), _('Session'), _('Last handshake'), _('Received'), _('Sent') ];

	if (is_data)
		titles.splice(1, 0, _('EID-prefixes'));

	return page.table(titles, rows.map(one => {
		const row = [
			one.name, page.key(one.key), one.endpoint, one.up ? _('up') : _('down'),
			one.last_handshake_s == null ? _('never') : _('%s ago').format(page.span(one.last_handshake_s)),
			'%1024.1mB'.format(one.received), '%1024.1mB'.format(one.sent)
		];

		if (is_data)
			row.splice(1, 0, list(one, 'eid_prefixes'));

		return row;
	}), is_data ? _('No packet went to another site yet.') : _('There is none.'));
}

function database(rows) {
	return page.table([ _('EID-prefix'), _('State') ], rows.map(one => [
		one.eid_prefix,
		one.registered ? _('registered') : (one.refused ? _('refused by the Map-Server: is it listed there?') : _('not registered'))
	]), _('There is none.'));
}

function mapCache(rows) {
	return page.table([ _('EID-prefix'), _('Forwarding'), _('RLOCs'), _('Age'), _('Expires in') ], rows.map(one => [
		one.eid_prefix, FORWARDING[one.forwarding] || one.forwarding, list(one, 'rlocs'), page.span(one.age_s), page.span(one.ttl_s)
	]), _('Nothing was looked up yet.'));
}

function registrations(rows, holders) {
	return page.table([ _('Site'), _('EID-prefixes'), _('RLOCs'), _('Registered'), _('Expires in'), _('Held by') ], rows.map(one => [
		one.name, list(one, 'eid_prefixes'), list(one, 'rlocs').concat(one.nat ? [ _('behind a NAT') ] : []),
		one.age_s == null ? _('not registered') : _('%s ago').format(page.span(one.age_s)), page.span(one.expires_s),
		holders.filter(holder => holder.site == one.name)
			.map(holder => (holder.current ? holder.holder : _('%s (being told)').format(holder.holder)))
	]), _('There are no sites: add them under Prefixes and Peers.'));
}

function isCut(status) {
	return status.truncated ? E('p', {}, [ E('em', {}, [ _('There is more than fits here: “lispguard status” shows all of it.') ]) ]) : E([]);
}

/* Everything below the problem, if there is one. */
function parts(found) {
	const status = found.status;
	const roles = list(status, 'roles');
	const has_database = roles.includes('xtr') || roles.includes('mobile_node');
	const all = [ part('node', _('Node'), node(status)) ];

	if (has_database)
		all.push(part('database', _('Own EID-prefixes'), database(list(status, 'database'))));

	if (roles.includes('map_server'))
		all.push(part('registrations', _('Registrations'), registrations(list(status, 'registrations'), list(status, 'holders'))));

	all.push(part('control_tunnels', _('Control tunnels'), tunnels(list(status, 'control_tunnels'))));

	if (has_database) {
		all.push(part('data_tunnels', _('Data tunnels'), tunnels(list(status, 'data_tunnels'), true)));
		all.push(part('map_cache', _('Map-cache'), mapCache(list(status, 'map_cache'))));
	}

	all.push(part('handovers', _('Handovers'), timeline.plot(found.handovers)));
	all.push(isCut(status));
	return all;
}

function serviceButton(view, action, title) {
	return E('button', {
		'class': 'btn cbi-button cbi-button-action', 'data-action': action, 'disabled': L.hasViewPermission() ? null : 'disabled',
		'click': ui.createHandlerFn(view, 'handleService', action)
	}, [ title ]);
}

function buttons(view, problem) {
	if (problem.can_start)
		return [ serviceButton(view, 'start', _('Start')) ];

	return problem.can_restart ? [ serviceButton(view, 'restart', _('Restart')) ] : [];
}

function resolved(answer) {
	if (answer.problem)
		return page.problem(answer.problem);

	return page.table([ _('EID-prefix'), _('RLOCs') ], [ [
		answer.eid_prefix, list(answer, 'locators').map(one => one.rloc + (one.reachable === false ? ' ' + _('(behind a NAT)') : ''))
	] ]);
}

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load: function() {
		return this.read(true);
	},

	/* The state, and what is wrong with the configuration all the same. */
	read: function(is_to_check) {
		return state.read().then(found => {
			if (found.problem || !is_to_check)
				return found;

			return state.warning().then(warning => {
				this.warning = warning;
				return found;
			});
		});
	},

	render: function(found) {
		this.updates = 0;
		this.live = E('div', {}, this.content(found));
		poll.add(() => this.update(), SECONDS);

		return E('div', {}, [ E('h2', {}, [ _('lispguard') ]), this.live, this.renderResolve() ]);
	},

	content: function(found) {
		const shown = found.problem || this.warning;
		const problem = shown ? [ page.problem(shown, buttons(this, shown)) ] : [];

		return problem.concat(found.status ? parts(found) : []);
	},

	/* Whether the table of handovers is open outlives an update. */
	update: function() {
		return this.read(++this.updates % CHECK == 0).then(found => {
			const is_open = this.live.querySelector('details[open]') != null;

			dom.content(this.live, this.content(found));
			if (is_open)
				this.live.querySelectorAll('details').forEach(one => one.setAttribute('open', ''));
		});
	},

	handleService: function(action) {
		return state.service(action).then(problem => {
			if (problem)
				ui.addNotification(null, page.problem(problem), 'warning');

			return this.update();
		});
	},

	renderResolve: function() {
		const eid = E('input', { 'class': 'cbi-input-text', 'type': 'text', 'placeholder': '10.2.0.1', 'aria-label': _('EID'), 'data-resolve': 'eid' });
		const answer = E('div', { 'data-resolve': 'answer' });
		const ask = () => state.resolve(eid.value.trim()).then(found => dom.content(answer, resolved(found)));

		return part('resolve', _('Where is an EID?'), E('div', {}, [
			E('p', {}, [ _('Asks the mapping system, as “lispguard lig” does.') ]),
			eid, ' ',
			E('button', { 'class': 'btn cbi-button', 'data-resolve': 'ask', 'click': ui.createHandlerFn(this, ask) }, [ _('Ask') ]),
			answer
		]));
	}
});
