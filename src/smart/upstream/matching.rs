//! Proven claims to the one Patient they fit: legal name, birth date, and one of phone, address and the
//! last four digits of the social security number. Nobody, or more than one, is nobody.

use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use uuid::Uuid;

use super::super::pages::PageError;
use super::super::{SmartState, minors};
use super::provider::{Claims, UpstreamError};
use crate::config::Provider;
use crate::fhir::definitions::definitions;
use crate::search::{self, SearchError, SearchRequest};
use crate::store::{Method, Op, StoreError, Writer};
use crate::visibility::level::Level;
use crate::visibility::scope::Scopes;
use crate::visibility::{Viewer, ViewerClass};

/// Namesakes born on one day that are looked at.
const MOST: &str = "100";
const SSN: &str = "http://hl7.org/fhir/sid/us-ssn";

/// What the claims say, in the form that is compared. OpenID's names of claims, and those that ID.me has.
struct Person {
    family: String,
    given: String,
    birth_date: jiff::civil::Date,
    phone: Option<String>,
    street: Option<String>,
    postal_code: Option<String>,
    last_four: Option<String>,
}

fn claim<'a>(claims: &'a Claims, names: &[&str]) -> Option<&'a str> {
    let mut found = names.iter().filter_map(|name| claims.get(*name)?.as_str());
    found.find(|text| !text.trim().is_empty())
}

