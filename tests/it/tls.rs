//! The server speaks TLS itself.

use std::path::Path;
use std::time::Duration;

use candor::app::Server;
use candor::clock::Clock;
use candor::config::Config;
use rcgen::{CertificateParams, KeyPair};
use reqwest::tls::{Certificate, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Database, TestDatabase};

/// Writes a new certificate for 127.0.0.1 and its key; the certificate as PEM.
fn certificate(folder: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("chain.pem"), &pem).unwrap();
    pem
}

fn config(database: &TestDatabase, folder: &Path) -> Config {
    let mut config = Config {
        database_url: database.url.clone(),
        bind: "127.0.0.1:0".parse().unwrap(),
        ..Config::default()
    };
    config.tls.certificate = Some(folder.join("chain.pem"));
    config.tls.key = Some(folder.join("key.pem"));
    config
}

/// A client that trusts one certificate and speaks one version.
fn client(pem: &str, version: Version) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_certs_only([Certificate::from_pem(pem.as_bytes()).unwrap()])
        .tls_version_min(version)
        .tls_version_max(version)
        .build()
        .unwrap()
}

/// Says hello in a version (3.1 and 3.2 are TLS 1.0 and 1.1), as no library of today does any more: kind, level and description of what comes back (RFC 5246, 6.2.1 and 7.2).
async fn hello(address: std::net::SocketAddr, minor: u8) -> [u8; 3] {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.push(0);
    // ECDHE with ECDSA and AES, by GCM and by CBC; no compression.
    body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x09, 1, 0]);
    // Groups, point formats, signatures, extended master secret.
    let extensions = [
        0, 10, 0, 6, 0, 4, 0, 0x1d, 0, 0x17, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2, 4, 3, 0, 23, 0,
        0,
    ];
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let mut message = vec![1, 0];
    message.extend(length(&body));
    message.extend(body);
    let mut record = vec![22, 3, minor];
    record.extend(length(&message));
    record.extend(message);
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await.unwrap();
    [answer[0], answer[5], answer[6]]
}

#[tokio::test]
async fn both_versions_are_spoken_and_a_renewed_certificate_is_served() {
    let database = TestDatabase::create(Database::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path());
    let server = Server::start(config(&database, folder.path()), Clock::system())
        .await
        .unwrap();
    let base = format!("https://{}", server.address());
    assert_eq!(&*server.app().public_url, base);
    for version in [Version::TLS_1_2, Version::TLS_1_3] {
        let answer = client(&first, version)
            .get(format!("{base}/fhir/r4/.well-known/smart-configuration"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        let text = answer.text().await.unwrap();
        assert!(text.contains(&format!("{base}/auth/token")), "{text}");
    }
    // Pages say that this host is never spoken to in the clear, and cookies stay on https.
    let page = client(&first, Version::TLS_1_3).get(format!("{base}/login"));
    let page = page.send().await.unwrap();
    assert!(page.headers().contains_key("strict-transport-security"));
    let cookie = page.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-") && cookie.contains("Secure"),
        "{cookie}"
    );
    // Old versions and plain HTTP get nowhere.
    let plain = reqwest::get(base.replace("https", "http")).await;
    assert!(plain.is_err());
    for minor in [1, 2] {
        assert_eq!(
            hello(server.address(), minor).await,
            [21, 2, 70],
            "3.{minor}"
        );
    }
    // The same hello in TLS 1.2 is answered: a handshake record.
    assert_eq!(hello(server.address(), 3).await[0], 22);

    // A key that is not the certificate's leaves the old pair in place; the right one replaces it.
    let before = std::fs::read(folder.path().join("key.pem")).unwrap();
    let second = certificate(folder.path());
    let key = std::fs::read(folder.path().join("key.pem")).unwrap();
    std::fs::write(folder.path().join("key.pem"), before).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let health = format!("{base}/health/live");
    let old = client(&first, Version::TLS_1_3).get(&health).send().await;
    assert_eq!(old.unwrap().status(), 200);
    std::fs::write(folder.path().join("key.pem"), key).unwrap();
    for _ in 0..100 {
        let new = client(&second, Version::TLS_1_3).get(&health).send().await;
        if new.is_ok() {
            server.stop().await.unwrap();
            database.drop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the renewed certificate was not served");
}

#[tokio::test]
async fn a_pair_that_does_not_fit_is_named_at_start() {
    let database = TestDatabase::create(Database::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let key = std::fs::read(folder.path().join("key.pem")).unwrap();
    certificate(folder.path());
    std::fs::write(folder.path().join("key.pem"), key).unwrap();
    let start = || Server::start(config(&database, folder.path()), Clock::system());
    let error = format!("{:#}", start().await.unwrap_err());
    assert!(error.contains("is not that of the certificate"), "{error}");
    std::fs::write(folder.path().join("chain.pem"), "nothing").unwrap();
    let error = format!("{:#}", start().await.unwrap_err());
    assert!(error.contains("chain.pem"), "{error}");
    database.drop().await;
}
