//! The loop that takes [`Change`]s, one at a time and in order.
//!
//! Verdicts are published at once; those that follow within a millisecond go together. Loading
//! files, and keeping those that were accepted, takes its time on a thread of its own, and
//! verdicts go on being published meanwhile.
//! Ends when every sender is gone or the server stops.

use super::{
    Change,
    audit::{self, Origin},
    event::EventKind,
    hand::{self, foresee::Outlook, words},
    plan,
    publish::{Control, TargetVerdict, Unlike},
    reload::{Found, Loader, Prepared, Report, Wish},
    steered::Steered,
    store::Keeper,
    vantage::Vantage,
};
use crate::{
    checkplan::{CheckPlan, Mode, ProbeAddress, Target},
    clock::{Clock, Moment},
    compile::Entry,
    config::{drill::DrillDef, hooks::HookDef, rollouts::RolloutDef, server::ServerSection},
    failover::breaker,
    place::LazyTable,
    snapshot::{Alias, Snapshot},
    spread,
    units::Ttl,
};
use arc_swap::ArcSwap;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// After a publish, changes of verdict are gathered for so long before the next.
const COALESCE: Duration = Duration::from_millis(1);
/// Replaced Worlds are looked after this often: datapath threads refresh once a second.
const COLLECT: Duration = Duration::from_secs(1);
/// The soonest that time is looked at again: below what anybody waits for, above a spin.
const AGAIN: Duration = Duration::from_millis(1);

/// An operator's change is answered when it is durable, or after this.
const KEPT_WITHIN: Duration = Duration::from_secs(1);

/// What the loop calls in other rooms.
pub struct Hooks {
    /// Those who probe.
    pub vantage: Arc<dyn Vantage>,
    /// Notified of every answer and failure while they are listened for: however many come while
    /// the loop is busy, it looks once.
    pub heard: Arc<tokio::sync::Notify>,
    /// Takes the hooks of the operator's that are to be told what happens.
    pub notify: Notify,
    /// Takes what is measured and who is shown it, after every load.
    pub telemetry: Measure,
    /// Takes the names whose addresses are to be looked up.
    pub flatten: Flatten,
    /// Takes what operators can have rolled out.
    pub rollouts: Offer,
    /// Starts or stops a demo backend.
    pub demo: DemoSwitch,
}

/// Takes the names whose addresses are to be looked up from now on, and the resolvers to ask.
pub type Flatten = Box<dyn Fn(&[Alias], &[SocketAddr]) + Send>;

/// Takes the rollouts that can be run from now on, and the files in force with their own weights.
pub type Offer = Box<dyn Fn(&[Arc<RolloutDef>], &Arc<Snapshot>) + Send>;

/// Takes the hooks that are to be told from now on.
pub type Notify = Box<dyn Fn(&[HookDef]) + Send>;

/// Takes which answers are looked at and who is shown them, and which records have series of their
/// own; files are opened anew.
pub type Measure = Box<dyn Fn(&ServerSection) + Send>;

/// Starts (`true`) or stops the backend of a region; says why it cannot.
pub type DemoSwitch = Box<dyn Fn(&str, bool) -> Result<(), String> + Send>;

/// What the loop shows to those who watch.
pub struct Shown {
    /// The outcome of the newest load.
    pub report: watch::Sender<Arc<Report>>,
    /// Where clients are.
    pub locations: Arc<ArcSwap<LazyTable>>,
    /// The drills that can be run.
    pub drills: SharedDrills,
    /// Who may use the admin API from another machine.
    pub entry: Arc<ArcSwap<Entry>>,
}

/// Drills as they are shared with those who run them.
pub type SharedDrills = Arc<ArcSwap<Vec<Arc<DrillDef>>>>;

/// The loop's own state.
pub struct Loop {
    /// Owner of the Publisher.
    pub control: Control,
    /// `None` while it is at work on its own thread.
    loader: Option<Loader>,
    clock: Arc<dyn Clock>,
    hooks: Hooks,
    shown: Shown,
    queue: VecDeque<Load>,
    /// What the first load came to, until [`Loop::run`] has it kept.
    begun: Option<Report>,
    published: Option<Moment>,
    /// What the newest load of the operator's own files came to, whatever was rehearsed since.
    real: Arc<Report>,
    /// When time was last looked at.
    ticked: Moment,
}

