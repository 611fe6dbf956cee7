//! One number in the database that everything that takes access away raises, in its own transaction.
//! Whoever remembers who holds a token compares it first, so that what any process took away is gone
//! with the next request in every process.

use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::store::{Store, StoreError};

/// The number as it stands.
pub(super) async fn read(store: &Store) -> Result<i64, StoreError> {
    let select = Statement::from_string(
        store.backend(),
        "SELECT value FROM auth_generation WHERE id = 1",
    );
    let row = store.reader().query_one_raw(select).await?;
    let row = row.ok_or(StoreError::Corrupt("auth_generation"))?;
    Ok(row.try_get_by_index(0)?)
}

/// Says that access ended, in the transaction that ends it.
pub(super) async fn raise(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    let update = Statement::from_string(
        connection.get_database_backend(),
        "UPDATE auth_generation SET value = value + 1 WHERE id = 1",
    );
    connection.execute_raw(update).await?;
    Ok(())
}
