//! `tradewind token new`: a token for the admin API, and the line that lets its bearer in.

use super::{Exit, output::Out};
use crate::{
    checkplan::Token,
    clock::Clock,
    config::parse_duration,
    grant::{Role, check_name},
};
use clap::{Args, Subcommand};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  tradewind token new grafana --role read --for 1y
  tradewind token new ana --role operate --for 90d
      A token, shown this once, and its line for the file that [server] tokens_file names:
          [server]
          tokens_file = \"secrets/tokens\"        # mode 640 or less; read again by `tradewind reload`
      Without its line a token opens nothing: to take one back, delete the line and reload.
      Give each person and each program a token of its own: its name stands beside what it did.

Roles, each with all that stands before it:
  read       look
  operate    move clients: drain, weight, force, failover, hold
  approve    be the second person: confirm, approve, reject
  admin      reload, apply, rollback, pin, --break-glass

Exit codes: 0 well · 1 the system gives no random numbers · 2 usage";

/// Tokens of the admin API.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TokenArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Make a token.
    #[command(after_help = EXAMPLES)]
    New(NewArgs),
}

#[derive(Args, Clone, Debug)]
struct NewArgs {
    /// Whose it is
    #[arg(value_parser = name)]
    name: String,
    /// What it allows: read, operate, approve or admin
    #[arg(long)]
    role: Role,
    /// For how long: 90d, 1y
    #[arg(long = "for", value_name = "TIME", value_parser = long, required_unless_present = "forever")]
    lasts: Option<Duration>,
    /// Without end; somebody has to remember it
    #[arg(long, conflicts_with = "lasts")]
    forever: bool,
}

/// A token that was made.
#[derive(Serialize)]
struct Made {
    token: String,
    line: String,
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// A duration, also in days and years.
fn long(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 86_400;
    let days = |suffix, days: u64| {
        let count: u64 = text.strip_suffix(suffix)?.parse().ok()?;
        Some(Duration::from_secs(count.checked_mul(days * DAY)?))
    };
    days('d', 1).or_else(|| days('y', 365)).map_or_else(|| parse_duration(text), Ok)
}

/// Makes a token.
pub fn run(args: &TokenArgs, clock: &dyn Clock, out: &mut Out) -> Exit {
    let Action::New(new) = &args.action;
    let mut random = [0; 32];
    if SystemRandom::new().fill(&mut random).is_err() {
        out.error("the system gives no random numbers", None);
        return Exit::Failed;
    }
    let expires = match new.lasts {
        None => None,
        Some(lasts) => {
            let at = clock.wall().checked_add(lasts).map(jiff::Timestamp::try_from);
            let Some(Ok(at)) = at else {
                out.error("--for ends beyond any calendar", Some("write --forever"));
                return Exit::Usage;
            };
            Some(at)
        }
    };
    let made = made(&new.name, new.role, expires, random);
    if out.wants_json() {
        out.schema(&made);
        return Exit::Well;
    }
    out.line(format_args!("token  {}", made.token));
    out.line(format_args!("line   {}", made.line));
    out.line(
        "\nThe token is shown this once: its bearer sends it as `Authorization: Bearer TOKEN`.",
    );
    out.line("Add the line to [server] tokens_file, then run `tradewind reload`.");
    Exit::Well
}

fn made(name: &str, role: Role, expires: Option<jiff::Timestamp>, random: [u8; 32]) -> Made {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    // The prefix lets scanners for secrets see what it is.
    let token = format!("tradewind_{}", hex(&random));
    let hash = hex(Token::new(token.as_bytes()).hash());
    let expires = expires.map_or_else(|| "never".to_owned(), |at| format!("{at:.0}"));
    Made { line: format!("{name} {role} sha256:{hash} {expires}"), token }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::Grants;
    use std::time::UNIX_EPOCH;

    #[test]
    fn the_line_lets_the_token_in_until_it_expires() {
        let expires = "1970-01-01T00:00:10Z".parse().unwrap();
        let made = made("ci", Role::Operate, Some(expires), [7; 32]);
        let grants = Grants::parse(&made.line).unwrap();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(grants.find(made.token.as_bytes(), at(9)).unwrap().role, Role::Operate);
        assert!(grants.find(made.token.as_bytes(), at(10)).is_err());
        assert!(!made.line.contains(&made.token["tradewind_".len()..]));
    }

    #[test]
    fn tokens_last_for_days_and_years() {
        assert_eq!(long("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(long("1y"), Ok(Duration::from_secs(365 * 86_400)));
        assert_eq!(long("10m"), Ok(Duration::from_secs(600)));
        assert!(long("99999999999999999999d").is_err() && long("soon").is_err());
    }
}
