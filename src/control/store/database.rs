//! The store in one redb file.
//!
//! redb answers damage with an error or, now and then, with a panic, even while it is closed;
//! all of them end here, as [`StoreError::Broken`]. After an error nothing more can be done with an open database, so it
//! is closed and opened again for the next commit. A file whose content was not read at start is
//! never written over: it is put aside.

use super::{
    AUDIT_KEPT, Batch, EVENTS_KEPT, Store, StoreError,
    audit::{self, Ends},
    rows::{self, Rows, Shelf},
};
use crate::{
    clock::Clock,
    control::{audit::chain::Link, event::Event},
};
use arc_swap::ArcSwapOption;
use redb::{
    Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition, TableError, WriteTransaction,
};
use std::{
    fs::{self, File, OpenOptions},
    io,
    ops::Deref,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// What redb may hold in memory: all but the events of most servers.
const CACHE_BYTES: usize = 4 << 20;

const EVENTS: TableDefinition<'static, u64, &str> = TableDefinition::new("events");

/// Brings the tables of one major version to the next.
pub(super) type Migration = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// Which versions are read, and how older ones are brought there.
#[derive(Clone, Copy)]
pub(super) struct Format {
    pub major: u32,
    pub minor: u32,
    /// From major version 1, from 2, …
    pub migrations: &'static [Migration],
}

const FORMAT: Format = Format { major: 1, minor: 1, migrations: &[] };

/// One redb file.
pub struct RedbStore {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    format: Format,
    database: ArcSwapOption<Open>,
    /// Why what stands in the file is to be put aside rather than written to, if it is.
    distrusted: Mutex<Option<String>>,
    pub(super) events_kept: u64,
    pub(super) audit_kept: u64,
}

/// An open database, which does not take us with it when closing it panics.
struct Open(Option<Database>);

impl Deref for Open {
    type Target = Database;
    fn deref(&self) -> &Database {
        self.0.as_ref().expect("only drop takes it out")
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let database = self.0.take();
        // A commit or the next opening says what is wrong with it.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }
}

/// What was found in the file.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub rows: Rows,
    /// Number of the newest event.
    pub newest: u64,
    /// The end of the audit.
    pub head: Link,
    /// Whether a newer version wrote it, whose fields are to be left alone.
    pub is_newer: bool,
}

impl Found {
    /// What stands in a file that was just begun.
    pub(super) fn fresh() -> Found {
        let mut found = Found::default();
        found.rows.insert(schema_key(), schema_text((FORMAT.major, FORMAT.minor)));
        found
    }
}

fn schema_key() -> (Shelf, String) {
    (Shelf::Server, "schema".to_owned())
}

fn schema_text((major, minor): (u32, u32)) -> String {
    format!("\"{major}.{minor}\"")
}

impl RedbStore {
    /// The store in the file at `path`, not opened yet.
    pub(super) fn new(path: PathBuf, clock: Arc<dyn Clock>) -> RedbStore {
        RedbStore::with_format(path, clock, FORMAT)
    }

    pub(super) fn with_format(path: PathBuf, clock: Arc<dyn Clock>, format: Format) -> RedbStore {
        let unread = format!("{} was not read at start", path.display());
        RedbStore {
            path,
            clock,
            format,
            database: ArcSwapOption::empty(),
            distrusted: Mutex::new(Some(unread)),
            events_kept: EVENTS_KEPT,
            audit_kept: AUDIT_KEPT,
        }
    }

    /// Opens the file and reads all of it but the events. What can be read but not written is
    /// read all the same: a full disk must cost no latch.
    ///
    /// # Errors
    /// When there is nothing that can be read.
    pub(super) fn load(&self) -> Result<Found, StoreError> {
        let found = match self.connect() {
            Ok(database) => {
                let (database, found) = self.migrated(database)?;
                self.database.store(Some(Arc::new(database)));
                found
            }
            Err(failed @ StoreError::Failed { .. }) => self.load_read_only().ok_or(failed)?,
            Err(error) => return Err(error),
        };
        let found = self.checked(found)?;
        *self.distrusted() = None;
        Ok(found)
    }

    /// Renames the file to a name that says when and why, and that nothing had before.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub(super) fn put_aside(&self) -> Result<PathBuf, StoreError> {
        self.database.store(None);
        let stem = format!("{}.broken-{}", self.path.display(), stamp(self.clock.wall()));
        let names = (2..).map(|n| format!("{stem}-{n}"));
        let free = std::iter::once(stem.clone()).chain(names).map(PathBuf::from);
        let aside = free.into_iter().find(|path| fs::symlink_metadata(path).is_err());
        let aside = aside.expect("the names are endless and a folder is not");
        fs::rename(&self.path, &aside).map_err(|error| self.failed(&error))?;
        *self.distrusted() = None;
        Ok(aside)
    }

    fn distrusted(&self) -> MutexGuard<'_, Option<String>> {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Result<Open, StoreError> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|error| self.failed(&error))?;
        }
        let mut options = OpenOptions::new();
        // Reasons and names of operators are nobody else's business.
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&self.path).map_err(|error| self.failed(&error))?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        self.guarded(|| Ok(Open(Some(builder.create_file(file)?))))
    }

    /// What can be read of a file that cannot be written.
    fn load_read_only(&self) -> Option<Found> {
        let found = self.guarded(|| {
            let database = ReadOnlyDatabase::open(&self.path)?;
            self.read(&database.begin_read()?)
        });
        found.ok()
    }

    fn read(&self, from: &ReadTransaction) -> Result<Found, redb::Error> {
        let mut found = Found::default();
        for shelf in Shelf::ALL {
            let table = match from.open_table(table(shelf)) {
                Err(TableError::TableDoesNotExist(_)) => continue,
                table => table?,
            };
            for row in table.iter()? {
                let (key, value) = row?;
                found.rows.insert((shelf, key.value().to_owned()), value.value().to_owned());
            }
        }
        match from.open_table(EVENTS) {
            Err(TableError::TableDoesNotExist(_)) => {}
            table => found.newest = table?.last()?.map_or(0, |(seq, _)| seq.value()),
        }
        found.head = audit::ends(from)?.head;
        Ok(found)
    }

    /// `found`, with the schema that is to be written, unless it is one that we would misread.
    fn checked(&self, mut found: Found) -> Result<Found, StoreError> {
        let ours = (self.format.major, self.format.minor);
        let schema = match found.rows.get(&schema_key()) {
            None if found.rows.is_empty() => ours,
            None => return Err(self.broken("it has no schema")),
            Some(text) => schema(text).ok_or_else(|| self.broken("its schema is no version"))?,
        };
        if schema.0 != ours.0 {
            let schema = format!("{}.{}", schema.0, schema.1);
            return Err(StoreError::Newer { path: self.path.clone(), schema });
        }
        found.is_newer = schema > ours;
        found.rows.insert(schema_key(), schema_text(schema.max(ours)));
        Ok(found)
    }

    /// `database` and what it holds, brought to our major version if it has an older one.
    fn migrated(&self, database: Open) -> Result<(Open, Found), StoreError> {
        let found = self.guarded(|| self.read(&database.begin_read()?))?;
        let old = found.rows.get(&schema_key()).and_then(|text| schema(text));
        let steps = old.and_then(|(old, _)| self.format.migrations.get(old.max(1) as usize - 1..));
        let (Some((old, _)), Some(steps @ [_, ..])) = (old, steps) else {
            return Ok((database, found));
        };
        // Closed while it is copied, so that the copy is a whole database.
        drop(database);
        let copy = PathBuf::from(format!("{}.schema{old}", self.path.display()));
        let copied = fs::copy(&self.path, &copy).and_then(|_| File::open(&copy)?.sync_all());
        copied.map_err(|error| self.failed(&error))?;
        let database = self.connect()?;
        let found = self.guarded(|| {
            let transaction = database.begin_write()?;
            for step in steps {
                step(&transaction)?;
            }
            let schema = schema_text((self.format.major, self.format.minor));
            transaction.open_table(table(Shelf::Server))?.insert("schema", &*schema)?;
            transaction.commit()?;
            self.read(&database.begin_read()?)
        })?;
        Ok((database, found))
    }

    /// Opens the file for a commit; says so if what stood there had to be put aside.
    fn reopened(&self) -> Result<Option<String>, StoreError> {
        let problem = match (self.connect(), self.distrusted().clone()) {
            (Ok(database), None) => {
                self.database.store(Some(Arc::new(database)));
                return Ok(None);
            }
            (Ok(_), Some(problem)) => problem,
            (Err(broken @ StoreError::Broken { .. }), _) => broken.to_string(),
            (Err(error), _) => return Err(error),
        };
        let aside = self.put_aside()?;
        self.database.store(Some(Arc::new(self.connect()?)));
        Ok(Some(lost(&problem, &aside)))
    }

    /// The database, for those who read.
    fn opened(&self) -> Result<Arc<Open>, StoreError> {
        let why = || "it is not open".to_owned();
        let open = self.database.load_full();
        open.ok_or_else(|| StoreError::Failed { path: self.path.clone(), why: why() })
    }

    fn write(&self, database: &Database, batch: &Batch<'_>) -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        // Costs a second fsync, and saves reading the whole file after a crash.
        transaction.set_quick_repair(true);
        for shelf in Shelf::ALL {
            let mut rows = batch.rows.iter().filter(|row| row.0 == shelf).peekable();
            if rows.peek().is_none() && !batch.whole {
                continue;
            }
            let mut table = transaction.open_table(table(shelf))?;
            if batch.whole {
                table.retain(|_, _| false)?;
            }
            for (_, key, value) in rows {
                match value {
                    Some(value) => drop(table.insert(*key, *value)?),
                    None => drop(table.remove(*key)?),
                }
            }
        }
        if !batch.events.is_empty() {
            let mut table = transaction.open_table(EVENTS)?;
            for event in batch.events {
                table.insert(event.seq, &*rows::event_text(event))?;
            }
            for _ in self.events_kept..table.len()? {
                table.pop_first()?;
            }
        }
        audit::write(&transaction, batch.audit, self.audit_kept)?;
        Ok(transaction.commit()?)
    }

    /// Does `work`, and turns whatever goes wrong into an error of ours.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.error(error)),
            Err(_) => Err(self.broken("reading it ended in a panic; the log says more")),
        }
    }

    fn error(&self, error: redb::Error) -> StoreError {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        match error {
            redb::Error::DatabaseAlreadyOpen => StoreError::Locked { path: self.path.clone() },
            redb::Error::Io(cause) if !matches!(cause.kind(), InvalidData | UnexpectedEof) => {
                self.failed(&cause)
            }
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
                StoreError::Failed { path: self.path.clone(), why: error.to_string() }
            }
            error => self.broken(&error.to_string()),
        }
    }

    fn broken(&self, why: &str) -> StoreError {
        StoreError::Broken { path: self.path.clone(), why: why.to_owned() }
    }

    fn failed(&self, cause: &io::Error) -> StoreError {
        StoreError::Failed { path: self.path.clone(), why: cause.to_string() }
    }
}

