//! What a run came to in figures: times from the injection on, and counts. Pure.

use super::journal::{Entry, Row, What};
use crate::config::drill::Measure;
use std::collections::BTreeMap;

/// The points of a run, in milliseconds since it began.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Points {
    pub injected: Option<f64>,
    pub first_failed_probe: Option<f64>,
    pub detected: Option<f64>,
    pub published: Option<f64>,
    pub first_changed: Option<f64>,
    pub last_old: Option<f64>,
    /// When everything was taken back.
    pub restored: Option<f64>,
    /// When the last answer came that was not as before; when it was restored, if none was.
    pub recovered: Option<f64>,
    /// How long the publish took.
    pub swap_ms: Option<f64>,
    /// When half, nine in ten and ninety-nine in a hundred caches had let go of the old answer.
    pub tail: [Option<f64>; 3],
}

/// Shares of caches that have let go.
const TAIL: [f64; 3] = [0.5, 0.9, 0.99];

impl Points {
    pub(super) fn of(entries: &[Entry]) -> Points {
        let mut points = Points::default();
        let mut is_back = false;
        let injections = || {
            entries.iter().filter_map(|entry| match &entry.what {
                What::Injected { step, disrupts, .. } => Some((entry.ms, step, *disrupts)),
                _ => None,
            })
        };
        // The first that may move anybody, else the first there is.
        let disrupting = injections().find(|(.., disrupts)| *disrupts);
        points.injected = disrupting.or_else(|| injections().next()).map(|(ms, ..)| ms);
        let steps = injections().filter(|(.., disrupts)| *disrupts || disrupting.is_none());
        points.restored = restored(entries, steps.map(|(_, step, _)| step));
        let is_in = |ms: f64| {
            points.injected.is_some_and(|at| at <= ms)
                && points.restored.is_none_or(|until| ms <= until)
        };
        let (mut first_failed, mut detected, mut published) = (None, None, None::<(f64, f64)>);
        for Entry { ms, what } in entries {
            match what {
                What::Event(seen) if is_in(*ms) => {
                    if seen.down == Some(true) {
                        detected.get_or_insert(*ms);
                    }
                    if let (Some(took), Some(_), None) = (seen.took_ms, detected, published) {
                        published = Some((*ms, took));
                    }
                }
                What::FirstFailedProbe { .. } => {
                    first_failed.get_or_insert(*ms);
                }
                What::Back { .. } => is_back = true,
                _ => {}
            }
        }
        (points.first_failed_probe, points.detected) = (first_failed, detected);
        (points.published, points.swap_ms) = published.unzip();
        let rows: Vec<&Row> = rows(entries).collect();
        let Some(injected) = points.injected else { return points };
        let after = |at: Option<f64>| at.filter(|at| *at >= injected);
        points.first_changed =
            rows.iter().filter_map(|row| after(row.first_off_ms)).min_by(f64::total_cmp);
        let restored = points.restored.unwrap_or(f64::INFINITY);
        // Before anybody comes back.
        let is_hit = |row: &&&Row| f64::from(row.second) * 1e3 < restored;
        if points.first_changed.is_some() {
            let old = rows.iter().filter(is_hit).filter_map(|row| after(row.last_old_ms));
            points.last_old = old.filter(|at| *at < restored).max_by(f64::total_cmp);
        }
        // Where nobody was asked, nobody can say.
        if is_back && rows.iter().any(|row| row.asked > 0) {
            let off = rows.iter().filter_map(|row| row.last_off_ms).max_by(f64::total_cmp);
            points.recovered = points.restored.map(|at| off.map_or(at, |off| off.max(at)));
        }
        points.tail = tail(&rows, injected, points.last_old);
        points
    }
}

/// When all of `steps` were over; when everything was taken back, if some never were.
fn restored<'e>(entries: &[Entry], steps: impl Iterator<Item = &'e String>) -> Option<f64> {
    let over = |step: &String| {
        entries.iter().find_map(|entry| match &entry.what {
            What::Over { step: over } if over == step => Some(entry.ms),
            _ => None,
        })
    };
    let all: Option<Vec<f64>> = steps.map(over).collect();
    let rolled_back = || {
        entries.iter().find_map(|entry| match &entry.what {
            What::RolledBack { took_ms, .. } => Some(entry.ms - took_ms),
            _ => None,
        })
    };
    all.and_then(|all| all.into_iter().max_by(f64::total_cmp)).or_else(rolled_back)
}

