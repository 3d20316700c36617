//! A whole daemon on OpenWrt's bus: its object, its notifications, and the overlay as an interface.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use daemon::demo::net::world::{HOME_HOST, PHONE_HOST, World};

use crate::mobility::{AP1, AP2, move_phone};
use crate::netifd::bus::{Bus, Directory, field, text};
use crate::netifd::running;
use crate::testbed::{Outcome, PATIENCE, eventually, in_world, start};

/// A call's status and fields.
type Answer = (u32, String);

/// The bus as another client of it sees it.
struct Caller<'a>(&'a Mutex<Bus>);

impl Caller<'_> {
    fn bus(&self) -> MutexGuard<'_, Bus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, method: &str, fields: &[u8]) -> Answer {
        assert!(eventually(|| self.bus().is_published), "nobody is on the bus");
        let call = self.bus().call(method, fields);
        assert!(eventually(|| self.bus().answer_of(call).is_some()), "{method}: no answer");
        self.bus().answer_of(call).expect("it is over")
    }

    /// What happens from now on is heard.
    fn subscribe(&self) {
        assert!(eventually(|| self.bus().is_published), "nobody is on the bus");
        self.bus().set_subscribers(true);
        // Answered after what was told before.
        assert_eq!(self.call("handovers", &[]).0, 0);
    }

    fn resolve(&self, eid: &str) -> Answer {
        self.call("resolve", &text("eid", eid))
    }

    /// Waits until subscribers were told `name` with these words; what was told.
    fn hears(&self, name: &str, words: &[&str]) -> String {
        let is_meant = |(told, fields): &&(String, String)| {
            told == name && words.iter().all(|word| fields.contains(word))
        };
        let is_told = || self.bus().notifications.iter().any(|one| is_meant(&one));
        assert!(eventually(is_told), "{name} {words:?}: {:?}", self.bus().notifications);
        self.bus().notifications.iter().find(is_meant).expect("it is told").1.clone()
    }

    /// Waits until netifd was asked as many things; the last one.
    fn orders(&self, count: usize) -> (String, String) {
        assert!(eventually(|| self.bus().orders.len() >= count), "{:?}", self.bus().orders);
        assert_eq!(self.bus().orders.len(), count, "{:?}", self.bus().orders);
        self.bus().orders[count - 1].clone()
    }
}

