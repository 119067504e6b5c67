//! `/v1/openapi.json`: all routes, described by themselves (OpenAPI 3.1).

use crate::admin::{
    context::Context,
    schema::{Refusal, SCHEMA_VERSION},
};
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use std::sync::{Arc, LazyLock};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder, ServerBuilder,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

const WHAT: &str = "The admin API of Tradewind: what a server answers and why, and what operators tell \
    it. Every refusal is a problem (RFC 9457). `security` names the least role that a token needs: \
    read, operate, approve or admin, each with all that stands before it. On loopback what takes \
    `read` of `token` takes none, of `token_everywhere` it does; the control socket takes none for \
    anything. Replies of GET carry an ETag.";

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(describe))
}

/// This description.
#[utoipa::path(
    get, path = "/v1/openapi.json", security(("token" = ["read"])), tag = "api",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
async fn describe() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| text().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// The description of all routes, as it is served and stands in `docs/openapi.json`.
///
/// # Errors
/// When it cannot be written as JSON, which would be a fault in a type of `schema`.
pub fn text() -> Result<String, serde_json::Error> {
    let mut api = super::all().into_openapi();
    complete(&mut api);
    serde_json::to_string_pretty(&api).map(|text| text + "\n")
}

/// Adds what holds for all routes, and what only the router spells otherwise.
fn complete(api: &mut OpenApi) {
    api.info.title = "Tradewind".to_owned();
    api.info.version = SCHEMA_VERSION.to_string();
    api.info.description = Some(WHAT.to_owned());
    let anywhere = "https://localhost:8053";
    api.servers = Some(vec![ServerBuilder::new().url(anywhere).build()]);
    let components = api.components.get_or_insert_with(Components::new);
    let mut schemas = vec![(Refusal::name().into_owned(), Refusal::schema())];
    Refusal::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for scheme in ["token", "token_everywhere", "heartbeat"] {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.security_schemes.insert(scheme.to_owned(), bearer);
    }
    let paths = std::mem::take(&mut api.paths.paths);
    for (path, mut item) in paths {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        operations.into_iter().flatten().for_each(refusable);
        // A parameter that takes the rest of the path is the router's word.
        api.paths.paths.insert(path.replace("{*", "{"), item);
    }
}

/// Says of `operation` that it may be refused.
fn refusable(operation: &mut Operation) {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Refusal::name())));
    let refused = ResponseBuilder::new()
        .description("Refused: why, for people and programs")
        .content("application/problem+json", problem.build());
    let refused = RefOr::T(refused.build());
    operation.responses.responses.entry("default".to_owned()).or_insert(refused);
}
