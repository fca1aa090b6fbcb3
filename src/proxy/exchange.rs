//! One request and its answer.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderValue, ORIGIN, UPGRADE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tokio::time::{Instant, Sleep};

use super::access_log::{AccessLog, DeniedRequest, ExchangeObserver};
use super::body::{Amendment, Filtered, FilteredDocument};
use super::delivery::Delivery;
use super::downstream::TooSoon;
use super::headers::HostFields;
use super::in_stream::InStreamErrors;
use super::memory::{MemoryBudget, MemoryError, MemoryLease};
use super::message::{ERROR_LIMIT, Message};
use super::objects::{LeasedView, Search, SubjectLookUps};
use super::records::RecordFiltering;
use super::request_id::{REQUEST_ID, RequestId};
use super::seen::{DocumentFilter, StreamFilter};
use super::stream_request::{StreamBody, StreamParts, StreamRequest};
use super::{Error, headers, respond};
use crate::api::{self, ApiVersion, Operation, RequestBody, ResponseKind, StreamKind};
use crate::clients::{ClientRefusal, LoggedClient};
use crate::policy::{Decision, Denial, Policy, RelayReason};
use crate::route::{self, Route, TargetError};
use crate::schema::Class;
use crate::stream::fields::HeaderFields;
use crate::stream::target::LONGEST;
use crate::upstream::{self, ClientBody, EngineAnswer, Upstream, UpstreamBody, UpstreamRequest};

/// The longest body of a request that opens a stream, in bytes. An exec has only a few settings.
pub(super) const STREAM_REQUEST_LIMIT: usize = 1024 * 1024;
/// How much of the body of a denied request is read, in bytes.
const DENIED_BODY_LIMIT: usize = 1024 * 1024;
/// How long the body of a denied request is read.
const DENIED_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a body is waited for that is dropped, or that opens a stream: some settings, which clients send at once.
const WHOLE_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a body that is not passed on is read to keep the connection, in bytes.
pub(super) const DRAIN_LIMIT: usize = 1024 * 1024;

/// The longest part of a path that is logged, in characters.
const LOGGED_PATH: usize = 1024;

/// The policy of a listener, and the engine.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The connections of this worker to the engine.
    pub upstream: Upstream,
    /// What is allowed and shown.
    pub policy: Arc<Policy>,
    /// The origins whose web pages may send requests. Empty: none.
    pub origins: Arc<[String]>,
    /// The host names that clients may use. Empty: any.
    pub hosts: Arc<[String]>,
    /// The longest document, list element or record, in bytes.
    pub element_limit: usize,
    /// The memory that the documents of all clients may use.
    pub memory: Arc<MemoryBudget>,
    /// What sees the exchanges.
    pub observer: Arc<ExchangeObserver>,
    /// Why the client is not served at all. `None` if it is.
    pub refused: Option<ClientRefusal>,
    /// How is looked at what streams are about.
    pub subjects: Arc<SubjectLookUps>,
    /// An object that the client does not see is answered at a multiple of this time.
    pub absent_tick: Duration,
}

/// Whether each of some texts is among others.
fn is_part_of(some: &[String], all: &[String]) -> bool {
    some.iter().all(|text| all.contains(text))
}

/// Ends when a client loses the right to a request that is being received.
pub type Withdrawn = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the request line of a request asks for.
#[derive(Debug)]
pub struct FoundRoute(Result<Option<Route>, TargetError>);

impl FoundRoute {
    /// The operation, if there is one.
    pub fn operation(&self) -> Option<&'static Operation> {
        self.0.as_ref().ok()?.as_ref().map(|route| route.operation)
    }

    /// Whether it is a ping, by which clients learn whether the server is well.
    pub fn is_ping(&self) -> bool {
        matches!(&self.0, Ok(Some(route)) if route.operation.response == ResponseKind::Ping)
    }
}

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// A response.
    Response(Response<Filtered>),
    /// A stream, which takes over the connection.
    Stream(Box<StreamRequest>),
}

