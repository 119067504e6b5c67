//! What came of a wish, for people.

use crate::{
    admin::schema::hand::{FlowLine, HandReply, OverrideLine, PreviewLine},
    cli::{
        Exit,
        folder::FolderArgs,
        output::{Out, Paint},
    },
    control::hand::words::{count, quoted, short},
};
use std::time::Duration;

/// Records of a preview that are shown one by one.
const RECORDS_SHOWN: usize = 5;
/// Flows that are shown.
const FLOWS_SHOWN: usize = 10;

/// Tells what came of a wish. A proposal is a change that is pending.
pub(super) fn reply(reply: &HandReply, folder: &FolderArgs, out: &mut Out) -> Exit {
    let exit = match &reply.proposed {
        Some(_) if !reply.done => Exit::Pending,
        _ => Exit::Well,
    };
    if out.wants_json() {
        let mut reply = reply.clone();
        reply.undo = reply.undo.iter().map(|line| with_folder(line, folder)).collect();
        out.schema(&reply);
        return exit;
    }
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
        self::preview(preview, out);
    }
    for note in &reply.notes {
        out.line(note);
    }
    for line in &reply.undo {
        out.line(format_args!("undo: {}", with_folder(line, folder)));
    }
    exit
}

fn headline(reply: &HandReply, folder: &FolderArgs, out: &mut Out) {
    let HandReply { said, swap, revision, .. } = reply;
    if let Some(proposed) = &reply.proposed {
        let rules = proposed.rules.join(", ");
        let line = format!("proposed as #{}, not in effect: {said}", proposed.id);
        let line = out.paint(Paint::Strong, line);
        out.line(line);
        out.line(format_args!(
            "{rules} wants a second person, who types until {}:",
            proposed.expires
        ));
        out.line(format_args!("  {}", with_folder(&proposed.confirm, folder)));
        return;
    }
    if !reply.done {
        let line = out.paint(Paint::Strong, format_args!("would do: {said}"));
        out.line(line);
        out.line("nothing was done (--dry-run)");
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

/// Who would move.
pub(in crate::cli) fn preview(preview: &PreviewLine, out: &mut Out) {
    let PreviewLine { by, records, moved, flows, countries, by_record } = preview;
    if flows.is_empty() {
        out.line(format_args!("no client of {} would move", count(*records, "record")));
        return;
    }
    out.line(format_args!(
        "{} of the clients of {} would move (by {by}, not by traffic):",
        percent(*moved),
        count(*records, "record")
    ));
    for flow in flows.iter().take(FLOWS_SHOWN) {
        out.line(format_args!("  {:>7}  {}", percent(flow.share), way(flow)));
    }
    let named = countries.iter().map(|line| {
        let country = line.country.as_deref().unwrap_or("??");
        format!("{country} {}", percent(line.share))
    });
    let named: Vec<String> = named.collect();
    out.line(format_args!("  from {}", named.join(", ")));
    if by_record.len() > 1 {
        for record in by_record.iter().take(RECORDS_SHOWN) {
            let others = match record.others {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            out.line(format_args!("  {:>7}  of {}{others}", percent(record.moved), record.record));
        }
    }
}

fn way(flow: &FlowLine) -> String {
    let place = |region: &Option<String>, pool: &str| match (region, pool) {
        (_, "") => "an empty answer".to_owned(),
        (Some(region), pool) => format!("{region} ({pool})"),
        (None, pool) => pool.to_owned(),
    };
    let from = place(&flow.from_region, &flow.from_pool);
    format!("{from} -> {}", place(&flow.to_region, &flow.to_pool))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `line` for the folder this command was given.
fn with_folder(line: &str, folder: &FolderArgs) -> String {
    match &folder.dir {
        Some(dir) => format!("{line} -C {}", quoted(&dir.to_string_lossy())),
        None => line.to_owned(),
    }
}
