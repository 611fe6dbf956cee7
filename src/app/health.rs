//! Whether the server lives, whether it can do its work, and its figures.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sea_orm::ConnectionTrait as _;

use super::AppState;
use crate::observe;
use crate::sql::Sql;

/// A database that takes longer than this to say 1 is as good as gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /health/live`: 200 for as long as the process answers at all.
pub async fn live() -> Response {
    answer(StatusCode::OK, r#"{"status":"live"}"#)
}

/// `GET /health/ready`: 200 when the database answers, else 503.
pub async fn ready(app: AppState) -> Response {
    let store = &app.store;
    let probe = Sql::new("SELECT 1").statement(store.backend());
    match tokio::time::timeout(PATIENCE, store.reader().query_one_raw(probe)).await {
        Ok(Ok(Some(_))) => answer(StatusCode::OK, r#"{"status":"ready","database":"up"}"#),
        outcome => {
            let reason = match outcome {
                Ok(Err(error)) => error.to_string(),
                Ok(Ok(_)) => "no answer row".to_owned(),
                Err(_) => "timeout".to_owned(),
            };
            tracing::error!(reason, "the database does not answer");
            answer(
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"status":"unready","database":"down"}"#,
            )
        }
    }
}

/// `GET /metrics`: Prometheus text format.
pub async fn metrics() -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        observe::metrics::render(),
    )
        .into_response()
}

fn answer(status: StatusCode, body: &'static str) -> Response {
    (
        status,
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        body,
    )
        .into_response()
}
