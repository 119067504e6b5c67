//! `tradewind audit`: who changed the server, from where and why; `audit verify`: that nobody
//! altered the list.

use super::{
    Exit,
    folder::FolderArgs,
    output::{Out, Paint},
    server::{Server, ServerError, encoded},
    table,
    written::state_folder,
};
use crate::{
    admin::schema::{
        SCHEMA_VERSION,
        audit::{AuditChain, AuditLine, AuditList, AuditVerdict},
    },
    config::parse_duration,
    control::{
        audit::chain::{Break, Hash, Link, Verifier},
        store::{self, StoreError},
    },
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  tradewind audit
      Every change that was asked for, oldest first: by whom, from where, why, what became of it.
  tradewind audit --since 1d --target region:us-east-1
      Those of the last day that are about that region.
  tradewind audit --who ana --json
      Ana's, with everything that is known of them, state before and after too.
  tradewind audit verify
      Recompute the chain of hashes; says where it breaks, if it does. Works without a server.

Dry runs are not listed, refusals are. What probes and failovers do by themselves is in
`tradewind events`.

Exit codes: 0 well · 1 the chain is broken · 5 no server answers";

const VERIFY_EXAMPLES: &str = "\
Examples:
  tradewind audit verify
      By the server's own list, or without a server by the state database in its state folder.
  tradewind audit verify --file /backup/state.redb
      By a copy.
  tradewind audit verify --contains 3f1c…
      Also that an entry with this hash is still there: the log has the hash of each. That is how
      a list shows which somebody wrote anew from some entry on, hashes and all.

Exit codes: 0 all entries follow from each other · 1 they do not, or the file cannot be read ·
5 no server answers, and one holds the file";

/// Who changed the server, from where and why.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct AuditArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Only what is not older than this: 1h, 7d
    #[arg(long, value_name = "AGO", value_parser = read_ago)]
    pub since: Option<String>,
    /// Only changes by whoever has this in their name
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    /// Only changes about what has this in its name
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Or check the list itself.
    #[command(subcommand)]
    pub verify: Option<AuditCommand>,
}

/// What else there is to do with the audit.
#[derive(Subcommand, Clone, Debug)]
pub enum AuditCommand {
    /// Recompute the chain of hashes, and say where it breaks.
    Verify(VerifyArgs),
}

/// Recompute the chain of hashes, and say where it breaks.
#[derive(Args, Clone, Debug)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct VerifyArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// This state database, whatever a server says
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Some entry must have this hash: one that was logged
    #[arg(long, value_name = "HASH", value_parser = read_hash)]
    pub contains: Option<Hash>,
}

fn read_ago(text: &str) -> Result<String, String> {
    parse_duration(text).map_err(|_| "say how long ago: 30s, 5m, 1h, 2d")?;
    Ok(text.to_owned())
}

fn read_hash(text: &str) -> Result<Hash, String> {
    Hash::parse(text).ok_or_else(|| "a hash is 64 hexadecimal digits".to_owned())
}

/// Lists who changed what, or checks that list.
pub fn run(args: &AuditArgs, out: &mut Out) -> Exit {
    match &args.verify {
        Some(AuditCommand::Verify(args)) => verify(args, out),
        None => list(args, out),
    }
}

fn list(args: &AuditArgs, out: &mut Out) -> Exit {
    let entries = match entries(&Server::of(args.folder.path(), out), args) {
        Ok(entries) => entries,
        Err(error) => return error.tell(out),
    };
    if out.wants_json() {
        out.schema(&AuditList::new(entries, None));
        return Exit::Well;
    }
    if entries.is_empty() {
        out.line("nobody changed anything");
        return Exit::Well;
    }
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    let bad = |row: usize| entries.get(row).filter(|one| one.outcome == "refused");
    let heads = ["", "at", "who", "from", "what", "outcome", "reason", "revision.swap"];
    table::print(&heads, &rows, |row| bad(row).map(|_| Paint::Bad), out);
    Exit::Well
}

/// Everything that is asked for, page by page.
fn entries(server: &Server, args: &AuditArgs) -> Result<Vec<AuditLine>, ServerError> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let mut query = format!("/v1/audit?after={after}");
        for (name, value) in [("since", &args.since), ("who", &args.who), ("target", &args.target)]
        {
            if let Some(value) = value {
                query += &format!("&{name}={}", encoded(value));
            }
        }
        let page: AuditList = server.get(&query)?;
        all.extend(page.entries);
        match page.more_after {
            Some(more) => after = more,
            None => return Ok(all),
        }
    }
}

