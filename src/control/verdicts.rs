//! Verdicts as they turn: by a probe's result, by the operator's hand, or by a reload that judges
//! a slot differently.
//!
//! Three layers, lowest first: what probes say; what of it the breaker and a pin let through;
//! what an operator says. The merged standing is what steering sees.

use super::{event::EventKind, kept::Inherited};
use crate::{
    clock::{Clock, Moment, Since},
    failover::breaker::{Breaker, Held},
    ids::SlotId,
    policy::RampKind,
    snapshot::{Slot, SlotAddress, Snapshot},
    steering::RampState,
    verdict::{Damped, Sight, Standing, Verdict},
    world::{State, World},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What health found out about one target; every slot it judges follows.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetVerdict {
    /// The target's key.
    pub key: Arc<str>,
    /// What health judges.
    pub sight: Sight,
    /// Why.
    pub reason: Arc<str>,
    /// When the probe that decided it ended.
    pub at: Moment,
    /// When the first of the failures that made it fall was seen, if it is down.
    pub first_failure: Option<Moment>,
    /// Whether the deciding failure was itself an answer.
    pub answered: bool,
    /// Only watched: it never acts (`mode = "observe"`).
    pub observed: bool,
    /// Of what is only a gate: what people call it.
    pub gate: Option<Arc<str>>,
    /// What flap damping remembers of it.
    pub damped: Option<Damped>,
}

/// A target as it is known.
#[derive(Debug)]
pub(super) struct Known {
    /// The newest judgement.
    pub verdict: TargetVerdict,
    /// What of all judgements took effect: so its slots stand by it, and the gates that it is.
    pub stands: Standing,
}

impl Known {
    /// What there is to tell of a gate that stood as `from`.
    pub fn gate_event(&self, from: Standing) -> Option<EventKind> {
        let to = self.stands;
        // That it was found to be up is no news.
        if from == to || from == Standing::Unknown && to.is_up() {
            return None;
        }
        Some(EventKind::Target {
            target: Arc::clone(self.verdict.gate.as_ref()?),
            observed: false,
            from,
            to,
            reason: Arc::clone(&self.verdict.reason),
        })
    }
}

/// What an operator says of a slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// How it is to stand.
    pub standing: Standing,
    /// Who says so, and why: `drained by ana: INC-42`.
    pub words: Arc<str>,
    /// Since when clients leave it, and how long that may take, if it is drained.
    pub leaving: Option<(Since, Option<Duration>)>,
}

/// Everything that decides how slots stand, beside the World they stand in.
pub(super) struct Layers<'a> {
    /// What is known of every target.
    pub known: &'a HashMap<Arc<str>, Known>,
    /// Which falls do not take effect.
    pub breaker: &'a Breaker,
    /// Nothing of what probes say takes effect.
    pub pinned: bool,
    /// The operator's hand.
    pub hands: &'a HashMap<SlotId, Said>,
}

impl Layers<'_> {
    /// Why no judgement of the target with this key takes effect, if none does.
    pub fn held(&self, key: &str) -> Option<&'static str> {
        let held = self.breaker.held_as(key).map(Held::word);
        held.or(self.pinned.then_some("pinned: nothing probes say takes effect"))
    }
}

/// The verdicts of one change.
pub(super) struct Turn<'a> {
    pub clock: &'a dyn Clock,
    /// Number of the World that will carry it.
    pub swap: u64,
    pub layers: Layers<'a>,
}

/// How a slot is to stand, and why.
struct Found {
    judged: Sight,
    reason: Arc<str>,
    at: Moment,
}

