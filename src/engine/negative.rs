//! What is not there: NODATA and NXDOMAIN with the SOA (RFC 2308 §2), so that resolvers
//! remember it no longer than the zone allows.

use super::answering::{Answering, Next, Unanswered};
use crate::wire::{Owner, Section, types::Rcode};

impl Answering<'_, '_, '_> {
    /// The name exists; it has nothing of the type asked, or nothing for this client.
    pub(super) fn nodata(&mut self) -> Result<Next, Unanswered> {
        let (soa, ttl) = (self.zone.soa(), self.zone.negative_ttl());
        self.reply.records(Section::Authority, Owner::Apex, ttl, &soa.rdatas)?;
        Ok(Next::Done)
    }

    /// Nothing exists at the name or below (RFC 8020). At the end of a chain the rcode is that
    /// of the last name (RFC 6604 §3).
    pub(super) fn nxdomain(&mut self) -> Result<Next, Unanswered> {
        self.reply.set_rcode(Rcode::NXDOMAIN);
        self.nodata()
    }
}
