//! Real sockets, real threads, on loopback.

use super::{UdpServer, UdpSettings};
use crate::telemetry::{DropReason, Family, Tally, Telemetry, Via};
use crate::transport::testing::{Echo, PATIENCE, PROXY_HEADER, client, loopback_proxies, sockets};
use crate::transport::{AHEAD, Answerer, Sockets};
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

fn start(sockets: Sockets, telemetry: &Telemetry) -> (UdpServer, Vec<SocketAddr>) {
    let server =
        UdpServer::start(sockets.udp, &UdpSettings::default(), telemetry, |_| Echo).unwrap();
    (server, sockets.addresses)
}

fn ask(client: &UdpSocket, query: &[u8]) -> Vec<u8> {
    client.send(query).unwrap();
    let mut reply = [0; 4_096];
    let len = client.recv(&mut reply).unwrap();
    reply[..len].to_vec()
}

#[test]
fn ten_thousand_pipelined_queries_are_all_answered() {
    // The client's default receive buffer holds 277 replies, less a quarter: the kernel gives room
    // back only once that much has been read.
    const WINDOW: u32 = 128;
    let telemetry = Telemetry::default();
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let listen = [listen.parse().unwrap()];
        let (server, addresses) = start(Sockets::bind(&listen, 2, 1).unwrap(), &telemetry);
        let client = client(addresses[0]);
        let mut seen = vec![false; 10_000];
        let mut reply = [0; 16];
        for i in 0..10_000 + WINDOW {
            if i < 10_000 {
                client.send(&i.to_be_bytes()).unwrap();
            }
            if i >= WINDOW {
                assert_eq!(client.recv(&mut reply).unwrap(), 4);
                let number = u32::from_be_bytes(reply[..4].try_into().unwrap()) & 0x7fff_ffff;
                assert!(!std::mem::replace(&mut seen[number as usize], true), "{number} twice");
            }
        }
        server.stop();
        assert!(seen.iter().all(|&seen| seen));
    }
    let totals = telemetry.totals();
    for &family in Family::ALL {
        assert_eq!(totals.of(Tally::Query(Via::Udp, family)), 10_000);
    }
    assert_eq!(totals.of(Tally::SendDrop) + totals.of(Tally::KernelDrop), 0);
}

#[test]
fn what_has_come_in_before_the_end_is_answered() {
    // More than a batch holds, fewer than what the client's receive buffer does.
    const WAITING: u32 = 200;
    let sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap()], 1, 1).unwrap();
    let client = client(sockets.addresses[0]);
    for i in 0..WAITING {
        client.send(&i.to_be_bytes()).unwrap();
    }
    start(sockets, &Telemetry::default()).0.stop();
    let mut reply = [0; 16];
    for _ in 0..WAITING {
        assert_eq!(client.recv(&mut reply).unwrap(), 4);
    }
}

#[test]
fn a_wildcard_bind_answers_from_the_address_asked() {
    let telemetry = Telemetry::default();
    let (_server, addresses) = start(sockets(&["0.0.0.0:0", "[::]:0"]), &telemetry);
    let port = addresses[0].port();
    for asked in ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"] {
        let asked = SocketAddr::new(asked.parse().unwrap(), port);
        let any = if asked.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let client = UdpSocket::bind(any).unwrap(); // Unconnected: takes replies from anybody.
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(b"who", asked).unwrap();
        let (_, from) = client.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from, asked);
    }
}

/// Says where its thread may run.
struct Where;

impl Answerer for Where {
    fn refresh(&mut self) {}
    fn answer(&mut self, buf: &mut [u8], _: usize, _: SocketAddr, _: Via) -> usize {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = allowed.unwrap().trim().as_bytes();
        buf[..allowed.len()].copy_from_slice(allowed);
        allowed.len()
    }
}

