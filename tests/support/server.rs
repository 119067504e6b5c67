//! The real binary, serving a folder.

use super::{DEADLINE, await_some, backend::exchange, process::Process, scratch::Scratch};
use serde_json::Value;
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Command, ExitStatus, Output},
    time::Duration,
};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_tradewind");

/// A running server.
pub struct Server {
    process: Process,
    ready: Value,
    /// The operator's files it serves; write to them, then reload.
    pub folder: Scratch,
}

impl Server {
    /// Serves `folder` and returns once it answers. Let its files say port 0.
    pub fn start(folder: Scratch) -> Self {
        Server::under(&[], folder)
    }

    /// The same as an argument of the command `under`, which must become it.
    pub fn under(under: &[&str], folder: Scratch) -> Self {
        let mut process = launch_with(under, &[], &folder);
        let ready_file = folder.path().join("ready.json");
        // Written whole by a rename once the server answers, so what is read is all of it.
        let ready = process.await_some("ready file of the server", || {
            serde_json::from_slice(&fs::read(&ready_file).ok()?).ok()
        });
        Server { process, ready, folder }
    }

    fn address(&self, key: &str) -> SocketAddr {
        let listed = &self.ready[key];
        let first = listed.get(0).unwrap_or(listed).as_str();
        let first = first.unwrap_or_else(|| panic!("no {key} in {}", self.ready));
        first.parse().unwrap()
    }

    /// The first address it answers UDP on.
    pub fn udp(&self) -> SocketAddr {
        self.address("udp")
    }

    /// The first address it answers TCP on.
    pub fn tcp(&self) -> SocketAddr {
        self.address("tcp")
    }

    /// Where /metrics, /healthz and /readyz are.
    pub fn admin(&self) -> SocketAddr {
        self.address("admin")
    }

    /// What Prometheus would scrape; it takes `[server] admin`.
    pub fn metrics(&self) -> String {
        loop {
            let stream = TcpStream::connect(self.admin()).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let (_, metrics) = exchange(stream, "GET", "/metrics", "localhost").unwrap();
            // Whoever looks without a pause is told to come again.
            if !metrics.contains("\"status\":429") {
                return metrics;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    /// The value of the series that stands in /metrics as `series`; it takes `[server] admin`.
    pub fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics();
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {series} in {metrics}"))
    }

    /// The control socket.
    pub fn control(&self) -> PathBuf {
        self.ready["control"].as_str().unwrap().into()
    }

    /// The process id, for /proc.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// For how long its threads were ready to run while others had the processors.
    pub fn kept_waiting(&self) -> Duration {
        self.process.kept_waiting()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Runs `tradewind COMMAND -C FOLDER ARGS…` against it.
    pub fn cli(&self, command: &str, args: &[&str]) -> Output {
        let mut all = vec![command, "-C", self.folder.path().to_str().unwrap()];
        all.extend(args);
        cli(&all)
    }

    /// Asks the control socket; the status and the body, if that is JSON.
    pub fn control_request(&self, method: &str, path: &str) -> (u16, Value) {
        let stream = UnixStream::connect(self.control()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (status, body) = exchange(stream, method, path, "localhost").unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// `tradewind reload` and what it says.
    pub fn reload(&self) -> Value {
        self.control_request("POST", "/v1/reload").1
    }

    /// What happened after event number `since`, oldest first.
    pub fn events(&self, since: u64) -> Vec<Value> {
        let (status, events) = self.control_request("GET", &format!("/v1/events?since={since}"));
        assert_eq!(status, 200);
        serde_json::from_value(events).unwrap()
    }

    /// The number of the newest event.
    pub fn last_event(&self) -> u64 {
        self.events(0).last().map_or(0, |event| event["seq"].as_u64().unwrap())
    }

    /// Waits for the first event after number `since` that `accept` likes.
    pub fn await_event(
        &self,
        what: &str,
        since: u64,
        mut accept: impl FnMut(&Value) -> bool,
    ) -> Value {
        await_some(what, || self.events(since).into_iter().find(|event| accept(event)))
    }

    /// Kills it with SIGKILL; its folder is left as it is.
    pub fn kill(self) -> Scratch {
        drop(self.process);
        // What stands there was written by the dead.
        self.folder.remove("ready.json");
        self.folder
    }

    /// Stops it with SIGTERM; its folder is left as it is.
    pub fn folder_after_stop(mut self) -> Scratch {
        let status = self.process.terminate();
        assert!(status.success(), "{status}: {}", self.process.log());
        self.folder
    }

    /// Stops it with SIGTERM.
    pub fn stop(mut self) -> ExitStatus {
        self.process.terminate()
    }
}

/// Starts to serve `folder`; says in `ready.json` once it answers, and logs to `server.log`.
pub fn launch(folder: &Scratch) -> Process {
    launch_with(&[], &[], folder)
}

/// The same as an argument of the command `under`, and with more arguments of its own.
pub fn launch_with(under: &[&str], args: &[&str], folder: &Scratch) -> Process {
    let words = [under, &[BINARY]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg("serve").arg("-C").arg(folder.path());
    command.arg("--ready-file").arg(folder.path().join("ready.json"));
    command.args(args);
    Process::start(&command, &folder.path().join("server.log"))
}

/// Runs the binary to its end.
pub fn cli(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().unwrap()
}
