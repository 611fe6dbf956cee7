//! What is found does not depend on which way it is found, and the plans read no more than they
//! should as a hospital grows: nothing from end to end, nothing sorted that an index has in order.

use sea_orm::{ConnectionTrait, DbBackend};

use super::bed::{Bed, Doc, NOW, Rows, pairs, system, type_id, viewer};
use crate::fhir::definitions::definitions;
use crate::search::SearchRequest;
use crate::search::explain::explain;
use crate::search::sql::range::LONG;
use crate::visibility::{Viewer, ViewerClass};

const DAY: i64 = 86_400_000;
/// A Monday of 2020.
const START: i64 = 1_580_688_000_000;
const PATIENTS: i64 = 30;
const DAYS: i64 = 40;

/// Patients with one Observation a day, and a few Encounters of which one goes on for a year.
async fn hospital(bed: &Bed) {
    let keys = bed.store.keys();
    let mut docs = Vec::new();
    let mut add = |kind: &str, id: String, patient: &str, rows: Rows<'_>| {
        let number = i64::try_from(docs.len()).unwrap() + 1;
        docs.push(Doc {
            id: number * 16,
            type_id: type_id(kind),
            fhir_id: id,
            patient: Some(patient.to_owned()),
            updated: NOW - 1_000_000 + number,
            rows: rows.rows,
        });
    };
    for p in 0..PATIENTS {
        let patient = format!("p{p:02}");
        let rows = Rows::new(keys, "Patient")
            .string("family", &format!("Fam{:02}", p % 7))
            .string("family", &format!("Maiden{p:02}"))
            .string("family", &format!("Fam{:02}", p % 7))
            .date(
                "birthdate",
                START - p * 400 * DAY,
                START - (p * 400 - 1) * DAY,
            )
            .token(
                "gender",
                "urn:g",
                ["female", "male"][usize::try_from(p % 2).unwrap()],
            );
        add("Patient", patient.clone(), &patient, rows);
        for day in 0..DAYS {
            let at = START + (day * 37 + p) % 400 * DAY;
            let rows = Rows::new(keys, "Observation")
                .token(
                    "code",
                    "urn:c",
                    ["a", "b"][usize::try_from(day % 2).unwrap()],
                )
                .token(
                    "code",
                    "urn:c",
                    if (p, day) == (3, 3) { "rare" } else { "usual" },
                )
                .token("category", "urn:k", "laboratory")
                .required(
                    "status",
                    match (p, day) {
                        (5, 5) => Some("amended"),
                        (6, 6) => None,
                        _ => Some("final"),
                    },
                )
                .code_quantity(
                    "code-value-quantity",
                    (
                        "http://loinc.org",
                        ["a", "b"][usize::try_from(day % 2).unwrap()],
                    ),
                    f64::from(i32::try_from(day).unwrap()),
                    "mg",
                )
                .quantity(
                    "value-quantity",
                    f64::from(i32::try_from(day).unwrap()),
                    "",
                    "mg",
                )
                .reference("patient", "Patient", &patient)
                .reference("subject", "Patient", &patient)
                .date("date", at, at + 1);
            add("Observation", format!("o{p:02}-{day:02}"), &patient, rows);
        }
        let stay = if p == 7 { 400 * DAY } else { DAY };
        let rows = Rows::new(keys, "Encounter")
            .token("class", "urn:v", "AMB")
            .reference("patient", "Patient", &patient)
            .reference("subject", "Patient", &patient)
            .date("date", START + p * DAY, START + p * DAY + stay);
        add("Encounter", format!("e{p:02}"), &patient, rows);
    }
    bed.insert(&docs, &[]).await;
    if bed.store.backend() == DbBackend::Postgres {
        let reader = bed.store.reader();
        reader.execute_unprepared("ANALYZE").await.unwrap();
    }
}

/// The plan of a search, its steps in one text.
async fn plan(bed: &Bed, type_name: &str, query: &str) -> String {
    plan_for(bed, &system(), type_name, query).await
}

