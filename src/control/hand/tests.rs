//! What operators may say, what wins, what it comes to, and what is refused.
//!
//! Long, because it goes verb by verb; what takes time is in `scenarios.rs`.

use super::{
    Action, Command, ForceTo, Hand, Refusal, SlotIs, Target, TargetError, Wish,
    kept::Restored,
    testkit::{Bench, SERVER, ZONE, at, command, compiled, snapshot},
    weights::patched,
    words,
};
use crate::{
    clock::Moment,
    forecast::{Clients, Pair, Standpoint, preview},
    ids::{Class, PlanId, RecordId},
    place::{Continent, Country, LazyTable, embedded},
    snapshot::Snapshot,
    steering::PlanSteering,
    verdict::Standing,
};
use proptest::prelude::*;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

static FILES: LazyLock<Arc<Snapshot>> = LazyLock::new(snapshot);

fn target(text: &str) -> Target {
    Target::read(text, &FILES).unwrap()
}

/// The names of the slots a target stands for, each once.
fn slots(text: &str) -> String {
    let mut names: Vec<&str> =
        target(text).slots(&FILES).iter().map(|s| &*FILES.slots[s.index()].name).collect();
    names.dedup();
    names.join(" ")
}

#[test]
fn targets_stand_for_what_their_names_say() {
    for (text, names) in [
        ("region:eu", "spare/x1 g.example/dub/d1"),
        (
            "region:*",
            "spare/x1 g.example/stable/s1 g.example/stable/s2 g.example/canary/c1 g.example/dub/d1",
        ),
        ("pool:g.example/stable", "g.example/stable/s1 g.example/stable/s2"),
        ("pool:stable", "g.example/stable/s1 g.example/stable/s2"),
        ("pool:spare", "spare/x1"),
        (
            "pool:g.example/*",
            "g.example/stable/s1 g.example/stable/s2 g.example/canary/c1 g.example/dub/d1",
        ),
        ("endpoint:g.example/stable/s2", "g.example/stable/s2"),
        ("endpoint:*/stable/*", "g.example/stable/s1 g.example/stable/s2"),
        ("endpoint:spare/x1", "spare/x1"),
        ("endpoint:s1", "g.example/stable/s1"),
        ("check:other", "g.example/dub/d1"),
        ("record:g.example/www", ""),
        ("pool:a/b/c", ""),
    ] {
        let mut found: Vec<&str> = Box::leak(slots(text).into_boxed_str()).split(' ').collect();
        let mut wanted: Vec<&str> = names.split(' ').collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{text}");
    }
    let failovers = |text: &str| -> Vec<String> {
        let found = target(text).failovers(&FILES);
        found.iter().map(|id| FILES.failovers[id.index()].name.to_string()).collect()
    };
    assert_eq!(failovers("record:g.example/app"), ["g.example/app"]);
    assert_eq!(failovers("record:app.g.example"), ["g.example/app"]);
    assert_eq!(failovers("policy:g.example/pair"), ["g.example/pair"]);
    assert_eq!(failovers("policy:pair"), ["g.example/pair"]);
    assert_eq!(failovers("record:g.example/*"), ["g.example/app"]);
    assert!(failovers("record:g.example/www").is_empty());
    assert_eq!(target("policy:g.example/split").nodes(&FILES).len(), 1);
    assert_eq!(target("record:*").nodes(&FILES).len(), 5);
}

#[test]
fn whoever_slips_is_told_what_was_probably_meant() {
    let say = |text: &str| {
        let read = Target::read(text, &FILES).and_then(|target| target.check(&FILES));
        read.unwrap_err().to_string()
    };
    assert_eq!(say("us"), "`us` does not say what it is; did you mean region:us?");
    assert_eq!(
        say("stabel"),
        "`stabel` does not say what it is; did you mean pool:stabel?"
            .replace("pool:stabel", "pool:g.example/stable")
    );
    assert_eq!(say("regoin:us"), "there is no kind `regoin`; did you mean region:us?");
    assert_eq!(
        say("pool:stabel"),
        "`pool:stabel` matches nothing; did you mean pool:g.example/stable?"
    );
    assert_eq!(say("region:mars"), "`region:mars` matches nothing");
    assert_eq!(say("region:"), "`region:` names no region");
    let twice = ZONE.replace("g.example", "h.example");
    let both = compiled(SERVER, &[ZONE, &twice]);
    let check = |text: &str| Target::read(text, &both).unwrap().check(&both);
    assert!(
        matches!(check("pool:stable"), Err(TargetError::Ambiguous { those, .. }) if those.len() == 2)
    );
    assert_eq!(check("pool:*/stable"), Ok(()));
    assert_eq!(check("pool:spare"), Ok(()));
}

