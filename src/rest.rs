//! The FHIR HTTP API: every interaction and operation below the FHIR base, in JSON and XML.
//!
//! [`service`] takes a request apart into an address, a format and a viewer; one file for each
//! interaction does the rest without HTTP; [`error`] and [`reply`] make the answer. Withheld means
//! absent: nothing in this module knows what is withheld, the store's queries do.

pub mod audit;
pub mod auth;
mod binary;
pub mod bundle;
mod capability;
mod create;
mod cursor;
mod delete;
pub mod error;
mod get;
mod history;
mod incoming;
pub mod negotiate;
mod operation;
mod patch;
mod query;
mod read;
pub mod reply;
mod route;
mod search;
mod session;
mod update;
mod view;
mod write;

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use tower::{Layer as _, Service, ServiceExt as _};
use tower_http::cors::{AllowMethods, Any, CorsLayer};

pub use audit::{AuditLog, AuditWriter};
pub use auth::{AuthError, AuthFuture, Authenticator};
pub use capability::OauthUris;
pub use error::RestError;
pub use session::{ConditionalDelete, Limits, Session};

use audit::Touched;
use get::GetRequest;
use negotiate::{Format, Prefer, Return, Sent, Wanted};
use patch::Patch;
use query::Pairs;
use read::Freshness;
use reply::{Reply, Shape};
use route::Route;
use update::Conditions;
use write::Target;

use crate::store::{Origin, Store, Witness};
use crate::visibility::Viewer;

/// What the API needs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RestState {
    store: Store,
    authenticator: Arc<dyn Authenticator>,
    limits: Arc<Limits>,
    oauth: Arc<OauthUris>,
    /// With the generation of the search parameters that it tells of.
    metadata: Arc<ArcSwapOption<(i64, Bytes)>>,
    audit: AuditLog,
}

impl RestState {
    /// The API over this store, for tokens that `authenticator` knows.
    #[must_use]
    pub fn new(
        store: Store,
        authenticator: Arc<dyn Authenticator>,
        limits: Limits,
        oauth: OauthUris,
    ) -> Self {
        Self {
            store,
            authenticator,
            limits: Arc::new(limits),
            oauth: Arc::new(oauth),
            metadata: Arc::default(),
            audit: AuditLog::default(),
        }
    }

    /// The same, with every access handed over to this log.
    #[must_use]
    pub fn with_audit(self, audit: AuditLog) -> Self {
        Self { audit, ..self }
    }

    /// The CapabilityStatement: the same for everybody, made once for each set of search parameters.
    async fn metadata(&self) -> Result<Bytes, RestError> {
        // The statement needs no database: what was learnt last does when there is none.
        if let Err(error) = self.store.learn().await {
            tracing::warn!(%error, "search parameters of this server could not be read");
        }
        let custom = self.store.custom();
        if let Some(known) = &*self.metadata.load()
            && known.0 == custom.generation
        {
            return Ok(known.1.clone());
        }
        let (base, oauth) = (self.store.base(), Some(&*self.oauth));
        let bytes = capability::bytes(base, oauth, &self.limits, &custom);
        let made = Arc::new((custom.generation, bytes.clone()));
        self.metadata.store(Some(made));
        Ok(bytes)
    }
}

/// Which interaction answered, in the response's extensions: for metrics, where the path must not
/// stand.
#[derive(Clone, Debug)]
pub struct Interaction {
    /// R4's name of it.
    pub name: &'static str,
    /// Whose token it was, if it was anybody's.
    pub viewer: Option<Arc<Viewer>>,
}

/// The code of the OperationOutcome's first issue, in the extensions of an answer that is one: for those who
/// count errors and may not read bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssueCode(pub &'static str);

/// The API as a service of requests whose paths begin with `base`, which is not part of an address:
/// empty below [`axum::Router::nest_service`], which takes it away.
pub fn service(
    state: RestState,
    base: &'static str,
) -> impl Service<Request, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    let service = cors().layer(tower::service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(dispatch(&state, base, request).await) }
    }));
    tower::service_fn(move |request: Request| {
        // The layer answers every OPTIONS, those of no browser too.
        let allow = match *request.method() {
            Method::OPTIONS => allowed(base, request.uri().path()),
            _ => None,
        };
        let answer = service.clone().oneshot(request);
        async move {
            let mut response = answer.await?;
            if let Some(allow) = allow {
                let allow = HeaderValue::from_static(allow);
                response.headers_mut().insert(header::ALLOW, allow);
            }
            Ok(response)
        }
    })
}

