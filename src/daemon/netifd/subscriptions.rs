//! The objects of netifd that are subscribed to on a connection.

use control::Instant;
use ubus::{ObjectId, Request, Status};

use super::asked::Asked;
use super::failure::Failure;
use super::news::PATHS;
use super::session::{Session, Stage};

/// The place of the object that knows the interfaces.
const INTERFACE: usize = 0;

/// Where a subscription stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subscription {
    Absent { retry_at: Option<Instant> },
    LookingUp { asked: Asked, target: Option<ObjectId> },
    Subscribing { asked: Asked, target: ObjectId },
    Active { target: ObjectId },
}

impl Session {
    pub(super) fn look_up(&mut self, place: usize, now: Instant) -> Result<(), Failure> {
        let asked = Asked::new(self.client.lookup(PATHS[place]), now)?;
        self.subscriptions[place] = Subscription::LookingUp { asked, target: None };
        Ok(())
    }

    pub(super) fn handle_subscription_completed(
        &mut self,
        place: usize,
        request: Request,
        status: Status,
        now: Instant,
    ) -> Result<(), Failure> {
        let Stage::Open { object, .. } = self.stage else { return Ok(()) };
        let is_done = status == Status::Ok;
        let target = match self.subscriptions[place] {
            Subscription::LookingUp { asked, target } if asked.request == request => {
                if let Some(target) = target.filter(|_| is_done) {
                    let asked = Asked::new(self.client.subscribe(object, target), now)?;
                    self.subscriptions[place] = Subscription::Subscribing { asked, target };
                } else {
                    self.look_up_later(place, now);
                }
                return Ok(());
            }
            Subscription::Subscribing { asked, target } if asked.request == request => target,
            _ => return Ok(()),
        };
        if is_done {
            self.subscriptions[place] = Subscription::Active { target };
            self.look_ups[place].reset();
        } else {
            self.look_up_later(place, now);
        }
        // Who may not be told may still ask.
        if place == INTERFACE {
            self.source = Some(target);
            self.dump_failures.reset();
            self.want_dump(now);
        }
        Ok(())
    }

    pub(super) fn look_up_later(&mut self, place: usize, now: Instant) {
        let retry_at = Some(now + self.look_ups[place].pause());
        self.subscriptions[place] = Subscription::Absent { retry_at };
    }
}