/// What the hand says of each slot, by name.
fn effect(hand: &Hand, secs: u64) -> BTreeMap<String, (Option<Standing>, u64)> {
    let effect = hand.by(at(secs).at).effect(&FILES, at(secs).at);
    let slot = |(slot, said): (&crate::ids::SlotId, &super::SlotHand)| {
        let standing = match said.is {
            SlotIs::Drained { .. } => Some(Standing::Drained),
            SlotIs::Up => Some(Standing::Up),
            SlotIs::Down => Some(Standing::Down),
        };
        let slot = &FILES.slots[slot.index()];
        (format!("{} {}", slot.name, slot.address), (standing, said.by))
    };
    effect.slots.iter().map(slot).collect()
}

#[test]
fn the_last_that_matches_wins_and_says_whom_it_hides() {
    let mut hand = Hand::default();
    hand.told("force endpoint:g.example/stable/s2 up", &FILES, at(0));
    let planned = hand.told("drain region:us", &FILES, at(1));
    let found = hand.effect(&FILES, at(1).at);
    assert_eq!((found.hidden_by(2), found.hiding(1)), (vec![1], vec![2]));
    assert_eq!(effect(&hand, 1)["g.example/stable/s2 192.0.2.2"], (Some(Standing::Drained), 2));
    let one = hand.find(2).unwrap();
    assert_eq!(words::does(one, &found, &FILES), "drains 3 endpoints of 2 pools; 5 records");
    assert_eq!(planned.undo, ["tradewind undrain region:us"]);
    // The narrower one again, over the broad one.
    hand.told("force endpoint:s2 down", &FILES, at(2));
    assert_eq!(effect(&hand, 2)["g.example/stable/s2 192.0.2.2"], (Some(Standing::Down), 3));
    assert_eq!(effect(&hand, 2)["g.example/stable/s1 192.0.2.1"], (Some(Standing::Drained), 2));
    let found = hand.effect(&FILES, at(2).at);
    assert_eq!(found.hidden_by(3), [2]);
    assert_eq!(
        words::does(hand.find(2).unwrap(), &found, &FILES),
        "drains 2 of 3 endpoints of 2 pools; 5 records"
    );
}

#[test]
fn overrides_begin_and_end_by_themselves() {
    let mut hand = Hand::default();
    hand.told("drain pool:dub --at +10s --for 5s", &FILES, at(0));
    let next = |hand: &Hand, secs| hand.by(at(secs).at).effect(&FILES, at(secs).at).next_change;
    assert_eq!((effect(&hand, 9).len(), next(&hand, 0)), (0, Some(at(10).at)));
    assert_eq!((effect(&hand, 10).len(), next(&hand, 10)), (1, Some(at(15).at)));
    assert_eq!((effect(&hand, 15).len(), next(&hand, 15)), (0, None));
    assert_eq!(hand.expire(at(14).at), []);
    assert_eq!(hand.expire(at(15).at).len(), 1);
    assert!(hand.overrides().is_empty());
    assert!(matches!(
        Hand::default().planned(
            &super::Command {
                begins: Some(super::command::Begins::At(at(0).wall)),
                ..command("drain pool:dub")
            },
            &FILES,
            at(7),
        ),
        Err(Refusal::Past(ago)) if ago == Duration::from_secs(7)
    ));
}

