//! Domain names at rest: owned, uncompressed, in lower case, so that equal names are equal bytes.
//!
//! Knows the form of a name on the wire and in text (RFC 1035 §3.1, §5.1; RFC 4343) and the
//! canonical order (RFC 4034 §6.1). Must not know which names exist. The name of a question,
//! which must not allocate, is [`super::QName`].

use std::cmp::Ordering;
use std::fmt;

use arrayvec::ArrayVec;

/// The longest name on the wire, its root label included (RFC 1035 §2.3.4).
pub const NAME_MAX: usize = 255;
/// The longest label (RFC 1035 §2.3.4).
pub const LABEL_MAX: usize = 63;
/// The most labels a name can have, the root not counted: each takes two bytes at the least.
pub const LABELS_MAX: usize = (NAME_MAX - 1) / 2;

/// Why something is not a domain name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// No text at all; the root is written `.`.
    #[error("a name is empty; the root is written `.`")]
    Empty,
    /// Two dots in a row, or a dot in front.
    #[error("a label of the name is empty (two dots in a row, or one in front)")]
    EmptyLabel,
    /// A label of more than 63 bytes.
    #[error("a label is longer than {LABEL_MAX} bytes")]
    LabelTooLong,
    /// A name of more than 255 bytes.
    #[error("the name is longer than {NAME_MAX} bytes on the wire")]
    NameTooLong,
    /// A backslash that is followed by neither a character nor three digits up to 255.
    #[error("`\\` must be followed by a character, or by three digits up to 255")]
    BadEscape,
    /// Something that must be escaped, or an international name not in its ASCII form.
    #[error("`{}` cannot stand in a name; write `\\DDD`, or the xn-- form of an international name", .0.escape_debug())]
    BadCharacter(char),
    /// The bytes end inside the name.
    #[error("the name ends too early")]
    Truncated,
    /// Bytes follow where the name alone was expected.
    #[error("bytes follow the name")]
    TrailingBytes,
    /// A compression pointer where none may be.
    #[error("the name is compressed")]
    Compressed,
    /// A label of the withdrawn types 0x40 and 0x80.
    #[error("the name has a label of unknown type")]
    UnknownLabelType,
}

/// The bytes of a whole name, uncompressed, its letters in any case.
pub type WireName = ArrayVec<u8, NAME_MAX>;

/// Walks the uncompressed name at the start of `bytes`, calls `label` with the place of each
/// label's length byte (the root's not), and returns the length of the name, root included.
#[inline]
pub(super) fn walk(bytes: &[u8], mut label: impl FnMut(usize)) -> Result<usize, NameProblem> {
    let mut at = 0;
    loop {
        match *bytes.get(at).ok_or(NameProblem::Truncated)? {
            0 => return Ok(at + 1),
            len @ 1..=0x3f => {
                label(at);
                at += 1 + usize::from(len);
                if at >= NAME_MAX {
                    return Err(NameProblem::NameTooLong);
                }
            }
            0xc0..=0xff => return Err(NameProblem::Compressed),
            _ => return Err(NameProblem::UnknownLabelType),
        }
    }
}

