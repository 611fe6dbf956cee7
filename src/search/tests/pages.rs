//! Pages, order, totals.

use super::bed::{Bed, pairs, system, viewer};
use super::parameters::fill;
use crate::search::{SearchError, View};
use crate::visibility::{Viewer, ViewerClass};

/// Follows next links; the ids of each page.
pub async fn walk(bed: &Bed, who: &Viewer, type_name: &str, query: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = query.to_owned();
    loop {
        let result = bed.search(who, type_name, &next).await.unwrap();
        pages.push(result.entries.into_iter().map(|e| e.fhir_id).collect());
        match result.next {
            Some(cursor) => next = format!("{}&_cursor={cursor}", result.self_query),
            None => return pages,
        }
        assert!(pages.len() < 100, "endless");
    }
}

#[tokio::test]
async fn pages_follow_each_other_in_every_order() {
    let cases: &[(&str, &str)] = &[
        ("", "o1 o2|o3 o4|o5"),
        ("&_sort=_id", "o1 o2|o3 o4|o5"),
        ("&_sort=-_id", "o5 o4|o3 o2|o1"),
        ("&_sort=-_lastUpdated", "o5 o4|o3 o2|o1"),
        ("&_sort=date", "o1 o2|o4 o3|o5"),
        ("&_sort=-date", "o3 o4|o2 o1|o5"),
        ("&_sort=-date,-_id", "o3 o4|o2 o1|o5"),
        ("&_sort=value-quantity,-date", "o4 o1|o2 o3|o5"),
        ("&_sort=-date,_id", "o3 o2|o4 o1|o5"),
        ("&_sort=-value-quantity", "o3 o2|o4 o1|o5"),
        ("&patient=ann&_sort=-date", "o3 o2|o1"),
        ("&patient=ann,bob&_sort=-date", "o3 o4|o2 o1|o5"),
        ("&_id=o3,o1,o2&_sort=-date", "o3 o2|o1"),
        ("&category=laboratory&_sort=-date", "o4 o2|o1"),
        ("&code=a,b&_sort=-date", "o3 o4|o2 o1"),
        ("&date=ge1970-01-03&_sort=date", "o2 o4|o3"),
        ("&patient=bob&_sort=date", "o4 o5"),
        ("&patient=bob&_sort=-date&date=le1970-01-03", "o4"),
    ];
    for bed in Bed::all().await {
        fill(&bed).await;
        for (query, expected) in cases {
            let pages = walk(&bed, &system(), "Observation", &format!("_count=2{query}")).await;
            let pages: Vec<String> = pages.iter().map(|page| page.join(" ")).collect();
            assert_eq!(&pages.join("|"), expected, "{query}");
        }
        let by_name = walk(&bed, &system(), "Patient", "_count=1&_sort=-family").await;
        assert_eq!(by_name, [["bob"], ["ann"]], "folded, Änn is before Bob");
    }
}

#[tokio::test]
async fn totals_are_free_on_a_whole_page_and_counted_when_asked() {
    for bed in Bed::all().await {
        fill(&bed).await;
        let total = async |query: &str| {
            let result = bed.search(&system(), "Observation", query).await.unwrap();
            (result.total, result.entries.len())
        };
        assert_eq!(total("category=laboratory").await, (Some(3), 3));
        assert_eq!(total("_count=2").await, (None, 2));
        assert_eq!(total("_count=2&_total=accurate").await, (Some(5), 2));
        assert_eq!(total("_count=1&code=b&_total=accurate").await, (Some(1), 1));
        assert_eq!(total("_summary=count&code=a,b").await, (Some(4), 0));
        assert_eq!(total("_count=0").await, (Some(5), 0));
        let result = bed
            .search(&system(), "Observation", "_elements=id,status&code=b")
            .await
            .unwrap();
        assert_eq!(
            result.view,
            View::Elements(vec!["id".to_owned(), "status".to_owned()])
        );
    }
}

#[tokio::test]
async fn a_cursor_is_of_one_viewer_and_one_query() {
    let bed = Bed::sqlite().await;
    fill(&bed).await;
    let first = bed
        .search(&system(), "Observation", "_count=2&status=final")
        .await
        .unwrap();
    let cursor = first.next.unwrap();
    let with = |query: &str| format!("{query}&_cursor={cursor}");
    assert!(
        bed.search(&system(), "Observation", &with("_count=2&status=final"))
            .await
            .is_ok()
    );
    for query in [
        "_count=2",
        "_count=3&status=final",
        "_count=2&status=final&_sort=date",
        "status=final",
    ] {
        let refused = bed.search(&system(), "Observation", &with(query)).await;
        assert!(matches!(refused, Err(SearchError::Invalid(_))), "{query}");
    }
    let refused = bed.search(&system(), "Patient", &with("_count=2")).await;
    assert!(matches!(refused, Err(SearchError::Invalid(_))));
    let mut other = system();
    other.client_id = "other".to_owned();
    let refused = bed
        .search(&other, "Observation", &with("_count=2&status=final"))
        .await;
    assert!(matches!(refused, Err(SearchError::Invalid(_))));
    let ann = viewer(ViewerClass::Patient, Some("ann"), "patient/*.rs");
    let refused = bed
        .search(&ann, "Observation", &with("_count=2&status=final"))
        .await;
    assert!(matches!(refused, Err(SearchError::Invalid(_))));
}

#[tokio::test]
async fn conditions_for_conditional_writes() {
    for bed in Bed::all().await {
        fill(&bed).await;
        let now = super::bed::NOW;
        let visibility = crate::visibility::Visibility::of(&system(), bed.store.keys(), now, now);
        let find = async |query: &str| {
            let tx = bed.store.begin().await.unwrap();
            crate::search::find_ids(
                &bed.store,
                tx.connection(),
                &visibility,
                super::bed::type_id("Observation"),
                &pairs(query),
                2,
            )
            .await
        };
        assert_eq!(find("code=b").await.unwrap(), [("o2".to_owned(), 7 * 16)]);
        assert_eq!(find("code=a").await.unwrap().len(), 2);
        assert_eq!(find("code=zz").await.unwrap().len(), 0);
        assert!(find("nonsense=1").await.is_err());
        assert!(find("_sort=date").await.is_err());
    }
}
