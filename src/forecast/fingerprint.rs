//! Whether clients of a record may get something else: everything that its answers follow from,
//! hashed by name, since ids mean nothing in another Snapshot.

use super::{Pair, Standpoint};
use crate::{
    ids::{MapId, PlanId},
    policy::tree::{ClassTable, Endpoint, Kind, Pool, WeightedMember},
    verdict::Standing,
};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// The fingerprints of plans, each made once.
pub(super) struct Fingerprints<'w> {
    at: [&'w Standpoint; 2],
    plans: [HashMap<PlanId, u64>; 2],
    maps: HashMap<[Option<MapId>; 2], bool>,
    tables: HashMap<[*const ClassTable; 2], bool>,
}

impl<'w> Fingerprints<'w> {
    pub fn new(before: &'w Standpoint, after: &'w Standpoint) -> Self {
        let (plans, maps, tables) = Default::default();
        Fingerprints { at: [before, after], plans, maps, tables }
    }

    /// Whether clients of `pair` may get something else.
    pub fn differ(&mut self, pair: Pair) -> bool {
        let plans = [
            self.at[0].snapshot.record(pair.before).plan,
            self.at[1].snapshot.record(pair.after).plan,
        ];
        let at = self.at;
        let prints = [0, 1].map(|side| {
            let made = || of(plans[side], at[side]);
            *self.plans[side].entry(plans[side]).or_insert_with(made)
        });
        let uses_ecs = [0, 1].map(|side| at[side].snapshot.plan(plans[side]).use_ecs);
        prints[0] != prints[1] || uses_ecs[0] != uses_ecs[1] || !self.places_alike(plans)
    }

    /// Whether both plans tell the same clients apart, and mean the same by it.
    fn places_alike(&mut self, plans: [PlanId; 2]) -> bool {
        let at = self.at;
        let plan = |side: usize| at[side].snapshot.plan(plans[side]);
        let maps = [plan(0).map, plan(1).map];
        let same_map = *self.maps.entry(maps).or_insert_with(|| match maps {
            [Some(old), Some(new)] => {
                let (old, new) =
                    (&at[0].snapshot.maps[old.index()], &at[1].snapshot.maps[new.index()]);
                Arc::ptr_eq(old, new) || old == new
            }
            [old, new] => old.is_none() && new.is_none(),
        });
        let tables = [0, 1].map(|side| &plan(side).tree.classes);
        let same_table = *self
            .tables
            .entry(tables.map(Arc::as_ptr))
            .or_insert_with(|| Arc::ptr_eq(tables[0], tables[1]) || tables[0] == tables[1]);
        same_map && same_table
    }
}

fn of(plan: PlanId, at: &Standpoint) -> u64 {
    let tree = &at.snapshot.plan(plan).tree;
    let mut print = Print { at, hasher: DefaultHasher::new() };
    (tree.root, tree.all_down).hash(&mut print.hasher);
    for node in &tree.nodes {
        (&node.name, node.kind.word()).hash(&mut print.hasher);
        print.kind(&node.kind);
    }
    print.hasher.finish()
}

struct Print<'w> {
    at: &'w Standpoint,
    hasher: DefaultHasher,
}

impl Print<'_> {
    fn add(&mut self, what: impl Hash) {
        what.hash(&mut self.hasher);
    }

    fn kind(&mut self, kind: &Kind) {
        match kind {
            Kind::Pool(pool) => self.pool(pool),
            Kind::Weighted(it) => {
                self.members(&it.members);
                self.add(it.min_healthy);
            }
            Kind::Latency(it) => {
                self.members(&it.members);
                self.add(it.dependent);
            }
            Kind::Multivalue(it) => self.add((&it.members, it.answers, it.min_healthy)),
            Kind::Failover(it) => {
                let course = self.at.state.courses.get(it.id.index());
                self.add((&it.members, it.trickle, course.map(|course| course.active)));
            }
            Kind::Geo(it) => {
                self.add(it.dependent);
                it.rules.iter().for_each(|rule| self.add((&rule.members, rule.fence)));
            }
            Kind::Empty => {}
        }
    }

    fn members(&mut self, members: &[WeightedMember]) {
        members.iter().for_each(|it| self.add((it.node, it.weight, it.absorb)));
    }

    fn pool(&mut self, pool: &Pool) {
        self.add((&pool.id, pool.answers, pool.min_healthy));
        pool.endpoints.iter().for_each(|endpoint| self.endpoint(endpoint));
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        let snapshot = &self.at.snapshot;
        self.add((&endpoint.name, endpoint.weight));
        self.add(endpoint.region.map(|region| snapshot.region_name(region)));
        for slot in endpoint.target.slots() {
            self.add(&snapshot.slots[slot.index()].address);
            let standing = self.at.state.standings.of(slot).standing;
            // What nobody has probed yet is answered as if it were up.
            self.add((standing.is_up(), standing == Standing::Degraded));
        }
    }
}
