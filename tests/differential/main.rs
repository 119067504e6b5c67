//! Conformance, judged by those who have it: thousands of random zones served by NSD, Knot, BIND
//! and us, and the same questions to all four.
//!
//! Everything is compared: rcode, AA, TC, OPT, and all records of every section with their TTLs,
//! aliases in their order and all else as sets. Where another server may differ from us, why, and
//! what of the reply that excuses, is [`table::DIFFERENCES`]; any other difference fails.
//!
//! `RANDOM_ZONES=4000 cargo test --test differential` is the big run: it also fails for a row of
//! the table that nothing needed. `RANDOM_SEED=N` draws other zones.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod crowd;

mod refused;
mod reply;
mod table;

use crowd::Crowd;
use reply::Question;
use std::{collections::BTreeMap, env};
use support::zones::RandomZone;
use table::{DIFFERENCES, Difference, Written};
use tradewind::clock::Dice;

/// How many zones are drawn where nobody says; from how many on all of the table must be needed.
const ZONES: usize = 150;
const MANY_ZONES: usize = 2000;
/// How many of them are served at once, and of how many records each.
const AT_ONCE: usize = 150;
const RECORDS: usize = 45;
/// Payload sizes that are offered; most questions come without EDNS or with the usual one.
const PAYLOADS: [Option<u16>; 6] = [None, None, Some(1232), Some(1232), Some(512), Some(700)];

/// A number from the environment.
fn number(variable: &str, default: usize) -> usize {
    env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn random_zones_are_answered_as_nsd_knot_and_bind_answer_them() {
    let (zones, seed) = (number("RANDOM_ZONES", ZONES), number("RANDOM_SEED", 20_26));
    let mut dice = Dice::seeded(seed as u64);
    let mut needed: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut asked, mut drawn) = (0, 0);
    while drawn < zones {
        let draw = |number| {
            let origin = format!("z{number}.test");
            match number % 3 {
                0 => RandomZone::draw(&origin, RECORDS, &mut dice),
                _ => RandomZone::wild(&origin, RECORDS, &mut dice),
            }
        };
        let batch: Vec<RandomZone> = (drawn..zones.min(drawn + AT_ONCE)).map(draw).collect();
        let texts: Vec<String> = batch.iter().map(|zone| zone.text(&mut dice)).collect();
        let pairs = batch.iter().zip(&texts);
        let pairs: Vec<_> =
            pairs.map(|(zone, text)| (zone.origin.as_str(), text.as_str())).collect();
        let Some(mut crowd) = Crowd::start(&pairs) else { return };
        for (zone, text) in batch.iter().zip(&texts) {
            let payload = |dice: &mut Dice| PAYLOADS[dice.roll() as usize % PAYLOADS.len()];
            let questions: Vec<_> = zone.questions(&mut dice);
            let questions: Vec<_> = questions
                .iter()
                .map(|(name, rtype)| Question::new(name, rtype, payload(&mut dice)))
                .collect();
            let names = |cuts| zone.owners(cuts).map(|name| reply::wire(&name)).collect();
            let written = Written { owners: names(false), cuts: names(true) };
            let differences = crowd.differences(&questions, &written, &mut needed);
            assert!(differences.is_empty(), "seed {seed}: {}\n{text}", differences.join("\n"));
            asked += questions.len();
        }
        drawn += batch.len();
    }
    support::figure("random zones", drawn);
    support::figure("questions to each of four servers", asked);
    for Difference { what, .. } in DIFFERENCES {
        let times = needed.get(what).copied().unwrap_or_default();
        support::figure(what, times);
        assert!(times > 0 || zones < MANY_ZONES, "nothing needs the row `{what}`");
    }
}
