//! `tradewind apply`: load files as they were planned, or not at all; on every server for these
//! zones, each of which holds them in a folder of its own.

use super::{
    Exit,
    folder::FolderArgs,
    nodes::{self, Node, NodeArgs, Order, Over, Stands},
    output::{Out, Paint},
    plan,
    server::ServerError,
    why::WhyArgs,
};
use crate::{
    admin::schema::plan::{ApplyReply, ApplyRequest, PlanReply, PlanRequest},
    config::parse_duration,
    control::hand::words::short,
};
use clap::Args;
use std::{
    collections::HashMap,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

const EXAMPLES: &str = "\
Examples:
  tradewind apply
      Plan the files of the served folder, show what would change, ask, and load them.
  tradewind apply plan.json --yes --wait
      Load what `tradewind plan -o plan.json` showed; then wait until every server has it.
  tradewind apply --node ns2
      Plan and load on that peer alone: a first server to look at, or one that missed it.
  tradewind apply --yes --break-glass --reason \"INC-42\"
      Over safety rules. It is kept in the journal with the reason.

Stricter than `reload`: an error in any file loads nothing. Refused when another revision is in
force than was planned over, or when the files in the served folder are not those that were
planned (a plan of another folder: copy its files there first).

With [server] peers it goes to all: each loads the files of its own folder, so copy them there
before. Nothing is begun where a peer that answers holds other files, or serves others than those
the plan was made over: it is named. One that does not answer is named too; the others are told.

Exit codes: 0 loaded, or nothing to load · 1 not confirmed; with --wait: a server does not have it ·
2 usage · 3 the files have errors · 4 the world moved since the plan, or a peer differs · 5 a server
does not answer · 6 a safety rule forbids it · 10 with --dry-run: changes wait";

/// How long `--wait` waits by default: a reload of a million names, and then some.
const WAIT: &str = "60s";

/// Load files as they were planned.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ApplyArgs {
    /// What `tradewind plan -o` wrote; without it the files are planned now
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Only show what would change, as `tradewind plan` does, with its exit codes
    #[arg(long)]
    pub dry_run: bool,
    /// Wait until all servers report these files [default: 60s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = WAIT,
          value_parser = parse_duration)]
    pub wait: Option<Duration>,
    /// Go over safety rules; needs --reason, and is an alarm
    #[arg(long)]
    pub break_glass: bool,
    /// Why, and by whom.
    #[command(flatten)]
    pub why: WhyArgs,
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// On which server.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Applies.
pub fn run(args: &ApplyArgs, out: &mut Out) -> Exit {
    let nodes = match args.node.nodes(&args.folder, out) {
        Ok(nodes) => nodes,
        Err(exit) => return exit,
    };
    let plan = match planned(args, &nodes, out) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    if !out.wants_json() {
        plan::show(&plan, out);
    }
    if plan.errors > 0 {
        if out.wants_json() {
            out.schema(&plan);
        }
        return Exit::FilesInvalid;
    }
    let ready = match ready(args, &nodes, &plan, out) {
        Ok(ready) => ready,
        Err(exit) => return exit,
    };
    let wanted: Vec<&Node> = nodes.iter().filter(|node| ready.contains_key(node.name())).collect();
    if wanted.is_empty() || args.dry_run {
        match out.wants_json() {
            true => out.schema(&plan),
            false if args.dry_run => out.line("nothing was done (--dry-run)"),
            false => {}
        }
        // A plan that was made before names its own server even where it has those files now.
        let lacks =
            |node: &&Node| !node.is_here() && ready.get(node.name()).is_some_and(Result::is_ok);
        return if plan.changes || wanted.iter().any(lacks) { Exit::Pending } else { Exit::Well };
    }
    if ready.values().any(Result::is_ok)
        && !args.yes
        && let Err(exit) = confirm(&wanted, out)
    {
        return exit;
    }
    let order = Apply { args, ready: &ready };
    let (exit, done) = nodes::carry_out(&wanted, &order, &args.folder, false, out);
    match args.wait.filter(|_| !done.is_empty() && matches!(exit, Exit::Well | Exit::NotReachable))
    {
        Some(limit) => {
            let all: Vec<&Node> = nodes.iter().collect();
            nodes::wait(&all, &plan.content_hash, limit, out)
        }
        None => exit,
    }
}

/// What is to be loaded: as it was planned before, or by the first of `nodes` now.
fn planned(args: &ApplyArgs, nodes: &[Node], out: &mut Out) -> Result<PlanReply, Exit> {
    let first = nodes.first().ok_or(Exit::Usage)?;
    match &args.plan {
        Some(path) => read(path, out),
        None => {
            let plan = first.server().send("/v1/plan", &PlanRequest::default());
            plan.map_err(|error| error.tell(out))
        }
    }
}