#[test]
fn threads_stay_on_their_processors() {
    let (telemetry, bound) = (Telemetry::default(), sockets(&["127.0.0.1:0"]));
    // The last one that this machine lets us have.
    let ours = rustix::thread::sched_getaffinity(None).unwrap();
    let cpu = (0..1_024).rfind(|&cpu| ours.is_set(cpu)).unwrap();
    let settings = UdpSettings { cpus: vec![cpu], threads: 1, ..UdpSettings::default() };
    let _server = UdpServer::start(bound.udp, &settings, &telemetry, |_| Where).unwrap();
    assert_eq!(ask(&client(bound.addresses[0]), b"where"), cpu.to_string().as_bytes());
}

#[test]
fn a_filtered_call_and_a_processor_that_is_not_there_are_told_apart() {
    let nowhere = rustix::thread::sched_setaffinity(None, &rustix::thread::CpuSet::new());
    assert!(super::unbound(nowhere.unwrap_err()).contains("processor that cannot be had"));
    assert!(super::unbound(rustix::io::Errno::PERM).contains("SystemCallFilter="));
}

#[test]
fn processors_are_given_out_in_turn_for_each_address() {
    let on = |cpus: &[usize], threads| UdpSettings {
        cpus: cpus.into(),
        threads,
        ..UdpSettings::default()
    };
    let spread = |settings: UdpSettings| [0, 1, 2, 3].map(|i| settings.cpu(i));
    assert_eq!(spread(on(&[], 2)), [None; 4]);
    assert_eq!(spread(on(&[4, 6], 2)), [Some(4), Some(6), Some(4), Some(6)]);
    assert_eq!(spread(on(&[4, 6], 3)), [Some(4), Some(6), Some(4), Some(4)]);
}

#[test]
fn a_thread_that_rests_answers_everything() {
    let (telemetry, bound) = (Telemetry::default(), sockets(&["127.0.0.1:0"]));
    let coalesce = Some(Duration::from_micros(50));
    let settings = UdpSettings { coalesce, ..UdpSettings::default() };
    let _server = UdpServer::start(bound.udp, &settings, &telemetry, |_| Echo).unwrap();
    let client = client(bound.addresses[0]);
    for round in 0..50_u8 {
        for i in 0..100 {
            client.send(&[0, round, i]).unwrap();
        }
        for i in 0..100 {
            let mut reply = [0; 16];
            assert_eq!(client.recv(&mut reply).unwrap(), 3);
            assert_eq!(reply[1..3], [round, i]);
        }
    }
}

#[test]
fn silence_and_oversize_leave_the_rest_of_the_batch_answered() {
    let telemetry = Telemetry::default();
    let (_server, addresses) = start(sockets(&["127.0.0.1:0"]), &telemetry);
    let client = client(addresses[0]);
    for i in 0..50_u8 {
        client.send(b"silence").unwrap();
        client.send(&[b'x'; 4_097]).unwrap();
        assert_eq!(ask(&client, &[i, b'a']), [i | 0x80, b'a']);
    }
    assert_eq!(ask(&client, &[b'x'; 4_096]).len(), 4_096);
    assert_eq!(telemetry.totals().of(Tally::Dropped(DropReason::Oversize)), 50);
}

#[test]
fn source_port_zero_gets_no_reply() {
    // Only root may forge a port; others cannot run this test.
    let Ok(forger) = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) else {
        return;
    };
    let telemetry = Telemetry::default();
    let (_server, addresses) = start(sockets(&["127.0.0.1:0"]), &telemetry);
    let [high, low] = addresses[0].port().to_be_bytes();
    // Ports, length, no checksum, payload.
    let datagram = [0, 0, high, low, 0, 12, 0, 0, b'z', b'e', b'r', b'o'];
    forger.send_to(&datagram, &addresses[0].into()).unwrap();
    ask(&client(addresses[0]), b"after");
    let totals = telemetry.totals();
    assert_eq!(totals.of(Tally::Dropped(DropReason::SourcePortZero)), 1);
    assert_eq!(totals.of(Tally::SendDrop), 0);
}

