//! Bytes ⇄ DNS messages. Knows no zone, no socket and no clock; allocates nothing per query.
//!
//! A packet is read into a reused [`Query`] (`query`, with `qname` for its name and `edns` for
//! its OPT record); the reply is written behind the question in the same buffer by [`Reply`]
//! (`reply`), which copies sets of [`Rdatas`] (`rdata`) made when a zone is built. Names that
//! are kept are [`Name`]s (`name`) and looked up by [`NameKey`] (`key`); the numbers of the protocol
//! have their names in `types`. [`glance`] looks at a packet that is not read yet.
//!
//! Nothing here trusts a packet: whatever it holds, it becomes a `Query`, one rcode or silence
//! ([`Reject`]), in time linear in its length.

// Whatever a packet holds, nothing here panics: what could is not written, or says at its place
// which fact keeps it from it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod edns;
pub mod glance;
mod key;
mod name;
mod qname;
mod query;
mod rdata;
mod reply;
#[cfg(test)]
pub(crate) mod testing;
pub mod types;

pub use edns::{Cookie, Ecs, Edns, IdleTime, Keepalive, Nsid, UDP_MAX, UDP_MIN};
pub use key::{NameKey, PACKED_MAX, hash};
pub use name::{LABEL_MAX, LABELS_MAX, Labels, NAME_MAX, Name, NameProblem, WireName, write_name};
pub use qname::QName;
pub use query::{Query, Reject};
pub use rdata::{RdataProblem, Rdatas};
pub use reply::{Full, Options, Owner, Reply, Section, TCP_MAX};
