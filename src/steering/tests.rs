//! What the dice give is what select() said: exact shares, sticky clients, what is made anew.

use super::{
    PlanSteering, RampState, Selection, Steering,
    build::{Before, Moved},
};
use crate::{
    clock::{Dice, Moment, Since},
    ids::{Class, PlanId, SlotId},
    policy::{
        RampKind, Wanted,
        model::random_text,
        select,
        sticky::{Drawn, Key, name_hash},
        testing::{Given, exact_shares},
    },
    snapshot::{
        Plan, Ramp, Rules,
        testing::{plan, snapshot},
    },
    units::Share,
    wire::types::Rtype,
};
use std::{collections::BTreeMap, net::Ipv6Addr};

/// Distinct client networks in every test of sticky draws.
const CLIENTS: u32 = 120_000;

fn moved(given: &Given) -> Moved<'_> {
    let directives = given.directives();
    Moved { standings: &given.standings, directives, ramps: &[], now: Moment::default() }
}

fn steer(given: &Given, sticky: bool) -> PlanSteering {
    PlanSteering::directed(&plan(given.tree(), sticky), &given.standings, &given.directives())
}

/// The leader's name in each Variant.
fn leaders(given: &Given, selection: &Selection) -> Vec<String> {
    let tree = given.tree();
    let endpoints: Vec<_> = tree.pools().flat_map(|pool| &pool.endpoints).collect();
    let directives = given.directives();
    let name = |rtype: Rtype, rdata: &[u8]| {
        let found = endpoints.iter().find(|endpoint| {
            let found = endpoint.target.slots().find_map(|slot| directives.found(slot));
            let v4 = endpoint.target.v4().or_else(|| found?.v4().first().copied());
            let v6 = endpoint.target.v6().or_else(|| found?.v6().first().copied());
            match rtype {
                Rtype::A => v4.is_some_and(|ip| ip.octets() == rdata),
                Rtype::AAAA => v6.is_some_and(|ip: Ipv6Addr| ip.octets() == rdata),
                // The target's first label is the endpoint's name.
                _ => endpoint.name.as_bytes() == &rdata[1..][..usize::from(rdata[0])],
            }
        });
        found.unwrap().name.to_string()
    };
    let leader = |variant: &super::Variant| match &variant.rdatas {
        None => "nodata".into(),
        Some(rdatas) => name(rdatas.rtype(), &rdatas.iter(None).next().unwrap()),
    };
    selection.variants.iter().map(leader).collect()
}

#[test]
fn flattened_draws_hold_exactly_the_shares_that_select_decided() {
    for seed in 0..1_500 {
        let text = random_text(seed);
        let given = Given::new(&text);
        let tree = given.tree();
        for (sticky, class) in (0..tree.classes.classes()).flat_map(|c| [(false, c), (true, c)]) {
            let class = Class::at(class);
            let steering = steer(&given, sticky);
            let selection = steering.selection(class);
            assert!(selection.mask.contains(class));
            let decision = select(&tree, class, &given.standings, &given.directives(), ());
            assert_eq!(decision.basis, selection.basis);
            let leaders = leaders(&given, selection);
            for (wanted, draw) in [
                (Wanted::A, &selection.a),
                (Wanted::Aaaa, &selection.aaaa),
                (Wanted::Other, &selection.other),
            ] {
                let mut left: BTreeMap<String, f64> = BTreeMap::new();
                for (answer, share) in exact_shares(&decision, wanted) {
                    *left.entry(answer.split('+').next().unwrap().into()).or_default() += share;
                }
                for (variant, share) in draw.shares() {
                    *left.entry(leaders[variant].clone()).or_default() -= share;
                }
                let off = left.values().map(|off| off.abs()).fold(0.0, f64::max);
                assert!(off < 1e-9, "{wanted:?} {left:?} sticky {sticky}\n{text}");
            }
        }
    }
}

/// The endpoint each client network gets, asking for A and AAAA alike.
fn clients(given: &Given) -> Vec<String> {
    let steering = steer(given, true);
    let selection = steering.selection(Class(0));
    let leaders = leaders(given, selection);
    let cohort = name_hash(Drawn::Member, 0, &["shop"]);
    let (mut dice, mut other) = (Dice::seeded(1), Dice::seeded(2));
    let client = |client: u32| {
        let key = Key::new(0xffff_0000_0000 | u128::from(client) << 8, cohort);
        let a = &leaders[selection.a.draw(&mut dice, || key)];
        assert_eq!(a, &leaders[selection.a.draw(&mut other, || key)], "one key, one answer");
        assert_eq!(a, &leaders[selection.aaaa.draw(&mut other, || key)], "A and AAAA agree");
        a.clone()
    };
    (0..CLIENTS).map(client).collect()
}

