//! Conditional create, update and delete, and conditional references.

use serde_json::{Value, json};

use candor::rest::{ConditionalDelete, Limits};

use crate::rest_support::{Api, SYSTEM, a_patient, an_observation, each_api, without_id};
use crate::support::Database;

fn with_number(number: &str) -> Value {
    let mut resource = without_id(a_patient(""));
    resource["identifier"] = json!([{"system": "urn:mrn", "value": number}]);
    resource
}

each_api! {
    async fn a_create_finds_what_is_there(api: &Api) {
        let create = |number: &'static str, criteria: &'static str| {
            api.call(SYSTEM, "POST", "Patient")
                .header("if-none-exist", criteria)
                .json(&with_number(number))
                .send()
        };
        let first = create("1", "identifier=urn:mrn|1").await.is(201);
        let again = create("1", "identifier=urn:mrn|1").await.is(200);
        assert_eq!(again.id(), first.id());
        assert_eq!(again.header("etag"), Some("W/\"1\""));
        create("1", "?identifier=urn:mrn|2").await.is(201);
        let (code, words, _) = create("1", "identifier=urn:mrn|1").await.issue(412);
        assert_eq!(code, "multiple-matches");
        assert!(words.contains("more than one"));
        for nothing in ["", "identifier=", "_format=json", "nonsense=1"] {
            let answer = create("9", nothing).await;
            assert!(
                answer.status == 412 || answer.status == 400,
                "{nothing}: {}",
                answer.status
            );
        }
    }

    async fn an_update_finds_its_resource(api: &Api) {
        let update = |resource: Value, criteria: &str| {
            api.call(SYSTEM, "PUT", &format!("Patient?{criteria}"))
                .json(&resource)
                .send()
        };
        let created = update(with_number("1"), "identifier=urn:mrn|1").await.is(201);
        let updated = update(with_number("1"), "identifier=urn:mrn|1").await.is(200);
        assert_eq!(updated.id(), created.id());
        assert_eq!(updated.header("etag"), Some("W/\"2\""));
        let mut other = with_number("1");
        other["id"] = "other".into();
        update(other.clone(), "identifier=urn:mrn|1").await.issue(400);
        // Nothing matches: the id that was sent is taken.
        let named = update(other, "identifier=urn:mrn|7").await.is(201);
        assert_eq!(named.id(), "other");
        update(with_number("1"), "identifier=urn:mrn|1").await.issue(412);
        update(with_number("1"), "").await.issue(412);
    }

    async fn an_update_that_finds_nothing_overwrites_nothing(api: &Api) {
        api.put(SYSTEM, &a_patient("other")).await.is(201);
        let mut body = with_number("7");
        body["id"] = "other".into();
        let url = "Patient?identifier=urn:mrn|7";
        let (code, words, at) = api.call(SYSTEM, "PUT", url).json(&body).send().await.issue(409);
        assert_eq!((code.as_str(), at.as_str()), ("conflict", "Patient.id"), "{words}");
        for kind in ["transaction", "batch"] {
            let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": [
                {"request": {"method": "PUT", "url": url}, "resource": body}]});
            let answer = api.post(SYSTEM, "", &bundle).await;
            if kind == "transaction" {
                let (_, _, at) = answer.issue(409);
                assert_eq!(at, "Bundle.entry[0].resource.id");
            } else {
                let status = answer.is(200).json()["entry"][0]["response"]["status"].clone();
                assert_eq!(status, "409 Conflict");
            }
        }
        // Whoever sees only part of the record gets what an unknown id gets, as ever.
        let narrow = "system;;system/Patient.cruds?gender=male";
        let hidden = api.call(narrow, "PUT", url).json(&body).send().await;
        body["id"] = "nobody".into();
        let unknown = api.call(narrow, "PUT", url).json(&body).send().await;
        assert_eq!((hidden.status, &hidden.body), (unknown.status, &unknown.body));
        unknown.issue(405);
        let read = api.get(SYSTEM, "Patient/other").await.is(200);
        assert_eq!(read.header("etag"), Some("W/\"1\""));
        // What matched nothing has no version.
        api.call(SYSTEM, "PUT", url).header("if-match", "W/\"1\"").json(&body).send().await.issue(412);
        api.get(SYSTEM, "Patient/nobody").await.is(404);
        // What was deleted is no other resource.
        api.call(SYSTEM, "DELETE", "Patient/other").send().await.is(204);
        body["id"] = "other".into();
        api.call(SYSTEM, "PUT", url).json(&body).send().await.is(201);
    }

    async fn a_delete_finds_one_or_none(api: &Api) {
        for number in ["1", "2", "2"] {
            api.post(SYSTEM, "Patient", &with_number(number)).await.is(201);
        }
        let delete = |criteria: &'static str| {
            api.call(SYSTEM, "DELETE", &format!("Patient?{criteria}")).send()
        };
        delete("identifier=urn:mrn|2").await.issue(412);
        delete("identifier=urn:mrn|9").await.is(204);
        delete("identifier=urn:mrn|1").await.is(204);
        delete("identifier=urn:mrn|1").await.is(204);
        delete("").await.issue(412);
        let left = api.get(SYSTEM, "Patient?identifier=urn:mrn|1").await.is(200).json();
        assert_eq!(left["total"], 0);
    }

    async fn conditions_see_what_the_viewer_sees(api: &Api) {
        api.put(SYSTEM, &a_patient("a")).await.is(201);
        api.put(SYSTEM, &a_patient("b")).await.is(201);
        let mut foreign = an_observation("foreign", "b");
        foreign["identifier"] = json!([{"system": "urn:lab", "value": "7"}]);
        api.put(SYSTEM, &foreign).await.is(201);
        // Launched for a: b's result does not exist, so it cannot be what is found.
        let token = "clinician;a;patient/*.cruds";
        let mut own = without_id(an_observation("", "a"));
        own["identifier"] = foreign["identifier"].clone();
        api.call(token, "POST", "Observation")
            .header("if-none-exist", "identifier=urn:lab|7")
            .json(&own)
            .send()
            .await
            .is(201);
        api.call(token, "POST", "Observation")
            .header("if-none-exist", "identifier=urn:lab|7")
            .json(&own)
            .send()
            .await
            .is(200);
        api.call("system;;system/Observation.c", "POST", "Observation")
            .header("if-none-exist", "identifier=urn:lab|7")
            .json(&own)
            .send()
            .await
            .issue(403);
    }

    async fn references_are_resolved_by_condition(api: &Api) {
        let sent = |criteria: &str| {
            let mut observation = without_id(an_observation("", "x"));
            observation["subject"]["reference"] = format!("Patient?{criteria}").into();
            json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                {"request": {"method": "POST", "url": "Observation"}, "resource": observation},
            ]})
        };
        let (_, _, at) = api
            .post(SYSTEM, "", &sent("identifier=urn:mrn|1"))
            .await
            .issue(400);
        assert_eq!(at, "Bundle.entry[0].resource.subject.reference");
        let known = api.post(SYSTEM, "Patient", &with_number("1")).await.is(201).id();
        let answer = api
            .post(SYSTEM, "", &sent("identifier=urn:mrn|1"))
            .await
            .is(200)
            .json();
        let location = answer["entry"][0]["response"]["location"].as_str().unwrap();
        let read = api.get(SYSTEM, location).await.is(200).json();
        assert_eq!(read["subject"]["reference"], format!("Patient/{known}"));
        // What the same bundle creates is found as well.
        let mut both = sent("identifier=urn:mrn|2");
        both["entry"].as_array_mut().unwrap().push(json!({
            "request": {"method": "POST", "url": "Patient",
                "ifNoneExist": "identifier=urn:mrn|2"},
            "resource": with_number("2"),
        }));
        let answer = api.post(SYSTEM, "", &both).await.is(200).json();
        let location = answer["entry"][0]["response"]["location"].as_str().unwrap();
        let read = api.get(SYSTEM, location).await.is(200).json();
        let subject = read["subject"]["reference"].as_str().unwrap();
        let patient = answer["entry"][1]["response"]["location"].as_str().unwrap();
        assert!(patient.starts_with(subject), "{patient} {subject}");
        // Again: the patient is found, the observation is new.
        let answer = api.post(SYSTEM, "", &both).await.is(200).json();
        assert_eq!(answer["entry"][0]["response"]["status"], "201 Created");
        assert_eq!(answer["entry"][1]["response"]["status"], "200 OK");
        api.post(SYSTEM, "Patient", &with_number("1")).await.is(201);
        let (code, _, at) = api
            .post(SYSTEM, "", &sent("identifier=urn:mrn|1"))
            .await
            .issue(400);
        assert_eq!(code, "multiple-matches");
        assert_eq!(at, "Bundle.entry[0].resource.subject.reference");
    }

    async fn the_same_condition_twice_creates_once(api: &Api) {
        let entry = json!({
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:mrn|1"},
            "resource": with_number("1"),
        });
        let answer = api
            .post(SYSTEM, "", &json!({"resourceType": "Bundle", "type": "transaction",
                "entry": [entry, entry]}))
            .await
            .is(200)
            .json();
        let location = |entry: usize| answer["entry"][entry]["response"]["location"].clone();
        assert_eq!(location(0), location(1));
        assert_eq!(answer["entry"][0]["response"]["status"], "201 Created");
        assert_eq!(answer["entry"][1]["response"]["status"], "200 OK");
        let found = api.get(SYSTEM, "Patient").await.is(200).json();
        assert_eq!(found["total"], 1);
    }

    async fn what_a_transaction_deletes_matches_no_condition_of_it(api: &Api) {
        for id in ["y1", "y2", "y3"] {
            let mut one = with_number("1");
            one["id"] = json!(id);
            api.put(SYSTEM, &one).await.is(201);
        }
        let delete = |id: &str| json!({"request": {"method": "DELETE", "url": format!("Patient/{id}")}});
        let create = json!({
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:mrn|1"},
            "resource": with_number("1"),
        });
        // Two are left, one is, none is.
        for (deleted, status) in [
            (vec!["y1"], None),
            (vec!["y1", "y2"], Some("200 OK")),
            (vec!["y3"], Some("201 Created")),
        ] {
            let mut entries: Vec<Value> = deleted.iter().map(|id| delete(id)).collect();
            entries.push(create.clone());
            let answer = api
                .post(SYSTEM, "", &json!({"resourceType": "Bundle", "type": "transaction",
                    "entry": entries}))
                .await;
            match status {
                None => {
                    let (code, ..) = answer.issue(412);
                    assert_eq!(code, "multiple-matches");
                }
                Some(status) => {
                    let answer = answer.is(200).json();
                    assert_eq!(answer["entry"][deleted.len()]["response"]["status"], status);
                }
            }
        }
    }

    async fn two_updates_under_one_condition_are_refused(api: &Api) {
        let put = |criteria: &str| {
            json!({
                "request": {"method": "PUT", "url": format!("Patient?{criteria}")},
                "resource": with_number("1"),
            })
        };
        let create = json!({
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:mrn|1"},
            "resource": with_number("1"),
        });
        // The same in another spelling, and a creation beside an update.
        for (one, two) in [
            (put("identifier=urn:mrn|1"), put("identifier=urn:mrn|1")),
            (put("identifier=urn:mrn|1&gender=female"), put("gender=female&identifier=urn%3Amrn%7C1")),
            (create, put("identifier=urn:mrn|1")),
        ] {
            let (code, ..) = api
                .post(SYSTEM, "", &json!({"resourceType": "Bundle", "type": "transaction",
                    "entry": [one, two]}))
                .await
                .issue(400);
            assert_eq!(code, "duplicate");
            let found = api.get(SYSTEM, "Patient").await.is(200).json();
            assert_eq!(found["total"], 0);
        }
    }

    async fn references_are_resolved_by_any_condition_within_the_bundle(api: &Api) {
        let bundle = |criteria: &str| {
            let mut observation = without_id(an_observation("", "x"));
            observation["subject"]["reference"] = format!("Patient?{criteria}").into();
            json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                {"request": {"method": "POST", "url": "Observation"}, "resource": observation},
                {"request": {"method": "POST", "url": "Patient"}, "resource": with_number("1")},
            ]})
        };
        let answer = api
            .post(SYSTEM, "", &bundle("family=ruiz&gender=female"))
            .await
            .is(200)
            .json();
        let location = |entry: usize| answer["entry"][entry]["response"]["location"].as_str().unwrap();
        let read = api.get(SYSTEM, location(0)).await.is(200).json();
        let subject = read["subject"]["reference"].as_str().unwrap();
        assert!(location(1).starts_with(subject), "{subject}");
        assert_eq!(read["meta"]["versionId"], "1");
        // One there and one here are two.
        let (code, _, at) = api.post(SYSTEM, "", &bundle("family=ruiz&gender=female")).await.issue(400);
        assert_eq!(code, "multiple-matches");
        assert_eq!(at, "Bundle.entry[0].resource.subject.reference");
        let (code, ..) = api.post(SYSTEM, "", &bundle("family=nobody")).await.issue(400);
        assert_eq!(code, "not-found");
        let found = api.get(SYSTEM, "Patient").await.is(200).json();
        assert_eq!(found["total"], 1);
    }

    async fn creates_that_meet_make_one_resource(api: &Api) {
        let create = |_| {
            api.call(SYSTEM, "POST", "Patient")
                .header("if-none-exist", "identifier=urn:mrn|1")
                .json(&with_number("1"))
                .send()
        };
        let answers = futures_util::future::join_all((0..8).map(create)).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.status.is_success()));
        let found = api.get(SYSTEM, "Patient").await.is(200).json();
        assert_eq!(found["total"], 1);
    }

    async fn of_updates_that_meet_one_wins(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let update = |_| {
            api.call(SYSTEM, "PUT", "Patient/p")
                .header("if-match", "W/\"1\"")
                .json(&a_patient("p"))
                .send()
        };
        let answers = futures_util::future::join_all((0..8).map(update)).await;
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.status == 200 || answer.status == 412));
        // New ids that meet: one creates, the others update.
        let new = an_observation("new", "p");
        let put = |_| api.put(SYSTEM, &new);
        let answers = futures_util::future::join_all((0..8).map(put)).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.status.is_success()), "{answers:?}");
    }
}

