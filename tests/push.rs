//! Heartbeats instead of probes, and hooks that are told, end to end.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    time::Duration,
};
use support::{
    DEADLINE, await_some,
    load::{Ask, Stream},
    scratch::Scratch,
    server::Server,
};
use tradewind::clock::{Clock, SystemClock};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const STALE: Duration = Duration::from_millis(1_500);

fn serve() -> Server {
    let other = "endpoints = [{ name = \"e\", ipv4 = \"192.0.2.2\", check = \"none\" }]\n";
    Server::start(folder(&format!("[pools.b]\n{other}")))
}

/// Files with the pool `b` written so.
fn folder(b: &str) -> Scratch {
    let zone = format!(
        "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"beat\"\n\
         static = \"ns1 60 IN A 127.0.0.53\"\n\
         [pools.a]\nendpoints = [{{ name = \"e\", ipv4 = \"192.0.2.1\" }}]\n{b}\
         [records.app]\npolicy = \"failover\"\nfailback = \"auto\"\nmembers = [\"a\", \"b\"]\n"
    );
    let folder = Scratch::with(&[
        ("tradewind.toml", "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n"),
        (
            "healthchecks/beat.toml",
            "[beat]\ntype = \"push\"\ninterval = \"500ms\"\nstale_after = \"1500ms\"\nrise = 2\n\
             hold_down = \"off\"\ntoken_file = \"secrets/beat.token\"\n",
        ),
        ("zones/gtm.example.toml", &zone),
        ("secrets/beat.token", TOKEN),
    ]);
    let token = folder.path().join("secrets/beat.token");
    fs::set_permissions(token, fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

/// Sends a heartbeat; the status of the reply.
fn beat(admin: SocketAddr, endpoint: &str, token: &str, body: &str) -> u16 {
    status(send(admin, endpoint, token, body))
}

fn send(admin: SocketAddr, endpoint: &str, token: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(
        stream,
        "POST /v1/push/{endpoint} HTTP/1.1\r\nHost: gtm-1.example.net\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream
}

fn status(mut stream: TcpStream) -> u16 {
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A connection from `host`, which says nothing.
fn idle(admin: SocketAddr, host: [u8; 4]) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((host, 0)).into()).unwrap();
    socket.connect(&admin.into()).unwrap();
    socket
}

#[test]
fn a_host_that_says_nothing_keeps_neither_heartbeats_nor_scrapers_out() {
    let server = serve();
    let idle: Vec<Socket> = (0..200).map(|_| idle(server.admin(), [127, 0, 0, 99])).collect();
    // Sooner than those are given up for lost, after 5 seconds.
    let soon = Duration::from_secs(4);
    let beat = send(server.admin(), ENDPOINT, TOKEN, "");
    beat.set_read_timeout(Some(soon)).unwrap();
    assert_eq!(status(beat), 204);
    let mut scrape = TcpStream::connect(server.admin()).unwrap();
    scrape.set_read_timeout(Some(soon)).unwrap();
    scrape.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(status(scrape), 200);
    drop(idle);
}

const ENDPOINT: &str = "beat/gtm.example/a/e";
const OTHER: &str = "beat/gtm.example/b/e";

fn verdict(server: &Server) -> Value {
    let status = server.control_request("GET", "/v1/status").1;
    let endpoints = status["endpoints"].as_array().cloned().unwrap_or_default();
    endpoints.into_iter().find(|e| e["endpoint"] == "gtm.example/a/e").unwrap()["verdict"].clone()
}

#[test]
fn heartbeats_keep_an_endpoint_up_and_their_absence_is_seen_in_time() {
    let server = serve();
    let (admin, clock) = (server.admin(), SystemClock::default());
    assert_eq!(beat(admin, ENDPOINT, "another token, as long as it is", ""), 401);
    assert_eq!(
        beat(admin, "nothing/gtm.example/a/e", TOKEN, ""),
        401,
        "nobody learns what there is"
    );
    assert_eq!(beat(admin, "beat/gtm.example/a/other", TOKEN, ""), 404);
    assert_eq!(beat(admin, ENDPOINT, TOKEN, "{\"status\": \"splendid\"}"), 400);
    assert_eq!(beat(admin, ENDPOINT, TOKEN, ""), 204);
    await_some("up", || (verdict(&server) == "up").then_some(()));

    let stream = Stream::start(server.udp(), clock, vec![Ask::a("app.gtm.example")], 500);
    let waited = server.kept_waiting();
    assert_eq!(beat(admin, ENDPOINT, TOKEN, ""), 204);
    let last = clock.now();
    let moved = stream.await_answer("the other one", DEADLINE, |e| {
        e.answer.addresses == [IpAddr::from([192, 0, 2, 2])]
    });
    let late = server.kept_waiting().saturating_sub(waited) * 2;
    let took = moved.asked.since(last);
    assert!(took >= STALE - Duration::from_millis(50), "{took:?}");
    assert!(took <= STALE + Duration::from_millis(250) + late, "{took:?}");
    stream.stop();

    // One is not enough to rise, and one that says so falls at once.
    assert_eq!(beat(admin, ENDPOINT, TOKEN, ""), 204);
    assert_eq!(verdict(&server), "down");
    // Many at once count as one, so it takes half an interval.
    await_some("up again", || {
        assert_eq!(beat(admin, ENDPOINT, TOKEN, "{\"status\": \"up\"}"), 204);
        (verdict(&server) == "up").then_some(())
    });
    assert_eq!(beat(admin, ENDPOINT, TOKEN, "{\"status\": \"down\"}"), 204);
    await_some("down at once", || (verdict(&server) == "down").then_some(()));
}

/// Of two that only send heartbeats one falls silent: the other one's last heartbeat, which came
/// after one of the silent one was missed, is witness enough. Nobody can be asked for another.
#[test]
fn of_two_senders_the_silent_one_falls_in_time() {
    let folder = folder("[pools.b]\nendpoints = [{ name = \"e\", ipv4 = \"192.0.2.2\" }]\n");
    let server = Server::start(folder);
    let (admin, clock) = (server.admin(), SystemClock::default());
    for endpoint in [ENDPOINT, OTHER] {
        assert_eq!(beat(admin, endpoint, TOKEN, ""), 204);
    }
    await_some("up", || (verdict(&server) == "up").then_some(()));
    assert_eq!(beat(admin, ENDPOINT, TOKEN, ""), 204);
    let (last, before, waited) = (clock.now(), server.last_event(), server.kept_waiting());
    await_some("a second", || (clock.now().since(last) >= STALE * 2 / 3).then_some(()));
    assert_eq!(beat(admin, OTHER, TOKEN, ""), 204);
    let down = server.await_event("the fall", before, |event| event["to"] == "down");
    let took = clock.now().since(last);
    assert_eq!(down["subject"], "gtm.example/a/e");
    // Well before the other one's next heartbeat would be missed.
    let late = server.kept_waiting().saturating_sub(waited) * 2;
    assert!(took <= STALE + Duration::from_millis(500) + late, "{took:?}");
    assert!(server.events(before).iter().all(|event| event["event"] != "breaker"));
}

/// Heartbeats that came while the server stood still wait in its sockets, and are in time.
#[test]
fn a_server_that_stood_still_finds_the_heartbeats_in_its_queue() {
    let server = serve();
    let admin = server.admin();
    assert_eq!(beat(admin, ENDPOINT, TOKEN, ""), 204);
    await_some("up", || (verdict(&server) == "up").then_some(()));
    let (before, clock) = (server.last_event(), SystemClock::default());
    server.signal("STOP");
    let stopped = clock.now();
    await_some("twice as long as it takes", || {
        (clock.now().since(stopped) >= STALE * 2).then_some(())
    });
    let waiting = send(admin, ENDPOINT, TOKEN, "");
    server.signal("CONT");
    assert_eq!(status(waiting), 204);
    // Longer than the last look takes.
    let awake = clock.now();
    await_some("a while", || (clock.now().since(awake) >= STALE / 2).then_some(()));
    let events = server.events(before);
    assert!(events.iter().all(|event| event["event"] != "verdict"), "{events:#?}");
}

/// A server that tells a program, which is `text`, of failovers.
fn serve_told_by(text: &str) -> Server {
    let server = serve();
    let program = server.folder.write("hook", &format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let hooks = format!(
        "\n[[hooks]]\nname = \"tell\"\non = [\"failover\"]\nexec = [\"{}\"]\n",
        program.display()
    );
    let settings = server.folder.read("tradewind.toml") + &hooks;
    server.folder.write("tradewind.toml", &settings);
    assert_eq!(server.reload()["accepted"], true);
    server
}

/// How the hook of [`serve_told_by`] goes.
fn hook_line(server: &Server) -> Value {
    server.control_request("GET", "/v1/status").1["hooks"][0].clone()
}

/// Returns once everything that happened so far is durable: an operator's change is answered
/// when it is.
fn settle(server: &Server) {
    for to in ["up", "auto"] {
        let forced = server.cli("force", &["endpoint:gtm.example/b/e", to]);
        assert_eq!(forced.status.code(), Some(0), "{forced:?}");
    }
}

/// Numbers of events leap when a server crashed; those leapt over were not missed.
#[test]
fn what_a_hook_was_not_told_before_a_crash_it_is_told_after_it_once() {
    let server = serve_told_by("test -e go || exit 1\ncat >> told.json");
    assert_eq!(beat(server.admin(), ENDPOINT, TOKEN, "{\"status\": \"down\"}"), 204);
    await_some("its failure", || hook_line(&server)["last_error"].as_str().map(drop));
    settle(&server);
    let folder = server.kill();
    folder.write("go", "");
    let server = Server::start(folder);
    let line = |server: &Server| {
        await_some("its success", || Some(hook_line(server)).filter(|l| l["delivered"] == 1))
    };
    assert_eq!(line(&server)["missed"], 0);
    let newest = server.last_event();
    assert!(newest > 100_000, "{newest}");
    // Dead once more, it tells what is new and nothing twice.
    settle(&server);
    let server = Server::start(server.kill());
    await_some("up", || {
        assert_eq!(beat(server.admin(), ENDPOINT, TOKEN, "{\"status\": \"up\"}"), 204);
        (verdict(&server) == "up").then_some(())
    });
    assert_eq!(line(&server)["missed"], 0);
    let told = server.folder.read("told.json");
    let told = serde_json::Deserializer::from_str(&told).into_iter::<Value>();
    let moves = told.flat_map(|told| told.unwrap()["events"].as_array().unwrap().clone());
    let moves = moves.filter(|event| event["event"] == "failover");
    let moves: Vec<_> = moves.map(|event| (event["from"].clone(), event["to"].clone())).collect();
    assert_eq!(moves, [("a".into(), "b".into()), ("b".into(), "a".into())]);
}

#[test]
fn a_program_is_told_of_a_failover() {
    let server = serve_told_by("cat > told.tmp && mv told.tmp told.json");
    let told = server.folder.path().join("told.json");
    assert_eq!(beat(server.admin(), ENDPOINT, TOKEN, "{\"status\": \"down\"}"), 204);
    let told: Value =
        await_some("the hook", || serde_json::from_slice(&fs::read(&told).ok()?).ok());
    assert_eq!(told["hook"], "tell");
    let events = told["events"].as_array().unwrap();
    let moved = events.iter().find(|event| event["event"] == "failover").unwrap();
    assert_eq!((&moved["from"], &moved["to"]), (&"a".into(), &"b".into()));
    await_some("its success", || (hook_line(&server)["delivered"] == 1).then_some(()));
}
