//! Rollouts, end to end: a canary goes from 1 to 100 % and moves each sticky client once at the
//! most; figures of a real Prometheus, of JSON over HTTP and of our own health checks reverse it or
//! leave it standing; the second region follows. What people and kills do to it is in
//! `rollout_orders`.

mod support;

use serde_json::Value;
use std::{net::IpAddr, path::Path, time::Duration};
use support::{
    DEADLINE, await_some,
    backend::{Backend, Mood},
    prometheus::Prometheus,
    rollouts::{CLIENTS, SERVER, Site, WAITING, ZONE, www},
    scratch::Scratch,
    server::Server,
};

#[test]
fn a_canary_goes_to_all_of_its_record_and_moves_each_client_once_at_the_most() {
    let site = Site::start(WAITING, "");
    site.gives(0.0);
    let mut seen = vec![site.answers()];
    let plan = site.rollout(&["plan", "www"], 0);
    assert!(plan.contains("step 3     50 %"), "{plan}");
    // Four steps of 100 ms, each of which is served for twice the TTL of a second.
    assert!(plan.contains("takes 8s at least, and what whoever promotes it takes"), "{plan}");
    site.rollout(&["start", "www", "--reason", "release 42"], 0);
    site.rollout(&["start", "www"], 4);
    for (step, share) in [(1, 0.01), (2, 0.1), (3, 0.5)] {
        site.awaited("waiting", step);
        site.gives(share);
        seen.push(site.answers());
        let observed = await_some("counts", || {
            let line = site.line();
            (line["observed"]["of"].as_u64()? >= CLIENTS as u64).then_some(line)
        });
        let (low, high) = (&observed["observed"]["low"], &observed["observed"]["high"]);
        // Wider than the interval: of a thousand runs none may miss.
        let (low, high) = (low.as_f64().unwrap() - 0.03, high.as_f64().unwrap() + 0.03);
        assert!((low..high).contains(&share), "{observed:#}");
        site.rollout(&["promote", "www"], 0);
    }
    site.awaited("succeeded", 4);
    site.gives(1.0);
    seen.push(site.answers());
    let canary = IpAddr::from([192, 0, 2, 20]);
    assert!(seen[0].iter().all(|address| *address != canary));
    assert!(seen[4].iter().all(|address| *address == canary));
    // From one of the three stable addresses to the canary, in one step or another, and nowhere else.
    for client in 0..CLIENTS {
        let moves = seen.windows(2).filter(|pair| pair[0][client] != pair[1][client]);
        assert_eq!(moves.count(), 1, "client network {client}");
    }
    assert_eq!(site.asked(), ["1 %", "10 %", "50 %", "100 %"]);
    assert!(site.server.metric("tradewind_rollout_step{name=\"www\"}") >= 4.0);
    assert_eq!(
        site.server.metric("tradewind_rollout_state{name=\"www\",state=\"succeeded\"}"),
        1.0
    );

    // The weights stay until the files say the same, and that is what ends them.
    let status = String::from_utf8(site.server.cli("status", &[]).stdout).unwrap();
    let served = "canary of g.example/www is given 100 %; the files say 0 % (rollout www)";
    assert!(status.contains(served), "{status}");
    let said = site.rollout(&["finish", "www"], 10);
    let changed = |sign: char| {
        let line = said.lines().find(|l| l.starts_with(&format!("{sign}members"))).unwrap();
        line[1..].to_owned()
    };
    let zone = ZONE.replace(&changed('-'), &changed('+'));
    assert_ne!(zone, ZONE, "{said}");
    site.server.folder.write("zones/g.example.toml", &zone);
    assert_eq!(site.server.reload()["accepted"], true);
    await_some("the end of the override", || (site.line()["closed"] == true).then_some(()));
    site.gives(1.0);
    let list = site.server.control_request("GET", "/v1/hand").1;
    assert_eq!(list["overrides"], serde_json::json!([]));
    assert!(site.rollout(&["finish", "www"], 0).contains("nothing is left to do"));
}

fn judged(url: &str, metric: &str) -> String {
    format!(
        "[[analysis]]\nname = \"error-rate\"\n\
         prometheus = {{ url = \"{url}\", query = \"{metric}\" }}\n\
         success = \"< 0.01\"\ninterval = \"1s\"\ncount = 2\n"
    )
}

