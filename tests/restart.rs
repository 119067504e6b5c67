//! A server that dies in the middle of anything goes on where it was: verdicts, failovers, ramps
//! and overrides come back, and nothing moves that did not move before.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use std::{net::IpAddr, time::Duration};
use support::{
    DEADLINE, await_some,
    backend::{Backend, Mood},
    load::{Ask, Stream, first_answer},
    scratch::Scratch,
    server::Server,
};
use tradewind::clock::{Clock, SystemClock};

const SERVER: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\n\
    [regions.us]\ncloud = \"aws:us-east-1\"\n[regions.eu]\ncloud = \"aws:eu-west-1\"\n";
const CHECK: &str = "[web]\ntype = \"http\"\ninterval = \"300ms\"\ntimeout = \"200ms\"\nfall = 2\n\
    rise = 2\nfast_recheck = \"100ms\"\nhold_down = \"off\"\n";

fn files(iad: &Backend, dub: &Backend, rules: &str) -> Scratch {
    let zone = format!(
        "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web\"\nttl = \"30s\"\n\
         static = \"ns1 60 IN A 127.0.0.53\"\n\
         [pools.iad]\nregion = \"us\"\n\
         endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.1\", probe = \"{}\" }}]\n\
         [pools.dub]\nregion = \"eu\"\n\
         endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.2\", probe = \"{}\" }}]\n\
         [records.app]\npolicy = \"failover\"\nmembers = [\"iad\", \"dub\"]\n{rules}\n",
        iad.address(),
        dub.address(),
    );
    Scratch::with(&[
        ("tradewind.toml", SERVER),
        ("healthchecks/web.toml", CHECK),
        ("zones/gtm.example.toml", &zone),
    ])
}

fn status(server: &Server) -> Value {
    server.control_request("GET", "/v1/status").1
}

fn await_phase(server: &Server, phase: &str) {
    await_some(phase, || (status(server)["failovers"][0]["phase"] == phase).then_some(()));
}

/// Returns once everything that happened so far is durable: an operator's change is answered
/// when it is, and what came before it with it.
fn settle(server: &Server) {
    for to in ["up", "auto"] {
        let forced = server.cli("force", &["endpoint:gtm.example/dub/e", to]);
        assert_eq!(forced.status.code(), Some(0), "{forced:?}");
    }
}

const IAD: [u8; 4] = [192, 0, 2, 1];
const DUB: [u8; 4] = [192, 0, 2, 2];

/// Every answer of a second, from the first one on.
fn all_answers(server: &Server) -> Vec<IpAddr> {
    let clock = SystemClock::default();
    let stream = Stream::start(server.udp(), clock, vec![Ask::a("app.gtm.example")], 500);
    let begun = clock.now();
    stream.await_answer("a second", DEADLINE, |e| e.asked.since(begun) > Duration::from_secs(1));
    stream.stop().iter().map(|exchange| exchange.answer.address()).collect()
}

/// What moved since the newest start.
fn moves(server: &Server) -> Vec<Value> {
    let events = server.events(0);
    let started = events.iter().rposition(|event| event["event"] == "loaded").unwrap();
    let is_move =
        |event: &&Value| ["verdict", "failover"].iter().any(|kind| event["event"] == **kind);
    events[started..].iter().filter(is_move).cloned().collect()
}

#[test]
fn a_failback_that_waits_for_people_waits_on_after_a_crash() {
    let (mut iad, dub) = (Backend::start(191), Backend::start(192));
    let server = Server::start(files(&iad, &dub, "failback = \"manual\""));
    iad.stop();
    await_phase(&server, "standby");
    iad.restart();
    await_phase(&server, "failback-pending");
    settle(&server);
    let server = Server::start(server.kill());
    assert!(all_answers(&server).iter().all(|at| *at == IpAddr::from(DUB)));
    await_phase(&server, "failback-pending");
    assert_eq!(moves(&server), Vec::<Value>::new());
    let server = Server::start(server.kill());
    assert_eq!(server.cli("approve", &["record:gtm.example/app"]).status.code(), Some(0));
    await_phase(&server, "primary");
    settle(&server);
    let server = Server::start(server.kill());
    assert!(all_answers(&server).iter().all(|at| *at == IpAddr::from(IAD)));
}

