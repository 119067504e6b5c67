//! What a load costs, texts in to Snapshot out: static names by the hundred thousand, and
//! steered records over shared trees.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
};
use tradewind::{
    compile::{Input, Memory, compile},
    config::{Progress, Sources},
    ids::CounterSlot,
    place::LazyTable,
};

const NAMES: usize = 100_000;
const RECORDS: usize = 10_000;
const SERVER: &str = "[regions.us-east-1]\ncloud = 'aws:us-east-1'\n\
                      [regions.eu-west-1]\ncloud = 'aws:eu-west-1'\n";

fn names() -> String {
    let mut text = String::from("@ 60 SOA ns host 1 2 3 4 5\n@ 60 NS ns.elsewhere.\n");
    for n in 0..NAMES {
        writeln!(text, "n{n:07} 60 A 10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255).unwrap();
    }
    text
}

/// 100 trees of two pools in two regions, by turns weighted, failover and latency.
fn records() -> String {
    let mut text = String::from("zone = 'b.test'\nns = ['ns.elsewhere']\ncheck = 'none'\n");
    for tree in 0..100 {
        for (pool, region) in ["us-east-1", "eu-west-1"].iter().enumerate() {
            writeln!(
                text,
                "[pools.p{tree}-{pool}]\nregion = '{region}'\n\
                 endpoints = [{{ name = 'a', ipv4 = '10.0.{tree}.{pool}' }}]"
            )
            .unwrap();
        }
        let policy = ["weighted", "failover", "latency"][tree % 3];
        let members = format!("['p{tree}-0', 'p{tree}-1']");
        writeln!(text, "[policies.t{tree}]\npolicy = '{policy}'\nmembers = {members}").unwrap();
    }
    for record in 0..RECORDS {
        let tree = record % 100;
        writeln!(text, "[records.r{record}]\npolicy = 'weighted'\nmembers = ['t{tree}']").unwrap();
    }
    text
}

fn compiling(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    let cases = [
        ("100,000 static names", "zones/a.test.zone", names(), NAMES),
        ("10,000 steered records", "zones/b.test.toml", records(), RECORDS),
    ];
    for (what, path, text, count) in &cases {
        let sources = Sources::in_memory([("tradewind.toml", SERVER), (*path, &**text)]);
        group.throughput(Throughput::Elements(*count as u64));
        group.bench_function(*what, |b| {
            b.iter(|| {
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
                assert!(compiled.held.is_empty(), "the bench's own files are right");
                compiled
            });
        });
    }
}

criterion_group!(benches, compiling);
criterion_main!(benches);
