//! What is probed: check definitions with every default filled in, and the targets of endpoints.

use super::{SecretReader, server::Server};
use crate::{
    checkplan::{Check, CheckKind, HttpCheck, Leaky, Mode, ProbeAddress, Token, denied},
    config::{
        Problem, Problems, Spanned,
        checks::{self as config, CheckDef, CheckType, OffOr},
        nearest,
        settings::{ProbeAt, ProbeHost},
    },
};
use ipnet::IpNet;
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
/// Longer, and nobody would remember why it is down.
const HOLD_DOWN_MAX: Duration = Duration::from_secs(3_600);
/// Shorter than a round trip on a local network under load.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// A check and the port it connects to unless the endpoint says otherwise.
#[derive(Clone, Debug)]
pub(super) struct CheckSpec {
    pub check: Arc<Check>,
    pub port: Option<u16>,
    /// What it probes as a gate.
    pub gate: Option<TargetSpec>,
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
pub(super) fn compile(
    def: &CheckDef,
    deny: &[IpNet],
    problems: &mut Problems,
) -> Option<CheckSpec> {
    let kind = *def.kind.as_ref()?.get_ref();
    let interval = value(&def.interval, Duration::from_secs(10));
    let timeout = value(&def.timeout, Duration::from_secs(3).min(interval / 2));
    let stale_after = value(&def.stale_after, interval * 3);
    let fall = value(&def.fall, 3);
    check_times(def, interval, timeout, problems);
    check_staleness(def, interval, stale_after, problems);
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
        CheckType::Push => (CheckKind::Push { stale_after }, None),
    };
    let check = Arc::new(Check {
        name: def.name.get_ref().as_str().into(),
        kind,
        interval,
        timeout,
        fall,
        rise: value(&def.rise, 2),
        fast_recheck: off_or(&def.fast_recheck, Duration::from_secs(1)),
        leaky: leaky(def, fall, problems),
        max_latency: max_latency(def, timeout, problems),
        hold_down: hold_down(def, interval, problems),
        mode: match def.mode.as_ref().map(Spanned::get_ref) {
            Some(config::Mode::Observe) => Mode::Observe,
            Some(config::Mode::Act) | None => Mode::Act,
        },
    });
    let gate = gate_target(def, &check, port, deny, problems);
    let (file, span) = (def.file.clone(), def.name.span());
    Some(CheckSpec { check, port, gate, file, span })
}

/// The token of a push check; a problem if it has none that can be read.
pub(super) fn token(
    def: &CheckDef,
    read: SecretReader<'_>,
    problems: &mut Problems,
) -> Option<Token> {
    let path = def.token_file.as_ref()?;
    read(path.get_ref())
        .and_then(|text| text.map_or_else(|| Ok(Token::new(b"")), |text| Token::parse(&text)))
        .map_err(|why| {
            let message = format!("{}: {why}", path.get_ref().display());
            problems.push(Problem::error(&def.file, path.span(), message).help(
                "a token is at least 16 characters in a file of its own, such as \
                 `(umask 077; openssl rand -hex 32 > secrets/NAME.token)` makes",
            ));
        })
        .ok()
}

fn value<T: Clone>(written: &Option<Spanned<T>>, default: T) -> T {
    written.as_ref().map_or(default, |value| value.get_ref().clone())
}

fn off_or(written: &Option<Spanned<OffOr>>, default: Duration) -> Option<Duration> {
    match value(written, OffOr::For(default)) {
        OffOr::Off => None,
        OffOr::For(duration) => Some(duration),
    }
}

fn leaky(def: &CheckDef, fall: u32, problems: &mut Problems) -> Option<Leaky> {
    let written = def.leaky.as_ref()?;
    let failures = written.get_ref().failures.as_ref()?;
    let reset_after = *written.get_ref().reset_after.as_ref()?.get_ref();
    if *failures.get_ref() < fall {
        let message = format!("{failures} failures are fewer than the `fall` of {fall}");
        problems.push(
            Problem::error(&def.file, failures.span(), message)
                .help("they add up although passes lie between them: write `fall` or more"),
        );
    }
    Some(Leaky { failures: *failures.get_ref(), reset_after })
}

