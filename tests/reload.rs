//! Other files for a running server: what is good of them goes live, nothing else happens.
//!
//! DESIGN §5, Reload: the zone is the unit of failure, an accepted set is kept and found again
//! after any death, and no reload loses a question, a verdict or a latch, or sends a probe.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/mmdb_writer.rs"]
mod mmdb_writer;
mod support;

use hickory_proto::{
    op::ResponseCode,
    rr::{
        RecordType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};
use mmdb_writer::Database;
use serde_json::{Value, json};
use std::{
    fmt::Write,
    fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use support::{
    DEADLINE, await_some,
    backend::Backend,
    dns,
    load::{Ask, Exchange, Stream},
    scratch::Scratch,
    server::Server,
};
use tradewind::clock::{Clock, Moment, SystemClock};

const SERVER: &str = r#"
[server]
listen = ["127.0.0.1:0"]
admin  = "127.0.0.1:0"
"#;
const CHECK: &str = r#"
[web]
type     = "http"
interval = "300ms"
timeout  = "200ms"
fall     = 2
rise     = 2
"#;
/// Jitter shortens the interval to no less.
const INTERVAL_MIN: Duration = Duration::from_millis(270);

/// A static zone whose TXT record says which version it is.
fn version(apex: &str, version: u32) -> String {
    format!(
        "zone = \"{apex}\"\nns = [\"ns1.{apex}\"]\n\
         static = \"\"\"\nns1 60 IN A 127.0.0.53\nversion 5 IN TXT \"{version}\"\n\"\"\"\n"
    )
}

const BROKEN: &str = "zone = \"b.example\"\nns = [\"ns1.b.example\"]\npolcy = 1\n";

/// The version of `apex` that `server` answers.
fn served(server: &Server, apex: &str) -> Option<u32> {
    let reply = dns::ask(server.udp(), &format!("version.{apex}"), RecordType::TXT, "");
    let answer = reply.answers.first()?;
    Some(answer.data.to_string().trim_matches('"').parse().unwrap())
}

fn rcode(server: &Server, name: &str) -> ResponseCode {
    dns::ask(server.udp(), name, RecordType::A, "").metadata.response_code
}

/// A folder with zones `a.example` and `b.example`, both in version 1.
fn two_zones() -> Scratch {
    Scratch::with(&[
        ("tradewind.toml", SERVER),
        ("zones/a.example.toml", &version("a.example", 1)),
        ("zones/b.example.toml", &version("b.example", 1)),
    ])
}

/// The status of `/readyz` and what it says.
fn readiness(server: &Server) -> (u16, String) {
    support::backend::get(server.admin(), "/readyz").unwrap()
}

/// The number of the newest kept revision.
fn newest_kept(server: &Server) -> Option<u64> {
    let (status, revisions) = server.control_request("GET", "/v1/revisions");
    assert_eq!(status, 200);
    revisions.as_array().unwrap().last()?["revision"].as_u64()
}

#[test]
fn a_broken_zone_keeps_its_last_good_version_while_another_goes_live() {
    let server = Server::start(two_zones());
    assert_eq!(readiness(&server), (200, "ready\n".to_owned()));
    server.folder.write("zones/a.example.toml", &version("a.example", 2));
    server.folder.write("zones/b.example.toml", BROKEN);
    let reloaded = server.cli("reload", &[]);
    assert_eq!(reloaded.status.code(), Some(3));
    let said =
        String::from_utf8_lossy(&reloaded.stdout) + String::from_utf8_lossy(&reloaded.stderr);
    assert!(said.contains("zones/b.example.toml:3") && said.contains("polcy"), "{said}");
    assert_eq!((served(&server, "a.example"), served(&server, "b.example")), (Some(2), Some(1)));
    let (status, why) = readiness(&server);
    assert!(status == 503 && why.contains("b.example"), "{status} {why}");

    // The held zone is not forgotten by the next load, nor by one that only looks at geoip/.
    server.folder.write("zones/a.example.toml", &version("a.example", 3));
    assert_eq!(server.reload()["held"], json!(["b.example"]));
    assert_eq!((served(&server, "a.example"), served(&server, "b.example")), (Some(3), Some(1)));

    server.folder.write("zones/b.example.toml", &version("b.example", 2));
    let mended = server.cli("reload", &[]);
    assert_eq!(mended.status.code(), Some(0));
    assert_eq!(served(&server, "b.example"), Some(2));
    assert_eq!(readiness(&server).0, 200);
}

#[test]
fn a_broken_server_file_holds_everything_back() {
    let server = Server::start(two_zones());
    let before = server.last_event();
    server
        .folder
        .write("tradewind.toml", &format!("{SERVER}\n[regions.x]\ncloud = \"aws:nowhere\"\n"));
    server.folder.write("zones/a.example.toml", &version("a.example", 2));
    server.signal("HUP");
    server.await_event("the refusal", before, |event| event["event"] == "refused");
    assert_eq!(served(&server, "a.example"), Some(1));
    assert_eq!(readiness(&server).0, 503);
    server.folder.write("tradewind.toml", SERVER);
    server.signal("HUP");
    await_some("the new version", || (served(&server, "a.example") == Some(2)).then_some(()));
    assert_eq!(readiness(&server).0, 200);
}

#[test]
fn zones_come_and_go() {
    let server = Server::start(two_zones());
    assert_eq!(rcode(&server, "ns1.c.example"), ResponseCode::Refused);
    server.folder.write("zones/c.example.toml", &version("c.example", 1));
    server.folder.remove("zones/a.example.toml");
    let reply = server.reload();
    assert_eq!((&reply["accepted"], &reply["zones"]), (&json!(true), &json!(2)));
    assert_eq!(served(&server, "c.example"), Some(1));
    assert_eq!(rcode(&server, "ns1.a.example"), ResponseCode::Refused);
    assert_eq!(served(&server, "b.example"), Some(1));
}

#[test]
fn a_start_with_broken_files_takes_the_last_good_ones() {
    let server = Server::start(two_zones());
    await_some("the first revision", || (newest_kept(&server) == Some(1)).then_some(()));
    let before = server.last_event();
    let folder = server.kill();
    folder.write("zones/b.example.toml", BROKEN);
    folder.write("zones/a.example.toml", &version("a.example", 2));
    let server = Server::start(folder);
    assert_eq!((served(&server, "a.example"), served(&server, "b.example")), (Some(2), Some(1)));
    assert_eq!(readiness(&server).0, 503);
    assert!(server.log().contains("polcy"), "{}", server.log());
    let alarm = server.await_event("the alarm", before, |event| event["event"] == "loaded");
    assert_eq!(alarm["alarm"], true);

    // A server file that is longer than the one it replaces, wrong at its very end.
    let folder = server.kill();
    folder.write("tradewind.toml", &format!("{SERVER}{}\nlisten = 7\n", "# word\n".repeat(200)));
    let server = Server::start(folder);
    assert_eq!((served(&server, "a.example"), served(&server, "b.example")), (Some(2), Some(1)));
    assert_eq!(readiness(&server).0, 503);
    assert!(server.log().contains("tradewind.toml:206"), "{}", server.log());
}

#[test]
fn a_zone_that_never_compiled_is_a_failure_and_all_others_work() {
    let folder = two_zones();
    folder.write("zones/b.example.toml", BROKEN);
    let server = Server::start(folder);
    assert_eq!(served(&server, "a.example"), Some(1));
    let reply = dns::ask(server.udp(), "version.b.example", RecordType::TXT, "");
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    let told = reply.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Unknown(15)));
    let not_ready = EdnsOption::Unknown(15, vec![0, 14]);
    assert_eq!(told, Some(&not_ready), "RFC 8914: 14 is Not Ready");
    server.folder.write("zones/b.example.toml", &version("b.example", 1));
    server.reload();
    assert_eq!(served(&server, "b.example"), Some(1));
}

