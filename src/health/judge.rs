//! What results mean: the state machine of one target.
//!
//! Takes results with the [`Moment`]s between which they were got, gives the next probe's time
//! and the changes of standing. Pure: must not know sockets, tasks or the clock, so that every
//! bound DESIGN §5 (Health) promises is held by a test that takes no time. With the defaults
//! (10 s, 3 s, fall 3, recheck 1 s) a refusing target is down after 12 s, a hanging one after
//! 21 s, and always after `interval × fall + timeout`; `judge/tests.rs` is the proof.
//!
//! Two questions are judged apart: does it answer (`fall` and `rise`, and `leaky`), and does it
//! answer soon (`max_latency`). A rise of either may have to wait for [`Damping`]; a fall never.

#[cfg(test)]
mod tests;

use super::{damping::Damping, ledger::Standpoint, probe::Outcome};
use crate::{
    checkplan::{Check, Leaky},
    clock::{Dice, Moment, mix},
    verdict::{Sight, Standing, Stood},
};
use std::{sync::Arc, time::Duration};

/// The back-off after void results: 125 ms, doubled up to this (the next probe comes soon).
const VOID_RETRY_MAX: Duration = Duration::from_secs(1);
/// A probe that ends this much after its time-out was stopped together with us: the timer
/// itself is exact to milliseconds. Short time-outs allow as much again as they are long.
const OVERRUN_MAX: Duration = Duration::from_millis(250);

/// Whoever asks for a target to be probed at once gets it this long after its last probe: several
/// falls at a time, each in want of a witness, make no storm of it.
const HASTEN_GAP: Duration = Duration::from_millis(50);

/// Which probe comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// At its place in the interval: counts both ways.
    Regular,
    /// A look between two of those, after a failure or because somebody asked: counts towards
    /// `fall`, never `rise`.
    Recheck,
}

/// The next probe.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Moment,
    kind: Kind,
}

/// A change worth telling.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// How the target stood before.
    pub was: Standing,
    /// What steering must see from now on.
    pub sight: Sight,
    /// Why, in words: `refused 3/3`, `200 in 3 ms`.
    pub reason: Arc<str>,
    /// Of a target that is down: when the first probe of this run of failures ended.
    pub first_failure: Option<Moment>,
    /// Of a target that is down: the failure was itself an answer.
    pub answered: bool,
}

/// Whether it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Unknown,
    Up,
    Down,
}

/// The judge of one target.
#[derive(Debug)]
pub struct Judge {
    check: Arc<Check>,
    level: Level,
    is_slow: bool,
    tally: Tally,
    damping: Damping,
    first_failure: Option<Moment>,
    /// Whether anybody knows yet how it stands.
    is_told: bool,
    voids: u32,
    /// The last probe, from when to when.
    started: Moment,
    finished: Moment,
    /// Somebody waits for what it says next: once it fails it is looked at without a pause.
    in_haste: bool,
    /// The next regular probe; `due` may come before it.
    regular: Moment,
    due: Due,
}

/// Results that count.
#[derive(Debug, Default)]
struct Tally {
    /// In a row.
    failures: u32,
    /// Passes in a row, without those of rechecks.
    successes: u32,
    /// Failures not forgotten yet ([`Leaky`]).
    leaked: u32,
    /// Slow passes in a row, whatever failed between them.
    slow: u32,
    /// Fast ones, without those of rechecks.
    fast: u32,
}

impl Judge {
    /// The same target judged anew at `now`: nothing that it did counts any more. One that is up
    /// stays so; of any other its next result alone decides.
    pub fn forgiven(&self, hash: u64, now: Moment) -> Judge {
        let up = Stood { standing: Standing::Up, damped: None };
        let saved = (self.level == Level::Up).then_some(up);
        Judge::new(Arc::clone(&self.check), hash, now, saved)
    }

    /// A judge that knows nothing yet, or only how its target stood when that was `saved`: then
    /// results count as they would have then. The first probe is due at `first`; regular ones
    /// follow at the phase which `hash` (see [`stable_hash`]) gives over the interval.
    pub fn new(check: Arc<Check>, hash: u64, first: Moment, saved: Option<Stood>) -> Self {
        let interval = nanos(check.interval).max(1);
        // Between one nanosecond and one interval after the first, so the bound holds from it on.
        let gap = interval - (first.0.saturating_add(interval - hash % interval)) % interval;
        let stood = saved.map(|saved| saved.standing);
        Judge {
            level: match stood {
                Some(Standing::Up | Standing::Degraded) => Level::Up,
                Some(Standing::Down) => Level::Down,
                Some(Standing::Unknown | Standing::Drained) | None => Level::Unknown,
            },
            is_slow: stood == Some(Standing::Degraded),
            tally: Tally::default(),
            damping: Damping::new(check.hold_down, saved.and_then(|saved| saved.damped)),
            first_failure: None,
            is_told: false,
            voids: 0,
            started: Moment::default(),
            finished: Moment::default(),
            in_haste: false,
            regular: Moment(first.0.saturating_add(gap)),
            due: Due { at: first, kind: Kind::Regular },
            check,
        }
    }

