//! RFC 7828: edns-tcp-keepalive, which tells a client how long its connection may be idle.

use crate::desk::Ask;
use crate::rfc7766::serve;
use crate::support::{DEADLINE, stream::Stream};
use std::{net::UdpSocket, time::Duration};
use tradewind::clock::{Clock, SystemClock};

const ASKED: &[u8] = &[0, 11, 0, 0];
const WITH_A_TIME: &[u8] = &[0, 11, 0, 2, 0, 100];
/// The rcode in the fourth byte of a reply.
const FORMERR: u8 = 1;

/// A query with these options.
fn asking(options: &[u8]) -> Vec<u8> {
    let mut ask = Ask::new("www.example A");
    ask.edns = Some((1232, 0, options.to_vec()));
    ask.packet()
}

/// What a reply tells, in units of 100 ms. OPT is its last record, and has no other option.
fn told(reply: &[u8]) -> Option<u16> {
    match reply {
        [.., 0, 6, 0, 11, 0, 2, high, low] => Some(u16::from_be_bytes([*high, *low])),
        [.., 0, 0] => None,
        _ => panic!("{reply:02x?}"),
    }
}

#[test]
fn s3_3_2_who_asks_over_tcp_is_told_and_nobody_else() {
    let server = serve("tcp = { idle = \"30s\" }");
    let mut stream = Stream::connect(server.tcp());
    assert_eq!(told(&stream.ask(&asking(ASKED)).unwrap()), Some(300));
    assert_eq!(told(&stream.ask(&asking(&[])).unwrap()), None);
    // Without EDNS there is no OPT to tell it in.
    let plain = Ask::new("www.example A").packet();
    assert_eq!(stream.ask(&plain).unwrap().len(), plain.len() + 16);
    let mut refused = Ask::new("other A edns=1232");
    refused.edns = Some((1232, 0, ASKED.to_vec()));
    let reply = stream.ask(&refused.packet()).unwrap();
    assert!(reply.windows(6).any(|option| option == [0, 11, 0, 2, 1, 44]), "{reply:02x?}");
}

#[test]
fn s3_2_1_a_query_with_a_time_is_malformed() {
    let server = serve("");
    let mut stream = Stream::connect(server.tcp());
    let reply = stream.ask(&asking(WITH_A_TIME)).unwrap();
    assert_eq!((reply[3] & 0xf, told(&reply)), (FORMERR, None));
    assert_eq!(told(&stream.ask(&asking(ASKED)).unwrap()), Some(100), "it may go on");
}

#[test]
fn s3_3_1_over_udp_the_option_is_ignored_whatever_it_says() {
    let server = serve("");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(DEADLINE)).unwrap();
    udp.connect(server.udp()).unwrap();
    for option in [ASKED, WITH_A_TIME] {
        udp.send(&asking(option)).unwrap();
        let mut reply = [0; 1_232];
        let len = udp.recv(&mut reply).unwrap();
        assert_eq!((reply[3] & 0xf, told(&reply[..len])), (0, None));
    }
}

#[test]
fn s3_3_2_a_connection_lives_as_long_as_it_was_told_and_little_longer() {
    let clock = SystemClock::default();
    let server = serve("tcp = { idle = \"1s\" }");
    let mut stream = Stream::connect(server.tcp());
    let waited = server.kept_waiting();
    assert_eq!(told(&stream.ask(&asking(ASKED)).unwrap()), Some(10));
    let begun = clock.now();
    assert_eq!(stream.next(), None);
    let lived = clock.now().since(begun);
    // The client's clock starts when the reply is there, the server's when it was sent.
    assert!(lived > Duration::from_millis(500), "closed after {lived:?}");
    let slack = Duration::from_secs(2) + (server.kept_waiting() - waited);
    assert!(lived < Duration::from_secs(1) + slack, "closed after {lived:?}");
}

#[test]
fn s3_3_2_under_load_less_is_told() {
    let server = serve("tcp = { clients = 4 }");
    let mut streams: Vec<Stream> = Vec::new();
    let mut heard = Vec::new();
    for _ in 0..4 {
        let mut stream = Stream::connect(server.tcp());
        heard.push(told(&stream.ask(&asking(ASKED)).unwrap()).unwrap());
        streams.push(stream);
    }
    assert_eq!(heard, [100, 100, 55, 10]);
}
