//! A finished zone and the lookup of RFC 1034 §4.3.2 in it.
//!
//! Where the RFC walks down label by label, here the whole name is probed first, which is what
//! nearly every query needs; only a miss searches for the closest encloser. Empty non-terminals
//! are nodes (RFC 4592 §2.2.2), so a node exists if and only if all its ancestors do, and a
//! binary search over the label counts finds the deepest.

use super::denial::Signed;
use super::link::parent;
use super::names::Names;
use super::rrset::{Companions, Kin, NONE, Owned, Rrset, Steered};
use crate::units::Ttl;
use crate::wire::types::Rtype;
use crate::wire::{Name, NameKey, QName};

/// The node of the apex: its relative name is empty, and it is inserted first.
pub(super) const APEX: u32 = 0;

/// All names of a zone and what they own. Never changes once built.
#[derive(Clone, Debug)]
pub struct Zone {
    pub(super) apex: Name,
    pub(super) apex_labels: usize,
    /// Keyed by the labels in front of the apex.
    pub(super) names: Names<Owned>,
    /// The most labels in front of the apex that any name has.
    pub(super) depth: usize,
    /// Those of one node stand together, sorted by type.
    pub(super) rrsets: Box<[Rrset]>,
    pub(super) kin: Box<[Kin]>,
    pub(super) companions: Box<[Companions]>,
    /// What it has more if it is signed.
    pub(super) signed: Option<Box<Signed>>,
    /// The SOA among `rrsets`.
    pub(super) soa: u32,
    pub(super) negative_ttl: Ttl,
}

/// What a zone says about a name.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'z> {
    /// The name exists, or a wildcard stands in for it. The node may own nothing at all, or
    /// nothing of the type asked: NODATA.
    Node {
        /// What there is.
        node: Node<'z>,
        /// Whether `node` is a `*` that stands in for the name asked (RFC 4592 §3.3).
        wildcard: bool,
    },
    /// The name is delegated: answer with a referral.
    Delegation {
        /// The zone cut, which owns the NS records.
        cut: Node<'z>,
        /// Whether the cut is the very name asked; then its DS is ours to answer with authority,
        /// or to deny (RFC 4035 §3.1.4.1).
        at_cut: bool,
    },
    /// The name lies below a DNAME (RFC 6672 §3.2).
    Dname {
        /// The owner of the DNAME.
        node: Node<'z>,
        /// How many labels of the name asked stand in front of the owner: from label `labels`
        /// on, its [`QName`] is to be replaced by the target.
        labels: usize,
    },
    /// Nothing is at this name nor below it.
    NxDomain {
        /// The deepest of its ancestors that exists (RFC 4592 §3.3.1).
        encloser: Node<'z>,
    },
}

impl Zone {
    /// A zone of bare names, to be filled.
    pub(super) fn empty(apex: Name, names: Names<Owned>) -> Self {
        Zone {
            apex_labels: apex.label_count(),
            apex,
            names,
            depth: 0,
            rrsets: Box::default(),
            kin: Box::default(),
            companions: Box::default(),
            signed: None,
            soa: 0,
            negative_ttl: Ttl::from_secs(0),
        }
    }

    /// The zone's own name.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// How many labels the apex has.
    #[inline]
    pub fn apex_labels(&self) -> usize {
        self.apex_labels
    }

