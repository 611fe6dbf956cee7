//! `kill -9` during imports: every acknowledged write is whole, indexed and decided, and nothing
//! else is half there.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use ::candor::clock::{Clock, instant};
use ::candor::store::Store;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::support::{Database, T0, TestDatabase, candor};

/// Imports that are killed, on each database.
const KILLS: u32 = 50;
const PATIENTS: usize = 120;
/// When they are struck, as parts of the time that an undisturbed import takes.
const PARTS: [f64; 7] = [0.3, 0.12, 0.45, 0.2, 0.6, 0.08, 0.35];

/// What an import leaves, apart from ids and times: it must not matter how often it was killed.
const COUNTED: &[&str] = &[
    "resource",
    "history",
    "idx_token",
    "idx_string",
    "idx_date",
    "idx_number",
    "idx_quantity",
    "idx_uri",
    "idx_reference",
    "idx_composite",
    "hold",
    "release_input",
    "release_dependency",
    "import_refusal",
];

/// One patient's record: results, notes, one report that Kentucky delays, one psychotherapy note
/// that is attested, one line that is wrong.
fn record(number: usize, now: &str) -> Vec<String> {
    let patient = format!("p{number}");
    let subject = json!({"reference": format!("Patient/{patient}")});
    let cb = "https://candor.example/fhir";
    let mut resources = vec![
        json!({"resourceType": "Patient", "id": patient, "name": [{"family": "Ruiz", "given": ["Ana"]}], "birthDate": "1984-03-14"}),
        json!({"resourceType": "Practitioner", "id": format!("psy{number}"), "name": [{"family": "Haddad"}],
            "qualification": [{"code": {"coding": [{"system": "http://nucc.org/provider-taxonomy", "code": "103TC0700X"}], "text": "Clinical Psychologist"}}]}),
    ];
    for result in 0..20 {
        resources.push(json!({"resourceType": "Observation", "id": format!("{patient}-o{result}"), "status": "final",
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}, "subject": subject,
            "effectiveDateTime": "2026-11-10T14:00:00Z", "issued": "2026-11-10T15:00:00Z",
            "valueQuantity": {"value": 12.5, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"}}));
    }
    resources.push(json!({"resourceType": "DiagnosticReport", "id": format!("{patient}-r"), "status": "final",
        "extension": [{"url": format!("{cb}/StructureDefinition/release-flag"),
            "valueCoding": {"system": format!("{cb}/CodeSystem/release-flag"), "code": "malignancy-likely"}}],
        "category": [{"coding": [{"system": "http://loinc.org", "code": "LP7839-6"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "11526-1"}]}, "subject": subject,
        "effectiveDateTime": now, "issued": now}));
    resources.push(json!({"resourceType": "DocumentReference", "id": format!("{patient}-n"), "status": "current", "docStatus": "final",
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}]},
        "extension": [{"url": format!("{cb}/StructureDefinition/psychotherapy-attestation"), "extension": [
            {"url": "author", "valueReference": {"reference": format!("Practitioner/psy{number}")}},
            {"url": "sessionAnalysis", "valueBoolean": true}, {"url": "separatelyStored", "valueBoolean": true},
            {"url": "attestedAt", "valueDateTime": "2026-11-10T15:00:00Z"}]}],
        "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3"}]}, "subject": subject,
        "author": [{"reference": format!("Practitioner/psy{number}")}], "date": "2026-11-10T15:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": "Tm90ZQ=="}}]}));
    let mut lines: Vec<String> = resources.iter().map(Value::to_string).collect();
    lines.push(r#"{"resourceType":"Observation","status":"no such status"}"#.to_owned());
    lines
}

fn command(url: &str, files: &Path) -> Command {
    let mut command = candor();
    command
        .arg("import")
        .arg(files)
        .env("CANDOR_DATABASE_URL", url)
        .env("CANDOR_JURISDICTION", "US-KY")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// An import that nobody disturbs: it ends with the refused lines.
fn finish(url: &str, files: &Path) {
    let output = command(url, files).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

async fn number(store: &Store, sql: &str) -> i64 {
    let statement = sea_orm::Statement::from_string(store.backend(), sql);
    let row = store.reader().query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

async fn counts(store: &Store) -> Vec<(&'static str, i64)> {
    let mut counts = Vec::new();
    for table in COUNTED {
        counts.push((
            *table,
            number(store, &format!("SELECT COUNT(*) FROM {table}")).await,
        ));
    }
    counts
}

/// What holds after any kill: what is acknowledged is there, and nothing else is.
async fn check(store: &Store) {
    let acknowledged = number(
        store,
        "SELECT CAST(COALESCE(SUM(loaded), 0) AS BIGINT) FROM import_file",
    )
    .await;
    let there = number(store, "SELECT COUNT(*) FROM resource WHERE rendition = 0").await;
    assert_eq!(acknowledged, there);
    let bare = "SELECT COUNT(*) FROM resource r WHERE r.rendition = 0 AND r.body IS NULL";
    assert_eq!(number(store, bare).await, 0);
    // Every DiagnosticReport here is delayed and every DocumentReference withheld.
    let undecided = "SELECT COUNT(*) FROM resource r WHERE r.rendition = 0 \
        AND (r.fhir_id LIKE 'p%-r' OR r.fhir_id LIKE 'p%-n') \
        AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.doc = r.id)";
    assert_eq!(number(store, undecided).await, 0);
    let unindexed = "SELECT COUNT(*) FROM resource r WHERE r.rendition = 0 AND r.fhir_id LIKE 'p%-o%' \
        AND NOT EXISTS (SELECT 1 FROM idx_token t WHERE t.id = r.id AND t.patient = r.patient)";
    assert_eq!(number(store, unindexed).await, 0);
    assert_eq!(store.verify_ledger().await.unwrap().broken_at, None);
}

async fn survives(database: Database) {
    if !database.is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let now = instant(Clock::system().now());
    for number in 0..PATIENTS {
        let name = folder.path().join(format!("{number:03}.ndjson"));
        std::fs::write(name, record(number, &now).join("\n")).unwrap();
    }
    let files = folder.path();
    // How long it takes undisturbed sets when to strike.
    let whole = TestDatabase::create(database).await;
    let began = Instant::now();
    assert_eq!(command(&whole.url, files).status().unwrap().code(), Some(2));
    let undisturbed = began.elapsed();
    let store = whole.store(Clock::test(T0)).await;
    let expected = counts(&store).await;
    store.close().await.unwrap();
    whole.drop().await;

    let mut struck = 0;
    while struck < KILLS {
        let database = TestDatabase::create(database).await;
        let store = database.store(Clock::test(T0)).await;
        while struck < KILLS {
            let mut child = command(&database.url, files).spawn().unwrap();
            let part = PARTS[usize::try_from(struck).unwrap() % PARTS.len()];
            tokio::time::sleep(undisturbed.mul_f64(part)).await;
            if child.try_wait().unwrap().is_some() {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            struck += 1;
            check(&store).await;
        }
        // Nothing, or the rest, is left to do.
        finish(&database.url, files);
        check(&store).await;
        assert_eq!(counts(&store).await, expected);
        store.close().await.unwrap();
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_killed_imports_lose_nothing_on_sqlite() {
    survives(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_killed_imports_lose_nothing_on_postgres() {
    survives(Database::Postgres).await;
}
