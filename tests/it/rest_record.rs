//! Operations over a patient's record: $everything, $lastn, $docref; and $meta, $convert.

use serde_json::{Value, json};

use crate::rest_support::{
    Answer, Api, BASE, CLINICIAN, SYSTEM, a_patient, a_psychologist, a_psychotherapy_note,
    an_observation, each_api, patient,
};

/// Patient p with a doctor, an encounter, results on three days, a note that is withheld, and a
/// medication; and somebody else's result.
async fn record(api: &Api) {
    let mut own = a_patient("p");
    own["generalPractitioner"] = json!([{"reference": "Practitioner/gp"}]);
    own["managingOrganization"] = json!({"reference": "Organization/o"});
    let mut resources = vec![
        json!({"resourceType": "Practitioner", "id": "gp", "name": [{"family": "Lee"}]}),
        a_psychologist(),
        json!({"resourceType": "Organization", "id": "o", "name": "Clinic"}),
        json!({"resourceType": "Location", "id": "l", "name": "Ward"}),
        json!({"resourceType": "Medication", "id": "m", "code": {"text": "Aspirin"}}),
        json!({"resourceType": "Practitioner", "id": "nobody"}),
        own,
        a_patient("q"),
        json!({"resourceType": "Encounter", "id": "e", "status": "finished",
            "class": {"code": "AMB"}, "subject": {"reference": "Patient/p"},
            "location": [{"location": {"reference": "Location/l"}}],
            "period": {"start": "2026-11-01T15:00:00Z", "end": "2026-11-01T16:00:00Z"}}),
        json!({"resourceType": "MedicationRequest", "id": "mr", "status": "active", "intent": "order",
            "medicationReference": {"reference": "Medication/m"},
            "subject": {"reference": "Patient/p"}, "authoredOn": "2026-11-05"}),
        json!({"resourceType": "AllergyIntolerance", "id": "undated",
            "patient": {"reference": "Patient/p"}, "code": {"text": "Nuts"}}),
        a_psychotherapy_note("psy-note", "p"),
        an_observation("of-q", "q"),
    ];
    for day in 1..=3 {
        let mut observation = an_observation(&format!("o{day}"), "p");
        observation["effectiveDateTime"] = format!("2026-11-0{day}T14:00:00Z").into();
        observation["performer"] = json!([{"reference": "Practitioner/gp"}]);
        if day == 1 {
            observation["encounter"] = json!({"reference": "Encounter/e"});
        }
        resources.push(observation);
    }
    for resource in &resources {
        api.put(SYSTEM, resource).await.is(201);
    }
}

/// `Type/id` of the entries with this mode.
fn addresses(bundle: &Value, mode: &str) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let mut found: Vec<String> = entries
        .iter()
        .filter(|entry| entry["search"]["mode"] == mode)
        .map(|entry| {
            let url = entry["fullUrl"].as_str().unwrap();
            let address = url.strip_prefix(BASE).unwrap().trim_start_matches('/');
            let resource = &entry["resource"];
            assert_eq!(
                address,
                format!(
                    "{}/{}",
                    resource["resourceType"].as_str().unwrap(),
                    resource["id"].as_str().unwrap()
                )
            );
            address.to_owned()
        })
        .collect();
    found.sort();
    found
}

fn next(bundle: &Value) -> Option<String> {
    let links = bundle["link"].as_array()?;
    let next = links.iter().find(|link| link["relation"] == "next")?;
    let path = next["url"].as_str()?.strip_prefix(BASE)?;
    Some(path.trim_start_matches('/').to_owned())
}

fn same(one: &Answer, other: &Answer) {
    assert_eq!(
        (one.status, &one.headers, &one.body),
        (other.status, &other.headers, &other.body)
    );
}

const ALL: [&str; 9] = [
    "AllergyIntolerance/undated",
    "DocumentReference/psy-note",
    "Encounter/e",
    "MedicationRequest/mr",
    "Observation/o1",
    "Observation/o2",
    "Observation/o3",
    "Patient/p",
    "",
];

