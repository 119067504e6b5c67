//! Faults that a drill injects at our own prober: what a probe of a target brings while one is on.
//!
//! Nothing is done to the targets themselves. Each fault ends by itself at its `until`, whatever
//! becomes of whoever injected it, and none outlives the process. Must not know drills: it is
//! given keys, a way to fail and words.

use super::probe::Outcome;
use crate::clock::Moment;
use arc_swap::ArcSwap;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, time::sleep};

/// How probes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// At once, as if the port refused.
    Refuse,
    /// Not before the time-out.
    Hang,
    /// They go through, so much later.
    Slow(Duration),
    /// Every other one, as if the port refused.
    Flap,
    /// By an answer with this status.
    Status(u16),
    /// As if this checker were cut off: every probe, guards too, hangs.
    Isolate,
}

/// A fault on some targets, until a moment.
#[derive(Debug)]
pub struct Fault {
    /// Said in the reason: `drill region-loss`.
    pub by: Arc<str>,
    /// The targets by key; none for [`FaultKind::Isolate`], which is on all of them.
    pub keys: HashSet<Arc<str>>,
    /// How they fail.
    pub kind: FaultKind,
    /// When it is over by itself.
    pub until: Moment,
    /// When the first probe met it, in nanoseconds; 0 = none yet.
    first: AtomicU64,
    /// Probes of each target so far, for [`FaultKind::Flap`].
    asked: Mutex<HashMap<Arc<str>, u64>>,
    /// Whether it was taken away.
    cleared: watch::Sender<bool>,
}

impl Fault {
    /// A fault nobody has met yet.
    pub fn new(by: Arc<str>, keys: HashSet<Arc<str>>, kind: FaultKind, until: Moment) -> Fault {
        Fault {
            by,
            keys,
            kind,
            until,
            first: AtomicU64::new(0),
            asked: Mutex::default(),
            cleared: watch::Sender::new(false),
        }
    }

    /// When the first probe met it, if one did: failed by it, or was made slow.
    pub fn first_met(&self) -> Option<Moment> {
        Some(self.first.load(Relaxed)).filter(|at| *at > 0).map(Moment)
    }

    /// A probe met it at `now`.
    pub(super) fn met(&self, now: Moment) {
        // Only the first counts; whoever lost the race was not it.
        let _ = self.first.compare_exchange(0, now.0.max(1), Relaxed, Relaxed);
    }

    fn is_on(&self, key: &str, now: Moment) -> bool {
        now < self.until && (self.kind == FaultKind::Isolate || self.keys.contains(key))
    }

    /// Waits for `time`; less if it is taken away meanwhile: what it made of a probe is over then.
    pub(super) async fn last(&self, time: Duration) {
        let mut cleared = self.cleared.subscribe();
        tokio::select! {
            () = sleep(time) => {}
            // Fails only once the fault itself is gone.
            _ = cleared.wait_for(|cleared| *cleared) => {}
        }
    }

    /// Whether this probe of `key` is one that fails, under [`FaultKind::Flap`].
    fn flaps(&self, key: &Arc<str>) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let count = asked.entry(Arc::clone(key)).or_default();
        *count += 1;
        *count % 2 == 1
    }
}

/// What a fault makes of one probe.
#[derive(Debug, PartialEq)]
pub(super) enum Met {
    /// This, after so long.
    Instead(Outcome, Duration),
    /// What the target says, so much later.
    Later(Duration),
}

/// The faults that are on.
#[derive(Debug, Default)]
pub(super) struct Faults(ArcSwap<Vec<Arc<Fault>>>);

impl Faults {
    pub(super) fn add(&self, fault: Arc<Fault>) {
        let with = |now: &Arc<Vec<Arc<Fault>>>| {
            now.iter().cloned().chain([Arc::clone(&fault)]).collect::<Vec<_>>()
        };
        self.0.rcu(with);
    }

    pub(super) fn remove(&self, fault: &Arc<Fault>) {
        let without = |now: &Arc<Vec<Arc<Fault>>>| {
            now.iter().filter(|one| !Arc::ptr_eq(one, fault)).cloned().collect::<Vec<_>>()
        };
        self.0.rcu(without);
        fault.cleared.send_replace(true);
    }

    /// Whether `fault` is what probes of `key` still meet at `now`.
    pub(super) fn is_still(&self, fault: &Arc<Fault>, key: &str, now: Moment) -> bool {
        self.on(key, now).is_some_and(|on| Arc::ptr_eq(&on, fault))
    }

