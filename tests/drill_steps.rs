//! What drills do beside taking regions away: location data that are old or damaged, a time table,
//! windows, and what a real Prometheus has to say.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/mmdb_writer.rs"]
mod mmdb_writer;
mod support;

use hickory_proto::rr::RecordType;
use mmdb_writer::{Database, country_code};
use serde_json::Value;
use std::{fs, net::IpAddr, time::Duration};
use support::{
    await_some,
    demo::{Demo, force, measured, point, short},
    dns,
    prometheus::Prometheus,
};
use tradewind::clock::{Clock, SystemClock};

/// In Boston, as the embedded table knows.
const CLIENT: &str = "18.7.22.0/24";
const AMERICA: &str = "192.0.2.30";
const EUROPE: &str = "198.51.100.10";

/// A drill with one step that takes no target, asking for [`CLIENT`].
fn about_places(name: &str, action: &str, lasts: &str) -> String {
    let text = format!(
        "[[step]]\nid = \"geo\"\naction = \"{action}\"\nfor = \"{lasts}\"\n\
         [expect]\nlost_queries = 0\nempty_answers = 0\n"
    );
    let app = "{ name = \"app.gtm.example.com\", rate = \"200/s\" }";
    let api = format!(
        "{{ name = \"api.gtm.example.com\", clients = [\"ecs:{CLIENT}\"], rate = \"200/s\" }}"
    );
    short(name, "", &text).replace(app, &api)
}

impl Demo {
    /// Puts a database into `geoip/` that says that [`CLIENT`] is in Germany.
    fn has_its_own_places(&self) {
        let bytes = Database::v4().with(CLIENT, country_code("DE")).bytes();
        let folder = self.server.folder.path().join("geoip");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ours.mmdb"), bytes).unwrap();
        assert_eq!(self.server.reload()["accepted"], true);
        self.await_answer(EUROPE);
    }

    fn answer(&self) -> IpAddr {
        let name = "api.gtm.example.com";
        let message = dns::ask(self.server.udp(), name, RecordType::A, CLIENT);
        dns::addresses(&message)[0]
    }

    fn await_answer(&self, address: &str) {
        let address: IpAddr = address.parse().unwrap();
        await_some("the answer to change", || (self.answer() == address).then_some(()));
    }

    /// The databases that count, by what /metrics says of their age.
    fn databases(&self) -> usize {
        let (_, page) = support::backend::get(self.server.admin(), "/metrics").unwrap_or_default();
        page.lines().filter(|line| line.starts_with("tradewind_geo_db_age_seconds{")).count()
    }

    /// Waits until the journal of the run of `name` says that its step is on.
    fn await_injected(&self, name: &str) {
        await_some("the step to be on", || {
            let journal =
                self.server.control_request("GET", &format!("/v1/drills/{name}/journal")).1;
            let has = |entry: &Value| entry["entry"] == "injected";
            journal.as_array()?.iter().any(has).then_some(())
        });
    }
}

#[test]
fn old_places_move_who_only_newer_ones_know_and_are_on_when_the_journal_says_so() {
    let stale = about_places("stale", "geo.stale", "3s");
    let demo = Demo::quick(201, &[("stale", &stale)]);
    let nothing = demo.drill(&["run", "stale", "--yes"]);
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert_eq!(nothing.status.code(), Some(1), "{said}");
    assert!(said.contains("located by the embedded table already"), "{said}");

    demo.has_its_own_places();
    let databases = demo.databases();
    demo.begin("stale");
    demo.await_injected("stale");
    assert_eq!(demo.answer(), AMERICA.parse::<IpAddr>().unwrap(), "said to be on, so it is on");
    let explained = demo.server.cli("explain", &["api.gtm.example.com", "--client", "18.7.22.1"]);
    assert!(String::from_utf8_lossy(&explained.stdout).contains("ip-location-db"));
    assert_eq!(demo.databases() + 1, databases, "ours counts no more");
    demo.await_end();
    let report = demo.report("stale");
    assert_eq!(report["verdict"], "PASS", "{}", report["sentence"]);
    assert!(point(&report, "first changed answer").is_some(), "{report:#}");
    demo.await_answer(EUROPE);
    assert_eq!(demo.databases(), databases);
}

