//! Each parameter type, on each database.

use super::bed::{Bed, system};

const LOINC: &str = "http://loinc.org";
const UCUM: &str = "http://unitsofmeasure.org";
const DAY: i64 = 86_400_000;

/// Two patients, a few observations, an encounter, a practitioner.
pub async fn fill(bed: &Bed) {
    let p = |name: &str, gender: &str| {
        bed.rows("Patient")
            .string("name", name)
            .string("family", name)
            .token(
                "gender",
                "http://hl7.org/fhir/administrative-gender",
                gender,
            )
            .token("identifier", "urn:mrn", &format!("mrn-{name}"))
    };
    bed.put(
        1,
        "Patient",
        "ann",
        Some("ann"),
        p("Änn", "female").date("birthdate", 0, DAY),
    )
    .await;
    bed.put(
        2,
        "Patient",
        "bob",
        Some("bob"),
        p("Bob", "male").reference("organization", "Organization", "org"),
    )
    .await;
    bed.put(
        3,
        "Practitioner",
        "doc",
        None,
        bed.rows("Practitioner").string("name", "Doc"),
    )
    .await;
    bed.put(
        4,
        "Organization",
        "org",
        None,
        bed.rows("Organization")
            .string("name", "Mercy_Hospital 100%")
            .uri("_profile", "http://a/b/c|1.0")
            .uri("_profile", "http://a/b/c"),
    )
    .await;
    bed.put(
        5,
        "Encounter",
        "e1",
        Some("ann"),
        bed.rows("Encounter")
            .reference("subject", "Patient", "ann")
            .reference("patient", "Patient", "ann")
            .token("status", "", "finished"),
    )
    .await;
    let o = |who: &str, category: &str, code: &str, day: i64, value: f64| {
        bed.rows("Observation")
            .reference("subject", "Patient", who)
            .reference("patient", "Patient", who)
            .reference("performer", "Practitioner", "doc")
            .token("category", "urn:cat", category)
            .token("code", LOINC, code)
            .token("status", "", "final")
            .date("date", day * DAY, (day + 1) * DAY)
            .quantity("value-quantity", value, UCUM, "mg")
            .code_quantity(
                "code-value-quantity",
                ("http://loinc.org", code),
                value,
                "mg",
            )
    };
    bed.put(
        6,
        "Observation",
        "o1",
        Some("ann"),
        o("ann", "laboratory", "a", 1, 5.4),
    )
    .await;
    bed.put(
        7,
        "Observation",
        "o2",
        Some("ann"),
        o("ann", "laboratory", "b", 2, 6.0)
            .token("code", "urn:local", "b")
            .reference("encounter", "Encounter", "e1"),
    )
    .await;
    bed.put(
        8,
        "Observation",
        "o3",
        Some("ann"),
        o("ann", "vital-signs", "a", 3, 7.0),
    )
    .await;
    bed.put(
        9,
        "Observation",
        "o4",
        Some("bob"),
        o("bob", "laboratory", "a", 2, 5.4),
    )
    .await;
    bed.put(
        10,
        "Observation",
        "o5",
        Some("bob"),
        bed.rows("Observation")
            .reference("subject", "Patient", "bob")
            .reference("patient", "Patient", "bob")
            .token("status", "", "registered"),
    )
    .await;
    let r = bed.rows("RiskAssessment").number("probability", 12.5);
    bed.put(11, "RiskAssessment", "r1", Some("bob"), r).await;
}

