//! The command line's side of the control socket, and of the doors of other servers: one request,
//! one reply, no retries.

use super::{
    Exit,
    output::Out,
    written::{Unread, Written},
};
use crate::{
    admin::{
        peers::{PeerDoor, Silence},
        schema::Refusal,
    },
    config::server::ServerSection,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    error::Error,
    fmt::Write,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::UnixStream;

/// Longer than the server takes for anything.
const TIMEOUT: Duration = Duration::from_secs(130);
/// A status of some hundred thousand endpoints.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// A running server, as far as the command line knows it.
#[derive(Clone, Debug)]
pub struct Server {
    door: Door,
    /// How long it may take.
    within: Duration,
}

/// Where a server is asked.
#[derive(Clone, Debug)]
enum Door {
    /// At its control socket.
    Socket(PathBuf),
    /// Over the network.
    Peer(PeerDoor),
}

/// Why it did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ServerError {
    /// Nobody answers.
    #[error("no server answers on {place}: {cause}")]
    NotReachable {
        /// Its socket, or its address.
        place: String,
        /// What the system says.
        cause: Arc<io::Error>,
    },
    /// It was asked to do something, and says nothing: it may have done it.
    #[error("{place} was asked and does not answer: {why}; it is not known whether it was done")]
    Unanswered {
        /// Its socket, or its address.
        place: String,
        /// What the system says.
        why: String,
    },
    /// It says no.
    #[error("{}", .0.detail)]
    Refused(Box<Refusal>, StatusCode),
    /// What it says makes no sense.
    #[error("the server's reply cannot be read: {0}")]
    Garbled(String),
    /// It has not what it would be asked to go back to.
    #[error("it does not keep these files; `tradewind reload` loads those of its folder")]
    NotKept,
    /// It was not asked: `state/PIN` stands in for it, and could not be made or removed.
    #[error("{0}")]
    PinFile(String),
    /// It was not asked: it is not known which is meant.
    #[error("{0}")]
    Unread(Unread),
}

impl ServerError {
    /// Whether it said nothing at all.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, ServerError::NotReachable { .. } | ServerError::Unanswered { .. })
    }

    /// How a command ends with it.
    pub fn exit(&self) -> Exit {
        match self {
            ServerError::NotReachable { .. } | ServerError::Unanswered { .. } => Exit::NotReachable,
            ServerError::Refused(refusal, status) => match *status {
                StatusCode::BAD_REQUEST => Exit::Usage,
                StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Exit::Conflict,
                // A token that may not do it says nothing of whether a rule lets it be done.
                StatusCode::FORBIDDEN if refusal.role.is_none() => Exit::Refused,
                _ => Exit::Failed,
            },
            ServerError::Unread(_) => Exit::FilesInvalid,
            ServerError::Garbled(_) | ServerError::NotKept | ServerError::PinFile(_) => {
                Exit::Failed
            }
        }
    }

    /// Tells what went wrong.
    pub fn tell(&self, out: &mut Out) -> Exit {
        match self {
            ServerError::NotReachable { cause, .. } => {
                let hint = match cause.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "the socket belongs to the user the server runs as: use sudo -u"
                    }
                    _ => "is it running? -C DIR names the folder it serves",
                };
                out.error(self, Some(hint));
            }
            ServerError::Unanswered { .. } => {
                let hint = "look before you do it again: `tradewind overrides`, `tradewind status`";
                out.error(self, Some(hint));
            }
            ServerError::Refused(refusal, _) => {
                for broken in &refusal.violations {
                    let more = match broken.others {
                        0 => String::new(),
                        n => format!(" and {n} more"),
                    };
                    let (rule, record, message) = (&broken.rule, &broken.record, &broken.message);
                    out.complain(&format!("{rule}: {record}{more} {message}\n"));
                }
                out.error(self, refusal.hint.as_deref());
            }
            ServerError::Unread(unread) => {
                out.complain(&unread.drawn);
                out.error(unread, Some(Unread::HINT));
            }
            ServerError::Garbled(_) | ServerError::NotKept | ServerError::PinFile(_) => {
                out.error(self, None);
            }
        }
        self.exit()
    }
}

