//! What is promised of drills: which there are, what one would do, the one that runs, those that
//! ran. Journals and reports are promises of their own ([`crate::drill::journal`],
//! [`crate::drill::report`]).

use super::{SCHEMA_VERSION, forecast::PreviewLine, time};
use crate::drill::{Listed, Plan, PlannedStep, Running, report::Trend};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A drill there is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DrillLine {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
    /// `simulate`, `shadow`, `canary`, `live`.
    pub mode: String,
    /// The file it is in.
    pub file: String,
    /// The most it may take.
    pub max_duration_ms: u64,
    /// Whether somebody must type its name.
    pub needs_ack: bool,
    /// How it went last.
    pub last: Option<RunLine>,
}

/// A run that is over.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunLine {
    /// Which: the time it began.
    pub run: String,
    /// `PASS`, `FAIL`, `ABORTED`.
    pub verdict: String,
    /// Its figures: milliseconds, or counts.
    pub measures: BTreeMap<String, f64>,
}

/// The drill that runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunningLine {
    /// Which.
    pub drill: String,
    /// Which run of it.
    pub run: String,
    /// `simulate`, `shadow`, `canary`, `live`.
    pub mode: String,
    /// `before`, `steps`, `after`.
    pub stage: String,
    /// Who started it.
    pub who: String,
    /// When.
    pub started: String,
    /// When it ends at the latest.
    pub until: String,
    /// What may change what it finds.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What an abort has come to so far.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AbortedLine {
    /// The drill.
    pub drill: String,
    /// Which run of it; absent where it ends before it has begun.
    pub run: Option<String>,
    /// Whether what it did is taken back; else that is under way.
    pub taken_back: bool,
    /// What could not be taken back, and why.
    #[serde(default)]
    pub left: Vec<String>,
}

/// How a drill is to be run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DrillRequest {
    /// Its name, typed by whoever means it.
    pub ack: Option<String>,
    /// Acknowledged without typing.
    pub yes: bool,
    /// A mode that does less than the file's.
    pub mode: Option<String>,
    /// Although something is degraded already.
    pub even_if_degraded: bool,
    /// Why, for the audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who says so, where several share one user.
    #[serde(rename = "as")]
    pub who: Option<String>,
}

/// What a drill would do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DrillPlan {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Which.
    pub drill: String,
    /// What it is for.
    pub description: Option<String>,
    /// `simulate`, `shadow`, `canary`, `live`.
    pub mode: String,
    /// Its steps.
    pub steps: Vec<PlannedLine>,
    /// Regions that stay up while all of them are on.
    pub regions_left: usize,
    /// Why it would not begin now.
    pub refused: Vec<String>,
    /// What keeps it from nothing, and may change what it finds.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What ends it.
    pub stops: Vec<String>,
    /// Budgets: milliseconds, or counts.
    pub budgets: BTreeMap<String, f64>,
}

/// What a step would do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlannedLine {
    /// Its id.
    pub id: String,
    /// In words.
    pub said: String,
    /// For how long; absent for what happens once.
    pub for_ms: Option<u64>,
    /// Endpoints, by address.
    pub endpoints: usize,
    /// Targets whose probes fail.
    pub targets: usize,
    /// How long until it counts as down.
    pub detect_ms: Option<u64>,
    /// The longest that resolvers keep old answers.
    pub ttl_secs: u32,
    /// Who would move if it went down.
    pub preview: Option<PreviewLine>,
}

impl From<&Running> for RunningLine {
    fn from(running: &Running) -> RunningLine {
        RunningLine {
            drill: running.drill.clone(),
            run: running.run.clone(),
            mode: running.mode.word().to_owned(),
            stage: running.stage().to_owned(),
            who: running.who.clone(),
            started: time(running.started),
            until: time(running.until),
            warnings: running.warnings.clone(),
        }
    }
}

impl From<&Trend> for RunLine {
    fn from(trend: &Trend) -> RunLine {
        RunLine {
            run: trend.run.clone(),
            verdict: trend.verdict.to_string(),
            measures: trend.measures.clone(),
        }
    }
}

impl From<&Listed> for DrillLine {
    fn from(Listed { def, last }: &Listed) -> DrillLine {
        DrillLine {
            name: def.name.get_ref().clone(),
            description: def.description.clone(),
            owner: def.owner.clone(),
            mode: def.mode.get_ref().word().to_owned(),
            file: def.file.display().to_string(),
            max_duration_ms: def.max_duration.get_ref().as_millis() as u64,
            needs_ack: def.needs_ack,
            last: last.as_ref().map(RunLine::from),
        }
    }
}

impl From<&Plan> for DrillPlan {
    fn from(Plan { def, steps, regions_left, refusals, warnings }: &Plan) -> DrillPlan {
        let step = |planned: &PlannedStep| {
            let step = &def.steps[planned.index];
            PlannedLine {
                id: step.id.get_ref().clone(),
                said: planned.said.clone(),
                for_ms: step.lasts.as_ref().map(|lasts| lasts.get_ref().as_millis() as u64),
                endpoints: planned.endpoints,
                targets: planned.targets,
                detect_ms: planned.detect.map(|time| time.as_millis() as u64),
                ttl_secs: planned.ttl_s,
                preview: planned.preview.as_ref().map(PreviewLine::from),
            }
        };
        DrillPlan {
            schema_version: SCHEMA_VERSION,
            drill: def.name.get_ref().clone(),
            description: def.description.clone(),
            mode: def.mode.get_ref().word().to_owned(),
            steps: steps.iter().map(step).collect(),
            regions_left: *regions_left,
            refused: refusals.iter().map(ToString::to_string).collect(),
            warnings: warnings.clone(),
            stops: def.stops.iter().map(|stop| stop.get_ref().text.clone()).collect(),
            budgets: def.budgets(),
        }
    }
}
