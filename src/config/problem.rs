//! What is wrong with the operator's files: one [`Problem`] each, all of them in [`Problems`].
//!
//! A problem says what, where, and what to do about it. It knows bytes of files, not how they
//! are shown: [`super::render`] does that.

use std::{ops::Range, path::Path, sync::Arc};

/// Whether a file can be used in spite of the problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but will hardly do what was meant.
    Warning,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the file can be used in spite of it.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// The file it is in, relative to the operator's folder.
    pub file: Arc<Path>,
    /// The bytes it is about; none if it is about the file as such.
    pub span: Option<Range<usize>>,
    /// A word or two under the carets.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// What else is good to know.
    pub notes: Vec<String>,
    /// Other places it has to do with.
    pub related: Vec<Related>,
}

/// Another place a problem has to do with, such as the first of two definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The file it is in.
    pub file: Arc<Path>,
    /// The bytes it is about.
    pub span: Range<usize>,
    /// What is there.
    pub label: String,
}

impl Problem {
    /// An error about `span` of `file`.
    pub fn error(file: &Arc<Path>, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem {
            severity: Severity::Error,
            message: message.into(),
            file: file.clone(),
            span: Some(span),
            label: None,
            help: None,
            notes: Vec::new(),
            related: Vec::new(),
        }
    }
    /// A warning about `span` of `file`.
    pub fn warning(file: &Arc<Path>, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(file, span, message) }
    }
    /// An error about `file` as such.
    pub fn of_file(file: &Arc<Path>, message: impl Into<String>) -> Self {
        Problem { span: None, ..Problem::error(file, 0..0, message) }
    }
    /// The same with a word or two under the carets.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }
    /// The same with what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    /// The same with one more thing that is good to know.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
    /// The same with one more place it has to do with.
    pub fn related(
        mut self,
        file: &Arc<Path>,
        span: Range<usize>,
        label: impl Into<String>,
    ) -> Self {
        self.related.push(Related { file: file.clone(), span, label: label.into() });
        self
    }
    /// A word that names nothing: "no such `what` `word`; did you mean …?", or what there is.
    pub fn unknown<'c>(
        file: &Arc<Path>,
        span: Range<usize>,
        what: &str,
        word: &str,
        candidates: impl IntoIterator<Item = &'c str> + Clone,
    ) -> Self {
        /// More names than this are a wall, not a help.
        const NAMES_SHOWN: usize = 12;
        if let Some(meant) = super::nearest(word, candidates.clone()) {
            let message = format!("no such {what} `{word}`; did you mean `{meant}`?");
            return Problem::error(file, span, message);
        }
        let mut names: Vec<&str> = candidates.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        let more = names.len().saturating_sub(NAMES_SHOWN);
        names.truncate(NAMES_SHOWN);
        let listed = names.join("`, `");
        let problem = Problem::error(file, span, format!("no such {what} `{word}`"));
        match (names.is_empty(), more) {
            (true, _) => problem.help(format!("no {what} is defined")),
            (false, 0) => problem.help(format!("there is `{listed}`")),
            (false, more) => problem.help(format!("there is `{listed}` and {more} more")),
        }
    }

    /// Whether it makes the file unusable.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Everything found to be wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }
    /// Adds all of `others`.
    pub fn append(&mut self, others: Problems) {
        self.0.extend(others.0);
    }
    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(Problem::is_error)
    }
    /// How many errors and how many warnings.
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.0.iter().filter(|problem| problem.is_error()).count();
        (errors, self.0.len() - errors)
    }
    /// Whether nothing is wrong at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// In the order they were found, or, after [`Self::sort`], of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
    /// Orders them by file and position, and drops repetitions: a shared definition is looked at
    /// once for each of its users.
    pub fn sort(&mut self) {
        let place = |problem: &Problem| problem.span.clone().map_or((0, 0), |s| (s.start, s.end));
        self.0.sort_by(|a, b| (&a.file, place(a)).cmp(&(&b.file, place(b))));
        self.0.dedup();
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.0.extend(problems);
    }
}