    /// When the next probe starts.
    pub fn due(&self) -> Moment {
        self.due.at
    }

    /// What steering must see now.
    ///
    /// A target is `failing` from its first failure until it counts as up without one, so that
    /// TTLs stay short while it is down and while it rises.
    pub fn sight(&self) -> Sight {
        let standing = match self.level {
            Level::Unknown => Standing::Unknown,
            Level::Down => Standing::Down,
            Level::Up if self.is_slow => Standing::Degraded,
            Level::Up => Standing::Up,
        };
        Sight { standing, failing: self.tally.failures > 0 || self.level == Level::Down }
    }

    /// Counts and damping at `at`, for people.
    pub(super) fn standpoint(&self, at: Moment) -> Standpoint {
        let is_low = matches!(self.sight().standing, Standing::Down | Standing::Degraded);
        Standpoint {
            failures: self.tally.failures,
            successes: self.tally.successes,
            held_until: self.damping.held(at).filter(|_| is_low),
            flapping: self.damping.is_flapping(at),
            damped: self.damping.past(),
        }
    }

    /// Pulls the next probe forward to `at`; it counts like a recheck, and regular ones stay
    /// where they are. If it fails the next one follows in haste too: `fast_recheck` counts from
    /// the start of a failed probe then, not from its end, so that one which hangs is asked again
    /// as soon as its time-out is over and falls within `fall` time-outs. One that was probed
    /// since `at` is left alone unless it failed; so is one that failed where the check has no
    /// `fast_recheck`.
    pub fn hasten(&mut self, at: Moment) {
        let is_failing = self.tally.failures > 0 && self.level != Level::Down;
        if at <= self.finished && !is_failing {
            return;
        }
        let mut at = at.max(self.finished.after(HASTEN_GAP));
        if is_failing {
            let Some(after) = self.check.fast_recheck else { return };
            at = at.max(self.started.after(after));
        }
        self.in_haste = self.level != Level::Down;
        if at < self.due.at {
            self.due = Due { at, kind: Kind::Recheck };
        }
    }

    /// Why a probe that starts at `started` would prove nothing: we are late ourselves
    /// (paused or starved), by more than the time-out (reliability H-7).
    pub fn lateness(&self, started: Moment) -> Option<Outcome> {
        let late = started.since(self.due.at);
        (late > self.check.timeout)
            .then(|| Outcome::void(format_args!("checker late by {}", round(late))))
    }

    /// Judges what the probe that was [`due`](Self::due) brought: `None` if nothing changes for
    /// steering. The outcome becomes `Void` where our own lateness has spoilt it. `dice` shorten
    /// the interval and the back-off.
    pub fn observe(
        &mut self,
        outcome: &mut Outcome,
        started: Moment,
        finished: Moment,
        dice: &mut Dice,
    ) -> Option<Change> {
        if let Some(void) = self.lateness(started).or_else(|| self.overrun(started, finished)) {
            *outcome = void;
        }
        let kind = self.due.kind;
        if self.due.at >= self.regular {
            // From the start, not from the plan: two starts are never more than one interval apart.
            self.regular = started.after(self.check.interval.mul_f64(fraction(dice, 0.9)));
        }
        let before = self.sight();
        let took = finished.since(started);
        self.count(outcome, kind, took, finished);
        (self.started, self.finished) = (started, finished);
        self.schedule(outcome, kind, finished, dice);
        let sight = self.sight();
        let is_news = sight != before || !self.is_told && !matches!(outcome, Outcome::Void(_));
        self.is_told |= is_news;
        let is_down = sight.standing == Standing::Down;
        is_news.then(|| Change {
            was: before.standing,
            sight,
            reason: self.reason(outcome, before.standing, took),
            first_failure: self.first_failure.filter(|_| is_down),
            answered: is_down && outcome.is_answer(),
        })
    }

    fn overrun(&self, started: Moment, finished: Moment) -> Option<Outcome> {
        let allowed = self.check.timeout + self.check.timeout.min(OVERRUN_MAX);
        let took = finished.since(started);
        (took > allowed)
            .then(|| Outcome::void(format_args!("checker paused for {} in a probe", round(took))))
    }

    fn count(&mut self, outcome: &Outcome, kind: Kind, took: Duration, at: Moment) {
        let before = self.sight().standing;
        match outcome {
            Outcome::Void(_) => self.voids += 1,
            Outcome::Passed(_) | Outcome::Heartbeat(_) => self.pass(kind, took, at),
            Outcome::Failed { .. } => self.fail(at),
        }
        self.damping.turn(before, self.sight().standing, at);
    }

