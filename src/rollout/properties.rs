//! Random lives of a machine: whatever happens in whatever order, what must hold holds.
//!
//! The hand, the store and the judges around it are the test's own: asked-for weights come late,
//! twice or are refused, the process dies at any moment and is taken up from what was kept.

use super::{
    Run,
    kept::KeptRun,
    machine::Machine,
    model::{Effect, Given, Order, Outcome, Seen, Served, Stage, Word},
};
use crate::{
    clock::{Dice, Moment},
    config::rollouts::RolloutDef,
    measure::Measured,
    units::Share,
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

const LIVES: u64 = 2_000;
const EVENTS: usize = 120;
const SETTLE: Duration = Duration::from_secs(10);

fn def(reverse: bool) -> Arc<RolloutDef> {
    let on_fail = if reverse { "reverse" } else { "hold" };
    let text = format!(
        "record = \"z/r\"\nmember = \"m\"\nbake = \"20s\"\non_fail = \"{on_fail}\"\n\
         steps = [1, {{ weight = 10, pause = \"5s\" }}, {{ weight = 50, pause = true }}, 100]\n\
         progress_deadline = \"10m\"\n\
         analysis = [{{ name = \"e\", health = \"errors\", success = \"< 0.1\", interval = \"3s\" }}]\n"
    );
    Arc::new(RolloutDef::kept(&Path::new("r.toml").into(), &text).unwrap())
}

struct Life {
    machine: Machine,
    seen: Seen,
    dice: Dice,
    /// What was asked for and not done yet, each with what the hand's version was then.
    asked: Vec<(Effect, u64)>,
    /// Raised by whatever is done to the hand.
    version: u64,
    /// The rollout's override: what it gives, and its turn.
    own: Option<(Share, u64)>,
    /// The turn that was the newest when people had it go on: what they said by then it may hide.
    heard: u64,
    /// Whether somebody took its override away since.
    robbed: bool,
    /// Whether a figure was taken since it was last under a pin.
    fresh: bool,
    /// What was kept last.
    kept: KeptRun,
    /// When the share that is served was.
    since: Moment,
    /// Ever seen: what the lives went through.
    reached: BTreeSet<&'static str>,
    story: Vec<String>,
    /// The last step that people let it skip to.
    promoted: bool,
    /// What waits for a second person: its number, and the share.
    proposed: Option<(u64, Share)>,
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut dice = Dice::seeded(seed);
        let seen = Seen {
            now: Moment(1_000_000_000_000),
            settle: SETTLE,
            frozen: false,
            served: Served::Nothing,
            word: None,
            turn: 0,
            filed: Some(Share::from_fraction(0.05)),
            member_up: true,
            others_up: true,
        };
        let (machine, effects) = Machine::begin(def(dice.roll() & 3 > 0), &seen);
        let kept = keep(&machine, seen.now);
        let mut life = Life {
            machine,
            dice,
            asked: Vec::new(),
            version: 0,
            own: None,
            heard: 0,
            robbed: false,
            fresh: false,
            kept,
            since: seen.now,
            seen,
            reached: BTreeSet::new(),
            story: vec![format!("seed {seed}")],
            promoted: false,
            proposed: None,
        };
        life.take(effects);
        life
    }

    fn pick(&mut self, n: u64) -> u64 {
        self.dice.roll() % n
    }

    /// What the driver does with effects: keeps first, then asks.
    fn take(&mut self, effects: Vec<Effect>) {
        self.kept = keep(&self.machine, self.seen.now);
        for effect in effects {
            self.story.push(format!("  {effect:?}"));
            match &effect {
                Effect::Give { share, urgent, .. } => {
                    let next = self.machine.intended();
                    assert_eq!(next, Some(*share), "asks for what it intends: {}", self.told());
                    let is_own = matches!(
                        self.machine.stage(),
                        Stage::Reversing { outcome: Outcome::Reversed }
                    );
                    assert_eq!(*urgent, is_own, "{}", self.told());
                    assert!(
                        *share > Share::NONE || self.seen.others_up,
                        "takes from the last that is up: {}",
                        self.told()
                    );
                    let later = self.seen.word.as_ref().is_some_and(|w| w.turn > self.heard);
                    assert!(
                        *share == Share::NONE || !(later || self.robbed),
                        "goes over what somebody did later: {}",
                        self.told()
                    );
                    self.asked.push((effect, self.version));
                }
                Effect::TakeAway | Effect::Measure { .. } => {
                    self.asked.push((effect, self.version));
                }
                Effect::Withdraw { id } => {
                    // One that was confirmed meanwhile is as good as withdrawn.
                    let gone = self.proposed.take();
                    assert!(gone.is_none_or(|(gone, _)| gone == *id), "{}", self.told());
                }
                Effect::Tell(news) => drop(self.reached.insert(news.what)),
                Effect::Follow => {
                    let given = Served::Share(self.machine.def().last());
                    assert_eq!(self.seen.served, given, "{}", self.told());
                }
            }
        }
    }

    fn told(&self) -> String {
        self.story.join("\n")
    }

    /// Does the oldest thing that was asked for.
    fn answer(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let (effect, version) = self.asked.remove(0);
        let chance = self.pick(20);
        match effect {
            Effect::Withdraw { .. } => {}
            Effect::Measure { analysis, epoch } => {
                let measured = match chance {
                    0 => Measured::Value(0.9),
                    1 => Measured::Nothing("none".into()),
                    2..=4 => Measured::Error("refused".into()),
                    _ => Measured::Value(0.0),
                };
                let step = self.machine.at();
                let before = self.machine.tallies().to_vec();
                let effects = self.machine.measured(epoch, analysis, measured, &self.seen);
                self.fresh |= self.machine.tallies() != before || self.machine.at() != step;
                if self.machine.tallies() != before && self.machine.at() == step {
                    let judged = self.seen.now.since(self.since);
                    assert!(judged >= SETTLE, "judged after {judged:?}: {}", self.told());
                }
                self.take(effects);
            }
            // What gives clients does not go over what was said since it was asked for.
            Effect::Give { share, .. } if share > Share::NONE && version != self.version => {
                let effects = self.machine.given(Given::Done, &self.seen);
                self.take(effects);
            }
            Effect::Give { share, .. } if chance <= 3 => {
                let given = match chance {
                    0 => Given::Refused("a rule".into()),
                    1 => Given::NotYet { why: "a rule".into(), left: Duration::from_secs(7) },
                    2 => Given::NoShare("no other has a weight".into()),
                    _ => {
                        let id = self.dice.roll();
                        let before = self.proposed.replace((id, share));
                        assert_eq!(before, None, "{}", self.told());
                        Given::Proposed(id)
                    }
                };
                let effects = self.machine.given(given, &self.seen);
                self.take(effects);
            }
            Effect::Give { share, .. } => {
                self.serve(share);
                let effects = self.machine.given(Given::Done, &self.seen);
                self.take(effects);
            }
            Effect::TakeAway => {
                self.own = None;
                self.shows();
                let effects = self.machine.given(Given::Done, &self.seen);
                self.take(effects);
            }
            Effect::Tell(_) | Effect::Follow => {}
        }
    }

    fn serve(&mut self, share: Share) {
        if self.seen.served != Served::Share(share) {
            self.since = self.seen.now;
        }
        self.seen.turn += 1;
        self.own = Some((share, self.seen.turn));
        self.shows();
    }

    /// What the hand shows from here on.
    fn shows(&mut self) {
        self.version += 1;
        let word = self.seen.word.as_ref();
        let served = match self.own {
            None => Served::Nothing,
            Some((_, turn)) if word.is_some_and(|word| word.turn > turn) => {
                Served::Hidden("#7".into())
            }
            Some((share, _)) => Served::Share(share),
        };
        // What is changed under a pin and changed back it never sees.
        if served != self.seen.served && !self.seen.frozen {
            self.since = self.seen.now;
        }
        self.seen.served = served;
    }

    /// The process dies, and with it what was asked for; all, some or none of that had been done.
    fn crash(&mut self) {
        let done = self.pick(2) == 0;
        if let Some((Effect::Give { share, .. }, version)) = self.asked.first()
            && done
            && (*version == self.version || *share == Share::NONE)
        {
            self.serve(*share);
        }
        self.asked.clear();
        let before = (self.machine.at(), self.machine.word());
        let json = serde_json::to_string(&self.kept).unwrap();
        let kept: KeptRun = serde_json::from_str(&json).unwrap();
        self.machine = kept.restored(self.seen.now).unwrap().machine;
        assert_eq!((self.machine.at(), self.machine.word()), before, "{}", self.told());
        let effects = self.machine.step(&self.seen);
        self.take(effects);
    }

    fn happen(&mut self) {
        let what = self.pick(100);
        self.story.push(format!("{what} at {:?}: {}", self.seen.now, self.machine.word()));
        let order = |which| match which {
            0 => Order::Promote { full: false },
            1 => Order::Promote { full: true },
            2 => Order::Pause,
            3 => Order::Resume,
            4 => Order::Abort { break_glass: false },
            5 => Order::Retry,
            _ => Order::Undo,
        };
        match what {
            0..=44 => {
                let by = Duration::from_millis(100 + self.pick(6_000));
                self.seen.now = self.seen.now.after(by);
            }
            45..=74 => return self.answer(),
            75..=79 => return self.crash(),
            80..=85 => {
                let which = self.pick(7);
                let order = order(which);
                self.promoted |= matches!(order, Order::Promote { .. });
                let step = self.machine.at();
                let known = (self.heard, self.robbed);
                if matches!(order, Order::Promote { .. } | Order::Resume | Order::Retry) {
                    (self.heard, self.robbed) = (self.seen.turn, false);
                }
                let done = self.machine.order(order, "ana", &self.seen);
                if done.is_err() {
                    (self.heard, self.robbed) = known;
                }
                if let Ok(effects) = done {
                    self.reached.insert(order.word());
                    if matches!(order, Order::Pause | Order::Abort { .. } | Order::Undo) {
                        assert_eq!(self.machine.at(), step, "{}", self.told());
                    }
                    self.take(effects);
                }
                return;
            }
            86..=87 => (self.seen.frozen, self.fresh) = (!self.seen.frozen, false),
            88 => self.seen.filed = [None, Some(Share::ONE)][self.pick(2) as usize],
            89..=90 => self.seen.filed = Some(Share::from_fraction(0.05)),
            91 => self.seen.member_up = !self.seen.member_up,
            92 => self.seen.others_up = !self.seen.others_up,
            // Somebody confirms it or not, or it expires; what is confirmed is what was proposed.
            93..=95 if self.proposed.is_some() => {
                let proposed = self.proposed.take();
                if let Some((_, share)) = proposed.filter(|_| what != 94) {
                    self.serve(share);
                }
            }
            // Somebody else speaks, and takes that back.
            96 => {
                self.seen.turn += 1;
                self.seen.word = Some(Word { turn: self.seen.turn, said: "#7".into() });
                self.shows();
            }
            97 => {
                self.seen.word = None;
                self.shows();
            }
            // A pin of an hour, between two looks at figures.
            99 if !self.seen.frozen => {
                (self.seen.frozen, self.fresh) = (true, false);
                let effects = self.machine.step(&self.seen);
                self.take(effects);
                self.seen.now = self.seen.now.after(Duration::from_secs(3_600));
                self.seen.frozen = false;
            }
            // Somebody takes the rollout's override away.
            98 if self.own.take().is_some() => {
                self.robbed = true;
                self.shows();
            }
            _ => {}
        }
        let effects = self.machine.step(&self.seen);
        self.take(effects);
        self.look_at_proposal();
    }

    /// What the driver does after each look.
    fn look_at_proposal(&mut self) {
        if self.machine.proposed().is_none_or(|id| self.proposed.is_some_and(|(p, _)| p == id)) {
            return;
        }
        let (halted, wanted) = (self.machine.halt().is_some(), self.machine.intended());
        let effects = self.machine.proposal_gone(&self.seen);
        let is_there = wanted.is_some_and(|share| self.seen.served == Served::Share(share));
        let stops = self.machine.halt().is_some() && !halted;
        assert!(!(is_there && stops), "stops though it was confirmed: {}", self.told());
        self.take(effects);
    }

    fn check(&self, before: (usize, Stage)) {
        let (step, stage) = before;
        let machine = &self.machine;
        if let Some((id, share)) = self.proposed {
            let waits = (machine.proposed(), machine.intended());
            let told = self.told();
            assert_eq!(waits, (Some(id), Some(share)), "waits for what it does not want: {told}");
        }
        // Steps are never skipped by the machine itself: one at a time, and only after they baked.
        if machine.at() > step && !self.promoted {
            assert!(self.fresh, "goes on by what was seen before a pin: {}", self.told());
            assert_eq!(machine.at(), step + 1, "{}", self.told());
            assert!(matches!(stage, Stage::Baking | Stage::Waiting), "{}", self.told());
        }
        if machine.halt().is_some() {
            assert!(!machine.is_done(), "{}", self.told());
            assert_eq!(machine.wake(&self.seen), None, "{}", self.told());
        }
    }
}

