'use strict';
'require baseclass';
'require rpc';
'require fs';
'require uci';
'require lispguard.validators as validators';

/* What the daemon says of itself, and, where it says nothing, why and what to do. */

const PROGRAM = '/usr/sbin/lispguard';
/* Goes on with the beginning of the public key: another key never replaces one that is in use. */
const KEY_FILE = '/etc/lispguard/key-';
const KEY_MODE = 0o600;
/* Stands in what is exported, as the rights allow no word of the user's on a command line. */
const NO_HOST = 'map-server.invalid';
const EXPORTED_HOST = /map-server\.invalid:[0-9]+/;
const KEY_WORD = /[A-Za-z0-9+/]{43}=/;
/* Codes of ubus, and of JSON-RPC in place of them. */
const NOT_FOUND = 4;
const NO_METHOD = 3;
const DENIED = 6;
const TIMEOUT = 7;
/* Of this page's own: no such object on the bus, and no bus. */
const NO_OBJECT = -1;
const NO_BUS = -2;
const OF_JSON_RPC = { '-32000': NO_OBJECT, '-32601': NO_METHOD, '-32002': DENIED, '-32003': TIMEOUT, '-32603': NO_BUS };
const OF_FS = { NotFoundError: NOT_FOUND, PermissionError: DENIED, TimeoutError: TIMEOUT };
const CODE = /(?:code|failed with error) (-?\d+)/;
/* Of LuCI, where what came is no answer of ubus. */
const NO_ANSWER = /No related RPC reply|invalid message frame|HTTP error/;

const callStatus = rpc.declare({ object: 'lispguard', method: 'status', reject: true });
const callHandovers = rpc.declare({ object: 'lispguard', method: 'handovers', reject: true });
const callResolve = rpc.declare({ object: 'lispguard', method: 'resolve', params: [ 'eid' ], reject: true });
const callServices = rpc.declare({ object: 'rc', method: 'list', params: [ 'name' ], reject: true });
const callProtocols = rpc.declare({ object: 'network', method: 'get_proto_handlers', reject: true });
const callService = rpc.declare({ object: 'rc', method: 'init', params: [ 'name', 'action' ], reject: true });

/* A problem to show: `kind` for tests and styles, `text` what is wrong, `remedy` what to do. */
function problem(kind, text, remedy, more) {
	return Object.assign({ kind: kind, text: text, remedy: remedy }, more);
}

/* The ubus code of a failed call, or null where the router did not answer at all. */
function codeOf(error) {
	if (typeof(error) == 'number')
		return error;

	const message = String(error && error.message);
	const found = CODE.exec(message);

	if (NO_ANSWER.test(message))
		return NO_BUS;

	if (/timed out/.test(message))
		return TIMEOUT;

	const code = found ? (OF_JSON_RPC[found[1]] || +found[1]) : OF_FS[error && error.name];

	return code == null ? null : code;
}

function notAllowed() {
	return problem('denied', _('Your account may not do this.'),
		_('Log in as root, or have the rights of “luci-app-lispguard” given to your account.'));
}

function unreachable() {
	return problem('unreachable', _('The router does not answer.'),
		_('Check that you are connected to it, then try again.'));
}

/* What a failed call means, unless it means that nobody is on the bus. */
function explain(error) {
	switch (codeOf(error)) {
	case DENIED:
		return notAllowed();

	case TIMEOUT:
		return problem('timeout', _('lispguard did not answer in time.'),
			_('It may be busy or about to end: wait a moment and try again. If it stays so, restart it under System, Startup.'));

	case NO_METHOD:
		return problem('version', _('lispguard does not know what this page asks for.'),
			_('Update the packages lispguard and luci-app-lispguard to the same version.'));

	case NOT_FOUND:
		return problem('absent', _('lispguard is not there.'), _('Start it under System, Startup.'));

	case NO_OBJECT:
	case NO_BUS:
		return problem('no_ubus', _('The router\'s ubus or rpcd is not there.'),
			_('Restart rpcd and uhttpd, or the router. If that does not help, see that the packages rpcd and uhttpd-mod-ubus are installed.'));

	case null:
		return unreachable();

	default:
		return problem('failed', _('The router could not do this.'),
			_('Look into the system log (Status, System Log), then try again.'));
	}
}

