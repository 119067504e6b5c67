//! What steps do to the server, and how it is taken back.
//!
//! Whatever is held is taken back by [`Effects::take_back_all`], and by its `Drop` should the
//! runner end in any other way. Faults are cleared without asking anybody; overrides are withdrawn
//! by control, whatever rules say, by who made them: so is what control does after we have ceased
//! to wait for its word. They end by themselves if it never gets to that.

use super::{
    admission::PlannedStep,
    ground::{Ground, Hit, Spot, WHO, slots_of},
};
use crate::{
    clock::Moment,
    config::{
        Pattern,
        drill::{ActionDef, DrillDef, FaultDef, Mode, StepDef},
    },
    control::{
        Change, Report,
        hand::{ForceTo, Override, Target, Wish, tell::failover_target},
        reload::{DAMAGED, Rehearsal},
    },
    forecast::shares::pools_below,
    health::{Fault, FaultKind},
    ids::{FailoverId, SlotId},
    snapshot::{FailoverDefinition, Snapshot},
    world::World,
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

/// Control takes a command within milliseconds.
const WITHIN: Duration = Duration::from_secs(2);
/// A step's expiry lies so much behind its end: for a runner that is late, not for one that died.
const GRACE: Duration = Duration::from_secs(5);
/// Said of a step that comes to a proposal only.
const TWO_PERSONS: &str = "a safety rule wants a second person";
/// Endpoints that are named one by one in a pattern: some 40 KiB of text.
const NAMED_MAX: usize = 1_000;

/// Something that is on.
enum Held {
    Override(u64),
    Fault(Arc<Fault>),
    Files,
    State,
}

impl Held {
    /// Its number, of an override.
    fn id(&self) -> Option<u64> {
        match self {
            Held::Override(id) => Some(*id),
            _ => None,
        }
    }
}

/// What a step came to when it began.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub overrides: Vec<u64>,
    pub keys: Vec<String>,
    /// Whether probes have to meet it.
    pub awaits_probe: bool,
    /// What it was to hit, by name, and did not: it is gone, or others than canaries use it now.
    pub spared: Vec<Arc<str>>,
}

/// Everything that is on, by step.
pub(super) struct Effects {
    ground: Arc<Ground>,
    who: String,
    reason: String,
    /// Nothing lasts longer.
    until: Moment,
    def: Arc<DrillDef>,
    held: Vec<(usize, Held)>,
    /// Whether anything was ordered of control that was not seen to be taken back: whatever came of
    /// it, since the command may be done after nobody waits for its reply any more.
    is_ordered: bool,
    /// The endpoints that steps are about.
    hit: HashSet<Spot>,
    /// Targets whose probes fail by us although they were up.
    faulted: HashSet<Arc<str>>,
    /// The active member of each failover before, both by name.
    active: HashMap<Arc<str>, Arc<str>>,
    /// Failovers that an operator has moved since.
    operators: HashSet<Arc<str>>,
}

impl Effects {
    pub(super) fn new(
        ground: &Arc<Ground>,
        (drill, run, by): (&str, &str, &str),
        until: Moment,
        def: &Arc<DrillDef>,
        hit: HashSet<Spot>,
    ) -> Effects {
        let world = ground.viewer.world();
        Effects {
            ground: Arc::clone(ground),
            who: format!("{WHO}{drill}/{run} ({by})"),
            reason: format!("drill {drill}"),
            until,
            def: Arc::clone(def),
            held: Vec::new(),
            is_ordered: false,
            hit,
            faulted: HashSet::new(),
            active: active(&world),
            operators: HashSet::new(),
        }
    }

    /// An operator has moved `failover`: from now on it is the operator's.
    pub(super) fn moved_by_operator(&mut self, failover: &Arc<str>) {
        self.operators.insert(Arc::clone(failover));
    }

