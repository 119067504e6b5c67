//! The text Prometheus scrapes: the counters' sums, and what other rooms add by closure.
//!
//! Everything is read when somebody asks; nothing here runs between scrapes. Must not know what
//! it shows: names, labels and numbers come from `super::tally` and from who adds a metric.

use super::counters::{Telemetry, Totals};
pub use super::figures::Distribution;
use super::measured;
use super::tally::{CloseReason, CookieResult, DropReason, Family, Lost, RCODES, Tally, Via};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// What every name begins with.
const PREFIX: &str = "tradewind";
/// RCODEs by number (IANA DNS parameters); a blank one is unassigned and shown as its number.
const RCODE_NAMES: [&str; RCODES] = [
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
    "DSOTYPENI",
    "",
    "",
    "",
    "",
    "BADVERS",
    "BADKEY",
    "BADTIME",
    "BADMODE",
    "BADNAME",
    "BADALG",
    "BADTRUNC",
    "BADCOOKIE",
    "other",
];

/// Whether a number may fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises; its name gets `_total` appended.
    Counter,
    /// Goes either way.
    Gauge,
}

/// Where a metric's closure puts its numbers.
#[derive(Debug)]
pub struct Samples<'a> {
    encoder: MetricEncoder<'a>,
    kind: Kind,
    outcome: fmt::Result,
}

impl Samples<'_> {
    /// One number, told from the metric's others by its labels.
    pub fn put(&mut self, labels: &[(&str, &str)], value: f64) {
        self.outcome = self.outcome.and_then(|()| {
            // An empty family is written without braces only if no family is opened.
            match labels {
                [] => encode(&mut self.encoder, self.kind, value),
                _ => encode(&mut self.encoder.encode_family(&labels)?, self.kind, value),
            }
        });
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, kind: Kind, value: f64) -> fmt::Result {
    match kind {
        Kind::Counter => encoder.encode_counter::<[(&str, &str); 0], _, f64>(&value, None),
        Kind::Gauge => encoder.encode_gauge(&value),
    }
}

/// Everything the server shows to Prometheus.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    telemetry: Arc<Telemetry>,
}

impl Metrics {
    /// The counters of `telemetry`; more may be [added](Metrics::add).
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Counters(Arc::clone(&telemetry))));
        let mut metrics = Metrics { registry, telemetry };
        measured::add(&mut metrics);
        metrics
    }

    /// The counters behind them.
    pub fn telemetry(&self) -> Arc<Telemetry> {
        Arc::clone(&self.telemetry)
    }

    /// Adds the metric `tradewind_<name>`, which `read` fills at each scrape. `help` is a phrase
    /// without a full stop.
    pub fn add(
        &mut self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        read: impl Fn(&mut Samples<'_>) + Send + Sync + 'static,
    ) {
        let metric = Added { kind, name, help, read: Box::new(read) };
        self.registry.register_collector(Box::new(metric));
    }

    /// Adds the histograms `tradewind_<name>`, told apart by the value of `label`, which `read`
    /// gives at each scrape.
    pub fn add_histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        read: impl Fn() -> Vec<(Arc<str>, Distribution)> + Send + Sync + 'static,
    ) {
        let (label, read) = (Some(label), Box::new(read));
        self.registry.register_collector(Box::new(Histograms { name, help, label, read }));
    }

    /// Adds the histogram `tradewind_<name>`, which `read` gives at each scrape.
    pub fn add_histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Distribution + Send + Sync + 'static,
    ) {
        let read = Box::new(move || vec![("".into(), read())]);
        self.registry.register_collector(Box::new(Histograms { name, help, label: None, read }));
    }

    /// The metrics as OpenMetrics text (`application/openmetrics-text; version=1.0.0`).
    pub fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

struct Added {
    kind: Kind,
    name: &'static str,
    help: &'static str,
    read: Box<dyn Fn(&mut Samples<'_>) + Send + Sync>,
}

impl fmt::Debug for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Added").field(&self.name).finish()
    }
}

type ReadHistograms = dyn Fn() -> Vec<(Arc<str>, Distribution)> + Send + Sync;

struct Histograms {
    name: &'static str,
    help: &'static str,
    /// What tells them apart; the only one needs nothing.
    label: Option<&'static str>,
    read: Box<ReadHistograms>,
}

impl fmt::Debug for Histograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histograms").field(&self.name).finish()
    }
}

