//! Wishes that are refused before they become a change: for want of a token, a role or a form that
//! can be read. They are written down as those are that control refuses, but no more of them than
//! the audit has room for: whoever knocks without end must not wash out what others did.

use super::{context::Context, peer::Peer};
use crate::{
    clock::Moment,
    control::{
        Change,
        audit::{Origin, Outcome},
    },
};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// One a minute in the long run: 1,440 a day, of which the audit holds two months' worth.
const EACH: Duration = Duration::from_secs(60);
/// Twenty at once: somebody who tries what works.
const BURST: Duration = Duration::from_secs(20 * 60);
/// The longest reason: what a framework says of a body may quote it.
const SAID_CHARS: usize = 200;

/// Writes down who was turned away.
#[derive(Debug, Default)]
pub(super) struct TurnedAway(Mutex<Bucket>);

/// One number, the moment when it will be empty, and how many found it full.
#[derive(Debug, Default)]
struct Bucket {
    empty: Moment,
    left_out: u64,
}

impl Bucket {
    /// Takes one more at `now`; how many were left out before it, or nothing if it is one of them.
    fn take(&mut self, now: Moment) -> Option<u64> {
        let fuller = self.empty.max(now).after(EACH);
        if fuller.since(now) > BURST {
            self.left_out += 1;
            return None;
        }
        self.empty = fuller;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl TurnedAway {
    /// Notes that `peer` asked for `what`, and was told `why` not. At the control socket nobody is
    /// turned away: who sits there owns it, and what he mistypes is his own.
    pub fn note(&self, context: &Context, peer: &Peer, what: &str, why: &str) {
        if peer.address().is_none() {
            return;
        }
        let now = context.clock.now();
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        let Some(left_out) = taken else { return };
        let mut said: String = why.chars().take(SAID_CHARS).collect();
        if left_out > 0 {
            said += &format!(" (and {left_out} more refused before it)");
        }
        let by = Origin { who: peer.known().to_string().into(), from: peer.place(), reason: None };
        let (what, outcome) = (what.into(), Outcome::Refused);
        let (said, rules) = (said.into(), Vec::new());
        context.tell(Change::Wished { by, what, outcome, said, rules, stood: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_who_are_turned_away_leave_few_entries_and_their_number() {
        let at = |seconds: u64| Moment(0).after(Duration::from_secs(seconds));
        let mut bucket = Bucket::default();
        let written = (0..1_000).filter(|_| bucket.take(at(0)).is_some()).count();
        assert_eq!(written, 20);
        assert_eq!(bucket.take(at(59)), None);
        assert_eq!(bucket.take(at(60)), Some(981));
        assert_eq!(bucket.take(at(60)), None);
        assert_eq!(bucket.take(at(100_000)), Some(1), "and in the end it is as at first");
    }
}
