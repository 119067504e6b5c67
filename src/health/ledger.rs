//! What is known of each target, for steering and for people.
//!
//! One [`Entry`] a target, written by its task alone and read by whoever asks. Must not decide
//! anything: that is [`super::judge`].

use super::{
    judge::{Change, Judge},
    probe::Outcome,
};
use crate::{
    clock::Moment,
    verdict::{Sight, Standing},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A change of how a target stands, told once; also what [`super::Checker::current`] repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthReport {
    /// Which target.
    pub key: Arc<str>,
    /// How it stood before; `Unknown` when this was its first result.
    pub was: Standing,
    /// What steering must see from now on.
    pub sight: Sight,
    /// Why, in at most 120 printable characters: `refused 3/3`, `200 in 3 ms`.
    pub reason: Arc<str>,
    /// When the deciding probe ended. Later reports of one target have later moments.
    pub at: Moment,
    /// How long that probe took.
    pub took: Duration,
}

/// All that is known of one target, for `status` and metrics.
#[derive(Clone, Debug)]
pub struct TargetState {
    /// Which target.
    pub key: Arc<str>,
    /// For people: `zone/pool/endpoint` of the first user.
    pub label: Arc<str>,
    /// What steering sees.
    pub sight: Sight,
    /// Why it stands so; empty before the first result.
    pub reason: Arc<str>,
    /// Consecutive failures up to now.
    pub failures: u32,
    /// Consecutive successes up to now, of those that count towards `rise`.
    pub successes: u32,
    /// The last probe, void or not.
    pub last_probe: Option<LastProbe>,
    /// Why its last probe was void, if it was.
    pub impaired: Option<Arc<str>>,
    /// Probes so far, void ones included.
    pub probes_total: u64,
    /// Failed ones among them.
    pub failures_total: u64,
    /// Void ones among them.
    pub voids_total: u64,
}

/// What the last probe of a target brought.
#[derive(Clone, Debug)]
pub struct LastProbe {
    /// When it started.
    pub at: Moment,
    /// How long it took.
    pub took: Duration,
    /// What came of it: `200 in 3 ms`, `refused`, `void: out of file descriptors`.
    pub outcome: Arc<str>,
}

/// The checker itself is in trouble: the last probes of some targets were void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impairment {
    /// How many targets.
    pub targets: usize,
    /// What is wrong, as one of them saw it.
    pub reason: Arc<str>,
}

/// What one target's task writes and others read.
#[derive(Debug)]
pub(super) struct Entry(Mutex<Known>);

#[derive(Debug)]
struct Known {
    state: TargetState,
    last: Option<HealthReport>,
}

impl Entry {
    pub(super) fn new(key: Arc<str>, label: Arc<str>) -> Self {
        let state = TargetState {
            key,
            label,
            sight: Sight::default(),
            reason: "".into(),
            failures: 0,
            successes: 0,
            last_probe: None,
            impaired: None,
            probes_total: 0,
            failures_total: 0,
            voids_total: 0,
        };
        Entry(Mutex::new(Known { state, last: None }))
    }

    /// Writes down a probe; gives the report if it changed anything.
    pub(super) fn record(
        &self,
        outcome: &Outcome,
        (started, finished): (Moment, Moment),
        judge: &Judge,
        change: Option<Change>,
    ) -> Option<HealthReport> {
        let took = finished.since(started);
        let mut known = self.lock();
        let state = &mut known.state;
        state.probes_total += 1;
        state.failures_total += u64::from(matches!(outcome, Outcome::Failed(_)));
        state.voids_total += u64::from(matches!(outcome, Outcome::Void(_)));
        state.impaired = match outcome {
            Outcome::Void(why) => Some((&**why).into()),
            _ => None,
        };
        state.last_probe = Some(LastProbe { at: started, took, outcome: outcome.words(took) });
        state.failures = judge.failures();
        state.successes = judge.successes();
        let change = change?;
        state.sight = change.sight;
        state.reason = Arc::clone(&change.reason);
        let report = HealthReport {
            key: Arc::clone(&state.key),
            was: change.was,
            sight: change.sight,
            reason: change.reason,
            at: finished,
            took,
        };
        known.last = Some(report.clone());
        Some(report)
    }

    /// The last report; `None` before the first result.
    pub(super) fn last(&self) -> Option<HealthReport> {
        self.lock().last.clone()
    }

    pub(super) fn state(&self) -> TargetState {
        self.lock().state.clone()
    }

    pub(super) fn impaired(&self) -> Option<Arc<str>> {
        self.lock().state.impaired.clone()
    }

    pub(super) fn rename(&self, label: &Arc<str>) {
        self.lock().state.label = Arc::clone(label);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Each write leaves a whole value, so a panic elsewhere has spoilt nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
