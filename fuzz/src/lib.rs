//! The doors that are fuzzed, and what is held at each: the same files as in the tests.

#[path = "../../tests/desk/mod.rs"]
mod desk;
#[path = "../../tests/fuzzed/mod.rs"]
pub mod fuzzed;
