//! What it takes to look before acting, and to be watched: `plan` and `simulate`, from the command
//! line and back, and a scrape, over 10,000 steered records with 1,000 endpoints in 12 regions, all
//! checked, and the embedded country table. Over 100 trees the figures are promises, and asserted;
//! 10,000 trees, each with weights of its own, are for the report.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and speaks")]

mod fixture;
#[path = "../tests/support/regions.rs"]
#[allow(dead_code, reason = "only the list of regions is needed here")]
mod regions;
#[path = "../tests/support/mod.rs"]
mod support;

use fixture::Site;
use serde_json::Value;
use std::{net::TcpListener, thread, time::Duration};
use support::{await_some, process::processor_seconds, scratch::Scratch, server::Server};
use tradewind::clock::{Clock, SystemClock};

const SITE: Site =
    Site { regions: &regions::TWELVE, zones: 10, records_a_zone: 1_000, trees_a_zone: 10 };
/// Two for each of five pools a tree.
const ENDPOINTS: f64 = 1_000.0;
/// A plan that moves a region of every record, and the loss of that region: of the server's
/// processors, so that it holds on one core and whoever else works beside it.
const LOOKED_AHEAD_IN: Duration = Duration::from_secs(2);
const LOOKS: usize = 5;
/// On one processor, the counters of all records and the targets included.
const SCRAPED_IN: Duration = Duration::from_millis(50);
/// The kernel counts a process's time by hundredths of a second.
const SCRAPES: u32 = 40;

/// Serves what `zone` writes, with every endpoint up.
fn serve(zone: fn(&Site, usize) -> String) -> Server {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(drop));
    let check = format!("type = 'tcp'\nport = {port}\ninterval = '1h'\n");
    let server = "[server]\nlisten = ['127.0.0.1:0']\nadmin = '127.0.0.1:0'\n";
    let files = SITE.files(server, &check, zone);
    let server = Server::start(Scratch::with(&files.iter().collect::<Vec<_>>()));
    await_some("every endpoint to be probed", || {
        let metrics = server.metrics();
        let probed = metrics.lines().filter(|line| {
            let passed = line.split_once("result=\"passed\"} ").map(|(_, count)| count);
            line.starts_with("tradewind_probes_total") && passed.is_some_and(|count| count != "0.0")
        });
        (probed.count() as f64 >= ENDPOINTS).then_some(())
    });
    // All of it moves from the first region to another.
    let moved = |text: &str| text.replace(SITE.regions[0], SITE.regions[3]);
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("zones/")) {
        server.folder.write(path, &moved(text));
    }
    server
}

/// What a look ahead takes.
struct Look {
    /// From the command line and back, the median.
    took: Duration,
    /// The server's time on processors.
    worked: Duration,
    /// What it says at last.
    said: Value,
}

/// What `tradewind COMMAND ARGS…` takes, which has to end with `code`.
fn look(server: &Server, name: &str, args: &[&str], code: i32) -> Look {
    let clock = SystemClock::default();
    let mut said = Value::Null;
    let before = processor_seconds(server.id());
    let mut times: Vec<Duration> = (0..LOOKS)
        .map(|_| {
            let begun = clock.now();
            let done = server.cli(name, args);
            let took = clock.now().since(begun);
            assert_eq!(done.status.code(), Some(code), "{}", String::from_utf8_lossy(&done.stderr));
            said = serde_json::from_slice(&done.stdout).unwrap();
            took
        })
        .collect();
    let worked = processor_seconds(server.id()) - before;
    times.sort_unstable();
    let worked = Duration::from_secs_f64(worked / LOOKS as f64);
    Look { took: times[LOOKS / 2], worked, said }
}

/// The server's time on a processor for a scrape, and how many lines that is.
fn scrape(server: &Server) -> (Duration, usize) {
    let lines = server.metrics().lines().count();
    let before = processor_seconds(server.id());
    (0..SCRAPES).for_each(|_| drop(server.metrics()));
    let seconds = processor_seconds(server.id()) - before;
    (Duration::from_secs_f64(seconds) / SCRAPES, lines)
}

fn main() {
    let cases = [
        ("100 trees", Site::shared_trees as fn(&Site, usize) -> String, true),
        ("10,000 trees", Site::own_weights, false),
    ];
    for (what, zone, is_promised) in cases {
        let server = serve(zone);
        let plan = look(&server, "plan", &["--json"], 10);
        assert_eq!(plan.said["effect"]["preview"]["records"], 10_000, "all records may move");
        let lost = format!("region:{}", SITE.regions[0]);
        let loss = look(&server, "simulate", &["--down", &lost, "--json"], 0);
        let (scraped, lines) = scrape(&server);
        println!(
            "ahead: {what}: a plan takes {:.2?} ({:.2?} of the server's processors), a simulated \
             loss {:.2?} ({:.2?}), a scrape of {lines} lines {scraped:.1?} of one",
            plan.took, plan.worked, loss.took, loss.worked
        );
        if is_promised {
            let most = plan.worked.max(loss.worked);
            assert!(most <= LOOKED_AHEAD_IN, "promised in {LOOKED_AHEAD_IN:?}");
            assert!(scraped <= SCRAPED_IN, "promised in {SCRAPED_IN:?}");
        }
    }
}
