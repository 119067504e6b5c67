//! A region dies and comes back, end to end: real backends, real probes, real packets.
//!
//! DESIGN §5: an endpoint that dies is out of the answers no later than interval × fall +
//! timeout, one that comes back is in again after `rise` and the failback rule, and meanwhile no
//! question is lost and no answer empty.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::{op::ResponseCode, rr::RecordType};
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::{Duration, SystemTime},
};
use support::{
    DEADLINE,
    backend::{Backend, Mood},
    free_address,
    load::{Answer, Ask, Exchange, Stream},
    scratch::Scratch,
    server::Server,
};
use tradewind::clock::{Clock, SystemClock};

const SERVER: &str = r#"
[server]
listen = ["127.0.0.1:0"]
"#;

const CHECK: &str = r#"
[web]
type         = "http"
interval     = "300ms"
timeout      = "200ms"
fall         = 2
rise         = 2
fast_recheck = "100ms"
"#;
const INTERVAL: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_millis(200);
/// Jitter shortens an interval to no less.
const INTERVAL_MIN: Duration = Duration::from_millis(270);
const FAILBACK_DELAY: Duration = Duration::from_secs(1);
/// For publishing; what the server is kept waiting by a busy machine is measured and comes on top.
const MARGIN: Duration = Duration::from_millis(250);
/// The longest a dead region may be answered: interval × fall + timeout, and the margin.
const DETECTION: Duration = Duration::from_millis(300 * 2 + 200 + 250);

const IAD: &str = "192.0.2.1";
const DUB: &str = "192.0.2.2";
const IAD6: &str = "2001:db8::1";
const DUB6: &str = "2001:db8::2";

fn zone(iad: SocketAddr, dub: SocketAddr) -> String {
    format!(
        r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
check  = "web"
ttl    = {{ max = "30s", min = "5s" }}
static = "ns1 60 IN A 127.0.0.53"

[pools.iad]
endpoints = [{{ name = "iad-1", ipv4 = "{IAD}", ipv6 = "{IAD6}", probe = "{iad}" }}]
[pools.dub]
endpoints = [{{ name = "dub-1", ipv4 = "{DUB}", ipv6 = "{DUB6}", probe = "{dub}" }}]
[pools.both]
endpoints = [
  {{ name = "iad-1", ipv4 = "{IAD}", probe = "{iad}" }},
  {{ name = "dub-1", ipv4 = "{DUB}", probe = "{dub}" }},
]

[records.app]
policy = "failover"
members = ["iad", "dub"]
failback = "after"
failback_delay = "1s"
[records.eager]
policy = "failover"
members = ["iad", "dub"]
failback = "auto"
[records.split]
policy = "weighted"
members = [{{ pool = "iad", weight = 1 }}, {{ pool = "dub", weight = 1 }}]
[records.pool]
policy = "multivalue"
members = ["both"]
[records.silent]
policy = "failover"
members = ["iad", "dub"]
all_down = "nodata"
"#
    )
}

/// A server and the two regions behind it.
struct Site {
    clock: SystemClock,
    iad: Backend,
    dub: Backend,
    server: Server,
}

impl Site {
    /// With regions on `127.0.0.host` and the address after it.
    fn start(host: u8) -> Self {
        let (iad, dub) = (Backend::start(host), Backend::start(host + 1));
        let folder = Scratch::with(&[
            ("tradewind.toml", SERVER),
            ("healthchecks/web.toml", CHECK),
            ("zones/gtm.example.toml", &zone(iad.address(), dub.address())),
        ]);
        Site { clock: SystemClock::default(), iad, dub, server: Server::start(folder) }
    }

