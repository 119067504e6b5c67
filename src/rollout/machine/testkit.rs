//! A machine as it begins, for this room's tests.

use super::Machine;
use crate::{
    clock::Moment,
    config::rollouts::RolloutDef,
    rollout::model::{Effect, Seen, Served},
    units::Share,
};
use std::{path::Path, sync::Arc, time::Duration};

/// Begun and nothing served yet, with steps of 10, 50 and 100 %, what it sees, and what it asks.
pub(in crate::rollout) fn begun() -> (Machine, Seen, Vec<Effect>) {
    let text = "record = \"z/r\"\nmember = \"m\"\nbake = \"1s\"\nsteps = [10, 50, 100]\n\
                [[analysis]]\nname = \"e\"\nhealth = \"errors\"\nsuccess = \"< 0.1\"\n\
                interval = \"1m\"\ninitial_delay = \"1s\"\n";
    let def = Arc::new(RolloutDef::kept(&Path::new("r.toml").into(), text).unwrap());
    let seen = Seen {
        now: Moment(1_000_000_000_000),
        settle: Duration::from_secs(1),
        frozen: false,
        served: Served::Nothing,
        word: None,
        turn: 7,
        filed: Some(Share::NONE),
        member_up: true,
        others_up: true,
    };
    let (machine, effects) = Machine::begin(def, &seen);
    (machine, seen, effects)
}
