//! What "available" means: endpoints, pools, and what is assumed when nothing is.
//!
//! An endpoint is up when one of its addresses is; a pool when enough of its weight is
//! (DESIGN §5, Availability). The [`View`] lets the last resort look at the same tree as if
//! some addresses were up, so that failing open runs the same code as every other day.

use super::{
    Context,
    choice::Choice,
    directives::{Directives, Found, RampKind},
    leaf::{Candidate, Leaf},
    trace::Trace,
    tree::{Endpoint, EndpointTarget, Kind, MinHealthy, Node, NodeIx, Pool, Tree},
};
use crate::{
    ids::SlotId,
    units::Share,
    verdict::{Standing, Standings},
};

/// Most thresholds at which ramps part the clients of one tree; more are merged upwards, so that
/// a region that comes back endpoint by endpoint does not multiply a tree without bound.
const THRESHOLDS_MAX: usize = 16;

/// What comes back counts for somebody from the start, or it would never be tried.
const RISING_MIN: Share = Share::from_millionths(1);

/// How addresses look to one evaluation.
#[derive(Clone, Copy)]
pub(crate) struct View<'v> {
    standings: &'v Standings,
    pub directives: Directives<'v>,
    pub ignore_min_healthy: bool,
    pub assumed: Assumed,
    /// A name for which nothing was found yet counts as if it had addresses.
    pub unfound_counts: bool,
    /// A failover keeps what is looked at although it is not available.
    pub kept: bool,
    /// The clients looked at are those whose number is this or above: what ramps takes part if
    /// its share is larger.
    pub from: Share,
    /// Whether a failover stands above: then slots that come back count in full.
    pub below_failover: bool,
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
            unfound_counts: false,
            kept: false,
            from: Share::NONE,
            below_failover: false,
        }
    }

    /// Where ramps part the clients, from the lowest: below each threshold something takes part
    /// that does not above it.
    pub(super) fn thresholds(&self) -> Vec<Share> {
        let ramps = self.directives.ramps.iter();
        let mut shares: Vec<Share> = ramps.map(|ramp| counted(ramp.kind, ramp.share)).collect();
        shares.retain(|&share| share > Share::NONE && share < Share::ONE);
        shares.sort_unstable();
        shares.dedup();
        let merged = shares.len().div_ceil(THRESHOLDS_MAX).max(1);
        shares.chunks(merged).filter_map(|group| group.last().copied()).collect()
    }

    /// Whether `slot` may be answered, as verdicts and ramps say.
    fn takes_part(&self, slot: SlotId) -> bool {
        let standing = self.standings.of(slot).standing;
        let Some(ramp) = self.directives.ramp(slot) else { return standing.is_up() };
        let is_in = counted(ramp.kind, ramp.share) > self.from;
        match ramp.kind {
            RampKind::Rising => standing.is_up() && (is_in || self.below_failover),
            // Drained, but it works; down is down.
            RampKind::Leaving => standing.is_up() || (standing == Standing::Drained && is_in),
        }
    }

    fn up(&self, slot: SlotId) -> bool {
        self.takes_part(slot)
            || match self.assumed {
                Assumed::None => false,
                Assumed::FellSince(change) => self.directives.fell(slot) >= change,
                Assumed::All => true,
            }
    }

    fn endpoint_up(&self, endpoint: &Endpoint) -> bool {
        endpoint.target.slots().any(|slot| self.up(slot)) && self.has_addresses(endpoint)
    }

    /// Whether there is anything to answer. A name for which nothing was found yet is no use to
    /// anybody while there is another way, dead or alive.
    fn has_addresses(&self, endpoint: &Endpoint) -> bool {
        match endpoint.target {
            EndpointTarget::Flattened { slot } => {
                self.unfound_counts || self.directives.found(slot).is_some()
            }
            EndpointTarget::Addresses { .. } | EndpointTarget::Cname { .. } => true,
        }
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
        let found = match endpoint.target {
            EndpointTarget::Flattened { slot } => self.directives.found(slot).cloned(),
            EndpointTarget::Addresses { .. } | EndpointTarget::Cname { .. } => None,
        };
        let (up_v4, up_v6) = match &endpoint.target {
            EndpointTarget::Addresses { v4, v6 } => {
                (up(v4.map(|(_, slot)| slot)), up(v6.map(|(_, slot)| slot)))
            }
            EndpointTarget::Cname { slot, .. } => (self.up(*slot), self.up(*slot)),
            EndpointTarget::Flattened { slot } => {
                let has = |has: fn(&Found) -> bool| found.as_deref().is_some_and(has);
                let v4 = has(|found| !found.v4().is_empty());
                let v6 = has(|found| !found.v6().is_empty());
                (v4 && self.up(*slot), v6 && self.up(*slot))
            }
        };
        let weight = self.weight(endpoint);
        Candidate { pool, merged: false, endpoint, found, weight, up_v4, up_v6 }
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
            Choice::Leaf(Leaf { candidates, answers: pool.answers, kept: view.kept })
        })
    }

    /// Whether `ix` is available to this class, without a word about it.
    pub(super) fn is_available(&self, ix: NodeIx) -> bool {
        let mut silent = Context { tree: self.tree, class: self.class, view: self.view, trace: () };
        silent.evaluate(ix, None, 0).is_some()
    }
}

/// The share of a ramp as it is compared.
fn counted(kind: RampKind, share: Share) -> Share {
    match kind {
        RampKind::Rising => share.max(RISING_MIN),
        RampKind::Leaving => share,
    }
}

/// Whether the member `ix` of a failover is available to *some* client. A failover below it is
/// available as long as one of its members is, wherever it stands: while it waits it answers.
pub fn available(
    tree: &Tree,
    ix: NodeIx,
    standings: &Standings,
    directives: &Directives<'_>,
) -> bool {
    let view = View { below_failover: true, ..View::new(standings, directives) };
    available_in(tree, ix, &view)
}

/// The same, whatever was found for names: what a failover's state machine asks, which is one for
/// all classes. A lookup in vain says nothing of who works, and is no reason to leave anybody.
pub fn works(tree: &Tree, ix: NodeIx, standings: &Standings, directives: &Directives<'_>) -> bool {
    let view = View::new(standings, directives);
    available_in(tree, ix, &View { below_failover: true, unfound_counts: true, ..view })
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
            weighted.is_given_away(|ix| is(&ix))
                || view.reached(weighted.min_healthy, up.into_iter())
        }
        Kind::Failover(it) => it.members.iter().any(is),
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
