//! Drafts to one Snapshot and one CheckPlan: gives out the ids of the whole.
//!
//! Cannot fail: everything that could be wrong was found while drafting.

use super::{
    CounterName,
    checks::TargetSpec,
    maps::CompiledMap,
    pools::SlotSpec,
    records::{Family, PlanDraft},
    safety,
    server::Server,
    zones::{Served, ZoneDraft},
};
use crate::{
    checkplan::{CheckPlan, Target},
    ids::{CounterSlot, FailoverId, MapId, PlanId, RegionId, SlotId, TargetId, ZoneId},
    policy::tree::{ClassTable, EndpointTarget, Kind, Node, NodeIx, Tree},
    snapshot::{
        Alias, FailoverDefinition, GateName, Plan, Record, Slot, SlotAddress, Snapshot, Spot,
        ZoneEntry,
    },
    wire::Name,
    zone::Zones,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

/// Everything linked.
pub(super) struct Linked {
    pub snapshot: Snapshot,
    pub plan: CheckPlan,
}

/// Links `served`; those without a draft get an apex and nothing else.
pub(super) fn link(
    server: &Server,
    served: &[Served],
    counter: &mut dyn FnMut(CounterName<'_>) -> CounterSlot,
) -> Linked {
    let mut linker = Linker {
        plan: CheckPlan {
            targets: Vec::new(),
            deny: server.deny.clone(),
            guards: server.guards.clone(),
            breaker: server.breaker,
            tokens: server.tokens.clone(),
        },
        ..Linker::default()
    };
    for (index, served) in served.iter().enumerate() {
        let first = linker.records.len() as u32;
        if let Some(draft) = &served.draft {
            linker.draft(server, ZoneId::at(index), draft, counter);
        }
        linker.zones.push(ZoneEntry {
            apex: served.apex.clone(),
            zone: served.draft.as_ref().map(|draft| draft.zone.clone()),
            records: first..linker.records.len() as u32,
        });
    }
    linker.finish(server, served)
}

/// What makes two plans of different zones the same.
#[derive(PartialEq, Eq, Hash)]
struct PlanKey {
    nodes: Box<[Node]>,
    root: NodeIx,
    all_down: crate::policy::tree::AllDown,
    map: Option<MapId>,
    ttl: crate::snapshot::TtlPolicy,
    ramp: Option<crate::snapshot::Ramp>,
    sticky: Option<crate::snapshot::Sticky>,
    use_ecs: bool,
}

#[derive(Default)]
struct Linker {
    zones: Vec<ZoneEntry>,
    records: Vec<Record>,
    plans: Vec<Plan>,
    plan_ids: HashMap<PlanKey, PlanId>,
    maps: Vec<Arc<crate::place::ClientMap>>,
    map_ids: HashMap<*const CompiledMap, MapId>,
    slots: Vec<Slot>,
    slot_ids: HashMap<SlotSpec, SlotId>,
    plan: CheckPlan,
    target_ids: HashMap<Arc<str>, TargetId>,
    failovers: Vec<FailoverDefinition>,
    failover_ids: HashMap<Arc<str>, FailoverId>,
}

/// A draft's ids → the whole's.
struct Translation {
    slots: Vec<SlotId>,
    /// None until a tree that holds it is linked.
    failovers: Vec<FailoverId>,
}

impl Linker {
    fn draft(
        &mut self,
        server: &Server,
        zone: ZoneId,
        draft: &ZoneDraft,
        counter: &mut dyn FnMut(CounterName<'_>) -> CounterSlot,
    ) {
        let translation = Translation {
            slots: draft.slots.iter().map(|spec| self.slot(server, spec)).collect(),
            failovers: self.failovers(draft),
        };
        let plans = draft.plans.iter().map(|plan| self.plan(plan, &translation));
        let plans: Vec<PlanId> = plans.collect();
        let apex = draft.apex.to_string();
        for record in &draft.records {
            let plan = plans[record.plan];
            let owner = record.owner.to_string();
            let spots = self.plans[plan.index()].spots.iter();
            let counters = spots.map(|Spot { region, pool }| {
                let region = region.map_or("", |id| &*server.regions[id.index()].name);
                counter(CounterName { zone: &apex, record: &owner, region, pool })
            });
            self.records.push(Record {
                counters: counters.collect(),
                zone,
                owner: record.owner.clone(),
                id: record.id.clone(),
                plan,
                cohort: record.cohort,
            });
        }
    }

    fn slot(&mut self, server: &Server, spec: &SlotSpec) -> SlotId {
        let id = SlotId::at(self.slots.len());
        match self.slot_ids.entry(spec.clone()) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(free) => drop(free.insert(id)),
        }
        self.slots.push(Slot {
            name: spec.name.clone(),
            address: spec.address.clone(),
            target: spec.target.as_ref().map(|target| target.key.clone()),
            check: spec.target.as_ref().map(|target| target.check.name.clone()),
            region: spec.region,
        });
        if let Some(target) = &spec.target {
            let group = || match spec.region {
                Some(region) => format!("region:{}", server.regions[region.index()].name).into(),
                None => {
                    let pool = spec.name.rsplit_once('/').map_or(&*spec.name, |(pool, _)| pool);
                    format!("pool:{pool}").into()
                }
            };
            let target = self.target(target, &spec.name, spec.region, group);
            target.slots.push(id);
        }
        id
    }

    /// The target `spec` means; as its first user knows it, if it is new.
    fn target(
        &mut self,
        spec: &TargetSpec,
        label: &Arc<str>,
        region: Option<RegionId>,
        group: impl FnOnce() -> Arc<str>,
    ) -> &mut Target {
        let next = TargetId::at(self.plan.targets.len());
        let known = *self.target_ids.entry(spec.key.clone()).or_insert(next);
        if known == next {
            self.plan.targets.push(Target {
                key: spec.key.clone(),
                address: spec.address.clone(),
                check: spec.check.clone(),
                slots: Vec::new(),
                region,
                group: group(),
                label: label.clone(),
            });
        }
        &mut self.plan.targets[known.index()]
    }

    /// The target of check `name` as a gate: probed whether or not it decides any slot.
    fn gate(&mut self, name: &str, spec: &TargetSpec) -> Arc<str> {
        let label: Arc<str> = format!("check:{name}").into();
        self.target(spec, &label, None, || label.clone());
        spec.key.clone()
    }

    /// Ids for the failovers of a draft. Which tree they stand in is known once it is linked.
    fn failovers(&mut self, draft: &ZoneDraft) -> Vec<FailoverId> {
        let specs = draft.failovers.iter();
        let ids = specs.map(|spec| {
            let next = FailoverId::at(self.failovers.len());
            let id = *self.failover_ids.entry(spec.name.clone()).or_insert(next);
            if id == next {
                let gates = spec.gates.iter().map(|gates| self.gates(gates)).collect();
                self.failovers.push(FailoverDefinition {
                    name: spec.name.clone(),
                    tree: Arc::new(nowhere()),
                    node: NodeIx(0),
                    members: spec.members.clone(),
                    gates,
                    rules: spec.rules,
                });
            }
            id
        });
        ids.collect()
    }

    /// The keys of the targets behind `gates`, which judge no slot.
    fn gates(&mut self, gates: &[TargetSpec]) -> Box<[GateName]> {
        gates.iter().map(|spec| self.gate(&spec.check.name, spec)).collect()
    }

    fn plan(&mut self, draft: &PlanDraft, translation: &Translation) -> PlanId {
        let nodes: Box<[Node]> =
            draft.tree.nodes.iter().map(|node| translation.node(node)).collect();
        let map = draft.map.as_ref().map(|map| self.map(map));
        let key = PlanKey {
            nodes: nodes.clone(),
            root: draft.tree.root,
            all_down: draft.tree.all_down,
            map,
            ttl: draft.ttl,
            ramp: draft.ramp,
            sticky: draft.sticky,
            use_ecs: draft.use_ecs,
        };
        let id = PlanId::at(self.plans.len());
        match self.plan_ids.entry(key) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(free) => drop(free.insert(id)),
        }
        let tree = Arc::new(Tree { nodes, ..draft.tree.clone() });
        let failovers = self.place_failovers(&tree);
        self.plans.push(Plan {
            map,
            ttl: draft.ttl,
            ramp: draft.ramp,
            sticky: draft.sticky,
            use_ecs: draft.use_ecs,
            has_cname: draft.has_cname,
            has_v4: endpoints(&tree).any(|endpoint| Family::V4.is_in(&endpoint.target)),
            has_v6: endpoints(&tree).any(|endpoint| Family::V6.is_in(&endpoint.target)),
            extra: tree.extra_types(),
            spots: spots(&tree),
            slots: distinct(endpoints(&tree).flat_map(|endpoint| endpoint.target.slots())),
            failovers,
            tree: tree.clone(),
        });
        id
    }

    fn map(&mut self, map: &Arc<CompiledMap>) -> MapId {
        let next = MapId::at(self.maps.len());
        let id = *self.map_ids.entry(Arc::as_ptr(map)).or_insert(next);
        if id == next {
            self.maps.push(map.map.clone());
        }
        id
    }

    /// The failovers of `tree`; those that stood nowhere yet stand in it from now on.
    fn place_failovers(&mut self, tree: &Arc<Tree>) -> Box<[FailoverId]> {
        let mut ids = Vec::new();
        for (index, node) in tree.nodes.iter().enumerate() {
            let Kind::Failover(failover) = &node.kind else {
                continue;
            };
            let definition = &mut self.failovers[failover.id.index()];
            if definition.tree.nodes.is_empty() {
                definition.tree = tree.clone();
                definition.node = NodeIx(index as u16);
            }
            ids.push(failover.id);
        }
        distinct(ids.into_iter())
    }

    fn finish(self, server: &Server, served: &[Served]) -> Linked {
        let apexes = self.zones.iter().map(|zone| &zone.apex);
        let apexes = Zones::new(apexes).expect("compile serves each apex once, and few enough");
        let slots = self.plans.iter().map(|plan| &*plan.slots);
        let failovers = self.plans.iter().map(|plan| &*plan.failovers);
        let shared = server.file.policies.iter().map(|policy| policy.name.get_ref().as_str());
        Linked {
            snapshot: Snapshot {
                apexes,
                safety: safety::rules(server, &self.records),
                capacities: safety::capacities(server, served),
                aliases: aliases(&self.plans, &self.slots),
                shared_policies: shared.map(Arc::from).collect(),
                zones: self.zones.into(),
                records: self.records.into(),
                maps: self.maps.into(),
                regions: server.regions.clone().into(),
                measured: server.latency.iter().map(|(_, table)| Arc::clone(table)).collect(),
                plans_of_slot: users(self.slots.len(), slots, |slot| slot.index()),
                plans_of_failover: users(self.failovers.len(), failovers, |id| id.index()),
                slots: self.slots.into(),
                failovers: self.failovers.into(),
                plans: self.plans.into(),
                guard: server.doors.guard.clone(),
                identity: server.doors.identity.clone(),
            },
            plan: self.plan,
        }
    }
}

/// The names that some plan answers flattened, with their slots.
fn aliases(plans: &[Plan], slots: &[Slot]) -> Box<[Alias]> {
    let mut aliases: BTreeMap<Name, BTreeSet<SlotId>> = BTreeMap::new();
    for endpoint in plans.iter().flat_map(|plan| endpoints(&plan.tree)) {
        if let EndpointTarget::Flattened { slot } = endpoint.target
            && let SlotAddress::Name(name) = &slots[slot.index()].address
            && let Ok(name) = Name::parse(name)
        {
            aliases.entry(name).or_default().insert(slot);
        }
    }
    let alias = |(name, slots): (Name, BTreeSet<SlotId>)| Alias {
        name,
        slots: slots.into_iter().collect(),
    };
    aliases.into_iter().map(alias).collect()
}

/// A tree without nodes, where a failover stands until its own tree is linked.
fn nowhere() -> Tree {
    Tree {
        nodes: Box::default(),
        root: NodeIx(0),
        all_down: crate::policy::tree::AllDown::LastGood,
        classes: Arc::new(ClassTable::default()),
    }
}

fn endpoints(tree: &Tree) -> impl Iterator<Item = &crate::policy::tree::Endpoint> {
    tree.pools().flat_map(|pool| &pool.endpoints)
}

/// The places of its endpoints, each once.
fn spots(tree: &Tree) -> Box<[Spot]> {
    let all = tree.pools().flat_map(|pool| {
        let spot = |region| Spot { region, pool: Arc::clone(&pool.id) };
        pool.endpoints.iter().map(move |endpoint| spot(endpoint.region))
    });
    let mut known = std::collections::HashSet::new();
    all.filter(|spot| known.insert(spot.clone())).collect()
}

/// Each once, in the order they first come.
fn distinct<T: Copy + Eq + std::hash::Hash>(items: impl Iterator<Item = T>) -> Box<[T]> {
    let mut known = std::collections::HashSet::new();
    items.filter(|item| known.insert(*item)).collect()
}

/// For each of `count` things the plans that use it.
fn users<'p, T: Copy + 'p>(
    count: usize,
    used: impl Iterator<Item = &'p [T]>,
    index: impl Fn(T) -> usize,
) -> Box<[Box<[PlanId]>]> {
    let mut users = vec![Vec::new(); count];
    for (plan, used) in used.enumerate() {
        for item in used {
            users[index(*item)].push(PlanId::at(plan));
        }
    }
    users.into_iter().map(Vec::into_boxed_slice).collect()
}

impl Translation {
    fn node(&self, node: &Node) -> Node {
        let mut node = node.clone();
        match &mut node.kind {
            Kind::Pool(pool) => {
                for endpoint in &mut pool.endpoints {
                    match &mut endpoint.target {
                        EndpointTarget::Addresses { v4, v6 } => {
                            if let Some((_, slot)) = v4 {
                                *slot = self.slots[slot.index()];
                            }
                            if let Some((_, slot)) = v6 {
                                *slot = self.slots[slot.index()];
                            }
                        }
                        EndpointTarget::Cname { slot, .. } | EndpointTarget::Flattened { slot } => {
                            *slot = self.slots[slot.index()];
                        }
                    }
                }
            }
            Kind::Failover(failover) => failover.id = self.failovers[failover.id.index()],
            _ => {}
        }
        node
    }
}