#[test]
fn taking_away_means_exactly_that_target_else_what_it_covers() {
    let mut hand = Hand::default();
    for text in ["drain region:us", "drain pool:stable", "drain endpoint:s1", "force region:us up"]
    {
        hand.told(text, &FILES, at(0));
    }
    let gone = |text: &str| -> Vec<u64> {
        hand.clone().told(text, &FILES, at(1)).removed.iter().map(|one| one.id).collect()
    };
    assert_eq!(gone("undrain region:us"), [1]);
    assert_eq!(gone("undrain pool:g.example/*"), [2]);
    assert_eq!(gone("undrain endpoint:*/*/*"), [3]);
    assert_eq!(gone("undrain id:2"), [2]);
    assert_eq!(gone("force region:us auto"), [4]);
    let none = hand.planned(&command("undrain region:eu"), &FILES, at(1)).unwrap_err();
    assert!(none.to_string().contains("region:us (#1), pool:stable (#2)"), "{none}");
    assert!(hand.planned(&command("undrain id:4"), &FILES, at(1)).is_err(), "that is no drain");
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is() {
    let refused = |text: &str| {
        Hand::default().planned(&command(text), &FILES, at(0)).unwrap_err().to_string()
    };
    for (text, why) in [
        ("drain record:g.example/www", "drain does not take record"),
        ("drain region:mars", "`region:mars` matches nothing"),
        ("weight record:g.example/app dub=3", "has no members with weights: it is failover"),
        (
            "weight record:g.example/www dub=3",
            "has no member `dub`; its members are canary, stable",
        ),
        ("weight pool:stable 3", "weight does not take pool"),
        ("failover record:g.example/www --to dub", "`record:g.example/www` is no failover"),
        ("failover record:g.example/app --to dubb", "its members are dub, stable"),
        ("hold region:us", "hold does not take region"),
        ("drain region:us --break-glass", "--break-glass needs a --reason"),
        ("undrain region:us", "there is nothing to undrain"),
        ("unpin", "nothing is pinned"),
        ("undrain region:us --for 5m", "undrain happens once"),
        ("confirm", "nothing waits for a second person"),
        ("confirm 3", "#3 does not wait for a second person"),
    ] {
        assert!(refused(text).contains(why), "{text}: {}", refused(text));
    }
    let mut hand = Hand::default();
    hand.told("drain region:mars --even-if-unknown", &FILES, at(0));
    assert!(effect(&hand, 0).is_empty());
}

#[test]
fn the_hand_outlives_the_process() {
    let mut hand = Hand::default();
    for text in [
        "drain region:us --over 5m --for 30m --reason x",
        "force check:web up --at +10s",
        "weight record:g.example/www canary=20",
        "weight endpoint:s1 0",
        "failover policy:pair --to stable",
        "hold record:g.example/app",
        "pin",
    ] {
        hand.told(text, &FILES, at(0));
    }
    let kept = |hand: &Hand| -> BTreeMap<u64, Value> {
        let kept = hand.kept(at(60)).into_iter();
        kept.map(|one| (one.id, serde_json::to_value(one).unwrap())).collect()
    };
    // A new process: its clock begins at 0, and it was away for a minute.
    let later = |secs| super::Now { at: Moment(5), ..at(secs) };
    let note = hand.note(at(60));
    let back = |rows: &BTreeMap<u64, Value>, now| Hand::restored(&note, rows, now);
    let Restored { hand: mut again, ended, unread } = back(&kept(&hand), later(120));
    assert_eq!((ended.len(), unread.len()), (0, 0));
    let drain = &again.overrides()[0];
    let now = later(120);
    assert_eq!(drain.ran.elapsed(now.at), Duration::from_secs(120));
    assert_eq!(drain.remaining(now.at), Some(Duration::from_secs(28 * 60)));
    assert_eq!(again.due(now.at), [2], "its time came meanwhile");
    let plain = |hand: &Hand| -> Vec<(u64, Option<Target>, Action)> {
        hand.overrides().iter().map(|o| (o.id, o.target.clone(), o.action.clone())).collect()
    };
    assert_eq!(plain(&again), plain(&hand));
    again.told("pin", &FILES, now);
    assert_eq!(again.overrides().last().unwrap().id, 8, "numbers are not given out twice");
    let gone = back(&kept(&hand), later(60 + 31 * 60));
    assert!(gone.hand.find(1).is_none() && gone.ended[0].id == 1, "it ran out meanwhile");
    // What a newer version wrote costs no other, and its number is not given out again.
    let mut rows = kept(&hand);
    rows.get_mut(&3).unwrap()["action"] = serde_json::json!({ "do": "eclipse" });
    rows.insert(9, serde_json::json!({ "id": 9 }));
    let mut some = back(&rows, later(120));
    assert_eq!((some.unread.as_slice(), some.hand.overrides().len()), (&[3, 9][..], 6));
    assert_eq!(some.hand.told("pin", &FILES, later(120)).made, Some(10));
    // Ramps stand still under a pin, and after it.
    hand.freeze(true, at(30).at);
    let still = back(&kept(&hand), later(120)).hand;
    assert_eq!(still.overrides()[0].ran.elapsed(later(500).at), Duration::from_secs(30));
}

/// Every answer `plan` can give to every class, with its share.
fn answers(plan: &PlanSteering, classes: usize) -> Vec<String> {
    let class = |class: usize| {
        let selection = plan.selection(Class::at(class));
        let shares = [&selection.a, &selection.aaaa].map(|draw| {
            let shares = draw.shares().into_iter();
            let mut all: Vec<String> = shares
                .map(|(v, share)| format!("{:?} {share:.9}", selection.variants[v].rdatas))
                .collect();
            all.sort();
            all
        });
        format!("{shares:?}")
    };
    (0..classes).map(class).collect()
}

#[test]
fn weights_by_hand_answer_as_files_with_those_weights_would() {
    let now = at(0);
    for (commands, edits) in [
        (
            &["weight record:g.example/www canary=20"][..],
            &[(
                "canary\", weight = 10, absorb = false }]\n[records.www2]",
                "canary\", weight = 20, absorb = false }]\n[records.www2]",
            )][..],
        ),
        (
            &["weight record:g.example/www* canary=0", "weight record:g.example/www* canary=30"],
            &[("weight = 10, absorb", "weight = 30, absorb")],
        ),
        (
            &["weight policy:g.example/split dub=0"],
            &[("pool = \"dub\", weight = 1", "pool = \"dub\", weight = 0")],
        ),
        (
            &["weight endpoint:g.example/stable/s2 5"],
            &[("{ name = \"s2\",", "{ name = \"s2\", weight = 5,")],
        ),
        (
            &["weight endpoint:s1 0", "weight record:www2.g.example stable=7"],
            &[
                ("{ name = \"s1\",", "{ name = \"s1\", weight = 0,"),
                (
                    "[records.www2]\npolicy  = \"weighted\"\nmembers = [{ pool = \"stable\", weight = 90 }",
                    "[records.www2]\npolicy  = \"weighted\"\nmembers = [{ pool = \"stable\", weight = 7 }",
                ),
            ],
        ),
        (
            &["weight record:g.example/near dub=0"],
            &[(
                "[records.near]\npolicy  = \"latency\"\nmembers = [\"stable\", \"dub\"]",
                "[records.near]\npolicy  = \"latency\"\nmembers = [{ pool = \"stable\" }, { pool = \"dub\", weight = 0 }]",
            )],
        ),
    ] {
        let mut hand = Hand::default();
        for text in commands {
            // canary does not absorb, so 0 is refused: an even-if-unknown slips past on purpose.
            let planned = hand.planned(&command(text), &FILES, now);
            if let Ok(planned) = planned {
                hand = planned.hand;
            }
        }
        let changes = hand.effect(&FILES, now.at).weights;
        let by_hand = patched(&FILES, &changes);
        let mut zone = ZONE.to_owned();
        for (from, to) in edits {
            assert!(zone.contains(from), "{from}");
            zone = zone.replace(from, to);
        }
        let by_files = compiled(SERVER, &[&zone]);
        for down in [None, Some("g.example/stable/s1"), Some("g.example/dub/d1")] {
            let steer = |snapshot: &Arc<Snapshot>| {
                let mut bench = Bench::over(snapshot);
                if let Some(down) = down {
                    bench.tell(&format!("force endpoint:{down} down")).unwrap();
                }
                let world = bench.control.world();
                let of = |id: usize| {
                    let plan = world.snapshot.record(RecordId::at(id)).plan;
                    let classes = world.snapshot.plan(plan).tree.classes.classes();
                    answers(world.steering.plan(plan), classes)
                };
                (0..world.snapshot.records.len()).map(of).collect::<Vec<_>>()
            };
            assert_eq!(steer(&by_hand), steer(&by_files), "{commands:?} {down:?}");
        }
        // Whatever was given out before means the same.
        assert_eq!(by_hand.slots.len(), FILES.slots.len());
        for (index, plan) in by_hand.plans.iter().enumerate() {
            let id = PlanId::at(index);
            for slot in &plan.slots {
                assert!(by_hand.plans_of_slot[slot.index()].contains(&id));
            }
            for failover in &plan.failovers {
                assert!(by_hand.plans_of_failover[failover.index()].contains(&id));
            }
        }
        for definition in &by_hand.failovers {
            assert!(!definition.member_nodes().is_empty());
            assert!(by_hand.plans.iter().any(|plan| Arc::ptr_eq(&plan.tree, &definition.tree)));
        }
    }
}

#[test]
fn a_weight_of_one_record_leaves_those_that_shared_its_plan() {
    let plans = |snapshot: &Snapshot| -> Vec<PlanId> {
        ["www", "www2"]
            .iter()
            .map(|name| {
                let id = format!("g.example/{name}");
                snapshot.records.iter().find(|record| *record.id == *id).unwrap().plan
            })
            .collect()
    };
    assert_eq!(plans(&FILES)[0], plans(&FILES)[1]);
    let mut hand = Hand::default();
    hand.told("weight record:g.example/www canary=20", &FILES, at(0));
    let one = patched(&FILES, &hand.effect(&FILES, at(0).at).weights);
    assert_ne!(plans(&one)[0], plans(&one)[1]);
    assert_eq!(one.plans.len(), FILES.plans.len() + 1);
    hand.told("weight record:g.example/www2 canary=30", &FILES, at(0));
    let both = patched(&FILES, &hand.effect(&FILES, at(0).at).weights);
    assert_eq!(both.plans.len(), FILES.plans.len() + 1, "one of them stays in the old place");
    let same = patched(&FILES, &[]);
    assert!(Arc::ptr_eq(&same, &FILES));
}

#[test]
fn what_operators_say_takes_effect_and_ends() {
    let mut bench = Bench::over(&FILES);
    let standing = |bench: &Bench, name: &str| {
        let world = bench.control.world();
        let slot = world.snapshot.slots.iter().position(|slot| &*slot.name == name).unwrap();
        world.state.standings.0[slot].standing
    };
    let swap = bench.control.world().swap;
    let dry = bench.tell("drain region:eu --dry-run").unwrap();
    assert_eq!(bench.control.world().swap, swap, "nothing was done");
    assert_eq!(dry.said, "drains 2 endpoints of 2 pools; 3 records");
    bench.tell("drain region:eu --for 10s --reason test").unwrap();
    assert_eq!(standing(&bench, "g.example/dub/d1"), Standing::Drained);
    let world = bench.control.world();
    let slot = world.snapshot.slots.iter().position(|s| &*s.name == "g.example/dub/d1").unwrap();
    assert_eq!(&*world.state.verdicts[slot].reason, "drained by ana (#1): test");
    // A reload changes nothing of it.
    bench.control.install(Arc::clone(&FILES), 2);
    assert_eq!(standing(&bench, "g.example/dub/d1"), Standing::Drained);
    bench.pass(9);
    assert_eq!(standing(&bench, "g.example/dub/d1"), Standing::Drained);
    bench.pass(1);
    assert!(standing(&bench, "g.example/dub/d1").is_up());
    let happened = bench.happened();
    assert_eq!(happened.len(), 2, "{happened:?}");
    assert_eq!(
        happened[0],
        "#1 drain region:eu: made (drains 2 endpoints of 2 pools; 3 records, by ana: test)"
    );
    assert_eq!(happened[1], "#1 drain region:eu: ended (its time is over)");
    // Weights come and go with a Snapshot of their own.
    bench.tell("weight record:g.example/www canary=50").unwrap();
    assert_eq!(bench.control.world().snapshot.plans.len(), FILES.plans.len() + 1);
    bench.control.install(Arc::clone(&FILES), 3);
    assert_eq!(bench.control.world().snapshot.plans.len(), FILES.plans.len() + 1);
    bench.tell("weight record:g.example/www reset").unwrap();
    assert_eq!(bench.control.world().snapshot.plans.len(), FILES.plans.len());
}

#[test]
fn failovers_obey_and_go_back() {
    let mut bench = Bench::over(&FILES);
    let active = |bench: &Bench| {
        let world = bench.control.world();
        let index = FILES.failovers.iter().position(|f| &*f.name == "g.example/app").unwrap();
        world.state.courses[index].active
    };
    assert!(bench.tell("failback record:g.example/app").is_err(), "it stands where it would");
    let done = bench.tell("failover record:g.example/app --to dub").unwrap();
    assert_eq!((active(&bench), done.said.as_str()), (1, "moves 1 failover to `dub`; 1 record"));
    assert_eq!(done.planned.undo, ["tradewind failback record:g.example/app"]);
    bench.tell("failback record:g.example/app").unwrap();
    assert_eq!(active(&bench), 0);
    bench.tell("hold record:g.example/app").unwrap();
    bench.tell("force pool:stable down").unwrap();
    assert_eq!(active(&bench), 0, "held");
    bench.tell("unhold record:g.example/app").unwrap();
    assert_eq!(active(&bench), 1);
    let waits = bench.tell("approve record:g.example/app").unwrap_err();
    assert!(matches!(waits, Refusal::NothingWaits(_)), "{waits}");
}

const RULES: &str = r#"
[[safety]]
name = "two-regions"
records = ["g.example/near", "g.example/app"]
min_active_regions = 2
[[safety]]
name = "room"
respect_capacity = true
[[safety]]
name = "four-eyes"
records = ["g.example/www*"]
two_persons = ["weight"]
[[safety]]
name = "slowly"
records = ["g.example/*.cdn"]
wait = "5m"
"#;

fn guarded() -> Bench {
    let server = format!("{SERVER}{RULES}");
    let zone = ZONE.replace("check = \"other\"", "check = \"other\"\ncapacity = 0.6");
    Bench::over(&compiled(&server, &[&zone]))
}

#[test]
fn a_safety_rule_refuses_what_would_break_it() {
    let mut bench = guarded();
    let Refusal::Unsafe(broken) = bench.tell("drain region:us").unwrap_err() else { panic!() };
    let said: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(said.contains(&"two-regions: g.example/near would answer from 1 region (eu); at least 2 are asked for".into()), "{said:?}");
    assert!(
        said.contains(
            &"two-regions: g.example/app would answer from 1 region (eu); at least 2 are asked for"
                .into()
        ),
        "{said:?}"
    );
    assert!(said.contains(&"room: g.example/app would send 100.0 % of its clients to pool g.example/dub, whose capacity is 60.0 %".into()), "{said:?}");
    assert!(bench.control.hand().load().hand.overrides().is_empty());
    // What does not touch its records is no affair of the rule; nor what makes nothing worse.
    bench.tell("drain pool:canary").unwrap();
    let done = bench.tell("drain region:us --break-glass --reason fire").unwrap();
    assert!(!done.broke.is_empty());
    bench.pass(300);
    bench.tell("drain endpoint:s1").unwrap();
    let alarms = bench.happened().iter().filter(|e| e.contains("over a safety rule")).count();
    assert_eq!(alarms, done.broke.len());
}

#[test]
fn two_persons_means_two() {
    let mut bench = guarded();
    let done = bench.tell("weight record:g.example/www canary=50").unwrap();
    assert_eq!(done.planned.proposed, Some(1));
    assert_eq!(done.said, "gives `canary` the weight 50; 1 record");
    let hand = bench.control.hand();
    assert!(hand.load().hand.overrides().is_empty(), "not in effect");
    assert!(matches!(bench.tell("confirm 1"), Err(Refusal::SamePerson { id: 1, .. })));
    bench.tell("confirm 1 --as bo").unwrap();
    let made = hand.load().hand.overrides()[0].clone();
    assert_eq!((made.id, &*made.who), (1, "ana, confirmed by bo"));
    assert!(matches!(bench.tell("confirm 1 --as bo"), Err(Refusal::NothingWaits(_))));
    // Forgotten after an hour, withdrawn before.
    bench.tell("weight record:g.example/www canary=60").unwrap();
    bench.tell("reject id:2").unwrap();
    bench.tell("weight record:g.example/www canary=60").unwrap();
    bench.tell("reject 3").unwrap();
    assert!(matches!(bench.tell("reject 3"), Err(Refusal::NothingWaits(_))));
    bench.tell("weight record:g.example/www canary=60").unwrap();
    bench.pass(3_600);
    assert!(hand.load().hand.proposals().is_empty());
    bench.tell("weight record:g.example/www canary=70 --break-glass --reason now").unwrap();
    assert_eq!(hand.load().hand.overrides().len(), 2);
}

#[test]
fn what_a_drill_made_or_proposed_is_withdrawn_without_asking_anybody() {
    let rule = "[[safety]]\nname = \"two\"\ntwo_persons = [\"force\", \"undrain\", \"reject\"]\n";
    let mut bench = Bench::over(&compiled(&format!("{SERVER}{rule}"), &[ZONE]));
    let hand = bench.control.hand();
    bench.tell("drain region:eu --as drill:x").unwrap();
    bench.tell("drain endpoint:s1 --as ana").unwrap();
    bench.tell("force endpoint:s1 down --as drill:x").unwrap();
    let proposed = bench.tell("force endpoint:s1 up --as drill:x").unwrap().planned.proposed;
    bench.tell(&format!("confirm {} --as bo", proposed.unwrap())).unwrap();
    let withdraw = |only| {
        let wish = Wish::Withdraw { who: "drill:x".into(), only };
        Command { wish, ..command("pin --as drill:x") }
    };
    let done = bench.control.command(&withdraw(Some(vec![1])), &Clients::default()).unwrap();
    assert_eq!(done.planned.removed.len(), 1);
    let done = bench.control.command(&withdraw(None), &Clients::default()).unwrap();
    assert_eq!(done.planned.proposed, None);
    let shown = hand.load();
    let left: Vec<&str> = shown.hand.overrides().iter().map(|one| &*one.who).collect();
    assert_eq!(left, ["ana"]);
    assert!(shown.hand.proposals().is_empty());
    assert!(bench.control.command(&withdraw(None), &Clients::default()).is_ok(), "again");
}

#[test]
fn whoever_had_a_machine_ask_is_not_the_second_person_and_what_is_gone_has_no_successor() {
    let mut bench = guarded();
    let asked = super::Command {
        who: "rollout www".into(),
        for_whom: vec!["bo".into()],
        instead_of: Some(7),
        ..command("weight record:g.example/www canary=50")
    };
    let gone = bench.control.command(&asked, &bench.clients);
    assert!(matches!(gone, Err(Refusal::Conflict(_))), "#7 is gone");
    let asked = super::Command { instead_of: None, ..asked };
    bench.control.command(&asked, &bench.clients).unwrap();
    let same = bench.tell("confirm --as bo");
    assert!(matches!(same, Err(Refusal::SamePerson { .. })));
    bench.tell("confirm --as cy").unwrap();
}

/// Whatever can wait for a second person waits on after a restart, for as long as it had left.
#[test]
fn what_waits_for_a_second_person_outlives_the_process() {
    let every = "drain,undrain,force,weight,failover,failback,approve,hold,unhold,pin,unpin";
    let verbs = every.split(',').map(|verb| format!("\"{verb}\"")).collect::<Vec<_>>().join(", ");
    let rule = format!("[[safety]]\nname = \"two\"\ntwo_persons = [{verbs}]\n");
    let files = compiled(&format!("{SERVER}{rule}"), &[ZONE]);
    let mut hand = Hand::default();
    for text in [
        "drain region:us --over 5m --for 30m --reason x",
        "undrain region:us",
        "force endpoint:s1 down --at +10s",
        "force endpoint:s1 auto",
        "weight record:g.example/www canary=20",
        "weight endpoint:s1 0",
        "failover policy:pair --to stable",
        "failback policy:pair",
        "approve policy:pair",
        "hold record:g.example/app",
        "unhold record:g.example/app",
        "pin",
    ] {
        // Whether there is anything to take away is asked when it is confirmed.
        let Ok(planned) = hand.planned(&command(text), &files, at(0)) else { continue };
        hand = planned.hand;
    }
    let waiting = hand.proposals().to_vec();
    assert!(waiting.len() >= 7 && hand.overrides().is_empty(), "{waiting:?}");
    let note = serde_json::to_value(hand.note(at(60))).unwrap();
    let back = |secs| {
        let note = serde_json::from_value(note.clone()).unwrap();
        let now = super::Now { at: Moment(5), ..at(secs) };
        (Hand::restored(&note, &BTreeMap::new(), now).hand, now)
    };
    let (mut again, now) = back(600);
    for (was, is) in waiting.iter().zip(again.proposals()) {
        assert_eq!(is.expires.since(now.at), Duration::from_secs(3_000));
        assert_eq!(*is, super::Proposal { expires: is.expires, ..was.clone() });
    }
    assert_eq!(again.proposals().len(), waiting.len());
    assert_eq!(again.told("confirm 1 --as bo", &files, now).made, Some(1));
    assert_eq!(again.overrides()[0].who, "ana, confirmed by bo".into());
    assert!(back(3_600).0.proposals().is_empty(), "its hour is over");
}

#[test]
fn a_rule_may_want_time_between_changes_but_not_before_an_undo() {
    let mut bench = guarded();
    bench.tell("weight policy:split stable=4").unwrap();
    bench.pass(60);
    let Refusal::Unsafe(broken) = bench.tell("weight policy:split stable=5").unwrap_err() else {
        panic!()
    };
    assert_eq!(
        broken[0].to_string(),
        "slowly: g.example/*.cdn was changed 1m ago; 5m are to pass between two changes"
    );
    bench.tell("weight policy:split reset").unwrap();
    bench.pass(240);
    bench.tell("weight policy:split stable=5").unwrap();
}

#[test]
fn a_preview_counts_clients_by_address_space() {
    let table = embedded::table();
    let clients = Clients::of_files(&FILES, &LazyTable::embedded(), &Clients::default());
    let bench = Bench::over(&FILES);
    let before = Standpoint::from(&*bench.control.world());
    let after_of = |text: &str| {
        let mut bench = Bench::over(&FILES);
        bench.tell(text).unwrap().after
    };
    let records = |names: &[&str]| {
        let id = |name: &&str| {
            let id = format!("g.example/{name}");
            RecordId::at(FILES.records.iter().position(|record| *record.id == *id).unwrap())
        };
        Pair::same(&names.iter().map(id).collect::<Vec<_>>())
    };
    // 90/10 becomes 50/50: four tenths of everybody, from one pool to the other.
    let after = after_of("weight record:g.example/www canary=90");
    let whole = preview(&before, &after, &records(&["www"]), &clients).unwrap();
    let moves = &whole.crowds[0];
    assert_eq!((moves.crowd, whole.crowds[1].crowd), ("IPv4", "IPv6"));
    assert!(whole.crowds.iter().all(|crowd| (crowd.moved - 0.4).abs() < 1e-9), "{whole:?}");
    assert_eq!(moves.flows.len(), 1);
    assert_eq!(
        (&*moves.flows[0].from.pool, &*moves.flows[0].to.pool),
        ("g.example/stable", "g.example/canary")
    );
    // The canary has no IPv6: what goes there gets no AAAA.
    assert!((moves.ends.no_v6.after - 0.5).abs() < 1e-9, "{:?}", moves.ends);
    assert!((moves.ends.no_v6.before - 0.1).abs() < 1e-9);
    // Both are in one region: nobody has it further.
    let latency = moves.latency.unwrap();
    assert_eq!(latency.ms.before, latency.ms.after);
    // The countries are those with the most addresses, each moving by the same part.
    let us = Country::parse("US");
    let found = moves.countries.iter().find(|line| line.country == us).unwrap().moved;
    let space = crate::place::space([None, None], crate::place::SpaceOf::V4, &table, &[]);
    let all: f64 = space.cells.iter().map(|cell| cell.size).sum();
    let home = |cell: &crate::place::SpaceCell| &space.homes[cell.home as usize];
    let of_us = space.cells.iter().filter(|cell| home(cell).country() == us);
    let of_us: f64 = of_us.map(|cell| cell.size).sum();
    assert!((found - 0.4 * of_us / all).abs() < 1e-9);
    assert_eq!(moves.countries.len(), 11);
    let named: f64 = moves.countries.iter().map(|line| line.clients).sum();
    assert!((named - 1.0).abs() < 1e-9 && moves.countries[10].is_rest, "{named}");
    // Europe's quarter that goes to dub under `split` comes to stable, and nobody else moves; the
    // rest of the world leaves dub for stable as a whole.
    let after = after_of("drain pool:dub");
    let moves = preview(&before, &after, &records(&["*.cdn"]), &clients).unwrap().first();
    let european = space.cells.iter().filter(|cell| {
        home(cell).location.is_some_and(|at| at.continent == Some(Continent::Europe))
    });
    let europe = european.map(|cell| cell.size).sum::<f64>() / all;
    let moved = moves.moved;
    assert!((moved - (0.25 * europe + 1.0 - europe)).abs() < 0.002, "{moved} {europe}");
    // Europeans have it further to us, the rest of the world as a whole nearer.
    let of_germany = moves.countries.iter().find(|line| line.country == Country::parse("DE"));
    let longer = of_germany.unwrap().latency.unwrap().ms;
    assert!(longer.after > longer.before, "{longer:?}");
    // Two records, one of which does not move.
    let both = records(&["www", "app"]);
    let after = after_of("weight record:g.example/www canary=90");
    let whole = preview(&before, &after, &both, &clients).unwrap();
    assert!((whole.first().moved - 0.2).abs() < 1e-9);
    assert_eq!(whole.by_record.len(), 1);
    let nobody = preview(&before, &before, &both, &clients).unwrap().first();
    assert_eq!((nobody.moved, nobody.flows.len()), (0.0, 0));
    assert!(preview(&before, &before, &both, &Clients::default()).is_none());
}

#[test]
fn durations_and_words_survive_a_shell() {
    for (text, quoted) in [
        ("region:us-east-1", "region:us-east-1"),
        ("pool:*/x", "'pool:*/x'"),
        ("it's", r"'it'\''s'"),
        ("", "''"),
    ] {
        assert_eq!(words::quoted(text), quoted);
    }
    for ms in [0, 1, 999, 1_000, 61_001, 3_600_000, 90_061_005] {
        let text = words::short(Duration::from_millis(ms));
        let read = crate::config::parse_duration(&text).unwrap();
        assert_eq!(read, Duration::from_millis(ms), "{text}");
    }
}

#[test]
fn forcing_up_keeps_what_is_up_as_it_is() {
    let mut hand = Hand::default();
    hand.told("force region:us up", &FILES, at(0));
    assert_eq!(hand.overrides()[0].action, Action::Force(ForceTo::Up));
    let said = *hand.effect(&FILES, at(0).at).slots.values().next().unwrap();
    let sight = |standing| crate::verdict::Sight { standing, failing: false };
    assert_eq!(said.over(sight(Standing::Degraded)).standing, Standing::Degraded);
    assert_eq!(said.over(sight(Standing::Down)).standing, Standing::Up);
}

const MADE: [&str; 16] = [
    "drain region:us",
    "drain region:us --over 5m",
    "drain pool:*",
    "drain endpoint:s1 --for 1h",
    "force region:us up",
    "force endpoint:*/stable/* down",
    "force check:web up",
    "weight record:g.example/www* canary=20",
    "weight record:g.example/www canary=30",
    "weight record:g.example/www stable=7",
    "weight endpoint:s1 3",
    "weight policy:split dub=2",
    "failover record:g.example/app --to dub",
    "failover record:g.example/* --to dub",
    "hold policy:pair",
    "pin",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever was done before, the command line that an override prints takes away that one and
    /// no other.
    #[test]
    fn an_undo_takes_away_what_was_made_and_nothing_else(picks in prop::collection::vec(0..MADE.len(), 1..8)) {
        let mut hand = Hand::default();
        for pick in picks {
            let before = hand.clone();
            let planned = hand.told(MADE[pick], &FILES, at(0));
            let undo = planned.undo[0].strip_prefix("tradewind ").unwrap().replace('\'', "");
            let mut undone = hand.clone();
            undone.told(&undo, &FILES, at(1));
            prop_assert_eq!(undone.overrides(), before.overrides());
            prop_assert_eq!(undone.effect(&FILES, at(1).at), before.effect(&FILES, at(1).at));
        }
    }
}
