//! What is asked on one connection to ubusd, in which order, and what follows from the answers.

use control::{Duration, Instant, earliest};
use ubus::{Client, Event, Invocation, MessageType, ObjectId, Request, Status};

use super::asked::{ANSWER_TIME, Asked};
use super::back_off::BackOff;
use super::counters::Counters;
use super::failure::Failure;
use super::interfaces::Interfaces;
use super::news::{News, OBJECT_ADDED, PATHS};
use super::object::Object;
use super::procd::Procd;
use super::subscriptions::Subscription;

/// Octets of the longest message that is taken: 64 interfaces with 1.5 kilobytes each.
const RECEIVE_LEN: usize = 96 << 10;
/// Octets that wait to be sent at most: the longest answer that is told.
const TRANSMIT_LEN: usize = 128 << 10;
/// Questions to netifd about our interfaces that wait for their answer at most.
const MAX_ORDERS: usize = 8;
/// The least time between two questions for all interfaces.
const DUMP_GAP: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// ubusd has not greeted.
    Connected { until: Instant },
    /// The object to which everything is told is being made.
    Adding { asked: Asked, object: Option<ObjectId> },
    /// It is made.
    Open { object: ObjectId, registration: Option<Asked> },
}

/// Where the question for all interfaces stands.
#[derive(Debug, Clone, Copy)]
enum Dump {
    Idle,
    Wanted { at: Instant },
    Asked { asked: Asked, is_stale: bool },
}

/// One connection after the other; what was learnt and counted stays.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client<Box<[u8]>>,
    pub(super) stage: Stage,
    pub(super) subscriptions: [Subscription; PATHS.len()],
    pub(super) look_ups: [BackOff; PATHS.len()],
    /// Whom to ask for all interfaces.
    pub(super) source: Option<ObjectId>,
    dump: Dump,
    pub(super) dump_failures: BackOff,
    next_dump_at: Instant,
    /// All interfaces were told on this connection.
    pub(super) is_whole: bool,
    pub(super) interfaces: Interfaces,
    /// What others call.
    pub(super) object: Object,
    /// Interfaces of ours were asked to come back on this connection.
    pub(super) is_renewed: bool,
    pub(super) orders: heapless::Vec<Asked, MAX_ORDERS>,
    pub(super) procd: Procd,
    pub(super) counters: Counters,
}

impl Session {
    pub(super) fn new() -> Self {
        let [receive, transmit] =
            [RECEIVE_LEN, TRANSMIT_LEN].map(|len| vec![0; len].into_boxed_slice());
        Self {
            client: Client::new(receive, transmit),
            stage: Stage::Connected { until: Instant::ZERO },
            subscriptions: [Subscription::Absent { retry_at: None }; PATHS.len()],
            look_ups: Default::default(),
            source: None,
            dump: Dump::Idle,
            dump_failures: BackOff::default(),
            next_dump_at: Instant::ZERO,
            is_whole: false,
            interfaces: Interfaces::new(),
            object: Object::new(),
            is_renewed: false,
            orders: heapless::Vec::new(),
            procd: Procd::Idle,
            counters: Counters::default(),
        }
    }

    /// Begins anew, for another connection.
    pub(super) fn reset(&mut self, now: Instant) {
        self.client.reset();
        self.stage = Stage::Connected { until: now + ANSWER_TIME };
        self.subscriptions = [Subscription::Absent { retry_at: None }; PATHS.len()];
        self.look_ups = Default::default();
        self.source = None;
        self.dump = Dump::Idle;
        self.dump_failures.reset();
        self.is_whole = false;
        self.object = Object::new();
        self.is_renewed = false;
        self.orders.clear();
        if !matches!(self.procd, Procd::Idle) {
            self.procd = Procd::Ended(Status::ConnectionFailed);
        }
    }

    pub(super) fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// What this counts of all that is counted.
    pub(super) fn counters(&self) -> Counters {
        Counters { interfaces_refused: self.interfaces.refused(), ..self.counters }
    }

