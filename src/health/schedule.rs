//! A task a target: waits until its judge wants a probe, probes, writes down, reports.
//!
//! An idle task is a timer and some hundred bytes; what is in flight is bounded by
//! [`super::lanes`]. [`Checker::update`] compares plans by key: whoever stays is not touched at
//! all, whoever left is aborted, whoever came is probed at once.

use super::{
    judge::{Judge, stable_hash},
    lanes::{Lanes, Limits},
    ledger::{Entry, HealthReport, Impairment, TargetState},
    probe::{Lookups, Outcome, Prober, client_config},
};
use crate::{
    checkplan::{CheckPlan, Target},
    clock::{Clock, Dice, Moment},
};
use arc_swap::ArcSwap;
use ipnet::IpNet;
use rustls::{ClientConfig, pki_types::CertificateDer};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

/// The first probes of targets that start together are spread over this much of a second …
const SPREAD_MAX: Duration = Duration::from_millis(200);
/// … or, when they are few, over this much for each.
const SPREAD_EACH: Duration = Duration::from_micros(200);

/// What a checker is started with.
pub struct Settings {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Seed of the jitter.
    pub seed: u64,
    /// Authorities beside those of this machine, for https.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// How many probes are in flight.
    pub limits: Limits,
}

/// Probes all targets of the plan it was last given. Dropping it stops them.
pub struct Checker {
    shared: Arc<Shared>,
    runtime: Handle,
    targets: Mutex<HashMap<Arc<str>, Live>>,
    /// How many targets have no result yet.
    unsettled: watch::Sender<usize>,
}

/// What all tasks use.
struct Shared {
    clock: Arc<dyn Clock>,
    seed: u64,
    sink: Box<dyn Fn(HealthReport) + Send + Sync>,
    tls: Arc<ClientConfig>,
    lanes: Lanes,
    lookups: Lookups,
    deny: ArcSwap<Vec<IpNet>>,
}

/// A target being probed; dropping it ends its task.
struct Live {
    entry: Arc<Entry>,
    task: AbortHandle,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Held until a target has its first result, or is gone.
struct Unsettled(watch::Sender<usize>);

impl Unsettled {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Unsettled(count.clone())
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Checker {
    /// A checker without targets. Its tasks run on the runtime it is started in; `sink` is
    /// called from them and must not block.
    ///
    /// # Errors
    /// When one of the extra roots is not a certificate.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        settings: Settings,
        sink: impl Fn(HealthReport) + Send + Sync + 'static,
    ) -> Result<Checker, rustls::Error> {
        Ok(Checker {
            shared: Arc::new(Shared {
                clock: settings.clock,
                seed: settings.seed,
                sink: Box::new(sink),
                tls: client_config(&settings.extra_roots)?,
                lanes: Lanes::new(settings.limits),
                lookups: Lookups::default(),
                deny: ArcSwap::default(),
            }),
            runtime: Handle::current(),
            targets: Mutex::default(),
            unsettled: watch::Sender::new(0),
        })
    }

    /// Probes what `plan` names from now on. Targets found again by their key keep their counts,
    /// phase and verdict, and get no extra probe; new ones are probed within 200 ms.
    pub fn update(&self, plan: &CheckPlan) {
        self.shared.deny.store(Arc::new(plan.deny.clone()));
        let mut before = self.lock();
        let mut after = HashMap::with_capacity(plan.targets.len());
        let mut new = Vec::new();
        for target in &plan.targets {
            match before.remove(&target.key) {
                Some(live) => {
                    live.entry.rename(&target.label);
                    after.insert(Arc::clone(&target.key), live);
                }
                None => new.push(target),
            }
        }
        let now = self.shared.clock.now();
        let spread = SPREAD_MAX.min(SPREAD_EACH * u32::try_from(new.len()).unwrap_or(u32::MAX));
        for (place, target) in new.iter().enumerate() {
            let first = now.after(spread.mul_f64(place as f64 / new.len() as f64));
            after.insert(Arc::clone(&target.key), self.spawn(target, first));
        }
        *before = after;
    }