fn row(line: &AuditLine) -> Vec<String> {
    let AuditLine { seq, before, after, .. } = line;
    let outcome = match &*line.outcome {
        "done" if line.rules.is_empty() => line.said.clone(),
        outcome => {
            let rules = line.rules.join(", ");
            let rules = if rules.is_empty() { rules } else { format!(" by {rules}") };
            format!("{outcome}{rules}: {}", line.said)
        }
    };
    vec![
        format!("#{seq}"),
        line.at.clone(),
        line.who.clone(),
        line.from.clone(),
        line.what.clone(),
        outcome,
        line.reason.clone().unwrap_or_default(),
        match before == after {
            true => format!("{}.{}", before.revision, before.swap),
            false => {
                format!("{}.{} → {}.{}", before.revision, before.swap, after.revision, after.swap)
            }
        },
    ]
}

/// Why a chain could not be judged.
enum Unjudged {
    Server(ServerError),
    Store(StoreError),
}

/// What judging comes to: the anchor, how far it went, and where it broke.
#[derive(Clone)]
struct Judged {
    anchor: Link,
    verifier: Verifier,
    broken: Option<Break>,
}

fn verify(args: &VerifyArgs, out: &mut Out) -> Exit {
    let judged = match &args.file {
        Some(file) => by_file(file, args.contains).map_err(Unjudged::Store),
        None => match by_server(&Server::of(args.folder.path(), out), args.contains) {
            Err(ServerError::NotReachable { .. }) => {
                let state = state_folder(args.folder.path()).map_err(Unjudged::Server);
                state.and_then(|state| {
                    by_file(&state.join(store::FILE), args.contains).map_err(Unjudged::Store)
                })
            }
            judged => judged.map_err(Unjudged::Server),
        },
    };
    match judged {
        Ok(judged) => tell(&judged, args.contains, out),
        Err(Unjudged::Server(error)) => error.tell(out),
        Err(Unjudged::Store(error @ StoreError::Locked { .. })) => {
            let hint = "the server that holds it does not answer on its control socket; judge a \
                        copy with --file";
            out.error(error, Some(hint));
            Exit::NotReachable
        }
        Err(Unjudged::Store(error)) => {
            out.error(error, None);
            Exit::Failed
        }
    }
}

fn by_server(server: &Server, wanted: Option<Hash>) -> Result<Judged, ServerError> {
    let garbled = || ServerError::Garbled("an end of the audit is no link".to_owned());
    let mut judged: Option<Judged> = None;
    loop {
        let after = judged.as_ref().map_or(0, |judged| judged.verifier.last().seq);
        let page: AuditChain = server.get(&format!("/v1/audit/chain?after={after}"))?;
        let link = |text: &str| Link::parse(text).ok_or_else(garbled);
        let (anchor, head) = (link(&page.anchor)?, link(&page.head)?);
        let judged = judged.get_or_insert_with(|| Judged {
            anchor,
            verifier: Verifier::after(anchor, wanted),
            broken: None,
        });
        for row in &page.rows {
            if let Err(broken) = judged.verifier.take(row.seq, &row.row) {
                judged.broken = Some(broken);
                break;
            }
        }
        if judged.broken.is_some() || page.rows.is_empty() {
            return Ok(ended(judged.clone(), head));
        }
    }
}

fn by_file(file: &std::path::Path, wanted: Option<Hash>) -> Result<Judged, StoreError> {
    let mut rows = Vec::new();
    let ends = store::read_file(file, &mut |seq, row| {
        rows.push((seq, row.to_owned()));
        true
    })?;
    let mut verifier = Verifier::after(ends.anchor, wanted);
    let broken = rows.iter().find_map(|(seq, row)| verifier.take(*seq, row).err());
    Ok(ended(Judged { anchor: ends.anchor, verifier, broken }, ends.head))
}

fn ended(mut judged: Judged, head: Link) -> Judged {
    if judged.broken.is_none() {
        judged.broken = judged.verifier.end(head).err();
    }
    judged
}

fn tell(judged: &Judged, wanted: Option<Hash>, out: &mut Out) -> Exit {
    let last = judged.verifier.last();
    let found = judged.verifier.found();
    let is_missed = wanted.is_some() && found.is_none();
    let whole = judged.broken.is_none() && !is_missed;
    let missed = || "no entry that is kept has the hash which was looked for".to_owned();
    let broken = judged.broken.as_ref().map(ToString::to_string);
    let broken = broken.or_else(|| is_missed.then(missed));
    let first = judged.anchor.seq + 1;
    if out.wants_json() {
        out.schema(&AuditVerdict {
            schema_version: SCHEMA_VERSION,
            whole,
            first,
            last: last.seq,
            hash: last.hash.to_string(),
            broken,
            contains: found,
        });
    } else {
        match broken {
            Some(broken) => {
                let line = out.paint(Paint::Bad, broken);
                out.line(line);
                if last.seq >= first {
                    out.line(format_args!(
                        "entries {first} to {} follow from each other",
                        last.seq
                    ));
                }
            }
            None if last.seq < first => out.line("there are no entries yet"),
            None => {
                let line = format!("entries {first} to {} follow from each other", last.seq);
                let line = out.paint(Paint::Good, line);
                out.line(line);
                out.line(format_args!("hash of the newest: {}", last.hash));
            }
        }
    }
    if whole { Exit::Well } else { Exit::Failed }
}
