//! `[querylog]` of `tradewind.toml`: how many answers are looked at, and who is shown them, as
//! written.

use super::{
    Spanned,
    reader::{Reader, Table, Value},
    scalar,
};
use std::path::PathBuf;

/// Of so many answers one is sampled, unless written: known to 0.2 % of its share within a
/// thousand million queries, and below what can be measured of their cost.
const ONE_IN: u32 = 1_000;
/// The fewest samples anybody has asked for.
const ONE_IN_MAX: u32 = 1_000_000;
/// The file is exchanged at so many MiB, unless written.
const FILE_MIB: u32 = 64;
/// The longest file that is still handy.
const FILE_MIB_MAX: u32 = 65_536;

/// `[querylog]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLogDef {
    /// One answer in so many is sampled; 0 = none.
    pub one_in: u32,
    /// Where they are written as lines of JSON, if anywhere.
    pub file: Option<PathBuf>,
    /// At so many bytes the file is exchanged for a new one.
    pub file_bytes: u64,
    /// The socket of whoever reads dnstap, if anybody does.
    pub dnstap: Option<PathBuf>,
    /// How clients' addresses are cut, if they are.
    pub anonymize: Option<Cut>,
}

/// How many bits of an address are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Of an IPv4 address.
    pub v4: u8,
    /// Of an IPv6 address.
    pub v6: u8,
}

impl Default for QueryLogDef {
    fn default() -> Self {
        QueryLogDef {
            one_in: ONE_IN,
            file: None,
            file_bytes: mib(FILE_MIB),
            dnstap: None,
            anonymize: None,
        }
    }
}

const fn mib(mib: u32) -> u64 {
    (mib as u64) << 20
}

/// Reads `[querylog]`.
pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> QueryLogDef {
    let mut def = QueryLogDef::default();
    let Some(mut table) = root.take_table(reader, "querylog") else { return def };
    if let Some(one_in) = table.take(reader, "sample", sample) {
        def.one_in = one_in.into_inner();
    }
    let path = |path: Spanned<String>| PathBuf::from(path.into_inner());
    def.file = table.take(reader, "file", scalar::string).map(path);
    if let Some(size) = table.take(reader, "file_mib", scalar::integer(1..=FILE_MIB_MAX)) {
        def.file_bytes = mib(size.into_inner());
    }
    def.dnstap = table.take(reader, "dnstap", scalar::string).map(path);
    def.anonymize = table.take(reader, "anonymize", cut).map(Spanned::into_inner);
    table.finish(reader);
    def
}

/// `"1/1000"`, or 0 for none.
fn sample<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<u32> {
    const HELP: &str = "write \"1/1000\" for one in a thousand, \"1/1\" for all, 0 for none";
    let span = value.span();
    if value.get_ref().is_integer() {
        return scalar::integer(0..=0)(reader, value);
    }
    let text = scalar::string(reader, value)?;
    let one_in = text.strip_prefix("1/").and_then(|n| n.parse().ok());
    let one_in = one_in.filter(|one_in| (1..=ONE_IN_MAX).contains(one_in));
    if one_in.is_none() {
        reader.report_help(span, format!("`{text}` is no share of answers"), HELP);
    }
    one_in
}

/// `{ v4 = 24, v6 = 48 }`.
fn cut<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Cut> {
    let mut table = reader.table("`anonymize`".into(), value)?;
    let v4 = table.require(reader, "v4", "24", scalar::integer(0..=32));
    let v6 = table.require(reader, "v6", "48", scalar::integer(0..=128));
    table.finish(reader);
    Some(Cut { v4: v4?.into_inner() as u8, v6: v6?.into_inner() as u8 })
}