fn max_latency(def: &CheckDef, timeout: Duration, problems: &mut Problems) -> Option<Duration> {
    let max = def.max_latency.as_ref()?;
    if *max.get_ref() >= timeout || max.get_ref().is_zero() {
        let message = format!("a pass that takes {:?} is no slow one", max.get_ref());
        problems.push(
            Problem::error(&def.file, max.span(), message).help(format!(
                "write less than the timeout, which is {timeout:?}, and more than 0"
            )),
        );
    }
    Some(*max.get_ref())
}

fn hold_down(def: &CheckDef, interval: Duration, problems: &mut Problems) -> Option<Duration> {
    let hold_down = off_or(&def.hold_down, interval * 3);
    if let (Some(written), Some(hold_down)) = (&def.hold_down, hold_down)
        && !(Duration::from_millis(1)..=HOLD_DOWN_MAX).contains(&hold_down)
    {
        let message = format!("a hold-down of {hold_down:?} is out of range");
        problems.push(
            Problem::error(&def.file, written.span(), message).help(
                "write 1ms to 1h, or \"off\" for no flap damping; 3 × interval is the default",
            ),
        );
    }
    hold_down
}

fn check_staleness(
    def: &CheckDef,
    interval: Duration,
    stale_after: Duration,
    problems: &mut Problems,
) {
    if let Some(written) = &def.stale_after
        && stale_after <= interval
    {
        let message = format!("heartbeats are stale after {stale_after:?}, before the next is due");
        problems.push(
            Problem::error(&def.file, written.span(), message)
                .help(format!("write more than the interval of {interval:?}; 3 × is the default")),
        );
    }
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
        && let OffOr::For(delay) = recheck.get_ref()
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

/// Why a check is no gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoGate {
    /// There is no such check, or it is broken.
    UnknownCheck,
    /// It has no `target` of its own.
    NoTarget,
}

/// Why an endpoint cannot be probed.
pub(super) enum Unprobable {
    /// The check names no port and the endpoint neither.
    NoPort,
    /// The address is one that is never probed.
    Denied(IpAddr),
}

/// The target that judges `endpoint` (its full id) under `spec`.
pub(super) fn target(
    server: &Server,
    spec: &CheckSpec,
    endpoint: &Arc<str>,
    answered: Answered<'_>,
    probe: Option<&ProbeAt>,
) -> Result<TargetSpec, Unprobable> {
    if let CheckKind::Push { .. } = spec.check.kind {
        return Ok(TargetSpec::new(ProbeAddress::Pushed(endpoint.clone()), &spec.check));
    }
    let port = probe.and_then(|probe| probe.port).or(spec.port);
    let port = port.ok_or(Unprobable::NoPort)?;
    let (ip, name) = match (probe.map(|probe| &probe.host), &answered) {
        (Some(ProbeHost::Ip(ip)), _) => (Some(*ip), ""),
        (Some(ProbeHost::Name(name)), _) => (None, name.as_str()),
        (None, Answered::Ip(ip)) => (Some(*ip), ""),
        (None, Answered::Name(name)) => (None, *name),
    };
    Ok(TargetSpec::new(address(ip, name, port, &server.deny)?, &spec.check))
}

/// The target of check `name` as a gate, such as `require = ["check:NAME"]` waits for.
pub(super) fn gate<'s>(server: &'s Server, name: &str) -> Result<&'s TargetSpec, NoGate> {
    let spec = server.checks.get(name).ok_or(NoGate::UnknownCheck)?;
    spec.gate.as_ref().ok_or(NoGate::NoTarget)
}

/// What `def` probes by itself: its `target`, or, of a push check, whoever sends heartbeats to it
/// under its name alone.
fn gate_target(
    def: &CheckDef,
    check: &Arc<Check>,
    port: Option<u16>,
    deny: &[IpNet],
    problems: &mut Problems,
) -> Option<TargetSpec> {
    if let CheckKind::Push { .. } = check.kind {
        return Some(TargetSpec::new(ProbeAddress::Pushed("".into()), check));
    }
    let written = def.target.as_ref()?;
    let ProbeAt { host, port: own } = written.get_ref();
    let mut error = |message: String, help: &str| {
        problems.push(Problem::error(&def.file, written.span(), message).help(help));
        None
    };
    let Some(port) = own.or(port) else {
        return error("neither `port` nor `target` says which port".into(), "add `port`");
    };
    let (ip, name) = match host {
        ProbeHost::Ip(ip) => (Some(*ip), ""),
        ProbeHost::Name(name) => (None, name.as_str()),
    };
    match address(ip, name, port, deny) {
        Ok(address) => Some(TargetSpec::new(address, check)),
        Err(_) => error("this address is never probed: it is denied".into(), DENIED_HELP),
    }
}

