//! `candor import`, on both databases.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use candor::cli::import::{Report, import};
use candor::clock::Clock;
use candor::store::{Store, packed};
use flate2::Compression;
use flate2::write::GzEncoder;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::support::{T0, TestDatabase, each_database, shared};

async fn run(store: &Store, paths: &[&Path]) -> Report {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    import(store, &paths, false, false).await.unwrap()
}

async fn count(store: &Store, sql: &str) -> i64 {
    let statement = sea_orm::Statement::from_string(store.backend(), sql);
    let row = store.reader().query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

async fn body(store: &Store, id: &str) -> Value {
    let statement = sea_orm::Statement::from_string(
        store.backend(),
        format!("SELECT body FROM resource WHERE fhir_id = '{id}' AND rendition = 0"),
    );
    let row = store.reader().query_one_raw(statement).await.unwrap();
    let bytes = packed::column(&row.unwrap(), 0).unwrap().unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn refusals(report: &Report) -> Vec<(String, u64)> {
    report
        .refused
        .iter()
        .map(|refusal| {
            let file = refusal.file.rsplit('/').next().unwrap().to_owned();
            (file, refusal.entry)
        })
        .collect()
}

fn patient(id: &str) -> Value {
    json!({"resourceType": "Patient", "id": id, "name": [{"family": "Ruiz"}]})
}

fn observation(patient: &str) -> Value {
    json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
        "subject": {"reference": patient}})
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

each_database! {
    async fn a_folder_of_everything_is_loaded_and_what_is_wrong_is_named(server: TestServer) {
        let folder = server.directory().join("in");
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
        let lines = [patient("n1").to_string(), "{broken".to_owned(), String::new(),
            r#"{"resourceType":"Patient","id":"n4","gender":7}"#.to_owned(), patient("n5").to_string()];
        write("Patient.ndjson", lines.join("\n").as_bytes());
        write("sub/more.ndjson.gz", &gzip(&format!("{}\n{}\n", patient("g1"), patient("g2"))));
        write("single.json", patient("s1").to_string().as_bytes());
        write("broken.json", b"{\"resourceType\": \"Patient\", ");
        write("README.md", b"not for import");
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"fullUrl": "urn:uuid:6d2a4b9e-0000-4000-8000-000000000001", "resource":
                {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}},
            {"fullUrl": "urn:uuid:6d2a4b9e-0000-4000-8000-000000000002",
                "resource": observation("urn:uuid:6d2a4b9e-0000-4000-8000-000000000001"),
                "request": {"method": "POST", "url": "Observation"}},
            {"resource": {"resourceType": "Observation", "status": "final"}},
        ]});
        write("bundle.json.gz", &gzip(&bundle.to_string()));
        let store = &server.app().store;
        let report = run(store, &[&folder]).await;
        assert_eq!(report.total(), 7, "{report}");
        assert_eq!(report.skipped, 1);
        let mut refused = refusals(&report);
        refused.sort();
        let expected = [("Patient.ndjson", 2), ("Patient.ndjson", 4), ("broken.json", 0), ("bundle.json.gz", 3)];
        assert_eq!(refused, expected.map(|(file, entry)| (file.to_owned(), entry)), "{report}");
        let loaded = body(store, "6d2a4b9e-0000-4000-8000-000000000002").await;
        assert_eq!(loaded["subject"]["reference"], "Patient/6d2a4b9e-0000-4000-8000-000000000001");

        // Again: nothing is loaded twice, what was refused is named again.
        let again = run(store, &[&folder]).await;
        assert_eq!((again.total(), again.earlier), (0, report.files), "{again}");
        assert_eq!(again.refused.len(), report.refused.len(), "{again}");
        assert_eq!(count(store, "SELECT COUNT(*) FROM resource").await, 7);
        assert_eq!(count(store, "SELECT COUNT(*) FROM history").await, 0);
    }

    async fn conditional_references_find_what_other_files_hold(server: TestServer) {
        let folder = server.directory().join("in");
        std::fs::create_dir_all(&folder).unwrap();
        // "a" comes first in the folder and needs "z".
        let mut first = observation("Patient?identifier=urn:mrn|1");
        first["id"] = json!("o1");
        let mut lost = observation("Patient?identifier=urn:mrn|2");
        lost["id"] = json!("o2");
        std::fs::write(folder.join("a.ndjson"), format!("{}\n{first}\n{lost}\n", patient("p0"))).unwrap();
        let bundle = |id: &str| json!({"resourceType": "Bundle", "type": "batch", "entry": [
            {"fullUrl": format!("urn:uuid:{id}"), "resource": {"resourceType": "Patient",
                "identifier": [{"system": "urn:mrn", "value": "1"}]},
                "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:mrn|1"}},
            {"resource": {"resourceType": "Observation", "id": format!("o-{id}"), "status": "final",
                "code": {"text": "y"}, "subject": {"reference": format!("urn:uuid:{id}")}}},
        ]});
        std::fs::write(folder.join("y.json"), bundle("one").to_string()).unwrap();
        std::fs::write(folder.join("z.json"), bundle("two").to_string()).unwrap();
        let store = &server.app().store;
        let report = run(store, &[&folder]).await;
        assert_eq!(report.present, 1, "{report}");
        assert_eq!(refusals(&report), [("a.ndjson".to_owned(), 3)], "{report}");
        // Whichever of y and z came first: both of theirs and the one in "a" mean the same patient.
        let place = body(store, "o1").await["subject"]["reference"].clone();
        assert!(place == "Patient/one" || place == "Patient/two", "{place}");
        for observation in ["o-one", "o-two"] {
            assert_eq!(body(store, observation).await["subject"]["reference"], place);
        }
        assert_eq!(count(store, "SELECT COUNT(*) FROM resource").await, 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_was_stopped_goes_on() {
    let database = TestDatabase::create(crate::support::Database::Sqlite).await;
    let store = database.store(Clock::test(T0)).await;
    let path = database.directory().join("many.ndjson");
    let lines: Vec<String> = (0..4000)
        .map(|number| patient(&format!("p{number}")).to_string())
        .collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let stopped = tokio::spawn({
        let (store, paths) = (store.clone(), vec![path.clone()]);
        async move { import(&store, &paths, false, false).await }
    });
    while count(&store, "SELECT COUNT(*) FROM import_file").await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    stopped.abort();
    assert!(
        stopped.await.is_err(),
        "4000 resources were loaded before the import could be stopped"
    );
    let report = run(&store, &[&path]).await;
    assert!(report.total() < 4000, "{report}");
    assert_eq!(
        count(&store, "SELECT COUNT(*) FROM resource").await,
        4000,
        "{report}"
    );
    assert_eq!(count(&store, "SELECT COUNT(*) FROM history").await, 0);
}

#[tokio::test]
async fn synthetic_patients_load_whole() {
    let Some(bundles) = shared("data/synthea-20") else {
        return;
    };
    let notes = shared("data/synthea-notes-10").unwrap();
    let database = TestDatabase::create(crate::support::Database::Sqlite).await;
    let store = database.store(Clock::test(T0)).await;
    let report = run(&store, &[&bundles, &notes]).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.files, report.total()), (33, 12_227), "{report}");
}

#[tokio::test]
async fn official_examples_load_but_for_those_that_are_wrong() {
    let Some(examples) = shared("data/hl7-r4-examples.tgz") else {
        return;
    };
    let database = TestDatabase::create(crate::support::Database::Sqlite).await;
    let store = database.store(Clock::test(T0)).await;
    for package in ["hl7.fhir.us.core-6.1.0.tgz", "hl7.fhir.us.core-7.0.0.tgz"] {
        let report = run(&store, &[&shared("packages").unwrap().join(package)]).await;
        assert!(report.is_clean() && report.total() > 300, "{report}");
    }
    let report = run(&store, &[&examples]).await;
    assert!(report.total() > 5_000, "{report}");
    let explained = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/docs/official-examples.md"
    ))
    .unwrap();
    let unexplained: Vec<_> = report
        .refused
        .iter()
        .filter(|refusal| {
            let file = refusal.file.rsplit('/').next().unwrap();
            let name = file.strip_suffix(".json").unwrap();
            !explained.contains(&format!("`{name}`"))
        })
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
}
