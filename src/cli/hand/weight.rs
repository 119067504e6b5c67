//! `tradewind weight`: another weight than the files say.

use super::HandArgs;
use crate::{
    admin::schema::hand::HandRequest,
    cli::{Exit, completions, output::Out},
    units::Weight,
};
use clap::Args;
use clap_complete::ArgValueCompleter;
use std::str::FromStr;

const EXAMPLES: &str = "\
Examples:
  tradewind weight record:gtm.example.com/www canary=20
      The member `canary` of that record's own policy.
  tradewind weight record:gtm.example.com/www canary=20%
      Exactly that share of the record's clients; the others divide the rest as the files say.
  tradewind weight policy:gtm.example.com/eu-split fra=0 --for 1h
      A named policy, at every record of the zone that uses it; 0 makes a reserve of the member.
  tradewind weight endpoint:gtm.example.com/stable/stable-2 5
      An endpoint inside its pool, in every record.
  tradewind weight record:gtm.example.com/www canary=reset
      What the files say again; `reset` alone for all members.

Exit codes: 0 done · 1 nothing matches, or the weight cannot be · 2 usage · 5 no server answers ·
6 a safety rule forbids it · 10 proposed: a second person has to confirm it";

/// Give a member of a policy, or an endpoint, another weight.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WeightArgs {
    /// record:ZONE/RECORD, policy:ZONE/POLICY or endpoint:ZONE/POOL/ENDPOINT; or id:N
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completions::targets))]
    pub target: String,
    /// MEMBER=WEIGHT, MEMBER=PERCENT% or MEMBER=reset; for endpoints WEIGHT or reset
    #[arg(value_name = "WEIGHT", allow_hyphen_values = true)]
    pub what: What,
    /// When, why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

/// A weight as typed.
#[derive(Clone, Debug, PartialEq)]
pub struct What {
    /// The member; none for endpoints.
    pub member: Option<String>,
    /// Its weight; neither this nor a share for what the files say.
    pub weight: Option<u32>,
    /// Its share of all clients instead, 0 to 1.
    pub share: Option<f64>,
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<What, String> {
        let (member, weight) = match text.rsplit_once('=') {
            Some(("", _)) => return Err("write MEMBER=WEIGHT".to_owned()),
            Some((member, weight)) => (Some(member.to_owned()), weight),
            None => (None, text),
        };
        if weight == "reset" {
            return Ok(What { member, weight: None, share: None });
        }
        if let Some(percent) = weight.strip_suffix('%') {
            let percent = percent.trim_end().parse::<f64>().ok();
            return match percent.filter(|percent| (0.0..=100.0).contains(percent)) {
                Some(_) if member.is_none() => Err("write MEMBER=PERCENT%".to_owned()),
                Some(percent) => Ok(What { member, weight: None, share: Some(percent / 100.0) }),
                None => Err("a share is 0% to 100%".to_owned()),
            };
        }
        let number = weight.parse().ok().filter(|number| *number <= Weight::MAX);
        match number {
            Some(number) => Ok(What { member, weight: Some(number), share: None }),
            None => Err(format!("a weight is a whole number, 0 to {}, or reset", Weight::MAX)),
        }
    }
}

impl WeightArgs {
    pub(super) fn request(&self) -> HandRequest {
        let What { member, weight, share } = self.what.clone();
        HandRequest { member, weight, share, ..self.hand.request("weight", Some(&self.target)) }
    }
}

/// Changes a weight.
pub fn run(args: &WeightArgs, out: &mut Out) -> Exit {
    args.hand.run(&args.request(), out)
}
