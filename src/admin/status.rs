//! World and health states → [`Status`], and why the server would not call itself ready.
//!
//! Reads one World, so that everything in it belongs together. The first line is a sentence for
//! people; whatever it claims is counted below it.

use super::{
    Running,
    schema::{
        Elsewhere, EndpointStatus, FailoverStatus, HeldLine, Impaired, LastResort, LeavingLine,
        OldAnswers, PoolStatus, SCHEMA_VERSION, Status, WaitLine, ZoneState, ZoneStatus,
        health::{self, TargetFacts},
        problems, time,
    },
};
use crate::{
    clock::{Clock, Moment},
    control::{
        Report,
        event::EventKind,
        hand::{apply::ShownHand, words},
        journal::SharedJournal,
        overview::{Overview, Unsettled},
        residual::Left,
    },
    failover::breaker::Summary,
    health::TargetState,
    ids::{PlanId, RegionId, SlotId},
    policy::{
        Basis, Course, Directives, available,
        tree::{Kind, NodeIx},
    },
    snapshot::{Plan, Slot},
    steering::{Moved, PlanSteering},
    verdict::{Sight, Standing, Standings},
    world::World,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::SystemTime,
};

/// What a status is made from.
pub struct Seen<'a> {
    /// One consistent state.
    pub world: &'a World,
    /// The outcome of the newest load of files.
    pub report: &'a Report,
    /// Everything beside it.
    pub running: &'a dyn Running,
    /// What happened.
    pub journal: &'a SharedJournal,
    /// What is held and what waits.
    pub overview: &'a Overview,
    /// What operators said.
    pub hand: &'a ShownHand,
    /// Old answers that may still be kept somewhere.
    pub left: Vec<Left>,
    /// The time.
    pub clock: &'a dyn Clock,
    /// When the process started.
    pub started: SystemTime,
}

