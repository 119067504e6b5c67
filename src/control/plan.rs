//! What other files would change, worked out beside the running server: they are read and
//! compiled as a reload would, and compared with what is served. Nothing is published.
//!
//! Takes as long as a load does and as much memory again, so it is done for one at a time, on a
//! thread of whoever asks.

use super::{
    hand::{
        foresee::Outlook,
        safety::{self, Violation},
    },
    revisions::Revisions,
    secrets,
};
use crate::{
    compile::{Compiled, CounterName, Input, Memory, compile_biased},
    config::{ContentHash, Problems, Progress, Sources, render::ProblemJson},
    forecast::{
        Clients, Standpoint, TooFew, Weights, capacity,
        difference::{Difference, Sign},
        preview::{Preview, preview},
    },
    ids::CounterSlot,
    place::LazyTable,
    snapshot::Snapshot,
    units::{TenthMs, Ttl},
    wire::Name,
};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Reads and compiles files without publishing them.
#[derive(Debug, Default)]
pub struct Planner {
    dir: PathBuf,
    revisions: Revisions,
    /// Held while one is at work.
    one: Mutex<()>,
}

/// Which files.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Those of the server's folder, as they are now.
    Served,
    /// Those in force.
    InForce(u64),
    /// These. Secrets that they name are not read.
    Given(Box<Sources>),
}

/// Why nothing can be planned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The files cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// Other files came into force meanwhile.
    #[error("files were loaded meanwhile; ask again")]
    Moved,
    /// What was supposed cannot be.
    #[error(transparent)]
    Refused(#[from] super::hand::Refusal),
    /// Clients are to be weighed by who asked, and too few did.
    #[error(transparent)]
    TooFew(#[from] TooFew),
    /// What was supposed does not compile.
    #[error("the files do not compile with that: {0}")]
    Broken(String),
}

/// What other files would change.
#[derive(Debug)]
pub struct Plan {
    /// The revision they were compared with.
    pub base: u64,
    /// The hash of that, if it is kept.
    pub base_hash: Option<String>,
    /// The hash of what that has in common with other servers' files, if it is kept.
    pub base_shared: Option<String>,
    /// Their own hash.
    pub hash: ContentHash,
    /// The hash of what they have in common with other servers'.
    pub shared: ContentHash,
    /// Files that are others.
    pub files: Vec<(Sign, PathBuf)>,
    /// What is wrong with them, for machines.
    pub problems: Vec<ProblemJson>,
    /// How many of these are errors: then nothing else is known.
    pub errors: usize,
    /// The same with source lines and carets, for people.
    pub rendered: String,
    /// What follows, where they compile.
    pub outcome: Option<Outcome>,
}

/// What would follow from a change.
#[derive(Debug)]
pub struct Outcome {
    /// What the files say otherwise.
    pub difference: Difference,
    /// Who would move, of the records whose clients may get something else.
    pub preview: Preview,
    /// Pools against their capacities.
    pub loads: Vec<capacity::Load>,
    /// Safety rules it would break.
    pub broke: Vec<Violation>,
    /// The longest that resolvers go on giving old answers.
    pub ttl: Ttl,
    /// Clients as they were counted, for the next question.
    pub clients: Clients,
}

/// What is asked beside the files.
pub struct Ask<'a> {
    /// What is served, and stands behind it.
    pub outlook: &'a Outlook,
    /// Where clients are.
    pub locations: &'a LazyTable,
    /// What clients are weighed by.
    pub weights: &'a Weights,
    /// Clients as they were counted before.
    pub known: &'a Clients,
}

impl Planner {
    /// For the files in `dir` of a server that keeps revisions under `state`.
    pub fn new(dir: &Path, state: &Path) -> Planner {
        Planner { dir: dir.to_owned(), revisions: Revisions::new(state), one: Mutex::new(()) }
    }

    /// What would follow if the files that are `wanted` were loaded.
    ///
    /// # Errors
    /// When they cannot be read at all.
    pub fn plan(&self, wanted: &Wanted, ask: &Ask<'_>) -> Result<Plan, PlanError> {
        let _one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        let base = ask.outlook.world.revision;
        let kept = self.revisions.list().into_iter().find(|kept| kept.revision == base);
        let sources = self.sources(wanted)?;
        let files = kept.as_ref().map(|kept| {
            let objects = kept.files.iter().map(|file| (&*file.path, &*file.object));
            changed_files(&objects.collect(), &sources)
        });
        let mut plan = Plan {
            base,
            base_hash: kept.as_ref().map(|kept| kept.hash.clone()),
            base_shared: kept.map(|kept| kept.shared),
            hash: sources.hash(),
            shared: sources.shared_hash(),
            files: files.unwrap_or_default(),
            problems: Vec::new(),
            errors: 0,
            rendered: String::new(),
            outcome: None,
        };
        let is_given = matches!(wanted, Wanted::Given(_));
        let compiled = self.compile(&sources, is_given, ask, &BTreeMap::new());
        let (problems, compiled) = match compiled {
            Ok(mut compiled) => (std::mem::take(&mut compiled.problems), Some(compiled)),
            Err(problems) => (problems, None),
        };
        plan.errors = problems.counts().0;
        plan.problems = problems.to_json(&sources);
        plan.rendered = problems.render(&sources, false);
        let Some(compiled) = compiled.filter(|_| plan.errors == 0) else { return Ok(plan) };
        let after = ask.outlook.under(Arc::new(compiled.snapshot)).standpoint();
        plan.outcome = Some(outcome(&ask.outlook.standpoint(), &after, ask)?);
        Ok(plan)
    }

