//! Files in, one of two things out: a set that is accepted, or everything that is wrong with it.
//!
//! The zone is the unit of failure: one that does not compile keeps its last good version, all
//! others move on. Errors in anything else hold everything back. [`Loader`] does the reading
//! and compiling, which may take seconds, on a thread of its own; what it [`Prepared`] is
//! published by [`super::publish`]. Publishes nothing itself. `report` has what whoever asked is told.

mod report;

use super::{
    hand::safety::Violation,
    revisions::{RevisionError, Revisions},
    secrets,
};
use crate::{
    checkplan::CheckPlan,
    clock::Clock,
    compile::{Compiled, CounterName, Entry, Input, Memory, compile},
    config::{
        Content, ContentHash, Problem, Problems, Progress, Severity,
        drill::DrillDef,
        peers::PeerDef,
        rollouts::RolloutDef,
        server::ServerSection,
        sources::{Files, SERVER_FILE, Sources, ZoneSources},
    },
    place::LazyTable,
    snapshot::Snapshot,
    telemetry::{AnswerName, Telemetry},
    wire::Name,
};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// Where clients are, and what was said of the files it came from.
pub use super::locations::{DAMAGED, Found, Locations};
pub use report::Report;

/// What asks for files to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The first load of a process: what does not compile is taken from the kept revisions.
    Start,
    /// The operator's files as they are now.
    Reload {
        /// Hold back a change that removes a zone or many of its names (`watch`).
        cautious: bool,
    },
    /// Only what is in `geoip/`; all else stays as accepted.
    Places,
    /// A kept revision.
    Rollback(u64),
    /// The files in force, with something wrong with them; as they are, without.
    Rehearse(Option<Rehearsal>),
    /// The operator's files, if they are what was planned and compile as a whole.
    Apply(Agreed),
}

/// What is wrong with files that are loaded to see what comes of it. The operator's own are
/// neither read nor touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// A zone, by its apex, whose file does not compile.
    BrokenZone(Arc<str>),
    /// A location database that is damaged.
    BadPlaces,
    /// No location databases but the embedded one, older than any the operator has.
    StalePlaces,
}

/// What somebody planned to load, over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The revision in force then.
    pub base: u64,
    /// The hash of the files.
    pub hash: ContentHash,
    /// Whether they are loaded over safety rules.
    pub break_glass: bool,
}

/// A set of files that was accepted, ready to be published.
#[derive(Debug)]
pub struct Prepared {
    /// What is answered.
    pub snapshot: Arc<Snapshot>,
    /// What is probed.
    pub plan: CheckPlan,
    /// How the process runs; only the first load's counts for what is bound.
    pub server: ServerSection,
    /// Who may use the admin API from another machine.
    pub entry: Entry,
    /// The rollouts that can be run.
    pub rollouts: Vec<Arc<RolloutDef>>,
    /// Where clients are.
    pub locations: Arc<LazyTable>,
    /// What `geoip/` held that was not there before, or is broken.
    pub found: Vec<Found>,
    /// The drills that can be run.
    pub drills: Vec<Arc<DrillDef>>,
    /// What to tell whoever asked.
    pub report: Report,
}

/// What a damaged file holds: neither a zone nor a database.
const BROKEN: &str = "[zone\nthis file was broken by a drill\n";

/// What is about to be in force.
struct Accepted {
    /// The files that all zones share.
    server: Files,
    compiled: Compiled,
    found: Vec<Found>,
}

/// Reads and compiles the operator's files; remembers what is in force.
pub struct Loader {
    dir: PathBuf,
    revisions: Revisions,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    locations: Locations,
    /// Whether only the embedded database counts, for a rehearsal.
    is_stale: bool,
    progress: Arc<Progress>,
    memory: Memory,
    in_force: InForce,
    /// What was in force before what was prepared last, if that may still be forbidden.
    before: Option<InForce>,
    /// How this process runs: what its first load said.
    running: Option<ServerSection>,
}

