//! `/v1/hand`, `/v1/weights` and `/v1/approvals`: what operators tell the server, which weights
//! come of it, and what waits for them.

use crate::{
    admin::{
        context::{Context, aside},
        peer::Peer,
        refused::Refused,
        schema::hand::{ApprovalLine, HandList, HandReply, HandRequest, WeightLine},
    },
    control::{Change, hand::Refusal},
};
use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderName, header},
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .routes(routes!(show_hand, take_hand))
        .routes(routes!(show_weights))
        .routes(routes!(show_approvals))
}

/// Overrides in force and to come, and proposals.
#[utoipa::path(
    get, path = "/v1/hand", security(("token" = ["read"])), tag = "hand",
    responses((status = 200, body = HandList)),
)]
async fn show_hand(
    State(context): State<Arc<Context>>,
) -> Result<([(HeaderName, String); 1], Json<HandList>), Refused> {
    let hands = Arc::clone(&context.hands);
    let (tag, list) = aside(move || hands.tagged()).await?;
    Ok(([(header::ETAG, tag)], Json(list)))
}

/// Has the server do something: a drain, a weight, a failover and the like.
///
/// `approve`, `reject` and `confirm` take the role `approve`; `pin`, `unpin` and `break_glass` the
/// role `admin`. With `If-Match` only what the `ETag` of `GET` named is changed: else 412, with what
/// there is now.
#[utoipa::path(
    post, path = "/v1/hand", security(("token" = ["operate"])), tag = "hand",
    params(("If-Match" = Option<String>, Header, description = "The ETag of GET /v1/hand")),
    request_body = HandRequest,
    responses((status = 200, body = HandReply)),
)]
async fn take_hand(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Json(request): Json<HandRequest>,
) -> Result<Json<HandReply>, Refused> {
    peer.check(request.role(), false)?;
    let mut command = request.read(&peer, context.clock.wall()).map_err(Refused::bad)?;
    command.if_version = context.hands.version_of(headers.get(header::IF_MATCH))?;
    let hands = Arc::clone(&context.hands);
    // Before the wish is on its way, so that control does not wait for it.
    let clients = aside(move || hands.clients()).await?;
    let wish = |reply| Change::Hand {
        command: Box::new(command.clone()),
        from: peer.place(),
        clients: Arc::clone(&clients),
        reply,
    };
    let done = context.change(wish).await?.map_err(|refusal| match refusal {
        Refusal::Stale => Refused::from(&refusal).beside(context.hands.list()),
        refusal => Refused::from(&refusal),
    })?;
    let hands = Arc::clone(&context.hands);
    aside(move || hands.reply(&done, &command.wish, &clients)).await.map(Json)
}

/// Weights that are served and that the files in force do not say: given by operators and rollouts.
#[utoipa::path(
    get, path = "/v1/weights", security(("token" = ["read"])), tag = "hand",
    responses((status = 200, body = Vec<WeightLine>)),
)]
async fn show_weights(
    State(context): State<Arc<Context>>,
) -> Result<Json<Vec<WeightLine>>, Refused> {
    let hands = Arc::clone(&context.hands);
    aside(move || hands.weights()).await.map(Json)
}

/// Failovers that would move, and wait for a person.
#[utoipa::path(
    get, path = "/v1/approvals", security(("token" = ["read"])), tag = "hand",
    responses((status = 200, body = Vec<ApprovalLine>)),
)]
async fn show_approvals(
    State(context): State<Arc<Context>>,
) -> Result<Json<Vec<ApprovalLine>>, Refused> {
    let hands = Arc::clone(&context.hands);
    let clients = aside(move || hands.clients()).await?;
    let waiting = context.change(|reply| Change::Waiting { reply }).await?;
    let hands = Arc::clone(&context.hands);
    aside(move || hands.approvals(&waiting, &clients)).await.map(Json)
}
