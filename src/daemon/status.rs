//! What the router says of itself: for a person in the manner of `wg`, for a program as JSON.

use std::fmt;

use crate::handovers::Summary;
use crate::told::{self, Told, told};

told! {
    /// The whole state, as `lispguard status --json` prints it. Times are in seconds, ages count
    /// back from now; keys are base64.
    #[derive(Clone, Debug, Default)]
    pub struct Status {
        /// Every control tunnel is up and every EID-prefix registered.
        pub ok: bool,
        /// Why not.
        pub reasons: Vec<String>,
        /// `xtr`, `mobile_node`, `map_server`.
        pub roles: Vec<&'static str>,
        /// Seconds since start.
        pub uptime_s: u64,
        /// Our public control key.
        pub control_key: String,
        /// Our control address.
        pub control_address: String,
        /// UDP port of the control tunnels.
        pub control_port: u16,
        /// The data interface; absent on a Map-Server alone.
        pub data: Option<DataInterface>,
        /// Every interface that lispguard made, the data interface too.
        pub interfaces: Vec<Interface>,
        /// Our RLOCs.
        pub rlocs: Vec<String>,
        /// Tunnels to Map-Servers and sites.
        pub control_tunnels: Vec<Tunnel>,
        /// Tunnels to other sites.
        pub data_tunnels: Vec<Tunnel>,
        /// Our own EID-prefixes.
        pub database: Vec<OwnPrefix>,
        /// Learned mappings.
        pub map_cache: Vec<CachedMapping>,
        /// Map-Server: the sites.
        pub registrations: Vec<Site>,
        /// Map-Server: who holds whose records.
        pub holders: Vec<Holder>,
        /// Our own handovers since the start.
        pub handovers: Summary,
        /// Remarks on NAT and the clock.
        pub remarks: Vec<String>,
        /// What was counted since the start.
        pub counters: Vec<Counter>,
    }
}

told! {
    /// The data interface.
    #[derive(Clone, Debug, Default)]
    pub struct DataInterface {
        /// Its name.
        pub device: String,
        /// `userspace` or `kernel`.
        pub backend: &'static str,
        /// Octets of an inner packet.
        pub mtu: u16,
        /// Our public data key.
        pub key: String,
        /// UDP port of the data tunnels.
        pub port: u16,
        /// The mark on outer packets.
        pub fwmark: u32,
    }
}

told! {
    /// An interface that lispguard made.
    #[derive(Clone, Debug, Default)]
    pub struct Interface {
        /// Its name.
        pub device: String,
        /// `control`, `data` or `miss`.
        pub purpose: &'static str,
        /// `userspace` or `kernel`.
        pub backend: &'static str,
        /// Octets of an inner packet.
        pub mtu: u16,
        /// UDP port of its tunnels; absent where it has none.
        pub port: Option<u16>,
        /// The mark on outer packets; absent where it sends none.
        pub fwmark: Option<u32>,
        /// Of a data interface: its lane.
        pub lane: Option<u8>,
        /// Of a data interface: its public key.
        pub key: Option<String>,
        /// The uplink that outer packets leave by, where one is configured.
        pub uplink: Option<String>,
    }
}

told! {
    /// A WireGuard tunnel.
    #[derive(Clone, Debug, Default)]
    pub struct Tunnel {
        /// The name in the configuration, where there is one.
        pub name: Option<String>,
        /// The other end's public key.
        pub key: String,
        /// Of a data tunnel: what is reached through it.
        pub eid_prefixes: Vec<String>,
        /// Of a data tunnel: where the mapping system says that it may be.
        pub rlocs: Vec<String>,
        /// Of a data tunnel: our lane.
        pub lane: u8,
        /// Where packets go now.
        pub endpoint: Option<String>,
        /// Whether a session stands.
        pub up: bool,
        /// Seconds since the last handshake.
        pub last_handshake_s: Option<u64>,
        /// Octets received.
        pub received: u64,
        /// Octets sent.
        pub sent: u64,
    }
}

told! {
    /// One of our EID-prefixes.
    #[derive(Clone, Debug, Default)]
    pub struct OwnPrefix {
        /// The EID-prefix.
        pub eid_prefix: String,
        /// Whether a Map-Server acknowledged it.
        pub registered: bool,
        /// Whether the Map-Server left it out of its acknowledgement.
        pub refused: bool,
    }
}

told! {
    /// A row of the map-cache.
    #[derive(Clone, Debug, Default)]
    pub struct CachedMapping {
        /// The EID-prefix.
        pub eid_prefix: String,
        /// `peer`, `lanes`, `drop` or `native`.
        pub forwarding: &'static str,
        /// Where it is.
        pub rlocs: Vec<String>,
        /// The data key.
        pub key: Option<String>,
        /// Seconds since it was learned.
        pub age_s: u64,
        /// Seconds until it expires.
        pub ttl_s: u64,
    }
}

