//! The one owner of the Publisher: puts Snapshot, verdicts and latches together into Worlds.
//!
//! Everything that alters answers ends here: a compiled Snapshot comes in through
//! [`Control::install`], verdicts through [`Control::observe`], the passing of time through
//! [`Control::tick`]. Each works out which plans it touches, makes only those anew, swaps the
//! World once and writes down who, why and how long it took. Runs on one thread, reads time
//! from its clock, does no I/O.

use super::event::{EventKind, Journal};
use crate::{
    clock::{Clock, Moment},
    failover::{Cause, Latch},
    ids::{FailoverId, PlanId, SlotId},
    policy::{Basis, available},
    snapshot::{FailoverDefinition, Slot, SlotAddress, Snapshot},
    steering::Steering,
    verdict::{Sight, Standing, Verdict},
    world::{Publisher, Reader, State, World},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What health found out about one target; every slot it judges follows.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetVerdict {
    /// The target's key.
    pub key: Arc<str>,
    /// What steering is to see.
    pub sight: Sight,
    /// Why.
    pub reason: Arc<str>,
    /// When the probe that decided it ended.
    pub at: Moment,
}

/// The journal as it is shared with those who read it.
#[derive(Clone, Debug, Default)]
pub struct SharedJournal(Arc<Mutex<Journal>>);

impl SharedJournal {
    /// The journal, for a moment. Never held while anything is published.
    pub fn lock(&self) -> MutexGuard<'_, Journal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The owner of the Publisher and of everything that lives from World to World.
pub struct Control {
    clock: Arc<dyn Clock>,
    publisher: Publisher,
    journal: SharedJournal,
    /// The newest verdict on every target of the plan in force, by key.
    known: HashMap<Arc<str>, TargetVerdict>,
    /// By [`FailoverId`] of the Snapshot in force.
    latches: Vec<Latch>,
    /// When the next pending failback is due.
    wake: Option<Moment>,
    /// Until the first results of health checks are in.
    warming: bool,
}

impl Control {
    /// Control over an empty World: everything is refused until something is installed.
    pub fn new(clock: Arc<dyn Clock>) -> Control {
        Control {
            clock,
            publisher: Publisher::new(World::default()),
            journal: SharedJournal::default(),
            known: HashMap::new(),
            latches: Vec::new(),
            wake: None,
            warming: true,
        }
    }

    /// A view for one more thread.
    pub fn reader(&self) -> Reader {
        self.publisher.reader()
    }

    /// The World in force.
    pub fn world(&self) -> Arc<World> {
        self.publisher.world()
    }

    /// What happened so far.
    pub fn journal(&self) -> SharedJournal {
        self.journal.clone()
    }

    /// When [`Control::tick`] has something to do.
    pub fn wake(&self) -> Option<Moment> {
        self.wake
    }

    /// Writes down something that alters no answer.
    pub fn record(&self, kind: EventKind) {
        let swap = self.publisher.world().swap;
        self.journal.lock().record(self.clock.now(), self.clock.wall(), swap, kind);
    }

    /// Ends the wait for first results: from here on steered names are answered.
    pub fn warm(&mut self) {
        if std::mem::take(&mut self.warming) {
            let world = self.publisher.world();
            self.install(Arc::clone(&world.snapshot), world.revision);
        }
    }

    /// Publishes a newly compiled Snapshot. Verdicts, the order of falls and latches are carried
    /// over by stable name, so that a reload changes no answer that its files do not change.
    pub fn install(&mut self, snapshot: Arc<Snapshot>, revision: u64) {
        let started = self.clock.now();
        let old = self.publisher.world();
        let keys: BTreeSet<&Arc<str>> =
            snapshot.slots.iter().filter_map(|slot| slot.target.as_ref()).collect();
        self.known.retain(|key, _| keys.contains(key));
        let fell_before = fell_by_name(&old);
        let mut state = State::default();
        for slot in &snapshot.slots {
            let verdict = self.judge(slot);
            state.standings.0.push(verdict.sight);
            state.verdicts.push(verdict);
            let before = fell_before.get(&(&*slot.name, &slot.address)).copied();
            state.fell.push(before.unwrap_or(0));
        }
        self.latches = carried_latches(&self.latches, &old.snapshot, &snapshot);
        let swap = old.swap + 1;
        let (_, mut events) = self.step_failovers(&snapshot, &mut state, None);
        let warming = self.warming;
        let steering = match warming {
            true => Steering::default(),
            false => Steering::build(&snapshot, state.moved()),
        };
        let plans = snapshot.plans.len();
        self.publisher.publish(World {
            revision,
            swap,
            warming,
            snapshot,
            steering,
            state: Arc::new(state),
        });
        events.push(EventKind::Published { plans, took: self.clock.now().since(started) });
        self.write(swap, events);
    }

    /// Takes in what health found out. One change, however many targets it concerns.
    pub fn observe(&mut self, found: Vec<TargetVerdict>) {
        let Some(earliest) = found.iter().map(|verdict| verdict.at).min() else { return };
        let old = self.publisher.world();
        let swap = old.swap + 1;
        let mut state = (*old.state).clone();
        let mut touched = BTreeSet::new();
        let mut events = Vec::new();
        let mut changed: HashMap<&Arc<str>, &TargetVerdict> = HashMap::new();
        for verdict in &found {
            self.known.insert(Arc::clone(&verdict.key), verdict.clone());
            changed.insert(&verdict.key, verdict);
        }
        if self.warming {
            return;
        }
        for (index, slot) in old.snapshot.slots.iter().enumerate() {
            let Some(verdict) = slot.target.as_ref().and_then(|key| changed.get(key)) else {
                continue;
            };
            events.extend(self.turn(&mut state, SlotId::at(index), slot, verdict, swap));
            touched.extend(old.snapshot.plans_of_slot[index].iter().copied());
        }
        self.settle(&old, state, touched, events, earliest);
    }

    /// Looks at the clock: pending failbacks fall due, replaced Worlds are freed.
    pub fn tick(&mut self) {
        self.publisher.collect();
        let now = self.clock.now();
        if self.wake.is_some_and(|at| at <= now) {
            let old = self.publisher.world();
            let state = (*old.state).clone();
            self.settle(&old, state, BTreeSet::new(), Vec::new(), now);
        }
    }

    /// Steps the latches, makes the touched plans anew and publishes, if anything changed.
    fn settle(
        &mut self,
        old: &World,
        mut state: State,
        mut touched: BTreeSet<PlanId>,
        mut events: Vec<EventKind>,
        since: Moment,
    ) {
        let (moved, transitions) = self.step_failovers(&old.snapshot, &mut state, Some(&touched));
        touched.extend(moved);
        events.extend(transitions);
        if *old.state == state {
            return;
        }
        let touched: Vec<PlanId> = touched.into_iter().collect();
        let steering = old.steering.rebuilt(&old.snapshot, &touched, state.moved());
        events.extend(basis_changes(old, &steering, &touched));
        let world = World {
            revision: old.revision,
            swap: old.swap + 1,
            warming: false,
            snapshot: Arc::clone(&old.snapshot),
            steering,
            state: Arc::new(state),
        };
        let swap = world.swap;
        self.publisher.publish(world);
        let took = self.clock.now().since(since);
        events.push(EventKind::Published { plans: touched.len(), took });
        self.write(swap, events);
    }

    fn write(&self, swap: u64, events: Vec<EventKind>) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut journal = self.journal.lock();
        for event in events {
            journal.record(now, wall, swap, event);
        }
    }

    /// The verdict on a slot of a new Snapshot, from what is known of its target.
    fn judge(&self, slot: &Slot) -> Verdict {
        let (sight, reason, since) = match slot.target.as_ref().map(|key| self.known.get(key)) {
            None => (Sight { standing: Standing::Up, failing: false }, "no check".into(), None),
            Some(None) => (Sight::default(), "not probed yet".into(), None),
            Some(Some(known)) => (known.sight, Arc::clone(&known.reason), Some(known.at)),
        };
        let since = since.unwrap_or_else(|| self.clock.now());
        let ago = self.clock.now().since(since);
        let since_wall = self.clock.wall().checked_sub(ago).unwrap_or(std::time::UNIX_EPOCH);
        Verdict { sight, reason, since, since_wall }
    }

    /// Turns one slot's verdict; an event if its standing changed.
    fn turn(
        &self,
        state: &mut State,
        id: SlotId,
        slot: &Slot,
        found: &TargetVerdict,
        swap: u64,
    ) -> Option<EventKind> {
        let from = state.standings.of(id).standing;
        let to = found.sight.standing;
        state.standings.0[id.index()] = found.sight;
        let verdict = &mut state.verdicts[id.index()];
        verdict.sight = found.sight;
        verdict.reason = Arc::clone(&found.reason);
        if from == to {
            return None;
        }
        (verdict.since, verdict.since_wall) = (found.at, self.clock.wall());
        // Down at its very first result is not a fall: nothing was known to be good.
        if from != Standing::Unknown && from.is_up() && !to.is_up() {
            state.fell[id.index()] = swap;
        }
        Some(EventKind::Verdict {
            slot: Arc::clone(&slot.name),
            address: slot.address.to_string().into(),
            from,
            to,
            reason: Arc::clone(&found.reason),
            decided: found.at,
        })
    }

    /// Steps every latch that `touched` plans refer to (all, for `None`) and those that are due;
    /// returns the plans they moved and what happened.
    fn step_failovers(
        &mut self,
        snapshot: &Snapshot,
        state: &mut State,
        touched: Option<&BTreeSet<PlanId>>,
    ) -> (Vec<PlanId>, Vec<EventKind>) {
        let now = self.clock.now();
        let (mut plans, mut events) = (Vec::new(), Vec::new());
        let mut wake: Option<Moment> = None;
        state.active.resize(snapshot.failovers.len(), 0);
        for (index, definition) in snapshot.failovers.iter().enumerate() {
            let moves = &snapshot.plans_of_failover[index];
            let asked = touched.is_none_or(|touched| moves.iter().any(|p| touched.contains(p)));
            if !asked && !self.latches[index].failback_pending() {
                continue;
            }
            let members = definition.member_nodes();
            let up: Vec<bool> =
                members.iter().map(|&m| available(&definition.tree, m, &state.standings)).collect();
            let stepped = self.latches[index].step(&up, definition.failback, now);
            state.active[index] = self.latches[index].active();
            wake = [wake, stepped.wake].into_iter().flatten().min();
            if let Some(transition) = stepped.transition {
                plans.extend_from_slice(moves);
                events.push(EventKind::Failover {
                    name: Arc::clone(&definition.name),
                    from: Arc::clone(&definition.members[usize::from(transition.from)]),
                    to: Arc::clone(&definition.members[usize::from(transition.to)]),
                    why: match transition.cause {
                        Cause::Lost => "the active member is not available",
                        Cause::Failback => "a preferred member has been available long enough",
                    },
                });
            }
        }
        self.wake = wake;
        (plans, events)
    }
}

/// When each slot of `world` fell, by what it is called and answers.
fn fell_by_name(world: &World) -> HashMap<(&str, &SlotAddress), u64> {
    let slots = world.snapshot.slots.iter().zip(&world.state.fell);
    slots.map(|(slot, &fell)| ((&*slot.name, &slot.address), fell)).collect()
}

/// Latches for the failovers of `new`, found again by name, their members too.
fn carried_latches(latches: &[Latch], old: &Snapshot, new: &Snapshot) -> Vec<Latch> {
    let known: HashMap<&str, FailoverId> =
        old.failovers.iter().enumerate().map(|(i, f)| (&*f.name, FailoverId::at(i))).collect();
    let carry = |definition: &FailoverDefinition| {
        let Some(&id) = known.get(&*definition.name) else {
            return Latch::new(definition.members.len());
        };
        let before = &old.failovers[id.index()].members;
        let places: Vec<Option<usize>> = definition
            .members
            .iter()
            .map(|member| before.iter().position(|name| name == member))
            .collect();
        latches[id.index()].carried_over(&places)
    };
    new.failovers.iter().map(carry).collect()
}

/// Plans which now answer on other grounds than before.
fn basis_changes(old: &World, steering: &Steering, touched: &[PlanId]) -> Vec<EventKind> {
    let changed = |plan: &&PlanId| worst(&old.steering, **plan) != worst(steering, **plan);
    let event = |&plan: &PlanId| {
        let mut users = old.snapshot.records.iter().filter(|record| record.plan == plan);
        let first = users.next()?;
        Some(EventKind::Basis {
            record: Arc::clone(&first.id),
            records: 1 + users.count(),
            basis: worst(steering, plan).word(),
        })
    };
    touched.iter().filter(changed).filter_map(event).collect()
}

/// The grounds furthest from health on which any class is answered.
fn worst(steering: &Steering, plan: PlanId) -> Basis {
    let badness = |basis: &Basis| match basis {
        Basis::Healthy => 0,
        Basis::IgnoringMinHealthy => 1,
        Basis::AllDown(_) => 2,
    };
    let grounds = steering.plan(plan).selections().iter().map(|selection| selection.basis);
    grounds.max_by_key(badness).unwrap_or(Basis::Healthy)
}
