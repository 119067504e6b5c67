//! Whether a fall may take effect: are *they* down, or are *we* cut off? Is this an outage of
//! one region, or something that looks like the end of the world?
//!
//! Pure. Health judges each target by itself; here all of them are looked at together (DESIGN
//! §5, Breaker). Three rules, in this order:
//!
//! 1. **Witness.** A fall needs an answer, of some other target or a guard, that came after the
//!    first failure; a failure that was itself an answer (a response with the wrong status)
//!    needs none. If there is no witness yet, some are asked at once.
//! 2. **Cut off.** When nobody answers within [`ASKING`], we are the ones who are away: nothing
//!    falls. When somebody answers again, what seemed to fall must fail once more to fall.
//! 3. **Mass failure.** When a fall would take the last up target of so many groups (regions;
//!    pools, where no region is set) that more than `share` of three or more groups went within
//!    `window`, that group stays as it was and further falls are held for `hold`, or until
//!    someone confirms. Then they take effect; if this process stood still meanwhile, only what
//!    fails once more. Gates have no part in this.
//!
//! A look costs what it lets go, not what is held: ten thousand targets that wait for a witness
//! cost an answer no more than one does.
//!
//! Knows targets by key and groups by name; no probes, no endpoints, no clock. Past 500 lines, of
//! which a third are its words: what it remembers and how a look goes stand here, the rules in
//! `witness` (one and two) and `mass` (three).

mod mass;
mod witness;

pub use mass::GROUPS_MIN;

use crate::clock::Moment;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

/// How long witnesses may take: what answers at all answers within a second.
pub const ASKING: Duration = Duration::from_secs(1);
/// A group whose targets were hastened is not hastened again before this.
const HASTENED: Duration = Duration::from_secs(1);
/// While a mass failure is held the clock is looked at so often …
const LOOK: Duration = Duration::from_secs(1);
/// … and a gap longer than this is no busy machine but a stopped process.
const STOPPED: Duration = Duration::from_secs(3);

/// How much may go at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Largest share of groups, in millionths, that may go without being held.
    pub share: u32,
    /// How long a mass failure is held.
    pub hold: Duration,
    /// Losses this close together are one: the slowest detection time of all checks.
    pub window: Duration,
    /// Whether there are guards to ask beside targets.
    pub guards: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            share: 500_000,
            hold: Duration::from_secs(120),
            window: Duration::from_secs(33),
            guards: false,
        }
    }
}

/// A target as a plan has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its key.
    pub key: Arc<str>,
    /// What it falls with; of a gate, nothing else.
    pub group: Arc<str>,
    /// What its fall means.
    pub role: Role,
    /// Whether it can be probed out of turn; heartbeats come when they come.
    pub can_be_asked: bool,
}

/// What the fall of a target means. Whatever it is, it may be a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Clients leave it, and with the last of its group the group is lost.
    Answered,
    /// A way is shut. Clients leave nothing by that, so that it is no part of a mass failure and
    /// none holds it.
    Gate,
    /// Nothing: it is only observed, never falls and keeps no group up.
    Observed,
}

/// A target that was judged to be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fall {
    /// When the first of its failures was seen.
    pub first_failure: Moment,
    /// Whether the deciding failure was itself an answer.
    pub answered: bool,
    /// Whether it was known to be up before; what was never seen up is no loss of a group.
    pub was_up: bool,
}

/// What probes can testify.
pub trait Proof {
    /// Whether anyone but `except` answered after `since`.
    fn answered_since(&self, since: Moment, except: &str) -> bool;
    /// The targets that failed since this was last called, as far as [`Breaker::wants_answers`]
    /// was true, each with when its last failure began.
    fn failures(&self) -> Vec<(Arc<str>, Moment)>;
}

/// Why a fall does not take effect yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Witnesses were asked.
    Asking,
    /// Nobody answers: we are cut off.
    CutOff,
    /// We were cut off, or stood still: it must fail once more.
    Rechecking,
    /// Too much of everything fell at once.
    Mass,
}

impl Held {
    /// In words, for `status`.
    pub const fn word(self) -> &'static str {
        match self {
            Held::Asking => "waiting for a witness",
            Held::CutOff => "held: nothing answers, this checker seems to be cut off",
            Held::Rechecking => "held until it fails again: this checker was away",
            Held::Mass => "held: too much fell at once",
        }
    }
}

/// What the breaker made of all that it knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Targets whose fall takes effect now.
    pub down: Vec<Arc<str>>,
    /// Targets whose fall is taken back: their group is held as it was.
    pub back: Vec<Arc<str>>,
    /// Whether a witness is wanted: guards are to be asked, and these targets.
    pub call: bool,
    /// Targets to be asked at once, as witnesses.
    pub ask: Vec<Arc<str>>,
    /// Targets to be probed at once: others of a group where something fell.
    pub hasten: Vec<Arc<str>>,
    /// What to tell.
    pub news: Vec<News>,
}

