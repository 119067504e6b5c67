//! Who changed what is written down, bound to what was written before, and found again: after a
//! crash, without a server, and by whoever suspects that it was tampered with.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use redb::{Database, ReadableDatabase, TableDefinition};
use serde_json::Value;
use std::{path::Path, process::Command};
use support::{
    await_some,
    https::{Client, secret, token},
    plain::{self, ZONE, exits, serve},
    server::{Server, cli},
};

const RULE: &str = r#"
[[safety]]
name = "two-regions"
records = ["gtm.example/app"]
min_active_regions = 2
"#;

const ENTRIES: TableDefinition<'static, u64, &str> = TableDefinition::new("audit");

fn verify(dir: &Path, args: &[&str], code: i32) -> Value {
    let mut all = vec!["audit", "verify", "--json", "-C", dir.to_str().unwrap()];
    all.extend(args);
    let output = cli(&all);
    exits(&output, code);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn entries(server: &Server, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["--json"];
    all.extend(args);
    let output = server.cli("audit", &all);
    exits(&output, 0);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["schema_version"], 1);
    serde_json::from_value(said["entries"].clone()).unwrap()
}

fn words(entries: &[Value], field: &str) -> Vec<String> {
    entries.iter().map(|entry| entry[field].as_str().unwrap_or_default().to_owned()).collect()
}

/// A server that was told a few things: six entries.
fn told() -> Server {
    let server = serve(RULE);
    let weight = ["record:gtm.example/www", "dub=20", "--reason", "INC 42", "--as", "ana"];
    exits(&server.cli("weight", &weight), 0);
    exits(&server.cli("weight", &["record:gtm.example/www", "dub=30", "--dry-run"]), 0);
    exits(&server.cli("drain", &["pool:gtm.example/iad"]), 6);
    exits(&server.cli("drain", &["pool:gtm.example/none"]), 1);
    exits(&server.cli("weight", &["record:gtm.example/www", "dub=reset"]), 0);
    server.folder.write("zones/gtm.example.toml", &ZONE.replace("\"20s\"", "\"10s\""));
    let said = exits(&server.cli("reload", &["--reason", "shorter TTLs"]), 0);
    assert!(said.contains("resolvers follow within 20s"), "{said}");
    assert!(said.contains("undo: tradewind rollback 1"), "{said}");
    server
}

#[test]
fn every_change_is_written_down_with_who_where_why_and_what_came_of_it() {
    let server = told();
    let all = entries(&server, &[]);
    assert_eq!(
        words(&all, "what"),
        [
            "start",
            "weight record:gtm.example/www dub=20",
            "drain pool:gtm.example/iad",
            "drain pool:gtm.example/none",
            "weight record:gtm.example/www dub=reset",
            "tradewind reload",
        ],
        "in order, no dry run among them"
    );
    assert_eq!(words(&all, "outcome"), ["done", "done", "refused", "refused", "done", "done"]);
    let [start, made, refused, unknown, taken, reload] = &all[..] else { panic!() };
    assert_eq!(start["who"], "tradewind");
    assert!(made["who"].as_str().unwrap().starts_with("ana ("), "{made}");
    assert!(made["from"].as_str().unwrap().starts_with("control socket"), "{made}");
    assert_eq!(
        (&made["reason"], &made["target"]),
        (&"INC 42".into(), &"record:gtm.example/www".into())
    );
    let state = made["after"]["state"][0].as_str().unwrap();
    assert!(state.starts_with("#1 weight record:gtm.example/www dub=20"), "{made}");
    assert_eq!(
        made["after"]["swap"].as_u64().unwrap(),
        made["before"]["swap"].as_u64().unwrap() + 1
    );
    assert_eq!(refused["rules"][0], "two-regions");
    assert_eq!(refused["before"]["swap"], refused["after"]["swap"]);
    assert!(unknown["said"].as_str().unwrap().contains("none"), "{unknown}");
    assert_eq!(taken["before"]["state"][0], made["after"]["state"][0]);
    assert_eq!(
        (&reload["reason"], &reload["after"]["revision"]),
        (&"shorter TTLs".into(), &2.into())
    );

    assert_eq!(words(&entries(&server, &["--who", "ana"]), "seq").len(), 1);
    assert_eq!(entries(&server, &["--target", "/iad"]).len(), 1);
    assert_eq!(entries(&server, &["--since", "1h"]).len(), 6);
    let table = exits(&server.cli("audit", &[]), 0);
    assert!(table.contains("refused by two-regions: "), "{table}");
    // The log has each hash.
    assert!(server.log().contains(made["hash"].as_str().unwrap()), "{}", server.log());
}

