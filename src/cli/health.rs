//! `tradewind health`: how targets of checks stand by their own results.

use super::{
    Exit,
    folder::FolderArgs,
    output::{Out, Paint},
    server::{Server, ServerError},
    status::ago,
    table,
    watch::{WatchArgs, watch},
};
use crate::admin::schema::{SCHEMA_VERSION, health::TargetLine, time};
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use std::time::SystemTime;

const EXAMPLES: &str = "\
Examples:
  tradewind health
      Everything that is probed: how it stands by its own results, why, and how fast it answers.
  tradewind health gtm.example.com/iad --watch
      Of what has this in its name; redrawn every second, or in a pipe a line of JSON a change.

What is answered may differ: checks that only observe, the breaker, a pin and operators have their
say in `tradewind status`.

Exit codes: 0 all of it is up · 1 some is not, or nothing is called that · 5 no server answers";

/// How targets of checks stand by their own results.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct HealthArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Only those with this in their name or address
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(super::completions::endpoints))]
    pub name: Option<String>,
    /// Whether to go on.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Health {
    schema_version: u32,
    now: String,
    targets: Vec<TargetLine>,
}

/// Prints how targets stand.
pub fn run(args: &HealthArgs, out: &mut Out) -> Exit {
    let server = Server::of(args.folder.path(), out);
    let look = || look(&server, args);
    if args.watch.watch {
        return watch(look, print, out);
    }
    match look() {
        Ok(health) => {
            match out.wants_json() {
                true => out.schema(&health),
                false => print(&health, out),
            }
            let well = !health.targets.is_empty() && health.targets.iter().all(is_up);
            if well { Exit::Well } else { Exit::Failed }
        }
        Err(error) => error.tell(out),
    }
}

fn look(server: &Server, args: &HealthArgs) -> Result<Health, ServerError> {
    let mut targets: Vec<TargetLine> = server.get("/v1/targets")?;
    if let Some(name) = &args.name {
        targets.retain(|target| {
            target.target.contains(name.as_str()) || target.address.contains(name.as_str())
        });
    }
    targets.sort_by(|a, b| a.target.cmp(&b.target));
    let now = targets.iter().filter_map(|target| Some(target.last_probe.as_ref()?.at.clone()));
    // Ages are told by the newest probe there is, so that the clock here does not matter.
    let now = now.max().unwrap_or_else(|| time(SystemTime::UNIX_EPOCH));
    Ok(Health { schema_version: SCHEMA_VERSION, now, targets })
}

fn is_up(target: &TargetLine) -> bool {
    matches!(&*target.state, "up" | "unknown")
}

fn print(health: &Health, out: &mut Out) {
    let targets = &health.targets;
    let up = targets.iter().filter(|target| is_up(target)).count();
    let paint = if up == targets.len() && up > 0 { Paint::Good } else { Paint::Bad };
    let line = match targets.len() {
        0 => "nothing is probed".to_owned(),
        all => format!("{up} of {all} up"),
    };
    let line = out.paint(paint, line);
    out.line(line);
    if targets.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = targets.iter().map(|target| row(target, &health.now)).collect();
    let bad = |row: usize| targets.get(row).filter(|target| !is_up(target)).map(|_| Paint::Bad);
    out.line("");
    let heads = ["target", "address", "state", "reason", "p50/p99 ms", "failed", "last probe"];
    table::print(&heads, &rows, bad, out);
}

fn row(target: &TargetLine, now: &str) -> Vec<String> {
    let latency = target.facts.latency_ms.as_ref();
    let latency = latency.map(|latency| format!("{:.1}/{:.1}", latency.p50, latency.p99));
    let probe = target.last_probe.as_ref();
    let probe = probe.map(|probe| format!("{}, {}", probe.outcome, ago(&probe.at, now)));
    let state = match target.failing && is_up(target) {
        true => format!("{}, failing", target.state),
        false => target.state.clone(),
    };
    vec![
        target.target.clone(),
        target.address.clone(),
        state,
        format!("{}{}", target.reason, target.facts.words()),
        latency.unwrap_or_default(),
        format!("{} of {}", target.failures, target.probes),
        probe.unwrap_or_default(),
    ]
}
