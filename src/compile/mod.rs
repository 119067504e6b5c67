//! Files → (Snapshot, CheckPlan), or everything that is wrong with them. The only place where
//! words become ids.
//!
//! Three steps. [`server`] compiles what all zones share; an error there holds everything back.
//! [`zones`] drafts each zone by itself, with ids of its own, so that one that does not compile
//! leaves nothing behind and an unchanged one need not be drafted again ([`Memory`]). [`link`]
//! gives out the ids of the whole and cannot fail. Inside a zone [`names`] resolves words,
//! [`pools`] (and [`extra`]), [`policies`], [`trees`] and [`records`] make trees, [`maps`] finds the classes of clients,
//! [`checks`] says what is probed, [`guard`] and [`entry`] who may ask, [`rollouts`] what is rolled out, [`drills`] what is rehearsed, [`lint`] warns, and [`report`] is what `tradewind check`
//! prints.
//!
//! Must not know verdicts, clocks or sockets, and opens no file but through the [`crate::config::Content`] it is given.

mod checks;
mod drills;
mod entry;
mod extra;
mod guard;
mod link;
mod lint;
mod maps;
mod names;
mod policies;
mod pools;
mod records;
mod report;
mod rollouts;
mod safety;
mod server;
#[cfg(test)]
mod tests;
mod trees;
mod unmatched;
mod zones;

pub use checks::CheckFacts;
pub use entry::Entry;
pub use report::{CheckReport, MapFacts, StickyFacts, ZoneFacts};

use crate::{
    checkplan::CheckPlan,
    config::{
        ContentHash, Problem, Problems, Progress, Severity, Sources, ZoneSources, drill::DrillDef,
        rollouts::RolloutDef, server::ServerSection,
    },
    ids::CounterSlot,
    place::LazyTable,
    snapshot::Snapshot,
    spread,
    units::{TenthMs, is_later_serial},
    wire::Name,
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use zones::ZoneDraft;

/// With less left, a zone's signatures are warned of: a long weekend in which nobody looks.
const SIGNATURES_LEFT_MIN: Duration = Duration::from_secs(3 * 86_400);

/// What a compile is made from.
pub struct Input<'a> {
    /// The operator's files.
    pub sources: &'a Sources,
    /// Zones as they were last accepted: each stands in for one that does not compile.
    pub last_good: &'a BTreeMap<Arc<Path>, ZoneSources>,
    /// Where clients are.
    pub locations: Option<&'a LazyTable>,
    /// The serials served last, below which no zone may fall.
    pub serials: &'a HashMap<Name, u32>,
    /// Reads what must stay secret.
    pub secret: SecretReader<'a>,
    /// Told how much of the zones' text was read.
    pub progress: &'a Progress,
    /// Gives out counters by stable name.
    pub counter: &'a mut dyn FnMut(CounterName<'_>) -> CounterSlot,
}

/// Reads a file of the operator's folder that holds a secret, or says why it cannot; `None` where
/// it is not to be read, which then counts as sound. Secrets are no part of [`Sources`], since
/// those are kept with every revision.
pub type SecretReader<'a> = &'a dyn Fn(&Path) -> Result<Option<String>, String>;

/// What a counter is called: the same after every reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CounterName<'n> {
    /// The zone's apex.
    pub zone: &'n str,
    /// The record's owner.
    pub record: &'n str,
    /// The region answered; empty for endpoints without one.
    pub region: &'n str,
    /// The id of the pool answered.
    pub pool: &'n str,
}

/// A compiled set of files.
#[derive(Debug)]
pub struct Compiled {
    /// What is answered.
    pub snapshot: Snapshot,
    /// What is probed.
    pub plan: CheckPlan,
    /// How the process runs.
    pub server: ServerSection,
    /// The drills that can be run, by name.
    pub drills: Vec<Arc<DrillDef>>,
    /// Who may use the admin API from another machine.
    pub entry: Entry,
    /// The rollouts that can be run, by name.
    pub rollouts: Vec<Arc<RolloutDef>>,
    /// What is wrong all the same: warnings, and the errors of zones that are held back.
    pub problems: Problems,
    /// Main files of the zones that did not compile, in order.
    pub held: Vec<Arc<Path>>,
    /// Main files of the zones that came with signatures, and when the first of those expires, in
    /// seconds since 1970.
    pub signed: Vec<(Arc<Path>, u32)>,
    /// The zones' files as compiled, stand-ins included: the next compile's `last_good`.
    pub accepted: BTreeMap<Arc<Path>, ZoneSources>,
    /// What `tradewind check` says about it.
    pub report: CheckReport,
}

