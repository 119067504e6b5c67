//! The operator's hand: what people told a running server to do, over what probes and state
//! machines say.
//!
//! | file | its part |
//! |---|---|
//! | `target` | what a change is about, and what that stands for in one Snapshot |
//! | `effect` | all overrides together: which slot, failover and weight each of them decides now |
//! | `weights` | a Snapshot with other weights |
//! | `command`, `planning` | a wish, and how it is judged: what becomes of the hand, or why not |
//! | `words` | what an override does, and the command line that undoes it |
//! | `safety` | `[[safety]]`: what a change would break |
//! | `clients`, `shares`, `preview` | which share of clients goes where, and who would move |
//! | `drain` | how far a drain has come |
//! | `kept` | the hand as it outlives the process |
//! | `pin` | `state/PIN` |
//! | `apply` | the commands' way into the World |
//!
//! Everything but `pin` and `apply` is pure: time and Snapshot are arguments. An override is words
//! and times; it never holds an id, so it means the same after a reload. The last that matches
//! wins.

pub mod apply;
pub mod clients;
pub mod command;
pub mod drain;
pub mod effect;
pub mod kept;
pub mod pin;
mod planning;
pub mod preview;
pub mod safety;
pub mod shares;
pub mod target;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
pub mod weights;
pub mod words;

pub use command::{Command, Done, Proposal, Refusal, Wish};
pub use effect::{Effect, SlotHand, SlotIs};
pub use target::{Target, TargetError};

use crate::{
    clock::{Moment, Since},
    units::Weight,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Overrides at a time. Each is looked up in every Snapshot, some milliseconds over 100,000
/// endpoints; and nobody keeps an eye on more.
pub const OVERRIDES_MAX: usize = 1_000;
/// How long a proposal waits for a second person.
pub const PROPOSAL_LIFE: Duration = Duration::from_secs(3_600);

/// Both clocks at one moment: the first decides, the second is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic.
    pub at: Moment,
    /// For people, and for `--at` a time of day.
    pub wall: SystemTime,
}

/// One thing an operator told the server, until it is taken away or expires.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Counts up; never given out twice.
    pub id: u64,
    /// What it is about; nothing for a pin.
    pub target: Option<Target>,
    /// What is to be.
    pub action: Action,
    /// Who said so.
    pub who: Arc<str>,
    /// Why.
    pub reason: Option<Arc<str>>,
    /// When, for people.
    pub made: SystemTime,
    /// From when on; may lie ahead.
    pub begins: Moment,
    /// How long it had lasted then, in a process before this one.
    pub lasted: Duration,
    /// Until when; for ever without.
    pub until: Option<Moment>,
    /// Whether it went over a safety rule.
    pub break_glass: bool,
}

/// What an override does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Takes endpoints out: at once, or clients leave evenly `over` a time.
    Drain {
        /// How long that takes.
        over: Option<Duration>,
    },
    /// Holds endpoints up or down, whatever probes say.
    Force(ForceTo),
    /// Gives a member of a policy, or endpoints, another weight.
    Weight {
        /// The member; none for endpoints.
        member: Option<Arc<str>>,
        /// Its weight.
        weight: Weight,
    },
    /// Makes a member of a failover the preferred one.
    Failover {
        /// The member.
        to: Arc<str>,
    },
    /// Keeps failovers where they stand.
    Hold,
    /// Freezes all automation.
    Pin,
}

/// What endpoints are forced to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForceTo {
    /// Answered, whatever probes say.
    Up,
    /// Not answered.
    Down,
}

impl ForceTo {
    /// As typed.
    pub const fn word(self) -> &'static str {
        match self {
            ForceTo::Up => "up",
            ForceTo::Down => "down",
        }
    }
}

impl Override {
    /// Whether it counts at `now`.
    pub fn is_active(&self, now: Moment) -> bool {
        self.begins <= now && !self.is_over(now)
    }

    /// Whether its time has passed.
    pub fn is_over(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Since when it counts, once it does.
    pub fn since(&self) -> Since {
        Since::resumed(self.lasted, self.begins)
    }

    /// How long until it begins, if it has not.
    pub fn starts_in(&self, now: Moment) -> Option<Duration> {
        (self.begins > now).then(|| self.begins.since(now))
    }

    /// How long until it ends by itself, if it does.
    pub fn remaining(&self, now: Moment) -> Option<Duration> {
        self.until.map(|until| until.since(now))
    }
}

/// When the records of a rule were last changed, for `wait`.
#[derive(Clone, Debug, PartialEq)]
struct Touch {
    records: Vec<Arc<str>>,
    at: Moment,
}

/// Everything operators told the server, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hand {
    overrides: Vec<Override>,
    proposals: Vec<Proposal>,
    touched: Vec<Touch>,
    last_id: u64,
}

impl Hand {
    /// The overrides in the order they were made, those that have not begun included.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// The changes that wait for a second person.
    pub fn proposals(&self) -> &[Proposal] {
        &self.proposals
    }

    /// The override `id`.
    pub fn find(&self, id: u64) -> Option<&Override> {
        self.overrides.iter().find(|known| known.id == id)
    }

    /// Takes away what is over at `now`, and says what that was.
    pub fn expire(&mut self, now: Moment) -> Vec<Override> {
        self.proposals.retain(|proposal| proposal.expires > now);
        self.overrides.extract_if(.., |one| one.is_over(now)).collect()
    }

    /// A number nobody has.
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}
