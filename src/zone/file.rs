//! RFC 1035 §5 text to records: directives, owners, TTLs, includes. [`read`] is the door.
//!
//! Entries are cut by [`super::text`], data is read by [`super::rdata`], so that every broken line
//! of a file is found in one go. Opens no file itself: a loader is handed in. Must not know which
//! records make a zone; that is [`super::build`]'s.
//!
//! What the RFC leaves open is as in BIND: an included file begins with the origin, owner and TTL
//! of the place it is included at; behind it origin and owner are what they were before, while a
//! `$TTL` in it stays (RFC 2308 §4: "all resource records appearing after the directive").

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::generate::{BadGenerate, RECORDS_MAX, Range, Template};
use super::problem::{At, ZoneProblem};
use super::rdata;
use super::text::{Entries, Entry, Refusal, Token, Tokens};
use super::times::{not_a_time, parse_ttl};
use crate::units::Ttl;
use crate::wire::Name;
use crate::wire::types::{Rclass, Rtype};

/// How deep includes may nest.
const INCLUDE_DEPTH_MAX: usize = 8;

/// How many files one text may include, however deep: a file that includes another many times,
/// and so on down, would else never come to an end.
const INCLUDES_MAX: usize = 1_000;

/// How many records all `$GENERATE`s of a text and its includes may make: sixteen times the most
/// of one, a million names.
const GENERATED_MAX: u64 = 16 * RECORDS_MAX;

/// After so many problems the reader gives up: nobody mends more in one go, and a file that is
/// no zone file at all should not fill the screen.
const PROBLEMS_MAX: usize = 1_000;

/// A text and where it stands.
pub struct Source<'t> {
    /// The file; includes are relative to its folder.
    pub path: Arc<Path>,
    /// The line of the file on which the text begins, from 1; not 1 for text inside a TOML file.
    pub first_line: u32,
    /// The text, read as it is needed.
    pub text: Text<'t>,
}

impl<'t> Source<'t> {
    /// A text that is in memory.
    pub fn held(path: Arc<Path>, first_line: u32, text: &'t str) -> Self {
        Source { path, first_line, text: Box::new(text.as_bytes()) }
    }
}

/// One resource record as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner.
    pub owner: Name,
    /// The type.
    pub rtype: Rtype,
    /// The class; only [`Rclass::IN`] makes it into a zone.
    pub class: Rclass,
    /// The TTL, from wherever RFC 2308 §4 finds it.
    pub ttl: Ttl,
    /// The data in uncompressed wire form, letter case kept.
    pub rdata: Box<[u8]>,
    /// Where it was written.
    pub at: At,
}

/// A text that is read from its beginning to its end, once.
pub type Text<'t> = Box<dyn Read + 't>;

/// Opens the file at a path.
pub type Loader<'l> = dyn Fn(&Path) -> io::Result<Text<'l>> + 'l;

/// Reads all records of `source` and of what it includes into `sink`, and returns everything
/// that is wrong with them. A broken entry is left out and reading goes on behind it.
///
/// Names are relative to `origin`. A record without a TTL gets that of the last `$TTL`, which
/// `default_ttl` stands in for, else that of the record before it (RFC 1035 §5.1).
pub fn read(
    source: Source<'_>,
    loader: &Loader<'_>,
    origin: &Name,
    default_ttl: Option<Ttl>,
    sink: &mut dyn FnMut(Record),
) -> Vec<ZoneProblem> {
    let mut reader = Reader {
        loader,
        sink,
        problems: Vec::new(),
        origin: origin.clone(),
        owner: None,
        default_ttl,
        last_ttl: None,
        open: Vec::new(),
        included: 0,
        generated: 0,
    };
    reader.file(source);
    reader.problems
}

