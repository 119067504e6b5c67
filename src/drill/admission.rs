//! Whether a drill may begin, and what it would do. The same safety rules judge it as judge an
//! operator's commands, by the same dry run.

use super::{
    effects::{commanded, named},
    ground::{Ground, Hit, Spot, regions_up, slots_of},
};
use crate::{
    config::drill::{ActionDef, DrillDef, FaultDef, Mode, StepDef},
    control::hand::{Done, ForceTo, Refusal as HandRefusal, Wish, safety::Violation, words::count},
    forecast::{Pair, Preview, preview},
    world::World,
};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Control answers a dry run within milliseconds; when it does not it is not the time for a drill.
const WITHIN: Duration = Duration::from_secs(5);

/// Why a drill does not begin.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// There is none of that name.
    #[error("there is no drill `{name}`{}", meant.as_ref().map_or_else(String::new, |meant| format!("; did you mean `{meant}`?")))]
    Unknown {
        /// As typed.
        name: String,
        /// What it could be.
        meant: Option<String>,
    },
    /// Another one runs.
    #[error("drill `{0}` runs already: there is one at a time")]
    Busy(String),
    /// Nobody typed its name.
    #[error("drill `{0}` wants to be acknowledged: type its name")]
    NotAcknowledged(String),
    /// It is not the time.
    #[error("{0}")]
    Window(String),
    /// Something is wrong already.
    #[error("something is degraded already: {}", .0.join("; "))]
    Degraded(Vec<String>),
    /// A safety rule forbids it.
    #[error("refused by a safety rule: {0}")]
    Unsafe(String),
    /// Too few regions would be left.
    #[error("{left} would stay up, and at least {min} are asked for (`min_regions`)", left = count(*.left, "region"))]
    TooFew {
        /// How many would be left.
        left: usize,
        /// How many are to be.
        min: u32,
    },
    /// Something it is about is not there, or cannot be done.
    #[error("step `{step}`: {why}")]
    Step {
        /// Which.
        step: String,
        /// Why.
        why: String,
    },
    /// Anything else.
    #[error("{0}")]
    Cannot(String),
}

impl Refusal {
    /// How to get out of it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Refusal::Unknown { .. } => Some("`tradewind drill list` has them all"),
            Refusal::Busy(_) => Some("`tradewind drill watch` shows it, `drill abort` ends it"),
            Refusal::NotAcknowledged(_) => Some("in scripts: --yes"),
            Refusal::Window(_) => Some("`windows` in its file says when it may run (UTC)"),
            Refusal::Degraded(_) => Some("wait until it is mended, or --even-if-degraded"),
            Refusal::Unsafe(_) => Some("a drill never goes over a safety rule"),
            Refusal::TooFew { .. } => Some("hit less, or lower `min_regions` if that is the point"),
            Refusal::Step { .. } | Refusal::Cannot(_) => None,
        }
    }
}

/// What a drill would do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// It.
    pub def: Arc<DrillDef>,
    /// Its steps.
    pub steps: Vec<PlannedStep>,
    /// Regions that would stay up while all its steps are on.
    pub regions_left: usize,
    /// Why it would not begin now.
    pub refusals: Vec<Refusal>,
    /// What keeps it from nothing, and may change what it finds.
    pub warnings: Vec<String>,
}

/// What a step would do.
#[derive(Clone, Debug)]
pub struct PlannedStep {
    /// Its place in the file.
    pub index: usize,
    /// In words.
    pub said: String,
    /// How many endpoints, by address, it is about.
    pub endpoints: usize,
    /// How many targets' probes it lets fail.
    pub targets: usize,
    /// Who would move if what it hits went down.
    pub preview: Option<Preview>,
    /// How long until it counts as down, where probes find out.
    pub detect: Option<Duration>,
    /// The longest that resolvers keep old answers.
    pub ttl_s: u32,
    /// What it would come to: for would-be answers.
    pub(super) done: Option<Arc<Done>>,
    pub(super) hit: Hit,
}

impl PlannedStep {
    /// Whether clients may be moved by it.
    pub(super) fn disrupts(&self) -> bool {
        !self.hit.spots.is_empty() || !self.hit.keys.is_empty()
    }
}

