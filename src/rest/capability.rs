//! The CapabilityStatement, generated from what is there: the definitions, the search parameters,
//! the operations and the authorization endpoints.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::RestError;
use super::operation::{self, Level, Operation};
use super::query::{self, Pairs};
use super::reply::{Content, Reply};
use super::session::{ConditionalDelete, Limits};
use crate::fhir::definitions::{ParamKind, SearchParam, TypeId, definitions};
use crate::fhir::json;
use crate::search::extract::custom::Custom;
use crate::visibility::access_log;

/// Where the authorization server lives, for the SMART oauth-uris extension.
#[derive(Clone, Debug, Default)]
pub struct OauthUris {
    pub authorize: String,
    pub token: String,
    pub introspect: String,
    pub revoke: String,
}

/// The version of US Core that this server speaks.
const US_CORE: &str = "6.1.0";

/// The statement as an answer.
pub(super) fn reply(
    base: &str,
    oauth: Option<&OauthUris>,
    limits: &Limits,
    custom: &Custom,
) -> Reply {
    Reply::ok(Content::Json(bytes(base, oauth, limits, custom)))
}

/// The statement's bytes, with the search parameters of this server that are ready.
pub(super) fn bytes(
    base: &str,
    oauth: Option<&OauthUris>,
    limits: &Limits,
    custom: &Custom,
) -> Bytes {
    json::to_bytes(&statement(base, oauth, limits, custom)).into()
}

/// `GET metadata?mode=…` (R4 3.1.0.1.9): `full`, `normative` and `terminology`.
pub(super) fn mode(pairs: &Pairs) -> Result<(), RestError> {
    match query::single(pairs, "mode")? {
        // All that this server has of the normative part is in the full statement.
        None | Some("full" | "normative") => Ok(()),
        Some("terminology") => Err(RestError::NotImplemented(
            "This server is no terminology server and has no TerminologyCapabilities.".to_owned(),
        )),
        Some(_) => Err(RestError::bad_request(
            "value",
            "mode is one of full, normative and terminology.",
        )),
    }
}

fn statement(base: &str, oauth: Option<&OauthUris>, limits: &Limits, custom: &Custom) -> Value {
    let compartments = [
        "device",
        "encounter",
        "patient",
        "practitioner",
        "relatedPerson",
    ]
    .map(|name| format!("http://hl7.org/fhir/CompartmentDefinition/{name}"));
    json!({
        "resourceType": "CapabilityStatement",
        "url": format!("{base}/metadata"),
        "version": env!("CARGO_PKG_VERSION"),
        "name": "Candor",
        "title": "Candor FHIR server",
        "status": "active",
        "date": "2026-11-22",
        "publisher": "Candor",
        "kind": "instance",
        "instantiates": ["http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server"],
        "software": {"name": "Candor", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "FHIR R4 API of this server", "url": base},
        "fhirVersion": "4.0.1",
        "format": [
            "application/fhir+json", "application/fhir+xml", "application/json", "application/xml",
            "json", "xml",
        ],
        "patchFormat": [
            "application/json-patch+json", "application/xml-patch+xml", "application/fhir+json",
            "application/fhir+xml",
        ],
        "implementationGuide": [
            format!("http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|{US_CORE}"),
        ],
        "rest": [{
            "mode": "server",
            "documentation": "Every final result is visible to its patient at once unless a law, an \
                individual determination or the patient says otherwise; $release-policy lists the \
                rules. What a viewer may not see does not exist for that viewer, in any answer. Dates and \
                times without a zone, stored or in a search, are taken for UTC.",
            "security": security(oauth),
            "resource": resources(limits, custom),
            "interaction": codes(&["transaction", "batch", "search-system", "history-system"]),
            "searchParam": general_params(),
            "operation": operations(|operation| operation.level == Level::System),
            "compartment": compartments,
        }],
    })
}

