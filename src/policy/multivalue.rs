//! Multivalue: the up endpoints of all available members as one pool.

use super::{
    Context,
    choice::{Candidate, Choice},
    eligible::{Above, reaches},
    trace::Trace,
    tree::{MinHealthy, Multivalue},
};

impl<'t, T: Trace> Context<'t, '_, T> {
    pub(super) fn multivalue(
        &mut self,
        multivalue: &'t Multivalue,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let available: Vec<Choice<'t>> = multivalue
            .members
            .iter()
            .filter_map(|&member| self.evaluate(member, above, depth + 1))
            .collect();
        if available.is_empty()
            || (!self.view.ignore_min_healthy && !reached(multivalue, available.len()))
        {
            return None;
        }
        let mut candidates: Vec<Candidate<'t>> = Vec::new();
        for choice in available {
            choice.leaves(&mut |_, leaf| {
                for candidate in leaf.into_iter().flat_map(|leaf| &leaf.candidates) {
                    let known = |c: &Candidate<'_>| {
                        c.pool == candidate.pool && c.endpoint.name == candidate.endpoint.name
                    };
                    if !candidates.iter().any(known) {
                        candidates.push(Candidate { merged: true, ..candidate.clone() });
                    }
                }
            });
        }
        if candidates.is_empty() {
            return Some(Choice::Nodata);
        }
        Some(self.leaf(candidates, multivalue.answers))
    }
}

/// Whether `up` members are enough.
pub(super) fn reached(multivalue: &Multivalue, up: usize) -> bool {
    match multivalue.min_healthy {
        MinHealthy::Count(count) => up >= usize::from(count),
        MinHealthy::Share(share) => reaches(up as u64, multivalue.members.len() as u64, share),
    }
}
