//! What we are watched by works: a real Prometheus scrapes the real server, every panel of the
//! board has data there, rules load and fire, and what is documented is what is shown.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::rr::RecordType;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};
use support::{
    await_some, await_some_for,
    backend::{Backend, get},
    dns, figure, free_address,
    process::Process,
    scratch::Scratch,
    server::Server,
    stream::{Stream, frame},
    tool,
};

const SERVER: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
    [regions.us]\ncloud = \"aws:us-east-1\"\n[regions.eu]\ncloud = \"aws:eu-west-1\"\n\
    [querylog]\nsample = \"1/1\"\n";
const CHECK: &str = "[web]\ntype = \"http\"\ninterval = \"300ms\"\ntimeout = \"200ms\"\n\
    fall = 2\nrise = 2\nfast_recheck = \"100ms\"\nhold_down = \"off\"\n";
/// Families without a series where there is no second server and no rollout has run.
const ABSENT: [&str; 3] =
    ["tradewind_peer_in_step", "tradewind_rollout_step", "tradewind_rollout_state"];
/// How long until everything of a board has been scraped twice and rules were looked at.
const SCRAPED: Duration = Duration::from_secs(60);

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A failover, a record with nothing else to fall back on, and one that asks where clients are.
fn zone(iad: &Backend, dub: &Backend) -> String {
    format!(
        "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web\"\nttl = \"5s\"\n\
         static = \"ns1 60 IN A 127.0.0.53\"\n\
         [pools.iad]\nregion = \"us\"\n\
         endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.1\", probe = \"{}\" }}]\n\
         [pools.dub]\nregion = \"eu\"\n\
         endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.2\", probe = \"{}\" }}]\n\
         [records.app]\npolicy = \"failover\"\nmembers = [\"iad\", \"dub\"]\n\
         [records.solo]\npolicy = \"weighted\"\nmembers = [\"iad\"]\n\
         [records.www]\npolicy = \"geo\"\nrules = [\n\
         {{ match = [\"country:US\"], use = [\"iad\", \"dub\"] }},\n\
         {{ match = [\"*\"], use = [\"dub\", \"iad\"] }},\n]\n",
        iad.address(),
        dub.address(),
    )
}

/// A server with something of everything to show, once `iad` was stopped.
struct Site {
    iad: Backend,
    _dub: Backend,
    server: Server,
}

impl Site {
    fn start(host: u8) -> Site {
        let (iad, dub) = (Backend::start(host), Backend::start(host + 1));
        let files = Scratch::with(&[
            ("tradewind.toml", SERVER),
            ("healthchecks/web.toml", CHECK),
            ("zones/gtm.example.toml", &zone(&iad, &dub)),
        ]);
        let server = Server::start(files);
        let site = Site { iad, _dub: dub, server };
        await_some("both up", || {
            let up = |region| {
                let series = format!("tradewind_target_up{{target=\"gtm.example/{region}/e\"");
                site.metrics()
                    .lines()
                    .any(|line| line.starts_with(&series) && line.ends_with(" 1.0"))
            };
            (up("iad") && up("dub")).then_some(())
        });
        site
    }

    fn metrics(&self) -> String {
        get(self.server.admin(), "/metrics").unwrap().1
    }

    /// One query of each kind.
    fn ask(&self) {
        for (name, client) in [
            ("www.gtm.example", "8.8.8.0/24"),
            ("app.gtm.example", ""),
            ("solo.gtm.example", ""),
            ("none.gtm.example", ""),
        ] {
            dns::ask(self.server.udp(), name, RecordType::A, client);
        }
        let mut stream = Stream::connect(self.server.tcp());
        stream.send(&frame(&dns::message("app.gtm.example", RecordType::AAAA)));
        stream.next().unwrap();
    }

    /// Asks on and on while `work` runs.
    fn under_traffic<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    self.ask();
                    thread::sleep(Duration::from_millis(20));
                }
            });
            // A failure has to end the traffic too, or the scope waits for ever.
            struct Ends<'d>(&'d AtomicBool);
            impl Drop for Ends<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Relaxed);
                }
            }
            let _ends = Ends(&done);
            work()
        })
    }
}

/// A row of the table in docs/metrics.md.
struct Documented {
    kind: String,
    labels: BTreeSet<String>,
}

/// What docs/metrics.md says, by family: of counters without `_total`.
fn documented() -> BTreeMap<String, Documented> {
    let text = fs::read_to_string(repository("docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `tradewind_"));
    let row = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[0].trim_end_matches('`');
        let labels = cells[2].split(", ").filter(|label| !label.is_empty());
        let name = format!("tradewind_{}", name.strip_suffix("_total").unwrap_or(name));
        let kind = cells[1].to_owned();
        (name, Documented { kind, labels: labels.map(str::to_owned).collect() })
    };
    rows.map(row).collect()
}

