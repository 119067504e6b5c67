//! Everything compiled from files: what the operator wrote, with every word an index.
//!
//! Immutable. Knows no verdicts and no packets: [`crate::steering`] adds the one,
//! [`crate::engine`] the other.

pub mod identity;
pub mod safety;
#[cfg(test)]
pub(crate) mod testing;

pub use crate::policy::rules::{Failback, GateName, Mode, Ramp, Rules};
use crate::{
    guard,
    ids::{Class, CounterSlot, FailoverId, MapId, PlanId, RecordId, RegionId, SlotId, ZoneId},
    place::{ClientMap, latency::LatencyTable},
    policy::tree::{Kind, NodeIx, Tree},
    units::{Coordinates, Ttl},
    wire::{Name, types::Rtype},
    zone::{Zone, Zones},
};
use identity::Identity;
use safety::{Capacity, SafetyRule};
use std::{net::IpAddr, ops::Range, sync::Arc};

/// What all files say, compiled.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Apex → zone, for thousands of zones.
    pub apexes: Zones,
    /// The zones, by [`ZoneId`].
    pub zones: Box<[ZoneEntry]>,
    /// Steered records, by [`RecordId`]; those of one zone stand together.
    pub records: Box<[Record]>,
    /// What steers them, by [`PlanId`]; equal records share one.
    pub plans: Box<[Plan]>,
    /// Client maps, by [`MapId`].
    pub maps: Box<[Arc<ClientMap>]>,
    /// Regions, by [`RegionId`].
    pub regions: Box<[Region]>,
    /// Round trips that the operator measured, in the order they are asked.
    pub measured: Box<[Arc<LatencyTable>]>,
    /// Everything that has a verdict, by [`SlotId`].
    pub slots: Box<[Slot]>,
    /// For each slot the plans its verdict touches.
    pub plans_of_slot: Box<[Box<[PlanId]>]>,
    /// Failover definitions, by [`FailoverId`].
    pub failovers: Box<[FailoverDefinition]>,
    /// For each failover the plans it moves.
    pub plans_of_failover: Box<[Box<[PlanId]>]>,
    /// What no operator's change may do.
    pub safety: Box<[SafetyRule]>,
    /// The capacities of pools that have one.
    pub capacities: Box<[Capacity]>,
    /// The names whose addresses are answered in their place, each once.
    pub aliases: Box<[Alias]>,
    /// Names of the policies that all zones see.
    pub shared_policies: Box<[Arc<str>]>,
    /// Who may ask, and how much a stranger is told.
    pub guard: guard::Rules,
    /// Who the server says it is.
    pub identity: Identity,
}

impl Snapshot {
    /// The record with this id.
    pub fn record(&self, id: RecordId) -> &Record {
        &self.records[id.index()]
    }
    /// The plan with this id.
    pub fn plan(&self, id: PlanId) -> &Plan {
        &self.plans[id.index()]
    }
    /// The zone with this id.
    pub fn zone(&self, id: ZoneId) -> &ZoneEntry {
        &self.zones[id.index()]
    }
    /// The region's name, for people.
    pub fn region_name(&self, id: RegionId) -> &str {
        &self.regions[id.index()].name
    }
}

/// A zone and what is steered in it.
#[derive(Clone, Debug)]
pub struct ZoneEntry {
    /// The apex.
    pub apex: Name,
    /// Its names. `None`: it never compiled, so it is answered with SERVFAIL (EDE 14).
    pub zone: Option<Arc<Zone>>,
    /// Its steered records. A node's steering index counts from the start of this range.
    pub records: Range<u32>,
}

/// A steered record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it lives.
    pub zone: ZoneId,
    /// Its owner name; the leftmost label may be `*`.
    pub owner: Name,
    /// `zone/record` as written, for people, metrics and `record:` targets.
    pub id: Arc<str>,
    /// What steers it.
    pub plan: PlanId,
    /// Hash of its cohort, mixed into every sticky draw.
    pub cohort: u64,
    /// One counter for each entry of `Plan::spots`.
    pub counters: Box<[CounterSlot]>,
}

