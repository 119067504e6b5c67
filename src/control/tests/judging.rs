//! Falls that need a witness, mass failures, members nobody has probed.

use super::*;

#[test]
fn without_a_witness_nothing_falls_and_with_one_it_does() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    let fake = Arc::new(Fake::default());
    bench.control.watch_from(Arc::clone(&fake) as Arc<dyn crate::control::vantage::Vantage>);
    bench.at(10).observe("down i1/4");
    assert_eq!(bench.answer(0), ["i1"], "nobody has answered since it failed");
    {
        let told = fake.0.lock().unwrap();
        assert!(told.listens && told.asked.len() == 2, "{:?}", told.asked);
    }
    fake.0.lock().unwrap().answered = Some(secs(11));
    bench.at(11).control.heard();
    assert_eq!(bench.answer(0), ["d1"]);
    assert!(!fake.0.lock().unwrap().listens);
    // What the witness was waited for is part of the time it took.
    assert_eq!(took(&bench), Some(Duration::from_secs(1)));
}

#[test]
fn a_guard_is_asked_although_nobody_else_is_up() {
    let mut bench = Bench::new("pool web = w1/4", &["web"]);
    let fake = Arc::new(Fake::default());
    bench.control.watch_from(Arc::clone(&fake) as Arc<dyn crate::control::vantage::Vantage>);
    let settings = breaker::Settings { guards: true, ..breaker::Settings::default() };
    bench.control.guard(settings, Unlike::default());
    bench.control.install(Arc::new(compiled("pool web = w1/4", &["web"])), 2);
    bench.at(10).observe("down w1/4");
    assert_eq!(fake.0.lock().unwrap().calls, 1);
    assert!(bench.world().state.standings.of(SlotId(0)).standing.is_up());
    // Cut off, and asked again later: then the guard can be reached.
    bench.at(11).control.tick();
    assert!(bench.control.held().cut_off.is_some());
    bench.at(16).control.tick();
    assert_eq!(fake.0.lock().unwrap().calls, 2);
    fake.0.lock().unwrap().answered = Some(secs(17));
    bench.at(17).control.heard();
    assert_eq!(fake.0.lock().unwrap().hastened, ["w1/4".into()]);
    fake.0.lock().unwrap().failed.push(("w1/4".into(), secs(18)));
    bench.at(18).control.heard();
    assert_eq!(bench.world().state.standings.of(SlotId(0)).standing, Standing::Down);
}

#[test]
fn a_member_nobody_has_probed_is_no_place_to_return_to() {
    let mut edited = compiled(APP, &["app", "www"]);
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.at(10).observe("down i1/4");
    assert_eq!(bench.answer(0), ["d1"]);
    // Its check was edited: another target judges it, of which nothing is known yet.
    edited.slots[0].target = Some("x1/4".into());
    bench.at(20).control.install(Arc::new(edited), 2);
    assert_eq!(bench.control.wake(), None, "no failback is due");
    bench.at(1_000).control.tick();
    assert_eq!(bench.answer(0), ["d1"]);
    // Its health is counted from the first result on.
    bench.observe("up x1/4");
    assert_eq!((bench.answer(0), bench.control.wake()), (vec!["d1".into()], Some(secs(1_300))));
}

#[test]
fn a_member_nobody_has_probed_is_answered_when_there_is_nothing_better() {
    let mut edited = compiled(APP, &["app", "www"]);
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.at(10).observe("down i1/4");
    edited.slots[0].target = Some("x1/4".into());
    bench.at(20).control.install(Arc::new(edited), 2);
    bench.at(30).observe("down d1/4");
    assert_eq!(bench.answer(0), ["i1"]);
}

#[test]
fn a_mass_failure_is_held_and_takes_effect_in_its_time_or_when_confirmed() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.control.install(apart(), 2);
    bench.at(10).observe("down i1/4");
    bench.at(11).observe("down d1/4 n1/4");
    // Two of three pools would be gone: Dublin is held as it was, and Tokyo with it.
    assert_eq!(
        (bench.answer(0), bench.answer(1)),
        (vec!["d1".into()], vec!["d1".into(), "n1".into()])
    );
    let (until, falls) = bench.control.held().mass.unwrap();
    assert_eq!((until, falls), (secs(131), 2));
    let world = bench.world();
    let verdict = world.state.verdicts.iter().find(|v| v.reason.contains("too much fell at once"));
    assert!(verdict.is_some_and(|verdict| verdict.sight.failing), "{:?}", world.state.verdicts);
    for now in 12..=130 {
        bench.at(now).control.tick();
    }
    assert!(bench.control.held().mass.is_some());
    bench.at(131).control.tick();
    assert!(bench.control.held().mass.is_none());
    let down = |v: &&crate::verdict::Verdict| !v.sight.standing.is_up();
    assert_eq!(bench.world().state.verdicts.iter().filter(down).count(), 3);
    assert!(!bench.answer(0).is_empty(), "last-good");
}

#[test]
fn a_reload_in_the_middle_of_a_held_failure_changes_nothing() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.control.install(apart(), 2);
    bench.at(10).observe("down i1/4");
    bench.at(11).observe("down d1/4");
    let before = (bench.answer(0), bench.answer(1));
    bench.at(12).control.install(apart(), 3);
    assert_eq!((bench.answer(0), bench.answer(1)), before);
    assert_eq!(bench.control.held().mass.map(|(_, falls)| falls), Some(1));
    bench.at(20).control.confirm_falls();
    assert_eq!(bench.answer(1), ["n1"]);
}
