//! The one owner of the Publisher: puts Snapshot, verdicts and latches together into Worlds.
//!
//! Everything that alters answers ends here: a compiled Snapshot comes in through
//! [`Control::install`], verdicts through [`Control::observe`], the passing of time through
//! [`Control::tick`]. Each works out which plans it touches, makes only those anew, swaps the
//! World once and writes down who, why and how long it took. Runs on one thread, reads time
//! from its clock, does no I/O. Past 600 lines: what may touch the World stands in one place, and
//! its parts (found addresses, verdicts, latches, residual) have files of their own.

pub use super::verdicts::{Said, TargetVerdict};
use super::{
    event::{EventKind, Stamp, Summary},
    found::AllFound,
    grounds,
    hand::{
        apply::{Operator, Orders},
        watching::Drains,
    },
    journal::{Journal, SharedJournal},
    kept::Kept,
    latches::{Around, Latches, Stepped},
    overview::SharedOverview,
    residual::{Moved, Moves, Subject, Traffic},
    steered::Steered,
    store::{Keeper, Saved},
    vantage::{Nobody, Vantage},
    verdicts::{Known, Layers, Turn},
};
use crate::{
    clock::{Clock, Moment},
    failover::breaker::{self, Breaker, Fall, Role, Step},
    ids::{FailoverId, PlanId, SlotId},
    policy::RampKind,
    snapshot::{FailoverDefinition, Snapshot},
    steering::{Before, RampState, Steering},
    telemetry::Telemetry,
    verdict::{Standing, Stood},
    world::{Publisher, Reader, State, World},
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// The owner of the Publisher and of everything that lives from World to World.
pub struct Control {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) publisher: Publisher,
    journal: SharedJournal,
    /// Every target of the Snapshot in force of which anything is known, by key.
    pub(super) known: HashMap<Arc<str>, Known>,
    /// The slots each of those targets judges.
    judged: HashMap<Arc<str>, Vec<SlotId>>,
    /// Looks at all targets together before one falls.
    breaker: Breaker,
    pub(super) guarded: breaker::Settings,
    unlike: Unlike,
    vantage: Arc<dyn Vantage>,
    /// Nothing of what probes say takes effect.
    pub(super) pinned: bool,
    /// What was found for names that are answered flattened.
    pub(super) found: AllFound,
    /// What operators say of slots.
    pub(super) hands: HashMap<SlotId, Said>,
    /// The hand they say it with.
    pub(super) operator: Operator,
    /// The drains among it.
    pub(super) drains: Drains,
    pub(super) latches: Latches,
    /// The failovers that each target is a gate of.
    pub(super) gated: HashMap<Arc<str>, Vec<FailoverId>>,
    /// Whose command is being carried out.
    pub(super) acting: Option<Arc<str>>,
    /// The way to what outlives the process.
    pub(super) kept: Kept,
    /// What all this is in the middle of.
    pub(super) overview: SharedOverview,
    /// The pace of queries, and what was moved.
    pub(super) traffic: Traffic,
    /// When the passing of time alone has something to change.
    wake: Option<Moment>,
    /// Until the first results of health checks are in.
    pub(super) warming: bool,
}

/// The targets that are not like most, by key.
#[derive(Clone, Debug, Default)]
pub struct Unlike {
    /// Those that are only observed.
    pub observed: HashSet<Arc<str>>,
    /// Those that send heartbeats.
    pub pushed: HashSet<Arc<str>>,
}

/// What one change comes to before it is published.
pub(super) struct Outcome {
    pub state: State,
    /// Plans to be made anew.
    pub touched: BTreeSet<PlanId>,
    /// Failovers that see something else, beside those of these plans.
    pub asked: BTreeSet<FailoverId>,
    pub events: Vec<EventKind>,
    /// What machines are ordered to do, once they have seen the rest.
    pub orders: Orders,
    /// When its first cause happened.
    since: Moment,
}

impl Control {
    /// Control over an empty World: everything is refused until something is installed.
    pub fn new(clock: Arc<dyn Clock>) -> Control {
        Control::over(clock, World::default(), SharedJournal::default())
    }

