//! The words of a rollout's machine: what it sees, what it is doing and why, what people order,
//! what is to be done.

use crate::{clock::Moment, units::Share};
use std::{sync::Arc, time::Duration};

/// What a machine sees around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The time.
    pub now: Moment,
    /// No step is judged before it has been served for so long: twice the record's TTL.
    pub settle: Duration,
    /// Whether all automation stands still.
    pub frozen: bool,
    /// What the rollout's own override gives the member.
    pub served: Served,
    /// What somebody else said last of the weights at the record, if that counts.
    pub word: Option<Word>,
    /// The newest turn that any override had: what is said after this has a higher one.
    pub turn: u64,
    /// The member's share as the files say; nothing where there is no such record or member.
    pub filed: Option<Share>,
    /// Whether the member can be answered.
    pub member_up: bool,
    /// Whether any other member can.
    pub others_up: bool,
}

/// What the rollout's own override gives the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// There is none.
    Nothing,
    /// This.
    Share(Share),
    /// It is not what counts: somebody spoke after it. What they said.
    Hidden(Arc<str>),
}

/// What somebody else said of the weights at the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// When, in the order in which overrides began.
    pub turn: u64,
    /// Which override of whom does what.
    pub said: Arc<str>,
}

/// What a rollout is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has asked for the weight of its step.
    Setting,
    /// Caches turn over, the step is looked at.
    Baking,
    /// The step is through, and time or somebody has to pass before the next one.
    Waiting,
    /// It takes the member's clients back.
    Reversing {
        /// What that will have been.
        outcome: Outcome,
    },
    /// It takes its override away.
    Undoing,
    /// It is over.
    Done {
        /// How it ended.
        outcome: Outcome,
        /// Whether the weights are those of the files again, by whichever way.
        closed: bool,
    },
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every step is through.
    Succeeded,
    /// An analysis failed, and the member gets nobody any more.
    Reversed,
    /// Somebody ended it, and the member gets nobody any more.
    Aborted,
    /// Somebody had it undone: what the files say is served.
    Undone,
}

impl Outcome {
    /// As shown.
    pub const fn word(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Reversed => "reversed",
            Outcome::Aborted => "aborted",
            Outcome::Undone => "undone",
        }
    }
}

/// Why a rollout stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What sort of reason it is.
    pub kind: HaltKind,
    /// In words.
    pub why: Arc<str>,
}

/// The sorts of reasons for a rollout to stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaltKind {
    /// Somebody paused it.
    Paused,
    /// Somebody else changed the weight.
    Edited,
    /// Figures do not tell.
    Inconclusive,
    /// Figures are bad, and `on_fail` is `hold`.
    Failed,
    /// The change was refused.
    Refused,
}

impl HaltKind {
    /// As shown.
    pub const fn word(self) -> &'static str {
        match self {
            HaltKind::Paused => "paused",
            HaltKind::Edited => "edited",
            HaltKind::Inconclusive => "inconclusive",
            HaltKind::Failed => "failed",
            HaltKind::Refused => "refused",
        }
    }
}

/// What people order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// On to the next step; with `full` at once to the last one, and through.
    Promote {
        /// All the way.
        full: bool,
    },
    /// Stand still.
    Pause,
    /// Go on from where it stands.
    Resume,
    /// The member gets nobody any more.
    Abort {
        /// Over safety rules.
        break_glass: bool,
    },
    /// The step once more; after the end, all of it.
    Retry,
    /// What the files say.
    Undo,
}

impl Order {
    /// As typed.
    pub const fn word(self) -> &'static str {
        match self {
            Order::Promote { .. } => "promote",
            Order::Pause => "pause",
            Order::Resume => "resume",
            Order::Abort { .. } => "abort",
            Order::Retry => "retry",
            Order::Undo => "undo",
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Give the member this share.
    Give {
        /// Its share.
        share: Share,
        /// By its own weight, which can be nothing where no share can be given any more.
        plain: bool,
        /// Over safety rules: it takes clients back from what fails.
        urgent: bool,
        /// Why, for the hand.
        why: String,
    },
    /// Take the override away.
    TakeAway,
    /// Withdraw a proposal.
    Withdraw {
        /// Its number.
        id: u64,
    },
    /// Look at the figure of this analysis.
    Measure {
        /// Which.
        analysis: usize,
        /// For which judging: comes back with what is seen.
        epoch: u64,
    },
    /// Write this down.
    Tell(News),
    /// Begin what comes after.
    Follow,
}

/// What happened to a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// In one word.
    pub what: &'static str,
    /// In words.
    pub said: String,
    /// Whether someone should look.
    pub alarm: bool,
}

/// What came of asking for a weight, or for the override to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// It was done; the hand shows it.
    Done,
    /// It waits for a second person, as the proposal of this number.
    Proposed(u64),
    /// Rules want more time between two changes.
    NotYet {
        /// Which, in words.
        why: Arc<str>,
        /// How long that takes.
        left: Duration,
    },
    /// The member cannot be given a share as files are now: why.
    NoShare(Arc<str>),
    /// It was refused: why.
    Refused(Arc<str>),
}
