//! Failovers that wait for people, gates and time, end to end: manual ways there and back with a
//! preview, a ramp looked at while it runs, trickle, delays, gates.

mod support;

use serde_json::Value;
use std::time::Duration;
use support::{
    DEADLINE, await_some,
    backend::{Backend, Mood},
    figure,
    load::{Ask, Stream},
    scratch::Scratch,
    server::Server,
};
use tradewind::clock::{Clock, SystemClock};

const CHECK: &str = "\
[web]\ntype = \"http\"\ninterval = \"300ms\"\ntimeout = \"200ms\"\nfall = 2\nrise = 2\n\
fast_recheck = \"100ms\"\nhold_down = \"off\"\n";

/// Two regions behind a failover with `rules`, and a database that may be its gate.
struct Site {
    iad: Backend,
    dub: Backend,
    database: Backend,
    server: Server,
    clock: SystemClock,
}

impl Site {
    fn start(host: u8, rules: &str) -> Site {
        let (iad, dub) = (Backend::start(host), Backend::start(host + 1));
        let database = Backend::start(host + 2);
        let checks =
            format!("{CHECK}{}target = \"{}\"\n", CHECK.replace("web", "db"), database.address());
        let zone = format!(
            "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web\"\n\
             ttl = {{ max = \"30s\", min = \"5s\" }}\nstatic = \"ns1 60 IN A 127.0.0.53\"\n\
             [pools.iad]\nregion = \"us\"\n\
             endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.1\", probe = \"{}\" }}]\n\
             [pools.dub]\nregion = \"eu\"\n\
             endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.2\", probe = \"{}\" }}]\n\
             [records.app]\npolicy = \"failover\"\n{rules}\n",
            iad.address(),
            dub.address(),
        );
        let server = "[server]\nlisten = [\"127.0.0.1:0\"]\n\
            [regions.us]\ncloud = \"aws:us-east-1\"\n[regions.eu]\ncloud = \"aws:eu-west-1\"\n";
        let folder = Scratch::with(&[
            ("tradewind.toml", server),
            ("healthchecks/web.toml", &checks),
            ("zones/gtm.example.toml", &zone),
        ]);
        let server = Server::start(folder);
        let site = Site { iad, dub, database, server, clock: SystemClock::default() };
        await_some("all up", || (site.endpoints_up() == 2).then_some(()));
        site
    }

    fn status(&self) -> Value {
        self.server.control_request("GET", "/v1/status").1
    }

    fn endpoints_up(&self) -> usize {
        let status = self.status();
        let endpoints = status["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
        endpoints.iter().filter(|endpoint| endpoint["verdict"] == "up").count()
    }

    fn failover(&self) -> Value {
        self.status()["failovers"][0].clone()
    }

    fn await_phase(&self, phase: &str) -> Value {
        await_some(phase, || Some(self.failover()).filter(|failover| failover["phase"] == phase))
    }

    /// The exact share of clients that get Washington now, and the TTL.
    fn share_of_iad(&self) -> (f64, u64) {
        let said =
            self.server.cli("explain", &["app.gtm.example", "--client", "192.0.2.9", "--json"]);
        let said: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        let answers = said["steering"]["answers"].as_array().cloned().unwrap_or_default();
        let iad = answers.iter().filter(|answer| answer["records"][0] == "192.0.2.1");
        let share = iad.map(|answer| answer["share"].as_f64().unwrap_or_default()).sum();
        (share, said["steering"]["ttl_s"].as_u64().unwrap_or_default())
    }

    #[track_caller]
    fn cli(&self, command: &str, args: &[&str], code: i32) -> String {
        let done = self.server.cli(command, args);
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{said}");
        said.into_owned()
    }

    fn stream(&self) -> Stream {
        let asks = vec![Ask::a("app.gtm.example")];
        Stream::start(self.server.udp(), self.clock, asks, 500)
    }
}

const APP: &str = "record:gtm.example/app";

#[test]
fn a_manual_failback_waits_shows_who_would_move_and_ramps() {
    let rules = "members = [\"iad\", \"dub\"]\nfailback = \"manual\"\nramp = { over = \"5s\", start = 0.1 }";
    let mut site = Site::start(171, rules);
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
    site.cli("approve", &[APP, "--reason", "database caught up"], 0);
    let begun = site.clock.now();
    let mut seen = Vec::new();
    while site.clock.now().since(begun) < Duration::from_millis(4_800) {
        let before = site.clock.now();
        let (share, ttl) = site.share_of_iad();
        let after = site.clock.now();
        // It advances by the second, and asking takes its time.
        let planned = |at: f64| (0.1 + 0.9 * at / 5.0).min(1.0);
        let least = planned((before.since(begun).as_secs_f64() - 1.3).max(0.0)) - 0.03;
        let most = planned(after.since(begun).as_secs_f64() + 0.1) + 0.03;
        assert!((least..=most).contains(&share), "{share} not in {least}..={most}");
        assert!(ttl == 5 || share == 1.0, "a ramp that runs has short TTLs: {ttl}");
        seen.push(share);
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(seen.is_sorted() && seen[0] < 0.5, "{seen:?}");
    seen.dedup();
    figure("ramp", format_args!("{seen:.3?}"));
    site.await_phase("primary");
    await_some("all of it", || (site.share_of_iad() == (1.0, 30)).then_some(()));
    assert!(stream.stop().iter().all(|e| !e.answer.addresses.is_empty()));
    let moved = site.server.events(0);
    let moved: Vec<&Value> = moved.iter().filter(|event| event["event"] == "failover").collect();
    assert_eq!(moved.len(), 2, "{moved:#?}");
}

#[test]
fn a_manual_failover_keeps_the_dead_member_until_it_is_approved_and_never_empties() {
    let rules = "members = [\"iad\", \"dub\"]\nfailover = \"manual\"\nfailback = \"manual\"";
    let mut site = Site::start(174, rules);
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
    let site = Site::start(177, "members = [\"iad\", \"dub\"]\ntrickle = 0.1");
    assert_eq!(site.share_of_iad(), (0.9, 30));
}

#[test]
fn a_failover_with_a_delay_waits_for_it() {
    let rules = "members = [\"iad\", \"dub\"]\nfailover_delay = \"2s\"\nfailback = \"auto\"";
    let mut site = Site::start(180, rules);
    let stream = site.stream();
    site.iad.stop();
    let waiting = site.await_phase("failing-over");
    assert!(waiting["waits"]["due_in_s"].as_f64().is_some_and(|due| due <= 2.0), "{waiting}");
    let down = site.clock.now();
    let moved = stream.await_answer("the standby", DEADLINE, |e| {
        e.answer.addresses == [std::net::IpAddr::from([192, 0, 2, 2])]
    });
    assert!(moved.asked.since(down) > Duration::from_millis(1_500));
    assert!(stream.stop().iter().all(|e| e.answer.addresses.len() == 1));
}

#[test]
fn a_shut_gate_holds_a_move_until_it_opens() {
    let rules =
        "members = [\"iad\", { pool = \"dub\", require = [\"check:db\"] }]\nfailback = \"auto\"";
    let mut site = Site::start(183, rules);
    site.database.stop();
    await_some("the database to be down", || {
        let targets = site.server.control_request("GET", "/v1/targets").1;
        targets
            .as_array()
            .cloned()
            .unwrap_or_default()
            .into_iter()
            .find(|target| target["target"] == "check:db" && target["state"] == "down")
    });
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
