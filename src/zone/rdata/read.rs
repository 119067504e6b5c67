//! Text to wire form, field by field.

use std::iter::Peekable;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use data_encoding::{BASE32HEX_NOPAD, BASE64, DecodeError, HEXLOWER_PERMISSIVE};

use super::{Field, Refusal, Token, Tokens, apl, bitmap, loc, parse_span, parse_ttl, svcb};
use crate::wire::types::Rtype;
use crate::wire::{Name, NameProblem};
use crate::zone::times::{not_a_time, parse_moment};

/// The longest character string (RFC 1035 §3.3).
pub(super) const STRING_MAX: usize = 255;

/// The words of some record's data, and what reading them needs.
pub(super) struct Words<'t> {
    tokens: Peekable<Tokens<'t>>,
    origin: &'t Name,
    /// Where the last word stood; before the first, where the type stands.
    last: usize,
}

impl<'t> Words<'t> {
    pub(super) fn new(tokens: Tokens<'t>, origin: &'t Name, last: usize) -> Self {
        Words { tokens: tokens.peekable(), origin, last }
    }

    /// The next word.
    pub(super) fn next(&mut self) -> Result<Token<'t>, Refusal> {
        let token = self.tokens.next();
        let token = token.ok_or_else(|| Refusal::new(self.last, "the data ends too early"))?;
        self.last = token.start;
        Ok(token)
    }

    pub(super) fn peek(&mut self) -> Option<Token<'t>> {
        self.tokens.peek().copied()
    }

    /// Nothing may follow.
    pub(super) fn end(&mut self) -> Result<(), Refusal> {
        match self.peek() {
            None => Ok(()),
            Some(token) => Err(Refusal::new(token.start, "the data should end before this")),
        }
    }

    /// Whether the data is in the form of RFC 3597.
    pub(super) fn is_generic(&mut self) -> bool {
        self.peek().is_some_and(|token| token.text == r"\#" && !token.quoted)
    }

    /// `\# LENGTH HEX` (RFC 3597 §5).
    pub(super) fn generic(&mut self, wire: &mut Vec<u8>) -> Result<(), Refusal> {
        self.next()?;
        let stated = self.next()?;
        let length = number(stated, u16::MAX.into())?;
        self.rest(Base::Sixteen, wire)?;
        if wire.len() as u64 != length {
            let message = format!("{length} octets are announced, but {} follow", wire.len());
            return Err(Refusal::new(stated.start, message).help("write as many as follow"));
        }
        Ok(())
    }

    /// Appends the next field to `wire`, which holds the fields before it.
    pub(super) fn field(&mut self, field: Field, wire: &mut Vec<u8>) -> Result<(), Refusal> {
        match field {
            Field::Number(octets) => {
                let most = u64::MAX >> (64 - 8 * octets);
                let value = number(self.next()?, most)?.to_be_bytes();
                wire.extend_from_slice(&value[value.len() - octets..]);
            }
            Field::Named8(names) => wire.push(named(self.next()?, names, u8::MAX.into())? as u8),
            Field::Named16(names) => {
                wire.extend(named(self.next()?, names, u16::MAX)?.to_be_bytes());
            }
            Field::Type => wire.extend(self.rtype()?.0.to_be_bytes()),
            Field::Ttl => {
                let token = self.next()?;
                let ttl = parse_ttl(token.text).unwrap_or_else(|| Err(not_a_time(token.text)));
                let ttl = ttl.map_err(|message| Refusal::new(token.start, message))?;
                wire.extend(ttl.as_secs().to_be_bytes());
            }
            Field::Span => {
                let token = self.next()?;
                let span = parse_span(token.text).unwrap_or_else(|| Err(not_a_time(token.text)));
                let span = span.map_err(|message| Refusal::new(token.start, message))?;
                let seconds = u32::try_from(span);
                let seconds = seconds.map_err(|_| not(token, "a time up to 4294967295 seconds"))?;
                wire.extend(seconds.to_be_bytes());
            }
            Field::Time => {
                let moment = self.parsed(parse_moment, "a time such as `20260131235959`")?;
                wire.extend(moment.to_be_bytes());
            }
            Field::Ipv4 => wire.extend(self.address::<Ipv4Addr>("an IPv4 address")?.octets()),
            Field::Ipv6 => wire.extend(self.address::<Ipv6Addr>("an IPv6 address")?.octets()),
            Field::Name => self.name(wire)?,
            Field::String => push_string(self.next()?, wire)?,
            Field::MaybeString => {
                if self.peek().is_some() {
                    push_string(self.next()?, wire)?;
                }
            }
            Field::Strings => {
                push_string(self.next()?, wire)?;
                while self.peek().is_some() {
                    push_string(self.next()?, wire)?;
                }
            }
            Field::Tag => {
                let token = self.next()?;
                if token.text.is_empty() || !token.text.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    return Err(not(token, "a tag of letters and digits"));
                }
                push_string(token, wire)?;
            }
            Field::Text(least) => {
                let token = self.next()?;
                let text = octets(token)?;
                if text.len() < least {
                    return Err(Refusal::new(token.start, "this may not be empty"));
                }
                wire.extend(text);
            }
            Field::Hex => self.some(Base::Sixteen, wire)?,
            Field::Base64 => self.some(Base::SixtyFour, wire)?,
            Field::MaybeBase64 => self.rest(Base::SixtyFour, wire)?,
            Field::Salt => {
                let token = self.next()?;
                let salt = match token.text {
                    "-" => Vec::new(),
                    text => decode(Base::Sixteen, text).map_err(|_| not(token, "base 16"))?,
                };
                push_counted(token, &salt, wire)?;
            }
            Field::Hash => {
                let token = self.next()?;
                let hash = BASE32HEX_NOPAD.decode(token.text.to_ascii_uppercase().as_bytes());
                let hash = hash.ok().filter(|hash| !hash.is_empty());
                push_counted(token, &hash.ok_or_else(|| not(token, "base 32"))?, wire)?;
            }
            Field::Types => bitmap::read(self, wire)?,
            Field::Eui(octets) => {
                let what =
                    if octets == 6 { "an EUI-48 identifier" } else { "an EUI-64 identifier" };
                let eui = self.parsed(|text| pairs(text, octets), what)?;
                wire.extend(eui);
            }
            Field::Node => wire.extend(self.parsed(node, "four groups such as `2001:db8:1:2`")?),
            Field::Nsap => wire.extend(self.parsed(nsap, "an address such as `0x47.0005.80`")?),
            Field::Hip => self.hip(wire)?,
            Field::Gateway => {
                let kind = wire.get(1).copied().unwrap_or_default();
                self.gateway(kind, wire)?;
            }
            Field::Relay => {
                let discovery = number(self.next()?, 1)? as u8;
                let kind = number(self.next()?, 127)? as u8;
                wire.push(discovery << 7 | kind);
                self.gateway(kind, wire)?;
            }
            Field::Loc => loc::read(self, wire)?,
            Field::Apl => apl::read(self, wire)?,
            Field::Params => svcb::read(self, wire)?,
        }
        Ok(())
    }

    /// A word that `parse` takes.
    pub(super) fn parsed<T>(
        &mut self,
        parse: impl FnOnce(&str) -> Option<T>,
        what: &str,
    ) -> Result<T, Refusal> {
        let token = self.next()?;
        parse(token.text).ok_or_else(|| not(token, what))
    }

    fn address<A: FromStr>(&mut self, what: &str) -> Result<A, Refusal> {
        self.parsed(|text| text.parse().ok(), what)
    }

    pub(super) fn rtype(&mut self) -> Result<Rtype, Refusal> {
        self.parsed(|text| text.parse().ok(), "a record type")
    }

    fn name(&mut self, wire: &mut Vec<u8>) -> Result<(), Refusal> {
        let token = self.next()?;
        let name = Name::wire_as_written(token.text, self.origin);
        wire.extend(name.map_err(|why| bad_name(token, &why))?);
        Ok(())
    }

    /// What `kind` says it is: nothing, an address or a name.
    fn gateway(&mut self, kind: u8, wire: &mut Vec<u8>) -> Result<(), Refusal> {
        match kind {
            0 => self.parsed(|text| (text == ".").then_some(()), "`.`, as its type 0 demands"),
            1 => self.field(Field::Ipv4, wire),
            2 => self.field(Field::Ipv6, wire),
            3 => self.name(wire),
            _ => Err(Refusal::new(self.last, "its type must be 0, 1, 2 or 3")),
        }
    }

    fn hip(&mut self, wire: &mut Vec<u8>) -> Result<(), Refusal> {
        let algorithm = number(self.next()?, u8::MAX.into())? as u8;
        let token = self.next()?;
        let tag = decode(Base::Sixteen, token.text).ok().filter(|tag| !tag.is_empty());
        let tag = tag.ok_or_else(|| not(token, "base 16"))?;
        push_counted(token, &tag, wire)?;
        let token = self.next()?;
        let key = decode(Base::SixtyFour, token.text).ok().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| not(token, "base 64"))?;
        let length = u16::try_from(key.len()).map_err(|_| too_long(token, u16::MAX.into()))?;
        // Of all that has a length the key's stands before what the tag's counts.
        let [high, low] = length.to_be_bytes();
        wire.splice(1..1, [algorithm, high, low]);
        wire.extend(key);
        while self.peek().is_some() {
            self.name(wire)?;
        }
        Ok(())
    }

    /// Octets to the end, one at the least.
    fn some(&mut self, base: Base, wire: &mut Vec<u8>) -> Result<(), Refusal> {
        let before = wire.len();
        self.rest(base, wire)?;
        match wire.len() > before {
            true => Ok(()),
            false => Err(Refusal::new(self.last, "the data ends too early")),
        }
    }

    /// Octets to the end, in as many words as anybody likes.
    fn rest(&mut self, base: Base, wire: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut digits = String::new();
        while let Some(token) = self.peek() {
            self.next()?;
            if !token.text.bytes().all(|byte| base.has(byte)) {
                return Err(not(token, base.what()));
            }
            digits.push_str(token.text);
        }
        let data = decode(base, &digits);
        wire.extend(data.map_err(|_| {
            Refusal::new(self.last, format!("{} ends in the middle of an octet", base.what()))
        })?);
        Ok(())
    }
}