/// Shares as counted are within 4.5 σ of what select() decided.
fn assert_shares_hold(given: &Given) {
    let tree = given.tree();
    let decision = select(&tree, Class(0), &given.standings, &given.directives(), ());
    let clients = clients(given);
    for (name, share) in exact_shares(&decision, Wanted::A) {
        let count = clients.iter().filter(|client| **client == name).count() as f64;
        let n = f64::from(CLIENTS);
        let sigma = (n * share * (1.0 - share)).sqrt();
        assert!((count - n * share).abs() <= 4.5 * sigma, "{name}: {count} for {share}");
    }
}

fn canary(stable: u32, canary: u32, absorb: &str) -> Given {
    Given::new(&format!(
        "pool stable = s1 s2
         pool canary = c1
         weighted www = stable*{stable} canary*{canary}{absorb}"
    ))
}

#[test]
fn ten_to_twenty_percent_moves_clients_only_from_stable_to_canary() {
    for absorb in ["", "/exact"] {
        let before = clients(&canary(90, 10, absorb));
        let after = clients(&canary(80, 20, absorb));
        let moved = before.iter().zip(&after).filter(|(b, a)| b != a);
        for (from, to) in moved.clone() {
            assert!(from.starts_with('s') && to == "c1", "{from} → {to}");
        }
        let share = moved.count() as f64 / f64::from(CLIENTS);
        assert!((0.095..=0.105).contains(&share), "{share}");
    }
}

/// A tree with every kind of draw on its levels.
const NESTED: &str = "
    pool a = a1 a2*3
    pool b = b1
    pool c = c1 c2
    pool x = x1
    pool y = y1
    weighted inner = a*3 b*1 y*2/exact
    weighted outer = inner*6 c*2 x*1/exact
";

#[test]
fn a_dead_member_spreads_only_its_own_clients_and_gets_them_back() {
    let before = clients(&Given::new(NESTED));
    for (dead, stays) in [
        // Its pool takes an endpoint's clients, its policy a pool's, the next one a policy's.
        (vec!["a1"], "a2"),
        (vec!["a1", "a2"], "b1"),
        (vec!["y1"], "a1 a2 b1"),
        (vec!["c1", "c2"], "a1 a2 b1 y1"),
        (vec!["x1"], "a1 a2 b1 c1 c2 y1"),
        (vec!["a1", "a2", "b1"], "c1 c2"),
    ] {
        let mut given = Given::new(NESTED);
        given.line(&format!("down {}", dead.join(" ")));
        // With nobody left to absorb, the whole of `inner` is unavailable.
        let own = |name: &&str| dead.contains(name) || (dead.len() == 3 && *name == "y1");
        let after = clients(&given);
        for (from, to) in before.iter().zip(&after) {
            match own(&from.as_str()) {
                true => assert!(stays.split(' ').any(|s| s == to), "{from} → {to}"),
                false => assert_eq!(from, to, "{dead:?}"),
            }
        }
        given.line(&format!("up {}", dead.join(" ")));
        assert_eq!(before, clients(&given));
    }
}

#[test]
fn sticky_shares_hold_on_every_level() {
    assert_shares_hold(&Given::new(NESTED));
    assert_shares_hold(&canary(90, 10, "/exact"));
}

#[test]
fn a_name_that_stands_on_two_levels_is_drawn_anew_on_each() {
    // `fra` wins the first draw with a small number; the same number must not decide the second.
    assert_shares_hold(&Given::new(
        "pool fra = f1
         pool dub = d1
         pool nrt = n1
         weighted near = fra*1 dub*1
         weighted mid = near*1 fra*1
         weighted www = mid*1 fra*1 nrt*1",
    ));
}

#[test]
fn exact_shares_on_two_levels_are_drawn_anew_on_each() {
    assert_shares_hold(&Given::new(
        "pool stable = s1
         pool canary = c1
         pool early = e1
         weighted inner = stable*90 canary*10/exact
         weighted www = inner*80 early*20/exact",
    ));
}

#[test]
fn ttl_is_short_while_any_endpoint_has_a_failing_probe() {
    let mut given = canary(90, 10, "");
    let ttl = |given: &Given| steer(given, false).selection(Class(0)).ttl.as_secs();
    assert_eq!(ttl(&given), 30);
    given.line("failing c1/6");
    assert_eq!(ttl(&given), 5);
    given.line("up c1/6");
    assert_eq!(ttl(&given), 30);
}

