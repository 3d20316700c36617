'use strict';
'require baseclass';
'require rpc';

/* Commands, as rpcd runs them. */

const NAMES = { 2: 'InvalidArgumentError', 3: 'MethodNotFoundError', 4: 'NotFoundError', 5: 'NoDataError', 6: 'PermissionError', 7: 'TimeoutError' };
const callExec = rpc.declare({ object: 'file', method: 'exec', params: [ 'command', 'params', 'env' ] });

return baseclass.extend({
	exec: function(command, params, env) {
		return callExec(command, Array.isArray(params) ? params : null, L.isObject(env) ? env : null).then(value => {
			if (typeof(value) == 'number' && value != 0)
				throw Object.assign(new Error(rpc.getStatusText(value)), { name: NAMES[value] || 'Error' });

			if (!L.isObject(value))
				throw Object.assign(new Error('Unexpected reply data format'), { name: 'TypeError' });

			return value;
		});
	}
});
