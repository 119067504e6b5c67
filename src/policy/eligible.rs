//! What "available" means: endpoints, pools, and what is assumed when nothing is.
//!
//! An endpoint is up when one of its addresses is; a pool when enough of its weight is
//! (DESIGN §5, Availability). The [`View`] lets the last resort look at the same tree as if
//! some addresses were up, so that failing open runs the same code as every other day.

use super::{
    Context,
    choice::{Candidate, Choice, Leaf},
    trace::Trace,
    tree::{Endpoint, EndpointTarget, Kind, MinHealthy, Node, NodeIx, Pool, Tree, WeightedMember},
};
use crate::{
    ids::{Class, FailoverId, SlotId},
    verdict::{Standing, Standings},
};

/// What moves answers at run time beside verdicts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Directives<'a> {
    /// For each failover the index of its active member; the first when absent.
    pub active: &'a [u8],
    /// For each slot the number of the change in which it last fell; 0 = it never was up.
    pub fell: &'a [u64],
}

impl Directives<'_> {
    /// The active member of `failover`.
    pub fn active(&self, failover: FailoverId) -> usize {
        self.active.get(failover.index()).copied().unwrap_or(0).into()
    }
    fn fell(&self, slot: SlotId) -> u64 {
        self.fell.get(slot.index()).copied().unwrap_or(0)
    }
}

/// How addresses look to one evaluation.
pub(crate) struct View<'v> {
    standings: &'v Standings,
    pub directives: Directives<'v>,
    pub ignore_min_healthy: bool,
    assumed: Assumed,
}

/// Which dead addresses count as up in the last resort.
enum Assumed {
    None,
    /// Those that fell in this change.
    FellIn(u64),
    All,
}

impl<'v> View<'v> {
    pub(crate) fn new(standings: &'v Standings, directives: &Directives<'v>) -> Self {
        View {
            standings,
            directives: *directives,
            ignore_min_healthy: false,
            assumed: Assumed::None,
        }
    }

    /// Takes as up what was up just before the change that left none of `slots`.
    pub(crate) fn assume_last_good(&mut self, slots: impl IntoIterator<Item = SlotId>) {
        let last = slots.into_iter().map(|slot| self.directives.fell(slot)).max().unwrap_or(0);
        self.assumed = if last == 0 { Assumed::All } else { Assumed::FellIn(last) };
    }

    pub(crate) fn assume_all(&mut self) {
        self.assumed = Assumed::All;
    }

    fn up(&self, slot: SlotId) -> bool {
        self.standings.of(slot).standing.is_up()
            || match self.assumed {
                Assumed::None => false,
                Assumed::FellIn(change) => self.directives.fell(slot) == change,
                Assumed::All => true,
            }
    }

    fn endpoint_up(&self, endpoint: &Endpoint) -> bool {
        endpoint.target.slots().any(|slot| self.up(slot))
    }

    /// Twice the weight, once when every up address of it is degraded.
    fn weight(&self, endpoint: &Endpoint) -> u64 {
        let weight = u64::from(endpoint.weight.get());
        let works_well = endpoint
            .target
            .slots()
            .any(|slot| self.up(slot) && self.standings.of(slot).standing != Standing::Degraded);
        if works_well { weight * 2 } else { weight }
    }

    fn pool_available(&self, pool: &Pool) -> bool {
        let up = || pool.endpoints.iter().filter(|e| self.endpoint_up(e));
        if self.ignore_min_healthy {
            return up().next().is_some();
        }
        match pool.min_healthy {
            MinHealthy::Count(count) => up().take(count.into()).count() == usize::from(count),
            MinHealthy::Share(share) => {
                let weigh = |e: &Endpoint| u64::from(e.weight.get());
                reaches(up().map(weigh).sum(), pool.endpoints.iter().map(weigh).sum(), share)
                    && up().next().is_some()
            }
        }
    }

    fn candidate<'t>(&self, pool: &'t Pool, endpoint: &'t Endpoint) -> Candidate<'t> {
        let (up_v4, up_v6) = match &endpoint.target {
            EndpointTarget::Addresses { v4, v6 } => (
                v4.is_some_and(|(_, slot)| self.up(slot)),
                v6.is_some_and(|(_, slot)| self.up(slot)),
            ),
            EndpointTarget::Cname { .. } => (true, true),
        };
        let weight = self.weight(endpoint);
        Candidate { pool: &pool.id, merged: false, endpoint, weight, up_v4, up_v6 }
    }
}

/// Whether `part` of `whole` is at least `share` millionths; nothing of nothing is not.
pub(super) fn reaches(part: u64, whole: u64, share: u32) -> bool {
    whole > 0 && u128::from(part) * 1_000_000 >= u128::from(whole) * u128::from(share)
}

/// The draws on the way to a node, nearest first: who else was named there.
pub(crate) struct Above<'t, 'a> {
    pub members: &'t [WeightedMember],
    pub parent: Option<&'a Above<'t, 'a>>,
}

/// How many of the draws `above` have a member called `name`.
pub(super) fn salt<'t>(tree: &Tree, mut above: Option<&Above<'t, '_>>, name: &str) -> u8 {
    let mut salt = 0;
    while let Some(draw) = above {
        salt += u8::from(draw.members.iter().any(|m| &*tree.node(m.node).name == name));
        above = draw.parent;
    }
    salt
}

