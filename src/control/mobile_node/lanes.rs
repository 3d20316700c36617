//! Lanes: the ways that share traffic, and which uplink each of them takes now.
//!
//! There is a lane for each configured uplink of the best priority. A lane whose uplink is not used
//! goes by the best of the others, with its key and its share unchanged: to the other site that is
//! a peer that moved, so that no flow changes its lane. Lane 0 is the only one that every site has:
//! it is offered by the others' uplinks too, the last of all, for who has no family of its uplink's.

use crate::{MAX_LANES, MAX_LOCATORS, Uplink, UplinkConfig};

/// An uplink of this priority is not to be used (RFC 9300 section 5.4).
pub(crate) const DO_NOT_USE: u8 = 255;
/// The last priority that has another one after it.
const LAST: u8 = 253;

/// The configured uplinks that have a lane, as their places, by the priorities of all of them; the
/// first [`MAX_LANES`].
pub fn of(priorities: impl Iterator<Item = u8> + Clone) -> heapless::Vec<usize, MAX_LANES> {
    let used = || priorities.clone().enumerate().filter(|(_, priority)| *priority != DO_NOT_USE);
    let best = used().map(|(_, priority)| priority).min();
    let has_lane = used().filter(|(_, priority)| Some(*priority) == best);
    has_lane.map(|(place, _)| place).take(MAX_LANES).collect()
}

/// The place of each lane's uplink, and what the configuration says of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Plan {
    lanes: heapless::Vec<(u8, UplinkConfig), MAX_LANES>,
}

impl Plan {
    /// The lanes of the configured uplinks, of which the data plane has so many.
    pub(crate) fn new(uplinks: &[UplinkConfig], data_keys: usize) -> Plan {
        let places = of(uplinks.iter().map(|one| one.priority));
        let lane = |place: &usize| Some((u8::try_from(*place).ok()?, uplinks[*place]));
        Plan { lanes: places.iter().take(data_keys).filter_map(lane).collect() }
    }

    /// Gives each way in use its lanes; `used` has the best first, and so has the result.
    pub(crate) fn assign(&self, used: &[Uplink]) -> heapless::Vec<Uplink, MAX_LOCATORS> {
        let mut assigned = Assigned::default();
        let has_lane = |uplink: &Uplink| self.lanes.iter().any(|row| Some(row.0) == uplink.place);
        let is_plain = self.lanes.len() < 2;
        for (rank, uplink) in used.iter().enumerate() {
            if is_plain || !has_lane(uplink) {
                assigned.insert(rank, Uplink { lane: 0, ..*uplink });
            }
        }
        if is_plain {
            return assigned.uplinks();
        }
        let best = used.first().and_then(|uplink| uplink.place);
        for (lane, (preferred, wanted)) in self.lanes.iter().enumerate() {
            let is_live = used.iter().any(|uplink| uplink.place == Some(*preferred));
            let place = if is_live { Some(*preferred) } else { best };
            for (rank, uplink) in used.iter().enumerate().filter(|row| row.1.place == place) {
                let UplinkConfig { priority, weight } = *wanted;
                assigned.insert(rank, Uplink { lane: lane as u8, priority, weight, ..*uplink });
            }
        }
        for (rank, uplink) in used.iter().enumerate() {
            if has_lane(uplink) && uplink.priority <= LAST {
                let priority = uplink.priority + 1;
                assigned.insert(rank, Uplink { lane: 0, priority, ..*uplink });
            }
        }
        assigned.uplinks()
    }
}

/// Uplinks sorted by priority, then rank, then lane; what is worse than the last one is left out.
#[derive(Default)]
struct Assigned {
    rows: heapless::Vec<(usize, Uplink), MAX_LOCATORS>,
}

impl Assigned {
    /// An RLOC stands once in each lane, with its lowest priority.
    fn insert(&mut self, rank: usize, uplink: Uplink) {
        let order = |(rank, uplink): &(usize, Uplink)| (uplink.priority, *rank, uplink.lane);
        let row = (rank, uplink);
        let is_same =
            |known: &(usize, Uplink)| (known.1.lane, known.1.rloc) == (uplink.lane, uplink.rloc);
        match self.rows.iter().position(is_same) {
            Some(known) if order(&self.rows[known]) <= order(&row) => return,
            Some(known) => drop(self.rows.remove(known)),
            None => {}
        }
        let place = self.rows.iter().position(|known| order(&row) < order(known));
        let place = place.unwrap_or(self.rows.len());
        if self.rows.is_full() && place < MAX_LOCATORS {
            self.rows.pop();
        }
        // In a full table a place after the last one is none.
        let _ = self.rows.insert(place, row);
    }

