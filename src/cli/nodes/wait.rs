//! Waiting until servers serve the same files.

use super::{Node, WITHIN, at_once, short};
use crate::{
    cli::{Exit, output::Out},
    clock::{Clock, SystemClock},
};
use std::{thread, time::Duration};

/// How often nodes are asked while somebody waits for all of them.
const LOOK: Duration = Duration::from_millis(200);
/// What any of them is given to answer at least, however little time is left.
const LEAST: Duration = Duration::from_secs(1);

/// Waits until all of `nodes` serve the files with this content `hash`, `limit` at most, and says
/// which do not. Revision numbers are each node's own: hashes are compared.
pub(in crate::cli) fn wait(nodes: &[&Node], hash: &str, limit: Duration, out: &mut Out) -> Exit {
    let clock = SystemClock::default();
    let until = clock.now().after(limit);
    let lacking = loop {
        let left = until.since(clock.now());
        // One that is stuck must not hold up whoever waits for longer than was said.
        let within = left.clamp(LEAST, WITHIN);
        let lacks = at_once(nodes, |node| node.lacks(hash, within), |_, _| ());
        let lacking: Vec<(&str, String)> =
            nodes.iter().zip(lacks).filter_map(|(node, why)| Some((&*node.name, why?))).collect();
        if lacking.is_empty() || clock.now() >= until {
            break lacking;
        }
        out.progress(&format!("waiting for {} of {} nodes", lacking.len(), nodes.len()));
        thread::sleep(LOOK);
    };
    out.progress_ends();
    if lacking.is_empty() {
        if !out.wants_json() {
            out.line(format_args!("all {} nodes serve {}", nodes.len(), short(hash)));
        }
        return Exit::Well;
    }
    for (name, why) in lacking {
        out.error(format_args!("{name}: {why}"), None);
    }
    Exit::Failed
}

impl Node {
    /// Why it does not serve the files with this `hash`, if so.
    fn lacks(&self, hash: &str, within: Duration) -> Option<String> {
        let facts = match self.facts(within) {
            Ok(facts) => facts,
            Err(error) => return Some(error.to_string()),
        };
        let other = || format!("serves revision {} of its own, other files", facts.revision);
        (facts.content_hash != hash).then(other)
    }
}
