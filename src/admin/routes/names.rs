//! `/v1/names`: what could be meant by what somebody has begun to type, for shells that complete.

use crate::{
    admin::{
        context::{Context, aside},
        refused::Refused,
        schema::{SCHEMA_VERSION, names::Names},
    },
    control::hand::{
        Hand,
        target::{Kind, names},
    },
    snapshot::Snapshot,
};
use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use std::{collections::BTreeSet, sync::Arc};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Names in one reply: more nobody looks through.
const NAMES_MAX: usize = 200;

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show_names))
}

/// The parameters of `/v1/names`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct NamesQuery {
    /// Of what.
    #[param(inline)]
    kind: NamesOf,
    /// What they begin with.
    #[serde(default)]
    begins: String,
}

/// What has names.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum NamesOf {
    /// Targets of operators' changes: `region:us-east-1`.
    Target,
    /// Targets that may be failovers.
    Failover,
    /// Targets, and overrides by number.
    Override,
    /// Names that are answered, and apexes.
    Name,
    /// Regions.
    Region,
    /// Endpoints.
    Endpoint,
}

/// Names that begin so, at most 200.
#[utoipa::path(
    get, path = "/v1/names", security(("token" = ["read"])), tag = "status",
    params(NamesQuery),
    responses((status = 200, body = Names)),
)]
async fn show_names(
    State(context): State<Arc<Context>>,
    Query(asked): Query<NamesQuery>,
) -> Result<Json<Names>, Refused> {
    let look = move || {
        let (world, shown) = (context.viewer.world(), context.hands.shown.load_full());
        let found = found(asked.kind, &asked.begins, &world.snapshot, &shown.hand);
        let names = found.into_iter().take(NAMES_MAX).collect();
        Names { schema_version: SCHEMA_VERSION, names }
    };
    aside(look).await.map(Json)
}

fn found(of: NamesOf, begins: &str, snapshot: &Snapshot, hand: &Hand) -> BTreeSet<String> {
    let mut found = match of {
        NamesOf::Target => targets(&Kind::ALL, begins, snapshot),
        NamesOf::Failover => targets(&[Kind::Record, Kind::Policy], begins, snapshot),
        NamesOf::Override => {
            let mut found = targets(&Kind::ALL, begins, snapshot);
            found.extend(hand.overrides().iter().map(|one| format!("id:{}", one.id)));
            found
        }
        NamesOf::Name => {
            let owners = snapshot.records.iter().map(|record| record.owner.to_string());
            owners.chain(snapshot.zones.iter().map(|zone| zone.apex.to_string())).collect()
        }
        NamesOf::Region => names(Kind::Region, snapshot),
        NamesOf::Endpoint => names(Kind::Endpoint, snapshot),
    };
    found.retain(|name| name.starts_with(begins));
    found
}

/// Kinds as long as none is typed, then what there is of that kind.
fn targets(kinds: &[Kind], begins: &str, snapshot: &Snapshot) -> BTreeSet<String> {
    let words = kinds.iter().map(|kind| format!("{}:", kind.word()));
    let typed = kinds
        .iter()
        .find(|kind| begins.strip_prefix(kind.word()).is_some_and(|rest| rest.starts_with(':')));
    match typed {
        None => words.collect(),
        Some(kind) => names(*kind, snapshot)
            .into_iter()
            .map(|name| format!("{}:{name}", kind.word()))
            .collect(),
    }
}
