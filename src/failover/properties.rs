//! Random lives of a machine: whatever happens in whatever order, what must hold holds.
//!
//! The conditions of each move are written here from DESIGN §5 once more, over the test's own
//! memory of what was seen, so that machine and test can only agree by being right.

use super::{
    Cause, Command, Course, Effect, Failback, Machine, Mode, Phase, Ramp, Rules, Seen, Wait,
};
use crate::{
    clock::{Dice, Moment},
    ids::Class,
    policy::{Wanted, select, testing::Given},
    units::Share,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const LIVES: u64 = 3_000;
const EVENTS: usize = 60;

/// What the machine is shown, and what the test remembers of it.
struct Life {
    machine: Machine,
    rules: Rules,
    dice: Dice,
    now: Moment,
    members: Vec<Member>,
    prefer: Option<u8>,
    /// The operator's choice was not reached since it was made.
    wish: bool,
    held: bool,
    /// What an operator approved while the active member was drained.
    granted: Option<u8>,
    /// The files just lost the active member.
    removed: bool,
    /// The ramp as it last was: from, to, share.
    ramp: Option<(u8, u8, Share)>,
    trickle: f64,
    all_down: &'static str,
    story: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct Member {
    available: bool,
    allowed: bool,
    leaving: bool,
    up_since: Option<Moment>,
    down_since: Option<Moment>,
}

/// What a life went through.
#[derive(Default)]
struct Reached {
    phases: BTreeSet<Phase>,
    left: BTreeSet<Phase>,
    waits: Vec<Wait>,
    causes: Vec<Cause>,
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut dice = Dice::seeded(seed);
        let mut pick = |n: u64| dice.roll() % n;
        let count = 1 + pick(4) as usize;
        let secs = |n| Duration::from_secs(n);
        let rules = Rules {
            failover: [Mode::Auto, Mode::Auto, Mode::Manual][pick(3) as usize],
            failover_delay: [secs(0), secs(0), secs(30)][pick(3) as usize],
            failback: [Failback::Auto, Failback::After(secs(60)), Failback::Manual]
                [pick(3) as usize],
            ramp: [None, Some(Ramp { over: secs(20), start: Ramp::START })][pick(2) as usize],
        };
        let trickle = [0.0, 0.0, 0.02, 0.5][pick(4) as usize];
        let all_down = ["last-good", "all", "first", "nodata", "pool:spare"][pick(5) as usize];
        let member = Member { available: true, allowed: true, ..Member::default() };
        Life {
            machine: Machine::new(count),
            rules,
            dice,
            now: Moment(0),
            members: vec![member; count],
            prefer: None,
            wish: false,
            held: false,
            granted: None,
            removed: false,
            ramp: None,
            trickle,
            all_down,
            story: vec![format!("{count} members, {rules:?} {trickle} {all_down}")],
        }
    }

    fn pick(&mut self, n: usize) -> usize {
        (self.dice.roll() % n as u64) as usize
    }

    fn event(&mut self, reached: &mut Reached) {
        let count = self.members.len();
        let (what, who) = (self.pick(16), self.pick(count));
        let member = &mut self.members[who];
        match what {
            0..=4 => member.available = !member.available,
            5 => member.allowed = !member.allowed,
            6 => member.leaving = !member.leaving,
            7 => {
                self.prefer = if self.prefer.is_some() { None } else { Some(who as u8) };
                self.wish = self.prefer.is_some();
            }
            8 => self.held = !self.held,
            9 => self.restart(),
            10 => self.reload(),
            11 => return self.command(Command::Approve, reached),
            12 => return self.command(Command::Reject, reached),
            13 => return self.command(Command::Failback, reached),
            _ => {
                let jump = [1, 5, 31, 61, 3_600][self.pick(5)];
                self.now = self.now.after(Duration::from_millis(jump * 1_000 - 1));
            }
        }
        self.now = self.now.after(Duration::from_millis(1));
        self.story.push(format!("{what} {who} at {}", self.now.0 / 1_000_000));
        self.step(reached);
    }

    /// What was saved is restored, and says the same under a clock that began a moment ago. The
    /// life goes on under the old one, which the test's memory is of.
    fn restart(&mut self) {
        let saved = self.machine.saved(self.now);
        let started = Moment(self.dice.roll() % 1_000_000_000);
        let restored = Machine::restored(saved.clone(), started);
        assert_eq!(restored.saved(started), saved, "{:#?}", self.story);
        self.machine = Machine::restored(saved, self.now);
    }

    /// Members are reordered; one may go and another come.
    fn reload(&mut self) {
        let count = self.members.len();
        let shift = self.pick(count);
        let mut places: Vec<Option<usize>> =
            (0..count).map(|i| Some((i + shift) % count)).collect();
        match self.pick(3) {
            0 if count > 1 => drop(places.pop()),
            1 if count < 4 => places.push(None),
            _ => {}
        }
        let was = self.machine.active();
        self.machine = self.machine.carried_over(&places);
        let kept = places.iter().position(|&place| place == Some(usize::from(was)));
        assert_eq!(usize::from(self.machine.active()), kept.unwrap_or(0), "{:#?}", self.story);
        self.removed = kept.is_none();
        let now_at = |old: u8| places.iter().position(|&p| p == Some(usize::from(old)));
        self.prefer = self.prefer.and_then(now_at).map(|at| at as u8);
        self.granted = self.granted.and_then(now_at).map(|at| at as u8);
        self.wish &= self.prefer.is_some();
        self.ramp = None;
        let member = |place: &Option<usize>| place.map_or(Member::default(), |p| self.members[p]);
        self.members = places.iter().map(member).collect();
        self.story.push(format!("{places:?}"));
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Machine, &Rules, &Seen<'_>, Moment) -> T) -> T {
        let of = |what: fn(&Member) -> bool| self.members.iter().map(what).collect::<Vec<bool>>();
        let seen = Seen {
            available: &of(|m| m.available),
            allowed: &of(|m| m.allowed),
            leaving: &of(|m| m.leaving && m.available),
            prefer: self.prefer,
            held: self.held,
        };
        act(&mut self.machine, &self.rules, &seen, self.now)
    }

    fn remember(&mut self) {
        let now = self.now;
        for member in &mut self.members {
            let up = member.up_since.unwrap_or(now);
            member.up_since = member.available.then_some(up);
            let down = member.down_since.unwrap_or(now);
            member.down_since = (!member.available).then_some(down);
        }
        self.wish &= self.prefer != Some(self.machine.active());
    }

    fn step(&mut self, reached: &mut Reached) {
        self.remember();
        let before = self.machine.phase();
        let active = self.machine.active();
        let was_moving = self.machine.course(&self.rules, self.now).leaving;
        let effects = self.with(|machine, rules, seen, now| machine.step(rules, seen, now));
        self.story.push(format!("  {effects:?}"));
        self.check_effects(active, was_moving, &effects, reached);
        self.check_state();
        self.removed = false;
        let after = self.machine.phase();
        reached.phases.insert(after);
        if before != after {
            reached.left.insert(before);
        }
        self.check_wake();
    }

    fn command(&mut self, command: Command, reached: &mut Reached) {
        self.step(reached);
        let (from, asked) = (self.machine.active(), self.machine.pending(&self.rules));
        let done = self.with(|machine, rules, seen, _| machine.command(command, rules, seen));
        self.story.push(format!("{command:?}: {done:?}"));
        let Ok(effects) = done else { return };
        for effect in effects {
            if let Effect::Granted { to } = effect {
                let is_drained = self.members[usize::from(from)].leaving;
                assert!(command == Command::Approve && is_drained, "{:#?}", self.story);
                self.granted = Some(to);
            }
            let Effect::Moved { to, cause, .. } = effect else { continue };
            let member = self.members[usize::from(to)];
            let is_asked = asked.is_some_and(|asked| asked.to == to);
            let holds = match command {
                Command::Approve => cause == Cause::Approved && is_asked,
                Command::Failback => cause == Cause::Operator && self.rank(to) < self.rank(from),
                Command::Reject => false,
            };
            assert!(holds && member.available && member.allowed && !self.held, "{:#?}", self.story);
            reached.causes.push(cause);
        }
        self.wish &= self.prefer != Some(self.machine.active());
        self.ramp = None;
        self.check_state();
    }

    fn rank(&self, member: u8) -> usize {
        if self.prefer == Some(member) { 0 } else { usize::from(member) + 1 }
    }

    /// No move without its conditions.
    fn check_effects(
        &mut self,
        mut active: u8,
        was_moving: Option<(u8, Share)>,
        effects: &[Effect],
        reached: &mut Reached,
    ) {
        for effect in effects {
            match *effect {
                Effect::Waiting { wait, .. } => reached.waits.push(wait),
                Effect::Moved { from, to, cause: Cause::Removed } => {
                    let found = self.members[usize::from(to)];
                    let holds = self.removed && found.available && found.allowed;
                    assert!(holds && from == active && from != to, "{:#?}", self.story);
                    active = to;
                    self.wish &= self.prefer != Some(to);
                    reached.causes.push(Cause::Removed);
                }
                Effect::Moved { from, to, cause } => {
                    let (left, found) =
                        (self.members[usize::from(from)], self.members[usize::from(to)]);
                    let gone_for = left.down_since.map(|since| self.now.since(since));
                    let well_for = found.up_since.map(|since| self.now.since(since));
                    let gate = found.allowed || cause == Cause::TargetLost;
                    let holds = match cause {
                        Cause::Lost => {
                            self.rules.failover == Mode::Auto
                                && gone_for >= Some(self.rules.failover_delay)
                        }
                        Cause::Failback => {
                            !found.leaving
                                && left.available
                                && self.rank(to) < self.rank(from)
                                && match self.rules.failback {
                                    Failback::Auto => true,
                                    Failback::After(delay) => well_for >= Some(delay),
                                    Failback::Manual => false,
                                }
                        }
                        Cause::Operator => self.wish && self.prefer == Some(to),
                        Cause::TargetLost => {
                            !left.available && was_moving.is_some_and(|(back, _)| back == to)
                        }
                        Cause::Approved => !left.available && self.granted == Some(to),
                        Cause::Removed => false,
                    };
                    let allowed = gate && found.available && !self.held;
                    assert!(holds && allowed && from == active && from != to, "{:#?}", self.story);
                    (active, self.ramp) = (to, None);
                    self.wish &= self.prefer != Some(to);
                    reached.causes.push(cause);
                }
                _ => {}
            }
        }
        assert_eq!(active, self.machine.active());
    }

    fn check_state(&mut self) {
        let course = self.machine.course(&self.rules, self.now);
        let (active, count) = (usize::from(course.active), self.members.len());
        assert!(active < count, "{:#?}", self.story);
        assert!(!course.barred.contains(active), "{:#?}", self.story);
        self.check_ramp(&course);
        self.check_answers(&course);
        // Where nothing is in its way a member that is lost is left.
        let other = |(i, m): (usize, &Member)| i != active && m.available && m.allowed;
        let is_free =
            self.rules.failover == Mode::Auto && self.rules.failover_delay.is_zero() && !self.held;
        let could = self.members.iter().enumerate().any(other);
        let must = could && (is_free || self.removed);
        assert!(!must || self.members[active].available, "{:#?}", self.story);
        self.check_approval(active);
        let manual = self.rules.failover == Mode::Manual && self.granted.is_none();
        assert!(course.stays || !(manual || self.held), "{:#?}", self.story);
    }

    /// What was approved lasts only while the active member is being drained, for that target.
    fn check_approval(&mut self, active: usize) {
        if self.machine.approved.is_none() {
            self.granted = None;
        }
        assert_eq!(self.machine.approved, self.granted, "{:#?}", self.story);
        let (from, to) = (self.members[active], self.granted.map(usize::from));
        let is_fit = |to: usize| {
            let member = self.members[to];
            to != active && member.available && member.allowed && !member.leaving
        };
        let holds = to.is_none_or(|to| {
            is_fit(to) && ((from.available && from.leaving) || (!from.available && self.held))
        });
        assert!(holds, "{:#?}", self.story);
    }

    /// A ramp only grows, and stands still while it is held.
    fn check_ramp(&mut self, course: &Course) {
        let ramp = course.leaving.map(|(from, share)| (from, course.active, share));
        if let (Some((a, b, before)), Some((from, to, after))) = (self.ramp, ramp)
            && (a, b) == (from, to)
        {
            assert!(before <= after, "{before} {after} {:#?}", self.story);
        }
        if let Some((from, to, share)) = ramp {
            assert!(from != to && usize::from(from) < self.members.len());
            assert!(share >= Ramp::START, "{share} {:#?}", self.story);
        }
        self.ramp = ramp;
    }

    /// Clients get the active member, the one being left and the trickle's, in these very shares
    /// and nobody else: never two actives. Where none of these works the first that may be gone
    /// to; where there is none the active member, dead or not, as long as somebody works.
    fn check_answers(&self, course: &Course) {
        let count = self.members.len();
        let names: Vec<String> = (0..count).map(|i| format!("m{i}")).collect();
        let pools: Vec<String> = names.iter().map(|m| format!("pool {m} = e{m}/4\n")).collect();
        let mut given = Given::new(&format!(
            "pool spare = espare/4\n{}failover f = {} trickle={}\nall_down {}",
            pools.concat(),
            names.join(" "),
            self.trickle,
            self.all_down
        ));
        for (name, _) in names.iter().zip(&self.members).filter(|(_, m)| !m.available) {
            given.line(&format!("down e{name}"));
        }
        given.courses[0] = *course;
        let tree = given.tree();
        let decision = select(&tree, Class(0), &given.standings, &given.directives(), ());
        let shares = crate::policy::testing::exact_shares(&decision, Wanted::A);
        let up = |member: usize| self.members[member].available;
        let active = usize::from(course.active);
        let settled = |member: usize, of: f64| {
            let mut next = member + 1..count;
            match next.find(|&next| up(next) && !course.barred.contains(next)) {
                Some(next) => vec![(member, of * (1.0 - self.trickle)), (next, of * self.trickle)],
                None => vec![(member, of)],
            }
        };
        let other = (0..count).find(|&m| up(m) && !course.stays && !course.barred.contains(m));
        let leaving = course.leaving.map(|(from, moved)| (usize::from(from), moved));
        let wanted = match (leaving.filter(|(from, _)| up(*from)), other) {
            (Some((from, moved)), _) if up(active) => {
                [settled(active, moved.as_fraction()), vec![(from, moved.rest().as_fraction())]]
                    .concat()
            }
            (Some((from, _)), _) => vec![(from, 1.0)],
            _ if up(active) => settled(active, 1.0),
            (None, Some(other)) => settled(other, 1.0),
            // It waits, and so do its clients.
            (None, None) if (0..count).any(up) => settled(active, 1.0),
            (None, None) => return self.check_last_resort(&shares),
        };
        let mut expected: BTreeMap<String, f64> = BTreeMap::new();
        for (member, share) in wanted {
            *expected.entry(format!("em{member}")).or_default() += share;
        }
        expected.retain(|_, share| *share > 0.0);
        assert!(expected.keys().eq(shares.keys()), "{shares:?} {expected:?} {:#?}", self.story);
        for (name, share) in &expected {
            assert!((shares[name] - share).abs() < 1e-9, "{shares:?} {:#?}", self.story);
        }
    }

    /// Nobody works: an empty answer only where the operator wrote it, and the pool they named.
    fn check_last_resort(&self, shares: &BTreeMap<String, f64>) {
        let wanted = match self.all_down {
            "nodata" => Some("nodata"),
            "pool:spare" => Some("espare"),
            _ => None,
        };
        let is_right = |name: &str| wanted.map_or(name.starts_with("em"), |wanted| name == wanted);
        assert!(shares.keys().all(|name| is_right(name)), "{shares:?} {:#?}", self.story);
        let sum: f64 = shares.values().sum();
        assert!((sum - 1.0).abs() < 1e-9, "{shares:?} {:#?}", self.story);
    }

    /// Nothing happens before the moment it says, and nothing ever if it says none.
    fn check_wake(&mut self) {
        let wake = self.machine.wake(&self.rules, self.now);
        assert!(wake.is_none_or(|wake| wake > self.now), "{:#?}", self.story);
        let (machine, now) = (self.machine.clone(), self.now);
        self.now = wake.map_or(now.after(Duration::from_secs(86_400)), |wake| Moment(wake.0 - 1));
        let course = machine.course(&self.rules, now);
        let effects = self.with(|machine, rules, seen, now| machine.step(rules, seen, now));
        assert!(effects.is_empty(), "{effects:?} {:#?}", self.story);
        if wake.is_none() {
            assert_eq!(self.machine.course(&self.rules, self.now), course, "{:#?}", self.story);
        }
        (self.machine, self.now) = (machine, now);
    }

    /// With all well and every wish granted it comes home.
    fn end(&mut self, reached: &mut Reached) {
        (self.held, self.prefer, self.wish) = (false, None, false);
        // What was rejected is asked again once something has changed.
        self.members.iter_mut().for_each(|member| member.available = false);
        self.step(reached);
        for member in &mut self.members {
            *member = Member { available: true, allowed: true, ..*member };
            member.leaving = false;
        }
        for _ in 0..8 {
            self.now = self.now.after(Duration::from_secs(3_600));
            self.command(Command::Approve, reached);
        }
        self.step(reached);
        assert_eq!(self.machine.phase(), Phase::Primary, "{:#?}", self.story);
    }
}

#[test]
fn whatever_happens_what_must_hold_holds() {
    let mut reached = Reached::default();
    for seed in 0..LIVES {
        let mut life = Life::new(seed);
        for _ in 0..EVENTS {
            life.event(&mut reached);
        }
        life.end(&mut reached);
    }
    let all: BTreeSet<Phase> = Phase::ALL.into();
    assert_eq!(reached.phases, all, "every phase is reached");
    assert_eq!(reached.left, all, "and left");
    for wait in [Wait::Delay, Wait::Approval, Wait::Gate, Wait::Hold] {
        assert!(reached.waits.contains(&wait), "{wait:?}");
    }
    use Cause::{Approved, Failback, Lost, Operator, Removed, TargetLost};
    for cause in [Lost, Failback, Approved, Operator, TargetLost, Removed] {
        assert!(reached.causes.contains(&cause), "{cause:?}");
    }
}
