//! A chosen pool: which of its endpoints stand in an answer, and who leads.
//!
//! Pools are chosen without looking at the query type, so that A and AAAA agree; only here does
//! the type matter (DESIGN §5, Families). A dead address is answered where its pool has no
//! living one of that family: health alone never empties an answer.

use super::{
    directives::Found,
    sticky::{Drawn, name_hash},
    tree::{Endpoint, EndpointTarget, Pool},
};
use crate::wire::{Rdatas, types::Rtype};
use std::{
    hash::{Hash, Hasher},
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// The endpoints of a chosen pool, or of several that were merged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leaf<'t> {
    /// All of them; at least one is up, or taken to be.
    pub candidates: Vec<Candidate<'t>>,
    /// How many one answer carries.
    pub answers: u16,
    /// Not available, and answered because a failover above may not leave it yet.
    pub kept: bool,
}

/// An endpoint as one evaluation sees it.
#[derive(Clone, Debug)]
pub struct Candidate<'t> {
    /// Its pool, to tell endpoints of merged pools apart, and for what it gives besides.
    pub pool: &'t Pool,
    /// Whether pools were merged (multivalue), so that names alone may not be unique.
    pub merged: bool,
    /// The endpoint.
    pub endpoint: &'t Endpoint,
    /// What was found for its name, if it is answered flattened.
    pub found: Option<Arc<Found>>,
    /// Twice its configured weight, or once when degraded; zero is a reserve.
    pub weight: u64,
    /// Whether its A record (or CNAME) is up.
    pub up_v4: bool,
    /// Whether its AAAA record (or CNAME) is up.
    pub up_v6: bool,
}

/// What a query asks of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Any other type: only a CNAME answers it.
    Other,
    /// A type that some pool of the tree has in its `extra`: the leader's pool answers it.
    Extra(Rtype),
}

/// One answer a leaf can give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'l, 't> {
    /// The leader's name, hashed for sticky draws.
    pub hash: u64,
    /// The leader's weight against the other answers'; above zero.
    pub weight: u64,
    /// The leader, then its followers.
    pub endpoints: Vec<&'l Candidate<'t>>,
}

/// Equal when they are the same endpoint of one tree, seen alike. Decisions of thousands of
/// classes are compared at a publish: that must not read names and addresses.
impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Candidate<'_> {}

impl Hash for Candidate<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl Candidate<'_> {
    fn identity(&self) -> (*const Endpoint, u64) {
        let flags = [self.merged, self.up_v4, self.up_v6];
        let flags = flags.into_iter().fold(0, |bits, flag| bits << 1 | u64::from(flag));
        // Weights stay below 2²¹.
        (self.endpoint, self.weight << 3 | flags)
    }

    /// Its IPv4 addresses, given or found.
    pub fn v4(&self) -> impl Iterator<Item = Ipv4Addr> {
        let found = self.found.iter().flat_map(|found| found.v4().iter().copied());
        self.endpoint.target.v4().into_iter().chain(found)
    }

    /// Its IPv6 addresses, given or found.
    pub fn v6(&self) -> impl Iterator<Item = Ipv6Addr> {
        let found = self.found.iter().flat_map(|found| found.v6().iter().copied());
        self.endpoint.target.v6().into_iter().chain(found)
    }

    /// Whether nobody knows what it has of `wanted`: answering that it is nothing would be a lie.
    pub fn is_unknown(&self, wanted: Wanted) -> bool {
        let is_open = |found: &Arc<Found>| match wanted {
            Wanted::A => found.v4.is_none(),
            Wanted::Aaaa => found.v6.is_none(),
            Wanted::Other | Wanted::Extra(_) => false,
        };
        matches!(self.endpoint.target, EndpointTarget::Flattened { .. })
            && self.found.as_ref().is_none_or(is_open)
    }

    /// Whether one of its addresses is up.
    pub fn is_up(&self) -> bool {
        self.up_v4 || self.up_v6
    }

    fn has(&self, wanted: Wanted) -> bool {
        match (&self.endpoint.target, wanted) {
            (EndpointTarget::Cname { .. }, _) => true,
            (EndpointTarget::Flattened { .. }, Wanted::Other) => false,
            (EndpointTarget::Flattened { .. }, Wanted::Extra(_)) => true,
            (EndpointTarget::Flattened { .. }, Wanted::A) => self.v4().next().is_some(),
            (EndpointTarget::Flattened { .. }, Wanted::Aaaa) => self.v6().next().is_some(),
            (EndpointTarget::Addresses { v4, .. }, Wanted::A) => v4.is_some(),
            (EndpointTarget::Addresses { v6, .. }, Wanted::Aaaa) => v6.is_some(),
            (EndpointTarget::Addresses { .. }, Wanted::Other) => false,
            // Whoever may lead, its pool answers: with nothing, if need be.
            (EndpointTarget::Addresses { .. }, Wanted::Extra(_)) => true,
        }
    }

    fn is_up_for(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::A | Wanted::Other => self.up_v4,
            Wanted::Aaaa => self.up_v6,
            Wanted::Extra(_) => self.is_up(),
        }
    }

    /// Endpoint names are unique in a pool, not over merged ones.
    fn name_hash(&self) -> u64 {
        let parts = [&*self.pool.id, &*self.endpoint.name];
        name_hash(Drawn::Endpoint, 0, if self.merged { &parts } else { &parts[1..] })
    }
}

impl<'t> Answer<'_, 't> {
    /// The records of `rtype` that the leader's pool gives beside addresses.
    pub fn extra(&self, rtype: Rtype) -> Option<&'t Rdatas> {
        self.endpoints[0].pool.extra(rtype)
    }
}

impl<'t> Leaf<'t> {
    /// What the leaf answers to `wanted`, one for each endpoint that may lead; nothing (NODATA)
    /// only if no endpoint has it at all.
    pub fn answers_to(&self, wanted: Wanted) -> Vec<Answer<'_, 't>> {
        let ring = self.ring(wanted);
        let answers = match wanted {
            Wanted::Extra(_) => 1,
            _ => usize::from(self.answers).clamp(1, ring.len().max(1)),
        };
        let has_regulars = ring.iter().any(|(_, candidate)| candidate.weight > 0);
        let from = |lead: usize| Answer {
            hash: ring[lead].0,
            // Reserves, when nobody else is there, share equally.
            weight: if has_regulars { ring[lead].1.weight } else { 1 },
            endpoints: (lead..lead + answers).map(|i| ring[i % ring.len()].1).collect(),
        };
        (0..ring.len()).map(from).collect()
    }

    /// Who may be answered, ordered by hash of name: the up ones if there are any, and among
    /// them the reserves only if there is nobody else.
    fn ring(&self, wanted: Wanted) -> Vec<(u64, &Candidate<'t>)> {
        let mut ring: Vec<&Candidate<'t>> =
            self.candidates.iter().filter(|candidate| candidate.has(wanted)).collect();
        if ring.iter().any(|candidate| candidate.is_up_for(wanted)) {
            ring.retain(|candidate| candidate.is_up_for(wanted));
        }
        if ring.iter().any(|candidate| candidate.weight > 0) {
            ring.retain(|candidate| candidate.weight > 0);
        }
        let mut ring: Vec<_> = ring.into_iter().map(|c| (c.name_hash(), c)).collect();
        ring.sort_unstable_by_key(|(hash, c)| (*hash, &c.endpoint.name, &c.pool.id));
        ring
    }
}
