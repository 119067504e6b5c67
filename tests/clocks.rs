//! A clock on the wall that jumps changes nothing (reliability H-10): probes, verdicts, failovers
//! and what operators said go by monotonic time.
//!
//! libfaketime lies to the real binary about the clock on the wall alone; how it lies is read from
//! a file again and again. Alone in its program, since what this process is kept waiting counts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use std::{fs, path::PathBuf, process, time::Duration};
use support::{
    DEADLINE, await_some, backend::Backend, figure, process::kept_waiting, scratch::Scratch,
    server::Server, tool,
};

const INTERVAL: Duration = Duration::from_millis(200);
/// Timers go by the millisecond, and so does the read of a request.
const TIMERS: Duration = Duration::from_millis(5);
/// Probes after each jump.
const PROBES: u64 = 10;

const SERVER: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\n\
    [regions.us]\ncloud = \"aws:us-east-1\"\n[regions.eu]\ncloud = \"aws:eu-west-1\"\n\
    [regions.ap]\ncloud = \"aws:ap-northeast-1\"\n";
const CHECK: &str = "[web]\ntype = \"http\"\ninterval = \"200ms\"\ntimeout = \"150ms\"\nfall = 3\n";

fn files(backends: &[Backend; 3]) -> Scratch {
    let pools = ["us", "eu", "ap"].iter().zip(backends).zip(1..);
    let pools = pools.map(|((region, backend), last)| {
        format!(
            "[pools.{region}]\nregion = \"{region}\"\n\
             endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.{last}\", probe = \"{}\" }}]\n",
            backend.address()
        )
    });
    let zone = format!(
        "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web\"\nttl = \"30s\"\n\
         static = \"ns1 60 IN A 127.0.0.53\"\n{}\
         [records.app]\npolicy = \"failover\"\nmembers = [\"us\", \"eu\", \"ap\"]\n\
         failback = \"after\"\nfailback_delay = \"30m\"\n",
        pools.collect::<String>()
    );
    Scratch::with(&[
        ("tradewind.toml", SERVER),
        ("healthchecks/web.toml", CHECK),
        ("zones/gtm.example.toml", &zone),
    ])
}

/// The library that lies, beside the tool of the same package.
fn libfaketime() -> Option<PathBuf> {
    tool("faketime")?;
    let places = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let places = places.map(|place| place.join("faketime/libfaketimeMT.so.1"));
    Some(places.into_iter().find(|path| path.is_file()).expect("faketime brings its library"))
}

/// The year which the server believes that it is.
fn year(server: &Server) -> i32 {
    let before = server.last_event();
    server.reload();
    let loaded = server.await_event("the reload", before, |event| event["event"] == "loaded");
    loaded["at"].as_str().unwrap()[..4].parse().unwrap()
}

fn status(server: &Server) -> Value {
    server.control_request("GET", "/v1/status").1
}

#[test]
fn a_clock_that_jumps_moves_nobody_and_no_probe() {
    let Some(library) = libfaketime() else { return };
    let mut backends = [221, 222, 223].map(Backend::start);
    let folder = files(&backends);
    let lie = folder.write("lie", "+0\n");
    let preload = format!("LD_PRELOAD={}", library.display());
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", lie.display());
    let under = ["env", &preload, &file, "FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1"];
    let server = Server::under(&under, folder);
    let failover = |server: &Server| status(server)["failovers"][0].clone();
    // In the middle of a wait for half an hour of health, and of an override for as long.
    backends[0].stop();
    await_some("failover", || (failover(&server)["phase"] == "standby").then_some(()));
    backends[0].restart();
    await_some("wait", || (failover(&server)["phase"] == "failback-pending").then_some(()));
    let drained = server.cli("drain", &["region:ap", "--for", "30m"]);
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    let now = year(&server);
    let before = server.last_event();
    let hits = backends.each_ref().map(Backend::hits);
    let waited = || server.kept_waiting() + kept_waiting(process::id());
    let waited_before = waited();
    for (jump, years) in [("+1h", 0), ("-1h", 0), ("+10y", 10), ("+0", 0)] {
        server.folder.write("lie", &format!("{jump}\n"));
        let hits = backends.each_ref().map(|backend| backend.hits() + PROBES);
        backends.iter().zip(hits).for_each(|(backend, hits)| backend.await_hits(hits, DEADLINE));
        // New Year, and leap days.
        assert!((years - 1..=years + 1).contains(&(year(&server) - now)), "{jump} is believed");
    }
    let late = waited() - waited_before + TIMERS;
    let kinds = ["verdict", "failover", "phase", "hand", "breaker", "target", "checker"];
    let events = server.events(before);
    let moved = events.iter().filter(|event| kinds.contains(&event["event"].as_str().unwrap()));
    assert_eq!(moved.collect::<Vec<_>>(), Vec::<&Value>::new());
    let failover = failover(&server);
    assert_eq!(
        (&failover["phase"], &failover["active"]),
        (&"failback-pending".into(), &"eu".into())
    );
    for (backend, hits) in backends.iter().zip(hits) {
        let gaps = backend.gaps(hits);
        let mean = gaps.iter().sum::<Duration>() / gaps.len() as u32;
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        figure(
            "gaps between probes of 200 ms",
            format_args!("{least:?} … {most:?}, mean {mean:?}"),
        );
        let allowed = INTERVAL.mul_f64(0.9)..=INTERVAL.mul_f64(1.1);
        assert!(
            *allowed.start() <= *least + late && *most <= *allowed.end() + late,
            "{gaps:?} {late:?}"
        );
        let late = late / gaps.len() as u32;
        assert!(
            *allowed.start() <= mean + late && mean <= *allowed.end() + late,
            "{mean:?} {late:?}"
        );
    }
}
