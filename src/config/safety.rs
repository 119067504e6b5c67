//! `[[safety]]`: what no change of an operator's may do, as written.

use super::{
    Pattern, Spanned,
    reader::{Reader, Table, Value},
    scalar,
};
use std::time::Duration;

/// A safety rule as written.
#[derive(Clone, Debug, PartialEq)]
pub struct SafetyDef {
    /// What a refusal names it by.
    pub name: Spanned<String>,
    /// The records it is about (`zone/record`); all unless written.
    pub records: Option<Vec<Spanned<Pattern>>>,
    /// So many regions answer each record afterwards.
    pub min_active_regions: Option<Spanned<u32>>,
    /// No pool gets more than its `capacity`.
    pub respect_capacity: bool,
    /// Verbs that take effect only when a second person has confirmed.
    pub two_persons: Option<Spanned<Vec<Spanned<String>>>>,
    /// The least time between two changes of one record.
    pub wait: Option<Spanned<Duration>>,
}

/// Reads all `[[safety]]`.
pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> Vec<SafetyDef> {
    let rules = root.take(reader, "safety", |reader, value| {
        let items = reader.array(value, "tables: write [[safety]]")?;
        Some(items.into_iter().filter_map(|item| rule(reader, item)).collect())
    });
    rules.map(Spanned::into_inner).unwrap_or_default()
}

fn rule<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<SafetyDef> {
    let mut table = reader.table("a safety rule".into(), value)?;
    let name = table.require(reader, "name", "\"two-regions\"", scalar::name);
    let records =
        table.take(reader, "records", |reader, value| reader.list(value, "records", pattern));
    let min_active_regions = table.take(reader, "min_active_regions", scalar::integer(1..=1_000));
    let respect_capacity = table.take(reader, "respect_capacity", scalar::boolean);
    let two_persons = table.take(reader, "two_persons", |reader, value| {
        reader.list(value, "verbs, such as \"drain\"", scalar::string)
    });
    let wait = table.take(reader, "wait", scalar::duration);
    let is_idle = min_active_regions.is_none()
        && respect_capacity.is_none()
        && two_persons.is_none()
        && wait.is_none();
    let span = table.span.clone();
    if is_idle {
        reader.report_help(
            span,
            "this safety rule forbids nothing",
            "add `min_active_regions = 2`, `respect_capacity = true`, `two_persons = [\"drain\"]` \
             or `wait = \"5m\"`",
        );
    }
    table.finish(reader);
    Some(SafetyDef {
        name: name?,
        records: records.map(Spanned::into_inner),
        min_active_regions,
        respect_capacity: respect_capacity.is_some_and(Spanned::into_inner),
        two_persons,
        wait,
    })
}

/// Records: `gtm.example.com/*`.
pub(super) fn pattern<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Pattern> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    if !text.contains('/') {
        let message = format!("`{text}` is not a record");
        reader.report_help(span, message, "write `zone/record`, as in \"gtm.example.com/*\"");
        return None;
    }
    match Pattern::parse(&text) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            reader.report(span, why);
            None
        }
    }
}
