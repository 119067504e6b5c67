//! What `tradewind check` tells about a set of files that is sound: how soon a failure is seen,
//! how many kinds of clients are told apart, what stickiness costs.

use super::{checks::CheckFacts, link::Linked, server::Server, zones::Served};
use crate::policy::tree::{Dependent, Endpoint, EndpointTarget, Kind};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    fmt::{self, Write},
    time::Duration,
};

/// Facts about a compiled set of files; part of the CLI's promise as `--json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// The zones, in the order of their files.
    pub zones: Vec<ZoneFacts>,
    /// The checks that something uses.
    pub checks: Vec<CheckFacts>,
    /// The client maps.
    pub maps: Vec<MapFacts>,
    /// The sticky records.
    pub sticky: Vec<StickyFacts>,
    /// The names that are answered as their addresses, and by which records.
    pub flattened: Vec<FlattenedFacts>,
    /// `zone/record: matcher` for matchers that no loaded database can match.
    pub unmatched: Vec<String>,
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ZoneFacts {
    /// Its apex.
    pub zone: String,
    /// Its main file.
    pub file: String,
    /// Its steered records.
    pub steered_records: usize,
    /// The serial given out here; none if the SOA is written by hand, or nothing is served.
    pub serial: Option<u32>,
    /// Whether anything is served of it.
    pub is_served: bool,
}

/// A client map and the records that use it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MapFacts {
    /// The first records that use it, `zone/record`.
    pub records: Vec<String>,
    /// How many use it.
    pub record_count: usize,
    /// Kinds of clients told apart.
    pub classes: usize,
    /// For each client-dependent policy its name and how many answers it has for clients; they
    /// multiply.
    pub factors: Vec<(String, usize)>,
    /// Memory it takes.
    pub bytes: usize,
}

/// What stickiness of a record costs resolvers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StickyFacts {
    /// `zone/record`.
    pub record: String,
    /// Bits of an IPv4 address that make a client.
    pub v4: u8,
    /// Bits of an IPv6 address that make a client.
    pub v6: u8,
    /// Entries a resolver may need to hold for all of routed IPv4.
    pub entries_v4: u64,
}

/// A name that is looked up here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlattenedFacts {
    /// The name.
    pub name: String,
    /// The first records that answer its addresses, `zone/record`.
    pub records: Vec<String>,
}

/// Records listed for a map before it says "and so many more".
const RECORDS_SHOWN: usize = 4;
/// Routed IPv4 in prefixes of /24 (DESIGN §5, Sticky).
const ROUTED_SLASH_24: f64 = 12_900_000.0;

pub(super) fn report(server: &Server, served: &[Served], linked: &Linked) -> CheckReport {
    let drafts = served.iter().filter_map(|served| served.draft.as_ref());
    CheckReport {
        zones: served.iter().map(zone_facts).collect(),
        checks: check_facts(server, linked),
        maps: map_facts(linked),
        sticky: sticky_facts(linked),
        flattened: flattened_facts(linked),
        unmatched: drafts.flat_map(|draft| draft.remarks.unmatched.clone()).collect(),
    }
}

fn zone_facts(served: &Served) -> ZoneFacts {
    let draft = served.draft.as_ref();
    ZoneFacts {
        zone: served.apex.to_string(),
        file: served.main.display().to_string(),
        steered_records: draft.map_or(0, |draft| draft.records.len()),
        serial: draft.and_then(|draft| draft.serial),
        is_served: draft.is_some(),
    }
}

fn check_facts(server: &Server, linked: &Linked) -> Vec<CheckFacts> {
    let mut targets: HashMap<&str, usize> = HashMap::new();
    for target in &linked.plan.targets {
        *targets.entry(&target.check.name).or_default() += 1;
    }
    let checks = server.checks.values().map(|spec| &spec.check);
    let used = checks.filter_map(|check| Some((check, *targets.get(&*check.name)?)));
    used.map(|(check, targets)| CheckFacts {
        name: check.name.to_string(),
        targets,
        interval_seconds: check.interval.as_secs_f64(),
        worst_case_detection_seconds: check.worst_case_detection().as_secs_f64(),
        refusing_detection_seconds: check.detection(Duration::ZERO).as_secs_f64(),
        hanging_detection_seconds: check.detection(check.timeout).as_secs_f64(),
        fast_recheck: check.fast_recheck.is_some(),
    })
    .collect()
}

fn map_facts(linked: &Linked) -> Vec<MapFacts> {
    let snapshot = &linked.snapshot;
    let mut users: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for record in &snapshot.records {
        if let Some(map) = snapshot.plan(record.plan).map {
            users.entry(map).or_default().push(&record.id);
        }
    }
    let facts = users.into_iter().filter_map(|(map, records)| {
        let plan = snapshot.plans.iter().find(|plan| plan.map == Some(map))?;
        let factors = plan.tree.nodes.iter().filter_map(|node| {
            let number = match &node.kind {
                Kind::Geo(geo) => geo.dependent,
                Kind::Latency(latency) => latency.dependent,
                _ => return None,
            };
            let lists = match &plan.tree.classes.dependents[usize::from(number)] {
                Dependent::Geo(lists) => lists.len(),
                Dependent::Latency(lists) => lists.len(),
            };
            Some((node.name.to_string(), lists))
        });
        Some(MapFacts {
            record_count: records.len(),
            records: records.iter().take(RECORDS_SHOWN).map(|r| (*r).to_owned()).collect(),
            classes: plan.tree.classes.classes(),
            factors: factors.collect(),
            bytes: snapshot.maps[map.index()].bytes(),
        })
    });
    facts.collect()
}

