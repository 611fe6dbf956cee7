//! Scopes, compartments, holds and renditions, on everything a search reaches.

use super::bed::{Bed, Doc, Hold, NOW, pairs, system, type_id, viewer};
use super::parameters::fill;
use crate::search::{SearchError, SearchRequest, search};
use crate::visibility::{Viewer, ViewerClass, audience};

fn ann(scopes: &str) -> Viewer {
    viewer(ViewerClass::Patient, Some("ann"), scopes)
}

#[tokio::test]
async fn scopes_narrow_every_search() {
    let cases: &[(&str, &str, &str)] = &[
        ("patient/*.rs", "code=a", "o1 o3"),
        ("patient/*.rs", "", "o1 o2 o3"),
        ("patient/*.rs", "patient=bob", ""),
        ("patient/*.rs", "patient=ann&category=laboratory", "o1 o2"),
        (
            "patient/Observation.rs?category=urn:cat|laboratory",
            "",
            "o1 o2",
        ),
        (
            "patient/Observation.rs?category=urn:cat|laboratory",
            "code=a",
            "o1",
        ),
        (
            "patient/Observation.rs?category=urn:cat|laboratory patient/Observation.rs?category=vital-signs",
            "code=a",
            "o1 o3",
        ),
        (
            "patient/Observation.rs?category=laboratory patient/Observation.rs?code=a",
            "",
            "o1 o2 o3",
        ),
        (
            "patient/Observation.rs?nonsense=1 patient/Observation.rs?code=b",
            "",
            "o2",
        ),
        ("user/Observation.rs", "code=a", "o1 o3"),
    ];
    for bed in Bed::all().await {
        fill(&bed).await;
        for (scopes, query, expected) in cases {
            let found = bed.ids(&ann(scopes), "Observation", query).await.join(" ");
            assert_eq!(&found, expected, "{scopes}: {query}");
        }
        for (scopes, type_name, query) in [
            ("patient/Patient.rs", "Observation", ""),
            ("patient/Observation.r", "Observation", ""),
            ("patient/Observation.rs?nonsense=1", "Observation", ""),
            (
                "patient/Observation.rs",
                "Observation",
                "subject:Patient.name=a",
            ),
            (
                "patient/Patient.rs",
                "Patient",
                "_has:Observation:patient:code=a",
            ),
        ] {
            let refused = bed.search(&ann(scopes), type_name, query).await;
            assert!(
                matches!(refused, Err(SearchError::Forbidden(_))),
                "{scopes} {query}"
            );
        }
        // A chain goes through what the viewer may see, and nothing else.
        let all = ann("patient/*.rs");
        assert_eq!(
            bed.ids(&all, "Observation", "patient.name=änn&code=b")
                .await,
            ["o2"]
        );
        assert_eq!(bed.ids(&all, "Patient", "").await, ["ann"]);
        assert_eq!(bed.ids(&all, "Practitioner", "").await, ["doc"]);
        assert!(
            bed.ids(
                &all,
                "Practitioner",
                "_has:Observation:performer:subject=Patient/bob"
            )
            .await
            .is_empty()
        );
        // The whole system: each type by its own scopes.
        let some = ann(
            "patient/Patient.rs patient/Observation.rs?category=laboratory user/Organization.rs",
        );
        assert_eq!(bed.ids(&some, "", "").await, ["ann", "org", "o1", "o2"]);
        assert_eq!(
            bed.ids(&some, "", "_type=Observation,Encounter").await,
            ["o1", "o2"]
        );
        assert_eq!(
            bed.ids(&some, "", "_id=ann,o3,bob,org").await,
            ["ann", "org"]
        );
        let refused = bed.search(&some, "", "_type=Encounter").await;
        assert!(matches!(refused, Err(SearchError::Forbidden(_))));
    }
}

#[tokio::test]
async fn compartments() {
    for bed in Bed::all().await {
        fill(&bed).await;
        let find = async |compartment, type_name, query: &str| {
            let pairs = pairs(query);
            let request = SearchRequest {
                type_id: crate::fhir::definitions::definitions().type_id(type_name),
                pairs: &pairs,
                compartment: Some(compartment),
                strict: true,
            };
            let found = search(&bed.store, &system(), &request).await.unwrap();
            let ids: Vec<String> = found.entries.into_iter().map(|e| e.fhir_id).collect();
            ids.join(" ")
        };
        assert_eq!(
            find(("Patient", "ann"), "Observation", "code=a").await,
            "o1 o3"
        );
        assert_eq!(find(("Patient", "ann"), "", "").await, "ann e1 o1 o2 o3");
        assert_eq!(find(("Encounter", "e1"), "Observation", "").await, "o2");
        assert_eq!(
            find(("Practitioner", "doc"), "Observation", "code=b").await,
            "o2"
        );
    }
}

fn hold(number: i64, audience: i64) -> Hold {
    Hold {
        doc: number * 16,
        audience,
        starts: 0,
        ends: NOW + 1,
        exempt: 0,
        shown: 0,
    }
}

