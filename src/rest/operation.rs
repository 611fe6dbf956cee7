//! Operations: the table of those that exist, and their handlers, one file each.

mod convert;
mod docref;
mod everything;
pub(super) mod graphql;
mod inputs;
mod lastn;
mod meta;
mod reindex;
mod release_decision;
mod release_ledger;
mod validate;
mod verify_ledger;

use serde_json::Value;

use super::negotiate::Return;
use super::query::{self, Pairs};
use super::reply::{Content, Reply};
use super::route::Route;
use super::session::Session;
use super::write::Action;
use super::{RestError, audit, create, get};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::fhir::xml;
use crate::store::{EverythingOf, Store};

/// Where an operation is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    System,
    Type,
    Instance,
}

/// An operation of this server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// With its dollar sign.
    pub(super) name: &'static str,
    pub(super) level: Level,
    /// Canonical URL of the OperationDefinition.
    pub(super) definition: &'static str,
    /// The types that have it; empty: all.
    pub(super) types: &'static [&'static str],
}

impl Operation {
    /// Whether it is called on this type or its instances.
    pub(super) fn is_of(&self, type_name: &str) -> bool {
        self.level != Level::System && (self.types.is_empty() || self.types.contains(&type_name))
    }
}

/// All of them, for the CapabilityStatement. Names of R4 that are missing here are 501.
pub(super) const ALL: &[Operation] = &[
    Operation {
        name: "$release-policy",
        level: Level::System,
        definition: "https://candor.example/fhir/OperationDefinition/release-policy",
        types: &[],
    },
    Operation {
        name: "$release-ledger",
        level: Level::System,
        definition: "https://candor.example/fhir/OperationDefinition/release-ledger",
        types: &[],
    },
    Operation {
        name: "$verify-ledger",
        level: Level::System,
        definition: "https://candor.example/fhir/OperationDefinition/verify-ledger",
        types: &[],
    },
    Operation {
        name: "$reindex",
        level: Level::System,
        definition: "https://candor.example/fhir/OperationDefinition/reindex",
        types: &[],
    },
    Operation {
        name: "$reindex-status",
        level: Level::System,
        definition: "https://candor.example/fhir/OperationDefinition/reindex-status",
        types: &[],
    },
    Operation {
        name: "$reindex-status",
        level: Level::Instance,
        definition: "https://candor.example/fhir/OperationDefinition/search-parameter-reindex-status",
        types: &["SearchParameter"],
    },
    Operation {
        name: "$convert",
        level: Level::System,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-convert",
        types: &[],
    },
    Operation {
        name: graphql::NAME,
        level: Level::System,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-graphql",
        types: &[],
    },
    Operation {
        name: graphql::NAME,
        level: Level::Instance,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-graphql",
        types: &[],
    },
    Operation {
        name: "$release-decision",
        level: Level::Instance,
        definition: "https://candor.example/fhir/OperationDefinition/release-decision",
        types: &[],
    },
    Operation {
        name: "$validate",
        level: Level::Type,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        types: &[],
    },
    Operation {
        name: "$meta",
        level: Level::System,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
        types: &[],
    },
    Operation {
        name: "$meta",
        level: Level::Type,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
        types: &[],
    },
    Operation {
        name: "$meta",
        level: Level::Instance,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
        types: &[],
    },
    Operation {
        name: "$meta-add",
        level: Level::Instance,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta-add",
        types: &[],
    },
    Operation {
        name: "$meta-delete",
        level: Level::Instance,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete",
        types: &[],
    },
    Operation {
        name: "$everything",
        level: Level::Type,
        definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        types: &["Patient"],
    },
    Operation {
        name: "$everything",
        level: Level::Instance,
        definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        types: &["Patient"],
    },
    Operation {
        name: "$everything",
        level: Level::Instance,
        definition: "http://hl7.org/fhir/OperationDefinition/Encounter-everything",
        types: &["Encounter"],
    },
    Operation {
        name: "$lastn",
        level: Level::Type,
        definition: "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
        types: &["Observation"],
    },
    Operation {
        name: "$docref",
        level: Level::Type,
        definition: "http://hl7.org/fhir/us/core/OperationDefinition/docref",
        types: &["DocumentReference"],
    },
];

