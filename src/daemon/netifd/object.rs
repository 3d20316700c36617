//! Our object on the bus: where its publication stands, and who calls it.

use control::Instant;
use heapless::Deque;
use ubus::{Client, Fields, Invocation, ObjectId, Request, Status};

use super::asked::Asked;
use super::back_off::BackOff;
use super::failure::Failure;
use crate::bus::call::{Call, METHODS, PATH};

/// Calls that wait to be answered at most; more are turned away.
const MAX_CALLS: usize = 8;

#[derive(Debug, Clone, Copy)]
enum Stage {
    Absent { retry_at: Option<Instant> },
    Adding { asked: Asked, object: Option<ObjectId> },
    Published { object: ObjectId, has_subscribers: bool },
}

/// The object, on one connection after the other.
#[derive(Debug)]
pub(super) struct Object {
    stage: Stage,
    back_off: BackOff,
    calls: Deque<(Invocation, Call), MAX_CALLS>,
}

impl Object {
    pub(super) fn new() -> Self {
        let stage = Stage::Absent { retry_at: None };
        Self { stage, back_off: BackOff::default(), calls: Deque::new() }
    }

    /// The number that ubusd gave it.
    pub(super) fn id(&self) -> Option<ObjectId> {
        match self.stage {
            Stage::Published { object, .. } => Some(object),
            Stage::Absent { .. } | Stage::Adding { .. } => None,
        }
    }

    /// The number, when somebody hears its notifications.
    pub(super) fn heard(&self) -> Option<ObjectId> {
        match self.stage {
            Stage::Published { object, has_subscribers: true } => Some(object),
            _ => None,
        }
    }

    pub(super) fn publish<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        client: &mut Client<B>,
        now: Instant,
    ) -> Result<(), Failure> {
        let asked = Asked::new(client.publish(PATH, &METHODS), now)?;
        self.stage = Stage::Adding { asked, object: None };
        Ok(())
    }

    pub(super) fn handle_object(&mut self, request: Request, found: ObjectId) {
        if let Stage::Adding { asked, object } = &mut self.stage
            && asked.request == request
        {
            *object = Some(found);
        }
    }

    pub(super) fn handle_completed(&mut self, request: Request, status: Status, now: Instant) {
        let Stage::Adding { asked, object } = self.stage else { return };
        if asked.request != request {
            return;
        }
        // A daemon that is about to end may still have the path, or the access control is to come.
        self.stage = match object.filter(|_| status == Status::Ok) {
            Some(object) => {
                self.back_off.reset();
                Stage::Published { object, has_subscribers: false }
            }
            None => Stage::Absent { retry_at: Some(now + self.back_off.pause()) },
        };
    }

    pub(super) fn handle_subscribers(&mut self, ours: ObjectId, is_active: bool) {
        if let Stage::Published { object, has_subscribers } = &mut self.stage
            && *object == ours
        {
            *has_subscribers = is_active;
        }
    }

    /// Keeps a call until it is answered; what is answered at once with a status is returned.
    pub(super) fn handle_call(
        &mut self,
        invocation: &Invocation,
        method: &str,
        fields: Fields<'_>,
    ) -> Result<(), Status> {
        let call = Call::parse(method, fields)?;
        self.calls.push_back((*invocation, call)).map_err(|_| Status::NoMemory)
    }

    pub(super) fn poll_call(&mut self) -> Option<(Invocation, Call)> {
        self.calls.pop_front()
    }

    /// When it is to be tried again to publish it.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Absent { retry_at } => retry_at,
            _ => None,
        }
    }

    /// When ubusd must have answered.
    pub(super) fn answer_until(&self) -> Option<Instant> {
        match self.stage {
            Stage::Adding { asked, .. } => Some(asked.until),
            _ => None,
        }
    }
}
