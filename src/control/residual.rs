//! How much traffic is still on an old answer, after a change moved clients.
//!
//! Two figures, since neither knows everything. *Computed*: resolvers keep an answer for its TTL
//! and fetched it at an even pace, so what is left falls in a straight line to nothing in one
//! TTL. *Observed*: every resolver that still holds the old answer comes back within one TTL;
//! how many came, against how many did in one TTL before, says how many are still to come.
//! What clients do behind their resolvers is not seen by any name server.

use crate::{
    clock::Moment,
    ids::{CounterSlot, PlanId},
    snapshot::Snapshot,
    telemetry::Telemetry,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Moves that are remembered: those of a bad hour.
const MOVES: usize = 64;
/// A move is shown for so long after the last old answer has run out.
const AFTERWARDS: Duration = Duration::from_secs(60);
/// How often the pace of queries is taken.
const PACE: Duration = Duration::from_secs(10);
/// Fewer queries a TTL than this say nothing.
const ENOUGH: f64 = 50.0;

/// A change that moved clients.
#[derive(Clone, Debug)]
pub struct Move {
    /// What moved: `gtm.example.com/app: iad → dub`.
    pub what: Arc<str>,
    /// Number of the World that carried it.
    pub swap: u64,
    /// When it was published.
    pub at: Moment,
    /// The longest that an old answer may be kept.
    pub ttl: Duration,
    counters: Arc<[CounterSlot]>,
    /// What those had counted when it was published.
    answered: u64,
    /// How many queries came in one TTL before.
    expected: f64,
}

/// What is left of a [`Move`], as shares of its clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    /// The move.
    pub what: Arc<str>,
    /// Number of the World that carried it.
    pub swap: u64,
    /// How long ago it was.
    pub ago: Duration,
    /// The longest that an old answer may be kept.
    pub ttl: Duration,
    /// From TTL and time alone: 0..=1.
    pub computed: f64,
    /// From queries answered since; none where too few came before to tell.
    pub observed: Option<f64>,
}

/// The moves that still matter, for those who show them.
#[derive(Clone, Debug, Default)]
pub struct Moves(Arc<Mutex<VecDeque<Move>>>);