/// A server that deletes all matches.
async fn deletes_all(database: Database) {
    let limits = Limits {
        conditional_delete: ConditionalDelete::Multiple,
        ..Limits::default()
    };
    let api = Api::with(database, limits).await;
    let statement = api.bare("GET", "metadata").send().await.is(200).json();
    let resource = &statement["rest"][0]["resource"][0];
    assert_eq!(resource["conditionalDelete"], "multiple");
    for number in ["1", "2", "2", "2"] {
        api.post(SYSTEM, "Patient", &with_number(number))
            .await
            .is(201);
    }
    let delete = |criteria: &'static str| {
        api.call(SYSTEM, "DELETE", &format!("Patient?{criteria}"))
            .send()
    };
    delete("identifier=urn:mrn|9").await.is(204);
    delete("identifier=urn:mrn|2").await.is(204);
    let left = api.get(SYSTEM, "Patient").await.is(200).json();
    assert_eq!(left["total"], 1);
    delete("").await.issue(412);
    delete("nonsense=1").await.issue(400);
    api.stop().await;
}

#[tokio::test]
async fn a_conditional_delete_of_several_sqlite() {
    deletes_all(Database::Sqlite).await;
}

#[tokio::test]
async fn a_conditional_delete_of_several_postgres() {
    if Database::Postgres.is_there() {
        deletes_all(Database::Postgres).await;
    }
}

