//! The one way in: everything that alters a running server is a [`Change`].

use super::{
    audit::{Origin, Outcome},
    event::EventKind,
    found::Looked,
    hand::{Command, Done, Refusal, apply::Waiting, foresee::Outlook, pin::PinFile},
    publish::TargetVerdict,
    reload::{Agreed, Rehearsal, Report},
};
use crate::{forecast::Clients, wire::Name};
use std::{fmt::Display, sync::Arc};
use tokio::sync::oneshot;

/// Where drills stand, for the audit.
pub const DRILL: &str = "drill";

/// How something of another room stood on both sides of what somebody had it do, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stood {
    /// Before.
    pub before: Arc<str>,
    /// After.
    pub after: Arc<str>,
}

/// A wish to alter the running server. Senders that wait for the outcome give a `reply`.
#[derive(Debug)]
pub enum Change {
    /// Health found something out.
    Verdicts(Vec<TargetVerdict>),
    /// A name that is answered flattened was looked up; nothing if it was in vain.
    Found(Name, Looked),
    /// Every target has its first result, or has had its second: steered names may be answered.
    Warm {
        /// Told once they are.
        done: oneshot::Sender<()>,
    },
    /// Read the operator's files again.
    Reload {
        /// What asks: `SIGHUP`, `tradewind reload`, `watch`.
        cause: Arc<str>,
        /// Who asks.
        by: Origin,
        /// Accept a change that `watch` holds back.
        force: bool,
        /// Where the outcome goes.
        reply: Option<oneshot::Sender<Report>>,
    },
    /// Return to a kept revision.
    Rollback {
        /// Its number.
        revision: u64,
        /// Who asks.
        by: Origin,
        /// Where the outcome goes.
        reply: Option<oneshot::Sender<Report>>,
    },
    /// Load the files in force as if something were wrong with them: a rehearsal.
    Rehearse {
        /// What is to be wrong; nothing ends a rehearsal.
        what: Option<Rehearsal>,
        /// Who asks: `drill broken-reload`.
        cause: Arc<str>,
        /// Where the outcome goes.
        reply: Option<oneshot::Sender<Report>>,
    },
    /// An operator wishes something.
    Hand {
        /// What, and who.
        command: Box<Command>,
        /// Where they stand.
        from: Arc<str>,
        /// Clients as counted for the Snapshot in force.
        clients: Arc<Clients>,
        /// What came of it.
        reply: oneshot::Sender<Result<Box<Done>, Refusal>>,
    },
    /// Somebody looks ahead, and wants what that starts from.
    Outlook {
        /// Where it goes.
        reply: oneshot::Sender<Box<Outlook>>,
    },
    /// Load the operator's files if they are what somebody planned, and all of them compile.
    Apply {
        /// What was planned.
        agreed: Agreed,
        /// What asks, in words.
        cause: Arc<str>,
        /// Who asks.
        by: Origin,
        /// Where the outcome goes.
        reply: oneshot::Sender<Report>,
    },
    /// Somebody's wish was refused before it became a change, or is another room's to see to: that
    /// is written down.
    Wished {
        /// Who asked.
        by: Origin,
        /// For what.
        what: Arc<str>,
        /// What became of it.
        outcome: Outcome,
        /// Why not, or what else there is to say.
        said: Arc<str>,
        /// The safety rules that forbid it.
        rules: Vec<Arc<str>>,
        /// How what it is about stood before and after, where that is known.
        stood: Option<Stood>,
    },
    /// Somebody asks which failovers wait, and what would come of approving them.
    Waiting {
        /// Where they go.
        reply: oneshot::Sender<Vec<Waiting>>,
    },
    /// Something happened that alters no answer: it is written down.
    Record(EventKind),
    /// Somebody did something beside the commands, or had it done for them: it is written down,
    /// with who and from where.
    Audited {
        /// Who.
        by: Origin,
        /// What.
        event: EventKind,
    },
    /// `state/PIN` came or went.
    Pin(Option<PinFile>),
    /// The server is about to stop: what only time changed is written down.
    Keep {
        /// Told once it is with the keeper.
        done: oneshot::Sender<()>,
    },
    /// Stop or start a demo backend.
    Demo {
        /// The region.
        region: Arc<str>,
        /// Whether it is to run.
        up: bool,
        /// Who asks.
        by: Origin,
        /// What became of it.
        reply: Option<oneshot::Sender<Result<(), String>>>,
    },
}

impl Change {
    /// What `by` wished of another room than control, and what became of it, to be written down.
    pub fn wished<E: Display>(by: Origin, what: &str, done: Result<Option<Stood>, &E>) -> Change {
        let (outcome, said) = match done {
            Ok(_) => (Outcome::Done, String::new()),
            Err(why) => (Outcome::Refused, why.to_string()),
        };
        let (stood, rules) = (done.ok().flatten(), Vec::new());
        Change::Wished { by, what: what.into(), outcome, said: said.into(), rules, stood }
    }

    /// Whether a person asks for it who reads, once it is done, that it is kept. Drills rehearse
    /// that nothing is; what they do themselves is no reason to end that.
    pub(super) fn is_asked(&self) -> bool {
        match self {
            Change::Hand { from, .. } => &**from != DRILL,
            Change::Reload { by, .. }
            | Change::Rollback { by, .. }
            | Change::Apply { by, .. }
            | Change::Wished { by, .. }
            | Change::Demo { by, .. } => by.is_asked(),
            Change::Audited { by, .. } => by.is_asked() && &*by.from != DRILL,
            _ => false,
        }
    }
}
