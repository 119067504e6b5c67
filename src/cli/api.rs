//! `tradewind api openapi`: the admin API, described for programs.

use super::{Exit, output::Out};
use crate::admin::openapi;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  tradewind api openapi > openapi.json
      What [server] admin serves at /v1/openapi.json: every route, with the role it takes. For
      generators of clients, and for people who read it in a viewer.

Exit codes: 0 well · 2 usage";

/// The admin API, described.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ApiArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Print its description (OpenAPI 3.1)
    #[command(after_help = EXAMPLES)]
    Openapi,
}

/// Prints the description.
pub fn run(args: &ApiArgs, out: &mut Out) -> Exit {
    let What::Openapi = args.what;
    match openapi() {
        Ok(text) => {
            out.line(text.trim_end());
            Exit::Well
        }
        Err(error) => {
            out.error(error, None);
            Exit::Failed
        }
    }
}
