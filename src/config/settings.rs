//! What may be written at several levels and holds for everything below.
//!
//! One struct a level, each containing the one below it, as DESIGN §4 lets them be inherited:
//! `[defaults]` → zone → record → pool → endpoint.

use super::{
    Problem, Spanned,
    reader::{Reader, Table, Value},
    scalar,
};
use crate::units::Ttl;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use toml::de::DeValue;

/// What an endpoint may say of itself, or be told by anything above it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointSettings {
    /// The check that watches it; `none` for no check.
    pub check: Option<Spanned<String>>,
    /// The region it stands in.
    pub region: Option<Spanned<String>>,
    /// Where it is probed, if not where it is answered.
    pub probe: Option<Spanned<ProbeAt>>,
}

/// The same for a pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolSettings {
    /// For its endpoints.
    pub endpoint: EndpointSettings,
    /// How many of its endpoints go into an answer.
    pub answers: Option<Spanned<u32>>,
    /// How much of it must be up.
    pub min_healthy: Option<Spanned<MinHealthy>>,
}

/// The same for a record, and for the zone and the server above it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordSettings {
    /// For its pools.
    pub pool: PoolSettings,
    /// How long its answers may be kept.
    pub ttl: Option<Spanned<TtlRange>>,
    /// What it answers when nothing is available.
    pub all_down: Option<Spanned<AllDown>>,
    /// Whether a client keeps its answer.
    pub sticky: Option<Spanned<Sticky>>,
    /// How much of a client's address makes it the same client.
    pub sticky_prefix: Option<Spanned<StickyPrefix>>,
    /// Whether the client subnet of a query counts.
    pub ecs: Option<Spanned<Ecs>>,
    /// How fast clients come to an endpoint that comes back, or follow a failover; `None`
    /// within is `"off"`.
    pub ramp: Option<Spanned<Option<Ramp>>>,
}

/// A share that grows to one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// How long it takes.
    pub over: Duration,
    /// Where it starts, if not at the usual share.
    pub start: Option<f64>,
}

/// A target of probes as written: an address or a name, and a port if not the check's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeAt {
    /// What to connect to.
    pub host: ProbeHost,
    /// The port, if not the check's.
    pub port: Option<u16>,
}

/// The host of a [`ProbeAt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeHost {
    /// An address.
    Ip(IpAddr),
    /// A name, resolved for each probe.
    Name(String),
}

/// How much of a pool, or of a weighted policy's absorbing weight, must be available.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MinHealthy {
    /// A share of the weight, above 0 and at most 1.
    Share(f64),
    /// A number of endpoints, at least 1.
    Count(u32),
}

/// A TTL, and how far it may shrink while something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlRange {
    /// In quiet times.
    pub max: Ttl,
    /// While an endpoint of the record fails its probes; not above `max`.
    pub min: Ttl,
}

/// What a record answers when nothing of it is available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllDown {
    /// The endpoints that were up just before the last of them fell.
    LastGood,
    /// Everything, as if all were up.
    All,
    /// The first member.
    First,
    /// Nothing.
    NoData,
    /// A pool.
    Pool(String),
}

/// Whether a client keeps its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// Every query is drawn anew.
    None,
    /// One client network, one answer.
    Client,
}

/// How many bits of an address are the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StickyPrefix {
    /// Of an IPv4 address: 1 to 32.
    pub v4: u8,
    /// Of an IPv6 address: 1 to 128.
    pub v6: u8,
}

impl Default for StickyPrefix {
    /// What most resolvers send at most, and what most networks are handed out as.
    fn default() -> Self {
        StickyPrefix { v4: 24, v6: 48 }
    }
}

/// Whether the client subnet of a query counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecs {
    /// It does (RFC 7871).
    Use,
    /// Only the resolver's own address does.
    Ignore,
}

impl EndpointSettings {
    pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> Self {
        EndpointSettings {
            check: table.take(reader, "check", scalar::name),
            region: table.take(reader, "region", scalar::name),
            probe: table.take(reader, "probe", probe_at),
        }
    }
}

impl PoolSettings {
    pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> Self {
        PoolSettings {
            endpoint: EndpointSettings::read(reader, table),
            answers: table.take(reader, "answers", answers),
            min_healthy: table.take(reader, "min_healthy", min_healthy),
        }
    }
}

