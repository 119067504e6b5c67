//! Random zones that every server accepts, and questions that go where zones are difficult:
//! wildcards, empty non-terminals, delegations with glue, sibling glue and what lies hidden below
//! them, DNAMEs, aliases that lead anywhere, and names with any byte in them and of any length.
//!
//! Names are text without the origin, the apex is empty; a dot within a label is `\046` here, so
//! that a dot always ends a label.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};
use tradewind::clock::Dice;

/// Few labels, so that names meet.
const LABELS: [&str; 6] = ["a", "b", "c", "d", "e", "*"];
/// Labels in which a careless server would see something else: bytes that end strings, names or
/// comments elsewhere, bytes above 127, stars that are not alone, and the longest there is.
const ODD_LABELS: [&str; 12] = [
    "\\000",
    "\\032",
    "x\\046y",
    "\\092\\034",
    "\\064",
    "\\059\\040",
    "\\200\\255",
    "*x",
    "**",
    "_tcp",
    "\\000a",
    LONGEST,
];
/// A label of 63 octets, the most there may be (RFC 1035 §2.3.4).
const LONGEST: &str = "lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll";
/// The most octets that a name may have, lengths and root included.
const NAME_MAX: usize = 255;
/// A name nobody here serves.
const ELSEWHERE: &str = "www.elsewhere.test.";
/// What is asked.
const ASKED: [&str; 11] = ["A", "A", "A", "AAAA", "TXT", "MX", "CNAME", "NS", "DS", "DNAME", "SOA"];

/// A zone in the making, then its text.
pub struct RandomZone {
    /// Its name, without the dot behind.
    pub origin: String,
    /// What each name owns, by type.
    nodes: BTreeMap<String, BTreeMap<&'static str, BTreeSet<String>>>,
    /// What its names are made of.
    labels: Vec<&'static str>,
    /// Whether it goes to the limits.
    is_wild: bool,
}

impl RandomZone {
    /// Draws about `records` records under plain names.
    pub fn draw(origin: &str, records: usize, dice: &mut Dice) -> Self {
        let (origin, labels) = (origin.to_owned(), LABELS.to_vec());
        RandomZone { origin, nodes: BTreeMap::new(), labels, is_wild: false }.filled(records, dice)
    }

    /// Draws about `records` records; there are odd names and the longest among them, RRsets that
    /// need more than the smallest reply, and name servers that rely on each other.
    pub fn wild(origin: &str, records: usize, dice: &mut Dice) -> Self {
        let (origin, mut labels) = (origin.to_owned(), LABELS.to_vec());
        labels.extend((0..2).map(|_| pick(dice, &ODD_LABELS)));
        RandomZone { origin, nodes: BTreeMap::new(), labels, is_wild: true }.filled(records, dice)
    }

    fn filled(mut self, records: usize, dice: &mut Dice) -> Self {
        self.add("", "NS", "ns1");
        self.add("", "NS", "ns.elsewhere.test.");
        self.add("ns1", "A", "192.0.2.53");
        self.add("ns1", "AAAA", "2001:db8::53");
        for number in 0..records {
            let owner = match self.is_wild && one_of(dice, 40) == 0 {
                true => self.longest_name(),
                false => self.name(dice),
            };
            let target = match one_of(dice, 10) {
                0 => ELSEWHERE.to_owned(),
                1 => "@".to_owned(),
                2 if self.is_wild => [LONGEST; 3].join("."),
                _ => self.name(dice),
            };
            self.draw_record(&owner, &target, number as u8, dice);
        }
        self
    }

    /// A name of 255 octets.
    fn longest_name(&self) -> String {
        let taken = octets(&[LONGEST; 3].join(".")) + octets(&self.origin);
        format!("{}.{}", &LONGEST[..NAME_MAX - 1 - taken - 1], [LONGEST; 3].join("."))
    }

    /// One to three labels; `*` as the first of them more often than further on.
    fn name(&self, dice: &mut Dice) -> String {
        let labels = (0..=one_of(dice, 3)).map(|place| match one_of(dice, 4) {
            0 if place == 0 => "*",
            _ => pick(dice, &self.labels),
        });
        labels.collect::<Vec<_>>().join(".")
    }