impl Collector for Histograms {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metric_type = MetricType::Histogram;
        let mut encoder = encoder.encode_descriptor(self.name, self.help, None, metric_type)?;
        for (value, Distribution { sum, buckets }) in (self.read)() {
            let count = buckets.iter().map(|(_, count)| count).sum();
            // An empty family is written without braces only if no family is opened.
            match self.label {
                None => encode_histogram(&mut encoder, sum, count, &buckets)?,
                Some(label) => {
                    let labels = [(label, &*value)];
                    encode_histogram(&mut encoder.encode_family(&labels)?, sum, count, &buckets)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_histogram(
    encoder: &mut MetricEncoder<'_>,
    sum: f64,
    count: u64,
    buckets: &[(f64, u64)],
) -> fmt::Result {
    encoder.encode_histogram::<[(&str, &str); 0]>(sum, count, buckets, None)
}

impl Collector for Added {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        write(&mut encoder, self.kind, self.name, self.help, &self.read)
    }
}

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    kind: Kind,
    name: &str,
    help: &str,
    read: impl Fn(&mut Samples<'_>),
) -> fmt::Result {
    let metric_type = match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
    };
    let encoder = encoder.encode_descriptor(name, help, None, metric_type)?;
    let mut samples = Samples { encoder, kind, outcome: Ok(()) };
    read(&mut samples);
    samples.outcome
}

/// The counters of all threads, summed once a scrape.
#[derive(Debug)]
struct Counters(Arc<Telemetry>);

impl Collector for Counters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.0.totals();
        let encoder = &mut encoder;
        messages(encoder, &totals)?;
        losses(encoder, &totals)?;
        connections(encoder, &totals)?;
        samples_taken(encoder, &totals)
    }
}

