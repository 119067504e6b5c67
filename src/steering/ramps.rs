//! Ramps of slots: functions of time, turned into plain shares before select() is asked.

use crate::{
    clock::{Moment, Since},
    ids::SlotId,
    policy::{RampKind, SlotRamp},
    snapshot::{Plan, Ramp},
    units::Share,
};
use std::time::Duration;

/// One slot on its way up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RampState {
    /// Which.
    pub slot: SlotId,
    /// Which way.
    pub kind: RampKind,
    /// Since when.
    pub since: Since,
    /// How long it takes; `None` = as long as each plan's own `ramp` says, and no time at all
    /// under a plan without one.
    pub over: Option<Duration>,
}

impl RampState {
    /// What it comes to under `plan` at `now`; nothing once it is over, or where none is asked
    /// for: then the slot's standing alone counts.
    pub fn share(&self, plan: &Plan, now: Moment) -> Option<SlotRamp> {
        let own = plan.ramp;
        let over = self.over.or(own.map(|ramp| ramp.over))?;
        let elapsed = self.since.elapsed(now);
        let share = match self.kind {
            RampKind::Rising => {
                let start = own.map_or(Ramp::START, |ramp| ramp.start);
                Ramp { over, start }.share(elapsed)
            }
            RampKind::Leaving => Ramp { over, start: Share::NONE }.share(elapsed).rest(),
        };
        let is_over = Ramp { over, start: Share::NONE }.is_over(elapsed);
        (!is_over).then_some(SlotRamp { slot: self.slot, share, kind: self.kind })
    }
}

/// The ramps of `plan`, ordered by slot as `ramps` are; usually none.
pub(super) fn of_plan(plan: &Plan, ramps: &[RampState], now: Moment) -> Vec<SlotRamp> {
    // Nearly always there is nothing to look through.
    if ramps.is_empty() {
        return Vec::new();
    }
    let state = |slot: &SlotId| {
        let found = ramps.binary_search_by_key(slot, |ramp| ramp.slot);
        found.ok().and_then(|index| ramps[index].share(plan, now))
    };
    let mut found: Vec<SlotRamp> = plan.slots.iter().filter_map(state).collect();
    found.sort_unstable_by_key(|ramp| ramp.slot);
    found
}
