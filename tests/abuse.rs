//! Connections held to keep others out: thousands that are idle and hundreds that dribble, and
//! beside them new clients who must be served at once (reliability S-9).
//!
//! Everything is loopback; the attackers come from many of its addresses, since one alone gets
//! no further than `per_source`. Promises in wall-clock time allow for how long the machine kept
//! the server, or this test, waiting for a processor.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "desk/mod.rs"]
mod desk;
mod support;

use desk::Ask;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};
use support::{
    DEADLINE, figure, free_address,
    peers::{Authority, Program},
    process::kept_waiting,
    scratch::Scratch,
    server::Server,
    skip,
    stream::Stream,
};
use tradewind::clock::{Clock, Moment, SystemClock};

const IDLE: usize = 5_000;
const DRIBBLING: usize = 500;
/// Of the idle ones those who say nothing: the kernel hands them over only after seconds, when
/// they take seats from others. Few enough to leave the dribblers theirs: 1,024 connections less
/// 500 dribblers less all who come later.
const SILENT: usize = 300;
/// Fewer than one source may have.
const A_SOURCE: usize = 100;
/// Clients who come while the attack lasts, one after the other, and as many UDP queries.
const NEWCOMERS: usize = 100;
/// What a message may take to arrive.
const MESSAGE: Duration = Duration::from_secs(2);
/// How much later its connection must be closed.
const SLACK: Duration = Duration::from_secs(2);
/// How long an attacker waits for a connection, and for an answer: it has others to open.
const ASKED: Duration = Duration::from_millis(100);
/// When a newcomer to our own server gives up: on a busy machine it may be late, not unserved.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon a newcomer must be served.
const SERVED: Duration = Duration::from_secs(1);

const SERVER: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n";

const ZONE: &str = "$TTL 1h\n@ SOA ns1 host 1 2h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\n\
                    www A 192.0.2.1\n";

/// What the attack did to those who only want an answer.
struct Outcome {
    /// Attackers that got a connection, idle and dribbling.
    connected: [usize; 2],
    /// The slowest newcomer over TCP that was served, connecting included, and how many were not
    /// before they gave up.
    slowest: Duration,
    unserved: usize,
    slowest_udp: Duration,
    lost_udp: usize,
    /// The dribbler that was closed last, from its first byte; how many never were.
    last_closed: Duration,
    never_closed: usize,
}

fn query() -> Vec<u8> {
    Ask::new("www.example A edns=1232").packet()
}

/// The `i`th attacker's address.
fn source(i: usize) -> IpAddr {
    let net = i / A_SOURCE;
    Ipv4Addr::new(127, 1, (net / 250) as u8, (net % 250) as u8 + 1).into()
}

/// Idle connections: most ask first, as a resolver does, the others say nothing.
fn idle(server: SocketAddr) -> Vec<Stream> {
    let hold = |i| {
        let mut stream = Stream::try_connect_from(source(i), server, ASKED).ok()?;
        if i >= SILENT {
            // Whether it was answered is not what this is about.
            stream.0.set_read_timeout(Some(ASKED)).unwrap();
            let _ = stream.try_ask(&query());
        }
        Some(stream)
    };
    (0..IDLE).filter_map(hold).collect()
}

/// Sends a byte on each connection several times a second until all are closed, or much more
/// than their time has passed; when each was, since its first byte.
fn dribble(mut open: Vec<(Stream, Moment)>, clock: SystemClock) -> Vec<Duration> {
    let mut closed = Vec::new();
    let begun = clock.now();
    while !open.is_empty() && clock.now().since(begun) < DEADLINE {
        thread::sleep(Duration::from_millis(100));
        open.retain_mut(|(stream, first)| {
            let lives = stream.dribble();
            if !lives {
                closed.push(clock.now().since(*first));
            }
            lives
        });
    }
    closed
}

/// Attacks `server`, and asks beside it for as long as `patience` lasts.
fn attack(server: SocketAddr, patience: Duration) -> Outcome {
    let clock = SystemClock::default();
    let held = idle(server);
    let dribblers = (0..DRIBBLING).filter_map(|i| {
        let mut stream = Stream::try_connect_from(source(IDLE + i), server, ASKED).ok()?;
        // The longest message there is, one byte of it.
        stream.send(&[0xff, 0xff, 0]);
        Some((stream, clock.now()))
    });
    let dribblers: Vec<_> = dribblers.collect();
    let connected = [held.len(), dribblers.len()];
    let dribbling = thread::spawn(move || dribble(dribblers, clock));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(SERVED)).unwrap();
    udp.connect(server).unwrap();
    let mut outcome = Outcome {
        connected,
        slowest: Duration::ZERO,
        unserved: 0,
        slowest_udp: Duration::ZERO,
        lost_udp: 0,
        last_closed: Duration::ZERO,
        never_closed: 0,
    };
    for _ in 0..NEWCOMERS {
        let begun = clock.now();
        match newcomer(server, patience) {
            Some(_) => outcome.slowest = outcome.slowest.max(clock.now().since(begun)),
            None => outcome.unserved += 1,
        }
        let begun = clock.now();
        udp.send(&query()).unwrap();
        match udp.recv(&mut [0; 1_232]) {
            Ok(_) => outcome.slowest_udp = outcome.slowest_udp.max(clock.now().since(begun)),
            Err(_) => outcome.lost_udp += 1,
        }
        thread::sleep(Duration::from_millis(20));
    }
    let closed = dribbling.join().unwrap();
    outcome.never_closed = connected[1] - closed.len();
    outcome.last_closed = closed.into_iter().max().unwrap_or_default();
    drop(held);
    outcome
}

