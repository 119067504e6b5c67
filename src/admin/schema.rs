//! What `--json` prints and the control socket speaks: a promise, so it has a version.
//!
//! Every inner type is turned into one of these by hand; nothing further in is serialisable.
//! Fields are added freely; to rename or drop one, raise [`SCHEMA_VERSION`]. Times are RFC 3339
//! in UTC, durations end in their unit, shares are 0..=1. Past 500 lines: a flat list of types.

pub mod audit;
pub mod drill;
pub mod forecast;
pub mod hand;
pub mod health;
pub mod names;
pub mod node;
pub mod plan;
pub mod rollout;
pub mod things;

use self::health::TargetFacts;
use crate::{
    clock::Moment,
    config::render::ProblemJson,
    control::{
        Report,
        event::{Event, EventKind},
        residual::Left,
        revisions::Manifest,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use utoipa::ToSchema;

/// Version of everything in this file.
pub const SCHEMA_VERSION: u32 = 1;

/// `tradewind status`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// [`SCHEMA_VERSION`].
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

/// One thing that is wrong with the operator's files.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemLine {
    /// `error` or `warning`.
    pub severity: String,
    /// The file, relative to the operator's folder.
    pub file: String,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// `tradewind reload` and `rollback REV`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReloadReply {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whether files were accepted, zones held back or not.
    pub accepted: bool,
    /// The files are the ones already in force.
    pub unchanged: bool,
    /// The revision in force now.
    pub revision: u64,
    /// SHA-256 of what it has in common with that of other servers for the same zones.
    #[serde(default)]
    pub content_hash: String,
    /// The revision that was in force before.
    #[serde(default)]
    pub before: u64,
    /// The World it came with.
    #[serde(default)]
    pub swap: u64,
    /// How long resolvers keep steered answers of before, at the longest.
    #[serde(default)]
    pub ttl_secs: u32,
    /// The server's folder, if its files are not those of the revision that was gone back to: the
    /// next reload, or `watch`, loads them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder_apart: Option<String>,
    /// The command lines that undo it.
    #[serde(default)]
    pub undo: Vec<String>,
    /// Zones that keep their last good version.
    pub held: Vec<String>,
    /// Zones served.
    pub zones: usize,
    /// Steered records.
    pub records: usize,
    /// What is wrong.
    pub problems: Vec<ProblemLine>,
    /// The same with source lines and carets.
    pub rendered: String,
}

/// One kept revision: a line of `tradewind rollback`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RevisionLine {
    /// Its number.
    pub revision: u64,
    /// Whether it is the one in force.
    pub current: bool,
    /// When it was accepted.
    pub accepted: String,
    /// What asked for it.
    pub cause: String,
    /// How many files it has.
    pub files: usize,
    /// SHA-256 of the whole set, in hexadecimal.
    pub hash: String,
    /// SHA-256 of what it has in common with that of other servers for the same zones.
    #[serde(default)]
    pub content_hash: String,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventLine {
    /// Counts up from 1, over restarts too; leaves some numbers out after a crash.
    pub seq: u64,
    /// Which run of the server: counts up with each start.
    pub boot: u64,
    /// When, since the start of that run.
    pub offset_ms: f64,
    /// When, for people.
    pub at: String,
    /// The World that carries it.
    pub swap: u64,
    /// Events written down together share the number of their first.
    pub incident: u64,
    /// Its kind: `loaded`, `refused`, `verdict`, `failover`, `basis`, `published`, `geoip`,
    /// `demo`, `store`, `hook`, …
    pub event: String,
    /// Whether someone should look.
    pub alarm: bool,
    /// The log line.
    pub text: String,
    /// The operator behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What it is about: the endpoint, failover, record, region or hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// For a verdict: when the probe that decided it ended, on the same clock as `offset_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_ms: Option<f64>,
    /// For a publication: how long it took from its first cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// For a publication: what was published together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<IncidentSummary>,
}

/// What an incident came to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IncidentSummary {
    /// How many of each: `verdict down`, `failover`, …
    pub counts: BTreeMap<String, usize>,
    /// What the first 20 of them are about.
    pub names: Vec<String>,
}

/// `tradewind explain`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// All of it in one sentence.
    pub sentence: String,
    /// The name asked about.
    pub name: String,
    /// The type asked for.
    pub rtype: String,
    /// The client, as a network.
    pub client: String,
    /// What was supposed (`--what-if`).
    pub supposed: Vec<String>,
    /// The zone that answers, if one does.
    pub zone: Option<String>,
    /// How.
    pub outcome: Outcome,
    /// The owner in the zone when it is not the name itself: a wildcard, a cut, a DNAME.
    pub owner: Option<String>,
    /// What the zone's own data says, as zone file lines.
    pub records: Vec<String>,
    /// Remarks.
    pub notes: Vec<String>,
    /// The steering, where the name is steered.
    pub steering: Option<Steered>,
}

/// How a name is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// By its policies.
    Steered,
    /// From the zone's own data.
    Static,
    /// The name exists, without the type.
    NoData,
    /// There is no such name.
    NxDomain,
    /// With a referral.
    Delegation,
    /// With a DNAME and the CNAME made from it.
    Dname,
    /// With SERVFAIL: its zone never compiled.
    ServFail,
    /// With REFUSED: no zone of ours.
    #[default]
    Refused,
}

