//! The operator's hand, end to end: what is typed changes what is answered, is listed, refused,
//! confirmed, undone as printed, and ends.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use std::{
    fs,
    process::{Command, Output, Stdio},
};
use support::{
    await_some,
    plain::{exits, json, serve, text},
    scratch::Scratch,
    server::{BINARY, Server, cli},
};

const RULES: &str = r#"
[[safety]]
name = "two-regions"
records = ["gtm.example/app"]
min_active_regions = 2
[[safety]]
name = "four-eyes"
records = ["gtm.example/www"]
two_persons = ["weight"]
"#;

/// Runs a command line as it was printed, through a shell.
fn typed(line: &str) -> Output {
    let line = line.replacen("tradewind", BINARY, 1);
    Command::new("sh").args(["-c", &line]).output().unwrap()
}

/// The share of clients that get an address which begins so.
fn share(server: &Server, name: &str, prefix: &str) -> f64 {
    let output = server.cli("explain", &[name, "--client", "192.0.2.99", "--json"]);
    let answers = json(&output)["steering"]["answers"].clone();
    let shares = answers.as_array().unwrap().iter().filter_map(|answer| {
        let is = answer["records"][0].as_str().is_some_and(|record| record.starts_with(prefix));
        is.then(|| answer["share"].as_f64().unwrap())
    });
    shares.sum()
}

#[test]
fn a_drain_moves_clients_is_listed_and_undone_as_printed() {
    let server = serve("");
    assert_eq!(share(&server, "app.gtm.example", "192.0.2."), 1.0);
    let dry = server.cli("drain", &["region:us", "--dry-run"]);
    let said = exits(&dry, 0);
    assert!(said.contains("would do: drains 2 endpoints of 1 pool; 2 records"), "{said}");
    assert!(said.contains("us (gtm.example/iad) -> eu (gtm.example/dub)"), "{said}");
    assert_eq!(share(&server, "app.gtm.example", "192.0.2."), 1.0, "nothing was done");

    let drained = server.cli("drain", &["region:us", "--for", "1h", "--reason", "INC 42"]);
    let said = exits(&drained, 0);
    assert!(said.contains("#1 drains 2 endpoints of 1 pool; 2 records"), "{said}");
    assert!(said.contains("resolvers follow within 20s (TTL)"), "{said}");
    for name in ["app.gtm.example", "www.gtm.example"] {
        assert_eq!(share(&server, name, "192.0.2."), 0.0);
    }
    let status = json(&server.cli("status", &["--json"]));
    let endpoints = status["endpoints"].as_array().unwrap();
    let drained_ones = endpoints.iter().filter(|endpoint| endpoint["verdict"] == "drained");
    assert_eq!(drained_ones.count(), 2, "{status}");

    let forced = server.cli("force", &["endpoint:gtm.example/iad/iad-2", "up", "--json"]);
    assert_eq!(json(&forced)["made"]["hides"], serde_json::json!([1]));
    assert!((share(&server, "www.gtm.example", "192.0.2.2") - 0.9).abs() < 1e-6);
    // A failover goes back by its own rule, five minutes later.
    assert_eq!(share(&server, "app.gtm.example", "198.51.100."), 1.0);

    let list = json(&server.cli("overrides", &["--json"]));
    let drain = &list["overrides"][0];
    assert_eq!((&drain["what"], &drain["reason"]), (&"drain region:us".into(), &"INC 42".into()));
    assert_eq!(drain["does"], "drains 1 of 2 endpoints of 1 pool; 2 records");
    assert_eq!(drain["hidden_by"], serde_json::json!([2]));
    assert_eq!(drain["drain"]["state"], "still-answered");
    assert_eq!(drain["drain"]["why"], "#2 forces part of it up");
    assert!(drain["remaining_ms"].as_u64().unwrap() <= 3_600_000);
    exits(&server.cli("overrides", &[]), 0);

    for printed in [&drained, &forced] {
        let said = text(printed);
        let undo = match said.lines().find_map(|line| line.strip_prefix("undo: ")) {
            Some(undo) => undo.to_owned(),
            None => json(printed)["undo"][0].as_str().unwrap().to_owned(),
        };
        exits(&typed(&undo), 0);
        assert!((share(&server, "www.gtm.example", "192.0.2.") - 0.9).abs() < 1e-6);
    }
    let list = json(&server.cli("overrides", &["--json"]));
    assert_eq!(list["overrides"], serde_json::json!([]));
    let events: Vec<Value> = server.events(0);
    let hand = events.iter().filter(|event| event["event"] == "hand");
    let became: Vec<&str> = hand.map(|event| event["to"].as_str().unwrap()).collect();
    assert_eq!(became, ["made", "made", "still answered", "taken away", "taken away"]);
}

