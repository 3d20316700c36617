//! What a running node says of itself over its control socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

/// A node that does not answer within this time hangs.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bounds what is believed of an answer.
const MAX_ANSWER: u64 = 16 << 20;

/// The part of `lispguard status --json` that steps and tests look at.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NodeStatus {
    /// Every control tunnel is up and every EID-prefix registered.
    pub ok: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// Tunnels to Map-Servers and sites.
    pub control_tunnels: Vec<TunnelStatus>,
    /// Tunnels to other sites.
    pub data_tunnels: Vec<TunnelStatus>,
    /// Its own EID-prefixes.
    pub database: Vec<OwnPrefixStatus>,
    /// Learned mappings.
    pub map_cache: Vec<MappingStatus>,
    /// Map-Server: the sites.
    pub registrations: Vec<SiteStatus>,
    /// What was counted since its start.
    pub counters: Vec<CounterStatus>,
}

/// A tunnel.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TunnelStatus {
    /// The other end's public key.
    pub key: String,
    /// Where it is.
    pub endpoint: Option<String>,
    /// Whether a session stands.
    pub up: bool,
}

/// An EID-prefix of the node.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct OwnPrefixStatus {
    /// The EID-prefix.
    pub eid_prefix: String,
    /// Whether a Map-Server acknowledged it.
    pub registered: bool,
}

/// A row of the map-cache.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct MappingStatus {
    /// The EID-prefix.
    pub eid_prefix: String,
    /// `peer`, `drop` or `native`.
    pub forwarding: String,
    /// The data key.
    pub key: Option<String>,
}

/// A site as its Map-Server sees it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SiteStatus {
    /// Its name.
    pub name: String,
    /// What is registered.
    pub eid_prefixes: Vec<String>,
    /// Its RLOCs.
    pub rlocs: Vec<String>,
    /// Its data key.
    pub data_key: Option<String>,
    /// Seconds since its last register.
    pub age_s: Option<u64>,
}

/// A named number.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CounterStatus {
    /// What is counted.
    pub name: String,
    /// How many.
    pub value: u64,
}

impl NodeStatus {
    /// Asks the node whose control socket this is.
    ///
    /// # Errors
    /// When no node listens there, or what it says is not a status.
    pub fn ask(socket: &Path) -> io::Result<NodeStatus> {
        let (_, body) = request(socket, "status json")?;
        let wrong = |error: serde_json_core::de::Error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{error}: {body}"))
        };
        let mut escapes = vec![0; body.len()];
        let (status, _) = serde_json_core::from_str_escaped(&body, &mut escapes).map_err(wrong)?;
        Ok(status)
    }

    /// The number counted under this name, 0 where there is none.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.iter().find(|counter| counter.name == name).map_or(0, |one| one.value)
    }

    /// Whether every control tunnel stands, and there is one.
    pub fn has_all_tunnels(&self) -> bool {
        !self.control_tunnels.is_empty() && self.control_tunnels.iter().all(|tunnel| tunnel.up)
    }

    /// The site of this name, where the node is a Map-Server.
    pub fn site(&self, name: &str) -> Option<&SiteStatus> {
        self.registrations.iter().find(|site| site.name == name)
    }
}

/// Sends one request line and returns the exit code and the text of the answer.
///
/// # Errors
/// When no node listens there or it closes the connection without an answer.
pub fn request(socket: &Path, line: &str) -> io::Result<(u8, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let (code, body) = answer.split_once('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    let code = code.parse().map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((code, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Counter, Site, Status};

    #[test]
    fn the_status_of_a_router_is_read_back() {
        let site = Site { name: "home".into(), age_s: Some(3), ..Site::default() };
        let status = Status {
            ok: true,
            reasons: vec!["a \"quoted\" reason".into()],
            registrations: vec![site],
            counters: vec![Counter { name: "register_replayed", value: 7 }],
            ..Status::default()
        };
        let text = status.to_json();
        let mut escapes = vec![0; text.len()];
        let (read, _): (NodeStatus, _) =
            serde_json_core::from_str_escaped(&text, &mut escapes).unwrap();
        assert!(read.ok && read.site("home").unwrap().age_s == Some(3));
        assert_eq!(read.reasons, ["a \"quoted\" reason"]);
        assert_eq!((read.counter("register_replayed"), read.counter("x")), (7, 0));
        assert!(!read.has_all_tunnels());
    }
}