#[tokio::test]
async fn what_is_held_is_absent_everywhere() {
    for bed in Bed::all().await {
        fill(&bed).await;
        // o1 is held from the patient side; Encounter e1 too; o3 no longer.
        let mut past = hold(8, audience::PATIENT_SIDE);
        past.ends = NOW;
        bed.insert(
            &[],
            &[
                hold(6, audience::PATIENT_SIDE),
                hold(5, audience::PATIENT_SIDE),
                past,
            ],
        )
        .await;
        let ann = ann("patient/*.rs");
        let cases: &[(&str, &str, &str)] = &[
            ("Observation", "", "o2 o3"),
            ("Observation", "patient=ann&category=laboratory", "o2"),
            ("Observation", "_id=o1,o2", "o2"),
            ("Observation", "code:not=b", "o3"),
            ("Observation", "value-quantity=5.4", ""),
            ("Observation", "date=1970-01-02", ""),
            ("Observation", "encounter.status=finished", ""),
            ("Observation", "encounter=e1", "o2"),
            ("Observation", "_sort=date", "o2 o3"),
            ("Observation", "_include=Observation:encounter&code=b", "o2"),
            ("Observation", "_include=*&code=b", "o2 ann doc"),
            ("Encounter", "_has:Observation:encounter:code=b", ""),
            ("Patient", "_revinclude=Observation:subject", "ann o2 o3"),
            ("Patient", "_has:Observation:patient:value-quantity=5.4", ""),
            ("Patient", "_has:Observation:subject:date=1970-01-02", ""),
            (
                "Practitioner",
                "_has:Observation:performer:value-quantity=5.4",
                "",
            ),
            ("", "_type=Observation,Encounter", "o2 o3"),
        ];
        for (type_name, query, expected) in cases {
            let found = bed.ids(&ann, type_name, query).await.join(" ");
            assert_eq!(&found, expected, "{type_name}?{query}");
        }
        let count = bed
            .search(&ann, "Observation", "_summary=count")
            .await
            .unwrap();
        assert_eq!(count.total, Some(2));
        assert_eq!(
            bed.ids(&system(), "Observation", "patient=ann").await,
            ["o1", "o2", "o3"]
        );
        // A chain on the id of something held finds nothing.
        bed.insert(&[], &[hold(1, audience::PATIENT)]).await;
        assert!(
            bed.ids(&ann, "Observation", "subject:Patient._id=ann")
                .await
                .is_empty()
        );
        assert!(
            bed.ids(&ann, "Observation", "patient.name=änn")
                .await
                .is_empty()
        );
        // The clock's stroke ends it.
        assert!(bed.store.clock().set(NOW + 1));
        assert_eq!(bed.ids(&ann, "Observation", "").await, ["o1", "o2", "o3"]);
    }
}

#[tokio::test]
async fn pages_agree_with_the_first_one() {
    for bed in Bed::all().await {
        fill(&bed).await;
        bed.insert(&[], &[hold(8, audience::PATIENT)]).await;
        let ann = ann("patient/*.rs");
        let first = bed.search(&ann, "Observation", "_count=1").await.unwrap();
        let next = format!("_count=1&_cursor={}", first.next.unwrap());
        assert!(bed.store.clock().set(NOW + 10));
        let second = bed.search(&ann, "Observation", &next).await.unwrap();
        assert_eq!(second.entries[0].fhir_id, "o2");
        assert_eq!(second.next, None, "o3 was held when the search began");
    }
}

#[tokio::test]
async fn a_rendition_stands_in_for_what_is_held_in_part() {
    for bed in Bed::all().await {
        fill(&bed).await;
        let rows = bed
            .rows("Observation")
            .token("code", "http://loinc.org", "redacted")
            .reference("patient", "Patient", "ann");
        let doc = Doc {
            id: 6 * 16 + 1,
            type_id: type_id("Observation"),
            fhir_id: "o1".to_owned(),
            patient: Some("ann".to_owned()),
            updated: NOW,
            rows: rows.rows,
        };
        let mut partly = hold(6, audience::PATIENT_SIDE);
        partly.shown = 1;
        bed.insert(&[doc], &[partly]).await;
        bed.say(6 * 16, "blood secret", "blood secret pressure")
            .await;
        bed.say(6 * 16 + 1, "blood", "blood pressure").await;
        let ann = ann("patient/*.rs");
        // Words that are held match for nobody from whom they are held.
        for (query, hers, all) in [
            ("_text=blood", "o1", "o1"),
            ("_text=secret", "", "o1"),
            ("_content=secret", "", "o1"),
            ("_content=pressure -secret", "o1", ""),
            ("_content=sec* OR pressure", "o1", "o1"),
        ] {
            let found = bed.ids(&ann, "Observation", query).await.join(" ");
            assert_eq!(found, hers, "{query}");
            let found = bed.ids(&system(), "Observation", query).await.join(" ");
            assert_eq!(found, all, "{query}");
        }
        assert_eq!(bed.ids(&ann, "Observation", "").await, ["o1", "o2", "o3"]);
        assert_eq!(bed.ids(&ann, "Observation", "code=redacted").await, ["o1"]);
        assert_eq!(bed.ids(&ann, "Observation", "code=a").await, ["o3"]);
        assert_eq!(
            bed.ids(&ann, "Patient", "_has:Observation:patient:code=redacted")
                .await,
            ["ann"]
        );
        let found = bed.search(&ann, "Observation", "_id=o1").await.unwrap();
        let body = std::str::from_utf8(&found.entries[0].body).unwrap();
        assert!(body.contains(r#""rendition":1"#), "{body}");
        assert_eq!(
            bed.ids(&system(), "Observation", "code=redacted").await,
            [""; 0]
        );
        assert_eq!(
            bed.ids(&system(), "Observation", "code=a&patient=ann")
                .await,
            ["o1", "o3"]
        );
        // Another row that shows nothing wins over both.
        bed.insert(&[], &[hold(6, audience::PATIENT)]).await;
        assert_eq!(bed.ids(&ann, "Observation", "").await, ["o2", "o3"]);
    }
}
