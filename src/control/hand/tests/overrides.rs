//! Overrides: which of them wins, when they begin and end, how they outlive the process.

use super::*;
use crate::control::steered::Steered;

/// What the hand says of each slot, by name.
fn effect(hand: &Hand, secs: u64) -> BTreeMap<String, (Option<Standing>, u64)> {
    let effect = hand.by(at(secs).at).effect(&FILES, at(secs).at);
    let slot = |(slot, said): (&crate::ids::SlotId, &super::super::SlotHand)| {
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
                begins: Some(super::super::command::Begins::At(at(0).wall)),
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
        ("unpin region:us", "`region:us` is no number of a pin"),
        ("unpin id:x", "`id:x` is no number of a pin"),
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
fn one_of_several_pins_is_taken_away_by_its_number() {
    let mut hand = Hand::default();
    for text in ["pin", "pin --reason x", "pin --reason y"] {
        hand.told(text, &FILES, at(0));
    }
    let pins = |hand: &Hand| hand.overrides().iter().map(|one| one.id).collect::<Vec<u64>>();
    let refused = |text: &str| hand.planned(&command(text), &FILES, at(0)).unwrap_err().to_string();
    assert!(
        refused("unpin 9").contains("what there is to unpin: #1, #2, #3"),
        "{}",
        refused("unpin 9")
    );
    hand.told("unpin 2", &FILES, at(1));
    assert_eq!(pins(&hand), [1, 3]);
    hand.told("unpin id:1", &FILES, at(2));
    assert_eq!(pins(&hand), [3]);
    hand.told("unpin", &FILES, at(3));
    assert!(pins(&hand).is_empty());
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
    let later = |secs| super::super::Now { at: Moment(5), ..at(secs) };
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

/// The plans that a change left as they were, of those in the files.
fn untouched(bench: &mut Bench, change: impl FnOnce(&mut Bench)) -> Vec<PlanId> {
    let before = bench.control.world();
    change(bench);
    let world = bench.control.world();
    let plans = (0..FILES.plans.len()).map(PlanId::at);
    plans.filter(|plan| world.steering.shares(&before.steering, *plan)).collect()
}

#[test]
fn another_weight_makes_anew_only_the_answers_it_is_about() {
    let mut bench = Bench::over(&FILES);
    let all: Vec<PlanId> = (0..FILES.plans.len()).map(PlanId::at).collect();
    let near = FILES.records.iter().find(|record| &*record.id == "g.example/near").unwrap().plan;
    let others: Vec<PlanId> = all.iter().filter(|plan| **plan != near).copied().collect();
    let weigh = |text| move |bench: &mut Bench| drop(bench.tell(text).unwrap());
    let near = untouched(&mut bench, weigh("weight record:g.example/near stable=2"));
    assert_eq!(near, others);
    // This one parts from a record of the same plan, which stays; as does what was weighed before.
    for weight in [50, 60] {
        let text: &str = &format!("weight record:g.example/www canary={weight}");
        let www = untouched(&mut bench, |bench| drop(bench.tell(text).unwrap()));
        assert_eq!(www, all);
        let world = bench.control.world();
        let www = world.snapshot.records.iter().find(|record| &*record.id == "g.example/www");
        let draws = &world.steering.plan(www.unwrap().plan).selections()[0].a;
        let exact = f64::from(weight) / f64::from(90 + weight);
        let gets = |(_, share): &(usize, f64)| (share - exact).abs() < 1e-3;
        assert!(draws.shares().iter().any(gets), "{draws:?} {exact}");
    }
    // The same files again, with their weights steered ahead.
    let made = Steered::ahead(&bench.control.outlook(), &FILES);
    let steering = made.before(&FILES).unwrap().steering.clone();
    bench.control.install_steered(Arc::clone(&FILES), 2, Some(&made));
    let world = bench.control.world();
    assert!(all.iter().all(|plan| world.steering.shares(&steering, *plan)));
    let back = untouched(&mut bench, weigh("weight record:g.example/near reset"));
    assert_eq!(back, others);
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
