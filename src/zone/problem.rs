//! What is wrong with a zone, said so that the operator can mend it: file, line, remedy.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file.
    pub file: Arc<Path>,
    /// Its line, from 1.
    pub line: u32,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Whether a zone can be served in spite of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Served as written, or nearly so; worth a look.
    Warning,
    /// The zone is refused.
    Error,
}

/// One thing wrong with a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneProblem {
    /// The file it was found in.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: u32,
    /// The column in bytes, from 1; 1 where only the line is known.
    pub column: u32,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether it refuses the zone.
    pub severity: Severity,
}

impl ZoneProblem {
    /// An error about the line at `at`.
    pub fn error(at: &At, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, at, message.into())
    }

    /// A warning about the line at `at`.
    pub fn warning(at: &At, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, at, message.into())
    }

    fn new(severity: Severity, at: &At, message: String) -> Self {
        ZoneProblem {
            file: at.file.clone(),
            line: at.line,
            column: 1,
            message,
            help: None,
            severity,
        }
    }

    /// The same, with a remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, pointing at a column (from 1).
    #[must_use]
    pub fn column(mut self, column: u32) -> Self {
        self.column = column;
        self
    }
}

/// Many problems of one kind, which are told as one: the first, and how many there are more.
#[derive(Debug, Default)]
pub(super) struct Told {
    first: Option<(At, String)>,
    more: usize,
}

impl Told {
    /// Notes one; `message` is only asked if it is the first.
    pub(super) fn note(&mut self, at: At, message: impl FnOnce() -> String) {
        match self.first {
            None => self.first = Some((at, message())),
            Some(_) => self.more += 1,
        }
    }

    /// As an error, if there was any.
    pub(super) fn error(self, help: &str) -> Option<ZoneProblem> {
        self.tell(Severity::Error, help)
    }

    /// As a warning, if there was any.
    pub(super) fn warning(self, help: &str) -> Option<ZoneProblem> {
        self.tell(Severity::Warning, help)
    }

    fn tell(self, severity: Severity, help: &str) -> Option<ZoneProblem> {
        let (at, message) = self.first?;
        let message = match self.more {
            0 => message,
            more => format!("{message}; and {more} more of the kind"),
        };
        Some(ZoneProblem::new(severity, &at, message).help(help))
    }
}

impl fmt::Display for ZoneProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        write!(f, "{file}:{}:{}: {}", self.line, self.column, self.message)
    }
}
