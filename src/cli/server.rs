//! The command line's side of the admin API, at the control socket or from afar: one request, one
//! reply, no retries.

use super::{Exit, output::Out};
use crate::{
    admin::schema::Refusal,
    config::{
        Problems,
        server::{self as server_file, ServerSection},
        sources::SERVER_FILE,
    },
    health::client_config,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1::handshake, header};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt::Write,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

/// Longer than the server takes for anything.
const TIMEOUT: Duration = Duration::from_secs(130);
/// A status of some hundred thousand endpoints.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// A running server, as far as the command line knows it.
pub struct Server(Place);

/// Where it is asked.
enum Place {
    /// At its control socket.
    Socket(PathBuf),
    /// At its `[server] admin`.
    Far {
        /// `ns1.example:8053`: where to connect to, and the Host.
        host: String,
        /// The name its certificate is for; nothing is encrypted without.
        tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
        /// Sent with every request.
        token: Option<String>,
    },
}

/// A server that is asked at its `[server] admin`.
#[derive(Clone, Copy, Debug)]
pub struct Remote<'a> {
    /// `https://ns1.example:8053`; `http://` only for this machine.
    pub url: &'a str,
    /// The file with the token, if it takes one.
    pub token_file: Option<&'a Path>,
    /// The file with the authority of its certificate (PEM), beside those of this machine.
    pub ca: Option<&'a Path>,
}

/// Why it did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nobody answers.
    #[error("no server answers on {place}: {cause}")]
    NotReachable {
        /// Where it was asked.
        place: String,
        /// What the system says.
        cause: io::Error,
    },
    /// It says no.
    #[error("{}", .0.detail)]
    Refused(Box<Refusal>, StatusCode),
    /// What it says makes no sense.
    #[error("the server's reply cannot be read: {0}")]
    Garbled(String),
}

impl ServerError {
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
                Exit::NotReachable
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
                Exit::Failed
            }
            ServerError::Garbled(_) => {
                out.error(self, None);
                Exit::Failed
            }
        }
    }
}

impl Server {
    /// The server of the files in `dir`: its `[server] control`, or where that is by default
    /// when the file cannot be read.
    pub fn of(dir: &Path) -> Server {
        let control = section(dir).map_or_else(|| DEFAULT.into(), |section| section.control);
        Server(Place::Socket(dir.join(control)))
    }

    /// The server at an address.
    ///
    /// # Errors
    /// Says what is wrong with the address, or with a file that it takes.
    pub fn remote(remote: &Remote<'_>) -> Result<Server, String> {
        let (host, encrypted) = match remote.url.split_once("://") {
            Some(("https", host)) => (host, true),
            Some(("http", host)) => (host, false),
            _ => return Err(format!("`{}` is not https://HOST:PORT", remote.url)),
        };
        let host = host.trim_end_matches('/');
        let (name, _) =
            host.rsplit_once(':').ok_or("the address has no port: write https://HOST:PORT")?;
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let here = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !encrypted && !here {
            return Err("a token that is not encrypted is everybody's: write https://".into());
        }
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path);
            text.map_err(|error| format!("{}: {error}", path.display()))
        };
        let tls = match encrypted {
            false => None,
            true => {
                let pem = remote.ca.map(read).transpose()?.unwrap_or_default();
                let extra: Result<Vec<_>, _> =
                    CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
                let extra = extra.map_err(|error| format!("the authority: {error}"))?;
                let config = client_config(&extra).map_err(|error| error.to_string())?;
                let name = ServerName::try_from(name.to_owned());
                Some((name.map_err(|error| error.to_string())?, config))
            }
        };
        let token = remote.token_file.map(read).transpose()?;
        let token = token.map(|token| token.trim().to_owned());
        Ok(Server(Place::Far { host: host.to_owned(), tls, token }))
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

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ServerError> {
        // A reply without content is `null` to those who expect none.
        let body = if body.is_empty() { b"null" } else { body };
        serde_json::from_slice(body).map_err(|error| ServerError::Garbled(error.to_string()))
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ServerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|cause| self.not_reachable(cause))?;
        runtime.block_on(async {
            match tokio::time::timeout(TIMEOUT, self.exchange(method, path, body)).await {
                Ok(reply) => reply,
                Err(_) => Err(self.not_reachable(io::ErrorKind::TimedOut.into())),
            }
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, ServerError> {
        let failed = |cause| self.not_reachable(cause);
        match &self.0 {
            Place::Socket(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(failed)?;
                self.converse(stream, "localhost", None, method, path, body).await
            }
            Place::Far { host, tls, token } => {
                let stream = TcpStream::connect(host).await.map_err(failed)?;
                let token = token.as_deref();
                let Some((name, config)) = tls else {
                    return self.converse(stream, host, token, method, path, body).await;
                };
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name.clone(), stream).await.map_err(failed)?;
                self.converse(stream, host, token, method, path, body).await
            }
        }
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: &str,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, ServerError> {
        let broken = |error: hyper::Error| self.not_reachable(io::Error::other(error));
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
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

    fn not_reachable(&self, cause: io::Error) -> ServerError {
        let place = match &self.0 {
            Place::Socket(socket) => socket.display().to_string(),
            Place::Far { host, .. } => host.clone(),
        };
        ServerError::NotReachable { place, cause }
    }
}

/// `[server] state` of the files in `dir`, or where that is by default when it cannot be read.
pub fn state_folder(dir: &Path) -> PathBuf {
    dir.join(section(dir).map_or_else(|| "state".into(), |section| section.state))
}

fn section(dir: &Path) -> Option<ServerSection> {
    let text = std::fs::read_to_string(dir.join(SERVER_FILE)).unwrap_or_default();
    let file: Arc<Path> = Path::new(SERVER_FILE).into();
    let written = server_file::read(&file, &text, &mut Problems::default());
    written.map(|file| file.server)
}

/// Where the socket stands unless written.
const DEFAULT: &str = "run/tradewind.sock";

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
    use crate::cli::output::tests::Page;

    #[test]
    fn text_is_encoded_so_that_nothing_in_it_is_syntax() {
        assert_eq!(encoded("*.a-b_c.example/24&x=ü"), "%2A.a-b_c.example%2F24%26x%3D%C3%BC");
    }

    #[test]
    fn a_server_that_is_not_there_is_exit_code_five_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let errors = Page::default();
        let mut out = Out::into_writers(false, Page::default(), errors.clone());
        let error = Server::of(dir.path()).get::<()>("/healthz").unwrap_err();
        assert_eq!(error.tell(&mut out), Exit::NotReachable);
        assert!(errors.text().contains("run/tradewind.sock"), "{}", errors.text());
        assert!(errors.text().contains("hint: is it running?"), "{}", errors.text());
    }

    #[test]
    fn the_socket_is_where_the_server_file_says() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(SERVER_FILE), "[server]\ncontrol = \"/x/y\"\n").unwrap();
        let Place::Socket(socket) = Server::of(dir.path()).0 else { panic!("a socket") };
        assert_eq!(socket, Path::new("/x/y"));
    }
}
