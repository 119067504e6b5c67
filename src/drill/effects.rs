//! What steps do to the server, and how it is taken back.
//!
//! Whatever is held is taken back by [`Effects::take_back_all`], and by its `Drop` should the
//! runner end in any other way. Faults are cleared without asking anybody; overrides go the way
//! of an operator's commands, and end by themselves if that way is blocked.

use super::{
    admission::PlannedStep,
    ground::{Ground, WHO},
};
use crate::{
    clock::Moment,
    config::drill::{ActionDef, FaultDef, Mode, StepDef},
    control::{
        Change,
        hand::{ForceTo, Refusal, Wish, tell::failover_target},
        reload::Rehearsal,
    },
    health::{Fault, FaultKind},
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
/// Endpoints of canaries that are named one by one.
const NAMED_MAX: usize = 64;

/// Something that is on.
enum Held {
    Override { id: u64, is_drain: bool },
    Fault(Arc<Fault>),
    Files,
    State,
}

/// What a step came to when it began.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub overrides: Vec<u64>,
    pub keys: Vec<String>,
}

/// Everything that is on, by step.
pub(super) struct Effects {
    ground: Arc<Ground>,
    who: String,
    reason: String,
    /// Nothing lasts longer.
    until: Moment,
    mode: Mode,
    held: Vec<(usize, Held)>,
    /// Targets whose probes fail by us although they were up.
    faulted: HashSet<Arc<str>>,
    /// The active member of each failover before.
    active: HashMap<Arc<str>, u8>,
}

