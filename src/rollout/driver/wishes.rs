//! What people ask for: whether a rollout may begin, and what an order comes to.

use super::{Driver, Entry};
use crate::{
    config::{nearest, rollouts::RolloutDef},
    control::hand::{weights::share_of, words::short},
    rollout::{
        Refused, Run,
        around::{degraded, place},
        machine::Machine,
        model::{Effect, Order, Seen},
    },
    units::Share,
};
use std::{collections::BTreeSet, sync::Arc};

impl Driver {
    /// Begins the rollout `name` because `who` said so, and `people` had them say so: none of all
    /// these may confirm what it proposes.
    pub(super) fn begin(
        &mut self,
        name: &str,
        who: &Arc<str>,
        people: &BTreeSet<Arc<str>>,
        reason: Option<Arc<str>>,
        even_if_degraded: bool,
    ) -> Result<(), Refused> {
        let def = match self.defs.get(name) {
            Some(def) => Arc::clone(def),
            None => return Err(Refused::Unknown(self.unknown(name))),
        };
        self.check_alone(name, &def)?;
        self.check_health(&def, even_if_degraded)?;
        let starting = || Refused::Conflict("no files are in force yet".into());
        let seen = self.seen(&def).ok_or_else(starting)?;
        self.check_first(&def, &seen)?;
        let (machine, effects) = Machine::begin(def, &seen);
        let mut run = Run::new(machine, Arc::clone(who), reason, self.clock.wall());
        run.people.extend(people.iter().map(Arc::clone));
        run.seen = Some(seen);
        self.runs.insert(name.to_owned(), Entry::new(run));
        self.carry_out(name, effects);
        Ok(())
    }

    pub(super) fn order(
        &mut self,
        name: &str,
        order: Order,
        who: &Arc<str>,
        reason: Option<Arc<str>>,
        even_if_degraded: bool,
    ) -> Result<(), Refused> {
        let Some(entry) = self.runs.get(name) else {
            return Err(Refused::Unknown(match self.defs.contains_key(name) {
                true => format!("`{name}` was not begun: `tradewind rollout start {name}`"),
                false => self.unknown(name),
            }));
        };
        let def = Arc::clone(entry.run.machine.def());
        // What is over and begun again is as if it were begun now.
        if order == Order::Retry && entry.run.machine.is_closed() {
            self.check_alone(name, &def)?;
        }
        if matches!(order, Order::Promote { .. } | Order::Retry) {
            self.check_health(&def, even_if_degraded)?;
        }
        let by = match &reason {
            Some(reason) => format!("{who}: {reason}"),
            None => who.to_string(),
        };
        let mut outcome = Ok(());
        self.drive(name, |run, seen| match run.order(order, (who, &by), seen) {
            Ok(effects) => effects,
            Err(why) => {
                outcome = Err(Refused::Conflict(format!("`{name}`: {why}")));
                Vec::new()
            }
        });
        outcome
    }

    /// Whether nothing is left of any other rollout at the record of `def`, nor of `name` anywhere.
    fn check_alone(&self, name: &str, def: &RolloutDef) -> Result<(), Refused> {
        for (other, entry) in &self.runs {
            let machine = &entry.run.machine;
            let there = machine.def().record.get_ref();
            // Of the same name it may be about another record, if its file was changed meanwhile.
            if machine.is_closed() || (other != name && there != def.record.get_ref()) {
                continue;
            }
            let (word, record) = (machine.word(), there);
            return Err(Refused::Conflict(match machine.is_done() {
                true => format!(
                    "`{other}` has {word}, and its weights at {record} are not in the files yet: \
                     `tradewind rollout finish {other}` says what to write, `undo` takes them away"
                ),
                false => format!("`{other}` is under way at {record}: {word}"),
            }));
        }
        Ok(())
    }

    /// Whether the first step gives the member more than it has, and can be through in time. Files are
    /// held against that when they are loaded, but may say otherwise by now, and so may people.
    fn check_first(&self, def: &RolloutDef, seen: &Seen) -> Result<(), Refused> {
        let world = self.viewer.world();
        let has = place(def, &world.snapshot).and_then(|(tree, ..)| {
            share_of(tree, tree.root, def.member.get_ref()).map(Share::from_fraction)
        });
        let first = def.steps.first().map_or(Share::NONE, |step| *step.weight.get_ref());
        if let Some(has) = has.filter(|has| *has > first) {
            return Err(Refused::Conflict(format!(
                "`{}` has {has} of the clients already: a first step of {first} would send some of \
                 them away, and the next one fetch them back",
                def.member
            )));
        }
        let longest = def.steps.iter().map(|step| step.bake).max().unwrap_or_default();
        match &def.progress_deadline {
            Some(deadline) if *deadline.get_ref() <= longest.max(seen.settle) => {
                Err(Refused::Conflict(format!(
                    "no step can be through within `progress_deadline`: each lasts {} at least",
                    short(longest.max(seen.settle))
                )))
            }
            _ => Ok(()),
        }
    }

    fn check_health(&self, def: &RolloutDef, even_if_degraded: bool) -> Result<(), Refused> {
        let pinned = self.handle.overview.load().pinned;
        let against = degraded(def, &self.viewer.world(), pinned);
        match even_if_degraded || against.is_empty() {
            true => Ok(()),
            false => Err(Refused::Degraded(against)),
        }
    }

    fn unknown(&self, name: &str) -> String {
        match nearest(name, self.defs.keys().map(String::as_str)) {
            Some(meant) => format!("there is no rollout `{name}`; did you mean `{meant}`?"),
            None => format!("there is no rollout `{name}`: `tradewind rollout list`"),
        }
    }
}

impl Run {
    /// Does what `who` orders, told as `by`. Who only pauses it or is refused has nothing go on,
    /// and may be the second person for what it proposes.
    fn order(
        &mut self,
        order: Order,
        (who, by): (&Arc<str>, &str),
        seen: &Seen,
    ) -> Result<Vec<Effect>, String> {
        let effects = self.machine.order(order, by, seen)?;
        if order != Order::Pause {
            self.people.insert(Arc::clone(who));
        }
        Ok(effects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::machine::testkit::begun;
    use std::time::SystemTime;

    #[test]
    fn who_only_pauses_it_or_is_refused_is_none_of_those_who_had_it_go_on() {
        let (machine, seen, _) = begun();
        let mut run = Run::new(machine, "ana".into(), None, SystemTime::UNIX_EPOCH);
        for (who, order, is_done) in [
            ("bo", Order::Resume, false),
            ("bo", Order::Promote { full: false }, false),
            ("cy", Order::Pause, true),
            ("di", Order::Resume, true),
        ] {
            assert_eq!(run.order(order, (&who.into(), who), &seen).is_ok(), is_done, "{order:?}");
        }
        let people: Vec<&str> = run.people.iter().map(|who| &**who).collect();
        assert_eq!(people, ["ana", "di"]);
    }
}
