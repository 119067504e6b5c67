//! `tradewind debug bundle`: what somebody else needs to see what is going on, in one file, without
//! anything that is a secret.
//!
//! Whatever cannot be had is left out, with the reason in its place: a bundle is made when things
//! do not work. What is asked of the server comes from its control socket, the rest from the
//! operator's files, the state folder and /proc, and needs no server. Files with secrets in them are
//! named by others and never read; in everything else [`redact`] looks for what people write there
//! all the same.

mod archive;
mod redact;

use super::{
    Exit,
    folder::FolderArgs,
    output::Out,
    server::{Server, ServerError},
    written::state_folder,
};
use crate::{
    clock::{Clock, SystemClock},
    config::{Progress, sources::Sources},
    control::store,
};
use clap::{Args, Subcommand};
use redact::redacted;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

const EXAMPLES: &str = "\
Examples:
  tradewind debug bundle
      tradewind-debug-20261128T170000Z.tar.gz in this folder: version, status, targets, events,
      overrides, audit, metrics, the operator's files, facts of the process and its state folder.
  tradewind debug bundle -o /tmp/bundle
      The same as a folder, to look through before it goes anywhere.

Works without a server, with what there is. Files with secrets are never read; what looks like one
elsewhere is taken out. Addresses and names of people are not secrets: look before you send it.

Exit codes: 0 written, with or without the server's part · 1 it cannot be written";

/// The server is asked for each part no longer than this.
const WITHIN: Duration = Duration::from_secs(10);
/// A file of the operator's of more bytes is left out: it is generated, and says little.
const FILE_MAX: u64 = 1 << 20;
/// All of the operator's files that go in; the rest is named.
const FILES_MAX: u64 = 16 << 20;
/// What is asked of the server, and under which name it goes in.
const PARTS: [(&str, &str); 11] = [
    ("status.json", "/v1/status"),
    ("node.json", "/v1/node"),
    ("targets.json", "/v1/targets"),
    ("events.json", "/v1/events?since=24h"),
    ("overrides.json", "/v1/hand"),
    ("approvals.json", "/v1/approvals"),
    ("revisions.json", "/v1/revisions"),
    ("audit.json", "/v1/audit?since=7d"),
    ("metrics.txt", "/metrics"),
    ("readyz.txt", "/readyz"),
    ("healthz.txt", "/healthz"),
];
/// Facts of a process, as the kernel tells them.
const PROC: [&str; 8] =
    ["status", "limits", "stat", "io", "schedstat", "cgroup", "net/sockstat", "net/snmp"];

/// Help for those who look for what is wrong.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DebugArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: DebugCommand,
}

/// What there is.
#[derive(Subcommand, Clone, Debug)]
pub enum DebugCommand {
    /// Gather what others need to see, without secrets.
    Bundle(BundleArgs),
}

/// Gather what others need to see, without secrets.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct BundleArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Where to: a file if it ends in .tar.gz or .tgz, else a folder that is made
    #[arg(short, long, value_name = "FILE|DIR")]
    pub output: Option<PathBuf>,
}

/// Does it.
pub fn run(args: &DebugArgs, out: &mut Out) -> Exit {
    let DebugCommand::Bundle(args) = &args.action;
    let clock = SystemClock::default();
    let at = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let stamp = jiff::Timestamp::from_second(at as i64).unwrap_or_default();
    let stamp = stamp.strftime("%Y%m%dT%H%M%SZ").to_string();
    let target = args.output.clone();
    let target = target.unwrap_or_else(|| format!("tradewind-debug-{stamp}.tar.gz").into());
    let bundle = Bundle::gathered(args.folder.path(), &stamp);
    match bundle.write(&target, at) {
        Ok(()) => {
            let files: Vec<&str> = bundle.files.iter().map(|(name, _)| name.as_str()).collect();
            if out.wants_json() {
                let said = serde_json::json!({ "bundle": target, "files": files });
                out.schema(&said);
                return Exit::Well;
            }
            for problem in &bundle.missing {
                out.line(format_args!("without {problem}"));
            }
            out.line(format_args!("{}: {} files", target.display(), files.len()));
            Exit::Well
        }
        Err(error) => {
            out.error(format_args!("{} cannot be written: {error}", target.display()), None);
            Exit::Failed
        }
    }
}

/// What was gathered.
struct Bundle {
    files: Vec<(String, Vec<u8>)>,
    /// What is not there, and why.
    missing: Vec<String>,
}

impl Bundle {
    fn gathered(dir: &Path, stamp: &str) -> Bundle {
        let mut bundle = Bundle { files: Vec::new(), missing: Vec::new() };
        let server = Server::quietly_of(dir).within(WITHIN);
        bundle.add("version.txt", &about(dir, stamp), false);
        for (name, path) in PARTS {
            match server.text(path) {
                Ok(text) => bundle.add(name, &text, false),
                Err(error) => {
                    bundle.missing(name, &error.to_string());
                    // Who is not there for one is not there for the others.
                    if let ServerError::NotReachable { .. } = error {
                        break;
                    }
                }
            }
        }
        bundle.operators_files(dir);
        match state_folder(dir) {
            Ok(state) => bundle.state(&state),
            Err(error) => bundle.missing("state", &error.to_string()),
        }
        match server.process() {
            Some(id) => bundle.process(id),
            None => bundle.missing("proc", "no server answers, so its process is not known"),
        }
        let missing = bundle.missing.join("\n");
        bundle.add("missing.txt", &missing, false);
        bundle
    }

