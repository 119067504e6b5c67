//! One zone by itself: its static text, its generated records and its steered ones, with ids of
//! its own.
//!
//! A draft needs nothing of any other zone, so that a zone that does not compile leaves nothing
//! behind, and one that did not change need not be compiled again.

use super::{
    lint::{self, Remarks},
    maps::MapCache,
    names::{self, Lines, Scope},
    policies,
    pools::{self, SlotSpec},
    records::{self, PlanDraft, RecordDraft, Steered},
    safety,
    server::Server,
    trees::FailoverSpec,
};
use crate::{
    config::{
        Content, Problem, Problems, Progress, Severity, Spanned, ZoneSources,
        zone::{self as config, SoaDef, ZoneFile},
    },
    place::LazyTable,
    snapshot::safety::Capacity,
    units::{Ttl, is_later_serial},
    wire::{
        Name,
        types::{Rclass, Rtype},
    },
    zone::{self, Answers, At, Record, Source, Zone, ZoneBuilder, ZoneProblem},
};
use std::{
    collections::HashMap,
    io,
    ops::Range,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// TTL of generated SOA and NS records (DESIGN §5, TTL).
const GENERATED_TTL: Ttl = Ttl::from_secs(3_600);
/// How long absence may be remembered when nobody says: as long as a minute of outage.
const NEGATIVE_TTL: Ttl = Ttl::from_secs(60);
/// Records are told to whoever waits by so many: often enough for an eye.
const COUNTED_AT_ONCE: u64 = 4_096;
/// For secondaries that are not there yet: the usual hour, quarter of an hour and fortnight.
const REFRESH: Ttl = Ttl::from_secs(3_600);
const RETRY: Ttl = Ttl::from_secs(900);
const EXPIRE: Ttl = Ttl::from_secs(14 * 86_400);

/// A zone compiled by itself.
#[derive(Debug)]
pub(super) struct ZoneDraft {
    pub apex: Name,
    pub zone: Arc<Zone>,
    /// The serial given out here; none if the SOA is the operator's own.
    pub serial: Option<u32>,
    pub records: Vec<RecordDraft>,
    pub plans: Vec<PlanDraft>,
    pub slots: Vec<SlotSpec>,
    pub failovers: Vec<FailoverSpec>,
    /// Of its own pools.
    pub capacities: Vec<Capacity>,
    pub warnings: Vec<Problem>,
    /// What linting found besides warnings.
    pub remarks: Remarks,
}

/// What is served under an apex.
#[derive(Debug)]
pub(super) struct Served {
    pub main: Arc<Path>,
    pub apex: Name,
    /// Nothing: SERVFAIL.
    pub draft: Option<Arc<ZoneDraft>>,
}

impl Served {
    pub fn draft(main: &Arc<Path>, draft: Arc<ZoneDraft>) -> Self {
        Served { main: main.clone(), apex: draft.apex.clone(), draft: Some(draft) }
    }

    /// Of a zone which never compiled only the apex can be known: from its `zone` key, else
    /// from its file's name.
    pub fn nothing(zone: &ZoneSources) -> Option<Self> {
        let text = zone.files.text(&zone.main).filter(|_| !zone.is_plain());
        let read =
            text.and_then(|text| config::read(&zone.main, text, &mut Problems::default())?.zone);
        let name = read.map(Spanned::into_inner).unwrap_or_else(|| zone.stem());
        let apex = Name::parse(&name).ok()?;
        Some(Served { main: zone.main.clone(), apex, draft: None })
    }
}

/// The problem of a zone with two files.
pub(super) fn defined_twice(main: &Arc<Path>, other: &Path) -> Problem {
    let message = format!("this zone is defined in {} too", other.display());
    Problem::of_file(main, message).help("a zone has one file: move one of them out of zones/")
}

/// What all drafts are made with, many at once.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub server: &'a Server,
    pub locations: Option<&'a LazyTable>,
    pub serials: &'a HashMap<Name, u32>,
    pub maps: &'a MapCache,
    pub progress: &'a Progress,
}

/// Compiles a zone; nothing, with problems, if it has an error. Warnings go into the draft.
pub(super) fn draft(
    ground: Ground<'_>,
    sources: &ZoneSources,
    problems: &mut Problems,
) -> Option<ZoneDraft> {
    let mut found = Problems::default();
    sources.files.problems(&mut found);
    let (is_partial, opened) = (false, None);
    let mut drafting = Drafting { ground, sources, problems: &mut found, is_partial, opened };
    let drafted = match sources.is_plain() {
        true => drafting.plain(),
        false => drafting.steered(),
    };
    match drafted {
        Some(draft) if !found.has_errors() => {
            Some(ZoneDraft { warnings: found.into_iter().collect(), ..draft })
        }
        _ => {
            problems.append(found);
            None
        }
    }
}

