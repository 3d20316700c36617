//! Random inputs in random order, and a model of the data plane that the changes have to suit.

use super::bench::*;
use crate::random::Random;
use crate::{Action, Change, Config, Eid, EidPrefix, Forwarding, Limits, Mapping, PeerKey, Side};
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

const LIMITS: Limits = Limits { map_cache: 8, pending_requests: 6, peers: 4 };

/// What a data plane holds after the changes so far.
#[derive(Default)]
struct Model {
    peers: BTreeSet<PeerKey>,
    routes: BTreeMap<EidPrefix, Forwarding>,
    /// EIDs that packets wait for, told as misses.
    waiting: BTreeSet<Eid>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match *change {
            Change::SetPeer(config) => {
                self.peers.insert(config.key);
            }
            Change::RemovePeer(key) => {
                assert!(self.peers.remove(&key), "{key} is no peer");
                let leads_to_it = |route: &Forwarding| *route == Forwarding::Peer(key);
                assert!(!self.routes.values().any(leads_to_it), "a route leads to {key}");
            }
            Change::SetRoute { eid_prefix, forwarding } => {
                if let Forwarding::Peer(key) = forwarding {
                    assert!(self.peers.contains(&key), "{eid_prefix} leads nowhere");
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
        assert!(self.routes.len() <= LIMITS.map_cache && self.peers.len() <= LIMITS.peers + 32);
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
        let used = self.routes.values().filter_map(|forwarding| match forwarding {
            Forwarding::Peer(key) => Some(*key),
            _ => None,
        });
        assert_eq!(used.collect::<BTreeSet<_>>(), self.peers);
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
        match self.below(6) {
            0 => withdrawal(&std::format!("{eid_prefix}")),
            1 => negative(&std::format!("{eid_prefix}"), 1 + self.below(2), Action::Drop),
            2 => Mapping { record_ttl: HOUR / 60, ..mapping },
            _ => mapping,
        }
    }

    fn mappings(&mut self) -> Vec<Mapping> {
        (0..=self.below(3)).map(|_| self.mapping()).collect()
    }
}

fn config_with_limits() -> Config {
    Config { limits: LIMITS, ..config() }
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
            3 => bench.uplinks(&["192.0.2.1", "2001:db8::1"]),
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

#[test]
fn after_any_inputs_the_data_plane_is_whole_and_what_waits_is_asked_for() {
    for seed in 0..12 {
        let mut bench = Bench::registered(&config_with_limits());
        let (mut model, mut number) = (Model::default(), 0);
        let mut dice = Dice(Random::new(&[seed; 32], b"model"));
        for _ in 0..1_000 {
            one_input(&mut bench, &mut model, &mut dice, &mut number);
            bench.acknowledge_registers();
            let many = bench.sent.len().saturating_sub(40);
            bench.sent.drain(..many);
            model.check(&mut bench);
        }
    }
}
