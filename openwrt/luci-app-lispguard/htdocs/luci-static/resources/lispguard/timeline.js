'use strict';
'require baseclass';
'require lispguard.page as page';

/* Handovers as a plot: a row for each, in time since its cause, on a logarithmic scale. */

const SVG = 'http://www.w3.org/2000/svg';
const ROWS = 12;
const ROW = 44;
const TOP = 22;
const LEFT = 30;
const WIDTH = 900;
const RIGHT = 20;
/* Octaves of ten that the scale has: 0.1 ms to 10 s. */
const FIRST_US = 100;
const DECADES = 5;
const TICKS = [ 100, 1000, 10000, 100000, 1000000, 10000000 ];

/* Steps in their order; shapes differ, as colours are not seen by everybody. */
const STEPS = [
	{ name: 'moved_us', color: '#888', shape: 'M-5-5h10v10h-10z', title: _('tunnels lead over the new uplink') },
	{ name: 'sent_us', color: '#2a7ab9', shape: 'M0-6L6 5H-6z', title: _('packet sent to every peer') },
	{ name: 'answered_us', color: '#2e9e4f', shape: 'M-9 0a9 9 0 1 0 18 0a9 9 0 1 0-18 0z', title: _('first answer on the new path') },
	{ name: 'registered_us', color: '#c97a1a', shape: 'M0-6L6 0L0 6L-6 0z', title: _('Map-Server acknowledged') },
	{ name: 'published_us', color: '#9450b8', shape: 'M-5-6L7 0L-5 6z', title: _('every holder told') }
];

function element(name, attributes, children) {
	const node = document.createElementNS(SVG, name);

	for (const attribute in attributes)
		node.setAttribute(attribute, attributes[attribute]);

	for (const child of children || [])
		node.appendChild(typeof(child) == 'string' ? document.createTextNode(child) : child);

	return node;
}

function place(us) {
	const decades = Math.log10(Math.max(us, FIRST_US) / FIRST_US);

	return LEFT + Math.min(decades / DECADES, 1) * (WIDTH - LEFT - RIGHT);
}

function shown(us) {
	if (us >= 1000000)
		return _('%s s').format(+(us / 1000000).toPrecision(3));

	return _('%s ms').format(+(us / 1000).toPrecision(3));
}

function marker(step, x, y, text) {
	return element('path', { d: step.shape, fill: step.color, transform: 'translate(%f %f)'.format(x, y), 'data-step': step.name },
		[ element('title', {}, [ text ]) ]);
}

function label(handover) {
	const when = new Date(handover.unix_ms).toLocaleTimeString();
	const who = handover.site ? handover.site + ': ' : '';

	return '%s  %s%s → %s (%s)'.format(when, who, handover.from || '–', handover.to || '–', handover.cause);
}

function row(handover, number) {
	const y = TOP + number * ROW + ROW - 12;
	const steps = STEPS.filter(step => handover[step.name] != null);
	const last = Math.max(FIRST_US, ...steps.map(step => handover[step.name]));
	const children = [
		element('title', {}, [ _('Cause: %s, told of by %s').format(handover.cause, handover.source) ]),
		element('text', { x: LEFT + 4, y: y - 15, 'font-size': 12 }, [ label(handover) ]),
		element('line', { x1: LEFT, x2: place(last), y1: y, y2: y, stroke: 'currentColor', 'stroke-opacity': 0.5, 'stroke-width': 2 })
	];

	for (const step of steps)
		children.push(marker(step, place(handover[step.name]), y, '%s: %s'.format(step.title, shown(handover[step.name]))));

	return element('g', { 'data-handover': handover.number }, children);
}

function axis(height) {
	return TICKS.map(us => element('g', {}, [
		element('line', { x1: place(us), x2: place(us), y1: TOP, y2: height, stroke: 'currentColor', 'stroke-opacity': 0.2 }),
		element('text', { x: place(us), y: TOP - 8, 'text-anchor': 'middle', 'font-size': 11, 'fill-opacity': 0.7 }, [ shown(us) ])
	]));
}

function legend(rows) {
	const used = STEPS.filter(step => rows.some(handover => handover[step.name] != null));

	return E('div', {}, used.map(step => E('span', { 'style': 'display:inline-block;margin-right:1.5em' }, [
		element('svg', { width: 16, height: 16, viewBox: '-10 -10 20 20', style: 'vertical-align:middle' }, [ element('path', { d: step.shape, fill: step.color }) ]),
		' ' + step.title
	])));
}

return baseclass.extend({
	/* The newest ones, newest first. */
	plot: function(handovers) {
		const rows = handovers.slice(-ROWS).reverse();
		const height = TOP + rows.length * ROW + 4;

		if (!rows.length)
			return E('p', {}, [ E('em', {}, [ _('There was none since the start.') ]) ]);

		return E('div', {}, [
			E('p', {}, [ rows.length < handovers.length
				? _('The last %d of %d. Time counts from the moment at which the cause was seen.').format(rows.length, handovers.length)
				: _('Time counts from the moment at which the cause was seen.') ]),
			element('svg', {
				viewBox: '0 0 %d %d'.format(WIDTH, height), style: 'width:100%;max-width:1100px', fill: 'currentColor', role: 'img',
				'aria-label': _('Handovers'), 'data-plot': 'handovers'
			}, axis(height).concat(rows.map(row))),
			legend(rows),
			this.table(rows)
		]);
	},

	/* The same as numbers, for who cannot see the plot. */
	table: function(rows) {
		const titles = [ _('Time'), _('From'), _('To'), _('Cause') ].concat(STEPS.map(step => step.title));

		return E('details', {}, [
			E('summary', {}, [ _('As a table') ]),
			page.table(titles, rows.map(one => [ new Date(one.unix_ms).toLocaleString(), one.from, one.to, one.cause ]
				.concat(STEPS.map(step => (one[step.name] == null ? null : shown(one[step.name]))))), '')
		]);
	}
});
