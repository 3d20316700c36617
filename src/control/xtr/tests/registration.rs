//! Registering: schedule, several messages, several Map-Servers, NAT.

use super::bench::*;
use crate::auth::AuthenticationKey;
use crate::xtr::{Counter, RegistrationState};
use crate::{
    Change, Duration, Event, Forwarding, MapServerPeer, PeerConfig, PeerKey, Side, Uplink,
};
use std::vec::Vec;
use wire::{Message, Nonce};

#[test]
fn registers_go_out_at_50_ms_doubling_until_acknowledged() {
    let mut bench = Bench::new(&config());
    bench.uplinks(&["192.0.2.1"]);
    bench.run_ms(1000);
    assert!(bench.sent.is_empty(), "no session stands");
    bench.session(SERVER, Side::Initiator);
    bench.run_ms(3000);
    let registers: Vec<_> = bench.sent.iter().filter(|sent| sent.is_register()).collect();
    let times: Vec<_> = registers.iter().map(|sent| sent.at_ms - 1000).collect();
    assert_eq!(times, [0, 50, 150, 350, 750, 1550, 2550]);
    assert!(registers.iter().all(|sent| sent.octets == registers[0].octets), "the same message");
    assert_eq!(registers[0].nonce().0 >> 32, 7);
    let handshakes =
        bench.changes.iter().filter(|change| **change == Change::InitiateControl(SERVER));
    assert_eq!(handshakes.count(), 2, "not before four tries, at most one a second");
    bench.acknowledge_registers();
    let map_server = SERVER;
    let told = [Event::Registered { map_server }, Event::RegisterAcknowledged { map_server }];
    assert_eq!(bench.events, told);
    bench.clear();
    bench.run_ms(50_000);
    assert!(!bench.sent.iter().any(Sent::is_register));
}

#[test]
fn each_acknowledged_change_is_told_once_it_is_whole_and_refreshes_are_not() {
    let mut config = config();
    let many = (0..30).map(|place| prefix(&std::format!("10.1.{place}.0/24")));
    config.xtr.as_mut().unwrap().database.extend(many.map(Into::<crate::DatabaseEntry>::into));
    let mut bench = Bench::registered(&config);
    bench.run_with_server(Duration::from_secs(300));
    assert!(bench.events.is_empty(), "{:?}", bench.events);
    for place in 1..5 {
        bench.clear();
        bench.uplinks(&[&std::format!("198.51.100.{place}")]);
        // One that is lost, and one that a new session overtakes.
        bench.run_ms(60);
        bench.session(SERVER, Side::Responder);
        assert!(bench.events.is_empty());
        bench.acknowledge_registers();
        let parts = bench.sent.iter().filter(|sent| sent.is_register()).count();
        assert!(parts > 3, "{parts} messages");
        let told = [Event::RegisterAcknowledged { map_server: SERVER }];
        assert_eq!(bench.events, told);
    }
}

#[test]
fn a_register_says_what_the_protocol_asks_for() {
    let mut bench = Bench::new(&config());
    bench.session(SERVER, Side::Initiator);
    bench.uplinks(&["2001:db8::1", "192.0.2.1"]);
    let register = bench.sent.iter().find(|sent| sent.is_register()).unwrap();
    wire::auth::verify(&register.octets, authentication(SERVER).as_bytes()).unwrap();
    let Message::MapRegister(register) = register.message() else { panic!() };
    assert!(register.is_proxy_reply && register.is_want_map_notify && !register.is_ttl_timeout);
    let identity = register.xtr_identity.unwrap();
    assert_eq!(identity.xtr_id, crate::auth::xtr_id(PeerKey([1; 32])));
    let record = register.records.iter().next().unwrap();
    assert!(record.is_authoritative && record.ttl_minutes == 60 && record.mask_len == 16);
    let keys: Vec<_> =
        record.locators.iter().map(|row| row.address.rloc().unwrap().1.unwrap()).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.unwrap().public_key == OUR_DATA_KEY.0));
}

