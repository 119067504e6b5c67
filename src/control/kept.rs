//! What of control's state outlives the process, and how it comes back: verdicts, the order of
//! falls, failovers, ramps and the operator's hand.
//!
//! Everything is found again by stable name. Times are kept as what had elapsed; what passed
//! while no server ran counts for overrides and proposals, which people gave by the clock on the
//! wall, and for nothing else. Writing never waits: [`super::store::Keeper`] gathers.

use super::{
    audit::{Before, Entry},
    found,
    hand::{
        Hand, Now,
        kept::KeptNote,
        watching::{Drains, KeptDrains},
    },
    publish::{Control, TargetVerdict},
    spelled::millis,
    store::{Keeper, Saved, SavedDamped, SavedSlot, SavedTarget, Write},
    verdicts::Known,
};
use crate::{
    chunked::Chunked,
    clock::{Moment, Since},
    failover::{self, Machine},
    policy::RampKind,
    snapshot::{FailoverDefinition, Slot, Snapshot},
    steering::RampState,
    verdict::{Sight, Verdict},
    world::{State, World},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

/// Notes of the store.
const HAND: &str = "hand";
const RAMPS: &str = "ramps";
const DRAINS: &str = "drains";
/// Times of failovers that wait are written so often, beside every change of theirs.
const OFTEN: Duration = Duration::from_secs(10);

/// What the run before left behind, until the first files are in force.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    slots: HashMap<(Arc<str>, Arc<str>), SavedSlot>,
    machines: HashMap<Arc<str>, Value>,
    ramps: Vec<KeptRamp>,
}

/// The way to what outlives the process.
#[derive(Debug, Default)]
pub(super) struct Kept {
    keeper: Option<Keeper>,
    inherited: Option<Inherited>,
    /// When the times of failovers were last written.
    written: Option<Moment>,
    /// Whether ramps are noted down, and how far drains have come.
    has_ramps: bool,
    has_drains: bool,
    /// The overrides that are written down and that this version can read.
    overrides: BTreeSet<u64>,
}

/// A failover as it is kept: its members by name.
#[derive(Debug, Serialize, Deserialize)]
struct KeptMachine {
    members: Vec<Arc<str>>,
    state: failover::Saved,
}

/// A slot on its way up. (One on its way down belongs to the hand.)
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptRamp {
    slot: Arc<str>,
    address: Arc<str>,
    elapsed_ms: u64,
    over_ms: Option<u64>,
}

impl Control {
    /// Goes on from what the run before left, before any files are installed: with a verdict on
    /// any target at all steered names are answered at once.
    pub(super) fn inherit(&mut self, saved: &Saved, keeper: Keeper) {
        let now = Now { at: self.clock.now(), wall: self.clock.wall() };
        for (key, target) in &saved.targets {
            let verdict = TargetVerdict {
                key: Arc::clone(key),
                sight: Sight { standing: target.standing, failing: target.failing },
                reason: Arc::clone(&target.reason),
                at: now.at,
                first_failure: None,
                answered: false,
                observed: false,
                gate: None,
                damped: target.damped.map(|damped| damped.resumed(now.at)),
            };
            self.known.insert(Arc::clone(key), Known { verdict, stands: target.standing });
        }
        self.found = found::restored(saved);
        self.warming = saved.targets.is_empty();
        let ramps: Option<Vec<KeptRamp>> = read(saved, RAMPS);
        let drains: Option<KeptDrains> = read(saved, DRAINS);
        self.kept = Kept {
            keeper: Some(keeper),
            inherited: Some(Inherited {
                slots: saved.slots.clone(),
                machines: saved.machines.clone(),
                ramps: ramps.unwrap_or_default(),
            }),
            has_drains: drains.is_some(),
            ..Kept::default()
        };
        self.drains = Drains::inheriting(drains.unwrap_or_default());
        let note: KeptNote = read(saved, HAND).unwrap_or_default();
        let restored = Hand::restored(&note, &saved.overrides, now);
        let is_read = |id: &&u64| !restored.unread.contains(id);
        self.kept.overrides = saved.overrides.keys().filter(is_read).copied().collect();
        self.resume(restored);
    }

    /// What the run before left, for the first files.
    pub(super) fn inherited(&mut self) -> Option<Inherited> {
        self.kept.inherited.take()
    }