/// An absolute domain name: its uncompressed wire form in ASCII lower case. Ordered
/// canonically, label by label from the right (RFC 4034 §6.1), so that a zone's names sort
/// behind their parents.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The root, `.`.
    pub fn root() -> Self {
        Name([0].into())
    }

    /// Reads an absolute name; the dot at its end may be missing.
    pub fn parse(text: &str) -> Result<Self, NameProblem> {
        match text {
            "" => Err(NameProblem::Empty),
            _ => parse_below(text, &[0]).map(Name::lowered),
        }
    }

    /// Reads a name as a zone file writes it: `@` is `origin`, and a name without a dot at its
    /// end stands below `origin`.
    pub fn parse_relative(text: &str, origin: &Name) -> Result<Self, NameProblem> {
        Self::wire_as_written(text, origin).map(Name::lowered)
    }

    /// The wire form of what [`Self::parse_relative`] reads, but with the letters as they are
    /// written: names in data keep their case (RFC 4343 §4.1).
    pub fn wire_as_written(text: &str, origin: &Name) -> Result<WireName, NameProblem> {
        match text {
            "@" => parse_below("", &origin.0),
            "" => Err(NameProblem::Empty),
            _ => parse_below(text, &origin.0),
        }
    }

    fn lowered(wire: WireName) -> Self {
        // Length bytes are below 64 and thus no letters: the whole can be lowered at once.
        Name(wire.to_ascii_lowercase().into())
    }

    /// The name which `wire` is: uncompressed, with nothing after it.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameProblem> {
        if walk(wire, |_| ())? != wire.len() {
            return Err(NameProblem::TrailingBytes);
        }
        Ok(Name(wire.to_ascii_lowercase().into()))
    }

    /// The wire form: length-prefixed labels in lower case, ending in the root's zero.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from the left, without the root.
    pub fn labels(&self) -> Labels<'_> {
        Labels { rest: &self.0 }
    }

    /// How many labels the name has, the root not counted.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The name without its first label; the root has none.
    pub fn parent(&self) -> Option<Name> {
        let first = self.labels().next()?;
        Some(Name(self.0.get(1 + first.len()..)?.into()))
    }

    /// Whether this is `ancestor` itself or a name below it.
    pub fn is_at_or_below(&self, ancestor: &Name) -> bool {
        self.prefix_below(ancestor).is_some()
    }

    /// The labels that this name has in front of `ancestor`, as wire bytes without a root
    /// (what [`super::Owner::Relative`] takes); `None` when it does not lie at or below it.
    pub fn prefix_below(&self, ancestor: &Name) -> Option<&[u8]> {
        let cut = self.0.len().checked_sub(ancestor.0.len())?;
        let (prefix, suffix) = self.0.split_at_checked(cut)?;
        let mut on_a_label = cut + 1 == self.0.len();
        walk(&self.0, |at| on_a_label |= at == cut).ok()?;
        (on_a_label && *suffix == *ancestor.0).then_some(prefix)
    }

    /// This name with one more label in front.
    pub fn prepend(&self, label: &[u8]) -> Result<Name, NameProblem> {
        let mut builder = Builder::new();
        for &byte in label {
            builder.push(byte)?;
        }
        builder.end_label()?;
        builder.finish(&self.0).map(Name::lowered)
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let ours: ArrayVec<&[u8], LABELS_MAX> = self.labels().collect();
        let theirs: ArrayVec<&[u8], LABELS_MAX> = other.labels().collect();
        ours.iter().rev().cmp(theirs.iter().rev())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    /// As a zone file would have it, everything special escaped, but without the dot at the
    /// end; the root alone is `.`. [`Name::parse`] reads it back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write_label(label, f)?;
        }
        Ok(())
    }
}

fn write_label(label: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    for &byte in label {
        match byte {
            b'.' | b'\\' | b'"' | b';' | b'@' | b'$' | b'(' | b')' => {
                write!(out, "\\{}", char::from(byte))?;
            }
            0x21..=0x7e => out.write_char(char::from(byte))?,
            _ => write!(out, "\\{byte:03}")?,
        }
    }
    Ok(())
}

/// Appends the uncompressed name at the start of `bytes` to `out` as text: absolute, its dot at the
/// end, the letters as they are. Returns what follows the name.
pub fn write_name<'b>(bytes: &'b [u8], out: &mut String) -> Result<&'b [u8], NameProblem> {
    let len = walk(bytes, |_| ())?;
    let (name, rest) = bytes.split_at_checked(len).ok_or(NameProblem::Truncated)?;
    for label in (Labels { rest: name }) {
        // A String takes all text.
        let _ = write_label(label, out);
        out.push('.');
    }
    if name.len() == 1 {
        out.push('.');
    }
    Ok(rest)
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// The labels of a [`Name`] from the left; made by [`Name::labels`].
#[derive(Clone, Debug)]
pub struct Labels<'n> {
    rest: &'n [u8],
}

impl<'n> Iterator for Labels<'n> {
    type Item = &'n [u8];

    fn next(&mut self) -> Option<&'n [u8]> {
        let (&len, rest) = self.rest.split_first().filter(|(len, _)| **len > 0)?;
        let (label, rest) = rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        Some(label)
    }
}

