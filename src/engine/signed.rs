//! What a signed zone's answer has besides, for those who ask with DO: signatures beside what
//! they cover, and the proofs of what is not there (RFC 4035 §3.1).
//!
//! Proofs are found on the way along a chain and written when the answer section is complete. A
//! zone without signatures never comes here.

use super::answering::{Answering, CHAIN_MAX, Next, Unanswered};
use crate::{
    units::Ttl,
    wire::{Full, Owner, QName, Section},
    zone::{Node, PROOFS_MAX, Proof, Proofs, Rrset},
};
use arrayvec::ArrayVec;

/// An expanded wildcard for each name of a chain, and what the end of it takes.
const PENDING_MAX: usize = CHAIN_MAX + 1 + PROOFS_MAX;

/// The proofs of a reply, each once (RFC 2181 §5).
#[derive(Default)]
pub(super) struct Pending<'q>(ArrayVec<Proof<'q>, PENDING_MAX>);

impl<'q> Answering<'q, '_, '_> {
    /// Writes an RRset, with its signatures for those who want them.
    #[inline(always)] // As `Reply::records`.
    pub(super) fn put(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        ttl: Ttl,
        rrset: &Rrset,
    ) -> Result<(), Full> {
        match self.zone.signatures(rrset) {
            Some(signatures) if self.wants_proofs() => {
                self.reply.signed_records(section, owner, ttl, [&rrset.rdatas, signatures])
            }
            _ => self.reply.records(section, owner, ttl, &rrset.rdatas),
        }
    }

    /// Whether the zone has proofs and the client wants them.
    #[inline]
    pub(super) fn proves(&self) -> bool {
        self.zone.is_signed() && self.wants_proofs()
    }

    fn wants_proofs(&self) -> bool {
        self.query.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The wildcard `node` stands in for `name`: to be believed only if nothing nearer exists.
    #[cold]
    pub(super) fn prove_expansion(&mut self, name: &QName, node: Node<'q>) {
        if let Some(encloser) = node.parent() {
            self.prove(self.zone.prove_no_closer(name, encloser));
        }
    }

    /// Notes proofs for the authority section.
    pub(super) fn prove(&mut self, proofs: Proofs<'q>) {
        for proof in proofs {
            if self.pending.0.iter().all(|known| known.owner != proof.owner) {
                // Never full: a chain has an end.
                let _ = self.pending.0.try_push(proof);
            }
        }
    }

    /// Writes all proofs that were noted.
    pub(super) fn write_proofs(&mut self) -> Result<(), Full> {
        let mut place = 0;
        while let Some(&Proof { owner, rrset }) = self.pending.0.get(place) {
            place += 1;
            self.put(Section::Authority, Owner::Relative(owner), rrset.ttl, rrset)?;
        }
        Ok(())
    }

    /// The signatures of one RRset of `node`, no more, to who asks for nothing else
    /// (RFC 8482 §4.1, §7); none if the node has none.
    #[cold]
    pub(super) fn signatures_alone(&mut self, node: Node<'q>) -> Option<Result<Next, Unanswered>> {
        let signed = |rrset: &'q Rrset| Some((rrset.ttl, self.zone.signatures(rrset)?));
        let (ttl, signatures) = node.rrsets().iter().find_map(signed)?;
        let wrote = self.reply.records(Section::Answer, Owner::Current, ttl, signatures);
        Some(wrote.map(|()| Next::Done).map_err(Unanswered::from))
    }
}
