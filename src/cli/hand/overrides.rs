//! `tradewind overrides`: what operators told the server, and what of it counts now.

use super::show::numbers;
use crate::{
    admin::schema::hand::{DrainState, DrainWord, HandList, OverrideLine},
    cli::{
        Exit,
        folder::FolderArgs,
        nodes::AtNodeArgs,
        output::{Out, Paint},
        table,
        watch::{WatchArgs, watch},
    },
    control::hand::words::short,
};
use clap::Args;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  tradewind overrides
      Every override in the order made (the last to begin wins): what it does now, what it hides,
      when it ends, and the command line that takes it away. Proposals that wait for a
      second person stand below.
  tradewind overrides --watch
      The same, redrawn every second; in a pipe a line of JSON for each change.
  tradewind overrides --node ns2
      Those of a peer: whether what it has not answered to was done.

Exit codes: 0 well · 5 no server answers";

/// What operators changed, and what that does now.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct OverridesArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Whether to go on.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Of which server.
    #[command(flatten)]
    pub node: AtNodeArgs,
}

/// Lists overrides and proposals.
pub fn run(args: &OverridesArgs, out: &mut Out) -> Exit {
    let node = match args.node.node(&args.folder, out) {
        Ok(node) => node,
        Err(exit) => return exit,
    };
    let look = || {
        let mut list = node.server().get::<HandList>("/v1/hand")?;
        for line in &mut list.overrides {
            line.undo = node.with(&line.undo);
        }
        for one in &mut list.proposals {
            one.confirm = node.with(&one.confirm);
        }
        Ok(list)
    };
    if args.watch.watch {
        return watch(look, print, out);
    }
    match look() {
        Ok(list) => {
            print(&list, out);
            Exit::Well
        }
        Err(error) => error.tell(out),
    }
}

fn print(list: &HandList, out: &mut Out) {
    if out.wants_json() {
        return out.schema(list);
    }
    if let Some(reason) = &list.pin_file {
        let line = format!("pinned by state/PIN: {reason}");
        let line = out.paint(Paint::Bad, line.trim_end_matches(": "));
        out.line(line);
    }
    if list.overrides.is_empty() && list.proposals.is_empty() {
        return out.line("operators changed nothing");
    }
    let rows: Vec<Vec<String>> = list.overrides.iter().map(row).collect();
    let bad =
        |row: usize| list.overrides.get(row).filter(|line| line.break_glass).map(|_| Paint::Bad);
    if !rows.is_empty() {
        let heads = ["", "override", "does", "ends", "who", "reason", "undo"];
        table::print(&heads, &rows, bad, out);
    }
    for one in &list.proposals {
        let target = one.target.as_deref().unwrap_or_default();
        let (id, verb, who, rules) = (one.id, &one.verb, &one.who, one.rules.join(", "));
        let head = format!("#{id} {verb} {target} waits: {who} proposed it, {rules} wants another");
        let head = out.paint(Paint::Strong, head);
        out.line(head);
        out.line(format_args!("  {} (until {})", one.confirm, one.expires));
    }
}

fn row(line: &OverrideLine) -> Vec<String> {
    let mut does = line.does.clone();
    if let Some(starts) = &line.starts {
        does = format!("from {starts}: {does}");
    }
    if let Some(why) = &line.refused {
        does = format!("never began: {why}");
    }
    does += &line.drain.as_ref().map(drain).unwrap_or_default();
    if !line.hides.is_empty() {
        does += &format!("; hides {}", numbers(&line.hides));
    }
    if !line.hidden_by.is_empty() {
        does += &format!("; hidden by {}", numbers(&line.hidden_by));
    }
    let ends = line.remaining_ms.map(|ms| {
        // Whole seconds are enough to read.
        format!("in {}", short(Duration::from_secs(ms.div_ceil(1_000))))
    });
    vec![
        format!("#{}", line.id),
        line.what.clone(),
        does,
        ends.unwrap_or_else(|| "-".to_owned()),
        line.who.clone(),
        line.reason.clone().unwrap_or_default(),
        line.undo.clone(),
    ]
}

fn drain(state: &DrainState) -> String {
    match (&state.why, state.residual_share) {
        (Some(why), _) => format!("; still answered: {why}"),
        (None, share) if share > 0.0 => format!("; {:.0} % may be left", share * 100.0),
        (None, _) if state.state == DrainWord::Drained => "; drained".to_owned(),
        (None, _) => String::new(),
    }
}
