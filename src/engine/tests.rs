//! What the desk counts. What it answers is held from outside, by `tests/conformance`.

use super::Desk;
use crate::{
    guard::{Rules, access::Access, networks::Networks},
    snapshot::Snapshot,
    telemetry::{DropReason, Tally, Telemetry, Via},
    world::World,
};
use std::{net::Ipv4Addr, sync::Arc};

/// `a. A`, with EDNS and a client's network.
const QUERY: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\0\0\x01\x01a\0\0\x01\0\x01\
    \0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x08\0\x07\0\x01\x18\0\xc0\0\x02";

#[test]
fn every_packet_is_counted_by_what_became_of_it() {
    let telemetry = Telemetry::default();
    let mut desk = Desk::new(1, telemetry.thread());
    let mut send = |packet: &[u8], via| {
        let mut buf = [0; 512];
        buf[..packet.len()].copy_from_slice(packet);
        desk.answer(&World::default(), &mut buf, packet.len(), Ipv4Addr::LOCALHOST.into(), via)
    };
    let with = |at: usize, byte: u8| {
        let mut packet = QUERY.to_vec();
        packet[at] = byte;
        packet
    };
    send(QUERY, Via::Udp);
    send(QUERY, Via::Tcp);
    send(&QUERY[..20], Via::Udp);
    send(&with(2, 5 << 3), Via::Udp);
    send(&with(25, 1), Via::Udp);
    assert_eq!(send(&with(2, 0x80), Via::Udp), 0);
    assert_eq!(send(&QUERY[..11], Via::Tcp), 0);

    let totals = telemetry.totals();
    for (tally, count) in [
        (Tally::Response(Via::Udp, 5), 1),
        (Tally::Response(Via::Tcp, 5), 1),
        (Tally::Response(Via::Udp, 1), 1),
        (Tally::Response(Via::Udp, 4), 1),
        (Tally::Response(Via::Udp, 16), 1),
        (Tally::Response(Via::Udp, 0), 0),
        (Tally::Dropped(DropReason::Response), 1),
        (Tally::Dropped(DropReason::Short), 1),
        (Tally::Ecs, 2),
        (Tally::Truncated, 0),
    ] {
        assert_eq!(totals.of(tally), count, "{tally:?}");
    }
}

#[test]
fn a_question_of_our_own_is_answered_whoever_may_ask() {
    let mut desk = Desk::new(1, Telemetry::default().thread());
    let mut world = World::default();
    let everybody = [("0.0.0.0/0".parse().unwrap(), Access::Drop)];
    let access = Some(Networks::new(everybody, Access::Drop));
    let rules = Rules { access, ..Rules::default() };
    world.snapshot = Arc::new(Snapshot { guard: rules, ..Snapshot::default() });
    let mut buf = [0; 512];
    buf[..QUERY.len()].copy_from_slice(QUERY);
    let of_others = desk.answer(&world, &mut buf, QUERY.len(), [127, 0, 0, 1].into(), Via::Tcp);
    assert_eq!(of_others, 0);
    assert_ne!(desk.answer_ourselves(&world, &mut buf, QUERY.len()), 0);
}
