//! Which step when, and what ends it all. Pure: time and what was seen go in, orders come out.
//!
//! ```text
//! before ──► steps ──► after ──► done
//!    └─────────┴── abort ──┘
//! ```

use crate::{
    clock::Moment,
    config::drill::{DrillDef, Mode},
};
use std::time::Duration;

/// After an abort the way back is looked at for so long at most: what was taken back is back by
/// then, or it has to do with something else.
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// Where a drill stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The steady state is looked at; nothing was done.
    Before,
    /// Steps are on, or wait for their time.
    Steps,
    /// Everything was taken back; the way back is looked at.
    After,
    /// It is over.
    Done,
}

impl Stage {
    /// In journals and for people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Stage::Before => "before",
            Stage::Steps => "steps",
            Stage::After => "after",
            Stage::Done => "done",
        }
    }
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Order {
    /// A stage begins.
    Enter(Stage),
    /// This step begins.
    Begin(usize),
    /// This step is over: it is taken back.
    End(usize),
    /// Everything is taken back at once, for this reason.
    Abort(String),
}

/// What there is to see.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen<'a> {
    /// Why the steady state is not what it should be.
    pub deviates: Option<&'a str>,
    /// Why everything has to end at once.
    pub abort: Option<&'a str>,
    /// Whether all is answered as before the drill.
    pub is_back: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Waiting,
    On(Moment),
    Over(Moment),
}

/// One drill.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    steps: Vec<(Plan, Step)>,
    before: Duration,
    after: Duration,
    until: Moment,
    stage: Stage,
    since: Moment,
    is_aborted: bool,
}

#[derive(Clone, Debug)]
struct Plan {
    after: Vec<usize>,
    delay: Duration,
    lasts: Duration,
}

impl Machine {
    /// `def`, begun `now`; one that only computes takes no time.
    pub(super) fn new(def: &DrillDef, now: Moment) -> Machine {
        let is_timed = *def.mode.get_ref() != Mode::Simulate;
        let time = |time: Duration| if is_timed { time } else { Duration::ZERO };
        let place = |id: &str| def.steps.iter().position(|step| *step.id.get_ref() == id);
        let step = |step: &crate::config::drill::StepDef| {
            let plan = Plan {
                after: step.after.iter().filter_map(|id| place(id.get_ref())).collect(),
                delay: time(step.delay),
                lasts: time(step.lasts.as_ref().map_or(Duration::ZERO, |lasts| *lasts.get_ref())),
            };
            (plan, Step::Waiting)
        };
        Machine {
            steps: def.steps.iter().map(step).collect(),
            before: time(def.before),
            after: time(def.after),
            until: now.after(*def.max_duration.get_ref()),
            stage: Stage::Before,
            since: now,
            is_aborted: false,
        }
    }

    /// Where it stands.
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// What is to be done at `now`.
    pub(super) fn advance(&mut self, now: Moment, seen: Seen<'_>) -> Vec<Order> {
        let mut orders = Vec::new();
        if !self.is_aborted && self.stage != Stage::Done {
            let late = (now >= self.until && self.stage != Stage::After)
                .then_some("`max_duration` has passed");
            if let Some(why) = seen.abort.or(late) {
                self.abort(why, now, &mut orders);
            }
        }
        match self.stage {
            Stage::Before if now.since(self.since) >= self.before => match seen.deviates {
                Some(why) => {
                    let why = format!("not started: {why}");
                    self.abort(&why, now, &mut orders);
                }
                None => {
                    self.enter(Stage::Steps, now, &mut orders);
                    self.steps(now, &mut orders);
                }
            },
            Stage::Before | Stage::Done => {}
            Stage::Steps => self.steps(now, &mut orders),
            Stage::After => {
                let most = if self.is_aborted { BACK_WITHIN } else { self.after };
                if seen.is_back || now.since(self.since) >= most {
                    self.enter(Stage::Done, now, &mut orders);
                }
            }
        }
        orders
    }

    fn enter(&mut self, stage: Stage, now: Moment, orders: &mut Vec<Order>) {
        (self.stage, self.since) = (stage, now);
        orders.push(Order::Enter(stage));
    }

