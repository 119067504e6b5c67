//! The admin API as programs use it: its description is that of what serves, what is read has a
//! tag, what is changed names one, events go on where they stopped; and whatever JSON is sent,
//! nothing breaks.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
};
use support::{
    DEADLINE, await_some,
    https::{Client, secret, token},
    on_ci,
    scratch::Scratch,
    server::{Server, cli},
    skip,
};

const ZONE: &str = "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\n\
    static = \"ns1 60 IN A 127.0.0.53\"\n\
    [pools.a]\nregion = \"us\"\nendpoints = [{ name = \"e\", ipv4 = \"192.0.2.1\" }]\n\
    [pools.b]\nendpoints = [{ name = \"e\", ipv4 = \"192.0.2.2\" }]\n\
    [records.app]\npolicy = \"failover\"\nmembers = [\"a\", \"b\"]\n\
    [records.www]\npolicy = \"weighted\"\n\
    members = [{ pool = \"a\", weight = 3 }, { pool = \"b\", weight = 1 }]\n";
const SERVER: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
    tokens_file = \"secrets/tokens\"\n[regions.us]\ncloud = \"aws:us-east-1\"\n";

/// A server, a client of it, and a token for everything.
fn serve() -> (Server, Client, String) {
    let folder = Scratch::with(&[("tradewind.toml", SERVER), ("zones/gtm.example.toml", ZONE)]);
    let (admin, line) = token("ana", "admin", "1h");
    secret(&folder, "secrets/tokens", &line);
    let server = Server::start(folder);
    let client = Client::plain(&server);
    (server, client, admin)
}

fn described() -> Value {
    let said = cli(&["api", "openapi"]);
    serde_json::from_slice(&said.stdout).unwrap()
}

fn drain(pool: &str) -> String {
    json!({"verb": "drain", "target": format!("pool:gtm.example/{pool}"), "for_ms": 600_000})
        .to_string()
}

#[test]
fn the_description_that_is_kept_is_that_of_what_serves() {
    let (_server, client, token) = serve();
    let served = client.get("/v1/openapi.json", &token).json();
    assert_eq!(served["openapi"], "3.1.0");
    assert_eq!(served, described());
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let kept: Value = serde_json::from_str(&fs::read_to_string(kept).unwrap()).unwrap();
    assert!(
        kept == served,
        "docs/openapi.json is old: run `cargo run -- api openapi > docs/openapi.json`"
    );
    // Whatever is referred to is there.
    let text = served.to_string();
    let referred = text.split("\"#/components/schemas/").skip(1);
    let referred: BTreeSet<&str> = referred.filter_map(|rest| rest.split('"').next()).collect();
    for name in referred {
        assert!(served["components"]["schemas"][name].is_object(), "{name} is missing");
    }
}

