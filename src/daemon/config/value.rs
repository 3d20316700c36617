//! Texts of options as typed values.

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use std::path::PathBuf;

use control::{EidPrefix, InstanceId, MAX_LANES, PeerKey, PrefixError, address_bits};
use linux::netlink::TABLE_MAIN;
use log::LevelFilter;

use super::key::{self, Secret};
use super::problem::ValueProblem;
use super::{DataPlane, Endpoint, OnMiss, Rules};

/// Tables that follow the first one: of the resolved EID-prefixes, and one for each lane.
const TABLES: u32 = 1 + MAX_LANES as u32;

/// One of the three roles.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Xtr,
    MobileNode,
    MapServer,
}

/// Finds a value by its name.
fn choice<T: Copy>(
    text: &str,
    names: &'static [&'static str],
    values: &[T],
) -> Result<T, ValueProblem> {
    let place = names.iter().position(|name| *name == text);
    place
        .and_then(|place| values.get(place).copied())
        .ok_or_else(|| ValueProblem::Unknown(shortened(text), names))
}

/// A wrong value as it is shown in an error.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

pub(super) fn role(text: &str) -> Result<Role, ValueProblem> {
    let roles = [Role::Xtr, Role::MobileNode, Role::MapServer];
    choice(text, &["xtr", "mobile_node", "map_server"], &roles)
}

pub(super) fn on_miss(text: &str) -> Result<OnMiss, ValueProblem> {
    choice(text, &["drop", "native"], &[OnMiss::Drop, OnMiss::Native])
}

pub(super) fn rules(text: &str) -> Result<Rules, ValueProblem> {
    choice(text, &["auto", "none"], &[Rules::Auto, Rules::None])
}

pub(super) fn data_plane(text: &str) -> Result<DataPlane, ValueProblem> {
    let values = [DataPlane::Auto, DataPlane::Userspace, DataPlane::Kernel];
    choice(text, &["auto", "userspace", "kernel"], &values)
}

pub(super) fn log_level(text: &str) -> Result<LevelFilter, ValueProblem> {
    use LevelFilter::{Debug, Error, Info, Trace, Warn};
    let names = &["error", "warn", "info", "debug", "trace"];
    choice(text, names, &[Error, Warn, Info, Debug, Trace])
}

pub(super) fn flag(text: &str) -> Result<bool, ValueProblem> {
    choice(text, &["1", "0"], &[true, false])
}

/// A decimal number, or a hexadecimal one after `0x`.
pub(super) fn number(text: &str, min: u32, max: u32) -> Result<u32, ValueProblem> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // The standard parser would take a sign.
    let is_number = digits.starts_with(|digit: char| digit.is_digit(radix));
    match u32::from_str_radix(digits, radix) {
        Ok(number) if is_number && (min..=max).contains(&number) => Ok(number),
        _ => Err(ValueProblem::Number(shortened(text), min, max)),
    }
}

pub(super) fn octet(text: &str) -> Result<u8, ValueProblem> {
    let number = number(text, 0, u32::from(u8::MAX))?;
    Ok(u8::try_from(number).unwrap_or(u8::MAX))
}

/// A number of 16 bits that is at least `min`.
pub(super) fn number16(text: &str, min: u16, max: u16) -> Result<u16, ValueProblem> {
    let number = number(text, u32::from(min), u32::from(max))?;
    Ok(u16::try_from(number).unwrap_or(u16::MAX))
}

pub(super) fn port(text: &str) -> Result<u16, ValueProblem> {
    number16(text, 1, u16::MAX)
}

/// `auto` or octets; IPv6 needs 1280.
pub(super) fn mtu(text: &str) -> Result<Option<u16>, ValueProblem> {
    if text == "auto" { Ok(None) } else { number16(text, 1280, 9000).map(Some) }
}

/// The tables 253 to 255 are the kernel's `default`, `main` and `local`.
pub(super) fn table(text: &str) -> Result<u32, ValueProblem> {
    if text == "main" {
        return Ok(TABLE_MAIN);
    }
    match number(text, 1, u32::MAX - TABLES)? {
        table if table <= 255 && table + TABLES >= 253 => Err(ValueProblem::ReservedTable(table)),
        table => Ok(table),
    }
}

