//! `tradewind force`: endpoints up or down, whatever probes say.

use super::HandArgs;
use crate::{
    admin::schema::hand::HandRequest,
    cli::{Exit, completions, output::Out},
};
use clap::{Args, ValueEnum};
use clap_complete::ArgValueCompleter;

const EXAMPLES: &str = "\
Examples:
  tradewind force endpoint:gtm.example.com/iad/iad-1 down --reason \"bad disk\"
      Not answered, though its probes pass.
  tradewind force check:web up --for 10m
      The check itself is broken: everything it judges is answered meanwhile.
  tradewind force check:web auto
      Probes decide again.

Targets: region:NAME pool:ZONE/POOL endpoint:ZONE/POOL/ENDPOINT check:NAME; `*` is anything but /.

Exit codes: 0 done · 1 nothing matches · 2 usage · 5 no server answers · 6 a safety rule forbids it ·
10 proposed: a second person has to confirm it";

/// Hold endpoints up or down, whatever probes say.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ForceArgs {
    /// What: region:NAME, pool:ZONE/POOL, endpoint:ZONE/POOL/ENDPOINT, check:NAME; or id:N
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completions::targets))]
    pub target: String,
    /// What it is to be
    #[arg(value_enum)]
    pub to: To,
    /// When, why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

/// What endpoints are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// Answered
    Up,
    /// Not answered
    Down,
    /// What probes say
    Auto,
}

impl ForceArgs {
    pub(super) fn request(&self) -> HandRequest {
        let to = match self.to {
            To::Up => "up",
            To::Down => "down",
            To::Auto => "auto",
        };
        HandRequest { to: Some(to.into()), ..self.hand.request("force", Some(&self.target)) }
    }
}

/// Forces.
pub fn run(args: &ForceArgs, out: &mut Out) -> Exit {
    args.hand.run(&args.request(), out)
}
