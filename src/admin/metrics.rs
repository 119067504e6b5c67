//! Gauges of a running server, beside the counters of the packet path: what is loaded, who is
//! up, who is answered by last resort. Read at each scrape; alert rules are written against
//! these names (CHANGELOG.md says when one changes).

use super::{Running, context::SharedPeers, hand::Hands, schema::ZoneState, split::Split, status};
use crate::{
    clock::Clock,
    control::{
        Report,
        event::EventKind,
        hand::apply::SharedHand,
        journal::SharedJournal,
        overview::{Overview, SharedOverview},
        residual::Moves,
    },
    health::{ProbeDurations, TargetState},
    place::LazyTable,
    rollout::Run,
    telemetry::metrics::{Distribution, Kind, Metrics, Samples},
    verdict::Standing,
    world::{Viewer, World},
};
use arc_swap::ArcSwap;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch::Receiver;

/// Every standing, so that a state's series exists before anything is in it.
const STANDINGS: [Standing; 5] =
    [Standing::Unknown, Standing::Up, Standing::Degraded, Standing::Down, Standing::Drained];

/// Targets whose last error a scrape carries: words of others make series without end, and whoever
/// has more targets failing looks into `status`.
const ERRORS_SHOWN: usize = 100;

/// Adds the gauges of the World behind `viewer`, of the newest load of files and of `running`.
pub fn add(
    metrics: &mut Metrics,
    viewer: &Viewer,
    report: &Receiver<Arc<Report>>,
    running: &Arc<dyn Running>,
) {
    metrics.add(Kind::Gauge, "build_info", "The version that runs", |samples| {
        samples.put(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    });
    worlds(metrics, viewer);
    targets(metrics, running);
    let (view, newest) = (viewer.clone(), report.clone());
    metrics.add(
        Kind::Gauge,
        "zones",
        "Zones by the files they are answered from",
        move |samples| {
            let zones = status::zones(&view.world(), &newest.borrow());
            for (state, word) in [
                (ZoneState::Current, "current"),
                (ZoneState::Held, "held"),
                (ZoneState::NeverCompiled, "never-compiled"),
            ] {
                let count = zones.iter().filter(|zone| zone.state == state).count();
                samples.put(&[("state", word)], count as f64);
            }
        },
    );
    let newest = report.clone();
    let help = "Whether the newest files are all in force";
    metrics.add(Kind::Gauge, "config_last_reload_success", help, move |samples| {
        let report = newest.borrow();
        samples.put(&[], flag(report.accepted && report.held.is_empty()));
    });
    let newest = report.clone();
    let help = "When files were accepted last, in seconds since 1970";
    metrics.add(Kind::Gauge, "config_last_reload_timestamp_seconds", help, move |samples| {
        if let Some(at) = newest.borrow().accepted_at {
            samples.put(&[], seconds_between(UNIX_EPOCH, at));
        }
    });
    let newest = report.clone();
    let help = "What the files in force have in common with those of other servers for the same \
                zones: servers whose hashes differ answer differently";
    metrics.add(Kind::Gauge, "snapshot_info", help, move |samples| {
        let report = newest.borrow();
        samples.put(&[("hash", &report.hash)], 1.0);
    });
    let runs = Arc::clone(running);
    let help = "By how much the last probes started later than they should, the most of any target";
    metrics.add(Kind::Gauge, "probe_lag_seconds", help, move |samples| {
        let targets = runs.targets();
        let late = targets.iter().filter_map(|target| Some(target.last_probe.as_ref()?.late));
        samples.put(&[], late.max().unwrap_or_default().as_secs_f64());
    });
    let runs = Arc::clone(running);
    let help = "Whether a drill runs: what fails meanwhile may be its doing";
    metrics.add(Kind::Gauge, "drill_active", help, move |samples| {
        let drill = runs.drills().and_then(|drills| drills.current());
        samples.put(&[], flag(drill.is_some()));
    });
    let runs = Arc::clone(running);
    let help = "Targets whose last probe proved nothing, for reasons of our own";
    metrics.add(Kind::Gauge, "checker_impaired_targets", help, move |samples| {
        samples.put(&[], runs.impairment().map_or(0.0, |impaired| impaired.targets as f64));
    });
}

/// Adds the gauges of what is held, what waits and what operators said.
pub fn unsettled(metrics: &mut Metrics, overview: &SharedOverview, hand: &SharedHand) {
    let mut of_overview = |name, help, read: fn(&Overview, &mut Samples<'_>)| {
        let overview = Arc::clone(overview);
        metrics.add(Kind::Gauge, name, help, move |samples| read(&overview.load(), samples));
    };
    let help = "Falls that the breaker holds back, by why";
    of_overview("falls_held", help, |overview, samples| {
        let count = |held: Option<(_, usize)>| held.map_or(0.0, |(_, falls)| falls as f64);
        samples.put(&[("why", "cut-off")], count(overview.breaker.cut_off));
        samples.put(&[("why", "mass")], count(overview.breaker.mass));
    });
    of_overview("pinned", "Whether all automation is frozen", |overview, samples| {
        samples.put(&[], flag(overview.pinned));
    });
    let help = "Failovers that do not rest on their first member, by phase; absent when they do";
    of_overview("failover_unsettled", help, |overview, samples| {
        for failover in &overview.failovers {
            samples.put(&[("failover", &failover.name), ("phase", failover.phase)], 1.0);
        }
    });
    let (waits, proposed) = (Arc::clone(overview), Arc::clone(hand));
    let help = "Moves of failovers that wait for `approve`, and changes for a second person";
    metrics.add(Kind::Gauge, "approvals_waiting", help, move |samples| {
        let overview = waits.load();
        let waiting = overview.failovers.iter().filter_map(|failover| failover.waits.as_ref());
        let count = waiting.filter(|waits| waits.by_approval).count();
        samples.put(&[], (count + proposed.load().hand.proposals().len()) as f64);
    });
    let hand = Arc::clone(hand);
    let help = "Overrides of operators, those to come included";
    metrics.add(Kind::Gauge, "overrides", help, move |samples| {
        samples.put(&[], hand.load().hand.overrides().len() as f64);
    });
}

/// Adds how many clients may still be on the answers before each change.
pub fn old_answers(metrics: &mut Metrics, moves: &Moves, clock: &Arc<dyn Clock>) {
    let (moves, clock, telemetry) = (moves.clone(), Arc::clone(clock), metrics.telemetry());
    let help = "Share of clients that may still be on the answer before the latest changes, the \
                largest of any change: by TTL and time (computed), and by the queries that came \
                since (observed)";
    metrics.add(Kind::Gauge, "old_answers", help, move |samples| {
        let left = moves.left(&telemetry, clock.now());
        let largest = |shares: &mut dyn Iterator<Item = f64>| shares.fold(0.0, f64::max);
        let computed = largest(&mut left.iter().map(|left| left.computed));
        let observed = largest(&mut left.iter().filter_map(|left| left.observed));
        samples.put(&[("by", "computed")], computed);
        samples.put(&[("by", "observed")], observed);
    });
}

/// Adds how far rollouts are.
pub fn rollouts(metrics: &mut Metrics, running: &Arc<dyn Running>) {
    let mut of_runs = |name, help, read: fn(&Run, &str, &mut Samples<'_>)| {
        let running = Arc::clone(running);
        metrics.add(Kind::Gauge, name, help, move |samples| {
            let shown = running.rollouts().map(|rollouts| rollouts.shown());
            for run in shown.iter().flat_map(|shown| &shown.runs) {
                read(run, run.machine.def().name.get_ref(), samples);
            }
        });
    };
    let help = "The step a rollout is at, from 1; of the last run of each";
    of_runs("rollout_step", help, |run, name, samples| {
        samples.put(&[("name", name)], (run.machine.at() + 1) as f64);
    });
    let help = "Always 1: what a rollout is doing, or why it stands still";
    of_runs("rollout_state", help, |run, name, samples| {
        samples.put(&[("name", name), ("state", run.machine.word())], 1.0);
    });
}

/// Adds whether the other servers for the same zones stand as this one does.
pub(super) fn peers(metrics: &mut Metrics, peers: &SharedPeers) {
    let peers = Arc::clone(peers);
    let help = "Whether another server for the same zones answers and stands alike: files, \
                overrides, failovers, verdicts";
    metrics.add(Kind::Gauge, "peer_in_step", help, move |samples| {
        for line in peers.load().iter() {
            samples.put(&[("peer", &line.peer)], flag(line.in_step));
        }
    });
}

/// Adds whether what happens is kept.
pub fn kept(metrics: &mut Metrics, journal: &SharedJournal) {
    let journal = journal.clone();
    let help = "Whether the state database takes what is written";
    metrics.add(Kind::Gauge, "store_up", help, move |samples| {
        samples.put(&[], flag(journal.store_health().failing.is_none()));
    });
}

/// Adds for how long the files in force have been so.
pub fn revision_age(
    metrics: &mut Metrics,
    viewer: &Viewer,
    journal: &SharedJournal,
    clock: &Arc<dyn Clock>,
) {
    let (viewer, journal, clock) = (viewer.clone(), journal.clone(), Arc::clone(clock));
    let started = clock.wall();
    let help = "For how long the files in force have been so";
    metrics.add(Kind::Gauge, "snapshot_age_seconds", help, move |samples| {
        let revision = viewer.world().revision;
        let since = {
            let journal = journal.lock();
            let is = |kind: &EventKind| matches!(kind, EventKind::Loaded { revision: r, .. } if *r == revision);
            let loaded = journal.since(0).find(|event| is(&event.kind));
            loaded.map_or(started, |event| event.wall)
        };
        samples.put(&[], seconds_between(since, clock.wall()));
    });
}

/// Adds how old the location databases are, those that were read.
pub fn ages(metrics: &mut Metrics, locations: &Arc<ArcSwap<LazyTable>>, clock: &Arc<dyn Clock>) {
    let (locations, clock) = (Arc::clone(locations), Arc::clone(clock));
    let help = "Age of a location database, by the day it says it was made";
    metrics.add(Kind::Gauge, "geo_db_age_seconds", help, move |samples| {
        let locations = locations.load();
        let Some(table) = locations.known() else { return };
        for database in table.databases() {
            let midnight = format!("{}T00:00:00Z", database.info.date);
            let Ok(made) = midnight.parse::<jiff::Timestamp>() else { continue };
            let age = seconds_between(made.into(), clock.wall());
            samples.put(&[("database", &database.info.source)], age);
        }
    });
}

/// Adds the share of clients that each region is meant to get.
pub(super) fn intended(metrics: &mut Metrics, hands: &Arc<Hands>) {
    let split = Split::new(Arc::clone(hands), metrics.telemetry());
    let help = "Share of clients that a region is meant to get of a record now; by address space \
                where it depends on the client";
    metrics.add(Kind::Gauge, "policy_intended_ratio", help, move |samples| split.show(samples));
}

/// Time passed between two times of day; none if the clock was set back meanwhile.
fn seconds_between(earlier: SystemTime, later: SystemTime) -> f64 {
    later.duration_since(earlier).unwrap_or_default().as_secs_f64()
}

fn worlds(metrics: &mut Metrics, viewer: &Viewer) {
    let mut of_world = |kind, name, help, read: fn(&World, &mut Samples<'_>)| {
        let viewer = viewer.clone();
        metrics.add(kind, name, help, move |samples| read(&viewer.world(), samples));
    };
    of_world(
        Kind::Gauge,
        "snapshot_revision",
        "Revision of the files in force",
        |world, samples| {
            samples.put(&[], world.revision as f64);
        },
    );
    of_world(Kind::Counter, "world_swaps", "Worlds published", |world, samples| {
        samples.put(&[], world.swap as f64);
    });
    let help = "Records answered on other grounds than health; absent when healthy";
    of_world(Kind::Gauge, "failopen_active", help, |world, samples| {
        for record in status::last_resort(world) {
            samples.put(&[("record", &record.record), ("basis", &record.basis)], 1.0);
        }
    });
}

fn targets(metrics: &mut Metrics, running: &Arc<dyn Running>) {
    let mut of_target = |kind, name, help, read: fn(&TargetState, &mut Samples<'_>)| {
        let running = Arc::clone(running);
        metrics.add(kind, name, help, move |samples| {
            running.targets().iter().for_each(|target| read(target, samples));
        });
    };
    of_target(Kind::Gauge, "target_up", "Whether a target counts as up", |target, samples| {
        samples.put(&labels(target), flag(target.sight.standing.is_up()));
    });
    of_target(Kind::Gauge, "target_state", "How a target stands", |target, samples| {
        let [name, address] = labels(target);
        for standing in STANDINGS {
            let is = flag(standing == target.sight.standing);
            samples.put(&[name, address, ("state", standing.word())], is);
        }
    });
    let help = "How often a target came to stand so";
    of_target(Kind::Counter, "state_changes", help, |target, samples| {
        let [name, address] = labels(target);
        for (to, count) in Standing::ALL.iter().zip(target.turns) {
            if count > 0 {
                samples.put(&[name, address, ("to", to.word())], count as f64);
            }
        }
    });
    of_target(Kind::Counter, "probes", "Probes by what came of them", |target, samples| {
        let [name, address] = labels(target);
        let (failed, void) = (target.failures_total, target.voids_total);
        let passed = target.probes_total.saturating_sub(failed + void);
        for (result, count) in [("passed", passed), ("failed", failed), ("void", void)] {
            samples.put(&[name, address, ("result", result)], count as f64);
        }
    });
    let running = Arc::clone(running);
    let help = "How long the answers of all targets of a check took; each target's own are in \
                status, since 32 series for each of thousands are more than a scrape should carry";
    let runs = Arc::clone(&running);
    metrics.add_histograms("probe_duration_seconds", help, "check", move || {
        let of_check =
            |(check, ProbeDurations { sum, buckets })| (check, Distribution { sum, buckets });
        runs.durations().into_iter().map(of_check).collect()
    });
    let help = "How often the last error of a target that fails now was seen, since it is among \
                its last five; of the first hundred such targets";
    metrics.add(Kind::Gauge, "target_last_error", help, move |samples| {
        let failing = running.targets().into_iter().filter(|target| target.sight.failing);
        for target in failing.take(ERRORS_SHOWN) {
            if let Some(error) = target.errors.last() {
                let [name, address] = labels(&target);
                samples.put(&[name, address, ("error", &error.what)], error.count as f64);
            }
        }
    });
}

/// What tells targets apart: the two families of an endpoint share its name.
fn labels(target: &TargetState) -> [(&str, &str); 2] {
    [("target", &target.label), ("address", target.address())]
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}