/// The set in force.
#[derive(Clone, Default)]
struct InForce {
    accepted: Option<Sources>,
    revision: u64,
    hash: Arc<str>,
    /// When files were accepted last.
    accepted_at: Option<SystemTime>,
    /// What the set in force was loaded for and when it was accepted, until it is kept.
    unkept: Option<(Arc<str>, SystemTime)>,
    serials: HashMap<Name, u32>,
    names: BTreeMap<Name, usize>,
}

impl Loader {
    /// A loader of the files in `dir` that keeps revisions under `state`.
    pub fn new(
        dir: &Path,
        state: &Path,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
    ) -> Loader {
        Loader {
            dir: dir.to_owned(),
            revisions: Revisions::new(state),
            clock,
            telemetry,
            locations: Locations::new(&dir.join("geoip")),
            is_stale: false,
            progress: Arc::default(),
            memory: Memory::default(),
            in_force: InForce::default(),
            before: None,
            running: None,
        }
    }

    /// How far loads come.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Loads what `wish` asks for. `cause` is kept with the revision.
    ///
    /// # Errors
    /// The report of a refusal: nothing changes then.
    pub fn load(&mut self, wish: &Wish, cause: &str) -> Result<Prepared, Box<Report>> {
        let mut alarms = Problems::default();
        let sources = self.sources(wish)?;
        // A rehearsal is about the files in force: what lies in geoip/ meanwhile waits.
        if !matches!(wish, Wish::Rehearse(_)) {
            self.locations.refresh();
        }
        self.is_stale = *wish == Wish::Rehearse(Some(Rehearsal::StalePlaces));
        let mut last_good =
            self.in_force.accepted.as_ref().map(|a| a.zones.clone()).unwrap_or_default();
        let mut kept = None;
        if *wish == Wish::Start {
            kept = self.revisions.newest();
            self.in_force.revision = self.revisions.next() - 1;
            if let Some((revision, kept)) = &kept {
                last_good.clone_from(&kept.zones);
                // The same files again are no new revision: else ten restarts would push every
                // other one out.
                self.in_force.accepted =
                    (*revision == self.in_force.revision).then(|| kept.clone());
            }
        }
        if let Wish::Apply(agreed) = wish {
            self.check_agreed(agreed, &sources)?;
            // Whoever applies a plan gets all of it or nothing.
            last_good.clear();
        }
        match self.compile(&sources, &last_good) {
            Ok(compiled) if matches!(wish, Wish::Apply(_)) && compiled.problems.has_errors() => {
                Err(self.refused(&compiled.problems, &sources))
            }
            Ok(compiled) => {
                let mut found = self.locations.news(&mut alarms);
                found.extend(self.rehearsed(wish, &mut alarms));
                let server = sources.server.clone();
                self.accept(wish, cause, &sources, Accepted { server, compiled, found }, alarms)
            }
            Err(problems) => {
                let Some((revision, kept)) = kept else {
                    return Err(self.refused(&problems, &sources));
                };
                // The server's own files are broken: start with those of the kept revision.
                let stand_in = Sources { server: kept.server.clone(), ..sources.clone() };
                let Ok(mut compiled) = self.compile(&stand_in, &last_good) else {
                    return Err(self.refused(&problems, &sources));
                };
                compiled.problems = problems;
                let found = self.locations.news(&mut alarms);
                let cause = format!("{cause} (server files of revision {revision})");
                let accepted = Accepted { server: stand_in.server, compiled, found };
                let mut prepared = self.accept(wish, &cause, &sources, accepted, alarms)?;
                // What is served is not what the operator wrote last, and that stays to be seen.
                prepared.report.accepted = false;
                Ok(prepared)
            }
        }
    }

