//! What control is in the middle of, for `status` and metrics: what is held, what waits.

use super::{latches::Latches, publish::Control};
use crate::{clock::Moment, failover::breaker::Summary, snapshot::Snapshot, units::Share};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The overview as it is shared with those who show it.
pub type SharedOverview = Arc<ArcSwap<Overview>>;

/// Everything that is not settled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// What the breaker holds.
    pub breaker: Summary,
    /// All automation is frozen.
    pub pinned: bool,
    /// Failovers that do not rest on their first member.
    pub failovers: Vec<Unsettled>,
}

/// A failover that is on its way, waits, or rests elsewhere than it would rather.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsettled {
    /// `zone/record` or `zone/policy`.
    pub name: Arc<str>,
    /// As DESIGN §5 names it: `standby`, `failing-over`, `failback-pending`, …
    pub phase: &'static str,
    /// The member that takes part of what another one leaves, and how much of it already does.
    pub leaving: Option<(Arc<str>, Share)>,
    /// The move that waits.
    pub waits: Option<Waits>,
}

/// A move that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waits {
    /// Where to.
    pub to: Arc<str>,
    /// What for: `waits for approval`.
    pub what: &'static str,
    /// When that will be over by itself.
    pub due: Option<Moment>,
    /// Whether an operator can end it with `approve`.
    pub by_approval: bool,
}

impl Control {
    /// What this is in the middle of.
    pub fn overview(&self) -> SharedOverview {
        Arc::clone(&self.overview)
    }

    /// Brings the overview up to date.
    pub(super) fn show(&self) {
        let world = self.publisher.world();
        let overview = Overview {
            breaker: self.held(),
            pinned: self.pinned,
            failovers: unsettled(&self.latches, &world.snapshot, self.clock.now()),
        };
        if **self.overview.load() != overview {
            self.overview.store(Arc::new(overview));
        }
    }
}

fn unsettled(latches: &Latches, snapshot: &Snapshot, now: Moment) -> Vec<Unsettled> {
    let mut found = Vec::new();
    for (definition, machine) in latches.of(snapshot) {
        let pending = machine.pending(&definition.rules);
        let leaving = machine.course(&definition.rules, now).leaving;
        if machine.active() == 0 && pending.is_none() && leaving.is_none() && !machine.is_held() {
            continue;
        }
        let member = |index: u8| Arc::clone(&definition.members[usize::from(index)]);
        found.push(Unsettled {
            name: Arc::clone(&definition.name),
            phase: machine.phase().word(),
            leaving: leaving.map(|(from, moved)| (member(from), moved)),
            waits: pending.map(|pending| Waits {
                to: member(pending.to),
                what: pending.wait.what(),
                due: pending.due,
                by_approval: pending.wait == crate::failover::Wait::Approval,
            }),
        });
    }
    found
}
