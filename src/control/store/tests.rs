//! The state database through crashes, full disks and damage, in a folder of the test's own.
//!
//! Where a process must die or run into a limit, the test starts this program once more with
//! only [`child`] to run, and kills it by its id.

use super::{
    Batch, Ends, Keeper, RedbStore, Saved, SavedDamped, SavedSlot, SavedTarget, Store, StoreError,
    Write,
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

/// The numbers of the entries, if they follow from each other and from what was before.
fn verified(ends: Ends, rows: &[(u64, String)]) -> Result<Vec<u64>, Break> {
    let mut verifier = Verifier::after(ends.anchor, None);
    rows.iter().try_for_each(|(seq, row)| verifier.take(*seq, row))?;
    verifier.end(ends.head)?;
    Ok(rows.iter().map(|(seq, _)| *seq).collect())
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

fn of_file(path: &Path) -> (Ends, Vec<(u64, String)>) {
    let mut rows = Vec::new();
    let ends = read_file(path, &mut |seq, row| {
        rows.push((seq, row.to_owned()));
        true
    });
    (ends.unwrap(), rows)
}

#[tokio::test]
async fn of_the_audit_the_newest_entries_are_kept_and_the_hash_of_the_last_one_before() {
    let dir = folder();
    let mut store = RedbStore::new(file(dir.path()), clock());
    store.audit_kept = 4;
    let (keeper, ..) = Keeper::over(store, clock(), PACE).unwrap();
    for n in 0..10 {
        keeper.write(vec![changed(&format!("drain {n}"))]);
        keeper.flush().await.unwrap();
    }
    let (ends, rows) = of_keeper(&keeper, 0);
    assert_eq!((ends.anchor.seq, ends.head.seq), (6, 10));
    assert_eq!(verified(ends, &rows), Ok(vec![7, 8, 9, 10]));
    assert_eq!(of_keeper(&keeper, 9).1, rows[3..]);
    keeper.close().await.unwrap();
    assert_eq!(of_file(&file(dir.path())), (ends, rows));
}

#[tokio::test]
async fn a_chain_goes_on_over_a_restart_and_in_a_new_file_when_the_old_one_was_damaged() {
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![changed("a"), changed("b")]);
    keeper.close().await.unwrap();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![changed("c")]);
    keeper.flush().await.unwrap();
    let (ends, rows) = of_keeper(&keeper, 0);
    assert_eq!(verified(ends, &rows), Ok(vec![1, 2, 3]));
    keeper.close().await.unwrap();
    // What is no database at all is put aside: numbers begin anew, and say so.
    fs::write(file(dir.path()), "no database").unwrap();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![changed("d")]);
    keeper.flush().await.unwrap();
    let (ends, rows) = of_keeper(&keeper, 0);
    assert_eq!(verified(ends, &rows), Ok(vec![1]));
}

#[tokio::test]
async fn entries_wait_for_a_store_that_is_away_and_are_shown_meanwhile() {
    let dir = folder();
    let away = dir.path().join("away");
    fs::create_dir(file(dir.path())).unwrap();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![changed("a"), changed("b")]);
    assert!(keeper.flush().await.is_err());
    assert!(keeper.audit(0, &mut |_, _| true).is_err(), "what is on disk cannot be read");
    fs::rename(file(dir.path()), away).unwrap();
    keeper.flush().await.unwrap();
    let (ends, rows) = of_keeper(&keeper, 0);
    assert_eq!(verified(ends, &rows), Ok(vec![1, 2]));
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

#[tokio::test]
async fn what_changes_nothing_is_not_written() {
    let (store, keeper) = moody(PACE);
    keeper.write(vec![machine("z/app", 1), machine("z/api", 1)]);
    keeper.flush().await.unwrap();
    keeper.write(vec![machine("z/app", 1), Write::Note { name: "none".into(), value: None }]);
    keeper.flush().await.unwrap();
    keeper.write(vec![machine("z/app", 1), machine("z/api", 2)]);
    keeper.flush().await.unwrap();
    assert_eq!(store.0.lock().unwrap().commits, [(2, 0, false), (1, 0, false)]);
}

