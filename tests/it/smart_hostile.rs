//! Nonsense and abuse at every endpoint: an answer below 500, and the server goes on.

use std::net::SocketAddr;

use candor::smart::clients::ClientKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Url;

use crate::smart_support::each_smart_database;

const PLACES: &[(&str, &str)] = &[
    ("POST", "/auth/token"),
    ("POST", "/auth/introspect"),
    ("POST", "/auth/revoke"),
    ("POST", "/auth/launch"),
    ("POST", "/auth/register"),
    ("POST", "/auth/userinfo"),
    ("GET", "/auth/userinfo"),
    ("GET", "/auth/authorize"),
    ("POST", "/auth/authorize"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/auth/record"),
    ("POST", "/auth/record"),
    ("GET", "/auth/consent"),
    ("POST", "/auth/consent"),
    ("GET", "/apps"),
    ("POST", "/apps"),
    ("POST", "/logout"),
    ("GET", "/auth/end-session"),
    ("POST", "/auth/end-session"),
];

/// Sends bytes as they are and reads the status; HTTP libraries would refuse to write most of them.
async fn raw(public: &str, head: &str, body: &[u8]) -> u16 {
    let url = Url::parse(public).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], url.port().unwrap()));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{head}host: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may answer before it has read all.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap_or("0").parse().unwrap()
}

each_smart_database! {
async fn nonsense_is_refused_and_nothing_breaks(server: Server) {
    let client = server.add_client(ClientKind::Public, "openid patient/*.rs").await;
    let id = &client.client_id;
    let deep = "a=".to_owned() + &"[".repeat(20_000);
    let many = "scope=patient%2F*.rs&".repeat(2_000);
    let bodies: Vec<Vec<u8>> = vec![
        vec![],
        b"%".to_vec(),
        b"%00%ff%fe=%00".to_vec(),
        b"\xff\xfe\x00=\x00".to_vec(),
        b"&&&===&".to_vec(),
        b"client_id=%00&redirect_uri=%00&state=%00&request=%00&token=%00&form=%00".to_vec(),
        b"username=%00&password=%00&request=%00".to_vec(),
        format!("grant_type=authorization_code&client_id={id}&code=%00&redirect_uri=%00&code_verifier=%00")
            .into_bytes(),
        format!("grant_type=refresh_token&client_id={id}&refresh_token=%F0%9F%92%A9").into_bytes(),
        b"grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=e30.e30.e30".to_vec(),
        b"grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=eyJhbGciOiJSUzM4NCJ9.eyJpc3MiOiJcdTAwMDAiLCJzdWIiOiJcdTAwMDAifQ.AA".to_vec(),
        deep.into_bytes(),
        many.into_bytes(),
        vec![b'x'; 70_000],
    ];
    let authorizations = [
        "",
        "authorization: Basic\r\n",
        "authorization: Basic AA==\r\n",
        "authorization: Basic AAA6AAA=\r\n",
        "authorization: Bearer \r\n",
        "authorization: Bearer \t\x7f\r\n",
        "authorization: Nonsense x\r\n",
        "cookie: candor=; candor-form=\r\n",
        "cookie: candor=%00; candor-form=\r\n",
    ];
    for (method, path) in PLACES {
        for (at, body) in bodies.iter().enumerate() {
            // Every header with the first body, the first header with every body.
            let headers = if at == 0 { &authorizations[..] } else { &authorizations[..1] };
            for header in headers {
                let query = if *method == "GET" && at != 13 {
                    let text: String = body
                        .iter()
                        .filter(|byte| byte.is_ascii_graphic())
                        .map(|byte| char::from(*byte))
                        .collect();
                    format!("?{text}")
                } else {
                    String::new()
                };
                let head = format!(
                    "{method} {path}{query} HTTP/1.1\r\n{header}\
                     content-type: application/x-www-form-urlencoded\r\n"
                );
                let status = raw(&server.public, &head, body).await;
                assert!((200..500).contains(&status), "{method} {path} {at} {header}: {status}");
            }
        }
        for kind in ["", "content-type: application/json\r\n", "content-type: \u{e9}\r\n"] {
            let head = format!("{method} {path} HTTP/1.1\r\n{kind}");
            let status = raw(&server.public, &head, b"{}").await;
            assert!((200..500).contains(&status), "{method} {path} {kind}: {status}");
        }
        let head = format!("DELETE {path} HTTP/1.1\r\n");
        assert_eq!(raw(&server.public, &head, b"").await, 405, "{path}");
    }
    // And it still works.
    let alive = server.http.get(server.url("/login")).send().await.unwrap();
    assert_eq!(alive.status(), 200);
}
}
