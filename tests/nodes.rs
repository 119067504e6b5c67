//! Servers for the same zones, without a cluster: a change goes to all of them, what one did and
//! another did not is said with the way back, and `status` names where they differ.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
    thread,
    time::Duration,
};
use support::{
    await_some, free_address,
    https::{Authority, Client},
    plain::exits,
    scratch::Scratch,
    server::{BINARY, Server, cli},
};
use tradewind::clock::{Clock, SystemClock};

const ZONE: &str = r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
ttl    = "20s"
static = "ns1 60 IN A 127.0.0.53"
[pools.iad]
region = "us"
endpoints = [{ name = "iad-1", ipv4 = "192.0.2.1" }]
[pools.dub]
region = "eu"
endpoints = [{ name = "dub-1", ipv4 = "198.51.100.1" }]
[records.app]
policy   = "failover"
members  = ["iad", "dub"]
failback = "manual"
"#;

const TLS: &str = "tls = { cert = \"secrets/cert.pem\", key = \"secrets/key.pem\" }\n";

const REGIONS: &str = "[regions.us]\ncloud = \"aws:us-east-1\"\n\
                       [regions.eu]\ncloud = \"aws:eu-west-1\"\n";

/// The files of `number` servers, each with the others as its peers.
fn folders(number: usize) -> Vec<Scratch> {
    folders_by(number, None)
}

/// The same, who speak over TLS with certificates of `authority`, if there is one.
fn folders_by(number: usize, authority: Option<&Authority>) -> Vec<Scratch> {
    let at: Vec<SocketAddr> =
        (0..number).map(|n| free_address(format!("127.0.0.{}", 61 + n).parse().unwrap())).collect();
    let made = cli(&["token", "new", "ops", "--role", "admin", "--forever", "--json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let folder = |own: usize| {
        let peers = (0..number).filter(|n| *n != own).map(|n| {
            let (name, at) = (format!("ns{}", n + 1), at[n]);
            let (scheme, ca) = match authority {
                Some(_) => ("https", ", ca_file = \"secrets/ca.pem\""),
                None => ("http", ""),
            };
            let admin = format!("{scheme}://{at}");
            format!(
                "{{ name = \"{name}\", admin = \"{admin}\", token_file = \"secrets/token\"{ca} }}"
            )
        });
        let peers: Vec<String> = peers.collect();
        let server = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"{}\"\n\
             tokens_file = \"secrets/tokens\"\n{}peers = [{}]\n{REGIONS}",
            at[own],
            authority.map_or("", |_| TLS),
            peers.join(", ")
        );
        let folder = Scratch::with(&[
            ("tradewind.toml", &server),
            ("zones/gtm.example.toml", ZONE),
            ("secrets/tokens", made["line"].as_str().unwrap()),
            ("secrets/token", made["token"].as_str().unwrap()),
        ]);
        for secret in ["secrets/tokens", "secrets/token"] {
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(folder.path().join(secret), mode).unwrap();
        }
        if let Some(authority) = authority {
            authority.certify(&folder, &at[own].ip().to_string());
            folder.write("secrets/ca.pem", &authority.pem());
        }
        folder
    };
    (0..number).map(folder).collect()
}

/// Runs a command line as it was printed, through a shell.
fn typed(line: &str) -> Output {
    let line = line.replacen("tradewind", BINARY, 1);
    Command::new("sh").args(["-c", &line]).output().unwrap()
}

