//! The command line: a file a command, each a clap `Args` and a `run` that ends in an [`Exit`].
//!
//! Data goes to stdout and errors to stderr through [`output::Out`], which alone knows JSON from
//! text and colour from plain. Commands know files ([`files`]) and the control socket
//! ([`server`]); none touches the server's own World, so what they show of a running server is
//! what that server says. Serving itself stands above this room and comes in as [`Servers`].

pub mod api;
pub mod apply;
mod args;
pub mod audit;
pub mod check;
pub mod completions;
pub mod debug;
pub mod delegation;
pub mod drill;
pub mod events;
pub mod explain;
pub mod files;
pub mod folder;
mod forecast;
pub mod geoip;
pub mod get;
pub mod hand;
pub mod health;
pub mod loading;
pub mod man;
mod nodes;
pub mod output;
mod parse;
pub mod plan;
mod present;
pub mod query;
pub mod reload;
pub mod rollout;
pub mod serve;
pub mod server;
pub mod simulate;
pub mod status;
mod table;
mod tally;
pub mod token;
pub mod watch;
pub mod weights;
pub mod why;
mod written;

pub use serve::Servers;

use crate::clock::SystemClock;
use args::{Cli, Command};
use clap::Parser;
use output::Out;
use std::{ffi::OsString, process::ExitCode};

/// Does what `args` say, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>, servers: &Servers) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(exit) = completions::answer(&args) {
        return exit;
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(said) => {
            // Help and version are asked for, and go to stdout; all else is a mistake. That
            // neither can be written leaves nobody to tell.
            let _ = said.print();
            return if said.use_stderr() { Exit::Usage } else { Exit::Well };
        }
    };
    let mut out = Out::standard(cli.output);
    let clock = SystemClock::default();
    let exit = match &cli.command {
        Command::Serve(args) => serve::serve(args, servers, &mut out),
        Command::Demo(args) => serve::demo(args, servers, &mut out),
        Command::Check(args) => check::run(args, &mut out),
        Command::Reload(args) => reload::reload(args, &mut out),
        Command::Plan(args) => plan::run(args, &mut out),
        Command::Apply(args) => apply::run(args, &mut out),
        Command::Simulate(args) => simulate::run(args, &mut out),
        Command::Rollback(args) => reload::rollback(args, &mut out),
        Command::Status(args) => status::run(args, &mut out),
        Command::Health(args) => health::run(args, &mut out),
        Command::Explain(args) => explain::run(args, &mut out),
        Command::Events(args) => events::run(args, &mut out),
        Command::Audit(args) => audit::run(args, &mut out),
        Command::Query(args) => query::run(args, &clock, &mut out),
        Command::Delegation(args) => match files::delegation_facts(args, &mut out) {
            Ok(facts) => delegation::run(args, &facts, &clock, &mut out),
            Err(exit) => exit,
        },
        Command::Geoip(args) => geoip::run(args, &mut out),
        Command::Drain(args) => hand::drain::drain(args, &mut out),
        Command::Undrain(args) => hand::drain::undrain(args, &mut out),
        Command::Force(args) => hand::force::run(args, &mut out),
        Command::Weight(args) => hand::weight::run(args, &mut out),
        Command::Failover(args) => hand::failover::failover(args, &mut out),
        Command::Failback(args) => hand::failover::failback(args, &mut out),
        Command::Approve(args) => hand::failover::approve(args, &mut out),
        Command::Reject(args) => hand::failover::reject(args, &mut out),
        Command::Hold(args) => hand::hold::hold(args, &mut out),
        Command::Unhold(args) => hand::hold::unhold(args, &mut out),
        Command::Pin(args) => hand::pin::pin(args, &mut out),
        Command::Unpin(args) => hand::pin::unpin(args, &mut out),
        Command::Confirm(args) => hand::confirm::run(args, &mut out),
        Command::Get(args) => get::run(args, &mut out),
        Command::Api(args) => api::run(args, &mut out),
        Command::Token(args) => token::run(args, &clock, &mut out),
        Command::Overrides(args) => hand::overrides::run(args, &mut out),
        Command::Rollout(args) => rollout::run(args, &mut out),
        Command::Debug(args) => debug::run(args, &mut out),
        Command::Man(args) => man::run(args, &mut out),
        Command::Completions(args) => completions::run(args, &mut out),
        Command::Drill(args) => drill::run(args, &mut out),
    };
    out.finish(exit)
}

/// How a command ended: a promise to scripts (DESIGN §4), never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Well = 0,
    /// It failed, or what was asked about is degraded.
    Failed = 1,
    /// The command line itself is wrong; clap uses the same number.
    Usage = 2,
    /// The operator's files do not load.
    FilesInvalid = 3,
    /// Somebody else changed it in the meantime.
    Conflict = 4,
    /// The server does not answer.
    NotReachable = 5,
    /// A safety rule forbids it.
    Refused = 6,
    /// There are changes that are not in force yet.
    Pending = 10,
    /// A drill or rollout ended with FAIL.
    VerdictFail = 20,
    /// A drill or rollout was aborted.
    Aborted = 21,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