impl Compiled {
    /// Warns of zones whose signatures have expired at `now`, or will soon. Not part of
    /// [`Compiled::problems`]: it changes with time, not with the files.
    pub fn expiring(&self, now: SystemTime) -> Problems {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut problems = Problems::default();
        for (main, at) in &self.signed {
            let left = Duration::from_secs(u64::from(*at)).checked_sub(now);
            let when = match left {
                None => "have expired",
                Some(left) if left < SIGNATURES_LEFT_MIN => "expire within three days",
                Some(_) => continue,
            };
            let message = format!("signatures of this zone {when}");
            let help = "sign it again; resolvers that validate give no answers from expired ones";
            let problem =
                Problem { severity: Severity::Warning, ..Problem::of_file(main, message) };
            problems.push(problem.help(help));
        }
        problems
    }
}

/// What one compile leaves to the next: drafts of zones and client maps, good for as long as
/// what they were made from is the same.
#[derive(Debug, Default)]
pub struct Memory {
    made_from: Option<Ground>,
    zones: HashMap<Arc<Path>, (Footing, Arc<ZoneDraft>)>,
    maps: maps::MapCache,
}

/// What every draft and map depends on: the server's files and the location database.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ground {
    server: ContentHash,
    locations: Option<String>,
}

/// What a zone's draft depends on besides.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Footing {
    files: ContentHash,
    /// Of a zone with a serial to give out; none of a plain one, which nothing but its text makes.
    modified: Option<std::time::SystemTime>,
}

/// Compiles `input`. A zone that does not compile is held at its last good version, or answered
/// with SERVFAIL if it has none.
///
/// # Errors
/// Everything that is wrong, when what all zones share does not compile; the zones' own
/// problems are among them, so that all can be mended in one go.
pub fn compile(input: Input<'_>, memory: &mut Memory) -> Result<Compiled, Problems> {
    compile_biased(input, BTreeMap::new(), memory)
}

/// The same as if each member of a latency policy that is called as one of `biased` were so much
/// further, or nearer, than its files say. `memory` must be of nothing else.
///
/// # Errors
/// As [`compile`].
pub fn compile_biased(
    mut input: Input<'_>,
    biased: BTreeMap<String, TenthMs>,
    memory: &mut Memory,
) -> Result<Compiled, Problems> {
    let mut problems = Problems::default();
    let Some(mut server) = server::compile(input.sources, input.secret, &mut problems) else {
        problems.sort();
        return Err(problems);
    };
    server.biased = biased;
    memory.prepare(&input);
    let mut drafts = memory.drafts(&server, &input, &mut problems).into_iter();
    let mut held = Vec::new();
    let mut accepted = BTreeMap::new();
    let mut served: Vec<zones::Served> = Vec::new();
    let mut apexes: HashMap<Name, Arc<Path>> = HashMap::new();
    for (path, zone) in &input.sources.zones {
        let mut drafted = drafts.next().flatten();
        if let Some(other) = drafted.as_ref().and_then(|draft| apexes.get(&draft.apex)) {
            problems.push(zones::defined_twice(path, other));
            drafted = None;
        }
        let entry = match drafted {
            Some(draft) => {
                accepted.insert(path.clone(), zone.clone());
                Some(zones::Served::draft(path, draft))
            }
            None => {
                held.push(path.clone());
                let old = input.last_good.get(path);
                memory.stand_in(&server, zone, old, &input).inspect(|entry| {
                    if let Some(old) = old.filter(|_| entry.draft.is_some()) {
                        accepted.insert(path.clone(), old.clone());
                    }
                })
            }
        };
        if let Some(entry) = entry.filter(|entry| !apexes.contains_key(&entry.apex)) {
            apexes.insert(entry.apex.clone(), path.clone());
            served.push(entry);
        }
    }
    memory.forget_unused(&apexes, &served);
    lint::shared(&server, &served, &mut problems);
    unmatched::shared(&server, &served, input.sources, input.locations, &mut problems);
    input.sources.operations.problems(&mut problems);
    if server.is_broken {
        problems.sort();
        return Err(problems);
    }
    let expiry = |entry: &zones::Served| {
        let expires = entry.draft.as_ref()?.zone.signatures_expire()?;
        Some((entry.main.clone(), expires))
    };
    let signed = served.iter().filter_map(expiry).collect();
    let linked = link::link(&server, &served, &mut input.counter);
    let drills = drills::compile(input.sources, &linked.snapshot, &mut problems);
    let rollouts = rollouts::compile(input.sources, &linked.snapshot, &mut problems);
    problems.sort();
    Ok(Compiled {
        report: report::report(&server, &served, &linked),
        snapshot: linked.snapshot,
        plan: linked.plan,
        server: server.section(),
        drills,
        entry: server.entry.clone(),
        rollouts,
        problems,
        held,
        signed,
        accepted,
    })
}

