//! Game days, end to end: the real server, real backends, drills over the command line, and an
//! observer of our own beside them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::net::UnixStream,
    time::Duration,
};
use support::{
    await_some,
    backend::{Backend, Mood},
    demo::{Demo, force, measured, point, refuse, short},
    figure,
    load::{Ask, Exchange, Stream},
};
use tradewind::clock::{Clock, Moment, SystemClock};

/// Questions a second beside a drill, as the promise is made.
const LOAD: u32 = 5_000;

/// `app` over and over: who gets it, and when that changed.
fn observer(server: SocketAddr, clock: SystemClock) -> Stream {
    Stream::start(server, clock, vec![Ask::a("app.gtm.example.com")], 1_000)
}

fn is_of(exchange: &Exchange, address: &str) -> bool {
    exchange.answer.addresses == [address.parse::<IpAddr>().unwrap()]
}

/// The moment `ms` after the drill began, on the clock of this process.
fn moment(report: &Value, ms: f64, clock: &SystemClock) -> Moment {
    let started: jiff::Timestamp = report["head"]["started"].as_str().unwrap().parse().unwrap();
    let ago = clock.wall().duration_since(started.into()).unwrap();
    Moment(clock.now().0 - ago.as_nanos() as u64 + (ms * 1e6) as u64)
}

