//! The life of a target that is probed: waits until its judge wants a probe, probes, writes down,
//! reports.
//!
//! An idle task is a timer and some hundred bytes; what is in flight is bounded by
//! [`super::lanes`].

use super::{
    judge::Judge,
    latency::Durations,
    ledger::{Entry, Times},
    probe::{NoAddress, Outcome, Prober},
    schedule::{Shared, Unsettled},
};
use crate::{
    checkplan::Target,
    clock::{Dice, Moment},
    verdict::Stood,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};

/// Asks a task to probe soon.
#[derive(Debug, Default)]
pub(super) struct Nudge {
    at: AtomicU64,
    changed: Notify,
}

impl Nudge {
    /// Asks for a probe at `at`.
    pub(super) fn to(&self, at: Moment) {
        self.at.store(at.0, Relaxed);
        self.changed.notify_one();
    }

    /// What was asked for, once something is.
    async fn felt(&self) -> Moment {
        self.changed.notified().await;
        Moment(self.at.load(Relaxed))
    }
}

/// One target's life.
pub(super) struct Task {
    judge: Judge,
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
                at = self.nudge.felt() => self.judge.hasten(at),
                () = sleep(left) => return,
            }
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