fn keep(machine: &Machine, now: Moment) -> KeptRun {
    let run = Run::new(machine.clone(), "ana".into(), None, SystemTime::UNIX_EPOCH);
    KeptRun::of(&run, now)
}

#[test]
fn whatever_happens_no_step_is_skipped_repeated_or_judged_too_soon() {
    let mut reached = BTreeSet::new();
    for seed in 0..LIVES {
        let mut life = Life::new(seed);
        for _ in 0..EVENTS {
            let before = (life.machine.at(), life.machine.stage().clone());
            life.promoted = false;
            life.happen();
            life.check(before);
        }
        // Left alone by everybody, with good figures, it ends or waits for somebody.
        life.seen.frozen = false;
        (life.seen.member_up, life.seen.others_up) = (true, true);
        for _ in 0..400 {
            life.seen.now = life.seen.now.after(Duration::from_secs(3));
            let effects = life.machine.step(&life.seen);
            life.take(effects);
            while !life.asked.is_empty() {
                life.answer();
            }
            // Nobody confirms what waits.
            life.proposed = None;
            life.look_at_proposal();
        }
        let rests = life.machine.is_done()
            || life.machine.halt().is_some()
            || *life.machine.stage() == Stage::Waiting;
        assert!(rests, "stuck as {}: {}", life.machine.word(), life.told());
        reached.extend(life.reached);
    }
    for what in [
        "started",
        "step",
        "waiting",
        "paused",
        "resumed",
        "retried",
        "promoted",
        "reversing",
        "reversed",
        "aborted",
        "undone",
        "succeeded",
        "finished",
    ] {
        assert!(reached.contains(what), "no life came to `{what}`: {reached:?}");
    }
}

