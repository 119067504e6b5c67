//! `[metrics]` of `tradewind.toml`: which records have series of their own, as written.

use super::{
    Pattern, Spanned,
    reader::{Reader, Table, Value},
    scalar,
};

/// `[metrics]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsDef {
    /// The records (`zone/record`) that have series of their own; any if it is none.
    pub records: Option<Vec<Pattern>>,
}

impl MetricsDef {
    /// Whether the record `id` is to have series of its own.
    pub fn wants(&self, id: &str) -> bool {
        let records = self.records.as_ref();
        records.is_none_or(|records| records.iter().any(|pattern| pattern.matches(id)))
    }
}

/// Reads `[metrics]`.
pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> MetricsDef {
    let Some(mut table) = root.take_table(reader, "metrics") else { return MetricsDef::default() };
    let records = table.take(reader, "records", |reader, value| {
        reader.list(value, "records, such as \"gtm.example.com/*\"", pattern)
    });
    table.finish(reader);
    let plain = |records: Spanned<Vec<Spanned<Pattern>>>| {
        records.into_inner().into_iter().map(Spanned::into_inner).collect()
    };
    MetricsDef { records: records.map(plain) }
}

fn pattern<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Pattern> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    match Pattern::parse(&text) {
        Ok(pattern) if pattern.parts() == 2 => Some(pattern),
        Ok(_) => {
            let help = "write `zone/record`, such as `gtm.example.com/*`";
            reader.report_help(span, format!("`{text}` names no record"), help);
            None
        }
        Err(why) => {
            reader.report(span, why);
            None
        }
    }
}
