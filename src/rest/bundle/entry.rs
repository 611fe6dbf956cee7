//! One entry of a batch or transaction, understood.

use serde_json::Value;

use crate::fhir::outcome::Issue;
use crate::rest::RestError;
use crate::rest::get::GetRequest;
use crate::rest::negotiate::Prefer;
use crate::rest::query;
use crate::rest::read::Freshness;
use crate::rest::route::Route;
use crate::rest::update::Conditions;
use crate::rest::write::{Action, Target};

/// What an entry asks for.
#[derive(Debug)]
pub(super) enum Request {
    Write(Action),
    Get(GetRequest),
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
        let local = url
            .strip_prefix(base)
            .unwrap_or(url)
            .trim_start_matches('/');
        if local.contains("://") {
            return Err(wrong("value", "The url is not one of this server."));
        }
        let (path, criteria) = local.split_once('?').unwrap_or((local, ""));
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
                | Route::SystemSearch
                | Route::TypeSearch(_)
                | Route::CompartmentSearch(..) => {
                    return Err(RestError::NotImplemented(
                        "Operations and _search by POST are not done inside a Bundle; use GET with \
                         the same parameters, or a request of its own."
                            .to_owned(),
                    ));
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
            "GET" | "HEAD" => Request::Get(GetRequest {
                path: path.to_owned(),
                pairs: query::pairs(criteria)?,
                freshness: Freshness {
                    none_match: conditions.if_none_match,
                    modified_since: text("ifModifiedSince").map(since).transpose()?,
                },
                prefer: Prefer::default(),
                is_head: method == "HEAD",
            }),
            "PATCH" => {
                return Err(RestError::NotImplemented(
                    "PATCH is not supported; send the whole resource with PUT.".to_owned(),
                ));
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

fn since(text: &str) -> Result<i64, RestError> {
    query::instant(text)
        .ok_or_else(|| RestError::bad_request("value", "ifModifiedSince must be an instant."))
}