fn overrides(server: &Server) -> Vec<String> {
    let list = server.control_request("GET", "/v1/hand").1;
    let lines = list["overrides"].as_array().unwrap().iter();
    lines.map(|line| line["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_change_goes_to_all_and_what_one_missed_is_said_with_the_way_back() {
    let mut servers: Vec<Server> = folders(3).into_iter().map(Server::start).collect();
    let said = exits(&servers[0].cli("status", &[]), 0);
    assert!(said.contains("peer ns2: in step") && said.contains("peer ns3: in step"), "{said}");
    // Told to one, done on all, and undone on all by one line.
    let said = exits(&servers[0].cli("drain", &["region:us", "--reason", "INC 42"]), 0);
    for name in ["here:", "ns2:", "ns3:"] {
        assert!(said.contains(name), "{said}");
    }
    for server in &servers {
        assert_eq!(overrides(server), ["drain region:us"]);
    }
    let undo = said.lines().find_map(|line| line.strip_prefix("undo: ")).unwrap().to_owned();
    exits(&typed(&undo), 0);
    for server in &servers {
        assert!(overrides(server).is_empty());
    }
    // From another one, by the token's name.
    let entries = servers[1].control_request("GET", "/v1/audit?target=region:us").1;
    let entry = &entries["entries"][0];
    assert_eq!((&entry["who"], &entry["reason"]), (&"token ops".into(), &"INC 42".into()));
    assert!(entry["from"].as_str().unwrap().starts_with("127.0.0."), "{entry}");

    // One is killed in between.
    let killed = servers.pop().unwrap().kill();
    let said = exits(&servers[0].cli("drain", &["region:us"]), 5);
    assert!(said.contains("ns3: not done"), "{said}");
    assert!(said.contains(" drain ") && said.contains("--node ns3"), "{said}");
    assert_eq!(overrides(&servers[1]), ["drain region:us"]);
    let status = exits(&servers[0].cli("status", &[]), 1);
    assert!(status.contains("peer ns2: in step"), "{status}");
    assert!(status.contains("peer ns3: "), "{status}");
    // It comes back without, which is named; then both ways out work as they were printed.
    let back = Server::start(killed);
    let status = exits(&servers[0].cli("status", &[]), 1);
    assert!(status.contains("peer ns3: only here: drain region:us"), "{status}");
    let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let finish = lines.iter().find(|line| line.contains("--node ns3")).unwrap();
    exits(&typed(finish), 0);
    assert_eq!(overrides(&back), ["drain region:us"]);
    for line in lines.iter().filter(|line| line.contains("undrain")) {
        exits(&typed(line), 0);
    }
    assert!(overrides(&servers[0]).is_empty() && overrides(&servers[1]).is_empty());
    assert_eq!(overrides(&back), ["drain region:us"], "what was not part of it stays");
    exits(&back.cli("undrain", &["region:us", "--node", "here"]), 0);
}

#[test]
fn a_pin_is_told_of_each_server_as_any_other_change() {
    let mut servers: Vec<Server> = folders(2).into_iter().map(Server::start).collect();
    exits(&servers[0].cli("drain", &["region:us", "--node", "here"]), 0);
    let said = exits(&servers[0].cli("pin", &[]), 0);
    let heads = |said: &str| said.lines().filter(|line| line.ends_with(':')).count();
    assert_eq!(heads(&said), 2, "{said}");
    let said = exits(&servers[0].cli("unpin", &[]), 0);
    let (_, here) = said.split_once("here:\n").unwrap();
    let (here, there) = here.split_once("ns2:\n").unwrap();
    // Each by its own number.
    assert!(here.contains("#2") && there.contains("#1"), "{said}");
    // Only the file here, and only an override there.
    exits(&servers[0].cli("pin", &["--node", "ns2"]), 0);
    servers[0].folder.write("state/PIN", "by hand\n");
    let said = exits(&servers[0].cli("unpin", &[]), 0);
    let (here, there) = said.split_once("ns2:\n").unwrap();
    assert!(here.contains("here:\nremoved ") && there.contains("#"), "{said}");
    let killed = servers.pop().unwrap().kill();
    let said = exits(&servers[0].cli("pin", &[]), 5);
    assert!(said.contains("ns2: not done") && said.contains(" pin "), "{said}");
    assert!(
        said.contains("To do it where it was not done") && said.contains("--node ns2"),
        "{said}"
    );
    drop(killed);
}

#[test]
fn what_is_forbidden_here_is_begun_nowhere_and_one_that_is_down_here_stops_nobody() {
    let servers: Vec<Server> = folders(2).into_iter().map(Server::start).collect();
    exits(&servers[0].cli("drain", &["region:none"]), 1);
    assert!(overrides(&servers[0]).is_empty() && overrides(&servers[1]).is_empty());
    exits(&servers[0].cli("hold", &["record:gtm.example/app", "--node", "ns9"]), 2);
    exits(&servers[0].cli("hold", &["record:gtm.example/app", "--node", "ns2"]), 0);
    assert!(overrides(&servers[0]).is_empty());
    assert_eq!(overrides(&servers[1]), ["hold record:gtm.example/app"]);
    // A failover that stands elsewhere there.
    exits(&servers[1].cli("unhold", &["record:gtm.example/app", "--node", "here"]), 0);
    let there = ["record:gtm.example/app", "--to", "dub", "--node", "ns2"];
    exits(&servers[0].cli("failover", &there), 0);
    let output = servers[0].cli("status", &["--json"]);
    exits(&output, 1);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let differs = status["peers"][0]["differs"].to_string();
    assert!(differs.contains("failover gtm.example/app: iad here, dub there"), "{differs}");
    let mut servers = servers.into_iter();
    let (down, up) = (servers.next().unwrap().kill(), servers.next().unwrap());
    let dir = down.path().to_str().unwrap();
    let said = exits(&cli(&["drain", "region:eu", "-C", dir]), 5);
    assert!(said.contains("here: not done") && said.contains("ns2:"), "{said}");
    assert!(overrides(&up).contains(&"drain region:eu".to_owned()));
}

#[test]
fn a_server_file_that_hides_a_peer_lets_no_change_pass_it_by() {
    let servers: Vec<Server> = folders(2).into_iter().map(Server::start).collect();
    let folder = &servers[0].folder;
    let good = fs::read_to_string(folder.path().join("tradewind.toml")).unwrap();
    // Not TOML; a peer without its address.
    for bad in
        [good.replacen("peers = [", "peers = ", 1), good.replacen(", admin = ", ", adm = ", 1)]
    {
        assert_ne!(bad, good);
        folder.write("tradewind.toml", &bad);
        for command in [&["drain", "region:us"][..], &["pin"], &["reload"], &["apply", "--yes"]] {
            let said = exits(&servers[0].cli(command[0], &command[1..]), 3);
            assert!(said.contains("tradewind.toml:5:"), "{said}");
        }
        exits(&servers[0].cli("drain", &["region:us", "--node", "ns2"]), 3);
        assert!(overrides(&servers[0]).is_empty() && overrides(&servers[1]).is_empty());
        // Whoever says which is meant is heard, and told; so is whoever only looks.
        let said = exits(&servers[0].cli("drain", &["region:us", "--node", "here"]), 0);
        assert!(said.contains("warning: ") && said.contains("--node here"), "{said}");
        assert_eq!(overrides(&servers[0]), ["drain region:us"]);
        let said = exits(&servers[0].cli("undrain", &["region:us", "--node", "here"]), 0);
        assert!(said.contains("warning: "), "{said}");
        let said = exits(&servers[0].cli("overrides", &[]), 0);
        assert!(said.contains("warning: "), "{said}");
    }
}

#[test]
fn other_files_are_a_difference_and_what_each_says_of_itself_is_none() {
    let servers: Vec<Server> = folders(2).into_iter().map(Server::start).collect();
    let peers = || servers[0].control_request("GET", "/v1/status").1["peers"].clone();
    await_some("both in step", || (peers()[0]["in_step"] == true).then_some(()));
    assert_eq!(servers[0].metric("tradewind_peer_in_step{peer=\"ns2\"}"), 1.0);
    servers[1].folder.write("zones/gtm.example.toml", &ZONE.replace("20s", "30s"));
    exits(&servers[1].cli("reload", &["--node", "here"]), 0);
    let said = exits(&servers[0].cli("status", &[]), 1);
    assert!(said.contains("peer ns2: other files: "), "{said}");
    servers[0].folder.write("zones/gtm.example.toml", &ZONE.replace("20s", "30s"));
    let said = exits(&servers[0].cli("reload", &[]), 0);
    assert!(said.contains("ns2:"), "told to all: {said}");
    exits(&servers[0].cli("status", &[]), 0);
}

#[test]
fn peers_speak_over_tls_to_whom_their_own_authority_vouches_for() {
    let authority = Authority::new();
    let servers: Vec<Server> =
        folders_by(2, Some(&authority)).into_iter().map(Server::start).collect();
    let said = exits(&servers[0].cli("status", &[]), 0);
    assert!(said.contains("peer ns2: in step"), "{said}");
    let said = exits(&servers[0].cli("drain", &["region:us", "--reason", "INC 42"]), 0);
    assert!(said.contains("here:") && said.contains("ns2:"), "{said}");
    assert_eq!(overrides(&servers[1]), ["drain region:us"]);
    // A certificate by somebody else: nothing is told to whoever shows it, the token least of all.
    servers[0].folder.write("secrets/ca.pem", &Authority::new().pem());
    exits(&servers[0].cli("reload", &["--node", "here"]), 0);
    let said = exits(&servers[0].cli("undrain", &["region:us"]), 5);
    assert!(said.contains("ns2: not done"), "{said}");
    assert_eq!(overrides(&servers[1]), ["drain region:us"]);
}

#[test]
fn what_undoes_a_reload_of_a_peer_is_for_that_peer() {
    let servers: Vec<Server> = folders(2).into_iter().map(Server::start).collect();
    // Both are at revision 2, so that a rollback to 1 could be either's.
    for server in &servers {
        server.folder.write("zones/gtm.example.toml", &ZONE.replace("20s", "30s"));
        exits(&server.cli("reload", &["--node", "here"]), 0);
    }
    let (here, there) = (hash(&servers[0]), hash(&servers[1]));
    servers[1].folder.write("zones/gtm.example.toml", &ZONE.replace("20s", "40s"));
    let said = exits(&servers[0].cli("reload", &["--node", "ns2"]), 0);
    assert_ne!(hash(&servers[1]), there);
    let undo = said.lines().find_map(|line| line.strip_prefix("undo: ")).unwrap();
    assert!(undo.ends_with("--node ns2"), "{undo}");
    let said = exits(&typed(undo), 0);
    assert_eq!((hash(&servers[0]), hash(&servers[1])), (here, there));
    assert!(said.lines().any(|line| line.starts_with("undo: ") && line.ends_with("--node ns2")));
    let list = exits(&servers[0].cli("rollback", &["--node", "ns2"]), 0);
    assert!(list.contains("rollback to 2"), "{list}");
    exits(&servers[0].cli("rollback", &["1", "--dry-run", "--node", "ns2"]), 2);
}

#[test]
fn one_that_hears_and_says_nothing_may_have_done_it_and_is_not_asked_again_blindly() {
    let mut folders = folders(2);
    let other = folders.pop().unwrap();
    let text = fs::read_to_string(other.path().join("tradewind.toml")).unwrap();
    let at = text.split("admin = \"").nth(1).unwrap().split('"').next().unwrap();
    let listener = TcpListener::bind(at).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // It reads what is asked, and goes away.
            let _ = stream.read(&mut [0; 4_096]);
        }
    });
    let server = Server::start(folders.pop().unwrap());
    let said = exits(&server.cli("drain", &["region:us"]), 5);
    assert!(said.contains("ns2: not known whether it was done"), "{said}");
    let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let look = lines.iter().find(|line| line.ends_with("--node ns2")).unwrap();
    assert!(look.starts_with("tradewind overrides"), "{said}");
    assert!(!lines.iter().any(|line| line.starts_with("tradewind drain")), "{said}");
    exits(&typed(look), 5);
    let undo = lines.iter().find(|line| line.contains("undrain")).unwrap();
    exits(&typed(undo), 0);
    assert!(overrides(&server).is_empty());
}

