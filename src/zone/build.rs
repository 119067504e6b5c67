//! Records and steered names to a [`Zone`], or everything that is wrong with them.
//!
//! Records are held flat until all are there, then sorted into RRsets, each with its signatures;
//! `link` finds how nodes bear on each other, `check` complains, `signed` finds the proofs of a
//! signed zone. A zone with an error is no zone: what was served before goes on being served,
//! which is not for this room to see to.

use std::path::Path;
use std::sync::Arc;

use super::file::Record;
use super::lookup::{APEX, Zone};
use super::names::{Names, TableFull};
use super::nsec3::{Label, Link};
use super::problem::{At, Severity, Told, ZoneProblem};
use super::rrset::{Companions, NONE, Owned, Rrset};
use super::{check, link, share, signed};
use crate::units::Ttl;
use crate::wire::types::{Rclass, Rtype};
use crate::wire::{Name, Rdatas};

/// Collects what a zone is to hold.
#[derive(Debug)]
pub struct ZoneBuilder {
    apex: Name,
    at: At,
    names: Names<Owned>,
    held: Vec<Held>,
    /// NSEC3 records with their signatures, and their owners. Those are hashes and no names of
    /// the zone: what is asked there does not exist (RFC 5155 §7.2.8).
    hashed: (Names<()>, Vec<Held>),
    /// The rdata of all that is held.
    rdata: Vec<u8>,
    files: Vec<Arc<Path>>,
    steered: Vec<SteeredName>,
    problems: Vec<ZoneProblem>,
}

/// What steering answers at a name.
#[derive(Clone, Debug)]
pub enum Answers {
    /// A and AAAA, and these types beside them; every other type is static.
    Addresses {
        /// Rising.
        extra: Box<[Rtype]>,
    },
    /// A CNAME at times: the name owns nothing else (RFC 1034 §3.6.2).
    Cname,
}

/// A steered name of a zone in the making.
#[derive(Clone, Debug)]
pub(super) struct SteeredName {
    pub node: u32,
    /// Where it was made so.
    pub at: At,
    pub answers: Answers,
}

/// A record that waits for its RRset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Its owner: a node, or one of the hashes.
    node: u32,
    /// The type; of a signature that which it covers.
    rtype: Rtype,
    is_signature: bool,
    ttl: Ttl,
    rdata_len: u16,
    rdata_start: usize,
    file: u32,
    line: u32,
}