/// How the server stands.
pub fn status(seen: &Seen<'_>) -> Status {
    let Seen { world, report, running, clock, .. } = seen;
    let mut status = Status {
        schema_version: SCHEMA_VERSION,
        sentence: String::new(),
        not_ready: not_ready(world, report),
        alarms: seen.journal.store_health().alarms(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: time(seen.started),
        now: time(clock.wall()),
        revision: world.revision,
        content_hash: seen.report.hash.to_string(),
        peers: Vec::new(),
        revision_since: time(revision_since(seen)),
        swap: world.swap,
        warming: world.warming,
        zones: zones(world, report),
        pools: pools(world),
        endpoints: endpoints(world, &running.targets(), *clock),
        failovers: failovers(world, seen.overview, clock.now()),
        held: held(seen),
        pinned: seen.overview.pinned,
        overrides: seen.hand.hand.overrides().len(),
        drill: running.drills().and_then(|drills| drills.current()).map(|one| one.as_ref().into()),
        hooks: running.hooks(),
        proposals: seen.hand.hand.proposals().len(),
        elsewhere: elsewhere(world),
        last_resort: last_resort(world),
        checker_impaired: running
            .impairment()
            .map(|i| Impaired { targets: i.targets, reason: i.reason.to_string() }),
        rollouts: Vec::new(),
        weights: Vec::new(),
        old_answers: seen.left.iter().map(OldAnswers::from).collect(),
        refused: is_refused(report),
        problems: problems(report),
    };
    status.sentence = sentence(&status);
    if let Some(drill) = &status.drill {
        status.sentence = format!("DRILL {}: {}", drill.drill, status.sentence);
    }
    status
}

/// What a status says but for the clock and the figures of probes, which move all the time: whoever
/// has one that is alike has nothing to learn.
pub(super) fn settled(mut status: Status) -> Status {
    status.now.clear();
    for endpoint in &mut status.endpoints {
        let TargetFacts { held_down_s, latency_ms, errors, .. } = &mut endpoint.target;
        endpoint.last_probe = None;
        *latency_ms = None;
        *held_down_s = held_down_s.map(|_| 0.0);
        errors.iter_mut().for_each(|error| (error.ago_s, error.count) = (0.0, 0));
    }
    status.held.iter_mut().for_each(|held| held.ends_in_s = held.ends_in_s.map(|_| 0.0));
    for wait in status.failovers.iter_mut().filter_map(|failover| failover.waits.as_mut()) {
        wait.due_in_s = wait.due_in_s.map(|_| 0.0);
    }
    status
}

/// Why `/readyz` says no: a server is ready when it answers every zone, from its newest files,
/// with health known.
pub fn not_ready(world: &World, report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    if world.revision == 0 {
        reasons.push("no files have been accepted yet".to_owned());
    }
    if world.warming {
        reasons.push("the first results of health checks are awaited".to_owned());
    }
    if is_refused(report) {
        reasons.push("the newest files were refused".to_owned());
    }
    for zone in zones(world, report) {
        match zone.state {
            ZoneState::Current => {}
            ZoneState::Held => {
                reasons.push(format!("zone {} is held back at its last good version", zone.zone))
            }
            ZoneState::NeverCompiled => {
                reasons.push(format!("zone {} never compiled: answered with SERVFAIL", zone.zone))
            }
        }
    }
    reasons
}

/// Whether the newest load changed nothing because of its errors.
pub fn is_refused(report: &Report) -> bool {
    !report.accepted && report.errors > 0
}

/// Records answered on other grounds than health: each with the grounds furthest from it on
/// which some class of its clients is answered.
pub fn last_resort(world: &World) -> Vec<LastResort> {
    if world.warming {
        return Vec::new();
    }
    let grounds = |plan: PlanId| {
        let selections = world.steering.plan(plan).selections().iter();
        selections.map(|selection| selection.basis).max_by_key(|basis| basis.badness())
    };
    let records = world.snapshot.records.iter().filter_map(|record| {
        let basis = grounds(record.plan).filter(|basis| *basis != Basis::Healthy)?;
        Some(LastResort { record: record.id.to_string(), basis: basis_words(basis) })
    });
    records.collect()
}

/// The grounds, with what `all_down` came to.
pub(super) fn basis_words(basis: Basis) -> String {
    match basis {
        Basis::AllDown(said) => format!("{}: {}", basis.word(), said.word()),
        _ => basis.word().to_owned(),
    }
}

/// When the revision in force was loaded, as far back as events are kept.
fn revision_since(seen: &Seen<'_>) -> SystemTime {
    let journal = seen.journal.lock();
    let loaded = journal.since(0).filter(|event| {
        matches!(event.kind, EventKind::Loaded { revision, .. } if revision == seen.world.revision)
    });
    loaded.map(|event| event.wall).next().unwrap_or(seen.started)
}

/// Every zone and which files it is answered from.
pub(super) fn zones(world: &World, report: &Report) -> Vec<ZoneStatus> {
    let zones = world.snapshot.zones.iter().map(|entry| {
        let zone = entry.apex.to_string();
        let state = match &entry.zone {
            None => ZoneState::NeverCompiled,
            Some(_) if report.held.iter().any(|held| held.eq_ignore_ascii_case(&zone)) => {
                ZoneState::Held
            }
            Some(_) => ZoneState::Current,
        };
        ZoneStatus { zone, state, records: entry.records.len() }
    });
    zones.collect()
}

/// What the breaker keeps from taking effect.
fn held(seen: &Seen<'_>) -> Vec<HeldLine> {
    let now = seen.clock.now();
    let Summary { cut_off, mass } = seen.overview.breaker;
    let cut_off = cut_off.map(|(since, falls)| HeldLine {
        why: format!("nothing answers since {} s: cut off?", now.since(since).as_secs()),
        falls,
        ends_in_s: None,
    });
    let mass = mass.map(|(until, falls)| HeldLine {
        why: "a mass failure".to_owned(),
        falls,
        ends_in_s: Some(until.since(now).as_secs_f64()),
    });
    cut_off.into_iter().chain(mass).collect()
}

/// Every pool of every tree, once.
pub(super) fn pools(world: &World) -> Vec<PoolStatus> {
    let standings = &world.state.standings;
    let directives = world.state.moved().directives;
    let mut pools: BTreeMap<&str, PoolStatus> = BTreeMap::new();
    for plan in &world.snapshot.plans {
        for (at, node) in plan.tree.nodes.iter().enumerate() {
            let Kind::Pool(pool) = &node.kind else { continue };
            let up = |slot: SlotId| standings.of(slot).standing.is_up();
            pools.entry(&pool.id).or_insert_with(|| PoolStatus {
                pool: pool.id.to_string(),
                available: available(&plan.tree, NodeIx(at as u16), standings, &directives),
                up: pool.endpoints.iter().filter(|e| e.target.slots().any(up)).count(),
                endpoints: pool.endpoints.len(),
            });
        }
    }
    pools.into_values().collect()
}

/// Every address and name that may be answered.
pub(super) fn endpoints(
    world: &World,
    targets: &[TargetState],
    clock: &dyn Clock,
) -> Vec<EndpointStatus> {
    let by_key: HashMap<&str, &TargetState> = targets.iter().map(|t| (&*t.key, t)).collect();
    let (now, wall) = (clock.now(), clock.wall());
    let snapshot = &world.snapshot;
    let endpoint = |(index, slot): (usize, &Slot)| {
        let verdict = world.state.verdict(SlotId::at(index));
        let sight = verdict.map_or(Sight::default(), |verdict| verdict.sight);
        let target = slot.target.as_ref().and_then(|key| by_key.get(&**key));
        EndpointStatus {
            endpoint: slot.name.to_string(),
            address: slot.address.to_string(),
            region: slot.region.map(|region| snapshot.region_name(region).to_owned()),
            verdict: sight.standing.word().to_owned(),
            failing: sight.failing,
            reason: verdict.map_or_else(String::new, |verdict| verdict.reason.to_string()),
            since: time(verdict.map_or(wall, |verdict| verdict.since_wall)),
            last_probe: target.and_then(|target| health::probe(target, now, wall)),
            target: target.map(|target| TargetFacts::new(target, now)).unwrap_or_default(),
        }
    };
    let mut endpoints: Vec<_> = snapshot.slots.iter().enumerate().map(endpoint).collect();
    // Stable: the two addresses of an endpoint stay in the order of the files' families.
    endpoints.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
    endpoints
}

/// Every failover.
pub(super) fn failovers(world: &World, overview: &Overview, now: Moment) -> Vec<FailoverStatus> {
    let unsettled: HashMap<&str, &Unsettled> =
        overview.failovers.iter().map(|one| (&*one.name, one)).collect();
    let failovers = world.snapshot.failovers.iter().enumerate().filter_map(|(index, failover)| {
        let active = world.state.courses.get(index).map_or(0, |course| course.active);
        let unsettled = unsettled.get(&*failover.name);
        let waits = unsettled.and_then(|one| one.waits.as_ref());
        let leaving = unsettled.and_then(|one| one.leaving.as_ref());
        Some(FailoverStatus {
            phase: unsettled.map_or("primary", |one| one.phase).to_owned(),
            waits: waits.map(|waits| WaitLine {
                to: waits.to.to_string(),
                what: waits.what.to_owned(),
                due_in_s: waits.due.map(|due| due.since(now).as_secs_f64()),
                by_approval: waits.by_approval,
            }),
            leaving: leaving.map(|(from, moved)| LeavingLine {
                from: from.to_string(),
                moved: moved.as_fraction(),
            }),
            failover: failover.name.to_string(),
            active: failover.members.get(usize::from(active))?.to_string(),
            preferred: failover.members.first()?.to_string(),
        })
    });
    failovers.collect()
}

/// Regions that records would answer on a day without failures, and do not answer now.
///
/// The plans of everything that is down, or whose failover stands elsewhere, are steered once
/// more as if all were up; what is missing against that has moved.
fn elsewhere(world: &World) -> Vec<Elsewhere> {
    if world.warming {
        return Vec::new();
    }
    let snapshot = &world.snapshot;
    let up = Sight { standing: Standing::Up, failing: false };
    let fine = Standings(vec![up; snapshot.slots.len()]);
    let now = world.state.now;
    let directives = Directives::default();
    let moved = Moved { standings: &fine, directives, ramps: &[], now };
    let touched = touched(world);
    let on_a_good_day = world.steering.rebuilt(snapshot, &touched, moved);
    let mut counts: BTreeMap<RegionId, (usize, usize)> = BTreeMap::new();
    let mut missing: HashMap<PlanId, BTreeSet<RegionId>> = HashMap::new();
    let mut usual: HashMap<PlanId, BTreeSet<RegionId>> = HashMap::new();
    for record in &snapshot.records {
        let plan = snapshot.plan(record.plan);
        let usual = usual
            .entry(record.plan)
            .or_insert_with(|| regions(plan, on_a_good_day.plan(record.plan)));
        let missing = missing.entry(record.plan).or_insert_with(|| {
            let now = regions(plan, world.steering.plan(record.plan));
            usual.difference(&now).copied().collect()
        });
        for region in usual.iter() {
            let (gone, of) = counts.entry(*region).or_default();
            *of += 1;
            *gone += usize::from(missing.contains(region));
        }
    }
    let elsewhere = counts.into_iter().filter(|(_, (gone, _))| *gone > 0);
    let mut elsewhere: Vec<Elsewhere> = elsewhere
        .map(|(region, (records, of))| Elsewhere {
            region: snapshot.region_name(region).to_owned(),
            records,
            of,
        })
        .collect();
    elsewhere.sort_by_key(|region| std::cmp::Reverse(region.records));
    elsewhere
}

/// Plans that answer otherwise than on a day without failures, or might.
fn touched(world: &World) -> Vec<PlanId> {
    let snapshot = &world.snapshot;
    let down =
        snapshot.plans_of_slot.iter().enumerate().filter(|(slot, _)| {
            world.state.standings.of(SlotId::at(*slot)).standing != Standing::Up
        });
    let away = snapshot
        .plans_of_failover
        .iter()
        .zip(&world.state.courses)
        .filter(|(_, course)| **course != Course::default())
        .map(|(plans, _)| plans);
    let plans: BTreeSet<PlanId> =
        down.map(|(_, plans)| plans).chain(away).flat_map(|plans| plans.iter().copied()).collect();
    plans.into_iter().collect()
}

/// The regions that `steering` answers to somebody.
fn regions(plan: &Plan, steering: &PlanSteering) -> BTreeSet<RegionId> {
    let variants = steering.selections().iter().flat_map(|selection| &selection.variants);
    let answered = variants.filter(|variant| variant.rdatas.is_some());
    answered
        .filter_map(|v| plan.spots.get(usize::from(v.spot)).and_then(|spot| spot.region))
        .collect()
}

/// Endpoints that are down, and how many there are; an endpoint of two addresses is one.
fn down_of(endpoints: &[EndpointStatus]) -> (usize, usize) {
    let mut up: BTreeMap<&str, bool> = BTreeMap::new();
    for endpoint in endpoints {
        let is_up = !matches!(&*endpoint.verdict, "down" | "drained");
        *up.entry(&endpoint.endpoint).or_default() |= is_up;
    }
    (up.values().filter(|up| !**up).count(), up.len())
}

/// The whole of it for people: worst things first, the revision last.
fn sentence(status: &Status) -> String {
    let mut parts = Vec::new();
    if status.revision == 0 {
        parts.push("no files have been accepted: nothing is answered".to_owned());
    }
    if status.warming {
        parts.push("first health results are awaited: steered names are silent".to_owned());
    }
    parts.push(match down_of(&status.endpoints) {
        (_, 0) => "nothing is steered".to_owned(),
        (0, 1) => "the one endpoint is up".to_owned(),
        (0, all) => format!("all {all} endpoints are up"),
        (down, all) if down == all => format!("all {all} endpoints are down"),
        (1, all) => format!("1 of {all} endpoints is down"),
        (down, all) => format!("{down} of {all} endpoints are down"),
    });
    for held in &status.held {
        parts.push(held.words());
    }
    if status.pinned {
        parts.push("all automation is pinned".to_owned());
    }
    let waiting = status.failovers.iter().filter(|one| one.waits.is_some()).take(REGIONS_NAMED);
    parts.extend(waiting.map(FailoverStatus::words));
    match (status.overrides, status.proposals) {
        (0, 0) => {}
        (overrides, 0) => parts.push(words::count(overrides, "operator's override")),
        (overrides, wait) => {
            let overrides = words::count(overrides, "operator's override");
            parts.push(format!("{overrides}, {wait} more waiting for a second person"));
        }
    }
    for region in status.elsewhere.iter().take(REGIONS_NAMED) {
        let Elsewhere { region, records, of } = region;
        parts.push(match of {
            1 => format!("{region} answers go elsewhere for its one record"),
            _ => format!("{region} answers go elsewhere for {records} of {of} records"),
        });
    }
    if let Some(more) = status.elsewhere.len().checked_sub(REGIONS_NAMED).filter(|more| *more > 0) {
        parts.push(format!("and so do those of {more} more regions"));
    }
    if let Some(left) = status.old_answers.iter().find(|left| left.computed > 0.0) {
        parts.push(left.words());
    }
    match &status.last_resort[..] {
        [] => {}
        [one] => parts.push(format!("{} is answered by its last resort", one.record)),
        many => parts.push(format!("{} records are answered by their last resort", many.len())),
    }
    if let Some(impaired) = &status.checker_impaired {
        parts.push(format!("the checker itself is impaired ({})", impaired.reason));
    }
    for zone in &status.zones {
        match zone.state {
            ZoneState::Current => {}
            ZoneState::Held => parts.push(format!("{} is held back", zone.zone)),
            ZoneState::NeverCompiled => parts.push(format!("{} never compiled", zone.zone)),
        }
    }
    if !status.alarms.is_empty() {
        parts.push("the state database needs attention".to_owned());
    }
    if status.refused {
        parts.push("the newest files were refused".to_owned());
    }
    if status.revision > 0 {
        let since = clock_time(&status.revision_since, &status.now);
        parts.push(format!("revision {} since {since}", status.revision));
    }
    let sentence = parts.join("; ");
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Regions named one by one; a sentence with more is none.
const REGIONS_NAMED: usize = 2;

/// `2026-11-22T12:01:07.120Z` as `12:01 UTC`, with its day unless that is today.
pub fn clock_time(at: &str, now: &str) -> String {
    let (Some((day, clock)), Some((today, _))) = (at.split_once('T'), now.split_once('T')) else {
        return at.to_owned();
    };
    let clock = clock.get(..5).unwrap_or(clock);
    if day == today { format!("{clock} UTC") } else { format!("{day} {clock} UTC") }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{suppose::calm, testkit},
        *,
    };
    use crate::{clock::SystemClock, control::journal::SharedJournal, health::Impairment};

    fn status_of(world: &World, report: &Report, running: &testkit::Quiet) -> Status {
        let clock = SystemClock::default();
        status(&Seen {
            world,
            report,
            running,
            journal: &SharedJournal::default(),
            overview: &Overview::default(),
            hand: &ShownHand::default(),
            left: Vec::new(),
            clock: &clock,
            started: clock.wall(),
        })
    }

    fn accepted() -> Report {
        Report { accepted: true, revision: 7, ..Report::default() }
    }

    /// The status while `suppositions` hold and all files are in force.
    fn while_so(suppositions: &[&str]) -> Status {
        let world =
            World { revision: 7, swap: 9, warming: false, ..copy(&testkit::world(suppositions)) };
        status_of(&world, &accepted(), &testkit::Quiet::default())
    }

    fn copy(world: &World) -> World {
        World {
            snapshot: world.snapshot.clone(),
            steering: world.steering.clone(),
            state: world.state.clone(),
            ..World::default()
        }
    }

    /// The sentence up to the revision, which has the time of day in it.
    fn sentence(status: &Status) -> &str {
        status.sentence.rsplit_once("; revision 7 since ").unwrap().0
    }

    #[test]
    fn a_good_day_is_one_short_sentence() {
        let status = while_so(&[]);
        assert_eq!(sentence(&status), "All 4 endpoints are up");
        assert!(status.not_ready.is_empty(), "{:?}", status.not_ready);
        assert!(status.pools.iter().all(|pool| pool.available));
        let names: Vec<&str> = status.endpoints.iter().map(|e| &*e.address).collect();
        assert_eq!(names.len(), 5, "an endpoint of two addresses has a line for each: {names:?}");
    }

    #[test]
    fn a_lost_region_counts_the_records_that_left_it() {
        let status = while_so(&["region:us=down"]);
        // www and sticky have nowhere to go; app and near go to eu.
        assert_eq!(
            sentence(&status),
            "3 of 4 endpoints are down; us answers go elsewhere for 2 of 4 records; \
             2 records are answered by their last resort"
        );
        assert_eq!(status.last_resort[0].basis, "all-down: last-good");
    }

    #[test]
    fn a_lost_standby_moves_no_answers() {
        let status = while_so(&["pool:dub=down"]);
        assert_eq!(status.elsewhere.len(), 1, "only what is near moves");
        assert_eq!((status.elsewhere[0].records, status.elsewhere[0].of), (1, 1));
        let dub = status.pools.iter().find(|pool| pool.pool == "g.example/dub").unwrap();
        assert_eq!((dub.available, dub.up, dub.endpoints), (false, 0, 1));
    }

    #[test]
    fn an_endpoint_that_lost_one_family_is_still_up() {
        let world = testkit::world(&[]);
        let mut state = (*world.state).clone();
        let v6 = world.snapshot.slots.iter().position(|s| s.address.to_string().contains("::"));
        state.standings.0[v6.unwrap()].standing = Standing::Down;
        let world = World { revision: 7, state: state.into(), ..copy(&world) };
        let status = status_of(&world, &accepted(), &testkit::Quiet::default());
        assert!(sentence(&status).starts_with("All 4 endpoints are up"));
    }

    #[test]
    fn what_keeps_a_server_from_being_ready_is_said() {
        let held = Report { held: vec!["g.example".into()], ..accepted() };
        let world = World { revision: 7, ..copy(&testkit::world(&[])) };
        let impairment = Some(Impairment { targets: 2, reason: "no route".into() });
        let status =
            status_of(&world, &held, &testkit::Quiet { impairment, ..testkit::Quiet::default() });
        assert_eq!(
            sentence(&status),
            "All 4 endpoints are up; the checker itself is impaired (no route); \
             g.example is held back"
        );
        assert_eq!(status.not_ready, ["zone g.example is held back at its last good version"]);

        let mut snapshot = testkit::snapshot();
        snapshot.zones[0].zone = None;
        let broken = World { revision: 7, ..copy(&calm(snapshot)) };
        let never = ["zone g.example never compiled: answered with SERVFAIL"];
        assert_eq!(not_ready(&broken, &accepted()), never);

        let refused = Report { errors: 3, ..Report::default() };
        assert_eq!(not_ready(&world, &refused), ["the newest files were refused"]);
        let empty = World { warming: true, ..World::default() };
        assert_eq!(not_ready(&empty, &accepted()).len(), 2);
        let status = status_of(&empty, &Report::default(), &testkit::Quiet::default());
        assert!(status.sentence.starts_with("No files have been accepted: nothing is answered"));
    }

    #[test]
    fn times_of_day_have_their_day_unless_it_is_today() {
        let now = "2026-11-22T12:30:00.000Z";
        assert_eq!(clock_time("2026-11-22T12:01:07.120Z", now), "12:01 UTC");
        assert_eq!(clock_time("2026-11-21T12:01:07.120Z", now), "2026-11-21 12:01 UTC");
    }
}