#[test]
fn a_packet_that_makes_the_answerer_panic_does_not_end_the_thread() {
    let telemetry = Telemetry::default();
    let (_server, addresses) = start(sockets(&["127.0.0.1:0"]), &telemetry);
    let client = client(addresses[0]);
    client.send(b"panic").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    // The panic may take later queries of its batch with it, so ask until one is answered.
    let answered = (0..200).any(|_| {
        client.send(b"alive").unwrap();
        client.recv(&mut [0; 16]).is_ok()
    });
    assert!(answered);
    assert_eq!(telemetry.totals().of(Tally::Panic), 1);
}

#[test]
fn stopping_wakes_idle_threads() {
    let telemetry = Telemetry::default();
    let listen = ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let (server, addresses) = start(Sockets::bind(&listen, 4, 1).unwrap(), &telemetry);
    ask(&client(addresses[0]), b"up");
    let (done, stopped) = mpsc::channel();
    std::thread::spawn(move || {
        server.stop();
        done.send(()).unwrap();
    });
    stopped.recv_timeout(Duration::from_secs(2)).unwrap();
    Sockets::bind(&addresses, 1, 1).unwrap(); // Everything is closed.
}

/// Waits in `answer` until the test lets go.
struct Stuck {
    entered: mpsc::Sender<()>,
    go: mpsc::Receiver<()>,
}

impl Answerer for Stuck {
    fn refresh(&mut self) {}
    fn answer(&mut self, _: &mut [u8], len: usize, _: SocketAddr, _: Via) -> usize {
        let _ = self.entered.send(());
        let _ = self.go.recv(); // At once when the test has let go.
        len
    }
}

