//! What a client should get: policies as pure functions over a compiled tree.
//!
//! [`select`] takes a tree, a class of clients, the standing of every address and the
//! directives, and returns a distribution over answers. It reads no clock, rolls no dice and
//! keeps nothing, so the packet path's Selections and `explain` cannot disagree: both are its
//! result. One file a policy: each says which members may be answered now and hands the rest
//! back to its parent; [`eligible`] knows what "available" means; [`trace`] writes down why.
//! Must not know packets, zones or who changed a standing.

pub mod choice;
mod eligible;
mod failover;
mod geo;
mod latency;
mod multivalue;
pub mod sticky;
pub mod trace;
pub mod tree;
mod weighted;

pub use choice::{Basis, Branch, Candidate, Choice, Decision, Leaf};
pub use eligible::{Directives, available};

use crate::{ids::Class, verdict::Standings};
use eligible::{Above, View};
use trace::Trace;
use tree::{AllDown, Kind, NodeIx, Tree};

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
        if let Some(word) = node.kind.policy() {
            self.trace.note(depth, || match &*node.name {
                "" => word.to_owned(),
                name => format!("{name}: {word}"),
            });
        }
        match &node.kind {
            Kind::Pool(pool) => self.pool(node, pool, depth),
            Kind::Weighted(weighted) => self.weighted(weighted, above, depth),
            Kind::Failover(failover) => self.failover(failover, above, depth),
            Kind::Geo(geo) => self.geo(geo, above, depth),
            Kind::Latency(latency) => self.latency(latency, above, depth),
            Kind::Multivalue(multivalue) => self.multivalue(multivalue, above, depth),
            Kind::Empty => Some(Choice::Nodata),
        }
    }

    /// The last resort: nothing is available to this class even ignoring `min_healthy`.
    fn all_down(&mut self) -> Decision<'t> {
        let tree = self.tree;
        let said = tree.all_down;
        self.trace.note(0, || format!("everything is down: all_down = \"{}\"", said.word()));
        let decided = |choice| Decision { choice, basis: Basis::AllDown(said) };
        match said {
            AllDown::LastGood => {
                self.view.assume_last_good(self.reachable(tree.root));
                if let Some(choice) = self.evaluate(tree.root, None, 0) {
                    return decided(choice);
                }
                self.trace.note(0, || "nothing is remembered to have been up: all".into());
                decided(self.all())
            }
            AllDown::All => decided(self.all()),
            // A fence holds under all_down too: never a pool from outside it.
            AllDown::Pool(_) if self.fenced(tree.root) => decided(self.all()),
            AllDown::Pool(pool) => decided(self.beside_exact_shares(|c| c.whole(pool))),
            AllDown::First => decided(self.beside_exact_shares(|c| c.first(tree.root))),
            AllDown::Nodata => decided(self.beside_exact_shares(|_| Choice::Nodata)),
        }
    }

    fn all(&mut self) -> Choice<'t> {
        self.view.assume_all();
        self.evaluate(self.tree.root, None, 0).expect("with everything up every node has an answer")
    }

    /// Members of a weighted root that do not absorb keep their exact share while they are up,
    /// whatever becomes of the rest (DESIGN §5, Weights).
    fn beside_exact_shares(&mut self, rest: impl FnOnce(&mut Self) -> Choice<'t>) -> Choice<'t> {
        let tree = self.tree;
        let exact = match &tree.node(tree.root).kind {
            Kind::Weighted(weighted) => self.exact_members(weighted, None, 0),
            _ => Vec::new(),
        };
        let rest = rest(self);
        match &tree.node(tree.root).kind {
            Kind::Weighted(weighted) if !exact.is_empty() => {
                weighted::beside(weighted, exact, rest)
            }
            _ => rest,
        }
    }
}
