//! The state machines of all failovers, as they live from World to World.

use super::event::EventKind;
use crate::{
    clock::Moment,
    failover::{Command, Effect, Machine, Pending, Phase, Refusal, Seen},
    ids::{FailoverId, PlanId},
    policy::{
        Course, Directives, SlotRamp, available,
        tree::{NodeIx, Tree},
        works,
    },
    snapshot::{FailoverDefinition, Snapshot},
    steering::Moved,
    verdict::Standings,
};
use std::{
    cell::LazyCell,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// One machine for each failover of the Snapshot in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Latches {
    machines: Vec<Machine>,
    /// Names of those that changed since that was last asked.
    changed: BTreeSet<Arc<str>>,
    /// When they were last stepped.
    stepped: Moment,
}

/// What failovers look at beside the standings of their members.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Everything that moves answers; the courses in it are those before the step.
    pub moved: Moved<'a>,
    /// Whether the target with this key is up: of one without a result nothing is known, and a
    /// gate is shut until it is.
    pub is_up: &'a dyn Fn(&str) -> bool,
    /// What an operator said of it.
    pub order: &'a dyn Fn(&FailoverDefinition) -> Order,
}

/// What an operator said of one failover; nothing by default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    /// Index of the member that comes first while the order is in force.
    pub prefer: Option<u8>,
    /// Nothing moves.
    pub held: bool,
}

/// What a step of all machines came to.
pub(super) struct Stepped {
    /// What each failover does now.
    pub courses: Vec<Course>,
    /// The plans that these courses alter.
    pub plans: BTreeSet<PlanId>,
    /// What happened.
    pub events: Vec<EventKind>,
}

impl Latches {
    /// Machines for the failovers of `new`: found again by name, and their members too, so that
    /// a reload moves nobody whose member is still there. Tells of those whose member is not.
    pub fn carried_over(
        &self,
        old: &Snapshot,
        new: &Snapshot,
        inherited: &dyn Fn(&FailoverDefinition) -> Option<Machine>,
    ) -> (Latches, Vec<EventKind>) {
        let known = old.failovers.iter().zip(&self.machines);
        let known: HashMap<&str, _> = known.map(|known| (&*known.0.name, known)).collect();
        let mut events = Vec::new();
        let carry = |definition: &FailoverDefinition| {
            let Some((before, machine)) = known.get(&*definition.name) else {
                let fresh = || Machine::new(definition.members.len());
                return inherited(definition).unwrap_or_else(fresh);
            };
            let place = |member| before.members.iter().position(|name| name == member);
            let places: Vec<Option<usize>> = definition.members.iter().map(place).collect();
            let carried = machine.carried_over(&places);
            let from = &before.members[usize::from(machine.active())];
            let to = &definition.members[usize::from(carried.active())];
            if from != to {
                let why = "its active member is in the files no more";
                events.push(moved(definition, from, to, why));
            }
            carried
        };
        let machines = new.failovers.iter().map(carry).collect();
        (Latches { machines, changed: BTreeSet::new(), stepped: self.stepped }, events)
    }

