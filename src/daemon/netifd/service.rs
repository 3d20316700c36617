//! What our object does on a connection: it is called, it tells, and it has netifd do something.

use control::Instant;
use linux::Text;
use ubus::{Invocation, Status, Writer};

use super::asked::Asked;
use super::interfaces::MAX_OURS;
use super::session::Session;
use crate::bus::call::{Call, MAX_NAME_LEN};

impl Session {
    /// The next call of our object; none before what was answered last is on its way.
    pub(super) fn poll_call(&mut self) -> Option<(Invocation, Call)> {
        if self.client.waiting().is_empty() { self.object.poll_call() } else { None }
    }

    /// Answers a call with the fields that `fill` writes, if any. A caller on an earlier
    /// connection has no answer to wait for.
    pub(super) fn answer(
        &mut self,
        invocation: &Invocation,
        mut status: Status,
        fill: &mut dyn FnMut(&mut Writer<'_>),
    ) {
        if self.object.id() != Some(invocation.object) {
            return;
        }
        if status == Status::Ok && self.client.reply(invocation, fill).is_err() {
            status = Status::UnknownError;
        }
        self.counters.unanswered += u64::from(self.client.finish(invocation, status).is_err());
    }

    /// True while somebody hears our object's notifications.
    pub(super) fn is_heard(&self) -> bool {
        self.object.heard().is_some()
    }

    /// Tells whoever hears our object.
    pub(super) fn notify(&mut self, name: &str, fill: &mut dyn FnMut(&mut Writer<'_>)) {
        let Some(object) = self.object.heard() else { return };
        let is_told = self.client.notify(object, name, fill).is_ok();
        *(if is_told { &mut self.counters.told } else { &mut self.counters.untold }) += 1;
    }

    /// Has netifd do something; whether it is there to be asked.
    pub(super) fn order(
        &mut self,
        method: &str,
        now: Instant,
        fill: &mut dyn FnMut(&mut Writer<'_>),
    ) -> bool {
        let Some(source) = self.source.filter(|_| !self.orders.is_full()) else { return false };
        let asked = Asked::new(self.client.invoke(source, method, fill), now);
        asked.is_ok_and(|asked| self.orders.push(asked).is_ok())
    }

    /// Interfaces of ours that netifd has already come back to us, once they can.
    pub(super) fn renew(&mut self, now: Instant) {
        if self.is_renewed || !self.is_whole || self.object.id().is_none() {
            return;
        }
        self.is_renewed = true;
        let ours: heapless::Vec<Text<MAX_NAME_LEN>, MAX_OURS> = self.interfaces.ours().collect();
        for name in &ours {
            self.order("renew", now, &mut |writer| writer.string("interface", name.as_str()));
        }
    }
}