/// A server that wants references to lead somewhere.
async fn checks_references(database: Database) {
    let limits = Limits {
        check_references: true,
        ..Limits::default()
    };
    let api = Api::with(database, limits).await;
    let (code, _, at) = api.put(SYSTEM, &an_observation("o", "p")).await.issue(422);
    assert_eq!(
        (code.as_str(), at.as_str()),
        ("not-found", "Observation.subject.reference")
    );
    let entry = |resource: Value| {
        let url = format!(
            "{}/{}",
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        json!({"request": {"method": "PUT", "url": url}, "resource": resource})
    };
    let bundle = |entries: &[Value]| json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    // What comes along exists; what goes does not.
    let both = bundle(&[entry(an_observation("o", "p")), entry(a_patient("p"))]);
    api.post(SYSTEM, "", &both).await.is(200);
    let parting = bundle(&[
        entry(an_observation("o2", "p")),
        json!({"request": {"method": "DELETE", "url": "Patient/p"}}),
    ]);
    let (_, _, at) = api.post(SYSTEM, "", &parting).await.issue(422);
    assert_eq!(at, "Bundle.entry[0].resource.subject.reference");
    // Withheld is as unknown.
    api.put(SYSTEM, &crate::rest_support::a_psychologist())
        .await
        .is(201);
    api.put(
        SYSTEM,
        &crate::rest_support::a_psychotherapy_note("psy-note", "p"),
    )
    .await
    .is(201);
    let of = |id: &str| {
        let mut list = json!({"resourceType": "List", "status": "current", "mode": "working",
            "subject": {"reference": "Patient/p"}});
        list["entry"] = json!([{"item": {"reference": format!("DocumentReference/{id}")}}]);
        list
    };
    let clinician = crate::rest_support::CLINICIAN;
    let held = api.post(clinician, "List", &of("psy-note")).await;
    let unknown = api.post(clinician, "List", &of("unknown")).await;
    assert_eq!((held.status, &held.body), (unknown.status, &unknown.body));
    unknown.issue(422);
    api.post(SYSTEM, "List", &of("psy-note")).await.is(201);
    api.stop().await;
}

#[tokio::test]
async fn references_that_are_checked_sqlite() {
    checks_references(Database::Sqlite).await;
}

#[tokio::test]
async fn references_that_are_checked_postgres() {
    if Database::Postgres.is_there() {
        checks_references(Database::Postgres).await;
    }
}
