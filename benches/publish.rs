//! What a change costs, verdicts in to World out: a region fails, and comes back, one address does,
//! and files come into force, under 100,000 steered records.
//!
//! DESIGN §6: over at most 1,000 distinct trees and 10,000 endpoints republished in ≤ 50 ms, which
//! is asserted; 100,000 distinct trees are for the report.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

mod fixture;
#[path = "../tests/support/regions.rs"]
#[allow(dead_code, reason = "only the list of regions is needed here")]
mod regions;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fixture::Site;
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tradewind::{
    clock::{Clock, SystemClock},
    compile::{Compiled, Input, Memory, compile},
    config::{Progress, Sources},
    control::{
        publish::{Control, TargetVerdict},
        steered::Steered,
    },
    place::LazyTable,
    snapshot::Snapshot,
    telemetry::{AnswerName, Telemetry},
    verdict::{Sight, Standing},
};

/// The server's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SITE: Site =
    Site { regions: &regions::TWELVE, zones: 10, records_a_zone: 10_000, trees_a_zone: 100 };
/// What a region's failure or return may take over 1,000 trees; the median of so many.
const REPUBLISHED_IN: Duration = Duration::from_millis(50);
const ROUNDS: usize = 15;

fn compiled(zone: fn(&Site, usize) -> String, telemetry: &Telemetry) -> Compiled {
    let files = SITE.files("[server]\n", "type = 'tcp'\nport = 443\n", zone);
    let sources = Sources::in_memory(files.iter());
    let input = Input {
        sources: &sources,
        last_good: &BTreeMap::new(),
        locations: Some(&LazyTable::embedded()),
        serials: &HashMap::new(),
        secret: &|_| Err("there are no secrets here".into()),
        progress: &Progress::default(),
        counter: &mut |name| {
            telemetry.slot(AnswerName {
                zone: name.zone.into(),
                record: name.record.into(),
                region: name.region.into(),
                pool: name.pool.into(),
            })
        },
    };
    let compiled = compile(input, &mut Memory::default()).unwrap();
    assert!(!compiled.problems.has_errors(), "the bench's own files are right");
    compiled
}

/// The targets in us-east-1, all with one standing.
fn region(compiled: &Compiled, clock: &SystemClock, standing: Standing) -> Vec<TargetVerdict> {
    let lost = |name: &str| name == SITE.regions[0];
    let snapshot = &compiled.snapshot;
    let targets = compiled.plan.targets.iter();
    let targets = targets.filter(|t| t.region.is_some_and(|id| lost(snapshot.region_name(id))));
    let verdict = |target: &tradewind::checkplan::Target| TargetVerdict {
        key: Arc::clone(&target.key),
        sight: Sight { standing, failing: !standing.is_up() },
        reason: standing.word().into(),
        at: clock.now(),
        first_failure: None,
        answered: false,
        observed: false,
        gate: None,
        damped: None,
    };
    targets.map(verdict).collect()
}

/// The median time of a region's failure and of its return.
fn medians(
    control: &mut Control,
    clock: &SystemClock,
    changes: [&[TargetVerdict]; 2],
) -> [Duration; 2] {
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for (times, change) in times.iter_mut().zip(changes) {
            let change = change.to_vec();
            let begun = clock.now();
            control.observe(change);
            times.push(clock.now().since(begun));
        }
    }
    times.map(median)
}

/// For how long nothing else is published while files come into force: with all answers made then,
/// or ahead, on another thread.
fn reloads(what: &str, control: &mut Control, clock: &SystemClock, snapshot: &Snapshot) {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let files = Arc::new(snapshot.clone());
        let begun = clock.now();
        control.install(files, 2);
        times[0].push(clock.now().since(begun));

        let files = Arc::new(snapshot.clone());
        let begun = clock.now();
        let outlook = control.outlook();
        let looked = clock.now();
        let steered = Steered::ahead(&outlook, &files);
        let made = clock.now();
        control.install_steered(files, 3, Some(&steered));
        times[1].push(looked.since(begun) + clock.now().since(made));
        times[2].push(made.since(looked));
    }
    let [at_once, ahead, elsewhere] = times.map(median);
    report(format_args!(
        "{what}: files come into force: {at_once:.1?}, steered ahead: {ahead:.1?} (and {elsewhere:.1?} elsewhere)"
    ));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[expect(clippy::print_stdout, reason = "criterion's own figures go there too")]
fn report(figures: std::fmt::Arguments<'_>) {
    println!("publish: {figures}");
}

fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    group.sample_size(10);
    for (what, zone, is_promised) in [
        ("1,000 trees", Site::shared_trees as fn(&Site, usize) -> String, true),
        ("100,000 trees", Site::own_trees, false),
    ] {
        let telemetry = Arc::new(Telemetry::default());
        let compiled = compiled(zone, &telemetry);
        let clock = SystemClock::default();
        let up = region(&compiled, &clock, Standing::Up);
        let down = region(&compiled, &clock, Standing::Down);
        let mut control = Control::new(Arc::new(clock));
        control.count_by(telemetry);
        let snapshot = compiled.snapshot;
        let classes: usize = snapshot.plans.iter().map(|plan| plan.tree.classes.classes()).sum();
        let size = [snapshot.records.len(), snapshot.plans.len(), snapshot.slots.len(), classes];
        control.install(Arc::new(snapshot.clone()), 1);
        control.warm();
        control.observe(up.clone());
        let [fails, returns] = medians(&mut control, &clock, [&down, &up]);
        report(format_args!("{what}: a region fails: {fails:.1?}, returns: {returns:.1?}"));
        let is_kept = fails.max(returns) <= REPUBLISHED_IN || !is_promised;
        let [fails, returns] = medians(&mut control, &clock, [&down[..1], &up[..1]]);
        report(format_args!("{what}: one address fails: {fails:.1?}, returns: {returns:.1?}"));
        reloads(what, &mut control, &clock, &snapshot);
        assert!(is_kept, "promised in {REPUBLISHED_IN:?}");
        let [records, plans, slots, classes] = size;
        let what = format!(
            "{what}: {records} records, {plans} plans, {slots} addresses, {classes} classes, {} fall",
            down.len()
        );
        let control = RefCell::new(control);
        for (way, from, to) in [("fails", &up, &down), ("returns", &down, &up)] {
            group.bench_function(format!("{what}; it {way}"), |b| {
                let before = || {
                    control.borrow_mut().observe(from.clone());
                    to.clone()
                };
                let observe = |to| control.borrow_mut().observe(to);
                b.iter_batched(before, observe, BatchSize::PerIteration);
            });
        }
    }
}

criterion_group!(benches, publish);
criterion_main!(benches);
