//! Hooks: others are told what happens, by a webhook or a program of the operator's.
//!
//! A hook follows the journal by itself, one incident after the other; the journal's ring is its
//! queue, so that a hook that hangs costs no memory and delays nobody. What it missed because
//! the ring had gone on is counted and told. Off unless configured. Must not decide anything:
//! answers never wait for a hook.

mod delivery;
#[cfg(test)]
mod tests;

use crate::{
    admin::schema::{EventLine, HookLine, SCHEMA_VERSION},
    clock::Dice,
    config::hooks::HookDef,
    control::{Change, event::EventKind, journal::SharedJournal},
};
use delivery::{Courier, Failure};
use serde::Serialize;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::mpsc, task::AbortHandle};

/// Events of an incident that a hook is told one by one; the counts are of all.
const EVENTS_MAX: usize = 20;

/// How long it is waited before another attempt: doubled from the first to the second.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub most: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { first: Duration::from_secs(1), most: Duration::from_secs(60) }
    }
}

impl Pace {
    /// The pause after `failures` in a row; a half of it is left to chance, so that many servers
    /// do not come back to one gateway at once.
    fn pause(self, failures: u32, dice: &mut Dice) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let part = 0.5 + 0.5 * (dice.roll() >> 11) as f64 / (1u64 << 53) as f64;
        doubled.min(self.most).mul_f64(part)
    }
}

/// What a hook is told: one incident.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// Version of this form and of the events in it.
    pub schema_version: u32,
    /// The hook's name.
    pub hook: String,
    /// The number of the incident: of its first event.
    pub incident: u64,
    /// When it happened.
    pub at: String,
    /// Whether someone should look.
    pub alarm: bool,
    /// Its first event, in words.
    pub text: String,
    /// How many events it has.
    pub count: usize,
    /// The first twenty of them.
    pub events: Vec<EventLine>,
}

/// All hooks. Dropping it ends them.
pub struct Hooks {
    dir: PathBuf,
    journal: SharedJournal,
    changes: mpsc::UnboundedSender<Change>,
    pace: Pace,
    runtime: Handle,
    running: Mutex<HashMap<String, Running>>,
}

/// A hook at work.
struct Running {
    def: HookDef,
    line: Arc<Mutex<HookLine>>,
    /// The newest event that it is done with.
    told: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hooks {
    /// No hooks yet; token files are relative to `dir`. To be called in a runtime.
    pub fn new(
        dir: &Path,
        journal: SharedJournal,
        changes: mpsc::UnboundedSender<Change>,
        pace: Pace,
    ) -> Hooks {
        let (dir, runtime) = (dir.to_owned(), Handle::current());
        Hooks { dir, journal, changes, pace, runtime, running: Mutex::default() }
    }

    /// Runs these hooks from now on; one that is as before goes on where it is.
    pub fn update(&self, defs: &[HookDef]) {
        let mut running = self.lock();
        let mut before = std::mem::take(&mut *running);
        for def in defs {
            let hook = match before.remove(&def.name) {
                Some(known) if known.def == *def => known,
                // What waits for the hook as it was waits for it as it is.
                known => self.start(def, known.as_ref()),
            };
            running.insert(def.name.clone(), hook);
        }
    }

    /// How each goes, by name.
    pub fn state(&self) -> Vec<HookLine> {
        let running = self.lock();
        let line = |hook: &Running| lock(&hook.line).clone();
        let mut lines: Vec<HookLine> = running.values().map(line).collect();
        lines.sort_by(|a, b| a.name.cmp(&b.name));
        lines
    }

    fn start(&self, def: &HookDef, before: Option<&Running>) -> Running {
        let fresh = || HookLine { name: def.name.clone(), ..HookLine::default() };
        let line = before.map_or_else(fresh, |before| lock(&before.line).clone());
        let line = Arc::new(Mutex::new(line));
        let newest = *self.journal.newest().borrow();
        let told = before.map_or(newest, |before| before.told.load(Ordering::Relaxed));
        let (seen, told) = (told, Arc::new(AtomicU64::new(told)));
        let hook = Hook {
            courier: Courier::new(def, &self.dir),
            def: def.clone(),
            journal: self.journal.clone(),
            changes: self.changes.clone(),
            pace: self.pace,
            dice: Dice::seeded(seen ^ def.name.len() as u64),
            line: Arc::clone(&line),
            told: Arc::clone(&told),
            seen,
            is_failing: false,
        };
        let task = self.runtime.spawn(hook.run()).abort_handle();
        Running { def: def.clone(), line, told, task }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        // Hooks are put in place whole, so a panic elsewhere has spoilt nothing.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").field("hooks", &self.state()).finish_non_exhaustive()
    }
}

fn lock(line: &Mutex<HookLine>) -> MutexGuard<'_, HookLine> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One hook's task.
struct Hook {
    def: HookDef,
    courier: Courier,
    journal: SharedJournal,
    changes: mpsc::UnboundedSender<Change>,
    pace: Pace,
    dice: Dice,
    line: Arc<Mutex<HookLine>>,
    /// The newest event it is done with, for a hook of the same name after it.
    told: Arc<AtomicU64>,
    /// The newest event it has looked at.
    seen: u64,
    is_failing: bool,
}

impl Hook {
    async fn run(mut self) {
        let mut newest = self.journal.newest();
        loop {
            newest.borrow_and_update();
            while let Some(told) = self.next() {
                self.deliver(&told).await;
                self.told.store(self.seen, Ordering::Relaxed);
            }
            self.told.store(self.seen, Ordering::Relaxed);
            // The journal is gone only when the server is.
            if newest.changed().await.is_err() {
                return;
            }
        }
    }