    fn pass(&mut self, kind: Kind, took: Duration, at: Moment) {
        self.voids = 0;
        self.in_haste = false;
        self.first_failure = None;
        self.tally.failures = 0;
        self.tally.successes += u32::from(kind == Kind::Regular);
        if self.check.leaky.is_some_and(|leaky| self.tally.successes >= leaky.reset_after) {
            self.tally.leaked = 0;
        }
        self.pace(kind, took, at);
        let rises = match self.level {
            // Nothing known: the first result alone decides.
            Level::Unknown => true,
            Level::Down => self.tally.successes >= self.check.rise && self.damping.may_rise(at),
            Level::Up => false,
        };
        if rises {
            self.level = Level::Up;
            self.tally.leaked = 0;
        }
    }

    /// Judges how long a pass took.
    fn pace(&mut self, kind: Kind, took: Duration, at: Moment) {
        let Some(max) = self.check.max_latency else { return };
        if took > max {
            self.tally.slow += 1;
            self.tally.fast = 0;
            self.is_slow |= self.tally.slow >= self.check.fall;
        } else {
            self.tally.slow = 0;
            self.tally.fast += u32::from(kind == Kind::Regular);
            // While it is down nobody sees whether it was slow: no rise, so nothing to damp.
            let may_rise = self.level == Level::Down || self.damping.may_rise(at);
            self.is_slow &= !(self.tally.fast >= self.check.rise && may_rise);
        }
    }

    fn fail(&mut self, at: Moment) {
        self.voids = 0;
        self.first_failure.get_or_insert(at);
        self.tally.successes = 0;
        self.tally.failures += 1;
        self.tally.leaked += 1;
        let falls = self.tally.failures >= self.check.fall || self.has_leaked().is_some();
        if self.level == Level::Unknown || falls {
            self.level = Level::Down;
            self.in_haste = false;
        }
    }

    /// The leaky bound, if it is reached.
    fn has_leaked(&self) -> Option<Leaky> {
        self.check.leaky.filter(|leaky| self.tally.leaked >= leaky.failures)
    }

    fn schedule(&mut self, outcome: &Outcome, kind: Kind, finished: Moment, dice: &mut Dice) {
        // A probe that ran over the regular time has used it up; we are not late for that.
        let regular = Due { at: self.regular.max(finished), kind: Kind::Regular };
        let soon = match outcome {
            // The next one stands in for the void one, so it counts as that would have.
            Outcome::Void(_) => Some((self.void_retry(dice), kind)),
            // Once down, another look could count neither towards `fall` nor towards `rise`.
            Outcome::Failed { .. } if self.level != Level::Down => {
                let took = finished.since(self.started);
                let after = |after: Duration| match self.in_haste {
                    true => after.saturating_sub(took).max(HASTEN_GAP),
                    false => after,
                };
                self.check.fast_recheck.map(|pause| (after(pause), Kind::Recheck))
            }
            _ => None,
        };
        self.due = match soon {
            Some((after, kind)) if finished.after(after) < regular.at => {
                Due { at: finished.after(after), kind }
            }
            _ => regular,
        };
    }

    fn void_retry(&self, dice: &mut Dice) -> Duration {
        let doublings = self.voids.saturating_sub(1).min(8);
        let delay = (Duration::from_millis(125) * (1 << doublings)).min(VOID_RETRY_MAX);
        // After a pause everybody is late at once: half of the delay is spread.
        delay.mul_f64(fraction(dice, 0.5))
    }

    fn reason(&self, outcome: &Outcome, was: Standing, took: Duration) -> Arc<str> {
        let Check { fall, .. } = *self.check;
        let now = self.sight().standing;
        let held = self.damping.words(was, now);
        match outcome {
            Outcome::Failed { why, .. } if was == Standing::Unknown => {
                format!("{why}, first result").into()
            }
            Outcome::Failed { why, .. } => match self.has_leaked() {
                Some(Leaky { failures, .. }) if self.tally.failures < fall => {
                    format!("{why}, leaky {failures}/{failures}{held}").into()
                }
                _ => format!("{why} {}/{fall}{held}", self.tally.failures).into(),
            },
            Outcome::Passed(_) if was == Standing::Up && now == Standing::Degraded => {
                format!("slow: {} {}/{fall}{held}", outcome.words(took), self.tally.slow).into()
            }
            _ => outcome.words(took),
        }
    }
}

/// A hash that is the same on every start and every machine: FNV-1a, then mixed, since its low
/// bits alone are not even.
pub fn stable_hash(key: &str) -> u64 {
    mix(key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

/// A fraction between `least` and one.
fn fraction(dice: &mut Dice, least: f64) -> f64 {
    least + (1.0 - least) * (dice.roll() >> 11) as f64 / (1u64 << 53) as f64
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// For people: milliseconds are enough.
fn round(duration: Duration) -> String {
    format!("{:?}", Duration::from_millis(nanos(duration) / 1_000_000))
}
