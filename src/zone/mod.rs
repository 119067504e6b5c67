//! Which names exist and what they own: RFC 1035 text in, answers to "what is at this name" out.
//!
//! [`read`] turns text into [`Record`]s (`file`, with `text`, `times` and `generate`, and for
//! their data `rdata`, where [`rdata_text`] turns it into text again);
//! [`ZoneBuilder`] turns records and steered names into a [`Zone`] or says everything that is
//! wrong with them (`build`, with `check`, `link` and, for zones that come with signatures,
//! `signed`); [`Zone::lookup`] is RFC 1034 §4.3.2
//! (`lookup`, on the table in `names` and `slots` and what is in `rrset`, of which equal parts
//! stand once: `share`; `ahead` begins one early); `denial`, with `nsec3`, finds what proves that
//! something is not there; [`Zones`] finds the zone first.
//!
//! A Zone never changes: reloading builds another. Lookups allocate nothing and take no lock.
//! Must not know clients, policies, packets or sockets; a steered name is only marked here.

mod ahead;
mod build;
mod check;
mod denial;
mod file;
mod generate;
mod link;
mod lookup;
#[cfg(test)]
mod model;
mod names;
mod nsec3;
mod problem;
mod rdata;
mod rrset;
mod share;
mod signed;
mod slots;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod times;
mod zones;

pub use ahead::Begun;
pub use build::{Answers, ZoneBuilder};
pub use denial::{PROOFS_MAX, Proof, Proofs};
pub use file::{Loader, Record, Source, Text, read};
pub use lookup::{Lookup, Node, Zone};
pub use problem::{At, Severity, ZoneProblem};
pub use rdata::rdata_text;
pub use rrset::{Rrset, Steered};
pub use zones::{ApexProblem, Zones};
