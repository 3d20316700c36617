//! The database: our own EID-prefixes and where we are (RFC 9301 section 8.2).

use core::net::IpAddr;

use crate::{
    Action, DataKey, DatabaseEntry, Eid, EidPrefix, Locator, Locators, MAX_LANES, MAX_LOCATORS,
    Mapping, PeerKey, Uplink, XtrConfig,
};
use core::time::Duration;

/// EID-prefixes in the database; further ones of a configuration are left out.
pub const MAX_EID_PREFIXES: usize = 32;

/// Our own mappings, all with the same locators, and the ones that are being withdrawn.
pub(crate) struct Database {
    eid_prefixes: heapless::Vec<EidPrefix, MAX_EID_PREFIXES>,
    /// Registered once more, with record TTL 0; in a full list the oldest is left to expire.
    withdrawn: heapless::Vec<EidPrefix, MAX_EID_PREFIXES>,
    /// Of each EID-prefix.
    record_ttls: heapless::Vec<Duration, MAX_EID_PREFIXES>,
    /// One per lane.
    data_keys: heapless::Vec<DataKey, MAX_LANES>,
    /// The best, sorted.
    uplinks: heapless::Vec<Uplink, MAX_LOCATORS>,
    locators: Locators,
    /// Bit n: the last whole registration had EID-prefix n, and the Map-Server did not take it.
    refused: u32,
    /// Bit n: the Map-Server took it in the registration that is under way.
    taken: u32,
}

impl Database {
    pub(crate) fn new(config: &XtrConfig) -> Database {
        let entries = || config.database.iter().take(MAX_EID_PREFIXES);
        let record_ttl = |entry: &DatabaseEntry| entry.record_ttl.unwrap_or(config.record_ttl);
        Database {
            eid_prefixes: entries().map(|entry| entry.eid_prefix).collect(),
            withdrawn: heapless::Vec::new(),
            record_ttls: entries().map(record_ttl).collect(),
            data_keys: data_keys(config),
            uplinks: heapless::Vec::new(),
            locators: Locators::new(),
            refused: 0,
            taken: 0,
        }
    }

    /// Takes a new configuration over; true when what is registered changes.
    pub(crate) fn handle_config(&mut self, config: &XtrConfig) -> bool {
        let fresh = Database::new(config);
        let is_changed = self.eid_prefixes != fresh.eid_prefixes
            || self.record_ttls != fresh.record_ttls
            || self.data_keys != fresh.data_keys;
        self.withdrawn.retain(|eid_prefix| !fresh.eid_prefixes.contains(eid_prefix));
        for gone in self.eid_prefixes.iter().filter(|own| !fresh.eid_prefixes.contains(own)) {
            if self.withdrawn.is_full() {
                self.withdrawn.remove(0);
            }
            self.withdrawn.push(*gone).expect("a place was made");
        }
        if self.eid_prefixes != fresh.eid_prefixes {
            (self.refused, self.taken) = (0, 0);
        }
        self.eid_prefixes = fresh.eid_prefixes;
        self.record_ttls = fresh.record_ttls;
        self.data_keys = fresh.data_keys;
        self.locators = self.uplinks.iter().filter_map(|uplink| self.locator(uplink)).collect();
        is_changed
    }

    /// Takes our RLOCs over, the eight of lowest priority; true when they change. An RLOC stands
    /// once per lane, with its lowest priority; one whose lane has no data key is not registered.
    pub(crate) fn set_uplinks(&mut self, uplinks: &[Uplink]) -> bool {
        self.uplinks.clear();
        for uplink in uplinks.iter().filter(|uplink| !uplink.rloc.is_unspecified()) {
            let is_same = |known: &Uplink| (known.rloc, known.lane) == (uplink.rloc, uplink.lane);
            match self.uplinks.iter().position(is_same) {
                Some(known) if order(&self.uplinks[known]) <= order(uplink) => continue,
                Some(known) => drop(self.uplinks.remove(known)),
                None => {}
            }
            let place = self.uplinks.iter().position(|known| order(uplink) < order(known));
            let place = place.unwrap_or(self.uplinks.len());
            if place == MAX_LOCATORS {
                continue;
            }
            if self.uplinks.is_full() {
                self.uplinks.pop();
            }
            let is_in = self.uplinks.insert(place, *uplink).is_ok();
            debug_assert!(is_in, "a place was made");
        }
        let locators: Locators =
            self.uplinks.iter().filter_map(|uplink| self.locator(uplink)).collect();
        let is_changed = self.locators != locators;
        self.locators = locators;
        is_changed
    }

