//! The methods of our object on OpenWrt's bus, and what a call of one asks for.

use std::net::IpAddr;

use linux::Text;
use ubus::{Field, Fields, Method, Status, Type, Value};

/// Our object's path.
pub(crate) const PATH: &str = "lispguard";
/// Octets of an interface's name at most, as netifd calls it.
pub(crate) const MAX_NAME_LEN: usize = 64;
/// Octets of an inner packet that an interface may be set to.
const MTU: std::ops::RangeInclusive<i32> = 1280..=9000;

const fn method(name: &'static str, arguments: &'static [(&str, Type)]) -> Method<'static> {
    Method { name, arguments }
}

/// What can be called.
pub(crate) const METHODS: [Method<'_>; 8] = [
    method("status", &[]),
    method("map_cache", &[]),
    method("registrations", &[]),
    method("handovers", &[]),
    method("resolve", &[("eid", Type::String)]),
    method("reload", &[]),
    method(
        "interface_up",
        &[("interface", Type::String), ("mtu", Type::I32), ("metric", Type::I32)],
    ),
    method("interface_down", &[("interface", Type::String)]),
];

/// A call that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// The whole state.
    Status,
    /// The learned mappings.
    MapCache,
    /// Map-Server: the sites.
    Registrations,
    /// The timeline.
    Handovers,
    /// Where an EID is.
    Resolve(IpAddr),
    /// Reads the configuration again.
    Reload,
    /// netifd has an interface for the overlay, with this MTU where it sets one.
    InterfaceUp { interface: Text<MAX_NAME_LEN>, mtu: Option<u16> },
    /// netifd has it no longer.
    InterfaceDown { interface: Text<MAX_NAME_LEN> },
}

impl Call {
    /// What a caller asks for. Arguments that the method does not have are ignored, as rpcd adds
    /// some of its own; of one that stands there twice, the last counts.
    ///
    /// # Errors
    /// The status to answer with: there is no such method, or an argument is missing or wrong.
    pub(crate) fn parse(method: &str, fields: Fields<'_>) -> Result<Self, Status> {
        Ok(match method {
            "status" => Self::Status,
            "map_cache" => Self::MapCache,
            "registrations" => Self::Registrations,
            "handovers" => Self::Handovers,
            "resolve" => Self::Resolve(eid(fields)?),
            "reload" => Self::Reload,
            "interface_up" => {
                Self::InterfaceUp { interface: interface(fields)?, mtu: mtu(fields)? }
            }
            "interface_down" => Self::InterfaceDown { interface: interface(fields)? },
            _ => return Err(Status::MethodNotFound),
        })
    }
}

/// An argument's value, where there is one.
fn argument<'a>(fields: Fields<'a>, wanted: &str) -> Result<Option<Value<'a>>, Status> {
    let mut found = None;
    for field in fields {
        let Field { name, value } = field.map_err(|_| Status::InvalidArgument)?;
        if name == wanted {
            found = Some(value);
        }
    }
    Ok(found)
}

fn text<'a>(fields: Fields<'a>, wanted: &str) -> Result<&'a str, Status> {
    let value = argument(fields, wanted)?;
    value.and_then(|value| value.text()).ok_or(Status::InvalidArgument)
}

fn eid(fields: Fields<'_>) -> Result<IpAddr, Status> {
    text(fields, "eid")?.parse().map_err(|_| Status::InvalidArgument)
}

fn interface(fields: Fields<'_>) -> Result<Text<MAX_NAME_LEN>, Status> {
    let name = Text::new(text(fields, "interface")?).filter(|name| !name.as_str().is_empty());
    name.ok_or(Status::InvalidArgument)
}

/// The metric is netifd's own business; it is only looked at whether it is one.
fn mtu(fields: Fields<'_>) -> Result<Option<u16>, Status> {
    let number = |name| match argument(fields, name)? {
        None => Ok(None),
        Some(Value::I32(number)) => Ok(Some(number)),
        Some(_) => Err(Status::InvalidArgument),
    };
    number("metric")?;
    match number("mtu")? {
        Some(mtu) if MTU.contains(&mtu) => Ok(Some(mtu as u16)),
        Some(_) => Err(Status::InvalidArgument),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use ubus::Writer;

    use super::*;

    fn parse(method: &str, fill: impl FnOnce(&mut Writer<'_>)) -> Result<Call, Status> {
        let mut buffer = vec![0; 1 << 20];
        let mut writer = Writer::new(&mut buffer);
        fill(&mut writer);
        let len = writer.len().expect("room");
        Call::parse(method, Fields::new(&buffer[..len]))
    }

    #[test]
    fn every_method_that_is_published_is_one() {
        for method in &METHODS {
            let is_bare = method.arguments.is_empty();
            let expected = if is_bare { Ok(()) } else { Err(Status::InvalidArgument) };
            assert_eq!(parse(method.name, |_| {}).map(drop), expected, "{}", method.name);
        }
        for unknown in ["", "Status", "status ", "down"] {
            assert_eq!(parse(unknown, |_| {}), Err(Status::MethodNotFound));
        }
    }

    #[test]
    fn an_eid_is_an_address() {
        let resolve = |eid: &str| parse("resolve", |writer| writer.string("eid", eid));
        assert_eq!(resolve("10.2.0.1"), Ok(Call::Resolve([10, 2, 0, 1].into())));
        assert!(resolve("fd10::1").is_ok());
        for wrong in ["", "10.2.0", "10.2.0.1/32", "name", &"1".repeat(900_000)] {
            assert_eq!(resolve(wrong), Err(Status::InvalidArgument));
        }
        let number = parse("resolve", |writer| writer.i32("eid", 0x0a02_0001));
        assert_eq!(number, Err(Status::InvalidArgument));
        let octets = parse("resolve", |writer| writer.string("eid", b"\xff\xfe"));
        assert_eq!(octets, Err(Status::InvalidArgument));
        let added = parse("resolve", |writer| {
            writer.string("eid", "wrong");
            writer.string("ubus_rpc_session", "00000000000000000000000000000000");
            writer.string("eid", "10.2.0.1");
        });
        assert!(added.is_ok());
        let malformed = Call::parse("resolve", Fields::new(&[0x83, 0, 0, 3]));
        assert_eq!(malformed, Err(Status::InvalidArgument));
    }

    #[test]
    fn an_interface_has_a_name_and_perhaps_an_mtu() {
        let up = |name: &str, mtu: Option<i32>| {
            parse("interface_up", |writer| {
                writer.string("interface", name);
                writer.i32("metric", 7);
                if let Some(mtu) = mtu {
                    writer.i32("mtu", mtu);
                }
            })
        };
        let interface = Text::truncated("overlay");
        assert_eq!(up("overlay", None), Ok(Call::InterfaceUp { interface, mtu: None }));
        assert_eq!(up("overlay", Some(1400)), Ok(Call::InterfaceUp { interface, mtu: Some(1400) }));
        for (name, mtu) in
            [("", None), (&*"x".repeat(65), None), ("a", Some(-1)), ("a", Some(70_000))]
        {
            assert_eq!(up(name, mtu), Err(Status::InvalidArgument), "{name} {mtu:?}");
        }
        for wrong in ["mtu", "metric"] {
            let call = parse("interface_up", |writer| {
                writer.string("interface", "overlay");
                writer.string(wrong, "1400");
            });
            assert_eq!(call, Err(Status::InvalidArgument));
        }
    }
}