    /// Keeps the set in force, unless it is kept already; if it cannot be, `report` says so.
    /// Waits for the disk, milliseconds a file, so it is for after the set was published.
    pub fn keep(&mut self, report: &mut Report) {
        let Some(accepted) = &mut self.in_force.accepted else { return };
        if let Some((cause, when)) = self.in_force.unkept.take()
            && let Err(error) = self.revisions.keep(self.in_force.revision, accepted, &cause, when)
        {
            let mut problems = Problems::default();
            problems.push(not_kept(&error));
            report.problems.extend(problems.to_json(accepted));
            report.rendered += &problems.render(accepted, false);
        }
        self.revisions.stand_in_for(accepted);
    }

    /// The report of a load that panicked: nothing changes, and nothing half-made is used again.
    pub fn panicked(&mut self) -> Box<Report> {
        self.memory = Memory::default();
        self.cannot("a fault in tradewind itself kept these files from being loaded; see the log")
    }

    /// Goes back to what was in force before what was prepared last and is not to be published:
    /// it would break rules.
    pub fn take_back(&mut self, broke: Vec<Violation>) -> Box<Report> {
        if let Some(before) = self.before.take() {
            self.in_force = before;
        }
        let refused = self.refused(&Problems::default(), &Sources::default());
        Box::new(Report { broke, ..*refused })
    }

    /// The kept revisions, for listing.
    pub fn revisions(&self) -> &Revisions {
        &self.revisions
    }

    fn sources(&self, wish: &Wish) -> Result<Sources, Box<Report>> {
        match (wish, &self.in_force.accepted) {
            (Wish::Rollback(revision), _) => {
                self.revisions.restore(*revision).map_err(|e| self.cannot(&e.to_string()))
            }
            (Wish::Rehearse(what), Some(accepted)) => {
                let mut sources = accepted.clone();
                if let Some(Rehearsal::BrokenZone(zone)) = what {
                    let is = |path: &&Arc<Path>| *zone_of(path) == **zone;
                    let main = sources.zones.keys().find(is).cloned();
                    let file =
                        main.and_then(|main| sources.zones.get_mut(&main)?.files.0.get_mut(&main));
                    let Some(file) = file else {
                        return Err(self.cannot(&format!("there is no zone `{zone}` to break")));
                    };
                    file.content = Ok(Content::held(BROKEN));
                }
                Ok(sources)
            }
            (Wish::Places, Some(accepted)) => {
                let now = self.read()?;
                let mut sources = accepted.clone();
                sources.server.0.retain(|path, _| !path.starts_with("geoip"));
                let places = now.server.0.into_iter().filter(|(path, _)| path.starts_with("geoip"));
                sources.server.0.extend(places);
                Ok(sources)
            }
            _ => self.read(),
        }
    }

    /// Whether what was planned is still what there is.
    fn check_agreed(&self, agreed: &Agreed, sources: &Sources) -> Result<(), Box<Report>> {
        let moved = match (agreed.base == self.in_force.revision, agreed.hash == sources.hash()) {
            (true, true) => return Ok(()),
            (false, _) => format!(
                "revision {} is in force, and the plan was made over revision {}",
                self.in_force.revision, agreed.base
            ),
            (true, false) => {
                format!("the files in {} are not those that were planned", self.dir.display())
            }
        };
        Err(Box::new(Report {
            revision: self.in_force.revision,
            moved: Some(moved),
            ..Report::default()
        }))
    }

    fn read(&self) -> Result<Sources, Box<Report>> {
        Sources::read(&self.dir, &self.progress)
            .map_err(|problem| self.cannot(&problem.to_string()))
    }

    /// Where clients are, or were when the embedded database was made.
    fn table(&self) -> Arc<LazyTable> {
        match self.is_stale {
            true => Arc::new(LazyTable::embedded()),
            false => self.locations.table(),
        }
    }

