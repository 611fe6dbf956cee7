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
