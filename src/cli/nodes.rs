//! The servers for the same zones: this folder's own, and its `[server] peers`. A change goes to
//! all of them, each is reported, and where one fails the way back on the others is shown.
//!
//! The command line asks each itself, by names and tokens of the folder's files: a server here that
//! is down or stuck is one failure among others, and no reason for the rest not to hear of it.
//! There is no transaction over them: what one did and another did not is said, and how to finish
//! or undo it; what one may have done, too, and how to see. The folder's own is asked first, so that
//! nothing is begun that a safety rule forbids everywhere; the others then all at once, so that none
//! that is stuck holds up the rest.

use super::{
    Exit,
    folder::FolderArgs,
    hand::{refused, show},
    output::{Out, Paint},
    server::{Server, ServerError, section},
};
use crate::{
    admin::{
        peers::PeerDoor,
        schema::{
            SCHEMA_VERSION, Status,
            hand::{HandReply, HandRequest},
            node::{NodeFacts, PeerLine},
        },
    },
    config::peers::HERE,
    control::hand::words::quoted,
};
use clap::Args;
use serde::Serialize;
use std::{env, sync::mpsc, thread, time::Duration};

/// How often nodes are asked while somebody waits for all of them.
const LOOK: Duration = Duration::from_millis(200);
/// A peer that does not answer holds up nobody for longer.
const WITHIN: Duration = Duration::from_secs(10);
/// What an operator wants is done in milliseconds; past this a person looks instead of waiting.
const HAND_WITHIN: Duration = Duration::from_secs(15);

/// Which of the servers a change is for.
#[derive(Args, Clone, Debug, Default)]
pub struct NodeArgs {
    /// Only on this one of the servers for these zones: `here`, or a name under [server] peers
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
}

/// Which one of the servers is asked.
#[derive(Args, Clone, Debug)]
pub struct AtNodeArgs {
    /// Ask this one of the servers for these zones: a name under [server] peers
    #[arg(long, value_name = "NAME", default_value = HERE)]
    pub node: String,
}

/// One server.
pub(super) struct Node {
    name: String,
    server: Server,
}

impl NodeArgs {
    /// The servers a change is for, this folder's own first.
    pub(super) fn nodes(&self, folder: &FolderArgs, out: &mut Out) -> Result<Vec<Node>, Exit> {
        let mut nodes = all(folder);
        let Some(wanted) = &self.node else { return Ok(nodes) };
        let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
        nodes.retain(|node| node.name == *wanted);
        if nodes.is_empty() {
            let hint = format!("there are: {}", names.join(", "));
            out.error(format_args!("no server is called {wanted}"), Some(&hint));
            return Err(Exit::Usage);
        }
        Ok(nodes)
    }

    /// The one server that an order is for: the folder's own, unless said. Where there are several
    /// and it must be `chosen`, nothing said is an error.
    pub(super) fn one(
        &self,
        folder: &FolderArgs,
        chosen: bool,
        out: &mut Out,
    ) -> Result<Server, Exit> {
        let mut nodes = self.nodes(folder, out)?;
        if chosen && nodes.len() > 1 {
            let names: Vec<&str> = nodes.iter().map(|node| &*node.name).collect();
            let hint = format!("--node NAME, on each in turn: {}", names.join(", "));
            let said = "this runs on one server, and there are several for the same zones";
            out.error(said, Some(&hint));
            return Err(Exit::Usage);
        }
        Ok(nodes.swap_remove(0).server)
    }

    /// Whether the change is for the folder's own server, among others or not.
    pub(super) fn is_here(&self) -> bool {
        self.node.as_deref().is_none_or(|node| node == HERE)
    }
}

impl AtNodeArgs {
    /// That server.
    pub(super) fn node(&self, folder: &FolderArgs, out: &mut Out) -> Result<Node, Exit> {
        let wanted = NodeArgs { node: Some(self.node.clone()) };
        // One at least, by the name that is asked for.
        wanted.nodes(folder, out)?.pop().ok_or(Exit::Usage)
    }
}

/// All servers for the zones of `folder`, its own first.
pub(super) fn all(folder: &FolderArgs) -> Vec<Node> {
    let dir = folder.path();
    let here = Node { name: HERE.to_owned(), server: Server::of(dir) };
    let peers = section(dir).map(|section| section.peers).unwrap_or_default();
    let peers = peers.iter().map(|def| Node {
        name: def.name.get_ref().clone(),
        server: Server::peer(PeerDoor::new(dir, def)),
    });
    std::iter::once(here).chain(peers).collect()
}

impl Node {
    /// Has it do what `request` says.
    fn hand(&self, request: &HandRequest) -> Result<HandReply, ServerError> {
        self.server.clone().within(HAND_WITHIN).send("/v1/hand", request)
    }

    /// How it is asked.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Whether it is the folder's own.
    pub(super) fn is_here(&self) -> bool {
        self.name == HERE
    }