#[test]
fn a_failing_figure_of_a_real_prometheus_reverses_the_canary_before_its_next_step() {
    let Some(mut prometheus) = Prometheus::start(91) else { return };
    let site = Site::start("[10, 50, 100]", &judged(&prometheus.url(), "error_rate"));
    site.rollout(&["start", "www"], 0);
    site.awaited("baking", 2);
    prometheus.shows("error_rate", 0.2);
    let line = site.awaited("reversed", 2);
    site.gives(0.0);
    let last = line["analysis"][0]["last"].as_str();
    assert_eq!(last, Some("0.2"), "{line:#}");
    assert_eq!(site.asked(), ["10 %", "50 %", "0 %"], "and never the third step");
    let events = site.server.events(0);
    let said = events.iter().find(|event| event["to"] == "reversing").unwrap();
    assert_eq!(said["alarm"], true);
    assert!(said["text"].as_str().unwrap().contains("error-rate is 0.2, wanted < 0.01"), "{said}");
    site.rollout(&["status", "www"], 20);
    // Nobody gets it until somebody says so: `undo` is what the files say, `retry` all of it again.
    site.rollout(&["promote", "www"], 4);
    prometheus.shows("error_rate", 0.0);
    site.rollout(&["retry", "www"], 0);
    site.awaited("baking", 1);
    site.gives(0.1);
    site.rollout(&["undo", "www"], 0);
    site.awaited("undone", 1);
    site.gives(0.0);
    assert_eq!(site.line()["closed"], true);
}

#[test]
fn without_figures_a_rollout_stands_still_as_inconclusive() {
    let Some(prometheus) = Prometheus::start(92) else { return };
    let site = Site::start("[10, 50]", &judged(&prometheus.url(), "no_such_metric"));
    site.rollout(&["start", "www"], 0);
    let line = site.awaited("inconclusive", 1);
    assert!(line["halted"].as_str().unwrap().contains("the query has no result"), "{line:#}");
    site.gives(0.1);
    site.rollout(&["status", "www"], 1);
    let said = site.server.cli("status", &[]);
    assert_eq!(said.status.code(), Some(1));
    // One that is not there at all is asked a few times more.
    let url = prometheus.url();
    drop(prometheus);
    let gone = judged(&url, "error_rate");
    let gone = www("[10, 50]", &gone);
    site.rollout(&["undo", "www"], 0);
    site.server.folder.write("rollouts/www.toml", &gone);
    assert_eq!(site.server.reload()["accepted"], true);
    site.awaited("undone", 1);
    site.rollout(&["start", "www"], 0);
    let line = site.awaited("inconclusive", 1);
    assert!(line["halted"].as_str().unwrap().contains("cannot be had"), "{line:#}");
    assert_eq!(line["analysis"][0]["verdict"], "Error");
    site.rollout(&["abort", "www"], 0);
    site.awaited("aborted", 1);
    site.gives(0.0);
    site.rollout(&["status", "www"], 21);
}

/// What judges by the number at `/checkout/errors` of `backend`'s JSON, each second.
fn judged_by(backend: &Backend) -> String {
    format!(
        "[[analysis]]\nname = \"errors\"\n\
         http = {{ url = \"http://{}/figures\", json = \"/checkout/errors\" }}\n\
         success = \"< 0.01\"\ninterval = \"1s\"\n",
        backend.address()
    )
}

/// A backend with that number.
fn figures(errors: &str) -> Mood {
    Mood::Answer(200, format!("{{\"checkout\": {{\"errors\": {errors}}}}}"))
}

