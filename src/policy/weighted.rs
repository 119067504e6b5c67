//! Weighted: divide clients over members in proportion to their weight.
//!
//! Members that do not absorb get exactly their configured share while they are available;
//! what is left goes to the available absorbing members by weight, else to the reserves
//! (DESIGN §5, Weights). Two levels keep that minimal for sticky clients: the exact members
//! against "the rest" first, the rest among themselves below, so that the death of an absorbing
//! member moves only its own clients.

use super::{
    Context,
    choice::{Branch, Choice},
    eligible::{Above, reaches, salt},
    trace::Trace,
    tree::{MinHealthy, Weighted, WeightedMember},
};

/// What sticky draws hash for "everybody who is not in an exact share". No member may have the
/// empty name, so it collides with none.
const REST: &str = "";

impl<'t, T: Trace> Context<'t, '_, T> {
    pub(super) fn weighted(
        &mut self,
        weighted: &'t Weighted,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let absorbing =
            self.branches(weighted, above, depth, |m| m.absorb && !m.weight.is_reserve());
        let exact = self.exact_members(weighted, above, depth);
        let reserves = self.branches(weighted, above, depth, |m| m.absorb && m.weight.is_reserve());
        let here = |name: &str| {
            absorbing.iter().chain(&reserves).any(|branch: &Branch<'_>| branch.name == name)
        };
        let tree = self.tree;
        if !self.view.ignore_min_healthy
            && !reached(weighted, |m| m.absorb && here(&tree.node(m.node).name))
        {
            self.trace.note(depth, || {
                format!(
                    "too little absorbing weight is available (min_healthy = {})",
                    weighted.min_healthy
                )
            });
            return None;
        }
        let rest = Choice::draw(if absorbing.is_empty() { reserves } else { absorbing })?;
        Some(if exact.is_empty() { rest } else { beside(weighted, exact, rest) })
    }

    /// Available members with an exact share.
    pub(super) fn exact_members(
        &mut self,
        weighted: &'t Weighted,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Vec<Branch<'t>> {
        self.branches(weighted, above, depth, |m| !m.absorb && !m.weight.is_reserve())
    }

    fn branches(
        &mut self,
        weighted: &'t Weighted,
        above: Option<&Above<'t, '_>>,
        depth: u8,
        which: impl Fn(&WeightedMember) -> bool,
    ) -> Vec<Branch<'t>> {
        let tree = self.tree;
        let below = Above { members: &weighted.members, parent: above };
        let mut branches = Vec::new();
        for member in weighted.members.iter().filter(|m| which(m)) {
            if let Some(choice) = self.evaluate(member.node, Some(&below), depth + 1) {
                let name = &*tree.node(member.node).name;
                let weight = u64::from(member.weight.get()).max(1);
                branches.push(Branch { name, salt: salt(tree, above, name), weight, choice });
            }
        }
        branches
    }
}

/// `exact` members get their configured share of everything, `rest` what is left of it.
pub(super) fn beside<'t>(
    weighted: &Weighted,
    mut exact: Vec<Branch<'t>>,
    rest: Choice<'t>,
) -> Choice<'t> {
    let configured: u64 = weighted.members.iter().map(|m| u64::from(m.weight.get())).sum();
    let taken: u64 = exact.iter().map(|branch| branch.weight).sum();
    let salt = exact.iter().map(|branch| branch.salt).max().unwrap_or(0);
    match configured - taken {
        // Only reserves absorb and every exact member is up: nothing is left to give.
        0 => {}
        weight => exact.push(Branch { name: REST, salt, weight, choice: rest }),
    }
    Choice::draw(exact).expect("`exact` is not empty")
}

/// Whether enough absorbing weight is available. Reserves stand in for all of it once none of
/// the others is.
pub(super) fn reached(weighted: &Weighted, available: impl Fn(&WeightedMember) -> bool) -> bool {
    let absorbing = || weighted.members.iter().filter(|m| m.absorb);
    let regular_up = || absorbing().filter(|m| !m.weight.is_reserve() && available(m));
    if regular_up().next().is_none() {
        return absorbing().any(|m| m.weight.is_reserve() && available(m));
    }
    match weighted.min_healthy {
        MinHealthy::Count(count) => regular_up().count() >= count.into(),
        MinHealthy::Share(share) => {
            let weigh = |m: &WeightedMember| u64::from(m.weight.get());
            reaches(regular_up().map(weigh).sum(), absorbing().map(weigh).sum(), share)
        }
    }
}
