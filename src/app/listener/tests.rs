use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_millis(200);
/// Long enough for a test on a busy machine to take the next bytes.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longer than any of the limits, shorter than the real ones.
const LATER: Duration = Duration::from_secs(8);

/// A server with this limit for everything that stands in the test's way.
async fn server(limits: Limits) -> (SocketAddr, CancellationToken) {
    let endless = || async {
        let chunk = || Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 65_536]));
        Body::from_stream(stream::repeat_with(chunk))
    };
    let router = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/endless", get(endless));
    let front = Front {
        api: None,
        router,
        limit: LATER,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, None, front, stop.clone(), SOON, limits));
    (address, stop)
}

async fn connect(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    connection
}

/// What comes until the server closes.
async fn rest(connection: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let closed = timeout(LATER, connection.read_to_end(&mut said)).await;
    // A reset closes as well.
    let _ = closed.expect("the connection stays open");
    said
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let limits = Limits {
        head: SOON,
        ping: SOON,
        ..Limits::default()
    };
    let (address, stop) = server(limits).await;
    for begun in [
        &b""[..],
        b"P",
        b"PRI * HT",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HT",
        b"POST / HTTP/1.1\r\nhost: x\r\n",
    ] {
        let mut connection = connect(address, begun).await;
        rest(&mut connection).await;
    }
    // Each byte in time, and all of them too late.
    let mut slow = connect(address, b"").await;
    let dripped = async {
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM" {
            if slow.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(SOON / 4).await;
        }
        panic!("the connection stays open");
    };
    timeout(LATER, dripped).await.unwrap();
    // Who asks is answered, in one piece or in several.
    let mut connection = connect(address, b"GE").await;
    tokio::time::sleep(SOON / 4).await;
    let more = b"T / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    connection.write_all(more).await.unwrap();
    let said = rest(&mut connection).await;
    assert!(said.starts_with(b"HTTP/1.1 200"), "{said:?}");
    stop.cancel();
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let limits = Limits {
        write: PATIENCE,
        ..Limits::default()
    };
    let (address, stop) = server(limits).await;
    let head = b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n";
    // Who takes it slowly is waited for.
    let mut slow = connect(address, head).await;
    let mut taken = vec![0; 8 << 20];
    for _ in 0..6 {
        tokio::time::sleep(PATIENCE / 3).await;
        slow.read_exact(&mut taken).await.unwrap();
    }
    let mut idle = connect(address, head).await;
    tokio::time::sleep(PATIENCE * 3).await;
    // What lies in the buffers comes still, and then the end.
    rest(&mut idle).await;
    stop.cancel();
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_go_on_is_given_up() {
    let limits = Limits {
        handshake: SOON,
        ..Limits::default()
    };
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let front = Front {
        api: None,
        router: Router::new(),
        limit: LATER,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = serve(listener, Some(acceptor), front, stop.clone(), SOON, limits);
    tokio::spawn(serving);
    for begun in [&b""[..], &[22, 3, 1, 0]] {
        let mut connection = connect(address, begun).await;
        rest(&mut connection).await;
    }
    stop.cancel();
}
