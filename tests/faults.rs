//! Every way in which endpoints, the checker and the way between them can fail, end to end.
//!
//! The requirements H-1 … H-7 of reliability: what must be seen is seen in time, what must not
//! move anybody does not. Real backends, real probes, real packets; time that decides is
//! simulated elsewhere (`health::judge`, `failover::breaker`, `control::tests`).

mod support;

use hickory_proto::op::ResponseCode;
use serde_json::Value;
use std::{net::IpAddr, time::Duration};
use support::{
    DEADLINE,
    backend::{Backend, Mood},
    figure,
    load::{Ask, Exchange, Stream},
    scratch::Scratch,
    server::Server,
};
use tradewind::clock::{Clock, SystemClock};

const SERVER: &str = r#"
[server]
listen = ["127.0.0.1:0"]
"#;
const INTERVAL: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_millis(200);
const FALL: u32 = 2;
/// For publishing; what the server is kept waiting by a busy machine is measured and comes on top.
const MARGIN: Duration = Duration::from_millis(250);

fn check(more: &str) -> String {
    format!(
        "[web]\ntype = \"http\"\ninterval = \"300ms\"\ntimeout = \"200ms\"\nfall = 2\nrise = 2\n\
         fast_recheck = \"100ms\"\n{more}"
    )
}

/// Regions, each with one endpoint, and a server that watches them.
struct Site {
    regions: Vec<Backend>,
    server: Server,
    clock: SystemClock,
}

impl Site {
    /// Regions on `127.0.0.host` and the addresses after it; `app` fails over from the first to
    /// the last, `all` answers every one that is up.
    fn start(host: u8, regions: u8, more: &str) -> Site {
        let backends: Vec<Backend> = (0..regions).map(|at| Backend::start(host + at)).collect();
        let mut server = String::from(SERVER);
        let mut zone = String::from(
            "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web\"\nttl = \"30s\"\n\
             static = \"ns1 60 IN A 127.0.0.53\"\n",
        );
        let mut members = Vec::new();
        for (at, backend) in backends.iter().enumerate() {
            server += &format!("[regions.r{at}]\nat = [{at}.0, 0.0]\n");
            zone += &format!(
                "[pools.p{at}]\nregion = \"r{at}\"\nendpoints = [{{ name = \"e\", \
                 ipv4 = \"192.0.2.{at}\", probe = \"{}\" }}]\n",
                backend.address()
            );
            members.push(format!("\"p{at}\""));
        }
        let members = members.join(", ");
        zone += &format!(
            "[records.app]\npolicy = \"failover\"\nmembers = [{members}]\nfailback = \"auto\"\n\
             [records.all]\npolicy = \"multivalue\"\nmembers = [{members}]\n"
        );
        let folder = Scratch::with(&[
            ("tradewind.toml", &server),
            ("healthchecks/web.toml", &check(more)),
            ("zones/gtm.example.toml", &zone),
        ]);
        Site { regions: backends, server: Server::start(folder), clock: SystemClock::default() }
    }

    /// A stream of questions for `app` and `all`, begun once every region is up.
    fn stream(&self) -> Stream {
        let asks = vec![Ask::a("app.gtm.example"), Ask::a("all.gtm.example")];
        let stream = Stream::start(self.server.udp(), self.clock, asks, 1_000);
        let count = self.regions.len();
        stream.await_answer("every region", DEADLINE, |e| {
            e.ask == 1 && e.answer.addresses.len() == count
        });
        for region in &self.regions {
            region.await_hits(2, DEADLINE);
        }
        stream
    }

    fn verdicts(&self, since: u64) -> Vec<Value> {
        let events = self.server.events(since);
        events.into_iter().filter(|event| event["event"] == "verdict").collect()
    }
}

fn region(at: u8) -> IpAddr {
    [192, 0, 2, at].into()
}

