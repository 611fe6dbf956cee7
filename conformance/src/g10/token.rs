//! The token endpoint: tests 1.4, 9.6, 9.7, 9.12.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{STANDALONE, SUITE, refused, scopes_of};
use crate::app::{ASSERTION_TYPE, BackendKey, post_form};
use crate::demo::{Client, Demo, REDIRECT};
use crate::report::Report;
use crate::world::{Answer, wall_clock};

pub async fn run(demo: &Demo, report: &mut Report) {
    let name = "T1 token: a public app by its client_id in the form";
    report.case(SUITE, name, public(demo)).await;
    let name = "T2 token: a confidential app by HTTP Basic, not without";
    report.case(SUITE, name, basic(demo)).await;
    let name = "T3 token: private_key_jwt with ES384, keys by URL";
    report
        .case(SUITE, name, async {
            asymmetric(demo, BackendKey::generate()?).await
        })
        .await;
    let name = "T4 token: private_key_jwt with RS384, keys by URL";
    report
        .case(SUITE, name, async {
            asymmetric(demo, BackendKey::generate_rsa()?).await
        })
        .await;
    let name = "T5 token: code_verifier missing, blank, wrong, or the challenge";
    report.case(SUITE, name, verifiers(demo)).await;
    let name = "T6 token: a bad code, a bad client id";
    report.case(SUITE, name, strangers(demo)).await;
    let name =
        "T7 token response: JSON, Bearer, expires_in a number, scope, refresh_token, no-store";
    report.case(SUITE, name, shape(demo)).await;
    let name = "T8 token response: the patient; id_token when openid was asked for, and only then";
    report.case(SUITE, name, patient(demo)).await;
    let name = "T9 Patient: 401 without a token, 200 with it";
    report.case(SUITE, name, reading(demo)).await;
}

/// A code of Ana's, with its verifier.
async fn code(demo: &Demo, client: &Client) -> Result<(String, String)> {
    let launch = demo.launch(client, "ana", STANDALONE)?;
    let back = launch.authorize(&[]).await?;
    Ok((back.code()?.to_owned(), back.verifier))
}

async fn public(demo: &Demo) -> Result<()> {
    let (code, verifier) = code(demo, &demo.app).await?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
        ("client_id", &demo.app.id),
        ("code_verifier", &verifier),
    ];
    let answer = post_form(&demo.http, &demo.endpoints.token, &form).await?;
    answer.expect(200)?;
    Ok(())
}

async fn basic(demo: &Demo) -> Result<()> {
    let client = &demo.confidential;
    for (secret, expected) in [(None, 401), (client.secret.as_deref(), 200)] {
        let (code, verifier) = code(demo, client).await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &verifier),
        ];
        let mut request = demo.http.post(demo.endpoints.token.clone());
        match secret {
            Some(secret) => request = request.basic_auth(&client.id, Some(secret)),
            None => form.push(("client_id", &client.id)),
        }
        let answer = Answer::read(request.form(&form).send().await?).await?;
        answer.expect(expected)?;
    }
    Ok(())
}

async fn asymmetric(demo: &Demo, key: BackendKey) -> Result<()> {
    let url = publish(key.jwks.to_string()).await?;
    let client = demo
        .register(
            json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": url,
            "scope": STANDALONE}),
        )
        .await?;
    let (code, verifier) = code(demo, &client).await?;
    let audience = demo.endpoints.token.as_str();
    let stranger = BackendKey::generate()?;
    let now = wall_clock().as_second();
    for (key, expected) in [(&stranger, 401), (&key, 200)] {
        let assertion = key.assertion(&client.id, audience, now)?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &verifier),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", &assertion),
        ];
        let answer = post_form(&demo.http, &demo.endpoints.token, &form).await?;
        answer.expect(expected)?;
    }
    Ok(())
}

/// Serves a JWK Set on loopback; its address.
async fn publish(jwks: String) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/jwks.json", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let mut request = [0_u8; 4096];
            let _ = peer.read(&mut request).await;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            let length = jwks.len();
            let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{jwks}");
            let _ = peer.write_all(answer.as_bytes()).await;
        }
    });
    Ok(url)
}

async fn verifiers(demo: &Demo) -> Result<()> {
    for kind in ["missing", "blank", "wrong", "challenge"] {
        let (code, verifier) = code(demo, &demo.app).await?;
        let verifier = oauth2::PkceCodeVerifier::new(verifier);
        let challenge = oauth2::PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("client_id", demo.app.id.as_str()),
        ];
        match kind {
            "missing" => {}
            "blank" => form.push(("code_verifier", "")),
            "wrong" => form.push((
                "code_verifier",
                "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            )),
            _ => form.push(("code_verifier", challenge.as_str())),
        }
        let answer = post_form(&demo.http, &demo.endpoints.token, &form).await?;
        refused(&answer).context(kind)?;
    }
    Ok(())
}

async fn strangers(demo: &Demo) -> Result<()> {
    let (code, verifier) = code(demo, &demo.app).await?;
    for (code, client) in [
        ("no-such-code", demo.app.id.as_str()),
        (&code, "no-such-client"),
    ] {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("client_id", client),
            ("code_verifier", &verifier),
        ];
        let answer = post_form(&demo.http, &demo.endpoints.token, &form).await?;
        refused(&answer).with_context(|| client.to_owned())?;
    }
    Ok(())
}

async fn shape(demo: &Demo) -> Result<()> {
    let launch = demo.launch(&demo.app, "ana", STANDALONE)?;
    let back = launch.authorize(&[]).await?;
    let answer = launch.exchange(back.code()?, &back.verifier).await?;
    let answer = answer.expect(200)?;
    let kind = answer.header("content-type").unwrap_or_default();
    ensure!(kind.starts_with("application/json"), "{kind}");
    let cache = answer.header("cache-control").unwrap_or_default();
    ensure!(cache.contains("no-store"), "Cache-Control: {cache}");
    let pragma = answer.header("pragma").unwrap_or_default();
    ensure!(pragma.contains("no-cache"), "Pragma: {pragma}");
    let body = answer.json()?;
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    ensure!(!text("access_token").is_empty(), "no access_token");
    ensure!(text("token_type").eq_ignore_ascii_case("bearer"), "{body}");
    ensure!(body["expires_in"].is_number(), "{}", body["expires_in"]);
    ensure!(!scopes_of(&body).is_empty(), "no scope");
    ensure!(!text("refresh_token").is_empty(), "no refresh_token");
    Ok(())
}

async fn patient(demo: &Demo) -> Result<()> {
    for (scope, identity) in [
        (STANDALONE, true),
        ("openid launch/patient patient/Patient.rs", true),
        ("launch/patient patient/Patient.rs", false),
    ] {
        let body = demo.tokens(scope).await?.body;
        ensure!(body["patient"] == "ana", "{scope}: {}", body["patient"]);
        let token: Option<&Value> = body.get("id_token");
        ensure!(token.is_some() == identity, "{scope}: id_token {token:?}");
    }
    Ok(())
}

async fn reading(demo: &Demo) -> Result<()> {
    let access = demo.tokens(STANDALONE).await?.access;
    for (token, expected) in [("", 401), ("nonsense", 401), (access.as_str(), 200)] {
        let status = demo.status(token, "Patient/ana").await?;
        if status != expected {
            bail!("{status} instead of {expected}");
        }
    }
    Ok(())
}