/// When caches let go of the old answer. Whoever keeps one fetched it at some moment of the last
/// TTL, as likely at one as at another; it lasts for the TTL it was given then.
fn tail(rows: &[&Row], injected: f64, last_old: Option<f64>) -> [Option<f64>; 3] {
    let Some(last) = last_old else { return [None; 3] };
    let usual = rows.iter().filter(|row| f64::from(row.second) * 1e3 <= injected);
    let usual = usual.map(|row| row.old_ttl_s).max().unwrap_or(0);
    let ttl = |at: f64| {
        let row = rows.iter().find(|row| row.second == (at.max(0.0) / 1e3) as u32);
        match row.filter(|row| at >= 0.0 && row.old > 0) {
            Some(row) => row.old_ttl_s,
            None => usual,
        }
    };
    /// Moments of a TTL that are looked at.
    const PARTS: u32 = 1_000;
    let window = f64::from(usual) * 1e3;
    let mut ends: Vec<f64> = (0..PARTS)
        .map(|part| last - window * f64::from(part) / f64::from(PARTS))
        .map(|at| at + f64::from(ttl(at)) * 1e3)
        // Who let go before asks again, and again for as long as the old answer is given.
        .map(|end| end.max(last))
        .collect();
    ends.sort_by(f64::total_cmp);
    TAIL.map(|share| ends.get((share * f64::from(PARTS)) as usize).copied())
}

/// All seconds.
pub(super) fn rows(entries: &[Entry]) -> impl Iterator<Item = &Row> + Clone {
    entries.iter().filter_map(|entry| match &entry.what {
        What::Second(row) => Some(row),
        _ => None,
    })
}

/// The figures that budgets are for: milliseconds, or counts. One that is absent never came.
pub(super) fn measures(entries: &[Entry], points: &Points) -> BTreeMap<Measure, f64> {
    let mut found: BTreeMap<Measure, f64> = BTreeMap::new();
    let since = |from: Option<f64>, to: Option<f64>| Some(to? - from?).filter(|ms| *ms >= 0.0);
    let times = [
        (Measure::Detect, since(points.injected, points.detected)),
        (Measure::Swap, points.swap_ms),
        (Measure::FirstChange, since(points.injected, points.first_changed)),
        (Measure::LastOld, since(points.injected, points.last_old)),
        (Measure::TtlTailP50, since(points.injected, points.tail[0])),
        (Measure::TtlTailP90, since(points.injected, points.tail[1])),
        (Measure::TtlTailP99, since(points.injected, points.tail[2])),
        (Measure::Recover, since(points.restored, points.recovered)),
    ];
    found.extend(times.into_iter().filter_map(|(measure, ms)| Some((measure, ms?))));
    let sum = |of: fn(&Row) -> u64| rows(entries).map(of).sum::<u64>() as f64;
    // Nothing is wrong with answers that nobody asked for, but nothing was seen to be right either.
    if sum(|row| row.asked) > 0.0 {
        found.insert(Measure::WrongAnswers, sum(|row| row.wrong));
        found.insert(Measure::EmptyAnswers, sum(|row| row.empty));
        found.insert(Measure::LostQueries, sum(|row| row.lost));
        found.insert(Measure::SpuriousChanges, sum(|row| row.spurious));
    }
    foreseen(entries, &mut found);
    found
}

/// What was only computed stands in for what was not measured.
fn foreseen(entries: &[Entry], found: &mut BTreeMap<Measure, f64>) {
    for entry in entries {
        let What::Foreseen { detect_ms: Some(detect), moved, ttl_s, .. } = &entry.what else {
            continue;
        };
        let mut put = |measure, ms| {
            found.entry(measure).or_insert(ms);
        };
        put(Measure::Detect, *detect);
        if *moved > 0.0 {
            let ttl = f64::from(*ttl_s) * 1e3;
            put(Measure::TtlTailP50, detect + ttl * TAIL[0]);
            put(Measure::TtlTailP90, detect + ttl * TAIL[1]);
            put(Measure::TtlTailP99, detect + ttl * TAIL[2]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(second: u32, old: u64, old_ttl_s: u32) -> Row {
        let last_old_ms = (old > 0).then(|| f64::from(second) * 1e3 + 900.0);
        Row { second, asked: 100, answered: 100, old, old_ttl_s, last_old_ms, ..Row::default() }
    }

    #[test]
    fn caches_let_go_over_one_ttl_after_the_last_old_answer() {
        let rows: Vec<Row> = (0..5).map(|second| row(second, 50, 30)).collect();
        let rows: Vec<&Row> = rows.iter().collect();
        let tail = tail(&rows, 2_000.0, Some(4_900.0)).map(Option::unwrap);
        let near = |at: f64, wanted: f64| (at - wanted).abs() < 100.0;
        assert!(near(tail[0], 4_900.0 + 15_000.0), "{tail:?}");
        assert!(near(tail[2], 4_900.0 + 29_700.0), "{tail:?}");
    }

    #[test]
    fn a_ttl_that_shrank_before_helps_those_who_asked_since() {
        let rows: Vec<Row> =
            (0..5).map(|second| row(second, 50, if second < 2 { 30 } else { 5 })).collect();
        let rows: Vec<&Row> = rows.iter().collect();
        let tail = tail(&rows, 1_500.0, Some(4_900.0)).map(Option::unwrap);
        // A tenth of them has the short one.
        assert!(tail[0] < 4_900.0 + 15_000.0 && tail[2] > 4_900.0 + 20_000.0, "{tail:?}");
    }
}
