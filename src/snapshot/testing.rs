//! Snapshots from the text of [`crate::policy::testing`], for the tests of the rooms above.

use super::{
    Alias, FailoverDefinition, Plan, Record, Rules, Slot, SlotAddress, Snapshot, Spot, Sticky,
    TtlPolicy,
};
use crate::{
    ids::{FailoverId, PlanId, SlotId, ZoneId},
    policy::{
        testing::{Given, children, reachable},
        tree::{Endpoint, EndpointTarget, Kind, NodeIx, Pool, Tree},
    },
    units::Ttl,
    wire::Name,
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// A plan of `tree`: TTL 30 s, 5 s while something fails.
pub(crate) fn plan(tree: Tree, sticky: bool) -> Plan {
    let nodes = || reachable(&tree).into_iter().map(|ix| &tree.node(ix).kind);
    let pools = nodes().filter_map(|kind| match kind {
        Kind::Pool(pool) => Some(pool),
        _ => None,
    });
    let endpoints: Vec<_> = pools.flat_map(|pool: &Pool| &pool.endpoints).collect();
    let slots: BTreeSet<SlotId> = endpoints.iter().flat_map(|e| e.target.slots()).collect();
    let spots: BTreeSet<_> = nodes()
        .filter_map(|kind| match kind {
            Kind::Pool(pool) => Some(pool),
            _ => None,
        })
        .flat_map(|pool| {
            pool.endpoints.iter().map(|e| Spot { region: e.region, pool: pool.id.clone() })
        })
        .collect();
    let failovers = nodes().filter_map(|kind| match kind {
        Kind::Failover(failover) => Some(failover.id),
        _ => None,
    });
    let is_flattened = |e: &Endpoint| matches!(e.target, EndpointTarget::Flattened { .. });
    Plan {
        map: None,
        ttl: TtlPolicy { max: Ttl::from_secs(30), min: Ttl::from_secs(5) },
        ramp: None,
        sticky: sticky.then_some(Sticky { v4: 24, v6: 48 }),
        use_ecs: true,
        has_cname: endpoints.iter().any(|e| matches!(e.target, EndpointTarget::Cname { .. })),
        has_v4: endpoints.iter().any(|e| e.target.v4().is_some() || is_flattened(e)),
        has_v6: endpoints.iter().any(|e| e.target.v6().is_some() || is_flattened(e)),
        extra: Box::default(),
        spots: spots.into_iter().collect(),
        slots: slots.into_iter().collect(),
        failovers: failovers.collect(),
        tree: Arc::new(tree),
    }
}

/// A Snapshot of `z/NAME` for each of `records`, in order; equal names share a plan. The target
/// of each slot is called as the slot is (`s1/4`).
pub(crate) fn snapshot(given: &Given, records: &[&str], rules: Rules) -> Snapshot {
    let mut names: Vec<&str> = Vec::new();
    for name in records {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let plans: Vec<Plan> = names.iter().map(|name| plan(given.tree_of(name), false)).collect();
    let users = |uses: &dyn Fn(&Plan) -> bool| -> Box<[PlanId]> {
        (0..plans.len()).filter(|&p| uses(&plans[p])).map(PlanId::at).collect()
    };
    let tree = Arc::new(given.tree());
    let failovers = failovers(&tree, rules);
    let record = |(index, name): (usize, &&str)| Record {
        zone: ZoneId(0),
        owner: Name::parse(&format!("{name}.z")).unwrap(),
        id: format!("z/{name}{}", if records[..index].contains(name) { "-too" } else { "" }).into(),
        plan: PlanId::at(names.iter().position(|known| known == name).unwrap()),
        cohort: 0,
        counters: Box::default(),
    };
    Snapshot {
        records: records.iter().enumerate().map(record).collect(),
        slots: slots(given, &tree),
        plans_of_slot: (0..given.slots.len())
            .map(|slot| users(&|plan| plan.slots.contains(&SlotId::at(slot))))
            .collect(),
        plans_of_failover: (0..failovers.len())
            .map(|id| users(&|plan| plan.failovers.contains(&FailoverId::at(id))))
            .collect(),
        failovers,
        plans: plans.into(),
        aliases: aliases(&tree),
        ..Snapshot::default()
    }
}

/// A name for each slot that is answered flattened.
fn aliases(tree: &Tree) -> Box<[Alias]> {
    let endpoints = tree.pools().flat_map(|pool| &pool.endpoints);
    let aliases = endpoints.filter_map(|endpoint| match endpoint.target {
        EndpointTarget::Flattened { slot } => {
            let name = Name::parse(&format!("{}.test", endpoint.name)).unwrap();
            Some(Alias { name, slots: [slot].into() })
        }
        _ => None,
    });
    aliases.collect()
}

fn slots(given: &Given, tree: &Tree) -> Box<[Slot]> {
    let address = |slot: SlotId| {
        let endpoints = tree.pools().flat_map(|pool| &pool.endpoints);
        let mut targets = endpoints.map(|e| &e.target);
        let of = targets.find(|target| target.slots().any(|s| s == slot)).unwrap();
        match of {
            EndpointTarget::Cname { .. } | EndpointTarget::Flattened { .. } => {
                SlotAddress::Name("target".into())
            }
            EndpointTarget::Addresses { v4: Some((ip, s)), .. } if *s == slot => {
                SlotAddress::Ip(IpAddr::V4(*ip))
            }
            EndpointTarget::Addresses { .. } => SlotAddress::Ip(IpAddr::V6(of.v6().unwrap())),
        }
    };
    let slot = |(index, name): (usize, &String)| Slot {
        name: format!("z/{}", name.split('/').next().unwrap()).into(),
        address: address(SlotId::at(index)),
        target: Some(name.as_str().into()),
        check: Some("check".into()),
        region: None,
    };
    given.slots.iter().enumerate().map(slot).collect()
}

fn failovers(tree: &Arc<Tree>, rules: Rules) -> Box<[FailoverDefinition]> {
    let nodes = tree.nodes.iter().enumerate();
    let failovers = nodes.filter(|(_, node)| matches!(node.kind, Kind::Failover(_)));
    let definition = |(index, node): (usize, &crate::policy::tree::Node)| FailoverDefinition {
        name: format!("z/{}", node.name).into(),
        tree: Arc::clone(tree),
        node: NodeIx(index as u16),
        members: children(&node.kind).iter().map(|&m| Arc::clone(&tree.node(m).name)).collect(),
        gates: Box::default(),
        rules,
    };
    failovers.map(definition).collect()
}