    fn draw_record(&mut self, owner: &str, target: &str, number: u8, dice: &mut Dice) {
        let (rtype, rdata) = match one_of(dice, if self.is_wild { 24 } else { 20 }) {
            0..4 => ("A", format!("192.0.2.{number}")),
            4..6 => ("AAAA", format!("2001:db8::{number:x}")),
            6..9 => ("TXT", format!("\"text {number}\"")),
            9 => ("MX", format!("{number} {target}")),
            10 => ("TYPE65280", format!("\\# 2 00{number:02x}")),
            11..16 => ("CNAME", target.to_owned()),
            16 => ("DNAME", target.to_owned()),
            17..20 => return self.delegate(owner, number, dice),
            20 => ("SRV", format!("{number} 1 53 {target}")),
            21 => ("DNAME", target.to_owned()),
            22 => ("MX", format!("{number} {target}")),
            _ => return self.draw_many(owner, number, dice),
        };
        self.add(owner, rtype, &rdata);
    }

    /// An RRset that is close to or above what the smallest reply may hold.
    fn draw_many(&mut self, owner: &str, number: u8, dice: &mut Dice) {
        let (count, size) = (4 + one_of(dice, 20), 10 + one_of(dice, 60));
        for each in 0..count {
            self.add(owner, "TXT", &format!("\"{number} {each} {}\"", "m".repeat(size)));
        }
    }

    /// Delegates `owner` to a server with glue in it, to itself, to one in another delegated
    /// zone, or to one elsewhere; now and then as a signed zone.
    fn delegate(&mut self, owner: &str, number: u8, dice: &mut Dice) {
        let glue: Vec<&String> =
            self.nodes.keys().filter(|name| above(name).any(|above| self.is_cut(above))).collect();
        let sibling =
            (self.is_wild && !glue.is_empty()).then(|| glue[one_of(dice, glue.len())].clone());
        let (server, needs_glue) = match one_of(dice, if self.is_wild { 5 } else { 4 }) {
            0 => (ELSEWHERE.to_owned(), false),
            1 => ("ns1".to_owned(), false),
            2 => (owner.to_owned(), true),
            4 if sibling.is_some() => (sibling.unwrap_or_default(), true),
            _ => (format!("ns.{owner}"), true),
        };
        let is_alias = self.nodes.get(&server).is_some_and(|types| types.contains_key("CNAME"));
        let is_too_long = octets(&server) + octets(&self.origin) >= NAME_MAX;
        if is_alias || is_too_long || !self.add(owner, "NS", &server) {
            return;
        }
        if needs_glue {
            // Put in past the rules: glue stands where nothing else may.
            let glue = self.nodes.entry(server).or_default();
            glue.entry("A").or_default().insert(format!("198.51.100.{number}"));
            if self.is_wild && one_of(dice, 2) == 0 {
                glue.entry("AAAA").or_default().insert(format!("2001:db8:1::{number:x}"));
            }
        }
        if one_of(dice, 3) == 0 {
            self.add(owner, "DS", &format!("{number} 13 2 {}", "ab".repeat(32)));
        }
    }

