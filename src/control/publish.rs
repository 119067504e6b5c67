//! The one owner of the Publisher: puts Snapshot, verdicts and latches together into Worlds.
//!
//! Everything that alters answers ends here: a compiled Snapshot comes in through
//! [`Control::install`], verdicts through [`Control::observe`], the passing of time through
//! [`Control::tick`]. Each works out which plans it touches, makes only those anew, swaps the
//! World once and writes down who, why and how long it took. Runs on one thread, reads time
//! from its clock, does no I/O.

pub use super::verdicts::{Said, TargetVerdict};
use super::{
    event::{EventKind, Stamp, Summary},
    grounds,
    journal::SharedJournal,
    latches::{Around, Latches, Order, Stepped},
    residual::{Moves, Traffic},
    vantage::{Nobody, Vantage},
    verdicts::{Layers, Turn},
};
use crate::{
    clock::{Clock, Moment},
    failover::breaker::{self, Breaker, Fall, Step},
    ids::{FailoverId, PlanId, SlotId},
    snapshot::{Slot, Snapshot},
    steering::Steering,
    telemetry::Telemetry,
    verdict::Standing,
    world::{Publisher, Reader, State, World},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// The owner of the Publisher and of everything that lives from World to World.
pub struct Control {
    clock: Arc<dyn Clock>,
    publisher: Publisher,
    journal: SharedJournal,
    /// The newest verdict on every target of the Snapshot in force, by key.
    known: HashMap<Arc<str>, TargetVerdict>,
    /// The slots each of those targets judges.
    judged: HashMap<Arc<str>, Vec<SlotId>>,
    /// Looks at all targets together before one falls.
    breaker: Breaker,
    guarded: breaker::Settings,
    vantage: Arc<dyn Vantage>,
    /// Nothing of what probes say takes effect.
    pinned: bool,
    /// What operators say of slots.
    hands: HashMap<SlotId, Said>,
    latches: Latches,
    /// The failovers that each target is a gate of.
    gated: HashMap<Arc<str>, Vec<FailoverId>>,
    /// The pace of queries, and what was moved.
    traffic: Traffic,
    /// When the passing of time alone has something to change.
    wake: Option<Moment>,
    /// Until the first results of health checks are in.
    warming: bool,
}

/// What one change comes to before it is published.
struct Outcome {
    state: State,
    /// Plans to be made anew.
    touched: BTreeSet<PlanId>,
    /// Failovers that see something else, beside those of these plans.
    asked: BTreeSet<FailoverId>,
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
            breaker: Breaker::default(),
            guarded: breaker::Settings::default(),
            vantage: Arc::new(Nobody),
            pinned: false,
            hands: HashMap::new(),
            latches: Latches::default(),
            gated: HashMap::new(),
            traffic: Traffic::new(Arc::default()),
            wake: None,
            warming: true,
        }
    }

    /// Has `vantage` asked for witnesses and probes out of turn.
    pub fn watch_from(&mut self, vantage: Arc<dyn Vantage>) {
        self.vantage = vantage;
    }

    /// Measures old answers by what `telemetry` counts.
    pub fn count_by(&mut self, telemetry: Arc<Telemetry>) {
        self.traffic = Traffic::new(telemetry);
    }

    /// Changes whose old answers may still be kept somewhere.
    pub fn moves(&self) -> Moves {
        self.traffic.moves()
    }

    /// How much may fall at once; holds from the next [`Control::install`] on.
    pub fn guard(&mut self, settings: breaker::Settings) {
        self.guarded = settings;
    }

    /// What the breaker holds back.
    pub fn held(&self) -> breaker::Summary {
        self.breaker.summary()
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
        self.gated = gated(&snapshot);
        let is_known =
            |key: &Arc<str>| self.judged.contains_key(key) || self.gated.contains_key(key);
        self.known.retain(|key, _| is_known(key));
        self.breaker.arrange(groups(&snapshot), self.guarded);
        let (mut state, mut events) = self.turn(swap).carried_over(&old, &snapshot);
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
        self.traffic.install(&snapshot, started);
        self.publisher.publish(World { revision, swap, warming, snapshot, steering, state });
        let took = self.clock.now().since(started);
        events.extend(grounds::reloaded(&old, &self.publisher.world()));
        let summary = Summary::of(&events);
        events.push(EventKind::Published { plans, took, summary });
        self.write(swap, events);
    }

    /// Takes in what health found out. One change, however many targets it concerns.
    pub fn observe(&mut self, found: Vec<TargetVerdict>) {
        let now = self.clock.now();
        let mut since = now;
        let mut step = Step::default();
        let mut turned: BTreeSet<Arc<str>> = BTreeSet::new();
        for verdict in found {
            // A result may come in after the reload that took its target out.
            let judges = self.judged.contains_key(&verdict.key);
            if !judges && !self.gated.contains_key(&verdict.key) {
                continue;
            }
            since = since.min(verdict.at);
            if judges {
                step.merge(self.judge(&verdict, now));
            }
            turned.insert(Arc::clone(&verdict.key));
            self.known.insert(Arc::clone(&verdict.key), verdict);
        }
        self.follow(step, turned, since);
    }

    /// Somebody answered or failed while that is of interest.
    pub fn heard(&mut self) {
        let now = self.clock.now();
        let step = self.breaker.step(now, &*self.vantage);
        self.follow(step, BTreeSet::new(), now);
    }

    /// Someone looked and says: what the breaker holds is true.
    pub fn confirm_falls(&mut self) {
        let now = self.clock.now();
        let step = self.breaker.confirm(now);
        self.follow(step, BTreeSet::new(), now);
    }

    /// Looks at the clock: pending failbacks fall due, replaced Worlds are freed.
    pub fn tick(&mut self) {
        self.publisher.collect();
        let now = self.clock.now();
        self.traffic.tick(now);
        if !self.warming && self.wake.is_some_and(|at| at <= now) {
            let step = self.breaker.step(now, &*self.vantage);
            self.follow(step, BTreeSet::new(), now);
        }
    }

    /// What the breaker makes of one judgement.
    fn judge(&mut self, verdict: &TargetVerdict, now: Moment) -> Step {
        if verdict.observed {
            return Step::default();
        }
        if verdict.sight.standing != Standing::Down {
            return self.breaker.rose(&verdict.key);
        }
        let before = self.known.get(&verdict.key).map(|known| known.sight.standing);
        let fall = Fall {
            first_failure: verdict.first_failure.unwrap_or(verdict.at),
            answered: verdict.answered,
            was_up: before.is_some_and(|standing| standing != Standing::Unknown),
        };
        self.breaker.fell(&verdict.key, fall, now, &*self.vantage)
    }

    /// Does what the breaker wants done, turns what it lets through beside `turned`, publishes.
    fn follow(&mut self, step: Step, mut turned: BTreeSet<Arc<str>>, since: Moment) {
        if !step.hasten.is_empty() {
            self.vantage.hasten(&step.hasten);
        }
        if !step.ask.is_empty() {
            self.vantage.call_witnesses(&step.ask);
        }
        self.vantage.listen(self.breaker.wants_answers());
        turned.extend(step.down);
        turned.extend(step.back);
        let news = step.news.into_iter().map(|news| EventKind::Breaker { news });
        let old = self.publisher.world();
        // While first results are awaited they are only collected: `warm` takes all at once.
        if self.warming {
            self.write(old.swap, news.collect());
            return;
        }
        let mut outcome = Outcome::new(&old, since);
        outcome.events.extend(news);
        let turn = self.turn(old.swap + 1);
        for slot in turned.iter().filter_map(|key| self.judged.get(key)).flatten() {
            outcome.turn(&old.snapshot, *slot, &turn);
        }
        outcome.asked.extend(turned.iter().filter_map(|key| self.gated.get(key)).flatten());
        self.settle(&old, outcome);
    }

    /// What decides how slots stand, for the World numbered `swap`.
    fn turn(&self, swap: u64) -> Turn<'_> {
        let layers = Layers {
            known: &self.known,
            breaker: &self.breaker,
            pinned: self.pinned,
            hands: &self.hands,
        };
        Turn { clock: &*self.clock, swap, layers }
    }

    /// Steps the latches, makes the touched plans anew and publishes, if anything changed.
    fn settle(&mut self, old: &World, outcome: Outcome) {
        let Outcome { mut state, mut touched, mut asked, mut events, since } = outcome;
        let failovers = touched.iter().flat_map(|plan| &old.snapshot.plan(*plan).failovers);
        asked.extend(failovers);
        let (moved, transitions) = self.step_failovers(&old.snapshot, &mut state, Some(&asked));
        touched.extend(moved);
        events.extend(transitions);
        self.wake = self.wake.into_iter().chain(self.breaker.wake()).min();
        if *old.state == state {
            self.write(old.swap, events);
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
        if let Some(what) = moved_by(&events) {
            self.traffic.moved(what, swap, &old.snapshot, &touched, self.clock.now());
        }
        let (plans, summary) = (touched.len(), Summary::of(&events));
        events.push(EventKind::Published { plans, took, summary });
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
        let around = Around { moved: state.moved(), is_up: &is_up, order: &|_| Order::default() };
        let Stepped { courses, plans, events } = self.latches.step(snapshot, &around, asked, now);
        state.courses = courses;
        self.wake = self.latches.wake(snapshot, now);
        (plans, events)
    }

    fn write(&self, swap: u64, events: Vec<EventKind>) {
        let (at, wall) = (self.clock.now(), self.clock.wall());
        self.journal.record_all(Stamp { at, wall, swap, who: None }, events);
    }
}

