//! The admin API over the network: who may do what, and what a page or a stranger may not.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::rr::RecordType;
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
};
use support::{
    DEADLINE, await_some, dns,
    https::{Authority, Client, NAME, secret, token},
    scratch::Scratch,
    server::{Server, cli},
};

const ZONE: &str = "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\n\
    static = \"ns1 60 IN A 127.0.0.53\"\n\
    [pools.a]\nendpoints = [{ name = \"e\", ipv4 = \"192.0.2.1\" }]\n\
    [pools.b]\nendpoints = [{ name = \"e\", ipv4 = \"192.0.2.2\" }]\n\
    [records.app]\npolicy = \"failover\"\nmembers = [\"a\", \"b\"]\n";

/// The server file with `admin` and `more` in its section.
fn server_file(admin: &str, more: &str) -> String {
    format!("[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"{admin}\"\n{more}")
}

fn folder(admin: &str, more: &str) -> Scratch {
    Scratch::with(&[
        ("tradewind.toml", &server_file(admin, more)),
        ("zones/gtm.example.toml", ZONE),
    ])
}

const BOTH: &str = "tokens_file = \"secrets/tokens\"\n\
    tls = { cert = \"secrets/cert.pem\", key = \"secrets/key.pem\" }\n";
const DRAIN: &str = r#"{"verb": "drain", "target": "pool:gtm.example/b", "dry_run": true}"#;

/// A server that has no tokens, and a client on this machine.
fn open() -> (Server, Client) {
    let server = Server::start(folder("127.0.0.1:0", ""));
    let client = Client::plain(&server);
    (server, client)
}

/// A server behind TLS, a client that trusts it, and a token for everything.
fn encrypted() -> (Server, Client, String) {
    let authority = Authority::new();
    let folder = folder("127.0.0.1:0", BOTH);
    authority.certify(&folder, NAME);
    let (admin, line) = token("ana", "admin", "1h");
    secret(&folder, "secrets/tokens", &line);
    let server = Server::start(folder);
    let client = authority.client(server.admin());
    (server, client, admin)
}