    /// The next incident it wants to be told of.
    fn next(&mut self) -> Option<Told> {
        let journal = self.journal.lock();
        let missed = journal.oldest().saturating_sub(self.seen + 1);
        if missed > 0 {
            lock(&self.line).missed += missed;
            self.seen = journal.oldest() - 1;
        }
        let mut events = journal.since(self.seen).peekable();
        while let Some(first) = events.peek().map(|event| event.incident) {
            let (mut lines, mut count) = (Vec::new(), 0);
            let (mut wanted, mut alarm) = (false, false);
            while let Some(event) = events.next_if(|event| event.incident == first) {
                self.seen = event.seq;
                count += 1;
                wanted |= self.def.wants(event.kind.word(), event.kind.is_alarm());
                alarm |= event.kind.is_alarm();
                if lines.len() < EVENTS_MAX {
                    lines.push(EventLine::from(event));
                }
            }
            if wanted && let Some(line) = lines.first() {
                return Some(Told {
                    schema_version: SCHEMA_VERSION,
                    hook: self.def.name.clone(),
                    incident: first,
                    at: line.at.clone(),
                    alarm,
                    text: line.text.clone(),
                    count,
                    events: lines,
                });
            }
        }
        None
    }

    async fn deliver(&mut self, told: &Told) {
        let mut failures = 0;
        loop {
            let Err(Failure { why, is_final }) = self.courier.deliver(told).await else {
                lock(&self.line).delivered += 1;
                if std::mem::take(&mut self.is_failing) {
                    self.tell("works again".to_owned(), true);
                }
                return;
            };
            failures += 1;
            lock(&self.line).last_error = Some(why.clone());
            if is_final || failures > self.def.retries {
                lock(&self.line).failed += 1;
                if !std::mem::replace(&mut self.is_failing, true) {
                    let what = format!("incident {} was not delivered: {why}", told.incident);
                    self.tell(what, false);
                }
                return;
            }
            let pause = self.pace.pause(failures, &mut self.dice);
            tokio::time::sleep(pause).await;
        }
    }

    fn tell(&self, what: String, well: bool) {
        let hook = self.def.name.as_str().into();
        // Fails only while the server stops.
        let _ =
            self.changes.send(Change::Record(EventKind::Hook { hook, what: what.into(), well }));
    }
}