#[tokio::test]
async fn while_the_store_fails_everything_is_held_and_then_written_whole() {
    let (store, keeper) = moody(PACE);
    let mut health = keeper.watch_health();
    keeper.write(vec![machine("z/app", 1), machine("z/api", 1)]);
    keeper.flush().await.unwrap();
    store.0.lock().unwrap().fails = true;
    keeper.write(vec![machine("z/app", 2), Write::Events(vec![event(1)])]);
    health.changed().await.unwrap();
    assert_eq!(health.borrow_and_update().failing.as_deref(), Some("x: no space"));
    let EventKind::Store { what, well: false } = keeper.health().event() else { panic!() };
    assert!(what.starts_with("cannot be written: x: no space"), "{what}");
    assert!(keeper.flush().await.is_err(), "whoever waits is told");
    keeper.write(vec![Write::Events(vec![event(2)])]);

    store.0.lock().unwrap().fails = false;
    health.changed().await.unwrap();
    assert_eq!(keeper.health(), super::StoreHealth::default());
    keeper.flush().await.unwrap();
    let commits = store.0.lock().unwrap().commits.clone();
    // Two machines and the swap number, whichever events were there by the time of the retry.
    assert_eq!((commits[1].0, commits[1].2), (3, true));
    assert_eq!(commits[1..].iter().map(|commit| commit.1).sum::<usize>(), 2);
}

/// A clock that is as late as it is told to be.
#[derive(Debug, Default)]
struct Late(SystemClock, AtomicU64);

impl Clock for Late {
    fn now(&self) -> Moment {
        self.0.now().after(Duration::from_secs(self.1.load(Relaxed)))
    }
    fn wall(&self) -> SystemTime {
        self.0.wall()
    }
}

#[tokio::test]
async fn a_disk_that_hangs_is_told_of_while_it_does() {
    let (store, late) = (Arc::new(Moody::default()), Arc::new(Late::default()));
    let told = watch::Sender::default();
    let (kept, clock) = (Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&late) as Arc<dyn Clock>);
    let keeper = Desk::new(kept, clock, PACE, told).start().unwrap();
    let hung = store.0.lock().unwrap();
    keeper.write(vec![machine("z/app", 1)]);
    let flushed = keeper.flush();
    // It shows once a commit has begun and five seconds have passed since.
    while keeper.health().failing.is_none() {
        late.1.fetch_add(1, Relaxed);
        thread::sleep(Duration::from_millis(1));
    }
    let alarms = keeper.health().alarms();
    assert!(alarms[0].contains("cannot be written: a write has not ended for"), "{alarms:?}");
    drop(hung);
    flushed.await.unwrap();
    assert_eq!(keeper.health(), super::StoreHealth::default());
}

