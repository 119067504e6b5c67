//! Which records have series of their own: a scrape must not grow with the zones.
//!
//! Whoever comes first has one, up to [`RECORDS_MAX`] of those the operator wants; the others are
//! summed by zone. A record keeps its series until files are loaded again.

use super::counters::AnswerName;
use std::{
    collections::HashSet,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Records with series of their own: with three regions each 12,000 lines of a scrape.
pub const RECORDS_MAX: usize = 2_000;

type Wanted = Box<dyn Fn(&str) -> bool + Send>;

/// The records that have series of their own.
pub struct Detail(Mutex<Chosen>);

struct Chosen {
    /// Takes `zone/record`; none while all may have one.
    wanted: Option<Wanted>,
    own: HashSet<Box<str>>,
}

impl Default for Detail {
    fn default() -> Self {
        Detail(Mutex::new(Chosen { wanted: None, own: HashSet::new() }))
    }
}

impl Detail {
    /// Chooses anew, among the records whose `zone/record` is `wanted`; among all if it is none.
    pub fn choose(&self, wanted: Option<Wanted>) {
        *self.chosen() = Chosen { wanted, own: HashSet::new() };
    }

    /// Whether the record of `answer` has series of its own.
    pub fn has(&self, answer: &AnswerName) -> bool {
        let mut chosen = self.chosen();
        if chosen.own.contains(&answer.record) {
            return true;
        }
        let is_wanted = chosen.wanted.as_ref().is_none_or(|wanted| wanted(&id(answer)));
        let has = is_wanted && chosen.own.len() < RECORDS_MAX;
        if has {
            chosen.own.insert(answer.record.clone());
        }
        has
    }

    /// Whoever panics while holding it leaves whole names behind.
    fn chosen(&self) -> MutexGuard<'_, Chosen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detail").finish_non_exhaustive()
    }
}

/// `zone/record` as zone files have it: the name without its zone, `@` at the apex.
fn id(AnswerName { zone, record, .. }: &AnswerName) -> String {
    let inside = record.strip_suffix(&**zone).map(|inside| inside.trim_end_matches('.'));
    let inside = match inside {
        Some("") => "@",
        Some(inside) => inside,
        None => record,
    };
    format!("{zone}/{inside}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(record: &str) -> AnswerName {
        AnswerName {
            zone: "gtm.example".into(),
            record: record.into(),
            region: "eu".into(),
            pool: "eu".into(),
        }
    }

    #[test]
    fn the_first_two_thousand_that_are_wanted_have_their_own() {
        let detail = Detail::default();
        for n in 0..RECORDS_MAX {
            assert!(detail.has(&answer(&format!("r{n}.gtm.example"))));
        }
        assert!(!detail.has(&answer("late.gtm.example")));
        assert!(detail.has(&answer("r7.gtm.example")), "who has one keeps it");
        detail.choose(Some(Box::new(|id| id == "gtm.example/late" || id == "gtm.example/@")));
        assert!(detail.has(&answer("late.gtm.example")));
        assert!(detail.has(&answer("gtm.example")), "the apex is written @");
        assert!(!detail.has(&answer("r7.gtm.example")));
    }
}
