//! `[pools.*]` and their endpoints, as written.

use super::{
    Problem, Spanned,
    reader::{Reader, Table, Value},
    scalar,
    settings::{EndpointSettings, PoolSettings, refuse_record_keys},
    zone::StaticText,
};
use crate::units::Weight;
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
    path::Path,
    sync::Arc,
};

/// A pool as written.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolDef {
    /// The file it is in: a zone's, or the server's for a shared one.
    pub file: Arc<Path>,
    /// What it is referred to by.
    pub name: Spanned<String>,
    /// What holds for its endpoints.
    pub settings: PoolSettings,
    /// Its endpoints; absent if they could not be read.
    pub endpoints: Option<Spanned<Vec<EndpointDef>>>,
    /// The largest share of all clients it is meant to take.
    pub capacity: Option<Spanned<f64>>,
    /// What its clients are given beside its addresses, at the name of the record they asked.
    pub extra: Option<StaticText>,
}

/// An endpoint as written, in a pool or inline as a member.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointDef {
    /// All of it.
    pub span: Range<usize>,
    /// Its name; an inline one may go by its address.
    pub name: Option<Spanned<String>>,
    /// The IPv4 address to answer.
    pub ipv4: Option<Spanned<Ipv4Addr>>,
    /// The IPv6 address to answer.
    pub ipv6: Option<Spanned<Ipv6Addr>>,
    /// The name to answer as a CNAME.
    pub cname: Option<Spanned<String>>,
    /// Its share of its pool.
    pub weight: Option<Spanned<Weight>>,
    /// Its check, region and probe.
    pub settings: EndpointSettings,
}

/// Reads all `[pools.*]` of a file.
pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> Vec<PoolDef> {
    let named = root.take_named(reader, "pools", "pool");
    named.into_iter().map(|(name, table)| pool(reader, name, table)).collect()
}

fn pool<'i>(reader: &mut Reader<'i, '_>, name: Spanned<String>, mut table: Table<'i>) -> PoolDef {
    reader.check_name(&name);
    refuse_record_keys(reader, &mut table);
    let example = "[{ name = \"a\", ipv4 = \"192.0.2.1\" }]";
    let endpoints = table.require(reader, "endpoints", example, |reader, value| {
        let items = reader.array(value, "endpoints")?;
        let read = items.into_iter().filter_map(|item| endpoint(reader, item));
        Some(read.collect())
    });
    let pool = PoolDef {
        file: reader.file.clone(),
        name,
        settings: PoolSettings::read(reader, &mut table),
        endpoints,
        capacity: table.take(reader, "capacity", scalar::share),
        extra: StaticText::take(reader, &mut table, "extra"),
    };
    table.finish(reader);
    pool
}

fn endpoint<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<EndpointDef> {
    let mut table = reader.table("an endpoint".into(), value)?;
    refuse_record_keys(reader, &mut table);
    if !table.has("name") {
        let problem = Problem::error(&reader.file, table.span.clone(), "this endpoint has no name");
        reader.push(problem.help(
            "add `name = \"…\"`: what is known of an endpoint is kept by its name when its address \
             changes",
        ));
    }
    let weight = table.take(reader, "weight", scalar::weight);
    let endpoint = EndpointDef { weight, ..inline_endpoint(reader, &mut table) };
    table.finish(reader);
    Some(endpoint)
}

/// The keys of an endpoint that stands inline as a member; weight is the member's.
pub(super) fn inline_endpoint<'i>(
    reader: &mut Reader<'i, '_>,
    table: &mut Table<'i>,
) -> EndpointDef {
    let written = ["ipv4", "ipv6", "cname"].map(|key| table.has(key));
    match written {
        [false, false, false] => reader.report_help(
            table.span.clone(),
            "this endpoint has nothing to answer",
            "add `ipv4`, `ipv6` or both, or `cname`",
        ),
        [true, _, true] | [_, true, true] => reader.report_help(
            table.value_span("cname").unwrap_or(table.span.clone()),
            "an endpoint has addresses or a CNAME, not both",
            "make two pools of it: a CNAME owns its name alone (RFC 1034 §3.6.2)",
        ),
        _ => {}
    }
    EndpointDef {
        span: table.span.clone(),
        name: table.take(reader, "name", scalar::name),
        ipv4: table.take(reader, "ipv4", scalar::ipv4),
        ipv6: table.take(reader, "ipv6", scalar::ipv6),
        cname: table.take(reader, "cname", scalar::string),
        weight: None,
        settings: EndpointSettings::read(reader, table),
    }
}