/// What `tradewind check` says of `folder`, and how it ends.
fn check(folder: &Scratch) -> (Option<i32>, String) {
    let done = cli(&["check", "-C", folder.path().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.code(), said.into_owned())
}

#[test]
fn to_listen_for_others_takes_tokens_and_tls_and_the_refusal_says_so() {
    let authority = Authority::new();
    for (admin, more, lacks) in [
        ("0.0.0.0:0", "", Some("without tokens and TLS")),
        ("[::]:0", "tokens_file = \"secrets/tokens\"\n", Some("without TLS")),
        ("192.0.2.1:0", BOTH.split_once('\n').unwrap().1, Some("without tokens")),
        ("0.0.0.0:0", BOTH, None),
        ("127.9.9.9:0", "", None),
        ("[::1]:0", "", None),
        ("[::ffff:127.0.0.1]:0", "", None),
    ] {
        let folder = folder(admin, more);
        authority.certify(&folder, NAME);
        secret(&folder, "secrets/tokens", &token("ci", "read", "1d").1);
        let (code, said) = check(&folder);
        match lacks {
            None => assert_eq!(code, Some(0), "{admin} {more}: {said}"),
            Some(lacks) => {
                assert_eq!(code, Some(3), "{admin} {more}");
                for words in [lacks, "or listen on this machine only", "tradewind.toml:3:9"] {
                    assert!(said.contains(words), "{words}: {said}");
                }
            }
        }
    }
}

#[test]
fn a_secret_that_others_may_read_is_refused_and_none_is_ever_shown() {
    let authority = Authority::new();
    let folder = folder("127.0.0.1:0", BOTH);
    authority.certify(&folder, NAME);
    let (_, line) = token("ci", "read", "1d");
    folder.write("secrets/tokens", &line);
    let (code, said) = check(&folder);
    assert_eq!(code, Some(3));
    assert!(said.contains("secrets/tokens: everybody on this machine may read it"), "{said}");
    secret(&folder, "secrets/tokens", "hunter2 hunter2 hunter2 hunter2");
    let (code, said) = check(&folder);
    assert_eq!(code, Some(3));
    assert!(said.contains("secrets/tokens: line 1:") && !said.contains("hunter2"), "{said}");
    secret(&folder, "secrets/tokens", &line);
    secret(&folder, "secrets/key.pem", "hunter2");
    let (code, said) = check(&folder);
    assert_eq!(code, Some(3));
    assert!(said.contains("secrets/key.pem: holds no key") && !said.contains("hunter2"), "{said}");
}

#[test]
fn files_are_planned_without_the_secrets_that_they_name() {
    let authority = Authority::new();
    let served = folder("127.0.0.1:0", BOTH);
    authority.certify(&served, NAME);
    secret(&served, "secrets/tokens", &token("ci", "read", "1d").1);
    let server = Server::start(served);
    let checkout = folder("127.0.0.1:0", BOTH);
    let done = server.cli("plan", &[checkout.path().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains("no changes"), "{said}");
}

#[test]
fn on_this_machine_anybody_looks_and_nobody_without_a_token_changes() {
    let (server, client) = open();
    assert_eq!(client.get("/v1/status", "").status, 200);
    let refused = client.ask("POST", "/v1/hand", &[("content-type", "application/json")], DRAIN);
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.json()["detail"], "this takes a token (operate)");
    let passed_on = client.ask("GET", "/v1/status", &[("x-forwarded-for", "192.0.2.7")], "");
    assert_eq!(passed_on.status, 401, "it is whoever the proxy speaks for who looks");
    let through = client.ask("GET", "/v1/status", &[("via", "1.1 proxy")], "");
    assert_eq!(through.status, 401, "whatever header says so");
    assert_eq!(client.get("/v1/status", "guess").status, 401);
    // What tells of clients and operators, or takes a processor for seconds, takes a token here too.
    assert_eq!(client.get("/v1/audit", "").status, 401);
    assert_eq!(client.get("/v1/audit/chain", "").status, 401);
    for path in ["/v1/plan", "/v1/simulate"] {
        let refused = client.ask("POST", path, &[("content-type", "application/json")], "{}");
        assert_eq!(refused.json()["detail"], "this takes a token (read)", "{path}");
    }
    // For a proxy that says nothing of itself, reading is closed as a whole; `/healthz` is not.
    let closed = server_file("127.0.0.1:0", "read_without_token = false\n");
    server.folder.write("tradewind.toml", &closed);
    assert_eq!(server.reload()["accepted"], true);
    assert_eq!(client.get("/v1/status", "").status, 401);
    assert_eq!(client.get("/metrics", "").status, 401);
    assert_eq!(client.get("/healthz", "").status, 200);
}

#[test]
fn plans_are_worked_out_one_at_a_time_and_a_long_line_is_refused_before_its_files() {
    let folder = folder("127.0.0.1:0", "tokens_file = \"secrets/tokens\"\n");
    let (token, line) = token("ci", "read", "1d");
    secret(&folder, "secrets/tokens", &line);
    let server = Server::start(folder);
    let client = Client::plain(&server);
    let wait_in_line = || {
        let mut stream = TcpStream::connect(server.admin()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!(
            "POST /v1/plan HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut said = [0; 25];
        stream.read_exact(&mut said).unwrap();
        // It is in line once its body is asked for.
        assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    };
    let mut waiting: Vec<TcpStream> = (0..3).map(|_| wait_in_line()).collect();
    let headers =
        [("content-type", "application/json"), ("authorization", &*format!("Bearer {token}"))];
    let simulate = || client.ask("POST", "/v1/simulate", &headers, r#"{"fail": ["pool:b"]}"#);
    let refused = simulate();
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"), "{refused:?}");
    // Whoever sends its files gets its plan, though others dawdle; then there is room again.
    let mut first = waiting.remove(0);
    first.write_all(b"{}").unwrap();
    let mut reply = String::new();
    first.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    await_some("room in the line", || (simulate().status != 503).then_some(()));
}

#[test]
fn each_role_may_do_its_own_over_tls_and_nothing_more() {
    let authority = Authority::new();
    let folder = folder("127.0.0.1:0", BOTH);
    authority.certify(&folder, NAME);
    let made = ["read", "operate", "approve", "admin"].map(|role| token(role, role, "1h"));
    let (old, expired) = token("old", "admin", "1h");
    let expired = expired.rsplit_once(' ').unwrap().0;
    let lines = made.iter().map(|(_, line)| format!("{line}\n")).collect::<String>();
    secret(&folder, "secrets/tokens", &format!("{lines}{expired} 2001-01-01T00:00:00Z\n"));
    let server = Server::start(folder);
    let client = authority.client(server.admin());

    let confirm = r#"{"verb": "confirm"}"#;
    let glass = r#"{"verb": "drain", "target": "pool:gtm.example/b", "dry_run": true,
        "break_glass": true, "reason": "x"}"#;
    let rights = made.each_ref().map(|(token, _)| {
        let statuses = [
            client.get("/v1/status", token).status,
            client.post("/v1/hand", token, DRAIN).status,
            client.post("/v1/hand", token, confirm).status,
            client.post("/v1/hand", token, glass).status,
            client.post("/v1/reload", token, "").status,
        ];
        // 409: there is nothing to confirm.
        statuses.map(|status| matches!(status, 200 | 409))
    });
    assert_eq!(
        rights,
        [
            [true, false, false, false, false],
            [true, true, false, false, false],
            [true, true, true, false, false],
            [true, true, true, true, true],
        ]
    );
    let low = client.post("/v1/hand", &made[0].0, DRAIN);
    assert_eq!(low.status, 403);
    assert_eq!(low.json()["detail"], "this takes the role operate; the token of `read` has read");
    assert_eq!(low.json()["role"], "operate");
    let late = client.get("/v1/status", &old);
    assert_eq!(late.status, 401);
    assert!(late.text.contains("expired at 2001-01-01T00:00:00Z"), "{}", late.text);
    assert_eq!(client.get("/v1/status", &format!("{}0", made[3].0)).status, 401);

    // What is written down is by whom the token says it is.
    let forced =
        r#"{"verb": "force", "target": "pool:gtm.example/b", "to": "down", "for_ms": 60000}"#;
    assert_eq!(client.post("/v1/hand", &made[1].0, forced).status, 200);
    let hand = client.get("/v1/hand", &made[0].0).json();
    assert_eq!(hand["overrides"][0]["who"], "token operate");

    // Taken back by a reload, as certificates are changed by one.
    let old_root = client;
    secret(&server.folder, "secrets/tokens", &made[3].1);
    let renewed = Authority::new();
    renewed.certify(&server.folder, NAME);
    server.signal("HUP");
    let client = renewed.client(server.admin());
    await_some("the new certificate", || {
        client.try_ask("GET", "/healthz", &[], "").ok().map(|_| ())
    });
    assert_eq!(client.get("/v1/status", &made[0].0).status, 401);
    assert_eq!(client.get("/v1/status", &made[3].0).status, 200);
    assert!(old_root.try_ask("GET", "/healthz", &[], "").is_err(), "it is another certificate");
    // Broken secrets keep those that worked.
    secret(&server.folder, "secrets/tokens", "nonsense");
    let refused = server.cli("reload", &[]);
    assert_eq!(refused.status.code(), Some(3));
    assert_eq!(client.get("/v1/status", &made[3].0).status, 200);

    let log = server.log();
    for (token, line) in &made {
        assert!(!log.contains(&token[10..]) && !log.contains(line), "a secret is in the log");
    }
}

#[test]
fn what_pages_make_browsers_send_is_refused() {
    let (server, client, admin) = encrypted();
    let bearer = format!("Bearer {admin}");
    let kind = ("content-type", "application/json");
    let own = format!("https://ns1.example:{}", server.admin().port());
    for (headers, status) in [
        (vec![kind], 200),
        (vec![kind, ("origin", &*own), ("sec-fetch-site", "same-origin")], 200),
        (vec![kind, ("origin", "https://evil.example")], 403),
        (vec![kind, ("origin", "null")], 403),
        (vec![kind, ("sec-fetch-site", "cross-site")], 403),
        (vec![("content-type", "text/plain")], 415),
        (vec![("content-type", "application/x-www-form-urlencoded")], 415),
        (vec![], 415),
    ] {
        let all = [&headers[..], &[("authorization", &*bearer)]].concat();
        let said = client.ask("POST", "/v1/hand", &all, DRAIN);
        assert_eq!(said.status, status, "{headers:?}: {}", said.text);
    }
    let said = client.get("/v1/status", &admin);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cross-origin-resource-policy", "same-origin"),
        ("access-control-allow-origin", ""),
    ] {
        assert_eq!(said.header(name), value, "{name}");
    }
    // A browser asks first whether it may; nobody says yes.
    let asked = [("origin", "https://evil.example"), ("access-control-request-method", "POST")];
    assert_eq!(client.ask("OPTIONS", "/v1/hand", &asked, "").status, 405);
}

#[test]
fn a_name_that_somebody_points_here_opens_nothing() {
    let (_server, client) = open();
    for (host, status) in [
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost:1", 200),
        ("[::1]:1", 200),
    ] {
        let said = client.ask("GET", "/v1/status", &[("host", host)], "");
        assert_eq!(said.status, status, "{host}");
    }
}

#[test]
fn every_refusal_is_a_problem() {
    let (server, client, admin) = encrypted();
    let bearer = format!("Bearer {admin}");
    for (method, path, body, status) in [
        ("GET", "/v1/nothing", "", 404),
        ("GET", "/nothing?a=%00", "", 404),
        ("DELETE", "/v1/hand", "", 405),
        ("POST", "/v1/status", "", 405),
        ("GET", "/v1/explain", "", 400),
        ("GET", "/v1/explain?name=a..b&client=x", "", 400),
        ("GET", "/v1/events?last=minus", "", 400),
        ("POST", "/v1/rollback/x", "", 400),
        ("POST", "/v1/hand", "{", 400),
        ("POST", "/v1/hand", "[]", 422),
        ("POST", "/v1/hand", "{\"verb\": \"dance\"}", 400),
        ("POST", "/v1/hand", "{\"verb\": \"drain\", \"traget\": \"x\"}", 422),
        ("POST", "/v1/hand", "{\"verb\": \"drain\", \"target\": \"region:x\"}", 404),
    ] {
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        let said = client.ask(method, path, &headers, body);
        let short: String = body.chars().take(40).collect();
        assert_eq!(said.status, status, "{method} {path} {short}: {}", said.text);
        assert_eq!(said.header("content-type"), "application/problem+json", "{method} {path}");
        let problem = said.json();
        assert_eq!(problem["status"], status, "{method} {path}");
        for key in ["type", "title", "detail"] {
            assert!(problem[key].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
    }
    // Who is refused in the middle of a body has to stop; over a socket of this machine the reply
    // is there all the same.
    let mut socket = UnixStream::connect(server.control()).unwrap();
    let head = "POST /v1/hand HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    write!(socket, "{head}Content-Length: {}\r\n\r\n", 2 << 20).unwrap();
    let _ = socket.write_all(&[b' '; 2 << 20]);
    let mut reply = Vec::new();
    let _ = socket.read_to_end(&mut reply);
    assert!(reply.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&reply));
}

#[test]
fn whoever_asks_too_often_is_told_when_to_come_back() {
    let (server, client) = open();
    let refused = await_some("a refusal", || {
        Some(client.get("/healthz", "")).filter(|said| said.status != 200)
    });
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    await_some("to be served again", || (client.get("/healthz", "").status == 200).then_some(()));
    // The control socket is its owner's.
    assert!((0..150).all(|_| server.control_request("GET", "/healthz").0 == 200));
}

#[test]
fn a_head_without_end_is_cut_off_and_not_kept() {
    let (server, client) = open();
    let mut stream = TcpStream::connect(server.admin()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ").unwrap();
    // Less than sockets hold by themselves, so that the reply is not lost to a reset.
    stream.write_all(&[b'x'; 17 * 1024]).unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"HTTP/1.1 431");
    let long = "x".repeat(12 * 1024);
    assert_eq!(client.ask("GET", "/healthz", &[("x-trace", &long)], "").status, 200);
}

#[test]
fn those_who_dawdle_at_the_admin_port_take_nothing_from_dns() {
    let server = Server::start(folder("127.0.0.1:0", ""));
    let mut slow: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(server.admin()).unwrap();
            stream.write_all(b"POST /v1/hand HTTP/1.1\r\nHost: localhost\r\n").unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream
        })
        .collect();
    for _ in 0..200 {
        let message = dns::ask(server.udp(), "app.gtm.example", RecordType::A, "");
        assert_eq!(dns::addresses(&message).len(), 1);
        for stream in &mut slow {
            // Some are cut off by now.
            let _ = stream.write_all(b"X");
        }
    }
    let (status, _) = server.control_request("GET", "/v1/status");
    assert_eq!(status, 200, "the command line has a door of its own");
    // They lose their seats, and others are served.
    let mut first = slow.remove(0);
    let mut rest = Vec::new();
    let _ = first.read_to_end(&mut rest);
    drop(slow);
    let client = Client::plain(&server);
    assert_eq!(client.get("/healthz", "").status, 200);
}