/// A load that was asked for.
struct Load {
    wish: Wish,
    cause: Arc<str>,
    by: Origin,
    reply: Option<oneshot::Sender<Report>>,
}

/// What the loader comes back with from its thread.
enum Done {
    /// A load, whose answers are still to be made.
    Loaded(Loader, Load, Result<Prepared, Box<Report>>),
    /// A load that is to be published. No answers, if making them panicked.
    Steered(Loader, Load, Prepared, Option<Steered>),
    /// The set in force is kept: now whoever asked is answered.
    Kept(Loader, Report, Option<oneshot::Sender<Report>>),
}

impl Loop {
    /// A loop over what was loaded at start.
    pub fn new(
        mut control: Control,
        loader: Loader,
        clock: Arc<dyn Clock>,
        hooks: Hooks,
        shown: Shown,
    ) -> Loop {
        control.watch_from(Arc::clone(&hooks.vantage));
        let (loader, queue) = (Some(loader), VecDeque::new());
        let ticked = clock.now();
        Loop {
            control,
            loader,
            clock,
            hooks,
            shown,
            queue,
            begun: None,
            published: None,
            real: Arc::default(),
            ticked,
        }
    }

    /// Publishes what the first load prepared. Steered names wait for [`Change::Warm`].
    pub fn begin(&mut self, prepared: Prepared, cause: &str) {
        self.real = Arc::new(prepared.report.clone());
        self.begun = Some(self.install(prepared, None, cause, &Origin::itself("start")));
    }

    /// Takes changes until all senders are gone.
    pub async fn run(mut self, mut changes: mpsc::UnboundedReceiver<Change>) {
        let first = self.begun.take().zip(self.loader.take());
        let mut job = first.map(|(report, loader)| keep(loader, report, None));
        let heard = Arc::clone(&self.hooks.heard);
        loop {
            if job.is_none() {
                job = self.next_load();
            }
            // Looked at first: what comes in without a pause must not keep time from passing.
            if self.until_tick().is_zero() {
                self.tick();
            }
            let pause = self.until_tick();
            tokio::select! {
                change = changes.recv() => match change {
                    Some(Change::Verdicts(found)) => self.verdicts(found, &mut changes).await,
                    Some(change) => self.take(change),
                    None => return,
                },
                done = finished(&mut job) => job = self.done(done),
                () = heard.notified() => self.control.heard(),
                () = sleep(pause) => {}
            }
        }
    }

    /// Publishes verdicts, with those that are waiting behind them.
    async fn verdicts(
        &mut self,
        mut found: Vec<TargetVerdict>,
        changes: &mut mpsc::UnboundedReceiver<Change>,
    ) {
        let now = self.clock.now();
        if let Some(published) = self.published
            && now.since(published) < COALESCE
        {
            sleep(COALESCE - now.since(published)).await;
        }
        let mut after = None;
        while let Ok(change) = changes.try_recv() {
            match change {
                Change::Verdicts(more) => found.extend(more),
                other => {
                    after = Some(other);
                    break;
                }
            }
        }
        self.control.observe(found);
        self.published = Some(self.clock.now());
        if let Some(change) = after {
            self.take(change);
        }
    }

