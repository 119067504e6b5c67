//! Who changed the server, from where, why, and what came of it: one [`Entry`] for each wish to
//! alter it, granted or refused.
//!
//! Entries are made in one place, [`super::run`], where every [`Change`](super::Change) is taken
//! and its outcome known; what time alone does to an operator's change (it begins, it ends) is one
//! too. Dry runs are none, and neither are verdicts and what state machines do by themselves:
//! those are events. `chain` says how entries are bound to each other, `told` what is written of
//! each; they are kept by [`super::store`]. Decides nothing and refuses nobody.

pub mod chain;
mod told;

pub use told::Before;

use super::spelled;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::SystemTime};

/// Who does what nobody asks for.
const ITSELF: &str = "tradewind";

/// By whom, from where and why a change is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The person, as they are told from others.
    pub who: Arc<str>,
    /// Where they stood: `control socket, uid 1000`, `SIGHUP`.
    pub from: Arc<str>,
    /// What they said of it.
    pub reason: Option<Arc<str>>,
}

impl Origin {
    /// What nobody asked for: the server did it by itself, because of `from`.
    pub fn itself(from: &str) -> Origin {
        Origin { who: ITSELF.into(), from: from.into(), reason: None }
    }

    /// What somebody asked for, in a way that does not say who.
    pub fn unknown(from: &str) -> Origin {
        Origin { who: "unknown".into(), from: from.into(), reason: None }
    }

    /// Whether a person is behind it.
    pub fn is_asked(&self) -> bool {
        &*self.who != ITSELF
    }
}

/// One wish, and what became of it. Written to the state database as JSON, so its fields are
/// promises: add to them freely, rename none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    #[serde(rename = "at_ms", with = "spelled::wall")]
    pub at: SystemTime,
    /// Who.
    pub who: Arc<str>,
    /// From where.
    pub from: Arc<str>,
    /// The command, as it could be typed: `drain region:us-east-1 --for 30m`.
    pub what: Arc<str>,
    /// What it is about.
    pub target: Option<Arc<str>>,
    /// Why.
    pub reason: Option<Arc<str>>,
    /// What became of it.
    pub outcome: Outcome,
    /// The same in a sentence: what it does, or why not.
    pub said: Arc<str>,
    /// The safety rules that refused it, want a second person for it, or that it went over.
    pub rules: Vec<Arc<str>>,
    /// How things stood before.
    pub before: Side,
    /// How they stood after.
    pub after: Side,
}

/// What becomes of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is so.
    Done,
    /// It waits for a second person.
    Proposed,
    /// It is not.
    Refused,
}

impl Outcome {
    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Proposed => "proposed",
            Outcome::Refused => "refused",
        }
    }
}

/// How the server stands on one side of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The revision of the files in force.
    pub revision: u64,
    /// The World.
    pub swap: u64,
    /// What of the operators' hand the change is about, in words: overrides, active members of
    /// failovers, proposals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<Arc<str>>,
}
