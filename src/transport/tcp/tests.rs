//! Real connections on loopback, with limits short enough to meet.

use super::{TcpLimits, TcpServer};
use crate::telemetry::{CloseReason, Family, Tally, Telemetry, Via};
use crate::transport::testing::{Echo, PATIENCE, PROXY_HEADER, loopback_proxies, sockets};
use crate::transport::{Proxies, Sockets};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

fn start(limits: TcpLimits) -> (TcpServer, SocketAddr, Telemetry) {
    start_behind(&Proxies::default(), limits)
}

fn start_behind(proxies: &Proxies, limits: TcpLimits) -> (TcpServer, SocketAddr, Telemetry) {
    let telemetry = Telemetry::default();
    let Sockets { tcp, addresses, .. } = sockets(&["127.0.0.1:0"]);
    let server = TcpServer::start(tcp, limits, proxies, &telemetry, |_| Echo).unwrap();
    (server, addresses[0], telemetry)
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn frame(message: &[u8]) -> Vec<u8> {
    let prefix = (message.len() as u16).to_be_bytes();
    [&prefix, message].concat()
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut prefix = [0; 2];
    stream.read_exact(&mut prefix).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(prefix))];
    stream.read_exact(&mut message).unwrap();
    message
}

fn ask(stream: &mut TcpStream, query: &[u8]) -> Vec<u8> {
    stream.write_all(&frame(query)).unwrap();
    read_frame(stream)
}

/// Waits until the server has closed the connection.
fn assert_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0; 16]) {
        Ok(0) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("still open: {other:?}"),
    }
}

fn assert_ended(server: TcpServer, telemetry: &Telemetry, reason: CloseReason, times: u64) {
    server.stop();
    assert_eq!(telemetry.totals().of(Tally::TcpClosed(reason)), times, "{reason:?}");
}

#[test]
fn frames_split_byte_by_byte_are_put_together() {
    let (_server, address, _) = start(TcpLimits::default());
    let mut stream = connect(address);
    for byte in [frame(b"one"), frame(b"two")].concat() {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(read_frame(&mut stream), [b'o' | 0x80, b'n', b'e']);
    assert_eq!(read_frame(&mut stream), [b't' | 0x80, b'w', b'o']);
}

#[test]
fn many_pipelined_queries_are_answered_in_order_on_one_connection() {
    let (_server, address, _) = start(TcpLimits::default());
    let mut stream = connect(address);
    let mut writer = stream.try_clone().unwrap();
    let all: Vec<u8> = (0..10_000_u32).flat_map(|i| frame(&i.to_be_bytes())).collect();
    let sending = std::thread::spawn(move || writer.write_all(&all).unwrap());
    for i in 0..10_000_u32 {
        assert_eq!(read_frame(&mut stream), (i | 0x8000_0000).to_be_bytes());
    }
    sending.join().unwrap();
}

#[test]
fn a_client_that_closed_its_half_gets_its_replies() {
    let (server, address, telemetry) = start(TcpLimits::default());
    let mut stream = connect(address);
    stream.write_all(&[frame(b"one"), frame(b"silence"), frame(b"two")].concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_frame(&mut stream).len(), 3);
    assert_eq!(read_frame(&mut stream)[1..], *b"wo");
    assert_closed(&mut stream);
    assert_ended(server, &telemetry, CloseReason::Client, 1);
}

#[test]
fn messages_of_the_greatest_length_go_both_ways() {
    let (_server, address, _) = start(TcpLimits::default());
    let mut stream = connect(address);
    let query = vec![b'q'; 65_535];
    let reply = ask(&mut stream, &query);
    assert_eq!((reply.len(), reply[65_534]), (65_535, b'q'));
    assert_eq!(ask(&mut stream, b"longest"), vec![b'x'; 65_535]);
}

#[test]
fn a_frame_of_length_zero_closes_after_the_replies_before_it() {
    let (server, address, telemetry) = start(TcpLimits::default());
    let mut stream = connect(address);
    stream.write_all(&[frame(b"one"), frame(b"")].concat()).unwrap();
    assert_eq!(read_frame(&mut stream).len(), 3);
    assert_closed(&mut stream);
    assert_ended(server, &telemetry, CloseReason::BadFrame, 1);
}

#[test]
fn a_frame_of_length_zero_takes_no_replies_from_who_has_sent_more() {
    let (server, address, telemetry) = start(TcpLimits::default());
    let mut stream = connect(address);
    // More than is taken at one read, so that some is not read when the frame is seen.
    stream.write_all(&[frame(b"one"), frame(b""), vec![1; 200_000]].concat()).unwrap();
    assert_eq!(read_frame(&mut stream).len(), 3);
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "closed, not reset");
    drop(stream);
    assert_ended(server, &telemetry, CloseReason::BadFrame, 1);
}