#[test]
fn a_server_killed_in_the_middle_of_reloads_starts_again() {
    let mut server = Server::start(two_zones());
    let mut revision = 0;
    for round in 0..3_u32 {
        let first = 100 * (round + 1);
        // This one is kept, as its reply says; of the others nobody knows.
        server.folder.write("zones/a.example.toml", &version("a.example", first));
        assert_eq!(server.reload()["accepted"], true);
        for number in first + 1..first + 5 {
            server.folder.write("zones/a.example.toml", &version("a.example", number));
            server.signal("HUP");
        }
        await_some("one of them", || served(&server, "a.example").filter(|n| *n > first));
        let folder = server.kill();
        // What was kept is all there is.
        folder.write("zones/a.example.toml", "zone = ");
        server = Server::start(folder);
        let number = served(&server, "a.example").unwrap();
        assert!((first..first + 5).contains(&number), "{number} in round {round}");
        assert_eq!(served(&server, "b.example"), Some(1));
        let newest = newest_kept(&server).unwrap();
        assert!(newest > revision, "revisions count up over deaths");
        revision = newest;
    }
}

#[test]
fn what_only_a_restart_can_do_is_said() {
    let server = Server::start(two_zones());
    let told = "udp_threads = 3\ntcp = { clients = 100 }\n\
                proxy = { trusted = ['127.0.8.0/24'] }\nwatch = true\n";
    server.folder.write("tradewind.toml", &format!("{SERVER}{told}"));
    let reloaded = server.cli("reload", &[]);
    let said =
        String::from_utf8_lossy(&reloaded.stdout) + String::from_utf8_lossy(&reloaded.stderr);
    assert_eq!(reloaded.status.code(), Some(0), "{said}");
    assert!(
        said.contains("udp_threads, tcp, proxy, watch") && said.contains("next start"),
        "{said}"
    );
    server.folder.write("tradewind.toml", SERVER);
    assert_eq!(server.reload()["problems"], json!([]));
}

