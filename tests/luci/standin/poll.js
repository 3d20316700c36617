'use strict';
'require baseclass';

/* Functions that are called every so many seconds, none of them again before it ended. */

const entries = [];
let tick = 0;

window.setInterval(() => {
	for (const entry of entries)
		if (tick % entry.interval == 0 && !entry.is_running) {
			entry.is_running = true;
			Promise.resolve(entry.run()).finally(() => { entry.is_running = false; });
		}

	tick++;
}, 1000);

return baseclass.extend({
	add: function(run, interval) {
		if (typeof(run) != 'function')
			throw new TypeError('Invalid argument to LuCI.poll.add()');

		entries.push({ run: run, interval: interval || 5 });
		return true;
	}
});
