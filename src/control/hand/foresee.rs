//! What would come of a change: the standpoint it leads to, who would wait then, which safety
//! rules it would break now and whenever something that was put off begins or ends.
//!
//! An [`Outlook`] is everything that follows from, at one moment. It is a copy, so that whoever
//! looks far ahead (other files, a region lost) does it away from the thread that publishes.

use super::{
    Hand, Now, Override, Refusal,
    apply::Told,
    command::Planned,
    effect::{Effect, WeightChange},
    safety::{self, Violation},
    tell, weights, words,
};
use crate::{
    clock::Moment,
    control::{
        latches::{Around, Latches},
        publish::Control,
    },
    failover::{self, Pending, Wait, breaker},
    forecast::{Clients, Pair, Standpoint},
    ids::{FailoverId, SlotId},
    policy::Course,
    snapshot::{FailoverDefinition, SlotAddress, Snapshot},
    steering::Steering,
    verdict::{Sight, Standing, Verdict},
    world::{State, World},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Moments ahead at which a change is judged. Each costs what a dry run does, some milliseconds
/// over 100,000 endpoints, and is judged once more when it comes.
const AHEAD_MAX: usize = 64;
/// Overrides ahead that are looked through for what hides a new one.
const HIDING_MAX: usize = 16;

/// Everything that a look ahead starts from, at one moment.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// What is answered.
    pub world: Arc<World>,
    /// When it was looked.
    pub now: Now,
    /// How much may fall at once.
    pub guarded: breaker::Settings,
    /// Whether nothing of what probes say takes effect.
    pub pinned: bool,
    /// The files as compiled, with their own weights.
    files: Arc<Snapshot>,
    hand: Hand,
    /// What the hand decides now.
    effect: Effect,
    is_pinned_by_file: bool,
    latches: Latches,
    /// The targets that are gates of failovers, and stand open.
    open_gates: HashSet<Arc<str>>,
}

/// What a change would lead to.
pub(in crate::control) struct Supposed {
    /// What answers would follow from, once ramps are over.
    pub after: Standpoint,
    /// Failovers that would begin to wait, and for what.
    pub asking: Vec<Asking>,
}

/// A failover that would wait.
pub(in crate::control) struct Asking {
    id: FailoverId,
    active: u8,
    wait: Wait,
}

/// What failovers would do.
struct Foreseen {
    courses: Vec<Course>,
    pending: Vec<(FailoverId, u8, Pending)>,
}

impl Control {
    /// Everything that a look ahead starts from.
    pub fn outlook(&self) -> Outlook {
        let open = self.gated.keys().filter(|key| self.is_up(key));
        Outlook {
            world: self.world(),
            now: Now { at: self.clock.now(), wall: self.clock.wall() },
            guarded: self.guarded,
            pinned: self.pinned,
            files: Arc::clone(&self.operator.files),
            hand: self.operator.hand.clone(),
            effect: self.operator.effect.clone(),
            is_pinned_by_file: self.operator.is_pinned_by_file(),
            latches: self.latches.clone(),
            open_gates: open.map(Arc::clone).collect(),
        }
    }
}

impl Outlook {
    /// What operators told the server.
    pub fn hand(&self) -> &Hand {
        &self.hand
    }

    /// The files as compiled, with their own weights.
    pub fn files(&self) -> &Arc<Snapshot> {
        &self.files
    }

    /// What operators made other weights than in the files.
    pub fn weights(&self) -> &[WeightChange] {
        &self.effect.weights
    }

    /// What answers follow from now, ramps taken to be over.
    pub fn standpoint(&self) -> Standpoint {
        Standpoint::from(&*self.world)
    }

    /// The outlook if `files` were in force: verdicts, overrides and failovers are carried over
    /// by name, as a reload would.
    #[must_use]
    pub fn under(&self, files: Arc<Snapshot>) -> Outlook {
        let effect = self.hand.effect(&files, self.now.at);
        let snapshot = weights::patched(&files, &effect.weights);
        let mut state = self.carried_over(&snapshot, &effect);
        let (latches, _) = self.latches.carried_over(&self.world.snapshot, &snapshot, &|_| None);
        let world = |snapshot: &Arc<Snapshot>, state: State| World {
            snapshot: Arc::clone(snapshot),
            state: Arc::new(state),
            revision: self.world.revision,
            swap: self.world.swap,
            warming: self.world.warming,
            steering: Steering::default(),
        };
        let mut outlook = Outlook {
            world: Arc::new(world(&snapshot, State::default())),
            files,
            effect,
            latches,
            ..self.clone()
        };
        if !self.world.warming {
            state.courses = outlook.stepped(&snapshot, &state);
        }
        outlook.world = Arc::new(world(&snapshot, state));
        outlook
    }

