//! From the start of the process to the first right answer, and to a clean end.
//!
//! DESIGN §5, Health: static answers never wait; steered ones wait for the first result of every
//! endpoint, or a second, whichever is first. What cannot be served is said, with an exit code.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};
use support::{
    backend::{Backend, Mood},
    dns, free_address,
    load::{Ask, Exchange, Stream, first_answer},
    process::Process,
    scratch::Scratch,
    server::{Server, cli, launch, launch_with},
};
use tradewind::clock::{Clock, Moment, SystemClock};

const RECORDS: u32 = 10_000;
/// Records of one zone.
const A_ZONE: u32 = 500;
/// What is allowed on top of a promise: an unoptimised build, and the time in which this program
/// itself is kept from asking. What the server is kept waiting is measured and comes on top.
const MARGIN: Duration = Duration::from_millis(500);

fn server_file(listen: SocketAddr) -> String {
    format!("[server]\nlisten = [\"{listen}\"]\nadmin = \"127.0.0.1:0\"\n")
}

/// Ten checks that differ, so that each backend is ten targets.
fn checks() -> String {
    let mut text = String::new();
    for n in 0..10 {
        writeln!(text, "[web{n}]\ntype = \"http\"\npath = \"/{n}\"\n").unwrap();
    }
    text
}

/// The address that record number `n` of all answers.
fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + n)
}

/// A zone of records that each have a tree and an endpoint of their own, by turns active-passive
/// and by geography; the spare is not for us while that endpoint is up.
fn zone(number: u32, backends: &[SocketAddr]) -> String {
    let apex = apex(number);
    let spare = backends[0];
    let mut text = format!(
        "zone = \"{apex}\"\nns = [\"ns1.{apex}\"]\nstatic = \"ns1 60 IN A 127.0.0.53\"\n\
         [pools.spare]\ncheck = \"web0\"\n\
         endpoints = [{{ name = \"spare\", ipv4 = \"192.0.2.1\", probe = \"{spare}\" }}]\n"
    );
    for record in 0..A_ZONE {
        let n = number * A_ZONE + record;
        let (check, probe) = (n % 10, backends[(n / 10) as usize % backends.len()]);
        let address = address(n);
        write!(
            text,
            "[pools.p{record}]\ncheck = \"web{check}\"\n\
             endpoints = [{{ name = \"one\", ipv4 = \"{address}\", probe = \"{probe}\" }}]\n\
             [records.r{record}]\n"
        )
        .unwrap();
        let policy = match n % 2 {
            0 => format!("policy = \"failover\"\nmembers = [\"p{record}\", \"spare\"]\n"),
            _ => format!(
                "policy = \"geo\"\nrules = [\n\
                 {{ match = [\"country:JP\", \"continent:EU\"], use = \"spare\" }},\n\
                 {{ match = [\"*\"], use = [\"p{record}\", \"spare\"] }}]\n"
            ),
        };
        text.push_str(&policy);
    }
    text
}

fn apex(number: u32) -> String {
    format!("z{number}.example")
}

/// Ten thousand records over `backends`; the last one is the endpoint of the last record.
fn ten_thousand(listen: SocketAddr, backends: &[Backend]) -> Scratch {
    let addresses: Vec<SocketAddr> = backends.iter().map(Backend::address).collect();
    let folder = Scratch::with(&[
        ("tradewind.toml", &server_file(listen)),
        ("healthchecks/web.toml", &checks()),
    ]);
    for number in 0..RECORDS / A_ZONE {
        folder.write(&format!("zones/{}.toml", apex(number)), &zone(number, &addresses));
    }
    folder
}

/// A server from the moment it was started.
struct Starting {
    clock: SystemClock,
    started: Moment,
    address: SocketAddr,
    process: Process,
}

impl Starting {
    fn of(folder: &Scratch, address: SocketAddr) -> Self {
        let clock = SystemClock::default();
        let started = clock.now();
        Starting { clock, started, address, process: launch(folder) }
    }

    /// Holds what the server promised, whatever else this machine does.
    fn assert_within(&self, promised: Duration, took: Duration) {
        let waited = self.process.kept_waiting();
        assert!(took <= promised + waited + MARGIN, "{took:?}, kept waiting for {waited:?}");
    }

    /// How long after the start `name` was first answered with `address`.
    fn until_answered(&self, name: &str, address: Ipv4Addr) -> Duration {
        let exchange = first_answer(self.address, self.clock, &Ask::a(name), |answer| {
            assert_eq!(answer.addresses, [address], "a wrong answer while starting");
            true
        });
        exchange.answered.since(self.started)
    }
}

