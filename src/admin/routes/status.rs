//! `/v1/status` and `/v1/targets`: how the server and what it probes stand.

use crate::admin::{
    context::{Context, aside},
    door::weak_tag,
    refused::Refused,
    schema::{Status, health::TargetLine},
    status::settled,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show_status)).routes(routes!(show_targets))
}

/// How the server stands, all of it. The ETag stays the same while nothing but the clock and the
/// figures of probes moves.
#[utoipa::path(
    get, path = "/v1/status", security(("token" = ["read"])), tag = "status",
    responses((status = 200, body = Status)),
)]
async fn show_status(
    State(context): State<Arc<Context>>,
) -> Result<([(HeaderName, String); 2], Vec<u8>), Refused> {
    let look = move || {
        let status = context.status();
        let text = json(&status);
        (weak_tag(&json(&settled(status))), text)
    };
    let (tag, text) = aside(look).await?;
    Ok(([(header::ETAG, tag), (header::CONTENT_TYPE, "application/json".to_owned())], text))
}

fn json(status: &Status) -> Vec<u8> {
    serde_json::to_vec(status).expect("a status is plain data")
}

/// What is probed, and what came of it.
#[utoipa::path(
    get, path = "/v1/targets", security(("token" = ["read"])), tag = "status",
    responses((status = 200, body = Vec<TargetLine>)),
)]
async fn show_targets(
    State(context): State<Arc<Context>>,
) -> Result<Json<Vec<TargetLine>>, Refused> {
    aside(move || context.targets()).await.map(Json)
}
