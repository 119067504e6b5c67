//! `healthchecks/*.toml`: how endpoints are watched, as written.

use super::{
    Problems, Spanned,
    reader::{Reader, Table, Value},
    scalar,
    settings::{ProbeAt, probe_at},
};
use std::{ops::RangeInclusive, path::Path, sync::Arc, time::Duration};

/// A check as written; what is absent has a default that depends on its type.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckDef {
    /// The file it is in.
    pub file: Arc<Path>,
    /// What it is referred to by.
    pub name: Spanned<String>,
    /// What it sends; absent if it could not be read.
    pub kind: Option<Spanned<CheckType>>,
    /// What it asks if no endpoint does: a gate of a failover needs one.
    pub target: Option<Spanned<ProbeAt>>,
    /// The port it connects to.
    pub port: Option<Spanned<u32>>,
    /// Path and query of the request.
    pub path: Option<Spanned<String>>,
    /// `Host` and SNI of the request.
    pub host: Option<Spanned<String>>,
    /// Status codes that pass.
    pub status: Option<Spanned<Vec<Spanned<RangeInclusive<u16>>>>>,
    /// Text the body must contain.
    pub body_contains: Option<Spanned<String>>,
    /// Time between probes.
    pub interval: Option<Spanned<Duration>>,
    /// A probe that has not finished by then has failed.
    pub timeout: Option<Spanned<Duration>>,
    /// Consecutive failures that make it down.
    pub fall: Option<Spanned<u32>>,
    /// Consecutive successes that make it up again.
    pub rise: Option<Spanned<u32>>,
    /// How soon a failure is looked at again.
    pub fast_recheck: Option<Spanned<FastRecheck>>,
}

/// What a check sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckType {
    /// An HTTP request.
    Http,
    /// The same over TLS.
    Https,
    /// Nothing: a connection that opens is enough.
    Tcp,
}

/// How soon a failure is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastRecheck {
    /// At the next regular time.
    Off,
    /// After this long, if that is sooner.
    After(Duration),
}

/// Reads one file of checks.
pub fn read(file: &Arc<Path>, text: &str, problems: &mut Problems) -> Vec<CheckDef> {
    let Some((mut reader, root)) = Reader::open(file, text, problems) else {
        return Vec::new();
    };
    let reader = &mut reader;
    let named = root.into_named(reader, "check");
    named.into_iter().map(|(name, table)| check(reader, name, table)).collect()
}

fn check<'i>(reader: &mut Reader<'i, '_>, name: Spanned<String>, mut table: Table<'i>) -> CheckDef {
    const TYPES: &[(&str, CheckType)] =
        &[("http", CheckType::Http), ("https", CheckType::Https), ("tcp", CheckType::Tcp)];
    const LATER: &[&str] =
        &["tls", "dns", "icmp", "grpc", "exec", "push", "file", "prometheus", "composite"];
    reader.check_name(&name);
    if name.get_ref() == "none" {
        let help = "`check = \"none\"` means no check; call this one something else";
        reader.report_help(name.span(), "a check cannot be called `none`", help);
    }
    table.later(reader, "mode");
    let kind =
        table.require(reader, "type", "\"https\"", scalar::choice("check type", TYPES, LATER));
    // The keys of a type that is not in this version are not in it either: no word about them.
    let skip_rest = kind.is_none();
    if kind.as_ref().is_some_and(|k| *k.get_ref() == CheckType::Tcp) {
        const HTTP: &str = "a tcp check only connects; `http` and `https` send a request";
        for key in ["path", "host", "expect"] {
            table.elsewhere(reader, key, HTTP);
        }
    }
    let (status, body_contains) = expect(reader, &mut table);
    let check = CheckDef {
        file: reader.file.clone(),
        kind,
        target: table.take(reader, "target", probe_at),
        port: table.take(reader, "port", scalar::integer(1..=65_535)),
        path: table.take(reader, "path", path),
        host: table.take(reader, "host", scalar::string),
        status,
        body_contains,
        interval: table.take(reader, "interval", scalar::duration),
        timeout: table.take(reader, "timeout", scalar::duration),
        fall: table.take(reader, "fall", scalar::integer(1..=100)),
        rise: table.take(reader, "rise", scalar::integer(1..=100)),
        fast_recheck: table.take(reader, "fast_recheck", fast_recheck),
        name,
    };
    if !skip_rest {
        table.finish(reader);
    }
    check
}

type Expected = (Option<Spanned<Vec<Spanned<RangeInclusive<u16>>>>>, Option<Spanned<String>>);

fn expect<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> Expected {
    let Some(mut expect) = table.take_table(reader, "expect") else {
        return (None, None);
    };
    expect.what = "`expect`".into();
    let status = expect.take(reader, "status", |reader, value| {
        reader.list(value, "status codes such as \"200-299\"", status_range)
    });
    let body_contains = expect.take(reader, "body_contains", scalar::string);
    expect.finish(reader);
    (status, body_contains)
}

fn status_range<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<RangeInclusive<u16>> {
    let span = value.span();
    let text = match value.get_ref().as_integer() {
        Some(code) => code.to_string(),
        None => scalar::string(reader, value)?,
    };
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let code = |text: &str| {
        let code: u16 = text.trim().parse().ok()?;
        (100..=599).contains(&code).then_some(code)
    };
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Some(first..=last),
        _ => {
            let message = format!("`{text}` is not a status code or a range of them");
            reader.report_help(span, message, "write \"204\" or \"200-299\"");
            None
        }
    }
}

fn path<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<String> {
    let span = value.span();
    let path = scalar::string(reader, value)?;
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic());
    if path.starts_with('/') && plain {
        return Some(path);
    }
    let help = "it begins with `/`; other characters than ASCII are written in percent form";
    reader.report_help(span, format!("`{path}` is not a path"), help);
    None
}

fn fast_recheck<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<FastRecheck> {
    match value.get_ref().as_str() {
        Some("off") => Some(FastRecheck::Off),
        _ => scalar::duration(reader, value).map(FastRecheck::After),
    }
}