    /// A command `line` of its own, so that it is for it wherever it is typed.
    pub(super) fn with(&self, line: &str) -> String {
        match self.is_here() {
            true => line.to_owned(),
            false => format!("{line} --node {}", self.name),
        }
    }

    /// `lines` for this node alone.
    fn undo(&self, lines: &[String], folder: &FolderArgs) -> Vec<String> {
        let line = |line: &String| format!("{} --node {}", folder.with(line), self.name);
        lines.iter().map(line).collect()
    }

    /// Why it does not serve the files with this `hash`, if so.
    fn lacks(&self, hash: &str) -> Option<String> {
        let facts: NodeFacts = match self.server.get("/v1/node") {
            Ok(facts) => facts,
            Err(error) => return Some(error.to_string()),
        };
        let other = || format!("serves revision {} of its own, other files", facts.revision);
        (facts.content_hash != hash).then(other)
    }
}

/// What came of a change on one of several servers.
#[derive(Serialize)]
struct NodeOutcome {
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<HandReply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether it may have been done all the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unknown: bool,
}

/// The same of all of them.
#[derive(Serialize)]
struct Outcomes {
    schema_version: u32,
    nodes: Vec<NodeOutcome>,
    /// What undoes it where it was done.
    undo: Vec<String>,
}

/// Has `nodes` do what `request` says, the first one and then all others at once, and tells what came
/// of it on each as it comes; what the first one did comes back. `quiet` keeps what is no failure from
/// being told.
pub(super) fn hand(
    nodes: &[Node],
    request: &HandRequest,
    folder: &FolderArgs,
    quiet: bool,
    out: &mut Out,
) -> (Exit, Option<HandReply>) {
    let [first, others @ ..] = nodes else { return (Exit::Usage, None) };
    let said = first.hand(request);
    if others.is_empty() {
        return match said {
            Ok(mut reply) => {
                reply.undo = reply.undo.iter().map(|line| first.with(line)).collect();
                let exit = if quiet { Exit::Well } else { show::reply(&reply, folder, out) };
                (exit, Some(reply))
            }
            Err(error) => (refused(&error, out), None),
        };
    }
    // What the first one forbids nobody else is asked for.
    if let Err(error @ ServerError::Refused(..)) = &said {
        let exit = refused(error, out);
        out.complain(&format!("nothing was done: {} was asked first\n", first.name));
        return (exit, None);
    }
    let mut exit = tell(first, &said, folder, out);
    let mut outcomes = vec![(0, said)];
    let (teller, told) = mpsc::channel();
    thread::scope(|scope| {
        for (at, node) in nodes.iter().enumerate().skip(1) {
            let teller = teller.clone();
            // The other end is there until all have said something.
            scope.spawn(move || drop(teller.send((at, node.hand(request)))));
        }
        drop(teller);
        for (at, said) in told {
            exit = worse(exit, tell(&nodes[at], &said, folder, out));
            outcomes.push((at, said));
        }
    });
    outcomes.sort_unstable_by_key(|(at, _)| *at);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (at, said) in outcomes {
        match said {
            Ok(reply) => done.push((&nodes[at], reply)),
            Err(error) => failed.push((&nodes[at], error)),
        }
    }
    sum_up(&done, &failed, folder, quiet, out);
    (exit, done.into_iter().next().map(|(_, reply)| reply))
}

/// Tells people what came of it on `node`.
fn tell(
    node: &Node,
    said: &Result<HandReply, ServerError>,
    folder: &FolderArgs,
    out: &mut Out,
) -> Exit {
    if out.wants_json() {
        return said.as_ref().map_or_else(exit_of, show::exit);
    }
    let (paint, what) = match said {
        Ok(_) => (Paint::Strong, ""),
        Err(ServerError::Unanswered { .. }) => (Paint::Bad, " not known whether it was done"),
        Err(_) => (Paint::Bad, " not done"),
    };
    let head = out.paint(paint, format_args!("{}:{what}", node.name));
    out.line(head);
    match said {
        Ok(reply) => {
            let without = HandReply { undo: Vec::new(), ..reply.clone() };
            show::reply(&without, folder, out)
        }
        Err(error) => {
            refused(error, out);
            exit_of(error)
        }
    }
}

/// A failure before all, and of those the last.
fn worse(before: Exit, next: Exit) -> Exit {
    if next == Exit::Well { before } else { next }
}

