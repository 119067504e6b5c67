//! `tradewind pin` and `unpin`: all automation frozen, also while no server answers.

use super::{HandArgs, refused, show};
use crate::{
    admin::schema::hand::{HandReply, HandRequest},
    cli::{
        Exit, completions,
        output::Out,
        server::{ServerError, state_folder},
    },
    control::hand::pin,
};
use clap::Args;
use clap_complete::ArgValueCompleter;

const PIN_EXAMPLES: &str = "\
Examples:
  tradewind pin --reason \"the checker is lying\"
      No verdict, failover or ramp changes an answer from here on; operators' changes still do.
  touch state/PIN
      The same when nothing else works. This command makes that file by itself if no server answers;
      a server looks once a second, and before its first answer.

Exit codes: 0 done · 1 the file cannot be made · 2 usage · 6 a safety rule forbids it ·
10 proposed: a second person has to confirm it";

const UNPIN_EXAMPLES: &str = "\
Examples:
  tradewind unpin
      Takes every pin away, state/PIN too. What changed meanwhile takes effect at once.

Exit codes: 0 done · 1 nothing is pinned, or the file cannot be removed · 2 usage ·
5 no server answers and there is no file";

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

/// Pins: through the server, or with the file when it does not answer.
pub fn pin(args: &PinArgs, out: &mut Out) -> Exit {
    let hand = &args.hand;
    let request = args.request();
    also(hand, &request, out, |out| pin_here(args, out))
}

/// What `here` does on this folder's server, if it is meant, then on the others what `request` says.
fn also(
    hand: &HandArgs,
    request: &HandRequest,
    out: &mut Out,
    here: impl FnOnce(&mut Out) -> Exit,
) -> Exit {
    let nodes = match hand.node.nodes(&hand.folder, out) {
        Ok(nodes) => nodes,
        Err(exit) => return exit,
    };
    if !hand.node.is_here() {
        return hand.tell(&nodes, request, false, out).0;
    }
    let exit = here(out);
    let others = nodes.get(1..).unwrap_or_default();
    if others.is_empty() || exit != Exit::Well {
        return exit;
    }
    hand.tell(others, request, false, out).0
}

fn pin_here(args: &PinArgs, out: &mut Out) -> Exit {
    let hand = &args.hand;
    match hand.server().send::<HandReply>("/v1/hand", &args.request()) {
        Ok(reply) => show::reply(&reply, &hand.folder, out),
        Err(ServerError::NotReachable { .. }) if !hand.dry_run && hand.at.is_none() => {
            let state = state_folder(hand.folder.path());
            let who = hand.who.clone().or_else(|| std::env::var("USER").ok());
            let who = who.unwrap_or_else(|| "tradewind pin".to_owned());
            match pin::pin(&state, &who, hand.reason.as_deref()) {
                Ok(()) => {
                    let path = pin::path(&state);
                    out.line(format_args!("no server answers: made {} instead", path.display()));
                    out.line("whatever runs or starts there is frozen until that file is gone");
                    if hand.lasts.is_some() {
                        out.line("it does not end by itself: --for needs a server");
                    }
                    out.line("undo: tradewind unpin");
                    Exit::Well
                }
                Err(error) => {
                    let path = pin::path(&state);
                    out.error(format_args!("cannot make {}: {error}", path.display()), None);
                    Exit::Failed
                }
            }
        }
        Err(error) => refused(&error, out),
    }
}

/// Unpins, and removes the file.
pub fn unpin(args: &UnpinArgs, out: &mut Out) -> Exit {
    also(&args.hand, &args.request(), out, |out| unpin_here(args, out))
}

fn unpin_here(args: &UnpinArgs, out: &mut Out) -> Exit {
    let hand = &args.hand;
    let state = state_folder(hand.folder.path());
    let removed = match hand.dry_run || args.target.is_some() {
        true => Ok(false),
        false => pin::unpin(&state),
    };
    let path = pin::path(&state);
    match &removed {
        Ok(true) if !out.wants_json() => out.line(format_args!("removed {}", path.display())),
        Ok(_) => {}
        Err(error) => {
            out.error(format_args!("cannot remove {}: {error}", path.display()), None);
            return Exit::Failed;
        }
    }
    let was_file = matches!(removed, Ok(true));
    match hand.server().send::<HandReply>("/v1/hand", &args.request()) {
        Ok(reply) => show::reply(&reply, &hand.folder, out),
        // The file was all there was.
        Err(ServerError::Refused(_, status)) if was_file && status.as_u16() == 404 => Exit::Well,
        Err(ServerError::NotReachable { .. }) if was_file => Exit::Well,
        Err(error) => refused(&error, out),
    }
}
