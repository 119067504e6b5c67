//! The command line: a file a command, each a clap `Args` and a `run` that ends in an [`Exit`].
//!
//! Data goes to stdout and errors to stderr through [`output::Out`], which alone knows JSON from
//! text and colour from plain. Commands know files and the control socket; none touches the
//! server's own World, so what they show of a running server is what that server says.

pub mod delegation;
pub mod dns;
pub mod folder;
pub mod output;
mod parse;
mod present;
pub mod query;
mod tally;

use std::process::ExitCode;

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
