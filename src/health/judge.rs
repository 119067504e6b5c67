//! What results mean: the state machine of one target.
//!
//! Takes results with the [`Moment`]s between which they were got, gives the next probe's time
//! and the changes of standing. Pure: must not know sockets, tasks or the clock, so that every
//! bound DESIGN §5 (Health) promises is held by a test that takes no time. With the defaults
//! (10 s, 3 s, fall 3, recheck 1 s) a refusing target is down after 12 s, a hanging one after
//! 21 s, and always after `interval × fall + timeout`; half of this file is the proof.

use super::probe::Outcome;
use crate::{
    checkplan::Check,
    clock::{Dice, Moment, mix},
    verdict::{Sight, Standing},
};
use std::{sync::Arc, time::Duration};

/// The back-off after void results: 125 ms, doubled up to this (the next probe comes soon).
const VOID_RETRY_MAX: Duration = Duration::from_secs(1);
/// A probe that ends this much after its time-out was stopped together with us: the timer
/// itself is exact to milliseconds. Short time-outs allow as much again as they are long.
const OVERRUN_MAX: Duration = Duration::from_millis(250);

/// Which probe comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// At its place in the interval: counts both ways.
    Regular,
    /// A second look after a failure: counts towards `fall`, never `rise`.
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
}

/// The judge of one target.
#[derive(Debug)]
pub struct Judge {
    check: Arc<Check>,
    standing: Standing,
    failures: u32,
    successes: u32,
    voids: u32,
    /// The next regular probe; `due` may come before it.
    regular: Moment,
    due: Due,
}

