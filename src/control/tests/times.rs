//! Ramps, old answers and clocks that are set.

use super::*;

/// Files over `APP` where an endpoint that comes back takes its clients in ten seconds.
fn ramped() -> Arc<Snapshot> {
    let mut files = compiled(APP, &["app", "www"]);
    let ramp = Ramp { over: Duration::from_secs(10), start: Share::from_fraction(0.1) };
    files.plans.iter_mut().for_each(|plan| plan.ramp = Some(ramp));
    Arc::new(files)
}

#[test]
fn an_endpoint_that_comes_back_ramps_by_the_second_and_over_a_reload() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.control.install(ramped(), 2);
    bench.at(10).observe("down n1/4");
    assert_eq!((bench.answer(1), bench.control.wake()), (vec!["d1".into()], None));
    bench.at(20).observe("up n1/4");
    assert_eq!(bench.answer(1), ["d1", "n1"]);
    let share = |bench: &Bench| {
        let world = bench.world();
        let ramp = world.state.ramp(SlotId::at(2)).unwrap();
        ramp.share(world.snapshot.plan(PlanId(1)), world.state.now)
            .map(|ramp| ramp.share.as_fraction())
    };
    let mut seen = vec![share(&bench).unwrap()];
    for now in 21..30 {
        assert_eq!(bench.control.wake(), Some(secs(now)));
        let before = bench.world().swap;
        bench.at(now).control.tick();
        assert_eq!(bench.world().swap, before + 1, "one publish a second");
        if now == 25 {
            bench.control.install(ramped(), 3);
        }
        seen.push(share(&bench).unwrap());
    }
    for (second, share) in seen.iter().enumerate() {
        let planned = 0.1 + 0.9 * second as f64 / 10.0;
        assert!((share - planned).abs() < 0.001, "{share} of {planned}");
    }
    bench.at(30).control.tick();
    assert_eq!((bench.world().state.ramp(SlotId::at(2)), bench.control.wake()), (None, None));
    let swap = bench.world().swap;
    bench.at(31).control.tick();
    assert_eq!(bench.world().swap, swap, "nothing is published for nothing");
}

#[test]
fn old_answers_are_measured_after_ramps_reloads_and_by_the_pace_before_them() {
    let telemetry = Arc::new(crate::telemetry::Telemetry::default());
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.control.count_by(Arc::clone(&telemetry));
    bench.control.install(ramped(), 2);
    bench.at(10).observe("down n1/4");
    bench.at(41).control.tick();
    bench.at(70).observe("up n1/4");
    let left = |bench: &Bench| {
        let left = bench.control.moves().left(&telemetry, bench.clock.now());
        left.into_iter().map(|left| (left.what.to_string(), left.computed)).next().unwrap()
    };
    assert_eq!(left(&bench), ("z/n1 is up".into(), 1.0));
    for now in 71..=80 {
        bench.at(now).control.tick();
    }
    // Ten seconds in which a half still got the old answer on average, of a TTL of thirty.
    let (_, now) = left(&bench);
    assert!((now - (1.0 - (10.0 - 4.95) / 30.0)).abs() < 0.02, "{now}");
    bench.at(95).control.tick();
    bench.at(111).control.tick();
    assert_eq!(left(&bench).1, 0.0);
    let told = bench.control.journal();
    let told = told.lock().since(0).filter(|e| e.kind.word() == "old_answers").count();
    assert_eq!(told, 3, "all of the first, half and all of the second");
    // A reload that answers otherwise is a move; one that does not is none.
    let before = bench.control.moves().left(&telemetry, bench.clock.now()).len();
    bench.at(112).control.install(ramped(), 3);
    assert_eq!(bench.control.moves().left(&telemetry, bench.clock.now()).len(), before);
    let moved = APP.replace("www = dub nrt", "www = iad nrt");
    bench.control.install(Arc::new(compiled(&moved, &["app", "www"])), 4);
    assert_eq!(left(&bench), ("revision 4".into(), 1.0));
}

/// What an operator sees of a bench: answers, TTL and the next wake-up, then what was written down
/// (of the hand without the times of day in its sentences).
fn seen(bench: &mut Bench) -> (Vec<String>, u32, Option<Moment>, Vec<String>) {
    let ttl = bench.world().steering.plan(PlanId(0)).selection(Class(0)).ttl.as_secs();
    let (journal, read) = (bench.control.journal(), bench.read);
    let hand = |kind: &EventKind| match kind {
        EventKind::Hand { id, what, became, .. } => format!("#{id} {what}: {became}"),
        _ => String::new(),
    };
    let hands: Vec<String> = journal.lock().since(read).map(|e| hand(&e.kind)).collect();
    let mut events = bench.events();
    for (event, hand) in events.iter_mut().zip(hands).filter(|(_, hand)| !hand.is_empty()) {
        *event = hand;
    }
    (bench.answer(0), ttl, bench.control.wake(), events)
}

/// H-10: whatever the clock on the wall is set to, nothing moves earlier, later or differently.
#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    const YEARS: i64 = 10 * 365 * 86_400;
    let ramp = Ramp { over: Duration::from_secs(10), start: Share::from_fraction(0.1) };
    let rules = Rules { ramp: Some(ramp), ..Rules::default() };
    let day = Duration::from_secs(1_790_000_000);
    let twin = || {
        let mut bench = Bench::new(APP, &["app", "www"]);
        bench.clock.set_wall(day.as_secs() as i64);
        bench.control.install(Arc::new(snapshot(&Given::new(APP), &["app", "www"], rules)), 2);
        bench.events();
        bench
    };
    let (mut calm, mut jumpy) = (twin(), twin());
    let mut jumps = [3_600, -3_600, -3_600, YEARS, 3_600, -YEARS].into_iter().cycle();
    let lasts = |wish, lasts, begins| hand::Command { lasts, begins, ..command(wish) };
    let drain = |target: &str| Wish::Drain { target: target.into(), over: None };
    // What is done at each second; in between, time passes second by second.
    for now in 10..=700 {
        for bench in [&mut calm, &mut jumpy] {
            bench.at(now);
            let after =
                Some(hand::command::Begins::At(bench.clock.wall() + Duration::from_secs(60)));
            let minute = Some(Duration::from_secs(60));
            let over = Wish::Drain { target: "endpoint:z/i1".into(), over: minute };
            let wish = match now {
                10 => {
                    bench.observe("down i1/4");
                    None
                }
                // Then the failback's five minutes, and its ramp.
                20 => {
                    bench.observe("up i1/4");
                    None
                }
                400 => Some(lasts(drain("endpoint:z/d1"), minute, None)),
                480 => Some(lasts(drain("endpoint:z/i1"), minute, after)),
                600 => Some(lasts(over, None, None)),
                _ => None,
            };
            if let Some(wish) = wish {
                bench.control.command(&wish, &Clients::default()).unwrap();
            }
            bench.control.tick();
        }
        let (a, b) = (seen(&mut calm), seen(&mut jumpy));
        assert_eq!(a, b, "at {now} s");
        if now == 545 {
            assert_eq!(a.0, ["d1"], "the drain that was to begin at a time of day has begun");
        }
        jumpy.clock.set_wall(jumps.next().unwrap());
    }
    assert_eq!(calm.answer(0), ["d1"], "the long drain is over");
}
