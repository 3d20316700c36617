//! What a node is told: the values of its UCI file.

use std::net::SocketAddr;
use std::path::Path;

use control::PeerKey;
use uci::Document;

use crate::config::PrivateKey;

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A router for the EID-prefixes of its LAN.
    Xtr,
    /// A host that carries its EIDs itself.
    MobileNode,
    /// Map-Server and Map-Resolver.
    MapServer,
}

/// The values of a node's configuration file.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// What it is.
    pub role: Role,
    /// Its control key.
    pub private_key: PrivateKey,
    /// What goes into the overlay.
    pub eid_space: Vec<String>,
    /// Its EID-prefixes.
    pub eid_prefixes: Vec<String>,
    /// Where it registers.
    pub map_servers: Vec<(PeerKey, SocketAddr)>,
    /// Has the file name its Map-Servers by this host instead of their addresses.
    pub map_server_name: Option<String>,
    /// Its uplinks; none for the devices of its default routes.
    pub uplinks: Vec<UplinkConfig>,
    /// Who may register with it.
    pub sites: Vec<SiteConfig>,
    /// Further options of the main section.
    pub options: Vec<(String, String)>,
}

/// An uplink, with what its locator says.
#[derive(Clone, Debug)]
pub struct UplinkConfig {
    /// The device.
    pub device: String,
    /// The lowest is used first.
    pub priority: u8,
    /// Its share among those of equal priority.
    pub weight: u8,
}

/// A site as its Map-Server is told.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// The section's name.
    pub name: String,
    /// Its public control key.
    pub key: PeerKey,
    /// What it may claim.
    pub eid_prefixes: Vec<String>,
}

impl NodeConfig {
    /// A node with a new key.
    ///
    /// # Errors
    /// When the kernel gives no random numbers.
    pub fn new(role: Role) -> std::io::Result<NodeConfig> {
        Ok(NodeConfig {
            role,
            private_key: PrivateKey::from_random(linux::random::array()?),
            eid_space: Vec::new(),
            eid_prefixes: Vec::new(),
            map_servers: Vec::new(),
            map_server_name: None,
            uplinks: Vec::new(),
            sites: Vec::new(),
            options: Vec::new(),
        })
    }

    /// Sets an option of the main section, in place of what it was.
    pub fn set_option(&mut self, name: &str, value: &str) {
        self.options.retain(|(one, _)| one != name);
        self.options.push((name.into(), value.into()));
    }

    /// This node as a site of its Map-Server.
    pub fn as_site(&self, name: &str) -> SiteConfig {
        let (key, eid_prefixes) = (self.private_key.public_key(), self.eid_prefixes.clone());
        SiteConfig { name: name.into(), key, eid_prefixes }
    }

    /// The file's text; sockets and state go to `directory`.
    pub fn to_uci(&self, directory: &Path) -> String {
        let mut document = Document::default();
        let main = document.section("lispguard", Some("main"));
        let in_directory = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let role = match self.role {
            Role::Xtr => "xtr",
            Role::MobileNode => "mobile_node",
            Role::MapServer => "map_server",
        };
        main.add("role", role).set("private_key", &self.private_key.encode());
        for prefix in &self.eid_space {
            main.add("eid_space", prefix);
        }
        main.set("run_dir", &in_directory("run")).set("state_dir", &in_directory("state"));
        main.set("control_socket", &in_directory("control.sock"));
        for (name, value) in &self.options {
            main.set(name, value);
        }
        for prefix in &self.eid_prefixes {
            document.section("eid_prefix", None).set("prefix", prefix);
        }
        for (number, (key, endpoint)) in self.map_servers.iter().enumerate() {
            let section = document.section("map_server", Some(&format!("ms{}", number + 1)));
            let endpoint = match &self.map_server_name {
                Some(name) => format!("{name}:{}", endpoint.port()),
                None => endpoint.to_string(),
            };
            section.set("public_key", &key.to_string()).set("endpoint", &endpoint);
        }
        for uplink in &self.uplinks {
            let section = document.section("uplink", None);
            section.set("device", &uplink.device).set("priority", &uplink.priority.to_string());
            section.set("weight", &uplink.weight.to_string());
        }
        for site in &self.sites {
            let section = document.section("site", Some(&site.name));
            section.set("public_key", &site.key.to_string());
            for prefix in &site.eid_prefixes {
                section.add("eid_prefix", prefix);
            }
        }
        document.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::demo::net::Scratch;
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    fn load(config: &NodeConfig) -> Config {
        let scratch = Scratch::new().unwrap();
        let file = scratch.path().join("lispguard");
        write(&file, config.to_uci(scratch.path())).unwrap();
        set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        Config::load(&file).unwrap()
    }

    #[test]
    fn what_is_written_is_what_a_node_reads() {
        let mut server = NodeConfig::new(Role::MapServer).unwrap();
        let server_key = server.private_key.public_key();
        let mut site = NodeConfig::new(Role::Xtr).unwrap();
        site.eid_space = vec!["10.0.0.0/8".into(), "fd01::/16".into()];
        site.eid_prefixes = vec!["10.1.0.0/24".into(), "fd01:0:0:1::/64".into()];
        site.map_servers.push((server_key, "192.0.2.2:51821".parse().unwrap()));
        site.set_option("log_level", "error");
        site.set_option("log_level", "debug");
        site.uplinks.push(UplinkConfig { device: "wan".into(), priority: 2, weight: 30 });
        server.sites.push(site.as_site("home"));
        let (server, site_config) = (load(&server), load(&site));
        assert!(server.roles.is_map_server && site_config.roles.is_xtr);
        assert_eq!(server.sites[0].public_key, site.private_key.public_key());
        assert_eq!(server.sites[0].eid_prefixes.len(), 2);
        assert_eq!(site_config.map_servers[0].public_key, server_key);
        assert_eq!(site_config.log_level, log::LevelFilter::Debug);
        let uplink = &site_config.uplinks[0];
        assert_eq!((&*uplink.device, uplink.priority, uplink.weight), ("wan", 2, 30));
    }
}
