'use strict';
'require baseclass';

/* The data types that the pages name. */

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
