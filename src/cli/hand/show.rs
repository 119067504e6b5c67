//! What came of a wish, for people.

use crate::{
    admin::schema::hand::{HandReply, OverrideLine},
    cli::{
        Exit,
        folder::FolderArgs,
        forecast,
        output::{Out, Paint},
    },
    control::hand::words::{count, short},
};
use std::time::Duration;

/// How a command ends with `reply`. A proposal is a change that is pending.
pub(in crate::cli) fn exit(reply: &HandReply) -> Exit {
    match &reply.proposed {
        Some(_) if !reply.dry_run => Exit::Pending,
        _ => Exit::Well,
    }
}

/// Tells people what came of a wish, but for what undoes it.
pub(in crate::cli) fn lines(reply: &HandReply, folder: &FolderArgs, out: &mut Out) {
    headline(reply, folder, out);
    if let Some(made) = &reply.made {
        times(made, out);
    }
    for broken in &reply.broke {
        let (rule, record, message) = (&broken.rule, &broken.record, &broken.message);
        let line = format!("over safety rule {rule}: {record} {message}");
        let line = out.paint(Paint::Bad, line);
        out.line(line);
    }
    if reply.last_resort > 0 {
        let records = count(reply.last_resort, "record");
        let line = format!("leaves {records} with nothing that is up: answered by `all_down`");
        let line = out.paint(Paint::Bad, line);
        out.line(line);
    }
    if let Some(preview) = &reply.preview {
        forecast::preview(preview, out);
    }
    for note in &reply.notes {
        out.line(note);
    }
    if let Some(why) = &reply.not_kept {
        out.complain(&format!(
            "warning: it is in effect and not kept, so a restart of the server would lose it: {why}\n"
        ));
    }
}

fn headline(reply: &HandReply, folder: &FolderArgs, out: &mut Out) {
    let HandReply { said, swap, revision, .. } = reply;
    if reply.dry_run {
        let line = out.paint(Paint::Strong, format_args!("would do: {said}"));
        out.line(line);
        if let Some(proposed) = &reply.proposed {
            let rules = proposed.rules.join(", ");
            out.line(format_args!("{rules} wants a second person: it would wait for one"));
        }
        out.line("nothing was done (--dry-run)");
        return;
    }
    if let Some(proposed) = &reply.proposed {
        let rules = proposed.rules.join(", ");
        let line = format!("proposed as #{}, not in effect: {said}", proposed.id);
        let line = out.paint(Paint::Strong, line);
        out.line(line);
        out.line(format_args!(
            "{rules} wants a second person, who types until {}:",
            proposed.expires
        ));
        out.line(format_args!("  {}", folder.with(&proposed.confirm)));
        return;
    }
    let number = reply.made.as_ref().map(|made| format!("#{} ", made.id)).unwrap_or_default();
    let line = out.paint(Paint::Good, format_args!("{number}{said}"));
    out.line(line);
    let ttl = Duration::from_secs(reply.ttl_secs.into());
    let seen = match ttl.is_zero() {
        true => String::new(),
        false => format!("; resolvers follow within {} (TTL)", short(ttl)),
    };
    out.line(format_args!("revision {revision}, swap {swap}{seen}"));
}

fn times(made: &OverrideLine, out: &mut Out) {
    if let Some(starts) = &made.starts {
        out.line(format_args!("begins {starts}"));
    }
    if let Some(until) = &made.until {
        out.line(format_args!("ends by itself {until}"));
    }
    if !made.hides.is_empty() {
        out.line(format_args!("hides {}", numbers(&made.hides)));
    }
}

/// `#3, #5`.
pub(super) fn numbers(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("#{id}")).collect();
    ids.join(", ")
}
