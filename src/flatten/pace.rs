//! When a name is looked up: again when its addresses run out, sooner and sooner less when that
//! goes wrong. Pure: time and chance are arguments.

use super::lookup::Outcome;
use crate::{
    clock::{Dice, Moment},
    wire::Name,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// No name is asked for more often, whatever its TTL says: half a query a second and family.
pub(super) const FLOOR: Duration = Duration::from_secs(2);
/// Nor less often: addresses that were promised for a week are moved all the same.
const CEILING: Duration = Duration::from_secs(3_600);
/// How soon a name of ours is asked for again while first results are awaited, for a second at most.
const SOON: Duration = Duration::from_millis(50);
/// After failures in a row the pause doubles up to this.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What is known of every name's lookups.
#[derive(Debug, Default)]
pub(super) struct Book(BTreeMap<Name, Page>);

#[derive(Debug)]
struct Page {
    due: Moment,
    is_asked: bool,
    /// Whether anything came back yet.
    has_result: bool,
    failures: u32,
    /// What was told last of its failing.
    trouble: Option<Arc<str>>,
}

impl Book {
    /// Follows `names` and no others; new ones are due at once.
    pub fn arrange(&mut self, names: &[Name], now: Moment) {
        self.0.retain(|name, _| names.contains(name));
        for name in names {
            self.0.entry(name.clone()).or_insert(Page {
                due: now,
                is_asked: false,
                has_result: false,
                failures: 0,
                trouble: None,
            });
        }
    }

    /// The name that has waited longest to be asked; it is then.
    pub fn next_due(&mut self, now: Moment) -> Option<Name> {
        let due = self.0.iter_mut().filter(|(_, page)| !page.is_asked && page.due <= now);
        let (name, page) = due.min_by_key(|(_, page)| page.due)?;
        page.is_asked = true;
        Some(name.clone())
    }

    /// Notes an outcome. Something comes back when it is news: `Some(why)` of trouble, `None` of
    /// its end.
    pub fn done(
        &mut self,
        name: &Name,
        outcome: &Outcome,
        now: Moment,
        dice: &mut Dice,
    ) -> Option<Option<Arc<str>>> {
        // It may have been taken out of the files meanwhile.
        let page = self.0.get_mut(name)?;
        (page.is_asked, page.has_result) = (false, true);
        let (pause, trouble) = match outcome {
            Outcome::NotYet => {
                page.due = now.after(SOON);
                return None;
            }
            Outcome::Found { looked, failed: None } => {
                page.failures = 0;
                let ttl = Duration::from_secs(looked.ttl.as_secs().into());
                (ttl.clamp(FLOOR, CEILING), None)
            }
            // Half of it is as good as a failure: the other family is asked for soon.
            Outcome::Found { failed: Some(why), .. } | Outcome::Failed(why) => {
                let pause = FLOOR * 2_u32.saturating_pow(page.failures.min(16));
                page.failures += 1;
                (pause.min(RETRY_MAX), Some(Arc::clone(why)))
            }
        };
        // Ten names of one TTL are not asked for in one burst for ever.
        let jitter = 900 + (dice.roll() % 101) as u32;
        page.due = now.after(pause * jitter / 1_000);
        let is_news = page.trouble != trouble;
        page.trouble.clone_from(&trouble);
        is_news.then_some(trouble)
    }

    /// When the next name is due.
    pub fn wake(&self) -> Option<Moment> {
        self.0.values().filter(|page| !page.is_asked).map(|page| page.due).min()
    }

    /// Whether every name has had a result.
    pub fn is_complete(&self) -> bool {
        self.0.values().all(|page| page.has_result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::found::Looked, units::Ttl};

    fn at(ms: u64) -> Moment {
        Moment(ms * 1_000_000)
    }

    fn found(ttl: u32) -> Outcome {
        Outcome::Found {
            looked: Looked { ttl: Ttl::from_secs(ttl), ..Looked::default() },
            failed: None,
        }
    }

    /// After how many milliseconds the only name of `book` is due.
    fn pause(book: &Book, now: Moment) -> u128 {
        book.wake().unwrap().since(now).as_millis()
    }

    #[test]
    fn a_name_is_asked_again_as_its_ttl_runs_out_within_bounds() {
        let (mut book, mut dice) = (Book::default(), Dice::seeded(1));
        let name = Name::parse("www.example.org").unwrap();
        book.arrange(std::slice::from_ref(&name), at(5));
        for (ttl, most) in [(60, 60_000), (0, 2_000), (1, 2_000), (86_400, 3_600_000)] {
            let now = book.wake().unwrap();
            assert_eq!(book.next_due(now).as_ref(), Some(&name));
            assert_eq!(book.next_due(now), None, "one question at a time");
            assert_eq!(book.done(&name, &found(ttl), now, &mut dice), None);
            assert!((most * 9 / 10..=most).contains(&pause(&book, now)), "{ttl}");
        }
    }

    #[test]
    fn failures_are_told_once_and_asked_about_less_and_less() {
        let (mut book, mut dice) = (Book::default(), Dice::seeded(1));
        let name = Name::parse("www.example.org").unwrap();
        book.arrange(std::slice::from_ref(&name), at(0));
        assert!(!book.is_complete());
        let failed = Outcome::Failed("SERVFAIL".into());
        let half = Outcome::Found { looked: Looked::default(), failed: Some("SERVFAIL".into()) };
        for (n, most) in
            [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000].into_iter().enumerate()
        {
            let now = book.wake().unwrap();
            book.next_due(now);
            let outcome = [&failed, &half][n % 2];
            let news = book.done(&name, outcome, now, &mut dice);
            assert_eq!(news.is_some(), n == 0);
            assert!((most * 9 / 10..=most).contains(&pause(&book, now)), "{n}");
        }
        assert!(book.is_complete());
        let now = book.wake().unwrap();
        book.next_due(now);
        assert_eq!(book.done(&name, &found(30), now, &mut dice), Some(None), "its end is news");
        book.arrange(&[], now);
        assert_eq!(book.done(&name, &failed, now, &mut dice), None, "nobody wants it any more");
    }
}
