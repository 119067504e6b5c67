//! The hand as it outlives the process: words and durations, no moment of a clock that ends with
//! it.
//!
//! Each override is kept by itself, so that one of a newer version, which this one cannot read,
//! costs no other. Proposals and what `wait` rules remember are not kept: both are about people
//! at work now, and a restart ends no change that took effect.

use super::{Action, ForceTo, Hand, Now, Override, Stage};
use crate::{clock::Since, units::Weight};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// The last numbers given out: none is given out twice, over restarts too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptNumbers {
    /// Of overrides and proposals.
    pub id: u64,
    /// Of turns.
    pub turn: u64,
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

    /// The numbers that are to outlive it.
    pub fn numbers(&self) -> KeptNumbers {
        KeptNumbers { id: self.last_id, turn: self.last_turn }
    }

    /// The hand that was `kept` by a process before: drains went on meanwhile, what ran out has,
    /// and what was to begin is due.
    pub fn restored(numbers: KeptNumbers, kept: &BTreeMap<u64, Value>, now: Now) -> Restored {
        let (mut hand, mut unread) = (Hand::default(), Vec::new());
        for (id, value) in kept {
            let read: Option<KeptOverride> = serde_json::from_value(value.clone()).ok();
            match read.and_then(|one| one.restored(now)) {
                Some(one) => hand.overrides.push(one),
                None => unread.push(*id),
            }
        }
        let turns = hand.overrides.iter().filter_map(|one| one.turn(now.at));
        hand.last_turn = turns.chain([numbers.turn]).max().unwrap_or(0);
        hand.last_id = kept.keys().copied().chain([numbers.id]).max().unwrap_or(0);
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
            made_ms: ms(one.made.duration_since(UNIX_EPOCH).unwrap_or_default()),
            written_ms: ms(now.wall.duration_since(UNIX_EPOCH).unwrap_or_default()),
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
        let written = UNIX_EPOCH + Duration::from_millis(self.written_ms);
        let away = now.wall.duration_since(written).unwrap_or_default();
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

impl KeptAction {
    fn of(action: &Action) -> KeptAction {
        match action {
            Action::Drain { over } => KeptAction::Drain { over_ms: over.map(ms) },
            Action::Force(to) => KeptAction::Force { up: *to == ForceTo::Up },
            Action::Weight { member, weight } => KeptAction::Weight {
                member: member.as_deref().map(str::to_owned),
                weight: weight.get(),
            },
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
            KeptAction::Failover { to } => Action::Failover { to: to.as_str().into() },
            KeptAction::Hold => Action::Hold,
            KeptAction::Pin => Action::Pin,
        })
    }
}

/// Whole milliseconds, rounded up, so that nothing ends early.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
