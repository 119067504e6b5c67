//! Instructions an answer takes, packet in to packet out: what CI holds.
//!
//! Each figure is one answer by a warm desk, or its look ahead, counted by callgrind: the same on a quiet machine and on a
//! busy one. [`baseline`] states what the answer took when it was last looked at; a change that takes
//! over 5 % more fails here, and whoever means it writes the new figure down and says why in the commit.
//!
//! DESIGN §6 asks for 900 for the weighted answer, as it is bare: with limits and cookies known and
//! nothing of them in the query; that one is held to it.

#![expect(missing_docs, reason = "what the macros make has none")]
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

#[path = "../tests/desk/mod.rs"]
mod desk;

use desk::{Ask, Server, medley, signed};
use gungraun::{Callgrind, EventKind, prelude::*};
use std::hint::black_box;
use tradewind::{
    clock::{Moment, Reading},
    engine::Desk,
    telemetry::{Telemetry, Via},
    world::World,
};

/// Instructions of each figure that are the bench's own.
const OWN: u64 = 21;

/// A desk that has answered the query once, and the query again in its buffer.
struct Ready {
    world: World,
    desk: Desk,
    ask: Ask,
    len: usize,
    buf: [u8; 4_096],
}

fn ready(query: &str) -> Box<Ready> {
    asked(medley::medley(), query)
}

/// With rate limits, access lists, cookies and a name; the query is asked for the second time in
/// its second, so that what counts gets TC.
fn guarded(query: &str) -> Box<Ready> {
    asked(medley::made(medley::ALL_ON), query)
}

/// Among so many names that lookups are begun early.
fn large(query: &str) -> Box<Ready> {
    asked(Server::zone("example", "$GENERATE 1-12000 n$ A 192.0.2.3\n"), query)
}

/// In a zone signed with NSEC.
fn nsec(query: &str) -> Box<Ready> {
    asked(signed::signed(signed::NSEC), query)
}

/// In a zone signed with NSEC3.
fn nsec3(query: &str) -> Box<Ready> {
    asked(signed::signed(signed::NSEC3), query)
}

/// In a box, so that handing it over counts as nothing.
fn asked(server: Server, query: &str) -> Box<Ready> {
    let ask = Ask::new(query);
    let packet = ask.packet();
    let mut desk = Desk::new(1, Telemetry::default().thread());
    desk.set_time(Reading { now: Moment::default(), wall: medley::COOKIES_MADE });
    let mut ready = Box::new(Ready {
        world: server.into_world(),
        desk,
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

    fn foresee(&mut self) {
        let Ready { world, desk, len, buf, .. } = self;
        desk.foresee(world, &buf[..*len]);
        desk.prepare(world);
    }
}

/// Fails when more than 5 % above `instructions`.
fn baseline(instructions: u64) -> LibraryBenchmarkConfig {
    at_most(instructions + instructions / 20)
}

fn at_most(most: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, most)]));
    config
}

#[library_benchmark(setup = ready)]
#[bench::fixed(args = ("www.example A"), config = baseline(837))]
#[bench::fixed_edns(args = ("www.example A edns=1232"), config = baseline(1_095))]
#[bench::no_data(args = ("www.example TXT edns=1232"), config = baseline(1_209))]
#[bench::nxdomain(args = ("nothing.example A edns=1232"), config = baseline(1_108))]
#[bench::wildcard(args = ("any.wild.example A edns=1232"), config = baseline(1_237))]
#[bench::referral(args = ("www.sub.example A edns=1232"), config = baseline(1_773))]
#[bench::cname_chain(args = ("c1.example A edns=1232"), config = baseline(3_217))]
#[bench::weighted(args = ("weighted.example A"), config = at_most(900 + OWN))]
#[bench::weighted_edns(args = ("weighted.example A edns=1232"), config = baseline(1_163))]
#[bench::sticky_2(args = ("sticky-2.example A edns=1232"), config = baseline(1_368))]
#[bench::sticky_8(args = ("sticky-8.example A edns=1232"), config = baseline(1_744))]
#[bench::sticky_64(args = ("sticky-64.example A edns=1232"), config = baseline(4_944))]
#[bench::geo(args = ("geo.example A ecs=193.0.6.0/24"), config = baseline(1_645))]
#[bench::nested_sticky(args = ("nested-sticky.example A ecs=193.0.6.0/24"), config = baseline(1_898))]
#[bench::multivalue(args = ("multivalue.example A edns=1232"), config = baseline(1_282))]
#[bench::steered_cname(args = ("alias.example A ecs=193.0.6.0/24"), config = baseline(2_295))]
#[bench::refused(args = ("www.example.org A edns=1232"), config = baseline(863))]
#[bench::nested(args = ("nested.example A ecs=193.0.6.0/24"), config = baseline(1_626))]
#[bench::steered_wildcard(args = ("any.all.example A edns=1232"), config = baseline(1_349))]
#[bench::cname_to_steered(args = ("to-weighted.example A edns=1232"), config = baseline(1_812))]
fn answered(mut ready: Box<Ready>) -> Box<Ready> {
    black_box(ready.answer());
    ready
}

#[library_benchmark(setup = guarded)]
#[bench::fixed(args = ("www.example A edns=1232"), config = baseline(1_144))]
#[bench::new_cookie(
    args = ("www.example A from=198.51.100.100 cookie=2464c4abcf10c957"),
    config = baseline(1_454)
)]
#[bench::valid_cookie(
    args = ("www.example A from=198.51.100.100 \
        cookie=2464c4abcf10c957010000005cf79f111f8130c3eee29480"),
    config = baseline(1_488)
)]
#[bench::nsid(args = ("www.example A nsid"), config = baseline(1_219))]
#[bench::exempt(args = ("nothing.example A edns=1232 from=10.1.2.3"), config = baseline(1_198))]
#[bench::limited(args = ("nothing.example A edns=1232"), config = baseline(1_664))]
fn with_all_on(mut ready: Box<Ready>) -> Box<Ready> {
    black_box(ready.answer());
    ready
}

#[library_benchmark(setup = nsec)]
#[bench::hit(args = ("www.example A do"), config = baseline(1_333))]
#[bench::no_data(args = ("www.example AAAA do"), config = baseline(2_068))]
#[bench::nxdomain(args = ("nothing.example A do"), config = baseline(6_616))]
#[bench::nxdomain_nsec3(args = ("nothing.example A do"), setup = nsec3, config = baseline(5_347))]
fn signed_zone(mut ready: Box<Ready>) -> Box<Ready> {
    black_box(ready.answer());
    ready
}

// What a packet costs before its answer, where nothing is gained by looking ahead and where it is.
#[library_benchmark(setup = ready)]
#[bench::small_zone(args = ("www.example A edns=1232"), config = baseline(92))]
#[bench::map(args = ("geo.example A ecs=193.0.6.0/24"), config = baseline(273))]
#[bench::large_zone(args = ("n7000.example A edns=1232"), setup = large, config = baseline(343))]
fn foreseen(mut ready: Box<Ready>) -> Box<Ready> {
    ready.foresee();
    ready
}

#[library_benchmark(setup = large)]
#[bench::hit(args = ("n7000.example A edns=1232"), config = baseline(1_082))]
#[bench::nxdomain(args = ("nothing.example A edns=1232"), config = baseline(1_076))]
fn large_zone(mut ready: Box<Ready>) -> Box<Ready> {
    black_box(ready.answer());
    ready
}

library_benchmark_group!(
    name = answers,
    benchmarks = [answered, with_all_on, signed_zone, foreseen, large_zone]
);
main!(library_benchmark_groups = answers);