/// No answer is empty or an error.
fn assert_answers(exchanges: &[Exchange]) {
    for Exchange { answer, .. } in exchanges {
        assert_eq!(answer.rcode, ResponseCode::NoError);
        assert!(!answer.addresses.is_empty(), "{answer:?}");
    }
}

/// H-1 and H-4: dead in `mood`, or refusing without one, it is left in time.
fn is_left_in_time(what: &str, host: u8, mood: Option<Mood>, each: Duration) {
    let mut site = Site::start(host, 2, "");
    let stream = site.stream();
    let waited = site.server.kept_waiting();
    match mood {
        Some(mood) => site.regions[0].set(mood),
        None => site.regions[0].stop(),
    }
    let lost = site.clock.now();
    let moved = stream
        .await_answer("the other region", DEADLINE, |e| {
            e.ask == 0 && e.answer.addresses == [region(1)]
        })
        .asked
        .since(lost);
    assert_answers(&stream.stop());
    let late = site.server.kept_waiting().saturating_sub(waited) * 2;
    let bound = INTERVAL * FALL + each + MARGIN;
    figure(
        &format!("H-1 {what}"),
        format_args!("{:.3} s of {:.3} s", moved.as_secs_f64(), bound.as_secs_f64()),
    );
    assert!(moved <= bound + late, "{what}: {moved:?}, bound {bound:?} and {late:?} kept waiting");
}

#[test]
fn an_endpoint_that_refuses_is_left_in_time() {
    is_left_in_time("refuse", 131, None, Duration::ZERO);
}

#[test]
fn an_endpoint_that_resets_is_left_in_time() {
    is_left_in_time("reset", 133, Some(Mood::Reset), Duration::ZERO);
}

#[test]
fn an_endpoint_that_answers_500_is_left_in_time() {
    is_left_in_time("500", 135, Some(Mood::Answer(500, "oh\n".into())), Duration::ZERO);
}

#[test]
fn an_endpoint_that_hangs_is_left_in_time() {
    is_left_in_time("hang", 137, Some(Mood::Hang), TIMEOUT);
}

#[test]
fn an_endpoint_that_dribbles_is_left_in_time() {
    is_left_in_time("dribble", 139, Some(Mood::Dribble), TIMEOUT);
}

#[test]
fn an_endpoint_slower_than_the_timeout_is_left_in_time() {
    is_left_in_time("1.5 × timeout", 141, Some(Mood::Slow(TIMEOUT * 3 / 2)), TIMEOUT);
}

/// In `mood` for twelve probes nothing moves.
fn moves_nobody(host: u8, mood: Mood) {
    let site = Site::start(host, 2, "");
    let stream = site.stream();
    let before = site.server.last_event();
    site.regions[0].set(mood);
    site.regions[0].await_hits(site.regions[0].hits() + 12, DEADLINE);
    let exchanges = stream.stop();
    assert_answers(&exchanges);
    let moved = exchanges.iter().filter(|e| e.ask == 0 && e.answer.addresses != [region(0)]);
    assert_eq!(moved.count(), 0);
    assert_eq!(site.verdicts(before), Vec::<Value>::new());
}

#[test]
fn an_endpoint_that_flaps_below_fall_moves_nobody() {
    moves_nobody(143, Mood::Flap);
}

#[test]
fn an_endpoint_slower_than_usual_but_in_time_moves_nobody() {
    moves_nobody(145, Mood::Slow(TIMEOUT * 6 / 10));
}

