//! `/v1/drills`: game days: which there are, what one would do, running one, and what came of it.

use crate::{
    admin::{
        context::{Context, aside},
        peer::Peer,
        refused::Refused,
        schema::drill::{AbortedLine, DrillLine, DrillPlan, DrillRequest, RunLine, RunningLine},
    },
    config::drill::Mode,
    control::Change,
    drill::{Drills, Order, journal::Entry, report::Report},
};
use axum::{
    Extension, Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Whoever ends a drill is told so once what it did is taken back, or that it is under way: it takes
/// milliseconds, unless control is busy. The command line waits for longer.
const TAKEN_BACK: Duration = Duration::from_millis(1_500);
/// How often that is looked for.
const LOOK: Duration = Duration::from_millis(5);

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .routes(routes!(show_drills))
        .routes(routes!(show_running_drill))
        .routes(routes!(plan_drill))
        .routes(routes!(run_drill))
        .routes(routes!(abort_drill))
        .routes(routes!(show_drill_history))
        .routes(routes!(show_drill_report))
        .routes(routes!(show_drill_journal))
}

fn drills(context: &Context) -> Result<Arc<Drills>, Refused> {
    let drills = context.running.drills().cloned();
    drills.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "this server runs no drills"))
}

/// Runs of drills that are asked about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RunQuery {
    /// Which run; the newest one unless said.
    run: Option<String>,
    /// Entries before this one are known.
    #[serde(default)]
    from: usize,
}

/// The drills there are.
#[utoipa::path(
    get, path = "/v1/drills", security(("token" = ["read"])), tag = "drills",
    responses((status = 200, body = Vec<DrillLine>)),
)]
async fn show_drills(State(context): State<Arc<Context>>) -> Result<Json<Vec<DrillLine>>, Refused> {
    let drills = drills(&context)?;
    aside(move || drills.list().iter().map(DrillLine::from).collect()).await.map(Json)
}

/// The drill that runs, if one does.
#[utoipa::path(
    get, path = "/v1/drills/running", security(("token" = ["read"])), tag = "drills",
    responses((status = 200, body = Option<RunningLine>)),
)]
async fn show_running_drill(
    State(context): State<Arc<Context>>,
) -> Result<Json<Option<RunningLine>>, Refused> {
    let running = drills(&context)?.current();
    Ok(Json(running.map(|running| (&*running).into())))
}

/// What a drill would do now, and why it would not begin.
#[utoipa::path(
    get, path = "/v1/drills/{name}/plan", security(("token" = ["read"])), tag = "drills",
    params(("name" = String, Path, description = "The drill")),
    responses((status = 200, body = DrillPlan)),
)]
async fn plan_drill(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Json<DrillPlan>, Refused> {
    let drills = drills(&context)?;
    let plan = aside(move || drills.plan(&name).map(|plan| DrillPlan::from(&plan))).await?;
    plan.map(Json).map_err(|refusal| Refused::from(&refusal))
}

/// Begins a drill; it goes on whatever becomes of whoever asked.
#[utoipa::path(
    post, path = "/v1/drills/{name}/run", security(("token" = ["operate"])), tag = "drills",
    params(("name" = String, Path, description = "The drill")),
    request_body = DrillRequest,
    responses((status = 200, body = RunningLine)),
)]
async fn run_drill(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Json(request): Json<DrillRequest>,
) -> Result<Json<RunningLine>, Refused> {
    let drills = drills(&context)?;
    let by =
        peer.origin(request.who.as_deref(), request.reason.as_deref()).map_err(Refused::bad)?;
    let mode = request.mode.as_deref().map(|word| {
        let known = Mode::WORDS.iter().find(|(known, _)| *known == word);
        known.map(|(_, mode)| *mode).ok_or_else(|| Refused::bad(format!("`{word}` is no mode")))
    });
    let order = Order {
        name,
        who: by.who.to_string(),
        ack: request.ack,
        yes: request.yes,
        mode: mode.transpose()?,
        even_if_degraded: request.even_if_degraded,
    };
    let what = format!("drill run {}", order.name);
    // Whoever asked may go away meanwhile: it is written down all the same.
    let begun = aside(move || {
        let begun = drills.run(&order);
        context.tell(Change::wished(by, &what, begun.as_ref().map(|_| None)));
        begun
    });
    let running = begun.await?.map_err(|refusal| Refused::from(&refusal))?;
    Ok(Json((&*running).into()))
}

