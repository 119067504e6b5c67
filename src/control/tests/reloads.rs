//! What stays over a reload, and what one does.

use super::*;
use crate::control::steered::Steered;

#[test]
fn verdicts_and_since_when_live_through_a_reload() {
    let mut bench = Bench::new(APP, &["app"]);
    bench.at(10).observe("down d1/4");
    let known = bench.world().state.verdict(SlotId(1)).cloned();
    let fell = bench.world().swap;
    bench.events();
    // A new endpoint comes first, so every id moves.
    let longer = format!("pool new = x1/4\n{APP}");
    bench.at(50).control.install(Arc::new(compiled(&longer, &["app"])), 2);
    let world = bench.world();
    assert_eq!(world.state.verdict(SlotId(2)), known.as_ref());
    assert_eq!((world.revision, world.state.fell[2]), (2, fell));
    let new = world.state.verdict(SlotId(0)).unwrap();
    assert_eq!((new.sight.standing, &*new.reason), (Standing::Unknown, "not probed yet"));
    assert_eq!(bench.events(), ["published: 1 plans"]);
}

#[test]
fn a_reload_that_judges_a_slot_by_a_dead_target_is_a_fall() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.at(10).observe("down n1/4");
    bench.events();
    let mut other = compiled(APP, &["app", "www"]);
    other.slots[0].target = Some("n1/4".into());
    bench.at(20).control.install(Arc::new(other), 2);
    assert_eq!(bench.world().state.fell[0], bench.world().swap);
    assert_eq!(
        bench.events(),
        [
            "z/i1 up → down: down",
            "z/app: iad → dub (the active member is not available)",
            "published: 2 plans",
        ]
    );
}

#[test]
fn latches_live_through_reloads_that_reorder_and_add_members() {
    let mut bench = Bench::new(APP, &["app"]);
    bench.at(10).observe("down i1/4");
    bench.at(20).observe("up i1/4");
    bench.events();
    let reordered = APP.replace("app = iad dub", "app = nrt iad dub");
    bench.at(30).control.install(Arc::new(compiled(&reordered, &["app"])), 2);
    assert_eq!(bench.answer(0), ["d1"]);
    assert_eq!(bench.events(), ["published: 1 plans"]);
    // The one that waited goes on waiting; the new one starts to.
    assert_eq!(bench.control.wake(), Some(secs(320)));
    bench.at(320).control.tick();
    assert_eq!(bench.answer(0), ["i1"]);
    assert_eq!(bench.control.wake(), Some(secs(330)));
    bench.at(330).control.tick();
    assert_eq!(bench.answer(0), ["n1"]);
}

#[test]
fn a_reload_that_takes_the_active_member_out_says_where_it_went() {
    let mut bench = Bench::new(APP, &["app"]);
    bench.at(10).observe("down i1/4");
    bench.events();
    let without = APP.replace("app = iad dub", "app = iad nrt");
    bench.at(20).control.install(Arc::new(compiled(&without, &["app"])), 2);
    assert_eq!(
        bench.events(),
        [
            "z/app: dub → iad (its active member is in the files no more)",
            "z/app: iad → nrt (the first that works of those that are left)",
            "published: 1 plans",
        ]
    );
    assert_eq!(bench.answer(0), ["n1"]);
    // A failover that comes under a new name starts afresh.
    let renamed = APP.replace("failover app", "failover new");
    bench.at(30).control.install(Arc::new(compiled(&renamed, &["new"])), 3);
    let events = bench.events();
    assert_eq!(events[0], "z/new: iad → dub (the active member is not available)");
}

#[test]
fn a_manual_failover_whose_active_member_is_taken_out_does_not_go_to_a_dead_one() {
    let manual = Rules { failover: Mode::Manual, failback: Failback::Manual, ..Rules::default() };
    let files = |text: &str| Arc::new(snapshot(&Given::new(text), &["app"], manual));
    let three = APP.replace("app = iad dub", "app = iad dub nrt");
    let mut bench = Bench::new(&three, &["app"]);
    bench.control.install(files(&three), 2);
    bench.at(10).observe("down i1/4");
    bench.tell(Wish::Approve { target: "record:z/app".into() }).unwrap();
    assert_eq!(bench.answer(0), ["d1"]);
    bench.events();
    bench.at(20).control.install(files(&three.replace("iad dub nrt", "iad nrt")), 3);
    assert_eq!(bench.answer(0), ["n1"]);
    assert_eq!(
        bench.events(),
        [
            "z/app: dub → iad (its active member is in the files no more)",
            "z/app: iad → nrt (the first that works of those that are left)",
            "published: 1 plans",
        ]
    );
}

/// Four records, each over an endpoint of its own.
const FOUR: &str = "
    pool a = a1/4
    pool b = b1/4
    pool c = c1/4
    pool d = d1/4
";

/// Which of the answers in force were `made` before.
fn shared(bench: &Bench, made: &Steered) -> [bool; 4] {
    let steering = made.before(bench.control.operator.files()).unwrap().steering;
    let world = bench.world();
    [0, 1, 2, 3].map(|plan| world.steering.shares(steering, PlanId(plan)))
}

#[test]
fn answers_made_ahead_are_made_again_only_where_something_turned_since() {
    let mut bench = Bench::new(FOUR, &["a", "b", "c", "d"]);
    bench.at(10).observe("down a1/4");
    let files = Arc::new(compiled(FOUR, &["a", "b", "c", "d"]));
    let made = Steered::ahead(&bench.control.outlook(), &files);
    bench.at(20).observe("down b1/4");
    bench.tell(Wish::Drain { target: "endpoint:z/d1".into(), over: None }).unwrap();
    bench.control.install_steered(Arc::clone(&files), 2, Some(&made));
    assert_eq!(shared(&bench, &made), [true, false, true, false]);
    // Others, of which it knows nothing.
    let others = Arc::new(compiled(FOUR, &["b", "a", "d", "c"]));
    bench.control.install_steered(others, 3, Some(&made));
    assert_eq!(["b1", "a1", "d1", "c1"], [0, 1, 2, 3].map(|plan| bench.answer(plan)[0].clone()));
}
