//! Where a WireGuard listens: an address or a host name, and a port.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The control port that an endpoint without one means.
pub(super) const DEFAULT_PORT: u16 = 51821;

/// `HOST:PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`; the port may be left out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    /// The machine.
    pub host: Host,
    /// The UDP port, never 0.
    pub port: u16,
}

/// A machine on the underlay.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// By its address.
    Address(IpAddr),
    /// By its name, to be resolved (RFC 1123 section 2.1); at most 253 octets, in lower case.
    Name(String),
}

/// Why a text is not an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointError {
    /// No host.
    Empty,
    /// An IPv6 address without brackets.
    Brackets(Ipv6Addr),
    /// Neither an address nor a host name.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
    /// An address that no machine has: unspecified, multicast or broadcast.
    Address(IpAddr),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        if let Ok(address) = text.parse() {
            return Err(EndpointError::Brackets(address));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or(EndpointError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| EndpointError::Host)?;
            let port = match port.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if port.is_empty() => DEFAULT_PORT,
                None => return Err(EndpointError::Port),
            };
            return Ok(Endpoint { host: Host::Address(unicast(address.into())?), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, DEFAULT_PORT),
        };
        let host = match host.parse::<Ipv4Addr>() {
            Ok(address) => Host::Address(unicast(address.into())?),
            Err(_) => Host::Name(parse_name(host)?),
        };
        Ok(Endpoint { host, port })
    }
}

fn parse_port(text: &str) -> Result<u16, EndpointError> {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_number && port != 0 => Ok(port),
        _ => Err(EndpointError::Port),
    }
}

fn unicast(address: IpAddr) -> Result<IpAddr, EndpointError> {
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_unspecified() || address.is_multicast() || is_broadcast {
        return Err(EndpointError::Address(address));
    }
    Ok(address)
}

fn parse_name(text: &str) -> Result<String, EndpointError> {
    if text.is_empty() {
        return Err(EndpointError::Empty);
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A name of digits and dots is a mistyped address.
    let is_number = text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
    if text.len() > 253 || is_number || !text.split('.').all(is_label) {
        return Err(EndpointError::Host);
    }
    Ok(text.to_ascii_lowercase())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointError::Empty => write!(f, "there is no host; write HOST:PORT"),
            EndpointError::Brackets(address) => {
                write!(f, "an IPv6 address needs brackets; write [{address}]:{DEFAULT_PORT}")
            }
            EndpointError::Host => write!(
                f,
                "this is neither an address nor a host name; write HOST:PORT, 192.0.2.1:PORT or \
                 [2001:db8::1]:PORT"
            ),
            EndpointError::Port => {
                write!(f, "the port is not a number from 1 to 65535; write {DEFAULT_PORT}")
            }
            EndpointError::Address(address) => {
                write!(f, "no machine has the address {address}; write the machine's own")
            }
        }
    }
}

impl core::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_in_each_form_and_shown_in_full() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1:51821"),
            ("192.0.2.1:7", "192.0.2.1:7"),
            ("[2001:db8::1]", "[2001:db8::1]:51821"),
            ("[2001:db8::1]:65535", "[2001:db8::1]:65535"),
            ("MS.example.net:51821", "ms.example.net:51821"),
            ("ms.example.net.", "ms.example.net:51821"),
            ("router", "router:51821"),
            ("1and1.example", "1and1.example:51821"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn wrong_endpoints_are_refused() {
        let bracketless = "2001:db8::1".parse().unwrap();
        let long = "a.".repeat(127);
        for (text, error) in [
            ("", EndpointError::Empty),
            (":51821", EndpointError::Empty),
            ("2001:db8::1", EndpointError::Brackets(bracketless)),
            ("2001:db8::1:x", EndpointError::Port),
            ("192.0.2.1:0", EndpointError::Port),
            ("192.0.2.1:+1", EndpointError::Port),
            ("192.0.2.1:65536", EndpointError::Port),
            ("192.0.2.1:", EndpointError::Port),
            ("192.0.2", EndpointError::Host),
            ("192.0.2.256:1", EndpointError::Host),
            ("-a.example", EndpointError::Host),
            ("a..example", EndpointError::Host),
            ("a b", EndpointError::Host),
            ("[2001:db8::1", EndpointError::Host),
            ("[192.0.2.1]:1", EndpointError::Host),
            ("[2001:db8::1]1", EndpointError::Port),
            ("0.0.0.0:1", EndpointError::Address(Ipv4Addr::UNSPECIFIED.into())),
            ("[ff02::1]:1", EndpointError::Address("ff02::1".parse().unwrap())),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(error), "{text}");
        }
        assert!(long.parse::<Endpoint>().is_ok());
        assert_eq!(format!("{long}bc").parse::<Endpoint>(), Err(EndpointError::Host));
    }
}