impl Outcome {
    fn new(old: &World, since: Moment) -> Outcome {
        let state = (*old.state).clone();
        let (touched, asked) = (BTreeSet::new(), BTreeSet::new());
        Outcome { state, touched, asked, events: Vec::new(), since }
    }

    /// Turns `slot` and notes the plans that look different then. A probe that failed without
    /// consequence so far shows only in TTLs that shrink.
    fn turn(&mut self, snapshot: &Snapshot, slot: SlotId, turn: &Turn<'_>) {
        let before = self.state.standings.of(slot);
        let entry = &snapshot.slots[slot.index()];
        self.events.extend(turn.turn(&mut self.state, slot, entry));
        let after = self.state.standings.of(slot);
        let has_turned = before.standing != after.standing;
        let touched = |plan: &&PlanId| {
            let ttl = snapshot.plan(**plan).ttl;
            has_turned || (before.failing != after.failing && ttl.min != ttl.max)
        };
        self.touched.extend(snapshot.plans_of_slot[slot.index()].iter().filter(touched));
    }
}

/// What of `events` moved clients, in words; nothing if nothing did.
fn moved_by(events: &[EventKind]) -> Option<Arc<str>> {
    let failovers = events.iter().filter_map(|event| match event {
        EventKind::Failover { name, from, to, .. } => Some(format!("{name}: {from} → {to}")),
        _ => None,
    });
    let verdicts = events.iter().filter_map(|event| match event {
        EventKind::Verdict { slot, from, to, .. } if from.is_up() != to.is_up() => {
            Some(format!("{slot} is {}", to.word()))
        }
        _ => None,
    });
    let mut all = failovers.chain(verdicts);
    let first = all.next()?;
    Some(match all.count() {
        0 => first.into(),
        more => format!("{first} and {more} more").into(),
    })
}

/// Each target of `snapshot` with the group it falls with: its region, else its pool.
fn groups(snapshot: &Snapshot) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
    let mut seen = std::collections::HashSet::new();
    let first =
        move |slot: &&Slot| slot.target.as_ref().is_some_and(|key| seen.insert(key.clone()));
    snapshot.slots.iter().filter(first).filter_map(|slot| {
        let group = match slot.region {
            Some(region) => format!("region:{}", snapshot.region_name(region)),
            None => format!("pool:{}", slot.name.rsplit_once('/').map_or("", |(pool, _)| pool)),
        };
        Some((Arc::clone(slot.target.as_ref()?), group.into()))
    })
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

/// The failovers of `snapshot` by the targets that are their gates.
fn gated(snapshot: &Snapshot) -> HashMap<Arc<str>, Vec<FailoverId>> {
    let mut gated: HashMap<Arc<str>, Vec<FailoverId>> = HashMap::new();
    for (index, failover) in snapshot.failovers.iter().enumerate() {
        for gate in failover.gates.iter().flatten() {
            gated.entry(Arc::clone(gate)).or_default().push(FailoverId::at(index));
        }
    }
    gated
}
