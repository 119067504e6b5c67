//! A pool's `extra`: RFC 1035 text for the name of whatever record answers the pool, so that
//! further types go with the addresses of one draw.
//!
//! Read twice: once where the pool is defined, for everything that can be wrong with it, and for
//! each record that uses it, since names in it are relative to the record's.

use super::names;
use crate::{
    config::{Problem, Problems, Severity, pool::PoolDef, zone::StaticText},
    policy::tree::{EXTRA_BYTES_MAX, EXTRA_TYPES_MAX},
    units::Ttl,
    wire::{
        Name, Rdatas,
        types::{Rclass, Rtype},
    },
    zone::{self, Record, Source},
};
use std::{collections::BTreeMap, io, ops::Range, path::Path, sync::Arc};

/// What a record without a TTL gets here: no TTL that anybody writes, so that a written one
/// shows.
const UNWRITTEN: Ttl = Ttl::MAX;

/// Checks the `extra` of a pool as it is defined, once, whoever uses it.
pub(super) fn check(def: &PoolDef, problems: &mut Problems) {
    let Some(written) = &def.extra else { return };
    let mut found = Problems::default();
    let mut reading = Reading::new(def, written, &mut found);
    let sets = reading.sets(&Name::root());
    let whole = written.span.clone();
    if sets.is_empty() && !reading.problems.has_errors() {
        let message = format!("the `extra` of pool `{}` holds no record", def.name);
        reading.error(
            whole.clone(),
            message,
            "write one, as in `@ TXT \"canary\"`, or leave it out",
        );
    }
    if sets.len() > EXTRA_TYPES_MAX {
        let message = format!("the `extra` of pool `{}` has {} types", def.name, sets.len());
        let help = format!("{EXTRA_TYPES_MAX} is the most: make records of their own of some");
        reading.error(whole.clone(), message, &help);
    }
    let bytes: usize = sets.values().flatten().map(|rdata| rdata.len()).sum();
    if bytes > EXTRA_BYTES_MAX {
        let message = format!("the `extra` of pool `{}` is {bytes} bytes of data", def.name);
        let help = format!(
            "{EXTRA_BYTES_MAX} is the most: it would not fit into an answer, and every region has \
             a copy"
        );
        reading.error(whole, message, &help);
    }
    problems.append(found);
}

/// The `extra` of a pool that has been checked, as the record `owner` answers it. What is wrong
/// with it there is that `owner` is too long for the names below it.
pub(super) fn read(def: &PoolDef, owner: &Name, problems: &mut Problems) -> Arc<[Rdatas]> {
    let Some(written) = &def.extra else { return Arc::default() };
    let mut found = Problems::default();
    let sets = Reading::new(def, written, &mut found).sets(owner);
    problems.extend(found.into_iter().filter(|problem| problem.severity == Severity::Error));
    // Names are not compressed against the apex: records of several zones may share the tree.
    let built = |(rtype, rdatas): (Rtype, Vec<Box<[u8]>>)| {
        Rdatas::build(rtype, rdatas.iter().map(|rdata| &**rdata), None).ok()
    };
    sets.into_iter().filter_map(built).collect()
}

struct Reading<'d, 'p> {
    def: &'d PoolDef,
    written: &'d StaticText,
    problems: &'p mut Problems,
}

impl<'d, 'p> Reading<'d, 'p> {
    fn new(def: &'d PoolDef, written: &'d StaticText, problems: &'p mut Problems) -> Self {
        Reading { def, written, problems }
    }

    /// The rdata of each type, where the origin is `owner`.
    fn sets(&mut self, owner: &Name) -> BTreeMap<Rtype, Vec<Box<[u8]>>> {
        let source = Source::held(self.def.file.clone(), 1, &self.written.text);
        let loader = |_: &Path| Err(io::Error::other("`extra` stands by itself"));
        let mut records: Vec<Record> = Vec::new();
        let problems =
            zone::read(source, &loader, owner, Some(UNWRITTEN), &mut |r| records.push(r));
        for problem in problems {
            let span = self.place(problem.line, problem.column);
            let told = Problem::error(&self.def.file, span, problem.message);
            self.problems.push(Problem { help: problem.help, ..told });
        }
        if let Some(record) = records.iter().find(|record| record.ttl != UNWRITTEN) {
            let span = self.place(record.at.line, 1);
            let message = "a TTL means nothing in `extra`: the record's own `ttl` holds";
            self.problems.push(Problem::warning(&self.def.file, span, message));
        }
        let mut sets: BTreeMap<Rtype, Vec<Box<[u8]>>> = BTreeMap::new();
        for record in records {
            if let Some((message, help)) = refused(&record, owner) {
                let span = self.place(record.at.line, 1);
                self.error(span, message, help);
                continue;
            }
            let set = sets.entry(record.rtype).or_default();
            if !set.contains(&record.rdata) {
                set.push(record.rdata);
            }
        }
        sets
    }

    /// The bytes of the file at a line and column of the text; all of it where escapes make it
    /// another text than what is written.
    fn place(&self, line: u32, column: u32) -> Range<usize> {
        let Some(start) = self.written.start else { return self.written.span.clone() };
        let place = names::place(&self.written.text, line, column);
        start + place.start..start + place.end
    }

    fn error(&mut self, span: Range<usize>, message: String, help: &str) {
        self.problems.push(Problem::error(&self.def.file, span, message).help(help));
    }
}

/// Why `record` cannot go along with the addresses at `owner`, and what to do instead.
fn refused(record: &Record, owner: &Name) -> Option<(String, &'static str)> {
    let rtype = record.rtype;
    let help = match rtype {
        _ if record.class != Rclass::IN => "write IN, or nothing",
        _ if record.owner != *owner => {
            let message =
                "`extra` stands at the name of the record that answers the pool".to_owned();
            return Some((
                message,
                "write `@`; for another name (`_443._tcp.www`) make a record of it with the same \
                 members: records with one `cohort` and `sticky = \"client\"` choose alike",
            ));
        }
        Rtype::A | Rtype::AAAA => "addresses are endpoints: they have a verdict and a weight",
        Rtype::CNAME | Rtype::DNAME => "a name with addresses is no alias (RFC 1034 §3.6.2)",
        Rtype::NS | Rtype::SOA => "who serves a name is the same for all: write it in `static`",
        _ if is_dnssec(rtype) => "what signs a zone is not chosen by client",
        // Question types and what only a message has (RFC 6895 §3.1).
        Rtype(0 | 41 | 128..=255) => "this is no type of a record",
        _ => return None,
    };
    let what =
        if record.class == Rclass::IN { rtype.to_string() } else { record.class.to_string() };
    Some((format!("{what} cannot stand in `extra`"), help))
}

/// KEY, SIG and NXT of RFC 2535 among them.
fn is_dnssec(rtype: Rtype) -> bool {
    matches!(
        rtype,
        Rtype::DS
            | Rtype::RRSIG
            | Rtype::NSEC
            | Rtype::DNSKEY
            | Rtype::NSEC3
            | Rtype::NSEC3PARAM
            | Rtype::CDS
            | Rtype::CDNSKEY
            | Rtype::CSYNC
            | Rtype::ZONEMD
            | Rtype(24 | 25 | 30)
    )
}
