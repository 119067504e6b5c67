//! Who may ask, how much a stranger is told, and what the server says of itself: `[rrl]`,
//! `[access]`, and `cookies`, `ecs`, `nsid`, `version` and `id` of `[server]`, as written.

use super::{
    Spanned,
    reader::{Reader, Table, Value},
    scalar,
};
use ipnet::IpNet;
use std::{path::PathBuf, time::Duration};

/// More replies to one network are no limit.
const PER_SECOND_MAX: u32 = 100_000;
/// The longest time over which a rate is the average.
const WINDOW_MAX: Duration = Duration::from_secs(60);
/// Bytes of an NSID: they go into every reply that asks.
const NSID_MAX: usize = 128;
/// Bytes of a text: one string of a TXT record.
const TEXT_MAX: usize = 255;

/// `[rrl]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RrlDef {
    /// Replies of one kind to one network; 0 = off.
    pub per_second: Option<u32>,
    /// Over the limit one in so many gets TC; 0 = none.
    pub slip: Option<u32>,
    /// What the rates are an average over.
    pub window: Option<Duration>,
    /// Errors to malformed packets; 0 = no limit.
    pub errors_per_second: Option<u32>,
    /// Who is told everything.
    pub exempt: Option<Vec<Spanned<IpNet>>>,
}

/// `[access]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessDef {
    /// Who is answered; if anybody is named, nobody else.
    pub allow: Vec<Spanned<IpNet>>,
    /// Who is refused.
    pub deny: Vec<Spanned<IpNet>>,
    /// Who meets silence.
    pub drop: Vec<Spanned<IpNet>>,
}

/// `[server] cookies`.
#[derive(Clone, Debug, PartialEq)]
pub enum CookiesDef {
    /// `"off"`.
    Off,
    /// They are, as they are unless switched off.
    On {
        /// Where the secrets are; the server makes its own when absent.
        secret_file: Option<Spanned<PathBuf>>,
        /// Whether clients that send cookies must have a good one.
        require: bool,
    },
}

impl Default for CookiesDef {
    fn default() -> Self {
        CookiesDef::On { secret_file: None, require: false }
    }
}

/// What the server says of itself to those who ask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdentityDef {
    /// In OPT, as bytes.
    pub nsid: Option<Vec<u8>>,
    /// At `version.bind`.
    pub version: Option<String>,
    /// At `id.server`.
    pub id: Option<String>,
}

pub(super) fn rrl<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> RrlDef {
    let Some(mut table) = root.take_table(reader, "rrl") else {
        return RrlDef::default();
    };
    let mut number = |reader: &mut Reader<'i, '_>, key, max| {
        table.take(reader, key, scalar::integer(0..=max)).map(Spanned::into_inner)
    };
    let per_second = number(reader, "per_second", PER_SECOND_MAX);
    let slip = number(reader, "slip", 10);
    let errors_per_second = number(reader, "errors_per_second", PER_SECOND_MAX);
    let window = table.take(reader, "window", window).map(Spanned::into_inner);
    let exempt = table.take(reader, "exempt", networks).map(Spanned::into_inner);
    table.finish(reader);
    RrlDef { per_second, slip, window, errors_per_second, exempt }
}

fn window<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Duration> {
    let span = value.span();
    let window = scalar::duration(reader, value)?;
    if !(Duration::from_secs(1)..=WINDOW_MAX).contains(&window) {
        let help = "a whole window of replies may go out at once; \"1s\" is usual";
        reader.report_help(span, "`window` is 1s to 60s", help);
        return None;
    }
    Some(window)
}

pub(super) fn access<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> AccessDef {
    let Some(mut table) = root.take_table(reader, "access") else {
        return AccessDef::default();
    };
    let mut list = |reader: &mut Reader<'i, '_>, key| {
        table.take(reader, key, networks).map(Spanned::into_inner).unwrap_or_default()
    };
    let [allow, deny, drop] = ["allow", "deny", "drop"].map(|key| list(reader, key));
    table.finish(reader);
    AccessDef { allow, deny, drop }
}

pub(super) fn cookies<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<CookiesDef> {
    if value.get_ref().as_str() == Some("off") {
        return Some(CookiesDef::Off);
    }
    let mut table = match value.get_ref().is_table() {
        true => reader.table("`cookies`".into(), value)?,
        false => {
            return reader.mistyped(&value, "{ secret_file = \"secrets/cookies\" } or \"off\"");
        }
    };
    let secret_file = table.take(reader, "secret_file", secret_file);
    let require = table.take(reader, "require", scalar::boolean);
    table.finish(reader);
    Some(CookiesDef::On { secret_file, require: require.is_some_and(Spanned::into_inner) })
}

fn secret_file<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<PathBuf> {
    let span = value.span();
    let path = PathBuf::from(scalar::string(reader, value)?);
    if path.components().next().is_some() {
        return Some(path);
    }
    reader.report_help(span, "this names no file", "write \"secrets/cookies\"");
    None
}

/// `{ trusted = [...] }`.
pub(super) fn ecs<'i>(
    reader: &mut Reader<'i, '_>,
    value: Value<'i>,
) -> Option<Vec<Spanned<IpNet>>> {
    let mut table = reader.table("`ecs`".into(), value)?;
    let trusted = table.require(reader, "trusted", "[\"192.0.2.0/24\"]", networks);
    table.finish(reader);
    trusted.map(Spanned::into_inner)
}

pub(super) fn identity<'i>(reader: &mut Reader<'i, '_>, server: &mut Table<'i>) -> IdentityDef {
    IdentityDef {
        nsid: server.take(reader, "nsid", nsid).map(Spanned::into_inner),
        version: server.take(reader, "version", text).map(Spanned::into_inner),
        id: server.take(reader, "id", text).map(Spanned::into_inner),
    }
}

/// A text, or bytes written as `0x` and hexadecimal digits.
fn nsid<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Vec<u8>> {
    let span = value.span();
    let written = scalar::string(reader, value)?;
    let bytes = match written.strip_prefix("0x") {
        Some(digits) => hex(digits),
        None => Some(written.into_bytes()),
    };
    match bytes {
        Some(bytes) if (1..=NSID_MAX).contains(&bytes.len()) => Some(bytes),
        _ => {
            let help = "write a name such as \"ns1\", or bytes such as \"0x6e7331\"";
            reader.report_help(span, format!("`nsid` is 1 to {NSID_MAX} bytes"), help);
            None
        }
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

fn text<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<String> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    if text.len() > TEXT_MAX {
        reader.report(span, format!("this has {} bytes; a TXT string {TEXT_MAX}", text.len()));
        return None;
    }
    Some(text)
}

pub(super) fn networks<'i>(
    reader: &mut Reader<'i, '_>,
    value: Value<'i>,
) -> Option<Vec<Spanned<IpNet>>> {
    reader.list(value, "networks", scalar::network)
}
