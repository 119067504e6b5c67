//! Class CHAOS: what the operator lets us tell of ourselves (RFC 4892), and nothing else.

use super::refuse;
use crate::{
    snapshot::identity::Identity,
    units::Ttl,
    wire::{
        Options, Owner, Query, Reply, Section,
        types::{Ede, Rcode, Rtype},
    },
};

/// Answers a query in class CHAOS; returns the reply's length.
pub(super) fn tell(
    identity: &Identity,
    buf: &mut [u8],
    query: &Query,
    options: &Options<'_>,
) -> usize {
    let told = identity.at(&query.name).filter(|_| matches!(query.qtype, Rtype::TXT | Rtype::ANY));
    let Some(text) = told else {
        return refuse(buf, query, options, Rcode::REFUSED, Some(Ede::NOT_AUTHORITATIVE));
    };
    let mut reply = Reply::begin(buf, query, query.udp_limit(), options);
    reply.set_authoritative();
    if reply.records(Section::Answer, Owner::Current, Ttl::from_secs(0), text).is_err() {
        reply.truncate();
    }
    reply.finish()
}
