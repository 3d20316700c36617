//! What the underlay's links are like: delay, loss and rate, by netem or a forwarder of our own.

use std::io;

use super::forwarder::Forwarder;
use super::quality::Quality;
use crate::demo::net::Place;

/// What makes the links so; they are as fast as the machine again when it is dropped with their
/// router.
#[derive(Debug)]
pub(super) struct Underlay {
    /// Where the kernel has no netem.
    forwarder: Option<Forwarder>,
}

impl Underlay {
    /// Has a router delay and lose what leaves by each of `devices`, which it has and which lead to
    /// one node each: what goes from node to node passes one of them.
    ///
    /// # Errors
    /// As the kernel says, but for a kernel without netem.
    pub(super) fn build(router: &Place, devices: &[&str], quality: &Quality) -> io::Result<Self> {
        let mut netlink = router.open_netlink()?;
        for device in devices {
            let index = netlink.link_index(device)?;
            match netlink.replace_netem(index, &quality.netem()) {
                Ok(()) => {}
                Err(error) if error.is_unsupported() => {
                    let forwarder = Some(Forwarder::start(router, devices, quality)?);
                    return Ok(Underlay { forwarder });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Underlay { forwarder: None })
    }

    /// What it is, for the result.
    pub(super) fn name(&self) -> &'static str {
        if self.forwarder.is_some() { "forwarder" } else { "netem" }
    }
}
