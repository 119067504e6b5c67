//! What is asked of every request before its route sees it: that it comes not too often, from no
//! page of somebody else's, and from somebody who may.
//!
//! | asked | why |
//! |---|---|
//! | rate | whoever guesses tokens, or runs wild, takes no time from others |
//! | Host | a page elsewhere can make a browser send requests here under a name of its own that it lets point to us (DNS rebinding); it cannot choose the Host header. Over TLS the browser asks the certificate |
//! | Origin, Sec-Fetch-Site, `application/json` | a page elsewhere can make a browser send a form here (CSRF); it cannot choose these |
//! | token | which role a route needs is written where the route is declared, and read from there |
//!
//! The control socket is its owner's: there only the body's size is looked at. Heartbeats come from
//! many programs under any name, with a token that no browser has: of them only wrong tokens are counted.

use super::{
    context::Context,
    limiter::Limiter,
    origin::{check_kind, check_origin, is_here, is_safe},
    peer::{Caller, Peer},
    refused::{Refused, Unread},
    turned_away::TurnedAway,
};
use crate::grant::Role;
use axum::{
    Extension, Router,
    body::{Body, Bytes, to_bytes},
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use hyper::body::Frame;
use ring::digest;
use std::{
    collections::HashMap,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// The largest wish: a supposition in TOML over a thousand targets.
const BODY_MAX: usize = 1 << 20;
/// A body is here by then: 64 MiB of files over a line of 20 Mbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Of a hash that nobody gains by meeting: half of it.
const TAG_BYTES: usize = 16;
/// The longest text of somebody else's that is told as the detail of a refusal.
const DETAIL_MAX: usize = 4_096;

/// What a route asks of whoever uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nothing,
    /// A token that the route looks at itself.
    Own,
    /// A role. Whoever is on this machine may read without a token, unless it `is_everywhere` that
    /// one is asked for.
    Role { role: Role, is_everywhere: bool },
}

/// What a route asks that does not say what it asks.
const UNSAID: Need = Need::Role { role: Role::Admin, is_everywhere: true };

/// What each route asks, by its path and method, as it is described.
#[derive(Debug, Default)]
pub(super) struct Needs(HashMap<String, HashMap<Method, Need>>);

impl Needs {
    /// What is described. A route that does not say what it asks is the administrator's.
    pub fn of(api: &OpenApi) -> Needs {
        // As JSON, in which the parts of a requirement are public.
        let described = serde_json::to_value(&api.paths).unwrap_or_default();
        let paths = described.as_object().into_iter().flatten();
        let paths = paths.map(|(path, item)| {
            let operations = item.as_object().into_iter().flatten();
            let needs = operations.filter_map(|(method, operation)| {
                let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()?;
                Some((method, Need::said(&operation["security"]).unwrap_or(UNSAID)))
            });
            (path.clone(), needs.collect())
        });
        Needs(paths.collect())
    }

    /// What `path` asks of `method`; the methods it has, if that is none of them.
    fn find(&self, path: &str, method: &Method) -> Result<Need, Refused> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let Some(needs) = self.0.get(path) else { return Ok(UNSAID) };
        needs.get(method).copied().ok_or_else(|| {
            let mut methods: Vec<&str> = needs.keys().map(Method::as_str).collect();
            methods.sort_unstable();
            let methods = methods.join(", ");
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, format!("this takes {methods}"))
                .with(header::ALLOW, &methods)
        })
    }
}

impl Need {
    /// What `security` of an operation says.
    fn said(security: &serde_json::Value) -> Option<Need> {
        let requirement = security.as_array()?.first()?.as_object()?;
        match requirement.iter().next() {
            None => Some(Need::Nothing),
            Some((scheme, _)) if scheme == "heartbeat" => Some(Need::Own),
            Some((scheme, roles)) => Some(Need::Role {
                role: roles.get(0)?.as_str()?.parse().ok()?,
                is_everywhere: scheme != "token",
            }),
        }
    }
}

/// What looks at requests.
pub(super) struct Door {
    needs: Needs,
    limiter: Limiter,
    /// Counts wrong tokens of heartbeats: right ones may come as often as they like.
    guesses: Limiter,
    turned_away: TurnedAway,
    context: Arc<Context>,
}

