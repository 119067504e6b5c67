//! The hand as it outlives the process: words and durations, no moment of a clock that ends with
//! it.
//!
//! Each override is kept by itself, so that one of a newer version, which this one cannot read,
//! costs no other. Proposals, which last an hour, stand together in a note; one that cannot be read
//! is made again. What `wait` rules remember is not kept: a restart ends no change that took effect.

use super::{
    Action, Command, ForceTo, Hand, Now, Override, Proposal, Stage, Wish, command::Begins,
};
use crate::{
    clock::Since,
    units::{Share, Weight},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What is kept of the hand beside its overrides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptNote {
    /// The last number given out, of overrides and proposals: none is given out twice, over
    /// restarts too.
    pub id: u64,
    /// The last turn given out.
    pub turn: u64,
    /// What waits for a second person: each a [`KeptProposal`].
    #[serde(default)]
    pub proposals: Vec<Value>,
}

/// A [`Proposal`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptProposal {
    id: u64,
    wish: KeptWish,
    who: String,
    reason: Option<String>,
    begins: Option<KeptBegins>,
    lasts_ms: Option<u64>,
    even_if_unknown: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instead_of: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    for_whom: Vec<String>,
    rules: Vec<String>,
    made_ms: u64,
    /// When this was written, in milliseconds since 1970, and how long it had left then.
    written_ms: u64,
    remaining_ms: u64,
}

/// A [`Begins`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptBegins {
    AfterMs(u64),
    AtMs(u64),
}

/// A [`Wish`] that may have to wait for a second person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum KeptWish {
    Drain { target: String, over_ms: Option<u64> },
    Undrain { target: String },
    Force { target: String, up: Option<bool> },
    Weight { target: String, member: Option<String>, weight: Option<u32> },
    Share { target: String, member: String, millionths: u32 },
    Failover { target: String, to: String },
    Failback { target: String },
    Approve { target: String },
    Reject { target: String },
    Hold { target: String },
    Unhold { target: String },
    Pin,
    Unpin { target: Option<String> },
    ConfirmFalls,
}

/// What became of overrides that a process before had kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// The hand as it goes on.
    pub hand: Hand,
    /// What ran out while no server was there.
    pub ended: Vec<Override>,
    /// Numbers of those that this version cannot read.
    pub unread: Vec<u64>,
}

/// An [`Override`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptOverride {
    /// Its number.
    pub id: u64,
    /// As typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What it does.
    pub action: KeptAction,
    /// Who said so.
    pub who: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// When this was written, in milliseconds since 1970.
    pub written_ms: u64,
    /// Its turn, if it had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<u64>,
    /// Why it will never begin, if a safety rule forbade it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// For how long it had been in effect when this was written.
    pub elapsed_ms: u64,
    /// Whether a pin let that stand still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// In how long it was to begin when this was written; 0 if it had.
    pub starts_in_ms: u64,
    /// How long it had left when this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
    /// Whether it went over a safety rule.
    #[serde(default)]
    pub break_glass: bool,
}

/// An [`Action`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum KeptAction {
    /// [`Action::Drain`].
    Drain {
        /// How long clients take to leave.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over_ms: Option<u64>,
    },
    /// [`Action::Force`].
    Force {
        /// Up or down.
        up: bool,
    },
    /// [`Action::Weight`].
    Weight {
        /// The member, unless endpoints.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<String>,
        /// Its weight.
        weight: u32,
    },
    /// [`Action::Share`].
    Share {
        /// The member.
        member: String,
        /// Its share.
        millionths: u32,
    },
    /// [`Action::Failover`].
    Failover {
        /// The member.
        to: String,
    },
    /// [`Action::Hold`].
    Hold,
    /// [`Action::Pin`].
    Pin,
}

impl Hand {
    /// The overrides as they are to outlive the process.
    pub fn kept(&self, now: Now) -> Vec<KeptOverride> {
        self.overrides.iter().map(|one| KeptOverride::of(one, now)).collect()
    }

    /// What else is to outlive it.
    pub fn note(&self, now: Now) -> KeptNote {
        let proposals = self.proposals.iter().filter_map(|one| KeptProposal::of(one, now));
        let proposals = proposals.filter_map(|one| serde_json::to_value(one).ok()).collect();
        KeptNote { id: self.last_id, turn: self.last_turn, proposals }
    }

    /// The hand that was `kept` by a process before: drains went on meanwhile, what ran out has,
    /// and what was to begin is due.
    pub fn restored(note: &KeptNote, kept: &BTreeMap<u64, Value>, now: Now) -> Restored {
        let (mut hand, mut unread) = (Hand::default(), Vec::new());
        for (id, value) in kept {
            let read: Option<KeptOverride> = serde_json::from_value(value.clone()).ok();
            match read.and_then(|one| one.restored(now)) {
                Some(one) => hand.overrides.push(one),
                None => unread.push(*id),
            }
        }
        let turns = hand.overrides.iter().filter_map(|one| one.turn(now.at));
        hand.last_turn = turns.chain([note.turn]).max().unwrap_or(0);
        hand.last_id = kept.keys().copied().chain([note.id]).max().unwrap_or(0);
        let read = |one: &Value| serde_json::from_value::<KeptProposal>(one.clone()).ok();
        let proposals = note.proposals.iter().filter_map(|one| read(one)?.restored(now));
        hand.proposals = proposals.collect();
        let ended = hand.expire(now.at);
        Restored { hand, ended, unread }
    }
}

