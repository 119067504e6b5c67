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
    let mut rest: BTreeMap<(Box<str>, Box<str>, usize), u64> = BTreeMap::new();
    for (name, sums) in telemetry.answers() {
        let has_own = telemetry.detail().has(&name);
        for (row, (&reason, n)) in Reason::ALL.iter().zip(sums).enumerate().filter(|(_, s)| s.1 > 0)
        {
            if !has_own {
                *rest.entry((name.zone.clone(), name.region.clone(), row)).or_default() += n;
                continue;
            }
            let labels = [
                ("zone", &*name.zone),
                ("record", &*name.record),
                ("region", &*name.region),
                ("reason", reason.label()),
            ];
            samples.put(&labels, n as f64);
        }
    }
    for ((zone, region, row), n) in rest {
        let labels = [
            ("zone", &*zone),
            ("record", OTHER_RECORDS),
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
            let name = AnswerName { zone: "z.".into(), record: record.into(), region: "eu".into() };
            let slot = telemetry.slot(name);
            counters.answer(Counted { slot, reason: Reason::Healthy });
        }
        let text = Metrics::new(telemetry).text();
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("tradewind_answers_total")).collect();
        assert_eq!(
            lines,
            [
                "www.z.\",region=\"eu\",reason=\"healthy\"} 1.0",
                "*\",region=\"eu\",reason=\"healthy\"} 2.0"
            ]
            .map(|end| format!("tradewind_answers_total{{zone=\"z.\",record=\"{end}"))
        );
    }
}
