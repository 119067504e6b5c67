//! The data of one record, from text to uncompressed wire form, by `domain`'s scanner.
//!
//! Three things `domain` leaves to us are done to the text first: `@` as a name in rdata, TTL
//! units in a SOA, and octets above 127. What comes out is read back once, so that nothing which
//! a resolver could not read leaves this file.

use std::str::FromStr;

use domain::base::iana::Rtype as ScanType;
use domain::base::rdata::{ComposeRecordData, ParseRecordData};
use domain::base::{Name as ScanName, ParsedName};
use domain::dep::octseq::Parser;
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{self, Zonefile};

use super::text::{Entry, Token, Tokens};
use crate::units::Ttl;
use crate::wire::Name;
use crate::wire::types::Rtype;

/// Types whose text holds names, so that a bare `@` in it is the origin.
const NAMED: [ScanType; 20] = [
    ScanType::NS,
    ScanType::MD,
    ScanType::MF,
    ScanType::CNAME,
    ScanType::SOA,
    ScanType::MB,
    ScanType::MG,
    ScanType::MR,
    ScanType::PTR,
    ScanType::MINFO,
    ScanType::MX,
    ScanType::RP,
    ScanType::SRV,
    ScanType::NAPTR,
    ScanType::DNAME,
    ScanType::IPSECKEY,
    ScanType::RRSIG,
    ScanType::NSEC,
    ScanType::SVCB,
    ScanType::HTTPS,
];

/// The origin in the forms that reading needs.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub name: Name,
    /// An empty text whose names are relative to this origin.
    blank: Zonefile,
}

impl Origin {
    pub(super) fn new(name: Name) -> Self {
        let mut blank = Zonefile::new();
        let octets = name.as_wire().to_vec().into();
        blank.set_origin(ScanName::from_octets(octets).expect("a Name is valid wire form"));
        Origin { name, blank }
    }

    /// As text, with the dot that makes it absolute.
    fn text(&self) -> String {
        if self.name.is_root() {
            return ".".into();
        }
        format!("{}.", self.name)
    }
}

/// Why the data of a record was refused, and where in the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadData {
    pub message: String,
    pub help: Option<String>,
    /// Offset in the entry.
    pub offset: usize,
}

impl BadData {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Self {
        BadData { message: message.into(), help: None, offset }
    }

    /// The same, with a remedy.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A record's data as written: what stands behind its type.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataText<'t> {
    pub entry: Entry<'t>,
    /// Where the type stands, to be blamed for what has no better place.
    pub blame: usize,
    /// Where the data begins.
    pub start: usize,
    /// How many parentheses stand open there.
    pub depth: usize,
    /// Whether one quoted token stands for the whole data (`$GENERATE … MX "10 mail"`).
    pub unquote: bool,
}

