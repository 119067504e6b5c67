//! `/v1/revisions`, `/v1/reload` and `/v1/rollback`: which of the operator's files are in force.
//! They are read from the server's own folder; nobody can send any.

use crate::{
    admin::{
        context::{Context, aside},
        peer::Peer,
        refused::Refused,
        schema::{ReloadReply, RevisionLine},
    },
    control::{Change, Report},
};
use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .routes(routes!(show_revisions))
        .routes(routes!(reload))
        .routes(routes!(rollback))
}

/// The revisions that can be gone back to, oldest first.
#[utoipa::path(
    get, path = "/v1/revisions", security(("token" = ["read"])), tag = "files",
    responses((status = 200, body = Vec<RevisionLine>)),
)]
async fn show_revisions(
    State(context): State<Arc<Context>>,
) -> Result<Json<Vec<RevisionLine>>, Refused> {
    let lines = move || {
        let current = context.viewer.world().revision;
        let kept = context.running.revisions();
        kept.iter().map(|manifest| RevisionLine::new(manifest, current)).collect()
    };
    aside(lines).await.map(Json)
}

/// The parameters of `/v1/reload`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ReloadQuery {
    /// Even if zones or many names would be gone.
    #[serde(default)]
    force: bool,
    /// Why.
    reason: Option<String>,
    /// Who asks, if not by the name of the user or token; that is told beside it.
    #[serde(rename = "as")]
    who: Option<String>,
}

/// The parameters of `/v1/rollback/{revision}`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RollbackQuery {
    /// Why.
    reason: Option<String>,
    /// Who asks, if not by the name of the user or token; that is told beside it.
    #[serde(rename = "as")]
    who: Option<String>,
}

/// Loads the files of the server's folder.
#[utoipa::path(
    post, path = "/v1/reload", security(("token" = ["admin"])), tag = "files",
    params(ReloadQuery),
    responses((status = 200, body = ReloadReply)),
)]
async fn reload(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Query(asked): Query<ReloadQuery>,
) -> Result<Json<ReloadReply>, Refused> {
    let by = peer.origin(asked.who.as_deref(), asked.reason.as_deref()).map_err(Refused::bad)?;
    let cause = "tradewind reload".into();
    let wish = |reply| Change::Reload { cause, by, force: asked.force, reply: Some(reply) };
    let report: Report = context.change(wish).await?;
    Ok(Json(ReloadReply::from(&report)))
}

/// Goes back to a kept revision.
#[utoipa::path(
    post, path = "/v1/rollback/{revision}", security(("token" = ["admin"])), tag = "files",
    params(("revision" = u64, Path, description = "Its number"), RollbackQuery),
    responses((status = 200, body = ReloadReply)),
)]
async fn rollback(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Path(revision): Path<u64>,
    Query(asked): Query<RollbackQuery>,
) -> Result<Json<ReloadReply>, Refused> {
    let by = peer.origin(asked.who.as_deref(), asked.reason.as_deref()).map_err(Refused::bad)?;
    let wish = |reply| Change::Rollback { revision, by, reply: Some(reply) };
    let report: Report = context.change(wish).await?;
    Ok(Json(ReloadReply::from(&report)))
}
