//! The life of a target that is probed: waits until its judge wants a probe, probes, writes down,
//! reports.
//!
//! An idle task is a timer and some hundred bytes; what is in flight is bounded by
//! [`super::lanes`].

use super::{
    faults::{Fault, Met},
    judge::Judge,
    latency::Durations,
    ledger::{Entry, Times},
    probe::{NoAddress, Outcome, Prober},
    schedule::{Shared, Unsettled},
};
use crate::{
    checkplan::{Check, Target},
    clock::{Dice, Moment},
    verdict::Stood,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

/// Asks a task to probe soon.
#[derive(Debug, Default)]
pub(super) struct Nudge {
    at: AtomicU64,
    is_pardoned: AtomicBool,
    changed: Notify,
}

impl Nudge {
    /// Asks for a probe at `at`.
    pub(super) fn to(&self, at: Moment) {
        self.at.store(at.0, Relaxed);
        self.changed.notify_one();
    }

    /// Asks for the target to be judged anew, by its next result alone, at once.
    pub(super) fn pardon(&self) {
        self.is_pardoned.store(true, Relaxed);
        self.changed.notify_one();
    }

    /// What was asked for, once something is: nothing for a pardon.
    async fn felt(&self) -> Option<Moment> {
        self.changed.notified().await;
        match self.is_pardoned.swap(false, Relaxed) {
            true => None,
            false => Some(Moment(self.at.load(Relaxed))),
        }
    }
}

/// One target's life.
pub(super) struct Task {
    judge: Judge,
    check: Arc<Check>,
    hash: u64,
    dice: Dice,
    prober: Prober,
    entry: Arc<Entry>,
    nudge: Arc<Nudge>,
    /// Since when its host's name cannot be looked up.
    unresolved: Option<Moment>,
    interval: Duration,
    /// Of its check.
    durations: Arc<Durations>,
    shared: Arc<Shared>,
}

impl Task {
    pub(super) fn new(
        target: &Target,
        (hash, first): (u64, Moment),
        saved: Option<Stood>,
        entry: Arc<Entry>,
        nudge: Arc<Nudge>,
        shared: Arc<Shared>,
    ) -> Task {
        Task {
            judge: Judge::new(Arc::clone(&target.check), hash, first, saved),
            dice: Dice::seeded(shared.seed ^ hash),
            check: Arc::clone(&target.check),
            hash,
            prober: Prober::new(target, &shared.tls),
            entry,
            nudge,
            unresolved: None,
            interval: target.check.interval,
            durations: shared.sums.of(&target.check.name),
            shared,
        }
    }

    /// Probes for as long as the target is in the plan.
    pub(super) async fn run(mut self, unsettled: Option<Unsettled>) {
        self.round().await;
        drop(unsettled);
        loop {
            self.round().await;
        }
    }

    /// Waits for the next probe's time, probes, tells.
    async fn round(&mut self) {
        self.wait().await;
        let shared = Arc::clone(&self.shared);
        let due = self.judge.due();
        let place = shared.lanes.enter().await;
        // Boxed, so that a target which only waits takes no room for a request.
        let (mut outcome, started) = shared.lanes.run(place, Box::pin(self.ask())).await;
        let finished = shared.clock.now();
        let change = self.judge.observe(&mut outcome, started, finished, &mut self.dice);
        if let Outcome::Passed(_) = outcome {
            self.durations.record(finished.since(started));
        }
        let standpoint = self.judge.standpoint(finished);
        let report =
            self.entry.record(&outcome, Times { due, started, finished }, standpoint, change);
        // Before the report, which may make somebody ask who answered.
        if outcome.is_answer() {
            shared.witnesses.heard(&self.entry.key(), finished);
        }
        if let Outcome::Failed { .. } = outcome {
            shared.witnesses.failed(&self.entry.key(), started, finished);
        }
        if let Some(report) = report {
            (shared.sink)(report);
        }
    }

    async fn wait(&mut self) {
        loop {
            let left = self.judge.due().since(self.shared.clock.now());
            tokio::select! {
                biased;
                felt = self.nudge.felt() => match felt {
                    Some(at) => self.judge.hasten(at),
                    None => {
                        let now = self.shared.clock.now();
                        self.judge = self.judge.forgiven(self.hash, now);
                    }
                },
                () = sleep(left) => return,
            }
        }
    }

    /// The outcome of a probe and when it started: after the lookup of a host's address, which
    /// is not the target's work.
    async fn ask(&mut self) -> (Outcome, Moment) {
        let Shared { clock, lookups, deny, faults, .. } = &*self.shared;
        let woken = clock.now();
        if let Some(void) = self.judge.lateness(woken) {
            // Nothing is sent: after a pause everybody is late, and it would prove nothing.
            return (void, woken);
        }
        let key = self.entry.key();
        if let Some(fault) = faults.on(&key, woken) {
            match fault.meet(&key, self.check.timeout) {
                Some(Met::Instead(outcome, after)) => {
                    fault.last(after).await;
                    let now = clock.now();
                    if !faults.is_still(&fault, &key, now) {
                        // What was taken away meanwhile lets nothing fail any more.
                        return (Outcome::void("a drill ended meanwhile"), woken);
                    }
                    fault.met(now);
                    return (outcome, woken);
                }
                Some(Met::Later(after)) => return self.ask_later(&fault, after, woken).await,
                None => {}
            }
        }
        let deny = deny.load_full();
        match self.prober.address(lookups, &deny, &**clock).await {
            Ok(address) => {
                self.unresolved = None;
                let started = clock.now();
                (self.prober.probe(address).await, started)
            }
            Err(NoAddress::Denied(ip)) => {
                (Outcome::failed(format_args!("{ip} is never probed")), woken)
            }
            Err(NoAddress::Lookup(why)) => (self.unresolved(why, woken), woken),
        }
    }

    /// The same, so much later: as if the way there were long.
    async fn ask_later(
        &mut self,
        fault: &Arc<Fault>,
        after: Duration,
        woken: Moment,
    ) -> (Outcome, Moment) {
        let Shared { clock, lookups, deny, faults, .. } = &*self.shared;
        let deny = deny.load_full();
        let Ok(address) = self.prober.address(lookups, &deny, &**clock).await else {
            return (Outcome::void("lookup failed while a drill made it slow"), woken);
        };
        fault.last(after).await;
        let now = clock.now();
        if faults.is_still(fault, &self.entry.key(), now) {
            fault.met(now);
        }
        let left = self.check.timeout.saturating_sub(after);
        let outcome = match timeout(left, self.prober.probe(address)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::failed(format_args!("timeout after {:?}", self.check.timeout)),
        };
        (outcome, woken)
    }

    /// A name that cannot be looked up may be alive, so that is void at first; after three
    /// intervals it is the name's own failure, as long as our resolver still finds others.
    fn unresolved(&mut self, why: String, at: Moment) -> Outcome {
        let since = *self.unresolved.get_or_insert(at);
        let is_its_own = self.shared.lookups.found_since(since);
        match is_its_own && at.since(since) >= self.interval * 3 {
            true => Outcome::failed(format_args!("lookup failed: {why}")),
            false => Outcome::void(format_args!("lookup failed: {why}")),
        }
    }
}
