//! `tradewind apply`: load files as they were planned, or not at all.

use super::{
    Exit,
    folder::FolderArgs,
    hand::refused,
    nodes,
    output::{Out, Paint},
    plan,
    server::Server,
    why::WhyArgs,
};
use crate::{
    admin::schema::plan::{ApplyReply, ApplyRequest, PlanReply, PlanRequest},
    config::parse_duration,
    control::hand::words::{quoted, short},
};
use clap::Args;
use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

const EXAMPLES: &str = "\
Examples:
  tradewind apply
      Plan the files of the served folder, show what would change, ask, and load them.
  tradewind apply plan.json --yes --wait
      Load what `tradewind plan -o plan.json` showed; then wait until every node has it.
  tradewind apply --yes --break-glass --reason \"INC-42\"
      Over safety rules. It is kept in the journal with the reason.

Stricter than `reload`: an error in any file loads nothing. Refused when another revision is in
force than was planned over, or when the files in the served folder are not those that were
planned (a plan of another folder: copy its files there first).

Exit codes: 0 loaded, or nothing to load · 1 not confirmed; with --wait: a node does not have it ·
2 usage · 3 the files have errors · 4 the world moved since the plan · 5 no server answers ·
6 a safety rule forbids it";

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
    /// Only show what would change, as `tradewind plan` does
    #[arg(long)]
    pub dry_run: bool,
    /// Wait until all nodes report these files [default: 60s]
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
}

/// Applies.
pub fn run(args: &ApplyArgs, out: &mut Out) -> Exit {
    let server = Server::of(args.folder.path());
    let plan = match &args.plan {
        Some(path) => read(path, out),
        None => {
            server.send("/v1/plan", &PlanRequest::default()).map_err(|error| refused(&error, out))
        }
    };
    let plan: PlanReply = match plan {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    if !out.wants_json() {
        plan::show(&plan, out);
    }
    if plan.errors > 0 {
        return Exit::FilesInvalid;
    }
    if !plan.changes && args.plan.is_none() {
        if out.wants_json() {
            out.schema(&plan);
        }
        return Exit::Well;
    }
    if args.dry_run {
        match out.wants_json() {
            true => out.schema(&plan),
            false => out.line("nothing was done (--dry-run)"),
        }
        return Exit::Well;
    }
    if !args.yes
        && let Err(exit) = confirm(out)
    {
        return exit;
    }
    let request = ApplyRequest {
        base_revision: plan.base_revision,
        hash: plan.hash,
        break_glass: args.break_glass,
        reason: args.why.reason.clone(),
        who: args.why.who.clone(),
    };
    let reply: ApplyReply = match server.send("/v1/apply", &request) {
        Ok(reply) => reply,
        Err(error) => return refused(&error, out),
    };
    tell(&reply, args, out);
    if !reply.loaded.accepted {
        return Exit::FilesInvalid;
    }
    match args.wait {
        Some(limit) => {
            nodes::wait(&nodes::all(&args.folder), &reply.loaded.content_hash, limit, out)
        }
        None => Exit::Well,
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
fn confirm(out: &mut Out) -> Result<(), Exit> {
    if !io::stdin().is_terminal() {
        let hint = "say --yes where nobody can be asked";
        out.error("this needs a yes, and standard input is no terminal", Some(hint));
        return Err(Exit::Usage);
    }
    let mut errors = io::stderr();
    // A terminal that cannot be written to will not be read from either.
    let _ = write!(errors, "Apply this? Type yes: ").and_then(|()| errors.flush());
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(_) if line.trim() == "yes" => Ok(()),
        _ => {
            out.error("not confirmed: nothing was loaded", None);
            Err(Exit::Failed)
        }
    }
}

fn tell(reply: &ApplyReply, args: &ApplyArgs, out: &mut Out) {
    if out.wants_json() {
        out.schema(reply);
        return;
    }
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
    if let Some(undo) = &reply.undo {
        let folder = args.folder.dir.as_ref();
        let folder = folder.map(|dir| format!(" -C {}", quoted(&dir.to_string_lossy())));
        out.line(format_args!("undo: {undo}{}", folder.unwrap_or_default()));
    }
}
