//! The life of one exchange, where HTTP meets JSON.
//!
//! The whole program can be read from [`Proxy::exchange`]: a request is admitted, understood as a route, decided on,
//! sent anew, and its answer rewritten, relayed or withheld.

pub mod body;
mod error;
mod headers;
mod records;
pub mod relay;
mod respond;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderValue, ORIGIN, TRANSFER_ENCODING, UPGRADE};
use hyper::{HeaderMap, Request, Response, StatusCode, Version as HttpVersion};

use self::body::Filtered;
pub use self::error::Error;
use self::records::Filtering;
use self::relay::Takeover;
use self::trace::Trace;
use crate::api::{ApiVersion, RequestBody as Expected, Response as Returned, Stream};
use crate::filter::Plan;
use crate::policy::{Decision, Policy, RelayReason};
use crate::route::{self, Route};
use crate::schema::Class;
use crate::upstream::{RequestBody, Upstream, UpstreamBody};

/// How long the body of a request that opens a stream may be, in bytes: the few settings of an exec.
const OPENING_LIMIT: usize = 1024 * 1024;
/// How long the body of a request that is denied is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a listener lets in, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The daemon, as this worker reaches it.
    pub upstream: Upstream,
    /// What is allowed and shown.
    pub policy: Arc<Policy>,
    /// Origins of web pages that may send requests; none but these.
    pub origins: Arc<[String]>,
    /// Names under which clients may address us; any if empty.
    pub hosts: Arc<[String]>,
    /// How long one document or one element of a list may be, in bytes.
    pub element_limit: usize,
}

/// What becomes of a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one per exchange, moved on at once; a box would cost every answer")]
pub enum Outcome {
    /// It is answered.
    Answer(Response<Filtered>),
    /// It opens a stream: the connection is to be handed over.
    Takeover(Box<Takeover>),
}

impl Proxy {
    /// Carries one request to the daemon and its filtered answer back.
    ///
    /// Whatever goes wrong is answered too: in the daemon's form, in words of our own.
    /// Cancel safety: dropped half-way, the connection to the daemon is closed.
    pub async fn exchange(&self, request: Request<Incoming>) -> Outcome {
        let mut trace = Trace::start();
        let error = match self.carry(request, &mut trace).await {
            Ok(Carried::Answer(response)) => {
                trace.status(response.status().as_u16());
                return Outcome::Answer(response.map(|body| body.traced(trace)));
            }
            Ok(Carried::Opening(mut takeover)) => {
                takeover.trace(trace);
                return Outcome::Takeover(takeover);
            }
            Err(error) => error,
        };
        let response = respond::error(&error, self.upstream.engine().version());
        trace.status(response.status().as_u16());
        if error.is_ours_or_the_engines() {
            tracing::warn!(%error, "exchange failed");
        } else {
            tracing::debug!(%error, "exchange refused");
        }
        Outcome::Answer(response.map(|body| body.traced(trace)))
    }

    async fn carry(&self, request: Request<Incoming>, trace: &mut Trace) -> Result<Carried, Error> {
        self.admit(request.headers())?;
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let route = route::find(request.method().as_str(), target)?.ok_or(Error::NoRoute)?;
        trace.operation(route.operation.id);
        match self.policy.decide(&route) {
            Decision::Deny(denial) => {
                // Who asks first whether to send a body is told no by the answer, and does not send it.
                if !request.headers().contains_key(EXPECT) {
                    swallow(request.into_body()).await;
                }
                Err(Error::Denied(denial))
            }
            Decision::Relay(reason) => {
                check_body(&route, &request)?;
                trace.decision("relay");
                if opens_a_stream(&route, &request) {
                    return self.open(&route, request).await.map(Carried::Opening);
                }
                self.relay(&route, request, &reason).await.map(Carried::Answer)
            }
            Decision::Records(filter) => {
                trace.decision("filter");
                let mut takeover = self.open(&route, request).await?;
                takeover.filtered(Filtering { filter, limit: self.element_limit });
                Ok(Carried::Opening(takeover))
            }
            Decision::Filter(plan) => {
                check_body(&route, &request)?;
                trace.decision("filter");
                self.filter(&route, request, plan, trace).await.map(Carried::Answer)
            }
        }
    }

