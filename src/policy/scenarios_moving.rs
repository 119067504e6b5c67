//! Scenarios of what moves: failovers on their way, trickle, slots on their way up and down.

use super::{
    scenarios::check,
    select,
    testing::Given,
    trace::{Mark, Steps},
};
use crate::ids::Class;

const APP: &str = "
    pool iad = i1
    pool dub = d1
    pool nrt = n1
";

fn app(then: &str) -> String {
    format!("{APP}{then}")
}

#[test]
fn a_trickle_keeps_the_next_available_member_warm_and_never_an_earlier_one() {
    check(&app("failover app = iad dub nrt trickle=0.02
         get - → healthy: d1 2% i1 98%
         down d1
         get - → healthy: i1 98% n1 2%
         active app=1
         get - → healthy: i1 98% n1 2%
         up d1
         get - → healthy: d1 98% n1 2%
         active app=2
         get - → healthy: n1 100%
         barred app=2
         active app=0
         down d1 n1
         get - → healthy: i1 100%"));
}

#[test]
fn a_ramp_moves_clients_from_one_member_to_the_other() {
    check(&app("failover app = iad dub nrt trickle=0.1
         leaving app=1>0:0.35
         get - → healthy: d1 68.5% i1 31.5%
         down d1
         get - → healthy: i1 90% n1 10%
         up d1
         down i1
         get - → healthy: d1 100%
         down d1
         get - → healthy: n1 100%
         leaving app=1>0:0
         up i1 d1
         get - → healthy: d1 100%
         leaving app=1>0:1
         get - → healthy: d1 10% i1 90%"));
}

#[test]
fn a_member_that_is_kept_is_kept_dead_or_not() {
    check(&app("failover app = iad dub
         stays app=0
         down i1
         fell i1@3 d1@9
         get - → failover-waits: i1 100%
         fell i1@0 d1@9
         get - → failover-waits: i1 100%
         all_down all
         get - → failover-waits: i1 100%
         stays app=1
         up i1
         down d1
         all_down first
         get - → failover-waits: d1 100%
         all_down nodata
         get - → failover-waits: d1 100%
         all_down pool:nrt
         get - → failover-waits: d1 100%"));
}

#[test]
fn where_no_member_works_all_down_decides_and_a_member_that_is_kept_stays_so() {
    check(&app("failover app = iad dub
         stays app=0
         down i1 d1
         fell i1@3 d1@9
         get - → all-down: i1 100%
         all_down all
         get - → all-down: i1 100%
         stays app=1
         all_down first
         get - → all-down: d1 100%
         all_down nodata
         get - → all-down: nodata 100%
         all_down pool:nrt
         get - → all-down: n1 100%"));
}

#[test]
fn no_parent_takes_the_clients_of_a_failover_that_waits() {
    check(&app("failover app = iad dub
         weighted www = app*9 nrt*1
         stays app=0
         down i1
         get - → failover-waits: i1 90% n1 10%
         down d1
         get - → healthy: n1 100%
         down n1
         fell i1@7 n1@5 d1@4
         get - → all-down: i1 100%"));
    check(&app("failover app = iad dub
         failover top = app nrt
         stays app=0
         down i1
         get - → failover-waits: i1 100%
         down d1
         get - → healthy: n1 100%"));
    check(&app("failover app = iad dub
         geo www = DE:app *:nrt
         client de www=DE
         client us
         stays app=0
         down i1
         get de → failover-waits: i1 100%
         get us → healthy: n1 100%"));
}

#[test]
fn of_a_member_that_is_kept_the_least_is_assumed_that_gives_an_answer() {
    check(
        "pool iad = i1 i2 i3 i4 min=0.5
         pool dub = d1
         failover app = iad dub
         stays app=0
         down i1 i2 i3
         fell i1@3 i2@5 i3@5
         get - → failover-waits: i4 100%
         down i4
         fell i4@6
         get - → failover-waits: i4 100%
         fell i4@5
         get - → failover-waits: i2 33.333% i3 33.333% i4 33.333%
         fell i1@0 i2@0 i3@0 i4@0
         get - → failover-waits: i1 25% i2 25% i3 25% i4 25%
         down d1
         all_down nodata
         get - → all-down: nodata 100%",
    );
}

#[test]
fn a_wait_moves_nobody_who_was_kept_at_the_standby_by_a_trickle() {
    check(&app("failover app = iad dub trickle=0.02
         stays app=0
         down i1
         get - → failover-waits: d1 2% i1 98%
         barred app=1
         get - → failover-waits: i1 100%"));
}

#[test]
fn a_member_that_is_only_kept_stands_in_no_answer_beside_those_that_work() {
    check(&app("failover app = iad dub
         multivalue www = app nrt answers=8
         stays app=0
         down i1
         get - → healthy: n1 100%
         down n1
         get - → failover-waits: i1 100%"));
}

#[test]
fn nobody_goes_to_a_member_whose_gate_is_shut() {
    check(&app("failover app = iad dub nrt trickle=0.02
         barred app=1
         get - → healthy: i1 98% n1 2%
         down i1
         get - → healthy: n1 100%
         down n1
         fell i1@2 n1@1 d1@9
         get - → failover-waits: i1 100%"));
}

#[test]
fn what_comes_back_gets_its_clients_little_by_little() {
    check(&app("weighted www = iad*1 dub*1
         rising d1:0.2
         get - → healthy: d1 10% i1 90%
         rising i1:0.5
         get - → healthy: d1 10% i1 90%
         rising d1:1 i1:1
         get - → healthy: d1 50% i1 50%"));
}

#[test]
fn a_ramp_never_empties_or_worsens_an_answer() {
    check(&app("weighted www = iad*1 dub*1
         rising i1:0.2 d1:0.2
         get - → healthy: d1 50% i1 50%
         rising i1:0.4
         get - → healthy: d1 10% i1 90%
         down i1
         get - → healthy: d1 100%
         rising d1:0
         get - → healthy: d1 100%
         all_down nodata
         draining d1:0.1
         get - → healthy: d1 100%
         draining d1:0
         get - → all-down: nodata 100%"));
}

#[test]
fn what_is_drained_little_by_little_still_answers_for_its_share() {
    check(
        "pool web = w1 w2
         pool far = f1
         failover www = web far
         draining w1:0.4
         get - → healthy: w1 20% w2 80%
         draining w2:0.7
         get - → healthy: f1 30% w1 20% w2 50%
         down w1
         get - → healthy: f1 30% w2 70%",
    );
}

#[test]
fn below_a_failover_what_comes_back_is_all_back() {
    check(&app("failover app = iad dub
         weighted www = app*1 iad*1
         rising i1:0.5
         get - → healthy: i1 100%
         weighted top = www*1 nrt*1
         get - → healthy: i1 50% n1 50%
         weighted root = iad*1 nrt*1
         get - → healthy: i1 25% n1 75%"));
}

#[test]
fn a_multivalue_policy_parts_all_ramps_below_it_by_one_number() {
    check(&app("pool own = o1
         failover app = iad dub trickle=0.2
         failover two = nrt own
         multivalue www = app two answers=1
         leaving two=1>0:0.5
         get - → healthy: d1 10% i1 40% n1 25% o1 25%"));
}

#[test]
fn many_ramps_are_merged_upwards_into_a_few_parts() {
    let names: Vec<String> = (0..40).map(|n| format!("e{n}")).collect();
    let ramps: Vec<String> = (0..40).map(|n| format!("{}:0.{:02}", names[n], n + 10)).collect();
    let text = format!(
        "pool far = f1\npool web = {}\nweighted www = web*1 far*1\nrising {}",
        names.join(" "),
        ramps.join(" ")
    );
    let given = Given::new(&text);
    let tree = given.tree();
    let decision = select(&tree, Class(0), &given.standings, &given.directives(), ());
    let super::Choice::Split(split) = &decision.choice else { panic!("no split") };
    let bounds: Vec<u32> = split.parts.iter().map(|p| p.below.as_millionths() / 10_000).collect();
    assert_eq!(bounds, [12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 48, 49, 100]);
}

/// The notes of an explanation.
fn notes(text: &str) -> Vec<String> {
    let given = Given::new(text);
    let tree = given.tree();
    let verdict = |_| "up".to_owned();
    let mut steps = Steps::new(&verdict);
    select(&tree, Class(0), &given.standings, &given.directives(), &mut steps);
    steps.steps.into_iter().filter(|s| s.mark == Mark::Note).map(|s| s.why).collect()
}

#[test]
fn an_explanation_tells_of_ramps_trickle_and_waits() {
    assert_eq!(
        notes(&app("failover app = iad dub nrt trickle=0.02\nleaving app=1>0:0.35")),
        [
            "`app`, failover:",
            "ramp: 35 % of clients have left `dub`",
            "trickle: 2 % of clients keep the next warm",
            "ramp: 65 % of clients are still there",
        ]
    );
    assert_eq!(
        notes(&app("failover app = iad dub\nstays app=0\ndown i1"))[..2],
        ["`app`, failover:", "`iad` is kept although it is down: leaving it waits"]
    );
    assert_eq!(
        notes(&app("weighted www = iad*1 dub*1\nrising d1:0.35")),
        [
            "ramp: clients from 0 % to 35 % of all:",
            "`www`, weighted:",
            "ramp: clients from 35 % to 100 % of all:",
            "`www`, weighted:",
        ]
    );
}
