//! `/v1/simulate`: what would come of things that have not happened.

use crate::{
    admin::{
        context::Context,
        refused::Refused,
        schema::plan::{SimulateReply, SimulateRequest},
        turns::InLine,
    },
    control::{plan::PlanError, simulate::simulate as work_out},
};
use axum::{Json, extract::State};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(simulate))
}

/// Who would go where if regions failed, something were drained or weights were others; several
/// at once. Nothing is changed.
#[utoipa::path(
    post, path = "/v1/simulate", security(("token_everywhere" = ["read"])), tag = "plan",
    request_body = SimulateRequest,
    responses((status = 200, body = SimulateReply)),
)]
async fn simulate(
    State(context): State<Arc<Context>>,
    in_line: InLine,
    Json(request): Json<SimulateRequest>,
) -> Result<Json<SimulateReply>, Refused> {
    let suppositions = request.suppositions().map_err(Refused::bad)?;
    let weights = context.weights(&request.weights)?;
    let simulated = context.ahead(weights, Some(in_line), move |planner, ask| {
        let simulated = work_out(planner, &suppositions, ask)?;
        Ok(SimulateReply::new(&simulated, request.supposed()))
    });
    let simulated: Result<_, PlanError> = simulated.await?;
    simulated.map(Json).map_err(|error| Refused::from(&error))
}