impl<'t> DataText<'t> {
    /// The tokens of the data.
    fn tokens(&self) -> Tokens<'t> {
        self.entry.tokens_from(self.start, self.depth)
    }

    /// The data in wire form.
    pub(super) fn scan(&self, rtype: Rtype, origin: &Origin) -> Result<Vec<u8>, BadData> {
        if let Some(address) = self.scan_address(rtype) {
            return address;
        }
        let rtype = ScanType::from_int(rtype.0);
        let edited = self.edit(rtype, origin)?;
        let data = scan_with_domain(rtype, &edited, self.depth, origin);
        let data = data.map_err(|(message, offset)| self.complain(rtype, message, offset, &edited));
        let wire = data?;
        if !reads_back(rtype, &wire) {
            let message = format!("this is not valid data for `{rtype}`");
            return Err(BadData::new(self.blame, message));
        }
        Ok(wire)
    }

    /// Addresses, most of any large zone, without the detour; `None` for `\#` and other types.
    fn scan_address(&self, rtype: Rtype) -> Option<Result<Vec<u8>, BadData>> {
        let mut tokens = self.tokens();
        let first = tokens.next()?;
        let octets = match rtype {
            Rtype::A => std::net::Ipv4Addr::from_str(first.text).map(|a| a.octets().to_vec()),
            Rtype::AAAA => std::net::Ipv6Addr::from_str(first.text).map(|a| a.octets().to_vec()),
            _ => return None,
        };
        if first.text == r"\#" {
            return None;
        }
        let family = if rtype == Rtype::A { "IPv4" } else { "IPv6" };
        Some(match (octets, tokens.next()) {
            (Ok(octets), None) => Ok(octets),
            (Ok(_), Some(extra)) => {
                Err(BadData::new(extra.start, trailing(ScanType::from_int(rtype.0))))
            }
            (Err(_), _) => {
                let message = format!("`{}` is not an {family} address", first.text);
                Err(BadData::new(first.start, message))
            }
        })
    }

    /// The text with what `domain` does not read written in a way that it does.
    fn edit(&self, rtype: ScanType, origin: &Origin) -> Result<Edited, BadData> {
        let text = self.entry.text;
        let mut edited = Edited::default();
        let mut copied = self.start;
        if !self.is_generic() {
            for (index, token) in self.tokens().enumerate() {
                let Some(replacement) = self.replace(rtype, index, token, origin)? else {
                    continue;
                };
                edited.push(&text[copied..token.start], copied);
                edited.push(&replacement, token.start);
                copied = token.end;
            }
        }
        edited.push(&text[copied..], copied);
        Ok(edited)
    }

    /// What is to stand in place of the `index`-th token of the data, if not itself.
    fn replace(
        &self,
        rtype: ScanType,
        index: usize,
        token: Token<'t>,
        origin: &Origin,
    ) -> Result<Option<String>, BadData> {
        if token.quoted {
            let is_all = self.unquote && self.tokens().count() == 1;
            return Ok(is_all.then(|| token.text.to_owned()));
        }
        if rtype == ScanType::SOA && index > 2 {
            return plain_seconds(token).map(Some);
        }
        if !NAMED.contains(&rtype) {
            return Ok(None);
        }
        if has_empty_label(token.text) {
            let message = format!("`{}` has an empty label", token.text);
            return Err(BadData::new(token.start, message));
        }
        Ok((token.text == "@").then(|| origin.text()))
    }

    /// Whether the data is in RFC 3597's form, `\# LENGTH HEX`.
    fn is_generic(&self) -> bool {
        self.tokens().next().is_some_and(|token| token.text == r"\#" && !token.quoted)
    }

    /// `domain`'s complaint in our words, at the token it is about.
    fn complain(&self, rtype: ScanType, message: String, at: usize, edited: &Edited) -> BadData {
        if message.starts_with("unknown record type") {
            let help = format!(
                r"write its data in the form of RFC 3597: `\# LENGTH HEX`, as in `{rtype} \# 2 beef`"
            );
            let message = format!("the data of `{rtype}` cannot be written as text here");
            return BadData { message, help: Some(help), offset: self.blame };
        }
        let is_trailing = message == "trailing tokens";
        let at = edited.original(at) + usize::from(is_trailing);
        let token = self.tokens().take_while(|token| token.start < at).last();
        let offset = token.map_or(self.blame, |token| token.start);
        if is_trailing {
            return BadData::new(offset, trailing(rtype));
        }
        if message == "unexpected end of entry" {
            return BadData::new(offset, format!("the data of `{rtype}` ends too early"));
        }
        BadData::new(offset, format!("bad data for `{rtype}`: {message}"))
    }
}

fn trailing(rtype: ScanType) -> String {
    format!("the data of `{rtype}` should end before this")
}

/// Whether two dots stand in a row, which `domain` overlooks; in parameters of SVCB they may.
fn has_empty_label(text: &str) -> bool {
    let mut chars = text.chars();
    let mut after_dot = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => drop(chars.next()),
            '=' => return false,
            '.' if after_dot => return true,
            _ => {}
        }
        after_dot = char == '.';
    }
    false
}

/// A SOA timer in plain seconds.
fn plain_seconds(token: Token<'_>) -> Result<String, BadData> {
    let ttl = parse_ttl(token.text).unwrap_or_else(|| Err(not_a_time(token.text)));
    let ttl = ttl.map_err(|message| BadData::new(token.start, message))?;
    Ok(ttl.as_secs().to_string())
}

pub(super) fn not_a_time(text: &str) -> String {
    format!("`{text}` is not a time such as `3600` or `1h30m`")
}

