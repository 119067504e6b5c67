//! World → what there is, thing by thing, in pages.
//!
//! What is costly (the shares of a record) is worked out for what is on the page, once for each
//! plan: a page of a thousand records over ten plans costs ten.

use super::schema::{
    SCHEMA_VERSION, ZoneState, ZoneStatus,
    things::{
        CheckLine, GeoLine, MemberLine, Page, PageQuery, RecordLine, RegionLine, ShareLine,
        ZoneLine,
    },
};
use crate::{
    forecast::{
        Clients, Look,
        shares::{Standpoint, of_pools},
    },
    health::TargetState,
    ids::{PlanId, RegionId, SlotId},
    place::{LazyTable, fold},
    policy::{
        available,
        tree::{Kind, NodeIx, Tree},
    },
    snapshot::{Plan, Record, Slot},
    units::Weight,
    world::World,
};
use globset::{Glob, GlobMatcher};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};
use utoipa::ToSchema;

/// Things on a page, unless fewer are asked for.
const PAGE: usize = 1_000;

/// A page that is asked for.
pub(super) struct Wanted {
    like: Option<GlobMatcher>,
    after: Option<String>,
    limit: usize,
}

impl PageQuery {
    /// What it asks for, or what is wrong with it.
    pub(super) fn read(self) -> Result<Wanted, String> {
        let limit = self.limit.map_or(PAGE, |limit| limit as usize);
        if !(1..=PAGE).contains(&limit) {
            return Err(format!("`limit` is 1 to {PAGE}"));
        }
        let like = self.like.as_deref().map(Glob::new).transpose();
        let like = like.map_err(|error| format!("`match`: {error}"))?;
        Ok(Wanted { like: like.map(|glob| glob.compile_matcher()), after: self.after, limit })
    }
}

impl Wanted {
    /// The page of `all` that is wanted; `name` gives the name of each.
    pub fn page<T, L: ToSchema>(
        &self,
        mut all: Vec<T>,
        name: impl Fn(&T) -> &str,
        world: &World,
        line: impl FnMut(&T) -> L,
    ) -> Page<L> {
        all.retain(|one| {
            self.after.as_deref().is_none_or(|after| name(one) > after)
                && self.like.as_ref().is_none_or(|like| like.is_match(name(one)))
        });
        // Stable: what has one name, the two addresses of an endpoint, stays as it was.
        all.sort_by(|a, b| name(a).cmp(name(b)));
        let mut end = all.len().min(self.limit);
        // One name is never torn apart: whoever asks for what comes after it would miss the rest.
        while end > 0 && end < all.len() && name(&all[end]) == name(&all[end - 1]) {
            end += 1;
        }
        let next = (end < all.len()).then(|| name(&all[end - 1]).to_owned());
        let items = all[..end].iter().map(line).collect();
        Page { schema_version: SCHEMA_VERSION, revision: world.revision, items, next }
    }
}

/// Every zone.
pub(super) fn zones(world: &World, states: Vec<ZoneStatus>, wanted: &Wanted) -> Page<ZoneLine> {
    let entries: HashMap<String, _> =
        world.snapshot.zones.iter().map(|entry| (entry.apex.to_string(), entry)).collect();
    wanted.page(
        states,
        |zone| &zone.zone,
        world,
        |status| {
            let zone = entries.get(&status.zone).and_then(|entry| entry.zone.as_ref());
            ZoneLine {
                zone: status.zone.clone(),
                state: if zone.is_none() { ZoneState::NeverCompiled } else { status.state },
                serial: zone.map(|zone| zone.serial()),
                names: zone.map_or(0, |zone| zone.name_count()),
                records: status.records,
            }
        },
    )
}

/// Every record.
pub(super) fn records(world: &World, clients: &Clients, wanted: &Wanted) -> Page<RecordLine> {
    let at = Standpoint::from(world);
    let mut known: HashMap<PlanId, (String, Vec<MemberLine>, Vec<ShareLine>)> = HashMap::new();
    let all: Vec<&Record> = world.snapshot.records.iter().collect();
    wanted.page(
        all,
        |record| &record.id,
        world,
        |record| {
            let plan = world.snapshot.plan(record.plan);
            let (basis, members, shares) = known.entry(record.plan).or_insert_with(|| {
                let selections = world.steering.plan(record.plan).selections().iter();
                let basis = selections.map(|selection| selection.basis).max_by_key(|b| b.badness());
                let basis = basis.map_or_else(String::new, super::status::basis_words);
                (basis, members(&plan.tree, world), shares(plan, &at, clients))
            });
            RecordLine {
                record: record.id.to_string(),
                zone: world.snapshot.zone(record.zone).apex.to_string(),
                owner: record.owner.to_string(),
                policy: plan.tree.node(plan.tree.root).kind.word().to_owned(),
                members: members.clone(),
                sticky: plan.sticky.is_some(),
                by_client: plan.map.is_some(),
                ttl_s: plan.ttl.max.as_secs(),
                ttl_min_s: plan.ttl.min.as_secs(),
                basis: basis.clone(),
                shares: shares.clone(),
            }
        },
    )
}

