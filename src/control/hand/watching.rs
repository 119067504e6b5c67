//! Drains looked at while they last: how far they have come, what keeps them, when they are through.

use super::{
    Action, Override, SlotIs,
    drain::{DrainStage, KeptBy, KeptDrain, Watched, is_below},
    tell,
};
use crate::{
    clock::Moment,
    control::{event::EventKind, publish::Control},
    failover::Wait,
    ids::PlanId,
    policy::{Basis, rules::Mode},
    world::World,
};
use std::collections::BTreeMap;

/// The drains that have begun.
#[derive(Debug, Default)]
pub(in crate::control) struct Drains {
    watched: BTreeMap<u64, Watched>,
    /// How far those of the process before had come that were not looked at yet.
    inherited: KeptDrains,
}

/// What of drains outlives the process, by their number.
pub(in crate::control) type KeptDrains = BTreeMap<u64, KeptDrain>;

impl Drains {
    /// Drains that go on where a process before left them.
    pub fn inheriting(inherited: KeptDrains) -> Drains {
        Drains { watched: BTreeMap::new(), inherited }
    }

    /// What is to outlive the process.
    pub fn kept(&self, now: Moment) -> KeptDrains {
        let kept = self.watched.iter().filter_map(|(id, one)| Some((*id, one.kept(now)?)));
        self.inherited.iter().map(|(id, kept)| (*id, *kept)).chain(kept).collect()
    }
}

impl Control {
    /// Looks at every drain, once a second and after each change of an operator's.
    pub(in crate::control) fn look_at_drains(&mut self) {
        let now = self.clock.now();
        let mut before = std::mem::take(&mut self.drains.watched);
        let world = self.publisher.world();
        let is_drain = |one: &&Override| {
            matches!(one.action, Action::Drain { .. }) && one.is_active(now) && !world.warming
        };
        let active = self.operator.hand().overrides().iter().filter(is_drain);
        let (mut watched, mut events) = (BTreeMap::new(), Vec::new());
        for one in active {
            let mut drain = before.remove(&one.id).unwrap_or_else(|| {
                let drain = Watched::new(one, &world.snapshot);
                match self.drains.inherited.remove(&one.id) {
                    Some(kept) => drain.resumed(&kept, now),
                    None => drain,
                }
            });
            let told = drain.progress.take().map(|progress| progress.state);
            let plans = drain.look(one, &world, self.traffic.telemetry(), now);
            let kept = self.kept_by(one, &drain, &plans, &world, now);
            if let (Some(progress), Some(kept)) = (&mut drain.progress, kept) {
                progress.state = DrainStage::Answered(kept);
            }
            if let Some(state) = drain.news(told.as_ref()) {
                events.extend(news(one, state));
            }
            watched.insert(one.id, drain);
        }
        let progress = watched.iter().filter_map(|(id, one)| Some((*id, one.progress.clone()?)));
        self.operator.show_drains(progress.collect());
        self.drains.watched = watched;
        // Others are written with all that time changes.
        if !events.is_empty() {
            self.keep_drains();
        }
        self.write(world.swap, events);
    }

    /// What keeps `one` in the answers of `plans` until somebody does something, if anything.
    fn kept_by(
        &self,
        one: &Override,
        drain: &Watched,
        plans: &[PlanId],
        world: &World,
        now: Moment,
    ) -> Option<KeptBy> {
        let &plan = plans.first()?;
        let slots = &self.operator.effect().slots;
        let over = drain.slots().iter().find_map(|slot| {
            let hand = slots.get(slot).filter(|hand| hand.by != one.id)?;
            matches!(hand.is, SlotIs::Up).then_some(hand.by)
        });
        if let Some(by) = over {
            let remedy = format!("tradewind force id:{by} auto");
            return Some(KeptBy { why: format!("#{by} forces part of it up"), remedy });
        }
        let snapshot = &world.snapshot;
        for (definition, machine) in self.latches.of(snapshot) {
            let is_here = snapshot
                .plan(plan)
                .failovers
                .iter()
                .any(|id| snapshot.failovers[id.index()].name == definition.name);
            let active = definition.member_nodes().get(usize::from(machine.active()));
            let is_kept = is_here
                && active.is_some_and(|&node| is_below(&definition.tree, node, drain.slots()));
            if !is_kept {
                continue;
            }
            let (name, target) =
                (&definition.name, tell::failover_target(&definition.name, snapshot));
            if self.pinned {
                let why = format!("all automation is pinned: {name} stays where it is");
                return Some(KeptBy { why, remedy: "tradewind unpin".into() });
            }
            let pending = machine.pending(&definition.rules);
            if machine.is_held() && pending.is_some() {
                let remedy = format!("tradewind unhold {target}");
                return Some(KeptBy { why: format!("{name} is held"), remedy });
            }
            match pending.map(|pending| (pending.wait, pending.to)) {
                Some((Wait::Approval, _)) => {
                    let why = format!("{name} waits for approval");
                    return Some(KeptBy { why, remedy: format!("tradewind approve {target}") });
                }
                Some((Wait::Gate, to)) => {
                    let to = &definition.members[usize::from(to)];
                    let why = format!("{name} waits for what `{to}` requires");
                    let remedy = format!("bring up what `{to}` requires, or undrain");
                    return Some(KeptBy { why, remedy });
                }
                Some((Wait::Delay | Wait::Hold, _)) => return None,
                None if definition.rules.failover == Mode::Manual && drain.is_through(one, now) => {
                    let why =
                        format!("{name} moves by hand only, and nothing was asked or granted");
                    let remedy = format!("tradewind failover {target} --to MEMBER");
                    return Some(KeptBy { why, remedy });
                }
                None => {}
            }
        }
        if self.pinned && !drain.is_through(one, now) {
            let why = "all automation is pinned: clients leave no further".to_owned();
            return Some(KeptBy { why, remedy: "tradewind unpin".into() });
        }
        let selections = world.steering.plan(plan).selections();
        let records = snapshot.records.iter().find(|record| record.plan == plan);
        let name = records.map_or("", |record| &*record.id);
        if selections.iter().any(|selection| matches!(selection.basis, Basis::AllDown(_))) {
            let why = format!("{name} has nothing else that is up: it is answered by `all_down`");
            let remedy = "bring something else up (`tradewind status`), or undrain".into();
            return Some(KeptBy { why, remedy });
        }
        drain.is_through(one, now).then(|| KeptBy {
            why: format!("answers of {name} still name one of its addresses"),
            remedy: "`tradewind explain` says why; drain all that stands at the address".into(),
        })
    }
}

/// What is written down when a drain comes to stand so.
fn news(one: &Override, state: &DrainStage) -> Option<EventKind> {
    let (became, said, alarm) = match state {
        DrainStage::Draining => return None,
        DrainStage::Answered(KeptBy { why, remedy }) => {
            ("still answered", format!("{why}; {remedy}"), true)
        }
        DrainStage::Drained => {
            ("drained", "no answer names it and the last one has run out".to_owned(), false)
        }
    };
    Some(EventKind::Hand {
        id: one.id,
        what: tell::what(one).into(),
        became: became.into(),
        said: said.into(),
        alarm,
    })
}
