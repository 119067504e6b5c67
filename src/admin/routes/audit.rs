//! `/v1/audit`: who changed what, in pages, and the chain as it is kept, for those who recompute it.

use crate::{
    admin::{
        context::{Context, aside},
        refused::Refused,
        schema::{
            SCHEMA_VERSION,
            audit::{AuditChain, AuditLine, AuditList, AuditRow},
            time,
        },
    },
    config::parse_duration,
    control::{journal::SharedJournal, store::StoreError},
};
use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use serde::Deserialize;
use std::{sync::Arc, time::SystemTime};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Entries in one reply: half a megabyte.
const PAGE: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show_audit)).routes(routes!(show_chain))
}

/// Who changed what, oldest first, in pages of 1,000.
#[utoipa::path(
    get, path = "/v1/audit", security(("token_everywhere" = ["read"])), tag = "audit",
    params(AuditQuery),
    responses((status = 200, body = AuditList)),
)]
async fn show_audit(
    State(context): State<Arc<Context>>,
    Query(asked): Query<AuditQuery>,
) -> Result<Json<AuditList>, Refused> {
    let read = move || list(&context.journal, &asked, context.clock.wall());
    Ok(Json(aside(read).await??))
}

/// The audit as it is kept, to recompute its chain of hashes, in pages of 1,000.
#[utoipa::path(
    get, path = "/v1/audit/chain", security(("token_everywhere" = ["read"])), tag = "audit",
    params(ChainQuery),
    responses((status = 200, body = AuditChain)),
)]
async fn show_chain(
    State(context): State<Arc<Context>>,
    Query(asked): Query<ChainQuery>,
) -> Result<Json<AuditChain>, Refused> {
    Ok(Json(aside(move || chain(&context.journal, &asked)).await??))
}

/// The parameters of `/v1/audit`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Only entries after this number.
    #[serde(default)]
    after: u64,
    /// Only those not older than this: `1h`.
    since: Option<String>,
    /// Only changes by whoever has this in their name.
    who: Option<String>,
    /// Only changes about what has this in its name.
    target: Option<String>,
}

/// The parameters of `/v1/audit/chain`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ChainQuery {
    /// Only rows after this number.
    #[serde(default)]
    after: u64,
}

/// Why a page of the audit is refused.
#[derive(Debug, thiserror::Error)]
enum AuditRefused {
    #[error("`since={0}` is no duration like 1h")]
    Since(String),
    #[error("the audit cannot be read: {0}")]
    Store(#[from] StoreError),
}

impl From<AuditRefused> for Refused {
    fn from(refused: AuditRefused) -> Refused {
        let status = match refused {
            AuditRefused::Since(_) => StatusCode::BAD_REQUEST,
            AuditRefused::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refused::new(status, refused.to_string())
    }
}

/// A page of what is asked for. Entries that cannot be read are left out: the chain has them.
fn list(
    journal: &SharedJournal,
    asked: &AuditQuery,
    now: SystemTime,
) -> Result<AuditList, AuditRefused> {
    let since = match &asked.since {
        None => None,
        Some(ago) => {
            let ago = parse_duration(ago).map_err(|_| AuditRefused::Since(ago.clone()))?;
            now.checked_sub(ago).map(time)
        }
    };
    let is_wanted = |line: &AuditLine| {
        let has = |text: &str, part: &Option<String>| {
            part.as_ref().is_none_or(|part| text.contains(part.as_str()))
        };
        // Both are RFC 3339 in UTC and of one length, so their order is that of time.
        since.as_ref().is_none_or(|since| line.at >= *since)
            && has(&line.who, &asked.who)
            && has(line.target.as_deref().unwrap_or_default(), &asked.target)
    };
    let (mut entries, mut more_after) = (Vec::new(), None);
    journal.audit(asked.after, &mut |seq, row| {
        entries.extend(AuditLine::read(seq, row).filter(is_wanted));
        let is_full = entries.len() >= PAGE;
        more_after = is_full.then_some(seq);
        !is_full
    })?;
    Ok(AuditList::new(entries, more_after))
}

/// A page of rows as they are kept.
fn chain(journal: &SharedJournal, asked: &ChainQuery) -> Result<AuditChain, AuditRefused> {
    let mut rows = Vec::new();
    let ends = journal.audit(asked.after, &mut |seq, row| {
        rows.push(AuditRow { seq, row: row.to_owned() });
        rows.len() < PAGE
    })?;
    Ok(AuditChain {
        schema_version: SCHEMA_VERSION,
        anchor: ends.anchor.to_string(),
        head: ends.head.to_string(),
        rows,
    })
}