/// `GET …/$name`.
pub(super) async fn get(
    session: &Session,
    route: Route<'_>,
    pairs: &Pairs,
) -> Result<Reply, RestError> {
    match route {
        Route::SystemOperation("$release-policy") => Ok(release_policy(&session.store)),
        Route::SystemOperation("$release-ledger") => release_ledger::page(session, pairs).await,
        Route::InstanceOperation(type_id, id, "$release-decision") => {
            release_decision::explain(session, type_id, id, pairs).await
        }
        Route::InstanceOperation(type_id, id, "$validate") => {
            validate::stored(session, type_id, id, pairs).await
        }
        Route::InstanceOperation(type_id, id, "$meta") => {
            meta::get(session, type_id, id, None, pairs).await
        }
        Route::VersionOperation(type_id, id, version, "$meta") => {
            meta::get(session, type_id, id, Some(version), pairs).await
        }
        Route::SystemOperation("$meta") => meta::all(session, None, pairs).await,
        Route::TypeOperation(type_id, "$meta") => meta::all(session, Some(type_id), pairs).await,
        Route::SystemOperation(graphql::NAME) | Route::InstanceOperation(_, _, graphql::NAME) => {
            graph(session, route, graphql::Request::of_pairs(pairs)?).await
        }
        Route::SystemOperation("$reindex-status") => reindex::status(session, pairs).await,
        Route::InstanceOperation(type_id, id, "$reindex-status")
            if definitions().type_name(type_id) == "SearchParameter" =>
        {
            reindex::of_parameter(session, type_id, id, pairs).await
        }
        Route::SystemOperation("$verify-ledger" | "$convert" | "$reindex")
        | Route::TypeOperation(_, "$validate")
        | Route::InstanceOperation(_, _, "$meta-add" | "$meta-delete") => {
            Err(RestError::MethodNotAllowed {
                allow: "POST, OPTIONS",
                text: "This operation takes POST.".to_owned(),
            })
        }
        route => read(session, route, pairs).await,
    }
}

/// The operations that only read and take GET and POST alike.
async fn read(session: &Session, route: Route<'_>, pairs: &Pairs) -> Result<Reply, RestError> {
    let (type_id, id, name) = match route {
        Route::InstanceOperation(type_id, id, name) => (type_id, Some(id), name),
        Route::TypeOperation(type_id, name) => (type_id, None, name),
        _ => return Err(unknown(route)),
    };
    match (definitions().type_name(type_id), id, name) {
        ("Patient", Some(id), "$everything") => {
            everything::page(session, EverythingOf::Patient(id), pairs).await
        }
        ("Encounter", Some(id), "$everything") => {
            everything::page(session, EverythingOf::Encounter(id), pairs).await
        }
        // R4: without an id it is about whom the caller may see.
        ("Patient", None, "$everything") => {
            let of = match session.visibility.patient_id() {
                Some(id) => EverythingOf::Patient(id),
                None => EverythingOf::Everybody,
            };
            everything::page(session, of, pairs).await
        }
        ("Observation", None, "$lastn") => lastn::lastn(session, pairs).await,
        ("DocumentReference", None, "$docref") => docref::docref(session, pairs).await,
        _ => Err(unknown(route)),
    }
}

/// `POST …/$name`, with the resource that was sent.
pub(super) async fn post(
    session: &Session,
    route: Route<'_>,
    pairs: &Pairs,
    resource: Option<Value>,
) -> Result<Reply, RestError> {
    if let Some(action) = write(route, resource.as_ref())? {
        query::only(pairs, &[])?;
        return create::run(session, action, Return::Representation).await;
    }
    match route {
        Route::SystemOperation("$verify-ledger") => verify_ledger::verify(session).await,
        Route::SystemOperation("$reindex") => {
            let pairs = inputs::pairs(pairs, resource.as_ref())?;
            reindex::start(session, &pairs).await
        }
        Route::SystemOperation("$convert") => convert::convert(pairs, resource),
        Route::TypeOperation(type_id, "$validate") => validate::sent(type_id, pairs, resource),
        Route::InstanceOperation(type_id, id, "$validate") => {
            validate::sent_for(session, type_id, id, pairs, resource).await
        }
        Route::SystemOperation("$release-policy" | "$release-ledger" | "$reindex-status")
        | Route::InstanceOperation(_, _, "$release-decision" | "$reindex-status") => {
            Err(RestError::MethodNotAllowed {
                allow: "GET, HEAD, OPTIONS",
                text: "This operation changes nothing and takes GET.".to_owned(),
            })
        }
        Route::SystemOperation("$meta") => {
            meta::all(session, None, &inputs::pairs(pairs, resource.as_ref())?).await
        }
        Route::TypeOperation(type_id, "$meta") => {
            let pairs = inputs::pairs(pairs, resource.as_ref())?;
            meta::all(session, Some(type_id), &pairs).await
        }
        Route::SystemOperation(graphql::NAME) | Route::InstanceOperation(_, _, graphql::NAME) => {
            let pairs = inputs::pairs(pairs, resource.as_ref())?;
            graph(session, route, graphql::Request::of_pairs(&pairs)?).await
        }
        Route::InstanceOperation(type_id, id, "$meta") => {
            let pairs = inputs::pairs(pairs, resource.as_ref())?;
            meta::get(session, type_id, id, None, &pairs).await
        }
        Route::VersionOperation(type_id, id, version, "$meta") => {
            let pairs = inputs::pairs(pairs, resource.as_ref())?;
            meta::get(session, type_id, id, Some(version), &pairs).await
        }
        route => {
            // Whether there is such an operation comes before what was sent to it.
            let name = match route {
                Route::InstanceOperation(type_id, _, name)
                | Route::TypeOperation(type_id, name) => {
                    let type_name = definitions().type_name(type_id);
                    ALL.iter()
                        .any(|one| one.name == name && one.is_of(type_name))
                }
                _ => false,
            };
            if !name {
                return Err(unknown(route));
            }
            read(session, route, &inputs::pairs(pairs, resource.as_ref())?).await
        }
    }
}

