//! The index beside requests: built where there is work ([`keep`]), watched for what other processes do
//! to it ([`watch`]), and built from nothing before the server answers, when a release that extracts
//! differently wrote it ([`rebuild`]).

use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::front::Front;
use super::{guards, health, listener};
use crate::fhir::outcome::{Issue, operation_outcome};
use crate::store::{JobKind, Reindexer, Step, Store};

/// Between two looks at whether another process asked for work, or left some.
const LOOK: Duration = Duration::from_secs(2);
/// Between two batches: requests that write have their turn.
const BREATH: Duration = Duration::from_millis(2);
/// Between two looks at what other processes did.
const WATCH: Duration = Duration::from_secs(1);
/// How long other processes have to see that the index is about to go.
const GRACE: Duration = Duration::from_secs(3);
/// When a client should ask again while the index is built.
const AGAIN: HeaderValue = HeaderValue::from_static("10");

/// Builds what there is to build, until it is dropped.
pub(super) async fn keep(store: Store) {
    let mut hands = Reindexer::new(store.clone());
    loop {
        match hands.step().await {
            Ok(Step::Worked) => {
                tokio::time::sleep(BREATH).await;
                continue;
            }
            Ok(Step::Idle | Step::Elsewhere) => {}
            Err(error) => tracing::warn!(%error, "the index could not be built further"),
        }
        tokio::select! {
            () = store.reindex_wanted() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Learns what other processes do to the index, until it is dropped.
pub(super) async fn watch(store: Store) {
    let mut ticks = tokio::time::interval(WATCH);
    loop {
        ticks.tick().await;
        if let Err(error) = store.watch_index().await {
            tracing::warn!(%error, "the state of the index could not be read");
        }
    }
}

/// Refuses everything but health while the index is not of this release: what it would find now is not
/// all there is.
pub(super) async fn guard(State(store): State<Store>, request: Request, next: Next) -> Response {
    if store.is_index_closed() && request.uri().path() != "/health/live" {
        return refuse(State(store)).await;
    }
    next.run(request).await
}

async fn refuse(State(store): State<Store>) -> Response {
    let job = store.reindex_jobs().await.ok().and_then(|jobs| {
        jobs.into_iter()
            .find(|job| job.kind == JobKind::Rebuild && job.finished.is_none())
    });
    let far = job.map_or_else(String::new, |job| {
        format!(" ({} of {} resources)", job.done.min(job.total), job.total)
    });
    let words = format!(
        "The index is being built for this release{far}; until that is done nothing can be answered \
         in full. Try again in a while."
    );
    let outcome = operation_outcome(&[Issue::error("transient", words)]);
    let headers = [
        (header::RETRY_AFTER, AGAIN),
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/fhir+json; charset=utf-8"),
        ),
    ];
    (
        StatusCode::SERVICE_UNAVAILABLE,
        headers,
        outcome.to_string(),
    )
        .into_response()
}

/// Where a server listens.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) acceptor: Option<TlsAcceptor>,
}

/// Builds the index from nothing, or waits for the process that does, and says so at the door
/// meanwhile. Returns the door when the index is of this release.
pub(super) async fn rebuild(store: Store, door: Door) -> anyhow::Result<Door> {
    tracing::warn!(
        "the index was written by another release and is built anew; until then every request is answered with 503"
    );
    store.close_index();
    let listener = door.listener.into_std()?;
    let again = TcpListener::from_std(listener.try_clone()?)?;
    let router = Router::new()
        .route("/health/live", get(health::live))
        .fallback(refuse)
        .with_state(store.clone())
        .layer(middleware::from_fn(guards::outcome_for_errors));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(listener::serve(
        TcpListener::from_std(listener)?,
        door.acceptor.clone(),
        Front {
            api: None,
            router,
            limit: WATCH,
        },
        stop.clone(),
        WATCH,
        listener::Limits::default(),
    ));
    let built = build(&store, &|_, _| {}).await;
    stop.cancel();
    serving.await?;
    built?;
    tracing::info!("the index is of this release");
    Ok(Door {
        listener: again,
        acceptor: door.acceptor,
    })
}

/// Builds the index from nothing where it is old. `progress` is told how far it is, whoever works.
pub(crate) async fn build(
    store: &Store,
    progress: &(dyn Fn(i64, i64) + Sync),
) -> anyhow::Result<()> {
    let mut hands = Reindexer::new(store.clone());
    while store.is_index_old().await? {
        hands
            .begin_rebuild(GRACE)
            .await
            .context("The index could not be built")?;
        match hands.step().await.context("The index could not be built")? {
            Step::Worked => {}
            Step::Idle | Step::Elsewhere => tokio::time::sleep(WATCH).await,
        }
        let jobs = store.reindex_jobs().await?;
        if let Some(job) = jobs.iter().find(|job| job.kind == JobKind::Rebuild) {
            progress(job.done, job.total);
        }
    }
    hands.rest().await?;
    store.watch_index().await?;
    Ok(())
}
