//! The commands' way into the World, and what the passing of time does to overrides.
//!
//! [`Operator`] is what [`Control`] keeps for the hand: the hand itself, what it decides now, and
//! the files as compiled, since weights are changed in a copy of them.

use super::{
    Action, Command, Done, Effect, Hand, Now, Override, Refusal, SlotIs, clients::Clients,
    command::Planned, effect::FailoverHand, pin::PinFile, safety, shares::Standpoint, weights,
    words,
};
use crate::{
    clock::Moment,
    control::{
        event::EventKind,
        latches::{Around, Order},
        publish::{Control, Outcome, Said},
    },
    failover::{self, Wait},
    ids::{FailoverId, RecordId, SlotId},
    policy::Course,
    snapshot::{FailoverDefinition, Snapshot},
    units::Ttl,
    verdict::Standing,
    world::State,
};
use arc_swap::ArcSwap;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// The hand as it is shown.
#[derive(Clone, Debug, Default)]
pub struct ShownHand {
    /// What operators told the server.
    pub hand: Hand,
    /// `state/PIN`, as it was last seen.
    pub file: Option<PinFile>,
}

/// The hand as it is shared with those who show it.
pub type SharedHand = Arc<ArcSwap<ShownHand>>;

/// A failover that would move, and waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// `zone/record` or `zone/policy`.
    pub failover: Arc<str>,
    /// The active member.
    pub from: Arc<str>,
    /// Where it would go.
    pub to: Arc<str>,
    /// What it waits for.
    pub wait: Wait,
    /// When a delay will be over.
    pub due: Option<Moment>,
    /// The records it moves.
    pub records: Vec<RecordId>,
    /// What answers follow from now.
    pub before: Standpoint,
    /// What they would if it were approved; nothing if it cannot be.
    pub after: Option<Standpoint>,
}

/// What control keeps for the operator's hand.
#[derive(Debug, Default)]
pub struct Operator {
    hand: Hand,
    /// What it decides in the Snapshot in force.
    effect: Effect,
    /// The Snapshot as compiled, with the weights of the files.
    files: Arc<Snapshot>,
    /// `state/PIN`, as it was last seen.
    file: Option<PinFile>,
    shown: SharedHand,
}

impl Operator {
    /// Takes newly compiled files; the same with the weights that operators gave.
    pub(in crate::control) fn install(&mut self, files: Arc<Snapshot>, now: Now) -> Arc<Snapshot> {
        self.files = files;
        self.effect = self.hand.effect(&self.files, now.at);
        weights::patched(&self.files, &self.effect.weights)
    }

    /// The Snapshot as compiled.
    pub(in crate::control) fn files(&self) -> &Arc<Snapshot> {
        &self.files
    }

    /// What it decides now.
    pub(in crate::control) fn effect(&self) -> &Effect {
        &self.effect
    }

    /// Whether all automation is frozen.
    pub(in crate::control) fn is_pinned(&self) -> bool {
        self.file.is_some() || self.effect.pinned.is_some()
    }

    /// What is said of each slot, in words too.
    pub(in crate::control) fn said(&self) -> HashMap<SlotId, Said> {
        let slots = self.effect.slots.iter();
        slots.map(|(slot, hand)| (*slot, said(hand.is, self.hand.find(hand.by)))).collect()
    }

    /// What the machines of failovers are told while the hand decides `effect`.
    pub(in crate::control) fn orders(&self, effect: &Effect) -> Orders {
        let is_pinned = self.file.is_some() || effect.pinned.is_some();
        let order = |hand: &FailoverHand| Order {
            prefer: hand.prefer.map(|(member, _)| member),
            held: is_pinned || hand.held.is_some(),
        };
        let name = |id: &FailoverId| Arc::clone(&self.files.failovers[id.index()].name);
        let by_name = effect.failovers.iter().map(|(id, hand)| (name(id), order(hand))).collect();
        Orders { by_name, others: Order { prefer: None, held: is_pinned } }
    }

    fn take(&mut self, hand: Hand) {
        self.hand = hand;
        self.show();
    }

    fn show(&self) {
        let (hand, file) = (self.hand.clone(), self.file.clone());
        self.shown.store(Arc::new(ShownHand { hand, file }));
    }
}

/// What the machines of failovers are told.
pub(in crate::control) struct Orders {
    by_name: HashMap<Arc<str>, Order>,
    others: Order,
}

impl Orders {
    /// What the one of `definition` is told.
    pub fn of(&self, definition: &FailoverDefinition) -> Order {
        self.by_name.get(&definition.name).copied().unwrap_or(self.others)
    }
}