    fn is_cut(&self, owner: &str) -> bool {
        let types = self.nodes.get(owner);
        !owner.is_empty() && types.is_some_and(|types| types.contains_key("NS"))
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
        let is_wildcard = owner == "*" || owner.starts_with("*.");
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

    /// The same zone without names that have a `*`. Below a wildcard a signer that opts out leaves
    /// names out which then cannot be denied truthfully (RFC 5155 §7.1): servers differ there.
    pub fn without_wildcards(mut self) -> Self {
        self.nodes.retain(|owner, _| owner.split('.').all(|label| label != "*"));
        self
    }

    /// The zone as RFC 1035 text; every owner is spelt as chance has it.
    pub fn text(&self, dice: &mut Dice) -> String {
        let mut text = "$TTL 300\n@ 3600 IN SOA ns1 hostmaster 7 3600 600 86400 60\n".to_owned();
        for (owner, types) in &self.nodes {
            let owner = match owner.as_str() {
                "" => "@".to_owned(),
                owner if self.is_wild => respelt(owner, dice),
                owner if one_of(dice, 4) == 0 => owner.to_ascii_uppercase(),
                owner => owner.to_owned(),
            };
            for (rtype, rdatas) in types {
                for rdata in rdatas {
                    writeln!(text, "{owner} IN {rtype} {rdata}").expect("memory takes all text");
                }
            }
        }
        text
    }

    /// The names that own something, with the origin behind; only those that are delegated, if
    /// `cuts`.
    pub fn owners(&self, cuts: bool) -> impl Iterator<Item = String> {
        let names = self.nodes.keys().filter(move |name| !cuts || self.is_cut(name));
        names.map(|name| format!("{name}.{}", self.origin))
    }

    /// A name in or near the zone, and a type; ANY is left to each server (RFC 8482).
    pub fn question(&self, dice: &mut Dice) -> (String, &'static str) {
        let owners: Vec<&String> = self.nodes.keys().collect();
        let owner = pick(dice, &owners).as_str();
        let relative = match one_of(dice, 8) {
            0..3 => owner.to_owned(),
            3 => above(owner).next().unwrap_or_default().to_owned(),
            4..6 => self.name(dice),
            6 => format!("{}.{owner}", pick(dice, &LABELS)),
            _ => format!("x.{}.{owner}", pick(dice, &LABELS)),
        };
        let mut whole = format!("{relative}.{}.", self.origin);
        if one_of(dice, 4) == 0 {
            whole.make_ascii_uppercase();
        }
        (whole.trim_matches('.').replace("..", "."), pick(dice, &ASKED))
    }

    /// Everything worth asking: each name, what is above, below and beside it, for what it owns
    /// and for other types.
    pub fn questions(&self, dice: &mut Dice) -> Vec<(String, &'static str)> {
        let mut questions = Vec::new();
        let nothing = BTreeMap::new();
        let names: BTreeSet<&str> = self
            .nodes
            .keys()
            .flat_map(|name| std::iter::once(name.as_str()).chain(above(name)))
            .chain([""])
            .collect();
        for name in names {
            let owned = self.nodes.get(name).unwrap_or(&nothing).keys().copied();
            let others = ["A", "DS", "NS", "ANY", any_type(dice)];
            let types: BTreeSet<_> = owned.chain(others).collect();
            questions.extend(types.into_iter().map(|rtype| (name.to_owned(), rtype)));
            let label = pick(dice, &self.labels);
            let near = [
                format!("x.{name}"),
                format!("*.{name}"),
                format!("{label}.{name}"),
                format!("x.{label}.{name}"),
                format!("{LONGEST}.{name}"),
                self.name(dice),
            ];
            questions.extend(near.map(|name| (name, any_type(dice))));
        }
        for (name, _) in &mut questions {
            let whole = format!("{name}.{}", self.origin);
            *name = respelt(whole.trim_matches('.').replace("..", ".").as_str(), dice);
        }
        questions.retain(|(name, _)| octets(name) < NAME_MAX);
        questions
    }
}

/// A type; one that [`RandomZone::question`] leaves out now and then.
fn any_type(dice: &mut Dice) -> &'static str {
    match one_of(dice, 5) {
        0 => pick(dice, &["ANY", "SRV", "TYPE65280"]),
        _ => pick(dice, &ASKED),
    }
}

/// The same name, some letters in another case and some written as numbers.
fn respelt(name: &str, dice: &mut Dice) -> String {
    let quiet = one_of(dice, 2) == 0;
    let respell = |c: char| match c {
        _ if quiet => c.to_string(),
        'a'..='z' | '*' if one_of(dice, 12) == 0 => format!("\\{:03}", u32::from(c)),
        _ if one_of(dice, 2) == 0 => c.to_ascii_uppercase().to_string(),
        _ => c.to_string(),
    };
    name.chars().map(respell).collect()
}

/// How many octets a name has on the wire, without the root.
fn octets(name: &str) -> usize {
    name.split('.').map(|label| 1 + label.len() - 3 * label.matches('\\').count()).sum()
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
