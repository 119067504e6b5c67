//! What a failover's machine says: what happened, where it stands, what it refuses.

use serde::{Deserialize, Serialize};

/// Something that happened to a failover; members by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Another member is active.
    Moved {
        /// The member left.
        from: u8,
        /// The member now active.
        to: u8,
        /// What made it move.
        cause: Cause,
    },
    /// It would move, and waits.
    Waiting {
        /// Where to.
        to: u8,
        /// What for.
        wait: Wait,
    },
    /// It waits for nothing any more and stays.
    Withdrawn {
        /// Where it would have moved.
        to: u8,
    },
    /// It may be left as it is drained: whoever is sent away by the drain goes where an operator
    /// approved, and it moves at the drain's end.
    Granted {
        /// Where to.
        to: u8,
    },
    /// Clients follow to the active member little by little.
    RampStarted {
        /// The member they leave.
        from: u8,
    },
    /// All clients have followed.
    RampEnded {
        /// The member they left.
        from: u8,
    },
    /// The ramp was given up; a [`Effect::Moved`] says for what.
    RampAborted {
        /// The member they were leaving.
        from: u8,
    },
}

/// Why the active member changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The active one is no longer available.
    Lost,
    /// A preferred one has been available for long enough.
    Failback,
    /// An operator approved what was asked for.
    Approved,
    /// An operator said where to.
    Operator,
    /// The member that clients were moving to was lost on the way.
    TargetLost,
    /// The files have the active member no more, and the one that would follow does not work.
    Removed,
}

impl Cause {
    /// Why, for people.
    pub const fn why(self) -> &'static str {
        match self {
            Cause::Lost => "the active member is not available",
            Cause::Failback => "a preferred member has been available long enough",
            Cause::Approved => "an operator approved it",
            Cause::Operator => "an operator said so",
            Cause::TargetLost => "the member that clients were moving to is not available",
            Cause::Removed => "the first that works of those that are left",
        }
    }
}

/// What a move waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Time, as `failover_delay` or `failback_delay` says.
    Delay,
    /// An operator's word.
    Approval,
    /// A gate of the member, which is shut.
    Gate,
    /// The end of a hold.
    Hold,
}

impl Wait {
    /// What for, for people.
    pub const fn what(self) -> &'static str {
        match self {
            Wait::Delay => "waits for its delay",
            Wait::Approval => "waits for approval",
            Wait::Gate => "waits for what it requires",
            Wait::Hold => "is held",
        }
    }
}

/// Where a failover stands (DESIGN §5, Failover).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Settled on its first member.
    Primary,
    /// Leaving a preferred member, or waiting to.
    FailingOver,
    /// Settled on another member.
    Standby,
    /// A preferred member works again; going back waits.
    FailbackPending,
    /// Clients are going back little by little.
    FailingBack,
    /// An operator holds it: nothing moves.
    Held,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 6] = [
        Phase::Primary,
        Phase::FailingOver,
        Phase::Standby,
        Phase::FailbackPending,
        Phase::FailingBack,
        Phase::Held,
    ];

    /// The word in `status`, events and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Phase::Primary => "primary",
            Phase::FailingOver => "failing-over",
            Phase::Standby => "standby",
            Phase::FailbackPending => "failback-pending",
            Phase::FailingBack => "failing-back",
            Phase::Held => "held",
        }
    }
}

/// Why a command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing waits for an answer.
    #[error("nothing waits for approval here")]
    NothingAsked,
    /// It is held.
    #[error("it is held: end the hold or pin first")]
    Held,
    /// A ramp runs.
    #[error("clients are still on their way to the active member")]
    Moving,
    /// The first choice is active.
    #[error("it is home: the member it prefers is the active one")]
    Home,
    /// None that is preferred to the active one works.
    #[error("no preferred member is available to go back to")]
    NothingPreferred,
    /// A gate of the member is shut.
    #[error("what the member requires is not up")]
    GateShut {
        /// Which member.
        to: u8,
    },
}
