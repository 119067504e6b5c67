//! What is probed: check definitions with every default filled in, and the targets of endpoints.

use super::server::Server;
use crate::{
    checkplan::{Check, CheckKind, HttpCheck, ProbeAddress, denied},
    config::{
        Problem, Problems, Spanned,
        checks::{CheckDef, CheckType, FastRecheck},
        nearest,
        settings::{ProbeAt, ProbeHost},
    },
};
use serde::Serialize;
use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// More often is a load test, not a check.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Rarer, and nothing would fail over within a day of three failures.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);
/// Shorter than a round trip on a local network under load.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// A check and the port it connects to unless the endpoint says otherwise.
#[derive(Clone, Debug)]
pub(super) struct CheckSpec {
    pub check: Arc<Check>,
    pub port: Option<u16>,
    /// What it asks where no endpoint does.
    pub target: Option<ProbeAt>,
    pub file: Arc<Path>,
    pub span: std::ops::Range<usize>,
}

/// What `tradewind check` says about a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckFacts {
    /// Its name.
    pub name: String,
    /// How many targets it probes.
    pub targets: usize,
    /// Seconds between probes.
    pub interval_seconds: f64,
    /// The longest a dead target can count as up, in seconds.
    pub worst_case_detection_seconds: f64,
    /// The same of one that refuses connections.
    pub refusing_detection_seconds: f64,
    /// The same of one whose probes run into the time-out.
    pub hanging_detection_seconds: f64,
    /// Whether a failure is looked at again sooner: then a blip of two to three seconds can move
    /// a region.
    pub fast_recheck: bool,
}

/// The check that `def` means; nothing, with problems, if it means none.
pub(super) fn compile(def: &CheckDef, problems: &mut Problems) -> Option<CheckSpec> {
    let kind = *def.kind.as_ref()?.get_ref();
    let interval = value(&def.interval, Duration::from_secs(10));
    let timeout = value(&def.timeout, Duration::from_secs(3).min(interval / 2));
    check_times(def, interval, timeout, problems);
    let http = || HttpCheck {
        path: value(&def.path, "/".into()).into(),
        host: def.host.as_ref().map(|host| host.get_ref().as_str().into()),
        status: statuses(def),
        body_contains: def.body_contains.as_ref().map(|text| text.get_ref().as_str().into()),
    };
    let port = def.port.as_ref().map(|port| *port.get_ref() as u16);
    let (kind, port) = match kind {
        CheckType::Tcp => (CheckKind::Tcp, port),
        CheckType::Http => (CheckKind::Http(http()), port.or(Some(80))),
        CheckType::Https => (CheckKind::Https(http()), port.or(Some(443))),
    };
    let check = Check {
        name: def.name.get_ref().as_str().into(),
        kind,
        interval,
        timeout,
        fall: value(&def.fall, 3),
        rise: value(&def.rise, 2),
        fast_recheck: match value(&def.fast_recheck, FastRecheck::After(Duration::from_secs(1))) {
            FastRecheck::Off => None,
            FastRecheck::After(delay) => Some(delay),
        },
    };
    Some(CheckSpec {
        check: Arc::new(check),
        port,
        target: def.target.as_ref().map(|target| target.get_ref().clone()),
        file: def.file.clone(),
        span: def.name.span(),
    })
}

fn value<T: Clone>(written: &Option<Spanned<T>>, default: T) -> T {
    written.as_ref().map_or(default, |value| value.get_ref().clone())
}

fn statuses(def: &CheckDef) -> Vec<std::ops::RangeInclusive<u16>> {
    match &def.status {
        Some(list) => list.get_ref().iter().map(|range| range.get_ref().clone()).collect(),
        None => vec![200..=299],
    }
}

fn check_times(def: &CheckDef, interval: Duration, timeout: Duration, problems: &mut Problems) {
    let span = |written: &Option<Spanned<Duration>>| {
        written.as_ref().map_or(def.name.span(), Spanned::span)
    };
    let mut error = |span, message: String, help: &str| {
        problems.push(Problem::error(&def.file, span, message).help(help));
    };
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        let message = format!("an interval of {interval:?} is out of range");
        error(span(&def.interval), message, "write 100ms to 1h; 10s is the default");
    }
    if timeout >= interval {
        let message =
            format!("the timeout of {timeout:?} is not below the interval of {interval:?}");
        let help = "a probe must be over before the next one starts";
        error(span(&def.timeout), message, help);
    } else if timeout < TIMEOUT_MIN {
        let message = format!("a timeout of {timeout:?} is too short for any answer");
        error(span(&def.timeout), message, "write 10ms or more; 3s is the default");
    }
    if let Some(recheck) = &def.fast_recheck
        && let FastRecheck::After(delay) = recheck.get_ref()
        && *delay < TIMEOUT_MIN
    {
        let message = format!("a recheck after {delay:?} would find what the last probe found");
        error(recheck.span(), message, "write 10ms or more, or \"off\"");
    }
    if let Some(status) = &def.status
        && status.get_ref().is_empty()
    {
        error(status.span(), "no status passes this check".into(), "leave it out for 200-299");
    }
}

