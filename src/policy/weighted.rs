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
    eligible::Assumed,
    trace::Trace,
    tree::{NodeIx, Tree, Weighted, WeightedMember},
};

/// What sticky draws hash for "everybody who is not in an exact share". No member may have the
/// empty name, so it collides with none.
const REST: &str = "";

/// The draws on the way to a node, nearest first: who else was named there.
pub(crate) struct Above<'t, 'a> {
    pub members: &'t [WeightedMember],
    pub parent: Option<&'a Above<'t, 'a>>,
}

/// The available members of a weighted policy, by what they are entitled to.
#[derive(Default)]
pub(super) struct Members<'t> {
    /// Those that do not absorb: their configured share, no less and no more.
    pub exact: Vec<Branch<'t>>,
    /// Those that share what is left.
    absorbing: Vec<Branch<'t>>,
    /// Those that do if no absorbing one is available.
    reserves: Vec<Branch<'t>>,
    /// For each member that absorbs its weight, and whether it is available.
    standing: Vec<(u64, bool)>,
}

impl<'t, T: Trace> Context<'t, '_, T> {
    pub(super) fn weighted(
        &mut self,
        weighted: &'t Weighted,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let members = self.members(weighted, above, depth);
        let exact = |ix| members.exact.iter().any(|branch| branch.name == name(self.tree, ix));
        if weighted.is_given_away(exact) {
            return Choice::draw(members.exact);
        }
        if !self.view.reached(weighted.min_healthy, members.standing.into_iter()) {
            let min = weighted.min_healthy;
            self.trace
                .note(depth, || format!("too few members are available for min_healthy = {min}"));
            return None;
        }
        let absorbing = match members.absorbing {
            none if none.is_empty() => members.reserves,
            some => some,
        };
        let rest = Choice::draw(absorbing)?;
        Some(beside(weighted, above, members.exact, rest))
    }

    pub(super) fn members(
        &mut self,
        weighted: &'t Weighted,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Members<'t> {
        let below = Above { members: &weighted.members, parent: above };
        let mut members = Members::default();
        for member in &weighted.members {
            let branch = match member.absorb {
                true => self.branch(member, &below, depth),
                false => self.living_first(member, &below, depth),
            };
            if member.absorb {
                members.standing.push((u64::from(member.weight.get()), branch.is_some()));
            }
            match (member.absorb, member.weight.is_reserve()) {
                (true, false) => members.absorbing.extend(branch),
                (true, true) => {
                    members.reserves.extend(branch.map(|branch| Branch { weight: 1, ..branch }));
                }
                (false, false) => members.exact.extend(branch),
                // An exact share of nothing.
                (false, true) => {}
            }
        }
        members
    }

    /// A member whose share is exact: with what is up of it, and only without any with what is
    /// assumed to be. Its share is the same, and an up endpoint beats a dead one.
    fn living_first(
        &mut self,
        member: &'t WeightedMember,
        below: &Above<'t, '_>,
        depth: u8,
    ) -> Option<Branch<'t>> {
        let assumed = std::mem::replace(&mut self.view.assumed, Assumed::None);
        let living = self.branch(member, below, depth);
        self.view.assumed = assumed;
        match assumed {
            Assumed::None => living,
            _ => living.or_else(|| self.branch(member, below, depth)),
        }
    }

    /// `member` as an arm of the draw that `below` tells its members of, if it is available.
    pub(super) fn branch(
        &mut self,
        member: &'t WeightedMember,
        below: &Above<'t, '_>,
        depth: u8,
    ) -> Option<Branch<'t>> {
        let choice = self.evaluate(member.node, Some(below), depth + 1)?;
        let name = name(self.tree, member.node);
        let salt = salt(below.parent, |m| self::name(self.tree, m.node) == name);
        Some(Branch { name, salt, weight: u64::from(member.weight.get()), choice })
    }
}

/// `exact` members get their configured share of everything, `rest` what is left of it.
pub(super) fn beside<'t>(
    weighted: &Weighted,
    above: Option<&Above<'_, '_>>,
    mut exact: Vec<Branch<'t>>,
    rest: Choice<'t>,
) -> Choice<'t> {
    let configured: u64 = weighted.members.iter().map(|m| u64::from(m.weight.get())).sum();
    let taken: u64 = exact.iter().map(|branch| branch.weight).sum();
    let left = configured - taken;
    // Where only reserves absorb and every exact member is up, nothing is left to give.
    if left > 0 || exact.is_empty() {
        // Above, a draw has such an arm where some member does not absorb.
        let salt = salt(above, |m| !m.absorb);
        exact.push(Branch { name: REST, salt, weight: left, choice: rest });
    }
    Choice::draw(exact).expect("an arm was added if there was none")
}

fn name(tree: &Tree, ix: NodeIx) -> &str {
    &tree.node(ix).name
}

/// How many of the draws `above` have such a member. Arms that are called the same on several
/// levels would otherwise be drawn by the same number, and shares would not be exact.
fn salt<'t>(mut above: Option<&Above<'t, '_>>, such: impl Fn(&WeightedMember) -> bool) -> u8 {
    let mut salt = 0;
    while let Some(draw) = above {
        salt += u8::from(draw.members.iter().any(&such));
        above = draw.parent;
    }
    salt
}