/* A table, where older versions of LuCI give the code of an error. */
function answer(promise) {
	return promise.then(value => (L.isObject(value) ? value : Promise.reject(value)));
}

function execute(words) {
	return answer(fs.exec(PROGRAM, words));
}

/* The JSON that a command prints, whatever its exit status. */
function executeJson(words) {
	return execute(words).then(result => {
		let value = null;

		try { value = JSON.parse(result.stdout); }
		catch (e) { /* said below */ }

		if (!L.isObject(value))
			return Promise.reject({ stderr: String(result.stderr || '').trim(), status: result.code });

		return value;
	});
}

/* What is wrong in the configuration, as `lispguard check` tells it; a list, or null where it cannot be asked. */
function check() {
	return executeJson([ 'check', '--json' ])
		.then(found => L.toArray(found.problems))
		.catch(() => null);
}

/* Whether somebody gave the node a role; null where the configuration cannot be read. */
function isSetUp() {
	uci.unload('lispguard');

	return uci.load('lispguard')
		.then(() => L.toArray(uci.get('lispguard', 'main', 'role')).length > 0)
		.catch(error => (codeOf(error) == NOT_FOUND ? false : null));
}

function notSetUp() {
	return problem('new', _('lispguard is not set up yet.'),
		_('Choose what this router is and make a key under Settings, then add prefixes and a Map-Server under Prefixes and Peers.'));
}

function notRunning(service) {
	const stopped = problem('stopped', _('lispguard is not running.'),
		service.enabled ? _('Start it. If it ends again, the system log (Status, System Log) says why.')
			: _('Start it. It is not started at boot either: enable it under System, Startup.'), { can_start: true });

	return check().then(problems => {
		if (!problems || !problems.length)
			return stopped;

		return problem('wrong', _('lispguard is not running, as its configuration is wrong.'),
			_('Correct what is listed here under Settings or Prefixes and Peers, then save and apply.'), { problems: problems });
	});
}

/* Nobody is on the bus: why? */
function diagnose() {
	return Promise.all([ isSetUp(), answer(callServices('lispguard')).catch(error => ({ error: error })) ]).then(found => {
		const service = found[1].lispguard || {};

		if (found[0] === false)
			return notSetUp();

		if (found[1].error != null)
			return explain(found[1].error);

		if (service.running)
			return problem('no_bus', _('lispguard runs, but is not on ubus.'),
				_('What follows was asked for by command, so some of it is missing. ' +
					'If this stays for longer than a minute, restart lispguard, and see that “ubus socket” under Settings is right.'), { can_restart: true });

		return notRunning(service);
	});
}

/* Whether the package came after netifd, which reads its protocols when it starts. */
function unknownProtocol() {
	return answer(callProtocols()).then(handlers => ('lispguard' in handlers ? null : problem('protocol', _('The network does not know the protocol “lispguard” yet.'),
		_('The overlay forwards, but cannot be an interface. Restart the router, or its network by “service network restart”.')))).catch(() => null);
}

/* What a failed call to the daemon means: where rpcd is gone, whatever is on the bus all the same is denied. */
function explainCall(error) {
	return codeOf(error) == DENIED ? answer(callServices('lispguard')).then(() => explain(error), explain) : Promise.resolve(explain(error));
}

/* A problem, and what can be told all the same. */
function whatIsLeft(found) {
	if (found.kind != 'no_bus')
		return { problem: found };

	return executeJson([ 'status', '--json' ])
		.then(status => ({ problem: found, status: status, handovers: [] }))
		.catch(() => ({ problem: found }));
}

