//! What `lispguard handovers` tells.

use daemon::demo::net::Node;
use daemon::demo::net::world::{HOME_HOST, PHONE_HOST};
use serde::Deserialize;

use crate::mobility::{AP1, AP2, move_phone, wait_until_registered};
use crate::testbed::{PATIENCE, eventually, in_world};

/// A handover, as far as it is looked at here.
#[derive(Debug, Default, Deserialize)]
struct Handover {
    number: u64,
    site: Option<String>,
    source: String,
    cause: String,
    from: Option<String>,
    to: Option<String>,
    moved_us: Option<u64>,
    sent_us: Option<u64>,
    answered_us: Option<u64>,
    registered_us: Option<u64>,
    published_us: Option<u64>,
    holders: Option<usize>,
}

fn handovers(node: &Node) -> Vec<Handover> {
    let Ok((0, json)) = node.ask("handovers json") else { return Vec::new() };
    let rows = json.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let rows = rows.expect("an array");
    let objects = rows.split_inclusive('}').filter(|row| !row.is_empty());
    let read = |row: &str| {
        let row = row.trim_start_matches(',');
        serde_json_core::from_str::<Handover>(row).expect("a handover").0
    };
    objects.map(read).collect()
}

#[test]
fn a_handover_leaves_its_steps_at_the_node_and_at_the_map_server() {
    in_world(|world| {
        world.start(PATIENCE)?;
        world.phone.place().ping(PHONE_HOST[0], HOME_HOST[0], PATIENCE)?;
        let (code, text) = world.phone.ask("handovers")?;
        assert_eq!((code, &*text), (0, "no handover since the start\n"));
        move_phone(world, &AP1, &AP2)?;
        wait_until_registered(world, "phone", &[AP2.rloc()]);
        let is_done = || handovers(&world.phone).iter().any(|one| one.registered_us.is_some());
        assert!(eventually(is_done), "{:?}", handovers(&world.phone));
        let told = handovers(&world.phone);
        let [one] = &told[..] else { panic!("{told:?}") };
        assert_eq!((one.number, &*one.source), (1, "netlink"));
        assert!(["lost", "roamed"].contains(&&*one.cause), "{one:?}");
        let rlocs = [AP1.rloc(), AP2.rloc()].map(|rloc| Some(rloc.to_string()));
        assert_eq!([&one.from, &one.to], [&rlocs[0], &rlocs[1]]);
        let steps = [one.moved_us, one.sent_us, one.answered_us, one.registered_us];
        assert!(steps.iter().all(Option::is_some), "{one:?}");
        assert!(one.moved_us <= one.sent_us && one.sent_us <= one.answered_us, "{one:?}");
        assert_eq!(one.site, None);

        let is_told = || handovers(&world.map_server).iter().any(|one| one.published_us.is_some());
        assert!(eventually(is_told), "{:?}", handovers(&world.map_server));
        let told = handovers(&world.map_server);
        let one = told.last().expect("a handover");
        assert_eq!((one.site.as_deref(), &one.to), (Some("phone"), &rlocs[1]));
        // `home` holds the phone's mapping.
        assert_eq!(one.holders, Some(1));
        let (_, text) = world.phone.ask("status")?;
        assert!(text.contains("\nhandovers: 1, 1 answered within "), "{text}");
        assert!(world.phone.log().contains("handover from "), "{}", world.phone.log());
        Ok(())
    });
}
