//! Counts of distinct answers, with how far chance may have moved each share.

use crate::measure::wilson;
use std::{cmp::Reverse, collections::HashMap};

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
}
