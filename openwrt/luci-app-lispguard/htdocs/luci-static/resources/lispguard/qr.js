'use strict';
'require baseclass';

/* QR codes of octets (ISO/IEC 18004): byte mode, error correction L, versions 1 to 20, mask 0. */

/* By version: octets of error correction in a block, and blocks. */
const CORRECTION = [ 7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28 ];
const BLOCKS = [ 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8 ];
const FIELD = 0x11d;
const PADDING = [ 0xec, 0x11 ];
/* Level L, mask 0, with its check bits. */
const FORMAT = 0x77c4;
const VERSION_CHECK = 0x1f25;

function multiply(a, b) {
	let product = 0;

	for (let bit = 7; bit >= 0; bit--) {
		product = (product << 1) ^ ((product >> 7) * FIELD);
		product ^= ((b >> bit) & 1) * a;
	}

	return product;
}

/* The coefficients below the leading one of the product of (x - 2^i). */
function generator(degree) {
	const all = new Array(degree).fill(0);
	let root = 1;

	all[degree - 1] = 1;
	for (let i = 0; i < degree; i++) {
		for (let j = 0; j < degree; j++)
			all[j] = multiply(all[j], root) ^ (j + 1 < degree ? all[j + 1] : 0);

		root = multiply(root, 2);
	}

	return all;
}

function remainder(octets, divisor) {
	const rest = new Array(divisor.length).fill(0);

	for (const octet of octets) {
		const factor = octet ^ rest.shift();

		rest.push(0);
		divisor.forEach((one, place) => { rest[place] ^= multiply(one, factor); });
	}

	return rest;
}

/* Where alignment patterns have their middle, in both directions. */
function alignment(version) {
	if (version == 1)
		return [];

	const count = Math.floor(version / 7) + 2;
	const step = Math.ceil((version * 4 + 4) / (count * 2 - 2)) * 2;
	const places = [ 6 ];

	for (let place = version * 4 + 10; places.length < count; place -= step)
		places.splice(1, 0, place);

	return places;
}

/* Octets that a version has room for, those of the correction too. */
function room(version) {
	const count = alignment(version).length;
	let modules = (16 * version + 128) * version + 64;

	if (version >= 2)
		modules -= (25 * count - 10) * count - 55;

	if (version >= 7)
		modules -= 36;

	return Math.floor(modules / 8);
}

function roomForData(version) {
	return room(version) - CORRECTION[version - 1] * BLOCKS[version - 1];
}

/* Mode, length, the octets, and padding up to a version's size. */
function data(octets, version) {
	const bits = [];
	const add = (value, count) => { for (let bit = count - 1; bit >= 0; bit--) bits.push((value >> bit) & 1); };
	const size = roomForData(version);
	const all = [];

	add(4, 4);
	add(octets.length, version < 10 ? 8 : 16);
	octets.forEach(octet => add(octet, 8));
	add(0, Math.min(4, size * 8 - bits.length));
	while (bits.length % 8)
		bits.push(0);

	for (let place = 0; place < bits.length; place += 8)
		all.push(bits.slice(place, place + 8).reduce((value, bit) => value * 2 + bit, 0));

	for (let turn = 0; all.length < size; turn ^= 1)
		all.push(PADDING[turn]);

	return all;
}

/* In blocks of nearly the same length, each with its correction, taken in turns. */
function interleaved(all, version) {
	const count = BLOCKS[version - 1];
	const short = Math.floor(all.length / count);
	const first_long = count - all.length % count;
	const divisor = generator(CORRECTION[version - 1]);
	const blocks = [];
	let start = 0;

	for (let block = 0; block < count; block++) {
		const end = start + short + (block >= first_long ? 1 : 0);

		blocks.push(all.slice(start, end));
		start = end;
	}

	const turns = (lists, length) => {
		const out = [];

		for (let place = 0; place < length; place++)
			lists.filter(list => place < list.length).forEach(list => out.push(list[place]));

		return out;
	};

	return turns(blocks, short + 1).concat(turns(blocks.map(block => remainder(block, divisor)), divisor.length));
}