#[test]
fn a_lost_region_is_measured_as_an_observer_beside_it_measures_it() {
    let demo = Demo::start(101, &[]);
    let clock = SystemClock::default();
    let others = ["18.7.22.0/24", "193.0.6.0/24", "133.11.0.0/24"];
    let others = others
        .map(|client| Ask::new("api.gtm.example.com", hickory_proto::rr::RecordType::A, client));
    let load = Stream::start(demo.server.udp(), clock, others.to_vec(), LOAD);
    let observer = observer(demo.server.udp(), clock);
    let (report, code) = demo.run("region-loss", &[]);
    assert_eq!((&report["verdict"], code), (&"PASS".into(), 0), "{}", report["sentence"]);
    let seen = observer.stop();
    let load = load.stop();
    let took = load[load.len() - 1].answered.since(load[0].asked).as_secs_f64();
    figure("queries a second beside the drill", format!("{:.0}", load.len() as f64 / took));
    assert!(load.iter().all(|exchange| !exchange.answer.addresses.is_empty()), "an empty answer");
    for name in ["lost_queries", "empty_answers", "wrong_answers", "spurious_changes"] {
        assert_eq!(measured(&report, name), Some(0.0), "{name}");
    }
    let changed = seen.iter().find(|exchange| is_of(exchange, "198.51.100.10")).unwrap();
    let last_old = seen
        .iter()
        .rev()
        .filter(|e| e.answered < changed.answered.after(Duration::from_secs(2)))
        .find(|exchange| is_of(exchange, "192.0.2.30"))
        .unwrap();
    let back = seen.iter().rev().find(|exchange| is_of(exchange, "198.51.100.10")).unwrap();
    for (name, theirs) in [
        ("first changed answer", changed.answered),
        ("last old answer", last_old.answered),
        ("recovered", back.answered),
    ] {
        let ours = moment(&report, point(&report, name).unwrap(), &clock);
        let apart = Duration::from_nanos(ours.0.abs_diff(theirs.0));
        figure(&format!("{name}: apart from the observer"), format!("{apart:?}"));
        // What kept our own thread from running is no fault of the report.
        assert!(
            apart < Duration::from_millis(50) + demo.server.kept_waiting() / 20,
            "{name}: {apart:?}"
        );
    }
    let journal = demo.journal("region-loss");
    let verified = demo.drill(&["report", "--verify", journal.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replace("\"verdict\":\"PASS\"", "\"verdict\":\"FAIL\"")).unwrap();
    let forged = demo.drill(&["report", "--verify", journal.to_str().unwrap()]);
    assert_eq!(forged.status.code(), Some(1));
}

#[test]
fn the_other_ready_drills_pass_one_after_another() {
    let demo = Demo::start(105, &[]);
    for name in ["hang", "flap", "all-down", "checker-cut-off", "broken-reload"] {
        demo.await_calm();
        let (report, code) = demo.run(name, &[]);
        figure(name, format!("{}: {}", report["verdict"], report["sentence"]));
        assert_eq!((&report["verdict"], code), (&"PASS".into(), 0), "{name}: {report:#}");
        let expected: u64 = if matches!(name, "hang" | "all-down") { 1 } else { 0 };
        let changed = point(&report, "first changed answer").map_or(0, |_| 1);
        assert_eq!(changed, expected, "{name}: whether anybody was moved");
    }
    assert_eq!(demo.overrides(), 0);
    let events = demo.server.events(0);
    let told = |kind: &str, text: &str| {
        let is = |event: &&Value| {
            event["event"] == kind && event["text"].as_str().unwrap().contains(text)
        };
        events.iter().any(|event| is(&event))
    };
    assert!(told("breaker", "mass failure"), "all-down trips the breaker");
    assert!(told("breaker", "cut off"), "the checker notices that it is");
    assert!(told("loaded", "gtm.example.com"), "the broken zone is held back");
    assert!(told("geoip", "damaged.mmdb"), "the damaged database is refused");
}

#[test]
fn a_budget_that_is_too_small_fails_and_what_was_forced_comes_back() {
    let more = force("region:us-east-1", "2s")
        + "[[rollback]]\naction = \"failback\"\ntarget = \"record:gtm.example.com/app\"\n\
           [expect]\nfirst_change = \"1us\"\nlost_queries = 0\n";
    let demo = Demo::start(110, &[("tight", &short("tight", "", &more))]);
    let (report, code) = demo.run("tight", &[]);
    assert_eq!((&report["verdict"], code), (&"FAIL".into(), 20), "{}", report["sentence"]);
    let sentence = report["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("first_change came to "), "{sentence}");
    assert_eq!((demo.overrides(), demo.down()), (0, 0));
    assert!(measured(&report, "recover").unwrap() < 2_000.0, "failback was asked for: {report:#}");
    let again = demo.drill(&["report", "tight"]);
    assert_eq!(again.status.code(), Some(20));
    let history: Value =
        serde_json::from_slice(&demo.drill(&["history", "tight", "--json"]).stdout).unwrap();
    assert_eq!(history[0]["verdict"], "FAIL");
    let outside = "/v1/drills/..%2fdrills%2ftight";
    let (_, history) = demo.server.control_request("GET", &format!("{outside}/history"));
    assert_eq!(history, Value::Array(Vec::new()), "no name leads out of the archive");
    let journal = demo.server.control_request("GET", &format!("{outside}/journal")).1;
    assert!(journal["error"].is_string() || !journal.is_array(), "{journal}");
}

#[test]
fn a_stop_condition_ends_it_and_all_is_back_within_a_second() {
    let more = refuse("region:us-east-1", "40s")
        + "[[stop]]\nwhen = \"endpoints.down > 0\"\n[expect]\nlost_queries = 0\n";
    let demo = Demo::start(115, &[("stopped", &short("stopped", "", &more))]);
    let clock = SystemClock::default();
    let observer = observer(demo.server.udp(), clock);
    let (report, code) = demo.run("stopped", &[]);
    let seen = observer.stop();
    assert_eq!((&report["verdict"], code), (&"ABORTED".into(), 21), "{}", report["sentence"]);
    let sentence = report["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("stopped by `endpoints.down > 0` after "), "{sentence}");
    let is_away = |exchange: &&Exchange| is_of(exchange, "198.51.100.10");
    let fired = report["stops"][0]["fired_ms"].as_f64().unwrap();
    if let Some(last) = seen.iter().rev().find(is_away) {
        let after = last.answered.since(moment(&report, fired, &clock));
        figure("back after the stop condition fired", format!("{after:?}"));
        let busy = demo.server.kept_waiting() / 20;
        assert!(after < Duration::from_secs(1) + busy, "{after:?}");
    }
    assert_eq!((demo.overrides(), demo.down()), (0, 0));
}

#[test]
fn what_a_metric_says_ends_it() {
    let metric = Backend::start(150);
    metric.set(Mood::Answer(200, "{\"errors\": 0.0}".to_owned()));
    let more = force("region:eu-west-1", "40s")
        + &format!(
            "[[stop]]\nwhen = \"> 0.1 for 1s\"\nhttp = {{ url = \"http://{}/x\", json = \"/errors\" }}\n",
            metric.address()
        );
    let demo = Demo::quick(151, &[("metric", &short("metric", "", &more))]);
    demo.begin("metric");
    demo.await_stage("steps");
    await_some("a look at the metric", || (metric.hits() > 0).then_some(()));
    metric.set(Mood::Answer(200, "{\"errors\": 0.5}".to_owned()));
    demo.await_end();
    let report = demo.report("metric");
    let sentence = report["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("stopped by `> 0.1 for 1s`"), "{sentence}");
    assert!(sentence.contains("(it was 0.5)"), "{sentence}");
    assert_eq!((demo.overrides(), demo.down()), (0, 0));
}

#[test]
fn somebody_can_end_it_by_command_and_by_a_file() {
    let more = force("region:eu-west-1", "40s");
    let demo = Demo::quick(120, &[("long", &short("long", "", &more))]);
    demo.begin("long");
    demo.await_stage("steps");
    assert_eq!(demo.server.metric("tradewind_drill_active"), 1.0);
    let status = demo.server.control_request("GET", "/v1/status").1;
    assert!(status["sentence"].as_str().unwrap().starts_with("DRILL long: "), "{status}");
    let second = demo.drill(&["run", "long", "--yes"]);
    assert_eq!(second.status.code(), Some(4), "one at a time");
    await_some("the override", || (demo.overrides() == 1).then_some(()));
    let unfinished = demo.drill(&["report", "long"]);
    let said = String::from_utf8_lossy(&unfinished.stdout);
    assert_eq!(unfinished.status.code(), Some(1), "{said}");
    assert!(said.contains("RUNNING: it still runs"), "{said}");
    let aborted = demo.drill(&["abort", "--reason", "INC 7", "--as", "ana"]);
    let said = String::from_utf8_lossy(&aborted.stdout);
    assert!(aborted.status.success() && said.contains("what it did is taken back"), "{said}");
    assert_eq!((demo.overrides(), demo.down()), (0, 0), "said, so it is so");
    demo.await_end();
    let journal = demo.journal("long");
    let verified = demo.drill(&["report", "--verify", journal.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(21), "the code of its verdict");
    let audit = demo.server.control_request("GET", "/v1/audit").1;
    let entries = audit["entries"].as_array().unwrap();
    let why = |what: &str| {
        let entry = entries.iter().find(|entry| entry["what"] == what).unwrap();
        entry["reason"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(["drill run long", "drill abort"].map(why), ["quarterly", "INC 7"]);
    assert_eq!((demo.overrides(), demo.down()), (0, 0));
    assert_eq!(demo.report("long")["verdict"], "ABORTED");

    demo.begin("long");
    demo.await_stage("steps");
    // Every seat at the control socket is taken by somebody who says nothing.
    let seats: Vec<UnixStream> =
        (0..520).map(|_| UnixStream::connect(demo.server.control()).unwrap()).collect();
    let hung = demo.drill(&["abort"]);
    let said = String::from_utf8_lossy(&hung.stdout);
    assert!(hung.status.code() == Some(5) && said.contains("ABORT was made"), "{said}");
    // Looked for on disk: whoever asks at the socket has to wait with the others.
    let journal = demo.journal("long");
    await_some("the file to be seen", || {
        fs::read_to_string(&journal).ok()?.contains("state/drills/ABORT").then_some(())
    });
    drop(seats);
    demo.await_end();
    let report = demo.report("long");
    assert!(
        report["sentence"].as_str().unwrap().contains("state/drills/ABORT"),
        "{}",
        report["sentence"]
    );
    assert_eq!(demo.overrides(), 0);
    assert_eq!(demo.server.metric("tradewind_drill_active"), 0.0);
}

#[test]
fn what_a_killed_server_left_behind_is_taken_back_by_the_next_one() {
    let head = "min_regions = 0\nafter = \"40s\"";
    let more = force("region:ap-northeast-1", "8s") + &refuse("region:us-east-1", "8s");
    let text = short("killed", head, &more).replace("before = \"1s\"", "before = \"5s\"");
    let mut demo = Demo::quick(125, &[("killed", &text)]);
    for stage in ["before", "steps", "after"] {
        demo.await_calm();
        demo.begin("killed");
        demo.await_stage(stage);
        if stage == "steps" {
            // What is forced is kept, and so is that probes failed.
            await_some("both effects", || (demo.overrides() == 1 && demo.down() > 2).then_some(()));
        }
        let journal = demo.journal("killed");
        demo = demo.crash();
        await_some("the end of the drill in its journal", || {
            let text = fs::read_to_string(&journal).ok()?;
            text.contains("\"entry\":\"ended\"").then_some(())
        });
        let report = demo.report("killed");
        assert_eq!(report["verdict"], "ABORTED", "{stage}");
        let sentence = report["sentence"].as_str().unwrap();
        assert!(
            sentence.starts_with("the server ended in the middle of it"),
            "{stage}: {sentence}"
        );
        await_some("no override is left", || (demo.overrides() == 0).then_some(()));
        await_some("all up", || (demo.down() == 0).then_some(()));
        assert!(demo.running().is_null(), "{stage}");
    }
    demo.await_calm();
    let events = demo.server.events(0);
    assert!(events.iter().any(|event| event["event"] == "drill" && event["alarm"] == true));
}

#[test]
fn it_does_not_begin_when_it_should_not() {
    let more = force("region:eu-west-1", "2s");
    let closed = "windows = { deny = [\"2000-01-01..2200-01-01\"] }";
    let two = force("region:*", "2s");
    let each = refuse("region:us-east-1", "2s")
        + &refuse("region:eu-west-1", "2s").replace("\"refuse\"\naction", "\"second\"\naction");
    let drills = [
        ("both", short("both", "min_regions = 1", &each)),
        ("plain", short("plain", "", &more)),
        ("closed", short("closed", closed, &more)),
        ("total", short("total", "", &two)),
    ];
    let drills: Vec<(&str, &str)> =
        drills.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let demo = Demo::quick(130, &drills);
    let refused = |args: &[&str], code: i32, why: &str| {
        let done = demo.drill(args);
        let said = String::from_utf8_lossy(&done.stderr).into_owned()
            + &String::from_utf8_lossy(&done.stdout);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    };
    refused(&["run", "plian", "--yes"], 1, "did you mean `plain`?");
    refused(&["run", "plain"], 2, "type its name");
    refused(&["run", "closed", "--yes"], 6, "may not run today");
    refused(&["run", "total", "--yes"], 6, "at least 2 are asked for");
    refused(&["plan", "total"], 6, "would not begin now");
    refused(&["run", "total", "--dry-run"], 6, "would not begin now");
    refused(&["run", "plain", "--dry-run"], 0, "nothing was done (--dry-run)");
    assert_eq!((demo.running(), demo.overrides()), (Value::Null, 0));
    refused(&["run", "plain", "--yes", "--mode", "lives"], 2, "`lives` is no mode");
    let server = demo.server.folder.read("tradewind.toml");
    let rule = |name: &str, least: u32| {
        let rule = format!(
            "[[safety]]\nname = \"{name}\"\nrecords = [\"gtm.example.com/api\"]\n\
             min_active_regions = {least}\n"
        );
        demo.server.folder.write("tradewind.toml", &format!("{server}\n{rule}"));
        assert_eq!(demo.server.reload()["accepted"], true);
    };
    rule("two", 2);
    refused(
        &["run", "both", "--yes"],
        6,
        "its steps together: two: gtm.example.com/api would answer from 1 region",
    );
    rule("three", 3);
    refused(
        &["run", "plain", "--yes"],
        6,
        "three: gtm.example.com/api would answer from 2 regions",
    );
    let drained =
        demo.server.cli("drain", &["region:ap-northeast-1", "--break-glass", "--reason", "x"]);
    assert!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
    refused(&["plan", "plain"], 6, "something is degraded already");
    assert_eq!(demo.overrides(), 1, "nothing was done");
}

#[test]
fn what_only_computes_moves_nobody() {
    let demo = Demo::quick(135, &[]);
    let clock = SystemClock::default();
    let observer = observer(demo.server.udp(), clock);
    let since = demo.server.last_event();
    let (simulated, code) = demo.run("region-loss", &["--mode", "simulate"]);
    assert_eq!((&simulated["verdict"], code), (&"PASS".into(), 0), "{}", simulated["sentence"]);
    assert_eq!(simulated["foreseen"][0]["step"], "cut");
    assert!(simulated["foreseen"][0]["moved"].as_f64().unwrap() > 0.1);
    assert!(measured(&simulated, "detect").unwrap() > 1_000.0, "by the check's own arithmetic");
    let (shadow, code) = demo.run("region-loss", &["--mode", "shadow"]);
    assert_eq!((&shadow["verdict"], code), (&"PASS".into(), 0), "{}", shadow["sentence"]);
    let seconds = shadow["seconds"].as_array().unwrap();
    let would_be =
        seconds.iter().find(|row| row["would_be"].is_object()).expect("would-be answers");
    assert!(would_be["would_be"].get("us-east-1").is_none(), "{would_be}");
    assert!(would_be["regions"].get("us-east-1").is_some(), "really it is answered: {would_be}");
    let seen = observer.stop();
    assert!(seen.iter().all(|exchange| is_of(exchange, "192.0.2.30")), "somebody was moved");
    let events = demo.server.events(since);
    assert!(events.iter().all(|event| event["event"] != "verdict" && event["event"] != "hand"));
}

#[test]
fn a_canary_feels_it_and_nobody_else() {
    let head = "canaries = [\"gtm.example.com/www\", \"gtm.example.com/beta\"]";
    let more =
        "[[steady]]\nname = \"www\"\nquery = { name = \"www.gtm.example.com\", rate = \"100/s\" }\n"
            .to_owned()
            + &force("pool:gtm.example.com/stable", "3s")
            + "[expect]\nspurious_changes = 0\nlost_queries = 0\n";
    let some = short("some", head, &more).replace("\"live\"", "\"canary\"");
    let all =
        short("all", head, &refuse("region:us-east-1", "3s")).replace("\"live\"", "\"canary\"");
    let demo = Demo::quick(140, &[("some", &some), ("all", &all)]);
    let since = demo.server.last_event();
    let plan = || String::from_utf8(demo.drill(&["plan", "some"]).stdout).unwrap();
    assert!(!plan().contains("warning:"), "{}", plan());
    demo.begin("some");
    // Files are loaded before its step begins, and every endpoint is numbered anew by that.
    let more = "zone = \"a.example\"\nns = [\"ns1.gtm.example.com\"]\ncheck = \"none\"\n\
                [pools.first]\nendpoints = [{ name = \"a1\", ipv4 = \"203.0.113.77\" },\
                { name = \"a2\", ipv4 = \"203.0.113.78\" }]\n\
                [records.www]\npolicy = \"weighted\"\nmembers = [\"first\"]\n";
    demo.server.folder.write("zones/a.example.toml", more);
    assert_eq!(demo.server.reload()["accepted"], true);
    assert_eq!(demo.running()["stage"], "before");
    demo.await_end();
    let report = demo.report("some");
    assert_eq!(report["verdict"], "PASS", "{report:#}");
    let events = demo.server.events(since);
    let fell = events.iter().filter(|event| event["event"] == "verdict");
    let fell: Vec<&str> = fell.map(|event| event["subject"].as_str().unwrap_or_default()).collect();
    assert!(!fell.is_empty() && fell.iter().all(|name| name.contains("/stable/")), "{fell:?}");
    // All of that region's endpoints are judged by one target: no probe is the canaries' alone.
    let shared = demo.drill(&["run", "all", "--yes"]);
    assert_eq!(shared.status.code(), Some(1));
    let said = String::from_utf8_lossy(&shared.stderr);
    assert!(said.contains("a target of its own"), "{said}");
    assert_eq!(demo.down(), 0);
}

#[test]
fn failovers_that_stay_away_are_given_back_at_the_end_and_by_an_abort_after_it() {
    let lost = refuse("region:us-east-1", "3s");
    let back = "[[rollback]]\naction = \"failback\"\ntarget = \"record:gtm.example.com/app\"\n";
    let other = back.replace("\"failback\"", "\"failback\"\nstrategy = \"deviated\"");
    let drills = [
        ("back", short("back", "after = \"30s\"", &format!("{lost}{back}"))),
        ("stays", short("stays", "after = \"40s\"", &format!("{lost}{other}"))),
    ];
    let drills: Vec<(&str, &str)> =
        drills.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let demo = Demo::quick(155, &drills);
    let zone = demo.server.folder.read("zones/gtm.example.com.toml");
    let zone = zone
        .replace("failback = \"after\"", "failback = \"manual\"")
        .replace("failback_delay = \"1s\"", "");
    demo.server.folder.write("zones/gtm.example.com.toml", &zone);
    assert_eq!(demo.server.reload()["accepted"], true);
    // Its member is down still when all is taken back: who is asked once says no.
    let (report, code) = demo.run("back", &[]);
    assert_eq!((&report["verdict"], code), (&"PASS".into(), 0), "{report:#}");
    assert!(point(&report, "first changed answer").is_some(), "{report:#}");
    assert_eq!(report["besides"], serde_json::json!(["failback record:gtm.example.com/app"]));

    demo.await_calm();
    demo.begin("stays");
    demo.await_stage("after");
    await_some("the region", || (demo.down() == 0).then_some(()));
    assert_eq!(demo.running()["stage"], "after", "what is manual stays away");
    assert!(demo.drill(&["abort"]).status.success());
    demo.await_end();
    let report = demo.report("stays");
    assert_eq!(report["verdict"], "ABORTED", "{}", report["sentence"]);
    assert_eq!(report["besides"], serde_json::json!(["failback record:gtm.example.com/app"]));
    demo.await_calm();
}

#[test]
fn a_lost_state_database_is_survived() {
    let more = "[[step]]\nid = \"state\"\naction = \"state.lost\"\nfor = \"2s\"\n\
        [expect]\nspurious_changes = 0\nlost_queries = 0\n";
    let demo = Demo::quick(145, &[("lost", &short("lost", "", more))]);
    let since = demo.server.last_event();
    let (report, code) = demo.run("lost", &[]);
    assert_eq!((&report["verdict"], code), (&"PASS".into(), 0), "{}", report["sentence"]);
    let events = demo.server.events(since);
    let store: Vec<_> = events.iter().filter(|event| event["event"] == "store").collect();
    assert_eq!(store.len(), 2, "lost, and back: {store:?}");
    assert!(store[0]["text"].as_str().unwrap().contains("lost by a drill"));
}
