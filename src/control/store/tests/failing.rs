//! A store that fails and comes back, or has no place to write to.

use super::*;

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
    assert_eq!(keeper.health(), StoreHealth::default());
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
    assert_eq!(keeper.health(), StoreHealth::default());
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