impl Door {
    /// `routes` of `context` behind a door.
    pub fn before(routes: OpenApiRouter<Arc<Context>>, context: &Arc<Context>) -> Router {
        let (router, api) = routes.split_for_parts();
        let door = Door {
            needs: Needs::of(&api),
            limiter: Limiter::default(),
            guesses: Limiter::default(),
            turned_away: TurnedAway::default(),
            context: Arc::clone(context),
        };
        router
            .fallback(|| async { Refused::new(StatusCode::NOT_FOUND, "there is nothing here") })
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .layer(middleware::from_fn(explained))
            .layer(middleware::from_fn(tagged))
            .layer(middleware::from_fn_with_state(Arc::new(door), admit))
            .layer(middleware::from_fn(armoured))
            .with_state(Arc::clone(context))
    }

    /// Lets a request in, as of whoever it is, or says why not; `seen` is who it is as far as that
    /// became known.
    fn check(&self, mut request: Request, seen: &mut Option<Peer>) -> Result<Request, Refused> {
        let caller = request.extensions().get::<Caller>().cloned().ok_or_else(nobody)?;
        *seen = Some(caller.peer.clone());
        let need = match request.extensions().get::<MatchedPath>() {
            Some(path) => self.needs.find(path.as_str(), request.method())?,
            None => Need::Nothing,
        };
        let Caller { mut peer, is_encrypted } = caller;
        if let Peer::Stranger { from } = peer {
            let now = self.context.clock.now();
            if need == Need::Own {
                self.guesses.check(from.ip(), now).map_err(|wait| too_often(from, wait))?;
                request.extensions_mut().insert(Guesser(from));
            } else {
                self.limiter.take(from.ip(), now).map_err(|wait| too_often(from, wait))?;
                check_origin(request.method(), request.headers(), is_encrypted)?;
                peer = self.known(from, request.headers())?;
                *seen = Some(peer.clone());
                if !is_safe(request.method()) {
                    check_kind(request.headers())?;
                }
            }
        }
        if let Need::Role { role, is_everywhere } = need {
            let is_open = !is_everywhere && !self.context.entry.load().reads_take_token;
            peer.check(role, is_open && is_here(&peer, request.headers()))?;
        }
        request.extensions_mut().insert(peer);
        Ok(timely(request))
    }

    /// Counts what was said to a heartbeat of `from`.
    fn count(&self, Guesser(from): Guesser, said: StatusCode) {
        if said == StatusCode::UNAUTHORIZED {
            // Whoever is over is refused when it comes again.
            let _ = self.guesses.take(from.ip(), self.context.clock.now());
        }
    }

    /// What `request` asks for, if that would change something.
    fn wish(&self, request: &Request) -> Option<String> {
        let (path, method) = (request.extensions().get::<MatchedPath>()?, request.method());
        match self.needs.find(path.as_str(), method) {
            Ok(Need::Role { role, .. }) if role > Role::Read => {
                Some(format!("{method} {}", request.uri().path()))
            }
            _ => None,
        }
    }

    /// Whose token `headers` carry.
    fn known(&self, from: SocketAddr, headers: &HeaderMap) -> Result<Peer, Refused> {
        if !headers.contains_key(header::AUTHORIZATION) {
            return Ok(Peer::Stranger { from });
        }
        let token =
            bearer(headers).ok_or_else(|| challenge("write `Authorization: Bearer TOKEN`"))?;
        let entry = self.context.entry.load();
        let found = entry.grants.find(token, self.context.clock.wall());
        let grant = found.map_err(|useless| challenge(&useless.to_string()))?;
        Ok(Peer::Token { name: Arc::clone(&grant.name), role: grant.role, from })
    }
}

/// Who sends a heartbeat, whose token its route looks at.
#[derive(Clone, Copy, Debug)]
struct Guesser(SocketAddr);

fn too_often(from: SocketAddr, wait: Duration) -> Refused {
    let seconds = wait.as_secs() + 1;
    let why = format!("too many requests from {}; try again in {seconds} s", from.ip());
    let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, why);
    refused.with(header::RETRY_AFTER, &seconds.to_string())
}

/// The token of `Authorization: Bearer TOKEN`; the scheme's case does not count (RFC 9110 §11.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// A refusal for want of a token; RFC 9110 §15.5.2 demands a challenge.
pub(super) fn challenge(why: &str) -> Refused {
    Refused::new(StatusCode::UNAUTHORIZED, why).with(header::WWW_AUTHENTICATE, "Bearer")
}

fn nobody() -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "it is not known who asks")
}

/// A body that breaks off when it dawdles.
struct Timely {
    body: Body,
    over: Pin<Box<Sleep>>,
}

