//! The machine: state × what is seen × time → state and effects.

use super::effect::{Cause, Effect, Phase, Refusal, Wait};
use crate::{
    clock::{Moment, Since},
    policy::{
        Course, MemberSet,
        rules::{Failback, Mode, Rules},
    },
    units::Share,
};

/// The state of one failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub(super) active: u8,
    pub(super) members: Vec<Member>,
    /// Since when the active member has not been available.
    pub(super) lost: Option<Since>,
    /// The ramp that runs.
    pub(super) leaving: Option<Leaving>,
    /// What was last said to be waited for.
    pub(super) pending: Option<Asked>,
    /// Who was to be gone to when an operator rejected what was asked for: it is not asked again
    /// before that changes.
    pub(super) rejected: Option<Vec<bool>>,
    /// Where an operator approved to go while the active member was being drained: its clients
    /// follow that drain's ramp, and the move comes with its end.
    pub(super) approved: Option<u8>,
    /// The operator's first choice.
    pub(super) prefer: Option<u8>,
    /// That choice was made and has not been reached yet: no rule of failback delays it.
    pub(super) is_wish: bool,
    pub(super) held: bool,
    /// Its active member was taken out of the files, and nobody was chosen in its place.
    pub(super) adrift: bool,
    /// When it was stepped last: where its ramp stands still while it is held.
    pub(super) at: Moment,
}

/// What is remembered of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    /// Since when it has been available without a break.
    pub available: Option<Since>,
    /// Whether one of its gates is shut.
    pub is_shut: bool,
}

/// A ramp: clients leave `from` for the active member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub from: u8,
    pub since: Since,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub to: u8,
    pub wait: Wait,
}

/// What a machine is shown; one entry a member.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Who is available: probes, drains and all else merged.
    pub available: &'a [bool],
    /// Whose gates are all up. A command with force says so of everybody.
    pub allowed: &'a [bool],
    /// Who is available but being drained: not lost, but nobody goes there if another works.
    pub leaving: &'a [bool],
    /// The operator's choice, which comes first while it is in force.
    pub prefer: Option<u8>,
    /// Held or pinned: nothing moves and ramps stand still.
    pub held: bool,
}

/// What an operator may tell a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Do what is waited for, now.
    Approve,
    /// Do not, and do not ask again before something changes.
    Reject,
    /// Return to the preferred member, whatever the failback rule says.
    Failback,
}

/// A move that waits, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Where to.
    pub to: u8,
    /// What for.
    pub wait: Wait,
    /// When a delay will be over.
    pub due: Option<Moment>,
}

/// What is to be done.
enum Decision {
    Stay,
    Wait(Asked),
    Move { to: u8, cause: Cause },
}

impl Machine {
    /// A machine over `members` with the first one active.
    pub fn new(members: usize) -> Machine {
        Machine {
            active: 0,
            members: vec![Member::default(); members],
            lost: None,
            leaving: None,
            pending: None,
            rejected: None,
            approved: None,
            prefer: None,
            is_wish: false,
            held: false,
            adrift: false,
            at: Moment::default(),
        }
    }

    /// Index of the active member.
    pub fn active(&self) -> u8 {
        self.active
    }

    /// Whether clients are leaving one member for another.
    pub fn is_ramping(&self) -> bool {
        self.leaving.is_some()
    }

    /// Whether it is `other` at another time.
    pub fn is_same(&self, other: &Machine) -> bool {
        *self == Machine { at: self.at, ..other.clone() }
    }

