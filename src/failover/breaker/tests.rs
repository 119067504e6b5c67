//! Outages of every size on a clock of their own.

use super::*;
use std::cell::{Cell, RefCell};

fn ms(at: u64) -> Moment {
    Moment(at * 1_000_000)
}

/// What probes would testify: answers and failures, as (when, who); and how often that was asked.
#[derive(Default)]
struct Seen {
    answers: RefCell<Vec<(Moment, String)>>,
    failures: RefCell<Vec<(Arc<str>, Moment)>>,
    looks: Cell<usize>,
}

impl Proof for Seen {
    fn answered_since(&self, since: Moment, except: &str) -> bool {
        self.looks.set(self.looks.get() + 1);
        self.answers.borrow().iter().rev().any(|(at, key)| *at > since && key != except)
    }
    fn failures(&self) -> Vec<(Arc<str>, Moment)> {
        self.failures.take()
    }
}

struct Bench {
    breaker: Breaker,
    seen: Seen,
}

impl Bench {
    /// Targets as `group/name`.
    fn over(targets: &[&str]) -> Bench {
        Bench::with(targets.iter().map(|key| subject(key)), Settings::default())
    }

    fn with(subjects: impl Iterator<Item = Subject>, settings: Settings) -> Bench {
        let mut breaker = Breaker::default();
        breaker.arrange(subjects, settings);
        Bench { breaker, seen: Seen::default() }
    }

    fn rose(&mut self, key: &str) -> Step {
        self.breaker.rose(&key.into())
    }

    fn fails_again(&self, key: &str, at: u64) {
        self.seen.failures.borrow_mut().push((key.into(), ms(at)));
    }

    /// Steps whenever the breaker wants to be, up to `until`; all that came of it.
    fn pass(&mut self, until: u64) -> Step {
        let mut all = Step::default();
        while let Some(wake) = self.breaker.wake().filter(|wake| *wake <= ms(until)) {
            all.merge(self.breaker.step(wake, &self.seen));
        }
        all
    }

    fn answer(&self, key: &str, at: u64) {
        self.seen.answers.borrow_mut().push((ms(at), key.into()));
    }

    fn fell(&mut self, key: &str, first: u64, now: u64) -> Step {
        let fall = Fall { first_failure: ms(first), answered: false, was_up: true };
        self.breaker.fell(&key.into(), fall, ms(now), &self.seen)
    }

    fn step(&mut self, now: u64) -> Step {
        self.breaker.step(ms(now), &self.seen)
    }
}

fn subject(key: &str) -> Subject {
    let group = key.split('/').next().unwrap().into();
    Subject { key: key.into(), group, role: Role::Answered, can_be_asked: true }
}

