//! What the subscribers of our object are told.

use control::{Event as NodeEvent, PeerKey};
use dataplane::{Event as PlaneEvent, Interface, PeerStatus};

use super::table;
use crate::router::Router;

impl Router {
    /// Handovers of which nothing more is waited for.
    pub(super) fn notify_handovers(&mut self) {
        while let Some(handover) = self.handovers.poll_ended() {
            if self.netifd.is_heard() {
                self.netifd.notify("handover", &mut |writer| table::object(handover, writer));
            }
        }
    }

    /// A registration came or went, or a data peer is tried elsewhere.
    pub(crate) fn notify_node_event(&mut self, event: &NodeEvent) {
        let (role, key, is_registered) = match *event {
            NodeEvent::Registered { map_server } => ("map_server", map_server, true),
            NodeEvent::RegistrationLost { map_server } => ("map_server", map_server, false),
            NodeEvent::SiteRegistered { site, .. } => ("site", site, true),
            NodeEvent::SiteExpired { site } => ("site", site, false),
            NodeEvent::EndpointMoved { peer, to, .. } => {
                return self.notify_peer(peer, true, Some(to.to_string()));
            }
            _ => return,
        };
        if self.netifd.is_heard() {
            let name = self.names.of(key);
            self.netifd.notify("registration", &mut |writer| {
                writer.string(role, &name);
                writer.boolean("registered", is_registered);
            });
        }
    }

    /// A data tunnel stands, or is lost.
    pub(crate) fn notify_plane_event(&mut self, event: &PlaneEvent) {
        match *event {
            PlaneEvent::DataSession { peer, .. } => self.notify_peer(peer, true, None),
            PlaneEvent::DataLost { peer } => self.notify_peer(peer, false, None),
            _ => {}
        }
    }

    /// A data tunnel that stands is about to be taken down.
    pub(crate) fn notify_removal(&mut self, key: PeerKey) {
        let is_up = |one: &PeerStatus| one.key == key && one.has_session;
        if self.netifd.is_heard() && self.plane.peer_status(Interface::Data).any(|one| is_up(&one))
        {
            self.notify_peer(key, false, None);
        }
    }

    fn notify_peer(&mut self, peer: PeerKey, is_up: bool, endpoint: Option<String>) {
        if !self.netifd.is_heard() {
            return;
        }
        let of_plane = || {
            let status = self.plane.peer_status(Interface::Data).find(|one| one.key == peer)?;
            status.endpoint.map(|endpoint| endpoint.to_string())
        };
        let endpoint = endpoint.or_else(of_plane);
        let rows = self.node.xtr().into_iter().flat_map(|xtr| xtr.map_cache());
        let mut rows = rows.filter(|(_, row)| row.forwarding.leads_to(&peer));
        let eid_prefix = rows.next().map(|(eid_prefix, _)| eid_prefix.to_string());
        self.netifd.notify("peer", &mut |writer| {
            writer.string("key", peer.to_string());
            if let Some(eid_prefix) = &eid_prefix {
                writer.string("eid_prefix", eid_prefix);
            }
            if let Some(endpoint) = &endpoint {
                writer.string("endpoint", endpoint);
            }
            writer.boolean("up", is_up);
        });
    }
}
