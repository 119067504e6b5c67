//! How a failover moves, as its files say: compiled data, followed by [`crate::failover`].
//!
//! Knows no time and no state: what follows from these rules at some moment comes back to
//! [`super::select`] as a [`super::Course`].

use crate::units::Share;
use std::{sync::Arc, time::Duration};

/// The rules of one failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Who decides to leave a member that is down.
    pub failover: Mode,
    /// How long it must have been down before it is left; zero by default.
    pub failover_delay: Duration,
    /// When a preferred member is returned to.
    pub failback: Failback,
    /// How fast a member that works is left; at once when absent.
    pub ramp: Option<Ramp>,
}

impl Rules {
    /// Time of unbroken health before going back (DESIGN §5, Failover).
    pub const FAILBACK_DELAY: Duration = Duration::from_secs(300);
}

impl Default for Rules {
    /// What holds where files say nothing: leave at once, return after five minutes.
    fn default() -> Self {
        Rules {
            failover: Mode::Auto,
            failover_delay: Duration::ZERO,
            failback: Failback::After(Rules::FAILBACK_DELAY),
            ramp: None,
        }
    }
}

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The machine.
    Auto,
    /// An operator: the machine asks, and waits for `approve`.
    Manual,
}

/// When a failover returns to a member it prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failback {
    /// As soon as the member is available.
    Auto,
    /// After so much unbroken availability.
    After(Duration),
    /// When an operator says so.
    Manual,
}

/// A share that grows in a straight line from `start` to one (DESIGN §5, Failover).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ramp {
    /// How long it takes.
    pub over: Duration,
    /// Where it starts.
    pub start: Share,
}

impl Ramp {
    /// Where a ramp starts of which only the length is known.
    pub const START: Share = Share::from_millionths(50_000);

    /// Its share once it has run for `elapsed`. It moves by the second, to the nearest one: what is
    /// published in between for other reasons moves nobody along, and a clock that ticks a little
    /// before the ramp's own second leaves nobody behind.
    pub fn share(&self, elapsed: Duration) -> Share {
        if self.is_over(elapsed) {
            return Share::ONE;
        }
        let nearest = Duration::from_secs((elapsed + Duration::from_millis(500)).as_secs());
        let whole = Duration::from_secs(elapsed.as_secs());
        let seconds = if nearest < self.over { nearest } else { whole };
        // Both in nanoseconds: a ramp of a thousand years times a million is far inside u128.
        let part = u128::from(self.start.rest().as_millionths()) * seconds.as_nanos();
        let grown = (part / self.over.as_nanos()) as u32;
        Share::from_millionths(self.start.as_millionths() + grown)
    }

    /// Whether it has come to its end.
    pub fn is_over(&self, elapsed: Duration) -> bool {
        elapsed >= self.over
    }
}

/// What a move waits for: the key of a target in the check plan whose verdict must be up.
pub type GateName = Arc<str>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_grows_by_the_second_from_its_start_to_one() {
        let ramp = Ramp { over: Duration::from_secs(10), start: Share::from_fraction(0.05) };
        let shares = [0, 499, 967, 1_000, 5_400, 9_999, 10_000, 99_000]
            .map(|ms| ramp.share(Duration::from_millis(ms)).as_fraction());
        assert_eq!(shares, [0.05, 0.05, 0.145, 0.145, 0.525, 0.905, 1.0, 1.0]);
        let none = Ramp { over: Duration::ZERO, ..ramp };
        assert_eq!(none.share(Duration::ZERO), Share::ONE);
    }
}
