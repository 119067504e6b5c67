//! Verdicts as they turn: by a probe's result, or by a reload that judges a slot differently.

use super::{event::EventKind, publish::TargetVerdict};
use crate::{
    clock::{Clock, Moment},
    ids::SlotId,
    snapshot::{Slot, SlotAddress, Snapshot},
    verdict::{Sight, Standing, Verdict},
    world::{State, World},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// The verdicts of one change.
pub(super) struct Turn<'a> {
    pub clock: &'a dyn Clock,
    /// Number of the World that will carry it.
    pub swap: u64,
}

impl Turn<'_> {
    /// The state for `snapshot`: standings from what is `known` of each target; since when, and
    /// the order of falls, from the World before. Slots are found again by name and address.
    pub fn carried_over(
        &self,
        old: &World,
        snapshot: &Snapshot,
        known: &HashMap<Arc<str>, TargetVerdict>,
    ) -> (State, Vec<EventKind>) {
        let slots = old.snapshot.slots.iter().enumerate();
        let before: HashMap<(&str, &SlotAddress), usize> =
            slots.map(|(index, slot)| ((&*slot.name, &slot.address), index)).collect();
        let (mut state, mut events) = (State::default(), Vec::new());
        for (index, slot) in snapshot.slots.iter().enumerate() {
            let found = self.found(slot, known);
            match before.get(&(&*slot.name, &slot.address)) {
                Some(&old_index) => {
                    let verdict = old.state.verdicts[old_index].clone();
                    state.push(verdict, old.state.fell[old_index]);
                }
                None => state.push(self.unknown(found.at), 0),
            }
            let from = state.standings.0[index].standing;
            let event = self.turn(&mut state, SlotId::at(index), slot, &found);
            // Whether something was ever probed is no news as long as it counts as up.
            events.extend(event.filter(|_| !(from.is_up() && found.sight.standing.is_up())));
        }
        (state, events)
    }

    /// Turns one slot's verdict; an event if its standing changed.
    pub fn turn(
        &self,
        state: &mut State,
        id: SlotId,
        slot: &Slot,
        found: &TargetVerdict,
    ) -> Option<EventKind> {
        let verdict = &mut state.verdicts[id.index()];
        let (from, to) = (verdict.sight.standing, found.sight.standing);
        state.standings.0[id.index()] = found.sight;
        verdict.sight = found.sight;
        verdict.reason = Arc::clone(&found.reason);
        if from == to {
            return None;
        }
        (verdict.since, verdict.since_wall) = (found.at, self.wall(found.at));
        // Down at its very first result is not a fall: nothing was known to be good.
        if from != Standing::Unknown && from.is_up() && !to.is_up() {
            state.fell[id.index()] = self.swap;
        }
        Some(EventKind::Verdict {
            slot: Arc::clone(&slot.name),
            address: slot.address.to_string().into(),
            from,
            to,
            reason: Arc::clone(&found.reason),
            decided: found.at,
        })
    }

    /// What is to be said of `slot`, given what is `known` of targets.
    fn found(&self, slot: &Slot, known: &HashMap<Arc<str>, TargetVerdict>) -> TargetVerdict {
        let say = |key: &str, standing, reason: &str| TargetVerdict {
            key: key.into(),
            sight: Sight { standing, failing: false },
            reason: reason.into(),
            at: self.clock.now(),
        };
        match &slot.target {
            None => say("", Standing::Up, "no check"),
            Some(key) => match known.get(key) {
                None => say(key, Standing::Unknown, "not probed yet"),
                Some(known) => known.clone(),
            },
        }
    }

    fn unknown(&self, since: Moment) -> Verdict {
        let since_wall = self.wall(since);
        Verdict { sight: Sight::default(), reason: "".into(), since, since_wall }
    }

    /// The wall clock at `moment`.
    fn wall(&self, moment: Moment) -> SystemTime {
        let ago = self.clock.now().since(moment);
        self.clock.wall().checked_sub(ago).unwrap_or(UNIX_EPOCH)
    }
}
