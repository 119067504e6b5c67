//! `/v1/plan` and `/v1/apply`: what other files would change, and loading them. Files that are
//! sent are only looked at; what is loaded stands in the server's own folder.

use crate::{
    admin::{
        context::Context,
        peer::Peer,
        refused::Refused,
        schema::{
            ReloadReply, SCHEMA_VERSION,
            plan::{ApplyReply, ApplyRequest, PlanReply, PlanRequest},
        },
        turns::InLine,
    },
    control::{
        Change, Report,
        audit::Outcome,
        hand::Refusal,
        plan::{Plan, Wanted},
    },
    forecast::Weights,
    units::Ttl,
};
use axum::{
    Extension, Json,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What may be sent for a plan: the files of a million names, twice over.
const FILES_BYTES_MAX: usize = 64 << 20;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    let large = DefaultBodyLimit::max(FILES_BYTES_MAX);
    OpenApiRouter::new().routes(routes!(plan)).layer(large).routes(routes!(apply))
}

/// What files would change against what is served: things, and who would move.
#[utoipa::path(
    post, path = "/v1/plan", security(("token_everywhere" = ["read"])), tag = "plan",
    request_body = PlanRequest,
    responses((status = 200, body = PlanReply)),
)]
async fn plan(
    State(context): State<Arc<Context>>,
    in_line: InLine,
    Json(request): Json<PlanRequest>,
) -> Result<Json<PlanReply>, Refused> {
    let wanted = request.wanted().map_err(Refused::bad)?;
    let weights = context.weights(&request.weights)?;
    let plan = context.plan(wanted, weights, Some(in_line)).await?;
    Ok(Json(PlanReply::from(&plan)))
}

/// Loads the files of the server's folder, if they are those that were planned, over the revision
/// that they were planned over, compile as a whole and break no safety rule.
#[utoipa::path(
    post, path = "/v1/apply", security(("token" = ["admin"])), tag = "plan",
    request_body = ApplyRequest,
    responses((status = 200, body = ApplyReply)),
)]
async fn apply(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<ApplyReply>, Refused> {
    let agreed = request.agreed().map_err(Refused::bad)?;
    let by =
        peer.origin(request.who.as_deref(), request.reason.as_deref()).map_err(Refused::bad)?;
    if request.break_glass && request.reason.as_ref().is_none_or(|why| why.trim().is_empty()) {
        return Err(Refused::from(&Refusal::NeedsReason));
    }
    let planned = context.plan(Wanted::Served, Weights::Space, None).await?;
    let forbidden = |said: String, rules: Vec<Arc<str>>| {
        let (by, what) = (by.clone(), "tradewind apply".into());
        let (outcome, said) = (Outcome::Refused, said.into());
        context.tell(Change::Wished { by, what, outcome, said, rules, stood: None });
    };
    if (planned.base, planned.hash) != (agreed.base, agreed.hash) {
        forbidden("the world moved since it was planned".to_owned(), Vec::new());
        return Err(conflict(&planned, &request));
    }
    let outcome = planned.outcome;
    let ttl = outcome.as_ref().map_or(Ttl::from_secs(0), |outcome| outcome.ttl);
    let broke = outcome.map(|outcome| outcome.broke).unwrap_or_default();
    // What is forbidden already is not compiled once more to find that out.
    if !broke.is_empty() && !request.break_glass {
        let rules = broke.iter().map(|broken| Arc::clone(&broken.rule)).collect();
        let refusal = Refusal::Unsafe(broke);
        forbidden(refusal.to_string(), rules);
        return Err(Refused::from(&refusal));
    }
    let cause: String = match broke.first() {
        None => "tradewind apply".into(),
        Some(first) => format!("tradewind apply, over safety rule {}", first.rule),
    };
    let wish = |reply| Change::Apply { agreed, cause: cause.into(), by, reply };
    let report: Report = context.change(wish).await?;
    if !report.accepted && !report.broke.is_empty() {
        return Err(Refused::from(&Refusal::Unsafe(report.broke)));
    }
    if let Some(moved) = &report.moved {
        return Err(Refused::new(StatusCode::CONFLICT, format!("{moved}: nothing was loaded")));
    }
    let mut loaded = ReloadReply::from(&report);
    let undo = std::mem::take(&mut loaded.undo);
    Ok(Json(ApplyReply {
        schema_version: SCHEMA_VERSION,
        loaded,
        hash: agreed.hash.to_string(),
        ttl_secs: ttl.as_secs(),
        broke: report.broke.iter().map(Into::into).collect(),
        undo,
    }))
}

/// That the world moved since the plan.
fn conflict(planned: &Plan, request: &ApplyRequest) -> Refused {
    let why = match planned.base == request.base_revision {
        false => format!(
            "revision {} is in force, and the plan was made over revision {}",
            planned.base, request.base_revision
        ),
        true => "the files in the server's folder are not those that were planned".to_owned(),
    };
    Refused::new(StatusCode::CONFLICT, format!("{why}: nothing was loaded"))
        .hint("plan again and look at what has changed")
}
