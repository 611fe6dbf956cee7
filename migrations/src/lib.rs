//! Candor's schema. Each step is plain SQL that SQLite and PostgreSQL both run; the words in
//! `{braces}` are the few that differ. Expand first, contract in a later release: an older server
//! must be able to run on the schema of the next.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};
pub use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// A step by the name of its file.
macro_rules! step {
    ($name:literal) => {
        Box::new(Step {
            name: $name,
            sql: include_str!(concat!("../sql/", $name, ".sql")),
        })
    };
}

/// All steps, in order.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            step!("0001_records"),
            step!("0002_accounts"),
            step!("0003_import"),
            step!("0004_statistics"),
            step!("0005_search"),
            step!("0010_authorization"),
            step!("0011_launch"),
            step!("0012_logout"),
            step!("0013_registration"),
            step!("0030_old_versions"),
            step!("0043_narrow"),
            step!("0047_ranges"),
            step!("0048_orders"),
            step!("0050_search_parameters"),
            step!("0051_audit_journal"),
            step!("0060_activation"),
            step!("0061_mail"),
            step!("0062_sessions"),
            step!("0065_factors"),
            step!("0070_consent"),
            step!("0075_upstream"),
            step!("0080_hold_patients"),
            step!("0081_clients"),
            step!("0082_approved_apps"),
            step!("0083_signed_in"),
            step!("0090_sign_in"),
            step!("0091_draft"),
            step!("0095_app_activity"),
            step!("0096_app_logos"),
            step!("0097_letters"),
            step!("0098_composite_units"),
            step!("0099_prompt"),
            step!("0100_changed"),
            step!("0101_log"),
        ]
    }
}

struct Step {
    name: &'static str,
    sql: &'static str,
}

impl MigrationName for Step {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    #[expect(
        elided_lifetimes_in_paths,
        reason = "the trait's own signature elides it"
    )]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let sql = dialect(self.sql, connection.get_database_backend());
        connection.execute_unprepared(&sql).await?;
        Ok(())
    }
}

/// Puts a step's SQL into the database's own words.
fn dialect(sql: &str, backend: DbBackend) -> String {
    let words = match backend {
        DbBackend::Postgres => [
            ("{blob}", "BYTEA"),
            ("{row_key}", "BIGINT"),
            ("{without_rowid}", ""),
            ("{collate}", "COLLATE \"C\""),
            ("{only postgres}", ""),
            ("{only sqlite}", "-- "),
        ],
        _ => [
            ("{blob}", "BLOB"),
            // The only word that makes a column the row's own address, without an index beside it.
            ("{row_key}", "INTEGER"),
            ("{without_rowid}", "WITHOUT ROWID"),
            ("{collate}", ""),
            ("{only postgres}", "-- "),
            ("{only sqlite}", ""),
        ],
    };
    words
        .iter()
        .fold(sql.to_owned(), |sql, (from, to)| sql.replace(from, to))
}
