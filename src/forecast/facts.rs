//! What files say of pools, failovers and regions, in words that can be compared over two
//! Snapshots: their ids mean nothing in each other.

use super::difference::{Detail, Difference, Item, Sign};
use crate::{
    policy::{
        rules::{Failback, Mode, Ramp, Rules},
        tree::{Endpoint, EndpointTarget, MinHealthy, Pool},
    },
    snapshot::{Slot, Snapshot, TtlPolicy, safety::SafetyRule},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    time::Duration,
};

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PoolFacts {
    pub endpoints: Vec<EndpointFacts>,
    answers: u16,
    min_healthy: String,
    extra: String,
    capacity: Option<u32>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndpointFacts {
    name: String,
    addresses: String,
    weight: u32,
    region: Option<String>,
    check: Option<String>,
}

impl fmt::Display for EndpointFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.addresses)
    }
}

/// Every pool of `snapshot` by its id; several of one id where records hand down other regions or
/// checks.
pub(super) fn pools(snapshot: &Snapshot) -> BTreeMap<&str, BTreeSet<PoolFacts>> {
    let capacities = snapshot.capacities.iter();
    let capacities: HashMap<&str, u32> =
        capacities.map(|capacity| (&*capacity.pool, capacity.millionths)).collect();
    let mut found: BTreeMap<&str, BTreeSet<PoolFacts>> = BTreeMap::new();
    for pool in snapshot.plans.iter().flat_map(|plan| plan.tree.pools()) {
        let capacity = capacities.get(&*pool.id).copied();
        found.entry(&pool.id).or_default().insert(PoolFacts::of(pool, capacity, snapshot));
    }
    found
}

impl PoolFacts {
    fn of(pool: &Pool, capacity: Option<u32>, snapshot: &Snapshot) -> PoolFacts {
        let extra: Vec<String> = pool
            .extra
            .iter()
            .flat_map(|rdatas| {
                let text = |rdata: Vec<u8>| crate::zone::rdata_text(rdatas.rtype(), &rdata);
                rdatas.iter(None).map(move |rdata| format!("{} {}", rdatas.rtype(), text(rdata)))
            })
            .collect();
        PoolFacts {
            endpoints: pool.endpoints.iter().map(|one| EndpointFacts::of(one, snapshot)).collect(),
            answers: pool.answers,
            min_healthy: min_healthy(&pool.min_healthy),
            extra: extra.join("; "),
            capacity,
        }
    }

    /// How it becomes `new`.
    pub fn changes(&self, new: &PoolFacts) -> Vec<Detail> {
        let mut details = Vec::new();
        let named = |pool: &PoolFacts| {
            let all = pool.endpoints.iter();
            all.map(|one| (one.name.clone(), one.clone())).collect::<BTreeMap<_, _>>()
        };
        let (old_ones, new_ones) = (named(self), named(new));
        for one in old_ones.values().filter(|one| !new_ones.contains_key(&one.name)) {
            details.push(Detail::removed(format!("endpoint {one}")));
        }
        for is in new_ones.values() {
            let Some(was) = old_ones.get(&is.name) else {
                details.push(Detail::added(format!("endpoint {is}")));
                continue;
            };
            let what = |of: &str| format!("endpoint {}: {of}", is.name);
            let none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
            details.extend(Detail::between(
                &what("address"),
                &was.addresses,
                &is.addresses,
                String::clone,
            ));
            details.extend(Detail::between(
                &what("weight"),
                &was.weight,
                &is.weight,
                u32::to_string,
            ));
            details.extend(Detail::between(&what("region"), &was.region, &is.region, none));
            details.extend(Detail::between(&what("check"), &was.check, &is.check, none));
        }
        details.extend(Detail::between("answers", &self.answers, &new.answers, u16::to_string));
        let least = (&self.min_healthy, &new.min_healthy);
        details.extend(Detail::between("min_healthy", least.0, least.1, String::clone));
        details.extend(Detail::between("extra", &self.extra, &new.extra, |text| {
            if text.is_empty() { "nothing".into() } else { format!("`{text}`") }
        }));
        details.extend(Detail::between("capacity", &self.capacity, &new.capacity, |capacity| {
            capacity.map_or("none".into(), |it| format!("{} %", f64::from(it) / 1e4))
        }));
        details
    }
}