#[test]
fn a_registration_is_refreshed_every_minute_a_little_early_under_a_greater_nonce() {
    let mut bench = Bench::registered(&config());
    let mut last = (bench.now, Nonce(0));
    for _ in 0..20 {
        bench.run_ms(60_000 - (bench.now - last.0).as_millis() as u64);
        let register = bench.sent.iter().find(|sent| sent.is_register()).unwrap().clone();
        let at = crate::Instant::from_millis(register.at_ms);
        let span = at - last.0;
        assert!(
            span >= Duration::from_millis(53_900) && span <= Duration::from_secs(60),
            "{span:?}"
        );
        assert!(register.nonce() > last.1);
        bench.acknowledge_registers();
        last = (bench.now, register.nonce());
        bench.clear();
    }
}

#[test]
fn a_registration_that_is_not_acknowledged_for_3_s_is_lost() {
    let mut bench = Bench::registered(&config());
    bench.run_ms(56_000);
    let start = bench.sent.iter().find(|sent| sent.is_register());
    let wait = start.map_or(4_000, |sent| 56_000_u64.saturating_sub(56_000 - sent.at_ms % 56_000));
    bench.run_ms(wait.min(4_000));
    assert_eq!(bench.xtr.registered_with(), Some(SERVER), "still hopeful");
    bench.run_ms(8_000);
    assert_eq!(bench.xtr.registered_with(), None);
    assert_eq!(bench.events, [Event::RegistrationLost { map_server: SERVER }]);
    assert!(bench.xtr.map_servers().iter().all(|server| !server.is_registered()));
}

#[test]
fn a_session_that_the_map_server_initiated_and_a_new_rloc_register_at_once() {
    let mut bench = Bench::registered(&config());
    bench.session(SERVER, Side::Initiator);
    assert!(bench.sent.is_empty(), "a rekey is no new beginning");
    bench.session(SERVER, Side::Responder);
    assert!(bench.sent.iter().any(Sent::is_register) && bench.sent.iter().any(Sent::is_info));
    let first = bench.sent.iter().find(|sent| sent.is_register()).unwrap().nonce();
    bench.clear();
    bench.uplinks(&["198.51.100.1"]);
    let second = bench.sent.iter().find(|sent| sent.is_register()).unwrap().nonce();
    assert!(second > first, "the outstanding one is superseded");
    bench.datagram(SERVER, &notify(first, &[], &authentication(SERVER)));
    assert_eq!(bench.xtr.counters().of(Counter::NoncesUnknown), 1);
    assert!(matches!(bench.xtr.map_servers()[0].state(), RegistrationState::Registering(1)));
    bench.acknowledge_registers();
    bench.clear();
    bench.uplinks(&["198.51.100.1"]);
    assert!(bench.sent.is_empty(), "the same set is no work");
}

#[test]
fn many_prefixes_are_registered_message_by_message() {
    let mut config = config();
    let xtr = config.xtr.as_mut().unwrap();
    xtr.database = (0..32).map(|n| prefix(&std::format!("fd00:{n:x}::/32")).into()).collect();
    let mut bench = Bench::new(&config);
    bench.session(SERVER, Side::Initiator);
    bench.uplinks(&["192.0.2.1", "2001:db8::1"]);
    assert_eq!(bench.sent.iter().filter(|sent| sent.is_register()).count(), 1, "stop and wait");
    bench.acknowledge_registers();
    let mut records = Vec::new();
    for sent in bench.sent.iter().filter(|sent| sent.is_register()) {
        let Message::MapRegister(register) = sent.message() else { panic!() };
        assert!(sent.octets.len() <= 1200);
        records.extend(register.records.iter().map(|record| std::format!("{}", record.eid)));
    }
    assert!(bench.sent.len() > 4);
    records.dedup();
    assert_eq!(records.len(), 32);
    assert_eq!(bench.xtr.registered_with(), Some(SERVER));
}

