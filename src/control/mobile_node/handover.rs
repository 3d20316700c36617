//! The policy of a handover: which of the uplinks are used, which is the best, and when a change is
//! real.
//!
//! What is lost is left at once; what comes up is used once it stood for a while, so that for a
//! moment both live. An uplink that breaks down soon after it came has to stand longer each time.

#[cfg(test)]
mod tests;

use core::net::IpAddr;

use crate::itr::WayOut;
use crate::mobile_node::lanes::{DO_NOT_USE, Plan};
use crate::{Cause, Duration, Event, HandoverConfig, Instant, MAX_LOCATORS, Uplink, UplinkConfig};

/// Ways that are remembered: of each uplink one for IPv4 and one for IPv6.
pub(crate) const MAX_WAYS: usize = 32;
/// An uplink that stood for so long is not one that flaps.
const STEADY: Duration = Duration::from_secs(60);
/// A verdict so long after the last one ended is the first one again.
const SUSPICION_MEMORY: Duration = Duration::from_secs(300);
/// Moves that nobody polled yet; of more the oldest are not told.
const MAX_EVENTS: usize = 4;

/// Follows the uplinks; one input, one decision.
pub(crate) struct Handover {
    config: HandoverConfig,
    plan: Plan,
    ways: heapless::Vec<Way, MAX_WAYS>,
    /// With lanes, the best first; what was used last while nothing can be used.
    chosen: heapless::Vec<Uplink, MAX_LOCATORS>,
    events: heapless::Deque<Event, MAX_EVENTS>,
}

/// An uplink in one address family.
#[derive(Clone, Copy, Debug)]
struct Way {
    uplink: Uplink,
    standing: Standing,
    is_used: bool,
    /// How long it has to stand when it comes up next.
    hold: Duration,
    /// How long it was left out when it was silent last.
    suspicion: Duration,
    trusted_at: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// Not in the picture.
    Gone { since: Instant },
    /// It came up, and is left out for now.
    Held { until: Instant },
    /// It can be used.
    Steady { since: Instant },
    /// Probes over it went unanswered: it is left out.
    Suspect { until: Instant },
}

impl Handover {
    pub(crate) fn new(config: &HandoverConfig, uplinks: &[UplinkConfig], lanes: usize) -> Handover {
        Handover {
            config: *config,
            plan: Plan::new(uplinks, lanes),
            ways: heapless::Vec::new(),
            chosen: heapless::Vec::new(),
            events: heapless::Deque::new(),
        }
    }

    /// Takes a new configuration over; true when other uplinks are chosen.
    pub(crate) fn handle_config(
        &mut self,
        config: &HandoverConfig,
        uplinks: &[UplinkConfig],
        lanes: usize,
        now: Instant,
    ) -> bool {
        self.config = *config;
        self.plan = Plan::new(uplinks, lanes);
        self.expire(now);
        self.decide(Cause::Reconfigured, None, now)
    }

    /// All the ways that there are now; true when others are chosen, or the last one is back.
    pub(crate) fn handle_uplinks(&mut self, picture: &[Uplink], now: Instant) -> bool {
        self.expire(now);
        let had_none = self.present().next().is_none();
        let best = self.best_of(picture);
        let is_other_priority = |uplink: &Uplink, way: &Way| {
            is_same(uplink, &way.uplink) && way.is_used && way.uplink.priority != uplink.priority
        };
        let is_reconfigured =
            best.iter().any(|one| self.ways.iter().any(|way| is_other_priority(one, way)));
        for way in &mut self.ways {
            if !best.iter().any(|uplink| is_same(uplink, &way.uplink)) {
                way.leave(&self.config, now);
            }
        }
        for uplink in &best {
            let is_live = |way: &Way| way.uplink.id == uplink.id && way.is_used && way.is_present();
            let is_used = self.ways.iter().any(is_live);
            match self.ways.iter_mut().find(|way| is_same(uplink, &way.uplink)) {
                Some(way) => way.update(uplink, is_used, &self.config, now),
                None => self.insert(uplink, now),
            }
        }
        if had_none {
            self.trust(|_| true, now);
        }
        let is_back = had_none && !best.is_empty();
        let cause = if is_reconfigured { Cause::Reconfigured } else { Cause::Better };
        self.decide(cause, None, now) || is_back
    }

