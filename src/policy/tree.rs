//! The compiled form of policies: a tree of nodes with every word already an index.
//!
//! Made by `compile`, read by [`super::select`]. What a file could get wrong has been refused
//! before a tree exists, so the types hold only what can be steered: every weighted node has an
//! absorbing member, every geo chain ends in a catch-all or a fence, indices point into the
//! tree. Nodes may be shared (a policy referred to twice is one node), loops may not exist.

use crate::{
    ids::{Class, FailoverId, RegionId, SlotId},
    units::{Share, Weight},
    wire::{Rdatas, types::Rtype},
};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// Most endpoints in a pool (DESIGN §1, Bounds).
pub const POOL_MAX: usize = 256;
/// Most members of a policy (DESIGN §1, Bounds).
pub const MEMBERS_MAX: usize = 64;
/// Deepest nesting (DESIGN §1, Bounds).
pub const DEPTH_MAX: usize = 8;
/// Most leaves of one tree, counted along every path (DESIGN §1, Bounds).
pub const LEAVES_MAX: usize = 1024;

/// Most types that the pools of one tree give beside addresses: each is one more draw in every
/// Selection.
pub const EXTRA_TYPES_MAX: usize = 8;
/// Most bytes of rdata that a pool gives beside addresses: about three UDP answers full of them.
/// Every Selection has a copy for each region that leads.
pub const EXTRA_BYTES_MAX: usize = 4_096;

/// Index of a node inside its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIx(pub u16);

/// All policies of one record, its pools as leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tree {
    /// The nodes; [`NodeIx`] points in here.
    pub nodes: Box<[Node]>,
    /// Where selection starts.
    pub root: NodeIx,
    /// What is answered when nothing is available.
    pub all_down: AllDown,
    /// What each class of clients means to the client-dependent nodes.
    pub classes: Arc<ClassTable>,
}

impl Tree {
    /// The node at `ix`.
    pub fn node(&self, ix: NodeIx) -> &Node {
        &self.nodes[usize::from(ix.0)]
    }
    /// The types that some pool of it gives beside addresses, rising.
    pub fn extra_types(&self) -> Box<[Rtype]> {
        let types = self.pools().flat_map(|pool| pool.extra.iter()).map(Rdatas::rtype);
        types.collect::<BTreeSet<Rtype>>().into_iter().collect()
    }
    /// Every pool of the tree, `all_down = "pool:…"` included.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            Kind::Pool(pool) => Some(pool),
            _ => None,
        })
    }
}

/// One pool or policy of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// The name as written (`stable`, `eu-split`, or the address of an inline endpoint); empty
    /// for a policy written at the record itself.
    pub name: Arc<str>,
    /// What it does.
    pub kind: Kind,
}

/// The policies, and the pools below them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Endpoints to answer.
    Pool(Pool),
    /// Clients divided by weight.
    Weighted(Weighted),
    /// The active member of a state machine.
    Failover(Failover),
    /// By place: the first available of the most specific rule.
    Geo(Geo),
    /// By estimated latency.
    Latency(Latency),
    /// The up endpoints of all available members in one answer.
    Multivalue(Multivalue),
    /// NODATA on purpose (`use = []`): an answer, not a gap.
    Empty,
}

impl Kind {
    /// As written in zone files.
    pub const fn word(&self) -> &'static str {
        match self {
            Kind::Pool(_) => "pool",
            Kind::Weighted(_) => "weighted",
            Kind::Failover(_) => "failover",
            Kind::Geo(_) => "geo",
            Kind::Latency(_) => "latency",
            Kind::Multivalue(_) => "multivalue",
            Kind::Empty => "nothing",
        }
    }
}

/// Endpoints under one roof.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// `zone/pool`, or `pool` for a shared one; for people and metrics.
    pub id: Arc<str>,
    /// At most [`POOL_MAX`]; either all addresses or all CNAMEs.
    pub endpoints: Box<[Endpoint]>,
    /// How many endpoints one answer carries.
    pub answers: u16,
    /// When the pool counts as available.
    pub min_healthy: MinHealthy,
    /// What its clients are given of other types, by rising type; at most [`EXTRA_TYPES_MAX`].
    pub extra: Arc<[Rdatas]>,
}