impl Ground {
    /// What `def` would do now, and why it would not begin.
    pub(super) fn plan(&self, def: &Arc<DrillDef>) -> Plan {
        let world = self.viewer.world();
        let mut refusals = Vec::new();
        let mut steps = Vec::new();
        let mut lost: HashSet<Spot> = HashSet::new();
        for (index, step) in def.steps.iter().enumerate() {
            match self.planned(def, index, step, &world) {
                Ok(planned) => {
                    if takes_down(step) {
                        lost.extend(planned.hit.spots.iter().cloned());
                    }
                    steps.push(planned);
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        refusals.extend(self.together(&steps, def));
        let left = regions_up(&world, &slots_of(&world.snapshot, &lost));
        if left < def.min_regions as usize && !lost.is_empty() {
            refusals.push(Refusal::TooFew { left, min: def.min_regions });
        }
        refusals.extend(window(def, self.clock.wall()));
        let degraded = self.degraded();
        if !degraded.is_empty() {
            refusals.push(Refusal::Degraded(degraded));
        }
        let falling = steps.iter().filter(|step| takes_down(&def.steps[step.index]));
        let falling = falling.flat_map(|step| step.hit.keys.iter().cloned()).collect();
        let warnings = self.warnings(&falling);
        Plan { def: Arc::clone(def), steps, regions_left: left, refusals, warnings }
    }

    /// Why all that steps take down may not be down together: what one of them hit may be on its
    /// way back still when the next one begins, and no rule judges what probes find out.
    fn together(&self, steps: &[PlannedStep], def: &DrillDef) -> Option<Refusal> {
        let down = steps.iter().filter(|step| takes_down(&def.steps[step.index]));
        let hits: Vec<&HashSet<Spot>> = down.map(|step| &step.hit.spots).collect();
        let all: HashSet<&Spot> = hits.iter().copied().flatten().collect();
        // The largest of them alone was judged with its step.
        if all.is_empty() || hits.iter().any(|hit| hit.len() == all.len()) {
            return None;
        }
        let wrong = |why: String| Refusal::Cannot(format!("its steps together: {why}"));
        let target = match named(all) {
            Ok(target) => target,
            Err(why) => return Some(wrong(why)),
        };
        let refused =
            self.rehearsed(Wish::Force { target, to: Some(ForceTo::Down) }, &wrong).err()?;
        Some(match refused {
            Refusal::Unsafe(why) => Refusal::Unsafe(format!("its steps together: {why}")),
            other => other,
        })
    }

    fn planned(
        &self,
        def: &DrillDef,
        index: usize,
        step: &StepDef,
        world: &World,
    ) -> Result<PlannedStep, Refusal> {
        let wrong = |why: String| Refusal::Step { step: step.id.get_ref().clone(), why };
        let canaries = (*def.mode.get_ref() == Mode::Canary).then_some(def);
        let target = step.target.as_ref().map(|target| target.get_ref().as_str());
        let mut planned = PlannedStep {
            index,
            said: words(step),
            endpoints: 0,
            targets: 0,
            preview: None,
            detect: None,
            ttl_s: 0,
            done: None,
            hit: Hit::default(),
        };
        let action = *step.action.get_ref();
        if canaries.is_some() && !is_of_endpoints(action) {
            return Err(wrong(format!("{} is felt by all, not by canaries alone", action.word())));
        }
        if action == ActionDef::ConfirmFalls {
            self.rehearsed(Wish::ConfirmFalls, &wrong)?;
        }
        if action == ActionDef::StaleGeo && self.locations.load().is_embedded() {
            let why = "clients are located by the embedded table already: put a .mmdb into geoip/";
            return Err(wrong(why.into()));
        }
        let Some(target) = target.filter(|_| is_of_endpoints(action)) else { return Ok(planned) };
        let hit = self.hit(world, target, canaries).map_err(wrong)?;
        if matches!(action, ActionDef::Fault(_)) && hit.keys.is_empty() {
            let why = "nothing there is probed by a target of its own";
            return Err(wrong(why.into()));
        }
        planned.endpoints = hit.spots.len();
        planned.targets = hit.keys.len();
        planned.detect = self.detection(action, &hit);
        planned.hit = hit;
        if planned.hit.spots.is_empty() {
            return Ok(planned);
        }
        let wish = |target: String| match action {
            ActionDef::Drain { .. } => Wish::Drain { target, over: None },
            ActionDef::Force { up: true } => Wish::Force { target, to: Some(ForceTo::Up) },
            // What its probes find out, or what it says itself: judged as if it went down.
            _ => Wish::Force { target, to: Some(ForceTo::Down) },
        };
        let clients = self.clients();
        // The very command that will be given.
        let target = commanded(*def.mode.get_ref(), step, &planned.hit).map_err(wrong)?;
        let done = self.rehearsed(wish(target), &wrong)?;
        planned.ttl_s = done.ttl.as_secs();
        planned.preview =
            preview(&done.before, &done.after, &Pair::same(&done.planned.records), &clients);
        planned.done = Some(Arc::from(done));
        Ok(planned)
    }

    /// What would come of `wish`.
    fn rehearsed(
        &self,
        wish: Wish,
        wrong: &dyn Fn(String) -> Refusal,
    ) -> Result<Box<Done>, Refusal> {
        let mut command = self.command(wish, "drill", "only to see what would come of it");
        command.dry_run = true;
        let told = self.told(command, WITHIN, &|| false);
        let done = told.ok_or_else(|| Refusal::Cannot("control does not answer".into()))?;
        let done = done.map_err(|refusal| match refusal {
            HandRefusal::Unsafe(violations) => Refusal::Unsafe(listed(&violations)),
            other => wrong(other.to_string()),
        })?;
        match done.planned.proposed {
            Some(_) => {
                let why = "a rule wants two persons for what this step does";
                Err(Refusal::Unsafe(why.into()))
            }
            None => Ok(done),
        }
    }

    /// How long until probes have found it out, by their checks: the slowest of them.
    fn detection(&self, action: ActionDef, hit: &Hit) -> Option<Duration> {
        let checks = hit.keys.iter().filter_map(|key| self.checker.check(key));
        let each = |timeout: Duration| match action {
            ActionDef::Fault(FaultDef::Refuse | FaultDef::Status(_)) => Some(Duration::ZERO),
            ActionDef::Fault(FaultDef::Hang) => Some(timeout),
            ActionDef::Fault(FaultDef::Slow(delay)) if delay >= timeout => Some(timeout),
            _ => None,
        };
        match action {
            ActionDef::Force { .. } | ActionDef::Drain { .. } => Some(Duration::ZERO),
            _ => checks.filter_map(|check| Some(check.detection(each(check.timeout)?))).max(),
        }
    }
}

/// Whether a step is about endpoints.
fn is_of_endpoints(action: ActionDef) -> bool {
    matches!(action, ActionDef::Force { .. } | ActionDef::Drain { .. } | ActionDef::Fault(_))
}

/// Whether what a step hits goes down.
fn takes_down(step: &StepDef) -> bool {
    match step.action.get_ref() {
        ActionDef::Force { up } => !up,
        ActionDef::Drain { .. } => true,
        ActionDef::Fault(fault) => !matches!(fault, FaultDef::Flap | FaultDef::Slow(_)),
        _ => false,
    }
}

fn listed(violations: &[Violation]) -> String {
    let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
    violations.join("; ")
}

/// Why `def` may not run at this time of day.
fn window(def: &DrillDef, now: SystemTime) -> Option<Refusal> {
    if def.deny.iter().any(|days| days.get_ref().has(now)) {
        let why = format!("drill `{}` may not run today (`windows.deny`)", def.name);
        return Some(Refusal::Window(why));
    }
    let is_in = def.windows.iter().any(|window| window.get_ref().has(now));
    (!def.windows.is_empty() && !is_in).then(|| {
        let why = format!("drill `{}` may not run at this time (`windows.allow`)", def.name);
        Refusal::Window(why)
    })
}

/// What a step does, in words.
pub(super) fn words(step: &StepDef) -> String {
    let target = step.target.as_ref().map_or("", |target| target.get_ref());
    match step.action.get_ref() {
        ActionDef::Force { up: true } => format!("{target} is forced up"),
        ActionDef::Force { up: false } => format!("{target} is forced down"),
        ActionDef::Drain { over: None } => format!("{target} is drained"),
        ActionDef::Drain { over: Some(over) } => format!("{target} is drained over {over:?}"),
        ActionDef::Fault(FaultDef::Refuse) => format!("probes of {target} are refused"),
        ActionDef::Fault(FaultDef::Hang) => format!("probes of {target} hang"),
        ActionDef::Fault(FaultDef::Slow(delay)) => {
            format!("probes of {target} take {delay:?} more")
        }
        ActionDef::Fault(FaultDef::Flap) => format!("every other probe of {target} is refused"),
        ActionDef::Fault(FaultDef::Status(status)) => {
            format!("probes of {target} are answered {status}")
        }
        ActionDef::Isolate => "this checker is cut off: every probe hangs".into(),
        ActionDef::BadConfig => format!("files are loaded in which {target} does not compile"),
        ActionDef::StaleGeo => "clients are located by the embedded table alone".into(),
        ActionDef::BadGeo => "a damaged location database is loaded".into(),
        ActionDef::LoseState => "the state database cannot be written".into(),
        ActionDef::ConfirmFalls => "falls that the breaker holds are let through".into(),
    }
}
