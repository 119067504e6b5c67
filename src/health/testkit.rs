//! Real servers for the tests of this room: tiny HTTP, plain or over TLS, which answer as told,
//! and count who came.

use super::probe::client_config;
use crate::checkplan::{Check, CheckKind, HttpCheck, Mode, ProbeAddress, Target};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// An outer bound for events that do come; reaching it is a failed test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const OK: Reply = Reply::Text("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
pub(crate) const UNAVAILABLE: Reply =
    Reply::Text("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\noops");

/// What a server does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// Sends this, then closes.
    Text(&'static str),
    /// Sends headers and a body of spaces of this length, and `ok` after them.
    Padded(usize),
    /// Sends a byte of a good answer every so often.
    Dribble(Duration),
    /// Sends nothing and waits until the client goes away.
    Hang,
    /// Closes with a reset.
    Reset,
    /// The next of these for each connection, from the first again after the last.
    InTurn(&'static [Reply]),
}

/// A server on a port of its own; it ends with its value.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    reply: Arc<Mutex<Reply>>,
    seen: watch::Sender<Seen>,
    task: JoinHandle<()>,
}

/// What a server saw so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    /// Connections which the client left while the server was silent.
    pub(crate) abandoned: usize,
    pub(crate) request: String,
    pub(crate) sni: Option<String>,
}

impl Server {
    pub(crate) async fn http(at: &str, reply: Reply) -> Server {
        Self::start(at, reply, None).await
    }

    pub(crate) async fn https(at: &str, reply: Reply, acceptor: TlsAcceptor) -> Server {
        Self::start(at, reply, Some(acceptor)).await
    }

    async fn start(at: &str, reply: Reply, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let reply = Arc::new(Mutex::new(reply));
        let seen = watch::Sender::new(Seen::default());
        let task = tokio::spawn(accept(listener, Arc::clone(&reply), seen.clone(), tls));
        Server { address, reply, seen, task }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    pub(crate) fn answer(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// Waits until the server has seen `what`.
    pub(crate) async fn wait(&self, what: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        tokio::time::timeout(PATIENCE, seen.wait_for(what))
            .await
            .expect("the server sees what the test waits for")
            .unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    reply: Arc<Mutex<Reply>>,
    seen: watch::Sender<Seen>,
    tls: Option<TlsAcceptor>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        seen.send_modify(|seen| seen.connections += 1);
        let turn = seen.borrow().connections - 1;
        let (reply, seen, tls) = (*reply.lock().unwrap(), seen.clone(), tls.clone());
        let reply = match reply {
            Reply::InTurn(replies) => replies[turn % replies.len()],
            reply => reply,
        };
        tokio::spawn(async move {
            match tls {
                None => converse(stream, reply, &seen).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else {
                        return;
                    };
                    let sni = stream.get_ref().1.server_name().map(str::to_owned);
                    seen.send_modify(|seen| seen.sni = sni);
                    converse(stream, reply, &seen).await;
                }
            }
        });
    }
}

/// Something a reply goes out on.
trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}
impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}
impl Stream for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn converse(mut stream: impl Stream, reply: Reply, seen: &watch::Sender<Seen>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    seen.send_modify(|seen| seen.request = request);
    let sent = match reply {
        Reply::Text(text) => stream.write_all(text.as_bytes()).await,
        Reply::Padded(length) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", length + 2);
            let body = format!("{head}{}ok", " ".repeat(length));
            stream.write_all(body.as_bytes()).await
        }
        Reply::Dribble(pause) => dribble(&mut stream, pause).await,
        Reply::Hang | Reply::InTurn(_) => Ok(()),
        Reply::Reset => {
            socket2::SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO)).unwrap();
            return;
        }
    };
    let hang = matches!(reply, Reply::Hang);
    if sent.is_err() || hang && stream.read_u8().await.is_err() {
        seen.send_modify(|seen| seen.abandoned += 1);
    } else {
        let _ = stream.shutdown().await;
    }
}

async fn dribble(stream: &mut impl Stream, pause: Duration) -> std::io::Result<()> {
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" {
        stream.write_u8(*byte).await?;
        stream.flush().await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// An authority, and what it has signed.
pub(crate) struct Authority {
    pub(crate) root: CertificateDer<'static>,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        Authority { root: root.der().clone(), issuer: rcgen::Issuer::new(params, key) }
    }

    /// A server's side of TLS, with a certificate for `name` which ends in `year`.
    pub(crate) fn acceptor(&self, name: &str, year: i32) -> TlsAcceptor {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
        Arc::new(config).into()
    }
}

pub(crate) fn tls(roots: &[CertificateDer<'static>]) -> Arc<rustls::ClientConfig> {
    client_config(roots).unwrap()
}

pub(crate) fn http_check() -> HttpCheck {
    HttpCheck { path: "/healthz".into(), host: None, status: vec![200..=299], body_contains: None }
}

/// A target with short times: interval 200 ms unless the time-out needs more.
pub(crate) fn target(address: ProbeAddress, kind: CheckKind, timeout: Duration) -> Target {
    Target {
        key: format!("{address:?}/{kind:?}").into(),
        address,
        check: Arc::new(Check {
            name: "test".into(),
            kind,
            interval: (timeout * 2).max(Duration::from_millis(200)),
            timeout,
            fall: 3,
            rise: 2,
            fast_recheck: Some(Duration::from_secs(1)),
            leaky: None,
            max_latency: None,
            hold_down: None,
            mode: Mode::Act,
        }),
        slots: Vec::new(),
        region: None,
        group: "pool:zone/pool".into(),
        label: "zone/pool/endpoint".into(),
    }
}
