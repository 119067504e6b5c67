//! The state machine of one rollout: what it sees, what figures say and what operators order goes
//! in; what is to be done comes out. Pure: no clock, no socket, no World.
//!
//! ```text
//! Setting → Baking → Waiting → Setting of the next step … → Succeeded
//!     └────────┴─────────┴──→ Reversing → Reversed, Aborted     Undoing → Undone
//! ```
//!
//! A weight that is asked for counts as served once the hand shows it, so that a machine which
//! is taken up again after a crash neither skips a step nor takes one twice: it asks again for
//! what is not there, and goes on with what is. While it is *halted* its clocks stand still and
//! weights stay as they are; only people end that.
//!
//! What time does is here; `orders` has what people may order, `heard` what control and figures say,
//! `shown` what is seen of it.

mod heard;
mod orders;
mod shown;
#[cfg(test)]
pub(super) mod testkit;
#[cfg(test)]
mod tests;

use super::{
    analysis::{Tally, Verdict},
    model::{Effect, Halt, HaltKind, News, Outcome, Seen, Served, Stage},
};
use crate::{
    clock::{Moment, Since},
    config::rollouts::{OnFail, Pause, RolloutDef, StepDef},
    units::Share,
};
use std::{sync::Arc, time::Duration};

/// One rollout that was begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub(super) def: Arc<RolloutDef>,
    pub(super) stage: Stage,
    /// Which step, from 0.
    pub(super) step: usize,
    pub(super) halt: Option<Halt>,
    /// All the way, once the weight is served.
    pub(super) full: bool,
    /// How long the step has been under way.
    pub(super) step_clock: Since,
    /// How long the stage has lasted; of a step that bakes, how long it has been served.
    pub(super) clock: Since,
    /// How each analysis goes.
    pub(super) tallies: Vec<Tally>,
    /// What the files said when it was begun or taken up again.
    pub(super) filed: Option<Share>,
    /// The proposal that its weight waits in.
    pub(super) proposed: Option<u64>,
    /// What it asked for and is under way: until that is answered it asks for nothing else, so that
    /// what was asked for last is what is done last. Forgotten by a restart, as is what was under
    /// way.
    pub(super) asked: Option<Effect>,
    /// How things stood when it began to ask for the weight of its step.
    pub(super) entered: Entered,
    /// The figures that are being looked at.
    pub(super) measuring: Vec<bool>,
    /// Raised whenever judging begins anew: what was looked at before says nothing of what comes.
    pub(super) epoch: u64,
    /// Why what it asked for last was not done, and when that is asked for again.
    pub(super) put_off: Option<PutOff>,
    /// Whether somebody who may has it go over safety rules while it takes clients back.
    pub(super) break_glass: bool,
    /// Whether the member's own weight is what can be taken back, since no share of it can be given.
    pub(super) plain: bool,
}

/// What was so before: whatever comes after it somebody said meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entered {
    /// The newest turn that any override had.
    pub turn: u64,
    /// Whether there was an override of its own; or was one since.
    pub own: bool,
}

/// Something that was not done when it was asked for, and will be asked for again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PutOff {
    why: Arc<str>,
    /// So often in a row for the same reason.
    times: u32,
    until: Moment,
    /// Nothing but time is missing.
    waits: bool,
}

/// What was refused is asked again after a second, and each time twice as late as before, up to
/// this: rules and files change seldom, and each try is judged by all of them.
const AGAIN_MAX: Duration = Duration::from_secs(64);
const AGAIN: Duration = Duration::from_secs(1);

impl Machine {
    /// A rollout by `def` that begins.
    pub fn begin(def: Arc<RolloutDef>, seen: &Seen) -> (Machine, Vec<Effect>) {
        let mut machine = Machine {
            stage: Stage::Setting,
            step: 0,
            halt: None,
            full: false,
            step_clock: Since::starting(seen.now),
            clock: Since::starting(seen.now),
            tallies: Vec::new(),
            filed: seen.filed,
            proposed: None,
            asked: None,
            entered: Entered::default(),
            measuring: Vec::new(),
            epoch: 0,
            put_off: None,
            break_glass: false,
            plain: false,
            def,
        };
        machine.set(0, seen);
        let begun = format!(
            "{} steps for {} of {}",
            machine.def.steps.len(),
            machine.def.member,
            machine.def.record
        );
        let mut effects = vec![tell("started", begun, false)];
        effects.extend(machine.step(seen));
        (machine, effects)
    }

