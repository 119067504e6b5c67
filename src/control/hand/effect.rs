//! All overrides together: what the hand decides now.
//!
//! Overrides are looked at in the order they began; for each slot, failover and weight the last
//! one that matches wins. Whoever loses something to another is hidden by it there, and
//! that is told: an operator who forces one endpoint up and then drains its region has to know.
//! A drain that takes over from another goes on where that got to, at its own pace.

use super::{Action, ForceTo, Hand, Override, Target, weights};
use crate::{
    clock::{Moment, Since},
    ids::{FailoverId, RecordId, SlotId},
    policy::tree::NodeIx,
    snapshot::Snapshot,
    units::Weight,
    verdict::{Sight, Standing},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
pub use weights::{WeightChange, WeightPlace};

/// What the hand decides at one moment, in one Snapshot. Equal ones change nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effect {
    /// Slots that are not what probes say.
    pub slots: BTreeMap<SlotId, SlotHand>,
    /// Failovers with a preferred member, or held.
    pub failovers: BTreeMap<FailoverId, FailoverHand>,
    /// Weights to be changed, in order.
    pub weights: Vec<WeightChange>,
    /// The override that freezes all automation.
    pub pinned: Option<u64>,
    /// For each override those it hides, wholly or in part.
    pub hides: BTreeMap<u64, BTreeSet<u64>>,
    /// When an override begins or ends, next.
    pub next_change: Option<Moment>,
}

/// What the hand says of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotHand {
    /// What it is to be.
    pub is: SlotIs,
    /// The override that says so.
    pub by: u64,
}

/// What a slot is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotIs {
    /// Taken out, at once or bit by bit.
    Drained {
        /// Since when.
        since: Since,
        /// How long clients may take to leave.
        over: Option<Duration>,
    },
    /// Up, whatever probes say.
    Up,
    /// Down, whatever probes say.
    Down,
}

/// What the hand says of one failover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailoverHand {
    /// The member to prefer, and the override that says so.
    pub prefer: Option<(u8, u64)>,
    /// The override that keeps it where it stands.
    pub held: Option<u64>,
}

impl SlotHand {
    /// What steering is to see of a slot that probes see as `sight`. (A drain that takes its time
    /// counts as drained here; how its clients leave is a ramp.)
    pub fn over(&self, sight: Sight) -> Sight {
        match self.is {
            SlotIs::Drained { .. } => Sight { standing: Standing::Drained, failing: false },
            SlotIs::Down => Sight { standing: Standing::Down, failing: false },
            SlotIs::Up if sight.standing.is_up() => sight,
            SlotIs::Up => Sight { standing: Standing::Up, failing: false },
        }
    }
}

impl Effect {
    /// What it says of `slot`, if anything.
    pub fn slot(&self, slot: SlotId) -> Option<&SlotHand> {
        self.slots.get(&slot)
    }

    /// The overrides that `id` hides, wholly or in part.
    pub fn hidden_by(&self, id: u64) -> Vec<u64> {
        self.hides.get(&id).into_iter().flatten().copied().collect()
    }

    /// The overrides that hide `id`, wholly or in part.
    pub fn hiding(&self, id: u64) -> Vec<u64> {
        let hiding = self.hides.iter().filter(|(_, hidden)| hidden.contains(&id));
        hiding.map(|(by, _)| *by).collect()
    }
}

impl Hand {
    /// What all overrides together decide at `now`.
    pub fn effect(&self, snapshot: &Snapshot, now: Moment) -> Effect {
        let mut merge = Merge { now, ..Merge::default() };
        let begun = self.overrides.iter().filter_map(|one| Some((one.turn(now)?, one)));
        let begun: BTreeMap<u64, &Override> = begun.collect();
        begun.into_values().for_each(|one| merge.add(one, snapshot));
        // What is due and has not begun is to be looked at now.
        let due = (!self.due(now).is_empty()).then_some(now);
        let expiries = self.proposals.iter().map(|proposal| proposal.expires);
        let ahead = self.changes_after(now).into_iter().chain(expiries.filter(|at| *at > now));
        merge.effect.next_change = ahead.chain(due).min();
        merge.effect
    }
}

#[derive(Default)]
struct Merge {
    effect: Effect,
    now: Moment,
    /// Overrides that give a share: all members of a policy have their weight by them.
    shares: BTreeSet<u64>,
    /// Which override gave a weight last.
    endpoints: BTreeMap<SlotId, u64>,
    members: BTreeMap<(RecordId, NodeIx, Arc<str>), u64>,
}

impl Merge {
    fn add(&mut self, one: &Override, snapshot: &Snapshot) {
        let Some(target) = &one.target else {
            if let Some(before) = self.effect.pinned.replace(one.id) {
                self.hide(one.id, before);
            }
            return;
        };
        match &one.action {
            Action::Drain { over } => {
                let is = SlotIs::Drained { since: one.ran, over: *over };
                self.slots(one.id, target, is, snapshot);
            }
            Action::Force(ForceTo::Up) => self.slots(one.id, target, SlotIs::Up, snapshot),
            Action::Force(ForceTo::Down) => self.slots(one.id, target, SlotIs::Down, snapshot),
            Action::Weight { member, .. } => self.weight(one, target, member.as_ref(), snapshot),
            Action::Share { member, share } => {
                self.shares.insert(one.id);
                for (place, weight) in weights::divided(target, member, *share, snapshot) {
                    self.weigh(one.id, place, weight);
                }
            }
            Action::Failover { to } => self.prefer(one.id, target, to, snapshot),
            Action::Hold => self.hold(one.id, target, snapshot),
            // Has no target.
            Action::Pin => {}
        }
    }

