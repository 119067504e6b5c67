//! `rollouts/*.toml`: how a member of a record gets its clients step by step, and what judges
//! each step, as written. One file is one rollout.
//!
//! The words are those of Argo Rollouts and Flagger. That the record exists and has such a member
//! is for [`crate::compile`] to find out.

use super::{
    Problem, Problems, Spanned,
    metric::{self, Condition, Source},
    reader::{Reader, Table, Value},
    scalar,
};
use crate::units::Share;
use std::{path::Path, sync::Arc, time::Duration};

/// Steps of one rollout: twenty of five percent each.
const STEPS_MAX: usize = 20;
/// Analyses of one rollout: each is a request every `interval`.
const ANALYSES_MAX: usize = 16;
/// How long a step is left alone unless written.
const BAKE: Duration = Duration::from_secs(300);
/// How often a figure is looked at unless written.
const INTERVAL: Duration = Duration::from_secs(60);
/// More often than this nothing new can be seen, and whoever is asked would notice.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// A rollout as written.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutDef {
    /// The file it is in.
    pub file: Arc<Path>,
    /// All of that file: what a running rollout goes on by when the file changes.
    pub text: Arc<str>,
    /// What it is called.
    pub name: Spanned<String>,
    /// The record it is about: `zone/record`.
    pub record: Spanned<String>,
    /// The member that gets clients.
    pub member: Spanned<String>,
    /// The steps, in order; never empty, of rising weight.
    pub steps: Vec<StepDef>,
    /// What judges each step.
    pub analysis: Vec<AnalysisDef>,
    /// A step that is not through by then has failed.
    pub progress_deadline: Option<Spanned<Duration>>,
    /// What a failed analysis leads to.
    pub on_fail: OnFail,
    /// The rollouts that begin once this one has succeeded.
    pub then: Vec<Spanned<String>>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepDef {
    /// The member's share of the record's clients.
    pub weight: Spanned<Share>,
    /// How long it is left so at least.
    pub bake: Duration,
    /// What comes before the next step.
    pub pause: Pause,
}

/// What comes between a step that is through and the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Nothing.
    None,
    /// Time.
    For(Duration),
    /// Somebody who promotes it.
    Promote,
}

/// What judges a step.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalysisDef {
    /// What it is called.
    pub name: Spanned<String>,
    /// Where the figure comes from.
    pub source: Source,
    /// The values that are good.
    pub success: Condition,
    /// The values that are bad; without it all that are not good. What is neither is
    /// inconclusive.
    pub failure: Option<Condition>,
    /// How often it is looked at.
    pub interval: Duration,
    /// How often in all; as long as the step bakes, without.
    pub count: Option<u32>,
    /// More bad values than this are a failure.
    pub failure_limit: u32,
    /// More inconclusive values than this hold the rollout.
    pub inconclusive_limit: u32,
    /// How long after the step's beginning it is looked at first.
    pub initial_delay: Duration,
}

/// What a failed analysis leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFail {
    /// The member gets nobody any more, at once.
    Reverse,
    /// Everything stays as it is until somebody looks.
    Hold,
}

impl RolloutDef {
    /// The rollout that `text` was kept as; nothing if this version cannot read it.
    pub fn kept(file: &Arc<Path>, text: &str) -> Option<RolloutDef> {
        let mut problems = Problems::default();
        read(file, text, &mut problems).filter(|_| !problems.has_errors())
    }

    /// The share of its last step.
    pub fn last(&self) -> Share {
        self.steps.last().map_or(Share::NONE, |step| *step.weight.get_ref())
    }
}

/// Reads one file; nothing if what it needs cannot be read.
pub fn read(file: &Arc<Path>, text: &str, problems: &mut Problems) -> Option<RolloutDef> {
    let (mut reader, mut root) = Reader::open(file, text, problems)?;
    let reader = &mut reader;
    root.what = "a rollout".into();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let unnamed = Spanned::new(0..0, stem.into_owned());
    let name = root.take(reader, "name", scalar::name);
    let name = name.unwrap_or(unnamed);
    let record = root.require(reader, "record", "\"gtm.example.com/www\"", record);
    let member = root.require(reader, "member", "\"canary\"", scalar::name);
    let bake = root.take(reader, "bake", scalar::duration).map_or(BAKE, Spanned::into_inner);
    let steps = root.require(reader, "steps", "[1, 10, 50, 100]", |reader, value| {
        let items = reader.array(value, "percent of the record's clients")?;
        let steps: Vec<_> = items.into_iter().map(|item| step(reader, item, bake)).collect();
        steps.into_iter().collect::<Option<Vec<StepDef>>>()
    });
    if let Some(steps) = &steps {
        check_steps(reader, steps);
    }
    let analysis = root.take(reader, "analysis", |reader, value| {
        let items = reader.array(value, "tables: write [[analysis]]")?;
        Some(items.into_iter().filter_map(|item| analysis(reader, item)).collect::<Vec<_>>())
    });
    if let Some(many) = analysis.as_ref().filter(|all| all.get_ref().len() > ANALYSES_MAX) {
        reader.report(many.span(), format!("more than {ANALYSES_MAX} analyses"));
    }
    let analysis = analysis.map(Spanned::into_inner).unwrap_or_default();
    metric::check_names(reader, "analyses", analysis.iter().map(|one| &one.name));
    let progress_deadline = root.take(reader, "progress_deadline", scalar::duration);
    if let (Some(deadline), Some(steps)) = (&progress_deadline, &steps) {
        check_deadline(reader, deadline, steps.get_ref());
    }
    const ON_FAIL: &[(&str, OnFail)] = &[("reverse", OnFail::Reverse), ("hold", OnFail::Hold)];
    let on_fail = root.take(reader, "on_fail", scalar::choice("`on_fail`", ON_FAIL, &[]));
    let then = root.take(reader, "then", |reader, value| {
        reader.list(value, "names of rollouts", scalar::name)
    });
    root.finish(reader);
    Some(RolloutDef {
        file: Arc::clone(file),
        text: text.into(),
        name,
        record: record?,
        member: member?,
        steps: steps?.into_inner(),
        analysis,
        progress_deadline,
        on_fail: on_fail.map_or(OnFail::Reverse, Spanned::into_inner),
        then: then.map(Spanned::into_inner).unwrap_or_default(),
    })
}

