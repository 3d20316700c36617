//! A message: a header of eight octets, then one attribute that holds those of the message.

use core::fmt;

use crate::blob::{Attribute, Attributes, split_word};
use crate::{Error, Fields};

/// Octets before a message's attributes: the header and the word of the attribute around them.
pub const HEADER_LEN: usize = 12;
/// Octets of the header proper, which the length of a message does not count.
pub(crate) const PREFIX_LEN: usize = 8;
/// Longest message, from that word on, in octets.
pub const MAX_MESSAGE_LEN: usize = 1 << 20;
/// The object of ubusd itself, which takes registrations for events.
pub const SYSTEM_OBJECT: ObjectId = ObjectId(1);

/// Identifiers of attributes.
pub(crate) mod attribute {
    pub(crate) const STATUS: u8 = 1;
    pub(crate) const OBJPATH: u8 = 2;
    pub(crate) const OBJID: u8 = 3;
    pub(crate) const METHOD: u8 = 4;
    pub(crate) const SIGNATURE: u8 = 6;
    pub(crate) const DATA: u8 = 7;
    pub(crate) const TARGET: u8 = 8;
    pub(crate) const ACTIVE: u8 = 9;
    pub(crate) const NO_REPLY: u8 = 10;
}

/// An object as ubusd numbers it; a number is given anew when the object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId(pub u32);

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// ubusd greets a client.
    Hello,
    /// A request is over.
    Status,
    /// A part of the answer to a request.
    Data,
    /// Asks for a sign of life.
    Ping,
    /// Asks for objects by path.
    Lookup,
    /// Calls a method, or tells a notification or an event.
    Invoke,
    /// Adds an object.
    AddObject,
    /// Removes an object.
    RemoveObject,
    /// Asks for an object's notifications.
    Subscribe,
    /// Ends that; ubusd says so when the object is gone.
    Unsubscribe,
    /// Notifies subscribers, or tells whether there are any.
    Notify,
    /// Mirrors what passes the bus.
    Monitor,
    /// Something newer.
    Unknown(u8),
}

impl MessageType {
    const ALL: [MessageType; 12] = [
        Self::Hello,
        Self::Status,
        Self::Data,
        Self::Ping,
        Self::Lookup,
        Self::Invoke,
        Self::AddObject,
        Self::RemoveObject,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Notify,
        Self::Monitor,
    ];

    fn from_octet(octet: u8) -> Self {
        Self::ALL.get(usize::from(octet)).copied().unwrap_or(Self::Unknown(octet))
    }

    fn octet(self) -> u8 {
        match self {
            Self::Unknown(octet) => octet,
            known => Self::ALL.iter().position(|one| *one == known).unwrap_or_default() as u8,
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It was done.
    Ok,
    /// ubusd does not know such requests.
    InvalidCommand,
    /// Something in it is missing or wrong.
    InvalidArgument,
    /// The object has no such method.
    MethodNotFound,
    /// There is no such object, or none that may be seen.
    NotFound,
    /// There is nothing to tell.
    NoData,
    /// That is not allowed.
    PermissionDenied,
    /// It took too long.
    Timeout,
    /// That cannot be done.
    NotSupported,
    /// Another error.
    UnknownError,
    /// The other side is gone.
    ConnectionFailed,
    /// Out of memory.
    NoMemory,
    /// What was to be parsed could not be.
    ParseError,
    /// An error of the system.
    SystemError,
    /// Something newer.
    Other(u32),
}

impl Status {
    const ALL: [Status; 14] = [
        Self::Ok,
        Self::InvalidCommand,
        Self::InvalidArgument,
        Self::MethodNotFound,
        Self::NotFound,
        Self::NoData,
        Self::PermissionDenied,
        Self::Timeout,
        Self::NotSupported,
        Self::UnknownError,
        Self::ConnectionFailed,
        Self::NoMemory,
        Self::ParseError,
        Self::SystemError,
    ];

    fn from_number(number: u32) -> Self {
        let known = usize::try_from(number).ok().and_then(|index| Self::ALL.get(index));
        known.copied().unwrap_or(Self::Other(number))
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Other(number) => number,
            known => Self::ALL.iter().position(|one| *one == known).unwrap_or_default() as u32,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "done",
            Self::InvalidCommand => "unknown command",
            Self::InvalidArgument => "invalid argument",
            Self::MethodNotFound => "no such method",
            Self::NotFound => "not found",
            Self::NoData => "no data",
            Self::PermissionDenied => "permission denied",
            Self::Timeout => "timeout",
            Self::NotSupported => "not supported",
            Self::UnknownError => "unknown error",
            Self::ConnectionFailed => "connection failed",
            Self::NoMemory => "out of memory",
            Self::ParseError => "parse error",
            Self::SystemError => "system error",
            Self::Other(number) => return write!(f, "status {number}"),
        })
    }
}

