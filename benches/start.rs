//! What a large installation takes to start, and to hold: 100,000 steered records over 1,000 trees
//! and 10,000 endpoints in 20 regions. Both figures are promises, and asserted.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and speaks")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{fmt::Write as _, fs, time::Duration};
use support::{
    load::{Ask, first_answer},
    scratch::Scratch,
    server::Server,
};
use tradewind::clock::{Clock, SystemClock};

const ZONES: usize = 10;
const TREES_A_ZONE: usize = 100;
const RECORDS_A_ZONE: usize = 10_000;
/// From the start of the process to the first right answer; of so many starts the median.
const STARTED_IN: Duration = Duration::from_secs(5);
const STARTS: usize = 3;
/// At the most, while it starts.
const BYTES: u64 = 1_000_000_000;

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

/// Trees of five pools in five regions, two endpoints each; by turns weighted, failover, latency.
fn zone(number: usize) -> String {
    let mut zone = format!("zone = 'z{number}.test'\nns = ['ns1.elsewhere']\ncheck = 'none'\n");
    for tree in 0..TREES_A_ZONE {
        for pool in 0..5 {
            let n = (number * TREES_A_ZONE + tree) * 5 + pool;
            let (region, a, b) = (REGIONS[(tree + 4 * pool) % REGIONS.len()], n >> 8, n & 255);
            writeln!(
                zone,
                "[pools.p{tree}-{pool}]\nregion = '{region}'\nendpoints = [\
                 {{ name = 'a', ipv4 = '127.1.{a}.{b}' }}, {{ name = 'b', ipv4 = '127.2.{a}.{b}' }}]"
            )
            .unwrap();
        }
        let policy = ["weighted", "failover", "latency"][tree % 3];
        let members: Vec<String> = (0..5).map(|pool| format!("'p{tree}-{pool}'")).collect();
        let members = members.join(", ");
        writeln!(zone, "[policies.t{tree}]\npolicy = '{policy}'\nmembers = [{members}]").unwrap();
    }
    for record in 0..RECORDS_A_ZONE {
        let tree = record % TREES_A_ZONE;
        writeln!(zone, "[records.r{record}]\npolicy = 'weighted'\nmembers = ['t{tree}']").unwrap();
    }
    zone
}

/// The most that `server` ever held in memory, in bytes.
fn peak(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn main() {
    let mut config = "[server]\nlisten = ['127.0.0.1:0']\n".to_owned();
    for region in REGIONS {
        writeln!(config, "[regions.{region}]\ncloud = 'aws:{region}'").unwrap();
    }
    let zones: Vec<(String, String)> =
        (0..ZONES).map(|n| (format!("zones/z{n}.test.toml"), zone(n))).collect();
    let mut files = vec![("tradewind.toml", &*config)];
    files.extend(zones.iter().map(|(path, text)| (&**path, &**text)));
    let clock = SystemClock::default();
    let (mut times, mut most) = (Vec::new(), 0);
    for _ in 0..STARTS {
        let folder = Scratch::with(&files);
        let begun = clock.now();
        let server = Server::start(folder);
        let last = Ask::a(&format!("r{}.z{}.test", RECORDS_A_ZONE - 1, ZONES - 1));
        first_answer(server.udp(), clock, &last, |answer| answer.addresses.len() == 1);
        times.push(clock.now().since(begun));
        most = most.max(peak(&server));
    }
    times.sort_unstable();
    let median = times[STARTS / 2];
    println!("start: {median:.2?} of {times:.2?}, {} MB at the most", most / 1_000_000);
    assert!(median <= STARTED_IN, "promised in {STARTED_IN:?}");
    assert!(most <= BYTES, "promised in {BYTES} bytes");
}
