//! What would come of things that have not happened: a region lost, a drain, other weights, other
//! latencies, several at once. State machines are stepped and overrides merged as the running
//! server would; nothing is published.

use super::{
    hand::{Command, Refusal, Target, TargetError, Wish, foresee::Outlook},
    plan::{Ask, Outcome, PlanError, Planner, outcome},
};
use crate::{
    failover::breaker::GROUPS_MIN,
    forecast::Standpoint,
    ids::SlotId,
    snapshot::Snapshot,
    units::TenthMs,
    verdict::{Sight, Standing},
    world::State,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

/// That what probes say of something is supposed to be this: `region:us-east-1=down`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supposition {
    /// What: a region, pool, endpoint or check.
    pub target: Target,
    /// How it stands.
    pub standing: Standing,
}

/// Why something cannot be supposed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuppositionError {
    /// It is not written as one.
    #[error(
        "`{0}` is not a supposition: write endpoint:NAME=down, pool:NAME=down, region:NAME=down or \
         check:NAME=down (or =up, =degraded, =drained)"
    )]
    Malformed(Box<str>),
    /// It names nothing.
    #[error("`{0}` matches nothing; `tradewind status` lists endpoints, pools and regions")]
    NoMatch(Box<str>),
}

impl FromStr for Supposition {
    type Err = SuppositionError;

    fn from_str(text: &str) -> Result<Self, SuppositionError> {
        let read = || {
            let (target, standing) = text.rsplit_once('=')?;
            let target: Target = target.parse().ok()?;
            let mut standings =
                [Standing::Up, Standing::Degraded, Standing::Down, Standing::Drained].into_iter();
            let standing = standings.find(|known| known.word() == standing)?;
            target.has_slots().then_some(Supposition { target, standing })
        };
        read().ok_or_else(|| SuppositionError::Malformed(text.into()))
    }
}

impl fmt::Display for Supposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.target, self.standing.word())
    }
}

impl Supposition {
    /// The slots it is about.
    ///
    /// # Errors
    /// When there are none.
    pub fn slots(&self, snapshot: &Snapshot) -> Result<Vec<SlotId>, SuppositionError> {
        let slots = self.target.slots(snapshot);
        match slots.is_empty() {
            true => Err(SuppositionError::NoMatch(self.to_string().into())),
            false => Ok(slots),
        }
    }
}

/// Lets probes say `standing` of `slot` in a World numbered `swap`.
pub fn stand(state: &mut State, slot: SlotId, standing: Standing, swap: u64) {
    let Some(sight) = state.standings.0.get_mut(slot.index()) else { return };
    let was_up = sight.standing.is_up();
    *sight = Sight { standing, failing: standing == Standing::Down };
    if let Some(verdict) = state.verdicts.get_mut(slot.index()) {
        (verdict.sight, verdict.judged) = (*sight, *sight);
        verdict.reason = "supposed".into();
    }
    // The last resort answers what fell last, so a supposed fall counts as one.
    if was_up
        && !standing.is_up()
        && let Some(fell) = state.fell.get_mut(slot.index())
    {
        *fell = swap;
    }
}

/// What is supposed, all at once.
#[derive(Clone, Debug, Default)]
pub struct Suppositions {
    /// How things stand.
    pub stands: Vec<Supposition>,
    /// What operators would do, in this order.
    pub wishes: Vec<Wish>,
    /// Members of latency policies that are so much further, or nearer.
    pub biased: BTreeMap<String, TenthMs>,
}

/// What would come of it.
#[derive(Debug)]
pub struct Simulated {
    /// Who would move, and what it would break.
    pub outcome: Outcome,
    /// Failovers that would wait, and for what, in words.
    pub waiting: Vec<String>,
    /// What the breaker would do, if anything is supposed to be down.
    pub breaker: Option<BreakerView>,
    /// How long it takes at most until a failure is noticed: by the slowest check.
    pub detection: Option<Duration>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// How a failure looks to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerView {
    /// Regions (or pools, where none is set) that would lose their last endpoint.
    pub lost: usize,
    /// Of how many.
    pub groups: usize,
    /// Whether that is so much that falls would be held.
    pub holds: bool,
    /// For how long.
    pub hold: Duration,
}