fn keys(keys: &[Arc<str>]) -> Vec<&str> {
    let mut keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_fall_with_a_witness_takes_effect_at_once() {
    let mut bench = Bench::over(&["a/1", "b/1"]);
    bench.answer("b/1", 1_500);
    let step = bench.fell("a/1", 1_000, 3_000);
    assert_eq!(keys(&step.down), ["a/1"]);
    assert!(!step.call && bench.breaker.wake().is_none());
}

#[test]
fn an_answer_before_the_first_failure_is_no_witness_and_others_are_asked() {
    let mut bench = Bench::over(&["a/1", "a/2", "b/1", "b/2", "c/1"]);
    bench.answer("b/1", 900);
    let step = bench.fell("a/1", 1_000, 3_000);
    assert!(step.down.is_empty());
    assert_eq!(keys(&step.ask), ["b/1", "c/1"]);
    assert_eq!(keys(&step.hasten), ["a/2"], "the rest of its group is looked at");
    assert!(bench.breaker.wants_answers());
    bench.answer("b/1", 3_010);
    assert_eq!(keys(&bench.step(3_010).down), ["a/1"]);
}

#[test]
fn its_own_answer_before_it_failed_again_is_no_witness() {
    let mut bench = Bench::over(&["a/1", "b/1"]);
    bench.answer("a/1", 1_500);
    assert!(bench.fell("a/1", 1_000, 3_000).down.is_empty());
}

#[test]
fn a_failure_that_is_itself_an_answer_needs_no_witness() {
    let mut bench = Bench::over(&["a/1", "b/1"]);
    let fall = Fall { first_failure: ms(1), answered: true, was_up: true };
    let step = bench.breaker.fell(&"a/1".into(), fall, ms(2), &bench.seen);
    assert_eq!(keys(&step.down), ["a/1"]);
}

#[test]
fn the_only_target_falls_by_itself() {
    let mut bench = Bench::over(&["a/1"]);
    assert_eq!(keys(&bench.fell("a/1", 1, 2).down), ["a/1"]);
}

#[test]
fn cut_off_nothing_falls_however_long_it_takes() {
    let mut bench = Bench::over(&["a/1", "b/1"]);
    for (at, key) in [(1_000, "a/1"), (2_000, "b/1")] {
        assert!(bench.fell(key, at, at + 500).down.is_empty());
    }
    let step = bench.step(2_600);
    assert_eq!(step.news, [News::CutOff { falls: 2 }]);
    for at in (3..3_600).map(|s| s * 1_000) {
        assert!(bench.step(at).down.is_empty());
    }
    assert_eq!(bench.breaker.summary().cut_off, Some((ms(2_600), 2)));
}

#[test]
fn after_a_cut_off_whoever_answers_never_fell_and_whoever_fails_again_does() {
    let mut bench = Bench::over(&["a/1", "b/1", "c/1"]);
    for key in ["a/1", "b/1", "c/1"] {
        bench.fell(key, 1_000, 1_500);
    }
    bench.step(2_600);
    bench.answer("b/1", 9_000);
    assert_eq!(bench.rose("b/1"), Step::default());
    let step = bench.step(9_001);
    assert_eq!(step.news, [News::Reconnected]);
    assert_eq!(keys(&step.hasten), ["a/1", "c/1"]);
    assert!(step.down.is_empty(), "they fell while we were away");
    bench.rose("a/1");
    assert!(bench.step(9_010).down.is_empty());
    bench.fails_again("c/1", 8_900);
    assert!(bench.step(9_015).down.is_empty(), "that probe began while we were away");
    bench.fails_again("c/1", 9_020);
    assert_eq!(keys(&bench.step(9_020).down), ["c/1"]);
}

#[test]
fn one_region_of_two_always_goes() {
    let mut bench = Bench::over(&["a/1", "a/2", "b/1"]);
    bench.answer("b/1", 2_000);
    assert_eq!(keys(&bench.fell("a/1", 1_000, 3_000).down), ["a/1"]);
    assert_eq!(keys(&bench.fell("a/2", 1_000, 3_001).down), ["a/2"]);
    assert!(bench.breaker.summary().mass.is_none());
}

#[test]
fn two_regions_of_three_are_held_whole_and_take_effect_after_the_hold() {
    let mut bench = Bench::over(&["a/1", "b/1", "b/2", "b/3", "c/1"]);
    bench.answer("c/1", 2_000);
    assert_eq!(keys(&bench.fell("a/1", 1_000, 3_000).down), ["a/1"]);
    assert_eq!(keys(&bench.fell("b/1", 1_000, 3_001).down), ["b/1"]);
    assert_eq!(keys(&bench.fell("b/2", 1_000, 3_002).down), ["b/2"]);
    let step = bench.fell("b/3", 1_000, 3_003);
    assert!(step.down.is_empty());
    assert_eq!(keys(&step.back), ["b/1", "b/2"], "its region stays as it was");
    let hold = Duration::from_secs(120);
    assert_eq!(step.news, [News::Mass { lost: 2, groups: 3, hold }]);
    // Whatever falls now is held too, its witness notwithstanding.
    bench.answer("a/1", 9_000);
    assert!(bench.fell("c/1", 8_000, 10_000).down.is_empty());
    assert_eq!(bench.breaker.wake(), Some(ms(4_003)), "the clock is watched meanwhile");
    assert!(bench.pass(123_002).down.is_empty());
    assert_eq!(bench.breaker.wake(), Some(ms(123_003)));
    let step = bench.step(123_003);
    assert_eq!(keys(&step.down), ["b/1", "b/2", "b/3", "c/1"]);
    assert_eq!(step.news, [News::Released { falls: 4, confirmed: false }]);
    assert!(bench.breaker.wake().is_none());
}

#[test]
fn a_held_mass_failure_can_be_confirmed_and_can_go_away() {
    let mut bench = Bench::over(&["a/1", "b/1", "c/1"]);
    bench.answer("c/1", 2_000);
    bench.fell("a/1", 1_000, 3_000);
    bench.fell("b/1", 1_000, 3_001);
    let mut other = Bench { breaker: bench.breaker.clone(), seen: Seen::default() };
    assert_eq!(keys(&bench.breaker.confirm(ms(5_000)).down), ["b/1"]);
    assert_eq!(other.rose("b/1").news, [News::Recovered]);
    assert!(other.breaker.summary().mass.is_none());
}

#[test]
fn losses_far_apart_are_no_mass_failure() {
    let mut bench = Bench::over(&["a/1", "b/1", "c/1"]);
    bench.answer("c/1", 900_000);
    assert_eq!(keys(&bench.fell("a/1", 1_000, 3_000).down), ["a/1"]);
    assert_eq!(keys(&bench.fell("b/1", 100_000, 101_000).down), ["b/1"]);
}

#[test]
fn what_was_never_seen_up_is_no_loss() {
    let mut bench = Bench::over(&["a/1", "b/1", "c/1"]);
    bench.answer("c/1", 5);
    for key in ["a/1", "b/1"] {
        let fall = Fall { first_failure: ms(1), answered: false, was_up: false };
        assert_eq!(keys(&bench.breaker.fell(&key.into(), fall, ms(6), &bench.seen).down), [key]);
    }
}

#[test]
fn a_new_plan_keeps_what_is_known_and_forgets_who_left() {
    let mut bench = Bench::over(&["a/1", "b/1", "c/1"]);
    bench.answer("c/1", 2_000);
    bench.fell("a/1", 1_000, 3_000);
    bench.fell("b/1", 1_000, 3_001);
    bench.breaker.arrange(["a/1", "b/1", "c/1", "d/1"].map(subject), Settings::default());
    assert_eq!(bench.breaker.held_as("b/1"), Some(Held::Mass));
    let step = bench.rose("a/1");
    assert!(step.news.is_empty());
    // What was held is gone: so is the alarm, with a word.
    bench.breaker.arrange([subject("c/1")], Settings::default());
    assert_eq!(bench.step(200_000).news, [News::Recovered]);
    assert_eq!(bench.step(200_001), Step::default());
}

#[test]
fn guards_are_asked_although_no_other_target_is_up_and_again_while_we_are_cut_off() {
    let settings = Settings { guards: true, ..Settings::default() };
    let mut bench = Bench::with([subject("a/1")].into_iter(), settings);
    let step = bench.fell("a/1", 1_000, 3_000);
    assert!(step.down.is_empty() && step.ask.is_empty() && step.call, "{step:?}");
    assert!(bench.step(3_250).call, "and again, until one has answered");
    bench.answer("guard:192.0.2.1:53", 3_300);
    assert_eq!(keys(&bench.step(3_300).down), ["a/1"]);

    let mut bench = Bench::with([subject("a/1")].into_iter(), settings);
    bench.fell("a/1", 1_000, 3_000);
    assert_eq!(bench.pass(4_000).news, [News::CutOff { falls: 1 }]);
    let calls = (4_001..60_000).filter(|at| bench.step(*at).call).count();
    assert_eq!(calls, 11, "every five seconds");
}

#[test]
fn witnesses_are_asked_in_turn_and_never_one_that_only_sends_heartbeats() {
    let pushed = |key| Subject { can_be_asked: false, ..subject(key) };
    let subjects = [subject("a/1"), pushed("b/1"), subject("b/2"), subject("b/3")];
    let mut bench = Bench::with(subjects.into_iter(), Settings::default());
    let mut asked = bench.fell("a/1", 1_000, 3_000).ask;
    for at in [3_250, 3_500, 3_750] {
        asked.extend(bench.step(at).ask);
    }
    assert_eq!(asked.iter().map(|key| &**key).collect::<Vec<_>>(), ["b/2", "b/2", "b/3", "b/2"]);
}

#[test]
fn where_only_heartbeats_could_be_witnesses_they_are_waited_for() {
    let pushed = ["a/1", "b/1"].map(|key| Subject { can_be_asked: false, ..subject(key) });
    let mut bench = Bench::with(pushed.into_iter(), Settings::default());
    bench.fell("a/1", 1_000, 3_000);
    assert!(bench.pass(30_000).news.is_empty(), "the other one is not even late");
    bench.answer("b/1", 30_000);
    assert_eq!(keys(&bench.step(30_001).down), ["a/1"]);
    bench.fell("b/1", 40_000, 41_000);
    let news = bench.pass(41_000 + 33_000).news;
    assert_eq!(news, [News::CutOff { falls: 1 }], "longer than anything takes to be seen");
}

#[test]
fn what_is_only_observed_keeps_no_region_up_and_may_be_a_witness() {
    let observed = Subject { role: Role::Observed, ..subject("b/2") };
    let subjects = [subject("a/1"), subject("b/1"), observed, subject("c/1")];
    let mut bench = Bench::with(subjects.into_iter(), Settings::default());
    assert_eq!(bench.fell("b/2", 1, 2), Step::default());
    bench.answer("b/2", 2_000);
    assert_eq!(keys(&bench.fell("a/1", 1_000, 3_000).down), ["a/1"]);
    let hold = Duration::from_secs(120);
    let step = bench.fell("b/1", 1_000, 3_001);
    assert_eq!(step.news, [News::Mass { lost: 2, groups: 3, hold }]);
}

fn gate(key: &str) -> Subject {
    Subject { role: Role::Gate, ..subject(key) }
}

#[test]
fn a_gate_falls_with_a_witness_is_held_while_we_are_cut_off_and_may_be_asked() {
    let subjects = [subject("a/1"), gate("db/1"), gate("queue/1")];
    let mut bench = Bench::with(subjects.into_iter(), Settings::default());
    let step = bench.fell("db/1", 1_000, 3_000);
    assert!(step.down.is_empty() && step.hasten.is_empty(), "{step:?}");
    assert_eq!(keys(&step.ask), ["a/1", "queue/1"]);
    assert_eq!(bench.pass(4_000).news, [News::CutOff { falls: 1 }]);
    assert_eq!(bench.breaker.held_as("db/1"), Some(Held::CutOff));
    bench.answer("a/1", 9_000);
    assert_eq!(keys(&bench.step(9_000).hasten), ["db/1"]);
    bench.fails_again("db/1", 9_001);
    assert_eq!(keys(&bench.step(9_100).down), ["db/1"]);
    // With one endpoint it is a gate that says whether we are cut off.
    let step = bench.fell("a/1", 20_000, 21_000);
    assert_eq!(keys(&step.ask), ["queue/1"]);
    bench.answer("queue/1", 21_100);
    assert_eq!(keys(&bench.step(21_100).down), ["a/1"]);
}

#[test]
fn gates_neither_make_up_a_mass_failure_nor_are_held_by_one() {
    let regions = ["a/1", "b/1", "c/1"].map(subject);
    let gates = ["g/1", "h/1", "i/1", "j/1"].map(gate);
    let mut bench = Bench::with(regions.into_iter().chain(gates), Settings::default());
    bench.answer("c/1", 2_000);
    bench.answer("a/1", 2_000);
    for key in ["g/1", "h/1", "i/1"] {
        assert_eq!(keys(&bench.fell(key, 1_000, 3_000).down), [key]);
    }
    assert_eq!(keys(&bench.fell("a/1", 1_000, 3_000).down), ["a/1"], "one region of three");
    let hold = Duration::from_secs(120);
    let step = bench.fell("b/1", 1_000, 3_001);
    assert_eq!(step.news, [News::Mass { lost: 2, groups: 3, hold }]);
    assert_eq!(keys(&bench.fell("j/1", 1_000, 3_002).down), ["j/1"]);
}

#[test]
fn a_hold_that_ends_while_we_stand_still_lets_fall_only_what_fails_once_more() {
    for stood_still in [60_000, 200_000] {
        let mut bench = Bench::over(&["a/1", "b/1", "c/1"]);
        bench.answer("c/1", 2_000);
        bench.fell("a/1", 1_000, 3_000);
        bench.fell("b/1", 1_000, 3_001);
        bench.answer("a/1", 9_000);
        bench.fell("c/1", 8_000, 10_000);
        // Stopped at ten seconds, over the deadline or not.
        bench.pass(10_000);
        let mut step = bench.step(stood_still);
        step.merge(bench.pass(200_000));
        assert!(step.down.is_empty(), "{step:?}");
        assert_eq!(step.news, [News::Doubted { falls: 2 }]);
        assert_eq!(keys(&step.hasten), ["b/1", "c/1"]);
        bench.rose("b/1");
        bench.fails_again("c/1", 200_001);
        assert_eq!(keys(&bench.step(200_002).down), ["c/1"]);
    }
}

/// Ten thousand targets that were cut off for a minute come back, eleven of a hundred dead: what
/// that costs is counted in questions to the proof and in targets probed out of turn.
#[test]
fn a_cut_off_of_ten_thousand_costs_what_changes() {
    let all: Vec<String> = (0..10_000).map(|n| format!("r{}/{n}", n % 20)).collect();
    let keys: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut bench = Bench::over(&keys);
    let mut asked = 0;
    for (n, key) in keys.iter().enumerate() {
        let now = 1_000 + n as u64 / 10;
        asked += bench.fell(key, now - 1, now).ask.len();
        asked += bench.pass(now).ask.len();
    }
    asked += bench.pass(60_000).ask.len();
    assert!(asked <= 20 * 17, "{asked} probes in a minute for want of a witness");
    assert_eq!(bench.breaker.summary().cut_off.map(|(_, falls)| falls), Some(10_000));
    assert!(bench.seen.looks.get() <= 10_000 + 5_000, "{}", bench.seen.looks.get());

    // Somebody answers; then everybody does, or fails again, a thousand a second.
    bench.answer("r0/0", 60_000);
    let step = bench.step(60_001);
    assert_eq!((step.hasten.len(), &step.news[..]), (10_000, &[News::Reconnected][..]));
    bench.seen.looks.set(0);
    let (mut steps, mut down) = (0, 0);
    for (n, key) in keys.iter().enumerate() {
        let now = 60_002 + n as u64;
        if n % 9 == 0 {
            bench.fails_again(key, now);
        } else {
            bench.answer(key, now);
            bench.rose(key);
        }
        down += bench.step(now).down.len();
        steps += 1;
    }
    assert_eq!((steps, down), (10_000, 10_000_usize.div_ceil(9)));
    assert_eq!(bench.seen.looks.get(), 0, "nobody waits for a witness any more");
    assert!(bench.breaker.waiting.is_empty() && !bench.breaker.wants_answers());
}

mod properties {
    //! Whatever happens, in any order.

    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Event {
        Falls(usize, bool),
        Rises(usize),
        Answers(usize),
        Passes(u64),
        Confirm,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0..9usize, any::<bool>()).prop_map(|(k, a)| Event::Falls(k, a)),
            2 => (0..9usize).prop_map(Event::Rises),
            2 => (0..9usize).prop_map(Event::Answers),
            3 => (1..90_000u64).prop_map(Event::Passes),
            1 => Just(Event::Confirm),
        ]
    }

    proptest! {
        #[test]
        fn a_target_is_up_down_or_held_and_told_exactly_when_it_changes(
            events in prop::collection::vec(event(), 0..80)
        ) {
            const KEYS: [&str; 9] =
                ["a/1", "a/2", "a/3", "b/1", "b/2", "b/3", "c/1", "c/2", "c/3"];
            let mut bench = Bench::over(&KEYS);
            let mut down: std::collections::BTreeSet<Arc<str>> = Default::default();
            let mut judged = [true; 9];
            let mut now = 1_000;
            for event in events {
                now += 1;
                let mut step = match event {
                    Event::Falls(at, answered) => {
                        if !std::mem::replace(&mut judged[at], false) { continue }
                        let fall = Fall { first_failure: ms(now - 1), answered, was_up: true };
                        bench.breaker.fell(&KEYS[at].into(), fall, ms(now), &bench.seen)
                    }
                    Event::Rises(at) => {
                        judged[at] = true;
                        down.remove(KEYS[at]);
                        bench.answer(KEYS[at], now);
                        bench.rose(KEYS[at])
                    }
                    Event::Answers(at) => {
                        if judged[at] { bench.answer(KEYS[at], now) }
                        Step::default()
                    }
                    Event::Passes(by) => { now += by; Step::default() }
                    Event::Confirm => bench.breaker.confirm(ms(now)),
                };
                step.merge(bench.step(now));
                for key in &step.back {
                    prop_assert!(down.remove(key), "{key} was not down");
                }
                for key in &step.down {
                    prop_assert!(down.insert(Arc::clone(key)), "{key} went twice");
                }
                for (at, key) in KEYS.iter().enumerate() {
                    let held = bench.breaker.held_as(key).is_some();
                    let is_down = down.contains(*key);
                    prop_assert_eq!(judged[at], !held && !is_down, "{} at {}", key, now);
                    prop_assert!(!(held && is_down));
                }
                if let Some(wake) = bench.breaker.wake() {
                    prop_assert!(wake > ms(now), "it would be woken for ever");
                }
            }
            // Left alone among answers, nothing stays held.
            bench.answer("a guard", now + 200_000);
            for later in 1..6 {
                let at = now + later * 130_000 + 200_000;
                bench.step(at);
                for (target, key) in KEYS.iter().enumerate() {
                    if !judged[target] { bench.fails_again(key, at + 1) }
                }
                bench.step(at + 1);
            }
            prop_assert!(KEYS.iter().all(|key| bench.breaker.held_as(key).is_none()));
        }
    }
}

