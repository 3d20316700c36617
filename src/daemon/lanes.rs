//! Lanes: the ways that share traffic, and which uplink each of them takes now.
//!
//! There is a lane for each configured uplink of the best priority. A lane whose uplink is down
//! goes by the best of the others, with its key and its share unchanged: to the other site that is
//! a peer that moved, so that no flow changes its lane. Lane 0 is the only one that every site has:
//! it is offered by the others' uplinks too, the last of all, for who has no family of its uplink's.

use control::MAX_LANES;

use crate::config::Uplink;
use crate::links::Path;

/// An uplink of this priority is not to be used (RFC 9300 section 5.4).
const DO_NOT_USE: u8 = 255;
/// The last priority that has another one after it.
const LAST: u8 = 253;

/// The uplinks that have a lane, by their places in the configuration; at most [`MAX_LANES`].
pub fn of(uplinks: &[Uplink]) -> heapless::Vec<usize, MAX_LANES> {
    let used = || uplinks.iter().enumerate().filter(|(_, one)| one.priority != DO_NOT_USE);
    let best = used().map(|(_, one)| one.priority).min();
    used().filter(|(_, one)| Some(one.priority) == best).map(|(place, _)| place).take(4).collect()
}

/// Gives each live path its lane; `lanes` are the places of the uplinks that have one.
pub fn assign(live: Vec<Path>, uplinks: &[Uplink], lanes: &[usize]) -> Vec<Path> {
    if lanes.len() < 2 {
        return live;
    }
    let usable = |path: &&Path| path.uplink.priority != DO_NOT_USE;
    let best = live.iter().filter(usable).min_by_key(|path| (path.uplink.priority, path.place));
    let mut assigned = Vec::with_capacity(live.len() + lanes.len());
    for (lane, preferred) in lanes.iter().enumerate() {
        let is_live = live.iter().any(|path| path.place == Some(*preferred));
        let place = if is_live { Some(*preferred) } else { best.and_then(|path| path.place) };
        let Some(wanted) = uplinks.get(*preferred) else { continue };
        for path in live.iter().filter(|path| path.place == place) {
            let mut path = *path;
            path.uplink.lane = lane as u8;
            (path.uplink.priority, path.uplink.weight) = (wanted.priority, wanted.weight);
            assigned.push(path);
        }
    }
    let has_lane = |path: &&Path| path.place.is_some_and(|place| lanes.contains(&place));
    assigned.extend(live.iter().filter(|path| !has_lane(path)));
    let other_ways = live.iter().filter(|path| {
        let is_first = |one: &Path| one.uplink.lane == 0 && one.place == path.place;
        has_lane(path) && path.uplink.priority <= LAST && !assigned.iter().any(is_first)
    });
    let as_first = other_ways.map(|path| {
        let priority = path.uplink.priority + 1;
        Path { uplink: control::Uplink { lane: 0, priority, ..path.uplink }, ..*path }
    });
    let as_first: Vec<Path> = as_first.collect();
    assigned.extend(as_first);
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uplink(priority: u8, weight: u8) -> Uplink {
        let device = format!("wan{priority}{weight}");
        Uplink { name: device.clone(), device, priority, weight }
    }

    fn path(uplinks: &[Uplink], place: usize) -> Path {
        let Uplink { priority, weight, .. } = uplinks[place];
        let rloc = std::net::IpAddr::from([192, 0, 2, place as u8]);
        Path {
            uplink: control::Uplink { rloc, priority, weight, lane: 0 },
            place: Some(place),
            output: place as u32 + 1,
            gateway: None,
            is_on_link: false,
            mtu: None,
        }
    }

    fn shown(paths: &[Path]) -> Vec<(u8, Option<usize>, u8, u8)> {
        let mut shown: Vec<_> = paths
            .iter()
            .map(|path| (path.uplink.lane, path.place, path.uplink.priority, path.uplink.weight))
            .collect();
        shown.sort();
        shown
    }

    #[test]
    fn each_uplink_of_the_best_priority_has_a_lane() {
        let uplinks = [uplink(255, 1), uplink(2, 1), uplink(1, 30), uplink(1, 10), uplink(9, 1)];
        assert_eq!(of(&uplinks), [2, 3]);
        assert_eq!(of(&uplinks[..2]), [1]);
        assert!(of(&uplinks[..1]).is_empty() && of(&[]).is_empty());
        assert_eq!(of(&vec![uplink(1, 1); 6]).len(), MAX_LANES);
    }

    #[test]
    fn a_lane_without_its_uplink_goes_by_the_best_other_one_with_its_own_share() {
        let uplinks = [uplink(2, 100), uplink(1, 30), uplink(1, 10)];
        let lanes = of(&uplinks);
        let live = |places: &[usize]| places.iter().map(|one| path(&uplinks, *one)).collect();
        let assigned = |places: &[usize]| shown(&assign(live(places), &uplinks, &lanes));
        assert_eq!(
            assigned(&[0, 1, 2]),
            [(0, Some(0), 2, 100), (0, Some(1), 1, 30), (0, Some(2), 2, 10), (1, Some(2), 1, 10)]
        );
        assert_eq!(assigned(&[2]), [(0, Some(2), 1, 30), (1, Some(2), 1, 10)]);
        assert_eq!(
            assigned(&[0]),
            [(0, Some(0), 1, 30), (0, Some(0), 2, 100), (1, Some(0), 1, 10)]
        );
        assert!(assigned(&[]).is_empty());
    }

    #[test]
    fn lane_0_is_offered_by_the_other_lanes_uplinks_after_its_own() {
        let uplinks = [uplink(254, 30), uplink(254, 10), uplink(254, 20)];
        let lanes = of(&uplinks);
        let live = [0, 1, 2].map(|place| path(&uplinks, place)).to_vec();
        let assigned = assign(live, &uplinks, &lanes);
        let first: Vec<_> = assigned
            .iter()
            .filter(|path| path.uplink.lane == 0)
            .map(|path| (path.place, path.uplink.priority))
            .collect();
        assert_eq!(first, [(Some(0), 254)], "there is no priority after it");
        let uplinks = [uplink(1, 30), uplink(1, 10)];
        let live = [0, 1].map(|place| path(&uplinks, place)).to_vec();
        assert_eq!(
            shown(&assign(live, &uplinks, &of(&uplinks))),
            [(0, Some(0), 1, 30), (0, Some(1), 2, 10), (1, Some(1), 1, 10)]
        );
    }

    #[test]
    fn one_lane_leaves_the_uplinks_as_they_are() {
        let uplinks = [uplink(1, 1), uplink(2, 1)];
        let live = vec![path(&uplinks, 0), path(&uplinks, 1)];
        assert_eq!(assign(live.clone(), &uplinks, &of(&uplinks)), live);
    }
}