    /// The same, going on from what the run before `saved`; what happens is given to `keeper`.
    pub fn with_saved(clock: Arc<dyn Clock>, saved: Saved, keeper: Keeper) -> Control {
        let journal = Journal::new(saved.boot, saved.seq);
        let journal = SharedJournal::new(journal, Some(keeper.clone()));
        let world = World { swap: saved.swap, ..World::default() };
        let mut control = Control::over(clock, world, journal);
        control.inherit(&saved, keeper);
        control
    }

    fn over(clock: Arc<dyn Clock>, world: World, journal: SharedJournal) -> Control {
        Control {
            clock,
            publisher: Publisher::new(world),
            journal,
            known: HashMap::new(),
            judged: HashMap::new(),
            breaker: Breaker::default(),
            guarded: breaker::Settings::default(),
            unlike: Unlike::default(),
            vantage: Arc::new(Nobody),
            pinned: false,
            found: AllFound::new(),
            hands: HashMap::new(),
            operator: Operator::default(),
            drains: Drains::default(),
            latches: Latches::default(),
            gated: HashMap::new(),
            acting: None,
            kept: Kept::default(),
            overview: SharedOverview::default(),
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

    /// How much may fall at once, and which targets play another part in that than most; holds
    /// from the next [`Control::install`] on.
    pub fn guard(&mut self, settings: breaker::Settings, unlike: Unlike) {
        (self.guarded, self.unlike) = (settings, unlike);
    }

    /// How the target with this key was judged last, if it was.
    pub fn stood(&self, key: &str) -> Option<Stood> {
        let verdict = &self.known.get(key)?.verdict;
        Some(Stood { standing: verdict.sight.standing, damped: verdict.damped })
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
        let hand = self.operator.effect().next_change.filter(|_| !self.warming);
        [self.wake, self.breaker.wake(), hand].into_iter().flatten().min()
    }

    /// Writes down something that alters no answer.
    pub fn record(&self, kind: EventKind) {
        self.write(self.publisher.world().swap, vec![kind]);
    }

    /// Ends the wait for first results: from here on steered names are answered.
    pub fn warm(&mut self) {
        if std::mem::take(&mut self.warming) {
            let world = self.publisher.world();
            self.install(Arc::clone(self.operator.files()), world.revision);
        }
    }

    /// Publishes a newly compiled Snapshot. Verdicts, the order of falls and latches are carried
    /// over by stable name, so that a reload changes no answer that its files do not change.
    pub fn install(&mut self, snapshot: Arc<Snapshot>, revision: u64) {
        self.install_steered(snapshot, revision, None);
    }

    /// The same; what of its answers was `steered` ahead, and stands as it stood, is not made again.
    pub fn install_steered(
        &mut self,
        snapshot: Arc<Snapshot>,
        revision: u64,
        steered: Option<&Steered>,
    ) {
        self.install_for(snapshot, revision, steered, None);
    }

    /// The same because of `cause`, where that is no load of files.
    pub(super) fn install_for(
        &mut self,
        snapshot: Arc<Snapshot>,
        revision: u64,
        steered: Option<&Steered>,
        cause: Option<Arc<str>>,
    ) {
        let started = self.clock.now();
        let old = self.publisher.world();
        let swap = old.swap + 1;
        let files = Arc::clone(&snapshot);
        // With other weights all but a few plans answer what they answered.
        let are_same_files = !old.warming && Arc::ptr_eq(self.operator.files(), &files);
        let snapshot = self.operator.install(snapshot, steered, started);
        self.hands = self.operator.said();
        self.pinned = self.operator.is_pinned();
        self.judged = judged(&snapshot);
        self.gated = gated(&snapshot);
        let is_known =
            |key: &Arc<str>| self.judged.contains_key(key) || self.gated.contains_key(key);
        let gone: Vec<Arc<str>> =
            self.known.keys().filter(|key| !is_known(key)).map(Arc::clone).collect();
        for key in gone {
            self.forget_target(&key);
            self.known.remove(&key);
        }
        self.breaker.arrange(subjects(&snapshot, &self.unlike), self.guarded);
        let inherited = self.inherited();
        if inherited.is_some() {
            let down = self.known.iter().filter(|(_, known)| known.stands == Standing::Down);
            down.for_each(|(key, _)| self.breaker.is_down_since_before(key, started));
        }
        let mut events = self.let_all_through();
        let inherited = inherited.as_ref();
        let (mut state, turned) = self.turn(swap).carried_over(&old, &snapshot, inherited);
        events.extend(turned);
        self.forget_found(&snapshot);
        state.found = self.found_of(&snapshot, &old);
        let machine = |of: &FailoverDefinition| inherited?.machine(of, started);
        let (latches, gone) = self.latches.carried_over(&old.snapshot, &snapshot, &machine);
        self.latches = latches;
        events.extend(gone);
        self.advance(&snapshot, &mut state);
        let (_, transitions) = self.step_failovers(&snapshot, &mut state, None, &Orders::new());
        events.extend(transitions);
        let warming = self.warming;
        let in_force = are_same_files.then(|| Before::from(&*old));
        let before = steered.and_then(|steered| steered.before(&files)).or(in_force);
        let steering = match before {
            _ if warming => Steering::default(),
            Some(before) => Steering::build_after(&snapshot, state.moved(), before),
            None => Steering::build(&snapshot, state.moved()),
        };
        let plans = snapshot.plans.len();
        let state = Arc::new(state);
        self.traffic.install(&snapshot, started);
        self.publish(World { revision, swap, warming, snapshot, steering, state });
        self.show();
        self.keep(&old);
        let took = self.clock.now().since(started);
        let world = self.publisher.world();
        events.extend(grounds::reloaded(&old, &world));
        let (plans_moved, ttl) = grounds::moved(&old, &world);
        if !plans_moved.is_empty() {
            let what = cause.or_else(|| moved_by(&events).map(|(what, _)| what));
            let what = what.unwrap_or_else(|| format!("revision {revision}").into());
            let moved = Moved { what, swap, subject: None };
            self.traffic.moved(moved, &plans_moved, ttl, started);
        }
        self.traffic.follow(&world.snapshot, &world.state, started);
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
            let key = Arc::clone(&verdict.key);
            // A result may come in after the reload that took its target out.
            if !self.judged.contains_key(&key) && !self.gated.contains_key(&key) {
                continue;
            }
            since = since.min(verdict.at);
            step.merge(self.judge(&verdict, now));
            let stands = self.known.get(&key).map(|known| known.stands).unwrap_or_default();
            self.known.insert(Arc::clone(&key), Known { verdict, stands });
            turned.insert(key);
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
        let old_answers = self.traffic.tick(now);
        self.write(self.publisher.world().swap, old_answers);
        self.turn_hand();
        self.keep_times();
        match self.breaker.wake().is_some_and(|at| at <= now) {
            true => self.heard(),
            false => self.follow(Step::default(), BTreeSet::new(), now),
        }
        self.look_at_drains();
    }

    /// What the breaker makes of one judgement.
    fn judge(&mut self, verdict: &TargetVerdict, now: Moment) -> Step {
        if verdict.observed {
            return Step::default();
        }
        if verdict.sight.standing != Standing::Down {
            return self.breaker.rose(&verdict.key);
        }
        let before = self.stood(&verdict.key);
        let fall = Fall {
            first_failure: verdict.first_failure.unwrap_or(verdict.at),
            answered: verdict.answered,
            was_up: before.is_some_and(|stood| stood.standing != Standing::Unknown),
        };
        self.breaker.fell(&verdict.key, fall, now, &*self.vantage)
    }

    /// Does what the breaker wants done, turns what it lets through beside `turned`, publishes.
    /// Most of what is heard while someone listens comes to nothing, and costs nothing here.
    fn follow(&mut self, step: Step, mut turned: BTreeSet<Arc<str>>, since: Moment) {
        if !step.hasten.is_empty() {
            self.vantage.hasten(&step.hasten);
        }
        if step.call {
            self.vantage.call_witnesses(&step.ask);
        }
        self.vantage.listen(self.breaker.wants_answers());
        // A fall that only had to wait for a witness counts from the probe that decided it; one
        // that was held for longer was held for a reason, and that has been told.
        let now = self.clock.now();
        let decided = step.down.iter().filter_map(|key| Some(self.known.get(key)?.verdict.at));
        let decided = decided.filter(|at| now.since(*at) <= breaker::ASKING).min();
        let since = decided.map_or(since, |at| at.min(since));
        turned.extend(step.down);
        turned.extend(step.back);
        // With the news, why the others are held is another thing to say of them.
        if !step.news.is_empty() {
            turned.extend(self.breaker.all_held(|_| true));
        }
        let is_due = self.wake.is_some_and(|at| at <= self.clock.now());
        if turned.is_empty() && step.news.is_empty() && !is_due {
            return;
        }
        let news = step.news.into_iter().map(|news| EventKind::Breaker { news });
        let mut events: Vec<EventKind> = news.collect();
        events.extend(turned.iter().filter_map(|key| self.let_through(key)));
        let old = self.publisher.world();
        // While first results are awaited they are only collected: `warm` takes all at once.
        if self.warming {
            self.show();
            self.write(old.swap, events);
            return;
        }
        let mut outcome = Outcome::new(&old, since);
        outcome.events = events;
        let turn = self.turn(old.swap + 1);
        for slot in turned.iter().filter_map(|key| self.judged.get(key)).flatten() {
            outcome.turn(&old.snapshot, *slot, &turn);
        }
        outcome.asked.extend(turned.iter().filter_map(|key| self.gated.get(key)).flatten());
        self.settle(&old, outcome);
    }

    /// Lets what was judged of `key` take effect, unless it is held, and keeps that: a restart
    /// lets nothing through either. Tells of a gate that turns; slots have verdicts of their own.
    fn let_through(&mut self, key: &Arc<str>) -> Option<EventKind> {
        let is_held = self.layers().held(key).is_some();
        let is_pinned = self.pinned;
        let known = self.known.get_mut(key)?;
        let from = known.stands;
        known.stands = match is_held {
            false => known.verdict.sight.standing,
            // A fall that is taken back leaves it up.
            true if from == Standing::Down && !is_pinned => Standing::Up,
            true => from,
        };
        let known = &self.known[key];
        if known.stands == Standing::Down
            && from.is_up()
            && let Some(first) = known.verdict.first_failure
        {
            let detected = self.clock.now().since(first);
            self.traffic.telemetry().figures().detect_seconds.note_time(detected);
        }
        if !is_held || from != known.stands {
            self.keep_targets([known]);
        }
        known.gate_event(from)
    }

    /// The same of all that was held back and is no more.
    pub(super) fn let_all_through(&mut self) -> Vec<EventKind> {
        let waits = |(key, known): (&Arc<str>, &Known)| {
            (known.stands != known.verdict.sight.standing).then(|| Arc::clone(key))
        };
        let mut waiting: Vec<Arc<str>> = self.known.iter().filter_map(waits).collect();
        waiting.sort_unstable();
        waiting.iter().filter_map(|key| self.let_through(key)).collect()
    }

    pub(super) fn layers(&self) -> Layers<'_> {
        Layers {
            known: &self.known,
            breaker: &self.breaker,
            pinned: self.pinned,
            hands: &self.hands,
        }
    }

    /// What decides how slots stand, for the World numbered `swap`.
    pub(super) fn turn(&self, swap: u64) -> Turn<'_> {
        Turn { clock: &*self.clock, swap, layers: self.layers() }
    }

