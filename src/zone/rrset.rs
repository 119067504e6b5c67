//! What a name owns: sets of records, the addresses that go with them, and whether it is steered.
//!
//! Everything is found by index in the tables of one [`super::Zone`], so that a name costs few
//! bytes and a lookup few cache lines. Must not know how any of it is put into a reply.

use crate::units::Ttl;
use crate::wire::Rdatas;
use crate::wire::types::Rtype;

/// No index: no such node, record or table row.
pub(super) const NONE: u32 = u32::MAX;

/// One RRset: the records of a name that have one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rrset {
    /// How long it may be kept, the same for all its records (RFC 2181 §5.2).
    pub ttl: Ttl,
    /// The data.
    pub rdatas: Rdatas,
    /// Row in the zone's table of [`Companions`], or [`NONE`].
    pub(super) companions: u32,
}

impl Rrset {
    /// The type.
    #[inline]
    pub fn rtype(&self) -> Rtype {
        self.rdatas.rtype()
    }
}

/// What goes along with an RRset in a reply: its signatures, and in the additional section the
/// addresses of nodes. Most RRsets of an unsigned zone have none and pay nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Companions {
    /// The nodes; those without which a referral is of no use stand first.
    pub nodes: Box<[u32]>,
    /// How many those are.
    pub required: usize,
    /// The RRSIG records that cover the RRset.
    pub signatures: Option<Rdatas>,
}

/// Steering of a name: its A and AAAA, or its CNAME, are not in the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steered {
    /// Which of the zone's steered records; the number given to [`super::ZoneBuilder::steer`].
    pub index: u32,
    /// Whether its tree can answer with a CNAME, so that every type is steered.
    pub answers_cname: bool,
}

/// What a node owns, as the table of names keeps it: 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    /// The first of its RRsets, which it may share with others.
    pub rrsets: u32,
    /// How many RRsets it has; sorted by type.
    pub rrset_count: u16,
    /// Whether a DNAME is among them.
    pub has_dname: bool,
    /// [`Steered::answers_cname`], if it is steered.
    pub answers_cname: bool,
    /// [`Steered::index`], or [`NONE`].
    pub steered: u32,
    /// Row in the zone's table of [`Kin`], or [`NONE`] for most nodes.
    pub kin: u32,
}

impl Default for Owned {
    fn default() -> Self {
        Owned {
            rrsets: 0,
            rrset_count: 0,
            has_dname: false,
            answers_cname: false,
            steered: NONE,
            kin: NONE,
        }
    }
}

/// The nodes that decide over a node, if it has such.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kin {
    /// The `*` directly below it, or [`NONE`].
    pub wildcard: u32,
    /// The topmost zone cut at or above it, or [`NONE`].
    pub cut: u32,
}

impl Default for Kin {
    fn default() -> Self {
        Kin { wildcard: NONE, cut: NONE }
    }
}
