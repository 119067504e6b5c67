//! A Snapshot with other weights: what an operator's `weight` does to compiled trees.
//!
//! The tree of a plan is changed where all of its records get the change, and a copy of the plan
//! is added for those that alone do (equal records share a plan). Slots, failovers, maps and
//! records keep their ids, plans keep theirs and new ones come after them.

use super::{Target, target::Kind as TargetKind};
use crate::{
    ids::{PlanId, RecordId, SlotId},
    policy::tree::{Endpoint, Kind, Multivalue, NodeIx, Pool, Tree, WeightedMember},
    snapshot::{Plan, Snapshot},
    units::{Share, Weight},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// One weight that is another than in the files.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightChange {
    /// Whose.
    pub place: WeightPlace,
    /// What it is.
    pub weight: Weight,
    /// The override that says so.
    pub by: u64,
}

/// Where a weight stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightPlace {
    /// Inside pools: of the endpoints these slots belong to, in every tree.
    Endpoints(Vec<SlotId>),
    /// Inside a weighted or latency policy.
    Member {
        /// The policy, at every record that gets the change.
        at: Vec<(RecordId, NodeIx)>,
        /// The member's name.
        member: Arc<str>,
    },
}

/// Why a weight is refused: what compile would refuse in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightError {
    /// Nothing there has weights.
    #[error("`{target}` has no members with weights: it is {what}")]
    NotWeighted {
        /// As typed.
        target: String,
        /// What it is instead.
        what: &'static str,
    },
    /// It has no such member.
    #[error("`{target}` has no member `{member}`; its members are {}", members.join(", "))]
    NoMember {
        /// As typed.
        target: String,
        /// As typed.
        member: Arc<str>,
        /// The members it has.
        members: Vec<String>,
    },
    /// It cannot be given a share of all clients.
    #[error("`{member}` of `{target}` cannot be given a share: {reason}")]
    NoShare {
        /// As typed.
        target: String,
        /// The member.
        member: Arc<str>,
        /// Why.
        reason: &'static str,
    },
    /// Pools that give several answers cannot divide by weight.
    #[error(
        "the weights in pool `{pool}` cannot hold with {answers} of {of} endpoints in an answer"
    )]
    Answers {
        /// The pool.
        pool: Arc<str>,
        /// Endpoints an answer carries.
        answers: u16,
        /// Endpoints it has.
        of: usize,
    },
}

/// Where the weight of `member` (of endpoints, without one) of `target` stands; nowhere if it has
/// none.
pub fn place(
    target: &Target,
    member: Option<&Arc<str>>,
    snapshot: &Snapshot,
) -> Option<WeightPlace> {
    match member {
        None => {
            let slots = target.slots(snapshot);
            (!slots.is_empty()).then_some(WeightPlace::Endpoints(slots))
        }
        Some(member) => {
            let mut at = target.nodes(snapshot);
            at.retain(|&(record, node)| {
                let tree = &snapshot.plan(snapshot.record(record).plan).tree;
                members(tree, node).is_some_and(|all| find(tree, all, member).is_some())
            });
            let member = Arc::clone(member);
            (!at.is_empty()).then_some(WeightPlace::Member { at, member })
        }
    }
}

/// Whether `weight` may be given there.
///
/// # Errors
/// When there is no such member, or compile would refuse a file that says so.
pub fn check(
    target: &Target,
    member: Option<&Arc<str>>,
    weight: Weight,
    snapshot: &Snapshot,
) -> Result<(), WeightError> {
    let Some(member) = member else {
        return match target.kind() {
            TargetKind::Endpoint => check_endpoints(target, weight, snapshot),
            _ => Err(WeightError::NotWeighted {
                target: target.to_string(),
                what: "not an endpoint; name the member: weight TARGET MEMBER=WEIGHT",
            }),
        };
    };
    let nodes = target.nodes(snapshot);
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut what = "no record or policy";
    let mut found = false;
    for (record, node) in nodes {
        let tree = &snapshot.plan(snapshot.record(record).plan).tree;
        let Some(all) = members(tree, node) else {
            what = tree.node(node).kind.word();
            continue;
        };
        known.extend(all.iter().map(|m| tree.node(m.node).name.to_string()));
        found |= find(tree, all, member).is_some();
    }
    let target = target.to_string();
    match (found, known.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => Err(WeightError::NotWeighted { target, what }),
        (false, false) => {
            let members = known.into_iter().collect();
            Err(WeightError::NoMember { target, member: Arc::clone(member), members })
        }
    }
}

