//! Where a client is: from an address to what steering may know of it.
//!
//! [`mmdb`] and [`embedded`] each give a [`Database`]; those that say different things make a
//! [`LocationTable`], which [`map`] compiles, with the networks operators write, into a
//! [`ClientMap`], the only thing here a query touches.
//! [`fold()`] sees through IPv4 hidden in IPv6, [`distance`] and [`latency`] say how far a region
//! is, [`space()`] how much of the address space each class has, and [`build`] makes the table that is
//! embedded. The room must not know policies,
//! records, regions' names or health: a map gives classes, what a class means is its maker's.

mod blocks;
pub mod build;
mod codec;
pub mod distance;
pub mod embedded;
pub mod fold;
pub mod latency;
mod lazy;
pub mod locate;
pub mod map;
pub mod mmdb;
// Shared with the tests in `tests/`, which need databases too.
#[cfg(test)]
#[path = "../../tests/support/mmdb_writer.rs"]
pub(crate) mod mmdb_writer;
mod nets;
mod sets;
mod space;
mod table;

pub use fold::{fold, fold_net};
pub use lazy::{EMBEDDED, LazyTable};
pub use locate::{Continent, Country, Location, Subdivision};
pub use map::{ClientMap, Hit};
pub use nets::ClassOf;
pub use sets::ClassMask;
pub use space::{Home, Homes, Space, SpaceCell, SpaceOf, space};
pub use table::{Clash, Database, LocationTable, TableInfo, TableKind};

/// SHA-256 of `bytes`, in lower-case hex.
fn sha256_hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