    fn stream(&self, asks: Vec<Ask>) -> Stream {
        Stream::start(self.server.udp(), self.clock, asks, 1_000)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn only(answer: &Answer, address: &str) -> bool {
    answer.addresses == [ip(address)]
}

fn of(exchanges: &[Exchange], ask: usize) -> impl Iterator<Item = &Exchange> {
    exchanges.iter().filter(move |exchange| exchange.ask == ask)
}

/// What was answered, in order, repetitions left out.
fn phases<T: PartialEq>(exchanges: &[Exchange], ask: usize, what: fn(&Answer) -> T) -> Vec<T> {
    let mut phases: Vec<T> = of(exchanges, ask).map(|exchange| what(&exchange.answer)).collect();
    phases.dedup();
    phases
}

/// Whether `phases` is `course`, of which those phases that last for 100 ms only may be unseen.
fn follows(phases: &[(IpAddr, u32)], course: &[((IpAddr, u32), bool)]) -> bool {
    let mut left = phases.iter().peekable();
    for (phase, is_short) in course {
        if left.next_if_eq(&phase).is_none() && !is_short {
            return false;
        }
    }
    left.next().is_none()
}

/// Loses `iad` by `lose`, gets it back by `restore`, and looks at every answer between.
fn lose_and_restore(host: u8, lose: fn(&mut Backend), restore: fn(&mut Backend)) {
    let mut site = Site::start(host);
    let asks = vec![
        Ask::a("app.gtm.example"),
        Ask::new("app.gtm.example", RecordType::AAAA, ""),
        Ask::a("eager.gtm.example"),
        Ask::new("eager.gtm.example", RecordType::AAAA, ""),
    ];
    let stream = site.stream(asks);
    let regions = [(IAD, DUB), (IAD6, DUB6), (IAD, DUB), (IAD6, DUB6)];
    let regions = regions.map(|(iad, dub)| (ip(iad), ip(dub)));
    let all_at = |stream: &Stream, place: fn((IpAddr, IpAddr)) -> IpAddr| {
        for (ask, region) in regions.iter().enumerate() {
            stream.await_answer("every record at its region", DEADLINE, |exchange| {
                exchange.ask == ask && exchange.answer.address() == place(*region)
            });
        }
    };
    all_at(&stream, |(iad, _)| iad);
    let before = site.server.last_event();
    let waited = site.server.kept_waiting();

    lose(&mut site.iad);
    let (lost, lost_wall) = (site.clock.now(), site.clock.wall());
    all_at(&stream, |(_, dub)| dub);
    let restoring = site.clock.now();
    restore(&mut site.iad);
    let restored = site.clock.now();
    all_at(&stream, |(iad, _)| iad);
    let exchanges = stream.stop();
    // A probe that was late for want of a processor proves nothing and is sent again.
    let late = site.server.kept_waiting().saturating_sub(waited) * 2;

    for (ask, (iad, dub)) in regions.into_iter().enumerate() {
        let delay = if ask < 2 { FAILBACK_DELAY } else { Duration::ZERO };
        for Exchange { asked, answer, .. } in of(&exchanges, ask) {
            let at = answer.address();
            assert!(at == iad || at == dub, "{answer:?}");
            if *asked > lost.after(DETECTION + late) && *asked < restored {
                assert_eq!(at, dub, "{:?} after the loss", asked.since(lost));
            }
            if *asked > restoring && *asked < restoring.after(INTERVAL_MIN + delay) {
                assert_eq!(at, dub, "back before `rise` and the failback delay");
            }
            // Coming back is promised to nobody to the millisecond: the backends, too, are threads
            // of this program that a busy machine keeps waiting.
            if *asked > restored.after(INTERVAL * 2 + TIMEOUT + delay + MARGIN * 4 + late) {
                assert_eq!(at, iad, "{:?} after it was restored", asked.since(restored));
            }
        }
        let seen = phases(&exchanges, ask, |answer| (answer.address(), answer.ttl.unwrap()));
        let pending = ((dub, 30), delay.is_zero());
        let course =
            [((iad, 30), false), ((iad, 5), true), ((dub, 5), false), pending, ((iad, 30), false)];
        assert!(follows(&seen, &course), "{seen:?}");
    }
    events_tell_the_loss(&site, before, lost_wall, late);
}

/// The verdict, what it moved and the publication of both at once, in time.
fn events_tell_the_loss(site: &Site, before: u64, lost: SystemTime, late: Duration) {
    let is = |event: &serde_json::Value, kind: &str, key: &str, value: &str| {
        event["event"] == kind && event[key] == value
    };
    let verdict = site.server.await_event("the verdict", before, |event| {
        is(event, "verdict", "subject", "gtm.example/iad/iad-1") && event["to"] == "down"
    });
    let of_one_swap: Vec<_> = site
        .server
        .events(before)
        .into_iter()
        .filter(|event| event["swap"] == verdict["swap"])
        .collect();
    for record in ["gtm.example/app", "gtm.example/eager"] {
        let moved = of_one_swap.iter().find(|event| is(event, "failover", "subject", record));
        let moved = moved.unwrap_or_else(|| panic!("{record} not in {of_one_swap:#?}"));
        assert_eq!((&moved["from"], &moved["to"]), (&"iad".into(), &"dub".into()));
    }
    let published = of_one_swap.iter().find(|event| event["event"] == "published").unwrap();
    let published_in = Duration::from_secs_f64(published["took_ms"].as_f64().unwrap() / 1e3);
    assert!(published_in < MARGIN + late, "{published}");
    let at: jiff::Timestamp = published["at"].as_str().unwrap().parse().unwrap();
    let took = SystemTime::from(at).duration_since(lost).unwrap_or_default();
    assert!(took < DETECTION + late, "published {took:?} after the loss");
}

#[test]
fn a_region_that_refuses_is_left_in_time_and_returned_to() {
    lose_and_restore(81, Backend::stop, Backend::restart);
}

#[test]
fn a_region_that_hangs_is_left_in_time_and_returned_to() {
    lose_and_restore(83, |region| region.set(Mood::Hang), |region| region.set(Mood::well()));
}

#[test]
fn with_every_region_down_the_last_good_answers_stay() {
    let mut site = Site::start(85);
    let names = ["app", "split", "pool", "silent"];
    let [app, pool, silent] = [0, 2, 3];
    let asks = names.map(|name| Ask::a(&format!("{name}.gtm.example"))).into();
    let stream = site.stream(asks);
    let until = |what, ask, accept: fn(&Answer) -> bool| {
        stream.await_answer(what, DEADLINE, |e| e.ask == ask && accept(&e.answer)).asked
    };
    until("both in the pool", pool, |answer| answer.addresses.len() == 2);

    site.iad.stop();
    let alone = until("Dublin alone", pool, |answer| only(answer, DUB));
    site.dub.set(Mood::ill());
    let none = until("nothing", silent, |answer| answer.addresses.is_empty());
    // Who was last good is known over a reload too.
    assert_eq!(site.server.reload()["accepted"], true);
    stream.await_answer("more answers", DEADLINE, |_| true);
    site.iad.restart();
    until("Washington again", app, |answer| only(answer, IAD));
    let exchanges = stream.stop();

    for Exchange { ask, answer, .. } in &exchanges {
        assert_eq!(answer.rcode, ResponseCode::NoError);
        assert!(*ask == silent || !answer.addresses.is_empty(), "{} is empty", names[*ask]);
    }
    // Dublin was the last to be good, so it goes on being answered while nobody is up.
    let alone = exchanges.partition_point(|e| e.asked < alone);
    let none = exchanges.partition_point(|e| e.asked < none);
    let has_iad = |e: &&Exchange| e.answer.addresses.contains(&ip(IAD));
    let dark = exchanges[none..].iter().take_while(|e| !has_iad(e)).count();
    for Exchange { ask, answer, .. } in &exchanges[alone..none + dark] {
        assert!(only(answer, DUB) || *ask == silent, "{} is {answer:?}", names[*ask]);
    }
    // And all names come back in the same moment.
    let light = &exchanges[none + dark..];
    assert!(light.iter().all(|e| only(&e.answer, IAD)));
    let of_dark = exchanges[none..none + dark].iter().filter(|e| e.ask == silent);
    assert!(of_dark.into_iter().all(|e| e.answer.addresses.is_empty()));
    let app_phases = phases(&exchanges, app, Answer::address);
    assert_eq!(app_phases, [ip(IAD), ip(DUB), ip(IAD)], "the failover does not wander");
    site.server.await_event("the grounds of the answers", 0, |event| {
        event["event"] == "basis" && event["alarm"] == true
    });
}

#[test]
fn a_blip_shorter_than_fall_shortens_ttls_and_moves_nobody() {
    let site = Site::start(87);
    let stream = site.stream(vec![Ask::a("app.gtm.example"), Ask::a("split.gtm.example")]);
    let ttl_is = |ttl| move |e: &Exchange| e.ask == 0 && e.answer.ttl == Some(ttl);
    stream.await_answer("calm", DEADLINE, ttl_is(30));
    let before = site.server.last_event();
    site.iad.set(Mood::IllFor(1));
    stream.await_answer("the failing probe", DEADLINE, ttl_is(5));
    stream.await_answer("calm again", DEADLINE, ttl_is(30));
    let exchanges = stream.stop();
    let ttls = phases(&exchanges, 0, |answer| (answer.address(), answer.ttl.unwrap()));
    assert_eq!(ttls, [(ip(IAD), 30), (ip(IAD), 5), (ip(IAD), 30)]);
    let from = |place| of(&exchanges, 1).filter(|e| e.answer.address() == ip(place)).count();
    assert!(from(IAD) > 0 && from(DUB) > 0);
    let events = site.server.events(before);
    assert!(!events.iter().any(|event| event["event"] == "verdict"), "{events:#?}");
}

/// An endpoint at two addresses with one port, each probed for itself.
#[test]
fn families_are_judged_apart() {
    // Free on ::1, and given to nobody else; on 127.0.0.89 we are alone.
    let port = free_address(Ipv6Addr::LOCALHOST.into()).port();
    let _v4 = Backend::at(SocketAddr::from(([127, 0, 0, 89], port)));
    let mut v6 = Backend::at(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    let zone = format!(
        r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
check  = "web"
static = "ns1 60 IN A 127.0.0.53"
[pools.web]
endpoints = [
  {{ name = "here", ipv4 = "127.0.0.89", ipv6 = "::1" }},
  {{ name = "there", ipv4 = "{DUB}", ipv6 = "{DUB6}", check = "none" }},
]
[records.www]
policy = "multivalue"
members = ["web"]
"#
    );
    let folder = Scratch::with(&[
        ("tradewind.toml", SERVER),
        ("healthchecks/web.toml", &format!("{CHECK}port = {port}\n")),
        ("zones/gtm.example.toml", &zone),
    ]);
    let server = Server::start(folder);
    let asks = vec![Ask::a("www.gtm.example"), Ask::new("www.gtm.example", RecordType::AAAA, "")];
    let stream = Stream::start(server.udp(), SystemClock::default(), asks, 500);
    let count = |ask, count| move |e: &Exchange| e.ask == ask && e.answer.addresses.len() == count;
    stream.await_answer("both IPv6 addresses", DEADLINE, count(1, 2));
    v6.stop();
    stream.await_answer("one IPv6 address", DEADLINE, count(1, 1));
    v6.restart();
    stream.await_answer("both again", DEADLINE, count(1, 2));
    let exchanges = stream.stop();
    assert!(of(&exchanges, 0).all(|e| e.answer.addresses.len() == 2), "IPv4 took no part in it");
    let v6_alone = of(&exchanges, 1).filter(|e| e.answer.addresses.len() == 1);
    assert!(v6_alone.into_iter().all(|e| e.answer.addresses == [ip(DUB6)]));
}
