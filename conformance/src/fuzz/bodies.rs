//! Bodies: resources, bundles, patches and forms, whole and damaged.

use serde_json::{Value, json};

use super::generate::{Generator, Request};

/// A write to one of a few ids, or of a bundle, with a body that may be damaged.
pub fn write(random: &mut Generator, request: &mut Request) {
    let id = random.written();
    let resource = observation(random, &id);
    let mut kind = "application/fhir+json";
    let (method, target, body) = match random.below(12) {
        0..=3 => ("PUT", format!("Observation/{id}"), resource.to_string()),
        4 => ("POST", "Observation".to_owned(), resource.to_string()),
        5 => ("POST", "Observation/$validate".to_owned(), resource.to_string()),
        6 | 7 => (
            "POST",
            String::new(),
            json!({"resourceType": "Bundle", "type": random.one(&["transaction", "batch", "message", "x"]),
                "entry": [
                    {"resource": resource, "request": {"method": "PUT", "url": format!("Observation/{id}")}},
                    {"request": {"method": random.one(&["GET", "DELETE", "HEAD", "x"]),
                        "url": random.one(&["Observation/fz-0", "Patient?name=x", "Observation?code=", "../x", ""])}},
                ]})
            .to_string(),
        ),
        8 => {
            kind = "application/json-patch+json";
            let op = random.one(&["add", "remove", "replace", "move", "copy", "test", "x"]);
            let path = random.one(&["/status", "/value", "/id", "/subject/reference", "/a/b/c", "", "/-", "/note/0"]);
            let patch = json!([{"op": op, "path": path, "from": "/status", "value": "amended"}]);
            ("PATCH", format!("Observation/{id}"), patch.to_string())
        }
        9 => {
            let path = random.one(&["Observation.status", "Observation", "Observation.x", "(", "Observation.note[0]"]);
            let part = json!([
                {"name": "type", "valueCode": random.one(&["replace", "delete", "add", "x"])},
                {"name": "path", "valueString": path}, {"name": "name", "valueString": "note"},
                {"name": "value", "valueCode": "amended"}]);
            let patch = json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]});
            ("PATCH", format!("Observation/{id}"), patch.to_string())
        }
        10 => {
            kind = "application/fhir+xml";
            let xml = format!(
                "<Observation xmlns=\"http://hl7.org/fhir\"><id value=\"{id}\"/><status value=\"final\"/>\
                 <code><text value=\"fuzz\"/></code></Observation>"
            );
            ("PUT", format!("Observation/{id}"), xml)
        }
        _ => ("PUT", format!("Observation?identifier=fuzz|{id}"), resource.to_string()),
    };
    if random.chance(8) {
        kind = random.one(&[
            "text/plain",
            "application/json",
            "application/xml",
            "x/y",
            ";",
            "multipart/form-data",
        ]);
    }
    request.method = method.to_owned();
    request.target = format!("/fhir/r4/{target}");
    request
        .headers
        .push(("content-type".to_owned(), kind.to_owned()));
    let mut body = body.into_bytes();
    if random.chance(60) {
        damage(random, &mut body);
    }
    request.body = Some(body);
}

/// Parameters of an operation.
pub fn parameters(random: &mut Generator, request: &mut Request) {
    let name = random.one(&["resource", "start", "_since", "meta", "mode", "x"]);
    let value = match random.below(4) {
        0 => json!({"name": name, "valueString": "x"}),
        1 => json!({"name": name, "valueMeta": {"tag": [{"system": "urn:t", "code": "fuzz"}]}}),
        2 => json!({"name": name, "resource": {"resourceType": "Observation", "status": "final"}}),
        _ => json!({"name": name, "part": [[]]}),
    };
    let mut body = json!({"resourceType": "Parameters", "parameter": [value]})
        .to_string()
        .into_bytes();
    if random.chance(40) {
        damage(random, &mut body);
    }
    request.headers.push((
        "content-type".to_owned(),
        "application/fhir+json".to_owned(),
    ));
    request.body = Some(body);
}

