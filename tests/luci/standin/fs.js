'use strict';
'require baseclass';
'require rpc';

/* Commands, as rpcd runs them, and files, as it writes them. */

const NAMES = { 2: 'InvalidArgumentError', 3: 'MethodNotFoundError', 4: 'NotFoundError', 5: 'NoDataError', 6: 'PermissionError', 7: 'TimeoutError' };
const callExec = rpc.declare({ object: 'file', method: 'exec', params: [ 'command', 'params', 'env' ] });
const callWrite = rpc.declare({ object: 'file', method: 'write', params: [ 'path', 'data', 'mode' ] });

function refuse(status) {
	if (typeof(status) == 'number' && status != 0)
		throw Object.assign(new Error(rpc.getStatusText(status)), { name: NAMES[status] || 'Error' });
}

return baseclass.extend({
	exec: function(command, params, env) {
		return callExec(command, Array.isArray(params) ? params : null, L.isObject(env) ? env : null).then(value => {
			refuse(value);
			if (!L.isObject(value))
				throw Object.assign(new Error('Unexpected reply data format'), { name: 'TypeError' });

			return value;
		});
	},

	write: (path, data, mode) => callWrite(path, String(data), mode == null ? 0o644 : mode).then(value => {
		refuse(value);
		return 0;
	})
});
