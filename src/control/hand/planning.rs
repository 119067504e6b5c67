//! A wish of an operator's, judged: what becomes of the hand, or why not.
//!
//! [`Hand::planned`] changes nothing; whoever owns the hand takes what was planned once the
//! safety rules have been asked what it would break ([`super::safety`]). Where a rule wants two
//! persons the plan is a proposal, and another's `confirm` plans it again.

use super::{
    Action, Command, Hand, Now, OVERRIDES_MAX, Override, PROPOSAL_LIFE, Proposal, Refusal, Stage,
    Target, Touch, Wish,
    command::{Begins, Planned},
    target::Kind,
    weights, words,
};
use crate::{
    clock::{Moment, Since},
    config::nearest,
    failover::Command as Order,
    ids::{FailoverId, RecordId},
    snapshot::{Snapshot, safety::Verb},
    units::Weight,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Between the two persons of an override that took two.
pub const CONFIRMED: &str = ", confirmed by ";

impl Hand {
    /// What `command` comes to.
    ///
    /// # Errors
    /// When it cannot be done; safety rules are not asked here, but for second persons.
    pub fn planned(
        &self,
        command: &Command,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<Planned, Refusal> {
        if command.break_glass && command.reason.as_ref().is_none_or(|why| why.trim().is_empty()) {
            return Err(Refusal::NeedsReason);
        }
        match &command.wish {
            Wish::Confirm { id } => self.confirmed(command, *id, snapshot, now),
            Wish::Reject { target } if number_of(target).is_some() => self.withdrawn(target),
            Wish::Withdraw { who, only } => {
                Ok(self.without_those_of(command, who, only.as_deref(), snapshot, now))
            }
            _ => self.gated(command, snapshot, now),
        }
    }

    /// As planned, or as a proposal where a rule wants two persons.
    fn gated(&self, command: &Command, snapshot: &Snapshot, now: Now) -> Result<Planned, Refusal> {
        let planned = Planning::new(self, command, snapshot, now).plan()?;
        let rules = gates(snapshot, command.wish.verb(), &planned.records);
        if rules.is_empty() || command.break_glass {
            return Ok(Planned { alone: rules, ..planned });
        }
        let mut hand = self.clone();
        let id = hand.next_id();
        hand.proposals.push(Proposal {
            id,
            command: command.clone(),
            rules,
            made: now.wall,
            expires: now.at.after(PROPOSAL_LIFE),
        });
        Ok(Planned {
            hand,
            proposed: Some(id),
            would: planned.hand,
            orders: planned.orders,
            undo: vec![format!("tradewind reject id:{id}")],
            records: planned.records,
            ..Planned::nothing(self)
        })
    }

    fn confirmed(
        &self,
        command: &Command,
        id: Option<u64>,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<Planned, Refusal> {
        let proposal = self.proposal(id)?;
        let (id, by) = (proposal.id, &proposal.command.who);
        if *by == command.who || proposal.command.for_whom.contains(&command.who) {
            return Err(Refusal::SamePerson { who: Arc::clone(&command.who), id });
        }
        let mut rest = self.clone();
        rest.proposals.retain(|known| known.id != id);
        let mut planning = Planning::new(&rest, &proposal.command, snapshot, now);
        planning.id = Some(id);
        let who = format!("{by}{CONFIRMED}{}", command.who);
        planning.who = who.into();
        let planned = planning.plan()?;
        Ok(Planned { settled: Some(proposal.clone()), ..planned })
    }

    fn withdrawn(&self, target: &str) -> Result<Planned, Refusal> {
        let proposal = self.proposal(number_of(target))?;
        let mut hand = self.clone();
        hand.proposals.retain(|known| known.id != proposal.id);
        Ok(Planned { settled: Some(proposal.clone()), ..Planned::nothing(&hand) })
    }

    /// The hand without what `who` made or proposed; a proposal that another has confirmed
    /// meanwhile is `who`'s all the same. It may be nothing.
    fn without_those_of(
        &self,
        command: &Command,
        who: &str,
        only: Option<&[u64]>,
        snapshot: &Snapshot,
        now: Now,
    ) -> Planned {
        let is_meant = |id: u64| only.is_none_or(|only| only.contains(&id));
        let is_theirs = |maker: &str| {
            let rest = maker.strip_prefix(who);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(CONFIRMED))
        };
        let own = self.overrides.iter().filter(|one| is_meant(one.id) && is_theirs(&one.who));
        let own: Vec<&Override> = own.collect();
        let planned = Planning::new(self, command, snapshot, now).without(&own);
        let is_own = |one: &mut Proposal| is_meant(one.id) && *one.command.who == *who;
        let mut hand = planned.hand;
        let settled = hand.proposals.extract_if(.., is_own).last();
        Planned { would: hand.clone(), hand, settled, ..planned }
    }

    fn proposal(&self, id: Option<u64>) -> Result<&Proposal, Refusal> {
        let nothing = |what: String| Err(Refusal::NothingWaits(what));
        match (id, &self.proposals[..]) {
            (None, [only]) => Ok(only),
            (None, []) => nothing("nothing waits for a second person".into()),
            (None, several) => {
                let ids: Vec<String> = several.iter().map(|one| format!("#{}", one.id)).collect();
                nothing(format!("{} wait for a second person: say which", ids.join(", ")))
            }
            (Some(id), all) => match all.iter().find(|known| known.id == id) {
                Some(found) => Ok(found),
                None => nothing(format!("#{id} does not wait for a second person (any more)")),
            },
        }
    }
}

/// The rules by which `verb` needs a second person at one of `records`; a verb that is about no
/// record in particular is about all.
fn gates(snapshot: &Snapshot, verb: Verb, records: &[RecordId]) -> Vec<Arc<str>> {
    let is_about = |rule: &[RecordId]| {
        records.is_empty() || records.iter().any(|record| rule.binary_search(record).is_ok())
    };
    let rules = snapshot.safety.iter();
    let found = rules.filter(|rule| rule.two_persons.contains(&verb) && is_about(&rule.records));
    found.map(|rule| Arc::clone(&rule.name)).collect()
}

/// The number in `id:7`.
fn id_of(target: &str) -> Option<u64> {
    target.strip_prefix("id:")?.parse().ok()
}

/// The number where only one can be meant: `id:7`, or `7` as `confirm` takes it.
fn number_of(target: &str) -> Option<u64> {
    id_of(target).or_else(|| target.parse().ok())
}

/// One command being planned.
struct Planning<'a> {
    hand: &'a Hand,
    command: &'a Command,
    snapshot: &'a Snapshot,
    now: Now,
    /// The number it has already, as a proposal.
    id: Option<u64>,
    who: Arc<str>,
}

impl<'a> Planning<'a> {
    fn new(hand: &'a Hand, command: &'a Command, snapshot: &'a Snapshot, now: Now) -> Self {
        Planning { hand, command, snapshot, now, id: None, who: Arc::clone(&command.who) }
    }

    fn plan(&self) -> Result<Planned, Refusal> {
        match &self.command.wish {
            Wish::Drain { target, over } => {
                let target = self.endpoints(target)?;
                self.make(Some(target), Action::Drain { over: *over })
            }
            Wish::Force { target, to: Some(to) } => {
                let target = self.endpoints(target)?;
                self.make(Some(target), Action::Force(*to))
            }
            Wish::Weight { target, member, weight: Some(weight) } => {
                let target = self.weighted(target, member.as_ref(), *weight)?;
                self.make(Some(target), Action::Weight { member: member.clone(), weight: *weight })
            }
            Wish::Share { target, member, share } => {
                let kinds = [Kind::Record, Kind::Policy];
                let target = self.fit(target, &kinds, "record: or policy:")?;
                if !self.command.even_if_unknown {
                    weights::check_share(&target, member, self.snapshot)?;
                }
                self.make(Some(target), Action::Share { member: member.clone(), share: *share })
            }
            Wish::Failover { target, to } => {
                let target = self.failover(target)?;
                self.check_member(&target, to)?;
                self.make(Some(target), Action::Failover { to: Arc::clone(to) })
            }
            Wish::Hold { target } => {
                let target = self.failover(target)?;
                self.make(Some(target), Action::Hold)
            }
            Wish::Pin => self.make(None, Action::Pin),
            Wish::Undrain { target } => {
                self.take_away(target, |action| matches!(action, Action::Drain { .. }))
            }
            Wish::Force { target, to: None } => {
                self.take_away(target, |action| matches!(action, Action::Force(_)))
            }
            Wish::Weight { target, member, weight: None } => self.take_away(target, |action| {
                let weighs = matches!(action, Action::Weight { .. } | Action::Share { .. });
                weighs && (member.is_none() || action.member() == member.as_ref())
            }),
            Wish::Unhold { target } => {
                self.take_away(target, |action| matches!(action, Action::Hold))
            }
            Wish::Unpin { target } => self.unpin(target.as_deref()),
            Wish::Failback { target } => self.fail_back(target),
            Wish::Approve { target } => self.order(target, Order::Approve),
            Wish::Reject { target } => self.order(target, Order::Reject),
            Wish::ConfirmFalls => {
                self.check_once()?;
                Ok(Planned { confirm_falls: true, ..Planned::nothing(self.hand) })
            }
            // Planned as what was proposed, or by whom.
            Wish::Confirm { .. } | Wish::Withdraw { .. } => Ok(Planned::nothing(self.hand)),
        }
    }

    fn read(&self, text: &str) -> Result<Target, Refusal> {
        Ok(Target::read(text, self.snapshot)?)
    }

    fn fit(&self, text: &str, kinds: &[Kind], takes: &'static str) -> Result<Target, Refusal> {
        let target = self.read(text)?;
        if !kinds.contains(&target.kind()) {
            let verb = self.command.wish.verb().word();
            return Err(Refusal::Unfit { verb, kind: target.kind().word(), takes });
        }
        if !self.command.even_if_unknown {
            target.check(self.snapshot)?;
        }
        Ok(target)
    }

    fn endpoints(&self, text: &str) -> Result<Target, Refusal> {
        let kinds = [Kind::Region, Kind::Pool, Kind::Endpoint, Kind::Check];
        let takes = "region:, pool:, endpoint: or check:. An endpoint is taken out of every record \
                     that has it; at one record alone, clients are moved by failover and weight";
        self.fit(text, &kinds, takes)
    }

    fn failover(&self, text: &str) -> Result<Target, Refusal> {
        let target = self.fit(text, &[Kind::Record, Kind::Policy], "record: or policy:")?;
        if target.failovers(self.snapshot).is_empty() && !self.command.even_if_unknown {
            return Err(Refusal::NoFailover(text.into()));
        }
        Ok(target)
    }

    fn weighted(
        &self,
        text: &str,
        member: Option<&Arc<str>>,
        weight: Weight,
    ) -> Result<Target, Refusal> {
        let kinds = [Kind::Record, Kind::Policy, Kind::Endpoint];
        let takes = "record:, policy: or endpoint:. A pool has no weight of its own: it has one as \
                     a member of each policy that uses it";
        let target = self.fit(text, &kinds, takes)?;
        if !self.command.even_if_unknown {
            weights::check(&target, member, weight, self.snapshot)?;
        }
        Ok(target)
    }

    fn check_member(&self, target: &Target, to: &Arc<str>) -> Result<(), Refusal> {
        let failovers = target.failovers(self.snapshot);
        let members = failovers.iter().flat_map(|id| &self.snapshot.failovers[id.index()].members);
        let members: BTreeSet<&str> = members.map(|name| &**name).collect();
        if members.contains(&**to) || self.command.even_if_unknown {
            return Ok(());
        }
        let meant = nearest(to, members.iter().copied());
        let mut members: Vec<String> = members.iter().map(|name| (*name).to_owned()).collect();
        members.sort_by_key(|name| Some(name.as_str()) != meant);
        Err(Refusal::NoMember { target: target.to_string(), to: Arc::clone(to), members })
    }

    fn check_once(&self) -> Result<(), Refusal> {
        match (self.command.begins, self.command.lasts) {
            (None, None) => Ok(()),
            _ => Err(Refusal::Once(self.command.wish.verb().word())),
        }
    }

    /// From when on.
    fn begins(&self) -> Result<Moment, Refusal> {
        let delay = match self.command.begins {
            None => Duration::ZERO,
            Some(Begins::After(delay)) => delay,
            Some(Begins::At(time)) => {
                time.duration_since(self.now.wall).map_err(|past| Refusal::Past(past.duration()))?
            }
        };
        Ok(self.now.at.after(delay))
    }

    fn make(&self, target: Option<Target>, action: Action) -> Result<Planned, Refusal> {
        let mut hand = self.hand.clone();
        let is_replaced = |one: &mut Override| self.command.instead_of == Some(one.id);
        let removed: Vec<Override> = hand.overrides.extract_if(.., is_replaced).collect();
        if let Some(gone) = self.command.instead_of.filter(|_| removed.is_empty()) {
            return Err(Refusal::Conflict(format!("#{gone}, whose place it takes, is gone")));
        }
        if hand.overrides.len() >= OVERRIDES_MAX {
            return Err(Refusal::Full);
        }
        let at = self.begins()?;
        let id = self.id.unwrap_or_else(|| hand.next_id());
        let records = target.as_ref().map(|target| target.records(self.snapshot));
        let records = records.unwrap_or_default();
        hand.overrides.push(Override {
            id,
            stage: Stage::Waiting,
            ran: Since::starting(at),
            target,
            action,
            who: Arc::clone(&self.who),
            reason: self.command.reason.clone(),
            made: self.now.wall,
            begins: at,
            until: self.command.lasts.map(|lasts| at.after(lasts)),
            break_glass: self.command.break_glass,
        });
        if at <= self.now.at {
            hand.begin(id);
        }
        let undo = hand.find(id).map(|made| words::undo(made, &hand)).into_iter().collect();
        self.touch(&mut hand, &records);
        Ok(Planned { made: Some(id), removed, records, undo, ..Planned::nothing(&hand) })
    }

    /// Those overrides of a sort that are meant by `text`: that number, else exactly that target,
    /// else whatever it covers.
    fn meant(
        &self,
        text: &str,
        is: impl Fn(&Action) -> bool,
    ) -> Result<Vec<&'a Override>, Refusal> {
        let of_sort = || self.hand.overrides.iter().filter(|one| is(&one.action));
        if let Some(id) = id_of(text) {
            return Ok(of_sort().filter(|one| one.id == id).collect());
        }
        let target = self.read(text)?;
        let exact: Vec<&Override> =
            of_sort().filter(|one| one.target.as_ref() == Some(&target)).collect();
        if !exact.is_empty() {
            return Ok(exact);
        }
        let covered = |one: &&Override| {
            one.target.as_ref().is_some_and(|theirs| target.covers(theirs, self.snapshot))
        };
        Ok(of_sort().filter(covered).collect())
    }

    fn take_away(&self, text: &str, is: impl Fn(&Action) -> bool) -> Result<Planned, Refusal> {
        self.check_once()?;
        let meant = self.meant(text, &is)?;
        if meant.is_empty() {
            return Err(Refusal::Nothing(self.instead(text, is)));
        }
        Ok(self.without(&meant))
    }

    /// What there is of a sort instead of what `text` says.
    fn instead(&self, text: &str, is: impl Fn(&Action) -> bool) -> String {
        let others = self.hand.overrides.iter().filter(|one| is(&one.action));
        let names = others.map(|one| match &one.target {
            Some(target) => format!("{target} (#{})", one.id),
            None => format!("#{}", one.id),
        });
        let names: Vec<String> = names.collect();
        let verb = self.command.wish.verb().word();
        match names.is_empty() {
            true => format!("there is nothing to {verb}"),
            false => format!("`{text}` is not among what there is to {verb}: {}", names.join(", ")),
        }
    }

    /// The hand without `taken`. What is taken back was there before: no rule makes it wait.
    fn without(&self, taken: &[&Override]) -> Planned {
        let removed: Vec<Override> = taken.iter().map(|one| (*one).clone()).collect();
        let mut hand = self.hand.clone();
        hand.overrides.retain(|one| !removed.iter().any(|gone| gone.id == one.id));
        let targets = removed.iter().filter_map(|one| one.target.as_ref());
        let records: BTreeSet<RecordId> =
            targets.flat_map(|target| target.records(self.snapshot)).collect();
        Planned {
            undo: removed.iter().map(|one| words::redo(one, self.now.at)).collect(),
            removed,
            records: records.into_iter().collect(),
            ..Planned::nothing(&hand)
        }
    }

    fn unpin(&self, text: Option<&str>) -> Result<Planned, Refusal> {
        self.check_once()?;
        let is = |action: &Action| *action == Action::Pin;
        let number = |text: &str| number_of(text).ok_or_else(|| Refusal::NoNumber(text.to_owned()));
        let id = text.map(number).transpose()?;
        let mut pins: Vec<&Override> =
            self.hand.overrides.iter().filter(|one| is(&one.action)).collect();
        if pins.is_empty() {
            return Err(Refusal::Nothing("nothing is pinned".into()));
        }
        pins.retain(|one| id.is_none_or(|id| id == one.id));
        if pins.is_empty() {
            return Err(Refusal::Nothing(self.instead(text.unwrap_or_default(), is)));
        }
        Ok(self.without(&pins))
    }

    fn fail_back(&self, text: &str) -> Result<Planned, Refusal> {
        self.check_once()?;
        let is = |action: &Action| matches!(action, Action::Failover { .. });
        let meant = self.meant(text, is)?;
        let mut targets: Vec<Target> = meant.iter().filter_map(|one| one.target.clone()).collect();
        if meant.is_empty() {
            if id_of(text).is_some() {
                return Err(Refusal::Nothing(self.instead(text, is)));
            }
            targets.push(self.failover(text)?);
        }
        let failovers: BTreeSet<FailoverId> =
            targets.iter().flat_map(|target| target.failovers(self.snapshot)).collect();
        let records: BTreeSet<RecordId> =
            targets.iter().flat_map(|target| target.records(self.snapshot)).collect();
        let orders = failovers.into_iter().map(|id| (id, Order::Failback)).collect();
        Ok(Planned { orders, records: records.into_iter().collect(), ..self.without(&meant) })
    }

    fn order(&self, text: &str, order: Order) -> Result<Planned, Refusal> {
        self.check_once()?;
        let target = self.failover(text)?;
        let failovers = target.failovers(self.snapshot);
        let mut hand = self.hand.clone();
        let records = target.records(self.snapshot);
        self.touch(&mut hand, &records);
        let orders = failovers.into_iter().map(|id| (id, order)).collect();
        Ok(Planned { orders, records, ..Planned::nothing(&hand) })
    }

    /// Remembers that `records` are changed now, where a rule wants time between two changes.
    fn touch(&self, hand: &mut Hand, records: &[RecordId]) {
        let waits = || self.snapshot.safety.iter().filter_map(|rule| Some((rule, rule.wait?)));
        let Some(longest) = waits().map(|(_, wait)| wait).max() else { return };
        hand.touched.retain(|touch| self.now.at.since(touch.at) < longest);
        let guarded =
            |id: &&RecordId| waits().any(|(rule, _)| rule.records.binary_search(id).is_ok());
        let names = records.iter().filter(guarded);
        let records: Vec<Arc<str>> =
            names.map(|id| Arc::clone(&self.snapshot.record(*id).id)).collect();
        if !records.is_empty() {
            hand.touched.push(Touch { records, at: self.now.at });
        }
    }
}
