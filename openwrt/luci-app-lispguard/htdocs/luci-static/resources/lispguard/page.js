'use strict';
'require baseclass';
'require ui';
'require lispguard.state as state';

/* Parts that several pages have. Texts from the daemon stand in arrays, so that they are never taken for HTML. */

return baseclass.extend({
	/* A problem with its remedy, and the lines of the configuration that are meant. */
	problem: function(problem, buttons) {
		return E('div', { 'class': 'alert-message warning', 'data-problem': problem.kind }, [
			E('h4', {}, [ problem.text ]),
			E('p', {}, [ problem.remedy ]),
			problem.problems ? E('ul', {}, problem.problems.map(one => E('li', {}, [ this.place(one) ]))) : E([]),
			buttons && buttons.length ? E('div', {}, buttons) : E([])
		]);
	},

	/* A line of `lispguard check`. */
	place: function(one) {
		const where = [ one.section, one.option ].filter(word => word).join(', ');

		return [ where, one.text, one.line ? _('(line %d)').format(one.line) : null ].filter(word => word)
			.join(': ').replace(/: \(/, ' (');
	},

	/* Instead of a page that cannot be shown. */
	instead: function(title, found) {
		return E('div', {}, [ E('h2', {}, [ title ]), this.problem(this.ofFile(found)) ]);
	},

	/* What is absent where the configuration was asked for is its file. */
	ofFile: function(found) {
		return found.kind != 'absent' ? found : {
			kind: 'no_file', text: _('There is no configuration of lispguard.'),
			remedy: _('Install the package lispguard again, which brings /etc/config/lispguard.')
		};
	},

	/* Has a form say why it is not saved. LuCI shows a trace of the stack, or, of a dialog's form and for a row's buttons, nothing. */
	explained: function(map) {
		const save = map.save;

		map.save = (callback, is_silent) => save.call(map, callback, true).catch(error => {
			const is_value = error instanceof TypeError;

			/* Its field says so itself. */
			if (!is_value || !is_silent)
				this.notSaved(map, is_value ? E('p', {}, [ error.message ]) : this.problem(this.ofFile(state.explain(error))));

			return Promise.reject(error);
		});
		return map;
	},

	/* Within the dialog whose form it is, or else in one. */
	notSaved: function(map, text) {
		if (map.parent) {
			map.root.querySelectorAll('[data-problem]').forEach(one => one.remove());
			map.root.appendChild(text);
			return;
		}

		ui.showModal(_('Not saved'), [
			text,
			E('div', { 'class': 'right' }, [ E('button', { 'class': 'btn cbi-button', 'click': ui.hideModal }, [ _('Dismiss') ]) ])
		]);
	},

	/* A table, or a line that says that it is empty. Cells are texts or nodes. */
	table: function(titles, rows, placeholder) {
		const table = E('table', { 'class': 'table' }, titles.every(title => !title) ? [] : [
			E('tr', { 'class': 'tr table-titles' }, titles.map(title => E('th', { 'class': 'th' }, [ title ])))
		]);

		for (const row of rows)
			table.appendChild(E('tr', { 'class': 'tr' }, row.map((cell, place) =>
				E('td', { 'class': 'td', 'data-title': titles[place] }, Array.isArray(cell) ? this.lines(cell) : [ cell == null ? '–' : cell ]))));

		if (!rows.length)
			table.appendChild(E('tr', { 'class': 'tr placeholder' }, [
				E('td', { 'class': 'td', 'colspan': titles.length }, [ E('em', {}, [ placeholder ]) ])
			]));

		return table;
	},

	/* Texts one below the other. */
	lines: function(texts) {
		return texts.length ? texts.map(text => E('div', {}, [ text ])) : [ '–' ];
	},

	/* A key that may break anywhere. */
	key: function(text) {
		return text ? E('code', { 'style': 'word-break:break-all' }, [ text ]) : null;
	},

	/* Seconds as the largest two units. */
	span: function(seconds) {
		if (seconds == null)
			return null;

		const units = [ [ 86400, _('%d d') ], [ 3600, _('%d h') ], [ 60, _('%d min') ], [ 1, _('%d s') ] ];
		const first = units.findIndex(unit => seconds >= unit[0]);
		const used = first < 0 ? units.slice(-1) : units.slice(first, first + 2);
		let rest = seconds;

		return used.map(unit => {
			const count = Math.floor(rest / unit[0]);

			rest -= count * unit[0];
			return count || used.length == 1 ? unit[1].format(count) : null;
		}).filter(text => text).join(' ');
	}
});
