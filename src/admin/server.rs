//! The two doors: `[server] admin` for scrapers, dashboards and other machines, and the control
//! socket for the command line. The same routes at both; who may use which is asked by
//! [`super::door`].
//!
//! One request a connection, a bounded number of connections ([`super::seats`]), and a time-out on
//! each, so that whoever plays with these ports takes nothing from the DNS side, nor from others.

use super::{
    ControlSocket,
    context::Context,
    door::Door,
    peer::{Caller, Peer},
    refused::Refused,
    routes,
    seats::{Guest, Seats},
};
use axum::{
    Extension, Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    serve::Listener,
};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    future::{Future, ready},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixStream},
    task::{JoinSet, yield_now},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// A handshake must be over by then, and a request's head be here as long after.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// What a request's head may take, and what is held of any connection at a time: a long token, a
/// path, and what proxies add. With [`super::seats`]: 512 x 16 KiB from those who write heads only.
const HEAD_MAX: usize = 16 * 1024;
/// A whole connection, the reload of a million names included.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);

/// What a request comes to.
type Reply = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// Serves everything on `listener` until `stop`: over TLS while there is a certificate.
pub async fn serve_public(
    listener: TcpListener,
    context: Arc<Context>,
    stop: impl Future<Output = ()>,
) {
    let router = Door::before(routes::all(), &context);
    let talk = move |stream: TcpStream, from: SocketAddr, guest: Arc<Guest>| {
        let (router, tls) = (router.clone(), context.entry.load().tls.clone());
        async move {
            let peer = Peer::Stranger { from };
            let Some(tls) = tls else {
                let caller = Caller { peer, is_encrypted: false };
                return converse(stream, router, caller, &guest).await;
            };
            let shaken = timeout(HEAD_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await;
            if let Ok(Ok(stream)) = shaken {
                converse(stream, router, Caller { peer, is_encrypted: true }, &guest).await;
            }
        }
    };
    serve(listener, Seats::of_strangers(), SocketAddr::ip, talk, stop).await;
}

/// Serves everything on `socket` until `stop`.
pub async fn serve_control(
    socket: ControlSocket,
    context: Arc<Context>,
    stop: impl Future<Output = ()>,
) {
    let ControlSocket { listener, place } = socket;
    let router = Door::before(routes::all(), &context);
    let talk = move |stream: UnixStream, _, guest: Arc<Guest>| {
        let peer = Peer::User(stream.peer_cred().ok().map(|peer| peer.uid()));
        let router = router.clone();
        async move {
            converse(stream, router, Caller { peer, is_encrypted: false }, &guest).await;
        }
    };
    let nowhere = |_: &_| Ipv4Addr::UNSPECIFIED.into();
    serve(listener, Seats::of_one(), nowhere, talk, stop).await;
    drop(place);
}

/// Accepts until `stop`; what is still under way then is dropped, and so is at once who has no
/// place.
async fn serve<L: Listener, T: Future<Output = ()> + Send + 'static>(
    mut listener: L,
    seats: Arc<Seats>,
    whence: impl Fn(&L::Addr) -> IpAddr,
    talk: impl Fn(L::Io, L::Addr, Arc<Guest>) -> T,
    stop: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let (stream, from) = tokio::select! {
            biased;
            () = &mut stop => return,
            next = listener.accept() => next,
        };
        let Some(guest) = seats.enter(whence(&from)).map(Arc::new) else { continue };
        let connection = talk(stream, from, Arc::clone(&guest));
        connections.spawn(async move {
            tokio::select! {
                // A client that dawdles is its own trouble.
                _ = timeout(CONNECTION_TIMEOUT, connection) => {}
                () = guest.has_to_leave() => {}
            }
        });
        while connections.try_join_next().is_some() {}
        // Whoever has asked already is served before more come in: a burst of short requests
        // then takes few places.
        yield_now().await;
    }
}

