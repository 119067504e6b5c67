//! A report as Markdown, for tickets and pull requests.

use super::report::{BudgetLine, Report, time};
use std::fmt::Write;

/// The report as a page.
pub fn page(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write(report, &mut page);
    page
}

fn write(report: &Report, page: &mut String) -> std::fmt::Result {
    let head = &report.head;
    writeln!(page, "# {}: {}\n", cell(&head.drill), report.verdict)?;
    writeln!(page, "**{}** {}\n", report.verdict, cell(&report.sentence))?;
    if let Some(description) = &head.description {
        writeln!(page, "{}\n", cell(description))?;
    }
    let facts = [
        ("run", &head.run),
        ("mode", &head.mode),
        ("started", &head.started),
        ("by", &head.who),
        ("acknowledged", &head.ack),
        ("file", &head.file),
        ("SHA-256", &head.sha256),
        ("asked at", &head.server),
        ("server", &head.server_version),
    ];
    writeln!(page, "| | |\n|---|---|")?;
    for (name, fact) in facts {
        writeln!(page, "| {name} | {} |", cell(fact))?;
    }
    writeln!(page, "| revision | {} |\n", head.revision)?;
    for why in &head.degraded {
        writeln!(page, "- degraded before it began: {}", cell(why))?;
    }
    writeln!(
        page,
        "## Timeline\n\n| point | since the start | since the injection |\n|---|---|---|"
    )?;
    for point in &report.timeline {
        let shown = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), signed);
        let (at, since) = (shown(point.ms), shown(point.since_injected_ms));
        writeln!(page, "| {} | {at} | {since} |", point.name)?;
    }
    writeln!(
        page,
        "\n## Budgets\n\n| measure | budget | measured | margin | |\n|---|---|---|---|---|"
    )?;
    for line in report.budgets.iter().filter(|line| is_shown(line)) {
        let [budget, measured, margin] = figures(line);
        let kept = kept(line);
        writeln!(page, "| {} | {budget} | {measured} | {margin} | {kept} |", line.name)?;
    }
    writeln!(page, "\n## Steps\n\n| step | what | from | until |\n|---|---|---|---|")?;
    for step in &report.steps {
        let to = step.to_ms.map_or_else(|| "-".to_owned(), time);
        let (id, said, from) = (cell(&step.id), cell(&step.said), time(step.from_ms));
        writeln!(page, "| {id} | {said} | {from} | {to} |")?;
    }
    answers(report, page)?;
    if !report.ttl_tail.is_empty() {
        let tail = report.ttl_tail.iter().map(|(share, ms)| format!("{share} {}", time(*ms)));
        let tail: Vec<String> = tail.collect();
        writeln!(
            page,
            "\nResolvers let go of the old answer (computed, since the injection): {}.",
            tail.join(", ")
        )?;
    }
    if !report.stops.is_empty() {
        writeln!(
            page,
            "\n## Stop conditions\n\n| condition | least | most | fired |\n|---|---|---|---|"
        )?;
        for stop in &report.stops {
            let number =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
            let fired =
                stop.fired_ms.map_or_else(|| "no".to_owned(), |ms| format!("after {}", time(ms)));
            let (least, most) = (number(stop.least), number(stop.most));
            writeln!(page, "| `{}` | {least} | {most} | {fired} |", cell(&stop.when))?;
        }
    }
    if !report.approvals.is_empty() {
        writeln!(page, "\n## Approvals\n")?;
        for told in &report.approvals {
            writeln!(page, "- {} {}", time(told.ms), cell(&told.text))?;
        }
    }
    writeln!(page, "\n## What the server wrote down\n")?;
    for told in &report.events {
        writeln!(page, "- {} {} (event {})", time(told.ms), cell(&told.text), told.seq)?;
    }
    trend(report, page)
}

fn answers(report: &Report, page: &mut String) -> std::fmt::Result {
    writeln!(
        page,
        "\n## Answers by region\n\n| second | regions | lost | empty | wrong |\n|---|---|---|---|---|"
    )?;
    for row in &report.seconds {
        let regions = row.regions.iter().map(|(region, count)| format!("{} {count}", cell(region)));
        let regions: Vec<String> = regions.collect();
        let (second, regions) = (row.second, regions.join(", "));
        writeln!(page, "| {second} | {regions} | {} | {} | {} |", row.lost, row.empty, row.wrong)?;
    }
    Ok(())
}

fn trend(report: &Report, page: &mut String) -> std::fmt::Result {
    if report.trend.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "\n## Runs before\n\n| run | verdict | detect | first_change | recover |\n|---|---|---|---|---|"
    )?;
    for run in &report.trend {
        let of = |name: &str| run.measures.get(name).map_or_else(|| "-".to_owned(), |ms| time(*ms));
        let [detect, change, recover] = ["detect", "first_change", "recover"].map(of);
        writeln!(page, "| {} | {} | {detect} | {change} | {recover} |", run.run, run.verdict)?;
    }
    Ok(())
}

/// Whether a line says anything.
pub(super) fn is_shown(line: &BudgetLine) -> bool {
    line.budget.is_some() || line.measured.is_some()
}

/// Budget, measured, margin.
pub(super) fn figures(line: &BudgetLine) -> [String; 3] {
    let show = |value: Option<f64>| match value {
        None => "-".to_owned(),
        Some(value) if line.is_time => signed(value),
        Some(count) => format!("{count:.0}"),
    };
    [show(line.budget), show(line.measured), show(line.margin)]
}

/// Whether it was kept, in a word.
pub(super) fn kept(line: &BudgetLine) -> &'static str {
    match line.kept {
        Some(true) => "kept",
        Some(false) => "NOT KEPT",
        None => "",
    }
}

/// A time that may lie before another.
pub(super) fn signed(ms: f64) -> String {
    match ms < 0.0 {
        true => format!("-{}", time(-ms)),
        false => time(ms),
    }
}

/// `text` in a cell: nothing in it is markup.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' => out.extend(['\\', c]),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
