//! A journal → what happened when, against budgets, and the verdict. Pure: the same journal gives
//! the same report wherever it is computed, which is what `drill report --verify` does.

use super::{
    journal::{Entry, Head, Row, Sample, What, head},
    measures::{self, Points, measures},
};
use crate::config::{self, Problems, drill::Measure};
use ring::digest;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

/// How a drill went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Within every budget, and all as before.
    Pass,
    /// Over a budget, or not as before.
    Fail,
    /// It did not come to its end.
    Aborted,
    /// There is none yet.
    Running,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::Aborted => "ABORTED",
            Verdict::Running => "RUNNING",
        })
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`super::journal::SCHEMA`].
    pub schema_version: u32,
    /// What is known of it from its start.
    pub head: Head,
    /// How it went.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub sentence: String,
    /// Whether it is over.
    pub is_over: bool,
    /// The points of the run, in their order.
    pub timeline: Vec<Point>,
    /// Budgets and what they were for.
    pub budgets: Vec<BudgetLine>,
    /// Steps: id, words, from and to.
    pub steps: Vec<StepLine>,
    /// Answers, second by second.
    pub seconds: Vec<Row>,
    /// When caches let go of the old answer: shares and milliseconds since the injection.
    pub ttl_tail: Vec<(String, f64)>,
    /// Raw answers around changes.
    pub samples: Vec<Sample>,
    /// Stop conditions: as written, with the smallest and largest value seen and whether it fired.
    pub stops: Vec<StopLine>,
    /// Approvals that were asked for or given.
    pub approvals: Vec<Told>,
    /// Alarms and changes of the server meanwhile.
    pub events: Vec<Told>,
    /// What was foreseen.
    pub foreseen: Vec<ForeseenLine>,
    /// What was done at the end beside taking back.
    pub besides: Vec<String>,
    /// Runs before this one, oldest first; not part of what is verified.
    #[serde(default)]
    pub trend: Vec<Trend>,
}

/// A point of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// `detected`.
    pub name: String,
    /// Since the drill began; absent if it never came.
    pub ms: Option<f64>,
    /// Since the injection.
    pub since_injected_ms: Option<f64>,
}

/// A budget and what it was for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetLine {
    /// `first_change`.
    pub name: String,
    /// Whether it is a time in milliseconds; else a count.
    pub is_time: bool,
    /// The most it may come to; absent if nobody said.
    pub budget: Option<f64>,
    /// What it came to; absent if it never came.
    pub measured: Option<f64>,
    /// What is left of the budget.
    pub margin: Option<f64>,
    /// Whether it was kept; absent without budget.
    pub kept: Option<bool>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLine {
    /// Its id.
    pub id: String,
    /// What it does.
    pub said: String,
    /// From when on.
    pub from_ms: f64,
    /// Until when.
    pub to_ms: Option<f64>,
}

/// A stop condition over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopLine {
    /// As written.
    pub when: String,
    /// Smallest value.
    pub least: Option<f64>,
    /// Largest value.
    pub most: Option<f64>,
    /// A value a second.
    pub values: Vec<f64>,
    /// When it fired.
    pub fired_ms: Option<f64>,
}

/// Something the server wrote down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub ms: f64,
    /// Its number.
    pub seq: u64,
    /// What.
    pub text: String,
    /// Whether someone should look.
    pub alarm: bool,
}

/// What a step would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeseenLine {
    /// The step.
    pub step: String,
    /// The share of all clients that would move.
    pub moved: f64,
    /// From where to where.
    pub flows: Vec<(String, f64)>,
}

/// A run before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Which.
    pub run: String,
    /// How it went.
    pub verdict: Verdict,
    /// Its figures.
    pub measures: BTreeMap<String, f64>,
}

/// The report of a journal, with a verdict only once the run is over; nothing if it does not even
/// say what began.
pub fn report(entries: &[Entry]) -> Option<Report> {
    made(entries, entries.iter().any(|entry| matches!(entry.what, What::Ended { .. })))
}

/// The report of a journal that has all but its end.
pub(super) fn concluded(entries: &[Entry]) -> Option<Report> {
    made(entries, true)
}

