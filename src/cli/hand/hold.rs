//! `tradewind hold` and `unhold`: failovers that stay where they are.

use super::HandArgs;
use crate::{
    admin::schema::hand::HandRequest,
    cli::{Exit, completions, output::Out},
};
use clap::Args;
use clap_complete::ArgValueCompleter;

const HOLD_EXAMPLES: &str = "\
Examples:
  tradewind hold record:gtm.example.com/app --for 1h --reason \"database moves\"
      It neither fails over nor back meanwhile, whatever health says.
  tradewind hold 'policy:*/*'
      Every named failover.

Exit codes: 0 done · 1 no such failover · 2 usage · 5 no server answers · 6 a safety rule forbids it ·
10 proposed: a second person has to confirm it";

const UNHOLD_EXAMPLES: &str = "\
Examples:
  tradewind unhold record:gtm.example.com/app
      It moves again, by what health says now.

Exit codes: 0 done · 1 nothing is held by that name · 2 usage · 5 no server answers";

/// Keep failovers where they stand.
#[derive(Args, Clone, Debug)]
#[command(after_help = HOLD_EXAMPLES)]
pub struct HoldArgs {
    /// Which: record:ZONE/RECORD or policy:ZONE/POLICY
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completions::failovers))]
    pub target: String,
    /// When, why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

/// Let held failovers move again.
#[derive(Args, Clone, Debug)]
#[command(after_help = UNHOLD_EXAMPLES)]
pub struct UnholdArgs {
    /// What was held, or id:N
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completions::overrides))]
    pub target: String,
    /// Why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

impl HoldArgs {
    pub(super) fn request(&self) -> HandRequest {
        self.hand.request("hold", Some(&self.target))
    }
}

impl UnholdArgs {
    pub(super) fn request(&self) -> HandRequest {
        self.hand.request("unhold", Some(&self.target))
    }
}

/// Holds.
pub fn hold(args: &HoldArgs, out: &mut Out) -> Exit {
    args.hand.run(&args.request(), out)
}

/// Lets go.
pub fn unhold(args: &UnholdArgs, out: &mut Out) -> Exit {
    args.hand.run(&args.request(), out)
}