/// `POST …/$name` with XML that could not be read. What is well-formed and breaks FHIR's rules is what `$validate`
/// is asked about.
pub(super) async fn post_unread(
    session: &Session,
    route: Route<'_>,
    pairs: &Pairs,
    body: &[u8],
    issues: Vec<Issue>,
) -> Result<Reply, RestError> {
    let of = match route {
        Route::TypeOperation(type_id, "$validate") => Some((type_id, None)),
        Route::InstanceOperation(type_id, id, "$validate") => Some((type_id, Some(id))),
        _ => None,
    };
    let is_broken_rule = |issue: &Issue| matches!(issue.code, "structure" | "value");
    match of {
        Some(of) if issues.iter().all(is_broken_rule) && xml::is_well_formed(body) => {
            validate::unread(session, of, pairs, &issues).await
        }
        _ => Err(RestError::BadRequest(issues)),
    }
}

/// `$graphql` with what was asked.
pub(super) async fn graph(
    session: &Session,
    route: Route<'_>,
    request: graphql::Request,
) -> Result<Reply, RestError> {
    let on = match route {
        Route::InstanceOperation(type_id, id, _) => Some((type_id, id)),
        _ => None,
    };
    if request.names_events() {
        audit::settle_events(session).await?;
    }
    graphql::answer(session, on, request).await
}

/// The write that an operation is, if it is one: in a transaction it is one of its writes.
pub(super) fn write(
    route: Route<'_>,
    resource: Option<&Value>,
) -> Result<Option<Action>, RestError> {
    match route {
        Route::InstanceOperation(type_id, id, "$meta-add") => {
            meta::change(type_id, id, true, resource).map(Some)
        }
        Route::InstanceOperation(type_id, id, "$meta-delete") => {
            meta::change(type_id, id, false, resource).map(Some)
        }
        _ => Ok(None),
    }
}

/// `GET $release-policy`: the rules in force. Public, as the law they rest on.
pub(super) fn release_policy(store: &Store) -> Reply {
    Reply::ok(Content::Resource(store.release_policy()))
}

/// 501 for what FHIR defines and this server does not do, 404 for what nobody knows.
fn unknown(route: Route<'_>) -> RestError {
    const FHIR: &[&str] = &[
        "$apply",
        "$closure",
        "$compose",
        "$conforms",
        "$document",
        "$evaluate-measure",
        "$expand",
        "$export",
        "$find",
        "$find-matches",
        "$graph",
        "$implements",
        "$lookup",
        "$match",
        "$populate",
        "$process-message",
        "$questionnaire",
        "$snapshot",
        "$stats",
        "$submit",
        "$subsumes",
        "$subset",
        "$transform",
        "$translate",
        "$validate-code",
        "$versions",
    ];
    let name = match route {
        Route::SystemOperation(name)
        | Route::TypeOperation(_, name)
        | Route::InstanceOperation(_, _, name)
        | Route::VersionOperation(_, _, _, name) => name,
        _ => return get::unknown(route),
    };
    if let Route::VersionOperation(_, _, _, "$meta-add" | "$meta-delete") = route {
        return RestError::MethodNotAllowed {
            allow: "OPTIONS",
            text: "A version stays as it was written. Change the labels of the resource, [type]/[id]/$meta-add or \
                   $meta-delete, which makes a new version."
                .to_owned(),
        };
    }
    if FHIR.contains(&name) {
        return RestError::NotImplemented(
            "FHIR defines this operation; this server does not have it. GET metadata lists those \
             it has."
                .to_owned(),
        );
    }
    if ALL.iter().any(|operation| operation.name == name) {
        return RestError::UnknownAddress(
            "This operation exists at another level. GET metadata lists where.".to_owned(),
        );
    }
    RestError::UnknownAddress(
        "This server has no such operation. GET metadata lists those it has.".to_owned(),
    )
}

/// The type and id of an instance operation that reads, checked like a read.
async fn require_exists(session: &Session, type_id: TypeId, id: &str) -> Result<(), RestError> {
    super::read::fetch(session, type_id, id, &Vec::new())
        .await
        .map(|_| ())
}
