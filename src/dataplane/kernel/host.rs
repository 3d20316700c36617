//! The kernel that this process runs on.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use control::{Duration, EidPrefix, MAX_LANES};
use linux::netlink::wireguard::{AllowedIp, DeviceUpdate, Peer, PeerUpdate, Wireguard};
use linux::netlink::{
    self, Error, InterfaceName, LinkStatistics, NextHop, Route, RouteKind, TABLE_MAIN,
};
use linux::packet::{Bell, Doorbell, Injector};
use linux::tun::Tun;
use linux::udp::Socket;
use linux::{Errno, TransferError};

use super::operations::{Device, Operations, Resolved};
use super::{RESOLVED_METRIC, ROUTE_PROTOCOL};
use crate::{Interface, Source};

/// A listing is repeated when the peers changed meanwhile.
const LISTING_ATTEMPTS: usize = 4;

/// A WireGuard interface with what sends and receives at it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) index: u32,
    pub(super) port: u16,
    pub(super) fwmark: u32,
    pub(super) injector: Injector,
    pub(super) socket: Socket,
    /// Of a lane.
    pub(super) doorbell: Option<Doorbell>,
}

/// The netlink sockets, the interfaces and the TUN device.
pub(super) struct Host {
    pub(super) netlink: netlink::Socket,
    pub(super) wireguard: Wireguard,
    pub(super) control: Port,
    pub(super) lanes: heapless::Vec<Port, MAX_LANES>,
    pub(super) miss: Option<Tun>,
    pub(super) resolved_table: u32,
    pub(super) sources: (Option<Ipv4Addr>, Option<Ipv6Addr>),
    pub(super) strict: Vec<InterfaceName>,
}

impl Host {
    pub(super) fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>)> {
        let miss = self.miss.as_ref().map(|tun| (Source::Tun, tun.as_fd()));
        let control = Source::Messages { interface: Interface::Control, lane: 0 };
        let lanes = self.lanes.iter().enumerate().map(|(lane, port)| {
            let lane = lane as u8;
            (Source::Messages { interface: Interface::Data, lane }, port.socket.as_fd())
        });
        let doorbells = self.lanes.iter().enumerate().filter_map(|(lane, port)| {
            Some((Source::Doorbell { lane: lane as u8 }, port.doorbell.as_ref()?.as_fd()))
        });
        let control = (control, self.control.socket.as_fd());
        miss.into_iter().chain([control]).chain(lanes).chain(doorbells)
    }

    pub(super) fn port(&self, device: Device) -> Option<u16> {
        self.device(device).map(|port| port.port)
    }

    pub(super) fn index(&self, device: Device) -> Option<u32> {
        self.device(device).map(|port| port.index)
    }

    pub(super) fn miss_index(&self) -> Option<u32> {
        self.miss.as_ref().map(Tun::index)
    }

    pub(super) fn strictly_filtered(&self) -> impl Iterator<Item = &str> {
        self.strict.iter().map(|name| name.as_str())
    }

    pub(super) fn set_mtu(&mut self, mtu: u32) -> Result<(), Error> {
        let ports = [&self.control].into_iter().chain(self.lanes.iter());
        let indices = ports.map(|port| port.index).chain(self.miss.as_ref().map(Tun::index));
        for index in indices {
            self.netlink.set_link_mtu(index, mtu)?;
        }
        Ok(())
    }

    /// Sets what locally made packets come from; says whether that is new.
    pub(super) fn set_sources(&mut self, v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> bool {
        core::mem::replace(&mut self.sources, (v4, v6)) != (v4, v6)
    }

    fn device(&self, device: Device) -> Option<&Port> {
        match device {
            Device::Control => Some(&self.control),
            Device::Lane(lane) => self.lanes.get(usize::from(lane)),
        }
    }

    fn doorbell(&self, lane: u8) -> Option<&Doorbell> {
        self.lanes.get(usize::from(lane))?.doorbell.as_ref()
    }

    fn route(&self, eid_prefix: &EidPrefix, kind: RouteKind) -> Route {
        let mut route = Route::new(eid_prefix.address(), eid_prefix.len());
        (route.table, route.protocol, route.kind) = (self.resolved_table, ROUTE_PROTOCOL, kind);
        route.metric = (self.resolved_table == TABLE_MAIN).then_some(RESOLVED_METRIC);
        if kind == RouteKind::Unicast {
            route.source = match eid_prefix.address() {
                IpAddr::V4(_) => self.sources.0.map(IpAddr::V4),
                IpAddr::V6(_) => self.sources.1.map(IpAddr::V6),
            };
        }
        route
    }

    fn write_route(&mut self, mut route: Route, hops: &[(u8, u8)]) -> Result<(), Error> {
        let mut next_hops = heapless::Vec::<NextHop, MAX_LANES>::new();
        next_hops.extend(hops.iter().filter_map(|(lane, weight)| {
            let output = self.lanes.get(usize::from(*lane))?.index;
            Some(NextHop { output, gateway: None, weight: *weight })
        }));
        if let [hop] = next_hops.as_slice() {
            route.output = Some(hop.output);
            return self.netlink.replace_route(&route);
        }
        self.netlink.replace_multipath(&route, &next_hops)
    }
}