fn security(oauth: Option<&OauthUris>) -> Value {
    let mut security = json!({
        "cors": true,
        "service": [{
            "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                "code": "SMART-on-FHIR",
                "display": "SMART-on-FHIR",
            }],
            "text": "OAuth2 using SMART-on-FHIR profile (see http://docs.smarthealthit.org)",
        }],
        "description": "Every request needs an access token except metadata, \
            .well-known/smart-configuration and $release-policy.",
    });
    if let Some(oauth) = oauth {
        let uris: Vec<Value> = [
            ("authorize", &oauth.authorize),
            ("token", &oauth.token),
            ("introspect", &oauth.introspect),
            ("revoke", &oauth.revoke),
        ]
        .into_iter()
        .filter(|(_, uri)| !uri.is_empty())
        .map(|(name, uri)| json!({"url": name, "valueUri": uri}))
        .collect();
        if !uris.is_empty() {
            security["extension"] = json!([{
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": uris,
            }]);
        }
    }
    security
}

fn codes(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"code": name})).collect()
}

fn resources(limits: &Limits, custom: &Custom) -> Vec<Value> {
    let all = definitions();
    let reverse = reverse_includes(custom);
    let interactions = codes(&[
        "read",
        "vread",
        "update",
        "patch",
        "delete",
        "history-instance",
        "history-type",
        "create",
        "search-type",
    ]);
    // PUT makes an AuditEvent of one's own id, and changes none.
    let kept = codes(&[
        "read",
        "vread",
        "update",
        "history-instance",
        "history-type",
        "create",
        "search-type",
    ]);
    all.types()
        .map(|(type_id, name)| {
            let mut resource = json!({
                "type": name,
                "profile": format!("http://hl7.org/fhir/StructureDefinition/{name}"),
            });
            let profiles: Vec<&str> = all
                .us_core_profiles()
                .iter()
                .filter(|profile| profile.type_id == type_id && profile.version == US_CORE)
                .map(|profile| profile.url)
                .collect();
            if !profiles.is_empty() {
                resource["supportedProfile"] = json!(profiles);
            }
            resource["interaction"] = if type_id == access_log() {
                kept.clone()
            } else {
                interactions.clone()
            };
            if type_id == access_log() {
                resource["documentation"] =
                    "An AuditEvent stays as it was written: PUT creates one, and changes none."
                        .into();
            }
            resource["versioning"] = "versioned".into();
            resource["readHistory"] = true.into();
            resource["updateCreate"] = true.into();
            resource["conditionalCreate"] = true.into();
            resource["conditionalRead"] = "full-support".into();
            resource["conditionalUpdate"] = (type_id != access_log()).into();
            resource["conditionalDelete"] = match limits.conditional_delete {
                _ if type_id == access_log() => "not-supported",
                ConditionalDelete::Single => "single",
                ConditionalDelete::Multiple => "multiple",
            }
            .into();
            resource["referencePolicy"] = if limits.check_references {
                json!(["literal", "logical", "enforced"])
            } else {
                json!(["literal", "logical"])
            };
            let params = all.search_params(type_id);
            let mut includes: Vec<String> = params
                .iter()
                .chain(custom.ready(type_id))
                .filter(|param| param.kind == ParamKind::Reference && !param.is_whole_resource())
                .map(|param| format!("{name}:{}", param.code))
                .collect();
            for target in narrowed(name) {
                includes.push((*target).to_owned());
            }
            if !includes.is_empty() {
                resource["searchInclude"] =
                    std::iter::once("*".to_owned()).chain(includes).collect();
            }
            if let Some(list) = reverse.get(&type_id) {
                resource["searchRevInclude"] = json!(list);
            }
            let own: Vec<Value> = params
                .iter()
                .chain(custom.ready(type_id))
                .filter(|param| !is_general(param))
                .filter(|param| param.kind != ParamKind::Special || param.code == "near")
                .filter(|param| !param.is_whole_resource())
                .map(param)
                .collect();
            if !own.is_empty() {
                resource["searchParam"] = own.into();
            }
            resource["operation"] = operations(|operation| operation.is_of(name)).into();
            resource
        })
        .collect()
}

/// Includes of one target type that US Core's server statement expects by name. This server takes
/// each target of each parameter.
fn narrowed(type_name: &str) -> &'static [&'static str] {
    match type_name {
        "CareTeam" => &[
            "CareTeam:participant:Patient",
            "CareTeam:participant:Practitioner",
            "CareTeam:participant:PractitionerRole",
            "CareTeam:participant:RelatedPerson",
        ],
        _ => &[],
    }
}

