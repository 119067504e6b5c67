//! Targets that report to us: heartbeats instead of probes, and what their absence means.
//!
//! [`Heartbeats`] is the state machine of one target, pure; [`Pushed`] runs it. Staleness is
//! measured in time awake ([`super::pulse`]): a heartbeat that came while this process was stopped
//! waits in the queue of a socket, or was never sent, and a pause of ours makes nobody fall.

use super::{
    damping::Damping,
    judge::Change,
    ledger::{Entry, Standpoint, Times},
    probe::Outcome,
    schedule::Shared,
};
use crate::{
    checkplan::{Check, CheckKind, LAST_LOOK},
    clock::Moment,
    verdict::{Sight, Standing, Stood},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};

/// What a heartbeat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// All is well.
    Up,
    /// It works, but badly.
    Degraded,
    /// It is to be left at once.
    Down,
}

/// Why a heartbeat was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatError {
    /// There is no such check, or its token is another: which of the two, nobody is told.
    #[error("not authorized")]
    Unauthorized,
    /// The token is right, but nothing with this name uses the check.
    #[error("this check has no such target")]
    Unknown,
}

/// What a target's state is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// A heartbeat that is no failure.
    Good,
    /// One that says `down`: an answer, and a failure.
    SaidDown,
    /// None for too long; when the first one was missed.
    Silence(Moment),
}

/// The judge of one target that sends heartbeats.
#[derive(Debug)]
pub(super) struct Heartbeats {
    check: Arc<Check>,
    standing: Standing,
    /// Good ones in a row, at least half an interval apart: a burst is one.
    in_row: u32,
    counted: Moment,
    /// In time awake: the last good one, or the start.
    last: Moment,
    /// In time awake: since when the silence of one that is down must last once more.
    asked: Option<Moment>,
    damping: Damping,
    is_told: bool,
}

impl Heartbeats {
    /// Waits for the first one from `awake` on; until then its target stands as `saved`.
    pub(super) fn new(check: Arc<Check>, awake: Moment, saved: Option<Stood>) -> Self {
        Heartbeats {
            standing: saved.map(|saved| saved.standing).unwrap_or_default(),
            in_row: 0,
            counted: Moment::default(),
            last: awake,
            asked: None,
            damping: Damping::new(check.hold_down, saved.and_then(|saved| saved.damped)),
            is_told: false,
            check,
        }
    }

    /// When, in time awake, it falls for want of a heartbeat, or has failed once more;
    /// `None` while it is down and nobody asks.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match self.standing {
            Standing::Down => self.asked.map(|asked| asked.after(self.missed_after())),
            _ => Some(self.last.after(self.stale_after())),
        }
    }

    /// Of one that is down: its silence must last once more, from `awake` on.
    pub(super) fn listen_once_more(&mut self, awake: Moment) {
        self.asked = (self.standing == Standing::Down).then_some(awake);
    }

    /// How long after a heartbeat the next one is missed for certain: an interval, and half of
    /// what makes it stale, so that one which is late by less is none. Who is silent for that
    /// long has begun to fail.
    fn missed_after(&self) -> Duration {
        let stale = self.stale_after();
        self.check.interval.max(stale / 2).min(stale)
    }

    /// Counts and damping at `at`, for people.
    fn standpoint(&self, at: Moment) -> Standpoint {
        let is_low = matches!(self.standing, Standing::Down | Standing::Degraded);
        Standpoint {
            failures: 0,
            successes: self.in_row,
            held_until: self.damping.held(at).filter(|_| is_low),
            flapping: self.damping.is_flapping(at),
            damped: self.damping.past(),
        }
    }

    /// A heartbeat came at `at`: `None` if nothing changes.
    pub(super) fn beat(&mut self, beat: Beat, at: Moment, awake: Moment) -> Option<Change> {
        let (standing, words) = match beat {
            Beat::Up => (Standing::Up, "heartbeat"),
            Beat::Degraded => (Standing::Degraded, "says degraded"),
            Beat::Down => (Standing::Down, "says down"),
        };
        self.asked = None;
        if beat == Beat::Down {
            self.in_row = 0;
            return self.turn(Standing::Down, at, words.into(), Sign::SaidDown);
        }
        if awake.since(self.last) > self.stale_after() {
            self.in_row = 0;
        }
        if self.in_row == 0 || at.since(self.counted) >= self.check.interval / 2 {
            self.in_row = self.in_row.saturating_add(1);
            self.counted = at;
        }
        self.last = awake;
        let may = match self.standing {
            Standing::Down => self.in_row >= self.check.rise && self.damping.may_rise(at),
            Standing::Degraded if standing == Standing::Up => self.damping.may_rise(at),
            // The first one alone decides.
            _ => true,
        };
        self.turn(if may { standing } else { self.standing }, at, words.into(), Sign::Good)
    }

    /// Nothing came for too long: `None` if that is not so, or no news.
    pub(super) fn expire(&mut self, at: Moment, awake: Moment) -> Option<Change> {
        self.deadline().filter(|deadline| *deadline <= awake)?;
        self.asked = None;
        self.in_row = 0;
        let words = format!("no heartbeat for {:?}", self.stale_after());
        // On the clock by which others are heard: whoever answered since then is a witness.
        let silent = awake.since(self.last.after(self.missed_after()));
        let missed = Moment(at.0.saturating_sub(silent.as_nanos() as u64));
        self.turn(Standing::Down, at, words, Sign::Silence(missed))
    }

    /// A target that was saved as down may be told as down by a good heartbeat, for want of a
    /// second one: that is no failure, so it began none.
    fn turn(&mut self, now: Standing, at: Moment, words: String, sign: Sign) -> Option<Change> {
        let was = std::mem::replace(&mut self.standing, now);
        if was == now && self.is_told {
            return None;
        }
        self.is_told = true;
        let is_down = now == Standing::Down;
        self.damping.turn(was, now, at);
        let held = self.damping.words(was, now);
        Some(Change {
            was,
            sight: Sight { standing: now, failing: is_down },
            reason: format!("{words}{held}").into(),
            first_failure: match sign {
                Sign::Good => None,
                Sign::SaidDown => Some(at),
                Sign::Silence(missed) => Some(missed),
            },
            answered: sign == Sign::SaidDown,
        })
    }

    fn stale_after(&self) -> Duration {
        match self.check.kind {
            CheckKind::Push { stale_after } => stale_after,
            _ => self.check.interval * 3,
        }
    }
}