impl Turn<'_> {
    /// The state for `snapshot`: standings from what is known of each target; since when, and
    /// the order of falls, from the World before. Slots are found again by name and address.
    pub fn carried_over(
        &self,
        old: &World,
        snapshot: &Snapshot,
        inherited: Option<&Inherited>,
    ) -> (State, Vec<EventKind>) {
        let slots = old.snapshot.slots.iter().enumerate();
        let before: HashMap<(&str, &SlotAddress), usize> =
            slots.map(|(index, slot)| ((&*slot.name, &slot.address), index)).collect();
        let (mut state, mut events) = (State::default(), Vec::new());
        for (index, slot) in snapshot.slots.iter().enumerate() {
            let known = inherited.and_then(|inherited| inherited.slot(slot));
            match before.get(&(&*slot.name, &slot.address)) {
                Some(&old_index) => {
                    let verdict = old.state.verdicts[old_index].clone();
                    state.push(verdict, old.state.fell[old_index]);
                }
                None => {
                    let fell = known.map_or(0, |known| known.fell);
                    state.push(self.unknown(self.clock.now()), fell);
                }
            }
            let from = state.standings.0[index].standing;
            if let Some(old_index) = before.get(&(&*slot.name, &slot.address))
                && let Some(ramp) = old.state.ramp(SlotId::at(*old_index))
            {
                state.set_ramp(
                    SlotId::at(index),
                    Some(RampState { slot: SlotId::at(index), ..ramp }),
                );
            }
            let event = self.turn(&mut state, SlotId::at(index), snapshot);
            let to = state.standings.0[index].standing;
            // Whether something was ever probed is no news as long as it counts as up, and what
            // the run before has told is none either.
            events.extend(event.filter(|_| known.is_none() && !(from.is_up() && to.is_up())));
            if let Some(known) = known {
                state.verdicts[index].since_wall = known.since;
            }
        }
        for ramp in inherited.map(|i| i.ramps(snapshot, self.clock.now())).unwrap_or_default() {
            let is_up = state.standings.of(ramp.slot).standing.is_up();
            state.set_ramp(ramp.slot, is_up.then_some(ramp));
        }
        (state, events)
    }

    /// Turns one slot's verdict as the layers say; an event if its standing changed.
    pub fn turn(&self, state: &mut State, id: SlotId, snapshot: &Snapshot) -> Option<EventKind> {
        let slot = &snapshot.slots[id.index()];
        let verdict = &mut state.verdicts[id.index()];
        let Found { judged, reason, at } = self.judged(slot);
        let (sight, reason, at) = match self.layers.hands.get(&id) {
            Some(said) => {
                let sight = Sight { standing: said.standing, failing: judged.failing };
                (sight, Arc::clone(&said.words), self.clock.now())
            }
            None => (judged, reason, at),
        };
        let (from, to) = (verdict.sight.standing, sight.standing);
        state.standings.0[id.index()] = sight;
        (verdict.sight, verdict.judged, verdict.reason) = (sight, judged, Arc::clone(&reason));
        if from != to {
            (verdict.since, verdict.since_wall) = (at, self.wall(at));
        }
        let ramp = self.ramp(state.ramp(id), id, from, judged.standing, snapshot);
        state.set_ramp(id, ramp);
        if from == to {
            return None;
        }
        // Down at its very first result is not a fall: nothing was known to be good.
        if from != Standing::Unknown && from.is_up() && !to.is_up() {
            state.fell[id.index()] = self.swap;
        }
        Some(EventKind::Verdict {
            slot: Arc::clone(&slot.name),
            address: slot.address.to_string().into(),
            from,
            to,
            reason,
            decided: at,
        })
    }

    /// The ramp of a slot that stood as `from` and, by what probes say, stands as `judged`: on its
    /// way down while it is drained and works, on its way up when it comes back.
    fn ramp(
        &self,
        before: Option<RampState>,
        slot: SlotId,
        from: Standing,
        judged: Standing,
        snapshot: &Snapshot,
    ) -> Option<RampState> {
        let now = self.clock.now();
        let said = self.layers.hands.get(&slot);
        if let Some((since, over)) = said.and_then(|said| said.leaving) {
            let kind = RampKind::Leaving;
            return judged.is_up().then_some(RampState { slot, kind, since, over });
        }
        if !said.map_or(judged, |said| said.standing).is_up() {
            return None;
        }
        let ramp = snapshot.plans_of_slot[slot.index()]
            .iter()
            .any(|plan| snapshot.plan(*plan).ramp.is_some());
        match before {
            // A drain that is taken back in the middle: from where it got to.
            Some(RampState { kind: RampKind::Leaving, since, over: Some(over), .. }) => {
                let left = over.saturating_sub(since.elapsed(now));
                let since = Since::resumed(left, now);
                let since = if self.layers.pinned { since.paused(now) } else { since };
                Some(RampState { slot, kind: RampKind::Rising, since, over: Some(over) })
            }
            Some(RampState { kind: RampKind::Leaving, .. }) => None,
            None if ramp && matches!(from, Standing::Down | Standing::Drained) => {
                let since = Since::starting(now);
                Some(RampState { slot, kind: RampKind::Rising, since, over: None })
            }
            Some(rising) if self.layers.pinned != rising.since.is_paused() => {
                let since = match self.layers.pinned {
                    true => rising.since.paused(now),
                    false => Since::resumed(rising.since.elapsed(now), now),
                };
                Some(RampState { since, ..rising })
            }
            rising => rising,
        }
    }

    /// What probes say of `slot`, and of that what may take effect.
    fn judged(&self, slot: &Slot) -> Found {
        let say = |standing, reason: &str| Found {
            judged: Sight { standing, failing: false },
            reason: reason.into(),
            at: self.clock.now(),
        };
        let Some(key) = &slot.target else { return say(Standing::Up, "no check") };
        let Some(Known { verdict, stands }) = self.layers.known.get(key) else {
            return say(Standing::Unknown, "not probed yet");
        };
        if verdict.observed {
            return say(Standing::Up, &format!("only observed: {}", verdict.reason));
        }
        let reason = match self.layers.held(key) {
            Some(why) => format!("{why} ({})", verdict.reason).into(),
            None => Arc::clone(&verdict.reason),
        };
        let judged = Sight { standing: *stands, failing: verdict.sight.failing };
        Found { judged, reason, at: verdict.at }
    }

    fn unknown(&self, since: Moment) -> Verdict {
        let since_wall = self.wall(since);
        let sight = Sight::default();
        Verdict { sight, judged: sight, reason: "".into(), since, since_wall }
    }

    /// The wall clock at `moment`.
    fn wall(&self, moment: Moment) -> SystemTime {
        let ago = self.clock.now().since(moment);
        self.clock.wall().checked_sub(ago).unwrap_or(UNIX_EPOCH)
    }
}
