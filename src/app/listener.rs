//! Connections: accepted, bounded in how long they may dawdle, ended in good order.
//!
//! `axum::serve` sets no time for a request's head; a client that sends one byte a minute would
//! keep its connection for ever.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::front::Front;

/// How long the head of a request may take, the wait for the next one on an open connection included.
const HEAD: Duration = Duration::from_secs(60);
/// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);
/// Before the next try when the system has no more sockets.
const BREATH: Duration = Duration::from_millis(100);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves until `stop`; then lets requests in flight take `patience`.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    front: Front,
    stop: CancellationToken,
    patience: Duration,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let open = GracefulShutdown::new();
    let front = Arc::new(front);
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            },
        };
        // Small answers must not wait for each other's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone at once");
            continue;
        }
        let front = front.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = front.clone().answer(request.map(Body::new), peer);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let (builder, tls, watcher) = (builder.clone(), tls.clone(), open.watcher());
        tokio::spawn(async move {
            // A peer that goes away or talks nonsense is no event of ours.
            let ended = if let Some(tls) = tls {
                match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let connection = builder.serve_connection(TokioIo::new(stream), service);
                        watcher.watch(connection.into_owned()).await
                    }
                    Ok(Err(error)) => Err(error.into()),
                    Err(error) => Err(error.into()),
                }
            } else {
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                watcher.watch(connection.into_owned()).await
            };
            if let Err(error) = ended {
                tracing::debug!(error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(patience, open.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still in flight and are cut off");
    }
}