/// Whether `member` may be given a share of all clients there.
///
/// # Errors
/// When there is no such member, or nobody beside it to divide the rest.
pub fn check_share(
    target: &Target,
    member: &Arc<str>,
    snapshot: &Snapshot,
) -> Result<(), WeightError> {
    check(target, Some(member), Weight::ONE, snapshot)?;
    for (record, node) in target.nodes(snapshot) {
        let tree = &snapshot.plan(snapshot.record(record).plan).tree;
        let Some(all) = members(tree, node) else { continue };
        let alone = |reason| {
            let (target, member) = (target.to_string(), Arc::clone(member));
            Err(WeightError::NoShare { target, member, reason })
        };
        let mut others = all.iter().filter(|one| *tree.node(one.node).name != **member);
        if !matches!(tree.node(node).kind, Kind::Weighted(_)) {
            return alone("only the members of a weighted policy have a share of all clients");
        }
        if others.clone().any(|other| !other.absorb) {
            return alone("another member has an exact share");
        }
        if !others.any(|other| !other.weight.is_reserve()) {
            return alone("no other member has a weight");
        }
    }
    Ok(())
}

/// The share that the weights of `member` of a weighted `node` come to, as configured; nothing if
/// there is no such member.
pub fn share_of(tree: &Tree, node: NodeIx, member: &str) -> Option<f64> {
    let all = members(tree, node)?;
    let own = all[find(tree, all, member)?].weight.get();
    let sum: u64 = all.iter().map(|one| u64::from(one.weight.get())).sum();
    Some(if sum == 0 { 0.0 } else { f64::from(own) / sum as f64 })
}

/// The weights of all members of a policy that give `member` exactly `share` and divide the rest
/// as the files do, at every record of `target` that has such a member.
pub fn divided(
    target: &Target,
    member: &Arc<str>,
    share: Share,
    snapshot: &Snapshot,
) -> Vec<(WeightPlace, Weight)> {
    type Members = Vec<(Arc<str>, Weight)>;
    let mut alike: BTreeMap<Members, Vec<(RecordId, NodeIx)>> = BTreeMap::new();
    for (record, node) in target.nodes(snapshot) {
        let tree = &snapshot.plan(snapshot.record(record).plan).tree;
        let Some(all) = members(tree, node) else { continue };
        if find(tree, all, member).is_none() {
            continue;
        }
        let key = all.iter().map(|one| (Arc::clone(&tree.node(one.node).name), one.weight));
        alike.entry(key.collect()).or_default().push((record, node));
    }
    let mut found = Vec::new();
    for (all, at) in alike {
        let own = all.iter().position(|(name, _)| name == member).unwrap_or_default();
        let weights: Vec<Weight> = all.iter().map(|(_, weight)| *weight).collect();
        let weights = with_share(&weights, own, share);
        let place = |member| WeightPlace::Member { at: at.clone(), member };
        found.extend(all.into_iter().zip(weights).map(|((name, _), weight)| (place(name), weight)));
    }
    found
}