async fn plan_for(bed: &Bed, who: &Viewer, type_name: &str, query: &str) -> String {
    let pairs = pairs(query);
    let request = SearchRequest {
        type_id: definitions().type_id(type_name),
        pairs: &pairs,
        compartment: None,
        strict: true,
    };
    let plan = explain(&bed.store, who, &request).await.unwrap();
    plan.to_string()
}

/// All pages of a search, joined.
async fn all(bed: &Bed, type_name: &str, query: &str) -> Vec<String> {
    super::pages::walk(bed, &system(), type_name, &format!("{query}&_count=50"))
        .await
        .concat()
}

#[tokio::test]
async fn a_range_of_dates_reads_its_neighbourhood_and_what_is_long() {
    const { assert!(LONG > 31 * DAY) };
    for bed in Bed::all().await {
        hospital(&bed).await;
        let from = "2020-02-20";
        for query in [
            format!("date=ge{from}&date=lt2020-02-22"),
            format!("date=gt{from}&date=lt2020-02-22"),
            format!("date=ge{from}&date=lt2020-02-22&_sort=date"),
            format!("date=ge{from}&date=lt2020-02-22&_sort=-date"),
        ] {
            let mut found = all(&bed, "Encounter", &query).await;
            found.sort_unstable();
            // Two days' own, and the one who has been there since the ninth.
            let own: &[&str] = if query.contains("gt") {
                &["e07", "e18"]
            } else {
                &["e07", "e17", "e18"]
            };
            assert_eq!(found, own, "{query}");
            let plan = plan(&bed, "Encounter", &query).await;
            assert!(plan.contains("UNION ALL"), "{plan}");
            if bed.store.backend() == DbBackend::Sqlite {
                assert!(plan.contains("low>? AND low<?"), "{query}: {plan}");
                assert!(plan.contains("idx_date_long"), "{query}: {plan}");
            }
        }
    }
}

