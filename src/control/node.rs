//! A node: the roles that its configuration gives it, each fed with what concerns it.

use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;

use crate::map_server::{self, MapServer};
use crate::mobile_node::handover::Handover;
use crate::xtr::Xtr;
use crate::{
    Change, Config, Eid, EidPrefix, Forwarding, Instant, LISP_PORT, MAX_LANES, Mapping, Output,
    PeerKey, Side, Uplink, XtrConfig, earliest,
};

/// Octets that the buffer of [`Node::poll_output`] needs.
pub const MAX_MESSAGE: usize = 1200;

/// A LISP router. One input, then [`Node::poll_output`] until [`Output::Wait`].
pub struct Node {
    control_key: PeerKey,
    xtr: Option<Box<Xtr>>,
    map_server: Option<Box<MapServer>>,
    handover: Handover,
    /// Other uplinks were chosen, and nobody was told yet.
    has_moved: bool,
    /// Our own Map-Server spoke to our xTR, which answers before the next message.
    is_xtr_first: bool,
}

impl Node {
    /// A node with the roles of its configuration. An xTR allocates nothing after this.
    pub fn new(config: &Config, now: Instant) -> Node {
        let mut node = Node {
            control_key: config.control_key,
            xtr: None,
            map_server: None,
            handover: Handover::new(&config.handover, &[], 0),
            has_moved: false,
            is_xtr_first: false,
        };
        node.handle_config(config, now);
        node
    }

    /// A LISP message came out of a tunnel; `link` says out of which kind. Who sent it is the
    /// peer of the tunnel.
    pub fn handle_datagram(&mut self, link: bool, peer: PeerKey, datagram: &[u8], now: Instant) {
        if link {
            if let Some(xtr) = &mut self.xtr {
                xtr.handle_link_datagram(peer, datagram, now);
            }
            return;
        }
        match &mut self.map_server {
            Some(map_server) if is_for_map_server(datagram) => {
                map_server.handle_datagram(peer, datagram, now);
            }
            map_server => match (&mut self.xtr, map_server) {
                (Some(xtr), _) => xtr.handle_datagram(peer, datagram, now),
                (None, Some(map_server)) => map_server.handle_datagram(peer, datagram, now),
                (None, None) => {}
            },
        }
    }

    /// The data plane still has this from an earlier run: it serves on unchanged, is asked for once
    /// a Map-Server acknowledges our registration, and goes when the answer is another one or none
    /// came for 180 s. `peers` are those of `forwarding`: lane, key, and where they are. What we may
    /// not have goes at once.
    ///
    /// All that was left is told before the first [`Node::poll_output`]. False when the tables have
    /// no room to remember it even for its removal, which is then the caller's.
    pub fn handle_adopted(
        &mut self,
        eid_prefix: EidPrefix,
        forwarding: Forwarding,
        peers: &[(u8, PeerKey, Option<SocketAddr>)],
        now: Instant,
    ) -> bool {
        let Some(xtr) = &mut self.xtr else { return false };
        xtr.handle_adopted(eid_prefix, forwarding, peers, now)
    }

    /// A packet from `source` to `destination` has no route and waits.
    pub fn handle_miss(&mut self, source: Eid, destination: Eid, now: Instant) {
        if let Some(xtr) = &mut self.xtr {
            xtr.handle_miss(source, destination, now);
        }
    }

    /// A control session stands (again).
    pub fn handle_control_session(
        &mut self,
        peer: PeerKey,
        endpoint: SocketAddr,
        side: Side,
        _round_trip: Option<Duration>,
        now: Instant,
    ) {
        if let Some(xtr) = &mut self.xtr {
            xtr.handle_control_session(peer, side, now);
        }
        if let Some(map_server) = &mut self.map_server {
            map_server.handle_control_session(peer, endpoint, side, now);
        }
    }

