//! Looking ahead, end to end: what a plan says, what it refuses to be applied to, and what comes of
//! a region that is supposed to be lost. Nothing of it disturbs the server.

mod support;

use hickory_proto::rr::RecordType;
use serde_json::Value;
use std::fs;
use support::{await_some, dns, plain, server::Server, site};

const RULE: &str = r#"
[[safety]]
name = "two-regions"
records = ["gtm.example/www"]
min_active_regions = 2
"#;

const ZONE: &str = r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
check  = "none"
ttl    = "20s"
static = """
ns1  60 IN A 127.0.0.53
old  60 IN TXT "old"
"""
[pools.iad]
region = "us"
endpoints = [{ name = "iad-1", ipv4 = "192.0.2.1", ipv6 = "2001:db8::1" }]
[pools.dub]
region = "eu"
capacity = 0.4
endpoints = [{ name = "dub-1", ipv4 = "198.51.100.1" }]
[policies.near]
policy  = "latency"
members = ["iad", "dub"]
[records.www]
policy  = "weighted"
members = [{ pool = "iad", weight = 90 }, { pool = "dub", weight = 10 }]
[records.api]
policy  = "weighted"
members = [{ policy = "near", weight = 1 }]
[records.app]
policy   = "failover"
members  = ["iad", "dub"]
failover = "manual"
"#;

fn serve(rules: &str) -> Server {
    Server::start(plain::folder_of(rules, ZONE))
}

/// What a command prints that ends with `code`.
#[track_caller]
fn told(server: &Server, command: &str, args: &[&str], code: i32) -> String {
    plain::exits(&server.cli(command, args), code)
}

#[track_caller]
fn json(server: &Server, command: &str, args: &[&str], code: i32) -> Value {
    let done = server.cli(command, args);
    plain::exits(&done, code);
    plain::json(&done)
}

fn swap(server: &Server) -> Value {
    server.control_request("GET", "/v1/status").1["swap"].clone()
}

/// Everything that can change, changed.
fn edited() -> String {
    ZONE.replace("weight = 90", "weight = 50")
        .replace("old  60 IN TXT \"old\"", "new  60 IN TXT \"new\"")
        .replace("ipv4 = \"198.51.100.1\"", "ipv4 = \"198.51.100.2\"")
        .replace(
            "members = [\"iad\", \"dub\"]\n[records.www]",
            "members = [\"dub\", \"iad\"]\nbias = { dub = \"-60ms\" }\n[records.www]",
        )
        .replace("failover = \"manual\"", "")
        + "[records.more]\npolicy = \"weighted\"\nmembers = [{ pool = \"dub\", weight = 1 }]\nttl = \"5s\"\n"
}

#[test]
fn a_plan_names_every_change_and_who_moves_and_changes_nothing() {
    let server = serve("");
    assert!(told(&server, "plan", &[], 0).contains("no changes"));
    server.folder.write("zones/gtm.example.toml", &edited());
    let before = swap(&server);
    let said = told(&server, "plan", &[], 10);
    for line in [
        "~ record gtm.example/www",
        "    ~ member iad: weight 90 → 50",
        "~ record gtm.example/app",
        "    ~ failover manual → auto",
        "+ record gtm.example/more",
        "~ pool gtm.example/dub",
        "    ~ endpoint dub-1: address 198.51.100.1 → 198.51.100.2",
        "- static old.gtm.example TXT",
        "+ static new.gtm.example TXT",
        "by known address space, not by traffic",
        "expected round trip: ",
        "of AAAA queries get NODATA",
        "capacity gtm.example/dub: ",
        "Base revision 1.",
    ] {
        assert!(said.contains(line), "{line} in:\n{said}");
    }
    assert_eq!(swap(&server), before, "nothing was published");
    // The same of files in another folder, which are only sent.
    let other = plain::folder_of("", &edited());
    server.folder.write("zones/gtm.example.toml", ZONE);
    // More than any other request may have.
    let many: String = (0..60_000).map(|n| format!("n{n} IN A 192.0.2.1\n")).collect();
    let many = format!("$TTL 60\n@ IN SOA ns h 1 1 1 1 60\n@ IN NS ns\nns IN A 127.0.0.53\n{many}");
    other.write("zones/many.example.zone", &many);
    let plan = json(&server, "plan", &[other.path().to_str().unwrap(), "--json"], 10);
    let paths: Vec<&Value> = plan["files"].as_array().unwrap().iter().map(|f| &f["path"]).collect();
    assert_eq!(paths, ["zones/gtm.example.toml", "zones/many.example.zone"]);
    let moved = plan["effect"]["preview"]["crowds"][0]["moved"].as_f64().unwrap();
    assert!((moved - 0.0386).abs() < 0.001, "{moved}");
    assert!(told(&server, "plan", &[], 0).contains("no changes"));
}