impl Proxy {
    /// Whether what `before` let in, a request for `operation` or its stream, may go on: it would be let in now, and is shown no less.
    pub fn serves_still(&self, before: &Self, operation: &Operation) -> bool {
        let hosts = self.hosts.is_empty() || !before.hosts.is_empty() && is_part_of(&before.hosts, &self.hosts);
        self.refused.is_none()
            && hosts
            && is_part_of(&before.origins, &self.origins)
            && self.upstream.engine().serves_still(before.upstream.engine())
            && self.policy.covers(&before.policy, operation)
    }

    /// Sends one request to the engine and returns its filtered answer. `found` is what [`Self::find`] returns for it.
    ///
    /// Errors are answered too, in the engine's form. `client` says in the log who sent the request, and `delivery` are the
    /// answers to that client. The request is given up when `withdrawn` ends.
    /// Cancel safety: when dropped, the connection to the engine is closed.
    pub async fn exchange(
        &self,
        request: Request<Incoming>,
        found: FoundRoute,
        client: &Arc<LoggedClient>,
        delivery: &Delivery,
        withdrawn: Option<Withdrawn>,
    ) -> Answer {
        let mut log = AccessLog::of_request(&self.observer, client, &request);
        let request = request.map(|body| log.counted(body));
        let (answered, waited) = {
            // In its place: it is not moved again.
            let answer = pin!(self.answer(request, found, &mut log));
            match withdrawn {
                None => upstream::measured(answer).await,
                Some(withdrawn) => {
                    let until_then = pin!(async {
                        tokio::select! {
                            answered = answer => answered,
                            () = withdrawn => Err(Error::Withdrawn),
                        }
                    });
                    upstream::measured(until_then).await
                }
            }
        };
        let response = match answered {
            Ok(Answer::Response(response)) => response,
            Ok(Answer::Stream(mut stream)) => {
                stream.spent(waited);
                return Answer::Stream(stream);
            }
            Err(error) => {
                log.failed(&error);
                respond::error(error, self.advertised())
            }
        };
        log.spent(waited);
        Answer::Response(logged(response, log, delivery))
    }

    /// The API version that answers of our own name. A client that is not served learns nothing of the engine.
    pub fn advertised(&self) -> Option<ApiVersion> {
        self.upstream.engine().advertised().filter(|_| self.refused.is_none())
    }

    /// The route of a request.
    pub fn find(request: &Request<Incoming>) -> FoundRoute {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        FoundRoute(route::find(request.method().as_str(), target))
    }

    /// The answer to a request that is not served now, for a reason in one word: another connection may be, or a later request.
    pub fn refuse_for_now(
        &self,
        reason: &'static str,
        message: String,
        request: &Request<Incoming>,
        client: &Arc<LoggedClient>,
        delivery: &Delivery,
    ) -> Response<Filtered> {
        let mut log = AccessLog::of_request(&self.observer, client, request);
        log.no_room(reason, &message);
        log.spent(Duration::ZERO);
        logged(respond::busy(message, self.advertised()), log, delivery)
    }

    /// The answer to a request that has come too soon after others.
    pub async fn refuse_too_soon(
        &self,
        request: Request<Incoming>,
        found: FoundRoute,
        too_soon: TooSoon,
        client: &Arc<LoggedClient>,
        delivery: &Delivery,
    ) -> Response<Filtered> {
        let mut log = AccessLog::of_request(&self.observer, client, &request);
        log.too_soon(too_soon.suppressed);
        if let (Ok(Some(route)), None) = (&found.0, self.refused) {
            log.route(route);
        }
        drain_denied(request.map(|body| log.counted(body))).await;
        log.spent(Duration::ZERO);
        logged(respond::too_soon(too_soon.message, too_soon.wait, self.advertised()), log, delivery)
    }

