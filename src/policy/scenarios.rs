//! DESIGN §5 as scenarios: given a tree and how its addresses stand, what a client gets. Long,
//! because it is a table: nearly all of it is scenario text, one paragraph a decree.

use super::{Wanted, testing::Given};

/// Runs scenarios: `given` lines, then `get`, a client (`-` where it makes no difference), the
/// type (A when left out) and what it gets. Lines after a `get` change what was given before.
#[track_caller]
pub(super) fn check(text: &str) {
    let mut given = Given::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some(asked) = line.strip_prefix("get ") else {
            given.line(line);
            continue;
        };
        let (who, expected) = asked.split_once(" → ").unwrap();
        let (client, rtype) = who.split_once(' ').unwrap_or((who, "A"));
        let wanted = match rtype.trim() {
            "A" => Wanted::A,
            "AAAA" => Wanted::Aaaa,
            _ => Wanted::Other,
        };
        let client = if client == "-" { "" } else { client };
        assert_eq!(given.shares(client, wanted), expected.trim(), "in `{line}` of {text}");
    }
}

const CANARY: &str = "
    pool stable = s1*3 s2*1
    pool canary = c1 c2
    weighted www = stable*90 canary*10/exact
";

fn canary(then: &str) -> String {
    format!("{CANARY}{then}")
}

#[test]
fn weights_divide_clients_and_endpoint_weights_divide_their_pool() {
    check(&canary("get - → healthy: c1 5% c2 5% s1 67.5% s2 22.5%"));
}

#[test]
fn a_dead_endpoint_never_moves_clients_between_pools() {
    check(&canary(
        "down s1 c2
         get - → healthy: c1 10% s2 90%",
    ));
}

#[test]
fn a_dead_canary_leaves_its_share_to_those_who_absorb() {
    check(&canary(
        "down c1 c2
         get - → healthy: s1 75% s2 25%",
    ));
}

#[test]
fn stable_dead_and_canary_alive_is_ten_percent_canary_and_the_rest_fails_open() {
    check(&canary(
        "down s1 s2
         fell s1@4 s2@7
         get - → all-down: c1 5% c2 5% s2 90%
         all_down all
         get - → all-down: c1 5% c2 5% s1 67.5% s2 22.5%
         all_down first
         get - → all-down: c1 5% c2 5% s1 67.5% s2 22.5%
         all_down nodata
         get - → all-down: c1 5% c2 5% nodata 90%",
    ));
}

#[test]
fn a_canary_that_fell_and_came_back_does_not_hide_what_was_last_good() {
    check(&canary(
        "down s1 s2
         fell s1@4 s2@5 c1@9 c2@9
         get - → all-down: c1 5% c2 5% s2 90%",
    ));
}

#[test]
fn of_a_canary_that_dies_in_part_after_all_others_the_living_part_is_answered() {
    check(&canary(
        "down s1 s2 c1
         fell s1@5 s2@5 c1@7
         get - → all-down: c2 10% s1 67.5% s2 22.5%
         all_down all
         get - → all-down: c2 10% s1 67.5% s2 22.5%",
    ));
}

#[test]
fn a_member_that_was_given_everything_needs_no_reserve() {
    check(
        "pool stable = s1 s2
         pool canary = c1 c2
         weighted www = stable*0 canary*1/exact
         get - → healthy: c1 50% c2 50%
         down s1 s2
         get - → healthy: c1 50% c2 50%
         down c1
         fell s1@5 s2@5 c1@7
         get - → healthy: c2 100%
         down c2
         fell c2@9
         get - → all-down: c2 100%",
    );
}

#[test]
fn when_the_canary_dies_last_nothing_moves() {
    check(&canary(
        "down s1 s2 c1 c2
         fell s1@5 s2@5 c1@7 c2@7
         get - → all-down: c1 5% c2 5% s1 67.5% s2 22.5%",
    ));
}

#[test]
fn a_canary_below_another_policy_takes_no_more_than_its_share_either() {
    check(
        "pool stable = s1
         pool canary = c1
         pool far = f1
         weighted split = stable*90 canary*10/exact
         failover www = split far
         down s1
         get - → healthy: f1 100%
         down f1
         fell f1@9 s1@3
         get - → all-down: f1 100%
         fell f1@3
         get - → all-down: c1 10% s1 90%",
    );
}

#[test]
fn absorbing_members_take_what_the_dead_leave_by_weight() {
    check(
        "pool a = a1
         pool b = b1
         pool c = c1
         pool x = x1
         weighted www = a*50 b*30 c*10 x*10/exact
         get - → healthy: a1 50% b1 30% c1 10% x1 10%
         down a1
         get - → healthy: b1 67.5% c1 22.5% x1 10%
         down x1
         get - → healthy: b1 75% c1 25%",
    );
}