/// What would come of `supposed`.
///
/// # Errors
/// When something of it names nothing, or cannot be.
pub fn simulate(
    planner: &Planner,
    supposed: &Suppositions,
    ask: &Ask<'_>,
) -> Result<Simulated, PlanError> {
    let now = ask.outlook;
    let before = now.standpoint();
    let mut ground = now.clone();
    if !supposed.biased.is_empty() {
        check_biased(&supposed.biased, &before.snapshot)?;
        ground = now.under(planner.biased(&supposed.biased, ask)?);
    }
    let mut hand = ground.hand().clone();
    let mut orders = Vec::new();
    for wish in &supposed.wishes {
        let command = command(wish.clone());
        let planned = hand.planned(&command, ground.files(), now.now).map_err(PlanError::from)?;
        orders.extend(planned.orders.clone());
        hand = planned.would;
    }
    let effect = hand.by(now.now.at).effect(ground.files(), now.now.at);
    let mut failed = ground.standpoint();
    let mut state = (*failed.state).clone();
    for supposition in &supposed.stands {
        let slots = supposition.slots(&failed.snapshot).map_err(|_| {
            let error = supposition.target.no_match(&failed.snapshot);
            PlanError::Refused(Refusal::Target(error))
        })?;
        for slot in slots {
            stand(&mut state, slot, supposition.standing, now.world.swap + 1);
            // The hand stays over what probes say.
            if let Some(hand) = effect.slot(slot) {
                state.standings.0[slot.index()] = hand.over(state.standings.of(slot));
            }
        }
    }
    failed.state = Arc::new(state);
    let would = ground.supposed(&failed, &effect, &orders).map_err(PlanError::from)?;
    let outcome = outcome(&before, &would.after, ask)?;
    let is_failure = supposed.stands.iter().any(|one| !one.standing.is_up());
    let is_checked = |target: &Target| {
        let slots = target.slots(&before.snapshot);
        slots.iter().any(|slot| before.snapshot.slots[slot.index()].target.is_some())
    };
    let mut failing = supposed.stands.iter().filter(|one| !one.standing.is_up());
    let is_noticed = failing.any(|one| is_checked(&one.target));
    let mut notes = Vec::new();
    if is_failure && !is_noticed {
        notes.push("noticed by no check: nothing of it has one".into());
    }
    if now.pinned && is_failure {
        notes.push(
            "all automation is pinned: nothing of this happens before `tradewind unpin`".into(),
        );
    }
    if now.world.warming {
        notes.push(
            "the first results of health checks are awaited: failovers are not stepped".into(),
        );
    }
    Ok(Simulated {
        waiting: would.asking.iter().map(|asking| ground.asks(asking)).collect(),
        breaker: is_noticed.then(|| breaker(now, &before, &failed)),
        detection: is_noticed.then_some(now.guarded.window),
        outcome,
        notes,
    })
}

/// A wish of whoever supposes: nobody's, over every rule, since rules are told of anyway.
fn command(wish: Wish) -> Command {
    Command {
        wish,
        who: "nobody".into(),
        reason: Some("supposed".into()),
        begins: None,
        lasts: None,
        break_glass: true,
        dry_run: true,
        if_version: None,
        even_if_unknown: false,
        instead_of: None,
        for_whom: Vec::new(),
    }
}

/// Whether each of these is a member of some latency policy.
fn check_biased(biased: &BTreeMap<String, TenthMs>, snapshot: &Snapshot) -> Result<(), PlanError> {
    use crate::policy::tree::Kind;
    let mut members: BTreeSet<&str> = BTreeSet::new();
    for plan in &snapshot.plans {
        for node in &plan.tree.nodes {
            if let Kind::Latency(latency) = &node.kind {
                members.extend(latency.members.iter().map(|it| &*plan.tree.node(it.node).name));
            }
        }
    }
    match biased.keys().find(|name| !members.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let nearest = crate::config::nearest(name, members.iter().copied());
            let meant = nearest.map(str::to_owned).into_iter().collect();
            let target = name.as_str().into();
            Err(PlanError::Refused(Refusal::Target(TargetError::NoMatch { target, meant })))
        }
    }
}

/// How what fell between two standpoints looks to the breaker: what is judged by probes, by the
/// groups that it counts.
fn breaker(now: &Outlook, before: &Standpoint, failed: &Standpoint) -> BreakerView {
    let mut groups: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    let slots = failed.snapshot.slots.iter().enumerate().filter(|(_, slot)| slot.target.is_some());
    for (index, slot) in slots {
        let group = match slot.region {
            Some(region) => failed.snapshot.region_name(region).to_owned(),
            None => format!("pool {}", slot.name.rsplit_once('/').map_or("", |(pool, _)| pool)),
        };
        let ups = groups.entry(group).or_default();
        for (up, at) in ups.iter_mut().zip([before, failed]) {
            let judged = at.state.verdicts.get(index).map(|verdict| verdict.judged.standing);
            *up |= judged.is_some_and(Standing::is_up);
        }
    }
    let lost = groups.values().filter(|ups| ups[0] && !ups[1]).count();
    let share = u128::from(now.guarded.share);
    let is_much = lost as u128 * 1_000_000 > groups.len() as u128 * share;
    BreakerView {
        lost,
        groups: groups.len(),
        holds: groups.len() >= GROUPS_MIN && is_much,
        hold: now.guarded.hold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppositions_read_back_as_written_and_say_how_to_write_them() {
        for text in ["endpoint:stable-1=down", "pool:z/eu*=up", "region:eu-west-1=drained"] {
            assert_eq!(text.parse::<Supposition>().unwrap().to_string(), text);
        }
        for text in ["stable-1=down", "endpoint:x", "endpoint:=down", "pool:x=gone", "record:x=up"]
        {
            let error = text.parse::<Supposition>().unwrap_err().to_string();
            assert!(error.contains("endpoint:NAME=down"), "{error}");
        }
    }
}