impl Pool {
    /// The records of `rtype` beside its addresses.
    pub fn extra(&self, rtype: Rtype) -> Option<&Rdatas> {
        self.extra.iter().find(|rdatas| rdatas.rtype() == rtype)
    }
}

/// An address, a pair of addresses, or a name we may answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Unique in its pool; sticky draws and followers hash it.
    pub name: Arc<str>,
    /// Its share of the pool. Zero is a reserve inside the pool.
    pub weight: Weight,
    /// Where it stands.
    pub region: Option<RegionId>,
    /// What it answers.
    pub target: EndpointTarget,
}

/// What an endpoint answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointTarget {
    /// Addresses, at least one of the two, each judged by its own slot.
    Addresses {
        /// The A record and its slot.
        v4: Option<(Ipv4Addr, SlotId)>,
        /// The AAAA record and its slot.
        v6: Option<(Ipv6Addr, SlotId)>,
    },
    /// A CNAME: the target in uncompressed wire form, case as written.
    Cname {
        /// RFC 1035 §3.1 wire form with the root label.
        wire: Arc<[u8]>,
        /// Its slot.
        slot: SlotId,
    },
    /// The addresses that were found for a name ([`Directives::found`](super::Directives)), which
    /// its slot has.
    Flattened {
        /// Its slot.
        slot: SlotId,
    },
}

impl EndpointTarget {
    /// The slots that judge it: one or two.
    pub fn slots(&self) -> impl Iterator<Item = SlotId> {
        let (a, b) = match self {
            EndpointTarget::Addresses { v4, v6 } => (v4.map(|(_, s)| s), v6.map(|(_, s)| s)),
            EndpointTarget::Cname { slot, .. } | EndpointTarget::Flattened { slot } => {
                (Some(*slot), None)
            }
        };
        a.into_iter().chain(b)
    }
    /// The IPv4 address it was given.
    pub fn v4(&self) -> Option<Ipv4Addr> {
        match self {
            EndpointTarget::Addresses { v4, .. } => v4.map(|(address, _)| address),
            EndpointTarget::Cname { .. } | EndpointTarget::Flattened { .. } => None,
        }
    }
    /// The IPv6 address it was given.
    pub fn v6(&self) -> Option<Ipv6Addr> {
        match self {
            EndpointTarget::Addresses { v6, .. } => v6.map(|(address, _)| address),
            EndpointTarget::Cname { .. } | EndpointTarget::Flattened { .. } => None,
        }
    }
}

/// From which share of health on a pool or policy counts as available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MinHealthy {
    /// At least so many endpoints (members, for a policy). `Count(1)` is the default.
    Count(u16),
    /// At least this share of the configured weight, in millionths (`0.5` = 500,000).
    Share(u32),
}

impl Default for MinHealthy {
    fn default() -> Self {
        MinHealthy::Count(1)
    }
}

/// Clients divided by weight (DESIGN §5, Weights).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Weighted {
    /// At most [`MEMBERS_MAX`], at least one of them absorbing.
    pub members: Box<[WeightedMember]>,
    /// Share (or count) of the *absorbing* weight that must be available.
    pub min_healthy: MinHealthy,
}

impl Weighted {
    /// Whether members that do not absorb, all of them available, have all there is: then it is no
    /// matter who could take what is left.
    pub(super) fn is_given_away(&self, mut is_available: impl FnMut(NodeIx) -> bool) -> bool {
        let mut entitled = self.members.iter().filter(|m| !m.weight.is_reserve()).peekable();
        entitled.peek().is_some() && entitled.all(|m| !m.absorb && is_available(m.node))
    }
}

/// A member with its share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WeightedMember {
    /// The pool or policy.
    pub node: NodeIx,
    /// Zero is a reserve.
    pub weight: Weight,
    /// Whether it takes what others leave. One that does not gets exactly its configured share.
    pub absorb: bool,
}

