//! The two doors: `[server] admin` for probes and scrapers, read-only, and the control socket
//! for the command line.
//!
//! One request a connection, a bounded number of connections, and a time-out on each, so that
//! whoever plays with these ports takes nothing from the DNS side. The public door answers only
//! to hosts a browser cannot be tricked into using for it (DNS rebinding).

use super::{
    ControlSocket, Running,
    explain::{Ask, explain},
    metrics,
    schema::{EventLine, Explanation, Refusal, ReloadReply, RevisionLine, Status},
    status::{self, Seen},
};
use crate::{
    clock::Clock,
    control::{Change, Handle, Report, publish::SharedJournal},
    place::LocationTable,
    telemetry::Metrics,
    world::Viewer,
};
use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::Listener,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::Deserialize;
use std::{
    future::Future,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc::UnboundedSender, oneshot, watch::Receiver},
    task::JoinSet,
};

/// Connections of one door at a time: a scraper, a load balancer and some people; more wait.
const CONNECTIONS_MAX: usize = 32;
/// A request's head must be here by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole connection, the reload of a million names included.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// Events in one reply; `since` asks for more.
const EVENTS_MAX: usize = 1_000;

/// Everything the doors show and change.
pub struct Context {
    changes: UnboundedSender<Change>,
    viewer: Viewer,
    journal: SharedJournal,
    report: Receiver<Arc<Report>>,
    locations: Arc<ArcSwap<LocationTable>>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    started: SystemTime,
    running: Arc<dyn Running>,
}

impl Context {
    /// A context around `handle`; the gauges of `running` are added to `metrics`.
    pub fn new(
        handle: Handle,
        mut metrics: Metrics,
        clock: Arc<dyn Clock>,
        running: Arc<dyn Running>,
    ) -> Arc<Context> {
        let Handle { changes, reader, journal, report, locations } = handle;
        let viewer = reader.viewer();
        metrics::add(&mut metrics, &viewer, &report, &running);
        let started = clock.wall();
        Arc::new(Context {
            changes,
            viewer,
            journal,
            report,
            locations,
            metrics,
            clock,
            started,
            running,
        })
    }

    fn report(&self) -> Arc<Report> {
        Arc::clone(&self.report.borrow())
    }

    fn status(&self) -> Status {
        status::status(&Seen {
            world: &self.viewer.world(),
            report: &self.report(),
            running: &*self.running,
            journal: &self.journal,
            clock: &*self.clock,
            started: self.started,
        })
    }

    fn explain(&self, asked: ExplainQuery) -> Result<Explanation, Refused> {
        let ask = asked.read()?;
        let locations = self.locations.load_full();
        explain(&self.viewer.world(), Some(&locations), &ask)
            .map_err(|error| Refused(StatusCode::NOT_FOUND, error.to_string()))
    }

    /// Sends a wish and waits for what becomes of it.
    async fn change<T>(
        &self,
        wish: impl FnOnce(oneshot::Sender<T>) -> Change,
    ) -> Result<T, Refused> {
        let (reply, outcome) = oneshot::channel();
        let stopping =
            || Refused(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping".to_owned());
        self.changes.send(wish(reply)).map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())
    }
}

/// Serves `/healthz`, `/readyz` and `/metrics` on `listener` until `stop`.
pub async fn serve_public(
    listener: TcpListener,
    context: Arc<Context>,
    stop: impl Future<Output = ()>,
) {
    let router = watched().layer(middleware::from_fn(check_host)).with_state(context);
    serve(listener, router, stop).await;
}

/// Serves the same and everything the command line asks for on `socket` until `stop`.
pub async fn serve_control(
    socket: ControlSocket,
    context: Arc<Context>,
    stop: impl Future<Output = ()>,
) {
    let ControlSocket { listener, place } = socket;
    serve(listener, control().with_state(context), stop).await;
    drop(place);
}

/// Accepts until `stop`; what is still under way then is dropped.
async fn serve<L: Listener>(mut listener: L, router: Router, stop: impl Future<Output = ()>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            // A client that goes away or dawdles is its own trouble.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(seat);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// What both doors show.
fn watched() -> Router<Arc<Context>> {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
}

fn control() -> Router<Arc<Context>> {
    watched()
        .route("/v1/status", get(show_status))
        .route("/v1/events", get(show_events))
        .route("/v1/revisions", get(show_revisions))
        .route("/v1/explain", get(show_explanation))
        .route("/v1/reload", post(reload))
        .route("/v1/rollback/{revision}", post(rollback))
        .route("/v1/demo/{action}/{region}", post(demo))
}

/// A page elsewhere can make a browser send requests here under a name of its own that it lets
/// point to us; it cannot choose the Host header, so names other than `localhost` are refused.
async fn check_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str());
    match host {
        None => next.run(request).await,
        Some(Ok(host)) if is_ours(host) => next.run(request).await,
        Some(_) => {
            let why = "ask by address or as localhost: other Host headers are refused\n";
            (StatusCode::FORBIDDEN, why).into_response()
        }
    }
}

