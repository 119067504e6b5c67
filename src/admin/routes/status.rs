//! `/v1/status` and `/v1/targets`: how the server and what it probes stand.

use crate::admin::{
    context::{Context, aside},
    refused::Refused,
    schema::{Status, health::TargetLine},
};
use axum::{Json, extract::State};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show_status)).routes(routes!(show_targets))
}

/// How the server stands, all of it.
#[utoipa::path(
    get, path = "/v1/status", security(("token" = ["read"])), tag = "status",
    responses((status = 200, body = Status)),
)]
async fn show_status(State(context): State<Arc<Context>>) -> Result<Json<Status>, Refused> {
    aside(move || context.status()).await.map(Json)
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
