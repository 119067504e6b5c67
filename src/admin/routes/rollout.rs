//! `/v1/rollouts`: how they stand, and what is ordered of them.

use crate::{
    admin::{
        context::{Context, aside},
        peer::Peer,
        refused::Refused,
        schema::rollout::{RolloutLine, RolloutPatch, RolloutRequest},
    },
    control::audit::Origin,
    grant::Role,
    rollout::{Refused as RolloutRefused, Rollouts, Wish, model::Order},
};
use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .routes(routes!(list_rollouts))
        .routes(routes!(show_rollout))
        .routes(routes!(show_rollout_patch))
        .routes(routes!(promote_rollout))
        .routes(routes!(order_rollout))
}

/// All rollouts: those that files define, and those that were begun.
#[utoipa::path(
    get, path = "/v1/rollouts", security(("token" = ["read"])), tag = "rollout",
    responses((status = 200, body = Vec<RolloutLine>)),
)]
async fn list_rollouts(
    State(context): State<Arc<Context>>,
) -> Result<Json<Vec<RolloutLine>>, Refused> {
    aside(move || context.rollouts()).await.map(Json)
}

/// How one rollout stands.
#[utoipa::path(
    get, path = "/v1/rollouts/{name}", security(("token" = ["read"])), tag = "rollout",
    responses((status = 200, body = RolloutLine)),
)]
async fn show_rollout(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Json<RolloutLine>, Refused> {
    aside(move || shown(&context, &name)).await?.map(Json)
}

/// What the zone file has to say for the files to say what a rollout left.
#[utoipa::path(
    get, path = "/v1/rollouts/{name}/patch", security(("token" = ["read"])), tag = "rollout",
    responses((status = 200, body = RolloutPatch)),
)]
async fn show_rollout_patch(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Json<RolloutPatch>, Refused> {
    let patched = move || {
        let rollout = shown(&context, &name)?;
        let rollouts = rollouts(&context)?;
        let same = rollout.intended_share.is_some() && rollout.intended_share == rollout.file_share;
        let run = rollouts.shown();
        let patch = run.run(&name).filter(|_| !same).and_then(|run| rollouts.patch(run));
        Ok(RolloutPatch { rollout, patch: patch.map(Into::into) })
    };
    aside(patched).await?.map(Json)
}

/// Lets a rollout go on to its next step, or to the end.
#[utoipa::path(
    post, path = "/v1/rollouts/{name}/promote", security(("token" = ["approve"])), tag = "rollout",
    request_body = RolloutRequest, responses((status = 200, body = RolloutLine)),
)]
async fn promote_rollout(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Json(request): Json<RolloutRequest>,
) -> Result<Json<RolloutLine>, Refused> {
    let wish = Wish::Order(Order::Promote { full: request.full });
    order(context, &peer, name, wish, request).await
}

/// Has a rollout begin, stand still, go on or back: `start`, `pause`, `resume`, `abort`, `retry`,
/// `undo`. `break_glass` takes the role `admin`. Where there are other servers for the same zones
/// `start` must say `only_here`.
#[utoipa::path(
    post, path = "/v1/rollouts/{name}/{verb}", security(("token" = ["operate"])), tag = "rollout",
    request_body = RolloutRequest, responses((status = 200, body = RolloutLine)),
)]
async fn order_rollout(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Path((name, verb)): Path<(String, String)>,
    Json(request): Json<RolloutRequest>,
) -> Result<Json<RolloutLine>, Refused> {
    let wish = match &*verb {
        "start" if !request.only_here && !context.doors.is_empty() => {
            return Err(one_of_several(&context));
        }
        "start" => Wish::Start,
        "pause" => Wish::Order(Order::Pause),
        "resume" => Wish::Order(Order::Resume),
        "abort" => Wish::Order(Order::Abort { break_glass: request.break_glass }),
        "retry" => Wish::Order(Order::Retry),
        "undo" => Wish::Order(Order::Undo),
        other => return Err(Refused::bad(format!("there is no verb `{other}`"))),
    };
    order(context, &peer, name, wish, request).await
}

/// That a rollout runs on one server, and whoever begins it must know of the others: their clients
/// get none of it.
fn one_of_several(context: &Context) -> Refused {
    let names: Vec<&str> = context.doors.iter().map(|door| &*door.name).collect();
    let hint = format!(
        "on each in turn, with `only_here`; by the command line with --node here, {}",
        names.join(", ")
    );
    let why = "a rollout runs on one server, and there are several for the same zones";
    Refused::bad(why).hint(&hint)
}

async fn order(
    context: Arc<Context>,
    peer: &Peer,
    name: String,
    wish: Wish,
    request: RolloutRequest,
) -> Result<Json<RolloutLine>, Refused> {
    if request.break_glass {
        peer.check(Role::Admin, false)?;
    }
    let (who, reason) = request.read(peer).map_err(Refused::bad)?;
    let by = Origin { who, from: peer.place(), reason };
    let rollouts = rollouts(&context)?;
    let done = rollouts.order(&name, wish, by, request.even_if_degraded).await;
    done.map_err(|refused| Refused::from(&refused))?;
    aside(move || shown(&context, &name)).await?.map(Json)
}

fn shown(context: &Context, name: &str) -> Result<RolloutLine, Refused> {
    let line = context.rollout(name);
    line.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, format!("there is no rollout `{name}`")))
}

fn rollouts(context: &Context) -> Result<Rollouts, Refused> {
    let nobody = || Refused::new(StatusCode::SERVICE_UNAVAILABLE, "nobody runs rollouts here");
    context.running.rollouts().ok_or_else(nobody)
}

impl From<&RolloutRefused> for Refused {
    fn from(refused: &RolloutRefused) -> Refused {
        let status = match refused {
            RolloutRefused::Unknown(_) => StatusCode::NOT_FOUND,
            RolloutRefused::Conflict(_) => StatusCode::CONFLICT,
            RolloutRefused::Degraded(_) => StatusCode::FORBIDDEN,
            RolloutRefused::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        let told = Refused::new(status, refused.to_string());
        match refused {
            RolloutRefused::Degraded(_) => told.hint("--even-if-degraded does it all the same"),
            _ => told,
        }
    }
}