impl KeptOverride {
    fn of(one: &Override, now: Now) -> KeptOverride {
        let (turn, refused) = match &one.stage {
            Stage::Waiting => (None, None),
            Stage::Begun { turn } => (Some(*turn), None),
            Stage::Refused(why) => (None, Some(why.to_string())),
        };
        KeptOverride {
            id: one.id,
            target: one.target.as_ref().map(ToString::to_string),
            action: KeptAction::of(&one.action),
            who: one.who.to_string(),
            reason: one.reason.as_deref().map(str::to_owned),
            made_ms: wall_ms(one.made),
            written_ms: wall_ms(now.wall),
            turn,
            refused,
            elapsed_ms: ms(one.ran.elapsed(now.at)),
            stopped: one.ran.is_paused(),
            starts_in_ms: ms(one.starts_in(now.at).unwrap_or_default()),
            remaining_ms: one.remaining(now.at).map(ms),
            break_glass: one.break_glass,
        }
    }

    fn restored(&self, now: Now) -> Option<Override> {
        let away = away(self.written_ms, now);
        let starts_in = Duration::from_millis(self.starts_in_ms);
        let elapsed = Duration::from_millis(self.elapsed_ms);
        let begins = now.at.after(starts_in.saturating_sub(away));
        let gone = match self.stopped {
            true => elapsed,
            false => (elapsed + away).saturating_sub(starts_in),
        };
        let ran = Since::resumed(gone, begins);
        let rest = self.remaining_ms.map(Duration::from_millis);
        Some(Override {
            id: self.id,
            target: match &self.target {
                Some(text) => Some(text.parse().ok()?),
                None => None,
            },
            action: self.action.restored()?,
            who: self.who.as_str().into(),
            reason: self.reason.as_deref().map(Arc::from),
            made: UNIX_EPOCH + Duration::from_millis(self.made_ms),
            begins,
            stage: match (self.turn, &self.refused) {
                (Some(turn), _) => Stage::Begun { turn },
                (None, Some(why)) => Stage::Refused(why.as_str().into()),
                (None, None) => Stage::Waiting,
            },
            ran: if self.stopped { ran.paused(now.at) } else { ran },
            until: rest.map(|rest| now.at.after(rest.saturating_sub(away))),
            break_glass: self.break_glass,
        })
    }
}

impl KeptProposal {
    /// Nothing for what needs no second person.
    fn of(one: &Proposal, now: Now) -> Option<KeptProposal> {
        let Command { wish, who, reason, begins, lasts, even_if_unknown, .. } = &one.command;
        let Command { instead_of, for_whom, .. } = &one.command;
        Some(KeptProposal {
            id: one.id,
            wish: KeptWish::of(wish)?,
            who: who.to_string(),
            reason: reason.as_deref().map(str::to_owned),
            begins: begins.map(|begins| match begins {
                Begins::After(wait) => KeptBegins::AfterMs(ms(wait)),
                Begins::At(at) => KeptBegins::AtMs(wall_ms(at)),
            }),
            lasts_ms: lasts.map(ms),
            even_if_unknown: *even_if_unknown,
            instead_of: *instead_of,
            for_whom: for_whom.iter().map(ToString::to_string).collect(),
            rules: one.rules.iter().map(ToString::to_string).collect(),
            made_ms: wall_ms(one.made),
            written_ms: wall_ms(now.wall),
            remaining_ms: ms(one.expires.since(now.at)),
        })
    }

    /// Nothing for what says what no operator could.
    fn restored(self, now: Now) -> Option<Proposal> {
        let left = Duration::from_millis(self.remaining_ms);
        let left = left.checked_sub(away(self.written_ms, now)).filter(|left| !left.is_zero())?;
        Some(Proposal {
            id: self.id,
            command: Command {
                wish: self.wish.restored()?,
                who: self.who.into(),
                reason: self.reason.map(Arc::from),
                begins: self.begins.map(|begins| match begins {
                    KeptBegins::AfterMs(wait) => Begins::After(Duration::from_millis(wait)),
                    KeptBegins::AtMs(at) => Begins::At(UNIX_EPOCH + Duration::from_millis(at)),
                }),
                lasts: self.lasts_ms.map(Duration::from_millis),
                break_glass: false,
                dry_run: false,
                if_version: None,
                even_if_unknown: self.even_if_unknown,
                instead_of: self.instead_of,
                for_whom: self.for_whom.into_iter().map(Arc::from).collect(),
            },
            rules: self.rules.into_iter().map(Arc::from).collect(),
            made: UNIX_EPOCH + Duration::from_millis(self.made_ms),
            expires: now.at.after(left),
        })
    }
}