fn said(is: SlotIs, by: Option<&Override>) -> Said {
    let (standing, verb) = match is {
        SlotIs::Drained { .. } => (Standing::Drained, "drained"),
        SlotIs::Up => (Standing::Up, "forced up"),
        SlotIs::Down => (Standing::Down, "forced down"),
    };
    let words = match by {
        None => verb.to_owned(),
        Some(by) => match &by.reason {
            Some(reason) => format!("{verb} by {} (#{}): {reason}", by.who, by.id),
            None => format!("{verb} by {} (#{})", by.who, by.id),
        },
    };
    let leaving = match is {
        SlotIs::Drained { since, over } => Some((since, over)),
        SlotIs::Up | SlotIs::Down => None,
    };
    Said { standing, words: words.into(), leaving }
}

impl Control {
    /// What operators told the server, for those who show it.
    pub fn hand(&self) -> SharedHand {
        Arc::clone(&self.operator.shown)
    }

    /// Takes over what operators told a process before.
    pub fn resume(&mut self, hand: Hand) {
        self.operator.take(hand);
        self.follow_hand(Vec::new());
    }

    /// Does what an operator wishes, or says why not. `clients` were counted for the Snapshot in
    /// force, where a rule speaks of shares.
    ///
    /// # Errors
    /// When it cannot be done, or a safety rule forbids it.
    pub fn command(&mut self, command: &Command, clients: &Clients) -> Result<Done, Refusal> {
        let now = Now { at: self.clock.now(), wall: self.clock.wall() };
        let old = self.publisher.world();
        let planned = self.operator.hand.planned(command, &self.operator.files, now)?;
        let made = planned.made.and_then(|id| planned.would.find(id));
        let begins = made.map_or(now.at, |made| made.begins.max(now.at));
        let effect = planned.would.effect(&self.operator.files, begins);
        let before = Standpoint::from(&*old);
        let after = self.supposed(&before, &effect, &planned)?;
        let broke = match planned.only_takes_back() {
            true => Vec::new(),
            false => {
                let hand = &self.operator.hand;
                let mut broke = safety::waits(hand, &planned, &after.snapshot, now);
                broke.extend(safety::violations(&before, &after, &planned.records, clients)?);
                broke
            }
        };
        if !broke.is_empty() && !command.break_glass {
            return Err(Refusal::Unsafe(broke));
        }
        let plans = planned.records.iter().map(|id| old.snapshot.record(*id).plan);
        let ttl = plans.map(|plan| old.snapshot.plan(plan).ttl.max).max();
        let done = Done {
            dry_run: command.dry_run,
            said: sentence(&planned, &effect, &self.operator.files),
            hides: planned.made.map(|id| effect.hidden_by(id)).unwrap_or_default(),
            ttl: ttl.unwrap_or(Ttl::from_secs(0)),
            broke,
            before,
            after,
            planned,
        };
        if !command.dry_run {
            let events = events(&done, command);
            self.operator.take(done.planned.hand.clone());
            self.keep_hand(&done.planned.hand);
            self.acting = Some(Arc::clone(&command.who));
            self.follow_hand(events);
            self.carry_out(&done.planned.orders);
            if done.planned.confirm_falls {
                self.confirm_falls();
            }
            self.acting = None;
        }
        Ok(done)
    }

    /// The failovers that wait for somebody or something, and what would follow if they were
    /// approved.
    pub fn waiting(&self) -> Vec<Waiting> {
        if self.warming {
            return Vec::new();
        }
        let old = self.publisher.world();
        let before = Standpoint::from(&*old);
        let effect = &self.operator.effect;
        let waiting = self.latches.pending(&old.snapshot).map(|(id, active, pending)| {
            let definition = &old.snapshot.failovers[id.index()];
            let orders = [(id, failover::Command::Approve)];
            let state = &before.state;
            let approved = self.foreseen(&old.snapshot, state, effect, &orders).ok();
            let plans = &old.snapshot.plans_of_failover[id.index()];
            let records = old.snapshot.records.iter().enumerate();
            let records = records.filter(|(_, record)| plans.contains(&record.plan));
            Waiting {
                failover: Arc::clone(&definition.name),
                from: Arc::clone(&definition.members[usize::from(active)]),
                to: Arc::clone(&definition.members[usize::from(pending.to)]),
                wait: pending.wait,
                due: pending.due,
                records: records.map(|(index, _)| RecordId::at(index)).collect(),
                before: before.clone(),
                after: approved.map(|courses| Standpoint {
                    snapshot: Arc::clone(&before.snapshot),
                    state: Arc::new(State { courses, ..(**state).clone() }),
                }),
            }
        });
        waiting.collect()
    }

