//! What answers that come late, later words of people and pins do to a machine.

use super::{Machine, testkit::begun};
use crate::{
    measure::Measured,
    rollout::model::{Effect, Given, HaltKind, Order, Seen, Served, Stage, Word},
    units::Share,
};
use std::time::Duration;

fn percent(percent: u32) -> Served {
    Served::Share(Share::from_fraction(f64::from(percent) / 100.0))
}

/// Its first step is served and looked at, and it asks for the second.
fn at_second() -> (Machine, Seen) {
    let (mut machine, mut seen, _) = begun();
    (seen.served, seen.turn) = (percent(10), 8);
    machine.given(Given::Done, &seen);
    let effects = look(&mut machine, &mut seen, 2);
    assert_eq!(given(&effects), Some(percent(50)), "{effects:?}");
    (machine, seen)
}

/// So many seconds later it looks, and sees what is good.
fn look(machine: &mut Machine, seen: &mut Seen, after: u64) -> Vec<Effect> {
    seen.now = seen.now.after(Duration::from_secs(after));
    let asked = machine.step(seen);
    let Some(Effect::Measure { analysis, epoch }) = asked.last() else {
        panic!("looks at nothing: {asked:?}");
    };
    machine.measured(*epoch, *analysis, Measured::Value(0.0), seen)
}

/// The share that is asked for.
fn given(effects: &[Effect]) -> Option<Served> {
    effects.iter().find_map(|effect| match effect {
        Effect::Give { share, .. } => Some(Served::Share(*share)),
        _ => None,
    })
}

fn stops(machine: &Machine) -> Option<HaltKind> {
    machine.halt().map(|halt| halt.kind)
}

fn word(seen: &mut Seen) {
    seen.turn += 1;
    seen.word = Some(Word { turn: seen.turn, said: "#9 of ana gives `m` 0 %".into() });
}

#[test]
fn an_abort_does_not_wait_in_what_a_step_had_proposed() {
    let (mut machine, seen) = at_second();
    machine.order(Order::Abort { break_glass: false }, "ana", &seen).unwrap();
    let effects = machine.given(Given::Proposed(9), &seen);
    assert_eq!(machine.proposed(), None);
    assert_eq!(effects[0], Effect::Withdraw { id: 9 });
    assert_eq!(given(&effects), Some(percent(0)));
    machine.given(Given::Proposed(10), &seen);
    assert_eq!(machine.proposed(), Some(10), "its own it waits for");
}

#[test]
fn a_promotion_to_the_end_does_not_wait_in_what_a_step_had_proposed() {
    let (mut machine, seen, _) = begun();
    machine.order(Order::Promote { full: true }, "ana", &seen).unwrap();
    let effects = machine.given(Given::Proposed(9), &seen);
    assert_eq!((machine.proposed(), &effects[0]), (None, &Effect::Withdraw { id: 9 }));
    assert_eq!(given(&effects), Some(percent(100)));
}

#[test]
fn a_rule_that_lets_a_step_wait_keeps_no_reversal_waiting() {
    let (mut machine, seen) = at_second();
    machine.order(Order::Abort { break_glass: false }, "ana", &seen).unwrap();
    let left = Duration::from_secs(3_600);
    let late = || Given::NotYet { why: "calm".into(), left };
    assert_eq!(given(&machine.given(late(), &seen)), Some(percent(0)));
    // Nor does what came of asking within the rules hold up who goes over them.
    machine.order(Order::Abort { break_glass: true }, "root", &seen).unwrap();
    let effects = machine.given(late(), &seen);
    assert!(matches!(effects[..], [Effect::Give { urgent: true, .. }]), "{effects:?}");
}

#[test]
fn what_somebody_says_while_a_step_waits_to_be_set_pauses_it() {
    let bides = || {
        let (mut machine, seen) = at_second();
        let left = Duration::from_secs(60);
        machine.given(Given::NotYet { why: "calm".into(), left }, &seen);
        (machine, seen)
    };
    let later = |seen: &mut Seen| seen.now = seen.now.after(Duration::from_secs(61));
    let (mut machine, mut seen) = bides();
    later(&mut seen);
    assert_eq!(given(&machine.step(&seen)), Some(percent(50)), "left alone it goes on");

    let (mut machine, mut seen) = bides();
    word(&mut seen);
    seen.served = Served::Hidden("#9".into());
    later(&mut seen);
    assert_eq!((given(&machine.step(&seen)), stops(&machine)), (None, Some(HaltKind::Edited)));
    // Whoever has it go on has it go over that.
    let effects = machine.order(Order::Resume, "ana", &seen).unwrap();
    assert_eq!((given(&effects), stops(&machine)), (Some(percent(50)), None));

    // So does what is said under a pin, and to take its override away.
    let (mut machine, mut seen) = bides();
    seen.frozen = true;
    machine.step(&seen);
    word(&mut seen);
    seen.served = Served::Hidden("#9".into());
    machine.step(&seen);
    seen.frozen = false;
    later(&mut seen);
    assert_eq!((given(&machine.step(&seen)), stops(&machine)), (None, Some(HaltKind::Edited)));
    let (mut machine, mut seen) = bides();
    seen.served = Served::Nothing;
    later(&mut seen);
    assert_eq!((given(&machine.step(&seen)), stops(&machine)), (None, Some(HaltKind::Edited)));
}