/// Fields of an OAuth form or query, some of them of no form at all.
pub fn form(random: &mut Generator) -> String {
    let mut fields = Vec::new();
    for _ in 0..random.below(7) {
        let name = random.one(&[
            "grant_type",
            "code",
            "client_id",
            "redirect_uri",
            "scope",
            "state",
            "aud",
            "code_challenge",
            "code_challenge_method",
            "response_type",
            "token",
            "username",
            "password",
            "refresh_token",
            "client_assertion",
            "client_assertion_type",
            "csrf",
            "launch",
            "nonce",
            "action",
            "post_logout_redirect_uri",
        ]);
        let value = random.one(&[
            "authorization_code",
            "client_credentials",
            "refresh_token",
            "S256",
            "code",
            "patient/*.rs",
            "x",
            "",
            "%00",
            "%ff",
            "a.b.c",
            "javascript:alert(1)",
            "http://127.0.0.1:9/callback",
            "openid",
            "'",
            "launch",
            "patient/Observation.rs?category=%00",
            "system/*.cruds",
            "token",
        ]);
        fields.push(format!("{name}={value}"));
    }
    fields.join("&")
}

fn observation(random: &mut Generator, id: &str) -> Value {
    let value = match random.below(7) {
        0 => {
            json!({"value": 5.4, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"})
        }
        1 => json!({"value": 1e308}),
        2 => json!({"value": -0.0, "code": "\u{0}"}),
        3 => json!({"value": "5"}),
        4 => json!([]),
        5 => Value::Null,
        _ => json!({"value": 12, "unit": "mmol/L"}),
    };
    let date = random.one(&[
        "2026-11-10T14:00:00Z",
        "2026",
        "9999-12-31",
        "0001-01-01",
        "2026-13-01",
        "",
        "now",
    ]);
    let mut resource = json!({
        "resourceType": "Observation", "id": id, "status": random.one(&["final", "amended", "preliminary", "x"]),
        "code": {"coding": [{"system": "http://loinc.org", "code": random.one(&["718-7", "", "a b", "\u{1f600}"])}],
            "text": "fuzz"},
        "effectiveDateTime": date, "valueQuantity": value,
    });
    if random.chance(40) {
        resource["valueQuantity"] = json!({"value": 5.4, "unit": "g/dL"});
        resource["effectiveDateTime"] = json!("2026-11-10T14:00:00Z");
        resource["status"] = json!("final");
        resource["code"]["coding"][0]["code"] = json!("718-7");
    }
    if random.chance(20) {
        let text = "é\u{1f600}\u{202e}\"\\\u{7f}".repeat(1 + random.below(20));
        resource["note"] = json!([{"text": text}]);
    }
    if random.chance(5) {
        let deep = (0..random.below(300)).fold(json!(1), |inner, _| json!([inner]));
        resource["extension"] = json!([{"url": "urn:x", "extension": deep}]);
    }
    resource
}

/// Cuts, repeats, flips and inserts bytes.
fn damage(random: &mut Generator, body: &mut Vec<u8>) {
    for _ in 0..1 + random.below(3) {
        let at = random.below(body.len());
        match random.below(7) {
            0 => body.truncate(at),
            1 => {
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= 1 << (at % 8);
                }
            }
            2 => body.insert(at, [0, 0xff, b'"', b'{', b',', 0xc0][at % 6]),
            3 => {
                let end = (at + 1 + random.below(40)).min(body.len());
                let piece = body.get(at..end).unwrap_or_default().to_vec();
                for byte in piece.into_iter().rev() {
                    body.insert(at, byte);
                }
            }
            4 => {
                let end = (at + 1 + random.below(20)).min(body.len());
                body.drain(at..end);
            }
            5 => {
                let long = vec![b'9'; random.below(2_000)];
                body.splice(at..at, long);
            }
            _ => {
                let deep = b"[".repeat(random.below(2_000));
                body.splice(at..at, deep);
            }
        }
        if body.is_empty() {
            return;
        }
    }
}
