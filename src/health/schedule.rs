//! Who is probed: what a plan and a reload do to the targets, and what others may ask of them.
//!
//! A target has a task: one that probes ([`super::task`]), or one that waits for heartbeats
//! ([`super::push`]). [`Checker::update`] compares plans by key: whoever stays is not touched at
//! all, whoever left is aborted, whoever came is probed at once.

use super::{
    faults::{Fault, Faults},
    judge::stable_hash,
    lanes::{Lanes, Limits},
    latency::{ProbeDurations, Sums},
    ledger::{Entry, HealthReport, Impairment, TargetState},
    probe::{Lookups, client_config},
    pulse::{self, Pulse},
    push::{Beat, HeartbeatError, Pushed},
    task::{Nudge, Task},
    witness::{Heard, Witnesses},
};
use crate::{
    checkplan::{Check, CheckPlan, ProbeAddress, Target, Token},
    clock::{Clock, Moment},
    verdict::{Standing, Stood},
};
use arc_swap::ArcSwap;
use ipnet::IpNet;
use rustls::{ClientConfig, pki_types::CertificateDer};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

/// The first probes of targets that start together are spread over this much of a second …
const SPREAD_MAX: Duration = Duration::from_millis(200);
/// … or, when they are few, over this much for each.
const SPREAD_EACH: Duration = Duration::from_micros(200);
/// The same of targets whose next probe is pulled forward: a region of hundreds is looked at in a
/// tenth of a second, ten thousand targets after a cut-off in one, which two cores can do.
const HASTE_MAX: Duration = Duration::from_secs(1);

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
    /// Told of every answer and failure, while [armed](Checker::arm_witness). Must not block.
    pub heard: Heard,
}

/// Probes all targets of the plan it was last given. Dropping it stops them.
pub struct Checker {
    shared: Arc<Shared>,
    runtime: Handle,
    watched: Mutex<Watched>,
    /// How many targets have no result yet.
    unsettled: watch::Sender<usize>,
}