    /// Refuses web pages, and requests addressed to somebody else.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Error> {
        if let Some(origin) = headers.get(ORIGIN)
            && !self.origins.iter().any(|allowed| origin.as_bytes() == allowed.as_bytes())
        {
            return Err(Error::Origin);
        }
        if !self.hosts.is_empty() {
            let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let name = without_port(host);
            if !self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)) {
                return Err(Error::Host);
            }
        }
        Ok(())
    }

    /// Sends the request as the route says it, and looks at what kind of answer came.
    async fn send(&self, route: &Route, request: Request<Incoming>) -> Result<Response<UpstreamBody>, Error> {
        let (parts, body) = request.into_parts();
        let with_body = !body.is_end_stream();
        let mut up = Request::new(if with_body { RequestBody::Client(body) } else { RequestBody::Empty });
        *up.method_mut() = parts.method;
        *up.uri_mut() = self.target(route).await?.parse().map_err(|_| Error::Unroutable)?;
        *up.headers_mut() = headers::of_request(&parts.headers, route.operation, with_body);
        Ok(self.upstream.send(up).await?)
    }

    /// The target to ask the daemon for. A client that names no version gets the daemon's own, and is pinned to it.
    async fn target(&self, route: &Route) -> Result<String, Error> {
        let newest = self.upstream.version().await?;
        let version = match route.version {
            Some(asked) if asked > newest => return Err(Error::NewerThanEngine),
            Some(asked) => asked,
            None if newest < ApiVersion::MIN => return Err(Error::Unroutable),
            None => newest,
        };
        let mut target = String::with_capacity(128);
        route.upstream_target(version, &mut target);
        Ok(target)
    }

    async fn filter(
        &self,
        route: &Route,
        request: Request<Incoming>,
        plan: Arc<Plan>,
        trace: &mut Trace,
    ) -> Result<Response<Filtered>, Error> {
        let response = self.checked(route, self.send(route, request).await?).await?;
        let (parts, body) = response.into_parts();
        if !headers::is_plain_json(&parts.headers) {
            return Err(Error::NotJson);
        }
        let filtered = match route.operation.response {
            Returned::Array(_) => {
                let stall = self.upstream.engine().response_timeout();
                Filtered::array(body, plan, self.element_limit, stall).await?
            }
            Returned::Document(_) | Returned::Stream(Stream::Stats) => {
                let (filtered, report) = Filtered::document(body, &plan, self.element_limit).await?;
                trace.hid(&report);
                filtered
            }
            Returned::Text
            | Returned::Empty
            | Returned::Ping
            | Returned::Stream(_)
            | Returned::Hijack
            | Returned::WebSocket
            | Returned::Tar
            | Returned::Octets => return Err(Error::NotJson),
        };
        let mut response = Response::new(filtered);
        *response.status_mut() = parts.status;
        *response.headers_mut() = self.headers_down(&parts.headers);
        response.headers_mut().insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
        Ok(response)
    }

    async fn relay(
        &self,
        route: &Route,
        request: Request<Incoming>,
        reason: &RelayReason,
    ) -> Result<Response<Filtered>, Error> {
        let head = request.method() == hyper::Method::HEAD;
        let old = request.version() != HttpVersion::HTTP_11;
        let response = self.checked(route, self.send(route, request).await?).await?;
        let (parts, body) = response.into_parts();
        let mut down = self.headers_down(&parts.headers);
        let filtered = match route.operation.response {
            // What an engine answers to a ping is known; whatever else it might be is not passed on.
            Returned::Ping => {
                down.insert(CONTENT_TYPE, const { HeaderValue::from_static("text/plain; charset=utf-8") });
                down.insert(
                    hyper::header::CACHE_CONTROL,
                    const { HeaderValue::from_static("no-cache, no-store, must-revalidate") },
                );
                drop(body.collect(OPENING_LIMIT).await?);
                Filtered::own("OK")
            }
            Returned::Empty => {
                drop(body.collect(OPENING_LIMIT).await?);
                Filtered::empty()
            }
            Returned::Text
            | Returned::Document(_)
            | Returned::Array(_)
            | Returned::Stream(_)
            | Returned::Hijack
            | Returned::WebSocket
            | Returned::Tar
            | Returned::Octets => {
                // What is relayed must end in a way that a cut cannot be taken for.
                let (framed, long) = (is_framed(&parts.headers), body.size_hint().exact().is_none());
                if !head && !framed {
                    return Err(Error::Framing);
                }
                if !head && old && long {
                    return Err(Error::HttpVersion);
                }
                tracing::debug!(?reason, "relayed");
                copy_field(&parts.headers, "content-type", &mut down);
                Filtered::relay(body)
            }
        };
        if route.operation.path_stat {
            copy_field(&parts.headers, "x-docker-container-path-stat", &mut down);
        }
        let mut response = Response::new(if head { Filtered::empty() } else { filtered });
        *response.status_mut() = parts.status;
        *response.headers_mut() = down;
        Ok(response)
    }

    /// An answer that may go on. One that says no is answered in our own words, unless the profile shows free text.
    async fn checked(&self, route: &Route, response: Response<UpstreamBody>) -> Result<Response<UpstreamBody>, Error> {
        let status = response.status();
        if status.is_success() && status != StatusCode::PARTIAL_CONTENT {
            return Ok(response);
        }
        if status == StatusCode::NOT_MODIFIED && route.operation.response == Returned::Empty {
            return Ok(response);
        }
        // Reading it to its end keeps the connection; what it says stays here.
        let _ = response.into_body().collect(OPENING_LIMIT).await;
        if status.is_client_error() || status.is_server_error() {
            return Err(Error::Engine { status: status.as_u16(), operation: route.operation });
        }
        Err(Error::Status)
    }

    fn headers_down(&self, from: &HeaderMap) -> HeaderMap {
        headers::of_response(from, self.policy.shows(Class::Host))
    }

    /// Makes ready what the connection is handed over with.
    async fn open(&self, route: &Route, request: Request<Incoming>) -> Result<Box<Takeover>, Error> {
        if request.version() != HttpVersion::HTTP_11 {
            return Err(Error::HttpVersion);
        }
        let target = self.target(route).await?;
        let (parts, body) = request.into_parts();
        let upgrade = parts.headers.contains_key(UPGRADE);
        let body = collect(body).await?;
        let fields = headers::of_request(&parts.headers, route.operation, !body.is_empty());
        let accept = parts.headers.get(hyper::header::ACCEPT);
        let opening = relay::Opening { operation: route.operation, target: &target, fields: &fields, accept, upgrade };
        Ok(Box::new(Takeover::new(self.upstream.engine().clone(), &opening, &body)))
    }
}

