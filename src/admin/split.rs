//! The share of clients each region is meant to get of each record now: beside the answers given,
//! what a board shows.
//!
//! Clients are weighed by known IPv4 address space, as previews do, which is not traffic: of a
//! record that does not depend on the client the shares are exact. Worked out when somebody
//! scrapes, once a World.

use super::hand::Hands;
use crate::{
    forecast::Look,
    ids::{Class, MapId, PlanId},
    snapshot::Plan,
    steering::{Draw, Selection},
    telemetry::{AnswerName, Telemetry, metrics::Samples},
    world::World,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// For each plan the shares of its spots, in the order of `Plan::spots`.
type Shares = Arc<[Box<[f64]>]>;

/// The shares of the World that was looked at last.
pub(super) struct Split {
    hands: Arc<Hands>,
    telemetry: Arc<Telemetry>,
    known: Mutex<Option<(u64, Shares)>>,
}

impl Split {
    pub fn new(hands: Arc<Hands>, telemetry: Arc<Telemetry>) -> Split {
        Split { hands, telemetry, known: Mutex::default() }
    }

    /// Every share of every record that has series of its own.
    pub fn show(&self, samples: &mut Samples<'_>) {
        let world = self.hands.viewer.world();
        if world.warming {
            return;
        }
        let (shares, snapshot) = (self.shares(&world), &world.snapshot);
        let zones: Vec<String> = snapshot.zones.iter().map(|zone| zone.apex.to_string()).collect();
        for record in &snapshot.records {
            let zone = &*zones[record.zone.index()];
            let owner = record.owner.to_string();
            let name = AnswerName {
                zone: zone.into(),
                record: (&*owner).into(),
                region: "".into(),
                pool: "".into(),
            };
            if !self.telemetry.detail().has(&name) {
                continue;
            }
            let spots = &snapshot.plan(record.plan).spots;
            let mut regions: BTreeMap<&str, f64> = BTreeMap::new();
            for (spot, share) in spots.iter().zip(&*shares[record.plan.index()]) {
                let region = spot.region.map_or("", |id| snapshot.region_name(id));
                *regions.entry(region).or_default() += share;
            }
            for (region, share) in regions {
                let labels = [("zone", zone), ("record", &*owner), ("region", region)];
                samples.put(&labels, share);
            }
        }
    }

    fn shares(&self, world: &World) -> Shares {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((swap, shares)) = &*known
            && *swap == world.swap
        {
            return Arc::clone(shares);
        }
        let clients = Weights::of(world, &self.hands);
        let plans = world.snapshot.plans.iter().enumerate();
        let shares: Shares =
            plans.map(|(id, plan)| of_plan(world, PlanId::at(id), plan, &clients)).collect();
        *known = Some((world.swap, Arc::clone(&shares)));
        shares
    }
}

/// How many clients each class of each map stands for.
struct Weights(BTreeMap<Option<MapId>, Vec<(Class, f64)>>);

impl Weights {
    fn of(world: &World, hands: &Hands) -> Weights {
        let snapshot = &*world.snapshot;
        let everybody = (None, vec![(Plan::ONLY_CLASS, 1.0)]);
        let mut weights = BTreeMap::from([everybody]);
        if snapshot.maps.is_empty() {
            return Weights(weights);
        }
        let clients = hands.clients();
        for map in (0..snapshot.maps.len()).map(MapId::at) {
            let side = (snapshot, Look::by(Some(map)));
            let mut of_class: BTreeMap<Class, f64> = BTreeMap::new();
            let crowds = clients.of(side, side);
            for cell in crowds.iter().filter_map(|crowds| crowds.first()).flat_map(|c| &c.cells) {
                *of_class.entry(cell.classes[0]).or_default() += cell.share;
            }
            weights.insert(Some(map), of_class.into_iter().collect());
        }
        Weights(weights)
    }
}

fn of_plan(world: &World, id: PlanId, plan: &Plan, clients: &Weights) -> Box<[f64]> {
    let steering = world.steering.plan(id);
    let mut weights = vec![0.0; steering.selections().len()];
    for (class, weight) in clients.0.get(&plan.map).into_iter().flatten() {
        weights[steering.place(*class)] += weight;
    }
    let mut shares = vec![0.0; plan.spots.len()];
    for (selection, weight) in steering.selections().iter().zip(weights) {
        for (variant, share) in draw(plan, selection).shares() {
            shares[usize::from(selection.variants[variant].spot)] += weight * share;
        }
    }
    shares.into()
}

/// How most of its queries draw.
fn draw<'s>(plan: &Plan, selection: &'s Selection) -> &'s Draw {
    match plan {
        Plan { has_v4: true, .. } => &selection.a,
        Plan { has_v6: true, .. } => &selection.aaaa,
        _ => &selection.other,
    }
}
