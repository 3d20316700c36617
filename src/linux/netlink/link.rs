//! Links: making, changing, finding and listing network interfaces.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::REQUEST_LEN;
use super::abi::{
    IFF_LOWER_UP, IFF_RUNNING, IFF_UP, IFLA_ADDRESS, IFLA_IFALIAS, IFLA_IFNAME, IFLA_INFO_DATA,
    IFLA_INFO_KIND, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, IFLA_NET_NS_FD, IFLA_STATS_LINK_64,
    NLM_F_CREATE, NLM_F_EXCL, RTM_DELLINK, RTM_GETLINK, RTM_GETSTATS, RTM_NEWLINK, RTM_NEWSTATS,
    VETH_INFO_PEER,
};
use super::attribute::Attributes;
use super::error::Error;
use super::message::Message;
use super::socket::Socket;
use crate::text::Text;

/// Octets of `struct ifinfomsg`.
const HEADER_LEN: usize = 16;

/// Octets of `struct if_stats_msg`.
const STATISTICS_HEADER_LEN: usize = 12;

/// The name of a network interface, at most 15 octets.
pub type InterfaceName = Text<15>;

/// A network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The interface index, unique within its network namespace.
    pub index: u32,
    /// The interface's name.
    pub name: InterfaceName,
    /// The kernel's flags (`IFF_*`).
    pub flags: u32,
    /// The largest packet in octets, 0 when unknown.
    pub mtu: u32,
    /// What made it (`veth`, `bridge`, `tun`, `wireguard`), `None` for hardware and loopback.
    pub kind: Option<Text<15>>,
    /// The text that somebody attached to it, cut off after 31 octets.
    pub alias: Option<Text<31>>,
    /// The index of the bridge or bond that it belongs to.
    pub master: Option<u32>,
    /// The Ethernet address, where it has one.
    pub hardware_address: Option<[u8; 6]>,
}

impl Link {
    /// True when the interface is administratively up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// True when the interface is up and carries packets. The kernel decides so a while after the
    /// carrier came, up to a second on a busy machine, and tells it as an event.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let needed = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;
        self.flags & needed == needed
    }

    /// Reads the payload of an `RTM_NEWLINK` or `RTM_DELLINK`.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let header = payload.first_chunk::<HEADER_LEN>()?;
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let mut link = Self {
            index: word(4),
            name: Text::default(),
            flags: word(8),
            mtu: 0,
            kind: None,
            alias: None,
            master: None,
            hardware_address: None,
        };
        for attribute in Attributes::new(&payload[HEADER_LEN..]) {
            match attribute.kind {
                IFLA_IFNAME => link.name = Text::truncated(attribute.as_text()?),
                IFLA_MTU => link.mtu = attribute.as_u32()?,
                IFLA_IFALIAS => link.alias = attribute.as_text().map(Text::truncated),
                IFLA_MASTER => link.master = attribute.as_u32(),
                IFLA_ADDRESS => link.hardware_address = attribute.value.try_into().ok(),
                IFLA_LINKINFO => {
                    let kind = attribute.nested().find_kind(IFLA_INFO_KIND);
                    link.kind = kind.and_then(|kind| kind.as_text()).map(Text::truncated);
                }
                _ => {}
            }
        }
        Some(link)
    }
}

/// What an interface has carried since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkStatistics {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Octets received.
    pub rx_octets: u64,
    /// Octets sent.
    pub tx_octets: u64,
}

impl LinkStatistics {
    /// Reads the payload of an `RTM_NEWSTATS` with `struct rtnl_link_stats64`.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let attributes = payload.get(STATISTICS_HEADER_LEN..)?;
        let value = Attributes::new(attributes).find_kind(IFLA_STATS_LINK_64)?.value;
        let number = |at: usize| {
            let octets = value.get(at * 8..)?.first_chunk()?;
            Some(u64::from_ne_bytes(*octets))
        };
        Some(Self {
            rx_packets: number(0)?,
            tx_packets: number(1)?,
            rx_octets: number(2)?,
            tx_octets: number(3)?,
        })
    }
}

