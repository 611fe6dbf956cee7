//! A database of an earlier schema, with data in it, opened by this server.

use std::collections::BTreeMap;

use migrations::{MigrationTrait, Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use serde_json::json;

use super::super::{Method, Op, Origin, Store, StoreOptions};
use super::{T0, fixtures, fresh_database, op, viewer};
use crate::clock::Clock;
use crate::visibility::ViewerClass;

/// All steps that a database may have seen before `0043_narrow` came, and what came after it with it.
struct Earlier;

impl MigratorTrait for Earlier {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut steps = Migrator::migrations();
        let later = [
            "0043_narrow",
            "0047_ranges",
            "0048_orders",
            "0100_changed",
            "0101_log",
        ];
        steps.retain(|step| !later.contains(&step.name()));
        steps
    }
}

const COPIED: [&str; 13] = [
    "meta",
    "resource",
    "history",
    "hold",
    "idx_token",
    "idx_string",
    "idx_date",
    "idx_number",
    "idx_quantity",
    "idx_uri",
    "idx_reference",
    "idx_composite",
    "idx_text",
];

async fn text_of(on: &impl ConnectionTrait, sql: &str) -> String {
    let row = on
        .query_one_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await
        .unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

/// The rows of a table, whatever the order of its columns.
async fn rows_of(on: &impl ConnectionTrait, table: &str) -> String {
    let sql = format!(
        "SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t)), '[]')::text FROM {table} t"
    );
    text_of(on, &sql).await
}

async fn index_of(on: &impl ConnectionTrait) -> BTreeMap<&'static str, String> {
    let mut rows = BTreeMap::new();
    for table in COPIED.iter().filter(|table| table.starts_with("idx_")) {
        rows.insert(*table, rows_of(on, table).await);
    }
    rows
}

fn written() -> Vec<Op> {
    let subject = json!({"reference": "Patient/p"});
    let code =
        json!({"coding": [{"system": "http://loinc.org", "code": "2339-0"}], "text": "Glucose"});
    vec![
        op(
            json!({"resourceType": "Patient", "id": "p", "birthDate": "1970-01-01", "gender": "female",
            "name": [{"family": "Ruiz", "given": ["Ana"]}], "identifier": [{"system": "http://x", "value": "1"}]}),
        ),
        op(
            json!({"resourceType": "Observation", "id": "o", "status": "final", "code": code, "subject": subject,
            "effectiveDateTime": "2026-01-01T10:00:00Z", "text": {"status": "generated", "div": "<div>glucose</div>"},
            "valueQuantity": {"value": 5.5, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}}),
        ),
        op(
            json!({"resourceType": "RiskAssessment", "id": "r", "status": "final", "subject": subject,
            "prediction": [{"probabilityDecimal": 0.25}]}),
        ),
        op(json!({"resourceType": "ValueSet", "id": "v", "status": "active", "url": "http://x/v"})),
    ]
}

