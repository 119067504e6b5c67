//! What outlives the process, and how it goes on.

use super::*;

#[test]
fn a_restart_under_a_pin_brings_nobody_back_and_takes_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let clock = Arc::new(Hands::default());
    let start = |pinned: bool| {
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let (keeper, saved, alarm) =
            crate::control::store::Keeper::open(dir.path(), Arc::clone(&shared)).unwrap();
        assert_eq!(alarm, None);
        let mut control = Control::with_saved(shared, saved, keeper);
        if pinned {
            control.pin_file(Some(PinFile { reason: None, since: None }));
        }
        control.install(Arc::new(compiled(APP, &["app", "www"])), 1);
        Bench { control, clock: Arc::clone(&clock), read: 0 }
    };
    let stop = |bench: Bench| {
        let keeper = bench.control.keeper().unwrap();
        drop(bench);
        runtime.block_on(keeper.close()).unwrap();
    };
    let mut bench = start(false);
    bench.control.warm();
    bench.observe("up i1/4 d1/4 n1/4");
    bench.at(10).observe("down i1/4");
    bench.control.pin_file(Some(PinFile { reason: None, since: None }));
    // What happens under the pin takes no effect, and none by a restart either.
    bench.at(20).observe("down n1/4");
    assert_eq!(
        (bench.answer(0), bench.answer(1)),
        (vec!["d1".into()], vec!["d1".into(), "n1".into()])
    );
    stop(bench);
    let mut bench = start(true);
    let standing = |bench: &Bench, slot| bench.world().state.standings.of(SlotId(slot)).standing;
    assert_eq!(
        [0, 1, 2].map(|slot| standing(&bench, slot)),
        [Standing::Down, Standing::Up, Standing::Up]
    );
    assert_eq!(
        (bench.answer(0), bench.answer(1)),
        (vec!["d1".into()], vec!["d1".into(), "n1".into()])
    );
    // Probes find the same again.
    bench.at(30).observe("down n1/4");
    bench.control.pin_file(None);
    assert_eq!(
        [0, 1, 2].map(|slot| standing(&bench, slot)),
        [Standing::Down, Standing::Up, Standing::Down]
    );
    stop(bench);
}

/// A Control over `APP` on a state folder, its keeper, and a clock of its own.
fn kept(dir: &std::path::Path, clock: &Arc<Hands>) -> (Control, crate::control::store::Keeper) {
    kept_over(Arc::new(compiled(APP, &["app"])), dir, clock)
}

/// The same over `files`.
fn kept_over(
    files: Arc<Snapshot>,
    dir: &std::path::Path,
    clock: &Arc<Hands>,
) -> (Control, crate::control::store::Keeper) {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let (keeper, saved, _) = crate::control::store::Keeper::open(dir, Arc::clone(&clock)).unwrap();
    let mut control = Control::with_saved(clock, saved, keeper.clone());
    control.install(files, 1);
    (control, keeper)
}

/// One region fell, the next is held as one too many; whoever restarts then judges it again, with
/// the first one counted, however long ago that fell.
#[tokio::test]
async fn a_restart_in_the_middle_of_a_held_failure_lets_nothing_through() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept_over(apart(), dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    bench.at(1).observe("up i1/4 d1/4 n1/4");
    bench.control.warm();
    bench.at(10).observe("down d1/4");
    bench.at(11).observe("down i1/4");
    for now in 12..100 {
        bench.at(now).control.tick();
    }
    let before = (bench.answer(0), bench.answer(1));
    assert_eq!(before, (vec!["i1".into()], vec!["n1".into()]));
    assert_eq!(bench.control.held().mass.map(|(_, falls)| falls), Some(1));
    drop(bench);
    keeper.close().await.unwrap();
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept_over(apart(), dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    let answer = |bench: &Bench| (bench.answer(0), bench.answer(1));
    assert_eq!(answer(&bench), before);
    bench.at(20).observe("down i1/4");
    assert_eq!(answer(&bench), before);
    assert_eq!(bench.control.held().mass, Some((secs(140), 1)));
    bench.control.confirm_falls();
    assert!(!bench.world().state.standings.of(SlotId(0)).standing.is_up());
    drop(bench);
    keeper.close().await.unwrap();
}

#[tokio::test]
async fn a_failback_that_waits_goes_on_where_it_was_after_a_crash_in_quiet_times() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::default());
    let (mut control, keeper) = kept(dir.path(), &clock);
    let at = |now: u64| clock.now.store(secs(now).0, Ordering::Relaxed);
    let up = ["i1/4", "d1/4"].map(|key| verdict(key, Standing::Up, secs(1)));
    control.observe(up.into());
    control.warm();
    at(10);
    control.observe(vec![verdict("i1/4", Standing::Down, secs(10))]);
    at(100);
    control.observe(vec![verdict("i1/4", Standing::Up, secs(100))]);
    assert_eq!(control.wake(), Some(secs(400)));
    // Nothing happens for nearly five minutes.
    for now in 101..391 {
        at(now);
        control.tick();
    }
    keeper.close().await.unwrap();
    drop(control);
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept(dir.path(), &clock);
    let left = control.wake().unwrap();
    assert!(left > secs(0) && left <= secs(20), "{left:?}");
    keeper.close().await.unwrap();
}

