//! Time and chance, which every room takes as arguments.
//!
//! [`SystemClock`] is the one place that reads the machine's clocks; [`Dice`] the one source of
//! chance on the answer path. Both are injected, so that every answer and every change of
//! state can be replayed in a test.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// A point in monotonic time: nanoseconds since the clock was made. Never goes back, knows no
/// time zone and cannot be set by anyone (reliability H-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// Time passed since `earlier`; zero if that lies in the future.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
    /// The next whole second of this clock: when all that advances by the second does, together.
    pub const fn next_second(self) -> Moment {
        const SECOND: u64 = 1_000_000_000;
        Moment((self.0 / SECOND + 1).saturating_mul(SECOND))
    }
    /// The moment `by` later.
    pub const fn after(self, by: Duration) -> Moment {
        // Longer than 584 years is until the end of time, not what is left of it modulo that.
        let nanos = by.as_nanos();
        let nanos = if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 };
        Moment(self.0.saturating_add(nanos))
    }
}

/// Since when something lasts, also over restarts: how long it had lasted at some moment.
///
/// A [`Moment`] alone cannot say that, because nothing lies before the clock was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    before: Duration,
    at: Moment,
}

impl Since {
    /// Something that begins `at` this moment.
    pub const fn starting(at: Moment) -> Since {
        Since { before: Duration::ZERO, at }
    }
    /// Something that had lasted for `before` `at` this moment and goes on.
    pub const fn resumed(before: Duration, at: Moment) -> Since {
        Since { before, at }
    }
    /// The same, begun so much earlier.
    pub const fn earlier(self, by: Duration) -> Since {
        Since { before: self.before.saturating_add(by), at: self.at }
    }
    /// The same, standing still at what it had lasted at `now`.
    pub const fn paused(self, now: Moment) -> Since {
        Since { before: self.elapsed(now), at: Moment(u64::MAX) }
    }
    /// Whether it stands still.
    pub const fn is_paused(self) -> bool {
        self.at.0 == u64::MAX
    }
    /// How long it has lasted at `now`.
    pub const fn elapsed(self, now: Moment) -> Duration {
        self.before.saturating_add(now.since(self.at))
    }
    /// When it will have lasted for `long`; a moment in the past if it had from the outset.
    pub const fn reaches(self, long: Duration) -> Moment {
        self.at.after(long.saturating_sub(self.before))
    }
}

/// Where rooms at the edge take their time from.
pub trait Clock: Send + Sync {
    /// Monotonic time: for intervals, expiries and everything that decides.
    fn now(&self) -> Moment;
    /// Wall-clock time: for display, and for what is compared with other machines' (cookies).
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

/// What both clocks say, read once for many packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Monotonic time.
    pub now: Moment,
    /// Seconds since 1970, wrapped at 2³²: as it stands in cookies, which are compared with other
    /// servers' (RFC 9018 §4.3).
    pub wall: u32,
}

/// Reads the clocks for a thread that needs the time all the time: the monotonic one at each
/// call, the one on the wall once a second, because nothing here needs it finer.
#[derive(Clone)]
pub struct Timekeeper {
    clock: Arc<dyn Clock>,
    last: Reading,
    wall_read: Option<Moment>,
}

impl Timekeeper {
    /// A reader of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Timekeeper {
        Timekeeper { clock, last: Reading::default(), wall_read: None }
    }

    /// The time now.
    #[inline]
    pub fn read(&mut self) -> Reading {
        const SECOND: Duration = Duration::from_secs(1);
        self.last.now = self.clock.now();
        if self.wall_read.is_none_or(|at| self.last.now.since(at) >= SECOND) {
            self.wall_read = Some(self.last.now);
            let since_1970 = self.clock.wall().duration_since(SystemTime::UNIX_EPOCH);
            // A clock set before 1970 makes cookies nobody else takes; ours still do.
            self.last.wall = since_1970.map_or(0, |since| since.as_secs() as u32);
        }
        self.last
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// A clock whose wall is 100 s ahead, and how often that was looked at.
    #[derive(Default)]
    struct Fake {
        millis: AtomicU64,
        walls: AtomicU64,
    }

    impl Clock for Fake {
        fn now(&self) -> Moment {
            Moment(self.millis.load(Relaxed) * 1_000_000)
        }
        fn wall(&self) -> SystemTime {
            self.walls.fetch_add(1, Relaxed);
            SystemTime::UNIX_EPOCH + Duration::from_secs(100 + self.millis.load(Relaxed) / 1_000)
        }
    }

    #[test]
    fn what_is_longer_than_the_clock_can_count_is_for_ever() {
        let now = Moment(5);
        assert_eq!(now.after(Duration::from_millis(18_446_744_073_710)), Moment(u64::MAX));
        assert_eq!(now.after(Duration::MAX), Moment(u64::MAX));
        assert_eq!(now.after(Duration::from_nanos(7)), Moment(12));
    }

    #[test]
    fn the_clock_on_the_wall_is_read_once_a_second() {
        let clock = Arc::new(Fake::default());
        let mut keeper = Timekeeper::new(clock.clone());
        for (millis, wall, looks) in
            [(0, 100, 1), (999, 100, 1), (1_000, 101, 2), (1_999, 101, 2), (9_500, 109, 3)]
        {
            clock.millis.store(millis, Relaxed);
            let now = Moment(millis * 1_000_000);
            assert_eq!(keeper.read(), Reading { now, wall });
            assert_eq!(clock.walls.load(Relaxed), looks, "{millis}");
        }
    }
}
