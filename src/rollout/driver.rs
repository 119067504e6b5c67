//! Runs the machines: one task for all rollouts. Looks around when something happened or time has
//! come, does what machines want done, and keeps how they stand.
//!
//! What a machine wants done to answers is sent only once how it stands is kept, so that a crash
//! in between finds it asking again and never further than it was.

use super::{
    Observed, Refused, Run, SharedRollouts, Shown,
    around::{Around, counters, degraded, maker, of_member, own, place, target},
    kept::KeptRun,
    machine::Machine,
    model::{Effect, Given, Order, Seen, Stage},
    patch::{Patch, patch},
};
use crate::{
    clock::{Clock, Moment},
    config::{metric::Source, nearest, rollouts::RolloutDef},
    control::{
        Change, Handle,
        event::EventKind,
        hand::{Command, Refusal, Wish as HandWish, weights::share_of, words::short},
        store::{Keeper, Write},
    },
    forecast::Clients,
    health::TargetState,
    measure::{Asker, Measured, Probed, of_health, probed},
    place::LazyTable,
    snapshot::Snapshot,
    telemetry::Telemetry,
    units::{Share, Weight},
    world::Viewer,
};
use arc_swap::ArcSwap;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

/// Under this prefix each run is a note of the store.
const NOTE: &str = "rollout:";
/// How long a step has lasted is written so often, beside every change.
const OFTEN: Duration = Duration::from_secs(5);
/// What nobody tells of is looked at so often: a proposal that expires, a refusal to be asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// The soonest that time is looked at again.
const SOON: Duration = Duration::from_millis(5);
/// What is not kept by then is done all the same: a store that fails has its own alarm.
const KEPT_WITHIN: Duration = Duration::from_secs(1);

/// What the rollouts of a server rest on.
pub struct Settings {
    /// The operator's folder.
    pub dir: PathBuf,
    /// The way into control, and what it shows.
    pub handle: Handle,
    /// How every target stands.
    pub targets: Box<dyn Fn() -> Vec<TargetState> + Send>,
    /// What was answered.
    pub telemetry: Arc<Telemetry>,
    /// Where runs are kept.
    pub keeper: Keeper,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What somebody wishes of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Begin it.
    Start,
    /// Anything else.
    Order(Order),
}

impl Wish {
    /// The verb that asks for it.
    pub fn word(self) -> &'static str {
        match self {
            Wish::Start => "start",
            Wish::Order(Order::Promote { full: true }) => "promote --full",
            Wish::Order(Order::Promote { full: false }) => "promote",
            Wish::Order(Order::Pause) => "pause",
            Wish::Order(Order::Resume) => "resume",
            Wish::Order(Order::Abort { break_glass: true }) => "abort --break-glass",
            Wish::Order(Order::Abort { break_glass: false }) => "abort",
            Wish::Order(Order::Retry) => "retry",
            Wish::Order(Order::Undo) => "undo",
        }
    }
}

/// The way to all rollouts. Clones lead to the same place.
#[derive(Clone)]
pub struct Rollouts {
    asks: mpsc::UnboundedSender<Ask>,
    shown: SharedRollouts,
    dir: Arc<Path>,
}

