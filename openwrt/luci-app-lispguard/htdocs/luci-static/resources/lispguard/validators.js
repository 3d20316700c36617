'use strict';
'require baseclass';

/* What lispguard accepts. Each function says `true`, or what is wrong and what to write instead. */

const KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;
const NO_KEY = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=';
const NUMBER = /^(?:[0-9]+|0x[0-9a-fA-F]+)$/;
const PORT = /^[0-9]+$/;
const LABEL = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/;
const DIGITS_AND_DOTS = /^[0-9.]*$/;
const DEVICE = /^[!-.0-9;-~]{1,15}$/;
const LENGTH = /^(?:0|[1-9][0-9]{0,2})$/;
const PLAIN_IPV4 = /^(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})$/;
const MAX_SECRET = 255;
const MAX_SOCKET = 107;
const GROUP = /^[0-9a-fA-F]{1,4}$/;
const GROUPS = 8;
const IPV4_BITS = 32;
const IPV6_BITS = 128;

/* The octets of text in UTF-8. */
function octets(text) {
	return new Blob([ text ]).size;
}

function parseIPv4(text) {
	const groups = PLAIN_IPV4.test(text) ? text.split('.').map(Number) : [ NaN ];

	return groups.every(group => group <= 255) ? groups : null;
}

/* Words between colons, the last of which may be an IPv4 address in place of two. */
function parseGroups(half, is_last) {
	return half === '' ? [] : half.split(':').flatMap((word, place, all) => {
		const v4 = is_last && place == all.length - 1 ? parseIPv4(word) : null;

		return v4 ? [ v4[0] * 256 + v4[1], v4[2] * 256 + v4[3] ] : [ GROUP.test(word) ? parseInt(word, 16) : NaN ];
	});
}

/* As the daemon does; LuCI's own function takes no “::” in place of a single group. */
function parseIPv6(text) {
	const halves = text.split('::');
	const groups = halves.map((half, place) => parseGroups(half, place == halves.length - 1));
	const missing = GROUPS - groups.flat().length;

	if (halves.length > 2 || (halves.length == 2 ? missing < 1 : missing != 0) || groups.flat().some(isNaN))
		return null;

	return groups[0].concat(new Array(missing).fill(0), groups[1] || []);
}

/* An address as its bits' groups, or null. */
function address(text) {
	const v4 = parseIPv4(text);
	const groups = v4 || parseIPv6(text);

	return groups ? { groups: groups, width: v4 ? 8 : 16, bits: v4 ? IPV4_BITS : IPV6_BITS } : null;
}

/* The bits of an address from a place on, as text of 0 and 1. */
function bits(one) {
	return one.groups.map(group => group.toString(2).padStart(one.width, '0')).join('');
}

/* A prefix as { bits, length, family }, or null where the text is none. */
function parsePrefix(text) {
	const slash = text.lastIndexOf('/');
	const one = slash < 0 ? null : address(text.slice(0, slash));
	const length = slash < 0 ? '' : text.slice(slash + 1);

	if (!one || !LENGTH.test(length) || +length > one.bits)
		return null;

	return { bits: bits(one), length: +length, family: one.bits };
}

/* Whether every address of the inner prefix is one of the outer. */
function covers(outer, inner) {
	return outer.family == inner.family && outer.length <= inner.length &&
		outer.bits.startsWith(inner.bits.slice(0, outer.length));
}

function prefix(text) {
	const one = parsePrefix(text);

	if (!one)
		return _('This is not a prefix. Write ADDRESS/LENGTH, as 10.1.0.0/24 or fd10:1::/64.');

	if (one.bits.slice(one.length).includes('1'))
		return _('There are bits after the length: set them to zero, or write a longer prefix.');

	return true;
}

/* A prefix of addresses that hosts can have. */
function eidPrefix(text) {
	const is_prefix = prefix(text);

	if (is_prefix !== true)
		return is_prefix;

	const one = parsePrefix(text);
	const reserved = [ '0.0.0.0/32', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '::/128', '::1/128', 'fe80::/10', 'ff00::/8' ];

	if (one.length && reserved.some(other => covers(parsePrefix(other), one)))
		return _('Loopback, link-local and multicast addresses are no EIDs. Choose another prefix.');

	return true;
}

function number(min, max) {
	return function(text) {
		if (!NUMBER.test(text) || +text < min || +text > max)
			return _('Write a whole number from %d to %d.').format(min, max);

		return true;
	};
}

function table(text) {
	const last = 4294967290;
	const is_number = number(1, last)(text);

	if (text == 'main')
		return true;

	if (is_number !== true)
		return is_number;

	if (+text <= 255 && +text >= 248)
		return _('This table, or one of the five after it, is the kernel\'s own. Choose another, as 4342.');

	return true;
}

