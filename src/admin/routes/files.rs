//! `/v1/revisions`, `/v1/reload` and `/v1/rollback`: which of the operator's files are in force.
//! They are read from the server's own folder; nobody can send any.

use crate::{
    admin::{
        context::{Context, aside},
        refused::Refused,
        schema::{ReloadReply, RevisionLine},
    },
    control::{Change, Report},
};
use axum::{
    Json,
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
}

/// Loads the files of the server's folder.
#[utoipa::path(
    post, path = "/v1/reload", security(("token" = ["admin"])), tag = "files",
    params(ReloadQuery),
    responses((status = 200, body = ReloadReply)),
)]
async fn reload(
    State(context): State<Arc<Context>>,
    Query(asked): Query<ReloadQuery>,
) -> Result<Json<ReloadReply>, Refused> {
    let cause = "tradewind reload".into();
    let wish = |reply| Change::Reload { cause, force: asked.force, reply: Some(reply) };
    let report: Report = context.change(wish).await?;
    Ok(Json(ReloadReply::from(&report)))
}

/// Goes back to a kept revision.
#[utoipa::path(
    post, path = "/v1/rollback/{revision}", security(("token" = ["admin"])), tag = "files",
    params(("revision" = u64, Path, description = "Its number")),
    responses((status = 200, body = ReloadReply)),
)]
async fn rollback(
    State(context): State<Arc<Context>>,
    Path(revision): Path<u64>,
) -> Result<Json<ReloadReply>, Refused> {
    let wish = |reply| Change::Rollback { revision, reply: Some(reply) };
    let report: Report = context.change(wish).await?;
    Ok(Json(ReloadReply::from(&report)))
}
