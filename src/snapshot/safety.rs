//! `[[safety]]` compiled: which records a rule is about, and what no operator's change may do to
//! them. Judged by [`crate::control::hand`]; nothing here answers a query.

use crate::ids::RecordId;
use std::{sync::Arc, time::Duration};

/// What an operator may wish; the words are those of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Take endpoints out.
    Drain,
    /// Let them in again.
    Undrain,
    /// Hold endpoints up or down, whatever probes say.
    Force,
    /// Change a weight.
    Weight,
    /// Choose a failover's member.
    Failover,
    /// Let it go back.
    Failback,
    /// Let a failover do what it waits to do.
    Approve,
    /// Forbid it.
    Reject,
    /// Keep failovers where they stand.
    Hold,
    /// Let them move again.
    Unhold,
    /// Freeze all automation.
    Pin,
    /// Thaw it.
    Unpin,
    /// Agree to what another has proposed, or to falls that are held.
    Confirm,
}

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 13] = [
        Verb::Drain,
        Verb::Undrain,
        Verb::Force,
        Verb::Weight,
        Verb::Failover,
        Verb::Failback,
        Verb::Approve,
        Verb::Reject,
        Verb::Hold,
        Verb::Unhold,
        Verb::Pin,
        Verb::Unpin,
        Verb::Confirm,
    ];

    /// As typed.
    pub const fn word(self) -> &'static str {
        match self {
            Verb::Drain => "drain",
            Verb::Undrain => "undrain",
            Verb::Force => "force",
            Verb::Weight => "weight",
            Verb::Failover => "failover",
            Verb::Failback => "failback",
            Verb::Approve => "approve",
            Verb::Reject => "reject",
            Verb::Hold => "hold",
            Verb::Unhold => "unhold",
            Verb::Pin => "pin",
            Verb::Unpin => "unpin",
            Verb::Confirm => "confirm",
        }
    }
}

/// One `[[safety]]` rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafetyRule {
    /// As written.
    pub name: Arc<str>,
    /// The records it is about, in order.
    pub records: Box<[RecordId]>,
    /// So many regions must answer each of them.
    pub min_active_regions: Option<u32>,
    /// Whether no pool may get more clients of a record than its capacity.
    pub respect_capacity: bool,
    /// What needs a second person.
    pub two_persons: Box<[Verb]>,
    /// The least time between two changes of a record.
    pub wait: Option<Duration>,
}

/// The largest share of all clients a pool is meant to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// `zone/pool`, or `pool` for a shared one.
    pub pool: Arc<str>,
    /// In millionths, 1..=1,000,000.
    pub millionths: u32,
}
