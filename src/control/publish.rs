//! The one owner of the Publisher: puts Snapshot, verdicts and latches together into Worlds.
//!
//! Everything that alters answers ends here: a compiled Snapshot comes in through
//! [`Control::install`], verdicts through [`Control::observe`], the passing of time through
//! [`Control::tick`]. Each works out which plans it touches, makes only those anew, swaps the
//! World once and writes down who, why and how long it took. Runs on one thread, reads time
//! from its clock, does no I/O.

use super::{
    event::{EventKind, Journal},
    grounds,
    latches::{Around, Latches, Order, Stepped},
    verdicts::Turn,
};
use crate::{
    clock::{Clock, Moment},
    ids::{FailoverId, PlanId, SlotId},
    snapshot::Snapshot,
    steering::Steering,
    verdict::{Sight, Standing},
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
    /// The newest verdict on every target of the Snapshot in force, by key.
    known: HashMap<Arc<str>, TargetVerdict>,
    /// The slots each of those targets judges.
    judged: HashMap<Arc<str>, Vec<SlotId>>,
    latches: Latches,
    /// When the next pending failback is due.
    wake: Option<Moment>,
    /// Until the first results of health checks are in.
    warming: bool,
}

/// What one change comes to before it is published.
struct Outcome {
    state: State,
    /// Plans to be made anew.
    touched: BTreeSet<PlanId>,
    events: Vec<EventKind>,
    /// When its first cause happened.
    since: Moment,
}

