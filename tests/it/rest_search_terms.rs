//! Value sets, hierarchies, filters and full text over HTTP.

use serde_json::{Value, json};

use crate::rest_support::{AUDITOR, Api, SYSTEM, a_patient, an_observation, each_api, patient};

/// Ids of the matches, sorted.
async fn found(api: &Api, token: &str, path: &str) -> String {
    let path = path
        .replace(' ', "%20")
        .replace('"', "%22")
        .replace('|', "%7C");
    let bundle = api.get(token, &path).await.is(200).json();
    let mut ids: Vec<String> = bundle["entry"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter(|entry| entry["search"]["mode"] == "match")
        .map(|entry| entry["resource"]["id"].as_str().unwrap_or("-").to_owned())
        .collect();
    ids.sort();
    ids.join(" ")
}

async fn put_all(api: &Api, all: &[Value]) {
    for one in all {
        api.put(SYSTEM, one).await.is(201);
    }
}

async fn expect(api: &Api, cases: &[(&str, &str)]) {
    for (path, wanted) in cases {
        assert_eq!(found(api, SYSTEM, path).await, *wanted, "{path}");
    }
}

fn coded(id: &str, system: &str, code: &str) -> Value {
    let mut one = an_observation(id, "p");
    one["code"] = json!({"coding": [{"system": system, "code": code}]});
    one
}

fn animals() -> Value {
    json!({"resourceType": "CodeSystem", "id": "animals", "status": "active", "content": "complete",
    "url": "urn:animals", "concept": [
        {"code": "mammal", "concept": [
            {"code": "cat", "concept": [{"code": "lion"}]}, {"code": "Dog"}]},
        {"code": "wolf", "property": [{"code": "parent", "valueCode": "dog"}]},
        {"code": "fish"}
    ]})
}

fn set(id: &str, compose: Value) -> Value {
    json!({"resourceType": "ValueSet", "id": id, "status": "active", "url": format!("urn:set:{id}"),
        "version": "1", "compose": compose})
}

each_api! {
    async fn what_resources_contain_is_searched_when_asked_for(api: &Api) {
        let medicine = |id: &str, code: &str| json!({"resourceType": "Medication", "id": id,
            "code": {"coding": [{"system": "urn:m", "code": code}], "text": format!("Pill {code}")}});
        let order = |id: &str, whose: &str, inside: &[Value]| json!({"resourceType": "MedicationRequest",
            "id": id, "status": "active", "intent": "order", "contained": inside,
            "subject": {"reference": format!("Patient/{whose}")}, "medicationReference": {"reference": "#m"}});
        put_all(api, &[
            a_patient("p"), a_patient("q"),
            medicine("alone", "A"),
            order("r1", "p", &[medicine("m", "A"), medicine("n", "B")]),
            order("r2", "q", &[medicine("m", "A")]),
            order("r3", "p", &[medicine("m", "C")]),
        ]).await;
        expect(api, &[
            ("Medication?code=A", "alone"),
            ("Medication?code=A&_contained=false", "alone"),
            ("Medication?code=A&_contained=true", "r1 r2"),
            ("Medication?code=urn:m|A&_contained=both", "alone r1 r2"),
            ("Medication?code=A&_contained=true&_containedType=contained", "m m"),
            ("Medication?code:text=pill&_contained=true", "r1 r2 r3"),
            ("Medication?_contained=true&_id=n&_containedType=contained", "n"),
            // Of one contained resource everything that is asked has to be true.
            ("Medication?_contained=true&code=A&_id=n", ""),
            ("Medication?_contained=true&code:not=A", "r1 r3"),
        ]).await;
        let page = api.get(SYSTEM, "Medication?code=B&_contained=true&_containedType=contained").await.is(200).json();
        let entry = &page["entry"][0];
        assert!(entry["fullUrl"].as_str().unwrap().ends_with("/MedicationRequest/r1#n"), "{entry}");
        assert_eq!((&entry["resource"]["resourceType"], &entry["search"]["mode"]), (&json!("Medication"), &json!("match")));
        // Pages follow each other; what counts is what matches.
        let mut path = "Medication?_contained=both&_count=1&_total=accurate".to_owned();
        let mut pages = Vec::new();
        loop {
            let page = api.get(SYSTEM, &path).await.is(200).json();
            assert_eq!(page["total"], 4, "{page}");
            pages.extend(page["entry"].as_array().unwrap().iter().map(|entry| entry["resource"]["id"].clone()));
            let links = page["link"].as_array().unwrap();
            let Some(next) = links.iter().find(|link| link["relation"] == "next") else { break };
            path = next["url"].as_str().unwrap().split("/r4/").nth(1).unwrap().to_owned();
        }
        assert_eq!(pages, ["alone", "r1", "r2", "r3"]);
        let count = api.get(SYSTEM, "Medication?code=A&_contained=true&_summary=count").await.is(200).json();
        assert_eq!(count["total"], 2);
        // Everybody finds what is in the resources that they see.
        assert_eq!(found(api, &patient("p"), "Medication?code=A&_contained=true").await, "r1");
        let narrow = "patient;p;patient/Medication.rs";
        assert_eq!(found(api, narrow, "Medication?code=A&_contained=true").await, "");
        for refused in ["Medication?_contained=true&_sort=code", "?_contained=true&_id=m",
            "Medication?_contained=true&_text=pill", "Medication?_contained=true&_include=Medication:ingredient",
            "Coverage?_contained=true&beneficiary.name=x", "Patient/p/MedicationRequest?_contained=true"] {
            api.get(SYSTEM, refused).await.issue(400);
        }
        // No condition is satisfied by what is within another resource.
        api.call(SYSTEM, "DELETE", "Medication?code=A&_contained=true").send().await.issue(400);
        api.get(SYSTEM, "MedicationRequest/r1").await.is(200);
    }

    async fn value_sets_choose_codes(api: &Api) {
        let pets = set("pets", json!({"include": [
            {"system": "urn:animals", "concept": [{"code": "cat"}, {"code": "dog"}]},
            {"system": "urn:robots", "concept": [{"code": "aibo"}]}
        ]}));
        let mut old = set("old", json!({"include": [{"system": "urn:animals"}]}));
        old["url"] = "urn:set:pets".into();
        old["version"] = "0.9".into();
        let mut expanded = set("expanded", json!({"include": [{"system": "urn:unknown",
            "filter": [{"property": "x", "op": "regex", "value": "y"}]}]}));
        expanded["expansion"] = json!({"timestamp": "2026-01-01", "contains": [
            {"system": "urn:animals", "abstract": true, "code": "mammal", "contains": [
                {"system": "urn:animals", "code": "lion"}]}]});
        put_all(api, &[
            a_patient("p"), animals(), pets, old, expanded,
            set("mammals", json!({"include": [{"system": "urn:animals",
                "filter": [{"property": "concept", "op": "is-a", "value": "mammal"}]}],
                "exclude": [{"valueSet": ["urn:set:pets"]}]})),
            set("whole", json!({"include": [{"system": "urn:animals"}],
                "exclude": [{"system": "urn:animals", "concept": [{"code": "fish"}]}]})),
            set("both", json!({"include": [{"system": "urn:animals", "valueSet": ["urn:set:pets"]}]})),
            coded("cat", "urn:animals", "cat"), coded("dog", "urn:animals", "DOG"),
            coded("lion", "urn:animals", "lion"), coded("wolf", "urn:animals", "wolf"),
            coded("fish", "urn:animals", "fish"), coded("aibo", "urn:robots", "aibo"),
            coded("other", "urn:other", "cat"),
        ]).await;
        expect(api, &[
            ("Observation?code:in=urn:set:pets", "aibo cat dog"),
            ("Observation?code:in=ValueSet/pets", "aibo cat dog"),
            ("Observation?code:in=urn:set:pets|0.9", "cat dog fish lion wolf"),
            ("Observation?code:not-in=urn:set:pets", "fish lion other wolf"),
            ("Observation?code:in=urn:set:pets&status=final&patient=p", "aibo cat dog"),
            ("Observation?code:in=urn:set:mammals", "lion wolf"),
            ("Observation?code:in=urn:set:whole", "cat dog lion wolf"),
            ("Observation?code:in=urn:set:both", "cat dog"),
            ("Observation?code:in=urn:set:expanded", "lion"),
            ("Observation?code:in=urn:set:expanded,urn:set:both", "cat dog lion"),
            ("Observation?code:below=urn:animals|mammal", "cat dog lion wolf"),
            ("Observation?code:below=urn:animals|dog", "dog wolf"),
            ("Observation?code:above=urn:animals|lion", "cat lion"),
            ("Observation?code:above=urn:animals|wolf", "dog wolf"),
            ("Patient?_has:Observation:patient:code:in=urn:set:pets", "p"),
            ("Observation?_filter=code in urn:set:both", "cat dog"),
            ("Observation?_filter=code ni urn:set:pets", "fish lion other wolf"),
            ("Observation?_filter=code ss urn:animals|dog", "dog wolf"),
            ("Observation?_filter=code sb urn:animals|lion", "cat lion"),
        ]).await;
        for bad in ["code:in=urn:nothing", "code:below=urn:nothing%7Cx", "code:below=x"] {
            api.get(SYSTEM, &format!("Observation?{bad}")).await.issue(400);
        }
    }

    async fn hierarchies_are_followed_both_ways(api: &Api) {
        let place = |id: &str, part_of: Option<&str>| {
            let mut place = json!({"resourceType": "Location", "id": id, "status": "active"});
            if let Some(above) = part_of {
                place["partOf"] = json!({"reference": format!("Location/{above}")});
            }
            place
        };
        let visit = |id: &str, at: &str| json!({
            "resourceType": "Encounter", "id": id, "status": "finished", "class": {"code": "AMB"},
            "subject": {"reference": "Patient/p"},
            "location": [{"location": {"reference": format!("Location/{at}")}}]
        });
        let answer = |id: &str, version: &str| json!({
            "resourceType": "QuestionnaireResponse", "id": id, "status": "completed",
            "questionnaire": format!("http://x/form|{version}")
        });
        put_all(api, &[
            a_patient("p"), place("house", None), place("ward", Some("house")),
            place("bed", Some("ward")), place("loop-a", Some("loop-b")), place("loop-b", Some("loop-a")),
            visit("in-house", "house"), visit("in-bed", "bed"),
            answer("one", "1"), answer("two", "1.2"), answer("other", "10"),
        ]).await;
        expect(api, &[
            ("Location?partof:below=house", "bed ward"),
            ("Location?partof:below=Location/ward", "bed"),
            ("Location?partof:above=bed", "bed ward"),
            ("Location?partof:below=loop-a", "loop-a loop-b"),
            ("Encounter?location:below=house", "in-bed in-house"),
            ("Encounter?location:below=ward", "in-bed"),
            ("Encounter?location:above=bed&patient=p", "in-bed in-house"),
            ("Encounter?location:below=nothing", ""),
            ("QuestionnaireResponse?questionnaire:below=http://x/form|1", "one two"),
            ("QuestionnaireResponse?questionnaire:above=http://x/form|1.2", "one two"),
        ]).await;
        api.get(SYSTEM, "Observation?specimen:below=x").await.issue(400);
    }

    async fn filters_combine_what_parameters_say(api: &Api) {
        let mut p = a_patient("p");
        p["birthDate"] = "1980-05-01".into();
        let mut q = a_patient("q");
        q["gender"] = "male".into();
        q["name"] = json!([{"family": "Petersen", "given": ["Ann"]}]);
        let mut low = an_observation("low", "q");
        low["valueQuantity"]["value"] = 5.into();
        put_all(api, &[p, q, an_observation("high", "p"), low]).await;
        expect(api, &[
            ("Patient?_filter=name co \"pet\"", "q"),
            ("Patient?_filter=family sw pet and gender eq male", "q"),
            ("Patient?_filter=family ew sen or gender eq female", "p q"),
            ("Patient?_filter=not (gender eq male)", "p"),
            ("Patient?_filter=gender ne male", "p"),
            ("Patient?_filter=family eq ruiz", "p"),
            ("Patient?_filter=family gt p and family lt q", "q"),
            ("Patient?_filter=family ge RUIZ", "p"),
            ("Patient?_filter=family gt ruiz", ""),
            ("Patient?_filter=family le ruiz", "p q"),
            ("Patient?_filter=birthdate pr true", "p"),
            ("Patient?_filter=birthdate pr false", "q"),
            ("Patient?_filter=birthdate ge 1980-05 and birthdate lt 1981", "p"),
            ("Patient?_filter=birthdate po 1980", "p"),
            ("Patient?_filter=_id eq q", "q"),
            ("Patient?_filter=_id ne q&gender=male", ""),
            ("Observation?_filter=value-quantity gt 10", "high"),
            ("Observation?_filter=value-quantity le 5 or value-quantity ap 13", "high low"),
            ("Observation?_filter=subject.gender eq male", "low"),
            ("Observation?_filter=subject[gender eq male].name co pet", "low"),
            ("Observation?_filter=patient eq Patient/p and code eq http://loinc.org|718-7", "high"),
            ("Observation?_filter=patient re Patient/p", "high"),
            ("Observation?_filter=patient ne Patient/p", "low"),
            ("Observation?_filter=(status eq final and (value-quantity gt 10 or patient eq q))", "high low"),
        ]).await;
        for bad in ["gender%20eq", "gender%20xx%20y", "(gender%20eq%20male", "colour%20eq%20red"] {
            api.get(SYSTEM, &format!("Patient?_filter={bad}")).await.issue(400);
        }
        assert_eq!(found(api, &patient("p"), "Observation?_filter=status eq final").await, "high");
        assert_eq!(found(api, &patient("p"), "Observation?_filter=not (status eq other)").await, "high");
    }

    async fn words_are_found_by_the_engine(api: &Api) {
        let mut a = an_observation("a", "p");
        a["text"] = json!({"status": "generated",
            "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>High <b>blood</b> pressure &amp; Müdigkeit</p></div>"});
        let mut b = an_observation("b", "p");
        b["code"]["text"] = "Blood sugar, fasting".into();
        b["note"] = json!([{"text": "pressure was not taken"}]);
        put_all(api, &[a_patient("p"), a.clone(), b]).await;
        expect(api, &[
            ("Observation?_text=blood", "a"),
            ("Observation?_text=BLOOD pressure", "a"),
            ("Observation?_text=mudigkeit", "a"),
            ("Observation?_text=\"pressure blood\"", ""),
            ("Observation?_text=\"blood pressure\"", "a"),
            ("Observation?_text=sugar", ""),
            ("Observation?_content=blood", "a b"),
            ("Observation?_content=blood pressure", "a b"),
            ("Observation?_content=\"blood pressure\"", "a"),
            ("Observation?_content=blood -sugar", "a"),
            ("Observation?_content=fasting OR müdigkeit", "a b"),
            ("Observation?_content=suga", ""),
            ("Observation?_content=suga*", "b"),
            ("Observation?_content=fast* sugar&status=final", "b"),
            ("?_type=Observation,Patient&_content=ruiz", "p"),
            ("Patient?_content=718", ""),
        ]).await;
        // A new version is found by its own words.
        a["text"]["div"] = "<div xmlns=\"http://www.w3.org/1999/xhtml\">nothing</div>".into();
        api.put(SYSTEM, &a).await.is(200);
        expect(api, &[("Observation?_text=blood", ""), ("Observation?_text=nothing", "a")]).await;
        api.call(SYSTEM, "DELETE", "Observation/a").send().await;
        expect(api, &[("Observation?_text=nothing", "")]).await;
        api.get(SYSTEM, "Observation?_text=-x").await.issue(400);
        for hostile in ["%22", "%27%20OR%201=1", "%7B%7D:(", "a*b%20NEAR(", "-%22", "%F0%9F%98%80%20a"] {
            let answer = api.get(SYSTEM, &format!("Observation?_content={hostile}")).await;
            assert!(!answer.status.is_server_error(), "{hostile}: {}", answer.text());
        }
    }

    async fn plans_are_explained_to_those_who_run_the_server(api: &Api) {
        put_all(api, &[a_patient("p"), an_observation("o", "p")]).await;
        for query in [
            "Observation?patient=p&code=secret-718-7&_explain=true",
            "Observation?_sort=-date&_explain=true",
            "Patient?family:contains=secret&_sort=birthdate&_explain=true",
        ] {
            for token in [SYSTEM, AUDITOR] {
                let plan = api.get(token, query).await.is(200);
                let text = plan.text();
                assert_eq!(plan.json()["resourceType"], "Parameters", "{text}");
                assert!(text.contains("\"name\":\"statement\""), "{text}");
                assert!(text.contains("\"name\":\"step\""), "{text}");
                assert!(!text.contains("secret"), "{text}");
            }
            // For everybody else there is no such parameter.
            let told = api.get(&patient("p"), query).await.is(200).json();
            assert_eq!(told["resourceType"], "Bundle");
            assert!(told.to_string().contains("'_explain' is unknown"), "{told}");
        }
    }
}