impl KeptWish {
    fn of(wish: &Wish) -> Option<KeptWish> {
        Some(match wish.clone() {
            Wish::Drain { target, over } => KeptWish::Drain { target, over_ms: over.map(ms) },
            Wish::Undrain { target } => KeptWish::Undrain { target },
            Wish::Force { target, to } => {
                KeptWish::Force { target, up: to.map(|to| to == ForceTo::Up) }
            }
            Wish::Weight { target, member, weight } => KeptWish::Weight {
                target,
                member: member.as_deref().map(str::to_owned),
                weight: weight.map(Weight::get),
            },
            Wish::Share { target, member, share } => KeptWish::Share {
                target,
                member: member.to_string(),
                millionths: share.as_millionths(),
            },
            Wish::Failover { target, to } => KeptWish::Failover { target, to: to.to_string() },
            Wish::Failback { target } => KeptWish::Failback { target },
            Wish::Approve { target } => KeptWish::Approve { target },
            Wish::Reject { target } => KeptWish::Reject { target },
            Wish::Hold { target } => KeptWish::Hold { target },
            Wish::Unhold { target } => KeptWish::Unhold { target },
            Wish::Pin => KeptWish::Pin,
            Wish::Unpin { target } => KeptWish::Unpin { target },
            Wish::ConfirmFalls => KeptWish::ConfirmFalls,
            // Neither ever waits for a second person.
            Wish::Confirm { .. } | Wish::Withdraw { .. } => return None,
        })
    }

    fn restored(self) -> Option<Wish> {
        Some(match self {
            KeptWish::Drain { target, over_ms } => {
                Wish::Drain { target, over: over_ms.map(Duration::from_millis) }
            }
            KeptWish::Undrain { target } => Wish::Undrain { target },
            KeptWish::Force { target, up } => {
                let to = up.map(|up| if up { ForceTo::Up } else { ForceTo::Down });
                Wish::Force { target, to }
            }
            KeptWish::Weight { target, member, weight } => Wish::Weight {
                target,
                member: member.map(Arc::from),
                weight: match weight {
                    Some(weight) => Some(Weight::new(weight)?),
                    None => None,
                },
            },
            KeptWish::Share { target, member, millionths } => Wish::Share {
                target,
                member: member.into(),
                share: Share::from_millionths(millionths),
            },
            KeptWish::Failover { target, to } => Wish::Failover { target, to: to.into() },
            KeptWish::Failback { target } => Wish::Failback { target },
            KeptWish::Approve { target } => Wish::Approve { target },
            KeptWish::Reject { target } => Wish::Reject { target },
            KeptWish::Hold { target } => Wish::Hold { target },
            KeptWish::Unhold { target } => Wish::Unhold { target },
            KeptWish::Pin => Wish::Pin,
            KeptWish::Unpin { target } => Wish::Unpin { target },
            KeptWish::ConfirmFalls => Wish::ConfirmFalls,
        })
    }
}

impl KeptAction {
    fn of(action: &Action) -> KeptAction {
        match action {
            Action::Drain { over } => KeptAction::Drain { over_ms: over.map(ms) },
            Action::Force(to) => KeptAction::Force { up: *to == ForceTo::Up },
            Action::Weight { member, weight } => KeptAction::Weight {
                member: member.as_deref().map(str::to_owned),
                weight: weight.get(),
            },
            Action::Share { member, share } => {
                KeptAction::Share { member: member.to_string(), millionths: share.as_millionths() }
            }
            Action::Failover { to } => KeptAction::Failover { to: to.to_string() },
            Action::Hold => KeptAction::Hold,
            Action::Pin => KeptAction::Pin,
        }
    }

    fn restored(&self) -> Option<Action> {
        Some(match self {
            KeptAction::Drain { over_ms } => {
                Action::Drain { over: over_ms.map(Duration::from_millis) }
            }
            KeptAction::Force { up: true } => Action::Force(ForceTo::Up),
            KeptAction::Force { up: false } => Action::Force(ForceTo::Down),
            KeptAction::Weight { member, weight } => Action::Weight {
                member: member.as_deref().map(Arc::from),
                weight: Weight::new(*weight)?,
            },
            KeptAction::Share { member, millionths } => Action::Share {
                member: member.as_str().into(),
                share: Share::from_millionths(*millionths),
            },
            KeptAction::Failover { to } => Action::Failover { to: to.as_str().into() },
            KeptAction::Hold => Action::Hold,
            KeptAction::Pin => Action::Pin,
        })
    }
}

/// How long no server ran, by the clock on the wall.
fn away(written_ms: u64, now: Now) -> Duration {
    let written = UNIX_EPOCH + Duration::from_millis(written_ms);
    now.wall.duration_since(written).unwrap_or_default()
}

fn wall_ms(at: SystemTime) -> u64 {
    ms(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Whole milliseconds, rounded up, so that nothing ends early.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