impl Control {
    /// Control over an empty World: everything is refused until something is installed.
    pub fn new(clock: Arc<dyn Clock>) -> Control {
        Control {
            clock,
            publisher: Publisher::new(World::default()),
            journal: SharedJournal::default(),
            known: HashMap::new(),
            judged: HashMap::new(),
            latches: Latches::default(),
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
        self.write(self.publisher.world().swap, vec![kind]);
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
        let swap = old.swap + 1;
        self.judged = judged(&snapshot);
        self.known.retain(|key, _| self.judged.contains_key(key));
        let turn = Turn { clock: &*self.clock, swap };
        let (mut state, mut events) = turn.carried_over(&old, &snapshot, &self.known);
        let (latches, gone) = self.latches.carried_over(&old.snapshot, &snapshot);
        self.latches = latches;
        events.extend(gone);
        let (_, transitions) = self.step_failovers(&snapshot, &mut state, None);
        events.extend(transitions);
        let warming = self.warming;
        let steering = match warming {
            true => Steering::default(),
            false => Steering::build(&snapshot, state.moved()),
        };
        let plans = snapshot.plans.len();
        let state = Arc::new(state);
        self.publisher.publish(World { revision, swap, warming, snapshot, steering, state });
        let took = self.clock.now().since(started);
        events.extend(grounds::reloaded(&old, &self.publisher.world()));
        events.push(EventKind::Published { plans, took });
        self.write(swap, events);
    }

    /// Takes in what health found out. One change, however many targets it concerns.
    pub fn observe(&mut self, found: Vec<TargetVerdict>) {
        let old = self.publisher.world();
        let turn = Turn { clock: &*self.clock, swap: old.swap + 1 };
        let mut outcome = Outcome::new(&old, self.clock.now());
        for verdict in found {
            // A result may come in after the reload that took its target out.
            let Some(slots) = self.judged.get(&verdict.key) else { continue };
            outcome.since = outcome.since.min(verdict.at);
            for &slot in slots.iter().filter(|_| !self.warming) {
                outcome.touch(&old.snapshot, slot, verdict.sight);
                let entry = &old.snapshot.slots[slot.index()];
                outcome.events.extend(turn.turn(&mut outcome.state, slot, entry, &verdict));
            }
            self.known.insert(Arc::clone(&verdict.key), verdict);
        }
        // While first results are awaited they are only collected: `warm` takes all at once.
        if !self.warming {
            self.settle(&old, outcome);
        }
    }

    /// Looks at the clock: pending failbacks fall due, replaced Worlds are freed.
    pub fn tick(&mut self) {
        self.publisher.collect();
        let now = self.clock.now();
        if !self.warming && self.wake.is_some_and(|at| at <= now) {
            let old = self.publisher.world();
            self.settle(&old, Outcome::new(&old, now));
        }
    }

    /// Steps the latches, makes the touched plans anew and publishes, if anything changed.
    fn settle(&mut self, old: &World, outcome: Outcome) {
        let Outcome { mut state, mut touched, mut events, since } = outcome;
        let failovers = touched.iter().flat_map(|plan| &old.snapshot.plan(*plan).failovers);
        let asked: BTreeSet<FailoverId> = failovers.copied().collect();
        let (moved, transitions) = self.step_failovers(&old.snapshot, &mut state, Some(&asked));
        touched.extend(moved);
        events.extend(transitions);
        if *old.state == state {
            return;
        }
        let touched: Vec<PlanId> = touched.into_iter().collect();
        let swap = old.swap + 1;
        self.publisher.publish(World {
            revision: old.revision,
            swap,
            warming: false,
            snapshot: Arc::clone(&old.snapshot),
            steering: old.steering.rebuilt(&old.snapshot, &touched, state.moved()),
            state: Arc::new(state),
        });
        let took = self.clock.now().since(since);
        events.extend(grounds::changed(old, &self.publisher.world(), &touched));
        events.push(EventKind::Published { plans: touched.len(), took });
        self.write(swap, events);
    }

    fn step_failovers(
        &mut self,
        snapshot: &Snapshot,
        state: &mut State,
        asked: Option<&BTreeSet<FailoverId>>,
    ) -> (BTreeSet<PlanId>, Vec<EventKind>) {
        let now = self.clock.now();
        let known = &self.known;
        let is_up = |key: &str| {
            let verdict = known.get(key).map(|verdict| verdict.sight.standing);
            verdict.is_some_and(|standing| standing != Standing::Unknown && standing.is_up())
        };
        let around =
            Around { moved: state.moved(), is_up: &is_up, order: &|_| Order::default() };
        let Stepped { courses, plans, events } = self.latches.step(snapshot, &around, asked, now);
        state.courses = courses;
        self.wake = self.latches.wake(snapshot, now);
        (plans, events)
    }

    fn write(&self, swap: u64, events: Vec<EventKind>) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut journal = self.journal.lock();
        for event in events {
            journal.record(now, wall, swap, event);
        }
    }
}

impl Outcome {
    fn new(old: &World, since: Moment) -> Outcome {
        let state = (*old.state).clone();
        Outcome { state, touched: BTreeSet::new(), events: Vec::new(), since }
    }

    /// Notes the plans that look different once `slot` is seen as `sight`. A probe that failed
    /// without consequence so far shows only in TTLs that shrink.
    fn touch(&mut self, snapshot: &Snapshot, slot: SlotId, sight: Sight) {
        let before = self.state.standings.of(slot);
        let has_turned = before.standing != sight.standing;
        let touched = |plan: &&PlanId| {
            let ttl = snapshot.plan(**plan).ttl;
            has_turned || (before.failing != sight.failing && ttl.min != ttl.max)
        };
        self.touched.extend(snapshot.plans_of_slot[slot.index()].iter().filter(touched));
    }
}

/// The slots of `snapshot` by the target that judges them.
fn judged(snapshot: &Snapshot) -> HashMap<Arc<str>, Vec<SlotId>> {
    let mut judged: HashMap<Arc<str>, Vec<SlotId>> = HashMap::new();
    for (index, slot) in snapshot.slots.iter().enumerate() {
        if let Some(key) = &slot.target {
            judged.entry(Arc::clone(key)).or_default().push(SlotId::at(index));
        }
    }
    judged
}