/// The members of the policy at the root.
fn members(tree: &Tree, world: &World) -> Vec<MemberLine> {
    let (standings, directives) = (&world.state.standings, world.state.moved().directives);
    let line = |ix: NodeIx, weight: Option<Weight>| {
        let node = tree.node(ix);
        MemberLine {
            member: node.name.to_string(),
            kind: node.kind.word().to_owned(),
            weight: weight.map(Weight::get),
            available: available(tree, ix, standings, &directives),
        }
    };
    let plain = |members: &[NodeIx]| members.iter().map(|ix| line(*ix, None)).collect();
    match &tree.node(tree.root).kind {
        Kind::Weighted(weighted) => {
            weighted.members.iter().map(|member| line(member.node, Some(member.weight))).collect()
        }
        Kind::Latency(latency) => {
            latency.members.iter().map(|member| line(member.node, Some(member.weight))).collect()
        }
        Kind::Failover(failover) => plain(&failover.members),
        Kind::Multivalue(multivalue) => plain(&multivalue.members),
        Kind::Geo(geo) => geo.rules.iter().flat_map(|rule| plain(&rule.members)).collect(),
        Kind::Pool(_) | Kind::Empty => Vec::new(),
    }
}

/// Which share of each crowd is sent to which pool.
fn shares(plan: &Plan, at: &Standpoint, clients: &Clients) -> Vec<ShareLine> {
    let side = (&*at.snapshot, Look::of(plan));
    let crowds = clients.of(side, side);
    let crowds = crowds.iter().flat_map(|crowds| crowds.iter());
    let shares = crowds.flat_map(|crowd| {
        let pools = of_pools(plan, at, crowd, 0).into_iter();
        pools.map(|(pool, share)| ShareLine {
            clients: crowd.name.to_owned(),
            pool: pool.to_owned(),
            // Sums of parts may be off in the last bit.
            share: share.min(1.0),
        })
    });
    shares.collect()
}

/// How many slots there are, and how many of them are up.
#[derive(Default)]
struct Count {
    all: usize,
    up: usize,
}

/// Slots counted by what `key` says of them.
fn counted<K: Ord>(world: &World, key: impl Fn(&Slot) -> Option<K>) -> BTreeMap<K, Count> {
    let mut counts: BTreeMap<K, Count> = BTreeMap::new();
    for (index, slot) in world.snapshot.slots.iter().enumerate() {
        if let Some(key) = key(slot) {
            let count = counts.entry(key).or_default();
            count.all += 1;
            let is_up = world.state.standings.of(SlotId::at(index)).standing.is_up();
            count.up += usize::from(is_up);
        }
    }
    counts
}

/// Every region.
pub(super) fn regions(world: &World, wanted: &Wanted) -> Page<RegionLine> {
    let counts = counted(world, |slot| slot.region);
    let all: Vec<_> = world.snapshot.regions.iter().enumerate().collect();
    wanted.page(
        all,
        |(_, region)| &region.name,
        world,
        |(index, region)| {
            let count = counts.get(&RegionId::at(*index));
            RegionLine {
                region: region.name.to_string(),
                latitude: region.at.lat,
                longitude: region.at.lon,
                endpoints: count.map_or(0, |count| count.all),
                up: count.map_or(0, |count| count.up),
            }
        },
    )
}

/// Every check that is used.
pub(super) fn checks(world: &World, targets: &[TargetState], wanted: &Wanted) -> Page<CheckLine> {
    let counts = counted(world, |slot| slot.check.as_deref().map(str::to_owned));
    let mut all: BTreeMap<String, CheckLine> = BTreeMap::new();
    for (check, Count { all: endpoints, up }) in counts {
        let line = CheckLine { check: check.clone(), endpoints, up, gate: None };
        all.insert(check, line);
    }
    for gate in targets.iter().filter(|target| target.gate) {
        let check = gate.label.strip_prefix("check:").unwrap_or(&gate.label).to_owned();
        let none = || CheckLine { check: check.clone(), endpoints: 0, up: 0, gate: None };
        let line = all.entry(check.clone()).or_insert_with(none);
        line.gate = Some(gate.sight.standing.word().to_owned());
    }
    wanted.page(all.into_values().collect(), |line| &line.check, world, CheckLine::clone)
}

/// Where `address` is.
pub(super) fn geo(address: IpAddr, locations: &LazyTable) -> GeoLine {
    let table = locations.table();
    let ip = fold(address);
    let found = table.lookup(ip);
    let location = found.as_ref().map(|(_, location)| location);
    GeoLine {
        schema_version: SCHEMA_VERSION,
        address: address.to_string(),
        network: found.as_ref().map(|(network, _)| network.to_string()),
        continent: location.and_then(|l| l.continent).map(|continent| continent.code().to_owned()),
        country: location.and_then(|l| l.country).map(|country| country.to_string()),
        subdivision: location.and_then(|l| l.subdivision.as_ref()).map(ToString::to_string),
        asn: location.and_then(|l| l.asn),
        database: table.sources_of(ip),
    }
}
