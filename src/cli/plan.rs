//! `tradewind plan`: what files would change against what a running server serves.

use super::{
    Exit,
    folder::FolderArgs,
    forecast,
    nodes::AtNodeArgs,
    output::{Out, Paint},
    weights::WeightsArgs,
};
use crate::{
    admin::schema::plan::{
        CapacityLine, DetailLine, EffectLine, FileText, ItemLine, PlanReply, PlanRequest, SignWord,
    },
    config::{Progress, Sources},
    control::hand::words::{count, short},
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

const EXAMPLES: &str = "\
Examples:
  tradewind plan
      What the files in the served folder would change, if they were loaded now: zones, records,
      pools, policies; and who would move, by region and country, how much further they would
      have it, which pool gets more than its capacity, which safety rule it would break.
  tradewind plan ./review -C /etc/tradewind
      The same for the files in another folder. They are sent to be looked at, not loaded.
  tradewind plan -o plan.json && tradewind apply plan.json
      Apply what was looked at and nothing else: refused if either side moved meanwhile.
  tradewind plan --node ns2
      What the files in that peer's folder would change there.
  tradewind plan --weights clients.csv
      Clients by your own measure: lines of `network,weight`.

Clients are weighed by the address space that the location data know (IPv6 apart), which is not
traffic; --weights observed weighs them by sampled queries for what changes, once there are a thousand.

Exit codes: 0 no changes · 3 the files have errors · 5 no server answers · 10 changes wait";

/// The most text that is sent: the server takes 64 MiB, and JSON escapes some of it.
const SENT_BYTES_MAX: u64 = 48 << 20;

/// Say what files would change, and for whom.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PlanArgs {
    /// The folder with the files [default: the one that is served]
    #[arg(value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// Write the plan there, for `tradewind apply`
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// What clients are weighed by.
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Of which server.
    #[command(flatten)]
    pub node: AtNodeArgs,
}

/// Plans.
pub fn run(args: &PlanArgs, out: &mut Out) -> Exit {
    let plan = match ask(args, out) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    if let Some(path) = &args.save
        && let Err(error) = save(path, &plan)
    {
        out.error(format_args!("cannot write {}: {error}", path.display()), None);
        return Exit::Failed;
    }
    match out.wants_json() {
        true => out.schema(&plan),
        false => {
            show(&plan, out);
            if let Some(path) = args.save.as_ref().filter(|_| plan.errors == 0) {
                out.line(format_args!("apply it: tradewind apply {}", path.display()));
            }
        }
    }
    exit(&plan)
}

fn exit(plan: &PlanReply) -> Exit {
    match (plan.errors, plan.changes) {
        (0, false) => Exit::Well,
        (0, true) => Exit::Pending,
        _ => Exit::FilesInvalid,
    }
}

fn ask(args: &PlanArgs, out: &mut Out) -> Result<PlanReply, Exit> {
    let weights = args.weights.read(out)?;
    let files = match &args.files {
        Some(dir) => Some(read(dir, out)?),
        None => None,
    };
    let node = args.node.node(&args.folder, out)?;
    out.progress("the server reads, compiles and compares the files");
    let reply = node.server().send("/v1/plan", &PlanRequest { files, weights });
    out.progress_ends();
    reply.map_err(|error| error.tell(out))
}

/// The files in `dir`, to be sent.
fn read(dir: &Path, out: &mut Out) -> Result<Vec<FileText>, Exit> {
    let sources = Sources::read(dir, &Progress::default()).map_err(|error| {
        out.error(error, None);
        Exit::FilesInvalid
    })?;
    let mut sent = Vec::new();
    let mut bytes = 0;
    for (path, file) in sources.files() {
        let text = match &file.content {
            Ok(content) => content.hold().ok_or_else(|| "it was changed meanwhile".into()),
            Err(why) => Err(why.clone()),
        };
        let held = text.map_err(|why| {
            out.error(format_args!("{}: {why}", path.display()), None);
            Exit::FilesInvalid
        })?;
        bytes += held.bytes();
        if bytes > SENT_BYTES_MAX {
            let hint = "copy them into the served folder, and plan that: `tradewind plan`";
            out.error(
                format_args!("{} holds more than 48 MiB of text to send", dir.display()),
                Some(hint),
            );
            return Err(Exit::Failed);
        }
        let since = file.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        sent.push(FileText {
            path: path.to_string_lossy().into_owned(),
            modified: since.as_secs(),
            text: held.text().unwrap_or_default().to_owned(),
        });
    }
    Ok(sent)
}

