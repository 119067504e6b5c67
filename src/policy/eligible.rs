//! What "available" means: endpoints, pools, and what is assumed when nothing is.
//!
//! An endpoint is up when one of its addresses is; a pool when enough of its weight is
//! (DESIGN §5, Availability). The [`View`] lets the last resort look at the same tree as if
//! some addresses were up, so that failing open runs the same code as every other day.

use super::{
    Context,
    choice::Choice,
    leaf::{Candidate, Leaf},
    trace::Trace,
    tree::{Endpoint, EndpointTarget, Kind, MinHealthy, Node, NodeIx, Pool, Tree},
};
use crate::{
    ids::{FailoverId, SlotId},
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
    pub(super) fn fell(&self, slot: SlotId) -> u64 {
        self.fell.get(slot.index()).copied().unwrap_or(0)
    }
}

/// How addresses look to one evaluation.
#[derive(Clone, Copy)]
pub(crate) struct View<'v> {
    standings: &'v Standings,
    pub directives: Directives<'v>,
    pub ignore_min_healthy: bool,
    pub assumed: Assumed,
}

/// Which dead addresses count as up in the last resort.
#[derive(Clone, Copy)]
pub(crate) enum Assumed {
    None,
    /// Those that fell in this change or after it: what was up just before it.
    FellSince(u64),
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

    fn up(&self, slot: SlotId) -> bool {
        self.standings.of(slot).standing.is_up()
            || match self.assumed {
                Assumed::None => false,
                Assumed::FellSince(change) => self.directives.fell(slot) >= change,
                Assumed::All => true,
            }
    }

    fn endpoint_up(&self, endpoint: &Endpoint) -> bool {
        endpoint.target.slots().any(|slot| self.up(slot))
    }

    /// Twice the weight, once when every up address of it is degraded.
    fn weight(&self, endpoint: &Endpoint) -> u64 {
        let mut up = endpoint.target.slots().filter(|&slot| self.up(slot)).peekable();
        let is_degraded = up.peek().is_some()
            && up.all(|slot| self.standings.of(slot).standing == Standing::Degraded);
        u64::from(endpoint.weight.get()) * if is_degraded { 1 } else { 2 }
    }

    fn pool_available(&self, pool: &Pool) -> bool {
        self.reached(
            pool.min_healthy,
            pool.endpoints.iter().map(|e| (u64::from(e.weight.get()), self.endpoint_up(e))),
        )
    }

    /// Whether enough of `members`, each a weight and whether it is available, are.
    pub(super) fn reached(
        &self,
        min_healthy: MinHealthy,
        members: impl Iterator<Item = (u64, bool)> + Clone,
    ) -> bool {
        let up = || members.clone().filter(|(_, is_up)| *is_up);
        let asked = if self.ignore_min_healthy { MinHealthy::Count(1) } else { min_healthy };
        match asked {
            MinHealthy::Count(count) => up().count() >= usize::from(count).max(1),
            MinHealthy::Share(share) => {
                let whole: u64 = members.clone().map(|(weight, _)| weight).sum();
                // Where all are reserves they share equally.
                let weigh = |(weight, _): (u64, bool)| if whole == 0 { 1 } else { weight };
                let whole: u64 = members.clone().map(weigh).sum();
                let part: u64 = up().map(weigh).sum();
                up().next().is_some()
                    && u128::from(part) * 1_000_000 >= u128::from(whole) * u128::from(share)
            }
        }
    }

    fn candidate<'t>(&self, pool: &'t Pool, endpoint: &'t Endpoint) -> Candidate<'t> {
        let up = |slot: Option<SlotId>| slot.is_some_and(|slot| self.up(slot));
        let (up_v4, up_v6) = match &endpoint.target {
            EndpointTarget::Addresses { v4, v6 } => {
                (up(v4.map(|(_, slot)| slot)), up(v6.map(|(_, slot)| slot)))
            }
            EndpointTarget::Cname { slot, .. } => (self.up(*slot), self.up(*slot)),
        };
        let weight = self.weight(endpoint);
        Candidate { pool: &pool.id, merged: false, endpoint, weight, up_v4, up_v6 }
    }
}

impl<'t, T: Trace> Context<'t, '_, T> {
    /// A pool's endpoints, if enough of them are up.
    pub(super) fn pool(&mut self, node: &'t Node, pool: &'t Pool, depth: u8) -> Option<Choice<'t>> {
        let view = &self.view;
        let is_available = view.pool_available(pool);
        if is_available {
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
        is_available.then(|| {
            let candidates = pool.endpoints.iter().map(|e| view.candidate(pool, e)).collect();
            Choice::Leaf(Leaf { candidates, answers: pool.answers })
        })
    }
}

/// Whether `ix` is available to *some* client: what a failover's state machine asks of its
/// members, since it is one for all classes.
pub fn available(tree: &Tree, ix: NodeIx, standings: &Standings) -> bool {
    available_in(tree, ix, &View::new(standings, &Directives::default()))
}

fn available_in(tree: &Tree, ix: NodeIx, view: &View<'_>) -> bool {
    let is = |ix: &NodeIx| available_in(tree, *ix, view);
    match &tree.node(ix).kind {
        // `use = []` is an answer for some network and says nothing of what the others need.
        Kind::Empty => false,
        Kind::Pool(pool) => view.pool_available(pool),
        Kind::Weighted(weighted) => {
            let absorbing = weighted.members.iter().filter(|m| m.absorb);
            let up: Vec<_> = absorbing.map(|m| (u64::from(m.weight.get()), is(&m.node))).collect();
            view.reached(weighted.min_healthy, up.into_iter())
        }
        Kind::Failover(failover) => failover.members.iter().any(is),
        Kind::Geo(geo) => geo.rules.iter().any(|rule| rule.members.iter().any(is)),
        Kind::Latency(latency) => latency.members.iter().any(|m| is(&m.node)),
        Kind::Multivalue(multivalue) => {
            let up: Vec<_> = multivalue.members.iter().map(|m| (1, is(m))).collect();
            view.reached(multivalue.min_healthy, up.into_iter())
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
