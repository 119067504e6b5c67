//! What became of a load.

use crate::{config::render::ProblemJson, control::hand::safety::Violation, units::Ttl};
use std::{path::Path, sync::Arc, time::SystemTime};

/// What became of a reload or rollback, for whoever asked.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether files were accepted, with zones held back or not.
    pub accepted: bool,
    /// The revision in force now.
    pub revision: u64,
    /// SHA-256 of what it has in common with that of other servers for the same zones; empty
    /// before there is one. Numbers of revisions are each server's own.
    pub hash: Arc<str>,
    /// The revision that was in force before.
    pub before: u64,
    /// The World it came with.
    pub swap: u64,
    /// The longest that resolvers keep steered answers of before.
    pub ttl: Ttl,
    /// When files were accepted last; absent before they were.
    pub accepted_at: Option<SystemTime>,
    /// The files are the ones already in force; nothing was done.
    pub unchanged: bool,
    /// What was planned cannot be applied any more, and why.
    pub moved: Option<String>,
    /// Safety rules that it goes over; or that forbid it, where it was not accepted for that.
    pub broke: Vec<Violation>,
    /// The operator's folder, where it holds other files than the kept ones that were gone back to.
    pub apart: Option<Arc<Path>>,
    /// Zones which keep their last good version.
    pub held: Vec<Arc<str>>,
    /// Zones served.
    pub zones: usize,
    /// Steered records.
    pub records: usize,
    /// Errors and warnings, for machines.
    pub problems: Vec<ProblemJson>,
    /// How many of them are errors.
    pub errors: usize,
    /// The same drawn with source lines and carets, for people.
    pub rendered: String,
}

impl Default for Report {
    fn default() -> Report {
        Report {
            accepted: false,
            revision: 0,
            hash: "".into(),
            before: 0,
            swap: 0,
            ttl: Ttl::from_secs(0),
            accepted_at: None,
            unchanged: false,
            moved: None,
            broke: Vec::new(),
            apart: None,
            held: Vec::new(),
            zones: 0,
            records: 0,
            problems: Vec::new(),
            errors: 0,
            rendered: String::new(),
        }
    }
}

impl Report {
    /// Takes over the refusal and the zones held back that `before` told of: for a load that did
    /// not look at the files they come from.
    pub(in crate::control) fn keep_alarms_of(&mut self, before: &Report) {
        if before.accepted && before.held.is_empty() {
            return;
        }
        self.accepted &= before.accepted;
        let more = before.held.iter().filter(|zone| !self.held.contains(zone)).cloned();
        self.held = more.chain(self.held.iter().cloned()).collect();
        self.errors += before.errors;
        self.rendered.insert_str(0, &before.rendered);
        self.problems.splice(0..0, before.problems.iter().cloned());
    }
}