/// `weights`, the one at `own` changed so that it is exactly `share` of their sum. The others keep
/// their ratios, so that no sticky client moves between them; with all of it they are reserves.
pub(crate) fn with_share(weights: &[Weight], own: usize, share: Share) -> Vec<Weight> {
    let (part, rest) = (share.as_millionths(), share.rest().as_millionths());
    let others = || weights.iter().enumerate().filter(|(at, _)| *at != own).map(|(_, w)| w.get());
    let common = others().fold(0, |common, weight| gcd(common, u64::from(weight))).max(1);
    let sum: u64 = others().map(u64::from).sum::<u64>() / common;
    // own / (own + times × sum) = share, in the smallest whole numbers.
    let (own_weight, times) = match (part, rest) {
        (_, 0) => (1, 0),
        (0, _) => (0, common),
        _ => {
            let (part, rest) = (u64::from(part), u64::from(rest));
            let times = rest / gcd(sum * part, rest);
            (times * sum * part / rest, times)
        }
    };
    let weights = weights.iter().enumerate().map(|(at, weight)| match at == own {
        true => own_weight,
        false => u64::from(weight.get()) / common * times,
    });
    let weights: Vec<u64> = weights.collect();
    // Only odd numbers above ten thousand come to more; then to one in a million.
    let largest = weights.iter().copied().max().unwrap_or_default();
    let max = u64::from(Weight::MAX);
    let scaled = weights.into_iter().map(|weight| match (weight, largest > max) {
        (0, _) | (_, false) => weight,
        _ => ((u128::from(weight) * u128::from(max) / u128::from(largest)) as u64).max(1),
    });
    scaled.map(|weight| Weight::new(weight as u32).unwrap_or(Weight::ONE)).collect()
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Pools (merged ones too) that give several answers, but not all, need equal weights.
fn check_endpoints(
    target: &Target,
    weight: Weight,
    snapshot: &Snapshot,
) -> Result<(), WeightError> {
    let slots: BTreeSet<SlotId> = target.slots(snapshot).into_iter().collect();
    let plans: BTreeSet<PlanId> =
        slots.iter().flat_map(|slot| &snapshot.plans_of_slot[slot.index()]).copied().collect();
    for plan in plans {
        let tree = &snapshot.plan(plan).tree;
        for node in &tree.nodes {
            let (pool, endpoints, answers) = match &node.kind {
                Kind::Pool(pool) => (&pool.id, pool.endpoints.iter().collect(), pool.answers),
                Kind::Multivalue(it) => (&node.name, merged(tree, it), it.answers),
                _ => continue,
            };
            let endpoints: Vec<&Endpoint> = endpoints;
            let now = |e: &&Endpoint| if is_of(e, &slots) { weight } else { e.weight };
            let weights: BTreeSet<Weight> = endpoints.iter().map(now).collect();
            if answers > 1 && weights.len() > 1 && usize::from(answers) < endpoints.len() {
                let of = endpoints.len();
                return Err(WeightError::Answers { pool: Arc::clone(pool), answers, of });
            }
        }
    }
    Ok(())
}

/// The endpoints below a multivalue policy.
fn merged<'t>(tree: &'t Tree, multivalue: &Multivalue) -> Vec<&'t Endpoint> {
    let mut open: Vec<NodeIx> = multivalue.members.to_vec();
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    while let Some(ix) = open.pop().filter(|ix| seen.insert(*ix)) {
        match &tree.node(ix).kind {
            Kind::Pool(pool) => found.extend(&pool.endpoints),
            Kind::Weighted(it) => open.extend(it.members.iter().map(|m| m.node)),
            Kind::Latency(it) => open.extend(it.members.iter().map(|m| m.node)),
            Kind::Failover(it) => open.extend(&it.members),
            Kind::Multivalue(it) => open.extend(&it.members),
            Kind::Geo(it) => open.extend(it.rules.iter().flat_map(|rule| &rule.members)),
            Kind::Empty => {}
        }
    }
    found
}

/// `base` with `changes`, later ones over earlier; the same where there are none.
pub fn patched(base: &Arc<Snapshot>, changes: &[WeightChange]) -> Arc<Snapshot> {
    if changes.is_empty() {
        return Arc::clone(base);
    }
    let mut patch = Patch::new(base, changes);
    let plans: BTreeSet<PlanId> = patch.groups.keys().map(|(plan, _)| *plan).collect();
    for plan in plans {
        patch.plan(plan);
    }
    Arc::new(patch.finish())
}

/// The changes that concern a record, by their places in the list.
type Concerning = Vec<(usize, NodeIx)>;

struct Patch<'a> {
    changes: &'a [WeightChange],
    snapshot: Snapshot,
    plans: Vec<Plan>,
    /// For each plan that is concerned, its records by what concerns them.
    groups: BTreeMap<(PlanId, Concerning), Vec<RecordId>>,
}

