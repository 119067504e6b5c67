//! Who would move: which share of clients, from where to where, from which countries.
//!
//! Clients are weighed by routed IPv4 address space, which is not traffic ([`super::clients`]).
//! What moves is what must: a client whose place still has room for it stays, as sticky draws
//! have it; other draws move the same shares.

use super::{
    clients::{Clients, weights},
    shares::{Spot, Standpoint, of_class},
};
use crate::{
    ids::{Class, PlanId, RecordId},
    place::Country,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Countries that are named.
const COUNTRIES: usize = 10;
/// Below this a share is rounding.
const HARDLY: f64 = 1e-9;

/// Who would move between two standpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// Records that were looked at.
    pub records: usize,
    /// The share of all their clients that moves, every record counted alike.
    pub moved: f64,
    /// From where to where, the largest first; shares of all clients.
    pub flows: Vec<Flow>,
    /// The countries most who move are in, with the share of all clients that moves there.
    pub countries: Vec<(Option<Country>, f64)>,
    /// Record by record, those that move most first; equal ones once.
    pub by_record: Vec<RecordMoves>,
}

/// Clients that leave one place for another.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Where they are.
    pub from: Place,
    /// Where they go.
    pub to: Place,
    /// Their share of all clients.
    pub share: f64,
}

/// A place clients are sent to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The region's name, where it has one.
    pub region: Option<Arc<str>>,
    /// The pool's id; empty for an empty answer.
    pub pool: Arc<str>,
}

/// What moves at one record, and at others steered alike.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordMoves {
    /// `zone/record` of the first.
    pub record: Arc<str>,
    /// How many more there are.
    pub others: usize,
    /// The share of its clients that moves.
    pub moved: f64,
    /// From where to where, the largest first.
    pub flows: Vec<Flow>,
}

/// Who would move at `records` between `before` and `after`, of one set of files (weights may
/// differ). Nothing if `clients` were counted for other files.
pub fn preview(
    before: &Standpoint,
    after: &Standpoint,
    records: &[RecordId],
    clients: &Clients,
) -> Option<Preview> {
    let mut alike: BTreeMap<(PlanId, PlanId), Vec<RecordId>> = BTreeMap::new();
    for &id in records {
        let plans = (before.snapshot.record(id).plan, after.snapshot.record(id).plan);
        alike.entry(plans).or_default().push(id);
    }
    let mut whole = Sum::default();
    let mut by_record = Vec::new();
    for (plans, ids) in alike {
        let sum = moves(before, after, plans, clients)?;
        let part = ids.len() as f64 / records.len() as f64;
        whole.add(&sum, part);
        by_record.push(RecordMoves {
            record: Arc::clone(&after.snapshot.record(ids[0]).id),
            others: ids.len() - 1,
            moved: sum.moved(),
            flows: sum.flows(after),
        });
    }
    by_record.retain(|record| record.moved > HARDLY);
    by_record.sort_by(|a, b| b.moved.total_cmp(&a.moved));
    let mut countries: Vec<_> = whole.countries.iter().map(|(at, share)| (*at, *share)).collect();
    countries.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    countries.truncate(COUNTRIES);
    Some(Preview {
        records: records.len(),
        moved: whole.moved(),
        flows: whole.flows(after),
        countries,
        by_record,
    })
}

/// Moves being summed up.
#[derive(Default)]
struct Sum<'w> {
    flows: HashMap<(Spot<'w>, Spot<'w>), f64>,
    countries: BTreeMap<Option<Country>, f64>,
}

/// What moves at a record whose plan is the first of `plans` before and the second after.
fn moves<'w>(
    before: &'w Standpoint,
    after: &'w Standpoint,
    plans: (PlanId, PlanId),
    clients: &Clients,
) -> Option<Sum<'w>> {
    let (old, new) = (before.snapshot.plan(plans.0), after.snapshot.plan(plans.1));
    let cells = clients.of(&after.snapshot, new.map)?;
    let mut sum = Sum::default();
    let mut of: Option<(Class, Vec<Moving<'w>>)> = None;
    for (class, country, weight) in weights(&cells) {
        // Cells are in order of class.
        let flows = match of.take().filter(|(known, _)| *known == class) {
            Some((_, flows)) => flows,
            None => between(&of_class(old, class, before).0, &of_class(new, class, after).0),
        };
        for flow in &flows {
            *sum.flows.entry((flow.from, flow.to)).or_default() += weight * flow.share;
            *sum.countries.entry(country).or_default() += weight * flow.share;
        }
        of = Some((class, flows));
    }
    Some(sum)
}

/// A share of one class that moves.
#[derive(Clone, Copy)]
struct Moving<'w> {
    from: Spot<'w>,
    to: Spot<'w>,
    share: f64,
}

/// The least that moves from one distribution to another: what places lose goes to those that
/// gain, by how much they do.
fn between<'w>(old: &BTreeMap<Spot<'w>, f64>, new: &BTreeMap<Spot<'w>, f64>) -> Vec<Moving<'w>> {
    let change = |spot: &Spot<'w>| {
        new.get(spot).copied().unwrap_or(0.0) - old.get(spot).copied().unwrap_or(0.0)
    };
    let losses = old.keys().map(|spot| (*spot, -change(spot))).filter(|(_, loss)| *loss > HARDLY);
    let gains: Vec<_> =
        new.keys().map(|spot| (*spot, change(spot))).filter(|(_, gain)| *gain > HARDLY).collect();
    let gained: f64 = gains.iter().map(|(_, gain)| gain).sum();
    let flows = losses.flat_map(|(from, loss)| {
        gains.iter().map(move |&(to, gain)| Moving { from, to, share: loss * gain / gained })
    });
    flows.collect()
}

impl<'w> Sum<'w> {
    fn add(&mut self, other: &Sum<'w>, part: f64) {
        for (flow, share) in &other.flows {
            *self.flows.entry(*flow).or_default() += part * share;
        }
        for (country, share) in &other.countries {
            *self.countries.entry(*country).or_default() += part * share;
        }
    }

    fn moved(&self) -> f64 {
        self.flows.values().sum()
    }

    fn flows(&self, world: &Standpoint) -> Vec<Flow> {
        let place = |spot: Spot<'_>| Place {
            region: spot.region.map(|id| Arc::clone(&world.snapshot.regions[id.index()].name)),
            pool: spot.pool.into(),
        };
        let flows = self.flows.iter().filter(|(_, share)| **share > HARDLY);
        let flow = |(&(from, to), &share): (&(Spot<'w>, Spot<'w>), &f64)| Flow {
            from: place(from),
            to: place(to),
            share,
        };
        let mut flows: Vec<Flow> = flows.map(flow).collect();
        flows.sort_by(|a, b| {
            b.share.total_cmp(&a.share).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to)))
        });
        flows
    }
}
