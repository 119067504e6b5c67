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
/// A status of some hundred thousand endpoints.
const REPLY_BYTES_MAX: usize = 256 << 20;

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
        let request = self.prepare(method, path, body, within).map_err(Silence::NotReachable)?;
        let mut reply = request.send().await.map_err(|error| match error.is_connect() {
            true => Silence::NotReachable(innermost(&error)),
            false => Silence::Unanswered(innermost(&error)),
        })?;
        let (status, mut body) = (reply.status(), Vec::new());
        let broken = |error: reqwest::Error| Silence::Unanswered(innermost(&error));
        while let Some(chunk) = reply.chunk().await.map_err(broken)? {
            body.extend_from_slice(&chunk);
            if body.len() > REPLY_BYTES_MAX {
                let why = format!("the reply is longer than {REPLY_BYTES_MAX} bytes");
                return Err(Silence::Unanswered(why));
            }
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
        let asked = self.ask(Method::GET, "/v1/node", Vec::new(), WITHIN).await;
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
