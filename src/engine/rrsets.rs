//! Records that go along: referrals with glue, and addresses of the names in an answer.

use super::{Answering, Next, Unanswered};
use crate::{
    wire::{Owner, QName, Section, types::Rtype},
    zone::{Node, Rrset},
};

impl<'q> Answering<'q, '_> {
    /// The name is somebody else's: their name servers and, where those are below the cut, their
    /// addresses. In-domain glue is all there or the reply is truncated (RFC 9471 §3.1); sibling
    /// glue comes if it fits.
    pub(super) fn referral(
        &mut self,
        _name: &QName,
        cut: Node<'q>,
        _link: Option<usize>,
    ) -> Result<Next, Unanswered> {
        let Some(ns) = cut.rrset(Rtype::NS) else { return self.nodata(None) };
        let owner = Owner::Ancestor(cut.name());
        self.reply.records(Section::Authority, owner, ns.ttl, &ns.rdatas)?;
        self.additional(ns)?;
        Ok(Next::Done)
    }

    /// Static addresses of the names in `rrset`. They are left out without a trace where they do
    /// not fit (RFC 2181 §9), but for the glue a referral cannot do without.
    pub(super) fn additional(&mut self, rrset: &'q Rrset) -> Result<(), Unanswered> {
        for (place, node) in self.zone.additional(rrset).enumerate() {
            let required = place < self.zone.required_glue(rrset);
            for rtype in [Rtype::A, Rtype::AAAA] {
                let Some(addresses) = node.rrset(rtype) else { continue };
                let owner = Owner::Relative(node.labels_below_apex());
                let (ttl, rdatas) = (addresses.ttl, &addresses.rdatas);
                let wrote = self.reply.records(Section::Additional, owner, ttl, rdatas);
                if required {
                    wrote?;
                }
            }
        }
        Ok(())
    }
}
