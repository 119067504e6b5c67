//! `/v1/events`: what happened, in pages.

use crate::admin::{
    context::Context,
    events::{EventsQuery, EventsRefused},
    refused::Refused,
    schema::EventLine,
};
use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show_events))
}

/// What happened, oldest first, in pages of 1,000.
#[utoipa::path(
    get, path = "/v1/events", security(("token" = ["read"])), tag = "events",
    params(EventsQuery),
    responses((status = 200, body = Vec<EventLine>)),
)]
async fn show_events(
    State(context): State<Arc<Context>>,
    Query(asked): Query<EventsQuery>,
) -> Result<Json<Vec<EventLine>>, Refused> {
    let page = Arc::clone(&context.events).page(asked).await;
    page.map(Json).map_err(|error| {
        let status = match error {
            EventsRefused::Since(_) => StatusCode::BAD_REQUEST,
            EventsRefused::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refused::new(status, error.to_string())
    })
}
