//! Flap damping: how long a target that fell stays as it is, however well it answers.
//!
//! After a fall it does not rise before the hold-down is over; a fall soon after a rise is
//! *flapping*, and its hold-down doubles. Never delays a fall. Pure: time is an argument.
//!
//! What this bounds, for a hold-down below a minute and in any minute, whatever the results: a
//! rise comes at least a minute after a flapping fall, so a target changes at most **twice** (it
//! rises, and falls again); **three times** in the minute of the first fall after ten quiet
//! minutes, whose hold-down is only the configured one. A check with `max_latency` may take each
//! of these steps in two, over `degraded`: four and six. With a `hold_down` of a minute or more
//! it is two (four) always; with "off" there is no bound. Three it must be where a first fall is to
//! be over sooner than in a minute and a second one is not to wait.
//!
//! What it remembers is told with every change ([`Damped`]) and kept over a restart.

use crate::{
    clock::{Moment, Since},
    verdict::{Damped, Standing},
};
use std::time::Duration;

/// What one target's falls and rises have come to.
#[derive(Debug)]
pub(super) struct Damping {
    /// Of a target that does not flap; `None`: no damping.
    configured: Option<Duration>,
    /// Nothing as long as it has not fallen.
    past: Option<Damped>,
}

impl Damping {
    /// Damping that goes on from what was `saved`.
    pub(super) fn new(configured: Option<Duration>, saved: Option<Damped>) -> Self {
        Damping { configured, past: saved.filter(|_| configured.is_some()) }
    }

    /// What is to be kept of it.
    pub(super) fn past(&self) -> Option<Damped> {
        self.past
    }

    /// It stood as `was` and stands as it does `now`. From nothing known it neither falls nor
    /// rises: to be found dead is no flapping.
    pub(super) fn turn(&mut self, was: Standing, now: Standing, at: Moment) {
        if is_fall(was, now) {
            self.fell(at);
        } else if is_fall(now, was) {
            self.rose(at);
        }
    }

    fn fell(&mut self, at: Moment) {
        let Some(configured) = self.configured else { return };
        let (hold_down, flapping) = match self.past {
            Some(past @ Damped { rose: Some(_), .. }) => match past.again(at) {
                Some(longer) => (longer.max(configured), true),
                None => (configured, false),
            },
            // It fell further without having risen: as long again, but no longer.
            Some(past) => (past.hold_down.max(configured), past.flapping),
            None => (configured, false),
        };
        self.past = Some(Damped { hold_down, fell: Since::starting(at), rose: None, flapping });
    }

    fn rose(&mut self, at: Moment) {
        if self.configured.is_none() {
            return;
        }
        let rose = Since::starting(at);
        // What was found dead has risen without a fall, and may fall again as soon as any other.
        let found_dead =
            Damped { hold_down: Duration::ZERO, fell: rose, rose: None, flapping: false };
        self.past = Some(Damped { rose: Some(rose), ..self.past.unwrap_or(found_dead) });
    }

    /// Whether it may stand better at `at`.
    pub(super) fn may_rise(&self, at: Moment) -> bool {
        self.held(at).is_none()
    }

    /// Until when it is held, if it is at `at`.
    pub(super) fn held(&self, at: Moment) -> Option<Moment> {
        self.past.map(|past| past.until()).filter(|until| at < *until)
    }

    /// Whether it fell soon after it had risen, and has not been up for long since.
    pub(super) fn is_flapping(&self, at: Moment) -> bool {
        let is_forgiven = |rose: Since| rose.elapsed(at) > Damped::FORGET;
        self.past.is_some_and(|past| past.flapping && !past.rose.is_some_and(is_forgiven))
    }

    /// What to add to the reason of that turn: `, held down for 60s: flapping`.
    pub(super) fn words(&self, was: Standing, now: Standing) -> String {
        match self.past.filter(|past| past.flapping && is_fall(was, now)) {
            Some(past) => format!(", held down for {:?}: flapping", past.hold_down),
            None => String::new(),
        }
    }
}

