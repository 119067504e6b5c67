//! `healthchecks/*.toml`: how endpoints are watched, as written.

use super::{
    Problems, Spanned,
    reader::{Reader, Table, Value},
    scalar,
    settings::{self, ProbeAt},
};
use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A check as written; what is absent has a default that depends on its type.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckDef {
    /// The file it is in.
    pub file: Arc<Path>,
    /// What it is referred to by.
    pub name: Spanned<String>,
    /// What it sends; absent if it could not be read.
    pub kind: Option<Spanned<CheckType>>,
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
    pub fast_recheck: Option<Spanned<OffOr>>,
    /// Failures that add up although passes lie between them.
    pub leaky: Option<Spanned<LeakyDef>>,
    /// A pass that took longer is slow.
    pub max_latency: Option<Spanned<Duration>>,
    /// How long a target that fell stays down at least.
    pub hold_down: Option<Spanned<OffOr>>,
    /// Whether its verdict moves answers.
    pub mode: Option<Spanned<Mode>>,
    /// What it probes as a gate: an address or a name, with or without port.
    pub target: Option<Spanned<ProbeAt>>,
    /// A push check's target without a heartbeat for so long is down.
    pub stale_after: Option<Spanned<Duration>>,
    /// The file with what a push check's heartbeats must carry, relative to the folder.
    pub token_file: Option<Spanned<PathBuf>>,
}

/// `{ failures = 10, reset_after = 10 }`.
#[derive(Clone, Debug, PartialEq)]
pub struct LeakyDef {
    /// So many failures are a fall.
    pub failures: Option<Spanned<u32>>,
    /// So many passes in a row forget them.
    pub reset_after: Option<Spanned<u32>>,
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
    /// Nothing: the target sends heartbeats.
    Push,
}

/// Whether a verdict moves answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Act,
    /// It is only shown.
    Observe,
}

/// A duration that can be done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffOr {
    /// Not at all.
    Off,
    /// So long.
    For(Duration),
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
    const TYPES: &[(&str, CheckType)] = &[
        ("http", CheckType::Http),
        ("https", CheckType::Https),
        ("tcp", CheckType::Tcp),
        ("push", CheckType::Push),
    ];
    const LATER: &[&str] =
        &["tls", "dns", "icmp", "grpc", "exec", "file", "prometheus", "composite"];
    const MODES: &[(&str, Mode)] = &[("act", Mode::Act), ("observe", Mode::Observe)];
    reader.check_name(&name);
    if name.get_ref() == "none" {
        let help = "`check = \"none\"` means no check; call this one something else";
        reader.report_help(name.span(), "a check cannot be called `none`", help);
    }
    let kind =
        table.require(reader, "type", "\"https\"", scalar::choice("check type", TYPES, LATER));
    // The keys of a type that is not in this version are not in it either: no word about them.
    let skip_rest = kind.is_none();
    if let Some(kind) = &kind {
        refuse_keys_of_other_types(reader, *kind.get_ref(), &mut table);
    }
    let (status, body_contains) = expect(reader, &mut table);
    let check = CheckDef {
        file: reader.file.clone(),
        port: table.take(reader, "port", scalar::integer(1..=65_535)),
        path: table.take(reader, "path", path),
        host: table.take(reader, "host", scalar::string),
        status,
        body_contains,
        interval: table.take(reader, "interval", scalar::duration),
        timeout: table.take(reader, "timeout", scalar::duration),
        fall: table.take(reader, "fall", scalar::integer(1..=100)),
        rise: table.take(reader, "rise", scalar::integer(1..=100)),
        fast_recheck: table.take(reader, "fast_recheck", off_or),
        leaky: table.take(reader, "leaky", leaky),
        max_latency: table.take(reader, "max_latency", scalar::duration),
        hold_down: table.take(reader, "hold_down", off_or),
        mode: table.take(reader, "mode", scalar::choice("mode", MODES, &[])),
        target: table.take(reader, "target", settings::probe_at),
        stale_after: table.take(reader, "stale_after", scalar::duration),
        token_file: match kind.as_ref().map(Spanned::get_ref) {
            Some(CheckType::Push) => {
                table.require(reader, "token_file", "\"secrets/NAME.token\"", token_file)
            }
            _ => None,
        },
        kind,
        name,
    };
    if !skip_rest {
        table.finish(reader);
    }
    check
}

fn refuse_keys_of_other_types<'i>(
    reader: &mut Reader<'i, '_>,
    kind: CheckType,
    table: &mut Table<'i>,
) {
    const REQUEST: [&str; 3] = ["path", "host", "expect"];
    let (keys, why): (&[&str], _) = match kind {
        CheckType::Http | CheckType::Https => (&["stale_after", "token_file"], PUSH_ONLY),
        CheckType::Tcp => {
            let why = "a tcp check only connects; `http` and `https` send a request";
            for key in REQUEST {
                table.elsewhere(reader, key, why);
            }
            (&["stale_after", "token_file"], PUSH_ONLY)
        }
        CheckType::Push => {
            let keys: &[&str] = &[
                "path",
                "host",
                "expect",
                "port",
                "timeout",
                "fall",
                "fast_recheck",
                "leaky",
                "max_latency",
                "target",
            ];
            (keys, "nothing is sent or timed: heartbeats come to this server")
        }
    };
    for key in keys {
        table.elsewhere(reader, key, why);
    }
}

const PUSH_ONLY: &str = "only a `push` check waits for heartbeats";

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

fn off_or<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<OffOr> {
    match value.get_ref().as_str() {
        Some("off") => Some(OffOr::Off),
        _ => scalar::duration(reader, value).map(OffOr::For),
    }
}

fn leaky<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<LeakyDef> {
    let mut table = reader.table("`leaky`".into(), value)?;
    let count = || scalar::integer(1..=1_000);
    let def = LeakyDef {
        failures: table.require(reader, "failures", "10", count()),
        reset_after: table.require(reader, "reset_after", "10", count()),
    };
    table.finish(reader);
    Some(def)
}

fn token_file<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<PathBuf> {
    let span = value.span();
    let path = PathBuf::from(scalar::string(reader, value)?);
    if path.components().next().is_some() {
        return Some(path);
    }
    reader.report_help(span, "this names no file", "write \"secrets/NAME.token\"");
    None
}
