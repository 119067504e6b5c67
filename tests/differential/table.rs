//! Where others differ from us, on what ground, and what of a reply that excuses. The versions are
//! those of Debian 12: NSD 4.6, Knot 3.2, BIND 9.18.

use crate::{
    reply::{
        ANY, CNAME, DNAME, NOERROR, NS, Question, Record, Reply, SERVFAIL, SOA, TXT, YXDOMAIN,
    },
    support::peers::Program::{self, Bind, Knot, Nsd},
};
use std::{collections::BTreeSet, mem};

/// The links of a chain of aliases that we follow, and those that others do.
const OUR_LINKS: usize = 17;
const KNOT_LINKS: usize = 5;
const BIND_LINKS: usize = 11;
/// A name of more octets shows who compresses how: one with the longest of labels.
const LONG: usize = 63;

/// Two replies to one question. Rows of the table take out of them what they explain.
pub struct Case<'q> {
    pub question: &'q Question,
    pub written: &'q Written,
    pub ours: Reply,
    pub theirs: Reply,
    pub their_length: usize,
}

/// Names of the zone asked.
pub struct Written {
    /// They own something.
    pub owners: BTreeSet<Vec<u8>>,
    /// They are delegated.
    pub cuts: BTreeSet<Vec<u8>>,
}

impl Written {
    fn is_delegated(&self, name: &[u8]) -> bool {
        self.cuts.iter().any(|cut| name.ends_with(cut))
    }
}

impl<'q> Case<'q> {
    pub fn new(
        question: &'q Question,
        written: &'q Written,
        ours: &Reply,
        (their_length, theirs): &(usize, Reply),
    ) -> Self {
        let (ours, theirs) = (ours.clone(), theirs.clone());
        Case { question, written, ours, theirs, their_length: *their_length }
    }

    pub fn agrees(&self) -> bool {
        self.ours == self.theirs
    }

    /// Takes all differences out, if `excused`.
    fn excuse_all(&mut self, excused: bool) -> bool {
        if excused {
            self.theirs = self.ours.clone();
        }
        excused
    }
}

fn links(reply: &Reply) -> usize {
    reply.aliases.iter().filter(|link| link.rtype == CNAME).count()
}

/// Whether an address belongs to a name server below the cut that a referral is to.
fn is_glue(referral: &Reply, address: &Record) -> bool {
    let cut = referral.authority.first().filter(|record| record.rtype == NS);
    cut.is_some_and(|cut| address.owner.ends_with(&cut.owner))
}

/// The addresses of ours that are a help only and that `theirs` lacks, and all others of ours.
fn split_help(ours: &Reply, theirs: &Reply) -> (Vec<Record>, Vec<Record>) {
    let lacks = |it: &Record| !theirs.additional.contains(it) && !is_glue(ours, it);
    ours.additional.iter().cloned().partition(lacks)
}

/// A row.
pub struct Difference {
    /// What others do, what we do, and the RFC.
    pub what: &'static str,
    pub of: &'static [Program],
    /// Whether it explained something, which it then took out of the two replies.
    pub excuse: fn(&mut Case) -> bool,
}