#[test]
fn classes_with_one_answer_share_a_selection() {
    let mut given = Given::new(
        "pool fra = f1
         pool iad = i1
         geo shop = DE:fra AT:fra,iad *:iad
         client de shop=DE
         client at shop=AT
         client us",
    );
    let selections = |given: &Given| {
        let masks =
            steer(given, false).selections().iter().map(|s| s.mask.iter().count()).collect();
        let masks: Vec<usize> = masks;
        masks
    };
    assert_eq!(selections(&given), [2, 1]);
    given.line("down f1");
    assert_eq!(selections(&given), [3]);
}

#[test]
fn a_variant_is_counted_for_its_leaders_region() {
    let given = Given::new(
        "pool fra = f1 region=7
         pool any = a1
         weighted www = fra any",
    );
    let plan = plan(given.tree(), false);
    let steering = PlanSteering::build(&plan, moved(&given));
    let selection = steering.selection(Class(0));
    let regions =
        selection.variants.iter().map(|variant| plan.spots[usize::from(variant.spot)].region);
    let regions: Vec<_> = leaders(&given, selection).into_iter().zip(regions).collect();
    let fra = Some(crate::ids::RegionId(7));
    assert!(regions.contains(&("f1".into(), fra)) && regions.contains(&("a1".into(), None)));
}

#[test]
fn a_rebuild_makes_only_what_was_touched() {
    let names: Vec<String> = (0..600).map(|i| format!("p{i}")).collect();
    let text: Vec<String> = names.iter().map(|name| format!("pool {name} = e{name}")).collect();
    let given = Given::new(&text.join("\n"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let snapshot = snapshot(&given, &names, Rules::default());
    let before = Steering::build(&snapshot, moved(&given));
    let after = before.rebuilt(&snapshot, &[PlanId(3), PlanId(5)], moved(&given));
    let shared = (0..600).map(PlanId).filter(|&plan| after.shares(&before, plan)).count();
    assert_eq!(shared, 598);
    let chunks = [0, 256, 512].map(|plan| after.shares_chunk(&before, PlanId(plan)));
    assert_eq!(chunks, [false, true, true]);
}

/// Whatever can move an answer.
#[test]
fn what_stands_as_before_is_not_made_again_and_what_does_not_is() {
    const FILES: &str = "
        pool a = a1/4
        pool b = b1/4
        pool c = c1/4
        pool d = d1@
        pool e = e1/4
        failover f = a b
        weighted g = b c
        found d1
    ";
    const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    let given = Given::new(FILES);
    let snapshot = snapshot(&given, &NAMES, Rules::default());
    let made = Steering::build(&snapshot, moved(&given));
    let before = Before { snapshot: &snapshot, moved: moved(&given), steering: &made };
    let anew = |moved: Moved<'_>| -> String {
        let now = Steering::build_after(&snapshot, moved, before);
        let is_anew = |index: &usize| !now.shares(&made, PlanId::at(*index));
        (0..NAMES.len()).filter(is_anew).map(|index| NAMES[index]).collect()
    };
    for (line, names) in [
        ("up *", ""),
        ("down a1", "af"),
        ("failing b1", "bfg"),
        ("fell c1@5", "cg"),
        ("active f=1", "f"),
        ("stays f=0", "f"),
        ("found d1", ""),
        ("found d1/4", "d"),
    ] {
        let mut given = Given::new(FILES);
        given.line(line);
        assert_eq!(anew(moved(&given)), names, "{line}");
    }
    let given = Given::new(FILES);
    let slot = SlotId::at(given.slots.iter().position(|slot| slot == "e1/4").unwrap());
    let since = Since::starting(Moment::default());
    let over = Some(std::time::Duration::from_secs(60));
    let rising = RampState { slot, kind: RampKind::Rising, since, over };
    assert_eq!(anew(Moved { ramps: &[rising], ..moved(&given) }), "e");
    // Another plan in the place of one: with the same tree, but for another time.
    let mut other = snapshot.clone();
    other.plans[0].ttl.max = other.plans[0].ttl.max.min(crate::units::Ttl::from_secs(1));
    let now = Steering::build_after(&other, moved(&given), before);
    assert!(!now.shares(&made, PlanId(0)) && now.shares(&made, PlanId(1)));
}

/// The answers of some clients at each of `shares`, put in the place of `{}` in `text`.
fn over_time(text: &str, shares: [f64; 4]) -> Option<Vec<[String; 4]>> {
    let times = shares.map(|share| {
        let given = Given::new(&text.replace("{}", &share.to_string()));
        let plan = plan(given.tree(), true);
        let steering = PlanSteering::directed(&plan, &given.standings, &given.directives());
        let selection = steering.selection(Class(0));
        let leaders = leaders(&given, selection);
        let mut dice = Dice::seeded(1);
        let client = |client: u128| {
            let key = Key::new(0xffff_0000_0000 | client << 8, 7);
            leaders[selection.a.draw(&mut dice, || key)].clone()
        };
        (selection.basis, (0..400).map(client).collect::<Vec<String>>())
    });
    // While something is down another last resort may apply.
    let healthy = times.iter().all(|(basis, _)| *basis == crate::policy::Basis::Healthy);
    let client = |n: usize| [0, 1, 2, 3].map(|time: usize| times[time].1[n].clone());
    healthy.then(|| (0..400).map(client).collect())
}

#[test]
fn as_a_share_grows_a_client_changes_sides_once_whatever_the_tree() {
    let mut moved = 0;
    for seed in 0..600 {
        let text = random_text(seed);
        let growing: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with("leaving"))
            .map(|line| format!("{}:{{}}", line.rsplit_once(':').unwrap().0))
            .chain(["rising e0:{}".into(), "draining e1:{}".into()])
            .filter(|line| {
                let endpoint = line.split([' ', ':']).nth(1).unwrap();
                line.starts_with("leaving") || text.contains(&format!(" {endpoint}\n"))
            })
            .collect();
        for line in growing {
            let text = format!("{text}{line}\n");
            for client in over_time(&text, [0.1, 0.3, 0.6, 0.9]).into_iter().flatten() {
                let changes = client.windows(2).filter(|pair| pair[0] != pair[1]).count();
                assert!(changes <= 1, "{client:?}\n{text}");
                moved += changes;
            }
        }
    }
    assert!(moved > 1_000, "{moved}");
}