    /// Steps the latches, makes the touched plans anew and publishes, if anything changed.
    pub(super) fn settle(&mut self, old: &World, outcome: Outcome) {
        let Outcome { mut state, mut touched, mut asked, mut events, orders, since } = outcome;
        touched.extend(self.advance(&old.snapshot, &mut state));
        // Of a ramp that ended, too: who was drained by it is gone from here on.
        let failovers = touched.iter().flat_map(|plan| &old.snapshot.plan(*plan).failovers);
        asked.extend(failovers);
        let (moved, transitions) =
            self.step_failovers(&old.snapshot, &mut state, Some(&asked), &orders);
        touched.extend(moved);
        events.extend(transitions);
        if *old.state == state {
            self.show();
            self.keep(old);
            self.write(old.swap, events);
            return;
        }
        let touched: Vec<PlanId> = touched.into_iter().collect();
        let ramps_on = old.state.standings == state.standings;
        let swap = old.swap + 1;
        self.publish(World {
            revision: old.revision,
            swap,
            warming: false,
            snapshot: Arc::clone(&old.snapshot),
            steering: old.steering.rebuilt(&old.snapshot, &touched, state.moved()),
            state: Arc::new(state),
        });
        let took = self.clock.now().since(since);
        self.traffic.telemetry().figures().swap_seconds.note_time(took);
        events.extend(grounds::changed(old, &self.publisher.world(), &touched));
        self.show();
        self.keep(old);
        let (world, now) = (self.publisher.world(), self.clock.now());
        if let Some((what, subject)) = moved_by(&events) {
            let ttls = touched.iter().map(|plan| old.snapshot.plan(*plan).ttl.max.as_secs());
            let ttl = Duration::from_secs(ttls.max().unwrap_or(0).into());
            let moved = Moved { what, swap, subject: Some(subject) };
            self.traffic.moved(moved, &touched, ttl, now);
        }
        self.traffic.follow(&world.snapshot, &world.state, now);
        // A ramp that only went on by a second is no news; that it began is, and its end.
        if !events.is_empty() || !ramps_on {
            let (plans, summary) = (touched.len(), Summary::of(&events));
            events.push(EventKind::Published { plans, took, summary });
        }
        self.write(swap, events);
    }