fn is_fall(was: Standing, now: Standing) -> bool {
    match now {
        Standing::Down => matches!(was, Standing::Up | Standing::Degraded),
        Standing::Degraded => was == Standing::Up,
        Standing::Unknown | Standing::Up | Standing::Drained => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000_000)
    }

    /// Falls and rises as soon as it may, each fall so many seconds after the rise; the
    /// hold-downs in seconds.
    fn hold_downs(configured: u64, falls: &[u64]) -> Vec<u64> {
        let mut damping = Damping::new(Some(Duration::from_secs(configured)), None);
        let mut now = at(1_000);
        let mut fall = |after: &u64| {
            now = now.after(Duration::from_secs(*after));
            damping.fell(now);
            let until = damping.past().unwrap().until();
            assert!(!damping.may_rise(Moment(until.0 - 1)) && damping.may_rise(until));
            let held = until.since(now).as_secs();
            damping.rose(until);
            now = until;
            held
        };
        falls.iter().map(&mut fall).collect()
    }

    #[test]
    fn the_hold_down_doubles_while_it_flaps_and_is_forgotten_after_ten_minutes_up() {
        assert_eq!(hold_downs(30, &[0, 5, 5, 5, 5]), [30, 60, 120, 240, 300]);
        assert_eq!(hold_downs(3, &[0, 5, 600, 601, 5]), [3, 60, 120, 3, 60]);
        assert_eq!(hold_downs(400, &[0, 5, 5]), [400, 400, 400]);
        assert_eq!(hold_downs(90, &[0, 5, 5]), [90, 180, 300]);
    }

    #[test]
    fn falling_further_holds_as_long_again() {
        let mut damping = Damping::new(Some(Duration::from_secs(30)), None);
        damping.fell(at(0));
        damping.fell(at(20));
        assert_eq!(damping.held(at(20)), Some(at(50)));
        assert!(!damping.is_flapping(at(20)));
    }

    /// Only what had elapsed goes from one process to the next, whose clock begins anew.
    #[test]
    fn what_is_saved_goes_on_with_what_is_left_and_off_takes_nothing_over() {
        let resumed = |since: Since, then| Since::resumed(since.elapsed(then), at(0));
        let mut damping = Damping::new(Some(Duration::from_secs(30)), None);
        damping.fell(at(1_000));
        damping.rose(at(1_030));
        damping.fell(at(1_040));
        let saved =
            damping.past().map(|past| Damped { fell: resumed(past.fell, at(1_060)), ..past });
        let mut again = Damping::new(Some(Duration::from_secs(30)), saved);
        assert_eq!(again.held(at(39)), Some(at(40)));
        assert!(again.may_rise(at(40)) && again.is_flapping(at(40)));
        again.rose(at(40));
        again.fell(at(41));
        assert_eq!(again.held(at(41)), Some(at(161)), "it doubles from there");
        assert!(Damping::new(None, saved).may_rise(at(0)));
    }

    #[test]
    fn off_holds_nothing() {
        let mut damping = Damping::new(None, None);
        damping.fell(at(0));
        damping.rose(at(0));
        damping.fell(at(0));
        assert!(damping.may_rise(at(0)) && !damping.is_flapping(at(0)));
    }

    #[test]
    fn a_target_flaps_until_it_was_up_for_ten_minutes() {
        let mut damping = Damping::new(Some(Duration::from_secs(30)), None);
        damping.fell(at(0));
        damping.rose(at(30));
        damping.fell(at(40));
        assert!(
            damping.is_flapping(at(40))
                && damping.words(Standing::Up, Standing::Down).contains("60s")
        );
        assert!(damping.is_flapping(at(9_999)), "while it is down");
        damping.rose(at(10_000));
        assert!(damping.is_flapping(at(10_600)) && !damping.is_flapping(at(10_601)));
    }
}
