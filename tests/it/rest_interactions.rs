//! read, vread, create, update, delete and history over HTTP.

use serde_json::{Value, json};

use crate::rest_support::{BASE, SYSTEM, a_patient, an_observation, each_api, patient, without_id};

each_api! {
    async fn what_is_created_is_read_in_the_bytes_that_were_stored(api: &Api) {
        let sent = without_id(an_observation("", "p")).to_string();
        let sent = sent.replace("13.5", "13.50");
        let created = api
            .call(SYSTEM, "POST", "Observation")
            .body("application/fhir+json", sent)
            .send()
            .await
            .is(201);
        let id = created.id();
        assert_eq!(created.header("etag"), Some("W/\"1\""));
        assert_eq!(
            created.header("last-modified"),
            Some("Tue, 10 Nov 2026 15:00:00 GMT")
        );
        assert_eq!(
            created.header("location"),
            Some(format!("{BASE}/Observation/{id}/_history/1").as_str())
        );
        let read = api.get(SYSTEM, &format!("Observation/{id}")).await.is(200);
        assert_eq!(read.body, created.body);
        assert_eq!(
            read.header("content-type"),
            Some("application/fhir+json; charset=utf-8")
        );
        assert_eq!(read.header("cache-control"), Some("no-store"));
        // A decimal keeps its digits.
        assert!(read.text().contains("\"value\":13.50"), "{}", read.text());
        assert_eq!(read.json()["meta"]["versionId"], "1");
    }

    async fn head_has_the_headers_of_get_and_no_body(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let get = api.get(SYSTEM, "Patient/p").await.is(200);
        let head = api.call(SYSTEM, "HEAD", "Patient/p").send().await.is(200);
        assert!(head.body.is_empty());
        assert_eq!(head.headers, get.headers);
        let missing = api.call(SYSTEM, "HEAD", "Patient/q").send().await.is(404);
        assert!(missing.body.is_empty());
    }

    async fn an_update_makes_a_version_and_old_ones_stay(api: &Api) {
        let mut resource = a_patient("p");
        api.put(SYSTEM, &resource).await.is(201);
        api.pass(60_000);
        resource["gender"] = "other".into();
        let updated = api.put(SYSTEM, &resource).await.is(200);
        assert_eq!(updated.header("etag"), Some("W/\"2\""));
        let first = api.get(SYSTEM, "Patient/p/_history/1").await.is(200);
        assert_eq!(first.json()["gender"], "female");
        assert_eq!(first.header("etag"), Some("W/\"1\""));
        let second = api.get(SYSTEM, "Patient/p/_history/2").await.is(200);
        assert_eq!(second.body, updated.body);
        for nothing in ["3", "0", "-1", "x", "99999999999999"] {
            api.get(SYSTEM, &format!("Patient/p/_history/{nothing}"))
                .await
                .is(404);
        }
    }

    async fn the_id_in_the_body_must_be_the_one_in_the_address(api: &Api) {
        let put = |resource: Value| api.call(SYSTEM, "PUT", "Patient/p").json(&resource).send();
        let (_, _, at) = put(a_patient("q")).await.issue(400);
        assert_eq!(at, "Patient.id");
        let (_, _, at) = put(without_id(a_patient("p"))).await.issue(400);
        assert_eq!(at, "Patient.id");
        let (_, _, at) = put(json!({"resourceType": "Observation", "id": "p"}))
            .await
            .issue(400);
        assert_eq!(at, "resourceType");
    }

    async fn deletion_is_idempotent_and_says_the_same_for_nothing(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let real = api.call(SYSTEM, "DELETE", "Patient/p").send().await.is(204);
        let again = api.call(SYSTEM, "DELETE", "Patient/p").send().await.is(204);
        let never = api.call(SYSTEM, "DELETE", "Patient/q").send().await.is(204);
        assert_eq!(real.headers, again.headers);
        assert_eq!(real.headers, never.headers);
        let (code, ..) = api.get(SYSTEM, "Patient/p").await.issue(410);
        assert_eq!(code, "deleted");
        api.get(SYSTEM, "Patient/q").await.is(404);
        api.get(SYSTEM, "Patient/p/_history/1").await.is(200);
        // An update brings it back.
        let back = api.put(SYSTEM, &a_patient("p")).await.is(201);
        assert_eq!(back.header("etag"), Some("W/\"3\""));
    }

    async fn unknown_foreign_and_impossible_ids_are_one_answer(api: &Api) {
        api.put(SYSTEM, &a_patient("a")).await.is(201);
        api.put(SYSTEM, &a_patient("b")).await.is(201);
        api.put(SYSTEM, &an_observation("foreign", "b"))
            .await
            .is(201);
        let token = patient("a");
        let unknown = api.get(&token, "Observation/unknown").await.is(404);
        for path in [
            "Observation/foreign",
            "Observation/foreign/_history/1",
            "Observation/foreign/_history",
            "Observation/foreign/_history/7",
            "Observation/not%20an%20id",
            "Patient/b",
            "Patient/b/_history",
        ] {
            let answer = api.get(&token, path).await.is(404);
            assert_eq!(answer.headers, unknown.headers, "{path}");
            assert_eq!(answer.body, unknown.body, "{path}");
        }
        api.get(&token, "Patient/a").await.is(200);
    }

    async fn a_conditional_read_answers_304_to_who_has_the_version(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let read = |name: &'static str, value: &'static str| {
            api.call(SYSTEM, "GET", "Patient/p")
                .header(name, value)
                .send()
        };
        let same = read("if-none-match", "W/\"1\"").await.is(304);
        assert!(same.body.is_empty());
        assert_eq!(same.header("etag"), Some("W/\"1\""));
        read("if-none-match", "W/\"2\"").await.is(200);
        read("if-modified-since", "Tue, 10 Nov 2026 15:00:00 GMT")
            .await
            .is(304);
        read("if-modified-since", "Tue, 10 Nov 2026 14:59:59 GMT")
            .await
            .is(200);
        for old in ["Tuesday, 10-Nov-26 15:00:00 GMT", "Tue Nov 10 15:00:00 2026"] {
            read("if-modified-since", old).await.is(304);
        }
        // A date that is none is no condition (RFC 9110 section 13.1.3).
        read("if-modified-since", "yesterday").await.is(200);
    }

    async fn if_match_guards_against_lost_updates(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let put = |tag: &'static str| {
            api.call(SYSTEM, "PUT", "Patient/p")
                .header("if-match", tag)
                .json(&a_patient("p"))
                .send()
        };
        put("W/\"1\"").await.is(200);
        put("W/\"1\"").await.issue(412);
        put("nonsense").await.issue(400);
        api.call(SYSTEM, "PUT", "Patient/new")
            .header("if-match", "W/\"1\"")
            .json(&a_patient("new"))
            .send()
            .await
            .issue(412);
        api.call(SYSTEM, "DELETE", "Patient/p")
            .header("if-match", "W/\"1\"")
            .send()
            .await
            .issue(412);
        api.call(SYSTEM, "DELETE", "Patient/p")
            .header("if-match", "W/\"2\"")
            .send()
            .await
            .is(204);
        api.call(SYSTEM, "PUT", "Patient/only-new")
            .header("if-none-match", "*")
            .json(&a_patient("only-new"))
            .send()
            .await
            .is(201);
        let taken = api
            .call(SYSTEM, "PUT", "Patient/only-new")
            .header("if-none-match", "*")
            .json(&a_patient("only-new"))
            .send()
            .await;
        let (_, words, _) = taken.issue(412);
        assert!(words.contains("If-None-Match") && !words.contains("If-Match"), "{words}");
    }

    async fn if_match_of_anything_asks_that_it_exists(api: &Api) {
        let call = |method: &'static str, id: &'static str| {
            let call = api
                .call(SYSTEM, method, &format!("Patient/{id}"))
                .header("if-match", "*");
            if method == "PUT" { call.json(&a_patient(id)) } else { call }.send()
        };
        call("PUT", "p").await.issue(412);
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        call("PUT", "p").await.is(200);
        call("DELETE", "p").await.is(204);
        call("PUT", "p").await.issue(412);
        let entry = json!({"request": {"method": "PUT", "url": "Patient/q", "ifMatch": "*"},
            "resource": a_patient("q")});
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry]});
        api.post(SYSTEM, "", &bundle).await.issue(412);
    }

    async fn what_was_cut_down_is_not_put_back(api: &Api) {
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        let cut = api.get(SYSTEM, "Observation/o?_summary=true").await.is(200).json();
        let (code, words, at) = api.put(SYSTEM, &cut).await.issue(400);
        assert_eq!((code.as_str(), at.as_str()), ("business-rule", "Observation.meta.tag"));
        assert!(words.contains("SUBSETTED"));
        let entry = json!({"request": {"method": "PUT", "url": "Observation/o"}, "resource": cut});
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry]});
        let (_, _, at) = api.post(SYSTEM, "", &bundle).await.issue(400);
        assert_eq!(at, "Bundle.entry[0].resource.meta.tag");
        let stands = api.get(SYSTEM, "Observation/o").await.is(200).json();
        assert_eq!(stands["meta"]["versionId"], "1");
    }

    async fn history_since_a_time_is_404_for_nothing_at_all(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let late = "_since=2027-01-01T00:00:00Z";
        let empty = api.get(SYSTEM, &format!("Patient/p/_history?{late}")).await.is(200).json();
        assert!(empty.get("entry").is_none());
        api.get(SYSTEM, &format!("Patient/q/_history?{late}")).await.issue(404);
        // Of somebody else's record the same bytes.
        let foreign = api.get(&patient("x"), &format!("Patient/p/_history?{late}")).await;
        let unknown = api.get(&patient("x"), &format!("Patient/q/_history?{late}")).await;
        assert_eq!((foreign.status, &foreign.body), (unknown.status, &unknown.body));
        foreign.issue(404);
    }

    async fn history_tells_a_new_beginning_as_the_write_did(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &a_patient("p")).await.is(200);
        api.call(SYSTEM, "DELETE", "Patient/p").send().await.is(204);
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &a_patient("p")).await.is(200);
        let told = ["200 OK", "201 Created", "204 No Content", "200 OK", "201 Created"];
        for path in ["Patient/p/_history", "Patient/_history", "_history", "_history?_at=2026"] {
            let mut statuses = Vec::new();
            let mut next = format!("{path}{}_count=2", if path.contains('?') { "&" } else { "?" });
            loop {
                let page = api.get(SYSTEM, &next).await.is(200).json();
                for entry in page["entry"].as_array().unwrap() {
                    statuses.push(entry["response"]["status"].as_str().unwrap().to_owned());
                }
                let mut links = page["link"].as_array().unwrap().iter();
                match links.find(|link| link["relation"] == "next") {
                    None => break,
                    Some(link) => {
                        let url = link["url"].as_str().unwrap();
                        url[crate::rest_support::BASE.len()..].clone_into(&mut next);
                    }
                }
            }
            assert_eq!(statuses, told, "{path}");
        }
    }

    async fn prefer_chooses_what_a_write_answers(api: &Api) {
        let put = |prefer: &'static str| {
            api.call(SYSTEM, "PUT", "Patient/p")
                .header("prefer", prefer)
                .json(&a_patient("p"))
                .send()
        };
        let minimal = put("return=minimal").await.is(201);
        assert!(minimal.body.is_empty());
        assert!(minimal.header("location").is_some());
        let outcome = put("return=OperationOutcome").await.is(200);
        assert_eq!(outcome.json()["resourceType"], "OperationOutcome");
        let whole = put("return=representation").await.is(200);
        assert_eq!(whole.json()["id"], "p");
    }

    async fn structure_is_checked_with_its_place(api: &Api) {
        let bad = json!({"resourceType": "Observation", "status": "final", "colour": "red",
            "code": {"text": "x"}});
        let (_, _, at) = api.post(SYSTEM, "Observation", &bad).await.issue(400);
        assert!(at.starts_with("Observation"), "{at}");
        let missing = json!({"resourceType": "Observation", "code": {"text": "x"}});
        let (code, ..) = api.post(SYSTEM, "Observation", &missing).await.issue(400);
        assert_eq!(code, "required");
    }

    async fn history_pages_newest_first_and_keeps_its_instant(api: &Api) {
        let mut resource = a_patient("p");
        for number in 0..5 {
            resource["name"][0]["family"] = format!("Ruiz {number}").into();
            api.put(SYSTEM, &resource).await;
            api.pass(1000);
        }
        api.call(SYSTEM, "DELETE", "Patient/p").send().await.is(204);
        let mut versions = Vec::new();
        let mut path = "Patient/p/_history?_count=4".to_owned();
        loop {
            let page = api.get(SYSTEM, &path).await.is(200).json();
            assert_eq!(page["type"], "history");
            for entry in page["entry"].as_array().unwrap() {
                versions.push((
                    entry["response"]["etag"].as_str().unwrap().to_owned(),
                    entry["request"]["method"].as_str().unwrap().to_owned(),
                ));
                assert_eq!(entry["fullUrl"], format!("{BASE}/Patient/p"));
            }
            let links = page["link"].as_array().unwrap();
            let Some(next) = links.iter().find(|link| link["relation"] == "next") else {
                break;
            };
            path = next["url"].as_str().unwrap()[BASE.len()..].to_owned();
        }
        let expected: Vec<(String, String)> = (1..=6)
            .rev()
            .map(|version| {
                let method = if version == 6 { "DELETE" } else { "PUT" };
                (format!("W/\"{version}\""), method.to_owned())
            })
            .collect();
        assert_eq!(versions, expected);
        let since = api
            .get(SYSTEM, "Patient/_history?_since=2026-11-10T15:00:03Z")
            .await
            .is(200)
            .json();
        assert_eq!(since["entry"].as_array().unwrap().len(), 3);
        let system = api.get(SYSTEM, "_history?_count=2").await.is(200).json();
        assert_eq!(system["entry"].as_array().unwrap().len(), 2);
    }

    async fn history_takes_no_list(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        for path in ["_history?_list=l", "Patient/_history?_list=l", "Patient/p/_history?_list=l"] {
            let (code, words, _) = api.get(SYSTEM, path).await.issue(400);
            assert_eq!(code, "not-supported");
            assert!(words.contains("_since"), "{words}");
        }
    }

    async fn history_knows_what_was_current_when(api: &Api) {
        // Versions at 15:00:00, 15:00:10 and 15:00:20.
        for gender in ["female", "male", "other"] {
            let mut resource = a_patient("p");
            resource["gender"] = gender.into();
            api.put(SYSTEM, &resource).await;
            api.pass(10_000);
        }
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        let versions = |path: String| async move {
            let found = api.get(SYSTEM, &path).await.is(200).json();
            let entries = found["entry"].as_array().cloned().unwrap_or_default();
            entries
                .iter()
                .map(|entry| format!("{}/{}", entry["resource"]["id"].as_str().unwrap(),
                    entry["resource"]["meta"]["versionId"].as_str().unwrap()))
                .collect::<Vec<_>>()
        };
        for (at, expected) in [
            ("2026-11-10T15:00:05Z", vec!["p/1"]),
            ("2026-11-10T15:00:10Z", vec!["p/2"]),
            ("2026-11-10T16:00:00Z", vec!["p/3"]),
            ("2026-11-10T15:00:00Z", vec!["p/1"]),
            ("2026-11-10", vec!["p/3", "p/2", "p/1"]),
            ("2026-11-09", vec![]),
        ] {
            assert_eq!(versions(format!("Patient/p/_history?_at={at}")).await, expected, "{at}");
        }
        assert_eq!(versions("_history?_at=2026-11-10T16:00:00Z".to_owned()).await, ["o/1", "p/3"]);
        assert_eq!(versions("_history?_type=Observation".to_owned()).await, ["o/1"]);
        assert_eq!(versions("_history?_type=Patient,Observation&_since=2026-11-10T15:00:20Z".to_owned())
            .await, ["o/1", "p/3"]);
        let page = api.get(SYSTEM, "_history?_type=Patient&_count=2").await.is(200).json();
        let next = page["link"][1]["url"].as_str().unwrap();
        let next = next.strip_prefix(crate::rest_support::BASE).unwrap();
        assert_eq!(versions(next.to_owned()).await, ["p/1"]);
        api.get(SYSTEM, &next.replace("_type=Patient", "_type=Observation")).await.issue(400);
        for bad in ["_history?_at=yesterday", "_history?_type=Pateint", "Patient/_history?_type=Patient"] {
            api.get(SYSTEM, bad).await.issue(400);
        }
        api.get(SYSTEM, "Patient/unknown/_history?_at=2026-11-10").await.issue(404);
    }

    async fn a_cursor_of_another_viewer_or_request_is_refused(api: &Api) {
        for _ in 0..3 {
            api.put(SYSTEM, &a_patient("p")).await;
            api.pass(1000);
        }
        let page = api
            .get(SYSTEM, "Patient/p/_history?_count=1")
            .await
            .is(200)
            .json();
        let next = page["link"][1]["url"].as_str().unwrap();
        let cursor = next.split("_cursor=").nth(1).unwrap();
        let cursor = cursor.split('&').next().unwrap();
        let path = |cursor: &str| format!("Patient/p/_history?_count=1&_cursor={cursor}");
        api.get(SYSTEM, &path(cursor)).await.is(200);
        api.get(&patient("p"), &path(cursor)).await.issue(400);
        api.get(SYSTEM, &format!("Patient/_history?_cursor={cursor}"))
            .await
            .issue(400);
        let mut forged = cursor.to_owned();
        forged.replace_range(3..4, if &cursor[3..4] == "A" { "B" } else { "A" });
        api.get(SYSTEM, &path(&forged)).await.issue(400);
        for junk in [
            "",
            "A",
            "%C3%A9",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            api.get(SYSTEM, &path(junk)).await.issue(400);
        }
    }

    async fn views_cut_a_read_down(api: &Api) {
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        let cut = api
            .get(SYSTEM, "Observation/o?_elements=issued")
            .await
            .is(200)
            .json();
        let keys: Vec<&String> = cut.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["resourceType", "id", "meta", "status", "code", "issued"]
        );
        assert_eq!(cut["meta"]["tag"][0]["code"], "SUBSETTED");
        api.get(SYSTEM, "Observation/o?_summary=true").await.is(200);
        api.get(SYSTEM, "Observation/o?_summary=maybe")
            .await
            .issue(400);
        api.get(SYSTEM, "Observation/o?status=final")
            .await
            .issue(400);
        let pretty = api.get(SYSTEM, "Observation/o?_pretty=true").await.is(200);
        assert!(pretty.text().starts_with("{\n  \"resourceType\""));
    }

    async fn xml_goes_in_and_out_of_the_same_interactions(api: &Api) {
        let xml = r#"<Patient xmlns="http://hl7.org/fhir"><id value="x"/><name><family value="Ruiz &amp; Sons"/></name></Patient>"#;
        let created = api
            .call(SYSTEM, "PUT", "Patient/x")
            .header("accept", "application/fhir+xml")
            .body("application/fhir+xml", xml.as_bytes().to_vec())
            .send()
            .await
            .is(201);
        assert_eq!(
            created.header("content-type"),
            Some("application/fhir+xml; charset=utf-8")
        );
        assert!(
            created
                .text()
                .contains("<family value=\"Ruiz &#38; Sons\"/>"),
            "{}",
            created.text()
        );
        let json = api.get(SYSTEM, "Patient/x").await.is(200).json();
        assert_eq!(json["name"][0]["family"], "Ruiz & Sons");
        let read = api.get(SYSTEM, "Patient/x?_format=xml").await.is(200);
        assert_eq!(read.body, created.body);
        let history = api
            .get(SYSTEM, "Patient/x/_history?_format=xml")
            .await
            .is(200);
        assert!(history.text().contains("<Bundle"));
        let missing = api.get(SYSTEM, "Patient/y?_format=xml").await.is(404);
        assert!(missing.text().contains("<OperationOutcome"));
        let metadata = api.bare("GET", "metadata?_format=xml").send().await.is(200);
        assert!(metadata.text().contains("<CapabilityStatement"));
    }
}