    fn add(&mut self, name: &str, text: &str, wrote: bool) {
        self.files.push((name.to_owned(), redacted(text, wrote).into_bytes()));
    }

    fn missing(&mut self, what: &str, why: &str) {
        self.missing.push(format!("{what}: {why}"));
    }

    /// The files the server reads, without those that only they name: databases and secrets.
    fn operators_files(&mut self, dir: &Path) {
        let sources = match Sources::read(dir, &Progress::default()) {
            Ok(sources) => sources,
            Err(error) => return self.missing("files", &error.to_string()),
        };
        let mut left = FILES_MAX;
        for (path, _) in sources.files() {
            let name = format!("files/{}", path.display());
            let size = fs::metadata(dir.join(path)).map_or(0, |found| found.len());
            if size > FILE_MAX.min(left) || name.len() > archive::NAME_MAX {
                self.missing(&name, &format!("{size} bytes are too many"));
                continue;
            }
            left -= size;
            match fs::read_to_string(dir.join(path)) {
                Ok(text) => self.add(&name, &text, true),
                Err(error) => self.missing(&name, &error.to_string()),
            }
        }
        let listed = listed(dir, &["", "zones", "healthchecks", "geoip", "rollouts", "drills"]);
        self.add("files/list.txt", &listed, false);
    }

    /// What the state folder holds, and whether the audit in it is whole. Not its content.
    fn state(&mut self, state: &Path) {
        self.add("state/list.txt", &listed(state, &["", "revisions"]), false);
        let mut rows = 0_u64;
        let ends = store::read_file(&state.join(store::FILE), &mut |_, _| {
            rows += 1;
            true
        });
        match ends {
            Ok(ends) => {
                let said = format!("{rows} entries, after {}, up to {}\n", ends.anchor, ends.head);
                self.add("state/audit.txt", &said, false);
            }
            Err(error) => self.missing("state/audit.txt", &error.to_string()),
        }
    }

    fn process(&mut self, id: i32) {
        let proc = PathBuf::from(format!("/proc/{id}"));
        for part in PROC {
            let name = format!("proc/{}.txt", part.replace('/', "-"));
            match fs::read_to_string(proc.join(part)) {
                Ok(text) => self.add(&name, &text, false),
                Err(error) => self.missing(&name, &error.to_string()),
            }
        }
        let threads = entries(&proc.join("task")).iter().fold(String::new(), |all, thread| {
            let read = |part| fs::read_to_string(thread.join(part)).unwrap_or_default();
            let id = thread.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all + &format!("{id} {} {}\n", read("comm").trim(), read("schedstat").trim())
        });
        self.add("proc/threads.txt", &threads, false);
        let open = entries(&proc.join("fd"));
        let fds = open.iter().fold(format!("{} open\n", open.len()), |all, fd| {
            let target = fs::read_link(fd).unwrap_or_default();
            let id = fd.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all + &format!("{id} {}\n", target.display())
        });
        self.add("proc/fds.txt", &fds, false);
        for table in ["udp", "udp6", "tcp", "tcp6"] {
            if let Ok(text) = fs::read_to_string(proc.join("net").join(table)) {
                self.add(&format!("proc/net-{table}.txt"), &text, false);
            }
        }
    }

    fn write(&self, target: &Path, at: u64) -> io::Result<()> {
        let name = target.to_string_lossy();
        if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            return write_new(target, &archive::tar_gz(&self.files, at));
        }
        for (name, content) in &self.files {
            let path = target.join(name);
            fs::create_dir_all(path.parent().unwrap_or(target))?;
            write_new(&path, content)?;
        }
        Ok(())
    }
}

/// Nobody else's to read until its owner says so: what is there already may be open to others, or
/// lead elsewhere, and is left alone.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)
}

fn about(dir: &Path, stamp: &str) -> String {
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    format!(
        "tradewind {}\nat {stamp}\nfolder {}\n{} {} {}\n{} processors\n",
        env!("CARGO_PKG_VERSION"),
        dir.display(),
        text(system.sysname()),
        text(system.release()),
        text(system.machine()),
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
    )
}

/// Names, sizes, rights and times of what is in the folders `subs` of `dir`.
fn listed(dir: &Path, subs: &[&str]) -> String {
    let mut lines = String::new();
    for sub in subs {
        for path in entries(&dir.join(sub)) {
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            let name = path.strip_prefix(dir).unwrap_or(&path);
            lines += &format!(
                "{:o} {:>12} {} {}\n",
                found.mode(),
                found.len(),
                found.mtime(),
                name.display()
            );
        }
    }
    lines
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(dir).into_iter().flatten();
    let mut found: Vec<PathBuf> = found.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}
