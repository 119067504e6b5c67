//! What `--json` prints and the control socket speaks: a promise, so it has a version.
//!
//! Every inner type is turned into one of these by hand; nothing further in is serialisable.
//! Fields are added freely; to rename or drop one, raise [`SCHEMA_VERSION`]. Times are RFC 3339
//! in UTC, durations end in their unit, shares are 0..=1.

pub mod audit;
pub mod drill;
mod event;
mod explain;
mod files;
pub mod forecast;
pub mod hand;
pub mod health;
pub mod names;
pub mod node;
pub mod plan;
pub mod rollout;
mod status;
pub mod things;

pub use self::{
    event::{EventLine, IncidentSummary},
    explain::{
        AnswerShare, DrawLine, DrawnBy, Explanation, MemberShare, Outcome, Place, Steered,
        StepLine, StepMark,
    },
    files::{ProblemLine, ReloadReply, RevisionLine, problems},
    status::{
        Elsewhere, EndpointStatus, FailoverStatus, HeldLine, HookLine, Impaired, LastResort,
        LeavingLine, OldAnswers, PoolStatus, ProbeLine, Status, WaitLine, ZoneState, ZoneStatus,
    },
};

use crate::clock::Moment;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

/// Version of everything in this folder.
pub const SCHEMA_VERSION: u32 = 1;

/// Why the server did not do what it was asked: `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong.
    pub detail: String,
    /// How to get out of it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Safety rules that forbid it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<hand::ViolationLine>,
    /// The role that it takes, where the token has a lesser one (403).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What operators told the server, where that is not what `If-Match` named (412).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand: Option<hand::HandList>,
}

/// `at` in RFC 3339, in whole milliseconds.
pub fn time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = i64::try_from(since.as_millis()).ok();
    let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", at.unwrap_or_default())
}

/// The wall-clock time of `at`, given that of `now`.
pub fn time_of(at: Moment, now: Moment, wall: SystemTime) -> String {
    time(wall.checked_sub(now.since(at)).unwrap_or(UNIX_EPOCH))
}

/// In milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