#[test]
fn reserves_share_equally_and_only_when_nobody_else_absorbs() {
    check(
        "pool a = a1
         pool b = b1
         pool r = r1
         pool s = s1
         pool x = x1
         weighted www = a*3 r*0 s*0 x*1/exact
         get - → healthy: a1 75% x1 25%
         down a1
         get - → healthy: r1 37.5% s1 37.5% x1 25%
         down x1
         get - → healthy: r1 50% s1 50%",
    );
}

#[test]
fn a_policy_of_reserves_beside_an_exact_member_leaves_them_nothing_while_it_is_up() {
    check(
        "pool x = x1
         pool r = r1
         weighted www = x*10/exact r*0
         get - → healthy: x1 100%
         down x1
         get - → healthy: r1 100%",
    );
}

#[test]
fn min_healthy_of_a_weighted_policy_counts_absorbing_weight() {
    check(
        "pool a = a1
         pool b = b1
         pool x = x1
         pool far = f1
         weighted split = a*70 b*30 x*100/exact min=0.5
         failover www = split far
         down b1
         get - → healthy: a1 50% x1 50%
         up b1
         down a1
         get - → healthy: f1 100%
         down f1
         get - → ignoring-min-healthy: b1 50% x1 50%",
    );
}

#[test]
fn fewer_living_members_never_make_a_policy_available_again() {
    check(
        "pool a = a1
         pool b = b1
         pool r = r1
         pool far = f1
         weighted split = a*70 b*30 r*0 min=0.5
         failover www = split far
         down a1
         get - → healthy: f1 100%
         down b1
         get - → healthy: f1 100%
         down f1
         get - → ignoring-min-healthy: r1 100%",
    );
}

#[test]
fn a_pool_below_min_healthy_is_skipped_and_beats_the_dead_all_the_same() {
    check(
        "pool a = a1 a2 a3 a4 min=0.5
         pool b = b1 b2 min=2
         failover www = a b
         down a1 a2
         get - → healthy: a3 50% a4 50%
         down a3
         get - → healthy: b1 50% b2 50%
         down b1
         get - → ignoring-min-healthy: a4 100%
         down a4
         get - → ignoring-min-healthy: b2 100%
         down b2
         fell a1@1 a2@1 a3@2 b1@3 a4@4 b2@5
         get - → all-down: b2 100%",
    );
}

#[test]
fn min_healthy_is_a_share_of_weight_not_of_heads() {
    check(
        "pool a = a1*9 a2*1 min=0.5
         pool b = b1
         failover www = a b
         down a2
         get - → healthy: a1 100%
         up a2
         down a1
         get - → healthy: b1 100%",
    );
}

#[test]
fn degraded_halves_a_weight_inside_the_pool_and_nowhere_else() {
    check(
        "pool a = a1 a2
         pool b = b1
         weighted www = a*1 b*1
         degraded a1 b1
         get - → healthy: a1 16.667% a2 33.333% b1 50%
         degraded a2
         get - → healthy: a1 25% a2 25% b1 50%",
    );
}

#[test]
fn an_endpoint_is_degraded_only_if_no_address_of_it_works_well() {
    check(
        "pool a = a1 a2
         degraded a1/4
         get - → healthy: a1 50% a2 50%
         down a1/6
         get - → healthy: a1 33.333% a2 66.667%",
    );
}

#[test]
fn reserve_endpoints_wait_inside_their_pool() {
    check(
        "pool a = a1*2 a2 r1*0 r2*0
         get - → healthy: a1 66.667% a2 33.333%
         down a1 a2
         get - → healthy: r1 50% r2 50%
         down r1 r2
         fell a1@1 a2@1 r1@2 r2@3
         get - → all-down: r2 100%
         all_down all
         get - → all-down: a1 66.667% a2 33.333%",
    );
}

#[test]
fn drained_counts_as_down_and_unknown_as_up() {
    check(
        "pool a = a1 a2
         drained a1
         unknown a2
         get - → healthy: a2 100%",
    );
}

#[test]
fn failover_takes_the_first_available_and_stays_with_the_active_one() {
    check(
        "pool iad = i1
         pool dub = d1
         pool nrt = n1
         failover app = iad dub nrt
         get - → healthy: i1 100%
         down i1
         get - → healthy: d1 100%
         active app=1
         up i1
         get - → healthy: d1 100%
         down d1
         get - → healthy: i1 100%
         down i1
         get - → healthy: n1 100%",
    );
}

#[test]
fn all_down_answers_what_was_up_just_before_the_change_that_left_none() {
    check(
        "pool iad = i1 i2
         pool dub = d1
         failover app = iad dub
         active app=1
         down *
         fell i1@3 i2@4 d1@8
         get - → all-down: d1 100%
         fell i2@9
         get - → all-down: i2 100%
         fell i2@8
         get - → all-down: d1 100%",
    );
}

