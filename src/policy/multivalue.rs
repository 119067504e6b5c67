//! Multivalue: the endpoints of all available members as one pool.

use super::{
    Context,
    choice::Choice,
    leaf::{Candidate, Leaf},
    sticky::Drawn,
    trace::Trace,
    tree::Multivalue,
    weighted::Above,
};
use crate::units::Share;
use std::collections::HashSet;

impl<'t, T: Trace> Context<'t, '_, T> {
    pub(super) fn multivalue(
        &mut self,
        name: &'t str,
        multivalue: &'t Multivalue,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let members: Vec<Option<Choice<'t>>> =
            multivalue.members.iter().map(|&m| self.evaluate(m, above, depth + 1)).collect();
        let standing = members.iter().map(|member| (1, member.is_some()));
        if !self.view.reached(multivalue.min_healthy, standing) {
            let min = multivalue.min_healthy;
            self.trace
                .note(depth, || format!("too few members are available for min_healthy = {min}"));
            return None;
        }
        // Whom a member's ramp or trickle parts, it parts here: all by one number, so that each
        // keeps its shares and their sets stay nested, without a part for every combination.
        let mut bounds = vec![Share::ONE];
        members.iter().flatten().for_each(|choice| choice.bounds(&mut |bound| bounds.push(bound)));
        bounds.sort_unstable();
        bounds.dedup();
        let mut from = Share::NONE;
        let parts = bounds.into_iter().map(|below| {
            let from = std::mem::replace(&mut from, below);
            (below, merged(members.iter().flatten(), from, multivalue.answers))
        });
        Choice::split(Drawn::Multivalue, name, parts)
    }
}

/// The endpoints of all `members` as one pool, as clients see them whose number is `u`. What a
/// failover only keeps stands beside nobody who works: everybody is in the answer anyway.
fn merged<'c, 't: 'c>(
    members: impl Iterator<Item = &'c Choice<'t>>,
    u: Share,
    answers: u16,
) -> Choice<'t> {
    let mut leaves: Vec<&Leaf<'t>> = Vec::new();
    for choice in members {
        choice.leaves_at(u, &mut |leaf| leaves.push(leaf));
    }
    let kept = leaves.iter().all(|leaf| leaf.kept);
    leaves.retain(|leaf| leaf.kept == kept);
    let mut candidates: Vec<Candidate<'t>> = Vec::new();
    let mut known: HashSet<(&str, &str)> = HashSet::new();
    for candidate in leaves.iter().flat_map(|leaf| &leaf.candidates) {
        if known.insert((&candidate.pool.id, &candidate.endpoint.name)) {
            candidates.push(Candidate { merged: true, ..candidate.clone() });
        }
    }
    match candidates.is_empty() {
        true => Choice::Nodata,
        false => Choice::Leaf(Leaf { candidates, answers, kept }),
    }
}
