//! The http and https probes: one GET, judged by status and by the start of the body.
//!
//! The connection goes to the address given, whatever the host's name would resolve to; no
//! proxy, no redirect followed, no connection kept, no second try.

use super::{Outcome, fault, tls};
use crate::checkplan::HttpCheck;
use reqwest::{
    Client, Response, StatusCode, Url,
    dns::{Name, Resolve, Resolving},
    header,
};
use std::{error::Error, io, net::SocketAddr, sync::Arc};

/// How much of a body is looked at (reliability S-22).
const BODY_MAX: usize = 8 * 1024;
const USER_AGENT: &str = concat!("Tradewind-HealthCheck/", env!("CARGO_PKG_VERSION"));

/// An http or https check of one target, with its client.
#[derive(Debug)]
pub(super) struct HttpProbe {
    check: HttpCheck,
    /// `Host`, SNI and the name the certificate must have; the address itself when absent.
    host: Option<Arc<str>>,
    scheme: &'static str,
    tls: Arc<rustls::ClientConfig>,
    /// For the address probed last; a host's address may change between probes.
    client: Option<(SocketAddr, Client)>,
}

impl HttpProbe {
    /// For a `scheme` of `http` or `https`. `name` is what the target is called by those who are
    /// sent there, used when the check names no host.
    pub(super) fn new(
        scheme: &'static str,
        check: &HttpCheck,
        name: Option<&Arc<str>>,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Self {
        HttpProbe {
            host: check.host.as_ref().or(name).cloned(),
            check: check.clone(),
            scheme,
            tls: Arc::clone(tls),
            client: None,
        }
    }

    /// Asks `address`. Takes as long as the server does: the time-out is the caller's.
    pub(super) async fn probe(&mut self, address: SocketAddr) -> Outcome {
        let url = match self.url(address) {
            Ok(url) => url,
            Err(problem) => return Outcome::failed(problem),
        };
        match self.ask(address, url).await {
            Ok(outcome) => outcome,
            Err(error) => judge(&error, address),
        }
    }

    async fn ask(&mut self, address: SocketAddr, url: Url) -> Result<Outcome, reqwest::Error> {
        let mut request = self.client(address)?.get(url).header(header::CONNECTION, "close");
        if let Some(host) = &self.host {
            // As written, without the port of a probe that goes elsewhere than clients do.
            request = request.header(header::HOST, &**host);
        }
        let response = request.send().await?;
        let status = response.status();
        if !self.passes(status) {
            return Ok(Outcome::wrong(format_args!("status {}", status.as_u16())));
        }
        match &self.check.body_contains {
            Some(text) if !contains(response, text).await? => {
                Ok(Outcome::wrong(format_args!("body does not contain \"{text}\"")))
            }
            _ => Ok(Outcome::passed(status.as_u16())),
        }
    }

    fn passes(&self, status: StatusCode) -> bool {
        self.check.status.iter().any(|range| range.contains(&status.as_u16()))
    }

    /// The address stands in the URL first, so that neither path nor host can lead elsewhere;
    /// then a host that is a name takes its place. One that is itself an address is only sent
    /// as `Host`: in the URL it would be connected to.
    fn url(&self, address: SocketAddr) -> Result<Url, String> {
        let problem = |what: &str| format!("cannot ask for {what}");
        let slash = if self.check.path.starts_with('/') { "" } else { "/" };
        let scheme = self.scheme;
        let mut url = Url::parse(&format!("{scheme}://{address}{slash}{}", self.check.path))
            .map_err(|_| problem(&self.check.path))?;
        if let Some(host) = &self.host {
            let mut named = url.clone();
            named.set_host(Some(host)).map_err(|_| problem(host))?;
            if named.domain().is_some() {
                url = named;
            }
        }
        Ok(url)
    }

    fn client(&mut self, address: SocketAddr) -> Result<&Client, reqwest::Error> {
        if self.client.as_ref().is_none_or(|(to, _)| *to != address) {
            self.client = Some((address, self.build(address)?));
        }
        Ok(&self.client.as_ref().expect("set above when it was missing").1)
    }

    fn build(&self, address: SocketAddr) -> Result<Client, reqwest::Error> {
        Client::builder()
            .user_agent(USER_AGENT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .referer(false)
            .dns_resolver(Arc::new(Fixed(address)))
            // For plain http too: left to itself the client looks for a provider of its own.
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&self.tls))
            .build()
    }
}

/// A resolver that knows one answer, so that no name is ever looked up a second time.
#[derive(Debug)]
struct Fixed(SocketAddr);

