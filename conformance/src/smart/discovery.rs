//! `.well-known/smart-configuration`, `openid-configuration`, keys, CORS.

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::Value;

use crate::report::Report;
use crate::worlds::Worlds;

const CAPABILITIES: [&str; 17] = [
    "launch-ehr",
    "launch-standalone",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "permission-user",
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
];

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "smart",
            "smart-configuration: keys, types, capabilities",
            async {
                let world = worlds.get("US").await?;
                let headers = [("accept", "application/json")];
                let path = ".well-known/smart-configuration";
                let answer = world
                    .raw(None, Method::GET, path, &headers, None)
                    .await?
                    .expect(200)?;
                let kind = answer.header("content-type").unwrap_or_default();
                ensure!(kind.starts_with("application/json"), "{kind}");
                let document = answer.json()?;
                for key in [
                    "issuer",
                    "jwks_uri",
                    "authorization_endpoint",
                    "token_endpoint",
                    "introspection_endpoint",
                    "revocation_endpoint",
                ] {
                    let value = document[key]
                        .as_str()
                        .with_context(|| format!("no {key}"))?;
                    ensure!(value.starts_with("http"), "{key}: {value}");
                }
                let list = |key: &str| -> Vec<String> {
                    let values = document[key].as_array().into_iter().flatten();
                    values
                        .filter_map(|one| one.as_str().map(str::to_owned))
                        .collect()
                };
                for grant in ["authorization_code", "client_credentials"] {
                    let grants = list("grant_types_supported");
                    ensure!(
                        grants.iter().any(|one| one == grant),
                        "no {grant}: {grants:?}"
                    );
                }
                let methods = list("code_challenge_methods_supported");
                ensure!(methods == ["S256"], "challenge methods {methods:?}");
                let capabilities = list("capabilities");
                for one in CAPABILITIES {
                    ensure!(
                        capabilities.iter().any(|own| own == one),
                        "no capability {one}"
                    );
                }
                for method in ["client_secret_basic", "private_key_jwt"] {
                    let methods = list("token_endpoint_auth_methods_supported");
                    ensure!(methods.iter().any(|own| own == method), "no {method}");
                }
                Ok(())
            },
        )
        .await;
    report
        .case("smart", "openid-configuration and its keys", async {
            let world = worlds.get("US").await?;
            let path = ".well-known/smart-configuration";
            let smart = world
                .raw(None, Method::GET, path, &[], None)
                .await?
                .expect(200)?
                .json()?;
            let issuer = smart["issuer"].as_str().context("no issuer")?;
            let url = format!("{issuer}/.well-known/openid-configuration");
            let openid = world
                .raw(None, Method::GET, &url, &[], None)
                .await?
                .expect(200)?
                .json()?;
            ensure!(openid["issuer"] == issuer, "{}", openid["issuer"]);
            for key in [
                "authorization_endpoint",
                "token_endpoint",
                "jwks_uri",
                "response_types_supported",
                "subject_types_supported",
                "id_token_signing_alg_values_supported",
            ] {
                ensure!(openid.get(key).is_some(), "no {key}");
            }
            let algorithms = openid["id_token_signing_alg_values_supported"].to_string();
            ensure!(algorithms.contains("RS256"), "{algorithms}");
            let url = openid["jwks_uri"].as_str().context("no jwks_uri")?;
            let keys = world
                .raw(None, Method::GET, url, &[], None)
                .await?
                .expect(200)?
                .json()?;
            let keys = keys["keys"].as_array().context("no keys")?;
            ensure!(!keys.is_empty(), "no key");
            for key in keys {
                ensure!(key.get("kid").is_some(), "a key without kid");
                for secret in ["d", "p", "q", "k"] {
                    ensure!(
                        key.get(secret).is_none(),
                        "a private part is published: {secret}"
                    );
                }
            }
            Ok(())
        })
        .await;
    report
        .case("smart", "CORS for apps in browsers", async {
            let world = worlds.get("US").await?;
            let origin = "http://localhost:4567";
            let headers = [("origin", origin), ("accept", "application/json")];
            for path in [".well-known/smart-configuration", "metadata", "Patient/1"] {
                let answer = world.raw(None, Method::GET, path, &headers, None).await?;
                let allowed = answer
                    .header("access-control-allow-origin")
                    .unwrap_or_default();
                ensure!(allowed == origin || allowed == "*", "{path}: {allowed:?}");
            }
            let token = world.endpoints.token.to_string();
            let preflight = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type"),
            ];
            let fhir = format!("{}/Patient/1", world.server.fhir());
            for (url, method) in [(token, "POST"), (fhir, "GET")] {
                let mut headers = preflight.to_vec();
                headers[1].1 = method;
                headers[2].1 = if method == "GET" {
                    "authorization"
                } else {
                    "content-type"
                };
                let answer = world
                    .raw(None, Method::OPTIONS, &url, &headers, None)
                    .await?;
                ensure!(
                    answer.status.is_success(),
                    "preflight {url}: {}",
                    answer.status
                );
                let allowed = answer
                    .header("access-control-allow-origin")
                    .unwrap_or_default();
                ensure!(
                    allowed == origin || allowed == "*",
                    "preflight {url}: {allowed:?}"
                );
            }
            Ok(())
        })
        .await;
    report
        .case("smart", "the style for apps is public JSON", async {
            let world = worlds.get("US").await?;
            let person = super::Person::new(worlds, "style").await?;
            let tokens = person.tokens(super::SCOPE).await?;
            let Some(url) = tokens.body.get("smart_style_url").and_then(Value::as_str) else {
                return Ok(());
            };
            world
                .raw(None, Method::GET, url, &[], None)
                .await?
                .expect(200)?
                .json()?;
            Ok(())
        })
        .await;
}