/// Connects and asks.
fn newcomer(server: SocketAddr, patience: Duration) -> Option<Vec<u8>> {
    let stream = TcpStream::connect_timeout(&server, patience).ok()?;
    stream.set_read_timeout(Some(patience)).unwrap();
    Stream(stream).try_ask(&query())
}

fn tell(who: &str, outcome: &Outcome) {
    let Outcome { connected, slowest, unserved, slowest_udp, lost_udp, .. } = outcome;
    let Outcome { last_closed, never_closed, .. } = outcome;
    figure(&format!("{who}, attackers connected"), format!("{connected:?}"));
    let slowest = format!("slowest {slowest:.1?}, {unserved} of {NEWCOMERS} unserved");
    figure(&format!("{who}, new TCP clients"), slowest);
    let slowest_udp = format!("slowest {slowest_udp:.1?}, {lost_udp} of {NEWCOMERS} unanswered");
    figure(&format!("{who}, UDP"), slowest_udp);
    let closed = format!("last closed after {last_closed:.1?}, {never_closed} never");
    figure(&format!("{who}, dribblers"), closed);
}

/// Lets this process hold so many connections; says so when it may not.
fn may_open(files: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|now| now >= files) {
        return true;
    }
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit { current: Some(files.min(limit.maximum.unwrap_or(files))), ..limit },
    );
    let enough = raised.is_ok() && limit.maximum.is_none_or(|most| most >= files);
    if !enough {
        skip(&format!("{files} open files are needed, and {:?} allowed", limit.maximum));
    }
    enough
}

/// All connections, what else the test holds, and some to spare.
const FILES: u64 = (IDLE + DRIBBLING + 200) as u64;

#[test]
fn new_clients_are_served_beside_thousands_that_hold_connections() {
    if !may_open(FILES) {
        return;
    }
    let server =
        Server::start(Scratch::with(&[("tradewind.toml", SERVER), ("zones/example.zone", ZONE)]));
    let waited = || server.kept_waiting() + kept_waiting(std::process::id());
    let before = waited();
    let outcome = attack(server.tcp(), PATIENCE);
    let late = waited() - before;
    tell("tradewind", &outcome);
    figure("tradewind, kept waiting for a processor", format!("{late:.1?}"));
    assert!(outcome.connected[0] + outcome.connected[1] > 1_024, "an attack was meant");
    assert_eq!((outcome.unserved, outcome.lost_udp, outcome.never_closed), (0, 0, 0));
    assert!(outcome.slowest < SERVED + late, "a newcomer waited {:?}", outcome.slowest);
    assert!(outcome.slowest_udp < SERVED + late, "UDP took {:?}", outcome.slowest_udp);
    let closed = outcome.last_closed;
    assert!(closed < MESSAGE + SLACK + late, "a dribbler lived for {closed:?}");
    let closed =
        |reason| server.metric(&format!("tradewind_dns_tcp_closed_total{{reason={reason:?}}}"));
    assert!(closed("slow_message") > 0.0, "dribblers were closed for what they do");
    assert!(closed("evicted") > 0.0, "more connections came than there may be");
}

#[test]
fn without_descriptors_newcomers_are_still_served() {
    let files = [("tradewind.toml", SERVER), ("zones/example.zone", ZONE)];
    let server = Server::under(&["prlimit", "--nofile=128"], Scratch::with(&files));
    // More than there are descriptors for, and fewer than `per_source` of each.
    let held = (0..300).map(|i| {
        let mut stream = Stream::connect_from(source(i), server.tcp());
        assert!(stream.ask(&query()).is_some(), "number {i} is served");
        stream
    });
    // All are held until the last is served; then the admin door needs a descriptor too.
    drop(held.collect::<Vec<Stream>>());
    assert!(server.metric("tradewind_dns_tcp_closed_total{reason=\"evicted\"}") > 100.0);
}

/// For `docs/performance.md`, which says how to run it.
#[test]
#[ignore = "a comparison, not a promise"]
fn the_same_attack_on_others() {
    if !may_open(FILES) {
        return;
    }
    for (name, program) in [("knot", Program::Knot), ("gdnsd", Program::Gdnsd)] {
        let address = free_address(Ipv4Addr::LOCALHOST.into());
        if let Some(server) = Authority::start(program, address, "example", ZONE) {
            tell(name, &attack(server.address, SERVED));
        }
    }
}
