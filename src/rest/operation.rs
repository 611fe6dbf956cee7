//! Operations: the table of those that exist, and their handlers, one file each.

mod release_decision;
mod release_ledger;
mod validate;
mod verify_ledger;

use serde_json::Value;

use super::RestError;
use super::get;
use super::query::Pairs;
use super::reply::{Content, Reply};
use super::route::Route;
use super::session::Session;
use crate::fhir::definitions::TypeId;
use crate::store::Store;

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
}

/// All of them, for the CapabilityStatement. Names of R4 that are missing here are 501.
pub(super) const ALL: &[Operation] = &[
    Operation {
        name: "$release-policy",
        level: Level::System,
        definition: "https://candor.example/fhir/OperationDefinition/release-policy",
    },
    Operation {
        name: "$release-ledger",
        level: Level::System,
        definition: "https://candor.example/fhir/OperationDefinition/release-ledger",
    },
    Operation {
        name: "$verify-ledger",
        level: Level::System,
        definition: "https://candor.example/fhir/OperationDefinition/verify-ledger",
    },
    Operation {
        name: "$release-decision",
        level: Level::Instance,
        definition: "https://candor.example/fhir/OperationDefinition/release-decision",
    },
    Operation {
        name: "$validate",
        level: Level::Type,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate",
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
            validate::stored(session, type_id, id).await
        }
        Route::SystemOperation("$verify-ledger") | Route::TypeOperation(_, "$validate") => {
            Err(RestError::MethodNotAllowed {
                allow: "POST, OPTIONS",
                text: "This operation takes POST.".to_owned(),
            })
        }
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
    match route {
        Route::SystemOperation("$verify-ledger") => verify_ledger::verify(session).await,
        Route::TypeOperation(type_id, "$validate")
        | Route::InstanceOperation(type_id, _, "$validate") => {
            validate::sent(type_id, pairs, resource)
        }
        Route::SystemOperation("$release-policy" | "$release-ledger")
        | Route::InstanceOperation(_, _, "$release-decision") => Err(RestError::MethodNotAllowed {
            allow: "GET, HEAD, OPTIONS",
            text: "This operation changes nothing and takes GET.".to_owned(),
        }),
        _ => Err(unknown(route)),
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
        "$convert",
        "$docref",
        "$document",
        "$evaluate-measure",
        "$everything",
        "$expand",
        "$export",
        "$find",
        "$find-matches",
        "$graph",
        "$graphql",
        "$implements",
        "$lastn",
        "$lookup",
        "$match",
        "$meta",
        "$meta-add",
        "$meta-delete",
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
        | Route::InstanceOperation(_, _, name) => name,
        _ => return get::unknown(route),
    };
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