struct Drafting<'s> {
    ground: Ground<'s>,
    sources: &'s ZoneSources,
    problems: &'s mut Problems,
    /// Whether some text could not be read, so that records are missing.
    is_partial: bool,
    /// The file with the last problem, if its text was not in memory.
    opened: Option<(Arc<Path>, Content)>,
}

impl<'s> Drafting<'s> {
    /// `zones/X.zone`: RFC 1035 text with origin X.
    fn plain(&mut self) -> Option<ZoneDraft> {
        let main = &self.sources.main;
        let content = self.sources.files.content(main)?;
        let stem = self.sources.stem();
        let apex = match Name::parse(&stem) {
            Ok(apex) => apex,
            Err(why) => {
                let message = format!("its name, `{stem}`, is not that of a zone: {why}");
                let problem = Problem::of_file(main, message);
                self.problems.push(problem.help("zones/X.zone holds the zone X"));
                return None;
            }
        };
        let at = At { file: main.clone(), line: 1 };
        let mut builder = ZoneBuilder::new(apex.clone(), at.clone());
        self.read_file(main, content, &apex, None, &mut |record| builder.add(record));
        let zone = self.build(builder, &at, &HashMap::new())?;
        Some(self.finish(apex, zone, None, Steered::default(), Remarks::default()))
    }

    /// `zones/*.toml`.
    fn steered(&mut self) -> Option<ZoneDraft> {
        let main = &self.sources.main;
        let text = self.sources.files.text(main)?;
        let file = config::read(main, text, self.problems)?;
        let zone_key = file.zone.as_ref()?;
        let apex = self.domain_name(main, zone_key)?;
        let steered = self.compile_records(&file, &apex);

        let mut places = Places { file: main, lines: Lines::new(text), spans: HashMap::new() };
        let at = places.at(&zone_key.span());
        let mut builder = ZoneBuilder::new(apex.clone(), at.clone());
        let mut own = OwnAuthority::default();
        self.static_records(&file, &apex, &places.lines, &mut |record| {
            own.note(&record, &apex);
            builder.add(record);
        });
        let serial = self.authority(&file, own, &mut places, &mut builder);
        for (index, record) in steered.records.iter().enumerate() {
            // A CNAME at the apex has been refused, with better advice than the zone has.
            let plan = &steered.plans[record.plan];
            let answers = match plan.has_cname && record.owner != apex {
                true => Answers::Cname,
                false => Answers::Addresses { extra: plan.tree.extra_types() },
            };
            builder.steer(&record.owner, index as u32, answers, places.at(&record.span));
        }
        let zone = self.build(builder, &at, &places.spans);
        let Ground { server, locations, .. } = self.ground;
        let remarks = lint::zone(server, locations, &file, &steered, self.problems);
        let capacities = safety::of_pools(&format!("{apex}/"), &file.pools).collect();
        let draft = self.finish(apex, zone?, serial, steered, remarks);
        Some(ZoneDraft { capacities, ..draft })
    }

    /// Adds the NS records of `ns`, and an SOA unless the zone's text has one and nothing else
    /// is said of it. Returns the serial of a generated SOA.
    fn authority(
        &mut self,
        file: &ZoneFile,
        own: OwnAuthority,
        places: &mut Places<'_>,
        builder: &mut ZoneBuilder,
    ) -> Option<u32> {
        let apex = builder.apex().clone();
        let mut first = None;
        for name in file.ns.iter().flat_map(|ns| ns.get_ref()) {
            if let Some(server) = self.domain_name(&file.file, name) {
                let at = places.at(&name.span());
                builder.add(generated(&apex, Rtype::NS, server.as_wire(), at));
                first.get_or_insert(server);
            }
        }
        if own.has_soa && file.soa.span.is_none() {
            return None;
        }
        let serial = self.serial(&file.soa, &apex);
        let rdata = self.soa(file, &apex, first.or(own.server), serial);
        let zone_key = file.zone.as_ref().map(Spanned::span);
        let span = file.soa.span.clone().or(zone_key).unwrap_or_default();
        builder.add(generated(&apex, Rtype::SOA, &rdata, places.at(&span)));
        Some(serial)
    }

    fn domain_name(&mut self, file: &Arc<Path>, written: &Spanned<String>) -> Option<Name> {
        match Name::parse(written.get_ref()) {
            Ok(name) => Some(name),
            Err(why) => {
                let message = format!("`{written}` is not a domain name: {why}");
                self.problems.push(Problem::error(file, written.span(), message));
                None
            }
        }
    }

