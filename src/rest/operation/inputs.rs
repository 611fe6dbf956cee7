//! The input parameters of an operation: a query, or a Parameters resource (R4 "Executing an
//! Operation", 3.2.0.1.2), as pairs.

use serde_json::Value;

use crate::fhir::outcome::Issue;
use crate::rest::RestError;
use crate::rest::query::Pairs;

/// The pairs of the URL and, of a POST, those of the Parameters resource that was sent.
pub(super) fn pairs(url: &Pairs, body: Option<&Value>) -> Result<Pairs, RestError> {
    let mut pairs = url.clone();
    let Some(body) = body else { return Ok(pairs) };
    if body["resourceType"] != "Parameters" {
        return Err(wrong(
            "This operation takes its parameters in a Parameters resource, or in the URL of a GET.",
            "resourceType",
        ));
    }
    let list = body["parameter"].as_array().map(Vec::as_slice);
    for (at, one) in list.unwrap_or_default().iter().enumerate() {
        let place = format!("Parameters.parameter[{at}]");
        let name = one["name"].as_str();
        let name = name.ok_or_else(|| wrong("A parameter needs its name.", &place))?;
        pairs.push((name.to_owned(), value(one).ok_or_else(|| {
            wrong(
                "This operation takes parameters with a primitive value, a Coding, a CodeableConcept \
                 or a Reference.",
                &place,
            )
        })?));
    }
    Ok(pairs)
}

fn wrong(text: &str, at: &str) -> RestError {
    RestError::BadRequest(vec![Issue::error("value", text).at(at)])
}

/// The value of a parameter as a query would have it.
fn value(parameter: &Value) -> Option<String> {
    let (_, value) = parameter
        .as_object()?
        .iter()
        .find(|(key, _)| key.starts_with("value"))?;
    let token = |coding: &Value| {
        let code = coding["code"].as_str()?;
        Some(match coding["system"].as_str() {
            Some(system) => format!("{system}|{code}"),
            None => code.to_owned(),
        })
    };
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Object(object) => match (object.get("reference"), object.get("coding")) {
            (Some(reference), _) => reference.as_str().map(str::to_owned),
            (_, Some(Value::Array(codings))) => {
                let tokens: Option<Vec<String>> = codings.iter().map(token).collect();
                Some(tokens?.join(","))
            }
            _ => token(value),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_pairs() {
        let body = json!({"resourceType": "Parameters", "parameter": [
            {"name": "patient", "valueId": "p"},
            {"name": "max", "valuePositiveInt": 3},
            {"name": "type", "valueCodeableConcept": {"coding": [
                {"system": "http://loinc.org", "code": "34133-9"}]}},
        ]});
        let url = vec![("_count".to_owned(), "5".to_owned())];
        let pairs = pairs(&url, Some(&body)).unwrap();
        let value = |name: &str| {
            pairs
                .iter()
                .find(|(own, _)| own == name)
                .map(|(_, v)| v.as_str())
        };
        assert_eq!(value("_count"), Some("5"));
        assert_eq!(value("patient"), Some("p"));
        assert_eq!(value("max"), Some("3"));
        assert_eq!(value("type"), Some("http://loinc.org|34133-9"));
    }
}