    /// Whether an operator keeps it where it stands.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        let towards = |to: u8, from: u8, back, over| if to < from { back } else { over };
        match (self.leaving, self.approved, self.pending) {
            _ if self.held => Phase::Held,
            (Some(ramp), _, _) => {
                towards(self.active, ramp.from, Phase::FailingBack, Phase::FailingOver)
            }
            (_, Some(to), _) => towards(to, self.active, Phase::FailingBack, Phase::FailingOver),
            (_, _, Some(_)) if self.lost.is_some() => Phase::FailingOver,
            (_, _, Some(asked)) => {
                towards(asked.to, self.active, Phase::FailbackPending, Phase::FailingOver)
            }
            _ if self.active == 0 => Phase::Primary,
            _ => Phase::Standby,
        }
    }

    /// What is waited for.
    pub fn pending(&self, rules: &Rules) -> Option<Pending> {
        let Asked { to, wait } = self.pending?;
        let due = match (wait, self.lost) {
            (Wait::Delay, Some(lost)) => Some(lost.reaches(rules.failover_delay)),
            (Wait::Delay, None) => self.failback_due(usize::from(to), rules),
            _ => None,
        };
        Some(Pending { to, wait, due })
    }

    /// What select() is to be told.
    pub fn course(&self, rules: &Rules, now: Moment) -> Course {
        // Whoever leaves by approval goes where that says.
        let is_elsewhere = |index| self.approved.is_some_and(|to| usize::from(to) != index);
        let members = self.members.iter().enumerate();
        let barred = members.filter(|(index, member)| member.is_shut || is_elsewhere(*index));
        let mut barred: MemberSet = barred.map(|(index, _)| index).collect();
        barred = barred.without(self.active.into());
        let leaving = self.leaving.map(|leaving| {
            barred = barred.without(leaving.from.into());
            let elapsed = self.ramped(&leaving, now);
            (leaving.from, rules.ramp.map_or(Share::ONE, |ramp| ramp.share(elapsed)))
        });
        // Where leaving is at once, clients for whom the active member is gone need not wait
        // until it is gone for all.
        let waits = self.lost.is_some() && self.pending.is_some();
        let is_manual = rules.failover == Mode::Manual && self.approved.is_none();
        let stays = self.held || is_manual || waits;
        Course { active: self.active, stays, leaving, barred }
    }

    /// When to look again if nothing changes until then.
    pub fn wake(&self, rules: &Rules, now: Moment) -> Option<Moment> {
        let ramp = self.leaving.filter(|_| !self.held).map(|_| now.next_second());
        let due = match self.lost {
            Some(lost) => Some(lost.reaches(rules.failover_delay)).filter(|due| *due > now),
            None => self
                .preferred()
                .filter_map(|m| self.failback_due(m, rules))
                .filter(|due| *due > now)
                .min(),
        };
        ramp.into_iter().chain(due).min()
    }

    /// The same machine over a new list of members: `places` gives for each new member its
    /// index in the old list. Where the active member is gone the next step chooses another:
    /// the first that works, and without asking, since there is nobody to stay with.
    #[must_use]
    pub fn carried_over(&self, places: &[Option<usize>]) -> Machine {
        let now_at = |old: u8| {
            let place = places.iter().position(|&place| place == Some(usize::from(old)));
            place.map(|place| place as u8)
        };
        let old = |&place: &Option<usize>| place.and_then(|at| self.members.get(at).copied());
        let members: Vec<Member> =
            places.iter().map(|place| old(place).unwrap_or_default()).collect();
        let prefer = self.prefer.and_then(now_at);
        let is_wish = self.is_wish && prefer.is_some();
        let (held, at) = (self.held, self.at);
        let base = Machine { members, prefer, is_wish, held, at, ..Machine::new(0) };
        let Some(active) = now_at(self.active) else { return Machine { adrift: true, ..base } };
        let leaving = self
            .leaving
            .and_then(|leaving| now_at(leaving.from).map(|from| Leaving { from, ..leaving }));
        let pending =
            self.pending.and_then(|asked| now_at(asked.to).map(|to| Asked { to, ..asked }));
        let rejected = self.rejected.as_ref().map(|rejected| {
            let was = |place: &Option<usize>| place.and_then(|at| rejected.get(at).copied());
            places.iter().map(|place| was(place).unwrap_or_default()).collect()
        });
        let approved = self.approved.and_then(now_at);
        Machine { active, lost: self.lost, leaving, pending, rejected, approved, ..base }
    }

    /// Takes note of what is `seen` at `now` and does what is to be done.
    ///
    /// With nobody available the active member stays: the tree's last resort decides what is
    /// answered, and the machine must not wander while it does.
    pub fn step(&mut self, rules: &Rules, seen: &Seen<'_>, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.observe(seen, now);
        if std::mem::take(&mut self.adrift) {
            self.land(seen, &mut effects);
        }
        self.follow_ramp(rules, seen, now, &mut effects);
        self.keep_approval(rules, seen, &mut effects);
        if let Decision::Move { to, cause } = self.decision(rules, seen, now)
            && self.may_go(to)
        {
            self.go(to, cause, rules, seen, &mut effects);
        }
        // What is left to wait for, perhaps only since it moved.
        let asked = match self.decision(rules, seen, now) {
            _ if self.leaving.is_some() && self.lost.is_none() => None,
            Decision::Stay => None,
            Decision::Wait(asked) => Some(asked),
            Decision::Move { to, .. } => self.held.then_some(Asked { to, wait: Wait::Hold }),
        };
        self.ask(asked, &mut effects);
        effects
    }

    /// Carries out a command, at once and whatever is waited for but for gates and holds. To be
    /// called after [`Self::step`] was shown the same.
    ///
    /// # Errors
    /// When there is nothing to be done, or it must not be.
    pub fn command(
        &mut self,
        command: Command,
        rules: &Rules,
        seen: &Seen<'_>,
    ) -> Result<Vec<Effect>, Refusal> {
        let mut effects = Vec::new();
        if self.held {
            return Err(Refusal::Held);
        }
        let asked = self.pending;
        let (to, cause) = match command {
            Command::Approve => (asked.ok_or(Refusal::NothingAsked)?.to, Cause::Approved),
            Command::Failback if self.leaving.is_some() => return Err(Refusal::Moving),
            Command::Failback => (self.best_preferred(seen)?, Cause::Operator),
            Command::Reject => {
                asked.filter(|asked| asked.wait == Wait::Approval).ok_or(Refusal::NothingAsked)?;
                self.rejected = Some(seen.offered());
                self.ask(None, &mut effects);
                return Ok(effects);
            }
        };
        if !seen.is_allowed(to.into()) {
            return Err(Refusal::GateShut { to });
        }
        if command == Command::Approve && self.is_drained_by_hand(rules, seen) {
            (self.approved, self.pending) = (Some(to), None);
            return Ok(vec![Effect::Granted { to }]);
        }
        self.go(to, cause, rules, seen, &mut effects);
        Ok(effects)
    }

    /// How long a ramp has run; a hold stops it.
    pub(super) fn ramped(&self, leaving: &Leaving, now: Moment) -> std::time::Duration {
        leaving.since.elapsed(if self.held { self.at } else { now })
    }

    fn observe(&mut self, seen: &Seen<'_>, now: Moment) {
        self.members.resize_with(seen.available.len(), Member::default);
        for (index, member) in self.members.iter_mut().enumerate() {
            let since = member.available.unwrap_or(Since::starting(now));
            member.available = seen.is_available(index).then_some(since);
            member.is_shut = !seen.is_allowed(index);
        }
        let is_lost = !seen.is_available(self.active.into());
        self.lost = is_lost.then(|| self.lost.unwrap_or(Since::starting(now)));
        if self.rejected.as_ref().is_some_and(|then| *then != seen.offered()) {
            self.rejected = None;
        }
        if let Some(leaving) = self.leaving.filter(|_| self.held) {
            let since = Since::resumed(self.ramped(&leaving, now), now);
            self.leaving = Some(Leaving { since, ..leaving });
        }
        (self.held, self.at) = (seen.held, now);
        let prefer = seen.prefer.filter(|&prefer| usize::from(prefer) < seen.available.len());
        if prefer != self.prefer {
            // Whoever says something else takes back what was approved before.
            (self.prefer, self.is_wish, self.approved) = (prefer, prefer.is_some(), None);
        }
        self.is_wish &= self.prefer != Some(self.active);
    }

    /// Chooses a member in the place of one that the files have no more: not even a hold keeps
    /// clients there. Gates are for people to see to, so a shut one is not gone through.
    fn land(&mut self, seen: &Seen<'_>, effects: &mut Vec<Effect>) {
        let fit = (0..self.members.len()).filter(|&m| seen.is_available(m) && seen.is_allowed(m));
        let first = fit.min_by_key(|&m| (seen.is_leaving(m), self.rank(m)));
        let Some(to) = first.map(|m| m as u8).filter(|&to| to != self.active) else { return };
        let from = std::mem::replace(&mut self.active, to);
        self.lost = None;
        self.is_wish &= self.prefer != Some(to);
        effects.push(Effect::Moved { from, to, cause: Cause::Removed });
    }

    /// Ends the ramp when it is over or one of its ends is gone.
    fn follow_ramp(
        &mut self,
        rules: &Rules,
        seen: &Seen<'_>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some(leaving) = self.leaving.filter(|_| !self.held) else { return };
        let Leaving { from, .. } = leaving;
        let is_over = rules.ramp.is_none_or(|ramp| ramp.is_over(self.ramped(&leaving, now)));
        match (self.lost.is_none(), seen.is_available(from.into())) {
            (true, true) if !is_over => {}
            // Nobody is left to leave, or nobody is left there.
            (true, _) => {
                self.leaving = None;
                effects.push(Effect::RampEnded { from });
            }
            (false, true) => self.go(from, Cause::TargetLost, rules, seen, effects),
            // Both are gone: whoever comes back first has the clients.
            (false, false) => {}
        }
    }

    /// Whether its active member is being drained and clients leave only once somebody approves.
    /// That is asked for when the drain starts: a ramp to nowhere would end with everybody there.
    fn is_drained_by_hand(&self, rules: &Rules, seen: &Seen<'_>) -> bool {
        let is_leaving = self.lost.is_none() && seen.is_leaving(self.active.into());
        is_leaving && rules.failover == Mode::Manual
    }

    /// What was approved lasts as long as what it was given for: the drain of the active member
    /// to its end, and a target that clients may be sent to.
    fn keep_approval(&mut self, rules: &Rules, seen: &Seen<'_>, effects: &mut Vec<Effect>) {
        let Some(to) = self.approved else { return };
        let target = usize::from(to);
        let is_fit = seen.is_available(target)
            && seen.is_allowed(target)
            && !seen.is_leaving(target)
            && to != self.active;
        let lasts = self.is_drained_by_hand(rules, seen) || self.lost.is_some();
        if !(is_fit && lasts) {
            self.approved = None;
            effects.push(Effect::Withdrawn { to });
        }
    }

    /// Whether nothing holds it. A ramp between two members that work is seen to its end before
    /// the next move, unless that leads back.
    fn may_go(&self, to: u8) -> bool {
        let is_free = self.leaving.is_none_or(|leaving| leaving.from == to);
        !self.held && (is_free || self.lost.is_some())
    }

    fn decision(&self, rules: &Rules, seen: &Seen<'_>, now: Moment) -> Decision {
        match self.lost {
            Some(lost) => self.leave(rules, seen, lost.reaches(rules.failover_delay) <= now),
            None => match self.improve(rules, seen, now) {
                Decision::Stay | Decision::Wait(_) if self.is_drained_by_hand(rules, seen) => {
                    self.leave(rules, seen, false)
                }
                other => other,
            },
        }
    }

    /// The active member is not available, or will not be for long and is left by hand only.
    fn leave(&self, rules: &Rules, seen: &Seen<'_>, is_due: bool) -> Decision {
        if let Some(to) = self.approved {
            return match self.lost {
                Some(_) => Decision::Move { to, cause: Cause::Approved },
                None => Decision::Stay,
            };
        }
        let is_lost = self.lost.is_some();
        let mut others: Vec<usize> = (0..self.members.len())
            .filter(|&m| m != usize::from(self.active) && seen.is_available(m))
            .filter(|&m| is_lost || !seen.is_leaving(m))
            .collect();
        // Nobody goes to a member that is being drained, unless an operator just said so.
        let wish = self.prefer.filter(|_| self.is_wish);
        let is_wish = |m: usize| wish.is_some_and(|wish| usize::from(wish) == m);
        others.sort_by_key(|&m| (seen.is_leaving(m) && !is_wish(m), self.rank(m)));
        let Some(&first) = others.first() else { return Decision::Stay };
        let allowed = others.into_iter().find(|&m| seen.is_allowed(m)).map(|m| m as u8);
        match (allowed, rules.failover) {
            (Some(to), _) if is_wish(to.into()) => Decision::Move { to, cause: Cause::Operator },
            (_, Mode::Manual) if self.rejected.is_some() => Decision::Stay,
            (None, _) => wait(first as u8, Wait::Gate),
            (Some(to), Mode::Manual) => wait(to, Wait::Approval),
            (Some(to), Mode::Auto) if !is_due => wait(to, Wait::Delay),
            (Some(to), Mode::Auto) => Decision::Move { to, cause: Cause::Lost },
        }
    }

    /// The active member works; a preferred one may do so too.
    fn improve(&self, rules: &Rules, seen: &Seen<'_>, now: Moment) -> Decision {
        if let Some(to) = self.prefer.filter(|_| self.is_wish)
            && seen.is_available(to.into())
        {
            return match seen.is_allowed(to.into()) {
                true => Decision::Move { to, cause: Cause::Operator },
                false => wait(to, Wait::Gate),
            };
        }
        let mut better: Vec<usize> = self.preferred().filter(|&m| !seen.is_leaving(m)).collect();
        better.sort_by_key(|&m| self.rank(m));
        let due = |m: usize| self.failback_due(m, rules);
        let is_due = |m: &usize| due(*m).is_some_and(|due| due <= now);
        let first_of = |those: &[usize]| {
            let allowed = those.iter().find(|&&m| seen.is_allowed(m));
            allowed.map(|&m| (m as u8, true)).or(those.first().map(|&m| (m as u8, false)))
        };
        match rules.failback {
            Failback::Manual if self.rejected.is_some() => Decision::Stay,
            Failback::Manual => match first_of(&better) {
                Some((to, true)) => wait(to, Wait::Approval),
                Some((to, false)) => wait(to, Wait::Gate),
                None => Decision::Stay,
            },
            Failback::Auto | Failback::After(_) => {
                let (ready, later): (Vec<usize>, Vec<usize>) =
                    better.iter().partition(|m| is_due(m));
                match (first_of(&ready), later.into_iter().min_by_key(|&m| due(m))) {
                    (Some((to, true)), _) => Decision::Move { to, cause: Cause::Failback },
                    (Some((to, false)), _) => wait(to, Wait::Gate),
                    (None, Some(next)) => wait(next as u8, Wait::Delay),
                    (None, None) => Decision::Stay,
                }
            }
        }
    }

    /// Makes `to` the active member. One that still works is left by a ramp.
    fn go(
        &mut self,
        to: u8,
        cause: Cause,
        rules: &Rules,
        seen: &Seen<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let from = std::mem::replace(&mut self.active, to);
        let aborted = self.leaving.take();
        if let Some(Leaving { from, .. }) = aborted {
            effects.push(Effect::RampAborted { from });
        }
        effects.push(Effect::Moved { from, to, cause });
        let works = self.lost.is_none();
        self.lost = (!seen.is_available(to.into())).then_some(Since::starting(self.at));
        (self.pending, self.rejected, self.approved) = (None, None, None);
        self.is_wish &= self.prefer != Some(to);
        // Who turns round on the way goes back at once: few have left, or many never arrived.
        let turns = aborted.is_some_and(|leaving| leaving.from == to);
        if works && !turns && rules.ramp.is_some_and(|ramp| !ramp.over.is_zero()) {
            self.leaving = Some(Leaving { from, since: Since::starting(self.at) });
            effects.push(Effect::RampStarted { from });
        }
    }

    /// Says what is waited for, once.
    fn ask(&mut self, asked: Option<Asked>, effects: &mut Vec<Effect>) {
        let before = std::mem::replace(&mut self.pending, asked);
        match (before, asked) {
            (before, Some(asked)) if before != Some(asked) => {
                effects.push(Effect::Waiting { to: asked.to, wait: asked.wait });
            }
            (Some(before), None) => effects.push(Effect::Withdrawn { to: before.to }),
            _ => {}
        }
    }

    /// Lower is preferred: the operator's choice, then the order of the files.
    fn rank(&self, member: usize) -> usize {
        match self.prefer {
            Some(prefer) if usize::from(prefer) == member => 0,
            _ => member + 1,
        }
    }

    /// The available members that are preferred to the active one.
    fn preferred(&self) -> impl Iterator<Item = usize> + '_ {
        let active = self.rank(self.active.into());
        let members = self.members.iter().enumerate();
        let available = members.filter(|(_, member)| member.available.is_some());
        available.map(|(index, _)| index).filter(move |&index| self.rank(index) < active)
    }

    fn best_preferred(&self, seen: &Seen<'_>) -> Result<u8, Refusal> {
        let first = (0..self.members.len()).min_by_key(|&m| self.rank(m));
        if first == Some(self.active.into()) {
            return Err(Refusal::Home);
        }
        let better = || self.preferred().filter(|&m| !seen.is_leaving(m));
        let best = |those: &mut dyn Iterator<Item = usize>| those.min_by_key(|&m| self.rank(m));
        let allowed = best(&mut better().filter(|&m| seen.is_allowed(m)));
        let found = allowed.or(best(&mut better())).ok_or(Refusal::NothingPreferred)?;
        Ok(found as u8)
    }

    /// When `member` may be returned to, if it stays available; never by itself if the rule is
    /// that an operator says so.
    fn failback_due(&self, member: usize, rules: &Rules) -> Option<Moment> {
        let since = self.members.get(member)?.available?;
        match rules.failback {
            Failback::Auto => Some(since.reaches(std::time::Duration::ZERO)),
            Failback::After(delay) => Some(since.reaches(delay)),
            Failback::Manual => None,
        }
    }
}

fn wait(to: u8, wait: Wait) -> Decision {
    Decision::Wait(Asked { to, wait })
}

impl Seen<'_> {
    fn is_available(&self, member: usize) -> bool {
        self.available.get(member).copied().unwrap_or(false)
    }
    fn is_allowed(&self, member: usize) -> bool {
        self.allowed.get(member).copied().unwrap_or(false)
    }
    fn is_leaving(&self, member: usize) -> bool {
        self.leaving.get(member).copied().unwrap_or(false)
    }

    /// Who works and is not being drained.
    fn offered(&self) -> Vec<bool> {
        let members = 0..self.available.len();
        members.map(|m| self.is_available(m) && !self.is_leaving(m)).collect()
    }
}
