//! The demo with its ready drills, on ports of its own: what tests of game days begin with. They
//! hold no others up but those that measure.

use super::{
    await_some,
    backend::Backend,
    scratch::Scratch,
    server::{BINARY, Server},
};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Command, Output},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// The files of `tradewind demo`.
const FILES: [(&str, &str); 4] = [
    ("tradewind.toml", include_str!("../../tradewind.toml")),
    ("healthchecks/web.toml", include_str!("../../healthchecks/web.toml")),
    ("zones/gtm.example.com.toml", include_str!("../../zones/gtm.example.com.toml")),
    ("zones/static.example.com.zone", include_str!("../../zones/static.example.com.zone")),
];

/// The ready drills.
const READY: [(&str, &str); 6] = [
    ("region-loss", include_str!("../../drills/region-loss.toml")),
    ("hang", include_str!("../../drills/hang.toml")),
    ("flap", include_str!("../../drills/flap.toml")),
    ("all-down", include_str!("../../drills/all-down.toml")),
    ("checker-cut-off", include_str!("../../drills/checker-cut-off.toml")),
    ("broken-reload", include_str!("../../drills/broken-reload.toml")),
];

/// Who measures milliseconds wants all the processors there are; the others may run together.
static TURN: RwLock<()> = RwLock::new(());

