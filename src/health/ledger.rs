//! What is known of each target, for steering and for people.
//!
//! One [`Entry`] a target, written by its task (or by who brings its heartbeats) and read by
//! whoever asks. Must not decide
//! anything: that is [`super::judge`].

use super::{judge::Change, latency::Histogram, probe::Outcome};
use crate::{
    checkplan::{Mode, Target},
    clock::Moment,
    verdict::{Damped, Sight, Standing, Stood},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Different errors kept of one target.
const ERRORS_MAX: usize = 5;

/// A change of how a target stands, told once; also what [`super::Checker::current`] repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthReport {
    /// Which target.
    pub key: Arc<str>,
    /// For people: `zone/pool/endpoint` of the first user, `check:NAME` of a gate.
    pub label: Arc<str>,
    /// Nothing is answered by it: it is a gate.
    pub gate: bool,
    /// How it stood before; `Unknown` when this was its first result.
    pub was: Standing,
    /// What steering must see from now on, unless it is only observed.
    pub sight: Sight,
    /// Why, in words: `refused 3/3`, `200 in 3 ms`.
    pub reason: Arc<str>,
    /// When the deciding probe ended. Later reports of one target have later moments.
    pub at: Moment,
    /// How long that probe took.
    pub took: Duration,
    /// Its check has `mode = "observe"`: shown, and nothing else ([`Self::effect`]).
    pub observe: bool,
    /// Of a target that is down: when the first probe of this run of failures *ended*. While one
    /// that hangs is under way nobody knows yet that anything is wrong, and an answer which came
    /// meanwhile may be older than what has cut us off: whoever answers after this moment is a
    /// witness, nobody before.
    pub first_failure: Option<Moment>,
    /// Of a target that is down: the deciding failure was itself an answer (a wrong status or
    /// body, a heartbeat that says so), so that it needs no witness.
    pub answered: bool,
    /// What flap damping remembers of it.
    pub damped: Option<Damped>,
}

impl HealthReport {
    /// Whether it is news that nothing else tells: of a target that is only observed. That one is
    /// found to be up is none.
    pub fn is_told_by_itself(&self) -> bool {
        let (from, to) = (self.was, self.sight.standing);
        self.observe && from != to && (from != Standing::Unknown || !to.is_up())
    }

    /// What may act on answers, and the reason to show with it.
    pub fn effect(&self) -> (Sight, Arc<str>) {
        if !self.observe {
            return (self.sight, Arc::clone(&self.reason));
        }
        let would_be = self.sight.standing.word();
        let reason = format!("observed only, would be {would_be}: {}", self.reason);
        (Sight { standing: Standing::Up, failing: false }, reason.into())
    }
}

/// All that is known of one target, for `status` and metrics.
#[derive(Clone, Debug)]
pub struct TargetState {
    /// Which target.
    pub key: Arc<str>,
    /// For people: `zone/pool/endpoint` of the first user.
    pub label: Arc<str>,
    /// What steering sees; what it would see, of a target that is only observed.
    pub sight: Sight,
    /// Whether it is only observed.
    pub observe: bool,
    /// Whether it is a gate.
    pub gate: bool,
    /// Why it stands so; empty before the first result.
    pub reason: Arc<str>,
    /// Consecutive failures up to now.
    pub failures: u32,
    /// Consecutive successes up to now, of those that count towards `rise`.
    pub successes: u32,
    /// Until when flap damping keeps it from rising, if it did at its last probe.
    pub held_until: Option<Moment>,
    /// Whether it fell within ten minutes after a rise, and was not up for ten minutes since.
    pub flapping: bool,
    /// What flap damping remembers of it.
    pub damped: Option<Damped>,
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
    /// How often it came to stand so, in the order of [`Standing::ALL`].
    pub turns: [u64; Standing::ALL.len()],
    /// How long its answers took of late.
    pub latency: Histogram,
    /// Its last different errors, the newest last.
    pub errors: Vec<SeenError>,
}

impl TargetState {
    /// Where it is probed, which tells the two families of one endpoint apart: a key begins with
    /// that.
    pub fn address(&self) -> &str {
        self.key.split(' ').next().unwrap_or_default()
    }
}

/// An error a target had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenError {
    /// In words: `refused`, `status 503`, `void: out of file descriptors`.
    pub what: Arc<str>,
    /// When it was seen last.
    pub at: Moment,
    /// How often, since it is among those that are kept.
    pub count: u64,
}

/// What the last probe of a target brought.
#[derive(Clone, Debug)]
pub struct LastProbe {
    /// When it started.
    pub at: Moment,
    /// By how much it started later than it should.
    pub late: Duration,
    /// How long it took.
    pub took: Duration,
    /// What came of it: `200 in 3 ms`, `refused`, `void: out of file descriptors`.
    pub outcome: Arc<str>,
}

/// When a probe or heartbeat was due, began and ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub due: Moment,
    pub started: Moment,
    pub finished: Moment,
}

