//! A server that dies in the middle of anything goes on where it was: verdicts, failovers, ramps
//! and overrides come back, and nothing moves that did not move before.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use support::{
    DEADLINE, await_some,
    backend::{Backend, Mood},
    free_address,
    load::{Ask, Stream, first_answer},
    scratch::Scratch,
    server::{Server, launch},
    site::{self, BOTH, CHECK, SERVER},
};
use tradewind::clock::{Clock, SystemClock};

/// Files of both regions, without a gate.
fn files(iad: &Backend, dub: &Backend, rules: &str) -> Scratch {
    site::files(iad, dub, CHECK, "\"30s\"", &format!("{BOTH}{rules}"))
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
    settle_at(server, "endpoint:gtm.example/dub/e");
}

/// The same by means of an endpoint that is up.
fn settle_at(server: &Server, endpoint: &str) {
    for to in ["up", "auto"] {
        let forced = server.cli("force", &[endpoint, to]);
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

/// What moved since the newest start, from its very first event on.
fn moves(server: &Server) -> Vec<Value> {
    let events = server.events(0);
    let boot = events.last().map_or(Value::Null, |event| event["boot"].clone());
    let is_move =
        |event: &&Value| ["verdict", "failover"].iter().any(|kind| event["event"] == **kind);
    events.iter().filter(|event| event["boot"] == boot).filter(is_move).cloned().collect()
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
    let both = "[records.both]\npolicy = \"multivalue\"\nmembers = [\"iad\", \"dub\"]\n";
    let folder = files(&iad, &dub, both);
    let listen = free_address(Ipv4Addr::LOCALHOST.into());
    folder.write("tradewind.toml", &SERVER.replace("127.0.0.1:0", &listen.to_string()));
    let server = Server::start(folder);
    iad.set(Mood::Hang);
    await_phase(&server, "standby");
    settle(&server);
    let folder = server.kill();
    // Nobody would answer a first round within a second now.
    dub.set(Mood::Hang);
    let clock = SystemClock::default();
    let process = launch(&folder);
    let ask = |name| first_answer(listen, clock, &Ask::a(name), |a| !a.addresses.is_empty());
    let of_static = ask("ns1.gtm.example").answered;
    // No latch says which of these works: without its verdict Washington would count as up.
    let first = ask("both.gtm.example");
    assert_eq!(first.answer.address(), IpAddr::from(DUB), "known to be the one that works");
    let waited = first.answered.since(of_static);
    let allowed = Duration::from_millis(500) + process.kept_waiting();
    assert!(waited < allowed, "{waited:?} after the first static answer");
    dub.set(Mood::well());
}

/// Three regions, and a database that may be a gate.
struct Regions {
    iad: Backend,
    dub: Backend,
    nrt: Backend,
    database: Backend,
}

impl Regions {
    fn start() -> Regions {
        let [iad, dub, nrt, database] = [201, 202, 203, 204].map(Backend::start);
        Regions { iad, dub, nrt, database }
    }

    /// A failover with `rules` over the first two, and every region in `split`; `instead` stands
    /// where the files say something.
    fn files(&self, rules: &str, instead: (&str, &str)) -> Scratch {
        let pool = |(name, region, backend): (&str, &str, &Backend)| {
            let last = ["iad", "dub", "nrt"].iter().position(|n| *n == name).unwrap() + 1;
            format!(
                "[pools.{name}]\nregion = \"{region}\"\n\
                 endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.{last}\", probe = \"{}\" }}]\n",
                backend.address()
            )
        };
        let regions =
            [("iad", "us", &self.iad), ("dub", "eu", &self.dub), ("nrt", "ap", &self.nrt)];
        let zone = format!(
            "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web\"\n\
             ttl = {{ max = \"30s\", min = \"5s\" }}\nstatic = \"ns1 60 IN A 127.0.0.53\"\n{}\
             [records.app]\npolicy = \"failover\"\n{rules}\n\
             [records.split]\npolicy = \"weighted\"\nmembers = [\"iad\", \"dub\", \"nrt\"]\n\
             ramp = {{ over = \"60s\", start = 0.1 }}\n",
            regions.map(pool).concat()
        );
        // Slow to fall: what goes within its detection time goes at once, for the breaker.
        let gate = CHECK.replace("web", "db").replace("fall = 2", "fall = 10")
            + &format!("target = \"{}\"\n", self.database.address());
        let edited = |text: &str| {
            if instead == USUAL { text.to_owned() } else { text.replace(instead.0, instead.1) }
        };
        Scratch::with(&[
            ("tradewind.toml", &format!("{SERVER}[regions.ap]\ncloud = \"aws:ap-northeast-1\"\n")),
            ("healthchecks/web.toml", &edited(&format!("{CHECK}{gate}"))),
            ("zones/gtm.example.toml", &edited(&zone)),
        ])
    }
}

/// Where everything stands, as far as people see it.
#[derive(Debug)]
struct Stand {
    phase: Value,
    active: Value,
    waits: Value,
    /// Until that is over by itself.
    due: Option<f64>,
    last_resort: Value,
    /// How far drains have come.
    drains: Vec<Value>,
    /// The share of all clients that each address gets, by record.
    shares: [Vec<(String, f64)>; 2],
}

fn stand(server: &Server) -> Stand {
    let status = status(server);
    let failover = &status["failovers"][0];
    let shares = ["app", "split"].map(|name| {
        let name = format!("{name}.gtm.example");
        let said = server.cli("explain", &[&name, "--client", "192.0.2.9", "--json"]);
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        let answers = said["steering"]["answers"].as_array().cloned().unwrap();
        let share = |answer: &Value| {
            (answer["records"][0].as_str().unwrap().to_owned(), answer["share"].as_f64().unwrap())
        };
        // By address: equal shares come in any order.
        let mut shares: Vec<(String, f64)> = answers.iter().map(share).collect();
        shares.sort_by(|a, b| a.0.cmp(&b.0));
        shares
    });
    Stand {
        phase: failover["phase"].clone(),
        active: failover["active"].clone(),
        waits: failover["waits"]["what"].clone(),
        due: failover["waits"]["due_in_s"].as_f64(),
        last_resort: status["last_resort"].clone(),
        drains: drains(server),
        shares,
    }
}

fn drains(server: &Server) -> Vec<Value> {
    let hand = server.control_request("GET", "/v1/hand").1;
    let overrides = hand["overrides"].as_array().cloned().unwrap_or_default();
    overrides.iter().map(|one| one["drain"]["state"].clone()).collect()
}

/// A state in the middle of which the server dies.
struct Middle {
    what: &'static str,
    rules: &'static str,
    /// What the files say otherwise than usual: this, instead of that.
    instead: (&'static str, &'static str),
    /// Brings it about.
    drive: fn(&mut Regions, &Server),
    phase: &'static str,
    /// Who answers the failover there.
    answers: &'static [[u8; 4]],
}

/// Loses a region by an answer, which needs no witness.
fn lose(site: &mut Regions, server: &Server) {
    site.iad.set(Mood::ill());
    await_verdict(server, "iad", "down");
}

fn lose_and_restore(site: &mut Regions, server: &Server) {
    lose(site, server);
    await_phase(server, "standby");
    site.iad.set(Mood::well());
    await_verdict(server, "iad", "up");
}

fn await_verdict(server: &Server, pool: &str, verdict: &str) {
    let endpoint = format!("gtm.example/{pool}/e");
    await_some(&format!("{pool} {verdict}"), || {
        let status = status(server);
        let endpoints = status["endpoints"].as_array()?;
        let is = |e: &&Value| e["endpoint"] == *endpoint && e["verdict"] == verdict;
        endpoints.iter().find(is).map(|_| ())
    });
}

const USUAL: (&str, &str) = ("", "");

const MIDDLES: &[Middle] = &[
    Middle {
        what: "waiting for approval",
        rules: "members = [\"iad\", \"dub\"]\nfailover = \"manual\"\n",
        instead: USUAL,
        drive: lose,
        phase: "failing-over",
        answers: &[IAD],
    },
    Middle {
        what: "waiting for the failover's delay",
        rules: "members = [\"iad\", \"dub\"]\nfailover_delay = \"60s\"\n",
        instead: USUAL,
        drive: lose,
        phase: "failing-over",
        answers: &[IAD],
    },
    Middle {
        what: "waiting for a gate",
        rules: "members = [\"iad\", { pool = \"dub\", require = [\"check:db\"] }]\n",
        instead: USUAL,
        drive: |site, server| {
            site.database.set(Mood::ill());
            await_some("the database to be down", || {
                let targets = server.control_request("GET", "/v1/targets").1;
                let is = |t: &&Value| t["target"] == "check:db" && t["state"] == "down";
                targets.as_array()?.iter().find(is).map(|_| ())
            });
            lose(site, server);
        },
        phase: "failing-over",
        answers: &[IAD],
    },
    Middle {
        what: "waiting for the failback's delay",
        rules: "members = [\"iad\", \"dub\"]\nfailback_delay = \"60s\"\n",
        instead: USUAL,
        drive: lose_and_restore,
        phase: "failback-pending",
        answers: &[DUB],
    },
    Middle {
        what: "ramping back",
        rules: "members = [\"iad\", \"dub\"]\nfailback = \"auto\"\n\
                ramp = { over = \"60s\", start = 0.1 }\n",
        instead: USUAL,
        drive: lose_and_restore,
        phase: "failing-back",
        answers: &[IAD, DUB],
    },
    Middle {
        what: "held by an operator",
        rules: BOTH,
        instead: USUAL,
        drive: |site, server| {
            let held = server.cli("hold", &["record:gtm.example/app"]);
            assert_eq!(held.status.code(), Some(0), "{held:?}");
            lose(site, server);
        },
        phase: "held",
        answers: &[IAD],
    },
    Middle {
        what: "at what was last good",
        rules: BOTH,
        instead: USUAL,
        drive: |site, server| {
            lose(site, server);
            await_phase(server, "standby");
            // It may come soon enough after the first loss to be held as a mass failure.
            let confirm = || server.cli("confirm", &["--falls"]).status.code();
            site.dub.set(Mood::ill());
            await_some("Dublin to be down", || {
                confirm();
                let status = status(server);
                let endpoints = status["endpoints"].as_array()?;
                let is =
                    |e: &&Value| e["endpoint"] == "gtm.example/dub/e" && e["verdict"] == "down";
                endpoints.iter().find(is).map(|_| ())
            });
        },
        phase: "standby",
        answers: &[DUB],
    },
    Middle {
        what: "in a mass failure that is held",
        rules: BOTH,
        instead: USUAL,
        drive: |site, server| {
            site.dub.set(Mood::ill());
            await_verdict(server, "dub", "down");
            site.iad.set(Mood::ill());
            let held = server.await_event("the alarm", 0, |event| event["event"] == "breaker");
            assert!(held["text"].as_str().unwrap().contains("mass failure: 2 of 3"), "{held}");
        },
        phase: "primary",
        answers: &[IAD],
    },
    Middle {
        what: "while a flapping target is held down",
        rules: "members = [\"iad\", \"dub\"]\nfailback = \"auto\"\n",
        instead: ("hold_down = \"off\"", "hold_down = \"1s\""),
        drive: |site, server| {
            lose_and_restore(site, server);
            await_phase(server, "primary");
            lose(site, server);
            site.iad.set(Mood::well());
            site.iad.await_hits(site.iad.hits() + 4, DEADLINE);
        },
        phase: "standby",
        answers: &[DUB],
    },
    Middle {
        what: "after a drain that is through",
        rules: BOTH,
        instead: ("max = \"30s\", min = \"5s\"", "max = \"2s\", min = \"1s\""),
        drive: |_, server| {
            let drained = server.cli("drain", &["region:us", "--wait"]);
            assert_eq!(drained.status.code(), Some(0), "{drained:?}");
            assert_eq!(drains(server), ["drained"]);
        },
        phase: "standby",
        answers: &[DUB],
    },
];

/// What a restart may lose of a time that runs: machines that wait are written down so often.
const WRITTEN: f64 = 10.0;

fn assert_goes_on(middle: &Middle) {
    let clock = SystemClock::default();
    let mut site = Regions::start();
    let server = Server::start(site.files(middle.rules, middle.instead));
    for pool in ["iad", "dub", "nrt"] {
        await_verdict(&server, pool, "up");
    }
    (middle.drive)(&mut site, &server);
    await_phase(&server, middle.phase);
    settle_at(&server, "endpoint:gtm.example/nrt/e");
    let (before, looked) = (stand(&server), clock.now());
    let server = Server::start(server.kill());
    let answers: BTreeSet<IpAddr> = all_answers(&server).into_iter().collect();
    let allowed: BTreeSet<IpAddr> = middle.answers.iter().map(|ip| IpAddr::from(*ip)).collect();
    assert_eq!(answers, allowed, "{}", middle.what);
    // Everything was judged anew since.
    for backend in [&site.iad, &site.dub, &site.nrt] {
        backend.await_hits(backend.hits() + 4, DEADLINE);
    }
    await_phase(&server, middle.phase);
    let after = stand(&server);
    let elapsed = clock.now().since(looked).as_secs_f64();
    let context = format!("{}: {before:#?} {after:#?}", middle.what);
    let words = |stand: &Stand| [&stand.phase, &stand.active, &stand.waits].map(Value::clone);
    assert_eq!(words(&before), words(&after), "{context}");
    assert_eq!(before.last_resort, after.last_resort, "{context}");
    assert_eq!(before.drains, after.drains, "{context}");
    match (before.due, after.due) {
        (Some(before), Some(after)) => {
            assert!((before - elapsed..=before + WRITTEN).contains(&after), "{context}");
        }
        (before, after) => assert_eq!(before, after, "{context}"),
    }
    for (before, after) in before.shares.iter().zip(&after.shares) {
        assert_eq!(before.len(), after.len(), "{context}");
        for ((a, before), (b, after)) in before.iter().zip(after) {
            // A ramp of a minute goes on, and may have lost a second.
            let moved = elapsed / 60.0 + 0.05;
            assert!(a == b && (after - before).abs() <= moved, "{context}");
        }
    }
    assert_eq!(moves(&server), Vec::<Value>::new(), "{context}");
}

#[test]
fn a_crash_in_the_middle_of_a_wait_changes_nothing() {
    MIDDLES[..4].iter().for_each(assert_goes_on);
}

#[test]
fn a_crash_in_the_middle_of_a_ramp_a_hold_or_a_disaster_changes_nothing() {
    MIDDLES[4..8].iter().for_each(assert_goes_on);
}

#[test]
fn a_crash_while_a_flapping_target_is_held_down_changes_nothing() {
    assert_goes_on(&MIDDLES[8]);
}

#[test]
fn a_crash_after_a_drain_is_through_changes_nothing() {
    assert_goes_on(&MIDDLES[9]);
}
/// Killed right after the first new answer, with nothing known to be durable.
#[test]
fn a_crash_at_the_very_moment_of_a_change_leaves_it_before_or_after() {
    let clock = SystemClock::default();
    let changes: [fn(&Regions, &Server); 2] = [
        |site, _| site.iad.set(Mood::ill()),
        |_, server| drop(server.cli("drain", &["region:us"])),
    ];
    for change in changes {
        let site = Regions::start();
        let server = Server::start(site.files(BOTH, USUAL));
        for pool in ["iad", "dub", "nrt"] {
            await_verdict(&server, pool, "up");
        }
        let stream = Stream::start(server.udp(), clock, vec![Ask::a("app.gtm.example")], 200);
        change(&site, &server);
        stream.await_answer("the new answer", DEADLINE, |e| {
            e.answer.addresses == [IpAddr::from(DUB)]
        });
        drop(stream);
        let server = Server::start(server.kill());
        // One address each, or this panics.
        let answers: BTreeSet<IpAddr> = all_answers(&server).into_iter().collect();
        let known = [IAD, DUB].map(IpAddr::from);
        assert!(answers.iter().all(|answer| known.contains(answer)), "{answers:?}");
    }
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
