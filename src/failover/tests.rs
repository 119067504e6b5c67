//! The machine, one rule at a time: what is seen goes in as text, effects come out as text.

use super::{Command, Effect, Failback, Machine, Mode, Phase, Ramp, Refusal, Rules, Seen};
use crate::{clock::Moment, units::Share};
use std::time::Duration;

const AFTER: Rules = Rules {
    failover: Mode::Auto,
    failover_delay: Duration::ZERO,
    failback: Failback::After(Duration::from_secs(300)),
    ramp: None,
};
const AUTO: Rules = Rules { failback: Failback::Auto, ..AFTER };
const MANUAL: Rules = Rules { failover: Mode::Manual, failback: Failback::Manual, ..AFTER };
const RAMPED: Rules = Rules {
    ramp: Some(Ramp { over: Duration::from_secs(10), start: Share::from_millionths(100_000) }),
    ..AUTO
};

fn at(secs: u64) -> Moment {
    Moment(secs * 1_000_000_000)
}

/// A machine and how the world looks to it: for each member `+` works, `-` is down, `g` works
/// behind a shut gate, `~` works and is being drained.
struct Bench {
    machine: Machine,
    rules: Rules,
    prefer: Option<u8>,
    held: bool,
}

fn bench(rules: Rules, members: usize) -> Bench {
    Bench { machine: Machine::new(members), rules, prefer: None, held: false }
}

fn words(effects: &[Effect]) -> String {
    let word = |effect: &Effect| match effect {
        Effect::Moved { from, to, cause } => format!("{from}→{to} {cause:?}"),
        Effect::Waiting { to, wait } => format!("{to}? {wait:?}"),
        Effect::Withdrawn { to } => format!("{to} withdrawn"),
        Effect::Granted { to } => format!("{to} granted"),
        Effect::RampStarted { from } => format!("ramp from {from}"),
        Effect::RampEnded { from } => format!("end from {from}"),
        Effect::RampAborted { from } => format!("abort from {from}"),
    };
    effects.iter().map(word).collect::<Vec<_>>().join(", ")
}

