//! Rollouts, end to end: a canary goes from 1 to 100 % and moves each sticky client once at the
//! most; figures of a real Prometheus reverse it or leave it standing; nothing is skipped, repeated
//! or stuck when the server is killed.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::rr::RecordType;
use serde_json::Value;
use std::{net::Ipv4Addr, path::Path, process::Command};
use support::{
    await_some,
    backend::Backend,
    load::{Ask, ask_all},
    prometheus::Prometheus,
    scratch::Scratch,
    server::{BINARY, Server},
};

const SERVER: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n";

const ZONE: &str = r#"
zone   = "g.example"
ns     = ["ns1.g.example"]
check  = "none"
ttl    = "1s"
static = "ns1 60 IN A 127.0.0.53"
[pools.stable]
endpoints = [{ name = "s1", ipv4 = "192.0.2.10" }, { name = "s2", ipv4 = "192.0.2.11" }]
[pools.canary]
endpoints = [{ name = "c1", ipv4 = "192.0.2.20" }]
[records.www]
policy  = "weighted"
members = [{ pool = "stable", weight = 90 }, { pool = "canary", weight = 0, absorb = false }]
sticky  = "client"
"#;

/// Client networks that are asked for.
const CLIENTS: usize = 3_000;

struct Site {
    server: Server,
}

impl Site {
    /// A server over these files, with `rollouts/www.toml` of these steps and the rest.
    fn start(steps: &str, rest: &str) -> Site {
        let rollout = format!(
            "record = \"g.example/www\"\nmember = \"canary\"\nbake = \"100ms\"\nsteps = {steps}\n{rest}"
        );
        Site {
            server: Server::start(Scratch::with(&[
                ("tradewind.toml", SERVER),
                ("zones/g.example.toml", ZONE),
                ("rollouts/www.toml", &rollout),
            ])),
        }
    }

    /// Kills it with SIGKILL and starts it again.
    fn killed(self) -> Site {
        Site { server: Server::start(self.server.kill()) }
    }

    /// What `tradewind rollout ARGS` says; it must end with `code`.
    #[track_caller]
    fn rollout(&self, args: &[&str], code: i32) -> String {
        let mut command = Command::new(BINARY);
        command.arg("rollout").args(args).arg("-C").arg(self.server.folder.path());
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {said}");
        said.into_owned()
    }

    fn line(&self) -> Value {
        let (status, line) = self.server.control_request("GET", "/v1/rollouts/www");
        assert_eq!(status, 200, "{line}");
        line
    }