/// Ends when the first right answer has come from a server of ten thousand records.
fn first_right_answer(host: u8, hangs: bool, promised: Duration) {
    let backends: Vec<Backend> = (0..20).map(|n| Backend::start(host + n)).collect();
    if hangs {
        backends[7].set(Mood::Hang);
    }
    let listen = free_address(Ipv4Addr::LOCALHOST.into());
    let folder = ten_thousand(listen, &backends);
    let server = Starting::of(&folder, listen);
    let of_static = server.until_answered("ns1.z3.example", Ipv4Addr::new(127, 0, 0, 53));
    let steered = server.until_answered("r499.z19.example", address(RECORDS - 1));
    server.assert_within(promised, steered);
    if hangs {
        // The second that steered names waited for the one that hangs.
        assert!(of_static + Duration::from_millis(500) < steered, "static names waited too");
    }
    all_are_right(listen);
    if !hangs {
        again_from_saved_state(server, &folder, &backends);
    }
}

/// The same server once more, from what it saved: it waits for no probe at all.
fn again_from_saved_state(server: Starting, folder: &Scratch, backends: &[Backend]) {
    // An operator's change is answered when it is durable, and what came before it with it.
    let target = "endpoint:z0.example/p0/one";
    for to in ["up", "auto"] {
        let forced = cli(&["force", "-C", folder.path().to_str().unwrap(), target, to]);
        assert_eq!(forced.status.code(), Some(0), "{forced:?}");
    }
    let listen = server.address;
    drop(server);
    backends.iter().for_each(|backend| backend.set(Mood::Hang));
    let server = Starting::of(folder, listen);
    let of_static = server.until_answered("ns1.z3.example", Ipv4Addr::new(127, 0, 0, 53));
    let took = server.until_answered("r499.z19.example", address(RECORDS - 1));
    support::figure("10,000 records from saved state", format_args!("{took:?}"));
    server.assert_within(Duration::from_secs(1), took);
    // Nobody answers a probe, so whoever waited for one would have waited for a second.
    server.assert_within(of_static, took);
    all_are_right(listen);
}

/// The last record of every zone is answered with its own address.
fn all_are_right(listen: SocketAddr) {
    // Others too, not only that one; with one that hangs taken as up until it is known.
    let last = |zone| Ask::a(&format!("r{}.{}", A_ZONE - 1, apex(zone)));
    let mut right = 0;
    support::load::ask_all(listen, (0..RECORDS / A_ZONE).map(last), |zone, answer| {
        right += 1;
        assert_eq!(answer.addresses, [address(zone as u32 * A_ZONE + A_ZONE - 1)]);
    });
    assert_eq!(right, RECORDS / A_ZONE);
}

#[test]
fn ten_thousand_steered_records_are_answered_within_a_second() {
    first_right_answer(101, false, Duration::from_secs(1));
}

#[test]
fn a_backend_that_hangs_delays_them_by_no_more_than_another_second() {
    first_right_answer(121, true, Duration::from_secs(2));
}

#[test]
fn thousands_of_zones_are_answered_before_they_are_kept() {
    let zones = 2_000;
    let listen = free_address(Ipv4Addr::LOCALHOST.into());
    let folder = Scratch::with(&[("tradewind.toml", &server_file(listen))]);
    for n in 0..zones {
        let text =
            format!("@ 60 IN SOA ns1 h {n} 1 1 1 5\n@ 60 IN NS ns1\nns1 60 IN A 192.0.2.1\n");
        fs::create_dir_all(folder.path().join("zones")).unwrap();
        fs::write(folder.path().join(format!("zones/z{n}.example.zone")), text).unwrap();
    }
    let server = Starting::of(&folder, listen);
    let last = format!("ns1.z{}.example", zones - 1);
    let took = server.until_answered(&last, Ipv4Addr::new(192, 0, 2, 1));
    println!("{zones} zones answered after {took:?}");
    server.assert_within(Duration::from_secs(1), took);
}

/// A folder with one steered record over `backend`.
fn small(listen: SocketAddr, backend: SocketAddr) -> Scratch {
    let zone = format!(
        "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web0\"\n\
         static = \"ns1 60 IN A 127.0.0.53\"\n\
         [pools.iad]\nendpoints = [{{ name = \"one\", ipv4 = \"192.0.2.1\", probe = \"{backend}\" }}]\n\
         [records.www]\npolicy = \"multivalue\"\nmembers = [\"iad\"]\n"
    );
    Scratch::with(&[
        ("tradewind.toml", &server_file(listen)),
        ("healthchecks/web.toml", &checks()),
        ("zones/gtm.example.toml", &zone),
    ])
}

fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

#[test]
fn steered_names_are_silent_until_health_has_spoken_and_static_ones_are_not() {
    let backend = Backend::start(141);
    backend.set(Mood::Hang);
    let listen = free_address(Ipv4Addr::LOCALHOST.into());
    let folder = small(listen, backend.address());
    let server = Starting::of(&folder, listen);
    let of_static = server.until_answered("ns1.gtm.example", Ipv4Addr::new(127, 0, 0, 53));
    // Not an error, not an empty answer: silence, and then the address, since nothing is known.
    let steered = server.until_answered("www.gtm.example", Ipv4Addr::new(192, 0, 2, 1));
    assert!(steered >= of_static + Duration::from_millis(500), "{steered:?} after {of_static:?}");
}

#[test]
fn signals_are_heeded_while_the_server_waits_for_health() {
    let backend = Backend::start(142);
    backend.set(Mood::Hang);
    let listen = free_address(Ipv4Addr::LOCALHOST.into());
    let folder = small(listen, backend.address());
    let mut server = Starting::of(&folder, listen);
    server.until_answered("ns1.gtm.example", Ipv4Addr::new(127, 0, 0, 53));
    server.process.signal("HUP");
    let static_again = server.until_answered("ns1.gtm.example", Ipv4Addr::new(127, 0, 0, 53));
    assert!(!folder.path().join("ready.json").exists(), "{static_again:?}: it still waits");
    assert_eq!(server.process.terminate().code(), Some(0));
}

/// Between the first look at the files and the moment they are answered.
#[test]
fn a_change_made_while_a_watching_server_starts_is_not_missed() {
    let backend = Backend::start(146);
    let listen = free_address(Ipv4Addr::LOCALHOST.into());
    let folder = small(listen, backend.address());
    folder.write("tradewind.toml", &format!("{}watch = true\n", server_file(listen)));
    let zone = folder.read("zones/gtm.example.toml");
    let server = Starting::of(&folder, listen);
    server.until_answered("ns1.gtm.example", Ipv4Addr::new(127, 0, 0, 53));
    let changed = Ipv4Addr::new(127, 0, 0, 54);
    folder.write("zones/gtm.example.toml", &zone.replace("127.0.0.53", &changed.to_string()));
    let question = Ask::a("ns1.gtm.example");
    first_answer(listen, server.clock, &question, |answer| answer.addresses == [changed]);
}

#[test]
fn sigterm_stops_a_busy_server_cleanly_within_three_seconds() {
    let backend = Backend::start(143);
    let server = Server::start(small(anywhere(), backend.address()));
    let clock = SystemClock::default();
    let stream = Stream::start(server.udp(), clock, vec![Ask::a("www.gtm.example")], 500);
    stream.await_answer("an answer", support::DEADLINE, |_| true);
    // Connections that say nothing, that say half a message, and a probe that hangs.
    let _silent = TcpStream::connect(server.tcp()).unwrap();
    let mut half = TcpStream::connect(server.tcp()).unwrap();
    half.write_all(&[0, 40, 1, 2, 3]).unwrap();
    let _admin = TcpStream::connect(server.admin()).unwrap();
    backend.set(Mood::Hang);
    let exchanges = stream.stop();
    assert!(exchanges.iter().all(|e| e.answer.rcode == ResponseCode::NoError));

    let (control, log) = (server.control(), server.folder.path().join("server.log"));
    let kept = fs::File::open(log).unwrap();
    let begun = clock.now();
    let status = server.stop();
    let took = clock.now().since(begun);
    println!("stopped in {took:?}");
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(!control.exists(), "the control socket is gone");
    let log = std::io::read_to_string(kept).unwrap();
    assert!(log.contains("stopping") && !log.contains("panicked"), "{log}");
}