#[test]
fn a_plan_of_broken_files_is_none_and_nothing_of_them_is_applied() {
    let server = serve("");
    server.folder.write("zones/other.example.toml", "zone = 'other.example'\nnothing = 1\n");
    server.folder.write("zones/gtm.example.toml", &edited());
    for command in [&["plan"][..], &["apply", "--yes"]] {
        let said = told(&server, command[0], &command[1..], 3);
        assert!(said.contains("there is no plan of such files"), "{said}");
        assert!(said.contains("zones/other.example.toml"), "{said}");
    }
    let plan = json(&server, "apply", &["--yes", "--json"], 3);
    let problems = plan["problems"].as_array().unwrap();
    assert!(problems.iter().any(|problem| problem["file"] == "zones/other.example.toml"), "{plan}");
    let revisions = server.control_request("GET", "/v1/revisions").1;
    assert_eq!(revisions.as_array().unwrap().len(), 1, "{revisions}");
}

#[test]
fn what_is_applied_is_what_was_planned() {
    let server = serve("");
    let plan = server.folder.path().join("plan.json");
    let plan = plan.to_str().unwrap();
    server.folder.write("zones/gtm.example.toml", &edited());
    told(&server, "plan", &["-o", plan], 10);
    assert!(told(&server, "apply", &["--dry-run"], 10).contains("nothing was done"));
    // Nobody can be asked here.
    assert!(told(&server, "apply", &[plan], 2).contains("say --yes"));
    // The files are others than planned.
    server.folder.write("zones/gtm.example.toml", &edited().replace("50 }", "51 }"));
    // Nobody is asked to agree to what is a conflict already.
    for args in [&[plan][..], &[plan, "--yes"]] {
        assert!(told(&server, "apply", args, 4).contains("not those that were planned"));
    }
    // The world moved.
    server.reload();
    server.folder.write("zones/gtm.example.toml", &edited());
    let said = told(&server, "apply", &[plan, "--yes"], 4);
    assert!(said.contains("revision 2 is in force") && said.contains("over revision 1"), "{said}");
    told(&server, "plan", &["-o", plan], 10);
    let said = told(&server, "apply", &[plan, "--yes", "--wait", "--as", "ana"], 0);
    for line in [
        "revision 3 is in force",
        "within 20s (TTL)",
        "undo: tradewind rollback 2",
        "all 1 nodes serve",
    ] {
        assert!(said.contains(line), "{line} in:\n{said}");
    }
    let audit = told(&server, "audit", &[], 0);
    assert!(audit.contains("tradewind apply") && audit.contains("ana"), "{audit}");
    assert!(told(&server, "apply", &["--yes"], 0).contains("no changes"));
    told(&server, "apply", &["--dry-run"], 0);
    // The operator's files are others than those gone back to until somebody mends them.
    let said = told(&server, "rollback", &["2"], 0);
    assert!(said.contains("differ from revision 4 now served; the next reload"), "{said}");
    assert!(!told(&server, "rollback", &["3"], 0).contains("differ from"), "they are the same");
}

#[test]
fn safety_rules_hold_for_files_too_and_are_not_got_around_by_taking_them_away() {
    let server = serve(RULE);
    let one = ZONE.replace(
        "members = [{ pool = \"iad\", weight = 90 }, { pool = \"dub\", weight = 10 }]",
        "members = [{ pool = \"iad\", weight = 90 }]",
    );
    server.folder.write("zones/gtm.example.toml", &one);
    let said = told(&server, "plan", &[], 10);
    assert!(said.contains("breaks safety rule two-regions: gtm.example/www"), "{said}");
    assert!(told(&server, "apply", &["--yes"], 6).contains("refused by safety rule `two-regions`"));
    // A record that is gone answers from no region at all.
    let none = ZONE.split("[records.www]").next().unwrap();
    server.folder.write("zones/gtm.example.toml", none);
    let said = told(&server, "plan", &[], 10);
    assert!(said.contains("3 records removed: clients get what is left at the name"), "{said}");
    assert!(
        said.contains("breaks safety rule two-regions: gtm.example/www would be there no"),
        "{said}"
    );
    assert!(told(&server, "apply", &["--yes"], 6).contains("would be there no more"));
    server.folder.write("zones/gtm.example.toml", &one);
    server.folder.write("tradewind.toml", site::SERVER);
    assert!(told(&server, "apply", &["--yes"], 6).contains("refused by safety rule `two-regions`"));
    told(&server, "apply", &["--yes", "--break-glass"], 2);
    let said = told(&server, "apply", &["--yes", "--break-glass", "--reason", "INC-42"], 0);
    assert!(said.contains("over safety rule two-regions"), "{said}");
}