#[tokio::test]
async fn a_postgres_database_of_an_earlier_schema_keeps_its_rows() {
    let Ok(server) = std::env::var("CANDOR_TEST_POSTGRES") else {
        return;
    };
    let options = |url: &str| StoreOptions {
        url: url.to_owned(),
        base: "http://localhost/fhir/r4".to_owned(),
        clock: Clock::test(T0),
        connections: 2,
    };
    let (fresh, old) = (fresh_database(&server).await, fresh_database(&server).await);
    let store = Store::open(&options(&fresh)).await.unwrap();
    store.write(Origin::Api, written()).await.unwrap();
    let mut again = written();
    again.truncate(2);
    store.write(Origin::Api, again).await.unwrap();

    // The same rows in the schema of before.
    let (from, to) = (
        Database::connect(&fresh).await.unwrap(),
        Database::connect(&old).await.unwrap(),
    );
    Earlier::up(&to, None).await.unwrap();
    for table in COPIED {
        let rows = rows_of(&from, table).await;
        let sql = format!(
            "INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, $1::text::jsonb)"
        );
        let copy = Statement::from_sql_and_values(DbBackend::Postgres, sql, [rows.into()]);
        to.execute_raw(copy).await.unwrap();
    }
    // Its keys let a row stand under two patients; the wrong one must not be the one that stays.
    to.execute_unprepared(
        "INSERT INTO idx_token (type, param, code, id, system, patient, text) \
         SELECT type, param, code, id, system, 0, text FROM idx_token WHERE patient <> 0",
    )
    .await
    .unwrap();
    let expected = index_of(&from).await;
    assert!(
        expected.values().all(|rows| rows != "[]"),
        "a table is not tried: {expected:?}"
    );

    let upgraded = Store::open(&options(&old)).await.unwrap();
    assert_eq!(index_of(&to).await, expected);
    // Definitions too, order of columns included, are those of a fresh database.
    let shape = "SELECT string_agg(indexdef, E'\\n' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'";
    assert_eq!(text_of(&to, shape).await, text_of(&from, shape).await);
    let shape = "SELECT string_agg(table_name || column_name || data_type || is_nullable || COALESCE(column_default, '') \
         || COALESCE(collation_name, ''), E'\\n' ORDER BY table_name, ordinal_position) \
         FROM information_schema.columns WHERE table_schema = 'public'";
    assert_eq!(text_of(&to, shape).await, text_of(&from, shape).await);

    // It goes on from there: what is written again or deleted leaves no row behind.
    let mut deletions = written();
    for deletion in &mut deletions {
        deletion.method = Method::Delete;
        deletion.resource = None;
    }
    upgraded.write(Origin::Api, written()).await.unwrap();
    assert_eq!(index_of(&to).await.len(), expected.len());
    upgraded.write(Origin::Api, deletions).await.unwrap();
    for (table, rows) in index_of(&to).await {
        assert_eq!(rows, "[]", "{table}");
    }
}

#[tokio::test]
async fn ids_by_the_clock_that_a_sqlite_file_has_are_followed_by_greater_ones() {
    for fixture in fixtures().await {
        let store = &fixture.store;
        let system = viewer(ViewerClass::System, None);
        store.write(Origin::Api, written()).await.unwrap();
        if store.backend() == DbBackend::Sqlite {
            // As an earlier release gave it.
            let id = super::super::surrogate::mint();
            let moved =
                crate::sql::Sql::new(format!("UPDATE resource SET id = {id} WHERE fhir_id = 'v'"));
            let write = store.begin().await.unwrap();
            write
                .connection()
                .execute_raw(moved.statement(DbBackend::Sqlite))
                .await
                .unwrap();
            write.commit().await.unwrap();
        }
        let later = op(json!({"resourceType": "Basic", "id": "later", "code": {"text": "x"}}));
        let store = fixture.beside().await;
        store.write(Origin::Api, vec![later]).await.unwrap();
        let last = crate::sql::Sql::new("SELECT fhir_id FROM resource ORDER BY id DESC LIMIT 1");
        let row = store
            .reader()
            .query_one_raw(last.statement(store.backend()))
            .await
            .unwrap();
        let last: String = row.unwrap().try_get_by_index(0).unwrap();
        assert_eq!(last, "later");
        for id in ["ValueSet/v", "Basic/later"] {
            fixture.read(&system, id).await.unwrap();
        }
    }
}

/// The numbers of types are kept in databases, and one stands in the text of a step.
#[test]
fn the_indexes_beside_the_log_and_of_it_know_its_type() {
    let log = crate::visibility::access_log();
    let beside = format!("WHERE type <> {log};");
    let of_it = format!("WHERE type = {log};");
    let step = include_str!("../../../migrations/sql/0100_changed.sql");
    assert!(step.contains(&beside), "{beside}");
    let step = include_str!("../../../migrations/sql/0101_log.sql");
    assert!(step.contains(&beside) && step.contains(&of_it), "{beside}");
}
