'use strict';
'require view';
'require dom';
'require network';
'require uci';
'require ui';
'require lispguard.state as state';
'require lispguard.page as page';
'require lispguard.qr as qr';
'require lispguard.joining as joining';
'require lispguard.validators as validators';

/* Making nodes known to each other: a line to copy, and one to paste. */

const HINTS = {
	site: _('For the administrator of the Map-Server, who pastes it there under Join.'),
	map_server: _('For the administrator of each site, who pastes it there under Join.')
};
const TITLES = { site: _('This node as a site'), map_server: _('This node as a Map-Server') };

function part(name, title, content) {
	return E('div', { 'class': 'cbi-section', 'data-part': name }, [ E('h3', {}, [ title ]) ].concat(content));
}

/* The clipboard is there on encrypted pages only. */
function copy(field) {
	field.focus();
	field.select();

	if (navigator.clipboard)
		return navigator.clipboard.writeText(field.value).catch(() => document.execCommand('copy'));

	document.execCommand('copy');
	return Promise.resolve();
}

/* A line with its QR code. */
function block(line) {
	const field = E('textarea', { 'class': 'cbi-input-textarea', 'readonly': 'readonly', 'rows': 3, 'style': 'width:100%', 'data-line': line.kind }, [ line.text ]);
	const image = qr.image(line.text, TITLES[line.kind]);

	return E('div', { 'style': 'margin:1em 0' }, [
		E('h4', {}, [ TITLES[line.kind] ]),
		E('p', {}, [ HINTS[line.kind] ]),
		field,
		E('button', { 'class': 'btn cbi-button cbi-button-action', 'click': ev => { ev.preventDefault(); return copy(field); } }, [ _('Copy') ]),
		E('div', { 'style': 'margin-top:1em' }, [ image || E('em', {}, [ _('This line is too long for a QR code.') ]) ])
	]);
}

/* Where others may reach this node: its first address towards the internet. */
function ownHost() {
	return network.getWANNetworks()
		.then(all => all.map(one => one.getIPAddr()).find(address => address) || '')
		.catch(() => '');
}

function said(answer) {
	if (answer.problem)
		return page.problem(answer.problem);

	const prefixes = answer.outside || [];

	return E('div', { 'class': 'alert-message success', 'data-problem': answer.added ? 'added' : 'is' }, [
		E('p', {}, [ answer.added
			? _('“%s” is added. Press “Save & Apply” to use it; it stands under Prefixes and Peers.').format(answer.added)
			: _('“%s” is there already, as the line says.').format(answer.is) ]),
		prefixes.length ? E('p', {}, [ _('To send there, too, add this to the EID-space under Settings: %s').format(prefixes.join(', ')) ]) : E([])
	]);
}

return view.extend({
	load: function() {
		return uci.load('lispguard').then(() => {
			const roles = L.toArray(uci.get('lispguard', 'main', 'role'));

			this.is_map_server = roles.includes('map_server');
			return Promise.all([ state.exportLines(roles), this.is_map_server ? ownHost() : '' ]);
		}).catch(error => ({ failed: state.explain(error) }));
	},

	render: function(found) {
		const title = _('lispguard: Join');

		if (found.failed) {
			this.handleSaveApply = this.handleSave = this.handleReset = null;
			return page.instead(title, found.failed);
		}

		return E('div', {}, [ E('h2', {}, [ title ]), this.renderOwn(found[0], found[1]), this.renderOther(found[0]) ]);
	},

	renderOwn: function(exported, own_host) {
		const title = _('What others need of this node');

		if (exported.problem)
			return part('own', title, [ page.problem(exported.problem) ]);

		const lines = E('div');
		const host = E('input', { 'class': 'cbi-input-text', 'type': 'text', 'value': own_host, 'placeholder': 'ms.example.net', 'data-host': '', 'aria-label': _('Address') });
		const show = () => dom.content(lines, this.lines(exported.lines, host.value.trim()).map(line => (line.problem ? page.problem(line.problem) : block(line))));

		host.addEventListener('input', show);
		show();

		return part(
			'own', title,
			(this.is_map_server ? [ E('p', {}, [ E('label', {}, [ _('Address or name by which sites reach this Map-Server:'), ' ', host ]) ]) ] : []).concat([ lines ])
		);
	},

	/* The lines with the host that was typed. */
	lines: function(lines, host) {
		return lines.map(line => {
			if (line.kind != 'map_server')
				return line;

			const text = state.withHost(line.text, host);

			if (!host || /\s/.test(host) || validators.endpoint(text.split(' ')[3]) !== true)
				return { problem: {
					kind: 'host', text: _('The line for sites needs to say where this Map-Server is.'),
					remedy: _('Write the address or name by which they reach it, without a port unless a router in between forwards another one.')
				} };

			return { kind: line.kind, text: text };
		});
	},

	renderOther: function(exported) {
		const field = E('textarea', {
			'class': 'cbi-input-textarea', 'rows': 3, 'style': 'width:100%', 'placeholder': 'lispguard site home KEY 10.1.0.0/24', 'data-paste': '', 'aria-label': _('Line')
		});
		const answer = E('div', { 'data-answer': '' });
		const add = () => this.handleAdd(field.value, exported.key).then(node => dom.content(answer, node));

		return part('other', _('Another node'), [
			E('p', {}, [ _('Paste the line that the other node shows under Join, or that “lispguard export” prints there. Whoever gave it to you: the key in it may register the prefixes in it.') ]),
			field,
			E('button', {
				'class': 'btn cbi-button cbi-button-add', 'data-add': '', 'disabled': L.hasViewPermission() ? null : 'disabled', 'click': ui.createHandlerFn(this, add)
			}, [ _('Add') ]),
			answer
		]);
	},

	/* Adds what the lines say to the changes that are not applied yet; resolves to what to show. What an earlier try could not save is forgotten. */
	handleAdd: function(text, own_key) {
		const lines = text.split(/\n/).filter(line => line.trim()).map(line => joining.parse(line));

		if (!lines.length)
			return Promise.resolve([ page.problem(joining.parse('').problem) ]);

		uci.unload('lispguard');
		return uci.load('lispguard').then(() => {
			const answers = lines.map(line => (line.problem ? line : joining.add(line, own_key)));
			const nodes = answers.map(said);

			return answers.some(answer => answer.added) ? uci.save().then(() => nodes) : nodes;
		}).catch(error => [ page.problem(page.ofFile(state.explain(error))) ]);
	}
});
