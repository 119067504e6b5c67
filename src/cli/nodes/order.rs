//! A change on one server or several, and what came of it on each.
//!
//! There is no transaction over servers: what one did and another did not is said, and how to finish
//! or undo it; what one may have done, too, and how to see. The first is asked first, so that
//! nothing is begun that it forbids; the others then all at once, so that none that is stuck holds
//! up the rest.

use super::{Node, at_once};
use crate::{
    admin::schema::SCHEMA_VERSION,
    cli::{
        Exit,
        folder::FolderArgs,
        output::{Out, Paint},
        server::ServerError,
    },
    control::hand::words::quoted,
};
use serde::Serialize;
use std::env;

/// Something that servers are told to do.
pub(in crate::cli) trait Order: Sync {
    /// What one says of it.
    type Reply: Serialize + Send;
    /// The command that shows whether it was done, where a server did not say.
    const LOOK: &'static str;

    /// Has `node` do it.
    fn ask(&self, node: &Node) -> Result<Self::Reply, ServerError>;

    /// How a command ends with `reply`.
    fn exit(&self, reply: &Self::Reply) -> Exit;

    /// Whether it was done. If the first says no, nobody else is asked.
    fn is_done(&self, reply: &Self::Reply) -> bool;

    /// Tells people what came of it, but for what undoes it.
    fn show(&self, reply: &Self::Reply, folder: &FolderArgs, out: &mut Out);

    /// What undoes it where it was done.
    fn undo<'r>(&self, reply: &'r mut Self::Reply) -> &'r mut Vec<String>;

    /// Whether a line that undoes it means the same to every server.
    fn is_common(&self, line: &str) -> bool;
}

/// What came of a change on one of several servers.
#[derive(Serialize)]
struct NodeOutcome<'o, R> {
    node: &'o str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'o R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether it may have been done all the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unknown: bool,
}

/// The same of all of them.
#[derive(Serialize)]
struct Outcomes<'o, R> {
    schema_version: u32,
    nodes: Vec<NodeOutcome<'o, R>>,
    /// What undoes it where it was done.
    undo: Vec<String>,
}

/// What one server said.
type Said<R> = Result<R, ServerError>;

/// Those that did it, and what they said.
pub(in crate::cli) type Done<'n, R> = Vec<(&'n Node, R)>;

/// Has `nodes` do what `order` says and tells what came of it on each as it comes; those that did
/// it come back with what they said. `quiet` keeps what is no failure from programs.
pub(in crate::cli) fn carry_out<'n, O: Order>(
    nodes: &[&'n Node],
    order: &O,
    folder: &FolderArgs,
    quiet: bool,
    out: &mut Out,
) -> (Exit, Done<'n, O::Reply>) {
    let [first, others @ ..] = nodes else { return (Exit::Usage, Vec::new()) };
    let said = order.ask(first);
    if others.is_empty() {
        return alone(first, said, order, folder, quiet, out);
    }
    let is_refused = match &said {
        Ok(reply) => !order.is_done(reply),
        Err(error) => matches!(error, ServerError::Refused(..)),
    };
    let exit = tell(first, &said, order, folder, out);
    let mut all = vec![said];
    if is_refused {
        if out.wants_json() {
            show_all(nodes, &all, Vec::new(), out);
        }
        out.complain(&format!("nothing was done: {} was asked first\n", first.name));
        return (exit, Vec::new());
    }
    let told = |node: &Node, said: &Said<O::Reply>| {
        tell(node, said, order, folder, out);
    };
    all.extend(at_once(others, |node| order.ask(node), told));
    let exit = worst(&all, order);
    sum_up(nodes, &mut all, order, folder, quiet, out);
    let said = nodes.iter().zip(all);
    let done = said.filter_map(|(node, said)| Some((*node, said.ok()?)));
    (exit, done.filter(|(_, reply)| order.is_done(reply)).collect())
}

/// The same on one server.
fn alone<'n, O: Order>(
    node: &'n Node,
    said: Said<O::Reply>,
    order: &O,
    folder: &FolderArgs,
    quiet: bool,
    out: &mut Out,
) -> (Exit, Done<'n, O::Reply>) {
    let mut reply = match said {
        Ok(reply) => reply,
        Err(error) => return (error.tell(out), Vec::new()),
    };
    let undo = order.undo(&mut reply);
    *undo = undo.iter().map(|line| node.with(&folder.with(line))).collect();
    let undo = undo.clone();
    match out.wants_json() {
        true if quiet => {}
        true => out.schema(&reply),
        false => {
            order.show(&reply, folder, out);
            undo.iter().for_each(|line| out.line(format_args!("undo: {line}")));
        }
    }
    (order.exit(&reply), vec![(node, reply)])
}

/// Tells people what came of it on `node`.
fn tell<O: Order>(
    node: &Node,
    said: &Said<O::Reply>,
    order: &O,
    folder: &FolderArgs,
    out: &mut Out,
) -> Exit {
    if out.wants_json() {
        return exit_of(said, order);
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
            order.show(reply, folder, out);
            order.exit(reply)
        }
        Err(error) => error.tell(out),
    }
}