/// A size from 1.
pub(super) fn size(text: &str, max: u32) -> Result<usize, ValueProblem> {
    let number = number(text, 1, max)?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

pub(super) fn seconds(text: &str, min: u32, max: u32) -> Result<Duration, ValueProblem> {
    Ok(Duration::from_secs(u64::from(number(text, min, max)?)))
}

pub(super) fn milliseconds(text: &str, min: u32, max: u32) -> Result<Duration, ValueProblem> {
    Ok(Duration::from_millis(u64::from(number(text, min, max)?)))
}

/// Milliseconds; 0 is never. Less than 50 ms of silence is what a path of ordinary length has.
pub(super) fn silence(text: &str) -> Result<Duration, ValueProblem> {
    if text == "0" { Ok(Duration::ZERO) } else { milliseconds(text, 50, 60_000) }
}

/// Minutes, at most a week.
pub(super) fn record_ttl(text: &str) -> Result<Duration, ValueProblem> {
    Ok(Duration::from_secs(60 * u64::from(number(text, 1, 7 * 24 * 60)?)))
}

/// 24 bits (RFC 8060 section 4.1).
pub(super) fn instance_id(text: &str) -> Result<InstanceId, ValueProblem> {
    number(text, 0, (1 << 24) - 1).map(InstanceId)
}

pub(super) fn prefix(text: &str, instance_id: InstanceId) -> Result<EidPrefix, ValueProblem> {
    // A bare address is more likely a mistake than a host.
    if !text.contains('/') {
        return Err(ValueProblem::Prefix(PrefixError::Syntax));
    }
    let prefix: EidPrefix = text.parse().map_err(ValueProblem::Prefix)?;
    Ok(prefix.with_instance_id(instance_id))
}

/// The prefix as the file has it, without its instance-ID.
pub(super) fn as_written(prefix: EidPrefix) -> EidPrefix {
    prefix.with_instance_id(InstanceId(0))
}

/// A prefix that a site can have: unicast, and not bound to a link or host.
pub(super) fn eid_prefix(text: &str, instance_id: InstanceId) -> Result<EidPrefix, ValueProblem> {
    let prefix = prefix(text, instance_id)?;
    let address = prefix.address();
    let is_bound = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let is_unspecified_host = prefix.is_host() && address.is_unspecified();
    if address.is_loopback() || address.is_multicast() || is_bound || is_unspecified_host {
        return Err(ValueProblem::NotAnEid(as_written(prefix)));
    }
    Ok(prefix)
}

/// The single address of a mobile node.
pub(super) fn host_prefix(text: &str, instance_id: InstanceId) -> Result<EidPrefix, ValueProblem> {
    match eid_prefix(text, instance_id) {
        Err(ValueProblem::Prefix(PrefixError::HostBits(prefix))) => {
            Err(ValueProblem::NotAHost(address_bits(prefix.address())))
        }
        Ok(prefix) if !prefix.is_host() => {
            Err(ValueProblem::NotAHost(address_bits(prefix.address())))
        }
        other => other,
    }
}

pub(super) fn public_key(text: &str) -> Result<PeerKey, ValueProblem> {
    key::decode(text).map(|key| PeerKey(*key)).map_err(ValueProblem::Key)
}

pub(super) fn secret(text: &str) -> Result<Secret, ValueProblem> {
    if text.len() > 255 { Err(ValueProblem::LongSecret) } else { Ok(Secret::new(text)) }
}

pub(super) fn endpoint(text: &str) -> Result<Endpoint, ValueProblem> {
    text.parse().map_err(ValueProblem::Endpoint)
}

pub(super) fn control_address(text: &str) -> Result<Ipv6Addr, ValueProblem> {
    match text.parse::<Ipv6Addr>() {
        Ok(address) if address.octets()[0] == 0xfd => Ok(address),
        _ => Err(ValueProblem::ControlAddress),
    }
}

/// What the kernel takes as an interface name.
pub(super) fn device(text: &str) -> Result<String, ValueProblem> {
    let is_forbidden = |octet: u8| !octet.is_ascii_graphic() || octet == b'/' || octet == b':';
    if text.len() > 15 || text == "." || text == ".." || text.bytes().any(is_forbidden) {
        return Err(ValueProblem::Device);
    }
    Ok(text.to_owned())
}

pub(super) fn path(text: &str) -> Result<PathBuf, ValueProblem> {
    if text.starts_with('/') { Ok(text.into()) } else { Err(ValueProblem::RelativePath) }
}
