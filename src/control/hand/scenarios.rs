//! Overrides over time: drains that move somebody or nobody, what begins and what is refused then,
//! what people are told, pins and restarts.

use super::{
    Hand, Refusal, Stage,
    drain::{DrainStage, KeptBy},
    testkit::{Bench, SERVER, ZONE, at, compiled, snapshot},
};
use crate::{
    clock::Moment,
    forecast::{Standpoint, shares::given},
    ids::{Class, PlanId, SlotId},
    units::Share,
    verdict::Standing,
};
use std::time::Duration;

/// One failover of two regions; `rules` are its own.
fn pair(rules: &str) -> Bench {
    pair_under(SERVER, rules)
}

/// The same under the server's files `server`.
fn pair_under(server: &str, rules: &str) -> Bench {
    let zone = format!(
        "zone = \"g.example\"\nns = [\"ns.g.example\"]\nttl = \"20s\"\n\
         static = \"ns IN A 192.0.2.53\"\n\
         [pools.stable]\nregion = \"us\"\n\
         endpoints = [{{ name = \"s1\", ipv4 = \"192.0.2.1\" }}]\n\
         [pools.dub]\nregion = \"eu\"\n\
         endpoints = [{{ name = \"d1\", ipv4 = \"198.51.100.1\" }}]\n\
         [records.app]\npolicy = \"failover\"\nmembers = [\"stable\", \"dub\"]\n{rules}\n"
    );
    Bench::over(&compiled(server, &[&zone]))
}

/// How the drain `id` stands.
fn stage(bench: &Bench, id: u64) -> DrainStage {
    bench.control.hand().load().drains[&id].state.clone()
}

