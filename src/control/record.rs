//! Translation between records on the wire and mappings.

use core::net::IpAddr;
use core::time::Duration;

use wire::{AddressBuffer, MapVersion, RecordsWriter};

use crate::{Action, DataKey, EidPrefix, InstanceId, Locator, Mapping, PeerKey};

/// No mapping is kept longer, whatever its record says; `UNLIMITED_TTL` means this too.
pub(crate) const MAX_RECORD_TTL: Duration = Duration::from_secs(24 * 3600);

/// Who sends a record, which decides its A-, L- and R-bits (RFC 9301 section 5.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sender {
    /// The site itself: authoritative, its locators local.
    Etr,
    /// A Map-Server for the site.
    MapServer {
        /// Its locators are sent as unreachable then: the site must initiate.
        is_behind_nat: bool,
    },
}

/// The EID-prefix of a record; `None` when its EID is neither an IP address nor one inside an Instance
/// ID LCAF.
pub(crate) fn eid_prefix(record: &wire::Record<'_>) -> Option<EidPrefix> {
    let (instance_id, address) = record.eid.ip_eid()?;
    EidPrefix::new(instance_id, address, record.mask_len)
}

/// Reads a record as a mapping, its locators sorted by priority, then address, then lane. Tells how
/// many locators are left out: without an IP address or a usable key, twice the same RLOC in one
/// lane, or too many. `None` when there is no [`eid_prefix`].
pub(crate) fn parse(record: &wire::Record<'_>, mapping: &mut Mapping) -> Option<usize> {
    mapping.eid_prefix = eid_prefix(record)?;
    let record_ttl = Duration::from_secs(u64::from(record.ttl_minutes) * 60);
    mapping.record_ttl = record_ttl.min(MAX_RECORD_TTL);
    mapping.action = record.action;
    let locators = &mut mapping.locators;
    locators.clear();
    for locator in record.locators.iter().filter_map(|locator| parse_locator(&locator)) {
        if !locators.iter().any(|other| is_same(other, &locator)) {
            // Those that do not fit are left out.
            let _ = locators.push(locator);
        }
    }
    let unusable = record.locators.len() - locators.len();
    let lane = |locator: &Locator| locator.data_key.map(|key| key.lane);
    locators.sort_unstable_by_key(|locator| (locator.priority, locator.rloc, lane(locator)));
    Some(unusable)
}

/// Writes a mapping as one record, or leaves the writer as it was.
///
/// # Errors
/// [`wire::Error::BufferTooSmall`] or [`wire::Error::TooMany`] when the message is full.
pub(crate) fn write(
    writer: &mut RecordsWriter<'_>,
    mapping: &Mapping,
    sender: Sender,
) -> Result<(), wire::Error> {
    let mark = writer.mark();
    let written = write_all(writer, mapping, sender);
    if written.is_err() {
        writer.rollback(mark);
    }
    written
}

/// Writes the withdrawal of an EID-prefix: record TTL 0 and no locators.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_withdrawal(
    writer: &mut RecordsWriter<'_>,
    eid_prefix: EidPrefix,
    sender: Sender,
) -> Result<(), wire::Error> {
    write_header(writer, eid_prefix, 0, Action::NoAction, sender)
}

/// An address as an EID on the wire: plain in instance 0, else inside an Instance ID LCAF.
pub(crate) fn eid_address(instance_id: InstanceId, address: IpAddr) -> AddressBuffer {
    let address = wire::Address::from(address);
    let built = match instance_id.0 {
        0 => AddressBuffer::copy(&address),
        _ => AddressBuffer::instance_id(instance_id, 0, &address),
    };
    built.expect("an IP address fits an address buffer")
}

/// Whether one of two locators says nothing that the other does not: an RLOC stands once per lane,
/// each with a key of its own.
fn is_same(one: &Locator, other: &Locator) -> bool {
    let is_same_key = match (one.data_key, other.data_key) {
        (Some(one), Some(other)) => one.lane == other.lane || one.key == other.key,
        _ => true,
    };
    one.rloc == other.rloc && is_same_key
}

fn parse_locator(locator: &wire::Locator<'_>) -> Option<Locator> {
    let (rloc, data_key) = locator.address.rloc().filter(|(rloc, _)| is_unicast(*rloc))?;
    let data_key = match data_key {
        None => None,
        Some(Ok(key)) if key.port != 0 => {
            Some(DataKey { key: PeerKey(key.public_key), port: key.port, lane: key.lane })
        }
        Some(_) => return None,
    };
    Some(Locator {
        rloc,
        priority: locator.priority,
        weight: locator.weight,
        mpriority: locator.mpriority,
        mweight: locator.mweight,
        is_reachable: locator.is_reachable,
        data_key,
    })
}

/// RFC 9301 section 5.4: a locator is no multicast or broadcast address; none at all is none either.
fn is_unicast(rloc: IpAddr) -> bool {
    let is_broadcast = matches!(rloc, IpAddr::V4(v4) if v4.is_broadcast());
    !rloc.is_unspecified() && !rloc.is_multicast() && !is_broadcast
}

