//! `tradewind drill`: game days: what there is, what one would do, running it, and its report.
//!
//! The server runs drills; here one is asked for, watched and shown. `report --verify` asks
//! nobody: it computes a verdict again from a journal.

mod follow;
mod show;

use super::{
    Exit,
    folder::FolderArgs,
    output::{Out, Paint},
    server::{Server, ServerError, encoded},
    why::WhyArgs,
    written::state_folder,
};
use crate::{
    admin::schema::drill::{AbortedLine, DrillLine, DrillPlan, DrillRequest, RunLine, RunningLine},
    drill::{
        archive::Archive,
        html, journal, markdown,
        report::{Report, verify},
    },
};
use clap::{Args, Subcommand};
use hyper::StatusCode;
use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    sync::mpsc,
    thread,
    time::Duration,
};

/// Whoever wants a drill ended waits no longer for the server to say that it is.
const PATIENCE: Duration = Duration::from_secs(3);

const EXAMPLES: &str = "\
Examples:
  tradewind drill list
      The drills of drills/*.toml, and how each went last.
  tradewind drill plan region-loss
      What it would do now: who would move, from where to where, what would keep it from beginning.
  tradewind drill run region-loss
      Runs it: asks for its name to be typed, shows what happens, ends with the verdict. It goes on
      in the server if this command is ended; `drill abort` ends it.
  tradewind drill run region-loss --dry-run
      What it would do, as `drill plan`.
  tradewind drill run region-loss --yes --json
      The same for CI: the report on stdout, the verdict as the exit code.
  tradewind drill report region-loss --html /tmp/region-loss.html
      The newest run as a page: time line, answers by region, budgets. --markdown for a ticket.
  tradewind drill report --verify state/drills/region-loss/20261128T161449Z.jsonl
      Computes the verdict again from the journal.

GAMEDAY.md says how to prepare, run and read a game day.

Exit codes: 0 PASS, or done · 1 no such drill or run, no verdict yet, a journal that does not come to
what it says · 2 usage · 4 another one runs · 5 no server answers · 6 refused: safety rules, degraded
already, not the time · 20 FAIL · 21 ABORTED, of `report` and `report --verify` too";

/// Rehearse a failure, measure what follows, be back by itself.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DrillArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with drills.
#[derive(Subcommand, Clone, Debug)]
pub enum Verb {
    /// The drills there are, and how each went last
    List(FolderArgs),
    /// What a drill would do now, and what would keep it from beginning
    Plan(NameArgs),
    /// Run one, and show what happens
    Run(RunArgs),
    /// Show the one that runs
    Watch(FolderArgs),
    /// End the one that runs: everything it did is taken back at once
    Abort(AbortArgs),
    /// What a run came to
    Report(ReportArgs),
    /// The runs of a drill, with their figures
    History(NameArgs),
}

/// A drill.
#[derive(Args, Clone, Debug)]
pub struct NameArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// The drill
    pub name: String,
}

/// A run to be.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// The drill
    pub name: String,
    /// Acknowledged: do not ask for its name to be typed
    #[arg(long)]
    pub yes: bool,
    /// Do less than its file says: simulate, shadow or canary
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Begin although something is degraded already
    #[arg(long)]
    pub even_if_degraded: bool,
    /// Say that it has begun, and leave it to the server
    #[arg(long)]
    pub detach: bool,
    /// Only say what it would do, as `drill plan` does
    #[arg(long)]
    pub dry_run: bool,
    /// Why, who.
    #[command(flatten)]
    pub why: WhyArgs,
}

/// An end before its time.
#[derive(Args, Clone, Debug)]
pub struct AbortArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Why, who.
    #[command(flatten)]
    pub why: WhyArgs,
}

/// A report.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// The drill
    #[arg(required_unless_present = "verify")]
    pub name: Option<String>,
    /// Which run [default: the newest]
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// As Markdown
    #[arg(long, conflicts_with = "html")]
    pub markdown: bool,
    /// As one HTML file that needs nothing else, written there
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Compute the verdict of this journal again, and say whether it is the one written there
    #[arg(long, value_name = "FILE")]
    pub verify: Option<PathBuf>,
}

/// Does what `args` say.
pub fn run(args: &DrillArgs, out: &mut Out) -> Exit {
    match &args.verb {
        Verb::List(folder) => list(folder, out),
        Verb::Plan(NameArgs { folder, name }) => plan(folder, name, out),
        Verb::Run(args) => begin(args, out),
        Verb::Watch(folder) => watch(folder, out),
        Verb::Abort(args) => abort(args, out),
        Verb::Report(args) => report(args, out),
        Verb::History(args) => history(args, out),
    }
}

fn list(folder: &FolderArgs, out: &mut Out) -> Exit {
    match Server::of(folder.path(), out).get::<Vec<DrillLine>>("/v1/drills") {
        Ok(lines) => {
            show::list(&lines, out);
            Exit::Well
        }
        Err(error) => error.tell(out),
    }
}

fn plan(folder: &FolderArgs, name: &str, out: &mut Out) -> Exit {
    let path = format!("/v1/drills/{}/plan", encoded(name));
    match Server::of(folder.path(), out).get::<DrillPlan>(&path) {
        Ok(plan) => {
            show::plan(&plan, out);
            if plan.refused.is_empty() { Exit::Well } else { Exit::Refused }
        }
        Err(error) => error.tell(out),
    }
}

fn begin(args: &RunArgs, out: &mut Out) -> Exit {
    if args.dry_run {
        let exit = plan(&args.folder, &args.name, out);
        if !out.wants_json() {
            out.line("nothing was done (--dry-run)");
        }
        return exit;
    }
    let server = Server::of(args.folder.path(), out);
    let path = format!("/v1/drills/{}/run", encoded(&args.name));
    let mut request = DrillRequest {
        yes: args.yes,
        mode: args.mode.clone(),
        even_if_degraded: args.even_if_degraded,
        reason: args.why.reason.clone(),
        who: args.why.who.clone(),
        ..DrillRequest::default()
    };
    let mut begun = server.send::<RunningLine>(&path, &request);
    let wants_name = |error: &ServerError| {
        matches!(error, ServerError::Refused(_, StatusCode::BAD_REQUEST)) && !args.yes
    };
    if begun.as_ref().is_err_and(wants_name) && io::stdin().is_terminal() {
        request.ack = typed(&args.name);
        begun = server.send(&path, &request);
    }
    let running = match begun {
        Ok(running) => running,
        Err(error) => return error.tell(out),
    };
    running.warnings.iter().for_each(|it| out.complain(&format!("warning: {it}\n")));
    if args.detach {
        if out.wants_json() {
            out.schema(&running);
        } else {
            out.line(format_args!(
                "{} {} has begun; `tradewind drill watch`",
                running.drill, running.run
            ));
        }
        return Exit::Well;
    }
    follow::to_the_end(&server, &running, out)
}

/// What somebody types who means it.
fn typed(name: &str) -> Option<String> {
    let mut prompt = io::stderr();
    // Without a prompt it can be typed as well.
    let _ = write!(prompt, "This drill does what its file says. Type its name to begin ({name}): ");
    let _ = prompt.flush();
    let mut line = String::new();
    io::stdin().read_line(&mut line).ok()?;
    Some(line.trim().to_owned())
}

fn watch(folder: &FolderArgs, out: &mut Out) -> Exit {
    let server = Server::of(folder.path(), out);
    match server.get::<Option<RunningLine>>("/v1/drills/running") {
        Ok(Some(running)) => follow::to_the_end(&server, &running, out),
        Ok(None) => {
            out.line("no drill runs");
            Exit::Well
        }
        Err(error) => error.tell(out),
    }
}

/// When the server does not answer a file tells the runner, which looks for it ten times a second
/// whatever else hangs.
fn abort(AbortArgs { folder, why }: &AbortArgs, out: &mut Out) -> Exit {
    let (tell, told) = mpsc::channel();
    let path = format!("/v1/drills/abort?{}", why.query());
    let server = Server::of(folder.path(), out);
    thread::spawn(move || {
        // Whoever waited may have given up.
        let _ = tell.send(server.post::<Option<AbortedLine>>(&path));
    });
    let why = match told.recv_timeout(PATIENCE) {
        Ok(Ok(Some(line))) => {
            aborted(&line, out);
            return Exit::Well;
        }
        Ok(Ok(None)) => {
            out.line("no drill runs");
            return Exit::Well;
        }
        Ok(Err(error @ ServerError::Refused(..))) => return error.tell(out),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the server does not answer within {PATIENCE:?}"),
    };
    out.error(why, None);
    let file = match state_folder(folder.path()) {
        Ok(state) => Archive::new(&state).abort_file(),
        Err(error) => return error.tell(out),
    };
    let made = file.parent().map_or(Ok(()), fs::create_dir_all);
    let made = made.and_then(|()| fs::write(&file, ""));
    let file = file.display();
    match made {
        Ok(()) => out.line(format_args!("{file} was made: a drill that runs there ends at once")),
        Err(error) => out.error(format_args!("{file} cannot be made: {error}"), None),
    }
    Exit::NotReachable
}

fn aborted(line: &AbortedLine, out: &mut Out) {
    if out.wants_json() {
        return out.schema(line);
    }
    let AbortedLine { drill, run, taken_back, left } = line;
    match (run, taken_back) {
        (None, _) => out.line(format_args!("{drill} is ended before it has begun")),
        (Some(run), true) => {
            out.line(format_args!("{drill} {run} is ended; what it did is taken back"));
        }
        (Some(run), false) if left.is_empty() => out.line(format_args!(
            "{drill} {run} is being ended: `tradewind drill watch` shows how far that is"
        )),
        (Some(run), false) => {
            out.line(format_args!("{drill} {run} is ended; not taken back: {}", left.join("; ")));
        }
    }
}

fn report(args: &ReportArgs, out: &mut Out) -> Exit {
    if let Some(file) = &args.verify {
        return match journal::read(file).and_then(|entries| verify(&entries)) {
            Ok((verdict, sentence)) => {
                let line = out.paint(show::paint(verdict), format_args!("{verdict}: {sentence}"));
                out.line(line);
                out.line("the journal comes to the verdict that is written in it");
                follow::exit_of(verdict)
            }
            Err(why) => {
                out.error(why, None);
                Exit::Failed
            }
        };
    }
    let name = args.name.as_deref().unwrap_or_default();
    let run = args.run.as_ref().map_or_else(String::new, |run| format!("?run={}", encoded(run)));
    let path = format!("/v1/drills/{}/report{run}", encoded(name));
    match Server::of(args.folder.path(), out).get::<Report>(&path) {
        Ok(report) => {
            if let Some(file) = &args.html {
                if let Err(error) = fs::write(file, html::page(&report)) {
                    out.error(format_args!("cannot write {}: {error}", file.display()), None);
                    return Exit::Failed;
                }
                let (verdict, sentence, file) = (report.verdict, &report.sentence, file.display());
                out.line(format_args!("{verdict}: {sentence}\nwritten to {file}"));
            } else if args.markdown {
                out.line(markdown::page(&report).trim_end());
            } else {
                show::report(&report, out);
            }
            follow::exit_of(report.verdict)
        }
        Err(error) => error.tell(out),
    }
}

fn history(args: &NameArgs, out: &mut Out) -> Exit {
    let path = format!("/v1/drills/{}/history", encoded(&args.name));
    match Server::of(args.folder.path(), out).get::<Vec<RunLine>>(&path) {
        Ok(runs) => {
            show::history(&runs, out);
            Exit::Well
        }
        Err(error) => error.tell(out),
    }
}