#[expect(clippy::large_enum_variant, reason = "as `Outcome`")]
enum Carried {
    Answer(Response<Filtered>),
    Opening(Box<Takeover>),
}

/// Whether the answer is carried on the two sockets themselves.
///
/// A stream that takes a body of any length with it (a build, a load) goes the ordinary way.
fn opens_a_stream(route: &Route, request: &Request<Incoming>) -> bool {
    match route.operation.response {
        Returned::Stream(Stream::Progress) => request.body().is_end_stream(),
        Returned::Stream(_) => route.streams(),
        Returned::Hijack => true,
        Returned::Document(_)
        | Returned::Array(_)
        | Returned::Ping
        | Returned::Text
        | Returned::Empty
        | Returned::WebSocket
        | Returned::Tar
        | Returned::Octets => false,
    }
}

/// Refuses a body where the operation has none, and one of a type in which parameters could hide.
fn check_body(route: &Route, request: &Request<Incoming>) -> Result<(), Error> {
    if request.body().is_end_stream() {
        return Ok(());
    }
    let types: &[&str] = match route.operation.body {
        Expected::None => return Err(Error::Body),
        Expected::Json | Expected::OptionalJson | Expected::Raw => &["application/json"],
        Expected::Tar | Expected::OptionalTar => &[
            "application/x-tar",
            "application/tar",
            "application/octet-stream",
            "application/gzip",
            "application/x-gzip",
        ],
    };
    if headers::has_media_type(request.headers(), types) { Ok(()) } else { Err(Error::BodyType) }
}

/// Reads the body of a request that is denied, as far as it is short and at hand: a client that is still writing it when
/// the connection closes never reads why.
async fn swallow(mut body: Incoming) {
    let mut left = OPENING_LIMIT;
    let reading = async {
        while let Some(Ok(frame)) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, reading).await;
}

/// Reads the body of a request that opens a stream.
async fn collect(mut body: Incoming) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(chunk) = frame.map_err(|_| Error::BodyBroken)?.into_data() else { continue };
        if bytes.len() + chunk.len() > OPENING_LIMIT {
            return Err(Error::BodyTooLong);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Whether an answer says where its body ends; otherwise it is where the connection does, and so is a cut.
fn is_framed(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

fn copy_field(from: &HeaderMap, name: &'static str, to: &mut HeaderMap) {
    if let Some(value) = from.get(name) {
        to.insert(name, value.clone());
    }
}

/// The name in a `Host` field.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_its_port() {
        for (host, name) in [
            ("dockveil:2375", "dockveil"),
            ("dockveil", "dockveil"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
