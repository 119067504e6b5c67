//! `/v1/simulate`: what would come of things that have not happened.

use crate::{
    admin::{
        context::{Context, aside},
        refused::Refused,
        schema::plan::{SimulateReply, SimulateRequest},
    },
    control::simulate::simulate as work_out,
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
    post, path = "/v1/simulate", security(("token" = ["read"])), tag = "plan",
    request_body = SimulateRequest,
    responses((status = 200, body = SimulateReply)),
)]
async fn simulate(
    State(context): State<Arc<Context>>,
    Json(request): Json<SimulateRequest>,
) -> Result<Json<SimulateReply>, Refused> {
    let suppositions = request.suppositions().map_err(Refused::bad)?;
    let weights = context.weights(&request.weights)?;
    let outlook = context.outlook().await?;
    let simulated = aside(move || {
        context.looking_ahead(&outlook, &weights, |ask| {
            work_out(context.running.planner(), &suppositions, ask)
        })
    });
    let simulated = simulated.await?.map_err(|error| Refused::from(&error))?;
    Ok(Json(SimulateReply::new(&simulated, request.supposed())))
}
