'use strict';
'require baseclass';

/* Calls over JSON-RPC. Without `reject`, a failed call gives the number of its status. */

let number = 0;
const TEXTS = [ 'Command OK', 'Invalid command', 'Invalid argument', 'Method not found', 'Resource not found', 'No data received', 'Permission denied', 'Request timeout', 'Not supported' ];

let queue = [];

/* Calls of the same moment go together, and one alone in a list, too. What is no list of answers, as a page that says HTTP 404, is lost. */
function flush() {
	const calls = queue;

	queue = [];
	fetch(L.env.ubuspath, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(calls.map(call => call.message)) })
		.catch(() => { throw new Error('XHR request aborted by browser'); })
		.then(reply => reply.json().catch(() => null))
		.then(all => calls.forEach((call, place) => {
			if (Array.isArray(all) && place < all.length)
				call.resolve(all[place]);
			else
				call.reject(new Error('No related RPC reply'));
		}))
		.catch(error => calls.forEach(call => call.reject(error)));
}

function post(message) {
	return new Promise((resolve, reject) => {
		if (queue.push({ message: message, resolve: resolve, reject: reject }) == 1)
			requestAnimationFrame(flush);
	});
}

return baseclass.extend({
	declare: function(options) {
		return (...values) => {
			const given = {};

			(options.params || []).forEach((name, place) => { given[name] = values[place]; });

			return post({ jsonrpc: '2.0', id: ++number, method: 'call', params: [ L.env.sessionid, options.object, options.method, given ] })
				.then(message => this.result(options, message));
		};
	},

	result: function(options, message) {
		if (!L.isObject(message) || message.jsonrpc != '2.0')
			L.raise('RPCError', 'RPC call to %s/%s returned invalid message frame', options.object, options.method);

		if (L.isObject(message.error))
			L.raise('RPCError', 'RPC call to %s/%s failed with error %d: %s', options.object, options.method, message.error.code, message.error.message);

		const status = message.result[0];

		if (options.reject && status !== 0)
			L.raise('RPCError', 'RPC call to %s/%s failed with ubus code %d: %s', options.object, options.method, status, this.getStatusText(status));

		let value = message.result.length > 1 ? message.result[1] : status;

		for (const key in options.expect) {
			if (value != null && key != '')
				value = value[key];

			if (value == null || Object.prototype.toString.call(value) != Object.prototype.toString.call(options.expect[key]))
				value = options.expect[key];
		}

		return value;
	},

	getStatusText: status => TEXTS[status] || 'Unknown error code'
});
