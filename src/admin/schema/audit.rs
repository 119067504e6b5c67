//! What `tradewind audit` shows: who changed the server, and the chain that binds it.

use super::{SCHEMA_VERSION, time};
use crate::control::audit::{
    Entry, Side,
    chain::{Hash, Link},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/audit`: entries, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Those that were asked for.
    pub entries: Vec<AuditLine>,
    /// Where the next page begins, if there is more: `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_after: Option<u64>,
}

/// One change that somebody asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditLine {
    /// Its number.
    pub seq: u64,
    /// SHA-256 of it and all before.
    pub hash: String,
    /// When.
    pub at: String,
    /// Who.
    pub who: String,
    /// From where.
    pub from: String,
    /// The command.
    pub what: String,
    /// What it is about.
    pub target: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// `done`, `proposed` or `refused`.
    pub outcome: String,
    /// The same in a sentence.
    pub said: String,
    /// The safety rules that refused it, want a second person, or that it went over.
    pub rules: Vec<String>,
    /// How things stood before.
    pub before: SideLine,
    /// How they stood after.
    pub after: SideLine,
}

/// How the server stands on one side of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SideLine {
    /// The revision of the files in force.
    pub revision: u64,
    /// The World.
    pub swap: u64,
    /// What of the operators' changes it is about, in words.
    pub state: Vec<String>,
}

/// `GET /v1/audit/chain`: entries as they are kept, to recompute their hashes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditChain {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The last entry before the oldest that is kept: `SEQ HASH`.
    pub anchor: String,
    /// The newest entry: `SEQ HASH`.
    pub head: String,
    /// Rows in order; the next page begins after the last of them.
    pub rows: Vec<AuditRow>,
}

/// An entry as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditRow {
    /// Its number.
    pub seq: u64,
    /// `HASH TEXT`, where HASH is the SHA-256 of the hash before, a line end and TEXT.
    pub row: String,
}

/// `tradewind audit verify`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whether nothing was altered, taken out or put in, as far as the chain shows.
    pub whole: bool,
    /// The first entry that is kept.
    pub first: u64,
    /// The last one that follows from those before.
    pub last: u64,
    /// Its hash.
    pub hash: String,
    /// Where it breaks.
    pub broken: Option<String>,
    /// The entry that has the hash which was looked for with `--contains`.
    pub contains: Option<u64>,
}

impl AuditLine {
    /// The entry `seq` that is kept as `row`; nothing if it cannot be read.
    pub fn read(seq: u64, row: &str) -> Option<AuditLine> {
        let (hash, text) = Hash::read(row)?;
        let entry = serde_json::from_str(text).ok()?;
        Some(AuditLine::new(Link { seq, hash }, &entry))
    }

    fn new(link: Link, entry: &Entry) -> AuditLine {
        let optional = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        AuditLine {
            seq: link.seq,
            hash: link.hash.to_string(),
            at: time(entry.at),
            who: entry.who.to_string(),
            from: entry.from.to_string(),
            what: entry.what.to_string(),
            target: optional(&entry.target),
            reason: optional(&entry.reason),
            outcome: entry.outcome.word().to_owned(),
            said: entry.said.to_string(),
            rules: entry.rules.iter().map(ToString::to_string).collect(),
            before: SideLine::from(&entry.before),
            after: SideLine::from(&entry.after),
        }
    }
}

impl From<&Side> for SideLine {
    fn from(side: &Side) -> SideLine {
        SideLine {
            revision: side.revision,
            swap: side.swap,
            state: side.state.iter().map(ToString::to_string).collect(),
        }
    }
}

impl AuditList {
    /// A page of `entries`.
    pub fn new(entries: Vec<AuditLine>, more_after: Option<u64>) -> AuditList {
        AuditList { schema_version: SCHEMA_VERSION, entries, more_after }
    }
}