#[test]
fn who_meets_silence_gives_way_first() {
    let limits = TcpLimits { connections: 2, ..TcpLimits::default() };
    let (server, address, telemetry) = start(limits);
    let [mut unwanted, mut other] = [connect(address), connect(address)];
    ask(&mut unwanted, b"one");
    ask(&mut other, b"one");
    unwanted.write_all(&frame(b"silence")).unwrap();
    // Seen before anybody else comes: one worker takes what has arrived in turn.
    await_queries(&telemetry, 3);
    let mut third = connect(address);
    ask(&mut third, b"one");
    assert_closed(&mut unwanted);
    ask(&mut other, b"two");
    assert_ended(server, &telemetry, CloseReason::Evicted, 1);
}

/// Waits until the server has seen so many queries.
fn await_queries(telemetry: &Telemetry, count: u64) {
    const PAUSE: Duration = Duration::from_millis(5);
    let patience = PATIENCE.as_millis() / PAUSE.as_millis();
    let seen = || telemetry.totals().of(Tally::Query(Via::Tcp, Family::V4)) >= count;
    let waited = (0..patience).any(|_| {
        seen() || {
            std::thread::sleep(PAUSE);
            false
        }
    });
    assert!(waited, "fewer than {count} queries");
}

#[test]
fn a_dribbling_client_is_closed_when_its_message_takes_too_long() {
    let limits = TcpLimits { message: Duration::from_millis(200), ..TcpLimits::default() };
    let (server, address, telemetry) = start(limits);
    let mut stream = connect(address);
    let mut writer = stream.try_clone().unwrap();
    writer.write_all(&[0, 255]).unwrap();
    let dribble = std::thread::spawn(move || {
        // Each byte comes long before the limit; 254 of them would take five seconds.
        (0..254).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            writer.write_all(b"x").is_err()
        })
    });
    assert_closed(&mut stream);
    assert!(dribble.join().unwrap(), "the whole message was taken");
    assert_ended(server, &telemetry, CloseReason::SlowMessage, 1);
}

#[test]
fn an_idle_client_is_closed() {
    let limits = TcpLimits { idle: Duration::from_millis(100), ..TcpLimits::default() };
    let (server, address, telemetry) = start(limits);
    let mut stream = connect(address);
    ask(&mut stream, b"one");
    assert_closed(&mut stream);
    assert_ended(server, &telemetry, CloseReason::Idle, 1);
}

#[test]
fn a_client_that_never_reads_is_closed_and_holds_up_nobody() {
    let limits = TcpLimits { write: Duration::from_millis(200), ..TcpLimits::default() };
    let (server, address, telemetry) = start(limits);
    let greedy = connect(address);
    greedy.set_write_timeout(Some(PATIENCE)).unwrap();
    let queries = frame(b"longest").repeat(1_000); // 65 MB of replies: more than sockets hold.
    let mut asked = greedy.try_clone().unwrap();
    asked.write_all(&queries).unwrap();
    for _ in 0..100 {
        ask(&mut connect(address), b"still there?");
    }
    while telemetry.totals().of(Tally::TcpClosed(CloseReason::SlowReader)) == 0 {
        ask(&mut connect(address), b"still there?");
    }
    assert_ended(server, &telemetry, CloseReason::SlowReader, 1);
}

#[test]
fn over_the_cap_the_longest_idle_is_closed_and_the_newcomer_served() {
    let limits = TcpLimits { connections: 2, ..TcpLimits::default() };
    let (server, address, telemetry) = start(limits);
    let [mut first, mut second] = [connect(address), connect(address)];
    ask(&mut first, b"one");
    ask(&mut second, b"two");
    ask(&mut first, b"three");
    let mut third = connect(address);
    ask(&mut third, b"four");
    assert_closed(&mut second);
    ask(&mut first, b"five");
    assert_ended(server, &telemetry, CloseReason::Evicted, 1);
}

