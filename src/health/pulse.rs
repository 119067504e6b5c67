//! Time awake: for how long this process did not run.
//!
//! A probe that was late tells so itself; who waits for somebody else's heartbeat cannot know
//! whether it stayed away or we were away. So a task of its own beats, and a gap between two
//! beats is a pause. Pure but for that task, which is the scheduler's.

use crate::clock::Moment;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Beaten this often.
pub(super) const BEAT: Duration = Duration::from_millis(250);
/// A gap longer than this is no busy machine but a stopped process.
const PAUSE: Duration = Duration::from_secs(1);

/// Monotonic time less the pauses of this process.
#[derive(Debug)]
pub(super) struct Pulse {
    /// The last beat, in nanoseconds.
    last: AtomicU64,
    /// For how long we were stopped altogether.
    stopped: AtomicU64,
}

impl Pulse {
    /// One that beats from `now` on.
    pub(super) fn new(now: Moment) -> Self {
        Pulse { last: AtomicU64::new(now.0), stopped: AtomicU64::new(0) }
    }

    /// Beats from `now` on: that nobody counted before is no pause.
    pub(super) fn restart(&self, now: Moment) {
        self.last.store(now.0, Relaxed);
    }

    /// A beat, of the one task that beats.
    pub(super) fn beat(&self, now: Moment) {
        // In this order: who reads between the two sees too long a pause, and waits too long.
        self.stopped.fetch_add(self.pause(now), Relaxed);
        self.last.store(now.0, Relaxed);
    }

    /// `now` in time awake. A pause after which nothing has beaten yet counts already.
    pub(super) fn awake(&self, now: Moment) -> Moment {
        Moment(now.0.saturating_sub(self.stopped.load(Relaxed) + self.pause(now)))
    }

    fn pause(&self, now: Moment) -> u64 {
        let gap = now.since(Moment(self.last.load(Relaxed)));
        if gap > PAUSE { gap.as_nanos() as u64 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_awake_is_time_without_pauses() {
        let at = |ms: u64| Moment(ms * 1_000_000);
        let pulse = Pulse::new(at(5_000));
        for ms in [5_250, 5_500, 6_400] {
            pulse.beat(at(ms));
            assert_eq!(pulse.awake(at(ms)), at(ms), "a busy machine is not stopped");
        }
        assert_eq!(pulse.awake(at(7_400)), at(7_400));
        assert_eq!(pulse.awake(at(12_400)), at(6_400), "seen before the next beat");
        pulse.beat(at(12_400));
        assert_eq!(pulse.awake(at(12_400)), at(6_400));
        assert_eq!(pulse.awake(at(12_900)), at(6_900));
    }
}
