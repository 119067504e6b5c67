//! Tradewind: a self-hosted global traffic manager.
//!
//! The rooms, in layer order (`tests/tidy.rs` holds it; ARCHITECTURE.md has the picture):

pub mod chunked;
pub mod clock;
pub mod ids;
pub mod pages;
pub mod prefetch;
pub mod spread;
pub mod units;

pub mod wire;

pub mod dns;

pub mod zone;

pub mod checkplan;
pub mod place;
pub mod verdict;

pub mod grant;
pub mod guard;
pub mod policy;

pub mod snapshot;

pub mod steering;

pub mod world;

pub mod telemetry;

pub mod engine;

pub mod transport;

pub mod config;

pub mod compile;

pub mod failover;

pub mod control;

pub mod health;

pub mod measure;

pub mod rollout;

pub mod flatten;
pub mod forecast;

pub mod drill;

pub mod admin;

pub mod cli;
pub mod hooks;
pub mod querylog;

pub mod daemon;
