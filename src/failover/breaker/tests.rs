//! Outages of every size on a clock of their own.

use super::*;
use std::cell::RefCell;

fn ms(at: u64) -> Moment {
    Moment(at * 1_000_000)
}

/// What probes would testify: answers and failures, as (when, who).
#[derive(Default)]
struct Seen {
    answers: RefCell<Vec<(Moment, String)>>,
    failures: RefCell<Vec<(Moment, String)>>,
}

impl Proof for Seen {
    fn answered_since(&self, since: Moment, except: &str) -> bool {
        self.answers.borrow().iter().any(|(at, key)| *at > since && key != except)
    }
    fn failed_since(&self, key: &str, since: Moment) -> bool {
        self.failures.borrow().iter().any(|(at, who)| *at > since && who == key)
    }
}

struct Bench {
    breaker: Breaker,
    seen: Seen,
}

impl Bench {
    /// Targets as `group/name`.
    fn over(targets: &[&str]) -> Bench {
        let mut breaker = Breaker::default();
        breaker.arrange(targets.iter().map(|key| ((*key).into(), group(key))), Settings::default());
        Bench { breaker, seen: Seen::default() }
    }

    fn answer(&self, key: &str, at: u64) {
        self.seen.answers.borrow_mut().push((ms(at), key.into()));
    }

    fn fell(&mut self, key: &str, first: u64, now: u64) -> Step {
        let fall = Fall { first_failure: ms(first), answered: false, was_up: true };
        self.breaker.fell(key, fall, ms(now), &self.seen)
    }

    fn step(&mut self, now: u64) -> Step {
        self.breaker.step(ms(now), &self.seen)
    }
}

fn group(key: &str) -> Arc<str> {
    key.split('/').next().unwrap().into()
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
    assert!(step.ask.is_empty() && bench.breaker.wake().is_none());
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
    let step = bench.breaker.fell("a/1", fall, ms(2), &bench.seen);
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
    assert_eq!(bench.breaker.rose("b/1"), Step::default());
    let step = bench.step(9_001);
    assert_eq!(step.news, [News::Reconnected]);
    assert_eq!(keys(&step.hasten), ["a/1", "c/1"]);
    assert!(step.down.is_empty(), "they fell while we were away");
    bench.breaker.rose("a/1");
    assert!(bench.step(9_010).down.is_empty());
    bench.seen.failures.borrow_mut().push((ms(9_020), "c/1".into()));
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
    assert_eq!(bench.breaker.wake(), Some(ms(123_003)));
    assert!(bench.step(123_002).down.is_empty());
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
    assert_eq!(other.breaker.rose("b/1").news, [News::Recovered]);
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
        assert_eq!(keys(&bench.breaker.fell(key, fall, ms(6), &bench.seen).down), [key]);
    }
}

#[test]
fn a_new_plan_keeps_what_is_known_and_forgets_who_left() {
    let mut bench = Bench::over(&["a/1", "b/1", "c/1"]);
    bench.answer("c/1", 2_000);
    bench.fell("a/1", 1_000, 3_000);
    bench.fell("b/1", 1_000, 3_001);
    let targets = ["a/1", "b/1", "c/1", "d/1"].map(|key| (key.into(), group(key)));
    bench.breaker.arrange(targets, Settings::default());
    assert_eq!(bench.breaker.held_as("b/1"), Some(Held::Mass));
    let step = bench.breaker.rose("a/1");
    assert!(step.news.is_empty());
    bench.breaker.arrange([("c/1".into(), group("c/1"))], Settings::default());
    assert_eq!(bench.step(200_000), Step::default());
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
                        bench.breaker.fell(KEYS[at], fall, ms(now), &bench.seen)
                    }
                    Event::Rises(at) => {
                        judged[at] = true;
                        down.remove(KEYS[at]);
                        bench.answer(KEYS[at], now);
                        bench.breaker.rose(KEYS[at])
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
            for (at, key) in KEYS.iter().enumerate() {
                if !judged[at] { bench.seen.failures.borrow_mut().push((ms(now + 10_000_000), (*key).into())) }
            }
            bench.answer("a guard", now + 200_000);
            for later in 1..6 {
                bench.step(now + later * 130_000 + 200_000);
            }
            prop_assert!(KEYS.iter().all(|key| bench.breaker.held_as(key).is_none()));
        }
    }
}