/// What the breaker has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// Nobody answers; so many falls are held.
    CutOff {
        /// How many.
        falls: usize,
    },
    /// Somebody answers again.
    Reconnected,
    /// A mass failure is held.
    Mass {
        /// Groups lost, the one that tripped it included.
        lost: usize,
        /// Of so many.
        groups: usize,
        /// For how long.
        hold: Duration,
    },
    /// A held mass failure takes effect.
    Released {
        /// How many falls.
        falls: usize,
        /// Whether someone confirmed it.
        confirmed: bool,
    },
    /// This process stood still while a mass failure was held: what was known of it is old.
    Doubted {
        /// So many falls must fail once more.
        falls: usize,
    },
    /// A held mass failure went away by itself.
    Recovered,
}

impl std::fmt::Display for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            News::CutOff { falls } => write!(
                f,
                "nothing answers any more: this checker seems to be cut off; held falls: {falls}, \
                 until something answers, or `tradewind confirm --falls`"
            ),
            News::Reconnected => {
                write!(f, "something answers again: what is held must fail once more")
            }
            News::Mass { lost, groups, hold } => write!(
                f,
                "mass failure: {lost} of {groups} regions lost at once; further falls are held for \
                 {hold:?}, or until `tradewind confirm --falls`"
            ),
            News::Released { falls, confirmed: true } => {
                write!(f, "held falls were confirmed and take effect: {falls}")
            }
            News::Released { falls, .. } => write!(f, "held falls take effect: {falls}"),
            News::Doubted { falls } => write!(
                f,
                "this server stood still while falls were held; each must fail once more: {falls}"
            ),
            News::Recovered => write!(f, "the mass failure went away before it took effect"),
        }
    }
}

#[derive(Clone, Debug)]
struct Target {
    group: usize,
    role: Role,
    can_be_asked: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Up,
    Down { since: Moment, was_up: bool },
    Held { why: Held, fall: Fall, since: Moment },
}

#[derive(Clone, Debug, Default)]
struct Group {
    name: Arc<str>,
    targets: Vec<Arc<str>>,
    /// Whether losing it counts; a gate's does not.
    counts: bool,
    /// How many of them could fall and are not down.
    up: usize,
    /// When the last of them went, while none is up (the restart, if that was before it); none if
    /// it was never seen up.
    lost: Option<Moment>,
    hastened: Option<Moment>,
}

/// What is held, in the orders in which it is let go.
#[derive(Clone, Debug, Default)]
struct Waiting {
    /// Those that want a witness, by first failure: an answer is one for all who failed before.
    by_failure: BTreeSet<(Moment, Arc<str>)>,
    /// The same by when that began.
    by_since: BTreeSet<(Moment, Arc<str>)>,
    /// How many are held, by [`Held`].
    counts: [usize; 4],
}

impl Waiting {
    /// `key` came to stand as `state` (`is` true), or stands so no more.
    fn count(&mut self, key: &Arc<str>, state: State, is: bool) {
        let State::Held { why, fall, since } = state else { return };
        let count = &mut self.counts[why as usize];
        *count = if is { *count + 1 } else { *count - 1 };
        if why != Held::Asking {
            return;
        }
        let entries = [
            (&mut self.by_failure, (fall.first_failure, Arc::clone(key))),
            (&mut self.by_since, (since, Arc::clone(key))),
        ];
        for (set, entry) in entries {
            if is {
                set.insert(entry)
            } else {
                set.remove(&entry)
            };
        }
    }

    fn of(&self, why: Held) -> usize {
        self.counts[why as usize]
    }

    fn is_empty(&self) -> bool {
        self.counts == [0; 4]
    }
}

/// All targets, and what of them is held.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    settings: Settings,
    targets: HashMap<Arc<str>, Target>,
    groups: Vec<Group>,
    waiting: Waiting,
    /// Nobody answered; since when.
    cut_off: Option<Moment>,
    /// When witnesses were last asked, how often that was done, and whether all that is left to
    /// be one only sends heartbeats.
    called: Option<Moment>,
    calls: usize,
    only_heartbeats: bool,
    /// A mass failure is held until then.
    mass: Option<Moment>,
    /// While it is: when the clock was last looked at, and whether it once jumped.
    looked: Moment,
    stood_still: bool,
    /// A mass failure took effect: what follows until then belongs to it.
    let_pass: Option<Moment>,
}

