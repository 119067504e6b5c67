//! Rollouts: a member of a record gets its clients step by step, and each step is judged before
//! the next one. An operator's own commands, made by a machine: the same safety rules, the same
//! audit, and nothing that `tradewind weight` could not undo.
//!
//! | file | its part |
//! |---|---|
//! | `machine`, `model` | the state machine, pure, and its words |
//! | `analysis` | what figures come to, pure |
//! | `kept` | a rollout as it outlives the process |
//! | `around` | what a machine sees, read off the World and the hand |
//! | `driver` | runs the machines: one task, all rollouts |
//! | `patch` | what the zone file would have to say |
//!
//! Everything it does to answers goes through [`Change::Hand`](crate::control::Change); it never
//! touches a World. Must not know who shows it.

pub mod analysis;
mod around;
mod driver;
mod kept;
pub mod machine;
pub mod model;
pub mod patch;
#[cfg(test)]
mod properties;

pub use around::{MAKER, degraded, of_override, others, settle, slots_of_member};
pub use driver::{Rollouts, Settings, Wish};

use crate::config::rollouts::RolloutDef;
use arc_swap::ArcSwap;
use machine::Machine;
use model::Seen;
use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

/// One rollout that was begun.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it stands.
    pub machine: Machine,
    /// Who began it.
    pub who: Arc<str>,
    /// Everybody who had it go on: another person has to confirm what it proposes.
    pub people: BTreeSet<Arc<str>>,
    /// Why.
    pub reason: Option<Arc<str>>,
    /// When.
    pub began: SystemTime,
    /// When it ended.
    pub ended: Option<SystemTime>,
    /// What happened last.
    pub said: Arc<str>,
    /// What it saw around it last.
    pub seen: Option<Seen>,
    /// What was answered since the weight of its step is served.
    pub observed: Option<Observed>,
}

/// Answers of a record, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Those that gave the member.
    pub member: u64,
    /// All of them.
    pub all: u64,
}

impl Run {
    fn new(machine: Machine, who: Arc<str>, reason: Option<Arc<str>>, began: SystemTime) -> Run {
        Run {
            machine,
            people: BTreeSet::from([Arc::clone(&who)]),
            who,
            reason,
            began,
            ended: None,
            said: "".into(),
            seen: None,
            observed: None,
        }
    }
}

/// All rollouts, for those who show them.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Those that files define, by name.
    pub defs: Vec<Arc<RolloutDef>>,
    /// The last run of each that was begun, by name; of files that are gone as well.
    pub runs: Vec<Run>,
}

impl Shown {
    /// The run of `name`.
    pub fn run(&self, name: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.machine.def().name.get_ref() == name)
    }

    /// What files say of `name`.
    pub fn def(&self, name: &str) -> Option<&Arc<RolloutDef>> {
        self.defs.iter().find(|def| def.name.get_ref() == name)
    }
}

/// The rollouts as they are shared with those who show them.
pub type SharedRollouts = Arc<ArcSwap<Shown>>;

/// Why an order is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such rollout, or none of it was begun.
    #[error("{0}")]
    Unknown(String),
    /// It does not fit how things stand.
    #[error("{0}")]
    Conflict(String),
    /// The record is not well.
    #[error("the record is degraded: {}", .0.join("; "))]
    Degraded(Vec<String>),
    /// The server is about to stop.
    #[error("the server is stopping")]
    Stopping,
}