    fn take(&mut self, change: Change) {
        if change.is_asked()
            && let Some(keeper) = self.control.keeper()
        {
            // What a person is told is kept must be: a drill that has the store lost ends that.
            keeper.lose(None);
        }
        match change {
            Change::Verdicts(found) => self.control.observe(found),
            Change::Found(name, looked) => self.control.take_found(&name, looked),
            Change::Warm { done } => {
                self.control.warm();
                // Whoever asked may have gone away.
                let _ = done.send(());
            }
            Change::Reload { cause, by, force, reply } => {
                let wish = match &*cause {
                    "geoip" => Wish::Places,
                    "watch" => Wish::Reload { cautious: !force },
                    _ => Wish::Reload { cautious: false },
                };
                self.enqueue(Load { wish, cause, by, reply });
            }
            Change::Rollback { revision, by, reply } => {
                let cause = format!("rollback to {revision}").into();
                self.queue.push_back(Load { wish: Wish::Rollback(revision), cause, by, reply });
            }
            Change::Rehearse { what, cause, reply } => {
                let by = Origin::itself(&cause);
                self.queue.push_back(Load { wish: Wish::Rehearse(what), cause, by, reply });
            }
            Change::Hand { command, from, clients, reply } => {
                let before = self.control.standing();
                let done = self.control.command(&command, &clients);
                let world = self.control.world();
                self.control.audit(before.command(&command, &from, &done, &world));
                self.answer(reply, move |not_kept| {
                    let not_kept = not_kept.filter(|_| !command.dry_run);
                    done.map(|done| Box::new(hand::Done { not_kept, ..done }))
                });
            }
            Change::Apply { agreed, cause, by, reply } => {
                let (wish, reply) = (Wish::Apply(agreed), Some(reply));
                self.queue.push_back(Load { wish, cause, by, reply });
            }
            Change::Outlook { reply } => {
                // Whoever asked may have gone away.
                let _ = reply.send(Box::new(self.control.outlook()));
            }
            Change::Wished { by, what, outcome, said, rules, stood } => {
                let world = self.control.world();
                let entry = self.control.standing().wished(&by, &what, stood, &world);
                self.control.audit(Some(audit::Entry { outcome, said, rules, ..entry }));
            }
            Change::Waiting { reply } => {
                // Whoever asked may have gone away.
                let _ = reply.send(self.control.waiting());
            }
            Change::Record(kind) => self.control.record(kind),
            Change::Audited { by, event } => {
                let entry = self.control.standing().event(&by, &event, &self.control.world());
                self.control.audit(entry);
                self.control.record(event);
            }
            Change::Pin(file) => self.control.pin_file(file),
            Change::Keep { done } => {
                self.control.keep_all();
                // Whoever asked may have gone away.
                let _ = done.send(());
            }
            Change::Demo { region, up, by, reply } => {
                let before = self.control.standing();
                let done = (self.hooks.demo)(&region, up);
                if done.is_ok() {
                    let event = EventKind::Demo { region, up };
                    self.control.audit(before.event(&by, &event, &self.control.world()));
                    self.control.record(event);
                }
                if let Some(reply) = reply {
                    self.answer(reply, move |_| done);
                }
            }
        }
    }