/// Answers the one request of `caller`, who is `guest`. What may change something is done once it is
/// here, whether or not the caller stays for the reply.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    caller: Caller,
    guest: &Arc<Guest>,
) {
    let routes = TowerToHyperService::new(router.layer(Extension(caller)));
    let service = service_fn(|request: Request<Incoming>| -> Reply {
        if !guest.is_served() {
            return Box::pin(ready(Ok(crowded().into_response())));
        }
        let is_safe = request.method().is_safe();
        let reply = routes.call(request);
        if is_safe { Box::pin(reply) } else { to_the_end(reply, guest) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away is its own trouble.
    let _ = connection.await;
}

/// `reply`, which comes to its end in the place of `guest` though nobody may wait for it any more.
fn to_the_end(
    reply: impl Future<Output = Result<Response, Infallible>> + Send + 'static,
    guest: &Arc<Guest>,
) -> Reply {
    let place = Arc::clone(guest);
    let ended = tokio::spawn(async move {
        let reply = timeout(CONNECTION_TIMEOUT, reply).await;
        drop(place);
        reply
    });
    Box::pin(async move {
        ended.await.ok().and_then(Result::ok).unwrap_or_else(|| {
            let why = "this did not come to an end; the log says more";
            Ok(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_response())
        })
    })
}

fn crowded() -> Refused {
    let why = "too many requests are served right now; try again in a second";
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, why).with(header::RETRY_AFTER, "1")
}

#[cfg(test)]
mod tests {
    use super::{super::testkit, *};
    use crate::{
        admin::schema::{EventLine, ReloadReply, Status},
        clock::{Clock, Moment, SystemClock},
        control::{Change, Handle, Report, publish::Control},
        place::LazyTable,
        telemetry::{Metrics, Telemetry},
    };
    use arc_swap::ArcSwap;
    use std::time::SystemTime;
    use tokio::{
        io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
        net::TcpStream,
        sync::{mpsc, oneshot, watch},
    };

    /// Time stands still.
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Moment {
            Moment(0)
        }
        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
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
            Doors::open_at(Arc::new(SystemClock::default())).await
        }

        async fn open_at(clock: Arc<dyn Clock>) -> Doors {
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
                entry: Arc::default(),
            };
            let metrics = Metrics::new(Arc::new(Telemetry::default()));
            let running = Arc::new(testkit::Quiet::default());
            let context = Context::new(handle, metrics, clock, running, Vec::new());
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
    async fn the_public_door_shows_the_same_to_neighbours_and_changes_nothing_for_them() {
        let doors = Doors::open().await;
        assert!(doors.ask_public("/healthz", "evil.example").await.starts_with("403"));
        assert!(doors.ask_public("/v1/status", "localhost").await.starts_with("200"));
        assert!(doors.ask_public("/v1/reload", "localhost").await.starts_with("405"));
        assert!(doors.ask_public("/", "localhost").await.starts_with("404"));
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
        let title = "{\"type\":\"about:blank\",\"title\":\"Unauthorized\",\"status\":401,";
        assert_eq!(wrong, format!("401\n{title}\"detail\":\"not authorized\"}}"));
        for (path, token) in
            [("nothing/z/p/e", right), ("beats/z/p/other", "Bearer guess"), ("beats", "Basic x")]
        {
            assert_eq!(doors.push(&format!("/v1/push/{path}"), token, "").await, wrong, "{path}");
        }
        assert!(doors.ask_public("/v1/push/beats", "localhost").await.starts_with("405"));
    }

    #[tokio::test]
    async fn whoever_guesses_tokens_of_heartbeats_is_told_to_wait() {
        let doors = Doors::open_at(Arc::new(Still)).await;
        let path = "/v1/push/beats/z/p/e";
        // Right ones are not counted.
        for _ in 0..150 {
            assert!(doors.push(path, "Bearer secret", "").await.starts_with("204"));
        }
        for _ in 0..100 {
            assert!(doors.push(path, "Bearer guess", "").await.starts_with("401"));
        }
        for token in ["Bearer guess", "Bearer secret"] {
            let said = doors.push(path, token, "").await;
            assert!(said.starts_with("429"), "{said}");
        }
        // What else is asked from there has a count of its own.
        assert_eq!(doors.ask_public("/healthz", "127.0.0.1").await, "200\nalive\n");
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
        assert!(doors.ask_control("GET", wrong).await.contains("\"status\":400,\"detail\":"));
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
    async fn a_door_closes_though_many_stand_in_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let talk = |stream: TcpStream, from, guest: Arc<Guest>| async move {
            let caller = Caller { peer: Peer::Stranger { from }, is_encrypted: false };
            converse(stream, Router::new(), caller, &guest).await;
        };
        let seats = Seats::of_strangers();
        let served = tokio::spawn(serve(listener, seats, SocketAddr::ip, talk, async {
            let _ = stopped.await;
        }));
        let mut guests = Vec::new();
        for _ in 0..50 {
            guests.push(TcpStream::connect(address).await.unwrap());
        }
        stop.send(()).unwrap();
        let closed = tokio::time::timeout(HEAD_TIMEOUT / 2, served).await;
        closed.expect("it waits for nobody").unwrap();
    }
}