    /// Has written down what differs from `old`; all of it, if the files do.
    pub(super) fn keep(&mut self, old: &World) {
        let Some(keeper) = &self.kept.keeper else { return };
        let (world, now) = (self.publisher.world(), self.clock.now());
        let is_new = !Arc::ptr_eq(&old.snapshot, &world.snapshot);
        let mut writes = Vec::new();
        let nobody = Chunked::default();
        let before = if is_new { &nobody } else { &old.state.verdicts };
        for index in world.state.verdicts.differing(before) {
            let verdict = &world.state.verdicts[index];
            if before.get(index).is_some_and(|before| before.since == verdict.since) {
                continue;
            }
            let slot = &world.snapshot.slots[index];
            writes.push(slot_write(slot, verdict, world.state.fell[index]));
        }
        if is_new {
            writes.extend(gone(&old.snapshot, &world.snapshot));
        }
        let is_time = self.kept.written.is_none_or(|at| now.since(at) >= OFTEN);
        for (definition, machine) in self.latches.of(&world.snapshot) {
            let is_waiting = machine.active() != 0 || machine.pending(&definition.rules).is_some();
            if is_new
                || machine.is_ramping()
                || self.latches.has_changed(&definition.name)
                || (is_time && is_waiting)
            {
                writes.push(machine_write(definition, machine, now));
            }
        }
        let ramps = kept_ramps(&world.snapshot, &world.state, now);
        if !ramps.is_empty() || self.kept.has_ramps {
            self.kept.has_ramps = !ramps.is_empty();
            writes.push(note(RAMPS, &ramps));
        }
        if !writes.is_empty() {
            keeper.write(writes);
        }
        if is_time {
            self.kept.written = Some(now);
        }
        self.latches.forget_changes();
    }

    /// Has written down how targets stand.
    pub(super) fn keep_targets<'k>(&self, targets: impl IntoIterator<Item = &'k Known>) {
        let Some(keeper) = &self.kept.keeper else { return };
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let write = |Known { verdict, stands }: &Known| Write::Target {
            key: Arc::clone(&verdict.key),
            value: Some(SavedTarget {
                standing: *stands,
                failing: verdict.sight.failing,
                reason: Arc::clone(&verdict.reason),
                since: wall.checked_sub(now.since(verdict.at)).unwrap_or(wall),
                damped: verdict.damped.map(|damped| SavedDamped::of(&damped, now)),
            }),
        };
        let writes: Vec<Write> = targets.into_iter().map(write).collect();
        if !writes.is_empty() {
            keeper.write(writes);
        }
    }

    /// Forgets a target that is in the files no more.
    pub(super) fn forget_target(&self, key: &Arc<str>) {
        if let Some(keeper) = &self.kept.keeper {
            keeper.write(vec![Write::Target { key: Arc::clone(key), value: None }]);
        }
    }

    /// Has the operator's hand written down. Rows of a newer version's stay as they are.
    pub(super) fn keep_hand(&mut self, hand: &Hand) {
        let Some(keeper) = &self.kept.keeper else { return };
        let now = Now { at: self.clock.now(), wall: self.clock.wall() };
        let kept = hand.kept(now);
        let here: BTreeSet<u64> = kept.iter().map(|one| one.id).collect();
        let gone = self.kept.overrides.difference(&here);
        let gone = gone.map(|&id| Write::Override { id, value: None });
        let made = kept
            .iter()
            .map(|one| Write::Override { id: one.id, value: serde_json::to_value(one).ok() });
        keeper.write(made.chain(gone).chain([note(HAND, &hand.note(now))]).collect());
        self.kept.overrides = here;
    }

    /// Has written down how far drains have come.
    pub(super) fn keep_drains(&mut self) {
        let Some(keeper) = &self.kept.keeper else { return };
        let drains = self.drains.kept(self.clock.now());
        if !drains.is_empty() || self.kept.has_drains {
            self.kept.has_drains = !drains.is_empty();
            keeper.write(vec![note(DRAINS, &drains)]);
        }
    }

    /// Has written down what time alone changed, if it is time: how long failovers have waited,
    /// targets were held down.
    pub(super) fn keep_times(&mut self) {
        let now = self.clock.now();
        if self.kept.written.is_none_or(|at| now.since(at) >= OFTEN) {
            self.keep_all();
        }
    }

    /// Has everything written down as it is now: the process is about to end.
    pub(super) fn keep_all(&mut self) {
        let now = self.clock.now();
        // What is held stays written as it was before.
        let is_damped = |known: &&Known| {
            known.verdict.damped.is_some_and(|damped| damped.matters(now))
                && self.layers().held(&known.verdict.key).is_none()
        };
        self.keep_targets(self.known.values().filter(is_damped));
        self.keep_drains();
        self.kept.written = None;
        let world = self.publisher.world();
        self.keep(&world);
    }

    /// How the server stands before a change.
    pub(super) fn standing(&self) -> Before {
        let now = Now { at: self.clock.now(), wall: self.clock.wall() };
        Before::of(&self.publisher.world(), now)
    }

    /// Has written down who changed what.
    pub(super) fn audit(&self, entry: Option<Entry>) {
        if let (Some(keeper), Some(entry)) = (&self.kept.keeper, entry) {
            keeper.write(vec![Write::Audit(Box::new(entry))]);
        }
    }

    /// Where everything is kept, for whoever waits until it is.
    pub fn keeper(&self) -> Option<Keeper> {
        self.kept.keeper.clone()
    }
}

