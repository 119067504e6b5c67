//! Multivalue: the endpoints of all available members as one pool.

use super::{
    Context,
    choice::Choice,
    leaf::{Candidate, Leaf},
    trace::Trace,
    tree::Multivalue,
    weighted::Above,
};
use std::collections::HashSet;

impl<'t, T: Trace> Context<'t, '_, T> {
    pub(super) fn multivalue(
        &mut self,
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
        let mut candidates: Vec<Candidate<'t>> = Vec::new();
        let mut known: HashSet<(&str, &str)> = HashSet::new();
        for choice in members.iter().flatten() {
            choice.leaves(&mut |_, leaf| {
                for candidate in leaf.into_iter().flat_map(|leaf| &leaf.candidates) {
                    if known.insert((candidate.pool, &candidate.endpoint.name)) {
                        candidates.push(Candidate { merged: true, ..candidate.clone() });
                    }
                }
            });
        }
        Some(match candidates.is_empty() {
            true => Choice::Nodata,
            false => Choice::Leaf(Leaf { candidates, answers: multivalue.answers }),
        })
    }
}