impl Breaker {
    /// Takes the targets of a new plan; those known by key stay as they are.
    pub fn arrange(&mut self, targets: impl IntoIterator<Item = Subject>, settings: Settings) {
        let known = std::mem::take(&mut self.targets);
        self.waiting = Waiting::default();
        let before: HashMap<Arc<str>, Group> =
            self.groups.drain(..).map(|group| (Arc::clone(&group.name), group)).collect();
        let mut places: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for Subject { key, group: name, role, can_be_asked } in targets {
            let group = *places.entry(Arc::clone(&name)).or_insert_with(|| {
                let old = before.get(&name);
                self.groups.push(Group {
                    lost: old.and_then(|group| group.lost),
                    hastened: old.and_then(|group| group.hastened),
                    counts: role != Role::Gate,
                    name,
                    ..Group::default()
                });
                self.groups.len() - 1
            });
            let falls = role != Role::Observed;
            self.groups[group].up += usize::from(falls);
            self.groups[group].targets.push(Arc::clone(&key));
            let target = Target { group, role, can_be_asked, state: State::Up };
            self.targets.insert(Arc::clone(&key), target);
            if let Some(target) = known.get(&key).filter(|_| falls) {
                self.put(&key, target.state);
            }
        }
        for group in &mut self.groups {
            group.lost = group.lost.filter(|_| group.up == 0);
        }
        self.settings = settings;
    }

    /// A target known to be down from before this process: nothing that falls now, and never taken
    /// back. But nobody knows since when, and the run before may have held what else it saw of the
    /// same failure: its group counts as lost `now`, so that what is judged again is held again.
    pub fn is_down_since_before(&mut self, key: &Arc<str>, now: Moment) {
        let Some(target) = self.targets.get(key) else { return };
        if target.state != State::Up || target.role == Role::Observed {
            return;
        }
        let place = target.group;
        self.put(key, State::Down { since: now, was_up: false });
        let group = &mut self.groups[place];
        group.lost = (group.up == 0).then_some(now);
    }

    /// Health judges `key` to be up, or to be worth answering at all.
    pub fn rose(&mut self, key: &Arc<str>) -> Step {
        let mut step = Step::default();
        if let Some(State::Down { .. }) = self.put(key, State::Up) {
            self.groups[self.targets[key].group].lost = None;
        }
        if self.mass.is_some() && self.waiting.of(Held::Mass) == 0 {
            self.mass = None;
            step.news.push(News::Recovered);
        }
        step
    }

    /// Health judges `key` to be down.
    pub fn fell(&mut self, key: &Arc<str>, fall: Fall, now: Moment, proof: &dyn Proof) -> Step {
        let mut step = Step::default();
        let Some(target) = self.targets.get(key) else { return step };
        if target.state != State::Up || target.role == Role::Observed {
            return step;
        }
        let place = target.group;
        let why = match self.cut_off {
            Some(_) if !fall.answered => Held::CutOff,
            _ => Held::Asking,
        };
        self.put(key, State::Held { why, fall, since: now });
        let group = &mut self.groups[place];
        if group.hastened.is_none_or(|at| now.since(at) >= HASTENED) {
            group.hastened = Some(now);
            let is_up = |key: &&Arc<str>| self.targets[*key].state == State::Up;
            step.hasten.extend(group.targets.iter().filter(is_up).cloned());
        }
        if why == Held::Asking && (fall.answered || self.is_witnessed(key, fall, proof)) {
            self.let_fall(key, fall, now, &mut step);
        }
        self.call(now, &mut step);
        step
    }

    /// Looks again at what is held: time has passed, or somebody answered or failed.
    pub fn step(&mut self, now: Moment, proof: &dyn Proof) -> Step {
        let mut step = Step::default();
        self.stood_still |= self.mass.is_some() && now.since(self.looked) > STOPPED;
        self.looked = now;
        let failures = proof.failures();
        if self.waiting.is_empty() {
            step.news.extend(self.cut_off.take().map(|_| News::Reconnected));
            step.news.extend(self.mass.take().map(|_| News::Recovered));
            return step;
        }
        if let Some(since) = self.cut_off
            && proof.answered_since(since, "")
        {
            self.cut_off = None;
            step.news.push(News::Reconnected);
            self.recheck(Held::CutOff, now, &mut step);
        }
        for (key, began) in failures {
            if let Some((Held::Rechecking, fall, since)) = self.held(&key)
                && began > since
            {
                self.let_fall(&key, fall, now, &mut step);
            }
        }
        self.let_witnessed_fall(now, proof, &mut step);
        self.give_up_asking(now, &mut step);
        if self.mass.is_some_and(|until| until <= now) {
            self.end_hold(now, &mut step);
        }
        self.call(now, &mut step);
        step
    }

    /// Someone looked and says: what is held is true.
    pub fn confirm(&mut self, now: Moment) -> Step {
        let mut step = Step::default();
        self.cut_off = None;
        let all = self.all_held(|_| true);
        self.release(all, true, now, &mut step);
        step
    }