    /// Answers whoever asked once what came of it is durable: who reads that it is done finds it
    /// again after a crash. A store that fails is no reason to keep anybody waiting: `outcome` is
    /// told why then.
    fn answer<T: Send + 'static>(
        &self,
        reply: oneshot::Sender<T>,
        outcome: impl FnOnce(Option<Arc<str>>) -> T + Send + 'static,
    ) {
        let kept = self.control.keeper();
        tokio::spawn(async move {
            let not_kept = match kept {
                Some(keeper) => not_kept(&keeper).await,
                None => None,
            };
            // Whoever asked may have gone away.
            let _ = reply.send(outcome(not_kept));
        });
    }

    /// Has `load` done in its turn; nothing more if one that waits will read the same files then.
    fn enqueue(&mut self, load: Load) {
        let covered = self.queue.back().is_some_and(|last| last.wish == load.wish);
        if load.reply.is_some() || !covered {
            self.queue.push_back(load);
        }
    }

    /// Starts the next load on a thread of its own.
    fn next_load(&mut self) -> Option<JoinHandle<Done>> {
        let load = self.queue.pop_front()?;
        let mut loader = self.loader.take().expect("it comes back from every job");
        Some(tokio::task::spawn_blocking(move || {
            let work = AssertUnwindSafe(|| loader.load(&load.wish, &load.cause));
            let result = spread::giving_way(|| catch_unwind(work));
            let result = result.unwrap_or_else(|_| Err(loader.panicked()));
            Done::Loaded(loader, load, result)
        }))
    }

    /// Takes what the loader comes back with; what it does next, if that is not to wait.
    fn done(&mut self, done: Done) -> Option<JoinHandle<Done>> {
        match done {
            Done::Loaded(loader, load, Ok(prepared)) => {
                Some(steer(self.control.outlook(), loader, load, prepared))
            }
            Done::Loaded(loader, load, Err(refused)) => {
                self.refused(loader, load, *refused);
                None
            }
            Done::Steered(mut loader, load, prepared, steered) => {
                let next = match self.judged(prepared, &load.wish, &mut loader) {
                    Ok(prepared) => Some(self.loaded(loader, load, prepared, steered.as_ref())),
                    Err(refused) => {
                        self.refused(loader, load, *refused);
                        None
                    }
                };
                if let Some(steered) = steered {
                    spread::freed_aside(steered);
                }
                next
            }
            Done::Kept(loader, report, reply) => {
                self.loader = Some(loader);
                self.tell(report, true, reply);
                None
            }
        }
    }

    /// What was `prepared`, unless a safety rule forbids it as things stand now: what was planned
    /// may have been safe then.
    fn judged(
        &self,
        mut prepared: Prepared,
        wish: &Wish,
        loader: &mut Loader,
    ) -> Result<Prepared, Box<Report>> {
        let Wish::Apply(agreed) = wish else { return Ok(prepared) };
        let Prepared { snapshot, locations, .. } = &prepared;
        match plan::judged(&self.control.outlook(), snapshot, locations) {
            Ok(broke) if broke.is_empty() || agreed.break_glass => {
                prepared.report.broke = broke;
                Ok(prepared)
            }
            Ok(broke) => Err(loader.take_back(broke)),
            Err(error) => {
                let refused = loader.take_back(Vec::new());
                Err(Box::new(Report { moved: Some(error.to_string()), ..*refused }))
            }
        }
    }

    /// Publishes what was loaded; what the loader does next.
    fn loaded(
        &mut self,
        loader: Loader,
        load: Load,
        mut prepared: Prepared,
        steered: Option<&Steered>,
    ) -> JoinHandle<Done> {
        match load.wish {
            // What was wrong with the operator's files still is, and still will be when the
            // rehearsal is over.
            Wish::Rehearse(_) => prepared.report.keep_alarms_of(&self.real),
            Wish::Places => {
                let rehearsed = self.shown.report.borrow().clone();
                prepared.report.keep_alarms_of(&rehearsed);
            }
            _ => self.real = Arc::new(prepared.report.clone()),
        }
        let report = self.install(prepared, steered, &load.cause, &load.by);
        keep(loader, report, load.reply)
    }

    /// Tells why nothing was published.
    fn refused(&mut self, loader: Loader, load: Load, report: Report) {
        self.loader = Some(loader);
        let world = self.control.world();
        let entry = self.control.standing().load(&load.by, &load.cause, &report, &world);
        self.control.audit(entry);
        let (cause, errors) = (load.cause, report.errors);
        // That there is no such revision, or another than planned, or one that clients are
        // guarded from, or nothing to rehearse, says nothing of the operator's files.
        let are_sound = report.moved.is_some() || !report.broke.is_empty();
        if !are_sound {
            self.control.record(EventKind::Refused { cause, errors });
        }
        let shown = !are_sound && !matches!(load.wish, Wish::Rollback(_) | Wish::Rehearse(_));
        if shown {
            self.real = Arc::new(report.clone());
        }
        self.tell(report, shown, load.reply);
    }

    fn tell(&self, report: Report, shown: bool, reply: Option<oneshot::Sender<Report>>) {
        if shown {
            self.shown.report.send_replace(Arc::new(report.clone()));
        }
        if let Some(reply) = reply {
            self.answer(reply, move |_| report);
        }
    }

    fn install(
        &mut self,
        prepared: Prepared,
        steered: Option<&Steered>,
        cause: &str,
        by: &Origin,
    ) -> Report {
        let (mut report, before) = (prepared.report, self.control.standing());
        let old = self.control.world();
        report.before = old.revision;
        report.ttl = longest(&old.snapshot);
        self.control.weigh_by(Arc::clone(&prepared.locations));
        self.shown.locations.store(prepared.locations);
        self.shown.drills.store(Arc::new(prepared.drills));
        self.shown.entry.store(Arc::new(prepared.entry));
        self.control.guard(guards(&prepared.plan), unlike(&prepared.plan));
        let snapshot = Arc::clone(&prepared.snapshot);
        self.control.install_steered(snapshot, report.revision, steered);
        (self.hooks.rollouts)(&prepared.rollouts, &prepared.snapshot);
        for Found { what, taken } in prepared.found {
            self.control.record(EventKind::Geoip { what, taken });
        }
        (self.hooks.notify)(&prepared.server.hooks);
        (self.hooks.telemetry)(&prepared.server);
        let snapshot = &self.control.world().snapshot;
        (self.hooks.flatten)(&snapshot.aliases, &prepared.server.resolvers);
        self.hooks.vantage.update(&prepared.plan, &|key| self.control.stood(key));
        self.control.record(EventKind::Loaded {
            revision: report.revision,
            cause: cause.into(),
            zones: report.zones,
            records: report.records,
            held: report.held.clone(),
        });
        let who = words::by(&by.who, by.reason.as_deref());
        for violation in &report.broke {
            self.control.record(hand::tell::over(0, "apply", violation, &who));
        }
        let world = self.control.world();
        report.swap = world.swap;
        let entry = before.load(by, cause, &report, &world);
        self.control.audit(entry);
        self.shown.report.send_replace(Arc::new(report.clone()));
        report
    }

    fn tick(&mut self) {
        self.ticked = self.clock.now();
        self.control.tick();
    }

    /// How long until time alone has something to do: what control waits for, or a second after
    /// it was last looked at. A wake-up that is overdue although it was just looked at waits for
    /// something else, and is looked at again in a moment.
    fn until_tick(&self) -> Duration {
        let now = self.clock.now();
        let regular = self.ticked.after(COLLECT);
        let wake = self.control.wake().map(|at| at.max(self.ticked.after(AGAIN)));
        wake.unwrap_or(regular).min(regular).since(now)
    }
}

