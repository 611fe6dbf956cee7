//! Searches over HTTP: the Bundle, its links, formats and what is told about parameters.

use serde_json::{Value, json};

use crate::rest_support::{BASE, SYSTEM, a_patient, an_observation, each_api, patient};

fn ids(bundle: &Value, mode: &str) -> Vec<String> {
    bundle["entry"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter(|entry| entry["search"]["mode"] == mode)
        .map(|entry| entry["resource"]["id"].as_str().unwrap_or("-").to_owned())
        .collect()
}

fn link<'b>(bundle: &'b Value, relation: &str) -> Option<&'b str> {
    bundle["link"]
        .as_array()?
        .iter()
        .find(|link| link["relation"] == relation)?["url"]
        .as_str()
}

each_api! {
    async fn a_searchset_holds_the_stored_bytes_and_its_links(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        for number in 0..5 {
            api.put(SYSTEM, &an_observation(&format!("o{number}"), "p")).await.is(201);
        }
        let answer = api
            .get(SYSTEM, "Observation?patient=p&category=laboratory&_count=2")
            .await
            .is(200);
        let stored = api.get(SYSTEM, "Observation/o0").await.is(200);
        let bundle = answer.json();
        assert_eq!(bundle["type"], "searchset");
        assert_eq!(bundle["entry"].as_array().unwrap().len(), 2);
        assert!(link(&bundle, "self").unwrap().starts_with(
            &format!("{BASE}/Observation?patient=p&category=laboratory")
        ));
        let mut seen = ids(&bundle, "match");
        let mut page = bundle;
        let mut bytes = answer.text();
        while let Some(next) = link(&page, "next").map(str::to_owned) {
            let answer = api.get(SYSTEM, &next[BASE.len()..]).await.is(200);
            bytes.push_str(&answer.text());
            page = answer.json();
            seen.extend(ids(&page, "match"));
        }
        seen.sort();
        assert_eq!(seen, ["o0", "o1", "o2", "o3", "o4"]);
        assert!(bytes.contains(&stored.text()));
        assert!(bytes.contains(&format!("\"fullUrl\":\"{BASE}/Observation/o0\"")));
    }

    async fn post_search_and_compartments_find_the_same(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &a_patient("q")).await.is(201);
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        api.put(SYSTEM, &an_observation("x", "q")).await.is(201);
        let form = |path: &'static str, body: &'static str| {
            api.call(SYSTEM, "POST", path)
                .body("application/x-www-form-urlencoded", body)
                .send()
        };
        for answer in [
            api.get(SYSTEM, "Observation?patient=p").await,
            api.get(SYSTEM, "Observation?patient=Patient%2Fp").await,
            form("Observation/_search", "patient=p").await,
            form("Observation/_search?patient=Patient/p", "").await,
            api.get(SYSTEM, "Patient/p/Observation").await,
            form("Patient/p/Observation/_search", "status=final").await,
            form("_search", "_type=Observation&patient=p").await,
        ] {
            let bundle = answer.is(200).json();
            assert_eq!(ids(&bundle, "match"), ["o"], "{bundle}");
        }
        let xml = form("Observation/_search", "patient=p&_format=xml").await.is(200);
        assert!(xml.text().contains("<Bundle"), "{}", xml.text());
        let mut all = ids(&api.get(SYSTEM, "Patient/p/*").await.is(200).json(), "match");
        all.sort();
        assert_eq!(all, ["o", "p"]);
        let mut both = ids(
            &api.get(SYSTEM, "?_type=Patient,Observation").await.is(200).json(),
            "match",
        );
        both.sort();
        assert_eq!(both, ["o", "p", "q", "x"]);
        api.call(SYSTEM, "POST", "Observation/_search")
            .json(&json!({"patient": "p"}))
            .send()
            .await
            .issue(415);
    }

    async fn an_unknown_parameter_is_named_or_refused(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let lenient = api.get(SYSTEM, "Patient?colour=red").await.is(200).json();
        assert_eq!(ids(&lenient, "match"), ["p"]);
        assert_eq!(ids(&lenient, "outcome").len(), 1);
        assert!(!link(&lenient, "self").unwrap().contains("colour"));
        api.call(SYSTEM, "GET", "Patient?colour=red")
            .header("prefer", "handling=strict")
            .send()
            .await
            .issue(400);
        // Defined, but nothing can be compared with a whole resource.
        let bundle = api.get(SYSTEM, "Bundle?composition=Composition/c").await.is(200).json();
        assert_eq!(ids(&bundle, "outcome").len(), 1);
        for path in ["Bundle?message.code=x", "Bundle?message=MessageHeader/m"] {
            api.call(SYSTEM, "GET", path)
                .header("prefer", "handling=strict")
                .send()
                .await
                .issue(400);
        }
        api.get(SYSTEM, "Bundle?_include=Bundle:composition").await.issue(400);
    }

    async fn includes_summaries_and_counts(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        let bundle = api
            .get(SYSTEM, "Observation?_include=Observation:patient")
            .await
            .is(200)
            .json();
        assert_eq!(ids(&bundle, "match"), ["o"]);
        assert_eq!(ids(&bundle, "include"), ["p"]);
        let count = api.get(SYSTEM, "Observation?_summary=count").await.is(200).json();
        assert_eq!(count["total"], 1);
        assert!(count.get("entry").is_none());
        let cut = api.get(SYSTEM, "Observation?_elements=issued").await.is(200).json();
        let resource = &cut["entry"][0]["resource"];
        assert!(resource.get("valueQuantity").is_none());
        assert_eq!(resource["meta"]["tag"][0]["code"], "SUBSETTED");
        let xml = api.get(SYSTEM, "Observation?_format=xml").await.is(200);
        assert!(xml.text().contains("<Bundle"), "{}", xml.text());
        assert!(xml.text().contains("_format=xml"), "{}", xml.text());
    }

    async fn a_patient_searches_her_own_record(api: &Api) {
        for id in ["a", "b"] {
            api.put(SYSTEM, &a_patient(id)).await.is(201);
            api.put(SYSTEM, &an_observation(&format!("of-{id}"), id)).await.is(201);
        }
        let token = patient("a");
        for path in [
            "Observation",
            "Observation?patient=a",
            "Observation?code=718-7",
            "Observation?_id=of-a,of-b",
            "Patient/a/Observation",
        ] {
            let bundle = api.get(&token, path).await.is(200).json();
            assert_eq!(ids(&bundle, "match"), ["of-a"], "{path}");
        }
        for path in [
            "Observation?patient=b",
            "Observation?_id=of-b",
            "Patient/b/Observation",
            "Patient/unknown/Observation",
            "Patient?_id=b",
        ] {
            let bundle = api.get(&token, path).await.is(200).json();
            assert_eq!(bundle["total"], 0, "{path}");
            assert!(bundle.get("entry").is_none(), "{path}");
        }
    }

    async fn hostile_searches_are_refused_or_find_nothing(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        for query in [
            "_cursor=AAAA",
            "_cursor=%27%20OR%201=1",
            "_count=-1",
            "_count=x",
            "birthdate=gt99999-99-99",
            "birthdate=yesterday",
            "_lastUpdated=gt2026-13-45",
            "name=%FF",
            "name=%00",
            "general-practitioner:Nothing.name=x",
            "_has:Nothing:x:y=1",
            "_sort=nothing",
            "_include=nothing",
            "_total=maybe",
            "_summary=maybe",
        ] {
            let answer = api
                .call(SYSTEM, "GET", &format!("Patient?{query}"))
                .header("prefer", "handling=strict")
                .send()
                .await;
            answer.issue(400);
        }
        for query in [
            "name=%27%3B%20DROP%20TABLE%20resource%3B--",
            "name=%25%25%25_",
            "identifier=%7C%7C%7C%7C",
            "name=\\\\\\,,,",
            &format!("name={}", "x".repeat(5_000)),
            &format!("_id={}", "a,".repeat(2_000)),
        ] {
            let answer = api.get(SYSTEM, &format!("Patient?{query}")).await;
            assert!(!answer.status.is_server_error(), "{query:.60}: {}", answer.text());
        }
        let found = api.get(SYSTEM, "Patient").await.is(200).json();
        assert_eq!(ids(&found, "match"), ["p"]);
    }

    async fn granular_scopes_narrow_reads_searches_and_writes(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &an_observation("lab", "p")).await.is(201);
        let mut vital = an_observation("vital", "p");
        vital["category"][0]["coding"][0]["code"] = "vital-signs".into();
        api.put(SYSTEM, &vital).await.is(201);
        let category = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory";
        let token = format!("system;;system/Observation.cruds?category={category}");
        let bundle = api.get(&token, "Observation").await.is(200).json();
        assert_eq!(ids(&bundle, "match"), ["lab"]);
        api.get(&token, "Observation/lab").await.is(200);
        let hidden = api.get(&token, "Observation/vital").await;
        let unknown = api.get(&token, "Observation/unknown").await;
        hidden.issue(404);
        assert_eq!((&hidden.headers, &hidden.body), (&unknown.headers, &unknown.body));
        // It updates what it sees, and may not turn it into what it may not write.
        api.put(&token, &an_observation("lab", "p")).await.is(200);
        let mut turned = vital.clone();
        turned["id"] = "lab".into();
        api.put(&token, &turned).await.issue(403);
        api.put(&token, &vital).await.issue(405);
        // What it was before it was theirs to see stays closed, in every way that leads there.
        let mut before = vital.clone();
        before["id"] = "turned".into();
        api.put(SYSTEM, &before).await.is(201);
        api.put(SYSTEM, &an_observation("turned", "p")).await.is(200);
        for path in [
            "Observation/turned/_history",
            "Observation/_history",
            "_history",
        ] {
            let history = api.get(&token, path).await.is(200).json();
            assert!(!history.to_string().contains("vital-signs"), "{path}: {history}");
            assert!(history.to_string().contains("turned"), "{path}: {history}");
        }
        api.get(&token, "Observation/turned/_history/1").await.issue(404);
        api.get(&token, "Observation/turned/_history/2").await.is(200);
        let whole = "system;;system/Observation.rs";
        api.get(whole, "Observation/turned/_history/1").await.is(200);
        vital.as_object_mut().unwrap().shift_remove("id");
        api.post(&token, "Observation", &vital).await.issue(403);
    }
}
