//! The real binary, serving a folder.

use super::{process::Process, scratch::Scratch};
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitStatus, Output},
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
        let ready_file = folder.path().join("ready.json");
        let mut command = Command::new(BINARY);
        command.arg("serve").arg("-C").arg(folder.path()).arg("--ready-file").arg(&ready_file);
        let mut process = Process::start(&command, &folder.path().join("server.log"));
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

    /// The control socket.
    pub fn control(&self) -> PathBuf {
        self.ready["control"].as_str().unwrap().into()
    }

    /// The process id, for /proc.
    pub fn id(&self) -> u32 {
        self.process.id()
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

    /// Stops it with SIGTERM.
    pub fn stop(mut self) -> ExitStatus {
        self.process.terminate()
    }
}

/// Runs the binary to its end.
pub fn cli(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().unwrap()
}