    /// Publishes, once there is room to count what will be answered.
    fn publish(&mut self, world: World) {
        if world.steering.may_be_in_trouble() {
            self.traffic.telemetry().expect_trouble();
        }
        self.publisher.publish(world);
    }

    /// Brings ramps up to the clock and ends those that are over; the plans they move.
    fn advance(&self, snapshot: &Snapshot, state: &mut State) -> BTreeSet<PlanId> {
        let now = self.clock.now();
        let before = std::mem::replace(&mut state.now, now);
        let mut moved = BTreeSet::new();
        let plans = |ramp: &RampState| &snapshot.plans_of_slot[ramp.slot.index()];
        state.ramps.retain(|ramp| {
            let runs =
                |at: Moment| move |plan: &&PlanId| ramp.share(snapshot.plan(**plan), at).is_some();
            moved.extend(plans(ramp).iter().filter(runs(before)));
            // A drain stays as long as its override does; under no plan it is a ramp any more.
            ramp.kind == RampKind::Leaving || plans(ramp).iter().any(|plan| runs(now)(&plan))
        });
        let runs = |ramp: &RampState| is_running(ramp, snapshot, now);
        if moved.is_empty() && !state.ramps.iter().any(runs) {
            state.now = before;
        }
        moved
    }

    fn step_failovers(
        &mut self,
        snapshot: &Snapshot,
        state: &mut State,
        asked: Option<&BTreeSet<FailoverId>>,
        orders: &Orders,
    ) -> (BTreeSet<PlanId>, Vec<EventKind>) {
        let now = self.clock.now();
        let mut latches = std::mem::take(&mut self.latches);
        let told = self.operator.told(self.operator.effect());
        let order = |definition: &FailoverDefinition| told.of(definition);
        let is_up = |key: &str| self.is_up(key);
        let around = Around { moved: state.moved(), is_up: &is_up, order: &order };
        let Stepped { courses, mut plans, mut events } =
            latches.step(snapshot, &around, asked, now);
        state.courses = courses;
        if !orders.is_empty() {
            let around = Around { moved: state.moved(), is_up: &is_up, order: &order };
            for (id, wish) in orders {
                // One that refuses stays as it is; whoever ordered it was told before.
                events.extend(latches.command(snapshot, &around, *id, *wish).unwrap_or_default());
            }
            let asked = orders.iter().map(|(id, _)| *id).collect();
            let after = latches.step(snapshot, &around, Some(&asked), now);
            plans.extend(after.plans);
            events.extend(after.events);
            state.courses = after.courses;
        }
        self.latches = latches;
        let runs = |ramp: &RampState| is_running(ramp, snapshot, now);
        let ramps = state.ramps.iter().any(runs).then(|| now.next_second());
        self.wake = self.latches.wake(snapshot, now).into_iter().chain(ramps).min();
        (plans, events)
    }

