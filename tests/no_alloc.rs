//! An xTR allocates nothing after its start: counted over an hour of virtual time with churn.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use control::auth::AuthenticationKey;
use control::random::Random;
use control::{
    Change, Config, DataKey, Duration, Eid, Event, Forwarding, HandoverConfig, InstanceId, Instant,
    Lanes, Limits, MapServerConfig, MapServerPeer, Node, Output, PeerKey, Side, SiteConfig, Uplink,
    UplinkConfig, XtrConfig,
};

/// Counts while the thread says so.
struct Counting;

thread_local! {
    static IS_COUNTING: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn note() {
    if IS_COUNTING.get() {
        COUNT.set(COUNT.get() + 1);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SITES: usize = 12;
const MAP_SERVER: usize = 0;
/// The site whose allocations are counted.
const COUNTED: usize = 1;

/// Nodes that hand each other messages directly.
struct Link {
    now: Instant,
    nodes: Vec<Node>,
    boots: Vec<u32>,
    /// Messages under way: when, and in which order.
    flying: BTreeMap<(Instant, u64), Flying>,
    random: Random,
    sent: u64,
    changes: u64,
    lanes: u64,
    answers: u64,
}

/// A message to a node from who has this key: between link addresses it is a data key.
struct Flying {
    to: usize,
    link: bool,
    from: PeerKey,
    message: Vec<u8>,
}

#[test]
fn an_xtr_allocates_nothing_over_an_hour_with_churn() {
    counted(COUNTED, || drop(std::hint::black_box(vec![0_u8; 16])));
    assert_eq!(COUNT.replace(0), 1, "the counter counts");
    let mut link = Link::new();
    let end = Instant::ZERO + Duration::from_secs(3600);
    while link.now < end {
        let span = Duration::from_millis(link.random.next_u64() % 2_000);
        link.run_for(span);
        link.churn();
    }
    let xtr = link.nodes[COUNTED].xtr().unwrap();
    let counted: BTreeMap<_, _> = xtr.counters().iter().collect();
    for busy in ["registers_sent", "requests_sent", "replies_accepted", "pushes_accepted"] {
        assert!(counted[busy] > 50, "{busy}: {}", counted[busy]);
    }
    assert!(counted["mappings_evicted"] > 10 && counted["nonces_unknown"] > 0, "{counted:?}");
    assert!(link.lanes > 50, "{} routes over two lanes", link.lanes);
    assert!(link.changes > 500 && link.answers > 20, "{} {}", link.changes, link.answers);
    assert_eq!(COUNT.get(), 0, "allocations");
}

impl Link {
    fn new() -> Link {
        let mut nodes = vec![Node::new(&map_server_config(), Instant::ZERO)];
        nodes.extend((1..=SITES).map(|site| Node::new(&site_config(site, 1), Instant::ZERO)));
        let mut link = Link {
            now: Instant::ZERO,
            nodes,
            boots: vec![1; SITES + 1],
            flying: BTreeMap::new(),
            random: Random::new(&[7; 32], b"link"),
            sent: 0,
            changes: 0,
            lanes: 0,
            answers: 0,
        };
        link.adopt();
        for site in 1..=SITES {
            link.begin(site);
        }
        link
    }

    /// The counted site finds what an earlier run left: what still holds, what does not, and more
    /// than fits.
    fn adopt(&mut self) {
        let now = self.now;
        for number in 2..20 {
            let keys = [0, 1].map(|lane| lane_key(number, 1, lane));
            let lanes = Lanes::new(&[(0, keys[0], 1), (1, keys[1], 1)]).unwrap();
            let endpoint = Some((rloc(number, 1), 51820).into());
            let peers = [(0, keys[0], endpoint), (1, keys[1], endpoint)];
            let eid_prefix = format!("10.{number}.0.0/16").parse().unwrap();
            let forwarding = Forwarding::Lanes(lanes);
            counted(COUNTED, || {
                self.nodes[COUNTED].handle_adopted(eid_prefix, forwarding, &peers, now);
            });
        }
    }

    /// A site comes up.
    fn begin(&mut self, site: usize) {
        self.feed(site, |node, now| {
            uplinks(site, 1).tell(node, now);
            let endpoint = (rloc(MAP_SERVER, 1), 51821).into();
            node.handle_control_session(key(MAP_SERVER), endpoint, Side::Initiator, None, now);
        });
        let endpoint = (rloc(site, 1), 51821).into();
        self.feed(MAP_SERVER, |node, now| {
            node.handle_control_session(key(site), endpoint, Side::Responder, None, now);
        });
    }

    /// Something happens.
    fn churn(&mut self) {
        let site = 2 + self.random.next_u64() as usize % (SITES - 1);
        let (low, host) = (self.random.next_u64() as u8 % 40, self.random.next_u64() as u8);
        match self.random.next_u64() % 13 {
            0 => {
                self.boots[site] += 1;
                self.nodes[site] = Node::new(&site_config(site, self.boots[site]), self.now);
                self.begin(site);
            }
            1 => self.feed(site, |node, now| uplinks(site, host).tell(node, now)),
            2 => self.feed(COUNTED, |node, now| {
                uplinks(COUNTED, host % 4 + 1).tell(node, now);
            }),
            3 => self.feed(COUNTED, |node, now| {
                node.handle_control_lost(key(MAP_SERVER), now);
                let endpoint = (rloc(MAP_SERVER, 1), 51821).into();
                node.handle_control_session(key(MAP_SERVER), endpoint, Side::Initiator, None, now);
            }),
            4 => self.feed(COUNTED, |node, now| node.handle_lig(eid(low, host), now)),
            5 | 6 => self.feed(site, |node, now| {
                node.handle_miss(eid(site as u8, 1), eid(COUNTED as u8, host), now);
            }),
            7 => {
                let peer = lane_key(site, self.boots[site], host % 2);
                self.feed(COUNTED, |node, now| node.handle_traffic(peer, now));
            }
            8 => {
                let peer = lane_key(site, self.boots[site], host % 2);
                self.feed(COUNTED, |node, now| node.handle_silent(peer, now));
            }
            _ => self.feed(COUNTED, |node, now| {
                node.handle_miss(eid(COUNTED as u8, 1), eid(low, host), now);
            }),
        }
    }

    fn feed(&mut self, place: usize, input: impl FnOnce(&mut Node, Instant)) {
        let now = self.now;
        counted(place, || input(&mut self.nodes[place], now));
        self.drain(place);
    }

    fn drain(&mut self, place: usize) {
        let mut buf = [0; 1200];
        loop {
            let output = counted(place, || self.nodes[place].poll_output(self.now, &mut buf));
            match output {
                Output::Transmit { link, peer, len } => {
                    let (to, from) = self.ends(place, link, peer);
                    if let Some(to) = to {
                        self.send((to, link, from), &buf[..len]);
                    }
                }
                Output::Change(change) => {
                    let is_shared = matches!(change, Change::SetRoute { forwarding, .. }
                        if matches!(forwarding, Forwarding::Lanes(_)));
                    self.changes += u64::from(place == COUNTED);
                    self.lanes += u64::from(place == COUNTED && is_shared);
                }
                Output::Event(Event::Lig { .. }) => self.answers += 1,
                Output::Event(_) | Output::Uplinks => {}
                Output::Wait(at) => {
                    assert!(at.is_none_or(|at| at > self.now));
                    return;
                }
            }
        }
    }

    /// Who has this key, if anybody has it still, and what it knows the sender as.
    fn ends(&self, from: usize, link: bool, peer: PeerKey) -> (Option<usize>, PeerKey) {
        if !link {
            return ((0..=SITES).find(|place| key(*place) == peer), key(from));
        }
        let (lane, of) = (peer.0[0], |site: usize| self.boots[site]);
        let to = (1..=SITES).find(|site| lane_key(*site, of(*site), lane) == peer);
        (to, lane_key(from, of(from), lane))
    }

    /// One message of ten is lost, one of ten arrives twice.
    fn send(&mut self, (to, link, from): (usize, bool, PeerKey), message: &[u8]) {
        let copies = [0, 2, 1, 1, 1, 1, 1, 1, 1, 1][self.random.next_u64() as usize % 10];
        for _ in 0..copies {
            let delay = Duration::from_micros(1_000 + self.random.next_u64() % 20_000);
            self.sent += 1;
            let flying = Flying { to, link, from, message: message.to_vec() };
            self.flying.insert((self.now + delay, self.sent), flying);
        }
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = self.nodes.iter().filter_map(Node::poll_at);
            let arrival = self.flying.keys().next().map(|(at, _)| *at);
            let Some(at) = due.chain(arrival).min().filter(|at| *at <= end) else { break };
            self.now = at;
            while let Some(entry) = self.flying.first_entry()
                && entry.key().0 <= at
            {
                let Flying { to, link, from, message } = entry.remove();
                self.feed(to, |node, now| node.handle_datagram(link, from, &message, now));
            }
            for place in 0..self.nodes.len() {
                if self.nodes[place].poll_at().is_some_and(|due| due <= at) {
                    self.feed(place, Node::handle_timeout);
                }
            }
        }
        self.now = end;
    }
}

/// Counts what the node under test allocates.
fn counted<T>(place: usize, run: impl FnOnce() -> T) -> T {
    IS_COUNTING.set(place == COUNTED);
    let result = run();
    IS_COUNTING.set(false);
    result
}

fn key(place: usize) -> PeerKey {
    PeerKey([0x10 + place as u8; 32])
}

fn lane_key(site: usize, boots: u32, lane: u8) -> PeerKey {
    let mut key = [0x80 + site as u8; 32];
    key[0] = lane;
    key[28..].copy_from_slice(&boots.to_be_bytes());
    PeerKey(key)
}

fn rloc(place: usize, last: u8) -> IpAddr {
    [192, 0, place as u8, last].into()
}

struct Uplinks {
    rows: [Uplink; 2],
    used: core::ops::Range<usize>,
}

impl Uplinks {
    fn tell(&self, node: &mut Node, now: Instant) {
        node.handle_uplinks(&self.rows[self.used.clone()], now);
    }
}

/// Two uplinks of equal priority; now and then one of them is gone.
fn uplinks(site: usize, last: u8) -> Uplinks {
    let uplink = |place: u8| Uplink {
        id: 1 + u32::from(place),
        place: Some(place),
        ..Uplink::new(rloc(site, last.wrapping_add(place)))
    };
    let only = usize::from(last / 4 % 2);
    let used = if last.is_multiple_of(4) { only..only + 1 } else { 0..2 };
    Uplinks { rows: [0, 1].map(uplink), used }
}

/// 10.SITE.0.HOST; of the numbers up to 39, twelve are sites.
fn eid(site: u8, host: u8) -> Eid {
    Eid { instance_id: InstanceId(0), address: [10, site, 0, host].into() }
}

fn authentication(site: usize) -> AuthenticationKey {
    AuthenticationKey::from_secret(&[site as u8; 32])
}

fn map_server_config() -> Config {
    let sites = (1..=SITES).map(|site| SiteConfig {
        name: format!("site {site}"),
        key: key(site),
        authentication: authentication(site),
        eid_prefixes: vec![format!("10.{site}.0.0/16").parse().unwrap()],
        accepts_more_specifics: false,
    });
    let registration_timeout = Duration::from_secs(180);
    let map_server = MapServerConfig { sites: sites.collect(), registration_timeout };
    config(MAP_SERVER, 1, None, Some(map_server))
}

fn site_config(site: usize, boots: u32) -> Config {
    let xtr = XtrConfig {
        data_keys: (0..2)
            .map(|lane| DataKey { key: lane_key(site, boots, lane), port: 51820, lane })
            .collect(),
        uplinks: vec![UplinkConfig { priority: 1, weight: 100 }; 2],
        database: vec![format!("10.{site}.0.0/16").parse::<control::EidPrefix>().unwrap().into()],
        eid_space: vec!["10.0.0.0/8".parse().unwrap()],
        on_miss: Forwarding::Drop,
        record_ttl: Duration::from_secs(300),
        register_interval: Duration::from_secs(60),
        map_servers: vec![MapServerPeer {
            key: key(MAP_SERVER),
            authentication: authentication(site),
        }],
    };
    config(site, boots, Some(xtr), None)
}

fn config(
    place: usize,
    boot_counter: u32,
    xtr: Option<XtrConfig>,
    map_server: Option<MapServerConfig>,
) -> Config {
    let limits = Limits { map_cache: 8, pending_requests: 16, peers: 16 };
    let seed = [place as u8; 32];
    let handover = HandoverConfig::default();
    Config { control_key: key(place), boot_counter, seed, limits, handover, xtr, map_server }
}
