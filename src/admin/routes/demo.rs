//! `/v1/demo`: the machines of `tradewind demo`, killed and brought back.

use crate::{
    admin::{context::Context, refused::Refused},
    control::Change,
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(demo))
}

/// Kills or restores a region of the demo.
#[utoipa::path(
    post, path = "/v1/demo/{action}/{region}", security(("token" = ["admin"])), tag = "demo",
    params(
        ("action" = String, Path, description = "`kill` or `restore`"),
        ("region" = String, Path, description = "Its name"),
    ),
    responses((status = 204, description = "Done"), (status = 409, description = "No demo runs")),
)]
async fn demo(
    State(context): State<Arc<Context>>,
    Path((action, region)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let up = match &*action {
        "kill" => false,
        "restore" => true,
        _ => return Err(Refused::new(StatusCode::NOT_FOUND, "kill or restore a region")),
    };
    let wish = |reply| Change::Demo { region: region.into(), up, reply: Some(reply) };
    let done: Result<(), String> = context.change(wish).await?;
    let done = done.map(|()| StatusCode::NO_CONTENT);
    done.map_err(|error| Refused::new(StatusCode::CONFLICT, error))
}
