//! Why a connection to ubusd is given up.

use std::fmt;

use ubus::Status;

/// Why a connection is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// What came is no message.
    Nonsense(ubus::Error),
    /// ubusd does not take what we send.
    Stuck(ubus::Error),
    /// An answer did not come.
    Timeout,
    /// We may have no object on the bus.
    Refused(Status),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nonsense(error) => write!(f, "what came is no message: {error}"),
            Self::Stuck(error) => write!(f, "nothing can be asked: {error}"),
            Self::Timeout => f.write_str("no answer"),
            Self::Refused(status) => write!(f, "no object for us: {status}"),
        }
    }
}