impl Moves {
    /// What is left of each at `now`, newest first.
    pub fn left(&self, telemetry: &Telemetry, now: Moment) -> Vec<Left> {
        let moves: Vec<Move> = self.lock().iter().rev().cloned().collect();
        moves.iter().map(|one| one.left(telemetry.answered(&one.counters), now)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Move>> {
        // Whole values come and go, so a panic elsewhere has spoilt nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Move {
    fn left(&self, answered: u64, now: Moment) -> Left {
        let ago = now.since(self.at);
        let ttl = self.ttl.as_secs_f64().max(1e-9);
        let came = answered.saturating_sub(self.answered) as f64;
        let observed = (self.expected >= ENOUGH).then(|| (1.0 - came / self.expected).max(0.0));
        Left {
            what: Arc::clone(&self.what),
            swap: self.swap,
            ago,
            ttl: self.ttl,
            computed: (1.0 - ago.as_secs_f64() / ttl).max(0.0),
            // After one TTL no resolver may hold it, whatever came.
            observed: observed.map(|share| if ago > self.ttl { 0.0 } else { share }),
        }
    }
}

/// The pace of queries, and the moves measured against it.
#[derive(Debug)]
pub(super) struct Traffic {
    telemetry: Arc<Telemetry>,
    /// By plan: what had been counted, and how many came a second since.
    pace: Vec<Pace>,
    taken: Option<Moment>,
    counters: Vec<Arc<[CounterSlot]>>,
    moves: Moves,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    answered: u64,
    per_second: f64,
}

impl Traffic {
    pub fn new(telemetry: Arc<Telemetry>) -> Traffic {
        let (pace, counters, moves) = (Vec::new(), Vec::new(), Moves::default());
        Traffic { telemetry, pace, taken: None, counters, moves }
    }

    pub fn moves(&self) -> Moves {
        self.moves.clone()
    }

    /// Begins anew with the records of `snapshot`. Paces are taken again from here.
    pub fn install(&mut self, snapshot: &Snapshot, now: Moment) {
        let mut counters: Vec<Vec<CounterSlot>> = vec![Vec::new(); snapshot.plans.len()];
        for record in &snapshot.records {
            counters[record.plan.index()].extend(&record.counters);
        }
        self.counters = counters.into_iter().map(Arc::from).collect();
        let answered = self.counters.iter().map(|slots| self.telemetry.answered(slots));
        self.pace = answered.map(|answered| Pace { answered, per_second: 0.0 }).collect();
        self.taken = Some(now);
    }

    /// Takes the pace, if it is time.
    pub fn tick(&mut self, now: Moment) {
        let Some(taken) = self.taken.filter(|&taken| now.since(taken) >= PACE) else { return };
        let passed = now.since(taken).as_secs_f64();
        for (pace, slots) in self.pace.iter_mut().zip(&self.counters) {
            let answered = self.telemetry.answered(slots);
            let per_second = answered.saturating_sub(pace.answered) as f64 / passed;
            *pace = Pace { answered, per_second };
        }
        self.taken = Some(now);
        let is_over = |one: &Move| now.since(one.at) > one.ttl + AFTERWARDS;
        self.moves.lock().retain(|one| !is_over(one));
    }

    /// Remembers that `what` moved the clients of `plans` just now.
    pub fn moved(
        &mut self,
        what: Arc<str>,
        swap: u64,
        snapshot: &Snapshot,
        plans: &[PlanId],
        now: Moment,
    ) {
        let ttl =
            |plan: &PlanId| Duration::from_secs(snapshot.plan(*plan).ttl.max.as_secs().into());
        let longest = plans.iter().map(ttl).max().unwrap_or_default();
        let known = plans.iter().filter(|plan| plan.index() < self.pace.len());
        let mut expected = 0.0;
        let mut counters: Vec<CounterSlot> = Vec::new();
        for plan in known {
            let Pace { answered, per_second } = self.pace[plan.index()];
            let slots = &self.counters[plan.index()];
            // Since the pace was last taken it may have changed; a longer look is a better one.
            let passed = self.taken.map_or(0.0, |taken| now.since(taken).as_secs_f64());
            let since = self.telemetry.answered(slots).saturating_sub(answered) as f64;
            let newest = if passed > 1.0 { since / passed } else { per_second };
            expected += newest.max(per_second) * ttl(plan).as_secs_f64();
            counters.extend(slots.iter());
        }
        let answered = self.telemetry.answered(&counters);
        let one = Move {
            what,
            swap,
            at: now,
            ttl: longest,
            counters: counters.into(),
            answered,
            expected,
        };
        let mut moves = self.moves.lock();
        if moves.len() == MOVES {
            moves.pop_front();
        }
        moves.push_back(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(answered: u64, expected: f64) -> Move {
        Move {
            what: "app: iad → dub".into(),
            swap: 7,
            at: Moment(10_000_000_000),
            ttl: Duration::from_secs(30),
            counters: Arc::new([]),
            answered,
            expected,
        }
    }

    fn secs(secs: u64) -> Moment {
        Moment(secs * 1_000_000_000)
    }

    #[test]
    fn what_is_left_falls_in_a_straight_line_over_one_ttl() {
        let left = |now| one(0, 0.0).left(0, secs(now)).computed;
        assert_eq!([left(10), left(25), left(40), left(99)], [1.0, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn what_was_seen_to_come_back_is_not_left_any_more() {
        let left = |answered, now| one(1_000, 600.0).left(answered, secs(now)).observed;
        assert_eq!(left(1_000, 11), Some(1.0));
        assert_eq!(left(1_150, 20), Some(0.75));
        assert_eq!(left(9_999, 20), Some(0.0));
        assert_eq!(left(1_000, 41), Some(0.0), "no resolver may hold it any more");
        assert_eq!(one(0, 10.0).left(3, secs(11)).observed, None, "too few to tell");
    }
}
