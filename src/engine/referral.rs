//! Whose a delegated name is, and the addresses that go along with NS, MX and other records
//! that point to names.

use super::answering::{Answering, Next, Unanswered};
use crate::{
    wire::{Owner, QName, Section, types::Rtype},
    zone::{Node, Rrset},
};

impl<'q> Answering<'q, '_, '_> {
    /// The name is somebody else's: their name servers and, where those are below the cut, their
    /// addresses. In-domain glue is all there or the reply is truncated (RFC 9471 §3.1); sibling
    /// glue comes if it fits.
    pub(super) fn referral(&mut self, name: &QName, cut: Node<'q>) -> Result<Next, Unanswered> {
        let Some(ns) = cut.rrset(Rtype::NS) else { return self.nodata(cut) };
        // The cut is `name` or above it.
        let cut_len = cut.relative_name().len() + self.zone.apex().as_wire().len();
        let above = name.wire().len().saturating_sub(cut_len);
        #[expect(clippy::indexing_slicing, reason = "it is a difference from that length")]
        let owner = Owner::Ancestor(&name.wire()[above..]);
        self.reply.records(Section::Authority, owner, ns.ttl, &ns.rdatas)?;
        if self.proves() {
            // Whether the zone below is signed (RFC 4035 §3.1.4).
            match cut.rrset(Rtype::DS) {
                Some(ds) => self.put(Section::Authority, owner, ds.ttl, ds)?,
                None => self.prove(self.zone.prove_no_type(cut, false)),
            }
        }
        self.leading = Some(ns);
        Ok(Next::Done)
    }

    /// Static addresses of the names in `rrset`. They are left out without a trace where they do
    /// not fit (RFC 2181 §9), but for the glue that a referral cannot do without. So are their
    /// signatures (RFC 4035 §3.1.1).
    pub(super) fn additional(&mut self, rrset: &'q Rrset) -> Result<(), Unanswered> {
        let (required, nodes) = self.zone.additional(rrset);
        for (place, node) in nodes.enumerate() {
            for rtype in [Rtype::A, Rtype::AAAA] {
                let Some(addresses) = node.rrset(rtype) else { continue };
                let owner = Owner::Relative(node.relative_name());
                if place < required {
                    let (ttl, rdatas) = (addresses.ttl, &addresses.rdatas);
                    self.reply.records(Section::Additional, owner, ttl, rdatas)?;
                } else {
                    let _ = self.put(Section::Additional, owner, addresses.ttl, addresses);
                }
            }
        }
        Ok(())
    }
}