/// The labels of a series, without those of a histogram's buckets.
fn labels(series: &str) -> BTreeSet<String> {
    let Some((_, inside)) = series.split_once('{') else { return BTreeSet::new() };
    let names = inside.split("\",").filter_map(|label| label.split_once("=\""));
    names.map(|(name, _)| name.to_owned()).filter(|name| name != "le").collect()
}

#[test]
fn the_table_of_metrics_says_what_a_server_shows() {
    let mut site = Site::start(61);
    site.ask();
    site.iad.stop();
    await_some("a record without health", || {
        site.ask();
        let metrics = site.metrics();
        (metrics.contains("\ntradewind_failopen_active{")
            && metrics.contains("reason=\"all-down\"")
            && metrics.contains("\ntradewind_failover_unsettled{")
            && metrics.contains("\ntradewind_dns_sampled_requests_total{"))
        .then_some(())
    });
    let metrics = site.metrics();
    let mut documented = documented();
    let mut wrong = Vec::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let Some(row) = documented.remove(name) else {
            wrong.push(format!("{name} ({kind}) is not in the table"));
            continue;
        };
        if row.kind != kind {
            wrong.push(format!("{name} is a {kind}, not a {}", row.kind));
        }
        let own = |series: &&str| {
            let family = series.split(['{', ' ']).next().unwrap_or_default();
            let suffix = family.strip_prefix(name);
            suffix.is_some_and(|s| ["", "_total", "_sum", "_count", "_bucket"].contains(&s))
        };
        let series = metrics.lines().filter(|line| !line.starts_with('#')).filter(own);
        let seen: Vec<BTreeSet<String>> = series.map(labels).collect();
        if seen.is_empty() && !ABSENT.contains(&name) {
            wrong.push(format!("{name} has no series in this test"));
        }
        if let Some(other) = seen.into_iter().find(|seen| *seen != row.labels) {
            wrong.push(format!("{name} has the labels {other:?}"));
        }
    }
    wrong.extend(documented.keys().map(|name| format!("nothing shows {name}")));
    assert!(wrong.is_empty(), "docs/metrics.md: {}\n{metrics}", wrong.join("\n"));
}

#[test]
fn answers_are_shown_beside_what_is_intended() {
    let mut site = Site::start(64);
    let app = |name: &str, region: &str, rest: &str| {
        format!(
            "tradewind_{name}{{zone=\"gtm.example\",record=\"app.gtm.example\",region=\"{region}\"{rest}}}"
        )
    };
    site.ask();
    assert_eq!(site.server.metric(&app("policy_intended_ratio", "us", "")), 1.0);
    assert_eq!(site.server.metric(&app("policy_intended_ratio", "eu", "")), 0.0);
    assert_eq!(site.server.metric(&app("answers_total", "us", ",reason=\"healthy\"")), 1.0);
    let www = "tradewind_policy_intended_ratio{zone=\"gtm.example\",record=\"www.gtm.example\"";
    let us = site.server.metric(&format!("{www},region=\"us\"}}"));
    assert!((0.3..0.6).contains(&us), "the United States have {us} of the address space");
    let eu = site.server.metric(&format!("{www},region=\"eu\"}}"));
    assert!((us + eu - 1.0).abs() < 1e-9);
    site.iad.stop();
    await_some("the failover", || {
        (site.server.metric(&app("policy_intended_ratio", "eu", "")) == 1.0).then_some(())
    });
    site.ask();
    assert_eq!(site.server.metric(&app("answers_total", "eu", ",reason=\"healthy\"")), 1.0);
    let solo =
        "tradewind_answers_total{zone=\"gtm.example\",record=\"solo.gtm.example\",region=\"us\"";
    assert_eq!(site.server.metric(&format!("{solo},reason=\"all-down\"}}")), 1.0);
    assert_eq!(site.server.metric(&format!("{solo},reason=\"healthy\"}}")), 1.0);
}

#[test]
fn records_that_are_not_chosen_are_summed_by_zone() {
    let site = Site::start(67);
    let chosen = format!("{SERVER}[metrics]\nrecords = [\"gtm.example/a*\"]\n");
    site.server.folder.write("tradewind.toml", &chosen);
    assert_eq!(site.server.reload()["accepted"], true);
    site.ask();
    let metrics = site.metrics();
    let records: BTreeSet<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("tradewind_answers_total"))
        .filter_map(|line| line.split("record=\"").nth(1)?.split('"').next())
        .collect();
    assert!(records.iter().eq(&["*", "app.gtm.example"]), "{records:?}");
    assert!(!metrics.contains("ratio{zone=\"gtm.example\",record=\"www.gtm.example\""));
}

fn promtool(args: &[&str], folder: &Path) -> Option<String> {
    let promtool = tool("promtool")?;
    let done = Command::new(promtool).args(args).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "promtool {args:?}: {said}");
    Some(said.into_owned())
}

