//! What a pipelined query over TCP costs, beside Knot: both on one worker, asked by one client by
//! turns, so that one run compares them. Frames, system calls and the kernel's part included.
//!
//! Prints queries a second, and the server's time on a processor for each, whose inverse is what
//! one core does; medians over the rounds.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and speaks")]

#[path = "../tests/desk/mod.rs"]
mod desk;
#[path = "../tests/support/mod.rs"]
mod support;

use desk::Ask;
use socket2::SockRef;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};
use support::{
    free_address,
    peers::{Authority, Program},
    process::on_processors,
    scratch::Scratch,
    server::Server,
    stream::{Stream, frame},
};
use tradewind::clock::{Clock, SystemClock};

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(400);
/// Connections, and queries in flight on each: as many as the server answers in one go.
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 64;

/// Names `n0` to `n255`.
fn zone() -> String {
    let head = "$TTL 1h\n@ SOA ns1 host 1 2h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\n";
    let names = (0..256).map(|i| format!("n{i} A 192.0.2.{i}\n"));
    names.fold(head.to_owned(), |zone, line| zone + &line)
}

/// A server under load, and what it has done.
struct Peer {
    name: &'static str,
    process: u32,
    streams: Vec<Stream>,
    /// Queries a second, and microseconds of a processor for each, by round.
    rates: Vec<f64>,
    costs: Vec<f64>,
}

impl Peer {
    fn new(name: &'static str, process: u32, address: SocketAddr) -> Self {
        let streams = (0..CONNECTIONS).map(|_| Stream::connect(address)).collect();
        Peer { name, process, streams, rates: Vec::new(), costs: Vec::new() }
    }

    /// Keeps `IN_FLIGHT` queries on each connection for a round.
    fn load(&mut self, clock: &SystemClock) {
        let batch = batch();
        // A reply is its query and an address: 16 bytes more.
        let mut replies = vec![0; batch.len() + IN_FLIGHT * 16];
        let (begun, worked) = (clock.now(), on_processors(self.process));
        self.streams.iter_mut().for_each(|stream| stream.send(&batch));
        let mut answered = 0;
        loop {
            let goes_on = clock.now().since(begun) < ROUND;
            for stream in &mut self.streams {
                read(&mut stream.0, &mut replies);
                answered += IN_FLIGHT;
                if goes_on {
                    stream.0.write_all(&batch).unwrap();
                }
            }
            if !goes_on {
                break;
            }
        }
        let took = clock.now().since(begun).as_secs_f64();
        let worked = on_processors(self.process) - worked;
        self.rates.push(answered as f64 / took);
        self.costs.push(worked.as_secs_f64() * 1e6 / answered as f64);
    }

    fn told(&mut self) -> String {
        let (rate, cost) = (median(&mut self.rates), median(&mut self.costs));
        let core = 1e6 / cost;
        format!("{:<10} {rate:>10.0} q/s {cost:>7.2} us/q {core:>10.0} q/s a core", self.name)
    }
}

/// Reads as many bytes as `replies` has. All that comes is acknowledged at once: a server that sends
/// reply by reply waits for that (RFC 9293 §3.7.4), and it is not the client that is measured.
fn read(stream: &mut TcpStream, replies: &mut [u8]) {
    let mut done = 0;
    while done < replies.len() {
        SockRef::from(&*stream).set_tcp_quickack(true).unwrap();
        let count = stream.read(&mut replies[done..]).unwrap();
        assert!(count > 0, "the server closed a connection");
        done += count;
    }
}

fn batch() -> Vec<u8> {
    let query = |i: usize| Ask::new(&format!("n{}.example A", i * 3)).packet();
    (0..IN_FLIGHT).flat_map(|i| frame(&query(i))).collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let clock = SystemClock::default();
    let config = "[server]\nlisten = [\"127.0.0.1:0\"]\nudp_threads = 1\n";
    let zone = zone();
    let folder = Scratch::with(&[("tradewind.toml", config), ("zones/example.zone", &zone)]);
    let ours = Server::start(folder);
    let address = free_address(Ipv4Addr::LOCALHOST.into());
    let knot = Authority::start(Program::Knot, address, "example", &zone);
    let mut peers = vec![Peer::new("tradewind", ours.id(), ours.tcp())];
    peers.extend(knot.as_ref().map(|knot| Peer::new("knot", knot.id(), knot.address)));
    for _ in 0..ROUNDS {
        peers.iter_mut().for_each(|peer| peer.load(&clock));
    }
    peers.iter_mut().for_each(|peer| println!("{}", peer.told()));
}