/// A world whose phone is on a bus, with netifd, whose `overlay` waits for it.
fn with_phone_on_bus(
    test: impl FnOnce(&mut World, &Caller<'_>) -> Result<(), Box<dyn Error>>,
) -> impl FnOnce(&mut World) -> Outcome {
    |world| {
        let directory = Directory::new();
        let mut bus = Bus::new(directory.socket());
        bus.overlay("overlay");
        bus.start();
        bus.start_netifd();
        world.phone.config.set_option("ubus_socket", &directory.socket().to_string_lossy());
        running(bus, |bus| test(world, &Caller(bus)))
    }
}

#[test]
fn every_method_answers() {
    in_world(with_phone_on_bus(|world, caller| {
        world.start(PATIENCE)?;
        world.phone.place().ping(PHONE_HOST[0], HOME_HOST[0], PATIENCE)?;
        let (status, fields) = caller.call("status", &[]);
        assert_eq!(status, 0);
        let (_, json) = world.phone.ask("status json")?;
        let names = |json: &str| json.matches("\":").count();
        assert!(fields.starts_with("\"ok\":true,\"reasons\":[],\"roles\":[\"mobile_node\"],"));
        assert_eq!(names(&fields), names(&json), "{fields}\n{json}");
        let (status, fields) = caller.call("map_cache", &[]);
        assert_eq!(status, 0);
        assert!(fields.starts_with("\"mappings\":[{\"eid_prefix\":\""), "{fields}");
        assert_eq!(caller.call("registrations", &[]), (0, "\"sites\":[]".to_owned()));
        assert_eq!(caller.call("handovers", &[]), (0, "\"handovers\":[]".to_owned()));

        let home = HOME_HOST[0].to_string();
        let (status, fields) = caller.resolve(&home);
        assert!(status == 0 && fields.contains(&format!("\"eid\":\"{home}\"")), "{fields}");
        assert!(fields.contains("\"answered\":true") && fields.contains("\"rloc\":"), "{fields}");
        assert_eq!(caller.resolve("10.99.0.1"), (4, String::new()), "nobody registered it");
        assert_eq!(caller.resolve("home"), (2, String::new()));
        assert_eq!(caller.call("resolve", &field(5, "eid", &[10, 2, 0, 1])), (2, String::new()));
        assert_eq!(caller.resolve(&"1".repeat(60_000)), (2, String::new()));
        assert_eq!(caller.call("no such", &[]), (3, String::new()));
        Ok(())
    }));
}

#[test]
fn a_configuration_is_read_again_or_said_to_be_wrong() {
    in_world(with_phone_on_bus(|world, caller| {
        world.start(PATIENCE)?;
        assert_eq!(caller.call("reload", &[]), (0, String::new()));
        let file = world.phone.configuration_file();
        let right = std::fs::read_to_string(&file)?;
        std::fs::write(&file, format!("{right}\n\toption no_such '1'\n"))?;
        let (status, fields) = caller.call("reload", &[]);
        let place = format!("\"error\":\"{}:", file.display());
        assert!(status == 0 && fields.starts_with(&place), "{fields}");
        std::fs::write(&file, right)?;
        assert_eq!(caller.call("reload", &[]), (0, String::new()));
        Ok(())
    }));
}

#[test]
fn netifd_is_told_of_the_overlay_and_asked_for_it_after_a_restart() {
    in_world(with_phone_on_bus(|world, caller| {
        world.start(PATIENCE)?;
        let renew = ("renew".to_owned(), "\"interface\":\"overlay\"".to_owned());
        assert_eq!(caller.orders(1), renew);
        let interface = text("interface", "overlay");
        let mtu = [interface.clone(), field(5, "mtu", &1300_i32.to_be_bytes())].concat();
        assert_eq!(caller.call("interface_up", &mtu), (0, String::new()));
        let (method, fields) = caller.orders(2);
        let up = "\"action\":0,\"interface\":\"overlay\",\"link-up\":true,\"ifname\":\"";
        assert!(method == "notify_proto" && fields.starts_with(up), "{fields}");
        assert!(
            fields.contains("\"address-external\":true,\"ipaddr\":[{\"ipaddr\":\""),
            "{fields}"
        );
        assert!(fields.contains(&PHONE_HOST[0].to_string()), "{fields}");
        assert!(caller.call("status", &[]).1.contains("\"mtu\":1300"));

        // ubusd restarts.
        caller.bus().stop();
        caller.bus().start();
        caller.bus().start_netifd();
        assert_eq!(caller.orders(3), renew);
        assert_eq!(caller.call("interface_up", &interface), (0, String::new()));
        assert!(caller.orders(4).1.starts_with(up));
        assert!(!caller.call("status", &[]).1.contains("\"mtu\":1300"));

        let down = "\"action\":0,\"interface\":\"overlay\",\"link-up\":false";
        assert_eq!(caller.call("interface_down", &interface), (0, String::new()));
        assert_eq!(caller.orders(5).1, down);
        assert_eq!(caller.call("interface_down", &interface), (4, String::new()));
        caller.call("interface_up", &interface);
        caller.orders(6);
        world.phone.stop()?;
        assert_eq!(caller.orders(7).1, down, "a daemon that ends says so");
        Ok(())
    }));
}

#[test]
fn netifd_is_told_of_the_overlay_once_it_is_found() {
    in_world(with_phone_on_bus(|world, caller| {
        world.start(PATIENCE)?;
        caller.orders(1);
        // A new netifd has its protocol handler call before it was looked up.
        caller.bus().stop_netifd();
        assert_eq!(caller.call("interface_up", &text("interface", "overlay")), (0, String::new()));
        caller.bus().start_netifd();
        let (method, fields) = caller.orders(2);
        assert!(method == "notify_proto" && fields.contains("\"link-up\":true"), "{fields}");
        Ok(())
    }));
}

#[test]
fn subscribers_hear_of_peers_handovers_and_registrations() {
    in_world(with_phone_on_bus(|world, caller| {
        world.start_map_server()?;
        start(&mut world.home)?;
        world.phone.start()?;
        caller.subscribe();
        world.phone.wait_until(PATIENCE, |status| status.ok)?;
        world.phone.place().ping(PHONE_HOST[0], HOME_HOST[0], PATIENCE)?;
        let peer = caller.hears("peer", &["\"up\":true"]);
        assert!(peer.contains("\"eid_prefix\":\"") && peer.contains("\"endpoint\":\""), "{peer}");
        move_phone(world, &AP1, &AP2)?;
        let to = format!("\"to\":\"{}\"", AP2.rloc());
        let handover = caller.hears("handover", &[&to]);
        assert!(handover.starts_with("\"number\":1,"), "{handover}");
        let (_, rows) = caller.call("handovers", &[]);
        assert_eq!(rows, format!("\"handovers\":[{{{handover}}}]"));
        world.map_server.config.sites.retain(|site| site.name != "home");
        world.map_server.reload()?;
        caller.hears("peer", &["\"up\":false"]);
        Ok(())
    }));
}

#[test]
fn a_map_server_tells_of_its_sites_and_has_no_interface() {
    in_world(|world| {
        let directory = Directory::new();
        let mut bus = Bus::new(directory.socket());
        bus.start();
        let socket = directory.socket();
        world.map_server.config.set_option("ubus_socket", &socket.to_string_lossy());
        running(bus, |bus| {
            let caller = Caller(bus);
            world.start_map_server()?;
            caller.subscribe();
            start(&mut world.home)?;
            caller.hears("registration", &["\"site\":\"home\"", "\"registered\":true"]);
            let (status, fields) = caller.call("registrations", &[]);
            assert!(status == 0 && fields.starts_with("\"sites\":[{\"name\":\""), "{fields}");
            let (status, fields) = caller.resolve(&HOME_HOST[0].to_string());
            assert!(status == 0 && fields.contains("\"rloc\":"), "{fields}");
            assert_eq!(caller.resolve("10.99.0.1").0, 4, "nobody registered it");
            assert_eq!(caller.call("interface_up", &text("interface", "overlay")).0, 8);
            assert_eq!(caller.call("map_cache", &[]), (0, "\"mappings\":[]".to_owned()));
            Ok(())
        })
    });
}