    fn compile_records(&mut self, file: &ZoneFile, apex: &Name) -> Steered {
        let scope = Scope::zone(self.ground.server, file, self.problems);
        names::check_record_settings(&scope, &file.file, &file.settings, self.problems);
        for pool in &file.pools {
            pools::check(&scope, pool, self.problems);
        }
        for policy in &file.policies {
            policies::check_definition(&scope, policy, self.problems);
        }
        policies::check_loops(&scope, &file.policies, self.problems);
        records::compile(self.ground, &scope, file, apex, self.problems)
    }

    /// The records of the zone's RFC 1035 text: its own and that of the files it includes.
    fn static_records(
        &mut self,
        file: &ZoneFile,
        apex: &Name,
        lines: &Lines,
        sink: &mut dyn FnMut(Record),
    ) {
        let ttl = file.settings.ttl.as_ref().or(self.ground.server.file.defaults.ttl.as_ref());
        let ttl = ttl.map_or(GENERATED_TTL, |ttl| ttl.get_ref().max);
        if let Some(written) = &file.static_text {
            let start = written.start.unwrap_or(written.span.start);
            let source = Source::held(file.file.clone(), lines.line(start), &written.text);
            self.read(source, apex, Some(ttl), sink);
        }
        let sources = self.sources;
        for written in &file.include {
            let Some((path, found)) = sources.files.find(written.get_ref(), &sources.main) else {
                let message = format!("there is no file `{written}`");
                let problem = Problem::error(&file.file, written.span(), message);
                self.problems.push(
                    problem.help(
                        "paths are relative to the folder of tradewind.toml, or else to zones/",
                    ),
                );
                continue;
            };
            if let Ok(content) = &found.content {
                self.read_file(path, content, apex, Some(ttl), sink);
            }
        }
    }

    fn read_file(
        &mut self,
        path: &Arc<Path>,
        content: &Content,
        apex: &Name,
        ttl: Option<Ttl>,
        sink: &mut dyn FnMut(Record),
    ) {
        match content.open() {
            Ok(text) => {
                let text = self.ground.progress.count(path, text);
                let source = Source { path: path.clone(), first_line: 1, text };
                self.read(source, apex, ttl, sink);
            }
            Err(error) => {
                self.is_partial = true;
                self.problems.push(Problem::of_file(path, format!("cannot be read: {error}")));
            }
        }
    }

    fn read(
        &mut self,
        source: Source<'_>,
        apex: &Name,
        ttl: Option<Ttl>,
        sink: &mut dyn FnMut(Record),
    ) {
        let (files, progress) = (&self.sources.files, self.ground.progress);
        let loader = |path: &Path| match files.resolve(path) {
            Some((path, file)) => match &file.content {
                Ok(content) => Ok(progress.count(path, content.open()?)),
                Err(why) => Err(io::Error::other(why.to_string())),
            },
            None => Err(io::ErrorKind::NotFound.into()),
        };
        let mut counted = 0;
        let problems = zone::read(source, &loader, apex, ttl, &mut |record| {
            counted += 1;
            if counted % COUNTED_AT_ONCE == 0 {
                progress.records(COUNTED_AT_ONCE);
            }
            sink(record);
        });
        progress.records(counted % COUNTED_AT_ONCE);
        for problem in problems {
            self.is_partial = true;
            self.zone_problem(problem, &HashMap::new());
        }
    }

    /// Builds the zone defined at `at`, which the builder blames for what the zone lacks.
    fn build(
        &mut self,
        builder: ZoneBuilder,
        at: &At,
        spans: &HashMap<u32, Range<usize>>,
    ) -> Option<Zone> {
        let (zone, problems) = builder.build();
        for problem in problems {
            // What is lacking may stand in a line that could not be read: then that line is told.
            let lacks = problem.line == at.line && problem.file == at.file;
            if !(self.is_partial && lacks) {
                self.zone_problem(problem, spans);
            }
        }
        if let Some(zone) = &zone {
            self.check_serial(zone, at, spans);
        }
        zone
    }

    /// What others copied of a zone they copy again only when its serial has moved on.
    fn check_serial(&mut self, zone: &Zone, at: &At, spans: &HashMap<u32, Range<usize>>) {
        let serial = zone.serial();
        let served = self.ground.serials.get(zone.apex()).copied();
        if let Some(served) = served.filter(|served| is_later_serial(*served, serial)) {
            let message =
                format!("its serial, {serial}, lies behind {served}, which was served last");
            let help =
                "add at least one to what was served; a serial may run over its end (RFC 1982)";
            self.zone_problem(ZoneProblem::warning(at, message).help(help), spans);
        }
    }

