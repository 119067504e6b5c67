//! What `status` prints: how everything stands, and what somebody should look at.

use super::{drill, files::ProblemLine, hand, health::TargetFacts, node, rollout};
use crate::control::residual::Left;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `tradewind status`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION).
    pub schema_version: u32,
    /// All of it in one sentence.
    pub sentence: String,
    /// Why `/readyz` says no; empty when it says yes.
    pub not_ready: Vec<String>,
    /// What else someone should look at, though everything is answered: the state database.
    pub alarms: Vec<String>,
    /// The server's version.
    pub version: String,
    /// When the process started.
    pub started: String,
    /// When this was written.
    pub now: String,
    /// The accepted set of files in force; 0 = none yet.
    pub revision: u64,
    /// SHA-256 of what these files have in common with those of other servers for the same zones:
    /// all but what each says of its own process.
    #[serde(default)]
    pub content_hash: String,
    /// When it came into force.
    pub revision_since: String,
    /// Worlds published so far.
    pub swap: u64,
    /// First health results are awaited; steered names are not answered yet.
    pub warming: bool,
    /// The zones.
    pub zones: Vec<ZoneStatus>,
    /// The pools in use.
    pub pools: Vec<PoolStatus>,
    /// Every address or name that may be answered.
    pub endpoints: Vec<EndpointStatus>,
    /// Failovers and their active members.
    pub failovers: Vec<FailoverStatus>,
    /// Falls that the breaker keeps from taking effect.
    pub held: Vec<HeldLine>,
    /// All automation is frozen, by `tradewind pin` or the file `state/PIN`.
    pub pinned: bool,
    /// Overrides of operators, those to come included: `tradewind overrides`.
    pub overrides: usize,
    /// Changes that wait for a second person.
    pub proposals: usize,
    /// The drill that runs: what is told of failures may be its doing.
    #[serde(default)]
    pub drill: Option<drill::RunningLine>,
    /// Hooks and how they go.
    pub hooks: Vec<HookLine>,
    /// Regions whose answers go elsewhere because something is down.
    pub elsewhere: Vec<Elsewhere>,
    /// Records answered on other grounds than health.
    pub last_resort: Vec<LastResort>,
    /// The checker itself is in trouble.
    pub checker_impaired: Option<Impaired>,
    /// Rollouts under way, and those that ended and whose weights the files do not have yet.
    #[serde(default)]
    pub rollouts: Vec<rollout::RolloutLine>,
    /// Weights that are served and that the files in force do not say.
    #[serde(default)]
    pub weights: Vec<hand::WeightLine>,
    /// Changes whose old answers may still be kept by resolvers, newest first.
    pub old_answers: Vec<OldAnswers>,
    /// The other servers for the same zones, and where they differ.
    #[serde(default)]
    pub peers: Vec<node::PeerLine>,
    /// The newest load of files was refused; what was in force before still is.
    pub refused: bool,
    /// What is wrong with the files as they were last loaded.
    pub problems: Vec<ProblemLine>,
}

/// A zone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ZoneStatus {
    /// The apex.
    pub zone: String,
    /// Whether it is answered from its newest files.
    pub state: ZoneState,
    /// Steered records.
    pub records: usize,
}

/// Which files a zone is answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ZoneState {
    /// The newest.
    Current,
    /// Its last good ones: the newest do not compile.
    Held,
    /// None: it never compiled and is answered with SERVFAIL.
    NeverCompiled,
}

/// A pool.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PoolStatus {
    /// `zone/pool`.
    pub pool: String,
    /// Whether policies may use it.
    pub available: bool,
    /// Endpoints that are up.
    pub up: usize,
    /// Endpoints it has.
    pub endpoints: usize,
}

/// One address or name with a verdict.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EndpointStatus {
    /// `zone/pool/endpoint`.
    pub endpoint: String,
    /// The address or name answered.
    pub address: String,
    /// Its region, where it has one.
    pub region: Option<String>,
    /// `up`, `degraded`, `down`, `drained`, `unknown`.
    pub verdict: String,
    /// Whether its last probe failed, fallen or not.
    pub failing: bool,
    /// Why it stands so.
    pub reason: String,
    /// Since when.
    pub since: String,
    /// The last probe of the target that judges it; absent without check.
    pub last_probe: Option<ProbeLine>,
    /// What else is known of that target.
    #[serde(flatten)]
    pub target: TargetFacts,
}

/// One probe.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProbeLine {
    /// When it started.
    pub at: String,
    /// How long it took.
    pub took_ms: f64,
    /// What came of it.
    pub outcome: String,
}