/// A machine at a step that waits to be promoted, with what it sees.
fn waiting() -> (Machine, Seen) {
    let text = "record = \"z/r\"\nmember = \"m\"\nbake = \"1s\"\n\
                steps = [{ weight = 10, pause = true }, 100]\n\
                analysis = [{ name = \"e\", health = \"errors\", success = \"< 0.1\", \
                interval = \"3s\", count = 1 }]\n";
    let def = Arc::new(RolloutDef::kept(&Path::new("r.toml").into(), text).unwrap());
    let mut seen = Seen {
        now: Moment(1_000_000_000_000),
        settle: Duration::from_secs(1),
        frozen: false,
        served: Served::Nothing,
        word: None,
        turn: 0,
        filed: Some(Share::NONE),
        member_up: true,
        others_up: true,
    };
    let (mut machine, _) = Machine::begin(def, &seen);
    seen.served = Served::Share(Share::from_fraction(0.1));
    machine.given(Given::Done, &seen);
    look(&mut machine, &mut seen, 0.0);
    assert_eq!(*machine.stage(), Stage::Waiting);
    (machine, seen)
}

/// Four seconds later it has to look, and sees this.
fn look(machine: &mut Machine, seen: &mut Seen, value: f64) -> Vec<Effect> {
    seen.now = seen.now.after(Duration::from_secs(4));
    let asked = machine.step(seen);
    let Some(Effect::Measure { analysis, epoch }) = asked.last() else {
        panic!("looks at nothing: {asked:?}");
    };
    machine.measured(*epoch, *analysis, Measured::Value(value), seen)
}