/// The methods of an address (RFC 9110 section 9.3.7); None where there is none.
fn allowed(base: &str, path: &str) -> Option<&'static str> {
    let path = path.strip_prefix(base).unwrap_or(path);
    match Route::parse(path) {
        Route::Unknown | Route::UnknownType => None,
        route => Some(route.allow()),
    }
}

/// SMART apps run in browsers at any origin; tokens, not cookies, open the API, so any origin may
/// ask (SMART App Launch 2.2, "Considerations for CORS support").
fn cors() -> CorsLayer {
    let names = |names: &[&'static str]| -> Vec<HeaderName> {
        names
            .iter()
            .map(|name| HeaderName::from_static(name))
            .collect()
    };
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(AllowMethods::list([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ]))
        // A wildcard would not cover Authorization (Fetch, "CORS protocol").
        .allow_headers(names(&[
            "accept",
            "authorization",
            "content-type",
            "if-match",
            "if-modified-since",
            "if-none-exist",
            "if-none-match",
            "prefer",
            "x-provenance",
            "x-request-id",
            "x-requested-with",
            "x-security-context",
        ]))
        .expose_headers(names(&[
            "content-location",
            "etag",
            "last-modified",
            "location",
            "retry-after",
            "www-authenticate",
            "x-request-id",
        ]))
        .max_age(Duration::from_secs(3600))
}

/// Any request below the base.
async fn dispatch(state: &RestState, base: &str, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let path = path.strip_prefix(base).unwrap_or(path);
    let path = match percent_decode_str(path).decode_utf8() {
        Ok(path) => path,
        // No address of this API: the route below says so.
        Err(_) => Cow::Borrowed("?"),
    };
    let route = Route::parse(&path);
    let mut shape = Shape {
        format: Format::Json,
        pretty: false,
    };
    let mut log = Noted::default();
    let first = Call {
        state,
        parts: &parts,
        path: &path,
        route,
        from_memory: matches!(parts.method, Method::GET | Method::HEAD),
    };
    let mut result = first.answer(body, &mut shape, &mut log).await;
    // Where access ended since the token was seen last, nothing of that answer leaves, not even that
    // it was a mistake to ask.
    if let Some(witness) = log.witness.take()
        && !witness.holds(&state.store).await.unwrap_or(false)
    {
        log = Noted::default();
        let again = Call {
            from_memory: false,
            ..first
        };
        result = Box::pin(again.answer(Body::empty(), &mut shape, &mut log)).await;
    }
    if let Some(viewer) = log.viewer.clone().filter(|_| state.audit.is_on()) {
        let status = match &result {
            Ok(reply) => reply.status,
            Err(error) => error.status(),
        };
        let what = audit::what(route);
        let access = audit::Access {
            at: state.store.clock().now(),
            interaction: interaction(&parts.method, route),
            viewer,
            status,
            query: what.is_none().then_some(log.query),
            what,
            touched: Vec::new(),
        };
        state.audit.note(access, &log.touched).await;
    }
    let is_public = result.is_ok() && route == Route::Metadata;
    let mut response = result
        .and_then(|reply| reply.into_response(state.store.base(), shape, &parts.method))
        .unwrap_or_else(|error| {
            if operation::graphql::is_at(route) {
                reply::graph_error_response(&error, &parts.method)
            } else {
                reply::error_response(&error, shape, &parts.method)
            }
        });
    if is_public {
        response.headers_mut().insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=300"),
        );
    }
    response.extensions_mut().insert(Interaction {
        name: interaction(&parts.method, route),
        viewer: log.viewer,
    });
    response
}