    /// `state/PIN` came or went.
    pub fn pin_file(&mut self, file: Option<PinFile>) {
        if self.operator.file == file {
            return;
        }
        let event = EventKind::Hand {
            id: 0,
            what: "pin (state/PIN)".into(),
            became: if file.is_some() { "made" } else { "taken away" }.into(),
            said: file.as_ref().and_then(|file| file.reason.as_deref()).unwrap_or("").into(),
            alarm: file.is_some(),
        };
        self.operator.file = file;
        self.operator.show();
        self.follow_hand(vec![event]);
    }

    /// What begins and what is over by now.
    pub(in crate::control) fn turn_hand(&mut self) {
        let now = self.clock.now();
        if self.operator.effect.next_change.is_none_or(|at| at > now) {
            return;
        }
        let mut hand = self.operator.hand.clone();
        let ended = hand.expire(now);
        let events = ended.iter().map(|one| event(one, "ended", "its time is over")).collect();
        self.keep_hand(&hand);
        self.operator.take(hand);
        self.follow_hand(events);
    }

    /// Brings the World to what the hand decides now.
    fn follow_hand(&mut self, events: Vec<EventKind>) {
        let now = self.clock.now();
        let effect = self.operator.hand.effect(&self.operator.files, now);
        let before = std::mem::replace(&mut self.operator.effect, effect);
        self.hands = self.operator.said();
        let was_pinned = std::mem::replace(&mut self.pinned, self.operator.is_pinned());
        let old = self.publisher.world();
        if self.warming {
            self.write(old.swap, events);
            return;
        }
        let effect = &self.operator.effect;
        if before.weights != effect.weights {
            self.write(old.swap, events);
            self.install(Arc::clone(&self.operator.files), old.revision);
            return;
        }
        let mut outcome = Outcome::new(&old, now);
        outcome.events = events;
        let slots: BTreeSet<SlotId> = match was_pinned == self.pinned {
            true => before.slots.keys().chain(effect.slots.keys()).copied().collect(),
            false => (0..old.snapshot.slots.len()).map(SlotId::at).collect(),
        };
        let turn = self.turn(old.swap + 1);
        for slot in slots {
            outcome.turn(&old.snapshot, slot, &turn);
        }
        outcome.asked = match was_pinned == self.pinned {
            true => before.failovers.keys().chain(effect.failovers.keys()).copied().collect(),
            false => (0..old.snapshot.failovers.len()).map(FailoverId::at).collect(),
        };
        self.settle(&old, outcome);
    }

    /// Tells machines what an operator ordered, and publishes what they make of it. What they
    /// refuse was said before anything was done.
    fn carry_out(&mut self, orders: &[(FailoverId, failover::Command)]) {
        if orders.is_empty() || self.warming {
            return;
        }
        let old = self.publisher.world();
        let mut outcome = Outcome::new(&old, self.clock.now());
        let mut latches = std::mem::take(&mut self.latches);
        let told = self.operator.orders(self.operator.effect());
        let order = |definition: &FailoverDefinition| told.of(definition);
        let is_up = |key: &str| self.is_up(key);
        let around = Around { moved: old.state.moved(), is_up: &is_up, order: &order };
        for (id, wish) in orders {
            if let Ok(events) = latches.command(&old.snapshot, &around, *id, *wish) {
                outcome.events.extend(events);
                outcome.asked.insert(*id);
            }
        }
        self.latches = latches;
        self.settle(&old, outcome);
    }

    /// What answers would follow from if the hand decided `effect` and `planned` orders were
    /// given: machines react, and every ramp is taken to be over.
    ///
    /// # Errors
    /// When no machine obeys.
    fn supposed(
        &self,
        now: &Standpoint,
        effect: &Effect,
        planned: &Planned,
    ) -> Result<Standpoint, Refusal> {
        let mut state = (*now.state).clone();
        let before = &self.operator.effect;
        for &slot in before.slots.keys().chain(effect.slots.keys()) {
            let Some(verdict) = state.verdicts.get_mut(slot.index()) else { continue };
            let sight = effect.slot(slot).map_or(verdict.judged, |hand| hand.over(verdict.judged));
            verdict.sight = sight;
            state.standings.0[slot.index()] = sight;
            state.ramps.retain(|ramp| ramp.slot != slot);
        }
        let snapshot = match before.weights == effect.weights {
            true => Arc::clone(&now.snapshot),
            false => weights::patched(&self.operator.files, &effect.weights),
        };
        if !self.warming {
            state.courses = self.foreseen(&snapshot, &state, effect, &planned.orders)?;
        }
        Ok(Standpoint { snapshot, state: Arc::new(state) })
    }

