//! The admin API over the network: certificates of an authority of the test's own, tokens, and a
//! client that shares no code with ours.

use super::{
    DEADLINE,
    scratch::Scratch,
    server::{Server, cli},
};
use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, sync::Arc};

/// The name that certificates are for.
pub const NAME: &str = "ns1.example";

/// Who signs certificates.
pub struct Authority {
    root: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        Authority { root, issuer: rcgen::Issuer::new(params, key) }
    }

    /// Its own certificate, for clients.
    pub fn pem(&self) -> String {
        self.root.pem()
    }

    /// Puts a new certificate for a name or address and its key into `folder`.
    pub fn certify(&self, folder: &Scratch, name: &str) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        folder.write("secrets/cert.pem", &certificate.pem());
        secret(folder, "secrets/key.pem", &key.serialize_pem());
    }

    /// A client that trusts it and nobody else.
    pub fn client(&self, at: SocketAddr) -> Client {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let builder = reqwest::Client::builder().tls_backend_preconfigured(tls);
        Client::new(builder.resolve(NAME, at), format!("https://{NAME}:{}", at.port()))
    }
}

/// Writes a file that only its owner may read.
pub fn secret(folder: &Scratch, path: &str, text: &str) {
    let path = folder.write(path, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A token by `tradewind token new`, and its line.
pub fn token(name: &str, role: &str, lasts: &str) -> (String, String) {
    let made = cli(&["token", "new", name, "--role", role, "--for", lasts, "--json"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("token"), text("line"))
}

/// What asks the admin API.
pub struct Client {
    client: reqwest::Client,
    base: String,
    runtime: tokio::runtime::Runtime,
}

/// What it says.
#[derive(Debug)]
pub struct Said {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Said {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Client {
    fn new(builder: reqwest::ClientBuilder, base: String) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Client { client: builder.timeout(DEADLINE).build().unwrap(), base, runtime }
    }

    /// In the clear, to `server` on this machine.
    pub fn plain(server: &Server) -> Self {
        // The builder wants some TLS, and is never asked for it.
        Authority::new().client(server.admin()).with_base(format!("http://{}", server.admin()))
    }

    fn with_base(self, base: String) -> Self {
        Client { base, ..self }
    }

    /// One request; nothing if it does not come to a reply.
    pub fn try_ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Said, reqwest::Error> {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body.to_owned());
        }
        self.runtime.block_on(async {
            let reply = request.send().await?;
            let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
            Ok(Said { status, headers, text: reply.text().await? })
        })
    }

    /// One request.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Said {
        self.try_ask(method, path, headers, body).unwrap()
    }

    /// Reads what is at `path`, with `token` if there is one.
    pub fn get(&self, path: &str, token: &str) -> Said {
        let bearer = format!("Bearer {token}");
        let headers: &[_] = if token.is_empty() { &[] } else { &[("authorization", &*bearer)] };
        self.ask("GET", path, headers, "")
    }

    /// Sends `body` as a program would.
    pub fn post(&self, path: &str, token: &str, body: &str) -> Said {
        let bearer = format!("Bearer {token}");
        let kind = ("content-type", "application/json");
        self.ask("POST", path, &[("authorization", &*bearer), kind], body)
    }
}
