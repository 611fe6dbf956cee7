//! Operations over HTTP.

use serde_json::{Value, json};

use crate::rest_support::{AUDITOR, SYSTEM, a_patient, an_observation, each_api, patient};

fn parameter<'p>(parameters: &'p Value, name: &str) -> &'p Value {
    parameters["parameter"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == name)
        .unwrap_or(&Value::Null)
}

/// A psychotherapy note with its attestation.
fn psychotherapy_note() -> Value {
    json!({
        "resourceType": "DocumentReference",
        "id": "psy",
        "meta": {"security": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}]},
        "status": "current",
        "docStatus": "final",
        "subject": {"reference": "Patient/p"},
        "date": "2026-11-10T14:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": "c2VjcmV0"}}],
        "extension": [{
            "url": "https://candor.example/fhir/StructureDefinition/psychotherapy-attestation",
            "extension": [
                {"url": "author", "valueReference": {"reference": "Practitioner/doctor"}},
                {"url": "sessionAnalysis", "valueBoolean": true},
                {"url": "separatelyStored", "valueBoolean": true},
                {"url": "attestedAt", "valueDateTime": "2026-11-10T14:00:00Z"},
            ],
        }],
    })
}

fn doctor() -> Value {
    json!({
        "resourceType": "Practitioner",
        "id": "doctor",
        "name": [{"family": "Stern"}],
        "qualification": [{"code": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/v2-0360", "code": "PHD"}],
            "text": "Clinical psychologist"}}],
    })
}