#[test]
fn a_trickle_that_grows_keeps_the_clients_it_has() {
    let text = "
        pool iad = i1
        pool dub = d1
        failover app = iad dub trickle={}";
    let clients = over_time(text, [0.02, 0.1, 0.3, 0.5]).unwrap();
    for client in &clients {
        assert!(client.windows(2).all(|pair| pair[0] == pair[1] || pair[1] == "d1"), "{client:?}");
    }
    let warm = clients.iter().filter(|client| client[2] == "d1").count();
    assert!((90..150).contains(&warm), "{warm} of 400 for 30 %");
}

#[test]
fn ramps_shorten_ttls() {
    let ttl = |then: &str| {
        let given = Given::new(&format!("pool a = a1\npool b = b1\nfailover f = a b\n{then}"));
        steer(&given, false).selection(Class(0)).ttl.as_secs()
    };
    assert_eq!(ttl("active f=1"), 30);
    assert_eq!(ttl("leaving f=1>0:0.35"), 5);
    assert_eq!(ttl("draining a1:0.5"), 5);
}

#[test]
fn ramps_of_slots_are_functions_of_time() {
    let mut given = Given::new("pool a = a1/4\npool b = b1/4\nweighted w = a b");
    let secs = std::time::Duration::from_secs;
    let mut plan = plan(given.tree(), false);
    let state =
        |kind, over| RampState { slot: SlotId(1), kind, since: Since::starting(at(100)), over };
    let share = |plan: &Plan, state: RampState, now| {
        state.share(plan, at(now)).map(|ramp| ramp.share.as_millionths() / 10_000)
    };
    let rising = state(RampKind::Rising, None);
    assert_eq!(share(&plan, rising, 100), None, "the plan has no ramp");
    plan.ramp = Some(Ramp { over: secs(10), start: Share::from_fraction(0.2) });
    assert_eq!(
        [99, 100, 105, 110].map(|now| share(&plan, rising, now)),
        [Some(20), Some(20), Some(60), None]
    );
    let leaving = state(RampKind::Leaving, Some(secs(100)));
    assert_eq!([100, 150, 200].map(|now| share(&plan, leaving, now)), [Some(100), Some(50), None]);

    given.line("drained b1");
    let directives = given.directives();
    let moved = Moved { standings: &given.standings, directives, ramps: &[leaving], now: at(150) };
    let steering = PlanSteering::build(&plan, moved);
    let shares: Vec<f64> =
        steering.selection(Class(0)).a.shares().iter().map(|(_, share)| *share).collect();
    assert_eq!(shares, [0.75, 0.25]);
}

fn at(secs: u64) -> Moment {
    Moment(secs * 1_000_000_000)
}
