//! Which share of a record's clients gets which pool of which region, exactly: what `select()`
//! decides for each class, by the same call that made the packet path's answers.

use crate::{
    ids::{Class, PlanId, RecordId, RegionId},
    place::SpaceCell,
    policy::{
        Basis, Leaf, Wanted, available, select,
        tree::{Kind, NodeIx, Pool, Tree},
    },
    snapshot::{Plan, Snapshot},
    world::{State, World},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// What answers follow from at one moment: of a World, or of one that is only thought of.
#[derive(Clone, Debug)]
pub struct Standpoint {
    /// What files say, and operators of weights.
    pub snapshot: Arc<Snapshot>,
    /// What probes, machines and operators say.
    pub state: Arc<State>,
}

impl From<&World> for Standpoint {
    fn from(world: &World) -> Standpoint {
        Standpoint { snapshot: Arc::clone(&world.snapshot), state: Arc::clone(&world.state) }
    }
}

/// A region answers a record if some class of clients gets it at least so often.
pub const ACTIVE_SHARE: f64 = 0.01;

/// Where clients are sent: a region, where it is known, and a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot<'t> {
    /// The region of the endpoint that leads the answer.
    pub region: Option<RegionId>,
    /// The id of its pool; empty for an empty answer.
    pub pool: &'t str,
}

/// What clients of `class` get of `plan` in `at`, and on which grounds.
pub fn of_class<'w>(
    plan: &'w Plan,
    class: Class,
    at: &Standpoint,
) -> (BTreeMap<Spot<'w>, f64>, Basis) {
    of_leaves(plan, class, at, |_| true)
}

/// The same of those leaves alone that `count`.
fn of_leaves<'w>(
    plan: &'w Plan,
    class: Class,
    at: &Standpoint,
    count: impl Fn(&Leaf<'w>) -> bool,
) -> (BTreeMap<Spot<'w>, f64>, Basis) {
    let moved = at.state.moved();
    let decision = select(&plan.tree, class, moved.standings, &moved.directives, ());
    let mut shares: BTreeMap<Spot<'w>, f64> = BTreeMap::new();
    decision.choice.leaves(&mut |share, leaf| match leaf {
        None => *shares.entry(NOWHERE).or_default() += share,
        Some(leaf) if count(leaf) => lead(leaf, share, &mut shares),
        Some(_) => {}
    });
    (shares, decision.basis)
}

/// An empty answer.
const NOWHERE: Spot<'static> = Spot { region: None, pool: "" };

/// Adds `share`, divided over those who lead the answers of `leaf`. Asked for A where it has any:
/// families agree on the pool.
fn lead<'w>(leaf: &Leaf<'w>, share: f64, shares: &mut BTreeMap<Spot<'w>, f64>) {
    let asked = [Wanted::A, Wanted::Aaaa, Wanted::Other];
    let answers = asked.into_iter().map(|wanted| leaf.answers_to(wanted));
    let Some(answers) = answers.into_iter().find(|answers| !answers.is_empty()) else {
        *shares.entry(NOWHERE).or_default() += share;
        return;
    };
    let whole: u64 = answers.iter().map(|answer| answer.weight).sum();
    for answer in &answers {
        let leader = answer.endpoints[0];
        let spot = Spot { region: leader.endpoint.region, pool: &leader.pool.id };
        *shares.entry(spot).or_default() += share * answer.weight as f64 / whole as f64;
    }
}

/// The share of all of a record's clients that each pool gets, its classes weighed by `cells`.
pub fn of_pools<'w>(
    plan: &'w Plan,
    at: &Standpoint,
    cells: &[SpaceCell],
) -> BTreeMap<&'w str, f64> {
    let mut weights: BTreeMap<Class, f64> = BTreeMap::new();
    for (class, _, weight) in super::clients::weights(cells) {
        *weights.entry(class).or_default() += weight;
    }
    let mut pools: BTreeMap<&str, f64> = BTreeMap::new();
    for (class, weight) in weights {
        for (spot, share) in of_class(plan, class, at).0 {
            *pools.entry(spot.pool).or_default() += weight * share;
        }
    }
    pools
}

/// The regions that answer a plan: those that some class gets with a share of at least
/// [`ACTIVE_SHARE`] because they are up, and those of every failover's available members, which
/// stand ready to. Endpoints without region count as one region together.
pub fn active_regions(plan: &Plan, at: &Standpoint) -> BTreeSet<Option<RegionId>> {
    let mut regions = BTreeSet::new();
    for class in (0..plan.tree.classes.classes()).map(Class::at) {
        // What a failover keeps although it is down answers nobody well.
        let (shares, basis) = of_leaves(plan, class, at, |leaf| !leaf.kept);
        if matches!(basis, Basis::AllDown(_)) {
            continue;
        }
        let answered = shares
            .into_iter()
            .filter(|(spot, share)| *share >= ACTIVE_SHARE && !spot.pool.is_empty());
        regions.extend(answered.map(|(spot, _)| spot.region));
    }
    let moved = at.state.moved();
    let standings = moved.standings;
    let is_available = |member| available(&plan.tree, member, standings, &moved.directives);
    for node in &plan.tree.nodes {
        let Kind::Failover(failover) = &node.kind else { continue };
        for &member in failover.members.iter().filter(|member| is_available(**member)) {
            // Inside a member what answers first is enough: it is up if anything there is.
            let up = pools_below(&plan.tree, member).into_iter().flat_map(|pool| &pool.endpoints);
            let up = up.filter(|e| e.target.slots().any(|s| standings.of(s).standing.is_up()));
            regions.extend(up.map(|endpoint| endpoint.region));
        }
    }
    regions
}

/// How many of `records` answer by their last resort afterwards, for some client, and did not
/// before.
pub fn newly_down(before: &Standpoint, after: &Standpoint, records: &[RecordId]) -> usize {
    let is_down = |plan: PlanId, at: &Standpoint| {
        let plan = at.snapshot.plan(plan);
        let mut classes = (0..plan.tree.classes.classes()).map(Class::at);
        classes.any(|class| of_class(plan, class, at).1.is_last_resort())
    };
    let mut known: HashMap<(PlanId, PlanId), bool> = HashMap::new();
    let mut of = |id: &&RecordId| {
        let plans = (before.snapshot.record(**id).plan, after.snapshot.record(**id).plan);
        *known.entry(plans).or_insert_with(|| is_down(plans.1, after) && !is_down(plans.0, before))
    };
    records.iter().filter(|id| of(id)).count()
}

/// Every pool below `from`, each once.
pub(crate) fn pools_below(tree: &Tree, from: NodeIx) -> Vec<&Pool> {
    let (mut open, mut seen, mut pools) = (vec![from], BTreeSet::new(), Vec::new());
    while let Some(ix) = open.pop() {
        if !seen.insert(ix) {
            continue;
        }
        match &tree.node(ix).kind {
            Kind::Pool(pool) => pools.push(pool),
            Kind::Weighted(it) => open.extend(it.members.iter().map(|m| m.node)),
            Kind::Latency(it) => open.extend(it.members.iter().map(|m| m.node)),
            Kind::Failover(it) => open.extend(&it.members),
            Kind::Multivalue(it) => open.extend(&it.members),
            Kind::Geo(it) => open.extend(it.rules.iter().flat_map(|rule| &rule.members)),
            Kind::Empty => {}
        }
    }
    pools
}
