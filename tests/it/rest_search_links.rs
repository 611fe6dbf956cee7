//! Links of searchsets and histories, totals, and how much of a resource is shown.

use serde_json::{Value, json};

use crate::rest_support::{BASE, SYSTEM, a_patient, an_observation, each_api};

fn link<'b>(bundle: &'b Value, relation: &str) -> Option<&'b str> {
    bundle["link"]
        .as_array()?
        .iter()
        .find(|link| link["relation"] == relation)?["url"]
        .as_str()
}

each_api! {
    async fn links_keep_how_the_answer_is_written(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        for number in 0..5 {
            api.put(SYSTEM, &an_observation(&format!("o{number}"), "p")).await.is(201);
        }
        for start in [
            "Observation?patient=p&_count=2&_format=json&_pretty=true&_elements=status",
            "Observation/_history?_count=2&_format=json&_pretty=true&_elements=status",
        ] {
            let first = api.get(SYSTEM, start).await.is(200).json();
            let next = link(&first, "next").unwrap().to_owned();
            for part in ["_format=json", "_pretty=true", "_elements=status", "_cursor="] {
                assert!(next.contains(part), "{next}");
            }
            let second = api.get(SYSTEM, &next[BASE.len()..]).await.is(200).json();
            assert!(second["entry"][0]["resource"].get("subject").is_none());
            // The self link of a page is that page.
            let own = link(&second, "self").unwrap().to_owned();
            assert!(own.contains("_cursor="), "{own}");
            let again = api.get(SYSTEM, &own[BASE.len()..]).await.is(200).json();
            assert_eq!(again["entry"], second["entry"]);
        }
    }

    async fn the_self_link_has_the_count_that_was_used(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        for (asked, used) in [("5000", "1000"), ("007", "7"), ("99999999999", "1000"), ("3", "3")] {
            let page = api.get(SYSTEM, &format!("Patient?_count={asked}")).await.is(200).json();
            let own = link(&page, "self").unwrap();
            assert!(own.ends_with(&format!("_count={used}")), "{asked}: {own}");
        }
    }

    async fn totals_are_told_when_asked_for_or_free(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        for number in 0..5 {
            api.put(SYSTEM, &an_observation(&format!("o{number}"), "p")).await.is(201);
        }
        let total = async |query: &str| -> Value {
            let path = format!("Observation?_count=2&{query}");
            api.get(SYSTEM, &path).await.is(200).json()["total"].clone()
        };
        assert_eq!(total("patient=p").await, Value::Null);
        assert_eq!(total("patient=p&_total=accurate").await, 5);
        assert_eq!(total("patient=p&_total=estimate").await, 5);
        assert_eq!(total("status=final&_total=accurate").await, 5);
        assert_eq!(total("status=final").await, Value::Null);
        assert_eq!(total("patient=p&_total=none").await, Value::Null);
        assert_eq!(total("patient=p&_count=20").await, 5);
    }

    async fn a_summary_goes_into_elements(api: &Api) {
        let mut patient = a_patient("p");
        patient["contact"] = json!([{"name": {"text": "A"}}]);
        patient["photo"] = json!([{"title": "me", "data": "aGk="}]);
        patient["link"] = json!([{"other": {"reference": "Patient/q"}, "type": "seealso"}]);
        patient["generalPractitioner"] = json!([{"display": "Dr"}]);
        api.put(SYSTEM, &patient).await.is(201);
        let all = api.get(SYSTEM, "Patient?_summary=true").await.is(200).json();
        let cut = &all["entry"][0]["resource"];
        assert_eq!(cut["name"], patient["name"]);
        assert!(cut.get("contact").is_none());
        api.put(SYSTEM, &json!({
            "resourceType": "DiagnosticReport", "id": "r", "status": "final",
            "code": {"text": "Skin"}, "subject": {"reference": "Patient/p"},
            "media": [{"comment": "left", "link": {"reference": "Media/m"}}],
        })).await.is(201);
        let report = api.get(SYSTEM, "DiagnosticReport?_summary=true").await.is(200).json();
        let media = &report["entry"][0]["resource"]["media"][0];
        // DiagnosticReport.media is in the summary, its comment is not.
        assert_eq!(media, &json!({"link": {"reference": "Media/m"}}));
        let named = api.get(SYSTEM, "Patient?_elements=Patient.name").await.is(200).json();
        assert_eq!(named["entry"][0]["resource"]["name"], patient["name"]);
        api.get(SYSTEM, "Patient?_elements=Observation.code").await.issue(400);
        let mut observation = an_observation("o", "p");
        observation["note"] = json!([{"text": "n"}]);
        api.put(SYSTEM, &observation).await.is(201);
        let both = "Observation?_elements=Observation.note,Patient.name&_include=Observation:patient";
        let both = api.get(SYSTEM, both).await.is(200).json();
        let keys = |at: usize| -> Vec<String> {
            let resource = both["entry"][at]["resource"].as_object().unwrap();
            resource.keys().cloned().collect()
        };
        assert_eq!(keys(0), ["resourceType", "id", "meta", "status", "code", "note"]);
        assert_eq!(keys(1), ["resourceType", "id", "meta", "name"]);
    }
}