/// How octets are written.
#[derive(Clone, Copy)]
enum Base {
    Sixteen,
    SixtyFour,
}

impl Base {
    fn has(self, byte: u8) -> bool {
        match self {
            Base::Sixteen => byte.is_ascii_hexdigit(),
            Base::SixtyFour => byte.is_ascii_alphanumeric() || b"+/=".contains(&byte),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Base::Sixteen => "base 16",
            Base::SixtyFour => "base 64",
        }
    }
}

fn decode(base: Base, text: &str) -> Result<Vec<u8>, DecodeError> {
    match base {
        Base::Sixteen => HEXLOWER_PERMISSIVE.decode(text.as_bytes()),
        Base::SixtyFour => BASE64.decode(text.as_bytes()),
    }
}

/// The complaint that a word is not what should stand there.
pub(super) fn not(token: Token<'_>, what: &str) -> Refusal {
    Refusal::new(token.start, format!("`{}` is not {what}", token.text))
}

fn bad_name(token: Token<'_>, why: &NameProblem) -> Refusal {
    not(token, &format!("a name: {why}"))
}

fn too_long(token: Token<'_>, most: usize) -> Refusal {
    Refusal::new(token.start, format!("this is longer than {most} octets"))
}

/// A plain decimal number.
pub(super) fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