#[test]
fn after_a_crash_the_chain_is_whole_with_and_without_a_server() {
    let server = told();
    let last = entries(&server, &[]).pop().unwrap();
    let alive = verify(server.folder.path(), &[], 0);
    assert_eq!(
        (&alive["whole"], &alive["last"], &alive["hash"]),
        (&true.into(), &6.into(), &last["hash"])
    );
    let folder = server.kill();
    assert_eq!(verify(folder.path(), &[], 0), alive, "by the file of the dead");
    let server = Server::start(folder);
    exits(&server.cli("pin", &[]), 0);
    let after = verify(server.folder.path(), &["--contains", last["hash"].as_str().unwrap()], 0);
    assert_eq!((&after["last"], &after["contains"]), (&7.into(), &6.into()));
    verify(server.folder.path(), &["--contains", &"0f".repeat(32)], 1);
    let file = server.folder.path().join("state/state.redb");
    let held = cli(&["audit", "verify", "--file", file.to_str().unwrap()]);
    assert!(exits(&held, 5).contains("in use by another server"));
}

#[test]
fn tampering_is_seen_and_the_entry_named() {
    let folder = told().kill();
    let file = folder.path().join("state/state.redb");
    let change = |work: &dyn Fn(&mut redb::Table<'_, u64, &str>)| {
        let database = Database::open(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        work(&mut transaction.open_table(ENTRIES).unwrap());
        transaction.commit().unwrap();
    };
    let row = |seq: u64| {
        let database = Database::open(&file).unwrap();
        let reading = database.begin_read().unwrap();
        let table = reading.open_table(ENTRIES).unwrap();
        table.get(seq).unwrap().unwrap().value().to_owned()
    };
    let second = row(2);
    let forged = second.replace("INC 42", "INC 43");
    assert_ne!(second, forged);
    change(&|table| drop(table.insert(2, &*forged).unwrap()));
    let verdict = verify(folder.path(), &[], 1);
    assert!(verdict["broken"].as_str().unwrap().contains("entry 2 was altered"), "{verdict}");
    assert_eq!((&verdict["whole"], &verdict["last"]), (&false.into(), &1.into()));

    change(&|table| drop(table.insert(2, &*second).unwrap()));
    verify(folder.path(), &[], 0);
    let fourth = row(4);
    change(&|table| drop(table.remove(4).unwrap()));
    let verdict = verify(folder.path(), &[], 1);
    assert!(verdict["broken"].as_str().unwrap().contains("entry 4 is missing"), "{verdict}");
    change(&|table| drop(table.insert(4, &*fourth).unwrap()));
    change(&|table| drop(table.remove(6).unwrap()));
    let verdict = verify(folder.path(), &[], 1);
    assert!(
        verdict["broken"].as_str().unwrap().contains("entries 6 to 6 are missing"),
        "{verdict}"
    );

    // A server that runs on goes on behind what was written last, and says the same.
    let server = Server::start(folder);
    exits(&server.cli("pin", &[]), 0);
    let verdict = verify(server.folder.path(), &[], 1);
    assert!(verdict["broken"].as_str().unwrap().contains("entry 6 is missing"), "{verdict}");
}

/// A file beyond this length cannot be written: a full disk, for the database.
fn limit_files(server: &Server, bytes: &str) {
    let (id, limit) = (server.id().to_string(), format!("--fsize={bytes}:unlimited"));
    let done = Command::new("prlimit").args(["--pid", &id, &limit]).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_change_that_cannot_be_written_down_is_made_and_written_down_as_soon_as_it_can_be() {
    // Past the limit a write is then an error, not the end of the process.
    let deaf = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
    let server = Server::under(&deaf, plain::folder(""));
    let of = |words: &str| entries(&server, &["--target", words]);
    limit_files(&server, "1024");
    let said = exits(&server.cli("drain", &["region:us", "--reason", "INC 42"]), 0);
    assert!(said.contains("#1 drains 2 endpoints of 1 pool"), "{said}");
    server.await_event("the alarm", 0, |event| event["event"] == "store" && event["alarm"] == true);
    let listed = server.control_request("GET", "/v1/hand").1;
    assert_eq!(listed["overrides"][0]["what"], "drain region:us", "and it is in force");

    limit_files(&server, "unlimited");
    server.await_event("its end", 0, |event| event["event"] == "store" && event["alarm"] == false);
    let entry = of("region:us");
    assert_eq!(words(&entry, "outcome"), ["done"], "it waited in memory");
    let hash = entry[0]["hash"].as_str().unwrap().to_owned();
    let folder = server.kill();
    let found = verify(folder.path(), &["--contains", &hash], 0);
    assert_eq!(found["whole"], true, "{found}");
    let server = Server::start(folder);
    let listed = server.control_request("GET", "/v1/hand").1;
    assert_eq!(listed["overrides"][0]["what"], "drain region:us", "it outlives a crash");
}

const DRILL: &str = r#"
schema = 1
[drill]
name         = "take"
description  = "A pool is taken out for a moment."
mode         = "live"
max_duration = "20s"
min_regions  = 0
before       = "1s"
after        = "2s"
[[steady]]
name  = "www"
query = { name = "www.gtm.example", rate = "20/s" }
[[step]]
id     = "take"
action = "health.force"
target = "pool:gtm.example/iad"
params = { state = "down" }
for    = "1s"
"#;

#[test]
fn who_was_turned_away_at_the_door_is_written_down_without_what_they_brought() {
    let folder = plain::folder("");
    let open = "[server]\nadmin = \"127.0.0.1:0\"\ntokens_file = \"secrets/tokens\"";
    folder.write("tradewind.toml", &folder.read("tradewind.toml").replace("[server]", open));
    let (operator, line) = token("ci", "operate", "1h");
    secret(&folder, "secrets/tokens", &line);
    let server = Server::start(folder);
    let client = Client::plain(&server);
    assert_eq!(client.post("/v1/hand", "guessed-token", "{}").status, 401);
    assert_eq!(client.post("/v1/reload", &operator, "").status, 403);
    assert!((400..500).contains(&client.post("/v1/hand", &operator, "{ no json").status));
    // Whoever only looks changes nothing.
    assert_eq!(client.get("/v1/status", "guessed-token").status, 401);
    let all =
        await_some("the refusals", || Some(entries(&server, &[])).filter(|all| all.len() >= 4));
    assert_eq!(words(&all, "what"), ["start", "POST /v1/hand", "POST /v1/reload", "POST /v1/hand"]);
    assert_eq!(words(&all, "outcome")[1..], ["refused"; 3]);
    assert_eq!(words(&all, "who")[1..], ["unknown", "token ci", "token ci"]);
    for entry in &all[1..] {
        assert!(entry["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{entry}");
        assert!(!entry["said"].as_str().unwrap().is_empty(), "{entry}");
        assert!(!entry.to_string().contains("guessed"), "{entry}");
    }
}

#[test]
fn a_drill_and_what_it_does_are_written_down_with_who_wanted_it() {
    let folder = plain::folder("");
    folder.write("drills/take.toml", DRILL);
    let server = Server::start(folder);
    let dir = server.folder.path().to_str().unwrap();
    exits(&cli(&["drill", "run", "nothing", "--yes", "-C", dir]), 1);
    cli(&["drill", "run", "take", "--yes", "--even-if-degraded", "-C", dir]);
    let all = entries(&server, &[]);
    let said: Vec<String> = all
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default();
            format!("{} {} {}: {}", text("who"), text("what"), text("outcome"), text("said"))
        })
        .collect();
    let at = |words: &[&str]| {
        let is = |line: &String| words.iter().all(|word| line.contains(word));
        said.iter().position(is).unwrap_or_else(|| panic!("{words:?} in {said:#?}"))
    };
    at(&["drill run nothing refused: "]);
    let run = at(&["drill run take done"]);
    let begins = at(&["drill:take/", "begins"]);
    let step = at(&["drill:take/", "step take: "]);
    let over = at(&["drill:take/", "step take is over"]);
    assert!(begins < step && step < over && over < said.len(), "{said:#?}");
    assert!(all[run]["from"].as_str().unwrap().starts_with("control socket"), "{said:#?}");
    assert_eq!(all[step]["from"], "drill");
}