#[test]
fn all_down_in_every_mode() {
    check(
        "pool iad = i1 i2
         pool dub = d1
         pool sorry = s1 s2
         weighted app = iad*3 dub*1
         down *
         get - → all-down: d1 25% i1 37.5% i2 37.5%
         fell i1@2 i2@3
         get - → all-down: i2 100%
         all_down all
         get - → all-down: d1 25% i1 37.5% i2 37.5%
         all_down first
         get - → all-down: i1 50% i2 50%
         all_down nodata
         get - → all-down: nodata 100%
         all_down pool:sorry
         get - → all-down: s1 50% s2 50%
         up s2
         get - → all-down: s2 100%",
    );
}

const GEO: &str = "
    pool fra = f1
    pool dub = d1
    pool iad = i1
    pool nrt = n1
    geo shop = BLOCKED: JP:nrt,iad DE:fra EU!:fra,dub *:iad
    client de shop=DE,EU
    client ie shop=EU
    client jp shop=JP
    client us
    client blocked shop=BLOCKED,JP
";

#[test]
fn geo_falls_to_the_next_less_specific_rule() {
    check(&format!(
        "{GEO}
         get de → healthy: f1 100%
         get ie → healthy: f1 100%
         get jp → healthy: n1 100%
         get us → healthy: i1 100%
         down f1
         get de → healthy: d1 100%
         down n1
         get jp → healthy: i1 100%"
    ));
}

#[test]
fn a_fence_holds_when_everything_behind_it_is_down() {
    check(&format!(
        "{GEO}
         down f1 d1
         fell f1@2 d1@3
         get de → all-down: d1 100%
         get us → healthy: i1 100%
         all_down all
         get ie → all-down: f1 100%
         all_down first
         get de → all-down: f1 100%
         all_down pool:nrt
         get de → all-down: f1 100%
         down i1
         get us → all-down: n1 100%
         all_down nodata
         get de → all-down: nodata 100%"
    ));
}

#[test]
fn a_fence_below_another_policy_holds_too() {
    check(
        "pool fra = f1
         pool iad = i1
         pool sorry = s1
         geo shop = EU!:fra *:iad
         weighted www = shop
         client de shop=EU
         client us
         all_down pool:sorry
         down f1 i1
         get de → all-down: f1 100%
         get us → all-down: s1 100%",
    );
}

#[test]
fn nothing_is_an_answer_and_does_not_fall_through() {
    check(&format!(
        "{GEO}
         get blocked → healthy: nodata 100%
         down *
         get blocked → healthy: nodata 100%"
    ));
}

const LATENCY: &str = "
    pool iad = i1
    pool dub = d1
    pool nrt = n1
    latency api = iad*3 dub nrt tie=10
    client ny api=iad:5,dub:80,nrt:170
    client sea api=iad:60,dub:68,nrt:70
    client mid api=iad:60,dub:70,nrt:80
    client even api=nrt:50,iad:50,dub:50
";

#[test]
fn latency_takes_the_nearest_and_those_tied_with_it_by_weight() {
    check(&format!(
        "{LATENCY}
         get ny → healthy: i1 100%
         get sea → healthy: d1 20% i1 60% n1 20%
         get mid → healthy: d1 25% i1 75%
         down i1
         get ny → healthy: d1 100%
         get mid → healthy: d1 50% n1 50%
         down d1
         get ny → healthy: n1 100%"
    ));
}

#[test]
fn equal_scores_share_without_any_tie() {
    check(
        "pool iad = i1
         pool dub = d1
         latency api = iad dub
         client here api=iad:7,dub:7
         get here → healthy: d1 50% i1 50%",
    );
}

#[test]
fn a_reserve_waits_however_near_it_is() {
    check(
        "pool iad = i1
         pool dub = d1
         pool nrt = n1
         latency api = iad*0 dub nrt*0 tie=10
         client ny api=iad:5,dub:80,nrt:12
         get ny → healthy: d1 100%
         down d1
         get ny → healthy: i1 50% n1 50%
         all_down first
         down *
         get ny → all-down: d1 100%",
    );
}

#[test]
fn multivalue_puts_up_endpoints_of_available_members_into_one_answer() {
    check(
        "pool a = a1 a2 a3
         pool b = b1 b2 min=2
         multivalue all = a b
         down a1 b1
         get - → healthy: a2+a3 50% a3+a2 50%",
    );
}

#[test]
fn multivalue_weighs_reserves_as_one_pool() {
    check(
        "pool a = a1
         pool r = r1*0
         multivalue all = a r answers=1
         get - → healthy: a1 100%
         down a1
         get - → healthy: r1 100%",
    );
}