    async fn answer(
        &self,
        request: Request<ClientBody>,
        found: FoundRoute,
        log: &mut AccessLog,
    ) -> Result<Answer, Error> {
        if let Some(refusal) = self.refused {
            return Err(Box::pin(self.refuse(request, refusal, log)).await);
        }
        self.admit(&request)?;
        let mut route = found.0?.ok_or(Error::NoRoute)?;
        log.route(&route);
        self.policy.trim(&mut route);
        let decision = self.decide(&route, &request);
        if let Decision::Deny(denial) = decision {
            let refusal = self.policy.refusal(&route, denial);
            log.reason(denial.as_str());
            log_denied(logged_path(&request), refusal.logged(), refusal.opened_by(), log);
            // A denial is answered as such, whatever the body.
            Box::pin(drain_denied(request)).await;
            return Err(Error::Denied(refusal));
        }
        let (route, request, view) = if self.policy.passes_as_named(&route) {
            let request = ClientRequest::read(request, &route, log.id()).await?;
            (route, request, None)
        } else {
            Box::pin(self.prepared(route, request, log)).await?
        };
        match decision {
            Decision::Deny(denial) => Err(Error::Denied(self.policy.refusal(&route, denial))),
            Decision::Relay(reason) => {
                log.decision("relay", Some(reason.word()));
                let errors = self.in_stream_errors(&route);
                if errors.is_none() && opens_stream(&route, &request) {
                    return Box::pin(self.open(&route, request, StreamBody::Relayed(reason), log)).await;
                }
                self.relay(&route, request, reason, errors).await.map(Answer::Response)
            }
            Decision::Records(filter) => {
                log.decision("filter", None);
                let (limit, memory) = (self.element_limit, self.memory.clone());
                let filtering = RecordFiltering { filter: StreamFilter { filter, view }, limit, memory };
                Box::pin(self.open(&route, request, StreamBody::Filtered(filtering), log)).await
            }
            Decision::Filter(plan) => {
                log.decision("filter", None);
                self.filter(&route, request, DocumentFilter { plan, view }, log).await.map(Answer::Response)
            }
        }
    }

    /// A request as the engine is to read it: with whole ids in place of names, and with the hidden values of what it edits. Also
    /// what the client sees of the objects in the answer.
    async fn prepared(
        &self,
        route: Route,
        request: Request<ClientBody>,
        log: &mut AccessLog,
    ) -> Result<(Route, ClientRequest, Option<LeasedView>), Error> {
        let is_looked_at = self.policy.body(route.operation).is_some()
            || self.policy.edit(route.operation).is_some()
            || self.may_reuse_names(route.operation)
            || self.policy.visibility().restricts_any()
            || !self.policy.bound(route.operation).is_empty();
        let path = if is_looked_at { logged_path(&request) } else { String::new() };
        let request = ClientRequest::read(request, &route, log.id()).await?;
        self.looked_at(route, request, &log.client()).await.inspect_err(|error| {
            if let Error::Edit { refusal, .. } | Error::Body { refusal, .. } | Error::Denied(refusal) = error {
                log.reason(error.reason());
                log_denied(path, refusal.logged(), refusal.opened_by(), log);
            }
        })
    }

    /// As [`Self::prepared`], for a request that has been read. `client` is the name in the log of who sent it.
    async fn looked_at(
        &self,
        route: Route,
        request: ClientRequest,
        client: &str,
    ) -> Result<(Route, ClientRequest, Option<LeasedView>), Error> {
        let tick = self.start_tick().await;
        let mut route = match self.resolved(route, client).await {
            Ok(route) => route,
            Err(error) => {
                if let Some(tick) = tick {
                    self.wait_for_tick(tick).await;
                }
                return Err(error);
            }
        };
        self.limit_prune(&mut route)?;
        let (mut route, request) = self.rewritten(route, request, client).await?;
        let view = self.object_view(&mut route, client).await?;
        Ok((route, request, view))
    }

    /// The request with the names in its body resolved, and with the hidden values of what it edits. What it starts is checked.
    async fn rewritten(
        &self,
        mut route: Route,
        mut request: ClientRequest,
        client: &str,
    ) -> Result<(Route, ClientRequest), Error> {
        if let Some(shape) = self.policy.body(route.operation) {
            request = self.with_names(Search::new(&route, client), request, shape).await?;
        }
        if let Some(edit) = self.policy.edit(route.operation) {
            (route, request) = self.restored(route, request, edit, client).await?;
        }
        self.check_reused_names(&route, &request, client).await?;
        self.keep_credentials(&route, &mut request, client).await?;
        Ok((route, request))
    }