fn record<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<String> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    match text.split_once('/') {
        Some((zone, record)) if !zone.is_empty() && !record.is_empty() => Some(text),
        _ => {
            let help = "write `zone/record`, as in \"gtm.example.com/www\"";
            reader.report_help(span, format!("`{text}` is not a record"), help);
            None
        }
    }
}

fn step<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>, bake: Duration) -> Option<StepDef> {
    if !value.get_ref().is_table() {
        let span = value.span();
        let weight = Spanned::new(span, percent(reader, value)?);
        return Some(StepDef { weight, bake, pause: Pause::None });
    }
    let mut table = reader.table("a step".into(), value)?;
    let weight = table.require(reader, "weight", "10", percent);
    let own = table.take(reader, "bake", scalar::duration);
    let pause = table.take(reader, "pause", pause);
    table.finish(reader);
    Some(StepDef {
        weight: weight?,
        bake: own.map_or(bake, Spanned::into_inner),
        pause: pause.map_or(Pause::None, Spanned::into_inner),
    })
}

fn percent<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Share> {
    let span = value.span();
    let percent = scalar::number(reader, value)?;
    if percent > 0.0 && percent <= 100.0 {
        return Some(Share::from_fraction(percent / 100.0)).filter(|share| *share > Share::NONE);
    }
    let help = "write percent of the record's clients, above 0 and at most 100";
    reader.report_help(span, format!("{percent} is not a step"), help);
    None
}

fn pause<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Pause> {
    match value.get_ref().as_bool() {
        Some(true) => Some(Pause::Promote),
        Some(false) => Some(Pause::None),
        None if value.get_ref().is_str() => scalar::duration(reader, value).map(Pause::For),
        None => reader.mistyped(&value, "true, or a duration such as \"10m\""),
    }
}

fn check_steps(reader: &mut Reader<'_, '_>, steps: &Spanned<Vec<StepDef>>) {
    let all = steps.get_ref();
    if all.is_empty() || all.len() > STEPS_MAX {
        reader.report(steps.span(), format!("a rollout has 1 to {STEPS_MAX} steps"));
    }
    for pair in all.windows(2) {
        let (before, after) = (&pair[0].weight, &pair[1].weight);
        if after.get_ref() <= before.get_ref() {
            let message = format!("{} does not come after {}", after.get_ref(), before.get_ref());
            let help = "each step gives the member more clients than the one before, so that none \
                        of them moves twice";
            let problem = Problem::error(&reader.file, after.span(), message).help(help);
            reader.push(problem);
        }
    }
}

fn check_deadline(reader: &mut Reader<'_, '_>, deadline: &Spanned<Duration>, steps: &[StepDef]) {
    let longest = steps.iter().map(|step| step.bake).max().unwrap_or_default();
    if *deadline.get_ref() <= longest {
        let message = "no step can be through by then: one bakes for as long";
        let help = "the deadline is for one step, from its weight being asked for to the next";
        reader.report_help(deadline.span(), message, help);
    }
}

fn analysis<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<AnalysisDef> {
    let mut table: Table<'i> = reader.table("an analysis".into(), value)?;
    let name = table.require(reader, "name", "\"error-rate\"", scalar::name);
    let source = metric::source(reader, &mut table);
    let success = table.require(reader, "success", "\"< 0.01\"", metric::condition);
    let failure = table.take(reader, "failure", metric::condition);
    let interval = table.take(reader, "interval", scalar::duration);
    if let Some(interval) = interval.as_ref().filter(|own| *own.get_ref() < INTERVAL_MIN) {
        reader.report(interval.span(), "a figure is looked at every second at the most");
    }
    let limit = || scalar::integer(0..=1_000);
    let count = table.take(reader, "count", scalar::integer(1..=100_000));
    let failure_limit = table.take(reader, "failure_limit", limit());
    let inconclusive_limit = table.take(reader, "inconclusive_limit", limit());
    let initial_delay = table.take(reader, "initial_delay", scalar::duration);
    table.finish(reader);
    for (key, limit) in
        [("failure_limit", &failure_limit), ("inconclusive_limit", &inconclusive_limit)]
    {
        if let (Some(limit), Some(count)) = (limit, &count)
            && limit.get_ref() >= count.get_ref()
        {
            let message = format!("no value could be too many: `{key}` is not below `count`");
            let help = "with so many forgiven of so few there is nothing that judges";
            reader.report_help(limit.span(), message, help);
        }
    }
    Some(AnalysisDef {
        name: name?,
        source: source?,
        success: success?.into_inner(),
        failure: failure.map(Spanned::into_inner),
        interval: interval.map_or(INTERVAL, Spanned::into_inner),
        count: count.map(Spanned::into_inner),
        failure_limit: failure_limit.map_or(0, Spanned::into_inner),
        inconclusive_limit: inconclusive_limit.map_or(0, Spanned::into_inner),
        initial_delay: initial_delay.map_or(Duration::ZERO, Spanned::into_inner),
    })
}