#[tokio::test]
async fn a_commit_takes_all_that_came_in_and_is_soon() {
    let gather = Duration::from_millis(40);
    let (store, keeper) = moody(Pace { gather, ..PACE });
    let started = clock();
    for n in 0..1_000 {
        keeper.write(vec![machine(&format!("z/{n}"), n)]);
    }
    while store.0.lock().unwrap().commits.is_empty() {
        assert!(started.now().since(Moment(0)) < Duration::from_secs(10), "never committed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    keeper.flush().await.unwrap();
    let commits = store.0.lock().unwrap().commits.clone();
    assert!(commits.len() <= 5, "{commits:?}");
}

#[tokio::test]
async fn damage_is_put_aside_and_never_written_over() {
    let whole = {
        let dir = folder();
        let (keeper, ..) = open(dir.path());
        keeper.write((0..200).map(|n| machine(&format!("z/{n}"), n)).collect());
        keeper.write(vec![Write::Events((1..200).map(event).collect())]);
        keeper.close().await.unwrap();
        fs::read(file(dir.path())).unwrap()
    };
    let mut damaged: Vec<Vec<u8>> = vec![b"garbage".to_vec(), vec![0; 70_000], vec![0xff; 4_096]];
    for part in [1, 100, 511, 4_096, 20_000, whole.len() / 2, whole.len() - 1] {
        damaged.push(whole[..part].to_vec());
    }
    for bytes in damaged {
        let dir = folder();
        fs::write(file(dir.path()), &bytes).unwrap();
        fs::write(dir.path().join("state.redb.broken-20000101T000000"), "older").unwrap();
        let (keeper, saved, alarm) = open(dir.path());
        let length = bytes.len();
        let Some(EventKind::Store { what, well: false }) = alarm else {
            panic!("{length} bytes: {alarm:?}");
        };
        assert_eq!(saved, Saved { boot: 1, ..Saved::default() }, "{length}");
        let aside = named(dir.path(), "state.redb.broken-2");
        let [_, aside] = &aside[..] else { panic!("{length} bytes: {aside:?}") };
        assert!(what.contains(aside), "{what}");
        assert_eq!(fs::read(dir.path().join(aside)).unwrap(), bytes, "{length}");
        assert_eq!(keeper.health().lost, Some(what));
        keeper.write(vec![machine("z/app", 1)]);
        keeper.close().await.unwrap();
        let (_, saved, alarm) = open(dir.path());
        assert_eq!((saved.boot, saved.machines.len(), alarm), (2, 1, None), "{length}");
    }
}

/// Whatever single byte is wrong: the server starts, and says so or has all of it.
#[tokio::test]
async fn a_wrong_byte_anywhere_keeps_nobody_from_starting() {
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    keeper.write((0..50).map(|n| machine(&format!("z/{n}"), n)).collect());
    keeper.close().await.unwrap();
    let whole = fs::read(file(dir.path())).unwrap();
    for at in (0..512).step_by(3).chain((512..whole.len()).step_by(whole.len() / 60)) {
        let dir = folder();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        fs::write(file(dir.path()), &bytes).unwrap();
        let (keeper, ..) = open(dir.path());
        keeper.write(vec![machine("z/new", 1)]);
        keeper.flush().await.unwrap_or_else(|error| panic!("byte {at}: {error}"));
    }
}

#[test]
fn two_that_break_in_the_same_second_have_names_of_their_own() {
    struct Frozen;
    impl Clock for Frozen {
        fn now(&self) -> Moment {
            Moment(0)
        }
        fn wall(&self) -> std::time::SystemTime {
            UNIX_EPOCH + Duration::from_secs(1_795_000_000)
        }
    }
    let dir = folder();
    let store = RedbStore::new(file(dir.path()), Arc::new(Frozen));
    for _ in 0..3 {
        fs::write(file(dir.path()), "x").unwrap();
        store.put_aside().unwrap();
    }
    assert_eq!(
        named(dir.path(), "state.redb"),
        [
            "state.redb.broken-20261118T110640",
            "state.redb.broken-20261118T110640-2",
            "state.redb.broken-20261118T110640-3"
        ]
    );
}

fn with_format(dir: &Path, format: Format) -> (Keeper, Saved, Option<EventKind>) {
    Keeper::over(RedbStore::with_format(file(dir), clock(), format), clock(), PACE).unwrap()
}

#[tokio::test]
async fn a_newer_minor_is_read_and_left_as_it_is_beside_what_changes() {
    const DREAMS: TableDefinition<'static, &str, &str> = TableDefinition::new("dreams");
    let dir = folder();
    let newer = Format { major: 1, minor: 9, migrations: &[] };
    let (keeper, ..) = with_format(dir.path(), newer);
    keeper.close().await.unwrap();
    let database = redb::Database::open(file(dir.path())).unwrap();
    let text =
        r#"{"damped":null,"dream":1,"failing":false,"reason":"","since_ms":0,"standing":"up"}"#;
    let transaction = database.begin_write().unwrap();
    transaction.open_table(DREAMS).unwrap().insert("a", "b").unwrap();
    let targets = TableDefinition::<&str, &str>::new("targets");
    transaction.open_table(targets).unwrap().insert("t", text).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let (keeper, saved, alarm) = open(dir.path());
    assert_eq!((saved.targets["t"].standing, alarm), (Standing::Up, None));
    let changed = SavedTarget { failing: true, ..saved.targets["t"].clone() };
    keeper.write(vec![Write::Target { key: "t".into(), value: Some(changed) }]);
    keeper.close().await.unwrap();
    let database = redb::Database::open(file(dir.path())).unwrap();
    let read = database.begin_read().unwrap();
    let dream = read.open_table(DREAMS).unwrap().get("a").unwrap().unwrap().value().to_owned();
    let target = read.open_table(targets).unwrap().get("t").unwrap().unwrap().value().to_owned();
    assert_eq!((&*dream, &*target), ("b", &*text.replace("false", "true")));
    drop((read, database));
    let found = RedbStore::with_format(file(dir.path()), clock(), newer).load().unwrap();
    assert_eq!(found.rows[&(Shelf::Server, "schema".to_owned())], "\"1.9\"");
}

#[tokio::test]
async fn a_newer_major_is_put_aside_and_an_older_one_migrated_after_a_copy() {
    fn add(transaction: &redb::WriteTransaction) -> Result<(), redb::Error> {
        let table = TableDefinition::<&str, &str>::new("notes");
        transaction.open_table(table)?.insert("migrated", "true")?;
        Ok(())
    }
    const STEPS: &[Migration] = &[add];
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![machine("z/app", 1)]);
    keeper.close().await.unwrap();

    let newer = Format { major: 2, minor: 0, migrations: STEPS };
    let (keeper, saved, alarm) = with_format(dir.path(), newer);
    assert_eq!((saved.notes["migrated"].clone(), alarm), (json!(true), None));
    assert_eq!((saved.boot, saved.machines.len()), (2, 1));
    keeper.close().await.unwrap();
    let copy = folder();
    fs::copy(dir.path().join("state.redb.schema1"), file(copy.path())).unwrap();
    let (_, saved, _) = open(copy.path());
    assert_eq!((saved.boot, saved.machines.len(), saved.notes.len()), (2, 1, 0));

    let (_, saved, alarm) = open(dir.path());
    assert_eq!(saved.boot, 1);
    let Some(EventKind::Store { what, well: false }) = alarm else { panic!("{alarm:?}") };
    assert!(what.contains("has schema 2.0, which this version cannot read"), "{what}");
    assert_eq!(named(dir.path(), "state.redb.broken-").len(), 1);
}

#[tokio::test]
async fn without_a_place_to_write_to_all_is_held_until_there_is_one() {
    let dir = folder();
    let state = dir.path().join("state");
    fs::write(&state, "a file where the folder should be").unwrap();
    let (keeper, saved, alarm) = open(&state);
    assert_eq!(saved.boot, 1);
    assert!(matches!(alarm, Some(EventKind::Store { well: false, .. })), "{alarm:?}");
    let mut health = keeper.watch_health();
    health.mark_unchanged();
    keeper.write(vec![machine("z/app", 1)]);
    fs::remove_file(&state).unwrap();
    health.changed().await.unwrap();
    assert_eq!(keeper.health().failing, None);
    keeper.close().await.unwrap();
    assert_eq!(open(&state).1.machines.len(), 1);
}

/// What appears at the place in the meantime is another server's, or our own from before it was
/// out of reach: it is not written over.
#[tokio::test]
async fn a_database_that_was_out_of_reach_at_start_is_put_aside_when_it_comes_back() {
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![machine("z/app", 1)]);
    keeper.close().await.unwrap();
    let away = dir.path().join("away");
    fs::rename(file(dir.path()), &away).unwrap();
    fs::create_dir(file(dir.path())).unwrap();
    let (keeper, ..) = open(dir.path());
    let mut health = keeper.watch_health();
    health.mark_unchanged();
    fs::remove_dir(file(dir.path())).unwrap();
    fs::rename(&away, file(dir.path())).unwrap();
    health.changed().await.unwrap();
    while keeper.health().failing.is_some() {
        health.changed().await.unwrap();
    }
    let aside = named(dir.path(), "state.redb.broken-");
    // The try that came between both renames found nothing, and began one.
    if let [aside] = &aside[..] {
        assert!(keeper.health().lost.unwrap().contains("was not read at start"));
        fs::rename(dir.path().join(aside), &away).unwrap();
    }
}

