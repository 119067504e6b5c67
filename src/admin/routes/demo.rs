//! `/v1/demo`: the machines of `tradewind demo`, killed and brought back.

use crate::{
    admin::{context::Context, peer::Peer, refused::Refused},
    control::Change,
};
use axum::{
    Extension,
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
    Extension(peer): Extension<Peer>,
    Path((action, region)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let up = match &*action {
        "kill" => false,
        "restore" => true,
        _ => return Err(Refused::new(StatusCode::NOT_FOUND, "kill or restore a region")),
    };
    let by = peer.origin(None, None).map_err(Refused::bad)?;
    let wish = |reply| Change::Demo { region: region.into(), up, by, reply: Some(reply) };
    let done: Result<(), String> = context.change(wish).await?;
    let done = done.map(|()| StatusCode::NO_CONTENT);
    done.map_err(|error| Refused::new(StatusCode::CONFLICT, error))
}
