//! A server with rollouts, and what is asked of it: what tests of a rollout's life begin with.

use super::{
    await_some,
    load::{Ask, ask_all},
    scratch::Scratch,
    server::{BINARY, Server},
};
use hickory_proto::rr::RecordType;
use redb::{Database, ReadableTable, TableDefinition};
use serde_json::Value;
use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
};

/// The server's file.
pub const SERVER: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n";

/// The zone: three members at `www`, of which the canary gets nobody; the same at `west` with the
/// weights reversed, so that the stable ones get nobody there.
pub const ZONE: &str = r#"
zone   = "g.example"
ns     = ["ns1.g.example"]
check  = "none"
ttl    = "1s"
static = "ns1 60 IN A 127.0.0.53"
[pools.stable]
endpoints = [{ name = "s1", ipv4 = "192.0.2.10" }, { name = "s2", ipv4 = "192.0.2.11" }]
[pools.spare]
endpoints = [{ name = "p1", ipv4 = "192.0.2.12" }]
[pools.canary]
endpoints = [{ name = "c1", ipv4 = "192.0.2.20" }]
[records.www]
policy  = "weighted"
members = [{ pool = "stable", weight = 60 }, { pool = "spare", weight = 30 }, { pool = "canary", weight = 0, absorb = false }]
sticky  = "client"
[records.west]
policy  = "weighted"
members = [{ pool = "canary", weight = 90 }, { pool = "stable", weight = 0, absorb = false }]
sticky  = "client"
"#;

/// Steps that each wait to be promoted, so that a test can look at them.
pub const WAITING: &str = "[{ weight = 1, pause = true }, { weight = 10, pause = true }, \
    { weight = 50, pause = true }, 100]";

/// Client networks that are asked for.
pub const CLIENTS: usize = 3_000;

/// `rollouts/www.toml` of these steps, and the rest.
pub fn www(steps: &str, rest: &str) -> String {
    format!(
        "record = \"g.example/www\"\nmember = \"canary\"\nbake = \"100ms\"\nsteps = {steps}\n{rest}"
    )
}

/// The server.
pub struct Site {
    pub server: Server,
}

impl Site {
    /// A server over [`SERVER`] and [`ZONE`], with the rollout `www` of these steps and the rest.
    pub fn start(steps: &str, rest: &str) -> Site {
        Site::over(&[("rollouts/www.toml", &www(steps, rest))])
    }

    /// A server over [`SERVER`] and [`ZONE`] where `files` do not say otherwise, and over these.
    pub fn over(files: &[(&str, &str)]) -> Site {
        let folder = Scratch::with(&[("tradewind.toml", SERVER), ("zones/g.example.toml", ZONE)]);
        for (path, text) in files {
            folder.write(path, text);
        }
        Site { server: Server::start(folder) }
    }

    /// Kills it with SIGKILL and starts it again.
    pub fn killed(self) -> Site {
        Site { server: Server::start(self.server.kill()) }
    }

    /// The same; meanwhile what was kept of `www` becomes what `change` makes of it, which must be
    /// something else.
    pub fn killed_and(self, change: impl FnOnce(&str) -> String) -> Site {
        const NOTES: TableDefinition<'static, &str, &str> = TableDefinition::new("notes");
        let folder = self.server.kill();
        {
            let database = Database::open(folder.path().join("state/state.redb")).unwrap();
            let transaction = database.begin_write().unwrap();
            let mut notes = transaction.open_table(NOTES).unwrap();
            let kept = notes.get("rollout:www").unwrap().unwrap().value().to_owned();
            let changed = change(&kept);
            assert_ne!(changed, kept);
            notes.insert("rollout:www", &*changed).unwrap();
            drop(notes);
            transaction.commit().unwrap();
        }
        Site { server: Server::start(folder) }
    }

    /// What `tradewind rollout ARGS` says; it must end with `code`.
    #[track_caller]
    pub fn rollout(&self, args: &[&str], code: i32) -> String {
        let mut command = Command::new(BINARY);
        command.arg("rollout").args(args).arg("-C").arg(self.server.folder.path());
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {said}");
        said.into_owned()
    }

