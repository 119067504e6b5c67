//! Every way in which endpoints, the checker and the way between them can fail, end to end.
//!
//! The requirements H-1 … H-7 of reliability: what must be seen is seen in time, what must not
//! move anybody does not. Real backends, real probes, real packets; time that decides is
//! simulated elsewhere (`health::judge`, `failover::breaker`, `control::tests`).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::op::ResponseCode;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};
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
const RECHECK: Duration = Duration::from_millis(100);
/// For publishing; what the server is kept waiting by a busy machine is measured and comes on top.
const MARGIN: Duration = Duration::from_millis(250);
/// A measurement on a machine that keeps the server waiting for longer says nothing of the server.
const KEPT_WAITING_MAX: Duration = Duration::from_millis(500);

fn check(more: &str) -> String {
    let kind = if more.contains("type =") { "" } else { "type = \"http\"\n" };
    let recheck = if more.contains("fast_recheck") { "" } else { "fast_recheck = \"100ms\"\n" };
    format!(
        "[web]\n{kind}interval = \"300ms\"\ntimeout = \"200ms\"\nfall = 2\nrise = 2\n{recheck}{more}"
    )
}

/// Regions, each with as many endpoints, and a server that watches them.
struct Site {
    /// The first endpoint of each region, then the second of each, and so on.
    regions: Vec<Backend>,
    server: Server,
    clock: SystemClock,
}

/// What a [`Site`] is made of.
struct Layout<'a> {
    /// Endpoints are on `127.0.0.host` and the addresses after it.
    host: u8,
    regions: u8,
    /// Endpoints of each region.
    each: u8,
    check: &'a str,
    /// Added to the server's file.
    server: &'a str,
}

impl Site {
    /// Regions of one endpoint each.
    fn start(host: u8, regions: u8, more: &str) -> Site {
        Site::of(&Layout { host, regions, each: 1, check: &check(more), server: "" })
    }

    /// `app` fails over from the first region to the last, `all` answers all that is up.
    fn of(layout: &Layout<'_>) -> Site {
        let Layout { host, regions, each, .. } = *layout;
        let backends: Vec<Backend> =
            (0..regions * each).map(|at| Backend::start(host + at)).collect();
        let mut server = format!("{SERVER}{}", layout.server);
        let mut zone = String::from(
            "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web\"\nttl = \"30s\"\n\
             static = \"ns1 60 IN A 127.0.0.53\"\n",
        );
        let mut members = Vec::new();
        for at in 0..regions {
            server += &format!("[regions.r{at}]\nat = [{at}.0, 0.0]\n");
            let endpoints = (0..each).map(|n| {
                let place = n * regions + at;
                let probe = backends[usize::from(place)].address();
                let name = if n == 0 { "e".to_owned() } else { format!("e{n}") };
                format!("{{ name = \"{name}\", ipv4 = \"192.0.2.{place}\", probe = \"{probe}\" }}")
            });
            let endpoints = endpoints.collect::<Vec<_>>().join(", ");
            zone += &format!("[pools.p{at}]\nregion = \"r{at}\"\nendpoints = [{endpoints}]\n");
            members.push(format!("\"p{at}\""));
        }
        let members = members.join(", ");
        zone += &format!(
            "[records.app]\npolicy = \"failover\"\nmembers = [{members}]\nfailback = \"auto\"\n\
             [records.all]\npolicy = \"multivalue\"\nmembers = [{members}]\n"
        );
        let folder = Scratch::with(&[
            ("tradewind.toml", &server),
            ("healthchecks/web.toml", layout.check),
            ("zones/gtm.example.toml", &zone),
        ]);
        Site { regions: backends, server: Server::start(folder), clock: SystemClock::default() }
    }

    /// A stream of questions for `app` and `all`, begun once every region is up.
    fn stream(&self) -> Stream {
        self.stream_of(self.regions.len().min(8))
    }