/// A failover.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FailoverStatus {
    /// `zone/record` or `zone/policy`.
    pub failover: String,
    /// The member answered while it is available.
    pub active: String,
    /// The member it would rather use.
    pub preferred: String,
    /// `primary`, `standby`, `failing-over`, `failback-pending`, `failing-back`, `held`.
    pub phase: String,
    /// The move that waits, if one does.
    pub waits: Option<WaitLine>,
    /// The member that clients are leaving, while a ramp runs.
    pub leaving: Option<LeavingLine>,
}

impl FailoverStatus {
    /// For people: what it waits for, and what ends that.
    pub fn words(&self) -> String {
        let FailoverStatus { failover, active, phase, waits, .. } = self;
        let Some(WaitLine { to, what, due_in_s, by_approval }) = waits else {
            return format!("{failover} stands at {active} ({phase})");
        };
        let due = due_in_s.map_or_else(String::new, |due| format!(" for {due:.0} s more"));
        let how = match by_approval {
            true => format!(" (`tradewind approve record:{failover}`)"),
            false => String::new(),
        };
        format!("{failover} stands at {active}, its move to {to} {what}{due}{how}")
    }
}

/// A move of a failover that waits.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WaitLine {
    /// Where to.
    pub to: String,
    /// What for: `waits for approval`.
    pub what: String,
    /// When that is over by itself.
    pub due_in_s: Option<f64>,
    /// Whether `tradewind approve` ends it.
    pub by_approval: bool,
}

/// A ramp between two members.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LeavingLine {
    /// The member that is left.
    pub from: String,
    /// The share of its clients that has moved: 0..=1.
    pub moved: f64,
}

/// How a hook goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HookLine {
    /// Its name.
    pub name: String,
    /// Incidents it was told of.
    pub delivered: u64,
    /// Incidents it was not told of, whatever was tried.
    pub failed: u64,
    /// Events that were gone before it could be told.
    pub missed: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Falls that do not take effect.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldLine {
    /// Why.
    pub why: String,
    /// How many.
    pub falls: usize,
    /// When they take effect by themselves, if they do.
    pub ends_in_s: Option<f64>,
}

impl HeldLine {
    /// For people, with the way out.
    pub fn words(&self) -> String {
        let HeldLine { why, falls, ends_in_s } = self;
        let ends = ends_in_s.map_or_else(String::new, |s| format!(" for {s:.0} s more"));
        let (are, them) = match falls {
            1 => ("fall is", "it"),
            _ => ("falls are", "them"),
        };
        format!("{falls} {are} held{ends} ({why}; `tradewind confirm --falls` lets {them} through)")
    }
}

/// A region that some records would answer, were everything up, and do not.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Elsewhere {
    /// The region.
    pub region: String,
    /// Records that do not answer it now.
    pub records: usize,
    /// Records that would.
    pub of: usize,
}

/// A record with nothing healthy to answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LastResort {
    /// `zone/record`.
    pub record: String,
    /// What it answers by, for some of its clients at least: `ignoring-min-healthy`,
    /// `failover-waits`, or `all-down` with what that came to.
    pub basis: String,
}

/// How much traffic is still on the answer before a change.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OldAnswers {
    /// The change: `gtm.example.com/app: iad → dub`.
    pub change: String,
    /// The World that carried it.
    pub swap: u64,
    /// How long ago it was.
    pub ago_s: f64,
    /// The longest that an old answer may be kept.
    pub ttl_s: f64,
    /// When the last old answer runs out; absent while some are still given.
    #[serde(default)]
    pub ends_in_s: Option<f64>,
    /// What is left by TTL and time: 0..=1.
    pub computed: f64,
    /// What is left by the queries that came since; absent where too few came before to tell.
    pub observed: Option<f64>,
}

impl OldAnswers {
    /// For people: `about 40 % of its clients may still be on the old answer (12 s to go)`.
    pub fn words(&self) -> String {
        let percent = (self.observed.unwrap_or(self.computed).min(self.computed) * 100.0).ceil();
        let change = &self.change;
        let until = match self.ends_in_s {
            Some(to_go) => format!("for {} s more", to_go.ceil()),
            None => "while they move little by little".to_owned(),
        };
        format!("after {change}, {percent} % of clients may be on the old answer {until}")
    }
}

impl From<&Left> for OldAnswers {
    fn from(left: &Left) -> Self {
        OldAnswers {
            change: left.what.to_string(),
            swap: left.swap,
            ago_s: left.ago.as_secs_f64(),
            ttl_s: left.ttl.as_secs_f64(),
            ends_in_s: left.ends_in.map(|rest| rest.as_secs_f64()),
            computed: left.computed,
            observed: left.observed,
        }
    }
}

/// Trouble of the checker's own.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Impaired {
    /// Targets whose last probe proved nothing.
    pub targets: usize,
    /// Why, as one of them saw it.
    pub reason: String,
}