/// H-6: to a checker that is cut off everything looks dead at once.
#[test]
fn a_checker_that_is_cut_off_changes_no_verdict_and_says_so() {
    let mut site = Site::start(147, 2, "");
    let stream = site.stream();
    let before = site.server.last_event();
    site.regions.iter_mut().for_each(Backend::stop);
    let alarm = site.server.await_event("the alarm", before, |event| {
        event["event"] == "breaker" && event["alarm"] == true
    });
    assert!(alarm["text"].as_str().unwrap().contains("cut off"), "{alarm}");
    let status = site.server.cli("status", &[]);
    assert_eq!(status.status.code(), Some(1));
    // Long enough for each to fall five times over.
    let since = site.clock.now();
    stream.await_answer("a while", DEADLINE, |e| e.asked.since(since) > INTERVAL * FALL * 5);
    site.regions.iter_mut().for_each(Backend::restart);
    site.server.await_event("the way back", before, |event| {
        event["event"] == "breaker" && event["alarm"] == false
    });
    let since = site.clock.now();
    stream.await_answer("a while more", DEADLINE, |e| e.asked.since(since) > INTERVAL * 4);
    let exchanges = stream.stop();
    assert_answers(&exchanges);
    assert!(exchanges.iter().all(|e| e.ask == 1 || e.answer.addresses == [region(0)]));
    assert!(exchanges.iter().all(|e| e.ask == 0 || e.answer.addresses.len() == 2));
    assert_eq!(site.verdicts(before), Vec::<Value>::new());
}

/// Whoever did not come back after a cut-off falls then.
#[test]
fn after_a_cut_off_those_who_stay_away_fall() {
    let mut site = Site::start(149, 3, "");
    let stream = site.stream();
    let before = site.server.last_event();
    site.regions.iter_mut().for_each(Backend::stop);
    site.server.await_event("the alarm", before, |event| event["event"] == "breaker");
    site.regions[1].restart();
    site.regions[2].restart();
    stream.await_answer("the second region", DEADLINE, |e| {
        e.ask == 0 && e.answer.addresses == [region(1)]
    });
    assert_answers(&stream.stop());
    let fell: Vec<String> =
        site.verdicts(before).iter().map(|v| v["subject"].to_string()).collect();
    assert_eq!(fell, ["\"gtm.example/p0/e\""]);
}

/// DESIGN §5: more than half of three or more regions at once is held, and can be confirmed.
#[test]
fn a_mass_failure_is_held_until_someone_confirms() {
    let mut site = Site::start(153, 4, "");
    let stream = site.stream();
    let before = site.server.last_event();
    site.regions[..3].iter_mut().for_each(Backend::stop);
    let alarm = site.server.await_event("the alarm", before, |event| event["event"] == "breaker");
    assert!(alarm["text"].as_str().unwrap().contains("mass failure: 3 of 4"), "{alarm}");
    let since = site.clock.now();
    stream.await_answer("a while", DEADLINE, |e| e.asked.since(since) > INTERVAL * 4);
    assert_eq!(site.verdicts(before).len(), 2, "one region of four too many is held");
    let confirmed = site.server.cli("confirm", &["--falls", "--reason", "we saw it ourselves"]);
    assert_eq!(confirmed.status.code(), Some(0), "{confirmed:?}");
    stream.await_answer("the last region", DEADLINE, |e| {
        e.ask == 0 && e.answer.addresses == [region(3)]
    });
    assert_answers(&stream.stop());
}

/// H-7: six seconds in which the whole server stood still prove nothing.
#[test]
fn a_server_that_was_stopped_for_six_seconds_moves_nobody() {
    let site = Site::start(158, 2, "");
    drop(site.stream().stop());
    let before = site.server.last_event();
    site.server.signal("STOP");
    let stopped = site.clock.now();
    support::await_some("six seconds", || {
        (site.clock.now().since(stopped) >= Duration::from_secs(6)).then_some(())
    });
    let hits: Vec<u64> = site.regions.iter().map(Backend::hits).collect();
    site.server.signal("CONT");
    let asks = vec![Ask::a("app.gtm.example"), Ask::a("all.gtm.example")];
    let stream = Stream::start(site.server.udp(), site.clock, asks, 1_000);
    for (region, hits) in site.regions.iter().zip(hits) {
        region.await_hits(hits + 5, DEADLINE);
    }
    let exchanges = stream.stop();
    assert_answers(&exchanges);
    assert!(exchanges.iter().all(|e| e.ask == 1 || e.answer.addresses == [region(0)]));
    assert_eq!(site.verdicts(before), Vec::<Value>::new());
}
