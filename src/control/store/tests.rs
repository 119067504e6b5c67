//! The state database through restarts, crashes, full disks and damage, in a folder of the test's own.

mod audit;
mod crashes;
mod damage;
mod failing;

use super::{
    Batch, Ends, Keeper, RedbStore, Saved, SavedDamped, SavedSlot, SavedTarget, Store, StoreError,
    StoreHealth, Write,
    database::{Format, Migration},
    keeper::{Desk, Pace},
    read_file,
    rows::{self, Shelf},
};
use crate::{
    clock::{Clock, Moment, SystemClock},
    control::{
        audit::{
            Entry, Outcome, Side,
            chain::{Break, Verifier},
        },
        event::{Event, EventKind, tests::fell},
    },
    verdict::Standing,
};
use redb::{ReadableDatabase, TableDefinition};
use serde_json::json;
use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;
use tokio::sync::watch;

const PACE: Pace = Pace { gather: Duration::from_millis(2), retry: Duration::from_millis(5) };

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn file(dir: &Path) -> PathBuf {
    dir.join("state.redb")
}

fn open(dir: &Path) -> (Keeper, Saved, Option<EventKind>) {
    Keeper::over(RedbStore::new(file(dir), clock()), clock(), PACE).unwrap()
}

/// The names in `dir` that begin with `prefix`.
fn named(dir: &Path, prefix: &str) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort_unstable();
    names
}

fn machine(name: &str, active: u64) -> Write {
    Write::Machine { name: name.into(), value: Some(json!({ "active": active })) }
}

fn event(seq: u64) -> Event {
    let kind = fell(&format!("z/a/{seq}"));
    let (at, wall) = (Moment(seq), UNIX_EPOCH);
    Event { seq, boot: 1, at, wall, swap: seq + 10, incident: seq, who: None, kind }
}

fn seqs(keeper: &Keeper, since: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    keeper
        .events(since, &mut |event| {
            seqs.push(event.seq);
            true
        })
        .unwrap();
    seqs
}

fn changed(what: &str) -> Write {
    Write::Audit(Box::new(Entry {
        at: UNIX_EPOCH,
        who: "ana".into(),
        from: "here".into(),
        what: what.into(),
        target: None,
        reason: None,
        outcome: Outcome::Done,
        said: "".into(),
        rules: Vec::new(),
        before: Side::default(),
        after: Side::default(),
    }))
}

fn of_keeper(keeper: &Keeper, since: u64) -> (Ends, Vec<(u64, String)>) {
    let mut rows = Vec::new();
    let take = &mut |seq: u64, row: &str| {
        rows.push((seq, row.to_owned()));
        true
    };
    let ends = keeper.audit(since, take).unwrap();
    (ends, rows)
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart() {
    let dir = folder();
    let (keeper, saved, alarm) = open(dir.path());
    assert_eq!((saved, alarm), (Saved { boot: 1, ..Saved::default() }, None));
    let since = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let target = SavedTarget {
        standing: Standing::Down,
        failing: true,
        reason: "refused 3/3".into(),
        since,
        damped: Some(SavedDamped {
            hold_down_ms: 60_000,
            fell_ms: 5,
            rose_ms: Some(3),
            flapping: true,
        }),
    };
    let slot = SavedSlot { fell: 7, since };
    let [name, address] = ["z/a/1", "192.0.2.1"].map(Arc::<str>::from);
    keeper.write(vec![
        Write::Target { key: "t".into(), value: Some(target.clone()) },
        Write::Slot { name: name.clone(), address: address.clone(), value: Some(slot.clone()) },
        machine("z/app", 1),
        machine("z/gone", 1),
        Write::Override { id: 12, value: Some(json!({ "drain": "region:eu-*" })) },
        Write::Note { name: "safety".into(), value: Some(json!([1])) },
        Write::Events(vec![event(1), event(2)]),
    ]);
    keeper.write(vec![Write::Machine { name: "z/gone".into(), value: None }]);
    keeper.close().await.unwrap();

    let (keeper, saved, alarm) = open(dir.path());
    assert_eq!(alarm, None);
    assert_eq!((saved.boot, saved.swap, saved.seq), (2, 12, 2));
    assert_eq!(saved.targets["t"], target);
    assert_eq!(saved.slots[&(name, address)], slot);
    assert_eq!(saved.machines.keys().map(|k| &**k).collect::<Vec<_>>(), ["z/app"]);
    assert_eq!(saved.overrides[&12]["drain"], "region:eu-*");
    assert_eq!(saved.notes["safety"], json!([1]));
    assert_eq!((seqs(&keeper, 0), seqs(&keeper, 1)), (vec![1, 2], vec![2]));
}

#[tokio::test]
async fn numbers_that_a_crash_may_have_lost_are_not_given_out_again() {
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![Write::Events(vec![event(41)])]);
    keeper.flush().await.unwrap();
    // As a crash leaves it: not closed.
    let left = folder();
    fs::copy(file(dir.path()), file(left.path())).unwrap();
    let (_, saved, _) = open(left.path());
    assert_eq!((saved.boot, saved.seq), (2, 100_000));
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let dir = folder();
    let (first, ..) = open(dir.path());
    let second = Keeper::open(dir.path(), clock()).unwrap_err();
    assert_eq!(second, StoreError::Locked { path: file(dir.path()) });
    assert!(second.to_string().contains("in use by another server"), "{second}");
    first.close().await.unwrap();
    assert!(named(dir.path(), "state.redb.").is_empty());
}