pub const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "a truncated reply says no more than that (RFC 2181 §9): we leave all else out",
        of: &[Nsd, Knot, Bind],
        excuse: |case| case.excuse_all(case.ours.truncated && case.theirs.truncated),
    },
    Difference {
        what: "names may be compressed or not (RFC 1035 §4.1.4): what fits for us does not for them",
        of: &[Nsd, Knot, Bind],
        excuse: |case| {
            if case.theirs.truncated && !case.ours.truncated {
                return case.excuse_all(true);
            }
            let Case { question, ours, theirs, their_length, .. } = case;
            // What only helps is left out without a trace (RFC 2181 §9).
            let (help, rest) = split_help(ours, theirs);
            let size: usize = help.iter().map(Record::size).sum();
            let excused = size > 0 && *their_length + size > question.limit();
            if excused {
                ours.additional = rest;
            }
            excused
        },
    },
    Difference {
        what: "in-domain glue that does not fit truncates (RFC 9471 §3.1): they leave it out",
        of: &[Nsd, Bind],
        excuse: |case| {
            let Case { ours, theirs, .. } = case;
            let has = |name: &[u8]| theirs.additional.iter().any(|record| record.owner == name);
            let is_inside = |ns: &Record| ns.rtype == NS && ns.rdata.ends_with(&ns.owner);
            let is_missing = |it: &Record| is_glue(ours, it) && !theirs.additional.contains(it);
            let lacks = theirs.authority.iter().any(|ns| is_inside(ns) && !has(&ns.rdata))
                || ours.additional.iter().any(is_missing);
            let has_no_more = theirs.additional.iter().all(|it| ours.additional.contains(it));
            let excused = !theirs.truncated && lacks && (ours.truncated || has_no_more);
            case.excuse_all(excused)
        },
    },
    Difference {
        what: "ANY gets some one RRset, all of them, or TC (RFC 8482 §4.1, §4.3, §4.4)",
        of: &[Nsd, Knot, Bind],
        excuse: |case| {
            let Case { question, ours, theirs, .. } = case;
            let name = question.name.to_ascii_lowercase();
            let excused = question.rtype == ANY
                && [&*ours, &*theirs].into_iter().all(|reply| {
                    let mut answers = reply.aliases.iter().chain(&reply.answers).peekable();
                    (reply.truncated || answers.peek().is_some())
                        && answers.all(|it| it.owner == name)
                });
            let excused = excused && ours.rcode == theirs.rcode;
            case.excuse_all(excused)
        },
    },
    Difference {
        what: "a CNAME is what ANY asks for (RFC 1034 §3.6.2), also one that a DNAME made: they go on",
        of: &[Nsd, Knot],
        excuse: |case| {
            let Case { question, ours, theirs, .. } = case;
            let is_made = ours.aliases.iter().map(|record| record.rtype).eq([DNAME, CNAME]);
            let goes_on = theirs.aliases.starts_with(&ours.aliases);
            let excused = question.rtype == ANY && is_made && goes_on;
            case.excuse_all(excused)
        },
    },
    Difference {
        what: "NSD was told to be minimal: no addresses with MX, SRV and NS in an answer",
        of: &[Nsd],
        excuse: |case| {
            let Case { ours, theirs, .. } = case;
            let excused = ours.authoritative && theirs.additional.is_empty();
            excused && !mem::take(&mut ours.additional).is_empty()
        },
    },
    Difference {
        what: "BIND leaves out addresses that are a help only, not in-domain glue (RFC 9471 §3.1)",
        of: &[Bind],
        excuse: |case| {
            let Case { ours, theirs, .. } = case;
            let (help, rest) = split_help(ours, theirs);
            ours.additional = rest;
            !help.is_empty()
        },
    },
    Difference {
        what: "addresses made from a wildcard may go along (RFC 1034 §4.3.2, step 6): we send those \
               that are written",
        of: &[Knot, Bind],
        excuse: |case| {
            let Case { written, ours, theirs, .. } = case;
            let before = theirs.additional.len();
            let stays = |record: &Record| written.owners.contains(&record.owner);
            theirs.additional.retain(|record| !ours.authoritative || stays(record));
            theirs.additional.len() < before
        },
    },
    Difference {
        what: "addresses hidden below a cut are not this zone's to give with MX and SRV (RFC 1034 \
               §4.2.1): Knot gives them",
        of: &[Knot],
        excuse: |case| {
            let Case { written, ours, theirs, .. } = case;
            let before = theirs.additional.len();
            let stays = |record: &Record| !written.is_delegated(&record.owner);
            theirs.additional.retain(|record| !ours.authoritative || stays(record));
            theirs.additional.len() < before
        },
    },
    Difference {
        what: "a set has no doubles (RFC 2181 §5): a CNAME of `*` to itself, a DNAME that led to \
               its owner, addresses of two MX of one host stand twice in their replies",
        of: &[Nsd, Knot],
        excuse: |case| {
            let Reply { aliases, additional, .. } = &mut case.theirs;
            let before = aliases.len() + additional.len();
            let mut seen = BTreeSet::new();
            aliases.retain(|record| seen.insert(record.clone()));
            additional.dedup();
            aliases.len() + additional.len() < before
        },
    },
    Difference {
        what: "an SOA that does not fit truncates (RFC 2308 §3 wants it there): Knot leaves it out",
        of: &[Knot],
        excuse: |case| {
            let Case { ours, theirs, .. } = case;
            let lacks = theirs.authority.is_empty()
                && ours.authority.first().is_some_and(|record| {
                    let length = 12 + record.rdata.len();
                    record.rtype == SOA && case.their_length + length > case.question.limit()
                });
            case.excuse_all(lacks)
        },
    },
    Difference {
        what: "an endless chain is for the resolver to see (RFC 1034 §5.2.2): BIND says SERVFAIL, \
               to loops as well",
        of: &[Bind],
        excuse: |case| {
            let Case { ours, theirs, .. } = case;
            let targets: BTreeSet<_> = ours.aliases.iter().map(|link| &link.rdata).collect();
            let closes = ours.aliases.iter().any(|link| targets.contains(&link.owner));
            let excused = (ours.rcode, theirs.rcode) == (NOERROR, SERVFAIL);
            let excused = excused && (closes || links(theirs) >= BIND_LINKS);
            case.excuse_all(excused)
        },
    },
    Difference {
        what: "a chain of aliases may be left to the resolver anywhere, names that grow for ever by \
               DNAMEs as well (RFC 6672 §3.1): we stop after 17 links, Knot after 5, NSD sooner",
        of: &[Nsd, Knot, Bind],
        excuse: |case| {
            let Case { ours, theirs, .. } = case;
            let gave_up = links(ours) == OUR_LINKS || links(theirs) == KNOT_LINKS;
            let has_less = links(theirs) < links(ours) && ours.aliases.starts_with(&theirs.aliases);
            case.excuse_all(gave_up && has_less)
        },
    },
    Difference {
        what: "nothing follows YXDOMAIN (RFC 6672 §2.2): Knot sends an SOA, a referral or one more \
               alias, or says NXDOMAIN",
        of: &[Knot],
        excuse: |case| {
            let Case { ours, theirs, .. } = case;
            let excused = ours.rcode == YXDOMAIN && theirs.aliases.starts_with(&ours.aliases);
            case.excuse_all(excused)
        },
    },
    Difference {
        what: "the same the other way round (RFC 1035 §4.1.4): we compress no target that a DNAME \
               made, and of other names the zone's own part only",
        of: &[Nsd, Knot, Bind],
        excuse: |case| {
            let Case { ours, theirs, .. } = case;
            let is_long = |record: &Record| record.rdata.len().max(record.owner.len()) > LONG;
            let is_bulky =
                |record: &Record| record.rtype == DNAME || record.rtype != TXT && is_long(record);
            if theirs.truncated || !theirs.records().any(is_bulky) {
                return false;
            }
            if ours.truncated {
                return case.excuse_all(true);
            }
            // What only helps is left out without a trace (RFC 2181 §9).
            let has_more = ours.additional.iter().all(|it| theirs.additional.contains(it));
            let excused = has_more && ours.additional.len() < theirs.additional.len();
            if excused {
                theirs.additional.clone_from(&ours.additional);
            }
            excused
        },
    },
];
