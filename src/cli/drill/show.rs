//! Drills, plans and reports for people.

use crate::{
    admin::schema::drill::{DrillLine, DrillPlan, RunLine},
    cli::{
        forecast::preview,
        output::{Out, Paint},
        table,
    },
    drill::report::{BudgetLine, Report, Verdict, time},
};
use std::collections::BTreeMap;

pub(super) fn list(lines: &[DrillLine], out: &mut Out) {
    if out.wants_json() {
        return out.schema(&lines);
    }
    if lines.is_empty() {
        return out.line("there are no drills: write drills/NAME.toml, then `tradewind reload`");
    }
    let row = |line: &DrillLine| {
        let last = line.last.as_ref().map(|last| format!("{} {}", last.verdict, last.run));
        vec![
            line.name.clone(),
            line.mode.clone(),
            last.unwrap_or_else(|| "never run".to_owned()),
            line.description.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let paint = |row: usize| match lines.get(row)?.last.as_ref()?.verdict.as_str() {
        "PASS" => None,
        _ => Some(Paint::Bad),
    };
    table::print(&["drill", "mode", "last run", ""], &rows, paint, out);
}

pub(super) fn plan(plan: &DrillPlan, out: &mut Out) {
    if out.wants_json() {
        return out.schema(plan);
    }
    let line = out.paint(Paint::Strong, format_args!("{} ({})", plan.drill, plan.mode));
    out.line(line);
    if let Some(description) = &plan.description {
        out.line(description);
    }
    for step in &plan.steps {
        let lasts = step.for_ms.map(|ms| format!(" for {}", time(ms as f64)));
        out.line(format_args!("step {}: {}{}", step.id, step.said, lasts.unwrap_or_default()));
        if step.endpoints + step.targets > 0 {
            out.line(format_args!(
                "  {} addresses, {} probed targets",
                step.endpoints, step.targets
            ));
        }
        if let Some(detect) = step.detect_ms {
            let (detect, ttl) = (time(detect as f64), step.ttl_secs);
            out.line(format_args!("  down within {detect}; resolvers follow within {ttl} s (TTL)"));
        }
        if let Some(moves) = &step.preview {
            preview(moves, out);
        }
    }
    out.line(format_args!("{} regions stay up meanwhile", plan.regions_left));
    for stop in &plan.stops {
        out.line(format_args!("ends at once when {stop}"));
    }
    for warning in &plan.warnings {
        let line = out.paint(Paint::Bad, format_args!("warning: {warning}"));
        out.line(line);
    }
    for why in &plan.refused {
        let line = out.paint(Paint::Bad, format_args!("would not begin now: {why}"));
        out.line(line);
    }
    if plan.refused.is_empty() {
        let line =
            out.paint(Paint::Good, format_args!("begin: tradewind drill run {}", plan.drill));
        out.line(line);
    }
}

pub(super) fn history(runs: &[RunLine], out: &mut Out) {
    if out.wants_json() {
        return out.schema(&runs);
    }
    const SHOWN: [&str; 4] = ["detect", "first_change", "recover", "lost_queries"];
    let row = |run: &RunLine| {
        let figures = SHOWN.iter().map(|name| figure(&run.measures, name));
        [run.run.clone(), run.verdict.clone()].into_iter().chain(figures).collect()
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    let heads: Vec<&str> = ["run", "verdict"].into_iter().chain(SHOWN).collect();
    let bad = |row: usize| runs.get(row).filter(|run| run.verdict != "PASS").map(|_| Paint::Bad);
    table::print(&heads, &rows, bad, out);
}

fn figure(measures: &BTreeMap<String, f64>, name: &str) -> String {
    match measures.get(name) {
        None => "-".to_owned(),
        Some(count) if name.ends_with("queries") => format!("{count:.0}"),
        Some(ms) => time(*ms),
    }
}

pub(super) fn report(report: &Report, out: &mut Out) {
    if out.wants_json() {
        return out.schema(report);
    }
    out.line("");
    for point in report.timeline.iter().filter(|point| point.ms.is_some()) {
        let since = point.since_injected_ms.map(|ms| match ms < 0.0 {
            true => format!("-{}", time(-ms)),
            false => format!("+{}", time(ms)),
        });
        let at = time(point.ms.unwrap_or_default());
        out.line(format_args!("{:<22}{at:>10}  {:>11}", point.name, since.unwrap_or_default()));
    }
    out.line("");
    let lines: Vec<&BudgetLine> =
        report.budgets.iter().filter(|l| l.measured.is_some() || l.budget.is_some()).collect();
    let rows: Vec<Vec<String>> = lines.iter().map(|line| budget(line)).collect();
    let bad = |row: usize| lines.get(row).filter(|l| l.kept == Some(false)).map(|_| Paint::Bad);
    table::print(&["measure", "budget", "measured", "margin", ""], &rows, bad, out);
    out.line("");
    let line =
        out.paint(paint(report.verdict), format_args!("{}: {}", report.verdict, report.sentence));
    out.line(line);
}

/// The colour of a verdict.
pub(super) fn paint(verdict: Verdict) -> Paint {
    if verdict == Verdict::Pass { Paint::Good } else { Paint::Bad }
}

fn budget(line: &BudgetLine) -> Vec<String> {
    let show = |value: Option<f64>| match value {
        None => "-".to_owned(),
        Some(value) if line.is_time && value < 0.0 => format!("-{}", time(-value)),
        Some(value) if line.is_time => time(value),
        Some(count) => format!("{count:.0}"),
    };
    let kept = match line.kept {
        Some(true) => "kept",
        Some(false) => "NOT KEPT",
        None => "",
    };
    let name = line.name.clone();
    vec![name, show(line.budget), show(line.measured), show(line.margin), kept.to_owned()]
}
