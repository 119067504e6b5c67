//! The doors of the other servers for the same zones (`[server] peers`): how they are asked, by the
//! command line and, every half minute, by this server itself, which shows what it finds in
//! `status` and as `tradewind_peer_in_step`.
//!
//! Changes go to them from the command line, not through this server: it reads the names and
//! tokens of peers from the same files, and so works while the server here is down, which is when
//! it is needed most.

use super::{
    context::Context,
    schema::node::{NodeFacts, PeerLine},
};
use crate::{config::peers::PeerDef, control::secrets, health::client_config};
use axum::http::{Method, StatusCode, header};
use reqwest::{Client, RequestBuilder, redirect::Policy};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;

/// This server compares itself with the others so often: an alert on it waits for minutes anyway.
const EVERY: Duration = Duration::from_secs(30);
/// And so often while one is not in step: what was mended shows soon.
const SOON: Duration = Duration::from_secs(5);
/// What is compared takes milliseconds to gather.
const WITHIN: Duration = Duration::from_secs(10);
/// One that is down, or whose network is, is known for it by then.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// A status of some hundred thousand endpoints, for a command that ends soon.
const REPLY_BYTES_MAX: usize = 256 << 20;
/// The names and verdicts of a hundred thousand endpoints, a hundred bytes each, and as much again.
const FACTS_BYTES_MAX: usize = 20 << 20;

/// The door of another server for the same zones.
#[derive(Clone, Debug)]
pub struct PeerDoor {
    /// What it is called.
    pub name: Arc<str>,
    /// Where it is, without a path.
    pub url: Arc<str>,
    dir: PathBuf,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

/// Why a server said nothing.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// It cannot have heard what was asked.
    #[error("{0}")]
    NotReachable(String),
    /// It may have heard it, and done it.
    #[error("{0}")]
    Unanswered(String),
}

impl PeerDoor {
    /// The one that `def` says in the files of `dir`.
    pub fn new(dir: &Path, def: &PeerDef) -> PeerDoor {
        PeerDoor {
            name: def.name.get_ref().as_str().into(),
            url: def.admin.as_str().into(),
            dir: dir.to_owned(),
            token_file: def.token_file.clone(),
            ca_file: def.ca_file.clone(),
        }
    }

