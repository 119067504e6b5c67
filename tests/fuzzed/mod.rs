//! What is held of any bytes at each door through which bytes come in. `cargo fuzz` (in fuzz/)
//! looks for such as break it; the test `corpus` puts the seeds of fuzz/seeds to them.
//!
//! Each function panics when something does not hold, and says what.

#![allow(dead_code, reason = "each program that includes this uses a part of it")]

pub mod doors;
mod files;

pub use doors::{mmdb, names, options, packet, proxy};
pub use files::{files, zone};

/// A door: its name, and what is held there.
pub type Door = (&'static str, fn(&[u8]));

/// All of them. Each has a program in fuzz/fuzz_targets and a folder in fuzz/seeds.
pub const DOORS: &[Door] = &[
    ("files", files),
    ("mmdb", mmdb),
    ("names", names),
    ("options", options),
    ("packet", packet),
    ("proxy", proxy),
    ("zone", zone),
];