/// Reads `text`, which stands below `origin` (wire form) unless it ends in a dot. No text at all
/// is `origin` itself.
fn parse_below(text: &str, origin: &[u8]) -> Result<WireName, NameProblem> {
    let mut builder = Builder::new();
    match text {
        "" => return builder.finish(origin),
        "." => return builder.finish(&[0]),
        _ => {}
    }
    let mut chars = text.chars();
    let mut absolute = false;
    while let Some(next) = chars.next() {
        absolute = next == '.';
        match next {
            '.' => builder.end_label()?,
            '\\' => builder.push(unescape(&mut chars)?)?,
            '\x21'..='\x7e' => builder.push(next as u8)?,
            _ => return Err(NameProblem::BadCharacter(next)),
        }
    }
    if absolute {
        return builder.finish(&[0]);
    }
    builder.end_label()?;
    builder.finish(origin)
}

/// What follows a backslash: three decimal digits, or a character that stands for itself.
fn unescape(chars: &mut std::str::Chars<'_>) -> Result<u8, NameProblem> {
    let first = chars.next().ok_or(NameProblem::BadEscape)?;
    if !first.is_ascii_digit() {
        return match first {
            ' '..='\x7e' => Ok(first as u8),
            _ => Err(NameProblem::BadCharacter(first)),
        };
    }
    let mut value = first.to_digit(10);
    for _ in 0..2 {
        let digit = chars.next().and_then(|digit| digit.to_digit(10));
        value = value.zip(digit).map(|(value, digit)| value * 10 + digit);
    }
    value.and_then(|value| u8::try_from(value).ok()).ok_or(NameProblem::BadEscape)
}

/// A name in the making. Its last label is open: `open` is the place of that label's length
/// byte, still zero, which becomes the root's if nothing follows.
struct Builder {
    wire: WireName,
    open: usize,
}

impl Builder {
    fn new() -> Self {
        Builder { wire: ArrayVec::from_iter([0]), open: 0 }
    }

    fn push(&mut self, byte: u8) -> Result<(), NameProblem> {
        self.wire.try_push(byte).map_err(|_| NameProblem::NameTooLong)
    }

    fn end_label(&mut self) -> Result<(), NameProblem> {
        match self.wire.len() - self.open - 1 {
            0 => return Err(NameProblem::EmptyLabel),
            len @ 1..=LABEL_MAX => {
                if let Some(open) = self.wire.get_mut(self.open) {
                    *open = len as u8;
                }
            }
            _ => return Err(NameProblem::LabelTooLong),
        }
        self.open = self.wire.len();
        self.push(0)
    }

