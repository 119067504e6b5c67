//! The text of one file: held in memory, or left where it stands and known by its hash.
//!
//! A zone of a million names is text only while it is compiled; what is kept of it is what it
//! was, so that it can be found again ([`crate::config::Sources`] and the kept revisions go by
//! hashes). Whoever opens a text gets exactly the one that was hashed, or an error.

use super::sources::ContentHash;
use ring::digest;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

/// The longest text of a zone that is held: to hold 64 KiB more or less for each of a thousand
/// zones is nothing, and a file that an operator writes by hand is read only once.
const HELD_MAX: u64 = 64 << 10;

/// How much is read at once.
const BLOCK_BYTES: u64 = 1 << 20;

/// A text.
#[derive(Clone, Debug)]
pub struct Content {
    hash: ContentHash,
    bytes: u64,
    includes: Arc<[Box<str>]>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Held(Arc<str>),
    File(Arc<Path>),
}

/// Texts are what they say, wherever they stand.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Content {}

impl Content {
    /// A text in memory.
    pub fn held(text: impl Into<Arc<str>>) -> Self {
        let text: Arc<str> = text.into();
        Content {
            hash: sha256(text.as_bytes()),
            bytes: text.len() as u64,
            includes: text.lines().filter_map(dollar_include).collect(),
            place: Place::Held(text),
        }
    }

    /// The text of the file at `path`, which is `bytes` long and called `name` in the operator's
    /// folder. If it is long it stays there, unless every part of it may be looked at at any time.
    ///
    /// # Errors
    /// When it cannot be read, or is not text: why, in words that follow the file's name.
    pub fn read(path: &Path, bytes: u64, name: &Path) -> Result<Self, String> {
        let unreadable = |error: io::Error| format!("cannot be read: {error}");
        if bytes > HELD_MAX && is_zone_text(name) {
            let file = File::open(path).map_err(unreadable)?;
            return Scan::default().all(file, path).map_err(|why| match why {
                Refused::Unreadable(error) => unreadable(error),
                Refused::NotText { line } => not_text(line),
            });
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            not_text(newlines(good))
        })?;
        Ok(Content::held(text))
    }

    /// The SHA-256 of the text.
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What its `$INCLUDE` lines name (RFC 1035 §5.1).
    pub(super) fn includes(&self) -> &[Box<str>] {
        &self.includes
    }

    /// The text, if it is held.
    pub fn text(&self) -> Option<&str> {
        match &self.place {
            Place::Held(text) => Some(text),
            Place::File(_) => None,
        }
    }

    /// The same, held; `None` if it is not there any more.
    pub fn hold(&self) -> Option<Content> {
        let mut text = String::new();
        self.open().and_then(|mut reader| reader.read_to_string(&mut text)).ok()?;
        Some(Content { place: Place::Held(text.into()), ..self.clone() })
    }

    /// Says that the same text stands at `path`: from now on it is read there, unless it is held.
    pub fn stands_at(&mut self, path: Arc<Path>) {
        if let Place::File(place) = &mut self.place {
            *place = path;
        }
    }

    /// Opens the text for reading from its beginning to its end, where an error tells if it was
    /// another one.
    ///
    /// # Errors
    /// When its file cannot be opened.
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        match &self.place {
            Place::Held(text) => Ok(Box::new(text.as_bytes())),
            Place::File(path) => Ok(Box::new(Verified {
                file: File::open(path)?,
                seen: digest::Context::new(&digest::SHA256),
                expected: self.hash,
            })),
        }
    }
}

/// What was found of a text that was not held.
struct Scan {
    seen: digest::Context,
    bytes: u64,
    lines: usize,
    includes: Vec<Box<str>>,
}

enum Refused {
    Unreadable(io::Error),
    NotText { line: usize },
}

impl Default for Scan {
    fn default() -> Self {
        let seen = digest::Context::new(&digest::SHA256);
        Scan { seen, bytes: 0, lines: 0, includes: Vec::new() }
    }
}