/// Letters and digits alone, small, without accents.
fn plain(text: &str) -> String {
    let letters = text.nfkd().filter(|c| !is_combining_mark(*c));
    let letters = letters.filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

fn last_digits(text: &str, count: usize) -> Option<String> {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    let from = digits.len().checked_sub(count)?;
    Some(digits[from..].iter().collect())
}

/// The name to greet somebody with.
pub(super) fn name(claims: &Claims) -> Option<String> {
    let given = claim(claims, &["given_name", "fname"])?;
    let family = claim(claims, &["family_name", "lname"])?;
    Some(format!("{given} {family}").chars().take(200).collect())
}

impl Person {
    fn of(claims: &Claims) -> Option<Self> {
        let address = claims.get("address").and_then(Value::as_object);
        let street = address.and_then(|address| claim(address, &["street_address"]));
        let postal = address.and_then(|address| claim(address, &["postal_code"]));
        let street = street.or_else(|| claim(claims, &["street", "street_address"]));
        let postal = postal.or_else(|| claim(claims, &["zip", "postal_code"]));
        let phone = claim(claims, &["phone_number", "phone"]);
        let social = claim(claims, &["ssn_last4", "social_last4", "ssn", "social"]);
        let family = plain(claim(claims, &["family_name", "lname"])?);
        let given = plain(claim(claims, &["given_name", "fname"])?);
        if family.is_empty() || given.is_empty() {
            return None;
        }
        Some(Self {
            family,
            given,
            birth_date: claim(claims, &["birthdate", "birth_date"])?.parse().ok()?,
            phone: phone.and_then(|text| last_digits(text, 10)),
            street: street.map(plain).filter(|street| !street.is_empty()),
            postal_code: postal.and_then(five_digits),
            last_four: social.and_then(|text| last_digits(text, 4)),
        })
    }

    fn is(&self, patient: &Value) -> bool {
        let is_active = patient.get("active").and_then(Value::as_bool) != Some(false);
        let born = patient.get("birthDate").and_then(Value::as_str);
        is_active
            && born == Some(&*self.birth_date.to_string())
            && list(patient, "name").any(|name| self.is_named(name))
            && (self.has_phone(patient) || self.lives(patient) || self.has_number(patient))
    }

    fn is_named(&self, name: &Value) -> bool {
        let family = name.get("family").and_then(Value::as_str).map(plain);
        let givens: Vec<String> = list(name, "given")
            .filter_map(Value::as_str)
            .map(plain)
            .collect();
        name.get("use").and_then(Value::as_str) != Some("old")
            && family.is_some_and(|family| family == self.family)
            && (givens.first() == Some(&self.given) || givens.concat() == self.given)
    }

    fn has_phone(&self, patient: &Value) -> bool {
        list(patient, "telecom")
            .filter(|one| {
                matches!(
                    one.get("system").and_then(Value::as_str),
                    Some("phone" | "sms")
                ) && one.get("use").and_then(Value::as_str) != Some("old")
            })
            .filter_map(|one| last_digits(one.get("value")?.as_str()?, 10))
            .any(|phone| self.phone.as_ref() == Some(&phone))
    }

    fn lives(&self, patient: &Value) -> bool {
        let (Some(street), Some(code)) = (&self.street, &self.postal_code) else {
            return false;
        };
        list(patient, "address").any(|address| {
            let own = address.get("postalCode").and_then(Value::as_str);
            let lines: String = list(address, "line").filter_map(Value::as_str).collect();
            address.get("use").and_then(Value::as_str) != Some("old")
                && own.and_then(five_digits).as_ref() == Some(code)
                && plain(&lines) == *street
        })
    }

    fn has_number(&self, patient: &Value) -> bool {
        list(patient, "identifier")
            .filter(|one| one.get("system").and_then(Value::as_str) == Some(SSN))
            .filter_map(|one| last_digits(one.get("value")?.as_str()?, 4))
            .any(|four| self.last_four.as_ref() == Some(&four))
    }
}

fn five_digits(code: &str) -> Option<String> {
    let digits: String = code.chars().filter(char::is_ascii_digit).take(5).collect();
    (digits.len() == 5).then_some(digits)
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Id of the one Patient whom the claims fit.
///
/// # Errors
/// [`UpstreamError::Minor`] for claims of somebody under age, whatever record there is.
pub(super) async fn patient(
    state: &SmartState,
    claims: &Claims,
) -> Result<Option<String>, PageError> {
    let Some(person) = Person::of(claims) else {
        return Ok(None);
    };
    if !minors::is_of_age(state, person.birth_date) {
        return Err(UpstreamError::Minor.into());
    }
    let store = state.store();
    let viewer = Viewer {
        class: ViewerClass::System,
        person: None,
        patient: None,
        client_id: "sign-in".to_owned(),
        client_device: None,
        level: Level::Full,
        scopes: Scopes::parse("system/Patient.rs"),
    };
    let pairs = [
        ("birthdate".to_owned(), person.birth_date.to_string()),
        ("_count".to_owned(), MOST.to_owned()),
    ];
    let mut cursor: Option<String> = None;
    let mut found: Vec<String> = Vec::new();
    loop {
        let mut pairs = pairs.to_vec();
        pairs.extend(cursor.take().map(|cursor| ("_cursor".to_owned(), cursor)));
        let request = SearchRequest {
            type_id: definitions().type_id("Patient"),
            pairs: &pairs,
            compartment: None,
            strict: true,
        };
        let page = search::search(store, &viewer, &request)
            .await
            .map_err(|error| match error {
                SearchError::Store(error) => PageError::Store(error),
                other => {
                    tracing::error!(error = %other, "patients could not be searched");
                    PageError::Store(StoreError::Corrupt("patients could not be searched"))
                }
            })?;
        for entry in &page.entries {
            let patient: Value = serde_json::from_slice(&entry.body).unwrap_or_default();
            if person.is(&patient) {
                found.push(entry.fhir_id.clone());
            }
        }
        if found.len() > 1 {
            return Ok(None);
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(found.pop()),
        }
    }
}

/// Leaves a Task for the front desk: somebody stands behind it whom no one record fits. It names nobody,
/// because what was claimed is not a record's.
pub(super) async fn ask_the_desk(
    state: &SmartState,
    writer: &mut Writer<'_>,
    provider: &Provider,
) -> Result<(), PageError> {
    let Some(type_id) = definitions().type_id("Task") else {
        return Ok(());
    };
    let now = jiff::Timestamp::from_millisecond(state.now()).unwrap_or_default();
    let resource = json!({
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"text": "Confirm identity in person"},
        "description": format!(
            "Somebody signed in with {} and was matched to no single record. Confirm who they are at the next visit.",
            provider.name
        ),
        "authoredOn": now.to_string(),
    });
    let op = Op {
        type_id,
        id: Uuid::new_v4().to_string(),
        method: Method::Post,
        resource: Some(resource),
        if_match: None,
        must_be_new: true,
    };
    writer.apply(vec![op]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(change: impl FnOnce(&mut Value)) -> Claims {
        let mut claims = json!({
            "given_name": "José María",
            "family_name": "O'Neill-Vega",
            "birthdate": "1980-02-29",
            "phone_number": "+1 (859) 555-0101",
            "address": {"street_address": "12 Main St.", "postal_code": "40361-1234"},
            "ssn_last4": "6789",
        });
        change(&mut claims);
        claims.as_object().unwrap().clone()
    }

    fn fits(claims: &Claims, patient: &Value) -> bool {
        Person::of(claims).is_some_and(|person| person.is(patient))
    }

    fn patient() -> Value {
        json!({
            "resourceType": "Patient",
            "birthDate": "1980-02-29",
            "name": [
                {"use": "old", "family": "Smith", "given": ["Jose"]},
                {"family": "ONeill Vega", "given": ["Jose", "Maria"]},
            ],
            "telecom": [{"system": "phone", "value": "859.555.0101"}],
            "address": [{"line": ["12 Main St"], "postalCode": "40361"}],
            "identifier": [{"system": SSN, "value": "123-45-6789"}],
        })
    }

    #[test]
    fn name_birth_date_and_one_more_thing_are_needed() {
        assert!(fits(&claims(|_| {}), &patient()));
        let mut nothing_more = patient();
        for name in ["telecom", "address", "identifier"] {
            let alone = |kept: &str| {
                let mut one = patient();
                for other in ["telecom", "address", "identifier"] {
                    if other != kept {
                        one[other] = json!([]);
                    }
                }
                one
            };
            assert!(fits(&claims(|_| {}), &alone(name)), "{name}");
            nothing_more[name] = json!([]);
        }
        assert!(!fits(&claims(|_| {}), &nothing_more));
        for (name, value) in [
            ("birthdate", "1980-02-28"),
            ("birthdate", "1980"),
            ("family_name", "Smith"),
            ("family_name", "Vega"),
            ("given_name", "Jos"),
            ("given_name", "'"),
        ] {
            let other = claims(|claims| claims[name] = value.into());
            assert!(!fits(&other, &patient()), "{name} {value}");
        }
    }

    #[test]
    fn what_is_old_or_out_of_use_does_not_count() {
        let mut gone = patient();
        gone["active"] = false.into();
        assert!(!fits(&claims(|_| {}), &gone));
        let mut moved = patient();
        moved["telecom"][0]["use"] = "old".into();
        moved["address"][0]["use"] = "old".into();
        moved["identifier"] = json!([]);
        assert!(!fits(&claims(|_| {}), &moved));
    }

    #[test]
    fn id_me_s_names_of_claims_are_known() {
        let claims = json!({
            "fname": "Jose", "lname": "ONeill Vega", "birth_date": "1980-02-29",
            "street": "12 MAIN ST", "zip": "40361",
        });
        assert!(fits(claims.as_object().unwrap(), &patient()));
    }
}
