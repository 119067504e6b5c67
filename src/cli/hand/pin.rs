//! `tradewind pin` and `unpin`: all automation frozen, also while no server answers.

use super::{HandArgs, Wanted, ask, is_common, show};
use crate::{
    admin::schema::hand::{HandReply, HandRequest},
    cli::{
        Exit, completions,
        folder::FolderArgs,
        nodes::{self, Node, Order},
        output::Out,
        server::ServerError,
        written::state_folder,
    },
    control::hand::pin,
};
use clap::Args;
use clap_complete::ArgValueCompleter;
use hyper::StatusCode;
use serde::Serialize;

const PIN_EXAMPLES: &str = "\
Examples:
  tradewind pin --reason \"the checker is lying\"
      No verdict, failover or ramp changes an answer from here on; operators' changes still do.
  touch state/PIN
      The same when nothing else works. This command makes that file by itself if no server answers;
      a server looks once a second, and before its first answer.

Where tradewind.toml does not say which servers there are, since it cannot be read, nothing is done;
--node here asks the one of this folder all the same.

Exit codes: 0 done · 1 the file cannot be made · 2 usage ·
3 tradewind.toml cannot be read · 6 a safety rule forbids it ·
10 proposed: a second person has to confirm it";

const UNPIN_EXAMPLES: &str = "\
Examples:
  tradewind unpin
      Takes every pin away, state/PIN too. What changed meanwhile takes effect at once.

Exit codes: 0 done · 1 nothing is pinned, or the file cannot be removed · 2 usage ·
3 tradewind.toml cannot be read · 5 no server answers and there is no file";

/// Freeze all automation.
#[derive(Args, Clone, Debug)]
#[command(after_help = PIN_EXAMPLES)]
pub struct PinArgs {
    /// When, why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

/// Let automation go on.
#[derive(Args, Clone, Debug)]
#[command(after_help = UNPIN_EXAMPLES)]
pub struct UnpinArgs {
    /// One of several pins: id:N
    #[arg(value_name = "ID", add = ArgValueCompleter::new(completions::overrides))]
    pub target: Option<String>,
    /// Why, who.
    #[command(flatten)]
    pub hand: HandArgs,
}

impl PinArgs {
    pub(super) fn request(&self) -> HandRequest {
        self.hand.request("pin", None)
    }
}

impl UnpinArgs {
    pub(super) fn request(&self) -> HandRequest {
        self.hand.request("unpin", self.target.as_deref())
    }
}

/// Pins: through the servers, or here with the file when none answers.
pub fn pin(args: &PinArgs, out: &mut Out) -> Exit {
    carry_out(&args.hand, &|node| pin_at(args, node), out)
}

/// Unpins, and removes the file.
pub fn unpin(args: &UnpinArgs, out: &mut Out) -> Exit {
    carry_out(&args.hand, &|node| unpin_at(args, node), out)
}

fn carry_out(hand: &HandArgs, ask: Ask<'_>, out: &mut Out) -> Exit {
    let nodes = match hand.node.nodes(&hand.folder, out) {
        Ok(nodes) => nodes,
        Err(exit) => return exit,
    };
    let nodes: Vec<&Node> = nodes.iter().collect();
    nodes::carry_out(&nodes, &Pinning(ask), &hand.folder, false, out).0
}

/// How one server is asked.
type Ask<'a> = &'a (dyn Fn(&Node) -> Result<Pinned, ServerError> + Sync);

/// What came of it at one server.
#[derive(Default, Serialize)]
struct Pinned {
    /// What became of the file, in lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    file: Vec<String>,
    /// What the server says, where one answers and has something to do.
    #[serde(flatten)]
    reply: Option<HandReply>,
    /// What undoes it, where only the file was made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undo: Vec<String>,
}

struct Pinning<'a>(Ask<'a>);

impl Order for Pinning<'_> {
    type Reply = Pinned;
    const LOOK: &'static str = Wanted::LOOK;

    fn ask(&self, node: &Node) -> Result<Pinned, ServerError> {
        self.0(node)
    }

    fn exit(&self, said: &Pinned) -> Exit {
        said.reply.as_ref().map_or(Exit::Well, show::exit)
    }

    fn is_done(&self, _: &Pinned) -> bool {
        true
    }

    fn show(&self, said: &Pinned, folder: &FolderArgs, out: &mut Out) {
        said.file.iter().for_each(|line| out.line(line));
        if let Some(reply) = &said.reply {
            show::lines(reply, folder, out);
        }
    }

    fn undo<'r>(&self, said: &'r mut Pinned) -> &'r mut Vec<String> {
        match &mut said.reply {
            Some(reply) => &mut reply.undo,
            None => &mut said.undo,
        }
    }

    fn is_common(&self, line: &str) -> bool {
        is_common(line)
    }
}

fn pin_at(args: &PinArgs, node: &Node) -> Result<Pinned, ServerError> {
    let hand = &args.hand;
    let error = match ask(node, &args.request()) {
        Ok(reply) => return Ok(Pinned { reply: Some(reply), ..Pinned::default() }),
        Err(error) => error,
    };
    let is_file_meant = node.is_here() && !hand.dry_run && hand.at.is_none();
    if !is_file_meant || !matches!(error, ServerError::NotReachable { .. }) {
        return Err(error);
    }
    let state = state_folder(hand.folder.path())?;
    let path = pin::path(&state).display().to_string();
    let who = hand.who.clone().or_else(|| std::env::var("USER").ok());
    let who = who.unwrap_or_else(|| "tradewind pin".to_owned());
    pin::pin(&state, &who, hand.reason.as_deref())
        .map_err(|error| ServerError::PinFile(format!("cannot make {path}: {error}")))?;
    let mut file = vec![
        format!("no server answers: made {path} instead"),
        "whatever runs or starts there is frozen until that file is gone".to_owned(),
    ];
    if hand.lasts.is_some() {
        file.push("it does not end by itself: --for needs a server".to_owned());
    }
    Ok(Pinned { file, reply: None, undo: vec!["tradewind unpin".to_owned()] })
}

fn unpin_at(args: &UnpinArgs, node: &Node) -> Result<Pinned, ServerError> {
    let hand = &args.hand;
    let mut file = Vec::new();
    if node.is_here() && !hand.dry_run && args.target.is_none() {
        let state = state_folder(hand.folder.path())?;
        let path = pin::path(&state).display().to_string();
        let removed = pin::unpin(&state);
        let removed = removed
            .map_err(|error| ServerError::PinFile(format!("cannot remove {path}: {error}")))?;
        file.extend(removed.then(|| format!("removed {path}")));
    }
    match ask(node, &args.request()) {
        Ok(reply) => Ok(Pinned { file, reply: Some(reply), undo: Vec::new() }),
        // The file was all there was.
        Err(ServerError::Refused(_, StatusCode::NOT_FOUND) | ServerError::NotReachable { .. })
            if !file.is_empty() =>
        {
            Ok(Pinned { file, ..Pinned::default() })
        }
        Err(error) => Err(error),
    }
}
