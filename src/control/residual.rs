//! How much traffic is still on an old answer, after a change moved clients.
//!
//! Two figures, since neither knows everything. *Computed*: resolvers keep an answer for its TTL
//! and fetched it at an even pace, so what is left is the share of old answers that were given
//! during the last TTL: after a swap it falls in a straight line, after a ramp it follows that a
//! TTL later, and where the ramp stands still so does it. *Observed*: every resolver that still
//! holds the old answer comes back within one TTL; how many came, against how many did in one TTL
//! before, says how many are still to come. What clients do behind their resolvers is not seen by
//! any name server.

use super::event::EventKind;
use crate::{
    clock::Moment,
    ids::{CounterSlot, PlanId, SlotId},
    policy::RampKind,
    snapshot::Snapshot,
    telemetry::Telemetry,
    world::State,
};
use foldhash::fast::FixedState;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Moves that are remembered: those of a bad hour.
const MOVES: usize = 64;
/// A move is shown for so long after the last old answer has run out.
const AFTERWARDS: Duration = Duration::from_secs(60);
/// How often the pace of queries is taken. That sums every counter: 10,000 records of three regions
/// over eight threads take 28 ms in an unoptimised build, and as long once a change moves them all,
/// after it is published. Nothing else here looks at counters but to tell of a change.
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
    /// What says how many clients have followed; nothing where all did at once.
    pub subject: Option<Subject>,
    /// From when on which share of answers was the old one, oldest first; all before that.
    old: VecDeque<(Moment, f64)>,
    counters: Arc<[CounterSlot]>,
    /// What those had counted when it was published.
    answered: u64,
    /// How many queries came in one TTL before.
    expected: f64,
    /// Whether it was told that half of it is through, and all of it.
    told: (bool, bool),
}

/// What clients may follow little by little; by name, since it is looked for in later Snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A failover.
    Failover(Arc<str>),
    /// A slot that is drained or comes back: its name and address.
    Slot(Arc<str>, Arc<str>),
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
    /// When the last old answer runs out; nothing while some are still given.
    pub ends_in: Option<Duration>,
    /// From TTL and time alone: 0..=1.
    pub computed: f64,
    /// From queries answered since; none where too few came before to tell, or a ramp ran.
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
        let came = answered.saturating_sub(self.answered) as f64;
        // A ramp lets old answers come back all the time.
        let is_enough = self.expected >= ENOUGH && self.old.len() == 1;
        let observed = is_enough.then(|| (1.0 - came / self.expected).max(0.0));
        let ends_in = self.ends_in(now);
        Left {
            what: Arc::clone(&self.what),
            swap: self.swap,
            ago: now.since(self.at),
            ttl: self.ttl,
            ends_in,
            computed: self.computed(now),
            // After one TTL no resolver may hold it, whatever came.
            observed: observed
                .map(|share| if ends_in == Some(Duration::ZERO) { 0.0 } else { share }),
        }
    }

    /// How long until the last old answer runs out, once none is given any more.
    fn ends_in(&self, now: Moment) -> Option<Duration> {
        let &(since, share) = self.old.back()?;
        (share <= 0.0).then(|| self.ttl.saturating_sub(now.since(since)))
    }

    /// The share of old answers among all that were given during one TTL before `now`.
    fn computed(&self, now: Moment) -> f64 {
        let at = |moment: Moment| moment.0 as f64 / 1e9;
        let start = at(now) - self.ttl.as_secs_f64();
        let (mut sum, mut end) = (0.0, at(now));
        for &(since, share) in self.old.iter().rev() {
            let begin = at(since).clamp(start, end);
            sum += share * (end - begin);
            end = begin;
        }
        let whole = self.ttl.as_secs_f64().max(1e-9);
        // Before the first of them every answer was an old one.
        ((sum + (end - start)) / whole).clamp(0.0, 1.0)
    }

    /// Notes that from `now` on `share` of the answers are old ones.
    fn follow(&mut self, share: f64, now: Moment) {
        if self.old.back().is_some_and(|&(_, last)| last == share) {
            return;
        }
        self.old.push_back((now, share));
        // One that was replaced more than a TTL ago says nothing of what resolvers keep: so there
        // is at most one for each second of a TTL, as ramps advance.
        while self.old.get(1).is_some_and(|&(since, _)| now.since(since) >= self.ttl)
            && self.old.len() > 2
        {
            self.old.pop_front();
        }
    }

    /// What is to be told of it by now: that half of it is through, that all is. Time alone says
    /// whether; what was answered is counted only for what is told.
    fn news(&mut self, telemetry: &Telemetry, now: Moment) -> Option<EventKind> {
        let computed = self.computed(now);
        let reached = (computed <= 0.5, computed <= 0.0);
        let is_new = reached != self.told && (reached.1 || !self.told.0);
        self.told = (self.told.0 || reached.0, self.told.1 || reached.1);
        is_new.then(|| EventKind::OldAnswers {
            change: Arc::clone(&self.what),
            of_swap: self.swap,
            computed,
            observed: self.left(telemetry.answered(&self.counters), now).observed,
        })
    }
}

