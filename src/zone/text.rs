//! RFC 1035 §5.1 text as entries and tokens: quotes, parentheses, comments and escapes.
//!
//! An *entry* is what the RFC calls a line: it runs over line ends while a parenthesis is open.
//! This file finds where entries begin and end, so that reading goes on behind a broken one, and
//! where their tokens stand, so that a complaint points at one. It must not know what a token
//! means; [`super::file`] does.

use std::io::{self, Read};

/// The longest entry: 64 KiB of rdata written as `\DDD` escapes, with room for comments.
const ENTRY_BYTES_MAX: usize = 512 * 1024;

/// How much is read at once: twice the longest entry, so that at most a third of it is moved.
const READ_BYTES: u64 = 2 * ENTRY_BYTES_MAX as u64;

/// One entry of a text: a line, or several held together by parentheses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'t> {
    /// All of it, comments included, without the line end behind it.
    pub text: &'t str,
    /// The line it begins on; the text's first is 0.
    pub line: u32,
}

/// Why a text could not be cut into entries at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("the quote opened here is not closed on this line")]
    OpenQuote,
    #[error("the parenthesis opened here is never closed")]
    OpenParenthesis,
    #[error("this parenthesis closes nothing")]
    StrayParenthesis,
    #[error("this entry is longer than {ENTRY_BYTES_MAX} bytes")]
    TooLong,
    #[error("this is not UTF-8 text")]
    NotText,
}

/// A place in a text: line and column, both from 0; the column counts bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub line: u32,
    pub column: u32,
}

/// Cuts a text into entries as it is read, so that no file need stand in memory whole. After an
/// error it goes on at the next line.
pub(super) struct Entries<'r> {
    reader: Box<dyn Read + 'r>,
    /// What was read and is not given out yet, from `at` on.
    held: Vec<u8>,
    at: usize,
    /// The line at `at`.
    line: u32,
    /// The rest of the line at `at` belongs to an entry that was refused.
    is_resuming: bool,
    /// Nothing stands behind what is held.
    is_at_end: bool,
}

impl<'r> Entries<'r> {
    /// The entries of what `reader` gives.
    pub(super) fn new(reader: Box<dyn Read + 'r>) -> Self {
        let (held, at, line) = (Vec::new(), 0, 0);
        Entries { reader, held, at, line, is_resuming: false, is_at_end: false }
    }

    /// The next entry, or why there is none at some place; `None` behind the last.
    ///
    /// # Errors
    /// When reading fails; nothing comes behind that.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<Entry<'_>, (Broken, Place)>>> {
        self.fill()?;
        while self.is_resuming && self.at < self.held.len() {
            self.resume();
            self.fill()?;
        }
        let (start, line) = (self.at, self.line);
        let rest = &self.held[start..];
        if rest.is_empty() {
            return Ok(None);
        }
        let length = entry_length(rest);
        let text = match length {
            Ok(length) => str::from_utf8(&rest[..length]).map_err(|_| (Broken::NotText, 0)),
            Err(broken) => Err(broken),
        };
        Ok(Some(match text {
            Ok(text) => {
                self.at = (start + text.len() + 1).min(self.held.len());
                self.line += 1 + newlines(text);
                Ok(Entry { text, line })
            }
            Err((why, offset)) => {
                let place = place(rest, line, offset);
                (self.at, self.line, self.is_resuming) = (start + offset, place.line, true);
                Err((why, place))
            }
        }))
    }

    /// Reads on until the longest entry there may be is held whole.
    fn fill(&mut self) -> io::Result<()> {
        if self.is_at_end || self.held.len() - self.at > ENTRY_BYTES_MAX + 1 {
            return Ok(());
        }
        let is_first = self.held.is_empty() && self.line == 0;
        self.held.drain(..self.at);
        self.at = 0;
        let read = self.reader.by_ref().take(READ_BYTES).read_to_end(&mut self.held)?;
        self.is_at_end = (read as u64) < READ_BYTES;
        if is_first && self.held.starts_with("\u{feff}".as_bytes()) {
            self.at = "\u{feff}".len();
        }
        Ok(())
    }

    /// Skips what is held of a line that was refused.
    fn resume(&mut self) {
        let rest = &self.held[self.at..];
        let end = rest.iter().position(|&b| b == b'\n');
        self.at = end.map_or(self.held.len(), |end| self.at + end + 1);
        self.line += u32::from(end.is_some());
        self.is_resuming = end.is_none();
    }
}

/// How many bytes stand before the line end that closes the entry at the start of `text`.
fn entry_length(text: &[u8]) -> Result<usize, (Broken, usize)> {
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\n' if open.is_empty() => return Ok(at),
            b'(' => open.push(at),
            b')' => {
                open.pop().ok_or((Broken::StrayParenthesis, at))?;
            }
            b'"' => at = quote_end(text, at).ok_or((Broken::OpenQuote, at))?,
            // The line end itself is for the next turn.
            b';' => at = line_end(text, at) - 1,
            b'\\' if text.get(at + 1).is_some_and(|&next| next != b'\n') => at += 1,
            _ => {}
        }
        at += 1;
        if at > ENTRY_BYTES_MAX {
            let blamed = open.first().map_or(Broken::TooLong, |_| Broken::OpenParenthesis);
            return Err((blamed, open.first().copied().unwrap_or(0)));
        }
    }
    match open.first() {
        Some(&opened) => Err((Broken::OpenParenthesis, opened)),
        None => Ok(text.len()),
    }
}

/// Where the quote that opens at `at` closes; never behind the end of its line, so that one
/// forgotten quote spoils one line and not the rest of the file.
fn quote_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\n' => return None,
            b'\\' if text.get(at + 1).is_some_and(|&next| next != b'\n') => at += 2,
            _ => at += 1,
        }
    }
}

