//! `--what-if`: the World as it would be if something failed or came back.
//!
//! A copy of the standings is changed and the touched plans are steered anew by the same code as
//! ever; nothing of it is published. State machines are not stepped: what follows at once is
//! shown, a failback that would come minutes later is not.

use crate::{
    clock::Moment,
    ids::{PlanId, SlotId},
    policy::Course,
    snapshot::{Slot, Snapshot},
    steering::Steering,
    verdict::{Sight, Standing, Standings, Verdict},
    world::{State, World},
};
use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc, time::UNIX_EPOCH};

/// One supposition, as written: `endpoint:stable-1=down`, `region:eu-*=down`, `pool:nrt=up`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supposition {
    kind: Kind,
    /// May hold `*`.
    target: Box<str>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Endpoint,
    Pool,
    Region,
}

/// Why nothing can be supposed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuppositionError {
    /// It is not written as one.
    #[error(
        "`{0}` is not a supposition: write endpoint:NAME=down, pool:NAME=down or region:NAME=down \
         (or =up, =degraded, =drained)"
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
            let (kind, target) = target.split_once(':')?;
            let kind = match kind {
                "endpoint" => Kind::Endpoint,
                "pool" => Kind::Pool,
                "region" => Kind::Region,
                _ => return None,
            };
            let standings =
                [Standing::Up, Standing::Degraded, Standing::Down, Standing::Drained].into_iter();
            let standing = standings.clone().find(|known| known.word() == standing)?;
            (!target.is_empty()).then(|| Supposition { kind, target: target.into(), standing })
        };
        read().ok_or_else(|| SuppositionError::Malformed(text.into()))
    }
}

impl fmt::Display for Supposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Endpoint => "endpoint",
            Kind::Pool => "pool",
            Kind::Region => "region",
        };
        write!(f, "{kind}:{}={}", self.target, self.standing.word())
    }
}

impl Supposition {
    fn concerns(&self, snapshot: &Snapshot, slot: &Slot) -> bool {
        match self.kind {
            Kind::Endpoint => names(&self.target, &slot.name),
            Kind::Pool => {
                slot.name.rsplit_once('/').is_some_and(|(pool, _)| names(&self.target, pool))
            }
            Kind::Region => {
                let region = slot.region.map(|region| snapshot.region_name(region));
                region.is_some_and(|region| matches(&self.target, region))
            }
        }
    }
}

/// `world` with every one of `suppositions` true, later ones over earlier; the same World when
/// there are none. Answers are there even if it is still warming.
///
/// # Errors
/// When one matches nothing.
pub fn suppose(
    world: &Arc<World>,
    suppositions: &[Supposition],
) -> Result<Arc<World>, SuppositionError> {
    if suppositions.is_empty() && !world.warming {
        return Ok(Arc::clone(world));
    }
    let snapshot = &world.snapshot;
    let mut state = (*world.state).clone();
    let mut touched: BTreeSet<PlanId> = BTreeSet::new();
    for supposition in suppositions {
        let slots = snapshot.slots.iter().enumerate();
        let mut found = slots.filter(|(_, slot)| supposition.concerns(snapshot, slot)).peekable();
        if found.peek().is_none() {
            return Err(SuppositionError::NoMatch(supposition.to_string().into()));
        }
        for (index, _) in found {
            set(&mut state, SlotId::at(index), supposition.standing, world.swap + 1);
            touched.extend(snapshot.plans_of_slot[index].iter().copied());
        }
    }
    let touched: Vec<PlanId> = touched.into_iter().collect();
    let steering = match world.warming {
        true => Steering::build(snapshot, state.moved()),
        false => world.steering.rebuilt(snapshot, &touched, state.moved()),
    };
    Ok(Arc::new(World {
        revision: world.revision,
        swap: world.swap,
        warming: false,
        snapshot: Arc::clone(snapshot),
        steering,
        state: Arc::new(state),
    }))
}

/// The World of `snapshot` on a day without failures: what files alone can say.
pub fn calm(snapshot: Snapshot) -> Arc<World> {
    let up = Sight { standing: Standing::Up, failing: false };
    let verdict = Verdict {
        sight: up,
        judged: up,
        reason: "as if it were".into(),
        since: Moment::default(),
        since_wall: UNIX_EPOCH,
    };
    let slots = snapshot.slots.len();
    let state = State {
        standings: Standings(vec![up; slots]),
        verdicts: vec![verdict; slots],
        courses: vec![Course::default(); snapshot.failovers.len()],
        fell: vec![0; slots],
        ..State::default()
    };
    Arc::new(World {
        revision: 0,
        swap: 0,
        warming: false,
        steering: Steering::build(&snapshot, state.moved()),
        snapshot: Arc::new(snapshot),
        state: Arc::new(state),
    })
}

fn set(state: &mut State, slot: SlotId, standing: Standing, swap: u64) {
    let Some(sight) = state.standings.0.get_mut(slot.index()) else { return };
    let was_up = sight.standing.is_up();
    *sight = Sight { standing, failing: standing == Standing::Down };
    if let Some(verdict) = state.verdicts.get_mut(slot.index()) {
        verdict.sight = *sight;
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

/// Whether `pattern` is `name`, or its end after some `/`.
fn names(pattern: &str, name: &str) -> bool {
    let ends = name.match_indices('/').map(|(at, _)| &name[at + 1..]);
    ends.chain([name]).any(|end| matches(pattern, end))
}

/// Whether `text` is what `pattern` says, where `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppositions_read_back_as_written_and_say_how_to_write_them() {
        for text in ["endpoint:stable-1=down", "pool:z/eu*=up", "region:eu-west-1=drained"] {
            assert_eq!(text.parse::<Supposition>().unwrap().to_string(), text);
        }
        for text in ["stable-1=down", "endpoint:x", "endpoint:=down", "pool:x=gone"] {
            let error = text.parse::<Supposition>().unwrap_err().to_string();
            assert!(error.contains("endpoint:NAME=down"), "{error}");
        }
    }

    #[test]
    fn a_target_is_a_full_name_or_its_end_with_globs() {
        for (pattern, name, is) in [
            ("z/p/e", "z/p/e", true),
            ("e", "z/p/e", true),
            ("p/e", "z/p/e", true),
            ("p", "z/p/e", false),
            ("*", "z/p/e", true),
            ("e-*", "z/p/e-1", true),
            ("*-1", "z/p/e-12", false),
            ("a*b*c", "z/p/aXbYbc", true),
        ] {
            assert_eq!(names(pattern, name), is, "{pattern} {name}");
        }
    }
}
