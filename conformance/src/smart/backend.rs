//! SMART Backend Services: `client_credentials` with `private_key_jwt`.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::token::refused;
use crate::app::{ASSERTION_TYPE, BackendKey, post_form};
use crate::report::Report;
use crate::world::{Answer, World};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "smart",
            "backend: a token for a signed assertion, and what it says",
            async {
                let world = worlds.get("US").await?;
                let (id, key) = backend(&world, "system/*.rs").await?;
                let good =
                    key.assertion(&id, world.endpoints.token.as_str(), world.now().as_second())?;
                let answer = ask(&world, &good, "system/Patient.rs").await?;
                ensure!(
                    matches!(answer.status.as_u16(), 200 | 201),
                    "{} {}",
                    answer.status,
                    answer.text
                );
                let body = answer.json()?;
                let kind = body["token_type"].as_str().unwrap_or_default();
                ensure!(kind.eq_ignore_ascii_case("bearer"), "{kind}");
                let life = body["expires_in"]
                    .as_i64()
                    .context("expires_in is no number")?;
                ensure!((1..=300).contains(&life), "lives {life} s");
                ensure!(body["scope"] == "system/Patient.rs", "{}", body["scope"]);
                ensure!(body.get("refresh_token").is_none(), "a refresh token");
                let replay = ask(&world, &good, "system/Patient.rs").await?;
                refused(&replay).context("the same assertion twice")
            },
        )
        .await;
    report
        .case("smart", "backend: assertions that prove nothing", async {
            let world = worlds.get("US").await?;
            let stranger = BackendKey::generate()?;
            let faults: [(&str, &[(&str, Value)]); 9] = [
                ("another key", &[]),
                (
                    "another audience",
                    &[("aud", json!("https://elsewhere.example"))],
                ),
                ("expired", &[("exp", json!(-60))]),
                ("good for an hour", &[("exp", json!(3600))]),
                ("sub is not iss", &[("sub", json!("other"))]),
                ("no jti", &[("jti", Value::Null)]),
                ("no exp", &[("exp", Value::Null)]),
                (
                    "unknown client",
                    &[("iss", json!("x")), ("sub", json!("x"))],
                ),
                ("alg none", &[]),
            ];
            for (name, changes) in faults {
                // A client each: whoever fails often has to wait.
                let (id, key) = backend(&world, "system/*.rs").await?;
                let now = world.now().as_second();
                let mut claims = json!({"iss": id, "sub": id, "aud": world.endpoints.token.as_str(),
                    "exp": now + 240, "iat": now, "jti": uuid::Uuid::new_v4().to_string()});
                for (claim, value) in changes {
                    claims[*claim] = match value.as_i64() {
                        Some(seconds) => json!(now + seconds),
                        None => value.clone(),
                    };
                }
                let assertion = match name {
                    "another key" => stranger.sign(&claims)?,
                    "alg none" => none(&claims)?,
                    _ => key.sign(&claims)?,
                };
                let answer = ask(&world, &assertion, "system/*.rs").await?;
                refused(&answer).with_context(|| name.to_owned())?;
            }
            refused(&ask(&world, "garbage", "system/*.rs").await?)?;
            Ok(())
        })
        .await;
    report
        .case(
            "smart",
            "backend: wrong grant_type, assertion type, scope",
            async {
                let world = worlds.get("US").await?;
                let (id, key) = backend(&world, "system/Patient.rs").await?;
                let assertion =
                    || key.assertion(&id, world.endpoints.token.as_str(), world.now().as_second());
                let url = &world.endpoints.token;
                let fresh = assertion()?;
                let form = [
                    ("grant_type", "casual_friday"),
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", fresh.as_str()),
                    ("scope", "system/*.rs"),
                ];
                post_form(&world.client, url, &form).await?.expect(400)?;
                let fresh = assertion()?;
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_assertion_type", "not-it"),
                    ("client_assertion", fresh.as_str()),
                    ("scope", "system/Patient.rs"),
                ];
                refused(&post_form(&world.client, url, &form).await?)?;
                let none: [(&str, &str); 2] = [
                    ("grant_type", "client_credentials"),
                    ("scope", "system/*.rs"),
                ];
                refused(&post_form(&world.client, url, &none).await?)?;
                let answer = ask(&world, &assertion()?, "system/Observation.rs").await?;
                refused(&answer).context("a scope beyond the registration")?;
                let answer = ask(&world, &assertion()?, "patient/Patient.rs").await?;
                refused(&answer).context("a patient scope")
            },
        )
        .await;
    report
        .case("smart", "backend: read scopes do not write, one type opens no other", async {
            let world = worlds.get("US").await?;
            let (id, key) = backend(&world, "system/*.rs").await?;
            let assertion = key.assertion(&id, world.endpoints.token.as_str(), world.now().as_second())?;
            let body = ask(&world, &assertion, "system/Patient.rs").await?.expect(200)?.json()?;
            let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap_or_default());
            let headers = [("authorization", bearer.as_str())];
            let get = async |path: &str| world.raw(None, reqwest::Method::GET, path, &headers, None).await;
            get("Patient?_count=1").await?.expect(200)?;
            get("Observation?_count=1").await?.expect_outcome(&[403])?;
            let patient = json!({"resourceType": "Patient"}).to_string().into_bytes();
            let post = world.raw(None, reqwest::Method::POST, "Patient", &headers, Some(patient)).await?;
            post.expect_outcome(&[403])?;
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}]});
            let body = bundle.to_string().into_bytes();
            let post = world.raw(None, reqwest::Method::POST, "", &headers, Some(body)).await?;
            post.expect_outcome(&[403])?;
            Ok(())
        })
        .await;
}

/// A backend of its own: client id and key.
async fn backend(world: &World, scope: &str) -> Result<(String, BackendKey)> {
    let key = BackendKey::generate()?;
    let jwks = world
        .server
        .file("backend.json", key.jwks.to_string().as_bytes())?;
    let printed = world
        .server
        .add_client(&[
            "--name", "Nightly", "--type", "backend", "--jwks", &jwks, "--scope", scope,
        ])
        .await?;
    let id = printed["client_id"]
        .as_str()
        .context("no client_id printed")?;
    Ok((id.to_owned(), key))
}

async fn ask(world: &World, assertion: &str, scope: &str) -> Result<Answer> {
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", scope),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    post_form(&world.client, &world.endpoints.token, &form).await
}

/// An unsigned JWT.
fn none(claims: &Value) -> Result<String> {
    use base64::Engine as _;
    let encode =
        |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    Ok(format!(
        "{}.{}.",
        encode(&json!({"alg": "none", "typ": "JWT"})),
        encode(claims)
    ))
}