/// How the judge of a target stands after a probe or heartbeat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standpoint {
    pub failures: u32,
    pub successes: u32,
    pub held_until: Option<Moment>,
    pub flapping: bool,
    pub damped: Option<Damped>,
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
    /// Nothing known of `target`, or only how it stood when that was `saved`.
    pub(super) fn new(target: &Target, saved: Option<Stood>, now: Moment) -> Self {
        let observe = target.check.mode == Mode::Observe;
        let mut state = TargetState {
            key: Arc::clone(&target.key),
            label: Arc::clone(&target.label),
            sight: Sight::default(),
            observe,
            gate: target.slots.is_empty(),
            reason: "".into(),
            failures: 0,
            successes: 0,
            held_until: None,
            flapping: false,
            damped: saved.and_then(|saved| saved.damped),
            last_probe: None,
            impaired: None,
            probes_total: 0,
            failures_total: 0,
            voids_total: 0,
            turns: [0; Standing::ALL.len()],
            latency: Histogram::default(),
            errors: Vec::new(),
        };
        let last = saved.map(|Stood { standing, damped }| {
            state.sight = Sight { standing, failing: standing == Standing::Down };
            state.reason = "as it stood before the restart".into();
            HealthReport {
                key: Arc::clone(&state.key),
                label: Arc::clone(&state.label),
                gate: state.gate,
                was: standing,
                sight: state.sight,
                reason: Arc::clone(&state.reason),
                at: now,
                took: Duration::ZERO,
                observe,
                first_failure: None,
                answered: false,
                damped,
            }
        });
        Entry(Mutex::new(Known { state, last }))
    }

    /// Writes down a probe or heartbeat; gives the report if it changed anything.
    pub(super) fn record(
        &self,
        outcome: &Outcome,
        Times { due, started, finished }: Times,
        standpoint: Standpoint,
        change: Option<Change>,
    ) -> Option<HealthReport> {
        let late = started.since(due);
        let took = finished.since(started);
        let words = outcome.words(took);
        let mut known = self.lock();
        let state = &mut known.state;
        state.probes_total += 1;
        state.impaired = None;
        match outcome {
            Outcome::Passed(_) => state.latency.record(took),
            Outcome::Heartbeat(_) => {}
            Outcome::Failed { .. } => {
                state.failures_total += 1;
                note(&mut state.errors, &words, finished);
            }
            Outcome::Void(why) => {
                state.voids_total += 1;
                state.impaired = Some((&**why).into());
                note(&mut state.errors, &words, finished);
            }
        }
        state.last_probe = Some(LastProbe { at: started, late, took, outcome: words });
        state.failures = standpoint.failures;
        state.successes = standpoint.successes;
        state.held_until = standpoint.held_until;
        state.flapping = standpoint.flapping;
        state.damped = standpoint.damped;
        let change = change?;
        if change.was != change.sight.standing {
            state.turns[change.sight.standing as usize] += 1;
        }
        state.sight = change.sight;
        state.reason = Arc::clone(&change.reason);
        let report = HealthReport {
            key: Arc::clone(&state.key),
            label: Arc::clone(&state.label),
            gate: state.gate,
            was: change.was,
            sight: change.sight,
            reason: change.reason,
            at: finished,
            took,
            observe: state.observe,
            first_failure: change.first_failure,
            answered: change.answered,
            damped: standpoint.damped,
        };
        known.last = Some(report.clone());
        Some(report)
    }

    /// The last report; `None` before the first result.
    pub(super) fn last(&self) -> Option<HealthReport> {
        self.lock().last.clone()
    }

    pub(super) fn key(&self) -> Arc<str> {
        Arc::clone(&self.lock().state.key)
    }

    pub(super) fn state(&self) -> TargetState {
        self.lock().state.clone()
    }

    pub(super) fn impaired(&self) -> Option<Arc<str>> {
        self.lock().state.impaired.clone()
    }

    /// Takes what a new plan calls `target`, and uses it for.
    pub(super) fn rename(&self, target: &Target) {
        let state = &mut self.lock().state;
        state.label = Arc::clone(&target.label);
        state.gate = target.slots.is_empty();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Each write leaves a whole value, so a panic elsewhere has spoilt nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Remembers an error among the last different ones.
fn note(errors: &mut Vec<SeenError>, what: &Arc<str>, at: Moment) {
    let known = errors.iter().position(|error| error.what == *what);
    let count = known.map_or(0, |known| errors.remove(known).count);
    if errors.len() == ERRORS_MAX {
        errors.remove(0);
    }
    errors.push(SeenError { what: Arc::clone(what), at, count: count + 1 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observed_targets_are_told_of_when_they_turn() {
        use Standing::{Down, Unknown, Up};
        let report = |observe, was, standing| HealthReport {
            key: "k".into(),
            label: "z/p/e".into(),
            gate: false,
            was,
            sight: Sight { standing, failing: false },
            reason: "".into(),
            at: Moment(1),
            took: Duration::ZERO,
            observe,
            first_failure: None,
            answered: false,
            damped: None,
        };
        for (observe, was, now, told) in [
            (true, Up, Down, true),
            (true, Down, Up, true),
            (true, Unknown, Down, true),
            (true, Unknown, Up, false),
            (true, Up, Up, false),
            (false, Up, Down, false),
        ] {
            assert_eq!(report(observe, was, now).is_told_by_itself(), told, "{was:?} {now:?}");
        }
    }

    #[test]
    fn the_last_five_different_errors_are_kept_with_how_often() {
        let mut errors = Vec::new();
        for (at, what) in ["a", "b", "a", "c", "d", "e", "f", "b"].into_iter().enumerate() {
            note(&mut errors, &what.into(), Moment(at as u64));
        }
        let kept: Vec<_> = errors.iter().map(|e| (&*e.what, e.at.0, e.count)).collect();
        assert_eq!(kept, [("c", 3, 1), ("d", 4, 1), ("e", 5, 1), ("f", 6, 1), ("b", 7, 1)]);
        note(&mut errors, &"d".into(), Moment(9));
        assert_eq!(errors.last().map(|e| (&*e.what, e.at.0, e.count)), Some(("d", 9, 2)));
    }
}
