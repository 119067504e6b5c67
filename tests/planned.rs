//! Failovers that wait for people, gates and time, end to end: manual ways there and back with a
//! preview, ramps as clients see them, trickle, delays, gates.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use std::{collections::BTreeMap, net::IpAddr, time::Duration};
use support::{
    DEADLINE, await_some,
    backend::Mood,
    figure,
    load::{Ask, Exchange, Stream},
    site::Site,
};
use tradewind::clock::{Clock, Moment};

/// How long the ramps take that are compared with their plan, and how many clients ask meanwhile.
const RAMP: f64 = 20.0;
const CLIENTS_A_SECOND: u32 = 2_000;
/// How far the share may lie from the plan: of the 6,000 draws of three seconds 4.6 standard
/// deviations, where both sides are equal; of fewer draws as many, too.
const OFF: f64 = 0.03;

const TTL: &str = "{ max = \"30s\", min = \"5s\" }";

/// Holds the share of Washington among all answers, three seconds by three seconds, against
/// `planned(seconds since begun)`.
#[track_caller]
fn assert_as_planned(
    what: &str,
    exchanges: &[Exchange],
    begun: Moment,
    planned: impl Fn(f64) -> f64,
) {
    let mut buckets: BTreeMap<u64, Bucket> = BTreeMap::new();
    for exchange in exchanges.iter().filter(|e| e.asked > begun) {
        let at = exchange.asked.since(begun).as_secs_f64();
        let bucket = buckets.entry(at as u64 / 3).or_default();
        let is_iad = exchange.answer.address() == IpAddr::from([192, 0, 2, 1]);
        bucket.all += 1.0;
        bucket.iad += f64::from(u8::from(is_iad));
        // It moves when the server's clock shows another second, to where it should be then or
        // less than half a second ago.
        bucket.least += planned((at - 1.0).max(0.0));
        bucket.most += planned(at);
    }
    let mut told = Vec::new();
    for (number, Bucket { all, iad, least, most }) in &buckets {
        let is = iad / all;
        told.push(format!("{is:.3}"));
        let off = OFF.max(2.3 / all.sqrt());
        let wanted = least / all - off..=most / all + off;
        assert!(wanted.contains(&is), "{what}, {number}: {is:.3} not in {wanted:.3?} of {all}");
    }
    assert!(buckets.len() >= 6, "{what}: {told:?}");
    let took = exchanges.last().unwrap().asked.since(exchanges[0].asked).as_secs_f64();
    let rate = exchanges.len() as f64 / took;
    figure(what, format_args!("by three seconds at {rate:.0} queries/s: {}", told.join(" ")));
}

/// The answers of three seconds: how many, how many of them Washington, and how many of those at
/// least and at most as planned.
#[derive(Default)]
struct Bucket {
    all: f64,
    iad: f64,
    least: f64,
    most: f64,
}

const APP: &str = "record:gtm.example/app";

