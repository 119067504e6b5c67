//! Units as types: no bare number crosses a room's door.

use std::fmt;

/// How long a resolver may keep an answer: whole seconds, at most 2³¹ − 1 (RFC 2181 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// The largest TTL (RFC 2181 §8).
    pub const MAX: Ttl = Ttl(0x7fff_ffff);
    /// A TTL of `seconds`; one with the high bit set counts as zero (RFC 2181 §8).
    pub const fn from_secs(seconds: u32) -> Self {
        if seconds > Self::MAX.0 { Ttl(0) } else { Ttl(seconds) }
    }
    /// Whole seconds.
    pub const fn as_secs(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

/// A member's or endpoint's share against its siblings: 0..=1,000,000, where 0 is a reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// The largest weight an operator may write. 1,024 leaves of it sum below 2³⁰ × 2¹⁰, far inside u64.
    pub const MAX: u32 = 1_000_000;
    /// A weight, if it is in bounds.
    pub const fn new(weight: u32) -> Option<Self> {
        if weight <= Self::MAX { Some(Weight(weight)) } else { None }
    }
    /// The weight of a member that names none.
    pub const ONE: Weight = Weight(1);
    /// The plain number.
    pub const fn get(self) -> u32 {
        self.0
    }
    /// Whether this is a reserve: answered only when no other absorbing member is available.
    pub const fn is_reserve(self) -> bool {
        self.0 == 0
    }
}

/// Latency between a client and a region in whole tenths of a millisecond, so that equal ones
/// compare equal on every machine (DESIGN §5, Latency). May be negative after a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenthMs(pub i32);

impl TenthMs {
    /// Rounded from milliseconds.
    pub fn from_ms(ms: f64) -> Self {
        TenthMs((ms * 10.0).round().clamp(-1e9, 1e9) as i32)
    }
    /// Milliseconds.
    pub fn as_ms(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

impl fmt::Display for TenthMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.as_ms())
    }
}

/// A point on earth in degrees; latitude −90..=90, longitude −180..=180.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Coordinates {
    /// Degrees north.
    pub lat: f32,
    /// Degrees east.
    pub lon: f32,
}
