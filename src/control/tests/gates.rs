//! Gates: shut without a result, and with the breaker between probes and them.

use super::*;

/// Files over `APP` where the second member requires `db`.
fn gated() -> Arc<Snapshot> {
    let mut files = compiled(APP, &["app", "www"]);
    files.failovers[0].gates = [vec![], vec!["db".into()]].map(Vec::into_boxed_slice).into();
    Arc::new(files)
}

#[test]
fn a_gate_without_a_result_is_shut_and_its_opening_lets_the_move_through() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.control.install(gated(), 2);
    bench.at(10).observe("down i1/4");
    assert_eq!(bench.answer(0), ["i1"], "the move waits, and last-good means the active member");
    bench.at(11).observe("down db");
    assert_eq!(bench.answer(0), ["i1"]);
    bench.at(12).observe("up db");
    assert_eq!(bench.answer(0), ["d1"]);
    // A gate that shuts behind the clients sends nobody back.
    bench.at(13).observe("down db");
    assert_eq!(bench.answer(0), ["d1"]);
}

/// Control over [`gated`] files with its gate open, and who probes for it.
fn open_gate() -> (Bench, Arc<Fake>) {
    let mut bench = Bench::new(APP, &["app", "www"]);
    let fake = Arc::new(Fake::default());
    bench.control.watch_from(Arc::clone(&fake) as Arc<dyn crate::control::vantage::Vantage>);
    bench.control.install(gated(), 2);
    let open = verdict("db", Standing::Up, secs(1));
    bench.control.observe(vec![TargetVerdict { gate: Some("check:db".into()), ..open }]);
    bench.events();
    (bench, fake)
}

/// The same gate, judged to be down.
fn shut(bench: &mut Bench, now: u64) {
    let down = verdict("db", Standing::Down, secs(now));
    let down = TargetVerdict { gate: Some("check:db".into()), ..down };
    bench.at(now).control.observe(vec![down]);
}

#[test]
fn a_checker_that_is_cut_off_shuts_no_gate_until_it_fails_once_more() {
    let (mut bench, fake) = open_gate();
    shut(&mut bench, 10);
    assert_eq!(fake.0.lock().unwrap().asked, ["i1/4".into()]);
    bench.at(11).control.tick();
    assert_eq!(bench.control.held().cut_off, Some((secs(11), 1)));
    assert!(bench.events().iter().all(|event| !event.contains("check:db")));
    // People may know better than a checker that hears nobody.
    bench.tell(Wish::Failover { target: "record:z/app".into(), to: "dub".into() }).unwrap();
    assert_eq!(bench.answer(0), ["d1"]);
    fake.0.lock().unwrap().answered = Some(secs(12));
    bench.at(12).control.heard();
    assert!(bench.control.is_up("db"));
    fake.0.lock().unwrap().failed.push(("db".into(), secs(13)));
    bench.at(13).control.heard();
    assert!(!bench.control.is_up("db"));
    assert!(bench.events().contains(&"check:db (gate) up → down: down".to_owned()));
}

#[test]
fn a_gate_that_fails_while_others_answer_is_shut_at_once() {
    let (mut bench, fake) = open_gate();
    fake.0.lock().unwrap().answered = Some(secs(11));
    shut(&mut bench, 10);
    assert_eq!(bench.events(), ["check:db (gate) up → down: down", "published: 1 plans"]);
    bench.at(11).observe("down i1/4");
    assert_eq!(bench.answer(0), ["i1"], "the move waits");
}

#[test]
fn a_pin_leaves_gates_as_they_are() {
    let (mut bench, fake) = open_gate();
    fake.0.lock().unwrap().answered = Some(secs(1_000));
    let is_barred = |bench: &Bench| bench.world().state.courses[0].barred.contains(1);
    bench.control.pin_file(Some(PinFile { reason: None, since: None }));
    shut(&mut bench, 10);
    assert!(bench.control.is_up("db") && !is_barred(&bench));
    bench.at(11).control.pin_file(None);
    assert!(!bench.control.is_up("db") && is_barred(&bench));
    bench.control.pin_file(Some(PinFile { reason: None, since: None }));
    bench.at(12).observe("up db");
    assert!(!bench.control.is_up("db") && is_barred(&bench));
}