    fn locator(&self, uplink: &Uplink) -> Option<Locator> {
        let data_key = self.data_keys.get(usize::from(uplink.lane))?;
        Some(Locator {
            rloc: uplink.rloc,
            priority: uplink.priority,
            weight: uplink.weight,
            mpriority: 255,
            mweight: 0,
            is_reachable: true,
            data_key: Some(*data_key),
        })
    }

    /// The mapping at this place, withdrawn ones last; `None` after the last.
    pub(crate) fn mapping(&self, place: usize) -> Option<Mapping> {
        let own = self.eid_prefixes.iter().zip(&self.record_ttls).nth(place);
        let own = own.map(|(eid_prefix, record_ttl)| Mapping {
            eid_prefix: *eid_prefix,
            record_ttl: *record_ttl,
            action: Action::NoAction,
            locators: self.locators.clone(),
        });
        own.or_else(|| {
            let place = place.checked_sub(self.eid_prefixes.len())?;
            self.withdrawn.get(place).map(|eid_prefix| Mapping {
                eid_prefix: *eid_prefix,
                record_ttl: Duration::ZERO,
                action: Action::NoAction,
                locators: Locators::new(),
            })
        })
    }

    /// How many mappings a whole registration has, withdrawn ones too.
    pub(crate) fn len(&self) -> usize {
        self.eid_prefixes.len() + self.withdrawn.len()
    }

    /// A Map-Server took this EID-prefix, one of a registration that is under way.
    pub(crate) fn handle_taken(&mut self, eid_prefix: &EidPrefix) {
        if let Some(place) = self.place(eid_prefix) {
            self.taken |= 1 << place;
        }
    }

    /// A Map-Server answered the whole registration: withdrawals are done, and what it did not
    /// take is refused.
    pub(crate) fn handle_registered(&mut self) {
        self.withdrawn.clear();
        let all = 1_u64.checked_shl(self.eid_prefixes.len() as u32).map_or(0, |bit| bit - 1);
        self.refused = all as u32 & !core::mem::take(&mut self.taken);
    }

    /// Whether the Map-Server answered the last registration without this EID-prefix of ours.
    pub(crate) fn is_refused(&self, eid_prefix: &EidPrefix) -> bool {
        self.place(eid_prefix).is_some_and(|place| self.refused & 1 << place != 0)
    }

    fn place(&self, eid_prefix: &EidPrefix) -> Option<usize> {
        self.eid_prefixes.iter().position(|own| own == eid_prefix)
    }

    pub(crate) fn eid_prefixes(&self) -> &[EidPrefix] {
        &self.eid_prefixes
    }

    /// Our RLOCs, the preferred first.
    pub(crate) fn locators(&self) -> &Locators {
        &self.locators
    }

    /// How many data keys we have.
    pub(crate) fn lanes(&self) -> u8 {
        self.data_keys.len() as u8
    }

    /// Whether others may send to this lane of ours now; to any while we have no RLOC at all.
    pub(crate) fn has_lane(&self, lane: u8) -> bool {
        let is_in = |locator: &Locator| {
            locator.priority != 255 && locator.data_key.is_some_and(|key| key.lane == lane)
        };
        self.locators.is_empty() || self.locators.iter().any(is_in)
    }

    /// Whether we have RLOCs, but none of this one's family.
    pub(crate) fn is_alien(&self, rloc: IpAddr) -> bool {
        let is_alike = |own: &Locator| own.rloc.is_ipv4() == rloc.is_ipv4();
        !self.locators.is_empty() && !self.locators.iter().any(is_alike)
    }

    pub(crate) fn is_own_rloc(&self, address: IpAddr) -> bool {
        self.locators.iter().any(|locator| locator.rloc == address)
    }

    pub(crate) fn is_own_key(&self, key: PeerKey) -> bool {
        self.data_keys.iter().any(|own| own.key == key)
    }

    /// Whether an EID is one of ours.
    pub(crate) fn contains(&self, eid: Eid) -> bool {
        self.eid_prefixes.iter().any(|own| own.contains(eid))
    }

