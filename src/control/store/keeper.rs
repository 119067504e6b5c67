//! The thread that keeps things, and the way to it.
//!
//! It holds a copy of every row that should stand in the store. Writes change the copy; what
//! differs is committed a moment later, together with what came in meanwhile. When a commit
//! fails, nothing is lost but time: the whole copy is written at the next try. Senders never
//! wait, except those who ask for it with [`Keeper::flush`].

use super::{
    Batch, RedbStore, Saved, Store, StoreError, Write,
    audit::{self, Ends, SharedTrail},
    database::{self, Found},
    rows::{self, Happened, Rows, Shelf},
};
use crate::{
    clock::{Clock, Moment},
    control::event::{Event, EventKind},
};
use arc_swap::ArcSwapOption;
use std::{
    collections::BTreeSet,
    future::Future,
    io,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// The state database's name in the state folder.
pub const FILE: &str = "state.redb";
/// After a crash, numbers of events go on at the next multiple of this: those that were given
/// out, and seen, but not yet kept are not given out again. More than one commit ever holds.
pub(in crate::control) const LEAP: u64 = 100_000;
/// Events that wait for a store that fails; as many as the ring of the journal has.
const HELD_MAX: usize = crate::control::journal::RING;

/// How long things wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The first write, for those to be committed with it. A commit takes some ten milliseconds,
    /// so that everything is durable within a hundred.
    pub gather: Duration,
    /// The next try, after one that failed.
    pub retry: Duration,
}

/// A commit that takes longer hangs: one takes some ten milliseconds, on a busy disk a second.
const HUNG: Duration = Duration::from_secs(5);

const PACE: Pace = Pace { gather: Duration::from_millis(25), retry: Duration::from_secs(10) };

/// How keeping goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreHealth {
    /// Why nothing can be written now.
    pub failing: Option<Arc<str>>,
    /// What was lost since the start.
    pub lost: Option<Arc<str>>,
}

impl StoreHealth {
    /// What someone should look at, in sentences.
    pub fn alarms(&self) -> Vec<String> {
        let failing = self.failing.as_ref().map(|why| format!("cannot be written: {why}"));
        let all = failing.into_iter().chain(self.lost.as_ref().map(|lost| lost.to_string()));
        all.map(|alarm| format!("state database: {alarm}")).collect()
    }

    /// What is to be written down of it.
    pub fn event(&self) -> EventKind {
        let (what, well) = match (&self.failing, &self.lost) {
            (Some(why), lost) => {
                let lost = lost.as_ref().map(|lost| format!("; {lost}")).unwrap_or_default();
                let held = "what happens is held in memory and written once it can be";
                (format!("cannot be written: {why}; {held}{lost}").into(), false)
            }
            (None, Some(lost)) => (Arc::clone(lost), false),
            (None, None) => ("works again".into(), true),
        };
        EventKind::Store { what, well }
    }
}

/// The way to what is kept. Clones lead to the same place.
#[derive(Clone)]
pub struct Keeper {
    jobs: Sender<Job>,
    health: watch::Receiver<StoreHealth>,
    store: Arc<dyn Store>,
    trail: SharedTrail,
    clock: Arc<dyn Clock>,
    writing: Writing,
}

/// Since when a commit is under way, if one is: a disk that hangs says nothing by itself.
type Writing = Arc<ArcSwapOption<Moment>>;

type Reply = oneshot::Sender<Result<(), StoreError>>;

enum Job {
    Write(Vec<Write>),
    Flush(Reply),
    Lose(Option<Moment>),
    Close(Reply),
}