#[test]
fn a_map_notify_counts_only_when_it_verifies_with_the_key_of_its_tunnel() {
    let mut bench = Bench::new(&config());
    bench.uplinks(&["192.0.2.1"]);
    bench.session(SERVER, Side::Initiator);
    let nonce = bench.sent[0].nonce();
    let wrong = AuthenticationKey::from_secret(&[3; 32]);
    bench.datagram(SERVER, &notify(nonce, &[], &wrong));
    bench.datagram(OTHER_SERVER, &notify(nonce, &[], &authentication(SERVER)));
    assert_eq!(bench.xtr.registered_with(), None);
    let counters = bench.xtr.counters();
    assert_eq!(counters.of(Counter::AuthenticationFailures), 1);
    assert_eq!(counters.of(Counter::MessagesUnexpected), 1);
    bench.datagram(SERVER, &notify(nonce, &[], &authentication(SERVER)));
    assert_eq!(bench.xtr.registered_with(), Some(SERVER));
}

#[test]
fn a_withdrawn_prefix_is_registered_once_with_ttl_0() {
    let mut config = config();
    config.xtr.as_mut().unwrap().database.push(prefix("10.2.0.0/16").into());
    let mut bench = Bench::registered(&config);
    let config = xtr_config();
    bench.xtr.handle_config(&config, bench.now);
    bench.drain();
    let ttls = |bench: &Bench| -> Vec<(u32, usize)> {
        let register = bench.sent.iter().rfind(|sent| sent.is_register()).unwrap();
        let Message::MapRegister(register) = register.message() else { panic!() };
        register.records.iter().map(|row| (row.ttl_minutes, row.locators.len())).collect()
    };
    assert_eq!(ttls(&bench), [(60, 1), (0, 0)]);
    bench.acknowledge_registers();
    bench.run_ms(61_000);
    assert_eq!(ttls(&bench), [(60, 1)]);
}

#[test]
fn a_reload_that_changes_nothing_does_nothing() {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.clear();
    bench.xtr.handle_config(&xtr_config(), bench.now);
    bench.drain();
    assert!(bench.sent.is_empty() && bench.changes.is_empty() && bench.events.is_empty());
    let mut narrower = xtr_config();
    narrower.eid_space = [prefix("10.1.0.0/16")].into();
    bench.xtr.handle_config(&narrower, bench.now);
    bench.drain();
    let gone = [Change::RemoveRoute(prefix("10.2.0.0/16")), Change::RemovePeer(B)];
    assert_eq!(bench.changes, gone);
    assert!(bench.sent.is_empty(), "the registration is left alone");
}

#[test]
fn a_new_authentication_key_registers_anew_in_the_same_session() {
    let mut bench = Bench::registered(&config());
    let mut config = xtr_config();
    config.map_servers[0].authentication = AuthenticationKey::from_secret(&[3; 32]);
    bench.xtr.handle_config(&config, bench.now);
    bench.drain();
    assert_eq!(bench.xtr.registered_with(), None);
    let register = bench.sent.iter().find(|sent| sent.is_register()).unwrap();
    wire::auth::verify(&register.octets, &[3; 32]).unwrap();
}

#[test]
fn the_next_map_server_is_used_when_the_first_is_lost_and_left_when_it_returns() {
    let mut config = config();
    let second = MapServerPeer { key: OTHER_SERVER, authentication: authentication(OTHER_SERVER) };
    config.xtr.as_mut().unwrap().map_servers.push(second);
    let mut bench = Bench::registered(&config);
    bench.session(OTHER_SERVER, Side::Initiator);
    bench.run_ms(5_000);
    assert!(bench.sent.iter().all(|sent| !sent.is_register()), "the first is enough");
    bench.xtr.handle_control_lost(SERVER, bench.now);
    bench.drain();
    assert_eq!(bench.sent.last().map(|sent| sent.peer), Some(OTHER_SERVER));
    bench.acknowledge_registers();
    assert_eq!(bench.xtr.registered_with(), Some(OTHER_SERVER));
    bench.clear();
    bench.session(SERVER, Side::Initiator);
    bench.run_ms(9_900);
    assert!(!bench.sent.iter().any(Sent::is_register), "not at once");
    bench.run_ms(200);
    assert!(bench.sent.iter().any(|sent| sent.is_register() && sent.peer == SERVER));
    assert_eq!(bench.xtr.registered_with(), Some(OTHER_SERVER), "make before break");
    bench.acknowledge_registers();
    assert_eq!(bench.xtr.registered_with(), Some(SERVER));
    assert_eq!(bench.xtr.map_servers()[1].state(), RegistrationState::Standby);
}

