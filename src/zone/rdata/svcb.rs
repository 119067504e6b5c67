//! Service parameters of SVCB and HTTPS: `alpn=h2,h3 port=8443` (RFC 9460 §2.1, §7).
//!
//! In text they stand in any order; on the wire sorted and each once. Known keys are checked, and
//! every key can be written as `keyNNNNN` with its value's octets.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use data_encoding::BASE64;

use super::Refusal;
use super::read::{Words, digits, octets};
use super::write::{Writing, quoted};
use crate::zone::text::Token;

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;
const TLS_SUPPORTED_GROUPS: u16 = 9;
/// Reserved as "invalid key" (RFC 9460 §14.3.2).
const INVALID: u16 = u16::MAX;

const KEYS: [(&str, u16); 10] = [
    ("mandatory", MANDATORY),
    ("alpn", ALPN),
    ("no-default-alpn", NO_DEFAULT_ALPN),
    ("port", PORT),
    ("ipv4hint", IPV4HINT),
    ("ech", ECH),
    ("ipv6hint", IPV6HINT),
    ("dohpath", DOHPATH),
    ("ohttp", OHTTP),
    ("tls-supported-groups", TLS_SUPPORTED_GROUPS),
];

pub(super) fn read(words: &mut Words<'_>, wire: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut params = BTreeMap::new();
    let mut first = None;
    while words.peek().is_some() {
        let token = words.next()?;
        let param = Param::cut(token, words)?;
        first = first.or(Some(token.start));
        let key = key(param.name).ok_or_else(|| {
            let message = format!("`{}` is not a service parameter", param.name);
            Refusal::new(token.start, message).help("a key without a name is written `key667=…`")
        })?;
        if params.insert(key, param.wire(key)?).is_some() {
            return Err(Refusal::new(token.start, format!("`{}` stands twice", param.name)));
        }
    }
    if let Some(missing) = missing(|key| params.get(&key).map(Vec::as_slice)) {
        let message = format!("`{}` is needed, but not there", name(missing));
        return Err(Refusal::new(first.unwrap_or_default(), message));
    }
    for (key, value) in params {
        wire.extend(key.to_be_bytes());
        // Param::wire refuses what is longer.
        wire.extend((value.len() as u16).to_be_bytes());
        wire.extend(value);
    }
    Ok(())
}

fn key(name: &str) -> Option<u16> {
    if let Some((_, key)) = KEYS.iter().find(|(known, _)| *known == name) {
        return Some(*key);
    }
    let number = name.strip_prefix("key")?;
    let is_plain = number == "0" || !number.starts_with('0');
    digits(number).filter(|_| is_plain)?.try_into().ok().filter(|key| *key != INVALID)
}

fn name(key: u16) -> String {
    let known = KEYS.iter().find(|(_, known)| *known == key);
    known.map_or_else(|| format!("key{key}"), |(name, _)| (*name).to_owned())
}

/// A key that must stand beside those there are (RFC 9460 §7.1.1, §8), and does not.
fn missing<'v>(value: impl Fn(u16) -> Option<&'v [u8]>) -> Option<u16> {
    let mandatory = value(MANDATORY).unwrap_or_default().as_chunks::<2>().0;
    let listed = mandatory.iter().map(|key| u16::from_be_bytes(*key));
    let alpn = value(NO_DEFAULT_ALPN).map(|_| ALPN);
    listed.chain(alpn).find(|key| value(*key).is_none())
}

/// `KEY` or `KEY=VALUE`, where quotes may stand around the value or around all.
struct Param<'t> {
    name: &'t str,
    /// The value, where one is written.
    value: Option<Token<'t>>,
    whole: Token<'t>,
}

impl<'t> Param<'t> {
    fn cut(whole: Token<'t>, words: &mut Words<'t>) -> Result<Self, Refusal> {
        let Some((name, text)) = whole.text.split_once('=') else {
            return Ok(Param { name: whole.text, value: None, whole });
        };
        let quoted = words.peek().filter(|next| next.quoted && next.start == whole.end);
        let value = match quoted.filter(|_| text.is_empty() && !whole.quoted) {
            Some(_) => words.next()?,
            None => Token { text, ..whole },
        };
        Ok(Param { name, value: Some(value), whole })
    }

    fn wire(&self, key: u16) -> Result<Vec<u8>, Refusal> {
        let value = self.value.map(octets).transpose()?.unwrap_or_default();
        // `keyNNNNN` is followed by the octets themselves, whatever the number.
        let wire = match self.name.starts_with("key") {
            true => Some(value).filter(|wire| value_text(key, wire).is_some()),
            false => parse(key, &value),
        };
        wire.filter(|wire| wire.len() <= usize::from(u16::MAX)).ok_or_else(|| {
            let message = format!("`{}` is not a value for `{}`", self.shown(), self.name);
            Refusal::new(self.whole.start, message).help(form(key))
        })
    }

    fn shown(&self) -> &str {
        self.value.map_or("", |value| value.text)
    }
}

fn form(key: u16) -> &'static str {
    match key {
        MANDATORY => "write it as in `mandatory=alpn,port`; it lists other keys, each once",
        ALPN => "write it as in `alpn=h2,h3`",
        NO_DEFAULT_ALPN | OHTTP => "this key has no value",
        PORT => "write it as in `port=8443`",
        IPV4HINT => "write it as in `ipv4hint=192.0.2.1,192.0.2.2`",
        ECH => "write it in base 64",
        IPV6HINT => "write it as in `ipv6hint=2001:db8::1`",
        DOHPATH => "write it as in `dohpath=/dns-query{?dns}`",
        TLS_SUPPORTED_GROUPS => "write it as in `tls-supported-groups=29,23`",
        _ => "write it as in `key667=hello`, at most 65,535 octets",
    }
}