impl Inherited {
    /// When `slot` last fell, and how it stood since when.
    pub fn slot(&self, slot: &Slot) -> Option<&SavedSlot> {
        self.slots.get(&(Arc::clone(&slot.name), Arc::from(slot.address.to_string())))
    }

    /// The machine of `definition`, its members in their present order.
    pub fn machine(&self, definition: &FailoverDefinition, now: Moment) -> Option<Machine> {
        let value = self.machines.get(&definition.name)?.clone();
        let kept: KeptMachine = serde_json::from_value(value).ok()?;
        let place = |name: &Arc<str>| kept.members.iter().position(|known| known == name);
        let places: Vec<Option<usize>> = definition.members.iter().map(place).collect();
        Some(Machine::restored(kept.state, now).carried_over(&places))
    }

    /// The ramps that ran.
    pub fn ramps(&self, snapshot: &Snapshot, now: Moment) -> Vec<RampState> {
        let slots = snapshot.slots.iter().enumerate();
        let find = |ramp: &KeptRamp| {
            let is =
                |slot: &Slot| *slot.name == *ramp.slot && slot.address.to_string() == *ramp.address;
            let (index, _) = slots.clone().find(|(_, slot)| is(slot))?;
            Some(RampState {
                slot: crate::ids::SlotId::at(index),
                kind: RampKind::Rising,
                since: Since::resumed(Duration::from_millis(ramp.elapsed_ms), now),
                over: ramp.over_ms.map(Duration::from_millis),
            })
        };
        self.ramps.iter().filter_map(find).collect()
    }
}

fn slot_write(slot: &Slot, verdict: &Verdict, fell: u64) -> Write {
    Write::Slot {
        name: Arc::clone(&slot.name),
        address: slot.address.to_string().into(),
        value: Some(SavedSlot { fell, since: verdict.since_wall }),
    }
}

/// What to forget, since it is in the files no more.
fn gone(old: &Snapshot, new: &Snapshot) -> Vec<Write> {
    let here: std::collections::HashSet<_> =
        new.slots.iter().map(|slot| (&slot.name, &slot.address)).collect();
    let slots = old.slots.iter().filter(|slot| !here.contains(&(&slot.name, &slot.address)));
    let slots = slots.map(|slot| Write::Slot {
        name: Arc::clone(&slot.name),
        address: slot.address.to_string().into(),
        value: None,
    });
    let here: std::collections::HashSet<&Arc<str>> =
        new.failovers.iter().map(|f| &f.name).collect();
    let failovers = old.failovers.iter().filter(|failover| !here.contains(&failover.name));
    slots
        .chain(failovers.map(|f| Write::Machine { name: Arc::clone(&f.name), value: None }))
        .collect()
}

fn machine_write(definition: &FailoverDefinition, machine: &Machine, now: Moment) -> Write {
    let kept = KeptMachine { members: definition.members.to_vec(), state: machine.saved(now) };
    Write::Machine { name: Arc::clone(&definition.name), value: serde_json::to_value(kept).ok() }
}

fn kept_ramps(snapshot: &Snapshot, state: &State, now: Moment) -> Vec<KeptRamp> {
    let rising = state.ramps.iter().filter(|ramp| ramp.kind == RampKind::Rising);
    let kept = rising.map(|ramp| {
        let slot = &snapshot.slots[ramp.slot.index()];
        KeptRamp {
            slot: Arc::clone(&slot.name),
            address: slot.address.to_string().into(),
            elapsed_ms: millis(ramp.since.elapsed(now)),
            over_ms: ramp.over.map(millis),
        }
    });
    kept.collect()
}

fn read<T: DeserializeOwned>(saved: &Saved, note: &str) -> Option<T> {
    serde_json::from_value(saved.notes.get(note)?.clone()).ok()
}

fn note(name: &str, value: &impl Serialize) -> Write {
    Write::Note { name: name.into(), value: serde_json::to_value(value).ok() }
}
