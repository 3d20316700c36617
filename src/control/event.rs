//! What a person or a log wants to know; nothing depends on it being read.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use crate::{Eid, EidPrefix, Mapping, PeerKey};

/// Something worth telling. Names are resolved by the reader: peers stand as keys.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "passed on at once, one at a time")]
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
    /// The answer to `lig`.
    Lig {
        /// The EID asked for.
        eid: Eid,
        /// What the mapping system said; `None` when it did not answer.
        mapping: Option<Mapping>,
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
            Event::Lig { eid, .. } => write!(f, "answer for {eid}"),
        }
    }
}