impl<'a> Patch<'a> {
    fn new(base: &Snapshot, changes: &'a [WeightChange]) -> Patch<'a> {
        let mut concerned: HashMap<RecordId, Concerning> = HashMap::new();
        let mut plans: BTreeSet<PlanId> = BTreeSet::new();
        for (index, change) in changes.iter().enumerate() {
            match &change.place {
                WeightPlace::Endpoints(slots) => {
                    plans.extend(slots.iter().flat_map(|slot| &base.plans_of_slot[slot.index()]));
                }
                WeightPlace::Member { at, .. } => {
                    for &(record, node) in at {
                        concerned.entry(record).or_default().push((index, node));
                        plans.insert(base.record(record).plan);
                    }
                }
            }
        }
        let mut groups: BTreeMap<(PlanId, Concerning), Vec<RecordId>> = BTreeMap::new();
        for (index, record) in base.records.iter().enumerate() {
            if plans.contains(&record.plan) {
                let id = RecordId::at(index);
                let concerning = concerned.remove(&id).unwrap_or_default();
                groups.entry((record.plan, concerning)).or_default().push(id);
            }
        }
        let plans = base.plans.to_vec();
        Patch { changes, snapshot: base.clone(), plans, groups }
    }

    /// Changes the plan `id`, and copies it for records that do not get what all do. Records no
    /// change is about alone stand first in their order, and stay; else the first group does.
    fn plan(&mut self, id: PlanId) {
        let original = self.plans[id.index()].clone();
        let groups: Vec<(Concerning, Vec<RecordId>)> = self
            .groups
            .iter()
            .filter(|((plan, _), _)| *plan == id)
            .map(|((_, concerning), records)| (concerning.clone(), records.clone()))
            .collect();
        for (index, (concerning, records)) in groups.into_iter().enumerate() {
            let tree = Arc::new(self.tree(&original.tree, &concerning));
            if index == 0 {
                self.follow(&original.tree, &tree);
                self.plans[id.index()].tree = tree;
                continue;
            }
            let copy = PlanId::at(self.plans.len());
            self.plans.push(Plan { tree, ..original.clone() });
            for record in records {
                self.snapshot.records[record.index()].plan = copy;
            }
            for slot in &original.slots {
                append(&mut self.snapshot.plans_of_slot[slot.index()], copy);
            }
            for failover in &original.failovers {
                append(&mut self.snapshot.plans_of_failover[failover.index()], copy);
            }
        }
    }

    /// Failovers are asked for their members' availability in a tree that is in use.
    fn follow(&mut self, from: &Arc<Tree>, to: &Arc<Tree>) {
        for definition in &mut self.snapshot.failovers {
            if Arc::ptr_eq(&definition.tree, from) {
                definition.tree = Arc::clone(to);
            }
        }
    }

    fn tree(&self, tree: &Tree, concerning: &Concerning) -> Tree {
        let mut tree = tree.clone();
        for (index, change) in self.changes.iter().enumerate() {
            match &change.place {
                WeightPlace::Endpoints(slots) => {
                    let slots: BTreeSet<SlotId> = slots.iter().copied().collect();
                    for pool in pools(&mut tree) {
                        for endpoint in pool.endpoints.iter_mut().filter(|e| is_of(e, &slots)) {
                            endpoint.weight = change.weight;
                        }
                    }
                }
                WeightPlace::Member { member, .. } => {
                    for &(_, node) in concerning.iter().filter(|(about, _)| *about == index) {
                        set(&mut tree, node, member, change.weight);
                    }
                }
            }
        }
        tree
    }

    fn finish(self) -> Snapshot {
        Snapshot { plans: self.plans.into(), ..self.snapshot }
    }
}

fn append(plans: &mut Box<[PlanId]>, plan: PlanId) {
    let mut longer = std::mem::take(plans).into_vec();
    longer.push(plan);
    *plans = longer.into();
}

fn pools(tree: &mut Tree) -> impl Iterator<Item = &mut Pool> {
    tree.nodes.iter_mut().filter_map(|node| match &mut node.kind {
        Kind::Pool(pool) => Some(pool),
        _ => None,
    })
}

fn is_of(endpoint: &Endpoint, slots: &BTreeSet<SlotId>) -> bool {
    endpoint.target.slots().any(|slot| slots.contains(&slot))
}

/// The members of a policy that have weights.
fn members(tree: &Tree, node: NodeIx) -> Option<&[WeightedMember]> {
    match &tree.node(node).kind {
        Kind::Weighted(weighted) => Some(&weighted.members),
        Kind::Latency(latency) => Some(&latency.members),
        _ => None,
    }
}

fn find(tree: &Tree, members: &[WeightedMember], name: &str) -> Option<usize> {
    members.iter().position(|member| *tree.node(member.node).name == *name)
}

fn set(tree: &mut Tree, node: NodeIx, member: &str, weight: Weight) {
    let found = members(tree, node).and_then(|all| find(tree, all, member));
    let members = match &mut tree.nodes[usize::from(node.0)].kind {
        Kind::Weighted(weighted) => &mut weighted.members,
        Kind::Latency(latency) => &mut latency.members,
        _ => return,
    };
    if let Some(place) = found {
        members[place].weight = weight;
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Hand, testkit},
        *,
    };
    use proptest::prelude::*;

