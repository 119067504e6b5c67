//! How far a drain has come: what is still answered, what resolvers may still give out.
//!
//! What this server answers is known exactly: it stands in the World. Beside it answers are
//! counted by region, and where a record's whole region is drained that is looked at too. What
//! resolvers keep is computed from the TTL: nobody can look into them. Drained is a target that
//! no answer has named for a minute longer than the last TTL; as long as one does, whatever the
//! reason, it is not, and the reason is told with what ends it.

use super::{Action, Override};
use crate::{
    clock::{Moment, Since},
    control::spelled,
    ids::{CounterSlot, PlanId, SlotId},
    policy::tree::{NodeIx, Tree},
    snapshot::{SlotAddress, Snapshot},
    steering::{PlanSteering, Selection, Variant},
    telemetry::Telemetry,
    wire::Name,
    world::World,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};

/// Beyond the TTL: clients and resolvers that keep answers a little longer than they may.
pub const GRACE: Duration = Duration::from_secs(60);
/// A share below this counts as nothing.
pub const NOTHING: f64 = 0.001;
/// Answers are counted over windows of this length.
const WINDOW: Duration = Duration::from_secs(10);

/// How far a drain has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Whether its endpoints may be taken away, or why not.
    pub state: DrainStage,
    /// The largest share of clients of a record that are sent there now.
    pub answered: f64,
    /// The share of answers lately that named its regions, where they are all of a region.
    pub observed: Option<f64>,
    /// The largest share of its clients that may still be sent there, by ramp and TTL.
    pub residual: f64,
}

/// Whether drained endpoints may be taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainStage {
    /// Clients are leaving, or resolvers may still know it.
    Draining,
    /// It is answered, and stays so until somebody does something.
    Answered(KeptBy),
    /// Nobody is sent there.
    Drained,
}

/// What keeps a drained target in the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBy {
    /// Why.
    pub why: String,
    /// What ends that: a command line, or advice.
    pub remedy: String,
}

/// The largest share of clients that may still be sent to a target that is drained for `elapsed`,
/// over a time of `over`, with answers kept for `ttl`, and that no answer has named for `quiet`.
pub fn residual(elapsed: Duration, over: Duration, ttl: Duration, quiet: Option<Duration>) -> f64 {
    // Still named beyond its ramp, and still new to some resolvers.
    if quiet.is_none() && elapsed > over {
        return 1.0;
    }
    // An answer given at time t is kept until t + ttl; the share given at t falls from 1 to 0.
    let elapsed = quiet.map_or(elapsed, |quiet| elapsed.min(over + quiet));
    let newest = elapsed.saturating_sub(ttl);
    match elapsed < ttl {
        true => 1.0,
        false if newest < over => 1.0 - newest.as_secs_f64() / over.as_secs_f64(),
        false => 0.0,
    }
}

/// What of a [`Watched`] outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::control) struct KeptDrain {
    /// For how long no answer had named it.
    quiet_ms: u64,
    /// Whether it was drained, which has been told.
    drained: bool,
}

/// One drain that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    part: Part,
    /// Since when no answer names it.
    quiet: Option<Since>,
    /// It was drained before a restart, which has been told.
    was_drained: bool,
    /// The World that was looked at last, and what it answers.
    looked: Option<(u64, Vec<(PlanId, f64)>)>,
    counted: Option<(Moment, u64, u64)>,
    observed: Option<f64>,
    pub progress: Option<Progress>,
}

/// What a drain is about in one Snapshot.
#[derive(Debug)]
struct Part {
    /// Not kept alive: it is only told apart from others.
    snapshot: Weak<Snapshot>,
    slots: BTreeSet<SlotId>,
    /// How its endpoints are named in answers.
    rdatas: BTreeSet<Vec<u8>>,
    plans: Vec<PlanId>,
    ttl: Duration,
    /// The longest that its ramp takes.
    over: Duration,
    /// Counters of answers that name its regions, and of all answers of the same records.
    inside: Vec<CounterSlot>,
    all: Vec<CounterSlot>,
}

impl Watched {
    pub(super) fn new(one: &Override, snapshot: &Arc<Snapshot>) -> Watched {
        let part = Part::of(one, snapshot);
        let (quiet, looked, counted, observed) = (None, None, None, None);
        Watched { part, quiet, was_drained: false, looked, counted, observed, progress: None }
    }

    /// The same, going on where a process before left it.
    pub(super) fn resumed(self, kept: &KeptDrain, now: Moment) -> Watched {
        let quiet = Since::resumed(Duration::from_millis(kept.quiet_ms), now);
        Watched { quiet: Some(quiet), was_drained: kept.drained, ..self }
    }