    /// The files in force, compiled with these members of latency policies `biased` beside what
    /// the files say.
    ///
    /// # Errors
    /// When they cannot be read or compiled again.
    pub fn biased(
        &self,
        biased: &BTreeMap<String, TenthMs>,
        ask: &Ask<'_>,
    ) -> Result<Arc<Snapshot>, PlanError> {
        let _one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = self.sources(&Wanted::InForce(ask.outlook.world.revision))?;
        match self.compile(&sources, false, ask, biased) {
            Ok(compiled) => Ok(Arc::new(compiled.snapshot)),
            Err(problems) => Err(PlanError::Broken(problems.render(&sources, false))),
        }
    }

    fn sources(&self, wanted: &Wanted) -> Result<Sources, PlanError> {
        match wanted {
            Wanted::Served => Sources::read(&self.dir, &Progress::default())
                .map_err(|error| PlanError::Unreadable(error.to_string())),
            Wanted::InForce(revision) => self
                .revisions
                .restore(*revision)
                .map_err(|error| PlanError::Unreadable(error.to_string())),
            Wanted::Given(sources) => Ok((**sources).clone()),
        }
    }

    fn compile(
        &self,
        sources: &Sources,
        is_given: bool,
        ask: &Ask<'_>,
        biased: &BTreeMap<String, TenthMs>,
    ) -> Result<Compiled, Problems> {
        // Nothing is counted here, so that all may share one place.
        let mut counter = |_: CounterName<'_>| CounterSlot(0);
        // Whoever sends files must not learn from it what stands in others.
        let secret = |file: &Path| match is_given {
            true => Ok(None),
            false => secrets::read(&self.dir, file).map(Some),
        };
        let input = Input {
            sources,
            last_good: &BTreeMap::new(),
            locations: Some(ask.locations),
            serials: &serials(&ask.outlook.world.snapshot),
            secret: &secret,
            progress: &Progress::default(),
            counter: &mut counter,
        };
        compile_biased(input, biased.clone(), &mut Memory::default())
    }
}

/// The safety rules that loading `files` would break as things stand in `outlook`. It is for the
/// loop that publishes, so that nothing comes between this and that: where there are no rules it
/// looks at nothing, else at every record once, and verdicts wait for that. Clients are counted only
/// where a rule speaks of shares, 25 ms for each map.
pub(super) fn judged(
    outlook: &Outlook,
    files: &Arc<Snapshot>,
    locations: &LazyTable,
) -> Result<Vec<Violation>, PlanError> {
    let before = outlook.standpoint();
    let mut rules = before.snapshot.safety.iter().chain(&files.safety).peekable();
    if rules.peek().is_none() {
        return Ok(Vec::new());
    }
    let is_counted = rules.any(|rule| rule.respect_capacity);
    let after = outlook.under(Arc::clone(files)).standpoint();
    let difference = Difference::between(&before, &after);
    let snapshots = (&*before.snapshot, &*after.snapshot);
    let records = if is_counted { &difference.affected[..] } else { &[] };
    let (weights, known) = (Weights::Space, Clients::default());
    let clients = Clients::between(snapshots, records, locations, &weights, &known)?;
    broken(&before, &after, &difference, &clients)
}

/// The safety rules that the step between two standpoints breaks.
fn broken(
    before: &Standpoint,
    after: &Standpoint,
    difference: &Difference,
    clients: &Clients,
) -> Result<Vec<Violation>, PlanError> {
    let mut broke = safety::violations(before, after, &difference.affected, clients)
        .map_err(|safety::Uncounted| PlanError::Moved)?;
    broke.extend(safety::gone(&before.snapshot, &difference.gone));
    Ok(broke)
}

/// What follows from the step between two standpoints.
pub(super) fn outcome(
    before: &Standpoint,
    after: &Standpoint,
    ask: &Ask<'_>,
) -> Result<Outcome, PlanError> {
    let difference = Difference::between(before, after);
    let records = &difference.affected;
    let snapshots = (&*before.snapshot, &*after.snapshot);
    let clients = Clients::between(snapshots, records, ask.locations, ask.weights, ask.known)?;
    let preview = preview(before, after, records, &clients).ok_or(PlanError::Moved)?;
    let loads = capacity::loads(before, after, records, &clients).ok_or(PlanError::Moved)?;
    let broke = broken(before, after, &difference, &clients)?;
    let old = &before.snapshot;
    let left = records.iter().map(|pair| pair.before).chain(difference.gone.iter().copied());
    let ttls = left.map(|id| old.plan(old.record(id).plan).ttl.max);
    let ttl = ttls.max().unwrap_or(Ttl::from_secs(0));
    Ok(Outcome { difference, preview, loads, broke, ttl, clients })
}

fn serials(snapshot: &Snapshot) -> HashMap<Name, u32> {
    let zones = snapshot.zones.iter();
    let serial =
        zones.filter_map(|entry| Some((entry.apex.clone(), entry.zone.as_ref()?.serial())));
    serial.collect()
}

/// The files that are others than those known by path and hash.
fn changed_files(known: &BTreeMap<&Path, &str>, sources: &Sources) -> Vec<(Sign, PathBuf)> {
    let files = sources.files();
    let mut changed: Vec<(Sign, PathBuf)> = Vec::new();
    for (path, file) in &files {
        let hash = file.content.as_ref().map(|content| content.hash().to_string());
        match known.get(path) {
            Some(known) if hash.as_deref().is_ok_and(|hash| hash == *known) => {}
            Some(_) => changed.push((Sign::Changed, path.to_path_buf())),
            None => changed.push((Sign::Added, path.to_path_buf())),
        }
    }
    let gone = known.keys().filter(|path| !files.contains_key(*path));
    changed.extend(gone.map(|path| (Sign::Removed, path.to_path_buf())));
    changed
}
