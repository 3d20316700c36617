//! Why a netlink request failed, with the kernel's own words where it gives some.

use core::fmt;
use std::io;

use nix::errno::Errno;

use super::abi::{
    NLA_TYPE_MASK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS,
};
use super::attribute::Attributes;
use super::message::{HEADER_LEN, Part};
use crate::system;
use crate::text::Text;

/// Octets that are kept of what the kernel says.
const MAX_MESSAGE: usize = 80;

/// Why a netlink request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The kernel refused the request.
    Refused {
        /// The error number.
        errno: Errno,
        /// The kernel's explanation, empty when it gives none.
        message: Box<str>,
        /// The number of the attribute that it does not like, where it tells.
        attribute: Option<u16>,
    },
    /// The socket failed.
    Socket(Errno),
    /// The request does not fit its buffer, or the answer does not fit the socket's.
    TooLong,
    /// The answer is not what the protocol promises.
    Malformed,
    /// What was dumped changed meanwhile: the result may lack entries, ask again.
    Interrupted,
}

impl Error {
    /// What an acknowledgement of a request says: success, or the refusal.
    pub(super) fn from_acknowledgement(part: &Part<'_>, request: &[u8]) -> Result<(), Self> {
        let Some(code) = part.payload.first_chunk::<4>() else {
            return Err(Self::Malformed);
        };
        // The error number is followed by the request's header, or by the whole request.
        let echoed = match part.payload.get(4..8) {
            _ if part.flags & NLM_F_CAPPED != 0 => HEADER_LEN,
            Some(len) => u32::from_ne_bytes(len.try_into().expect("four octets")) as usize,
            None => 0,
        };
        let attributes = echoed.checked_next_multiple_of(4).and_then(|len| len.checked_add(4));
        let attributes = attributes.and_then(|from| part.payload.get(from..));
        Self::from_code(i32::from_ne_bytes(*code), part.flags, attributes, request)
    }

    /// What the end of a dump says: success, or the refusal.
    pub(super) fn from_done(part: &Part<'_>, request: &[u8]) -> Result<(), Self> {
        match part.payload.split_first_chunk::<4>() {
            Some((code, attributes)) => {
                let code = i32::from_ne_bytes(*code);
                Self::from_code(code, part.flags, Some(attributes), request)
            }
            None => Ok(()),
        }
    }

    fn from_code(
        code: i32,
        flags: u16,
        attributes: Option<&[u8]>,
        request: &[u8],
    ) -> Result<(), Self> {
        if code >= 0 {
            return Ok(());
        }
        let attributes = attributes.filter(|_| flags & NLM_F_ACK_TLVS != 0).unwrap_or_default();
        let attributes = Attributes::new(attributes);
        let message = attributes
            .find_kind(NLMSGERR_ATTR_MSG)
            .and_then(|attribute| attribute.as_text())
            .map(|text| Text::<MAX_MESSAGE>::truncated(text).as_str().into())
            .unwrap_or_default();
        let attribute = attributes
            .find_kind(NLMSGERR_ATTR_OFFS)
            .and_then(|attribute| request.get(attribute.as_u32()? as usize..))
            .and_then(|bytes| bytes.first_chunk::<4>())
            .map(|header| u16::from_ne_bytes([header[2], header[3]]) & NLA_TYPE_MASK);
        Err(Self::Refused { errno: Errno::from_raw(code.saturating_neg()), message, attribute })
    }