/// A target that sends heartbeats: its judge, and whoever waits for them.
#[derive(Debug)]
pub(super) struct Pushed {
    heartbeats: Mutex<Heartbeats>,
    /// It may have a deadline again.
    beaten: Notify,
    entry: Arc<Entry>,
    shared: Arc<Shared>,
}

impl Pushed {
    pub(super) fn new(
        check: Arc<Check>,
        saved: Option<Stood>,
        entry: Arc<Entry>,
        shared: Arc<Shared>,
    ) -> Self {
        let awake = shared.pulse.awake(shared.clock.now());
        let heartbeats = Mutex::new(Heartbeats::new(check, awake, saved));
        Pushed { heartbeats, beaten: Notify::new(), entry, shared }
    }

    /// Its target's key.
    pub(super) fn key(&self) -> Arc<str> {
        self.entry.key()
    }

    /// Takes a heartbeat.
    pub(super) fn beat(&self, beat: Beat) {
        let outcome = match beat {
            Beat::Up => Outcome::Heartbeat("heartbeat".into()),
            Beat::Degraded => Outcome::Heartbeat("says degraded".into()),
            Beat::Down => Outcome::wrong("says down"),
        };
        let at = self.judge(&outcome, |heartbeats, at, awake| heartbeats.beat(beat, at, awake));
        self.beaten.notify_one();
        self.shared.witnesses.heard(&self.entry.key(), at);
        if beat == Beat::Down {
            self.shared.witnesses.failed(&self.entry.key(), at, at);
        }
    }

    /// Has silence that made it fall be told again, once it has lasted anew.
    pub(super) fn listen_once_more(&self) {
        let awake = self.awake();
        self.lock().listen_once_more(awake);
        self.beaten.notify_one();
    }

    /// Waits for heartbeats to stay away, for as long as the target is in the plan.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            let deadline = self.lock().deadline();
            match deadline.map(|deadline| deadline.since(self.awake())) {
                None => self.beaten.notified().await,
                Some(Duration::ZERO) => self.look_once_more().await,
                Some(left) => sleep(left).await,
            }
        }
    }

    /// Gives what waits in our sockets the time to be read, then judges.
    async fn look_once_more(&self) {
        sleep(LAST_LOOK).await;
        let is_overdue = self.lock().deadline().is_some_and(|at| at <= self.awake());
        if is_overdue {
            let silent = format!("no heartbeat for {:?}", self.lock().stale_after());
            let at = self.judge(&Outcome::failed(silent), Heartbeats::expire);
            self.shared.witnesses.failed(&self.entry.key(), at, at);
        }
    }

    /// Has the judge decide, and tells; gives the moment it was at.
    fn judge(
        &self,
        outcome: &Outcome,
        decide: impl FnOnce(&mut Heartbeats, Moment, Moment) -> Option<Change>,
    ) -> Moment {
        // Held until it is told: reports of one target come in the order of their moments.
        let mut heartbeats = self.lock();
        let at = self.shared.clock.now();
        let change = decide(&mut heartbeats, at, self.shared.pulse.awake(at));
        let standpoint = heartbeats.standpoint(at);
        let times = Times { due: at, started: at, finished: at };
        if let Some(report) = self.entry.record(outcome, times, standpoint, change) {
            (self.shared.sink)(report);
        }
        at
    }

    fn awake(&self) -> Moment {
        self.shared.pulse.awake(self.shared.clock.now())
    }

    fn lock(&self) -> MutexGuard<'_, Heartbeats> {
        // Each heartbeat leaves a whole state, so a panic elsewhere has spoilt nothing.
        self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
