//! Units as types: no bare number crosses a room's door.

use std::fmt;

/// How long a resolver may keep an answer: whole seconds, at most 2³¹ − 1 (RFC 2181 §8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Whether an SOA's `serial` comes behind that of `other`: serials count round and round, and of
/// two that are half of all numbers apart neither does (RFC 1982 §3.2).
pub const fn is_later_serial(serial: u32, other: u32) -> bool {
    let ahead = serial.wrapping_sub(other);
    ahead != 0 && ahead < 1 << 31
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

/// A share of one, in millionths: from none of it to all of it. Whole numbers, so that the
/// shares of a draw sum to one exactly and two nodes cannot disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Share(u32);

impl Share {
    /// None of it.
    pub const NONE: Share = Share(0);
    /// All of it.
    pub const ONE: Share = Share(1_000_000);

    /// So many millionths; more than all of it is all of it.
    pub const fn from_millionths(millionths: u32) -> Self {
        if millionths < Self::ONE.0 { Share(millionths) } else { Self::ONE }
    }
    /// The nearest share to a fraction of one.
    pub fn from_fraction(fraction: f64) -> Self {
        Share((fraction * 1e6).round().clamp(0.0, 1e6) as u32)
    }
    /// Millionths.
    pub const fn as_millionths(self) -> u32 {
        self.0
    }
    /// A fraction of one.
    pub fn as_fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }
    /// What it leaves of one.
    #[must_use]
    pub const fn rest(self) -> Share {
        Share(Self::ONE.0 - self.0)
    }
    /// The number of 64 even bits below which this share of all such numbers lies; for all of
    /// it the last one, which a draw must therefore not be compared with.
    pub const fn cut(self) -> u64 {
        if self.0 == Self::ONE.0 {
            return u64::MAX;
        }
        (((self.0 as u128) << 64) / Self::ONE.0 as u128) as u64
    }
}

impl fmt::Display for Share {
    /// In percent, with as many decimals as it needs: `35 %`, `2.5 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / 1e4)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc1982_3_2_of_two_serials_half_of_all_apart_neither_is_later() {
        let half = 1 << 31;
        for (serial, other, later) in [
            (1, 0, true),
            (0, u32::MAX, true),
            (half - 1, 0, true),
            (half, 0, false),
            (0, half, false),
            (half + 1, 0, false),
            (7, 7, false),
        ] {
            assert_eq!(is_later_serial(serial, other), later, "{serial} behind {other}");
        }
    }

    proptest! {
        #[test]
        fn rfc1982_3_1_what_is_added_makes_a_serial_later(serial: u32, added in 1..1_u32 << 31) {
            prop_assert!(is_later_serial(serial.wrapping_add(added), serial));
            prop_assert!(!is_later_serial(serial, serial.wrapping_add(added)));
        }
    }
}