#[test]
fn weights_and_failovers_move_and_come_back() {
    let server = serve("");
    let close = |name: &str, prefix: &str, wanted: f64| {
        let found = share(&server, name, prefix);
        assert!((found - wanted).abs() < 1e-6, "{name}: {found}");
    };
    close("www.gtm.example", "198.51.", 0.1);
    exits(&server.cli("weight", &["record:gtm.example/www", "dub=90"]), 0);
    close("www.gtm.example", "198.51.", 0.5);
    exits(&server.cli("weight", &["endpoint:gtm.example/iad/iad-2", "3"]), 0);
    close("www.gtm.example", "192.0.2.2", 0.375);
    assert_eq!(server.reload()["accepted"], true);
    close("www.gtm.example", "192.0.2.2", 0.375);
    exits(&server.cli("weight", &["record:www.gtm.example", "dub=reset"]), 0);
    exits(&server.cli("weight", &["record:gtm.example/www", "reset"]), 1);
    exits(&server.cli("weight", &["endpoint:iad-2", "reset"]), 0);
    close("www.gtm.example", "198.51.", 0.1);

    exits(&server.cli("failover", &["record:gtm.example/app", "--to", "dub"]), 0);
    close("app.gtm.example", "198.51.", 1.0);
    exits(&server.cli("failback", &["record:gtm.example/app"]), 0);
    close("app.gtm.example", "192.0.2.", 1.0);
    exits(&server.cli("approve", &["record:gtm.example/app"]), 4);
    assert!(exits(&server.cli("approve", &[]), 0).contains("no failover waits"));
}

#[test]
fn refusals_say_why_and_have_their_exit_codes() {
    let server = serve(RULES);
    let said = exits(&server.cli("drain", &["us"]), 2);
    assert!(said.contains("did you mean region:us?"), "{said}");
    let said = exits(&server.cli("drain", &["pool:gtm.example/iadd"]), 1);
    assert!(
        said.contains("did you mean pool:gtm.example/iad?") && said.contains("hint: "),
        "{said}"
    );
    exits(&server.cli("drain", &["record:gtm.example/www"]), 2);
    exits(&server.cli("undrain", &["region:us"]), 1);
    let said = exits(&server.cli("drain", &["region:us"]), 6);
    assert!(
        said.contains("two-regions: gtm.example/app would answer from 1 region (eu)"),
        "{said}"
    );
    assert!(said.contains("refused by safety rule `two-regions`"), "{said}");
    exits(&server.cli("drain", &["region:us", "--break-glass"]), 2);
    let said = exits(&server.cli("drain", &["region:us", "--break-glass", "--reason", "fire"]), 0);
    assert!(said.contains("over safety rule two-regions"), "{said}");
    let list = json(&server.cli("overrides", &["--json"]));
    assert_eq!(list["overrides"][0]["break_glass"], true);
    assert!(server.events(0).iter().any(|e| e["event"] == "hand" && e["alarm"] == true));
    let empty = Scratch::new();
    let dir = empty.path().to_str().unwrap();
    exits(&cli(&["drain", "region:us", "-C", dir]), 5);
}

/// What an operator does takes effect whatever becomes of the disk, but not without a word.
#[test]
fn a_change_that_a_restart_would_lose_says_so() {
    let warns = |server: &Server, verb: &str, args: &[&str]| {
        let output = server.cli(verb, args);
        exits(&output, 0);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.is_empty() || said.contains("a restart of the server would lose it: "),
            "{said}"
        );
        !said.is_empty()
    };
    let server = serve("");
    assert!(!warns(&server, "drain", &["region:us"]));
    // No file of it may grow beyond 4 KiB, as on a disk that is full.
    let full = ["sh", "-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"];
    let server = Server::under(&full, server.kill());
    assert!(warns(&server, "drain", &["region:eu"]));
    assert!(!warns(&server, "drain", &["region:eu", "--dry-run"]), "nothing is to be kept");
    let output = server.cli("pin", &["--json"]);
    assert!(json(&output)["not_kept"].as_str().unwrap().contains("state.redb"));
    let overrides = |server: &Server| {
        json(&server.cli("overrides", &["--json"]))["overrides"].as_array().unwrap().len()
    };
    assert_eq!(overrides(&server), 3, "in effect all the same");
    assert_eq!(overrides(&Server::start(server.kill())), 1);
}