#[test]
fn a_step_that_waits_is_judged_and_taken_back_once_others_are_up() {
    let (mut machine, mut seen) = waiting();
    look(&mut machine, &mut seen, 0.0);
    assert_eq!(*machine.stage(), Stage::Waiting);
    seen.others_up = false;
    let effects = look(&mut machine, &mut seen, 0.9);
    assert!(matches!(machine.stage(), Stage::Reversing { .. }), "{effects:?}");
    let gives = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Give { .. }));
    assert!(!gives(&effects), "nobody else can be answered");
    assert!(!gives(&machine.step(&seen)));
    seen.others_up = true;
    assert!(gives(&machine.step(&seen)));
}

#[test]
fn a_reversal_that_is_refused_is_told_once_and_asked_again_ever_later() {
    let (mut machine, mut seen) = waiting();
    look(&mut machine, &mut seen, 0.9);
    let refused = |machine: &mut Machine, seen: &Seen| {
        machine.given(Given::Refused("a rule".into()), seen).len()
    };
    assert_eq!(refused(&mut machine, &seen), 1);
    for (early, late) in [(900, 100), (1_900, 100), (3_900, 100)] {
        seen.now = seen.now.after(Duration::from_millis(early));
        assert_eq!(machine.step(&seen), []);
        seen.now = seen.now.after(Duration::from_millis(late));
        assert_eq!(machine.step(&seen).len(), 1);
        assert_eq!(refused(&mut machine, &seen), 0, "it is told once");
    }
    seen.now = seen.now.after(Duration::from_secs(64));
    machine.step(&seen);
    let again = machine.given(Given::NoShare("no other has a weight".into()), &seen);
    assert!(again.is_empty() || matches!(again[..], [Effect::Give { plain: true, .. }]));
    seen.now = seen.now.after(Duration::from_secs(64));
    let again = [again, machine.step(&seen)].concat();
    assert!(matches!(again[..], [Effect::Give { plain: true, .. }]), "{again:?}");
}

#[test]
fn a_look_from_before_a_retry_says_nothing() {
    let (mut machine, mut seen) = waiting();
    seen.now = seen.now.after(Duration::from_secs(4));
    let asked = machine.step(&seen);
    let [Effect::Measure { epoch, .. }] = asked[..] else { panic!("{asked:?}") };
    machine.order(Order::Retry, "ana", &seen).unwrap();
    assert_eq!(*machine.stage(), Stage::Baking);
    machine.measured(epoch, 0, Measured::Value(0.9), &seen);
    assert_eq!((machine.stage(), machine.tallies()[0].failed), (&Stage::Baking, 0));
}