told! {
    /// A site as its Map-Server sees it.
    #[derive(Clone, Debug, Default)]
    pub struct Site {
        /// Its name.
        pub name: String,
        /// Its public control key.
        pub key: String,
        /// What is registered.
        pub eid_prefixes: Vec<String>,
        /// Its RLOCs.
        pub rlocs: Vec<String>,
        /// Its data key.
        pub data_key: Option<String>,
        /// Seconds since its last register.
        pub age_s: Option<u64>,
        /// Seconds until its registration ends.
        pub expires_s: Option<u64>,
        /// Whether its outer address is none of its RLOCs.
        pub nat: bool,
    }
}

told! {
    /// A site that holds another's records.
    #[derive(Clone, Debug, Default)]
    pub struct Holder {
        /// Whose records.
        pub site: String,
        /// Who holds them.
        pub holder: String,
        /// Whether it acknowledged the newest ones.
        pub current: bool,
    }
}

told! {
    /// A named number.
    #[derive(Clone, Debug)]
    pub struct Counter {
        /// What is counted.
        pub name: &'static str,
        /// How many.
        pub value: u64,
    }
}

impl Status {
    /// The exit code of `lispguard status`: 0 when all is up, 1 when degraded.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.ok)
    }

    /// One JSON object and a newline.
    pub fn to_json(&self) -> String {
        told::json(self.told())
    }
}

/// Serializes into a buffer that grows until the value fits.
#[cfg(feature = "full")]
pub fn json<T: serde::Serialize>(value: &T) -> String {
    let mut buffer = vec![0; 4096];
    loop {
        match serde_json_core::to_slice(value, &mut buffer) {
            Ok(len) => {
                buffer.truncate(len);
                buffer.push(b'\n');
                return String::from_utf8(buffer).expect("JSON is UTF-8");
            }
            Err(_) => buffer.resize(buffer.len() * 2, 0),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_node(f)?;
        for tunnel in &self.control_tunnels {
            fmt_tunnel("control tunnel", tunnel, f)?;
        }
        for tunnel in &self.data_tunnels {
            fmt_tunnel("data tunnel", tunnel, f)?;
        }
        self.fmt_database(f)?;
        self.fmt_map_cache(f)?;
        self.fmt_registrations(f)?;
        self.fmt_handovers(f)?;
        self.fmt_counters(f)?;
        for remark in &self.remarks {
            writeln!(f, "\nremark: {remark}")?;
        }
        if self.ok {
            writeln!(f, "\nall up")
        } else {
            writeln!(f, "\ndegraded: {}", self.reasons.join("; "))
        }
    }
}

impl Status {
    fn fmt_node(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lispguard: {}", self.roles.join(", "))?;
        writeln!(f, "  control key: {}", self.control_key)?;
        writeln!(f, "  control address: {}, port {}", self.control_address, self.control_port)?;
        if let Some(data) = &self.data {
            writeln!(f, "  data key: {}", data.key)?;
            let (device, mtu, port) = (&data.device, data.mtu, data.port);
            writeln!(f, "  data interface: {device} ({}), MTU {mtu}, port {port}", data.backend)?;
        }
        for one in &self.interfaces {
            one.fmt_line(f)?;
        }
        if !self.rlocs.is_empty() {
            writeln!(f, "  rlocs: {}", self.rlocs.join(", "))?;
        }
        writeln!(f, "  up for: {}", Span(self.uptime_s))
    }

    fn fmt_database(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.database.is_empty() {
            writeln!(f, "\ndatabase")?;
        }
        for own in &self.database {
            let state = match (own.registered, own.refused) {
                (true, _) => "registered",
                (false, true) => "refused",
                (false, false) => "not registered",
            };
            writeln!(f, "  {}: {state}", own.eid_prefix)?;
        }
        Ok(())
    }

    fn fmt_map_cache(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.map_cache.is_empty() {
            writeln!(f, "\nmap-cache")?;
        }
        for row in &self.map_cache {
            let place = match row.forwarding {
                "peer" | "lanes" => row.rlocs.join(", "),
                other => other.to_string(),
            };
            let (age, ttl) = (Span(row.age_s), Span(row.ttl_s));
            writeln!(f, "  {}: {place}, age {age}, expires in {ttl}", row.eid_prefix)?;
        }
        Ok(())
    }

    fn fmt_registrations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for site in &self.registrations {
            writeln!(f, "\nsite: {}", site.name)?;
            writeln!(f, "  control key: {}", site.key)?;
            let (Some(age), Some(expires)) = (site.age_s, site.expires_s) else {
                writeln!(f, "  not registered")?;
                continue;
            };
            let nat = if site.nat { ", behind NAT" } else { "" };
            writeln!(f, "  eid-prefixes: {}", site.eid_prefixes.join(", "))?;
            writeln!(f, "  rlocs: {}{nat}", site.rlocs.join(", "))?;
            if let Some(key) = &site.data_key {
                writeln!(f, "  data key: {key}")?;
            }
            writeln!(f, "  registered {} ago, expires in {}", Span(age), Span(expires))?;
            let of_site = |holder: &&Holder| holder.site == site.name;
            let holders: Vec<_> = self.holders.iter().filter(of_site).map(shown_holder).collect();
            if !holders.is_empty() {
                writeln!(f, "  held by: {}", holders.join(", "))?;
            }
        }
        Ok(())
    }

    /// How many there were, and how fast: the classes of the histogram that are not empty.
    fn fmt_handovers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.handovers.count == 0 {
            return Ok(());
        }
        write!(f, "\nhandovers: {}", self.handovers.count)?;
        for class in self.handovers.answered.iter().filter(|class| class.count > 0) {
            match class.up_to_ms {
                Some(bound) => write!(f, ", {} answered within {bound} ms", class.count)?,
                None => write!(f, ", {} later", class.count)?,
            }
        }
        writeln!(f)
    }

    fn fmt_counters(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counted = self.counters.iter().filter(|counter| counter.value != 0).peekable();
        if counted.peek().is_some() {
            writeln!(f, "\ncounters")?;
        }
        for counter in counted {
            writeln!(f, "  {}: {}", counter.name.replace('_', " "), counter.value)?;
        }
        Ok(())
    }
}

