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
mod directives;
mod eligible;
mod failover;
mod geo;
mod last_resort;
mod latency;
pub mod leaf;
#[cfg(test)]
pub(crate) mod model;
mod multivalue;
pub mod rules;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod scenarios_found;
#[cfg(test)]
mod scenarios_moving;
pub mod sticky;
#[cfg(test)]
pub(crate) mod testing;
pub mod trace;
pub mod tree;
mod weighted;

pub use choice::{Basis, Branch, Choice, Decision, Part, Split};
pub use directives::{Course, Directives, Found, MemberSet, RampKind, SlotRamp};
pub use eligible::{available, works};
pub use leaf::{Candidate, Leaf, Wanted};

use crate::{ids::Class, units::Share, verdict::Standings};
use eligible::View;
use sticky::Drawn;
use trace::Trace;
use tree::{Kind, Node, NodeIx, Tree};
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
/// `min_healthy`, then as the record's `all_down` says (DESIGN §5, Availability). A failover that
/// waits is available as long as one of its members is, so it never comes to that.
pub fn select<'t, T: Trace>(
    tree: &'t Tree,
    class: Class,
    standings: &Standings,
    directives: &Directives<'_>,
    trace: T,
) -> Decision<'t> {
    let mut context = Context { tree, class, view: View::new(standings, directives), trace };
    context.living().unwrap_or_else(|| context.all_down())
}

impl<'t, T: Trace> Context<'t, '_, T> {
    /// The answer of the whole tree as long as anything is up, parted where something ramps.
    ///
    /// The clients of each part see what has a larger share than where their part begins. The
    /// fewer take part the less is available. Where nothing is, `min_healthy` is ignored, for
    /// these clients alone: what comes back is given no more than its ramp says. Where nothing is
    /// even then, clients get what those just below them get: a ramp never empties an answer.
    fn living(&mut self) -> Option<Decision<'t>> {
        let thresholds = self.view.thresholds();
        let (is_parted, mut basis) = (!thresholds.is_empty(), Basis::Healthy);
        let mut parts = Vec::with_capacity(thresholds.len() + 1);
        for below in thresholds.into_iter().chain([Share::ONE]) {
            if is_parted {
                let from = self.view.from;
                self.trace.note(0, || format!("ramp: clients from {from} to {below} of all:"));
            }
            let mut choice = self.evaluate(self.tree.root, None, 0);
            if choice.is_none() && !self.view.ignore_min_healthy {
                let note = "nothing is available: asked again ignoring min_healthy";
                self.trace.note(0, || note.into());
                self.view.ignore_min_healthy = true;
                if parts.is_empty() {
                    basis = Basis::IgnoringMinHealthy;
                }
                choice = self.evaluate(self.tree.root, None, 0);
            }
            let Some(choice) = choice else {
                if !parts.is_empty() {
                    self.trace.note(0, || "nothing is available to them: they get the same".into());
                }
                break;
            };
            parts.push((below, choice));
            self.view.from = below;
        }
        self.view.from = Share::NONE;
        let choice = Choice::split(Drawn::Ramp, "", parts)?;
        Some(Decision { basis: choice.grounds(basis), choice })
    }

    /// What `ix` answers, or `None` when it is not available and the parent must do without.
    /// `above` holds the draws that led here, `depth` is for the trace.
    pub(crate) fn evaluate(
        &mut self,
        ix: NodeIx,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let node = self.tree.node(ix);
        match &node.kind {
            Kind::Empty => Some(Choice::Nodata),
            Kind::Pool(pool) => self.pool(node, pool, depth),
            Kind::Weighted(it) => self.policy(node, depth, |c| c.weighted(it, above, depth)),
            Kind::Failover(it) => {
                self.policy(node, depth, |c| c.failover(&node.name, it, above, depth))
            }
            Kind::Geo(it) => self.policy(node, depth, |c| c.geo(it, above, depth)),
            Kind::Latency(it) => self.policy(node, depth, |c| c.latency(it, above, depth)),
            Kind::Multivalue(it) => {
                self.policy(node, depth, |c| c.multivalue(&node.name, it, above, depth))
            }
        }
    }

    /// Says what `node` is before it is evaluated, and if nothing came of it.
    fn policy(
        &mut self,
        node: &'t Node,
        depth: u8,
        evaluate: impl FnOnce(&mut Self) -> Option<Choice<'t>>,
    ) -> Option<Choice<'t>> {
        // The record's own policy has no name, and nothing above it to be dropped from.
        if node.name.is_empty() {
            return evaluate(self);
        }
        self.trace.note(depth, || format!("`{}`, {}:", node.name, node.kind.word()));
        let choice = evaluate(self);
        if choice.is_none() {
            self.trace.dropped(depth, &node.name, || "not available".into());
        }
        choice
    }
}