impl Keeper {
    /// Opens `state.redb` in the state folder `dir`, and reads what the run before left there.
    /// A file that is broken is put aside; without any, all is held in memory. What went wrong
    /// comes back as an event.
    ///
    /// # Errors
    /// When another server holds the file, or the thread cannot be started.
    pub fn open(
        dir: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<(Keeper, Saved, Option<EventKind>), StoreError> {
        let store = RedbStore::new(dir.join(FILE), Arc::clone(&clock));
        Keeper::over(store, clock, PACE)
    }

    pub(super) fn over(
        store: RedbStore,
        clock: Arc<dyn Clock>,
        pace: Pace,
    ) -> Result<(Keeper, Saved, Option<EventKind>), StoreError> {
        let (found, mut health) = found(&store)?;
        let (mut saved, unread) = rows::saved(&found.rows);
        if unread > 0 {
            let lost = format!("{unread} entries cannot be read and are left out");
            health.lost = Some(
                health.lost.map_or_else(|| lost.clone(), |had| format!("{had}; {lost}")).into(),
            );
        }
        saved.boot += 1;
        let server = |key: &str| (Shelf::Server, key.to_owned());
        let was_clean = found.rows.get(&server("clean")).is_none_or(|clean| clean == "true");
        saved.seq = if was_clean { found.newest } else { (found.newest / LEAP + 1) * LEAP };
        let is_unread = health.failing.is_some();
        let mut desk = Desk::new(Arc::new(store), clock, pace, watch::Sender::new(health));
        (desk.whole, desk.keeps_unknown) = (is_unread, found.is_newer);
        desk.rows = found.rows;
        audit::lock(&desk.trail).resume(found.head);
        desk.set(server("boot"), Some(saved.boot.to_string()));
        desk.set(server("clean"), Some("false".to_owned()));
        desk.dirty.insert(server("schema"));
        // Whether it can be written shows at once, not with the first thing that is lost. What
        // turns out to be damaged only now is put aside by the second try.
        if let Err(StoreError::Broken { .. }) = desk.commit() {
            // The health says how it went.
            let _ = desk.commit();
        }
        let keeper = desk.start()?;
        let health = keeper.health();
        let alarm = (health != StoreHealth::default()).then(|| health.event());
        Ok((keeper, saved, alarm))
    }

    /// Has `writes` kept, soon.
    pub fn write(&self, writes: Vec<Write>) {
        // Fails only while the server stops.
        let _ = self.jobs.send(Job::Write(writes));
    }

    /// Behaves as if the database were lost until that moment, or (`None`) no more: a rehearsal.
    /// What is written meanwhile is held in memory, as ever when it cannot be kept. A clean end
    /// ends it too: what was held is written then.
    pub fn lose(&self, until: Option<Moment>) {
        // Fails only while the server stops.
        let _ = self.jobs.send(Job::Lose(until));
    }

    /// Waits until everything written before is durable.
    ///
    /// # Errors
    /// When it cannot be written now; it is tried again later.
    pub fn flush(&self) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        self.ask(Job::Flush)
    }

    /// Commits what is left, says that this run ended well, and ends.
    ///
    /// # Errors
    /// When what is left cannot be written.
    pub fn close(&self) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        self.ask(Job::Close)
    }

    fn ask(
        &self,
        job: impl FnOnce(Reply) -> Job,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let (reply, done) = oneshot::channel();
        // If the thread has ended, so has the other end of the reply.
        let _ = self.jobs.send(job(reply));
        async { done.await.unwrap_or(Err(StoreError::Closed)) }
    }

    /// How keeping goes now. A commit that does not come to an end is told here only.
    pub fn health(&self) -> StoreHealth {
        let mut health = self.health.borrow().clone();
        let since = self.writing.load();
        let taken = since.as_ref().map_or(Duration::ZERO, |since| self.clock.now().since(**since));
        if taken >= HUNG && health.failing.is_none() {
            let taken = taken.as_secs();
            health.failing = Some(format!("a write has not ended for {taken} s").into());
        }
        health
    }

    /// How keeping goes, for those who wait for it to change.
    pub fn watch_health(&self) -> watch::Receiver<StoreHealth> {
        self.health.clone()
    }

    /// Shows the kept events after number `since`, oldest first, as long as `visit` wants more.
    /// Reads from disk.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn events(
        &self,
        since: u64,
        visit: &mut dyn FnMut(Event) -> bool,
    ) -> Result<(), StoreError> {
        self.store.events(since, visit)
    }

    /// Shows the entries of the audit after number `since` as they are kept, or will be, oldest
    /// first, for as long as `visit` wants more; and says where they begin and end.
    ///
    /// # Errors
    /// When those on disk cannot be read.
    pub fn audit(
        &self,
        since: u64,
        visit: &mut dyn FnMut(u64, &str) -> bool,
    ) -> Result<Ends, StoreError> {
        audit::with_held(&*self.store, &self.trail, since, visit)
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("health", &self.health()).finish_non_exhaustive()
    }
}

