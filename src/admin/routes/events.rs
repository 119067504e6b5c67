//! `/v1/events`: what happened, in pages.

use crate::admin::{
    context::Context,
    events::{Door, EventsQuery, EventsRefused},
    peer::Peer,
    refused::Refused,
    schema::EventLine,
};
use axum::{
    Extension, Json,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show_events)).routes(routes!(feed_events))
}

/// What happened, oldest first, in pages of 1,000.
#[utoipa::path(
    get, path = "/v1/events", security(("token" = ["read"])), tag = "events",
    params(EventsQuery),
    responses((status = 200, body = Vec<EventLine>)),
)]
async fn show_events(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Query(asked): Query<EventsQuery>,
) -> Result<Json<Vec<EventLine>>, Refused> {
    let page = Arc::clone(&context.events).page(Door::of(&peer), asked).await;
    page.map(Json).map_err(Refused::from)
}

/// What happens, as it happens: server-sent events, each with its number as `id`.
///
/// It ends after a hundred seconds at most, and with the token it was asked for with; who comes back with `Last-Event-ID` misses nothing
/// that is still kept.
#[utoipa::path(
    get, path = "/v1/events/stream", security(("token" = ["read"])), tag = "events",
    params(
        EventsQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The number that was seen last"),
    ),
    responses((
        status = 200, description = "`data` is an EventLine", body = str,
        content_type = "text/event-stream",
    )),
)]
async fn feed_events(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Query(mut asked): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    if let Some(last) = headers.get("last-event-id") {
        let last = last.to_str().ok().and_then(|last| last.parse::<u64>().ok());
        let last = last.ok_or_else(|| Refused::bad("`Last-Event-ID` is a number of an event"))?;
        asked.since = Some(last.to_string());
    }
    let (events, door) = (Arc::clone(&context.events), Door::of(&peer));
    let is_allowed =
        move || peer.may_still_read(&context.entry.load().grants, context.clock.wall());
    let body = events.feed(door, &asked, is_allowed).await?;
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], body).into_response())
}

impl From<EventsRefused> for Refused {
    fn from(error: EventsRefused) -> Refused {
        let status = match error {
            EventsRefused::Since(_) => StatusCode::BAD_REQUEST,
            EventsRefused::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refused::new(status, error.to_string())
    }
}