impl RecordSettings {
    pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> Self {
        const STICKY: &[(&str, Sticky)] = &[("none", Sticky::None), ("client", Sticky::Client)];
        const ECS: &[(&str, Ecs)] = &[("use", Ecs::Use), ("ignore", Ecs::Ignore)];
        RecordSettings {
            pool: PoolSettings::read(reader, table),
            ttl: table.take(reader, "ttl", ttl),
            all_down: table.take(reader, "all_down", all_down),
            sticky: table.take(reader, "sticky", scalar::choice("sticky mode", STICKY, &[])),
            sticky_prefix: table.take(reader, "sticky_prefix", sticky_prefix),
            ecs: table.take(reader, "ecs", scalar::choice("use of ECS", ECS, &[])),
            ramp: table.take(reader, "ramp", ramp),
        }
    }
}

/// Refuses the keys that belong to a record, in `table`, which is a pool or a policy inside one.
pub(super) fn refuse_record_keys<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) {
    const WHOLE: &str = "it holds for a record and its whole tree: write it at the record";
    for key in ["sticky", "sticky_prefix", "cohort", "ecs", "ttl", "ramp"] {
        table.elsewhere(reader, key, WHOLE);
    }
    const ALL_DOWN: &str = "it is what a record answers when all of its tree is down: write it \
                            at the record, the zone or [defaults]";
    table.elsewhere(reader, "all_down", ALL_DOWN);
}

/// `{ over = "10m", start = 0.05 }`, or `"off"` where one is inherited.
pub(super) fn ramp<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Option<Ramp>> {
    /// Shares move once a second: shorter is at once.
    const OVER_MIN: Duration = Duration::from_secs(1);
    /// Longer than a day of peak and trough, nobody watches it any more.
    const OVER_MAX: Duration = Duration::from_secs(7 * 86_400);
    if value.get_ref().as_str() == Some("off") {
        return Some(None);
    }
    let mut table = match value.get_ref().is_table() {
        true => reader.table("`ramp`".into(), value)?,
        false => return reader.mistyped(&value, "{ over = \"10m\" } or \"off\""),
    };
    let over = table.require(reader, "over", "\"10m\"", scalar::duration);
    let start = table.take(reader, "start", scalar::share);
    table.finish(reader);
    let over = over?;
    if !(OVER_MIN..=OVER_MAX).contains(over.get_ref()) {
        let message = format!("a ramp over {:?} is out of range", over.get_ref());
        reader.report_help(over.span(), message, "write 1s to 7d, or `ramp = \"off\"`");
        return None;
    }
    let start = start.map(Spanned::into_inner);
    Some(Some(Ramp { over: over.into_inner(), start }))
}

/// A number of addresses in an answer: a pool has at most 256 endpoints.
pub(super) fn answers<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<u32> {
    scalar::integer(1..=256)(reader, value)
}

pub(super) fn min_healthy<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<MinHealthy> {
    if !value.get_ref().is_table() {
        return scalar::share(reader, value).map(MinHealthy::Share);
    }
    let mut table = reader.table("`min_healthy`".into(), value)?;
    let count = table.require(reader, "count", "2", scalar::integer(1..=256));
    table.finish(reader);
    count.map(|count| MinHealthy::Count(count.into_inner()))
}

fn ttl<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<TtlRange> {
    if !value.get_ref().is_table() {
        let ttl = ttl_seconds(reader, value)?;
        return Some(TtlRange { max: ttl, min: ttl });
    }
    let span = value.span();
    let mut table = reader.table("`ttl`".into(), value)?;
    table.span = span.clone();
    let max = table.require(reader, "max", "\"30s\"", ttl_seconds);
    let min = table.require(reader, "min", "\"5s\"", ttl_seconds);
    table.finish(reader);
    let range = TtlRange { max: max?.into_inner(), min: min?.into_inner() };
    if range.min > range.max {
        reader.report(span, "`min` is above `max`: a TTL only ever shrinks");
        return None;
    }
    Some(range)
}