fn made(entries: &[Entry], is_over: bool) -> Option<Report> {
    let head = head(entries)?.clone();
    let points = Points::of(entries);
    let found = measures(entries, &points);
    let budgets = budget_lines(&head, &found, is_over);
    let (verdict, sentence) = match is_over {
        true => judge(entries, &head, &points, &budgets),
        // What is missing now may come yet.
        false => (Verdict::Running, "it still runs: there is no verdict yet".to_owned()),
    };
    let tail = ["p50", "p90", "p99"].into_iter().zip(points.tail);
    let tail = tail.filter_map(|(name, at)| Some((name.to_owned(), at? - points.injected?)));
    Some(Report {
        schema_version: super::journal::SCHEMA,
        verdict,
        sentence,
        is_over,
        timeline: timeline(&points),
        budgets,
        steps: steps(entries),
        seconds: measures::rows(entries).cloned().collect(),
        ttl_tail: tail.collect(),
        samples: entries.iter().flat_map(samples).cloned().collect(),
        stops: stops(entries, &head),
        approvals: told(entries, is_approval),
        events: told(entries, |kind, _| kind != "old_answers"),
        foreseen: entries.iter().filter_map(foreseen).collect(),
        besides: entries.iter().filter_map(besides).flatten().cloned().collect(),
        trend: Vec::new(),
        head,
    })
}

/// What a run adds to the trend of its drill; nothing while it runs.
pub fn trend(entries: &[Entry]) -> Option<Trend> {
    let report = report(entries).filter(|report| report.is_over)?;
    Some(Trend::of(&report))
}

impl Trend {
    /// What `report` adds to it.
    pub(super) fn of(report: &Report) -> Trend {
        let lines = report.budgets.iter();
        let measures = lines.filter_map(|line| Some((line.name.clone(), line.measured?)));
        Trend {
            run: report.head.run.clone(),
            verdict: report.verdict,
            measures: measures.collect(),
        }
    }
}

/// Whether what a journal says of its verdict is what follows from it: the verdict computed, and
/// the one written down.
pub fn verify(entries: &[Entry]) -> Result<(Verdict, String), String> {
    let computed = concluded(entries).ok_or("this is no journal of a drill")?;
    let written = entries.iter().find_map(|entry| match &entry.what {
        What::Ended { verdict, sentence } => Some((verdict, sentence)),
        _ => None,
    });
    let head = &computed.head;
    is_own(head)?;
    for (wanted, row) in measures::rows(entries).enumerate() {
        if row.second as usize != wanted {
            return Err(format!("second {wanted} is missing: {} is in its place", row.second));
        }
    }
    let Some((verdict, sentence)) = written else {
        return Err("this journal has no end: the drill still runs, or its server is gone".into());
    };
    if *verdict != computed.verdict.to_string() || *sentence != computed.sentence {
        return Err(format!(
            "the journal says {verdict} ({sentence}), but what it holds comes to {} ({})",
            computed.verdict, computed.sentence
        ));
    }
    Ok((computed.verdict, computed.sentence))
}

/// Whether what a journal is judged by is what its file says.
fn is_own(head: &Head) -> Result<(), String> {
    if head.sha256 != sha256(&head.text) {
        return Err("its file does not have the SHA-256 that was written down".into());
    }
    let file = Arc::from(Path::new(&head.file));
    let Some(def) = config::drill::read(&file, &head.text, &mut Problems::default()) else {
        return Err("this version cannot read the file it was run by".into());
    };
    let stops = def.stops.iter().map(|stop| &stop.get_ref().text);
    match (def.budgets() == head.budgets, stops.eq(&head.stops)) {
        (true, true) => Ok(()),
        (false, _) => Err("its budgets are not those of its file".into()),
        (true, false) => Err("its stop conditions are not those of its file".into()),
    }
}