impl Judge {
    /// A judge that knows nothing yet. The first probe is due at `first`; regular ones follow
    /// at the phase which `hash` (see [`stable_hash`]) gives over the interval.
    pub fn new(check: Arc<Check>, hash: u64, first: Moment) -> Self {
        let interval = nanos(check.interval).max(1);
        // Between one nanosecond and one interval after the first, so the bound holds from it on.
        let gap = interval - (first.0.saturating_add(interval - hash % interval)) % interval;
        Judge {
            standing: Standing::Unknown,
            failures: 0,
            successes: 0,
            voids: 0,
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
        Sight {
            standing: self.standing,
            failing: self.failures > 0 || self.standing == Standing::Down,
        }
    }

    /// Consecutive failures.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Consecutive successes that count towards `rise`.
    pub fn successes(&self) -> u32 {
        self.successes
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
        self.count(outcome, kind);
        self.schedule(outcome, kind, finished, dice);
        let sight = self.sight();
        (sight != before).then(|| Change {
            was: before.standing,
            sight,
            reason: self.reason(outcome, before.standing, finished.since(started)),
        })
    }

    fn overrun(&self, started: Moment, finished: Moment) -> Option<Outcome> {
        let allowed = self.check.timeout + self.check.timeout.min(OVERRUN_MAX);
        let took = finished.since(started);
        (took > allowed)
            .then(|| Outcome::void(format_args!("checker paused for {} in a probe", round(took))))
    }

    fn count(&mut self, outcome: &Outcome, kind: Kind) {
        match outcome {
            Outcome::Void(_) => self.voids += 1,
            Outcome::Passed(_) => {
                self.voids = 0;
                self.failures = 0;
                self.successes += u32::from(kind == Kind::Regular);
                // Nothing known: the first result alone decides.
                if self.standing == Standing::Unknown || self.successes >= self.check.rise {
                    self.standing = Standing::Up;
                }
            }
            Outcome::Failed(_) => {
                self.voids = 0;
                self.successes = 0;
                self.failures += 1;
                if self.standing == Standing::Unknown || self.failures >= self.check.fall {
                    self.standing = Standing::Down;
                }
            }
        }
    }

    fn schedule(&mut self, outcome: &Outcome, kind: Kind, finished: Moment, dice: &mut Dice) {
        // A probe that ran over the regular time has used it up; we are not late for that.
        let regular = Due { at: self.regular.max(finished), kind: Kind::Regular };
        let soon = match outcome {
            // The next one stands in for the void one, so it counts as that would have.
            Outcome::Void(_) => Some((self.void_retry(dice), kind)),
            // Once down, another look could count neither towards `fall` nor towards `rise`.
            Outcome::Failed(_) if self.standing != Standing::Down => {
                self.check.fast_recheck.map(|after| (after, Kind::Recheck))
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
        match outcome {
            Outcome::Failed(why) if was == Standing::Unknown => {
                format!("{why}, first result").into()
            }
            Outcome::Failed(why) => format!("{why} {}/{}", self.failures, self.check.fall).into(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkplan::CheckKind;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn check(
        interval: u64,
        timeout: u64,
        fall: u32,
        rise: u32,
        recheck: Option<u64>,
    ) -> Arc<Check> {
        Arc::new(Check {
            name: "test".into(),
            kind: CheckKind::Tcp,
            interval: MS * interval as u32,
            timeout: MS * timeout as u32,
            fall,
            rise,
            fast_recheck: recheck.map(Duration::from_millis),
        })
    }

    fn defaults() -> Arc<Check> {
        check(10_000, 3_000, 3, 2, Some(1_000))
    }

    /// A judge and the dice it is asked with; outcomes are `+` passed, `-` failed at once,
    /// `~` hung until the time-out, `?` void.
    struct Bench {
        judge: Judge,
        dice: Dice,
        now: Moment,
    }

    impl Bench {
        fn new(check: Arc<Check>, seed: u64) -> Self {
            let first = Moment(seed % 7_000_000_000);
            Bench {
                judge: Judge::new(check, stable_hash("k") ^ mix(seed), first),
                dice: Dice::seeded(seed),
                now: first,
            }
        }

        fn probe(&mut self, what: char) -> Option<Change> {
            let started = self.judge.due();
            assert!(started >= self.now, "a probe is due before the last one ended");
            let (mut outcome, took) = match what {
                '+' => (Outcome::passed("open"), MS),
                '-' => (Outcome::failed("refused"), MS),
                '~' => (Outcome::failed("timeout"), self.judge.check.timeout),
                _ => (Outcome::void("no descriptors"), Duration::ZERO),
            };
            self.now = started.after(took);
            self.judge.observe(&mut outcome, started, self.now, &mut self.dice)
        }

        fn standing_after(&mut self, results: &str) -> Standing {
            for what in results.chars() {
                self.probe(what);
            }
            self.judge.sight().standing
        }

        /// Probes until something dies at `death`; returns how long it counted as up after that.
        fn detection(&mut self, death: Moment, how: char) -> Duration {
            while self.judge.sight().standing != Standing::Down {
                let what = if self.judge.due() < death { '+' } else { how };
                self.probe(what);
            }
            self.now.since(death)
        }
    }

    #[test]
    fn consecutive_results_decide() {
        use Standing::{Down, Unknown, Up};
        for (results, expected) in [
            ("", Unknown),
            ("?", Unknown),
            ("+", Up),
            ("-", Down),
            ("?-", Down),
            ("+--", Up),
            ("+---", Down),
            ("+--+--+--", Up),
            ("+-?-?-", Down),
            ("+-?+?--", Up),
            ("+---+", Down),
            ("+---++", Up),
            ("+---+-+", Down),
            ("+---+?+", Up),
            ("-+", Down),
            ("-++", Up),
            ("+-+-+-+-+-", Up),
        ] {
            for recheck in [Some(1_000), None] {
                let mut bench = Bench::new(check(10_000, 3_000, 3, 2, recheck), 1);
                assert_eq!(bench.standing_after(results), expected, "after {results}");
            }
        }
    }

    #[test]
    fn changes_of_failing_are_told_as_well_as_changes_of_standing() {
        let mut bench = Bench::new(defaults(), 1);
        let mut told = |what| {
            bench.probe(what).map(|change| {
                let Sight { standing, failing } = change.sight;
                format!("{} {failing}: {}", standing.word(), change.reason)
            })
        };
        assert_eq!(told('+').as_deref(), Some("up false: open in 1 ms"));
        assert_eq!(told('+'), None);
        assert_eq!(told('-').as_deref(), Some("up true: refused 1/3"));
        assert_eq!(told('?'), None);
        assert_eq!(told('-'), None);
        assert_eq!(told('+').as_deref(), Some("up false: open in 1 ms"));
        assert_eq!(told('-').as_deref(), Some("up true: refused 1/3"));
        assert_eq!(told('-'), None);
        assert_eq!(told('-').as_deref(), Some("down true: refused 3/3"));
        assert_eq!(told('-'), None);
        assert_eq!(told('+'), None);
        assert_eq!(told('+').as_deref(), Some("up false: open in 1 ms"));
    }

    #[test]
    fn a_failed_first_result_says_that_it_was_the_first() {
        let change = Bench::new(defaults(), 1).probe('-').expect("a change");
        assert_eq!(change.was, Standing::Unknown);
        assert_eq!(&*change.reason, "refused, first result");
    }

    #[test]
    fn a_recheck_follows_a_failure_after_one_second_but_not_once_down() {
        let mut bench = Bench::new(defaults(), 3);
        bench.probe('+');
        bench.probe('-');
        for _ in 0..2 {
            assert_eq!(bench.judge.due().since(bench.now), MS * 1_000);
            bench.probe('-');
        }
        assert_eq!(bench.judge.sight().standing, Standing::Down);
        assert!(bench.judge.due().since(bench.now) > MS * 5_000);
    }

    #[test]
    fn a_recheck_never_counts_towards_rise() {
        let mut judge = Bench::new(defaults(), 3).judge;
        judge.standing = Standing::Down;
        judge.count(&Outcome::passed("open"), Kind::Recheck);
        judge.count(&Outcome::passed("open"), Kind::Recheck);
        assert_eq!(judge.sight().standing, Standing::Down);
        assert_eq!(judge.successes(), 0);
    }

    #[test]
    fn a_regular_probe_is_not_moved_by_rechecks() {
        let mut bench = Bench::new(defaults(), 4);
        bench.probe('+');
        bench.probe('+');
        let started = bench.judge.due();
        bench.probe('-');
        bench.probe('+');
        let gap = bench.judge.due().since(started);
        assert!(gap >= MS * 9_000 && gap <= MS * 10_000, "{gap:?}");
    }

    #[test]
    fn the_defaults_keep_what_check_prints() {
        for seed in 0..2_000 {
            let death = Moment(60_000_000_000 + mix(seed) % 10_000_000_000);
            let refused = Bench::new(defaults(), seed).detection(death, '-');
            assert_eq!(defaults().detection(Duration::ZERO), MS * 12_000);
            assert!(refused <= MS * 12_010, "refusing: {refused:?}");
            let hung = Bench::new(defaults(), seed).detection(death, '~');
            assert_eq!(defaults().detection(defaults().timeout), MS * 21_000);
            assert!(hung <= MS * 21_000, "hanging: {hung:?}");
            let calm = check(10_000, 3_000, 3, 2, None);
            assert_eq!(calm.detection(calm.timeout), calm.worst_case_detection());
            let hung = Bench::new(calm, seed).detection(death, '~');
            assert!(hung <= MS * 33_000, "hanging without rechecks: {hung:?}");
        }
    }

    proptest! {
        #[test]
        fn detection_never_exceeds_what_check_prints(
            interval in 100u64..20_000,
            timeout in 1u64..99,
            fall in 1u32..8,
            recheck in proptest::option::of(1u64..30_000),
            hangs in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let check = check(interval, interval * timeout / 100 + 1, fall, 2, recheck);
            let bound = check.detection(if hangs { check.timeout } else { MS });
            prop_assert!(bound <= check.worst_case_detection() + MS);
            let death = Moment(mix(seed) % 100_000_000_000);
            let mut bench = Bench::new(check, seed);
            // Not dead from the start: then the first result alone decides.
            bench.probe('+');
            let death = death.max(bench.now);
            let took = bench.detection(death, if hangs { '~' } else { '-' });
            prop_assert!(took <= bound, "{took:?} > {bound:?}");
        }

        #[test]
        fn regular_probes_start_nine_tenths_to_one_interval_apart(seed in any::<u64>()) {
            let mut bench = Bench::new(defaults(), seed);
            bench.probe('+');
            prop_assert!(bench.judge.due().since(bench.now) <= MS * 10_000);
            for _ in 0..50 {
                let last = bench.judge.due();
                bench.probe('+');
                let gap = bench.judge.due().since(last);
                prop_assert!(gap >= MS * 9_000 && gap <= MS * 10_000, "{gap:?}");
            }
        }

        #[test]
        fn recovery_takes_no_longer_than_rise_plus_one_intervals(
            rise in 1u32..6, seed in any::<u64>(),
        ) {
            let mut bench = Bench::new(check(10_000, 3_000, 3, rise, Some(1_000)), seed);
            bench.standing_after("+---");
            let down = bench.now;
            while bench.judge.sight().standing == Standing::Down {
                bench.probe('+');
            }
            prop_assert!(bench.now.since(down) <= MS * (10_000 * (rise + 1)));
        }
    }

    #[test]
    fn phases_are_even_over_the_interval() {
        let mut tenths = [0; 10];
        for target in 0..1_000 {
            let hash = stable_hash(&format!("192.0.2.1:{target}/tcp"));
            let due = Judge::new(defaults(), hash, Moment(5)).regular;
            tenths[(due.0 - 6) as usize / 1_000_000_000] += 1;
        }
        assert!(tenths.iter().all(|n| (60..140).contains(n)), "{tenths:?}");
    }

    #[test]
    fn the_phase_is_the_same_on_every_start() {
        assert_eq!(stable_hash(""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(stable_hash("a"), mix(0xaf63_dc4c_8601_ec8c));
    }

    #[test]
    fn a_void_result_is_followed_up_within_a_second_and_backs_off() {
        let mut bench = Bench::new(defaults(), 9);
        bench.probe('+');
        let mut last = Duration::ZERO;
        for void in 0..12 {
            bench.probe('?');
            let delay = bench.judge.due().since(bench.now);
            assert!(delay <= VOID_RETRY_MAX, "void {void}: {delay:?}");
            assert!(void > 0 || delay <= MS * 125);
            last = last.max(delay);
        }
        assert!(last >= MS * 500);
        assert_eq!(bench.judge.sight().standing, Standing::Up);
    }

    #[test]
    fn a_pause_of_the_checker_is_nobody_elses_failure() {
        let mut bench = Bench::new(defaults(), 9);
        bench.standing_after("++--");
        for (late, took) in [(6_000, 1), (0, 9_000), (3_600_000, 3_600_000)] {
            let started = bench.judge.due().after(MS * late);
            let finished = started.after(MS * took);
            let mut outcome = Outcome::failed("timeout");
            let change = bench.judge.observe(&mut outcome, started, finished, &mut bench.dice);
            assert_eq!(change, None);
            assert!(matches!(outcome, Outcome::Void(_)), "{outcome:?}");
            assert!(bench.judge.due().since(finished) <= VOID_RETRY_MAX);
            bench.now = finished;
        }
        assert_eq!(bench.judge.failures(), 2);
        assert_eq!(bench.standing_after("-"), Standing::Down);
    }

    #[test]
    fn lateness_up_to_the_time_out_spoils_nothing() {
        let mut bench = Bench::new(defaults(), 9);
        bench.probe('+');
        let started = bench.judge.due().after(MS * 3_000);
        let mut outcome = Outcome::failed("timeout");
        let finished = started.after(MS * 3_200);
        bench.judge.observe(&mut outcome, started, finished, &mut bench.dice);
        assert_eq!(bench.judge.failures(), 1);
    }
}