    /// What it says to a request; to be called in a tokio runtime.
    ///
    /// # Errors
    /// When it could not be asked, or does not answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<(StatusCode, Vec<u8>), Silence> {
        self.hear(method, path, body, within, REPLY_BYTES_MAX).await
    }

    /// The same of a reply of `most` bytes.
    async fn hear(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        within: Duration,
        most: usize,
    ) -> Result<(StatusCode, Vec<u8>), Silence> {
        let request = self.prepare(method, path, body, within).map_err(Silence::NotReachable)?;
        let mut reply = request.send().await.map_err(|error| match error.is_connect() {
            true => Silence::NotReachable(innermost(&error)),
            false => Silence::Unanswered(innermost(&error)),
        })?;
        let (status, mut body) = (reply.status(), Vec::new());
        let broken = |error: reqwest::Error| Silence::Unanswered(innermost(&error));
        while let Some(chunk) = reply.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > most {
                return Err(Silence::Unanswered(format!("the reply is longer than {most} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }

    /// What it will be asked.
    fn prepare(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<RequestBuilder, String> {
        let read = |file: &Path| {
            secrets::read(&self.dir, file).map_err(|why| format!("{} {why}", file.display()))
        };
        let mut roots = Vec::new();
        if let Some(file) = &self.ca_file {
            let text = read(file)?;
            let found: Result<Vec<_>, _> =
                CertificateDer::pem_slice_iter(text.as_bytes()).collect();
            roots = found.map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let tls = client_config(&roots).map_err(|error| error.to_string())?;
        let client = Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(within)
            .user_agent(concat!("Tradewind/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        let mut request = client
            .request(method, format!("{}{path}", self.url))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(file) = &self.token_file {
            request = request.bearer_auth(read(file)?.trim());
        }
        Ok(request)
    }

    /// What it has in common with others.
    async fn facts(&self) -> Result<NodeFacts, String> {
        let asked = self.hear(Method::GET, "/v1/node", Vec::new(), WITHIN, FACTS_BYTES_MAX).await;
        let (status, body) = asked.map_err(|silence| silence.to_string())?;
        if !status.is_success() {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body).trim()));
        }
        serde_json::from_slice(&body).map_err(|error| format!("its reply cannot be read: {error}"))
    }
}

/// What is at the bottom of an error: reqwest's own words are only about itself.
fn innermost(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// Compares this server with the others for as long as it is polled.
pub async fn follow(context: Arc<Context>) {
    if context.doors.is_empty() {
        return;
    }
    loop {
        let mut lines = Vec::with_capacity(context.doors.len());
        for door in &context.doors {
            let theirs = door.facts().await;
            let own = {
                let context = Arc::clone(&context);
                tokio::task::spawn_blocking(move || context.facts()).await
            };
            // It is cancelled only while the server stops.
            let Ok(own) = own else { return };
            lines.push(PeerLine::new(&door.name, &own, theirs));
        }
        let is_well = lines.iter().all(|line| line.in_step);
        context.peers.store(Arc::new(lines));
        sleep(if is_well { EVERY } else { SOON }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::in_step, *};
    use std::io::{Read, Write};

    /// What is made of a peer that says `head` and then `body` so many times.
    async fn compared(head: &str, body: Vec<u8>, times: usize) -> PeerLine {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).into();
        let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4_096]);
            // It may be left in the middle of it.
            let _ = stream.write_all(head.as_bytes());
            (0..times).all(|_| stream.write_all(&body).is_ok())
        });
        let dir = PathBuf::new();
        let door = PeerDoor { name: "ns2".into(), url, dir, token_file: None, ca_file: None };
        let theirs = door.facts().await;
        let line = PeerLine::new("ns2", &NodeFacts::default(), theirs);
        peer.join().unwrap();
        line
    }

    fn is_told(text: &str) -> bool {
        text.chars().count() <= in_step::TOLD_CHARS && !text.chars().any(char::is_control)
    }

    #[tokio::test]
    async fn a_peer_that_says_too_much_is_not_listened_to() {
        let line = compared("200 OK", vec![b' '; 1 << 20], 21).await;
        assert_eq!(line.error.unwrap(), "the reply is longer than 20971520 bytes");
        assert!(!line.in_step);
    }

    #[tokio::test]
    async fn of_what_a_peer_says_little_is_told_and_nothing_that_moves_a_terminal() {
        let wild = "\x1b[2J\u{9b}31m".repeat(10_000);
        let line = compared("500 Internal Server Error", wild.clone().into_bytes(), 1).await;
        assert!(line.error.as_deref().is_some_and(is_told), "{line:?}");
        let facts = NodeFacts {
            content_hash: wild.clone(),
            overrides: vec![wild.clone(); 100],
            failovers: [(wild.clone(), wild.clone())].into(),
            verdicts: [(wild.clone(), wild)].into(),
            ..NodeFacts::default()
        };
        let line = compared("200 OK", serde_json::to_vec(&facts).unwrap(), 1).await;
        assert!(line.error.is_none() && !line.differs.is_empty(), "{line:?}");
        assert!(line.differs.iter().all(|one| is_told(one)), "{line:?}");
        assert!(is_told(&line.content_hash.unwrap()));
        // What leads elsewhere is not followed, and what is no reply is none.
        let line = compared("302 Found\r\nLocation: http://127.0.0.1:1/", Vec::new(), 0).await;
        assert!(line.error.unwrap().starts_with("302"));
        let line = compared("200 OK", b"[]".to_vec(), 1).await;
        assert!(line.error.unwrap().starts_with("its reply cannot be read"));
    }
}