    /// Nothing comes back over the uplink of this lane and family; true when others are chosen for it.
    pub(crate) fn handle_silent(&mut self, silent: WayOut, now: Instant) -> bool {
        self.expire(now);
        let in_lane = || self.chosen.iter().filter(|uplink| uplink.lane == silent.lane);
        let is_alike = |uplink: &&Uplink| uplink.rloc.is_ipv6() == silent.is_ipv6;
        let silent = in_lane().find(is_alike).or_else(|| in_lane().next()).map(|one| one.id);
        let Some(silent) = silent else { return self.decide(Cause::Better, None, now) };
        for way in self.ways.iter_mut().filter(|way| way.uplink.id == silent && way.is_present()) {
            way.suspect(&self.config, now);
        }
        self.decide(Cause::Silent, Some(silent), now)
    }

    /// Does what is due; true when other uplinks are chosen.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.expire(now) && self.decide(Cause::Better, None, now)
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let due = |way: &Way| match way.standing {
            Standing::Held { until } | Standing::Suspect { until } => Some(until),
            Standing::Gone { .. } | Standing::Steady { .. } => None,
        };
        self.ways.iter().filter_map(due).min()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The chosen ones with their lanes, the best first.
    pub(crate) fn uplinks(&self) -> &[Uplink] {
        &self.chosen
    }

    fn present(&self) -> impl Iterator<Item = &Way> {
        self.ways.iter().filter(|way| way.is_present())
    }

    /// Ends holds and suspicions that are over; whether there were any.
    fn expire(&mut self, now: Instant) -> bool {
        let mut is_any = false;
        for way in &mut self.ways {
            if matches!(way.standing, Standing::Suspect { until } if until <= now) {
                way.hold_anew(now);
                is_any = true;
            }
            // A hold may be none at all.
            if matches!(way.standing, Standing::Held { until } if until <= now) {
                way.standing = Standing::Steady { since: now };
                is_any = true;
            }
        }
        is_any
    }

    /// Uses all that can be used in these standings from now on.
    fn trust(&mut self, is_meant: impl Fn(&Standing) -> bool, now: Instant) {
        for way in self.ways.iter_mut().filter(|way| way.is_present() && is_meant(&way.standing)) {
            way.end_suspicion(now);
            way.standing = Standing::Steady { since: now };
        }
    }

    /// What can be used of a picture, at most one of each uplink and family, the best first; more
    /// than [`MAX_WAYS`] are left out. Of several addresses the known one stays.
    fn best_of(&self, picture: &[Uplink]) -> heapless::Vec<Uplink, MAX_WAYS> {
        let is_known = |uplink: &Uplink| {
            let is_it = |way: &Way| is_same(&way.uplink, uplink) && way.uplink.rloc == uplink.rloc;
            self.ways.iter().any(is_it)
        };
        let order = |uplink: &Uplink| {
            let (priority, metric, ..) = rank(uplink);
            (priority, metric, !is_known(uplink), rank(uplink))
        };
        let mut best: heapless::Vec<Uplink, MAX_WAYS> = heapless::Vec::new();
        let is_usable =
            |uplink: &&Uplink| uplink.priority != DO_NOT_USE && !uplink.rloc.is_unspecified();
        for uplink in picture.iter().filter(is_usable) {
            match best.iter().position(|other| is_same(other, uplink)) {
                Some(known) if order(&best[known]) <= order(uplink) => continue,
                Some(known) => drop(best.remove(known)),
                None => {}
            }
            let place = best.iter().position(|other| order(uplink) < order(other));
            let place = place.unwrap_or(best.len());
            if best.is_full() && place < MAX_WAYS {
                best.pop();
            }
            // In a full list a place after the last one is none.
            let _ = best.insert(place, Uplink { lane: 0, ..*uplink });
        }
        best
    }

