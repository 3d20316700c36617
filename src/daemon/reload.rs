//! Reading the configuration again: what differs is changed, and nothing else.

use control::Instant;

use crate::config::Config;
use crate::router::Router;
use crate::wiring;

impl Router {
    /// Reads the configuration again and changes what differs; a wrong one changes nothing, and
    /// what is wrong is returned as it is logged.
    pub(crate) fn reload(&mut self, now: Instant) -> Result<(), String> {
        let config = match Config::load_as(&self.file.0, &self.file.1) {
            Ok(config) => config,
            Err(errors) => {
                for error in &errors {
                    log::error!("{error}");
                }
                log::error!("the configuration stays as it was");
                return Err(errors.to_string());
            }
        };
        if let Some(what) = refusal(&self.config, &config) {
            let refusal = format!("{what} takes a restart; the configuration stays as it was");
            log::error!("{refusal}");
            return Err(refusal);
        }
        for what in needs_restart(&self.config, &config) {
            log::warn!("{what} changes at the next start only");
        }
        let old = std::mem::replace(&mut self.config, config);
        keep_start_values(&old, &mut self.config);
        log::set_max_level(self.config.log_level);
        self.names.set_names(&self.config);
        self.node.handle_config(&wiring::control_config(&self.config, &self.start), now);
        self.set_control_peers(Some(&old), now);
        if let Err(error) = self.plane.set_database(&self.config.database()) {
            log::error!("data plane: {error}");
        }
        if let Some(overlay) = &mut self.overlay
            && let Err(error) = overlay.reload(&self.config)
        {
            log::error!("overlay routes: {error}");
        }
        self.follow_eids(now);
        self.set_link_policy();
        self.handle_links("configuration", now);
        log::info!("configuration read again");
        Ok(())
    }
}

/// The option whose change gives every EID-prefix and section another meaning.
fn refusal(old: &Config, new: &Config) -> Option<&'static str> {
    let changed = those(&[
        (old.roles != new.roles, "another role"),
        (old.instance_id != new.instance_id, "another instance-ID"),
        // Uplinks and some EID-spaces go with tables of our own alone.
        (old.routing.is_main() != new.routing.is_main(), "option table to 'main' or from it"),
        (new.sites.len() > old.limits.max_sites, "more sites than option max_sites allowed"),
    ]);
    changed.first().copied()
}

/// The options whose change a reload cannot follow.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    those(&[
        (old.private_key != new.private_key, "option private_key"),
        (old.ports != new.ports, "a port"),
        (old.control_address != new.control_address, "option control_address"),
        (old.routing.fwmark != new.routing.fwmark, "option fwmark"),
        (old.routing.table != new.routing.table, "option table"),
        (old.routing.hashes_ports != new.routing.hashes_ports, "option multipath_l4"),
        (old.mtu != new.mtu, "option mtu"),
        (old.dataplane != new.dataplane, "option dataplane"),
        (old.limits != new.limits, "a table size"),
        (old.run_dir.as_os_str() != new.run_dir.as_os_str(), "option run_dir"),
        (old.state_dir.as_os_str() != new.state_dir.as_os_str(), "option state_dir"),
        (old.control_socket.as_os_str() != new.control_socket.as_os_str(), "option control_socket"),
        (old.handover.silence != new.handover.silence, "option silence"),
        (old.ubus_socket.as_os_str() != new.ubus_socket.as_os_str(), "option ubus_socket"),
        (old.devices != new.devices, "an interface's name"),
        (lanes(old) != lanes(new), "the number of lanes"),
    ])
}

/// The names of those that are so.
pub(crate) fn those(all: &[(bool, &'static str)]) -> Vec<&'static str> {
    all.iter().filter(|one| one.0).map(|one| one.1).collect()
}

fn lanes(config: &Config) -> usize {
    control::mobile_node::lanes::of(config.uplinks.iter().map(|one| one.priority)).len()
}

/// Keeps in `new` what the running router was started with.
fn keep_start_values(old: &Config, new: &mut Config) {
    new.private_key = old.private_key.clone();
    new.ports = old.ports;
    new.control_address = old.control_address;
    // Who makes the rules was decided for this mark.
    if old.routing.fwmark != new.routing.fwmark {
        new.routing.rules = old.routing.rules;
    }
    new.routing.fwmark = old.routing.fwmark;
    // The data plane writes into the tables that it was started with.
    new.routing.table = old.routing.table;
    new.routing.hashes_ports = old.routing.hashes_ports;
    new.mtu = old.mtu;
    new.dataplane = old.dataplane;
    new.limits = old.limits;
    new.run_dir.clone_from(&old.run_dir);
    new.state_dir.clone_from(&old.state_dir);
    new.control_socket.clone_from(&old.control_socket);
    new.handover.silence = old.handover.silence;
    new.ubus_socket.clone_from(&old.ubus_socket);
    new.devices.clone_from(&old.devices);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rules;
    use control::PeerKey;

    fn config(options: &str) -> Config {
        let text = format!(
            "config lispguard 'main'\n option private_key '{}'\n list eid_space '10.0.0.0/8'\n{options}\n\
             config eid_prefix\n option prefix '10.1.0.1/32'\n\
             config map_server 'ms'\n option public_key '{}'\n option endpoint '192.0.2.1'\n",
            PeerKey([7; 32]),
            PeerKey([9; 32]),
        );
        Config::parse(text.as_bytes(), "test").expect("right")
    }

    #[test]
    fn what_the_data_plane_was_started_with_stays_until_the_next_start() {
        let old = config("option role 'xtr'");
        let mut new = config(
            "option role 'xtr'\n option table '77'\n option multipath_l4 '1'\n \
             option rule_priority '99'",
        );
        assert_eq!(needs_restart(&old, &new), ["option table", "option multipath_l4"]);
        keep_start_values(&old, &mut new);
        assert!(needs_restart(&old, &new).is_empty());
        assert_eq!((new.routing.table, new.routing.rule_priority), (4342, 99));
        assert_eq!(refusal(&old, &new), None);
    }

    #[test]
    fn who_makes_the_rules_stays_with_the_mark_that_they_are_for() {
        let by_hand = config("option role 'xtr'\n option rules 'none'\n option fwmark '0'");
        let mut ours = config("option role 'xtr'");
        keep_start_values(&by_hand, &mut ours);
        assert_eq!((ours.routing.fwmark, ours.routing.rules), (0, Rules::None));
        let mut same_mark = config("option role 'xtr'\n option rules 'none'");
        keep_start_values(&config("option role 'xtr'"), &mut same_mark);
        assert_eq!(same_mark.routing.rules, Rules::None);
    }

    #[test]
    fn another_role_or_instance_id_is_refused_as_a_whole() {
        let old = config("option role 'xtr'");
        let other = |options| refusal(&old, &config(options));
        assert_eq!(other("option role 'mobile_node'"), Some("another role"));
        assert_eq!(
            other("option role 'xtr'\n option instance_id '5'"),
            Some("another instance-ID")
        );
        let table = other("option role 'xtr'\n option table 'main'");
        assert_eq!(table, Some("option table to 'main' or from it"));
    }
}
