//! A client of the bus: what it asks, what comes of it, and what it is told.

use crate::message::{Message, attribute};
use crate::receiver::{Received, Receiver};
use crate::transmitter::Transmitter;
use crate::{Error, Fields, Header, MessageType, Method, ObjectId, SYSTEM_OBJECT, Status, Writer};

/// Requests that wait for their end at most.
pub const MAX_REQUESTS: usize = 16;

/// A request that was made, until the [`Event::Completed`] that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request(u16);

/// A call of a method of an object of ours, or a notification or an event that is told to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invocation {
    /// Our object.
    pub object: ObjectId,
    /// The client that called; zero is ubusd, which tells events.
    pub caller: u32,
    /// The caller waits for no [`Client::finish`].
    pub is_unanswered: bool,
    sequence: u16,
}

impl Invocation {
    /// The call of an object that a message is, of which only its header was taken.
    pub const fn new(object: ObjectId, header: &Header) -> Self {
        let Header { sequence, peer, .. } = *header;
        Self { object, caller: peer, is_unanswered: false, sequence }
    }
}

/// What a message means to this client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// ubusd greets: requests can be made.
    Connected,
    /// An object that was looked up or added.
    Object {
        /// The request it belongs to.
        request: Request,
        /// Its number.
        object: ObjectId,
        /// Its path; an object for subscriptions has none.
        path: Option<&'a str>,
    },
    /// A part of what a method answers.
    Data {
        /// The request it belongs to.
        request: Request,
        /// What it answers.
        fields: Fields<'a>,
    },
    /// A request is over.
    Completed {
        /// The request.
        request: Request,
        /// How it ended.
        status: Status,
    },
    /// An object of ours was called or told something.
    Invoked {
        /// By whom, to be given to [`Client::finish`].
        invocation: Invocation,
        /// The method; the name of the notification or of the event.
        method: &'a str,
        /// What goes with it.
        fields: Fields<'a>,
    },
    /// An object of ours has its first subscriber, or lost its last one.
    Subscribers {
        /// Our object.
        object: ObjectId,
        /// It has some.
        is_active: bool,
    },
    /// An object that was subscribed to is gone.
    Unsubscribed {
        /// The object that is gone.
        target: ObjectId,
    },
    /// A message that belongs to nothing we asked.
    Unexpected(MessageType),
    /// A message that is longer than the buffer: the rest of it is skipped.
    TooLong(Header),
    /// A message that is malformed; those after it are not touched by that.
    Malformed(Error),
}

/// What the answers to a request are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    Objects,
    Fields,
    None,
}

/// The client. It holds no socket: the octets received go to [`space`](Client::space), and what
/// stands at [`waiting`](Client::waiting) is to be sent.
#[derive(Debug)]
pub struct Client<B> {
    receiver: Receiver<B>,
    transmitter: Transmitter<B>,
    requests: [Option<(Request, Answers)>; MAX_REQUESTS],
    sequence: u16,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Client<B> {
    /// A client before it is connected, with the buffers it may use. A message longer than
    /// `receive` is told by its header and skipped; a request for which `transmit` has no room is refused.
    pub const fn new(receive: B, transmit: B) -> Self {
        Self {
            receiver: Receiver::new(receive),
            transmitter: Transmitter::new(transmit),
            requests: [None; MAX_REQUESTS],
            sequence: 0,
        }
    }

    /// Begins anew, for another connection.
    pub const fn reset(&mut self) {
        self.receiver.reset();
        self.transmitter.reset();
        self.requests = [None; MAX_REQUESTS];
        self.sequence = 0;
    }

    /// Where octets that are received go; never empty once `poll_event` had nothing more.
    pub fn space(&mut self) -> &mut [u8] {
        self.receiver.space()
    }

    /// The first `len` octets of the space were filled.
    pub fn handle_received(&mut self, len: usize) {
        self.receiver.handle_received(len);
    }

    /// What the next whole message means; `None` until more is received.
    ///
    /// # Errors
    /// When the stream makes no sense any more: the connection is to be closed.
    pub fn poll_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        Ok(self.receiver.poll_message()?.map(|received| match received {
            Received::TooLong(header) => Event::TooLong(header),
            Received::Message(octets) => match Message::parse(octets) {
                Ok(message) => event(&mut self.requests, &message),
                Err(error) => Event::Malformed(error),
            },
        }))
    }

