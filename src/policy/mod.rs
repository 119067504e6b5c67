//! What a client should get: policies as pure functions over a compiled tree.
//!
//! [`select`] takes a tree, a class of clients, the standing of every address and the
//! directives, and returns a distribution over answers. It reads no clock, rolls no dice and
//! keeps nothing, so the packet path's Selections and `explain` cannot disagree: both are its
//! result. One file a policy: each says which members may be answered now and hands the rest
//! back to its parent; `eligible` knows what "available" means, `last_resort` what is answered
//! when nothing is, [`leaf`] which endpoints of a chosen pool; [`trace`] writes down why.
//! Must not know packets, zones or who changed a standing.

pub mod choice;
mod eligible;
mod failover;
mod geo;
mod last_resort;
mod latency;
pub mod leaf;
#[cfg(test)]
pub(crate) mod model;
mod multivalue;
#[cfg(test)]
mod scenarios;
pub mod sticky;
#[cfg(test)]
pub(crate) mod testing;
pub mod trace;
pub mod tree;
mod weighted;

pub use choice::{Basis, Branch, Choice, Decision};
pub use eligible::{Directives, available};
pub use leaf::{Candidate, Leaf, Wanted};

use crate::{ids::Class, verdict::Standings};
use eligible::View;
use trace::Trace;
use tree::{Kind, NodeIx, Tree};
use weighted::Above;

/// Everything one evaluation reads, and where it writes down why.
pub(crate) struct Context<'t, 'v, T> {
    pub tree: &'t Tree,
    pub class: Class,
    pub view: View<'v>,
    pub trace: T,
}

/// What clients of `class` get while addresses stand as `standings` says.
///
/// Never empty-handed: when nothing is available the answer is found again ignoring
/// `min_healthy`, then as the record's `all_down` says (DESIGN §5, Availability).
pub fn select<'t, T: Trace>(
    tree: &'t Tree,
    class: Class,
    standings: &Standings,
    directives: &Directives<'_>,
    trace: T,
) -> Decision<'t> {
    let mut context = Context { tree, class, view: View::new(standings, directives), trace };
    if let Some(choice) = context.evaluate(tree.root, None, 0) {
        return Decision { choice, basis: Basis::Healthy };
    }
    context.trace.note(0, || "nothing is available: asked again ignoring min_healthy".into());
    context.view.ignore_min_healthy = true;
    if let Some(choice) = context.evaluate(tree.root, None, 0) {
        return Decision { choice, basis: Basis::IgnoringMinHealthy };
    }
    context.all_down()
}

impl<'t, T: Trace> Context<'t, '_, T> {
    /// What `ix` answers, or `None` when it is not available and the parent must do without.
    /// `above` holds the draws that led here, `depth` is for the trace.
    pub(crate) fn evaluate(
        &mut self,
        ix: NodeIx,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let tree = self.tree;
        let node = tree.node(ix);
        let kind = match &node.kind {
            Kind::Pool(pool) => return self.pool(node, pool, depth),
            Kind::Empty => return Some(Choice::Nodata),
            policy => policy,
        };
        // The record's own policy has no name, and nothing above it to be dropped from.
        if !node.name.is_empty() {
            self.trace.note(depth, || format!("`{}`, {}:", node.name, kind.word()));
        }
        let choice = match kind {
            Kind::Weighted(weighted) => self.weighted(weighted, above, depth),
            Kind::Failover(failover) => self.failover(failover, above, depth),
            Kind::Geo(geo) => self.geo(geo, above, depth),
            Kind::Latency(latency) => self.latency(latency, above, depth),
            Kind::Multivalue(multivalue) => self.multivalue(multivalue, above, depth),
            Kind::Pool(_) | Kind::Empty => None,
        };
        if choice.is_none() && !node.name.is_empty() {
            self.trace.dropped(depth, &node.name, || "not available".into());
        }
        choice
    }
}
