//! What names and records cost in memory, of the real binary (DESIGN §6).
//!
//! Measured is anonymous memory (`Pss_Anon`): what a server holds for what it loads. Pages of
//! files are shared with whatever else runs the same binary, and would make figures depend on it.
//! A debug build holds the same bytes as a release, so these are gates; seconds are not.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{fmt::Write as _, fs, time::Duration};
use support::{await_some_for, figure, scratch::Scratch, server::Server};

/// Enough that what a process holds anyway is lost in rounding: 1 MiB is 4 bytes a name.
const NAMES: u64 = 250_000;

/// DESIGN §6. A name with one address is an entry of 32 bytes, two slots of 8, and an RRset of 40:
/// 88. The rest is for what the allocator rounds up and for longer names.
const BYTES_A_NAME: u64 = 120;

/// What the old zone, the new one and the records that wait to become sets may come to at once
/// while a zone is reloaded: twice a name, a record held flat (40), and tables that grow by
/// doubling (as much as one name again, and half).
const BYTES_A_NAME_RELOADING: u64 = 2 * BYTES_A_NAME + 40 + BYTES_A_NAME * 3 / 2;

/// The allocator gives pages back over ten seconds after the last use; a busy machine gets more.
const SETTLED: Duration = Duration::from_secs(60);

/// One in twenty-five of what DESIGN §6 speaks of: 4,000 records over 100 trees of ten endpoints
/// in twenty regions.
const RECORDS: u64 = 4_000;
/// As many as there are trees.
const RECORDS_FEW: u64 = 100;

/// DESIGN §6: 100,000 records with 10,000 endpoints in 1 GB.
const BYTES_A_RECORD: u64 = 1_000_000_000 / 100_000;

const SERVER: &str = "[server]\nlisten = ['127.0.0.1:0']\n";
const HEAD: &str = "$TTL 300\n@ IN SOA ns1 host 1 2 3 4 5\n@ IN NS ns1.elsewhere.\n";

fn start(zone: &str) -> Server {
    Server::start(Scratch::with(&[("tradewind.toml", SERVER), ("zones/big.test.zone", zone)]))
}

/// A zone of [`NAMES`] names, each with an address of its own.
fn names() -> String {
    let mut zone = HEAD.to_owned();
    for n in 0..NAMES {
        writeln!(zone, "n{n:07} IN A 10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255).unwrap();
    }
    zone
}

/// The value of `key` in a file of /proc about `server`, in bytes.
fn proc(server: &Server, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/{file}", server.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

fn held(server: &Server) -> u64 {
    proc(server, "smaps_rollup", "Pss_Anon:")
}

/// Waits until what `server` holds beyond `empty` is at most `most` for each of `count`.
fn settle(server: &Server, empty: u64, count: u64, most: u64, what: &str) {
    let mut each = 0;
    let fits = || {
        each = held(server).saturating_sub(empty) / count;
        (each <= most).then_some(each)
    };
    let settled = await_some_for(SETTLED, &format!("{what} in {most} bytes each"), fits);
    figure(what, format_args!("{settled} bytes each, {most} at most"));
}

#[test]
fn names_take_120_bytes_each_and_a_reload_gives_back_what_it_took() {
    let empty = held(&start(HEAD));
    let zone = names();
    let server = start(&zone);
    settle(&server, empty, NAMES, BYTES_A_NAME, "names loaded");

    // The old zone is served until the new one stands beside it.
    server.folder.write("zones/big.test.zone", &format!("{zone}one-more IN A 192.0.2.1\n"));
    let reply = server.reload();
    assert_eq!((&reply["accepted"], &reply["unchanged"]), (&true.into(), &false.into()), "{reply}");
    let peak = proc(&server, "status", "VmHWM:");
    let peak =
        (peak.saturating_sub(proc(&server, "status", "RssFile:")).saturating_sub(empty)) / NAMES;
    figure("at most while reloading", format_args!("{peak} bytes a name"));
    assert!(peak <= BYTES_A_NAME_RELOADING, "{peak}");
    settle(&server, empty, NAMES, BYTES_A_NAME, "names reloaded");
}

/// 100 trees of five pools, two endpoints each, and so many records over them.
fn steered(records: u64) -> String {
    let mut zone = String::from("zone = 'big.test'\nns = ['ns1.elsewhere']\ncheck = 'none'\n");
    for tree in 0..100 {
        for pool in 0..5 {
            let (region, n) = ((tree + 2 * pool) % REGIONS.len(), tree * 5 + pool);
            let (a, b) = (n >> 8, n & 255);
            writeln!(
                zone,
                "[pools.p{tree}-{pool}]\nregion = '{}'\nendpoints = [\
                 {{ name = 'a', ipv4 = '127.1.{a}.{b}' }}, {{ name = 'b', ipv4 = '127.2.{a}.{b}' }}]",
                REGIONS[region]
            )
            .unwrap();
        }
        let policy = ["weighted", "failover", "latency"][tree % 3];
        let members: Vec<String> = (0..5).map(|pool| format!("'p{tree}-{pool}'")).collect();
        let members = members.join(", ");
        writeln!(zone, "[policies.t{tree}]\npolicy = '{policy}'\nmembers = [{members}]").unwrap();
    }
    for record in 0..records {
        let tree = record % 100;
        writeln!(zone, "[records.r{record}]\npolicy = 'weighted'\nmembers = ['t{tree}']").unwrap();
    }
    zone
}

const REGIONS: [&str; 20] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "sa-east-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-central-1",
    "eu-north-1",
    "eu-south-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-east-1",
    "af-south-1",
    "me-south-1",
];

#[test]
fn steered_records_take_10_kilobytes_each() {
    let mut server = SERVER.to_owned();
    for region in REGIONS {
        writeln!(server, "[regions.{region}]\ncloud = 'aws:{region}'").unwrap();
    }
    let serving = |records| {
        let zone = steered(records);
        Server::start(Scratch::with(&[("tradewind.toml", &server), ("zones/big.test.toml", &zone)]))
    };
    // Trees, maps and the location table are there with few records as with many.
    let few = held(&serving(RECORDS_FEW));
    let count = RECORDS - RECORDS_FEW;
    settle(&serving(RECORDS), few, count, BYTES_A_RECORD, "steered records");
}