/// What all tasks use.
pub(super) struct Shared {
    pub clock: Arc<dyn Clock>,
    pub seed: u64,
    pub sink: Box<dyn Fn(HealthReport) + Send + Sync>,
    pub tls: Arc<ClientConfig>,
    pub lanes: Lanes,
    pub lookups: Lookups,
    pub deny: ArcSwap<Vec<IpNet>>,
    pub witnesses: Arc<Witnesses>,
    pub sums: Sums,
    pub pulse: Pulse,
    pub faults: Faults,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The plan being carried out.
#[derive(Default)]
struct Watched {
    targets: HashMap<Arc<str>, Live>,
    /// Keys of the targets that send heartbeats, by `CHECK/ENDPOINT`; a gate has no endpoint.
    pushed: HashMap<String, Arc<str>>,
    tokens: BTreeMap<Arc<str>, Token>,
    guards: Vec<SocketAddr>,
    /// What knows of our own pauses, once somebody needs to.
    pulse: Option<Aborted>,
}

/// A target being watched.
struct Live {
    check: Arc<Check>,
    entry: Arc<Entry>,
    way: Way,
    _task: Aborted,
}

/// How a target is watched.
enum Way {
    /// By probes, of which the next may be pulled forward.
    Probed(Arc<Nudge>),
    /// By its heartbeats.
    Pushed(Arc<Pushed>),
}

/// A task that ends with this.
struct Aborted(AbortHandle);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Held until a target has its first result, or is gone.
pub(super) struct Unsettled(watch::Sender<usize>);

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
                pulse: Pulse::new(settings.clock.now()),
                clock: settings.clock,
                seed: settings.seed,
                sink: Box::new(sink),
                tls: client_config(&settings.extra_roots)?,
                lanes: Lanes::new(settings.limits),
                lookups: Lookups::default(),
                deny: ArcSwap::default(),
                witnesses: Arc::new(Witnesses::new(settings.heard)),
                sums: Sums::default(),
                faults: Faults::default(),
            }),
            runtime: Handle::current(),
            watched: Mutex::default(),
            unsettled: watch::Sender::new(0),
        })
    }

    /// Watches what `plan` names from now on. Targets found again by their key keep their counts,
    /// phase and verdict, and get no extra probe; new ones are probed within 200 ms. Of these
    /// `saved` is asked how they stood before a restart: whoever is known counts on from there
    /// and says so at once ([`Self::current`]), and the first round does not wait for it.
    pub fn update(&self, plan: &CheckPlan, saved: &dyn Fn(&str) -> Option<Stood>) {
        self.shared.deny.store(Arc::new(plan.deny.clone()));
        let mut watched = self.lock();
        let mut after = HashMap::with_capacity(plan.targets.len());
        let mut new = Vec::new();
        for target in &plan.targets {
            match watched.targets.remove(&target.key) {
                Some(live) => {
                    live.entry.rename(target);
                    after.insert(Arc::clone(&target.key), live);
                }
                None => new.push(target),
            }
        }
        self.shared.sums.keep(plan.targets.iter().map(|target| &target.check.name));
        watched.pushed = plan.targets.iter().filter_map(pushed_name).collect();
        watched.tokens.clone_from(&plan.tokens);
        watched.guards.clone_from(&plan.guards);
        if watched.pulse.is_none() && !watched.pushed.is_empty() {
            watched.pulse = Some(self.beat());
        }
        let now = self.shared.clock.now();
        for (target, first) in new.iter().zip(spread(now, new.len(), SPREAD_MAX)) {
            let live = self.watch(target, first, known(saved(&target.key)));
            after.insert(Arc::clone(&target.key), live);
        }
        watched.targets = after;
    }

    /// The last report of a target, to be told again to whoever has new slots for it: `None` if
    /// it is not in the plan or nothing is known of it yet.
    pub fn current(&self, key: &str) -> Option<HealthReport> {
        self.lock().targets.get(key)?.entry.last()
    }

    /// What is asked of a target: `None` if it is not in the plan.
    pub fn check(&self, key: &str) -> Option<Arc<Check>> {
        Some(Arc::clone(&self.lock().targets.get(key)?.check))
    }

    /// How every target stands, in order of their labels.
    pub fn states(&self) -> Vec<TargetState> {
        let watched = self.lock();
        let mut states: Vec<_> = watched.targets.values().map(|live| live.entry.state()).collect();
        drop(watched);
        states.sort_by(|a, b| (&a.label, &a.key).cmp(&(&b.label, &b.key)));
        states
    }

    /// How long the answers of all targets of each check took since the start, by its name.
    pub fn durations(&self) -> Vec<(Arc<str>, ProbeDurations)> {
        self.shared.sums.read()
    }

    /// Whether the checker itself is in trouble: `checker_impaired` in status.
    pub fn impairment(&self) -> Option<Impairment> {
        let watched = self.lock();
        let mut reasons = watched.targets.values().filter_map(|live| live.entry.impaired());
        let reason = reasons.next()?;
        Some(Impairment { targets: 1 + reasons.count(), reason })
    }

    /// Resolves once every probed target of the plan has its first result, or a void one, or was
    /// known before. For heartbeats nobody waits: they come when they come.
    pub fn first_round(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut unsettled = self.unsettled.subscribe();
        async move {
            // An error means that the checker is gone: nothing to wait for either.
            let _ = unsettled.wait_for(|count| *count == 0).await;
        }
    }

    /// Whether `token` is that of the heartbeats of `check`.
    pub fn is_token_of(&self, check: &str, token: &[u8]) -> bool {
        self.lock().tokens.get(check).is_some_and(|expected| expected.is(token))
    }

    /// Takes a heartbeat for `endpoint` (`zone/pool/endpoint` as everywhere; empty for a gate)
    /// under `check`, if it carries that check's `token`.
    ///
    /// # Errors
    /// The same, whether the check does not exist or its token is another.
    pub fn heartbeat(
        &self,
        check: &str,
        endpoint: &str,
        token: &[u8],
        beat: Beat,
    ) -> Result<(), HeartbeatError> {
        let pushed = {
            let watched = self.lock();
            let expected = watched.tokens.get(check).ok_or(HeartbeatError::Unauthorized)?;
            if !expected.is(token) {
                return Err(HeartbeatError::Unauthorized);
            }
            let key = watched.pushed.get(&name_of(check, endpoint));
            match key.and_then(|key| watched.targets.get(key)).map(|live| &live.way) {
                Some(Way::Pushed(pushed)) => Arc::clone(pushed),
                _ => return Err(HeartbeatError::Unknown),
            }
        };
        // While a drill has a fault on it, a heartbeat is lost on the way.
        let now = self.shared.clock.now();
        match self.shared.faults.on(&pushed.key(), now) {
            Some(fault) => fault.met(now),
            None => pushed.beat(beat),
        }
        Ok(())
    }

    /// Whether any target but `except`, or a guard, answered by a probe that ended after `since`.
    pub fn answered_since(&self, since: Moment, except: &str) -> bool {
        self.shared.witnesses.answered_since(since, except)
    }

    /// The targets that failed since this was last called, while
    /// [armed](Self::arm_witness), each with when the last of these failures began.
    pub fn failures(&self) -> Vec<(Arc<str>, Moment)> {
        self.shared.witnesses.failures()
    }

    /// Whether every answer and failure is told to [`Settings::heard`] from now on.
    pub fn arm_witness(&self, armed: bool) {
        self.shared.witnesses.arm(armed);
    }

    /// Pulls the next probes of these targets forward to now, spread over up to a second when
    /// they are many. Such a probe counts like a recheck: towards `fall`, never `rise`. The
    /// regular ones stay where they are, and no target is probed twice at a time. Of one that
    /// sends heartbeats and is silent, the silence must last once more.
    pub fn hasten(&self, keys: &[Arc<str>]) {
        let watched = self.lock();
        let now = self.shared.clock.now();
        for (key, at) in keys.iter().zip(spread(now, keys.len(), HASTE_MAX)) {
            match watched.targets.get(key).map(|live| &live.way) {
                Some(Way::Probed(nudge)) => nudge.to(at),
                Some(Way::Pushed(pushed)) => pushed.listen_once_more(),
                None => {}
            }
        }
    }

    /// Lets probes meet `fault` from now on, until [`Self::clear`] or its time.
    pub fn inject(&self, fault: Arc<Fault>) {
        self.shared.faults.add(fault);
    }

    /// Takes a fault away.
    pub fn clear(&self, fault: &Arc<Fault>) {
        self.shared.faults.remove(fault);
    }

    /// Has targets that fell by a fault judged anew, by their next result alone, and probed at
    /// once: what was made up is no reason to stay down. Whoever is down in earnest falls at it.
    pub fn pardon<'k>(&self, keys: impl IntoIterator<Item = &'k Arc<str>>) {
        let watched = self.lock();
        for key in keys {
            if let Some(Way::Probed(nudge)) = watched.targets.get(key).map(|live| &live.way) {
                nudge.pardon();
            }
        }
    }

    /// [Hastens](Self::hasten) these targets and asks every `isolation_guard`, for somebody to
    /// say that we are not cut off.
    pub fn call_witnesses(&self, keys: &[Arc<str>]) {
        self.hasten(keys);
        let guards = match self.shared.faults.is_isolated(self.shared.clock.now()) {
            true => Vec::new(),
            false => self.lock().guards.clone(),
        };
        self.shared.witnesses.ask(&guards, &self.shared.clock, &self.runtime);
    }

    fn watch(&self, target: &Target, first: Moment, saved: Option<Stood>) -> Live {
        let shared = Arc::clone(&self.shared);
        let entry = Arc::new(Entry::new(target, saved, shared.clock.now()));
        let (way, task) = match target.address {
            ProbeAddress::Pushed(_) => {
                let check = Arc::clone(&target.check);
                let pushed = Arc::new(Pushed::new(check, saved, Arc::clone(&entry), shared));
                let task = self.runtime.spawn(Arc::clone(&pushed).watch());
                (Way::Pushed(pushed), task)
            }
            ProbeAddress::Ip(_) | ProbeAddress::Host { .. } => {
                let nudge = Arc::new(Nudge::default());
                let hash = stable_hash(&target.key);
                let (entry, nudged) = (Arc::clone(&entry), Arc::clone(&nudge));
                let task = Task::new(target, (hash, first), saved, entry, nudged, shared);
                let unsettled = saved.is_none().then(|| Unsettled::new(&self.unsettled));
                (Way::Probed(nudge), self.runtime.spawn(task.run(unsettled)))
            }
        };
        let check = Arc::clone(&target.check);
        Live { check, entry, way, _task: Aborted(task.abort_handle()) }
    }

    /// Starts to count our own pauses.
    fn beat(&self) -> Aborted {
        let shared = Arc::clone(&self.shared);
        shared.pulse.restart(shared.clock.now());
        let beating = self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(pulse::BEAT).await;
                shared.pulse.beat(shared.clock.now());
            }
        });
        Aborted(beating.abort_handle())
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        // A plan is put in place whole, so a panic elsewhere has spoilt nothing.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = self.lock().targets.len();
        f.debug_struct("Checker").field("targets", &targets).finish_non_exhaustive()
    }
}

/// What is known of how a target stood.
fn known(saved: Option<Stood>) -> Option<Stood> {
    saved.filter(|s| matches!(s.standing, Standing::Up | Standing::Degraded | Standing::Down))
}

/// `count` moments from `now` on, evenly over at most `most`.
fn spread(now: Moment, count: usize, most: Duration) -> impl Iterator<Item = Moment> {
    let span = most.min(SPREAD_EACH * u32::try_from(count).unwrap_or(u32::MAX));
    (0..count).map(move |place| now.after(span.mul_f64(place as f64 / count as f64)))
}

/// What the heartbeats of `target` name it by, with its key.
fn pushed_name(target: &Target) -> Option<(String, Arc<str>)> {
    match &target.address {
        ProbeAddress::Pushed(endpoint) => {
            Some((name_of(&target.check.name, endpoint), Arc::clone(&target.key)))
        }
        _ => None,
    }
}

fn name_of(check: &str, endpoint: &str) -> String {
    format!("{check}/{endpoint}")
}
