//! Random inputs in random order, and a model of the data plane that the changes have to suit.

use super::bench::*;
use crate::random::Random;
use crate::{
    Action, Change, Config, DataKey, Eid, EidPrefix, Forwarding, Lanes, Limits, Mapping, PeerKey,
    Side, Uplink,
};
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

const LIMITS: Limits = Limits { map_cache: 8, pending_requests: 6, peers: 4 };

/// What a data plane holds after the changes so far.
#[derive(Default)]
struct Model {
    /// Each with its lane.
    peers: BTreeMap<PeerKey, u8>,
    routes: BTreeMap<EidPrefix, Forwarding>,
    /// How many of the routes an earlier run left, until the first changes are applied.
    adopted: usize,
    /// EIDs that packets wait for, told as misses.
    waiting: BTreeSet<Eid>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match *change {
            Change::SetPeer(config) => {
                let lane = *self.peers.entry(config.key).or_insert(config.lane);
                assert_eq!(lane, config.lane, "{} changes its lane", config.key);
            }
            Change::RemovePeer(key) => {
                assert!(self.peers.remove(&key).is_some(), "{key} is no peer");
                let leads_to_it = |route: &Forwarding| route.peers().any(|peer| *peer == key);
                assert!(!self.routes.values().any(leads_to_it), "a route leads to {key}");
            }
            Change::SetRoute { eid_prefix, forwarding } => {
                let mut peers = forwarding.peers();
                assert!(peers.all(|key| self.peers.contains_key(key)), "{eid_prefix} is nowhere");
                if let Forwarding::Lanes(lanes) = forwarding {
                    assert!(lanes.iter().all(|(lane, key, _)| self.peers[&key] == lane));
                }
                self.routes.insert(eid_prefix, forwarding);
            }
            Change::RemoveRoute(eid_prefix) => {
                assert!(self.routes.remove(&eid_prefix).is_some(), "{eid_prefix} is no route");
            }
            Change::FailWaiting(eid) => {
                self.waiting.remove(&eid);
            }
            _ => {}
        }
        assert!(self.routes.len() <= LIMITS.map_cache + self.adopted);
        assert!(self.peers.len() <= LIMITS.peers + 64);
        // A route that goes again makes misses of what still waits for a session.
        let routes = &self.routes;
        self.waiting.retain(|eid| !routes.keys().any(|eid_prefix| eid_prefix.contains(*eid)));
    }

    fn has_route(&self, eid: Eid) -> bool {
        self.routes.keys().any(|eid_prefix| eid_prefix.contains(eid))
    }

    /// What waits is being asked for; the cache and the data plane agree.
    fn check(&mut self, bench: &mut Bench) {
        for change in core::mem::take(&mut bench.changes) {
            self.apply(&change);
        }
        self.adopted = 0;
        for eid in &self.waiting {
            use crate::xtr::Progress;
            let request = bench.xtr.requests().find(|request| request.eid == *eid);
            let is_open = request.is_some_and(|request| {
                matches!(request.progress(), Progress::Waiting | Progress::Asked(_))
            });
            assert!(is_open, "packets for {} wait for nothing: {request:?}", eid.address);
        }
        let cached: BTreeMap<_, _> =
            bench.xtr.map_cache().map(|(at, row)| (at, row.forwarding)).collect();
        assert_eq!(cached, self.routes);
        let used = self.routes.values().flat_map(Forwarding::peers);
        let peers: BTreeSet<_> = self.peers.keys().collect();
        assert_eq!(used.collect::<BTreeSet<_>>(), peers);
    }
}

struct Dice(Random);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn eid(&mut self) -> std::string::String {
        std::format!("10.{}.{}.1", 2 + self.below(3), 64 * self.below(4))
    }

    fn mapping(&mut self) -> Mapping {
        let eid_prefix = EidPrefix::host(eid(&self.eid()));
        let len = [8, 15, 16, 17, 18, 32][self.below(6) as usize];
        let eid_prefix =
            EidPrefix::new(eid_prefix.instance_id(), eid_prefix.address(), len).unwrap();
        let key = PeerKey([0xb0 + self.below(7) as u8; 32]);
        let rloc = ["192.0.2.2", "192.0.2.3", "2001:db8::2"][self.below(3) as usize];
        let mut mapping = mapping("10.2.0.0/16", rloc, key);
        mapping.eid_prefix = eid_prefix;
        mapping.locators[0].is_reachable = self.below(4) > 0;
        self.add_lane(&mut mapping);
        match self.below(6) {
            0 => withdrawal(&std::format!("{eid_prefix}")),
            1 => negative(&std::format!("{eid_prefix}"), 1 + self.below(2), Action::Drop),
            2 => Mapping { record_ttl: HOUR / 60, ..mapping },
            _ => mapping,
        }
    }

    /// Gives some a second locator, now and then in the same lane or of no use.
    fn add_lane(&mut self, mapping: &mut Mapping) {
        if self.below(2) == 0 {
            return;
        }
        let mut second = mapping.locators[0];
        let key = PeerKey([0xb0 + self.below(7) as u8; 32]);
        second.data_key = Some(DataKey { key, port: 51822, lane: self.below(4).min(1) as u8 });
        second.priority = [1, 1, 2, 255][self.below(4) as usize];
        second.weight = [0, 1, 100][self.below(3) as usize];
        let _ = mapping.locators.push(second);
    }

    fn mappings(&mut self) -> Vec<Mapping> {
        (0..=self.below(3)).map(|_| self.mapping()).collect()
    }
}

