//! `tradewind drain` and `undrain`: endpoints out of the answers and in again.

use super::HandArgs;
use crate::{
    admin::schema::hand::{DrainWord, HandList, HandReply, HandRequest, OverrideLine},
    cli::{Exit, completions, nodes::Node, output::Out, server::ServerError},
    config::parse_duration,
};
use clap::Args;
use clap_complete::ArgValueCompleter;
use std::{thread, time::Duration};

const DRAIN_EXAMPLES: &str = "\
Examples:
  tradewind drain region:us-east-1 --for 30m --reason \"INC-42\"
      No new clients for a whole region; it comes back by itself.
  tradewind drain endpoint:gtm.example.com/iad/iad-1 --over 5m --wait
      Clients leave evenly over five minutes; waits until none should come any more.
  tradewind drain 'pool:*/canary-*' --dry-run
      Which share of clients would move, from where to where.

Targets: region:NAME pool:ZONE/POOL endpoint:ZONE/POOL/ENDPOINT check:NAME; `*` is anything but /.
The last override to begin wins; one that hides another says so.

Exit codes: 0 done · 1 nothing matches; with --wait: still answered, and what ends that · 2 usage ·
5 no server answers · 6 a safety rule forbids it · 10 proposed: a second person has to confirm it";

const UNDRAIN_EXAMPLES: &str = "\
Examples:
  tradewind undrain region:us-east-1
      Takes away what `drain region:us-east-1` made; else every drain that this covers.
  tradewind undrain id:7
      Takes away that one.

Exit codes: 0 done · 1 nothing is drained by that name · 2 usage · 5 no server answers ·
6 a safety rule forbids it";

/// How often a drain is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Take endpoints out of the answers.
#[derive(Args, Clone, Debug)]
#[command(after_help = DRAIN_EXAMPLES)]
pub struct DrainArgs {
    /// What to drain: region:NAME, pool:ZONE/POOL, endpoint:ZONE/POOL/ENDPOINT, check:NAME
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completions::targets))]
    pub target: String,
    /// Let clients leave evenly over this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub over: Option<Duration>,
    /// Wait until no client is sent there and the last answer has run out
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// When, why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

/// Let drained endpoints in again.
#[derive(Args, Clone, Debug)]
#[command(after_help = UNDRAIN_EXAMPLES)]
pub struct UndrainArgs {
    /// What was drained, or id:N
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completions::overrides))]
    pub target: String,
    /// Why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

impl DrainArgs {
    pub(super) fn request(&self) -> HandRequest {
        let over_ms = self.over.map(super::ms);
        HandRequest { over_ms, ..self.hand.request("drain", Some(&self.target)) }
    }
}

impl UndrainArgs {
    pub(super) fn request(&self) -> HandRequest {
        self.hand.request("undrain", Some(&self.target))
    }
}

/// Drains, and waits if that is wanted.
pub fn drain(args: &DrainArgs, out: &mut Out) -> Exit {
    let quiet = args.wait && out.wants_json();
    let nodes = match args.hand.node.nodes(&args.hand.folder, out) {
        Ok(nodes) => nodes,
        Err(exit) => return exit,
    };
    let (exit, done) = args.hand.tell(&nodes, &args.request(), quiet, out);
    let made = |(node, reply): (_, HandReply)| Some((node, reply.made.filter(|_| reply.done)?.id));
    let made: Vec<(&Node, u64)> = done.into_iter().filter_map(made).collect();
    if !args.wait || exit != Exit::Well || made.is_empty() {
        return exit;
    }
    let drained = made.into_iter().map(|(node, id)| wait(node, id, out));
    match drained.collect::<Result<Vec<OverrideLine>, Exit>>() {
        Ok(drained) => {
            tell(&drained, out);
            Exit::Well
        }
        Err(exit) => exit,
    }
}

/// Tells what is drained: on each server that drains it the same.
fn tell(drained: &[OverrideLine], out: &mut Out) {
    match drained {
        [line] if out.wants_json() => out.schema(line),
        lines if out.wants_json() => out.list("drained", &lines),
        [line, ..] => out.line(format_args!("drained: {}", line.does)),
        [] => {}
    }
}

/// Takes drains away.
pub fn undrain(args: &UndrainArgs, out: &mut Out) -> Exit {
    args.hand.run(&args.request(), out)
}

/// The drain `id` of `node` once it is through.
fn wait(node: &Node, id: u64, out: &mut Out) -> Result<OverrideLine, Exit> {
    loop {
        let list: Result<HandList, ServerError> = node.server().get("/v1/hand");
        let list = list.map_err(|error| error.tell(out))?;
        let Some(line) = list.overrides.into_iter().find(|line| line.id == id) else {
            out.error(format_args!("#{id} is there no more: it was taken away, or ended"), None);
            return Err(Exit::Failed);
        };
        if let Some(exit) = stuck(&line, out) {
            return Err(exit);
        }
        if line.drain.as_ref().is_some_and(|drain| drain.state == DrainWord::Drained) {
            out.progress_ends();
            return Ok(line);
        }
        out.progress(&progress(&line));
        thread::sleep(LOOK);
    }
}

/// That the drain `line` comes to nothing unless somebody does something, if so.
fn stuck(line: &OverrideLine, out: &mut Out) -> Option<Exit> {
    if let Some(why) = &line.refused {
        out.progress_ends();
        out.error(format_args!("#{} never began: {why}", line.id), None);
        return Some(Exit::Failed);
    }
    let drain = line.drain.as_ref().filter(|drain| drain.state == DrainWord::StillAnswered)?;
    out.progress_ends();
    let why = drain.why.as_deref().unwrap_or_default();
    let share = drain.answered_share * 100.0;
    out.error(
        format_args!("not drained: {share:.1} % of clients are still sent there: {why}"),
        drain.remedy.as_deref(),
    );
    Some(Exit::Failed)
}

fn progress(line: &OverrideLine) -> String {
    let Some(drain) = &line.drain else {
        return format!("#{} begins {}", line.id, line.starts.as_deref().unwrap_or("soon"));
    };
    let observed = drain.observed_share.map(|share| format!("{:.1} % observed, ", share * 100.0));
    let observed = observed.unwrap_or_default();
    format!("draining: {observed}at most {:.0} % left by TTL", drain.residual_share * 100.0)
}