    /// What comes of a damaged database: it is read as any other, and refused.
    fn rehearsed(&self, wish: &Wish, alarms: &mut Problems) -> Option<Found> {
        if *wish != Wish::Rehearse(Some(Rehearsal::BadPlaces)) {
            return None;
        }
        let found = self.locations.damaged(BROKEN.as_bytes(), alarms);
        Some(found)
    }

    fn compile(
        &mut self,
        sources: &Sources,
        last_good: &BTreeMap<Arc<Path>, ZoneSources>,
    ) -> Result<Compiled, Problems> {
        let telemetry = Arc::clone(&self.telemetry);
        let mut counter = |name: CounterName<'_>| {
            telemetry.slot(AnswerName {
                zone: name.zone.into(),
                record: name.record.into(),
                region: name.region.into(),
                pool: name.pool.into(),
            })
        };
        let locations = self.table();
        let input = Input {
            sources,
            last_good,
            locations: Some(&locations),
            serials: &self.in_force.serials,
            secret: &|file| secrets::read(&self.dir, file).map(Some),
            progress: &self.progress,
            counter: &mut counter,
        };
        compile(input, &mut self.memory)
    }

    /// Takes what was compiled. `sources` are the files as they were read, which the problems
    /// speak of; what is in force of them is in `accepted`.
    fn accept(
        &mut self,
        wish: &Wish,
        cause: &str,
        sources: &Sources,
        accepted: Accepted,
        mut problems: Problems,
    ) -> Result<Prepared, Box<Report>> {
        let Accepted { server, compiled, found } = accepted;
        problems.append(compiled.expiring(self.clock.wall()));
        problems.append(compiled.problems);
        let snapshot = compiled.snapshot;
        let names = name_counts(&snapshot);
        if let Wish::Reload { cautious: true } = wish
            && let Some(loss) = self.loss(&names)
        {
            let file: Arc<Path> = Path::new("zones").into();
            problems.push(Problem::of_file(&file, loss).help(
                "held back because `watch` loaded it by itself; \
                 run `tradewind reload --force` if it is meant",
            ));
            return Err(self.refused(&problems, sources));
        }
        let operations = sources.operations.clone();
        let accepted = Sources { server, operations, zones: compiled.accepted };
        let unchanged =
            self.in_force.accepted.as_ref().is_some_and(|old| old.hash() == accepted.hash());
        // Files that cannot be read are others too.
        let is_apart = || self.read().map_or(true, |now| now.hash() != sources.hash());
        let apart = (matches!(wish, Wish::Rollback(_)) && is_apart()).then(|| (*self.dir).into());
        self.before = matches!(wish, Wish::Apply(_)).then(|| self.in_force.clone());
        if !unchanged {
            self.in_force.revision += 1;
            self.in_force.unkept = Some((cause.into(), self.clock.wall()));
        }
        let running = self.running.get_or_insert_with(|| compiled.server.clone());
        problems.extend(for_the_next_start(running, &compiled.server));
        for (name, serial) in serials(&snapshot) {
            self.in_force.serials.insert(name, serial);
        }
        self.in_force.names = names;
        let (errors, _) = problems.counts();
        self.in_force.hash = accepted.shared_hash().to_string().into();
        self.in_force.accepted_at = Some(self.clock.wall());
        let report = Report {
            accepted: true,
            revision: self.in_force.revision,
            hash: Arc::clone(&self.in_force.hash),
            accepted_at: self.in_force.accepted_at,
            apart,
            // The same texts under another location database are another set of answers.
            unchanged: unchanged && !found.iter().any(|found| found.taken),
            held: compiled.held.iter().map(|path| zone_of(path)).collect(),
            zones: snapshot.zones.len(),
            records: snapshot.records.len(),
            problems: problems.to_json(sources),
            errors,
            rendered: problems.render(sources, false),
            ..Report::default()
        };
        self.in_force.accepted = Some(accepted);
        Ok(Prepared {
            snapshot: Arc::new(snapshot),
            plan: compiled.plan,
            server: compiled.server,
            entry: compiled.entry,
            rollouts: compiled.rollouts,
            locations: self.table(),
            found,
            drills: compiled.drills,
            report,
        })
    }

    /// What a cautious reload would lose, if it is much.
    fn loss(&self, names: &BTreeMap<Name, usize>) -> Option<String> {
        self.in_force.names.iter().find_map(|(apex, &before)| match names.get(apex) {
            None => Some(format!("zone {apex} would be removed")),
            Some(&now) if now * 5 < before * 4 => {
                Some(format!("zone {apex} would go from {before} names to {now}"))
            }
            Some(_) => None,
        })
    }

    fn refused(&self, problems: &Problems, sources: &Sources) -> Box<Report> {
        Box::new(Report {
            revision: self.in_force.revision,
            hash: Arc::clone(&self.in_force.hash),
            accepted_at: self.in_force.accepted_at,
            before: self.in_force.revision,
            problems: problems.to_json(sources),
            errors: problems.counts().0,
            rendered: problems.render(sources, false),
            ..Report::default()
        })
    }

    fn cannot(&self, why: &str) -> Box<Report> {
        let file: Arc<Path> = self.dir.as_path().into();
        let mut problems = Problems::default();
        problems.push(Problem::of_file(&file, why));
        self.refused(&problems, &Sources::default())
    }
}

