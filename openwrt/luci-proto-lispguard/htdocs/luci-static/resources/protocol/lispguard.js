'use strict';
'require form';
'require network';

/* The overlay as an interface; everything else about it stands in /etc/config/lispguard. */

const ERRORS = {
	INVALID_MTU: _('lispguard does not take this MTU: write 1280 to 9000, or leave it empty'),
	NOT_RUNNING: _('lispguard is not running: start it under System, Startup'),
	NO_DATA_DEVICE: _('This node is a Map-Server alone, which has no overlay: give it the role of an xTR or a mobile node, too'),
	NO_SUCH_INSTANCE: _('There is one instance only: write “main”, or leave it empty'),
	NO_ANSWER: _('lispguard did not answer: look into the system log')
};

for (const code in ERRORS)
	network.registerErrorCode(code, ERRORS[code]);

return network.registerProtocol('lispguard', {
	getI18n: function() {
		return _('lispguard (LISP over WireGuard)');
	},

	getIfname: function() {
		return this._ubus('l3_device') || this.sid;
	},

	/* The package that brings the handler, as LuCI of 24.10 asks for it, and as later ones do. */
	getOpkgPackage: function() {
		return 'lispguard';
	},

	getPackageName: function() {
		return 'lispguard';
	},

	isFloating: function() {
		return true;
	},

	isVirtual: function() {
		return true;
	},

	getDevices: function() {
		return null;
	},

	containsDevice: function(ifname) {
		return network.getIfnameOf(ifname) == this.getIfname();
	},

	renderFormOptions: function(section) {
		let option = section.taboption('general', form.Value, 'instance', _('Instance'),
			_('Which lispguard this is the overlay of. There is one, called “main”.'));
		option.placeholder = 'main';
		option.validate = function(section_id, value) {
			return !value || value == 'main' ? true : ERRORS.NO_SUCH_INSTANCE;
		};

		option = section.taboption('advanced', form.Value, 'mtu', _('MTU'),
			_('Octets of a packet in the overlay. If empty, what lispguard is set to.'));
		option.placeholder = _('as lispguard is set');
		option.datatype = 'range(1280, 9000)';

		option = section.taboption('advanced', form.Value, 'metric', _('Metric'), _('Of the routes that lead over this interface.'));
		option.placeholder = '0';
		option.datatype = 'uinteger';
	}
});