impl Socket {
    /// Makes a pair of connected interfaces, the second one in `peer_namespace` if given.
    ///
    /// # Errors
    /// As `request`; `is_existing` when a name is taken.
    pub fn create_veth(
        &mut self,
        name: &str,
        peer_name: &str,
        peer_namespace: Option<BorrowedFd<'_>>,
    ) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = create(&mut buffer, name);
        message.nested(IFLA_LINKINFO, |info| {
            info.attribute_text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |peer| {
                    peer.put(&header(0, 0, 0)).attribute_text(IFLA_IFNAME, peer_name);
                    if let Some(namespace) = peer_namespace {
                        peer.attribute_u32(IFLA_NET_NS_FD, namespace.as_raw_fd().cast_unsigned());
                    }
                });
            });
        });
        self.request(message)
    }

    /// Makes an interface of a kind that needs no parameters (`dummy`, `bridge`, `wireguard`).
    ///
    /// # Errors
    /// As `request`; `is_existing` when the name is taken, `EOPNOTSUPP` when the kernel lacks the
    /// kind.
    pub fn create_link(&mut self, name: &str, kind: &str) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = create(&mut buffer, name);
        put_kind(&mut message, kind);
        self.request(message)
    }

    /// Deletes an interface.
    ///
    /// # Errors
    /// As `request`.
    pub fn delete_link(&mut self, index: u32) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = Message::new(&mut buffer, RTM_DELLINK, 0);
        message.put(&header(index, 0, 0));
        self.request(message)
    }

    /// Brings an interface up.
    ///
    /// # Errors
    /// As `request`.
    pub fn set_link_up(&mut self, index: u32) -> Result<(), Error> {
        self.change_link(&header(index, IFF_UP, IFF_UP), |_| ())
    }

    /// Takes an interface down.
    ///
    /// # Errors
    /// As `request`.
    pub fn set_link_down(&mut self, index: u32) -> Result<(), Error> {
        self.change_link(&header(index, 0, IFF_UP), |_| ())
    }

    /// Renames an interface; older kernels want it down.
    ///
    /// # Errors
    /// As `request`.
    pub fn rename_link(&mut self, index: u32, name: &str) -> Result<(), Error> {
        self.change_link(&header(index, 0, 0), |message| {
            message.attribute_text(IFLA_IFNAME, name);
        })
    }

    /// Sets the largest packet, in octets.
    ///
    /// # Errors
    /// As `request`.
    pub fn set_link_mtu(&mut self, index: u32, mtu: u32) -> Result<(), Error> {
        self.change_link(&header(index, 0, 0), |message| {
            message.attribute_u32(IFLA_MTU, mtu);
        })
    }

    /// Attaches a text to an interface, at most 255 octets; an empty one removes it.
    ///
    /// # Errors
    /// As `request`.
    pub fn set_link_alias(&mut self, index: u32, alias: &str) -> Result<(), Error> {
        self.change_link(&header(index, 0, 0), |message| {
            message.attribute(IFLA_IFALIAS, alias.as_bytes());
        })
    }

    /// Moves an interface to another network namespace, where it may get another index.
    ///
    /// # Errors
    /// As `request`.
    pub fn move_link(&mut self, index: u32, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        self.change_link(&header(index, 0, 0), |message| {
            message.attribute_u32(IFLA_NET_NS_FD, namespace.as_raw_fd().cast_unsigned());
        })
    }

    /// Makes an interface a port of a bridge, or of none.
    ///
    /// # Errors
    /// As `request`.
    pub fn set_link_master(&mut self, index: u32, master: Option<u32>) -> Result<(), Error> {
        self.change_link(&header(index, 0, 0), |message| {
            message.attribute_u32(IFLA_MASTER, master.unwrap_or(0));
        })
    }

    /// Finds an interface by name.
    ///
    /// # Errors
    /// As `request`; `is_missing` when there is none.
    pub fn link(&mut self, name: &str) -> Result<Link, Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = Message::new(&mut buffer, RTM_GETLINK, 0);
        message.put(&header(0, 0, 0)).attribute_text(IFLA_IFNAME, name);
        let mut found = None;
        self.ask(message, |part| found = found.or(Link::parse(part.payload)))?;
        found.ok_or(Error::Malformed)
    }

    /// The index of an interface.
    ///
    /// # Errors
    /// As `link`.
    pub fn link_index(&mut self, name: &str) -> Result<u32, Error> {
        self.link(name).map(|link| link.index)
    }

    /// Finds an interface by its index.
    ///
    /// # Errors
    /// As `request`; `is_missing` when there is none.
    pub fn link_at(&mut self, index: u32) -> Result<Link, Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = Message::new(&mut buffer, RTM_GETLINK, 0);
        message.put(&header(index, 0, 0));
        let mut found = None;
        self.ask(message, |part| found = found.or(Link::parse(part.payload)))?;
        found.ok_or(Error::Malformed)
    }

    /// What an interface has carried.
    ///
    /// # Errors
    /// As `request`; `is_missing` when there is no such interface.
    pub fn link_statistics(&mut self, index: u32) -> Result<LinkStatistics, Error> {
        let mut buffer = [0; REQUEST_LEN];
        let message = statistics_message(&mut buffer, index);
        let mut found = None;
        self.ask_for_one(message, |part| {
            if part.kind == RTM_NEWSTATS {
                found = LinkStatistics::parse(part.payload);
            }
        })?;
        found.ok_or(Error::Malformed)
    }

    /// Hands every interface to `each`.
    ///
    /// # Errors
    /// As `dump`.
    pub fn links(&mut self, mut each: impl FnMut(Link)) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = Message::new(&mut buffer, RTM_GETLINK, 0);
        message.put(&header(0, 0, 0));
        self.dump(message, |part| {
            if let Some(link) = Link::parse(part.payload) {
                each(link);
            }
        })
    }

    fn change_link(
        &mut self,
        header: &[u8; HEADER_LEN],
        attributes: impl FnOnce(&mut Message<'_>),
    ) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = Message::new(&mut buffer, RTM_NEWLINK, 0);
        message.put(header);
        attributes(&mut message);
        self.request(message)
    }
}

