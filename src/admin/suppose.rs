//! `--what-if`: the World as it would be if something failed or came back.
//!
//! A copy of the standings is changed and the touched plans are steered anew by the same code as
//! ever; nothing of it is published. State machines are not stepped: what follows at once is
//! shown, a failback that would come minutes later is not.

use crate::{
    clock::Moment,
    control::simulate::{Supposition, SuppositionError, stand},
    ids::PlanId,
    policy::Course,
    snapshot::Snapshot,
    steering::Steering,
    verdict::{Sight, Standing, Standings, Verdict},
    world::{State, World},
};
use std::{collections::BTreeSet, sync::Arc, time::UNIX_EPOCH};

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
        for slot in supposition.slots(snapshot)? {
            stand(&mut state, slot, supposition.standing, world.swap + 1);
            touched.extend(snapshot.plans_of_slot[slot.index()].iter().copied());
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
        verdicts: std::iter::repeat_n(verdict, slots).collect(),
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