impl Scan {
    /// Reads the text of `file`, block by block.
    fn all(mut self, mut file: File, path: &Path) -> Result<Content, Refused> {
        let mut block = Vec::new();
        loop {
            let from = block.len();
            let read = file.by_ref().take(BLOCK_BYTES).read_to_end(&mut block);
            let is_last = read.map_err(Refused::Unreadable)? == 0;
            self.seen.update(&block[from..]);
            self.bytes += (block.len() - from) as u64;
            let newline = block[from..].iter().rposition(|&byte| byte == b'\n');
            let whole = match newline {
                _ if is_last => block.len(),
                Some(newline) => from + newline + 1,
                None => continue,
            };
            self.lines(&block[..whole])?;
            block.drain(..whole);
            if is_last {
                break;
            }
        }
        Ok(Content {
            hash: ContentHash::of(self.seen),
            bytes: self.bytes,
            includes: self.includes.into(),
            place: Place::File(path.into()),
        })
    }

    fn lines(&mut self, lines: &[u8]) -> Result<(), Refused> {
        let text = str::from_utf8(lines).map_err(|error| {
            let good = newlines(&lines[..error.valid_up_to()]);
            Refused::NotText { line: self.lines + good }
        })?;
        self.lines += newlines(lines);
        // Nearly no large file has one.
        if text.contains('$') {
            self.includes.extend(text.lines().filter_map(dollar_include));
        }
        Ok(())
    }
}

/// Whether a file is RFC 1035 text: what is neither TOML nor a table.
pub(super) fn is_zone_text(name: &Path) -> bool {
    name.extension().is_none_or(|extension| extension != "toml" && extension != "csv")
}

/// A file that is read to its end only if it still is what it was.
struct Verified {
    file: File,
    seen: digest::Context,
    expected: ContentHash,
}

impl Read for Verified {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(to)?;
        self.seen.update(&to[..read]);
        if read == 0 && !to.is_empty() && ContentHash::of(self.seen.clone()) != self.expected {
            return Err(io::Error::other("it was changed while it was read; load it again"));
        }
        Ok(read)
    }
}

fn sha256(bytes: &[u8]) -> ContentHash {
    let mut seen = digest::Context::new(&digest::SHA256);
    seen.update(bytes);
    ContentHash::of(seen)
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

fn not_text(lines_before: usize) -> String {
    let line = lines_before + 1;
    format!("is not UTF-8 text: line {line} has a byte that belongs to no character")
}

/// The file name of a `$INCLUDE` line.
fn dollar_include(line: &str) -> Option<Box<str>> {
    let line = line.trim_start();
    if !line.starts_with('$') {
        return None;
    }
    let (word, rest) = line.split_once([' ', '\t'])?;
    if !word.eq_ignore_ascii_case("$INCLUDE") {
        return None;
    }
    let rest = rest.trim_start();
    let name = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split([' ', '\t', ';']).next(),
    };
    name.filter(|name| !name.is_empty()).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// More than one block, with an include in the middle and a line end where blocks meet or not.
    fn long(head: &str) -> String {
        let filler = "n IN A 192.0.2.1\n".repeat(80_000);
        format!("{head}\n{filler}$INCLUDE deep/é.inc ; x\n{filler}last")
    }

    fn content(text: &[u8]) -> (tempfile::TempDir, Result<Content, String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long.zone");
        fs::write(&path, text).unwrap();
        let content = Content::read(&path, text.len() as u64, &path);
        (dir, content)
    }

    #[test]
    fn a_long_text_is_left_where_it_stands_and_is_the_same_as_in_memory() {
        let text = long("; é");
        let (_dir, content) = content(text.as_bytes());
        let content = content.unwrap();
        assert_eq!((content.text(), &content), (None, &Content::held(&*text)));
        assert_eq!(*content.includes(), ["deep/é.inc".into()]);
        assert_eq!(content.hold().unwrap().text(), Some(&*text));
    }

    #[test]
    fn a_text_that_was_changed_is_read_by_nobody() {
        let text = long("a");
        let (dir, content) = content(text.as_bytes());
        let mut content = content.unwrap();
        let kept: Arc<Path> = dir.path().join("kept").into();
        fs::write(&kept, &text).unwrap();
        fs::write(dir.path().join("long.zone"), long("b")).unwrap();
        let error = io::copy(&mut content.open().unwrap(), &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("was changed while it was read"), "{error}");
        assert_eq!(content.hold(), None);
        content.stands_at(kept);
        assert_eq!(content.hold().unwrap().text(), Some(&*text));
    }

    #[test]
    fn a_long_file_that_is_no_text_says_where() {
        let text = [long("a").as_bytes(), b"\n\xff\n"].concat();
        let expected = "is not UTF-8 text: line 160004 has a byte that belongs to no character";
        assert_eq!(content(&text).1.unwrap_err(), expected);
    }
}
