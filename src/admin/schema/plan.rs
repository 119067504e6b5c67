//! What the API speaks of changes before they are made: plans of other files, applying them, and
//! what would come of things that have not happened.

use super::{ProblemLine, ReloadReply, SCHEMA_VERSION, forecast::*, hand::ViolationLine};
use crate::{
    control::{
        plan::{Outcome, Plan},
        simulate::{BreakerView, Simulated},
    },
    forecast::{
        capacity::Load,
        difference::{Detail, Item, Sign},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/plan`: what would other files change?
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanRequest {
    /// The files; without them those in the server's own folder, as they are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileText>>,
    /// What clients are weighed by.
    pub weights: WeightsLine,
}

/// One file of the operator's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileText {
    /// Relative to the operator's folder: `zones/a.example.toml`.
    pub path: String,
    /// When it was last changed, in seconds since 1970.
    #[serde(default)]
    pub modified: u64,
    /// Its text.
    pub text: String,
}

/// What clients are weighed by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WeightsLine {
    /// By the address space that the location data know.
    #[default]
    Space,
    /// By the networks of clients that asked lately, as sampled.
    Observed,
    /// By these.
    Networks(SampleLine),
}

/// Networks of clients with weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleLine {
    /// What they are, for people.
    pub said: String,
    /// Each network, and how much it counts: above zero.
    pub networks: Vec<(String, f64)>,
}

/// What other files would change.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanReply {
    /// The version of this form.
    pub schema_version: u32,
    /// The revision it was compared with: `apply` refuses when another one is in force.
    pub base_revision: u64,
    /// SHA-256 of the files, in hexadecimal: `apply` refuses when they are others.
    pub hash: String,
    /// The same of what they have in common with those of other servers for the same zones, which
    /// have to hold files with this hash too.
    #[serde(default)]
    pub content_hash: String,
    /// The same of the files in force, if they are kept.
    #[serde(default)]
    pub base_content_hash: Option<String>,
    /// Whether anything would change.
    pub changes: bool,
    /// Files that are others than those in force.
    pub files: Vec<FileLine>,
    /// What is wrong with them.
    pub problems: Vec<ProblemLine>,
    /// The same with source lines and carets.
    pub rendered: String,
    /// How many of the problems are errors. Files with errors have no plan.
    pub errors: usize,
    /// Thing by thing, what would be another.
    pub items: Vec<ItemLine>,
    /// How many more there are, of which nothing is told.
    pub more: usize,
    /// Things added, changed and removed.
    pub added: usize,
    /// Things changed.
    pub changed: usize,
    /// Things removed.
    pub removed: usize,
    /// What would follow for clients.
    pub effect: EffectLine,
}

/// What would follow for clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EffectLine {
    /// Who would move, of the records whose clients may get something else.
    pub preview: PreviewLine,
    /// Records that would be there no more: whoever asks for one gets what is left at its name.
    #[serde(default)]
    pub gone: usize,
    /// Pools with a capacity that these records send clients to.
    pub capacity: Vec<CapacityLine>,
    /// Safety rules it would break.
    pub broke: Vec<ViolationLine>,
    /// Resolvers go on giving old answers for so long at most.
    pub ttl_secs: u32,
}

/// One file that is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileLine {
    /// What became of it.
    pub sign: SignWord,
    /// Relative to the operator's folder.
    pub path: String,
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignWord {
    /// It is new.
    Added,
    /// It is another.
    Changed,
    /// It is gone.
    Removed,
}

/// One thing that would be another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemLine {
    /// What becomes of it.
    pub sign: SignWord,
    /// What it is: `zone`, `record`, `policy`, `pool`, `static`, `region`, `safety rule`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Of how many more of its kind the same is true.
    pub others: usize,
    /// How it changes.
    pub details: Vec<DetailLine>,
}

/// One point in which a thing changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DetailLine {
    /// What becomes of it.
    pub sign: SignWord,
    /// In words: `member canary: weight 10 → 20`.
    pub text: String,
}

/// A pool against its capacity, at the record that sends it most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CapacityLine {
    /// The pool.
    pub pool: String,
    /// The record.
    pub record: String,
    /// The share of the record's clients that it gets.
    pub share: ChangeLine,
    /// The largest share it is meant to take.
    pub limit: f64,
    /// Whether that is too much.
    pub over: bool,
}

/// `POST /v1/apply`: load the files of the server's folder, if they are what was planned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The revision the plan was made over.
    pub base_revision: u64,
    /// The hash of the files that were planned.
    pub hash: String,
    /// Over safety rules; needs a reason.
    #[serde(default)]
    pub break_glass: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who, where several share one user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
}

/// What came of applying a plan.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApplyReply {
    /// The version of this form.
    pub schema_version: u32,
    /// What was loaded, or why it was not.
    pub loaded: ReloadReply,
    /// SHA-256 of the files in force now.
    pub hash: String,
    /// Resolvers go on giving old answers for so long at most.
    pub ttl_secs: u32,
    /// Safety rules it went over.
    pub broke: Vec<ViolationLine>,
    /// The command lines that undo it.
    pub undo: Vec<String>,
}

/// `POST /v1/simulate`: what would come of this, all at once? The lists hold what the command line
/// takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimulateRequest {
    /// Targets that fail their checks: `region:us-east-1`.
    pub down: Vec<String>,
    /// Targets that pass them.
    pub up: Vec<String>,
    /// Targets that work badly.
    pub degraded: Vec<String>,
    /// Targets that an operator drains.
    pub drain: Vec<String>,
    /// Weights that an operator gives: `record:a.example/www canary=50`, `endpoint:a/b/c 3`.
    pub weight: Vec<String>,
    /// Members that an operator prefers: `record:a.example/app dub`.
    pub failover: Vec<String>,
    /// Members of latency policies that are further, or nearer: `nrt=-5ms`.
    pub bias: Vec<String>,
    /// What clients are weighed by.
    pub weights: WeightsLine,
}

/// What would come of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SimulateReply {
    /// The version of this form.
    pub schema_version: u32,
    /// What was supposed.
    pub supposed: Vec<String>,
    /// What would follow for clients.
    pub effect: EffectLine,
    /// Failovers that would wait, and what ends that.
    pub waiting: Vec<String>,
    /// What the breaker would do.
    pub breaker: Option<BreakerLine>,
    /// A failure is noticed after so long at most.
    pub detection_secs: Option<f64>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// How a failure would look to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BreakerLine {
    /// Regions (or pools, where none is set) that would lose their last endpoint.
    pub lost: usize,
    /// Of how many.
    pub groups: usize,
    /// Whether that is so much that it would be held until confirmed, or for `hold_secs`.
    pub holds: bool,
    /// For how long.
    pub hold_secs: u64,
}

impl From<&Plan> for PlanReply {
    fn from(plan: &Plan) -> Self {
        let difference = plan.outcome.as_ref().map(|outcome| &outcome.difference);
        let [added, changed, removed] = difference.map(|all| all.counts).unwrap_or_default();
        let hash = plan.hash.to_string();
        let file = |(sign, path): &(Sign, std::path::PathBuf)| FileLine {
            sign: (*sign).into(),
            path: path.to_string_lossy().into_owned(),
        };
        PlanReply {
            schema_version: SCHEMA_VERSION,
            base_revision: plan.base,
            changes: match &plan.base_hash {
                Some(base) => *base != hash,
                // Those in force are kept a moment after they are, unless the disk is full: until
                // then what they answer is all there is to compare.
                None => difference.is_none_or(|all| all.counts.iter().any(|&count| count > 0)),
            },
            hash,
            content_hash: plan.shared.to_string(),
            base_content_hash: plan.base_shared.clone(),
            files: plan.files.iter().map(file).collect(),
            problems: plan.problems.iter().map(ProblemLine::from).collect(),
            rendered: plan.rendered.clone(),
            errors: plan.errors,
            items: difference.iter().flat_map(|all| &all.items).map(ItemLine::from).collect(),
            more: difference.map_or(0, |all| all.more),
            added,
            changed,
            removed,
            effect: plan.outcome.as_ref().map(EffectLine::from).unwrap_or_default(),
        }
    }
}

impl From<&Outcome> for EffectLine {
    fn from(outcome: &Outcome) -> Self {
        EffectLine {
            preview: PreviewLine::from(&outcome.preview),
            gone: outcome.difference.gone.len(),
            capacity: outcome.loads.iter().map(CapacityLine::from).collect(),
            broke: outcome.broke.iter().map(ViolationLine::from).collect(),
            ttl_secs: outcome.ttl.as_secs(),
        }
    }
}

impl SimulateReply {
    /// What would come of what was `supposed`.
    pub(in crate::admin) fn new(simulated: &Simulated, supposed: Vec<String>) -> Self {
        SimulateReply {
            schema_version: SCHEMA_VERSION,
            supposed,
            effect: EffectLine::from(&simulated.outcome),
            waiting: simulated.waiting.clone(),
            breaker: simulated.breaker.map(BreakerLine::from),
            detection_secs: simulated.detection.map(|detection| detection.as_secs_f64()),
            notes: simulated.notes.clone(),
        }
    }
}

impl From<BreakerView> for BreakerLine {
    fn from(view: BreakerView) -> Self {
        let BreakerView { lost, groups, holds, hold } = view;
        BreakerLine { lost, groups, holds, hold_secs: hold.as_secs() }
    }
}

impl From<&Load> for CapacityLine {
    fn from(load: &Load) -> Self {
        CapacityLine {
            pool: load.pool.to_string(),
            record: load.record.to_string(),
            share: load.share.into(),
            limit: load.limit,
            over: load.is_over(),
        }
    }
}

impl From<&Item> for ItemLine {
    fn from(item: &Item) -> Self {
        ItemLine {
            sign: item.sign.into(),
            kind: item.kind.to_owned(),
            name: item.name.clone(),
            others: item.others,
            details: item.details.iter().map(DetailLine::from).collect(),
        }
    }
}

impl From<&Detail> for DetailLine {
    fn from(detail: &Detail) -> Self {
        DetailLine { sign: detail.sign.into(), text: detail.text.clone() }
    }
}

impl From<Sign> for SignWord {
    fn from(sign: Sign) -> Self {
        match sign {
            Sign::Added => SignWord::Added,
            Sign::Changed => SignWord::Changed,
            Sign::Removed => SignWord::Removed,
        }
    }
}
