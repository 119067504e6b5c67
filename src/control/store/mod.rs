//! What outlives the process: verdicts, latches, operator's changes and events.
//!
//! [`Keeper`] takes writes and never blocks: a thread of its own gathers them and commits them
//! through a [`Store`], by default one redb file ([`RedbStore`], `state/state.redb`). The store is
//! never needed to answer: when it fails, what should stand there is held in memory and written
//! once it works again; when it is broken at start, it is put aside and a new one is begun.
//! Must not know what a latch or an override *is*: those are JSON of their owners.
//!
//! | table | key | value |
//! |---|---|---|
//! | `server` | `schema`, `boot`, `clean`, `swap` | of the database itself |
//! | `targets` | key of the target | [`SavedTarget`] |
//! | `slots` | `zone/pool/endpoint ADDRESS` | [`SavedSlot`] |
//! | `machines` | `zone/record` or `zone/policy` | the state of a failover |
//! | `overrides` | number | a change of the operator's |
//! | `notes` | name | whatever else is to be remembered |
//! | `events` | number | an [`Event`], the newest [`EVENTS_KEPT`] of them |
//! | `audit` | number | an [`Entry`] behind its hash, the newest [`AUDIT_KEPT`] of them |
//! | `audit_ends` | `anchor`, `head` | where the chain of these begins and ends |
//!
//! # Versions
//!
//! `schema` is `MAJOR.MINOR`. The minor number rises when tables or fields are added, the major
//! one when older servers would misread what they find.
//!
//! - A **newer minor** is read by an older server. It leaves tables and fields that it does not
//!   know as they are, and shows events it does not know as they were logged.
//! - A **newer major** is put aside as a broken file is (`state.redb.broken-YYYYMMDDTHHMMSS`), and
//!   a new one is begun: to go back, stop the server and rename the file.
//! - An **older major** is migrated in one transaction, after a copy was kept as
//!   `state.redb.schemaMAJOR`: to downgrade over a major, put that copy back.

mod audit;
mod database;
mod keeper;
mod rows;
#[cfg(test)]
mod tests;

pub use audit::{Ends, read_file};
pub use database::RedbStore;
pub(super) use keeper::LEAP;
pub use keeper::{FILE, Keeper, StoreHealth};

use super::{audit::Entry, event::Event, spelled};
use crate::{
    clock::{Moment, Since},
    verdict::{Damped, Standing},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Events in the database: weeks of an ordinary server, about 50 MB at the most.
pub const EVENTS_KEPT: u64 = 100_000;

/// Entries of the audit in the database: at a hundred changes a day some years, at 600 bytes each
/// about 60 MB. Of those that were there before, the hash of the last one is kept.
pub const AUDIT_KEPT: u64 = 100_000;

/// What the run before left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// The number of this run.
    pub boot: u64,
    /// The newest World that an event names.
    pub swap: u64,
    /// The newest event's number; after a crash, one that none of the lost events had.
    pub seq: u64,
    /// The last verdict on each target, by its key.
    pub targets: HashMap<Arc<str>, SavedTarget>,
    /// When each slot fell, by name and address.
    pub slots: HashMap<(Arc<str>, Arc<str>), SavedSlot>,
    /// The states of failovers, by name.
    pub machines: HashMap<Arc<str>, Value>,
    /// The operator's changes, by number.
    pub overrides: BTreeMap<u64, Value>,
    /// Whatever else was remembered, by name.
    pub notes: HashMap<Arc<str>, Value>,
}

/// The last verdict on a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedTarget {
    /// How probes, the breaker and a pin left it.
    #[serde(with = "spelled::standing")]
    pub standing: Standing,
    /// Whether its last probe failed.
    pub failing: bool,
    /// Why.
    pub reason: Arc<str>,
    /// Since when, in milliseconds since 1970.
    #[serde(rename = "since_ms", with = "spelled::wall")]
    pub since: SystemTime,
    /// What flap damping remembers of it.
    #[serde(default)]
    pub damped: Option<SavedDamped>,
}

/// A [`Damped`] by what had elapsed when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedDamped {
    /// How long after its fall the target does not rise.
    pub hold_down_ms: u64,
    /// How long ago it fell.
    pub fell_ms: u64,
    /// How long ago it rose, unless it fell since.
    pub rose_ms: Option<u64>,
    /// It fell soon after it had risen.
    pub flapping: bool,
}