impl Interface {
    fn fmt_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  interface: {}, {} ({}), MTU {}",
            self.device, self.purpose, self.backend, self.mtu
        )?;
        if let Some(port) = self.port {
            write!(f, ", port {port}")?;
        }
        if let Some(fwmark) = self.fwmark {
            write!(f, ", fwmark {fwmark:#x}")?;
        }
        if let Some(uplink) = &self.uplink {
            write!(f, ", by {uplink}")?;
        }
        writeln!(f)
    }
}

fn shown_holder(holder: &Holder) -> String {
    let state = if holder.current { "" } else { " (being told)" };
    format!("{}{state}", holder.holder)
}

fn fmt_tunnel(kind: &str, tunnel: &Tunnel, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &tunnel.name {
        Some(name) => writeln!(f, "\n{kind}: {name}\n  key: {}", tunnel.key)?,
        None => writeln!(f, "\n{kind}: {}", tunnel.key)?,
    }
    if !tunnel.eid_prefixes.is_empty() {
        writeln!(f, "  eid-prefixes: {}", tunnel.eid_prefixes.join(", "))?;
        writeln!(f, "  rlocs: {}", tunnel.rlocs.join(", "))?;
    }
    if let Some(endpoint) = &tunnel.endpoint {
        writeln!(f, "  endpoint: {endpoint}")?;
    }
    match tunnel.last_handshake_s {
        Some(age) => writeln!(f, "  latest handshake: {} ago", Span(age))?,
        None => writeln!(f, "  latest handshake: none")?,
    }
    writeln!(f, "  transfer: {} received, {} sent", Size(tunnel.received), Size(tunnel.sent))
}

/// Seconds in the two largest units.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        match s {
            0..60 => write!(f, "{s} s"),
            60..3600 => write!(f, "{} min {} s", s / 60, s % 60),
            3600..86_400 => write!(f, "{} h {} min", s / 3600, s / 60 % 60),
            _ => write!(f, "{} d {} h", s / 86_400, s / 3600 % 24),
        }
    }
}

/// Octets in binary units, as `wg` shows them.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let (mut hundredths, mut unit) = (self.0.saturating_mul(100) / 1024, 0);
        while hundredths >= 102_400 && unit + 1 < UNITS.len() {
            hundredths /= 1024;
            unit += 1;
        }
        write!(f, "{}.{:02} {}", hundredths / 100, hundredths % 100, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_shown_as_wg_shows_them() {
        assert_eq!(Size(1023).to_string(), "1023 B");
        assert_eq!(Size(1536).to_string(), "1.50 KiB");
        assert_eq!(Size(5 << 30).to_string(), "5.00 GiB");
        assert_eq!(Span(59).to_string(), "59 s");
        assert_eq!(Span(3661).to_string(), "1 h 1 min");
        assert_eq!(Span(90_000).to_string(), "1 d 1 h");
    }

    #[test]
    fn a_large_status_becomes_one_json_object() {
        let row = CachedMapping { eid_prefix: "10.0.0.0/8".into(), ..CachedMapping::default() };
        let status = Status { map_cache: vec![row; 1000], ..Status::default() };
        let json = status.to_json();
        assert!(json.starts_with("{\"ok\":false,") && json.ends_with("}\n"));
        assert_eq!(json.matches("10.0.0.0/8").count(), 1000);
    }

    #[test]
    fn a_degraded_router_says_why_and_exits_1() {
        let reasons = vec!["no session with ms1".to_string()];
        let status = Status { reasons, ..Status::default() };
        assert!(status.to_string().ends_with("degraded: no session with ms1\n"));
        assert_eq!(status.exit_code(), 1);
    }
}