#[test]
fn a_manual_failback_waits_shows_who_would_move_and_ramps() {
    let rules = "members = [\"iad\", \"dub\"]\nfailback = \"manual\"\nramp = { over = \"20s\", start = 0.1 }";
    let mut site = Site::start(171, TTL, rules);
    let stream = site.stream();
    site.iad.stop();
    let dead = site.await_phase("standby");
    assert_eq!(dead["active"], "dub");
    site.iad.restart();
    let waiting = site.await_phase("failback-pending");
    assert_eq!(
        (&waiting["waits"]["to"], &waiting["waits"]["by_approval"]),
        (&"iad".into(), &true.into())
    );
    let status = site.server.cli("status", &[]);
    assert_eq!(status.status.code(), Some(1), "somebody should look");
    // Long after any automatic failback would have moved.
    let since = site.clock.now();
    stream.await_answer("a while", DEADLINE, |e| e.asked.since(since) > Duration::from_secs(2));
    assert_eq!(site.failover()["phase"], "failback-pending");

    let preview = site.cli("approve", &[APP, "--dry-run"], 0);
    assert!(preview.contains("us") && preview.contains("eu") && preview.contains('%'), "{preview}");
    assert_eq!(site.failover()["phase"], "failback-pending", "a dry run does nothing");
    assert!(stream.stop().iter().all(|e| !e.answer.addresses.is_empty()));
    let stream = site.stream_at(CLIENTS_A_SECOND);
    let before = site.server.last_event();
    site.cli("approve", &[APP, "--reason", "database caught up"], 0);
    let moved = site.server.await_event("the move", before, |e| e["event"] == "failover");
    let begun = site.moment(&moved);
    let over = begun.after(Duration::from_secs_f64(RAMP + 1.0));
    stream.await_answer("the end of the ramp", 2 * DEADLINE, |e| e.asked > over);
    site.await_phase("primary");
    let ended = site.clock.now();
    let whole = |e: &Exchange| e.asked > ended && e.answer.ttl == Some(30);
    stream.await_answer("calm", DEADLINE, whole);
    let exchanges = stream.stop();
    let planned = |at: f64| (0.1 + 0.9 * at / RAMP).min(1.0);
    assert_as_planned("ramp of a failback", &exchanges, begun, planned);
    let while_it_runs =
        exchanges.iter().filter(|e| e.asked > begun.after(Duration::from_millis(500)));
    let mut runs = while_it_runs.take_while(|e| e.asked.since(begun).as_secs_f64() < RAMP - 0.5);
    assert!(runs.all(|e| e.answer.ttl == Some(5)), "a ramp that runs has short TTLs");
    assert!(site.share_of_iad() == (1.0, 30));
    let moved = site.server.events(0);
    let moved: Vec<&Value> = moved.iter().filter(|event| event["event"] == "failover").collect();
    assert_eq!(moved.len(), 2, "{moved:#?}");
}

#[test]
fn a_member_that_comes_back_takes_its_clients_little_by_little() {
    let rules = "members = [\"iad\"]\n[policies.both]\npolicy = \"weighted\"\n\
                 members = [\"iad\", \"dub\"]\n[records.split]\npolicy = \"weighted\"\n\
                 members = [\"both\"]\nramp = { over = \"20s\", start = 0.1 }";
    let mut site = Site::start(186, TTL, rules);
    let asks = vec![Ask::a("split.gtm.example")];
    let stream = Stream::start(site.server.udp(), site.clock, asks, CLIENTS_A_SECOND);
    let before = site.server.last_event();
    site.iad.stop();
    let is = |to: &'static str| {
        move |e: &Value| {
            e["event"] == "verdict" && e["to"] == to && e["subject"] == "gtm.example/iad/e"
        }
    };
    site.server.await_event("its fall", before, is("down"));
    site.iad.restart();
    let risen = site.server.await_event("its rise", before, is("up"));
    let begun = site.moment(&risen);
    let enough = begun.after(Duration::from_secs_f64(RAMP + 1.0));
    let half_each = stream.await_answer("the end of the ramp", 2 * DEADLINE, |e| e.asked > enough);
    assert_eq!(half_each.answer.addresses.len(), 1);
    // Half of the clients that take part in it are its own.
    let planned = |at: f64| (0.1 + 0.9 * at / RAMP).min(1.0) / 2.0;
    assert_as_planned("slow start", &stream.stop(), begun, planned);
}

#[test]
fn a_manual_failover_keeps_the_dead_member_until_it_is_approved_and_never_empties() {
    let rules = "members = [\"iad\", \"dub\"]\nfailover = \"manual\"\nfailback = \"manual\"";
    let mut site = Site::start(174, TTL, rules);
    let stream = site.stream();
    site.iad.stop();
    let waiting = site.await_phase("failing-over");
    assert_eq!((&waiting["active"], &waiting["waits"]["to"]), (&"iad".into(), &"dub".into()));
    assert_eq!(site.share_of_iad().0, 1.0, "kept, although it is down");
    // Rejected it is not asked again; a restart of the other member asks anew.
    site.cli("reject", &[APP], 0);
    await_some("no request", || site.failover()["waits"].is_null().then_some(()));
    site.cli("approve", &[APP], 4);
    // An answer, however wrong, shows that we are not the ones who are cut off.
    site.dub.set(Mood::ill());
    await_some("nobody up", || (site.endpoints_up() == 0).then_some(()));
    site.dub.set(Mood::well());
    site.await_phase("failing-over");
    site.cli("approve", &[APP], 0);
    assert_eq!(site.share_of_iad().0, 0.0, "leaving a dead member is at once");
    let exchanges = stream.stop();
    assert!(exchanges.iter().all(|e| e.answer.addresses.len() == 1));
}