#[test]
fn a_lost_region_is_seen_before_it_is_lost() {
    let server = serve("");
    let before = swap(&server);
    let said = told(&server, "simulate", &["--down", "region:usa"], 1);
    assert!(
        said.contains("error: `region:usa` matches nothing; did you mean region:us?"),
        "{said}"
    );
    assert!(said.contains("lists what there is") && !said.contains("--even-if"), "{said}");
    let said = told(&server, "simulate", &["--down", "region:us"], 0);
    for line in [
        "supposed: down region:us",
        "us (gtm.example/iad) -> eu (gtm.example/dub)",
        "get an answer that is known to be down",
        "capacity gtm.example/dub: 49.9 % -> 100.0 % of gtm.example/api, over its 40.0 %",
        "waits: gtm.example/app stays on `iad` and waits for approval: tradewind approve",
        "noticed by no check: nothing of it has one",
    ] {
        assert!(said.contains(line), "{line} in:\n{said}");
    }
    // Several at once, and from a file; a drain of dub leaves nobody but iad.
    let file = server.folder.write(
        "changes.toml",
        "drain = [\"pool:dub\"]\nweight = [\"record:gtm.example/www iad=10\"]\n",
    );
    let file = file.to_str().unwrap();
    let both = json(&server, "simulate", &["--file", file, "--bias", "dub=-60ms", "--json"], 0);
    let regions = &both["effect"]["preview"]["crowds"][0]["regions"];
    let after = regions[0]["share"]["after"].as_f64().unwrap();
    assert!(regions[0]["region"] == "us" && (after - 1.0).abs() < 1e-9, "{regions}");
    assert_eq!(both["supposed"].as_array().unwrap().len(), 3);
    // Nearer by so much, everybody is sent there.
    let near = json(&server, "simulate", &["--bias", "dub=-400ms", "--json"], 0);
    assert_eq!(near["effect"]["preview"]["by_record"][0]["regions"][0]["region"], "eu");
    assert_eq!(near["effect"]["preview"]["records"], 1);
    assert_eq!(swap(&server), before, "nothing was published");
    for (args, code) in [
        (&["--down", "region:mars"][..], 1),
        (&["--bias", "mars=5ms"], 1),
        (&["--down", "mars"], 2),
        (&[], 2),
        (&["--weights", "observed", "--down", "region:us"], 2),
        (&["--weights", "/nowhere", "--down", "region:us"], 2),
    ] {
        told(&server, "simulate", args, code);
    }
    assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 2);
}

#[test]
fn clients_who_asked_are_weighed_once_a_thousand_of_them_were_seen() {
    let server = serve("[querylog]\nsample = \"1/1\"\n");
    // One in four asks for a network that is nearer to Washington.
    let networks = ["192.5.6.0/24", "193.0.6.0/24", "193.0.7.0/24", "193.0.10.0/24"];
    let regions: Vec<Value> = networks
        .iter()
        .map(|network| {
            let client = network.split('/').next().unwrap();
            let said =
                json(&server, "explain", &["api.gtm.example", "--client", client, "--json"], 0);
            said["steering"]["answers"][0]["records"][0].clone()
        })
        .collect();
    assert_eq!(regions, ["192.0.2.1", "198.51.100.1", "198.51.100.1", "198.51.100.1"]);
    let ask = |count: usize| {
        for number in 0..count {
            let network = networks[number % networks.len()];
            dns::ask(server.udp(), "api.gtm.example", RecordType::A, network);
            dns::ask(server.udp(), "www.gtm.example", RecordType::A, network);
        }
    };
    let nearer = "members = [\"iad\", \"dub\"]\nbias = { dub = \"-400ms\" }\n[records.www]";
    let nearer = ZONE.replace("members = [\"iad\", \"dub\"]\n[records.www]", nearer);
    server.folder.write("zones/gtm.example.toml", &nearer);
    // What asks for others counts for nothing. No more at once than wait to be taken in.
    let planned = || server.cli("plan", &["--weights", "observed", "--json"]);
    for seen in [240, 480, 720, 960] {
        ask(240);
        await_some(&format!("{seen} samples"), || {
            let said = plain::exits(&planned(), 2);
            said.contains(&format!("only {seen} of the queries")).then_some(())
        });
    }
    let said = told(&server, "plan", &["--weights", "observed"], 2);
    assert!(
        said.contains("1000 are needed") && said.contains("--weights space or a file"),
        "{said}"
    );
    ask(240);
    let plan = await_some("1,200 samples", || {
        let plan: Value = serde_json::from_slice(&planned().stdout).ok()?;
        let by = plan["effect"]["preview"]["by"].as_str()?;
        by.starts_with("1200 sampled queries of ").then(|| plan.clone())
    });
    let crowd = &plan["effect"]["preview"]["crowds"][0];
    let moved = crowd["moved"].as_f64().unwrap();
    assert!((moved - 0.25).abs() < 1e-9, "{crowd}");
    let said = told(&server, "plan", &["--weights", "observed"], 10);
    assert!(said.contains("1200 sampled queries of ") && said.contains(" 25.0 %"), "{said}");
    // By address space it is another share, of other clients.
    let space = json(&server, "plan", &["--json"], 10);
    let space = space["effect"]["preview"]["crowds"][0]["moved"].as_f64().unwrap();
    assert!((space - moved).abs() > 0.1, "{space}");
    // By their resolver, which nobody can place, half of them are sent to either.
    let blind = ZONE.replace("[records.api]\n", "[records.api]\necs = \"ignore\"\n");
    server.folder.write("zones/gtm.example.toml", &blind);
    let plan = json(&server, "plan", &["--weights", "observed", "--json"], 10);
    let moved = plan["effect"]["preview"]["crowds"][0]["moved"].as_f64().unwrap();
    assert!((moved - 0.5).abs() < 1e-9, "{plan}");
}
