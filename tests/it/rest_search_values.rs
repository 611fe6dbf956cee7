//! What values are found by: codes, texts, identifiers, references and what is absent.

use serde_json::{Value, json};

use crate::rest_support::{Api, SYSTEM, a_patient, an_observation, each_api, patient};

/// Ids of the matches, sorted.
async fn found(api: &Api, token: &str, path: &str) -> String {
    let bundle = api
        .get(token, &path.replace(' ', "%20"))
        .await
        .is(200)
        .json();
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

async fn included(api: &Api, path: &str) -> String {
    let bundle = api.get(SYSTEM, path).await.is(200).json();
    let mut ids: Vec<&str> = bundle["entry"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter(|entry| entry["search"]["mode"] == "include")
        .filter_map(|entry| entry["resource"]["id"].as_str())
        .collect();
    ids.sort_unstable();
    ids.join(" ")
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
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

each_api! {
    async fn long_lists_are_answered(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        api.put(SYSTEM, &json!({
            "resourceType": "Provenance", "id": "v", "recorded": "2026-11-10T14:00:00Z",
            "target": [{"reference": "Observation/o"}],
            "agent": [{"who": {"display": "lab"}}],
        })).await.is(201);
        let ids: Vec<String> = (0..225).map(|number| format!("x{number}")).collect();
        let list = format!("{},o", ids.join(","));
        expect(api, &[
            (&format!("?_id={list}"), "o"),
            (&format!("Observation?_id={list}"), "o"),
            (&format!("Provenance?target={list}"), "v"),
            (&format!("Observation?code={list},718-7"), "o"),
            (&format!("Observation?code=http://loinc.org|718-7,{list}"), "o"),
        ]).await;
        let includes = "&_revinclude=Provenance:target".to_owned()
            + "&_include:iterate=Observation:*";
        assert_eq!(included(api, &format!("Observation?_id={list}{includes}")).await, "p v");
    }

    async fn a_compartment_is_what_its_definition_names(api: &Api) {
        let mut hers = an_observation("about-q", "q");
        hers["performer"] = json!([{"reference": "Patient/p"}]);
        let mut seen = an_observation("seen", "p");
        seen["encounter"] = json!({"reference": "Encounter/e"});
        put_all(api, &[
            a_patient("p"), a_patient("q"), an_observation("about-p", "p"), hers, seen,
            json!({"resourceType": "Encounter", "id": "e", "status": "finished",
                "class": {"code": "AMB"}, "subject": {"reference": "Patient/p"}}),
            json!({"resourceType": "Encounter", "id": "f", "status": "finished",
                "class": {"code": "AMB"}, "subject": {"reference": "Patient/q"}}),
        ]).await;
        expect(api, &[
            // She made the observation herself: Observation.performer is in the definition.
            ("Patient/p/Observation", "about-p about-q seen"),
            ("Patient/p/Observation?code=718-7&status=final", "about-p about-q seen"),
            ("Patient/p/Encounter", "e"),
            ("Patient/p/Patient", "p"),
            ("Patient/p/*", "about-p about-q e p seen"),
            ("Encounter/e/Observation", "seen"),
            ("Encounter/e/Encounter", "e"),
            ("Encounter/e/*", "e seen"),
            ("Patient/nobody/*", ""),
        ]).await;
        // What is about somebody else stays hidden from her app.
        assert_eq!(found(api, &patient("p"), "Patient/p/Observation").await, "about-p seen");
    }

    async fn missing_looks_at_everything_that_may_be_there(api: &Api) {
        let mut shown = an_observation("display", "p");
        shown["performer"] = json!([{"display": "somebody"}]);
        shown["code"] = json!({"text": "only words"});
        shown["valueQuantity"] = json!({"unit": "g", "code": "g"});
        let mut inside = an_observation("contained", "p");
        inside["contained"] = json!([{"resourceType": "Practitioner", "id": "d"}]);
        inside["performer"] = json!([{"reference": "#d"}]);
        inside.as_object_mut().unwrap().shift_remove("valueQuantity");
        let mut logical = an_observation("logical", "p");
        logical["performer"] = json!([{"identifier": {"value": "7"}}]);
        put_all(api, &[a_patient("p"), shown, inside, logical, an_observation("plain", "p")]).await;
        expect(api, &[
            ("Observation?performer:missing=true", "plain"),
            ("Observation?performer:missing=false", "contained display logical"),
            ("Observation?code:missing=true", ""),
            ("Observation?code:missing=false", "contained display logical plain"),
            ("Observation?value-quantity:missing=true", "contained"),
            ("Observation?value-quantity:missing=false&patient=p", "display logical plain"),
        ]).await;
    }

    async fn ids_are_never_missing_and_can_be_left_out(api: &Api) {
        put_all(api, &[a_patient("a"), a_patient("b"), an_observation("o", "a")]).await;
        expect(api, &[
            ("Patient?_id:missing=true", ""),
            ("Patient?_id:missing=false", "a b"),
            ("Patient?_lastUpdated:missing=true", ""),
            ("Patient?_lastUpdated:missing=false", "a b"),
            ("Patient?_id:not=a", "b"),
            ("Patient?_id:not=a,b", ""),
            ("Patient?_id:not=unknown", "a b"),
            ("Observation?subject:Patient._id:not=b", "o"),
            ("Observation?subject:Patient._id:not=a", ""),
        ]).await;
        api.get(SYSTEM, "Patient?_id:missing=perhaps").await.issue(400);
        api.get(SYSTEM, "Patient?_id:text=a").await.issue(400);
    }

    async fn current_lists_need_no_list(api: &Api) {
        let status = |system: &str, code: &str| json!({"coding": [{
            "system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code}]});
        let condition = |id: &str, category: &str, clinical: &str| json!({
            "resourceType": "Condition", "id": id, "subject": {"reference": "Patient/p"},
            "category": [status("condition-category", category)],
            "clinicalStatus": status("condition-clinical", clinical)});
        let mut refuted = condition("refuted", "problem-list-item", "active");
        refuted["verificationStatus"] = status("condition-ver-status", "refuted");
        let allergy = |id: &str, category: &str, clinical: &str| json!({
            "resourceType": "AllergyIntolerance", "id": id, "patient": {"reference": "Patient/p"},
            "category": [category],
            "clinicalStatus": status("allergyintolerance-clinical", clinical)});
        let order = |id: &str, status: &str| json!({
            "resourceType": "MedicationRequest", "id": id, "status": status, "intent": "order",
            "medicationCodeableConcept": {"text": "x"}, "subject": {"reference": "Patient/p"}});
        put_all(api, &[
            a_patient("p"),
            condition("problem", "problem-list-item", "active"),
            condition("again", "problem-list-item", "recurrence"),
            condition("over", "problem-list-item", "resolved"),
            condition("visit", "encounter-diagnosis", "active"),
            refuted,
            allergy("nuts", "food", "active"),
            allergy("penicillin", "medication", "active"),
            allergy("latex", "environment", "inactive"),
            order("now", "active"),
            order("then", "stopped"),
        ]).await;
        expect(api, &[
            ("Condition?patient=p&_list=$current-problems", "again problem"),
            ("AllergyIntolerance?patient=p&_list=$current-allergies", "nuts penicillin"),
            ("AllergyIntolerance?_list=$current-drug-allergies", "penicillin"),
            ("MedicationRequest?patient=p&_list=$current-medications", "now"),
            ("MedicationStatement?_list=$current-medications", ""),
        ]).await;
    }

    async fn lists_choose_what_stands_in_them(api: &Api) {
        put_all(api, &[
            a_patient("p"), an_observation("a", "p"), an_observation("b", "p"),
            json!({"resourceType": "List", "id": "l", "status": "current", "mode": "working",
                "subject": {"reference": "Patient/p"},
                "entry": [{"item": {"reference": "Observation/a"}}]}),
        ]).await;
        expect(api, &[
            ("Observation?_list=l", "a"),
            ("Observation?_list=List/l&status=final", "a"),
            ("Observation?_list=nothing", ""),
            ("Patient?_list=l", ""),
            ("?_type=Observation,Patient&_list=l", "a"),
        ]).await;
        api.get(SYSTEM, "Observation?_list=$current-problems").await.issue(400);
        api.get(SYSTEM, "Condition?_list=$current-problems,l").await.issue(400);
        api.get(SYSTEM, "Condition?_list=$current-nonsense").await.issue(400);
        // Who does not see the list does not learn what stands in it.
        assert_eq!(found(api, &patient("p"), "Observation?_list=l").await, "a");
        assert_eq!(found(api, &patient("q"), "Observation?_list=l").await, "");
    }

    async fn codes_fold_and_identifiers_do_not(api: &Api) {
        let mut p = a_patient("p");
        p["identifier"] = json!([{
            "type": {"coding": [{"system": "urn:types", "code": "MR"}]},
            "system": "urn:mrn", "value": "AbC"
        }]);
        p["telecom"] = json!([{"system": "email", "value": "Ann@Example.org"}]);
        let mut o = an_observation("o", "p");
        o["code"]["coding"][0]["code"] = "LP-7".into();
        o["code"]["coding"][0]["display"] = "Hemoglobin [Mass/volume] in Blood".into();
        o["code"]["text"] = format!("{} needle", "x".repeat(300)).into();
        o["note"] = json!([{"text": "n"}]);
        let device = json!({"resourceType": "EpisodeOfCare", "id": "d", "status": "active",
            "patient": {"reference": "Patient/p"},
            "type": [{"coding": [{"code": "Hacc"}]}], "identifier": [{"value": "E"}]});
        put_all(api, &[p, o, device]).await;
        expect(api, &[
            ("Observation?code=lp-7", "o"),
            ("Observation?code=http://loinc.org|Lp-7", "o"),
            ("Observation?code:not=lP-7", ""),
            ("Observation?code-value-quantity=lp-7$13.5", "o"),
            ("Patient?gender=FEMALE", "p"),
            ("Patient?email=ann@example.org", "p"),
            ("Patient?identifier=AbC", "p"),
            ("Patient?identifier=abc", ""),
            ("Patient?identifier=urn:mrn|AbC", "p"),
            // The type of an identifier is not its system.
            ("Patient?identifier=urn:mrn|", "p"),
            ("Patient?identifier=urn:types|", ""),
            ("Patient?identifier:of-type=urn:types|MR|AbC", "p"),
            ("Patient?identifier:of-type=urn:types|MR|abc", ""),
            ("Observation?code:text=hemo", "o"),
            ("Observation?code:text=blood", "o"),
            ("Observation?code:text=volume", "o"),
            ("Observation?code:text=lood", ""),
            ("Observation?code:text=needle", "o"),
        ]).await;
        api.get(SYSTEM, "Patient?gender:of-type=a|b|c").await.issue(400);
    }

    async fn long_texts_are_found_to_their_end(api: &Api) {
        let long = format!("{}Needle{}", "Ab ".repeat(120), " cd".repeat(120));
        put_all(api, &[
            json!({"resourceType": "Questionnaire", "id": "q", "status": "draft", "title": long}),
        ]).await;
        expect(api, &[
            ("Questionnaire?title:contains=needle", "q"),
            ("Questionnaire?title:contains=needle cd cd", "q"),
            ("Questionnaire?title:contains=ab needle", "q"),
            ("Questionnaire?title:contains=ab needles", ""),
            (&format!("Questionnaire?title={}needle", "ab ".repeat(120)), "q"),
            (&format!("Questionnaire?title={}other", "ab ".repeat(120)), ""),
            (&format!("Questionnaire?title:exact={long}"), "q"),
        ]).await;
    }

    async fn samples_are_quantities(api: &Api) {
        let mut o = an_observation("o", "p");
        o.as_object_mut().unwrap().shift_remove("valueQuantity");
        o["valueSampledData"] = json!({
            "origin": {"value": 10, "system": "http://unitsofmeasure.org", "code": "mV"},
            "period": 10, "factor": 2, "dimensions": 1, "data": "1 2 E 5"
        });
        put_all(api, &[a_patient("p"), o]).await;
        expect(api, &[
            ("Observation?value-quantity=gt19", "o"),
            ("Observation?value-quantity=gt20", ""),
            ("Observation?value-quantity=lt13||mV", "o"),
            ("Observation?value-quantity=lt12", ""),
            ("Observation?value-quantity:missing=false", "o"),
        ]).await;
    }

    async fn quantities_convert_among_units(api: &Api) {
        let weighs = |id: &str, value: f64, unit: &str| {
            let mut one = an_observation(id, "p");
            one["valueQuantity"] = json!({"value": value, "unit": unit,
                "system": "http://unitsofmeasure.org", "code": unit});
            one
        };
        put_all(api, &[
            a_patient("p"), weighs("mg", 5.0, "mg"), weighs("g", 0.005, "g"), weighs("kg", 2.0, "kg"),
            weighs("warm", 98.6, "[degF]"), weighs("odd", 7.0, "{score}"), an_observation("plain", "p"),
        ]).await;
        let ucum = "http://unitsofmeasure.org|";
        let cases = [
            (format!("5|{ucum}mg"), "g mg"),
            (format!("0.005|{ucum}g"), "g mg"),
            (format!("gt1|{ucum}g"), "kg"),
            (format!("lt1|{ucum}kg"), "g mg"),
            (format!("37|{ucum}Cel"), "warm"),
            (format!("7|{ucum}{{score}}"), "odd"),
            // Without a system the unit is a word.
            ("5||mg".to_owned(), "mg"),
            // Without a unit the number is the one that was written.
            ("lt1".to_owned(), "g"),
            ("5".to_owned(), "mg"),
        ];
        for (value, wanted) in cases {
            let path = format!("Observation?value-quantity={}", value.replace('|', "%7C").replace('{', "%7B").replace('}', "%7D"));
            assert_eq!(found(api, SYSTEM, &path).await, wanted, "{path}");
        }
        let sorted = api.get(SYSTEM, "Observation?_sort=value-quantity").await.is(200).json();
        assert_eq!(sorted["entry"][0]["resource"]["id"], "g");
    }

    async fn composites_convert_among_units(api: &Api) {
        const UCUM: &str = "http://unitsofmeasure.org";
        let tall = |id: &str, value: f64, unit: &str| {
            let mut one = an_observation(id, "p");
            one["code"]["coding"][0]["code"] = "8302-2".into();
            one["valueQuantity"] = json!({"value": value, "unit": "long", "system": UCUM, "code": unit});
            one
        };
        let mut pressure = an_observation("bp", "p");
        let mercury = json!({"value": 120, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"});
        pressure["component"] = json!([{"code": {"coding": [{"code": "sys"}]}, "valueQuantity": mercury}]);
        let mut written = tall("said", 185.0, "cm");
        written["valueQuantity"] = json!({"value": 185, "unit": "cm"});
        let is_tall = |value: &str| format!("Observation?code-value-quantity=http://loinc.org|8302-2${value}")
            .replace('|', "%7C").replace('[', "%5B").replace(']', "%5D");
        let path = is_tall(&format!("gt1.8|{UCUM}|m"));
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        assert_eq!(found(api, SYSTEM, &path).await, "", "no unit is known");
        put_all(api, &[tall("cm", 181.0, "cm"), tall("short", 1.8, "m"), written, pressure]).await;
        // What is taken back takes its unit with it, and the next one brings it again.
        let entry = |method: &str, one: Value| json!({"request": {"method": method, "url":
            format!("Observation/{}", one["id"].as_str().unwrap()), "ifMatch": "W/\"9\""}, "resource": one});
        let mut first = entry("PUT", tall("in", 71.0, "[in_i]"));
        first["request"].as_object_mut().unwrap().shift_remove("ifMatch");
        let failing = json!({"resourceType": "Bundle", "type": "transaction", "entry": [first, entry("PUT", tall("cm", 1.0, "cm"))]});
        api.post(SYSTEM, "", &failing).await.issue(412);
        assert_eq!(found(api, SYSTEM, &path).await, "cm");
        api.put(SYSTEM, &tall("in", 71.0, "[in_i]")).await.is(201);
        for (value, wanted) in [
            (format!("gt1.8|{UCUM}|m"), "cm in"),
            (format!("ge1.8|{UCUM}|m"), "cm in short"),
            (format!("180|{UCUM}|cm"), "in short"),
            (format!("181.0|{UCUM}|cm"), "cm"),
            (format!("lt71|{UCUM}|[in_i]"), "short"),
            (format!("ne1.80|{UCUM}|m"), "cm"),
            (format!("gt1|{UCUM}|kg"), ""),
            (format!("gt1.8|{UCUM}|nonsense"), ""),
            // Without a system the unit is a word, without a unit the number is the one written.
            ("gt1.8||cm".to_owned(), "cm said"),
            ("gt72".to_owned(), "cm said"),
        ] {
            let path = is_tall(&value);
            assert_eq!(found(api, SYSTEM, &path).await, wanted, "{path}");
            let within = api.get(SYSTEM, &format!("{path}&_summary=count")).await.is(200).json();
            assert_eq!(within["total"], wanted.split_whitespace().count(), "{path}");
        }
        expect(api, &[
            (&format!("Observation?component-code-value-quantity=sys$gt15|{UCUM}|kPa"), "bp"),
            (&format!("Observation?component-code-value-quantity=sys$gt17|{UCUM}|kPa"), ""),
            (&format!("Observation?combo-code-value-quantity=sys$16|{UCUM}|kPa,8302-2$lt1.81|{UCUM}|m"), "bp in short"),
            // Of any code of a system, and through a reference.
            (&format!("Observation?code-value-quantity=http://loinc.org|$gt1.805|{UCUM}|m"), "cm"),
            (&format!("Patient?_has:Observation:patient:code-value-quantity=8302-2$gt1.8|{UCUM}|m"), "p"),
            (&format!("Patient?_has:Observation:patient:code-value-quantity=8302-2$gt1.9|{UCUM}|m"), ""),
        ]).await;
        // What is contained is marked with its type alone: its units are looked at where they stand.
        let mut inside = tall("x", 19.0, "dm");
        inside.as_object_mut().unwrap().shift_remove("subject");
        api.put(SYSTEM, &json!({"resourceType": "Basic", "id": "around", "code": {"text": "x"},
            "contained": [inside], "subject": {"reference": "#x"}})).await.is(201);
        for (value, wanted) in [("gt1.8", "around"), ("190", ""), ("1.9", "around")] {
            let path = format!("{}&_contained=true", is_tall(&format!("{value}|{UCUM}|m")));
            assert_eq!(found(api, SYSTEM, &path).await, wanted, "{path}");
        }
        // Conditions of writes see what the transaction did before.
        let condition = path.trim_start_matches("Observation?");
        api.call(SYSTEM, "DELETE", &format!("Observation?{condition}&_id=in")).send().await.is(204);
        assert_eq!(found(api, SYSTEM, &path).await, "cm");
        let explained = api.get(SYSTEM, &format!("{path}&_explain=true")).await.is(200).text();
        assert!(explained.contains("idx_composite") && !explained.contains("> 180"), "{explained}");
        let many: Vec<String> = (0..500).map(|number| format!("8302-2${number}|{UCUM}|m")).collect();
        let path = format!("Observation?code-value-quantity={}", many.join(","));
        let answer = api.call(SYSTEM, "POST", "Observation/_search")
            .body("application/x-www-form-urlencoded", path.trim_start_matches("Observation?").to_owned().into_bytes())
            .send().await.is(200).json();
        assert_eq!(answer["entry"].as_array().map(Vec::len), Some(2), "{answer}");
    }

    async fn places_are_near_places(api: &Api) {
        let place = |id: &str, latitude: f64, longitude: f64| json!({"resourceType": "Location", "id": id,
            "position": {"latitude": latitude, "longitude": longitude}});
        let visit = |id: &str, at: &str| json!({"resourceType": "Encounter", "id": id, "status": "finished",
            "class": {"code": "AMB"}, "subject": {"reference": "Patient/p"},
            "location": [{"location": {"reference": format!("Location/{at}")}}]});
        put_all(api, &[
            a_patient("p"), place("annarbor", 42.2565, -83.69481), place("detroit", 42.33143, -83.04575),
            place("fiji", -16.8, -179.97), json!({"resourceType": "Location", "id": "nowhere"}),
            visit("a", "annarbor"), visit("d", "detroit"), visit("n", "nowhere"),
            json!({"resourceType": "Basic", "id": "around", "code": {"text": "x"}, "subject": {"reference": "#in"},
                "contained": [place("in", 42.25, -83.69)]}),
        ]).await;
        // On earth, but not in degrees of latitude: there, and not to be found.
        put_all(api, &[place("wrong", 421.0, 7.0)]).await;
        expect(api, &[
            ("Location?near=42.2565|-83.69481", "annarbor"),
            ("Location?near=42.2565|-83.69481|60", "annarbor detroit"),
            ("Location?near=42.2565|-83.69481|60|m", "annarbor"),
            ("Location?near=42.2565|-83.69481|40|[mi_i]", "annarbor detroit"),
            ("Location?near=-16.8|179.97|10,42.3|-83|10", "detroit fiji"),
            ("Location?near=0|0|21000&_count=1&_sort=_id", "annarbor"),
            ("Location?near:missing=true", "nowhere"),
            ("Location?near:missing=false", "annarbor detroit fiji wrong"),
            ("Location?_filter=near pr true and _id ne fiji", "annarbor detroit wrong"),
            ("Encounter?location.near=42.3|-83|10", "d"),
            ("Encounter?location:Location.near=42.3|-83.4|60&patient=p", "a d"),
            ("Patient?_has:Encounter:patient:location.near=42.3|-83|10", "p"),
            ("Patient?_has:Encounter:patient:location.near=-16.8|179.97|10", ""),
            ("Location?near=42.2565|-83.69481&_contained=true", "around"),
            ("Location?near=42.2565|-83.69481|1|m&_contained=true", ""),
            ("Location?near:missing=false&_contained=both", "annarbor around detroit fiji wrong"),
        ]).await;
        for bad in ["near=42|-83|1|kg", "near=42", "near=91|0", "near=0|0|-1", "near=0|0|1|mile", "near:exact=0|0",
            "_sort=near", "_filter=near eq \"0|0\""] {
            let path = format!("Location?{}", bad.replace(' ', "%20").replace('"', "%22"));
            let (_, words, _) = api.get(SYSTEM, &path).await.issue(400);
            assert!(words.contains("near"), "{bad}: {words}");
        }
        let explained = api.get(SYSTEM, "Location?near=42.2565|-83.69481&_explain=true").await.is(200).text();
        assert!(explained.contains("idx_number") && !explained.contains("83.69"), "{explained}");
        // Written again and gone, its place is too.
        let other = place("detroit", 42.2565, -83.69);
        api.put(SYSTEM, &other).await.is(200);
        expect(api, &[("Location?near=42.2565|-83.69481|5", "annarbor detroit"), ("Location?near=42.3|-83|20", "")]).await;
        api.call(SYSTEM, "DELETE", "Location/detroit").send().await.is(204);
        expect(api, &[("Location?near=42.2565|-83.69481|5", "annarbor"), ("Encounter?location.near=42.2565|-83.69|5", "a")]).await;
    }

    async fn comparators_leave_their_end_out(api: &Api) {
        let weighs = |id: &str, comparator: &str| {
            let mut one = an_observation(id, "p");
            one["valueQuantity"] = json!({"value": 5, "comparator": comparator, "unit": "mg",
                "system": "http://unitsofmeasure.org", "code": "mg"});
            one
        };
        put_all(api, &[
            a_patient("p"), weighs("above", ">"), weighs("below", "<"), weighs("from", ">="), weighs("to", "<="),
        ]).await;
        // As it is written, in its unit, and in another that the index converts to.
        for unit in ["5", "5||mg", "5|http://unitsofmeasure.org|mg", "0.005|http://unitsofmeasure.org|g"] {
            for (prefix, wanted) in [
                ("le", "below from to"),
                ("ge", "above from to"),
                ("lt", "below to"),
                ("gt", "above from"),
                ("sa", "above"),
                ("eb", "below"),
            ] {
                let path = format!("Observation?value-quantity={prefix}{}", unit.replace('|', "%7C"));
                assert_eq!(found(api, SYSTEM, &path).await, wanted, "{path}");
            }
        }
    }

    async fn numbers_of_many_digits_are_found(api: &Api) {
        let mut one = an_observation("o", "p");
        one["valueQuantity"] = serde_json::from_str(
            r#"{"value": 6.216860551611904, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}"#,
        ).unwrap();
        let risk = serde_json::from_str(
            r#"{"resourceType": "RiskAssessment", "id": "r", "status": "final",
                "subject": {"reference": "Patient/p"},
                "prediction": [{"probabilityDecimal": 0.62168605516119041}]}"#,
        ).unwrap();
        put_all(api, &[a_patient("p"), one, risk]).await;
        for (path, wanted) in [
            ("Observation?value-quantity=6.216860551611904", "o"),
            ("Observation?value-quantity=ne6.216860551611904", ""),
            ("Observation?value-quantity=6.216860551611904||mg", "o"),
            ("Observation?value-quantity=6.216860551611904|http://unitsofmeasure.org|mg", "o"),
            ("Observation?value-quantity=ne6.216860551611904|http://unitsofmeasure.org|mg", ""),
            ("Observation?value-quantity=6.21686", "o"),
            ("Observation?value-quantity=6.216860551611914", ""),
            ("RiskAssessment?probability=0.62168605516119041", "r"),
            ("RiskAssessment?probability=ne0.62168605516119041", ""),
        ] {
            let path = path.replace('|', "%7C");
            assert_eq!(found(api, SYSTEM, &path).await, wanted, "{path}");
        }
    }

    async fn letters_are_folded_to_what_people_type(api: &Api) {
        let named = |id: &str, family: &str| {
            let mut one = a_patient(id);
            one["name"] = json!([{"family": family}]);
            one
        };
        put_all(api, &[
            named("de", "Straße"), named("pl", "Łukasiewicz"), named("dk", "Ærø"), named("is", "Þórður"),
            named("tr", "Kadıköy"), named("gr", "ΟΔΥΣΣΕΥΣ"),
        ]).await;
        for (family, wanted) in [
            ("STRASSE", "de"), ("strasse", "de"), ("straße", "de"), ("STRAẞE", "de"), ("stras", "de"),
            ("lukasiewicz", "pl"), ("ŁUK", "pl"), ("aero", "dk"), ("ærø", "dk"), ("thordur", "is"),
            ("kadikoy", "tr"), ("οδυσσευς", "gr"), ("οδυσσευσ", "gr"),
        ] {
            let path = format!("Patient?family={}", percent(family));
            assert_eq!(found(api, SYSTEM, &path).await, wanted, "{family}");
        }
        let exact = format!("Patient?family:exact={}", percent("Strasse"));
        assert_eq!(found(api, SYSTEM, &exact).await, "");
        let text = format!("Patient?_content={}", percent("STRASSE"));
        assert_eq!(found(api, SYSTEM, &text).await, "de");
    }

    async fn booleans_have_their_implied_system(api: &Api) {
        let active = |id: &str, active: bool| {
            let mut one = a_patient(id);
            one["active"] = active.into();
            one
        };
        put_all(api, &[active("yes", true), active("no", false)]).await;
        for (value, wanted) in [
            ("true", "yes"),
            ("http://hl7.org/fhir/special-values%7Ctrue", "yes"),
            ("http://hl7.org/fhir/special-values%7Cfalse", "no"),
            ("http://hl7.org/fhir/special-values%7Cmaybe", ""),
            ("http://example.org%7Ctrue", ""),
        ] {
            assert_eq!(found(api, SYSTEM, &format!("Patient?active={value}")).await, wanted, "{value}");
        }
        let not = "Patient?active:not=http://hl7.org/fhir/special-values%7Ctrue";
        assert_eq!(found(api, SYSTEM, not).await, "no");
    }

    async fn any_parameter_sorts(api: &Api) {
        let with = |id: &str, code: &str, who: &str, value: f64| {
            let mut o = an_observation(id, "p");
            o["code"]["coding"][0]["code"] = code.into();
            o["performer"] = json!([{"reference": format!("Practitioner/{who}")}]);
            o["valueQuantity"]["value"] = value.into();
            o
        };
        let doctor = |id: &str| json!({"resourceType": "Practitioner", "id": id});
        let mut words = an_observation("w", "p");
        words["code"] = json!({"text": "bz"});
        words.as_object_mut().unwrap().shift_remove("valueQuantity");
        put_all(api, &[
            a_patient("p"), doctor("x"), doctor("y"), with("1", "b", "y", 1.0),
            with("2", "A", "x", 3.0), with("3", "c", "nobody", 2.0), with("4", "a", "x", 1.0), words,
        ]).await;
        for (sort, wanted) in [
            ("code", "2 4 1 w 3"),
            ("-code", "3 w 1 4 2"),
            ("performer", "2 4 1 3 w"),
            ("-performer", "1 4 2 w 3"),
            ("code-value-quantity", "4 2 1 w 3"),
            ("-code-value-quantity", "3 w 1 2 4"),
            ("performer,-code", "4 2 1 3 w"),
        ] {
            for limits in ["", "&patient=p", "&patient=p&category=laboratory"] {
                let mut page = format!("Observation?_count=2&_sort={sort}{limits}");
                let mut ids = Vec::new();
                loop {
                    let bundle = api.get(SYSTEM, &page).await.is(200).json();
                    for entry in bundle["entry"].as_array().unwrap() {
                        ids.push(entry["resource"]["id"].as_str().unwrap().to_owned());
                    }
                    let links = bundle["link"].as_array().unwrap();
                    match links.iter().find(|link| link["relation"] == "next") {
                        Some(next) => {
                            let url = next["url"].as_str().unwrap();
                            page = url[crate::rest_support::BASE.len()..].to_owned();
                        }
                        None => break,
                    }
                }
                assert_eq!(ids.join(" "), wanted, "{sort}{limits}");
            }
        }
    }

    async fn canonicals_are_chained_and_included(api: &Api) {
        let form = |id: &str, version: &str| json!({
            "resourceType": "Questionnaire", "id": id, "status": "active",
            "url": "http://x/form", "version": version, "title": format!("Form {id}")
        });
        let answer = |id: &str, of: &str| json!({
            "resourceType": "QuestionnaireResponse", "id": id, "status": "completed",
            "questionnaire": of
        });
        put_all(api, &[
            form("one", "1"), form("two", "2"), answer("any", "http://x/form"),
            answer("second", "http://x/form|2"), answer("other", "http://x/other"),
        ]).await;
        expect(api, &[
            ("QuestionnaireResponse?questionnaire.title=form one", "any"),
            ("QuestionnaireResponse?questionnaire:Questionnaire.title=form", "any second"),
            ("Questionnaire?_has:QuestionnaireResponse:questionnaire:_id=second", "two"),
            ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed&title=form one", "one"),
        ]).await;
        let include = "QuestionnaireResponse?_include=QuestionnaireResponse:questionnaire&_id=";
        assert_eq!(included(api, &format!("{include}second")).await, "two");
        assert_eq!(included(api, &format!("{include}any")).await, "one two");
        assert_eq!(included(api, &format!("{include}other")).await, "");
        let back = "Questionnaire?_revinclude=QuestionnaireResponse:questionnaire&_id=";
        assert_eq!(included(api, &format!("{back}one")).await, "any");
        assert_eq!(included(api, &format!("{back}two")).await, "any second");
    }
}