    /// What is to outlive the process, once no answer names it. No more than is asked for: what
    /// is drained stays as it was written.
    pub(super) fn kept(&self, now: Moment) -> Option<KeptDrain> {
        let quiet = self.quiet?.elapsed(now).min(self.part.ttl + GRACE);
        let is_drained = |progress: &Progress| progress.state == DrainStage::Drained;
        let drained = self.progress.as_ref().is_some_and(is_drained);
        Some(KeptDrain { quiet_ms: spelled::millis(quiet), drained })
    }

    /// How it stands, if that is not what has been told.
    pub(super) fn news(&mut self, told: Option<&DrainStage>) -> Option<&DrainStage> {
        let was_drained = std::mem::take(&mut self.was_drained);
        let state = &self.progress.as_ref()?.state;
        let is_told = told == Some(state) || (was_drained && *state == DrainStage::Drained);
        (!is_told).then_some(state)
    }

    /// Looks at the World in force; the plans that still answer it.
    pub(super) fn look(
        &mut self,
        one: &Override,
        world: &World,
        telemetry: &Telemetry,
        now: Moment,
    ) -> Vec<PlanId> {
        if !std::ptr::eq(self.part.snapshot.as_ptr(), Arc::as_ptr(&world.snapshot)) {
            self.part = Part::of(one, &world.snapshot);
            (self.looked, self.counted) = (None, None);
        }
        if self.looked.as_ref().is_none_or(|(swap, _)| *swap != world.swap) {
            let mut rdatas = self.part.rdatas.clone();
            let found = world.state.found.iter();
            for (_, found) in found.filter(|(slot, _)| self.part.slots.contains(slot)) {
                rdatas.extend(found.v4().iter().map(|ip| ip.octets().to_vec()));
                rdatas.extend(found.v6().iter().map(|ip| ip.octets().to_vec()));
            }
            let share = |plan| largest_share(world.steering.plan(plan), &rdatas);
            let shares = self.part.plans.iter().map(|&plan| (plan, share(plan)));
            let answered = shares.filter(|(_, share)| *share >= NOTHING).collect();
            self.looked = Some((world.swap, answered));
        }
        self.count(telemetry, now);
        let answered = self.looked.iter().flat_map(|(_, answered)| answered);
        let answered: Vec<(PlanId, f64)> = answered.copied().collect();
        self.quiet = answered.is_empty().then(|| self.quiet.unwrap_or(Since::starting(now)));
        let quiet = self.quiet.map(|since| since.elapsed(now));
        let is_observed = self.observed.is_some_and(|share| share >= NOTHING);
        let is_past = quiet.is_some_and(|quiet| quiet >= self.part.ttl + GRACE);
        self.progress = Some(Progress {
            state: match is_past && !is_observed {
                true => DrainStage::Drained,
                false => DrainStage::Draining,
            },
            answered: answered.iter().map(|(_, share)| *share).fold(0.0, f64::max),
            observed: self.observed,
            residual: residual(one.ran.elapsed(now), self.part.over, self.part.ttl, quiet),
        });
        answered.into_iter().map(|(plan, _)| plan).collect()
    }

    /// Whether its ramp is over.
    pub(super) fn is_through(&self, one: &Override, now: Moment) -> bool {
        one.ran.elapsed(now) >= self.part.over
    }

    /// The slots it is about.
    pub(super) fn slots(&self) -> &BTreeSet<SlotId> {
        &self.part.slots
    }

    /// Counts the answers of the last window, once it is over.
    fn count(&mut self, telemetry: &Telemetry, now: Moment) {
        let is_time = self.counted.is_none_or(|(at, ..)| now.since(at) >= WINDOW);
        if self.part.inside.is_empty() || !is_time {
            return;
        }
        let inside = telemetry.answered(&self.part.inside);
        let all = telemetry.answered(&self.part.all);
        let before = self.counted.replace((now, inside, all));
        self.observed = before.and_then(|(_, inside_before, all_before)| {
            let came = all.saturating_sub(all_before);
            let share = inside.saturating_sub(inside_before) as f64 / came as f64;
            (came > 0).then_some(share)
        });
    }
}

