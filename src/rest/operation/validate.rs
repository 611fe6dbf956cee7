//! `$validate`: what a write would say about a resource's structure, without the write, and what
//! R4's invariants and the targets of its references say of it, which no write asks. Profiles are not checked; who asks for one is told
//! so.

mod invariants;

use serde_json::Value;

use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::{Issue, operation_outcome};
use crate::fhir::validate::{self, references};
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};
use crate::rest::session::Session;
use crate::rest::write::{Action, Target};
use crate::rest::{RestError, read};

/// `POST [type]/$validate` with a resource, or with Parameters that hold one.
pub(super) fn sent(
    type_id: TypeId,
    pairs: &Pairs,
    body: Option<Value>,
) -> Result<Reply, RestError> {
    check(type_id, None, pairs, body)
}

/// The answer for XML that no resource could be read from: JSON of such a kind is answered with its issues too.
pub(super) async fn unread(
    session: &Session,
    of: (TypeId, Option<&str>),
    pairs: &Pairs,
    issues: &[Issue],
) -> Result<Reply, RestError> {
    query::only(pairs, &["mode", "profile"])?;
    if let (type_id, Some(id)) = of {
        read::fetch(session, type_id, id, &Vec::new()).await?;
    }
    Ok(Reply::ok(Content::Resource(operation_outcome(issues))))
}

fn check(
    type_id: TypeId,
    own_id: Option<&str>,
    pairs: &Pairs,
    body: Option<Value>,
) -> Result<Reply, RestError> {
    query::only(pairs, &["mode", "profile"])?;
    let missing = || {
        RestError::BadRequest(vec![Issue::error(
            "required",
            "Send the resource, or Parameters with a part named resource.",
        )])
    };
    let body = body.ok_or_else(missing)?;
    let type_name = definitions().type_name(type_id);
    let mut profiles: Vec<String> = pairs
        .iter()
        .filter(|(name, _)| name == "profile")
        .map(|(_, value)| value.clone())
        .collect();
    let mut parameters = None;
    let resource = if body["resourceType"] == "Parameters" && type_name != "Parameters" {
        let mut body = body;
        let mut list = body["parameter"].take();
        let parts = list.as_array_mut().ok_or_else(missing)?;
        for part in parts.iter().filter(|part| part["name"] == "profile") {
            let url = ["valueCanonical", "valueUri", "valueUrl", "valueString"]
                .iter()
                .find_map(|key| part[*key].as_str());
            profiles.push(url.unwrap_or_default().to_owned());
        }
        let resource = parts
            .iter_mut()
            .find(|part| part["name"] == "resource")
            .map(|part| part["resource"].take())
            .filter(Value::is_object)
            .ok_or_else(missing)?;
        parameters = Some(list);
        resource
    } else {
        body
    };
    let mode = mode(pairs, parameters.as_ref())?;
    if mode == Mode::Delete {
        return Err(RestError::bad_request(
            "not-supported",
            "mode=delete is about a resource that exists: [type]/[id]/$validate?mode=delete.",
        ));
    }
    let mut issues = Vec::new();
    if resource["resourceType"] != type_name {
        issues.push(
            Issue::error("value", format!("This address validates {type_name}."))
                .at("resourceType"),
        );
    }
    let structure = validate::validate(&resource);
    let is_sound = validate::is_acceptable(&structure);
    issues.extend(structure);
    match (mode, resource.get("id")) {
        (Mode::Create, Some(_)) => issues.push(
            Issue::error(
                "informational",
                "The server chooses the id of what is created with POST.",
            )
            .information()
            .at(format!("{type_name}.id")),
        ),
        (Mode::Update, None) => issues.push(
            Issue::error("required", "An update needs the id of the resource.")
                .at(format!("{type_name}.id")),
        ),
        (Mode::Update, Some(id)) if own_id.is_some_and(|own| id != own) => issues.push(
            Issue::error(
                "value",
                "The id in the resource must be the one in the URL.",
            )
            .at(format!("{type_name}.id")),
        ),
        _ => {}
    }
    let base = format!("http://hl7.org/fhir/StructureDefinition/{type_name}");
    let claimed = resource["meta"]["profile"].as_array();
    for (at, profile) in claimed.into_iter().flatten().enumerate() {
        let profile = profile.as_str().unwrap_or_default();
        if profile != base && !profiles.iter().any(|named| named == profile) {
            let words = format!(
                "The resource claims the profile `{}`, which was not checked: this server validates the base \
                 structure of R4.",
                profile.chars().take(200).collect::<String>()
            );
            let place = format!("{type_name}.meta.profile[{at}]");
            issues.push(Issue::error("not-supported", words).warning().at(place));
        }
    }
    for profile in profiles {
        if profile != base {
            // "If a profile is nominated, and the server cannot validate against the nominated
            // profile, it SHALL return an error" (Resource-validate).
            issues.push(Issue::error(
                "not-supported",
                format!(
                    "The profile `{profile}` was not checked: this server validates the base \
                     structure of R4 and the required value sets."
                ),
            ));
        }
    }
    // What is not built as FHIR says need not keep what holds for what is.
    if is_sound {
        issues.extend(references::misdirected(&resource));
        issues.extend(invariants::broken(&resource));
    }
    Ok(Reply::ok(Content::Resource(operation_outcome(&issues))))
}

