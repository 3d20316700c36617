//! LISP control messages as bytes: RFC 9301, RFC 8060 addresses, RFC 9306 vendor addresses and the PubSub bits of RFC 9437.
//!
//! Each message has a `Packet` (a view on octets) and a `Repr` (its fields). A parsed `Repr` borrows
//! from the message, and emitting it gives the same octets back, reserved bits of the message header
//! excepted: those are sent as zero.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[macro_use]
mod macros;
mod cursor;

pub mod address;
pub mod address_buffer;
pub mod auth;
pub mod eid_record;
pub mod encapsulated_control;
pub mod error;
pub mod identifier;
pub mod info;
pub mod lcaf;
pub mod map_notify;
pub mod map_register;
pub mod map_reply;
pub mod map_request;
pub mod message;
pub mod record;
pub mod records_writer;
pub mod security_key;

pub use address::{Address, Addresses};
pub use address_buffer::AddressBuffer;
pub use auth::{AuthError, MacLength, SentAuthentication};
pub use eid_record::{EidRecord, EidRecords};
pub use error::Error;
pub use identifier::{
    Action, AlgorithmId, InstanceId, KeyId, MapVersion, Nonce, SiteId, XtrId, XtrIdentity,
};
pub use lcaf::{Lcaf, LcafBody, LcafType};
pub use message::{Message, MessageType, message_type};
pub use record::{Locator, Locators, Record, Records};
pub use records_writer::RecordsWriter;
pub use security_key::{DataKey, SecurityKey};

pub use encapsulated_control::{Packet as EncapsulatedControlPacket, Repr as EncapsulatedControl};
pub use info::{Packet as InfoPacket, Repr as Info};
pub use map_notify::{Packet as MapNotifyPacket, Repr as MapNotify};
pub use map_register::{Packet as MapRegisterPacket, Repr as MapRegister};
pub use map_reply::{Packet as MapReplyPacket, Repr as MapReply};
pub use map_request::{Packet as MapRequestPacket, Repr as MapRequest};

/// UDP port of the LISP control plane (RFC 9301 section 5).
pub const CONTROL_PORT: u16 = 4342;

#[cfg(test)]
mod testing;
