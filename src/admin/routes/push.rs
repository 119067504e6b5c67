//! `POST /v1/push/CHECK/ENDPOINT`: the heartbeats of targets that report to us.
//!
//! The one route of the public door that changes anything, so it asks for the check's token, and
//! says nothing about checks and endpoints to who has none. It needs no guard against DNS
//! rebinding: a browser that was tricked into asking here does not know the token.

use crate::{
    admin::{
        context::Context,
        door::{bearer, challenge},
        refused::Refused,
        schema::health::{Heartbeat, HeartbeatStatus},
    },
    health::{Beat, HeartbeatError},
};
use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use std::{sync::Arc, time::Duration};
use utoipa_axum::{router::OpenApiRouter, routes};

/// `{"status": "degraded"}` with much white space.
const BODY_MAX: usize = 1_024;
/// The rest of a heartbeat is here by then: it fits the packet that its head came in.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The routes, for either door.
pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .routes(routes!(beat_gate))
        .routes(routes!(beat_endpoint))
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

/// A heartbeat for the gate of a check: it is up unless the body says otherwise.
#[utoipa::path(
    post, path = "/v1/push/{check}", security(("heartbeat" = [])), tag = "push",
    params(("check" = String, Path, description = "Its name")),
    request_body(content = inline(Option<Heartbeat>)),
    responses((status = 204, description = "Taken")),
)]
async fn beat_gate(
    State(context): State<Arc<Context>>,
    Path(check): Path<String>,
    request: Request,
) -> Result<StatusCode, Response> {
    beat(&context, &check, "", request).await
}

/// A heartbeat for an endpoint: it is up unless the body says otherwise.
#[utoipa::path(
    post, path = "/v1/push/{check}/{*endpoint}", security(("heartbeat" = [])), tag = "push",
    params(
        ("check" = String, Path, description = "Its name"),
        ("endpoint" = String, Path, description = "`zone/pool/endpoint`"),
    ),
    request_body(content = inline(Option<Heartbeat>)),
    responses((status = 204, description = "Taken")),
)]
async fn beat_endpoint(
    State(context): State<Arc<Context>>,
    Path((check, endpoint)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, Response> {
    beat(&context, &check, &endpoint, request).await
}

async fn beat(
    context: &Context,
    check: &str,
    endpoint: &str,
    request: Request,
) -> Result<StatusCode, Response> {
    let token = bearer(request.headers()).map(<[u8]>::to_vec);
    let token = token.ok_or_else(|| refuse(HeartbeatError::Unauthorized))?;
    // Before the body: whoever has no token does not keep a place by sending one slowly.
    if !context.running.is_token_of(check, &token) {
        return Err(refuse(HeartbeatError::Unauthorized));
    }
    let body = body(request).await.map_err(IntoResponse::into_response)?;
    let said = said(&body).map_err(|error| Refused::bad(error).into_response())?;
    context.running.heartbeat(check, endpoint, &token, said).map_err(refuse)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn body(request: Request) -> Result<Bytes, Refused> {
    match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) => Err(Refused::new(rejection.status(), rejection.body_text())),
        Err(_) => Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "the body did not come")),
    }
}

/// What a body says; an empty one that all is well.
fn said(body: &[u8]) -> Result<Beat, String> {
    let status = match body.trim_ascii() {
        b"" => HeartbeatStatus::Up,
        json => {
            let read = serde_json::from_slice::<Heartbeat>(json);
            read.map_err(|error| format!("no heartbeat: {error}"))?.status
        }
    };
    Ok(status.into())
}

fn refuse(error: HeartbeatError) -> Response {
    let refused = match error {
        HeartbeatError::Unauthorized => challenge(&error.to_string()),
        HeartbeatError::Unknown => Refused::new(StatusCode::NOT_FOUND, error.to_string()),
    };
    refused.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_empty_or_a_status() {
        for (body, beat) in [
            ("", Beat::Up),
            (" \r\n", Beat::Up),
            (r#"{"status":"up"}"#, Beat::Up),
            (r#" { "status" : "degraded" } "#, Beat::Degraded),
            (r#"{"status":"down"}"#, Beat::Down),
        ] {
            assert_eq!(said(body.as_bytes()), Ok(beat), "{body}");
        }
        for body in ["up", "{}", r#"{"status":"DOWN"}"#, r#"{"status":"up","x":1}"#, "[]"] {
            assert!(said(body.as_bytes()).is_err(), "{body}");
        }
    }
}