    fn current(&self) -> &StepDef {
        // A rollout has at least one step, and `step` never passes the last.
        &self.def.steps[self.step.min(self.def.steps.len() - 1)]
    }

    fn share(&self) -> Share {
        *self.current().weight.get_ref()
    }

    /// Enters step number `step`.
    fn set(&mut self, step: usize, seen: &Seen) {
        self.step = step;
        self.enter(seen);
        (self.put_off, self.break_glass, self.plain) = (None, false, false);
        self.tallies = vec![Tally::default(); self.def.analysis.len()];
        self.judge_anew();
        self.clock = Since::starting(seen.now);
        self.step_clock = Since::starting(seen.now);
    }

    /// Asks for the weight of its step from here on, after what others said so far.
    fn enter(&mut self, seen: &Seen) {
        self.stage = Stage::Setting;
        self.entered = Entered { turn: seen.turn, own: false };
        self.notice(seen);
    }

    /// Takes note of an override of its own that is there, and that it is not about to take away:
    /// once that is gone, somebody else took it.
    fn notice(&mut self, seen: &Seen) {
        let leaves = self.asked == Some(Effect::TakeAway);
        self.entered.own |= seen.served != Served::Nothing && !leaves;
    }

    fn judge_anew(&mut self) {
        self.measuring = vec![false; self.def.analysis.len()];
        self.epoch += 1;
    }

    /// Whether it waits for nothing but a rule's time.
    fn bides(&self, now: Moment) -> bool {
        self.put_off.as_ref().is_some_and(|put_off| put_off.waits && now < put_off.until)
    }

    /// Looks around, and says what is to be done.
    pub fn step(&mut self, seen: &Seen) -> Vec<Effect> {
        let is_urgent =
            matches!(self.stage, Stage::Reversing { .. } | Stage::Undoing | Stage::Done { .. });
        let stands = (seen.frozen && !is_urgent) || self.halt.is_some();
        // A rule's time is no fault of the step's: its deadline does not run meanwhile.
        self.freeze(stands || self.bides(seen.now), seen);
        self.notice(seen);
        if stands {
            return Vec::new();
        }
        if let Some(edited) = self.edited(seen) {
            return self.stop(HaltKind::Edited, edited, seen);
        }
        match self.stage.clone() {
            Stage::Setting => self.setting(seen),
            Stage::Baking => self.baking(seen),
            Stage::Waiting => self.waiting(seen),
            Stage::Reversing { outcome } => self.reversing(outcome, seen),
            Stage::Undoing => match seen.served {
                // What is under way may make an override yet.
                _ if self.asked.is_some() => Vec::new(),
                Served::Nothing => self.end(Outcome::Undone, true, "the files' weights are served"),
                _ => self.ask(seen),
            },
            Stage::Done { closed: true, .. } => Vec::new(),
            Stage::Done { outcome, closed: false } => self.done(outcome, seen),
        }
    }

    /// Its clocks stand still, or go on; then it looks later.
    fn freeze(&mut self, is_frozen: bool, seen: &Seen) {
        let (now, thaws) = (seen.now, self.clock.is_paused() && !is_frozen);
        for clock in [&mut self.clock, &mut self.step_clock] {
            if clock.is_paused() != is_frozen {
                *clock = match is_frozen {
                    true => clock.paused(now),
                    false => Since::resumed(clock.elapsed(now), now),
                };
            }
        }
        if thaws {
            self.look_later(seen);
        }
    }

    /// What was looked at before it stood still says nothing of what is so now.
    fn look_later(&mut self, seen: &Seen) {
        self.judge_anew();
        if !matches!(self.stage, Stage::Baking | Stage::Waiting) {
            return;
        }
        let now = self.step_clock.elapsed(seen.now);
        let (settled, served) = (self.times(seen).0, self.clock.elapsed(seen.now));
        for (def, tally) in self.def.analysis.iter().zip(&mut self.tallies) {
            let first = match self.stage {
                Stage::Baking => settled.max(def.initial_delay).saturating_sub(served),
                _ => Duration::ZERO,
            };
            tally.due = Some(now + def.interval.max(first));
            // A last look from before is none.
            tally.at = None;
        }
    }