    /// The labels ended so far in front of `suffix`, a whole name.
    fn finish(mut self, suffix: &[u8]) -> Result<WireName, NameProblem> {
        self.wire.truncate(self.open);
        self.wire.try_extend_from_slice(suffix).map_err(|_| NameProblem::NameTooLong)?;
        Ok(self.wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::{any_name, name};
    use proptest::prelude::*;

    #[test]
    fn text_becomes_lower_case_wire() {
        let cases: [(&str, &[u8]); 7] = [
            (".", b"\0"),
            (r"My\ Printer._ipp", b"\x0amy printer\x04_ipp\0"),
            ("WWW.Example.COM", b"\x03www\x07example\x03com\0"),
            ("www.example.com.", b"\x03www\x07example\x03com\0"),
            ("*.a", b"\x01*\x01a\0"),
            (r"a\.b.c", b"\x03a.b\x01c\0"),
            (r"\000\065\255", b"\x03\x00a\xff\0"),
        ];
        for (text, wire) in cases {
            assert_eq!(Name::parse(text).unwrap().as_wire(), wire, "{text}");
        }
    }

    #[test]
    fn relative_text_stands_below_the_origin() {
        let origin = name("gtm.example");
        let cases = [
            ("@", "gtm.example"),
            ("www", "www.gtm.example"),
            ("*.cdn", "*.cdn.gtm.example"),
            ("www.", "www"),
            (r"www\.", r"www\..gtm.example"),
            (".", "."),
        ];
        for (text, full) in cases {
            let parsed = Name::parse_relative(text, &origin).unwrap();
            assert_eq!(parsed, name(full), "{text}");
        }
    }

    #[test]
    fn bad_text_is_refused_with_its_cause() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(Name::parse(&longest).unwrap().as_wire().len(), NAME_MAX);
        let cases = [
            (String::new(), NameProblem::Empty),
            ("..".into(), NameProblem::EmptyLabel),
            (".a".into(), NameProblem::EmptyLabel),
            ("a..b".into(), NameProblem::EmptyLabel),
            ("a".repeat(64), NameProblem::LabelTooLong),
            (format!("{longest}a"), NameProblem::NameTooLong),
            (format!("a.{longest}"), NameProblem::NameTooLong),
            (r"a\".into(), NameProblem::BadEscape),
            (r"a\25".into(), NameProblem::BadEscape),
            (r"a\256".into(), NameProblem::BadEscape),
            (r"a\2x5".into(), NameProblem::BadEscape),
            ("a b".into(), NameProblem::BadCharacter(' ')),
            ("bücher".into(), NameProblem::BadCharacter('ü')),
        ];
        for (text, problem) in cases {
            assert_eq!(Name::parse(&text), Err(problem), "{text}");
        }
        let origin = name(&label);
        let below = format!("{label}.{label}.{label}");
        assert_eq!(Name::parse_relative(&below, &origin), Err(NameProblem::NameTooLong));
    }

    #[test]
    fn bad_wire_is_refused_with_its_cause() {
        let long = [[&[63][..], &[b'a'; 63]].concat().repeat(4), vec![0]].concat();
        let cases: [(&[u8], NameProblem); 7] = [
            (b"", NameProblem::Truncated),
            (b"\x01a", NameProblem::Truncated),
            (b"\x02a\0", NameProblem::Truncated),
            (b"\x01a\0b", NameProblem::TrailingBytes),
            (b"\x01a\xc0\x0c", NameProblem::Compressed),
            (b"\x41a\0", NameProblem::UnknownLabelType),
            (&long, NameProblem::NameTooLong),
        ];
        for (wire, problem) in cases {
            assert_eq!(Name::from_wire(wire), Err(problem), "{wire:?}");
        }
    }

    #[test]
    fn canonical_order_is_that_of_rfc_4034() {
        let sorted = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            r"\001.z.example",
            "*.z.example",
            r"\200.z.example",
        ];
        assert!(sorted.map(name).is_sorted());
        assert!(Name::root() < name("a"));
    }

    #[test]
    fn family_relations_go_by_whole_labels() {
        let apex = name("example.com");
        assert!(apex.is_at_or_below(&apex));
        assert!(apex.is_at_or_below(&Name::root()));
        assert!(name("a.b.example.com").is_at_or_below(&apex));
        assert!(!name("badexample.com").is_at_or_below(&apex));
        assert!(!name("com").is_at_or_below(&apex));
        assert_eq!(name("a.b.example.com").prefix_below(&apex), Some(&b"\x01a\x01b"[..]));
        assert_eq!(name("a.b").parent(), Some(name("b")));
        assert_eq!(Name::root().parent(), None);
        assert_eq!(apex.prepend(b"*"), Ok(name("*.example.com")));
        assert_eq!(apex.prepend(b""), Err(NameProblem::EmptyLabel));
        assert_eq!(apex.label_count(), 2);
    }

    proptest! {
        #[test]
        fn a_name_reads_back_as_it_is_shown(name in any_name()) {
            prop_assert_eq!(Name::parse(&name.to_string()), Ok(name.clone()));
            let dotted = if name.is_root() { ".".into() } else { format!("{name}.") };
            prop_assert_eq!(Name::parse(&dotted), Ok(name.clone()));
            prop_assert_eq!(Name::from_wire(name.as_wire()), Ok(name));
        }

        #[test]
        fn from_wire_never_panics(bytes: Vec<u8>) {
            let _ = Name::from_wire(&bytes);
        }

        #[test]
        fn order_agrees_with_hickory(a in any_name(), b in any_name()) {
            let theirs = |name: &Name| hickory_proto::rr::Name::from_labels(name.labels()).unwrap();
            prop_assert_eq!(a.cmp(&b), theirs(&a).cmp(&theirs(&b)));
        }
    }
}