    /// The state of today's slots for `snapshot`, which stand as before where they were there.
    fn carried_over(&self, snapshot: &Snapshot, effect: &Effect) -> State {
        let old = &self.world;
        let slots = || old.snapshot.slots.iter().enumerate();
        let before: HashMap<(&str, &SlotAddress), usize> =
            slots().map(|(index, slot)| ((&*slot.name, &slot.address), index)).collect();
        let judged: HashMap<&str, Sight> = slots()
            .filter_map(|(index, slot)| {
                Some((slot.target.as_deref()?, old.state.verdicts.get(index)?.judged))
            })
            .collect();
        let found: HashMap<&str, _> = old
            .state
            .found
            .iter()
            .map(|(slot, found)| (&*old.snapshot.slots[slot.index()].name, found))
            .collect();
        let mut state = State { now: old.state.now, ..State::default() };
        for (index, slot) in snapshot.slots.iter().enumerate() {
            let known = before.get(&(&*slot.name, &slot.address));
            let judged = match &slot.target {
                None => Sight { standing: Standing::Up, failing: false },
                Some(target) => judged.get(&**target).copied().unwrap_or_default(),
            };
            let sight = effect.slot(SlotId::at(index)).map_or(judged, |hand| hand.over(judged));
            let verdict = known.and_then(|&known| old.state.verdicts.get(known)).cloned();
            let verdict = verdict.unwrap_or_else(|| Verdict {
                sight,
                judged,
                reason: "not probed yet".into(),
                since: self.now.at,
                since_wall: self.now.wall,
            });
            let fell = known.and_then(|&known| old.state.fell.get(known)).copied();
            state.push(Verdict { sight, judged, ..verdict }, fell.unwrap_or(0));
            let kept = found.get(&*slot.name).map(|found| (SlotId::at(index), Arc::clone(found)));
            state.found.extend(kept);
        }
        state
    }

    /// What failovers do once machines have seen `state`, ramps over.
    fn stepped(&self, snapshot: &Snapshot, state: &State) -> Vec<Course> {
        let told = self.told(&self.effect);
        let order = |definition: &FailoverDefinition| told.of(definition);
        let is_up = |key: &str| self.is_up(key);
        let around = Around { moved: state.moved(), is_up: &is_up, order: &order };
        settled(self.latches.clone().step(snapshot, &around, None, self.now.at).courses)
    }

    /// Whether the target with this key is up, as far as that is known.
    fn is_up(&self, key: &str) -> bool {
        let judged = || {
            let slots = self.world.snapshot.slots.iter().zip(self.world.state.verdicts.iter());
            let mut of = slots.filter(|(slot, _)| slot.target.as_deref() == Some(key));
            of.next().map(|(_, verdict)| verdict.judged.standing)
        };
        self.open_gates.contains(key)
            || judged().is_some_and(|it| it != Standing::Unknown && it.is_up())
    }

    fn told(&self, effect: &Effect) -> Told {
        Told::by(effect, &self.files, self.is_pinned_by_file)
    }

