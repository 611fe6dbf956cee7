//! `/_test/clock` of `candor serve --test-clock` (release-contract.md, "Ways to check"). The route
//! exists only with that flag.

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::AppState;
use crate::clock::instant;

/// What a test sends: `{"now": "2026-11-10T15:00:00Z"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    now: String,
}

/// `GET /_test/clock`.
pub async fn show(app: AppState) -> Response {
    let now = instant(app.store.clock().now());
    (
        [(header::CONTENT_TYPE, "application/json")],
        format!(r#"{{"now":"{now}"}}"#),
    )
        .into_response()
}

/// `PUT /_test/clock`: sets the clock of the whole server.
pub async fn set(app: AppState, body: Bytes) -> Response {
    let now = serde_json::from_slice::<Setting>(&body)
        .map_err(|error| error.to_string())
        .and_then(|setting| {
            setting
                .now
                .parse::<Timestamp>()
                .map_err(|error| error.to_string())
        });
    let before = app.store.clock().now();
    match now {
        Ok(now) if app.store.clock().set(now.as_millisecond()) => {
            let now = now.as_millisecond();
            if now < before
                && let Err(error) = app.store.begin_ends_anew(now).await
            {
                tracing::error!(%error, "the ledger could not be told of the clock");
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            show(app).await
        }
        Ok(_) => (
            StatusCode::CONFLICT,
            "This server runs on the machine's clock.\n",
        )
            .into_response(),
        Err(error) => (
            StatusCode::BAD_REQUEST,
            format!(
                "Send an instant with its zone, as in {{\"now\":\"2026-11-10T15:00:00Z\"}}: {error}\n"
            ),
        )
            .into_response(),
    }
}