impl ZoneBuilder {
    /// A zone without any record; `at` is where the zone itself is defined, and is blamed for
    /// what it lacks.
    pub fn new(apex: Name, at: At) -> Self {
        let mut names = Names::default();
        let inserted = names.insert(b"", Owned::default());
        debug_assert_eq!(inserted, Ok(APEX));
        ZoneBuilder {
            apex,
            at,
            names,
            held: Vec::new(),
            hashed: Default::default(),
            rdata: Vec::new(),
            files: Vec::new(),
            steered: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The zone's own name.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// Adds a record. Only data of class IN at or below the apex belongs into a zone
    /// (RFC 1035 §5.2).
    pub fn add(&mut self, record: Record) {
        let Record { owner, rtype, ttl, rdata, at, .. } = &record;
        if record.class != Rclass::IN {
            let message = format!("class {} is not served", record.class);
            self.refuse(at, message, "write IN, or nothing");
            return;
        }
        let (is_signature, rtype) = match (*rtype, rdata.first_chunk::<2>()) {
            (Rtype::RRSIG, Some(covered)) => (true, Rtype(u16::from_be_bytes(*covered))),
            (rtype, _) => (false, rtype),
        };
        let insert = match rtype {
            Rtype::NSEC3 => |builder: &mut Self, key: &[u8]| builder.hashed.0.insert(key, ()),
            _ => |builder: &mut Self, key: &[u8]| builder.names.insert(key, Owned::default()),
        };
        let Some(node) = self.place(owner, at, insert) else {
            return;
        };
        let Ok(rdata_len) = u16::try_from(rdata.len()) else {
            let message = format!("this {rtype} record is larger than 65,535 bytes");
            self.refuse(at, message, "make it smaller");
            return;
        };
        let file = self.file(&at.file);
        let held = if rtype == Rtype::NSEC3 { &mut self.hashed.1 } else { &mut self.held };
        held.push(Held {
            node,
            rtype,
            is_signature,
            ttl: *ttl,
            rdata_len,
            rdata_start: self.rdata.len(),
            file,
            line: at.line,
        });
        self.rdata.extend_from_slice(rdata);
    }

    /// Marks `owner` as steered by the zone's steered record `index`, which `answers` so.
    pub fn steer(&mut self, owner: &Name, index: u32, answers: Answers, at: At) {
        let insert = |builder: &mut Self, key: &[u8]| builder.names.insert(key, Owned::default());
        let Some(node) = self.place(owner, &at, insert) else {
            return;
        };
        let owned = self.names.value_mut(node);
        if owned.steered != NONE {
            self.refuse(&at, format!("`{owner}` is steered twice"), "remove one of the two");
            return;
        }
        owned.steered = index;
        owned.answers_cname = matches!(answers, Answers::Cname);
        self.steered.push(SteeredName { node, at, answers });
    }

    /// The zone, if nothing worse than a warning was found; and all problems, by place.
    pub fn build(self) -> (Option<Zone>, Vec<ZoneProblem>) {
        let mut draft = self.group();
        link::link_tree(&mut draft);
        check::check(&mut draft);
        link::link_companions(&mut draft);
        signed::link(&mut draft);
        let (mut zone, mut problems) = draft.finish();
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        let sound = problems.iter().all(|problem| problem.severity < Severity::Error);
        if !sound {
            return (None, problems);
        }
        share::share(&mut zone);
        zone.names.settle();
        (Some(zone), problems)
    }

    /// Where `insert` puts `owner`; `None`, with a problem noted, if it lies outside.
    fn place(
        &mut self,
        owner: &Name,
        at: &At,
        insert: impl Fn(&mut Self, &[u8]) -> Result<u32, TableFull>,
    ) -> Option<u32> {
        let Some(relative) = owner.prefix_below(&self.apex) else {
            let message = format!("`{owner}` is not in the zone `{}`", self.apex);
            self.refuse(
                at,
                message,
                "a name with a dot at its end is absolute; without, it stands below the origin",
            );
            return None;
        };
        match insert(self, relative) {
            Ok(node) => Some(node),
            Err(full) => {
                self.refuse(at, full.to_string(), "split the zone");
                None
            }
        }
    }

    fn refuse(&mut self, at: &At, message: String, help: &str) {
        self.problems.push(ZoneProblem::error(at, message).help(help));
    }

    fn file(&mut self, file: &Arc<Path>) -> u32 {
        let known = self.files.iter().rposition(|known| Arc::ptr_eq(known, file) || known == file);
        known.unwrap_or_else(|| {
            self.files.push(file.clone());
            self.files.len() - 1
        }) as u32
    }

    /// Sorts what is held into RRsets, in the order of nodes and types.
    pub(super) fn group(mut self) -> Draft {
        self.steered.sort_by_key(|steered| steered.node);
        let mut draft = Draft {
            zone: Zone::empty(self.apex, self.names),
            at: self.at,
            held: Vec::new(),
            ends: Vec::new(),
            companions: Vec::new(),
            links: Vec::new(),
            rdata: self.rdata,
            files: self.files,
            steered: self.steered,
            problems: self.problems,
        };
        let mut rrsets = Vec::new();
        draft.sets(&mut self.held, |draft, first, range, rrset| {
            let owned = draft.zone.names.value_mut(first.node);
            if owned.rrset_count == 0 {
                owned.rrsets = rrsets.len() as u32;
            }
            // At most one for each of the 65,536 types, of which 0 is none.
            owned.rrset_count += 1;
            owned.has_dname |= rrset.rtype() == Rtype::DNAME;
            rrsets.push(rrset);
            draft.ends.push((range.start as u32, range.end as u32));
        });
        let (owners, mut hashed) = self.hashed;
        draft.sets(&mut hashed, |draft, first, _, rrset| {
            match Label::try_from(owners.key(first.node)) {
                Ok(label) => draft.links.push(Link { label, rrset }),
                Err(_) => {
                    let message =
                        "the owner of an NSEC3 record is the hash of a name (RFC 5155 §3)";
                    let help = "sign the zone again; its file has been changed since";
                    draft.error(&draft.held_at(first), message.into(), help);
                }
            }
        });
        draft.zone.rrsets = rrsets.into();
        draft.held = self.held;
        draft
    }
}

/// A zone in the making, with what is needed to complain about it.
#[derive(Debug)]
pub(super) struct Draft {
    pub zone: Zone,
    /// Where the zone is defined.
    pub at: At,
    pub problems: Vec<ZoneProblem>,
    /// The steered names, in the order of their nodes.
    pub steered: Vec<SteeredName>,
    held: Vec<Held>,
    /// For each RRset of the zone, which of `held` it is made of: first, and one past the last.
    ends: Vec<(u32, u32)>,
    /// The zone's table of them, as far as it has been made.
    pub companions: Vec<Companions>,
    /// The NSEC3 records.
    pub links: Vec<Link>,
    rdata: Vec<u8>,
    files: Vec<Arc<Path>>,
}

impl Draft {
    /// Makes RRsets of what is held, sorts it on the way, and hands each over with the first of
    /// its records and the places of all of them. Signatures stand behind what they cover.
    fn sets(
        &mut self,
        held: &mut [Held],
        mut take: impl FnMut(&mut Draft, &Held, std::ops::Range<usize>, Rrset),
    ) {
        held.sort_by_key(|held| (held.node, held.rtype, held.is_signature));
        let mut strays = Told::default();
        let mut start = 0;
        for both in held.chunk_by(|a, b| (a.node, a.rtype) == (b.node, b.rtype)) {
            let count = both.partition_point(|held| !held.is_signature);
            let range = start..start + count;
            start += both.len();
            let (set, signatures) = both.split_at(count);
            let Some(first) = set.first() else {
                strays.note(self.held_at(&both[0]), || {
                    format!("this signature is of {} records, but there are none", both[0].rtype)
                });
                continue;
            };
            if let Some(rrset) = self.rrset(set, signatures) {
                take(self, first, range, rrset);
            }
        }
        self.problems.extend(strays.warning("sign the zone again, or leave the signature out"));
    }

    /// The RRset of `set`. All its records get the lowest TTL of any (RFC 2181 §5.2).
    fn rrset(&mut self, set: &[Held], signatures: &[Held]) -> Option<Rrset> {
        let first = set[0];
        let ttl = set.iter().map(|held| held.ttl).min().unwrap_or(first.ttl);
        if let Some(other) = set.iter().find(|held| held.ttl != first.ttl) {
            let name = self.zone.node(first.node).name();
            let message = format!(
                "the {} records of `{name}` have different TTLs; {ttl} is used for all",
                first.rtype
            );
            let help = "give them one TTL (RFC 2181 §5.2)";
            self.problems.push(ZoneProblem::warning(&self.held_at(other), message).help(help));
        }
        let rdatas = self.rdatas(first.rtype, set)?;
        let companions = match signatures {
            [] => NONE,
            signatures => {
                let signatures = Some(self.rdatas(Rtype::RRSIG, signatures)?);
                self.companions.push(Companions { signatures, ..Companions::default() });
                self.companions.len() as u32 - 1
            }
        };
        Some(Rrset { ttl, rdatas, companions })
    }

    /// The data of `set`; none, with a problem noted, if it is too much.
    fn rdatas(&mut self, rtype: Rtype, set: &[Held]) -> Option<Rdatas> {
        let rdatas = set.iter().map(|held| self.held_rdata(held));
        match Rdatas::build(rtype, rdatas, Some(&self.zone.apex)) {
            Ok(rdatas) => Some(rdatas),
            Err(why) => {
                let at = self.held_at(&set[0]);
                let help = "all records of one name and type must fit into one message";
                self.problems.push(ZoneProblem::error(&at, why.to_string()).help(help));
                None
            }
        }
    }

    /// What is left when nothing needs to be looked up any more.
    fn finish(self) -> (Zone, Vec<ZoneProblem>) {
        (self.zone, self.problems)
    }

    fn held_at(&self, held: &Held) -> At {
        At { file: self.files[held.file as usize].clone(), line: held.line }
    }

    fn held_rdata(&self, held: &Held) -> &[u8] {
        &self.rdata[held.rdata_start..][..usize::from(held.rdata_len)]
    }

    /// The records of the zone's RRset at `index`: rdata and place.
    pub(super) fn records(&self, index: usize) -> impl Iterator<Item = (&[u8], At)> {
        let (start, end) = self.ends[index];
        let held = self.held[start as usize..end as usize].iter();
        held.map(|held| (self.held_rdata(held), self.held_at(held)))
    }

    /// The places of a node's RRsets in the zone's table.
    pub(super) fn rrset_indices(&self, node: u32) -> std::ops::Range<usize> {
        let owned = self.zone.names.value(node);
        let start = owned.rrsets as usize;
        start..start + usize::from(owned.rrset_count)
    }

    /// Where the RRset at `index` begins.
    pub(super) fn rrset_at(&self, index: usize) -> At {
        self.held_at(&self.held[self.ends[index].0 as usize])
    }

    /// Where anything of `node` was written; the zone's own place for an empty node.
    pub(super) fn node_at(&self, node: u32) -> At {
        if let Some(index) = self.rrset_indices(node).next() {
            return self.rrset_at(index);
        }
        match self.steered.binary_search_by_key(&node, |steered| steered.node) {
            Ok(index) => self.steered[index].at.clone(),
            Err(_) => self.at.clone(),
        }
    }

    /// The domain names that the records of the RRset at `index` point to, with their places:
    /// of the types whose target may or must have addresses.
    pub(super) fn targets(&self, index: usize) -> Vec<(Name, At)> {
        let skip = match self.zone.rrsets[index].rtype() {
            Rtype::NS => 0,
            Rtype::MX | Rtype::SVCB | Rtype::HTTPS => 2,
            Rtype::SRV => 6,
            _ => return Vec::new(),
        };
        let targets = self.records(index).map(|(rdata, at)| (name_in(rdata, skip), at));
        targets.filter_map(|(name, at)| Some((name?, at))).collect()
    }

    pub(super) fn error(&mut self, at: &At, message: String, help: &str) {
        self.problems.push(ZoneProblem::error(at, message).help(help));
    }

    pub(super) fn warn(&mut self, at: &At, message: String, help: &str) {
        self.problems.push(ZoneProblem::warning(at, message).help(help));
    }
}

/// The uncompressed name at `skip` in `rdata`, whatever follows it.
fn name_in(rdata: &[u8], skip: usize) -> Option<Name> {
    let wire = rdata.get(skip..)?;
    let mut end = 0;
    loop {
        let len = *wire.get(end)?;
        end += 1 + usize::from(len);
        if len == 0 {
            return Name::from_wire(&wire[..end]).ok();
        }
    }
}
