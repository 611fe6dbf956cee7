//! Where queries run: the pool, or a write that is not yet committed and sees itself.

use std::sync::Arc;

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};

use super::connection::OpenWrite;
use super::lite::Lite;
use super::witness::Witness;

/// A connection for queries.
#[derive(Clone, Debug)]
pub enum Reader {
    Pool {
        pool: DatabaseConnection,
        /// On SQLite: what [`Select`](super::Select) asks instead.
        lite: Option<Arc<Lite>>,
        /// Who is told what reads and searches see.
        witness: Option<Arc<Witness>>,
    },
    /// The transaction of an open write.
    Within(Arc<OpenWrite>),
}

#[async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Pool { pool, .. } => pool.get_database_backend(),
            Self::Within(transaction) => transaction.get_database_backend(),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Pool { pool, .. } => pool.execute_raw(statement).await,
            Self::Within(transaction) => transaction.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Pool { pool, .. } => pool.execute_unprepared(sql).await,
            Self::Within(transaction) => transaction.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Pool { pool, .. } => pool.query_one_raw(statement).await,
            Self::Within(transaction) => transaction.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Pool { pool, .. } => pool.query_all_raw(statement).await,
            Self::Within(transaction) => transaction.query_all_raw(statement).await,
        }
    }
}