fn sticky_facts(linked: &Linked) -> Vec<StickyFacts> {
    let snapshot = &linked.snapshot;
    let facts = snapshot.records.iter().filter_map(|record| {
        let sticky = snapshot.plan(record.plan).sticky?;
        let entries = ROUTED_SLASH_24 * 2_f64.powi(i32::from(sticky.v4) - 24);
        Some(StickyFacts {
            record: record.id.to_string(),
            v4: sticky.v4,
            v6: sticky.v6,
            entries_v4: entries.ceil() as u64,
        })
    });
    facts.collect()
}

fn flattened_facts(linked: &Linked) -> Vec<FlattenedFacts> {
    let snapshot = &linked.snapshot;
    let facts = snapshot.aliases.iter().map(|alias| {
        let plans = alias.slots.iter().flat_map(|slot| &snapshot.plans_of_slot[slot.index()]);
        let plans: Vec<_> = plans.copied().collect();
        let users = snapshot.records.iter().filter(|record| {
            let endpoints = || snapshot.plan(record.plan).tree.pools().flat_map(|p| &p.endpoints);
            let flattens = |endpoint: &Endpoint| match endpoint.target {
                EndpointTarget::Flattened { slot } => alias.slots.contains(&slot),
                _ => false,
            };
            plans.contains(&record.plan) && endpoints().any(flattens)
        });
        FlattenedFacts {
            name: alias.name.to_string(),
            records: users.take(RECORDS_SHOWN).map(|record| record.id.to_string()).collect(),
        }
    });
    facts.collect()
}

impl fmt::Display for CheckReport {
    /// As `tradewind check` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records: usize = self.zones.iter().map(|zone| zone.steered_records).sum();
        let (zones, records) =
            (counted(self.zones.len(), "zone"), counted(records, "steered record"));
        writeln!(f, "{zones}, {records}")?;
        for check in &self.checks {
            let CheckFacts { name, targets, .. } = check;
            writeln!(
                f,
                "check {name}: {}, every {} s; one that refuses is down after at most {} s, one \
                 that hangs after {} s",
                counted(*targets, "target"),
                check.interval_seconds,
                check.refusing_detection_seconds,
                check.hanging_detection_seconds,
            )?;
        }
        if self.checks.iter().any(|check| check.fast_recheck) {
            f.write_str(
                "  failures are looked at again at once, so a blip of two to three seconds can \
                 move a region;\n  `fast_recheck = \"off\"` is the calm setting\n",
            )?;
        }
        for map in &self.maps {
            write_map(f, map)?;
        }
        for sticky in &self.sticky {
            writeln!(
                f,
                "sticky {}: a client is a /{} or /{}; up to {} entries in a resolver's cache",
                sticky.record,
                sticky.v4,
                sticky.v6,
                rounded(sticky.entries_v4),
            )?;
        }
        for FlattenedFacts { name, records } in &self.flattened {
            let records = records.join(", ");
            writeln!(
                f,
                "flattened {name}, in {records}: its addresses are looked up by this server"
            )?;
        }
        if !self.flattened.is_empty() {
            f.write_str(
                "  without the clients' networks: whoever asks, the answer is what this server's \
                 resolver gets, so that\n  a target which itself steers by client gives all of \
                 them one answer\n",
            )?;
        }
        for matcher in &self.unmatched {
            writeln!(f, "never matched: {matcher}")?;
        }
        Ok(())
    }
}

fn write_map(f: &mut fmt::Formatter<'_>, map: &MapFacts) -> fmt::Result {
    let classes = match map.classes {
        1 => "1 class of clients".to_owned(),
        n => format!("{n} classes of clients"),
    };
    write!(f, "map of {}: {classes}", map.records.join(", "))?;
    if map.record_count > map.records.len() {
        write!(f, " (and {} more)", map.record_count - map.records.len())?;
    }
    if map.factors.len() > 1 {
        let mut factors = String::new();
        for (name, lists) in &map.factors {
            let name = if name.is_empty() { "the record" } else { name };
            let separator = if factors.is_empty() { "" } else { " × " };
            write!(factors, "{separator}{lists} of {name}")?;
        }
        write!(f, " (at most {factors})")?;
    }
    writeln!(f, ", {} KiB", map.bytes.div_ceil(1_024))
}

fn counted(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// As DESIGN writes such numbers: 12.9 M, 0.8 M, 50 k.
fn rounded(n: u64) -> String {
    match n {
        400_000.. => format!("{:.1} M", n as f64 / 1e6),
        1_000.. => format!("{:.0} k", n as f64 / 1e3),
        n => n.to_string(),
    }
}
