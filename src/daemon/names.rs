//! The names that a configuration gives to keys, for logs and status.

use std::net::SocketAddr;

use control::{Event, PeerKey};

use crate::config::{Config, Host, MapServer, key};

/// Names of Map-Servers and sites by control key, and where Map-Servers were resolved to be.
#[derive(Debug, Default)]
pub struct Names {
    /// In the order of their keys.
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    key: PeerKey,
    name: Option<String>,
    endpoint: Option<SocketAddr>,
    /// Whether the last configuration has it.
    is_configured: bool,
}

impl Names {
    /// The names in a configuration.
    pub fn new(config: &Config) -> Names {
        let mut names = Names::default();
        names.set_names(config);
        names
    }

    /// Takes the names of another configuration; what was resolved stays. So do, until the next
    /// one, the names of those that went, whose end is still to be told.
    pub fn set_names(&mut self, config: &Config) {
        self.rows.retain_mut(|row| std::mem::take(&mut row.is_configured));
        let servers = config.map_servers.iter().map(|server| (server.public_key, &server.name));
        let sites = config.sites.iter().map(|site| (site.public_key, &site.name));
        for (key, name) in servers.chain(sites) {
            let row = self.row(key);
            row.name = Some(name.clone());
            row.is_configured = true;
        }
    }

    /// The name of a key; the key itself where it has none.
    pub fn of(&self, key: PeerKey) -> String {
        self.named(key).unwrap_or_else(|| key.to_string())
    }

    /// The name of a key, where it has one.
    pub fn named(&self, key: PeerKey) -> Option<String> {
        self.get(key)?.name.clone()
    }

    /// Notes what a Map-Server's host name resolved to.
    pub fn set_endpoint(&mut self, key: PeerKey, endpoint: SocketAddr) {
        self.row(key).endpoint = Some(endpoint);
    }

    /// The Map-Server has another host name.
    pub fn forget_endpoint(&mut self, key: PeerKey) {
        self.row(key).endpoint = None;
    }

    fn row(&mut self, key: PeerKey) -> &mut Row {
        let place = self.place(key).unwrap_or_else(|place| {
            self.rows.insert(place, Row { key, name: None, endpoint: None, is_configured: false });
            place
        });
        &mut self.rows[place]
    }

    fn get(&self, key: PeerKey) -> Option<&Row> {
        Some(&self.rows[self.place(key).ok()?])
    }

    /// Where the row of a key is, or belongs.
    fn place(&self, key: PeerKey) -> Result<usize, usize> {
        self.rows.binary_search_by(|row| row.key.cmp(&key))
    }

    /// What a Map-Server's host name resolved to last.
    pub fn endpoint(&self, key: PeerKey) -> Option<SocketAddr> {
        self.get(key)?.endpoint
    }

    /// That the host name of the Map-Server with this key has not resolved, in words.
    pub fn unresolved(&self, config: &Config, key: &str) -> Option<String> {
        let is_meant = |server: &&MapServer| server.public_key.to_string() == key;
        let server = config.map_servers.iter().find(is_meant)?;
        match &server.endpoint.as_ref()?.host {
            Host::Name(name) if self.endpoint(server.public_key).is_none() => {
                Some(format!("the endpoint '{name}' of {} does not resolve", server.name))
            }
            _ => None,
        }
    }

    /// The event in words, with names for the keys in it.
    pub fn explain(&self, event: &Event) -> String {
        let mut told = String::new();
        for word in event.to_string().split_inclusive(' ') {
            let shown = word.trim_ascii_end();
            let key = key::decode(shown).ok();
            match key.and_then(|key| self.get(PeerKey(*key))?.name.as_ref()) {
                Some(name) => told = told + name + &word[shown.len()..],
                None => told += word,
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_goes_is_still_called_by_its_name() {
        let site = |name, octet| {
            let key = PeerKey([octet; 32]);
            format!(
                "config site '{name}'\n option public_key '{key}'\n list eid_prefix '10.{octet}.0.0/16'\n"
            )
        };
        let main = format!(
            "config lispguard 'main'\n option role 'map_server'\n option private_key '{}'\n",
            PeerKey([7; 32])
        );
        let config = |text: &str| Config::parse(text.as_bytes(), "test").expect("right");
        let mut names = Names::new(&config(&format!("{main}{}{}", site("a", 1), site("b", 2))));
        let other = config(&format!("{main}{}", site("c", 1)));
        names.set_names(&other);
        assert_eq!(names.of(PeerKey([1; 32])), "c");
        assert_eq!(names.of(PeerKey([2; 32])), "b");
        assert_eq!(names.of(PeerKey([3; 32])), PeerKey([3; 32]).to_string());
        let (site, unknown) = (PeerKey([2; 32]), PeerKey([3; 32]));
        assert!(names.explain(&Event::SiteExpired { site }).contains("site b "));
        let event = Event::SiteExpired { site: unknown };
        assert_eq!(names.explain(&event), event.to_string());
        names.set_names(&other);
        assert_eq!(names.named(PeerKey([2; 32])), None, "it was kept for long enough");
    }

    #[test]
    fn what_another_host_name_resolved_to_is_forgotten() {
        let mut names = Names::default();
        let (key, endpoint) = (PeerKey([1; 32]), ([192, 0, 2, 1], 51821).into());
        names.set_endpoint(key, endpoint);
        assert_eq!(names.endpoint(key), Some(endpoint));
        names.forget_endpoint(key);
        assert_eq!(names.endpoint(key), None);
    }

    #[test]
    fn each_of_ten_thousand_sites_has_its_name() {
        let key = |number: u32| {
            let mut key = [7; 32];
            key[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
            PeerKey(key)
        };
        let mut names = Names::default();
        for number in 1..=10_000 {
            names.row(key(number)).name = Some(format!("site{number}"));
        }
        for number in 1..=10_000 {
            let told = names.explain(&Event::SiteExpired { site: key(number) });
            assert_eq!(told, format!("the registration of site site{number} ended"));
        }
        let map_server = key(1);
        assert_eq!(names.explain(&Event::Registered { map_server }), "registered with site1");
    }
}
