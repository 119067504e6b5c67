//! What people may order of a rollout, and what each order does at each stage.

use super::{Machine, tell};
use crate::rollout::{
    analysis::Tally,
    model::{Effect, HaltKind, Order, Outcome, Seen, Served, Stage},
};

impl Machine {
    /// Does what somebody orders.
    ///
    /// # Errors
    /// Why it cannot be done now.
    pub fn order(&mut self, order: Order, who: &str, seen: &Seen) -> Result<Vec<Effect>, String> {
        let by = |what: &str| format!("{what} by {who}");
        if self.is_closed() && order != Order::Retry {
            return Err(format!("it is over: {}", self.word()));
        }
        let is_ending = matches!(self.stage, Stage::Reversing { .. } | Stage::Undoing);
        match order {
            Order::Undo => {
                self.stage = Stage::Undoing;
                (self.halt, self.put_off) = (None, None);
                let mut effects = vec![tell("undoing", by("undone"), false)];
                effects.extend(self.withdraw());
                effects.extend(self.step(seen));
                return Ok(effects);
            }
            // Taking back waits for somebody, or is refused: it is asked for again.
            Order::Resume if is_ending && self.halt.is_some() => {
                return Ok(self.go_on("resumed", by("resumed"), seen));
            }
            Order::Abort { break_glass: true } if matches!(self.stage, Stage::Reversing { .. }) => {
                self.break_glass = true;
                return Ok(self.go_on("reversing", by("aborted over safety rules"), seen));
            }
            // Going back to what files say may wait, or be refused, and clients are there meanwhile.
            Order::Abort { break_glass }
                if !matches!(self.stage, Stage::Reversing { .. })
                    && (!self.is_done() || self.stage_is(Outcome::Succeeded)) =>
            {
                (self.break_glass, self.plain) = (break_glass, false);
                return Ok(self.reverse(Outcome::Aborted, by("aborted"), seen));
            }
            _ if is_ending => return Err(format!("it is {}", self.word())),
            Order::Retry if self.is_done() => {
                if self.stage_is(Outcome::Succeeded) {
                    return Err("it succeeded: nothing to retry".into());
                }
                (self.filed, self.full) = (seen.filed, false);
                self.set(0, seen);
                return Ok(self.go_on("retried", by("begun again"), seen));
            }
            _ if self.is_done() => return Err(format!("it is over: {}", self.word())),
            _ => {}
        }
        match order {
            Order::Pause if self.halt.is_some() => Err(format!("it is {} already", self.word())),
            Order::Pause => Ok(self.stop(HaltKind::Paused, by("paused"), seen)),
            Order::Resume if self.halt.is_none() => Err("it is not paused".into()),
            Order::Resume => {
                let kind = self.halt.take().map(|halt| halt.kind);
                let is_edited = kind == Some(HaltKind::Edited);
                if kind != Some(HaltKind::Paused) || seen.served != Served::Share(self.share()) {
                    self.tallies = vec![Tally::default(); self.def.analysis.len()];
                }
                // What somebody changed is set anew, even if they changed it back just now.
                Ok(self.taken_up("resumed", by("resumed"), is_edited, seen))
            }
            Order::Retry => {
                self.set(self.step, seen);
                Ok(self.taken_up("retried", by("the step is retried"), false, seen))
            }
            Order::Promote { full } => {
                let is_served = seen.served == Served::Share(self.share());
                if self.stage == Stage::Setting && !is_served && self.halt.is_none() && !full {
                    return Err("the weight of this step is not in force yet".into());
                }
                let said = by(if full { "promoted to the end" } else { "promoted" });
                let last = self.def.steps.len() - 1;
                self.filed = seen.filed;
                if self.step == last && is_served {
                    let mut effects = vec![tell("promoted", said, false)];
                    effects.extend(self.succeed());
                    return Ok(effects);
                }
                self.full = full || self.step == last;
                self.set(if full { last } else { last.min(self.step + 1) }, seen);
                Ok(self.go_on("promoted", said, seen))
            }
            Order::Abort { .. } | Order::Undo => Err(format!("it is {}", self.word())),
        }
    }

    fn stage_is(&self, wanted: Outcome) -> bool {
        matches!(self.stage, Stage::Done { outcome, .. } if outcome == wanted)
    }

    /// Goes on at the same step; it is set `anew` in any case where its weight is not served.
    fn taken_up(
        &mut self,
        what: &'static str,
        said: String,
        anew: bool,
        seen: &Seen,
    ) -> Vec<Effect> {
        self.filed = seen.filed;
        if anew || seen.served != Served::Share(self.share()) {
            self.enter(seen);
            self.tallies.iter_mut().for_each(|tally| tally.due = None);
        }
        self.go_on(what, said, seen)
    }

    fn go_on(&mut self, what: &'static str, said: String, seen: &Seen) -> Vec<Effect> {
        (self.halt, self.put_off) = (None, None);
        self.freeze(seen.frozen, seen);
        let mut effects = vec![tell(what, said, false)];
        effects.extend(self.withdraw());
        effects.extend(self.step(seen));
        effects
    }
}
