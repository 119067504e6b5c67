//! `/v1/explain`: why one client gets one answer.

use crate::admin::{
    context::{Context, aside},
    explain::{Ask, explain},
    refused::Refused,
    schema::Explanation,
};
use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show_explanation))
}

/// The parameters of `/v1/explain`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExplainQuery {
    /// The name asked about.
    name: String,
    /// The type asked for; A unless said.
    #[serde(rename = "type")]
    rtype: Option<String>,
    /// An address, or a network as ECS would have it: `203.0.113.0/24`.
    client: String,
    /// What is to be supposed, separated by commas: `region:us-east-1=down`.
    what_if: Option<String>,
}

impl ExplainQuery {
    fn read(&self) -> Result<Ask, Refused> {
        let what_if = self.what_if.iter().flat_map(|all| all.split(','));
        Ask::read(&self.name, self.rtype.as_deref().unwrap_or("A"), &self.client, what_if)
            .map_err(|error| Refused::bad(error.to_string()))
    }
}

/// Why a client gets what it gets, step by step.
#[utoipa::path(
    get, path = "/v1/explain", security(("token" = ["read"])), tag = "explain",
    params(ExplainQuery),
    responses((status = 200, body = Explanation)),
)]
async fn show_explanation(
    State(context): State<Arc<Context>>,
    Query(asked): Query<ExplainQuery>,
) -> Result<Json<Explanation>, Refused> {
    let ask = asked.read()?;
    let explained = aside(move || {
        let locations = context.locations.load_full();
        explain(&context.viewer.world(), Some(&locations), &ask)
    });
    let found = explained.await?;
    found.map(Json).map_err(|error| Refused::new(StatusCode::NOT_FOUND, error.to_string()))
}