/* A square of modules, null where data goes. */
function patterns(version) {
	const size = version * 4 + 17;
	const rows = Array.from({ length: size }, () => new Array(size).fill(null));
	const set = (x, y, is_dark) => { if (rows[y] && x >= 0 && x < size) rows[y][x] = !!is_dark; };
	const square = (x, y, radius, light) => {
		for (let dy = -radius; dy <= radius; dy++)
			for (let dx = -radius; dx <= radius; dx++)
				set(x + dx, y + dy, !light.includes(Math.max(Math.abs(dx), Math.abs(dy))));
	};
	const places = alignment(version);
	const last = places.length - 1;

	for (let place = 0; place < size; place++) {
		set(6, place, place % 2 == 0);
		set(place, 6, place % 2 == 0);
	}

	for (const [ x, y ] of [ [ 3, 3 ], [ size - 4, 3 ], [ 3, size - 4 ] ])
		square(x, y, 4, [ 2, 4 ]);

	places.forEach((x, column) => places.forEach((y, row) => {
		if (!((column == 0 && row == 0) || (column == 0 && row == last) || (column == last && row == 0)))
			square(x, y, 2, [ 1 ]);
	}));

	for (let bit = 0; bit < 15; bit++) {
		const is_dark = (FORMAT >> bit) & 1;

		set(8, bit < 6 ? bit : (bit < 8 ? bit + 1 : size - 15 + bit), is_dark);
		set(bit < 8 ? size - 1 - bit : (bit == 8 ? 7 : 14 - bit), 8, is_dark);
	}

	set(8, size - 8, true);
	if (version >= 7)
		addVersion(version, size, set);

	return rows;
}

function addVersion(version, size, set) {
	let check = version;

	for (let bit = 0; bit < 12; bit++)
		check = (check << 1) ^ ((check >> 11) * VERSION_CHECK);

	for (let bit = 0; bit < 18; bit++) {
		const is_dark = (((version << 12) | check) >> bit) & 1;
		const near = Math.floor(bit / 3);
		const far = size - 11 + bit % 3;

		set(near, far, is_dark);
		set(far, near, is_dark);
	}
}

/* Upwards and downwards in pairs of columns from the right, each bit with the mask. */
function fill(rows, octets) {
	const size = rows.length;
	let bit = 0;

	for (let right = size - 1; right > 0; right -= 2) {
		if (right == 6)
			right = 5;

		const is_upwards = ((right + 1) & 2) == 0;

		for (let step = 0; step < size * 2; step++) {
			const y = is_upwards ? size - 1 - (step >> 1) : step >> 1;
			const x = right - (step & 1);

			if (rows[y][x] !== null)
				continue;

			const value = bit < octets.length * 8 ? (octets[bit >> 3] >> (7 - (bit & 7))) & 1 : 0;

			rows[y][x] = (value ^ ((x + y) % 2 == 0 ? 1 : 0)) == 1;
			bit++;
		}
	}

	return rows;
}

return baseclass.extend({
	/* Rows of modules, true where dark; null where the text is too long. */
	modules: function(text) {
		const octets = Array.from(new TextEncoder().encode(text));

		for (let version = 1; version <= BLOCKS.length; version++)
			if (octets.length + (version < 10 ? 2 : 3) <= roomForData(version))
				return fill(patterns(version), interleaved(data(octets, version), version));

		return null;
	},

	/* An image with the margin that readers need, or null. */
	image: function(text, title) {
		const rows = this.modules(text);

		if (!rows)
			return null;

		const size = rows.length + 8;
		const path = rows.map((row, y) => row.map((is_dark, x) => (is_dark ? 'M%d %dh1v1h-1z'.format(x + 4, y + 4) : '')).join('')).join('');
		const svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges">'.format(size, size) +
			'<path fill="#fff" d="M0 0h%dv%dh-%dz"/><path d="%s"/></svg>'.format(size, size, size, path);

		return E('img', {
			'src': 'data:image/svg+xml,' + encodeURIComponent(svg), 'alt': title, 'title': title,
			'style': 'width:%dpx;max-width:100%%'.format(Math.max(180, size * 4))
		});
	}
});
