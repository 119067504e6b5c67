//! The series of steered answers, and of what is measured now and then.
//!
//! Beside the counters of every packet, which [`super::metrics`] shows by itself.

use super::{
    Telemetry,
    figures::{ByVia, Figures, Histogram},
    metrics::{Kind, Metrics, Samples},
    tally::{Reason, Via},
};
use std::collections::BTreeMap;

/// Stands for the records of a zone that have no series of their own; no name is written so.
const OTHER_RECORDS: &str = "*";

/// Steered answers by record, region and grounds; of records without series of their own by zone.
fn answers(telemetry: &Telemetry, samples: &mut Samples<'_>) {
    /// Zone, record, region, and the place of the grounds.
    type Series = (Box<str>, Box<str>, Box<str>, usize);
    let mut sums_by: BTreeMap<Series, u64> = BTreeMap::new();
    for (name, sums) in telemetry.answers() {
        let has_own = telemetry.detail().has(&name);
        for (row, n) in sums.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            // Pools of one region are one series.
            let record = if has_own { name.record.clone() } else { OTHER_RECORDS.into() };
            let key = (name.zone.clone(), record, name.region.clone(), row);
            *sums_by.entry(key).or_default() += n;
        }
    }
    for ((zone, record, region, row), n) in sums_by {
        let labels = [
            ("zone", &*zone),
            ("record", &*record),
            ("region", &*region),
            ("reason", Reason::ALL[row].label()),
        ];
        samples.put(&labels, n as f64);
    }
}

/// What samples, and control itself, were measured by.
pub(super) fn add(metrics: &mut Metrics) {
    let mut by_via = |name, help, of: fn(&Figures) -> &ByVia| {
        let telemetry = metrics.telemetry();
        metrics.add_histograms(name, help, "proto", move || {
            let of_via = |&via: &Via| (via.label().into(), of(telemetry.figures()).of(via).read());
            Via::ALL.iter().map(of_via).collect()
        });
    };
    let help = "Time from the receipt of a batch to a reply in it, of sampled answers";
    by_via("dns_request_duration_seconds", help, |figures| &figures.answer_seconds);
    by_via("dns_request_size_bytes", "Lengths of sampled queries", |f| &f.query_bytes);
    by_via("dns_response_size_bytes", "Lengths of replies to them", |f| &f.reply_bytes);
    let mut single = |name, help, of: fn(&Figures) -> &Histogram| {
        let telemetry = metrics.telemetry();
        metrics.add_histogram(name, help, move || of(telemetry.figures()).read());
    };
    let help = "Time from what decided a change of verdict to the World that carries it";
    single("swap_duration_seconds", help, |figures| &figures.swap_seconds);
    let help = "Time from the first failed probe to the fall's effect";
    single("failover_detect_seconds", help, |figures| &figures.detect_seconds);
    let telemetry = metrics.telemetry();
    let help = "Sampled queries, by type";
    metrics.add(Kind::Counter, "dns_sampled_requests", help, move |samples| {
        for (name, count) in telemetry.figures().qtypes() {
            samples.put(&[("type", name)], count as f64);
        }
    });
    let telemetry = metrics.telemetry();
    let help = "Steered answers given, by what was answered and on what grounds";
    metrics.add(Kind::Counter, "answers", help, move |samples| answers(&telemetry, samples));
}

#[cfg(test)]
mod tests {
    use super::super::{AnswerName, Counted};
    use super::*;
    use std::sync::Arc;

    #[test]
    fn records_without_series_of_their_own_are_summed_by_zone() {
        let telemetry = Arc::new(Telemetry::default());
        let counters = telemetry.thread();
        telemetry.detail().choose(Some(Box::new(|id| id == "z./www")));
        for record in ["www.z.", "api.z.", "app.z."] {
            let name = AnswerName {
                zone: "z.".into(),
                record: record.into(),
                region: "eu".into(),
                pool: "eu".into(),
            };
            let slot = telemetry.slot(name);
            counters.answer(Counted { slot, reason: Reason::Healthy });
        }
        let text = Metrics::new(telemetry).text();
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("tradewind_answers_total")).collect();
        assert_eq!(
            lines,
            [
                "*\",region=\"eu\",reason=\"healthy\"} 2.0",
                "www.z.\",region=\"eu\",reason=\"healthy\"} 1.0"
            ]
            .map(|end| format!("tradewind_answers_total{{zone=\"z.\",record=\"{end}"))
        );
    }
}