/// Writes `plan` beside its place and renames it, so that nobody applies half of it.
fn save(path: &Path, plan: &PlanReply) -> std::io::Result<()> {
    let beside = path.with_extension("part");
    let text = serde_json::to_string_pretty(plan).map_err(std::io::Error::other)?;
    std::fs::write(&beside, text + "\n")?;
    std::fs::rename(&beside, path)
}

/// A plan, for people.
pub(super) fn show(plan: &PlanReply, out: &mut Out) {
    if plan.errors > 0 {
        out.complain(&plan.rendered);
        let errors = count(plan.errors, "error");
        let line = out.paint(Paint::Bad, format_args!("{errors}: there is no plan of such files"));
        out.line(line);
        return;
    }
    if !plan.changes {
        let revision = plan.base_revision;
        out.line(format_args!("no changes: the files are those of revision {revision}"));
        return;
    }
    let warnings = plan.problems.len();
    if warnings > 0 {
        let warnings = count(warnings, "warning");
        out.complain(&format!("{warnings}: `tradewind check` shows them\n"));
    }
    plan.items.iter().for_each(|item| self::item(item, out));
    if plan.more > 0 {
        out.line(format_args!("  and {} more", plan.more));
    }
    if plan.items.is_empty() {
        let files: Vec<&str> = plan.files.iter().map(|file| &*file.path).collect();
        out.line(format_args!("nothing that is answered; other texts in {}", files.join(", ")));
    }
    out.line("");
    let heading = out.paint(Paint::Strong, "effect");
    out.line(heading);
    effect(&plan.effect, out);
    out.line("");
    let PlanReply { added, changed, removed, base_revision, .. } = plan;
    let line = format!(
        "Plan: {added} to add, {changed} to change, {removed} to remove. \
         Base revision {base_revision}."
    );
    let line = out.paint(Paint::Strong, line);
    out.line(line);
}

fn item(item: &ItemLine, out: &mut Out) {
    let others = match item.others {
        0 => String::new(),
        n => format!("  and {n} more alike"),
    };
    let head = format!("{} {} {}{others}", sign(item.sign), item.kind, item.name);
    let head = out.paint(paint(item.sign), head);
    out.line(head);
    for DetailLine { sign, text } in &item.details {
        let line = out.paint(paint(*sign), format_args!("    {} {text}", self::sign(*sign)));
        out.line(line);
    }
}

fn sign(sign: SignWord) -> char {
    match sign {
        SignWord::Added => '+',
        SignWord::Changed => '~',
        SignWord::Removed => '-',
    }
}

fn paint(sign: SignWord) -> Paint {
    match sign {
        SignWord::Added => Paint::Good,
        SignWord::Changed => Paint::Strong,
        SignWord::Removed => Paint::Bad,
    }
}

/// What would follow for clients, for people.
pub(super) fn effect(effect: &EffectLine, out: &mut Out) {
    let EffectLine { preview, gone, capacity, broke, ttl_secs } = effect;
    forecast::preview(preview, out);
    if *gone > 0 {
        let records = count(*gone, "record");
        let line = format!("{records} removed: clients get what is left at the name, or NXDOMAIN");
        let line = out.paint(Paint::Bad, line);
        out.line(line);
    }
    for CapacityLine { pool, record, share, limit, over } in capacity {
        let (before, after) = (forecast::percent(share.before), forecast::percent(share.after));
        let (limit, word) = (forecast::percent(*limit), if *over { "over" } else { "within" });
        let line = format!("capacity {pool}: {before} -> {after} of {record}, {word} its {limit}");
        let line = if *over { out.paint(Paint::Bad, line) } else { line };
        out.line(line);
    }
    for broken in broke {
        let others = match broken.others {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let (rule, record, message) = (&broken.rule, &broken.record, &broken.message);
        let line = format!("breaks safety rule {rule}: {record}{others} {message}");
        let line = out.paint(Paint::Bad, line);
        out.line(line);
    }
    if *ttl_secs > 0 {
        let ttl = short(Duration::from_secs((*ttl_secs).into()));
        out.line(format_args!("resolvers follow within {ttl} (TTL)"));
    }
}
