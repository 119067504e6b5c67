//! Looking at a figure once: asks Prometheus or any JSON over HTTP, or our own health checks.
//!
//! Only what an operator's file names is asked, and never what only this machine may reach
//! (reliability S-22); no redirect is followed, time and size are bounded. Whoever asks judges: a
//! figure that cannot be had is told from one that is bad.

use crate::{
    checkplan::denied,
    clock::Moment,
    config::metric::{HealthFigure, Source},
    control::secrets,
    health::{TargetState, client_config},
};
use reqwest::{Client, Url, redirect::Policy};
use serde_json::Value;
use std::{
    collections::HashMap,
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// An answer must be here by then: a query that takes longer is no figure to steer by.
const TIMEOUT: Duration = Duration::from_secs(10);
/// One number and what is around it; a thousand series of a query that was to be one are not read.
const BODY_MAX: usize = 256 << 10;
/// What of an answer's own words is repeated.
const WORDS_MAX: usize = 200;

/// What came of looking at a figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// It is this.
    Value(f64),
    /// Who was asked has none; why.
    Nothing(Arc<str>),
    /// Nobody could be asked; why.
    Error(Arc<str>),
}

/// How many probes each target had, how many of them failed: what [`HealthFigure::Errors`] counts
/// from.
pub type Probed = HashMap<Arc<str>, (u64, u64)>;

/// Who looks.
#[derive(Clone, Debug)]
pub struct Asker {
    dir: PathBuf,
}

impl Asker {
    /// One whose token files stand in `dir`.
    pub fn new(dir: &Path) -> Asker {
        Asker { dir: dir.to_owned() }
    }

    /// Asks `source` once; [`Source::Health`] is not asked but looked up ([`of_health`]).
    pub async fn ask(&self, source: &Source) -> Measured {
        let asked = async {
            match source {
                Source::Prometheus { url, query, token_file } => {
                    let url = prometheus_url(url, query)?;
                    let body = self.fetch(url, token_file.as_deref(), true).await?;
                    of_prometheus(&body)
                }
                Source::Http { url, json, token_file } => {
                    let url = Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
                    let body = self.fetch(url, token_file.as_deref(), false).await?;
                    of_json(&body, json)
                }
                Source::Health(_) => Ok(Measured::Nothing("it is not asked".into())),
            }
        };
        match timeout(TIMEOUT, asked).await {
            Ok(Ok(measured)) => measured,
            Ok(Err(why)) => Measured::Error(why.into()),
            Err(_) => Measured::Error(format!("no answer within {TIMEOUT:?}").into()),
        }
    }