impl hyper::body::Body for Timely {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over.as_mut().poll(cx).is_ready() {
            let late = io::Error::other("the rest of the body did not come");
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

/// `request` with such a body.
fn timely(request: Request) -> Request {
    request.map(|body| Body::new(Timely { body, over: Box::pin(sleep(BODY_TIMEOUT)) }))
}

async fn admit(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let wish = door.wish(&request);
    let mut peer = None;
    let response = match door.check(request, &mut peer) {
        Err(refused) => (Extension(Unread(refused.detail().into())), refused).into_response(),
        Ok(request) => {
            let guesser = request.extensions().get::<Guesser>().copied();
            let response = next.run(request).await;
            if let Some(guesser) = guesser {
                door.count(guesser, response.status());
            }
            response
        }
    };
    if let (Some(wish), Some(peer), Some(Unread(why))) = (wish, peer, response.extensions().get()) {
        door.turned_away.note(&door.context, &peer, &wish, why);
    }
    response
}

/// Makes a problem (RFC 9457) of what the framework says of a request that it cannot read.
async fn explained(uri: Uri, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_text = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !response.status().is_client_error() || !is_text {
        return response;
    }
    let status = response.status();
    let text = to_bytes(response.into_body(), DETAIL_MAX).await.unwrap_or_default();
    let text = match text.is_empty() {
        true => format!("{} cannot be answered", uri.path()),
        false => String::from_utf8_lossy(&text).trim().to_owned(),
    };
    Refused::unread(status, text).into_response()
}

/// Gives what was read a tag of its content, and says nothing to who has that already.
async fn tagged(request: Request, next: Next) -> Response {
    if !is_safe(request.method()) {
        return next.run(request).await;
    }
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind == "application/json");
    if response.status() != StatusCode::OK || !is_json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // It is whole already, and our own.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let tag = match parts.headers.get(header::ETAG) {
        Some(tag) => tag.clone(),
        None => {
            let Ok(tag) = HeaderValue::from_str(&tag_of(&body)) else {
                return nobody().into_response();
            };
            parts.headers.insert(header::ETAG, tag.clone());
            tag
        }
    };
    if known.is_some_and(|known| names(&known, tag.as_bytes())) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}

/// The tag of what is the same byte by byte.
fn tag_of(body: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, body);
    format!("\"{}\"", HEXLOWER.encode(&hash.as_ref()[..TAG_BYTES]))
}

/// The tag of all that comes to the same `essence` (RFC 9110 §8.8.1).
pub(super) fn weak_tag(essence: &[u8]) -> String {
    format!("W/{}", tag_of(essence))
}

/// Whether a list of tags (RFC 9110 §13.1) names `tag`; weakly compared.
pub(super) fn names(list: &HeaderValue, tag: &[u8]) -> bool {
    let mut tags = list.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tags.any(|one| one == b"*" || opaque(one) == opaque(tag))
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Headers that keep browsers from making anything of a reply but what it is.
async fn armoured(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 6] = [
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::openapi::{
        HttpMethod, OpenApiBuilder, PathItem, Paths, path::OperationBuilder,
        security::SecurityRequirement,
    };

    #[test]
    fn a_route_that_does_not_say_what_it_asks_is_the_administrators() {
        let silent = OperationBuilder::new();
        let read = SecurityRequirement::new("token", ["read"]);
        let said = OperationBuilder::new().security(read);
        let odd =
            OperationBuilder::new().security(SecurityRequirement::new("token", ["everybody"]));
        let mut paths = Paths::new();
        for (path, operation) in [("/silent", silent), ("/said", said), ("/odd", odd)] {
            let item = PathItem::new(HttpMethod::Get, operation);
            paths.paths.insert(path.to_owned(), item);
        }
        let needs = Needs::of(&OpenApiBuilder::new().paths(paths).build());
        let find = |path: &str, method: Method| needs.find(path, &method).ok();
        let read = Need::Role { role: Role::Read, is_everywhere: false };
        assert_eq!(find("/said", Method::GET), Some(read));
        assert_eq!(find("/said", Method::HEAD), Some(read));
        for path in ["/silent", "/odd", "/not/described"] {
            assert_eq!(find(path, Method::GET), Some(UNSAID), "{path}");
        }
        assert_eq!(find("/said", Method::POST), None, "405");
    }

    #[test]
    fn a_token_comes_as_a_bearer_only() {
        let token = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(token("Bearer abc").as_deref(), Some(&b"abc"[..]));
        assert_eq!(token("bEARER  abc ").as_deref(), Some(&b"abc"[..]));
        for other in ["", "Bearer", "Basic abc", "abc"] {
            assert_eq!(token(other), None, "{other}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