    /// The fault on `key` at `now`; the newest, if there are several.
    pub(super) fn on(&self, key: &str, now: Moment) -> Option<Arc<Fault>> {
        self.0.load().iter().rev().find(|fault| fault.is_on(key, now)).cloned()
    }

    /// Whether nothing is to be heard, not even of guards.
    pub(super) fn is_isolated(&self, now: Moment) -> bool {
        let is = |fault: &Arc<Fault>| fault.kind == FaultKind::Isolate && now < fault.until;
        self.0.load().iter().any(is)
    }
}

impl Fault {
    /// What it makes of a probe of `key` whose time-out is `timeout`; nothing where it lets one
    /// through.
    pub(super) fn meet(&self, key: &Arc<str>, timeout: Duration) -> Option<Met> {
        let by = &self.by;
        let hangs = || {
            Met::Instead(
                Outcome::failed(format_args!("timeout after {timeout:?} by {by}")),
                timeout,
            )
        };
        Some(match self.kind {
            FaultKind::Refuse => {
                Met::Instead(Outcome::failed(format_args!("refused by {by}")), Duration::ZERO)
            }
            FaultKind::Flap if self.flaps(key) => {
                Met::Instead(Outcome::failed(format_args!("refused by {by}")), Duration::ZERO)
            }
            FaultKind::Flap => return None,
            FaultKind::Hang | FaultKind::Isolate => hangs(),
            FaultKind::Slow(by) if by >= timeout => hangs(),
            FaultKind::Slow(by) => Met::Later(by),
            FaultKind::Status(status) => Met::Instead(
                Outcome::wrong(format_args!("status {status} by {by}")),
                Duration::ZERO,
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, until: u64) -> Arc<Fault> {
        let keys = [Arc::from("a")].into();
        Arc::new(Fault::new("drill x".into(), keys, kind, Moment(until)))
    }

    #[test]
    fn a_fault_is_on_its_targets_until_its_time_and_the_newest_counts() {
        let faults = Faults::default();
        let (old, new) = (fault(FaultKind::Refuse, 10), fault(FaultKind::Hang, 5));
        faults.add(Arc::clone(&old));
        faults.add(new);
        let kind = |at| faults.on("a", Moment(at)).map(|fault| fault.kind);
        assert_eq!(
            [kind(4), kind(5), kind(10)],
            [Some(FaultKind::Hang), Some(FaultKind::Refuse), None]
        );
        assert!(faults.on("b", Moment(0)).is_none());
        faults.remove(&old);
        assert_eq!(kind(5), None);
    }

    #[test]
    fn an_isolated_checker_hears_nobody() {
        let faults = Faults::default();
        faults.add(fault(FaultKind::Isolate, 10));
        assert!(faults.on("b", Moment(9)).is_some() && faults.is_isolated(Moment(9)));
        assert!(faults.on("b", Moment(10)).is_none() && !faults.is_isolated(Moment(10)));
    }

    #[test]
    fn each_kind_fails_in_its_way_and_says_by_whom() {
        let (second, key) = (Duration::from_secs(1), Arc::from("a"));
        let meet = |kind| fault(kind, 1).meet(&key, second);
        let said = |met| match met {
            Some(Met::Instead(outcome, after)) => {
                (outcome.words(after).to_string(), after, outcome.is_answer())
            }
            other => (format!("{other:?}"), Duration::ZERO, true),
        };
        let none = Duration::ZERO;
        assert_eq!(said(meet(FaultKind::Refuse)), ("refused by drill x".into(), none, false));
        assert_eq!(
            said(meet(FaultKind::Hang)),
            ("timeout after 1s by drill x".into(), second, false)
        );
        assert_eq!(
            said(meet(FaultKind::Status(503))),
            ("status 503 by drill x".into(), none, true)
        );
        let slow = Duration::from_millis(200);
        assert_eq!(meet(FaultKind::Slow(slow)), Some(Met::Later(slow)));
        assert_eq!(said(meet(FaultKind::Slow(second))).1, second);
        let flap = fault(FaultKind::Flap, 1);
        let failed: Vec<bool> = (0..4).map(|_| flap.meet(&key, second).is_some()).collect();
        assert_eq!(failed, [true, false, true, false]);
    }
}