#[test]
fn json_over_http_judges_once_caches_turned_over_and_what_fails_is_held_if_the_file_says_so() {
    let backend = Backend::start(94);
    backend.set(figures("0.2"));
    let rest = format!("on_fail = \"hold\"\n{}", judged_by(&backend));
    let site = Site::start("[10, 50]", &rest);
    site.rollout(&["start", "www"], 0);
    backend.await_hits(1, DEADLINE);
    // It stands still once it was judged, and its clock with it.
    let line = site.line();
    assert_eq!(line["judged_after_ms"], 2_000, "{line:#}");
    assert!(line["elapsed_ms"].as_u64() >= Some(2_000), "judged too soon: {line:#}");
    let line = site.awaited("failed", 1);
    assert_eq!(line["halted"], "errors is 0.2, wanted < 0.01", "{line:#}");
    site.gives(0.1);
    site.rollout(&["status", "www"], 1);
    let site = site.killed();
    site.awaited("failed", 1);
    site.gives(0.1);
    assert_eq!(site.asked(), ["10 %"]);
    backend.set(figures("0"));
    site.rollout(&["retry", "www"], 0);
    site.awaited("succeeded", 2);
    site.gives(0.5);
    assert_eq!(site.asked(), ["10 %", "50 %"]);
}

/// The other region, where the weights are reversed: everybody gets the canary, and `stable` rises.
const WEST: &str = "record = \"g.example/west\"\nmember = \"stable\"\nbake = \"100ms\"\n\
    steps = [40, 100]\n";

/// There a weight takes two persons.
const TWO_IN_THE_WEST: &str =
    "[[safety]]\nname = \"west\"\nrecords = [\"g.example/west\"]\ntwo_persons = [\"weight\"]\n";

#[test]
fn the_second_region_begins_with_the_weights_reversed_once_the_first_has_succeeded() {
    let site = Site::over(&[
        ("tradewind.toml", &format!("{SERVER}{TWO_IN_THE_WEST}")),
        ("rollouts/www.toml", &www("[100]", "then = [\"west\"]\n")),
        ("rollouts/west.toml", WEST),
    ]);
    site.rollout(&["start", "www", "--as", "ana"], 0);
    site.awaited("baking", 1);
    assert_eq!(site.line_of("west")["state"], "ready");
    assert_eq!(site.share_of("west", "192.0.2.20"), 1.0);
    site.awaited("succeeded", 1);
    // Both ends of that are kept, or neither.
    let site = site.killed();
    // Who had the first begin had the second begin.
    for step in 1..=2 {
        let proposed = || site.line_of("west")["proposed"].as_u64();
        let id = await_some("a proposal", proposed).to_string();
        site.cli("confirm", &[&id, "--as", "ana"], 6);
        site.cli("confirm", &[&id, "--as", "bo"], 0);
        site.awaited_of("west", ["baking", "succeeded"][step - 1], step as u64);
    }
    let line = site.awaited_of("west", "succeeded", 2);
    assert_eq!((&line["who"], &line["reason"]), (&"rollout www".into(), &"follows www".into()));
    assert_eq!(site.share_of("west", "192.0.2.20"), 0.0);
    site.gives(1.0);
}

#[test]
fn a_step_that_is_not_through_by_its_deadline_is_reversed_and_nothing_follows() {
    let backend = Backend::start(95);
    backend.set(Mood::Hang);
    let rest = format!("progress_deadline = \"3s\"\nthen = [\"west\"]\n{}", judged_by(&backend));
    let files = [("rollouts/www.toml", &*www("[10, 50]", &rest)), ("rollouts/west.toml", WEST)];
    let site = Site::over(&files);
    site.rollout(&["start", "www"], 0);
    site.awaited("reversed", 1);
    site.gives(0.0);
    let news = site.news();
    let why = news.iter().find(|event| event["to"] == "reversing").unwrap();
    assert!(why["text"].as_str().unwrap().contains("is not through after 3s"), "{why}");
    assert_eq!(why["alarm"], true);
    assert_eq!(site.line_of("west")["state"], "ready");
    assert_eq!(site.asked(), ["10 %", "0 %"]);
}

#[test]
fn what_nobody_else_can_answer_is_taken_back_once_somebody_can_even_over_a_crash() {
    let backend = Backend::start(96);
    backend.set(figures("0"));
    let site = Site::start("[{ weight = 10, pause = true }, 50]", &judged_by(&backend));
    site.rollout(&["start", "www"], 0);
    site.awaited("waiting", 1);
    for pool in ["stable", "spare"] {
        site.cli("force", &[&format!("pool:g.example/{pool}"), "down"], 0);
    }
    backend.set(figures("0.5"));
    site.awaited("reversing", 1);
    let site = site.killed();
    site.awaited("reversing", 1);
    assert_eq!(site.asked(), ["10 %"], "bad answers are better than none");
    site.cli("force", &["pool:g.example/spare", "auto"], 0);
    site.awaited("reversed", 1);
    site.gives(0.0);
}