    /// The body of what is at `url`; of an error too, where it says what is wrong.
    async fn fetch(
        &self,
        url: Url,
        token: Option<&Path>,
        errors_speak: bool,
    ) -> Result<Vec<u8>, String> {
        let host = url.host_str().ok_or("the URL names no host")?.to_owned();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().ok_or("the URL names no port")?;
        // Looked up here, so that no name leads to what only this machine may reach.
        let found = tokio::net::lookup_host((bare, port)).await;
        let mut found: Vec<SocketAddr> =
            found.map_err(|error| format!("{host}: {error}"))?.collect();
        found.retain(|address| !denied(address.ip(), &[]));
        if found.is_empty() {
            return Err(format!("{host} has no address that may be connected to"));
        }
        let client = client(bare, &found)?;
        let mut request = client.get(url);
        if let Some(file) = token {
            let token = secrets::read(&self.dir, file)
                .map_err(|why| format!("{} {why}", file.display()))?;
            request = request.bearer_auth(token.trim());
        }
        let mut response = request.send().await.map_err(|error| spoken(&error))?;
        let status = response.status();
        let may_speak = status.is_success() || (errors_speak && status.is_client_error());
        if !may_speak {
            return Err(format!("status {}", status.as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| spoken(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_MAX {
                return Err(format!("the answer is longer than {BODY_MAX} bytes"));
            }
        }
        if body.is_empty() && !status.is_success() {
            return Err(format!("status {}", status.as_u16()));
        }
        Ok(body)
    }
}

/// A client that finds `host` at these `addresses` and nowhere else: at the next one where nobody
/// listens at the first.
fn client(host: &str, addresses: &[SocketAddr]) -> Result<Client, String> {
    let tls = client_config(&[]).map_err(|error| error.to_string())?;
    Client::builder()
        .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
        .redirect(Policy::none())
        .no_proxy()
        .resolve_to_addrs(host, addresses)
        .user_agent(concat!("Tradewind/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}

/// An error with what lies below it, which is where reqwest says what went wrong.
fn spoken(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text = error.to_string();
        below = error.source();
    }
    text
}

/// An instant query (Prometheus HTTP API, `/api/v1/query`) of the server at `base`.
fn prometheus_url(base: &str, query: &str) -> Result<Url, String> {
    let text = format!("{}/api/v1/query", base.trim_end_matches('/'));
    let mut url = Url::parse(&text).map_err(|error| format!("{base}: {error}"))?;
    url.query_pairs_mut().append_pair("query", query);
    Ok(url)
}

/// The one number that an instant query came to.
fn of_prometheus(body: &[u8]) -> Result<Measured, String> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| "the answer is not JSON")?;
    if answer["status"] != "success" {
        let said = answer["error"].as_str().unwrap_or("the answer is not Prometheus'");
        return Err(short(said));
    }
    let data = &answer["data"];
    let sample = match (data["resultType"].as_str(), data["result"].as_array()) {
        (Some("scalar"), _) => &data["result"][1],
        (Some("vector"), Some(series)) => match &series[..] {
            [] => return Ok(Measured::Nothing("the query has no result".into())),
            [one] => &one["value"][1],
            many => {
                let why = format!("the query has {} results: sum or average them", many.len());
                return Err(why);
            }
        },
        (kind, _) => return Err(format!("the query is a {}", short(kind.unwrap_or("riddle")))),
    };
    // Numbers are texts there, because JSON knows neither NaN nor infinity.
    let value = sample.as_str().and_then(|text| text.parse().ok());
    value.map(Measured::Value).ok_or_else(|| "the result is no number".to_owned())
}

/// The number at `pointer` (RFC 6901).
fn of_json(body: &[u8], pointer: &str) -> Result<Measured, String> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| "the answer is not JSON")?;
    match answer.pointer(pointer) {
        None | Some(Value::Null) => {
            Ok(Measured::Nothing(format!("there is nothing at {pointer}").into()))
        }
        Some(found) => {
            let text = found.as_str().and_then(|text| text.trim().parse().ok());
            let value = found.as_f64().or(text);
            value.map(Measured::Value).ok_or_else(|| format!("what is at {pointer} is no number"))
        }
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

/// What health checks know of these `targets` from the moment `from` on; `since` is how much they
/// were probed until then.
pub fn of_health<'t>(
    figure: HealthFigure,
    targets: impl Iterator<Item = &'t TargetState>,
    since: &Probed,
    from: Moment,
) -> Measured {
    let (mut slowest, mut probes, mut failures) = (None, 0, 0);
    for target in targets {
        // A refusal is fast, and says nothing of how fast answers are.
        let is_passed = target.failures == 0 && target.impaired.is_none();
        let last = target.last_probe.as_ref().filter(|probe| is_passed && probe.at >= from);
        slowest = slowest.max(last.map(|probe| probe.took));
        let (all, failed) = probed(target);
        let (all_before, failed_before) = since.get(&target.key).copied().unwrap_or_default();
        probes += all.saturating_sub(all_before);
        failures += failed.saturating_sub(failed_before);
    }
    match figure {
        HealthFigure::Latency => match slowest {
            Some(took) => Measured::Value(took.as_secs_f64()),
            None => Measured::Nothing("no probe of it has passed since the step began".into()),
        },
        HealthFigure::Errors if probes == 0 => {
            Measured::Nothing("nothing of it was probed since the step began".into())
        }
        HealthFigure::Errors => Measured::Value(failures as f64 / probes as f64),
    }
}

/// How many probes that prove something a target had, and how many of them failed.
pub fn probed(target: &TargetState) -> (u64, u64) {
    (target.probes_total.saturating_sub(target.voids_total), target.failures_total)
}

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_964;

/// Where the true share lies, 19 times out of 20, when `count` of `total` were seen. Wilson's score
/// interval: unlike p ± z·σ it stays within 0..=1 and holds for the rare shares a
/// canary has (Wilson 1927; Brown, Cai and DasGupta 2001).
pub fn wilson(count: u64, total: u64) -> (f64, f64) {
    let (n, p, z2) = (total as f64, count as f64 / total as f64, Z * Z);
    let centre = p + z2 / (2.0 * n);
    let reach = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((centre - reach) / scale).max(0.0), ((centre + reach) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    fn said(measured: Result<Measured, String>) -> String {
        match measured {
            Ok(Measured::Value(value)) => value.to_string(),
            Ok(Measured::Nothing(why)) => format!("nothing: {why}"),
            Ok(Measured::Error(why)) => format!("error: {why}"),
            Err(why) => format!("error: {why}"),
        }
    }

    #[test]
    fn answers_of_prometheus_are_read() {
        for (body, wanted) in [
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"0.25"]}]}}"#,
                "0.25",
            ),
            (r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"NaN"]}}"#, "NaN"),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
                "nothing: the query has no result",
            ),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]}}"#,
                "error: the query has 2 results: sum or average them",
            ),
            (
                r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
                "error: parse error",
            ),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
                "error: the query is a matrix",
            ),
            ("<html>", "error: the answer is not JSON"),
            ("{}", "error: the answer is not Prometheus'"),
        ] {
            assert_eq!(said(of_prometheus(body.as_bytes())), wanted, "{body}");
        }
        let url = prometheus_url("http://127.0.0.1:9090/prom/", "a{b=\"c\"} > 1").unwrap();
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:9090/prom/api/v1/query?query=a%7Bb%3D%22c%22%7D+%3E+1"
        );
    }

    #[test]
    fn numbers_are_found_in_json() {
        for (pointer, wanted) in [
            ("/a/0", "1.5"),
            ("/a/1", "2"),
            ("/b", "nothing: there is nothing at /b"),
            ("/c", "nothing: there is nothing at /c"),
            ("/a", "error: what is at /a is no number"),
        ] {
            let body = r#"{"a":[1.5," 2 "],"c":null}"#;
            assert_eq!(said(of_json(body.as_bytes(), pointer)), wanted, "{pointer}");
        }
    }

    /// Answers one request with `reply`, whatever it asks.
    async fn once(reply: String) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4_096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            // One that reads no further closes before.
            let _ = stream.write_all(reply.as_bytes()).await;
        });
        address
    }

    async fn asked(reply: String) -> String {
        let (url, json) = (format!("http://{}/x", once(reply).await), "/v".to_owned());
        let source = Source::Http { url, json, token_file: None };
        said(Ok(Asker::new(Path::new("/nonexistent")).ask(&source).await))
    }

    fn reply(head: &str, body: &str) -> String {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn what_is_asked_is_bounded_and_leads_nowhere_else() {
        assert_eq!(asked(reply("200 OK", "{\"v\":3}")).await, "3");
        assert_eq!(asked(reply("503 Gone", "{\"v\":3}")).await, "error: status 503");
        let elsewhere = reply("302 Found\r\nLocation: http://127.0.0.1:1/", "{\"v\":3}");
        assert_eq!(asked(elsewhere).await, "error: status 302");
        let long = format!("{{\"v\":3,\"w\":\"{}\"}}", "x".repeat(BODY_MAX));
        let said_of_long = asked(reply("200 OK", &long)).await;
        assert_eq!(said_of_long, format!("error: the answer is longer than {BODY_MAX} bytes"));
        for url in ["http://169.254.169.254/x", "http://[fe80::1]/x", "http://0.0.0.0:80/"] {
            let (url, json) = (url.to_owned(), "/v".to_owned());
            let source = Source::Http { url, json, token_file: None };
            let said = said(Ok(Asker::new(Path::new("/")).ask(&source).await));
            assert!(said.ends_with("has no address that may be connected to"), "{said}");
        }
    }

    #[tokio::test]
    async fn who_does_not_listen_at_one_address_is_asked_at_the_next() {
        let there = once(reply("200 OK", "here")).await;
        let gone = SocketAddr::new("127.0.0.77".parse().unwrap(), there.port());
        let client = client("prometheus.test", &[gone, there]).unwrap();
        let url = format!("http://prometheus.test:{}/", there.port());
        let body = client.get(url).send().await.unwrap().text().await.unwrap();
        assert_eq!(body, "here");
    }

    #[test]
    fn intervals_are_wilsons() {
        // Figures of R's prop.test(correct = FALSE).
        for (count, total, low, high) in [
            (10, 100, 0.05523, 0.17437),
            (0, 20, 0.0, 0.16113),
            (20, 20, 0.83887, 1.0),
            (9_000, 100_000, 0.08824, 0.09179),
        ] {
            let (l, h) = wilson(count, total);
            assert!((l - low).abs() < 1e-5 && (h - high).abs() < 1e-5, "{count}/{total}: {l} {h}");
        }
    }
}
