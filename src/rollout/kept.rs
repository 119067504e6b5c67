//! A rollout as it outlives the process: words and elapsed times, no moment of a clock that ends
//! with it. Time in which no server ran counts for nothing.
//!
//! It is kept with the text of its file, by which it goes on whatever becomes of the file.

use super::{
    Run,
    analysis::{Tally, Verdict},
    machine::{Entered, Machine},
    model::{Halt, HaltKind, Outcome, Stage},
};
use crate::{
    clock::{Moment, Since},
    config::rollouts::RolloutDef,
    measure::Measured,
    units::Share,
};
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A [`Run`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptRun {
    file: String,
    text: String,
    who: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    began_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_ms: Option<u64>,
    said: String,
    stage: KeptStage,
    step: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    halt: Option<(KeptHalt, String)>,
    #[serde(default)]
    full: bool,
    /// Of the step, and of the stage.
    pub(super) elapsed_ms: (u64, u64),
    tallies: Vec<KeptTally>,
    filed: Option<u32>,
    #[serde(default)]
    break_glass: bool,
    /// Who had it go on: none of them may confirm what it proposes.
    #[serde(default)]
    people: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proposed: Option<u64>,
    /// The newest turn when it began to ask for its step's weight, and whether there was an
    /// override of its own.
    #[serde(default)]
    entered: (u64, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptStage {
    Setting,
    Baking,
    Waiting,
    Reversing(KeptOutcome),
    Undoing,
    Done { outcome: KeptOutcome, closed: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptOutcome {
    Succeeded,
    Reversed,
    Aborted,
    Undone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptHalt {
    Paused,
    Edited,
    Inconclusive,
    Failed,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptTally {
    successful: u32,
    failed: u32,
    inconclusive: u32,
    errors: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<KeptLook>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptLook {
    Good(f64),
    Bad(f64),
    Neither(f64),
    Nothing(String),
    Error(String),
}

impl KeptRun {
    /// `run` as it is at `now`.
    pub fn of(run: &Run, now: Moment) -> KeptRun {
        let machine = &run.machine;
        let elapsed = |clock: Since| ms(clock.elapsed(now));
        KeptRun {
            file: machine.def.file.to_string_lossy().into_owned(),
            text: machine.def.text.to_string(),
            who: run.who.to_string(),
            reason: run.reason.as_deref().map(str::to_owned),
            began_ms: wall_ms(run.began),
            ended_ms: run.ended.map(wall_ms),
            said: run.said.to_string(),
            stage: KeptStage::of(&machine.stage),
            step: machine.step,
            halt: machine.halt.as_ref().map(|halt| (KeptHalt::of(halt.kind), halt.why.to_string())),
            full: machine.full,
            elapsed_ms: (elapsed(machine.step_clock), elapsed(machine.clock)),
            tallies: machine.tallies.iter().map(KeptTally::of).collect(),
            filed: machine.filed.map(Share::as_millionths),
            break_glass: machine.break_glass,
            people: run.people.iter().map(ToString::to_string).collect(),
            proposed: machine.proposed,
            entered: (machine.entered.turn, machine.entered.own),
        }
    }

    /// The run it was; nothing if this version cannot read its file.
    pub fn restored(self, now: Moment) -> Option<Run> {
        let def = RolloutDef::kept(&Path::new(&self.file).into(), &self.text)?;
        let since = |ms| {
            let since = Since::resumed(Duration::from_millis(ms), now);
            if self.halt.is_some() { since.paused(now) } else { since }
        };
        let (step_clock, clock) = (since(self.elapsed_ms.0), since(self.elapsed_ms.1));
        let analyses = def.analysis.len();
        let mut tallies: Vec<Tally> = self.tallies.into_iter().map(KeptTally::restored).collect();
        tallies.resize(analyses, Tally::default());
        let machine = Machine {
            stage: self.stage.restored(),
            step: self.step.min(def.steps.len() - 1),
            halt: self.halt.map(|(kind, why)| Halt { kind: kind.restored(), why: why.into() }),
            full: self.full,
            step_clock,
            clock,
            tallies,
            filed: self.filed.map(Share::from_millionths),
            proposed: self.proposed,
            asked: None,
            entered: Entered { turn: self.entered.0, own: self.entered.1 },
            measuring: vec![false; analyses],
            epoch: 0,
            put_off: None,
            break_glass: self.break_glass,
            plain: false,
            def: Arc::new(def),
        };
        let wall = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        let mut run =
            Run::new(machine, self.who.into(), self.reason.map(Arc::from), wall(self.began_ms));
        (run.ended, run.said) = (self.ended_ms.map(wall), self.said.into());
        run.people.extend(self.people.into_iter().map(Arc::from));
        Some(run)
    }
}

impl KeptStage {
    fn of(stage: &Stage) -> KeptStage {
        match *stage {
            Stage::Setting => KeptStage::Setting,
            Stage::Baking => KeptStage::Baking,
            Stage::Waiting => KeptStage::Waiting,
            Stage::Reversing { outcome } => KeptStage::Reversing(KeptOutcome::of(outcome)),
            Stage::Undoing => KeptStage::Undoing,
            Stage::Done { outcome, closed } => {
                KeptStage::Done { outcome: KeptOutcome::of(outcome), closed }
            }
        }
    }

    fn restored(self) -> Stage {
        match self {
            KeptStage::Setting => Stage::Setting,
            KeptStage::Baking => Stage::Baking,
            KeptStage::Waiting => Stage::Waiting,
            KeptStage::Reversing(outcome) => Stage::Reversing { outcome: outcome.restored() },
            KeptStage::Undoing => Stage::Undoing,
            KeptStage::Done { outcome, closed } => {
                Stage::Done { outcome: outcome.restored(), closed }
            }
        }
    }
}

impl KeptOutcome {
    fn of(outcome: Outcome) -> KeptOutcome {
        match outcome {
            Outcome::Succeeded => KeptOutcome::Succeeded,
            Outcome::Reversed => KeptOutcome::Reversed,
            Outcome::Aborted => KeptOutcome::Aborted,
            Outcome::Undone => KeptOutcome::Undone,
        }
    }

    fn restored(self) -> Outcome {
        match self {
            KeptOutcome::Succeeded => Outcome::Succeeded,
            KeptOutcome::Reversed => Outcome::Reversed,
            KeptOutcome::Aborted => Outcome::Aborted,
            KeptOutcome::Undone => Outcome::Undone,
        }
    }
}

impl KeptHalt {
    fn of(kind: HaltKind) -> KeptHalt {
        match kind {
            HaltKind::Paused => KeptHalt::Paused,
            HaltKind::Edited => KeptHalt::Edited,
            HaltKind::Inconclusive => KeptHalt::Inconclusive,
            HaltKind::Failed => KeptHalt::Failed,
            HaltKind::Refused => KeptHalt::Refused,
        }
    }

    fn restored(self) -> HaltKind {
        match self {
            KeptHalt::Paused => HaltKind::Paused,
            KeptHalt::Edited => HaltKind::Edited,
            KeptHalt::Inconclusive => HaltKind::Inconclusive,
            KeptHalt::Failed => HaltKind::Failed,
            KeptHalt::Refused => HaltKind::Refused,
        }
    }
}

impl KeptTally {
    fn of(tally: &Tally) -> KeptTally {
        let last = tally.last.as_ref().map(|(measured, verdict)| match (measured, verdict) {
            // JSON has no word for what is no number.
            (Measured::Value(value), _) if !value.is_finite() => {
                KeptLook::Nothing(value.to_string())
            }
            (Measured::Value(value), Verdict::Successful) => KeptLook::Good(*value),
            (Measured::Value(value), Verdict::Failed) => KeptLook::Bad(*value),
            (Measured::Value(value), _) => KeptLook::Neither(*value),
            (Measured::Nothing(why), _) => KeptLook::Nothing(why.to_string()),
            (Measured::Error(why), _) => KeptLook::Error(why.to_string()),
        });
        KeptTally {
            successful: tally.successful,
            failed: tally.failed,
            inconclusive: tally.inconclusive,
            errors: tally.errors,
            last,
            due_ms: tally.due.map(ms),
        }
    }

    fn restored(self) -> Tally {
        let last = self.last.map(|look| match look {
            KeptLook::Good(value) => (Measured::Value(value), Verdict::Successful),
            KeptLook::Bad(value) => (Measured::Value(value), Verdict::Failed),
            KeptLook::Neither(value) => (Measured::Value(value), Verdict::Inconclusive),
            KeptLook::Nothing(why) => (Measured::Nothing(why.into()), Verdict::Inconclusive),
            KeptLook::Error(why) => (Measured::Error(why.into()), Verdict::Error),
        });
        Tally {
            successful: self.successful,
            failed: self.failed,
            inconclusive: self.inconclusive,
            errors: self.errors,
            last,
            due: self.due_ms.map(Duration::from_millis),
            at: None,
        }
    }
}

fn wall_ms(at: SystemTime) -> u64 {
    ms(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