#[test]
fn a_state_folder_that_cannot_be_written_is_no_reason_not_to_serve() {
    let folder = two_zones();
    folder.write("tradewind.toml", &format!("{SERVER}state = \"tradewind.toml/state\"\n"));
    let server = Server::start(folder);
    server.folder.write("zones/a.example.toml", &version("a.example", 2));
    let reply = server.reload();
    assert_eq!(reply["accepted"], true);
    assert!(reply["rendered"].as_str().unwrap().contains("could not be kept"), "{reply}");
    assert_eq!(served(&server, "a.example"), Some(2));
}

#[test]
fn restarts_with_the_same_files_push_no_revision_out() {
    let mut server = Server::start(two_zones());
    server.folder.write("zones/a.example.toml", &version("a.example", 2));
    server.reload();
    let revisions = |server: &Server| server.control_request("GET", "/v1/revisions").1;
    let before = revisions(&server);
    for _ in 0..3 {
        server = Server::start(server.kill());
    }
    assert_eq!(revisions(&server), before);
    let (_, back) = server.control_request("POST", "/v1/rollback/1");
    assert_eq!(back["accepted"], true, "{back}");
    assert_eq!(served(&server, "a.example"), Some(1));
}

#[test]
fn a_rollback_returns_to_a_kept_revision_until_the_next_reload() {
    let server = Server::start(two_zones());
    server.folder.write("zones/a.example.toml", &version("a.example", 2));
    server.reload();
    let serial = |server: &Server| {
        dns::serial(&dns::ask(server.udp(), "a.example", RecordType::SOA, "")).unwrap()
    };
    let newest = serial(&server);
    let back = server.cli("rollback", &["1"]);
    assert_eq!(back.status.code(), Some(0), "{}", String::from_utf8_lossy(&back.stderr));
    assert_eq!(served(&server, "a.example"), Some(1));
    assert!(serial(&server) >= newest, "a serial never goes back");
    assert!(server.folder.read("zones/a.example.toml").contains("\"2\""), "files stay as they are");
    assert_ne!(server.cli("rollback", &["77"]).status.code(), Some(0));
    assert_eq!(served(&server, "a.example"), Some(1));
    server.reload();
    assert_eq!(served(&server, "a.example"), Some(2));
}

#[test]
fn watched_files_are_loaded_by_themselves_but_no_zone_is_removed() {
    let folder = two_zones();
    folder.write("tradewind.toml", &format!("{SERVER}watch = true\n"));
    let server = Server::start(folder);
    let clock = SystemClock::default();
    let written = clock.now();
    server.folder.write("zones/a.example.toml", &version("a.example", 2));
    await_some("the new version", || (served(&server, "a.example") == Some(2)).then_some(()));
    assert!(clock.now().since(written) >= Duration::from_secs(1), "after a second of quiet");

    let before = server.last_event();
    server.folder.remove("zones/a.example.toml");
    server.await_event("the refusal", before, |event| event["event"] == "refused");
    assert_eq!(served(&server, "a.example"), Some(2), "the zone is held");
    let (status, why) = readiness(&server);
    assert_eq!(status, 503, "{why}");
    let forced = server.cli("reload", &["--force"]);
    assert_eq!(forced.status.code(), Some(0));
    assert_eq!(rcode(&server, "version.a.example"), ResponseCode::Refused);

    // A folder made while it runs is watched too.
    server.folder.write("healthchecks/web.toml", "[web]\ntype = \"icmp\"\n");
    let before = server.last_event();
    server.await_event("the refusal", before, |event| event["event"] == "refused");
}

