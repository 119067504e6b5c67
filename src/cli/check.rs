//! `tradewind check`: read the files, say everything that is wrong with them.

use super::{
    Exit,
    files::Folder,
    folder::FolderArgs,
    output::{Out, Paint},
    server::Server,
    status,
};
use crate::{
    admin::schema::{SCHEMA_VERSION, hand::WeightLine},
    compile::CheckReport,
    config::render::ProblemJson,
};
use clap::Args;
use serde::Serialize;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  tradewind check
      The files of this folder, or of /etc/tradewind.
  tradewind check -C staging --json
      The same for machines: `ok`, every problem with file, line and column, and the facts.

Needs no server and changes nothing. Beside mistakes it says how soon a failure is seen, how many
kinds of clients are told apart, what stickiness costs resolvers and which rules nothing matches.
Where the server of this folder runs, it also says which weights that serves, given by rollouts and
operators, and these files do not say.

Exit codes: 0 the files load (warnings or not) · 3 they do not";

/// Read the files and say everything that is wrong with them.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
}

/// `check --json`.
#[derive(Serialize)]
struct Checked<'a> {
    schema_version: u32,
    ok: bool,
    problems: Vec<ProblemJson>,
    /// Absent when what all zones share does not load.
    report: Option<&'a CheckReport>,
    /// What the server of this folder serves and these files do not say; empty without a server.
    weights: &'a [WeightLine],
}

/// Checks the folder.
pub fn run(args: &CheckArgs, out: &mut Out) -> Exit {
    let folder = match Folder::read(args.folder.path()) {
        Ok(folder) => folder,
        Err(error) => {
            out.error(error, None);
            return Exit::FilesInvalid;
        }
    };
    judge(&folder, &Server::quietly_of(args.folder.path()), out)
}

/// Says whether `folder` loads, everything that is wrong with it, and which weights `server` serves
/// that it does not say.
pub(super) fn judge(folder: &Folder, server: &Server, out: &mut Out) -> Exit {
    let weights = unfiled(folder, server);
    let ok = !folder.problems.has_errors();
    let report = folder.compiled.as_ref().map(|compiled| &compiled.report);
    if out.wants_json() {
        let problems = folder.problems.to_json(&folder.sources);
        let weights = &weights[..];
        out.schema(&Checked { schema_version: SCHEMA_VERSION, ok, problems, report, weights });
    } else {
        out.complain(&folder.problems.render(&folder.sources, out.wants_colour()));
        if let Some(report) = report {
            out.line(report.to_string().trim_end());
        }
        weights.iter().for_each(|weight| status::unfiled(weight, out));
        let (errors, warnings) = folder.problems.counts();
        let verdict = match ok {
            true => out.paint(Paint::Good, "the files load"),
            false => out.paint(Paint::Bad, "the files do not load"),
        };
        let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
        out.line(format_args!("{verdict}: {errors}, {warnings}"));
    }
    if ok { Exit::Well } else { Exit::FilesInvalid }
}

/// Files are checked whether a server runs or not; one that does not answer at once is none.
const SERVER_WITHIN: Duration = Duration::from_secs(2);

/// What `server` serves and `folder` does not say; nothing where there is no server.
fn unfiled(folder: &Folder, server: &Server) -> Vec<WeightLine> {
    let Some(compiled) = &folder.compiled else { return Vec::new() };
    let served = server.clone().within(SERVER_WITHIN).get::<Vec<WeightLine>>("/v1/weights");
    let served = served.unwrap_or_default().into_iter();
    served.filter_map(|weight| weight.against(&compiled.snapshot)).collect()
}