    /// A control session is lost.
    pub fn handle_control_lost(&mut self, peer: PeerKey, now: Instant) {
        if let Some(xtr) = &mut self.xtr {
            xtr.handle_control_lost(peer, now);
        }
        if let Some(map_server) = &mut self.map_server {
            map_server.handle_control_lost(peer, now);
        }
    }

    /// An authenticated packet came from a new outer address of a control peer.
    pub fn handle_control_roamed(&mut self, peer: PeerKey, endpoint: SocketAddr, now: Instant) {
        if let Some(map_server) = &mut self.map_server {
            map_server.handle_control_roamed(peer, endpoint, now);
        }
    }

    /// Several handshakes with this data peer got no answer.
    pub fn handle_data_lost(&mut self, peer: PeerKey, now: Instant) {
        if let Some(xtr) = &mut self.xtr {
            xtr.handle_data_lost(peer, now);
        }
    }

    /// Data was received from a data peer, or it answered what was sent to it.
    pub fn handle_traffic(&mut self, peer: PeerKey, now: Instant) {
        if let Some(xtr) = &mut self.xtr {
            xtr.handle_traffic(peer, now);
        }
    }

    /// Data went to this data peer for a while, and nothing came back.
    pub fn handle_silent(&mut self, peer: PeerKey, now: Instant) {
        if let Some(xtr) = &mut self.xtr {
            xtr.handle_silent(peer, now);
        }
    }

    /// These are all the ways out that there are now, in any order; what is used of them is
    /// [`Node::uplinks`]. The same ones again change nothing.
    pub fn handle_uplinks(&mut self, picture: &[Uplink], now: Instant) {
        if self.handover.handle_uplinks(picture, now) {
            self.follow(now);
        }
    }

    /// The chosen ways out, the best first; each stands once for every lane that goes by it. While
    /// there is none they are those of before.
    pub fn uplinks(&self) -> &[Uplink] {
        self.handover.uplinks()
    }

    /// Asks the mapping system for `eid`; [`Event::Lig`] answers.
    pub fn handle_lig(&mut self, eid: Eid, now: Instant) {
        if let Some(xtr) = &mut self.xtr {
            xtr.handle_lig(eid, now);
        }
    }

    /// What the mapping system said, as the last [`Event::Lig`] told of; nothing when it did not
    /// answer.
    pub fn lig_answer(&self) -> Option<&Mapping> {
        self.xtr()?.lig_answer()
    }

