//! One number in the database that everything that takes access away raises, in its own transaction.
//! Whoever remembers who holds a token compares it ([`Witness`](crate::store::Witness)), so that what
//! any process took away is gone with the next request in every process.

use sea_orm::{ConnectionTrait, DbErr, Statement};

/// Says that access ended, in the transaction that ends it.
pub(super) async fn raise(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    let update = Statement::from_string(
        connection.get_database_backend(),
        "UPDATE auth_generation SET value = value + 1 WHERE id = 1",
    );
    connection.execute_raw(update).await?;
    Ok(())
}