#[test]
fn a_damaged_database_is_an_alarm_and_moves_nobody() {
    let bad = about_places("bad", "geo.bad", "1s") + "spurious_changes = 0\n";
    let demo = Demo::quick(204, &[("bad", &bad)]);
    demo.has_its_own_places();
    let since = demo.server.last_event();
    let (report, code) = demo.run("bad", &[]);
    assert_eq!((&report["verdict"], code), (&"PASS".into(), 0), "{}", report["sentence"]);
    assert!(point(&report, "first changed answer").is_none());
    assert_eq!(measured(&report, "spurious_changes"), Some(0.0));
    let events = demo.server.events(since);
    let refused = events.iter().find(|event| event["event"] == "geoip").unwrap();
    assert!(refused["text"].as_str().unwrap().contains("damaged.mmdb"), "{refused}");
    assert_eq!(refused["alarm"], true);
    let injected = events.iter().position(|e| e["text"].as_str().unwrap().contains("step geo: "));
    let loaded = events.iter().position(|event| event["event"] == "loaded");
    assert!(loaded < injected, "said to be on when it is on: {events:#?}");
    assert_eq!(demo.answer(), EUROPE.parse::<IpAddr>().unwrap(), "ours still counts");
}

/// This minute and the next one, as a time table has them.
fn now_or_soon() -> String {
    let slot = |later: u64| {
        let at = SystemClock::default().wall() + Duration::from_secs(later);
        let at = jiff::Timestamp::try_from(at).unwrap();
        format!("\"{}\"", at.strftime("%a %H:%M").to_string().to_lowercase())
    };
    format!("schedule = [{}, {}]\nneeds_ack = false", slot(0), slot(60))
}

#[test]
fn what_is_due_begins_by_itself_unless_its_windows_are_shut() {
    let demo = Demo::quick(207, &[]);
    let since = demo.server.last_event();
    let schedule = now_or_soon();
    let day_after = SystemClock::default().wall() + Duration::from_secs(2 * 86_400);
    let day_after = jiff::Timestamp::try_from(day_after).unwrap();
    let day_after = day_after.strftime("%a").to_string().to_lowercase();
    let windows = [
        ("barred", "windows = { deny = [\"2000-01-01..2200-01-01\"] }".to_owned()),
        ("closed", format!("windows = {{ allow = [\"{day_after} 00:00-24:00\"] }}")),
        ("due", "windows = { allow = [\"mon-sun 00:00-24:00\"] }".to_owned()),
    ];
    for (name, windows) in &windows {
        let text = short(name, &format!("{schedule}\n{windows}"), &force("region:us-east-1", "1s"));
        demo.server.folder.write(&format!("drills/{name}.toml"), &text);
    }
    assert_eq!(demo.server.reload()["accepted"], true);
    for (name, why) in [("barred", "may not run today"), ("closed", "may not run at this time")] {
        let event = demo.server.await_event(name, since, |event| {
            event["event"] == "drill" && event["text"].as_str().unwrap().contains(why)
        });
        let text = event["text"].as_str().unwrap();
        assert!(text.contains(name) && text.contains("did not begin by its schedule"), "{text}");
        assert_eq!(event["alarm"], true, "somebody counts on it");
    }
    await_some("the drill that is due to be over", || {
        demo.report("due")["is_over"].as_bool().filter(|is_over| *is_over)
    });
    let report = demo.report("due");
    assert_eq!(report["verdict"], "PASS", "{}", report["sentence"]);
    assert!(report["head"]["who"].as_str().unwrap().contains("schedule"), "{}", report["head"]);
    // The one that was due may still have the seat, or have it again in the next minute.
    let by_hand = await_some("a free seat", || {
        let done = demo.drill(&["run", "closed", "--yes"]);
        (done.status.code() != Some(4)).then_some(done)
    });
    assert_eq!(by_hand.status.code(), Some(6), "windows hold for people too");
}

#[test]
fn what_prometheus_says_ends_it() {
    let Some(mut prometheus) = Prometheus::start(213) else { return };
    prometheus.shows("error_rate", 0.001);
    let more = force("region:eu-west-1", "40s")
        + &format!(
            "[[stop]]\nwhen = \"> 0.05\"\nprometheus = {{ url = \"{}\", query = \"error_rate\" }}\n",
            prometheus.url()
        );
    let demo = Demo::quick(214, &[("watched", &short("watched", "", &more))]);
    demo.begin("watched");
    demo.await_stage("steps");
    await_some("what it forced", || (demo.overrides() == 1).then_some(()));
    assert_eq!(demo.running()["stage"], "steps", "a good figure ends nothing");
    prometheus.shows("error_rate", 0.2);
    demo.await_end();
    let report = demo.report("watched");
    let sentence = report["sentence"].as_str().unwrap();
    assert_eq!(report["verdict"], "ABORTED", "{sentence}");
    assert!(sentence.starts_with("stopped by `> 0.05`"), "{sentence}");
    assert!(sentence.contains("(it was 0.2)"), "{sentence}");
    assert_eq!((demo.overrides(), demo.down()), (0, 0));
}
