//! Reads TOML tables key by key, and collects everything that is wrong with them.
//!
//! A derived deserialiser stops at the first mistake and cannot say where a key belongs
//! instead; so a [`Table`] is asked for its keys one by one ([`Table::take`]), told which ones
//! this version does not have yet ([`Table::later`]) or which belong elsewhere
//! ([`Table::elsewhere`]), and complains about the rest at the end ([`Table::finish`]).
//! What cannot be read is left out, with a [`Problem`] that says why.

use super::{Problem, Problems, Spanned, nearest};
use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};
use toml::de::{DeArray, DeTable, DeValue};

/// A value with the bytes it was written in.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// The file being read, and what is wrong with it so far.
pub(super) struct Reader<'i, 'p> {
    /// Relative to the operator's folder.
    pub file: Arc<Path>,
    /// All of it.
    pub text: &'i str,
    problems: &'p mut Problems,
}

impl<'i, 'p> Reader<'i, 'p> {
    /// Parses `text`: its root table, or nothing if it is not TOML.
    pub fn open(
        file: &Arc<Path>,
        text: &'i str,
        problems: &'p mut Problems,
    ) -> Option<(Self, Table<'i>)> {
        let mut reader = Reader { file: file.clone(), text, problems };
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut doubled = 0..0;
        for error in &errors {
            let end = text.len();
            let span = error.span().unwrap_or(end..end);
            if error.message() == "duplicate key" && !span.is_empty() {
                // The keys of a table written twice would each be told again.
                if !doubled.contains(&span.start) {
                    doubled = reader.written_twice(span);
                }
            } else {
                reader.report(span, error.message());
            }
        }
        if !errors.is_empty() {
            return None;
        }
        let mut root = Table::new("the file".into(), 0..0, root.into_inner());
        root.take(&mut reader, "schema", schema);
        Some((reader, root))
    }

    /// The same file, read into other `problems`.
    pub fn apart<'o>(&self, problems: &'o mut Problems) -> Reader<'i, 'o> {
        Reader { file: self.file.clone(), text: self.text, problems }
    }

    /// Says that the key at `span` is there already; returns the bytes it takes along: of a
    /// table's header, all up to the next.
    fn written_twice(&mut self, span: Range<usize>) -> Range<usize> {
        let text = self.text;
        let line = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
        let message = format!("`{}` is defined twice", &text[span.clone()]);
        let mut problem = Problem::error(&self.file, span.clone(), message);
        let header = text[line..].lines().next().and_then(|line| line.split_once(']'));
        let header = header.filter(|(head, _)| head.starts_with('[')).map(|(head, _)| head.len());
        let Some(length) = header else {
            self.push(problem.help("leave one"));
            return span;
        };
        if let Some(first) = text.find(&text[line..=line + length]).filter(|&at| at < line) {
            let at = first + (span.start - line);
            problem = problem.related(&self.file, at..at + span.len(), "first here");
        }
        self.push(problem.help("leave one, or give the other a name of its own"));
        let next = text[span.end..].find("\n[").map_or(text.len(), |at| span.end + at);
        line..next
    }

    /// Adds a problem.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Adds an error at `span`.
    pub fn report(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.push(Problem::error(&self.file.clone(), span, message));
    }

    /// Adds an error at `span` with what to do about it.
    pub fn report_help(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Problem::error(&self.file.clone(), span, message).help(help));
    }

    /// Says that `value` should have been `wanted`.
    pub fn mistyped<T>(&mut self, value: &Value<'i>, wanted: &str) -> Option<T> {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        let message = format!("this is {article} {found}; write {wanted}");
        self.report(value.span(), message);
        None
    }

    /// Complains about a name that cannot be part of an id. Records are not asked: they are
    /// domain names, and have rules of their own.
    pub fn check_name(&mut self, name: &Key) {
        if let Err(why) = super::scalar::check_name(name.get_ref()) {
            self.report(name.span(), why);
        }
    }

    /// The value as a table called `what` in messages.
    pub fn table(&mut self, what: String, value: Value<'i>) -> Option<Table<'i>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(Table::new(what, span, table)),
            other => self.mistyped(&Spanned::new(span, other), "a table"),
        }
    }

    /// The value as an array.
    pub fn array(&mut self, value: Value<'i>, of: &str) -> Option<DeArray<'i>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(array) => Some(array),
            other => self.mistyped(&Spanned::new(span, other), &format!("an array of {of}")),
        }
    }

    /// The value as an array of what `parse` reads; items it cannot read are left out.
    pub fn list<T>(
        &mut self,
        value: Value<'i>,
        of: &str,
        parse: impl Fn(&mut Self, Value<'i>) -> Option<T>,
    ) -> Option<Vec<Spanned<T>>> {
        let items = self.array(value, of)?;
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let span = item.span();
            list.extend(parse(self, item).map(|read| Spanned::new(span, read)));
        }
        Some(list)
    }
}

/// The version of the file format: 1 is the only one there is.
fn schema(reader: &mut Reader<'_, '_>, value: Value<'_>) -> Option<()> {
    let version = value.get_ref().as_integer().map(|n| n.to_string());
    if version.as_deref() == Some("1") {
        return Some(());
    }
    reader.report_help(
        value.span(),
        "a schema other than 1 is not in this version",
        "write `schema = 1`, or leave it out",
    );
    None
}

/// A key of a table: its text and place.
pub(super) type Key = Spanned<String>;

