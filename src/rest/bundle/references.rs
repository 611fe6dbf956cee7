//! References between the entries of a transaction: `urn:uuid:` and other fullUrls become the
//! addresses that the entries got, conditional references (`Patient?identifier=…`) the one
//! resource they match (R4 3.1.0.11.2 and 3.1.0.11.2.1).
//!
//! In narrative only links that are a fullUrl of the bundle change, as the specification asks.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::links::{Link, walk};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::rest::RestError;
use crate::rest::query::{self, Pairs};
use crate::rest::write::Lookup;

/// (place, `Type/id`) of the entries that are written.
pub(in crate::rest) type Addresses = Vec<(usize, Option<String>)>;

/// The fullUrls of a bundle's entries by their places.
#[derive(Clone, Debug, Default)]
pub(in crate::rest) struct References {
    full_urls: HashMap<usize, String>,
    taken: HashSet<String>,
}

impl References {
    /// Notes an entry's fullUrl. Two entries under one fullUrl are refused: nobody could say which
    /// one is meant.
    pub(super) fn note(&mut self, place: usize, full_url: String) -> Result<(), RestError> {
        if !self.taken.insert(full_url.clone()) {
            return Err(RestError::bad_request(
                "duplicate",
                "Another entry of the bundle has the same fullUrl.",
            ));
        }
        self.full_urls.insert(place, full_url);
        Ok(())
    }

    /// Rewrites in place what refers to entries of the bundle. Returns the conditional references,
    /// each with the place of the entry that first has it.
    pub(in crate::rest) fn direct(
        &self,
        addresses: &Addresses,
        resources: &mut [(usize, &mut Value)],
    ) -> Result<BTreeMap<String, usize>, RestError> {
        let targets: HashMap<&str, &str> = addresses
            .iter()
            .filter_map(|(place, address)| {
                let full_url = self.full_urls.get(place)?;
                Some((full_url.as_str(), address.as_deref()?))
            })
            .collect();
        let mut conditional: BTreeMap<String, usize> = BTreeMap::new();
        for (place, resource) in resources {
            let root = self.full_urls.get(place).and_then(|url| root_of(url));
            let mut dangling = None;
            walk(resource, &mut |link, text| {
                match target(&targets, root, link == Link::Reference, text) {
                    Meant::Address(address) => return Some(address),
                    Meant::Nothing => dangling = Some(text.to_owned()),
                    Meant::Criteria => {
                        if !conditional.contains_key(text) {
                            conditional.insert(text.to_owned(), *place);
                        }
                    }
                    Meant::Itself => {}
                }
                None
            });
            if let Some(text) = dangling {
                let issue = Issue::error(
                    "not-found",
                    "The reference names no entry of this bundle by its fullUrl.",
                );
                let issue = issue.at(locate(resource, &text));
                return Err(RestError::BadRequest(vec![issue]).in_entry(*place));
            }
        }
        Ok(conditional)
    }
}

/// Rewrites conditional references. `tried` has the ids that match those which only a search can
/// resolve, as they are once everything is written.
pub(in crate::rest) async fn replace(
    lookup: Lookup<'_, '_>,
    addresses: &Addresses,
    mut resources: Vec<(usize, &mut Value)>,
    conditional: BTreeMap<String, usize>,
    tried: &HashMap<String, Vec<String>>,
) -> Result<(), RestError> {
    let mut found: HashMap<String, String> = HashMap::new();
    for (text, place) in conditional {
        let resolved = match tried.get(&text) {
            Some(ids) => one(&text, ids.iter().cloned().collect()),
            None => resolve(lookup, &text, addresses, &resources).await,
        };
        match resolved {
            Ok(address) => {
                found.insert(text, address);
            }
            Err(error) => {
                let path = resources
                    .iter()
                    .find(|(own, _)| *own == place)
                    .map(|(_, resource)| locate(resource, &text))
                    .unwrap_or_default();
                return Err(located(error, &path).in_entry(place));
            }
        }
    }
    for (_, resource) in &mut resources {
        walk(resource, &mut |link, text| {
            if link == Link::Reference {
                found.get(text).cloned()
            } else {
                None
            }
        });
    }
    Ok(())
}

/// Whether a conditional reference is by one identifier alone, which the bundle's own resources are
/// compared with directly.
pub(in crate::rest) fn is_plain(text: &str) -> bool {
    let criteria = text.split_once('?').map_or("", |(_, criteria)| criteria);
    !matches!(identifier_of(criteria), Ok(None))
}

/// The type and the parameters of a conditional reference.
pub(in crate::rest) fn condition(text: &str) -> Result<Option<(TypeId, Pairs)>, RestError> {
    let Some((type_name, criteria)) = text.split_once('?') else {
        return Ok(None);
    };
    let Some(type_id) = definitions().type_id(type_name) else {
        return Ok(None);
    };
    Ok(Some((type_id, query::pairs(criteria)?)))
}

/// Puts an error's issues at a path.
fn located(error: RestError, path: &str) -> RestError {
    match error {
        RestError::BadRequest(issues) => RestError::BadRequest(
            issues
                .into_iter()
                .map(|issue| issue.at(path.to_owned()))
                .collect(),
        ),
        other => other,
    }
}