impl Subject {
    /// The share of its clients that still get the old answer in `state`.
    fn old_share(&self, snapshot: &Snapshot, state: &State) -> f64 {
        match self {
            Subject::Failover(name) => {
                let index = snapshot.failovers.iter().position(|f| f.name == *name);
                let course = index.and_then(|index| state.courses.get(index));
                let leaving = course.and_then(|course| course.leaving);
                leaving.map_or(0.0, |(_, moved)| 1.0 - moved.as_fraction())
            }
            Subject::Slot(name, address) => {
                let ramp = state.ramps.iter().find(|ramp| {
                    let slot = &snapshot.slots[ramp.slot.index()];
                    slot.name == *name && *slot.address.to_string() == **address
                });
                let share = |slot: SlotId| {
                    let plans = snapshot.plans_of_slot[slot.index()].iter();
                    let mut ramps =
                        plans.filter_map(|plan| ramp?.share(snapshot.plan(*plan), state.now));
                    ramps.next()
                };
                match ramp.and_then(|ramp| share(ramp.slot)) {
                    Some(ramp) if ramp.kind == RampKind::Leaving => ramp.share.as_fraction(),
                    Some(ramp) => 1.0 - ramp.share.as_fraction(),
                    None => 0.0,
                }
            }
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

    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    pub fn moves(&self) -> Moves {
        self.moves.clone()
    }

    /// Goes on with the records of `snapshot`. What is known of their pace stays: each has the part
    /// of its old plan's that its answers had of that plan's.
    pub fn install(&mut self, snapshot: &Snapshot, now: Moment) {
        let mut counters: Vec<Vec<CounterSlot>> = vec![Vec::new(); snapshot.plans.len()];
        for record in &snapshot.records {
            counters[record.plan.index()].extend(&record.counters);
        }
        let counters: Vec<Arc<[CounterSlot]>> = counters.into_iter().map(Arc::from).collect();
        let mut known: HashMap<CounterSlot, usize, FixedState> = HashMap::default();
        for (plan, slots) in self.counters.iter().enumerate() {
            known.extend(slots.iter().map(|slot| (*slot, plan)));
        }
        let pace = counters.iter().map(|slots| {
            let was = slots.first().and_then(|slot| known.get(slot));
            let per_second = match was.filter(|&&plan| self.counters[plan] == *slots) {
                Some(&plan) => self.pace[plan].per_second,
                None => self.inherited(slots, &known),
            };
            Pace { answered: self.telemetry.answered(slots), per_second }
        });
        self.pace = pace.collect();
        self.counters = counters;
        self.taken = Some(now);
    }

    /// The pace of what `slots` count, from that of the plans that are `known` to have counted there.
    fn inherited(
        &self,
        slots: &[CounterSlot],
        known: &HashMap<CounterSlot, usize, FixedState>,
    ) -> f64 {
        let mut parts: BTreeMap<usize, Vec<CounterSlot>> = BTreeMap::new();
        for slot in slots {
            if let Some(&plan) = known.get(slot) {
                parts.entry(plan).or_default().push(*slot);
            }
        }
        let part = |(plan, part): (usize, Vec<CounterSlot>)| {
            let all = self.telemetry.answered(&self.counters[plan]);
            let own = self.telemetry.answered(&part);
            self.pace[plan].per_second * own as f64 / all.max(1) as f64
        };
        parts.into_iter().map(part).sum()
    }

    /// Takes the pace, if it is time; what is to be told of old answers by now.
    pub fn tick(&mut self, now: Moment) -> Vec<EventKind> {
        let mut moves = self.moves.lock();
        moves.retain(|one| {
            let last = one.old.back().map_or(one.at, |(at, _)| *at);
            one.ends_in(now).is_none() || now.since(last) <= one.ttl + AFTERWARDS
        });
        let telemetry = &self.telemetry;
        let news = moves.iter_mut().filter(|one| !one.told.1);
        let news = news.filter_map(|one| one.news(telemetry, now)).collect();
        drop(moves);
        let Some(taken) = self.taken.filter(|&taken| now.since(taken) >= PACE) else {
            return news;
        };
        let passed = now.since(taken).as_secs_f64();
        for (pace, slots) in self.pace.iter_mut().zip(&self.counters) {
            let answered = self.telemetry.answered(slots);
            let per_second = answered.saturating_sub(pace.answered) as f64 / passed;
            *pace = Pace { answered, per_second };
        }
        self.taken = Some(now);
        news
    }

    /// Brings moves up to how many clients have followed by now.
    pub fn follow(&self, snapshot: &Snapshot, state: &State, now: Moment) {
        for one in self.moves.lock().iter_mut() {
            if let Some(subject) = &one.subject {
                let share = subject.old_share(snapshot, state);
                one.follow(share, now);
            }
        }
    }

    /// Remembers that `moved` just now moved the clients of `plans`, whose old answers may be kept
    /// for `ttl`.
    pub fn moved(&mut self, moved: Moved, plans: &[PlanId], ttl: Duration, now: Moment) {
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
            expected += newest.max(per_second) * ttl.as_secs_f64();
            counters.extend(slots.iter());
        }
        let Moved { what, swap, subject } = moved;
        let one = Move {
            answered: self.telemetry.answered(&counters),
            old: [(now, 0.0)].into(),
            counters: counters.into(),
            told: (false, false),
            at: now,
            what,
            swap,
            ttl,
            subject,
            expected,
        };
        let mut moves = self.moves.lock();
        // Who moves on, or turns round, has left the move before.
        moves.retain(|before| before.subject.is_none() || before.subject != one.subject);
        if moves.len() == MOVES {
            moves.pop_front();
        }
        moves.push_back(one);
    }
}

/// What moved clients.
pub(super) struct Moved {
    /// In words.
    pub what: Arc<str>,
    /// Number of the World that carries it.
    pub swap: u64,
    /// What clients may follow little by little.
    pub subject: Option<Subject>,
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
            subject: None,
            old: [(Moment(10_000_000_000), 0.0)].into(),
            told: (false, false),
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

    #[test]
    fn after_a_ramp_what_is_left_follows_it_a_ttl_later_and_stands_still_with_it() {
        let mut it = one(0, 0.0);
        it.old.clear();
        // Ten seconds each: three quarters old, a half, a half (held), none.
        for (at, share) in [(10, 0.75), (20, 0.5), (40, 0.0)] {
            it.follow(share, secs(at));
        }
        let left = |now| (it.computed(secs(now)) * 1_000.0).round() / 1_000.0;
        assert_eq!([left(10), left(20), left(40), left(70)], [1.0, 0.917, 0.583, 0.0]);
        assert_eq!(
            (it.ends_in(secs(50)), it.ends_in(secs(70))),
            (Some(Duration::from_secs(20)), Some(Duration::ZERO))
        );
        assert_eq!(it.left(0, secs(50)).observed, None);
    }

    #[test]
    fn that_half_and_all_of_it_is_through_is_told_once() {
        let mut it = one(0, 0.0);
        let telemetry = Telemetry::default();
        let is_told = |now: &u64| it.news(&telemetry, secs(*now)).is_some();
        let told: Vec<u64> = (10..60).filter(is_told).collect();
        assert_eq!(told, [25, 40]);
    }
}