/// What one entry, and the next, depend on.
struct Reader<'r, 'l> {
    loader: &'r Loader<'l>,
    sink: &'r mut dyn FnMut(Record),
    problems: Vec<ZoneProblem>,
    origin: Name,
    /// The last stated owner.
    owner: Option<Name>,
    /// The `$TTL`.
    default_ttl: Option<Ttl>,
    /// The last stated TTL.
    last_ttl: Option<Ttl>,
    /// The files being read, the outermost first.
    open: Vec<Arc<Path>>,
    /// How many files have been included.
    included: usize,
    /// How many records were generated.
    generated: u64,
}

impl Reader<'_, '_> {
    fn file(&mut self, Source { path, first_line, text }: Source<'_>) {
        self.open.push(path.clone());
        let start = At { file: path, line: first_line };
        let mut entries = Entries::new(text);
        let mut last_line = 0;
        while !self.is_hopeless() {
            let (place, refusal) = match entries.next() {
                Ok(None) => break,
                Ok(Some(Ok(entry))) => {
                    last_line = entry.line;
                    match self.entry(&start, &entry) {
                        Ok(()) => continue,
                        Err(refusal) => (entry.place(refusal.offset), refusal),
                    }
                }
                Ok(Some(Err((broken, place)))) => (place, Refusal::new(0, broken.to_string())),
                Err(error) => {
                    let at = At { line: start.line + last_line, ..start };
                    let message = format!("cannot be read any further: {error}");
                    self.problems.push(ZoneProblem::error(&at, message));
                    break;
                }
            };
            let at = At { line: start.line + place.line, ..start.clone() };
            let problem = ZoneProblem::error(&at, refusal.message).column(place.column + 1);
            self.problems.push(ZoneProblem { help: refusal.help, ..problem });
            if self.problems.len() >= PROBLEMS_MAX {
                let message = format!("gave up after {PROBLEMS_MAX} problems");
                self.problems.push(ZoneProblem::error(&at, message));
            }
        }
        self.open.pop();
    }

    fn is_hopeless(&self) -> bool {
        self.problems.len() > PROBLEMS_MAX
    }

    /// An entry of the file that begins at `start`.
    fn entry(&mut self, start: &At, entry: &Entry<'_>) -> Result<(), Refusal> {
        let mut tokens = entry.tokens();
        let first = match tokens.clone().next() {
            None => return Ok(()),
            Some(first) => first,
        };
        if !first.quoted && first.text.starts_with('$') {
            tokens.next();
            return self.directive(start, entry, first, tokens);
        }
        let at = At { line: start.line + entry.line, ..start.clone() };
        self.record(entry, at, false)
    }

    fn directive(
        &mut self,
        start: &At,
        entry: &Entry<'_>,
        name: Token<'_>,
        mut tokens: Tokens<'_>,
    ) -> Result<(), Refusal> {
        let word = name.text.to_ascii_uppercase();
        if word == "$GENERATE" {
            return self.generate(start, entry, name, tokens);
        }
        let missing = || Refusal::new(name.start, format!("`{word}` needs an argument"));
        match word.as_str() {
            "$ORIGIN" => {
                let origin = self.name(tokens.next().ok_or_else(missing)?)?;
                end(tokens)?;
                self.origin = origin;
            }
            "$TTL" => {
                let default = ttl(tokens.next().ok_or_else(missing)?)?;
                end(tokens)?;
                self.default_ttl = Some(default);
            }
            "$INCLUDE" => {
                let file = tokens.next().ok_or_else(missing)?;
                let origin = tokens.next().map(|token| self.name(token)).transpose()?;
                end(tokens)?;
                self.include(start, file, origin)?;
            }
            _ => {
                let message = format!("`{}` is not a directive", name.text);
                let help = "known are $ORIGIN, $TTL, $INCLUDE and $GENERATE";
                return Err(Refusal::new(name.start, message).help(help));
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        start: &At,
        file: Token<'_>,
        origin: Option<Name>,
    ) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::new(file.start, message));
        let folder = start.file.parent().unwrap_or(Path::new(""));
        let path: Arc<Path> = folder.join(file.text).into();
        if self.open.contains(&path) {
            return refuse(format!("`{}` includes itself", path.display()));
        }
        if self.open.len() > INCLUDE_DEPTH_MAX {
            return refuse(format!("includes are nested deeper than {INCLUDE_DEPTH_MAX}"));
        }
        if self.included >= INCLUDES_MAX {
            return refuse(format!("more than {INCLUDES_MAX} files are included"));
        }
        self.included += 1;
        let text = match (self.loader)(&path) {
            Ok(text) => text,
            Err(error) => return refuse(format!("cannot read `{}`: {error}", path.display())),
        };
        let before = (self.origin.clone(), self.owner.clone());
        if let Some(origin) = origin {
            self.origin = origin;
        }
        self.file(Source { path, first_line: 1, text });
        (self.origin, self.owner) = before;
        Ok(())
    }

