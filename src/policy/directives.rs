//! What moves answers at run time beside verdicts: failovers and ramps, as plain shares.
//!
//! [`super::select`] knows no clock, so what depends on time comes to it as numbers: which
//! member of a failover is active now, and below which of a client's numbers a slot takes part.

use super::tree::MEMBERS_MAX;
use crate::{
    ids::{FailoverId, SlotId},
    units::{Share, Ttl},
};
use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// What moves answers at run time beside verdicts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Directives<'a> {
    /// What each failover does; one without an entry has its first member active.
    pub courses: &'a [Course],
    /// For each slot the number of the change in which it last fell; 0 = it never was up.
    pub fell: &'a [u64],
    /// The ramps of slots of this tree, ordered by slot; usually there is none.
    pub ramps: &'a [SlotRamp],
    /// What was found for names that are answered as addresses, ordered by slot.
    pub found: &'a [(SlotId, Arc<Found>)],
}

/// The addresses that a name has for now: one at least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// IPv4, rising; `None` as long as nobody could be asked for them.
    pub v4: Option<Box<[Ipv4Addr]>>,
    /// IPv6, the same.
    pub v6: Option<Box<[Ipv6Addr]>>,
    /// For how long they were given.
    pub ttl: Ttl,
}

impl Found {
    /// The IPv4 addresses.
    pub fn v4(&self) -> &[Ipv4Addr] {
        self.v4.as_deref().unwrap_or_default()
    }
    /// The IPv6 addresses.
    pub fn v6(&self) -> &[Ipv6Addr] {
        self.v6.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v4 = self.v4().iter().map(ToString::to_string);
        let all: Vec<String> = v4.chain(self.v6().iter().map(ToString::to_string)).collect();
        write!(f, "{} for {}", all.join(", "), self.ttl)
    }
}

/// What one failover does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Course {
    /// Index of the active member.
    pub active: u8,
    /// The active member is kept even when it is down (manual, held, delayed, gated).
    pub stays: bool,
    /// A planned move is under way: this member is being left, and the active one has got so
    /// much of its clients.
    pub leaving: Option<(u8, Share)>,
    /// Members that no client may get although they may be up: their gates are shut.
    pub barred: MemberSet,
}

impl Course {
    /// Settled on the member with index `active`.
    pub const fn settled(active: u8) -> Course {
        Course { active, stays: false, leaving: None, barred: MemberSet::EMPTY }
    }
}

/// A set of members of one failover, by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberSet(u64);

// One bit a member.
const _: () = assert!(MEMBERS_MAX <= 64);

impl MemberSet {
    /// Nobody.
    pub const EMPTY: MemberSet = MemberSet(0);

    /// Whether the member with this index is in it.
    pub const fn contains(self, member: usize) -> bool {
        member < 64 && self.0 >> member & 1 == 1
    }
    /// The same without the member with this index.
    #[must_use]
    pub const fn without(self, member: usize) -> MemberSet {
        if member < 64 { MemberSet(self.0 & !(1 << member)) } else { self }
    }
}

impl FromIterator<usize> for MemberSet {
    fn from_iter<I: IntoIterator<Item = usize>>(members: I) -> Self {
        let members = members.into_iter().filter(|&member| member < 64);
        MemberSet(members.fold(0, |set, member| set | 1 << member))
    }
}

/// A slot that takes part only for clients whose number lies below a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRamp {
    /// Which.
    pub slot: SlotId,
    /// For how many clients it counts.
    pub share: Share,
    /// In which sense.
    pub kind: RampKind,
}

/// Which way a slot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RampKind {
    /// It came back and is up: it is counted out for the clients above its share. Below a
    /// failover it counts in full, since the failover's own ramp is its members' slow start.
    Rising,
    /// An operator drains it (its standing is `Drained`) but it works: it counts as up for the
    /// clients below its share. Whoever makes the ramp takes it away when its probes say down.
    Leaving,
}

impl Directives<'_> {
    /// What `failover` does.
    pub fn course(&self, failover: FailoverId) -> Course {
        self.courses.get(failover.index()).copied().unwrap_or_default()
    }
    /// The number of the change in which `slot` last fell; 0 = it never was up.
    pub fn fell(&self, slot: SlotId) -> u64 {
        self.fell.get(slot.index()).copied().unwrap_or(0)
    }
    /// What was found for the name that `slot` has, once anything was.
    pub fn found(&self, slot: SlotId) -> Option<&Arc<Found>> {
        let found = self.found.binary_search_by_key(&slot, |(slot, _)| *slot);
        found.ok().map(|index| &self.found[index].1)
    }
    pub(super) fn ramp(&self, slot: SlotId) -> Option<&SlotRamp> {
        // Nearly always there is nothing to look through.
        if self.ramps.is_empty() {
            return None;
        }
        let found = self.ramps.binary_search_by_key(&slot, |ramp| ramp.slot);
        found.ok().map(|index| &self.ramps[index])
    }
}
