//! Rule three: so many groups at once that it is held, and how that ends.

use super::{Breaker, Fall, Group, Held, News, Settings, State, Step};
use crate::clock::Moment;
use std::sync::Arc;

/// Fewer groups than this have no majority to speak of: losing one, or one of two, is an outage.
pub const GROUPS_MIN: usize = 3;

impl Breaker {
    /// Whether taking `key` down would be one group too many.
    pub(super) fn would_be_mass(&self, key: &str, fall: Fall, now: Moment) -> bool {
        let group = &self.groups[self.targets[key].group];
        let passes = self.let_pass.is_some_and(|until| now <= until);
        let groups = self.counted().count();
        if passes || group.up > 1 || !fall.was_up || groups < GROUPS_MIN {
            return false;
        }
        let lost = 1 + self.lost_lately(now);
        lost as u128 * 1_000_000 > groups as u128 * u128::from(self.settings.share)
    }

    /// The groups of which too many may be lost.
    fn counted(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.counts)
    }

    fn lost_lately(&self, now: Moment) -> usize {
        let lately = |at: Moment| now.since(at) <= self.settings.window;
        self.counted().filter(|group| group.lost.is_some_and(lately)).count()
    }

    /// Holds `key` and with it its whole group, as it was before: one target left would be given
    /// all clients of its group.
    pub(super) fn trip(&mut self, key: &Arc<str>, now: Moment, step: &mut Step) {
        let Settings { hold, window, .. } = self.settings;
        (self.mass, self.looked, self.stood_still) = (Some(now.after(hold)), now, false);
        let (lost, groups) = (1 + self.lost_lately(now), self.counted().count());
        step.news.push(News::Mass { lost, groups, hold });
        self.hold(key, Held::Mass, now);
        let place = self.targets[key].group;
        for other in self.groups[place].targets.clone() {
            if let State::Down { since, was_up: true } = self.targets[&other].state
                && now.since(since) <= window
            {
                let fall = Fall { first_failure: since, answered: false, was_up: true };
                self.put(&other, State::Held { why: Held::Mass, fall, since: now });
                match step.down.iter().position(|key| *key == other) {
                    // It fell in this very step: nobody has seen it yet.
                    Some(at) => drop(step.down.swap_remove(at)),
                    None => step.back.push(other),
                }
            }
        }
        self.groups[place].lost = None;
    }

    /// The hold of a mass failure is over: it takes effect. A process that stood still meanwhile
    /// knows only how things were; then what fails once more does.
    pub(super) fn end_hold(&mut self, now: Moment, step: &mut Step) {
        if self.stood_still {
            self.mass = None;
            self.let_pass = Some(now.after(self.settings.window));
            let falls = self.recheck(Held::Mass, now, step);
            step.news.push(News::Doubted { falls });
        } else {
            let held = self.all_held(|why| why == Held::Mass);
            self.release(held, false, now, step);
        }
    }

    /// `held` takes effect, and so does what follows closely.
    pub(super) fn release(
        &mut self,
        held: Vec<Arc<str>>,
        confirmed: bool,
        now: Moment,
        step: &mut Step,
    ) {
        step.news.push(News::Released { falls: held.len(), confirmed });
        for key in held {
            self.down(&key, now, step);
        }
        self.mass = None;
        self.let_pass = Some(now.after(self.settings.window));
    }
}