#[tokio::test]
async fn few_matches_lead_and_many_are_walked_to() {
    for bed in Bed::all().await {
        hospital(&bed).await;
        // The same by either way: each query beside one that says the same otherwise.
        for (query, same) in [
            ("code=a&_sort=-date", "code=urn:c|a&code:not=b&_sort=-date"),
            (
                "code=rare&_sort=-date",
                "code=rare&category=laboratory&_sort=-date,_id",
            ),
            ("code=a,b", "category=laboratory"),
            ("code=a&category=laboratory", "code=a"),
            ("value-quantity=gt37", "value-quantity=38,39"),
            ("value-quantity=ge38&code=b", "value-quantity=39"),
            ("value-quantity=lt2", "value-quantity=0,1"),
            ("value-quantity=le1&code=b", "value-quantity=1"),
        ] {
            let (one, other) = (
                all(&bed, "Observation", query).await,
                all(&bed, "Observation", same).await,
            );
            assert!(!one.is_empty(), "{query}");
            assert_eq!(one, other, "{query}");
        }
        let text = plan(&bed, "Observation", "code=rare&_sort=-date").await;
        assert!(text.contains("the token 'code'"), "{text}");
        let text = plan(&bed, "Observation", "category=laboratory&code=rare").await;
        assert!(text.contains("the token 'code'"), "{text}");
        for (query, table) in [
            ("code=a&_sort=-date", "idx_date"),
            ("category=laboratory&_sort=date", "idx_date"),
            ("code=a,b&_count=5", "resource"),
            ("value-quantity=lt20", "resource"),
            ("_lastUpdated=gt2020-01-01&_sort=-_lastUpdated", "resource"),
        ] {
            let text = plan(&bed, "Observation", query).await;
            assert!(!text.contains("the token"), "{query}: {text}");
            assert!(text.contains(&format!("FROM {table}")), "{query}: {text}");
            if bed.store.backend() == DbBackend::Sqlite {
                assert!(
                    !text.contains("TEMP B-TREE FOR ORDER BY"),
                    "{query}: {text}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_type_is_sorted_by_its_strings_along_their_index() {
    for bed in Bed::all().await {
        hospital(&bed).await;
        let nameless = Doc {
            id: 16 * 100_000,
            type_id: type_id("Patient"),
            fhir_id: "nameless".to_owned(),
            patient: Some("nameless".to_owned()),
            updated: NOW,
            rows: Rows::new(bed.store.keys(), "Patient").rows,
        };
        bed.insert(&[nameless], &[]).await;
        let ups = all(&bed, "Patient", "_sort=family").await;
        let downs = all(&bed, "Patient", "_sort=-family").await;
        assert_eq!(ups.len(), 31);
        assert_eq!(ups[..6], ["p00", "p07", "p14", "p21", "p28", "p01"]);
        assert_eq!(ups[30], "nameless");
        assert_eq!(downs[..3], ["p29", "p28", "p27"]);
        assert_eq!(downs[30], "nameless");
        let text = plan(&bed, "Patient", "_sort=family").await;
        assert!(text.contains("FROM idx_string"), "{text}");
    }
}

#[tokio::test]
async fn several_types_of_one_patient_are_found_by_the_patient() {
    for bed in Bed::all().await {
        hospital(&bed).await;
        let query = "_type=Observation,Encounter&patient=p03";
        assert_eq!(all(&bed, "", query).await.len(), 41);
        let text = plan(&bed, "", query).await;
        assert!(text.contains("t1.patient = $1"), "{text}");
        // By time of change, along the index of all types.
        let query = "_type=Encounter,Patient&_sort=-_lastUpdated&_count=3";
        let text = plan(&bed, "", query).await;
        if bed.store.backend() == DbBackend::Sqlite {
            assert!(text.contains("resource_changed"), "{text}");
        }
        assert_eq!(bed.ids(&system(), "", query).await, ["e29", "p29", "e28"]);
    }
}

/// A patient may have any number of accesses: one of them is not looked for among all.
#[tokio::test]
async fn the_accesses_of_a_patient_are_found_one_by_one() {
    for bed in Bed::all().await {
        let keys = bed.store.keys();
        let mut docs = Vec::new();
        for (number, patient) in ["p", "q", "p", "p", "p", "p", "p", "p"].iter().enumerate() {
            let number = i64::try_from(number).unwrap() + 1;
            let at = START + number * 37 % 8 * DAY;
            let mut rows = Rows::new(keys, "AuditEvent")
                .reference("patient", "Patient", patient)
                .token("outcome", "urn:o", "0");
            if number != 4 {
                rows = rows.date("date", at, at + 1);
            }
            docs.push(Doc {
                id: number * 16,
                type_id: type_id("AuditEvent"),
                fhir_id: format!("a{number}"),
                patient: Some((*patient).to_owned()),
                updated: NOW - 1_000_000 + number,
                rows: rows.rows,
            });
        }
        bed.insert(&docs, &[]).await;
        let ids = async |query: &str| all(&bed, "AuditEvent", query).await;
        let sorted = ["a8", "a5", "a7", "a1", "a6", "a3", "a4"];
        assert_eq!(ids("patient=p&_sort=date").await, sorted);
        let mut downs = ids("patient=p&_sort=-date").await;
        assert_eq!(downs.pop().as_deref(), Some("a4"));
        downs.reverse();
        assert_eq!(downs, sorted[..6]);
        assert_eq!(ids("patient=q&_sort=-date").await, ["a2"]);
        assert_eq!(ids("patient=p&date:missing=true").await, ["a4"]);
        assert_eq!(ids("patient=p&outcome:missing=true").await.len(), 0);
        assert_eq!(ids("patient=p&date=ge2020-02-07").await, ["a1", "a3", "a6"]);
        assert_eq!(ids("patient=p&_sort=outcome,date").await, sorted);
        assert_eq!(ids("patient=p&_sort=outcome,-date").await.len(), 7);
        // Of many the dates are walked.
        let text = plan(&bed, "AuditEvent", "patient=p&_sort=-date").await;
        assert!(text.contains("FROM idx_date t1"), "{text}");
        if bed.store.backend() == DbBackend::Sqlite {
            for query in [
                "patient=q&_sort=-date",
                "patient=q&date=ge2020-01-01",
                "patient=p&date:missing=true",
            ] {
                let text = plan(&bed, "AuditEvent", query).await;
                assert!(text.contains("idx_date_log"), "{query}: {text}");
                assert!(!text.contains("idx_date_patient"), "{query}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn what_few_of_all_types_have_leads_to_them() {
    for bed in Bed::all().await {
        hospital(&bed).await;
        let tagged = |number: i64, kind: &str, tag: &str| Doc {
            id: (200_000 + number) * 16,
            type_id: type_id(kind),
            fhir_id: format!("{tag}{number}"),
            patient: Some("p01".to_owned()),
            updated: NOW,
            rows: bed
                .rows(kind)
                .token("_tag", "urn:t", tag)
                .uri("_profile", &format!("urn:{tag}"))
                .rows,
        };
        let mut docs = vec![tagged(1, "Encounter", "rare"), tagged(2, "Patient", "rare")];
        docs.extend((3..13).map(|number| tagged(number, "Observation", "usual")));
        bed.insert(&docs, &[]).await;
        for query in ["_tag=urn:t|rare", "_tag=rare", "_profile=urn:rare"] {
            assert_eq!(all(&bed, "", query).await, ["rare1", "rare2"], "{query}");
            let text = plan(&bed, "", query).await;
            assert!(!text.contains("FROM resource t1"), "{query}: {text}");
        }
        assert_eq!(all(&bed, "", "_tag=usual").await.len(), 10);
        let text = plan(&bed, "", "_tag=usual").await;
        assert!(text.contains("FROM resource t1"), "{text}");
        // Nobody has it.
        let query = "_has:Observation:patient:code=urn:c|none";
        assert_eq!(all(&bed, "", query).await.len(), 0);
        let text = plan(&bed, "", query).await;
        assert!(!text.contains("SCAN t1"), "{text}");
        let query = "_has:Observation:patient:code=urn:c|rare";
        assert_eq!(all(&bed, "", query).await, ["p03"]);
        // All that anybody may see of all types is read beside the log of accesses.
        if bed.store.backend() == DbBackend::Sqlite {
            let hers = viewer(ViewerClass::Patient, Some("p01"), "patient/*.rs");
            for who in [system(), hers] {
                let text = plan_for(&bed, &who, "", "_total=none").await;
                assert!(text.contains("resource_record"), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_as_usual_is_found_beside_what_is() {
    for bed in Bed::all().await {
        hospital(&bed).await;
        let ids = async |query: &str| all(&bed, "Observation", query).await;
        assert_eq!(ids("status:not=final").await, ["o05-05", "o06-06"]);
        assert_eq!(ids("status:not=final&code=a").await, ["o06-06"]);
        assert_eq!(ids("status:not=final,amended").await, ["o06-06"]);
        assert_eq!(ids("status:not=urn:required|final").await.len(), 2);
        assert_eq!(ids("status:not=urn:other|final").await.len(), 1_200);
        assert_eq!(ids("status:not=amended").await.len(), 1_199);
        let query = "status:not=final&_summary=count";
        let counted = bed.search(&system(), "Observation", query).await.unwrap();
        assert_eq!(counted.total, Some(2));
        let text = plan(&bed, "Observation", "status:not=final").await;
        assert!(text.contains("the token 'status'"), "{text}");
        // Many exceptions: each resource is asked about itself.
        for query in ["status:not=amended", "status:not=urn:required|final"] {
            let text = plan(&bed, "Observation", query).await;
            assert!(text.contains("in order of their ids"), "{query}: {text}");
            assert!(!text.contains("Anti Join"), "{query}: {text}");
        }
    }
}

#[tokio::test]
async fn a_code_with_a_number_is_found_by_both_or_in_order() {
    for bed in Bed::all().await {
        hospital(&bed).await;
        for (query, same) in [
            ("code-value-quantity=a$gt36", "value-quantity=38"),
            ("code-value-quantity=a$ge36", "value-quantity=36,38"),
            ("code-value-quantity=a$lt2", "value-quantity=0"),
            ("code-value-quantity=b$le3", "value-quantity=1,3"),
            ("code-value-quantity=b$7", "value-quantity=7"),
            ("code-value-quantity=a$gt100", "value-quantity=100"),
        ] {
            let found = all(&bed, "Observation", query).await;
            assert_eq!(found, all(&bed, "Observation", same).await, "{query}");
        }
        if bed.store.backend() == DbBackend::Sqlite {
            let many = plan(&bed, "Observation", "code-value-quantity=a$gt20").await;
            assert!(many.contains("idx_composite_code"), "{many}");
            assert!(!many.contains("B-TREE FOR ORDER BY"), "{many}");
            let few = plan(&bed, "Observation", "code-value-quantity=a$gt100").await;
            assert!(few.contains("idx_composite_low"), "{few}");
            assert!(few.contains("low>?"), "{few}");
        }
    }
}

#[tokio::test]
async fn a_type_is_sorted_by_its_quantities_along_their_index() {
    for bed in Bed::all().await {
        hospital(&bed).await;
        let expected = |descending: bool| {
            let mut order: Vec<(i64, i64)> = (0..PATIENTS)
                .flat_map(|p| (0..DAYS).map(move |day| (day, p)))
                .collect();
            order.sort_unstable();
            if descending {
                order.reverse();
            }
            let names = order
                .into_iter()
                .map(|(day, p)| format!("o{p:02}-{day:02}"));
            names.collect::<Vec<_>>()
        };
        for (query, descending) in [
            ("_sort=value-quantity", false),
            ("_sort=-value-quantity", true),
        ] {
            assert_eq!(all(&bed, "Observation", query).await, expected(descending));
            let text = plan(&bed, "Observation", query).await;
            assert!(text.contains("FROM idx_quantity"), "{text}");
            if bed.store.backend() == DbBackend::Sqlite {
                assert!(!text.contains("PART OF ORDER BY"), "{text}");
            }
            // By more than the index is in the order of, PostgreSQL would sort to tell rows apart.
            assert!(
                text.contains("DISTINCT t1.id AS id, t1.low AS k0"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn of_several_orders_the_first_is_walked() {
    for bed in Bed::all().await {
        hospital(&bed).await;
        let found = all(&bed, "Observation", "_sort=-value-quantity,-date").await;
        let mut expected: Vec<(i64, i64, String)> = (0..PATIENTS)
            .flat_map(|p| {
                (0..DAYS).map(move |day| (day, (day * 37 + p) % 400, format!("o{p:02}-{day:02}")))
            })
            .collect();
        expected.sort_unstable();
        expected.reverse();
        let expected: Vec<String> = expected.into_iter().map(|(_, _, id)| id).collect();
        assert_eq!(found, expected);
        let youngest = all(&bed, "Patient", "_sort=-birthdate,family").await;
        assert_eq!(youngest[..3], ["p00", "p01", "p02"]);
        for (kind, query, table) in [
            ("Patient", "_sort=-birthdate,family", "FROM idx_date"),
            ("Patient", "_sort=family,birthdate", "FROM idx_string"),
            ("Observation", "_sort=date,code", "FROM idx_date"),
        ] {
            let text = plan(&bed, kind, query).await;
            assert!(text.contains("has the order"), "{query}: {text}");
            assert!(text.contains(table), "{query}: {text}");
        }
    }
}