/// Active-passive. Which member is active is a directive, shared by all who refer to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failover {
    /// Whose state machine.
    pub id: FailoverId,
    /// In order of preference, at most [`MEMBERS_MAX`], at least one.
    pub members: Box<[NodeIx]>,
    /// How many of all clients keep the next member after the active one warm.
    pub trickle: Share,
}

/// By place: the class gives the chain of matching rules, most specific first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Geo {
    /// Which column of the [`ClassTable`] speaks of this node.
    pub dependent: u16,
    /// In the order written; chains index into it.
    pub rules: Box<[GeoRule]>,
}

/// One rule of a geo policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GeoRule {
    /// The matchers as written, for people: `country:DE, country:AT`.
    pub label: Arc<str>,
    /// First available wins; a single [`Kind::Empty`] for `use = []`.
    pub members: Box<[NodeIx]>,
    /// Whether matching stops here, available or not.
    pub fence: bool,
}

/// By estimated latency: the class gives the order of members and who is within `tie` of whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Latency {
    /// Which column of the [`ClassTable`] speaks of this node.
    pub dependent: u16,
    /// In the order written; ranks index into it. Weights divide ties.
    pub members: Box<[WeightedMember]>,
}

/// Many endpoints in one answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Multivalue {
    /// At most [`MEMBERS_MAX`].
    pub members: Box<[NodeIx]>,
    /// How many endpoints one answer carries.
    pub answers: u16,
    /// How many members must be available.
    pub min_healthy: MinHealthy,
}

/// What a record answers when nothing is available, even ignoring `min_healthy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum AllDown {
    /// The endpoints that were up just before the change which left none; unknown = all.
    #[default]
    LastGood,
    /// Everything, as if all were up.
    All,
    /// The first pool in the client's order, whole.
    First,
    /// An empty answer: the one way in which health may cause it.
    Nodata,
    /// This pool, whole. It is a node of the tree, reached only from here.
    Pool(NodeIx),
}

/// What every class of one map means to the client-dependent nodes of a tree.
///
/// Shared by all trees with equal rules, and part of the map they share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct ClassTable {
    /// For each client-dependent node, its distinct candidate lists.
    pub dependents: Box<[Dependent]>,
    /// Row by row: for each class, the list number for each dependent. Its length is
    /// classes × dependents; with no dependents there is one class, 0.
    pub lists: Box<[u16]>,
}

/// The candidate lists of one client-dependent node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dependent {
    /// Chains of rule numbers, most specific first; each ends in the catch-all or a fence.
    Geo(Box<[Box<[u8]>]>),
    /// Members by rising score.
    Latency(Box<[Box<[Rank]>]>),
}

/// A place in a latency order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rank {
    /// Index of the member as written.
    pub member: u8,
    /// How many of the following ranks lie within `tie` of this one.
    pub followers: u8,
}

impl ClassTable {
    /// Number of classes; one when nothing depends on the client.
    pub fn classes(&self) -> usize {
        match self.dependents.len() {
            0 => 1,
            n => self.lists.len() / n,
        }
    }
    /// Whether answers depend on who asks.
    pub fn depends_on_client(&self) -> bool {
        !self.dependents.is_empty()
    }
    fn list(&self, class: Class, dependent: u16) -> usize {
        usize::from(self.lists[class.index() * self.dependents.len() + usize::from(dependent)])
    }
    /// The chain of rules that `class` goes through at geo node number `dependent`.
    pub fn chain(&self, class: Class, dependent: u16) -> &[u8] {
        match &self.dependents[usize::from(dependent)] {
            Dependent::Geo(lists) => &lists[self.list(class, dependent)],
            Dependent::Latency(_) => &[],
        }
    }
    /// The order of members for `class` at latency node number `dependent`.
    pub fn order(&self, class: Class, dependent: u16) -> &[Rank] {
        match &self.dependents[usize::from(dependent)] {
            Dependent::Latency(lists) => &lists[self.list(class, dependent)],
            Dependent::Geo(_) => &[],
        }
    }
}