    /// A zone's problem with the bytes it is about: those at `spans` for what stands in a line
    /// of the main file, else the line.
    fn zone_problem(&mut self, problem: ZoneProblem, spans: &HashMap<u32, Range<usize>>) {
        let sources = self.sources;
        let resolved = sources.files.resolve(&problem.file);
        let file = resolved.map_or(&problem.file, |(path, _)| path);
        let known = spans.get(&problem.line).filter(|_| *file == self.sources.main);
        let span = match known {
            Some(span) if problem.column <= 1 => span.clone(),
            _ => names::place(self.text(file), problem.line, problem.column),
        };
        self.problems.push(Problem {
            severity: match problem.severity {
                zone::Severity::Error => Severity::Error,
                zone::Severity::Warning => Severity::Warning,
            },
            help: problem.help,
            ..Problem::error(file, span, problem.message)
        });
    }

    /// The text of `file`, in memory or not; nothing if it is not what it was any more.
    fn text(&mut self, file: &Arc<Path>) -> &str {
        let sources = self.sources;
        let Some(content) = sources.files.content(file) else { return "" };
        if let Some(text) = content.text() {
            return text;
        }
        if self.opened.as_ref().is_none_or(|(path, _)| path != file) {
            self.opened = content.hold().map(|content| (file.clone(), content));
        }
        self.opened.as_ref().and_then(|(_, content)| content.text()).unwrap_or_default()
    }

    /// `soa.serial`, else the time of the newest file; never below the one served last
    /// (DESIGN §5, Reload).
    fn serial(&self, soa: &SoaDef, apex: &Name) -> u32 {
        let newest = self.sources.files.newest().unwrap_or(SystemTime::UNIX_EPOCH);
        let newest = newest.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32;
        let written = soa.serial.as_ref().map(|serial| *serial.get_ref());
        let serial = written.unwrap_or(newest);
        let served = self.ground.serials.get(apex).copied();
        served.filter(|served| is_later_serial(*served, serial)).unwrap_or(serial)
    }

    fn soa(&mut self, file: &ZoneFile, apex: &Name, first: Option<Name>, serial: u32) -> Vec<u8> {
        let ZoneFile { file, soa, .. } = file;
        let rname = match &soa.rname {
            Some(rname) if rname.get_ref().contains('@') => {
                let name = rname.get_ref().replacen('@', ".", 1);
                let problem = Problem::error(file, rname.span(), "`rname` is a mailbox as a name");
                self.problems.push(problem.help(format!("write \"{name}\"")));
                None
            }
            Some(rname) => self.domain_name(file, rname),
            None => apex.prepend(b"hostmaster").ok(),
        };
        // Without a server the zone is refused for want of NS records.
        let mname = first.unwrap_or_else(|| apex.clone());
        let rname = rname.unwrap_or_else(|| apex.clone());
        let ttl = |written: &Option<Spanned<Ttl>>, usual: Ttl| {
            written.as_ref().map_or(usual, |ttl| *ttl.get_ref()).as_secs()
        };
        let numbers = [
            serial,
            ttl(&soa.refresh, REFRESH),
            ttl(&soa.retry, RETRY),
            ttl(&soa.expire, EXPIRE),
            ttl(&soa.negative_ttl, NEGATIVE_TTL),
        ];
        let mut rdata = [mname.as_wire(), rname.as_wire()].concat();
        rdata.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        rdata
    }

    fn finish(
        &self,
        apex: Name,
        zone: Zone,
        serial: Option<u32>,
        steered: Steered,
        remarks: Remarks,
    ) -> ZoneDraft {
        ZoneDraft {
            apex,
            zone: Arc::new(zone),
            serial,
            records: steered.records,
            plans: steered.plans,
            slots: steered.slots.list,
            failovers: steered.failovers.list,
            capacities: Vec::new(),
            warnings: Vec::new(),
            remarks,
        }
    }
}

/// What the zone's own text says of who serves it.
#[derive(Default)]
struct OwnAuthority {
    has_soa: bool,
    /// The first of its NS records.
    server: Option<Name>,
}

impl OwnAuthority {
    fn note(&mut self, record: &Record, apex: &Name) {
        match record.rtype {
            Rtype::SOA if record.owner == *apex => self.has_soa = true,
            Rtype::NS if self.server.is_none() && record.owner == *apex => {
                self.server = Name::from_wire(&record.rdata).ok();
            }
            _ => {}
        }
    }
}

/// Where things stand in a zone's main file: a zone knows lines, an operator wants the word.
struct Places<'a> {
    file: &'a Arc<Path>,
    lines: Lines,
    /// For each line that was asked for the bytes it was asked about.
    spans: HashMap<u32, Range<usize>>,
}

impl Places<'_> {
    fn at(&mut self, span: &Range<usize>) -> At {
        let line = self.lines.line(span.start);
        self.spans.insert(line, span.clone());
        At { file: self.file.clone(), line }
    }
}

fn generated(apex: &Name, rtype: Rtype, rdata: &[u8], at: At) -> Record {
    Record {
        owner: apex.clone(),
        rtype,
        class: Rclass::IN,
        ttl: GENERATED_TTL,
        rdata: rdata.into(),
        at,
    }
}
