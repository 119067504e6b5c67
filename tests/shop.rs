//! `examples/shop`, the complete example: it loads as it is, answers as docs/shop.md says, its
//! database waits for two people and for its replica, and its game day passes.
//!
//! What is served is a copy of the folder in which only this is changed:
//! - `listen` and `admin` have port 0, since tests run beside each other;
//! - probes go to backends of the test's own instead of 127.0.0.11 to 13, and the page of the
//!   replica has one to itself, so that it can be behind while Europe is well;
//! - the database is asked more often, where the test waits for its fall (`FAST`);
//! - clients come back to a region within seconds, where a drill looks at that (`SHORT`): with
//!   the five minutes that are written the day takes six.
//!
//! The drill itself, its budgets and the checks of what it is about are as they are written.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::rr::{RData, RecordType};
use serde_json::Value;
use std::{fs, path::Path, process::Output};
use support::{
    await_some,
    backend::{Backend, Mood},
    dns, figure,
    scratch::Scratch,
    server::{Server, cli},
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shop");
const DB: &str = "record:shop.example.com/db";
/// Clients in North America, Europe and Asia, as resolvers tell of them.
const CLIENTS: [&str; 3] = ["18.7.22.0/24", "193.0.6.0/24", "133.11.0.0/24"];

/// A file, what it says, what it says here.
type Change = (&'static str, &'static str, &'static str);
/// What was asked every two seconds is asked twice a second.
const FAST: [Change; 3] = [
    ("healthchecks/shop.toml", "interval = \"2s\"", "interval = \"500ms\""),
    ("healthchecks/shop.toml", "timeout  = \"1s\"", "timeout  = \"400ms\""),
    ("healthchecks/shop.toml", "max_latency = \"500ms\"", "max_latency = \"300ms\""),
];
const SHORT: [Change; 1] =
    [("zones/shop.example.com.toml", "ramp    = { over = \"5m\"", "ramp    = { over = \"3s\"")];

/// The shop, its regions and the page of its replica.
struct Shop {
    server: Server,
    us: Backend,
    eu: Backend,
    _ap: Backend,
    replica: Backend,
}

impl Shop {
    /// All up. Takes four hosts from `host` on.
    fn start(host: u8, changes: &[Change]) -> Shop {
        let [us, eu, ap, replica] = [0, 1, 2, 3].map(|place| Backend::start(host + place));
        let folder = Scratch::new();
        copy(Path::new(FOLDER), &folder, &|path, text| {
            let europe = if path.starts_with("healthchecks") { &replica } else { &eu };
            let mut text = text
                .replace("127.0.0.1:5300", "127.0.0.1:0")
                .replace("127.0.0.1:8053", "127.0.0.1:0")
                .replace("127.0.0.11:8080", &us.address().to_string())
                .replace("127.0.0.12:8080", &europe.address().to_string())
                .replace("127.0.0.13:8080", &ap.address().to_string());
            for (file, is, here) in changes.iter().filter(|(file, ..)| path == *file) {
                assert!(text.contains(is), "{file} says no longer `{is}`");
                text = text.replace(is, here);
            }
            text
        });
        let shop = Shop { server: Server::start(folder), us, eu, _ap: ap, replica };
        await_some("all up", || {
            let status = shop.status();
            let endpoints = status["endpoints"].as_array()?;
            let is_up = |one: &Value| one["verdict"] == "up" && one["failing"] == false;
            endpoints.iter().all(is_up).then_some(())
        });
        shop
    }

    fn status(&self) -> Value {
        self.server.control_request("GET", "/v1/status").1
    }

    /// What a command says that ends with `code`.
    #[track_caller]
    fn cli(&self, words: &[&str], code: i32) -> String {
        said(&self.run(words), code)
    }

    fn run(&self, words: &[&str]) -> Output {
        cli(&[words, &["-C", self.server.folder.path().to_str().unwrap()]].concat())
    }

    /// The records of `name` for a client, without their owners, and the highest TTL of all.
    fn answer(&self, name: &str, client: &str) -> (Vec<String>, u32) {
        let name = format!("{name}.shop.example.com");
        let message = dns::ask(self.server.udp(), &name, RecordType::A, client);
        let text = |data: &RData| data.to_string().trim_end_matches('.').to_owned();
        let records = message.answers.iter().map(|record| text(&record.data));
        (records.collect(), message.answers.iter().map(|record| record.ttl).max().unwrap_or(0))
    }

    /// How the failover of `record` stands.
    fn failover(&self, record: &str) -> Value {
        let all = self.status()["failovers"].as_array().cloned().unwrap_or_default();
        let name = format!("shop.example.com/{record}");
        all.into_iter().find(|one| one["failover"] == *name).unwrap()
    }

    fn await_wait(&self, what: &str) -> Value {
        await_some(what, || {
            let failover = self.failover("db");
            let says = failover["waits"]["what"].as_str()?.contains(what);
            says.then_some(failover)
        })
    }
}

/// Copies what an operator writes, as `change` says.
fn copy(folder: &Path, to: &Scratch, change: &dyn Fn(&str, String) -> String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let within = path.strip_prefix(FOLDER).unwrap().to_str().unwrap();
        match path.is_dir() {
            // What a server leaves behind that somebody tried there.
            true if ["state", "run"].contains(&within) => {}
            true => copy(&path, to, change),
            false => drop(to.write(within, &change(within, fs::read_to_string(&path).unwrap()))),
        }
    }
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let text = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// The region's own name is answered along with `app`, where it has one.
fn is_from(records: &[String], region: &str) -> bool {
    match region {
        "us" => records[0] == "app-us.shop.example.com" && records[1].starts_with("192.0.2."),
        "eu" => records[0] == "app-eu.shop.example.com" && records[1].starts_with("198.51.100."),
        _ => records.len() == 1 && records[0].starts_with("203.0.113."),
    }
}

#[test]
fn it_loads_as_it_is_with_its_rollouts_and_its_game_day() {
    let checked = said(&cli(&["check", "-C", FOLDER]), 0);
    assert!(checked.contains("0 errors, 0 warnings"), "{checked}");
    let shop = Shop::start(161, &[]);
    let rollouts = shop.cli(&["rollout", "list"], 0);
    assert!(rollouts.contains("shop.example.com/app-eu") && rollouts.contains("america"));
    assert!(shop.cli(&["drill", "list"], 0).contains("region-loss"));
    assert!(shop.cli(&["drill", "plan", "region-loss"], 0).contains("us-east-1"));
}

#[test]
fn the_nearest_region_answers_and_files_come_from_the_cdn() {
    let mut shop = Shop::start(165, &[]);
    for (client, region) in CLIENTS.iter().zip(["us", "eu", "ap"]) {
        for name in ["app", "www"] {
            let (records, ttl) = shop.answer(name, client);
            assert!(is_from(&records, region), "{name} for {client}: {records:?}");
            assert_eq!(ttl, 30, "{name}");
        }
        let cdn = (vec!["shop.cdn.example.net".to_owned()], 30);
        assert_eq!(shop.answer("assets", client), cdn);
        assert_eq!(shop.answer("db", client), (vec!["192.0.2.40".to_owned()], 30));
    }
    let checkout = shop.cli(&["explain", "checkout.shop.example.com", "--client", "18.7.22.1"], 0);
    assert!(checkout.contains("(the trickle)") && checkout.contains("49 %"), "{checkout}");
    // Nobody has to do anything when a region dies.
    shop.eu.stop();
    await_some("Europe to be answered from America", || {
        let (records, ttl) = shop.answer("app", CLIENTS[1]);
        // The name itself moves; what it leads to is as it was.
        (is_from(&records, "us") && ttl <= 30).then_some(())
    });
    let simulated = shop.cli(&["simulate", "--down", "region:us-east-1"], 0);
    assert!(simulated.contains("capacity shop.example.com/ap"), "{simulated}");
    assert!(is_from(&shop.answer("app", CLIENTS[2]).0, "ap"));
    shop.eu.restart();
}

#[test]
fn the_database_waits_for_its_replica_and_for_two_people() {
    let mut shop = Shop::start(169, &FAST);
    shop.replica.set(Mood::ill());
    await_some("the replica to be behind", || {
        let targets = shop.server.control_request("GET", "/v1/targets").1;
        let is = |t: &&Value| t["target"] == "check:replica-lag" && t["state"] == "down";
        targets.as_array()?.iter().find(is).map(|_| ())
    });
    shop.us.stop();
    shop.await_wait("waits for what it requires");
    let proposed = shop.cli(&["approve", DB, "--reason", "INC-42", "--as", "ana"], 10);
    assert!(proposed.contains("proposed as #1, not in effect"), "{proposed}");
    let refused =
        "as things stand it would be refused: shop.example.com/db: what the member requires";
    assert!(proposed.contains(refused), "{proposed}");
    let alone = shop.cli(&["confirm", "1", "--as", "ana"], 6);
    assert!(alone.contains("another person has to confirm it"), "{alone}");
    let refused = shop.cli(&["confirm", "1", "--as", "bo"], 4);
    assert!(refused.contains("what the member requires is not up"), "{refused}");
    assert_eq!(shop.answer("db", "").0, ["192.0.2.40"], "a second primary is worse than none");
    // `checkout` has nothing to wait for.
    let in_europe = || (shop.failover("checkout")["active"] == "eu").then_some(());
    await_some("checkout in Europe", in_europe);

    shop.replica.set(Mood::well());
    let waits = shop.await_wait("waits for approval");
    assert_eq!((&waits["active"], &waits["waits"]["to"]), (&"db-us".into(), &"db-eu".into()));
    let asked = shop.cli(&["approve"], 0);
    assert!(asked.contains("db-us -> db-eu, waits for approval"), "{asked}");
    shop.cli(&["confirm", "1", "--as", "bo"], 0);
    assert_eq!(shop.answer("db", "").0, ["198.51.100.40"]);
    // Back by itself it never goes.
    shop.us.restart();
    shop.await_wait("waits for approval");
    assert_eq!(shop.failover("db")["active"], "db-eu");
}

#[test]
fn its_game_day_passes_while_the_database_stays() {
    let shop = Shop::start(173, &SHORT);
    let ran = shop.run(&["drill", "run", "region-loss", "--yes", "--json"]);
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
    figure("game day of the shop", format!("{}: {}", report["verdict"], report["sentence"]));
    assert_eq!(report["verdict"], "PASS", "{report:#}\n{}", said(&ran, 0));
    let budgets = report["budgets"].as_array().unwrap();
    let measured = |name: &str| budgets.iter().find(|line| line["name"] == name).unwrap();
    // `app` is a name that leads to another one: its answers on the way back are chains, of one
    // side and of the other.
    assert_eq!(measured("spurious_changes")["measured"], 0.0);
    assert!(measured("recover")["measured"].as_f64().unwrap() > 3_000.0, "the ramp belongs to it");
    let told = report["approvals"].to_string();
    assert!(told.contains("shop.example.com/db"), "who waited for people is told: {told}");
    assert_eq!(shop.failover("db")["active"], "db-us");
    assert_eq!(shop.answer("db", "").0, ["192.0.2.40"]);
}

#[test]
fn who_approves_in_the_middle_of_the_game_day_is_not_overruled_when_it_is_aborted() {
    let shop = Shop::start(177, &[FAST.as_slice(), &SHORT].concat());
    shop.cli(&["drill", "run", "region-loss", "--yes", "--detach"], 0);
    shop.await_wait("waits for approval");
    let in_europe = || (shop.failover("checkout")["active"] == "eu").then_some(());
    await_some("checkout in Europe", in_europe);
    shop.cli(&["approve", DB, "--as", "ana"], 10);
    shop.cli(&["confirm", "1", "--as", "bo"], 0);
    assert_eq!(shop.failover("db")["active"], "db-eu");

    shop.cli(&["drill", "abort"], 0);
    let over = || shop.server.control_request("GET", "/v1/drills/running").1.is_null();
    await_some("the end of the drill", || over().then_some(()));
    let report = shop.server.control_request("GET", "/v1/drills/region-loss/report").1;
    assert_eq!(report["verdict"], "ABORTED", "{}", report["sentence"]);
    assert_eq!(shop.failover("checkout")["active"], "us", "the drill moved it: {report:#}");
    assert_eq!(shop.failover("db")["active"], "db-eu", "people moved it");
    assert!(shop.failover("db")["waits"]["by_approval"].as_bool().unwrap_or(true));
    let hand = shop.server.control_request("GET", "/v1/hand").1;
    assert_eq!(hand["proposals"].as_array().map_or(0, Vec::len), 0, "nothing is left: {hand}");
}