/// Names in Germany are steered to Dublin, in California to the far side, else to Washington.
fn geo_zone() -> &'static str {
    r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
static = "ns1 60 IN A 127.0.0.53"
check  = "none"
[pools.iad]
endpoints = [{ name = "iad-1", ipv4 = "192.0.2.1" }]
[pools.dub]
endpoints = [{ name = "dub-1", ipv4 = "192.0.2.2" }]
[pools.sjc]
endpoints = [{ name = "sjc-1", ipv4 = "192.0.2.3" }]
[records.shop]
policy = "geo"
rules = [
  { match = ["country:DE"], use = "dub" },
  { match = ["subdivision:US-CA"], use = "sjc" },
  { match = ["*"], use = "iad" },
]
"#
}

#[test]
fn a_location_database_is_taken_while_running_and_a_broken_one_is_not() {
    let folder = Scratch::with(&[
        ("tradewind.toml", SERVER),
        ("zones/gtm.example.toml", geo_zone()),
        ("geoip/README", "databases go here"),
    ]);
    let server = Server::start(folder);
    // A documentation network: nobody but our own database knows where it is.
    let place = |client| {
        let reply = dns::ask(server.udp(), "shop.gtm.example", RecordType::A, client);
        dns::addresses(&reply)[0].to_string()
    };
    let client = "198.51.100.0/24";
    assert_eq!(place(client), "192.0.2.1");
    let geoip = server.folder.path().join("geoip");
    // Written beside and moved into place, as updaters do.
    let put = |name: &str, bytes: &[u8]| {
        fs::write(geoip.join("draft"), bytes).unwrap();
        fs::rename(geoip.join("draft"), geoip.join(name)).unwrap();
    };
    let city = |country: &str, part: &str| {
        let record = json!({
            "country": { "iso_code": country },
            "subdivisions": [{ "iso_code": part }],
            "location": { "latitude": 50.1, "longitude": 8.7 },
        });
        // In 2001: whoever looks for the alarm finds it.
        Database::v6().with(client, record).built(1_000_000_000).bytes()
    };
    let before = server.last_event();
    put("city.mmdb", &city("DE", "HE"));
    await_some("Germany", || (place(client) == "192.0.2.2").then_some(()));
    let is = |taken: bool| move |e: &Value| e["event"] == "geoip" && e["alarm"] == !taken;
    server.await_event("the new data", before, is(true));
    let age = server.metric("tradewind_geo_db_age_seconds{database=\"Test\"}");
    assert!(age > 20.0 * 365.0 * 86_400.0, "{age}");

    let before = server.last_event();
    let whole = city("US", "CA");
    put("city.mmdb", &whole[..whole.len() / 2]);
    let alarm = server.await_event("the alarm", before, is(false));
    assert!(alarm["text"].as_str().unwrap().contains("city.mmdb"), "{alarm}");
    assert_eq!(place(client), "192.0.2.2", "the old data stay in force");

    put("city.mmdb", &whole);
    await_some("California", || (place(client) == "192.0.2.3").then_some(()));
    server.folder.remove("geoip/city.mmdb");
    await_some("the embedded table", || (place(client) == "192.0.2.1").then_some(()));
}

/// A database of 8,192 places, all of another country in every other version; one of its networks
/// is ours.
fn large_city(client: &str, version: u32) -> Vec<u8> {
    let (country, part) = if version.is_multiple_of(2) { ("DE", "HE") } else { ("US", "CA") };
    let record = |latitude: f64| {
        json!({
            "country": { "iso_code": country },
            "subdivisions": [{ "iso_code": part }],
            "location": { "latitude": latitude, "longitude": 8.7 },
        })
    };
    let mut database = Database::v6().with(client, record(50.1));
    for n in 0..8_192_u32 {
        let net = format!("11.{}.{}.0/24", n / 256, n % 256);
        database = database.with(&net, record(f64::from(n) / 128.0));
    }
    database.bytes()
}