    /// What somebody else did to the weight, if they did.
    fn edited(&self, seen: &Seen) -> Option<String> {
        if !matches!(self.stage, Stage::Setting | Stage::Baking | Stage::Waiting) {
            return None;
        }
        let (record, member) = (&self.def.record, &self.def.member);
        if seen.filed != self.filed {
            return Some(match seen.filed {
                Some(filed) => format!("the files say {filed} for `{member}` now"),
                None => format!("the files have no `{member}` at {record} any more"),
            });
        }
        let changed = |said: &str| format!("somebody else changed it: {said}");
        match &seen.served {
            Served::Nothing if self.stage != Stage::Setting || self.entered.own => {
                Some("somebody took the rollout's override away".into())
            }
            // What is being asked for comes after what others had said by then, and before what
            // they said since. The step before is still served meanwhile.
            _ if self.stage == Stage::Setting => {
                let since = seen.word.as_ref().filter(|word| word.turn > self.entered.turn);
                since.map(|word| changed(&word.said))
            }
            Served::Hidden(said) => Some(changed(said)),
            Served::Share(share) if *share != self.share() => Some(format!("{share} are served")),
            _ => None,
        }
    }

    fn setting(&mut self, seen: &Seen) -> Vec<Effect> {
        if seen.served == Served::Share(self.share()) {
            self.stage = Stage::Baking;
            self.clock = Since::starting(seen.now);
            self.put_off = None;
            let said = format!("{} is served", self.place());
            let mut effects = vec![tell("step", said, false)];
            // One that was confirmed is no more; with any other nothing would change.
            effects.extend(self.withdraw());
            effects.extend(self.baking(seen));
            return effects;
        }
        if let Some(overdue) = self.overdue(seen) {
            return self.fail(overdue, seen);
        }
        self.ask(seen)
    }

    fn baking(&mut self, seen: &Seen) -> Vec<Effect> {
        if self.full {
            return self.succeed();
        }
        let mut effects = self.looks(seen);
        if let Some(overdue) = self.overdue(seen) {
            effects.extend(self.fail(overdue, seen));
            return effects;
        }
        if self.is_baked(seen) && self.is_good(seen) {
            effects.extend(self.through(seen));
        }
        effects
    }

    /// Whether the step was served for as long as it has to be.
    fn is_baked(&self, seen: &Seen) -> bool {
        self.stage == Stage::Waiting || self.clock.elapsed(seen.now) >= self.times(seen).1
    }

    /// The figures that are to be looked at now. A step that is served for long enough, or waits
    /// for somebody, is looked at past `count`: it goes on by what is so then.
    fn looks(&mut self, seen: &Seen) -> Vec<Effect> {
        let (now, settled) = (self.step_clock.elapsed(seen.now), self.times(seen).0);
        let (is_baked, epoch) = (self.is_baked(seen), self.epoch);
        let mut effects = Vec::new();
        for (index, def) in self.def.analysis.iter().enumerate() {
            let tally = &mut self.tallies[index];
            let due = *tally.due.get_or_insert(now + settled.max(def.initial_delay));
            if now >= due && (is_baked || tally.wants_more(def)) && !self.measuring[index] {
                self.measuring[index] = true;
                effects.push(Effect::Measure { analysis: index, epoch });
            }
        }
        effects
    }

    /// Whether the member is up and every analysis is successful: all in all, and by a last look
    /// that is no older than the time between two.
    fn is_good(&self, seen: &Seen) -> bool {
        let now = self.step_clock.elapsed(seen.now);
        let mut all = self.def.analysis.iter().zip(&self.tallies);
        seen.member_up && all.all(|(def, tally)| tally.is_good(def, now))
    }