    /// Remembers a way. In a full table what is gone makes way, else the worst that is not used if
    /// it is worse; else the new one is left out.
    fn insert(&mut self, uplink: &Uplink, now: Instant) {
        if self.ways.is_full() {
            let order = |way: &Way| (way.is_present(), core::cmp::Reverse(rank(&way.uplink)));
            let rows = self.ways.iter().enumerate().filter(|(_, way)| !way.is_used);
            let worst = rows.min_by_key(|(_, way)| order(way)).map(|(place, _)| place);
            match worst {
                Some(place)
                    if !self.ways[place].is_present()
                        || rank(uplink) < rank(&self.ways[place].uplink) =>
                {
                    self.ways.swap_remove(place);
                }
                _ => return,
            }
        }
        let hold = self.config.hold;
        let mut way = Way {
            uplink: *uplink,
            standing: Standing::Gone { since: now },
            is_used: false,
            hold,
            suspicion: Duration::ZERO,
            trusted_at: None,
        };
        way.hold_anew(now);
        self.ways.push(way).expect("a place was made");
    }

    /// Chooses among the ways that can be used; `avoided` comes after its equals.
    fn decide(&mut self, cause: Cause, avoided: Option<u32>, now: Instant) -> bool {
        let is_steady = |way: &Way| matches!(way.standing, Standing::Steady { .. });
        if self.present().next().is_none() {
            return false;
        }
        if !self.ways.iter().any(is_steady) {
            // What is held is needed; and when all are silent, it is not for their being so.
            let is_held = |standing: &Standing| matches!(standing, Standing::Held { .. });
            let has_held = self.present().any(|way| is_held(&way.standing));
            self.trust(|standing| !has_held || is_held(standing), now);
        }
        let known = self.chosen.first().copied();
        let mut ranked: heapless::Vec<usize, MAX_WAYS> =
            (0..self.ways.len()).filter(|place| is_steady(&self.ways[*place])).collect();
        ranked.sort_unstable_by_key(|place| {
            let Way { uplink, is_used, .. } = &self.ways[*place];
            let is_best = known.is_some_and(|known| is_same(&known, uplink));
            let is_avoided = avoided == Some(uplink.id);
            let (priority, metric, place, id, rloc) = rank(uplink);
            (priority, metric, is_avoided, !is_best, !is_used, place, id, rloc)
        });
        self.ways.iter_mut().for_each(|way| way.is_used = false);
        let mut used: heapless::Vec<Uplink, MAX_WAYS> = heapless::Vec::new();
        for place in ranked {
            let way = &mut self.ways[place];
            let is_alike = |one: &Uplink| {
                one.place.is_none() && one.rloc.is_ipv4() == way.uplink.rloc.is_ipv4()
            };
            way.is_used = way.uplink.place.is_some() || !used.iter().any(is_alike);
            if way.is_used {
                used.push(way.uplink).expect("no more than there are ways");
            }
        }
        let chosen = self.plan.assign(&used);
        let shown = |uplink: &Uplink| Uplink { metric: 0, ..*uplink };
        let is_changed = !chosen.iter().map(shown).eq(self.chosen.iter().map(shown));
        self.chosen = chosen;
        if let Some(best) = self.chosen.first().copied() {
            self.note(cause, known, best);
        }
        is_changed
    }

