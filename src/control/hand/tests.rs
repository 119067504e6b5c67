//! What operators may say, what wins, what it comes to, and what is refused. What takes time is in
//! `scenarios.rs`.

mod overrides;
mod rules;
mod targets;
mod weights;

use super::{
    Action, Command, ForceTo, Hand, Refusal, SlotIs, Target, TargetError, Wish,
    kept::Restored,
    testkit::{Bench, SERVER, ZONE, at, command, compiled, snapshot},
    weights::patched,
    words,
};
use crate::{
    clock::Moment,
    forecast::{Clients, Pair, Standpoint, preview},
    ids::{Class, PlanId, RecordId},
    place::{Continent, Country, LazyTable, embedded},
    snapshot::Snapshot,
    steering::PlanSteering,
    verdict::Standing,
};
use proptest::prelude::*;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

static FILES: LazyLock<Arc<Snapshot>> = LazyLock::new(snapshot);

fn target(text: &str) -> Target {
    Target::read(text, &FILES).unwrap()
}

/// The names of the slots a target stands for, each once.
fn slots(text: &str) -> String {
    let mut names: Vec<&str> =
        target(text).slots(&FILES).iter().map(|s| &*FILES.slots[s.index()].name).collect();
    names.dedup();
    names.join(" ")
}

const MADE: [&str; 16] = [
    "drain region:us",
    "drain region:us --over 5m",
    "drain pool:*",
    "drain endpoint:s1 --for 1h",
    "force region:us up",
    "force endpoint:*/stable/* down",
    "force check:web up",
    "weight record:g.example/www* canary=20",
    "weight record:g.example/www canary=30",
    "weight record:g.example/www stable=7",
    "weight endpoint:s1 3",
    "weight policy:split dub=2",
    "failover record:g.example/app --to dub",
    "failover record:g.example/* --to dub",
    "hold policy:pair",
    "pin",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever was done before, the command line that an override prints takes away that one and
    /// no other.
    #[test]
    fn an_undo_takes_away_what_was_made_and_nothing_else(picks in prop::collection::vec(0..MADE.len(), 1..8)) {
        let mut hand = Hand::default();
        for pick in picks {
            let before = hand.clone();
            let planned = hand.told(MADE[pick], &FILES, at(0));
            let undo = planned.undo[0].strip_prefix("tradewind ").unwrap().replace('\'', "");
            let mut undone = hand.clone();
            undone.told(&undo, &FILES, at(1));
            prop_assert_eq!(undone.overrides(), before.overrides());
            prop_assert_eq!(undone.effect(&FILES, at(1).at), before.effect(&FILES, at(1).at));
        }
    }
}