#[test]
fn a_location_database_reloaded_under_load_loses_no_question_and_stops_no_answers() {
    let client = "198.51.100.0/24";
    let folder = Scratch::with(&[
        ("tradewind.toml", SERVER),
        ("zones/gtm.example.toml", geo_zone()),
        ("geoip/README", "databases go here"),
    ]);
    let geoip = folder.path().join("geoip");
    let put = |version: u32| {
        fs::write(geoip.join("draft"), large_city(client, version)).unwrap();
        fs::rename(geoip.join("draft"), geoip.join("city.mmdb")).unwrap();
    };
    put(0);
    let server = Server::start(folder);
    let clock = SystemClock::default();
    let asks = vec![Ask::new("shop.gtm.example", RecordType::A, client), Ask::a("ns1.gtm.example")];
    let places = [ip("192.0.2.2"), ip("192.0.2.3")];
    let stream = Stream::start(server.udp(), clock, asks, 2_000);
    stream.await_answer("Germany", DEADLINE, |e| e.ask == 0 && e.answer.addresses == places[..1]);
    let mut windows = Vec::new();
    for version in 1..=4_u32 {
        let new = places[version as usize % 2];
        let written = clock.now();
        put(version);
        let seen = stream.await_answer("the new data", DEADLINE, |exchange| {
            exchange.ask == 0 && exchange.asked >= written && exchange.answer.addresses == [new]
        });
        windows.push((written, seen.answered));
    }
    // Stopping finds that nothing was lost.
    let exchanges = stream.stop();
    for exchange in &exchanges {
        let Exchange { ask, answer, .. } = exchange;
        let right = match *ask {
            0 => places.contains(&answer.address()),
            _ => answer.addresses == [ip("127.0.0.53")],
        };
        assert!(right, "{exchange:?}");
    }
    for drops in ["tradewind_udp_kernel_drops_total", "tradewind_udp_send_drops_total"] {
        assert_eq!(server.metric(drops), 0.0, "{drops}");
    }
    // While one is read and compiled, the others are answered as before: nobody waits.
    for (written, seen) in windows {
        let within = exchanges.iter().filter(|e| e.asked >= written && e.answered <= seen).count();
        let most = seen.since(written).as_millis() as usize * 2;
        println!("{within} of {most} questions while a database was taken");
        assert!(within >= most / 4, "{within} of {most}");
    }
}