#[test]
fn a_first_map_server_that_never_answers_makes_way_after_3_s() {
    let mut config = config();
    let second = MapServerPeer { key: OTHER_SERVER, authentication: authentication(OTHER_SERVER) };
    config.xtr.as_mut().unwrap().map_servers.push(second);
    let mut bench = Bench::new(&config);
    bench.uplinks(&["192.0.2.1"]);
    bench.session(OTHER_SERVER, Side::Initiator);
    bench.run_ms(2_999);
    assert!(bench.sent.is_empty(), "the first may still come up");
    bench.run_ms(1);
    assert!(bench.sent.iter().any(|sent| sent.is_register() && sent.peer == OTHER_SERVER));
    bench.acknowledge_registers();
    assert_eq!(bench.xtr.registered_with(), Some(OTHER_SERVER));
}

#[test]
fn behind_nat_we_keep_bindings_and_initiate_whichever_side_asked() {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.uplinks(&["10.99.0.1"]);
    bench.acknowledge_registers();
    bench.clear();
    bench.answer_info_late("203.0.113.7");
    let keepalive = Some(Duration::from_secs(25));
    assert!(bench.changes.contains(&Change::SetControlKeepalive(SERVER, keepalive)));
    let kept = PeerConfig {
        key: B,
        lane: 0,
        endpoint: None,
        side: Side::Initiator,
        persistent_keepalive: keepalive,
    };
    assert!(bench.changes.contains(&Change::SetPeer(kept)), "a roamed endpoint stays");
    assert!(matches!(bench.events[..], [Event::BehindNat { .. }]));
    bench.clear();
    let c = PeerKey([0xc0; 32]);
    bench.push(1 << 32, &[mapping("10.3.0.0/16", "192.0.2.3", c)]);
    assert!(matches!(bench.changes[0], Change::SetPeer(peer)
        if peer.side == Side::Initiator && peer.persistent_keepalive == keepalive));
    bench.clear();
    let mut unreachable = mapping("10.4.0.0/16", "192.0.2.4", PeerKey([0xd0; 32]));
    unreachable.locators[0].is_reachable = false;
    bench.push((1 << 32) + 1, &[unreachable]);
    assert!(matches!(bench.changes[0], Change::SetPeer(peer)
        if peer.side == Side::Responder && peer.endpoint.is_none()));
    assert!(bench.events.contains(&Event::BothBehindNat { eid_prefix: prefix("10.4.0.0/16") }));
}

#[test]
fn an_info_request_is_given_up_after_six_tries() {
    let mut bench = Bench::new(&config());
    bench.uplinks(&["192.0.2.1"]);
    bench.session(SERVER, Side::Initiator);
    bench.acknowledge_registers();
    bench.run_ms(30_000);
    assert_eq!(bench.sent.iter().filter(|sent| sent.is_info()).count(), 6);
    assert!(!bench.xtr.is_behind_nat());
}

#[test]
fn of_many_uplinks_the_eight_preferred_are_registered() {
    let mut bench = Bench::registered(&config());
    let uplinks: Vec<_> = (0..20_u8)
        .map(|n| Uplink { priority: 20 - n, weight: 1, ..Uplink::new([192, 0, 2, 100 + n].into()) })
        .collect();
    bench.xtr.handle_uplinks(&uplinks, bench.now);
    bench.drain();
    let priorities: Vec<_> = bench.xtr.locators().iter().map(|row| row.priority).collect();
    assert_eq!(priorities, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(bench.forwarding("10.2.0.1"), None::<Forwarding>);
}