/// A number of seconds, or of units as in `1h30m`; `None` if it does not begin like either.
/// The inner error is a number larger than RFC 2181 §8 allows, or one with a wrong unit.
pub(super) fn parse_ttl(text: &str) -> Option<Result<Ttl, String>> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(number) = rest[..digits].parse::<u32>() else {
            return Some(Err(not_a_time(text)));
        };
        let seconds = match rest.as_bytes().get(digits).map(u8::to_ascii_lowercase) {
            None if rest.len() == text.len() => 1,
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            _ => return Some(Err(not_a_time(text))),
        };
        total = total.saturating_add(u64::from(number) * seconds);
        rest = rest.get(digits + 1..).unwrap_or_default();
    }
    let in_range = u32::try_from(total).ok().filter(|&s| s <= Ttl::MAX.as_secs());
    Some(in_range.map(Ttl::from_secs).ok_or_else(|| {
        format!("`{text}` is more than {} seconds (RFC 2181 §8)", Ttl::MAX.as_secs())
    }))
}

/// A text made of pieces of another, and where each came from.
#[derive(Debug, Default)]
struct Edited {
    text: String,
    /// (offset here, offset there), ascending.
    pieces: Vec<(usize, usize)>,
}

impl Edited {
    /// Appends `piece`, which stood at `from`. Octets above 127 become escapes: `domain` takes
    /// names and strings as octets, but only from ASCII.
    fn push(&mut self, piece: &str, from: usize) {
        self.pieces.push((self.text.len(), from));
        if piece.is_ascii() {
            self.text.push_str(piece);
            return;
        }
        for byte in piece.bytes() {
            if byte.is_ascii() {
                self.text.push(char::from(byte));
            } else {
                self.text.push_str(&format!("\\{byte:03}"));
            }
        }
    }

    /// Where the byte at `offset` stood.
    fn original(&self, offset: usize) -> usize {
        let piece = self.pieces.iter().rfind(|piece| piece.0 <= offset);
        piece.map_or(0, |&(here, there)| there + offset - here)
    }
}

/// Lets `domain` read one record's data. The error is its message and the offset in `edited`.
fn scan_with_domain(
    rtype: ScanType,
    edited: &Edited,
    depth: usize,
    origin: &Origin,
) -> Result<Vec<u8>, (String, usize)> {
    let head = format!(". 0 IN {rtype} {}", "(".repeat(depth));
    let mut file = origin.blank.clone();
    file.reserve(head.len() + edited.text.len() + 1);
    file.extend_from_slice(head.as_bytes());
    file.extend_from_slice(edited.text.as_bytes());
    file.extend_from_slice(b"\n");
    let entry = file.next_entry().map_err(|error| locate(&error, head.len(), &edited.text))?;
    let Some(inplace::Entry::Record(record)) = entry else {
        return Err(("no record".into(), 0));
    };
    let mut wire = Vec::new();
    record.data().compose_rdata(&mut wire).expect("a Vec grows");
    match file.next_entry() {
        Ok(None) => Ok(wire),
        _ => Err(("trailing tokens".into(), edited.text.len())),
    }
}

/// Message and offset in `text` of an error of `domain`, which shows them as `LINE:COLUMN: TEXT`.
fn locate(error: &inplace::Error, head: usize, text: &str) -> (String, usize) {
    let shown = error.to_string();
    let mut parts = shown.splitn(3, ':');
    let mut number = || parts.next()?.parse::<usize>().ok();
    let (line, column) = (number().unwrap_or(1), number().unwrap_or(1));
    let message = parts.next().unwrap_or(&shown).trim().to_owned();
    let column = column.saturating_sub(1);
    let offset = match line {
        0 | 1 => column.saturating_sub(head),
        _ => {
            let line_start = text.match_indices('\n').nth(line - 2).map_or(text.len(), |m| m.0 + 1);
            line_start + column
        }
    };
    (message, offset.min(text.len()))
}

/// Whether `wire` is what its type allows, read to the last octet and without compression.
fn reads_back(rtype: ScanType, wire: &[u8]) -> bool {
    type Parsed<'a> = ZoneRecordData<&'a [u8], ParsedName<&'a [u8]>>;
    if wire.len() > usize::from(u16::MAX) {
        return false;
    }
    let mut parser = Parser::from_ref(wire);
    match Parsed::parse_rdata(rtype, &mut parser) {
        Ok(Some(data)) => {
            let mut again = Vec::with_capacity(wire.len());
            data.compose_rdata(&mut again).expect("a Vec grows");
            parser.remaining() == 0 && again == wire
        }
        _ => false,
    }
}