/// Held as long as a demo runs.
enum Turn {
    Alone(#[expect(dead_code, reason = "held, not read")] RwLockWriteGuard<'static, ()>),
    Together(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'static, ()>),
}

/// What makes a demo quicker that nothing is measured at: checks each second, and clients back
/// after one.
const QUICK: [(&str, &str); 3] = [
    ("interval = \"2s\"", "interval = \"1s\""),
    ("timeout  = \"1s\"", "timeout  = \"900ms\""),
    ("failback_delay = \"10s\"", "failback_delay = \"1s\""),
];

/// The demo's server on ports of its own, with its three regions.
pub struct Demo {
    pub server: Server,
    _regions: [Backend; 3],
    _turn: Turn,
}

impl Demo {
    /// As it is, with the ready drills and `more`, and alone on this machine as far as we can say.
    pub fn start(host: u8, more: &[(&str, &str)]) -> Demo {
        let turn = Turn::Alone(TURN.write().unwrap_or_else(PoisonError::into_inner));
        Demo::with(turn, host, more, &[])
    }

    /// The same for who measures no time: quicker, and beside others of the kind.
    pub fn quick(host: u8, more: &[(&str, &str)]) -> Demo {
        let turn = Turn::Together(TURN.read().unwrap_or_else(PoisonError::into_inner));
        Demo::with(turn, host, more, &QUICK)
    }

    fn with(turn: Turn, host: u8, more: &[(&str, &str)], changes: &[(&str, &str)]) -> Demo {
        let regions = [0, 1, 2].map(|place| Backend::start(host + place));
        let folder = Scratch::new();
        for (path, text) in FILES {
            let mut text = text
                .replace("127.0.0.1:5300", "127.0.0.1:0")
                .replace("127.0.0.1:8053", "127.0.0.1:0")
                .replace("watch  = true", "watch  = false");
            for (region, backend) in ["11", "12", "13"].iter().zip(&regions) {
                let written = format!("127.0.0.{region}:8080");
                text = text.replace(&written, &backend.address().to_string());
            }
            for (from, to) in changes {
                text = text.replace(from, to);
            }
            folder.write(path, &text);
        }
        for (name, text) in READY.iter().chain(more) {
            folder.write(&format!("drills/{name}.toml"), text);
        }
        let server = Server::start(folder);
        let demo = Demo { server, _regions: regions, _turn: turn };
        demo.await_calm();
        demo
    }

    /// Waits until nothing is degraded.
    pub fn await_calm(&self) {
        await_some("all up", || {
            let status = self.server.control_request("GET", "/v1/status").1;
            let endpoints = status["endpoints"].as_array()?.clone();
            let is_up = |one: &Value| one["verdict"] == "up" && one["failing"] == false;
            let failovers = status["failovers"].as_array()?.clone();
            let rests = |one: &Value| {
                one["active"] == one["preferred"]
                    && one["waits"].is_null()
                    && one["leaving"].is_null()
            };
            let is_calm = endpoints.iter().all(is_up) && failovers.iter().all(rests);
            (!endpoints.is_empty() && is_calm).then_some(())
        });
    }

    pub fn folder(&self) -> String {
        self.server.folder.path().to_str().unwrap().to_owned()
    }

    pub fn drill(&self, args: &[&str]) -> Output {
        let folder = self.folder();
        let mut all = vec!["drill", args[0], "-C", &folder];
        all.extend(&args[1..]);
        Command::new(BINARY).args(all).output().unwrap()
    }

    /// Runs a drill to its end: its report, and how the command ended.
    pub fn run(&self, name: &str, args: &[&str]) -> (Value, i32) {
        let done = self.drill(&[&["run", name, "--yes", "--json"], args].concat());
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        let report = serde_json::from_slice(&done.stdout)
            .unwrap_or_else(|_| panic!("{name}: {errors}\n{}", self.server.log()));
        (report, done.status.code().unwrap())
    }

    /// Starts a drill and leaves it to the server.
    pub fn begin(&self, name: &str) {
        let done = self.drill(&["run", name, "--yes", "--detach", "--reason", "quarterly"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub fn running(&self) -> Value {
        self.server.control_request("GET", "/v1/drills/running").1
    }

    pub fn report(&self, name: &str) -> Value {
        self.server.control_request("GET", &format!("/v1/drills/{name}/report")).1
    }

    /// The journal of the newest run, as it stands on disk.
    pub fn journal(&self, name: &str) -> PathBuf {
        let folder = self.server.folder.path().join("state/drills").join(name);
        let runs = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let runs = runs.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
        // Of two in one second the later one is called the same and something more.
        runs.max_by_key(|path| path.file_stem().map(OsStr::to_owned)).unwrap()
    }

    /// Kills the server with SIGKILL and starts it again on what it left behind.
    pub fn crash(self) -> Demo {
        let Demo { server, _regions, _turn } = self;
        let server = Server::start(server.kill());
        Demo { server, _regions, _turn }
    }

    pub fn await_stage(&self, stage: &str) {
        await_some(stage, || (self.running()["stage"] == stage).then_some(()));
    }

    pub fn await_end(&self) {
        await_some("the end of the drill", || self.running().is_null().then_some(()));
    }

    pub fn down(&self) -> usize {
        let status = self.server.control_request("GET", "/v1/status").1;
        let endpoints = status["endpoints"].as_array().cloned().unwrap_or_default();
        endpoints.iter().filter(|endpoint| endpoint["verdict"] != "up").count()
    }

    pub fn overrides(&self) -> usize {
        let hand = self.server.control_request("GET", "/v1/hand").1;
        hand["overrides"].as_array().map_or(0, Vec::len)
    }
}

/// A point of a report in milliseconds since the drill began.
pub fn point(report: &Value, name: &str) -> Option<f64> {
    let points = report["timeline"].as_array().unwrap();
    points.iter().find(|point| point["name"] == name).unwrap()["ms"].as_f64()
}

pub fn measured(report: &Value, name: &str) -> Option<f64> {
    let budgets = report["budgets"].as_array().unwrap();
    budgets.iter().find(|line| line["name"] == name).unwrap()["measured"].as_f64()
}

/// A short drill: `more` is added to its head and steps.
pub fn short(name: &str, head: &str, more: &str) -> String {
    format!(
        "[drill]\nname = \"{name}\"\nmode = \"live\"\nmax_duration = \"1m\"\nbefore = \"1s\"\n{head}\n\
         [[steady]]\nname = \"app\"\nquery = {{ name = \"app.gtm.example.com\", rate = \"200/s\" }}\n\
         {more}\n"
    )
}

pub fn force(target: &str, lasts: &str) -> String {
    format!(
        "[[step]]\nid = \"force\"\naction = \"health.force\"\ntarget = \"{target}\"\n\
         params = {{ state = \"down\" }}\nfor = \"{lasts}\"\n"
    )
}

pub fn refuse(target: &str, lasts: &str) -> String {
    format!(
        "[[step]]\nid = \"refuse\"\naction = \"probe.fault\"\ntarget = \"{target}\"\n\
         params = {{ kind = \"refuse\" }}\nfor = \"{lasts}\"\n"
    )
}
