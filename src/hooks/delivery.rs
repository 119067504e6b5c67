//! Telling a hook once: a POST, or a program of its own.

use super::Told;
use crate::{
    checkplan::denied,
    config::hooks::{HookDef, HookWay},
    health::client_config,
};
use reqwest::{Client, StatusCode, Url, header, redirect::Policy};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

/// What of a program's output goes to the log.
const OUTPUT_MAX: u64 = 4_096;

/// Why it was not told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub why: String,
    /// Whether another attempt would end in the same way.
    pub is_final: bool,
}

impl Failure {
    fn passing(why: impl ToString) -> Failure {
        Failure { why: why.to_string(), is_final: false }
    }
    fn lasting(why: impl ToString) -> Failure {
        Failure { why: why.to_string(), is_final: true }
    }
}

/// Who tells one hook.
#[derive(Debug)]
pub(super) struct Courier {
    way: HookWay,
    dir: PathBuf,
    timeout: Duration,
}

impl Courier {
    pub(super) fn new(def: &HookDef, dir: &Path) -> Courier {
        Courier { way: def.way.clone(), dir: dir.to_owned(), timeout: def.timeout }
    }

    /// Tells it, within its time.
    pub(super) async fn deliver(&self, told: &Told) -> Result<(), Failure> {
        let body = serde_json::to_vec(told).map_err(Failure::lasting)?;
        match &self.way {
            HookWay::Url { url, token_file } => {
                let posted = self.post(url, token_file.as_deref(), body);
                let late = || Failure::passing(format_args!("no answer within {:?}", self.timeout));
                timeout(self.timeout, posted).await.map_err(|_| late())?
            }
            HookWay::Exec(command) => self.run(command, told, body).await,
        }
    }

    async fn post(&self, url: &str, token: Option<&Path>, body: Vec<u8>) -> Result<(), Failure> {
        let url: Url = url.parse().map_err(Failure::lasting)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        // Looked at before it is connected to, and then to that very address: no name leads to
        // what only this machine may reach (reliability S-22).
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let found: Vec<SocketAddr> = found.map_err(Failure::passing)?.collect();
        let address = found.iter().find(|address| !denied(address.ip(), &[])).copied();
        let address = address.ok_or_else(|| {
            Failure::lasting(format_args!("{host} has no address that may be connected to"))
        })?;
        let tls = client_config(&[]).map_err(Failure::lasting)?;
        let client = Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
            .redirect(Policy::none())
            .no_proxy()
            .resolve(&host, address)
            .user_agent(concat!("Tradewind-Hook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Failure::lasting)?;
        let mut request =
            client.post(url).header(header::CONTENT_TYPE, "application/json").body(body);
        if let Some(file) = token {
            let path = self.dir.join(file);
            let read = fs::read_to_string(&path);
            let token =
                read.map_err(|e| Failure::passing(format_args!("{}: {e}", path.display())))?;
            request = request.bearer_auth(token.trim());
        }
        let response = request.send().await.map_err(|error| Failure::passing(spoken(&error)))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => {
                Err(Failure::passing(format_args!("status {}", status.as_u16())))
            }
            status if status.is_server_error() => {
                Err(Failure::passing(format_args!("status {}", status.as_u16())))
            }
            status => Err(Failure::lasting(format_args!("status {}", status.as_u16()))),
        }
    }

    async fn run(&self, command: &[String], told: &Told, body: Vec<u8>) -> Result<(), Failure> {
        let Some((program, args)) = command.split_first() else {
            return Err(Failure::lasting("no program"));
        };
        let child = Command::new(program)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TRADEWIND_HOOK", &told.hook)
            .env("TRADEWIND_INCIDENT", told.incident.to_string())
            .env("TRADEWIND_ALARM", told.alarm.to_string())
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::passing(format_args!("{program}: {error}")))?;
        let mut group = Group::of(child);
        let ended = timeout(self.timeout, group.finish(body)).await;
        match ended {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::passing(format_args!("still ran after {:?}", self.timeout))),
        }
    }
}

/// A program and all that it started; dropping it kills what is left of them.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Group {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Group { child, id }
    }

    /// Gives it `body` to read and waits for its end.
    async fn finish(&mut self, body: Vec<u8>) -> Result<(), Failure> {
        let (stdin, stderr) = (self.child.stdin.take(), self.child.stderr.take());
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // One that does not read all of it may end well all the same.
                let _ = stdin.write_all(&body).await;
            }
        };
        let listen = async {
            let mut said = Vec::new();
            if let Some(mut stderr) = stderr {
                // What cannot be read is not shown; the rest is read all the same, so that nobody
                // who says much is stopped by a pipe that is full or closed.
                let _ = (&mut stderr).take(OUTPUT_MAX).read_to_end(&mut said).await;
                let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            }
            said
        };
        let ((), said) = tokio::join!(feed, listen);
        let status = self.child.wait().await.map_err(Failure::passing)?;
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        let line: String = said.lines().next().unwrap_or_default().chars().take(200).collect();
        let line: String = line.chars().filter(|c| !c.is_control()).collect();
        Err(Failure::passing(format_args!("{status} {line}").to_string().trim_end()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // Those that have ended are there no more.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// An error with what lies below it, which is where reqwest says what went wrong.
fn spoken(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut below = std::error::Error::source(error);
    while let Some(error) = below {
        text = error.to_string();
        below = error.source();
    }
    text
}