    fn note(&mut self, cause: Cause, known: Option<Uplink>, best: Uplink) {
        let (from, to) = (known.map(|uplink| uplink.rloc), Some(best.rloc));
        if from == to {
            return;
        }
        let old = known.and_then(|known| self.ways.iter().find(|way| is_same(&way.uplink, &known)));
        let cause = match (known, old) {
            (None, _) => Cause::First,
            (Some(known), _) if known.id == best.id => Cause::Roamed,
            (_, old) if old.is_none_or(|way| !way.is_present()) => Cause::Lost,
            _ => cause,
        };
        if self.events.is_full() {
            self.events.pop_front();
        }
        let is_told = self.events.push_back(Event::Moved { cause, from, to }).is_ok();
        debug_assert!(is_told, "a place was made");
    }
}

impl Way {
    fn is_present(&self) -> bool {
        !matches!(self.standing, Standing::Gone { .. })
    }

    /// It is in the picture no more.
    fn leave(&mut self, config: &HandoverConfig, now: Instant) {
        if self.is_present() {
            self.break_down(config, now);
            self.standing = Standing::Gone { since: now };
        }
    }

    /// It is in the picture, like this. What is in use stays so, whatever changed; `is_used` says
    /// that its uplink is, in this family or the other one.
    fn update(&mut self, uplink: &Uplink, is_used: bool, config: &HandoverConfig, now: Instant) {
        let has_roamed = self.uplink.rloc != uplink.rloc;
        let shown = |uplink: &Uplink| (uplink.rloc, uplink.priority, uplink.metric);
        let is_changed = shown(&self.uplink) != shown(uplink);
        self.uplink = *uplink;
        match self.standing {
            // The old address went before the new one came.
            Standing::Gone { .. } if has_roamed && is_used => {
                self.standing = Standing::Steady { since: now };
            }
            Standing::Gone { since } => {
                if now.since(since) >= STEADY {
                    self.hold = config.hold;
                }
                self.hold_anew(now);
            }
            Standing::Steady { .. } if is_changed && !self.is_used => {
                self.break_down(config, now);
                self.hold_anew(now);
            }
            Standing::Held { .. } | Standing::Suspect { .. } if is_changed => self.hold_anew(now),
            Standing::Held { .. } | Standing::Steady { .. } | Standing::Suspect { .. } => {}
        }
    }

    /// It did not stay as it was: next time it has to stand for longer, unless it was steady.
    fn break_down(&mut self, config: &HandoverConfig, now: Instant) {
        self.hold = match self.standing {
            Standing::Steady { since } if now.since(since) >= STEADY => config.hold,
            Standing::Steady { .. } | Standing::Held { .. } => {
                self.hold.saturating_mul(2).min(config.max_hold)
            }
            Standing::Suspect { .. } | Standing::Gone { .. } => self.hold,
        };
        self.end_suspicion(now);
    }

    fn hold_anew(&mut self, now: Instant) {
        self.end_suspicion(now);
        self.standing = Standing::Held { until: now + self.hold };
    }

    fn suspect(&mut self, config: &HandoverConfig, now: Instant) {
        let is_remembered = |at: &Instant| now.since(*at) < SUSPICION_MEMORY;
        self.suspicion = match self.trusted_at.filter(is_remembered) {
            Some(_) => self.suspicion.saturating_mul(2).min(config.max_suspicion),
            None => config.suspicion,
        };
        self.standing = Standing::Suspect { until: now + self.suspicion };
    }

    fn end_suspicion(&mut self, now: Instant) {
        if matches!(self.standing, Standing::Suspect { .. }) {
            self.trusted_at = Some(now);
        }
    }
}

/// Whether two are the same uplink in the same family.
fn is_same(one: &Uplink, other: &Uplink) -> bool {
    (one.id, one.rloc.is_ipv4()) == (other.id, other.rloc.is_ipv4())
}

/// The less the better, where none is preferred for being in use.
fn rank(uplink: &Uplink) -> (u8, u32, Option<u8>, u32, IpAddr) {
    (uplink.priority, uplink.metric, uplink.place, uplink.id, uplink.rloc)
}
