//! A wish of an operator's, judged: what becomes of the hand, or why not.
//!
//! [`Hand::planned`] changes nothing; whoever owns the hand takes what was planned once the
//! safety rules have been asked what it would break ([`super::safety`]). Where a rule wants two
//! persons the plan is a proposal, and another's `confirm` plans it again.

use super::{
    Action, ForceTo, Hand, Now, OVERRIDES_MAX, Override, PROPOSAL_LIFE, Target, TargetError, Touch,
    safety::{self, Violation},
    shares::Standpoint,
    target::Kind,
    weights::{self, WeightError},
    words,
};
use crate::{
    clock::Moment,
    config::nearest,
    failover::Command as Order,
    ids::{FailoverId, RecordId},
    snapshot::{Snapshot, safety::Verb},
    units::{Ttl, Weight},
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// What was asked, by whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// What is to be done.
    pub wish: Wish,
    /// Who asks.
    pub who: Arc<str>,
    /// Why.
    pub reason: Option<Arc<str>>,
    /// From when on; at once without.
    pub begins: Option<Begins>,
    /// For how long; for ever without.
    pub lasts: Option<Duration>,
    /// Over every safety rule.
    pub break_glass: bool,
    /// Only say what would come of it.
    pub dry_run: bool,
    /// Take targets that match nothing (yet).
    pub even_if_unknown: bool,
}

/// When something is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// So long from now.
    After(Duration),
    /// At this time of day.
    At(SystemTime),
}

/// What an operator may wish. Targets are as typed: `id:7` is an override by its number, where one
/// is to be taken away.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Take endpoints out.
    Drain {
        /// Which.
        target: String,
        /// How long clients may take to leave.
        over: Option<Duration>,
    },
    /// Let them in again.
    Undrain {
        /// Which.
        target: String,
    },
    /// Hold endpoints up or down; let probes decide again, without `to`.
    Force {
        /// Which.
        target: String,
        /// What they are to be.
        to: Option<ForceTo>,
    },
    /// Give a member, or endpoints, another weight; the one in the files, without `weight`.
    Weight {
        /// The record or policy, or the endpoints.
        target: String,
        /// The member; none for endpoints.
        member: Option<Arc<str>>,
        /// Its weight.
        weight: Option<Weight>,
    },
    /// Prefer a member of a failover.
    Failover {
        /// Which failover.
        target: String,
        /// The member.
        to: Arc<str>,
    },
    /// Let it go back to the member it would rather use.
    Failback {
        /// Which failover.
        target: String,
    },
    /// Let a failover do what it waits to do.
    Approve {
        /// Which failover.
        target: String,
    },
    /// Forbid it; or withdraw a proposal (`id:7`).
    Reject {
        /// Which failover.
        target: String,
    },
    /// Keep failovers where they stand.
    Hold {
        /// Which.
        target: String,
    },
    /// Let them move again.
    Unhold {
        /// Which.
        target: String,
    },
    /// Freeze all automation.
    Pin,
    /// Thaw it.
    Unpin {
        /// One of several pins (`id:7`).
        target: Option<String>,
    },
    /// Agree to what another has proposed: the only proposal, without `id`.
    Confirm {
        /// Its number.
        id: Option<u64>,
    },
    /// Let falls take effect that the breaker holds.
    ConfirmFalls,
}

impl Wish {
    /// What it is about, as typed.
    pub fn target(&self) -> Option<&str> {
        match self {
            Wish::Drain { target, .. }
            | Wish::Undrain { target }
            | Wish::Force { target, .. }
            | Wish::Weight { target, .. }
            | Wish::Failover { target, .. }
            | Wish::Failback { target }
            | Wish::Approve { target }
            | Wish::Reject { target }
            | Wish::Hold { target }
            | Wish::Unhold { target } => Some(target),
            Wish::Unpin { target } => target.as_deref(),
            Wish::Pin | Wish::Confirm { .. } | Wish::ConfirmFalls => None,
        }
    }

    /// What is typed for it.
    pub fn verb(&self) -> Verb {
        match self {
            Wish::Drain { .. } => Verb::Drain,
            Wish::Undrain { .. } => Verb::Undrain,
            Wish::Force { .. } => Verb::Force,
            Wish::Weight { .. } => Verb::Weight,
            Wish::Failover { .. } => Verb::Failover,
            Wish::Failback { .. } => Verb::Failback,
            Wish::Approve { .. } => Verb::Approve,
            Wish::Reject { .. } => Verb::Reject,
            Wish::Hold { .. } => Verb::Hold,
            Wish::Unhold { .. } => Verb::Unhold,
            Wish::Pin => Verb::Pin,
            Wish::Unpin { .. } => Verb::Unpin,
            Wish::Confirm { .. } | Wish::ConfirmFalls => Verb::Confirm,
        }
    }
}