#[test]
fn with_saved_verdicts_the_first_answer_waits_for_no_probe() {
    let (iad, dub) = (Backend::start(193), Backend::start(194));
    let server = Server::start(files(&iad, &dub, ""));
    iad.set(Mood::Hang);
    await_phase(&server, "standby");
    settle(&server);
    let folder = server.kill();
    // Nobody would answer a first round within a second now.
    dub.set(Mood::Hang);
    let clock = SystemClock::default();
    let server = Server::start(folder);
    let ready = clock.now();
    let ask = Ask::a("app.gtm.example");
    let first = first_answer(server.udp(), clock, &ask, |answer| !answer.addresses.is_empty());
    assert_eq!(first.answer.address(), IpAddr::from(DUB), "known to be the one that works");
    assert!(first.answered.since(ready) < Duration::from_millis(250));
    dub.set(Mood::well());
}

#[test]
fn overrides_and_a_ramp_go_on_after_a_crash() {
    let (iad, dub) = (Backend::start(195), Backend::start(196));
    let server = Server::start(files(&iad, &dub, ""));
    let drained = server.cli("drain", &["region:us", "--over", "20s", "--reason", "INC-42"]);
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    let share = |server: &Server| {
        let said = server.cli("explain", &["app.gtm.example", "--client", "192.0.2.9", "--json"]);
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        let answers = said["steering"]["answers"].as_array().cloned().unwrap();
        let iad = answers.iter().filter(|answer| answer["records"][0] == "192.0.2.1");
        iad.map(|answer| answer["share"].as_f64().unwrap()).sum::<f64>()
    };
    await_some("a part of the drain", || (share(&server) < 0.85).then_some(()));
    let server = Server::start(server.kill());
    let after = share(&server);
    assert!(after < 0.87 && after > 0.3, "it goes on from where it was: {after}");
    let listed = server.cli("overrides", &["--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(listed.to_string().contains("INC-42"), "{listed}");
    await_some("its end", || (share(&server) == 0.0).then_some(()));
    let undone = server.cli("undrain", &["region:us"]);
    assert_eq!(undone.status.code(), Some(0), "{undone:?}");
    let server = Server::start(server.kill());
    let listed = String::from_utf8(server.cli("overrides", &["--json"]).stdout).unwrap();
    assert!(!listed.contains("INC-42"), "{listed}");
}

#[test]
fn a_broken_state_database_is_put_aside_and_told() {
    let (iad, dub) = (Backend::start(197), Backend::start(198));
    let server = Server::start(files(&iad, &dub, ""));
    let folder = server.kill();
    folder.write("state/state.redb", "this is no database");
    let server = Server::start(folder);
    assert!(all_answers(&server).iter().all(|at| *at == IpAddr::from(IAD)));
    let alarm = server.await_event("the alarm", 0, |event| event["event"] == "store");
    assert_eq!(alarm["alarm"], true, "{alarm}");
    let kept = std::fs::read_dir(server.folder.path().join("state")).unwrap();
    let aside = kept.flatten().find(|e| e.file_name().to_string_lossy().contains("broken"));
    let aside = std::fs::read_to_string(aside.expect("the file is kept aside").path()).unwrap();
    assert_eq!(aside, "this is no database");
}

/// A checker that is cut off is restarted, as people do: still nobody falls.
#[test]
fn a_restart_in_the_middle_of_a_cut_off_moves_nobody() {
    let (mut iad, mut dub) = (Backend::start(199), Backend::start(200));
    let server = Server::start(files(&iad, &dub, "failback = \"auto\""));
    await_phase(&server, "primary");
    iad.await_hits(2, DEADLINE);
    dub.await_hits(2, DEADLINE);
    iad.stop();
    dub.stop();
    server.await_event("the alarm", 0, |event| event["event"] == "breaker");
    settle(&server);
    let server = Server::start(server.kill());
    assert!(all_answers(&server).iter().all(|at| *at == IpAddr::from(IAD)));
    server.await_event("the alarm again", 0, |event| {
        event["event"] == "breaker" && event["boot"] == 2
    });
    assert_eq!(moves(&server), Vec::<Value>::new());
    iad.restart();
    dub.restart();
}
