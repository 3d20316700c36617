'use strict';
'require baseclass';
'require dom';
'require ui';

/* A page: loads, renders, and has a footer that saves its forms. */

return baseclass.extend({
	__init__: function() {
		const place = document.getElementById('view');

		dom.content(place, E('div', { 'class': 'spinning' }, [ 'Loading view…' ]));

		return Promise.resolve(this.load()).then(value => this.render(value)).then(nodes => {
			dom.content(place, nodes);
			dom.append(place, this.addFooter());
			document.body.setAttribute('data-rendered', '');
		}).catch(L.showError);
	},

	load: () => {},

	render: () => {},

	maps: () => Array.from(document.querySelectorAll('#maincontent .cbi-map')),

	handleSave: function() {
		return Promise.all(this.maps().map(node => dom.findClassInstance(node).save()));
	},

	handleSaveApply: function(ev, mode) {
		return this.handleSave(ev).then(() => ui.changes.apply(mode == '0'));
	},

	handleReset: function() {
		return Promise.all(this.maps().map(node => dom.findClassInstance(node).reset()));
	},

	addFooter: function() {
		const button = (name, title) => (this[name] ? [ E('button', {
			'class': 'btn cbi-button', 'data-footer': name, 'disabled': L.hasViewPermission() ? null : 'disabled', 'click': ui.createHandlerFn(this, name)
		}, [ title ]) ] : []);
		const buttons = button('handleSaveApply', 'Save & Apply').concat(button('handleSave', 'Save'), button('handleReset', 'Reset'));

		return buttons.length ? E('div', { 'class': 'cbi-page-actions' }, buttons) : E([]);
	}
});
