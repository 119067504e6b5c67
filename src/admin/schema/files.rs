//! What came of loading files, what is wrong with them, and the revisions that are kept.

use super::{SCHEMA_VERSION, time};
use crate::{
    config::render::ProblemJson,
    control::{Report, revisions::Manifest},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, UNIX_EPOCH};
use utoipa::ToSchema;

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