    fn generate(
        &mut self,
        start: &At,
        entry: &Entry<'_>,
        name: Token<'_>,
        mut tokens: Tokens<'_>,
    ) -> Result<(), Refusal> {
        let Some(range) = tokens.next() else {
            let help = "write it as `$GENERATE 1-10 host-$ A 192.0.2.$`";
            return Err(Refusal::new(name.start, "`$GENERATE` needs a range").help(help));
        };
        let refuse = |why: BadGenerate| Refusal::new(range.start, why.to_string());
        let template = Template::parse(&without_comments(entry, tokens)).map_err(refuse)?;
        let at = At { line: start.line + entry.line, ..start.clone() };
        let mut text = String::new();
        let numbers = Range::parse(range.text).map_err(refuse)?;
        self.generated += numbers.count();
        if self.generated > GENERATED_MAX {
            let message = format!("more than {GENERATED_MAX} records are generated");
            return Err(Refusal::new(range.start, message).help("split the zone"));
        }
        for number in numbers.numbers() {
            template.fill(number, &mut text).map_err(refuse)?;
            let made = Entry { text: &text, line: entry.line };
            self.record(&made, at.clone(), true).map_err(|refusal| Refusal {
                message: format!("{}, in the generated `{text}`", refusal.message),
                offset: range.start,
                ..refusal
            })?;
        }
        Ok(())
    }

    /// A record: `[owner] [ttl] [class] type data`, ttl and class in either order. `unquote`
    /// lets one quoted token stand for the whole data.
    fn record(&mut self, entry: &Entry<'_>, at: At, unquote: bool) -> Result<(), Refusal> {
        let mut tokens = entry.tokens();
        if !entry.is_indented()
            && let Some(owner) = tokens.next()
        {
            self.owner = Some(self.name(owner)?);
        }
        let head = head(&mut tokens)?;
        let Some(owner) = self.owner.clone() else {
            let refusal =
                Refusal::new(0, "this line begins with white space, but no owner stands above it");
            return Err(refusal.help("a line that begins with white space belongs to the owner above; begin it with a name"));
        };
        let tokens = if unquote && head.rtype != Rtype::TXT { unquoted(tokens) } else { tokens };
        let rdata = rdata::read(head.rtype, tokens, &self.origin, head.type_start)?;
        let ttl = self.effective_ttl(&head, &rdata)?;
        (self.sink)(Record {
            owner,
            rtype: head.rtype,
            class: head.class.unwrap_or(Rclass::IN),
            ttl,
            rdata: rdata.into(),
            at,
        });
        Ok(())
    }

    /// RFC 2308 §4 before RFC 1035 §5.1; a SOA in front of everything uses its own minimum,
    /// which is what that field meant before RFC 2308.
    fn effective_ttl(&mut self, head: &Head, rdata: &[u8]) -> Result<Ttl, Refusal> {
        if let Some(stated) = head.ttl {
            self.last_ttl = Some(stated);
        }
        let soa_minimum = || match (head.rtype, rdata.last_chunk::<4>()) {
            (Rtype::SOA, Some(minimum)) => Some(Ttl::from_secs(u32::from_be_bytes(*minimum))),
            _ => None,
        };
        let ttl = head.ttl.or(self.default_ttl).or(self.last_ttl);
        ttl.or_else(soa_minimum).ok_or_else(|| {
            let refusal =
                Refusal::new(head.type_start, "this record has no TTL, and none is set for it");
            refusal.help("write one before the type, or `$TTL 1h` at the top of the file")
        })
    }