/// What is noted while a request is answered: most of it for the audit log.
#[derive(Debug, Default)]
struct Noted {
    /// Who must confirm that the viewer, who was remembered, may still see the answer.
    witness: Option<Arc<Witness>>,
    /// None: nobody was let in.
    viewer: Option<Arc<Viewer>>,
    query: String,
    touched: Touched,
}

/// One request with what is known of it before anybody is asked who sent it.
#[derive(Clone, Copy)]
struct Call<'c> {
    state: &'c RestState,
    parts: &'c Parts,
    path: &'c str,
    route: Route<'c>,
    /// Whether it may be answered for whom the token is remembered to be of.
    from_memory: bool,
}

impl Call<'_> {
    async fn answer(
        self,
        body: Body,
        shape: &mut Shape,
        log: &mut Noted,
    ) -> Result<Reply, RestError> {
        let headers = &self.parts.headers;
        let is_read = matches!(self.parts.method, Method::GET | Method::HEAD);
        let pairs = query::pairs(self.parts.uri.query().unwrap_or(""))?;
        shape.pretty = query::pretty(&pairs);
        let content = match self.route {
            Route::Instance(type_id, id) => Some((type_id, id, None)),
            Route::Version(type_id, id, version) => Some((type_id, id, Some(version))),
            _ => None,
        };
        let content = content.filter(|(type_id, ..)| is_read && binary::is_binary(*type_id));
        let mut raw = None;
        match negotiate::wanted(headers, query::single(&pairs, "_format")?)? {
            Wanted::Fhir(format) => shape.format = format,
            // What has parameters is about the resource (`_summary`, `_elements`).
            Wanted::Anything => raw = content.filter(|_| pairs.is_empty()),
            Wanted::Raw => match self.route {
                _ if content.is_some() => raw = content,
                // Its answers are no resources, and in one format.
                route if operation::graphql::is_at(route) => {}
                _ => shape.format = negotiate::resource_format(headers)?,
            },
        }
        if is_read && self.route == Route::Metadata {
            capability::mode(&pairs)?;
            let bytes = Box::pin(self.state.metadata()).await?;
            return Ok(Reply::ok(reply::Content::Json(bytes)));
        }
        if is_read && self.route == Route::SystemOperation("$release-policy") {
            return Ok(operation::release_policy(&self.state.store));
        }
        let recalled = if self.from_memory {
            auth::recall(&self.state.authenticator, headers).await
        } else {
            None
        };
        let (viewer, store) = match recalled {
            Some((viewer, witness)) => {
                let witness = Arc::new(witness);
                log.witness = Some(witness.clone());
                (viewer, self.state.store.witnessed(witness))
            }
            None => {
                let viewer = auth::viewer(&self.state.authenticator, headers).await?;
                (Arc::new(viewer), self.state.store.clone())
            }
        };
        let mut session = Session::new(store, viewer, self.state.limits.clone(), Origin::Api);
        session.events = audit::Events::new(self.state.audit.clone());
        log.viewer = Some(session.viewer.clone());
        if self.state.audit.is_on() {
            if audit::what(self.route).is_none() {
                log.query = audit::query(self.path, &pairs);
            }
            session.touched = Some(log.touched.clone());
        }
        if !is_read && let Some(header) = text(headers, "x-provenance") {
            let sent = write::provenance::sent(&session, header)?;
            session.provenance = Some(Arc::new(sent));
        }
        if let Some((type_id, id, version)) = raw {
            let freshness = freshness(headers);
            return Box::pin(binary::content(&session, type_id, id, version, &freshness)).await;
        }
        // A future is as large as its largest branch, and is moved as a whole: what costs more than a read
        // anyway lies in a box.
        match self.parts.method {
            Method::GET | Method::HEAD => {
                let request = GetRequest {
                    path: self.path.to_owned(),
                    freshness: freshness(headers),
                    prefer: Prefer::of(headers),
                    pairs,
                    is_head: false,
                };
                get::get(&session, &request).await
            }
            Method::POST => Box::pin(self.post(&session, pairs, body, shape)).await,
            Method::PUT => Box::pin(self.put(&session, &pairs, body)).await,
            Method::PATCH => Box::pin(self.patch(&session, &pairs, body)).await,
            Method::DELETE => {
                let (type_id, target) = self.target(&pairs)?;
                let answer = Prefer::of(headers).answer.unwrap_or_default();
                let conditions = conditions(headers);
                Box::pin(delete::delete(
                    &session,
                    type_id,
                    target,
                    &conditions,
                    answer,
                ))
                .await
            }
            _ => Err(self.refuse()),
        }
    }

    async fn post(
        self,
        session: &Session,
        mut pairs: Pairs,
        body: Body,
        shape: &mut Shape,
    ) -> Result<Reply, RestError> {
        let headers = &self.parts.headers;
        let prefer = Prefer::of(headers);
        let sent = negotiate::sent(headers)?;
        let limit = session.limits.body_bytes;
        if let Some(place) = self.route.searched() {
            let body = read_body(headers, body, limit).await?;
            let form = form(&sent, &body)?;
            if let Some(format) = query::single(&form, "_format")?
                && let Wanted::Fhir(format) = negotiate::wanted(headers, Some(format))?
            {
                shape.format = format;
            }
            shape.pretty |= query::pretty(&form);
            pairs.extend(form);
            audit::settle(session, self.path, &pairs).await?;
            return search::search(session, place, &pairs, prefer).await;
        }
        match self.route {
            Route::System => {
                let body = read_body(headers, body, limit).await?;
                let incoming = incoming::Incoming { body, sent, limit };
                bundle::post(session, &incoming, prefer).await
            }
            Route::Type(type_id) => {
                session.require_writer()?;
                query::only(&pairs, &[])?;
                let body = read_body(headers, body, limit).await?;
                let resource = match &sent {
                    Sent::Other(media) if binary::is_binary(type_id) => {
                        binary::wrap(None, media, text(headers, "x-security-context"), &body)
                    }
                    _ => incoming::read(body, &sent, limit).await?,
                };
                let if_none_exist = text(headers, "if-none-exist").map(|criteria| {
                    let criteria = criteria.trim();
                    criteria.strip_prefix('?').unwrap_or(criteria).to_owned()
                });
                let answer = prefer.answer.unwrap_or_default();
                create::create(session, type_id, resource, if_none_exist, answer).await
            }
            route if operation::graphql::is_at(route) => {
                let body = read_body(headers, body, limit).await?;
                let request = operation::graphql::Request::sent(&pairs, &sent, &body)?;
                operation::graph(session, route, request).await
            }
            Route::SystemOperation(_)
            | Route::TypeOperation(..)
            | Route::InstanceOperation(..)
            | Route::VersionOperation(..) => {
                let body = read_body(headers, body, limit).await?;
                let resource = if body.is_empty() {
                    None
                } else {
                    match incoming::read(body.clone(), &sent, limit).await {
                        Err(RestError::BadRequest(issues)) if sent == Sent::Fhir(Format::Xml) => {
                            let route = self.route;
                            return operation::post_unread(session, route, &pairs, &body, issues)
                                .await;
                        }
                        read => Some(read?),
                    }
                };
                operation::post(session, self.route, &pairs, resource).await
            }
            _ => Err(self.refuse()),
        }
    }

    async fn put(self, session: &Session, pairs: &Pairs, body: Body) -> Result<Reply, RestError> {
        let headers = &self.parts.headers;
        let (type_id, target) = self.target(pairs)?;
        session.require_writer()?;
        let sent = negotiate::sent(headers)?;
        let limit = session.limits.body_bytes;
        let body = read_body(headers, body, limit).await?;
        let resource = match (&sent, &target) {
            (Sent::Other(media), Target::Id(id)) if binary::is_binary(type_id) => {
                let context = text(headers, "x-security-context");
                binary::wrap(Some(id), media, context, &body)
            }
            _ => incoming::read(body, &sent, limit).await?,
        };
        let answer: Return = Prefer::of(headers).answer.unwrap_or_default();
        update::update(
            session,
            type_id,
            target,
            resource,
            &conditions(headers),
            answer,
        )
        .await
    }

    async fn patch(self, session: &Session, pairs: &Pairs, body: Body) -> Result<Reply, RestError> {
        let headers = &self.parts.headers;
        let (type_id, target) = self.target(pairs)?;
        session.require_writer()?;
        let sent = negotiate::sent(headers)?;
        let limit = session.limits.body_bytes;
        let body = read_body(headers, body, limit).await?;
        let patch = Patch::read(body, &sent, limit).await?;
        let answer = Prefer::of(headers).answer.unwrap_or_default();
        patch::patch(
            session,
            type_id,
            target,
            patch,
            &conditions(headers),
            answer,
        )
        .await
    }

    /// Whom a PUT, PATCH or DELETE is about.
    fn target(
        &self,
        pairs: &Pairs,
    ) -> Result<(crate::fhir::definitions::TypeId, Target), RestError> {
        match self.route {
            Route::Instance(type_id, id) => {
                query::only(pairs, &[])?;
                Ok((type_id, Target::Id(id.to_owned())))
            }
            Route::Type(type_id) => {
                let criteria = self.parts.uri.query().unwrap_or("");
                Ok((type_id, Target::Criteria(criteria.to_owned())))
            }
            _ => Err(self.refuse()),
        }
    }

    /// No such address, or none for this method.
    fn refuse(&self) -> RestError {
        match self.route {
            Route::Unknown | Route::UnknownType => get::unknown(self.route),
            route => RestError::MethodNotAllowed {
                allow: route.allow(),
                text: "This address does not answer to this method; Allow lists those it does."
                    .to_owned(),
            },
        }
    }
}

