//! What `explain` prints: one answer to one client, step by step.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `tradewind explain`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION).
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