fn write_all(
    writer: &mut RecordsWriter<'_>,
    mapping: &Mapping,
    sender: Sender,
) -> Result<(), wire::Error> {
    let minutes = u32::try_from(mapping.record_ttl.as_secs().div_ceil(60)).unwrap_or(u32::MAX - 1);
    write_header(writer, mapping.eid_prefix, minutes, mapping.action, sender)?;
    let mut sorted: heapless::Vec<&Locator, { crate::MAX_LOCATORS }> =
        mapping.locators.iter().collect();
    sorted.sort_unstable_by_key(|locator| wire_order(locator));
    sorted.into_iter().try_for_each(|locator| write_locator(writer, locator, sender))
}

fn write_header(
    writer: &mut RecordsWriter<'_>,
    eid_prefix: EidPrefix,
    ttl_minutes: u32,
    action: Action,
    sender: Sender,
) -> Result<(), wire::Error> {
    let eid = eid_address(eid_prefix.instance_id(), eid_prefix.address());
    writer.push_record(&wire::Record {
        ttl_minutes,
        mask_len: eid_prefix.len(),
        action,
        is_authoritative: sender == Sender::Etr,
        map_version: MapVersion(0),
        eid: eid.address(),
        locators: wire::Locators::EMPTY,
    })
}

fn write_locator(
    writer: &mut RecordsWriter<'_>,
    locator: &Locator,
    sender: Sender,
) -> Result<(), wire::Error> {
    let rloc = wire::Address::from(locator.rloc);
    let address = match &locator.data_key {
        Some(key) => {
            let DataKey { key: PeerKey(public_key), port, lane } = *key;
            AddressBuffer::data_key(&wire::DataKey { public_key, port, lane }, false, &rloc)?
        }
        None => AddressBuffer::copy(&rloc)?,
    };
    let is_behind_nat = matches!(sender, Sender::MapServer { is_behind_nat: true });
    writer.push_locator(&wire::Locator {
        priority: locator.priority,
        weight: locator.weight,
        mpriority: locator.mpriority,
        mweight: locator.mweight,
        is_local: sender == Sender::Etr,
        is_probed: false,
        is_reachable: locator.is_reachable && !is_behind_nat,
        address: address.address(),
    })
}

