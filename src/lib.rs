//! Tradewind: a self-hosted global traffic manager.
//!
//! The rooms, in layer order (`tests/tidy.rs` holds it; ARCHITECTURE.md has the picture):

pub mod clock;
pub mod ids;
pub mod units;

pub mod wire;
pub mod zone;
