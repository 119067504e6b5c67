//! The thread of one run: looks, lets the machine decide, does what it orders, writes it down.
//!
//! Nothing here waits for anything without a bound, and an operator's abort is looked for in every
//! wait. When the run ends, in whatever way, what it did is taken back. What is looked at stands in
//! `watching`. Past 600 lines: one run from its first look to the last thing that is taken back.

mod watching;

use super::{
    admission::{Plan, words},
    answers::{Answers, Book, Lane, ms},
    archive::Archive,
    asker::{Asker, Asking},
    effects::Effects,
    figures::Figures,
    ground::{self, Asked, Ground, Spot},
    journal::{Entry, Head, SCHEMA, What, Writer},
    machine::{Machine, Order, Seen, Stage},
    report::{Trend, Verdict, concluded, sha256},
};
use crate::{
    clock::Moment,
    config::drill::{DrillDef, Mode, RollbackAction, RollbackDef},
    forecast::preview::Place,
};
use std::{
    collections::HashSet,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, SystemTime},
};

/// The longest pause between two looks: what a stop condition sees is acted on within that.
const TICK: Duration = Duration::from_millis(5);
/// Failovers are told to go back whenever something has changed, and else again this often.
const FAIL_BACK: Duration = Duration::from_millis(500);
/// After an abort that is waited for so long at most.
const BACK_AFTER_ABORT: Duration = Duration::from_secs(5);

/// A run as it is seen by others.
#[derive(Debug)]
pub struct Running {
    /// The drill.
    pub drill: String,
    /// Which run of it.
    pub run: String,
    /// What it does to answers.
    pub mode: Mode,
    /// Who started it.
    pub who: String,
    /// When.
    pub started: SystemTime,
    /// When it ends at the latest.
    pub until: SystemTime,
    /// What may change what it finds.
    pub warnings: Vec<String>,
    pub(super) entries: Mutex<Vec<Entry>>,
    pub(super) abort: Mutex<Option<String>>,
    pub(super) stage: Mutex<Stage>,
}