/// The order of RFC 9301 section 5.5 and RFC 8060 section 3: addresses first, then Security Key
/// LCAFs by their octets, in which the length comes before the key and the address last.
fn wire_order(locator: &Locator) -> (Option<(bool, PeerKey, u16, u8)>, IpAddr) {
    let rloc = locator.rloc;
    (locator.data_key.map(|key| (rloc.is_ipv6(), key.key, key.port, key.lane)), rloc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Records;

    fn locator(rloc: &str, priority: u8, key: Option<u8>) -> Locator {
        Locator {
            rloc: rloc.parse().unwrap(),
            priority,
            weight: 1,
            mpriority: 255,
            mweight: 0,
            is_reachable: true,
            data_key: key.map(|key| DataKey { key: PeerKey([key; 32]), port: 51820, lane: 0 }),
        }
    }

    fn mapping(locators: &[Locator]) -> Mapping {
        Mapping {
            eid_prefix: "10.1.0.0/16".parse::<EidPrefix>().unwrap(),
            record_ttl: Duration::from_secs(3600),
            action: Action::NoAction,
            locators: locators.iter().copied().collect(),
        }
    }

    fn parsed(record: &wire::Record<'_>) -> Option<(Mapping, usize)> {
        let mut mapping = Mapping::blank();
        parse(record, &mut mapping).map(|unusable| (mapping, unusable))
    }

    #[test]
    fn a_mapping_survives_the_wire_with_and_without_keys_and_instances() {
        let locators = [locator("192.0.2.1", 1, Some(1)), locator("2001:db8::1", 2, None)];
        let mut mapping = mapping(&locators);
        for instance_id in [0, 7] {
            mapping.eid_prefix = mapping.eid_prefix.with_instance_id(InstanceId(instance_id));
            let mut buf = [0xaa; 256];
            let mut writer = RecordsWriter::new(&mut buf);
            write(&mut writer, &mapping, Sender::Etr).unwrap();
            let record = writer.finish().iter().next().unwrap();
            assert!(record.is_authoritative && record.locators.is_sorted());
            assert!(record.locators.iter().all(|locator| locator.is_local));
            assert_eq!(parsed(&record), Some((mapping.clone(), 0)));
        }
    }

    #[test]
    fn locators_stand_in_the_order_of_the_rfc_whatever_their_priority() {
        let mapping = mapping(&[
            locator("2001:db8::2", 1, Some(1)),
            locator("192.0.2.9", 2, Some(1)),
            locator("192.0.2.1", 3, Some(2)),
            locator("2001:db8::1", 4, None),
            locator("198.51.100.1", 5, Some(1)),
            locator("192.0.2.7", 6, None),
        ]);
        let mut buf = [0; 512];
        let mut writer = RecordsWriter::new(&mut buf);
        write(&mut writer, &mapping, Sender::Etr).unwrap();
        assert!(writer.finish().iter().next().unwrap().locators.is_sorted());
    }

    #[test]
    fn a_site_behind_nat_is_sent_as_unreachable() {
        let mut buf = [0; 256];
        let mut writer = RecordsWriter::new(&mut buf);
        let sender = Sender::MapServer { is_behind_nat: true };
        write(&mut writer, &mapping(&[locator("192.0.2.1", 1, Some(1))]), sender).unwrap();
        let record = writer.finish().iter().next().unwrap();
        assert!(!record.is_authoritative);
        assert!(record.locators.iter().all(|locator| !locator.is_reachable && !locator.is_local));
    }

    #[test]
    fn a_record_that_does_not_fit_leaves_the_writer_as_it_was() {
        let mapping =
            mapping(&[locator("192.0.2.1", 1, Some(1)), locator("192.0.2.2", 1, Some(1))]);
        let mut buf = [0; 100];
        let mut writer = RecordsWriter::new(&mut buf);
        assert_eq!(write(&mut writer, &mapping, Sender::Etr), Err(wire::Error::BufferTooSmall));
        assert_eq!((writer.count(), writer.len()), (0, 0));
    }

    #[test]
    fn unusable_locators_are_left_out_and_counted() {
        let mut buf = [0; 1024];
        let mut writer = RecordsWriter::new(&mut buf);
        write(&mut writer, &mapping(&[locator("192.0.2.1", 1, Some(1))]), Sender::Etr).unwrap();
        let rloc = wire::Address::Ipv4([192, 0, 2, 2].into());
        let foreign = AddressBuffer::security_key(6, false, &[&[1; 32]], &rloc).unwrap();
        let short = AddressBuffer::security_key(251, false, &[&[1; 32]], &rloc).unwrap();
        let key = wire::DataKey { public_key: [1; 32], port: 0, lane: 0 };
        let portless = AddressBuffer::data_key(&key, false, &rloc).unwrap();
        let multicast = AddressBuffer::copy(&wire::Address::Ipv4([224, 0, 0, 1].into())).unwrap();
        let unknown = [0x40, 0x03, 0, 0, 14, 0, 0, 1, 0];
        let (unknown, _) = wire::Address::parse(&unknown).unwrap();
        let twice = wire::Address::Ipv4([192, 0, 2, 1].into());
        let bad =
            [foreign.address(), short.address(), portless.address(), multicast.address(), unknown];
        for address in bad.into_iter().chain([twice]) {
            let locator = wire::Locator {
                priority: 1,
                weight: 1,
                mpriority: 255,
                mweight: 0,
                is_local: true,
                is_probed: false,
                is_reachable: true,
                address,
            };
            writer.push_locator(&locator).unwrap();
        }
        let records: Records<'_> = writer.finish();
        let (mapping, unusable) = parsed(&records.iter().next().unwrap()).unwrap();
        assert_eq!((mapping.locators.len(), unusable), (1, 6));
    }

    #[test]
    fn an_rloc_stands_once_per_lane_each_with_a_key_of_its_own() {
        let lane = |key, lane| {
            let mut locator = locator("192.0.2.1", 1, Some(key));
            locator.data_key.as_mut().unwrap().lane = lane;
            locator
        };
        // Out of order on the wire, and the last two say nothing new.
        let sent = mapping(&[lane(9, 0), lane(1, 1), lane(10, 1), lane(9, 2)]);
        let mut buf = [0; 512];
        let mut writer = RecordsWriter::new(&mut buf);
        write(&mut writer, &sent, Sender::Etr).unwrap();
        let (mapping, unusable) = parsed(&writer.finish().iter().next().unwrap()).unwrap();
        assert_eq!(&mapping.locators[..], [lane(9, 0), lane(1, 1)]);
        assert_eq!(unusable, 2);
    }

    #[test]
    fn a_record_ttl_is_bounded_and_host_bits_are_masked() {
        let mut buf = [0; 64];
        let mut writer = RecordsWriter::new(&mut buf);
        let address = wire::Address::Ipv4([10, 1, 2, 3].into());
        let record = wire::Record {
            ttl_minutes: wire::record::UNLIMITED_TTL,
            mask_len: 16,
            action: Action::NoAction,
            is_authoritative: true,
            map_version: MapVersion(0),
            eid: address,
            locators: wire::Locators::EMPTY,
        };
        writer.push_record(&record).unwrap();
        let (mapping, _) = parsed(&writer.finish().iter().next().unwrap()).unwrap();
        assert_eq!(mapping.record_ttl, MAX_RECORD_TTL);
        assert_eq!(mapping.eid_prefix, "10.1.0.0/16".parse::<EidPrefix>().unwrap());
        let name = wire::Record { eid: wire::Address::DistinguishedName(b"x"), ..record };
        assert_eq!(parsed(&name), None);
    }
}
