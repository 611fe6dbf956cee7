//! Key sets of clients by URL: no redirect is followed, wherever it leads; nothing large, nothing slow.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use candor::smart::jwks::{JwksError, KeyFetcher};
use futures_util::StreamExt as _;
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::smart_backend::key;

fn key_set() -> String {
    json!({"keys": [key(Algorithm::ES384, "k1").public]}).to_string()
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// A key set at `/jwks` of this address, and how often it was fetched.
async fn counted_key_set() -> (String, Arc<AtomicUsize>) {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = reached.clone();
    let set = key_set();
    let inside = move || {
        count.fetch_add(1, Ordering::SeqCst);
        let set = set.clone();
        async move { set }
    };
    let target = serve(Router::new().route("/jwks", get(inside))).await;
    (target, reached)
}

/// With the setting that opens loopback, so that the first address may be called; what the answer leads to is
/// then called by nobody, though it may be.
#[tokio::test]
async fn a_key_set_s_redirect_is_not_followed() {
    let (target, reached) = counted_key_set().await;
    // The target is a good key set, and would be taken from where it is.
    let fetcher = KeyFetcher::new(true).unwrap();
    assert!(fetcher.get(&format!("{target}/jwks"), None).await.is_ok());
    assert_eq!(reached.swap(0, Ordering::SeqCst), 1);
    let (_, port) = target.rsplit_once(':').unwrap();
    let targets = [
        format!("{target}/jwks"),
        format!("http://localhost:{port}/jwks"),
        format!("http://[::1]:{port}/jwks"),
        "http://10.0.0.1/jwks".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://192.168.0.1/jwks".to_owned(),
        "file:///etc/passwd".to_owned(),
    ];
    for status in [300, 301, 302, 303, 307, 308] {
        for to in &targets {
            let (code, location) = (StatusCode::from_u16(status).unwrap(), to.clone());
            // Another address each time: what failed is remembered. With a body that is no key set, and the
            // other words that browsers follow.
            let answer = move || async move {
                let refresh = format!("0;url={location}");
                let headers = [
                    (header::LOCATION, location.clone()),
                    (header::CONTENT_LOCATION, location.clone()),
                    (header::REFRESH, refresh),
                ];
                (code, headers, "{}").into_response()
            };
            let from = serve(Router::new().route("/jwks", get(answer))).await;
            let begun = Instant::now();
            let refused = fetcher.get(&format!("{from}/jwks"), None).await;
            let words = format!("{refused:?}");
            assert!(matches!(refused, Err(JwksError::Fetch(_))), "{to}: {words}");
            assert!(words.contains(&status.to_string()), "{to}: {words}");
            assert!(begun.elapsed() < Duration::from_secs(3), "{to} was called");
        }
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0, "a redirect was followed");
}

/// A client's registered address, through the token endpoint's own fetcher: the setting is off.
#[tokio::test]
async fn a_strict_server_calls_nothing_on_this_machine() {
    let (target, reached) = counted_key_set().await;
    let strict = KeyFetcher::new(false).unwrap();
    let refused = strict.get(&format!("{target}/jwks"), Some("k1")).await;
    assert!(matches!(refused, Err(JwksError::Address)), "{refused:?}");
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_key_set_has_256_kilobytes_and_five_seconds() {
    const LIMIT: usize = 256 * 1024;
    let padded = |length: usize| {
        let mut set = key_set();
        let missing = length - set.len();
        set.push_str(&" ".repeat(missing));
        set
    };
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let endless = move || {
        let count = count.clone();
        async move {
            let chunks = futures_util::stream::repeat(()).map(move |()| {
                count.fetch_add(8192, Ordering::SeqCst);
                Ok::<_, Infallible>(vec![b' '; 8192])
            });
            Body::from_stream(chunks)
        }
    };
    let drip = || async {
        let chunks = futures_util::stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, Infallible>(" ")
        });
        Body::from_stream(chunks)
    };
    let silence = || async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        ""
    };
    let (fits, large) = (padded(LIMIT), padded(LIMIT + 1));
    let router = Router::new()
        .route("/fits", get(move || async move { fits }))
        .route("/large", get(move || async move { large }))
        .route("/endless", get(endless))
        .route("/drip", get(drip))
        .route("/silence", get(silence));
    let site = serve(router).await;
    let fetcher = KeyFetcher::new(true).unwrap();
    assert!(fetcher.get(&format!("{site}/fits"), None).await.is_ok());
    for path in ["large", "endless"] {
        let refused = fetcher.get(&format!("{site}/{path}"), None).await;
        let words = format!("{refused:?}");
        assert!(words.contains("too large"), "{path}: {words}");
    }
    // What was read of it is about the limit, and what the sockets hold.
    assert!(sent.load(Ordering::SeqCst) < 64 * LIMIT);
    for path in ["drip", "silence"] {
        let begun = Instant::now();
        let url = format!("{site}/{path}");
        let refused = fetcher.get(&url, None).await;
        let took = begun.elapsed();
        assert!(matches!(refused, Err(JwksError::Fetch(_))), "{refused:?}");
        assert!(
            took >= Duration::from_secs(4) && took < Duration::from_secs(8),
            "{took:?}"
        );
        // What failed is remembered: a bad assertion a second makes no call a second.
        let begun = Instant::now();
        assert!(fetcher.get(&url, None).await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