fn not_kept(error: &RevisionError) -> Problem {
    let file: Arc<Path> = Path::new("state/revisions").into();
    let mut problem = Problem::of_file(&file, format!("the revision could not be kept: {error}"))
        .help("it is served all the same; `rollback` will not know it");
    problem.severity = Severity::Warning;
    problem
}

/// A warning about what `now` says of the process and only a restart can do.
fn for_the_next_start(running: &ServerSection, now: &ServerSection) -> Option<Problem> {
    let keys = [
        ("listen", running.listen != now.listen),
        ("admin", running.admin != now.admin),
        ("state", running.state != now.state),
        ("control", running.control != now.control),
        ("udp_threads", running.udp_threads != now.udp_threads),
        ("cpu_affinity", running.cpu_affinity != now.cpu_affinity),
        ("coalesce", running.coalesce != now.coalesce),
        ("tcp", running.tcp != now.tcp),
        ("proxy", running.proxies != now.proxies),
        ("watch", running.watch != now.watch),
        ("peers", peers(running) != peers(now)),
    ];
    let changed: Vec<&str> = keys.iter().filter(|key| key.1).map(|key| key.0).collect();
    if changed.is_empty() {
        return None;
    }
    let file: Arc<Path> = Path::new(SERVER_FILE).into();
    let message = format!("changed under [server]: {}", changed.join(", "));
    let mut problem =
        Problem::of_file(&file, message).help("this takes effect at the next start of the server");
    problem.severity = Severity::Warning;
    Some(problem)
}

/// Whom `server` compares itself with, wherever that is written.
fn peers(server: &ServerSection) -> Vec<(&str, &str)> {
    let peers = server.peers.iter();
    peers.map(|PeerDef { name, admin, .. }| (name.get_ref().as_str(), admin.as_str())).collect()
}

/// A zone as people call it, from its main file.
fn zone_of(path: &Path) -> Arc<str> {
    path.file_stem().unwrap_or_default().to_string_lossy().into()
}

fn name_counts(snapshot: &Snapshot) -> BTreeMap<Name, usize> {
    let zones = snapshot.zones.iter().filter_map(|entry| {
        let names = entry.zone.as_ref()?.name_count();
        Some((entry.apex.clone(), names))
    });
    zones.collect()
}

fn serials(snapshot: &Snapshot) -> impl Iterator<Item = (Name, u32)> + '_ {
    snapshot
        .zones
        .iter()
        .filter_map(|entry| Some((entry.apex.clone(), entry.zone.as_ref()?.serial())))
}
