//! SIGHUP changes what the file changed, and nothing else.

use std::thread;
use std::time::Duration;

use daemon::demo::net::world::{OFFICE_HOST, World};
use daemon::demo::net::{EchoPlan, stream};

use crate::testbed::{
    PATIENCE, echo_at, echo_servers, eventually, home_socket, in_world, ping_until_answered,
    start_pair,
};

const ADDED: &str = "10.5.0.0/24";

fn prefixes_at_server(world: &World) -> Vec<String> {
    let status = world.map_server.status().unwrap_or_default();
    status.site("home").map(|site| site.eid_prefixes.clone()).unwrap_or_default()
}

#[test]
fn an_eid_prefix_comes_and_goes_while_sessions_survive() {
    in_world(|world| {
        start_pair(world)?;
        let _servers = echo_servers(world)?;
        ping_until_answered(world, PATIENCE)?;
        let keys = |world: &World| -> std::io::Result<Vec<String>> {
            Ok(world.home.status()?.data_tunnels.into_iter().map(|tunnel| tunnel.key).collect())
        };
        let before = keys(world)?;
        let plan = EchoPlan {
            count: 300,
            interval: Duration::from_millis(5),
            patience: Duration::from_secs(1),
        };
        let socket = home_socket(world)?;
        let flow = thread::spawn(move || stream(&socket, echo_at(OFFICE_HOST[0]), &plan));

        world.home.config.eid_prefixes.push(ADDED.into());
        world.admit_sites();
        world.map_server.reload()?;
        world.home.reload()?;
        assert!(eventually(|| prefixes_at_server(world).iter().any(|one| one == ADDED)));
        assert_eq!(prefixes_at_server(world).len(), 4);

        world.home.config.eid_prefixes.pop();
        world.home.reload()?;
        assert!(eventually(|| prefixes_at_server(world).len() == 3), "it is withdrawn");

        let outcome = flow.join().expect("no panic")?;
        assert_eq!(outcome.lost, 0, "{outcome:?}");
        assert_eq!(before, keys(world)?, "the peers are the same");
        Ok(())
    });
}

#[test]
fn a_wrong_file_is_told_and_changes_nothing() {
    in_world(|world| {
        start_pair(world)?;
        world.home.config.eid_prefixes.push("10.5.0.1/24".into());
        world.home.reload()?;
        assert!(eventually(|| world.home.log().contains("10.5.0.0/24")), "{}", world.home.log());
        ping_until_answered(world, PATIENCE)?;
        assert!(world.home.status()?.ok);
        assert_eq!(prefixes_at_server(world).len(), 3);
        Ok(())
    });
}

#[test]
fn a_site_removed_from_the_map_server_is_forgotten_at_once() {
    in_world(|world| {
        start_pair(world)?;
        world.map_server.config.sites.retain(|site| site.name != "office");
        world.map_server.reload()?;
        let status = |world: &World| world.map_server.status().unwrap_or_default();
        assert!(eventually(|| status(world).site("office").is_none()));
        assert!(status(world).site("home").is_some_and(|site| site.data_key.is_some()));
        Ok(())
    });
}
