//! OpenID Connect: tests 1.4 and 3.4.

use anyhow::{Context, Result, ensure};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::Value;

use super::{STANDALONE, SUITE};
use crate::demo::Demo;
use crate::report::Report;
use crate::world::Answer;

pub async fn run(demo: &Demo, report: &mut Report) {
    let name = "O1 openid-configuration: required keys, RS256";
    report.case(SUITE, name, configuration(demo)).await;
    let name = "O2 id_token: RS256, kid of the key set, signature";
    report
        .case(SUITE, name, async {
            claims(demo, &id_token(demo).await?).await?;
            Ok(())
        })
        .await;
    let name = "O3 id_token: iss, sub, aud, exp, iat";
    report.case(SUITE, name, required(demo)).await;
    let name = "O4 id_token: fhirUser is a person who reads";
    report.case(SUITE, name, fhir_user(demo)).await;
}

async fn get(demo: &Demo, url: &str) -> Result<Value> {
    let answer = Answer::read(demo.http.get(url).send().await?).await?;
    answer.expect(200).with_context(|| url.to_owned())?.json()
}

async fn openid(demo: &Demo) -> Result<Value> {
    let smart = get(
        demo,
        &format!("{}/.well-known/smart-configuration", demo.fhir),
    )
    .await?;
    let issuer = smart["issuer"].as_str().context("no issuer")?;
    get(demo, &format!("{issuer}/.well-known/openid-configuration")).await
}

async fn configuration(demo: &Demo) -> Result<()> {
    let openid = openid(demo).await?;
    for name in [
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
    ] {
        ensure!(openid[name].is_string(), "{name}: {}", openid[name]);
    }
    for name in [
        "response_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
    ] {
        let list = openid[name].as_array().map_or(0, Vec::len);
        ensure!(list > 0, "{name}: {}", openid[name]);
    }
    let algorithms = openid["id_token_signing_alg_values_supported"].to_string();
    ensure!(algorithms.contains("\"RS256\""), "{algorithms}");
    Ok(())
}

async fn id_token(demo: &Demo) -> Result<Value> {
    Ok(demo.tokens(STANDALONE).await?.body)
}

/// The claims of a token response's id_token, which verifies.
pub async fn claims(demo: &Demo, body: &Value) -> Result<Value> {
    let token = body["id_token"].as_str().context("no id_token")?;
    let header = jsonwebtoken::decode_header(token)?;
    ensure!(header.alg == Algorithm::RS256, "{:?}", header.alg);
    let openid = openid(demo).await?;
    let url = openid["jwks_uri"].as_str().context("no jwks_uri")?;
    let keys: JwkSet = serde_json::from_value(get(demo, url).await?)?;
    let kid = header.kid.context("no kid")?;
    let key = keys.find(&kid).with_context(|| format!("no key {kid}"))?;
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&[&demo.app.id]);
    rules.set_issuer(&[openid["issuer"].as_str().unwrap_or_default()]);
    let key = DecodingKey::from_jwk(key)?;
    Ok(jsonwebtoken::decode(token, &key, &rules)?.claims)
}

async fn required(demo: &Demo) -> Result<()> {
    let claims = claims(demo, &id_token(demo).await?).await?;
    ensure!(
        claims["iss"] == demo.public.as_str(),
        "iss {}",
        claims["iss"]
    );
    ensure!(
        claims["aud"] == demo.app.id.as_str(),
        "aud {}",
        claims["aud"]
    );
    let subject = claims["sub"].as_str().unwrap_or_default();
    ensure!(!subject.is_empty() && subject.len() < 256, "sub {subject}");
    ensure!(
        claims["exp"].is_number() && claims["iat"].is_number(),
        "times"
    );
    Ok(())
}

async fn fhir_user(demo: &Demo) -> Result<()> {
    let body = id_token(demo).await?;
    let claims = claims(demo, &body).await?;
    let user = claims["fhirUser"].as_str().context("no fhirUser")?;
    let path = user
        .strip_prefix(&format!("{}/", demo.fhir))
        .unwrap_or(user);
    let kind = path.split('/').next().unwrap_or_default();
    ensure!(
        ["Patient", "Practitioner", "RelatedPerson", "Person"].contains(&kind),
        "{user}"
    );
    let access = body["access_token"].as_str().unwrap_or_default();
    let found = demo.get(access, path).await?.expect(200)?.json()?;
    ensure!(found["resourceType"] == kind, "{}", found["resourceType"]);
    Ok(())
}