    /// Does what `step` says.
    ///
    /// # Errors
    /// Says why it cannot be done; what of it was done already is held, and taken back.
    pub(super) fn begin(
        &mut self,
        (index, step, planned): (usize, &StepDef, &PlannedStep),
        drill: &str,
        is_enough: &dyn Fn() -> bool,
    ) -> Result<Begun, String> {
        let mut begun = Begun::default();
        if !self.def.mode.get_ref().is_real() {
            return Ok(begun);
        }
        let hit = self.present(step, &planned.hit)?;
        begun.spared = spared(&planned.hit, &hit);
        let now = self.ground.clock.now();
        let lasts = step.lasts.as_ref().map_or(Duration::ZERO, |lasts| *lasts.get_ref());
        let until = now.after(lasts + GRACE).min(self.until);
        match *step.action.get_ref() {
            ActionDef::Force { up } => {
                let to = if up { ForceTo::Up } else { ForceTo::Down };
                let wish = Wish::Force { target: self.target(step, &hit)?, to: Some(to) };
                begun.overrides.push(self.order(index, wish, until.since(now), is_enough)?);
            }
            ActionDef::Drain { over } => {
                let wish = Wish::Drain { target: self.target(step, &hit)?, over };
                begun.overrides.push(self.order(index, wish, until.since(now), is_enough)?);
            }
            ActionDef::Fault(fault) => {
                let kind = match fault {
                    FaultDef::Refuse => FaultKind::Refuse,
                    FaultDef::Hang => FaultKind::Hang,
                    FaultDef::Slow(delay) => FaultKind::Slow(delay),
                    FaultDef::Flap => FaultKind::Flap,
                    FaultDef::Status(status) => FaultKind::Status(status),
                };
                let keys = hit.keys;
                if keys.is_empty() {
                    return Err("nothing there is probed by a target of its own".into());
                }
                begun.awaits_probe = true;
                begun.keys = keys.iter().map(ToString::to_string).collect();
                self.inject(index, drill, keys, kind, until);
            }
            ActionDef::Isolate => {
                begun.awaits_probe = true;
                self.inject(index, drill, HashSet::new(), FaultKind::Isolate, until);
            }
            ActionDef::BadConfig => {
                let target = step.target.as_ref().map_or("", |target| target.get_ref());
                let zone = target.strip_prefix("zone:").unwrap_or(target);
                self.rehearse(index, Rehearsal::BrokenZone(zone.into()), drill, is_enough)?;
            }
            ActionDef::StaleGeo => {
                self.rehearse(index, Rehearsal::StalePlaces, drill, is_enough)?;
            }
            ActionDef::BadGeo => self.rehearse(index, Rehearsal::BadPlaces, drill, is_enough)?,
            ActionDef::LoseState => {
                self.held.push((index, Held::State));
                self.ground.keeper.lose(Some(until));
            }
            ActionDef::ConfirmFalls => {
                let command = self.ground.command(Wish::ConfirmFalls, &self.who, &self.reason);
                match self.ground.told(command, WITHIN, is_enough) {
                    Some(Ok(done)) if done.planned.proposed.is_some() => {
                        self.is_ordered = true;
                        return Err(TWO_PERSONS.into());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(refusal)) => return Err(refusal.to_string()),
                    None => return Err("control does not answer".into()),
                }
            }
        }
        Ok(begun)
    }

    fn target(&self, step: &StepDef, hit: &Hit) -> Result<String, String> {
        commanded(*self.def.mode.get_ref(), step, hit)
    }

    /// What is left of what was `planned`, by the files in force now. A canary's drill hits what
    /// was looked at before it began, and of that only what canaries still have for themselves; any
    /// other one hits what its file names.
    fn present(&self, step: &StepDef, planned: &Hit) -> Result<Hit, String> {
        let is_canary = *self.def.mode.get_ref() == Mode::Canary;
        let Some(target) = step.target.as_ref().filter(|_| is_canary) else {
            return Ok(planned.clone());
        };
        let mut hit =
            self.ground.hit(&self.ground.viewer.world(), target.get_ref(), Some(&self.def))?;
        hit.spots.retain(|spot| planned.spots.contains(spot));
        hit.keys.retain(|key| planned.keys.contains(key));
        match hit.spots.is_empty() && hit.keys.is_empty() {
            true => {
                Err("files were loaded since, and nothing it was to hit is there any more".into())
            }
            false => Ok(hit),
        }
    }