impl SavedDamped {
    /// `damped` as it is at `now`.
    pub fn of(damped: &Damped, now: Moment) -> SavedDamped {
        let ms = |since: Since| spelled::millis(since.elapsed(now));
        SavedDamped {
            hold_down_ms: spelled::millis(damped.hold_down),
            fell_ms: ms(damped.fell),
            rose_ms: damped.rose.map(ms),
            flapping: damped.flapping,
        }
    }

    /// What goes on from there at `now`.
    pub fn resumed(self, now: Moment) -> Damped {
        let since = |ms| Since::resumed(Duration::from_millis(ms), now);
        Damped {
            hold_down: Duration::from_millis(self.hold_down_ms),
            fell: since(self.fell_ms),
            rose: self.rose_ms.map(since),
            flapping: self.flapping,
        }
    }
}

/// When a slot fell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedSlot {
    /// The World in which it last fell; 0 if it never did.
    pub fell: u64,
    /// Since when it stands as it does, in milliseconds since 1970.
    #[serde(rename = "since_ms", with = "spelled::wall")]
    pub since: SystemTime,
}

/// One thing to keep, or (`None`) to forget.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A verdict.
    Target {
        /// The target's key.
        key: Arc<str>,
        /// It.
        value: Option<SavedTarget>,
    },
    /// The fall of a slot.
    Slot {
        /// `zone/pool/endpoint`.
        name: Arc<str>,
        /// The address or name it answers.
        address: Arc<str>,
        /// It.
        value: Option<SavedSlot>,
    },
    /// The state of a failover.
    Machine {
        /// `zone/record` or `zone/policy`.
        name: Arc<str>,
        /// It.
        value: Option<Value>,
    },
    /// A change of the operator's.
    Override {
        /// Its number.
        id: u64,
        /// It.
        value: Option<Value>,
    },
    /// Anything else.
    Note {
        /// What it is found by.
        name: Arc<str>,
        /// It.
        value: Option<Value>,
    },
    /// What happened.
    Events(Vec<Event>),
    /// Who changed what.
    Audit(Box<Entry>),
}

/// Why nothing could be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another server holds the file.
    #[error(
        "{path} is in use by another server: two may not share a state folder; stop the other, \
         or give this one a `state` of its own"
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is no database, or a damaged one.
    #[error("{path} is damaged: {why}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// How.
        why: String,
    },
    /// It was written by a version whose files this one would misread.
    #[error("{path} has schema {schema}, which this version cannot read")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        schema: String,
    },
    /// The system says no: a full disk, a missing permission.
    #[error("{path}: {why}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What it says.
        why: String,
    },
    /// The server is stopping.
    #[error("the server is stopping")]
    Closed,
}

/// What is committed at once.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// What to keep or (`None`) forget, by table and key.
    rows: Vec<(rows::Shelf, &'a str, Option<&'a str>)>,
    /// What happened, oldest first.
    events: &'a [Event],
    /// Who changed what, oldest first.
    audit: &'a [audit::Row],
    /// Whether `rows` is all there is to be: others go.
    whole: bool,
}

/// A place that keeps what it was given through the end of the process.
pub trait Store: Send + Sync {
    /// Commits all of `batch`, durably, or nothing of it. Says so when it had to begin anew
    /// because what it had is damaged.
    ///
    /// # Errors
    /// When it cannot; the next try may.
    fn commit(&self, batch: &Batch<'_>) -> Result<Option<String>, StoreError>;

    /// Shows the events after number `since`, oldest first, for as long as `visit` wants more.
    ///
    /// # Errors
    /// When they cannot be read.
    fn events(&self, since: u64, visit: &mut dyn FnMut(Event) -> bool) -> Result<(), StoreError>;

    /// Shows the entries of the audit after number `since` as they are kept, oldest first, for as
    /// long as `visit` wants more, and says where they begin and end.
    ///
    /// # Errors
    /// When they cannot be read.
    fn audit(
        &self,
        since: u64,
        visit: &mut dyn FnMut(u64, &str) -> bool,
    ) -> Result<Ends, StoreError>;

    /// Lets go of it, for whoever comes next.
    fn close(&self);
}