    /// True once ubusd gave us an object.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// True once all interfaces were told on this connection.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(super) fn space(&mut self) -> &mut [u8] {
        self.client.space()
    }

    pub(super) fn waiting(&self) -> &[u8] {
        self.client.waiting()
    }

    pub(super) fn handle_transmitted(&mut self, len: usize) {
        self.client.handle_transmitted(len);
    }

    /// Octets were received; whether a device of an interface changed.
    pub(super) fn handle_received(&mut self, len: usize, now: Instant) -> Result<bool, Failure> {
        self.client.handle_received(len);
        let mut is_changed = false;
        loop {
            let event = self.client.poll_event().map_err(|error| {
                self.counters.nonsense += 1;
                Failure::Nonsense(error)
            })?;
            match event {
                None => return Ok(is_changed),
                Some(Event::Connected) => self.handle_connected(now)?,
                Some(Event::Object { request, object, .. }) => self.handle_object(request, object),
                Some(Event::Data { request, fields }) => match self.dump {
                    Dump::Asked { asked, .. } if asked.request == request => {
                        self.counters.malformed += u64::from(self.interfaces.take(fields).is_err());
                    }
                    _ => self.counters.unexpected += 1,
                },
                Some(Event::Completed { request, status }) => {
                    is_changed |= self.handle_completed(request, status, now)?;
                }
                Some(Event::Invoked { invocation, method, fields })
                    if self.object.id() == Some(invocation.object) =>
                {
                    self.counters.calls += 1;
                    if let Err(status) = self.object.handle_call(&invocation, method, fields) {
                        self.counters.calls_refused += 1;
                        self.answer(&invocation, status, &mut |_| {});
                    }
                }
                Some(Event::Invoked { invocation, method, fields }) => {
                    let news = News::new(&invocation, method, fields);
                    self.handle_invoked(&invocation, news, now)?;
                }
                Some(Event::Subscribers { object, is_active }) => {
                    self.object.handle_subscribers(object, is_active);
                }
                Some(Event::Unsubscribed { target }) => self.handle_unsubscribed(target, now),
                Some(Event::TooLong(header)) => {
                    self.counters.oversized += 1;
                    if let (MessageType::Invoke, Some(object)) =
                        (header.message_type, self.object.id())
                        && header.peer != 0
                    {
                        self.counters.calls += 1;
                        self.counters.calls_refused += 1;
                        let invocation = Invocation::new(object, &header);
                        self.answer(&invocation, Status::InvalidArgument, &mut |_| {});
                    }
                }
                Some(Event::Unexpected(_)) => self.counters.unexpected += 1,
                Some(Event::Malformed(_)) => self.counters.malformed += 1,
            }
        }
    }

    /// Asks what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        self.give_up_procd(now);
        if self.answer_until().is_some_and(|until| until <= now) {
            self.counters.timeouts += 1;
            return Err(Failure::Timeout);
        }
        for place in 0..PATHS.len() {
            if let Subscription::Absent { retry_at: Some(retry_at) } = self.subscriptions[place]
                && retry_at <= now
            {
                self.look_up(place, now)?;
            }
        }
        if self.object.retry_at().is_some_and(|retry_at| retry_at <= now) {
            self.object.publish(&mut self.client, now)?;
        }
        self.renew(now);
        match (self.dump, self.source) {
            (Dump::Wanted { at }, Some(source)) if at <= now => self.ask_for_all(source, now),
            _ => Ok(()),
        }
    }

    /// When `handle_timeout` is to be called.
    pub(super) fn poll_at(&self) -> Option<Instant> {
        let mut first = earliest(self.answer_until(), self.object.retry_at());
        for subscription in &self.subscriptions {
            if let Subscription::Absent { retry_at } = subscription {
                first = earliest(first, *retry_at);
            }
        }
        match self.dump {
            Dump::Wanted { at } => earliest(first, Some(at)),
            _ => first,
        }
    }

    /// When the first of the answers that are waited for must have come.
    fn answer_until(&self) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Connected { until } => Some(until),
            Stage::Adding { asked, .. } => Some(asked.until),
            Stage::Open { registration, .. } => registration.map(|asked| asked.until),
        };
        let mut first = earliest(stage, self.object.answer_until());
        for subscription in &self.subscriptions {
            if let Subscription::LookingUp { asked, .. } | Subscription::Subscribing { asked, .. } =
                subscription
            {
                first = earliest(first, Some(asked.until));
            }
        }
        for asked in &self.orders {
            first = earliest(first, Some(asked.until));
        }
        first = earliest(first, self.procd.answer_until());
        match self.dump {
            Dump::Asked { asked, .. } => earliest(first, Some(asked.until)),
            _ => first,
        }
    }

    fn handle_connected(&mut self, now: Instant) -> Result<(), Failure> {
        let Stage::Connected { .. } = self.stage else {
            self.counters.unexpected += 1;
            return Ok(());
        };
        let asked = Asked::new(self.client.add_object(), now)?;
        self.stage = Stage::Adding { asked, object: None };
        Ok(())
    }

    fn handle_object(&mut self, request: Request, found: ObjectId) {
        self.object.handle_object(request, found);
        self.handle_service(request, found);
        if let Stage::Adding { asked, object } = &mut self.stage
            && asked.request == request
        {
            *object = Some(found);
        }
        for subscription in &mut self.subscriptions {
            if let Subscription::LookingUp { asked, target } = subscription
                && asked.request == request
            {
                *target = Some(found);
            }
        }
    }

    fn handle_completed(
        &mut self,
        request: Request,
        status: Status,
        now: Instant,
    ) -> Result<bool, Failure> {
        self.counters.refused += u64::from(status != Status::Ok);
        self.object.handle_completed(request, status, now);
        self.orders.retain(|asked| asked.request != request);
        self.handle_procd_completed(request, status, now);
        match &mut self.stage {
            Stage::Adding { asked, object } if asked.request == request => {
                let object = object.filter(|_| status == Status::Ok);
                let object = object.ok_or(Failure::Refused(status))?;
                self.open(object, now)?;
            }
            Stage::Open { registration, .. }
                if registration.is_some_and(|asked| asked.request == request) =>
            {
                // Where we may not be told of new objects, they are looked for again and again.
                *registration = None;
            }
            _ => {}
        }
        for place in 0..PATHS.len() {
            self.handle_subscription_completed(place, request, status, now)?;
        }
        match self.dump {
            Dump::Asked { asked, is_stale } if asked.request == request => {
                Ok(self.finish_dump(status, is_stale, now))
            }
            _ => Ok(false),
        }
    }

    fn open(&mut self, object: ObjectId, now: Instant) -> Result<(), Failure> {
        let registration = Asked::new(self.client.register(object, OBJECT_ADDED), now)?;
        self.stage = Stage::Open { object, registration: Some(registration) };
        (0..PATHS.len()).try_for_each(|place| self.look_up(place, now))?;
        self.object.publish(&mut self.client, now)
    }

    fn handle_invoked(
        &mut self,
        invocation: &Invocation,
        news: News,
        now: Instant,
    ) -> Result<(), Failure> {
        // Nobody waits for an answer to an event.
        if invocation.caller != 0 && self.client.finish(invocation, Status::Ok).is_err() {
            self.counters.unanswered += 1;
        }
        match news {
            News::Added { place, target } => match self.subscriptions[place] {
                Subscription::Absent { .. } => self.look_up(place, now)?,
                Subscription::Active { target: old } if Some(old.0) != target => {
                    self.look_up(place, now)?;
                }
                _ => {}
            },
            News::OtherAdded => {}
            News::Notification => {
                self.counters.notifications += 1;
                self.want_dump(now);
            }
        }
        Ok(())
    }

    fn handle_unsubscribed(&mut self, gone: ObjectId, now: Instant) {
        for place in 0..PATHS.len() {
            if let Subscription::Active { target } = self.subscriptions[place]
                && target == gone
            {
                self.look_up_later(place, now);
            }
        }
        if self.source == Some(gone) {
            self.source = None;
            if let Dump::Asked { asked, .. } = self.dump {
                self.client.forget(asked.request);
            }
            self.dump = Dump::Idle;
            for asked in &self.orders {
                self.client.forget(asked.request);
            }
            self.orders.clear();
        }
    }

    pub(super) fn want_dump(&mut self, now: Instant) {
        if self.source.is_none() {
            return;
        }
        match &mut self.dump {
            Dump::Idle => self.dump = Dump::Wanted { at: self.next_dump_at.max(now) },
            Dump::Wanted { .. } => {}
            Dump::Asked { is_stale, .. } => *is_stale = true,
        }
    }

    fn ask_for_all(&mut self, source: ObjectId, now: Instant) -> Result<(), Failure> {
        let asked = Asked::new(self.client.invoke(source, "dump", &mut |_| {}), now)?;
        self.counters.dumps += 1;
        self.interfaces.begin();
        self.next_dump_at = now + DUMP_GAP;
        self.dump = Dump::Asked { asked, is_stale: false };
        Ok(())
    }

    fn finish_dump(&mut self, status: Status, is_stale: bool, now: Instant) -> bool {
        let is_done = status == Status::Ok;
        let outcome = if is_done { self.interfaces.finish() } else { None };
        match outcome {
            Some(_) => {
                self.is_whole = true;
                self.dump_failures.reset();
                self.dump = Dump::Idle;
                if is_stale {
                    self.want_dump(now);
                }
            }
            None => {
                self.counters.failed_dumps += 1;
                self.dump = Dump::Wanted { at: now + self.dump_failures.pause() };
            }
        }
        outcome.unwrap_or_default()
    }
}