impl<'t, T: Trace> Context<'t, '_, T> {
    /// A pool's up endpoints, if enough of them are. Reserves only when nobody else is up.
    pub(super) fn pool(&mut self, node: &'t Node, pool: &'t Pool, depth: u8) -> Option<Choice<'t>> {
        let view = &self.view;
        let available = view.pool_available(pool);
        if available {
            self.trace.kept(depth, &node.name, || "available".into());
        } else {
            self.trace.dropped(depth, &node.name, || match pool.min_healthy {
                _ if !pool.endpoints.iter().any(|e| view.endpoint_up(e)) => {
                    "no endpoint is up".into()
                }
                min => format!("fewer endpoints are up than min_healthy = {min} asks for"),
            });
        }
        self.trace.endpoints(depth + 1, pool, &|slot| view.up(slot));
        if !available {
            return None;
        }
        let up = pool.endpoints.iter().filter(|e| self.view.endpoint_up(e));
        Some(self.leaf(up.map(|e| self.view.candidate(pool, e)).collect(), pool.answers))
    }

    /// A pool with everything in it, dead or not.
    pub(super) fn whole(&mut self, ix: NodeIx) -> Choice<'t> {
        self.view.assume_all();
        self.evaluate(ix, None, 0).expect("with everything up every node has an answer")
    }

    pub(super) fn leaf(&self, mut candidates: Vec<Candidate<'t>>, answers: u16) -> Choice<'t> {
        if candidates.iter().any(|c| c.weight > 0) {
            candidates.retain(|c| c.weight > 0);
        } else {
            // Only reserves are up: they share equally.
            candidates.iter_mut().for_each(|c| c.weight = 1);
        }
        Choice::Leaf(Leaf { candidates, answers })
    }

    /// The first pool in this client's order, whole.
    pub(super) fn first(&mut self, ix: NodeIx) -> Choice<'t> {
        let tree = self.tree;
        let next = match &tree.node(ix).kind {
            Kind::Pool(_) => return self.whole(ix),
            Kind::Empty => return Choice::Nodata,
            Kind::Weighted(weighted) => weighted
                .members
                .iter()
                .find(|m| m.absorb && !m.weight.is_reserve())
                .or(weighted.members.iter().find(|m| m.absorb))
                .map(|m| m.node),
            Kind::Failover(failover) => failover.members.first().copied(),
            Kind::Geo(geo) => {
                let chain = tree.classes.chain(self.class, geo.dependent);
                chain.first().and_then(|&r| geo.rules[usize::from(r)].members.first().copied())
            }
            Kind::Latency(latency) => {
                let order = tree.classes.order(self.class, latency.dependent);
                order.first().map(|rank| latency.members[usize::from(rank.member)].node)
            }
            Kind::Multivalue(multivalue) => multivalue.members.first().copied(),
        };
        self.first(next.expect("compile refuses a policy without members"))
    }

    /// Every slot this class could ever be given.
    pub(super) fn reachable(&self, ix: NodeIx) -> Vec<SlotId> {
        let mut slots = Vec::new();
        reach(self.tree, self.class, ix, &mut slots);
        slots
    }

    /// Whether this class never leaves the last list of a fenced rule.
    pub(super) fn fenced(&self, ix: NodeIx) -> bool {
        match &self.tree.node(ix).kind {
            Kind::Geo(geo) => {
                let chain = self.tree.classes.chain(self.class, geo.dependent);
                chain.last().is_some_and(|&rule| geo.rules[usize::from(rule)].fence)
            }
            _ => false,
        }
    }
}

fn reach(tree: &Tree, class: Class, ix: NodeIx, slots: &mut Vec<SlotId>) {
    let mut all = |members: &[NodeIx]| members.iter().for_each(|&m| reach(tree, class, m, slots));
    match &tree.node(ix).kind {
        Kind::Empty => {}
        Kind::Pool(pool) => {
            slots.extend(pool.endpoints.iter().flat_map(|endpoint| endpoint.target.slots()));
        }
        Kind::Weighted(weighted) => weighted.members.iter().for_each(|m| all(&[m.node])),
        Kind::Latency(latency) => latency.members.iter().for_each(|m| all(&[m.node])),
        Kind::Failover(failover) => all(&failover.members),
        Kind::Multivalue(multivalue) => all(&multivalue.members),
        Kind::Geo(geo) => tree
            .classes
            .chain(class, geo.dependent)
            .iter()
            .for_each(|&rule| all(&geo.rules[usize::from(rule)].members)),
    }
}

/// Whether `ix` is available to *some* client: what a failover's state machine asks of its
/// members, since it is one for all classes.
pub fn available(tree: &Tree, ix: NodeIx, standings: &Standings) -> bool {
    let view = View::new(standings, &Directives::default());
    available_in(tree, ix, &view)
}

fn available_in(tree: &Tree, ix: NodeIx, view: &View<'_>) -> bool {
    let is = |ix: &NodeIx| available_in(tree, *ix, view);
    match &tree.node(ix).kind {
        Kind::Empty => true,
        Kind::Pool(pool) => view.pool_available(pool),
        Kind::Weighted(weighted) => super::weighted::reached(weighted, |m| is(&m.node)),
        Kind::Failover(failover) => failover.members.iter().any(is),
        Kind::Geo(geo) => geo.rules.iter().any(|rule| rule.members.iter().any(is)),
        Kind::Latency(latency) => latency.members.iter().any(|m| is(&m.node)),
        Kind::Multivalue(multi) => {
            let up = multi.members.iter().filter(|m| is(m)).count();
            super::multivalue::reached(multi, up)
        }
    }
}

impl std::fmt::Display for MinHealthy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MinHealthy::Count(count) => write!(f, "{{ count = {count} }}"),
            MinHealthy::Share(share) => write!(f, "{}", f64::from(*share) / 1e6),
        }
    }
}