fn hash(server: &Server) -> String {
    let facts = server.control_request("GET", "/v1/node").1;
    facts["content_hash"].as_str().unwrap().to_owned()
}

/// Lets the folder of each of `servers` hold the same files with this TTL.
fn write(servers: &[&Server], ttl: &str) {
    for server in servers {
        server.folder.write("zones/gtm.example.toml", &ZONE.replace("20s", ttl));
    }
}

#[test]
fn what_was_planned_is_loaded_on_all_and_gone_back_from_by_each_ones_own_number() {
    let servers: Vec<Server> = folders(2).into_iter().map(Server::start).collect();
    let [here, there] = &servers[..] else { panic!() };
    // Numbers are each server's own: the other one is two ahead.
    for ttl in ["25s", "20s"] {
        write(&[there], ttl);
        exits(&there.cli("reload", &["--node", "here"]), 0);
    }
    let before = hash(here);
    assert_eq!(before, hash(there));
    write(&[here, there], "30s");
    let said = exits(&here.cli("apply", &["--yes", "--wait", "--reason", "INC 42"]), 0);
    assert!(said.contains("here:") && said.contains("ns2:"), "{said}");
    assert!(said.contains("all 2 nodes serve"), "{said}");
    let after = hash(here);
    assert!(after != before && after == hash(there));
    let entries = there.control_request("GET", "/v1/audit").1;
    let newest = entries["entries"].as_array().unwrap().last().unwrap();
    assert_eq!((&newest["who"], &newest["reason"]), (&"token ops".into(), &"INC 42".into()));
    // What undoes it is for each, and undoes it there.
    let undo: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("undo: ")).collect();
    let [first, second] = undo[..] else { panic!("{said}") };
    assert!(first.contains("rollback 1 ") && first.ends_with("--node here"), "{said}");
    assert!(second.contains("rollback 3 ") && second.ends_with("--node ns2"), "{said}");
    undo.iter().for_each(|line| drop(exits(&typed(line), 0)));
    assert_eq!([hash(here), hash(there)], [before.as_str(), &before]);
    // One number, which is the folder's own server's, on all.
    let output = here.cli("rollback", &["2", "--json"]);
    exits(&output, 0);
    let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!([&outcomes["nodes"][0]["node"], &outcomes["nodes"][1]["node"]], ["here", "ns2"]);
    assert_eq!([hash(here), hash(there)], [after.as_str(), &after]);
    // One that has no such files stays, and is named.
    write(&[here], "40s");
    exits(&here.cli("apply", &["--yes", "--node", "here"]), 0);
    exits(&here.cli("rollback", &["1", "--node", "here"]), 0);
    let newest = here.control_request("GET", "/v1/revisions").1;
    let kept = newest.as_array().unwrap().iter().rev().nth(1).unwrap()["revision"].to_string();
    let said = exits(&here.cli("rollback", &[&kept]), 1);
    assert!(said.contains("ns2: not done") && said.contains("does not keep these files"), "{said}");
    assert_eq!(hash(there), after);
    exits(&here.cli("rollback", &["99"]), 3);
}