each_api! {
    async fn the_policy_is_public(api: &Api) {
        let policy = api.bare("GET", "$release-policy").send().await.is(200).json();
        assert_eq!(policy["resourceType"], "Parameters");
        assert!(policy["parameter"].as_array().unwrap().len() > 5);
        assert!(candor::fhir::validate::validate(&policy).is_empty());
        let xml = api.bare("GET", "$release-policy?_format=xml").send().await.is(200);
        assert!(xml.text().contains("<Parameters"));
    }

    async fn a_decision_is_explained_to_staff(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        for token in ["staff;;user/*.rs", AUDITOR, "admin;;user/*.rs", SYSTEM] {
            for viewer in ["", "?viewer=patient", "?viewer=representative",
                "?viewer=RelatedPerson/x", "?viewer=clinician"] {
                let path = format!("Observation/o/$release-decision{viewer}");
                let decision = api.get(token, &path).await.is(200).json();
                assert_eq!(parameter(&decision, "outcome")["valueCode"], "release");
                let problems = candor::fhir::validate::validate(&decision);
                assert!(problems.is_empty(), "{problems:?}");
            }
            api.get(token, "Observation/o/$release-decision?viewer=nobody")
                .await
                .issue(400);
            api.get(token, "Observation/o/$release-decision?colour=red")
                .await
                .issue(400);
            api.get(token, "Observation/unknown/$release-decision")
                .await
                .issue(404);
        }
        api.get("staff;;user/Patient.rs", "Observation/o/$release-decision")
            .await
            .issue(403);
    }

    async fn a_psychotherapy_note_is_absent_for_its_patient(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &doctor()).await.is(201);
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        api.put(SYSTEM, &psychotherapy_note()).await.is(201);
        let decision = api
            .get(SYSTEM, "DocumentReference/psy/$release-decision?viewer=patient")
            .await
            .is(200)
            .json();
        assert_eq!(parameter(&decision, "outcome")["valueCode"], "withhold", "{decision}");
        let token = patient("p");
        let hidden = api.get(&token, "DocumentReference/psy").await;
        let unknown = api.get(&token, "DocumentReference/unknown").await;
        assert_eq!((hidden.status.as_u16(), &hidden.body), (404, &unknown.body));
        assert_eq!(hidden.headers, unknown.headers);
        let searched = api.get(&token, "DocumentReference").await.is(200).json();
        assert_eq!(searched["total"], 0);
        assert!(searched.get("entry").is_none());
        // Who asks is told that something is not shown, in words that say nothing else.
        let told = api
            .call(&token, "GET", "DocumentReference")
            .header("prefer", "withheld-notice")
            .send()
            .await
            .is(200)
            .json();
        assert_eq!(told["total"], 0);
        let issue = &told["entry"][0]["resource"]["issue"][0];
        assert_eq!(issue["code"], "suppressed");
        assert_eq!(issue["severity"], "information");
        // In any search alike, and to nobody else.
        let other = api
            .call(&token, "GET", "Observation")
            .header("prefer", "withheld-notice")
            .send()
            .await
            .is(200)
            .json();
        assert_eq!(&other["entry"][1]["resource"]["issue"][0], issue);
        let system = api
            .call(SYSTEM, "GET", "DocumentReference")
            .header("prefer", "withheld-notice")
            .send()
            .await
            .is(200)
            .json();
        assert_eq!(system["entry"].as_array().unwrap().len(), 1);
        assert_eq!(system["entry"][0]["search"]["mode"], "match");
    }

    async fn the_ledger_is_paged_and_verified(api: &Api) {
        for id in ["a", "b", "c"] {
            api.put(SYSTEM, &a_patient(id)).await.is(201);
            api.pass(60_000);
        }
        let mut path = "$release-ledger?_count=2".to_owned();
        let mut entries = Vec::new();
        loop {
            let page = api.get(AUDITOR, &path).await.is(200).json();
            let problems = candor::fhir::validate::validate(&page);
            assert!(problems.is_empty(), "{problems:?}");
            for one in page["parameter"].as_array().into_iter().flatten() {
                if one["name"] == "entry" {
                    entries.push(one["part"].clone());
                }
            }
            let Some(next) = parameter_url(&page) else { break };
            path = next;
        }
        assert!(entries.len() >= 3, "{entries:?}");
        // Each entry holds the hash of the one before.
        for pair in entries.windows(2) {
            let hash = |entry: &Value, name: &str| {
                entry.as_array().unwrap().iter().find(|part| part["name"] == name)
                    .unwrap()["valueString"].clone()
            };
            assert_eq!(hash(&pair[1], "prev"), hash(&pair[0], "hash"));
        }
        let late = api
            .get(AUDITOR, "$release-ledger?_since=2026-11-10T15:02:00Z")
            .await
            .is(200)
            .json();
        assert!(late["parameter"].as_array().unwrap().len() < entries.len());
        let check = api
            .call(AUDITOR, "POST", "$verify-ledger")
            .send()
            .await
            .is(200)
            .json();
        assert_eq!(parameter(&check, "intact")["valueBoolean"], true);
    }

    async fn a_resource_is_validated_without_being_stored(api: &Api) {
        let good = api.post(SYSTEM, "Patient/$validate", &a_patient("p")).await.is(200).json();
        assert!(good["issue"].as_array().unwrap().iter().all(|issue| issue["severity"] != "error"), "{good}");
        let bad = json!({"resourceType": "Patient", "gender": "purple", "colour": "red"});
        for body in [
            bad.clone(),
            json!({"resourceType": "Parameters", "parameter": [
                {"name": "mode", "valueCode": "create"}, {"name": "resource", "resource": bad}]}),
        ] {
            let outcome = api.post(SYSTEM, "Patient/$validate", &body).await.is(200).json();
            assert_eq!(outcome["issue"].as_array().unwrap().len(), 2, "{outcome}");
            assert_eq!(outcome["issue"][0]["severity"], "error");
        }
        let other = api.post(SYSTEM, "Observation/$validate", &a_patient("p")).await.is(200);
        assert_eq!(other.json()["issue"][0]["severity"], "error");
        api.call(SYSTEM, "POST", "Patient/$validate").send().await.issue(400);
        api.get(SYSTEM, "Patient/p").await.is(404);
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.get(SYSTEM, "Patient/p/$validate").await.is(200);
    }

    async fn validation_looks_at_references_and_claims(api: &Api) {
        let issues = async |body: &Value| {
            let outcome = api.post(SYSTEM, "Patient/$validate", body).await.is(200).json();
            let all = outcome["issue"].as_array().unwrap().iter();
            // What R4 thinks of resources without a narrative is not the question.
            let all = all.filter(|issue| !issue["diagnostics"].as_str().unwrap().starts_with("dom-6"));
            all.map(|issue| (
                issue["severity"].as_str().unwrap().to_owned(),
                issue["expression"][0].as_str().unwrap_or_default().to_owned(),
                issue["diagnostics"].as_str().unwrap().to_owned(),
            )).collect::<Vec<_>>()
        };
        let mut patient = a_patient("p");
        patient["managingOrganization"] = json!({"reference": "Patient/1"});
        let [(severity, at, words)] = &issues(&patient).await[..] else { panic!() };
        assert_eq!((severity.as_str(), at.as_str()), ("error", "Patient.managingOrganization"));
        assert!(words.contains("Organization, not to Patient"), "{words}");
        patient["managingOrganization"] = json!({"reference": "Organization/1", "type": "Patient"});
        let [(severity, at, _)] = &issues(&patient).await[..] else { panic!() };
        assert_eq!((severity.as_str(), at.as_str()), ("error", "Patient.managingOrganization.type"));
        // No write is refused for it.
        api.put(SYSTEM, &patient).await.is(201);
        patient["managingOrganization"] = json!({"reference": "Organization/1"});
        patient["meta"] = json!({"profile": ["http://hl7.org/fhir/StructureDefinition/Patient",
            "http://example.org/p|1.0"]});
        let [(severity, at, words)] = &issues(&patient).await[..] else { panic!() };
        assert_eq!((severity.as_str(), at.as_str()), ("warning", "Patient.meta.profile[1]"));
        assert!(words.contains("`http://example.org/p|1.0`"), "{words}");
    }

    async fn xml_is_validated_as_json_is(api: &Api) {
        let validate = |path: &'static str, inner: &'static str| {
            let xml = format!("<Patient xmlns=\"http://hl7.org/fhir\">{inner}</Patient>");
            api.call(SYSTEM, "POST", path).body("application/fhir+xml", xml.into_bytes()).send()
        };
        for (inner, at) in [
            ("<colour value=\"red\"/>", "Patient"),
            ("<active value=\"perhaps\"/>", "Patient.active"),
            ("<gender value=\"purple\"/>", "Patient.gender"),
        ] {
            let outcome = validate("Patient/$validate", inner).await.is(200).json();
            assert_eq!(outcome["issue"][0]["severity"], "error", "{inner}");
            assert_eq!(outcome["issue"][0]["expression"][0], at, "{inner}");
        }
        // What is no XML is no resource that is wrong.
        validate("Patient/$validate", "<active>").await.issue(400);
        validate("Patient/$validate", "<active value=\"true\" value=\"true\"/>").await.issue(400);
        validate("Patient/$validate?mode=brew&x=1", "<colour value=\"red\"/>").await.issue(400);
        validate("Patient/unknown/$validate", "<colour value=\"red\"/>").await.issue(404);
        validate("$convert", "<colour value=\"red\"/>").await.issue(400);
        validate("Patient", "<colour value=\"red\"/>").await.issue(400);
    }
}

fn parameter_url(page: &Value) -> Option<String> {
    let url = parameter(page, "next")["valueUrl"].as_str()?;
    url.strip_prefix(crate::rest_support::BASE)
        .map(str::to_owned)
}
