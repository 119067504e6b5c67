//! The operator's hand over backends that die: what people say holds against probes, through
//! kill -9 and a restart, and what does not come about says why.

mod support;

use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::IpAddr,
    process::{Command, Stdio},
    time::Duration,
};
use support::{
    DEADLINE, await_some,
    load::{Ask, Stream},
    server::BINARY,
    site::{BOTH, Site},
};
use tradewind::clock::Clock;

/// Five times what a fall takes.
const LONG: Duration = Duration::from_millis(5 * 300 * 2);
const IAD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const APP: &str = "record:gtm.example/app";

/// A failover between both with `rules`.
fn site(host: u8, rules: &str) -> Site {
    Site::start(host, "\"5s\"", &format!("{BOTH}{rules}"))
}

/// Whether every answer of a long while is Washington, and no failover moved since `event`.
fn assert_stays(site: &Site, event: u64) {
    let clock = site.clock;
    let asks = vec![Ask::a("app.gtm.example")];
    let stream = Stream::start(site.server.udp(), clock, asks, 200);
    let begun = clock.now();
    stream.await_answer("a while", DEADLINE, |e| e.asked.since(begun) > LONG);
    assert!(stream.stop().iter().all(|exchange| exchange.answer.addresses == [IAD]));
    let moved = site.server.events(event).into_iter().find(|e| e["event"] == "failover");
    assert_eq!(moved, None);
}

fn await_standby(site: &Site) {
    await_some("the standby", || (site.failover()["active"] == "dub").then_some(()));
}

/// What `told` says holds while Washington dies and over a crash; `untold` lets it go.
fn holds(host: u8, told: (&str, &[&str]), untold: (&str, &[&str])) {
    let mut site = site(host, "");
    site.cli(told.0, told.1, 0);
    let since = site.server.last_event();
    site.iad.stop();
    assert_stays(&site, since);
    let site = site.restart();
    let since = site.server.last_event();
    assert_stays(&site, since);
    site.cli(untold.0, untold.1, 0);
    await_standby(&site);
}

#[test]
fn a_pin_keeps_a_dying_member_answered_and_unpinning_lets_it_go() {
    holds(201, ("pin", &["--reason", "the checker lies"]), ("unpin", &[]));
}

#[test]
fn a_hold_keeps_a_dying_member_answered_until_it_ends() {
    holds(204, ("hold", &[APP]), ("unhold", &[APP]));
}

#[test]
fn what_is_forced_up_is_answered_though_it_dies() {
    let it = "endpoint:gtm.example/iad/e";
    holds(207, ("force", &[it, "up"]), ("force", &[it, "auto"]));
}

#[test]
fn waiting_for_a_drain_that_moves_nobody_fails_and_says_what_would() {
    let site = site(210, "failover = \"manual\"\nfailback = \"manual\"");
    let said = site.cli("drain", &["region:us", "--over", "5s", "--wait"], 1);
    let asks = "gtm.example/app stays on `iad` and waits for approval: tradewind approve";
    assert!(said.contains(asks), "{said}");
    assert!(
        said.contains("not drained: 100.0 % of clients are still sent there")
            && said.contains("hint: tradewind approve record:gtm.example/app")
            && !said.contains("\ndrained"),
        "{said}"
    );
    assert!(site.cli("overrides", &[], 0).contains("still answered"));
    let said = site.cli("approve", &[APP, "--reason", "planned"], 0);
    assert!(said.contains(&format!("undo: tradewind failover {APP} --to=iad")), "{said}");
    await_standby(&site);
    let done = |e: &Value| e["subject"] == format!("approve {APP}") && e["to"] == "done";
    let done = site.server.await_event("approval", 0, done);
    assert!(done["cause"].as_str().unwrap().ends_with(": planned"), "{done}");
    let list = site.server.control_request("GET", "/v1/hand").1;
    assert_eq!(list["overrides"][0]["drain"]["state"], "draining", "{list}");
}

#[test]
fn a_drain_that_was_put_off_says_when_it_begins_and_what_it_hides() {
    let site = site(213, "");
    site.cli("drain", &["pool:iad", "--at", "+2s"], 0);
    let said = site.cli("force", &["endpoint:gtm.example/iad/e", "up"], 0);
    assert!(said.contains("#1 drain pool:iad hides it in "), "{said}");
    let begins = |e: &Value| e["event"] == "hand" && e["to"] == "begins";
    let begins = site.server.await_event("beginning", 0, begins);
    assert!(begins["cause"].as_str().unwrap().ends_with("; hides #2"), "{begins}");
    await_standby(&site);
    let residual = |e: &Value| e["event"] == "old_answers";
    let residual = site.server.await_event("the last old answer", 0, residual);
    assert!(residual["text"].as_str().unwrap().contains("iad → dub"), "{residual}");
}

#[test]
fn following_events_begins_with_the_last_ten() {
    let site = site(216, "");
    for _ in 0..4 {
        site.cli("force", &["endpoint:gtm.example/dub/e", "up"], 0);
        site.cli("force", &["endpoint:gtm.example/dub/e", "auto"], 0);
    }
    let last = site.server.last_event();
    assert!(last > 12);
    let mut follower = Command::new(BINARY)
        .args(["events", "--follow", "--json", "-C"])
        .arg(site.server.folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let newest = site.server.last_event();
    follower.kill().unwrap();
    follower.wait().unwrap();
    let first = first["seq"].as_u64().unwrap();
    assert!((last - 9..=newest - 9).contains(&first), "{first} of {last}..={newest}");
}
