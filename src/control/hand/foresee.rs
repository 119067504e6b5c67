//! What would come of a change: the standpoint it leads to, who would wait then, which safety
//! rules it would break now and whenever something that was put off begins or ends.

use super::{
    Now, Override, Refusal,
    command::Planned,
    effect::Effect,
    safety::{self, Violation},
    tell, weights, words,
};
use crate::{
    clock::Moment,
    control::{latches::Around, publish::Control},
    failover::{self, Pending, Wait},
    forecast::{Clients, Pair, Standpoint},
    ids::FailoverId,
    policy::Course,
    snapshot::{FailoverDefinition, Snapshot},
    world::State,
};
use std::sync::Arc;

/// Moments ahead at which a change is judged. Each costs what a dry run does, some milliseconds
/// over 100,000 endpoints, and is judged once more when it comes.
const AHEAD_MAX: usize = 64;
/// Overrides ahead that are looked through for what hides a new one.
const HIDING_MAX: usize = 16;

/// What a change would lead to.
pub(super) struct Supposed {
    /// What answers would follow from, once ramps are over.
    pub after: Standpoint,
    /// Failovers that would begin to wait, and for what.
    pub asking: Vec<Asking>,
}

/// A failover that would wait.
pub(super) struct Asking {
    id: FailoverId,
    active: u8,
    wait: Wait,
}

/// What failovers would do.
pub(super) struct Foreseen {
    pub courses: Vec<Course>,
    pending: Vec<(FailoverId, u8, Pending)>,
}

impl Control {
    /// What answers would follow from if the hand decided `effect` and these `orders` were
    /// given: machines react, and every ramp is taken to be over.
    ///
    /// # Errors
    /// When no machine obeys.
    pub(super) fn supposed(
        &self,
        now: &Standpoint,
        effect: &Effect,
        orders: &[(FailoverId, failover::Command)],
    ) -> Result<Supposed, Refusal> {
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
        let mut asking = Vec::new();
        if !self.warming {
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
    pub(super) fn foreseen(
        &self,
        snapshot: &Snapshot,
        state: &State,
        effect: &Effect,
        orders: &[(FailoverId, failover::Command)],
    ) -> Result<Foreseen, Refusal> {
        let mut latches = self.latches.clone();
        let told = self.operator.told(effect);
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
        now: Now,
    ) -> Result<Vec<Violation>, Refusal> {
        let mut broke = safety::alone(planned, &self.operator.files);
        if planned.only_takes_back() {
            return Ok(broke);
        }
        broke.extend(safety::waits(&self.operator.hand, planned, &after.snapshot, now));
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
            broke.extend(self.broken_at(planned, made, begins, clients, now)?);
        } else {
            broke.extend(safety::violations(
                before,
                after,
                &Pair::same(&planned.records),
                clients,
            )?);
        }
        if self.operator.files.safety.is_empty() {
            return Ok(broke);
        }
        let ahead = planned.would.changes_after(begins).into_iter();
        let ahead = ahead.take_while(|at| made.until.is_none_or(|until| *at < until));
        for at in ahead.take(AHEAD_MAX) {
            // The first moment at which it goes wrong says enough.
            if !broke.is_empty() {
                break;
            }
            broke.extend(self.broken_at(planned, made, at, clients, now)?);
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
        now: Now,
    ) -> Result<Vec<Violation>, Refusal> {
        let files = &self.operator.files;
        let (with, without) = (planned.would.by(at), planned.would.without(made.id).by(at));
        let world = Standpoint::from(&*self.world());
        let before = self.supposed(&world, &without.effect(files, at), &[])?.after;
        let after = self.supposed(&world, &with.effect(files, at), &[])?.after;
        let mut broke =
            safety::violations(&before, &after, &Pair::same(&planned.records), clients)?;
        let when = words::short(at.since(now.at));
        for violation in &mut broke {
            violation.message += &format!(" (in {when}, by what is put off until then)");
        }
        Ok(broke)
    }

    /// What a failover that would wait has to be told, for whoever makes it wait.
    pub(super) fn asks(&self, asking: &Asking) -> String {
        let definition = &self.operator.files.failovers[asking.id.index()];
        let active = &definition.members[usize::from(asking.active)];
        let target = tell::failover_target(&definition.name, &self.operator.files);
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
    pub(super) fn hidden_later(&self, planned: &Planned, begins: Moment, now: Now) -> Vec<String> {
        let Some(made) = planned.subject() else { return Vec::new() };
        let files = &self.operator.files;
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