/// The address that a conditional reference means: the one match among what stands for this viewer
/// and what this bundle writes (conditional references are resolved after all writes).
async fn resolve(
    lookup: Lookup<'_, '_>,
    text: &str,
    addresses: &Addresses,
    resources: &[(usize, &mut Value)],
) -> Result<String, RestError> {
    let (type_name, criteria) = text.split_once('?').unwrap_or((text, ""));
    let type_id = definitions().type_id(type_name).ok_or_else(|| {
        RestError::bad_request("value", "The conditional reference names no resource type.")
    })?;
    lookup
        .session()
        .require(type_id, crate::visibility::Access::Search)?;
    let mut matches: HashSet<String> = match lookup.find(type_id, criteria).await {
        Ok(found) => found.into_iter().collect(),
        Err(RestError::MultipleMatches | RestError::PreconditionFailed(_)) => return Err(several()),
        Err(error) => return Err(error),
    };
    if let Some((system, value)) = identifier_of(criteria)? {
        for (place, resource) in resources {
            if resource["resourceType"] == type_name
                && has_identifier(&resource["identifier"], system.as_deref(), &value)
            {
                let id = addresses
                    .iter()
                    .find(|(own, _)| own == place)
                    .and_then(|(_, address)| address.as_deref()?.split_once('/'))
                    .map(|(_, id)| id.to_owned());
                matches.extend(id);
            }
        }
    }
    one(text, matches)
}

fn several() -> RestError {
    RestError::bad_request(
        "multiple-matches",
        "The reference matches several resources.",
    )
}

/// The address of the one match.
fn one(text: &str, matches: HashSet<String>) -> Result<String, RestError> {
    let type_name = text.split_once('?').map_or(text, |(name, _)| name);
    let mut matches = matches.into_iter();
    match (matches.next(), matches.next()) {
        (Some(id), None) => Ok(format!("{type_name}/{id}")),
        (None, _) => Err(RestError::bad_request(
            "not-found",
            "The reference matches no resource.",
        )),
        _ => Err(several()),
    }
}

/// The (system, value) of criteria that are one `identifier=system|value`, by far the most common.
/// None for others: they are searched in the record only.
fn identifier_of(criteria: &str) -> Result<Option<(Option<String>, String)>, RestError> {
    let pairs = query::pairs(criteria)?;
    let [(name, value)] = pairs.as_slice() else {
        return Ok(None);
    };
    if name != "identifier" || value.contains(',') || value.contains('\\') {
        return Ok(None);
    }
    Ok(Some(match value.split_once('|') {
        Some((system, value)) => (Some(system.to_owned()), value.to_owned()),
        None => (None, value.clone()),
    }))
}

fn has_identifier(identifiers: &Value, system: Option<&str>, value: &str) -> bool {
    let is_it = |identifier: &Value| {
        identifier["value"] == value
            && system.is_none_or(|system| identifier["system"].as_str().unwrap_or("") == system)
    };
    match identifiers {
        Value::Array(list) => list.iter().any(is_it),
        one => is_it(one),
    }
}

/// The server root of a RESTful fullUrl: `http://x/fhir` of `http://x/fhir/Patient/1`.
fn root_of(full_url: &str) -> Option<&str> {
    if !full_url.starts_with("http://") && !full_url.starts_with("https://") {
        return None;
    }
    let (rest, _id) = full_url.rsplit_once('/')?;
    let (root, type_name) = rest.rsplit_once('/')?;
    definitions().type_id(type_name).map(|_| root)
}

/// What an address in an entry means.
#[derive(Debug, PartialEq, Eq)]
enum Meant {
    /// An entry of this bundle, which has this address now.
    Address(String),
    /// `Type?criteria`.
    Criteria,
    /// Something outside the bundle: it stays.
    Itself,
    /// A `urn:` reference that leads nowhere.
    Nothing,
}

/// `root` is the server that the entry's fullUrl speaks of: relative references are relative to it.
fn target(
    targets: &HashMap<&str, &str>,
    root: Option<&str>,
    is_reference: bool,
    text: &str,
) -> Meant {
    let entry = |url: &str| {
        targets
            .get(url)
            .map(|address| Meant::Address((*address).to_owned()))
    };
    if text.starts_with("urn:uuid:") || text.starts_with("urn:oid:") {
        let (urn, fragment) = text.split_once('#').unwrap_or((text, ""));
        return match targets.get(urn) {
            Some(address) if fragment.is_empty() => Meant::Address((*address).to_owned()),
            Some(address) => Meant::Address(format!("{address}#{fragment}")),
            None if is_reference => Meant::Nothing,
            None => Meant::Itself,
        };
    }
    let unversioned = text.split_once("/_history/").map_or(text, |(url, _)| url);
    if text.starts_with("http://") || text.starts_with("https://") {
        return entry(text)
            .or_else(|| entry(unversioned))
            .unwrap_or(Meant::Itself);
    }
    if !is_reference || text.starts_with('#') || text.contains(':') && !text.contains('?') {
        return Meant::Itself;
    }
    if let Some((type_name, criteria)) = text.split_once('?') {
        let is_type = definitions().type_id(type_name).is_some();
        return if is_type && !criteria.is_empty() {
            Meant::Criteria
        } else {
            Meant::Itself
        };
    }
    root.and_then(|root| entry(&format!("{root}/{unversioned}")))
        .unwrap_or(Meant::Itself)
}

