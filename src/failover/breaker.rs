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
//!    someone confirms. Then they take effect.
//!
//! Knows targets by key and groups by name; no probes, no endpoints, no clock.

use crate::clock::Moment;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// How long witnesses may take: what answers at all answers within a second.
pub const ASKING: Duration = Duration::from_secs(1);
/// A group whose targets were hastened is not hastened again before this.
const HASTENED: Duration = Duration::from_secs(1);
/// While something must fail once more, that is looked for so often.
const LOOK: Duration = Duration::from_millis(50);
/// Fewer groups than this have no majority to speak of: losing one, or one of two, is an outage.
const GROUPS_MIN: usize = 3;
/// How many of its own group are asked when there is no other group.
const NEIGHBOURS: usize = 4;

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
    /// Whether `key` failed after `since`.
    fn failed_since(&self, key: &str, since: Moment) -> bool;
}

/// Why a fall does not take effect yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Witnesses were asked.
    Asking,
    /// Nobody answers: we are cut off.
    CutOff,
    /// Somebody answers again: it must fail once more.
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
            Held::Rechecking => "held until it fails again: this checker was cut off",
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
            News::Recovered => write!(f, "the mass failure went away before it took effect"),
        }
    }
}

#[derive(Clone, Debug)]
struct Target {
    group: usize,
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
    /// How many of them are not down.
    up: usize,
    /// When the last of them went, while none is up; none if it was never seen up.
    lost: Option<Moment>,
    hastened: Option<Moment>,
}

/// All targets, and what of them is held.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    settings: Settings,
    targets: HashMap<Arc<str>, Target>,
    groups: Vec<Group>,
    /// Nobody answered; since when.
    cut_off: Option<Moment>,
    /// The answer that ended a cut-off: what is held must fail after it.
    reconnected: Option<Moment>,
    /// When to look again whether something failed once more.
    look: Option<Moment>,
    /// A mass failure is held until then.
    mass: Option<Moment>,
    /// A mass failure took effect: what follows until then belongs to it.
    let_pass: Option<Moment>,
}

impl Breaker {
    /// Takes the targets of a new plan, each with its group; those known by key stay as they are.
    pub fn arrange(
        &mut self,
        targets: impl IntoIterator<Item = (Arc<str>, Arc<str>)>,
        settings: Settings,
    ) {
        let known = std::mem::take(&mut self.targets);
        let before: HashMap<Arc<str>, Group> =
            self.groups.drain(..).map(|group| (Arc::clone(&group.name), group)).collect();
        let mut places: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for (key, name) in targets {
            let place = *places.entry(Arc::clone(&name)).or_insert_with(|| {
                let old = before.get(&name);
                self.groups.push(Group {
                    lost: old.and_then(|group| group.lost),
                    hastened: old.and_then(|group| group.hastened),
                    name,
                    ..Group::default()
                });
                self.groups.len() - 1
            });
            let state = known.get(&key).map_or(State::Up, |target| target.state);
            let group = &mut self.groups[place];
            group.up += usize::from(!matches!(state, State::Down { .. }));
            group.targets.push(Arc::clone(&key));
            self.targets.insert(key, Target { group: place, state });
        }
        for group in &mut self.groups {
            group.lost = group.lost.filter(|_| group.up == 0);
        }
        self.settings = settings;
    }

    /// A target known to be down from before this process: nothing that falls now.
    pub fn is_down_since_before(&mut self, key: &str) {
        if let Some(target) = self.targets.get_mut(key)
            && target.state == State::Up
        {
            target.state = State::Down { since: Moment(0), was_up: false };
            self.groups[target.group].up -= 1;
        }
    }

    /// Health judges `key` to be up, or to be worth answering at all.
    pub fn rose(&mut self, key: &str) -> Step {
        let Some(target) = self.targets.get_mut(key) else { return Step::default() };
        let was = std::mem::replace(&mut target.state, State::Up);
        if let State::Down { .. } = was {
            let group = &mut self.groups[target.group];
            (group.up, group.lost) = (group.up + 1, None);
        }
        let mut step = Step::default();
        if self.mass.is_some() && !self.has_held(Held::Mass) {
            self.mass = None;
            step.news.push(News::Recovered);
        }
        step
    }

    /// Health judges `key` to be down.
    pub fn fell(&mut self, key: &str, fall: Fall, now: Moment, proof: &dyn Proof) -> Step {
        let mut step = Step::default();
        let Some(target) = self.targets.get_mut(key) else { return step };
        if target.state != State::Up {
            return step;
        }
        let why = match self.cut_off {
            Some(_) if !fall.answered => Held::CutOff,
            _ => Held::Asking,
        };
        target.state = State::Held { why, fall, since: now };
        let group = &mut self.groups[target.group];
        if group.hastened.is_none_or(|at| now.since(at) >= HASTENED) {
            group.hastened = Some(now);
            let is_up = |key: &&Arc<str>| self.targets[*key].state == State::Up;
            step.hasten.extend(group.targets.iter().filter(is_up).cloned());
        }
        self.decide(key, now, proof, &mut step);
        if self.held_as(key) == Some(Held::Asking) {
            step.ask = self.witnesses(key);
        }
        step
    }

