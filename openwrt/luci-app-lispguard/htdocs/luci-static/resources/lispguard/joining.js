'use strict';
'require baseclass';
'require uci';
'require lispguard.validators as validators';

/* The line by which one node is made known to another, as `lispguard export` prints and `lispguard join` reads it. */

const WORD = /^[A-Za-z0-9_+/=.:[\]-]{1,260}$/;
const NAME = /^[A-Za-z0-9_]{1,63}$/;
const PORT = ':51821';

function wrong(text) {
	return { problem: { kind: 'line', text: text, remedy: _('Copy the line again, all of it: it begins with “lispguard site” or “lispguard map-server”.') } };
}

function edit(text, remedy) {
	return { problem: { kind: 'edit', text: text, remedy: remedy } };
}

function firstWrong(prefixes, validate) {
	return prefixes.find(prefix => validate(prefix) !== true);
}

function parseSite(words) {
	const site = { kind: 'site', name: words[0] || '', public_key: words[1] || '', prefixes: words.slice(2) };

	if (!NAME.test(site.name))
		return wrong(_('The name of the site has other characters than letters, digits and “_”.'));

	if (validators.key(site.public_key) !== true)
		return wrong(_('The key in the line is not whole.'));

	if (!site.prefixes.length || firstWrong(site.prefixes, validators.eidPrefix))
		return wrong(_('The line names no EID-prefix, or one that is wrong.'));

	return site;
}

function parseMapServer(words) {
	const server = { kind: 'map_server', public_key: words[0] || '', endpoint: words[1] || '', prefixes: words.slice(2) };

	if (validators.key(server.public_key) !== true)
		return wrong(_('The key in the line is not whole.'));

	if (!server.endpoint || validators.endpoint(server.endpoint) !== true)
		return wrong(_('The line does not say where the Map-Server listens.'));

	if (firstWrong(server.prefixes, validators.prefix))
		return wrong(_('The line names an EID-space that is wrong.'));

	if (!/(^[^:]+|\]):[0-9]+$/.test(server.endpoint))
		server.endpoint += PORT;

	return server;
}

function sections(type) {
	return uci.sections('lispguard', type);
}

function isSame(some, others) {
	return some.length == others.length && some.every(one => others.includes(one));
}

function addSite(site) {
	const known = sections('site').find(one => one.public_key == site.public_key);

	if (known && isSame(L.toArray(known.eid_prefix), site.prefixes))
		return { is: known['.name'] };

	if (known)
		return edit(_('Site “%s” has this key and other prefixes.').format(known['.name']),
			_('If the line is right, give it these under Prefixes and Peers: %s').format(site.prefixes.join(', ')));

	if (uci.get('lispguard', site.name) != null)
		return edit(_('Another section is called “%s”.').format(site.name),
			_('If it is the same site with a new key, write that under Prefixes and Peers; else put another name in the line.'));

	uci.add('lispguard', 'site', site.name);
	uci.set('lispguard', site.name, 'public_key', site.public_key);
	uci.set('lispguard', site.name, 'eid_prefix', site.prefixes);
	return { added: site.name };
}

function freeName(endpoint) {
	const host = endpoint.charAt(0) == '[' ? '' : endpoint.split(':')[0];
	const name = !host || /^[0-9.]+$/.test(host) ? 'map_server' : host.split('.')[0].replace(/[^A-Za-z0-9_]/g, '_');
	let free = name;

	for (let number = 2; free == 'main' || uci.get('lispguard', free) != null; number++)
		free = '%s_%d'.format(name, number);

	return free;
}

function addMapServer(server, own_key) {
	const same_key = sections('map_server').find(one => one.public_key == server.public_key);
	const same_place = sections('map_server').find(one => one.endpoint == server.endpoint);
	const is_own = server.public_key == own_key;

	if (same_key && (is_own || same_key.endpoint == server.endpoint))
		return { is: same_key['.name'] };

	if (same_key)
		return edit(_('Map-Server “%s” has this key and another endpoint.').format(same_key['.name']),
			_('If the line is right, write this endpoint under Prefixes and Peers: %s').format(server.endpoint));

	if (same_place)
		return edit(_('Map-Server “%s” has this endpoint and another key.').format(same_place['.name']),
			_('If the line is right, write this key under Prefixes and Peers: %s').format(server.public_key));

	const name = freeName(server.endpoint);

	uci.add('lispguard', 'map_server', name);
	uci.set('lispguard', name, 'public_key', server.public_key);
	if (!is_own)
		uci.set('lispguard', name, 'endpoint', server.endpoint);

	return { added: name };
}

function outside(prefixes) {
	const spaces = L.toArray(uci.get('lispguard', 'main', 'eid_space')).map(validators.parsePrefix).filter(space => space);

	return prefixes.filter(prefix => !spaces.some(space => validators.covers(space, validators.parsePrefix(prefix))));
}

return baseclass.extend({
	/* A line as { kind, name, public_key, endpoint, prefixes }, or { problem }. */
	parse: function(text) {
		const words = text.trim().split(/[ \t]+/);

		if (words[0] == 'lispguard')
			words.shift();

		if (words.some(word => !WORD.test(word)))
			return wrong(_('This is no line of “lispguard export”.'));

		switch (words.shift()) {
		case 'site':
			return parseSite(words);

		case 'map-server':
			return parseMapServer(words);
		}

		return wrong(_('This is no line of “lispguard export”.'));
	},

	/* Adds its section to what is to be saved: { added } or { is } with its name, or { problem }; `outside` are prefixes beyond the EID-space. */
	add: function(line, own_key) {
		const roles = L.toArray(uci.get('lispguard', 'main', 'role'));
		const is_used = line.kind == 'site' ? roles.includes('map_server') : roles.includes('xtr') || roles.includes('mobile_node');

		if (!is_used)
			return edit(line.kind == 'site' ? _('This is the line of a site, for a Map-Server.') : _('This is the line of a Map-Server, for an xTR or a mobile node.'),
				_('Give this node the role under Settings first, or paste the line at another node.'));

		return line.kind == 'site' ? addSite(line)
			: Object.assign(addMapServer(line, own_key), { outside: outside(line.prefixes) });
	}
});
