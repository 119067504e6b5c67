//! What a change costs, verdicts in to World out: a region fails, and comes back, under 100,000
//! steered records.
//!
//! DESIGN §6: over at most 1,000 distinct trees and 10,000 endpoints republished in ≤ 50 ms, which
//! is asserted; 100,000 distinct trees are for the report.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

#[path = "../tests/support/regions.rs"]
#[allow(dead_code, reason = "only the list of regions is needed here")]
mod regions;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use regions::TWELVE as REGIONS;
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::Arc,
    time::Duration,
};
use tradewind::{
    clock::{Clock, SystemClock},
    compile::{Compiled, Input, Memory, compile},
    config::{Progress, Sources},
    control::publish::{Control, TargetVerdict},
    ids::CounterSlot,
    place::LazyTable,
    verdict::{Sight, Standing},
};

/// Zones, each with an equal part of the records.
const ZONES: usize = 10;
const RECORDS: usize = 100_000 / ZONES;
/// What a region's failure or return may take over 1,000 trees; the median of so many.
const REPUBLISHED_IN: Duration = Duration::from_millis(50);
const ROUNDS: usize = 15;

/// A pool of two endpoints in `region`.
fn pool(text: &mut String, name: &str, region: &str, number: usize) {
    let address = |n: usize| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
    let (a, b) = (address(2 * number), address(2 * number + 1));
    write!(
        text,
        "[pools.{name}]\nregion = '{region}'\n\
         endpoints = [{{ name = 'a', ipv4 = '{a}' }}, {{ name = 'b', ipv4 = '{b}' }}]\n"
    )
    .unwrap();
}

fn head(zone: usize) -> String {
    format!("zone = 'z{zone}.example'\nns = ['ns1.example.net']\ncheck = 'web'\n")
}

/// 100 trees of ten endpoints in five regions, the first of them in us-east-1; by turns
/// weighted, failover, latency, and geography above latency.
fn shared_trees(zone: usize) -> String {
    let mut text = head(zone);
    for tree in 0..100 {
        let pools: Vec<String> = (0..5).map(|p| format!("p{tree}-{p}")).collect();
        for (p, name) in pools.iter().enumerate() {
            let region = if p == 0 { 0 } else { 1 + (tree + 2 * p) % 11 };
            pool(&mut text, name, REGIONS[region], (zone * 100 + tree) * 5 + p);
        }
        let list = format!("['{}']", pools.join("', '"));
        let body = match tree % 4 {
            0 => format!("policy = 'weighted'\nmembers = {list}"),
            1 => format!("policy = 'failover'\nmembers = {list}"),
            2 => format!("policy = 'latency'\ntie = '10ms'\nmembers = {list}"),
            _ => {
                write!(text, "[policies.l{tree}]\npolicy = 'latency'\nmembers = {list}\n").unwrap();
                format!(
                    "policy = 'geo'\nrules = [\n\
                     {{ match = ['country:DE', 'country:AT'], use = ['{1}', 'l{0}'] }},\n\
                     {{ match = ['continent:EU'], use = ['l{0}'] }},\n\
                     {{ match = ['*'], use = ['l{0}'] }}]",
                    tree, pools[1]
                )
            }
        };
        write!(text, "[policies.t{tree}]\n{body}\n").unwrap();
    }
    for record in 0..RECORDS {
        let tree = record % 100;
        write!(text, "[records.r{record}]\npolicy = 'weighted'\nmembers = ['t{tree}']\n").unwrap();
    }
    text
}

/// A tree of its own for each record: the split between a pool in us-east-1 and another.
fn own_trees(zone: usize) -> String {
    let mut text = head(zone);
    for p in 0..500 {
        let region = if p % 2 == 0 { 0 } else { 1 + p % 11 };
        pool(&mut text, &format!("p{p}"), REGIONS[region], zone * 500 + p);
    }
    for record in 0..RECORDS {
        let (a, b) = (2 * (record % 250), 2 * (record % 250) + 1);
        write!(
            text,
            "[records.r{record}]\npolicy = 'weighted'\nmembers = [{{ pool = 'p{a}', weight = {} }}, \
             {{ pool = 'p{b}', weight = 7 }}]\n",
            record + 1
        )
        .unwrap();
    }
    text
}

fn compiled(zone: impl Fn(usize) -> String) -> Compiled {
    let mut server = String::from("[server]\n");
    for region in REGIONS {
        write!(server, "[regions.{region}]\ncloud = 'aws:{region}'\n").unwrap();
    }
    let mut files = vec![
        ("tradewind.toml".to_owned(), server),
        ("healthchecks/web.toml".to_owned(), "[web]\ntype = 'tcp'\nport = 443\n".to_owned()),
    ];
    files.extend((0..ZONES).map(|z| (format!("zones/z{z}.example.toml"), zone(z))));
    let sources = Sources::in_memory(files.iter().map(|(path, text)| (&**path, &**text)));
    let input = Input {
        sources: &sources,
        last_good: &BTreeMap::new(),
        locations: Some(&LazyTable::embedded()),
        serials: &HashMap::new(),
        secret: &|_| Err("there are no secrets here".into()),
        progress: &Progress::default(),
        counter: &mut |_| CounterSlot(0),
    };
    let compiled = compile(input, &mut Memory::default()).unwrap();
    assert!(!compiled.problems.has_errors(), "the bench's own files are right");
    compiled
}

/// The targets in us-east-1, all with one standing.
fn region(compiled: &Compiled, clock: &SystemClock, standing: Standing) -> Vec<TargetVerdict> {
    let lost = |name: &str| name == REGIONS[0];
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
    times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2]
    })
}

#[expect(clippy::print_stdout, reason = "criterion's own figures go there too")]
fn report(figures: std::fmt::Arguments<'_>) {
    println!("publish: {figures}");
}

fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    group.sample_size(10);
    for (what, zone, is_promised) in [
        ("1,000 trees", shared_trees as fn(usize) -> String, true),
        ("100,000 trees", own_trees, false),
    ] {
        let compiled = compiled(zone);
        let clock = SystemClock::default();
        let up = region(&compiled, &clock, Standing::Up);
        let down = region(&compiled, &clock, Standing::Down);
        let mut control = Control::new(Arc::new(clock));
        let snapshot = compiled.snapshot;
        let classes: usize = snapshot.plans.iter().map(|plan| plan.tree.classes.classes()).sum();
        let size = [snapshot.records.len(), snapshot.plans.len(), snapshot.slots.len(), classes];
        control.install(Arc::new(snapshot), 1);
        control.warm();
        control.observe(up.clone());
        let [fails, returns] = medians(&mut control, &clock, [&down, &up]);
        report(format_args!("{what}: a region fails: {fails:.1?}, returns: {returns:.1?}"));
        let is_kept = fails.max(returns) <= REPUBLISHED_IN;
        assert!(is_kept || !is_promised, "promised in {REPUBLISHED_IN:?}");
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
