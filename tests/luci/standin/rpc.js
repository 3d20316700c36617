'use strict';
'require baseclass';

/* Calls over JSON-RPC. Without `reject`, a failed call gives the number of its status. */

let number = 0;
const TEXTS = [ 'Command OK', 'Invalid command', 'Invalid argument', 'Method not found', 'Resource not found', 'No data received', 'Permission denied', 'Request timeout', 'Not supported' ];

function post(message) {
	return fetch(L.env.ubuspath, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(message) })
		.catch(() => { throw new Error('XHR request aborted by browser'); });
}

function frame(options, reply) {
	if (!reply.ok)
		L.raise('RPCError', 'RPC call to %s/%s failed with HTTP error %d: %s', options.object, options.method, reply.status, reply.statusText || '?');

	return reply.json();
}

return baseclass.extend({
	declare: function(options) {
		return (...values) => {
			const given = {};

			(options.params || []).forEach((name, place) => { given[name] = values[place]; });

			return post({ jsonrpc: '2.0', id: ++number, method: 'call', params: [ L.env.sessionid, options.object, options.method, given ] })
				.then(reply => frame(options, reply))
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
