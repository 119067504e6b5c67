//! Wire form to text, field by field; wire form that its type does not allow has none.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXLOWER, HEXUPPER};

use super::{Field, apl, bitmap, layout, loc, svcb};
use crate::wire::types::Rtype;
use crate::wire::write_name;
use crate::zone::times::moment_text;

/// The data of a record as zone text; in the form of RFC 3597 §5 for a type without one of its
/// own, and for data which its type does not allow.
pub fn rdata_text(rtype: Rtype, rdata: &[u8]) -> String {
    let known = layout(rtype).and_then(|(layout, _)| fields(layout, rdata));
    known.unwrap_or_else(|| match rdata {
        [] => r"\# 0".to_owned(),
        _ => format!(r"\# {} {}", rdata.len(), HEXLOWER.encode(rdata)),
    })
}

/// `rdata` as text; `None` if it is not made of `layout`, or has parts without a text form.
pub(super) fn fields(layout: &[Field], rdata: &[u8]) -> Option<String> {
    written(layout, rdata).filter(|writing| !writing.has_unknown).map(|writing| writing.out)
}

/// Whether `rdata` is made of `layout`, as far as anybody can tell.
pub(super) fn is_made_of(layout: &[Field], rdata: &[u8]) -> bool {
    written(layout, rdata).is_some()
}

fn written<'w>(layout: &[Field], rdata: &'w [u8]) -> Option<Writing<'w>> {
    let mut writing = Writing { rest: rdata, all: rdata, out: String::new(), has_unknown: false };
    layout.iter().try_for_each(|field| writing.field(*field))?;
    writing.rest.is_empty().then_some(writing)
}

/// Data that is being written as words.
pub(super) struct Writing<'w> {
    all: &'w [u8],
    rest: &'w [u8],
    out: String,
    /// A version or a family has passed that has no text form.
    has_unknown: bool,
}

impl<'w> Writing<'w> {
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'w [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Says that there is data which has no text form.
    pub(super) fn note_unknown(&mut self) {
        self.has_unknown = true;
    }

    /// The same of all that follows.
    pub(super) fn skip_unknown(&mut self) {
        self.note_unknown();
        self.rest();
    }

