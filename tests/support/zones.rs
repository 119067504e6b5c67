//! Random zones that every server accepts, and questions that go where zones are difficult:
//! wildcards, empty non-terminals, delegations with glue and what lies hidden below them,
//! DNAMEs, and aliases that lead anywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};
use tradewind::clock::Dice;

/// Few labels, so that names meet.
const LABELS: [&str; 6] = ["a", "b", "c", "d", "e", "*"];
/// A name nobody here serves.
const ELSEWHERE: &str = "www.elsewhere.test.";
/// What is asked; ANY is left to each server (RFC 8482).
const ASKED: [&str; 11] = ["A", "A", "A", "AAAA", "TXT", "MX", "CNAME", "NS", "DS", "DNAME", "SOA"];

/// A zone in the making, then its text.
pub struct RandomZone {
    /// Its name, without the dot behind.
    pub origin: String,
    /// What each name owns, by type; names are relative to the origin, the apex is empty.
    nodes: BTreeMap<String, BTreeMap<&'static str, BTreeSet<String>>>,
}

impl RandomZone {
    /// Draws about `records` records.
    pub fn draw(origin: &str, records: usize, dice: &mut Dice) -> Self {
        let mut zone = RandomZone { origin: origin.to_owned(), nodes: BTreeMap::new() };
        zone.add("", "NS", "ns1");
        zone.add("", "NS", "ns.elsewhere.test.");
        zone.add("ns1", "A", "192.0.2.53");
        for number in 0..records {
            let owner = name(dice);
            let target = match one_of(dice, 10) {
                0 => ELSEWHERE.to_owned(),
                1 => "@".to_owned(),
                _ => name(dice),
            };
            zone.draw_record(&owner, &target, number as u8, dice);
        }
        zone
    }

    fn draw_record(&mut self, owner: &str, target: &str, number: u8, dice: &mut Dice) {
        let (rtype, rdata) = match one_of(dice, 20) {
            0..4 => ("A", format!("192.0.2.{number}")),
            4..6 => ("AAAA", format!("2001:db8::{number:x}")),
            6..9 => ("TXT", format!("\"text {number}\"")),
            9 => ("MX", format!("{number} {target}")),
            10 => ("TYPE65280", format!("\\# 2 00{number:02x}")),
            11..16 => ("CNAME", target.to_owned()),
            16 => ("DNAME", target.to_owned()),
            _ => return self.delegate(owner, number, dice),
        };
        self.add(owner, rtype, &rdata);
    }

    /// Delegates `owner` to a server with glue in it, to itself, or to one elsewhere; now and
    /// then as a signed zone.
    fn delegate(&mut self, owner: &str, number: u8, dice: &mut Dice) {
        let (server, needs_glue) = match one_of(dice, 4) {
            0 => (ELSEWHERE.to_owned(), false),
            1 => ("ns1".to_owned(), false),
            2 => (owner.to_owned(), true),
            _ => (format!("ns.{owner}"), true),
        };
        if !self.add(owner, "NS", &server) {
            return;
        }
        if needs_glue {
            // Put in past the rules: glue stands where nothing else may.
            let addresses = self.nodes.entry(server).or_default().entry("A").or_default();
            addresses.insert(format!("198.51.100.{number}"));
        }
        if one_of(dice, 3) == 0 {
            self.add(owner, "DS", &format!("{number} 13 2 {}", "ab".repeat(32)));
        }
    }

    /// Adds a record if no server would refuse the zone for it; whether it did.
    fn add(&mut self, owner: &str, rtype: &'static str, rdata: &str) -> bool {
        let fits = self.fits(owner, rtype, rdata);
        if fits {
            let types = self.nodes.entry(owner.to_owned()).or_default();
            types.entry(rtype).or_default().insert(rdata.to_owned());
        }
        fits
    }

    fn fits(&self, owner: &str, rtype: &str, rdata: &str) -> bool {
        let here = |name: &str| self.nodes.get(name);
        let is_dname = |name: &str| here(name).is_some_and(|types| types.contains_key("DNAME"));
        let below = format!(".{owner}");
        let has_below = || self.nodes.keys().any(|name| name.ends_with(&below));
        let others = |allowed: &[&str]| {
            here(owner).is_none_or(|types| types.keys().all(|rtype| allowed.contains(rtype)))
        };
        let is_cut = || here(owner).is_some_and(|types| types.contains_key("NS"));
        let is_wildcard = owner.starts_with('*');
        if above(owner).any(is_dname) {
            return false;
        }
        match rtype {
            "NS" => owner.is_empty() || !is_wildcard && others(&["NS", "DS"]),
            "DS" => is_cut(),
            "CNAME" => others(&[]),
            "DNAME" => {
                // A DNAME to below itself makes names that grow; how far is everybody's own taste.
                let grows = rdata.ends_with(&below);
                !is_wildcard && !grows && !has_below() && others(&["A", "AAAA", "TXT", "MX"])
            }
            _ => {
                owner.is_empty()
                    || !is_cut() && here(owner).is_none_or(|t| !t.contains_key("CNAME"))
            }
        }
    }

    /// The zone as RFC 1035 text, every owner in the case of its own that chance gives it.
    pub fn text(&self, dice: &mut Dice) -> String {
        let mut text = "$TTL 300\n@ 3600 IN SOA ns1 hostmaster 7 3600 600 86400 60\n".to_owned();
        for (owner, types) in &self.nodes {
            let mut owner = if owner.is_empty() { "@".to_owned() } else { owner.clone() };
            if one_of(dice, 4) == 0 {
                owner.make_ascii_uppercase();
            }
            for (rtype, rdatas) in types {
                for rdata in rdatas {
                    writeln!(text, "{owner} IN {rtype} {rdata}").expect("memory takes all text");
                }
            }
        }
        text
    }

    /// A name in or near the zone, and a type.
    pub fn question(&self, dice: &mut Dice) -> (String, &'static str) {
        let owners: Vec<&String> = self.nodes.keys().collect();
        let owner = pick(dice, &owners).as_str();
        let relative = match one_of(dice, 8) {
            0..3 => owner.to_owned(),
            3 => above(owner).next().unwrap_or_default().to_owned(),
            4..6 => name(dice),
            6 => format!("{}.{owner}", pick(dice, &LABELS)),
            _ => format!("x.{}.{owner}", pick(dice, &LABELS)),
        };
        let mut whole = format!("{relative}.{}.", self.origin);
        if one_of(dice, 4) == 0 {
            whole.make_ascii_uppercase();
        }
        (whole.trim_matches('.').replace("..", "."), pick(dice, &ASKED))
    }
}

/// One to three labels; `*` as the first of them more often than further on.
fn name(dice: &mut Dice) -> String {
    let labels = (0..=one_of(dice, 3)).map(|place| match one_of(dice, 4) {
        0 if place == 0 => "*",
        _ => pick(dice, &LABELS),
    });
    labels.collect::<Vec<_>>().join(".")
}

/// The names above one, the nearest first, without the apex.
fn above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(dot, _)| &name[dot + 1..])
}

fn one_of(dice: &mut Dice, count: usize) -> usize {
    (dice.roll() % count as u64) as usize
}

fn pick<'a, T: ?Sized>(dice: &mut Dice, from: &[&'a T]) -> &'a T {
    from[one_of(dice, from.len())]
}