/// The steered part of an explanation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Steered {
    /// `zone/record`.
    pub record: String,
    /// Where the client was found; absent when the record does not depend on it.
    pub place: Option<Place>,
    /// Every candidate in the order it was looked at, parents before children.
    pub steps: Vec<StepLine>,
    /// How the clients of this class are divided, level by level.
    pub members: Vec<MemberShare>,
    /// Every answer with its exact share of those clients.
    pub answers: Vec<AnswerShare>,
    /// How one is picked for this client.
    pub draw: DrawLine,
    /// Seconds the answer may be kept.
    pub ttl_s: u32,
    /// Why so long.
    pub ttl_why: String,
    /// The ECS scope that goes with it.
    pub scope: u8,
    /// Why it is so.
    pub scope_why: String,
    /// `healthy`, `ignoring-min-healthy`, `failover-waits` or `all-down`.
    pub basis: String,
}

/// A row of the client map.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// Whether the map knows this space; else the default class is used.
    pub known: bool,
    /// The widest prefix around the client whose known space is all of its class.
    pub prefix: String,
    /// What the location database says.
    pub location: Option<String>,
    /// The prefix it says that of.
    pub location_prefix: Option<String>,
    /// Which database.
    pub database: Option<String>,
    /// Networks of `subnet:` rules and latency tables that hold the client, longest first.
    pub networks: Vec<String>,
    /// The class.
    pub class: u16,
    /// How many classes the map tells apart.
    pub classes: usize,
}

/// One candidate, or a remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepLine {
    /// How deep in the tree.
    pub depth: u8,
    /// What became of it.
    pub mark: StepMark,
    /// The candidate; empty for a remark.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepMark {
    /// It may be answered.
    Kept,
    /// It may not.
    Dropped,
    /// A remark.
    Note,
}

/// A member's part of a draw.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MemberShare {
    /// How deep in the tree.
    pub depth: u8,
    /// The member or endpoint; `(the rest)` for those outside exact shares.
    pub name: String,
    /// Its weight as written.
    pub weight: u64,
    /// Its exact share of this class's clients.
    pub share: f64,
}

/// One possible answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnswerShare {
    /// Its exact share of this class's clients.
    pub share: f64,
    /// The records' data in order; empty is NODATA.
    pub records: Vec<String>,
    /// The endpoint in front, `zone/pool/endpoint`.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Whether this client gets this one every time.
    pub this_client: bool,
}

/// How an answer is picked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DrawLine {
    /// By what.
    pub by: DrawnBy,
    /// For a sticky draw: the network that counts as one client.
    pub network: Option<String>,
    /// For a sticky draw: the members this client is given, outermost first.
    pub path: Vec<String>,
}

/// What decides between several answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DrawnBy {
    /// There is only one.
    Nothing,
    /// The dice, for each query anew.
    Chance,
    /// The client: always the same one.
    Client,
}

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

/// Milliseconds since the server's start.
fn offset_ms(at: Moment) -> f64 {
    ms(Duration::from_nanos(at.0))
}

/// In milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl From<&Report> for ReloadReply {
    fn from(report: &Report) -> Self {
        // Before the first there is nothing to go back to.
        let is_new = report.before > 0 && report.before != report.revision;
        let undo = is_new.then(|| format!("tradewind rollback {}", report.before));
        ReloadReply {
            schema_version: SCHEMA_VERSION,
            accepted: report.accepted,
            unchanged: report.unchanged,
            revision: report.revision,
            content_hash: report.hash.to_string(),
            before: report.before,
            swap: report.swap,
            ttl_secs: report.ttl.as_secs(),
            folder_apart: report.apart.as_ref().map(|dir| dir.display().to_string()),
            undo: undo.into_iter().collect(),
            held: report.held.iter().map(|zone| zone.to_string()).collect(),
            zones: report.zones,
            records: report.records,
            problems: problems(report),
            rendered: report.rendered.clone(),
        }
    }
}

impl From<&ProblemJson> for ProblemLine {
    fn from(problem: &ProblemJson) -> Self {
        ProblemLine {
            severity: problem.severity.to_owned(),
            file: problem.file.clone(),
            line: problem.line,
            column: problem.column,
            message: problem.message.clone(),
            help: problem.help.clone(),
        }
    }
}

/// What is wrong with the files of `report`.
pub fn problems(report: &Report) -> Vec<ProblemLine> {
    report.problems.iter().map(ProblemLine::from).collect()
}

impl RevisionLine {
    /// The line of `manifest` while `current` is in force.
    pub fn new(manifest: &Manifest, current: u64) -> Self {
        RevisionLine {
            revision: manifest.revision,
            current: manifest.revision == current,
            accepted: time(UNIX_EPOCH + Duration::from_secs(manifest.accepted)),
            cause: manifest.cause.clone(),
            files: manifest.files.len(),
            hash: manifest.hash.clone(),
            content_hash: manifest.shared.clone(),
        }
    }
}

impl From<&Event> for EventLine {
    fn from(event: &Event) -> Self {
        let facts = event.kind.facts();
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (mut decided_ms, mut took_ms) = (None, None);
        match &event.kind {
            EventKind::Verdict { decided, .. } => decided_ms = Some(offset_ms(*decided)),
            EventKind::Published { took, .. } => took_ms = Some(ms(*took)),
            _ => {}
        }
        EventLine {
            seq: event.seq,
            boot: event.boot,
            offset_ms: offset_ms(event.at),
            at: time(event.wall),
            swap: event.swap,
            incident: event.incident,
            event: event.kind.word().to_owned(),
            alarm: event.kind.is_alarm(),
            text: event.kind.to_string(),
            who: text(event.who.as_deref()),
            cause: text(facts.cause),
            subject: text(facts.subject),
            from: text(facts.before),
            to: text(facts.after),
            decided_ms,
            took_ms,
            summary: match &event.kind {
                EventKind::Published { summary, .. } => Some(IncidentSummary {
                    counts: summary.counts.iter().map(|(k, n)| (k.to_string(), *n)).collect(),
                    names: summary.names.iter().map(|name| name.to_string()).collect(),
                }),
                _ => None,
            },
        }
    }
}
