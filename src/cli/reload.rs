//! `tradewind reload` and `tradewind rollback`: other files for a running server.

use super::{
    Exit,
    check::judge,
    files::Folder,
    folder::FolderArgs,
    nodes::{self, Node, NodeArgs, Order},
    output::{Out, Paint},
    server::{Server, ServerError},
    table,
    why::WhyArgs,
    written::state_folder,
};
use crate::{
    admin::schema::{ReloadReply, RevisionLine},
    control::{hand::words::short, revisions::Revisions},
};
use clap::Args;
use std::{collections::HashMap, time::Duration};

const RELOAD_EXAMPLES: &str = "\
Examples:
  tradewind reload
      Load the files as they are now. A zone that does not compile keeps its last good version,
      all others move on; an error outside zones/ holds everything back.
  tradewind reload --force
      Accept what `watch = true` holds back: a zone removed, a fifth of its names gone.

With [server] peers each loads the files of its own folder, this one first: where it refuses them
nobody else is asked.

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
      To what is revision 7 of that peer, there alone: numbers are each server's own.

With [server] peers all return to the files of this server's revision 7, each by its own number for
them; one that does not keep them is named, and stays as it is.

Exit codes: 0 done · 1 a peer does not keep these files · 3 no such revision, or its files do not
load · 5 a server does not answer";

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
    pub node: NodeArgs,
}

/// Has the server load its files.
pub fn reload(args: &ReloadArgs, out: &mut Out) -> Exit {
    if args.dry_run {
        let dir = args.folder.path();
        let folder = Folder::read(dir).map_err(|error| error.to_string());
        return tried(folder, &Server::quietly_of(dir), out);
    }
    let asked = format!("/v1/reload?force={}{}", args.force, args.why.query());
    let nodes = match args.node.nodes(&args.folder, out) {
        Ok(nodes) => nodes,
        Err(exit) => return exit,
    };
    let nodes: Vec<&Node> = nodes.iter().collect();
    nodes::carry_out(&nodes, &Load(&|_| Ok(asked.clone())), &args.folder, false, out).0
}

/// Has the servers return to a revision, or lists those of one.
pub fn rollback(args: &RollbackArgs, out: &mut Out) -> Exit {
    match args.revision {
        Some(revision) => roll_back(args, revision, out),
        None => match args.node.one(&args.folder, out) {
            Ok(server) => list(server.get("/v1/revisions"), out),
            Err(exit) => exit,
        },
    }
}

fn roll_back(args: &RollbackArgs, revision: u64, out: &mut Out) -> Exit {
    let nodes = match args.node.nodes(&args.folder, out) {
        Ok(nodes) => nodes,
        Err(exit) => return exit,
    };
    let nodes: Vec<&Node> = nodes.iter().collect();
    let Some(first) = nodes.first() else { return Exit::Usage };
    if args.dry_run && !first.is_here() {
        let hint = "give it to `tradewind rollback` there";
        out.error("--dry-run looks at the revisions of this machine only", Some(hint));
        return Exit::Usage;
    }
    if args.dry_run {
        let dir = args.folder.path();
        let state = match state_folder(dir) {
            Ok(state) => state,
            Err(error) => return error.tell(out),
        };
        let kept = Revisions::new(&state).restore(revision);
        let folder = kept.map(|sources| Folder::of(dir, sources));
        return tried(folder.map_err(|error| error.to_string()), &Server::quietly_of(dir), out);
    }
    match numbers(&nodes, revision, out) {
        Ok(numbers) => {
            let asked = |node: &Node| {
                let number = numbers.get(node.name()).cloned().unwrap_or(Ok(revision))?;
                Ok(format!("/v1/rollback/{number}?{}", args.why.query()))
            };
            nodes::carry_out(&nodes, &Load(&asked), &args.folder, false, out).0
        }
        Err(exit) => exit,
    }
}

/// The numbers of those by their names.
type Numbers = HashMap<String, Result<u64, ServerError>>;

/// The number that each of `nodes` but the first has for the files of its `revision`.
fn numbers(nodes: &[&Node], revision: u64, out: &mut Out) -> Result<Numbers, Exit> {
    let [first, others @ ..] = nodes else { return Ok(Numbers::new()) };
    if others.is_empty() {
        return Ok(Numbers::new());
    }
    let kept: Result<Vec<RevisionLine>, ServerError> = first.server().get("/v1/revisions");
    let kept = kept.map_err(|error| error.tell(out))?;
    let Some(line) = kept.iter().find(|line| line.revision == revision) else {
        let kept: Vec<String> = kept.iter().map(|line| line.revision.to_string()).collect();
        let hint = format!("kept are: {}", kept.join(", "));
        out.error(format_args!("{} keeps no revision {revision}", first.name()), Some(&hint));
        return Err(Exit::FilesInvalid);
    };
    let same = nodes::same_revision(others, line).into_iter();
    let same = same.map(|same| same.and_then(|number| number.ok_or(ServerError::NotKept)));
    Ok(others.iter().map(|node| node.name().to_owned()).zip(same).collect())
}

/// Loading files: what each server is asked.
struct Load<'a>(&'a (dyn Fn(&Node) -> Result<String, ServerError> + Sync));

impl Order for Load<'_> {
    type Reply = ReloadReply;
    const LOOK: &'static str = "tradewind rollback";

    fn ask(&self, node: &Node) -> Result<ReloadReply, ServerError> {
        node.server().post(&self.0(node)?)
    }

    fn exit(&self, reply: &ReloadReply) -> Exit {
        if is_well(reply) { Exit::Well } else { Exit::FilesInvalid }
    }

    fn is_done(&self, reply: &ReloadReply) -> bool {
        reply.accepted
    }

    fn show(&self, reply: &ReloadReply, _: &FolderArgs, out: &mut Out) {
        show(reply, out);
    }

    fn undo<'r>(&self, reply: &'r mut ReloadReply) -> &'r mut Vec<String> {
        &mut reply.undo
    }

    /// Numbers of revisions are each server's own.
    fn is_common(&self, _: &str) -> bool {
        false
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

/// Whether all that was to be loaded is in force.
fn is_well(reply: &ReloadReply) -> bool {
    let errors = reply.problems.iter().any(|problem| problem.severity == "error");
    reply.accepted && reply.held.is_empty() && !errors
}

fn show(reply: &ReloadReply, out: &mut Out) {
    out.complain(&reply.rendered);
    let paint = if is_well(reply) { Paint::Good } else { Paint::Bad };
    let summary = out.paint(paint, summary(reply));
    out.line(summary);
    if reply.before != reply.revision {
        let ttl = Duration::from_secs(reply.ttl_secs.into());
        let (swap, ttl) = (reply.swap, short(ttl));
        out.line(format_args!(
            "swap {swap}; resolvers follow within {ttl} (the longest TTL of a steered name)"
        ));
    }
    if let Some(dir) = &reply.folder_apart {
        out.line(format_args!(
            "the files in {dir} differ from revision {} now served; the next reload, or `watch`, \
             loads them again",
            reply.revision
        ));
    }
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
        let short = nodes::short(&line.hash);
        let (revision, files) = (line.revision.to_string(), line.files.to_string());
        [&*revision, &line.accepted, &line.cause, &files, short, current].map(str::to_owned).into()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    table::print(&["revision", "accepted", "cause", "files", "hash", ""], &rows, |_| None, out);
    Exit::Well
}
