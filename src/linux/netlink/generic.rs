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
        let mut message =
            generic_message(&mut buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_VERSION);
        message.attribute_text(CTRL_ATTR_FAMILY_NAME, name);
        let mut found = None;
        self.ask(message, |part| found = found.or(family_id(part.payload)))?;
        found.ok_or(Error::Malformed)
    }
}

fn family_id(payload: &[u8]) -> Option<u16> {
    generic_attributes(payload).find_kind(CTRL_ATTR_FAMILY_ID)?.as_u16()
}
