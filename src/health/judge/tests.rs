//! Every bound DESIGN §5 (Health) promises, on simulated time.

use super::*;
use crate::checkplan::{CheckKind, Mode};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

fn check(interval: u64, timeout: u64, fall: u32, rise: u32, recheck: Option<u64>) -> Arc<Check> {
    Arc::new(Check {
        name: "test".into(),
        kind: CheckKind::Tcp,
        interval: MS * interval as u32,
        timeout: MS * timeout as u32,
        fall,
        rise,
        fast_recheck: recheck.map(Duration::from_millis),
        leaky: None,
        max_latency: None,
        hold_down: None,
        mode: Mode::Act,
    })
}

fn defaults() -> Arc<Check> {
    check(10_000, 3_000, 3, 2, Some(1_000))
}

/// A judge and the dice it is asked with; outcomes are `+` passed, `s` passed after 300 ms,
/// `-` failed at once, `~` hung until the time-out, `?` void.
struct Bench {
    judge: Judge,
    dice: Dice,
    now: Moment,
}

impl Bench {
    fn new(check: Arc<Check>, seed: u64) -> Self {
        let first = Moment(seed % 7_000_000_000);
        Bench {
            judge: Judge::new(check, stable_hash("k") ^ mix(seed), first, None),
            dice: Dice::seeded(seed),
            now: first,
        }
    }

