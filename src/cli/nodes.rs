//! The servers that are to serve the same files: who has them, and who does not.

use super::{Exit, output::Out, server::Server};
use crate::admin::schema::RevisionLine;
use std::{thread, time::Duration};

/// How often nodes are asked.
const LOOK: Duration = Duration::from_millis(200);

/// One server.
pub(super) struct Node {
    name: String,
    server: Server,
}

impl Node {
    /// The one behind the control socket.
    pub fn here(server: Server) -> Node {
        Node { name: "this server".to_owned(), server }
    }

    /// Why it does not serve the files with this `hash`, if so.
    fn lacks(&self, hash: &str) -> Option<String> {
        let lines: Vec<RevisionLine> = match self.server.get("/v1/revisions") {
            Ok(lines) => lines,
            Err(error) => return Some(error.to_string()),
        };
        match lines.iter().find(|line| line.current) {
            Some(line) if line.hash == hash => None,
            Some(line) => {
                Some(format!("serves revision {} of its own, other files", line.revision))
            }
            None => Some("does not say which files it serves: the revision was not kept".into()),
        }
    }
}

/// Waits until all of `nodes` serve the files with this `hash`, `limit` at most, and says which do
/// not. Revision numbers are each node's own: hashes are compared.
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
