//! What one change becomes: publishes, events, answers and wake-ups.

use super::*;

#[test]
fn one_batch_is_one_publish_with_its_events_in_order() {
    let mut bench = Bench::new(APP, &["app", "www", "www"]);
    let before = bench.world();
    bench.at(10).observe("down i1/4 n1/4");
    assert_eq!(bench.world().swap, before.swap + 1);
    assert_eq!(
        bench.events(),
        [
            "z/i1 up → down: down",
            "z/n1 up → down: down",
            "z/app: iad → dub (the active member is not available)",
            "published: 2 plans",
        ]
    );
    assert_eq!([bench.answer(0), bench.answer(1)], [["d1"], ["d1"]]);
}

#[test]
fn a_verdict_makes_only_the_plans_it_touches_anew() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    let before = bench.world();
    bench.at(10).observe("down i1/4");
    let after = bench.world();
    assert!(!after.steering.shares(&before.steering, PlanId(0)));
    assert!(after.steering.shares(&before.steering, PlanId(1)));
    assert!(Arc::ptr_eq(&after.snapshot, &before.snapshot));
}

#[test]
fn a_failing_probe_without_consequence_shows_in_the_ttl_alone() {
    let mut bench = Bench::new(APP, &["app"]);
    let sight = Sight { standing: Standing::Up, failing: true };
    let failing = TargetVerdict { sight, ..verdict("d1/4", Standing::Up, secs(3)) };
    bench.control.observe(vec![failing.clone()]);
    let world = bench.world();
    assert_eq!(world.steering.plan(PlanId(0)).selection(Class(0)).ttl.as_secs(), 5);
    assert_eq!(world.state.verdict(SlotId(1)).unwrap().since, secs(0));
    assert_eq!(bench.events(), ["published: 1 plans"]);
    // Said twice it changes nothing.
    bench.control.observe(vec![failing]);
    assert_eq!(bench.world().swap, world.swap);
    assert!(bench.events().is_empty());
}

#[test]
fn failback_waits_in_wake_and_happens_in_tick() {
    let mut bench = Bench::new(APP, &["app"]);
    bench.at(10).observe("down i1/4");
    assert_eq!(bench.control.wake(), None);
    bench.at(100).observe("up i1/4");
    assert_eq!(bench.control.wake(), Some(secs(400)));
    assert_eq!(bench.answer(0), ["d1"]);
    bench.events();
    bench.at(399).control.tick();
    assert_eq!(bench.answer(0), ["d1"]);
    assert!(bench.events().is_empty());
    bench.at(400).control.tick();
    assert_eq!(bench.answer(0), ["i1"]);
    assert_eq!(
        bench.events(),
        [
            "z/app: dub → iad (a preferred member has been available long enough)",
            "published: 1 plans",
        ]
    );
    assert_eq!(bench.control.wake(), None);
}

#[test]
fn a_pending_failback_is_not_forgotten_while_others_change() {
    let text = "
        pool a = a1/4
        pool b = b1/4
        pool c = c1/4
        pool d = d1/4
        failover one = a b
        failover two = c d
    ";
    let mut bench = Bench::new(text, &["one", "two"]);
    bench.at(10).observe("down a1/4");
    bench.at(20).observe("up a1/4");
    assert_eq!(bench.control.wake(), Some(secs(320)));
    bench.at(30).observe("down c1/4");
    assert_eq!(bench.control.wake(), Some(secs(320)));
    bench.at(40).observe("up c1/4");
    bench.at(320).control.tick();
    assert_eq!([bench.answer(0), bench.answer(1)], [["a1"], ["d1"]]);
    assert_eq!(bench.control.wake(), Some(secs(340)));
    bench.at(340).control.tick();
    assert_eq!(bench.answer(1), ["c1"]);
}

#[test]
fn last_good_is_what_fell_in_the_last_change() {
    let mut bench = Bench::new("pool a = a1/4 a2/4 a3/4", &["a"]);
    bench.at(1).observe("down a1/4");
    bench.events();
    bench.at(2).observe("down a2/4 a3/4");
    assert_eq!(bench.answer(0), ["a2", "a3"]);
    assert!(bench.events().contains(&"z/a now answered on these grounds: all-down".into()));
    // A reload forgets nothing of it.
    bench.at(3).control.install(Arc::new(compiled("pool a = a1/4 a2/4 a3/4", &["a"])), 2);
    assert_eq!(bench.answer(0), ["a2", "a3"]);
    assert_eq!(bench.events(), ["published: 1 plans"]);
    bench.at(4).observe("up a1/4");
    assert_eq!(bench.answer(0), ["a1"]);
    let events = bench.events();
    assert!(events.contains(&"z/a now answered on these grounds: healthy".into()), "{events:?}");
}