#[tokio::test]
async fn every_parameter_type_finds_what_it_should() {
    let cases: &[(&str, &str, &str)] = &[
        // token
        ("Observation", "category=laboratory", "o1 o2 o4"),
        ("Observation", "category=urn:cat|laboratory", "o1 o2 o4"),
        ("Observation", "category=|laboratory", ""),
        ("Observation", "status=|final", "o1 o2 o3 o4"),
        ("Observation", "category=urn:other|laboratory", ""),
        ("Observation", "code=urn:local|", "o2"),
        ("Observation", "code=b", "o2"),
        ("Observation", "code=a,b", "o1 o2 o3 o4"),
        ("Observation", "code=http://loinc.org|b,urn:local|a", "o2"),
        (
            "Observation",
            "code=http://loinc.org|a,http://loinc.org|b",
            "o1 o2 o3 o4",
        ),
        ("Observation", "code=urn:local|,a", "o1 o2 o3 o4"),
        ("Observation", "code:not=a", "o2 o5"),
        ("Observation", "code:missing=true", "o5"),
        ("Observation", "code:missing=false", "o1 o2 o3 o4"),
        ("Observation", "patient=ann&code:not=a", "o2"),
        ("Observation", "category=laboratory&code=a", "o1 o4"),
        ("Observation", "code=nothing", ""),
        ("Patient", "identifier=urn:mrn|mrn-Bob", "bob"),
        ("Patient", "gender=male,female", "ann bob"),
        // string
        ("Patient", "name=bo", "bob"),
        ("Patient", "name:exact=Bob", "bob"),
        ("Patient", "name:exact=bob", ""),
        ("Patient", "name:contains=O", "bob"),
        ("Organization", "name:contains=_", "org"),
        ("Organization", "name:contains=0%", "org"),
        ("Organization", "name:contains=y%25H", ""),
        ("Patient", "name=x,b", "bob"),
        ("Patient", "gender=male&name=bo", "bob"),
        // reference and patient
        ("Observation", "patient=ann", "o1 o2 o3"),
        ("Observation", "patient=Patient/ann", "o1 o2 o3"),
        ("Observation", "subject=Patient/bob", "o4 o5"),
        ("Observation", "subject=ann", "o1 o2 o3"),
        ("Observation", "subject:Patient=ann", "o1 o2 o3"),
        (
            "Observation",
            "patient=http://127.0.0.1:8080/fhir/r4/Patient/ann",
            "o1 o2 o3",
        ),
        ("Observation", "patient=http://elsewhere/Patient/ann", ""),
        ("Observation", "patient=ann,bob", "o1 o2 o3 o4 o5"),
        ("Observation", "patient=ann&patient=bob", ""),
        ("Observation", "patient=ann&category=laboratory", "o1 o2"),
        (
            "Observation",
            "patient=ann,bob&category=laboratory",
            "o1 o2 o4",
        ),
        ("Observation", "encounter=e1", "o2"),
        (
            "Observation",
            "patient=ann&encounter=Encounter/e1&code=b",
            "o2",
        ),
        ("Observation", "encounter:missing=true&patient=ann", "o1 o3"),
        ("Observation", "performer=Practitioner/doc&code=b", "o2"),
        // date
        ("Observation", "date=1970-01-03", "o2 o4"),
        ("Observation", "date=1970-01", "o1 o2 o3 o4"),
        ("Observation", "date=ge1970-01-03", "o2 o3 o4"),
        ("Observation", "date=gt1970-01-03", "o3"),
        ("Observation", "date=lt1970-01-03", "o1"),
        ("Observation", "date=le1970-01-03", "o1 o2 o4"),
        ("Observation", "date=sa1970-01-03", "o3"),
        ("Observation", "date=eb1970-01-03", "o1"),
        ("Observation", "date=ne1970-01-03", "o1 o3"),
        ("Observation", "date=1970-01-03T12:00Z", ""),
        (
            "Observation",
            "date=ge1970-01-03&date=lt1970-01-04",
            "o2 o4",
        ),
        ("Observation", "patient=ann&date=ge1970-01-03", "o2 o3"),
        (
            "Observation",
            "patient=ann&category=laboratory&date=ge1970-01-03",
            "o2",
        ),
        (
            "Observation",
            "category=laboratory&date=ge1970-01-03",
            "o2 o4",
        ),
        ("Patient", "birthdate=1970-01-01", "ann"),
        // quantity and number
        ("Observation", "value-quantity=5.4", "o1 o4"),
        ("Observation", "value-quantity=5", "o1 o4"),
        ("Observation", "value-quantity=5.0", ""),
        ("Observation", "value-quantity=6", "o2"),
        ("Observation", "value-quantity=gt5.4", "o2 o3"),
        (
            "Observation",
            "value-quantity=ge5.4|http://unitsofmeasure.org|mg",
            "o1 o2 o3 o4",
        ),
        ("Observation", "value-quantity=5.4||mg", "o1 o4"),
        ("Observation", "value-quantity=5.4||g", ""),
        ("Observation", "value-quantity=5.4|urn:x|mg", ""),
        ("Observation", "patient=bob&value-quantity=lt6", "o4"),
        ("Observation", "code=a&value-quantity=7", "o3"),
        ("RiskAssessment", "probability=12.5", "r1"),
        ("RiskAssessment", "probability=lt12", ""),
        ("RiskAssessment", "probability=ap12&patient=bob", "r1"),
        // composite
        ("Observation", "code-value-quantity=a$5.4", "o1 o4"),
        ("Observation", "code-value-quantity=a$gt6", "o3"),
        (
            "Observation",
            "code-value-quantity=http://loinc.org|b$6||mg",
            "o2",
        ),
        ("Observation", "patient=ann&code-value-quantity=a$lt6", "o1"),
        // uri
        ("Organization", "_profile=http://a/b/c", "org"),
        ("Organization", "_profile=http://a/b/c|1.0", "org"),
        ("Organization", "_profile=http://a/b/c|2.0", ""),
        ("Organization", "_profile:below=http://a/b", "org"),
        ("Organization", "_profile:below=http://a/bb", ""),
        // _id, _lastUpdated
        ("Observation", "_id=o1,o3,zz", "o1 o3"),
        ("Observation", "_id=o1&patient=bob", ""),
        ("Patient", "_id=ann", "ann"),
        ("Observation", "_lastUpdated=gt2100", ""),
        ("Observation", "_lastUpdated=lt2100&code=b", "o2"),
        // chains and _has
        ("Observation", "subject:Patient.name=bob", "o4 o5"),
        ("Observation", "subject.name=bob&code=a", "o4"),
        ("Observation", "patient.identifier=urn:mrn|mrn-Bob", "o4 o5"),
        ("Observation", "subject:Patient._id=ann", "o1 o2 o3"),
        (
            "Observation",
            "patient.gender=female&category=laboratory",
            "o1 o2",
        ),
        ("Observation", "patient.organization.name=mercy", "o4 o5"),
        ("Observation", "encounter.status=finished", "o2"),
        ("Observation", "encounter.patient.name=änn", "o2"),
        (
            "Observation",
            "performer:Practitioner.name=doc&code=b",
            "o2",
        ),
        ("Patient", "_has:Observation:patient:code=b", "ann"),
        ("Patient", "_has:Observation:subject:code=a", "ann bob"),
        (
            "Patient",
            "_has:Observation:patient:code=a&gender=male",
            "bob",
        ),
        ("Encounter", "_has:Observation:encounter:code=b", "e1"),
        (
            "Encounter",
            "_has:Observation:encounter:code=a&status=finished",
            "",
        ),
        (
            "Organization",
            "_has:Patient:organization:_has:Observation:patient:code=a",
            "org",
        ),
        (
            "Organization",
            "_has:Patient:organization:_has:Observation:patient:code=b",
            "",
        ),
        (
            "Practitioner",
            "_has:Observation:performer:patient.name=bob",
            "doc",
        ),
        // the whole system
        ("", "_id=ann,o1,org&_type=Patient,Observation", "ann o1"),
        ("", "_type=Patient,Encounter", "ann bob e1"),
        ("", "_profile=http://a/b/c", "org"),
    ];
    for bed in Bed::all().await {
        fill(&bed).await;
        for (type_name, query, expected) in cases {
            let found = bed.ids(&system(), type_name, query).await.join(" ");
            assert_eq!(
                &found,
                expected,
                "{:?} {type_name}?{query}",
                bed.store.backend()
            );
        }
    }
}

