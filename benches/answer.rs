//! What an answer costs, packet in to packet out, without sockets: one figure for each way an
//! answer comes about. The copy of the query into the buffer is part of it.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

#[path = "../tests/desk/mod.rs"]
mod desk;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use desk::{Ask, Server, medley, signed};
use std::hint::black_box;
use tradewind::{
    clock::{Moment, Reading},
    engine::Desk,
    telemetry::{Telemetry, Via},
};

fn answer(c: &mut Criterion) {
    answers(c, "answer", medley::medley(), medley::QUERIES);
    answers(c, "answer with everything on", medley::made(medley::ALL_ON), medley::STRANGERS);
    answers(c, "answer signed by names", signed::signed(signed::NSEC), signed::QUERIES);
    answers(c, "answer signed by hashes", signed::signed(signed::NSEC3), signed::QUERIES);
}

fn answers(c: &mut Criterion, of: &str, server: Server, queries: &[(&str, &str)]) {
    let world = server.into_world();
    let mut desk = Desk::new(1, Telemetry::default().thread());
    desk.set_time(Reading { now: Moment::default(), wall: medley::COOKIES_MADE });
    let mut buf = [0; 4_096];
    let mut group = c.benchmark_group(of);
    group.throughput(Throughput::Elements(1));
    for (what, query) in queries {
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
