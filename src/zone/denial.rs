//! What proves that something is not there: the NSEC or NSEC3 records that a signed zone was
//! given (RFC 4035 §3.1.3, RFC 5155 §7.2).
//!
//! The records are the signer's and served as they are; this finds the right ones. Whether the
//! chain is whole was settled when the zone was built ([`super::signed`]). Must not know
//! questions, clients or packets.

use std::cmp::Ordering;

use arrayvec::ArrayVec;

use super::link::ancestors;
use super::lookup::{Node, Zone};
use super::nsec3::{Chain, Place};
use super::rrset::{NONE, Rrset};
use crate::wire::types::Rtype;
use crate::wire::{LABELS_MAX, NAME_MAX, QName, Rdatas};

/// What a zone that is signed has besides its names.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub denial: Denial,
    /// When its first signature expires, in seconds since 1970: of each RRset the last counts.
    pub expires: u32,
}

/// The zone's chain.
#[derive(Clone, Debug)]
pub(super) enum Denial {
    /// The nodes that own an NSEC record, in canonical order (RFC 4034 §6.1); the apex first.
    Nsec(Box<[u32]>),
    Nsec3(Chain),
}

/// One NSEC or NSEC3 record.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'z> {
    /// Its owner: labels in front of the zone's apex.
    pub owner: &'z [u8],
    /// The record.
    pub rrset: &'z Rrset,
}

/// The most records that one thing takes: two for a closest encloser, two for a wildcard below
/// it that opted out.
pub const PROOFS_MAX: usize = 4;

/// What proves one thing.
pub type Proofs<'z> = ArrayVec<Proof<'z>, PROOFS_MAX>;

impl Zone {
    /// Whether the zone came with signatures, and so with proofs.
    #[inline]
    pub fn is_signed(&self) -> bool {
        self.signed.is_some()
    }

    /// When the first signature expires, in seconds since 1970, if the zone is signed.
    pub fn signatures_expire(&self) -> Option<u32> {
        self.signed.as_ref().map(|signed| signed.expires)
    }

    /// The signatures of `rrset`, one of this zone's.
    #[inline]
    pub fn signatures(&self, rrset: &Rrset) -> Option<&Rdatas> {
        self.companions.get(rrset.companions as usize)?.signatures.as_ref()
    }

    /// That `node` owns nothing but what it owns (RFC 5155 §7.2.3, and §7.2.4 where it is a
    /// delegation that opted out). If it is an `expanded` wildcard, this says so of the name asked
    /// only together with [`Zone::prove_no_closer`] (RFC 5155 §7.2.5).
    pub fn prove_no_type<'z>(&'z self, node: Node<'z>, expanded: bool) -> Proofs<'z> {
        let mut proofs = Proofs::new();
        match self.denial() {
            None => {}
            // An empty non-terminal has no NSEC; the one before it spans it (RFC 4035 §3.1.3.1).
            Some(Denial::Nsec(order)) => match node.rrset(Rtype::NSEC) {
                Some(rrset) => proofs.push(Proof { owner: node.relative_name(), rrset }),
                None => proofs.extend(self.nsec(order, node.relative_name())),
            },
            Some(Denial::Nsec3(chain)) => {
                if let Some(encloser) = node.parent().filter(|_| expanded) {
                    chain.prove(chain.places[encloser.index as usize], &mut proofs);
                }
                chain.prove(chain.places[node.index as usize], &mut proofs);
            }
        }
        proofs
    }

    /// That nothing between `qname` and `encloser`, its closest, exists: so that the wildcard
    /// there stood in for it rightly (RFC 4035 §3.1.3.3, RFC 5155 §7.2.6).
    pub fn prove_no_closer<'z>(&'z self, qname: &QName, encloser: Node<'z>) -> Proofs<'z> {
        let mut proofs = Proofs::new();
        match self.denial() {
            None => {}
            Some(Denial::Nsec(order)) => {
                proofs.extend(self.nsec(order, self.relative(qname, 0).bytes()))
            }
            Some(Denial::Nsec3(chain)) => {
                let place = chain.places[encloser.index as usize];
                proofs.extend(chain.proof(self.next_closer(chain, place, qname, encloser)));
            }
        }
        proofs
    }

    /// That neither `qname` exists nor a wildcard below `encloser`, its closest
    /// (RFC 4035 §3.1.3.2, RFC 5155 §7.2.2).
    pub fn prove_no_name<'z>(&'z self, qname: &QName, encloser: Node<'z>) -> Proofs<'z> {
        let mut proofs = self.prove_no_closer(qname, encloser);
        match self.denial() {
            None => {}
            Some(Denial::Nsec(order)) => {
                // No longer than `qname`, whose labels below the encloser are one byte and more.
                let mut wildcard = ArrayVec::<u8, NAME_MAX>::new();
                for &byte in b"\x01*".iter().chain(encloser.relative_name()) {
                    let _ = wildcard.try_push(byte);
                }
                proofs.extend(self.nsec(order, &wildcard));
            }
            Some(Denial::Nsec3(chain)) => {
                let place = chain.places[encloser.index as usize];
                proofs.extend(chain.proof(place.closest));
                proofs.extend(chain.proof(place.wildcard));
            }
        }
        proofs
    }

    #[inline]
    fn denial(&self) -> Option<&Denial> {
        self.signed.as_ref().map(|signed| &signed.denial)
    }

    /// The NSEC record of the name at `key`, or of the last before it.
    fn nsec<'z>(&'z self, order: &[u32], key: &[u8]) -> Option<Proof<'z>> {
        let sought = labels(key);
        let is_at_or_before =
            |&node: &u32| labels(self.names.key(node)).iter().rev().le(sought.iter().rev());
        let place = order.partition_point(is_at_or_before).checked_sub(1)?;
        let node = self.node(*order.get(place)?);
        Some(Proof { owner: node.relative_name(), rrset: node.rrset(Rtype::NSEC)? })
    }

    /// The link that covers the name one label below the closest provable encloser of `qname`.
    fn next_closer(&self, chain: &Chain, place: Place, qname: &QName, encloser: Node<'_>) -> u32 {
        if place.next_closer != NONE {
            return place.next_closer;
        }
        let labels = self.apex_labels + label_count(encloser.relative_name()) + 1;
        let next_closer = qname.suffix(qname.label_count().saturating_sub(labels));
        chain.at_or_before(&chain.parameters.label(&[next_closer]))
    }
}

impl Chain {
    fn proof(&self, link: u32) -> Option<Proof<'_>> {
        let link = self.links.get(link as usize)?;
        Some(Proof { owner: &link.label, rrset: &link.rrset })
    }

    /// The records which show what there is at `place`.
    fn prove<'z>(&'z self, place: Place, proofs: &mut Proofs<'z>) {
        proofs.extend(self.proof(place.closest));
        proofs.extend(self.proof(place.next_closer));
    }
}

/// How many labels a relative name has.
pub(super) fn label_count(key: &[u8]) -> usize {
    ancestors(key).count()
}

/// Orders relative names canonically: label by label from the right (RFC 4034 §6.1).
pub(super) fn canonical(a: &[u8], b: &[u8]) -> Ordering {
    labels(a).iter().rev().cmp(labels(b).iter().rev())
}

fn labels(key: &[u8]) -> ArrayVec<&[u8], LABELS_MAX> {
    let mut labels = ArrayVec::new();
    let mut rest = key;
    while let Some((label, behind)) =
        rest.split_first().and_then(|(&len, rest)| rest.split_at_checked(usize::from(len)))
    {
        labels.push(label);
        rest = behind;
    }
    labels
}
