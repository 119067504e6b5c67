//! The audit in the store: its two tables, and the end of the chain that is not in them yet.
//!
//! Entries are added behind each other and never changed. Beside them stand the `head`, the last
//! one written, so that cutting off the end shows, and the `anchor`, the last one before the first
//! that is there: old ones go, and a file that was put aside took the ones before with it. Rows are
//! `super::super::audit::chain`'s. Reading them needs no server: [`read_file`].

use super::{Store, StoreError, rows};
use crate::control::audit::{
    Entry, Origin, Outcome, Side,
    chain::{Hash, Link},
};
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageBackend, TableDefinition, TableError, WriteTransaction, backends::InMemoryBackend,
};
use std::{
    fs::{File, TryLockError},
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

const ENTRIES: TableDefinition<'static, u64, &str> = TableDefinition::new("audit");
const ENDS: TableDefinition<'static, &str, &str> = TableDefinition::new("audit_ends");
const ANCHOR: &str = "anchor";
const HEAD: &str = "head";

/// Where a chain begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The last entry before the first that is there.
    pub anchor: Link,
    /// The last entry.
    pub head: Link,
}

/// An entry that is to be written.
#[derive(Clone, Debug)]
pub struct Row {
    /// The entry before it.
    after: Link,
    link: Link,
    text: String,
}

/// The end of the chain: the newest link, and the rows that are not kept yet.
#[derive(Debug, Default)]
pub(super) struct Trail {
    last: Link,
    held: Vec<Row>,
    /// Entries there was no room for.
    lost: usize,
}

/// The same for the thread that writes and for those who read.
pub(super) type SharedTrail = Arc<Mutex<Trail>>;

/// The trail, for a moment.
pub(super) fn lock(trail: &SharedTrail) -> MutexGuard<'_, Trail> {
    trail.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trail {
    /// Goes on behind `last`.
    pub fn resume(&mut self, last: Link) {
        self.last = last;
    }

    /// Puts `entry` at the end. Beyond `max` that a store which fails leaves here they are counted.
    pub fn add(&mut self, entry: &Entry, max: usize) {
        match self.held.len() < max {
            true => self.chain(entry),
            false => self.lost += 1,
        }
    }

    fn chain(&mut self, entry: &Entry) {
        let after = self.last;
        let (link, text) = after.then(&rows::text(entry));
        self.last = link;
        self.held.push(Row { after, link, text });
        let Entry { who, from, what, outcome, .. } = entry;
        let (seq, hash, outcome) = (link.seq, link.hash, outcome.word());
        // Wherever logs go, the hash goes too: there nobody can rewrite the chain who can here.
        tracing::info!(target: "tradewind::audit", seq, %who, %from, %outcome, %hash, "{what}");
    }

    /// What is to be written now.
    pub fn held(&mut self, now: SystemTime) -> Vec<Row> {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.chain(&gap(lost, now));
        }
        self.held.clone()
    }

    /// That the first `count` are written.
    pub fn kept(&mut self, count: usize) {
        self.held.drain(..count.min(self.held.len()));
    }

    /// Whether nothing waits to be written.
    pub fn is_kept(&self) -> bool {
        self.held.is_empty()
    }
}

/// That entries are missing, for want of room.
fn gap(lost: usize, at: SystemTime) -> Entry {
    let Origin { who, from, reason } = Origin::itself("state database");
    let said = format!("{lost} changes were not written down: the database failed for too long");
    Entry {
        at,
        who,
        from,
        reason,
        what: "audit".into(),
        target: None,
        outcome: Outcome::Refused,
        said: said.into(),
        rules: Vec::new(),
        before: Side::default(),
        after: Side::default(),
    }
}

