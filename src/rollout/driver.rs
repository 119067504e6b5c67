//! Runs the machines: one task for all rollouts. Looks around when something happened or time has
//! come, does what machines want done, and keeps how they stand.
//!
//! What a machine wants done to answers is sent only once how it stands is kept, so that a crash
//! in between finds it asking again and never further than it was. What happened is told after
//! that was kept, so that no life of the process tells it again.
//!
//! `wishes` has what people ask for, `carried` what machines want done, in that order, `doing` what
//! of it is asked of control and of figures.

mod carried;
mod doing;
mod wishes;

use super::{
    Observed, Refused, Run, SharedRollouts, Shown,
    around::{Around, counters, of_member, of_override},
    kept::KeptRun,
    machine::Machine,
    model::{Effect, Given, Order, Seen, Stage},
    patch::{Patch, patch},
};
use crate::{
    clock::{Clock, Moment},
    config::rollouts::RolloutDef,
    control::{Change, Handle, Stood, audit::Origin, event::EventKind, store::Keeper},
    forecast::Clients,
    health::TargetState,
    measure::{Asker, Measured, Probed, probed},
    snapshot::Snapshot,
    telemetry::Telemetry,
    units::Share,
    world::Viewer,
};
use carried::Unsent;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

/// Under this prefix each run is a note of the store.
const NOTE: &str = "rollout:";
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
        by: Origin,
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
        let mut runs = BTreeMap::new();
        for (name, value) in notes {
            let name = &name[NOTE.len()..];
            let kept = serde_json::from_value::<KeptRun>(value.clone()).ok();
            match kept.and_then(|kept| kept.restored(now)) {
                Some(run) => drop(runs.insert(name.to_owned(), Entry::new(run))),
                None => unreadable(&settings.handle, name),
            }
        }
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
            runs,
            results,
            clients: Arc::default(),
            shown: Arc::clone(&shown),
            unsent: Unsent::default(),
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

    /// Has `wish` done, and written down who wished it, whether or not anybody waits for that.
    ///
    /// # Errors
    /// When it does not fit how things stand.
    pub async fn order(
        &self,
        name: &str,
        wish: Wish,
        by: Origin,
        even_if_degraded: bool,
    ) -> Result<(), Refused> {
        let (reply, done) = oneshot::channel();
        let name = name.to_owned();
        let ask = Ask::Wish { name, wish, by, even_if_degraded, reply };
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
    /// How runs stand, and what happened: on their way once all that belongs together is here.
    unsent: Unsent,
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
                self.defs = named.collect();
                if self.files.replace(files).is_none() {
                    self.withdraw_strays();
                }
                self.look();
            }
            Ask::Wish { name, wish, by, even_if_degraded, reply } => {
                let before = self.stood(&name);
                let (who, reason) = (&by.who, by.reason.clone());
                let done = match wish {
                    Wish::Start => {
                        self.begin(&name, who, &BTreeSet::new(), reason, even_if_degraded)
                    }
                    Wish::Order(order) => self.order(&name, order, who, reason, even_if_degraded),
                };
                let stood = || Stood { before, after: self.stood(&name) };
                let what = format!("rollout {} {name}", wish.word());
                let told = Change::wished(by, &what, done.as_ref().map(|()| Some(stood())));
                // Fails only while the server stops.
                let _ = self.handle.changes.send(told);
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

    /// How `name` stands, for the audit.
    fn stood(&self, name: &str) -> Arc<str> {
        match self.runs.get(name).map(|entry| &entry.run.machine) {
            Some(machine) => format!("{name} {} at {}", machine.word(), machine.place()).into(),
            None => format!("{name} not begun").into(),
        }
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Given { name, given } => {
                self.drive(&name, |run, seen| run.machine.given(given, seen));
            }
            Outcome::Measured { name, epoch, analysis, measured } => {
                self.drive(&name, |run, seen| {
                    run.machine.measured(epoch, analysis, measured, seen)
                });
            }
        }
    }

    /// Lets every machine look around.
    fn look(&mut self) {
        let open = self.runs.iter().filter(|(_, entry)| !entry.run.machine.is_closed());
        let names: Vec<String> = open.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.drive(&name, |run, seen| run.machine.step(seen));
            self.look_at_proposal(&name);
        }
    }

    /// Takes back what a process before had proposed and did not come to write down, or was about to
    /// take back: nobody may confirm what no rollout waits for.
    fn withdraw_strays(&self) {
        let shown = self.handle.hand.load();
        for proposal in shown.hand.proposals() {
            let Some(name) = of_override(&proposal.command.who) else { continue };
            let awaited = self.runs.get(name).and_then(|entry| entry.run.machine.proposed());
            if awaited != Some(proposal.id) {
                self.withdraw(name, proposal.id);
            }
        }
    }

    fn look_at_proposal(&mut self, name: &str) {
        let hand = self.handle.hand.load();
        let proposed = self.runs.get(name).and_then(|entry| entry.run.machine.proposed());
        let is_gone = |id| !hand.hand.proposals().iter().any(|proposal| proposal.id == id);
        if proposed.is_some_and(is_gone) {
            self.drive(name, |run, seen| run.machine.proposal_gone(seen));
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

    /// Has the run of `name` do something, and does what its machine wants done.
    fn drive(&mut self, name: &str, act: impl FnOnce(&mut Run, &Seen) -> Vec<Effect>) {
        let Some(seen) = self.runs.get(name).and_then(|e| self.seen(e.run.machine.def())) else {
            return;
        };
        let Some(entry) = self.runs.get_mut(name) else { return };
        let was = served_step(&entry.run.machine);
        let effects = act(&mut entry.run, &seen);
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

/// Says that a run stays as it was kept: its override goes on, and nobody judges it.
fn unreadable(handle: &Handle, name: &str) {
    let said = "it was kept by another version, which this one cannot read: what it gave its member \
                stays in force (`tradewind overrides`) and is judged by nobody; undo that by hand";
    // Fails only while the server stops.
    let _ = handle.changes.send(Change::Record(EventKind::Rollout {
        name: name.into(),
        record: "".into(),
        what: "unreadable".into(),
        said: said.into(),
        alarm: true,
    }));
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