    fn uplinks(&self) -> heapless::Vec<Uplink, MAX_LOCATORS> {
        self.rows.iter().map(|(_, uplink)| *uplink).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn config(priority: u8, weight: u8) -> UplinkConfig {
        UplinkConfig { priority, weight }
    }

    fn plan(uplinks: &[UplinkConfig]) -> Plan {
        Plan::new(uplinks, MAX_LANES)
    }

    /// What there is of these uplinks, the best first.
    fn used(uplinks: &[UplinkConfig], places: &[usize]) -> Vec<Uplink> {
        let uplink = |place: &usize| {
            let UplinkConfig { priority, weight } = uplinks[*place];
            let place = *place as u8;
            let rloc = [192, 0, 2, place].into();
            Uplink { id: 1, place: Some(place), priority, weight, ..Uplink::new(rloc) }
        };
        let mut used: Vec<_> = places.iter().map(uplink).collect();
        used.sort_by_key(|uplink| uplink.priority);
        used
    }

    fn shown(uplinks: &[Uplink]) -> Vec<(u8, Option<u8>, u8, u8)> {
        let mut shown: Vec<_> = uplinks
            .iter()
            .map(|uplink| (uplink.lane, uplink.place, uplink.priority, uplink.weight))
            .collect();
        shown.sort();
        shown
    }

    #[test]
    fn each_uplink_of_the_best_priority_has_a_lane() {
        let of = |priorities: &[u8]| super::of(priorities.iter().copied());
        assert_eq!(of(&[255, 2, 1, 1, 9]), [2, 3]);
        assert_eq!(of(&[255, 2]), [1]);
        assert!(of(&[255]).is_empty() && of(&[]).is_empty());
        assert_eq!(of(&[1; 6]).len(), MAX_LANES);
    }

    #[test]
    fn a_lane_without_its_uplink_goes_by_the_best_other_one_with_its_own_share() {
        let uplinks = [config(2, 100), config(1, 30), config(1, 10)];
        let assigned = |places: &[usize]| shown(&plan(&uplinks).assign(&used(&uplinks, places)));
        assert_eq!(
            assigned(&[0, 1, 2]),
            [(0, Some(0), 2, 100), (0, Some(1), 1, 30), (0, Some(2), 2, 10), (1, Some(2), 1, 10)]
        );
        assert_eq!(assigned(&[2]), [(0, Some(2), 1, 30), (1, Some(2), 1, 10)]);
        assert_eq!(assigned(&[0]), [(0, Some(0), 1, 30), (1, Some(0), 1, 10)]);
        assert!(assigned(&[]).is_empty());
    }

    #[test]
    fn lane_0_is_offered_by_the_other_lanes_uplinks_after_its_own() {
        let uplinks = [config(254, 30), config(254, 10), config(254, 20)];
        let assigned = plan(&uplinks).assign(&used(&uplinks, &[0, 1, 2]));
        let first: Vec<_> = assigned
            .iter()
            .filter(|uplink| uplink.lane == 0)
            .map(|uplink| (uplink.place, uplink.priority))
            .collect();
        assert_eq!(first, [(Some(0), 254)], "there is no priority after it");
        let uplinks = [config(1, 30), config(1, 10)];
        assert_eq!(
            shown(&plan(&uplinks).assign(&used(&uplinks, &[0, 1]))),
            [(0, Some(0), 1, 30), (0, Some(1), 2, 10), (1, Some(1), 1, 10)]
        );
    }

    #[test]
    fn one_lane_leaves_the_uplinks_as_they_are() {
        let uplinks = [config(1, 1), config(2, 1), config(1, 1)];
        let used = used(&uplinks, &[0, 2, 1]);
        assert_eq!(Plan::new(&uplinks, 1).assign(&used)[..], used);
    }

    #[test]
    fn of_more_than_eight_the_best_are_left() {
        let uplinks: Vec<_> = (0..12).map(|priority| config(priority, 1)).collect();
        let all: Vec<_> = (0..12).collect();
        let used = used(&uplinks, &all);
        assert_eq!(plan(&uplinks).assign(&used)[..], used[..MAX_LOCATORS]);
    }
}