/// After a restart nobody knows since when those who are down have been: they count as lost with
/// what falls next, though they fell before this process began.
#[test]
fn what_is_down_since_before_a_restart_counts_with_what_falls_after_it() {
    let mut bench = Bench::over(&["a/1", "a/2", "b/1", "c/1"]);
    bench.answer("c/1", 90_000);
    for key in ["a/1", "a/2"] {
        bench.breaker.is_down_since_before(&key.into(), ms(1));
    }
    let step = bench.fell("b/1", 1_000, 3_000);
    assert!(step.down.is_empty() && step.back.is_empty(), "{step:?}");
    assert_eq!(bench.breaker.held_as("b/1"), Some(Held::Mass));
    assert_eq!(step.news, [News::Mass { lost: 2, groups: 3, hold: Duration::from_secs(120) }]);
}

#[test]
fn a_group_of_which_one_was_down_before_a_restart_is_not_lost() {
    let mut bench = Bench::over(&["a/1", "a/2", "b/1", "c/1"]);
    bench.answer("c/1", 90_000);
    bench.breaker.is_down_since_before(&"a/1".into(), ms(1));
    assert_eq!(keys(&bench.fell("b/1", 1_000, 3_000).down), ["b/1"]);
    // The last of it is one group too many, and those of it who were dead before stay so.
    let step = bench.fell("a/2", 2_000, 4_000);
    assert_eq!(bench.breaker.held_as("a/2"), Some(Held::Mass));
    assert!(step.down.is_empty() && step.back.is_empty(), "{step:?}");
}

#[test]
fn long_after_a_restart_one_region_more_falls_at_once() {
    let mut bench = Bench::over(&["a/1", "b/1", "c/1"]);
    bench.answer("c/1", 90_000);
    bench.breaker.is_down_since_before(&"a/1".into(), ms(1));
    assert_eq!(keys(&bench.fell("b/1", 40_000, 42_000).down), ["b/1"]);
}