/// The SHA-256 of a file, in hex.
pub(super) fn sha256(text: &str) -> String {
    let sum = digest::digest(&digest::SHA256, text.as_bytes());
    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn timeline(points: &Points) -> Vec<Point> {
    let all = [
        ("injected", points.injected),
        ("first failed probe", points.first_failed_probe),
        ("detected", points.detected),
        ("published", points.published),
        ("first changed answer", points.first_changed),
        ("last old answer", points.last_old),
        ("restored", points.restored),
        ("recovered", points.recovered),
    ];
    all.into_iter()
        .map(|(name, ms)| Point {
            name: name.to_owned(),
            ms,
            since_injected_ms: ms.zip(points.injected).map(|(at, injected)| at - injected),
        })
        .collect()
}

fn budget_lines(head: &Head, found: &BTreeMap<Measure, f64>, is_over: bool) -> Vec<BudgetLine> {
    let is_dry = is_dry(head);
    let line = |(measure, name, is_time): (Measure, &str, bool)| {
        let budget = head.budgets.get(name).copied();
        let measured = found.get(&measure).copied();
        let margin = budget.zip(measured).map(|(budget, measured)| budget - measured);
        let kept = budget.and_then(|_| match margin {
            _ if !is_over => None,
            Some(margin) => Some(margin >= 0.0),
            // What never came was not in time; what nothing was done for is not asked.
            None => (!is_dry).then_some(false),
        });
        BudgetLine { name: name.to_owned(), is_time, budget, measured, margin, kept }
    };
    Measure::ALL.into_iter().map(line).collect()
}

/// Whether nothing was done.
fn is_dry(head: &Head) -> bool {
    matches!(&*head.mode, "simulate" | "shadow")
}

fn judge(
    entries: &[Entry],
    head: &Head,
    points: &Points,
    budgets: &[BudgetLine],
) -> (Verdict, String) {
    let find = |of: fn(&What) -> Option<String>| entries.iter().find_map(|entry| of(&entry.what));
    if find(|what| matches!(what, What::Crashed { .. }).then(String::new)).is_some() {
        let why = "the server ended in the middle of it; what it had done was taken back by the \
                   next one, or had expired";
        return (Verdict::Aborted, why.to_owned());
    }
    let broke = find(|what| match what {
        What::Broke { why } => Some(why.clone()),
        _ => None,
    });
    if let Some(why) = broke {
        return (Verdict::Aborted, why);
    }
    let aborted = find(|what| match what {
        What::Aborted { why, .. } => Some(why.clone()),
        _ => None,
    });
    if let Some(why) = aborted {
        let back = points.restored.zip(points.recovered).map(|(restored, recovered)| {
            format!("; everything was back {} later", time(recovered - restored))
        });
        return (Verdict::Aborted, format!("{why}{}", back.unwrap_or_default()));
    }
    if let Some(why) = blind(entries, head) {
        return (Verdict::Fail, why);
    }
    let over: Vec<&BudgetLine> = budgets.iter().filter(|line| line.kept == Some(false)).collect();
    if let Some(first) = over.first() {
        let more = match over.len() {
            1 => String::new(),
            n => format!("; {} more budgets were not kept", n - 1),
        };
        return (Verdict::Fail, format!("{}{more}", broken(first)));
    }
    let back = entries.iter().rev().find_map(|entry| match &entry.what {
        What::Back { deviates, .. } => Some(deviates),
        _ => None,
    });
    match back {
        _ if is_dry(head) => {}
        None => {
            let why = "not everything was answered as before when the time for it was over";
            return (Verdict::Fail, why.to_owned());
        }
        Some(Some(why)) => {
            return (Verdict::Fail, format!("the steady state did not come back: {why}"));
        }
        Some(None) => {}
    }
    (Verdict::Pass, passed(budgets))
}

/// Why nothing that was seen counts: a step that did nothing, a stop condition that never saw
/// anything.
fn blind(entries: &[Entry], head: &Head) -> Option<String> {
    let is_met = |wanted: &str| {
        let is = |entry: &Entry| match &entry.what {
            What::FirstFailedProbe { step } | What::FirstSlowedProbe { step } => step == wanted,
            _ => false,
        };
        entries.iter().any(is)
    };
    let is_released = |since: f64| {
        let is =
            |entry: &Entry| matches!(&entry.what, What::Event(seen) if seen.released > Some(0));
        entries.iter().any(|entry| is(entry) && entry.ms >= since)
    };
    let is_lost = |since: f64| {
        let is = |entry: &Entry| matches!(&entry.what, What::Event(seen) if seen.kind == "store");
        entries.iter().any(|entry| is(entry) && entry.ms >= since)
    };
    let idle = entries.iter().find_map(|entry| match &entry.what {
        What::Injected { step, awaits_probe: true, .. } if !is_met(step) => {
            Some(format!("step `{step}` had no effect: no probe met it"))
        }
        What::Injected { step, action, .. } if action == "state.lost" && !is_lost(entry.ms) => {
            Some(format!("step `{step}` had no effect: the state database was never lost"))
        }
        What::Injected { step, action, .. } if action == "breaker" && !is_released(entry.ms) => {
            Some(format!("step `{step}` had no effect: the breaker held no fall back"))
        }
        _ => None,
    });
    let is_real = !is_dry(head);
    // What only computes takes no time: there was nothing to stop.
    let is_timed = head.mode != "simulate";
    let unseen = || stops(entries, head).into_iter().find(|stop| stop.values.is_empty());
    let unseen = || {
        let when = unseen().filter(|_| is_timed)?.when;
        Some(format!("`{when}` never had a value: it could not have stopped anything"))
    };
    idle.filter(|_| is_real).or_else(unseen)
}

fn broken(line: &BudgetLine) -> String {
    let BudgetLine { name, is_time, budget, measured, .. } = line;
    let show = |value: f64| if *is_time { time(value) } else { format!("{value:.0}") };
    let budget = budget.map(show).unwrap_or_default();
    match measured {
        Some(measured) => {
            format!("{name} came to {}, over its budget of {budget}", show(*measured))
        }
        None => format!("{name} never came; its budget is {budget}"),
    }
}

fn passed(budgets: &[BudgetLine]) -> String {
    let kept = budgets.iter().filter(|line| line.kept == Some(true)).count();
    let of = |name: &str| budgets.iter().find(|line| line.name == name)?.measured;
    let moved = of("first_change").map(|ms| format!(", answers changed after {}", time(ms)));
    let back = of("recover").map(|ms| format!(", all was back {} after the end", time(ms)));
    let lost = match of("lost_queries") {
        Some(0.0) => ", nothing was lost".to_owned(),
        Some(lost) => format!(", {lost:.0} queries were lost"),
        None => String::new(),
    };
    let kept = match kept {
        0 => "there were no budgets".to_owned(),
        1 => "its budget was kept".to_owned(),
        n => format!("all {n} budgets were kept"),
    };
    format!("{kept}{}{}{lost}", moved.unwrap_or_default(), back.unwrap_or_default())
}

/// A time for people: `312 ms`, `2.04 s`.
pub fn time(ms: f64) -> String {
    match ms {
        ..1.0 => format!("{ms:.2} ms"),
        ..1_000.0 => format!("{ms:.0} ms"),
        ..60_000.0 => format!("{:.2} s", ms / 1e3),
        _ => format!("{:.0} m {:.0} s", (ms / 60e3).floor(), ms % 60e3 / 1e3),
    }
}

fn steps(entries: &[Entry]) -> Vec<StepLine> {
    let over = |id: &str| {
        entries.iter().find_map(|entry| match &entry.what {
            What::Over { step } if step == id => Some(entry.ms),
            _ => None,
        })
    };
    let line = |entry: &Entry| match &entry.what {
        What::Injected { step, said, .. } => Some(StepLine {
            id: step.clone(),
            said: said.clone(),
            from_ms: entry.ms,
            to_ms: over(step),
        }),
        _ => None,
    };
    entries.iter().filter_map(line).collect()
}

fn stops(entries: &[Entry], head: &Head) -> Vec<StopLine> {
    let line = |(place, when): (usize, &String)| {
        let values = entries.iter().filter_map(|entry| match &entry.what {
            What::Stops { values } => values.get(place).copied().flatten(),
            _ => None,
        });
        let values: Vec<f64> = values.collect();
        let fired = entries
            .iter()
            .find(|entry| matches!(&entry.what, What::Fired { when: fired, .. } if fired == when));
        StopLine {
            when: when.clone(),
            least: values.iter().copied().min_by(f64::total_cmp),
            most: values.iter().copied().max_by(f64::total_cmp),
            values,
            fired_ms: fired.map(|entry| entry.ms),
        }
    };
    head.stops.iter().enumerate().map(line).collect()
}

fn is_approval(kind: &str, text: &str) -> bool {
    let asked = kind == "phase" && text.contains("approval");
    asked || (kind == "hand" && (text.contains("approve") || text.contains("reject")))
}

fn told(entries: &[Entry], is: impl Fn(&str, &str) -> bool) -> Vec<Told> {
    let one = |entry: &Entry| match &entry.what {
        What::Event(seen) if is(&seen.kind, &seen.text) => {
            Some(Told { ms: entry.ms, seq: seen.seq, text: seen.text.clone(), alarm: seen.alarm })
        }
        _ => None,
    };
    entries.iter().filter_map(one).collect()
}

fn samples(entry: &Entry) -> &[Sample] {
    match &entry.what {
        What::Samples { answers } => answers,
        _ => &[],
    }
}

fn foreseen(entry: &Entry) -> Option<ForeseenLine> {
    match &entry.what {
        What::Foreseen { step, moved, flows, .. } => {
            Some(ForeseenLine { step: step.clone(), moved: *moved, flows: flows.clone() })
        }
        _ => None,
    }
}

fn besides(entry: &Entry) -> Option<&Vec<String>> {
    match &entry.what {
        What::RolledBack { besides, .. } => Some(besides),
        _ => None,
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
