//! `tradewind failover`, `failback`, `approve` and `reject`: where failovers stand.

use super::HandArgs;
use crate::{
    admin::schema::{
        SCHEMA_VERSION,
        hand::{ApprovalLine, HandRequest},
    },
    cli::{
        Exit, completions,
        output::{Out, Paint},
        server::{Server, ServerError},
        watch::{WatchArgs, watch},
    },
};
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde::Serialize;

const FAILOVER_EXAMPLES: &str = "\
Examples:
  tradewind failover record:gtm.example.com/app --to dub --reason \"moving house\"
      The record prefers `dub` until it is told otherwise; by its ramp, if the old member works.
  tradewind failover 'policy:*/eu' --to fra --dry-run
      Which clients would move.

Exit codes: 0 done · 1 no such failover or member · 2 usage · 5 no server answers ·
6 a safety rule forbids it · 10 proposed: a second person has to confirm it";

const FAILBACK_EXAMPLES: &str = "\
Examples:
  tradewind failback record:gtm.example.com/app
      Back to the member it would rather use, now; takes `failover --to` away.

Exit codes: 0 done · 1 no such failover · 2 usage · 4 nothing to go back from · 5 no server answers ·
6 a safety rule forbids it · 10 proposed: a second person has to confirm it";

const APPROVE_EXAMPLES: &str = "\
Examples:
  tradewind approve
      The failovers that wait, what for, and which clients would move.
  tradewind approve record:gtm.example.com/app --dry-run
      Which clients would move.
  tradewind approve record:gtm.example.com/app
      Let a failover with `failover = \"manual\"` or `failback = \"manual\"` do what it waits to do.

Exit codes: 0 done · 1 no such failover · 2 usage · 4 it waits for nobody (any more) ·
5 no server answers · 6 a safety rule forbids it · 10 proposed: a second person has to confirm it";

const REJECT_EXAMPLES: &str = "\
Examples:
  tradewind reject record:gtm.example.com/app
      It stays where it is, and asks again when something changes.
  tradewind reject 7
      Withdraws a proposal that waits for a second person.

Exit codes: 0 done · 1 no such failover · 2 usage · 4 it waits for nobody (any more) ·
5 no server answers";

/// Choose the member a failover prefers.
#[derive(Args, Clone, Debug)]
#[command(after_help = FAILOVER_EXAMPLES)]
pub struct FailoverArgs {
    /// Which: record:ZONE/RECORD or policy:ZONE/POLICY
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completions::failovers))]
    pub target: String,
    /// The member
    #[arg(long, value_name = "MEMBER", allow_hyphen_values = true)]
    pub to: String,
    /// When, why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

/// Let a failover go back to the member it would rather use.
#[derive(Args, Clone, Debug)]
#[command(after_help = FAILBACK_EXAMPLES)]
pub struct FailbackArgs {
    /// Which: record:ZONE/RECORD or policy:ZONE/POLICY; or id:N
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completions::overrides))]
    pub target: String,
    /// Why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

/// Let a failover do what it waits to do.
#[derive(Args, Clone, Debug)]
#[command(after_help = APPROVE_EXAMPLES)]
pub struct ApproveArgs {
    /// Which: record:ZONE/RECORD or policy:ZONE/POLICY; without it those that wait are listed
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completions::failovers))]
    pub target: Option<String>,
    /// Why, who.
    #[command(flatten)]
    pub hand: HandArgs,
    /// Whether to go on listing.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// Forbid a failover what it waits to do, or withdraw a proposal.
#[derive(Args, Clone, Debug)]
#[command(after_help = REJECT_EXAMPLES)]
pub struct RejectArgs {
    /// Which: record:ZONE/RECORD or policy:ZONE/POLICY; or the number of a proposal
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completions::overrides))]
    pub target: String,
    /// Why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

impl FailoverArgs {
    pub(super) fn request(&self) -> HandRequest {
        let to = Some(self.to.clone());
        HandRequest { to, ..self.hand.request("failover", Some(&self.target)) }
    }
}

impl FailbackArgs {
    pub(super) fn request(&self) -> HandRequest {
        self.hand.request("failback", Some(&self.target))
    }
}

/// Moves failovers.
pub fn failover(args: &FailoverArgs, out: &mut Out) -> Exit {
    args.hand.run(&args.request(), out)
}

/// Moves them back.
pub fn failback(args: &FailbackArgs, out: &mut Out) -> Exit {
    args.hand.run(&args.request(), out)
}

/// Approves, or lists what waits.
pub fn approve(args: &ApproveArgs, out: &mut Out) -> Exit {
    match &args.target {
        Some(target) => args.hand.run(&args.hand.request("approve", Some(target)), out),
        None => list(args, out),
    }
}

fn list(args: &ApproveArgs, out: &mut Out) -> Exit {
    let server = Server::of(args.hand.folder.path(), out);
    let look = || -> Result<Approvals, ServerError> {
        let approvals = server.get("/v1/approvals")?;
        Ok(Approvals { schema_version: SCHEMA_VERSION, approvals })
    };
    if args.watch.watch {
        return watch(look, print, out);
    }
    match look() {
        Ok(approvals) => {
            print(&approvals, out);
            Exit::Well
        }
        Err(error) => error.tell(out),
    }
}

/// What `--json` prints of those that wait.
#[derive(Serialize)]
struct Approvals {
    schema_version: u32,
    approvals: Vec<ApprovalLine>,
}

fn print(approvals: &Approvals, out: &mut Out) {
    if out.wants_json() {
        return out.schema(approvals);
    }
    if approvals.approvals.is_empty() {
        out.line("no failover waits");
    }
    for line in &approvals.approvals {
        let ApprovalLine { failover, from, to, wait, due, .. } = line;
        let due = due.as_ref().map(|due| format!(", due {due}")).unwrap_or_default();
        let head = format!("{failover}: {from} -> {to}, {wait}{due}");
        let head = out.paint(Paint::Strong, head);
        out.line(head);
        if let Some(preview) = &line.preview {
            crate::cli::forecast::preview(preview, out);
            out.line(format_args!("  {}", line.approve));
        }
    }
}

/// Rejects.
pub fn reject(args: &RejectArgs, out: &mut Out) -> Exit {
    args.hand.run(&args.hand.request("reject", Some(&args.target)), out)
}