enum Ask {
    Loaded(Vec<Arc<RolloutDef>>, Arc<Snapshot>),
    Wish {
        name: String,
        wish: Wish,
        who: Arc<str>,
        reason: Option<Arc<str>>,
        even_if_degraded: bool,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
}

/// What came of something that took its time.
enum Outcome {
    Given { name: String, given: Given },
    Measured { name: String, epoch: u64, analysis: usize, measured: Measured },
}

impl Rollouts {
    /// Takes up what the run before left in its `notes`, and waits for the first files. To be called in a
    /// runtime.
    pub fn start(settings: Settings, notes: &HashMap<Arc<str>, Value>) -> Rollouts {
        let (asks, taken) = mpsc::unbounded_channel();
        let (results, came) = mpsc::unbounded_channel();
        let shown = SharedRollouts::default();
        let dir: Arc<Path> = settings.dir.as_path().into();
        let now = settings.clock.now();
        let notes = notes.iter().filter(|(name, _)| name.starts_with(NOTE));
        let runs = notes.filter_map(|(name, value)| {
            let kept: KeptRun = serde_json::from_value(value.clone()).ok()?;
            let run = kept.restored(now)?;
            Some((name[NOTE.len()..].to_owned(), Entry::new(run)))
        });
        let Settings { handle, targets, telemetry, keeper, clock, dir: _ } = settings;
        let driver = Driver {
            asker: Asker::new(&dir),
            viewer: handle.reader.viewer(),
            handle,
            targets,
            telemetry,
            keeper,
            clock,
            defs: BTreeMap::new(),
            files: None,
            runs: runs.collect(),
            results,
            clients: Arc::default(),
            shown: Arc::clone(&shown),
        };
        driver.show();
        tokio::spawn(driver.run(taken, came));
        Rollouts { asks, shown, dir }
    }

    /// Takes what the files say from now on.
    pub fn update(&self, defs: &[Arc<RolloutDef>], files: &Arc<Snapshot>) {
        // Fails only while the server stops.
        let _ = self.asks.send(Ask::Loaded(defs.to_vec(), Arc::clone(files)));
    }

    /// How all of them stand.
    pub fn shown(&self) -> Arc<Shown> {
        self.shown.load_full()
    }

    /// The same, for those who look again and again.
    pub fn shared(&self) -> SharedRollouts {
        Arc::clone(&self.shown)
    }

    /// Has `wish` done.
    ///
    /// # Errors
    /// When it does not fit how things stand.
    pub async fn order(
        &self,
        name: &str,
        wish: Wish,
        who: Arc<str>,
        reason: Option<Arc<str>>,
        even_if_degraded: bool,
    ) -> Result<(), Refused> {
        let (reply, done) = oneshot::channel();
        let name = name.to_owned();
        let ask = Ask::Wish { name, wish, who, reason, even_if_degraded, reply };
        self.asks.send(ask).map_err(|_| Refused::Stopping)?;
        done.await.map_err(|_| Refused::Stopping)?
    }

    /// What the operator's files would have to say for what `run` left to be theirs; nothing if
    /// the record stands in none of them. Reads from disk.
    pub fn patch(&self, run: &Run) -> Option<Patch> {
        let def = run.machine.def();
        let share = run.machine.intended()?;
        let folder = std::fs::read_dir(self.dir.join("zones")).ok()?;
        let mut paths: Vec<PathBuf> = folder.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        let zones = paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "toml"));
        zones.into_iter().find_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            let file = format!("zones/{}", path.file_name()?.to_string_lossy());
            patch(&file, &text, def.record.get_ref(), def.member.get_ref(), share)
        })
    }
}

/// A run and what only its driver knows of it.
struct Entry {
    run: Run,
    /// As last written, and when.
    written: Option<(KeptRun, Moment)>,
    /// How much its member's targets were probed when the step was served.
    probed: Probed,
    /// When that was.
    served: Moment,
    /// How much its record had answered then.
    answered: Observed,
}

impl Entry {
    fn new(run: Run) -> Entry {
        let (probed, served) = (Probed::new(), Moment(0));
        Entry { run, written: None, probed, served, answered: Observed::default() }
    }
}

/// A share, or the member's own weight of nothing.
struct Gift {
    share: Share,
    plain: bool,
}

struct Driver {
    handle: Handle,
    viewer: Viewer,
    targets: Box<dyn Fn() -> Vec<TargetState> + Send>,
    telemetry: Arc<Telemetry>,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    asker: Asker,
    defs: BTreeMap<String, Arc<RolloutDef>>,
    files: Option<Arc<Snapshot>>,
    runs: BTreeMap<String, Entry>,
    results: mpsc::UnboundedSender<Outcome>,
    /// As last counted.
    clients: Arc<Mutex<Arc<Clients>>>,
    shown: SharedRollouts,
}