    /// Waits until it is doing this, at this step.
    #[track_caller]
    fn awaited(&self, state: &str, step: u64) -> Value {
        let mut last = Value::Null;
        let is = |line: &Value| line["state"] == *state && line["step"] == step;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            await_some(state, || {
                last = self.line();
                is(&last).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("not {state} at step {step}: {last:#}"))
    }

    /// The exact share of clients that get the canary now.
    fn share(&self) -> f64 {
        let said =
            self.server.cli("explain", &["www.g.example", "--client", "192.0.2.9", "--json"]);
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        let answers = said["steering"]["answers"].as_array().unwrap();
        let canary = answers.iter().filter(|answer| answer["records"][0] == "192.0.2.20");
        canary.map(|answer| answer["share"].as_f64().unwrap()).sum()
    }

    #[track_caller]
    fn gives(&self, share: f64) {
        let given = self.share();
        assert!((given - share).abs() < 1e-6, "{given}, not {share}");
    }

    /// Which client networks get the canary, over real packets.
    fn canaries(&self) -> Vec<bool> {
        let ask = |n: usize| {
            let net = u32::from(Ipv4Addr::new(11, 0, 0, 0)) + ((n as u32) << 8);
            let client = format!("{}/24", Ipv4Addr::from_bits(net));
            Ask::new("www.g.example", RecordType::A, &client)
        };
        let mut canaries = vec![false; CLIENTS];
        ask_all(self.server.udp(), (0..CLIENTS).map(ask), |n, answer| {
            canaries[n] = answer.address().to_string() == "192.0.2.20";
        });
        canaries
    }

    /// What happened to the rollout so far, in order: `started`, `step`, …
    fn story(&self) -> Vec<String> {
        let events = self.server.events(0);
        let own = events.iter().filter(|event| event["event"] == "rollout");
        own.map(|event| event["to"].as_str().unwrap().to_owned()).collect()
    }

    /// The shares that were asked for, in order.
    fn asked(&self) -> Vec<String> {
        let events = self.server.events(0);
        let made = events.iter().filter(|e| e["event"] == "hand" && e["to"] == "made");
        let said = made.map(|event| event["text"].as_str().unwrap().to_owned());
        let share = |text: String| {
            let rest = text.split_once("gives `canary` ")?.1;
            Some(rest.split_once(" of the clients")?.0.to_owned())
        };
        said.filter_map(share).collect()
    }
}

/// Steps that each wait to be promoted, so that a test can look at them.
const WAITING: &str = "[{ weight = 1, pause = true }, { weight = 10, pause = true }, \
    { weight = 50, pause = true }, 100]";

#[test]
fn a_canary_goes_to_all_of_its_record_and_moves_each_client_once_at_the_most() {
    let site = Site::start(WAITING, "");
    site.gives(0.0);
    assert!(site.rollout(&["plan", "www"], 0).contains("step 3     50 %"));
    site.rollout(&["start", "www", "--reason", "release 42"], 0);
    site.rollout(&["start", "www"], 4);
    let mut seen: Vec<Vec<bool>> = Vec::new();
    for (step, share) in [(1, 0.01), (2, 0.1), (3, 0.5)] {
        site.awaited("waiting", step);
        site.gives(share);
        seen.push(site.canaries());
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
    seen.push(site.canaries());
    assert!(seen[3].iter().all(|is_canary| *is_canary));
    for pair in seen.windows(2) {
        let back = pair[0].iter().zip(&pair[1]).filter(|(before, after)| **before && !**after);
        assert_eq!(back.count(), 0, "nobody goes back to stable");
    }
    assert_eq!(site.asked(), ["1 %", "10 %", "50 %", "100 %"]);
    assert!(site.server.metric("tradewind_rollout_step{name=\"www\"}") >= 4.0);
    assert_eq!(
        site.server.metric("tradewind_rollout_state{name=\"www\",state=\"succeeded\"}"),
        1.0
    );

    // The weights stay until the files say the same, and that is what ends them.
    let status = String::from_utf8(site.server.cli("status", &[]).stdout).unwrap();
    assert!(status.contains("canary is given 100.0 %; the files say 0.0 %"), "{status}");
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
    let gone = format!(
        "record = \"g.example/www\"\nmember = \"canary\"\nbake = \"1s\"\nsteps = [10, 50]\n{gone}"
    );
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

#[test]
fn whoever_kills_the_server_in_any_phase_finds_nothing_skipped_repeated_or_stuck() {
    let site = Site::start(WAITING, "");
    site.rollout(&["start", "www"], 0);
    // Its weight was just asked for.
    let site = site.killed();
    site.awaited("baking", 1);
    let site = site.killed();
    site.awaited("waiting", 1);
    site.gives(0.01);
    let site = site.killed();
    site.awaited("waiting", 1);
    site.rollout(&["promote", "www"], 0);
    let site = site.killed();
    site.awaited("waiting", 2);
    site.rollout(&["pause", "www", "--reason", "lunch"], 0);
    let site = site.killed();
    let line = site.awaited("paused", 2);
    assert!(line["halted"].as_str().unwrap().contains("lunch"), "{line:#}");
    site.gives(0.1);
    site.rollout(&["resume", "www"], 0);
    site.awaited("waiting", 2);
    site.rollout(&["abort", "www"], 0);
    let site = site.killed();
    site.awaited("aborted", 2);
    site.gives(0.0);
    let site = site.killed();
    site.awaited("aborted", 2);
    assert_eq!(site.asked(), ["1 %", "10 %", "0 %"], "each once, in order");
    let steps = site.story().iter().filter(|what| *what == "step").count();
    // Told no more than once each; what was told just before a kill may not have been kept.
    assert!((1..=2).contains(&steps), "{steps}");
    // The files give it nobody either: the override is no more.
    await_some("the end of the override", || (site.line()["closed"] == true).then_some(()));
    let site = site.killed();
    site.awaited("aborted", 2);
    site.rollout(&["undo", "www"], 4);
    site.gives(0.0);
}

#[test]
fn whoever_edits_the_weight_pauses_the_rollout() {
    let site = Site::start(WAITING, "");
    site.rollout(&["start", "www"], 0);
    site.awaited("waiting", 1);
    let weight = site.server.cli("weight", &["record:g.example/www", "canary=40%"]);
    assert_eq!(weight.status.code(), Some(0));
    let line = site.awaited("edited", 1);
    assert!(line["halted"].as_str().unwrap().contains("gives `canary` 40 %"), "{line:#}");
    site.gives(0.4);
    site.rollout(&["resume", "www"], 0);
    site.awaited("waiting", 1);
    site.gives(0.01);

    let zone = ZONE.replace("weight = 90", "weight = 97").replace("weight = 0", "weight = 3");
    site.server.folder.write("zones/g.example.toml", &zone);
    assert_eq!(site.server.reload()["accepted"], true);
    let line = site.awaited("edited", 1);
    assert!(line["halted"].as_str().unwrap().contains("the files say 3 %"), "{line:#}");
    site.gives(0.01);
    let status = String::from_utf8(site.server.cli("status", &[]).stdout).unwrap();
    assert!(status.contains("canary is given 1.0 %; the files say 3.0 %"), "{status}");
    site.rollout(&["promote", "www", "--full"], 0);
    site.awaited("succeeded", 4);
    site.gives(1.0);
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
}