#[test]
fn slow_clients_in_plenty_do_not_keep_new_ones_out() {
    let limits = TcpLimits { connections: 64, per_source: 32, ..TcpLimits::default() };
    let (_server, address, _) = start(limits);
    let slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(&[0]).unwrap();
            stream
        })
        .collect();
    for _ in 0..50 {
        ask(&mut connect(address), b"new");
    }
    drop(slow);
}

#[test]
fn a_query_that_makes_the_answerer_panic_costs_one_connection() {
    let (server, address, telemetry) = start(TcpLimits::default());
    let mut other = connect(address);
    ask(&mut other, b"before");
    let mut stream = connect(address);
    stream.write_all(&frame(b"panic")).unwrap();
    assert_closed(&mut stream);
    ask(&mut other, b"after");
    server.stop();
    assert_eq!(telemetry.totals().of(Tally::Panic), 1);
}

#[test]
fn stopping_closes_idle_connections_at_once() {
    let (server, address, telemetry) = start(TcpLimits::default());
    let mut stream = connect(address);
    ask(&mut stream, b"one");
    let (done, stopped) = mpsc::channel();
    std::thread::spawn(move || {
        server.stop();
        done.send(()).unwrap();
    });
    stopped.recv_timeout(Duration::from_secs(2)).unwrap();
    assert_closed(&mut stream);
    assert_eq!(telemetry.totals().of(Tally::TcpClosed(CloseReason::Stopping)), 1);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn behind_a_trusted_proxy_its_client_asks_however_the_header_is_cut() {
    let (_server, address, _) = start_behind(&loopback_proxies(), TcpLimits::default());
    let whole = [PROXY_HEADER, &frame(b"who asks?")].concat();
    for cut in [1, 15, PROXY_HEADER.len() - 1, PROXY_HEADER.len(), whole.len() - 1, whole.len()] {
        let mut stream = connect(address);
        stream.write_all(&whole[..cut]).unwrap();
        stream.write_all(&whole[cut..]).unwrap();
        assert_eq!(read_frame(&mut stream), b"192.0.2.7:4660");
        assert_eq!(ask(&mut stream, b"who asks?"), b"192.0.2.7:4660", "once a connection");
    }
}

#[test]
fn a_trusted_proxy_without_a_header_is_closed_and_a_slow_one_too() {
    let limits = TcpLimits { message: Duration::from_millis(200), ..TcpLimits::default() };
    let (server, address, telemetry) = start_behind(&loopback_proxies(), limits);
    let mut stream = connect(address);
    stream.write_all(&frame(b"who asks?")).unwrap();
    assert_closed(&mut stream);
    let mut stream = connect(address);
    stream.write_all(&PROXY_HEADER[..5]).unwrap();
    assert_closed(&mut stream);
    server.stop();
    let totals = telemetry.totals();
    assert_eq!(totals.of(Tally::TcpClosed(CloseReason::BadProxyHeader)), 1);
    assert_eq!(totals.of(Tally::TcpClosed(CloseReason::SlowMessage)), 1);
    assert_eq!(totals.of(Tally::Query(Via::Tcp, Family::V4)), 0);
}

#[test]
fn connections_behind_a_proxy_count_for_its_clients() {
    let limits = TcpLimits { per_source: 1, ..TcpLimits::default() };
    let (server, address, telemetry) = start_behind(&loopback_proxies(), limits);
    let asked = |client: u8| {
        let mut header = PROXY_HEADER.to_vec();
        header[19] = client;
        let mut stream = connect(address);
        stream.write_all(&header).unwrap();
        ask(&mut stream, b"one");
        stream
    };
    let [mut first, mut other, mut again] = [7, 8, 7].map(asked);
    assert_closed(&mut first);
    ask(&mut other, b"two");
    ask(&mut again, b"two");
    assert_ended(server, &telemetry, CloseReason::Evicted, 1);
}

#[test]
fn who_connects_and_says_nothing_takes_no_seat() {
    let limits = TcpLimits { connections: 1, ..TcpLimits::default() };
    let (_server, address, telemetry) = start(limits);
    let mut speaks = connect(address);
    ask(&mut speaks, b"one");
    let silent: Vec<TcpStream> = (0..20).map(|_| connect(address)).collect();
    ask(&mut speaks, b"two");
    assert_eq!(telemetry.totals().of(Tally::TcpOpened), 1);
    drop(silent);
}
