//! What is not there: NODATA and NXDOMAIN with the SOA (RFC 2308 §2), so that resolvers
//! remember it no longer than the zone allows.

use super::answering::{Answering, Next, Unanswered};
use crate::{
    wire::{Full, Owner, QName, Section, types::Rcode},
    zone::Node,
};

impl<'q> Answering<'q, '_, '_> {
    /// The name exists; it has nothing of the type asked, or nothing for this client.
    pub(super) fn nodata(&mut self, node: Node<'q>) -> Result<Next, Unanswered> {
        if self.proves() {
            self.prove(self.zone.prove_no_type(node, self.expanded));
        }
        self.soa()?;
        Ok(Next::Done)
    }

    /// Nothing exists at the name or below (RFC 8020). At the end of a chain the rcode is that
    /// of the last name (RFC 6604 §3).
    pub(super) fn nxdomain(
        &mut self,
        name: &QName,
        encloser: Node<'q>,
    ) -> Result<Next, Unanswered> {
        self.reply.set_rcode(Rcode::NXDOMAIN);
        if self.proves() {
            self.prove(self.zone.prove_no_name(name, encloser));
        }
        self.soa()?;
        Ok(Next::Done)
    }

    fn soa(&mut self) -> Result<(), Full> {
        let (soa, ttl) = (self.zone.soa(), self.zone.negative_ttl());
        self.put(Section::Authority, Owner::Apex, ttl, soa)
    }
}