#[test]
fn a_standby_is_kept_warm_by_exactly_its_trickle() {
    let site = Site::start(177, TTL, "members = [\"iad\", \"dub\"]\ntrickle = 0.1");
    assert_eq!(site.share_of_iad(), (0.9, 30));
}

#[test]
fn a_failover_with_a_delay_waits_for_it() {
    let rules = "members = [\"iad\", \"dub\"]\nfailover_delay = \"2s\"\nfailback = \"auto\"";
    let mut site = Site::start(180, TTL, rules);
    let stream = site.stream();
    site.iad.stop();
    let waiting = site.await_phase("failing-over");
    assert!(waiting["waits"]["due_in_s"].as_f64().is_some_and(|due| due <= 2.0), "{waiting}");
    let down = site.clock.now();
    let moved = stream.await_answer("the standby", DEADLINE, |e| {
        e.answer.addresses == [IpAddr::from([192, 0, 2, 2])]
    });
    assert!(moved.asked.since(down) > Duration::from_millis(1_500));
    assert!(stream.stop().iter().all(|e| e.answer.addresses.len() == 1));
}

/// A failover whose second member requires the database.
const GATED: &str =
    "members = [\"iad\", { pool = \"dub\", require = [\"check:db\"] }]\nfailback = \"auto\"";

#[test]
fn a_checker_that_is_cut_off_shuts_no_gate() {
    let mut site = Site::start(186, TTL, GATED);
    site.await_gate("up");
    let before = site.server.last_event();
    for backend in [&mut site.iad, &mut site.dub, &mut site.database] {
        backend.stop();
    }
    site.server.await_event("the alarm", before, |event| {
        event["event"] == "breaker" && event["text"].as_str().unwrap().contains("cut off")
    });
    site.await_gate("down");
    let told = |kind: &str| -> Vec<Value> {
        let events = site.server.events(before).into_iter();
        events.filter(|event| event["event"] == *kind).collect()
    };
    assert_eq!(
        [told("target"), told("failover"), told("verdict")],
        [const { Vec::<Value>::new() }; 3]
    );
    // Whoever knows better than a checker that hears nobody goes through it.
    let to = ["record:gtm.example/app", "--to", "dub", "--reason", "a test"];
    site.cli("failover", &to, 0);
    assert_eq!(site.failover()["active"], "dub");
    // With a witness it is shut, for it fails once more.
    site.iad.restart();
    let shut = site.server.await_event("the gate", before, |event| event["event"] == "target");
    assert_eq!((&shut["subject"], &shut["to"]), (&"check:db".into(), &"down".into()), "{shut}");
}

#[test]
fn a_shut_gate_holds_a_move_until_it_opens() {
    let mut site = Site::start(183, TTL, GATED);
    site.database.stop();
    let shut = site.server.await_event("the gate", 0, |event| event["event"] == "target");
    assert_eq!((&shut["subject"], &shut["to"]), (&"check:db".into(), &"down".into()), "{shut}");
    let stream = site.stream();
    site.iad.stop();
    let waiting = site.await_phase("failing-over");
    assert_eq!(waiting["waits"]["what"], "waits for what it requires");
    assert_eq!(site.share_of_iad().0, 1.0);
    site.database.restart();
    site.await_phase("standby");
    assert_eq!(site.share_of_iad().0, 0.0);
    assert!(stream.stop().iter().all(|e| e.answer.addresses.len() == 1));
}