/// A TTL: whole seconds, at least one, in bounds (RFC 2181 §8).
pub(super) fn ttl_seconds<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Ttl> {
    let span = value.span();
    let duration = scalar::duration(reader, value)?;
    let seconds = u32::try_from(duration.as_secs()).ok();
    let seconds = seconds.filter(|&seconds| seconds <= Ttl::MAX.as_secs());
    if duration.is_zero() {
        reader.report_help(
            span,
            "a TTL of 0 means a query for every connection, and some resolvers keep it anyway",
            "write at least \"1s\"; \"5s\" to \"60s\" is usual for steered names",
        );
        return None;
    }
    if seconds.is_none() || duration.subsec_nanos() != 0 {
        reader.report(span, "a TTL is whole seconds, at most 2147483647");
        return None;
    }
    seconds.map(Ttl::from_secs)
}

fn all_down<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<AllDown> {
    const WORDS: [&str; 5] = ["last-good", "all", "first", "nodata", "pool:NAME"];
    let span = value.span();
    let text = scalar::string(reader, value)?;
    match (text.as_str(), text.strip_prefix("pool:")) {
        ("last-good", _) => Some(AllDown::LastGood),
        ("all", _) => Some(AllDown::All),
        ("first", _) => Some(AllDown::First),
        ("nodata", _) => Some(AllDown::NoData),
        (_, Some(pool)) => Some(AllDown::Pool(pool.to_owned())),
        _ => {
            let file = reader.file.clone();
            reader.push(Problem::unknown(&file, span, "`all_down`", &text, WORDS));
            None
        }
    }
}

fn sticky_prefix<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<StickyPrefix> {
    let mut table = reader.table("`sticky_prefix`".into(), value)?;
    let v4 = table.take(reader, "v4", scalar::integer(1..=32));
    let v6 = table.take(reader, "v6", scalar::integer(1..=128));
    table.finish(reader);
    let usual = StickyPrefix::default();
    Some(StickyPrefix {
        v4: v4.map_or(usual.v4, |bits| bits.into_inner() as u8),
        v6: v6.map_or(usual.v6, |bits| bits.into_inner() as u8),
    })
}

/// An address or a name to probe, with or without a port.
pub(super) fn probe_at<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<ProbeAt> {
    let span = value.span();
    if !matches!(value.get_ref(), DeValue::String(_)) {
        return reader.mistyped(&value, "a string such as \"10.0.0.11:8443\"");
    }
    let text = scalar::string(reader, value)?;
    let probe = parse_probe(&text);
    if probe.is_none() {
        reader.report_help(
            span,
            format!("`{text}` is not a target for probes"),
            "write an address or a name, and `:port` if it is not the check's: \"10.0.0.11:8443\", \
             \"[2001:db8::1]:443\", \"backend.internal\"",
        );
    }
    probe
}

fn parse_probe(text: &str) -> Option<ProbeAt> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return (socket.port() > 0)
            .then_some(ProbeAt { host: ProbeHost::Ip(socket.ip()), port: Some(socket.port()) });
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(ProbeAt { host: ProbeHost::Ip(address), port: None });
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port.parse::<u16>().ok().filter(|&p| p > 0)?)),
        None => (text, None),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let letter = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(letter);
    // A last label of digits is an address with a slip in it, not a name.
    let last = name.rsplit('.').next().unwrap_or("");
    let named = last.chars().any(|c| !c.is_ascii_digit());
    (name.len() <= 253 && named && name.split('.').all(label))
        .then(|| ProbeAt { host: ProbeHost::Name(name.to_ascii_lowercase()), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_names_an_address_or_a_host_with_or_without_port() {
        let shown = |text| {
            parse_probe(text).map(|probe| match probe.host {
                ProbeHost::Ip(ip) => format!("{ip} {:?}", probe.port),
                ProbeHost::Name(name) => format!("{name} {:?}", probe.port),
            })
        };
        for (text, read) in [
            ("10.0.0.11:8443", Some("10.0.0.11 Some(8443)")),
            ("10.0.0.11", Some("10.0.0.11 None")),
            ("[2001:db8::1]:443", Some("2001:db8::1 Some(443)")),
            ("2001:db8::1", Some("2001:db8::1 None")),
            ("Backend.internal.:80", Some("backend.internal Some(80)")),
            ("10.0.0.256", None),
            ("10.0.0.1:0", None),
            ("10.0.0.1:99999", None),
            ("http://x", None),
            ("", None),
        ] {
            assert_eq!(shown(text).as_deref(), read, "{text}");
        }
    }
}