/// A target as a draft knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TargetSpec {
    /// Address and meaning of the check: what a verdict is kept by.
    pub key: Arc<str>,
    pub address: ProbeAddress,
    pub check: Arc<Check>,
}

/// Where an endpoint is answered: what is probed unless `probe` says otherwise.
pub(super) enum Answered<'a> {
    Ip(IpAddr),
    Name(&'a str),
}

/// Why an endpoint cannot be probed.
pub(super) enum Unprobable {
    /// The check names no port and the endpoint neither.
    NoPort,
    /// The address is one that is never probed.
    Denied(IpAddr),
}

/// The target that judges an endpoint under `spec`.
pub(super) fn target(
    server: &Server,
    spec: &CheckSpec,
    answered: Answered<'_>,
    probe: Option<&ProbeAt>,
) -> Result<TargetSpec, Unprobable> {
    let port = probe.and_then(|probe| probe.port).or(spec.port);
    let port = port.ok_or(Unprobable::NoPort)?;
    let (ip, name) = match (probe.map(|probe| &probe.host), &answered) {
        (Some(ProbeHost::Ip(ip)), _) => (Some(*ip), ""),
        (Some(ProbeHost::Name(name)), _) => (None, name.as_str()),
        (None, Answered::Ip(ip)) => (Some(*ip), ""),
        (None, Answered::Name(name)) => (None, *name),
    };
    let address = match ip {
        Some(ip) if denied(ip, &server.deny) => return Err(Unprobable::Denied(ip)),
        Some(ip) => ProbeAddress::Ip(SocketAddr::new(ip, port)),
        None => ProbeAddress::Host { name: name.into(), port },
    };
    Ok(TargetSpec { key: key(&address, &spec.check).into(), address, check: spec.check.clone() })
}

/// The target behind the check `name` where it is a gate, no endpoint's; a problem if there is
/// none.
pub(super) fn gate(
    server: &Server,
    file: &Arc<Path>,
    name: &Spanned<String>,
    problems: &mut Problems,
) -> Option<TargetSpec> {
    let word = name.get_ref().as_str();
    let Some(spec) = server.checks.get(word) else {
        // A check that is itself broken has its own problem.
        if !server.broken_checks.contains(word) {
            let names = server.checks.keys().map(String::as_str);
            problems.push(Problem::unknown(file, name.span(), "check", word, names));
        }
        return None;
    };
    let mut error = |message: String, help: &str| {
        let problem = Problem::error(file, name.span(), message).help(help);
        problems.push(problem.related(&spec.file, spec.span.clone(), "defined here"));
    };
    if spec.target.is_none() {
        let message = format!("check `{word}` has no target of its own");
        error(message, "only endpoints lend it theirs: add `target = \"10.0.0.11:5432\"` to it");
        return None;
    }
    match target(server, spec, Answered::Name(""), spec.target.as_ref()) {
        Ok(target) => Some(target),
        Err(Unprobable::NoPort) => {
            error(format!("check `{word}` names no port"), "add `:port` to its target");
            None
        }
        Err(Unprobable::Denied(ip)) => {
            error(format!("{ip} is never probed"), "it is on the list of `[health] deny`, or ours");
            None
        }
    }
}

/// Everything a result depends on, in words: equal keys are one target and one verdict.
fn key(address: &ProbeAddress, check: &Check) -> String {
    let mut key = match address {
        ProbeAddress::Ip(socket) => socket.to_string(),
        ProbeAddress::Host { name, port } => format!("{name}:{port}"),
    };
    let mut add = |text: std::fmt::Arguments<'_>| {
        key.write_fmt(text).expect("a String takes any text");
    };
    match &check.kind {
        CheckKind::Tcp => add(format_args!(" tcp")),
        CheckKind::Http(http) => add(format_args!(" http {http:?}")),
        CheckKind::Https(https) => add(format_args!(" https {https:?}")),
    }
    let Check { interval, timeout, fall, rise, fast_recheck, .. } = check;
    add(format_args!(
        " every {interval:?} within {timeout:?} fall {fall} rise {rise} recheck {fast_recheck:?}"
    ));
    key
}

/// Whether `name` is a check, or says that there is none; a problem if neither.
pub(super) fn exists(
    server: &Server,
    file: &Arc<Path>,
    name: &Spanned<String>,
    problems: &mut Problems,
) {
    let word = name.get_ref().as_str();
    // A check that is itself broken has its own problem.
    if word == "none" || server.checks.contains_key(word) || server.broken_checks.contains(word) {
        return;
    }
    let names = server.checks.keys().map(String::as_str).chain(["none"]);
    let mut problem = Problem::unknown(file, name.span(), "check", word, names);
    if nearest(word, server.checks.keys().map(String::as_str)).is_none() {
        problem = problem.note("checks are defined in healthchecks/*.toml, as [NAME]");
    }
    problems.push(problem);
}
