//! `tradewind check`: read the files, say everything that is wrong with them.

use super::{
    Exit,
    files::Folder,
    folder::FolderArgs,
    output::{Out, Paint},
};
use crate::{admin::schema::SCHEMA_VERSION, compile::CheckReport, config::render::ProblemJson};
use clap::Args;
use serde::Serialize;

const EXAMPLES: &str = "\
Examples:
  tradewind check
      The files of this folder, or of /etc/tradewind.
  tradewind check -C staging --json
      The same for machines: `ok`, every problem with file, line and column, and the facts.

Needs no server and changes nothing. Beside mistakes it says how soon a failure is seen, how many
kinds of clients are told apart, what stickiness costs resolvers and which rules nothing matches.

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
    judge(&folder, out)
}

/// Says whether `folder` loads, and everything that is wrong with it.
pub(super) fn judge(folder: &Folder, out: &mut Out) -> Exit {
    let ok = !folder.problems.has_errors();
    let report = folder.compiled.as_ref().map(|compiled| &compiled.report);
    if out.wants_json() {
        let problems = folder.problems.to_json(&folder.sources);
        out.schema(&Checked { schema_version: SCHEMA_VERSION, ok, problems, report });
    } else {
        out.complain(&folder.problems.render(&folder.sources, out.wants_colour()));
        if let Some(report) = report {
            out.line(report.to_string().trim_end());
        }
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
