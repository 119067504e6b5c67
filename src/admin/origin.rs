//! Where a request comes from: this machine or another, a program, or a page that somebody else
//! makes a browser send it from. What is asked of each, and why, says [`super::door`].

use super::{peer::Peer, refused::Refused};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether `peer` itself is on this machine: what a proxy here passes on is somebody else's. One that
/// adds none of these headers cannot be told from a neighbour; `read_without_token = false` is for it.
pub(super) fn is_here(peer: &Peer, headers: &HeaderMap) -> bool {
    let is_passed_on = headers.keys().map(HeaderName::as_str).any(|name| {
        matches!(name, "via" | "forwarded" | "x-real-ip") || name.starts_with("x-forwarded-")
    });
    !is_passed_on && peer.address().is_none_or(|at| at.ip().to_canonical().is_loopback())
}

pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Refuses what a page of somebody else's makes a browser send.
pub(super) fn check_origin(
    method: &Method,
    headers: &HeaderMap,
    is_encrypted: bool,
) -> Result<(), Refused> {
    let forbidden = |why: &str| Err(Refused::new(StatusCode::FORBIDDEN, why));
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let is_ours = host.is_none_or(|host| std::str::from_utf8(host).is_ok_and(is_ours));
    if !is_encrypted && !is_ours {
        return forbidden("ask by address or as localhost: other Host headers are refused");
    }
    if is_safe(method) {
        return Ok(());
    }
    let site = headers.get(HeaderName::from_static("sec-fetch-site")).map(HeaderValue::as_bytes);
    if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return forbidden("a page of another site asks for this");
    }
    // The scheme is ours: a browser sends what it used.
    let scheme = if is_encrypted { "https" } else { "http" };
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    let own = host.map(|host| [scheme.as_bytes(), b"://", host].concat());
    if origin.is_some() && origin != own.as_deref() {
        return forbidden("a page of another origin asks for this");
    }
    Ok(())
}

/// Refuses bodies that a form could have sent.
pub(super) fn check_kind(headers: &HeaderMap) -> Result<(), Refused> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let why = "write `Content-Type: application/json`, with a body or without";
    Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why))
}

/// Whether `host`, with or without a port, is an address or `localhost` (RFC 9110 §7.2).
fn is_ours(host: &str) -> bool {
    let (bare, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((v6, port)) = rest.split_once(']') else { return false };
            (v6.parse::<Ipv6Addr>().is_ok(), port)
        }
        None => {
            let end = host.find(':').unwrap_or(host.len());
            let (name, port) = host.split_at(end);
            (name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok(), port)
        }
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    bare && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn only_addresses_and_localhost_are_our_hosts() {
        for host in
            ["127.0.0.1", "127.0.0.1:8053", "[::1]:8053", "[::1]", "[2001:db8::1]:1", "LocalHost:1"]
        {
            assert!(is_ours(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8053",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.1:80.evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "[::1].evil.example",
            "[::1]evil.example:80",
            "[::1",
            "[::1]:",
            "[127.0.0.1]",
            "::1",
            "127.0.0.1:8053:1",
            "[x]",
            ":80",
            "",
        ] {
            assert!(!is_ours(host), "{host}");
        }
    }

    #[test]
    fn what_a_page_elsewhere_has_a_browser_send_is_refused() {
        let check = |method: Method, encrypted: bool, headers: &[(&'static str, &str)]| {
            let pairs = headers.iter().map(|(name, value)| {
                (HeaderName::from_static(name), value.parse::<HeaderValue>().unwrap())
            });
            check_origin(&method, &pairs.collect(), encrypted).is_ok()
        };
        let host = ("host", "127.0.0.1:8053");
        let v6 = ("host", "[::1]:8053");
        let page = ("origin", "https://evil.example");
        for (method, encrypted, headers, is_let_in) in [
            (Method::POST, false, vec![host], true),
            (Method::POST, false, vec![host, ("origin", "http://127.0.0.1:8053")], true),
            (Method::POST, false, vec![host, ("origin", "https://127.0.0.1:8053")], false),
            (Method::POST, false, vec![host, ("origin", "http://127.0.0.1:3000")], false),
            (Method::POST, false, vec![v6, ("origin", "http://[::1]:8053")], true),
            (Method::POST, false, vec![v6, ("origin", "http://[::1]")], false),
            (Method::POST, false, vec![v6, ("origin", "http://[::1]:80530")], false),
            (Method::POST, false, vec![v6, ("origin", "http://[::2]:8053")], false),
            (Method::POST, false, vec![v6, ("origin", "http://::1:8053")], false),
            (Method::POST, true, vec![v6, ("origin", "https://[::1]:8053")], true),
            (Method::POST, false, vec![host, ("origin", "null")], false),
            (Method::POST, false, vec![host, page], false),
            (Method::POST, false, vec![host, ("sec-fetch-site", "cross-site")], false),
            (Method::POST, false, vec![host, ("sec-fetch-site", "same-site")], false),
            (Method::POST, false, vec![host, ("sec-fetch-site", "same-origin")], true),
            (Method::DELETE, true, vec![("host", "ns1.example"), page], false),
            (Method::POST, true, vec![("host", "ns1.example:8053")], true),
            (Method::GET, true, vec![("host", "ns1.example:8053"), page], true),
            (Method::GET, false, vec![("host", "evil.example")], false),
            (Method::GET, false, vec![], true),
        ] {
            let seen = check(method.clone(), encrypted, &headers);
            assert_eq!(seen, is_let_in, "{method} {encrypted} {headers:?}");
        }
    }

    #[test]
    fn what_a_proxy_on_this_machine_passes_on_is_not_from_here() {
        let from: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        let peer = Peer::Stranger { from };
        assert!(is_here(&peer, &HeaderMap::new()));
        for header in ["forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-proto"] {
            let headers = [(HeaderName::from_static(header), HeaderValue::from_static("x"))];
            assert!(!is_here(&peer, &HeaderMap::from_iter(headers)));
        }
        let far = Peer::Stranger { from: "192.0.2.1:1".parse().unwrap() };
        assert!(!is_here(&far, &HeaderMap::new()));
    }
}
