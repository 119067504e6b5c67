//! Latency: the nearest available member, shared with those within `tie` of it.

use super::{
    Context,
    choice::{Branch, Choice},
    eligible::{Above, salt},
    trace::Trace,
    tree::{Latency, Rank},
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
            let name = |rank: &Rank| {
                let member = &latency.members[usize::from(rank.member)];
                tree.node(member.node).name.to_string()
            };
            format!("nearest first: {}", order.iter().map(name).collect::<Vec<_>>().join(", "))
        });
        for (place, rank) in order.iter().enumerate() {
            let Some(best) = self.ranked(latency, rank, above, depth) else {
                continue;
            };
            let mut branches = vec![best];
            for tied in order[place + 1..].iter().take(rank.followers.into()) {
                branches.extend(self.ranked(latency, tied, above, depth));
            }
            // Where some carry weight, reserves among the tied ones wait.
            if branches.iter().any(|branch| branch.weight > 0) {
                branches.retain(|branch| branch.weight > 0);
            } else {
                branches.iter_mut().for_each(|branch| branch.weight = 1);
            }
            return Choice::draw(branches);
        }
        None
    }

    fn ranked(
        &mut self,
        latency: &'t Latency,
        rank: &Rank,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Branch<'t>> {
        let tree = self.tree;
        let member = &latency.members[usize::from(rank.member)];
        let below = Above { members: &latency.members, parent: above };
        let choice = self.evaluate(member.node, Some(&below), depth + 1)?;
        let name = &*tree.node(member.node).name;
        let weight = u64::from(member.weight.get());
        Some(Branch { name, salt: salt(tree, above, name), weight, choice })
    }
}
