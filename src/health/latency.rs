//! How long answers took: counts in fixed buckets, so that ten thousand targets cost little and
//! sums over them mean something.
//!
//! A target's own [`Histogram`] leans towards what happened lately and is for people;
//! [`Durations`] is the sum over all targets of one check since the start, which Prometheus takes
//! differences of, so it never falls. Checks are few, where targets are thousands.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Upper bounds in microseconds, six a decade: 0.1 ms is loopback, 7 s is beyond most time-outs.
const BOUNDS_US: [u64; 30] = [
    100, 150, 200, 300, 500, 700, 1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000,
    30_000, 50_000, 70_000, 100_000, 150_000, 200_000, 300_000, 500_000, 700_000, 1_000_000,
    1_500_000, 2_000_000, 3_000_000, 5_000_000, 7_000_000,
];
/// One a bound, and one for what is beyond.
const BUCKETS: usize = BOUNDS_US.len() + 1;
/// When a target's counts sum up to this they are halved: at 10 s, half a day is what counts.
const HALVED_AT: u32 = 4_096;

fn bucket(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    BOUNDS_US.partition_point(|bound| *bound < us)
}

/// How long one target's answers took of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram([u32; BUCKETS]);

impl Histogram {
    pub(super) fn record(&mut self, took: Duration) {
        self.0[bucket(took)] += 1;
        if self.0.iter().sum::<u32>() >= HALVED_AT {
            self.0.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// The time below which `share` (0 to 1) of the answers came, as exactly as the buckets say;
    /// `None` before the first.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let total: u32 = self.0.iter().sum();
        let wanted = (share * f64::from(total)).max(1.0);
        let mut below = 0.0;
        for (bucket, count) in self.0.iter().enumerate() {
            let inside = f64::from(*count);
            if inside > 0.0 && below + inside >= wanted {
                let low = bucket.checked_sub(1).map_or(0, |before| BOUNDS_US[before]);
                let high = BOUNDS_US.get(bucket).copied().unwrap_or(low);
                // Even inside a bucket, for want of better knowledge.
                let us = low as f64 + (high - low) as f64 * (wanted - below) / inside;
                return Some(Duration::from_micros(us as u64));
            }
            below += inside;
        }
        None
    }
}

/// The [`Durations`] of each check of the plan, by its name.
#[derive(Debug, Default)]
pub(super) struct Sums(Mutex<BTreeMap<Arc<str>, Arc<Durations>>>);

impl Sums {
    /// That of `check`.
    pub(super) fn of(&self, check: &Arc<str>) -> Arc<Durations> {
        Arc::clone(self.lock().entry(Arc::clone(check)).or_default())
    }

    /// Forgets all checks but `these`.
    pub(super) fn keep<'n>(&self, these: impl Iterator<Item = &'n Arc<str>>) {
        let these: HashSet<&Arc<str>> = these.collect();
        self.lock().retain(|check, _| these.contains(check));
    }

    pub(super) fn read(&self) -> Vec<(Arc<str>, ProbeDurations)> {
        self.lock().iter().map(|(check, sum)| (Arc::clone(check), sum.read())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Durations>>> {
        // A check is put in whole, so a panic elsewhere has spoilt nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the answers of all targets of a check took since the start.
#[derive(Debug)]
pub(super) struct Durations {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Default for Durations {
    fn default() -> Self {
        Durations { counts: [const { AtomicU64::new(0) }; BUCKETS], sum_us: AtomicU64::new(0) }
    }
}

impl Durations {
    pub(super) fn record(&self, took: Duration) {
        self.counts[bucket(took)].fetch_add(1, Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Relaxed);
    }

    pub(super) fn read(&self) -> ProbeDurations {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        ProbeDurations {
            buckets: bounds.zip(counts).collect(),
            sum: self.sum_us.load(Relaxed) as f64 / 1e6,
        }
    }
}

/// How long answers took since the start, as Prometheus wants it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeDurations {
    /// Upper bounds in seconds (the last one is `f64::INFINITY`), and how many lie in each bucket.
    pub buckets: Vec<(f64, u64)>,
    /// All of them together, in seconds.
    pub sum: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_as_good_as_the_buckets() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for ms in 1..=100 {
            histogram.record(Duration::from_millis(ms));
        }
        for (share, ms) in [(0.0, 1), (0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100)] {
            let got = histogram.quantile(share).unwrap().as_secs_f64() * 1_000.0;
            assert!((got - f64::from(ms)).abs() <= 1.0, "{share}: {got}");
        }
    }

    #[test]
    fn what_is_beyond_the_last_bound_counts_as_that_bound() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_secs(3_600));
        assert_eq!(histogram.quantile(0.5), Some(Duration::from_secs(7)));
    }

    #[test]
    fn what_happened_lately_outweighs_what_happened_long_ago() {
        let mut histogram = Histogram::default();
        for _ in 0..100_000 {
            histogram.record(Duration::from_millis(1));
        }
        for _ in 0..HALVED_AT {
            histogram.record(Duration::from_millis(100));
        }
        assert!(histogram.quantile(0.5).unwrap() > Duration::from_millis(70));
    }

    #[test]
    fn each_check_has_a_sum_of_its_own_for_as_long_as_it_is_used() {
        let (sums, web, db) = (Sums::default(), Arc::from("web"), Arc::from("db"));
        sums.of(&web).record(Duration::from_millis(1));
        sums.of(&web).record(Duration::from_millis(2));
        sums.of(&db).record(Duration::from_secs(1));
        let read = |sums: &Sums| -> Vec<(String, f64)> {
            sums.read().into_iter().map(|(check, of)| (check.to_string(), of.sum)).collect()
        };
        assert_eq!(read(&sums), [("db".into(), 1.0), ("web".into(), 0.003)]);
        sums.keep([&web].into_iter());
        assert_eq!(read(&sums), [("web".into(), 0.003)]);
    }

    #[test]
    fn the_sum_over_all_never_falls() {
        let durations = Durations::default();
        durations.record(Duration::from_micros(100));
        durations.record(Duration::from_secs(10));
        let read = durations.read();
        assert_eq!((read.buckets.len(), read.buckets[0], read.buckets[30].1), (31, (1e-4, 1), 1));
        assert!((read.sum - 10.0001).abs() < 1e-9);
    }
}
