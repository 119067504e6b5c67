//! Rules one and two: who else answers, and what if nobody does.

use super::{ASKING, Breaker, Fall, Group, Held, News, Proof, State, Step};
use crate::clock::Moment;
use std::{sync::Arc, time::Duration};

/// While a fall waits for a witness, some are asked so often: four times within [`ASKING`].
const CALL_AGAIN: Duration = Duration::from_millis(250);
/// The same while we are cut off, for as long as that takes.
const CALL_CUT_OFF: Duration = Duration::from_secs(5);
/// Witnesses asked at a time; the next ones the time after. Regions are fewer, pools may be
/// thousands, and one answer is enough.
const WITNESSES_MAX: usize = 32;
/// How many of its own group are asked when there is no other group.
const NEIGHBOURS: usize = 4;

impl Breaker {
    pub(super) fn is_witnessed(&self, key: &str, fall: Fall, proof: &dyn Proof) -> bool {
        !self.has_others(key) || proof.answered_since(fall.first_failure, key)
    }

    fn has_others(&self, key: &str) -> bool {
        self.settings.guards || self.targets.keys().any(|other| &**other != key)
    }

    /// Lets fall what waited for an answer that came.
    pub(super) fn let_witnessed_fall(&mut self, now: Moment, proof: &dyn Proof, step: &mut Step) {
        let (mut proven, mut missed) = (Vec::new(), 0);
        for (_, key) in &self.waiting.by_failure {
            let Some((_, fall, _)) = self.held(key) else { continue };
            if self.is_witnessed(key, fall, proof) {
                proven.push((Arc::clone(key), fall));
            } else if missed == 1 {
                // One may lack a witness since the answer was its own. Where two do, nobody
                // answered since the later of them failed, nor since any that follows.
                break;
            } else {
                missed += 1;
            }
        }
        for (key, fall) in proven {
            self.let_fall(&key, fall, now, step);
        }
    }

    /// Has witnesses asked if one is wanted and that was not just done.
    pub(super) fn call(&mut self, now: Moment, step: &mut Step) {
        let Some(again) = self.calls_again() else { return };
        if self.called.is_some_and(|at| now.since(at) < again) {
            return;
        }
        self.called = Some(now);
        let asked = self.witnesses();
        self.only_heartbeats = asked.is_empty()
            && !self.settings.guards
            && self.targets.values().any(|target| target.state == State::Up);
        step.ask.extend(asked);
        step.call = true;
        self.calls = self.calls.wrapping_add(1);
    }

    /// How soon witnesses are asked again; nothing while none is wanted.
    pub(super) fn calls_again(&self) -> Option<Duration> {
        match self.cut_off {
            Some(_) => Some(CALL_CUT_OFF),
            None => (self.waiting.of(Held::Asking) > 0).then_some(CALL_AGAIN),
        }
    }

    /// How long a fall waits for a witness: where nobody can be asked, until whoever sends
    /// heartbeats must have sent one.
    pub(super) fn patience(&self) -> Duration {
        if self.only_heartbeats { self.settings.window.max(ASKING) } else { ASKING }
    }

    /// What was asked for and not answered in time: we are cut off, and so is all that asks.
    pub(super) fn give_up_asking(&mut self, now: Moment, step: &mut Step) {
        let patience = self.patience();
        let Some((since, _)) = self.waiting.by_since.first() else { return };
        if self.cut_off.is_none() {
            if now.since(*since) < patience {
                return;
            }
            self.cut_off = Some(now);
            step.news.push(News::CutOff { falls: self.waiting.of(Held::Asking) });
        }
        for (_, key) in self.waiting.by_since.clone() {
            self.hold(&key, Held::CutOff, now);
        }
    }

    /// One up target of each other group than that of the longest wait; some of its own, where
    /// there is no other. The next of each the time after: who is asked may be about to fall.
    fn witnesses(&self) -> Vec<Arc<str>> {
        let first = self.waiting.by_failure.first().map(|(_, key)| key);
        let own = first.map(|key| self.targets[key].group);
        let usable = |key: &&Arc<str>| {
            let target = &self.targets[*key];
            target.state == State::Up && target.can_be_asked
        };
        let from = |group: &'_ Group, count: usize| -> Vec<Arc<str>> {
            let turn = self.calls % group.targets.len();
            let (before, after) = group.targets.split_at(turn);
            after.iter().chain(before).filter(usable).take(count).cloned().collect()
        };
        let start = self.calls.wrapping_mul(WITNESSES_MAX) % self.groups.len().max(1);
        let places = (start..self.groups.len()).chain(0..start);
        let others = places.filter(|place| Some(*place) != own);
        let asked = others.flat_map(|place| from(&self.groups[place], 1)).take(WITNESSES_MAX);
        let asked: Vec<Arc<str>> = asked.collect();
        match own {
            Some(own) if asked.is_empty() => from(&self.groups[own], NEIGHBOURS),
            _ => asked,
        }
    }
}
