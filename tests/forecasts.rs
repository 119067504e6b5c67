//! What a look ahead says is what clients then get: its shares against the tally of real queries
//! over real packets, drawn by the weights it was asked for.
//!
//! A million queries in an optimised build, a twentieth of that otherwise. Draws are seeded, the
//! server's dice are not: each comparison may fail by chance once in a thousand, which is why there
//! are few.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "the figures are what one runs it for")]

mod support;

use hickory_proto::rr::RecordType;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};
use support::{
    load::{Ask, ask_all},
    plain,
    server::Server,
};
use tradewind::{clock::mix, place::embedded};

/// Queries in all.
const QUERIES: usize = if cfg!(debug_assertions) { 48_000 } else { 1_000_000 };
/// Tallies they are divided over.
const TALLIES: usize = 4;

const THIRD: &str = "[regions.ap]\ncloud = \"aws:ap-northeast-1\"\n";

const ZONE: &str = r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
check  = "none"
ttl    = "20s"
static = "ns1 60 IN A 127.0.0.53"
[pools.us]
region = "us"
endpoints = [{ name = "u1", ipv4 = "192.0.2.1" }, { name = "u2", ipv4 = "192.0.2.2" }]
[pools.eu]
region = "eu"
endpoints = [{ name = "e1", ipv4 = "192.0.2.11" }]
[pools.ap]
region = "ap"
endpoints = [{ name = "a1", ipv4 = "192.0.2.21" }]
[records.weighted]
policy  = "weighted"
members = [{ pool = "us", weight = 70 }, { pool = "eu", weight = 20 }, { pool = "ap", weight = 10, absorb = false }]
[records.geo]
policy  = "geo"
rules   = [{ match = ["continent:EU"], use = ["eu"] }, { match = ["country:JP", "continent:OC"], use = ["ap"] }, { match = ["*"], use = ["us", "eu"] }]
[records.latency]
policy  = "latency"
members = ["us", "eu", "ap"]
[records.failover]
policy  = "failover"
members = ["us", "eu", "ap"]
[policies.near]
policy  = "latency"
members = ["us", "eu", "ap"]
tie     = "10ms"
[policies.turn]
policy  = "weighted"
members = [{ pool = "eu", weight = 2 }, { pool = "ap", weight = 1 }]
[records.nested]
policy  = "weighted"
members = [{ policy = "near", weight = 3 }, { policy = "turn", weight = 1 }]
"#;

const RECORDS: [&str; 5] = ["weighted", "geo", "latency", "failover", "nested"];

/// A seeded number.
fn random(seed: u64) -> u64 {
    mix(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x51)
}

/// Clients to be drawn.
enum Clients {
    /// Any address that the location data know, each as likely as another.
    Space,
    /// These networks, by their weights, which are sums so far.
    Networks(Vec<(String, f64)>),
}

impl Clients {
    /// Six hundred networks of all the world with weights from one to a hundred, and the file
    /// that says so.
    fn networks() -> (Clients, String) {
        let (mut text, mut sum, mut networks) = ("network,weight\n".to_owned(), 0.0, Vec::new());
        for n in 0..600 {
            let net = format!("{}/24", cut(known_address(n)));
            let weight = 1.0 + (random(n ^ 0xABCD) % 100) as f64;
            text += &format!("{net},{weight}\n");
            sum += weight;
            networks.push((net, sum));
        }
        (Clients::Networks(networks), text)
    }

    fn draw(&self, n: u64) -> String {
        match self {
            Clients::Space => format!("{}/24", cut(known_address(n))),
            Clients::Networks(networks) => {
                let all = networks.last().unwrap().1;
                let at = random(n) as f64 / u64::MAX as f64 * all;
                let at = networks.partition_point(|(_, sum)| *sum <= at).min(networks.len() - 1);
                networks[at].0.clone()
            }
        }
    }
}

fn cut(ip: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(ip.to_bits() & !0xFF)
}

/// The `n`-th of addresses drawn from all that the embedded table knows.
fn known_address(n: u64) -> Ipv4Addr {
    let table = embedded::table();
    let tries = (0..).map(|attempt| Ipv4Addr::from_bits(random(n * 1_000 + attempt) as u32));
    tries.into_iter().find(|ip| table.lookup(IpAddr::V4(*ip)).is_some()).unwrap()
}

fn country(client: &str) -> String {
    let net: ipnet::IpNet = client.parse().unwrap();
    let found = embedded::table().lookup(net.addr()).and_then(|(_, at)| at.country);
    found.map_or_else(|| "??".to_owned(), |country| country.to_string())
}

fn region(address: IpAddr) -> &'static str {
    match address.to_string().as_str() {
        "192.0.2.1" | "192.0.2.2" => "us",
        "192.0.2.11" => "eu",
        "192.0.2.21" => "ap",
        other => panic!("{other}"),
    }
}

/// Real answers, by record and region, and by country and region.
#[derive(Default)]
struct Tally {
    by_record: BTreeMap<(String, String), u64>,
    by_country: BTreeMap<(String, String), u64>,
    queries: u64,
}

fn tally(server: &Server, clients: &Clients, seed: u64) -> Tally {
    let count = QUERIES / TALLIES;
    let drawn: Vec<String> = (0..count as u64).map(|n| clients.draw(seed + n)).collect();
    let countries: Vec<String> = drawn.iter().map(|client| country(client)).collect();
    let record = |n: usize| RECORDS[n % RECORDS.len()];
    let questions = drawn
        .iter()
        .enumerate()
        .map(|(n, client)| Ask::new(&format!("{}.gtm.example", record(n)), RecordType::A, client));
    let mut tally = Tally::default();
    ask_all(server.udp(), questions, |n, answer| {
        let region = region(answer.address()).to_owned();
        *tally.by_record.entry((record(n).to_owned(), region.clone())).or_default() += 1;
        *tally.by_country.entry((countries[n].clone(), region)).or_default() += 1;
        tally.queries += 1;
    });
    tally
}