/// The body, no more of it than `limit`.
async fn read_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, RestError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
        return Err(RestError::TooLarge { limit });
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(RestError::TooLarge { limit })
        }
        Err(_) => Err(RestError::bad_request(
            "incomplete",
            "The body broke off or is not encoded as its headers say.",
        )),
    }
}

/// The pairs of a form.
fn form(sent: &Sent, body: &Bytes) -> Result<Pairs, RestError> {
    match sent {
        Sent::Form => {
            let text = std::str::from_utf8(body)
                .map_err(|_| RestError::bad_request("invalid", "The form is not UTF-8."))?;
            query::pairs(text.trim())
        }
        _ if body.is_empty() => Ok(Pairs::new()),
        _ => Err(RestError::UnsupportedMediaType(
            "_search takes application/x-www-form-urlencoded.".to_owned(),
        )),
    }
}

/// A header's text. What is no text is no valid value either, and must not pass for absent.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or("(unreadable)"))
}

fn freshness(headers: &HeaderMap) -> Freshness {
    Freshness {
        none_match: text(headers, "if-none-match").map(str::to_owned),
        modified_since: text(headers, "if-modified-since").and_then(reply::parse_http_date),
    }
}

fn conditions(headers: &HeaderMap) -> Conditions {
    Conditions {
        if_match: text(headers, "if-match").map(str::to_owned),
        if_none_match: text(headers, "if-none-match").map(str::to_owned),
    }
}

/// R4's name of the interaction (<http://hl7.org/fhir/restful-interaction>), or what comes near.
fn interaction(method: &Method, route: Route<'_>) -> &'static str {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match route {
        Route::Metadata => "capabilities",
        Route::System if *method == Method::POST => "transaction",
        Route::System | Route::SystemSearch => "search-system",
        Route::SystemHistory => "history-system",
        Route::Type(_) if is_read => "search-type",
        Route::Type(_) if *method == Method::POST => "create",
        Route::TypeSearch(_) => "search-type",
        Route::TypeHistory(_) => "history-type",
        Route::Compartment(..) | Route::CompartmentSearch(..) => "search-compartment",
        Route::Version(..) => "vread",
        Route::InstanceHistory(..) => "history-instance",
        Route::SystemOperation(_)
        | Route::TypeOperation(..)
        | Route::InstanceOperation(..)
        | Route::VersionOperation(..) => "operation",
        Route::Instance(..) | Route::Type(_) => match *method {
            Method::PUT => "update",
            Method::DELETE => "delete",
            Method::PATCH => "patch",
            _ if is_read => "read",
            _ => "other",
        },
        Route::UnknownType | Route::Unknown => "other",
    }
}
