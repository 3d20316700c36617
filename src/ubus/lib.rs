//! OpenWrt's bus as bytes and as a client's state machine; whoever uses it moves the octets.
//!
//! ubusd is spoken to through a Unix stream socket, in the order of octets of the network on every
//! machine. A [`Client`] takes what was received, in any pieces, tells it as an [`Event`], and
//! gives what is to be sent. It keeps to the two buffers it was given.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod blob;
mod blobmsg;
mod client;
mod error;
mod message;
mod receiver;
mod signature;
#[cfg(test)]
mod tests;
mod transmitter;
mod writer;

pub use blob::{Attribute, Attributes, MAX_ATTRIBUTE_LEN};
pub use blobmsg::{Field, Fields, Value};
pub use client::{Client, Event, Invocation, MAX_REQUESTS, Request};
pub use error::Error;
pub use message::{
    HEADER_LEN, Header, MAX_MESSAGE_LEN, Message, MessageType, ObjectId, SYSTEM_OBJECT, Status,
};
pub use signature::{Method, Type};
pub use writer::Writer;