/// Says that a reference is to be to the version that the transaction makes.
const AS_VERSION: &str = "http://hl7.org/fhir/StructureDefinition/resolve-as-version-specific";

/// Shows each reference that is to be resolved to a version to `visit`; the text it gives replaces it,
/// and the extension is gone. None leaves all as it is.
pub(in crate::rest) fn versioned(
    value: &mut Value,
    visit: &mut impl FnMut(&str) -> Option<String>,
) {
    match value {
        Value::Object(object) => {
            let asks = object
                .get("extension")
                .and_then(Value::as_array)
                .is_some_and(|list| list.iter().any(asks_for_version));
            let new = match object.get("reference") {
                Some(Value::String(text)) if asks => visit(text),
                _ => None,
            };
            if let Some(new) = new {
                object.insert("reference".to_owned(), new.into());
                if let Some(Value::Array(list)) = object.get_mut("extension") {
                    list.retain(|one| !asks_for_version(one));
                    if list.is_empty() {
                        object.shift_remove("extension");
                    }
                }
            }
            for value in object.values_mut() {
                versioned(value, visit);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| versioned(value, visit)),
        _ => {}
    }
}

fn asks_for_version(extension: &Value) -> bool {
    extension["url"] == AS_VERSION && extension["valueBoolean"] == true
}

/// The literal references of a resource, those within a Bundle inside it apart.
pub(in crate::rest) fn literals<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(object) => {
            if object
                .get("resourceType")
                .is_some_and(|name| name == "Bundle")
            {
                return;
            }
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "reference" => found.push(text),
                    value => literals(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| literals(value, found)),
        _ => {}
    }
}

/// FHIRPath of the first reference with this text.
pub(in crate::rest) fn locate(resource: &Value, text: &str) -> String {
    fn search(value: &Value, text: &str, path: &mut String) -> bool {
        let length = path.len();
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    path.push('.');
                    path.push_str(key);
                    if (key == "reference" && value == text) || search(value, text, path) {
                        return true;
                    }
                    path.truncate(length);
                }
            }
            Value::Array(list) => {
                for (at, value) in list.iter().enumerate() {
                    path.push_str(&format!("[{at}]"));
                    if search(value, text, path) {
                        return true;
                    }
                    path.truncate(length);
                }
            }
            _ => {}
        }
        false
    }
    let mut path = resource["resourceType"].as_str().unwrap_or("").to_owned();
    search(resource, text, &mut path);
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_rewritten_and_identifiers_are_not() {
        let targets = HashMap::from([
            ("urn:uuid:a", "Patient/1"),
            ("http://other/fhir/Encounter/e", "Encounter/2"),
        ]);
        let mut resource = json!({
            "resourceType": "Observation",
            "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:a"}],
            "subject": {"reference": "urn:uuid:a"},
            "encounter": {"reference": "Encounter/e"},
            "performer": [
                {"reference": "http://other/fhir/Encounter/e/_history/4"},
                {"reference": "Practitioner?identifier=http://x|1"},
                {"reference": "#contained"},
            ],
        });
        let mut criteria = Vec::new();
        walk(&mut resource, &mut |link, text| {
            match target(
                &targets,
                Some("http://other/fhir"),
                link == Link::Reference,
                text,
            ) {
                Meant::Address(address) => return Some(address),
                Meant::Criteria => criteria.push(text.to_owned()),
                Meant::Itself => {}
                Meant::Nothing => panic!("{text}"),
            }
            None
        });
        assert_eq!(resource["identifier"][0]["value"], "urn:uuid:a");
        assert_eq!(resource["subject"]["reference"], "Patient/1");
        assert_eq!(resource["encounter"]["reference"], "Encounter/2");
        assert_eq!(resource["performer"][0]["reference"], "Encounter/2");
        assert_eq!(criteria, ["Practitioner?identifier=http://x|1"]);
        assert_eq!(
            locate(&resource, &criteria[0]),
            "Observation.performer[1].reference"
        );
    }

    #[test]
    fn a_urn_that_names_nothing_is_no_reference() {
        let targets = HashMap::from([("urn:uuid:a", "Patient/1")]);
        assert_eq!(target(&targets, None, true, "urn:uuid:b"), Meant::Nothing);
        assert_eq!(target(&targets, None, false, "urn:uuid:b"), Meant::Itself);
        assert_eq!(
            target(&targets, None, true, "urn:uuid:a#x"),
            Meant::Address("Patient/1#x".to_owned())
        );
    }

    #[test]
    fn roots_come_from_restful_urls_only() {
        assert_eq!(root_of("http://x/fhir/Patient/1"), Some("http://x/fhir"));
        assert_eq!(root_of("http://x/fhir/Nothing/1"), None);
        assert_eq!(root_of("urn:uuid:a"), None);
    }
}