/// A table being read.
pub(super) struct Table<'i> {
    /// What it is in messages: "pool `stable`".
    pub what: String,
    /// Its header or braces.
    pub span: Range<usize>,
    entries: BTreeMap<String, (Range<usize>, Value<'i>)>,
    known: Vec<&'static str>,
}

impl<'i> Table<'i> {
    fn new(what: String, span: Range<usize>, table: DeTable<'i>) -> Self {
        let entry = |(key, value): (Spanned<_>, _)| {
            let span = key.span();
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            (key.into_owned(), (span, value))
        };
        Table { what, span, entries: table.into_iter().map(entry).collect(), known: Vec::new() }
    }

    /// Whether `key` is written and was not taken yet.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Where the value of `key` is written.
    pub fn value_span(&self, key: &str) -> Option<Range<usize>> {
        self.entries.get(key).map(|(_, value)| value.span())
    }

    /// The value of `key` as `parse` reads it; nothing if it is not there or cannot be read.
    pub fn take<'p, T>(
        &mut self,
        reader: &mut Reader<'i, 'p>,
        key: &'static str,
        parse: impl FnOnce(&mut Reader<'i, 'p>, Value<'i>) -> Option<T>,
    ) -> Option<Spanned<T>> {
        self.known.push(key);
        let (_, value) = self.entries.remove(key)?;
        let span = value.span();
        parse(reader, value).map(|read| Spanned::new(span, read))
    }

    /// Like [`Self::take`], of a key that must be there; `example` shows how it is written.
    pub fn require<'p, T>(
        &mut self,
        reader: &mut Reader<'i, 'p>,
        key: &'static str,
        example: &str,
        parse: impl FnOnce(&mut Reader<'i, 'p>, Value<'i>) -> Option<T>,
    ) -> Option<Spanned<T>> {
        if !self.has(key) {
            let message = format!("{} has no `{key}`", self.what);
            let help = format!("add `{key} = {example}`");
            reader.report_help(self.span.clone(), message, help);
        }
        self.take(reader, key, parse)
    }

    /// The sub-table `key`, empty of problems if it is not there.
    pub fn take_table<'p>(
        &mut self,
        reader: &mut Reader<'i, 'p>,
        key: &'static str,
    ) -> Option<Table<'i>> {
        self.known.push(key);
        let (_, value) = self.entries.remove(key)?;
        reader.table(format!("[{key}]"), value)
    }

    /// The tables in the table `key`, each under a name of the operator's choosing, in the order
    /// they are written; `what` names one of them.
    pub fn take_named<'p>(
        &mut self,
        reader: &mut Reader<'i, 'p>,
        key: &'static str,
        what: &str,
    ) -> Vec<(Key, Table<'i>)> {
        match self.take_table(reader, key) {
            Some(table) => table.into_named(reader, what),
            None => Vec::new(),
        }
    }

    /// All entries as tables under names of the operator's choosing, in the order written.
    pub fn into_named<'p>(self, reader: &mut Reader<'i, 'p>, what: &str) -> Vec<(Key, Table<'i>)> {
        let mut named: Vec<(Key, Table<'i>)> = Vec::new();
        for (name, (span, value)) in self.entries {
            let mut table = match reader.table(format!("{what} `{name}`"), value) {
                Some(table) => table,
                None => continue,
            };
            // What is missing in a table is shown at its name: its header may be anywhere.
            table.span = span.clone();
            named.push((Spanned::new(span, name), table));
        }
        named.sort_by_key(|(key, _)| key.span().start);
        named
    }

    /// All entries with their values, in the order written.
    pub fn into_values(self) -> Vec<(Key, Value<'i>)> {
        let mut values: Vec<(Key, Value<'i>)> = self
            .entries
            .into_iter()
            .map(|(name, (span, value))| (Spanned::new(span, name), value))
            .collect();
        values.sort_by_key(|(key, _)| key.span().start);
        values
    }

    /// Refuses `key`, which is decided but comes later.
    pub fn later(&mut self, reader: &mut Reader<'i, '_>, key: &'static str) {
        if let Some((span, _)) = self.entries.remove(key) {
            reader.report_help(span, format!("`{key}` is not in this version"), "leave it out");
        }
    }

    /// Refuses `key`, which exists but does not belong here; `where_to` says where it does.
    pub fn elsewhere(&mut self, reader: &mut Reader<'i, '_>, key: &'static str, where_to: &str) {
        if let Some((span, _)) = self.entries.remove(key) {
            let message = format!("`{key}` does not belong to {}", self.what);
            reader.report_help(span, message, where_to);
        }
    }

    /// Complains about every key nobody asked for.
    pub fn finish(self, reader: &mut Reader<'i, '_>) {
        for (key, (span, value)) in self.entries {
            let problem = match nearest(&key, self.known.iter().copied()) {
                Some(meant) => Problem::error(
                    &reader.file,
                    span,
                    format!("unknown key `{key}`; did you mean `{meant}`?"),
                ),
                None => Problem::error(&reader.file, span, format!("unknown key `{key}`"))
                    .help(format!("{} may have {}", self.what, listing(&self.known))),
            };
            let dotted = value.get_ref().is_table();
            reader.push(match dotted {
                true => problem.note(
                    "a name that has dots is written in quotes: [records.\"a.b\"], not [records.a.b]",
                ),
                false => problem,
            });
        }
    }
}

fn listing(keys: &[&str]) -> String {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    match keys.is_empty() {
        true => "no keys".into(),
        false => format!("`{}`", keys.join("`, `")),
    }
}