#[test]
fn things_are_listed_in_pages_and_say_how_they_stand() {
    let (server, client, token) = serve();
    let get = |path: &str| {
        let said = client.get(path, &token);
        assert_eq!(said.status, 200, "{path}: {}", said.text);
        said.json()
    };
    let records = get("/v1/records");
    let www = &records["items"][1];
    assert_eq!((&www["record"], &www["policy"]), (&json!("gtm.example/www"), &json!("weighted")));
    let share = |pool: &str| {
        let shares = www["shares"].as_array().unwrap().iter();
        let mut of = shares.filter(|s| s["clients"] == "IPv4" && s["pool"] == *pool);
        of.next().unwrap()["share"].as_f64().unwrap()
    };
    assert!((share("gtm.example/a") - 0.75).abs() < 1e-9, "{www}");
    assert_eq!(www["members"][1]["weight"], 1);
    assert_eq!(get("/v1/zones")["items"][0]["state"], "current");
    assert_eq!(get("/v1/regions")["items"][0]["up"], 1);
    assert_eq!(get("/v1/failovers")["items"][0]["active"], "a");
    assert_eq!(get("/v1/geo?address=193.0.6.139")["country"], "NL");
    assert_eq!(get("/v1/checks")["items"], json!([]));

    let first = get("/v1/endpoints?limit=1");
    assert_eq!(first["items"][0]["endpoint"], "gtm.example/a/e");
    let next = get(&format!("/v1/endpoints?limit=1&after={}", first["next"].as_str().unwrap()));
    assert_eq!(next["items"][0]["endpoint"], "gtm.example/b/e");
    assert_eq!(next["next"], Value::Null);
    assert_eq!(get("/v1/pools?match=*/b")["items"].as_array().unwrap().len(), 1);
    for wrong in ["limit=0", "limit=1001", "limit=x", "match=[", "page=2"] {
        assert_eq!(client.get(&format!("/v1/pools?{wrong}"), &token).status, 400, "{wrong}");
    }

    // The same on the command line.
    let table = |args: &[&str]| {
        let done = server.cli("get", args);
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let (code, said) = table(&["records", "*/www"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("gtm.example/www") && said.contains("a 75.0 %, b 25.0 %"), "{said}");
    assert_eq!(table(&["zones", "nothing"]).0, Some(1));
    let (_, json) = table(&["endpoints", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["items"].as_array().unwrap().len(), 2);
}

#[test]
fn who_has_it_already_is_told_nothing_and_who_is_late_changes_nothing() {
    let (_server, client, token) = serve();
    let bearer = format!("Bearer {token}");
    let known = |path: &str, tag: &str| {
        client.ask("GET", path, &[("authorization", &*bearer), ("if-none-match", tag)], "")
    };
    for path in ["/v1/zones", "/v1/records", "/v1/hand", "/v1/openapi.json"] {
        let tag = client.get(path, &token).header("etag").to_owned();
        assert!(tag.len() > 16, "{path}: {tag}");
        let again = known(path, &format!("\"other\", W/{tag}"));
        assert_eq!((again.status, again.text.as_str(), again.header("etag")), (304, "", &*tag));
        assert_eq!(known(path, "\"other\"").status, 200);
    }

    // A status is the same while nothing but the clock moves; what it says then need not be told.
    let status = client.get("/v1/status", &token);
    let tag = status.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "not byte by byte: {tag}");
    let later = await_some("another second", || {
        let later = client.get("/v1/status", &token);
        (later.json()["now"] != status.json()["now"]).then_some(later)
    });
    assert_eq!((later.header("etag"), known("/v1/status", &tag).status), (&*tag, 304));

    let change = |pool: &str, tag: &str| {
        let kind = ("content-type", "application/json");
        let headers = [("authorization", &*bearer), kind, ("if-match", tag)];
        client.ask("POST", "/v1/hand", &headers, &drain(pool))
    };
    let seen = client.get("/v1/hand", &token).header("etag").to_owned();
    assert_eq!(change("a", &seen).status, 200);
    let late = change("b", &seen);
    assert_eq!(late.status, 412, "{}", late.text);
    let there = late.json();
    assert_eq!(there["hand"]["overrides"][0]["target"], "pool:gtm.example/a", "what is there now");
    let now = client.get("/v1/hand", &token);
    assert_eq!(now.json()["overrides"].as_array().unwrap().len(), 1, "it changed nothing");
    assert_eq!(known("/v1/hand", &seen).status, 200);
    assert_eq!(known("/v1/status", &tag).status, 200, "a drain is news");
    assert_eq!(change("b", now.header("etag")).status, 200);
    assert_eq!(client.post("/v1/hand", &token, &drain("a")).status, 200, "nobody has to say");
}

/// The next event of a stream: its number and what it is.
fn next_event(lines: &mut impl Iterator<Item = String>) -> (u64, Value) {
    let mut id = None;
    for line in lines {
        if let Some(number) = line.strip_prefix("id: ") {
            id = number.parse().ok();
        }
        if let Some(data) = line.strip_prefix("data: ") {
            return (id.expect("an id before its data"), serde_json::from_str(data).unwrap());
        }
    }
    panic!("the stream ended");
}

fn stream(server: &Server, headers: &str) -> impl Iterator<Item = String> + use<> {
    let mut stream = TcpStream::connect(server.admin()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET /v1/events/stream HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").unwrap();
    BufReader::new(stream).lines().map(|line| line.unwrap())
}

#[test]
fn events_are_streamed_as_they_happen_and_go_on_where_a_reader_stopped() {
    let (server, client, token) = serve();
    let mut lines = stream(&server, "");
    assert!(lines.any(|line| line == "content-type: text/event-stream"));
    let mut seen = vec![next_event(&mut lines)];
    while seen.last().unwrap().0 < server.last_event() {
        seen.push(next_event(&mut lines));
    }
    assert_eq!(client.post("/v1/hand", &token, &drain("b")).status, 200);
    let (live, event) = next_event(&mut lines);
    assert!(live > seen.last().unwrap().0 && event["seq"] == live, "{event}");
    drop(lines);

    let before = seen.last().unwrap().0;
    let mut lines = stream(&server, &format!("Last-Event-ID: {before}\r\n"));
    assert_eq!(next_event(&mut lines).0, live, "nothing is missed and nothing told twice");
    assert!(stream(&server, "Last-Event-ID: x\r\n").next().unwrap().contains(" 400 "));
}

#[test]
fn a_stream_ends_with_the_token_it_was_asked_for_with() {
    let (server, client, admin) = serve();
    let (ends, line) = token("bo", "read", "1h");
    let stays = server.folder.read("secrets/tokens");
    secret(&server.folder, "secrets/tokens", &format!("{stays}\n{line}\n"));
    server.reload();
    let mut others = stream(&server, &format!("Authorization: Bearer {admin}\r\n"));
    let mut lines = stream(&server, &format!("Authorization: Bearer {ends}\r\n"));
    while next_event(&mut lines).0 < server.last_event() {}
    secret(&server.folder, "secrets/tokens", &stays);
    let before = server.last_event();
    server.reload();
    let told: Vec<String> = lines.filter(|line| line.starts_with("id: ")).collect();
    assert!(told.is_empty(), "what happened after number {before} is not its: {told:?}");
    while next_event(&mut others).0 <= before {}
    assert_eq!(client.get("/v1/events/stream", &ends).status, 401);
}

#[test]
fn of_those_who_change_what_they_saw_at_once_exactly_one_does() {
    const WRITERS: usize = 8;
    let (server, client, token) = serve();
    for round in 0..5 {
        let tag = client.get("/v1/hand", &token).header("etag").to_owned();
        let body = drain(if round % 2 == 0 { "a" } else { "b" });
        let request = format!(
            "POST /v1/hand HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             If-Match: {tag}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut writers: Vec<TcpStream> = (0..WRITERS)
            .map(|_| {
                let mut stream = TcpStream::connect(server.admin()).unwrap();
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                stream
            })
            .collect();
        // All heads are there; now all bodies come.
        for stream in &mut writers {
            stream.write_all(body.as_bytes()).unwrap();
        }
        let statuses = writers.into_iter().map(|mut stream| {
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            reply[9..12].parse::<u16>().unwrap()
        });
        let statuses: Vec<u16> = statuses.collect();
        let of = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((of(200), of(412)), (1, WRITERS - 1), "{statuses:?}");
        let made = client.get("/v1/hand", &token).json();
        assert_eq!(made["overrides"].as_array().unwrap().len(), round + 1);
    }
}

/// JSON of any shape, with the words that requests know among it.
fn wishes() -> impl Strategy<Value = Value> {
    let verbs = "drain|undrain|force|weight|failover|failback|approve|reject|hold|unhold|pin|unpin";
    let target = "(pool|record|region|endpoint|policy|check|id):[a-z*/.0-9]{0,20}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        verbs.prop_map(Value::from),
        target.prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
    ];
    let keys =
        "verb|target|over_ms|to|member|weight|id|falls|starts_in_ms|at|for_ms|reason|as|dry_run";
    let wish = prop::collection::btree_map(keys, leaf.clone(), 0..6);
    let wish = (wish, verbs).prop_map(|(mut wish, verb)| {
        wish.entry("verb".to_owned()).or_insert_with(|| verb.into());
        Value::from_iter(wish)
    });
    let any = leaf
        .prop_recursive(3, 16, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::from));
    prop_oneof![4 => wish, 1 => any]
}

#[test]
fn whatever_is_wished_the_answer_is_a_reply_or_a_problem() {
    let (server, _, _) = serve();
    let folder = server.folder.path().join("run/tradewind.sock");
    let mut runner = TestRunner::new(ProptestConfig { cases: 400, ..ProptestConfig::default() });
    let tried = runner.run(&wishes(), |wish| {
        let body = wish.to_string();
        let mut socket = std::os::unix::net::UnixStream::connect(&folder).unwrap();
        write!(
            socket,
            "POST /v1/hand HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        let status: u16 = reply[9..12].parse().unwrap();
        prop_assert!(status < 500, "{}: {}", body, reply);
        let (_, said) = reply.split_once("\r\n\r\n").unwrap();
        let said: Value = serde_json::from_str(said).unwrap();
        let promised = if status == 200 { "said" } else { "detail" };
        prop_assert!(said[promised].is_string(), "{}: {}", body, reply);
        Ok(())
    });
    tried.unwrap();
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Schemathesis, which reads the description and sends whatever that allows and forbids.
#[test]
fn others_who_read_the_description_find_nothing_that_breaks() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/target/schemathesis/bin/st");
    if !PathBuf::from(program).exists() {
        let why = "schemathesis is missing: python3 -m venv target/schemathesis && \
                   target/schemathesis/bin/pip install schemathesis";
        assert!(!on_ci(), "{why}");
        return skip(why);
    }
    let (server, client, token) = serve();
    let description = server.folder.write("openapi.json", &described().to_string());
    let mut command = Command::new(program);
    command.current_dir(server.folder.path()).arg("run").arg(description);
    command.args(["--url", &format!("http://{}", server.admin()), "--no-color"]);
    command.args(["--header", &format!("Authorization: Bearer {token}")]);
    // Below the limit of one address; a stream has no end, and no demo runs.
    command.args(["--rate-limit", "45/s", "--exclude-path-regex", "stream|demo"]);
    command.args(["--phases", "coverage,fuzzing", "--max-time", "60", "--max-examples", "20"]);
    // Whoever waits for events waits longer than its default.
    command.args(["--checks", CHECKS, "--request-timeout", "90"]);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(client.get("/healthz", "").status, 200);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance";