pub(super) fn number(token: Token<'_>, most: u64) -> Result<u64, Refusal> {
    let number = digits(token.text).filter(|number| *number <= most);
    number.ok_or_else(|| not(token, &format!("a number up to {most}")))
}

fn named(token: Token<'_>, names: &[(&str, u16)], most: u16) -> Result<u16, Refusal> {
    let known = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(token.text));
    match known {
        Some((_, number)) => Ok(*number),
        None => Ok(number(token, most.into())? as u16),
    }
}

/// The octets that a word stands for: `\DDD` and `\X` resolved, all else as it is in UTF-8.
pub(super) fn octets(token: Token<'_>) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(token.text.len());
    let mut rest = token.text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let escape = match rest {
            [b'0'..=b'9', ..] => {
                let code = rest.split_at_checked(3);
                let code =
                    code.and_then(|(code, behind)| Some((str::from_utf8(code).ok()?, behind)));
                code.and_then(|(code, behind)| Some((digits(code)?.try_into().ok()?, behind)))
            }
            [escaped, behind @ ..] => Some((*escaped, behind)),
            [] => None,
        };
        let (escaped, behind) = escape.ok_or_else(|| {
            let message = r"`\` must be followed by a character, or by three digits up to 255";
            Refusal::new(token.start, message)
        })?;
        out.push(escaped);
        rest = behind;
    }
    Ok(out)
}

fn push_string(token: Token<'_>, wire: &mut Vec<u8>) -> Result<(), Refusal> {
    push_counted(token, &octets(token)?, wire)
}

/// Appends `octets`, which `token` stands for, behind their number.
fn push_counted(token: Token<'_>, octets: &[u8], wire: &mut Vec<u8>) -> Result<(), Refusal> {
    let length = u8::try_from(octets.len()).map_err(|_| {
        too_long(token, STRING_MAX)
            .help("split it: several strings in quotes may stand side by side")
    })?;
    wire.push(length);
    wire.extend_from_slice(octets);
    Ok(())
}

/// Octets as pairs of digits with `-` between them (RFC 7043 §3.2).
fn pairs(text: &str, count: usize) -> Option<Vec<u8>> {
    let octet = |pair: &str| match decode(Base::Sixteen, pair).ok()?[..] {
        [octet] => Some(octet),
        _ => None,
    };
    let octets: Vec<u8> = text.split('-').map(octet).collect::<Option<_>>()?;
    (octets.len() == count).then_some(octets)
}

/// Four groups of up to four digits (RFC 6742 §2.1.2).
fn node(text: &str) -> Option<Vec<u8>> {
    let group = |group: &str| {
        let is_group =
            (1..=4).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_hexdigit());
        is_group.then(|| u16::from_str_radix(group, 16).ok()).flatten()
    };
    let groups: Vec<u16> = text.split(':').map(group).collect::<Option<_>>()?;
    (groups.len() == 4).then(|| groups.into_iter().flat_map(u16::to_be_bytes).collect())
}

/// Digits behind `0x`, with dots wherever one likes (RFC 1706 §5).
fn nsap(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"))?.replace('.', "");
    decode(Base::Sixteen, &digits).ok().filter(|octets| !octets.is_empty())
}
