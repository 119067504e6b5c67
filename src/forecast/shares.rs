//! Which share of a record's clients gets which pool of which region, exactly: what `select()`
//! decides for each class, by the same call that made the packet path's answers.

use super::{Pair, clients::Crowd};
use crate::{
    ids::{Class, PlanId},
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
    pub region: Option<&'t str>,
    /// The id of its pool; empty for an empty answer.
    pub pool: &'t str,
}

/// An empty answer.
const NOWHERE: Spot<'static> = Spot { region: None, pool: "" };

/// What one class of clients gets.
#[derive(Clone, Debug)]
pub struct Given<'w> {
    /// The share of each place; these sum to one.
    pub spots: BTreeMap<Spot<'w>, f64>,
    /// On which grounds.
    pub basis: Basis,
    /// The share that is given what is known not to be available.
    pub dead: f64,
    /// The share of A queries that get an empty answer, of a record that has IPv4 addresses.
    pub no_v4: f64,
    /// The same of AAAA queries and IPv6.
    pub no_v6: f64,
}

impl Given<'_> {
    /// The share that gets an empty answer whatever it asks for.
    pub fn empty(&self) -> f64 {
        self.spots.get(&NOWHERE).copied().unwrap_or(0.0)
    }
}

/// What clients of `class` get of `plan` in `at`.
pub fn given<'w>(plan: &'w Plan, class: Class, at: &'w Standpoint) -> Given<'w> {
    let moved = at.state.moved();
    let decision = select(&plan.tree, class, moved.standings, &moved.directives, ());
    let is_down = matches!(decision.basis, Basis::AllDown(_));
    let mut given =
        Given { spots: BTreeMap::new(), basis: decision.basis, dead: 0.0, no_v4: 0.0, no_v6: 0.0 };
    decision.choice.leaves(&mut |share, leaf| {
        let Some(leaf) = leaf else {
            *given.spots.entry(NOWHERE).or_default() += share;
            given.no_v4 += if plan.has_v4 { share } else { 0.0 };
            given.no_v6 += if plan.has_v6 { share } else { 0.0 };
            return;
        };
        lead(leaf, share, at, &mut given.spots);
        let none = |wanted| leaf.answers_to(wanted).is_empty();
        given.no_v4 += if plan.has_v4 && none(Wanted::A) { share } else { 0.0 };
        given.no_v6 += if plan.has_v6 && none(Wanted::Aaaa) { share } else { 0.0 };
        given.dead += if is_down || leaf.kept { share } else { 0.0 };
    });
    given
}

/// Adds `share`, divided over those who lead the answers of `leaf`. Asked for A where it has any:
/// families agree on the pool.
fn lead<'w>(leaf: &Leaf<'w>, share: f64, at: &'w Standpoint, shares: &mut BTreeMap<Spot<'w>, f64>) {
    let asked = [Wanted::A, Wanted::Aaaa, Wanted::Other];
    let answers = asked.into_iter().map(|wanted| leaf.answers_to(wanted));
    let Some(answers) = answers.into_iter().find(|answers| !answers.is_empty()) else {
        *shares.entry(NOWHERE).or_default() += share;
        return;
    };
    let whole: u64 = answers.iter().map(|answer| answer.weight).sum();
    for answer in &answers {
        let leader = answer.endpoints[0];
        let region = leader.endpoint.region.map(|id| at.snapshot.region_name(id));
        let spot = Spot { region, pool: &leader.pool.id };
        *shares.entry(spot).or_default() += share * answer.weight as f64 / whole as f64;
    }
}

/// The share of all of a record's clients that each pool gets, of a crowd whose classes are those
/// of `plan` on the side `at` (before, after).
pub fn of_pools<'w>(
    plan: &'w Plan,
    at: &'w Standpoint,
    crowd: &Crowd,
    side: usize,
) -> BTreeMap<&'w str, f64> {
    let mut weights: BTreeMap<Class, f64> = BTreeMap::new();
    for cell in &crowd.cells {
        *weights.entry(cell.classes[side]).or_default() += cell.share;
    }
    let mut pools: BTreeMap<&str, f64> = BTreeMap::new();
    for (class, weight) in weights {
        for (spot, share) in given(plan, class, at).spots {
            *pools.entry(spot.pool).or_default() += weight * share;
        }
    }
    pools
}

/// The regions that answer a plan: those that some class gets with a share of at least
/// [`ACTIVE_SHARE`] because they are up, and those of every failover's available members, which
/// stand ready to. Endpoints without region count as one region together.
pub fn active_regions<'w>(plan: &'w Plan, at: &'w Standpoint) -> BTreeSet<Option<&'w str>> {
    let mut regions = BTreeSet::new();
    let moved = at.state.moved();
    for class in (0..plan.tree.classes.classes()).map(Class::at) {
        let decision = select(&plan.tree, class, moved.standings, &moved.directives, ());
        if matches!(decision.basis, Basis::AllDown(_)) {
            continue;
        }
        let mut spots: BTreeMap<Spot<'w>, f64> = BTreeMap::new();
        decision.choice.leaves(&mut |share, leaf| {
            // What a failover keeps although it is down answers nobody well.
            if let Some(leaf) = leaf.filter(|leaf| !leaf.kept) {
                lead(leaf, share, at, &mut spots);
            }
        });
        let answered =
            spots.into_iter().filter(|(spot, share)| *share >= ACTIVE_SHARE && *spot != NOWHERE);
        regions.extend(answered.map(|(spot, _)| spot.region));
    }
    let standings = moved.standings;
    let is_available = |member| available(&plan.tree, member, standings, &moved.directives);
    for node in &plan.tree.nodes {
        let Kind::Failover(failover) = &node.kind else { continue };
        for &member in failover.members.iter().filter(|member| is_available(**member)) {
            // Inside a member what answers first is enough: it is up if anything there is.
            let up = pools_below(&plan.tree, member).into_iter().flat_map(|pool| &pool.endpoints);
            let up = up.filter(|e| e.target.slots().any(|s| standings.of(s).standing.is_up()));
            regions
                .extend(up.map(|endpoint| endpoint.region.map(|id| at.snapshot.region_name(id))));
        }
    }
    regions
}

/// How many of `records` answer by their last resort afterwards, for some client, and did not
/// before.
pub fn newly_down(before: &Standpoint, after: &Standpoint, records: &[Pair]) -> usize {
    let is_down = |plan: PlanId, at: &Standpoint| {
        let plan = at.snapshot.plan(plan);
        let mut classes = (0..plan.tree.classes.classes()).map(Class::at);
        classes.any(|class| given(plan, class, at).basis.is_last_resort())
    };
    let mut known: HashMap<(PlanId, PlanId), bool> = HashMap::new();
    let mut of = |pair: &&Pair| {
        let plans =
            (before.snapshot.record(pair.before).plan, after.snapshot.record(pair.after).plan);
        *known.entry(plans).or_insert_with(|| is_down(plans.1, after) && !is_down(plans.0, before))
    };
    records.iter().filter(|pair| of(pair)).count()
}

/// Every pool below `from`, each once.
pub fn pools_below(tree: &Tree, from: NodeIx) -> Vec<&Pool> {
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