/// From resources, through extraction, to answers.
#[tokio::test]
async fn what_extraction_writes_is_what_queries_ask_for() {
    let patient = serde_json::json!({
        "resourceType": "Patient", "id": "p", "active": true, "gender": "female",
        "identifier": [{
            "type": {"coding": [{"system": "urn:types", "code": "MR"}], "text": "Medical record"},
            "system": "urn:mrn", "value": "12|34"
        }],
        "telecom": [{"system": "phone", "value": "555 0100", "use": "home"}],
        "name": [{"family": "Åström", "given": ["Zoë"]}], "birthDate": "1980-02"
    });
    let observation = serde_json::json!({
        "resourceType": "Observation", "id": "o", "status": "final",
        "meta": {"profile": ["http://x/p|2"], "tag": [{"system": "urn:t", "code": "t"}]},
        "code": {"coding": [{"system": "http://loinc.org", "code": "1-2", "display": "Glucose in blood"}]},
        "subject": {"reference": "Patient/p", "identifier": {"system": "urn:mrn", "value": "9"}},
        "effectivePeriod": {"start": "2020-01-01", "end": "2020-02-01"},
        "valueQuantity": {"value": 5.40, "unit": "mmol per l", "system": UCUM, "code": "mmol/L"},
        "performer": [{"reference": "http://elsewhere/Practitioner/1"}]
    });
    let questionnaire = serde_json::json!({
        "resourceType": "QuestionnaireResponse", "id": "q", "status": "completed",
        "questionnaire": "http://x/questions|3"
    });
    let sequence = serde_json::json!({
        "resourceType": "MolecularSequence", "id": "m", "coordinateSystem": 0,
        "referenceSeq": {
            "referenceSeqId": {"coding": [{"code": "NC"}]}, "windowStart": 10, "windowEnd": 20
        }
    });
    let document = serde_json::json!({
        "resourceType": "DocumentReference", "id": "d", "status": "current", "content": [],
        "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/old"}}]
    });
    let cases: &[(&str, &str, &str)] = &[
        ("Patient", "active=true", "p"),
        (
            "Patient",
            "gender=http://hl7.org/fhir/administrative-gender|female",
            "p",
        ),
        ("Patient", r"identifier=urn:mrn|12\|34", "p"),
        ("Patient", "identifier=12", ""),
        ("Patient", r"identifier:of-type=urn:types|MR|12\|34", "p"),
        ("Patient", r"identifier:of-type=|MR|12\|34", "p"),
        ("Patient", "identifier:of-type=urn:types|SS|12", ""),
        ("Patient", "identifier:text=medical", "p"),
        ("Patient", "phone=555 0100", "p"),
        ("Patient", "name=astrom", "p"),
        ("Patient", "given:exact=Zoë&family:contains=STR", "p"),
        ("Patient", "birthdate=1980", "p"),
        ("Patient", "birthdate=1980-02-01", ""),
        ("Patient", "birthdate=ap1980-02-01", "p"),
        ("Patient", "address:missing=true", "p"),
        ("Observation", "code=http://loinc.org|1-2", "o"),
        ("Observation", "code:text=glucose", "o"),
        ("Observation", "subject:identifier=urn:mrn|9", "o"),
        ("Observation", "patient=p", "o"),
        ("Observation", "date=2020", "o"),
        ("Observation", "date=gt2020-01-15", "o"),
        ("Observation", "date=lt2020-01-15", "o"),
        ("Observation", "date=sa2020-01-15", ""),
        (
            "Observation",
            "value-quantity=5.4|http://unitsofmeasure.org|mmol/L",
            "o",
        ),
        ("Observation", "value-quantity=5.4||mmol per l", "o"),
        ("Observation", "code-value-quantity=1-2$5.4||mmol/L", "o"),
        ("Observation", "code-value-quantity=1-2$gt5.4", ""),
        ("Observation", "_profile=http://x/p", "o"),
        ("Observation", "_profile=http://x/p|2", "o"),
        ("Observation", "_profile=http://x/p|1", ""),
        ("Observation", "_tag=urn:t|t", "o"),
        (
            "Observation",
            "performer=http://elsewhere/Practitioner/1",
            "o",
        ),
        ("Observation", "performer:missing=true", ""),
        (
            "QuestionnaireResponse",
            "questionnaire=http://x/questions",
            "q",
        ),
        (
            "QuestionnaireResponse",
            "questionnaire=http://x/questions|3",
            "q",
        ),
        (
            "QuestionnaireResponse",
            "questionnaire=http://x/questions|4",
            "",
        ),
        ("QuestionnaireResponse", "questionnaire:missing=false", "q"),
        (
            "MolecularSequence",
            "referenceseqid-window-coordinate=NC$ge10$le20",
            "m",
        ),
        (
            "MolecularSequence",
            "referenceseqid-window-coordinate=NC$gt10$le20",
            "",
        ),
        (
            "MolecularSequence",
            "referenceseqid-window-coordinate=NC$10$lt20",
            "",
        ),
        ("DocumentReference", "relatesto=old&relation=replaces", "d"),
        (
            "DocumentReference",
            "relationship=DocumentReference/new$replaces",
            "",
        ),
    ];
    for bed in Bed::all().await {
        let mut docs = Vec::new();
        for (number, resource) in
            (1..).zip([&patient, &observation, &questionnaire, &sequence, &document])
        {
            let kind = super::bed::type_id(resource["resourceType"].as_str().unwrap());
            let rows =
                crate::search::extract::extract(kind, resource, bed.store.keys(), super::bed::BASE);
            docs.push(super::bed::Doc {
                id: number * 16,
                type_id: kind,
                fhir_id: resource["id"].as_str().unwrap().to_owned(),
                patient: rows.patients.first().cloned(),
                updated: super::bed::NOW,
                rows,
            });
        }
        bed.insert(&docs, &[]).await;
        for (type_name, query, expected) in cases {
            let found = bed.ids(&system(), type_name, query).await.join(" ");
            assert_eq!(
                &found,
                expected,
                "{:?} {type_name}?{query}",
                bed.store.backend()
            );
        }
    }
}
