//! Generic netlink: kernel families that have a name and a number given at run time.

use super::REQUEST_LEN;
use super::abi::{
    CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_CMD_GETFAMILY, CTRL_VERSION, GENL_ID_CTRL,
};
use super::attribute::Attributes;
use super::error::Error;
use super::message::Message;
use super::socket::Socket;

/// Octets of `struct genlmsghdr`.
const HEADER_LEN: usize = 4;

/// Starts a request to a family: its number, the command and the version of its protocol.
#[must_use]
pub fn generic_message(buffer: &mut [u8], family: u16, command: u8, version: u8) -> Message<'_> {
    let mut message = Message::new(buffer, family, 0);
    message.put(&[command, version, 0, 0]);
    message
}

/// The attributes of a family's answer, which follow its header.
#[must_use]
pub fn generic_attributes(payload: &[u8]) -> Attributes<'_> {
    Attributes::new(payload.get(HEADER_LEN..).unwrap_or_default())
}

impl Socket {
    /// The number of the generic family of a name; the kernel loads its module if it has one.
    ///
    /// # Errors
    /// As `request`; `is_missing` when the kernel has no such family.
    pub fn generic_family(&mut self, name: &str) -> Result<u16, Error> {
        let mut buffer = [0; REQUEST_LEN];
        let message = family_message(&mut buffer, name);
        let mut found = None;
        self.ask(message, |part| found = found.or(family_id(part.payload)))?;
        found.ok_or(Error::Malformed)
    }
}

pub(super) fn family_message<'b>(buffer: &'b mut [u8], name: &str) -> Message<'b> {
    let mut message = generic_message(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_VERSION);
    message.attribute_text(CTRL_ATTR_FAMILY_NAME, name);
    message
}

pub(super) fn family_id(payload: &[u8]) -> Option<u16> {
    generic_attributes(payload).find_kind(CTRL_ATTR_FAMILY_ID)?.as_u16()
}

#[cfg(test)]
mod tests {
    use super::super::message::native;
    use super::*;

    #[test]
    fn a_family_is_asked_for_by_its_name() {
        let mut buffer = [0xaa; 64];
        let mut message = family_message(&mut buffer, "wireguard");
        let expected = native(
            "00000024 0010 0005 00000003 00000000 =03010000 000e 0002 =7769726567756172 =6400 =0000",
        );
        assert_eq!(message.finish(5, 3), Ok(&expected[..]));
        let answer =
            native("=01020000 000e 0002 =7769726567756172 =6400 =0000 0006 0001 001d =0000");
        assert_eq!(family_id(&answer), Some(29));
        for len in 0..answer.len() - 2 {
            assert_eq!(family_id(&answer[..len]), None, "{len} octets");
        }
    }
}