    /// What answers would follow from if the hand decided `effect` and these `orders` were
    /// given: machines react, and every ramp is taken to be over.
    ///
    /// # Errors
    /// When no machine obeys.
    pub(in crate::control) fn supposed(
        &self,
        now: &Standpoint,
        effect: &Effect,
        orders: &[(FailoverId, failover::Command)],
    ) -> Result<Supposed, Refusal> {
        let mut state = (*now.state).clone();
        let before = &self.effect;
        for &slot in before.slots.keys().chain(effect.slots.keys()) {
            let Some(verdict) = state.verdicts.get_mut(slot.index()) else { continue };
            let sight = effect.slot(slot).map_or(verdict.judged, |hand| hand.over(verdict.judged));
            verdict.sight = sight;
            state.standings.0[slot.index()] = sight;
            state.ramps.retain(|ramp| ramp.slot != slot);
        }
        let snapshot = match before.weights == effect.weights {
            true => Arc::clone(&now.snapshot),
            false => weights::patched(&self.files, &effect.weights),
        };
        let mut asking = Vec::new();
        if !self.world.warming {
            let foreseen = self.foreseen(&snapshot, &state, effect, orders)?;
            let waits = |pending: &(FailoverId, u8, Pending)| (pending.0, pending.2.wait);
            let before: Vec<_> = self.latches.pending(&now.snapshot).map(|p| waits(&p)).collect();
            let new = foreseen.pending.iter().filter(|pending| !before.contains(&waits(pending)));
            asking.extend(new.map(|&(id, active, Pending { wait, .. })| Asking {
                id,
                active,
                wait,
            }));
            state.courses = foreseen.courses;
        }
        Ok(Supposed { after: Standpoint { snapshot, state: Arc::new(state) }, asking })
    }

