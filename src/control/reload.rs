//! Files in, one of two things out: a set that is accepted, or everything that is wrong with it.
//!
//! The zone is the unit of failure: one that does not compile keeps its last good version, all
//! others move on. Errors in anything else hold everything back.

use std::sync::Arc;

/// What became of a reload or rollback, for whoever asked.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Whether files were accepted, with zones held back or not.
    pub accepted: bool,
    /// The revision in force now.
    pub revision: u64,
    /// The files are the ones already in force; nothing was done.
    pub unchanged: bool,
    /// Zones which keep their last good version.
    pub held: Vec<Arc<str>>,
    /// Zones served.
    pub zones: usize,
    /// Steered records.
    pub records: usize,
    /// Errors and warnings, for machines.
    pub problems: Vec<ReportedProblem>,
    /// The same drawn with source lines and carets, for people.
    pub rendered: String,
}

/// One problem, for machines.
#[derive(Clone, Debug, Default)]
pub struct ReportedProblem {
    /// Whether it is an error; else a warning.
    pub error: bool,
    /// File, relative to the operator's folder.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column, from 1; 0 when the whole line is meant.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}