impl Effects {
    pub(super) fn new(
        ground: &Arc<Ground>,
        (drill, run, by): (&str, &str, &str),
        until: Moment,
        mode: Mode,
    ) -> Effects {
        let world = ground.viewer.world();
        Effects {
            ground: Arc::clone(ground),
            who: format!("{WHO}{drill}/{run} ({by})"),
            reason: format!("drill {drill}"),
            until,
            mode,
            held: Vec::new(),
            faulted: HashSet::new(),
            active: active(&world),
        }
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
        if !self.mode.is_real() {
            return Ok(begun);
        }
        let now = self.ground.clock.now();
        let lasts = step.lasts.as_ref().map_or(Duration::ZERO, |lasts| *lasts.get_ref());
        let until = now.after(lasts + GRACE).min(self.until);
        match *step.action.get_ref() {
            ActionDef::Force { up } => {
                let to = if up { ForceTo::Up } else { ForceTo::Down };
                for target in self.targets(step, planned)? {
                    let wish = Wish::Force { target, to: Some(to) };
                    begun.overrides.push(self.order(index, wish, until.since(now), is_enough)?);
                }
            }
            ActionDef::Drain { over } => {
                for target in self.targets(step, planned)? {
                    let wish = Wish::Drain { target, over };
                    begun.overrides.push(self.order(index, wish, until.since(now), is_enough)?);
                }
            }
            ActionDef::Fault(fault) => {
                let kind = match fault {
                    FaultDef::Refuse => FaultKind::Refuse,
                    FaultDef::Hang => FaultKind::Hang,
                    FaultDef::Slow(delay) => FaultKind::Slow(delay),
                    FaultDef::Flap => FaultKind::Flap,
                    FaultDef::Status(status) => FaultKind::Status(status),
                };
                let keys = planned.hit.keys.clone();
                if keys.is_empty() {
                    return Err("nothing there is probed by a target of its own".into());
                }
                begun.keys = keys.iter().map(ToString::to_string).collect();
                self.inject(index, drill, keys, kind, until);
            }
            ActionDef::Isolate => {
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
                    Some(Ok(_)) => {}
                    Some(Err(refusal)) => return Err(refusal.to_string()),
                    None => return Err("control does not answer".into()),
                }
            }
        }
        Ok(begun)
    }

    /// What a command is given: the target as written, or a canary's endpoints by name.
    fn targets(&self, step: &StepDef, planned: &PlannedStep) -> Result<Vec<String>, String> {
        let written = step.target.as_ref().map_or("", |target| target.get_ref());
        if self.mode != Mode::Canary {
            return Ok(vec![written.to_owned()]);
        }
        let world = self.ground.viewer.world();
        let name = |slot: &crate::ids::SlotId| {
            let slot = world.snapshot.slots.get(slot.index())?;
            Some(format!("endpoint:{}", slot.name))
        };
        let names: BTreeSet<String> = planned.hit.slots.iter().filter_map(name).collect();
        if names.len() > NAMED_MAX {
            return Err(format!(
                "canaries have {} endpoints there; {NAMED_MAX} are the most",
                names.len()
            ));
        }
        Ok(names.into_iter().collect())
    }

    fn order(
        &mut self,
        index: usize,
        wish: Wish,
        lasts: Duration,
        is_enough: &dyn Fn() -> bool,
    ) -> Result<u64, String> {
        let is_drain = matches!(wish, Wish::Drain { .. });
        let mut command = self.ground.command(wish, &self.who, &self.reason);
        command.lasts = Some(lasts);
        match self.ground.told(command, WITHIN, is_enough) {
            Some(Ok(done)) => match done.planned.made {
                Some(id) => {
                    self.held.push((index, Held::Override { id, is_drain }));
                    Ok(id)
                }
                None => Err("a safety rule wants a second person".into()),
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
        let change = Change::Rehearse { what: Some(what), cause, reply: Some(reply) };
        // When control is gone the reply says so.
        let _ = self.ground.changes.send(change);
        /// A load of a million names takes seconds.
        const LOADED: Duration = Duration::from_secs(30);
        match self.ground.wait(loaded, LOADED, is_enough) {
            Some(_) => Ok(()),
            None => Err("files were not loaded in time".into()),
        }
    }

    /// When the first probe failed by `step`, if one did.
    pub(super) fn first_failed(&self, step: usize) -> Option<Moment> {
        let faults = self.held.iter().filter(|(index, _)| *index == step);
        let failed = faults.filter_map(|(_, held)| match held {
            Held::Fault(fault) => fault.first_failed(),
            _ => None,
        });
        failed.min()
    }

    /// Takes back what `step` did.
    pub(super) fn end(&mut self, step: usize) {
        let (own, rest) =
            std::mem::take(&mut self.held).into_iter().partition(|(index, _)| *index == step);
        self.held = rest;
        self.take_back(own);
    }

    /// Takes back everything.
    pub(super) fn take_back_all(&mut self) {
        let all = std::mem::take(&mut self.held);
        self.take_back(all);
    }

    /// Faults first: nobody has to be asked for those.
    fn take_back(&self, held: Vec<(usize, Held)>) {
        let mut asked = Vec::new();
        let mut is_files = false;
        for (_, held) in held {
            match held {
                Held::Fault(fault) => self.ground.checker.clear(&fault),
                Held::State => self.ground.keeper.lose(None),
                Held::Files => is_files = true,
                Held::Override { id, is_drain } => {
                    let target = format!("id:{id}");
                    let wish = match is_drain {
                        true => Wish::Undrain { target },
                        false => Wish::Force { target, to: None },
                    };
                    let command = self.ground.command(wish, &self.who, &self.reason);
                    asked.push(self.ground.tell(command));
                }
            }
        }
        if is_files {
            let cause = Arc::from(format!("end of {}", self.reason));
            // Fails only while the server stops.
            let _ = self.ground.changes.send(Change::Rehearse { what: None, cause, reply: None });
        }
        for reply in asked {
            // One that has ended by itself is refused, which is as well.
            let _ = self.ground.wait(reply, WITHIN, &|| false);
        }
    }

    /// Forgets that anything ever failed by us: targets that were up are judged anew.
    pub(super) fn pardon(&self) {
        self.ground.checker.pardon(&self.faulted);
    }

    /// Lets failovers go back that moved meanwhile; what was asked for.
    pub(super) fn fail_back(&self) -> Vec<String> {
        let world = self.ground.viewer.world();
        let mut asked = Vec::new();
        for (name, was) in active(&world) {
            if self.active.get(&name).is_none_or(|before| *before == was) {
                continue;
            }
            // As a command takes it, not as a shell does.
            let target = failover_target(&name, &world.snapshot).replace('\'', "");
            if self.fail_back_one(&target).is_ok() {
                asked.push(format!("failback {target}"));
            }
        }
        asked
    }

    /// Lets one failover go back.
    pub(super) fn fail_back_one(&self, target: &str) -> Result<(), Refusal> {
        let wish = Wish::Failback { target: target.to_owned() };
        let command = self.ground.command(wish, &self.who, &self.reason);
        match self.ground.told(command, WITHIN, &|| false) {
            Some(done) => done.map(drop),
            None => Err(Refusal::NotYet),
        }
    }
}

impl Drop for Effects {
    fn drop(&mut self) {
        self.take_back_all();
    }
}

/// The active member of each failover, by name.
fn active(world: &World) -> HashMap<Arc<str>, u8> {
    let courses = world.snapshot.failovers.iter().zip(&world.state.courses);
    courses.map(|(failover, course)| (Arc::clone(&failover.name), course.active)).collect()
}