/// A drill that has the database lost holds what happens meanwhile in memory; a clean end must not
/// leave it there.
#[tokio::test]
async fn what_a_rehearsed_loss_held_back_is_written_at_a_clean_end() {
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    keeper.lose(Some(clock().now().after(Duration::from_secs(600))));
    let value = Some(json!({ "drain": "region:eu-*" }));
    keeper.write(vec![Write::Override { id: 12, value: value.clone() }, changed("a")]);
    assert!(keeper.flush().await.is_err(), "it is lost for now");
    keeper.close().await.unwrap();
    let (keeper, saved, alarm) = open(dir.path());
    assert_eq!((saved.overrides.get(&12), alarm), (value.as_ref(), None));
    assert_eq!(of_keeper(&keeper, 0).0.head.seq, 1);
}

/// The newest events of a store that keeps ten.
#[test]
fn only_the_newest_events_are_kept() {
    let dir = folder();
    let mut store = RedbStore::new(file(dir.path()), clock());
    store.events_kept = 10;
    store.load().unwrap();
    for first in [1, 8, 15] {
        let events: Vec<Event> = (first..first + 7).map(event).collect();
        store.commit(&Batch { events: &events, ..Batch::default() }).unwrap();
    }
    let mut seqs = Vec::new();
    let take = &mut |event: Event| {
        seqs.push(event.seq);
        seqs.len() < 9
    };
    store.events(0, take).unwrap();
    assert_eq!(seqs, (12..=20).collect::<Vec<u64>>(), "and a reader may stop");
}

/// A store that fails when it is told to, and remembers what it was given.
#[derive(Default)]
struct Moody(Mutex<Mood>);

#[derive(Default)]
struct Mood {
    fails: bool,
    /// Rows and events of each commit, and whether it was whole.
    commits: Vec<(usize, usize, bool)>,
}

impl Store for Moody {
    fn commit(&self, batch: &Batch<'_>) -> Result<Option<String>, StoreError> {
        let mut mood = self.0.lock().unwrap();
        if mood.fails {
            return Err(StoreError::Failed { path: "x".into(), why: "no space".into() });
        }
        mood.commits.push((batch.rows.len(), batch.events.len(), batch.whole));
        Ok(None)
    }
    fn events(&self, _: u64, _: &mut dyn FnMut(Event) -> bool) -> Result<(), StoreError> {
        Ok(())
    }
    fn audit(&self, _: u64, _: &mut dyn FnMut(u64, &str) -> bool) -> Result<Ends, StoreError> {
        Ok(Ends::default())
    }
    fn close(&self) {}
}

fn moody(pace: Pace) -> (Arc<Moody>, Keeper) {
    let store = Arc::new(Moody::default());
    let told = watch::Sender::default();
    let desk = Desk::new(Arc::clone(&store) as Arc<dyn Store>, clock(), pace, told);
    (store, desk.start().unwrap())
}
