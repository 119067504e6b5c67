//! `tradewind simulate`: who would go where if something happened.

use super::{
    Exit,
    folder::FolderArgs,
    output::{Out, Paint},
    plan::effect,
    server::Server,
    weights::WeightsArgs,
};
use crate::{
    admin::schema::plan::{BreakerLine, SimulateReply, SimulateRequest},
    control::hand::words::{count, short},
};
use clap::Args;
use std::{path::PathBuf, time::Duration};

const EXAMPLES: &str = "\
Examples:
  tradewind simulate --down region:us-east-1
      Who would go where, by region and country; who would get no answer, or one that is known to
      be down; which pool would get more than its capacity; which failover would wait for you.
  tradewind simulate --down region:us-east-1 --drain pool:gtm.example.com/nrt
      Several at once.
  tradewind simulate --weight 'record:gtm.example.com/www canary=50' --bias nrt=-5ms
      Other weights, and a region that is five milliseconds nearer.
  tradewind simulate --file changes.toml
      The same from a file: down = [\"region:us-east-1\"], drain = […], weight = […], bias = […].

State machines are stepped and overrides merged as the running server would. Nothing is changed.

Exit codes: 0 worked out · 1 something names nothing · 2 usage · 5 no server answers";

/// Say who would go where if something happened.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArgs {
    /// Suppose that it fails its checks: region:NAME, pool:NAME, endpoint:NAME, check:NAME
    #[arg(long, value_name = "TARGET")]
    pub down: Vec<String>,
    /// Suppose that it passes them
    #[arg(long, value_name = "TARGET")]
    pub up: Vec<String>,
    /// Suppose that it works badly
    #[arg(long, value_name = "TARGET")]
    pub degraded: Vec<String>,
    /// Suppose that you drain it
    #[arg(long, value_name = "TARGET")]
    pub drain: Vec<String>,
    /// Suppose a weight: 'record:ZONE/NAME MEMBER=WEIGHT', 'endpoint:NAME WEIGHT'
    #[arg(long, value_name = "TARGET MEMBER=WEIGHT")]
    pub weight: Vec<String>,
    /// Suppose that you prefer a member of a failover: 'record:ZONE/NAME MEMBER'
    #[arg(long, value_name = "TARGET MEMBER")]
    pub failover: Vec<String>,
    /// Suppose that a member of latency policies is further, or nearer: nrt=-5ms
    #[arg(long, value_name = "MEMBER=MS", allow_hyphen_values = true)]
    pub bias: Vec<String>,
    /// More of all these, from a TOML file with a list for each
    #[arg(long, value_name = "CHANGES.toml")]
    pub file: Option<PathBuf>,
    /// What clients are weighed by.
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
}

/// Simulates.
pub fn run(args: &SimulateArgs, out: &mut Out) -> Exit {
    let request = match request(args, out) {
        Ok(request) => request,
        Err(exit) => return exit,
    };
    let server = Server::of(args.folder.path(), out);
    out.progress("the server works it out");
    let reply = server.send("/v1/simulate", &request);
    out.progress_ends();
    let reply: SimulateReply = match reply {
        Ok(reply) => reply,
        Err(error) => return error.tell(out),
    };
    match out.wants_json() {
        true => out.schema(&reply),
        false => show(&reply, out),
    }
    Exit::Well
}

fn request(args: &SimulateArgs, out: &mut Out) -> Result<SimulateRequest, Exit> {
    let mut request = match &args.file {
        None => SimulateRequest::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
            let read = text.and_then(|text| {
                toml::from_str::<SimulateRequest>(&text).map_err(|error| error.to_string())
            });
            read.map_err(|error| {
                let hint = "it holds lists: down, up, degraded, drain, weight, failover, bias";
                out.error(format_args!("{}: {error}", path.display()), Some(hint));
                Exit::Usage
            })?
        }
    };
    request.down.extend(args.down.iter().cloned());
    request.up.extend(args.up.iter().cloned());
    request.degraded.extend(args.degraded.iter().cloned());
    request.drain.extend(args.drain.iter().cloned());
    request.weight.extend(args.weight.iter().cloned());
    request.failover.extend(args.failover.iter().cloned());
    request.bias.extend(args.bias.iter().cloned());
    request.weights = args.weights.read(out)?;
    Ok(request)
}

fn show(reply: &SimulateReply, out: &mut Out) {
    let head = format!("supposed: {}", reply.supposed.join(" · "));
    let head = out.paint(Paint::Strong, head);
    out.line(head);
    effect(&reply.effect, out);
    for waiting in &reply.waiting {
        let line = out.paint(Paint::Bad, format_args!("waits: {waiting}"));
        out.line(line);
    }
    if let Some(breaker) = &reply.breaker {
        out.line(self::breaker(breaker));
    }
    if let Some(detection) = reply.detection_secs {
        let detection = Duration::from_secs_f64(detection);
        let ttl = Duration::from_secs(reply.effect.ttl_secs.into());
        let held = match reply.breaker {
            Some(BreakerLine { holds: true, hold_secs, .. }) => Duration::from_secs(hold_secs),
            _ => Duration::ZERO,
        };
        let held_too = match held.is_zero() {
            true => String::new(),
            false => format!(" + {} held", short(held)),
        };
        out.line(format_args!(
            "noticed within {} (slowest check){held_too}, followed within {} (TTL): {} at worst",
            short(detection),
            short(ttl),
            short(detection + held + ttl)
        ));
    }
    reply.notes.iter().for_each(|note| out.line(note));
}

fn breaker(line: &BreakerLine) -> String {
    let BreakerLine { lost, groups, holds, hold_secs } = *line;
    let regions = count(groups, "region");
    match holds {
        true => format!(
            "breaker: {lost} of {regions} lost at once is more than it lets pass: held for {}, or \
             until `tradewind confirm --falls`",
            short(Duration::from_secs(hold_secs))
        ),
        false => format!("breaker: {lost} of {regions} lost; it lets that pass"),
    }
}
