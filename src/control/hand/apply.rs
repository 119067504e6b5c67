//! The commands' way into the World, and what the passing of time does to overrides.
//!
//! [`Operator`] is what [`Control`] keeps for the hand: the hand itself, what it decides now, and
//! the files as compiled, since weights are changed in a copy of them.

use super::{
    Command, Done, Effect, Hand, Now, Override, Refusal, SlotIs, Stage, drain::Progress,
    effect::FailoverHand, foresee::Supposed, kept::Restored, pin::PinFile, tell, weights,
};
use crate::{
    clock::Moment,
    control::{
        audit::Origin,
        event::EventKind,
        latches::Order,
        publish::{Control, Outcome, Said},
        steered::Steered,
    },
    failover::{self, Wait},
    forecast::{Clients, Standpoint},
    ids::{FailoverId, RecordId, SlotId},
    place::LazyTable,
    snapshot::{FailoverDefinition, Snapshot},
    spread,
    units::Ttl,
    verdict::Standing,
    world::World,
};
use arc_swap::ArcSwap;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Failovers that are named to whoever makes them wait; more are listed by `approve`.
const ASKING_NAMED: usize = 5;

/// Failovers that wait of which it is worked out what would follow: for each all machines are
/// stepped, on the thread that publishes. More are listed without.
const FORESEEN: usize = 20;

/// The hand as it is shown.
#[derive(Clone, Debug, Default)]
pub struct ShownHand {
    /// What operators told the server.
    pub hand: Hand,
    /// `state/PIN`, as it was last seen.
    pub file: Option<PinFile>,
    /// How far the drains among it have come, by number.
    pub drains: Arc<BTreeMap<u64, Progress>>,
    /// The Snapshot as compiled, with the weights of the files.
    pub files: Arc<Snapshot>,
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
    pub(super) hand: Hand,
    /// What it decides in the Snapshot in force.
    pub(super) effect: Effect,
    /// The Snapshot as compiled, with the weights of the files.
    pub(super) files: Arc<Snapshot>,
    /// `state/PIN`, as it was last seen.
    file: Option<PinFile>,
    /// Clients as they were last counted, and where they are: for rules that speak of shares.
    clients: Clients,
    table: Option<Arc<LazyTable>>,
    drains: Arc<BTreeMap<u64, Progress>>,
    shown: SharedHand,
}

impl Operator {
    /// Takes newly compiled files, for which answers may be `steered`; the same with the weights
    /// that operators gave.
    pub(in crate::control) fn install(
        &mut self,
        files: Arc<Snapshot>,
        steered: Option<&Steered>,
        now: Moment,
    ) -> Arc<Snapshot> {
        if !Arc::ptr_eq(&self.files, &files) {
            // Where they were given other weights, nobody else may have the old ones any more.
            spread::freed_aside(std::mem::replace(&mut self.files, files));
        }
        self.show();
        self.decide(now);
        let (files, changes) = (&self.files, &self.effect.weights);
        let made = steered.and_then(|steered| steered.patched(files, changes));
        made.unwrap_or_else(|| weights::patched(files, changes))
    }

    /// Works out what the hand decides.
    fn decide(&mut self, now: Moment) {
        self.effect = self.hand.effect(&self.files, now);
    }

    /// Lets ramps of drains stand still while everything is pinned; whether that altered any.
    fn freeze(&mut self, is_pinned: bool, now: Moment) -> bool {
        let altered = self.hand.freeze(is_pinned, now);
        if altered {
            self.decide(now);
            self.show();
        }
        altered
    }

    /// What operators told the server.
    pub(in crate::control) fn hand(&self) -> &Hand {
        &self.hand
    }