impl EndpointFacts {
    fn of(endpoint: &Endpoint, snapshot: &Snapshot) -> EndpointFacts {
        let slots: Vec<&Slot> =
            endpoint.target.slots().map(|slot| &snapshot.slots[slot.index()]).collect();
        let addresses: Vec<String> = slots.iter().map(|slot| slot.address.to_string()).collect();
        let flattened = match endpoint.target {
            EndpointTarget::Flattened { .. } => " flattened",
            EndpointTarget::Addresses { .. } | EndpointTarget::Cname { .. } => "",
        };
        EndpointFacts {
            name: endpoint.name.to_string(),
            addresses: addresses.join(" ") + flattened,
            weight: endpoint.weight.get(),
            region: endpoint.region.map(|region| snapshot.region_name(region).to_owned()),
            check: slots.iter().find_map(|slot| slot.check.as_deref()).map(str::to_owned),
        }
    }
}

/// What all zones share: regions and safety rules.
pub(super) fn shared(old: &Snapshot, new: &Snapshot, into: &mut Difference) {
    let regions = [old, new].map(|snapshot| {
        let region = |region: &crate::snapshot::Region| {
            (region.name.to_string(), format!("{}, {}", region.at.lat, region.at.lon))
        };
        snapshot.regions.iter().map(region).collect::<BTreeMap<String, String>>()
    });
    named("region", &regions, "at", into);
    let safety = [old, new].map(|snapshot| {
        let rule = |rule: &SafetyRule| (rule.name.to_string(), safety(rule));
        snapshot.safety.iter().map(rule).collect::<BTreeMap<String, String>>()
    });
    named("safety rule", &safety, "", into);
}

fn named(
    kind: &'static str,
    both: &[BTreeMap<String, String>; 2],
    what: &str,
    into: &mut Difference,
) {
    let names: BTreeSet<&String> = both.iter().flat_map(BTreeMap::keys).collect();
    for name in names {
        let (sign, detail) = match (both[0].get(name), both[1].get(name)) {
            (Some(old), Some(new)) => match Detail::between(what, old, new, String::clone) {
                Some(detail) => (Sign::Changed, detail),
                None => continue,
            },
            (None, Some(new)) => (Sign::Added, Detail::added(new.clone())),
            (Some(old), None) => (Sign::Removed, Detail::removed(old.clone())),
            (None, None) => continue,
        };
        into.tell(Item { sign, kind, name: name.clone(), others: 0, details: vec![detail] });
    }
}

fn safety(rule: &SafetyRule) -> String {
    let mut said = Vec::new();
    said.extend(rule.min_active_regions.map(|least| format!("min_active_regions {least}")));
    said.extend(rule.respect_capacity.then(|| "respect_capacity".to_owned()));
    if !rule.two_persons.is_empty() {
        let verbs: Vec<&str> = rule.two_persons.iter().map(|verb| verb.word()).collect();
        said.push(format!("two_persons {}", verbs.join(", ")));
    }
    said.extend(rule.wait.map(|wait| format!("wait {}", seconds(wait))));
    said.join(", ")
}

/// How two sets of rules of a failover differ.
pub(super) fn rules([old, new]: [&Rules; 2]) -> Vec<Detail> {
    let mode = |mode: &Mode| match mode {
        Mode::Auto => "auto".to_owned(),
        Mode::Manual => "manual".to_owned(),
    };
    let failback = |failback: &Failback| match failback {
        Failback::Auto => "auto".to_owned(),
        Failback::After(delay) => format!("after {}", seconds(*delay)),
        Failback::Manual => "manual".to_owned(),
    };
    let details = [
        Detail::between("failover", &old.failover, &new.failover, mode),
        Detail::between("failover_delay", &old.failover_delay, &new.failover_delay, |delay| {
            seconds(*delay)
        }),
        Detail::between("failback", &old.failback, &new.failback, failback),
        Detail::between("ramp", &old.ramp, &new.ramp, |it| ramp(*it)),
    ];
    details.into_iter().flatten().collect()
}

pub(super) fn ramp(ramp: Option<Ramp>) -> String {
    ramp.map_or("none".into(), |ramp| format!("{} from {}", seconds(ramp.over), ramp.start))
}

pub(super) fn min_healthy(least: &MinHealthy) -> String {
    match least {
        MinHealthy::Count(count) => count.to_string(),
        MinHealthy::Share(share) => format!("{} %", f64::from(*share) / 1e4),
    }
}

/// `30 s`, or `5 s to 30 s`.
pub(super) fn ttl(ttl: &TtlPolicy) -> String {
    let (min, max) = (ttl.min.as_secs(), ttl.max.as_secs());
    if min == max { format!("{max} s") } else { format!("{min} s to {max} s") }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