    /// The place of our EID-prefix that this one is, or lies in.
    pub(crate) fn covering(&self, eid_prefix: &EidPrefix) -> Option<usize> {
        self.eid_prefixes.iter().position(|own| own.covers(eid_prefix))
    }

    /// Whether a claim to `eid_prefix` by others takes one of our EID-prefixes over.
    pub(crate) fn is_claimed_by(&self, eid_prefix: &EidPrefix) -> bool {
        self.eid_prefixes.iter().any(|own| eid_prefix.covers(own))
    }

    /// One of our EIDs to ask for `eid` with: of the same instance and family if there is one.
    pub(crate) fn source_for(&self, eid: Eid) -> Option<Eid> {
        let is_alike = |own: &&EidPrefix| {
            own.instance_id() == eid.instance_id && own.address().is_ipv4() == eid.address.is_ipv4()
        };
        let alike = self.eid_prefixes.iter().find(is_alike);
        alike.or(self.eid_prefixes.first()).map(EidPrefix::eid)
    }
}

fn order(uplink: &Uplink) -> (u8, IpAddr, u8) {
    (uplink.priority, uplink.rloc, uplink.lane)
}

/// The keys of a configuration, each with its place as its lane.
fn data_keys(config: &XtrConfig) -> heapless::Vec<DataKey, MAX_LANES> {
    let keys = config.data_keys.iter().take(MAX_LANES);
    keys.enumerate().map(|(lane, key)| DataKey { lane: lane as u8, ..*key }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Forwarding;

    fn config(eid_prefixes: &[&str]) -> XtrConfig {
        XtrConfig {
            data_keys: [DataKey { key: PeerKey([1; 32]), port: 51820, lane: 0 }].into(),
            uplinks: [].into(),
            database: eid_prefixes
                .iter()
                .map(|text| text.parse::<EidPrefix>().unwrap().into())
                .collect(),
            eid_space: [].into(),
            on_miss: Forwarding::Drop,
            record_ttl: Duration::from_secs(60),
            register_interval: Duration::from_secs(60),
            map_servers: [].into(),
        }
    }

    #[test]
    fn what_no_acknowledgement_of_a_registration_holds_is_refused() {
        let mut database = Database::new(&config(&["10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24"]));
        let prefixes = database.eid_prefixes.clone();
        let refused = |database: &Database| {
            prefixes.iter().map(|one| database.is_refused(one)).collect::<std::vec::Vec<_>>()
        };
        assert_eq!(refused(&database), [false; 3], "nobody answered yet");
        database.handle_taken(&prefixes[0]);
        database.handle_taken(&"10.9.0.0/24".parse().unwrap());
        database.handle_taken(&prefixes[2]);
        database.handle_registered();
        assert_eq!(refused(&database), [false, true, false]);
        prefixes.iter().for_each(|one| database.handle_taken(one));
        database.handle_registered();
        assert_eq!(refused(&database), [false; 3], "the Map-Server was configured meanwhile");
        database.handle_registered();
        assert!(database.handle_config(&config(&["10.1.0.0/24"])));
        assert!(!database.is_refused(&prefixes[0]), "a new list is yet to be answered");
    }

    #[test]
    fn a_full_database_may_be_refused_as_a_whole() {
        let all: std::vec::Vec<_> =
            (0..MAX_EID_PREFIXES).map(|number| std::format!("10.{number}.0.0/16")).collect();
        let all: std::vec::Vec<_> = all.iter().map(|text| text.as_str()).collect();
        let mut database = Database::new(&config(&all));
        database.handle_registered();
        let prefixes = database.eid_prefixes.clone();
        assert!(prefixes.iter().all(|one| database.is_refused(one)));
    }

    #[test]
    fn an_entry_may_have_a_record_ttl_of_its_own() {
        let mut config = config(&["10.1.0.0/16", "10.2.0.0/16"]);
        config.database[1].record_ttl = Some(Duration::from_secs(7));
        let mut database = Database::new(&config);
        assert_eq!(database.mapping(0).unwrap().record_ttl, config.record_ttl);
        assert_eq!(database.mapping(1).unwrap().record_ttl, Duration::from_secs(7));
        assert!(!database.handle_config(&config));
        config.database[1].record_ttl = None;
        assert!(database.handle_config(&config));
    }
}
