//! Problems as people and machines read them.
//!
//! For people as a compiler draws them (file, line, column, the source line with carets, help),
//! for machines as JSON. Both find line and column in the [`Sources`] the problem came from.

use super::{Problem, Problems, Severity, Sources};
use annotate_snippets::{
    AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle,
};
use serde::Serialize;
use std::{collections::BTreeSet, ops::Range, path::Path};

/// A problem as `--json` prints it; part of the CLI's promise.
#[derive(Clone, Debug, Serialize)]
pub struct ProblemJson {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// The file, relative to the operator's folder.
    pub file: String,
    /// Line, from 1; absent if the problem is about the file as such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What else is good to know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Problems {
    /// Draws all of them, ended by a line that counts them; nothing if there is none.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let sources = &sources.with_texts(self.files());
        let mut out = String::new();
        for problem in self.iter() {
            out.push_str(&problem.render(sources, colour));
            out.push_str("\n\n");
        }
        out
    }

    /// All of them for machines.
    pub fn to_json(&self, sources: &Sources) -> Vec<ProblemJson> {
        let sources = &sources.with_texts(self.files());
        self.iter().map(|problem| problem.to_json(sources)).collect()
    }

    /// The files they are about.
    fn files(&self) -> BTreeSet<&Path> {
        let related = self.iter().flat_map(|problem| &problem.related);
        let files = self.iter().map(|problem| &problem.file);
        files.chain(related.map(|related| &related.file)).map(|file| &**file).collect()
    }
}

impl Problem {
    /// Draws it as a compiler would.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let renderer = match colour {
            true => Renderer::styled(),
            false => Renderer::plain(),
        }
        .decor_style(DecorStyle::Ascii);
        let notes = self.notes.iter().map(|note| Level::NOTE.message(note.as_str()));
        let help = self.help.iter().map(|help| Level::HELP.message(help.as_str()));
        let group = level
            .primary_title(self.message.as_str())
            .elements(self.snippets(sources))
            .elements(notes.map(Element::from))
            .elements(help.map(Element::from));
        renderer.render(&[group] as &[Group<'_>])
    }

    /// The problem in one line: `file:line:column: message`.
    pub fn line(&self, sources: &Sources) -> String {
        let file = self.file.display();
        match self.position(sources) {
            Some((line, column)) => format!("{file}:{line}:{column}: {}", self.message),
            None => format!("{file}: {}", self.message),
        }
    }

    /// The problem for machines.
    pub fn to_json(&self, sources: &Sources) -> ProblemJson {
        let position = self.position(sources);
        ProblemJson {
            severity: match self.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            file: self.file.display().to_string(),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
            message: self.message.clone(),
            help: self.help.clone(),
            notes: self.notes.clone(),
        }
    }

    /// Line and column, both from 1.
    fn position(&self, sources: &Sources) -> Option<(usize, usize)> {
        let at = self.span.as_ref()?.start;
        let text = sources.text(&self.file)?;
        let before = text.get(..floor(text, at))?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        Some((line, before[line_start..].chars().count() + 1))
    }

    /// The lines to show: those of the problem first, then those of related places elsewhere.
    fn snippets<'s>(&'s self, sources: &'s Sources) -> Vec<Element<'s>> {
        let mut elements = Vec::new();
        let mut marks: Vec<Mark<'_>> = Vec::new();
        if let Some(span) = &self.span {
            marks.push((AnnotationKind::Primary, span, self.label.as_deref()));
        }
        let (near, far): (Vec<_>, Vec<_>) =
            self.related.iter().partition(|related| related.file == self.file);
        for related in near {
            let label = Some(related.label.as_str());
            marks.push((AnnotationKind::Context, &related.span, label));
        }
        elements.push(snippet(sources, &self.file, &marks));
        for related in far {
            let label = Some(related.label.as_str());
            let mark = (AnnotationKind::Context, &related.span, label);
            elements.push(snippet(sources, &related.file, &[mark]));
        }
        elements
    }
}

type Mark<'s> = (AnnotationKind, &'s Range<usize>, Option<&'s str>);

