//! Token introspection (RFC 7662).

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Person, SCOPE, confidential};
use crate::app;
use crate::report::Report;
use crate::world::{Answer, REDIRECT};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "smart",
            "introspection: active with its facts; else {\"active\":false} and no word more",
            async {
                let person = Person::new(worlds, "intro").await?;
                let (id, secret) = confidential(&person.world, "Introspector").await?;
                let mut launch = person.launch(SCOPE);
                launch.client_id = &id;
                let back = launch.authorize(&[]).await?;
                let form = [
                    ("grant_type", "authorization_code"),
                    ("code", back.code()?),
                    ("redirect_uri", REDIRECT),
                    ("code_verifier", back.verifier.as_str()),
                ];
                let url = person.world.endpoints.token.clone();
                let answer = person
                    .world
                    .client
                    .post(url)
                    .basic_auth(&id, Some(&secret))
                    .form(&form)
                    .send()
                    .await?;
                let tokens = Answer::read(answer).await?.expect(200)?.json()?;
                let access = tokens["access_token"].as_str().context("no token")?;
                let about = introspect(&person, Some((&id, &secret)), access)
                    .await?
                    .expect(200)?
                    .json()?;
                ensure!(about["active"] == true, "{about}");
                ensure!(
                    about["client_id"] == id.as_str(),
                    "client_id {}",
                    about["client_id"]
                );
                ensure!(
                    words(&about["scope"]) == words(&tokens["scope"]),
                    "scope {}",
                    about["scope"]
                );
                ensure!(
                    about["patient"] == tokens["patient"],
                    "patient {}",
                    about["patient"]
                );
                let exp = about["exp"].as_i64().context("exp is no number")?;
                ensure!(exp > person.world.now().as_second() - 600, "exp {exp}");
                ensure!(
                    about["sub"].is_string() && about["iss"].is_string(),
                    "{about}"
                );
                let user = about["fhirUser"].as_str().unwrap_or_default();
                ensure!(user.contains(&person.chart.id("p")), "fhirUser {user}");
                let nothing = json!({"active": false});
                for token in ["garbage", "", "a.b.c"] {
                    let answer = introspect(&person, Some((&id, &secret)), token).await?;
                    if token.is_empty() && answer.status.as_u16() == 400 {
                        continue;
                    }
                    let body = answer.expect(200)?.json()?;
                    ensure!(body == nothing, "{token:?}: {body}");
                }
                person.world.pass("PT24H").await?;
                let body = introspect(&person, Some((&id, &secret)), access)
                    .await?
                    .expect(200)?
                    .json()?;
                ensure!(body == nothing, "after its time: {body}");
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "introspection: not for everybody, not of others' tokens",
            async {
                let person = Person::new(worlds, "intro2").await?;
                let tokens = person.tokens(SCOPE).await?;
                let anonymous = introspect(&person, None, &tokens.access).await?;
                ensure!(
                    anonymous.status.as_u16() == 401,
                    "anonymous: {}",
                    anonymous.status
                );
                let (id, secret) = confidential(&person.world, "Curious").await?;
                let other = introspect(&person, Some((&id, &secret)), &tokens.access).await?;
                let body = other.expect(200)?.json()?;
                ensure!(
                    body == json!({"active": false}),
                    "somebody else's token: {body}"
                );
                let wrong = introspect(&person, Some((&id, "wrong")), &tokens.access).await?;
                ensure!(
                    wrong.status.as_u16() == 401,
                    "a wrong secret: {}",
                    wrong.status
                );
                Ok(())
            },
        )
        .await;
}

async fn introspect(person: &Person, client: Option<(&str, &str)>, token: &str) -> Result<Answer> {
    let document = app::configuration(&person.world.client, &person.fhir).await?;
    let url = document["introspection_endpoint"].as_str();
    let url = url.context("no introspection_endpoint")?;
    let mut request = person.world.client.post(url).form(&[("token", token)]);
    if let Some((id, secret)) = client {
        request = request.basic_auth(id, Some(secret));
    }
    Answer::read(request.send().await?).await
}

fn words(scope: &Value) -> Vec<&str> {
    let mut words: Vec<&str> = scope.as_str().unwrap_or_default().split(' ').collect();
    words.sort_unstable();
    words
}
