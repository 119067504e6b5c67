//! `tradewind events`: what happened to a running server, oldest first.

use super::{
    Exit,
    folder::FolderArgs,
    output::{Out, Paint},
    server::Server,
};
use crate::admin::schema::EventLine;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  tradewind events
      Loads, verdicts, failovers and what they did to answers, as far back as they are kept.
  tradewind events --since 120 --json
      Those after number 120, for machines.

Exit codes: 0 well · 5 no server answers";

/// What happened to a running server.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct EventsArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Only events after this number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub since: u64,
}

/// Prints the events, batch by batch.
pub fn run(args: &EventsArgs, out: &mut Out) -> Exit {
    let server = Server::of(args.folder.path());
    let (mut since, mut all) = (args.since, Vec::new());
    loop {
        let batch: Vec<EventLine> = match server.get(&format!("/v1/events?since={since}")) {
            Ok(batch) => batch,
            Err(error) => return error.tell(out),
        };
        let Some(last) = batch.last() else { break };
        since = last.seq;
        all.extend(batch);
    }
    if out.wants_json() {
        out.schema(&all);
        return Exit::Well;
    }
    for event in &all {
        let line = format!("{:>5}  {}  {}", event.seq, event.at, event.text);
        let line = if event.alarm { out.paint(Paint::Bad, line) } else { line };
        out.line(line);
    }
    Exit::Well
}
