//! SearchParameter resources: what they define is searched with once its index is built, and never
//! before.

use candor::store::{Reindexer, Step};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::rest_support::{
    Answer, Api, CLINICIAN, SYSTEM, a_patient, a_psychologist, a_psychotherapy_note,
    an_observation, each_api, patient,
};

const MOOD: &str = "http://example.org/mood";

/// An active definition.
pub fn parameter(id: &str, code: &str, kind: &str, bases: &[&str], expression: &str) -> Value {
    json!({
        "resourceType": "SearchParameter", "id": id, "status": "active", "code": code, "type": kind,
        "url": format!("http://example.org/SearchParameter/{id}"), "name": "X", "description": "x",
        "base": bases, "expression": expression,
    })
}

/// A definition with something else in it.
fn with(mut resource: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        resource[key] = value.clone();
    }
    resource
}

/// Does all the work there is.
async fn build(api: &Api) {
    let mut hands = Reindexer::new(api.store.clone());
    while hands.step().await.unwrap() != Step::Idle {}
}

/// Ids of the matches, sorted.
fn ids(answer: &Answer) -> Vec<String> {
    let bundle = answer.json();
    let mut ids: Vec<String> = bundle["entry"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| entry["search"]["mode"] == "match")
        .map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

async fn found(api: &Api, query: &str) -> Vec<String> {
    let answer = api
        .call(SYSTEM, "GET", &query.replace(' ', "%20"))
        .header("prefer", "handling=strict")
        .send()
        .await
        .is(200);
    ids(&answer)
}

async fn rows(api: &Api, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE param >= 10000");
    let statement = sea_orm::Statement::from_string(api.store.backend(), sql);
    let row = api.store.reader().query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

/// A patient with a mood and a level of it.
fn moody(id: &str, mood: &str, level: i32) -> Value {
    with(
        a_patient(id),
        json!({"extension": [
            {"url": MOOD, "valueCodeableConcept": {"text": format!("Quite {mood}"), "coding": [
                {"system": "http://example.org/moods", "code": mood}]}},
            {"url": "http://example.org/level", "valueInteger": level},
            {"url": "http://example.org/since", "valueDate": format!("2026-0{level}-01")},
            {"url": "http://example.org/friend", "valueReference": {"reference": "Patient/calm"}},
            {"url": "http://example.org/dose", "valueQuantity": {"value": level, "unit": "g",
                "system": "http://unitsofmeasure.org", "code": "g"}},
            {"url": "http://example.org/site", "valueUri": format!("http://sites.example/{mood}")},
        ]}),
    )
}

fn value_of(name: &str) -> String {
    format!("Patient.extension.where(url = 'http://example.org/{name}').value")
}

async fn moods(api: &Api) {
    for (id, mood, level) in [("calm", "calm", 1), ("sad", "sad", 2), ("glad", "glad", 3)] {
        api.put(SYSTEM, &moody(id, mood, level)).await.is(201);
    }
    api.put(SYSTEM, &a_patient("none")).await.is(201);
}

each_api! {
    async fn it_is_searched_with_once_its_index_is_built(api: &Api) {
        moods(api).await;
        let definition = parameter("mood", "mood", "token", &["Patient"], &value_of("mood"));
        api.put(SYSTEM, &definition).await.is(201);
        // Not yet built: refused where that was asked for, else left out and said so.
        let strict = api.call(SYSTEM, "GET", "Patient?mood=sad");
        let (code, words, _) = strict.header("prefer", "handling=strict").send().await.issue(400);
        assert_eq!(code, "not-supported");
        assert!(words.contains("not yet built"), "{words}");
        let lenient = api.get(SYSTEM, "Patient?mood=sad").await.is(200);
        assert_eq!(ids(&lenient).len(), 4);
        assert!(lenient.text().contains("not yet built"));
        let links = lenient.json()["link"].to_string();
        assert!(!links.contains("mood"), "{links}");
        let status = api.get(SYSTEM, "SearchParameter/mood/$reindex-status").await.is(202).json();
        assert_eq!(status["parameter"][1]["valueCode"], "waiting");
        let bare = api.bare("GET", "metadata").send().await.text();
        assert!(!bare.contains("\"mood\""));

        build(api).await;
        let status = api.get(SYSTEM, "SearchParameter/mood/$reindex-status").await.is(200).json();
        assert_eq!(status["parameter"][1]["valueCode"], "ready", "{status}");
        let told = api.bare("GET", "metadata").send().await.json();
        let told = told["rest"][0]["resource"].as_array().unwrap().iter();
        let patient = told.clone().find(|one| one["type"] == "Patient").unwrap();
        let own = patient["searchParam"].as_array().unwrap().iter();
        let own = own.clone().find(|one| one["name"] == "mood").unwrap();
        assert_eq!(own["definition"], "http://example.org/SearchParameter/mood");
        assert_eq!(own["type"], "token");

        assert_eq!(found(api, "Patient?mood=sad").await, ["sad"]);
        assert_eq!(found(api, "Patient?mood=http://example.org/moods|glad,sad").await, ["glad", "sad"]);
        assert_eq!(found(api, "Patient?mood:not=sad").await, ["calm", "glad", "none"]);
        assert_eq!(found(api, "Patient?mood:missing=true").await, ["none"]);
        assert_eq!(found(api, "Patient?mood:text=quite").await, ["calm", "glad", "sad"]);
        assert_eq!(found(api, "Patient?mood=sad&gender=female").await, ["sad"]);
        assert_eq!(found(api, "Patient?_filter=mood eq sad").await, ["sad"]);
        let sorted = api.get(SYSTEM, "Patient?_sort=-mood&_count=2").await.is(200);
        assert_eq!(sorted.json()["entry"][0]["resource"]["id"], "sad");
        let count = api.get(SYSTEM, "Patient?mood=sad&_summary=count").await.json();
        assert_eq!(count["total"], 1);
        // On another type there is none.
        let (_, words, _) = api.call(SYSTEM, "GET", "Observation?mood=x")
            .header("prefer", "handling=strict").send().await.issue(400);
        assert!(words.contains("unknown"), "{words}");

        // What is written later is indexed with the write.
        api.put(SYSTEM, &moody("sad", "glad", 2)).await.is(200);
        api.put(SYSTEM, &moody("new", "sad", 4)).await.is(201);
        assert_eq!(found(api, "Patient?mood=sad").await, ["new"]);
        assert_eq!(found(api, "Patient?mood=glad").await, ["glad", "sad"]);
        api.call(SYSTEM, "DELETE", "Patient/new").send().await.is(204);
        assert_eq!(found(api, "Patient?mood=sad").await, [""; 0]);
        // And found by conditions.
        let conditional = api.call(SYSTEM, "POST", "Patient").header("if-none-exist", "mood=calm");
        conditional.json(&crate::rest_support::without_id(a_patient("x"))).send().await.is(200);
    }

    async fn every_type_of_parameter(api: &Api) {
        moods(api).await;
        let all = [
            parameter("mood", "mood", "token", &["Patient"], &value_of("mood")),
            parameter("words", "mood-words", "string", &["Patient", "Practitioner"],
                "Patient.extension.where(url = 'http://example.org/mood').value.text | Practitioner.name.text"),
            parameter("level", "level", "number", &["Patient"], &value_of("level")),
            parameter("since", "since", "date", &["Patient"], &value_of("since")),
            parameter("dose", "dose", "quantity", &["Patient"], &value_of("dose")),
            parameter("site", "site", "uri", &["Patient"], &value_of("site")),
            with(parameter("friend", "friend", "reference", &["Patient"], &value_of("friend")),
                json!({"target": ["Patient"]})),
            // Not a path: the interpreter finds it.
            parameter("count", "names", "number", &["Patient"], "Patient.name.count()"),
        ];
        for one in &all {
            api.put(SYSTEM, one).await.is(201);
        }
        build(api).await;
        let pair = with(
            parameter("pair", "mood-code-value", "composite", &["Observation"], "Observation"),
            json!({"component": [
                {"definition": "http://hl7.org/fhir/SearchParameter/clinical-code", "expression": "code"},
                {"definition": "http://hl7.org/fhir/SearchParameter/Observation-value-quantity",
                    "expression": "value.as(Quantity)"},
            ]}),
        );
        let mut measured = an_observation("o", "sad");
        measured["valueQuantity"]["system"] = "http://unitsofmeasure.org".into();
        measured["valueQuantity"]["code"] = "g/dL".into();
        api.put(SYSTEM, &measured).await.is(201);
        api.put(SYSTEM, &pair).await.is(201);
        build(api).await;

        for (query, expected) in [
            ("Patient?mood-words=quite s", &["sad"][..]),
            ("Patient?mood-words:contains=lad", &["glad"]),
            ("Patient?level=gt1", &["glad", "sad"]),
            ("Patient?since=ge2026-02&since=lt2026-03", &["sad"]),
            ("Patient?dose=3000|http://unitsofmeasure.org|mg", &["glad"]),
            ("Patient?site:below=http://sites.example", &["calm", "glad", "sad"]),
            ("Patient?site=http://sites.example/sad", &["sad"]),
            ("Patient?friend=Patient/calm", &["calm", "glad", "sad"]),
            ("Patient?friend.mood=calm&mood=sad", &["sad"]),
            ("Patient?friend:Patient.level=1&level=3", &["glad"]),
            ("Patient?_has:Patient:friend:mood=sad", &["calm"]),
            ("Patient?names=1", &["calm", "glad", "none", "sad"]),
            ("Observation?subject:Patient.mood=sad", &["o"]),
            ("Observation?mood-code-value=718-7$gt13", &["o"]),
            ("Observation?mood-code-value=718-7$gt14", &[]),
            ("Observation?mood-code-value=718-7$gt134|http://unitsofmeasure.org|g/L", &["o"]),
            ("Observation?mood-code-value=718-7$gt136|http://unitsofmeasure.org|g/L", &[]),
        ] {
            assert_eq!(found(api, query).await, expected, "{query}");
        }
        for (sort, first) in [
            ("level", "calm"), ("-level", "glad"), ("-since", "glad"), ("-site", "sad"), ("-dose", "glad"),
        ] {
            let answer = api.get(SYSTEM, &format!("Patient?_sort={sort}&mood:missing=false")).await;
            assert_eq!(answer.json()["entry"][0]["resource"]["id"], first, "{sort}");
        }
        let included = api.get(SYSTEM, "Patient?mood=sad&_include=Patient:friend").await.json();
        let friend = &included["entry"][1];
        assert_eq!((&friend["resource"]["id"], &friend["search"]["mode"]), (&json!("calm"), &json!("include")));
        let reverse = api.get(SYSTEM, "Patient?_id=calm&_revinclude=Patient:friend").await.json();
        assert_eq!(reverse["entry"].as_array().unwrap().len(), 3, "{reverse}");
    }

    async fn what_is_wrong_with_a_definition_is_named(api: &Api) {
        let good = || parameter("p", "mood", "token", &["Patient"], &value_of("mood"));
        let cases = [
            (with(good(), json!({"expression": "Patient.extension.where("})), "SearchParameter.expression"),
            (with(good(), json!({"expression": "Patient.extension.frobnicate()"})), "SearchParameter.expression"),
            (with(good(), json!({"expression": "Patient.nothing"})), "SearchParameter.expression"),
            (with(good(), json!({"expression": "Observation.code"})), "SearchParameter.expression"),
            (with(good(), json!({"base": ["Patient", "Observation"]})), "SearchParameter.expression"),
            (with(good(), json!({"type": "date", "expression": "Patient.gender"})), "SearchParameter.type"),
            (with(good(), json!({"type": "special"})), "SearchParameter.type"),
            (with(good(), json!({"code": "gender"})), "SearchParameter.code"),
            (with(good(), json!({"code": "_id"})), "SearchParameter.code"),
            (with(good(), json!({"code": "a.b"})), "SearchParameter.code"),
            (with(good(), json!({"target": ["Patient"]})), "SearchParameter.target"),
            (with(good(), json!({"comparator": ["gt"]})), "SearchParameter.comparator"),
            (with(good(), json!({"modifier": ["exact"]})), "SearchParameter.modifier[0]"),
            (with(good(), json!({"chain": ["name"]})), "SearchParameter.chain"),
            (with(good(), json!({"xpathUsage": "phonetic"})), "SearchParameter.xpathUsage"),
            (with(good(), json!({"component": [{"definition": "http://x", "expression": "code"}]})),
                "SearchParameter.component"),
            (with(good(), json!({"type": "composite"})), "SearchParameter.component"),
            (with(parameter("p", "pair", "composite", &["Observation"], "Observation"),
                json!({"component": [
                    {"definition": "http://hl7.org/fhir/SearchParameter/clinical-code", "expression": "code"},
                    {"definition": "http://example.org/nothing", "expression": "value"}]})),
                "SearchParameter.component[1].definition"),
            (with(parameter("p", "friend", "reference", &["Patient"], &value_of("friend")),
                json!({"target": ["Patient"], "chain": ["nothing"]})), "SearchParameter.chain[0]"),
        ];
        for (resource, element) in cases {
            let answer = api.put(SYSTEM, &resource).await;
            let outcome = answer.json();
            assert_eq!(answer.status.as_u16(), 422, "{resource}: {outcome}");
            let places: Vec<&Value> = outcome["issue"].as_array().unwrap().iter()
                .map(|issue| &issue["expression"][0]).collect();
            assert!(places.contains(&&json!(element)), "{resource}: {outcome}");
            api.get(SYSTEM, "SearchParameter/p").await.is(404);
        }
        // An unknown base is no FHIR at all.
        let answer = api.put(SYSTEM, &with(good(), json!({"base": ["Human"]}))).await;
        assert!(answer.status.is_client_error() && answer.text().contains("SearchParameter.base[0]"));
        // Two of one code.
        api.put(SYSTEM, &good()).await.is(201);
        let (_, _, place) = api.put(SYSTEM, &with(good(), json!({"id": "q"}))).await.issue(422);
        assert_eq!(place, "SearchParameter.code");
        // Only kept, or only documentation of what is there anyway.
        api.put(SYSTEM, &with(good(), json!({"id": "d", "status": "draft", "expression": "("}))).await.is(201);
        let own = with(parameter("g", "gender", "token", &["Patient"], "Patient.gender"),
            json!({"url": "http://hl7.org/fhir/SearchParameter/individual-gender"}));
        api.put(SYSTEM, &own).await.is(201);
        let status = api.get(SYSTEM, "SearchParameter/g/$reindex-status").await.is(200).json();
        assert_eq!(status["parameter"][1]["valueCode"], "not-indexed");
        // Not for everybody.
        api.put(CLINICIAN, &with(good(), json!({"id": "c", "code": "other"}))).await.is(403);
        api.put(&patient("x"), &with(good(), json!({"id": "c", "code": "other"}))).await.is(403);
    }

    async fn a_definition_says_how_it_is_used(api: &Api) {
        moods(api).await;
        for one in [
            with(parameter("level", "level", "number", &["Patient"], &value_of("level")),
                json!({"comparator": ["gt"], "multipleOr": false, "multipleAnd": false})),
            with(parameter("mood", "mood", "token", &["Patient"], &value_of("mood")),
                json!({"modifier": ["not", "missing"]})),
            with(parameter("friend", "friend", "reference", &["Patient"], &value_of("friend")),
                json!({"target": ["Patient"], "chain": ["gender"]})),
        ] {
            api.put(SYSTEM, &one).await.is(201);
        }
        build(api).await;
        for query in ["level=gt1", "mood:not=sad", "mood:missing=true", "friend.gender=female"] {
            api.get(SYSTEM, &format!("Patient?{query}")).await.is(200);
        }
        for query in [
            "level=lt1", "level=1", "level=gt1,gt2", "level=gt1&level=gt2", "mood:text=sad",
            "friend.name=Ruiz",
        ] {
            api.get(SYSTEM, &format!("Patient?{query}")).await.is(400);
        }
        // A change of use needs no new index.
        let freer = parameter("level", "level", "number", &["Patient"], &value_of("level"));
        api.put(SYSTEM, &freer).await.is(200);
        assert_eq!(found(api, "Patient?level=gt1,1").await, ["calm", "glad", "sad"]);
    }

    async fn what_is_retired_changed_or_deleted_is_gone(api: &Api) {
        moods(api).await;
        let first = parameter("mood", "mood", "token", &["Patient"], &value_of("mood"));
        api.put(SYSTEM, &first).await.is(201);
        build(api).await;
        assert_eq!(found(api, "Patient?mood=sad").await, ["sad"]);
        assert!(rows(api, "idx_token").await > 0);
        // Another meaning: not answered with the old one.
        api.put(SYSTEM, &with(first.clone(), json!({"expression": "Patient.name.family"}))).await.is(200);
        let (_, words, _) = api.call(SYSTEM, "GET", "Patient?mood=sad")
            .header("prefer", "handling=strict").send().await.issue(400);
        assert!(words.contains("not yet built"), "{words}");
        build(api).await;
        assert_eq!(found(api, "Patient?mood=sad").await, [""; 0]);
        assert_eq!(found(api, "Patient?mood=Ruiz").await.len(), 4);
        api.put(SYSTEM, &with(first.clone(), json!({"status": "retired"}))).await.is(200);
        let (_, words, _) = api.call(SYSTEM, "GET", "Patient?mood=Ruiz")
            .header("prefer", "handling=strict").send().await.issue(400);
        assert!(words.contains("unknown"), "{words}");
        build(api).await;
        assert_eq!(rows(api, "idx_token").await + rows(api, "idx_string").await, 0);
        api.put(SYSTEM, &first).await.is(200);
        build(api).await;
        assert_eq!(found(api, "Patient?mood=sad").await, ["sad"]);
        api.call(SYSTEM, "DELETE", "SearchParameter/mood").send().await.is(204);
        api.call(SYSTEM, "GET", "Patient?mood=sad")
            .header("prefer", "handling=strict").send().await.is(400);
        build(api).await;
        assert_eq!(rows(api, "idx_token").await + rows(api, "idx_string").await, 0);
        let bare = api.bare("GET", "metadata").send().await.text();
        assert!(!bare.contains("\"mood\""));
    }

    async fn what_is_withheld_is_withheld_from_it_too(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &a_psychologist()).await.is(201);
        api.put(SYSTEM, &a_psychotherapy_note("note", "p")).await.is(201);
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        for one in [
            parameter("kind", "kind-of-note", "token", &["DocumentReference"], "DocumentReference.type"),
            parameter("any", "any-code", "token", &["DocumentReference", "Observation"],
                "DocumentReference.type | Observation.code"),
            with(parameter("writer", "writer", "reference", &["DocumentReference"], "DocumentReference.author"),
                json!({"target": ["Practitioner"]})),
        ] {
            api.put(SYSTEM, &one).await.is(201);
        }
        build(api).await;
        assert_eq!(found(api, "DocumentReference?kind-of-note=11506-3").await, ["note"]);
        let app = patient("p");
        for query in [
            "DocumentReference?kind-of-note=11506-3", "DocumentReference?kind-of-note:missing=false",
            "DocumentReference?writer=Practitioner/psy", "DocumentReference?_sort=kind-of-note",
            "DocumentReference?any-code:not=x",
        ] {
            let answer = api.get(&app, query).await.is(200);
            assert_eq!(ids(&answer), [""; 0], "{query}");
            assert_eq!(answer.json()["total"], 0, "{query}");
        }
        let seen = api.get(&app, "Observation?any-code=718-7").await.is(200);
        assert_eq!(ids(&seen), ["o"]);
        let other = api.get(&patient("q"), "Observation?any-code=718-7").await.is(200);
        assert_eq!(ids(&other), [""; 0]);
    }

    async fn what_is_written_while_it_is_built_is_there_in_the_end(api: &Api) {
        let bundle = |range: std::ops::Range<usize>| {
            let entries: Vec<Value> = range.map(|number| {
                let id = format!("p{number:03}");
                let mood = if number % 2 == 0 { "even" } else { "odd" };
                json!({"resource": moody(&id, mood, 1),
                    "request": {"method": "PUT", "url": format!("Patient/{id}")}})
            }).collect();
            json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        };
        api.post(SYSTEM, "", &bundle(0..300)).await.is(200);
        api.post(SYSTEM, "", &bundle(300..600)).await.is(200);
        for one in [
            parameter("mood", "mood", "token", &["Patient"], &value_of("mood")),
            parameter("words", "mood-words", "string", &["Patient"],
                "Patient.extension.where(url = 'http://example.org/mood').value.text"),
        ] {
            api.put(SYSTEM, &one).await.is(201);
        }
        let mut hands = Reindexer::new(api.store.clone());
        let mut writes = 0;
        while hands.step().await.unwrap() != Step::Idle {
            // Behind it, before it, new and gone.
            for (at, mood) in [(writes, "late"), (599 - writes, "late"), (700 + writes, "late")] {
                let resource = moody(&format!("p{at:03}"), mood, 1);
                assert!(api.put(SYSTEM, &resource).await.status.is_success());
            }
            let gone = format!("Patient/p{:03}", 100 + writes);
            api.call(SYSTEM, "DELETE", &gone).send().await.is(204);
            writes += 1;
        }
        assert!(writes > 4, "{writes}");
        let total = async |query: &str| {
            let answer = api.get(SYSTEM, &format!("Patient?{query}&_summary=count")).await.is(200);
            answer.json()["total"].as_u64().unwrap()
        };
        let late = 3 * writes as u64;
        let gone = writes as u64;
        assert_eq!(total("mood=late").await, late);
        assert_eq!(total("mood-words=quite%20late").await, late);
        assert_eq!(total("mood=even,odd").await, 600 - 2 * gone - gone);
        assert_eq!(total("mood:missing=true").await, 0);
        // No row twice.
        let sql = "SELECT COUNT(*) FROM (SELECT id, param, norm FROM idx_string WHERE param >= 10000 \
                   GROUP BY id, param, norm HAVING COUNT(*) > 1) AS twice";
        let statement = sea_orm::Statement::from_string(api.store.backend(), sql);
        let row = api.store.reader().query_one_raw(statement).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0);
    }
}