#[test]
fn one_event_tells_the_grounds_of_all_records_of_a_plan() {
    let mut bench = Bench::new("pool a = a1/4", &["a", "a"]);
    bench.at(1).observe("down a1/4");
    let grounds = "z/a and 1 more now answered on these grounds: all-down".to_owned();
    assert!(bench.events().contains(&grounds));
}

#[test]
fn results_are_awaited_before_steered_names_are_answered() {
    let mut bench = Bench::cold(APP, &["app", "www"]);
    assert!(bench.world().warming);
    bench.observe("down i1/4");
    bench.observe("up d1/4");
    // A reload in between makes nothing warm.
    bench.control.install(Arc::new(compiled(APP, &["app", "www"])), 2);
    bench.control.tick();
    assert!(bench.world().warming);
    bench.control.warm();
    let world = bench.world();
    assert_eq!((world.warming, world.revision), (false, 2));
    assert_eq!(bench.answer(0), ["d1"]);
    assert_eq!(bench.answer(1), ["d1", "n1"]);
    assert_eq!(world.state.fell, [0, 0, 0], "down at the first result is no fall");
    let events = bench.events();
    assert!(events.contains(&"z/i1 unknown → down: down".into()), "{events:?}");
    assert!(!events.iter().any(|event| event.contains("→ up")), "{events:?}");
    // Once warm, always warm.
    bench.control.warm();
    assert_eq!(bench.world().swap, world.swap);
}

#[test]
fn a_start_and_a_reload_tell_who_is_not_answered_from_health() {
    let mut bench = Bench::cold(APP, &["app"]);
    bench.observe("down i1/4 d1/4");
    bench.control.warm();
    let grounds = "z/app now answered on these grounds: all-down".to_owned();
    assert!(bench.events().contains(&grounds));
    // The same record on the same grounds is no news; a new one is.
    let with_dub = "pool iad = i1/4\npool dub = d1/4\npool nrt = n1/4\nfailover app = iad dub\n";
    bench.control.install(Arc::new(compiled(with_dub, &["dub", "app"])), 2);
    let told = ["z/dub now answered on these grounds: all-down", "published: 2 plans"];
    assert_eq!(bench.events(), told);
    bench.control.install(Arc::new(compiled(with_dub, &["nrt", "dub"])), 3);
    assert_eq!(bench.events(), ["published: 2 plans"]);
}

#[test]
fn late_results_of_targets_that_are_gone_change_nothing() {
    let mut bench = Bench::new(APP, &["app"]);
    let world = bench.world();
    bench.observe("down gone/4");
    assert_eq!(bench.world().swap, world.swap);
    assert!(bench.events().is_empty());
}

#[test]
fn a_publish_is_timed_from_the_probe_that_decided_it() {
    let mut bench = Bench::new(APP, &["app"]);
    bench.at(10);
    bench.control.observe(vec![verdict("i1/4", Standing::Down, secs(7))]);
    assert_eq!(took(&bench), Some(Duration::from_secs(3)));
    let world = bench.world();
    let verdict = world.state.verdict(SlotId(0)).unwrap();
    assert_eq!((verdict.since, verdict.since_wall), (secs(7), UNIX_EPOCH + Duration::from_secs(7)));
}

#[test]
fn replaced_worlds_are_freed_by_a_tick_once_nobody_reads_them() {
    let mut bench = Bench::new(APP, &["app"]);
    let mut reader = bench.control.reader();
    let old = Arc::downgrade(&bench.world());
    bench.at(10).observe("down i1/4");
    bench.control.tick();
    assert!(old.upgrade().is_some(), "a reader still holds it");
    reader.refresh();
    assert!(old.upgrade().is_some(), "readers free nothing");
    bench.control.tick();
    assert!(old.upgrade().is_none());
}