fn config_with_limits() -> Config {
    let mut config = Config { limits: LIMITS, ..config() };
    let second = DataKey { key: PeerKey([0x0e; 32]), port: 51822, lane: 1 };
    config.xtr.as_mut().unwrap().data_keys.push(second);
    config
}

fn one_input(bench: &mut Bench, model: &mut Model, dice: &mut Dice, number: &mut u64) {
    match dice.below(16) {
        0..4 => {
            let destination = dice.eid();
            if !model.has_route(eid(&destination)) {
                model.waiting.insert(eid(&destination));
                bench.miss(&destination);
            }
        }
        4..8 if bench.sent.iter().any(Sent::is_request) => {
            let requests: Vec<_> = bench.sent.iter().filter(|sent| sent.is_request()).collect();
            let request = requests[requests.len() - 1 - dice.below(requests.len() as u64) as usize];
            let (peer, nonce) = (request.peer, request.nonce());
            bench.datagram(peer, &map_reply(nonce, &dice.mappings()));
        }
        8..10 => {
            *number += dice.below(3);
            let number = (*number).saturating_sub(dice.below(8));
            bench.push((1 << 32) + number, &dice.mappings());
        }
        10 => bench.traffic(PeerKey([0xb0 + dice.below(7) as u8; 32])),
        11 => {
            let peer = PeerKey([0xb0 + dice.below(7) as u8; 32]);
            bench.xtr.handle_data_lost(peer, bench.now);
            bench.drain();
        }
        12 => match dice.below(8) {
            0 => {
                bench.xtr.handle_control_lost(SERVER, bench.now);
                bench.drain();
            }
            1 => bench.session(SERVER, Side::Responder),
            2 => bench.uplinks(&["192.0.2.1"]),
            3 => {
                let first = uplink("192.0.2.1");
                let second = Uplink {
                    lane: 1,
                    ..uplink(["192.0.2.1", "2001:db8::1"][dice.below(2) as usize])
                };
                bench.xtr.handle_uplinks(&[first, second], bench.now);
                bench.drain();
            }
            4 => {
                let mut xtr = xtr_config();
                xtr.eid_space =
                    [prefix(["10.0.0.0/8", "10.2.0.0/15"][dice.below(2) as usize])].into();
                bench.xtr.handle_config(&xtr, bench.now);
                bench.drain();
            }
            _ => bench.session(SERVER, Side::Initiator),
        },
        13 => bench.xtr.handle_lig(eid(&dice.eid()), bench.now),
        14 => bench.run_ms([1, 20, 300][dice.below(3) as usize]),
        _ => bench
            .run_ms([0, 1_000, 40_000, 400_000][dice.below(4) as usize * dice.below(2) as usize]),
    }
    bench.drain();
}

/// An earlier run left what fits and what does not, in any order.
fn adopt(bench: &mut Bench, model: &mut Model, dice: &mut Dice) {
    for _ in 0..12 {
        let mapping = dice.mapping();
        let key = |place: u64| PeerKey([0xb0 + place as u8; 32]);
        let first = dice.below(3);
        let peers = [(0, key(first), None), (1, key(3 + first), None)];
        let lanes = Lanes::new(&peers.map(|(lane, key, _)| (lane, key, 1))).unwrap();
        let (forwarding, peers) = match dice.below(4) {
            0 => (Forwarding::Drop, &peers[..0]),
            1 => (Forwarding::Peer(peers[0].1), &peers[..1]),
            _ => (Forwarding::Lanes(lanes), &peers[..]),
        };
        if model.routes.contains_key(&mapping.eid_prefix) {
            continue;
        }
        model.routes.insert(mapping.eid_prefix, forwarding);
        model.peers.extend(peers.iter().map(|(lane, key, _)| (*key, *lane)));
        assert!(bench.xtr.handle_adopted(mapping.eid_prefix, forwarding, peers, bench.now));
    }
    bench.drain();
    model.adopted = model.routes.len();
    model.check(bench);
    bench.uplinks(&["192.0.2.1"]);
    bench.session(SERVER, Side::Initiator);
}

#[test]
fn after_any_inputs_the_data_plane_is_whole_and_what_waits_is_asked_for() {
    for seed in 0..12 {
        let mut bench = Bench::registered(&config_with_limits());
        let (mut model, mut number) = (Model::default(), 0);
        let mut dice = Dice(Random::new(&[seed; 32], b"model"));
        if seed % 2 == 1 {
            bench = Bench::new(&config_with_limits());
            adopt(&mut bench, &mut model, &mut dice);
        }
        for _ in 0..1_000 {
            one_input(&mut bench, &mut model, &mut dice, &mut number);
            bench.acknowledge_registers();
            let many = bench.sent.len().saturating_sub(40);
            bench.sent.drain(..many);
            model.check(&mut bench);
        }
    }
}