pub(super) fn create<'b>(buffer: &'b mut [u8], name: &str) -> Message<'b> {
    let mut message = Message::new(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    message.put(&header(0, 0, 0)).attribute_text(IFLA_IFNAME, name);
    message
}

pub(super) fn put_kind(message: &mut Message<'_>, kind: &str) {
    message.nested(IFLA_LINKINFO, |info| {
        info.attribute_text(IFLA_INFO_KIND, kind);
    });
}

/// `struct if_stats_msg`: family, padding, index, mask of wanted statistics.
pub(super) fn statistics_message(buffer: &mut [u8], index: u32) -> Message<'_> {
    let mut header = [0; STATISTICS_HEADER_LEN];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let wanted = 1_u32 << (IFLA_STATS_LINK_64 - 1);
    header[8..].copy_from_slice(&wanted.to_ne_bytes());
    let mut message = Message::new(buffer, RTM_GETSTATS, 0);
    message.put(&header);
    message
}

/// `struct ifinfomsg`: family, padding, type, index, flags, mask of changed flags.
fn header(index: u32, flags: u32, change: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::super::message::native;
    use super::*;

    #[test]
    fn a_link_is_read_with_its_alias_and_kind() {
        let payload = native(
            "=00000100 00000007 00010043 00000000 000d 0003 =6c672d6461746130 =00000000 \
             0008 0004 0000058c 000e 0014 =6c697370677561726400 =0000 \
             0014 0012 000e 0001 =776972656775617264 =00 =0000",
        );
        let link = Link::parse(&payload).expect("a link");
        assert_eq!((link.index, link.mtu), (7, 1420));
        assert_eq!((link.name.as_str(), link.is_up()), ("lg-data0", true));
        assert_eq!(link.alias.expect("an alias"), "lispguard");
        assert_eq!(link.kind.expect("a kind"), "wireguard");
    }

    #[test]
    fn statistics_are_asked_for_and_read() {
        let mut buffer = [0xaa; 64];
        let mut message = statistics_message(&mut buffer, 7);
        let expected = native("0000001c 005e 0005 00000003 00000000 =00000000 00000007 00000001");
        assert_eq!(message.finish(5, 3), Ok(&expected[..]));
        let mut payload = native("=00000000 00000007 00000001 0004 0000 0024 0001");
        for number in 1_u64..=4 {
            payload.extend((number << 40 | number).to_ne_bytes());
        }
        let number = |number: u64| number << 40 | number;
        let expected = LinkStatistics {
            rx_packets: number(1),
            tx_packets: number(2),
            rx_octets: number(3),
            tx_octets: number(4),
        };
        assert_eq!(LinkStatistics::parse(&payload), Some(expected));
        for len in 0..payload.len() {
            assert_eq!(LinkStatistics::parse(&payload[..len]), None, "{len} octets");
        }
    }
}
