//! On what grounds records are answered, and what is said when that changes.

use super::event::EventKind;
use crate::{
    ids::PlanId,
    policy::Basis,
    snapshot::Record,
    steering::{PlanSteering, Selection, Variant},
    world::World,
};
use foldhash::fast::FixedState;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

/// What a change of Steering did: the `touched` plans are answered on other grounds.
pub(super) fn changed(old: &World, new: &World, touched: &[PlanId]) -> Vec<EventKind> {
    let moved = |&plan: &PlanId| {
        let now = worst(new.steering.plan(plan));
        (worst(old.steering.plan(plan)) != now).then_some((plan, now))
    };
    let moved: HashMap<PlanId, &str> = touched.iter().filter_map(moved).collect();
    if moved.is_empty() {
        return Vec::new();
    }
    events(&new.snapshot.records, |record| moved.get(&record.plan).copied())
}

/// The plans of `new` whose records are not answered as they were in `old`, and for how long their
/// old answers may be kept. Records are found again by name.
pub(super) fn moved(old: &World, new: &World) -> (Vec<PlanId>, Duration) {
    if old.warming || new.warming {
        return (Vec::new(), Duration::ZERO);
    }
    let before = by_name(old, |record| record.plan);
    let pairs = new.snapshot.records.iter();
    let mut pairs: Vec<(PlanId, PlanId)> =
        pairs.filter_map(|record| Some((*before.get(&*record.id)?, record.plan))).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.retain(|(was, is)| !is_same(old.steering.plan(*was), new.steering.plan(*is)));
    let ttls = pairs.iter().map(|(was, _)| old.snapshot.plan(*was).ttl.max.as_secs());
    let ttl = Duration::from_secs(ttls.max().unwrap_or(0).into());
    let plans: BTreeSet<PlanId> = pairs.into_iter().map(|(_, is)| is).collect();
    (plans.into_iter().collect(), ttl)
}

/// `what` of each record, by its name. Names are the operator's own, and there may be 100,000.
fn by_name<T>(world: &World, what: impl Fn(&Record) -> T) -> HashMap<&str, T, FixedState> {
    world.snapshot.records.iter().map(|record| (&*record.id, what(record))).collect()
}

/// Whether two plans give the same answers with the same shares, whatever their TTLs.
fn is_same(one: &PlanSteering, other: &PlanSteering) -> bool {
    let draws_alike = |one: &Selection, other: &Selection| {
        let mut draws = one.draws().zip(other.draws());
        one.draws().count() == other.draws().count()
            && draws.all(|(one, other)| one == other || one.shares() == other.shares())
    };
    let is_same = |(one, other): (&Selection, &Selection)| {
        one.mask == other.mask && is_given_alike(one, other) && draws_alike(one, other)
    };
    let (one, other) = (one.selections(), other.selections());
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

/// Whether the Variants of two Selections are the same but for their TTLs.
fn is_given_alike(one: &Selection, other: &Selection) -> bool {
    let gives = |v: &Variant, w: &Variant| v.is_unknown == w.is_unknown && v.rdatas == w.rdatas;
    let (one, other) = (&one.variants, &other.variants);
    one.len() == other.len() && one.iter().zip(other).all(|(v, w)| gives(v, w))
}

/// What a new Snapshot did: records, found again by name, are answered on other grounds.
pub(super) fn reloaded(old: &World, new: &World) -> Vec<EventKind> {
    let now = by_plan(new);
    let before = by_plan(old);
    if now.is_empty() && before.is_empty() {
        return Vec::new();
    }
    let before = by_name(old, |record| word(&before, record.plan));
    events(&new.snapshot.records, |record| {
        let now = word(&now, record.plan);
        (before.get(&*record.id).copied().unwrap_or(HEALTHY) != now).then_some(now)
    })
}

const HEALTHY: &str = Basis::Healthy.word();

/// The plans that are not answered from health.
fn by_plan(world: &World) -> HashMap<PlanId, &'static str> {
    if world.warming || !world.steering.may_be_in_trouble() {
        return HashMap::new();
    }
    let plans = (0..world.snapshot.plans.len()).map(PlanId::at);
    let plans = plans.map(|plan| (plan, worst(world.steering.plan(plan))));
    plans.filter(|(_, word)| *word != HEALTHY).collect()
}

fn word(unhealthy: &HashMap<PlanId, &'static str>, plan: PlanId) -> &'static str {
    unhealthy.get(&plan).copied().unwrap_or(HEALTHY)
}

/// One event for the records of each plan that `moved`.
fn events(records: &[Record], moved: impl Fn(&Record) -> Option<&'static str>) -> Vec<EventKind> {
    let mut found: BTreeMap<PlanId, (&Arc<str>, usize, &'static str)> = BTreeMap::new();
    for record in records {
        if let Some(basis) = moved(record) {
            found.entry(record.plan).or_insert((&record.id, 0, basis)).1 += 1;
        }
    }
    let event = |(record, records, basis): (&Arc<str>, usize, &'static str)| EventKind::Basis {
        record: Arc::clone(record),
        records,
        basis: basis.into(),
    };
    found.into_values().map(event).collect()
}

/// The grounds furthest from health on which any class is answered.
fn worst(plan: &PlanSteering) -> &'static str {
    let grounds = plan.selections().iter().map(|selection| selection.basis);
    grounds.max_by_key(|basis| basis.badness()).map_or(HEALTHY, Basis::word)
}