    /// Looks again at what is held: time has passed, or somebody answered.
    pub fn step(&mut self, now: Moment, proof: &dyn Proof) -> Step {
        let mut step = Step::default();
        let pending = self.pending();
        if pending.is_empty() {
            (self.cut_off, self.mass, self.look) = (None, None, None);
            return step;
        }
        if let Some(since) = self.cut_off
            && proof.answered_since(since, "")
        {
            (self.cut_off, self.reconnected) = (None, Some(now));
            step.news.push(News::Reconnected);
            for key in &pending {
                if self.held_as(key) == Some(Held::CutOff) {
                    self.hold(key, Held::Rechecking);
                    step.hasten.push(Arc::clone(key));
                }
            }
        }
        for key in &pending {
            self.decide(key, now, proof, &mut step);
        }
        self.give_up_asking(&pending, now, &mut step);
        if self.mass.is_some_and(|until| until <= now) {
            self.release(now, false, &mut step);
        }
        self.look = self.has_held(Held::Rechecking).then(|| now.after(LOOK));
        step
    }

    /// Someone looked and says: what is held is true.
    pub fn confirm(&mut self, now: Moment) -> Step {
        let mut step = Step::default();
        self.cut_off = None;
        self.release(now, true, &mut step);
        step
    }

    /// When [`Breaker::step`] has something to do by itself.
    pub fn wake(&self) -> Option<Moment> {
        let asking = self.targets.values().filter_map(|target| match target.state {
            State::Held { why: Held::Asking, since, .. } => Some(since.after(ASKING)),
            _ => None,
        });
        asking.chain(self.mass).chain(self.look).min()
    }

    /// Whether answers are of interest at once, whoever gives them.
    pub fn wants_answers(&self) -> bool {
        self.cut_off.is_some() || self.has_held(Held::Asking) || self.has_held(Held::Rechecking)
    }

    /// Why the fall of `key` does not take effect, if it does not.
    pub fn held_as(&self, key: &str) -> Option<Held> {
        match self.targets.get(key)?.state {
            State::Held { why, .. } => Some(why),
            State::Up | State::Down { .. } => None,
        }
    }

    /// How many falls are held for each reason that matters to people, and until when a mass
    /// failure is.
    pub fn summary(&self) -> Summary {
        let count = |why| {
            self.targets
                .values()
                .filter(|t| matches!(t.state, State::Held { why: w, .. } if w == why))
                .count()
        };
        Summary {
            cut_off: self.cut_off.map(|since| (since, count(Held::CutOff))),
            mass: self.mass.map(|until| (until, count(Held::Mass))),
        }
    }

    fn pending(&self) -> Vec<Arc<str>> {
        let mut pending: Vec<(Moment, Arc<str>)> = self
            .targets
            .iter()
            .filter_map(|(key, target)| match target.state {
                State::Held { fall, .. } => Some((fall.first_failure, Arc::clone(key))),
                _ => None,
            })
            .collect();
        pending.sort_unstable();
        pending.into_iter().map(|(_, key)| key).collect()
    }

    /// Whether the held fall of `key` may take effect now.
    fn decide(&mut self, key: &str, now: Moment, proof: &dyn Proof, step: &mut Step) {
        let Some(target) = self.targets.get(key) else { return };
        let State::Held { why, fall, .. } = target.state else { return };
        let is_proven = match why {
            Held::Mass | Held::CutOff => false,
            Held::Asking => {
                fall.answered
                    || !self.has_others(key)
                    || proof.answered_since(fall.first_failure, key)
            }
            Held::Rechecking => {
                self.reconnected.is_some_and(|since| proof.failed_since(key, since))
            }
        };
        if !is_proven {
            return;
        }
        if self.mass.is_some() {
            self.hold(key, Held::Mass);
        } else if self.would_be_mass(key, fall, now) {
            self.trip(key, now, step);
        } else {
            self.down(key, now, step);
        }
    }

    fn has_others(&self, key: &str) -> bool {
        self.settings.guards || self.targets.keys().any(|other| &**other != key)
    }

    /// Whether taking `key` down would be one group too many.
    fn would_be_mass(&self, key: &str, fall: Fall, now: Moment) -> bool {
        let group = &self.groups[self.targets[key].group];
        let passes = self.let_pass.is_some_and(|until| now <= until);
        if passes || group.up > 1 || !fall.was_up || self.groups.len() < GROUPS_MIN {
            return false;
        }
        let lost = 1 + self.lost_lately(now);
        lost as u128 * 1_000_000 > self.groups.len() as u128 * u128::from(self.settings.share)
    }