    fn abort(&mut self, why: &str, now: Moment, orders: &mut Vec<Order>) {
        self.is_aborted = true;
        for (_, step) in &mut self.steps {
            *step = Step::Over(now);
        }
        orders.push(Order::Abort(why.to_owned()));
        self.enter(Stage::After, now, orders);
    }

    /// Ends what is over, then begins what may: a step that waits for another one begins when that
    /// one was taken back.
    fn steps(&mut self, now: Moment, orders: &mut Vec<Order>) {
        for index in 0..self.steps.len() {
            if let (plan, Step::On(since)) = &self.steps[index]
                && now.since(*since) >= plan.lasts
            {
                self.steps[index].1 = Step::Over(now);
                orders.push(Order::End(index));
            }
        }
        for index in 0..self.steps.len() {
            let (plan, Step::Waiting) = &self.steps[index] else { continue };
            let over = plan.after.iter().map(|&other| match self.steps[other].1 {
                Step::Over(at) => Some(at),
                _ => None,
            });
            let Some(over) = over.collect::<Option<Vec<Moment>>>() else { continue };
            let from = over.into_iter().max().unwrap_or(self.since);
            if now.since(from) >= plan.delay {
                self.steps[index].1 = Step::On(now);
                orders.push(Order::Begin(index));
            }
        }
        if self.steps.iter().all(|(_, step)| matches!(step, Step::Over(_))) {
            self.enter(Stage::After, now, orders);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Problems, drill::read};
    use std::path::Path;

    const DRILL: &str = r#"
[drill]
name = "x"
mode = "live"
max_duration = "1m"
before = "2s"
after = "20s"
[[step]]
id = "a"
action = "checker.isolate"
for = "5s"
[[step]]
id = "b"
action = "geo.bad"
after = ["a"]
delay = "3s"
for = "2s"
"#;

    struct Run(Machine);

    impl Run {
        fn new() -> Run {
            let mut problems = Problems::default();
            let def = read(&Path::new("drills/x.toml").into(), DRILL, &mut problems);
            Run(Machine::new(&def.unwrap(), Moment(0)))
        }
        fn at(&mut self, secs: u64, seen: Seen<'_>) -> Vec<Order> {
            self.0.advance(Moment(secs * 1_000_000_000), seen)
        }
    }

    #[test]
    fn steps_begin_and_end_in_their_time_and_then_the_way_back_is_looked_at() {
        let (mut run, quiet) = (Run::new(), Seen::default());
        let mut story = Vec::new();
        for secs in 0..40 {
            let seen = Seen { is_back: secs == 20, ..quiet };
            story.extend(run.at(secs, seen).into_iter().map(|order| (secs, order)));
        }
        assert_eq!(
            story,
            [
                (2, Order::Enter(Stage::Steps)),
                (2, Order::Begin(0)),
                (7, Order::End(0)),
                (10, Order::Begin(1)),
                (12, Order::End(1)),
                (12, Order::Enter(Stage::After)),
                (20, Order::Enter(Stage::Done)),
            ]
        );
    }

    #[test]
    fn what_is_not_steady_before_is_not_started() {
        let mut run = Run::new();
        let seen = Seen { deviates: Some("no answer from eu"), ..Seen::default() };
        assert!(run.at(1, seen).is_empty(), "it is looked at for a while");
        let orders = run.at(2, seen);
        assert_eq!(orders[0], Order::Abort("not started: no answer from eu".into()));
        assert!(!orders.iter().any(|order| matches!(order, Order::Begin(_))));
    }

    #[test]
    fn an_abort_ends_everything_at_once_and_only_once() {
        let (mut run, quiet) = (Run::new(), Seen::default());
        run.at(2, quiet);
        let seen = Seen { abort: Some("stop"), ..quiet };
        let aborted = [Order::Abort("stop".into()), Order::Enter(Stage::After)];
        assert_eq!(run.at(4, seen), aborted);
        assert!(run.at(5, seen).is_empty());
        assert_eq!(run.at(14, seen), [Order::Enter(Stage::Done)], "it waits for no more than 10 s");
    }

    #[test]
    fn no_drill_lasts_longer_than_it_may() {
        let (mut run, quiet) = (Run::new(), Seen::default());
        run.at(2, quiet);
        let orders = run.at(61, quiet);
        assert_eq!(orders[0], Order::Abort("`max_duration` has passed".into()));
    }
}
