'use strict';
'require baseclass';
'require rpc';

/* netifd's interfaces, and handlers of protocols. */

const callDump = rpc.declare({ object: 'network.interface', method: 'dump', expect: { interface: [] } });
const protocols = {};
const errors = {};

const Protocol = baseclass.extend({
	__init__: function(name) {
		this.sid = name;
	},

	_ubus: function(field) {
		return this.status ? this.status[field] : null;
	},

	getName: function() {
		return this.sid;
	},

	getProtocol: function() {
		return this.status ? this.status.proto : null;
	},

	getIPAddr: function() {
		const all = this._ubus('ipv4-address');

		return all && all.length ? all[0].address : null;
	}
});

return baseclass.extend({
	protocols: protocols, errors: errors,

	registerProtocol: function(name, methods) {
		protocols[name] = Protocol.extend(methods);
		return protocols[name];
	},

	registerErrorCode: function(code, text) {
		errors[code] = text;
		return true;
	},

	getNetworks: () => callDump().then(all => all.map(status => Object.assign(new Protocol(status.interface), { status: status }))),

	getWANNetworks: function() {
		return this.getNetworks().then(all => all.filter(one => (one._ubus('route') || []).some(route => route.target == '0.0.0.0' && route.mask == 0)));
	},

	getIfnameOf: one => (typeof(one) == 'string' ? one : one.ifname)
});
