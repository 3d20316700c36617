//! Texts of options as typed values.

use core::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use control::{EidPrefix, InstanceId, PeerKey, PrefixError, address_bits};

use super::Endpoint;
use super::key::{self, Secret};
use super::problem::ValueProblem;

/// Finds the place of a name among others.
pub(super) fn choice(text: &str, names: &'static [&'static str]) -> Result<usize, ValueProblem> {
    let place = names.iter().position(|name| *name == text);
    place.ok_or_else(|| ValueProblem::Unknown(shortened(text), names))
}

/// A wrong value as it is shown in an error.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
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
