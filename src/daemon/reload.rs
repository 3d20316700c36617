//! Reading the configuration again: what differs is changed, and nothing else.

use control::Instant;

use crate::config::Config;
use crate::lanes;
use crate::router::Router;
use crate::wiring;

impl Router {
    /// Reads the configuration again and changes what differs; a wrong one changes nothing.
    pub(crate) fn reload(&mut self, now: Instant) {
        let config = match Config::load(&self.path) {
            Ok(config) => config,
            Err(errors) => {
                for error in &errors {
                    log::error!("{error}");
                }
                log::error!("the configuration stays as it was");
                return;
            }
        };
        for what in needs_restart(&self.config, &config) {
            log::warn!("{what} changes at the next start only");
        }
        let old = std::mem::replace(&mut self.config, config);
        keep_start_values(&old, &mut self.config);
        log::set_max_level(self.config.log_level);
        self.names.set_names(&self.config);
        self.node.handle_config(&wiring::control_config(&self.config, &self.start), now);
        self.set_control_peers(Some(&old), now);
        let database: Vec<_> = self.config.eid_prefixes.iter().map(|own| own.prefix).collect();
        if let Err(error) = self.plane.set_database(&database) {
            log::error!("data plane: {error}");
        }
        if let Some(overlay) = &mut self.overlay
            && let Err(error) = overlay.reload(&self.config)
        {
            log::error!("overlay routes: {error}");
        }
        self.links.set_policy(wiring::link_policy(&self.config, self.start.data_keys.len()));
        self.handle_links(now);
        log::info!("configuration read again");
    }
}

/// The options whose change a reload cannot follow.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let checks = [
        (old.roles != new.roles, "option role"),
        (old.private_key != new.private_key, "option private_key"),
        (old.ports != new.ports, "a port"),
        (old.control_address != new.control_address, "option control_address"),
        (old.instance_id != new.instance_id, "option instance_id"),
        (old.routing.fwmark != new.routing.fwmark, "option fwmark"),
        (old.mtu != new.mtu, "option mtu"),
        (old.dataplane != new.dataplane, "option dataplane"),
        (old.limits != new.limits, "a table size"),
        (old.run_dir != new.run_dir, "option run_dir"),
        (old.state_dir != new.state_dir, "option state_dir"),
        (old.control_socket != new.control_socket, "option control_socket"),
        (old.devices != new.devices, "an interface's name"),
        (lanes::of(&old.uplinks).len() != lanes::of(&new.uplinks).len(), "the number of lanes"),
    ];
    checks.into_iter().filter_map(|(is_changed, what)| is_changed.then_some(what)).collect()
}

/// Keeps in `new` what the running router was started with.
fn keep_start_values(old: &Config, new: &mut Config) {
    new.roles = old.roles;
    new.private_key = old.private_key.clone();
    new.ports = old.ports;
    new.control_address = old.control_address;
    new.instance_id = old.instance_id;
    new.routing.fwmark = old.routing.fwmark;
    new.mtu = old.mtu;
    new.dataplane = old.dataplane;
    new.limits = old.limits;
    new.run_dir.clone_from(&old.run_dir);
    new.state_dir.clone_from(&old.state_dir);
    new.control_socket.clone_from(&old.control_socket);
    new.devices.clone_from(&old.devices);
}