impl Store for RedbStore {
    fn close(&self) {
        self.database.store(None);
    }

    fn commit(&self, batch: &Batch<'_>) -> Result<Option<String>, StoreError> {
        let said = match self.database.load().is_none() {
            true => self.reopened()?,
            false => None,
        };
        let Some(database) = self.database.load_full() else { return Err(StoreError::Closed) };
        let written = self.guarded(|| self.write(&database, batch));
        if let Err(error) = &written {
            self.database.store(None);
            if matches!(error, StoreError::Broken { .. }) {
                *self.distrusted() = Some(error.to_string());
            }
        }
        written.map(|()| said)
    }

    fn events(&self, since: u64, visit: &mut dyn FnMut(Event) -> bool) -> Result<(), StoreError> {
        let database = self.opened()?;
        self.guarded(|| {
            let transaction = database.begin_read()?;
            let table = match transaction.open_table(EVENTS) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(()),
                table => table?,
            };
            for row in table.range(since.saturating_add(1)..)? {
                // What cannot be read is no reason not to show the rest.
                if let Some(event) = rows::event(row?.1.value())
                    && !visit(event)
                {
                    break;
                }
            }
            Ok(())
        })
    }

    fn audit(
        &self,
        since: u64,
        visit: &mut dyn FnMut(u64, &str) -> bool,
    ) -> Result<Ends, StoreError> {
        let database = self.opened()?;
        self.guarded(|| audit::read(&database.begin_read()?, since, visit))
    }
}

/// What is said when `problem` made us begin anew.
pub(super) fn lost(problem: &str, aside: &Path) -> String {
    format!(
        "{problem}; it was put aside as {} and a new one begun: operator's changes, states of \
         failovers, last verdicts and older events are only there",
        aside.display()
    )
}

const fn table(shelf: Shelf) -> TableDefinition<'static, &'static str, &'static str> {
    TableDefinition::new(shelf.word())
}

/// `"1.0"`, with its quotes.
fn schema(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim_matches('"').split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `at` as YYYYMMDDTHHMMSS, in UTC.
fn stamp(at: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%S").to_string()
}