    /// Takes a new configuration over, and touches only what changed. Control key, boot counter,
    /// seed and limits are those of the start.
    pub fn handle_config(&mut self, config: &Config, now: Instant) {
        let xtr = config.xtr.as_ref();
        let uplinks = xtr.map_or(&[][..], |xtr| &xtr.uplinks);
        let lanes = xtr.map_or(0, |xtr| xtr.data_keys.len());
        let has_moved = self.handover.handle_config(&config.handover, uplinks, lanes, now);
        let roles = (self.xtr.is_some(), self.map_server.is_some());
        match (&mut self.xtr, &config.xtr) {
            (Some(xtr), Some(new)) => xtr.handle_config(new, now),
            (Some(xtr), None) => xtr.handle_config(&retired(), now),
            (None, Some(new)) => self.xtr = Some(Box::new(Xtr::new(config, new, now))),
            (None, None) => {}
        }
        match (&mut self.map_server, &config.map_server) {
            (Some(map_server), Some(new)) => map_server.handle_config(new, now),
            (Some(_), None) => self.map_server = None,
            (None, Some(new)) => {
                let map_server = MapServer::new(new, config.boot_counter, now);
                self.map_server = Some(Box::new(map_server));
            }
            (None, None) => {}
        }
        if let (Some(xtr), Some(_)) = (&mut self.xtr, &self.map_server) {
            xtr.handle_control_session(self.control_key, Side::Initiator, now);
        }
        if has_moved {
            self.follow(now);
        } else if roles != (self.xtr.is_some(), self.map_server.is_some()) {
            self.tell_roles(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.handover.handle_timeout(now) {
            self.follow(now);
        }
        if let Some(xtr) = &mut self.xtr {
            xtr.handle_timeout(now);
        }
        if let Some(map_server) = &mut self.map_server {
            map_server.handle_timeout(now);
        }
    }

    /// The next thing to do, until [`Output::Wait`], whose instant lies in the future. `buf` needs
    /// [`MAX_MESSAGE`] octets.
    ///
    /// # Panics
    /// When `buf` is shorter.
    pub fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output {
        assert!(buf.len() >= MAX_MESSAGE, "the buffer holds any message");
        let mut was_late = false;
        loop {
            self.handle_path_failures(now);
            if core::mem::take(&mut self.has_moved) {
                return Output::Uplinks;
            }
            if let Some(event) = self.handover.poll_event() {
                return Output::Event(event);
            }
            let mut output = self.poll_roles(now, buf);
            match &mut output {
                Output::Transmit { peer, len, .. } if *peer == self.control_key => {
                    self.loop_back(&buf[..*len], now);
                    continue;
                }
                Output::Change(change) if is_about(change, self.control_key) => continue,
                // The Map-Server's turn.
                Output::Wait(_) if core::mem::take(&mut self.is_xtr_first) => continue,
                Output::Wait(at) => {
                    *at = self.poll_at_with(*at);
                    let is_late = at.is_some_and(|at| at <= now);
                    if is_late && !core::mem::replace(&mut was_late, true) {
                        self.handle_timeout(now);
                        continue;
                    }
                }
                _ => {}
            }
            return output;
        }
    }

    /// When to call [`Node::handle_timeout`].
    pub fn poll_at(&self) -> Option<Instant> {
        self.poll_at_with(self.xtr.as_ref().and_then(|xtr| xtr.poll_at()))
    }

    /// The xTR, for status.
    pub fn xtr(&self) -> Option<&Xtr> {
        self.xtr.as_deref()
    }

    /// The Map-Server, for status.
    pub fn map_server(&self) -> Option<&MapServer> {
        self.map_server.as_deref()
    }

    /// Other uplinks were chosen.
    fn follow(&mut self, now: Instant) {
        self.has_moved = true;
        self.tell_roles(now);
    }

    fn tell_roles(&mut self, now: Instant) {
        let uplinks = self.handover.uplinks();
        if uplinks.is_empty() {
            return;
        }
        if let Some(xtr) = &mut self.xtr {
            xtr.handle_uplinks(uplinks, now);
        }
        if let (Some(map_server), Some(uplink)) = (&mut self.map_server, uplinks.first()) {
            // Our own xTR sits on our own RLOC.
            let endpoint = SocketAddr::new(uplink.rloc, LISP_PORT);
            map_server.handle_control_session(self.control_key, endpoint, Side::Responder, now);
        }
    }

    /// The xTR found uplinks over which nothing is answered.
    fn handle_path_failures(&mut self, now: Instant) {
        for _ in 0..2 * MAX_LANES {
            let Some(silent) = self.xtr.as_mut().and_then(|xtr| xtr.poll_path_failure()) else {
                return;
            };
            if self.handover.handle_silent(silent, now) {
                self.follow(now);
            }
        }
    }

    /// When something is due, told when that is so for the xTR.
    fn poll_at_with(&self, xtr: Option<Instant>) -> Option<Instant> {
        let map_server = self.map_server.as_ref().and_then(|map_server| map_server.poll_at());
        earliest(earliest(xtr, map_server), self.handover.poll_at())
    }

    /// The next output of the roles, also what they say to each other.
    fn poll_roles(&mut self, now: Instant, buf: &mut [u8]) -> Output {
        let map_server = self.map_server.as_mut().filter(|_| !self.is_xtr_first);
        if let Some(output) = map_server.and_then(|map_server| map_server.poll_output(now, buf)) {
            return match output {
                map_server::Output::Transmit { peer, len } => {
                    Output::Transmit { link: false, peer, len }
                }
                map_server::Output::Change(change) => Output::Change(change),
                map_server::Output::Event(event) => Output::Event(event),
            };
        }
        match &mut self.xtr {
            Some(xtr) => xtr.poll_output(now, buf),
            None => Output::Wait(None),
        }
    }

    /// A message to our own control key: from the xTR to the Map-Server here, or back.
    fn loop_back(&mut self, datagram: &[u8], now: Instant) {
        self.is_xtr_first = !is_for_map_server(datagram);
        self.handle_datagram(false, self.control_key, datagram, now);
    }
}

/// Whether a Map-Server is who understands this message.
fn is_for_map_server(datagram: &[u8]) -> bool {
    use wire::MessageType as Type;
    match wire::message_type(datagram) {
        Ok(Type::MapRequest | Type::MapRegister | Type::MapNotifyAck) => true,
        Ok(Type::EncapsulatedControl) => true,
        Ok(Type::Info) => !wire::InfoPacket::new_unchecked(datagram).is_reply(),
        _ => false,
    }
}

/// Steps of the control tunnel to ourselves, which does not exist.
fn is_about(change: &Change, control_key: PeerKey) -> bool {
    match change {
        Change::ResetControlPeer(peer)
        | Change::InitiateControl(peer)
        | Change::SetControlKeepalive(peer, _) => *peer == control_key,
        _ => false,
    }
}

/// The configuration of an xTR that is no more: it forgets all it has.
fn retired() -> XtrConfig {
    XtrConfig {
        data_keys: alloc::vec::Vec::new(),
        uplinks: alloc::vec::Vec::new(),
        database: alloc::vec::Vec::new(),
        eid_space: alloc::vec::Vec::new(),
        on_miss: crate::Forwarding::Drop,
        record_ttl: Duration::ZERO,
        register_interval: Duration::from_secs(60),
        map_servers: alloc::vec::Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AuthenticationKey;
    use crate::{
        DataKey, Event, Forwarding, HandoverConfig, InstanceId, Limits, MapServerConfig,
        MapServerPeer, SiteConfig,
    };
    use std::vec::Vec;

    const US: PeerKey = PeerKey([1; 32]);

    /// A router that is Map-Server and xTR at once.
    fn config() -> Config {
        let authentication = AuthenticationKey::from_secret(&[9; 32]);
        let eid_prefixes: Vec<_> =
            ["10.1.0.0/16", "fd00:1::/32"].map(|text| text.parse().unwrap()).into();
        let site = SiteConfig {
            name: "home".into(),
            key: US,
            authentication: authentication.clone(),
            eid_prefixes: eid_prefixes.clone(),
            accepts_more_specifics: false,
        };
        let xtr = XtrConfig {
            data_keys: [DataKey { key: PeerKey([2; 32]), port: 51820, lane: 0 }].into(),
            database: eid_prefixes.into_iter().map(Into::into).collect(),
            eid_space: ["10.0.0.0/8".parse().unwrap()].into(),
            map_servers: [MapServerPeer { key: US, authentication }].into(),
            record_ttl: Duration::from_secs(3600),
            ..retired()
        };
        let registration_timeout = Duration::from_secs(180);
        Config {
            control_key: US,
            boot_counter: 1,
            seed: [3; 32],
            limits: Limits::default(),
            handover: HandoverConfig::default(),
            xtr: Some(xtr),
            map_server: Some(MapServerConfig { sites: [site].into(), registration_timeout }),
        }
    }

    fn drain(node: &mut Node, now: Instant) -> Vec<Output> {
        let (mut buf, mut outputs) = ([0; MAX_MESSAGE], Vec::new());
        loop {
            match node.poll_output(now, &mut buf) {
                Output::Wait(at) => {
                    assert!(at.is_none_or(|at| at > now), "a busy loop");
                    return outputs;
                }
                output => outputs.push(output),
            }
        }
    }

    #[test]
    fn a_router_that_is_both_registers_with_itself_and_asks_itself() {
        let now = Instant::from_millis(5);
        let mut node = Node::new(&config(), now);
        let uplink = Uplink::new([192, 0, 2, 1].into());
        node.handle_uplinks(&[uplink], now);
        let outputs = drain(&mut node, now);
        assert_eq!(outputs[0], Output::Uplinks);
        assert!(outputs[1..].iter().all(|one| matches!(one, Output::Event(_))), "{outputs:?}");
        let xtr = node.xtr().unwrap();
        assert_eq!((xtr.registered_with(), xtr.is_behind_nat()), (Some(US), false));
        assert_eq!(xtr.outer().map(|outer| outer.ip()), Some([192, 0, 2, 1].into()));
        let eid = |last| Eid { instance_id: InstanceId(0), address: [10, last, 0, 1].into() };
        node.handle_lig(eid(1), now);
        let outputs = drain(&mut node, now);
        assert!(
            matches!(&outputs[..], [Output::Event(Event::Lig { .. })])
                && node.lig_answer().unwrap().locators[0].rloc == uplink.rloc,
            "{outputs:?}"
        );
        node.handle_miss(eid(1), eid(7), now);
        let outputs = drain(&mut node, now);
        let is_hole = |output: &Output| {
            matches!(output, Output::Change(Change::SetRoute { forwarding, .. })
                if *forwarding == Forwarding::Drop)
        };
        assert!(outputs.iter().any(is_hole), "{outputs:?}");
    }

    #[test]
    fn a_role_that_is_no_more_leaves_nothing_behind() {
        let now = Instant::from_millis(5);
        let mut node = Node::new(&config(), now);
        let uplink = Uplink::new([192, 0, 2, 1].into());
        node.handle_uplinks(&[uplink], now);
        drain(&mut node, now);
        let eid = |last| Eid { instance_id: InstanceId(0), address: [10, last, 0, 1].into() };
        node.handle_miss(eid(1), eid(7), now);
        drain(&mut node, now);
        assert_eq!(node.xtr().unwrap().map_cache_len(), 1);
        node.handle_config(&Config { xtr: None, map_server: None, ..config() }, now);
        let outputs = drain(&mut node, now);
        assert!(matches!(outputs[..], [Output::Change(Change::RemoveRoute(_))]), "{outputs:?}");
        node.handle_config(&config(), now);
        drain(&mut node, now);
    }

    #[test]
    fn the_data_plane_is_told_of_other_uplinks_before_anything_is_sent() {
        let now = Instant::from_millis(5);
        let mut node = Node::new(&Config { map_server: None, ..config() }, now);
        let them = PeerKey([7; 32]);
        let authentication = AuthenticationKey::from_secret(&[9; 32]);
        let mut config = config();
        let xtr = config.xtr.as_mut().unwrap();
        xtr.map_servers = [MapServerPeer { key: them, authentication }].into();
        node.handle_config(&Config { map_server: None, ..config }, now);
        let endpoint = SocketAddr::new([192, 0, 2, 9].into(), 51821);
        node.handle_control_session(them, endpoint, Side::Initiator, None, now);
        drain(&mut node, now);
        let way = |id: u32| Uplink { id, ..Uplink::new([192, 0, 2, id as u8].into()) };
        for (picture, is_move) in [(&[1][..], true), (&[1], false), (&[], false), (&[1], true)] {
            let picture: Vec<_> = picture.iter().map(|id| way(*id)).collect();
            node.handle_uplinks(&picture, now);
            let outputs = drain(&mut node, now);
            assert_eq!(outputs.first() == Some(&Output::Uplinks), is_move, "{outputs:?}");
        }
        node.handle_uplinks(&[way(2)], now);
        assert_eq!(node.uplinks(), [way(2)]);
        let outputs = drain(&mut node, now);
        let moved = Event::Moved {
            cause: crate::Cause::Lost,
            from: Some(way(1).rloc),
            to: Some(way(2).rloc),
        };
        assert_eq!(outputs[..2], [Output::Uplinks, Output::Event(moved)]);
        assert!(matches!(outputs[2], Output::Transmit { peer, .. } if peer == them));
    }

    #[test]
    fn a_better_uplink_is_moved_to_when_its_time_has_come() {
        let now = Instant::from_millis(5);
        let mut node = Node::new(&Config { xtr: None, map_server: None, ..config() }, now);
        let way = |id: u32| Uplink { id, metric: id, ..Uplink::new([192, 0, 2, id as u8].into()) };
        node.handle_uplinks(&[way(2)], now);
        drain(&mut node, now);
        node.handle_uplinks(&[way(1), way(2)], now);
        assert!(drain(&mut node, now).is_empty());
        let due = node.poll_at().unwrap();
        assert_eq!(due, now + HandoverConfig::default().hold);
        assert_eq!(drain(&mut node, due)[0], Output::Uplinks, "a late timeout is none");
        assert_eq!(node.uplinks(), [way(1)]);
    }

    #[test]
    fn a_router_that_is_both_acknowledges_each_of_its_own_pushes_at_once() {
        let now = Instant::from_millis(5);
        let (them, mut config) = (PeerKey([7; 32]), config());
        let theirs: Vec<crate::EidPrefix> =
            (0..30).map(|place| std::format!("10.2.{place}.0/24").parse().unwrap()).collect();
        let xtr = config.xtr.as_ref().unwrap();
        let their_xtr = XtrConfig {
            data_keys: [DataKey { key: PeerKey([8; 32]), ..xtr.data_keys[0] }].into(),
            database: theirs.iter().copied().map(Into::into).collect(),
            ..xtr.clone()
        };
        let their_config =
            Config { control_key: them, xtr: Some(their_xtr), map_server: None, ..config.clone() };
        let sites = &mut config.map_server.as_mut().unwrap().sites;
        let site = SiteConfig { name: "office".into(), key: them, ..sites[0].clone() };
        sites.push(SiteConfig { eid_prefixes: theirs, ..site });
        let mut nodes = [Node::new(&config, now), Node::new(&their_config, now)];
        for (place, node) in nodes.iter_mut().enumerate() {
            let rloc = [192, 0, 2, place as u8].into();
            node.handle_uplinks(&[Uplink::new(rloc)], now);
        }
        let endpoint = SocketAddr::new([192, 0, 2, 1].into(), 51821);
        nodes[0].handle_control_session(them, endpoint, Side::Responder, None, now);
        nodes[1].handle_control_session(US, endpoint, Side::Initiator, None, now);
        exchange(&mut nodes, now);
        let eid = |address: [u8; 4]| Eid { instance_id: InstanceId(0), address: address.into() };
        nodes[1].handle_miss(eid([10, 2, 0, 1]), eid([10, 1, 0, 1]), now);
        exchange(&mut nodes, now);
        assert_eq!(nodes[0].xtr().unwrap().map_cache_len(), 30);
        let counters = nodes[0].map_server().unwrap().counters();
        assert!(counters.pushes_sent > 1);
        assert_eq!(counters.pushes_acknowledged, counters.pushes_sent);
    }

    /// Hands messages over until neither node has any.
    fn exchange(nodes: &mut [Node; 2], now: Instant) {
        let mut buf = [0; MAX_MESSAGE];
        loop {
            let mut is_quiet = true;
            for place in 0..2 {
                let [us, them] = [place, 1 - place].map(|place| nodes[place].control_key);
                loop {
                    match nodes[place].poll_output(now, &mut buf) {
                        Output::Wait(_) => break,
                        Output::Transmit { peer, len, .. } => {
                            assert_eq!(peer, them);
                            nodes[1 - place].handle_datagram(false, us, &buf[..len], now);
                            is_quiet = false;
                            break;
                        }
                        _ => {}
                    }
                }
            }
            if is_quiet {
                return;
            }
        }
    }
}