impl Memory {
    /// Forgets everything that was made from other ground. Plain zones stand on none.
    fn prepare(&mut self, input: &Input<'_>) {
        let ground = Ground {
            server: input.sources.server.hash(),
            locations: input.locations.map(|locations| locations.identity().to_owned()),
        };
        if self.made_from.as_ref() != Some(&ground) {
            let mut zones = std::mem::take(&mut self.zones);
            zones.retain(|_, (footing, _)| footing.modified.is_none());
            *self = Memory { made_from: Some(ground), zones, ..Memory::default() };
        }
    }

    /// The drafts of all zones in their order: those from memory, and over all cores those that
    /// are to be made.
    fn drafts(
        &mut self,
        server: &server::Server,
        input: &Input<'_>,
        problems: &mut Problems,
    ) -> Vec<Option<Arc<ZoneDraft>>> {
        let zones: Vec<&ZoneSources> = input.sources.zones.values().collect();
        let ground = self.ground(server, input);
        let made = spread::map(&zones, |zone| {
            let mut found = Problems::default();
            let draft = self.known(zone, input.serials).or_else(|| make(ground, zone, &mut found));
            (draft, found)
        });
        let mut drafts = Vec::with_capacity(zones.len());
        for (zone, (draft, found)) in zones.into_iter().zip(made) {
            problems.append(found);
            drafts.push(draft.inspect(|draft| self.remember(zone, draft, problems)));
        }
        drafts
    }

    fn ground<'m, 'i: 'm>(
        &'m self,
        server: &'m server::Server,
        input: &Input<'i>,
    ) -> zones::Ground<'m> {
        let Input { locations, serials, progress, .. } = *input;
        zones::Ground { server, locations, serials, maps: &self.maps, progress }
    }

    /// What is served of a zone that does not compile: its last good version, else its apex
    /// alone, to be answered with SERVFAIL; nothing if not even that is known.
    fn stand_in(
        &mut self,
        server: &server::Server,
        zone: &ZoneSources,
        old: Option<&ZoneSources>,
        input: &Input<'_>,
    ) -> Option<zones::Served> {
        // Its problems were reported when it was current; now only whether it compiles counts.
        let mut unsaid = Problems::default();
        let old = old.and_then(|old| self.draft(server, old, input, &mut unsaid));
        match old {
            Some(draft) => Some(zones::Served::draft(&zone.main, draft)),
            None => zones::Served::nothing(zone),
        }
    }

    /// The draft of `zone`, from memory if it was made before.
    fn draft(
        &mut self,
        server: &server::Server,
        zone: &ZoneSources,
        input: &Input<'_>,
        problems: &mut Problems,
    ) -> Option<Arc<ZoneDraft>> {
        let known = self.known(zone, input.serials);
        let draft = known.or_else(|| make(self.ground(server, input), zone, problems))?;
        self.remember(zone, &draft, problems);
        Some(draft)
    }

    /// The draft of `zone` if it was made before.
    fn known(&self, zone: &ZoneSources, serials: &HashMap<Name, u32>) -> Option<Arc<ZoneDraft>> {
        let (footing, draft) = self.zones.get(&zone.main)?;
        let served = serials.get(&draft.apex);
        let is_current = *footing == Footing::of(zone)
            && draft.serial.is_none_or(|ours| served.is_none_or(|s| !is_later_serial(*s, ours)));
        is_current.then(|| draft.clone())
    }

    fn remember(&mut self, zone: &ZoneSources, draft: &Arc<ZoneDraft>, problems: &mut Problems) {
        self.zones.insert(zone.main.clone(), (Footing::of(zone), draft.clone()));
        problems.extend(draft.warnings.iter().cloned());
    }

    fn forget_unused(&mut self, apexes: &HashMap<Name, Arc<Path>>, served: &[zones::Served]) {
        self.zones.retain(|path, (_, draft)| apexes.get(&draft.apex) == Some(path));
        self.maps.forget_unused(served);
    }
}

impl Footing {
    fn of(zone: &ZoneSources) -> Self {
        let modified = if zone.is_plain() { None } else { zone.files.newest() };
        Footing { files: zone.files.hash(), modified }
    }
}

fn make(
    ground: zones::Ground<'_>,
    zone: &ZoneSources,
    problems: &mut Problems,
) -> Option<Arc<ZoneDraft>> {
    zones::draft(ground, zone, problems).map(Arc::new)
}
