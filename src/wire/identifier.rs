//! The numbers of LISP messages that have a meaning of their own.
use core::fmt;

use crate::{Error, cursor::Reader};

macro_rules! number {
    ($(#[$meta:meta])* $name:ident($raw:ty), $format:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(
            /// The number as it stands in the message.
            pub $raw,
        );

        impl From<$raw> for $name {
            fn from(value: $raw) -> Self {
                $name(value)
            }
        }

        impl From<$name> for $raw {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    };
}

number!(
    /// Ties an answer to its question; increases from one Map-Register to the next (RFC 9301 section 5.6).
    Nonce(u64),
    "{:#018x}"
);
number!(
    /// Names one of several secrets shared with a peer (RFC 9301 section 5.6).
    KeyId(u8),
    "{}"
);
number!(
    /// Tells apart equal EID-prefixes of different networks (RFC 8060 section 4.1); 0 without one.
    InstanceId(u32),
    "{}"
);
number!(
    /// The group of xTRs a message comes from (RFC 9301 section 5.6).
    SiteId(u64),
    "{:016x}"
);
number!(
    /// Version of a mapping, 12 bits, 0 without one (RFC 9302).
    MapVersion(u16),
    "{}"
);

/// Names one xTR within its site (RFC 9301 section 5.6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XtrId(
    /// The identifier as it stands in the message.
    pub [u8; 16],
);

impl fmt::Display for XtrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The last 24 octets of a message whose I-bit is set: who sent it (RFC 9301 section 5.6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XtrIdentity {
    /// The xTR.
    pub xtr_id: XtrId,
    /// Its site.
    pub site_id: SiteId,
}

impl XtrIdentity {
    /// Octets of both fields.
    pub const LEN: usize = 24;

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(XtrIdentity { xtr_id: XtrId(reader.array()?), site_id: SiteId(reader.u64()?) })
    }

    pub(crate) fn octets(&self) -> [u8; Self::LEN] {
        let mut octets = [0; Self::LEN];
        octets[..16].copy_from_slice(&self.xtr_id.0);
        octets[16..].copy_from_slice(&self.site_id.0.to_be_bytes());
        octets
    }
}

impl fmt::Display for XtrIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "xtr-id={} site-id={}", self.xtr_id, self.site_id)
    }
}

enum_with_unknown! {
    /// How a message is authenticated (RFC 9301 section 12.5).
    pub enum AlgorithmId(u8) {
        /// Not at all.
        None = 0,
        /// HMAC-SHA-1-96, the only one OOR speaks.
        HmacSha1_96 = 1,
        /// HMAC-SHA-256-128.
        HmacSha256_128 = 2,
        /// HMAC-SHA-256-128 with a key derived per message by HKDF-SHA256.
        HmacSha256_128HkdfSha256 = 3,
    }
}

impl fmt::Display for AlgorithmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AlgorithmId::None => "none",
            AlgorithmId::HmacSha1_96 => "hmac-sha-1-96",
            AlgorithmId::HmacSha256_128 => "hmac-sha-256-128",
            AlgorithmId::HmacSha256_128HkdfSha256 => "hmac-sha-256-128+hkdf-sha256",
            AlgorithmId::Unknown(value) => return write!(f, "algorithm-{value}"),
        })
    }
}

enum_with_unknown! {
    /// What an ITR does with packets to an EID without locators: ACT, 3 bits (RFC 9301 section 5.4).
    pub enum Action(u8) {
        /// Keep the entry, encapsulate nothing.
        NoAction = 0,
        /// Forward without encapsulation.
        NativelyForward = 1,
        /// Ask again for every packet.
        SendMapRequest = 2,
        /// Drop without a reason.
        Drop = 3,
        /// Drop, denied by policy.
        DropPolicyDenied = 4,
        /// Drop, authentication failed.
        DropAuthFailure = 5,
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::NoAction => "no-action",
            Action::NativelyForward => "natively-forward",
            Action::SendMapRequest => "send-map-request",
            Action::Drop => "drop",
            Action::DropPolicyDenied => "drop/policy-denied",
            Action::DropAuthFailure => "drop/auth-failure",
            Action::Unknown(value) => return write!(f, "action-{value}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn unknown_code_points_survive() {
        for value in 0..=255 {
            assert_eq!(u8::from(AlgorithmId::from(value)), value);
        }
        for value in 0..8 {
            assert_eq!(u8::from(Action::from(value)), value);
        }
        assert_eq!(Action::from(6), Action::Unknown(6));
    }

    #[test]
    fn numbers_are_shown_as_operators_write_them() {
        assert_eq!(Nonce(0xabc).to_string(), "0x0000000000000abc");
        assert_eq!(SiteId(7).to_string(), "0000000000000007");
        assert_eq!(XtrId([0xab; 16]).to_string(), "ab".repeat(16));
        assert_eq!(Action::DropPolicyDenied.to_string(), "drop/policy-denied");
    }
}