    /// What figures say against the step.
    fn judged(&mut self, seen: &Seen) -> Vec<Effect> {
        let verdicts = |wanted: &[Verdict]| {
            let all = self.def.analysis.iter().zip(&self.tallies);
            let mut found = all.filter(|(def, tally)| {
                tally.verdict(def).is_some_and(|verdict| wanted.contains(&verdict))
            });
            found.next().map(|(def, tally)| tally.said(def))
        };
        if let Some(said) = verdicts(&[Verdict::Failed]) {
            return self.fail(said, seen);
        }
        match verdicts(&[Verdict::Inconclusive, Verdict::Error]) {
            Some(said) => self.stop(HaltKind::Inconclusive, said, seen),
            None => Vec::new(),
        }
    }

    fn overdue(&self, seen: &Seen) -> Option<String> {
        let deadline = *self.def.progress_deadline.as_ref()?.get_ref();
        (self.step_clock.elapsed(seen.now) >= deadline)
            .then(|| format!("{} is not through after {deadline:?}", self.place()))
    }

    fn through(&mut self, seen: &Seen) -> Vec<Effect> {
        match self.current().pause {
            Pause::None => self.next(seen),
            Pause::For(_) | Pause::Promote => {
                let until = match self.current().pause {
                    Pause::For(time) => format!("goes on in {time:?}"),
                    _ => "waits for `promote`".to_owned(),
                };
                self.stage = Stage::Waiting;
                self.clock = Since::starting(seen.now);
                vec![tell("waiting", format!("{} is through; {until}", self.place()), false)]
            }
        }
    }

    /// What waits is answered to clients, and so is judged on.
    fn waiting(&mut self, seen: &Seen) -> Vec<Effect> {
        let mut effects = self.looks(seen);
        if let Pause::For(time) = self.current().pause
            && self.clock.elapsed(seen.now) >= time
            && self.is_good(seen)
        {
            effects.extend(self.next(seen));
        }
        effects
    }

    fn next(&mut self, seen: &Seen) -> Vec<Effect> {
        if self.step + 1 >= self.def.steps.len() {
            return self.succeed();
        }
        self.set(self.step + 1, seen);
        self.setting(seen)
    }

    fn succeed(&mut self) -> Vec<Effect> {
        let said = format!("{} of {} has {}", self.def.member, self.def.record, self.def.last());
        let mut effects = self.end(Outcome::Succeeded, false, &said);
        effects.push(Effect::Follow);
        effects
    }

    /// Something is bad: back, or hold.
    fn fail(&mut self, why: String, seen: &Seen) -> Vec<Effect> {
        if self.def.on_fail == OnFail::Hold {
            return self.stop(HaltKind::Failed, why, seen);
        }
        self.reverse(Outcome::Reversed, why, seen)
    }

    fn reverse(&mut self, outcome: Outcome, why: String, seen: &Seen) -> Vec<Effect> {
        self.stage = Stage::Reversing { outcome };
        (self.halt, self.put_off, self.full) = (None, None, false);
        self.clock = Since::starting(seen.now);
        let why = match seen.others_up {
            true => why,
            false => format!("{why}; no other member can be answered: as soon as one can"),
        };
        let mut effects = vec![tell("reversing", why, true)];
        effects.extend(self.withdraw());
        effects.extend(self.reversing(outcome, seen));
        effects
    }

    fn reversing(&mut self, outcome: Outcome, seen: &Seen) -> Vec<Effect> {
        // Of a record that is gone nobody gets anything.
        if seen.served == Served::Share(Share::NONE) || seen.filed.is_none() {
            let said = format!("{} of {} gets nobody any more", self.def.member, self.def.record);
            return self.end(outcome, false, &said);
        }
        // Bad answers are better than none; it is looked again each time anything changes.
        if !seen.others_up {
            return Vec::new();
        }
        self.ask(seen)
    }

    /// Over, but the weights are not those of the files: until they say the same, or somebody
    /// takes the override away.
    fn done(&mut self, outcome: Outcome, seen: &Seen) -> Vec<Effect> {
        let same = match (&seen.served, seen.filed) {
            (Served::Share(share), Some(filed)) => *share == filed,
            (Served::Share(_), None) => self.intended() == Some(Share::NONE),
            _ => false,
        };
        match &seen.served {
            // Nothing is under way for whatever is begun after it to be told of.
            Served::Nothing if self.asked.is_none() => {
                self.stage = Stage::Done { outcome, closed: true };
                vec![tell("finished", "the files are served".to_owned(), false)]
            }
            _ if same => self.ask(seen),
            _ => Vec::new(),
        }
    }