    /// Starts the timer of a request that has arrived, if the policy hides objects.
    ///
    /// Timers that are due at one time fire in the order in which they were started. So this is before the look-up: how long that
    /// takes has no part in the order of answers.
    pub(super) async fn start_tick(&self) -> Option<Pin<Box<Sleep>>> {
        if self.absent_tick.is_zero() || !self.policy.visibility().restricts_any() {
            return None;
        }
        let mut tick = Box::pin(tokio::time::sleep(self.absent_tick));
        // A timer starts when it is first asked.
        poll_fn(|cx| Poll::Ready(tick.as_mut().poll(cx).is_ready())).await;
        Some(tick)
    }

    /// Waits for the next multiple of the tick after the timer was started.
    pub(super) async fn wait_for_tick(&self, mut tick: Pin<Box<Sleep>>) {
        let now = Instant::now();
        let mut due = tick.deadline();
        if due <= now {
            while due <= now {
                due += self.absent_tick;
            }
            tick.as_mut().reset(due);
        }
        tick.await;
    }

    /// Denies a request of a client that the listener does not serve, whatever it asks for.
    async fn refuse(&self, request: Request<ClientBody>, refusal: ClientRefusal, log: &mut AccessLog) -> Error {
        log_denied(logged_path(&request), refusal.logged(), "a line of `clients`", log);
        drain_denied(request).await;
        Error::Client(refusal)
    }

    /// Decides what happens to a request. One with a body that the engine would read and the profile does not allow is
    /// denied.
    fn decide(&self, route: &Route, request: &Request<ClientBody>) -> Decision {
        let decision = self.policy.decide(route);
        let is_read = route.body() != RequestBody::None && !request.body().is_end_stream();
        if is_read && !matches!(decision, Decision::Deny(_)) && !self.policy.allows_body(route.operation) {
            return Decision::Deny(Denial::Body);
        }
        decision
    }

    /// Refuses requests of web pages, and requests for another host name, whether the target or `Host` names it.
    fn admit(&self, request: &Request<ClientBody>) -> Result<(), Error> {
        let headers = request.headers();
        let is_listed = |origin: &HeaderValue| self.origins.iter().any(|allowed| origin == allowed.as_str());
        let is_allowed = |origin: &HeaderValue| is_listed(origin) || self.is_own_origin(origin, headers);
        if !headers.get_all(ORIGIN).iter().all(is_allowed) {
            return Err(Error::Origin);
        }
        headers::check_request(headers)?;
        // Only HTTP/1.0 has requests without a host, and no web page can send them. Nor can one send an empty host, as
        // go-dockerclient does when it asks for events.
        let host = headers.get(HOST).filter(|host| !host.is_empty());
        let named = host.map(|host| host.to_str().unwrap_or_default());
        let mut names = named.into_iter().chain(request.uri().host());
        if names.all(|name| route::answers_to(&self.hosts, name)) { Ok(()) } else { Err(Error::Host) }
    }

    /// Whether a request for a WebSocket names this listener itself as its origin. Clients that are no browsers do that:
    /// websocket-client, which the SDK for Python uses. No web page has this origin, because the listener serves none. A
    /// name that an attacker's name server could point here would have it, so the host must be listed or an address.
    fn is_own_origin(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let (Ok(origin), Some(Ok(host))) = (origin.to_str(), headers.get(HOST).map(HeaderValue::to_str)) else {
            return false;
        };
        let name = route::without_port(host);
        let is_address = name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_certain = is_address || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        is_certain && headers::asks_websocket(headers) && origin.strip_prefix("http://") == Some(host)
    }