#[test]
fn what_was_planned_is_begun_nowhere_while_a_peer_would_load_something_else() {
    let servers: Vec<Server> = folders(2).into_iter().map(Server::start).collect();
    let [here, there] = &servers[..] else { panic!() };
    let before = hash(here);
    write(&[here], "30s");
    let said = exits(&here.cli("apply", &["--yes"]), 4);
    assert!(said.contains("ns2: its folder holds other files"), "{said}");
    assert!(said.contains("nothing was loaded anywhere"), "{said}");
    assert_eq!([hash(here), hash(there)], [before.as_str(), &before]);
    // They do not load there: what is secret is in no plan, and not in every folder.
    write(&[there], "30s");
    let beats = "[beats]\ntype = \"push\"\ntoken_file = \"secrets/beats\"\n";
    for folder in [&here.folder, &there.folder] {
        folder.write("healthchecks/beats.toml", beats);
    }
    let secret = here.folder.write("secrets/beats", "0123456789abcdef0123456789abcdef\n");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let said = exits(&here.cli("apply", &["--yes"]), 4);
    assert!(said.contains("ns2: the files do not load there"), "{said}");
    assert_eq!([hash(here), hash(there)], [before.as_str(), &before]);
    for folder in [&here.folder, &there.folder] {
        folder.remove("healthchecks/beats.toml");
    }
    // A first one alone; then it is another change there than what would be shown.
    exits(&here.cli("apply", &["--yes", "--node", "here"]), 0);
    let said = exits(&here.cli("apply", &["--yes"]), 4);
    assert!(said.contains("ns2: it serves other files"), "{said}");
    assert!(said.contains("tradewind apply --node ns2"), "{said}");
    exits(&here.cli("plan", &["--node", "ns2"]), 10);
    exits(&here.cli("apply", &["--yes", "--node", "ns2"]), 0);
    assert_eq!(hash(here), hash(there));
    let said = exits(&here.cli("apply", &["--yes"]), 0);
    assert!(said.contains("ns2: serves these files already"), "{said}");
}