    /// The node of the apex.
    #[inline]
    pub fn apex_node(&self) -> Node<'_> {
        self.node(APEX)
    }

    /// The SOA. In negative answers it has [`Zone::negative_ttl`] instead of its own.
    #[inline]
    pub fn soa(&self) -> &Rrset {
        &self.rrsets[self.soa as usize]
    }

    /// The SOA's serial number (RFC 1035 §3.3.13).
    pub fn serial(&self) -> u32 {
        let rdata = self.soa().rdatas.iter(Some(&self.apex)).next().unwrap_or_default();
        // Five numbers of four bytes end the rdata; the serial is the first of them.
        let numbers = rdata.last_chunk::<20>().and_then(|five| five.first_chunk::<4>());
        numbers.map_or(0, |serial| u32::from_be_bytes(*serial))
    }

    /// How many names it has, empty non-terminals included.
    pub fn name_count(&self) -> usize {
        self.names.len()
    }

    /// How long absence may be remembered: the lesser of the SOA's TTL and its MINIMUM
    /// (RFC 2308 §3).
    #[inline]
    pub fn negative_ttl(&self) -> Ttl {
        self.negative_ttl
    }

    /// What is at `qname`, which lies at or below the apex (the one of the zone that
    /// [`super::Zones`] found); otherwise the answer means nothing.
    #[inline(always)] // Its result would be written to memory and read back again.
    pub fn lookup(&self, qname: &QName) -> Lookup<'_> {
        let labels = qname.label_count().saturating_sub(self.apex_labels);
        if labels <= self.depth
            && let Some(index) = self.names.find_key(self.relative(qname, 0))
        {
            let node = self.node(index);
            return match self.cut_over(index) {
                Some(cut) => Lookup::Delegation { cut, at_cut: cut.index == index },
                None => Lookup::Node { node, wildcard: false },
            };
        }
        self.lookup_missing(qname, labels)
    }

    /// What covers a name that does not exist.
    #[inline(never)]
    fn lookup_missing(&self, qname: &QName, labels: usize) -> Lookup<'_> {
        let (encloser, its_labels) = self.closest_encloser(qname, labels);
        if let Some(cut) = self.cut_over(encloser) {
            return Lookup::Delegation { cut, at_cut: false };
        }
        let node = self.node(encloser);
        if node.owned().has_dname {
            let labels = labels - its_labels;
            return Lookup::Dname { node, labels };
        }
        match self.kin(encloser).map(|kin| kin.wildcard) {
            None | Some(NONE) => Lookup::NxDomain { encloser: node },
            Some(wildcard) => Lookup::Node { node: self.node(wildcard), wildcard: true },
        }
    }

    /// The deepest existing ancestor of `qname`, which does not exist itself, and how many
    /// labels that has in front of the apex (RFC 4592 §3.3.1).
    fn closest_encloser(&self, qname: &QName, labels: usize) -> (u32, usize) {
        let (mut index, mut low) = (APEX, 0);
        let mut high = labels.saturating_sub(1).min(self.depth);
        while low < high {
            let middle = (low + high).div_ceil(2);
            match self.names.find_key(self.relative(qname, labels - middle)) {
                Some(found) => (index, low) = (found, middle),
                None => high = middle - 1,
            }
        }
        (index, low)
    }

    /// The labels of `qname` from the `i`-th on, without the apex behind them.
    #[inline]
    pub(super) fn relative<'q>(&self, qname: &'q QName, i: usize) -> NameKey<'q> {
        NameKey::of(qname, i, self.apex.as_wire().len())
    }

    /// The zone cut at or above a node.
    #[inline]
    pub(super) fn cut_over(&self, index: u32) -> Option<Node<'_>> {
        let cut = self.kin(index)?.cut;
        (cut != NONE).then(|| self.node(cut))
    }

    #[inline]
    fn kin(&self, index: u32) -> Option<&Kin> {
        self.kin.get(self.names.value(index).kin as usize)
    }

    /// The node which is `name` itself, occluded or not; wildcards stand in for nothing here.
    pub fn find(&self, name: &Name) -> Option<Node<'_>> {
        let index = self.names.find(name.prefix_below(&self.apex)?)?;
        Some(self.node(index))
    }

    /// All nodes, empty and occluded ones included; the apex first, the rest in no order.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        (0..self.names.len() as u32).map(|index| self.node(index))
    }

    #[inline]
    pub(super) fn node(&self, index: u32) -> Node<'_> {
        Node { zone: self, index }
    }

    /// The nodes whose A and AAAA go with `rrset`, one of this zone's: in-domain glue of a
    /// referral first, which must not be left out without TC (RFC 9471 §3.1), and how many nodes
    /// that is; then those that are only a help. None of them is steered.
    pub fn additional(&self, rrset: &Rrset) -> (usize, impl Iterator<Item = Node<'_>>) {
        let companions = self.companions.get(rrset.companions as usize);
        let nodes = companions.map_or(&[][..], |companions| &companions.nodes);
        let required = companions.map_or(0, |companions| companions.required);
        (required, nodes.iter().map(|&index| self.node(index)))
    }
}

/// A name of a zone.
#[derive(Clone, Copy)]
pub struct Node<'z> {
    pub(super) zone: &'z Zone,
    pub(super) index: u32,
}

impl<'z> Node<'z> {
    #[inline]
    pub(super) fn owned(self) -> &'z Owned {
        self.zone.names.value(self.index)
    }

    /// The labels in front of the zone's apex, in wire form without a root.
    #[inline]
    pub fn relative_name(self) -> &'z [u8] {
        self.zone.names.key(self.index)
    }

    /// The whole name.
    pub fn name(self) -> Name {
        let wire = [self.relative_name(), self.zone.apex.as_wire()].concat();
        Name::from_wire(&wire).expect("a node was a name when it was added")
    }

    /// The node one label above, if that is in the zone too.
    pub fn parent(self) -> Option<Node<'z>> {
        let index = self.zone.names.find(parent(self.relative_name())?)?;
        Some(self.zone.node(index))
    }

    /// Everything it owns but signatures, sorted by type; nothing for an empty non-terminal.
    #[inline]
    pub fn rrsets(self) -> &'z [Rrset] {
        let owned = self.owned();
        let start = owned.rrsets as usize;
        &self.zone.rrsets[start..start + usize::from(owned.rrset_count)]
    }

    /// What it owns of one type.
    #[inline]
    pub fn rrset(self, rtype: Rtype) -> Option<&'z Rrset> {
        self.rrsets().iter().find(|rrset| rrset.rtype() == rtype)
    }

    /// Whether, and by what, its addresses or its CNAME are steered.
    #[inline]
    pub fn steered(self) -> Option<Steered> {
        let owned = self.owned();
        (owned.steered != NONE)
            .then_some(Steered { index: owned.steered, answers_cname: owned.answers_cname })
    }
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.name())
    }
}

#[cfg(test)]
pub(in crate::zone) mod tests;