/// By type: the `Type:param` that refer to it, those that may refer to anything included.
fn reverse_includes(custom: &Custom) -> BTreeMap<TypeId, Vec<String>> {
    let all = definitions();
    let mut reverse: BTreeMap<TypeId, Vec<String>> = BTreeMap::new();
    for (type_id, name) in all.types() {
        let params = all.search_params(type_id).iter();
        for param in params.chain(custom.ready(type_id)) {
            if param.kind != ParamKind::Reference || param.is_whole_resource() {
                continue;
            }
            let include = format!("{name}:{}", param.code);
            if param.targets.is_empty() {
                for (target, _) in all.types() {
                    reverse.entry(target).or_default().push(include.clone());
                }
            }
            for target in &param.targets {
                reverse.entry(*target).or_default().push(include.clone());
            }
        }
    }
    reverse
}

fn is_general(param: &SearchParam) -> bool {
    param.code.starts_with('_')
}

/// What R4 leaves to the server (<https://hl7.org/fhir/R4/location.html#positional>).
const NEAR: &str = "latitude|longitude|distance|units: the position is within the distance, measured along \
    the surface of a sphere of 6,371 km. Units are lengths of UCUM; km where none are said, 50 km where no \
    distance is said.";

/// Parameters of every type, told once. Of the special ones those that are answered.
fn general_params() -> Vec<Value> {
    let all = definitions();
    let answered = |one: &&SearchParam| {
        one.kind != ParamKind::Special
            || matches!(one.code.as_str(), "_content" | "_filter" | "_text")
    };
    let mut params: Vec<Value> = all
        .type_id("Patient")
        .map(|patient| all.search_params(patient))
        .unwrap_or_default()
        .iter()
        .filter(|one| is_general(one))
        .filter(answered)
        .map(param)
        .collect();
    params.push(json!({
        "name": "_list",
        "type": "special",
        "documentation": "The id of a List: the resources that stand in it.",
    }));
    params
}

fn param(param: &SearchParam) -> Value {
    let mut value = json!({"name": param.code});
    if !param.url.is_empty() {
        value["definition"] = param.url.as_str().into();
    }
    value["type"] = param.kind.code().into();
    if param.kind == ParamKind::Special && param.code == "near" {
        value["documentation"] = NEAR.into();
    }
    value
}

fn operations(filter: impl Fn(&Operation) -> bool) -> Vec<Value> {
    let mut all = Vec::new();
    for Operation {
        name, definition, ..
    } in operation::ALL.iter().filter(|operation| filter(operation))
    {
        let own = json!({"name": name.trim_start_matches('$'), "definition": definition});
        // One that exists at two levels is told once.
        if !all.contains(&own) {
            all.push(own);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_says_what_g10_reads() {
        let statement = statement(
            "http://localhost/fhir/r4",
            None,
            &Limits::default(),
            &Custom::default(),
        );
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        assert_eq!(resources.len(), definitions().types().count());
        let patient = resources
            .iter()
            .find(|resource| resource["type"] == "Patient")
            .unwrap();
        assert_eq!(
            patient["supportedProfile"],
            json!(["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"])
        );
        // What would be refused is not promised.
        let all = statement.to_string();
        for refused in ["\"_query\"", "patient-extensions-Patient-age"] {
            assert!(!all.contains(refused), "{refused}");
        }
        for answered in ["\"_filter\"", "\"_text\"", "\"_content\"", "\"_list\""] {
            assert!(all.contains(answered), "{answered}");
        }
        let location = resources
            .iter()
            .find(|resource| resource["type"] == "Location")
            .unwrap();
        let near = location["searchParam"].as_array().unwrap();
        let near = near.iter().find(|param| param["name"] == "near").unwrap();
        let default = format!(
            "{} km where no",
            crate::search::parse::near::DEFAULT / 1000.0
        );
        assert!(near["documentation"].as_str().unwrap().contains(&default));
        assert!(!all.contains("Bundle:composition") && !all.contains("Bundle-message"));
        assert!(all.contains("CareTeam:participant:PractitionerRole"));
        let text = patient.to_string();
        for about_anything in ["List:item", "Observation:focus", "Task:focus"] {
            assert!(text.contains(about_anything), "{about_anything}");
        }
        assert!(text.contains("Provenance:target"));
        assert!(text.contains("\"birthdate\""));
    }
}
