//! `zones/*.toml`: a delegated zone with its steering, as written.

use super::{
    Problems, Spanned,
    policy::{self, PolicyBody, PolicyDef},
    pool::{self, PoolDef},
    reader::{Reader, Table},
    scalar,
    settings::{RecordSettings, ttl_seconds},
};
use crate::units::Ttl;
use std::{ops::Range, path::Path, sync::Arc};

/// A zone file as written.
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneFile {
    /// Its path.
    pub file: Arc<Path>,
    /// The zone's name; absent if it could not be read.
    pub zone: Option<Spanned<String>>,
    /// The names of its servers.
    pub ns: Option<Spanned<Vec<Spanned<String>>>>,
    /// Its SOA.
    pub soa: SoaDef,
    /// What holds for its records.
    pub settings: RecordSettings,
    /// Files of RFC 1035 text that belong to it.
    pub include: Vec<Spanned<String>>,
    /// RFC 1035 text that belongs to it.
    pub static_text: Option<StaticText>,
    /// Its pools.
    pub pools: Vec<PoolDef>,
    /// Its policies.
    pub policies: Vec<PolicyDef>,
    /// Its steered records.
    pub records: Vec<RecordDef>,
}

/// What a zone says about its SOA; the rest is generated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SoaDef {
    /// All of it, if it is written.
    pub span: Option<Range<usize>>,
    /// The mailbox, as a name.
    pub rname: Option<Spanned<String>>,
    /// The serial, if the files' times are not to decide it.
    pub serial: Option<Spanned<u32>>,
    /// How long resolvers may keep that something does not exist.
    pub negative_ttl: Option<Spanned<Ttl>>,
    /// For secondaries: how often to look.
    pub refresh: Option<Spanned<Ttl>>,
    /// For secondaries: how soon to look again.
    pub retry: Option<Spanned<Ttl>>,
    /// For secondaries: how long to go on without.
    pub expire: Option<Spanned<Ttl>>,
}

/// RFC 1035 text inside a TOML file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticText {
    /// The text.
    pub text: String,
    /// All of it with its quotes.
    pub span: Range<usize>,
    /// Where its first byte is in the file, when it stands there as it is (without escapes): then
    /// byte n of it is byte `start + n` of the file.
    pub start: Option<usize>,
}

impl StaticText {
    /// The text at `key` of `table`.
    pub(super) fn take<'i>(
        reader: &mut Reader<'i, '_>,
        table: &mut Table<'i>,
        key: &'static str,
    ) -> Option<Self> {
        let text = table.take(reader, key, scalar::string)?;
        let span = text.span();
        let text = text.into_inner();
        let written = &reader.text[span.clone()];
        let start = written.find(&text).map(|offset| span.start + offset);
        Some(StaticText { text, span, start })
    }
}

/// A steered record as written.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordDef {
    /// Its name relative to the zone; `@` is the zone itself.
    pub name: Spanned<String>,
    /// What it does; absent if its kind could not be read.
    pub body: Option<PolicyBody>,
    /// What holds for its tree.
    pub settings: RecordSettings,
    /// Names with one cohort put a client on the same side.
    pub cohort: Option<Spanned<String>>,
    /// Whether its CNAMEs are answered as the addresses of their targets.
    pub flatten: Option<Spanned<bool>>,
}

/// Reads a zone file; nothing if it is not TOML.
pub fn read(file: &Arc<Path>, text: &str, problems: &mut Problems) -> Option<ZoneFile> {
    let (mut reader, mut root) = Reader::open(file, text, problems)?;
    let reader = &mut reader;
    root.what = "a zone file".into();
    for key in ["mode", "safety"] {
        root.later(reader, key);
    }
    let zone = ZoneFile {
        file: file.clone(),
        zone: root.require(reader, "zone", "\"gtm.example.com\"", scalar::string),
        ns: root.take(reader, "ns", |reader, value| {
            reader.list(value, "names of servers", scalar::string)
        }),
        soa: soa(reader, &mut root),
        settings: RecordSettings::read(reader, &mut root),
        include: root
            .take(reader, "include", |reader, value| reader.list(value, "files", scalar::string))
            .map(Spanned::into_inner)
            .unwrap_or_default(),
        static_text: StaticText::take(reader, &mut root, "static"),
        pools: pool::read(reader, &mut root),
        policies: policy::read(reader, &mut root),
        records: records(reader, &mut root),
    };
    root.finish(reader);
    Some(zone)
}

fn soa<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> SoaDef {
    let Some(mut table) = root.take_table(reader, "soa") else {
        return SoaDef::default();
    };
    table.what = "`soa`".into();
    let soa = SoaDef {
        span: Some(table.span.clone()),
        rname: table.take(reader, "rname", scalar::string),
        serial: table.take(reader, "serial", scalar::integer(0..=u32::MAX)),
        negative_ttl: table.take(reader, "negative_ttl", ttl_seconds),
        refresh: table.take(reader, "refresh", ttl_seconds),
        retry: table.take(reader, "retry", ttl_seconds),
        expire: table.take(reader, "expire", ttl_seconds),
    };
    table.finish(reader);
    soa
}

fn records<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> Vec<RecordDef> {
    let named = root.take_named(reader, "records", "record");
    named.into_iter().map(|(name, table)| record(reader, name, table)).collect()
}

fn record<'i>(
    reader: &mut Reader<'i, '_>,
    name: Spanned<String>,
    mut table: Table<'i>,
) -> RecordDef {
    table.elsewhere(reader, "extra", "it belongs to a pool");
    table.elsewhere(reader, "capacity", "it belongs to a pool");
    let record = RecordDef {
        body: policy::body(reader, &mut table),
        settings: RecordSettings::read(reader, &mut table),
        cohort: table.take(reader, "cohort", scalar::string),
        flatten: table.take(reader, "flatten", scalar::boolean),
        name,
    };
    table.finish(reader);
    record
}