    /// The error number, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } | Self::Socket(errno) => Some(*errno),
            Self::TooLong | Self::Malformed | Self::Interrupted => None,
        }
    }

    /// True when what was to be added is there already.
    #[must_use]
    pub fn is_existing(&self) -> bool {
        matches!(self, Self::Refused { errno: Errno::EEXIST, .. })
    }

    /// True when what was to be changed or deleted is not there, or the kernel lacks it.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let missing = [Errno::ENOENT, Errno::ESRCH, Errno::ENODEV, Errno::EADDRNOTAVAIL];
        match self {
            Self::Refused { errno, .. } => missing.contains(errno),
            // A kernel without generic netlink has none of its families.
            Self::Socket(errno) => *errno == Errno::EPROTONOSUPPORT,
            _ => false,
        }
    }

    /// True when the kernel lacks the kind of link or queueing discipline that was asked for, or all
    /// of them.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        // ENOENT is what it says of a queueing discipline.
        matches!(self, Self::Refused { errno: Errno::EOPNOTSUPP | Errno::ENOENT, .. })
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Socket(errno)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error.errno() {
            Some(errno) => io::Error::new(io::Error::from(errno).kind(), error),
            None => io::Error::other(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { errno, message, attribute } => {
                f.write_str(&system::words(*errno))?;
                if !message.is_empty() {
                    write!(f, ": {message}")?;
                }
                attribute.map_or(Ok(()), |attribute| write!(f, " (attribute {attribute})"))
            }
            Self::Socket(errno) => write!(f, "netlink socket: {}", system::words(*errno)),
            Self::TooLong => f.write_str("a netlink message does not fit its buffer"),
            Self::Malformed => f.write_str("a netlink answer is malformed"),
            Self::Interrupted => f.write_str("the tables changed while they were read"),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::super::abi::{NLMSG_DONE, NLMSG_ERROR};
    use super::*;

    fn refusal(flags: u16, echoed: &[u8]) -> Error {
        let mut payload = (-22_i32).to_ne_bytes().to_vec();
        payload.extend(((HEADER_LEN + echoed.len()) as u32).to_ne_bytes());
        payload.extend([0; HEADER_LEN - 4]);
        if flags & NLM_F_CAPPED == 0 {
            payload.extend(echoed);
        }
        payload.extend(8_u16.to_ne_bytes());
        payload.extend(NLMSGERR_ATTR_MSG.to_ne_bytes());
        payload.extend(b"no!\0");
        payload.extend(8_u16.to_ne_bytes());
        payload.extend(NLMSGERR_ATTR_OFFS.to_ne_bytes());
        payload.extend(20_u32.to_ne_bytes());
        let part = Part { kind: NLMSG_ERROR, flags, sequence: 1, payload: &payload };
        Error::from_acknowledgement(&part, REQUEST).expect_err("a refusal")
    }

    /// Twenty octets of header, then the header of attribute 0x0404 in both byte orders.
    const REQUEST: &[u8] =
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4];

    #[test]
    fn the_kernels_words_are_found_behind_the_echoed_request() {
        let message = "no!".into();
        let expected = Error::Refused { errno: Errno::EINVAL, message, attribute: Some(0x404) };
        assert_eq!(refusal(NLM_F_ACK_TLVS | NLM_F_CAPPED, &[1, 2, 3, 4]), expected);
        assert_eq!(refusal(NLM_F_ACK_TLVS, &[1, 2, 3, 4]), expected);
        assert_eq!(expected.to_string(), "Invalid argument: no! (attribute 1028)");
    }

    #[test]
    fn a_refusal_without_words_has_the_number_alone() {
        let error = refusal(NLM_F_CAPPED, &[]);
        assert_eq!(error, refused(Errno::EINVAL));
        assert_eq!(error.to_string(), "Invalid argument");
    }

    #[test]
    fn a_short_or_lying_acknowledgement_is_no_success() {
        let part = Part { kind: NLMSG_ERROR, flags: 0, sequence: 1, payload: &[0; 3] };
        assert_eq!(Error::from_acknowledgement(&part, &[]), Err(Error::Malformed));
        let mut payload = (-1_i32).to_ne_bytes().to_vec();
        payload.extend(u32::MAX.to_ne_bytes());
        let part =
            Part { kind: NLMSG_ERROR, flags: NLM_F_ACK_TLVS, sequence: 1, payload: &payload };
        assert_eq!(Error::from_acknowledgement(&part, &[]), Err(refused(Errno::EPERM)));
    }

    #[test]
    fn an_attribute_beyond_the_request_is_none() {
        for offset in [21, 24, u32::MAX] {
            let mut payload = (-22_i32).to_ne_bytes().to_vec();
            payload.extend(8_u16.to_ne_bytes());
            payload.extend(NLMSGERR_ATTR_OFFS.to_ne_bytes());
            payload.extend(offset.to_ne_bytes());
            let flags = NLM_F_ACK_TLVS;
            let part = Part { kind: NLMSG_DONE, flags, sequence: 1, payload: &payload };
            assert_eq!(Error::from_done(&part, REQUEST), Err(refused(Errno::EINVAL)));
        }
    }

    #[test]
    fn a_kernel_that_lacks_something_says_it_is_missing() {
        assert!(refused(Errno::ENOENT).is_missing());
        assert!(Error::Socket(Errno::EPROTONOSUPPORT).is_missing());
        assert!(!Error::Socket(Errno::ENOENT).is_missing() && !Error::Malformed.is_missing());
    }

    #[test]
    fn a_kernel_without_a_kind_says_it_is_unsupported() {
        assert!(refused(Errno::ENOENT).is_unsupported());
        assert!(refused(Errno::EOPNOTSUPP).is_unsupported());
        assert!(!refused(Errno::ENODEV).is_unsupported() && !Error::Malformed.is_unsupported());
    }

    fn refused(errno: Errno) -> Error {
        Error::Refused { errno, message: Box::default(), attribute: None }
    }
}