/// Whether `host`, with or without a port, is an address or `localhost`.
fn is_ours(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.split(':').next().unwrap_or(host),
    };
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

async fn ready(State(context): State<Arc<Context>>) -> Response {
    let reasons = status::not_ready(&context.viewer.world(), &context.report());
    match reasons.is_empty() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response(),
    }
}

async fn scrape(State(context): State<Arc<Context>>) -> Response {
    const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match aside(move || context.metrics.text()).await {
        Ok(text) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn show_status(State(context): State<Arc<Context>>) -> Result<Json<Status>, Refused> {
    aside(move || context.status()).await.map(Json)
}

#[derive(Deserialize)]
struct EventsQuery {
    #[serde(default)]
    since: u64,
}

async fn show_events(
    State(context): State<Arc<Context>>,
    Query(asked): Query<EventsQuery>,
) -> Json<Vec<EventLine>> {
    let journal = context.journal.lock();
    Json(journal.since(asked.since).take(EVENTS_MAX).map(EventLine::from).collect())
}

async fn show_revisions(
    State(context): State<Arc<Context>>,
) -> Result<Json<Vec<RevisionLine>>, Refused> {
    let lines = move || {
        let current = context.viewer.world().revision;
        let kept = context.running.revisions();
        kept.iter().map(|manifest| RevisionLine::new(manifest, current)).collect()
    };
    aside(lines).await.map(Json)
}

/// The parameters of `/v1/explain`.
#[derive(Deserialize)]
struct ExplainQuery {
    name: String,
    #[serde(rename = "type")]
    rtype: Option<String>,
    client: String,
    /// Separated by commas.
    what_if: Option<String>,
}

impl ExplainQuery {
    fn read(&self) -> Result<Ask, Refused> {
        let bad = |error: String| Refused(StatusCode::BAD_REQUEST, error);
        let what_if = self.what_if.iter().flat_map(|all| all.split(','));
        Ask::read(&self.name, self.rtype.as_deref().unwrap_or("A"), &self.client, what_if)
            .map_err(|error| bad(error.to_string()))
    }
}

async fn show_explanation(
    State(context): State<Arc<Context>>,
    Query(asked): Query<ExplainQuery>,
) -> Result<Json<Explanation>, Refused> {
    aside(move || context.explain(asked)).await?.map(Json)
}

#[derive(Deserialize)]
struct ReloadQuery {
    #[serde(default)]
    force: bool,
}

async fn reload(
    State(context): State<Arc<Context>>,
    Query(asked): Query<ReloadQuery>,
) -> Result<Json<ReloadReply>, Refused> {
    let cause = "tradewind reload".into();
    let wish = |reply| Change::Reload { cause, force: asked.force, reply: Some(reply) };
    let report: Report = context.change(wish).await?;
    Ok(Json(ReloadReply::from(&report)))
}

async fn rollback(
    State(context): State<Arc<Context>>,
    Path(revision): Path<u64>,
) -> Result<Json<ReloadReply>, Refused> {
    let wish = |reply| Change::Rollback { revision, reply: Some(reply) };
    let report: Report = context.change(wish).await?;
    Ok(Json(ReloadReply::from(&report)))
}

async fn demo(
    State(context): State<Arc<Context>>,
    Path((action, region)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let up = match &*action {
        "kill" => false,
        "restore" => true,
        _ => return Err(Refused(StatusCode::NOT_FOUND, "kill or restore a region".to_owned())),
    };
    let wish = |reply| Change::Demo { region: region.into(), up, reply: Some(reply) };
    let done: Result<(), String> = context.change(wish).await?;
    done.map(|()| StatusCode::NO_CONTENT).map_err(|error| Refused(StatusCode::CONFLICT, error))
}

/// Runs what takes more than a moment away from the threads that probe and accept.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| {
        let why = "this could not be worked out; the log says more".to_owned();
        Refused(StatusCode::INTERNAL_SERVER_ERROR, why)
    })
}

/// Why a request was not done.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Refusal { error: self.1 })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_our_hosts() {
        for host in ["127.0.0.1", "127.0.0.1:8053", "[::1]:8053", "[::1]", "LocalHost:1"] {
            assert!(is_ours(host), "{host}");
        }
        for host in ["evil.example", "evil.example:8053", "127.0.0.1.evil.example", "", "[x]"] {
            assert!(!is_ours(host), "{host}");
        }
    }
}
