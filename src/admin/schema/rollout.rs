//! What the control socket speaks of rollouts: how each stands, and what is ordered of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/rollouts/NAME/VERB`: what there is to say beside the verb.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutRequest {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asks, if not by the name of the user; that is told beside it.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// `promote`: to the end at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    /// `abort`: over safety rules, which is an alarm; with a reason, and the role `admin`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
    /// `start`, `promote`, `retry`: although endpoints of the record are down.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub even_if_degraded: bool,
    /// `start`: on this server alone, where there are others for the same zones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_here: bool,
}

/// One rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutLine {
    /// [`super::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Its name.
    pub name: String,
    /// The file that defines it; absent once that is gone.
    pub file: Option<String>,
    /// `zone/record`.
    pub record: String,
    /// The member that gets clients.
    pub member: String,
    /// `ready`, `setting`, `baking`, `waiting`, `paused`, `edited`, `inconclusive`, `failed`,
    /// `refused`, `reversing`, `undoing`, `succeeded`, `reversed`, `aborted` or `undone`.
    pub state: String,
    /// How it ended, or will have once its clients are taken back: `succeeded`, `reversed`,
    /// `aborted` or `undone`; absent before.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Whether the weights are those of the files: nothing of it is left.
    pub closed: bool,
    /// The other members of the record; empty where it is gone.
    #[serde(default)]
    pub others: Vec<String>,
    /// Why it stands still, if it does.
    pub halted: Option<String>,
    /// What happened last.
    pub said: String,
    /// The step it is at, from 1; absent before it is begun.
    pub step: Option<usize>,
    /// The steps.
    pub steps: Vec<RolloutStep>,
    /// How long all of them take at least: each lasts, and twice the TTL, and waits for its time.
    #[serde(default)]
    pub takes_ms: u64,
    /// The member's share that it is to have; absent where that is what files say.
    pub intended_share: Option<f64>,
    /// The share it is given.
    pub served_share: Option<f64>,
    /// The share that the files give it.
    pub file_share: Option<f64>,
    /// What was answered since the step's weight is served.
    pub observed: Option<ObservedSplit>,
    /// How long the stage has lasted; of a step that bakes, how long it has been served.
    pub elapsed_ms: Option<u64>,
    /// Caches turn over: it is not judged before the stage has lasted so long (2 × TTL).
    pub judged_after_ms: Option<u64>,
    /// The step is not through before the stage has lasted so long.
    pub through_after_ms: Option<u64>,
    /// What judges it.
    pub analysis: Vec<AnalysisLine>,
    /// The member's endpoints.
    pub endpoints: Vec<RolloutEndpoint>,
    /// What speaks against going on: endpoints of the record that are down, a pin.
    pub degraded: Vec<String>,
    /// The proposal that its weight waits in: `tradewind confirm N`.
    pub proposed: Option<u64>,
    /// The rollouts that follow.
    pub then: Vec<String>,
    /// Who began it.
    pub who: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub began: Option<String>,
    /// When it ended.
    pub ended: Option<String>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutStep {
    /// The member's share.
    pub share: f64,
    /// How long it lasts at least.
    pub bake_ms: u64,
    /// What comes after it: `promote` for somebody who promotes it.
    pub pause: Option<String>,
}

/// What was answered since the step's weight is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ObservedSplit {
    /// Answers that gave the member.
    pub answers: u64,
    /// All answers of the record.
    pub of: u64,
    /// Its part in them.
    pub share: f64,
    /// Where the true share lies, 19 times out of 20.
    pub low: f64,
    /// The same.
    pub high: f64,
}

/// How one analysis of a step goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalysisLine {
    /// Its name.
    pub name: String,
    /// `prometheus`, `http`, `health latency` or `health errors`.
    pub source: String,
    /// The values that are good: `< 0.01`.
    pub wanted: String,
    /// The last look: a value, or why there is none.
    pub last: Option<String>,
    /// What that was: `Successful`, `Failed`, `Inconclusive` or `Error`.
    pub result: Option<String>,
    /// What all looks come to so far; absent while more has to be seen.
    pub verdict: Option<String>,
    /// Good values.
    pub successful: u32,
    /// Bad ones.
    pub failed: u32,
    /// Those that are neither.
    pub inconclusive: u32,
    /// Looks in vain since the last value.
    pub errors: u32,
    /// Values that are wanted; absent if as many as the step lasts.
    pub count: Option<u32>,
}

/// One endpoint of the member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutEndpoint {
    /// `zone/pool/endpoint`.
    pub name: String,
    /// How it stands.
    pub verdict: String,
    /// How long the 95 % quickest of its answers took of late.
    pub p95_ms: Option<f64>,
}

/// `GET /v1/rollouts/NAME/patch`: what the files have to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutPatch {
    /// How the rollout stands.
    pub rollout: RolloutLine,
    /// The lines to change; absent where the files say it already, or no zone file has the record.
    pub patch: Option<PatchLine>,
}

/// Lines of a file to change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PatchLine {
    /// The file, relative to the operator's folder.
    pub file: String,
    /// The number of the first line that changes, from 1.
    pub line: usize,
    /// The lines as they are.
    pub before: Vec<String>,
    /// The lines as they are to be.
    pub after: Vec<String>,
}