/// This program again, with only [`child`] to run, doing `what` in `dir`.
fn start_child(what: &str, dir: &Path) -> Command {
    // A write beyond the limit on file sizes is then an error, not the end of the process.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap());
    command.args(["--exact", "control::store::tests::child", "--ignored", "--nocapture"]);
    command.env("STORE_CHILD", what).env("STORE_DIR", dir).stdout(Stdio::piped());
    command
}

#[test]
#[ignore = "the child of other tests"]
fn child() {
    let (Ok(what), Ok(dir)) = (env::var("STORE_CHILD"), env::var("STORE_DIR")) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match &*what {
        "write" => runtime.block_on(write_until_killed(Path::new(&dir))),
        "full" => runtime.block_on(run_into_a_full_disk(Path::new(&dir))),
        other => panic!("{other}"),
    }
}

/// Writes numbers that belong together, and says each one that is durable.
async fn write_until_killed(dir: &Path) {
    let (keeper, saved, alarm) = open(dir);
    assert_eq!(alarm, None);
    let mut seq = saved.seq;
    for n in saved.boot * 1_000_000.. {
        seq += 1;
        keeper.write(vec![machine("z/a", n), Write::Events(vec![event(seq)]), machine("z/b", n)]);
        if n % 3 == 0 {
            keeper.flush().await.unwrap();
            println!("durable {n} {seq}");
        }
    }
}

