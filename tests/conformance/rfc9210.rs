//! RFC 9210: what operators of DNS over TCP must be able to rely on: limits that keep others out
//! of the way, and never the service itself.

use crate::rfc7766::{query, serve};
use crate::support::{
    await_some,
    stream::{Stream, frame},
};
use std::{net::IpAddr, time::Duration};
use tradewind::clock::{Clock, SystemClock};

fn address(last: u8) -> IpAddr {
    [127, 0, 9, last].into()
}

/// Whether the server has closed the connection, seen by asking once more.
fn is_closed(stream: &mut Stream) -> bool {
    stream.ask(&query("www.example A", 2)).is_none()
}

#[test]
fn s3_tcp_is_served_wherever_udp_is() {
    let server = serve("");
    assert_eq!(server.tcp(), server.udp());
    assert!(Stream::connect(server.tcp()).ask(&query("www.example A", 1)).is_some());
}

#[test]
fn s4_2_one_client_cannot_take_more_than_its_share() {
    let server = serve("tcp = { clients = 100, per_source = 2 }");
    let open = |last| {
        let mut stream = Stream::connect_from(address(last), server.tcp());
        assert!(stream.ask(&query("www.example A", 1)).is_some());
        stream
    };
    let mut quiet = open(1);
    let [mut first, mut second, mut third] = [open(2), open(2), open(2)];
    assert_eq!(first.next(), None, "the longest idle of the greedy client gives way");
    for stream in [&mut quiet, &mut second, &mut third] {
        assert!(!is_closed(stream));
    }
}

#[test]
fn s4_2_when_all_are_taken_the_longest_idle_gives_way_to_the_newcomer() {
    let clock = SystemClock::default();
    let server = serve("tcp = { clients = 3 }");
    let begun = clock.now();
    let open = |last| {
        let mut stream = Stream::connect_from(address(last), server.tcp());
        assert!(stream.ask(&query("www.example A", 1)).is_some());
        stream
    };
    let [mut first, mut second, mut third] = [open(1), open(2), open(3)];
    assert!(!is_closed(&mut first) || clock.now().since(begun) >= Duration::from_secs(1));
    let mut fourth = open(4);
    assert_eq!(second.next(), None);
    for stream in [&mut first, &mut third, &mut fourth] {
        // In a full house nobody may be idle for more than a second.
        assert!(!is_closed(stream) || clock.now().since(begun) >= Duration::from_secs(1));
    }
}

#[test]
fn s4_2_a_message_has_two_seconds_however_it_dribbles() {
    let clock = SystemClock::default();
    let server = serve("");
    let mut stream = Stream::connect(server.tcp());
    let waited = server.kept_waiting();
    stream.send(&[0, 255]);
    let begun = clock.now();
    while stream.dribble() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let lived = clock.now().since(begun);
    assert!(lived > Duration::from_millis(1_500), "closed after {lived:?}");
    let slack = Duration::from_secs(2) + (server.kept_waiting() - waited);
    assert!(lived < Duration::from_secs(2) + slack, "closed after {lived:?}");
}

#[test]
fn s4_2_who_does_not_read_is_closed_and_holds_up_nobody() {
    let server = serve("");
    let mut greedy = Stream::connect(server.tcp());
    // 61 KiB of replies for 30 bytes each: 60 MiB in all, more than sockets hold.
    greedy.send(&frame(&query("huge.example A", 1)).repeat(1_000));
    await_some("the greedy client is closed", || {
        let mut other = Stream::connect(server.tcp());
        assert!(other.ask(&query("www.example A", 1)).is_some());
        let closed = server.metric("tradewind_dns_tcp_closed_total{reason=\"slow_reader\"}");
        (closed > 0.0).then_some(())
    });
}
