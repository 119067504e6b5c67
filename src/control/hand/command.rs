//! What an operator may wish, and what may come of it: a plan, a proposal, a refusal, something
//! done. How one leads to the other is [`super::planning`]'s.

use super::{
    ForceTo, Hand, OVERRIDES_MAX, Override, TargetError,
    safety::{self, Violation},
    weights::WeightError,
    words,
};
use crate::{
    clock::Moment,
    failover::Command as Order,
    forecast::Standpoint,
    ids::{FailoverId, RecordId},
    snapshot::safety::Verb,
    units::{Share, Ttl, Weight},
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
    /// Only while the hand is of this [`version`](super::Hand::version).
    pub if_version: Option<u64>,
    /// Take targets that match nothing (yet).
    pub even_if_unknown: bool,
    /// The override that the one made takes the place of, in one step.
    pub instead_of: Option<u64>,
    /// The people who had a machine ask for it: none of them is the second of two persons.
    pub for_whom: Vec<Arc<str>>,
}

/// When something is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// So long from now.
    After(Duration),
    /// At this time of day.
    At(SystemTime),
}

impl Begins {
    /// What `text` means at `now`: a time with its day, or the next time that a clock shows it.
    ///
    /// # Errors
    /// When it is no time.
    pub fn at(text: &str, now: SystemTime) -> Result<Begins, String> {
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Begins::At(at.into()));
        }
        let clock = text.strip_suffix('Z').unwrap_or(text).split_once(':');
        let part = |text: &str, end: u64| {
            let is_plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u64>().ok().filter(|&value| is_plain && value < end)
        };
        let clock = clock.and_then(|(hour, minute)| Some((part(hour, 24)?, part(minute, 60)?)));
        let Some((hour, minute)) = clock else {
            return Err(format!("`{text}` is not a time: {WHEN}"));
        };
        const DAY: u64 = 86_400;
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let today = since.as_secs() - since.as_secs() % DAY;
        let at = Duration::from_secs(today + hour * 3_600 + minute * 60);
        let at = if at < since { at + Duration::from_secs(DAY) } else { at };
        Ok(Begins::At(SystemTime::UNIX_EPOCH + at))
    }
}

/// How a time is written.
pub const WHEN: &str = "write 2026-11-23T02:00Z, 02:00 (the next, in UTC), or +10m";

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
    /// Give a member of a weighted policy this share of all its clients.
    Share {
        /// The record or policy.
        target: String,
        /// The member.
        member: Arc<str>,
        /// Its share.
        share: Share,
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
    /// Take away what a run of a drill made or proposed, whatever became of it meanwhile: no rule
    /// keeps a rehearsal from ending. Nobody can type it.
    Withdraw {
        /// By whom it was made.
        who: Arc<str>,
        /// Only these, by number; everything, without.
        only: Option<Vec<u64>>,
    },
}

impl Wish {
    /// What it is about, as typed.
    pub fn target(&self) -> Option<&str> {
        match self {
            Wish::Drain { target, .. }
            | Wish::Undrain { target }
            | Wish::Force { target, .. }
            | Wish::Weight { target, .. }
            | Wish::Share { target, .. }
            | Wish::Failover { target, .. }
            | Wish::Failback { target }
            | Wish::Approve { target }
            | Wish::Reject { target }
            | Wish::Hold { target }
            | Wish::Unhold { target } => Some(target),
            Wish::Unpin { target } => target.as_deref(),
            Wish::Withdraw { who, .. } => Some(who),
            Wish::Pin | Wish::Confirm { .. } | Wish::ConfirmFalls => None,
        }
    }

    /// What is typed for it.
    pub fn verb(&self) -> Verb {
        match self {
            Wish::Drain { .. } => Verb::Drain,
            Wish::Undrain { .. } => Verb::Undrain,
            Wish::Force { .. } => Verb::Force,
            Wish::Weight { .. } | Wish::Share { .. } => Verb::Weight,
            Wish::Failover { .. } => Verb::Failover,
            Wish::Failback { .. } => Verb::Failback,
            Wish::Approve { .. } => Verb::Approve,
            Wish::Reject { .. } | Wish::Withdraw { .. } => Verb::Reject,
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
    /// The rules whose second person it goes without, by `--break-glass`.
    pub alone: Vec<Arc<str>>,
}

/// Why a wish is not granted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// What it is about is not there, or not clear.
    #[error("{0}")]
    Target(#[from] TargetError),
    /// The verb does not go with that kind of thing.
    #[error("{verb} does not take {kind}: its targets are {takes}")]
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
    /// Not the number of an override.
    #[error("`{0}` is no number of a pin")]
    NoNumber(String),
    /// It waits for nobody.
    #[error("{0}")]
    NothingWaits(String),
    /// Failovers do nothing before the first results of health checks are in.
    #[error("failovers wait for the first results of health checks; try again in a second")]
    NotYet,
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
    /// Somebody told the server something since whoever asks looked.
    #[error("overrides or proposals changed since they were read")]
    Stale,
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
            Refusal::Target(TargetError::NoMatch { .. }) => Some(
                "`tradewind status` lists what there is; --even-if-unknown takes it all the same",
            ),
            Refusal::Target(error) => Some(error.hint()),
            Refusal::Stale => Some("read /v1/hand again, and send its ETag as If-Match"),
            Refusal::NoNumber(_) => Some(
                "write id:7 for that pin, or `tradewind unpin` alone to take all of them away; \
                 `tradewind overrides` lists them",
            ),
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
    /// What else whoever typed it has to know, in sentences.
    pub notes: Vec<String>,
    /// Why it would not outlast a restart, if it is not on disk when it is answered.
    pub not_kept: Option<Arc<str>>,
    /// The command lines that undo it, in order.
    pub undo: Vec<String>,
    /// What answers followed from before.
    pub before: Standpoint,
    /// What they follow from now; would, for a dry run or a proposal.
    pub after: Standpoint,
}

impl Planned {
    /// Whether it does no more than take overrides or proposals away: what follows is what files
    /// and probes say, and no safety rule keeps anybody from going back to that.
    pub fn only_takes_back(&self) -> bool {
        let is_new = self.made.is_some() || self.proposed.is_some() || self.confirm_falls;
        !is_new && (self.orders.is_empty() || !self.removed.is_empty())
    }

    /// That `hand` stays as it is.
    pub(super) fn nothing(hand: &Hand) -> Planned {
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
            alone: Vec::new(),
        }
    }

    /// The override that is made, or would be once its proposal is confirmed.
    pub fn subject(&self) -> Option<&Override> {
        // A proposal has the number that its override will have.
        self.would.find(self.made.or(self.proposed)?)
    }
}