/// The newest numbers that `child` said were durable; it is killed once it said `lines`.
fn kill_after(mut child: Child, lines: usize) -> (u64, u64) {
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = said.filter_map(|line| {
        let (n, seq) = line.split_once("durable ")?.1.split_once(' ')?;
        Some((n.parse().ok()?, seq.parse().ok()?))
    });
    let last = said.by_ref().take(lines).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died counts too.
    said.last().unwrap_or(last)
}

#[test]
fn killed_in_the_middle_of_writes_it_opens_with_all_that_was_durable() {
    let dir = folder();
    for round in 1..=20 {
        let child = start_child("write", dir.path()).spawn().unwrap();
        let (n, seq) = kill_after(child, round % 7 + 1);
        let store = RedbStore::new(file(dir.path()), clock());
        let found = store.load().unwrap();
        let (saved, unread) = rows::saved(&found.rows);
        assert_eq!((saved.boot, unread), (round as u64, 0));
        let active = |name: &str| saved.machines[name]["active"].as_u64().unwrap();
        assert_eq!(active("z/a"), active("z/b"), "all of a batch or nothing");
        assert!(active("z/a") >= n && found.newest >= seq, "round {round}");
    }
}

/// Runs into the limit on the size of a file, as a full disk would have it, until it is lifted.
async fn run_into_a_full_disk(dir: &Path) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = |bytes| {
        let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
    };
    let (keeper, ..) = open(dir);
    keeper.write(vec![machine("z/app", 1)]);
    keeper.flush().await.unwrap();
    limit(Some(fs::metadata(file(dir)).unwrap().len() + 4_096));
    let mut seq = 0;
    while keeper.health().failing.is_none() {
        let events: Vec<Event> = (seq + 1..=seq + 1_000).map(event).collect();
        seq += 1_000;
        keeper.write(vec![machine("z/app", seq), Write::Events(events)]);
        let _ = keeper.flush().await;
    }
    keeper.write(vec![machine("z/last", 1)]);
    assert!(keeper.flush().await.is_err());
    limit(None);
    keeper.flush().await.unwrap();
    assert_eq!(keeper.health(), super::StoreHealth::default());
    keeper.close().await.unwrap();
    println!("newest {seq}");
}

#[test]
fn a_full_disk_costs_nothing_that_is_written_once_there_is_room() {
    let dir = folder();
    let output = start_child("full", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let seq: u64 =
        said.split_once("newest ").unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
    let (keeper, saved, alarm) = open(dir.path());
    assert_eq!((alarm, saved.seq), (None, seq));
    assert_eq!((&saved.machines["z/app"]["active"], saved.machines.len()), (&json!(seq), 2));
    assert_eq!(seqs(&keeper, seq - 1_000), (seq - 999..=seq).collect::<Vec<_>>());
}

/// After a crash, with ten thousand endpoints and half the events there may be. The bound is far
/// above what it takes, which is printed: a build machine has other things to do.
#[tokio::test]
async fn opening_a_large_database_is_quick() {
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    for n in 0..10_000 {
        let (reason, since) = (format!("200 in {n} ms").into(), UNIX_EPOCH);
        let target =
            SavedTarget { standing: Standing::Up, failing: false, reason, since, damped: None };
        let slot = SavedSlot { fell: n, since };
        let name = format!("gtm.example/pool-{n}/endpoint-{n}").into();
        let key = format!("192.0.2.1:{n} https /healthz").into();
        keeper.write(vec![
            Write::Target { key, value: Some(target) },
            Write::Slot { name, address: "192.0.2.1".into(), value: Some(slot) },
        ]);
    }
    for first in (1..50_000).step_by(1_000) {
        keeper.write(vec![Write::Events((first..first + 1_000).map(event).collect())]);
    }
    keeper.flush().await.unwrap();
    let crashed = folder();
    fs::copy(file(dir.path()), file(crashed.path())).unwrap();
    let clock = clock();
    let started = clock.now();
    let (_, saved, _) = Keeper::open(crashed.path(), Arc::clone(&clock)).unwrap();
    let took = clock.now().since(started);
    println!("opened in {took:?}");
    assert_eq!((saved.targets.len(), saved.slots.len()), (10_000, 10_000));
    assert!(took < Duration::from_secs(2), "{took:?}");
}