#[test]
fn what_somebody_says_before_the_first_step_is_set_pauses_it() {
    let (mut machine, mut seen, _) = begun();
    // What was said before it began it was begun over.
    seen.word = Some(Word { turn: 7, said: "#1".into() });
    machine.step(&seen);
    assert_eq!(stops(&machine), None);
    word(&mut seen);
    machine.step(&seen);
    assert_eq!(stops(&machine), Some(HaltKind::Edited));
}

#[test]
fn nothing_goes_on_by_a_look_from_before_a_pin() {
    let (mut machine, mut seen) = at_second();
    (seen.served, seen.turn) = (percent(50), 9);
    machine.given(Given::Done, &seen);
    seen.member_up = false;
    look(&mut machine, &mut seen, 2);
    assert_eq!(machine.at(), 1, "it is not up");
    seen.frozen = true;
    machine.step(&seen);
    seen.now = seen.now.after(Duration::from_secs(7_200));
    (seen.frozen, seen.member_up) = (false, true);
    machine.step(&seen);
    seen.now = seen.now.after(Duration::from_secs(1));
    assert_eq!((machine.step(&seen), machine.at()), (vec![], 1));
    look(&mut machine, &mut seen, 60);
    assert_eq!(machine.at(), 2, "by a look since it goes on");
}

#[test]
fn what_is_confirmed_under_a_pin_or_between_two_looks_is_not_rejected() {
    let (mut machine, mut seen) = at_second();
    machine.given(Given::Proposed(9), &seen);
    seen.frozen = true;
    machine.step(&seen);
    (seen.served, seen.turn) = (percent(50), 9);
    machine.step(&seen);
    assert_eq!(machine.proposal_gone(&seen), []);
    assert_eq!((machine.proposed(), stops(&machine)), (None, None));
    seen.frozen = false;
    machine.step(&seen);
    assert_eq!(*machine.stage(), Stage::Baking);
}

#[test]
fn nothing_is_over_while_anything_is_under_way() {
    let (mut machine, mut seen) = at_second();
    machine.order(Order::Undo, "ana", &seen).unwrap();
    seen.served = Served::Nothing;
    machine.step(&seen);
    assert!(!machine.is_closed(), "the step's weight may come yet");
    machine.given(Given::Done, &seen);
    assert!(machine.is_closed());

    let (mut machine, mut seen) = at_second();
    machine.order(Order::Abort { break_glass: false }, "ana", &seen).unwrap();
    machine.given(Given::Done, &seen);
    seen.served = percent(0);
    machine.given(Given::Done, &seen);
    assert_eq!(machine.step(&seen), [Effect::TakeAway], "the files say the same");
    seen.served = Served::Nothing;
    machine.step(&seen);
    assert!(!machine.is_closed(), "whoever begins next would be told what came of that");
    machine.given(Given::Done, &seen);
    assert!(machine.is_closed());
}

#[test]
fn who_undoes_it_may_still_have_its_clients_taken_back_over_safety_rules() {
    for break_glass in [false, true] {
        let (mut machine, mut seen) = at_second();
        seen.served = percent(50);
        machine.given(Given::Done, &seen);
        let effects = machine.order(Order::Undo, "ana", &seen).unwrap();
        assert!(effects.contains(&Effect::TakeAway), "{effects:?}");
        machine.given(Given::Proposed(9), &seen);
        let effects = machine.order(Order::Abort { break_glass }, "root", &seen).unwrap();
        assert_eq!(machine.proposed(), None);
        assert!(effects.contains(&Effect::Withdraw { id: 9 }), "{effects:?}");
        assert_eq!(given(&effects), Some(percent(0)));
        let urgent = effects.iter().any(|e| matches!(e, Effect::Give { urgent: true, .. }));
        assert_eq!(urgent, break_glass);
    }
}
