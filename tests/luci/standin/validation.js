'use strict';
'require baseclass';

/* Addresses, and the data types that the pages name. */

function inRange(value, min, max) {
	return /^-?[0-9]+$/.test(value) && +value >= min && +value <= max;
}

const TYPES = {
	string: () => true,
	uinteger: value => /^[0-9]+$/.test(value),
	range: inRange,
	uciname: value => /^[a-zA-Z0-9_]+$/.test(value)
};

return baseclass.extend({
	parseIPv4: function(text) {
		const found = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
		const groups = found ? found.slice(1).map(Number) : [];

		return groups.length && groups.every(group => group <= 255) ? groups : null;
	},

	parseIPv6: function(text) {
		const mapped = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);

		if (mapped) {
			const v4 = this.parseIPv4(mapped[2]);

			return v4 ? this.parseIPv6(mapped[1] + ((v4[0] << 8) | v4[1]).toString(16) + ':' + ((v4[2] << 8) | v4[3]).toString(16)) : null;
		}

		const halves = text.split('::');
		const groups = half => (half == null || half == '' ? [] : half.split(':').map(one => (/^[0-9a-fA-F]{1,4}$/.test(one) ? parseInt(one, 16) : NaN)));
		const before = groups(halves[0]);
		const after = groups(halves[1]);
		const missing = 8 - before.length - after.length;

		if (halves.length > 2 || (halves.length == 2 ? missing < 1 : missing != 0) || before.concat(after).some(isNaN))
			return null;

		return before.concat(new Array(missing).fill(0), after);
	},

	/* What is wrong with a value, or null. */
	problem: function(type, value, is_optional, validate) {
		if (value === '' && !is_optional)
			return 'Expecting: non-empty value';

		const [ , name, values ] = /^(\w+)(?:\(([^)]*)\))?$/.exec(type || 'string');

		if (!TYPES[name])
			throw new TypeError(`no data type ${type}`);

		if (value !== '' && !TYPES[name](value, ...(values ? values.split(',').map(Number) : [])))
			return `Expecting: ${type}`;

		const answer = typeof(validate) == 'function' ? validate(value) : true;
		return answer === true ? null : String(answer);
	}
});