    /// What failovers would do, once ramps are over.
    fn foreseen(
        &self,
        snapshot: &Snapshot,
        state: &State,
        effect: &Effect,
        orders: &[(FailoverId, failover::Command)],
    ) -> Result<Foreseen, Refusal> {
        let mut latches = self.latches.clone();
        let told = self.told(effect);
        let order = |definition: &FailoverDefinition| told.of(definition);
        let is_up = |key: &str| self.is_up(key);
        let around = Around { moved: state.moved(), is_up: &is_up, order: &order };
        let now = self.now.at;
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
            if before_has(&self.effect, effect) {
                let pending = latches.pending(snapshot).collect();
                return Ok(Foreseen { courses: settled(courses), pending });
            }
            return Err(Refusal::NothingWaits(format!("{name}: {why}")));
        }
        if !orders.is_empty() {
            courses = latches.step(snapshot, &around, None, now).courses;
        }
        let pending = latches.pending(snapshot).collect();
        Ok(Foreseen { courses: settled(courses), pending })
    }

    /// The safety rules that `planned` would break: two persons, time between changes, and what
    /// its records answer from, when it begins and whenever anything begins or ends after that.
    ///
    /// # Errors
    /// When clients were counted for other files.
    pub(super) fn broken(
        &self,
        planned: &Planned,
        (before, after): (&Standpoint, &Standpoint),
        clients: &Clients,
    ) -> Result<Vec<Violation>, Refusal> {
        let now = self.now;
        let mut broke = safety::alone(planned, &self.files);
        if planned.only_takes_back() {
            return Ok(broke);
        }
        broke.extend(safety::waits(&self.hand, planned, &after.snapshot, now));
        let Some(made) = planned.subject() else {
            broke.extend(safety::violations(
                before,
                after,
                &Pair::same(&planned.records),
                clients,
            )?);
            return Ok(broke);
        };
        let begins = made.begins.max(now.at);
        let is_later = begins > now.at;
        if is_later {
            broke.extend(self.broken_at(planned, made, begins, clients)?);
        } else {
            broke.extend(safety::violations(
                before,
                after,
                &Pair::same(&planned.records),
                clients,
            )?);
        }
        if self.files.safety.is_empty() {
            return Ok(broke);
        }
        let ahead = planned.would.changes_after(begins).into_iter();
        let ahead = ahead.take_while(|at| made.until.is_none_or(|until| *at < until));
        for at in ahead.take(AHEAD_MAX) {
            // The first moment at which it goes wrong says enough.
            if !broke.is_empty() {
                break;
            }
            broke.extend(self.broken_at(planned, made, at, clients)?);
        }
        Ok(broke)
    }

    /// What `made` would break at the moment `at`, against the same hand without it.
    fn broken_at(
        &self,
        planned: &Planned,
        made: &Override,
        at: Moment,
        clients: &Clients,
    ) -> Result<Vec<Violation>, Refusal> {
        let files = &self.files;
        let (with, without) = (planned.would.by(at), planned.would.without(made.id).by(at));
        let world = self.standpoint();
        let before = self.supposed(&world, &without.effect(files, at), &[])?.after;
        let after = self.supposed(&world, &with.effect(files, at), &[])?.after;
        let mut broke =
            safety::violations(&before, &after, &Pair::same(&planned.records), clients)?;
        let when = words::short(at.since(self.now.at));
        for violation in &mut broke {
            violation.message += &format!(" (in {when}, by what is put off until then)");
        }
        Ok(broke)
    }

    /// What a failover that would wait has to be told, for whoever makes it wait.
    pub(in crate::control) fn asks(&self, asking: &Asking) -> String {
        let definition = &self.files.failovers[asking.id.index()];
        let active = &definition.members[usize::from(asking.active)];
        let target = tell::failover_target(&definition.name, &self.files);
        let what = asking.wait.what();
        let then = match asking.wait {
            Wait::Approval => format!(": tradewind approve {target}"),
            Wait::Hold if self.pinned => ": tradewind unpin".to_owned(),
            Wait::Hold => format!(": tradewind unhold {target}"),
            Wait::Delay | Wait::Gate => String::new(),
        };
        format!("{} stays on `{active}` and {what}{then}", definition.name)
    }

    /// What will hide the override that `planned` makes, and when.
    pub(super) fn hidden_later(&self, planned: &Planned, begins: Moment) -> Vec<String> {
        let now = self.now;
        let Some(made) = planned.subject() else { return Vec::new() };
        let files = &self.files;
        let later = planned.would.overrides().iter().filter(|one| {
            one.starts_in(now.at).is_some()
                && one.id != made.id
                && one.begins >= begins
                && made.until.is_none_or(|until| one.begins < until)
        });
        let hides = later.take(HIDING_MAX).filter_map(|one| {
            let effect = planned.would.by(one.begins).effect(files, one.begins);
            effect.hiding(made.id).contains(&one.id).then(|| {
                let when = words::short(one.begins.since(now.at));
                format!("#{} {} hides it in {when}, when that begins", one.id, tell::what(one))
            })
        });
        hides.collect()
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

#[cfg(test)]
mod tests {
    use super::super::testkit::{Bench, SERVER, ZONE, compiled, snapshot};
    use crate::{forecast::shares::given, ids::Class};
    use std::sync::Arc;

    /// Whatever operators said, and wherever failovers stand.
    #[test]
    fn what_other_files_would_lead_to_is_what_they_lead_to() {
        let changed = ZONE
            .replace("weight = 90", "weight = 30")
            .replace("members = [\"stable\", \"dub\"]", "members = [\"dub\", \"stable\"]")
            .replace(
                "endpoints = [{ name = \"d1\", ipv4 = \"198.51.100.1\" }]",
                "endpoints = [{ name = \"d2\", ipv4 = \"198.51.100.2\" }, \
                 { name = \"d1\", ipv4 = \"198.51.100.1\" }]",
            );
        let changed = compiled(SERVER, &[&changed]);
        let told: [&[&str]; 4] = [
            &[],
            &["drain region:us", "force endpoint:x1 down"],
            &["failover record:g.example/app --to dub", "hold policy:pair"],
            &["weight record:g.example/www canary=40", "force pool:dub down", "drain endpoint:s1"],
        ];
        for told in told {
            let mut bench = Bench::over(&snapshot());
            for text in told {
                bench.tell(text).unwrap();
            }
            bench.pass(5);
            let would = bench.control.outlook().under(Arc::clone(&changed)).standpoint();
            bench.control.install(Arc::clone(&changed), 2);
            let is = crate::forecast::Standpoint::from(&*bench.control.world());
            assert_eq!(would.state.standings, is.state.standings, "{told:?}");
            let active = |at: &crate::forecast::Standpoint| {
                at.state.courses.iter().map(|course| course.active).collect::<Vec<_>>()
            };
            assert_eq!(active(&would), active(&is), "{told:?}");
            for (plan, same) in would.snapshot.plans.iter().zip(&is.snapshot.plans) {
                for class in (0..plan.tree.classes.classes()).map(Class::at) {
                    let spots = (given(plan, class, &would).spots, given(same, class, &is).spots);
                    assert_eq!(spots.0, spots.1, "{told:?}");
                }
            }
        }
    }
}
