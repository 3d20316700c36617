//! Our object on OpenWrt's bus: its methods, what its subscribers are told, and the overlay as an
//! interface of netifd. What it tells is what the control socket tells.

pub(crate) mod call;
mod interfaces;
mod notifications;
mod table;

use std::net::IpAddr;

use control::{Duration, Eid, Instant, Mapping};
use ubus::{Invocation, Status};

use crate::lig::Answer;
use crate::netifd::Netifd;
use crate::report;
use crate::router::Router;
use crate::told::{List, Object};

use self::call::Call;
use self::interfaces::Wanted;

/// Callers that wait for the mapping system at most.
const MAX_WAITING: usize = 8;
/// The mapping system answers by then, or says that it does not.
const PATIENCE: Duration = Duration::from_secs(20);
/// Interfaces of netifd that are the overlay at most.
const MAX_WANTED: usize = 4;

/// A caller that waits for an EID.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    invocation: Invocation,
    address: IpAddr,
    until: Instant,
}

/// What a caller is told whose reload procd did not take.
const BY_HAND: &str = "procd did not take it; as root: service lispguard reload";

/// What is remembered between two calls.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    waiting: heapless::Vec<Waiting, MAX_WAITING>,
    /// Callers that wait for procd.
    reloading: heapless::Vec<Invocation, MAX_WAITING>,
    wanted: heapless::Vec<Wanted, MAX_WANTED>,
    /// The EIDs that netifd was told last.
    told: Vec<IpAddr>,
}

impl Bus {
    /// When [`Router::serve_bus`] is to be called.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.waiting.iter().map(|one| one.until).min()
    }
}

impl Router {
    /// Answers what was called, and tells subscribers what happened.
    pub(crate) fn serve_bus(&mut self, now: Instant) {
        while let Some((invocation, call)) = self.netifd.poll_call() {
            self.handle_call(&invocation, call, now);
            self.drain(now);
            self.netifd.flush(now);
        }
        self.end_reloading();
        self.tell_wanted(now);
        self.end_waiting(Status::Timeout, |waiting| waiting.until <= now);
        self.notify_handovers();
        self.netifd.flush(now);
    }

    fn handle_call(&mut self, invocation: &Invocation, call: Call, now: Instant) {
        match call {
            Call::Status => {
                self.plane.refresh_status(now);
                let status = report::status(self, now);
                tell_object(&mut self.netifd, invocation, &status);
            }
            Call::MapCache => {
                let rows = report::map_cache(self, now);
                tell_list(&mut self.netifd, invocation, "mappings", &rows);
            }
            Call::Registrations => {
                let sites = report::registrations(self, now);
                tell_list(&mut self.netifd, invocation, "sites", &sites);
            }
            Call::Handovers => {
                tell_list(&mut self.netifd, invocation, "handovers", &self.handovers);
            }
            Call::Resolve(address) => self.handle_resolve(invocation, address, now),
            Call::Reload => self.handle_reload(invocation, now),
            Call::InterfaceUp { interface, mtu } => {
                let status =
                    self.handle_interface_up(Wanted { name: interface, mtu, is_told: false }, now);
                self.netifd.answer(invocation, status, &mut |_| {});
            }
            Call::InterfaceDown { interface } => {
                let status = self.handle_interface_down(interface.as_str(), now);
                self.netifd.answer(invocation, status, &mut |_| {});
            }
        }
    }

    /// A copy is as old as the last reload of the service, which is procd's to run.
    fn handle_reload(&mut self, invocation: &Invocation, now: Instant) {
        let is_copy = self.file.0.to_str() != Some(&self.file.1);
        if !is_copy {
            let result = self.reload(now);
            return answer_reload(&mut self.netifd, invocation, result.err().as_deref());
        }
        match self.bus.reloading.push(*invocation) {
            Ok(()) => self.netifd.ask_for_reload(now),
            Err(_) => self.netifd.answer(invocation, Status::NoMemory, &mut |_| {}),
        }
    }

    fn end_reloading(&mut self) {
        let Some(status) = self.netifd.poll_reload() else { return };
        let error = (status != Status::Ok).then_some(BY_HAND);
        for invocation in std::mem::take(&mut self.bus.reloading) {
            answer_reload(&mut self.netifd, &invocation, error);
        }
    }

    /// An xTR asks the mapping system; a Map-Server alone is the mapping system.
    fn handle_resolve(&mut self, invocation: &Invocation, address: IpAddr, now: Instant) {
        let eid = Eid { instance_id: self.config.instance_id, address };
        if self.node.xtr().is_none() {
            return match self.registered_mapping(eid).cloned() {
                None => self.netifd.answer(invocation, Status::NotFound, &mut |_| {}),
                mapping => self.answer_resolve(invocation, eid, mapping.as_ref()),
            };
        }
        let waiting = Waiting { invocation: *invocation, address, until: now + PATIENCE };
        match self.bus.waiting.push(waiting) {
            Ok(()) => self.node.handle_lig(eid, now),
            Err(_) => self.netifd.answer(invocation, Status::NoMemory, &mut |_| {}),
        }
    }

    /// The mapping system's answer is there for everybody who waits for it.
    pub(crate) fn answer_resolves(&mut self, eid: Eid, mapping: Option<&Mapping>) {
        while let Some(place) = self.bus.waiting.iter().position(|one| one.address == eid.address) {
            let waiting = self.bus.waiting.swap_remove(place);
            self.answer_resolve(&waiting.invocation, eid, mapping);
        }
    }

    fn answer_resolve(&mut self, invocation: &Invocation, eid: Eid, mapping: Option<&Mapping>) {
        match mapping {
            None => self.netifd.answer(invocation, Status::Timeout, &mut |_| {}),
            Some(mapping) if mapping.locators.is_empty() => {
                self.netifd.answer(invocation, Status::NotFound, &mut |_| {});
            }
            Some(_) => {
                tell_object(&mut self.netifd, invocation, &Answer::of(eid, mapping));
            }
        }
    }

    fn end_waiting(&mut self, status: Status, is_ended: impl Fn(&Waiting) -> bool) {
        while let Some(place) = self.bus.waiting.iter().position(&is_ended) {
            let waiting = self.bus.waiting.swap_remove(place);
            self.netifd.answer(&waiting.invocation, status, &mut |_| {});
        }
    }
}

fn answer_reload(netifd: &mut Netifd, invocation: &Invocation, error: Option<&str>) {
    netifd.answer(invocation, Status::Ok, &mut |writer| {
        if let Some(error) = error {
            writer.string("error", error);
        }
    });
}

fn tell_object(netifd: &mut Netifd, invocation: &Invocation, object: &dyn Object) {
    netifd.answer(invocation, Status::Ok, &mut |writer| table::object(object, writer));
}

fn tell_list(netifd: &mut Netifd, invocation: &Invocation, name: &str, list: &dyn List) {
    netifd.answer(invocation, Status::Ok, &mut |writer| table::list(name, list, writer));
}
