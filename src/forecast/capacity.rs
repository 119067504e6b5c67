//! What pools get against what they can take.

use super::{
    Pair, Standpoint,
    clients::{Clients, Look},
    preview::Change,
    shares::of_pools,
};
use crate::ids::PlanId;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What a pool with a capacity gets of the record that sends it most.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The pool.
    pub pool: Arc<str>,
    /// The record.
    pub record: Arc<str>,
    /// The share of the record's clients.
    pub share: Change,
    /// The largest share it is meant to take.
    pub limit: f64,
}

impl Load {
    /// Whether it is more than the pool is meant to take.
    pub fn is_over(&self) -> bool {
        self.share.after > self.limit + 1e-9
    }
}

/// The pools with a capacity that `records` send clients to, of each the worst record; nothing if
/// `clients` were counted for other files.
pub fn loads(
    before: &Standpoint,
    after: &Standpoint,
    records: &[Pair],
    clients: &Clients,
) -> Option<Vec<Load>> {
    let (old, new) = (&before.snapshot, &after.snapshot);
    let limits: HashMap<&str, f64> = new
        .capacities
        .iter()
        .map(|capacity| (&*capacity.pool, f64::from(capacity.millionths) / 1e6))
        .collect();
    if limits.is_empty() {
        return Some(Vec::new());
    }
    let mut first: BTreeMap<[PlanId; 2], Pair> = BTreeMap::new();
    for &pair in records {
        let plans = [old.record(pair.before).plan, new.record(pair.after).plan];
        first.entry(plans).or_insert(pair);
    }
    let mut worst: BTreeMap<&str, Load> = BTreeMap::new();
    for ([was, is], pair) in first {
        let (was, is) = (old.plan(was), new.plan(is));
        if !is.tree.pools().any(|pool| limits.contains_key(&*pool.id)) {
            continue;
        }
        let crowds = clients.of((old, Look::of(was)), (new, Look::of(is)))?;
        // Capacities are of all clients; IPv6, which is weighed apart, follows the same policies.
        let Some(crowd) = crowds.first() else { continue };
        let had = of_pools(was, before, crowd, 0);
        for (pool, share) in of_pools(is, after, crowd, 1) {
            let Some((pool, limit)) = limits.get_key_value(pool) else { continue };
            let change = Change { before: had.get(pool).copied().unwrap_or(0.0), after: share };
            if worst.get(pool).is_some_and(|known| known.share.after >= share) {
                continue;
            }
            let record = Arc::clone(&new.record(pair.after).id);
            let load = Load { pool: (*pool).into(), record, share: change, limit: *limit };
            worst.insert(pool, load);
        }
    }
    Some(worst.into_values().collect())
}