impl Driver {
    async fn run(
        mut self,
        mut asks: mpsc::UnboundedReceiver<Ask>,
        mut came: mpsc::UnboundedReceiver<Outcome>,
    ) {
        let mut newest = self.handle.journal.newest();
        loop {
            let pause = self.until_wake();
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.take(ask),
                    None => return,
                },
                Some(outcome) = came.recv() => self.take_outcome(outcome),
                changed = newest.changed() => match changed {
                    Ok(()) => self.look(),
                    Err(_) => return,
                },
                () = sleep(pause) => self.look(),
            }
            self.show();
        }
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Loaded(defs, files) => {
                let named = defs.into_iter().map(|def| (def.name.get_ref().clone(), def));
                (self.defs, self.files) = (named.collect(), Some(files));
                self.look();
            }
            Ask::Wish { name, wish, who, reason, even_if_degraded, reply } => {
                let done = match wish {
                    Wish::Start => self.begin(&name, &who, reason, even_if_degraded),
                    Wish::Order(order) => self.order(&name, order, &who, reason, even_if_degraded),
                };
                let kept = self.keeper.flush();
                tokio::spawn(async move {
                    // Who reads that it is done finds it again after a crash.
                    let _ = timeout(KEPT_WITHIN, kept).await;
                    // Whoever asked may have gone away.
                    let _ = reply.send(done);
                });
            }
        }
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Given { name, given } => {
                self.drive(&name, |machine, seen| machine.given(given, seen));
            }
            Outcome::Measured { name, epoch, analysis, measured } => {
                self.drive(&name, |machine, seen| {
                    machine.measured(epoch, analysis, measured, seen)
                });
            }
        }
    }

    /// Lets every machine look around.
    fn look(&mut self) {
        let open = self.runs.iter().filter(|(_, entry)| !entry.run.machine.is_closed());
        let names: Vec<String> = open.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.drive(&name, Machine::step);
            self.look_at_proposal(&name);
        }
    }

    fn look_at_proposal(&mut self, name: &str) {
        let hand = self.handle.hand.load();
        let proposed = self.runs.get(name).and_then(|entry| entry.run.machine.proposed());
        let is_gone = |id| !hand.hand.proposals().iter().any(|proposal| proposal.id == id);
        if proposed.is_some_and(is_gone) {
            self.drive(name, Machine::proposal_gone);
        }
    }

    fn seen(&self, def: &RolloutDef) -> Option<Seen> {
        let (world, shown) = (self.viewer.world(), self.handle.hand.load());
        let around = Around {
            files: self.files.as_ref()?,
            world: &world,
            hand: &shown.hand,
            frozen: self.handle.overview.load().pinned || world.warming,
            now: self.clock.now(),
        };
        Some(around.seen(def))
    }

    /// Has the machine of `name` do something, and does what it wants done.
    fn drive(&mut self, name: &str, act: impl FnOnce(&mut Machine, &Seen) -> Vec<Effect>) {
        let Some(seen) = self.runs.get(name).and_then(|e| self.seen(e.run.machine.def())) else {
            return;
        };
        let Some(entry) = self.runs.get_mut(name) else { return };
        let was = served_step(&entry.run.machine);
        let effects = act(&mut entry.run.machine, &seen);
        let is_new = served_step(&entry.run.machine).filter(|step| was != Some(*step)).is_some();
        entry.run.seen = Some(seen);
        if is_new {
            self.count_from_here(name);
        }
        self.carry_out(name, effects);
    }

    /// What was probed and answered before now says nothing of the step.
    fn count_from_here(&mut self, name: &str) {
        let (targets, world) = ((self.targets)(), self.viewer.world());
        let now = self.clock.now();
        let Some(entry) = self.runs.get_mut(name) else { return };
        let own = of_member(entry.run.machine.def(), &world.snapshot, &targets);
        let answered = answered(entry.run.machine.def(), &world.snapshot, &self.telemetry);
        entry.answered = answered.unwrap_or_default();
        entry.served = now;
        entry.probed =
            own.into_iter().map(|target| (Arc::clone(&target.key), probed(target))).collect();
    }

    fn carry_out(&mut self, name: &str, effects: Vec<Effect>) {
        let mut follow = false;
        for effect in &effects {
            if let Effect::Tell(news) = effect {
                self.tell(name, news.what, &news.said, news.alarm);
            }
            follow |= *effect == Effect::Follow;
        }
        self.keep(name, !effects.is_empty());
        for effect in effects {
            match effect {
                Effect::Give { share, plain, urgent, why } => {
                    self.give(name, Some(Gift { share, plain }), urgent, why);
                }
                Effect::TakeAway => self.give(name, None, false, String::new()),
                Effect::Withdraw { id } => self.withdraw(name, id),
                Effect::Measure { analysis, epoch } => self.measure(name, analysis, epoch),
                Effect::Tell(_) | Effect::Follow => {}
            }
        }
        if follow {
            self.follow(name);
        }
    }

    fn tell(&mut self, name: &str, what: &'static str, said: &str, alarm: bool) {
        let Some(entry) = self.runs.get_mut(name) else { return };
        entry.run.said = said.into();
        entry.run.ended = entry.run.machine.is_done().then(|| {
            let wall = self.clock.wall();
            entry.run.ended.unwrap_or(wall)
        });
        // Fails only while the server stops.
        let _ = self.handle.changes.send(Change::Record(EventKind::Rollout {
            name: name.into(),
            record: entry.run.machine.def().record.get_ref().as_str().into(),
            what: what.into(),
            said: said.into(),
            alarm,
        }));
    }

    /// Has written down how the run stands, if that is news or it is time.
    fn keep(&mut self, name: &str, is_news: bool) {
        let now = self.clock.now();
        let Some(entry) = self.runs.get_mut(name) else { return };
        let is_time = entry.written.as_ref().is_none_or(|(_, at)| now.since(*at) >= OFTEN);
        if !is_news && !is_time {
            return;
        }
        let kept = KeptRun::of(&entry.run, now);
        if entry.written.as_ref().is_some_and(|(written, _)| *written == kept) {
            return;
        }
        let value = serde_json::to_value(&kept).ok();
        self.keeper.write(vec![Write::Note { name: format!("{NOTE}{name}").into(), value }]);
        entry.written = Some((kept, now));
    }

    /// Asks control for the member to have `share`; for the override to go, without.
    fn give(&self, name: &str, gift: Option<Gift>, urgent: bool, why: String) {
        let Some(entry) = self.runs.get(name) else { return };
        let def = entry.run.machine.def();
        let shown = self.handle.hand.load();
        let own = own(def, &shown.hand).map(|own| own.id);
        let member = || Arc::from(def.member.get_ref().as_str());
        let wish = match (&gift, own) {
            (Some(Gift { plain: true, .. }), _) => HandWish::Weight {
                target: target(def),
                member: Some(member()),
                weight: Weight::new(0),
            },
            (Some(Gift { share, .. }), _) => {
                HandWish::Share { target: target(def), member: member(), share: *share }
            }
            (None, Some(id)) => {
                HandWish::Weight { target: format!("id:{id}"), member: None, weight: None }
            }
            // It is gone already; the next look shows it.
            (None, None) => return,
        };
        let command = Command {
            wish,
            who: maker(name).into(),
            reason: (!why.is_empty()).then(|| why.into()),
            begins: None,
            lasts: None,
            break_glass: urgent,
            dry_run: false,
            if_version: None,
            even_if_unknown: false,
            instead_of: own.filter(|_| gift.is_some()),
            for_whom: entry.run.people.iter().map(Arc::clone).collect(),
        };
        let (name, kept) = (name.to_owned(), self.keeper.flush());
        let (viewer, locations) = (self.viewer.clone(), Arc::clone(&self.handle.locations));
        let (changes, clients) = (self.handle.changes.clone(), Arc::clone(&self.clients));
        let results = self.results.clone();
        tokio::spawn(async move {
            let _ = timeout(KEPT_WITHIN, kept).await;
            let counted =
                tokio::task::spawn_blocking(move || count(&viewer, &locations, &clients)).await;
            let (reply, done) = oneshot::channel();
            let clients = counted.unwrap_or_default();
            let given = match changes.send(Change::Hand {
                command: command.into(),
                from: "rollout".into(),
                clients,
                reply,
            }) {
                Ok(()) => done.await.ok().map(|done| match done {
                    Ok(done) => match done.planned.proposed {
                        Some(id) => Given::Proposed(id),
                        None => Given::Done,
                    },
                    // Files were loaded meanwhile, or somebody else was faster: look again.
                    Err(Refusal::Conflict(_)) => Given::Done,
                    Err(refusal) => refused(&refusal),
                }),
                Err(_) => None,
            };
            if let Some(given) = given {
                // Fails only while the server stops.
                let _ = results.send(Outcome::Given { name, given });
            }
        });
    }

    /// Nobody may confirm any more what a rollout does not ask for any more.
    fn withdraw(&self, name: &str, id: u64) {
        // One that has ended already is as good; the answer says nothing new.
        let (reply, _) = oneshot::channel();
        let command = Command {
            wish: HandWish::Reject { target: format!("id:{id}") },
            who: maker(name).into(),
            reason: None,
            begins: None,
            lasts: None,
            break_glass: false,
            dry_run: false,
            if_version: None,
            even_if_unknown: false,
            instead_of: None,
            for_whom: Vec::new(),
        };
        // Fails only while the server stops.
        let _ = self.handle.changes.send(Change::Hand {
            command: command.into(),
            from: "rollout".into(),
            clients: Arc::default(),
            reply,
        });
    }

    fn measure(&self, name: &str, analysis: usize, epoch: u64) {
        let Some(entry) = self.runs.get(name) else { return };
        let def = entry.run.machine.def();
        let Some(source) = def.analysis.get(analysis).map(|one| one.source.clone()) else { return };
        let (name, results) = (name.to_owned(), self.results.clone());
        // Fails only while the server stops.
        let tell = move |measured| {
            let _ = results.send(Outcome::Measured { name, epoch, analysis, measured });
        };
        if let Source::Health(figure) = source {
            let (targets, world) = ((self.targets)(), self.viewer.world());
            let own = of_member(def, &world.snapshot, &targets);
            return tell(of_health(figure, own.into_iter(), &entry.probed, entry.served));
        }
        let asker = self.asker.clone();
        tokio::spawn(async move { tell(asker.ask(&source).await) });
    }

    fn follow(&mut self, name: &str) {
        let Some(entry) = self.runs.get(name) else { return };
        let then = entry.run.machine.def().then.clone();
        let people = entry.run.people.clone();
        for next in then {
            let next = next.get_ref().as_str();
            let reason = format!("follows {name}");
            if let Err(refused) = self.begin(next, &maker(name).into(), Some(reason.into()), false)
            {
                self.tell(name, "not followed", &format!("{next} did not begin: {refused}"), true);
            } else if let Some(entry) = self.runs.get_mut(next) {
                // It was they who had that begin, too.
                entry.run.people.extend(people.iter().map(Arc::clone));
            }
        }
    }

    fn begin(
        &mut self,
        name: &str,
        who: &Arc<str>,
        reason: Option<Arc<str>>,
        even_if_degraded: bool,
    ) -> Result<(), Refused> {
        let def = match self.defs.get(name) {
            Some(def) => Arc::clone(def),
            None => return Err(Refused::Unknown(self.unknown(name))),
        };
        for (other, entry) in &self.runs {
            let machine = &entry.run.machine;
            if machine.is_closed() || machine.def().record.get_ref() != def.record.get_ref() {
                continue;
            }
            let (word, record) = (machine.word(), &def.record);
            return Err(Refused::Conflict(match machine.is_done() {
                true => format!(
                    "`{other}` has {word}, and its weights at {record} are not in the files yet: \
                     `tradewind rollout finish {other}` says what to write, `undo` takes them away"
                ),
                false => format!("`{other}` is under way at {record}: {word}"),
            }));
        }
        self.check_health(&def, even_if_degraded)?;
        let starting = || Refused::Conflict("no files are in force yet".into());
        let seen = self.seen(&def).ok_or_else(starting)?;
        self.check_first(&def, &seen)?;
        let (machine, effects) = Machine::begin(def, &seen);
        let mut run = Run::new(machine, Arc::clone(who), reason, self.clock.wall());
        run.seen = Some(seen);
        self.runs.insert(name.to_owned(), Entry::new(run));
        self.carry_out(name, effects);
        Ok(())
    }

    fn order(
        &mut self,
        name: &str,
        order: Order,
        who: &Arc<str>,
        reason: Option<Arc<str>>,
        even_if_degraded: bool,
    ) -> Result<(), Refused> {
        let Some(entry) = self.runs.get(name) else {
            return Err(Refused::Unknown(match self.defs.contains_key(name) {
                true => format!("`{name}` was not begun: `tradewind rollout start {name}`"),
                false => self.unknown(name),
            }));
        };
        let def = Arc::clone(entry.run.machine.def());
        if matches!(order, Order::Promote { .. } | Order::Retry) {
            self.check_health(&def, even_if_degraded)?;
        }
        let by = match &reason {
            Some(reason) => format!("{who}: {reason}"),
            None => who.to_string(),
        };
        let mut outcome = Ok(());
        if order != Order::Pause
            && let Some(entry) = self.runs.get_mut(name)
        {
            entry.run.people.insert(Arc::clone(who));
        }
        self.drive(name, |machine, seen| match machine.order(order, &by, seen) {
            Ok(effects) => effects,
            Err(why) => {
                outcome = Err(Refused::Conflict(format!("`{name}`: {why}")));
                Vec::new()
            }
        });
        outcome
    }

    /// Whether the first step gives the member more than it has, and can be through in time. Files are
    /// held against that when they are loaded, but may say otherwise by now, and so may people.
    fn check_first(&self, def: &RolloutDef, seen: &Seen) -> Result<(), Refused> {
        let world = self.viewer.world();
        let has = place(def, &world.snapshot).and_then(|(tree, ..)| {
            share_of(tree, tree.root, def.member.get_ref()).map(Share::from_fraction)
        });
        let first = def.steps.first().map_or(Share::NONE, |step| *step.weight.get_ref());
        if let Some(has) = has.filter(|has| *has > first) {
            return Err(Refused::Conflict(format!(
                "`{}` has {has} of the clients already: a first step of {first} would send some of \
                 them away, and the next one fetch them back",
                def.member
            )));
        }
        let longest = def.steps.iter().map(|step| step.bake).max().unwrap_or_default();
        match &def.progress_deadline {
            Some(deadline) if *deadline.get_ref() <= longest.max(seen.settle) => {
                Err(Refused::Conflict(format!(
                    "no step can be through within `progress_deadline`: each lasts {} at least",
                    short(longest.max(seen.settle))
                )))
            }
            _ => Ok(()),
        }
    }

    fn check_health(&self, def: &RolloutDef, even_if_degraded: bool) -> Result<(), Refused> {
        let pinned = self.handle.overview.load().pinned;
        let against = degraded(def, &self.viewer.world(), pinned);
        match even_if_degraded || against.is_empty() {
            true => Ok(()),
            false => Err(Refused::Degraded(against)),
        }
    }

    fn unknown(&self, name: &str) -> String {
        match nearest(name, self.defs.keys().map(String::as_str)) {
            Some(meant) => format!("there is no rollout `{name}`; did you mean `{meant}`?"),
            None => format!("there is no rollout `{name}`: `tradewind rollout list`"),
        }
    }

    fn until_wake(&self) -> Duration {
        let now = self.clock.now();
        let open = self.runs.values().filter(|entry| !entry.run.machine.is_closed());
        let wakes = open.map(|entry| {
            let wake = entry.run.seen.as_ref().and_then(|seen| entry.run.machine.wake(seen));
            wake.map_or(AGAIN, |at| at.since(now)).clamp(SOON, AGAIN)
        });
        wakes.min().unwrap_or(Duration::MAX)
    }

    fn observed(&self, entry: &Entry, snapshot: &Snapshot) -> Option<Observed> {
        entry.run.machine.intended()?;
        let now = answered(entry.run.machine.def(), snapshot, &self.telemetry)?;
        Some(Observed {
            member: now.member.saturating_sub(entry.answered.member),
            all: now.all.saturating_sub(entry.answered.all),
        })
    }

    fn show(&self) {
        let snapshot = Arc::clone(&self.viewer.world().snapshot);
        let run =
            |entry: &Entry| Run { observed: self.observed(entry, &snapshot), ..entry.run.clone() };
        self.shown.store(Arc::new(Shown {
            defs: self.defs.values().map(Arc::clone).collect(),
            runs: self.runs.values().map(run).collect(),
        }));
    }
}