fn line_end(text: &[u8], at: usize) -> usize {
    let rest = &text[at..];
    at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
}

fn newlines(text: &str) -> u32 {
    text.bytes().filter(|&b| b == b'\n').count() as u32
}

impl<'t> Entry<'t> {
    /// The tokens, left to right.
    pub(super) fn tokens(&self) -> Tokens<'t> {
        Tokens { text: self.text, at: 0 }
    }

    /// Whether the owner is left out: the entry begins with white space.
    pub(super) fn is_indented(&self) -> bool {
        self.text.starts_with([' ', '\t', '\r'])
    }

    /// Line and column of a byte of the entry.
    pub(super) fn place(&self, offset: usize) -> Place {
        place(self.text.as_bytes(), self.line, offset)
    }
}

/// Line and column of the byte at `offset` of a `text` that begins on `line`.
fn place(text: &[u8], line: u32, offset: usize) -> Place {
    let before = &text[..offset.min(text.len())];
    let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
    let lines = before.iter().filter(|&&b| b == b'\n').count();
    Place { line: line + lines as u32, column: (before.len() - line_start) as u32 }
}

/// Why an entry was refused, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The byte of the entry to point at.
    pub offset: usize,
}

impl Refusal {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Self {
        Refusal { message: message.into(), help: None, offset }
    }

    /// The same, with a remedy.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A word of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    /// What is written, without the quotes around it, escapes untouched.
    pub text: &'t str,
    /// Where it begins in the entry (the quote, when it has one).
    pub start: usize,
    /// Where it ends, behind the quote that closes it.
    pub end: usize,
    /// Whether it stands in quotes.
    pub quoted: bool,
}

/// The tokens of one entry.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    /// Where the text behind the last token begins.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    fn token(&mut self, from: usize, to: usize, end: usize, quoted: bool) -> Token<'t> {
        let start = self.at;
        self.at = end;
        Token { text: &self.text[from..to], start, end, quoted }
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        let bytes = self.text.as_bytes();
        loop {
            let start = self.at;
            match *bytes.get(start)? {
                b';' => {
                    self.at = line_end(bytes, start);
                    continue;
                }
                b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' => {}
                b'"' => {
                    let closing = quote_end(bytes, start);
                    let (to, end) = closing.map_or((bytes.len(), bytes.len()), |c| (c, c + 1));
                    return Some(self.token(start + 1, to, end, true));
                }
                _ => {
                    let end = word_end(bytes, start);
                    return Some(self.token(start, end, end, false));
                }
            }
            self.at += 1;
        }
    }
}

/// Where the unquoted word at `at` ends.
fn word_end(text: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = text.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b';' | b'"' => break,
            b'\\' if text.get(at + 1).is_some_and(|&next| next != b'\n') => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let show = |entry: Result<Entry<'_>, (Broken, Place)>| match entry {
            Ok(entry) => {
                let tokens: Vec<_> = entry.tokens().map(|token| token.text).collect();
                format!("{}:{}", entry.line, tokens.join("|"))
            }
            Err((why, at)) => format!("{}:{} {why:?}", at.line, at.column),
        };
        let mut entries = Entries::new(Box::new(text.as_bytes()));
        let mut shown = Vec::new();
        while let Some(entry) = entries.next().unwrap() {
            shown.push(show(entry));
        }
        shown
    }

    #[test]
    fn parentheses_join_lines_and_comments_vanish() {
        let text = "a IN SOA ( b ; x )\n c\n) d\ne \"f ; ( g\" ; h\n";
        assert_eq!(cut(text), ["0:a|IN|SOA|b|c|d", "3:e|f ; ( g"]);
    }

    #[test]
    fn escapes_hide_what_they_precede() {
        assert_eq!(cut(r#"a\;b\( "c\"d" e\"#), [r#"0:a\;b\(|c\"d|e\"#]);
    }

    #[test]
    fn one_broken_line_spoils_no_other() {
        let text = "a \"b\nc )\nd (\ne\nf\n";
        let expected =
            ["0:2 OpenQuote", "1:2 StrayParenthesis", "2:2 OpenParenthesis", "3:e", "4:f"];
        assert_eq!(cut(text), expected);
    }

    #[test]
    fn byte_order_mark_and_carriage_returns_are_white_space() {
        assert_eq!(cut("\u{feff}a b\r\nc\r\n"), ["0:a|b", "1:c"]);
    }

    /// A text that comes a few bytes at a time.
    struct Trickle<'t>(&'t [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let most = to.len().min(7);
            self.0.read(&mut to[..most])
        }
    }

    #[test]
    fn entries_are_whole_wherever_reading_was_cut() {
        let line = |n: usize| format!("name{n:06} IN TXT ( \"{}\"\n ) ; {n}\n", "x".repeat(n % 90));
        let text: String = (0..40_000).map(line).collect();
        assert!(text.len() as u64 > 2 * READ_BYTES);
        let mut entries = Entries::new(Box::new(Trickle(text.as_bytes())));
        for n in 0..40_000 {
            let entry = entries.next().unwrap().unwrap().unwrap();
            assert_eq!((entry.line, format!("{}\n", entry.text)), (2 * n as u32, line(n)));
        }
        assert!(entries.next().unwrap().is_none());
    }

    #[test]
    fn an_entry_without_end_is_refused_and_its_line_skipped() {
        let long = "y".repeat(4 * READ_BYTES as usize);
        for (start, blamed) in
            [("a ", "1:0 TooLong"), ("a ;", "1:0 TooLong"), ("a (", "1:2 OpenParenthesis")]
        {
            let text = format!("first\n{start}{long}\nlast\n");
            assert_eq!(cut(&text), ["0:first", blamed, "2:last"], "{start}");
        }
    }
}
