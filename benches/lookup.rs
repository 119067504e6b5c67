//! What it costs to find what is at a name: hits, and misses at several depths, in a zone that
//! fits into the processor's caches and in one that does not.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::{fmt::Write, hint::black_box, io, path::Path};
use tradewind::{
    wire::{Name, QName},
    zone::{At, Source, Zone, ZoneBuilder, read},
};

/// More names than are asked for in a row, so that a large zone is cold wherever it is asked.
const ASKED: usize = 1 << 16;

/// A zone of `names` names, and a chain of empty non-terminals six labels deep.
fn zone(names: usize) -> Zone {
    let mut text = String::from(
        "@ 60 SOA ns host 1 2 3 4 5\n@ 60 NS ns.elsewhere.\nf.e.d.c.b.a 60 A 192.0.2.1\n",
    );
    for n in 0..names {
        writeln!(text, "n{n:07} 60 A 10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255).unwrap();
    }
    let apex = Name::parse("big.test").unwrap();
    let at = At { file: Path::new("big.test.zone").into(), line: 1 };
    let mut builder = ZoneBuilder::new(apex.clone(), at.clone());
    let nothing = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let source = Source::held(at.file, 1, &text);
    let problems = read(source, &nothing, &apex, None, &mut |record| builder.add(record));
    assert!(problems.is_empty());
    builder.build().0.unwrap()
}

fn qnames(name: impl Fn(usize) -> String) -> Vec<QName> {
    let qname = |n| {
        // A step that shares no factor with either size visits names far from each other.
        let mut qname = QName::default();
        qname.set(&Name::parse(&name(n * 7_919)).unwrap());
        qname
    };
    (0..ASKED).map(qname).collect()
}

fn lookup(c: &mut Criterion) {
    for (size, names) in [("1,000 names", 1_000), ("1,000,000 names", 1_000_000)] {
        let zone = zone(names);
        let mut group = c.benchmark_group(format!("lookup in {size}"));
        group.throughput(Throughput::Elements(1));
        let asked: [(&str, Vec<QName>); 5] = [
            ("hit", qnames(|n| format!("n{:07}.big.test", n % names))),
            ("miss below the apex", qnames(|n| format!("x{:07}.big.test", n % names))),
            ("miss below a name", qnames(|n| format!("x.n{:07}.big.test", n % names))),
            ("miss below six labels", qnames(|n| format!("x{n}.f.e.d.c.b.a.big.test"))),
            ("miss of thirty labels", qnames(|n| format!("x{n}.{}big.test", "y.".repeat(29)))),
        ];
        for (what, asked) in &asked {
            let mut turn = asked.iter().cycle();
            group.bench_function(*what, |b| {
                b.iter(|| black_box(zone.lookup(turn.next().unwrap())));
            });
        }
    }
}

criterion_group!(benches, lookup);
criterion_main!(benches);
