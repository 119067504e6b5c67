//! Names that are answered as addresses, before they are found and while only half of them is.

use super::{Wanted, scenarios::check, select, testing::Given};
use crate::ids::Class;

const TWO: &str = "
    pool cdn = f1@
    pool own = s1
    failover www = cdn own
";

fn two(then: &str) {
    check(&format!("{TWO}{then}"));
}

#[test]
fn who_is_not_found_yet_answers_nobody_while_another_can() {
    two("get - → healthy: s1 100%
         found f1
         get - → healthy: f1 100%");
    // Neither does a failover that stays, nor any last resort, dead as the other may be.
    two("stays www=0
         get - → healthy: s1 100%
         found f1
         get - → healthy: f1 100%
         down f1
         get - → failover-waits: f1 100%");
    for all_down in ["last-good", "all", "first", "pool:cdn"] {
        two(&format!("down *\nall_down {all_down}\nget - → all-down: s1 100%"));
    }
    two("down *\nfell f1@2 s1@1\nget - → all-down: s1 100%");
    check("pool mixed = f1@ s1\nget - → healthy: s1 100%\ndown s1\nget - → all-down: s1 100%");
    check("pool cdn = f1@\nget - → all-down: nodata 100%\nfound f1\nget - → healthy: f1 100%");
}

#[test]
fn a_family_that_nobody_could_be_asked_for_is_unknown() {
    let mut given = Given::new("pool cdn = f1@");
    let mut unknown = || {
        let (tree, directives) = (given.tree(), given.directives());
        let decision = select(&tree, Class(0), &given.standings, &directives, ());
        let mut unknown = Vec::new();
        decision.choice.leaves(&mut |_, leaf| {
            let candidate = &leaf.unwrap().candidates[0];
            unknown = [Wanted::A, Wanted::Aaaa].map(|w| candidate.is_unknown(w)).into();
        });
        given.line(if unknown[0] { "found f1/4" } else { "found f1" });
        unknown
    };
    assert_eq!([unknown(), unknown(), unknown()], [[true, true], [false, true], [false, false]]);
}
