//! Who would move, for people: the same table for every command that looks ahead.

use super::output::{Out, Paint};
use crate::{
    admin::schema::forecast::{
        ChangeLine, CountryLine, CrowdLine, EndsLine, FlowLine, LatencyLine, PreviewLine,
        RecordMovesLine, RegionLine,
    },
    control::hand::words::count,
};

/// Records that are shown one by one.
const RECORDS_SHOWN: usize = 5;
/// Flows that are shown.
const FLOWS_SHOWN: usize = 10;
/// Below this a share is not worth a line.
const HARDLY: f64 = 0.0005;

/// Who would move.
pub(super) fn preview(preview: &PreviewLine, out: &mut Out) {
    let PreviewLine { by, records, crowds, by_record, more_records } = preview;
    let mut crowds = crowds.iter();
    let Some(first) = crowds.next().filter(|first| is_moved(first)) else {
        out.line(format_args!("no client of {} would move", count(*records, "record")));
        for crowd in &preview.crowds {
            // Of two families it is said whose clients these are.
            let indent = match &preview.crowds[..] {
                [_] => "  ".to_owned(),
                _ => format!("  {}: ", crowd.crowd),
            };
            ends(&crowd.ends, &indent, out);
        }
        return;
    };
    out.line(format_args!(
        "{} of the clients of {} would move (by {by}{}):",
        percent(first.moved),
        count(*records, "record"),
        // Address space is not traffic: whoever reads this must not take it for that.
        match &*first.crowd {
            "clients" => String::new(),
            family => format!(", not by traffic; {family}"),
        },
    ));
    crowd(first, out);
    for other in crowds {
        out.line(format_args!("  {}: {} would move", other.crowd, percent(other.moved)));
        region_table(&other.regions, "    ", out);
    }
    if by_record.len() > 1 {
        out.line("  by record:");
        by_record.iter().take(RECORDS_SHOWN).for_each(|record| self::record(record, out));
        let more = by_record.len().saturating_sub(RECORDS_SHOWN) + more_records;
        if more > 0 {
            out.line(format_args!("    and {more} more"));
        }
    }
}

fn is_moved(crowd: &CrowdLine) -> bool {
    crowd.moved > 1e-9
}

fn crowd(crowd: &CrowdLine, out: &mut Out) {
    let shown = crowd.flows.iter().take(FLOWS_SHOWN).filter(|flow| flow.share >= HARDLY).count();
    for flow in &crowd.flows[..shown] {
        out.line(format_args!("  {:>7}  {}", percent(flow.share), way(flow)));
    }
    let rest: f64 = crowd.flows[shown..].iter().map(|flow| flow.share).sum();
    if rest >= HARDLY {
        out.line(format_args!("  {:>7}  elsewhere", percent(rest)));
    }
    out.line("  by region:");
    region_table(&crowd.regions, "    ", out);
    out.line("  by country:");
    for line in crowd.countries.iter().filter(|line| line.moved >= HARDLY) {
        country(line, out);
    }
    if let Some(latency) = &crowd.latency {
        out.line(format_args!("  expected round trip: {}", trip(latency)));
    }
    ends(&crowd.ends, "  ", out);
}

fn region_table(regions: &[RegionLine], indent: &str, out: &mut Out) {
    let width = regions.iter().map(|line| name(line).chars().count()).max().unwrap_or(0);
    for line in regions.iter().filter(|line| is_seen(line.share)) {
        let RegionLine { share, .. } = line;
        let arrow = format!("{:>7} -> {:>7}", percent(share.before), percent(share.after));
        out.line(format_args!("{indent}{:<width$}  {arrow}", name(line)));
    }
}

fn is_seen(share: ChangeLine) -> bool {
    share.before >= HARDLY || share.after >= HARDLY
}

fn country(line: &CountryLine, out: &mut Out) {
    let name = match (&line.country, line.rest) {
        (Some(country), _) => country,
        (None, true) => "rest",
        (None, false) => "??",
    };
    let regions = line.regions.iter().filter(|region| is_seen(region.share));
    let moved = regions.filter(|region| (region.share.after - region.share.before).abs() >= HARDLY);
    let moved: Vec<String> = moved
        .map(|region| {
            let ChangeLine { before, after } = region.share;
            format!("{} {} -> {}", self::name(region), percent(before), percent(after))
        })
        .collect();
    let trip = line.latency.as_ref().map_or_else(String::new, |latency| {
        let ChangeLine { before, after } = latency.ms;
        format!("   {} ms", signed(after - before))
    });
    let moved = match &moved[..] {
        [] => "within its regions".to_owned(),
        moved => moved.join(", "),
    };
    out.line(format_args!(
        "    {name:<4}  {:>7} of all move   {}{trip}",
        percent(line.moved),
        moved
    ));
}

fn record(record: &RecordMovesLine, out: &mut Out) {
    let others = match record.others {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let trip = record.latency.as_ref().map_or_else(String::new, |l| format!("  {}", trip(l)));
    out.line(format_args!("    {:>7}  of {}{others}{trip}", percent(record.moved), record.record));
    ends(&record.ends, "             ", out);
}

/// Who gets no good answer, if anybody.
fn ends(ends: &EndsLine, indent: &str, out: &mut Out) {
    let EndsLine { empty, dead, no_v4, no_v6 } = *ends;
    // What gets nothing at all is among those of both families.
    let lines = [
        (empty, "get no answer"),
        (dead, "get an answer that is known to be down"),
        (less(no_v4, empty), "of A queries get NODATA"),
        (less(no_v6, empty), "of AAAA queries get NODATA"),
    ];
    for (change, what) in lines {
        if !is_seen(change) {
            continue;
        }
        let was = match (change.after - change.before).abs() < HARDLY {
            true => " (as before)".to_owned(),
            false => format!(" ({} before)", percent(change.before)),
        };
        let line = format!("{indent}{} {what}{was}", percent(change.after));
        let paint = if change.after > change.before { Paint::Bad } else { Paint::Faint };
        let line = out.paint(paint, line);
        out.line(line);
    }
}

fn less(change: ChangeLine, other: ChangeLine) -> ChangeLine {
    let ChangeLine { before, after } = change;
    ChangeLine { before: (before - other.before).max(0.0), after: (after - other.after).max(0.0) }
}

/// `88.2 ms -> 61.0 ms (-27.2)`.
fn trip(latency: &LatencyLine) -> String {
    let ChangeLine { before, after } = latency.ms;
    format!("{before:.1} ms -> {after:.1} ms ({})", signed(after - before))
}

/// With its sign, but for what rounds to nothing.
fn signed(ms: f64) -> String {
    if ms.abs() < 0.05 { "+0.0".to_owned() } else { format!("{ms:+.1}") }
}

fn name(line: &RegionLine) -> &str {
    line.region.as_deref().unwrap_or("(no region)")
}

fn way(flow: &FlowLine) -> String {
    let place = |region: &Option<String>, pool: &str| match (region, pool) {
        (_, "") => "an empty answer".to_owned(),
        (Some(region), pool) => format!("{region} ({pool})"),
        (None, pool) => pool.to_owned(),
    };
    let from = place(&flow.from_region, &flow.from_pool);
    format!("{from} -> {}", place(&flow.to_region, &flow.to_pool))
}

/// A share as people read it.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
