//! `tradewind rollout`: a canary step by step, judged by figures.

mod tree;

use super::{
    Exit,
    folder::FolderArgs,
    nodes::NodeArgs,
    output::{Out, Paint},
    server::{Server, ServerError, encoded},
    table,
};
use crate::{
    admin::schema::rollout::{PatchLine, RolloutLine, RolloutPatch, RolloutRequest},
    control::hand::words::short,
};
use clap::{Args, Subcommand};
use std::{thread::sleep, time::Duration};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  tradewind rollout list
      What rollouts/*.toml define, and how far each is.
  tradewind rollout plan www
      Its steps, what judges them, how long it takes at least, and what speaks against it now.
  tradewind rollout start www --reason 'release 42'
  tradewind rollout status www --watch
      The tree: step, shares intended and observed, endpoints, checks. In a pipe a line of JSON for
      each change. Ends with the rollout.
  tradewind rollout promote www
      On to the next step, whatever the present one says; --full: all the way.
  tradewind rollout abort www
      The member gets nobody any more, at once. `undo`: what the files say again.
  tradewind rollout finish www
      What to write into the zone file, so that the files say what is served.

A rollout runs on one server. Where [server] peers names others for the same zones, `start` wants
--node: begin it on each of them, and each judges its own steps.

A step is never judged before twice the record's TTL has passed: until then caches still give the
answers before. Weights outlive the rollout until the files say the same.

Exit codes: 0 done; of `status` all is well or it succeeded · 1 it stands still and someone should
look · 4 it does not fit how things stand · 5 no server answers · 6 the record is degraded ·
10 the files do not say yet what is served (finish) · 20 it was, or is being, reversed ·
21 the same of aborted or undone";

/// Give a member its clients step by step, judged by figures.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RolloutArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with a rollout.
#[derive(Subcommand, Clone, Debug)]
pub enum Verb {
    /// Begin it
    Start(CarefulArgs),
    /// How it stands; all that are under way, without a name
    Status(StatusArgs),
    /// On to the next step
    Promote(PromoteArgs),
    /// Stand still; the weights stay
    Pause(OrderArgs),
    /// Go on from where it stands still
    Resume(OrderArgs),
    /// Give the member nobody any more, at once
    Abort(AbortArgs),
    /// The step once more; after its end, all of it
    Retry(CarefulArgs),
    /// Take its weights away: what the files say again
    Undo(OrderArgs),
    /// What to write into the zone file
    Finish(NameArgs),
    /// All rollouts
    List(ListArgs),
    /// What it would do
    Plan(NameArgs),
}

/// Which rollout.
#[derive(Args, Clone, Debug)]
pub struct NameArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Which server.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Nothing but the folder and the server.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Which server.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// What orders take.
#[derive(Args, Clone, Debug)]
pub struct OrderArgs {
    /// Which.
    #[command(flatten)]
    pub name: NameArgs,
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who you are, where several share one user
    #[arg(long = "as", value_name = "NAME")]
    pub who: Option<String>,
}

/// What orders take that move clients towards the member.
#[derive(Args, Clone, Debug)]
pub struct CarefulArgs {
    /// Which, why, who.
    #[command(flatten)]
    pub order: OrderArgs,
    /// Although endpoints of the record are down
    #[arg(long)]
    pub even_if_degraded: bool,
}

/// What `abort` takes.
#[derive(Args, Clone, Debug)]
pub struct AbortArgs {
    /// Which, why, who.
    #[command(flatten)]
    pub order: OrderArgs,
    /// Over safety rules; takes the role admin and a --reason, and is an alarm
    #[arg(long)]
    pub break_glass: bool,
}

/// What `promote` takes.
#[derive(Args, Clone, Debug)]
pub struct PromoteArgs {
    /// Which, why, who, how careful.
    #[command(flatten)]
    pub careful: CarefulArgs,
    /// To the last step and the end
    #[arg(long)]
    pub full: bool,
}

/// What `status` takes.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Go on showing it until it ends
    #[arg(long, requires = "name")]
    pub watch: bool,
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Which server.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Does what was asked.
pub fn run(args: &RolloutArgs, out: &mut Out) -> Exit {
    match &args.verb {
        Verb::Start(args) => careful("start", args, false, out),
        Verb::Promote(args) => careful("promote", &args.careful, args.full, out),
        Verb::Retry(args) => careful("retry", args, false, out),
        Verb::Pause(args) => order("pause", args, out),
        Verb::Resume(args) => order("resume", args, out),
        Verb::Abort(args) => {
            let request = RolloutRequest { break_glass: args.break_glass, ..args.order.request() };
            send("abort", &args.order, &request, out)
        }
        Verb::Undo(args) => order("undo", args, out),
        Verb::Status(args) => status(args, out),
        Verb::Finish(args) => finish(args, out),
        Verb::List(args) => list(args, out),
        Verb::Plan(args) => plan(args, out),
    }
}

impl OrderArgs {
    fn request(&self) -> RolloutRequest {
        let (reason, who) = (self.reason.clone(), self.who.clone());
        RolloutRequest { reason, who, ..RolloutRequest::default() }
    }
}

fn order(verb: &str, args: &OrderArgs, out: &mut Out) -> Exit {
    send(verb, args, &args.request(), out)
}

fn careful(verb: &str, args: &CarefulArgs, full: bool, out: &mut Out) -> Exit {
    let even_if_degraded = args.even_if_degraded;
    send(verb, &args.order, &RolloutRequest { full, even_if_degraded, ..args.order.request() }, out)
}

fn send(verb: &str, args: &OrderArgs, request: &RolloutRequest, out: &mut Out) -> Exit {
    let name = &args.name;
    let server = match name.node.one(&name.folder, out) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    let path = format!("/v1/rollouts/{}/{verb}", encoded(&name.name));
    // Whoever names a server knows that there are others.
    let request = RolloutRequest { only_here: name.node.node.is_some(), ..request.clone() };
    match server.send::<RolloutLine>(&path, &request) {
        Ok(line) if out.wants_json() => {
            out.schema(&line);
            Exit::Well
        }
        Ok(line) => {
            tree::draw(&line, out).into_iter().for_each(|text| out.line(text));
            Exit::Well
        }
        Err(error) => error.tell(out),
    }
}

/// Whether someone should look, and how it ended.
fn exit_of(line: &RolloutLine) -> Exit {
    match (&*line.state, line.outcome.as_deref()) {
        ("edited" | "inconclusive" | "failed" | "refused", _) => Exit::Failed,
        // As it will end, while its clients are taken back.
        (_, Some("reversed")) => Exit::VerdictFail,
        (_, Some("aborted" | "undone")) => Exit::Aborted,
        _ => Exit::Well,
    }
}

fn is_over(line: &RolloutLine) -> bool {
    matches!(&*line.state, "ready" | "succeeded" | "reversed" | "aborted" | "undone")
}

fn status(args: &StatusArgs, out: &mut Out) -> Exit {
    let server = match args.node.one(&args.folder, out) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    let Some(name) = &args.name else {
        return match server.get::<Vec<RolloutLine>>("/v1/rollouts") {
            Ok(lines) => {
                let open: Vec<RolloutLine> =
                    lines.into_iter().filter(|line| !line.closed).collect();
                all(&open, "no rollout is under way: `tradewind rollout list`", out)
            }
            Err(error) => error.tell(out),
        };
    };
    let path = format!("/v1/rollouts/{}", encoded(name));
    if args.watch {
        return watch(&server, &path, out);
    }
    match server.get::<RolloutLine>(&path) {
        Ok(line) => all(&[line], "", out),
        Err(error) => error.tell(out),
    }
}

fn all(lines: &[RolloutLine], none: &str, out: &mut Out) -> Exit {
    if out.wants_json() {
        match lines {
            [one] => out.schema(one),
            _ => out.list("rollouts", &lines),
        }
    } else if lines.is_empty() {
        out.line(none);
    }
    for line in lines.iter().filter(|_| !out.wants_json()).collect::<Vec<_>>() {
        tree::draw(line, out).into_iter().for_each(|text| out.line(text));
    }
    let exits = lines.iter().map(exit_of);
    exits.into_iter().find(|exit| *exit != Exit::Well).unwrap_or(Exit::Well)
}

/// Shows it until it ends: drawn over and over on a terminal, a line of JSON for each change
/// elsewhere.
fn watch(server: &Server, path: &str, out: &mut Out) -> Exit {
    let is_drawn = out.is_terminal() && !out.wants_json();
    let (mut drawn, mut last): (usize, Option<RolloutLine>) = (0, None);
    loop {
        let line = match server.get::<RolloutLine>(path) {
            Ok(line) => line,
            // One that is restarted is waited for.
            Err(ServerError::NotReachable { .. }) if last.is_some() => {
                sleep(EVERY);
                continue;
            }
            Err(error) => return error.tell(out),
        };
        if is_drawn {
            let lines = tree::draw(&line, out);
            out.draw_over(drawn, &lines);
            drawn = lines.len();
        } else if last.as_ref().is_none_or(|last| is_news(last, &line)) {
            out.schema_line(&line);
        }
        if is_over(&line) || out.is_broken() {
            return exit_of(&line);
        }
        last = Some(line);
        sleep(EVERY);
    }
}

/// Whether anything differs but the time and what was counted.
fn is_news(last: &RolloutLine, line: &RolloutLine) -> bool {
    let timeless = |line: &RolloutLine| RolloutLine {
        elapsed_ms: None,
        observed: None,
        endpoints: Vec::new(),
        ..line.clone()
    };
    timeless(last) != timeless(line)
}

fn finish(args: &NameArgs, out: &mut Out) -> Exit {
    let path = format!("/v1/rollouts/{}/patch", encoded(&args.name));
    let server = match args.node.one(&args.folder, out) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    let found = match server.get::<RolloutPatch>(&path) {
        Ok(found) => found,
        Err(error) => return error.tell(out),
    };
    let RolloutPatch { rollout, patch } = &found;
    let exit = match (is_over(rollout), rollout.closed) {
        (false, _) => Exit::Conflict,
        (true, true) => Exit::Well,
        (true, false) => Exit::Pending,
    };
    if out.wants_json() {
        out.schema(&found);
        return exit;
    }
    match (exit, patch) {
        (Exit::Conflict, _) => {
            let hint = "`promote --full` and `abort` end it; `undo` goes back to the files";
            out.error(format_args!("{} is under way: {}", rollout.name, rollout.state), Some(hint));
        }
        (Exit::Well, _) => {
            out.line(format_args!("{}: nothing is left to do; the files are served", rollout.name));
        }
        (_, Some(patch)) => {
            let share = percent(rollout.intended_share.unwrap_or_default());
            out.line(format_args!("the files do not say yet that {} has {share}:", rollout.member));
            diff(patch, out);
            out.line("write that and reload: the rollout's override then ends by itself");
        }
        (_, None) => {
            let share = percent(rollout.intended_share.unwrap_or_default());
            let (member, record) = (&rollout.member, &rollout.record);
            out.line(format_args!(
                "the override ends once the files give {member} of {record} {share}"
            ));
        }
    }
    exit
}

/// The change as `diff -u` shows it.
fn diff(patch: &PatchLine, out: &mut Out) {
    let PatchLine { file, line, before, after } = patch;
    out.line(format_args!("--- {file}"));
    out.line(format_args!("+++ {file}"));
    out.line(format_args!("@@ -{line},{} +{line},{} @@", before.len(), after.len()));
    for text in before {
        let text = out.paint(Paint::Bad, format_args!("-{text}"));
        out.line(text);
    }
    for text in after {
        let text = out.paint(Paint::Good, format_args!("+{text}"));
        out.line(text);
    }
}

fn list(args: &ListArgs, out: &mut Out) -> Exit {
    let server = match args.node.one(&args.folder, out) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    let lines = match server.get::<Vec<RolloutLine>>("/v1/rollouts") {
        Ok(lines) => lines,
        Err(error) => return error.tell(out),
    };
    if out.wants_json() {
        out.list("rollouts", &lines);
        return Exit::Well;
    }
    if lines.is_empty() {
        out.line("no rollouts: write rollouts/NAME.toml");
        return Exit::Well;
    }
    let row = |line: &RolloutLine| {
        let step =
            line.step.map_or_else(String::new, |step| format!("{step}/{}", line.steps.len()));
        let steps: Vec<String> = line.steps.iter().map(|step| percent(step.share)).collect();
        let files = match line.closed {
            true => "",
            false if is_over(line) => "not in the files yet",
            false => "under way",
        };
        [&line.name, &line.record, &line.member, &line.state, &step, &steps.join(", "), files]
            .map(str::to_owned)
            .into()
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let bad = |row: usize| lines.get(row).filter(|l| exit_of(l) != Exit::Well).map(|_| Paint::Bad);
    table::print(&["rollout", "record", "member", "state", "step", "steps", ""], &rows, bad, out);
    Exit::Well
}

fn plan(args: &NameArgs, out: &mut Out) -> Exit {
    let path = format!("/v1/rollouts/{}", encoded(&args.name));
    let server = match args.node.one(&args.folder, out) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    let line = match server.get::<RolloutLine>(&path) {
        Ok(line) => line,
        Err(error) => return error.tell(out),
    };
    if out.wants_json() {
        out.schema(&line);
        return Exit::Well;
    }
    let head = format!("{}: {} of {}", line.name, line.member, line.record);
    let head = out.paint(Paint::Strong, head);
    out.line(head);
    for (index, step) in line.steps.iter().enumerate() {
        let bake = Duration::from_millis(step.bake_ms);
        let pause = match step.pause.as_deref() {
            None => String::new(),
            Some("promote") => ", then waits for `promote`".to_owned(),
            Some(time) => format!(", then waits {time}"),
        };
        let (n, share) = (index + 1, percent(step.share));
        out.line(format_args!("  step {n}  {share:>7}  for {} at least{pause}", short(bake)));
    }
    for one in &line.analysis {
        let count = one.count.map_or_else(String::new, |count| format!(", {count} times"));
        out.line(format_args!("  judged by {}: {} {}{count}", one.name, one.source, one.wanted));
    }
    if line.analysis.is_empty() {
        out.line("  judged by nothing: each step only lasts");
    }
    out.line("  no step is judged, or through, before twice the record's TTL has passed");
    let waits = line.steps.iter().any(|step| step.pause.as_deref() == Some("promote"));
    let besides = if waits { ", and what whoever promotes it takes" } else { "" };
    let least = short(Duration::from_millis(line.takes_ms));
    out.line(format_args!("  takes {least} at least{besides}"));
    for next in &line.then {
        out.line(format_args!("  then begins {next}"));
    }
    for against in &line.degraded {
        let text = out.paint(Paint::Bad, format_args!("  against it now: {against}"));
        out.line(text);
    }
    if line.degraded.is_empty() { Exit::Well } else { Exit::Failed }
}

/// `12.5 %`.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_the_code_that_it_will_have_while_clients_are_taken_back() {
        for (state, outcome, exit) in [
            ("ready", None, Exit::Well),
            ("baking", None, Exit::Well),
            ("edited", None, Exit::Failed),
            ("reversing", Some("reversed"), Exit::VerdictFail),
            ("reversing", Some("aborted"), Exit::Aborted),
            ("undoing", Some("undone"), Exit::Aborted),
            ("refused", Some("aborted"), Exit::Failed),
            ("succeeded", Some("succeeded"), Exit::Well),
            ("aborted", Some("aborted"), Exit::Aborted),
        ] {
            let (state, outcome) = (state.to_owned(), outcome.map(str::to_owned));
            let line = RolloutLine { state, outcome, ..tree::line() };
            assert_eq!(exit_of(&line), exit, "{line:?}");
        }
    }
}