    /// Whether the target with this key stands as up; one without a result does not.
    pub(super) fn is_up(&self, key: &str) -> bool {
        let stands = self.known.get(key).map(|known| known.stands);
        stands.is_some_and(|standing| standing != Standing::Unknown && standing.is_up())
    }

    pub(super) fn write(&self, swap: u64, events: Vec<EventKind>) {
        let (at, wall) = (self.clock.now(), self.clock.wall());
        self.journal.record_all(Stamp { at, wall, swap, who: self.acting.clone() }, events);
    }
}

impl Outcome {
    pub(super) fn new(old: &World, since: Moment) -> Outcome {
        let state = (*old.state).clone();
        let (touched, asked) = (BTreeSet::new(), BTreeSet::new());
        Outcome { state, touched, asked, events: Vec::new(), orders: Orders::new(), since }
    }

    /// Turns `slot` and notes the plans that look different then. A probe that failed without
    /// consequence so far shows only in TTLs that shrink.
    pub(super) fn turn(&mut self, snapshot: &Snapshot, slot: SlotId, turn: &Turn<'_>) {
        let (before, ramp) = (self.state.standings.of(slot), self.state.ramp(slot));
        self.events.extend(turn.turn(&mut self.state, slot, snapshot));
        let after = self.state.standings.of(slot);
        let has_turned = before.standing != after.standing || ramp != self.state.ramp(slot);
        let touched = |plan: &&PlanId| {
            let ttl = snapshot.plan(**plan).ttl;
            has_turned || (before.failing != after.failing && ttl.min != ttl.max)
        };
        self.touched.extend(snapshot.plans_of_slot[slot.index()].iter().filter(touched));
    }
}

