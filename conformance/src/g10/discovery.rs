//! Where apps find everything: tests 1.2, 3.2, 9.12.

use anyhow::{Context, Result, ensure};
use reqwest::Method;

use super::SUITE;
use crate::demo::Demo;
use crate::report::Report;
use crate::world::Answer;

const STANDALONE: [&str; 12] = [
    "launch-standalone",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-standalone-patient",
    "permission-offline",
    "permission-patient",
    "authorize-post",
    "permission-v2",
    "permission-v1",
    "context-banner",
];
const EHR: [&str; 13] = [
    "launch-ehr",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "permission-offline",
    "permission-user",
    "authorize-post",
    "permission-v2",
    "permission-v1",
];

pub async fn run(demo: &Demo, report: &mut Report) {
    let name = "D1 smart-configuration: 200 without a token, application/json";
    report.case(SUITE, name, answers(demo)).await;
    let name = "D2 smart-configuration: required keys with their types, S256 and no plain";
    report.case(SUITE, name, keys(demo)).await;
    let name = "D3 capabilities of the standalone launch";
    report
        .case(SUITE, name, capabilities(demo, &STANDALONE))
        .await;
    let name = "D4 capabilities of the EHR launch";
    report.case(SUITE, name, capabilities(demo, &EHR)).await;
    let name = "D5 CORS: smart-configuration, metadata, token endpoint, fhirUser";
    report.case(SUITE, name, cors(demo)).await;
}

async fn ask(demo: &Demo) -> Result<Answer> {
    let url = format!("{}/.well-known/smart-configuration", demo.fhir);
    let request = demo.http.get(url).header("accept", "application/json");
    Answer::read(request.send().await?).await?.expect(200)
}

async fn answers(demo: &Demo) -> Result<()> {
    let answer = ask(demo).await?;
    let kind = answer.header("content-type").unwrap_or_default();
    ensure!(kind.starts_with("application/json"), "{kind}");
    answer.json()?;
    Ok(())
}

async fn keys(demo: &Demo) -> Result<()> {
    let document = ask(demo).await?.json()?;
    let texts = |name: &str| -> Result<Vec<String>> {
        let list = document[name].as_array();
        let list = list.with_context(|| format!("{name} is no list"))?;
        let own = list.iter().map(|one| one.as_str().map(str::to_owned));
        own.collect::<Option<Vec<_>>>()
            .with_context(|| format!("{name} holds something else than texts"))
    };
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "issuer",
        "jwks_uri",
        "introspection_endpoint",
        "revocation_endpoint",
    ] {
        let value = document[name].as_str().unwrap_or_default();
        ensure!(url::Url::parse(value).is_ok(), "{name}: {value:?}");
    }
    ensure!(!texts("capabilities")?.is_empty(), "no capabilities");
    let grants = texts("grant_types_supported")?;
    ensure!(
        grants.iter().any(|one| one == "authorization_code"),
        "{grants:?}"
    );
    let methods = texts("code_challenge_methods_supported")?;
    ensure!(methods.iter().any(|one| one == "S256"), "{methods:?}");
    ensure!(!methods.iter().any(|one| one == "plain"), "{methods:?}");
    Ok(())
}

async fn capabilities(demo: &Demo, wanted: &[&str]) -> Result<()> {
    let document = ask(demo).await?.json()?;
    let own = document["capabilities"].as_array().context("none")?;
    for name in wanted {
        ensure!(own.iter().any(|one| one == name), "no {name}");
    }
    Ok(())
}

async fn cors(demo: &Demo) -> Result<()> {
    let origin = "http://localhost:4567";
    let tokens = demo.tokens(super::STANDALONE).await?;
    let open = |answer: &Answer, of: &str| -> Result<()> {
        let allowed = answer.header("access-control-allow-origin");
        let allowed = allowed.unwrap_or_default();
        ensure!(allowed == origin || allowed == "*", "{of}: {allowed:?}");
        Ok(())
    };
    for (path, token) in [
        (".well-known/smart-configuration", None),
        ("metadata", None),
        ("Patient/ana", Some(&tokens.access)),
    ] {
        let mut request = demo
            .http
            .get(format!("{}/{path}", demo.fhir))
            .header("origin", origin);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = Answer::read(request.send().await?).await?.expect(200)?;
        open(&answer, path)?;
    }
    let refresh = tokens.refresh.context("no refresh token")?;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
        ("client_id", demo.app.id.as_str()),
    ];
    let url = demo.endpoints.token.clone();
    let request = demo.http.post(url.clone()).header("origin", origin);
    let answer = Answer::read(request.form(&form).send().await?).await?;
    open(&answer.expect(200)?, "token")?;
    // What a browser asks first.
    for (url, method, header) in [
        (url.to_string(), "POST", "content-type"),
        (format!("{}/Patient/ana", demo.fhir), "GET", "authorization"),
    ] {
        let request = demo
            .http
            .request(Method::OPTIONS, &url)
            .header("origin", origin)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", header);
        let answer = Answer::read(request.send().await?).await?;
        ensure!(answer.status.is_success(), "{url}: {}", answer.status);
        open(&answer, &url)?;
        let headers = answer.header("access-control-allow-headers");
        let headers = headers.unwrap_or_default().to_lowercase();
        ensure!(
            headers == "*" || headers.contains(header),
            "{url}: {headers}"
        );
    }
    Ok(())
}
