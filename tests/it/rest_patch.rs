//! PATCH: JSON Patch and FHIRPath Patch (XML Patch: rest_xml_patch), alone, conditional and in bundles.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::rest_support::{
    Answer, Api, CLINICIAN, SYSTEM, a_patient, a_psychologist, a_psychotherapy_note,
    an_observation, each_api, patient,
};

const JSON_PATCH: &str = "application/json-patch+json";

async fn json_patch(api: &Api, token: &str, path: &str, patch: &Value) -> Answer {
    api.call(token, "PATCH", path)
        .body(JSON_PATCH, patch.to_string())
        .send()
        .await
}

fn operation(kind: &str, path: &str, more: &[Value]) -> Value {
    let mut parts = vec![
        json!({"name": "type", "valueCode": kind}),
        json!({"name": "path", "valueString": path}),
    ];
    parts.extend_from_slice(more);
    json!({"name": "operation", "part": parts})
}

fn parameters(operations: &[Value]) -> Value {
    json!({"resourceType": "Parameters", "parameter": operations})
}

each_api! {
    async fn json_patch_changes_what_it_names(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let patch = json!([
            {"op": "test", "path": "/gender", "value": "female"},
            {"op": "replace", "path": "/gender", "value": "other"},
            {"op": "add", "path": "/name/0/given", "value": ["Ana"]},
            {"op": "add", "path": "/name/0/given/-", "value": "Maria"},
            {"op": "copy", "from": "/name/0", "path": "/name/1"},
            {"op": "move", "from": "/name/1/family", "path": "/name/1/text"},
            {"op": "add", "path": "/multipleBirthInteger", "value": 2},
        ]);
        let answer = json_patch(api, SYSTEM, "Patient/p", &patch).await.is(200);
        assert_eq!(answer.header("etag"), Some("W/\"2\""));
        let read = answer.json();
        assert_eq!(read["gender"], "other");
        assert_eq!(read["name"][0]["given"], json!(["Ana", "Maria"]));
        assert_eq!(read["name"][1]["text"], "Ruiz");
        assert_eq!(read["meta"]["versionId"], "2");
        assert_eq!(api.get(SYSTEM, "Patient/p").await.json(), read);
        // The index is that of the new version.
        let found = api.get(SYSTEM, "Patient?gender=other").await.json();
        assert_eq!(found["total"], 1);
        let history = api.get(SYSTEM, "Patient/p/_history").await.json();
        assert_eq!(history["entry"][0]["request"]["method"], "PATCH");
        // Whatever the last of a list leaves behind goes too.
        let patch = json!([
            {"op": "remove", "path": "/name/1"}, {"op": "remove", "path": "/name/0"},
        ]);
        let read = json_patch(api, SYSTEM, "Patient/p", &patch).await.is(200).json();
        assert!(read.get("name").is_none());
    }

    async fn fhirpath_patch_changes_what_it_finds(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let patch = parameters(&[
            operation("add", "Patient", &[
                json!({"name": "name", "valueString": "birthDate"}),
                json!({"name": "value", "valueDate": "1984-02-29"}),
            ]),
            operation("replace", "Patient.name.where(family = 'Ruiz').family", &[
                json!({"name": "value", "valueString": "Diaz"}),
            ]),
            operation("add", "Patient", &[
                json!({"name": "name", "valueString": "contact"}),
                json!({"name": "value", "part": [
                    {"name": "name", "valueHumanName": {"text": "Mother"}}]}),
            ]),
            operation("delete", "Patient.gender", &[]),
        ]);
        let read = api.call(SYSTEM, "PATCH", "Patient/p").json(&patch).send().await.is(200).json();
        assert_eq!(read["birthDate"], "1984-02-29");
        assert_eq!(read["name"][0]["family"], "Diaz");
        assert_eq!(read["contact"][0]["name"]["text"], "Mother");
        assert!(read.get("gender").is_none());
        let xml = r#"<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>
            <part><name value="type"/><valueCode value="delete"/></part>
            <part><name value="path"/><valueString value="Patient.birthDate"/></part>
            </parameter></Parameters>"#;
        let read = api
            .call(SYSTEM, "PATCH", "Patient/p")
            .body("application/fhir+xml", xml)
            .send()
            .await
            .is(200)
            .json();
        assert!(read.get("birthDate").is_none());
    }

    async fn what_does_not_fit_is_refused_and_changes_nothing(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        for (patch, status) in [
            (json!([{"op": "test", "path": "/gender", "value": "male"}]), 422),
            (json!([{"op": "remove", "path": "/birthDate"}]), 422),
            (json!([{"op": "move", "from": "/name/9", "path": "/name/0"}]), 422),
            (json!([{"op": "replace", "path": "/id", "value": "q"}]), 400),
            (json!([{"op": "replace", "path": "/resourceType", "value": "Person"}]), 400),
            (json!([{"op": "replace", "path": "/gender", "value": "purple"}]), 400),
            (json!([{"op": "add", "path": "/nonsense", "value": 1}]), 400),
            (json!([{"op": "replace", "path": "", "value": 7}]), 400),
            (json!([{"op": "brew", "path": "/id"}]), 400),
            (json!([{"op": "add", "path": "id", "value": 1}]), 400),
            (json!([{"op": "add", "path": "/id"}]), 400),
            (json!([{"op": "copy", "path": "/id"}]), 400),
            (json!({"op": "add"}), 400),
        ] {
            json_patch(api, SYSTEM, "Patient/p", &patch).await.issue(status);
        }
        // One that doubles itself.
        let mut bomb = vec![json!({"op": "add", "path": "/extension", "value": [{"url": "x"}]})];
        for _ in 0..60 {
            bomb.push(json!({"op": "copy", "from": "/extension", "path": "/extension/-"}));
        }
        json_patch(api, SYSTEM, "Patient/p", &Value::from(bomb)).await.issue(422);
        let many = vec![json!({"op": "test", "path": "/id", "value": "p"}); 1001];
        json_patch(api, SYSTEM, "Patient/p", &Value::from(many)).await.issue(400);
        for (patch, status) in [
            (operation("replace", "Patient.birthDate", &[json!({"name": "value", "valueDate": "2000"})]), 422),
            (operation("delete", "Patient.name | Patient.gender", &[]), 422),
            (operation("delete", "1 + 1", &[]), 422),
            (operation("add", "Patient", &[]), 400),
            (operation("delete", "Patient.(", &[]), 400),
            (operation("grow", "Patient", &[]), 400),
        ] {
            let patch = parameters(&[patch]);
            api.call(SYSTEM, "PATCH", "Patient/p").json(&patch).send().await.issue(status);
        }
        for (media, status) in [
            ("application/xml", 400),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
        ] {
            let answer = api
                .call(SYSTEM, "PATCH", "Patient/p")
                .body(media, "<diff/>")
                .send()
                .await;
            let (_, words, _) = answer.issue(status);
            assert!(status == 400 || words.contains("xml-patch+xml"), "{words}");
        }
        api.call(SYSTEM, "PATCH", "Patient/p").json(&a_patient("p")).send().await.issue(400);
        let stands = api.get(SYSTEM, "Patient/p").await.json();
        assert_eq!(stands["meta"]["versionId"], "1");
        let answer = api.call(SYSTEM, "PATCH", "Patient/p/_history/1").send().await.is(405);
        assert!(!answer.header("allow").unwrap().contains("PATCH"));
    }

    async fn conditions_and_preferences_hold_for_patches_too(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let patch = json!([{"op": "replace", "path": "/gender", "value": "other"}]);
        let call = |path: &'static str, tag: &'static str| {
            api.call(SYSTEM, "PATCH", path)
                .header("if-match", tag)
                .header("prefer", "return=minimal")
                .body(JSON_PATCH, patch.to_string())
                .send()
        };
        call("Patient/p", "W/\"7\"").await.issue(412);
        let answer = call("Patient/p", "W/\"1\"").await.is(200);
        assert!(answer.body.is_empty());
        assert!(answer.header("location").unwrap().ends_with("/_history/2"));
        call("Patient/p", "*").await.is(200);
        call("Patient/nobody", "*").await.issue(404);
        json_patch(api, SYSTEM, "Patient?family=Ruiz", &patch).await.is(200);
        json_patch(api, SYSTEM, "Patient?family=Nobody", &patch).await.issue(404);
        json_patch(api, SYSTEM, "Patient", &patch).await.issue(412);
        api.put(SYSTEM, &a_patient("q")).await.is(201);
        json_patch(api, SYSTEM, "Patient?family=Ruiz", &patch).await.issue(412);
        api.call(SYSTEM, "DELETE", "Patient/q").send().await.is(204);
        json_patch(api, SYSTEM, "Patient/q", &patch).await.issue(410);
    }

    async fn patches_that_meet_all_happen(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let answers = futures_util::future::join_all((0..4).map(|at| async move {
            let patch = json!([{"op": "add", "path": "/name/-", "value": {"text": format!("{at}")}}]);
            json_patch(api, SYSTEM, "Patient/p", &patch).await
        }))
        .await;
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 200 | 409)));
        let read = api.get(SYSTEM, "Patient/p").await.json();
        assert_eq!(read["name"].as_array().unwrap().len(), 1 + won);
        assert!(won > 0);
    }

    async fn patches_stand_in_bundles(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        let binary = |patch: Value| {
            json!({"resourceType": "Binary", "contentType": JSON_PATCH,
                "data": BASE64.encode(patch.to_string())})
        };
        let entry = |url: &str, resource: Value| {
            json!({"request": {"method": "PATCH", "url": url}, "resource": resource})
        };
        let new = "urn:uuid:0a1b2c3d-0000-4000-8000-000000000001";
        let entries = [
            entry("Patient/p", parameters(&[operation("delete", "Patient.gender", &[])])),
            // A reference to what the same bundle makes.
            entry("Observation/o", binary(json!([
                {"op": "add", "path": "/encounter", "value": {"reference": new}}]))),
            json!({"fullUrl": new, "request": {"method": "POST", "url": "Encounter"}, "resource": {
                "resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"},
                "subject": {"reference": "Patient/p"}}}),
        ];
        let bundle = |kind: &str, entries: &[Value]| {
            json!({"resourceType": "Bundle", "type": kind, "entry": entries})
        };
        let answer = api.post(SYSTEM, "", &bundle("transaction", &entries)).await.is(200).json();
        assert_eq!(answer["entry"][0]["response"]["status"], "200 OK");
        assert_eq!(answer["entry"][0]["response"]["etag"], "W/\"2\"");
        let read = api.get(SYSTEM, "Observation/o").await.json();
        let encounter = answer["entry"][2]["response"]["location"].as_str().unwrap();
        assert!(encounter.starts_with(read["encounter"]["reference"].as_str().unwrap()));
        let fails = [
            entry("Patient/p", parameters(&[operation("delete", "Patient.name", &[])])),
            entry("Observation/o", binary(json!([
                {"op": "test", "path": "/status", "value": "amended"}]))),
        ];
        let (_, _, at) = api.post(SYSTEM, "", &bundle("transaction", &fails)).await.issue(422);
        assert_eq!(at, "Bundle.entry[1]");
        assert!(api.get(SYSTEM, "Patient/p").await.json().get("name").is_some());
        let answer = api.post(SYSTEM, "", &bundle("batch", &fails)).await.is(200).json();
        assert_eq!(answer["entry"][0]["response"]["status"], "200 OK");
        assert_eq!(answer["entry"][1]["response"]["status"], "422 Unprocessable Entity");
        // Twice the same resource.
        let twice = [fails[0].clone(), fails[0].clone()];
        let (code, ..) = api.post(SYSTEM, "", &bundle("transaction", &twice)).await.issue(400);
        assert_eq!(code, "duplicate");
    }

    async fn a_patch_tells_nothing_of_what_is_withheld(api: &Api) {
        api.put(SYSTEM, &a_psychologist()).await.is(201);
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &a_psychotherapy_note("psy-note", "p")).await.is(201);
        let list = json!({"resourceType": "List", "id": "l", "status": "current", "mode": "working",
            "subject": {"reference": "Patient/p"},
            "entry": [{"item": {"reference": "DocumentReference/psy-note"}},
                {"item": {"reference": "Patient/p"}}]});
        api.put(SYSTEM, &list).await.is(201);
        let patches = [
            json!([{"op": "test", "path": "/status", "value": "current"}]),
            json!([{"op": "test", "path": "/status", "value": "nonsense"}]),
            json!([{"op": "remove", "path": "/nothing/at/all"}]),
            json!([{"op": "add", "path": "/description", "value": "x"}]),
        ];
        for patch in &patches {
            for tag in [None, Some("*"), Some("W/\"1\""), Some("W/\"9\"")] {
                let send = |id: &'static str| {
                    let path = format!("DocumentReference/{id}");
                    let call = api.call(CLINICIAN, "PATCH", &path);
                    let call = match tag {
                        Some(tag) => call.header("if-match", tag),
                        None => call,
                    };
                    call.body(JSON_PATCH, patch.to_string()).send()
                };
                let (held, unknown) = (send("psy-note").await, send("unknown").await);
                assert_eq!((held.status, &held.headers, &held.body),
                    (unknown.status, &unknown.headers, &unknown.body));
                held.issue(404);
            }
            let held = json_patch(api, CLINICIAN, "DocumentReference?author=Practitioner/psy", patch).await;
            let unknown = json_patch(api, CLINICIAN, "DocumentReference?author=Practitioner/x", patch).await;
            assert_eq!((held.status, &held.body), (unknown.status, &unknown.body));
        }
        // Of what is shown in part every patch has one answer.
        let seen = api.get(CLINICIAN, "List/l").await.is(200).json();
        assert_eq!(seen["entry"].as_array().unwrap().len(), 1);
        let mut answers: Vec<_> = Vec::new();
        for patch in patches.iter().chain([&json!([
            {"op": "test", "path": "/entry/0/item/reference", "value": "DocumentReference/psy-note"}])]) {
            answers.push(json_patch(api, CLINICIAN, "List/l", patch).await.is(403).body);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
        // Who writes nothing learns nothing.
        for id in ["psy-note", "unknown"] {
            let path = format!("DocumentReference/{id}");
            json_patch(api, &patient("p"), &path, &patches[0]).await.issue(403);
        }
        let stands = api.get(SYSTEM, "DocumentReference/psy-note").await.json();
        assert_eq!(stands["meta"]["versionId"], "1");
    }

    async fn a_patch_stays_within_its_scopes(api: &Api) {
        api.put(SYSTEM, &a_patient("a")).await.is(201);
        api.put(SYSTEM, &an_observation("of-a", "a")).await.is(201);
        api.put(SYSTEM, &an_observation("of-b", "b")).await.is(201);
        let patch = json!([{"op": "replace", "path": "/status", "value": "amended"}]);
        json_patch(api, "system;;system/Observation.rs", "Observation/of-a", &patch).await.issue(403);
        json_patch(api, "system;;system/Observation.ru", "Observation/of-a", &patch).await.is(200);
        let launched = "clinician;a;patient/*.cruds";
        json_patch(api, launched, "Observation/of-a", &patch).await.is(200);
        json_patch(api, launched, "Observation/of-b", &patch).await.issue(404);
        let moved = json!([{"op": "replace", "path": "/subject/reference", "value": "Patient/b"}]);
        json_patch(api, launched, "Observation/of-a", &moved).await.issue(403);
        // Sees all, writes laboratory results only.
        let narrow = "clinician;;user/*.rs user/Observation.u?category=laboratory";
        json_patch(api, narrow, "Observation/of-b", &patch).await.is(200);
        let other = json!([{"op": "remove", "path": "/category"}]);
        json_patch(api, narrow, "Observation/of-b", &other).await.issue(403);
    }

    // SMART App Launch 2.2: `u` is update and patch. What such a token cannot read it must not find out.
    async fn who_may_not_read_patches_without_learning_what_stands_there(api: &Api) {
        const BLIND: &str = "system;;system/Observation.u system/Patient.write";
        api.put(SYSTEM, &a_patient("a")).await.is(201);
        api.put(SYSTEM, &an_observation("o", "a")).await.is(201);
        let binary = |patch: &Value| json!({"resourceType": "Binary", "contentType": JSON_PATCH,
            "data": BASE64.encode(patch.to_string())});
        let entry = |resource: &Value| json!({"resourceType": "Bundle", "type": "batch", "entry": [
            {"request": {"method": "PATCH", "url": "Observation/o"}, "resource": resource}]});
        // Each does what it says, and says nothing of the rest.
        let amended = json!([{"op": "replace", "path": "/status", "value": "amended"},
            {"op": "add", "path": "/note", "value": [{"text": "x"}]},
            {"op": "copy", "from": "/note/0", "path": "/note/-"},
            {"op": "remove", "path": "/note/1"}]);
        for prefer in ["return=representation", "return=OperationOutcome", "return=minimal"] {
            let call = api.call(BLIND, "PATCH", "Observation/o").header("prefer", prefer);
            let answer = call.body(JSON_PATCH, amended.to_string()).send().await.is(200);
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(!text.contains("Observation") && !text.contains("amended"), "{text}");
        }
        let answer = api.post(BLIND, "", &entry(&binary(&amended))).await.is(200).json();
        assert_eq!(answer["entry"][0]["response"]["status"], "200 OK", "{answer}");
        assert!(answer["entry"][0].get("resource").is_none(), "{answer}");
        let value = json!({"name": "value", "valueCode": "final"});
        let plain = parameters(&[operation("replace", "Observation.status", std::slice::from_ref(&value)),
            operation("delete", "Observation.note[0]", &[])]);
        api.call(BLIND, "PATCH", "Observation/o").json(&plain).send().await.is(200);
        let xml = "application/xml-patch+xml";
        let status = r#"<diff><replace sel="Observation/status/@value">corrected</replace></diff>"#;
        api.call(BLIND, "PATCH", "Observation/o").body(xml, status).send().await.is(200);
        let stands = api.get(SYSTEM, "Observation/o").await.json();
        assert_eq!((&stands["status"], &stands["note"]), (&json!("corrected"), &Value::Null));
        api.get(BLIND, "Observation/o").await.issue(403);
        // v1's write is the same.
        let gender = json!([{"op": "replace", "path": "/gender", "value": "other"}]);
        json_patch(api, BLIND, "Patient/a", &gender).await.is(200);

        // What would ask a question is refused, whatever its answer.
        for value in ["corrected", "final"] {
            let test = json!([{"op": "test", "path": "/status", "value": value},
                {"op": "replace", "path": "/status", "value": "final"}]);
            let (_, words, _) = json_patch(api, BLIND, "Observation/o", &test).await.issue(403);
            assert!(words.contains("read"), "{words}");
            let answer = api.post(BLIND, "", &entry(&binary(&test))).await.is(200).json();
            assert!(answer["entry"][0]["response"]["status"].as_str().unwrap().starts_with("403"));
        }
        for path in [
            "Observation.where(status = 'corrected').status",
            "Observation.status.where($this = 'corrected')",
            "Observation.category[status.length()].coding",
            "iif(Observation.status = 'corrected', Observation.status, Observation.code)",
            "Observation.status | Observation.code",
            "Observation.descendants().code",
        ] {
            let asks = parameters(&[operation("replace", path, std::slice::from_ref(&value))]);
            let answer = api.call(BLIND, "PATCH", "Observation/o").json(&asks).send().await;
            answer.issue(403);
        }
        for selector in [
            "Observation[status/@value='corrected']/status/@value",
            "Observation/status[@value='corrected']/@value",
            "Observation/category[coding]/text/@value",
        ] {
            let asks = format!("<diff><replace sel=\"{selector}\">final</replace></diff>");
            api.call(BLIND, "PATCH", "Observation/o").body(xml, asks).send().await.issue(403);
        }
        // $meta-add answers with what stands in meta.
        let meta = json!({"resourceType": "Parameters", "parameter": [{"name": "meta",
            "valueMeta": {"tag": [{"code": "x"}]}}]});
        api.post(BLIND, "Observation/o/$meta-add", &meta).await.issue(403);

        // Why it does not fit is not said: there is no such element, or what comes out is not valid.
        let mut said = Vec::new();
        for misfit in [
            json!([{"op": "replace", "path": "/method/text", "value": "x"}]),
            json!([{"op": "remove", "path": "/code"}]),
            json!([{"op": "copy", "from": "/subject/reference", "path": "/status"}]),
            json!([{"op": "move", "from": "/subject", "path": "/note"}]),
        ] {
            said.push(json_patch(api, BLIND, "Observation/o", &misfit).await.issue(422));
        }
        assert!(said.windows(2).all(|pair| pair[0] == pair[1]), "{said:?}");

        // Where reading or searching is limited, a patch could move what is hidden into sight.
        let narrow = "category=http://terminology.hl7.org/CodeSystem/observation-category|survey";
        for token in [
            format!("system;;system/Observation.u system/Observation.r?{narrow}"),
            format!("system;;system/Observation.u system/Observation.s?{narrow}"),
        ] {
            let refused = json_patch(api, &token, "Observation/o", &amended).await;
            assert!(matches!(refused.status.as_u16(), 403 | 404), "{}", refused.status);
        }
        let after = api.get(SYSTEM, "Observation/o").await.json();
        assert_eq!(after, stands);
        json_patch(api, BLIND, "Observation/unknown", &amended).await.issue(404);
    }
}
