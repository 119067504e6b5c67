//! The verbs with which an operator changes what a running server does: a file for those that
//! belong together, and here what all have in common: when, why, who, and how it is told.

pub mod confirm;
pub mod drain;
pub mod failover;
pub mod force;
pub mod hold;
pub mod overrides;
pub mod pin;
pub(super) mod show;
pub mod weight;

use super::{
    Exit,
    folder::FolderArgs,
    nodes::{self, Done, Node, NodeArgs, Order},
    output::Out,
    server::ServerError,
};
use crate::{
    admin::schema::hand::{HandReply, HandRequest},
    config::parse_duration,
    control::hand::command::Begins,
};
use clap::Args;
use std::{
    str::FromStr,
    time::{Duration, SystemTime},
};

/// What every verb takes.
#[derive(Args, Clone, Debug, Default)]
pub struct HandArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// End by itself after this time: 30m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub lasts: Option<Duration>,
    /// Begin then (UTC), or so much later: 2026-11-23T02:00Z, 02:00, +10m
    #[arg(long, value_name = "WHEN")]
    pub at: Option<When>,
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Go over safety rules; needs --reason, and is an alarm
    #[arg(long)]
    pub break_glass: bool,
    /// Only say what it would do, and who would move
    #[arg(long)]
    pub dry_run: bool,
    /// Who you are, where several share one user
    #[arg(long = "as", value_name = "NAME")]
    pub who: Option<String>,
    /// Take a target that matches nothing yet
    #[arg(long)]
    pub even_if_unknown: bool,
    /// On which server.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// When something is to begin, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// `+10m`.
    After(Duration),
    /// A time, with its day or without.
    At(String),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<When, String> {
        if let Some(delay) = text.strip_prefix('+') {
            return parse_duration(delay).map(When::After);
        }
        // The server's clock says which day is meant; here it is only read.
        Begins::at(text, SystemTime::UNIX_EPOCH).map(|_| When::At(text.to_owned()))
    }
}

impl HandArgs {
    /// The wish for `verb`.
    fn request(&self, verb: &str, target: Option<&str>) -> HandRequest {
        let (starts_in, at) = match &self.at {
            None => (None, None),
            Some(When::After(delay)) => (Some(*delay), None),
            Some(When::At(at)) => (None, Some(at.clone())),
        };
        HandRequest {
            verb: verb.to_owned(),
            target: target.map(str::to_owned),
            starts_in_ms: starts_in.map(ms),
            at,
            for_ms: self.lasts.map(ms),
            reason: self.reason.clone(),
            who: self.who.clone(),
            break_glass: self.break_glass,
            dry_run: self.dry_run,
            even_if_unknown: self.even_if_unknown,
            ..HandRequest::default()
        }
    }

    /// Has the servers do what `request` says, and tells what came of it.
    fn run(&self, request: &HandRequest, out: &mut Out) -> Exit {
        match self.node.nodes(&self.folder, out) {
            Ok(nodes) => self.tell(&nodes, request, false, out).0,
            Err(exit) => exit,
        }
    }

    /// The same of `nodes`; those that did it, and what they said. `quiet` keeps what is no failure
    /// from programs.
    fn tell<'n>(
        &self,
        nodes: &'n [Node],
        request: &HandRequest,
        quiet: bool,
        out: &mut Out,
    ) -> (Exit, Done<'n, HandReply>) {
        let nodes: Vec<&Node> = nodes.iter().collect();
        nodes::carry_out(&nodes, &Wanted(request), &self.folder, quiet, out)
    }
}

/// What an operator wants is done in milliseconds; past this a person looks instead of waiting.
const WITHIN: Duration = Duration::from_secs(15);

/// What an operator wants.
struct Wanted<'r>(&'r HandRequest);

impl Order for Wanted<'_> {
    type Reply = HandReply;
    const LOOK: &'static str = "tradewind overrides";

    fn ask(&self, node: &Node) -> Result<HandReply, ServerError> {
        ask(node, self.0)
    }

    fn exit(&self, reply: &HandReply) -> Exit {
        show::exit(reply)
    }

    fn is_done(&self, _: &HandReply) -> bool {
        true
    }

    fn show(&self, reply: &HandReply, folder: &FolderArgs, out: &mut Out) {
        show::lines(reply, folder, out);
    }

    fn undo<'r>(&self, reply: &'r mut HandReply) -> &'r mut Vec<String> {
        &mut reply.undo
    }

    fn is_common(&self, line: &str) -> bool {
        is_common(line)
    }
}

fn ask(node: &Node, request: &HandRequest) -> Result<HandReply, ServerError> {
    node.server().clone().within(WITHIN).send("/v1/hand", request)
}

/// Numbers of overrides are each server's own.
fn is_common(line: &str) -> bool {
    !line.contains("id:")
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
