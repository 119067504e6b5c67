//! Latency: the nearest available member, shared with those within `tie` of it.
//!
//! Scores were compared when the classes were compiled; what is left of them is an order, and
//! for each place in it how many of the following lie within `tie`.

use super::{
    Context,
    choice::Choice,
    trace::Trace,
    tree::{Latency, WeightedMember},
    weighted::Above,
};

impl<'t, T: Trace> Context<'t, '_, T> {
    pub(super) fn latency(
        &mut self,
        latency: &'t Latency,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let tree = self.tree;
        let order = tree.classes.order(self.class, latency.dependent);
        self.trace.note(depth, || {
            let members = order.iter().map(|rank| &latency.members[usize::from(rank.member)]);
            let names: Vec<&str> = members.map(|member| &*tree.node(member.node).name).collect();
            format!("nearest first: {}", names.join(", "))
        });
        // Reserves, however near, wait until no other member is available.
        self.nearest(latency, above, depth, |member| !member.weight.is_reserve())
            .or_else(|| self.nearest(latency, above, depth, |member| member.weight.is_reserve()))
    }

    /// The nearest available of `those` members, and who is tied with it.
    fn nearest(
        &mut self,
        latency: &'t Latency,
        above: Option<&Above<'t, '_>>,
        depth: u8,
        those: impl Fn(&WeightedMember) -> bool,
    ) -> Option<Choice<'t>> {
        let below = Above { members: &latency.members, parent: above };
        let order = self.tree.classes.order(self.class, latency.dependent);
        let member = |at: usize| &latency.members[usize::from(order[at].member)];
        for place in (0..order.len()).filter(|&at| those(member(at))) {
            let Some(best) = self.branch(member(place), &below, depth) else { continue };
            if order[place].followers == 0 {
                return Some(best.choice);
            }
            let mut branches = vec![best];
            let tied = place + usize::from(order[place].followers);
            for at in (place + 1..=tied).filter(|&at| those(member(at))) {
                branches.extend(self.branch(member(at), &below, depth));
            }
            branches.iter_mut().for_each(|branch| branch.weight = branch.weight.max(1));
            return Choice::draw(branches);
        }
        None
    }
}