/// The longest that resolvers keep steered answers.
fn longest(snapshot: &Snapshot) -> Ttl {
    let records = snapshot.records.iter();
    let ttls = records.map(|record| snapshot.plan(record.plan).ttl.max);
    ttls.max().unwrap_or(Ttl::from_secs(0))
}

/// How much may fall at once, as the files say.
fn guards(plan: &CheckPlan) -> breaker::Settings {
    let slowest = plan.targets.iter().map(|target| target.check.worst_case_detection()).max();
    breaker::Settings {
        share: plan.breaker.share,
        hold: plan.breaker.hold,
        window: slowest.unwrap_or_default(),
        guards: !plan.guards.is_empty(),
    }
}

/// The targets that only watch, and those that cannot be asked.
fn unlike(plan: &CheckPlan) -> Unlike {
    let keys = |is: fn(&&Target) -> bool| {
        plan.targets.iter().filter(is).map(|target| Arc::clone(&target.key)).collect()
    };
    Unlike {
        observed: keys(|target| target.check.mode == Mode::Observe),
        pushed: keys(|target| matches!(target.address, ProbeAddress::Pushed(_))),
    }
}

/// Makes the answers of what was loaded, as things stand in `outlook`.
fn steer(outlook: Outlook, loader: Loader, load: Load, prepared: Prepared) -> JoinHandle<Done> {
    tokio::task::spawn_blocking(move || {
        let work = AssertUnwindSafe(|| Steered::ahead(&outlook, &prepared.snapshot));
        let steered = spread::giving_way(|| catch_unwind(work)).ok();
        Done::Steered(loader, load, prepared, steered)
    })
}

/// Keeps what was just published, then has whoever asked for it answered.
fn keep(
    mut loader: Loader,
    mut report: Report,
    reply: Option<oneshot::Sender<Report>>,
) -> JoinHandle<Done> {
    tokio::task::spawn_blocking(move || {
        // It is served already: a fault of ours in keeping it must not end the loop.
        let work = AssertUnwindSafe(|| loader.keep(&mut report));
        let _ = spread::giving_way(|| catch_unwind(work));
        Done::Kept(loader, report, reply)
    })
}

/// Why what was written before is not durable, if it is not within [`KEPT_WITHIN`].
async fn not_kept(keeper: &Keeper) -> Option<Arc<str>> {
    match timeout(KEPT_WITHIN, keeper.flush()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string().into()),
        Err(_) => Some(format!("it was not written within {} s", KEPT_WITHIN.as_secs()).into()),
    }
}

/// The outcome of `job`; never, when there is none.
async fn finished(job: &mut Option<JoinHandle<Done>>) -> Done {
    match job {
        Some(job) => job.await.expect("no job panics and none is cancelled"),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