/// Tells how to finish what was `done` on some and `failed` on others, and how to undo it.
fn sum_up(
    done: &[(&Node, HandReply)],
    failed: &[(&Node, ServerError)],
    folder: &FolderArgs,
    quiet: bool,
    out: &mut Out,
) {
    let undo = undo(done, folder, failed.is_empty());
    let is_unknown = |error: &ServerError| matches!(error, ServerError::Unanswered { .. });
    if out.wants_json() {
        let did = done.iter().map(|(node, reply)| NodeOutcome {
            node: node.name.clone(),
            reply: Some(reply.clone()),
            error: None,
            unknown: false,
        });
        let did_not = failed.iter().map(|(node, error)| NodeOutcome {
            node: node.name.clone(),
            reply: None,
            error: Some(error.to_string()),
            unknown: is_unknown(error),
        });
        let nodes = did.chain(did_not).collect();
        if !quiet {
            out.schema(&Outcomes { schema_version: SCHEMA_VERSION, nodes, undo });
        }
        return;
    }
    let (unknown, not_done): (Vec<_>, Vec<_>) =
        failed.iter().partition(|(_, error)| is_unknown(error));
    if !unknown.is_empty() {
        // To do it again blindly could do it twice: what counts is what stands there now.
        out.line("the servers may differ now. See whether it was done:");
        for (node, _) in unknown {
            let line = folder.with("tradewind overrides");
            out.line(format_args!("  {line} --node {}", node.name));
        }
    }
    if !not_done.is_empty() && !done.is_empty() {
        out.line("the servers differ now. To do it where it was not done:");
        for (node, _) in not_done {
            out.line(format_args!("  {} --node {}", typed(), node.name));
        }
    }
    if !failed.is_empty() && !done.is_empty() {
        out.line("or to undo it where it was:");
    }
    for line in undo {
        let margin = if failed.is_empty() { "undo: " } else { "  " };
        out.line(format_args!("{margin}{line}"));
    }
}

/// What undoes it where it was done: on all at once, where one line means the same on each of them.
fn undo(done: &[(&Node, HandReply)], folder: &FolderArgs, is_whole: bool) -> Vec<String> {
    let first = done.first().map(|(_, reply)| &reply.undo);
    // Numbers of overrides are each server's own.
    let is_one = |(_, reply): &(&Node, HandReply)| {
        Some(&reply.undo) == first && !reply.undo.iter().any(|line| line.contains("id:"))
    };
    match first {
        Some(lines) if is_whole && done.iter().all(is_one) => {
            lines.iter().map(|line| folder.with(line)).collect()
        }
        _ => done.iter().flat_map(|(node, reply)| node.undo(&reply.undo, folder)).collect(),
    }
}

fn exit_of(error: &ServerError) -> Exit {
    match error {
        ServerError::NotReachable { .. } | ServerError::Unanswered { .. } => Exit::NotReachable,
        ServerError::Refused(_, hyper::StatusCode::CONFLICT) => Exit::Conflict,
        ServerError::Refused(_, hyper::StatusCode::FORBIDDEN) => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// This very command line.
fn typed() -> String {
    let words = env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
    let words: Vec<String> = words.collect();
    format!("tradewind {}", words.join(" "))
}

/// Has each of `nodes` load files, by `load`, which tells what came of it; the worst of that. Files
/// are each server's own, so what one refuses says nothing of the next.
pub(super) fn files(nodes: &[Node], out: &mut Out, load: impl Fn(&Node, &mut Out) -> Exit) -> Exit {
    let mut worst = Exit::Well;
    for node in nodes {
        if nodes.len() > 1 && !out.wants_json() {
            let head = out.paint(Paint::Strong, format_args!("{}:", node.name));
            out.line(head);
        }
        let exit = load(node, out);
        if exit != Exit::Well {
            worst = exit;
        }
    }
    worst
}

/// How the peers of `folder` compare with its own server, into `status`.
pub(super) fn compare(folder: &FolderArgs, status: &mut Status) {
    let nodes = all(folder);
    let [here, peers @ ..] = &nodes[..] else { return };
    if peers.is_empty() {
        return;
    }
    let own: NodeFacts = match here.server.get("/v1/node") {
        Ok(own) => own,
        // It answered a moment ago: whatever it says of peers itself stays.
        Err(_) => return,
    };
    let lines = peers.iter().map(|peer| {
        let theirs = peer.server.clone().within(WITHIN).get::<NodeFacts>("/v1/node");
        PeerLine::new(&peer.name, &own, theirs.map_err(|error| error.to_string()))
    });
    status.peers = lines.collect();
}

/// Waits until all of `nodes` serve the files with this content `hash`, `limit` at most, and says
/// which do not. Revision numbers are each node's own: hashes are compared.
pub(super) fn wait(nodes: &[Node], hash: &str, limit: Duration, out: &mut Out) -> Exit {
    let mut looks = limit.as_millis() / LOOK.as_millis();
    let lacking = loop {
        let lacking: Vec<(&str, String)> =
            nodes.iter().filter_map(|node| Some((&*node.name, node.lacks(hash)?))).collect();
        if lacking.is_empty() || looks == 0 {
            break lacking;
        }
        out.progress(&format!("waiting for {} of {} nodes", lacking.len(), nodes.len()));
        looks -= 1;
        thread::sleep(LOOK);
    };
    out.progress_ends();
    if lacking.is_empty() {
        if !out.wants_json() {
            let short = hash.get(..12).unwrap_or(hash);
            out.line(format_args!("all {} nodes serve {short}", nodes.len()));
        }
        return Exit::Well;
    }
    for (name, why) in lacking {
        out.error(format_args!("{name}: {why}"), None);
    }
    Exit::Failed
}