    fn order(
        &mut self,
        index: usize,
        wish: Wish,
        lasts: Duration,
        is_enough: &dyn Fn() -> bool,
    ) -> Result<u64, String> {
        let mut command = self.ground.command(wish, &self.who, &self.reason);
        command.lasts = Some(lasts);
        self.is_ordered = true;
        match self.ground.told(command, WITHIN, is_enough) {
            Some(Ok(done)) => match done.planned.made {
                Some(id) => {
                    self.held.push((index, Held::Override(id)));
                    Ok(id)
                }
                None => Err(TWO_PERSONS.into()),
            },
            Some(Err(refusal)) => Err(refusal.to_string()),
            None => Err("control does not answer".into()),
        }
    }

    fn inject(
        &mut self,
        index: usize,
        drill: &str,
        keys: HashSet<Arc<str>>,
        kind: FaultKind,
        until: Moment,
    ) {
        let is_hit = |key: &Arc<str>| kind == FaultKind::Isolate || keys.contains(key);
        let states = self.ground.checker.states().into_iter();
        let up = states.filter(|state| is_hit(&state.key) && state.sight.standing.is_up());
        self.faulted.extend(up.map(|state| state.key));
        let by = format!("drill {drill}").into();
        let fault = Arc::new(Fault::new(by, keys, kind, until));
        self.held.push((index, Held::Fault(Arc::clone(&fault))));
        self.ground.checker.inject(fault);
    }

    fn rehearse(
        &mut self,
        index: usize,
        what: Rehearsal,
        drill: &str,
        is_enough: &dyn Fn() -> bool,
    ) -> Result<(), String> {
        let (reply, loaded) = oneshot::channel();
        let cause = format!("drill {drill}").into();
        self.held.push((index, Held::Files));
        /// A load of a million names takes seconds.
        const LOADED: Duration = Duration::from_secs(30);
        let change = Change::Rehearse { what: Some(what.clone()), cause, reply: Some(reply) };
        // When control is gone the reply says so.
        let _ = self.ground.changes.send(change);
        match self.ground.wait(loaded, LOADED, is_enough) {
            Some(report) if !report.accepted => {
                Err(format!("the files were refused: {}", report.rendered))
            }
            Some(report) => self.confirm(&what, &report),
            None => Err("files were not loaded in time".into()),
        }
    }

    /// Whether what was loaded does what it was loaded for: a step that has no effect proves
    /// nothing.
    fn confirm(&self, what: &Rehearsal, report: &Report) -> Result<(), String> {
        match what {
            Rehearsal::BrokenZone(zone) if !report.held.contains(zone) => {
                Err(format!("zone {zone} was not held back, broken as it is"))
            }
            Rehearsal::StalePlaces if !self.ground.locations.load().is_embedded() => {
                Err("clients are located by what is in geoip/ all the same".into())
            }
            Rehearsal::BadPlaces if !report.rendered.contains(DAMAGED) => {
                Err("nothing is said of the damaged database".into())
            }
            _ => Ok(()),
        }
    }

    /// When the first probe met what `step` does to them, if one did.
    pub(super) fn first_met(&self, step: usize) -> Option<Moment> {
        let faults = self.held.iter().filter(|(index, _)| *index == step);
        let met = faults.filter_map(|(_, held)| match held {
            Held::Fault(fault) => fault.first_met(),
            _ => None,
        });
        met.min()
    }

