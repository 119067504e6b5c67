//! Safety rules: what they refuse, whom they want asked, and what time they want.

use super::*;

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
        let now = super::super::Now { at: Moment(5), ..at(secs) };
        (Hand::restored(&note, &BTreeMap::new(), now).hand, now)
    };
    let (mut again, now) = back(600);
    for (was, is) in waiting.iter().zip(again.proposals()) {
        assert_eq!(is.expires.since(now.at), Duration::from_secs(3_000));
        assert_eq!(*is, super::super::Proposal { expires: is.expires, ..was.clone() });
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
