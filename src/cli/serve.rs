//! `tradewind serve` and `tradewind demo`: what runs until it is stopped. The running itself is
//! the daemon's, which stands above this room and comes in through [`Servers`].

use super::{
    Exit, completions,
    folder::FolderArgs,
    output::{Out, colour_wanted},
    server::{Server, encoded},
};
use clap::{Args, ValueEnum};
use clap_complete::ArgValueCompleter;
use std::{
    io,
    path::{Path, PathBuf},
};
use tracing_subscriber::EnvFilter;

const SERVE_EXAMPLES: &str = "\
Examples:
  tradewind serve -C /etc/tradewind
      Answer until SIGTERM. SIGHUP, or `tradewind reload`, loads changed files.
  TRADEWIND_LOG=debug tradewind serve
      With more in the log (stderr); default info, `warn` for alarms only.
  tradewind serve --log-format json
      A log line is an object: timestamp, level, message, and of events event, seq, swap,
      incident, who, subject, from, to as far as they have these.

Port 53 needs root or the capability CAP_NET_BIND_SERVICE:
  setcap cap_net_bind_service=+ep /usr/bin/tradewind

Exit codes: 0 stopped as asked · 1 could not start · 3 the files do not load";

const DEMO_EXAMPLES: &str = "\
Examples:
  tradewind demo
      Three regions as tiny web servers on 127.0.0.11-13 and a name server on 127.0.0.1:5300;
      prints what to try. Ctrl-C stops it all.
  tradewind demo kill us-east-1 -C DIR
      Take a region away (DIR is what the demo printed) and see answers change.
  tradewind demo restore us-east-1 -C DIR
  tradewind demo --files examples/shop
      The same with the files of a folder: a copy is served, the folder stays as it is.

Exit codes: 0 well · 1 no such region, or not a demo · 5 no demo is running there";

/// Answer queries.
#[derive(Args, Clone, Debug)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct ServeArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Write addresses and process id there, as JSON, once queries are answered
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// How the log on stderr is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line, with the fields of each event.
    Json,
}

/// Try it out: three regions on this machine.
#[derive(Args, Clone, Debug)]
#[command(after_help = DEMO_EXAMPLES)]
pub struct DemoArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Serve a copy of the files in this folder instead of the built-in example
    #[arg(long, value_name = "DIR", conflicts_with = "action")]
    pub files: Option<PathBuf>,
    /// What to do to a running demo
    #[arg(requires = "region")]
    pub action: Option<Action>,
    /// To which region
    #[arg(add = ArgValueCompleter::new(completions::regions))]
    pub region: Option<String>,
}

/// What can be done to a region of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Stop its backend: its connections are refused.
    Kill,
    /// Start its backend again.
    Restore,
}

/// What the daemon does for the command line; given by `main`, since the daemon is above us.
#[derive(Clone, Copy)]
pub struct Servers {
    /// Serves a folder, and writes the ready file if there is to be one.
    pub serve: fn(&Path, Option<&Path>) -> anyhow::Result<Exit>,
    /// Serves the demo, with its own files or a copy of those in a folder.
    pub demo: fn(Option<&Path>) -> anyhow::Result<Exit>,
}

/// Serves until it is told to stop.
pub fn serve(args: &ServeArgs, servers: &Servers, out: &mut Out) -> Exit {
    start_log(args.log_format);
    ended((servers.serve)(args.folder.path(), args.ready_file.as_deref()), out)
}

/// Serves the demo, or does something to a running one.
pub fn demo(args: &DemoArgs, servers: &Servers, out: &mut Out) -> Exit {
    let (Some(action), Some(region)) = (args.action, &args.region) else {
        start_log(LogFormat::Text);
        return ended((servers.demo)(args.files.as_deref()), out);
    };
    let (word, done) = match action {
        Action::Kill => ("kill", "killed"),
        Action::Restore => ("restore", "restored"),
    };
    let path = format!("/v1/demo/{word}/{}", encoded(region));
    match Server::of(args.folder.path(), out).post::<()>(&path) {
        Ok(()) => {
            out.line(format_args!("{region} {done}; `tradewind status` shows what follows"));
            Exit::Well
        }
        Err(error) => error.tell(out),
    }
}

fn ended(outcome: anyhow::Result<Exit>, out: &mut Out) -> Exit {
    outcome.unwrap_or_else(|error| {
        out.error(format_args!("{error:#}"), None);
        Exit::Failed
    })
}

/// Starts the log on stderr, as detailed as `TRADEWIND_LOG` says.
fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("TRADEWIND_LOG").unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(colour_wanted(&io::stderr()))
        .with_target(false)
        // What cannot be written there cannot be complained of there either: the library's own
        // complaint would panic, and a disk that is full of logs would end the control plane.
        .log_internal_errors(false)
        .with_env_filter(filter);
    // A log that somebody has started before serves as well.
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => {
            log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
    };
}
