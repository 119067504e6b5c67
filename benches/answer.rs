//! What an answer costs, packet in to packet out, without sockets: one figure for each way an
//! answer comes about. The copy of the query into the buffer is part of it.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

#[path = "../tests/desk/mod.rs"]
mod desk;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use desk::{Ask, medley};
use std::hint::black_box;
use tradewind::{
    engine::Desk,
    telemetry::{Telemetry, Via},
};

fn answer(c: &mut Criterion) {
    let world = medley::medley().into_world();
    let mut desk = Desk::new(1, Telemetry::default().thread());
    let mut buf = [0; 4_096];
    let mut group = c.benchmark_group("answer");
    group.throughput(Throughput::Elements(1));
    for (what, query) in medley::QUERIES {
        let ask = Ask::new(query);
        let packet = ask.packet();
        group.bench_function(*what, |b| {
            b.iter(|| {
                buf[..packet.len()].copy_from_slice(black_box(&packet));
                black_box(desk.answer(&world, &mut buf, packet.len(), ask.from, Via::Udp))
            });
        });
    }
}

criterion_group!(benches, answer);
criterion_main!(benches);
