//! The servers for the same zones: this folder's own, and its `[server] peers`. A change goes to
//! all of them (`order`), each is reported, and where one fails the way back on the others is shown.
//! Files are loaded where they are the same (`alike`), and may be waited for (`wait`).
//!
//! The command line asks each itself, by names and tokens of the folder's files: a server here that
//! is down or stuck is one failure among others, and no reason for the rest not to hear of it.

mod alike;
mod order;
mod wait;

pub(super) use alike::{Over, Stands, same_revision, short, stand};
pub(super) use order::{Done, Order, carry_out};
pub(super) use wait::wait;

use super::{
    Exit,
    folder::FolderArgs,
    output::Out,
    server::{Server, ServerError},
    written::Written,
};
use crate::{
    admin::{
        peers::PeerDoor,
        schema::{
            Status,
            node::{NodeFacts, PeerLine},
        },
    },
    config::{peers::HERE, server::ServerSection},
};
use clap::Args;
use std::{sync::mpsc, thread, time::Duration};

/// A peer that does not answer holds up nobody for longer.
const WITHIN: Duration = Duration::from_secs(10);

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
    /// Whether it is the only one for its zones.
    is_alone: bool,
}

impl NodeArgs {
    /// The servers a change is for, this folder's own first. Where it is not known which there are,
    /// one that is named is asked all the same, if there is a way to it.
    pub(super) fn nodes(&self, folder: &FolderArgs, out: &mut Out) -> Result<Vec<Node>, Exit> {
        let written = Written::of(folder.path());
        let Some(wanted) = &self.node else {
            let section = written.sound().map_err(|error| error.tell(out))?;
            return Ok(all(folder, section, true));
        };
        let is_sound = written.is_sound();
        let mut nodes = all(folder, written.warned(out), is_sound);
        let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
        nodes.retain(|node| node.name == *wanted);
        if nodes.is_empty() {
            let hint = format!("there are: {}", names.join(", "));
            out.error(format_args!("no server is called {wanted}"), Some(&hint));
            return Err(if is_sound { Exit::Usage } else { Exit::FilesInvalid });
        }
        Ok(nodes)
    }

    /// The one server that an order is for: the folder's own, unless said.
    pub(super) fn one(&self, folder: &FolderArgs, out: &mut Out) -> Result<Server, Exit> {
        let node = self.node.clone().unwrap_or_else(|| HERE.to_owned());
        AtNodeArgs { node }.node(folder, out).map(|node| node.server)
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

/// All servers for the zones of `folder` that its `section` says, its own first.
fn all(folder: &FolderArgs, section: ServerSection, is_sound: bool) -> Vec<Node> {
    let dir = folder.path();
    // Where a peer may be hidden, a line to type must say which server it is for.
    let is_alone = section.peers.is_empty() && is_sound;
    let here = Node { name: HERE.to_owned(), server: Server::written(dir, &section), is_alone };
    let peers = section.peers.iter().map(|def| Node {
        name: def.name.get_ref().clone(),
        server: Server::peer(PeerDoor::new(dir, def)),
        is_alone,
    });
    std::iter::once(here).chain(peers).collect()
}

/// What `ask` gets from each of `nodes`, asked all at once, in their order. `told` hears it as it
/// comes.
fn at_once<T: Send>(
    nodes: &[&Node],
    ask: impl Fn(&Node) -> T + Sync,
    mut told: impl FnMut(&Node, &T),
) -> Vec<T> {
    let (teller, said) = mpsc::channel();
    let mut all: Vec<(usize, T)> = thread::scope(|scope| {
        for (at, node) in nodes.iter().enumerate() {
            let (teller, ask) = (teller.clone(), &ask);
            // The other end is there until all have said something.
            scope.spawn(move || drop(teller.send((at, ask(node)))));
        }
        drop(teller);
        said.into_iter().inspect(|(at, said)| told(nodes[*at], said)).collect()
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, said)| said).collect()
}

impl Node {
    /// How it is asked.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the folder's own.
    pub(super) fn is_here(&self) -> bool {
        self.name == HERE
    }

    /// A command `line` of its own, so that it is for it and no other wherever it is typed.
    pub(super) fn with(&self, line: &str) -> String {
        match self.is_alone {
            true => line.to_owned(),
            false => format!("{line} --node {}", self.name),
        }
    }

    /// What it has in common with the others.
    fn facts(&self, within: Duration) -> Result<NodeFacts, ServerError> {
        self.server.clone().within(within).get("/v1/node")
    }
}

/// How the peers of `folder` compare with its own server, into `status`.
pub(super) fn compare(folder: &FolderArgs, status: &mut Status) {
    let nodes = all(folder, Written::of(folder.path()).section, true);
    let [here, peers @ ..] = &nodes[..] else { return };
    if peers.is_empty() {
        return;
    }
    // It answered a moment ago; if not any more, whatever it says of peers itself stays.
    let Ok(own) = here.facts(WITHIN) else { return };
    let peers: Vec<&Node> = peers.iter().collect();
    let theirs = at_once(&peers, |peer| peer.facts(WITHIN), |_, _| ());
    let lines = peers.iter().zip(theirs).map(|(peer, theirs)| {
        PeerLine::new(&peer.name, &own, theirs.map_err(|error| error.to_string()))
    });
    status.peers = lines.collect();
}