/// A change that waits for a second person.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Its number; the override that comes of it has the same.
    pub id: u64,
    /// What was asked, by whom.
    pub command: Command,
    /// The rules that want it.
    pub rules: Vec<Arc<str>>,
    /// When it was proposed, for people.
    pub made: SystemTime,
    /// When it is forgotten.
    pub expires: Moment,
}

/// What is to become of everything an operator can move.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The hand afterwards.
    pub hand: Hand,
    /// The override that is made.
    pub made: Option<u64>,
    /// Those that are taken away.
    pub removed: Vec<Override>,
    /// What state machines are told.
    pub orders: Vec<(FailoverId, Order)>,
    /// Whether held falls take effect.
    pub confirm_falls: bool,
    /// The proposal it comes to instead, where a rule wants two persons.
    pub proposed: Option<u64>,
    /// The proposal that is confirmed or withdrawn.
    pub settled: Option<Proposal>,
    /// The hand if that were confirmed; else the same as `hand`.
    pub would: Hand,
    /// Records that may answer otherwise.
    pub records: Vec<RecordId>,
    /// The command lines that undo it, in order.
    pub undo: Vec<String>,
}

/// Why a wish is not granted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// What it is about is not there, or not clear.
    #[error("{0}")]
    Target(#[from] TargetError),
    /// The verb does not go with that kind of thing.
    #[error("{verb} does not take {kind}: targets: {takes}")]
    Unfit {
        /// What was wished.
        verb: &'static str,
        /// What it was wished for.
        kind: &'static str,
        /// What it takes.
        takes: &'static str,
    },
    /// A weight that cannot be.
    #[error("{0}")]
    Weight(#[from] WeightError),
    /// No failover there has such a member.
    #[error("`{target}` has no member `{to}`; its members are {}", members.join(", "))]
    NoMember {
        /// As typed.
        target: String,
        /// As typed.
        to: Arc<str>,
        /// The members it has, the nearest first.
        members: Vec<String>,
    },
    /// It is a record or policy, but no failover.
    #[error("`{0}` is no failover")]
    NoFailover(String),
    /// There is nothing to take away.
    #[error("nothing to take away: {0}")]
    Nothing(String),
    /// It waits for nobody.
    #[error("{0}")]
    NothingWaits(String),
    /// `--break-glass` says nothing of why.
    #[error("--break-glass needs a --reason: it goes over safety rules, and people will ask")]
    NeedsReason,
    /// `--at` has passed.
    #[error("--at lies {} in the past", words::short(*.0))]
    Past(Duration),
    /// A verb that happens once cannot be put off or limited.
    #[error("{0} happens once: it takes neither --at nor --for")]
    Once(&'static str),
    /// Whoever proposed a change cannot confirm it.
    #[error("{who} proposed #{id}: another person has to confirm it")]
    SamePerson {
        /// Who.
        who: Arc<str>,
        /// Its number.
        id: u64,
    },
    /// Too many.
    #[error("there are {OVERRIDES_MAX} overrides already: take some away (`tradewind overrides`)")]
    Full,
    /// The world changed under it.
    #[error("{0}; ask again")]
    Conflict(String),
    /// A safety rule forbids it.
    #[error("refused by {}", rules(.0))]
    Unsafe(Vec<Violation>),
}

fn rules(violations: &[Violation]) -> String {
    let rules: BTreeSet<&str> = violations.iter().map(|violation| &*violation.rule).collect();
    let rules: Vec<&str> = rules.into_iter().collect();
    match rules.len() {
        1 => format!("safety rule `{}`", rules[0]),
        _ => format!("safety rules `{}`", rules.join("`, `")),
    }
}

impl From<safety::Uncounted> for Refusal {
    fn from(why: safety::Uncounted) -> Refusal {
        Refusal::Conflict(why.to_string())
    }
}

impl Refusal {
    /// How to get out of it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Refusal::Target(error) => Some(error.hint()),
            Refusal::Nothing(_) => Some("`tradewind overrides` lists what operators changed"),
            Refusal::NothingWaits(_) => Some("`tradewind status` says where failovers stand"),
            Refusal::Unsafe(_) => {
                Some("--break-glass --reason TEXT does it all the same; it is an alarm, and kept")
            }
            _ => None,
        }
    }
}