fn is_not_ours(error: &Error) -> bool {
    error.errno() == Some(Errno::EINVAL)
}

impl Operations for Host {
    fn set_peer(
        &mut self,
        device: Device,
        update: &PeerUpdate,
        allowed_ips: &mut dyn Iterator<Item = AllowedIp>,
    ) -> Result<(), Error> {
        let index = self.index(device).ok_or(Error::Socket(Errno::ENODEV))?;
        self.wireguard.set_peer(index, update, allowed_ips)
    }

    fn peers(&mut self, device: Device, each: &mut dyn FnMut(&Peer)) -> Result<(), Error> {
        let index = self.index(device).ok_or(Error::Socket(Errno::ENODEV))?;
        let mut result = Ok(());
        for _ in 0..LISTING_ATTEMPTS {
            result = self.wireguard.peers(index, &mut *each);
            if result != Err(Error::Interrupted) {
                break;
            }
        }
        result
    }

    fn forget_paths(&mut self, device: Device) -> Result<(), Error> {
        let port = self.device(device).ok_or(Error::Socket(Errno::ENODEV))?;
        // The mark stays; but when it is set, the kernel forgets all that was chosen by it.
        let update = DeviceUpdate { fwmark: Some(port.fwmark), ..DeviceUpdate::default() };
        self.wireguard.set_device(port.index, &update)
    }

    fn statistics(&mut self, lane: u8) -> Result<LinkStatistics, Error> {
        let index = self.index(Device::Lane(lane)).ok_or(Error::Socket(Errno::ENODEV))?;
        self.netlink.link_statistics(index)
    }

    fn bell(&self, lane: u8) -> Bell {
        self.doorbell(lane).map_or(Bell::Off, Doorbell::bell)
    }

    fn set_bell(&mut self, lane: u8, bell: Bell) -> bool {
        let doorbell =
            self.lanes.get_mut(usize::from(lane)).and_then(|port| port.doorbell.as_mut());
        doorbell.is_some_and(|doorbell| doorbell.set(bell).is_ok())
    }

    fn take_ring(&mut self, lane: u8) -> bool {
        self.doorbell(lane).is_some_and(Doorbell::take_ring)
    }

    fn wall_clock(&self) -> Duration {
        linux::clock::wall()
    }

    fn inject(&mut self, device: Device, packet: &[u8]) -> bool {
        self.device(device).is_some_and(|port| port.injector.send(packet).is_ok())
    }

    fn set_route(
        &mut self,
        eid_prefix: &EidPrefix,
        old: &Resolved,
        new: &Resolved,
    ) -> Result<(), Error> {
        // The main table has none to throw to: who put us there leads it out of the overlay.
        let is_nothing = *new == Resolved::Throw && self.resolved_table == TABLE_MAIN;
        match if is_nothing { &Resolved::Nothing } else { new } {
            Resolved::Nothing => {
                let kind = match old {
                    Resolved::Nothing => return Ok(()),
                    Resolved::Lanes(_) => RouteKind::Unicast,
                    Resolved::Unreachable => RouteKind::Unreachable,
                    Resolved::Throw => RouteKind::Throw,
                };
                let route = Route { source: None, ..self.route(eid_prefix, kind) };
                match self.netlink.delete_route(&route) {
                    Err(error) if error.is_missing() => Ok(()),
                    result => result,
                }
            }
            Resolved::Lanes(hops) => {
                let route = self.route(eid_prefix, RouteKind::Unicast);
                match self.write_route(route, hops) {
                    // The source is no address of this machine any more.
                    Err(error) if route.source.is_some() && is_not_ours(&error) => {
                        self.write_route(Route { source: None, ..route }, hops)
                    }
                    result => result,
                }
            }
            Resolved::Unreachable => {
                self.netlink.replace_route(&self.route(eid_prefix, RouteKind::Unreachable))
            }
            Resolved::Throw => {
                self.netlink.replace_route(&self.route(eid_prefix, RouteKind::Throw))
            }
        }
    }

    fn receive_miss(&mut self, buffer: &mut [u8]) -> Option<usize> {
        match self.miss.as_ref()?.receive(buffer) {
            Ok(len) => Some(len),
            Err(TransferError::Failed(Errno::EBADFD)) => {
                // Somebody deleted the device: watched on, it would be ready for ever.
                self.miss = None;
                None
            }
            Err(_) => None,
        }
    }

    fn write_miss(&mut self, packet: &[u8]) -> bool {
        self.miss.as_ref().is_some_and(|tun| tun.send(packet).is_ok())
    }

    fn receive_message(&mut self, device: Device, buffer: &mut [u8]) -> Option<(IpAddr, usize)> {
        let socket = &self.device(device)?.socket;
        let (len, from) = socket.receive_from(buffer).ok()?;
        Some((from.ip(), len))
    }
}