    /// What `tradewind COMMAND ARGS` says; it must end with `code`.
    #[track_caller]
    pub fn cli(&self, command: &str, args: &[&str], code: i32) -> String {
        let done = self.server.cli(command, args);
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{command} {args:?}: {said}");
        said.into_owned()
    }

    /// Orders something of `www` and hangs up without waiting for what is said.
    pub fn order_and_hang_up(&self, verb: &str) {
        let body = r#"{"as":"ida","reason":"gone"}"#;
        let mut stream = UnixStream::connect(self.server.control()).unwrap();
        write!(
            stream,
            "POST /v1/rollouts/www/{verb} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    }

    /// How `www` stands.
    pub fn line(&self) -> Value {
        self.line_of("www")
    }

    /// How a rollout stands.
    pub fn line_of(&self, name: &str) -> Value {
        let (status, line) = self.server.control_request("GET", &format!("/v1/rollouts/{name}"));
        assert_eq!(status, 200, "{line}");
        line
    }

    /// Waits until `www` is doing this, at this step.
    #[track_caller]
    pub fn awaited(&self, state: &str, step: u64) -> Value {
        self.awaited_of("www", state, step)
    }

    /// Waits until a rollout is doing this, at this step.
    #[track_caller]
    pub fn awaited_of(&self, name: &str, state: &str, step: u64) -> Value {
        let mut last = Value::Null;
        let is = |line: &Value| line["state"] == *state && line["step"] == step;
        let found = catch_unwind(AssertUnwindSafe(|| {
            await_some(state, || {
                last = self.line_of(name);
                is(&last).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("not {state} at step {step}: {last:#}"))
    }

    /// The exact share of the clients of `www` that get the canary now.
    pub fn share(&self) -> f64 {
        self.share_of("www", "192.0.2.20")
    }

    /// The exact share of the clients of `record` that get this address now.
    pub fn share_of(&self, record: &str, address: &str) -> f64 {
        let name = format!("{record}.g.example");
        let said = self.server.cli("explain", &[&name, "--client", "192.0.2.9", "--json"]);
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        let answers = said["steering"]["answers"].as_array().unwrap();
        let own = answers.iter().filter(|answer| answer["records"][0] == *address);
        own.map(|answer| answer["share"].as_f64().unwrap()).sum()
    }

    #[track_caller]
    pub fn gives(&self, share: f64) {
        let given = self.share();
        assert!((given - share).abs() < 1e-6, "{given}, not {share}");
    }

    /// Which address each client network gets at `www`, over real packets.
    pub fn answers(&self) -> Vec<IpAddr> {
        let ask = |n: usize| {
            let net = u32::from(Ipv4Addr::new(11, 0, 0, 0)) + ((n as u32) << 8);
            let client = format!("{}/24", Ipv4Addr::from_bits(net));
            Ask::new("www.g.example", RecordType::A, &client)
        };
        let mut answers = vec![IpAddr::from([0; 4]); CLIENTS];
        ask_all(self.server.udp(), (0..CLIENTS).map(ask), |n, answer| {
            answers[n] = answer.address();
        });
        answers
    }

    /// What happened to `www` so far, in order: `started`, `step`, …
    pub fn story(&self) -> Vec<String> {
        self.news().iter().map(|event| event["to"].as_str().unwrap().to_owned()).collect()
    }

    /// The events of `www` so far.
    pub fn news(&self) -> Vec<Value> {
        let events = self.server.events(0);
        let is_own = |event: &Value| event["event"] == "rollout" && event["subject"] == "www";
        events.into_iter().filter(is_own).collect()
    }

    /// That each of `steps` was served once: told no more than once over all lives of the process.
    /// What was told just before a kill may not have been kept.
    #[track_caller]
    pub fn tells_nothing_twice(&self, steps: &[&str]) {
        let news = self.news();
        let told = news.iter().filter(|event| event["to"] == "step");
        let mut told: Vec<&str> = told.map(|event| event["cause"].as_str().unwrap()).collect();
        assert!(told.iter().all(|said| steps.contains(said)), "{told:?}");
        let all = told.len();
        told.sort_unstable();
        told.dedup();
        assert_eq!(told.len(), all, "{news:#?}");
    }

    /// The shares that were asked for, of any rollout and in order.
    pub fn asked(&self) -> Vec<String> {
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