fn messages(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> fmt::Result {
    write(encoder, Kind::Counter, "dns_requests", "Packets and frames received", |samples| {
        for &via in Via::ALL {
            for &family in Family::ALL {
                let labels = [("proto", via.label()), ("family", family.label())];
                samples.put(&labels, totals.of(Tally::Query(via, family)) as f64);
            }
        }
    })?;
    write(encoder, Kind::Counter, "dns_responses", "Replies made, by RCODE", |samples| {
        for &via in Via::ALL {
            for (rcode, name) in RCODE_NAMES.iter().enumerate() {
                let n = totals.of(Tally::Response(via, rcode as u16));
                if n > 0 {
                    let number = rcode.to_string();
                    let name = if name.is_empty() { number.as_str() } else { name };
                    samples.put(&[("proto", via.label()), ("rcode", name)], n as f64);
                }
            }
        }
    })?;
    single(encoder, totals, Tally::Truncated, "dns_truncated", "Replies with TC set")?;
    single(encoder, totals, Tally::Ecs, "dns_ecs", "Queries with an ECS option")?;
    write(encoder, Kind::Counter, "dns_cookies", "Queries with a cookie", |samples| {
        for &result in CookieResult::ALL {
            let n = totals.of(Tally::Cookie(result));
            samples.put(&[("result", result.label())], n as f64);
        }
    })?;
    write(encoder, Kind::Counter, "dns_rrl", "Replies over the rate limit", |samples| {
        let dropped = totals.of(Tally::Dropped(DropReason::RateLimited));
        for (action, n) in [("drop", dropped), ("slip", totals.of(Tally::Slipped))] {
            samples.put(&[("action", action)], n as f64);
        }
    })
}

fn losses(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> fmt::Result {
    write(encoder, Kind::Counter, "dns_dropped", "Packets left without a reply", |samples| {
        for &reason in DropReason::ALL {
            let n = totals.of(Tally::Dropped(reason));
            samples.put(&[("reason", reason.label())], n as f64);
        }
    })?;
    let full = "Datagrams lost because the receive buffer was full";
    single(encoder, totals, Tally::KernelDrop, "udp_kernel_drops", full)?;
    single(encoder, totals, Tally::SendDrop, "udp_send_drops", "Replies the kernel refused")?;
    single(encoder, totals, Tally::Panic, "panics", "Packets that made the answerer panic")
}

fn connections(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> fmt::Result {
    let closed = |&reason: &CloseReason| totals.of(Tally::TcpClosed(reason));
    let opened = totals.of(Tally::TcpOpened);
    let open = opened.saturating_sub(CloseReason::ALL.iter().map(closed).sum());
    write(encoder, Kind::Gauge, "dns_tcp_connections", "TCP connections now open", |samples| {
        samples.put(&[], open as f64);
    })?;
    single(encoder, totals, Tally::TcpOpened, "dns_tcp_opened", "TCP connections accepted")?;
    write(encoder, Kind::Counter, "dns_tcp_closed", "TCP connections ended", |samples| {
        for reason in CloseReason::ALL {
            samples.put(&[("reason", reason.label())], closed(reason) as f64);
        }
    })
}

fn samples_taken(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> fmt::Result {
    single(encoder, totals, Tally::Sampled, "querylog_sampled", "Answers sampled")?;
    let help = "Sampled answers, or dnstap messages of them, that were not shown";
    write(encoder, Kind::Counter, "querylog_lost", help, |samples| {
        for &at in Lost::ALL {
            samples.put(&[("at", at.label())], totals.of(Tally::SampleLost(at)) as f64);
        }
    })
}

fn single(
    encoder: &mut DescriptorEncoder<'_>,
    totals: &Totals,
    tally: Tally,
    name: &str,
    help: &str,
) -> fmt::Result {
    write(encoder, Kind::Counter, name, help, |samples| samples.put(&[], totals.of(tally) as f64))
}

#[cfg(test)]
mod tests {
    use super::super::{AnswerName, Counted, Reason};
    use super::*;

    fn lines(metrics: &Metrics, start: &str) -> Vec<String> {
        let text = metrics.text();
        text.lines().filter(|line| line.starts_with(start)).map(str::to_string).collect()
    }

    #[test]
    fn counters_are_shown_with_their_labels() {
        let telemetry = Arc::new(Telemetry::default());
        let counters = telemetry.thread();
        counters.add(Tally::Query(Via::Udp, Family::V4), 3);
        counters.add(Tally::Response(Via::Udp, 3), 2);
        counters.count(Tally::Response(Via::Tcp, 12));
        counters.add(Tally::KernelDrop, 9);
        counters.add(Tally::Dropped(DropReason::RateLimited), 7);
        counters.add(Tally::Slipped, 6);
        counters.add(Tally::Cookie(CookieResult::Invalid), 8);
        counters.add(Tally::TcpOpened, 5);
        counters.count(Tally::TcpClosed(CloseReason::Idle));
        let www = AnswerName {
            zone: "z.".into(),
            record: "www.z.".into(),
            region: "eu".into(),
            pool: "eu".into(),
        };
        let slot = telemetry.slot(www);
        counters.answer(Counted { slot, reason: Reason::Healthy });
        let metrics = Metrics::new(telemetry);
        let cases = [
            ("tradewind_dns_requests_total{proto=\"udp\",family=\"ipv4\"", "3.0"),
            ("tradewind_dns_responses_total{proto=\"udp\",rcode=\"NXDOMAIN\"", "2.0"),
            ("tradewind_dns_responses_total{proto=\"tcp\",rcode=\"12\"", "1.0"),
            ("tradewind_udp_kernel_drops_total", "9.0"),
            ("tradewind_dns_dropped_total{reason=\"rate_limited\"", "7.0"),
            ("tradewind_dns_rrl_total{action=\"drop\"", "7.0"),
            ("tradewind_dns_rrl_total{action=\"slip\"", "6.0"),
            ("tradewind_dns_cookies_total{result=\"invalid\"", "8.0"),
            ("tradewind_dns_tcp_connections ", "4.0"),
            ("tradewind_dns_tcp_closed_total{reason=\"idle\"", "1.0"),
            (
                "tradewind_answers_total{zone=\"z.\",record=\"www.z.\",region=\"eu\",reason=\"healthy\"",
                "1.0",
            ),
        ];
        for (start, value) in cases {
            let found = lines(&metrics, start);
            assert_eq!(found.len(), 1, "{start}: {found:?}\n{}", metrics.text());
            assert!(found[0].ends_with(&format!(" {value}")), "{found:?}");
        }
    }

    #[test]
    fn buckets_of_a_histogram_are_summed_up() {
        let mut metrics = Metrics::new(Arc::new(Telemetry::default()));
        metrics.add_histograms("took_seconds", "Time taken", "check", || {
            let buckets = vec![(0.1, 3), (1.0, 0), (f64::INFINITY, 1)];
            vec![("web".into(), Distribution { sum: 2.5, buckets })]
        });
        assert_eq!(
            lines(&metrics, "tradewind_took_seconds"),
            [
                "tradewind_took_seconds_sum{check=\"web\"} 2.5",
                "tradewind_took_seconds_count{check=\"web\"} 4",
                "tradewind_took_seconds_bucket{le=\"0.1\",check=\"web\"} 3",
                "tradewind_took_seconds_bucket{le=\"1.0\",check=\"web\"} 3",
                "tradewind_took_seconds_bucket{le=\"+Inf\",check=\"web\"} 4",
            ]
        );
    }

    #[test]
    fn other_rooms_add_metrics_that_are_read_at_each_scrape() {
        let telemetry = Arc::new(Telemetry::default());
        let revision = telemetry.thread();
        let mut metrics = Metrics::new(telemetry.clone());
        metrics.add(Kind::Gauge, "snapshot_revision", "Revision now answered", move |samples| {
            samples.put(&[], telemetry.totals().of(Tally::Ecs) as f64);
        });
        metrics.add(Kind::Counter, "probes", "Probes sent", |samples| {
            samples.put(&[("target", "a\"b"), ("result", "ok")], 2.0);
            samples.put(&[("target", "a\"b"), ("result", "void")], 0.0);
        });
        assert_eq!(
            lines(&metrics, "tradewind_snapshot_revision"),
            ["tradewind_snapshot_revision 0.0"]
        );
        revision.count(Tally::Ecs);
        assert_eq!(
            lines(&metrics, "tradewind_snapshot_revision"),
            ["tradewind_snapshot_revision 1.0"]
        );
        assert_eq!(
            lines(&metrics, "tradewind_probes_total"),
            [
                "tradewind_probes_total{target=\"a\\\"b\",result=\"ok\"} 2.0",
                "tradewind_probes_total{target=\"a\\\"b\",result=\"void\"} 0.0",
            ]
        );
        assert!(metrics.text().ends_with("# EOF\n"));
    }
}