/// How it ends where `all` was said, in the order of the servers: as the first that failed.
fn worst<O: Order>(all: &[Said<O::Reply>], order: &O) -> Exit {
    let exits = all.iter().map(|said| exit_of(said, order));
    exits.into_iter().find(|exit| *exit != Exit::Well).unwrap_or(Exit::Well)
}

fn exit_of<O: Order>(said: &Said<O::Reply>, order: &O) -> Exit {
    said.as_ref().map_or_else(ServerError::exit, |reply| order.exit(reply))
}

/// Tells how to finish what was done on some of `nodes` and not on others, and how to undo it.
fn sum_up<O: Order>(
    nodes: &[&Node],
    all: &mut [Said<O::Reply>],
    order: &O,
    folder: &FolderArgs,
    quiet: bool,
    out: &mut Out,
) {
    let (mut done, mut failed, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (node, said) in nodes.iter().zip(all.iter_mut()) {
        match said {
            Ok(reply) if order.is_done(reply) => done.push((*node, order.undo(reply).clone())),
            Err(ServerError::Unanswered { .. }) => unknown.push(node),
            _ => failed.push(node),
        }
    }
    let is_whole = failed.is_empty() && unknown.is_empty();
    let undo = undo(&done, order, folder, is_whole);
    if out.wants_json() {
        if !quiet {
            show_all(nodes, all, undo, out);
        }
        return;
    }
    if !unknown.is_empty() {
        // To do it again blindly could do it twice: what counts is what stands there now.
        out.line("the servers may differ now. See whether it was done:");
        unknown.iter().for_each(|node| {
            out.line(format_args!("  {}", node.with(&folder.with(O::LOOK))));
        });
    }
    if !failed.is_empty() && !done.is_empty() {
        out.line("the servers differ now. To do it where it was not done:");
        failed.iter().for_each(|node| out.line(format_args!("  {}", node.with(&typed()))));
    }
    if !is_whole && !undo.is_empty() {
        out.line("or to undo it where it was:");
    }
    for line in undo {
        let margin = if is_whole { "undo: " } else { "  " };
        out.line(format_args!("{margin}{line}"));
    }
}

/// Tells programs what came of it on those of `nodes` that were asked.
fn show_all<R: Serialize>(nodes: &[&Node], all: &[Said<R>], undo: Vec<String>, out: &mut Out) {
    let outcomes = nodes.iter().zip(all).map(|(node, said)| NodeOutcome {
        node: &node.name,
        reply: said.as_ref().ok(),
        error: said.as_ref().err().map(ToString::to_string),
        unknown: matches!(said, Err(ServerError::Unanswered { .. })),
    });
    let nodes = outcomes.collect();
    out.schema(&Outcomes { schema_version: SCHEMA_VERSION, nodes, undo });
}

/// What undoes it where it was done: on all at once, where one line means the same on each of them.
fn undo<O: Order>(
    done: &[(&Node, Vec<String>)],
    order: &O,
    folder: &FolderArgs,
    is_whole: bool,
) -> Vec<String> {
    let first = done.first().map(|(_, lines)| lines);
    let is_one = |(_, lines): &(&Node, Vec<String>)| {
        Some(lines) == first && lines.iter().all(|line| order.is_common(line))
    };
    match first {
        Some(lines) if is_whole && done.iter().all(is_one) => {
            lines.iter().map(|line| folder.with(line)).collect()
        }
        _ => done
            .iter()
            .flat_map(|(node, lines)| lines.iter().map(|line| node.with(&folder.with(line))))
            .collect(),
    }
}

/// This very command line.
fn typed() -> String {
    let words = env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
    let words: Vec<String> = words.collect();
    format!("tradewind {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::StatusCode;

    struct Nothing;

    impl Order for Nothing {
        type Reply = ();
        const LOOK: &'static str = "";

        fn ask(&self, _: &Node) -> Result<(), ServerError> {
            Ok(())
        }

        fn exit(&self, (): &()) -> Exit {
            Exit::Well
        }

        fn is_done(&self, (): &()) -> bool {
            true
        }

        fn show(&self, (): &(), _: &FolderArgs, _: &mut Out) {}

        fn undo<'r>(&self, (): &'r mut ()) -> &'r mut Vec<String> {
            unreachable!("nothing is undone here")
        }

        fn is_common(&self, _: &str) -> bool {
            true
        }
    }

    #[test]
    fn a_command_ends_as_the_first_server_in_order_that_failed() {
        let refused = |status| Err(ServerError::Refused(Box::default(), status));
        let garbled = || Err(ServerError::Garbled(String::new()));
        let exit = |all: &[Said<()>]| worst(all, &Nothing);
        assert_eq!(exit(&[Ok(()), Ok(())]), Exit::Well);
        assert_eq!(exit(&[Ok(()), refused(StatusCode::CONFLICT), garbled()]), Exit::Conflict);
        assert_eq!(exit(&[Ok(()), garbled(), refused(StatusCode::CONFLICT)]), Exit::Failed);
        assert_eq!(exit(&[refused(StatusCode::BAD_REQUEST), garbled()]), Exit::Usage);
    }
}
