//! A question that waits for its answer.

use control::{Duration, Instant};
use ubus::Request;

use super::failure::Failure;

/// An answer that took this long does not come.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(5);

/// A question that was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) request: Request,
    /// When the answer must have come.
    pub(super) until: Instant,
}

impl Asked {
    pub(super) fn new(
        request: Result<Request, ubus::Error>,
        now: Instant,
    ) -> Result<Self, Failure> {
        Ok(Self { request: request.map_err(Failure::Stuck)?, until: now + ANSWER_TIME })
    }
}