/// Judged by what our own probes see.
const BY_HEALTH: &str = r#"
[[analysis]]
name    = "errors"
health  = "errors"
success = "< 0.2"
interval = "1s"
initial_delay = "3s"
inconclusive_limit = 9
[[analysis]]
name    = "latency"
health  = "latency"
success = "< 500ms"
interval = "1s"
initial_delay = "3s"
inconclusive_limit = 9
"#;

#[test]
fn our_own_health_checks_judge_by_errors_and_by_latency() {
    let backend = Backend::start(97);
    let probed = format!("ipv4 = \"192.0.2.20\", probe = \"{}\"", backend.address());
    let zone = ZONE.replace("[pools.canary]", "[pools.canary]\ncheck = \"web\"");
    let zone = zone.replace("ipv4 = \"192.0.2.20\"", &probed);
    // So many failures in a row that it never falls: it is the figures that speak.
    let check = "[web]\ntype = \"http\"\ninterval = \"2s\"\ntimeout = \"1900ms\"\nfall = 10\n";
    let site = Site::over(&[
        ("zones/g.example.toml", &zone),
        ("healthchecks/web.toml", check),
        ("rollouts/www.toml", &www("[{ weight = 10, pause = true }, 50]", BY_HEALTH)),
    ]);
    site.rollout(&["start", "www"], 0);
    site.awaited("waiting", 1);
    backend.set(Mood::ill());
    site.awaited("reversed", 1);
    site.gives(0.0);
    let why = |site: &Site| {
        let news = site.news();
        let last = news.iter().rfind(|event| event["to"] == "reversing").unwrap();
        last["text"].as_str().unwrap().to_owned()
    };
    assert!(why(&site).contains("errors is 0."), "{}", why(&site));

    backend.set(Mood::well());
    site.rollout(&["retry", "www"], 0);
    site.awaited("waiting", 1);
    backend.set(Mood::Slow(Duration::from_secs(1)));
    site.awaited("reversed", 1);
    assert!(why(&site).contains("latency is 1."), "{}", why(&site));
    site.gives(0.0);
}

/// The files of this repository as they are, but for times, ports and where the backends stand.
#[test]
fn the_ready_rollout_runs_on_the_demo() {
    let backend = Backend::start(93);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let zone = read("zones/gtm.example.com.toml");
    let probes = ["127.0.0.11:8080", "127.0.0.12:8080", "127.0.0.13:8080"];
    let zone =
        probes.iter().fold(zone, |zone, probe| zone.replace(probe, &backend.address().to_string()));
    let zone = zone.replace("ttl     = \"5s\"", "ttl     = \"1s\"");
    let server = read("tradewind.toml").replace(":5300", ":0").replace(":8053", ":0");
    let rollout = read("rollouts/www.toml").replace("\"12s\"", "\"1s\"");
    let checks = read("healthchecks/web.toml").replace("interval = \"2s\"", "interval = \"1s\"");
    let checks = checks.replace("timeout  = \"1s\"", "timeout  = \"500ms\"");
    let site = Site {
        server: Server::start(Scratch::with(&[
            ("tradewind.toml", &server),
            ("healthchecks/web.toml", &checks),
            ("zones/gtm.example.com.toml", &zone),
            ("zones/static.example.com.zone", &read("zones/static.example.com.zone")),
            ("rollouts/www.toml", &rollout),
        ])),
    };
    site.rollout(&["start", "www"], 0);
    let watched = site.rollout(&["status", "www", "--watch"], 0);
    let last: Value = serde_json::from_str(watched.lines().last().unwrap()).unwrap();
    assert_eq!(last["state"], "succeeded", "{watched}");
    assert!(last["analysis"][0]["successful"].as_u64().unwrap() > 0, "{last:#}");
    let tree = site.rollout(&["status", "www"], 0);
    assert!(tree.contains("canary of gtm.example.com/www"), "{tree}");
    // By its own name, though the demo's endpoints of a region are one target.
    assert!(tree.contains("gtm.example.com/canary/canary-1  up"), "{tree}");
    assert!(!tree.contains("stable-1"), "{tree}");
}