    /// Clients for a rule that speaks of shares. Counting takes 25 ms for each map of files that
    /// were loaded since somebody last asked, and keeps answers waiting for no longer: it is done
    /// only when something begins by itself under such a rule.
    pub(super) fn clients(&mut self) -> &Clients {
        if let Some(table) = &self.table
            && self.files.safety.iter().any(|rule| rule.respect_capacity)
        {
            self.clients = Clients::of_files(&self.files, table, &self.clients);
        }
        &self.clients
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
    pub(in crate::control) fn told(&self, effect: &Effect) -> Told {
        Told::by(effect, &self.files, self.is_pinned_by_file())
    }

    /// Whether `state/PIN` freezes all automation.
    pub(super) fn is_pinned_by_file(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn take(&mut self, hand: Hand) {
        self.hand = hand;
        self.show();
    }

    /// Shows how far drains have come.
    pub(super) fn show_drains(&mut self, drains: BTreeMap<u64, Progress>) {
        if *self.drains != drains {
            self.drains = Arc::new(drains);
            self.show();
        }
    }

    fn show(&self) {
        let (hand, file, drains) = (self.hand.clone(), self.file.clone(), Arc::clone(&self.drains));
        let files = Arc::clone(&self.files);
        self.shown.store(Arc::new(ShownHand { hand, file, drains, files }));
    }
}

/// What operators order machines to do, once.
pub(in crate::control) type Orders = Vec<(FailoverId, failover::Command)>;

/// What the machines of failovers are told for as long as overrides say so.
pub(in crate::control) struct Told {
    by_name: HashMap<Arc<str>, Order>,
    others: Order,
}

impl Told {
    /// What they are told while the hand decides `effect` for `files`.
    pub(super) fn by(effect: &Effect, files: &Snapshot, is_pinned_by_file: bool) -> Told {
        let is_pinned = is_pinned_by_file || effect.pinned.is_some();
        let order = |hand: &FailoverHand| Order {
            prefer: hand.prefer.map(|(member, _)| member),
            held: is_pinned || hand.held.is_some(),
        };
        let name = |id: &FailoverId| Arc::clone(&files.failovers[id.index()].name);
        let by_name = effect.failovers.iter().map(|(id, hand)| (name(id), order(hand))).collect();
        Told { by_name, others: Order { prefer: None, held: is_pinned } }
    }

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

    /// Weighs clients by where `table` says that they are.
    pub fn weigh_by(&mut self, table: Arc<LazyTable>) {
        self.operator.table = Some(table);
    }

    /// Takes over what operators told a process before. What was to begin meanwhile is due, and
    /// begins once there are answers.
    pub fn resume(&mut self, restored: Restored) {
        let Restored { hand, ended, unread } = restored;
        let ended = ended.iter().map(|one| {
            let began = matches!(one.stage, Stage::Begun { .. });
            let said = match began {
                true => "its time was over while no server ran",
                false => "its whole time passed while no server ran: it never took effect",
            };
            tell::event(one, "ended", said)
        });
        let unread = unread.into_iter().map(tell::unread);
        let events: Vec<EventKind> = ended.chain(unread).collect();
        if !events.is_empty() {
            self.keep_hand(&hand);
        }
        self.operator.take(hand);
        self.follow_and_audit(events, &Origin::itself("start"));
    }

    /// Does what an operator wishes, or says why not. `clients` were counted for the Snapshot in
    /// force, where a rule speaks of shares.
    ///
    /// # Errors
    /// When it cannot be done, or a safety rule forbids it.
    pub fn command(&mut self, command: &Command, clients: &Clients) -> Result<Done, Refusal> {
        // What is due comes first: it is judged, and this after it.
        self.turn_hand();
        self.operator.clients = clients.clone();
        let now = Now { at: self.clock.now(), wall: self.clock.wall() };
        let old = self.publisher.world();
        if command.if_version.is_some_and(|version| version != self.operator.hand.version()) {
            return Err(Refusal::Stale);
        }
        let planned = self.operator.hand.planned(command, &self.operator.files, now)?;
        let is_proposed = planned.proposed.is_some();
        if self.warming && !planned.orders.is_empty() && !is_proposed {
            return Err(Refusal::NotYet);
        }
        let begins = planned.subject().map_or(now.at, |made| made.begins.max(now.at));
        let effect = planned.would.by(begins).effect(&self.operator.files, begins);
        let outlook = self.outlook();
        let before = outlook.standpoint();
        let mut notes = Vec::new();
        let supposed = match outlook.supposed(&before, &effect, &planned.orders) {
            // What waits for a second person is judged when that one agrees.
            Err(refusal) if is_proposed => {
                notes.push(format!("as things stand it would be refused: {refusal}"));
                outlook.supposed(&before, &effect, &[])
            }
            supposed => supposed,
        };
        let Supposed { after, asking } = supposed?;
        let broke = outlook.broken(&planned, (&before, &after), clients)?;
        if !broke.is_empty() && !command.break_glass {
            return Err(Refusal::Unsafe(broke));
        }
        let plans = planned.records.iter().map(|id| old.snapshot.record(*id).plan);
        let ttl = plans.map(|plan| old.snapshot.plan(plan).ttl.max).max();
        let named = asking.iter().take(ASKING_NAMED);
        notes.extend(named.map(|one| outlook.asks(one)));
        if let Some(more) = asking.len().checked_sub(ASKING_NAMED).filter(|more| *more > 0) {
            notes.push(format!("{more} more failovers wait: tradewind approve"));
        }
        notes.extend(outlook.hidden_later(&planned, begins));
        notes.extend(tell::lasting(&planned));
        if self.pinned && planned.subject().is_some_and(tell::takes_time) {
            notes.push("all automation is pinned: clients begin to leave once that ends".into());
        }
        let mut undo = planned.undo.clone();
        undo.extend(tell::way_back(&planned, &before, &after));
        let done = Done {
            dry_run: command.dry_run,
            said: tell::sentence(&planned, &effect, &self.operator.files),
            hides: planned.subject().map(|one| effect.hidden_by(one.id)).unwrap_or_default(),
            ttl: ttl.unwrap_or(Ttl::from_secs(0)),
            broke,
            notes,
            not_kept: None,
            undo,
            before,
            after,
            planned,
        };
        if !command.dry_run {
            let events = tell::events(&done, command);
            self.operator.take(done.planned.hand.clone());
            self.keep_hand(&done.planned.hand);
            self.acting = Some(Arc::clone(&command.who));
            // What machines refuse was said before anything was done.
            let orders = match done.planned.proposed {
                Some(_) => Vec::new(),
                None => done.planned.orders.clone(),
            };
            self.follow_hand(events, orders);
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
        let outlook = self.outlook();
        let before = outlook.standpoint();
        let effect = &self.operator.effect;
        let pending = self.latches.pending(&old.snapshot).enumerate();
        let waiting = pending.map(|(nth, (id, active, pending))| {
            let definition = &old.snapshot.failovers[id.index()];
            let orders = [(id, failover::Command::Approve)];
            let supposed = || outlook.supposed(&before, effect, &orders).ok();
            let approved = (nth < FORESEEN).then(supposed).flatten();
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
                after: approved.map(|supposed| supposed.after),
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
        // Whoever may write there; the file's first line says who, if it was `tradewind pin`.
        let by = Origin::unknown("the file state/PIN");
        self.follow_and_audit(vec![event], &by);
    }

    /// [`Control::follow_hand`] for what is no command, and so in the audit by its events.
    pub(super) fn follow_and_audit(&mut self, events: Vec<EventKind>, by: &Origin) {
        let before = self.standing();
        self.follow_hand(events.clone(), Vec::new());
        let world = self.world();
        for event in &events {
            self.audit(before.event(by, event, &world));
        }
    }

    /// Brings the World to what the hand decides now, and machines to what was ordered, in one
    /// publish.
    pub(in crate::control) fn follow_hand(&mut self, mut events: Vec<EventKind>, orders: Orders) {
        let now = self.clock.now();
        let before = std::mem::take(&mut self.operator.effect);
        self.operator.decide(now);
        let was_pinned = std::mem::replace(&mut self.pinned, self.operator.is_pinned());
        if self.operator.freeze(self.pinned, now) {
            let hand = self.operator.hand.clone();
            self.keep_hand(&hand);
        }
        if was_pinned && !self.pinned {
            events.extend(self.let_all_through());
        }
        self.hands = self.operator.said();
        let old = self.publisher.world();
        if self.warming {
            self.write(old.swap, events);
            return;
        }
        let mut outcome = Outcome::new(&old, now);
        if before.weights != self.operator.effect.weights {
            let cause = events.first().and_then(|event| event.facts().subject).map(Arc::from);
            self.write(old.swap, events);
            self.install_for(Arc::clone(&self.operator.files), old.revision, None, cause);
            outcome = Outcome::new(&self.publisher.world(), now);
        } else {
            outcome.events = events;
            self.turn_all(&mut outcome, &old, &before, was_pinned);
        }
        outcome.asked.extend(orders.iter().map(|(id, _)| *id));
        outcome.orders = orders;
        let old = self.publisher.world();
        self.settle(&old, outcome);
        self.look_at_drains();
    }

    /// Turns what the hand decides otherwise than `before`.
    fn turn_all(&self, outcome: &mut Outcome, old: &World, before: &Effect, was_pinned: bool) {
        let effect = &self.operator.effect;
        let is_all = was_pinned != self.pinned;
        let slots: BTreeSet<SlotId> = match is_all {
            false => before.slots.keys().chain(effect.slots.keys()).copied().collect(),
            true => (0..old.snapshot.slots.len()).map(SlotId::at).collect(),
        };
        let turn = self.turn(old.swap + 1);
        for slot in slots {
            outcome.turn(&old.snapshot, slot, &turn);
        }
        outcome.asked = match is_all {
            false => before.failovers.keys().chain(effect.failovers.keys()).copied().collect(),
            true => (0..old.snapshot.failovers.len()).map(FailoverId::at).collect(),
        };
    }
}
