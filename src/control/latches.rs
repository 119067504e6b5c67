//! The state machines of all failovers, as they live from World to World.

use super::event::EventKind;
use crate::{
    clock::Moment,
    failover::{Cause, Latch, Transition},
    ids::{FailoverId, PlanId},
    policy::available,
    snapshot::{FailoverDefinition, Snapshot},
    verdict::Standings,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// One latch for each failover of the Snapshot in force.
#[derive(Debug, Default)]
pub(super) struct Latches(Vec<Latch>);

impl Latches {
    /// Latches for the failovers of `new`: found again by name, and their members too, so that a
    /// reload moves nobody whose member is still there. Tells of those whose member is not.
    pub fn carried_over(&self, old: &Snapshot, new: &Snapshot) -> (Latches, Vec<EventKind>) {
        let known = old.failovers.iter().zip(&self.0);
        let known: HashMap<&str, _> = known.map(|known| (&*known.0.name, known)).collect();
        let mut events = Vec::new();
        let carry = |definition: &FailoverDefinition| {
            let Some((before, latch)) = known.get(&*definition.name) else {
                return Latch::new(definition.members.len());
            };
            let place = |member| before.members.iter().position(|name| name == member);
            let places: Vec<Option<usize>> = definition.members.iter().map(place).collect();
            let carried = latch.carried_over(&places);
            let from = &before.members[usize::from(latch.active())];
            let to = &definition.members[usize::from(carried.active())];
            if from != to {
                events.push(event(
                    definition,
                    from,
                    to,
                    "its active member is in the files no more",
                ));
            }
            carried
        };
        let latches = new.failovers.iter().map(carry).collect();
        (Latches(latches), events)
    }

    /// Steps the latches of the failovers in `asked` (of all, for `None`) and those that wait
    /// for a failback; returns the plans they moved and what happened.
    pub fn step(
        &mut self,
        snapshot: &Snapshot,
        standings: &Standings,
        asked: Option<&BTreeSet<FailoverId>>,
        now: Moment,
    ) -> (BTreeSet<PlanId>, Vec<EventKind>) {
        let (mut plans, mut events) = (BTreeSet::new(), Vec::new());
        for (index, (definition, latch)) in snapshot.failovers.iter().zip(&mut self.0).enumerate() {
            let moves = &snapshot.plans_of_failover[index];
            let is_asked = asked.is_none_or(|asked| asked.contains(&FailoverId::at(index)));
            // A failover that no record refers to has no members to look at.
            if moves.is_empty() || !(is_asked || latch.failback_pending()) {
                continue;
            }
            let members = definition.member_nodes().iter();
            let up: Vec<bool> =
                members.map(|&member| available(&definition.tree, member, standings)).collect();
            if let Some(transition) = latch.step(&up, definition.failback, now) {
                plans.extend(moves);
                events.push(moved(definition, transition));
            }
        }
        (plans, events)
    }

    /// The active member of each.
    pub fn active(&self) -> Vec<u8> {
        self.0.iter().map(Latch::active).collect()
    }

    /// When the next pending failback is due.
    pub fn wake(&self, snapshot: &Snapshot) -> Option<Moment> {
        let latches = snapshot.failovers.iter().zip(&self.0);
        latches.filter_map(|(definition, latch)| latch.wake(definition.failback)).min()
    }
}

fn moved(definition: &FailoverDefinition, transition: Transition) -> EventKind {
    let member = |index: u8| &definition.members[usize::from(index)];
    let why = match transition.cause {
        Cause::Lost => "the active member is not available",
        Cause::Failback => "a preferred member has been available long enough",
    };
    event(definition, member(transition.from), member(transition.to), why)
}

fn event(
    definition: &FailoverDefinition,
    from: &Arc<str>,
    to: &Arc<str>,
    why: &'static str,
) -> EventKind {
    let name = Arc::clone(&definition.name);
    EventKind::Failover { name, from: Arc::clone(from), to: Arc::clone(to), why: why.into() }
}