/// The step whose weight is served, while it is looked at.
fn served_step(machine: &Machine) -> Option<u64> {
    match machine.stage() {
        // A pause goes on with what the step has baked by.
        Stage::Baking | Stage::Waiting => Some(machine.epoch()),
        // What is taken back counts from there.
        Stage::Reversing { .. } => Some(u64::MAX),
        _ => None,
    }
}

/// How much the record of `def` has answered.
fn answered(def: &RolloutDef, snapshot: &Snapshot, telemetry: &Telemetry) -> Option<Observed> {
    let (member, all) = counters(def, snapshot)?;
    Some(Observed { member: telemetry.answered(&member), all: telemetry.answered(&all) })
}

/// The clients of every map in force: what safety rules that speak of shares need.
fn count(
    viewer: &Viewer,
    locations: &ArcSwap<LazyTable>,
    clients: &Mutex<Arc<Clients>>,
) -> Arc<Clients> {
    let known = Arc::clone(&clients.lock().unwrap_or_else(PoisonError::into_inner));
    let counted =
        Arc::new(Clients::of_files(&viewer.world().snapshot, &locations.load_full(), &known));
    *clients.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&counted);
    counted
}

/// What a refusal comes to for who asks again.
fn refused(refusal: &Refusal) -> Given {
    let why: Arc<str> = said(refusal).into();
    match refusal {
        Refusal::Weight(_) => Given::NoShare(why),
        Refusal::Unsafe(violations) => {
            let left: Option<Vec<Duration>> = violations.iter().map(|one| one.left).collect();
            match left.and_then(|left| left.into_iter().max()) {
                Some(left) => Given::NotYet { why, left },
                None => Given::Refused(why),
            }
        }
        _ => Given::Refused(why),
    }
}

/// A refusal with what it would have broken.
fn said(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Unsafe(violations) => {
            let words: Vec<String> = violations.iter().map(ToString::to_string).collect();
            format!("{refusal}: {}", words.join("; "))
        }
        _ => refusal.to_string(),
    }
}
