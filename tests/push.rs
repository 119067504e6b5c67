//! Heartbeats instead of probes, and hooks that are told, end to end.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
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
    let folder = Scratch::with(&[
        ("tradewind.toml", "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n"),
        (
            "healthchecks/beat.toml",
            "[beat]\ntype = \"push\"\ninterval = \"500ms\"\nstale_after = \"1500ms\"\nrise = 2\n\
             hold_down = \"off\"\ntoken_file = \"secrets/beat.token\"\n",
        ),
        (
            "zones/gtm.example.toml",
            "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"beat\"\n\
             static = \"ns1 60 IN A 127.0.0.53\"\n\
             [pools.a]\nendpoints = [{ name = \"e\", ipv4 = \"192.0.2.1\" }]\n\
             [pools.b]\nendpoints = [{ name = \"e\", ipv4 = \"192.0.2.2\", check = \"none\" }]\n\
             [records.app]\npolicy = \"failover\"\nfailback = \"auto\"\nmembers = [\"a\", \"b\"]\n",
        ),
        ("secrets/beat.token", TOKEN),
    ]);
    let token = folder.path().join("secrets/beat.token");
    fs::set_permissions(token, fs::Permissions::from_mode(0o600)).unwrap();
    Server::start(folder)
}

/// Sends a heartbeat; the status of the reply.
fn beat(admin: SocketAddr, endpoint: &str, token: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(
        stream,
        "POST /v1/push/{endpoint} HTTP/1.1\r\nHost: gtm-1.example.net\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply.split(' ').nth(1).unwrap().parse().unwrap()
}

const ENDPOINT: &str = "beat/gtm.example/a/e";

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

#[test]
fn a_program_is_told_of_a_failover() {
    let server = serve();
    let told = server.folder.path().join("told.json");
    let program =
        server.folder.write("hook", "#!/bin/sh\ncat > told.tmp && mv told.tmp told.json\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let hooks = format!(
        "\n[[hooks]]\nname = \"tell\"\non = [\"failover\"]\nexec = [\"{}\"]\n",
        program.display()
    );
    let settings = server.folder.read("tradewind.toml") + &hooks;
    server.folder.write("tradewind.toml", &settings);
    assert_eq!(server.reload()["accepted"], true);
    assert_eq!(beat(server.admin(), ENDPOINT, TOKEN, "{\"status\": \"down\"}"), 204);
    let told: Value =
        await_some("the hook", || serde_json::from_slice(&fs::read(&told).ok()?).ok());
    assert_eq!(told["hook"], "tell");
    let events = told["events"].as_array().unwrap();
    let moved = events.iter().find(|event| event["event"] == "failover").unwrap();
    assert_eq!((&moved["from"], &moved["to"]), (&"a".into(), &"b".into()));
    await_some("its success", || {
        let status = server.control_request("GET", "/v1/status").1;
        (status["hooks"][0]["delivered"] == 1).then_some(())
    });
}