    /// Sends the canonical form of the request, and checks the status of the answer.
    async fn send(&self, route: &Route, request: ClientRequest) -> Result<EngineAnswer, Error> {
        let mut fields = headers::of_request(&request.headers, route.operation);
        let body = match (request.restored, request.body) {
            (Some(body), _) => Some(Either::Right(Full::new(body))),
            (None, Some(body)) => Some(Either::Left(body)),
            (None, None) => None,
        };
        if body.is_some() {
            headers::describe_body(route.operation.body, &mut fields);
        }
        let id = Some(request.id.value());
        let (method, target) = (request.method, self.target(route).await?);
        let request = UpstreamRequest { method, target, id, fields, body, takes_long: route.operation.takes_long() };
        let answer = self.upstream.send(request).await?;
        headers::check_answer(&answer.headers)?;
        self.check_status(route, answer).await
    }

    /// The target to request.
    pub(super) async fn target(&self, route: &Route) -> Result<String, Error> {
        let version = self.version_for(route).await?;
        let mut target = String::with_capacity(128);
        route.upstream_target(version, &mut target);
        // Escapes make it longer than the client's.
        if target.len() > LONGEST {
            return Err(Error::Target(TargetError::TooLong));
        }
        // What is not visible is escaped. Were it not, it could end the request.
        if target.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(target) } else { Err(Error::Unroutable) }
    }

    /// Passes on a success. Any other answer becomes an error, with as much of its text as the policy allows.
    pub(super) async fn check_status(&self, route: &Route, answer: EngineAnswer) -> Result<EngineAnswer, Error> {
        let status = answer.status;
        if status.is_success() && status != StatusCode::PARTIAL_CONTENT {
            return Ok(answer);
        }
        if status == StatusCode::NOT_MODIFIED && route.operation.response == ResponseKind::Empty {
            return Ok(answer);
        }
        let length = headers::content_length(&answer.headers);
        let body = error_body(answer.body).await;
        if status.is_client_error() || status.is_server_error() {
            let (status, operation) = (status.as_u16(), route.operation);
            let message = if operation.method == api::Method::Head {
                Message::unread(&self.policy, length)
            } else {
                Message::of_engine(&self.policy, operation, status, body.as_deref())
            };
            return Err(Error::Engine { status, operation, message });
        }
        Err(Error::Status)
    }

    async fn filter(
        &self,
        route: &Route,
        request: ClientRequest,
        seen: DocumentFilter,
        log: &mut AccessLog,
    ) -> Result<Response<Filtered>, Error> {
        let (version, amendment) = (request.version, self.amendment(route.operation));
        let is_as_it_comes = amendment.is_none() && seen.shows_everything();
        // Without memory for the answer, the engine is not asked. What is relayed needs none.
        let budget = if request.body.is_some() { self.memory.of_clients() } else { &self.memory };
        let memory = if is_as_it_comes { None } else { Some(budget.admit().await?) };
        let EngineAnswer { status, headers, body } = self.send(route, request).await?;
        if !headers::is_plain_json(&headers) {
            return Err(Error::NotJson);
        }
        // If the client could not tell the end from a cut, it gets a document with a length.
        if is_as_it_comes && check_end_is_marked(&headers, &body, version).is_ok() {
            log.decision("relay", Some(RelayReason::Shown.word()));
            return Ok(self.json_response(status, &headers, Filtered::document(body, RelayReason::Shown)));
        }
        let memory = match memory {
            Some(memory) => memory,
            None => self.memory.admit().await?,
        };
        let filtered = match route.operation.response {
            ResponseKind::Array(_) => Filtered::array(body, seen, self.element_limit, memory, log.client()).await?,
            ResponseKind::Document(_) | ResponseKind::Stream(StreamKind::Stats) => {
                let limit = self.element_limit;
                let document = FilteredDocument::collect(body, seen, amendment, limit, memory).await?;
                let (document, is_hidden) = document.judged(&log.client()).await;
                if is_hidden {
                    return Err(self.absent(route.operation));
                }
                let document = self.with_references(route, document, &log.client()).await?;
                let (filtered, report) = document.finish(&log.client()).await?;
                log.hidden(&report);
                filtered
            }
            ResponseKind::Ping
            | ResponseKind::Text
            | ResponseKind::Empty
            | ResponseKind::Stream(_)
            | ResponseKind::Hijack
            | ResponseKind::Http2
            | ResponseKind::WebSocket
            | ResponseKind::Tar
            | ResponseKind::Octets => return Err(Error::NotJson),
        };
        Ok(self.json_response(status, &headers, filtered))
    }

    /// The answer with the status of the engine's, and this JSON.
    fn json_response(&self, status: StatusCode, from: &HeaderFields, body: Filtered) -> Response<Filtered> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = self.headers_down(from);
        response.headers_mut().insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
        response
    }

    /// A document, where it is known which of the containers that it refers to the client sees.
    async fn with_references(
        &self,
        route: &Route,
        mut document: FilteredDocument,
        client: &str,
    ) -> Result<FilteredDocument, Error> {
        let names = document.references();
        if !names.is_empty() {
            let visible = self.visible_references(Search::new(route, client), names).await?;
            document.know_references(visible);
        }
        Ok(document)
    }

    async fn relay(
        &self,
        route: &Route,
        request: ClientRequest,
        reason: RelayReason,
        errors: Option<InStreamErrors>,
    ) -> Result<Response<Filtered>, Error> {
        let (is_head, version) = (request.method == Method::HEAD, request.version);
        // Its length is unknown until the engine has done the work.
        if version != Version::HTTP_11 && route.operation.response == ResponseKind::Stream(StreamKind::Progress) {
            return Err(Error::HttpVersion);
        }
        let EngineAnswer { status, headers, body } = self.send(route, request).await?;
        let mut down = self.headers_down(&headers);
        if route.operation.path_stat {
            headers::copy_path_stat(&headers, &mut down);
        }
        let filtered = match route.operation.response {
            // The answer to a ping is known; anything else the engine might say is not passed on.
            ResponseKind::Ping => {
                headers::describe_ping(&mut down);
                body.discard(DRAIN_LIMIT).await?;
                Filtered::own("OK")
            }
            ResponseKind::Empty => {
                if route.operation.is_ping() {
                    headers::describe_ping(&mut down);
                    down.insert(CONTENT_LENGTH, const { HeaderValue::from_static("0") });
                }
                body.discard(DRAIN_LIMIT).await?;
                Filtered::empty()
            }
            ResponseKind::Text
            | ResponseKind::Document(_)
            | ResponseKind::Array(_)
            | ResponseKind::Stream(_)
            | ResponseKind::Hijack
            | ResponseKind::Http2
            | ResponseKind::WebSocket
            | ResponseKind::Tar
            | ResponseKind::Octets => {
                if !is_head {
                    check_end_is_marked(&headers, &body, version)?;
                }
                tracing::debug!(reason = reason.as_str(), "relaying the body");
                headers::copy_content_type(&headers, &mut down);
                match errors {
                    Some(_) if !headers::is_plain_json(&headers) => return Err(Error::NotJson),
                    Some(errors) => Filtered::progress(body, errors, self.element_limit, self.memory.lease()),
                    None => Filtered::relay(body, reason),
                }
            }
        };
        let mut response = Response::new(if is_head { Filtered::empty() } else { filtered });
        *response.status_mut() = status;
        *response.headers_mut() = down;
        Ok(response)
    }

    /// What the answer of an operation says beside what the plan leaves of it.
    fn amendment(&self, operation: &Operation) -> Option<Amendment> {
        if operation.schema() == Some("SystemVersion") {
            return Some(Amendment::ApiVersions(*self.upstream.engine().api()));
        }
        self.policy.says_known_warnings(operation).then_some(Amendment::KnownWarnings)
    }

    /// What happens to errors in the stream of progress that a request asks for; `None` if nothing does.
    fn in_stream_errors(&self, route: &Route) -> Option<InStreamErrors> {
        let is_progress = route.operation.response == ResponseKind::Stream(StreamKind::Progress);
        if is_progress { InStreamErrors::of(&self.policy) } else { None }
    }

    fn headers_down(&self, from: &HeaderFields) -> HeaderMap {
        let host = if self.policy.shows(Class::Host) { HostFields::Shown } else { HostFields::Hidden };
        headers::of_response(from, host)
    }

    /// Prepares a stream, which takes over the connection and writes the log line of the exchange.
    async fn open(
        &self,
        route: &Route,
        request: ClientRequest,
        stream_body: StreamBody,
        log: &mut AccessLog,
    ) -> Result<Answer, Error> {
        if request.version != Version::HTTP_11 {
            return Err(Error::HttpVersion);
        }
        headers::check_upgrade(&request.headers, route.operation)?;
        let target = self.target(route).await?;
        let mut memory = self.memory.of_clients().lease();
        let mut request = request;
        let body = match (request.restored.take(), request.body.take()) {
            (Some(body), _) => body,
            (None, Some(body)) => collect(body, STREAM_REQUEST_LIMIT, &mut memory).await?.into(),
            (None, None) => Bytes::new(),
        };
        let ClientRequest { headers, id, .. } = &request;
        let parts = StreamParts { operation: route.operation, target: &target, headers, id, body: &body };
        let engine = self.upstream.engine().clone();
        let policy = self.policy.clone();
        let subject = self.subject(route, &log.client()).await?;
        let stream = StreamRequest::new(engine, policy, &parts, (stream_body, subject), memory, std::mem::take(log));
        Ok(Answer::Stream(Box::new(stream)))
    }
}

