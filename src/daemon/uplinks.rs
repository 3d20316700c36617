//! Uplinks come and go: the tunnels, the overlay's routes and the timeline follow.

use control::{Cause, Event as NodeEvent, Instant};
use dataplane::DataPlane;

use crate::handovers::Step;
use crate::router::{Router, now};
use crate::wiring;

/// What was done when other uplinks were chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Followed {
    source: &'static str,
    seen_at: Instant,
    moved_at: Instant,
    sent_at: Instant,
}

impl Router {
    /// The uplinks may have changed; `source` told so.
    pub(crate) fn handle_links(&mut self, source: &'static str, now: Instant) {
        let is_changed = match self.links.refresh() {
            Ok(is_changed) => is_changed,
            Err(error) => {
                log::warn!("listing links: {error}");
                return;
            }
        };
        if is_changed {
            self.source = source;
            self.node.handle_uplinks(&self.links.uplinks(), now);
            self.drain_node(now);
            if self.links.chosen() != self.followed_paths {
                // The same uplinks by another gateway, or none at all.
                self.follow_uplinks(now);
            }
            self.source = "timer";
        }
        self.is_to_fit = true;
    }

    /// A logical interface has another device.
    pub(crate) fn handle_interfaces(&mut self, now: Instant) {
        self.set_link_policy();
        self.handle_links("ubus", now);
    }

    /// Other uplinks are used from now on: the tunnels leave by them at once, and every live peer
    /// gets a packet from there; what else depends on them comes after that.
    pub(crate) fn follow_uplinks(&mut self, seen_at: Instant) {
        self.links.choose(self.node.uplinks());
        self.followed_paths = self.links.chosen().to_vec();
        if self.followed_paths.is_empty() {
            log::info!("RLOCs: none");
            self.is_to_fit = true;
            return;
        }
        if let Some(overlay) = &mut self.overlay
            && let Err(error) = overlay.lead(&self.followed_paths)
        {
            log::warn!("routes of uplinks: {error}");
        }
        let moved_at = now();
        self.plane.handle_uplink_change(moved_at);
        self.followed = Some(Followed { source: self.source, seen_at, moved_at, sent_at: now() });
        log::info!("RLOCs: {}", self.links.rlocs().join(", "));
        self.resolver.look_up_all();
        self.is_to_fit = true;
    }

    /// Makes what is left fit this machine's addresses and uplinks.
    pub(crate) fn fit(&mut self) {
        // Another gateway to the same RLOCs is no handover.
        self.followed = None;
        if std::mem::take(&mut self.is_to_fit) {
            self.handle_addresses();
            self.follow_mtu();
        }
    }

    /// The overlay's routes follow this machine's addresses and uplinks.
    fn handle_addresses(&mut self) {
        let Some(overlay) = &mut self.overlay else { return };
        if let Err(error) = overlay.set_paths(self.links.chosen()) {
            log::warn!("overlay routes: {error}");
        }
        let (v4, v6) = overlay.sources();
        let Some(kernel) = self.plane.as_kernel_mut() else { return };
        let forgotten = match overlay.take_lost_source() {
            true => kernel.set_route_sources(None, None),
            false => Ok(()),
        };
        if let Err(error) = forgotten.and(kernel.set_route_sources(v4, v6)) {
            log::warn!("routes of tunnels: {error}");
        }
    }

    fn follow_mtu(&mut self) {
        let of_uplinks = || wiring::overlay_mtu(&self.config, &self.links);
        let mtu = self.bus.mtu().unwrap_or_else(of_uplinks);
        if usize::from(mtu) == self.plane.mtu() {
            return;
        }
        match self.plane.set_mtu(mtu) {
            Ok(()) => log::info!("MTU of the overlay: {mtu}"),
            Err(error) => log::warn!("MTU of the overlay: {error}"),
        }
    }

    /// Writes what belongs to a handover into the timeline.
    pub(crate) fn note_handover(&mut self, event: &NodeEvent, at: Instant) {
        let unix_ms = control::micros(linux::clock::wall()) / 1000;
        match *event {
            NodeEvent::Moved { cause, from, to } => {
                let Some(followed) = self.followed.take() else { return };
                let Followed { source, seen_at, moved_at, sent_at } = followed;
                let source = if cause == Cause::Silent { "probe" } else { source };
                if from.is_some() {
                    self.handovers.begin(source, cause, (from, to), seen_at, unix_ms);
                    self.handovers.note(Step::Moved, moved_at);
                    self.handovers.note(Step::Sent, sent_at);
                }
            }
            NodeEvent::PathAnswered { .. } => self.handovers.note(Step::Answered, at),
            NodeEvent::RegisterAcknowledged { .. } => {
                // Without a live data peer this is the first answer.
                self.handovers.note(Step::Answered, at);
                self.handovers.note(Step::Registered, at);
            }
            NodeEvent::SiteMoved { site, from: Some(from), to } => {
                let site = (site, self.names.of(site));
                self.handovers.begin_site(site, (Some(from), to), at, unix_ms);
            }
            NodeEvent::SitePublished { site, holders } => {
                self.handovers.note_published(site, holders, at);
            }
            _ => {}
        }
    }
}
