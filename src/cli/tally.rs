//! Counts of distinct answers, with how far chance may have moved each share.

use std::{cmp::Reverse, collections::HashMap};

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_964;

/// How often each answer came.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    counts: HashMap<String, u64>,
    total: u64,
}

/// One answer's part in the whole.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Share {
    pub(super) answer: String,
    pub(super) count: u64,
    /// `count` over all, 0..=1.
    pub(super) share: f64,
    /// Where the true share lies, 19 times out of 20.
    pub(super) interval: (f64, f64),
}

impl Tally {
    pub(super) fn add(&mut self, answer: String) {
        *self.counts.entry(answer).or_default() += 1;
        self.total += 1;
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Every answer, the most frequent first, equal ones by name.
    pub(super) fn shares(&self) -> Vec<Share> {
        let mut shares: Vec<_> = self
            .counts
            .iter()
            .map(|(answer, &count)| Share {
                answer: answer.clone(),
                count,
                share: count as f64 / self.total as f64,
                interval: wilson(count, self.total),
            })
            .collect();
        shares.sort_by(|a, b| (Reverse(a.count), &a.answer).cmp(&(Reverse(b.count), &b.answer)));
        shares
    }
}

/// Wilson's score interval: unlike p ± z·σ it stays within 0..=1 and holds for the rare shares a
/// canary has (Wilson 1927; Brown, Cai and DasGupta 2001).
fn wilson(count: u64, total: u64) -> (f64, f64) {
    let (n, p, z2) = (total as f64, count as f64 / total as f64, Z * Z);
    let centre = p + z2 / (2.0 * n);
    let reach = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((centre - reach) / scale).max(0.0), ((centre + reach) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_highest_first_and_sum_to_one() {
        let mut tally = Tally::default();
        for answer in ["b", "a", "c", "c", "c"] {
            tally.add(answer.to_owned());
        }
        let shares = tally.shares();
        let order: Vec<_> = shares.iter().map(|s| (s.answer.as_str(), s.count)).collect();
        assert_eq!(order, [("c", 3), ("a", 1), ("b", 1)]);
        assert_eq!(tally.total(), 5);
        assert!((shares.iter().map(|s| s.share).sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn intervals_are_wilsons() {
        // Figures of R's prop.test(correct = FALSE).
        for (count, total, low, high) in [
            (10, 100, 0.05523, 0.17437),
            (0, 20, 0.0, 0.16113),
            (20, 20, 0.83887, 1.0),
            (9_000, 100_000, 0.08824, 0.09179),
        ] {
            let (l, h) = wilson(count, total);
            assert!((l - low).abs() < 1e-5 && (h - high).abs() < 1e-5, "{count}/{total}: {l} {h}");
        }
    }
}
