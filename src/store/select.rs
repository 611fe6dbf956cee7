//! The SELECTs of reads and searches, and their rows: as the driver gives them, or copied out of
//! SQLite by [`lite`](super::lite).

use std::future::Future;

use bytes::Bytes;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, TryGetable};

use super::lite::Copied;
use super::reader::Reader;
use crate::sql::Sql;

/// Where SELECTs run.
pub trait Select: Sync {
    /// All rows of a SELECT.
    fn select(&self, sql: Sql) -> impl Future<Output = Result<Vec<Selected>, DbErr>> + Send;

    /// [`select`](Self::select) of what an answer is made of: the witness, where there is one, sees it.
    fn select_seen(&self, sql: Sql) -> impl Future<Output = Result<Vec<Selected>, DbErr>> + Send {
        self.select(sql)
    }

    /// Whether a statement costs no way to another process or thread. Several plain ones are then
    /// better than one that joins their rows, for it copies each.
    fn is_near(&self) -> bool {
        false
    }

    /// The first row of a SELECT that has one at most.
    fn select_one(&self, sql: Sql) -> impl Future<Output = Result<Option<Selected>, DbErr>> + Send {
        async { Ok(self.select(sql).await?.into_iter().next()) }
    }
}

impl Select for Reader {
    async fn select(&self, sql: Sql) -> Result<Vec<Selected>, DbErr> {
        match self {
            Self::Pool {
                lite: Some(lite), ..
            } => lite.select(sql).await,
            Self::Pool { pool, .. } => all(pool, sql).await,
            Self::Within(transaction) => all(&***transaction, sql).await,
        }
    }

    fn is_near(&self) -> bool {
        matches!(self, Self::Pool { lite: Some(_), .. })
    }

    async fn select_seen(&self, mut sql: Sql) -> Result<Vec<Selected>, DbErr> {
        let Self::Pool {
            witness: Some(witness),
            ..
        } = self
        else {
            return self.select(sql).await;
        };
        if !witness.ask(&mut sql) {
            return self.select(sql).await;
        }
        let mut rows = self.select(sql).await?;
        if let Some(first) = rows.first() {
            witness.see(first.get(0)?);
        }
        for row in &mut rows {
            row.first = 1;
        }
        Ok(rows)
    }
}

impl Select for DatabaseTransaction {
    async fn select(&self, sql: Sql) -> Result<Vec<Selected>, DbErr> {
        all(self, sql).await
    }
}

async fn all(connection: &impl ConnectionTrait, sql: Sql) -> Result<Vec<Selected>, DbErr> {
    let statement = sql.statement(connection.get_database_backend());
    let rows = connection.query_all_raw(statement).await?;
    Ok(rows.into_iter().map(Selected::driver).collect())
}

/// A row of a SELECT.
#[derive(Debug)]
pub struct Selected {
    cells: Cells,
    /// The column that counts as 0.
    first: usize,
}

#[derive(Debug)]
enum Cells {
    Driver(QueryResult),
    Copied(Copied),
}

/// A cell of a row that was copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'r> {
    Null,
    Int(i64),
    Real(f64),
    Text(&'r [u8]),
}

impl Selected {
    fn driver(row: QueryResult) -> Self {
        Self {
            cells: Cells::Driver(row),
            first: 0,
        }
    }

    pub(super) fn copied(row: Copied) -> Self {
        Self {
            cells: Cells::Copied(row),
            first: 0,
        }
    }

    /// The value of a column, counted from 0.
    ///
    /// # Errors
    /// When it has another type.
    pub fn get<T: FromCell>(&self, at: usize) -> Result<T, DbErr> {
        let at = self.first + at;
        match &self.cells {
            Cells::Driver(row) => Ok(row.try_get_by_index(at)?),
            Cells::Copied(row) => row
                .cell(at)
                .and_then(T::from_cell)
                .ok_or_else(|| other_type(at)),
        }
    }

    /// The bytes of a column, counted from 0; None where it is NULL.
    ///
    /// # Errors
    /// When it has another type.
    pub fn bytes(&self, at: usize) -> Result<Option<Bytes>, DbErr> {
        let at = self.first + at;
        match &self.cells {
            Cells::Driver(row) => {
                let bytes: Option<Vec<u8>> = row.try_get_by_index(at)?;
                Ok(bytes.map(Bytes::from))
            }
            Cells::Copied(row) => row.bytes(at).ok_or_else(|| other_type(at)),
        }
    }
}

fn other_type(at: usize) -> DbErr {
    DbErr::Type(format!("column {at} has another type"))
}

/// What a cell can be read as.
pub trait FromCell: TryGetable {
    /// None: the cell has another type.
    fn from_cell(cell: Cell<'_>) -> Option<Self>;
}

macro_rules! whole_number {
    ($($type:ty),*) => {$(
        impl FromCell for $type {
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                match cell {
                    Cell::Int(value) => value.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

whole_number!(i16, i32, i64);

impl FromCell for f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "SQLite stores whole reals as integers where that is exact"
    )]
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Real(value) => Some(value),
            Cell::Int(value) => Some(value as Self),
            _ => None,
        }
    }
}

impl FromCell for String {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text(text) => std::str::from_utf8(text).ok().map(Into::into),
            _ => None,
        }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}