impl Part {
    fn of(one: &Override, snapshot: &Arc<Snapshot>) -> Part {
        let target = one.target.as_ref();
        let slots = target.map(|target| target.slots(snapshot)).unwrap_or_default();
        let slots: BTreeSet<SlotId> = slots.into_iter().collect();
        let rdatas = slots.iter().filter_map(|slot| rdata(&snapshot.slots[slot.index()].address));
        let plans = slots.iter().flat_map(|slot| &snapshot.plans_of_slot[slot.index()]);
        let plans: BTreeSet<PlanId> = plans.copied().collect();
        let of = |id: &PlanId| snapshot.plan(*id);
        let ttl = plans.iter().map(|id| of(id).ttl.max.as_secs()).max().unwrap_or(0);
        // A drain that says nothing takes as long as the slowest record's own ramp.
        let own = plans.iter().filter_map(|id| of(id).ramp).map(|ramp| ramp.over).max();
        let over = match &one.action {
            Action::Drain { over } => over.or(own),
            _ => None,
        };
        let (mut inside, mut all) = (Vec::new(), Vec::new());
        for record in snapshot.records.iter().filter(|record| plans.contains(&record.plan)) {
            let plan = of(&record.plan);
            let whole = plan.spots.iter().map(|spot| {
                let pools = plan.tree.pools().filter(|pool| pool.id == spot.pool);
                let there = pools.flat_map(|pool| &pool.endpoints);
                let mut there = there.filter(|endpoint| endpoint.region == spot.region);
                there.all(|endpoint| endpoint.target.slots().all(|slot| slots.contains(&slot)))
            });
            let counters: Vec<(CounterSlot, bool)> =
                record.counters.iter().copied().zip(whole).collect();
            if counters.iter().any(|(_, is_whole)| *is_whole) {
                all.extend(counters.iter().map(|(counter, _)| *counter));
                inside.extend(counters.iter().filter(|(_, whole)| *whole).map(|(slot, _)| *slot));
            }
        }
        Part {
            rdatas: rdatas.collect(),
            slots,
            plans: plans.into_iter().collect(),
            ttl: Duration::from_secs(ttl.into()),
            over: over.unwrap_or_default(),
            inside,
            all,
            snapshot: Arc::downgrade(snapshot),
        }
    }
}

/// How an address stands in an answer.
fn rdata(address: &SlotAddress) -> Option<Vec<u8>> {
    match address {
        SlotAddress::Ip(IpAddr::V4(ip)) => Some(ip.octets().to_vec()),
        SlotAddress::Ip(IpAddr::V6(ip)) => Some(ip.octets().to_vec()),
        SlotAddress::Name(name) => Some(Name::parse(name).ok()?.as_wire().to_vec()),
    }
}

/// The largest share of answers that name one of `rdatas`, over all clients and query types.
fn largest_share(steering: &PlanSteering, rdatas: &BTreeSet<Vec<u8>>) -> f64 {
    let names = |variant: &Variant| {
        let mut all = variant.rdatas.iter().flat_map(|rdatas| rdatas.iter(None));
        all.any(|rdata| rdatas.contains(&rdata))
    };
    let of = |selection: &Selection| {
        let named: Vec<bool> = selection.variants.iter().map(names).collect();
        let shares = selection.draws().map(|draw| {
            let shares = draw.shares().into_iter().filter(|(variant, _)| named[*variant]);
            shares.map(|(_, share)| share).sum::<f64>()
        });
        shares.fold(0.0, f64::max)
    };
    steering.selections().iter().map(of).fold(0.0, f64::max)
}

/// Whether something below `from` is among `slots`.
pub(super) fn is_below(tree: &Tree, from: NodeIx, slots: &BTreeSet<SlotId>) -> bool {
    let mut endpoints = crate::forecast::shares::pools_below(tree, from)
        .into_iter()
        .flat_map(|pool| &pool.endpoints);
    endpoints.any(|endpoint| endpoint.target.slots().any(|slot| slots.contains(&slot)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_falls_over_the_ramp_a_ttl_later_and_not_at_all_while_it_is_answered() {
        let secs = Duration::from_secs;
        let at = |elapsed, over, quiet: Option<u64>| {
            let left = residual(secs(elapsed), secs(over), secs(30), quiet.map(secs));
            (left * 100.0).round() / 100.0
        };
        // At once.
        assert_eq!([at(0, 0, Some(0)), at(29, 0, Some(29)), at(30, 0, Some(30))], [1.0, 1.0, 0.0]);
        // Evenly, over 100 s.
        assert_eq!([at(20, 100, None), at(80, 100, None)], [1.0, 0.5]);
        assert_eq!([at(100, 100, Some(0)), at(130, 100, Some(30))], [0.3, 0.0]);
        // Beyond its ramp it is named by every answer, and then by none.
        assert_eq!([at(999, 0, None), at(999, 0, Some(20)), at(999, 0, Some(30))], [1.0, 1.0, 0.0]);
    }
}
