//! The hand as it outlives the process: words and durations, no moment of a clock that ends with
//! it.
//!
//! Overrides are kept; proposals and what `wait` rules remember are not: both are about people at
//! work now, and a restart ends no change that took effect.

use super::{Action, ForceTo, Hand, Now, Override};
use crate::units::Weight;
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// All overrides, and the last number given out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptHand {
    /// Numbers are never given out twice, over restarts too.
    pub last_id: u64,
    /// In order.
    pub overrides: Vec<KeptOverride>,
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
    /// How long ago it began when this was written; 0 if it had not.
    pub elapsed_ms: u64,
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
    /// What of it is to outlive the process.
    pub fn kept(&self, now: Now) -> KeptHand {
        let overrides = self.overrides.iter().map(|one| KeptOverride::of(one, now)).collect();
        KeptHand { last_id: self.last_id, overrides }
    }

    /// The hand that was `kept` by a process before, which ended `away` ago: drains went on
    /// meanwhile, and what ran out has. Overrides that this version cannot read are left out, and
    /// given back.
    pub fn restored(kept: &KeptHand, away: Duration, now: Now) -> (Hand, Vec<KeptOverride>) {
        let mut hand = Hand { last_id: kept.last_id, ..Hand::default() };
        let mut unread = Vec::new();
        for one in &kept.overrides {
            match one.restored(away, now) {
                Some(one) => hand.overrides.push(one),
                None => unread.push(one.clone()),
            }
        }
        let highest = kept.overrides.iter().map(|one| one.id).max().unwrap_or(0);
        hand.last_id = hand.last_id.max(highest);
        hand.expire(now.at);
        (hand, unread)
    }
}

impl KeptOverride {
    fn of(one: &Override, now: Now) -> KeptOverride {
        let starts_in = one.starts_in(now.at);
        KeptOverride {
            id: one.id,
            target: one.target.as_ref().map(ToString::to_string),
            action: KeptAction::of(&one.action),
            who: one.who.to_string(),
            reason: one.reason.as_deref().map(str::to_owned),
            made_ms: ms(one.made.duration_since(UNIX_EPOCH).unwrap_or_default()),
            elapsed_ms: if starts_in.is_some() { 0 } else { ms(one.since().elapsed(now.at)) },
            starts_in_ms: ms(starts_in.unwrap_or_default()),
            remaining_ms: one.remaining(now.at).map(ms),
            break_glass: one.break_glass,
        }
    }

    fn restored(&self, away: Duration, now: Now) -> Option<Override> {
        let starts_in = Duration::from_millis(self.starts_in_ms);
        let remaining = self.remaining_ms.map(Duration::from_millis);
        let before = Duration::from_millis(self.elapsed_ms) + away;
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
            begins: now.at.after(starts_in.saturating_sub(away)),
            lasted: before.saturating_sub(starts_in),
            until: remaining.map(|rest| now.at.after(rest.saturating_sub(away))),
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
