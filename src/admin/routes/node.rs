//! `/v1/node`: what servers for the same zones compare of each other.

use crate::admin::{
    context::{Context, aside},
    refused::Refused,
    schema::node::NodeFacts,
};
use axum::{Json, extract::State};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show_node))
}

/// What this server should have in common with others for the same zones.
#[utoipa::path(
    get, path = "/v1/node", security(("token" = ["read"])), tag = "status",
    responses((status = 200, body = NodeFacts)),
)]
async fn show_node(State(context): State<Arc<Context>>) -> Result<Json<NodeFacts>, Refused> {
    aside(move || context.facts()).await.map(Json)
}