/// What stands in `store`, and what is to be said of it.
fn found(store: &RedbStore) -> Result<(Found, StoreHealth), StoreError> {
    let mut health = StoreHealth::default();
    let problem = match store.load() {
        Ok(found) => return Ok((found, health)),
        Err(locked @ StoreError::Locked { .. }) => return Err(locked),
        Err(problem) => problem,
    };
    let anew = match &problem {
        StoreError::Broken { .. } | StoreError::Newer { .. } => {
            store.put_aside().and_then(|aside| {
                health.lost = Some(database::lost(&problem.to_string(), &aside).into());
                store.load()
            })
        }
        _ => Err(problem),
    };
    Ok(match anew {
        Ok(found) => (found, health),
        Err(error) => {
            health.failing = Some(error.to_string().into());
            (Found::fresh(), health)
        }
    })
}

/// The thread's own.
pub(super) struct Desk {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    told: watch::Sender<StoreHealth>,
    /// What should stand in the store.
    rows: Rows,
    /// Where it does not yet.
    dirty: BTreeSet<(Shelf, String)>,
    /// Not kept yet.
    events: Vec<Event>,
    /// The end of the audit.
    trail: SharedTrail,
    /// Whether nothing is known of what stands in the store.
    whole: bool,
    /// Whether a newer version's fields are to be left alone.
    keeps_unknown: bool,
    /// When the next commit is due.
    due: Option<Moment>,
    /// Until when a rehearsal has it lost.
    lost_until: Option<Moment>,
    writing: Writing,
}