/// How far the only drain has come.
fn drain(bench: &Bench) -> hand::drain::DrainStage {
    let shown = bench.control.hand().load_full();
    shown.drains.values().next().unwrap().state.clone()
}

#[tokio::test]
async fn a_drain_goes_on_where_it_was_after_a_restart_and_is_drained_again_without_a_word() {
    use hand::drain::DrainStage::{Drained, Draining};
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept(dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    bench.at(1).observe("up i1/4 d1/4");
    bench.control.warm();
    bench.at(10);
    bench.tell(Wish::Drain { target: "endpoint:z/i1".into(), over: None }).unwrap();
    let ttl = bench.world().snapshot.plans[0].ttl.max.as_secs();
    let quiet = u64::from(ttl) + 60;
    bench.at(10 + quiet - 15).control.tick();
    assert_eq!((drain(&bench), bench.answer(0)), (Draining, vec!["d1".into()]));
    drop(bench);
    keeper.close().await.unwrap();
    // Fifteen seconds are left, and ten that nobody had written down may be lost.
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept(dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    bench.at(0).control.tick();
    assert_eq!(drain(&bench), Draining);
    bench.at(26).control.tick();
    assert_eq!(drain(&bench), Drained);
    let told = |bench: &mut Bench| bench.events().iter().any(|event| event.contains("drained ("));
    assert!(told(&mut bench));
    drop(bench);
    keeper.close().await.unwrap();
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept(dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    bench.control.tick();
    assert_eq!((drain(&bench), told(&mut bench)), (Drained, false));
    drop(bench);
    keeper.close().await.unwrap();
}

/// A hold-down is told to who judges on after a restart, without the time that has passed.
#[tokio::test]
async fn a_hold_down_is_kept_with_what_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept(dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    bench.observe("up i1/4 d1/4");
    bench.control.warm();
    let fell = Since::starting(secs(100));
    let hold_down = Duration::from_secs(120);
    let damped = Some(Damped { hold_down, fell, rose: None, flapping: true });
    let down = verdict("i1/4", Standing::Down, secs(100));
    bench.at(100).control.observe(vec![TargetVerdict { damped, ..down }]);
    bench.at(150).control.tick();
    drop(bench);
    keeper.close().await.unwrap();
    let clock = Arc::new(Hands::default());
    clock.set(secs(7));
    let (control, keeper) = kept(dir.path(), &clock);
    let stood = control.stood("i1/4").unwrap();
    assert_eq!(stood.standing, Standing::Down);
    assert_eq!(stood.damped.unwrap().until(), secs(7 + 70));
    assert!(stood.damped.unwrap().flapping && control.stood("d1/4").unwrap().damped.is_none());
    drop(control);
    keeper.close().await.unwrap();
}

#[tokio::test]
async fn an_override_of_a_newer_version_costs_no_other_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::default());
    let override_of = |id: u64, action: &str| {
        let value = serde_json::json!({
            "id": id, "target": "pool:iad", "action": { "do": action }, "who": "ana",
            "made_ms": 0, "written_ms": 0, "turn": id, "elapsed_ms": 0, "starts_in_ms": 0,
        });
        crate::control::store::Write::Override { id, value: Some(value) }
    };
    let (_, keeper) = kept(dir.path(), &clock);
    keeper.write(vec![override_of(3, "drain"), override_of(4, "eclipse")]);
    keeper.close().await.unwrap();
    let (mut control, keeper) = kept(dir.path(), &clock);
    let ids = |control: &Control| -> Vec<u64> {
        control.hand().load().hand.overrides().iter().map(|one| one.id).collect()
    };
    assert_eq!(ids(&control), [3]);
    let alarms = |control: &Control| {
        let journal = control.journal();
        let journal = journal.lock();
        journal.since(0).filter(|e| e.kind.is_alarm()).map(|e| e.kind.to_string()).next()
    };
    let alarm = alarms(&control).unwrap();
    assert!(alarm.starts_with("#4 an override: not understood"), "{alarm}");
    // The next change of an operator's writes over nothing.
    let wish = crate::control::hand::Wish::Pin;
    let command = crate::control::hand::Command {
        wish,
        who: "bo".into(),
        reason: None,
        begins: None,
        lasts: None,
        break_glass: false,
        dry_run: false,
        if_version: None,
        even_if_unknown: false,
        instead_of: None,
        for_whom: Vec::new(),
    };
    control.command(&command, &crate::forecast::Clients::default()).unwrap();
    assert_eq!(ids(&control), [3, 5]);
    keeper.close().await.unwrap();
    drop(control);
    let (keeper, saved, _) =
        crate::control::store::Keeper::open(dir.path(), clock as Arc<dyn Clock>).unwrap();
    assert_eq!(saved.overrides.keys().copied().collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(saved.overrides[&4]["action"]["do"], "eclipse");
    keeper.close().await.unwrap();
}