    /// What failovers would do, once ramps are over.
    fn foreseen(
        &self,
        snapshot: &Snapshot,
        state: &State,
        effect: &Effect,
        orders: &[(FailoverId, failover::Command)],
    ) -> Result<Vec<Course>, Refusal> {
        let mut latches = self.latches.clone();
        let told = self.operator.orders(effect);
        let order = |definition: &FailoverDefinition| told.of(definition);
        let is_up = |key: &str| self.is_up(key);
        let around = Around { moved: state.moved(), is_up: &is_up, order: &order };
        let now = self.clock.now();
        let mut courses = latches.step(snapshot, &around, None, now).courses;
        let mut refused = None;
        let mut obeyed = orders.is_empty();
        for (id, wish) in orders {
            match latches.command(snapshot, &around, *id, *wish) {
                Ok(_) => obeyed = true,
                Err(why) => refused = Some((&snapshot.failovers[id.index()].name, why)),
            }
        }
        if let (false, Some((name, why))) = (obeyed, refused) {
            // Whoever only takes an override away has got what was wished.
            if before_has(&self.operator.effect, effect) {
                return Ok(settled(courses));
            }
            return Err(Refusal::NothingWaits(format!("{name}: {why}")));
        }
        if !orders.is_empty() {
            courses = latches.step(snapshot, &around, None, now).courses;
        }
        Ok(settled(courses))
    }
}

/// Whether an override of a failover was there before and is not any more.
fn before_has(before: &Effect, after: &Effect) -> bool {
    before.failovers != after.failovers
}

/// `courses` at the end of their ramps.
fn settled(mut courses: Vec<Course>) -> Vec<Course> {
    for course in &mut courses {
        course.leaving = None;
    }
    courses
}

/// What a plan comes to, in words.
fn sentence(planned: &Planned, effect: &Effect, snapshot: &Snapshot) -> String {
    let made = planned.made.and_then(|id| planned.would.find(id));
    // A proposal is the newest override of the hand that would be.
    let proposed = planned.proposed.and_then(|_| planned.would.overrides().last());
    if let Some(made) = made.or(proposed) {
        return words::does(made, effect, snapshot);
    }
    let records = words::count(planned.records.len(), "record");
    match &planned.removed[..] {
        [] if planned.confirm_falls => "lets the falls through that were held".into(),
        [] => records,
        [one] => format!("takes #{} away; {records}", one.id),
        several => {
            let ids: Vec<String> = several.iter().map(|one| format!("#{}", one.id)).collect();
            format!("takes {} away; {records}", ids.join(", "))
        }
    }
}

/// What happened by `done`, for the journal.
fn events(done: &Done, command: &Command) -> Vec<EventKind> {
    let planned = &done.planned;
    let mut events = Vec::new();
    let by = match &command.reason {
        Some(reason) => format!("{}: {reason}", command.who),
        None => command.who.to_string(),
    };
    let said = format!("{}, by {by}", done.said);
    if let Some(made) = planned.made.and_then(|id| planned.hand.find(id)) {
        events.push(event(made, "made", &said));
    }
    events.extend(planned.removed.iter().map(|one| event(one, "taken away", &said)));
    let verb = command.wish.verb().word();
    let plain = |id: u64, became: &str| EventKind::Hand {
        id,
        what: verb.into(),
        became: became.into(),
        said: said.as_str().into(),
        alarm: false,
    };
    events.extend(planned.proposed.map(|id| plain(id, "proposed")));
    let withdrawn = planned.settled.as_ref().filter(|_| planned.made.is_none());
    events.extend(withdrawn.map(|proposal| plain(proposal.id, "settled")));
    events.extend(done.broke.iter().map(|violation| EventKind::Hand {
        id: planned.made.unwrap_or_default(),
        what: verb.into(),
        became: "over a safety rule".into(),
        said: format!("{violation}; by {by}").into(),
        alarm: true,
    }));
    events
}

fn event(one: &Override, became: &str, said: &str) -> EventKind {
    let what = match (&one.action, &one.target) {
        (Action::Pin, _) | (_, None) => "pin".to_owned(),
        (action, Some(target)) => format!("{} {target}", words::verb(action)),
    };
    EventKind::Hand {
        id: one.id,
        what: what.into(),
        became: became.into(),
        said: said.into(),
        alarm: one.break_glass && became == "made",
    }
}