#[test]
fn what_the_kernel_drops_is_counted_and_later_queries_are_answered() {
    /// Twice what a receive buffer holds.
    const FLOOD: usize = 20_000;
    // The drop counter shares its buffer with the address asked, which only wildcards need.
    for (listen, asked) in
        [("127.0.0.1:0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "::1")]
    {
        let telemetry = Telemetry::default();
        let sockets = sockets(&[listen]);
        let (entered, has_entered) = mpsc::channel();
        let (let_go, go) = mpsc::channel();
        let stuck = Cell::new(Some(Stuck { entered, go }));
        let make = |_| stuck.take().expect("one thread, one answerer");
        let _server =
            UdpServer::start(sockets.udp, &UdpSettings::default(), &telemetry, make).unwrap();
        let port = sockets.addresses[0].port();
        let client = client(SocketAddr::new(asked.parse().unwrap(), port));
        client.send(b"first").unwrap();
        has_entered.recv_timeout(PATIENCE).unwrap();
        for _ in 0..FLOOD {
            client.send(b"flood").unwrap(); // Loopback delivers, or drops, before `send` returns.
        }
        drop(let_go);
        let dropped = || telemetry.totals().of(Tally::KernelDrop);
        // What the buffer holds was there before the first drop and tells of none; every datagram
        // after it does. Replies to the flood come first, so it may take as many.
        let told = (0..2 * FLOOD).any(|_| ask(&client, b"again").len() == 5 && dropped() > 0);
        assert!(told && dropped() < FLOOD as u64, "{}", dropped());
        assert_eq!(telemetry.totals().of(Tally::SendDrop), 0, "{listen}");
    }
}

/// Answers with how many packets had been shown to it since it was last to prepare, once the test
/// lets go.
struct Foreseeing {
    entered: mpsc::Sender<()>,
    go: mpsc::Receiver<()>,
    seen: Vec<Vec<u8>>,
    prepared: usize,
}

impl Answerer for Foreseeing {
    fn refresh(&mut self) {}
    fn foresee(&mut self, packet: &[u8]) {
        self.seen.push(packet.to_vec());
    }
    fn prepare(&mut self) {
        self.prepared = self.seen.len();
    }
    fn answer(&mut self, buf: &mut [u8], len: usize, _: SocketAddr, _: Via) -> usize {
        if buf[..len] == *b"wait" {
            let _ = self.entered.send(());
            let _ = self.go.recv(); // At once when the test has let go.
            return len;
        }
        while self.seen.remove(0) != buf[..len] {} // What is not answered was shown as well.
        buf[len] = self.prepared as u8;
        len + 1
    }
}

#[test]
fn packets_that_came_in_together_are_shown_before_the_first_of_them_is_answered() {
    let telemetry = Telemetry::default();
    let (entered, has_entered) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let answerer = Foreseeing { entered, go, seen: Vec::new(), prepared: 0 };
    let answerer = Cell::new(Some(answerer));
    let make = |_| answerer.take().expect("one thread, one answerer");
    let sockets = sockets(&["127.0.0.1:0"]);
    let _server = UdpServer::start(sockets.udp, &UdpSettings::default(), &telemetry, make).unwrap();
    let client = client(sockets.addresses[0]);
    client.send(b"wait").unwrap();
    has_entered.recv_timeout(PATIENCE).unwrap();
    // All of these come in while the first is held: one batch, of two whole groups and three more.
    let sent: Vec<Vec<u8>> = (0..2 * AHEAD as u8 + 2).map(|i| vec![b'q', i]).collect();
    for (i, packet) in sent.iter().enumerate() {
        if i == 3 {
            client.send(&[0; 4_097]).unwrap(); // Too long to be answered.
        }
        client.send(packet).unwrap();
    }
    drop(let_go);
    let mut replies = std::iter::repeat_with(|| {
        let mut reply = [0; 16];
        let len = client.recv(&mut reply).unwrap();
        reply[..len].to_vec()
    });
    assert_eq!(replies.next().unwrap(), b"wait");
    for (packet, reply) in sent.iter().zip(replies) {
        let shown = match packet[1] as usize + 1 {
            place if place < 2 * AHEAD => AHEAD,
            _ => 3,
        };
        assert_eq!(reply, [&packet[..], &[shown as u8]].concat());
    }
    assert_eq!(telemetry.totals().of(Tally::Dropped(DropReason::Oversize)), 1);
}

/// Tells the test of each refresh.
struct Refreshing(mpsc::Sender<()>);

impl Answerer for Refreshing {
    fn refresh(&mut self) {
        let _ = self.0.send(());
    }
    fn answer(&mut self, _: &mut [u8], len: usize, _: SocketAddr, _: Via) -> usize {
        len
    }
}

#[test]
fn an_idle_thread_lets_go_of_old_worlds() {
    let telemetry = Telemetry::default();
    let (refreshed, refreshes) = mpsc::channel();
    let make = |_| Refreshing(refreshed.clone());
    let _server =
        UdpServer::start(sockets(&["127.0.0.1:0"]).udp, &UdpSettings::default(), &telemetry, make)
            .unwrap();
    refreshes.recv_timeout(Duration::from_secs(2)).unwrap();
}

#[test]
fn behind_a_trusted_proxy_its_client_asks_and_no_other_is_answered() {
    let telemetry = Telemetry::default();
    let sockets = sockets(&["127.0.0.1:0"]);
    let settings = UdpSettings { proxies: loopback_proxies(), ..UdpSettings::default() };
    let server = UdpServer::start(sockets.udp, &settings, &telemetry, |_| Echo).unwrap();
    let client = client(sockets.addresses[0]);
    client.send(b"who asks?").unwrap();
    client.send(&PROXY_HEADER[..20]).unwrap();
    let sent = [PROXY_HEADER, b"who asks?"].concat();
    assert_eq!(ask(&client, &sent), b"192.0.2.7:4660");
    server.stop();
    let totals = telemetry.totals();
    assert_eq!(totals.of(Tally::Dropped(DropReason::BadProxyHeader)), 2);
}