    /// The same, where `all` shows so many.
    fn stream_of(&self, count: usize) -> Stream {
        let asks = vec![Ask::a("app.gtm.example"), Ask::a("all.gtm.example")];
        let stream = Stream::start(self.server.udp(), self.clock, asks, 1_000);
        stream.await_answer("every region", DEADLINE, |e| {
            e.ask == 1 && e.answer.addresses.len() == count
        });
        for region in &self.regions {
            support::await_some("probes", || (region.connections() >= 2).then_some(()));
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

/// How an endpoint is lost.
enum Loss {
    /// It refuses.
    Stop,
    /// It runs, and does this.
    Mood(Mood),
    /// Its host drops whatever comes.
    BlackHole,
}

/// A listener that accepts nobody, its queue full: connections to it hang.
struct BlackHole {
    _listener: Socket,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    fn at(address: SocketAddr) -> BlackHole {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.set_reuse_address(true).unwrap();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, TIMEOUT) {
            queued.push(stream);
        }
        BlackHole { _listener: listener, _queued: queued }
    }
}

/// H-1 and H-4: whenever it is lost, it is left in time. Of a check whose rechecks follow a
/// failure after `recheck`; each probe takes `each` to fail.
fn is_left_in_time(
    (what, host, more): (&str, u8, &str),
    loss: &Loss,
    recheck: Option<Duration>,
    each: Duration,
) {
    let mut site = Site::start(host, 2, &format!("hold_down = \"off\"\n{more}"));
    let again = recheck.map_or(INTERVAL, |after| (each + after).min(INTERVAL));
    let bound = INTERVAL + each + again * (FALL - 1) + MARGIN;
    let (mut quiet, mut worst) = (0, Duration::ZERO);
    // Each time at another place of the interval: it comes back at a place of its own.
    for _ in 0..8 {
        let stream = site.stream_of(2);
        let waited = site.server.kept_waiting();
        let dead = &mut site.regions[0];
        let mut hole = None;
        let mut lost = site.clock.now();
        match loss {
            Loss::Stop => dead.stop(),
            Loss::Mood(mood) => dead.set(mood.clone()),
            Loss::BlackHole => {
                dead.stop();
                hole = Some(BlackHole::at(dead.address()));
                // Until its queue was full, some got in.
                lost = site.clock.now();
            }
        }
        let moved = stream.await_answer("the other region", DEADLINE, |e| {
            e.ask == 0 && e.answer.addresses == [region(1)]
        });
        let moved = moved.asked.since(lost);
        assert_answers(&stream.stop());
        drop(hole);
        site.regions[0].set(Mood::well());
        site.regions[0].restart();
        let late = site.server.kept_waiting().saturating_sub(waited) * 2;
        assert!(moved <= bound + late, "{what}: {moved:?}, bound {bound:?}, {late:?} late");
        // What was measured while others had the processors is no figure.
        if late > KEPT_WAITING_MAX {
            continue;
        }
        (quiet, worst) = (quiet + 1, worst.max(moved));
        if quiet == 3 {
            break;
        }
    }
    let (worst, bound) = (worst.as_secs_f64(), bound.as_secs_f64());
    figure(&format!("H-1 {what}"), format_args!("{worst:.3} s of {bound:.3} s ({quiet} losses)"));
}

#[test]
fn an_endpoint_that_refuses_is_left_in_time() {
    is_left_in_time(("refuse", 131, ""), &Loss::Stop, Some(RECHECK), Duration::ZERO);
}

#[test]
fn an_endpoint_that_refuses_is_left_in_time_in_the_calm_setting() {
    let calm = "fast_recheck = \"off\"\n";
    is_left_in_time(("refuse, calm", 161, calm), &Loss::Stop, None, Duration::ZERO);
}

#[test]
fn an_endpoint_that_resets_is_left_in_time() {
    let loss = Loss::Mood(Mood::Reset);
    is_left_in_time(("reset", 133, ""), &loss, Some(RECHECK), Duration::ZERO);
}

#[test]
fn an_endpoint_that_answers_500_is_left_in_time() {
    let loss = Loss::Mood(Mood::Answer(500, "oh\n".into()));
    is_left_in_time(("500", 135, ""), &loss, Some(RECHECK), Duration::ZERO);
}

#[test]
fn an_endpoint_that_hangs_is_left_in_time() {
    is_left_in_time(("hang", 137, ""), &Loss::Mood(Mood::Hang), Some(RECHECK), TIMEOUT);
}

#[test]
fn an_endpoint_that_hangs_is_left_in_time_in_the_calm_setting() {
    let calm = "fast_recheck = \"off\"\n";
    is_left_in_time(("hang, calm", 163, calm), &Loss::Mood(Mood::Hang), None, TIMEOUT);
}

#[test]
fn an_endpoint_that_dribbles_is_left_in_time() {
    is_left_in_time(("dribble", 139, ""), &Loss::Mood(Mood::Dribble), Some(RECHECK), TIMEOUT);
}

#[test]
fn an_endpoint_slower_than_the_timeout_is_left_in_time() {
    let loss = Loss::Mood(Mood::Slow(TIMEOUT * 3 / 2));
    is_left_in_time(("1.5 × timeout", 141, ""), &loss, Some(RECHECK), TIMEOUT);
}

#[test]
fn a_port_that_refuses_is_left_in_time() {
    let tcp = "type = \"tcp\"\n";
    is_left_in_time(("tcp, refuse", 165, tcp), &Loss::Stop, Some(RECHECK), Duration::ZERO);
}

#[test]
fn a_host_that_drops_everything_is_left_in_time() {
    let tcp = "type = \"tcp\"\n";
    is_left_in_time(("tcp, black hole", 167, tcp), &Loss::BlackHole, Some(RECHECK), TIMEOUT);
}

/// In `mood` for so many probes nothing moves.
fn moves_nobody(site: &Site, mood: Mood, probes: u64) {
    let stream = site.stream();
    let before = site.server.last_event();
    site.regions[0].set(mood);
    site.regions[0].await_hits(site.regions[0].hits() + probes, DEADLINE);
    let exchanges = stream.stop();
    assert_answers(&exchanges);
    let moved = exchanges.iter().filter(|e| e.ask == 0 && e.answer.addresses != [region(0)]);
    assert_eq!(moved.count(), 0);
    assert_eq!(site.verdicts(before), Vec::<Value>::new());
}

#[test]
fn an_endpoint_that_flaps_below_fall_moves_nobody() {
    moves_nobody(&Site::start(143, 2, ""), Mood::Flap, 12);
}

/// A time-out long enough that a busy machine does not add the other four tenths.
const SLOW: &str = "[web]\ntype = \"http\"\ninterval = \"1s\"\ntimeout = \"800ms\"\nfall = 2\n\
                    hold_down = \"off\"\n";

#[test]
fn an_endpoint_slower_than_usual_but_in_time_moves_nobody() {
    let site = Site::of(&Layout { host: 145, regions: 2, each: 1, check: SLOW, server: "" });
    moves_nobody(&site, Mood::Slow(Duration::from_millis(480)), 6);
}

/// H-4: slower than `max_latency` allows it is degraded, and answered all the same.
#[test]
fn an_endpoint_slower_than_max_latency_is_degraded_and_answered() {
    let check = format!("{SLOW}max_latency = \"200ms\"\n");
    let site = Site::of(&Layout { host: 169, regions: 2, each: 1, check: &check, server: "" });
    let stream = site.stream();
    let before = site.server.last_event();
    site.regions[0].set(Mood::Slow(Duration::from_millis(400)));
    let slow = site.server.await_event("degraded", before, |event| event["to"] == "degraded");
    assert!(slow["cause"].as_str().unwrap().starts_with("slow: 200 in "), "{slow}");
    site.regions[0].set(Mood::well());
    let seq = slow["seq"].as_u64().unwrap();
    site.server.await_event("up again", seq, |event| event["to"] == "up");
    let exchanges = stream.stop();
    assert_answers(&exchanges);
    assert!(exchanges.iter().all(|e| e.ask == 1 || e.answer.addresses == [region(0)]));
}

/// H-3: however it flaps, it changes three times at first and then not before a minute is over.
#[test]
fn an_endpoint_that_flaps_beyond_fall_is_held_down() {
    let check = "[web]\ntype = \"http\"\ninterval = \"100ms\"\ntimeout = \"80ms\"\nfall = 1\n\
                 rise = 1\nhold_down = \"1s\"\n";
    let site = Site::of(&Layout { host: 171, regions: 2, each: 1, check, server: "" });
    let stream = site.stream();
    let before = site.server.last_event();
    site.regions[0].set(Mood::Flap);
    site.regions[0].await_hits(site.regions[0].hits() + 100, DEADLINE);
    assert_answers(&stream.stop());
    let of_it = |event: &Value| event["subject"] == "gtm.example/p0/e";
    let turned: Vec<Value> = site.verdicts(before).into_iter().filter(of_it).collect();
    assert!((2..=3).contains(&turned.len()), "{turned:#?}");
    let decided = |at: usize| turned[at]["decided_ms"].as_f64().unwrap();
    assert_eq!((&turned[0]["to"], &turned[1]["to"]), (&"down".into(), &"up".into()));
    assert!(decided(1) - decided(0) >= 1_000.0, "{turned:#?}");
    let targets = site.server.control_request("GET", "/v1/targets").1;
    let targets = serde_json::from_value::<Vec<Value>>(targets).unwrap();
    let target = targets.iter().find(|target| target["target"] == "gtm.example/p0/e").unwrap();
    assert_eq!(target["flapping"], turned.len() == 3, "{target}");
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
    // Both come back, one after the other: in between the second may be seen to be away still.
    let last = "gtm.example/p2/e";
    let fell: Vec<Value> = site.verdicts(before).iter().map(|v| v["subject"].clone()).collect();
    assert!(fell.contains(&"gtm.example/p0/e".into()), "{fell:?}");
    assert!(fell.iter().all(|name| name == "gtm.example/p0/e" || name == last), "{fell:?}");
}

/// A check whose slowest detection, within which losses count as one, is long beside the time over
/// which those of several regions are seen.
fn patient() -> String {
    check("").replace("fall = 2", "fall = 5")
}

/// DESIGN §5: more than half of three or more regions at once is held, and can be confirmed.
#[test]
fn a_mass_failure_is_held_until_someone_confirms() {
    let check = patient();
    let mut site = Site::of(&Layout { host: 153, regions: 4, each: 1, check: &check, server: "" });
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

/// The same with nobody there to confirm: it takes effect in its time.
#[test]
fn a_mass_failure_takes_effect_when_its_hold_is_over() {
    let server = "[health]\nbreaker = { share = 0.5, hold = \"2s\" }\n";
    let check = patient();
    let mut site = Site::of(&Layout { host: 173, regions: 4, each: 1, check: &check, server });
    let stream = site.stream();
    let (before, waited) = (site.server.last_event(), site.server.kept_waiting());
    site.regions[..3].iter_mut().for_each(Backend::stop);
    let is_of_breaker = |event: &Value| event["event"] == "breaker";
    let held = site.server.await_event("the alarm", before, is_of_breaker);
    let seq = held["seq"].as_u64().unwrap();
    let released = site.server.await_event("the end of it", seq, is_of_breaker);
    assert!(released["text"].as_str().unwrap().contains("take effect"), "{released}");
    let offset = |event: &Value| event["offset_ms"].as_f64().unwrap();
    let took = Duration::from_secs_f64((offset(&released) - offset(&held)) / 1e3);
    let late = site.server.kept_waiting().saturating_sub(waited) * 2;
    let hold = Duration::from_secs(2);
    assert!(took >= hold - Duration::from_millis(5) && took <= hold + MARGIN + late, "{took:?}");
    stream.await_answer("the last region", DEADLINE, |e| {
        e.ask == 0 && e.answer.addresses == [region(3)]
    });
    assert_answers(&stream.stop());
}

/// H-6 with endpoints that hang: they fail one after another, and none falls.
#[test]
fn when_everything_hangs_nothing_falls_and_an_alarm_is_raised() {
    let check = check("");
    let site = Site::of(&Layout { host: 177, regions: 2, each: 3, check: &check, server: "" });
    let before = site.server.last_event();
    site.regions.iter().for_each(|backend| backend.set(Mood::Hang));
    site.server.await_event("the alarm", before, |event| {
        event["event"] == "breaker" && event["alarm"] == true
    });
    let since = site.clock.now();
    support::await_some("ten intervals", || {
        (site.clock.now().since(since) >= INTERVAL * 10).then_some(())
    });
    assert_eq!(site.verdicts(before), Vec::<Value>::new());
}

/// The same with a guard that can be reached: then it is they who are down.
#[test]
fn when_everything_hangs_but_a_guard_answers_everything_falls() {
    let guard = Backend::start(183);
    let server = format!("[health]\nisolation_guard = [\"{}\"]\n", guard.address());
    let check = check("");
    let site = Site::of(&Layout { host: 184, regions: 2, each: 3, check: &check, server: &server });
    let before = site.server.last_event();
    site.regions.iter().for_each(|backend| backend.set(Mood::Hang));
    support::await_some("all falls", || {
        let verdicts = site.verdicts(before);
        (verdicts.iter().filter(|verdict| verdict["to"] == "down").count() == 6).then_some(())
    });
    assert!(guard.connections() > 0);
}

/// The only endpoint that is probed, beside one that is not: nobody but the guard can testify.
#[test]
fn the_only_probed_endpoint_falls_by_the_word_of_a_guard() {
    let guard = Backend::start(190);
    let mut web = Backend::start(191);
    let zone = format!(
        "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web\"\n\
         static = \"ns1 60 IN A 127.0.0.53\"\n\
         [pools.web]\nendpoints = [{{ name = \"e\", ipv4 = \"192.0.2.0\", probe = \"{}\" }}]\n\
         [pools.sorry]\ncheck = \"none\"\nendpoints = [{{ name = \"e\", ipv4 = \"192.0.2.1\" }}]\n\
         [records.app]\npolicy = \"failover\"\nmembers = [\"web\", \"sorry\"]\n",
        web.address()
    );
    let server = format!("{SERVER}[health]\nisolation_guard = [\"{}\"]\n", guard.address());
    let server = Server::start(Scratch::with(&[
        ("tradewind.toml", &server),
        ("healthchecks/web.toml", &check("")),
        ("zones/gtm.example.toml", &zone),
    ]));
    let asks = vec![Ask::a("app.gtm.example")];
    let stream = Stream::start(server.udp(), SystemClock::default(), asks, 500);
    stream.await_answer("the web", DEADLINE, |e| e.answer.addresses == [region(0)]);
    assert_eq!(guard.connections(), 0, "nobody is needed yet");
    web.stop();
    stream.await_answer("the excuse", DEADLINE, |e| e.answer.addresses == [region(1)]);
    assert_answers(&stream.stop());
    assert!(guard.connections() > 0);
}

/// One region of two hangs: the rest of it goes within `fall` time-outs after its first endpoint.
fn a_region_goes_together(host: u8, after_a_restart: bool) {
    const CHECK: &str = "[web]\ntype = \"http\"\ninterval = \"6s\"\ntimeout = \"1s\"\nfall = 3\n";
    let layout = Layout { host, regions: 2, each: 5, check: CHECK, server: "" };
    let mut site = Site::of(&layout);
    site.regions.iter().for_each(|backend| backend.await_hits(1, DEADLINE));
    if after_a_restart {
        let Site { regions, server, clock } = site;
        site = Site { regions, server: Server::start(server.kill()), clock };
    }
    let (before, waited) = (site.server.last_event(), site.server.kept_waiting());
    site.regions.iter().step_by(2).for_each(|backend| backend.set(Mood::Hang));
    let falls = support::await_some_for(DEADLINE * 2, "all falls", || {
        let down = |verdict: &Value| verdict["to"] == "down";
        let falls: Vec<Value> = site.verdicts(before).into_iter().filter(down).collect();
        (falls.len() == 5).then_some(falls)
    });
    let decided = |event: &Value| event["decided_ms"].as_f64().unwrap();
    assert!(falls.iter().all(|fall| fall["subject"].as_str().unwrap().contains("/p0/")));
    let took = Duration::from_secs_f64((decided(&falls[4]) - decided(&falls[0])) / 1e3);
    let late = site.server.kept_waiting().saturating_sub(waited) * 2;
    figure("a region of five, from its first fall to its last", format_args!("{took:?}"));
    assert!(took <= Duration::from_secs(3) + MARGIN * 2 + late, "{took:?}, {late:?} late");
}

#[test]
fn a_region_that_hangs_goes_together() {
    a_region_goes_together(192, false);
}

#[test]
fn a_region_that_hangs_right_after_a_restart_goes_together() {
    a_region_goes_together(202, true);
}

/// H-7: a probe that was under way when the server was stopped proves nothing, however it ends.
#[test]
fn a_probe_that_hangs_while_the_server_is_stopped_moves_nobody() {
    let check = "[web]\ntype = \"http\"\ninterval = \"3s\"\ntimeout = \"2s\"\nfall = 1\n";
    let site = Site::of(&Layout { host: 212, regions: 2, each: 1, check, server: "" });
    let before = site.server.last_event();
    let hung = &site.regions[0];
    hung.set(Mood::Hang);
    hung.await_hits(hung.hits() + 1, DEADLINE);
    site.server.signal("STOP");
    hung.set(Mood::well());
    let (stopped, hits) = (site.clock.now(), hung.hits());
    support::await_some("six seconds", || {
        (site.clock.now().since(stopped) >= Duration::from_secs(6)).then_some(())
    });
    site.server.signal("CONT");
    hung.await_hits(hits + 2, DEADLINE);
    assert_eq!(site.verdicts(before), Vec::<Value>::new());
    let targets = site.server.control_request("GET", "/v1/targets").1;
    let voids = targets.as_array().unwrap().iter().filter_map(|target| target["voids"].as_u64());
    assert!(voids.sum::<u64>() > 0, "{targets}");
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
