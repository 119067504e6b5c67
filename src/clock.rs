//! Time and chance, which every room takes as arguments.
//!
//! [`SystemClock`] is the one place that reads the machine's clocks; [`Dice`] the one source of
//! chance on the answer path. Both are injected, so that every answer and every change of
//! state can be replayed in a test.

use std::time::{Duration, Instant, SystemTime};

/// A point in monotonic time: nanoseconds since the clock was made. Never goes back, knows no
/// time zone and cannot be set by anyone (reliability H-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// Time passed since `earlier`; zero if that lies in the future.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
    /// The moment `by` later.
    pub const fn after(self, by: Duration) -> Moment {
        Moment(self.0.saturating_add(by.as_nanos() as u64))
    }
}

/// Where rooms at the edge take their time from.
pub trait Clock: Send + Sync {
    /// Monotonic time: for intervals, expiries and everything that decides.
    fn now(&self) -> Moment;
    /// Wall-clock time: for display only.
    fn wall(&self) -> SystemTime;
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn default() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Moment {
        Moment(Instant::now().duration_since(self.start).as_nanos() as u64)
    }
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Dice for the answer path: SplitMix64, one state a thread, no lock and no system call.
/// Good enough to divide clients, not meant to be unguessable.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that roll the same sequence for the same seed.
    pub const fn seeded(seed: u64) -> Self {
        Dice(seed)
    }
    /// Sixty-four even bits.
    #[inline]
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// The finaliser of SplitMix64: every input bit changes every output bit with probability ½.
#[inline]
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
