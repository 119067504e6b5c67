//! The tree of a rollout: what it is doing, both sides of the split, what judges it.

use super::{is_over, percent};
use crate::{
    admin::schema::rollout::{AnalysisLine, ObservedSplit, RolloutLine},
    cli::output::{Out, Paint},
};
use std::{env, time::Duration};

/// The signs a tree is drawn with.
struct Signs {
    run: &'static str,
    half: &'static str,
    good: &'static str,
    bad: &'static str,
    unsure: &'static str,
    checks: &'static str,
    side: &'static str,
    fork: &'static str,
    last: &'static str,
    pipe: &'static str,
}

const UNICODE: Signs = Signs {
    run: "⟳",
    half: "◐",
    good: "✔",
    bad: "✖",
    unsure: "?",
    checks: "α",
    side: "#",
    fork: "├─",
    last: "└─",
    pipe: "│ ",
};

const ASCII: Signs = Signs {
    run: "*",
    half: "~",
    good: "ok",
    bad: "BAD",
    unsure: "?",
    checks: "a",
    side: "#",
    fork: "|-",
    last: "`-",
    pipe: "| ",
};

/// The lines of the tree of `line`.
pub(super) fn draw(line: &RolloutLine, out: &Out) -> Vec<String> {
    let signs = if is_utf8() { &UNICODE } else { &ASCII };
    drawn(line, signs, &|paint, text| out.paint(paint, text))
}