const DENIED_HELP: &str = "link-local, multicast and cloud metadata addresses always are, and what \
                           [health] deny names";

/// Where to connect to: `ip`, else the host `name`.
fn address(
    ip: Option<IpAddr>,
    name: &str,
    port: u16,
    deny: &[IpNet],
) -> Result<ProbeAddress, Unprobable> {
    match ip {
        Some(ip) if denied(ip, deny) => Err(Unprobable::Denied(ip)),
        Some(ip) => Ok(ProbeAddress::Ip(SocketAddr::new(ip, port))),
        None => Ok(ProbeAddress::Host { name: name.into(), port }),
    }
}

impl TargetSpec {
    fn new(address: ProbeAddress, check: &Arc<Check>) -> Self {
        TargetSpec { key: key(&address, check).into(), address, check: check.clone() }
    }

    /// Whether heartbeats come to us, so that nothing is written down for it.
    pub(super) fn is_pushed(&self) -> bool {
        matches!(self.address, ProbeAddress::Pushed(_))
    }
}

/// The target of check `name` as a gate; a problem where `require` names it, if it has none.
pub(super) fn required(
    server: &Server,
    file: &Arc<Path>,
    name: &Spanned<String>,
    problems: &mut Problems,
) -> Option<TargetSpec> {
    let word = name.get_ref().as_str();
    match gate(server, word) {
        Ok(target) => Some(target.clone()),
        Err(NoGate::UnknownCheck) => {
            // A check that is itself broken has its own problem.
            if !server.broken_checks.contains(word) {
                let names = server.checks.keys().map(String::as_str);
                problems.push(Problem::unknown(file, name.span(), "check", word, names));
            }
            None
        }
        Err(NoGate::NoTarget) => {
            let message = format!("check `{word}` has no target of its own");
            let help = "only endpoints lend it theirs: add `target = \"10.0.0.11:5432\"` to it";
            let problem = Problem::error(file, name.span(), message).help(help);
            let spec = &server.checks[word];
            problems.push(problem.related(&spec.file, spec.span.clone(), "defined here"));
            None
        }
    }
}

/// Everything a result depends on, in words: equal keys are one target and one verdict.
fn key(address: &ProbeAddress, check: &Check) -> String {
    let mut key = match address {
        ProbeAddress::Ip(socket) => socket.to_string(),
        ProbeAddress::Host { name, port } => format!("{name}:{port}"),
        ProbeAddress::Pushed(endpoint) => format!("push:{}/{endpoint}", check.name),
    };
    let mut add = |text: std::fmt::Arguments<'_>| {
        key.write_fmt(text).expect("a String takes any text");
    };
    match &check.kind {
        CheckKind::Tcp => add(format_args!(" tcp")),
        CheckKind::Http(http) => add(format_args!(" http {http:?}")),
        CheckKind::Https(https) => add(format_args!(" https {https:?}")),
        CheckKind::Push { stale_after } => add(format_args!(" stale after {stale_after:?}")),
    }
    let Check { interval, timeout, fall, rise, fast_recheck, .. } = check;
    add(format_args!(
        " every {interval:?} within {timeout:?} fall {fall} rise {rise} recheck {fast_recheck:?}"
    ));
    let Check { leaky, max_latency, hold_down, mode, .. } = check;
    if let Some(Leaky { failures, reset_after }) = leaky {
        add(format_args!(" leaky {failures}/{reset_after}"));
    }
    if let Some(max_latency) = max_latency {
        add(format_args!(" slow above {max_latency:?}"));
    }
    add(format_args!(" hold {hold_down:?}"));
    if *mode == Mode::Observe {
        add(format_args!(" observed"));
    }
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
