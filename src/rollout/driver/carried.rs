//! What machines want done, in the order that a crash may cut off anywhere: how they stand is kept,
//! then what happened is told, then answers are changed.

use super::{Driver, Entry, Gift, NOTE};
use crate::{
    clock::Moment,
    control::{Change, event::EventKind, store::Write},
    rollout::{around::maker, kept::KeptRun, model::Effect},
};
use std::time::Duration;

/// How long a step has lasted is written so often, beside every change.
const OFTEN: Duration = Duration::from_secs(5);

impl Entry {
    /// Whether it is time to write down how long it has lasted. Of what is over that is nobody's
    /// concern, and it may stay for months: until the files say the same.
    fn is_due(&self, now: Moment) -> bool {
        let is_over = self.run.machine.is_done();
        self.written.as_ref().is_none_or(|(_, at)| !is_over && now.since(*at) >= OFTEN)
    }
}

/// What is to be kept, in one commit, and to be told after that.
#[derive(Default)]
pub(super) struct Unsent {
    notes: Vec<Write>,
    news: Vec<EventKind>,
}

impl Driver {
    /// Does what the machine of `name` wants done.
    pub(super) fn carry_out(&mut self, name: &str, effects: Vec<Effect>) {
        let mut follows = false;
        for effect in &effects {
            if let Effect::Tell(news) = effect {
                self.tell(name, news.what, &news.said, news.alarm);
            }
            follows |= *effect == Effect::Follow;
        }
        self.keep(name, !effects.is_empty());
        if follows {
            self.follow(name);
        }
        self.send();
        for effect in effects {
            match effect {
                Effect::Give { share, plain, urgent, why } => {
                    self.give(name, Some(Gift { share, plain }), urgent, why);
                }
                Effect::TakeAway => self.give(name, None, false, String::new()),
                Effect::Withdraw { id } => self.withdraw(name, id),
                Effect::Measure { analysis, epoch } => self.measure(name, analysis, epoch),
                Effect::Tell(_) | Effect::Follow => {}
            }
        }
    }

    fn tell(&mut self, name: &str, what: &'static str, said: &str, alarm: bool) {
        let Some(entry) = self.runs.get_mut(name) else { return };
        entry.run.said = said.into();
        entry.run.ended = entry.run.machine.is_done().then(|| {
            let wall = self.clock.wall();
            entry.run.ended.unwrap_or(wall)
        });
        self.unsent.news.push(EventKind::Rollout {
            name: name.into(),
            record: entry.run.machine.def().record.get_ref().as_str().into(),
            what: what.into(),
            said: said.into(),
            alarm,
        });
    }

    /// Has written down how the run stands, if that is news or it is time.
    fn keep(&mut self, name: &str, is_news: bool) {
        let now = self.clock.now();
        let Some(entry) = self.runs.get_mut(name) else { return };
        if !is_news && !entry.is_due(now) {
            return;
        }
        let kept = KeptRun::of(&entry.run, now);
        if entry.written.as_ref().is_some_and(|(written, _)| *written == kept) {
            return;
        }
        let value = serde_json::to_value(&kept).ok();
        self.unsent.notes.push(Write::Note { name: format!("{NOTE}{name}").into(), value });
        entry.written = Some((kept, now));
    }

    /// What was to be kept is on its way, and what was to be told behind it.
    fn send(&mut self) {
        let Unsent { notes, news } = std::mem::take(&mut self.unsent);
        if !notes.is_empty() {
            self.keeper.write(notes);
        }
        for event in news {
            // Fails only while the server stops.
            let _ = self.handle.changes.send(Change::Record(event));
        }
    }

    /// Begins what comes after. That is kept together with the end of this one: no crash finds one
    /// without the other.
    fn follow(&mut self, name: &str) {
        let Some(entry) = self.runs.get(name) else { return };
        let then = entry.run.machine.def().then.clone();
        let people = entry.run.people.clone();
        for next in then {
            let next = next.get_ref().as_str();
            let (who, reason) = (maker(name).into(), format!("follows {name}"));
            match self.begin(next, &who, &people, Some(reason.into()), false) {
                Ok(()) => {}
                Err(refused) => {
                    let said = format!("{next} did not begin: {refused}");
                    self.tell(name, "not followed", &said, true);
                    self.keep(name, true);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rollout::{
            Run,
            machine::testkit::begun,
            model::{Order, Served},
        },
        units::Share,
    };
    use std::time::SystemTime;

    #[test]
    fn what_is_over_is_not_written_again_and_again() {
        let (machine, mut seen, _) = begun();
        seen.served = Served::Share(Share::NONE);
        let run = Run::new(machine, "ana".into(), None, SystemTime::UNIX_EPOCH);
        let mut entry = Entry::new(run);
        let write = |entry: &mut Entry| {
            entry.written = Some((KeptRun::of(&entry.run, seen.now), seen.now));
        };
        assert!(entry.is_due(seen.now), "it was never written");
        write(&mut entry);
        assert!(!entry.is_due(seen.now.after(OFTEN / 2)) && entry.is_due(seen.now.after(OFTEN)));
        entry.run.machine.order(Order::Abort { break_glass: false }, "ana", &seen).unwrap();
        assert!(entry.run.machine.is_done() && !entry.run.machine.is_closed());
        write(&mut entry);
        assert!(!entry.is_due(seen.now.after(OFTEN * 1_000)));
    }
}