    /// Steps the machines of the failovers in `asked` (of all, for `None`) and of those that may
    /// have something to do by now.
    pub fn step(
        &mut self,
        snapshot: &Snapshot,
        around: &Around<'_>,
        asked: Option<&BTreeSet<FailoverId>>,
        now: Moment,
    ) -> Stepped {
        self.stepped = now;
        let (mut plans, mut events) = (BTreeSet::new(), Vec::new());
        let mut courses = around.moved.directives.courses.to_vec();
        courses.resize(snapshot.failovers.len(), Course::default());
        let mut asked = asked.cloned();
        let proven = LazyCell::new(|| around.moved.standings.proven());
        // A failover that stands in another has the lower id, so whoever looks at it comes later.
        for (index, definition) in snapshot.failovers.iter().enumerate() {
            let moves = &snapshot.plans_of_failover[index];
            let machine = &mut self.machines[index];
            let is_asked = asked.as_ref().is_none_or(|a| a.contains(&FailoverId::at(index)));
            // A failover that no record refers to has no members to look at.
            if moves.is_empty() || !(is_asked || is_waiting(machine, definition)) {
                continue;
            }
            // Any plan that holds it can say what its slots' ramps come to.
            let plan = snapshot.plan(moves[0]);
            let order = (around.order)(definition);
            let ramps = around.moved.ramps_of(plan);
            let mut sight = Sight::of(definition, &ramps, around, &courses, works);
            let active = machine.active().into();
            if sight.works_without(active) {
                let moved = Moved { standings: &proven, ..around.moved };
                let around = Around { moved, ..*around };
                let proven = Sight::of(definition, &ramps, &around, &courses, available);
                sight.return_to_proven(&proven, active, order.prefer);
            }
            let before = machine.clone();
            let effects = machine.step(&definition.rules, &sight.seen(order), now);
            if !machine.is_same(&before) {
                self.changed.insert(Arc::clone(&definition.name));
            }
            events.extend(effects.into_iter().map(|effect| event(definition, machine, effect)));
            let course = machine.course(&definition.rules, now);
            if courses[index] != course {
                courses[index] = course;
                plans.extend(moves);
                if let Some(asked) = &mut asked {
                    asked.extend(moves.iter().flat_map(|plan| &snapshot.plan(*plan).failovers));
                }
            }
        }
        Stepped { courses, plans, events }
    }

    /// Tells one machine what an operator wishes, after it was stepped with the same around it;
    /// what follows for answers comes with the next step.
    ///
    /// # Errors
    /// When the machine refuses.
    pub fn command(
        &mut self,
        snapshot: &Snapshot,
        around: &Around<'_>,
        id: FailoverId,
        command: Command,
    ) -> Result<Vec<EventKind>, Refusal> {
        let definition = &snapshot.failovers[id.index()];
        let Some(plan) = snapshot.plans_of_failover[id.index()].first() else {
            return Err(Refusal::NothingAsked);
        };
        let ramps = around.moved.ramps_of(snapshot.plan(*plan));
        let courses = around.moved.directives.courses;
        let sight = Sight::of(definition, &ramps, around, courses, works);
        let machine = &mut self.machines[id.index()];
        let seen = sight.seen((around.order)(definition));
        let mut moved = Vec::new();
        if command == Command::Failback {
            // Whoever says so may return to what nobody has probed: the machine is shown all of it.
            moved = machine.step(&definition.rules, &seen, self.stepped);
            moved.retain(|effect| matches!(effect, Effect::Moved { .. }));
        }
        let effects = match machine.command(command, &definition.rules, &seen) {
            Err(_) if !moved.is_empty() => moved,
            told => told?,
        };
        self.changed.insert(Arc::clone(&definition.name));
        Ok(effects.into_iter().map(|effect| event(definition, machine, effect)).collect())
    }

    /// Whether the machine of this name changed since [`Latches::forget_changes`].
    pub fn has_changed(&self, name: &str) -> bool {
        self.changed.contains(name)
    }

    /// What changed so far is known.
    pub fn forget_changes(&mut self) {
        self.changed.clear();
    }

    /// Each failover with its machine.
    pub fn of<'s>(
        &'s self,
        snapshot: &'s Snapshot,
    ) -> impl Iterator<Item = (&'s FailoverDefinition, &'s Machine)> + 's {
        snapshot.failovers.iter().zip(&self.machines)
    }

    /// The failovers that would move and wait: their active member, and for what.
    pub fn pending<'s>(
        &'s self,
        snapshot: &'s Snapshot,
    ) -> impl Iterator<Item = (FailoverId, u8, Pending)> + 's {
        let machines = snapshot.failovers.iter().zip(&self.machines).enumerate();
        machines.filter_map(|(index, (definition, machine))| {
            let pending = machine.pending(&definition.rules)?;
            Some((FailoverId::at(index), machine.active(), pending))
        })
    }

    /// When the next failover has something to do by itself.
    pub fn wake(&self, snapshot: &Snapshot, now: Moment) -> Option<Moment> {
        let latches = snapshot.failovers.iter().zip(&self.machines);
        latches.filter_map(|(definition, machine)| machine.wake(&definition.rules, now)).min()
    }
}