/// What of `events` moved clients, in words; nothing if nothing did.
fn moved_by(events: &[EventKind]) -> Option<(Arc<str>, Subject)> {
    let failovers = || events.iter().filter(|event| matches!(event, EventKind::Failover { .. }));
    let verdicts = || {
        events.iter().filter(|event| match event {
            EventKind::Verdict { from, to, .. } => from.is_up() != to.is_up(),
            _ => false,
        })
    };
    let (first, subject) = match failovers().next().or_else(|| verdicts().next())? {
        EventKind::Failover { name, from, to, .. } => {
            (format!("{name}: {from} → {to}"), Subject::Failover(Arc::clone(name)))
        }
        EventKind::Verdict { slot, address, to, .. } => {
            let subject = Subject::Slot(Arc::clone(slot), Arc::clone(address));
            (format!("{slot} is {}", to.word()), subject)
        }
        _ => return None,
    };
    let what = match failovers().count() + verdicts().count() {
        1 => first.into(),
        all => format!("{first} and {} more", all - 1).into(),
    };
    Some((what, subject))
}

/// Whether some plan's answers change with the time while `ramp` lasts.
fn is_running(ramp: &RampState, snapshot: &Snapshot, now: Moment) -> bool {
    let mut plans = snapshot.plans_of_slot[ramp.slot.index()].iter();
    !ramp.since.is_paused() && plans.any(|plan| ramp.share(snapshot.plan(*plan), now).is_some())
}

/// Each target of `snapshot` with the group it falls with: its region, else its pool; what is
/// only a gate falls by itself.
fn subjects<'s>(
    snapshot: &'s Snapshot,
    unlike: &'s Unlike,
) -> impl Iterator<Item = breaker::Subject> + 's {
    let slots = snapshot.slots.iter().filter_map(|slot| {
        let group = match slot.region {
            Some(region) => format!("region:{}", snapshot.region_name(region)),
            None => format!("pool:{}", slot.name.rsplit_once('/').map_or("", |(pool, _)| pool)),
        };
        Some((slot.target.as_ref()?, Role::Answered, group))
    });
    let gates = snapshot.failovers.iter().flat_map(|failover| failover.gates.iter().flatten());
    let gates = gates.map(|key| (key, Role::Gate, format!("gate:{key}")));
    let mut seen = HashSet::new();
    slots.chain(gates).filter(move |(key, ..)| seen.insert(*key)).map(|(key, role, group)| {
        let role = if unlike.observed.contains(key) { Role::Observed } else { role };
        let can_be_asked = !unlike.pushed.contains(key);
        breaker::Subject { key: Arc::clone(key), group: group.into(), role, can_be_asked }
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
