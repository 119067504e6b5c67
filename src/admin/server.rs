//! The two doors: `[server] admin` for probes and scrapers, read-only but for heartbeats, and the
//! control socket for the command line.
//!
//! One request a connection, a bounded number of connections, and a time-out on each, so that
//! whoever plays with these ports takes nothing from the DNS side. The public door answers only
//! to hosts a browser cannot be tricked into using for it (DNS rebinding); heartbeats may come
//! under any name, for they carry a token. Past 600 lines: a flat list of routes.

use super::{
    ControlSocket, Running,
    audit::{self, AuditQuery, AuditRefused, ChainQuery},
    events::{Events, EventsQuery, EventsRefused},
    explain::{Ask, explain},
    hand::Hands,
    metrics,
    peer::Peer,
    push,
    schema::{
        EventLine, Explanation, Refusal, ReloadReply, RevisionLine, Status,
        audit::{AuditChain, AuditList},
        hand::{ApprovalLine, HandList, HandReply, HandRequest},
        health::TargetLine,
    },
    status::{self, Seen},
};
use crate::{
    clock::Clock,
    control::{
        Change, Handle, Report,
        audit::Origin,
        hand::{Refusal as HandRefusal, TargetError},
        journal::SharedJournal,
        overview::SharedOverview,
        residual::Moves,
    },
    place::LazyTable,
    telemetry::{Metrics, Telemetry},
    world::Viewer,
};
use arc_swap::ArcSwap;
use axum::{
    Extension, Json, Router,
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
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use tokio::{
    net::{TcpListener, UnixStream},
    sync::{Semaphore, mpsc::UnboundedSender, oneshot, watch::Receiver},
    task::JoinSet,
};

/// Connections of one door at a time: a scraper, a load balancer and some people; more wait.
const CONNECTIONS_MAX: usize = 32;
/// A request's head must be here by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole connection, the reload of a million names included.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);

/// Everything the doors show and change.
pub struct Context {
    changes: UnboundedSender<Change>,
    viewer: Viewer,
    journal: SharedJournal,
    events: Arc<Events>,
    report: Receiver<Arc<Report>>,
    locations: Arc<ArcSwap<LazyTable>>,
    moves: Moves,
    overview: SharedOverview,
    hands: Arc<Hands>,
    telemetry: Arc<Telemetry>,
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
        let Handle { changes, reader, journal, report, locations, moves, overview, hand } = handle;
        let viewer = reader.viewer();
        metrics::add(&mut metrics, &viewer, &report, &running);
        metrics::unsettled(&mut metrics, &overview, &hand);
        metrics::old_answers(&mut metrics, &moves, &clock);
        let started = clock.wall();
        let telemetry = metrics.telemetry();
        let hands = Arc::new(Hands {
            viewer: viewer.clone(),
            shown: hand,
            locations: Arc::clone(&locations),
            clock: Arc::clone(&clock),
            clients: Mutex::default(),
        });
        let events = Arc::new(Events::new(journal.clone(), Arc::clone(&clock)));
        Arc::new(Context {
            changes,
            viewer,
            journal,
            events,
            report,
            locations,
            moves,
            overview,
            hands,
            telemetry,
            metrics,
            clock,
            started,
            running,
        })
    }

    pub(super) fn running(&self) -> &dyn Running {
        &*self.running
    }

    fn targets(&self) -> Vec<TargetLine> {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        self.running.targets().iter().map(|target| TargetLine::new(target, now, wall)).collect()
    }

    fn report(&self) -> Arc<Report> {
        Arc::clone(&self.report.borrow())
    }

    fn status(&self) -> Status {
        let mut status = status::status(&Seen {
            world: &self.viewer.world(),
            report: &self.report(),
            running: &*self.running,
            journal: &self.journal,
            overview: &self.overview.load(),
            hand: &self.hands.shown.load(),
            left: self.moves.left(&self.telemetry, self.clock.now()),
            clock: &*self.clock,
            started: self.started,
        });
        status.not_ready.extend(self.unminded());
        status
    }

    /// That nobody takes changes any more, if so: answers then stay as they are, whatever health
    /// finds out.
    fn unminded(&self) -> Option<String> {
        let why = "control has ended: answers change no more until the server is restarted";
        self.changes.is_closed().then(|| why.to_owned())
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

/// Serves `/healthz`, `/readyz`, `/metrics` and heartbeats on `listener` until `stop`.
pub async fn serve_public(
    listener: TcpListener,
    context: Arc<Context>,
    stop: impl Future<Output = ()>,
) {
    let guarded = watched().layer(middleware::from_fn(check_host));
    let router = guarded.merge(push::routes()).with_state(context);
    serve(listener, router, |_| Peer(None), stop).await;
}

/// Serves the same and everything the command line asks for on `socket` until `stop`.
pub async fn serve_control(
    socket: ControlSocket,
    context: Arc<Context>,
    stop: impl Future<Output = ()>,
) {
    let ControlSocket { listener, place } = socket;
    let peer = |stream: &UnixStream| Peer(stream.peer_cred().ok().map(|peer| peer.uid()));
    serve(listener, control().with_state(context), peer, stop).await;
    drop(place);
}

/// Accepts until `stop`; what is still under way then is dropped.
async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    peer: fn(&L::Io) -> Peer,
    stop: impl Future<Output = ()>,
) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let next = async {
            let seat = Arc::clone(&seats).acquire_owned().await.ok()?;
            Some((seat, listener.accept().await.0))
        };
        // Full seats must not hold up the end: it is waited for beside both.
        let next = tokio::select! {
            biased;
            () = &mut stop => return,
            next = next => next,
        };
        let Some((seat, stream)) = next else { return };
        let service = TowerToHyperService::new(router.clone().layer(Extension(peer(&stream))));
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
        .merge(push::routes())
        .route("/v1/status", get(show_status))
        .route("/v1/targets", get(show_targets))
        .route("/v1/events", get(show_events))
        .route("/v1/audit", get(show_audit))
        .route("/v1/audit/chain", get(show_chain))
        .route("/v1/revisions", get(show_revisions))
        .route("/v1/explain", get(show_explanation))
        .route("/v1/reload", post(reload))
        .route("/v1/rollback/{revision}", post(rollback))
        .route("/v1/demo/{action}/{region}", post(demo))
        .route("/v1/hand", get(show_hand).post(take_hand))
        .route("/v1/approvals", get(show_approvals))
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
    let mut reasons = status::not_ready(&context.viewer.world(), &context.report());
    reasons.extend(context.unminded());
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

async fn show_targets(
    State(context): State<Arc<Context>>,
) -> Result<Json<Vec<TargetLine>>, Refused> {
    aside(move || context.targets()).await.map(Json)
}

async fn show_events(
    State(context): State<Arc<Context>>,
    Query(asked): Query<EventsQuery>,
) -> Result<Json<Vec<EventLine>>, Refused> {
    let page = Arc::clone(&context.events).page(asked).await;
    page.map(Json).map_err(|error| {
        let status = match error {
            EventsRefused::Since(_) => StatusCode::BAD_REQUEST,
            EventsRefused::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refused(status, error.to_string())
    })
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
    reason: Option<String>,
    #[serde(rename = "as")]
    who: Option<String>,
}

#[derive(Deserialize)]
struct WhoQuery {
    reason: Option<String>,
    #[serde(rename = "as")]
    who: Option<String>,
}

async fn reload(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Query(asked): Query<ReloadQuery>,
) -> Result<Json<ReloadReply>, Refused> {
    let cause = "tradewind reload".into();
    let by = origin(peer, asked.who.as_deref(), asked.reason.as_deref())?;
    let wish = |reply| Change::Reload { cause, by, force: asked.force, reply: Some(reply) };
    let report: Report = context.change(wish).await?;
    Ok(Json(ReloadReply::from(&report)))
}

async fn rollback(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Path(revision): Path<u64>,
    Query(asked): Query<WhoQuery>,
) -> Result<Json<ReloadReply>, Refused> {
    let by = origin(peer, asked.who.as_deref(), asked.reason.as_deref())?;
    let wish = |reply| Change::Rollback { revision, by, reply: Some(reply) };
    let report: Report = context.change(wish).await?;
    Ok(Json(ReloadReply::from(&report)))
}

async fn show_hand(State(context): State<Arc<Context>>) -> Result<Json<HandList>, Refused> {
    aside(move || context.hands.list()).await.map(Json)
}

async fn take_hand(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<HandRequest>,
) -> Result<Json<HandReply>, Response> {
    let command = request.read(peer, context.clock.wall());
    let command =
        command.map_err(|error| Refused(StatusCode::BAD_REQUEST, error).into_response())?;
    let hands = Arc::clone(&context.hands);
    // Before the wish is on its way, so that control does not wait for it.
    let clients = aside(move || hands.clients()).await.map_err(IntoResponse::into_response)?;
    let wish = |reply| Change::Hand {
        command: Box::new(command.clone()),
        from: peer.place(),
        clients: Arc::clone(&clients),
        reply,
    };
    let done = context.change(wish).await.map_err(IntoResponse::into_response)?;
    let done = done
        .map_err(|refusal| (refused_with(&refusal), Json(Refusal::of(&refusal))).into_response())?;
    let hands = Arc::clone(&context.hands);
    let reply = aside(move || hands.reply(&done, &command.wish, &clients)).await;
    reply.map(Json).map_err(IntoResponse::into_response)
}

async fn show_approvals(
    State(context): State<Arc<Context>>,
) -> Result<Json<Vec<ApprovalLine>>, Refused> {
    let hands = Arc::clone(&context.hands);
    let clients = aside(move || hands.clients()).await?;
    let waiting = context.change(|reply| Change::Waiting { reply }).await?;
    let hands = Arc::clone(&context.hands);
    aside(move || hands.approvals(&waiting, &clients)).await.map(Json)
}

/// The command line makes its exit codes of these.
fn refused_with(refusal: &HandRefusal) -> StatusCode {
    match refusal {
        HandRefusal::Target(TargetError::NoMatch { .. } | TargetError::Ambiguous { .. })
        | HandRefusal::Weight(_)
        | HandRefusal::NoMember { .. }
        | HandRefusal::NoFailover(_)
        | HandRefusal::Nothing(_)
        | HandRefusal::Full => StatusCode::NOT_FOUND,
        HandRefusal::Target(_)
        | HandRefusal::Unfit { .. }
        | HandRefusal::NeedsReason
        | HandRefusal::Past(_)
        | HandRefusal::Once(_) => StatusCode::BAD_REQUEST,
        HandRefusal::NothingWaits(_) | HandRefusal::NotYet | HandRefusal::Conflict(_) => {
            StatusCode::CONFLICT
        }
        HandRefusal::SamePerson { .. } | HandRefusal::Unsafe(_) => StatusCode::FORBIDDEN,
    }
}

fn origin(peer: Peer, who: Option<&str>, reason: Option<&str>) -> Result<Origin, Refused> {
    peer.origin(who, reason).map_err(|why| Refused(StatusCode::BAD_REQUEST, why))
}

async fn show_audit(
    State(context): State<Arc<Context>>,
    Query(asked): Query<AuditQuery>,
) -> Result<Json<AuditList>, Refused> {
    let read = move || audit::list(&context.journal, &asked, context.clock.wall());
    aside(read).await?.map(Json).map_err(unread)
}

async fn show_chain(
    State(context): State<Arc<Context>>,
    Query(asked): Query<ChainQuery>,
) -> Result<Json<AuditChain>, Refused> {
    aside(move || audit::chain(&context.journal, &asked)).await?.map(Json).map_err(unread)
}

fn unread(refused: AuditRefused) -> Refused {
    let status = match refused {
        AuditRefused::Since(_) => StatusCode::BAD_REQUEST,
        AuditRefused::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refused(status, refused.to_string())
}

async fn demo(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Path((action, region)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let up = match &*action {
        "kill" => false,
        "restore" => true,
        _ => return Err(Refused(StatusCode::NOT_FOUND, "kill or restore a region".to_owned())),
    };
    let by = origin(peer, None, None)?;
    let wish = |reply| Change::Demo { region: region.into(), up, by, reply: Some(reply) };
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
pub(super) struct Refused(pub StatusCode, pub String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Refusal { error: self.1, ..Refusal::default() })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testkit, *};
    use crate::{clock::SystemClock, control::publish::Control, telemetry::Telemetry};
    use tokio::{
        io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
        net::TcpStream,
        sync::{mpsc, watch},
    };

    #[test]
    fn only_addresses_and_localhost_are_our_hosts() {
        for host in ["127.0.0.1", "127.0.0.1:8053", "[::1]:8053", "[::1]", "LocalHost:1"] {
            assert!(is_ours(host), "{host}");
        }
        for host in ["evil.example", "evil.example:8053", "127.0.0.1.evil.example", "", "[x]"] {
            assert!(!is_ours(host), "{host}");
        }
    }

    /// Both doors of a server that holds the files of [`testkit`].
    struct Doors {
        dir: tempfile::TempDir,
        public: std::net::SocketAddr,
        control: Control,
        report: watch::Sender<Arc<Report>>,
        changes: mpsc::UnboundedReceiver<Change>,
    }

    impl Doors {
        async fn open() -> Doors {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
            let control = Control::new(Arc::clone(&clock));
            let (changes, taken) = mpsc::unbounded_channel();
            let (report, reports) = watch::channel(Arc::default());
            let handle = Handle {
                changes,
                reader: control.reader(),
                journal: control.journal(),
                report: reports,
                locations: Arc::new(ArcSwap::new(Arc::new(LazyTable::embedded()))),
                moves: control.moves(),
                overview: control.overview(),
                hand: control.hand(),
            };
            let metrics = Metrics::new(Arc::new(Telemetry::default()));
            let running = Arc::new(testkit::Quiet::default());
            let context = Context::new(handle, metrics, clock, running);
            let dir = tempfile::tempdir().unwrap();
            let socket = ControlSocket::bind(&dir.path().join("s")).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let public = listener.local_addr().unwrap();
            tokio::spawn(serve_public(listener, Arc::clone(&context), std::future::pending()));
            tokio::spawn(serve_control(socket, context, std::future::pending()));
            Doors { dir, public, control, report, changes: taken }
        }

        async fn ask_public(&self, path: &str, host: &str) -> String {
            ask(TcpStream::connect(self.public).await.unwrap(), "GET", path, host).await
        }

        /// A heartbeat with `token`, from a host name that no browser may use here.
        async fn push(&self, path: &str, token: &str, body: &str) -> String {
            let length = body.len();
            let head =
                format!("evil.example\r\nAuthorization: {token}\r\nContent-Length: {length}");
            let mut stream = TcpStream::connect(self.public).await.unwrap();
            let request = format!("POST {path} HTTP/1.1\r\nHost: {head}\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).await.unwrap();
            reply(stream).await
        }

        async fn ask_control(&self, method: &str, path: &str) -> String {
            let socket = UnixStream::connect(self.dir.path().join("s")).await.unwrap();
            ask(socket, method, path, "localhost").await
        }
    }

    /// The reply: its status, an empty line, its body.
    async fn ask(
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        method: &str,
        path: &str,
        host: &str,
    ) -> String {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        reply(stream).await
    }

    async fn reply(mut stream: impl AsyncRead + Unpin) -> String {
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        format!("{}\n{body}", &head["HTTP/1.1 ".len()..][..3])
    }

    #[tokio::test]
    async fn a_server_is_ready_once_it_serves_its_files_with_health_known() {
        let mut doors = Doors::open().await;
        assert_eq!(doors.ask_public("/healthz", "127.0.0.1").await, "200\nalive\n");
        let early = doors.ask_public("/readyz", "localhost").await;
        assert!(early.starts_with("503\nno files have been accepted yet\n"), "{early}");

        doors.control.install(Arc::new(testkit::snapshot()), 1);
        doors.report.send_replace(Arc::new(Report { accepted: true, ..Report::default() }));
        let warming = doors.ask_public("/readyz", "localhost").await;
        assert_eq!(warming, "503\nthe first results of health checks are awaited\n");

        doors.control.warm();
        assert_eq!(doors.ask_public("/readyz", "localhost").await, "200\nready\n");
        let metrics = doors.ask_public("/metrics", "localhost").await;
        for line in ["tradewind_snapshot_revision 1.0", "tradewind_zones{state=\"current\"} 1.0"] {
            assert!(metrics.contains(line), "{metrics}");
        }
    }

    #[tokio::test]
    async fn the_public_door_shows_nothing_else_and_no_stranger() {
        let doors = Doors::open().await;
        assert!(doors.ask_public("/healthz", "evil.example").await.starts_with("403"));
        for path in ["/v1/status", "/v1/reload", "/"] {
            assert!(doors.ask_public(path, "localhost").await.starts_with("404"), "{path}");
        }
    }

    #[tokio::test]
    async fn a_heartbeat_is_taken_from_anywhere_with_its_token_only() {
        let doors = Doors::open().await;
        let right = "Bearer secret";
        let long = " ".repeat(2_000);
        for (path, token, body, status) in [
            ("beats/z/p/e", right, "", "204"),
            ("beats/z/p/e", right, "{\"status\": \"down\"}", "204"),
            ("beats", right, "", "204"),
            ("beats/z%2Fp%2Fe", right, "", "204"),
            ("beats/z/p/e", right, "well", "400"),
            ("beats/z/p/e", right, &long, "413"),
            ("beats/z/p/other", right, "", "404"),
        ] {
            let said = doors.push(&format!("/v1/push/{path}"), token, body).await;
            assert!(said.starts_with(status), "{path} {body}: {said}");
        }
        let wrong = doors.push("/v1/push/beats/z/p/e", "Bearer guess", "").await;
        assert_eq!(wrong, "401\n{\"error\":\"not authorized\"}");
        for (path, token) in
            [("nothing/z/p/e", right), ("beats/z/p/other", "Bearer guess"), ("beats", "Basic x")]
        {
            assert_eq!(doors.push(&format!("/v1/push/{path}"), token, "").await, wrong, "{path}");
        }
        assert!(doors.ask_public("/v1/push/beats", "localhost").await.starts_with("405"));
    }

    #[tokio::test]
    async fn the_control_socket_explains_and_says_what_it_cannot() {
        let mut doors = Doors::open().await;
        doors.control.install(Arc::new(testkit::snapshot()), 1);
        doors.control.warm();
        let said =
            doors.ask_control("GET", "/v1/explain?name=app.g.example&client=192.0.2.9").await;
        assert!(said.starts_with("200\n") && said.contains("192.0.2.1 (50 %)"), "{said}");
        let wrong = "/v1/explain?name=app.g.example&client=nobody";
        assert!(doors.ask_control("GET", wrong).await.starts_with("400\n{\"error\":"));
        let nothing = "/v1/explain?name=app.g.example&client=::1&what_if=pool:x%3Ddown";
        assert!(doors.ask_control("GET", nothing).await.contains("matches nothing"));
        let status = doors.ask_control("GET", "/v1/status").await;
        let status: Status = serde_json::from_str(&status["200\n".len()..]).unwrap();
        assert_eq!((status.revision, status.endpoints.len()), (1, 5));
        let events = doors.ask_control("GET", "/v1/events?since=1").await;
        let events: Vec<EventLine> = serde_json::from_str(&events["200\n".len()..]).unwrap();
        assert!(events.iter().all(|event| event.seq > 1));
    }

    #[tokio::test]
    async fn a_wish_goes_through_control_and_its_outcome_comes_back() {
        let mut doors = Doors::open().await;
        let control = async {
            match doors.changes.recv().await {
                Some(Change::Reload { cause, force: true, reply: Some(reply), .. }) => {
                    assert_eq!(&*cause, "tradewind reload");
                    reply.send(Report { revision: 8, ..Report::default() }).unwrap();
                }
                other => panic!("{other:?}"),
            }
        };
        let socket = doors.dir.path().join("s");
        let asked = async {
            let socket = UnixStream::connect(socket).await.unwrap();
            ask(socket, "POST", "/v1/reload?force=true", "localhost").await
        };
        let (reply, ()) = tokio::join!(asked, control);
        let reply: ReloadReply = serde_json::from_str(&reply["200\n".len()..]).unwrap();
        assert_eq!((reply.accepted, reply.revision), (false, 8));
        doors.changes.close();
        let stopping = doors.ask_control("POST", "/v1/rollback/3").await;
        assert!(stopping.starts_with("503\n"), "{stopping}");
        let unminded = doors.ask_public("/readyz", "localhost").await;
        assert!(unminded.contains("\ncontrol has ended"), "{unminded}");
    }

    #[tokio::test]
    async fn a_door_closes_though_all_its_seats_are_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, Router::new(), |_| Peer(None), async {
            let _ = stopped.await;
        }));
        let mut guests = Vec::new();
        for _ in 0..CONNECTIONS_MAX + 1 {
            guests.push(TcpStream::connect(address).await.unwrap());
        }
        // Whoever is served last got the last seat: its head is read before the door says no.
        stop.send(()).unwrap();
        let closed = tokio::time::timeout(HEAD_TIMEOUT / 2, served).await;
        closed.expect("it waits for nobody's seat").unwrap();
    }
}
