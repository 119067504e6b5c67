//! Whether servers for the same zones stand alike: what is compared, and where they differ.
//!
//! Each judges and fails over for itself, so verdicts and latches may part for a moment; what stays
//! apart is somebody's business. Pure, but for [`Context::facts`], which reads what is in force.

use super::{
    context::Context,
    schema::{
        SCHEMA_VERSION,
        node::{NodeFacts, PeerLine},
    },
};
use crate::control::hand::words;
use std::collections::{BTreeMap, BTreeSet};

/// Differences of a kind that are told one by one.
const NAMED: usize = 5;
/// The most that is told of anything a peer says: names of two endpoints and how they stand.
pub(super) const TOLD_CHARS: usize = 400;

impl Context {
    /// What this server has in common with others, if all is well.
    pub(super) fn facts(&self) -> NodeFacts {
        let (world, shown) = (self.viewer.world(), self.hands.shown.load_full());
        let (snapshot, state) = (&world.snapshot, &world.state);
        let failovers = snapshot.failovers.iter().enumerate().filter_map(|(index, failover)| {
            let active = state.courses.get(index).map_or(0, |course| course.active);
            let member = failover.members.get(usize::from(active))?;
            Some((failover.name.to_string(), member.to_string()))
        });
        let verdicts = snapshot.slots.iter().zip(state.verdicts.iter()).map(|(slot, verdict)| {
            (format!("{} {}", slot.name, slot.address), verdict.judged.standing.word().to_owned())
        });
        let mut overrides: Vec<String> = shown.hand.overrides().iter().map(words::line).collect();
        overrides.sort_unstable();
        NodeFacts {
            schema_version: SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: world.revision,
            swap: world.swap,
            content_hash: self.report().hash.to_string(),
            pinned: self.overview.load().pinned,
            overrides,
            failovers: failovers.collect(),
            verdicts: verdicts.collect(),
        }
    }
}

impl PeerLine {
    /// How `peer`, which has `theirs` or could not be asked, compares with `own`.
    pub fn new(peer: &str, own: &NodeFacts, theirs: Result<NodeFacts, String>) -> PeerLine {
        let peer = peer.to_owned();
        match theirs {
            Err(error) => PeerLine { peer, error: Some(told(&error)), ..PeerLine::default() },
            Ok(theirs) => {
                let differs = differences(own, &theirs);
                let differs: Vec<String> = differs.iter().map(|line| told(line)).collect();
                PeerLine {
                    peer,
                    in_step: differs.is_empty(),
                    error: None,
                    differs,
                    revision: Some(theirs.revision),
                    content_hash: Some(told(&theirs.content_hash)),
                }
            }
        }
    }
}

/// `text` as it may be kept and shown: a peer is trusted with changes, not with our memory or with
/// the terminal of whoever looks.
fn told(text: &str) -> String {
    text.chars().take(TOLD_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Where two servers differ, in words.
pub fn differences(own: &NodeFacts, theirs: &NodeFacts) -> Vec<String> {
    let mut found = Vec::new();
    if own.content_hash != theirs.content_hash {
        let short = |facts: &NodeFacts| facts.content_hash.chars().take(12).collect::<String>();
        found.push(format!(
            "other files: {} here (revision {}), {} there (revision {})",
            short(own),
            own.revision,
            short(theirs),
            theirs.revision
        ));
    }
    if own.pinned != theirs.pinned {
        let where_ = if own.pinned { "here" } else { "there" };
        found.push(format!("automation is pinned only {where_}"));
    }
    let (here, there): (BTreeSet<&String>, BTreeSet<&String>) =
        (own.overrides.iter().collect(), theirs.overrides.iter().collect());
    for (only, place) in [(&here - &there, "here"), (&there - &here, "there")] {
        let lines = only.into_iter().map(|line| format!("only {place}: {line}"));
        found.extend(named(lines.collect(), "more overrides"));
    }
    let apart = |what: &str, own: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>| {
        let both = own.iter().filter_map(|(name, mine)| Some((name, mine, theirs.get(name)?)));
        // What one of them does not know yet is counted apart.
        let apart = both.filter(|(_, a, b)| a != b && *a != "unknown" && *b != "unknown");
        let lines =
            apart.map(|(name, mine, other)| format!("{what} {name}: {mine} here, {other} there"));
        lines.collect::<Vec<String>>()
    };
    found.extend(named(apart("failover", &own.failovers, &theirs.failovers), "more failovers"));
    found.extend(named(apart("endpoint", &own.verdicts, &theirs.verdicts), "more endpoints"));
    for (mine, others, place) in
        [(&own.verdicts, &theirs.verdicts, "here"), (&theirs.verdicts, &own.verdicts, "there")]
    {
        // One that nobody has judged yet is answered: where it is out elsewhere, answers differ.
        let unjudged = mine.iter().filter(|(name, word)| {
            *word == "unknown" && others.get(*name).is_some_and(|other| is_out(other))
        });
        match unjudged.count() {
            0 => {}
            1 => found.push(format!("1 endpoint not judged {place}")),
            more => found.push(format!("{more} endpoints not judged {place}")),
        }
    }
    found
}

/// Whether a verdict takes an endpoint out of answers.
fn is_out(word: &str) -> bool {
    matches!(word, "down" | "drained")
}

/// The first of `lines`, and how many more there are.
fn named(mut lines: Vec<String>, what: &str) -> Vec<String> {
    if lines.len() > NAMED {
        let more = lines.len() - NAMED;
        lines.truncate(NAMED);
        lines.push(format!("and {more} {what}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(verdict: &str) -> NodeFacts {
        NodeFacts {
            content_hash: "a".repeat(64),
            verdicts: (0..8).map(|n| (format!("z/p/{n}"), verdict.to_owned())).collect(),
            failovers: [("z/app".to_owned(), "iad".to_owned())].into(),
            overrides: vec!["drain region:us".to_owned()],
            ..NodeFacts::default()
        }
    }

    #[test]
    fn each_kind_of_difference_is_named_and_those_of_no_weight_are_not() {
        let own = facts("up");
        let numbers = NodeFacts { revision: 7, swap: 9, ..own.clone() };
        assert_eq!(differences(&own, &numbers), [] as [&str; 0], "numbers are each server's own");
        assert_eq!(differences(&own, &facts("unknown")), [] as [&str; 0]);
        let (down, unknown) = (facts("down"), facts("unknown"));
        assert_eq!(differences(&down, &unknown), ["8 endpoints not judged there"]);
        assert_eq!(differences(&unknown, &down), ["8 endpoints not judged here"]);
        let other = NodeFacts {
            content_hash: "b".repeat(64),
            pinned: true,
            failovers: [("z/app".to_owned(), "dub".to_owned())].into(),
            overrides: vec!["hold record:z/app".to_owned()],
            ..facts("down")
        };
        let found = differences(&own, &other);
        assert_eq!(
            found[..5],
            [
                "other files: aaaaaaaaaaaa here (revision 0), bbbbbbbbbbbb there (revision 0)",
                "automation is pinned only there",
                "only here: drain region:us",
                "only there: hold record:z/app",
                "failover z/app: iad here, dub there",
            ]
        );
        assert_eq!(found[5], "endpoint z/p/0: up here, down there");
        assert_eq!(found.last().unwrap(), "and 3 more endpoints");
    }
}