/// Over what each of those of `nodes` would load them that does not serve them yet, or that it does
/// not answer; if what was planned is what would happen on all that do.
fn ready(args: &ApplyArgs, nodes: &[Node], plan: &PlanReply, out: &mut Out) -> Result<Ready, Exit> {
    let mut ready = Ready::new();
    // Numbers in a plan are those of the server that made it: this folder's, or the one just asked.
    let is_made_there = |node: &Node| node.is_here() || args.plan.is_none();
    let (own, others) = match nodes {
        [first, others @ ..] if is_made_there(first) => (Some(first), others),
        all => (None, all),
    };
    if let (Some(own), Some(_)) = (own, &args.plan) {
        let now: PlanReply = own
            .server()
            .send("/v1/plan", &PlanRequest::default())
            .map_err(|error| error.tell(out))?;
        if (now.base_revision, &now.hash) != (plan.base_revision, &plan.hash) {
            let what = match now.base_revision == plan.base_revision {
                true => "the files are not those that were planned".to_owned(),
                false => format!(
                    "revision {} is in force, and the plan was made over revision {}",
                    now.base_revision, plan.base_revision
                ),
            };
            out.error(what, Some("plan again and look at what has changed"));
            return Err(Exit::Conflict);
        }
    }
    if let Some(own) = own.filter(|_| plan.changes || args.plan.is_some()) {
        let over = Over { base: plan.base_revision, hash: plan.hash.clone() };
        ready.insert(own.name().to_owned(), Ok(over));
    }
    let others: Vec<&Node> = others.iter().collect();
    let mut differ = false;
    for (node, stands) in others.iter().zip(nodes::stand(&others, plan)) {
        let name = node.name();
        match stands {
            Stands::Ready(over) => drop(ready.insert(name.to_owned(), Ok(over))),
            Stands::Done if out.wants_json() => {}
            Stands::Done => out.line(format_args!("{name}: serves these files already")),
            Stands::Silent(error) => {
                out.complain(&format!("{name}: {error}\n"));
                ready.insert(name.to_owned(), Err(error));
            }
            Stands::Apart(why) => {
                let hint = match own {
                    Some(own) if own.is_here() => format!(
                        "make them alike; or load on one at a time: `tradewind apply --node {name}`"
                    ),
                    _ => format!("plan it there: `tradewind plan --node {name}`"),
                };
                out.error(format_args!("{name}: {why}"), Some(&hint));
                differ = true;
            }
        }
    }
    if differ {
        out.complain("nothing was loaded anywhere\n");
        return Err(Exit::Conflict);
    }
    Ok(ready)
}

/// Those that have something to load, by name.
type Ready = HashMap<String, Result<Over, ServerError>>;

/// Loading what was planned.
struct Apply<'a> {
    args: &'a ApplyArgs,
    ready: &'a Ready,
}

impl Order for Apply<'_> {
    type Reply = ApplyReply;
    const LOOK: &'static str = "tradewind rollback";

    fn ask(&self, node: &Node) -> Result<ApplyReply, ServerError> {
        let Over { base, hash } =
            self.ready.get(node.name()).cloned().expect("only those are asked that are here")?;
        let request = ApplyRequest {
            base_revision: base,
            hash,
            break_glass: self.args.break_glass,
            reason: self.args.why.reason.clone(),
            who: self.args.why.who.clone(),
        };
        node.server().send("/v1/apply", &request)
    }

    fn exit(&self, reply: &ApplyReply) -> Exit {
        if reply.loaded.accepted { Exit::Well } else { Exit::FilesInvalid }
    }

    fn is_done(&self, reply: &ApplyReply) -> bool {
        reply.loaded.accepted
    }

    fn show(&self, reply: &ApplyReply, _: &FolderArgs, out: &mut Out) {
        show(reply, out);
    }

    fn undo<'r>(&self, reply: &'r mut ApplyReply) -> &'r mut Vec<String> {
        &mut reply.undo
    }

    /// Numbers of revisions are each server's own.
    fn is_common(&self, _: &str) -> bool {
        false
    }
}

fn read(path: &Path, out: &mut Out) -> Result<PlanReply, Exit> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let plan = text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    plan.map_err(|error| {
        let hint = "`tradewind plan -o FILE` writes one";
        out.error(format_args!("{} is no plan: {error}", path.display()), Some(hint));
        Exit::Usage
    })
}

/// Asks whoever sits there.
fn confirm(nodes: &[&Node], out: &mut Out) -> Result<(), Exit> {
    if !io::stdin().is_terminal() {
        let hint = "say --yes where nobody can be asked";
        out.error("this needs a yes, and standard input is no terminal", Some(hint));
        return Err(Exit::Usage);
    }
    let mut errors = io::stderr();
    // A terminal that cannot be written to will not be read from either.
    let on = match nodes {
        [_] => String::new(),
        all => format!(" on {}", all.iter().map(|node| node.name()).collect::<Vec<_>>().join(", ")),
    };
    let _ = write!(errors, "Apply this{on}? Type yes: ").and_then(|()| errors.flush());
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(_) if line.trim() == "yes" => Ok(()),
        _ => {
            out.error("not confirmed: nothing was loaded", None);
            Err(Exit::Failed)
        }
    }
}

fn show(reply: &ApplyReply, out: &mut Out) {
    let loaded = &reply.loaded;
    if !loaded.accepted {
        out.complain(&loaded.rendered);
        let line = format!("refused; revision {} stays in force", loaded.revision);
        let line = out.paint(Paint::Bad, line);
        out.line(line);
        return;
    }
    for broken in &reply.broke {
        let line =
            format!("over safety rule {}: {} {}", broken.rule, broken.record, broken.message);
        let line = out.paint(Paint::Bad, line);
        out.line(line);
    }
    let line = match loaded.unchanged {
        true => format!("nothing changed; revision {}", loaded.revision),
        false => format!(
            "revision {} is in force: {} zones, {} steered records",
            loaded.revision, loaded.zones, loaded.records
        ),
    };
    let line = out.paint(Paint::Good, line);
    out.line(line);
    if reply.ttl_secs > 0 {
        let ttl = short(Duration::from_secs(reply.ttl_secs.into()));
        out.line(format_args!("new queries get it now; resolvers follow within {ttl} (TTL)"));
    }
}