fn kept_by(bench: &Bench, id: u64) -> String {
    match stage(bench, id) {
        DrainStage::Answered(KeptBy { why, remedy }) => format!("{why}; {remedy}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_drain_is_drained_a_minute_after_the_last_answer_that_names_it_has_run_out() {
    let mut bench = pair("");
    bench.tell("drain region:us").unwrap();
    bench.pass(79);
    assert_eq!(stage(&bench, 1), DrainStage::Draining);
    bench.pass(1);
    assert_eq!(stage(&bench, 1), DrainStage::Drained);
    assert!(bench.happened().iter().any(|e| e.starts_with("#1 drain region:us: drained")));
    // Nothing else is there for the other one: it is answered, and says so.
    bench.tell("drain region:eu").unwrap();
    let why = kept_by(&bench, 2);
    assert!(why.contains("nothing else that is up: it is answered by `all_down`"), "{why}");
}

#[test]
fn a_drain_that_moves_nobody_says_what_keeps_it() {
    let manual = "failover = \"manual\"\nfailback = \"manual\"";
    for over in ["", " --over 60s"] {
        let mut bench = pair(manual);
        let done = bench.tell(&format!("drain pool:stable{over}")).unwrap();
        let asks = "g.example/app stays on `stable` and waits for approval: tradewind approve \
                    record:g.example/app";
        assert_eq!(done.notes, [asks]);
        let kept = "g.example/app waits for approval; tradewind approve record:g.example/app";
        assert_eq!(kept_by(&bench, 1), kept, "from the start");
        bench.pass(900);
        assert_eq!(kept_by(&bench, 1), kept);
        bench.tell("approve record:g.example/app").unwrap();
        assert_eq!(stage(&bench, 1), DrainStage::Draining);
        bench.pass(79);
        assert_eq!(stage(&bench, 1), DrainStage::Draining);
        bench.pass(1);
        assert_eq!(stage(&bench, 1), DrainStage::Drained);
    }
    let mut bench = pair("");
    bench.tell("hold record:g.example/app").unwrap();
    bench.tell("drain pool:stable").unwrap();
    assert_eq!(kept_by(&bench, 2), "g.example/app is held; tradewind unhold record:g.example/app");
    bench.tell("unhold record:g.example/app").unwrap();
    assert_eq!(stage(&bench, 2), DrainStage::Draining);
    let mut bench = pair("");
    bench.tell("pin").unwrap();
    bench.tell("drain pool:stable").unwrap();
    assert!(kept_by(&bench, 2).ends_with("; tradewind unpin"));
    let mut bench = pair("");
    bench.tell("drain pool:stable").unwrap();
    bench.tell("force endpoint:s1 up").unwrap();
    bench.tell("failback record:g.example/app").unwrap();
    let forced = "#2 forces part of it up; tradewind force id:2 auto";
    assert_eq!(kept_by(&bench, 1), forced);
}

#[test]
fn the_last_to_begin_wins_and_whoever_speaks_before_that_is_told() {
    let mut bench = pair("");
    bench.tell("drain pool:stable --at +1h").unwrap();
    bench.pass(1_800);
    let done = bench.tell("force endpoint:s1 up").unwrap();
    assert_eq!(done.notes, ["#1 drain pool:stable hides it in 30m, when that begins"]);
    let standing = |bench: &Bench| bench.control.world().state.standings.0[0].standing;
    assert_eq!(standing(&bench), Standing::Up);
    bench.pass(1_800);
    assert_eq!(standing(&bench), Standing::Drained);
    let said = "#1 drain pool:stable: begins (drains 1 endpoint of 1 pool; 1 record; hides #2)";
    assert!(bench.happened().iter().any(|e| e == said), "{:?}", bench.happened());
    // Over a restart as well.
    let hand = bench.control.hand().load().hand.clone();
    let rows = hand.kept(at(0)).into_iter();
    let rows = rows.map(|one| (one.id, serde_json::to_value(one).unwrap())).collect();
    let back = Hand::restored(&hand.note(at(0)), &rows, at(0)).hand;
    let files = bench.control.world().snapshot.clone();
    assert_eq!(back.effect(&files, at(0).at).hidden_by(1), [2]);
}

#[test]
fn a_drain_that_takes_over_brings_nobody_back() {
    for (first, next, is_left) in [
        // Everybody has left by the first, whatever the next one's pace.
        ("drain pool:stable --over 60s", "drain region:us --over 30s", false),
        ("drain pool:stable", "drain region:us --over 30s", false),
        // What has left has left, whatever the next one's pace.
        ("drain pool:stable --over 2m", "drain region:us --over 2m", true),
        ("drain pool:stable --over 2m", "drain region:us --over 4m", true),
        ("drain pool:stable --over 4m", "drain region:us --over 2m", true),
    ] {
        let mut bench = pair("");
        bench.tell(first).unwrap();
        bench.pass(70);
        let left = |bench: &Bench| {
            let world = bench.control.world();
            let ramp = world.state.ramp(SlotId(0)).unwrap();
            ramp.share(world.snapshot.plan(PlanId(0)), world.state.now).map(|ramp| ramp.share)
        };
        let before = left(&bench);
        assert_eq!(before.is_some(), is_left, "{first}");
        bench.tell(next).unwrap();
        assert_eq!(left(&bench), before, "{next}");
    }
}

#[test]
fn a_drain_that_takes_over_goes_on_at_its_own_pace_and_stands_still_under_a_pin() {
    let mut bench = pair("");
    let left = |bench: &Bench| {
        let world = bench.control.world();
        let ramp = world.state.ramp(SlotId(0)).unwrap();
        ramp.share(world.snapshot.plan(PlanId(0)), world.state.now).map(|ramp| ramp.share)
    };
    let share = |percent: u32| Some(Share::from_fraction(f64::from(percent) / 100.0));
    bench.tell("drain pool:stable --over 100s").unwrap();
    bench.pass(40);
    bench.tell("drain region:us --over 200s").unwrap();
    bench.pass(60);
    assert_eq!(left(&bench), share(30));
    bench.tell("pin").unwrap();
    bench.pass(30);
    assert_eq!(left(&bench), share(30));
    bench.tell("unpin").unwrap();
    bench.pass(20);
    assert_eq!(left(&bench), share(20));
    bench.pass(40);
    assert_eq!(left(&bench), None);
}

const ONE_LEFT: &str =
    "[[safety]]\nname = \"one-left\"\nrecords = [\"g.example/app\"]\nmin_active_regions = 1\n";

#[test]
fn rules_hold_for_what_is_put_off_when_it_is_said_and_when_it_begins() {
    let server = format!("{SERVER}{ONE_LEFT}");
    let mut bench = Bench::over(&compiled(&server, &[ZONE]));
    bench.tell("drain region:us --at +2h").unwrap();
    bench.pass(3_600);
    let Refusal::Unsafe(broken) = bench.tell("drain region:eu").unwrap_err() else { panic!() };
    let said = broken[0].to_string();
    assert!(said.contains("(in 1h, by what is put off until then)"), "{said}");
    // Over before that begins, it is nobody's affair.
    bench.tell("drain region:eu --for 30m").unwrap();
    bench.tell("drain region:eu --break-glass --reason fire").unwrap();
    bench.pass(3_600);
    let hand = bench.control.hand().load().hand.clone();
    let Stage::Refused(why) = &hand.find(1).unwrap().stage else { panic!("{hand:?}") };
    assert!(why.contains("one-left: "), "{why}");
    assert!(bench.control.world().state.standings.0.iter().any(|s| s.standing.is_up()));
    let refused = |e: &String| e.starts_with("#1 drain region:us: refused (one-left: ");
    assert!(bench.happened().iter().any(refused), "{:?}", bench.happened());
    // It does not begin by itself later either.
    bench.tell("undrain region:eu").unwrap();
    bench.pass(60);
    assert!(bench.control.world().state.standings.0.iter().all(|s| s.standing.is_up()));
    bench.tell("undrain id:1").unwrap();
}

#[test]
fn whoever_goes_alone_where_two_are_asked_for_is_an_alarm_and_every_reason_is_kept() {
    let rules = "[[safety]]\nname = \"four-eyes\"\n\
                 two_persons = [\"confirm\", \"weight\", \"failback\"]\n";
    let server = format!("{SERVER}{rules}");
    let mut bench = Bench::over(&compiled(&server, &[ZONE]));
    bench.tell("force pool:stable down").unwrap();
    bench.tell("force pool:stable auto").unwrap();
    for (text, what, reason) in [
        ("weight record:g.example/www canary=70", "weight record:g.example/www", "now"),
        ("confirm --falls", "confirm", "seen"),
        ("failback record:g.example/app", "failback record:g.example/app", "back"),
    ] {
        bench.tell(&format!("{text} --break-glass --reason {reason}")).unwrap();
        let happened = bench.happened();
        let of = |part: &str| happened.iter().rfind(|e| e.contains(part)).cloned();
        let alarm = of("over a safety rule").unwrap();
        assert!(alarm.contains(&format!("{what}: over a safety rule (four-eyes: ")), "{alarm}");
        assert!(alarm.ends_with(&format!("by ana: {reason})")), "{alarm}");
        let done = happened.iter().rev().find(|e| !e.contains("over a safety rule")).unwrap();
        assert!(done.contains(&format!("by ana: {reason}")), "{done}");
    }
}

/// What a second person is asked to agree to is what would come of it.
#[test]
fn what_waits_for_a_second_person_is_foreseen_with_the_move_it_would_make() {
    let rules = "[[safety]]\nname = \"four-eyes\"\ntwo_persons = [\"approve\"]\n";
    let mut bench = pair_under(&format!("{SERVER}{rules}"), "failover = \"manual\"");
    bench.tell("force pool:stable down").unwrap();
    let active = |standpoint: &Standpoint| standpoint.state.courses[0].active;
    let proposed = bench.tell("approve record:g.example/app").unwrap();
    assert!(proposed.planned.proposed.is_some());
    assert_ne!(active(&proposed.before), active(&proposed.after));
    let world = bench.control.world();
    assert_eq!(world.state.courses[0].active, active(&proposed.before), "not in effect");
    let id = proposed.planned.proposed.unwrap();
    bench.tell(&format!("confirm {id} --as bo")).unwrap();
    assert_eq!(bench.control.world().state.courses[0].active, active(&proposed.after));
}

#[test]
fn what_is_approved_or_rejected_says_how_it_is_taken_back_and_why_it_was_done() {
    let mut bench = pair("failover = \"manual\"\nfailback = \"manual\"");
    bench.tell("force pool:stable down").unwrap();
    let rejected = bench.tell("reject record:g.example/app --reason wait").unwrap();
    assert!(rejected.notes[0].starts_with("nothing takes this back: it asks again"));
    bench.tell("force pool:stable auto").unwrap();
    bench.tell("force pool:stable down").unwrap();
    let done = bench.tell("approve record:g.example/app --reason lost").unwrap();
    assert_eq!(done.undo, ["tradewind failover record:g.example/app --to=stable"]);
    let happened = bench.happened();
    for said in [
        "reject record:g.example/app: done (1 record, by ana: wait)",
        "approve record:g.example/app: done (1 record, by ana: lost)",
    ] {
        assert!(happened.iter().any(|e| e == said), "{happened:?}");
    }
    bench.tell("force pool:stable auto").unwrap();
    let back = bench.tell("failback record:g.example/app --reason well").unwrap();
    assert_eq!(back.undo, ["tradewind failover record:g.example/app --to=dub"]);
}

#[test]
fn a_failback_that_takes_an_override_away_is_one_publish() {
    let mut bench = pair("failback = \"manual\"");
    bench.tell("failover record:g.example/app --to dub").unwrap();
    let before = bench.swap();
    bench.tell("failback record:g.example/app").unwrap();
    assert_eq!(bench.swap(), before + 1);
    assert_eq!(bench.control.world().state.courses[0].active, 0);
}

/// A drain over time ends where one at once begins: the failover has moved, and comes back by its
/// own rule only.
#[test]
fn a_failover_moves_when_the_ramp_of_a_drain_is_over() {
    let mut bench = pair("failback = \"manual\"");
    bench.tell("drain pool:stable --over 60s").unwrap();
    let active = |bench: &Bench| bench.control.world().state.courses[0].active;
    bench.pass(59);
    assert_eq!(active(&bench), 0);
    bench.pass(2);
    assert_eq!(active(&bench), 1);
    bench.tell("undrain pool:stable").unwrap();
    bench.pass(600);
    assert_eq!(active(&bench), 1, "it waits for approval");
}

#[test]
fn a_failover_that_is_approved_while_a_drain_runs_follows_its_ramp() {
    let mut bench = pair("failover = \"manual\"\nfailback = \"manual\"");
    let stands = |bench: &Bench| {
        let left = bench.control.hand().load().drains[&1].answered;
        ((left * 100.0).round() as u64, bench.control.world().state.courses[0].active)
    };
    bench.tell("drain pool:stable --over 100s").unwrap();
    bench.pass(40);
    assert_eq!(stands(&bench), (100, 0), "nobody leaves before it is approved");
    let preview = bench.control.waiting().remove(0).after.unwrap();
    let done = bench.tell("approve record:g.example/app --dry-run").unwrap();
    for after in [preview, done.after] {
        let shares = given(after.snapshot.plan(PlanId(0)), Class(0), &after).spots;
        let pools: Vec<&str> = shares.keys().map(|spot| spot.pool).collect();
        assert_eq!(pools, ["g.example/dub"], "what will come of it");
    }
    bench.tell("approve record:g.example/app").unwrap();
    assert_eq!((stands(&bench), stage(&bench, 1)), ((60, 0), DrainStage::Draining));
    bench.pass(30);
    assert_eq!(stands(&bench), (30, 0));
    bench.pass(31);
    assert_eq!(stands(&bench), (0, 1));
    // Taken back on the way: it stays, and asks nothing.
    let mut bench = pair("failover = \"manual\"\nfailback = \"manual\"");
    bench.tell("drain pool:stable --over 100s").unwrap();
    bench.tell("approve record:g.example/app").unwrap();
    bench.pass(40);
    bench.tell("undrain pool:stable").unwrap();
    bench.pass(200);
    let course = bench.control.world().state.courses[0];
    assert_eq!((course.active, course.stays), (0, true));
    assert!(bench.control.waiting().is_empty());
}

#[test]
fn a_pin_lets_the_ramp_of_a_drain_stand_still() {
    let mut bench = pair("");
    bench.tell("drain pool:stable --over 100s").unwrap();
    bench.pass(30);
    let left = |bench: &Bench| {
        let world = bench.control.world();
        let ramp =
            world.state.ramps.first()?.share(world.snapshot.plan(PlanId(0)), world.state.now);
        Some((ramp?.share.as_fraction() * 100.0).round() as u64)
    };
    assert_eq!(left(&bench), Some(70));
    bench.tell("pin").unwrap();
    let swap = bench.swap();
    bench.pass(500);
    assert_eq!((left(&bench), bench.swap()), (Some(70), swap));
    bench.tell("unpin").unwrap();
    bench.pass(30);
    assert_eq!(left(&bench), Some(40));
    bench.pass(40);
    assert_eq!(left(&bench), None);
}

#[test]
fn what_happened_to_overrides_while_no_server_ran_is_told() {
    let (files, mut hand) = (snapshot(), Hand::default());
    hand.told("drain pool:dub --for 5m", &files, at(0));
    hand.told("drain pool:canary --at +1m", &files, at(0));
    let rows = hand.kept(at(0)).into_iter();
    let rows = rows.map(|one| (one.id, serde_json::to_value(one).unwrap())).collect();
    let mut bench = Bench::over(&snapshot());
    let now = super::Now { at: Moment(1_000_000_000_000), ..at(600) };
    bench.control.resume(Hand::restored(&hand.note(at(0)), &rows, now));
    bench.pass(1);
    assert_eq!(
        bench.happened(),
        [
            "#1 drain pool:dub: ended (its time was over while no server ran)",
            "#2 drain pool:canary: begins (drains 1 endpoint of 1 pool; 2 records)",
        ]
    );
}

#[test]
fn a_time_of_day_is_the_next_one() {
    use super::command::Begins;
    use std::time::UNIX_EPOCH;
    let noon = UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + 12 * 3_600);
    for (text, later) in [("12:00", 0), ("12:30Z", 1_800), ("11:59", 86_340), ("00:00", 43_200)] {
        let at = noon + Duration::from_secs(later);
        assert_eq!(Begins::at(text, noon), Ok(Begins::At(at)), "{text}");
    }
}
