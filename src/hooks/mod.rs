//! Hooks: others are told what happens, by a webhook or a program of the operator's.
//!
//! A hook follows the journal by itself, one incident after the other; the journal is its queue,
//! so that a hook that hangs costs no memory and delays nobody, and how far it has come outlives
//! the process: what was not delivered before the end is delivered after the next start. What is
//! gone from the journal by then is counted and told. Off unless configured. Must not decide
//! anything: answers never wait for a hook.

mod delivery;
mod memory;
#[cfg(test)]
mod tests;

use crate::{
    admin::schema::{EventLine, HookLine, SCHEMA_VERSION},
    clock::Dice,
    config::hooks::HookDef,
    control::{
        Change,
        event::{Event, EventKind},
        journal::{Mark, SharedJournal},
    },
};
use delivery::{Courier, Failure};
pub use memory::Memory;
use serde::Serialize;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    memory: Arc<Memory>,
    runtime: Handle,
    running: Mutex<HashMap<String, Running>>,
}

/// A hook at work.
struct Running {
    def: HookDef,
    line: Arc<Mutex<HookLine>>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hooks {
    /// No hooks yet; token files are relative to `dir`, and each goes on where `memory` says. To
    /// be called in a runtime.
    pub fn new(
        dir: &Path,
        journal: SharedJournal,
        changes: mpsc::UnboundedSender<Change>,
        pace: Pace,
        memory: Memory,
    ) -> Hooks {
        let (dir, runtime, memory) = (dir.to_owned(), Handle::current(), Arc::new(memory));
        Hooks { dir, journal, changes, pace, memory, runtime, running: Mutex::default() }
    }

    /// Runs these hooks from now on; one that is as before goes on where it is.
    pub fn update(&self, defs: &[HookDef]) {
        let mut running = self.lock();
        let mut before = std::mem::take(&mut *running);
        self.memory.retain(defs);
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
        let newest = self.journal.lock().mark();
        let seen = self.memory.begin(&def.name, newest);
        let hook = Hook {
            courier: Courier::new(def, &self.dir),
            def: Arc::new(def.clone()),
            journal: self.journal.clone(),
            changes: self.changes.clone(),
            pace: self.pace,
            dice: Dice::seeded(seen.seq ^ def.name.len() as u64),
            line: Arc::clone(&line),
            memory: Arc::clone(&self.memory),
            seen,
            is_failing: false,
        };
        let task = self.runtime.spawn(hook.run()).abort_handle();
        Running { def: def.clone(), line, task }
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
    def: Arc<HookDef>,
    courier: Courier,
    journal: SharedJournal,
    changes: mpsc::UnboundedSender<Change>,
    pace: Pace,
    dice: Dice,
    line: Arc<Mutex<HookLine>>,
    /// For a hook of the same name after it.
    memory: Arc<Memory>,
    /// Up to where it has looked.
    seen: Mark,
    is_failing: bool,
}

impl Hook {
    async fn run(mut self) {
        let mut newest = self.journal.newest();
        loop {
            newest.borrow_and_update();
            loop {
                let (journal, def, seen) = (self.journal.clone(), Arc::clone(&self.def), self.seen);
                // What memory has no more is read from disk.
                let found = tokio::task::spawn_blocking(move || Found::after(seen, &journal, &def));
                // Fails only while the server stops.
                let Ok(Found { upto, gone, told }) = found.await else { return };
                self.missed(gone);
                self.seen = upto;
                let Some(told) = told else { break };
                self.deliver(&told).await;
            }
            self.done();
            // The journal is gone only when the server is.
            if newest.changed().await.is_err() {
                return;
            }
        }
    }

    /// It needs nothing of what it has looked at any more.
    fn done(&self) {
        self.memory.note(&self.def.name, self.seen);
    }

    fn missed(&self, gone: u64) {
        if gone > 0 {
            lock(&self.line).missed += gone;
            self.tell(format!("{gone} events were gone before it could be told of them"), false);
        }
    }

    async fn deliver(&mut self, told: &Told) {
        let mut failures = 0;
        loop {
            let Err(Failure { why, is_final }) = self.courier.deliver(told).await else {
                self.done();
                lock(&self.line).delivered += 1;
                if std::mem::take(&mut self.is_failing) {
                    self.tell("works again".to_owned(), true);
                }
                return;
            };
            failures += 1;
            lock(&self.line).last_error = Some(why.clone());
            if is_final || failures > self.def.retries {
                self.done();
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

/// What the journal has for a hook.
struct Found {
    /// Up to where it was looked at.
    upto: Mark,
    /// How many events are gone from it.
    gone: u64,
    /// The next incident that the hook wants to be told of.
    told: Option<Told>,
}

impl Found {
    fn after(seen: Mark, journal: &SharedJournal, def: &HookDef) -> Found {
        let mut found = Found { upto: seen, gone: 0, told: None };
        let mut open: Option<Incident> = None;
        journal.visit(seen.seq, &mut |event| {
            if let Some(whole) = open.take_if(|open| open.number != event.incident) {
                found.told = whole.told(def);
                if found.told.is_some() {
                    return false;
                }
            }
            found.gone += found.upto.gone_before(event);
            found.upto = Mark::at(event);
            open.get_or_insert_with(|| Incident::of(event)).add(event, def);
            true
        });
        found.told = found.told.or_else(|| open?.told(def));
        found
    }
}

/// An incident as it is read.
struct Incident {
    number: u64,
    lines: Vec<EventLine>,
    count: usize,
    is_wanted: bool,
    is_alarm: bool,
}

impl Incident {
    /// The one that begins with `event`.
    fn of(event: &Event) -> Incident {
        let (number, lines) = (event.incident, Vec::new());
        Incident { number, lines, count: 0, is_wanted: false, is_alarm: false }
    }

    fn add(&mut self, event: &Event, def: &HookDef) {
        self.count += 1;
        self.is_wanted |= def.wants(event.kind.word(), event.kind.is_alarm());
        self.is_alarm |= event.kind.is_alarm();
        if self.lines.len() < EVENTS_MAX {
            self.lines.push(EventLine::from(event));
        }
    }

    /// What `def` is told of it, if it wants to be.
    fn told(self, def: &HookDef) -> Option<Told> {
        let first = self.lines.first().filter(|_| self.is_wanted)?;
        Some(Told {
            schema_version: SCHEMA_VERSION,
            hook: def.name.clone(),
            incident: self.number,
            at: first.at.clone(),
            alarm: self.is_alarm,
            text: first.text.clone(),
            count: self.count,
            events: self.lines,
        })
    }
}
