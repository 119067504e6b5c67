//! What an authoritative server owes to the world, RFC by RFC: black box, through the door that
//! UDP and TCP use, and every reply read by hickory-proto.
//!
//! Cases are text ([`desk::check`]): a query, and below it the whole reply. A test's name
//! says which promise it holds; the module, whose promise it is.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../desk/mod.rs"]
mod desk;
#[path = "../support/mod.rs"]
mod support;

mod design;
mod limits;
mod rdata_text;
mod rfc1034;
mod rfc1035;
mod rfc2181;
mod rfc2308;
mod rfc3597;
mod rfc4035;
mod rfc4343;
mod rfc4592;
mod rfc4892;
mod rfc5001;
mod rfc5155;
mod rfc6672;
mod rfc6891;
mod rfc7766;
mod rfc7828;
mod rfc7871;
mod rfc7873;
mod rfc8020;
mod rfc8482;
mod rfc8906;
mod rfc8914;
mod rfc9018;
mod rfc9077;
mod rfc9210;
mod rfc9460;
mod rfc9471;
mod rfc9619;