    /// The last report of a target, to be told again to whoever has new slots for it: `None` if
    /// it is not in the plan or has no result yet.
    pub fn current(&self, key: &str) -> Option<HealthReport> {
        self.lock().get(key)?.entry.last()
    }

    /// How every target stands, in order of their labels.
    pub fn states(&self) -> Vec<TargetState> {
        let mut states: Vec<_> = self.lock().values().map(|live| live.entry.state()).collect();
        states.sort_by(|a, b| (&a.label, &a.key).cmp(&(&b.label, &b.key)));
        states
    }

    /// Whether the checker itself is in trouble: `checker_impaired` in status.
    pub fn impairment(&self) -> Option<Impairment> {
        let targets = self.lock();
        let mut reasons = targets.values().filter_map(|live| live.entry.impaired());
        let reason = reasons.next()?;
        Some(Impairment { targets: 1 + reasons.count(), reason })
    }

    /// Resolves once every target of the plan has its first result, or a void one.
    pub fn first_round(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut unsettled = self.unsettled.subscribe();
        async move {
            // An error means that the checker is gone: nothing to wait for either.
            let _ = unsettled.wait_for(|count| *count == 0).await;
        }
    }

    fn spawn(&self, target: &Target, first: Moment) -> Live {
        let hash = stable_hash(&target.key);
        let entry = Arc::new(Entry::new(Arc::clone(&target.key), Arc::clone(&target.label)));
        let task = Task {
            judge: Judge::new(Arc::clone(&target.check), hash, first),
            dice: Dice::seeded(self.shared.seed ^ hash),
            prober: Prober::new(target, &self.shared.tls),
            entry: Arc::clone(&entry),
            shared: Arc::clone(&self.shared),
        };
        let unsettled = Unsettled::new(&self.unsettled);
        Live { entry, task: self.runtime.spawn(task.run(unsettled)).abort_handle() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Live>> {
        // A plan is put in place whole, so a panic elsewhere has spoilt nothing.
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").field("targets", &self.lock().len()).finish_non_exhaustive()
    }
}

/// One target's life.
struct Task {
    judge: Judge,
    dice: Dice,
    prober: Prober,
    entry: Arc<Entry>,
    shared: Arc<Shared>,
}

impl Task {
    async fn run(mut self, unsettled: Unsettled) {
        self.round().await;
        drop(unsettled);
        loop {
            self.round().await;
        }
    }

    /// Waits for the next probe's time, probes, tells.
    async fn round(&mut self) {
        let due = self.judge.due();
        tokio::time::sleep(due.since(self.shared.clock.now())).await;
        let shared = Arc::clone(&self.shared);
        let place = shared.lanes.enter().await;
        // Boxed, so that a target which only waits takes no room for a request.
        let (mut outcome, started) = shared.lanes.run(place, Box::pin(self.ask())).await;
        let finished = shared.clock.now();
        let change = self.judge.observe(&mut outcome, started, finished, &mut self.dice);
        let span = (started, finished);
        if let Some(report) = self.entry.record(&outcome, span, &self.judge, change) {
            (shared.sink)(report);
        }
    }

    /// The outcome of a probe and when it started: after the lookup of a host's address, which
    /// is not the target's work.
    async fn ask(&mut self) -> (Outcome, Moment) {
        let Shared { clock, lookups, deny, .. } = &*self.shared;
        let woken = clock.now();
        if let Some(void) = self.judge.lateness(woken) {
            // Nothing is sent: after a pause everybody is late, and it would prove nothing.
            return (void, woken);
        }
        let deny = deny.load_full();
        match self.prober.address(lookups, &deny).await {
            Ok(address) => {
                let started = clock.now();
                (self.prober.probe(address).await, started)
            }
            Err(outcome) => (outcome, woken),
        }
    }
}