    /// When [`Breaker::step`] has something to do by itself.
    pub fn wake(&self) -> Option<Moment> {
        let asking = self.waiting.by_since.first().map(|(since, _)| since.after(self.patience()));
        let call = self.called.zip(self.calls_again()).map(|(at, after)| at.after(after));
        let mass = self.mass.map(|until| until.min(self.looked.after(LOOK)));
        asking.into_iter().chain(call).chain(mass).min()
    }

    /// Whether answers and failures are of interest at once, whoever has them.
    pub fn wants_answers(&self) -> bool {
        let held = |why| self.waiting.of(why) > 0;
        self.cut_off.is_some() || held(Held::Asking) || held(Held::Rechecking)
    }

    /// Why the fall of `key` does not take effect, if it does not.
    pub fn held_as(&self, key: &str) -> Option<Held> {
        self.held(key).map(|(why, ..)| why)
    }

    /// How many falls are held for each reason that matters to people, and until when a mass
    /// failure is.
    pub fn summary(&self) -> Summary {
        Summary {
            cut_off: self.cut_off.map(|since| (since, self.waiting.of(Held::CutOff))),
            mass: self.mass.map(|until| (until, self.waiting.of(Held::Mass))),
        }
    }

    fn held(&self, key: &str) -> Option<(Held, Fall, Moment)> {
        match self.targets.get(key)?.state {
            State::Held { why, fall, since } => Some((why, fall, since)),
            State::Up | State::Down { .. } => None,
        }
    }

    /// Everything held for such a reason, by first failure.
    pub fn all_held(&self, is: impl Fn(Held) -> bool) -> Vec<Arc<str>> {
        let held = self.targets.iter().filter_map(|(key, target)| match target.state {
            State::Held { why, fall, .. } if is(why) => Some((fall.first_failure, key)),
            _ => None,
        });
        let mut held: Vec<_> = held.collect();
        held.sort_unstable();
        held.into_iter().map(|(_, key)| Arc::clone(key)).collect()
    }

    /// The one way in which a target comes to stand otherwise; gives how it stood.
    fn put(&mut self, key: &Arc<str>, state: State) -> Option<State> {
        let target = self.targets.get_mut(key)?;
        let was = std::mem::replace(&mut target.state, state);
        let up = &mut self.groups[target.group].up;
        let is_down = |state| matches!(state, State::Down { .. });
        match (is_down(was), is_down(state)) {
            (false, true) => *up -= 1,
            (true, false) => *up += 1,
            _ => {}
        }
        self.waiting.count(key, was, false);
        self.waiting.count(key, state, true);
        Some(was)
    }

    /// The held fall of `key` is proven: it takes effect, unless too much does.
    fn let_fall(&mut self, key: &Arc<str>, fall: Fall, now: Moment, step: &mut Step) {
        let counts = self.groups[self.targets[key].group].counts;
        if self.mass.is_some() && counts {
            self.hold(key, Held::Mass, now);
        } else if counts && self.would_be_mass(key, fall, now) {
            self.trip(key, now, step);
        } else {
            self.down(key, now, step);
        }
    }

    /// What is held as `why` must fail once more from now on.
    fn recheck(&mut self, why: Held, now: Moment, step: &mut Step) -> usize {
        let held = self.all_held(|held| held == why);
        for key in &held {
            self.hold(key, Held::Rechecking, now);
        }
        let count = held.len();
        step.hasten.extend(held);
        count
    }

    fn down(&mut self, key: &Arc<str>, now: Moment, step: &mut Step) {
        let Some((_, fall, _)) = self.held(key) else { return };
        self.put(key, State::Down { since: now, was_up: fall.was_up });
        let group = &mut self.groups[self.targets[key].group];
        if group.up == 0 {
            group.lost = fall.was_up.then_some(now);
        }
        step.down.push(Arc::clone(key));
    }

    fn hold(&mut self, key: &Arc<str>, why: Held, now: Moment) {
        if let Some((_, fall, _)) = self.held(key) {
            self.put(key, State::Held { why, fall, since: now });
        }
    }
}

/// What is held, for `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Since when nobody answers, and how many falls are held for it.
    pub cut_off: Option<(Moment, usize)>,
    /// Until when a mass failure is held, and how many falls.
    pub mass: Option<(Moment, usize)>,
}

impl Step {
    /// Adds what another step brought.
    pub fn merge(&mut self, other: Step) {
        self.down.extend(other.down);
        self.back.extend(other.back);
        self.call |= other.call;
        self.ask.extend(other.ask);
        self.hasten.extend(other.hasten);
        self.news.extend(other.news);
    }
}

#[cfg(test)]
mod tests;
