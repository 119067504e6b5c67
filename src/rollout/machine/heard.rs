//! What a rollout is told of what it asked for: by control, of weights; by whoever was asked, of
//! figures.

use super::{AGAIN, AGAIN_MAX, Machine, PutOff, tell};
use crate::{
    measure::Measured,
    rollout::model::{Effect, Given, HaltKind, Seen, Served, Stage},
};
use std::{sync::Arc, time::Duration};

impl Machine {
    /// What came of what it asked for.
    pub fn given(&mut self, given: Given, seen: &Seen) -> Vec<Effect> {
        let asked = self.asked.take();
        if asked.is_none() || asked != self.wanted() {
            // An answer to what it does not want any more says nothing of what it wants now.
            let proposed = match given {
                Given::Proposed(id) => Some(Effect::Withdraw { id }),
                _ => None,
            };
            return proposed.into_iter().chain(self.step(seen)).collect();
        }
        let is_reversing = matches!(self.stage, Stage::Reversing { .. });
        match given {
            Given::Done => self.put_off = None,
            // Nobody waits at the end: it stays as it is until two persons take it away.
            Given::Proposed(id) if self.is_done() => {
                let mut effects = self.back_off("two persons are wanted".into(), seen);
                effects.push(Effect::Withdraw { id });
                return effects;
            }
            Given::Proposed(id) => {
                self.proposed = Some(id);
                let what = match self.stage {
                    Stage::Setting => self.place(),
                    Stage::Undoing => "taking its override away".to_owned(),
                    _ => "taking its clients back".to_owned(),
                };
                let said = format!("{what} waits for a second person: tradewind confirm {id}");
                return vec![tell("proposed", said, true)];
            }
            Given::NotYet { why, left } => return self.bide(why, left, seen),
            Given::NoShare(_) if is_reversing && !self.plain => self.plain = true,
            Given::Refused(why) | Given::NoShare(why) if self.stage == Stage::Setting => {
                return self.stop(HaltKind::Refused, why.to_string(), seen);
            }
            Given::Refused(why) | Given::NoShare(why) => return self.back_off(why, seen),
        }
        self.step(seen)
    }

    /// Waits until nothing but time is missing any more.
    fn bide(&mut self, why: Arc<str>, left: Duration, seen: &Seen) -> Vec<Effect> {
        let is_news = !self.put_off.as_ref().is_some_and(|put_off| put_off.waits);
        let until = seen.now.after(left.max(AGAIN));
        self.put_off = Some(PutOff { why: Arc::clone(&why), times: 0, until, waits: true });
        self.freeze(true, seen);
        match is_news {
            true => vec![tell("not yet", format!("{}: {why}", self.place()), false)],
            false => Vec::new(),
        }
    }

    /// What is over is asked for until it is done, ever less often. Each reason is told once.
    fn back_off(&mut self, why: Arc<str>, seen: &Seen) -> Vec<Effect> {
        let known = self.put_off.take().filter(|put_off| put_off.why == why);
        let times = known.as_ref().map_or(0, |put_off| put_off.times.saturating_add(1));
        let pause = AGAIN.saturating_mul(1 << times.min(6)).min(AGAIN_MAX);
        let until = seen.now.after(pause);
        self.put_off = Some(PutOff { why: Arc::clone(&why), times, until, waits: false });
        match known {
            Some(_) => Vec::new(),
            None => vec![tell("refused", format!("{} is refused: {why}", self.word()), true)],
        }
    }

    /// The proposal it waits in is no more. What was confirmed is there, if nobody said anything
    /// else since; under a pin it goes on by that later.
    pub fn proposal_gone(&mut self, seen: &Seen) -> Vec<Effect> {
        let Some(id) = self.proposed.take() else { return Vec::new() };
        let is_there = match (self.intended(), &seen.served) {
            (Some(intended), Served::Share(share)) => intended == *share,
            (None, Served::Nothing) => true,
            _ => false,
        };
        if is_there || self.edited(seen).is_some() {
            return self.step(seen);
        }
        let why = format!("proposal #{id} was rejected or has expired");
        self.stop(HaltKind::Refused, why, seen)
    }

    /// A figure was looked at. One that comes late says nothing.
    pub fn measured(
        &mut self,
        epoch: u64,
        analysis: usize,
        measured: Measured,
        seen: &Seen,
    ) -> Vec<Effect> {
        if self.epoch != epoch {
            return Vec::new();
        }
        if let Some(under_way) = self.measuring.get_mut(analysis) {
            *under_way = false;
        }
        let is_judged = matches!(self.stage, Stage::Baking | Stage::Waiting);
        let def = Arc::clone(&self.def);
        let Some(def) = def.analysis.get(analysis) else { return Vec::new() };
        if !is_judged || self.halt.is_some() || seen.frozen {
            return Vec::new();
        }
        let now = self.step_clock.elapsed(seen.now);
        let tally = &mut self.tallies[analysis];
        tally.take(def, measured, now);
        // Looks that were missed are not made up for.
        tally.due = Some(now + def.interval);
        let effects = self.judged(seen);
        if !effects.is_empty() {
            return effects;
        }
        self.step(seen)
    }
}