impl Bench {
    fn with<T>(
        &mut self,
        members: &str,
        act: impl FnOnce(&mut Machine, &Rules, &Seen<'_>) -> T,
    ) -> T {
        let of = |signs: &str| members.chars().map(|c| signs.contains(c)).collect::<Vec<bool>>();
        let seen = Seen {
            available: &of("+g~"),
            allowed: &of("+-~"),
            leaving: &of("~"),
            prefer: self.prefer,
            held: self.held,
        };
        act(&mut self.machine, &self.rules, &seen)
    }

    /// What a step at `secs` does.
    fn see(&mut self, secs: u64, members: &str) -> String {
        self.with(members, |machine, rules, seen| words(&machine.step(rules, seen, at(secs))))
    }

    fn say(&mut self, command: Command, members: &str) -> Result<String, Refusal> {
        self.with(members, |machine, rules, seen| machine.command(command, rules, seen))
            .map(|effects| words(&effects))
    }

    fn wake(&self, secs: u64) -> Option<u64> {
        self.machine.wake(&self.rules, at(secs)).map(|at| at.0 / 1_000_000_000)
    }

    fn stays(&self) -> bool {
        self.machine.course(&self.rules, at(0)).stays
    }

    /// Whom clients leave, and how many have, in per cent.
    fn leaving(&self, secs: u64) -> Option<(u8, u32)> {
        let course = self.machine.course(&self.rules, at(secs));
        course.leaving.map(|(from, moved)| (from, moved.as_millionths() / 10_000))
    }
}

#[test]
fn leaving_a_dead_member_is_immediate() {
    let mut bench = bench(AFTER, 3);
    assert_eq!(bench.see(0, "+++"), "");
    assert_eq!(bench.see(1, "--+"), "0→2 Lost");
    assert!(!bench.stays());
    assert_eq!(bench.machine.phase(), Phase::Standby);
}

#[test]
fn failback_waits_for_unbroken_health() {
    let mut bench = bench(AFTER, 2);
    assert_eq!(bench.see(0, "-+"), "0→1 Lost");
    assert_eq!(bench.wake(0), None);
    assert_eq!(bench.see(10, "++"), "0? Delay");
    assert_eq!((bench.wake(10), bench.machine.phase()), (Some(310), Phase::FailbackPending));
    // A break starts the count again.
    assert_eq!(bench.see(200, "-+"), "0 withdrawn");
    assert_eq!(bench.wake(200), None);
    assert_eq!(bench.see(210, "++"), "0? Delay");
    assert_eq!(bench.wake(210), Some(510));
    assert_eq!(bench.see(509, "++"), "");
    assert_eq!(bench.see(510, "++"), "1→0 Failback");
    assert_eq!((bench.wake(510), bench.machine.phase()), (None, Phase::Primary));
}

#[test]
fn failback_goes_to_whoever_is_due_and_goes_on_waiting_for_better_ones() {
    let mut bench = bench(AFTER, 3);
    bench.see(0, "--+");
    bench.see(10, "-++");
    assert_eq!(bench.see(100, "+++"), "");
    assert_eq!(bench.wake(100), Some(310));
    assert_eq!(bench.see(310, "+++"), "2→1 Failback, 0? Delay");
    assert_eq!(bench.wake(310), Some(400));
    assert_eq!(bench.see(400, "+++"), "1→0 Failback");
}

#[test]
fn automatic_failback_is_at_once() {
    let mut bench = bench(AUTO, 2);
    bench.see(0, "-+");
    assert_eq!(bench.see(1, "++"), "1→0 Failback");
}

#[test]
fn a_standby_that_dies_leaves_for_the_preferred_one_without_delay() {
    for failback in [Failback::Auto, AFTER.failback, Failback::Manual] {
        let mut bench = bench(Rules { failback, ..AFTER }, 2);
        bench.see(0, "-+");
        bench.see(1, "-+");
        assert_eq!(bench.see(2, "+-"), "1→0 Lost", "{failback:?}");
    }
}

#[test]
fn with_nobody_available_the_machine_does_not_wander() {
    let mut bench = bench(AFTER, 2);
    bench.see(0, "-+");
    assert_eq!(bench.see(1, "--"), "");
    assert_eq!((bench.machine.active(), bench.wake(1)), (1, None));
}

#[test]
fn a_delayed_failover_leaves_only_who_is_still_down() {
    let mut bench = bench(Rules { failover_delay: Duration::from_secs(30), ..AUTO }, 2);
    bench.see(0, "++");
    assert_eq!(bench.see(10, "-+"), "1? Delay");
    assert_eq!((bench.wake(10), bench.stays()), (Some(40), true));
    assert_eq!(bench.machine.phase(), Phase::FailingOver);
    assert_eq!(bench.see(20, "++"), "1 withdrawn");
    assert!(!bench.stays());
    bench.see(30, "-+");
    assert_eq!(bench.see(59, "-+"), "");
    assert_eq!(bench.see(60, "-+"), "0→1 Lost");
}

#[test]
fn a_manual_failover_asks_and_moves_on_approval() {
    let mut bench = bench(MANUAL, 3);
    assert!(bench.stays(), "no client leaves before an operator says so");
    assert_eq!(bench.see(0, "-++"), "1? Approval");
    assert_eq!(bench.see(100, "-++"), "");
    assert_eq!(bench.see(101, "--+"), "2? Approval", "its candidate died");
    assert_eq!(bench.see(102, "---"), "2 withdrawn");
    assert_eq!(bench.see(103, "-+-"), "1? Approval");
    assert_eq!(bench.say(Command::Approve, "-+-"), Ok("0→1 Approved".into()));
    assert_eq!(bench.see(200, "++-"), "0? Approval");
    assert_eq!(bench.machine.phase(), Phase::FailbackPending);
    assert_eq!(bench.say(Command::Failback, "++-"), Ok("1→0 Operator".into()));
    assert_eq!(bench.say(Command::Approve, "++-"), Err(Refusal::NothingAsked));
}

#[test]
fn a_request_is_withdrawn_when_the_active_member_comes_back() {
    let mut bench = bench(MANUAL, 2);
    bench.see(0, "-+");
    assert_eq!(bench.see(1, "++"), "1 withdrawn");
    assert_eq!(bench.say(Command::Approve, "++"), Err(Refusal::NothingAsked));
}

#[test]
fn what_was_rejected_is_not_asked_again_until_something_changes() {
    let mut bench = bench(MANUAL, 3);
    bench.see(0, "-++");
    assert_eq!(bench.say(Command::Reject, "-++"), Ok("1 withdrawn".into()));
    assert_eq!(bench.see(10, "-++"), "");
    assert_eq!(bench.machine.phase(), Phase::Primary);
    assert_eq!(bench.see(20, "-+-"), "1? Approval");
    assert_eq!(bench.say(Command::Reject, "-+-"), Ok("1 withdrawn".into()));
    assert_eq!(bench.say(Command::Reject, "-+-"), Err(Refusal::NothingAsked));
}

#[test]
fn manual_failback_waits_for_a_word_and_then_for_nothing() {
    let mut bench = bench(Rules { failback: Failback::Manual, ..AFTER }, 2);
    bench.see(0, "-+");
    assert_eq!(bench.see(10, "++"), "0? Approval");
    assert_eq!(bench.see(100_000, "++"), "");
    assert_eq!(bench.say(Command::Failback, "++"), Ok("1→0 Operator".into()));
    assert_eq!(bench.say(Command::Failback, "++"), Err(Refusal::Home));
    bench.see(100_001, "-+");
    assert_eq!(bench.say(Command::Failback, "-+"), Err(Refusal::NothingPreferred));
}

#[test]
fn a_delay_ends_early_on_approval() {
    let mut bench = bench(AFTER, 2);
    bench.see(0, "-+");
    bench.see(10, "++");
    assert_eq!(bench.say(Command::Approve, "++"), Ok("1→0 Approved".into()));
}

#[test]
fn moves_go_to_the_first_member_whose_gates_are_open() {
    let mut bench = bench(AUTO, 3);
    assert_eq!(bench.see(0, "-g+"), "0→2 Lost, 1? Gate");
    assert_eq!(bench.machine.phase(), Phase::FailbackPending);
    assert_eq!(bench.see(1, "-g-"), "");
    assert!(bench.stays() && bench.machine.phase() == Phase::FailingOver);
    let course = bench.machine.course(&bench.rules, at(1));
    assert!(course.barred.contains(1) && !course.barred.contains(0));
    assert_eq!(bench.see(2, "-+-"), "2→1 Lost");
    // Going back waits for gates as well; a command may not pass them.
    assert_eq!(bench.see(3, "g+-"), "0? Gate");
    assert_eq!(bench.say(Command::Failback, "g+-"), Err(Refusal::GateShut { to: 0 }));
    assert_eq!(bench.say(Command::Approve, "g+-"), Err(Refusal::GateShut { to: 0 }));
    assert_eq!(bench.say(Command::Approve, "++-"), Ok("1→0 Approved".into()), "by force");
}

#[test]
fn a_failback_ramps_and_ends() {
    let mut bench = bench(RAMPED, 2);
    bench.see(0, "-+");
    assert_eq!(bench.see(10, "++"), "1→0 Failback, ramp from 1");
    assert_eq!((bench.leaving(10), bench.wake(10)), (Some((1, 10)), Some(11)));
    assert_eq!(bench.machine.phase(), Phase::FailingBack);
    assert_eq!(bench.see(15, "++"), "");
    assert_eq!(bench.leaving(15), Some((1, 55)));
    assert_eq!(bench.see(20, "++"), "end from 1");
    assert_eq!((bench.leaving(20), bench.wake(20)), (None, None));
}

#[test]
fn a_ramp_ends_at_once_when_the_member_being_left_dies() {
    let mut bench = bench(RAMPED, 2);
    bench.see(0, "-+");
    bench.see(10, "++");
    assert_eq!(bench.see(12, "+-"), "end from 1");
    assert_eq!(bench.machine.phase(), Phase::Primary);
}

#[test]
fn a_ramp_turns_back_at_once_when_its_target_dies() {
    let mut bench = bench(RAMPED, 2);
    bench.see(0, "-+");
    bench.see(10, "++");
    assert_eq!(bench.see(12, "-+"), "abort from 1, 0→1 TargetLost");
    assert_eq!((bench.machine.active(), bench.leaving(12)), (1, None));
}

#[test]
fn a_ramp_both_of_whose_ends_died_belongs_to_whoever_comes_back() {
    let mut bench = bench(RAMPED, 2);
    bench.see(0, "-+");
    bench.see(10, "++");
    assert_eq!(bench.see(11, "--"), "");
    assert_eq!(bench.see(12, "-+"), "abort from 1, 0→1 TargetLost");
}

#[test]
fn a_hold_stops_moves_and_ramps() {
    let mut bench = bench(RAMPED, 2);
    bench.see(0, "-+");
    bench.see(10, "++");
    bench.held = true;
    assert_eq!(bench.see(12, "++"), "");
    assert_eq!((bench.leaving(12), bench.wake(12)), (Some((1, 28)), None));
    assert_eq!(bench.machine.phase(), Phase::Held);
    bench.see(500, "++");
    assert_eq!(bench.leaving(999), Some((1, 28)));
    assert_eq!(bench.say(Command::Failback, "++"), Err(Refusal::Held));
    bench.held = false;
    bench.see(1_000, "++");
    assert_eq!(bench.leaving(1_003), Some((1, 55)));
    assert_eq!(bench.see(1_008, "++"), "end from 1");
    bench.held = true;
    assert_eq!(bench.see(1_010, "-+"), "1? Hold");
    assert!(bench.stays());
    bench.held = false;
    assert_eq!(bench.see(1_011, "-+"), "0→1 Lost");
}

#[test]
fn an_operators_choice_comes_first_while_it_is_in_force() {
    let mut bench = bench(Rules { failback: Failback::Manual, ..RAMPED }, 3);
    bench.see(0, "+++");
    bench.prefer = Some(2);
    assert_eq!(bench.see(10, "+++"), "0→2 Operator, ramp from 0");
    assert_eq!(bench.machine.phase(), Phase::FailingOver);
    bench.see(20, "+++");
    // Lost and back again, it is a member like the first: the failback rule holds.
    assert_eq!(bench.see(30, "++-"), "2→0 Lost");
    assert_eq!(bench.see(31, "+++"), "2? Approval");
    bench.say(Command::Approve, "+++").unwrap();
    bench.see(60, "+++");
    bench.prefer = None;
    assert_eq!(bench.see(70, "+++"), "0? Approval");
}

#[test]
fn an_operators_choice_needs_no_approval_and_waits_for_its_gates() {
    let mut bench = bench(MANUAL, 2);
    bench.prefer = Some(1);
    assert_eq!(bench.see(0, "-g"), "1? Gate");
    assert_eq!(bench.see(1, "-+"), "0→1 Operator");
}

#[test]
fn a_choice_that_is_taken_back_on_the_way_turns_the_ramp_round() {
    let mut bench = bench(RAMPED, 2);
    bench.see(0, "++");
    bench.prefer = Some(1);
    bench.see(10, "++");
    bench.prefer = None;
    assert_eq!(bench.see(12, "++"), "abort from 0, 1→0 Failback");
    assert_eq!(bench.leaving(12), None);
}

#[test]
fn a_member_that_is_being_drained_is_not_lost_and_nobody_goes_there() {
    let mut bench = bench(AUTO, 3);
    assert_eq!(bench.see(0, "~++"), "");
    assert_eq!(bench.see(1, "-~+"), "0→2 Lost");
    assert_eq!(bench.see(2, "~~+"), "");
    assert_eq!(bench.see(3, "-~-"), "2→1 Lost", "better than nobody");
}

#[test]
fn what_is_approved_while_the_active_member_is_drained_comes_with_the_drains_end() {
    let drained = || {
        let mut bench = bench(MANUAL, 3);
        assert_eq!(bench.see(0, "+++"), "");
        assert_eq!(bench.see(1, "~++"), "1? Approval");
        assert!(bench.stays());
        assert_eq!(bench.say(Command::Approve, "~++"), Ok("1 granted".into()));
        assert_eq!((bench.machine.phase(), bench.stays()), (Phase::FailingOver, false));
        bench
    };
    let mut bench = drained();
    assert_eq!(bench.machine.course(&MANUAL, at(2)).barred, [2].into_iter().collect());
    bench.machine = Machine::restored(bench.machine.saved(at(2)), at(2));
    assert_eq!(bench.see(2, "~++"), "");
    assert_eq!(bench.see(3, "-++"), "0→1 Approved");
    // What it was given for is gone: no drain, no such target, another word of the operator's.
    assert_eq!(drained().see(2, "+++"), "1 withdrawn");
    assert_eq!(drained().see(2, "~-+"), "1 withdrawn, 2? Approval");
    assert_eq!(drained().see(2, "~~+"), "1 withdrawn, 2? Approval");
    let mut bench = drained();
    bench.prefer = Some(0);
    assert_eq!(bench.see(2, "~++"), "1? Approval");
    // Held, nobody leaves.
    let mut bench = drained();
    bench.held = true;
    assert_eq!((bench.see(2, "-++"), bench.stays()), ("1? Hold".into(), true));
    bench.held = false;
    assert_eq!(bench.see(3, "-++"), "0→1 Approved");
    // Rejected once is rejected to the drain's end.
    let mut bench = self::bench(MANUAL, 2);
    bench.see(0, "~+");
    assert_eq!(bench.say(Command::Reject, "~+"), Ok("1 withdrawn".into()));
    assert_eq!(bench.see(1, "-+"), "");
    assert_eq!(bench.see(2, "++"), "");
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let mut bench = bench(RAMPED, 2);
    bench.rules.failback = AFTER.failback;
    bench.see(0, "-+");
    bench.see(1_000, "++");
    bench.machine = Machine::restored(bench.machine.saved(at(1_200)), at(5));
    // The first look after a restart begins nothing anew and says nothing twice.
    assert_eq!(bench.see(5, "++"), "");
    assert_eq!((bench.machine.phase(), bench.wake(5)), (Phase::FailbackPending, Some(105)));
    assert_eq!(bench.see(105, "++"), "1→0 Failback, ramp from 1");
    bench.see(109, "++");
    bench.machine = Machine::restored(bench.machine.saved(at(109)), at(0));
    assert_eq!((bench.see(0, "++"), bench.leaving(0)), (String::new(), Some((1, 46))));
    assert_eq!(bench.see(6, "++"), "end from 1");
}

#[test]
fn what_cannot_be_restored_starts_afresh() {
    let saved = super::Saved { active: 9, available_for: vec![None; 2], ..Default::default() };
    assert_eq!(Machine::restored(saved, at(0)).active(), 0);
}

#[test]
fn a_reload_that_reorders_members_keeps_the_active_one_and_its_times() {
    let mut bench = bench(AFTER, 2);
    bench.see(0, "-+");
    bench.see(10, "++");
    bench.machine = bench.machine.carried_over(&[None, Some(0), Some(1)]);
    assert_eq!((bench.machine.active(), bench.wake(10)), (2, Some(310)));
    // The new member has waited for nothing yet.
    assert_eq!(bench.see(310, "+++"), "2→1 Failback, 0? Delay");
    assert_eq!(bench.wake(310), Some(610));
}

#[test]
fn a_reload_that_removes_the_active_member_goes_to_the_first_that_works() {
    // The active member was the second; of those that are left, as they look to the next step.
    for (members, effects, active) in [
        ("+++", "", 0),
        ("-++", "0→1 Removed, 0? Delay", 1),
        ("-g+", "0→2 Removed, 1? Gate", 2),
        ("~-+", "0→2 Removed", 2),
        ("-g-", "1? Gate", 0),
        ("---", "", 0),
    ] {
        for failover in [Mode::Auto, Mode::Manual] {
            for held in [false, true] {
                let mut bench = bench(Rules { failover, ..AFTER }, 3);
                bench.see(0, "+++");
                bench.machine.active = 1;
                bench.see(0, "+++");
                bench.held = held;
                bench.machine = bench.machine.carried_over(&[Some(0), None, Some(2)]);
                let said = bench.see(1, members);
                let moved = effects.split(',').next().filter(|effect| effect.contains('→'));
                let context = format!("{members} {failover:?} {held}: {said}");
                assert_eq!(said.split(", ").find(|e| e.contains('→')), moved, "{context}");
                assert_eq!(bench.machine.active(), active, "{context}");
                // Chosen once: whoever is lost after that is left as the rules say.
                let waits = failover == Mode::Manual || held;
                if active == 2 && waits {
                    assert!(!bench.see(2, "++-").contains('→'), "{context}");
                }
            }
        }
    }
}