    fn end(&mut self, outcome: Outcome, closed: bool, said: &str) -> Vec<Effect> {
        self.stage = Stage::Done { outcome, closed };
        (self.halt, self.full, self.put_off) = (None, false, None);
        let mut effects = vec![tell(outcome.word(), said.to_owned(), outcome == Outcome::Reversed)];
        // One that was confirmed is no more; any other must not come after the end.
        effects.extend(self.withdraw());
        effects
    }

    /// Stands still from here on.
    fn stop(&mut self, kind: HaltKind, why: String, seen: &Seen) -> Vec<Effect> {
        self.freeze(true, seen);
        let said = format!("{} at {}: {why}", kind.word(), self.place());
        (self.halt, self.put_off) = (Some(Halt { kind, why: why.into() }), None);
        let mut effects = vec![tell("paused", said, kind != HaltKind::Paused)];
        effects.extend(self.withdraw());
        effects
    }

    /// Nobody may confirm any more what it does not want any more.
    fn withdraw(&mut self) -> Option<Effect> {
        self.proposed.take().map(|id| Effect::Withdraw { id })
    }

    /// What it wants done to weights as it stands.
    fn wanted(&self) -> Option<Effect> {
        let why = |what: &str| format!("rollout {}, {what}", self.def.name);
        match self.stage {
            _ if self.halt.is_some() => None,
            Stage::Setting => {
                let (share, why) = (self.share(), why(&self.place()));
                Some(Effect::Give { share, plain: false, urgent: false, why })
            }
            Stage::Reversing { outcome } => {
                let urgent = outcome == Outcome::Reversed || self.break_glass;
                let (share, plain, why) = (Share::NONE, self.plain, why(outcome.word()));
                Some(Effect::Give { share, plain, urgent, why })
            }
            Stage::Undoing | Stage::Done { closed: false, .. } => Some(Effect::TakeAway),
            Stage::Baking | Stage::Waiting | Stage::Done { closed: true, .. } => None,
        }
    }

    /// Asks for what it wants, unless something is under way, waits for somebody or was refused
    /// just now.
    fn ask(&mut self, seen: &Seen) -> Vec<Effect> {
        let is_put_off = self.put_off.as_ref().is_some_and(|put_off| seen.now < put_off.until);
        if self.asked.is_some() || self.proposed.is_some() || is_put_off {
            return Vec::new();
        }
        self.asked = self.wanted();
        self.asked.iter().cloned().collect()
    }

    /// When time alone changes something, next.
    pub fn wake(&self, seen: &Seen) -> Option<Moment> {
        if self.halt.is_some() || seen.frozen {
            return None;
        }
        if let Some(put_off) = self.put_off.as_ref().filter(|put_off| seen.now < put_off.until) {
            return Some(put_off.until);
        }
        let at = |elapsed| self.clock.reaches(elapsed);
        let in_step = |elapsed| self.step_clock.reaches(elapsed);
        let deadline = self.def.progress_deadline.as_ref().map(|at| in_step(*at.get_ref()));
        let is_baked = self.is_baked(seen);
        let looks = self.def.analysis.iter().zip(&self.tallies).zip(&self.measuring);
        let looks = looks.filter(|((def, tally), under_way)| {
            (is_baked || tally.wants_more(def)) && !**under_way
        });
        let looks = looks.filter_map(|((_, tally), _)| tally.due.map(in_step));
        // What only waits for figures or health is told of those.
        let ahead = |moment: Moment| Some(moment).filter(|at| *at > seen.now);
        match self.stage {
            Stage::Baking => looks.chain(ahead(at(self.times(seen).1))).chain(deadline).min(),
            Stage::Waiting => match self.current().pause {
                Pause::For(time) => looks.chain(ahead(at(time))).min(),
                _ => looks.min(),
            },
            Stage::Setting => deadline,
            _ => None,
        }
    }
}

fn tell(what: &'static str, said: String, alarm: bool) -> Effect {
    Effect::Tell(News { what, said, alarm })
}