/// H-17: what came in before the end is answered before the end.
#[test]
fn a_question_over_tcp_that_came_in_before_sigterm_is_answered() {
    let backend = Backend::start(147);
    let server = Server::start(small(anywhere(), backend.address()));
    let question = dns::message("www.gtm.example", RecordType::A);
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    let connect = |_| {
        let stream = TcpStream::connect(server.tcp()).unwrap();
        stream.set_read_timeout(Some(support::DEADLINE)).unwrap();
        stream
    };
    let ask = |stream: &mut TcpStream| stream.write_all(&[&length[..], &question].concat());
    let reply = |stream: &mut TcpStream| {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut reply = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut reply)?;
        Ok::<_, io::Error>(Message::from_vec(&reply).unwrap())
    };
    let mut streams: Vec<TcpStream> = (0..20).map(connect).collect();
    // Each is being served, not only in the backlog.
    for stream in &mut streams {
        ask(stream).unwrap();
        reply(stream).unwrap();
    }
    // Stopped, so that the signal and the questions are there at once when it goes on.
    server.signal("STOP");
    streams.iter_mut().for_each(|stream| ask(stream).unwrap());
    server.signal("TERM");
    server.signal("CONT");
    for stream in &mut streams {
        let reply = reply(stream).expect("the question was there before the signal");
        assert_eq!(dns::addresses(&reply).len(), 1);
    }
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn questions_over_udp_that_wait_when_sigterm_comes_are_answered() {
    const QUESTIONS: usize = 50;
    let backend = Backend::start(148);
    let server = Server::start(small(anywhere(), backend.address()));
    let question = dns::message("www.gtm.example", RecordType::A);
    // A socket each, so that every thread has some of them.
    let sockets: Vec<UdpSocket> = (0..QUESTIONS)
        .map(|_| {
            let socket = UdpSocket::bind(anywhere()).unwrap();
            socket.connect(server.udp()).unwrap();
            socket.set_read_timeout(Some(support::DEADLINE)).unwrap();
            socket
        })
        .collect();
    server.signal("STOP");
    for socket in &sockets {
        socket.send(&question).unwrap();
    }
    server.signal("TERM");
    server.signal("CONT");
    let mut buffer = [0; 4096];
    for (number, socket) in sockets.iter().enumerate() {
        let length = socket.recv(&mut buffer);
        let length = length.unwrap_or_else(|e| panic!("no reply to {number}: {e}"));
        let reply = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(dns::addresses(&reply).len(), 1);
    }
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_port_in_use_is_named() {
    let backend = Backend::start(144);
    let first = Server::start(small(anywhere(), backend.address()));
    let second = small(first.udp(), backend.address());
    let output = cli(&["serve", "-C", second.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("{} (udp) is in use", first.udp())), "{said}");
    // The first one does not notice.
    let reply = dns::ask(first.udp(), "www.gtm.example", RecordType::A, "");
    assert_eq!(dns::addresses(&reply).len(), 1);
}

#[test]
fn files_that_do_not_load_are_told_with_exit_code_3() {
    let folder = small(anywhere(), anywhere());
    let serve = || {
        let output = cli(&["serve", "-C", folder.path().to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        said
    };
    folder.write("tradewind.toml", "[server]\nlisten = [\"127.0.0.1:0\"]\nlsten = 1\n");
    let said = serve();
    assert!(said.contains("tradewind.toml:3:1") && said.contains("listen"), "{said}");
    folder.remove("tradewind.toml");
    let said = serve();
    assert!(said.contains("there is no tradewind.toml"), "{said}");
}

#[test]
fn the_first_answers_of_a_restarted_server_are_right() {
    let backend = Backend::start(145);
    let listen = free_address(Ipv4Addr::LOCALHOST.into());
    let mut folder = small(listen, backend.address());
    for _ in 0..3 {
        let server = Server::start(folder);
        let clock = SystemClock::default();
        let stream = Stream::start(server.udp(), clock, vec![Ask::a("www.gtm.example")], 500);
        stream.await_answer("an answer", support::DEADLINE, |_| true);
        let all: Vec<Exchange> = stream.stop();
        assert!(all.iter().all(|e| e.answer.addresses.len() == 1), "from the ready file on");
        folder = server.kill();
    }
}

#[test]
fn a_log_of_json_has_the_fields_of_each_event() {
    let folder = Scratch::with(&[
        ("tradewind.toml", "[server]\nlisten = [\"127.0.0.1:0\"]\n"),
        (
            "zones/a.example.zone",
            "@ 60 IN SOA ns.b.example. h.b.example. 1 1 1 1 1\n@ 60 IN NS ns.b.example.\n",
        ),
    ]);
    let mut process = launch_with(&[], &["--log-format", "json"], &folder);
    let loaded = process.await_some("the event of the first load", || {
        let log = fs::read_to_string(folder.path().join("server.log")).ok()?;
        let mut lines =
            log.lines().map_while(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.find(|line| line["event"] == "loaded")
    });
    assert_eq!((&loaded["level"], &loaded["swap"]), (&"INFO".into(), &1.into()));
    assert!(loaded["seq"].as_u64().unwrap() > 0 && loaded["incident"].is_u64(), "{loaded}");
    assert!(loaded["message"].as_str().unwrap().contains("revision 1"), "{loaded}");
    process.terminate();
}
