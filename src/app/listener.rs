//! Connections: accepted, bounded in how long they may dawdle, ended in good order.
//!
//! `axum::serve` sets no time for a request's head; a client that sends one byte a minute would
//! keep its connection for ever. hyper bounds the head once it knows the version; [`Opening`] bounds the
//! bytes before that, and [`Writing`] an answer that nobody takes.

mod bounds;

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

use self::bounds::{Opening, Writing};
use super::front::Front;

/// Before the next try when the system has no more sockets.
const BREATH: Duration = Duration::from_millis(100);

/// How long a connection may dawdle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The first bytes, by which the version is known; and then the head of a request, the wait for the next
    /// one on an open connection included.
    head: Duration,
    /// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to say so.
    ping: Duration,
    /// A TLS handshake.
    handshake: Duration,
    /// Until the peer takes the next bytes of an answer.
    write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(60),
            ping: Duration::from_secs(20),
            handshake: Duration::from_secs(10),
            write: Duration::from_secs(60),
        }
    }
}

/// Serves until `stop`; then lets requests in flight take `patience`.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    front: Front,
    stop: CancellationToken,
    patience: Duration,
    limits: Limits,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.ping);
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
            let stream = Writing::new(stream, limits.write);
            // A peer that goes away or talks nonsense is no event of ours.
            let ended = if let Some(tls) = tls {
                match tokio::time::timeout(limits.handshake, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let stream = Opening::new(stream, limits.head);
                        let connection = builder.serve_connection(TokioIo::new(stream), service);
                        watcher.watch(connection.into_owned()).await
                    }
                    Ok(Err(error)) => Err(error.into()),
                    Err(error) => Err(error.into()),
                }
            } else {
                let stream = Opening::new(stream, limits.head);
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

#[cfg(test)]
mod tests;