/// Whether the terminal reads UTF-8, as POSIX says it: the first of these that is set decides.
fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(env::var_os);
    let mut set = set.filter(|value| !value.is_empty());
    set.next().is_some_and(|value| {
        let value = value.to_string_lossy().to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

type Painter<'a> = &'a dyn Fn(Paint, &str) -> String;

fn drawn(line: &RolloutLine, signs: &Signs, paint: Painter<'_>) -> Vec<String> {
    let mut lines = vec![head(line, signs, paint)];
    if let Some(why) = &line.halted {
        lines.push(format!("{} {}", signs.pipe, paint(Paint::Bad, why)));
    }
    for against in &line.degraded {
        lines.push(format!("{} {}", signs.pipe, paint(Paint::Bad, against)));
    }
    if let Some(id) = line.proposed {
        lines.push(format!("{} waits for a second person: tradewind confirm {id}", signs.pipe));
    }
    if line.step.is_some() {
        lines.extend(sides(line, signs));
    }
    let width = line.endpoints.iter().map(|endpoint| endpoint.name.chars().count()).max();
    let width = width.unwrap_or_default();
    for (index, endpoint) in line.endpoints.iter().enumerate() {
        let is_last = index + 1 == line.endpoints.len();
        let fork = if is_last { signs.last } else { signs.fork };
        let sign = if endpoint.verdict == "up" { signs.good } else { signs.bad };
        let p95 = endpoint.p95_ms.map_or_else(String::new, |ms| format!("  p95 {ms:.1} ms"));
        let text = format!("{sign} {:width$}  {}{p95}", endpoint.name, endpoint.verdict);
        let is_up = endpoint.verdict == "up";
        let text = if is_up { text } else { paint(Paint::Bad, &text) };
        lines.push(format!("{} {fork} {text}", signs.pipe));
    }
    let checks = line.analysis.iter().map(|one| check(one, signs, paint));
    let checks: Vec<String> = checks.collect();
    let checks = match checks.is_empty() {
        true => "none: each step only lasts".to_owned(),
        false => checks.join("    "),
    };
    lines.push(format!("{} {} checks  {checks}", signs.last, signs.checks));
    if let (true, Some(share)) = (!line.closed, line.intended_share)
        && line.file_share != Some(share)
        && line.file_share.is_some()
    {
        let files = percent(line.file_share.unwrap_or_default());
        let hint = match is_over(line) {
            true => format!(": `tradewind rollout finish {}`", line.name),
            false => String::new(),
        };
        lines.push(format!("   the files say {files}{hint}"));
    }
    lines
}

fn head(line: &RolloutLine, signs: &Signs, paint: Painter<'_>) -> String {
    let RolloutLine { name, state, record, member, steps, .. } = line;
    let step = line.step.map_or_else(String::new, |step| format!("  step {step}/{}", steps.len()));
    let (sign, meaning) = match &**state {
        "succeeded" => (signs.good, Paint::Good),
        "ready" | "setting" | "baking" | "waiting" | "undoing" => (signs.half, Paint::Strong),
        _ => (signs.bad, Paint::Bad),
    };
    let clock = match (&**state, line.elapsed_ms, line.through_after_ms, line.judged_after_ms) {
        ("baking", Some(elapsed), Some(through), judged) => {
            let before = judged.filter(|judged| elapsed < *judged);
            let what = match before {
                Some(judged) => {
                    format!("caches turn over until {}", minutes(judged))
                }
                None => "analysing".to_owned(),
            };
            format!("  {what}  {} / {}", minutes(elapsed), minutes(through))
        }
        _ => String::new(),
    };
    let orders = match &**state {
        "ready" => "  [start]",
        "setting" | "baking" | "waiting" => "  [promote] [pause] [abort]",
        "paused" | "edited" | "inconclusive" | "failed" | "refused" => {
            "  [resume] [retry] [promote] [abort] [undo]"
        }
        "reversed" | "aborted" => "  [retry] [undo] [finish]",
        "succeeded" if !line.closed => "  [finish] [undo]",
        _ => "",
    };
    let state = paint(meaning, &format!("{sign} {state}"));
    let orders = paint(Paint::Faint, orders);
    format!("{} {name}  {member} of {record}{step}  {state}{clock}{orders}", signs.run)
}

fn sides(line: &RolloutLine, signs: &Signs) -> [String; 2] {
    let others = match &line.others[..] {
        [other] => other,
        _ => "the rest",
    };
    let width = line.member.chars().count().max(others.chars().count());
    let intended = line.intended_share.or(line.served_share);
    let side = |name: &str, share: Option<f64>, observed: Option<String>| {
        let share = share.map_or_else(|| "?".to_owned(), percent);
        let observed = observed.unwrap_or_default();
        format!("{} {} {name:<width$}  {share:>7} intended{observed}", signs.fork, signs.side)
    };
    let rest = |split: &ObservedSplit| ObservedSplit {
        answers: split.of - split.answers,
        share: 1.0 - split.share,
        low: 1.0 - split.high,
        high: 1.0 - split.low,
        ..split.clone()
    };
    let observed = line.observed.as_ref();
    [
        side(others, intended.map(|share| 1.0 - share), observed.map(|o| self::observed(&rest(o)))),
        side(&line.member, intended, observed.map(self::observed)),
    ]
}

/// `  10.3 % observed (9.1 to 11.6 %, n = 2,000)`.
fn observed(split: &ObservedSplit) -> String {
    let ObservedSplit { of, share, low, high, .. } = split;
    let (share, low, high) = (share * 100.0, low * 100.0, high * 100.0);
    format!("   {share:5.1} % observed ({low:.1} to {high:.1} %, n = {})", thousands(*of))
}

fn check(one: &AnalysisLine, signs: &Signs, paint: Painter<'_>) -> String {
    let AnalysisLine { name, wanted, successful, failed, inconclusive, errors, .. } = one;
    let taken = successful + failed + inconclusive;
    let last = one.last.as_deref().unwrap_or("not looked at yet");
    let (sign, meaning) = match one.verdict.as_deref().or(one.result.as_deref()) {
        Some("Successful") => (signs.good, Paint::Good),
        Some("Failed") => (signs.bad, Paint::Bad),
        Some(_) => (signs.unsure, Paint::Bad),
        None => ("", Paint::Faint),
    };
    let of = one.count.unwrap_or(taken);
    let tail = if *errors > 0 { format!(" ({errors} in vain)") } else { String::new() };
    paint(meaning, &format!("{name} {last} {wanted}  {sign} {successful}/{of}{tail}"))
}

/// `01:12`.
fn minutes(ms: u64) -> String {
    let secs = Duration::from_millis(ms).as_secs();
    format!("{:02}:{:02}", secs / 60, secs % 60)
}

/// `41,203`.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let parts = digits.as_bytes().rchunks(3).rev();
    let parts: Vec<_> = parts.map(String::from_utf8_lossy).collect();
    parts.join(",")
}

/// A line, for tests.
#[cfg(test)]
pub(super) fn line() -> RolloutLine {
    serde_json::from_value(serde_json::json!({
        "schema_version": 1, "name": "www", "record": "g/www", "member": "canary",
        "state": "baking", "closed": false, "said": "", "step": 2, "file_share": 0.01,
        "steps": [
            { "share": 0.01, "bake_ms": 1000, "pause": null },
            { "share": 0.1, "bake_ms": 300000, "pause": null },
        ],
        "intended_share": 0.1, "served_share": 0.1,
        "observed": { "answers": 206, "of": 2000, "share": 0.103, "low": 0.0904, "high": 0.1171 },
        "elapsed_ms": 72000, "judged_after_ms": 60000, "through_after_ms": 300000,
        "analysis": [{
            "name": "errors", "source": "health errors", "wanted": "< 0.05", "last": "0",
            "result": "Successful", "verdict": "Successful", "successful": 12, "failed": 0,
            "inconclusive": 0, "errors": 0, "count": 12,
        }],
        "others": ["stable"],
        "endpoints": [
            { "name": "g/canary/c1", "verdict": "up", "p95_ms": 41.0 },
            { "name": "g/canary/c10", "verdict": "down", "p95_ms": null },
        ],
        "degraded": [], "then": [],
    }))
    .unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_reads_as_the_manual_shows_it() {
        let plain = |_: Paint, text: &str| text.to_owned();
        assert_eq!(
            drawn(&line(), &UNICODE, &plain).join("\n"),
            "\
⟳ www  canary of g/www  step 2/2  ◐ baking  analysing  01:12 / 05:00  [promote] [pause] [abort]
├─ # stable     90 % intended    89.7 % observed (88.3 to 91.0 %, n = 2,000)
├─ # canary     10 % intended    10.3 % observed (9.0 to 11.7 %, n = 2,000)
│  ├─ ✔ g/canary/c1   up  p95 41.0 ms
│  └─ ✖ g/canary/c10  down
└─ α checks  errors 0 < 0.05  ✔ 12/12
   the files say 1 %"
        );
        let ascii = drawn(&line(), &ASCII, &plain).join("\n");
        assert!(ascii.is_ascii(), "{ascii}");
    }
}