/// The parameters of `/v1/drills/abort`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AbortQuery {
    /// Why.
    reason: Option<String>,
    /// Who asks, if not by the name of the user or token; that is told beside it.
    #[serde(rename = "as")]
    who: Option<String>,
}

/// Ends the drill that runs, or is about to: everything it did is taken back at once.
#[utoipa::path(
    post, path = "/v1/drills/abort", security(("token" = ["operate"])), tag = "drills",
    params(AbortQuery),
    responses((status = 200, body = Option<AbortedLine>, description = "What was ended, if anything")),
)]
async fn abort_drill(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Query(asked): Query<AbortQuery>,
) -> Result<Json<Option<AbortedLine>>, Refused> {
    let drills = drills(&context)?;
    let by = peer.origin(asked.who.as_deref(), asked.reason.as_deref()).map_err(Refused::bad)?;
    let ended = drills.abort(&by.who).ok_or("no drill runs");
    context.tell(Change::wished(by, "drill abort", ended.as_ref().map(|_| None)));
    let Ok((drill, running)) = ended else { return Ok(Json(None)) };
    let mut line = AbortedLine { drill, run: None, taken_back: true, left: Vec::new() };
    if let Some(running) = running {
        let left = timeout(TAKEN_BACK, async {
            loop {
                match running.taken_back() {
                    Some(left) => return left,
                    None => sleep(LOOK).await,
                }
            }
        });
        let left = left.await.ok();
        line.taken_back = left.as_ref().is_some_and(Vec::is_empty);
        (line.run, line.left) = (Some(running.run.clone()), left.unwrap_or_default());
    }
    Ok(Json(Some(line)))
}

/// The runs of a drill, oldest first.
#[utoipa::path(
    get, path = "/v1/drills/{name}/history", security(("token" = ["read"])), tag = "drills",
    params(("name" = String, Path, description = "The drill")),
    responses((status = 200, body = Vec<RunLine>)),
)]
async fn show_drill_history(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Json<Vec<RunLine>>, Refused> {
    let drills = drills(&context)?;
    aside(move || drills.history(&name).iter().map(RunLine::from).collect()).await.map(Json)
}

/// What a run came to: times, budgets, answers, the verdict.
#[utoipa::path(
    get, path = "/v1/drills/{name}/report", security(("token" = ["read"])), tag = "drills",
    params(("name" = String, Path, description = "The drill"), RunQuery),
    responses((status = 200, body = serde_json::Value, description = "As `drill report --json`")),
)]
async fn show_drill_report(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    Query(asked): Query<RunQuery>,
) -> Result<Json<Report>, Refused> {
    let drills = drills(&context)?;
    let report = aside(move || drills.report(&name, asked.run.as_deref())).await?;
    report.map(Json).map_err(|why| Refused::new(StatusCode::NOT_FOUND, why))
}

/// The journal of a run, from some entry on: for those who watch, and those who check.
#[utoipa::path(
    get, path = "/v1/drills/{name}/journal", security(("token" = ["read"])), tag = "drills",
    params(("name" = String, Path, description = "The drill"), RunQuery),
    responses((status = 200, body = serde_json::Value, description = "Its entries, in order")),
)]
async fn show_drill_journal(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    Query(asked): Query<RunQuery>,
) -> Result<Json<Vec<Entry>>, Refused> {
    let drills = drills(&context)?;
    let entries = aside(move || drills.journal(&name, asked.run.as_deref(), asked.from)).await?;
    entries.map(Json).map_err(|why| Refused::new(StatusCode::NOT_FOUND, why))
}