/// A response with the id of its exchange, whose body writes the log line.
fn logged(mut response: Response<Filtered>, mut log: AccessLog, delivery: &Delivery) -> Response<Filtered> {
    log.status(response.status().as_u16());
    response.headers_mut().insert(REQUEST_ID, log.id().value());
    response.map(|body| body.logged(log, delivery))
}

/// Notes why the policy denies a request.
fn log_denied(path: String, why: &str, opened_by: &str, log: &mut AccessLog) {
    log.denied(DeniedRequest { why: why.to_owned(), opened_by: opened_by.to_owned(), path });
}

/// The path of a request, for the log.
fn logged_path(request: &Request<ClientBody>) -> String {
    request.uri().path().chars().take(LOGGED_PATH).collect()
}

/// A client's request without its target, which the route stands for.
pub(super) struct ClientRequest {
    method: Method,
    version: Version,
    pub(super) headers: HeaderMap,
    /// The id of the exchange.
    id: RequestId,
    /// The body that goes up. `None` if there is none, or if the engine does not read it.
    pub(super) body: Option<ClientBody>,
    /// What goes up in place of the body: that with the names in it resolved, and the hidden values of the object that it edits.
    pub(super) restored: Option<Bytes>,
}

impl ClientRequest {
    /// Checks the body. One that the engine does not read for this route is read here and dropped.
    ///
    /// # Errors
    /// [`Error::Form`] if the body is a form, in which an engine would look for parameters, [`Error::BodyType`] if the engine
    /// would refuse it; if it is dropped, [`Error::BodyTooLong`] and [`Error::BodyBroken`].
    async fn read(request: Request<ClientBody>, route: &Route, id: RequestId) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let is_form = headers::is_form(&parts.headers);
        let body = match route.body() {
            _ if body.is_end_stream() => None,
            // After an upgrade, what looks like a body of no known length is the stream itself. dockerode announces one.
            RequestBody::None | RequestBody::Raw
                if opens_tunnel(route.operation)
                    && parts.headers.contains_key(UPGRADE)
                    && body.size_hint().exact().is_none() =>
            {
                None
            }
            RequestBody::None | RequestBody::Raw => {
                if Box::pin(discard(body)).await? > 0 && is_form {
                    return Err(Error::Form);
                }
                None
            }
            _ if is_form => return Err(Error::Form),
            RequestBody::Json | RequestBody::OptionalJson if !headers::is_json(&parts.headers) => {
                return Err(Error::BodyType);
            }
            RequestBody::Json | RequestBody::OptionalJson | RequestBody::Tar | RequestBody::OptionalTar => Some(body),
        };
        let hyper::http::request::Parts { method, version, headers, .. } = parts;
        Ok(Self { method, version, headers, id, body, restored: None })
    }
}

