//! `/healthz`, `/readyz` and `/metrics`: for load balancers and scrapers.

use crate::admin::context::{Context, aside};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready)).routes(routes!(scrape))
}

/// Whether the process runs.
#[utoipa::path(
    get, path = "/healthz", security(()), tag = "watch",
    responses((status = 200, description = "It runs", body = str, content_type = "text/plain")),
)]
async fn alive() -> &'static str {
    "alive\n"
}

/// Whether it answers every zone, from its newest files, with health known.
#[utoipa::path(
    get, path = "/readyz", security(()), tag = "watch",
    responses(
        (status = 200, description = "It does", body = str, content_type = "text/plain"),
        (status = 503, description = "Why not, a line each", body = str, content_type = "text/plain"),
    ),
)]
async fn ready(State(context): State<Arc<Context>>) -> Response {
    let reasons = context.not_ready();
    match reasons.is_empty() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response(),
    }
}

/// Counters and gauges for Prometheus.
#[utoipa::path(
    get, path = "/metrics", security(("token" = ["read"])), tag = "watch",
    responses((
        status = 200, description = "OpenMetrics text", body = str,
        content_type = "application/openmetrics-text",
    )),
)]
async fn scrape(State(context): State<Arc<Context>>) -> Response {
    const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match aside(move || context.metrics.text()).await {
        Ok(text) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        Err(refused) => refused.into_response(),
    }
}