return baseclass.extend({
	/* { status, handovers } or { problem }, or both; it never rejects. */
	read: function() {
		return Promise.all([ answer(callStatus()), answer(callHandovers()) ])
			.then(all => ({ status: all[0], handovers: L.toArray(all[1].handovers) }))
			.catch(error => {
				if (codeOf(error) != NO_OBJECT && codeOf(error) != NOT_FOUND)
					return explainCall(error).then(found => ({ problem: found }));

				return diagnose().then(whatIsLeft);
			})
			.catch(error => ({ problem: explain(error) }));
	},

	/* The answer to where an EID is, or { problem }. */
	resolve: function(eid) {
		return answer(callResolve(eid)).catch(error => {
			switch (codeOf(error)) {
			case NOT_FOUND:
				return { problem: problem('unknown', _('Nobody has registered this EID.'),
					_('Check the address, and that its site is registered at the Map-Server.')) };

			case NO_OBJECT:
				return { problem: problem('absent', _('lispguard is not on ubus.'), _('See above what to do.')) };

			case TIMEOUT:
				return { problem: problem('timeout', _('No Map-Server answered.'),
					_('Check that its control tunnel is up: see above.')) };

			case 2:
				return { problem: problem('value', _('This is not an EID.'), _('Write an IPv4 or IPv6 address.')) };
			}

			return explainCall(error).then(found => ({ problem: found }));
		});
	},

	/* Starts or restarts the daemon; resolves to null or to a problem. */
	service: function(action) {
		return answer(callService('lispguard', action).then(() => ({}))).then(() => null).catch(explain);
	},

	/* A new key in a file of its own, which only the program and its administrators read: { file, public_key }, or { problem }. */
	generateKey: function() {
		return executeJson([ 'genkey', '--json' ]).then(pair => {
			const file = KEY_FILE + pair.public_key.slice(0, 8).replace(/[+/]/g, '_');

			return fs.write(file, pair.private_key + '\n', KEY_MODE).then(() => ({ file: file, public_key: pair.public_key }));
		}).catch(error => ({ problem: this.explainCommand(error) }));
	},

	/* How many sites a Map-Server of this package takes, if nothing is said, and at most. */
	siteLimits: function() {
		return executeJson([ 'check', '--json' ]).catch(() => ({}))
			.then(found => ({ usual: found.default_max_sites || 64, most: found.largest_max_sites || 2000 }));
	},

	/* What others have to know of this node, as { lines: [ { kind, text } ], key }, or { problem }. */
	exportLines: function(roles) {
		if (!roles.length)
			return Promise.resolve({ problem: notSetUp() });

		const is_map_server = roles.includes('map_server');

		return execute(is_map_server ? [ 'export', '--host', NO_HOST ] : [ 'export' ]).then(result => {
			const lines = String(result.stdout || '').trim().split(/\n/).filter(line => line);

			if (result.code || !lines.length)
				return { problem: this.explainCommand({ stderr: String(result.stderr || '').trim() }) };

			return {
				lines: lines.map(text => ({ kind: text.startsWith('lispguard site ') ? 'site' : 'map_server', text: text })),
				key: KEY_WORD.exec(lines[0])[0]
			};
		}).catch(error => ({ problem: explain(error) }));
	},

	/* The node's own public control key, from the daemon or else from the program; null where neither knows it. */
	ownKey: function(found) {
		if (found.status)
			return Promise.resolve(found.status.control_key);

		return this.exportLines(L.toArray(uci.get('lispguard', 'main', 'role'))).then(exported => exported.key || null);
	},

	/* What is wrong beside a running daemon, with its configuration or with netifd; null where nothing is. */
	warning: function() {
		return check().then(problems => (problems && problems.length ? problem('not_used', _('lispguard runs with an older configuration, as the present one is wrong.'),
			_('Correct what is listed here under Settings or Prefixes and Peers, then save and apply.'), { problems: problems }) : unknownProtocol()));
	},

	/* An exported line with the host that sites reach this Map-Server at, which may bring its own port. */
	withHost: function(text, host) {
		const is_bare_ipv6 = host.includes(':') && validators.parseIPv6(host) != null;
		const shown = is_bare_ipv6 ? '[%s]'.format(host) : host;
		const has_port = /:[0-9]+$/.test(shown.replace(/^\[[^\]]*\]/, ''));

		return has_port ? text.replace(EXPORTED_HOST, shown) : text.replace(NO_HOST, shown);
	},

	/* What went wrong with a command: what it said itself, if anything. */
	explainCommand: function(error) {
		if (!error || !error.stderr)
			return explain(error);

		return problem('command', _('lispguard says what is wrong:'), _('Correct this under Settings or Prefixes and Peers, save and apply, then try again.'), {
			problems: error.stderr.split(/\n/).map(line => ({ text: line.replace(/^lispguard: /, '') }))
		});
	},

	explain: explain,
	check: check
});