/// Whether the connection carries bytes in both directions after the answer.
fn opens_tunnel(operation: &Operation) -> bool {
    matches!(operation.response, ResponseKind::Hijack | ResponseKind::Http2 | ResponseKind::WebSocket)
}

/// Whether the answer is carried on the two sockets themselves.
///
/// A progress stream whose request has a body (a build, a load) goes through the HTTP client, because that body may be long.
fn opens_stream(route: &Route, request: &ClientRequest) -> bool {
    match route.operation.response {
        ResponseKind::Stream(StreamKind::Progress) => request.body.is_none(),
        ResponseKind::Stream(_) => route.streams(),
        ResponseKind::Hijack | ResponseKind::Http2 | ResponseKind::WebSocket => true,
        ResponseKind::Document(_)
        | ResponseKind::Array(_)
        | ResponseKind::Ping
        | ResponseKind::Text
        | ResponseKind::Empty
        | ResponseKind::Tar
        | ResponseKind::Octets => false,
    }
}

/// Reads the body of an error. `None` if it is long, or does not come to its end.
async fn error_body(mut body: UpstreamBody) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await.ok()? {
        if bytes.len() + chunk.len() > ERROR_LIMIT {
            // Reading the body to its end keeps the connection.
            let _ = body.discard(DRAIN_LIMIT).await;
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes)
}

