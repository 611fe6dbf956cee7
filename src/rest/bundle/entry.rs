//! One entry of a batch or transaction, understood.

use serde_json::Value;

use crate::fhir::outcome::Issue;
use crate::rest::get::{self, GetRequest};
use crate::rest::negotiate::Prefer;
use crate::rest::patch::Patch;
use crate::rest::query::{self, Pairs};
use crate::rest::read::Freshness;
use crate::rest::reply::Reply;
use crate::rest::route::Route;
use crate::rest::search::Place;
use crate::rest::session::Session;
use crate::rest::update::Conditions;
use crate::rest::write::{Action, Target};
use crate::rest::{RestError, operation, search};
use crate::visibility::Access;

/// What an entry asks for.
#[derive(Debug)]
pub(super) enum Request {
    Write(Action),
    Read(Read),
}

/// A request that changes nothing.
#[derive(Clone, Debug)]
pub(super) enum Read {
    Get(GetRequest),
    /// `POST …/_search`, its parameters in the URL.
    Search {
        path: String,
        pairs: Pairs,
    },
    /// `POST …/$operation`.
    Operation {
        path: String,
        pairs: Pairs,
        resource: Option<Value>,
    },
}

impl Read {
    /// What can be told without looking ([`get::check`]).
    pub(super) fn check(&self, session: &Session) -> Result<(), RestError> {
        match self {
            Self::Get(request) => get::check(session, request),
            Self::Search { path, .. } => match Route::parse(path).searched() {
                Some(Place {
                    type_id: Some(type_id),
                    ..
                }) => session.require(type_id, Access::Search),
                _ => Ok(()),
            },
            Self::Operation { .. } => Ok(()),
        }
    }

    /// The answer.
    pub(super) async fn run(&self, session: &Session) -> Result<Reply, RestError> {
        match self {
            Self::Get(request) => get::get(session, request).await,
            Self::Search { path, pairs } => {
                let route = Route::parse(path);
                match route.searched() {
                    Some(place) => search::search(session, place, pairs, Prefer::default()).await,
                    None => Err(get::unknown(route)),
                }
            }
            Self::Operation {
                path,
                pairs,
                resource,
            } => operation::post(session, Route::parse(path), pairs, resource.clone()).await,
        }
    }
}

/// An entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) full_url: Option<String>,
    pub(super) request: Request,
}

impl Entry {
    /// Understands an entry. `resource` is its resource, taken out of it; `base` is this server's,
    /// which absolute URLs may begin with.
    pub(super) fn parse(
        base: &str,
        entry: &Value,
        resource: Option<Value>,
    ) -> Result<Self, RestError> {
        let wrong = |code: &'static str, text: &str| RestError::bad_request(code, text);
        let request = &entry["request"];
        let text = |name: &str| request[name].as_str();
        let method = text("method").ok_or_else(|| {
            wrong(
                "required",
                "The entry needs request.method and request.url.",
            )
        })?;
        let url = text("url").ok_or_else(|| wrong("required", "The entry needs request.url."))?;
        let (path, criteria) = split(base, url);
        // Only the path: criteria name systems, and those are URLs.
        if path.contains("://") {
            return Err(wrong("value", "The url is not one of this server."));
        }
        let route = Route::parse(path);
        let conditions = Conditions {
            if_match: text("ifMatch").map(str::to_owned),
            if_none_match: text("ifNoneMatch").map(str::to_owned),
        };
        let needs_resource = || wrong("required", "The entry needs a resource for this method.");
        let target = |route: Route<'_>| match route {
            Route::Instance(type_id, id) if criteria.is_empty() => {
                Ok((type_id, Target::Id(id.to_owned())))
            }
            Route::Type(type_id) if !criteria.is_empty() => {
                Ok((type_id, Target::Criteria(criteria.to_owned())))
            }
            Route::UnknownType => Err(wrong("not-supported", "R4 has no such resource type.")),
            _ => Err(wrong(
                "value",
                "The url of this method must be Type/id or Type?criteria.",
            )),
        };
        let request = match method {
            "POST" => match route {
                Route::Type(type_id) if criteria.is_empty() => Request::Write(Action::Create {
                    type_id,
                    resource: resource.ok_or_else(needs_resource)?,
                    if_none_exist: text("ifNoneExist").map(|criteria| {
                        // Some senders give the whole URL.
                        let criteria = criteria.split_once('?').map_or(criteria, |(_, rest)| rest);
                        criteria.to_owned()
                    }),
                }),
                Route::UnknownType => {
                    return Err(wrong("not-supported", "R4 has no such resource type."));
                }
                Route::SystemOperation(_)
                | Route::TypeOperation(..)
                | Route::InstanceOperation(..)
                | Route::VersionOperation(..) => {
                    match operation::write(route, resource.as_ref())? {
                        Some(action) => Request::Write(action),
                        None => Request::Read(Read::Operation {
                            path: path.to_owned(),
                            pairs: query::pairs(criteria)?,
                            resource,
                        }),
                    }
                }
                Route::SystemSearch | Route::TypeSearch(_) | Route::CompartmentSearch(..) => {
                    if resource.is_some() {
                        return Err(wrong(
                            "value",
                            "A POST to _search in a Bundle has its parameters in request.url, and \
                             no resource.",
                        ));
                    }
                    Request::Read(Read::Search {
                        path: path.to_owned(),
                        pairs: query::pairs(criteria)?,
                    })
                }
                _ => return Err(wrong("value", "The url of a POST must be a resource type.")),
            },
            "PUT" => {
                let (type_id, target) = target(route)?;
                Request::Write(Action::Update {
                    type_id,
                    target,
                    resource: resource.ok_or_else(needs_resource)?,
                    if_match: conditions.version()?,
                    must_be_new: conditions.must_be_new()?,
                })
            }
            "DELETE" => {
                let (type_id, target) = target(route)?;
                Request::Write(Action::Delete {
                    type_id,
                    target,
                    if_match: conditions.version()?,
                })
            }
            "GET" | "HEAD" => Request::Read(Read::Get(GetRequest {
                path: path.to_owned(),
                pairs: query::pairs(criteria)?,
                freshness: Freshness {
                    none_match: conditions.if_none_match,
                    modified_since: text("ifModifiedSince").map(since).transpose()?,
                },
                prefer: Prefer::default(),
                is_head: method == "HEAD",
            })),
            "PATCH" => {
                let (type_id, target) = target(route)?;
                Request::Write(Action::Patch {
                    type_id,
                    target,
                    patch: Patch::of_resource(resource.ok_or_else(needs_resource)?)?,
                    if_match: conditions.version()?,
                })
            }
            _ => {
                return Err(RestError::BadRequest(vec![Issue::error(
                    "value",
                    "request.method must be GET, HEAD, POST, PUT, PATCH or DELETE.",
                )]));
            }
        };
        Ok(Self {
            full_url: entry["fullUrl"].as_str().map(str::to_owned),
            request,
        })
    }
}

/// The path below this server's base, and the query, of a `request.url`.
pub(super) fn split<'u>(base: &str, url: &'u str) -> (&'u str, &'u str) {
    let local = url
        .strip_prefix(base)
        .unwrap_or(url)
        .trim_start_matches('/');
    local.split_once('?').unwrap_or((local, ""))
}

fn since(text: &str) -> Result<i64, RestError> {
    query::instant(text)
        .ok_or_else(|| RestError::bad_request("value", "ifModifiedSince must be an instant."))
}
