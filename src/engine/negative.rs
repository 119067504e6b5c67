//! What is not there: NODATA and NXDOMAIN with the SOA (RFC 2308 §2), so that resolvers
//! remember it no longer than the zone allows.

use super::{Answering, Next, Unanswered, negative_ttl};
use crate::{
    units::Ttl,
    wire::{Owner, Section, types::Rcode},
};

impl Answering<'_, '_> {
    /// The name exists, the type does not. `steered` is the TTL of a NODATA that steering gave.
    pub(super) fn nodata(&mut self, steered: Option<Ttl>) -> Result<Next, Unanswered> {
        self.soa(negative_ttl(self.zone, steered))
    }

    /// Nothing exists at the name or below (RFC 8020). At the end of a chain the rcode is that
    /// of the last name (RFC 6604 §3).
    pub(super) fn nxdomain(&mut self) -> Result<Next, Unanswered> {
        self.reply.set_rcode(Rcode::NXDOMAIN);
        self.soa(negative_ttl(self.zone, None))
    }

    fn soa(&mut self, ttl: Ttl) -> Result<Next, Unanswered> {
        let soa = &self.zone.soa().rdatas;
        self.reply.records(Section::Authority, Owner::Apex, ttl, soa)?;
        Ok(Next::Done)
    }
}