    /// What is to be sent next.
    pub fn waiting(&self) -> &[u8] {
        self.transmitter.waiting()
    }

    /// The first `len` octets of that were sent.
    pub fn handle_transmitted(&mut self, len: usize) {
        self.transmitter.handle_transmitted(len);
    }

    /// Adds an object without a path, to which subscriptions and events are told. The answer is
    /// one [`Event::Object`].
    ///
    /// # Errors
    /// When there is no room for the request.
    pub fn add_object(&mut self) -> Result<Request, Error> {
        self.request(MessageType::AddObject, 0, Answers::Objects, &mut |_| {})
    }

    /// Publishes an object that others can call. The answer is one [`Event::Object`].
    ///
    /// # Errors
    /// When there is no room for the request.
    pub fn publish(&mut self, path: &str, methods: &[Method<'_>]) -> Result<Request, Error> {
        self.request(MessageType::AddObject, 0, Answers::Objects, &mut |writer| {
            writer.text(attribute::OBJPATH, path);
            writer.attribute(attribute::SIGNATURE, &mut |writer| {
                for method in methods {
                    writer.table(method.name, &mut |writer| {
                        for (name, type_) in method.arguments {
                            writer.i32(name, type_.number());
                        }
                    });
                }
            });
        })
    }

    /// Asks for the object at a path, or for all whose path begins with what stands before a `*`.
    /// The answer is an [`Event::Object`] for each.
    ///
    /// # Errors
    /// When there is no room for the request.
    pub fn lookup(&mut self, path: &str) -> Result<Request, Error> {
        self.request(MessageType::Lookup, 0, Answers::Objects, &mut |writer| {
            writer.text(attribute::OBJPATH, path);
        })
    }

    /// Calls a method with the arguments that `fill` writes. The answer is any number of
    /// [`Event::Data`].
    ///
    /// # Errors
    /// When there is no room for the request.
    pub fn invoke(
        &mut self,
        object: ObjectId,
        method: &str,
        fill: &mut dyn FnMut(&mut Writer<'_>),
    ) -> Result<Request, Error> {
        self.request(MessageType::Invoke, object.0, Answers::Fields, &mut |writer| {
            writer.u32(attribute::OBJID, object.0);
            writer.text(attribute::METHOD, method);
            writer.attribute(attribute::DATA, fill);
        })
    }

    /// Asks that an object of ours is told the notifications of another.
    ///
    /// # Errors
    /// When there is no room for the request.
    pub fn subscribe(&mut self, object: ObjectId, target: ObjectId) -> Result<Request, Error> {
        self.request(MessageType::Subscribe, 0, Answers::None, &mut |writer| {
            writer.u32(attribute::OBJID, object.0);
            writer.u32(attribute::TARGET, target.0);
        })
    }

    /// Asks that an object of ours is told events of a name, or of all names that begin with what
    /// stands before a `*`.
    ///
    /// # Errors
    /// When there is no room for the request.
    pub fn register(&mut self, object: ObjectId, pattern: &str) -> Result<Request, Error> {
        self.invoke(SYSTEM_OBJECT, "register", &mut |writer| {
            writer.i32("object", object.0.cast_signed());
            writer.string("pattern", pattern);
        })
    }

    /// Answers a call of an object of ours with the fields that `fill` writes, any number of times
    /// before [`Client::finish`]; nothing is sent to a caller that waits for no answer.
    ///
    /// # Errors
    /// When there is no room for the message.
    pub fn reply(
        &mut self,
        invocation: &Invocation,
        fill: &mut dyn FnMut(&mut Writer<'_>),
    ) -> Result<(), Error> {
        let Invocation { object, caller, is_unanswered, sequence } = *invocation;
        if is_unanswered {
            return Ok(());
        }
        let header = Header { message_type: MessageType::Data, sequence, peer: caller };
        self.transmitter.message(header, &mut |writer| {
            writer.u32(attribute::OBJID, object.0);
            writer.attribute(attribute::DATA, fill);
        })
    }

    /// Tells the subscribers of an object of ours something; nobody answers to that.
    ///
    /// # Errors
    /// When there is no room for the message.
    pub fn notify(
        &mut self,
        object: ObjectId,
        name: &str,
        fill: &mut dyn FnMut(&mut Writer<'_>),
    ) -> Result<(), Error> {
        let sequence = self.next_sequence();
        let header = Header { message_type: MessageType::Notify, sequence, peer: object.0 };
        self.transmitter.message(header, &mut |writer| {
            writer.u32(attribute::OBJID, object.0);
            writer.text(attribute::METHOD, name);
            writer.octet(attribute::NO_REPLY, 1);
            writer.attribute(attribute::DATA, fill);
        })?;
        self.sequence = sequence;
        Ok(())
    }

    /// Ends a call of an object of ours; nothing is sent to a caller that waits for no answer.
    ///
    /// # Errors
    /// When there is no room for the message.
    pub fn finish(&mut self, invocation: &Invocation, status: Status) -> Result<(), Error> {
        let Invocation { object, caller, is_unanswered, sequence } = *invocation;
        if is_unanswered {
            return Ok(());
        }
        let header = Header { message_type: MessageType::Status, sequence, peer: caller };
        self.transmitter.message(header, &mut |writer| {
            writer.u32(attribute::STATUS, status.number());
            writer.u32(attribute::OBJID, object.0);
        })
    }

    /// Waits no more for the end of a request: what still comes of it is unexpected.
    pub fn forget(&mut self, request: Request) {
        for slot in &mut self.requests {
            if slot.is_some_and(|(one, _)| one == request) {
                *slot = None;
            }
        }
    }

    fn request(
        &mut self,
        message_type: MessageType,
        peer: u32,
        answers: Answers,
        fill: &mut dyn FnMut(&mut Writer<'_>),
    ) -> Result<Request, Error> {
        let sequence = self.next_sequence();
        let free = self.requests.iter_mut().find(|slot| slot.is_none());
        let slot = free.ok_or(Error::TooManyRequests)?;
        let header = Header { message_type, sequence, peer };
        self.transmitter.message(header, fill)?;
        self.sequence = sequence;
        *slot = Some((Request(sequence), answers));
        Ok(Request(sequence))
    }

    /// The next number that no request in flight has.
    fn next_sequence(&self) -> u16 {
        let mut sequence = self.sequence.wrapping_add(1);
        while self.requests.iter().flatten().any(|(request, _)| request.0 == sequence) {
            sequence = sequence.wrapping_add(1);
        }
        sequence
    }
}

/// What a message means while these requests are in flight; a status ends its own.
fn event<'a>(
    requests: &mut [Option<(Request, Answers)>; MAX_REQUESTS],
    message: &Message<'a>,
) -> Event<'a> {
    let Header { message_type, sequence, .. } = message.header;
    let in_flight = requests
        .iter_mut()
        .find_map(|slot| slot.filter(|(request, _)| request.0 == sequence).map(|one| (slot, one)));
    let unexpected = Event::Unexpected(message_type);
    match (message_type, in_flight) {
        (MessageType::Hello, _) => Event::Connected,
        (MessageType::Data, Some((_, (request, answers)))) => {
            match (answers, message.object, message.data) {
                (Answers::Objects, Some(object), _) => {
                    Event::Object { request, object, path: message.path }
                }
                (Answers::Fields, _, Some(fields)) => Event::Data { request, fields },
                _ => unexpected,
            }
        }
        (MessageType::Status, Some((slot, (request, _)))) => match message.status {
            Some(status) => {
                *slot = None;
                Event::Completed { request, status }
            }
            None => unexpected,
        },
        (MessageType::Invoke, _) => match (message.object, message.method) {
            (Some(object), Some(method)) => {
                let is_unanswered = message.is_unanswered;
                let invocation =
                    Invocation { is_unanswered, ..Invocation::new(object, &message.header) };
                Event::Invoked { invocation, method, fields: message.data.unwrap_or_default() }
            }
            _ => unexpected,
        },
        (MessageType::Notify, _) => match (message.object, message.is_active) {
            (Some(object), Some(is_active)) => Event::Subscribers { object, is_active },
            _ => unexpected,
        },
        (MessageType::Unsubscribe, _) => {
            message.target.map_or(unexpected, |target| Event::Unsubscribed { target })
        }
        _ => unexpected,
    }
}
