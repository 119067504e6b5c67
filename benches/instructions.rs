//! Instructions an answer takes, packet in to packet out: what CI holds.
//!
//! Each figure is one answer by a warm desk, counted by callgrind: the same on a quiet machine and on a
//! busy one. [`baseline`] states what the answer took when it was last looked at; a change that takes
//! over 5 % more fails here, and whoever means it writes the new figure down and says why in the commit.
//!
//! The weighted answer is to come down to 900 (it is what `answer()` does beside the kernel's 4 µs): finding the
//! zone and the name take 300 of what it takes now, reading the name 120, the records 140, and 150 who may ask, cookies and
//! limits, which a query without them pays for as well.

#![expect(missing_docs, reason = "what the macros make has none")]
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

#[path = "../tests/desk/mod.rs"]
mod desk;

use desk::{Ask, medley};
use gungraun::{Callgrind, EventKind, prelude::*};
use std::hint::black_box;
use tradewind::{
    engine::Desk,
    telemetry::{Telemetry, Via},
    world::World,
};

/// A desk that has answered the query once, and the query again in its buffer.
struct Ready {
    world: World,
    desk: Desk,
    ask: Ask,
    len: usize,
    buf: [u8; 4_096],
}

/// In a box, so that handing it over counts as nothing.
fn ready(query: &str) -> Box<Ready> {
    let ask = Ask::new(query);
    let packet = ask.packet();
    let mut ready = Box::new(Ready {
        world: medley::medley().into_world(),
        desk: Desk::new(1, Telemetry::default().thread()),
        ask,
        len: packet.len(),
        buf: [0; 4_096],
    });
    ready.buf[..packet.len()].copy_from_slice(&packet);
    assert!(ready.answer() > 0, "{query} is answered");
    ready.buf[..packet.len()].copy_from_slice(&packet);
    ready
}

impl Ready {
    fn answer(&mut self) -> usize {
        let Ready { world, desk, ask, len, buf } = self;
        desk.answer(world, buf, *len, ask.from, Via::Udp)
    }
}

/// Fails when more than 5 % above `instructions`.
fn baseline(instructions: u64) -> LibraryBenchmarkConfig {
    let most = instructions + instructions / 20;
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, most)]));
    config
}

#[library_benchmark(setup = ready)]
#[bench::fixed(args = ("www.example A"), config = baseline(1_201))]
#[bench::fixed_edns(args = ("www.example A edns=1232"), config = baseline(1_434))]
#[bench::no_data(args = ("www.example TXT edns=1232"), config = baseline(1_727))]
#[bench::nxdomain(args = ("nothing.example A edns=1232"), config = baseline(1_659))]
#[bench::wildcard(args = ("any.wild.example A edns=1232"), config = baseline(1_646))]
#[bench::referral(args = ("www.sub.example A edns=1232"), config = baseline(2_201))]
#[bench::cname_chain(args = ("c1.example A edns=1232"), config = baseline(4_818))]
#[bench::weighted(args = ("weighted.example A"), config = baseline(1_382))]
#[bench::weighted_edns(args = ("weighted.example A edns=1232"), config = baseline(1_615))]
#[bench::sticky_2(args = ("sticky-2.example A edns=1232"), config = baseline(1_799))]
#[bench::sticky_8(args = ("sticky-8.example A edns=1232"), config = baseline(2_139))]
#[bench::sticky_64(args = ("sticky-64.example A edns=1232"), config = baseline(5_375))]
#[bench::geo(args = ("geo.example A ecs=193.0.6.0/24"), config = baseline(2_128))]
#[bench::nested_sticky(args = ("nested-sticky.example A ecs=193.0.6.0/24"), config = baseline(2_415))]
#[bench::multivalue(args = ("multivalue.example A edns=1232"), config = baseline(1_693))]
#[bench::steered_cname(args = ("alias.example A ecs=193.0.6.0/24"), config = baseline(3_210))]
#[bench::refused(args = ("www.example.org A edns=1232"), config = baseline(947))]
fn answered(mut ready: Box<Ready>) -> Box<Ready> {
    black_box(ready.answer());
    ready
}

library_benchmark_group!(name = answers, benchmarks = answered);
main!(library_benchmark_groups = answers);