function mtu(text) {
	if (text == 'auto' || number(1280, 9000)(text) === true)
		return true;

	return _('Write “auto”, or octets from 1280 to 9000.');
}

function silence(text) {
	if (text == '0' || number(50, 60000)(text) === true)
		return true;

	return _('Write milliseconds from 50 to 60000, or 0 for never.');
}

function key(text) {
	if (text == NO_KEY || !KEY.test(text))
		return _('This is not a key: it has 44 characters and ends with “=”. Copy it again, all of it.');

	return true;
}

function secret(text) {
	if (octets(text) > MAX_SECRET)
		return _('A secret has at most %d octets. Shorten it.').format(MAX_SECRET);

	return true;
}

function device(text) {
	if (!DEVICE.test(text) || text == '.' || text == '..')
		return _('Write the name of a device: 1 to 15 characters without blanks, “/” and “:”.');

	return true;
}

function path(text) {
	if (text.charAt(0) != '/')
		return _('Write the whole path, from “/” on.');

	return true;
}

function socket(text) {
	if (octets(text) > MAX_SOCKET)
		return _('The path of a socket has at most %d octets. Shorten it.').format(MAX_SOCKET);

	return path(text);
}

function controlAddress(text) {
	const one = address(text);

	if (!one || !covers(parsePrefix('fd00::/8'), { bits: bits(one), length: IPV6_BITS, family: one.bits }))
		return _('Write an IPv6 address that begins with “fd”, or leave it empty.');

	return true;
}

function isHostName(text) {
	const name = text.replace(/\.$/, '');

	return name.length <= 253 && !DIGITS_AND_DOTS.test(name) && name.split('.').every(label => LABEL.test(label));
}

function isUnicast(one) {
	const all = bits(one);

	return all.includes('1') && !(one.bits == IPV4_BITS && (all.startsWith('1110') || !all.includes('0'))) &&
		!(one.bits == IPV6_BITS && all.startsWith('11111111'));
}

function endpoint(text) {
	const wrong = _('Write HOST:PORT, ADDRESS:PORT or [IPV6-ADDRESS]:PORT. Without a port it is 51821.');

	if (text.includes(':') && address(text))
		return _('Put an IPv6 address in brackets: [%s]:51821').format(text);

	const bracket = text.charAt(0) == '[' ? text.indexOf(']') : -1;
	const end = bracket > 0 ? bracket + 1 : (text.includes(':') ? text.indexOf(':') : text.length);
	const host = bracket > 0 ? text.slice(1, bracket) : text.slice(0, end);
	const port = text.slice(end);
	const one = address(host);

	if (port && (port.charAt(0) != ':' || !PORT.test(port.slice(1)) || number(1, 65535)(port.slice(1)) !== true))
		return _('The port is a number from 1 to 65535, after “:”.');

	if (bracket > 0 ? (!one || one.bits != IPV6_BITS) : !((one && one.bits == IPV4_BITS) || isHostName(host)))
		return wrong;

	if (one && !isUnicast(one))
		return _('No machine has this address. Write the one it can be reached at.');

	return true;
}

return baseclass.extend({
	parseIPv6: parseIPv6,
	prefix: prefix,
	eidPrefix: eidPrefix,
	parsePrefix: parsePrefix,
	covers: covers,
	number: number,
	table: table,
	mtu: mtu,
	silence: silence,
	key: key,
	secret: secret,
	device: device,
	path: path,
	socket: socket,
	controlAddress: controlAddress,
	endpoint: endpoint,

	/* A form option's `validate` that lets what is empty pass, and asks the others one by one. */
	optional: function() {
		const all = Array.prototype.slice.call(arguments);

		return function(section_id, value) {
			const text = value == null ? '' : String(value);

			for (const one of text === '' ? [] : all) {
				const is_right = one.call(this, text, section_id);

				if (is_right !== true)
					return is_right;
			}

			return true;
		};
	},

	/* As `optional`, for what must be there. */
	required: function() {
		const others = this.optional.apply(this, arguments);

		return function(section_id, value) {
			if (value == null || value === '')
				return _('This is needed. Fill it in.');

			return others.call(this, section_id, value);
		};
	},

	/* As `optional`, for a list; where it has no item, `missing` says so. LuCI asks with an empty value when it saves, and would drop what waits in the
	   field for its “+” and is wrong. */
	list: function(missing) {
		const others = this.optional.apply(this, Array.prototype.slice.call(arguments, 1));

		return function(section_id, value) {
			const element = this.getUIElement(section_id);
			const field = element ? element.node.querySelector('.add-item > input') : null;
			const text = value || (field ? field.value : '');

			if (!text && !L.toArray(this.formvalue(section_id)).length)
				return missing;

			return others.call(this, section_id, text);
		};
	}
});
