//! `tradewind confirm`: the second person.

use super::HandArgs;
use crate::{
    admin::schema::hand::HandRequest,
    cli::{Exit, output::Out},
};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  tradewind confirm 7 --as bo
      Agrees to what another proposed, where a safety rule wants two persons.
  tradewind confirm --falls
      The falls that the breaker holds are true: they take effect.

Exit codes: 0 done · 2 usage · 4 nothing waits (any more) · 5 no server answers ·
6 you proposed it yourself, or a safety rule forbids it";

/// Agree to what another proposed, or to falls that are held.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ConfirmArgs {
    /// The proposal; needed where there are several
    #[arg(value_name = "ID", conflicts_with = "falls")]
    pub id: Option<u64>,
    /// Falls that the breaker holds, instead of a proposal
    #[arg(long)]
    pub falls: bool,
    /// Why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

/// Confirms.
pub fn run(args: &ConfirmArgs, out: &mut Out) -> Exit {
    let request = args.hand.request("confirm", None);
    args.hand.run(&HandRequest { id: args.id, falls: args.falls, ..request }, out)
}