    /// Takes back what `step` did; what could not be.
    pub(super) fn end(&mut self, step: usize) -> Vec<String> {
        let (own, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(|(index, _)| *index == step);
        self.held = rest;
        let ids: Vec<u64> = own.iter().filter_map(|(_, held)| held.id()).collect();
        self.take_back(own);
        match ids.is_empty() {
            true => Vec::new(),
            false => self.withdraw(Some(ids)).err().into_iter().collect(),
        }
    }

    /// Takes back everything, and whatever may still come of what was ordered; what could not be.
    pub(super) fn take_back_all(&mut self) -> Vec<String> {
        let all = std::mem::take(&mut self.held);
        self.take_back(all);
        if !self.is_ordered {
            return Vec::new();
        }
        let withdrawn = self.withdraw(None);
        self.is_ordered = withdrawn.is_err();
        withdrawn.err().into_iter().collect()
    }

    /// Takes back what nobody has to be asked for.
    fn take_back(&self, held: Vec<(usize, Held)>) {
        let mut is_files = false;
        for (_, held) in held {
            match held {
                Held::Fault(fault) => self.ground.checker.clear(&fault),
                Held::State => self.ground.keeper.lose(None),
                Held::Files => is_files = true,
                Held::Override(_) => {}
            }
        }
        if is_files {
            let cause = Arc::from(format!("end of {}", self.reason));
            // Fails only while the server stops.
            let _ = self.ground.changes.send(Change::Rehearse { what: None, cause, reply: None });
        }
    }

    /// Has control take away overrides of this run. Commands are done in the order in which they
    /// were sent: one that nobody waited for is done, and taken back, by then.
    fn withdraw(&self, only: Option<Vec<u64>>) -> Result<(), String> {
        let wish = Wish::Withdraw { who: self.who.as_str().into(), only };
        let command = self.ground.command(wish, &self.who, &self.reason);
        match self.ground.told(command, WITHIN, &|| false) {
            Some(Ok(_)) => Ok(()),
            Some(Err(refusal)) => Err(format!("overrides stay until they expire: {refusal}")),
            None => Err("control does not answer: overrides end once it does, or expire".into()),
        }
    }

    /// Forgets that anything ever failed by us: targets that were up are judged anew.
    pub(super) fn pardon(&self) {
        self.ground.checker.pardon(&self.faulted);
    }

    /// Lets failovers go back that moved meanwhile by what was hit: what was asked for, and what
    /// could not be, which may only be too early.
    pub(super) fn fail_back(&self) -> (Vec<String>, Vec<String>) {
        let world = self.ground.viewer.world();
        let (mut asked, mut refused) = (Vec::new(), Vec::new());
        for name in self.ours(&world) {
            // As a command takes it, not as a shell does.
            let target = failover_target(&name, &world.snapshot).replace('\'', "");
            match self.fail_back_one(&target) {
                Ok(()) => asked.push(format!("failback {target}")),
                Err(why) => refused.push(format!("failback {target}: {why}")),
            }
        }
        (asked, refused)
    }

    /// Lets the failovers of `targets` go back, each until that was taken: what was asked for, and
    /// what could not be. One that is where it was before needs nothing, and one that an operator
    /// has moved since is the operator's.
    pub(super) fn fail_back_of(&self, targets: &mut Vec<String>) -> (Vec<String>, Vec<String>) {
        let world = self.ground.viewer.world();
        let (mut asked, mut refused) = (Vec::new(), Vec::new());
        targets.retain(|target| {
            if self.needs_nothing(target, &world) {
                return false;
            }
            match self.fail_back_one(target) {
                Ok(()) => asked.push(format!("failback {target}")),
                Err(why) => {
                    refused.push(format!("failback {target}: {why}"));
                    return true;
                }
            }
            false
        });
        (asked, refused)
    }

    fn needs_nothing(&self, target: &str, world: &World) -> bool {
        let snapshot = &world.snapshot;
        // One that cannot be read is refused with the reason.
        let Ok(target) = Target::read(target, snapshot) else { return false };
        let (ids, now) = (target.failovers(snapshot), active(world));
        let is_done = |id: &FailoverId| {
            let name = &snapshot.failovers[id.index()].name;
            self.operators.contains(name) || now.get(name) == self.active.get(name)
        };
        !ids.is_empty() && ids.iter().all(is_done)
    }

    /// The failovers that left a member which is hit, but for those that operators moved or hold.
    fn ours(&self, world: &World) -> Vec<Arc<str>> {
        let hand = self.ground.hand.load();
        let overrides = hand.hand.overrides().iter().filter(|one| !one.who.starts_with(WHO));
        let operators: Vec<&Override> = overrides.collect();
        if hand.file.is_some() {
            return Vec::new();
        }
        let now = active(world);
        let left = |name: &Arc<str>| {
            let before = self.active.get(name).filter(|before| now.get(name) != Some(before))?;
            Some((Arc::clone(name), Arc::clone(before)))
        };
        let snapshot = &world.snapshot;
        let hit = slots_of(snapshot, &self.hit);
        let failovers = snapshot.failovers.iter().enumerate();
        let ours = failovers.filter_map(|(index, definition)| {
            let (name, before) = left(&definition.name)?;
            let is_ours = !self.operators.contains(&name)
                && is_member_hit(definition, &before, &hit)
                && !operators.iter().any(|one| is_about(one, FailoverId::at(index), snapshot));
            is_ours.then_some(name)
        });
        ours.collect()
    }

    /// Lets one failover go back.
    ///
    /// # Errors
    /// Says why not; nothing is left of it that waits for a second person.
    fn fail_back_one(&self, target: &str) -> Result<(), String> {
        let wish = Wish::Failback { target: target.to_owned() };
        let mut command = self.ground.command(wish, &self.who, &self.reason);
        for is_only_asked in [true, false] {
            command.dry_run = is_only_asked;
            match self.ground.told(command.clone(), WITHIN, &|| false) {
                Some(Ok(done)) if done.planned.proposed.is_some() => return Err(TWO_PERSONS.into()),
                Some(Ok(_)) => {}
                Some(Err(refusal)) => return Err(refusal.to_string()),
                None => return Err("control does not answer".into()),
            }
        }
        Ok(())
    }
}

impl Drop for Effects {
    fn drop(&mut self) {
        // Whoever would have said what could not be is gone.
        let _ = self.take_back_all();
    }
}

/// The active member of each failover, both by name.
fn active(world: &World) -> HashMap<Arc<str>, Arc<str>> {
    let courses = world.snapshot.failovers.iter().zip(&world.state.courses);
    let active = courses.filter_map(|(failover, course)| {
        let member = failover.members.get(usize::from(course.active))?;
        Some((Arc::clone(&failover.name), Arc::clone(member)))
    });
    active.collect()
}

/// Whether something of `member` is among `hit`: then it was the drill that clients left it for.
fn is_member_hit(definition: &FailoverDefinition, member: &str, hit: &HashSet<SlotId>) -> bool {
    let members = definition.members.iter().zip(definition.member_nodes());
    let mut nodes = members.filter(|(name, _)| ***name == *member).map(|(_, node)| *node);
    nodes.any(|node| {
        let endpoints = pools_below(&definition.tree, node).into_iter().flat_map(|p| &p.endpoints);
        endpoints.flat_map(|endpoint| endpoint.target.slots()).any(|slot| hit.contains(&slot))
    })
}

/// Whether `one` is about this failover, or about endpoints of a record that it answers.
fn is_about(one: &Override, id: FailoverId, snapshot: &Snapshot) -> bool {
    // Without a target all automation is pinned.
    let Some(target) = &one.target else { return true };
    let plans = &snapshot.plans_of_failover[id.index()];
    let slots = target.slots(snapshot);
    let mut theirs = slots.iter().flat_map(|slot| &snapshot.plans_of_slot[slot.index()]);
    target.failovers(snapshot).contains(&id) || theirs.any(|plan| plans.contains(plan))
}

/// What a command is given: the target as written, or a canary's endpoints by name, in one command:
/// rules judge what it comes to as a whole.
///
/// # Errors
/// When these are too many.
pub(super) fn commanded(mode: Mode, step: &StepDef, hit: &Hit) -> Result<String, String> {
    match (mode, &step.target) {
        (Mode::Canary, _) => named(&hit.spots),
        (_, Some(target)) => Ok(target.get_ref().clone()),
        (_, None) => Ok(String::new()),
    }
}

/// The target that stands for `spots` and nothing else.
///
/// # Errors
/// When they are too many.
pub(super) fn named<'s>(spots: impl IntoIterator<Item = &'s Spot>) -> Result<String, String> {
    let names: BTreeSet<String> =
        spots.into_iter().map(|spot| Pattern::literal(&spot.name)).collect();
    match names.len() > NAMED_MAX {
        true => {
            Err(format!("{} endpoints are hit together; {NAMED_MAX} are the most", names.len()))
        }
        false => Ok(format!("endpoint:{{{}}}", names.into_iter().collect::<Vec<_>>().join(","))),
    }
}

/// The endpoints of `planned` that are not in `hit`.
fn spared(planned: &Hit, hit: &Hit) -> Vec<Arc<str>> {
    let spared = planned.spots.difference(&hit.spots).map(|spot| Arc::clone(&spot.name));
    spared.collect::<BTreeSet<_>>().into_iter().collect()
}