/// What the resource is validated for (`resource-validation-mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    None,
    Create,
    Update,
    Delete,
}

/// The `mode` of the URL or of the Parameters.
fn mode(pairs: &Pairs, parameters: Option<&Value>) -> Result<Mode, RestError> {
    let sent = parameters
        .and_then(|list| list.as_array())
        .and_then(|list| list.iter().find(|part| part["name"] == "mode"))
        .map(|part| {
            let code = part["valueCode"].as_str().or(part["valueString"].as_str());
            code.unwrap_or_default().to_owned()
        });
    let asked = query::single(pairs, "mode")?.map(str::to_owned).or(sent);
    match asked.as_deref() {
        None | Some("profile") => Ok(Mode::None),
        Some("create") => Ok(Mode::Create),
        Some("update") => Ok(Mode::Update),
        Some("delete") => Ok(Mode::Delete),
        Some(_) => Err(RestError::bad_request(
            "value",
            "mode is one of create, update, delete and profile.",
        )),
    }
}

/// `POST [type]/[id]/$validate`: a resource that would update this one, which must exist for the
/// viewer.
pub(super) async fn sent_for(
    session: &Session,
    type_id: TypeId,
    id: &str,
    pairs: &Pairs,
    body: Option<Value>,
) -> Result<Reply, RestError> {
    read::fetch(session, type_id, id, &Vec::new()).await?;
    let is_list = body.as_ref().is_some_and(|body| {
        body["resourceType"] == "Parameters" && definitions().type_name(type_id) != "Parameters"
    });
    let parameters = body
        .as_ref()
        .filter(|_| is_list)
        .map(|body| &body["parameter"]);
    if mode(pairs, parameters)? == Mode::Delete {
        query::only(pairs, &["mode", "profile"])?;
        // Content is ignored (Resource-validate).
        return Ok(deletion(session, type_id, id));
    }
    check(type_id, Some(id), pairs, body)
}

/// `GET [type]/[id]/$validate`: the resource as it stands for this viewer.
pub(super) async fn stored(
    session: &Session,
    type_id: TypeId,
    id: &str,
    pairs: &Pairs,
) -> Result<Reply, RestError> {
    query::only(pairs, &["mode", "profile"])?;
    let stored = read::fetch(session, type_id, id, &Vec::new()).await?;
    if query::single(pairs, "mode")? == Some("delete") {
        return Ok(deletion(session, type_id, id));
    }
    let resource: Value = serde_json::from_slice(&stored.body).map_err(|_| RestError::Internal)?;
    check(type_id, Some(id), pairs, Some(resource))
}

/// Whether a resource that the viewer sees can be deleted. What a deletion would be refused for is
/// the viewer's, not the resource's.
fn deletion(session: &Session, type_id: TypeId, id: &str) -> Reply {
    let action = Action::Delete {
        type_id,
        target: Target::Id(id.to_owned()),
        if_match: None,
    };
    let issues = match action.check_access(session) {
        Ok(()) => vec![Issue::error("informational", "It can be deleted.").information()],
        Err(error) => error.issues(),
    };
    Reply::ok(Content::Resource(operation_outcome(&issues)))
}
