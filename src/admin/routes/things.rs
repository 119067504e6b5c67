//! What there is, thing by thing, in pages: `/v1/zones`, `/v1/records`, `/v1/pools`,
//! `/v1/endpoints`, `/v1/regions`, `/v1/checks`, `/v1/failovers`, and where an address is.

use crate::admin::{
    context::{Context, aside},
    inventory,
    refused::Refused,
    schema::{
        EndpointStatus, FailoverStatus, PoolStatus,
        things::{CheckLine, GeoLine, Page, PageQuery, RecordLine, RegionLine, ZoneLine},
    },
    status,
};
use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use std::{net::IpAddr, sync::Arc};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new()
        .routes(routes!(list_zones))
        .routes(routes!(list_records))
        .routes(routes!(list_pools))
        .routes(routes!(list_endpoints))
        .routes(routes!(list_regions))
        .routes(routes!(list_checks))
        .routes(routes!(list_failovers))
        .routes(routes!(locate))
}

/// A page of things.
type Listed<T> = Result<Json<Page<T>>, Refused>;

/// Zones, and which of their files they are answered from.
#[utoipa::path(
    get, path = "/v1/zones", security(("token" = ["read"])), tag = "things", params(PageQuery),
    responses((status = 200, body = Page<ZoneLine>)),
)]
async fn list_zones(
    State(context): State<Arc<Context>>,
    Query(asked): Query<PageQuery>,
) -> Listed<ZoneLine> {
    let wanted = asked.read().map_err(Refused::bad)?;
    aside(move || {
        let world = context.viewer.world();
        inventory::zones(&world, status::zones(&world, &context.report()), &wanted)
    })
    .await
    .map(Json)
}

/// Steered records: their policies, and which share of clients is sent where now.
#[utoipa::path(
    get, path = "/v1/records", security(("token" = ["read"])), tag = "things", params(PageQuery),
    responses((status = 200, body = Page<RecordLine>)),
)]
async fn list_records(
    State(context): State<Arc<Context>>,
    Query(asked): Query<PageQuery>,
) -> Listed<RecordLine> {
    let wanted = asked.read().map_err(Refused::bad)?;
    aside(move || {
        let clients = context.hands.clients();
        inventory::records(&context.viewer.world(), &clients, &wanted)
    })
    .await
    .map(Json)
}

/// Pools in use, and whether policies may use them.
#[utoipa::path(
    get, path = "/v1/pools", security(("token" = ["read"])), tag = "things", params(PageQuery),
    responses((status = 200, body = Page<PoolStatus>)),
)]
async fn list_pools(
    State(context): State<Arc<Context>>,
    Query(asked): Query<PageQuery>,
) -> Listed<PoolStatus> {
    let wanted = asked.read().map_err(Refused::bad)?;
    aside(move || {
        let world = context.viewer.world();
        wanted.page(status::pools(&world), |pool| &pool.pool, &world, PoolStatus::clone)
    })
    .await
    .map(Json)
}

/// Addresses and names that may be answered, with their verdicts.
#[utoipa::path(
    get, path = "/v1/endpoints", security(("token" = ["read"])), tag = "things",
    params(PageQuery), responses((status = 200, body = Page<EndpointStatus>)),
)]
async fn list_endpoints(
    State(context): State<Arc<Context>>,
    Query(asked): Query<PageQuery>,
) -> Listed<EndpointStatus> {
    let wanted = asked.read().map_err(Refused::bad)?;
    aside(move || {
        let world = context.viewer.world();
        let all = status::endpoints(&world, &context.running.targets(), &*context.clock);
        wanted.page(all, |endpoint| &endpoint.endpoint, &world, EndpointStatus::clone)
    })
    .await
    .map(Json)
}

/// Regions, and what of them is up.
#[utoipa::path(
    get, path = "/v1/regions", security(("token" = ["read"])), tag = "things", params(PageQuery),
    responses((status = 200, body = Page<RegionLine>)),
)]
async fn list_regions(
    State(context): State<Arc<Context>>,
    Query(asked): Query<PageQuery>,
) -> Listed<RegionLine> {
    let wanted = asked.read().map_err(Refused::bad)?;
    aside(move || inventory::regions(&context.viewer.world(), &wanted)).await.map(Json)
}

/// Health checks in use, and what of their endpoints is up.
#[utoipa::path(
    get, path = "/v1/checks", security(("token" = ["read"])), tag = "things", params(PageQuery),
    responses((status = 200, body = Page<CheckLine>)),
)]
async fn list_checks(
    State(context): State<Arc<Context>>,
    Query(asked): Query<PageQuery>,
) -> Listed<CheckLine> {
    let wanted = asked.read().map_err(Refused::bad)?;
    aside(move || inventory::checks(&context.viewer.world(), &context.running.targets(), &wanted))
        .await
        .map(Json)
}

/// Failovers: the active member, the phase, and what a move waits for.
#[utoipa::path(
    get, path = "/v1/failovers", security(("token" = ["read"])), tag = "things",
    params(PageQuery), responses((status = 200, body = Page<FailoverStatus>)),
)]
async fn list_failovers(
    State(context): State<Arc<Context>>,
    Query(asked): Query<PageQuery>,
) -> Listed<FailoverStatus> {
    let wanted = asked.read().map_err(Refused::bad)?;
    aside(move || {
        let world = context.viewer.world();
        let all = status::failovers(&world, &context.overview(), context.clock.now());
        wanted.page(all, |failover| &failover.failover, &world, FailoverStatus::clone)
    })
    .await
    .map(Json)
}

/// The parameters of `/v1/geo`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct GeoQuery {
    /// An address.
    #[param(value_type = String)]
    address: IpAddr,
}

/// Where an address is, as rules see it, and which database says so.
#[utoipa::path(
    get, path = "/v1/geo", security(("token" = ["read"])), tag = "things", params(GeoQuery),
    responses((status = 200, body = GeoLine)),
)]
async fn locate(
    State(context): State<Arc<Context>>,
    Query(asked): Query<GeoQuery>,
) -> Result<Json<GeoLine>, Refused> {
    aside(move || inventory::geo(asked.address, &context.locations.load())).await.map(Json)
}
