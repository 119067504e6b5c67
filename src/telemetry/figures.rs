//! What control measures now and then, by size: nothing here is on the way of a packet.

use super::tally::Via;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Seconds: from what a packet takes to what somebody waits for.
const ANSWER_SECONDS: &[f64] =
    &[1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 1e-1];
/// Bytes: the limits of UDP and of Ethernet among them.
const MESSAGE_BYTES: &[f64] = &[64.0, 128.0, 256.0, 512.0, 1_232.0, 4_096.0, 16_384.0, 65_535.0];
/// Seconds of a publish: 10 ms is what is promised (DESIGN §6).
const SWAP_SECONDS: &[f64] = &[1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 1.0];
/// Seconds until a fall is found: a time-out, the defaults' 12 and 21 s, a held mass failure.
const DETECT_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 21.0, 30.0, 60.0, 150.0];

/// What was measured, by size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// All of it together.
    pub sum: f64,
    /// Upper bounds (`f64::INFINITY` for the last one), and how many lie in each bucket.
    pub buckets: Vec<(f64, u64)>,
}

/// A distribution that grows.
#[derive(Debug)]
pub struct Histogram(Mutex<Distribution>);

impl Histogram {
    fn new(bounds: &[f64]) -> Histogram {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets = bounds.map(|bound| (bound, 0)).collect();
        Histogram(Mutex::new(Distribution { sum: 0.0, buckets }))
    }

    /// Counts one of `size`.
    pub fn note(&self, size: f64) {
        let mut all = hold(&self.0);
        all.sum += size;
        if let Some(bucket) = all.buckets.iter_mut().find(|(bound, _)| size <= *bound) {
            bucket.1 += 1;
        }
    }

    /// Counts one that took so long.
    pub fn note_time(&self, took: Duration) {
        self.note(took.as_secs_f64());
    }

    /// All that was counted.
    pub fn read(&self) -> Distribution {
        hold(&self.0).clone()
    }
}

/// Numbers only rise, so what a panicking holder left is sound.
fn hold<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything measured so.
#[derive(Debug)]
pub struct Figures {
    /// From the receipt of its batch to the reply; of sampled answers.
    pub answer_seconds: ByVia,
    /// Lengths of sampled queries.
    pub query_bytes: ByVia,
    /// Lengths of the replies to them.
    pub reply_bytes: ByVia,
    /// From what decided a change to the World that carries it.
    pub swap_seconds: Histogram,
    /// From the first failed probe to the fall's effect.
    pub detect_seconds: Histogram,
    qtypes: Mutex<BTreeMap<&'static str, u64>>,
}

impl Default for Figures {
    fn default() -> Self {
        let by_via = |bounds| ByVia(Via::ALL.iter().map(|_| Histogram::new(bounds)).collect());
        Figures {
            answer_seconds: by_via(ANSWER_SECONDS),
            query_bytes: by_via(MESSAGE_BYTES),
            reply_bytes: by_via(MESSAGE_BYTES),
            swap_seconds: Histogram::new(SWAP_SECONDS),
            detect_seconds: Histogram::new(DETECT_SECONDS),
            qtypes: Mutex::default(),
        }
    }
}

impl Figures {
    /// Counts a sampled query of the type `name`.
    pub fn note_qtype(&self, name: &'static str) {
        *hold(&self.qtypes).entry(name).or_default() += 1;
    }

    /// Sampled queries by type.
    pub fn qtypes(&self) -> Vec<(&'static str, u64)> {
        hold(&self.qtypes).iter().map(|(name, count)| (*name, *count)).collect()
    }
}

/// One histogram for each way a query may come.
#[derive(Debug)]
pub struct ByVia(Box<[Histogram]>);

impl ByVia {
    /// That of `via`.
    pub fn of(&self, via: Via) -> &Histogram {
        &self.0[via as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_lie_in_the_first_bucket_that_holds_them() {
        let figures = Figures::default();
        for size in [1.0, 64.0, 64.5, 100_000.0] {
            figures.reply_bytes.of(Via::Tcp).note(size);
        }
        let all = figures.reply_bytes.of(Via::Tcp).read();
        let counts: Vec<u64> = all.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!((all.sum, counts), (100_129.5, vec![2, 1, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(figures.reply_bytes.of(Via::Udp).read().sum, 0.0);
        figures.detect_seconds.note_time(Duration::from_millis(600));
        assert_eq!(figures.detect_seconds.read().buckets[2], (1.0, 1));
    }
}