impl Resolve for Fixed {
    fn resolve(&self, _: Name) -> Resolving {
        let only: reqwest::dns::Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(only)))
    }
}

/// Whether the first [`BODY_MAX`] bytes contain `text`; reads no further than it must.
async fn contains(mut response: Response, text: &str) -> Result<bool, reqwest::Error> {
    let needle = text.as_bytes();
    let mut body = Vec::new();
    loop {
        // Where the last look ended, less what a match may straddle.
        let looked = body.len().saturating_sub(needle.len().saturating_sub(1));
        let Some(chunk) = response.chunk().await? else {
            return Ok(needle.is_empty());
        };
        body.extend_from_slice(&chunk[..chunk.len().min(BODY_MAX - body.len())]);
        if needle.is_empty() || body[looked..].windows(needle.len()).any(|part| part == needle) {
            return Ok(true);
        }
        if body.len() == BODY_MAX {
            return Ok(false);
        }
    }
}

/// The outcome of a request that ended in `error`, by the deepest cause we have words for.
fn judge(error: &reqwest::Error, to: SocketAddr) -> Outcome {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let (mut outcome, mut deepest) = (None, String::new());
    while let Some(cause) = next {
        deepest = cause.to_string();
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return tls::judge(error);
        }
        let io = cause.downcast_ref::<io::Error>();
        match (io, cause.downcast_ref::<hyper::Error>()) {
            (Some(io), _) => outcome = Some(fault::judge(io, to)),
            (_, Some(error)) if error.is_incomplete_message() => {
                outcome = Some(Outcome::failed("closed early"));
            }
            (_, Some(error)) if error.is_parse() => outcome = Some(Outcome::failed("not HTTP")),
            _ => {}
        }
        next = match io.and_then(io::Error::get_ref) {
            // What an I/O error wraps is not its `source`: that is the source of what it wraps.
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    outcome.unwrap_or_else(|| Outcome::failed(deepest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checkplan::{CheckKind, ProbeAddress},
        health::{
            probe::Prober,
            testkit::{self, Authority, OK, Reply, Server, UNAVAILABLE},
        },
    };
    use std::time::Duration;

    const TIMEOUT: Duration = Duration::from_secs(15);

    async fn ask(
        to: SocketAddr,
        kind: CheckKind,
        roots: &[Authority],
        timeout: Duration,
    ) -> String {
        let target = testkit::target(ProbeAddress::Ip(to), kind, timeout);
        let roots: Vec<_> = roots.iter().map(|authority| authority.root.clone()).collect();
        let mut prober = Prober::new(&target, &testkit::tls(&roots));
        match prober.probe(to).await {
            Outcome::Passed(words) | Outcome::Heartbeat(words) => format!("passed: {words}"),
            Outcome::Failed { why, answered } => {
                format!("{}: {why}", if answered { "wrong" } else { "failed" })
            }
            Outcome::Void(words) => format!("void: {words}"),
        }
    }

    fn body(text: &str) -> HttpCheck {
        HttpCheck { body_contains: Some(text.into()), ..testkit::http_check() }
    }

    #[tokio::test]
    async fn responses_are_judged_by_status_and_body() {
        let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\
                        content-length: 0\r\n\r\n";
        let short = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok";
        for (reply, check, expected) in [
            (OK, testkit::http_check(), "passed: 200"),
            (UNAVAILABLE, testkit::http_check(), "wrong: status 503"),
            (Reply::Text(redirect), testkit::http_check(), "wrong: status 302"),
            (OK, body("ok"), "passed: 200"),
            (OK, body(""), "passed: 200"),
            (OK, body("fine"), "wrong: body does not contain \"fine\""),
            (Reply::Padded(BODY_MAX - 2), body("ok"), "passed: 200"),
            (Reply::Padded(BODY_MAX - 1), body("ok"), "wrong: body does not contain \"ok\""),
            (Reply::Text(short), body("ok"), "passed: 200"),
            (Reply::Text(short), body("okay"), "failed: closed early"),
            (Reply::Reset, testkit::http_check(), "failed: reset"),
            (Reply::Text(""), testkit::http_check(), "failed: closed early"),
            (Reply::Text("HTTP/1.1 200"), testkit::http_check(), "failed: closed early"),
            (Reply::Text("220 mail ready\r\n\r\n"), testkit::http_check(), "failed: not HTTP"),
        ] {
            let server = Server::http("127.0.0.1:0", reply).await;
            let got = ask(server.address, CheckKind::Http(check), &[], TIMEOUT).await;
            assert_eq!(got, expected, "for {reply:?}");
            assert_eq!(server.seen().connections, 1, "for {reply:?}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let server = Server::http("127.0.0.1:0", OK).await;
        let to = server.address;
        drop(server);
        // The listener goes when the runtime gets to its task.
        tokio::task::yield_now().await;
        let got = ask(to, CheckKind::Http(testkit::http_check()), &[], TIMEOUT).await;
        assert_eq!(got, "failed: refused");
    }

    #[tokio::test]
    async fn a_server_that_is_too_slow_has_failed_and_is_hung_up_on() {
        let timeout = Duration::from_millis(200);
        for reply in [Reply::Hang, Reply::Dribble(Duration::from_millis(20))] {
            let server = Server::http("127.0.0.1:0", reply).await;
            let got = ask(server.address, CheckKind::Http(body("ok")), &[], timeout).await;
            assert_eq!(got, "failed: timeout after 200ms", "for {reply:?}");
            server.wait(|seen| seen.abandoned == 1).await;
        }
    }

    #[tokio::test]
    async fn a_server_that_takes_its_time_within_the_time_out_passes() {
        let server = Server::http("127.0.0.1:0", Reply::Dribble(Duration::from_millis(1))).await;
        let got = ask(server.address, CheckKind::Http(body("ok")), &[], TIMEOUT).await;
        assert_eq!(got, "passed: 200");
    }

    #[tokio::test]
    async fn the_request_names_the_host_and_us() {
        let server = Server::http("127.0.0.3:0", OK).await;
        for (host, expected) in [
            (Some("www.example.com"), "www.example.com".to_owned()),
            (Some("192.0.2.1"), "192.0.2.1".to_owned()),
            (Some("2852039166"), "2852039166".to_owned()),
            (None, server.address.to_string()),
        ] {
            let check = HttpCheck {
                host: host.map(Into::into),
                path: "//elsewhere.example/x?y=1".into(),
                ..testkit::http_check()
            };
            let got = ask(server.address, CheckKind::Http(check), &[], TIMEOUT).await;
            assert_eq!(got, "passed: 200", "for {host:?}");
            let request = server.seen().request.to_ascii_lowercase();
            assert!(request.starts_with("get //elsewhere.example/x?y=1 http/1.1\r\n"), "{request}");
            assert!(request.contains(&format!("\r\nhost: {expected}\r\n")), "{request}");
            assert!(
                request.contains(&format!("\r\nuser-agent: {}\r\n", USER_AGENT.to_lowercase()))
            );
        }
    }

    #[tokio::test]
    async fn a_path_cannot_lead_to_another_server() {
        let server = Server::http("127.0.0.1:0", OK).await;
        for path in ["@127.0.0.9/", ":1/", "", "\\\\127.0.0.9", "/x y", "?q"] {
            let check = HttpCheck { path: path.into(), ..testkit::http_check() };
            let got = ask(server.address, CheckKind::Http(check), &[], TIMEOUT).await;
            assert_eq!(got, "passed: 200", "for {path:?}");
        }
        assert_eq!(server.seen().connections, 6);
    }

    #[tokio::test]
    async fn certificates_are_verified_for_the_host_the_check_names() {
        let (ours, other) = (Authority::new("ours"), Authority::new("theirs"));
        let https = |host: Option<&str>| {
            CheckKind::Https(HttpCheck { host: host.map(Into::into), ..testkit::http_check() })
        };
        let www = Some("www.example.com");
        let good = ours.acceptor("www.example.com", 2999);
        let expired = ours.acceptor("www.example.com", 2020);
        let foreign = other.acceptor("www.example.com", 2999);
        let address = ours.acceptor("127.0.0.1", 2999);
        let roots = [ours];
        for (acceptor, host, expected) in [
            (&good, www, "passed: 200"),
            (&good, Some("api.example.com"), "failed: certificate: for another name"),
            (&good, None, "failed: certificate: for another name"),
            (&address, None, "passed: 200"),
            (&expired, www, "failed: certificate: expired"),
            (&foreign, www, "failed: certificate: unknown issuer"),
        ] {
            let server = Server::https("127.0.0.1:0", OK, acceptor.clone()).await;
            let got = ask(server.address, https(host), &roots, TIMEOUT).await;
            assert_eq!(got, expected);
            if got == "passed: 200" {
                assert_eq!(server.seen().sni.as_deref(), host);
            }
        }
        let plain = Server::http("127.0.0.1:0", Reply::Hang).await;
        let got = ask(plain.address, https(www), &roots, Duration::from_millis(200)).await;
        assert_eq!(got, "failed: timeout after 200ms");
    }
}