#[test]
fn multivalue_min_healthy_counts_members() {
    check(
        "pool a = a1
         pool b = b1
         pool c = c1
         multivalue all = a b min=2 answers=1
         failover www = all c
         get - → healthy: a1 50% b1 50%
         down a1
         get - → healthy: c1 100%",
    );
}

#[test]
fn each_endpoint_is_in_answers_nths_of_the_answers() {
    let given = Given::new("pool a = a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 answers=8");
    let tree = given.tree();
    let decision =
        super::select(&tree, crate::ids::Class(0), &given.standings, &given.directives(), ());
    let shares = super::testing::exact_shares(&decision, Wanted::A);
    assert_eq!(shares.len(), 11);
    for n in 1..=11 {
        let name = format!("a{n}");
        let holding = shares.keys().filter(|answer| answer.split('+').any(|e| e == name));
        assert_eq!(holding.count(), 8, "{name}");
        let leading = shares.keys().filter(|answer| answer.split('+').next() == Some(&name));
        assert_eq!(leading.count(), 1, "{name}");
    }
}

#[test]
fn followers_are_the_next_on_the_ring_and_a_dead_one_is_skipped() {
    check(
        "pool a = a1 a2 a3 a4 answers=2
         get - → healthy: a1+a3 25% a2+a1 25% a3+a4 25% a4+a2 25%
         down a3
         get - → healthy: a1+a4 33.333% a2+a1 33.333% a4+a2 33.333%",
    );
}

#[test]
fn members_are_chosen_without_looking_at_the_type() {
    check(
        "pool a = a1/4 a2/6
         pool b = b1
         weighted www = a*1 b*3
         get - A → healthy: a1 25% b1 75%
         get - AAAA → healthy: a2 25% b1 75%
         get - TXT → healthy: nodata 100%",
    );
}

#[test]
fn a_family_that_is_down_is_answered_all_the_same() {
    check(
        "pool a = a1 a2
         down a1/6 a2/6
         get - A → healthy: a1 50% a2 50%
         get - AAAA → healthy: a1 50% a2 50%
         up a2/6
         get - AAAA → healthy: a2 100%",
    );
}

#[test]
fn a_dead_endpoint_answers_for_a_family_that_nobody_else_has() {
    check(
        "pool a = a1/4 a2/6
         down a2
         get - A → healthy: a1 100%
         get - AAAA → healthy: a2 100%",
    );
}

#[test]
fn a_reserve_answers_for_a_family_that_no_other_has() {
    check(
        "pool a = a1/4 r1*0
         get - A → healthy: a1 100%
         get - AAAA → healthy: r1 100%",
    );
}

#[test]
fn a_pool_without_a_family_answers_nodata_for_its_share() {
    check(
        "pool stable = s1
         pool canary = c1/4
         weighted www = stable*90 canary*10/exact
         get - AAAA → healthy: nodata 10% s1 90%",
    );
}

#[test]
fn cname_and_address_leaves_stand_in_one_tree() {
    check(
        "pool own = o1/4
         pool partner = p1>shop.partner.example
         weighted www = own*3 partner*1
         get - A → healthy: o1 75% p1 25%
         get - AAAA → healthy: nodata 75% p1 25%
         get - TXT → healthy: nodata 75% p1 25%
         down p1
         get - TXT → healthy: nodata 100%
         down o1
         fell p1@2 o1@1
         get - A → all-down: p1 100%",
    );
}

#[test]
fn a_pool_of_cnames_drops_the_dead_ones() {
    check(
        "pool partner = p1>a.example p2>b.example
         down p1
         get - AAAA → healthy: p2 100%",
    );
}

#[test]
fn policies_nest_eight_deep() {
    check(
        "pool a = a1
         pool b = b1
         weighted l8 = a*1 b*1
         failover l7 = l8 b
         weighted l6 = l7*1 b*1
         geo l5 = DE:l6 *:b
         weighted l4 = l5*1 b*1
         latency l3 = l4 b
         weighted l2 = l3*1 b*1
         multivalue flat = a b answers=1
         failover l1 = l2 flat
         client de l5=DE l3=l4:1,b:2
         client us l3=l4:1,b:2
         get de → healthy: a1 6.25% b1 93.75%
         get us → healthy: b1 100%
         down b1
         get de → healthy: a1 100%",
    );
}

#[test]
fn geo_inside_weighted_inside_geo() {
    check(
        "pool fra = f1
         pool dub = d1
         pool iad = i1
         geo near = DE:fra *:dub
         weighted split = near*70 dub*30 min=0.5
         geo shop = EU:split *:iad
         client de near=DE shop=EU
         client ie shop=EU
         client us
         get de → healthy: d1 30% f1 70%
         get ie → healthy: d1 100%
         get us → healthy: i1 100%
         down f1
         get de → healthy: d1 100%
         down d1
         get de → healthy: i1 100%",
    );
}
