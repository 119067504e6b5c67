//! What servers for the same zones compare of each other.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// `GET /v1/node`: what two servers for the same zones should have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeFacts {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION).
    pub schema_version: u32,
    /// The server's version.
    pub version: String,
    /// The revision of its files: a number of its own.
    pub revision: u64,
    /// Its Worlds so far: a number of its own.
    pub swap: u64,
    /// SHA-256 of its files, but for what they say of its own process.
    pub content_hash: String,
    /// Whether all automation is frozen.
    pub pinned: bool,
    /// Overrides in effect or to come, as they could be typed.
    pub overrides: Vec<String>,
    /// The active member of each failover.
    pub failovers: BTreeMap<String, String>,
    /// How each address stands: `zone/pool/endpoint ADDRESS`.
    pub verdicts: BTreeMap<String, String>,
}

/// How another server for the same zones compares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeerLine {
    /// Its name under `[server] peers`.
    pub peer: String,
    /// Whether it answers, and stands as this one does.
    pub in_step: bool,
    /// Why it was not compared.
    pub error: Option<String>,
    /// Where it differs, in words.
    pub differs: Vec<String>,
    /// Its revision, if it answers.
    pub revision: Option<u64>,
    /// The hash of its files.
    pub content_hash: Option<String>,
}