    fn probe(&mut self, what: char) -> Option<Change> {
        let started = self.judge.due();
        assert!(started >= self.now, "a probe is due before the last one ended");
        let (mut outcome, took) = match what {
            '+' => (Outcome::passed("open"), MS),
            's' => (Outcome::passed("open"), MS * 300),
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
    judge.level = Level::Down;
    judge.count(&Outcome::passed("open"), Kind::Recheck, MS, Moment(1));
    judge.count(&Outcome::passed("open"), Kind::Recheck, MS, Moment(2));
    assert_eq!(judge.sight().standing, Standing::Down);
    assert_eq!(judge.tally.successes, 0);
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
fn in_haste_a_target_that_hangs_falls_within_its_time_outs() {
    for failed_before in 0..3 {
        let mut bench = Bench::new(defaults(), 9);
        bench.standing_after("++");
        for _ in 0..failed_before {
            bench.probe('~');
        }
        let asked = bench.now;
        bench.judge.hasten(asked.after(MS));
        while bench.judge.sight().standing != Standing::Down {
            bench.probe('~');
        }
        let took = bench.now.since(asked);
        let left = 3 - failed_before;
        assert!(took <= MS * (left * 3_000 + 200), "{took:?} after {failed_before} failures");
    }
}

#[test]
fn haste_asks_no_refusing_target_more_often_and_no_calm_one_twice() {
    let mut bench = Bench::new(defaults(), 9);
    bench.standing_after("++");
    bench.judge.hasten(bench.now.after(MS));
    for _ in 0..2 {
        bench.probe('-');
        bench.judge.hasten(bench.now.after(MS));
        assert_eq!(bench.judge.due().since(bench.now), MS * 999, "from the start of that probe");
    }
    let mut calm = Bench::new(check(10_000, 3_000, 3, 2, None), 9);
    calm.standing_after("++-");
    let due = calm.judge.due();
    calm.judge.hasten(calm.now.after(MS));
    assert_eq!(calm.judge.due(), due);
}

#[test]
fn what_is_down_can_be_looked_at_once_more_at_once_and_does_not_rise_by_it() {
    let mut bench = Bench::new(check(10_000, 3_000, 3, 1, Some(1_000)), 9);
    bench.standing_after("+---");
    bench.judge.hasten(bench.now.after(MS * 100));
    assert_eq!(bench.judge.due().since(bench.now), MS * 100);
    assert_eq!(bench.standing_after("+"), Standing::Down);
    assert_eq!(bench.standing_after("+"), Standing::Up);
}

#[test]
fn phases_are_even_over_the_interval() {
    let mut tenths = [0; 10];
    for target in 0..1_000 {
        let hash = stable_hash(&format!("192.0.2.1:{target}/tcp"));
        let due = Judge::new(defaults(), hash, Moment(5), None).regular;
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
    assert_eq!(bench.judge.tally.failures, 2);
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
    assert_eq!(bench.judge.tally.failures, 1);
}

fn with(change: impl FnOnce(&mut Check)) -> Arc<Check> {
    let mut check = Check::clone(&defaults());
    change(&mut check);
    Arc::new(check)
}

/// Fails three probes of ten, none after another.
const LOSSY: &str = "+-++-++-++";

#[test]
fn intermittent_loss_adds_up_only_where_the_check_says_so() {
    let leaky = Some(Leaky { failures: 10, reset_after: 10 });
    let mut bench = Bench::new(with(|check| check.leaky = leaky), 5);
    let down = LOSSY.repeat(4).chars().find_map(|what| {
        bench.probe(what).filter(|change| change.sight.standing == Standing::Down)
    });
    assert_eq!(
        down.map(|change| change.reason.to_string()).as_deref(),
        Some("refused, leaky 10/10")
    );
    assert_eq!(Bench::new(defaults(), 5).standing_after(&LOSSY.repeat(400)), Standing::Up);
}

#[test]
fn enough_passes_in_a_row_forget_intermittent_loss() {
    let leaky = Some(Leaky { failures: 4, reset_after: 6 });
    for (results, expected) in [
        ("+-+-+-+-", Standing::Down),
        // The pass after a failure is a recheck and does not count.
        ("+-+-+-+++++-", Standing::Down),
        ("+-+-+-+++++++-", Standing::Up),
        ("+---", Standing::Down),
    ] {
        let mut bench = Bench::new(with(|check| check.leaky = leaky), 6);
        assert_eq!(bench.standing_after(results), expected, "{results}");
    }
}

#[test]
fn slow_passes_degrade_and_fast_ones_mend() {
    let check = with(|check| {
        check.max_latency = Some(MS * 200);
        check.fast_recheck = None;
    });
    let mut bench = Bench::new(check, 7);
    let mut told = |what| bench.probe(what).map(|change| change.reason.to_string());
    assert_eq!(told('s').as_deref(), Some("open in 300 ms"), "the first alone degrades nobody");
    assert_eq!(told('s'), None);
    assert_eq!(told('s').as_deref(), Some("slow: open in 300 ms 3/3"));
    assert_eq!(told('+'), None);
    assert_eq!(told('s'), None);
    assert_eq!(told('+'), None);
    assert_eq!(told('+').as_deref(), Some("open in 1 ms"));
    assert_eq!(bench.judge.sight().standing, Standing::Up);
    assert_eq!(bench.standing_after("sss"), Standing::Degraded);
    assert_eq!(bench.standing_after("---"), Standing::Down, "falling is falling");
    assert_eq!(bench.standing_after("++"), Standing::Up, "and who rises fast is not slow");
}

/// The moments at which `bench` changes how it stands, while it fails and passes by turns as
/// `what` says, for an hour.
fn changes(bench: &mut Bench, mut what: impl FnMut(&Judge) -> char) -> Vec<Moment> {
    let end = bench.now.after(Duration::from_secs(3_600));
    let mut changes = Vec::new();
    while bench.now < end {
        let before = bench.judge.sight().standing;
        bench.probe(what(&bench.judge));
        let after = bench.judge.sight().standing;
        if before != Standing::Unknown && before != after {
            changes.push(bench.now);
        }
    }
    changes
}

/// The most of them in any minute.
fn most_in_a_minute(changes: &[Moment]) -> usize {
    let minute = Duration::from_secs(60);
    let in_minute =
        |from: &Moment| changes.iter().filter(|at| *at >= from && at.since(*from) < minute).count();
    changes.iter().map(in_minute).max().unwrap_or(0)
}

#[test]
fn a_flapping_target_changes_twice_a_minute_at_most_and_three_times_in_its_first() {
    let nervous = |hold_down| {
        let mut nervous = Check::clone(&check(1_000, 100, 1, 1, None));
        nervous.hold_down = hold_down;
        Arc::new(nervous)
    };
    // Whoever wants to change as often as it can fails while it is up and passes while it is down.
    let contrary = |judge: &Judge| if judge.sight().standing == Standing::Up { '-' } else { '+' };
    let held = Some(Duration::from_secs(3));
    let all = changes(&mut Bench::new(nervous(held), 8), contrary);
    assert_eq!(most_in_a_minute(&all), 3);
    // Falls further than that apart: the hold-down has grown to five minutes.
    assert!(all.len() <= 32, "{} changes in an hour", all.len());
    let later: Vec<Moment> =
        all.iter().copied().filter(|at| at.since(all[0]) > MS * 60_000).collect();
    assert_eq!(most_in_a_minute(&later), 2);
    let undamped = changes(&mut Bench::new(nervous(None), 8), contrary);
    assert!(most_in_a_minute(&undamped) > 50, "off is off");
}

#[test]
fn a_fall_is_never_held_up() {
    let held = Some(Duration::from_secs(3_000));
    let mut bench = Bench::new(with(|check| check.hold_down = held), 9);
    bench.standing_after("+---");
    while bench.judge.sight().standing == Standing::Down {
        bench.probe('+');
    }
    let death = bench.now;
    assert!(bench.detection(death, '-') <= MS * 12_010);
}

proptest! {
    #[test]
    fn no_results_whatever_change_a_target_more_than_three_times_a_minute(
        interval in 200u64..20_000,
        fall in 1u32..4,
        rise in 1u32..4,
        recheck in proptest::option::of(50u64..5_000),
        hold in 1u64..60,
        lost in 1u64..100,
        seed in any::<u64>(),
    ) {
        let mut nervous = Check::clone(&check(interval, interval / 3 + 10, fall, rise, recheck));
        nervous.hold_down = Some(Duration::from_secs(hold));
        let mut chance = Dice::seeded(seed);
        let all = changes(&mut Bench::new(Arc::new(nervous), seed), |_| {
            if chance.roll() % 100 < lost { '-' } else { '+' }
        });
        prop_assert!(most_in_a_minute(&all) <= 3, "{all:?}");
    }
}