/// The lines of `file` with `marks`; just its name if there is nothing to mark.
fn snippet<'s>(sources: &'s Sources, file: &'s Path, marks: &[Mark<'s>]) -> Element<'s> {
    let path = file.to_string_lossy();
    let (Some(text), false) = (sources.text(file), marks.is_empty()) else {
        return Origin::path(path).into();
    };
    // Only the lines in question are handed over: a zone file may have a million.
    let first = marks.iter().map(|mark| mark.1.start).min().unwrap_or(0);
    let last = marks.iter().map(|mark| mark.1.end).max().unwrap_or(0);
    let (first, last) = (floor(text, first), floor(text, last.max(first)));
    let start = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[last..].find('\n').map_or(text.len(), |n| last + n);
    let line = text[..start].bytes().filter(|&byte| byte == b'\n').count() + 1;
    let annotations = marks.iter().map(|(kind, span, label)| {
        let (from, to) = (floor(text, span.start), floor(text, span.end));
        kind.span(from - start..to.max(from) - start).label(*label)
    });
    Snippet::source(&text[start..end]).line_start(line).path(path).annotations(annotations).into()
}

/// The character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn sources() -> Sources {
        Sources::in_memory([
            ("tradewind.toml", "[regions.eu-west-1]\ncloud = \"aws:eu-west-1\"\n"),
            ("zones/a.example.toml", "zone = \"a.example\"\nregion = \"eu-wset\" # ü\n"),
        ])
    }

    #[test]
    fn a_problem_shows_its_line_its_help_and_what_it_has_to_do_with() {
        let (zone, server): (Arc<Path>, Arc<Path>) =
            (Path::new("zones/a.example.toml").into(), Path::new("tradewind.toml").into());
        let problem = Problem::unknown(&zone, 28..37, "region", "eu-wset", ["eu-west-1"])
            .label("no such region")
            .related(&server, 9..18, "a region with a similar name")
            .note("a region is a place, not a pool")
            .help("correct the name");
        assert_eq!(
            problem.render(&sources(), false),
            r#"error: no such region `eu-wset`; did you mean `eu-west-1`?
 --> zones/a.example.toml:2:10
  |
2 | region = "eu-wset" # ü
  |          ^^^^^^^^^ no such region
  |
 ::: tradewind.toml:1:10
  |
1 | [regions.eu-west-1]
  |          --------- a region with a similar name
  |
  = note: a region is a place, not a pool
  = help: correct the name"#
        );
        let json = serde_json::to_string(&problem.to_json(&sources())).unwrap();
        assert_eq!(
            json,
            r#"{"severity":"error","file":"zones/a.example.toml","line":2,"column":10,"message":"no such region `eu-wset`; did you mean `eu-west-1`?","help":"correct the name","notes":["a region is a place, not a pool"]}"#
        );
        assert_eq!(
            problem.line(&sources()),
            "zones/a.example.toml:2:10: no such region `eu-wset`; did you mean `eu-west-1`?"
        );
    }

    #[test]
    fn a_problem_with_a_whole_file_names_the_file() {
        let file: Arc<Path> = Path::new("zones/gone.toml").into();
        let problem = Problem::of_file(&file, "cannot be read: permission denied");
        assert_eq!(
            problem.render(&sources(), false),
            "error: cannot be read: permission denied\n--> zones/gone.toml"
        );
    }

    #[test]
    fn spans_past_the_end_or_inside_a_character_do_no_harm() {
        let file: Arc<Path> = Path::new("zones/a.example.toml").into();
        for (from, to) in [(9_999, 10_000), (41, 42), (60, 2)] {
            let problem = Problem::error(&file, from..to, "odd");
            assert!(problem.render(&sources(), true).contains("odd"));
            problem.to_json(&sources());
        }
    }

    #[test]
    fn problems_come_in_order_of_file_and_place_and_each_once() {
        let (a, b): (Arc<Path>, Arc<Path>) = (Path::new("a").into(), Path::new("b").into());
        let mut problems = Problems::default();
        problems.push(Problem::error(&b, 1..2, "third"));
        problems.push(Problem::warning(&a, 5..6, "second"));
        problems.push(Problem::error(&b, 1..2, "third"));
        problems.push(Problem::error(&a, 1..2, "first"));
        problems.sort();
        let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(messages, ["first", "second", "third"]);
        assert_eq!(problems.counts(), (2, 1));
    }
}