/// Whether time alone may move it.
fn is_waiting(machine: &Machine, definition: &FailoverDefinition) -> bool {
    machine.pending(&definition.rules).is_some()
        || matches!(machine.phase(), Phase::FailingOver | Phase::FailingBack)
}

/// In which sense a member is up.
type Look = fn(&Tree, NodeIx, &Standings, &Directives<'_>) -> bool;

/// What one machine is shown.
struct Sight {
    available: Vec<bool>,
    allowed: Vec<bool>,
    leaving: Vec<bool>,
}

impl Sight {
    fn of(
        definition: &FailoverDefinition,
        ramps: &[SlotRamp],
        around: &Around<'_>,
        courses: &[Course],
        is_up: Look,
    ) -> Sight {
        let members = definition.member_nodes();
        let up = |ramps: &[SlotRamp]| -> Vec<bool> {
            let directives = Directives { courses, ramps, ..around.moved.directives };
            let up = |&node| is_up(&definition.tree, node, around.moved.standings, &directives);
            members.iter().map(up).collect()
        };
        let available = up(ramps);
        let leaving = match ramps.is_empty() {
            true => vec![false; available.len()],
            // Available only thanks to what is still on its way out.
            false => std::iter::zip(&available, up(&[]))
                .map(|(with, without)| *with && !without)
                .collect(),
        };
        let gates = |member: usize| definition.gates.get(member).into_iter().flatten();
        let is_allowed = |member| gates(member).all(|gate| (around.is_up)(gate));
        Sight { allowed: (0..available.len()).map(is_allowed).collect(), available, leaving }
    }

    /// Whether clients could be sent back from `active`, which works, to a member before it.
    fn works_without(&self, active: usize) -> bool {
        self.available.get(active) == Some(&true) && self.available[..active].contains(&true)
    }

    /// What nobody has probed or found yet may be answered, but no health of it is unbroken: while
    /// `active` works, the members before it count only if they are `proven`. An operator may
    /// prefer one.
    fn return_to_proven(&mut self, proven: &Sight, active: usize, prefer: Option<u8>) {
        let is_preferred = |member: usize| prefer.map(usize::from) == Some(member);
        for member in (0..active).filter(|member| !is_preferred(*member)) {
            self.available[member] &= proven.available[member];
        }
    }

    fn seen(&self, order: Order) -> Seen<'_> {
        Seen {
            available: &self.available,
            allowed: &self.allowed,
            leaving: &self.leaving,
            prefer: order.prefer,
            held: order.held,
        }
    }
}

fn event(definition: &FailoverDefinition, machine: &Machine, effect: Effect) -> EventKind {
    let member = |index: u8| &definition.members[usize::from(index)];
    let (other, why) = match effect {
        Effect::Moved { from, to, cause } => {
            return moved(definition, member(from), member(to), cause.why());
        }
        Effect::Waiting { to, wait } => (to, wait.what()),
        Effect::Withdrawn { to } => (to, "waits no more"),
        Effect::Granted { to } => (to, "is approved: clients follow as the active one is drained"),
        Effect::RampStarted { from } => (from, "is left little by little"),
        Effect::RampEnded { from } => (from, "has been left"),
        Effect::RampAborted { from } => (from, "is left no more"),
    };
    EventKind::Phase {
        name: Arc::clone(&definition.name),
        phase: machine.phase().word().into(),
        active: Arc::clone(member(machine.active())),
        other: Arc::clone(member(other)),
        why: why.into(),
    }
}

fn moved(
    definition: &FailoverDefinition,
    from: &Arc<str>,
    to: &Arc<str>,
    why: &'static str,
) -> EventKind {
    let name = Arc::clone(&definition.name);
    EventKind::Failover { name, from: Arc::clone(from), to: Arc::clone(to), why: why.into() }
}