/// Whether counts are what shares say: χ² over all cells, p > 0.001 (Wilson and Hilferty's
/// approximation: its cube root is nearly normal).
#[track_caller]
fn agree(what: &str, cells: &[(String, f64, u64)], groups: usize) {
    let all: u64 = cells.iter().map(|(_, _, observed)| observed).sum();
    let mut chi = 0.0;
    let mut used = 0;
    // Cells too rare for the method are one.
    let mut rare = (0.0, 0);
    for (cell, expected, observed) in cells {
        if *expected < 1e-9 {
            assert_eq!(*observed, 0, "{what}: {cell} is not expected at all");
        } else if *expected < 5.0 {
            rare = (rare.0 + expected, rare.1 + observed);
        } else {
            chi += (*observed as f64 - expected).powi(2) / expected;
            used += 1;
        }
    }
    if rare.0 >= 5.0 {
        chi += (rare.1 as f64 - rare.0).powi(2) / rare.0;
        used += 1;
    }
    let free = (used - groups) as f64;
    let z = ((chi / free).cbrt() - (1.0 - 2.0 / (9.0 * free))) / (2.0 / (9.0 * free)).sqrt();
    eprintln!("{what}: chi² {chi:.1} over {used} cells ({free} free), z {z:+.2}, n {all}");
    // p > 0.001, one-sided.
    assert!(z < 3.09, "{what}: {cells:?}");
}

/// Compares `tally` with one side (`before` or `after`) of a preview.
#[track_caller]
fn holds(what: &str, preview: &Value, side: &str, tally: &Tally) {
    let each = tally.queries as f64 / RECORDS.len() as f64;
    let shares = |of: &Value| -> BTreeMap<String, f64> {
        let regions = of["regions"].as_array().unwrap().iter();
        let share = |line: &Value| line["share"][side].as_f64().unwrap();
        regions.map(|l| (l["region"].as_str().unwrap().to_owned(), share(l))).collect()
    };
    let mut cells = Vec::new();
    for record in RECORDS {
        let lines = preview["by_record"].as_array().unwrap();
        let line = lines.iter().find(|line| line["record"] == format!("gtm.example/{record}"));
        let shares = shares(line.unwrap_or_else(|| panic!("{record} moves: {preview}")));
        for region in ["us", "eu", "ap"] {
            let share = shares.get(region).copied().unwrap_or(0.0);
            let key = (record.to_owned(), region.to_owned());
            let observed = tally.by_record.get(&key).copied().unwrap_or(0);
            cells.push((format!("{record} {region}"), share * each, observed));
        }
    }
    agree(&format!("{what}, by record, {side}"), &cells, RECORDS.len());

    let countries = preview["crowds"][0]["countries"].as_array().unwrap();
    let named: Vec<&str> = countries.iter().filter_map(|line| line["country"].as_str()).collect();
    let mut cells = Vec::new();
    for line in countries {
        let name = line["country"].as_str();
        let clients = line["clients"].as_f64().unwrap();
        let shares = shares(line);
        for region in ["us", "eu", "ap"] {
            let is_of = |country: &str| match name {
                Some(name) => country == name,
                None => !named.contains(&country),
            };
            let found = tally.by_country.iter();
            let found = found.filter(|((country, at), _)| is_of(country) && at == region);
            let observed = found.map(|(_, count)| count).sum();
            let share = clients * shares.get(region).copied().unwrap_or(0.0);
            let cell = format!("{} {region}", name.unwrap_or("rest"));
            cells.push((cell, share * tally.queries as f64, observed));
        }
    }
    agree(&format!("{what}, by country, {side}"), &cells, 1);
}

fn serve() -> Server {
    Server::start(plain::folder_of(THIRD, ZONE))
}

fn json(server: &Server, command: &str, args: &[&str], code: i32) -> Value {
    let done = server.cli(command, args);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{errors}");
    serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[test]
fn a_lost_region_sends_clients_where_simulate_said_by_address_space() {
    let server = serve();
    let said = json(&server, "simulate", &["--down", "region:us", "--json"], 0);
    let preview = &said["effect"]["preview"];
    assert_eq!(preview["by"], "known address space");
    holds("space", preview, "before", &tally(&server, &Clients::Space, 1 << 40));
    assert!(server.cli("force", &["region:us", "down"]).status.success());
    holds("space", preview, "after", &tally(&server, &Clients::Space, 2 << 40));
}

#[test]
fn other_files_send_clients_where_plan_said_by_weights_of_a_file() {
    let server = serve();
    let (clients, file) = Clients::networks();
    let weights = server.folder.write("clients.csv", &file);
    // Every record changes, and with it the maps of those that look at clients.
    let changed = ZONE
        .replace("weight = 70", "weight = 35")
        .replace("\"country:JP\", \"continent:OC\"", "\"continent:AS\"")
        .replace(
            "members = [\"us\", \"eu\", \"ap\"]\n[policies",
            "members = [\"eu\", \"ap\"]\n[policies",
        )
        .replace("policy  = \"latency\"", "policy  = \"latency\"\nbias    = { eu = \"-40ms\" }");
    server.folder.write("zones/gtm.example.toml", &changed);
    let weights = weights.to_str().unwrap();
    let said = json(&server, "plan", &["--weights", weights, "--json"], 10);
    let preview = &said["effect"]["preview"];
    holds("file", preview, "before", &tally(&server, &clients, 3 << 40));
    json(&server, "apply", &["--yes", "--json"], 0);
    holds("file", preview, "after", &tally(&server, &clients, 4 << 40));
}
