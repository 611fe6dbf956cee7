//! `_include` and `_revinclude`.

use super::bed::{Bed, system, viewer};
use super::parameters::fill;
use crate::visibility::ViewerClass;

#[tokio::test]
async fn includes_bring_along_what_may_be_seen() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "Observation",
            "code=b&_include=Observation:subject",
            "o2 ann",
        ),
        (
            "Observation",
            "code=b&_include=Observation:subject:Group",
            "o2",
        ),
        (
            "Observation",
            "code=b&_include=Observation:*",
            "o2 ann doc e1",
        ),
        ("Observation", "code=b&_include=*", "o2 ann doc e1"),
        (
            "Observation",
            "code=a&_include=Observation:subject",
            "o1 o3 o4 ann bob",
        ),
        (
            "Observation",
            "_id=o4&_include=Observation:patient&_include:iterate=Patient:organization",
            "o4 bob org",
        ),
        (
            "Observation",
            "_id=o4&_include=Observation:patient&_include=Patient:organization",
            "o4 bob",
        ),
        (
            "Patient",
            "_id=ann&_revinclude=Observation:subject",
            "ann o1 o2 o3",
        ),
        (
            "Patient",
            "_id=ann&_revinclude=Observation:patient&_revinclude=Encounter:patient",
            "ann o1 o2 o3 e1",
        ),
        ("Patient", "_id=ann&_revinclude=*", "ann e1 o1 o2 o3"),
        (
            "Organization",
            "_id=org&_revinclude=Patient:organization&_revinclude:iterate=Observation:patient",
            "org bob o4 o5",
        ),
    ];
    for bed in Bed::all().await {
        fill(&bed).await;
        for (type_name, query, expected) in cases {
            let found = bed.ids(&system(), type_name, query).await.join(" ");
            assert_eq!(&found, expected, "{type_name}?{query}");
        }
        let ann = viewer(
            ViewerClass::Patient,
            Some("ann"),
            "patient/Observation.rs patient/Patient.rs",
        );
        let found = bed.ids(&ann, "Observation", "code=b&_include=*").await;
        assert_eq!(found, ["o2", "ann"], "no scope opens the others");
    }
}
