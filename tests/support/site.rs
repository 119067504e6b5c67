//! Two regions behind a failover, each with a backend to kill, and a database that may be a gate:
//! what tests of a failover's life begin with.

use super::{
    await_some,
    backend::Backend,
    load::{Ask, Stream},
    scratch::Scratch,
    server::Server,
};
use serde_json::Value;
use tradewind::clock::{Clock, Moment, SystemClock};

/// The server's file, of two regions.
pub const SERVER: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\n\
    [regions.us]\ncloud = \"aws:us-east-1\"\n[regions.eu]\ncloud = \"aws:eu-west-1\"\n";
/// The check of both: two failures in a row are a fall.
pub const CHECK: &str = "[web]\ntype = \"http\"\ninterval = \"300ms\"\ntimeout = \"200ms\"\n\
    fall = 2\nrise = 2\nfast_recheck = \"100ms\"\nhold_down = \"off\"\n";
/// The rule that both are members.
pub const BOTH: &str = "members = [\"iad\", \"dub\"]\n";

/// Files with the failover `app.gtm.example` by `rules`, answered for `ttl` and judged by `checks`.
pub fn files(iad: &Backend, dub: &Backend, checks: &str, ttl: &str, rules: &str) -> Scratch {
    let zone = format!(
        "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"web\"\nttl = {ttl}\n\
         static = \"ns1 60 IN A 127.0.0.53\"\n\
         [pools.iad]\nregion = \"us\"\n\
         endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.1\", probe = \"{}\" }}]\n\
         [pools.dub]\nregion = \"eu\"\n\
         endpoints = [{{ name = \"e\", ipv4 = \"192.0.2.2\", probe = \"{}\" }}]\n\
         [records.app]\npolicy = \"failover\"\n{rules}\n",
        iad.address(),
        dub.address(),
    );
    Scratch::with(&[
        ("tradewind.toml", SERVER),
        ("healthchecks/web.toml", checks),
        ("zones/gtm.example.toml", &zone),
    ])
}

/// The server over such files, and everything around it.
pub struct Site {
    pub iad: Backend,
    pub dub: Backend,
    /// What the check `db` looks at.
    pub database: Backend,
    pub server: Server,
    pub clock: SystemClock,
}

impl Site {
    /// Both up. Takes three hosts from `host` on.
    pub fn start(host: u8, ttl: &str, rules: &str) -> Site {
        let (iad, dub) = (Backend::start(host), Backend::start(host + 1));
        let database = Backend::start(host + 2);
        let checks =
            format!("{CHECK}{}target = \"{}\"\n", CHECK.replace("web", "db"), database.address());
        let server = Server::start(files(&iad, &dub, &checks, ttl, rules));
        let site = Site { iad, dub, database, server, clock: SystemClock::default() };
        await_some("both up", || (site.endpoints_up() == 2).then_some(()));
        site
    }

    /// Kills it with SIGKILL and starts it again.
    pub fn restart(self) -> Site {
        Site { server: Server::start(self.server.kill()), ..self }
    }

    pub fn status(&self) -> Value {
        self.server.control_request("GET", "/v1/status").1
    }

    pub fn endpoints_up(&self) -> usize {
        let status = self.status();
        let endpoints = status["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
        endpoints.iter().filter(|endpoint| endpoint["verdict"] == "up").count()
    }

    pub fn failover(&self) -> Value {
        self.status()["failovers"][0].clone()
    }

    pub fn await_phase(&self, phase: &str) -> Value {
        await_some(phase, || Some(self.failover()).filter(|failover| failover["phase"] == phase))
    }

    /// What a command says that ends with `code`.
    #[track_caller]
    pub fn cli(&self, command: &str, args: &[&str], code: i32) -> String {
        let done = self.server.cli(command, args);
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{said}");
        said.into_owned()
    }

    /// Waits until the database is judged so.
    pub fn await_gate(&self, state: &str) {
        await_some(&format!("the database to be {state}"), || {
            let targets = self.server.control_request("GET", "/v1/targets").1;
            let is = |t: &&Value| t["target"] == "check:db" && t["state"] == *state;
            targets.as_array()?.iter().find(is).map(|_| ())
        });
    }

    /// The exact share of clients that get Washington now, and the TTL.
    pub fn share_of_iad(&self) -> (f64, u64) {
        let said =
            self.server.cli("explain", &["app.gtm.example", "--client", "192.0.2.9", "--json"]);
        let said: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        let answers = said["steering"]["answers"].as_array().cloned().unwrap_or_default();
        let iad = answers.iter().filter(|answer| answer["records"][0] == "192.0.2.1");
        let share = iad.map(|answer| answer["share"].as_f64().unwrap_or_default()).sum();
        (share, said["steering"]["ttl_s"].as_u64().unwrap_or_default())
    }

    pub fn stream(&self) -> Stream {
        self.stream_at(500)
    }

    pub fn stream_at(&self, per_second: u32) -> Stream {
        let asks = vec![Ask::a("app.gtm.example")];
        Stream::start(self.server.udp(), self.clock, asks, per_second)
    }

    /// When the event at this time of day was, on our clock.
    pub fn moment(&self, event: &Value) -> Moment {
        let at: jiff::Timestamp = event["at"].as_str().unwrap().parse().unwrap();
        let ago = self.clock.wall().duration_since(at.into()).unwrap_or_default();
        Moment(self.clock.now().0 - ago.as_nanos() as u64)
    }
}