/// What came of a command.
#[derive(Clone, Debug)]
pub struct Done {
    /// What was planned, and has happened unless it was a dry run or is a proposal.
    pub planned: Planned,
    /// Only said, not done.
    pub dry_run: bool,
    /// In words: `drains 2 endpoints of 1 pool; 14 records`.
    pub said: String,
    /// Overrides that are hidden by the one made, wholly or in part.
    pub hides: Vec<u64>,
    /// The longest that resolvers go on giving the old answers.
    pub ttl: Ttl,
    /// Safety rules it went over.
    pub broke: Vec<Violation>,
    /// What answers followed from before.
    pub before: Standpoint,
    /// What they follow from now; would, for a dry run or a proposal.
    pub after: Standpoint,
}

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
            Wish::Reject { target } if id_of(target).is_some() => self.withdrawn(target),
            _ => self.gated(command, snapshot, now),
        }
    }

    /// As planned, or as a proposal where a rule wants two persons.
    fn gated(&self, command: &Command, snapshot: &Snapshot, now: Now) -> Result<Planned, Refusal> {
        let planned = Planning::new(self, command, snapshot, now).plan()?;
        let rules = gates(snapshot, command.wish.verb(), &planned.records);
        if rules.is_empty() || command.break_glass {
            return Ok(planned);
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
        if *by == command.who {
            return Err(Refusal::SamePerson { who: Arc::clone(by), id });
        }
        let mut rest = self.clone();
        rest.proposals.retain(|known| known.id != id);
        let mut planning = Planning::new(&rest, &proposal.command, snapshot, now);
        planning.id = Some(id);
        let who = format!("{by}, confirmed by {}", command.who);
        planning.who = who.into();
        let planned = planning.plan()?;
        Ok(Planned { settled: Some(proposal.clone()), ..planned })
    }

    fn withdrawn(&self, target: &str) -> Result<Planned, Refusal> {
        let proposal = self.proposal(id_of(target))?;
        let mut hand = self.clone();
        hand.proposals.retain(|known| known.id != proposal.id);
        Ok(Planned { settled: Some(proposal.clone()), ..Planned::nothing(&hand) })
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

impl Planned {
    /// Whether it does no more than take overrides or proposals away: what follows is what files
    /// and probes say, and no safety rule keeps anybody from going back to that.
    pub fn only_takes_back(&self) -> bool {
        let is_new = self.made.is_some() || self.proposed.is_some() || self.confirm_falls;
        !is_new && (self.orders.is_empty() || !self.removed.is_empty())
    }

    fn nothing(hand: &Hand) -> Planned {
        Planned {
            hand: hand.clone(),
            made: None,
            removed: Vec::new(),
            orders: Vec::new(),
            confirm_falls: false,
            proposed: None,
            settled: None,
            would: hand.clone(),
            records: Vec::new(),
            undo: Vec::new(),
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
                matches!(action, Action::Weight { member: of, .. } if member.is_none() || of == member)
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
            // Planned as what was proposed.
            Wish::Confirm { .. } => Ok(Planned::nothing(self.hand)),
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
        self.fit(text, &kinds, "region:, pool:, endpoint: or check: (a record's members are moved by failover and weight)")
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
        let target = self.fit(text, &kinds, "record:, policy: or endpoint:")?;
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
        if hand.overrides.len() >= OVERRIDES_MAX {
            return Err(Refusal::Full);
        }
        let at = self.begins()?;
        let id = self.id.unwrap_or_else(|| hand.next_id());
        let records = target.as_ref().map(|target| target.records(self.snapshot));
        let records = records.unwrap_or_default();
        hand.overrides.push(Override {
            id,
            target,
            action,
            who: Arc::clone(&self.who),
            reason: self.command.reason.clone(),
            made: self.now.wall,
            begins: at,
            lasted: Duration::ZERO,
            until: self.command.lasts.map(|lasts| at.after(lasts)),
            break_glass: self.command.break_glass,
        });
        let undo = hand.find(id).map(|made| words::undo(made, &hand)).into_iter().collect();
        self.touch(&mut hand, &records);
        Ok(Planned { made: Some(id), records, undo, ..Planned::nothing(&hand) })
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
        let id = text.and_then(id_of);
        let pins = self.hand.overrides.iter().filter(|one| one.action == Action::Pin);
        let pins: Vec<&Override> = pins.filter(|one| id.is_none_or(|id| id == one.id)).collect();
        if pins.is_empty() {
            return Err(Refusal::Nothing("nothing is pinned".into()));
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