impl Running {
    /// What happened so far, from entry number `from` on.
    pub fn entries(&self, from: usize) -> Vec<Entry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(from..).unwrap_or_default().to_vec()
    }

    /// Where it stands: `before`, `steps`, `after`.
    pub fn stage(&self) -> &'static str {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner).word()
    }

    /// Ends it at once.
    pub(super) fn abort(&self, why: String) {
        let mut abort = self.abort.lock().unwrap_or_else(PoisonError::into_inner);
        abort.get_or_insert(why);
    }

    /// What could not be taken back of it, once all else was after an abort, or it is over.
    pub fn taken_back(&self) -> Option<Vec<String>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().find_map(|entry| match &entry.what {
            What::Aborted { left, .. } => Some(left.clone()),
            What::Ended { .. } => Some(Vec::new()),
            _ => None,
        })
    }

    fn aborted(&self) -> Option<String> {
        self.abort.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How a run was asked for.
pub(super) struct How {
    pub ack: String,
    pub degraded: Vec<String>,
}

/// One run.
pub(super) struct Runner {
    ground: Arc<Ground>,
    archive: Archive,
    plan: Plan,
    shared: Arc<Running>,
    began: Moment,
    writer: Writer,
    machine: Machine,
    answers: Answers,
    asked: Vec<Asked>,
    heard: Receiver<super::answers::Heard>,
    asker: Option<Asker>,
    effects: Effects,
    /// What is hit, and its addresses as events name them.
    spots: HashSet<Spot>,
    hit: HashSet<String>,
    /// The newest event that was written down, and how many were.
    seq: u64,
    events: usize,
    /// Steps that no probe has met yet.
    awaited: Vec<usize>,
    /// Steps that are on, for what would be answered.
    on: Vec<usize>,
    figures: Figures,
    /// Since when each stop condition holds.
    holding: Vec<Option<Moment>>,
    /// The next whole second whose values are written down.
    second: u32,
    looked_for_file: Moment,
    aborted_at: Option<Moment>,
    /// When everything was taken back, and whether failovers have gone back since, as far as that
    /// is waited for.
    taken_back: Option<Moment>,
    is_rolled_back: bool,
    /// Failovers that the file wants back, and that have not gone yet.
    failbacks: Vec<String>,
    /// When they were asked last, and in which World.
    failed_back: Option<(Moment, u64)>,
    besides: Vec<String>,
    /// What is not done yet, and may never be.
    refused: Vec<String>,
    sights: Sights,
    /// What is written down once what hurts was taken back.
    late: Vec<(Moment, What)>,
    /// Why the journal cannot be written any more.
    unwritten: Option<String>,
}

/// What there is to see of a World, worked out once for each.
#[derive(Clone, Copy, Debug, Default)]
struct Sights {
    swap: u64,
    regions_up: f64,
    endpoints_down: f64,
    fail_open: f64,
    /// Whether all that is hit is up, as far as it is still there.
    is_hit_up: bool,
}

impl Runner {
    /// Writes the head of the journal and starts to ask. Nothing was done yet.
    ///
    /// # Errors
    /// When the journal cannot be written or nothing can be asked.
    pub(super) fn new(
        ground: &Arc<Ground>,
        archive: &Archive,
        plan: Plan,
        shared: &Arc<Running>,
        how: How,
    ) -> io::Result<Runner> {
        let def = Arc::clone(&plan.def);
        let world = ground.viewer.world();
        let asked = match *def.mode.get_ref() {
            Mode::Simulate => Vec::new(),
            _ => ground.asked(&def, &world).map_err(io::Error::other)?,
        };
        // Both at one moment: what others measured is compared by the time of day.
        let (began, started) = (ground.clock.now(), ground.clock.wall());
        let mut head = head(ground, &def, shared, &asked, how, world.revision);
        let started = jiff::Timestamp::try_from(started).unwrap_or_default();
        head.started = format!("{started:.6}");
        let spots: HashSet<Spot> =
            plan.steps.iter().flat_map(|step| step.hit.spots.iter().cloned()).collect();
        let hit = ground::addresses(&spots);
        let regions = ground::regions_of(&world.snapshot);
        let book = Book { regions, hit: hit.clone() };
        let lanes = asked
            .iter()
            .map(|asked| Lane::new(asked.steady, Arc::clone(&asked.label), asked.base.clone()));
        let mut answers = Answers::new(def.steady.clone(), lanes.collect(), book, began);
        answers.found(ground::found(&world, &spots));
        let (tell, heard) = mpsc::channel();
        let asker = match asked.is_empty() {
            true => None,
            false => Some(Asker::start(Asking {
                server: ground.server,
                lanes: asked.iter().map(|one| (one.question.clone(), one.rate)).collect(),
                clock: Arc::clone(&ground.clock),
                tell,
            })?),
        };
        let until = began.after(*def.max_duration.get_ref());
        let names = (&*shared.drill, &*shared.run, &*shared.who);
        let effects = Effects::new(ground, names, until, &def, spots.clone());
        let seq = ground.journal.lock().newest();
        let figures = Figures::start(&def, &ground.dir, &ground.clock)?;
        // Last, so that what cannot begin leaves no journal of a run that never was.
        archive.prepare(&shared.drill)?;
        let first = Entry { ms: 0.0, what: What::Began(Box::new(head)) };
        let writer = Writer::begin(&archive.path(&shared.drill, &shared.run), &first)?;
        shared.entries.lock().unwrap_or_else(PoisonError::into_inner).push(first);
        Ok(Runner {
            ground: Arc::clone(ground),
            archive: archive.clone(),
            machine: Machine::new(&def, began),
            shared: Arc::clone(shared),
            figures,
            holding: vec![None; def.stops.len()],
            plan,
            began,
            writer,
            answers,
            asked,
            heard,
            asker,
            effects,
            hit,
            seq,
            events: 0,
            awaited: Vec::new(),
            on: Vec::new(),
            second: 0,
            looked_for_file: began,
            aborted_at: None,
            taken_back: None,
            is_rolled_back: false,
            failbacks: Vec::new(),
            failed_back: None,
            besides: Vec::new(),
            refused: Vec::new(),
            sights: Sights::of(&world, &spots),
            spots,
            late: Vec::new(),
            unwritten: None,
        })
    }

    /// Runs to the end; how it went.
    pub(super) fn run(mut self) -> (Verdict, String) {
        let started = format!("{} begins ({})", self.def().mode.get_ref().word(), self.shared.who);
        self.note(started, false);
        self.stage(Stage::Before);
        while self.machine.stage() != Stage::Done {
            self.listen();
            let now = self.ground.clock.now();
            self.watch_events();
            self.watch_probes();
            self.tell_seconds(now, false);
            let abort = self.why_abort(now);
            let deviates = self.answers.deviates();
            let is_back = self.is_back(now);
            let seen = Seen { deviates: deviates.as_deref(), abort: abort.as_deref(), is_back };
            for order in self.machine.advance(now, seen) {
                self.obey(order);
            }
            self.go_back(now);
        }
        self.finish()
    }

    fn def(&self) -> Arc<DrillDef> {
        Arc::clone(&self.plan.def)
    }

    fn add(&mut self, what: What) {
        let now = self.ground.clock.now();
        self.add_at(now, what);
    }

    fn add_at(&mut self, at: Moment, what: What) {
        let entry = Entry { ms: ms(at, self.began), what };
        self.push(entry.clone());
        // Once something is on, taking it back comes before anything a disk has to say.
        let is_enough = self.is_enough();
        let is_on = matches!(entry.what, What::Injected { .. });
        if let Err(error) = self.writer.add(&entry, &|| is_on && is_enough()) {
            // What is done is taken back whatever becomes of its journal, and that at once: nobody
            // could say afterwards what happened.
            let why = format!("its journal can no longer be written: {error}");
            self.push(Entry { ms: entry.ms, what: What::Broke { why: why.clone() } });
            self.shared.abort(why.clone());
            self.unwritten = Some(why);
        }
    }

    fn push(&self, entry: Entry) {
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// Whether somebody wants it to end at once: looked at in every wait.
    fn is_enough(&self) -> impl Fn() -> bool + use<> {
        let (shared, file) = (Arc::clone(&self.shared), self.archive.abort_file());
        move || shared.aborted().is_some() || file.exists()
    }

    fn note(&self, what: String, alarm: bool) {
        let Running { drill, run, who, .. } = &*self.shared;
        self.ground.note(who, (drill, run), what, alarm);
    }

    fn stage(&mut self, stage: Stage) {
        *self.shared.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.add(What::Stage { stage: stage.word().to_owned() });
    }

    /// Takes what was answered; waits a moment for more.
    fn listen(&mut self) {
        let mut heard = Vec::new();
        match self.heard.recv_timeout(TICK) {
            Ok(first) => heard.push(first),
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody asks: time goes on all the same.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
        }
        heard.extend(self.heard.try_iter());
        // After they came, before they are judged: each was answered by this World or one before.
        self.look_at_world();
        heard.iter().for_each(|heard| self.answers.take(heard));
        let answers = self.answers.samples();
        if !answers.is_empty() {
            self.add(What::Samples { answers });
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Enter(Stage::After) => {
                if self.aborted_at.is_none() {
                    self.take_back();
                }
                self.stage(Stage::After);
            }
            Order::Enter(stage) => self.stage(stage),
            Order::Begin(index) => self.begin(index),
            Order::End(index) => {
                self.watch_probes();
                let left = self.effects.end(index);
                self.besides.extend(left);
                self.on.retain(|on| *on != index);
                let step = self.plan.def.steps[index].id.get_ref().clone();
                self.note(format!("step {step} is over"), false);
                self.add(What::Over { step });
            }
            Order::Abort(why) => {
                self.aborted_at = Some(self.ground.clock.now());
                // First what hurts, then the words.
                let left = self.take_back();
                self.effects.pardon();
                for (at, what) in std::mem::take(&mut self.late) {
                    self.add_at(at, what);
                }
                self.note(format!("aborted: {why}"), true);
                self.add(What::Aborted { why, left });
            }
        }
    }

    fn begin(&mut self, index: usize) {
        // Of several that are due together the rest does not begin once somebody has had enough.
        if self.is_enough()() {
            return;
        }
        let def = self.def();
        let step = &def.steps[index];
        let Some(place) = self.plan.steps.iter().position(|planned| planned.index == index) else {
            return;
        };
        let id = step.id.get_ref().clone();
        let planned = self.plan.steps[place].clone();
        self.foresee(&id, place);
        let is_real = def.mode.get_ref().is_real();
        let said = match is_real {
            true => words(step),
            false => format!("{} (not done: {})", words(step), def.mode.get_ref().word()),
        };
        // Before it is done: the first answer may change at once.
        self.answers.injected();
        let at = self.ground.clock.now();
        let lasts = step.lasts.as_ref().map_or(Duration::ZERO, |lasts| *lasts.get_ref());
        let is_enough = self.is_enough();
        let drill = self.shared.drill.clone();
        self.on.push(index);
        let begun = self.effects.begin((index, step, &planned), &drill, &is_enough);
        match begun {
            Ok(begun) => {
                if begun.awaits_probe {
                    self.awaited.push(index);
                }
                let said = match begun.spared.is_empty() {
                    true => said,
                    false => format!(
                        "{said}; not {}: gone by files loaded since, or not canaries' alone any more",
                        begun.spared.join(", ")
                    ),
                };
                self.note(format!("step {id}: {said}"), false);
                self.add_at(
                    at,
                    What::Injected {
                        step: id,
                        action: step.action.get_ref().word().to_owned(),
                        target: step.target.as_ref().map(|target| target.get_ref().clone()),
                        said,
                        until_ms: ms(at.after(lasts), self.began),
                        overrides: begun.overrides,
                        keys: begun.keys,
                        disrupts: planned.disrupts(),
                        awaits_probe: begun.awaits_probe,
                    },
                );
            }
            Err(why) => {
                self.add(What::Refused { step: id.clone(), why: why.clone() });
                self.shared.abort(format!("step {id} could not be done: {why}"));
            }
        }
    }

    /// Writes down what would come of a step.
    fn foresee(&mut self, id: &str, place: usize) {
        let planned = &self.plan.steps[place];
        let Some(preview) = &planned.preview else { return };
        let name = |place: &Place| match &place.region {
            Some(region) => region.to_string(),
            None => place.pool.to_string(),
        };
        let moves = preview.first();
        let flows = moves
            .flows
            .iter()
            .take(20)
            .map(|flow| (format!("{} -> {}", name(&flow.from), name(&flow.to)), flow.share));
        // What was measured counts; this is for what nothing was done for.
        let is_real = self.plan.def.mode.get_ref().is_real();
        let detect = planned.detect.filter(|_| !is_real).map(|time| time.as_secs_f64() * 1e3);
        let what = What::Foreseen {
            step: id.to_owned(),
            moved: moves.moved,
            flows: flows.collect(),
            detect_ms: detect,
            ttl_s: planned.ttl_s,
        };
        self.add(what);
    }

    /// Takes back what is left; what could not be. What the file wants done besides follows as soon
    /// as it can be ([`Self::go_back`]).
    fn take_back(&mut self) -> Vec<String> {
        let at = self.ground.clock.now();
        let left = self.effects.take_back_all();
        self.besides.extend(left.iter().cloned());
        let (is_first, is_aborted) = (self.taken_back.is_none(), self.aborted_at.is_some());
        let def = self.def();
        let is_due = |rollback: &&RollbackDef| {
            *rollback.action.get_ref() == RollbackAction::Failback
                && if rollback.only_aborted { is_aborted } else { is_first }
                && def.mode.get_ref().is_real()
        };
        let targets = def.rollbacks.iter().filter(is_due);
        self.failbacks.extend(targets.map(|rollback| rollback.target.get_ref().clone()));
        (self.taken_back, self.is_rolled_back, self.failed_back) = (Some(at), false, None);
        left
    }

    /// Lets failovers go back as soon as they can, which is once what was hit is up again: those
    /// that the file names, and after an abort whichever left what was hit. Sees when that is done.
    fn go_back(&mut self, now: Moment) {
        let Some(since) = self.taken_back.filter(|_| !self.is_rolled_back) else { return };
        self.look_at_world();
        let swap = self.sights.swap;
        let is_known = |(at, seen): (Moment, u64)| seen == swap && now.since(at) < FAIL_BACK;
        if self.failed_back.is_some_and(is_known) {
            return;
        }
        self.failed_back = Some((now, swap));
        let (mut asked, mut refused) = self.effects.fail_back_of(&mut self.failbacks);
        if self.aborted_at.is_some() {
            let (theirs, not) = self.effects.fail_back();
            asked.extend(theirs);
            refused.extend(not);
        }
        let is_up = self.aborted_at.is_none() || self.sights.is_hit_up;
        let is_settled = asked.is_empty() && self.failbacks.is_empty() && is_up;
        self.besides.extend(asked);
        self.refused = refused;
        // What is down in earnest is not ours to wait for.
        let is_late = self.aborted_at.is_some_and(|at| now.since(at) >= BACK_AFTER_ABORT);
        if is_settled || is_late {
            self.rolled_back(since);
        }
    }

    fn rolled_back(&mut self, since: Moment) {
        let now = self.ground.clock.now();
        self.is_rolled_back = true;
        let took_ms = ms(now, since);
        let mut besides = std::mem::take(&mut self.besides);
        besides.append(&mut self.refused);
        besides.dedup();
        self.add_at(now, What::RolledBack { took_ms, besides });
    }

    fn finish(mut self) -> (Verdict, String) {
        let is_back = self.is_back(self.ground.clock.now());
        let deviates = self.answers.deviates();
        if !self.is_rolled_back {
            let since = self.taken_back.unwrap_or_else(|| self.ground.clock.now());
            self.rolled_back(since);
        }
        if let Some(asker) = self.asker.take() {
            asker.stop();
        }
        while let Ok(heard) = self.heard.try_recv() {
            self.answers.take(&heard);
        }
        // What was made up is no reason to hold anybody down for longer the next time.
        self.effects.pardon();
        let now = self.ground.clock.now();
        self.watch_events();
        self.tell_seconds(now, true);
        if is_back {
            let last_off_ms = self.answers.last_off().map(|at| ms(at, self.began));
            self.add(What::Back { last_off_ms, deviates });
        }
        let entries = self.shared.entries(0);
        let (verdict, sentence) = match concluded(&entries) {
            Some(report) => {
                self.archive.sum_up(&self.shared.drill, &Trend::of(&report));
                (report.verdict, report.sentence)
            }
            None => (Verdict::Aborted, "its journal is lost".to_owned()),
        };
        if let Some(why) = self.unwritten.take() {
            self.write_end(why);
        }
        self.add(What::Ended { verdict: verdict.to_string(), sentence: sentence.clone() });
        self.note(format!("{verdict}: {sentence}"), verdict != Verdict::Pass);
        (verdict, sentence)
    }
}

impl Runner {
    /// Lets a journal that could not be written say so, if the disk has recovered.
    fn write_end(&mut self, why: String) {
        let path = self.archive.path(&self.shared.drill, &self.shared.run);
        let entry =
            Entry { ms: ms(self.ground.clock.now(), self.began), what: What::Broke { why } };
        let written = Writer::reopen(&path).and_then(|mut writer| {
            writer.add(&entry, &|| false)?;
            Ok(writer)
        });
        match written {
            Ok(writer) => self.writer = writer,
            Err(error) => tracing::warn!(%error, "the drill's journal has no end"),
        }
    }
}

fn head(
    ground: &Ground,
    def: &DrillDef,
    shared: &Running,
    asked: &[Asked],
    how: How,
    revision: u64,
) -> Head {
    Head {
        schema_version: SCHEMA,
        drill: shared.drill.clone(),
        run: shared.run.clone(),
        description: def.description.clone(),
        owner: def.owner.clone(),
        mode: def.mode.get_ref().word().to_owned(),
        who: shared.who.clone(),
        ack: how.ack,
        started: String::new(),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        revision,
        file: def.file.display().to_string(),
        sha256: sha256(&def.text),
        text: def.text.to_string(),
        budgets: def.budgets(),
        stops: def.stops.iter().map(|stop| stop.get_ref().text.clone()).collect(),
        lanes: asked.iter().map(|asked| asked.label.to_string()).collect(),
        server: ground.server.to_string(),
        degraded: how.degraded,
        max_duration_ms: def.max_duration.get_ref().as_secs_f64() * 1e3,
    }
}