    fn name(&self, token: Token<'_>) -> Result<Name, Refusal> {
        let parsed = Name::parse_relative(token.text, &self.origin);
        parsed.map_err(|why| {
            Refusal::new(token.start, format!("`{}` is not a name: {why}", token.text))
        })
    }
}

/// The words in the only token, if that is quoted; else the tokens as they are.
fn unquoted(tokens: Tokens<'_>) -> Tokens<'_> {
    let mut ahead = tokens.clone();
    match (ahead.next(), ahead.next()) {
        (Some(Token { text, quoted: true, .. }), None) => Entry { text, line: 0 }.tokens(),
        _ => tokens,
    }
}

/// What stands between the owner and the data.
struct Head {
    ttl: Option<Ttl>,
    class: Option<Rclass>,
    rtype: Rtype,
    type_start: usize,
}

fn head(tokens: &mut Tokens<'_>) -> Result<Head, Refusal> {
    let (mut ttl_, mut class) = (None, None);
    loop {
        let here = tokens.offset();
        let Some(token) = tokens.next() else {
            return Err(Refusal::new(here, "the entry ends before a record type"));
        };
        if ttl_.is_none() && parse_ttl(token.text).is_some() {
            ttl_ = Some(ttl(token)?);
        } else if class.is_none() && parse_class(token.text).is_some() {
            class = parse_class(token.text);
        } else {
            return Ok(Head { ttl: ttl_, class, rtype: rtype(token)?, type_start: token.start });
        }
    }
}

fn ttl(token: Token<'_>) -> Result<Ttl, Refusal> {
    let parsed = parse_ttl(token.text).unwrap_or_else(|| Err(not_a_time(token.text)));
    parsed.map_err(|message| Refusal::new(token.start, message))
}

/// A class that data can have.
fn parse_class(text: &str) -> Option<Rclass> {
    let is_class =
        text.len() == 2 || text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("CLASS"));
    let class = is_class.then(|| text.parse().ok()).flatten();
    class.filter(|class| !matches!(*class, Rclass::NONE | Rclass::ANY))
}

/// A type that data can have: not OPT, nor those of questions and messages only (RFC 6895 §3.1).
/// NULL has no text form of its own (RFC 1035 §3.3.10), but that of RFC 3597.
fn rtype(token: Token<'_>) -> Result<Rtype, Refusal> {
    let refuse = |message: String, help: &str| Err(Refusal::new(token.start, message).help(help));
    let Ok(rtype) = token.text.parse() else {
        let help = "the form is `NAME [TTL] [CLASS] TYPE DATA`; a line that begins with white \
                    space has no NAME, and a type without a mnemonic is written `TYPE123 \\# …` (RFC 3597)";
        return refuse(format!("`{}` is not a record type", token.text), help);
    };
    if matches!(rtype, Rtype(0) | Rtype::OPT | Rtype(128..=255)) {
        let message = format!("no zone can hold records of type `{}`", token.text);
        return refuse(message, "leave it out");
    }
    Ok(rtype)
}

/// Nothing may follow.
fn end(mut tokens: Tokens<'_>) -> Result<(), Refusal> {
    match tokens.next() {
        None => Ok(()),
        Some(token) => {
            Err(Refusal::new(token.start, format!("`{}` is one word too many", token.text)))
        }
    }
}

/// The text of the remaining tokens on one line.
fn without_comments(entry: &Entry<'_>, tokens: Tokens<'_>) -> String {
    let words: Vec<_> = tokens.map(|token| &entry.text[token.start..token.end]).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests;
