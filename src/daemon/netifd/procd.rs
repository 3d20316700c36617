//! Has procd reload our service: it alone may read the configuration that our file is a copy of.

use control::Instant;
use ubus::{ObjectId, Request, Status};

use super::asked::Asked;
use super::session::Session;
use crate::bus::call::PATH;

/// The object that has the services.
const SERVICE: &str = "service";

/// Where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Procd {
    Idle,
    LookingUp { asked: Asked, object: Option<ObjectId> },
    Told { asked: Asked },
    Ended(Status),
}

impl Session {
    /// Tells procd, as `reload_config` does, that the configuration changed.
    pub(super) fn ask_for_reload(&mut self, now: Instant) {
        if let Procd::Idle = self.procd {
            self.procd = match Asked::new(self.client.lookup(SERVICE), now) {
                Ok(asked) => Procd::LookingUp { asked, object: None },
                Err(_) => Procd::Ended(Status::UnknownError),
            };
        }
    }

    /// How that ended, once.
    pub(super) fn poll_reload(&mut self) -> Option<Status> {
        let Procd::Ended(status) = self.procd else { return None };
        self.procd = Procd::Idle;
        Some(status)
    }

    /// procd may be busy while ubusd is not: nobody else has to do without the connection.
    pub(super) fn give_up_procd(&mut self, now: Instant) {
        if let Procd::LookingUp { asked, .. } | Procd::Told { asked } = self.procd
            && asked.until <= now
        {
            self.client.forget(asked.request);
            self.procd = Procd::Ended(Status::Timeout);
        }
    }

    pub(super) fn handle_service(&mut self, request: Request, found: ObjectId) {
        if let Procd::LookingUp { asked, object } = &mut self.procd
            && asked.request == request
        {
            *object = Some(found);
        }
    }

    pub(super) fn handle_procd_completed(
        &mut self,
        request: Request,
        status: Status,
        now: Instant,
    ) {
        self.procd = match self.procd {
            Procd::LookingUp { asked, object: Some(object) } if asked.request == request => {
                let event = self.client.invoke(object, "event", &mut |writer| {
                    writer.string("type", "config.change");
                    writer.table("data", &mut |writer| writer.string("package", PATH));
                });
                match Asked::new(event, now) {
                    Ok(asked) => Procd::Told { asked },
                    Err(_) => Procd::Ended(Status::UnknownError),
                }
            }
            Procd::LookingUp { asked, .. } if asked.request == request => {
                Procd::Ended(Status::NotFound)
            }
            Procd::Told { asked } if asked.request == request => Procd::Ended(status),
            other => other,
        };
    }
}

impl Procd {
    /// When the answer that is waited for must have come.
    pub(super) fn answer_until(&self) -> Option<Instant> {
        match self {
            Self::LookingUp { asked, .. } | Self::Told { asked } => Some(asked.until),
            Self::Idle | Self::Ended(_) => None,
        }
    }
}