#[test]
fn one_that_is_dead_or_stuck_is_named_and_holds_up_nobody() {
    let mut servers: Vec<Server> = folders(3).into_iter().map(Server::start).collect();
    write(&servers.iter().collect::<Vec<_>>(), "30s");
    let (dead, stuck) = (servers.pop().unwrap(), servers.pop().unwrap());
    let here = servers.pop().unwrap();
    let at = stuck.admin();
    drop(stuck.kill());
    let dead = dead.kill();
    // It takes every connection and never says a word.
    let listener = TcpListener::bind(at).unwrap();
    thread::spawn(move || listener.incoming().flatten().map(std::mem::forget).count());
    let clock = SystemClock::default();
    let begun = clock.now();
    let said = exits(&here.cli("apply", &["--yes", "--wait", "1s"]), 1);
    let took = clock.now().since(begun);
    assert!(took < Duration::from_secs(60), "{took:?}: what a peer may take is bounded");
    for name in ["ns2: not done", "ns3: not done", "error: ns2: ", "error: ns3: "] {
        assert!(said.contains(name), "{name}: {said}");
    }
    let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert!(lines.iter().any(|line| line.contains("rollback 1 ")), "{said}");
    // It comes back, and what was printed finishes it there; it loads its folder when it starts.
    let back = Server::start(dead);
    let finish = lines.iter().find(|line| line.ends_with("--node ns3")).unwrap();
    exits(&typed(finish), 0);
    assert_eq!(hash(&here), hash(&back));
}