each_api! {
    async fn everything_is_the_record_and_what_it_refers_to(api: &Api) {
        record(api).await;
        let all: Vec<&str> = ALL.into_iter().filter(|one| !one.is_empty()).collect();
        let whole = api.get(SYSTEM, "Patient/p/$everything").await.is(200).json();
        assert_eq!(whole["type"], "searchset");
        assert_eq!(whole["total"], 8);
        assert_eq!(addresses(&whole, "match"), all);
        assert_eq!(whole["entry"][0]["resource"]["resourceType"], "Patient");
        assert_eq!(addresses(&whole, "include"), [
            "Location/l", "Medication/m", "Organization/o", "Practitioner/gp", "Practitioner/psy",
        ]);
        assert!(next(&whole).is_none());
        // The patient: all but what is withheld, and what only that refers to.
        let own = api.get(&patient("p"), "Patient/p/$everything").await.is(200).json();
        let mut seen = all.clone();
        seen.retain(|one| *one != "DocumentReference/psy-note");
        assert_eq!(addresses(&own, "match"), seen);
        assert_eq!(own["total"], 7);
        assert!(!addresses(&own, "include").contains(&"Practitioner/psy".to_owned()));
        let same_one = api.get(&patient("p"), "Patient/$everything").await.is(200).json();
        assert_eq!(same_one, own);
        // Who is there for no patient in particular is shown all whom they may see, in pages.
        let everybody = api.get(SYSTEM, "Patient/$everything?_count=1000").await.is(200).json();
        let matches = addresses(&everybody, "match");
        for one in all.iter().copied().chain(["Patient/q", "Observation/of-q"]) {
            assert!(matches.contains(&one.to_owned()), "{one} of {matches:?}");
        }
        assert_eq!(everybody["total"], matches.len());
        assert!(addresses(&everybody, "include").contains(&"Practitioner/gp".to_owned()));
        let mut paged = Vec::new();
        let mut path = "Patient/$everything?_count=2".to_owned();
        loop {
            let page = api.get(SYSTEM, &path).await.is(200).json();
            paged.extend(addresses(&page, "match"));
            let Some(next) = next(&page) else { break };
            path = next;
        }
        paged.sort();
        let mut sorted = matches.clone();
        sorted.sort();
        assert_eq!(paged, sorted);
        let narrow = "system;;system/Patient.rs system/Observation.rs?category=laboratory";
        let some = api.get(narrow, "Patient/$everything").await.is(200).json();
        assert!(addresses(&some, "match").iter().all(|one| one.starts_with("Patient/")
            || one.starts_with("Observation/")));
        let typed = api.get(SYSTEM, "Patient/$everything?_type=Patient").await.is(200).json();
        assert_eq!(addresses(&typed, "match"), ["Patient/p", "Patient/q"]);
        api.get(SYSTEM, "Patient/$everything?start=2026").await.issue(400);
        api.get("system;;system/Observation.rs", "Patient/$everything").await.issue(403);
        // By POST, and in a batch.
        let parameters = json!({"resourceType": "Parameters", "parameter": [
            {"name": "_type", "valueString": "Observation"}]});
        let posted = api.post(SYSTEM, "Patient/p/$everything", &parameters).await.is(200).json();
        assert_eq!(addresses(&posted, "match"), ["Observation/o1", "Observation/o2", "Observation/o3"]);
        let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
            {"request": {"method": "GET", "url": "Patient/p/$everything"}},
            {"request": {"method": "POST", "url": "Patient/p/$everything"}, "resource": parameters}]});
        let batch = api.post(SYSTEM, "", &batch).await.is(200).json();
        assert_eq!(batch["entry"][0]["resource"], whole);
        assert_eq!(batch["entry"][1]["resource"]["total"], 3);
    }

    async fn everything_pages_by_cursor(api: &Api) {
        record(api).await;
        for token in [SYSTEM.to_owned(), patient("p"), CLINICIAN.to_owned()] {
            let whole = api.get(&token, "Patient/p/$everything").await.is(200).json();
            let (mut matches, mut included, mut pages) = (Vec::new(), Vec::new(), 0);
            let mut path = Some("Patient/p/$everything?_count=2".to_owned());
            while let Some(at) = path {
                let page = api.get(&token, &at).await.is(200).json();
                assert!(page.get("total").is_none() || pages == 0);
                matches.extend(addresses(&page, "match"));
                included.extend(addresses(&page, "include"));
                path = next(&page);
                pages += 1;
            }
            assert!(pages >= 3, "{pages}");
            matches.sort();
            included.sort();
            included.dedup();
            assert_eq!(matches, addresses(&whole, "match"));
            assert_eq!(included, addresses(&whole, "include"));
        }
        let page = api.get(SYSTEM, "Patient/p/$everything?_count=2").await.json();
        let cursor = next(&page).unwrap();
        api.get(&patient("p"), &cursor).await.issue(400);
        api.get(SYSTEM, &cursor.replace("Patient/p/", "Patient/q/")).await.issue(400);
    }

    async fn everything_comes_as_a_whole_unless_pages_are_asked_for(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let entries: Vec<Value> = (0..130)
            .map(|at| json!({"request": {"method": "PUT", "url": format!("Observation/o{at}")},
                "resource": an_observation(&format!("o{at}"), "p")}))
            .collect();
        let all = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
        api.post(SYSTEM, "", &all).await.is(200);
        let whole = api.get(SYSTEM, "Patient/p/$everything").await.is(200).json();
        assert_eq!(addresses(&whole, "match").len(), 131);
        assert_eq!(whole["total"], 131);
        assert_eq!(next(&whole), None);
        let everybody = api.get(SYSTEM, "Patient/$everything").await.is(200).json();
        assert_eq!(addresses(&everybody, "match").len(), 100);
    }

    async fn everything_by_type_time_and_care(api: &Api) {
        record(api).await;
        let matches = |query: &'static str| async move {
            let path = format!("Patient/p/$everything?{query}");
            addresses(&api.get(SYSTEM, &path).await.is(200).json(), "match")
        };
        assert_eq!(matches("_type=Encounter,Patient").await, ["Encounter/e", "Patient/p"]);
        // The person and what bears no date of care is always there.
        assert_eq!(matches("start=2026-11-02&end=2026-11-02").await, [
            "AllergyIntolerance/undated", "Observation/o2", "Patient/p"]);
        assert_eq!(matches("end=2026-11-01T14:30:00Z").await, [
            "AllergyIntolerance/undated", "Observation/o1", "Patient/p"]);
        assert_eq!(matches("start=2026-11-05&_type=MedicationRequest,Observation").await,
            ["MedicationRequest/mr"]);
        api.pass(60_000);
        api.put(SYSTEM, &an_observation("late", "p")).await.is(201);
        assert_eq!(matches("_since=2026-11-10T15:00:30Z").await, ["Observation/late"]);
        for bad in ["start=yesterday", "_since=2026", "_type=Pateint", "_count=x", "nonsense=1"] {
            api.get(SYSTEM, &format!("Patient/p/$everything?{bad}")).await.issue(400);
        }
        let cut = api.get(SYSTEM, "Patient/p/$everything?_elements=code&_type=Observation").await.json();
        assert_eq!(cut["entry"][0]["resource"]["meta"]["tag"][0]["code"], "SUBSETTED");
    }

    async fn everything_of_nobody_and_of_somebody_else_is_one_answer(api: &Api) {
        record(api).await;
        let unknown = api.get(&patient("p"), "Patient/unknown/$everything").await;
        same(&api.get(&patient("p"), "Patient/q/$everything").await, &unknown);
        unknown.issue(404);
        let few = "patient;p;patient/Patient.r patient/Observation.rs";
        let own = api.get(few, "Patient/p/$everything").await.is(200).json();
        assert_eq!(addresses(&own, "match"),
            ["Observation/o1", "Observation/o2", "Observation/o3", "Patient/p"]);
        assert!(addresses(&own, "include").is_empty());
        let narrow = "patient;p;patient/Patient.r patient/Observation.rs?category=vital-signs";
        let own = api.get(narrow, "Patient/p/$everything").await.is(200).json();
        assert_eq!(addresses(&own, "match"), ["Patient/p"]);
        api.get("patient;p;patient/Observation.rs", "Patient/p/$everything").await.issue(403);
        api.call(SYSTEM, "DELETE", "Patient/q").send().await.is(204);
        api.get(SYSTEM, "Patient/q/$everything").await.issue(410);
        api.get(SYSTEM, "Observation/o1/$everything").await.issue(404);
    }

    async fn an_encounter_has_everything_of_its_own(api: &Api) {
        record(api).await;
        for token in [SYSTEM.to_owned(), patient("p")] {
            let all = api.get(&token, "Encounter/e/$everything").await.is(200).json();
            assert_eq!(addresses(&all, "match"), ["Encounter/e", "Observation/o1"]);
            assert_eq!(addresses(&all, "include"), ["Location/l", "Patient/p", "Practitioner/gp"]);
        }
        let first = api.get(SYSTEM, "Encounter/e/$everything?_count=1").await.is(200).json();
        assert_eq!(addresses(&first, "match"), ["Encounter/e", "Observation/o1"]);
        let dated = api.get(SYSTEM, "Encounter/e/$everything?start=2026-12-01").await.is(200).json();
        assert_eq!(addresses(&dated, "match"), ["Encounter/e"]);
        let unknown = api.get(&patient("q"), "Encounter/unknown/$everything").await;
        same(&api.get(&patient("q"), "Encounter/e/$everything").await, &unknown);
    }

    async fn labels_of_a_type_and_of_the_whole_system(api: &Api) {
        record(api).await;
        let tag = |code: &str| json!({"system": "urn:tags", "code": code, "display": code});
        let mut one = a_patient("p");
        one["meta"] = json!({"tag": [tag("a"), tag("b")], "profile": ["http://example.org/p"],
            "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
                "code": "N"}]});
        api.put(SYSTEM, &one).await.is(200);
        let mut other = an_observation("o1", "p");
        other["meta"] = json!({"tag": [tag("b"), tag("c"), {"code": "bare"}],
            "profile": ["http://example.org/o|1.0"]});
        api.put(SYSTEM, &other).await.is(200);
        let mut hers = an_observation("of-q", "q");
        hers["meta"] = json!({"tag": [tag("only-q")]});
        api.put(SYSTEM, &hers).await.is(200);
        let tags = |answer: &Value| -> Vec<String> {
            let list = answer["parameter"][0]["valueMeta"]["tag"].as_array();
            list.into_iter().flatten().map(|tag| tag["code"].as_str().unwrap().to_owned()).collect()
        };
        let get = |token: String, path: &'static str| async move {
            let answer = api.get(&token, path).await.is(200).json();
            assert!(candor::fhir::validate::validate(&answer).is_empty(), "{answer}");
            answer
        };
        let whole = get(SYSTEM.to_owned(), "$meta").await;
        assert_eq!(tags(&whole), ["a", "b", "c", "only-q", "bare"]);
        let meta = &whole["parameter"][0]["valueMeta"];
        assert_eq!(meta["profile"], json!(["http://example.org/o|1.0", "http://example.org/p"]));
        assert!(meta["security"].to_string().contains("PSYTHPN"));
        let typed = get(SYSTEM.to_owned(), "Observation/$meta").await;
        assert_eq!(tags(&typed), ["b", "c", "only-q", "bare"]);
        assert!(typed["parameter"][0]["valueMeta"].get("security").is_none());
        // Only what the viewer sees has labels.
        let own = get(patient("p"), "$meta").await;
        assert_eq!(tags(&own), ["a", "b", "c", "bare"]);
        assert!(!own.to_string().contains("PSYTHPN"));
        assert_eq!(tags(&get("system;;system/Patient.rs".to_owned(), "$meta").await), ["a", "b"]);
        let none = get(SYSTEM.to_owned(), "Basic/$meta").await;
        assert_eq!(none, json!({"resourceType": "Parameters"}));
        let posted = api.post(SYSTEM, "$meta", &json!({"resourceType": "Parameters"})).await.is(200);
        assert_eq!(posted.json(), whole);
        api.get("system;;system/Patient.r", "$meta").await.issue(403);
        api.get("system;;system/Patient.rs", "Observation/$meta").await.issue(403);
        api.get(SYSTEM, "$meta?colour=red").await.issue(400);
    }

    async fn the_last_observations_of_each_code(api: &Api) {
        record(api).await;
        let mut other = an_observation("other", "p");
        other["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "2345-7"}]});
        other["category"] = json!([{"coding": [{"code": "vital-signs"}]}]);
        other["effectiveDateTime"] = "2026-10-01T14:00:00Z".into();
        api.put(SYSTEM, &other).await.is(201);
        let last = |token: String, query: &'static str| async move {
            let path = format!("Observation/$lastn?{query}");
            let answer = api.get(&token, &path).await.is(200).json();
            assert_eq!(answer["total"], answer["entry"].as_array().map_or(0, Vec::len));
            addresses(&answer, "match")
        };
        let system = || SYSTEM.to_owned();
        assert_eq!(last(system(), "patient=p").await, ["Observation/o3", "Observation/other"]);
        assert_eq!(last(patient("p"), "max=2").await,
            ["Observation/o2", "Observation/o3", "Observation/other"]);
        assert_eq!(last(system(), "subject=Patient/p&category=laboratory&max=9").await,
            ["Observation/o1", "Observation/o2", "Observation/o3"]);
        assert_eq!(last(system(), "patient=Patient/p&code=http://loinc.org|2345-7").await,
            ["Observation/other"]);
        assert_eq!(last(system(), "patient=p&date=lt2026-11-03").await,
            ["Observation/o2", "Observation/other"]);
        assert_eq!(last(patient("p"), "patient=q").await, Vec::<String>::new());
        let order = api.get(SYSTEM, "Observation/$lastn?patient=p&max=3").await.json();
        assert_eq!(order["entry"][0]["resource"]["id"], "o3");
        for token in [SYSTEM, &*patient("p")] {
            let mut pages = Vec::new();
            let mut path = "Observation/$lastn?patient=p&max=3&_count=1".to_owned();
            loop {
                let page = api.get(token, &path).await.is(200).json();
                assert!(page.get("total").is_none(), "{page}");
                pages.push(page["entry"][0]["resource"]["id"].clone());
                let Some(next) = next(&page) else { break };
                path = next;
            }
            let ids: Vec<Value> = order["entry"].as_array().unwrap().iter()
                .map(|entry| entry["resource"]["id"].clone()).collect();
            assert_eq!(pages, ids);
        }
        api.get(SYSTEM, "Observation/$lastn?patient=p&_cursor=x").await.issue(400);
        api.get(SYSTEM, "Observation/$lastn").await.issue(400);
        for bad in ["max=0", "max=x", "nonsense=1", "subject:Patient.name=x"] {
            api.get(SYSTEM, &format!("Observation/$lastn?patient=p&{bad}")).await.issue(400);
        }
        api.get("system;;system/Patient.rs", "Observation/$lastn?patient=p").await.issue(403);
        api.get(SYSTEM, "Patient/$lastn?patient=p").await.issue(404);
    }

    async fn observations_are_grouped_by_what_their_codes_mean(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let mut day = 0;
        let mut observe = |id: &str, code: Value| {
            day += 1;
            let mut one = an_observation(id, "p");
            one["code"] = code;
            one["effectiveDateTime"] = format!("2026-10-{day:02}").into();
            one["performer"] = json!([{"reference": "Practitioner/who"}]);
            one
        };
        let coded = |codes: &[&str]| {
            let codes: Vec<Value> = codes.iter()
                .map(|code| json!({"system": "http://loinc.org", "code": code})).collect();
            json!({"coding": codes})
        };
        let all = [
            observe("b", coded(&["b"])),
            observe("mood", json!({"text": "Mood"})),
            observe("bc", coded(&["b", "c"])),
            observe("c", coded(&["c"])),
            observe("gait", json!({"text": "Gait"})),
            observe("gait-2", json!({"text": "Gait"})),
            observe("gait-3", json!({"text": "gait"})),
            observe("d", coded(&["d"])),
        ];
        api.put(SYSTEM, &json!({"resourceType": "Practitioner", "id": "who"})).await.is(201);
        for one in all {
            api.put(SYSTEM, &one).await.is(201);
        }
        let last = async |query: &str| {
            let path = format!("Observation/$lastn?{query}");
            addresses(&api.get(SYSTEM, &path).await.is(200).json(), "match")
        };
        // As the definition's example has it, texts are compared to the letter.
        assert_eq!(last("subject:Patient=p").await, ["Observation/c", "Observation/d",
            "Observation/gait-2", "Observation/gait-3", "Observation/mood"]);
        assert_eq!(last("patient:Patient=Patient/p&max=2&code=http://loinc.org|b,http://loinc.org|c").await,
            ["Observation/bc", "Observation/c"]);
        let with = api
            .get(SYSTEM, "Observation/$lastn?patient=p&_include=Observation:performer&_count=1")
            .await.is(200).json();
        assert_eq!(addresses(&with, "match"), ["Observation/d"]);
        assert_eq!(addresses(&with, "include"), ["Practitioner/who"]);
        let next = next(&with).unwrap();
        let page = api.get(SYSTEM, &next).await.is(200).json();
        assert_eq!(addresses(&page, "include"), ["Practitioner/who"]);
        let narrow = "system;;system/Observation.rs system/Patient.rs";
        let none = api
            .get(narrow, "Observation/$lastn?patient=p&_include=Observation:performer")
            .await.is(200).json();
        assert_eq!(addresses(&none, "include"), Vec::<String>::new());
        for whose in ["p", "nobody"] {
            let path = format!("Observation/$lastn?patient={whose}&_include=Observation:nonsense");
            api.get(SYSTEM, &path).await.issue(400);
        }
    }

    async fn what_is_withheld_is_not_ranked(api: &Api) {
        record(api).await;
        api.put(SYSTEM, &json!({"resourceType": "ResearchStudy", "id": "s", "status": "active"})).await;
        // Launched for q, a clinician sees q's results only, and the last of those.
        let token = "clinician;q;patient/*.rs";
        let own = api.get(token, "Observation/$lastn").await.is(200).json();
        assert_eq!(addresses(&own, "match"), ["Observation/of-q"]);
        let narrow = "patient;p;patient/Observation.rs?category=vital-signs";
        let none = api.get(narrow, "Observation/$lastn?patient=p").await.is(200).json();
        assert_eq!(none["total"], 0);
    }

    async fn documents_of_a_patient(api: &Api) {
        record(api).await;
        let document = |id: &str, start: &str, code: &str| {
            json!({"resourceType": "DocumentReference", "id": id, "status": "current",
                "type": {"coding": [{"system": "http://loinc.org", "code": code}]},
                "subject": {"reference": "Patient/p"}, "date": format!("{start}T12:00:00Z"),
                "content": [{"attachment": {"contentType": "text/plain", "data": "Tm90ZQ=="}}],
                "context": {"period": {"start": start, "end": start}}})
        };
        api.put(SYSTEM, &document("ccd", "2026-10-01", "34133-9")).await.is(201);
        api.put(SYSTEM, &document("summary", "2026-11-01", "18842-5")).await.is(201);
        let find = |token: String, query: &'static str| async move {
            let path = format!("DocumentReference/$docref?{query}");
            addresses(&api.get(&token, &path).await.is(200).json(), "match")
        };
        let system = || SYSTEM.to_owned();
        assert_eq!(find(system(), "patient=p").await,
            ["DocumentReference/ccd", "DocumentReference/psy-note", "DocumentReference/summary"]);
        assert_eq!(find(patient("p"), "patient=p").await,
            ["DocumentReference/ccd", "DocumentReference/summary"]);
        assert_eq!(find(system(), "patient=p&type=http://loinc.org|34133-9").await,
            ["DocumentReference/ccd"]);
        assert_eq!(find(system(), "patient=p&start=2026-10-15&end=2026-11-15").await,
            ["DocumentReference/summary"]);
        let asked = json!({"resourceType": "Parameters", "parameter": [
            {"name": "patient", "valueId": "p"}, {"name": "on-demand", "valueBoolean": true}]});
        let answer = api.post(SYSTEM, "DocumentReference/$docref", &asked).await.is(200).json();
        assert_eq!(addresses(&answer, "match").len(), 3);
        assert!(answer.to_string().contains("not generated on demand"));
        api.get(SYSTEM, "DocumentReference/$docref").await.issue(400);
        api.get(SYSTEM, "DocumentReference/$docref?patient=p&nonsense=1").await.issue(400);
    }

    async fn labels_are_read_added_and_taken_away(api: &Api) {
        record(api).await;
        let tag = json!({"system": "urn:tags", "code": "seen"});
        let labels = json!({"resourceType": "Parameters", "parameter": [
            {"name": "meta", "valueMeta": {"tag": [tag], "profile": ["http://example.org/p"]}}]});
        let meta = api.get(&patient("p"), "Observation/o1/$meta").await.is(200);
        assert_eq!(meta.header("etag"), Some("W/\"1\""));
        assert_eq!(meta.json()["parameter"][0]["valueMeta"]["versionId"], "1");
        let added = api.post(SYSTEM, "Observation/o1/$meta-add", &labels).await.is(200).json();
        assert_eq!(added["parameter"][0]["valueMeta"]["tag"], json!([tag]));
        assert_eq!(added["parameter"][0]["valueMeta"]["versionId"], "2");
        let found = api.get(SYSTEM, "Observation?_tag=urn:tags|seen").await.json();
        assert_eq!(found["total"], 1);
        let again = api.post(SYSTEM, "Observation/o1/$meta-add", &labels).await.is(200).json();
        assert_eq!(again["parameter"][0]["valueMeta"]["tag"], json!([tag]));
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"request": {"method": "POST", "url": "Observation/o1/$meta-delete"}, "resource": labels},
            {"request": {"method": "POST", "url": "Observation/o2/$meta-add"}, "resource": labels}]});
        let answer = api.post(SYSTEM, "", &bundle).await.is(200).json();
        assert!(answer["entry"][0]["resource"]["parameter"][0]["valueMeta"].get("tag").is_none());
        let found = api.get(SYSTEM, "Observation?_tag=urn:tags|seen").await.json();
        assert_eq!(addresses(&found, "match"), ["Observation/o2"]);
        api.post(&patient("p"), "Observation/o1/$meta-add", &labels).await.issue(403);
        let unknown = api.post(CLINICIAN, "DocumentReference/unknown/$meta-add", &labels).await;
        same(&api.post(CLINICIAN, "DocumentReference/psy-note/$meta-add", &labels).await, &unknown);
        unknown.issue(404);
        for bad in [a_patient("p"), json!({"resourceType": "Parameters"})] {
            api.post(SYSTEM, "Observation/o1/$meta-add", &bad).await.issue(400);
        }
        // A version has labels that can be asked for and not changed.
        for answer in [
            api.get(SYSTEM, "Observation/o1/_history/2/$meta").await,
            api.call(SYSTEM, "POST", "Observation/o1/_history/2/$meta").send().await,
        ] {
            let meta = answer.is(200).json()["parameter"][0]["valueMeta"].clone();
            assert_eq!((&meta["versionId"], &meta["tag"]), (&json!("2"), &json!([tag])));
        }
        for name in ["$meta-add", "$meta-delete"] {
            let path = format!("Observation/o1/_history/2/{name}");
            let (code, words, _) = api.post(SYSTEM, &path, &labels).await.issue(405);
            assert_eq!(code, "not-supported");
            assert!(words.contains("version"), "{words}");
        }
        api.get(&patient("q"), "Observation/o1/_history/2/$meta").await.issue(404);
        api.get(SYSTEM, "Observation/o1/_history/9/$meta").await.issue(404);
        api.get(SYSTEM, "Observation/o1/_history/2/$nonsense").await.issue(404);
        let answer = api.get(SYSTEM, "Observation/o1/$meta-add").await.is(405);
        assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
        api.get(&patient("p"), "DocumentReference/psy-note/$meta").await.issue(404);
    }

    async fn a_resource_is_converted_without_being_stored(api: &Api) {
        let xml = api
            .call(SYSTEM, "POST", "$convert")
            .header("accept", "application/fhir+xml")
            .json(&a_patient("p"))
            .send()
            .await
            .is(200);
        assert!(xml.text().contains("<Patient xmlns"), "{}", xml.text());
        let back = api
            .call(SYSTEM, "POST", "$convert?_format=json")
            .body("application/fhir+xml", xml.body)
            .send()
            .await
            .is(200)
            .json();
        assert_eq!(back, a_patient("p"));
        api.get(SYSTEM, "Patient/p").await.is(404);
        api.call(SYSTEM, "POST", "$convert").send().await.issue(400);
        api.get(SYSTEM, "$convert").await.is(405);
    }

    async fn validation_knows_its_modes_and_names_what_it_did_not_check(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let issues = |answer: Value| -> Vec<String> {
            answer["issue"].as_array().unwrap().iter()
                .map(|issue| format!("{} {}", issue["severity"].as_str().unwrap(), issue["diagnostics"].as_str().unwrap_or("")))
                .collect()
        };
        let update = api.post(SYSTEM, "Patient/$validate?mode=update", &json!({"resourceType": "Patient"}))
            .await.is(200).json();
        assert!(issues(update)[0].starts_with("error An update needs the id"));
        let other = api.post(SYSTEM, "Patient/p/$validate?mode=update", &a_patient("q")).await.is(200).json();
        assert!(issues(other)[0].starts_with("error The id"));
        let profile = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient";
        let asked = api.get(SYSTEM, &format!("Patient/p/$validate?profile={profile}")).await.is(200).json();
        let asked = issues(asked);
        let unchecked = asked.iter().find(|issue| issue.contains(profile)).unwrap();
        assert!(unchecked.starts_with("error"), "{unchecked}");
        let base = "http://hl7.org/fhir/StructureDefinition/Patient";
        let asked = api.get(SYSTEM, &format!("Patient/p/$validate?profile={base}")).await.is(200).json();
        assert!(issues(asked).iter().all(|issue| !issue.starts_with("error")));
        let broken = json!({"resourceType": "Patient", "contact": [{"gender": "male"}]});
        let broken = issues(api.post(SYSTEM, "Patient/$validate", &broken).await.is(200).json());
        assert!(broken.iter().any(|issue| issue.starts_with("error pat-1: ")), "{broken:?}");
        api.post(SYSTEM, "Patient", &json!({"resourceType": "Patient", "contact": [{"gender": "male"}]}))
            .await.is(201);
        let gone = api.get(SYSTEM, "Patient/p/$validate?mode=delete").await.is(200).json();
        assert!(issues(gone)[0].starts_with("information"));
        let refused = api.get(&patient("p"), "Patient/p/$validate?mode=delete").await.is(200).json();
        assert!(issues(refused)[0].starts_with("error"));
        let mode = json!({"resourceType": "Parameters", "parameter": [{"name": "mode", "valueCode": "delete"}]});
        let sent = api.post(SYSTEM, "Patient/p/$validate", &mode).await.is(200).json();
        assert!(issues(sent)[0].starts_with("information It can be deleted"));
        let bare = api.call(SYSTEM, "POST", "Patient/p/$validate?mode=delete").send().await.is(200).json();
        assert!(issues(bare)[0].starts_with("information It can be deleted"));
        let refused = api.post(&patient("p"), "Patient/p/$validate", &mode).await.is(200).json();
        assert!(issues(refused)[0].starts_with("error"));
        api.post(SYSTEM, "Patient/unknown/$validate", &mode).await.issue(404);
        api.post(SYSTEM, "Patient/$validate", &mode).await.issue(400);
        api.post(SYSTEM, "Patient/$validate?mode=brew", &a_patient("q")).await.issue(400);
        api.post(SYSTEM, "Patient/unknown/$validate", &a_patient("unknown")).await.issue(404);
    }
}
