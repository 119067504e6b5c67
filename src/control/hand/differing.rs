//! Weights that are served and that the files do not say: what operators and rollouts gave, until
//! somebody writes it down or takes it away.

use super::{Hand, effect::WeightPlace, weights};
use crate::{
    clock::Moment,
    ids::{PlanId, RecordId, SlotId},
    policy::tree::{Kind, NodeIx, Pool},
    snapshot::Snapshot,
    units::Share,
};
use std::{collections::BTreeMap, sync::Arc};

/// A member or an endpoint that is served with another share than the files give it.
#[derive(Clone, Debug, PartialEq)]
pub struct Differing {
    /// The override that gave it.
    pub by: u64,
    /// Where; of records that are alike, at the first.
    pub place: Place,
    /// The member, or the endpoint.
    pub member: Arc<str>,
    /// What it is given.
    pub served: Share,
    /// What the files say.
    pub filed: Share,
    /// So many more records are alike.
    pub others: usize,
}

/// What a member or an endpoint has its share of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A policy of a record.
    Policy {
        /// `zone/record`.
        record: Arc<str>,
        /// Its name; empty for the one written at the record itself.
        policy: Arc<str>,
    },
    /// The pool of this id.
    Pool(Arc<str>),
}

impl Place {
    /// The share that the weights in `snapshot` come to for `member`; nothing where it has none.
    pub fn share(&self, member: &str, snapshot: &Snapshot) -> Option<Share> {
        let share = match self {
            Place::Policy { record, policy } => {
                let record = snapshot.records.iter().find(|known| known.id == *record)?;
                member_share(snapshot, record.plan, policy, member)
            }
            Place::Pool(id) => {
                let mut pools = snapshot.plans.iter().flat_map(|plan| plan.tree.pools());
                endpoint_share(pools.find(|pool| pool.id == *id)?, member)
            }
        };
        share.map(Share::from_fraction)
    }
}

/// Where `hand` has it that `served` has other weights than `files`, of which it is a copy with
/// the weights of the hand.
pub fn differing(hand: &Hand, files: &Snapshot, served: &Snapshot, now: Moment) -> Vec<Differing> {
    let mut by_policy: BTreeMap<(RecordId, NodeIx, Arc<str>), u64> = BTreeMap::new();
    let mut by_pool: BTreeMap<(Place, Arc<str>), u64> = BTreeMap::new();
    // The last that gave a weight is the one that counts.
    for change in hand.effect(files, now).weights {
        match change.place {
            WeightPlace::Member { at, member } => {
                // A share is given by the weights of all members, and is that of one.
                let named = hand.find(change.by).and_then(|one| one.action.member());
                if named.is_some_and(|named| *named == member) {
                    let at = at.into_iter().map(|(record, node)| (record, node, member.clone()));
                    by_policy.extend(at.map(|place| (place, change.by)));
                }
            }
            WeightPlace::Endpoints(slots) => {
                let endpoints = slots.iter().filter_map(|slot| endpoint(*slot, files));
                by_pool.extend(endpoints.map(|endpoint| (endpoint, change.by)));
            }
        }
    }
    let of_policies = by_policy.into_iter().filter_map(|((record, node, member), by)| {
        let id = &files.record(record).id;
        // Files that were loaded just now may stand only in one of the two.
        let same = served.records.get(record.index()).filter(|known| known.id == *id)?;
        let tree = &files.plan(files.record(record).plan).tree;
        let policy = Arc::clone(&tree.node(node).name);
        let filed = Share::from_fraction(weights::share_of(tree, node, &member)?);
        let served = Share::from_fraction(member_share(served, same.plan, &policy, &member)?);
        let place = Place::Policy { record: Arc::clone(id), policy };
        Some(Differing { by, place, member, served, filed, others: 0 })
    });
    let of_pools = by_pool.into_iter().filter_map(|((place, member), by)| {
        let (filed, served) = (place.share(&member, files)?, place.share(&member, served)?);
        Some(Differing { by, place, member, served, filed, others: 0 })
    });
    alike(of_policies.chain(of_pools).filter(|one| one.served != one.filed))
}

/// `all` of them, those that differ only by the record as one.
fn alike(all: impl Iterator<Item = Differing>) -> Vec<Differing> {
    let mut found: Vec<Differing> = Vec::new();
    for one in all {
        let policy = |place: &Place| match place {
            Place::Policy { policy, .. } => Some(Arc::clone(policy)),
            Place::Pool(_) => None,
        };
        let facts = |one: &Differing| (one.by, one.member.clone(), one.served, one.filed);
        let is_alike = |known: &&mut Differing| {
            facts(known) == facts(&one)
                && policy(&one.place).is_some_and(|own| policy(&known.place) == Some(own))
        };
        match found.iter_mut().find(is_alike) {
            Some(known) => known.others += 1,
            None => found.push(one),
        }
    }
    found
}

/// The pool of the endpoint that `slot` belongs to, and its name.
fn endpoint(slot: SlotId, files: &Snapshot) -> Option<(Place, Arc<str>)> {
    let mut pools =
        files.plans_of_slot[slot.index()].iter().flat_map(|plan| files.plan(*plan).tree.pools());
    pools.find_map(|pool| {
        let own = pool.endpoints.iter().find(|one| one.target.slots().any(|own| own == slot))?;
        Some((Place::Pool(Arc::clone(&pool.id)), Arc::clone(&own.name)))
    })
}

fn member_share(snapshot: &Snapshot, plan: PlanId, policy: &str, member: &str) -> Option<f64> {
    let tree = &snapshot.plan(plan).tree;
    let weighs = |kind: &Kind| matches!(kind, Kind::Weighted(_) | Kind::Latency(_));
    let node = tree.nodes.iter().position(|node| *node.name == *policy && weighs(&node.kind))?;
    weights::share_of(tree, NodeIx(node as u16), member)
}

fn endpoint_share(pool: &Pool, endpoint: &str) -> Option<f64> {
    let own = pool.endpoints.iter().find(|known| *known.name == *endpoint)?.weight.get();
    let sum: u64 = pool.endpoints.iter().map(|known| u64::from(known.weight.get())).sum();
    Some(if sum == 0 { 0.0 } else { f64::from(own) / sum as f64 })
}