#[test]
fn a_drain_is_waited_for_where_it_was_made() {
    let servers: Vec<Server> = folders(2).into_iter().map(Server::start).collect();
    // Nobody else is left, so that it is answered all the same, which the wait ends with.
    let args = ["region:*", "--wait", "--node", "ns2"];
    let said = exits(&servers[0].cli("drain", &args), 1);
    assert!(said.contains("not drained: 100.0 %"), "{said}");
    assert!(overrides(&servers[0]).is_empty(), "{said}");
}

#[test]
fn whoever_begins_a_rollout_on_one_of_several_says_so_by_whatever_way() {
    let folders = folders(2);
    let zone = format!(
        "{ZONE}[records.www]\npolicy = \"weighted\"\nmembers = [{{ pool = \"iad\", weight = 9 }}, \
         {{ pool = \"dub\", weight = 0, absorb = false }}]\n"
    );
    let rollout =
        "record = \"gtm.example/www\"\nmember = \"dub\"\nbake = \"1h\"\nsteps = [10, 50]\n";
    for folder in &folders {
        folder.write("zones/gtm.example.toml", &zone);
        folder.write("rollouts/www.toml", rollout);
    }
    let servers: Vec<Server> = folders.into_iter().map(Server::start).collect();
    let token = servers[0].folder.read("secrets/token");
    let client = Client::plain(&servers[0]);
    let start = |body: &str| client.post("/v1/rollouts/www/start", &token, body);
    let refused = start("{}");
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(
        refused.json()["hint"].as_str().unwrap().contains("--node here, ns2"),
        "{}",
        refused.text
    );
    assert_eq!(start("{\"only_here\":true}").status, 200);
    let begin = |args: &[&str], code: i32| {
        let dir = servers[0].folder.path().to_str().unwrap();
        exits(&cli(&[&["rollout", "start", "www", "-C", dir], args].concat()), code)
    };
    let said = begin(&[], 2);
    assert!(said.contains("--node here, ns2"), "{said}");
    begin(&["--node", "ns2"], 0);
    for server in &servers {
        let line = server.control_request("GET", "/v1/rollouts/www").1;
        assert_eq!(line["intended_share"], 0.1, "{line}");
    }
}