impl Server {
    /// The server of the files in `dir`, by what can be read of them, with a warning where that is
    /// not all.
    pub fn of(dir: &Path, out: &mut Out) -> Server {
        Server::written(dir, &Written::of(dir).warned(out))
    }

    /// The same without a word, for those who can ask nobody else, or tell of the files themselves.
    pub fn quietly_of(dir: &Path) -> Server {
        Server::written(dir, &Written::of(dir).section)
    }

    /// The server that `section` of the files in `dir` says.
    pub(super) fn written(dir: &Path, section: &ServerSection) -> Server {
        Server { door: Door::Socket(dir.join(&section.control)), within: TIMEOUT }
    }

    /// Another server for the same zones.
    pub(super) fn peer(door: PeerDoor) -> Server {
        Server { door: Door::Peer(door), within: TIMEOUT }
    }

    /// The same for those who wait no longer than `time`.
    pub fn within(self, time: Duration) -> Server {
        Server { within: time, ..self }
    }

    /// Asks for what is at `path`.
    ///
    /// # Errors
    /// When it does not answer, or not with that.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ServerError> {
        self.read(&self.ask(Method::GET, path, Bytes::new())?)
    }

    /// Has it do what is at `path`, and tells what came of it.
    ///
    /// # Errors
    /// When it does not answer, or says no.
    pub fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ServerError> {
        self.read(&self.ask(Method::POST, path, Bytes::new())?)
    }

    /// Sends `body` to what is at `path`, and tells what came of it.
    ///
    /// # Errors
    /// When it does not answer, or says no.
    pub fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ServerError> {
        let body = serde_json::to_vec(body);
        let body = body.map_err(|error| ServerError::Garbled(error.to_string()))?;
        self.read(&self.ask(Method::POST, path, body.into())?)
    }

    /// What is at `path`, as it is.
    ///
    /// # Errors
    /// When it does not answer, or says no.
    pub fn text(&self, path: &str) -> Result<String, ServerError> {
        let body = self.ask(Method::GET, path, Bytes::new())?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The number of its process, if it answers at a socket of this machine.
    pub fn process(&self) -> Option<i32> {
        let Door::Socket(socket) = &self.door else { return None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async { UnixStream::connect(socket).await.ok()?.peer_cred().ok()?.pid() })
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ServerError> {
        // A reply without content is `null` to those who expect none.
        let body = if body.is_empty() { b"null" } else { body };
        serde_json::from_slice(body).map_err(|error| ServerError::Garbled(error.to_string()))
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ServerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|cause| self.not_reachable(cause))?;
        let is_change = method != Method::GET;
        runtime.block_on(async {
            let socket = match &self.door {
                Door::Socket(socket) => socket,
                Door::Peer(door) => {
                    let reply = door.ask(method, path, body.to_vec(), self.within).await;
                    let reply = reply.map_err(|silence| match silence {
                        Silence::NotReachable(why) => self.not_reachable(io::Error::other(why)),
                        Silence::Unanswered(why) => self.unanswered(is_change, why.into()),
                    });
                    return reply.and_then(|(status, body)| read_status(status, body.into()));
                }
            };
            match tokio::time::timeout(self.within, self.exchange(socket, method, path, body)).await
            {
                Ok(reply) => reply,
                Err(_) => {
                    let late = io::Error::from(io::ErrorKind::TimedOut);
                    Err(self.unanswered(is_change, late.into()))
                }
            }
        })
    }

    async fn exchange(
        &self,
        socket: &Path,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, ServerError> {
        let stream = UnixStream::connect(socket).await;
        let stream = stream.map_err(|cause| self.not_reachable(cause))?;
        let is_change = method != Method::GET;
        let broken = |error: hyper::Error| self.unanswered(is_change, error.into());
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "localhost")
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ServerError::Garbled(error.to_string()))?;
        let reply = async {
            let reply = sender.send_request(request).await.map_err(broken)?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), REPLY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| ServerError::Garbled(error.to_string()))?;
            read_status(status, body.to_bytes())
        };
        tokio::pin!(reply);
        tokio::select! {
            reply = &mut reply => reply,
            // The connection ends when the reply has been read, or breaks before.
            ended = connection => match ended {
                Ok(()) => reply.await,
                Err(error) => Err(broken(error)),
            },
        }
    }

    /// That it says nothing to what it may have heard: of what `is_change` that is more than that
    /// nobody is there.
    fn unanswered(&self, is_change: bool, cause: Box<dyn Error + Send + Sync>) -> ServerError {
        match is_change {
            true => ServerError::Unanswered { place: self.place(), why: cause.to_string() },
            false => self.not_reachable(io::Error::other(cause)),
        }
    }

    fn not_reachable(&self, cause: io::Error) -> ServerError {
        ServerError::NotReachable { place: self.place(), cause: Arc::new(cause) }
    }

    fn place(&self) -> String {
        match &self.door {
            Door::Socket(socket) => socket.display().to_string(),
            Door::Peer(door) => door.url.to_string(),
        }
    }
}

