//! What is asked on the control socket, and its answers.

use control::{Eid, Instant, Mapping};
use linux::poller::Interest;

use crate::control_socket::{MAX_CONNECTIONS, Request};
use crate::router::{Router, Source};
use crate::{lig, report, told};

impl Router {
    /// Takes a waiting connection and watches it.
    pub(crate) fn accept(&mut self, now: Instant) {
        let Some(slot) = self.socket.accept(now) else { return };
        if let Some((fd, _)) = self.socket.connection(slot)
            && let Err(error) =
                self.poller.add(fd, Source::Connection(slot).token(), Interest::Readable)
        {
            log::debug!("control socket: {error}");
        }
    }

    /// Reads what a connection asks, or writes what it did not take yet.
    pub(crate) fn handle_connection(&mut self, slot: usize, now: Instant) {
        if slot >= MAX_CONNECTIONS {
            return;
        }
        match self.socket.handle_ready(slot, now) {
            Some(Request::Status { is_json }) => {
                self.plane.refresh_status(now);
                let status = report::status(self, now);
                let body = if is_json { status.to_json() } else { status.to_string() };
                self.answer(slot, status.exit_code(), &body);
            }
            Some(Request::Handovers { is_json }) => {
                let body = if is_json {
                    told::json(told::Value::List(&self.handovers))
                } else {
                    self.handovers.table()
                };
                self.answer(slot, 0, &body);
            }
            Some(Request::Lig { address, is_json }) => {
                let instance_id = self.config.instance_id;
                self.handle_lig(slot, Eid { instance_id, address }, is_json, now);
            }
            None => {}
        }
    }

    /// An xTR asks the mapping system; a Map-Server alone is the mapping system.
    fn handle_lig(&mut self, slot: usize, eid: Eid, is_json: bool, now: Instant) {
        if self.node.xtr().is_some() {
            return self.node.handle_lig(eid, now);
        }
        let (code, body) = lig::answer(eid, self.registered_mapping(eid), is_json);
        self.answer(slot, code, &body);
    }

    /// What is registered here of an EID.
    pub(crate) fn registered_mapping(&self, eid: Eid) -> Option<&Mapping> {
        let sites = self.node.map_server().into_iter().flat_map(|one| one.sites());
        let mappings = sites.flat_map(|site| site.registrations()).map(|row| row.mapping);
        mappings
            .filter(|mapping| mapping.eid_prefix.contains(eid))
            .max_by_key(|mapping| mapping.eid_prefix.len())
    }

    /// Answers a connection; what the socket does not take at once goes when it is writable.
    fn answer(&mut self, slot: usize, code: u8, body: &str) {
        self.socket.answer(slot, code, body);
        if let Some((fd, true)) = self.socket.connection(slot) {
            let token = Source::Connection(slot).token();
            if let Err(error) = self.poller.modify(fd, token, Interest::Writable) {
                log::debug!("control socket: {error}");
            }
        }
    }

    /// Gives the mapping system's answer to everybody who waits for it.
    pub(crate) fn answer_lig(&mut self, eid: Eid, mapping: Option<&Mapping>) {
        let waiting: Vec<_> = self.socket.waiting_for(eid.address).collect();
        for (slot, is_json) in waiting {
            let (code, body) = lig::answer(eid, mapping, is_json);
            self.answer(slot, code, &body);
        }
        self.answer_resolves(eid, mapping);
    }
}
