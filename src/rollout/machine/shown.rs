//! What is seen of a rollout, as it stands.

use super::Machine;
use crate::{
    clock::Moment,
    config::rollouts::RolloutDef,
    rollout::{
        analysis::Tally,
        model::{Halt, Outcome, Seen, Stage},
    },
    units::Share,
};
use std::{sync::Arc, time::Duration};

impl Machine {
    /// What it is by.
    pub fn def(&self) -> &Arc<RolloutDef> {
        &self.def
    }

    /// What it is doing.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Which step it is at, from 0.
    pub fn at(&self) -> usize {
        self.step
    }

    /// Why it stands still, if it does.
    pub fn halt(&self) -> Option<&Halt> {
        self.halt.as_ref()
    }

    /// The proposal that its weight waits in.
    pub fn proposed(&self) -> Option<u64> {
        self.proposed
    }

    /// How each analysis of the step goes.
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// How long the stage has lasted.
    pub fn elapsed(&self, now: Moment) -> Duration {
        self.clock.elapsed(now)
    }

    /// Whether it is over.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done { .. })
    }

    /// How it ended, or will have.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.stage {
            Stage::Setting | Stage::Baking | Stage::Waiting => None,
            Stage::Undoing => Some(Outcome::Undone),
            Stage::Reversing { outcome } | Stage::Done { outcome, .. } => Some(outcome),
        }
    }

    /// Whether nothing is left of it: the files are served.
    pub fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Done { closed: true, .. })
    }

    /// The share that the member is to have now; nothing where the files say it.
    pub fn intended(&self) -> Option<Share> {
        match &self.stage {
            Stage::Setting | Stage::Baking | Stage::Waiting => Some(self.share()),
            Stage::Reversing { .. } => Some(Share::NONE),
            Stage::Undoing | Stage::Done { closed: true, .. } => None,
            Stage::Done { outcome: Outcome::Succeeded, .. } => Some(self.def.last()),
            Stage::Done { .. } => Some(Share::NONE),
        }
    }

    /// In one word: the stage, or why it stands still.
    pub fn word(&self) -> &'static str {
        match (&self.halt, &self.stage) {
            (Some(halt), _) => halt.kind.word(),
            (None, Stage::Setting) => "setting",
            (None, Stage::Baking) => "baking",
            (None, Stage::Waiting) => "waiting",
            (None, Stage::Reversing { .. }) => "reversing",
            (None, Stage::Undoing) => "undoing",
            (None, Stage::Done { outcome, .. }) => outcome.word(),
        }
    }

    /// When the step is judged at the earliest, and when it can be through: both from when its
    /// weight was served.
    pub fn times(&self, seen: &Seen) -> (Duration, Duration) {
        (seen.settle, self.current().bake.max(seen.settle))
    }

    /// Where it is: `step 2/4 (10 %)`.
    pub fn place(&self) -> String {
        format!("step {}/{} ({})", self.step + 1, self.def.steps.len(), self.share())
    }

    /// Which judging it is that goes on: looks of another one say nothing.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}