/// Adds `new`, keeps the newest `most`, and notes where the chain begins and ends.
pub(super) fn write(to: &WriteTransaction, new: &[Row], most: u64) -> Result<(), redb::Error> {
    let (Some(first), Some(last)) = (new.first(), new.last()) else { return Ok(()) };
    let mut entries = to.open_table(ENTRIES)?;
    let mut ends = to.open_table(ENDS)?;
    if entries.is_empty()? && ends.get(ANCHOR)?.is_none() {
        // The ones before are in a file that was put aside, or were never any.
        ends.insert(ANCHOR, &*first.after.to_string())?;
    }
    for row in new {
        entries.insert(row.link.seq, &*row.text)?;
    }
    for _ in most..entries.len()? {
        let gone = entries.pop_first()?;
        let anchor = gone.and_then(|(seq, row)| {
            let (hash, _) = Hash::read(row.value())?;
            Some(Link { seq: seq.value(), hash })
        });
        if let Some(anchor) = anchor {
            ends.insert(ANCHOR, &*anchor.to_string())?;
        }
    }
    ends.insert(HEAD, &*last.link.to_string())?;
    Ok(())
}

/// Where the chain in a database begins and ends.
pub(super) fn ends(from: &ReadTransaction) -> Result<Ends, redb::Error> {
    let ends = match from.open_table(ENDS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Ends::default()),
        table => table?,
    };
    let link = |name| -> Result<Link, redb::Error> {
        let text = ends.get(name)?;
        Ok(text.and_then(|text| Link::parse(text.value())).unwrap_or_default())
    };
    Ok(Ends { anchor: link(ANCHOR)?, head: link(HEAD)? })
}

/// Shows the rows after number `since`.
pub(super) fn read(
    from: &ReadTransaction,
    since: u64,
    visit: &mut dyn FnMut(u64, &str) -> bool,
) -> Result<Ends, redb::Error> {
    let ends = ends(from)?;
    let entries = match from.open_table(ENTRIES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(ends),
        table => table?,
    };
    for row in entries.range(since.saturating_add(1)..)? {
        let (seq, text) = row?;
        if !visit(seq.value(), text.value()) {
            break;
        }
    }
    Ok(ends)
}

/// Shows the rows after number `since`, those that `trail` holds after those in `store`.
pub(super) fn with_held(
    store: &dyn Store,
    trail: &SharedTrail,
    since: u64,
    visit: &mut dyn FnMut(u64, &str) -> bool,
) -> Result<Ends, StoreError> {
    // First what is held: what is written meanwhile is then seen twice, and shown once.
    let held = lock(trail).held.clone();
    let (mut last, mut is_enough) = (since, false);
    let mut ends = store.audit(since, &mut |seq, text| {
        last = seq;
        is_enough = !visit(seq, text);
        !is_enough
    })?;
    for row in held {
        if row.link.seq > ends.head.seq {
            ends.head = row.link;
        }
        if row.link.seq > last && !is_enough {
            is_enough = !visit(row.link.seq, &row.text);
        }
    }
    Ok(ends)
}

/// Shows all rows of the state database at `path`, which is read into memory and left as it is:
/// after a crash it would have to be mended first, and evidence is not to be written to.
///
/// # Errors
/// When a server holds the file, or it cannot be read.
pub fn read_file(
    path: &Path,
    visit: &mut dyn FnMut(u64, &str) -> bool,
) -> Result<Ends, StoreError> {
    let path_of = || path.to_owned();
    let failed = |why: String| StoreError::Failed { path: path_of(), why };
    let mut file = File::open(path).map_err(|error| failed(error.to_string()))?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path: path_of() }),
        // Where there are no locks nobody else has one either.
        Err(TryLockError::Error(_)) | Ok(()) => {}
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    let broken = |why: String| StoreError::Broken { path: path_of(), why };
    let work = || -> Result<Ends, redb::Error> {
        let database = in_memory(&bytes)?;
        read(&database.begin_read()?, 0, visit)
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| broken(error.to_string())),
        Err(_) => Err(broken("reading it ended in a panic".to_owned())),
    }
}

fn in_memory(bytes: &[u8]) -> Result<Database, redb::Error> {
    let backend = InMemoryBackend::new();
    backend.set_len(bytes.len() as u64)?;
    backend.write(0, bytes)?;
    Ok(Builder::new().create_with_backend(backend)?)
}