/// What stands before a message's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the message is for.
    pub message_type: MessageType,
    /// The number of the request that it makes or answers, counted by whoever made it.
    pub sequence: u16,
    /// The client or the object at the other end; zero is ubusd.
    pub peer: u32,
}

impl Header {
    /// The header at the start of octets, and the whole message's length; `None` until the octets
    /// that tell it are there.
    ///
    /// # Errors
    /// When no message can begin like this: what follows it cannot be found.
    pub fn parse(octets: &[u8]) -> Result<Option<(Header, usize)>, Error> {
        let Some(&[version, message_type, s0, s1, p0, p1, p2, p3, w0, w1, w2, w3]) =
            octets.first_chunk::<HEADER_LEN>()
        else {
            return Ok(None);
        };
        let word = u32::from_be_bytes([w0, w1, w2, w3]);
        let (_, _, len) = split_word(word);
        if version != 0 {
            return Err(Error::Version(version));
        }
        if !(HEADER_LEN - PREFIX_LEN..=MAX_MESSAGE_LEN).contains(&len) {
            return Err(Error::Length(len as u32));
        }
        let message_type = MessageType::from_octet(message_type);
        let (sequence, peer) = (u16::from_be_bytes([s0, s1]), u32::from_be_bytes([p0, p1, p2, p3]));
        Ok(Some((Header { message_type, sequence, peer }, PREFIX_LEN + len)))
    }

    /// The octets before a message's length.
    pub(crate) fn prefix(&self) -> [u8; PREFIX_LEN] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [p0, p1, p2, p3] = self.peer.to_be_bytes();
        [0, self.message_type.octet(), s0, s1, p0, p1, p2, p3]
    }
}

/// A whole message, with those of its attributes that a client looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Message<'a> {
    /// What stands before the attributes.
    pub header: Header,
    /// How a request ended.
    pub status: Option<Status>,
    /// An object's path.
    pub path: Option<&'a str>,
    /// The object that is meant.
    pub object: Option<ObjectId>,
    /// The method to call, or what is told.
    pub method: Option<&'a str>,
    /// What goes with it.
    pub data: Option<Fields<'a>>,
    /// The object subscribed to.
    pub target: Option<ObjectId>,
    /// Whether an object has subscribers.
    pub is_active: Option<bool>,
    /// The caller waits for no answer.
    pub is_unanswered: bool,
}

impl<'a> Message<'a> {
    /// A message from exactly its octets. Of an attribute that stands there twice, the last counts.
    ///
    /// # Errors
    /// When it is not one whole message, or an attribute is malformed.
    pub fn parse(octets: &'a [u8]) -> Result<Self, Error> {
        let (header, len) = Header::parse(octets)?.ok_or(Error::Truncated)?;
        if octets.len() != len {
            return Err(Error::Truncated);
        }
        let mut message = Self {
            header,
            status: None,
            path: None,
            object: None,
            method: None,
            data: None,
            target: None,
            is_active: None,
            is_unanswered: false,
        };
        // What is mirrored has attributes of its own.
        if header.message_type != MessageType::Monitor {
            for attribute in Attributes::new(&octets[HEADER_LEN..]) {
                message.take(&attribute?)?;
            }
        }
        Ok(message)
    }

    fn take(&mut self, attribute: &Attribute<'a>) -> Result<(), Error> {
        match attribute.id {
            attribute::STATUS => self.status = Some(Status::from_number(attribute.u32()?)),
            attribute::OBJPATH => self.path = Some(attribute.text()?),
            attribute::OBJID => self.object = Some(ObjectId(attribute.u32()?)),
            attribute::METHOD => self.method = Some(attribute.text()?),
            attribute::DATA => self.data = Some(Fields::new(attribute.data)),
            attribute::TARGET => self.target = Some(ObjectId(attribute.u32()?)),
            attribute::ACTIVE => self.is_active = Some(attribute.boolean()?),
            attribute::NO_REPLY => self.is_unanswered = attribute.boolean()?,
            _ => {}
        }
        Ok(())
    }
}
