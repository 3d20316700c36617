//! What a person or a log wants to know; nothing depends on it being read.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::{Eid, EidPrefix, PeerKey};

/// Why our best RLOC is another one now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// There was none.
    First,
    /// The uplink in use is gone.
    Lost,
    /// The uplink in use has another address.
    Roamed,
    /// A better uplink stood long enough.
    Better,
    /// The uplink in use carries nothing any more.
    Silent,
    /// The configuration says so.
    Reconfigured,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::First => "first uplink",
            Cause::Lost => "uplink lost",
            Cause::Roamed => "new address",
            Cause::Better => "better uplink",
            Cause::Silent => "silent uplink",
            Cause::Reconfigured => "configuration",
        })
    }
}

/// Something worth telling. Names are resolved by the reader: peers stand as keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The Map-Server acknowledged the registration of all our EID-prefixes.
    Registered {
        /// The Map-Server.
        map_server: PeerKey,
    },
    /// Our registration is not acknowledged any more.
    RegistrationLost {
        /// The Map-Server.
        map_server: PeerKey,
    },
    /// A Map-Server turns to us as a site: it registered or changed.
    SiteRegistered {
        /// The site's control key.
        site: PeerKey,
        /// How many EID-prefixes it has.
        eid_prefixes: usize,
    },
    /// A site's registration expired or was withdrawn.
    SiteExpired {
        /// The site's control key.
        site: PeerKey,
    },
    /// A site claimed an EID-prefix that its configuration does not give it.
    ClaimRefused {
        /// The site's control key.
        site: PeerKey,
        /// What it claimed.
        eid_prefix: EidPrefix,
    },
    /// A register was not newer than the last one: a replay, or a state file that went backwards.
    RegisterReplayed {
        /// The site's control key.
        site: PeerKey,
    },
    /// The site's outer address differs from what it registered: it is behind NAT.
    BehindNat {
        /// The site's control key, or our own when it is us.
        site: PeerKey,
        /// The outer address of its control tunnel.
        outer: SocketAddr,
    },
    /// Neither side can be reached from outside; the pair needs a relay.
    BothBehindNat {
        /// The EID-prefix on the other side.
        eid_prefix: EidPrefix,
    },
    /// A mapping was learned or changed.
    Mapped {
        /// The EID-prefix.
        eid_prefix: EidPrefix,
        /// Its best RLOC, if any.
        rloc: Option<IpAddr>,
    },
    /// No answer came; the next try is after the pause of RFC 9301 section 5.3.
    ResolutionFailed {
        /// The EID asked for.
        eid: Eid,
    },
    /// There is an answer to `lig`, which [`crate::Node::lig_answer`] gives until the next event.
    Lig {
        /// The EID asked for.
        eid: Eid,
    },
    /// Our best RLOC is another one: a handover.
    Moved {
        /// Why.
        cause: Cause,
        /// The best RLOC before, if there was any.
        from: Option<IpAddr>,
        /// The best RLOC now.
        to: Option<IpAddr>,
    },
    /// A probe on the present path to a data peer was answered.
    PathAnswered {
        /// Its data key.
        peer: PeerKey,
        /// From the probe to its answer.
        round_trip: Duration,
    },
    /// A Map-Server acknowledged a whole registration that a change of ours caused.
    RegisterAcknowledged {
        /// The Map-Server.
        map_server: PeerKey,
    },
    /// A silent data peer is tried at another one of its RLOCs.
    EndpointMoved {
        /// Its data key.
        peer: PeerKey,
        /// Where it was sent to before, when that is known.
        from: Option<SocketAddr>,
        /// Where it is sent to now.
        to: SocketAddr,
    },
    /// The best RLOC of a registered site is another one.
    SiteMoved {
        /// The site's control key.
        site: PeerKey,
        /// The best RLOC before, if any.
        from: Option<IpAddr>,
        /// The best RLOC now, if any.
        to: Option<IpAddr>,
    },
    /// All who hold the mappings of a site that moved have acknowledged them.
    SitePublished {
        /// The site's control key.
        site: PeerKey,
        /// How many they are.
        holders: usize,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Registered { map_server } => write!(f, "registered with {map_server}"),
            Event::RegistrationLost { map_server } => {
                write!(f, "{map_server} does not acknowledge our registration")
            }
            Event::SiteRegistered { site, eid_prefixes } => {
                write!(f, "site {site} registered {eid_prefixes} EID-prefixes")
            }
            Event::SiteExpired { site } => write!(f, "the registration of site {site} ended"),
            Event::ClaimRefused { site, eid_prefix } => {
                write!(f, "site {site} claims {eid_prefix}, which is not its own: refused")
            }
            Event::RegisterReplayed { site } => write!(
                f,
                "register of site {site} is not newer than its last: a replay, or its state file \
                 went backwards"
            ),
            Event::BehindNat { site, outer } => write!(f, "{site} is behind NAT, seen as {outer}"),
            Event::BothBehindNat { eid_prefix } => {
                write!(f, "both we and {eid_prefix} are behind NAT: no tunnel without a relay")
            }
            Event::Mapped { eid_prefix, rloc: Some(rloc) } => {
                write!(f, "{eid_prefix} is at {rloc}")
            }
            Event::Mapped { eid_prefix, rloc: None } => write!(f, "{eid_prefix} is nowhere"),
            Event::ResolutionFailed { eid } => write!(f, "no answer for {eid}"),
            Event::Lig { eid } => write!(f, "answer for {eid}"),
            Event::Moved { cause, from, to } => {
                write!(f, "moved from {} to {}: {cause}", Place(from), Place(to))
            }
            Event::PathAnswered { peer, round_trip } => {
                write!(f, "{peer} answers after {} µs", crate::micros(*round_trip))
            }
            Event::RegisterAcknowledged { map_server } => {
                write!(f, "{map_server} acknowledged what changed")
            }
            Event::EndpointMoved { peer, from, to } => {
                write!(f, "{peer} is silent at {}: tried at {to}", Place(from))
            }
            Event::SiteMoved { site, from, to } => {
                write!(f, "site {site} moved from {} to {}", Place(from), Place(to))
            }
            Event::SitePublished { site, holders } => {
                write!(f, "{holders} holders know where site {site} is")
            }
        }
    }
}

/// An address, or that there is none.
struct Place<'a, T>(&'a Option<T>);

impl<T: fmt::Display> fmt::Display for Place<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("nowhere"),
        }
    }
}