/// What steers records: the unit of Steering. Records with equal plans share one.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The policies.
    pub tree: Arc<Tree>,
    /// Where clients are; `None` when the tree does not depend on the client.
    pub map: Option<MapId>,
    /// How long answers may be kept.
    pub ttl: TtlPolicy,
    /// How fast an endpoint that comes back gets its clients; at once when absent.
    pub ramp: Option<Ramp>,
    /// Whether one client network gets one answer.
    pub sticky: Option<Sticky>,
    /// Whether a client subnet in the query counts (`ecs = "ignore"` says no).
    pub use_ecs: bool,
    /// Whether some leaf is a CNAME: then every query type draws and the name owns nothing else.
    pub has_cname: bool,
    /// Whether some endpoint has an IPv4 address; else A is a type the name never has.
    pub has_v4: bool,
    /// Whether some endpoint has an IPv6 address; else AAAA is a type the name never has.
    pub has_v6: bool,
    /// The types that some pool gives beside addresses, rising; other types are static.
    pub extra: Box<[Rtype]>,
    /// The distinct places of its endpoints; a Variant's spot is an index in here.
    pub spots: Box<[Spot]>,
    /// Every slot of the tree, each once.
    pub slots: Box<[SlotId]>,
    /// Every failover of the tree, each once.
    pub failovers: Box<[FailoverId]>,
}

/// Where answers lead: what they are counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The region of the endpoint that leads, if it has one.
    pub region: Option<RegionId>,
    /// The id of its pool.
    pub pool: Arc<str>,
}

/// `ttl = "30s"` is fixed; `{ max, min }` shrinks to `min` while something is failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TtlPolicy {
    /// In quiet times.
    pub max: Ttl,
    /// While an endpoint has a failing probe or a ramp runs; equals `max` when fixed.
    pub min: Ttl,
}

/// How far a client's address is cut to make its sticky key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sticky {
    /// Bits of an IPv4 address, 1..=32; default 24.
    pub v4: u8,
    /// Bits of an IPv6 address, 1..=128; default 48.
    pub v6: u8,
}

/// A region: a name and, when known, a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// As written in `[regions.NAME]`.
    pub name: Arc<str>,
    /// From the cloud catalogue or `at = [lat, lon]`.
    pub at: Coordinates,
}

/// One address or name with a verdict.
#[derive(Clone, Debug)]
pub struct Slot {
    /// `zone/pool/endpoint`: stable over reloads, together with the address.
    pub name: Arc<str>,
    /// What is answered.
    pub address: SlotAddress,
    /// Key of the target that judges it; `None` = no check, always up.
    pub target: Option<Arc<str>>,
    /// The name of that target's check.
    pub check: Option<Arc<str>>,
    /// Where it stands.
    pub region: Option<RegionId>,
}

/// A name that is answered as the addresses it has.
#[derive(Clone, Debug)]
pub struct Alias {
    /// The name.
    pub name: Name,
    /// The slots that have it.
    pub slots: Box<[SlotId]>,
}

/// What a slot answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SlotAddress {
    /// An A or AAAA record.
    Ip(IpAddr),
    /// A CNAME target.
    Name(Arc<str>),
}

/// A failover policy: one state machine, wherever it is referred to.
#[derive(Clone, Debug)]
pub struct FailoverDefinition {
    /// `zone/record` or `zone/policy`: stable over reloads.
    pub name: Arc<str>,
    /// A tree it stands in, and where: availability of its members is asked there.
    pub tree: Arc<Tree>,
    /// Its node in that tree.
    pub node: NodeIx,
    /// Names of the members, so that a latch survives a reload that reorders them.
    pub members: Box<[Arc<str>]>,
    /// For each member what must be up before clients are moved to it.
    pub gates: Box<[Box<[GateName]>]>,
    /// How it moves.
    pub rules: Rules,
}

impl FailoverDefinition {
    /// The members' nodes in `tree`, in order of preference.
    pub fn member_nodes(&self) -> &[NodeIx] {
        match &self.tree.node(self.node).kind {
            Kind::Failover(failover) => &failover.members,
            _ => &[],
        }
    }
}

impl std::fmt::Display for SlotAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SlotAddress::Ip(ip) => ip.fmt(f),
            SlotAddress::Name(name) => name.fmt(f),
        }
    }
}

impl Plan {
    /// The map's class for clients nobody can place, and the only class of a plan without map.
    pub const ONLY_CLASS: Class = Class(0);
}
