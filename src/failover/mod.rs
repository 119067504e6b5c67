//! The state machine of a failover: which member is active.
//!
//! Pure: availability and time come in, a transition and the next moment to look again go out.
//! One machine for each definition, shared by all records and clients that refer to it. Leaving
//! a member that is down is immediate; going back to a preferred one waits for the failback
//! rule. Knows no verdicts, addresses or files. (Manual modes, ramps, holds and approvals are
//! transitions to come; the latch they need is already the only state.)

pub mod breaker;

use crate::{clock::Moment, policy::tree::Failback};

/// The state of one failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latch {
    active: u8,
    /// Since when each member has been available without a break.
    available_since: Vec<Option<Moment>>,
}

/// A change of the active member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The member left.
    pub from: u8,
    /// The member now active.
    pub to: u8,
    /// What made it move.
    pub cause: Cause,
}

/// Why the active member changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The active one is no longer available.
    Lost,
    /// A preferred one has been available for long enough.
    Failback,
}

impl Latch {
    /// A latch over `members` with the first one active.
    pub fn new(members: usize) -> Latch {
        Latch { active: 0, available_since: vec![None; members] }
    }

    /// Index of the active member.
    pub fn active(&self) -> u8 {
        self.active
    }

    /// Whether a preferred member is available and waits for the failback rule.
    pub fn failback_pending(&self) -> bool {
        self.available_since[..usize::from(self.active)].iter().any(Option::is_some)
    }

    /// The same latch over a new list of members: `place_of` gives for each new member its
    /// index in the old list.
    #[must_use]
    pub fn carried_over(&self, place_of: &[Option<usize>]) -> Latch {
        let since = |old: Option<usize>| old.and_then(|old| self.available_since.get(old).copied());
        let active = place_of.iter().position(|&old| old == Some(usize::from(self.active)));
        Latch {
            active: active.unwrap_or(0) as u8,
            available_since: place_of.iter().map(|&old| since(old).flatten()).collect(),
        }
    }

    /// Takes note of who is `available` at `now`; one entry a member.
    ///
    /// With nobody available the active member stays: the tree's last resort decides what is
    /// answered, and the latch must not wander while it does.
    pub fn step(
        &mut self,
        available: &[bool],
        failback: Failback,
        now: Moment,
    ) -> Option<Transition> {
        for (since, &is) in self.available_since.iter_mut().zip(available) {
            *since = is.then(|| since.unwrap_or(now));
        }
        let active = usize::from(self.active);
        if !available[active] {
            let next = available.iter().position(|&is| is)?;
            return Some(self.to(next, Cause::Lost));
        }
        let due = |since: &Option<Moment>| since.is_some_and(|s| ready_at(s, failback) <= now);
        let next = self.available_since[..active].iter().position(due)?;
        Some(self.to(next, Cause::Failback))
    }

    /// When a pending failback is due, if nothing changes until then.
    pub fn wake(&self, failback: Failback) -> Option<Moment> {
        let preferred = &self.available_since[..usize::from(self.active)];
        preferred.iter().flatten().map(|&since| ready_at(since, failback)).min()
    }

    fn to(&mut self, to: usize, cause: Cause) -> Transition {
        let from = std::mem::replace(&mut self.active, to as u8);
        Transition { from, to: self.active, cause }
    }
}

fn ready_at(since: Moment, failback: Failback) -> Moment {
    match failback {
        Failback::Auto => since,
        Failback::After(delay) => since.after(delay),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(secs: u64) -> Moment {
        Moment(secs * 1_000_000_000)
    }
    const AFTER: Failback = Failback::After(Duration::from_secs(300));

    fn lost(from: u8, to: u8) -> Option<Transition> {
        Some(Transition { from, to, cause: Cause::Lost })
    }
    fn back(from: u8, to: u8) -> Option<Transition> {
        Some(Transition { from, to, cause: Cause::Failback })
    }

    #[test]
    fn leaving_a_dead_member_is_immediate() {
        let mut latch = Latch::new(3);
        assert_eq!(latch.step(&[true, true, true], AFTER, at(0)), None);
        assert_eq!(latch.step(&[false, false, true], AFTER, at(1)), lost(0, 2));
    }

    #[test]
    fn failback_waits_for_unbroken_health() {
        let mut latch = Latch::new(2);
        latch.step(&[false, true], AFTER, at(0));
        assert_eq!((latch.active(), latch.wake(AFTER)), (1, None));
        latch.step(&[true, true], AFTER, at(10));
        assert_eq!(latch.wake(AFTER), Some(at(310)));
        // A break starts the count again.
        latch.step(&[false, true], AFTER, at(200));
        assert_eq!(latch.wake(AFTER), None);
        latch.step(&[true, true], AFTER, at(210));
        assert_eq!(latch.wake(AFTER), Some(at(510)));
        assert_eq!(latch.step(&[true, true], AFTER, at(509)), None);
        assert_eq!(latch.step(&[true, true], AFTER, at(510)), back(1, 0));
        assert_eq!(latch.wake(AFTER), None);
    }

    #[test]
    fn failback_goes_to_whoever_is_due_and_goes_on_waiting_for_better_ones() {
        let mut latch = Latch::new(3);
        latch.step(&[false, false, true], AFTER, at(0));
        latch.step(&[false, true, true], AFTER, at(10));
        latch.step(&[true, true, true], AFTER, at(100));
        assert_eq!(latch.wake(AFTER), Some(at(310)));
        assert_eq!(latch.step(&[true, true, true], AFTER, at(310)), back(2, 1));
        assert_eq!(latch.wake(AFTER), Some(at(400)));
        assert_eq!(latch.step(&[true, true, true], AFTER, at(400)), back(1, 0));
    }

    #[test]
    fn automatic_failback_is_at_once() {
        let mut latch = Latch::new(2);
        latch.step(&[false, true], Failback::Auto, at(0));
        assert_eq!(latch.step(&[true, true], Failback::Auto, at(1)), back(1, 0));
    }

    #[test]
    fn a_standby_that_dies_leaves_for_the_preferred_one_without_delay() {
        let mut latch = Latch::new(2);
        latch.step(&[false, true], AFTER, at(0));
        latch.step(&[true, true], AFTER, at(1));
        assert_eq!(latch.step(&[true, false], AFTER, at(2)), lost(1, 0));
    }

    #[test]
    fn with_nobody_available_the_latch_does_not_wander() {
        let mut latch = Latch::new(2);
        latch.step(&[false, true], AFTER, at(0));
        assert_eq!(latch.step(&[false, false], AFTER, at(1)), None);
        assert_eq!((latch.active(), latch.wake(AFTER)), (1, None));
    }

    #[test]
    fn a_reload_that_reorders_members_keeps_the_active_one_and_its_times() {
        let mut latch = Latch::new(2);
        latch.step(&[false, true], AFTER, at(0));
        latch.step(&[true, true], AFTER, at(10));
        let mut carried = latch.carried_over(&[None, Some(0), Some(1)]);
        assert_eq!((carried.active(), carried.wake(AFTER)), (2, Some(at(310))));
        // The new member has waited for nothing yet.
        assert_eq!(carried.step(&[true, true, true], AFTER, at(310)), back(2, 1));
        assert_eq!(carried.wake(AFTER), Some(at(610)));
    }

    #[test]
    fn a_reload_that_removes_the_active_member_starts_from_the_first() {
        let mut latch = Latch::new(2);
        latch.step(&[false, true], AFTER, at(0));
        assert_eq!(latch.carried_over(&[Some(0), None]).active(), 0);
    }
}