    fn slots(&mut self, by: u64, target: &Target, is: SlotIs, snapshot: &Snapshot) {
        for slot in target.slots(snapshot) {
            let before = self.effect.slots.get(&slot).copied();
            let is = match before.map(|before| before.is) {
                Some(before) => self.taken_over(before, is, slot, snapshot),
                None => is,
            };
            self.effect.slots.insert(slot, SlotHand { is, by });
            if let Some(before) = before {
                self.hide(by, before.by);
            }
        }
    }

    /// `is`, after `before`: the share of clients that had left when it began has left. A drain
    /// without a time of its own takes as long as the slowest ramp that leads away from `slot`.
    fn taken_over(&self, before: SlotIs, is: SlotIs, slot: SlotId, snapshot: &Snapshot) -> SlotIs {
        let (SlotIs::Drained { since: first, over: old }, SlotIs::Drained { since, over }) =
            (before, is)
        else {
            return is;
        };
        let plans = snapshot.plans_of_slot[slot.index()].iter();
        let own = plans.filter_map(|plan| snapshot.plan(*plan).ramp).map(|ramp| ramp.over).max();
        let took = |over: Option<Duration>| over.or(own).unwrap_or_default().as_nanos();
        // Under a pin both stand still, so that this is always the same.
        let had = first.elapsed(self.now).saturating_sub(since.elapsed(self.now)).as_nanos();
        match (had.min(took(old)) * took(over)).checked_div(took(old)) {
            Some(had) => {
                let had = Duration::from_nanos(u64::try_from(had).unwrap_or(u64::MAX));
                SlotIs::Drained { since: since.earlier(had), over }
            }
            // All of them left at once.
            None => before,
        }
    }

    fn weight(
        &mut self,
        one: &Override,
        target: &Target,
        member: Option<&Arc<str>>,
        snapshot: &Snapshot,
    ) {
        let Action::Weight { weight, .. } = one.action else { return };
        let Some(place) = weights::place(target, member, snapshot) else { return };
        if let WeightPlace::Member { at, .. } = &place {
            self.end_shares(one.id, at);
        }
        self.weigh(one.id, place, weight);
    }

    /// A weight stands beside those of the files, not beside what a share made of them: the shares
    /// that were given `at` these policies count there no more.
    fn end_shares(&mut self, by: u64, at: &[(RecordId, NodeIx)]) {
        let mut ended = BTreeSet::new();
        for change in &mut self.effect.weights {
            let WeightPlace::Member { at: theirs, .. } = &mut change.place else { continue };
            let before = theirs.len();
            if self.shares.contains(&change.by) {
                theirs.retain(|place| !at.contains(place));
            }
            if theirs.len() < before {
                ended.insert(change.by);
            }
        }
        self.effect.weights.retain(|change| match &change.place {
            WeightPlace::Member { at, .. } => !at.is_empty(),
            WeightPlace::Endpoints(_) => true,
        });
        ended.into_iter().for_each(|share| self.hide(by, share));
    }

    fn weigh(&mut self, by: u64, place: WeightPlace, weight: Weight) {
        let mut before = BTreeSet::new();
        match &place {
            WeightPlace::Endpoints(slots) => {
                before.extend(slots.iter().filter_map(|&slot| self.endpoints.insert(slot, by)));
            }
            WeightPlace::Member { at, member } => {
                before.extend(at.iter().filter_map(|&(record, node)| {
                    self.members.insert((record, node, Arc::clone(member)), by)
                }));
            }
        }
        for before in before.into_iter().filter(|before| *before != by) {
            self.hide(by, before);
        }
        self.effect.weights.push(WeightChange { place, weight, by });
    }

    fn prefer(&mut self, by: u64, target: &Target, to: &str, snapshot: &Snapshot) {
        for failover in target.failovers(snapshot) {
            let members = &snapshot.failovers[failover.index()].members;
            let Some(member) = members.iter().position(|name| **name == *to) else { continue };
            let entry = self.effect.failovers.entry(failover).or_default();
            if let Some((_, before)) = entry.prefer.replace((member as u8, by)) {
                self.hide(by, before);
            }
        }
    }

    fn hold(&mut self, by: u64, target: &Target, snapshot: &Snapshot) {
        for failover in target.failovers(snapshot) {
            let entry = self.effect.failovers.entry(failover).or_default();
            if let Some(before) = entry.held.replace(by) {
                self.hide(by, before);
            }
        }
    }

    fn hide(&mut self, by: u64, hidden: u64) {
        self.effect.hides.entry(by).or_default().insert(hidden);
    }
}