/// Refuses to relay a body if the client could not tell its end from a cut.
fn check_end_is_marked(headers: &HeaderFields, body: &UpstreamBody, version: Version) -> Result<(), Error> {
    if !headers::marks_end(headers) {
        return Err(Error::Framing);
    }
    if version != Version::HTTP_11 && body.size_hint().exact().is_none() {
        return Err(Error::HttpVersion);
    }
    Ok(())
}

/// Reads the body of a denied request, if it is short and arrives soon: a client that is still writing when the
/// connection closes never reads the reason.
///
/// A client that sent `Expect: 100-continue` does not send the body at all.
async fn drain_denied(request: Request<ClientBody>) {
    if request.headers().contains_key(EXPECT) {
        return;
    }
    let mut body = Limited::new(request.into_body(), DENIED_BODY_LIMIT);
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(DENIED_BODY_TIMEOUT, read).await;
}

/// Reads a body that is not passed on. Returns its length.
async fn discard(body: ClientBody) -> Result<usize, Error> {
    let mut body = Limited::new(body, DRAIN_LIMIT);
    let read = async {
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            // The limit is the only error that is not one of the connection.
            let frame = frame
                .map_err(|error| if error.is::<LengthLimitError>() { Error::BodyTooLong } else { Error::BodyBroken })?;
            length += frame.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    };
    tokio::time::timeout(WHOLE_BODY_TIMEOUT, read).await.unwrap_or(Err(Error::BodyBroken))
}

/// What a client reads if there is no memory for its body.
pub(super) fn of_body(error: MemoryError) -> Error {
    match error {
        MemoryError::TooLarge { .. } => Error::BodyTooLong,
        MemoryError::Busy => Error::Memory(error),
    }
}

/// Reads a body of at most `limit` bytes that goes up in another form.
pub(super) async fn collect(body: ClientBody, limit: usize, memory: &mut MemoryLease) -> Result<Vec<u8>, Error> {
    let read = async {
        let (mut body, mut bytes) = (body, Vec::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Error::BodyBroken)?.into_data() else { continue };
            let length = bytes.len() + data.len();
            if length > limit {
                return Err(Error::BodyTooLong);
            }
            // It is copied into the request.
            memory.grow(length, 2 * length).await.map_err(of_body)?;
            bytes.extend_from_slice(&data);
            // When the next part comes is up to the client.
            memory.pause(2 * length);
        }
        Ok(bytes)
    };
    tokio::time::timeout(WHOLE_BODY_TIMEOUT, read).await.unwrap_or(Err(Error::BodyBroken))
}