    fn lost_lately(&self, now: Moment) -> usize {
        let lately = |at: Moment| now.since(at) <= self.settings.window;
        self.groups.iter().filter(|group| group.lost.is_some_and(lately)).count()
    }

    /// Holds `key` and with it its whole group, as it was before: one target left would be given
    /// all clients of its group.
    fn trip(&mut self, key: &str, now: Moment, step: &mut Step) {
        let Settings { hold, window, .. } = self.settings;
        self.mass = Some(now.after(hold));
        let (lost, groups) = (1 + self.lost_lately(now), self.groups.len());
        step.news.push(News::Mass { lost, groups, hold });
        self.hold(key, Held::Mass);
        let place = self.targets[key].group;
        for other in self.groups[place].targets.clone() {
            let Some(target) = self.targets.get_mut(&other) else { continue };
            if let State::Down { since, was_up: true } = target.state
                && now.since(since) <= window
            {
                let fall = Fall { first_failure: since, answered: false, was_up: true };
                target.state = State::Held { why: Held::Mass, fall, since: now };
                self.groups[place].up += 1;
                match step.down.iter().position(|key| *key == other) {
                    // It fell in this very step: nobody has seen it yet.
                    Some(at) => drop(step.down.swap_remove(at)),
                    None => step.back.push(other),
                }
            }
        }
        self.groups[place].lost = None;
    }

    fn down(&mut self, key: &str, now: Moment, step: &mut Step) {
        let Some((key, _)) = self.targets.get_key_value(key) else { return };
        let key = Arc::clone(key);
        let Some(target) = self.targets.get_mut(&key) else { return };
        let State::Held { fall, .. } = target.state else { return };
        target.state = State::Down { since: now, was_up: fall.was_up };
        let group = &mut self.groups[target.group];
        group.up -= 1;
        if group.up == 0 {
            group.lost = fall.was_up.then_some(now);
        }
        step.down.push(key);
    }

    fn hold(&mut self, key: &str, why: Held) {
        if let Some(target) = self.targets.get_mut(key)
            && let State::Held { why: held, .. } = &mut target.state
        {
            *held = why;
        }
    }

    /// What was asked for and not answered in time: we are cut off, and so is all that asks.
    fn give_up_asking(&mut self, pending: &[Arc<str>], now: Moment, step: &mut Step) {
        let asked_since = |key: &Arc<str>| match self.targets.get(key)?.state {
            State::Held { why: Held::Asking, since, .. } => Some(since),
            _ => None,
        };
        let asking: Vec<(&Arc<str>, Moment)> =
            pending.iter().filter_map(|key| Some((key, asked_since(key)?))).collect();
        if self.cut_off.is_none() && asking.iter().any(|(_, at)| now.since(*at) >= ASKING) {
            self.cut_off = Some(now);
            step.news.push(News::CutOff { falls: asking.len() });
        }
        if self.cut_off.is_some() {
            asking.iter().for_each(|(key, _)| self.hold(key, Held::CutOff));
        }
    }

    /// Everything held takes effect, and so does what follows closely.
    fn release(&mut self, now: Moment, confirmed: bool, step: &mut Step) {
        let before = step.down.len();
        for key in self.pending() {
            if confirmed || self.held_as(&key) == Some(Held::Mass) {
                self.down(&key, now, step);
            }
        }
        self.mass = None;
        self.let_pass = Some(now.after(self.settings.window));
        step.news.push(News::Released { falls: step.down.len() - before, confirmed });
    }

    fn has_held(&self, why: Held) -> bool {
        let is = |target: &Target| matches!(target.state, State::Held { why: w, .. } if w == why);
        self.targets.values().any(is)
    }

    /// One up target of each other group; some of its own, where there is no other.
    fn witnesses(&self, key: &str) -> Vec<Arc<str>> {
        let own = self.targets[key].group;
        let is_up = |other: &&Arc<str>| &***other != key && self.targets[*other].state == State::Up;
        let others = self.groups.iter().enumerate().filter(|(place, _)| *place != own);
        let mut asked: Vec<Arc<str>> =
            others.filter_map(|(_, group)| group.targets.iter().find(is_up).cloned()).collect();
        if asked.is_empty() {
            asked.extend(self.groups[own].targets.iter().filter(is_up).take(NEIGHBOURS).cloned());
        }
        asked
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
        self.ask.extend(other.ask);
        self.hasten.extend(other.hasten);
        self.news.extend(other.news);
    }
}

#[cfg(test)]
mod tests;