    fn shares(weights: &[u32], own: usize, percent: f64) -> Vec<u32> {
        let weights: Vec<Weight> = weights.iter().map(|w| Weight::new(*w).unwrap()).collect();
        let share = Share::from_fraction(percent / 100.0);
        with_share(&weights, own, share).into_iter().map(Weight::get).collect()
    }

    /// The share of `member` of www after the commands `texts`, one after the other.
    fn after(texts: &[&str], member: &str) -> f64 {
        let (files, mut hand) = (testkit::snapshot(), Hand::default());
        for text in texts {
            hand.told(text, &files, testkit::at(0));
        }
        let effect = hand.effect(&files, testkit::at(0).at);
        let files = patched(&files, &effect.weights);
        let record = files.records.iter().find(|record| &*record.id == "g.example/www").unwrap();
        let tree = &files.plan(record.plan).tree;
        share_of(tree, tree.root, member).unwrap()
    }

    #[test]
    fn of_shares_and_weights_the_last_one_counts_beside_what_the_files_say() {
        const SHARE: &str = "weight record:g.example/www canary=25%";
        assert_eq!(after(&[SHARE], "canary"), 0.25);
        assert_eq!(after(&[SHARE, "weight record:g.example/www canary=40%"], "canary"), 0.4);
        // A weight is beside the ninety of the files, not beside what the share made of them.
        let weight = "weight record:g.example/www canary=60";
        assert_eq!(after(&[SHARE, weight], "canary"), 0.4);
        assert_eq!(after(&[weight, SHARE], "canary"), 0.25);
        assert_eq!(after(&[SHARE, "weight record:g.example/www canary=reset"], "canary"), 0.1);
    }

    #[test]
    fn a_share_is_given_only_where_the_others_can_divide_the_rest() {
        let (files, hand) = (testkit::snapshot(), Hand::default());
        for (text, why) in [
            ("weight record:g.example/near dub=20%", "only the members of a weighted policy"),
            ("weight record:g.example/www stable=20%", "another member has an exact share"),
            ("weight record:g.example/www dub=20%", "has no member `dub`"),
        ] {
            let refused = hand.planned(&testkit::command(text), &files, testkit::at(0));
            let said = refused.unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn a_share_is_exact_and_the_others_keep_their_ratio() {
        for (weights, percent, wanted) in [
            (&[90, 10][..], 1.0, &[99, 1][..]),
            (&[90, 10], 10.0, &[9, 1]),
            (&[90, 10], 50.0, &[1, 1]),
            (&[90, 10], 100.0, &[0, 1]),
            (&[90, 10], 0.0, &[90, 0]),
            (&[90, 10], 0.5, &[199, 1]),
            (&[30, 10, 60], 20.0, &[3, 1, 1]),
            (&[0, 10, 60], 50.0, &[0, 1, 1]),
        ] {
            let own = if weights.len() == 2 { 1 } else { 2 };
            let (weights, own) = match weights {
                [0, ..] => (weights, 1),
                _ => (weights, own),
            };
            assert_eq!(shares(weights, own, percent), wanted, "{weights:?} {percent}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_weights_the_share_holds(
            others in prop::collection::vec(1..=Weight::MAX, 1..64),
            millionths in 1..1_000_000_u32,
        ) {
            let weights: Vec<Weight> = others.iter().map(|w| Weight::new(*w).unwrap()).collect();
            let with = with_share(&weights, 0, Share::from_millionths(millionths));
            let sum: u64 = with.iter().map(|w| u64::from(w.get())).sum();
            let share = f64::from(with[0].get()) / sum as f64;
            let wanted = f64::from(millionths) / 1e6;
            if others.len() > 1 {
                prop_assert!((share - wanted).abs() < 1e-4, "{share} {wanted}");
            }
        }
    }
}