impl Desk {
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        pace: Pace,
        told: watch::Sender<StoreHealth>,
    ) -> Desk {
        Desk {
            store,
            clock,
            pace,
            told,
            rows: Rows::new(),
            dirty: BTreeSet::new(),
            events: Vec::new(),
            trail: SharedTrail::default(),
            whole: false,
            keeps_unknown: false,
            due: None,
            lost_until: None,
            writing: Writing::default(),
        }
    }

    /// Starts the thread.
    pub(super) fn start(self) -> Result<Keeper, StoreError> {
        let (jobs, taken) = channel();
        let (health, store) = (self.told.subscribe(), Arc::clone(&self.store));
        let trail = Arc::clone(&self.trail);
        let (clock, writing) = (Arc::clone(&self.clock), Arc::clone(&self.writing));
        let thread = thread::Builder::new().name("state".to_owned());
        let started = thread.spawn(move || self.run(&taken));
        let failed = |error: io::Error| StoreError::Failed {
            path: "the thread that writes".into(),
            why: error.to_string(),
        };
        started.map_err(failed)?;
        Ok(Keeper { jobs, health, store, trail, clock, writing })
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            match self.next(jobs) {
                Ok(Job::Write(writes)) => self.take(writes),
                // Who asked and has gone away needs no try of its own.
                Ok(Job::Flush(reply)) if reply.is_closed() => {}
                Ok(Job::Flush(reply)) => drop(reply.send(self.commit())),
                Ok(Job::Lose(until)) => self.lose(until),
                Ok(Job::Close(reply)) => return drop(reply.send(self.close())),
                Err(RecvTimeoutError::Timeout) => drop(self.commit()),
                Err(RecvTimeoutError::Disconnected) => return drop(self.close()),
            }
        }
    }

    fn lose(&mut self, until: Option<Moment>) {
        if self.lost_until != until {
            self.lost_until = until;
            // It shows at once, and so does that it is over.
            self.whole = true;
            drop(self.commit());
        }
    }

    /// The next job, unless a commit is due before.
    fn next(&self, jobs: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        let Some(due) = self.due else {
            return jobs.recv().map_err(|_| RecvTimeoutError::Disconnected);
        };
        match due.since(self.clock.now()) {
            // Jobs that never end must not keep a commit waiting.
            Duration::ZERO => Err(RecvTimeoutError::Timeout),
            left => jobs.recv_timeout(left),
        }
    }

    fn take(&mut self, writes: Vec<Write>) {
        for write in writes {
            match rows::row(write) {
                Ok((shelf, key, value)) => self.set((shelf, key), value),
                Err(Happened::Events(events)) => self.happened(events),
                Err(Happened::Audit(entry)) => audit::lock(&self.trail).add(&entry, HELD_MAX),
            }
        }
        if self.due.is_none() && !self.is_done() {
            self.due = Some(self.clock.now().after(self.pace.gather));
        }
    }

    /// Changes one row of the copy; what is there already is no change.
    fn set(&mut self, at: (Shelf, String), mut value: Option<String>) {
        let old = self.rows.get(&at);
        if let (true, Shelf::Targets | Shelf::Slots, Some(old)) = (self.keeps_unknown, at.0, old) {
            value = value.map(|new| rows::with_unknown_fields(new, old));
        }
        if old == value.as_ref() {
            return;
        }
        match value {
            Some(value) => drop(self.rows.insert(at.clone(), value)),
            None => drop(self.rows.remove(&at)),
        }
        self.dirty.insert(at);
    }

    fn happened(&mut self, events: Vec<Event>) {
        if let Some(newest) = events.last() {
            self.set((Shelf::Server, "swap".to_owned()), Some(newest.swap.to_string()));
        }
        self.events.extend(events);
        // While the store works they are gone within a moment, however many they are.
        let surplus = self.events.len().saturating_sub(HELD_MAX);
        if self.told.borrow().failing.is_some() {
            self.events.drain(..surplus);
        }
    }

    fn is_done(&self) -> bool {
        let is_told = self.events.is_empty() && audit::lock(&self.trail).is_kept();
        self.dirty.is_empty() && is_told && !self.whole
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if self.is_done() {
            return Ok(());
        }
        let rows = match self.whole {
            true => self.rows.iter().map(|(at, value)| (at.0, &*at.1, Some(&**value))).collect(),
            false => {
                let value = |at| self.rows.get(at).map(|value| &**value);
                self.dirty.iter().map(|at| (at.0, &*at.1, value(at))).collect()
            }
        };
        let audit = audit::lock(&self.trail).held(self.clock.wall());
        let batch = Batch { rows, events: &self.events, audit: &audit, whole: self.whole };
        let lost_until = self.lost_until.filter(|until| self.clock.now() < *until);
        let committed = match lost_until {
            Some(_) => Err(rehearsed()),
            None => {
                self.writing.store(Some(Arc::new(self.clock.now())));
                let committed = self.store.commit(&batch);
                self.writing.store(None);
                committed
            }
        };
        self.tell(&committed);
        match &committed {
            Ok(_) => {
                self.dirty.clear();
                self.events.clear();
                audit::lock(&self.trail).kept(audit.len());
                (self.whole, self.due) = (false, None);
            }
            Err(_) => {
                self.whole = true;
                // From the end of this try: however long one takes, jobs are heard between two.
                let retry = self.clock.now().after(self.pace.retry);
                self.due = Some(lost_until.map_or(retry, |until| until.min(retry)));
            }
        }
        committed.map(drop)
    }

    /// Shows how the commit went to those who watch, if that is news.
    fn tell(&self, committed: &Result<Option<String>, StoreError>) {
        self.told.send_if_modified(|health| match committed {
            Err(error) => health.failing.replace(error.to_string().into()).is_none(),
            Ok(lost) => {
                if let Some(lost) = lost {
                    health.lost = Some(lost.as_str().into());
                }
                health.failing.take().is_some() || lost.is_some()
            }
        });
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.set((Shelf::Server, "clean".to_owned()), Some("true".to_owned()));
        // Nobody is left to end the rehearsal, and what it held would be lost in earnest.
        self.lost_until = None;
        let committed = self.commit();
        self.store.close();
        committed
    }
}

/// What a rehearsal says in place of the system.
fn rehearsed() -> StoreError {
    StoreError::Failed { path: FILE.into(), why: "lost by a drill".into() }
}