fn read_status(status: StatusCode, body: Bytes) -> Result<Bytes, ServerError> {
    if status.is_success() {
        return Ok(body);
    }
    let text = || format!("{status}: {}", String::from_utf8_lossy(&body).trim());
    let said = serde_json::from_slice::<Refusal>(&body);
    let said = said.unwrap_or_else(|_| Refusal { detail: text(), ..Refusal::default() });
    Err(ServerError::Refused(Box::new(said), status))
}

/// `text` for a query string (RFC 3986 §2).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::output::tests::Page, config::sources::SERVER_FILE};

    #[test]
    fn text_is_encoded_so_that_nothing_in_it_is_syntax() {
        assert_eq!(encoded("*.a-b_c.example/24&x=ü"), "%2A.a-b_c.example%2F24%26x%3D%C3%BC");
    }

    #[test]
    fn a_server_that_is_not_there_is_exit_code_five_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let errors = Page::default();
        let mut out = Out::into_writers(false, Page::default(), errors.clone());
        let error = Server::quietly_of(dir.path()).get::<()>("/healthz").unwrap_err();
        assert_eq!(error.tell(&mut out), Exit::NotReachable);
        assert!(errors.text().contains("run/tradewind.sock"), "{}", errors.text());
        assert!(errors.text().contains("hint: is it running?"), "{}", errors.text());
    }

    #[test]
    fn only_what_guards_clients_is_a_refusal_by_a_rule() {
        let exit = |status: StatusCode, role: Option<&str>| {
            let refusal = Refusal { role: role.map(str::to_owned), ..Refusal::default() };
            ServerError::Refused(Box::new(refusal), status).exit()
        };
        assert_eq!(exit(StatusCode::FORBIDDEN, None), Exit::Refused);
        assert_eq!(exit(StatusCode::FORBIDDEN, Some("admin")), Exit::Failed);
        assert_eq!(exit(StatusCode::UNAUTHORIZED, None), Exit::Failed);
        assert_eq!(exit(StatusCode::BAD_REQUEST, None), Exit::Usage);
        assert_eq!(exit(StatusCode::CONFLICT, None), Exit::Conflict);
        assert_eq!(exit(StatusCode::PRECONDITION_FAILED, None), Exit::Conflict);
        assert_eq!(exit(StatusCode::NOT_FOUND, None), Exit::Failed);
    }

    #[test]
    fn the_socket_is_where_the_server_file_says() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(SERVER_FILE), "[server]\ncontrol = \"/x/y\"\n").unwrap();
        let Door::Socket(socket) = Server::quietly_of(dir.path()).door else { panic!() };
        assert_eq!(socket, Path::new("/x/y"));
    }
}
