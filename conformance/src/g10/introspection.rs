//! Introspection: test 9.11.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{STANDALONE, SUITE, scopes_of};
use crate::app;
use crate::demo::{Demo, REDIRECT};
use crate::report::Report;
use crate::world::{Answer, wall_clock};

pub async fn run(demo: &Demo, report: &mut Report) {
    let name = "I1 introspection by POST with Basic: active, client_id, scope, exp, iss, sub, patient, fhirUser";
    report.case(SUITE, name, active(demo)).await;
    let name = "I2 introspection of an invalid token: 200 and exactly {\"active\":false}";
    report.case(SUITE, name, inactive(demo)).await;
}

async fn introspect(demo: &Demo, token: &str) -> Result<Answer> {
    let document = app::configuration(&demo.http, &demo.fhir).await?;
    let url = document["introspection_endpoint"].as_str();
    let client = &demo.confidential;
    let request = demo
        .http
        .post(url.context("no introspection_endpoint")?)
        .basic_auth(&client.id, client.secret.as_deref())
        .form(&[("token", token)]);
    Answer::read(request.send().await?).await?.expect(200)
}

/// Tokens of the confidential app.
async fn tokens(demo: &Demo) -> Result<Value> {
    let client = &demo.confidential;
    let back = demo
        .launch(client, "ana", STANDALONE)?
        .authorize(&[])
        .await?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", back.code()?),
        ("redirect_uri", REDIRECT),
        ("code_verifier", &back.verifier),
    ];
    let request = demo
        .http
        .post(demo.endpoints.token.clone())
        .basic_auth(&client.id, client.secret.as_deref())
        .form(&form);
    Answer::read(request.send().await?)
        .await?
        .expect(200)?
        .json()
}

async fn active(demo: &Demo) -> Result<()> {
    let tokens = tokens(demo).await?;
    let access = tokens["access_token"].as_str().context("no token")?;
    let about = introspect(demo, access).await?.json()?;
    ensure!(about["active"] == true, "{about}");
    ensure!(
        about["client_id"] == demo.confidential.id.as_str(),
        "client_id {}",
        about["client_id"]
    );
    let set = |body: &Value| scopes_of(body).into_iter().collect::<BTreeSet<_>>();
    ensure!(set(&about) == set(&tokens), "scope {}", about["scope"]);
    ensure!(
        about["patient"] == tokens["patient"],
        "{}",
        about["patient"]
    );
    let expires = about["exp"].as_i64().context("exp is no number")?;
    ensure!(expires >= wall_clock().as_second() - 600, "exp {expires}");
    let id_token = tokens["id_token"].as_str().context("no id_token")?;
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(id_token)?.claims;
    for name in ["iss", "sub", "fhirUser"] {
        ensure!(about[name] == claims[name], "{name} {}", about[name]);
    }
    Ok(())
}

async fn inactive(demo: &Demo) -> Result<()> {
    for token in ["invalid", "a.b.c"] {
        let body = introspect(demo, token).await?.json()?;
        ensure!(body == json!({"active": false}), "{body}");
    }
    Ok(())
}
