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
    backend::Backend,
    load::{Ask, Stream},
    scratch::Scratch,
    server::{BINARY, Server},
};
use tradewind::clock::{Clock, SystemClock};

const SERVER: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\n\
    [regions.us]\ncloud = \"aws:us-east-1\"\n[regions.eu]\ncloud = \"aws:eu-west-1\"\n";
const CHECK: &str = "[web]\ntype = \"http\"\ninterval = \"200ms\"\ntimeout = \"150ms\"\nfall = 2\n\
    rise = 2\nfast_recheck = \"100ms\"\nhold_down = \"off\"\n";
/// Five times what a fall takes.
const LONG: Duration = Duration::from_millis(5 * 200 * 2);
const IAD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const APP: &str = "record:gtm.example/app";

/// Two regions behind a failover with `rules`.
struct Site {
    iad: Backend,
    _dub: Backend,
    server: Server,
}

impl Site {
    fn start(host: u8, rules: &str) -> Site {
        let (iad, dub) = (Backend::start(host), Backend::start(host + 1));
        let zone = format!(
            "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web\"\nttl = \"5s\"\n\
             static = \"ns1 60 IN A 127.0.0.53\"\n\
             [pools.iad]\nregion = \"us\"\n\
             endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.1\", probe = \"{}\" }}]\n\
             [pools.dub]\nregion = \"eu\"\n\
             endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.2\", probe = \"{}\" }}]\n\
             [records.app]\npolicy = \"failover\"\nmembers = [\"iad\", \"dub\"]\n{rules}\n",
            iad.address(),
            dub.address(),
        );
        let folder = Scratch::with(&[
            ("tradewind.toml", SERVER),
            ("healthchecks/web.toml", CHECK),
            ("zones/gtm.example.toml", &zone),
        ]);
        let site = Site { iad, _dub: dub, server: Server::start(folder) };
        await_some("both up", || {
            let targets = site.server.control_request("GET", "/v1/targets").1;
            let all = targets.as_array().cloned().unwrap_or_default();
            (all.len() == 2 && all.iter().all(|target| target["state"] == "up")).then_some(())
        });
        site
    }

    #[track_caller]
    fn cli(&self, command: &str, args: &[&str], code: i32) -> String {
        let done = self.server.cli(command, args);
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{said}");
        said.into_owned()
    }

    /// Whether every answer of a long while is Washington, and no failover moved since `event`.
    fn stays(&self, event: u64) {
        let clock = SystemClock::default();
        let asks = vec![Ask::a("app.gtm.example")];
        let stream = Stream::start(self.server.udp(), clock, asks, 200);
        let begun = clock.now();
        stream.await_answer("a while", DEADLINE, |e| e.asked.since(begun) > LONG);
        assert!(stream.stop().iter().all(|exchange| exchange.answer.addresses == [IAD]));
        let moved = self.server.events(event).into_iter().find(|e| e["event"] == "failover");
        assert_eq!(moved, None);
    }

    /// Kills it with SIGKILL and starts it again.
    fn restart(self) -> Site {
        Site { server: Server::start(self.server.kill()), ..self }
    }

    fn await_standby(&self) {
        await_some("the standby", || {
            let status = self.server.control_request("GET", "/v1/status").1;
            (status["failovers"][0]["active"] == "dub").then_some(())
        });
    }
}

/// What `told` says holds while Washington dies and over a crash; `untold` lets it go.
fn holds(host: u8, told: (&str, &[&str]), untold: (&str, &[&str])) {
    let mut site = Site::start(host, "");
    site.cli(told.0, told.1, 0);
    let since = site.server.last_event();
    site.iad.stop();
    site.stays(since);
    let site = site.restart();
    let since = site.server.last_event();
    site.stays(since);
    site.cli(untold.0, untold.1, 0);
    site.await_standby();
}

#[test]
fn a_pin_keeps_a_dying_member_answered_and_unpinning_lets_it_go() {
    holds(201, ("pin", &["--reason", "the checker lies"]), ("unpin", &[]));
}

#[test]
fn a_hold_keeps_a_dying_member_answered_until_it_ends() {
    holds(203, ("hold", &[APP]), ("unhold", &[APP]));
}

#[test]
fn what_is_forced_up_is_answered_though_it_dies() {
    let it = "endpoint:gtm.example/iad/e";
    holds(205, ("force", &[it, "up"]), ("force", &[it, "auto"]));
}

#[test]
fn waiting_for_a_drain_that_moves_nobody_fails_and_says_what_would() {
    let site = Site::start(207, "failover = \"manual\"\nfailback = \"manual\"");
    let said = site.cli("drain", &["region:us", "--over", "1m", "--wait"], 1);
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
    site.await_standby();
    let done = |e: &Value| e["subject"] == format!("approve {APP}") && e["to"] == "done";
    let done = site.server.await_event("approval", 0, done);
    assert!(done["cause"].as_str().unwrap().ends_with(": planned"), "{done}");
    let list = site.server.control_request("GET", "/v1/hand").1;
    assert_eq!(list["overrides"][0]["drain"]["state"], "draining", "{list}");
}

#[test]
fn a_drain_that_was_put_off_says_when_it_begins_and_what_it_hides() {
    let site = Site::start(209, "");
    site.cli("drain", &["pool:iad", "--at", "+2s"], 0);
    let said = site.cli("force", &["endpoint:gtm.example/iad/e", "up"], 0);
    assert!(said.contains("#1 drain pool:iad hides it in "), "{said}");
    let begins = |e: &Value| e["event"] == "hand" && e["to"] == "begins";
    let begins = site.server.await_event("beginning", 0, begins);
    assert!(begins["cause"].as_str().unwrap().ends_with("; hides #2"), "{begins}");
    site.await_standby();
    let residual = |e: &Value| e["event"] == "old_answers";
    let residual = site.server.await_event("the last old answer", 0, residual);
    assert!(residual["text"].as_str().unwrap().contains("iad → dub"), "{residual}");
}

#[test]
fn following_events_begins_with_the_last_ten() {
    let site = Site::start(211, "");
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
