//! The overlay as an interface of netifd: what its protocol handler wants, and what netifd is told.

use std::net::IpAddr;

use control::Instant;
use linux::Text;
use ubus::{Status, Writer};

use super::Bus;
use super::call::MAX_NAME_LEN;
use crate::netifd::Netifd;
use crate::overlay::Overlay;
use crate::router::Router;

/// netifd's number of the change of a link, as its protocol handlers send it.
const LINK: i32 = 0;

/// An interface that netifd has brought up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: Text<MAX_NAME_LEN>,
    /// The MTU that its section sets.
    pub(super) mtu: Option<u16>,
    /// netifd was told what the overlay is now.
    pub(super) is_told: bool,
}

impl Bus {
    /// The MTU that netifd's interface sets, in octets; the smallest of several.
    pub(crate) fn mtu(&self) -> Option<u16> {
        self.wanted.iter().filter_map(|one| one.mtu).min()
    }
}

impl Router {
    /// netifd brings an interface up, or asks whether it is.
    pub(super) fn handle_interface_up(&mut self, wanted: Wanted, now: Instant) -> Status {
        if self.overlay.is_none() {
            return Status::NotSupported;
        }
        self.bus.wanted.retain(|one| one.name != wanted.name);
        if self.bus.wanted.push(wanted).is_err() {
            return Status::NoMemory;
        }
        self.is_to_fit = true;
        self.tell_wanted(now);
        Status::Ok
    }

    /// netifd takes an interface down.
    pub(super) fn handle_interface_down(&mut self, name: &str, now: Instant) -> Status {
        let Some(place) = self.bus.wanted.iter().position(|one| one.name.as_str() == name) else {
            return Status::NotFound;
        };
        self.bus.wanted.swap_remove(place);
        self.is_to_fit = true;
        self.tell_down(name, now);
        Status::Ok
    }

    /// The configuration was read again: netifd is told other EIDs, and nothing where there are none.
    pub(crate) fn follow_eids(&mut self, now: Instant) {
        let addresses = self.overlay.as_ref().map(Overlay::addresses).unwrap_or_default();
        if addresses != self.bus.told {
            self.bus.wanted.iter_mut().for_each(|one| one.is_told = false);
            self.tell_wanted(now);
        }
    }

    /// Tells netifd what it was not told yet: its protocol handler may have been here before netifd
    /// was found on the bus.
    pub(super) fn tell_wanted(&mut self, now: Instant) {
        let Router { bus, netifd, overlay, config, .. } = self;
        let addresses = overlay.as_ref().map(Overlay::addresses).unwrap_or_default();
        for one in bus.wanted.iter_mut().filter(|one| !one.is_told) {
            one.is_told = tell_up(netifd, &one.name, &config.devices.data, addresses, now);
            if one.is_told && bus.told != addresses {
                bus.told = addresses.to_vec();
            }
        }
    }

    /// This process ends; netifd keeps its interfaces for the next.
    pub(crate) fn leave_bus(&mut self, now: Instant) {
        for Wanted { name, .. } in std::mem::take(&mut self.bus.wanted) {
            self.tell_down(name.as_str(), now);
        }
        self.netifd.flush(now);
    }

    fn tell_down(&mut self, name: &str, now: Instant) {
        self.netifd.order("notify_proto", now, &mut |writer| {
            writer.i32("action", LINK);
            writer.string("interface", name);
            writer.boolean("link-up", false);
        });
    }
}

/// netifd takes the device as it is: who makes it configures it.
fn tell_up(
    netifd: &mut Netifd,
    name: &Text<MAX_NAME_LEN>,
    device: &str,
    addresses: &[IpAddr],
    now: Instant,
) -> bool {
    netifd.order("notify_proto", now, &mut |writer| {
        writer.i32("action", LINK);
        writer.string("interface", name.as_str());
        writer.boolean("link-up", true);
        writer.string("ifname", device);
        writer.boolean("address-external", true);
        write_addresses("ipaddr", "32", addresses, IpAddr::is_ipv4, writer);
        write_addresses("ip6addr", "128", addresses, IpAddr::is_ipv6, writer);
    })
}

fn write_addresses(
    name: &str,
    mask: &str,
    addresses: &[IpAddr],
    is_meant: fn(&IpAddr) -> bool,
    writer: &mut Writer<'_>,
) {
    if !addresses.iter().any(is_meant) {
        return;
    }
    writer.array(name, &mut |writer| {
        for address in addresses.iter().filter(|one| is_meant(one)) {
            writer.table("", &mut |writer| {
                writer.string("ipaddr", address.to_string());
                writer.string("mask", mask);
            });
        }
    });
}