#[test]
fn alerts_fire_when_they_should_and_the_runbook_knows_each() {
    let folder = repository("packaging/prometheus");
    if promtool(&["check", "rules", "alerts.yml"], &folder).is_none() {
        return;
    }
    promtool(&["test", "rules", "alerts_test.yml"], &folder);
    let rules = fs::read_to_string(folder.join("alerts.yml")).unwrap();
    let tested = fs::read_to_string(folder.join("alerts_test.yml")).unwrap();
    let runbook = fs::read_to_string(repository("docs/runbook.md")).unwrap();
    let names: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let sections: BTreeSet<&str> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(names, sections, "docs/runbook.md has a section for each rule");
    for name in &names {
        let link = format!("runbook: docs/runbook.md#{}", name.to_lowercase());
        assert!(rules.contains(&link), "{name} has no link to its section");
        assert!(tested.contains(&format!("alertname: {name}")), "{name} has no test");
    }
}

/// A Prometheus that scrapes one server.
struct Prometheus {
    _process: Process,
    address: SocketAddr,
    _folder: Scratch,
}

impl Prometheus {
    fn start(server: SocketAddr) -> Option<Prometheus> {
        let program = tool("prometheus")?;
        let rules = repository("packaging/prometheus/alerts.yml");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n\
             - job_name: tradewind\n  static_configs: [{{targets: [\"{server}\"]}}]\n",
            rules.display(),
        );
        let folder = Scratch::with(&[("prometheus.yml", &config)]);
        let address = free_address(Ipv4Addr::LOCALHOST.into());
        let at = |path: &str| folder.path().join(path).display().to_string();
        let mut command = Command::new(program);
        command.args([
            &format!("--config.file={}", at("prometheus.yml")),
            &format!("--storage.tsdb.path={}", at("data")),
            &format!("--web.listen-address={address}"),
            "--log.level=warn",
        ]);
        let mut process = Process::start(&command, &folder.path().join("log"));
        process.await_some("Prometheus", || TcpStream::connect(address).ok());
        Some(Prometheus { _process: process, address, _folder: folder })
    }

    /// What its API says, over HTTP/1.0, in which bodies come in one piece.
    fn api(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(support::DEADLINE)).ok()?;
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        let answer: Value = serde_json::from_str(response.split_once("\r\n\r\n")?.1).ok()?;
        assert!(
            answer["status"] != "error" || answer["errorType"] == "unavailable",
            "{path}: {answer}"
        );
        Some(answer["data"].clone())
    }

    /// The values of a query that are numbers.
    fn values(&self, query: &str) -> Vec<f64> {
        let encode = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        let encoded: String = query.bytes().map(encode).collect();
        let data = self.api(&format!("query?query={encoded}")).unwrap_or_default();
        let result = data["result"].as_array().cloned().unwrap_or_default();
        let value = |one: &Value| one["value"][1].as_str()?.parse::<f64>().ok();
        result.iter().filter_map(value).filter(|value| !value.is_nan()).collect()
    }
}

/// Every query of the board, with its panel's title, as it is asked for one server.
fn queries() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository("packaging/grafana/tradewind.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let mut query = target["expr"].as_str().unwrap().to_owned();
            for variable in ["$job", "$instance", "$zone", "$record"] {
                query = query.replace(&format!("\"{variable}\""), "\".*\"");
            }
            let query = query.replace("$__rate_interval", "15s");
            assert!(!query.contains('$'), "an unknown variable: {query}");
            queries.push((panel["title"].as_str().unwrap().to_owned(), query));
        }
    }
    queries
}

#[test]
fn every_panel_of_the_board_has_data_and_an_alert_fires() {
    let mut site = Site::start(70);
    let Some(prometheus) = Prometheus::start(site.server.admin()) else { return };
    let has = |query: &str| !prometheus.values(query).is_empty();
    // What rises has to be seen before and after.
    site.under_traffic(|| {
        await_some_for(SCRAPED, "two scrapes", || {
            has("rate(tradewind_dns_requests_total[15s])").then_some(())
        });
    });
    site.iad.stop();
    site.under_traffic(|| {
        let queries = queries();
        assert!(queries.len() > 40, "{}", queries.len());
        for (panel, query) in &queries {
            await_some_for(SCRAPED, &format!("data of the panel {panel}: {query}"), || {
                has(query).then_some(())
            });
        }
        figure("queries of the board with data", queries.len());
        await_some_for(SCRAPED, "the alert of a record without health", || {
            let data = prometheus.api("alerts")?;
            let alerts = data["alerts"].as_array()?;
            let is = |alert: &&Value| {
                alert["labels"]["alertname"] == "TradewindFailOpen" && alert["state"] == "firing"
            };
            alerts.iter().find(is).map(|_| ())
        });
    });
    let rules = prometheus.api("rules").unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    let ill: Vec<&Value> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
    assert!(ill.is_empty(), "{ill:?}");
}
