//! What the control socket speaks of the operator's hand: wishes, what came of them, what is in
//! force.

use super::forecast::PreviewLine;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/hand`: something an operator wishes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandRequest {
    /// `drain`, `undrain`, `force`, `weight`, `failover`, `failback`, `approve`, `reject`, `hold`,
    /// `unhold`, `pin`, `unpin` or `confirm`.
    pub verb: String,
    /// What it is about; `id:7` for an override to be taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `drain`: how long clients may take to leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_ms: Option<u64>,
    /// `force`: `up`, `down` or `auto`; `failover`: the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `weight`: the member; none for endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// `weight`: what it is to be; none for what the files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// `weight`: the member's share of all clients instead, 0 to 1; the others divide the rest as
    /// the files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// `confirm`: the proposal, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// `confirm`: falls that the breaker holds, instead of a proposal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub falls: bool,
    /// In how long it is to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_in_ms: Option<u64>,
    /// When it is to begin: RFC 3339, or the next time that a clock (UTC) shows `02:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// For how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asks, if not by the name of the user; that is told beside it.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Over every safety rule.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
    /// Only say what would come of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Take targets that match nothing (yet).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub even_if_unknown: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HandReply {
    /// [`super::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whether anything was done: not for a dry run, and a proposal waits.
    pub done: bool,
    /// Whether it was only asked what would come of it: nothing waits either.
    #[serde(default)]
    pub dry_run: bool,
    /// The override that was made, or would be.
    pub made: Option<OverrideLine>,
    /// The overrides that were taken away.
    pub removed: Vec<OverrideLine>,
    /// The proposal it came to: another person has to confirm it.
    pub proposed: Option<ProposalLine>,
    /// What it does, in words.
    pub said: String,
    /// Resolvers go on giving old answers for so long at most.
    pub ttl_secs: u32,
    /// Safety rules it went over (`--break-glass`).
    pub broke: Vec<ViolationLine>,
    /// Records left with nothing that is up: they answer by `all_down`.
    pub last_resort: usize,
    /// What else there is to know: what it makes wait, what will hide it.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Why it is not on disk, and so would be lost at a restart; absent where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
    /// The command lines that undo it.
    pub undo: Vec<String>,
    /// Who would move: of dry runs, proposals and approvals.
    pub preview: Option<PreviewLine>,
    /// The World in force when this was written.
    pub swap: u64,
    /// The revision of the files in force.
    pub revision: u64,
}

/// `GET /v1/hand`: what operators told the server.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct HandList {
    /// [`super::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// In the order they were made; the last to begin that matches wins.
    pub overrides: Vec<OverrideLine>,
    /// Changes that wait for a second person.
    pub proposals: Vec<ProposalLine>,
    /// `state/PIN`, if it is there: its reason, if it gives one.
    pub pin_file: Option<String>,
}

/// `GET /v1/weights`: a weight that is served and that the files in force do not say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightLine {
    /// Where it stands: `zone/record`, the first of those that are alike; absent for a pool.
    pub record: Option<String>,
    /// The policy within that record; absent if it is written at the record itself.
    pub policy: Option<String>,
    /// The pool whose endpoint it is; absent for a member of a policy.
    pub pool: Option<String>,
    /// The member, or the endpoint.
    pub member: String,
    /// The share it is given there.
    pub served_share: f64,
    /// The share that the weights in the files come to.
    pub file_share: f64,
    /// So many more records are alike.
    pub others: usize,
    /// The number of the override that gives it.
    pub by: u64,
    /// Who gave it.
    pub who: String,
    /// The rollout that it belongs to.
    pub rollout: Option<String>,
    /// The command line that says what to write into the file; where no rollout gave it, the one
    /// that takes it away.
    pub next: String,
}

/// `GET /v1/approvals`: failovers that would move, and wait.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalLine {
    /// `zone/record` or `zone/policy`.
    pub failover: String,
    /// The active member.
    pub from: String,
    /// Where it would go.
    pub to: String,
    /// What it waits for, in words: `waits for approval`.
    pub wait: String,
    /// When a delay will be over.
    pub due: Option<String>,
    /// Who would move if it were approved; absent if it cannot be.
    pub preview: Option<PreviewLine>,
    /// What approves it.
    pub approve: String,
}

/// One override.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OverrideLine {
    /// Its number.
    pub id: u64,
    /// The command: `drain region:us-east-1`.
    pub what: String,
    /// What it is about; nothing for a pin.
    pub target: Option<String>,
    /// What it does now, in words; what it will do, before it begins.
    pub does: String,
    /// Whether it counts now.
    pub active: bool,
    /// Who made it.
    pub who: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub made: String,
    /// When it begins, if it has not.
    pub starts: Option<String>,
    /// When it ends by itself, if it does.
    pub until: Option<String>,
    /// The same as a duration.
    pub remaining_ms: Option<u64>,
    /// Overrides that it hides, wholly or in part.
    pub hides: Vec<u64>,
    /// Overrides that hide it, wholly or in part.
    pub hidden_by: Vec<u64>,
    /// Why it never began: the safety rule that forbade it when its time came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether it went over a safety rule.
    pub break_glass: bool,
    /// How far a drain has come.
    pub drain: Option<DrainState>,
    /// The command line that takes it away.
    pub undo: String,
}

/// How far a drain has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrainState {
    /// `draining`, `still-answered` or `drained`.
    pub state: DrainWord,
    /// The share of some record's clients that are sent there now.
    pub answered_share: f64,
    /// The share of answers that named its region lately; absent where it is not all of one.
    pub observed_share: Option<f64>,
    /// The share of its clients that resolvers may still send there, by ramp and TTL.
    pub residual_share: f64,
    /// Since when.
    pub since: String,
    /// What keeps it in the answers, if it is still answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What ends that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Whether drained endpoints may be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DrainWord {
    /// Clients may still come.
    Draining,
    /// It is answered, and stays so until somebody does something.
    StillAnswered,
    /// None do.
    Drained,
}

/// A change that waits for a second person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProposalLine {
    /// Its number.
    pub id: u64,
    /// The verb.
    pub verb: String,
    /// What it is about.
    pub target: Option<String>,
    /// Who proposed it.
    pub who: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub made: String,
    /// When it is forgotten.
    pub expires: String,
    /// The safety rules that want a second person.
    pub rules: Vec<String>,
    /// What the other person types.
    pub confirm: String,
}

/// A safety rule that a change would break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ViolationLine {
    /// Its name.
    pub rule: String,
    /// `zone/record` of the first record.
    pub record: String,
    /// How many more are in the same case.
    pub others: usize,
    /// What would be, in numbers.
    pub message: String,
}
