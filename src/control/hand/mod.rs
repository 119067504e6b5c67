//! The operator's hand: what people told a running server to do, over what probes and state
//! machines say.
//!
//! | file | its part |
//! |---|---|
//! | `target` | what a change is about, and what that stands for in one Snapshot |
//! | `effect` | all overrides together: which slot, failover and weight each of them decides now |
//! | `weights`, `differing` | a Snapshot with other weights; which of them the files do not say |
//! | `command`, `planning` | a wish, and how it is judged: what becomes of the hand, or why not |
//! | `words` | what an override does, and the command line that undoes it |
//! | `safety` | `[[safety]]`: what a change would break |
//! | `drain`, `watching` | how far drains have come, and what keeps them |
//! | `kept` | the hand as it outlives the process |
//! | `pin` | `state/PIN` |
//! | `apply` | the commands' way into the World |
//! | `foresee` | what would come of a change, now and later |
//! | `turning` | what begins and ends with time |
//! | `tell` | what came of it, in words |
//!
//! Everything but `pin`, `apply`, `turning` and `watching` is pure: time and Snapshot are arguments. An override is words
//! and times; it never holds an id, so it means the same after a reload. The last to *begin* that
//! matches wins: one that was put off comes over what was said meanwhile, as its operator saw it
//! come; whoever speaks in between is told so.

pub mod apply;
pub mod command;
pub mod differing;
pub mod drain;
pub mod effect;
pub mod foresee;
pub mod kept;
pub mod pin;
mod planning;
pub mod safety;
#[cfg(test)]
mod scenarios;
pub mod target;
pub mod tell;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
mod turning;
pub(super) mod watching;
pub mod weights;
pub mod words;

pub use command::{Command, Done, Proposal, Refusal, Wish};
pub use effect::{Effect, SlotHand, SlotIs};
pub use planning::CONFIRMED;
pub use target::{Target, TargetError};

use crate::{
    clock::{Moment, Since},
    units::{Share, Weight},
};
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
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
    /// From when on it is to be in effect; may lie ahead.
    pub begins: Moment,
    /// How far it has come.
    pub stage: Stage,
    /// For how long it has been in effect; a pin lets that stand still, and the ramp of a drain
    /// with it.
    pub ran: Since,
    /// Until when; for ever without.
    pub until: Option<Moment>,
    /// Whether it went over a safety rule.
    pub break_glass: bool,
}

/// How far an override has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its time has not come, or nobody has looked since.
    Waiting,
    /// It counts. The last to begin has the highest turn, and wins.
    Begun {
        /// Counts up.
        turn: u64,
    },
    /// A safety rule forbade it when its time came: it never counts.
    Refused(Arc<str>),
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
    /// Gives a member of a weighted policy this share of all its clients; the others divide the
    /// rest as the files say.
    Share {
        /// The member.
        member: Arc<str>,
        /// Its share.
        share: Share,
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

impl Action {
    /// The member whose weight or share it gives.
    pub fn member(&self) -> Option<&Arc<str>> {
        match self {
            Action::Weight { member, .. } => member.as_ref(),
            Action::Share { member, .. } => Some(member),
            _ => None,
        }
    }
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
    /// Its turn, while it counts.
    pub fn turn(&self, now: Moment) -> Option<u64> {
        match self.stage {
            Stage::Begun { turn } if !self.is_over(now) => Some(turn),
            _ => None,
        }
    }

    /// Whether it counts at `now`.
    pub fn is_active(&self, now: Moment) -> bool {
        self.turn(now).is_some()
    }

    /// Whether its time has passed.
    pub fn is_over(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// How long until it begins, if it has not.
    pub fn starts_in(&self, now: Moment) -> Option<Duration> {
        (self.stage == Stage::Waiting).then(|| self.begins.since(now))
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
    last_turn: u64,
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

    /// The turn that was given out last: of whatever began last, even if that is gone.
    pub fn newest_turn(&self) -> u64 {
        self.last_turn
    }

    /// Takes away what is over at `now`, and says what that was.
    pub fn expire(&mut self, now: Moment) -> Vec<Override> {
        self.proposals.retain(|proposal| proposal.expires > now);
        self.overrides.extract_if(.., |one| one.is_over(now)).collect()
    }

    /// Those whose time has come by `now` and that have not begun, in their order.
    pub fn due(&self, now: Moment) -> Vec<u64> {
        let is_due = |one: &&Override| one.stage == Stage::Waiting && one.begins <= now;
        let mut due: Vec<_> =
            self.overrides.iter().filter(is_due).map(|one| (one.begins, one.id)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Lets the override `id` count from here on.
    pub fn begin(&mut self, id: u64) {
        self.last_turn += 1;
        self.set(id, Stage::Begun { turn: self.last_turn });
    }

    /// Says that the override `id` will never count, and why.
    pub fn refuse(&mut self, id: u64, why: &str) {
        self.set(id, Stage::Refused(why.into()));
    }

    fn set(&mut self, id: u64, stage: Stage) {
        if let Some(one) = self.overrides.iter_mut().find(|one| one.id == id) {
            one.stage = stage;
        }
    }

    /// The hand as it will be at `then` if nobody says anything more.
    #[must_use]
    pub fn by(&self, then: Moment) -> Hand {
        let mut hand = self.clone();
        hand.expire(then);
        hand.due(then).into_iter().for_each(|id| hand.begin(id));
        hand
    }

    /// The hand without the override `id`.
    #[must_use]
    pub fn without(&self, id: u64) -> Hand {
        let mut hand = self.clone();
        hand.overrides.retain(|one| one.id != id);
        hand
    }

    /// When overrides begin or end after `now`, in order.
    pub fn changes_after(&self, now: Moment) -> BTreeSet<Moment> {
        let times = self.overrides.iter().flat_map(|one| {
            let begins = (one.stage == Stage::Waiting).then_some(one.begins);
            [begins, one.until]
        });
        times.flatten().filter(|at| *at > now).collect()
    }

    /// Lets what has begun stand still, or go on; whether that altered anything.
    pub fn freeze(&mut self, is_frozen: bool, now: Moment) -> bool {
        let mut altered = false;
        for one in &mut self.overrides {
            if matches!(one.stage, Stage::Begun { .. }) && one.ran.is_paused() != is_frozen {
                altered = true;
                one.ran = match is_frozen {
                    true => one.ran.paused(now),
                    false => Since::resumed(one.ran.elapsed(now), now),
                };
            }
        }
        altered
    }

    /// A number for what it says now: another one once anything of it was made, begun, refused or
    /// taken away. Equal hands have equal numbers, over restarts too.
    pub fn version(&self) -> u64 {
        let stages = self.overrides.iter().map(|one| match &one.stage {
            Stage::Waiting => (one.id, 0),
            Stage::Begun { turn } => (one.id, *turn),
            Stage::Refused(_) => (one.id, u64::MAX),
        });
        let stages: Vec<_> = stages.collect();
        let proposals: Vec<u64> = self.proposals.iter().map(|one| one.id).collect();
        // Without a seed: who sends it back may have got it from the process before.
        let mut hasher = DefaultHasher::new();
        (self.last_id, self.last_turn, stages, proposals).hash(&mut hasher);
        hasher.finish()
    }

    /// A number nobody has.
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}