/// Five hundred static names and five steered ones; the TXT record is the version.
fn busy_zone(version: u32, iad: SocketAddr, dub: SocketAddr) -> String {
    let mut names = String::new();
    for n in 0..500 {
        writeln!(names, "host-{n} 60 IN A 192.0.2.{}", n % 250).unwrap();
    }
    format!(
        r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
check  = "web"
static = """
ns1 60 IN A 127.0.0.53
version 5 IN TXT "{version}"
{names}"""
[pools.iad]
endpoints = [{{ name = "iad-1", ipv4 = "192.0.2.1", probe = "{iad}" }}]
[pools.dub]
endpoints = [{{ name = "dub-1", ipv4 = "192.0.2.2", probe = "{dub}" }}]
[records.app]
policy = "failover"
members = ["iad", "dub"]
failback = "after"
failback_delay = "1h"
[records.split]
policy = "weighted"
members = [{{ pool = "iad", weight = 9 }}, {{ pool = "dub", weight = 1 }}]
[records.near]
policy = "geo"
rules = [{{ match = ["country:JP"], use = "dub" }}, {{ match = ["*"], use = "iad" }}]
[records.key]
policy = "weighted"
members = [{{ pool = "iad", weight = 1 }}, {{ pool = "dub", weight = 1 }}]
sticky = "client"
"#
    )
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Resident memory of a process in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Open descriptors of a process.
fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// When which version was written, and when it was first seen.
#[derive(Clone, Copy)]
struct Version {
    number: u32,
    written: Moment,
    seen: Moment,
}

/// The server of the reload storm, its backends and the questions asked all along.
struct Storm {
    clock: SystemClock,
    iad: Backend,
    dub: Backend,
    server: Server,
    stream: Stream,
    versions: Vec<Version>,
}

/// The places of the storm's questions; after them comes one for a name that does not exist.
const VERSION: usize = 0;
const STATIC: usize = 1;
const APP: usize = 2;
const SPLIT: usize = 3;
const NEAR: usize = 4;
const KEY: usize = 5;

impl Storm {
    fn begin() -> Self {
        let clock = SystemClock::default();
        let (iad, dub) = (Backend::start(91), Backend::start(92));
        let server = Server::start(Scratch::with(&[
            ("tradewind.toml", SERVER),
            ("healthchecks/web.toml", CHECK),
            ("zones/gtm.example.toml", &busy_zone(0, iad.address(), dub.address())),
        ]));
        let questions = vec![
            Ask::new("version.gtm.example", RecordType::TXT, ""),
            Ask::a("host-77.gtm.example"),
            Ask::a("app.gtm.example"),
            Ask::a("split.gtm.example"),
            Ask::new("near.gtm.example", RecordType::A, "133.11.0.0/24"),
            Ask::new("key.gtm.example", RecordType::A, "198.51.100.0/24"),
            Ask::a("nowhere.gtm.example"),
        ];
        let stream = Stream::start(server.udp(), clock, questions, 2_000);
        Storm { clock, iad, dub, server, stream, versions: Vec::new() }
    }

    /// Reloads by SIGHUP with another version of the zone each time, at most one in `pace`.
    fn reload(&mut self, times: u32, pace: Duration) {
        for _ in 0..times {
            let number = self.versions.len() as u32 + 1;
            let zone = busy_zone(number, self.iad.address(), self.dub.address());
            self.server.folder.write("zones/gtm.example.toml", &zone);
            let written = self.clock.now();
            self.server.signal("HUP");
            let text = number.to_string();
            let seen = self.stream.await_answer("the new version", DEADLINE, |exchange| {
                exchange.ask == VERSION && exchange.answer.text.as_ref() == Some(&text)
            });
            self.versions.push(Version { number, written, seen: seen.answered });
            std::thread::sleep(pace.saturating_sub(self.clock.now().since(written)));
        }
    }

    /// Loses `iad` and gets it back, so that a latch and a failover's past are to be kept.
    fn fail_over(&mut self) {
        let arrives =
            |ask, address| move |e: &Exchange| e.ask == ask && e.answer.addresses == [ip(address)];
        self.iad.stop();
        self.stream.await_answer("the standby", DEADLINE, arrives(APP, "192.0.2.2"));
        self.iad.restart();
        self.stream.await_answer("the region is back", DEADLINE, arrives(SPLIT, "192.0.2.1"));
    }

    /// Whether the version in `exchange` may have been the one in force when it was asked.
    fn is_current(&self, exchange: &Exchange) -> bool {
        let number: u32 = exchange.answer.text.as_ref().unwrap().parse().unwrap();
        let seen = self.versions.iter().rev().find(|v| v.seen <= exchange.asked);
        let written = self.versions.iter().rev().find(|v| v.written <= exchange.answered);
        let (least, most) = (seen.map_or(0, |v| v.number), written.map_or(0, |v| v.number));
        (least..=most).contains(&number)
    }
}

#[test]
fn fifty_reloads_in_five_seconds_lose_nothing_and_change_nothing_else() {
    let mut storm = Storm::begin();
    storm.fail_over();
    storm.reload(10, Duration::ZERO);
    let pid = storm.server.id();
    let (memory, open) = (resident_kib(pid), descriptors(pid));
    let before = storm.server.last_event();
    let begun = storm.clock.now();
    let probed = [&storm.iad, &storm.dub].map(Backend::connections);
    let asked_before = storm.stream.seen().len();

    storm.reload(50, Duration::from_millis(100));

    let took = storm.clock.now().since(begun);
    let probes_max = (took.as_secs_f64() / INTERVAL_MIN.as_secs_f64()) as u64 + 1;
    for (backend, before) in [&storm.iad, &storm.dub].into_iter().zip(probed) {
        let probes = backend.connections() - before;
        assert!(probes <= probes_max, "{probes} probes in {took:?}, at most {probes_max}");
        assert!(probes > 0);
    }
    let grown = resident_kib(pid).saturating_sub(memory);
    println!("50 reloads in {took:?}; {memory} KiB grew by {grown} KiB");
    assert!(grown < 4_096, "{memory} KiB grew by {grown} KiB over 50 reloads");
    let open_after = descriptors(pid);
    // A probe of each region may be under way.
    assert!(open_after <= open + 2, "{open} descriptors became {open_after}");
    let events = storm.server.events(before);
    let loaded = events.iter().filter(|event| event["event"] == "loaded").count();
    assert_eq!(loaded, 50);
    let others = events.iter().find(|e| e["event"] != "loaded" && e["event"] != "published");
    assert_eq!(others, None, "reloads change no verdict and move no latch");

    let stream = std::mem::replace(
        &mut storm.stream,
        Stream::start(storm.server.udp(), storm.clock, vec![Ask::a("app.gtm.example")], 1),
    );
    let exchanges = stream.stop();
    let rate = (exchanges.len() - asked_before) as f64 / took.as_secs_f64();
    println!("{rate:.0} questions a second meanwhile");
    // Of 2,000 asked for: what is missing was not asked, since none may be lost.
    assert!(rate > 500.0, "{rate} a second are too few to show anything");
    let key = exchanges.iter().find(|e| e.ask == KEY).unwrap().answer.clone();
    let from = exchanges.partition_point(|exchange| exchange.asked < begun);
    for exchange in &exchanges[from..] {
        let Exchange { ask, answer, .. } = exchange;
        let right = match *ask {
            VERSION => storm.is_current(exchange),
            STATIC => answer.addresses == [ip("192.0.2.77")],
            APP | NEAR => answer.addresses == [ip("192.0.2.2")],
            SPLIT => [ip("192.0.2.1"), ip("192.0.2.2")].contains(&answer.address()),
            KEY => *answer == key,
            _ => answer.rcode == ResponseCode::NXDomain,
        };
        assert!(right, "{exchange:?}");
    }
}

/// H-14 without a pause for breath: loads that would read the same files are one.
#[test]
fn fifty_hangups_in_two_and_a_half_seconds_end_with_the_last_version() {
    const HANGUPS: u32 = 50;
    let mut storm = Storm::begin();
    storm.fail_over();
    let before = storm.server.last_event();
    let probed = [&storm.iad, &storm.dub].map(Backend::connections);
    let begun = storm.clock.now();
    for number in 1..=HANGUPS {
        let zone = busy_zone(number, storm.iad.address(), storm.dub.address());
        storm.server.folder.write("zones/gtm.example.toml", &zone);
        storm.server.signal("HUP");
        let due = begun.after(Duration::from_millis(50) * number);
        std::thread::sleep(due.since(storm.clock.now()));
    }
    let last = HANGUPS.to_string();
    storm.stream.await_answer("the last version", DEADLINE, |exchange| {
        exchange.ask == VERSION && exchange.answer.text.as_ref() == Some(&last)
    });
    let took = storm.clock.now().since(begun);
    let events = storm.server.events(before);
    let loaded = events.iter().filter(|event| event["event"] == "loaded").count();
    assert!((1..=HANGUPS as usize).contains(&loaded), "{loaded}");
    let others = events.iter().find(|e| e["event"] != "loaded" && e["event"] != "published");
    assert_eq!(others, None, "reloads change no verdict and move no latch");
    let probes_max = (took.as_secs_f64() / INTERVAL_MIN.as_secs_f64()) as u64 + 1;
    for (backend, before) in [&storm.iad, &storm.dub].into_iter().zip(probed) {
        let probes = backend.connections() - before;
        assert!((1..=probes_max).contains(&probes), "{probes} probes, at most {probes_max}");
    }
    let exchanges = storm.stream.stop();
    let asked = exchanges.iter().filter(|e| e.asked > begun);
    let versions = asked.clone().filter(|e| e.ask == VERSION);
    let versions: Vec<u32> =
        versions.map(|e| e.answer.text.as_ref().unwrap().parse().unwrap()).collect();
    assert!(versions.len() > 20 && versions.is_sorted(), "{versions:?}");
    for exchange in asked.filter(|e| e.ask == APP) {
        assert_eq!(exchange.answer.addresses, [ip("192.0.2.2")]);
    }
}