    fn rest(&mut self) -> &'w [u8] {
        std::mem::take(&mut self.rest)
    }

    /// What stands behind its length.
    fn counted(&mut self) -> Option<&'w [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// Appends a word.
    pub(super) fn word(&mut self, word: impl std::fmt::Display) -> Option<()> {
        let space = if self.out.is_empty() { "" } else { " " };
        write!(self.out, "{space}{word}").ok()
    }

    fn field(&mut self, field: Field) -> Option<()> {
        match field {
            Field::Number(octets) => {
                let value = self.take(octets)?.iter();
                let value = value.fold(0u64, |value, octet| value << 8 | u64::from(*octet));
                self.word(value)
            }
            Field::Named8(_) => {
                let value = self.u8()?;
                self.word(value)
            }
            Field::Named16(_) => {
                let value = self.u16()?;
                self.word(value)
            }
            Field::Type => {
                let rtype = Rtype(self.u16()?);
                self.word(rtype)
            }
            Field::Ttl => {
                let seconds = self.u32()?;
                (seconds <= crate::units::Ttl::MAX.as_secs()).then_some(())?;
                self.word(seconds)
            }
            Field::Span => {
                let seconds = self.u32()?;
                self.word(seconds)
            }
            Field::Time => {
                let seconds = self.u32()?;
                self.word(moment_text(seconds))
            }
            Field::Ipv4 => {
                let address: [u8; 4] = self.array()?;
                self.word(Ipv4Addr::from(address))
            }
            Field::Ipv6 => {
                let address: [u8; 16] = self.array()?;
                self.word(Ipv6Addr::from(address))
            }
            Field::Name => self.name(),
            Field::String => {
                let string = self.counted()?;
                self.word(quoted(string))
            }
            Field::MaybeString => match self.is_at_end() {
                true => Some(()),
                false => self.field(Field::String),
            },
            Field::Strings => {
                self.field(Field::String)?;
                while !self.is_at_end() {
                    self.field(Field::String)?;
                }
                Some(())
            }
            Field::Tag => {
                let tag = str::from_utf8(self.counted()?).ok()?;
                let is_tag = !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric());
                is_tag.then_some(())?;
                self.word(tag)
            }
            Field::Text(least) => {
                let text = self.rest();
                (text.len() >= least).then_some(())?;
                self.word(quoted(text))
            }
            Field::Hex => {
                let octets = self.rest();
                (!octets.is_empty()).then_some(())?;
                self.word(HEXUPPER.encode(octets))
            }
            Field::Base64 => {
                (!self.is_at_end()).then_some(())?;
                self.field(Field::MaybeBase64)
            }
            Field::MaybeBase64 => match self.rest() {
                [] => Some(()),
                octets => self.word(BASE64.encode(octets)),
            },
            Field::Salt => match self.counted()? {
                [] => self.word("-"),
                salt => self.word(HEXUPPER.encode(salt)),
            },
            Field::Hash => {
                let hash = self.counted()?;
                (!hash.is_empty()).then_some(())?;
                self.word(BASE32HEX_NOPAD.encode(hash))
            }
            Field::Types => bitmap::write(self),
            Field::Eui(octets) => {
                let pairs = self.take(octets)?.iter();
                let pairs: Vec<_> = pairs.map(|octet| format!("{octet:02x}")).collect();
                self.word(pairs.join("-"))
            }
            Field::Node => {
                let (groups, _) = self.take(8)?.as_chunks::<2>();
                let groups = groups.iter().map(|group| u16::from_be_bytes(*group));
                let groups: Vec<_> = groups.map(|group| format!("{group:x}")).collect();
                self.word(groups.join(":"))
            }
            Field::Nsap => {
                let octets = self.rest();
                (!octets.is_empty()).then_some(())?;
                self.word(format_args!("0x{}", HEXUPPER.encode(octets)))
            }
            Field::Hip => self.hip(),
            Field::Gateway => {
                let kind = *self.all.get(1)?;
                self.gateway(kind)
            }
            Field::Relay => {
                let kind = self.u8()?;
                self.word(kind >> 7)?;
                self.word(kind & 0x7f)?;
                self.gateway(kind & 0x7f)
            }
            Field::Loc => loc::write(self),
            Field::Apl => apl::write(self),
            Field::Params => svcb::write(self),
        }
    }

    fn name(&mut self) -> Option<()> {
        let mut name = String::new();
        self.rest = write_name(self.rest, &mut name).ok()?;
        self.word(name)
    }

    fn gateway(&mut self, kind: u8) -> Option<()> {
        match kind {
            0 => self.word("."),
            1 => self.field(Field::Ipv4),
            2 => self.field(Field::Ipv6),
            3 => self.name(),
            _ => None,
        }
    }

    fn hip(&mut self) -> Option<()> {
        let (tag, algorithm, key) = (self.u8()?, self.u8()?, self.u16()?);
        let (tag, key) = (self.take(tag.into())?, self.take(key.into())?);
        (!tag.is_empty() && !key.is_empty()).then_some(())?;
        self.word(algorithm)?;
        self.word(HEXUPPER.encode(tag))?;
        self.word(BASE64.encode(key))?;
        while !self.is_at_end() {
            self.name()?;
        }
        Some(())
    }
}

/// A string in quotes, what is not printable as `\DDD` (RFC 1035 §5.1).
pub(super) fn quoted(octets: &[u8]) -> String {
    let mut out = String::from("\"");
    for &octet in octets {
        match octet {
            b'"' | b'\\' => out.extend(['\\', char::from(octet)]),
            0x20..=0x7e => out.push(char::from(octet)),
            _ => out.push_str(&format!("\\{octet:03}")),
        }
    }
    out + "\""
}
