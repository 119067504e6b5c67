//! `tradewind reload` and `tradewind rollback`: other files for a running server.

use super::{
    Exit,
    check::judge,
    files::Folder,
    folder::FolderArgs,
    nodes::{self, AtNodeArgs, Node, NodeArgs},
    output::{Out, Paint},
    server::{Server, ServerError, state_folder},
    table,
    why::WhyArgs,
};
use crate::{
    admin::schema::{ReloadReply, RevisionLine},
    control::{hand::words::short, revisions::Revisions},
};
use clap::Args;
use std::time::Duration;

const RELOAD_EXAMPLES: &str = "\
Examples:
  tradewind reload
      Load the files as they are now. A zone that does not compile keeps its last good version,
      all others move on; an error outside zones/ holds everything back.
  tradewind reload --force
      Accept what `watch = true` holds back: a zone removed, a fifth of its names gone.

Answers go on meanwhile. What undoes it is printed: `tradewind rollback REV`.

Exit codes: 0 all files are in force · 3 some are not · 5 no server answers";

const ROLLBACK_EXAMPLES: &str = "\
Examples:
  tradewind rollback
      The kept revisions, newest last, and which one is in force.
  tradewind rollback 7
      Return to the files of revision 7. Your own files stay as they are: mend them before the
      next reload.
  tradewind rollback 7 --node ns2
      On that peer: revision numbers are each server's own.

Exit codes: 0 done · 3 no such revision, or its files do not load · 5 no server answers";

/// Load the files as they are now.
#[derive(Args, Clone, Debug)]
#[command(after_help = RELOAD_EXAMPLES)]
pub struct ReloadArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Accept a change that removes a zone or many of its names
    #[arg(long)]
    pub force: bool,
    /// Only say whether these files load, as `tradewind check` does
    #[arg(long)]
    pub dry_run: bool,
    /// Why, who.
    #[command(flatten)]
    pub why: WhyArgs,
    /// On which server.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Return to files that were in force before, or list them.
#[derive(Args, Clone, Debug)]
#[command(after_help = ROLLBACK_EXAMPLES)]
pub struct RollbackArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// The revision to return to; without it the kept ones are listed
    #[arg(value_name = "REV")]
    pub revision: Option<u64>,
    /// Only say whether its files still load
    #[arg(long, requires = "revision")]
    pub dry_run: bool,
    /// Why, who.
    #[command(flatten)]
    pub why: WhyArgs,
    /// On which server.
    #[command(flatten)]
    pub node: AtNodeArgs,
}

/// Has the server load its files.
pub fn reload(args: &ReloadArgs, out: &mut Out) -> Exit {
    if args.dry_run {
        let dir = args.folder.path();
        let folder = Folder::read(dir).map_err(|error| error.to_string());
        return tried(folder, &Server::of(dir), out);
    }
    let asked = format!("/v1/reload?force={}{}", args.force, args.why.query());
    let nodes = match args.node.nodes(&args.folder, out) {
        Ok(nodes) => nodes,
        Err(exit) => return exit,
    };
    nodes::files(&nodes, out, |node, out| {
        print(node.server().post(&asked), node, &args.folder, out)
    })
}

/// Has the server return to a revision, or lists them.
pub fn rollback(args: &RollbackArgs, out: &mut Out) -> Exit {
    let node = match args.node.node(&args.folder, out) {
        Ok(node) => node,
        Err(exit) => return exit,
    };
    match args.revision {
        Some(_) if args.dry_run && !node.is_here() => {
            let hint = "give it to `tradewind rollback` there";
            out.error("--dry-run looks at the revisions of this machine only", Some(hint));
            Exit::Usage
        }
        Some(revision) if args.dry_run => {
            let dir = args.folder.path();
            let kept = Revisions::new(&state_folder(dir)).restore(revision);
            let folder = kept.map(|sources| Folder::of(dir, sources));
            tried(folder.map_err(|error| error.to_string()), &Server::of(dir), out)
        }
        Some(revision) => {
            let asked = format!("/v1/rollback/{revision}?{}", args.why.query());
            print(node.server().post(&asked), &node, &args.folder, out)
        }
        None => list(node.server().get("/v1/revisions"), out),
    }
}

/// Whether files load that were only tried.
fn tried(folder: Result<Folder, String>, server: &Server, out: &mut Out) -> Exit {
    match folder {
        Ok(folder) => {
            let exit = judge(&folder, server, out);
            if !out.wants_json() {
                out.line("nothing was done (--dry-run)");
            }
            exit
        }
        Err(error) => {
            out.error(error, None);
            Exit::FilesInvalid
        }
    }
}

fn print(
    reply: Result<ReloadReply, ServerError>,
    node: &Node,
    folder: &FolderArgs,
    out: &mut Out,
) -> Exit {
    let mut reply = match reply {
        Ok(reply) => reply,
        Err(error) => return error.tell(out),
    };
    reply.undo = reply.undo.iter().map(|line| node.with(&folder.with(line))).collect();
    let errors = reply.problems.iter().filter(|problem| problem.severity == "error").count();
    let well = reply.accepted && reply.held.is_empty() && errors == 0;
    if out.wants_json() {
        out.schema(&reply);
    } else {
        out.complain(&reply.rendered);
        let paint = if well { Paint::Good } else { Paint::Bad };
        let summary = out.paint(paint, summary(&reply));
        out.line(summary);
        if reply.before != reply.revision {
            let ttl = Duration::from_secs(reply.ttl_secs.into());
            let (swap, ttl) = (reply.swap, short(ttl));
            out.line(format_args!(
                "swap {swap}; resolvers follow within {ttl} (the longest TTL of a steered name)"
            ));
        }
        for line in &reply.undo {
            out.line(format_args!("undo: {line}"));
        }
    }
    if well { Exit::Well } else { Exit::FilesInvalid }
}

fn summary(reply: &ReloadReply) -> String {
    let ReloadReply { revision, zones, records, held, .. } = reply;
    match (reply.accepted, reply.unchanged) {
        (false, _) => format!("refused; revision {revision} stays in force"),
        (true, true) if held.is_empty() => format!("nothing changed; revision {revision}"),
        (true, _) if held.is_empty() => {
            format!("revision {revision} is in force: {zones} zones, {records} steered records")
        }
        (true, _) => format!(
            "revision {revision} is in force: {zones} zones, {records} steered records; held back \
             at their last good version: {}",
            held.join(", ")
        ),
    }
}

fn list(lines: Result<Vec<RevisionLine>, ServerError>, out: &mut Out) -> Exit {
    let lines = match lines {
        Ok(lines) => lines,
        Err(error) => return error.tell(out),
    };
    if out.wants_json() {
        out.list("revisions", &lines);
        return Exit::Well;
    }
    let rows = lines.iter().map(|line| {
        let current = if line.current { "in force" } else { "" };
        let short = line.hash.get(..12).unwrap_or(&line.hash);
        let (revision, files) = (line.revision.to_string(), line.files.to_string());
        [&*revision, &line.accepted, &line.cause, &files, short, current].map(str::to_owned).into()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    table::print(&["revision", "accepted", "cause", "files", "hash", ""], &rows, |_| None, out);
    Exit::Well
}
