//! Tradewind: a self-hosted global traffic manager.
//!
//! The rooms, in layer order (`tests/tidy.rs` holds it; ARCHITECTURE.md has the picture):

pub mod checkplan;
pub mod cli;
pub mod clock;
pub mod health;
pub mod config;
pub mod ids;
pub mod policy;
pub mod place;
pub mod telemetry;
pub mod transport;
pub mod units;
pub mod verdict;
pub mod wire;
