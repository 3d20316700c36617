//! What makes a node mobile: the policy that follows its uplinks (RFC 9299 section 5).

pub(crate) mod handover;
pub mod lanes;