#[test]
fn a_second_person_confirms() {
    let server = serve(RULES);
    let args = ["record:gtm.example/www", "dub=90", "--as", "ana"];
    let said = exits(&server.cli("weight", &[&args[..], &["--dry-run"]].concat()), 0);
    assert!(said.contains("four-eyes wants a second person: it would wait"), "{said}");
    assert!(said.contains("nothing was done (--dry-run)") && !said.contains("#1"), "{said}");
    let said = exits(&server.cli("weight", &args), 10);
    assert!(said.contains("proposed as #1, not in effect"), "{said}");
    let confirm = said.lines().map(str::trim).find(|l| l.starts_with("tradewind confirm")).unwrap();
    assert!(share(&server, "www.gtm.example", "198.51.") < 0.2);
    let said = exits(&server.cli("confirm", &["1", "--as", "ana"]), 6);
    assert!(said.contains("another person has to confirm it"), "{said}");
    exits(&typed(&format!("{confirm} --as bo")), 0);
    assert!(share(&server, "www.gtm.example", "198.51.") > 0.4);
    exits(&server.cli("confirm", &["1", "--as", "bo"]), 4);
    let list = json(&server.cli("overrides", &["--json"]));
    let who = list["overrides"][0]["who"].as_str().unwrap();
    assert!(who.starts_with("ana (") && who.contains("confirmed by bo ("), "{who}");
}

#[test]
fn an_override_ends_by_itself_and_waiting_for_a_drain_notices() {
    let server = serve("");
    exits(&server.cli("drain", &["pool:dub", "--for", "1s"]), 0);
    server.await_event("end of the drain", 0, |event| {
        event["event"] == "hand" && event["to"] == "ended"
    });
    let mut waiting = Command::new(BINARY)
        .args(["drain", "pool:iad", "--wait", "-C"])
        .arg(server.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let since = server.last_event();
    server.await_event("drain", since.saturating_sub(2), |event| {
        event["event"] == "hand" && event["subject"] == "drain pool:iad"
    });
    exits(&server.cli("undrain", &["pool:iad"]), 0);
    let status = await_some("end of waiting", || waiting.try_wait().unwrap());
    assert_eq!(status.code(), Some(1), "it was taken away");
}

#[test]
fn a_pin_works_with_and_without_a_server() {
    let server = serve("");
    exits(&server.cli("pin", &["--reason", "storm"]), 0);
    exits(&server.cli("unpin", &[]), 0);
    // As somebody does who has nothing but a shell.
    fs::create_dir_all(server.folder.path().join("state")).unwrap();
    fs::write(server.folder.path().join("state/PIN"), "by hand\n").unwrap();
    server.await_event("pin", 0, |event| {
        event["subject"] == "pin (state/PIN)" && event["to"] == "made"
    });
    assert_eq!(json(&server.cli("overrides", &["--json"]))["pin_file"], "by hand");
    let folder = server.kill();
    let dir = folder.path().to_str().unwrap();
    exits(&cli(&["unpin", "-C", dir]), 0);
    exits(&cli(&["unpin", "-C", dir]), 5);
    // Where the state is cannot be known.
    let server_file = fs::read_to_string(folder.path().join("tradewind.toml")).unwrap();
    folder.write("tradewind.toml", &format!("{server_file}\n[server\n"));
    for args in [&["pin", "-C", dir][..], &["pin", "-C", dir, "--node", "here"]] {
        let said = exits(&cli(args), 3);
        assert!(said.contains("tradewind.toml:"), "{said}");
        assert!(!folder.path().join("state/PIN").exists());
    }
    folder.write("tradewind.toml", &server_file);
    let said = exits(&cli(&["pin", "-C", dir, "--reason", "checker lies", "--as", "ana"]), 0);
    assert!(said.contains("no server answers: made "), "{said}");
    let server = Server::start(folder);
    let list = json(&server.cli("overrides", &["--json"]));
    assert_eq!(list["pin_file"], "ana: checker lies");
    exits(&server.cli("unpin", &[]), 0);
    assert!(!server.folder.path().join("state/PIN").exists());
    await_some("end of the pin", || {
        json(&server.cli("overrides", &["--json"]))["pin_file"].is_null().then_some(())
    });
}