/// The value of `key`, from its text to the wire.
fn parse(key: u16, value: &[u8]) -> Option<Vec<u8>> {
    let text = || str::from_utf8(value).ok();
    let wire: Vec<u8> = match key {
        MANDATORY => {
            let mut keys: Vec<u16> = text()?.split(',').map(self::key).collect::<Option<_>>()?;
            keys.sort_unstable();
            keys.into_iter().flat_map(u16::to_be_bytes).collect()
        }
        ALPN => {
            let mut wire = Vec::new();
            for id in list(value) {
                wire.push(u8::try_from(id.len()).ok()?);
                wire.extend(id);
            }
            wire
        }
        PORT => u16::try_from(digits(text()?)?).ok()?.to_be_bytes().into(),
        IPV4HINT => addresses::<Ipv4Addr>(text()?)?.iter().flat_map(Ipv4Addr::octets).collect(),
        IPV6HINT => addresses::<Ipv6Addr>(text()?)?.iter().flat_map(Ipv6Addr::octets).collect(),
        ECH => BASE64.decode(value).ok()?,
        TLS_SUPPORTED_GROUPS => {
            let group = |group: &str| u16::try_from(digits(group)?).ok();
            let groups: Vec<u16> = text()?.split(',').map(group).collect::<Option<_>>()?;
            groups.into_iter().flat_map(u16::to_be_bytes).collect()
        }
        _ => value.to_vec(),
    };
    value_text(key, &wire).map(|_| wire)
}

fn addresses<A: FromStr>(text: &str) -> Option<Vec<A>> {
    text.split(',').map(|address| address.parse().ok()).collect()
}

/// The items of a list with commas between, which `\` makes part of an item (RFC 9460 App. A.1).
fn list(value: &[u8]) -> Vec<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut octets = value.iter().copied();
    while let Some(octet) = octets.next() {
        let plain = if octet == b'\\' { octets.next() } else { Some(octet).filter(|o| *o != b',') };
        match (plain, items.last_mut()) {
            (Some(plain), Some(item)) => item.push(plain),
            _ => items.push(Vec::new()),
        }
    }
    items
}

pub(super) fn write(writing: &mut Writing<'_>) -> Option<()> {
    let mut params = BTreeMap::new();
    while !writing.is_at_end() {
        let (key, length) = (writing.u16()?, writing.u16()?);
        let value = writing.take(length.into())?;
        let is_sorted = params.last_key_value().is_none_or(|(last, _)| *last < key);
        (is_sorted && key != INVALID).then_some(())?;
        params.insert(key, value);
        writing.word(name(key) + &value_text(key, value)?)?;
    }
    missing(|key| params.get(&key).copied()).is_none().then_some(())
}

/// `=VALUE` as text; nothing for an empty value, `None` for one that the key does not allow.
fn value_text(key: u16, wire: &[u8]) -> Option<String> {
    let filled = || (!wire.is_empty()).then_some(());
    let numbers = || {
        let (numbers, []) = wire.as_chunks::<2>() else { return None };
        Some(numbers.iter().map(|number| u16::from_be_bytes(*number)))
    };
    let value = match key {
        MANDATORY => {
            filled()?;
            let keys: Vec<u16> = numbers()?.collect();
            let is_set = keys.is_sorted_by(|a, b| a < b) && keys[0] != MANDATORY;
            (is_set && !keys.contains(&INVALID)).then_some(())?;
            keys.into_iter().map(name).collect::<Vec<_>>().join(",")
        }
        ALPN => {
            filled()?;
            quoted(&alpn_list(wire)?)
        }
        NO_DEFAULT_ALPN | OHTTP => return wire.is_empty().then(String::new),
        PORT => u16::from_be_bytes(wire.try_into().ok()?).to_string(),
        IPV4HINT => {
            filled()?;
            let (addresses, []) = wire.as_chunks::<4>() else { return None };
            joined(addresses.iter().map(|address| Ipv4Addr::from(*address)))
        }
        IPV6HINT => {
            filled()?;
            let (addresses, []) = wire.as_chunks::<16>() else { return None };
            joined(addresses.iter().map(|address| Ipv6Addr::from(*address)))
        }
        ECH => {
            filled()?;
            BASE64.encode(wire)
        }
        DOHPATH => {
            let template = str::from_utf8(wire).ok()?;
            (template.starts_with('/') && has_dns_variable(template)).then_some(())?;
            quoted(wire)
        }
        TLS_SUPPORTED_GROUPS => {
            filled()?;
            joined(numbers()?)
        }
        _ if wire.is_empty() => return Some(String::new()),
        _ => quoted(wire),
    };
    Some(format!("={value}"))
}

fn joined(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

/// The protocol ids of an `alpn` value with commas between them; none is empty.
fn alpn_list(mut wire: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((length, rest)) = wire.split_first() {
        let (id, rest) = rest.split_at_checked(usize::from(*length))?;
        (!id.is_empty()).then_some(())?;
        if !out.is_empty() {
            out.push(b',');
        }
        for octet in id {
            if matches!(octet, b',' | b'\\') {
                out.push(b'\\');
            }
            out.push(*octet);
        }
        wire = rest;
    }
    Some(out)
}

/// Whether some `{…}` of a URI template names the variable `dns` (RFC 9461 §5).
fn has_dns_variable(template: &str) -> bool {
    let expressions = template.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let mut variables = expressions.flat_map(|(inside, _)| {
        inside.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).split(',')
    });
    variables.any(|variable| variable == "dns")
}
