//! Launches from an EHR, as group 3 of the certification kit makes them.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Person;
use crate::app::{self, BackendKey, Launch};
use crate::report::Report;
use crate::world::{Answer, PASSWORD, REDIRECT, Who};
use crate::worlds::Worlds;

const SCOPE: &str = "openid fhirUser launch offline_access user/*.rs";

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "smart",
            "EHR launch: patient, encounter and banner of the chart, once, for the one launched",
            async {
                let person = Person::new(worlds, "ehr").await?;
                let (world, chart) = (&person.world, &person.chart);
                let patient = chart.id("p");
                let visit = chart.id("visit");
                let encounter = json!({"resourceType": "Encounter", "id": visit,
                    "status": "in-progress",
                    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                        "code": "AMB"},
                    "subject": {"reference": format!("Patient/{patient}")}});
                world.put(&encounter).await?;
                let doctor = chart.id("doctor");
                let (username, _) = world.account(&Who::Clinician(doctor)).await?;
                let app = client(
                    &person,
                    &[
                        "--type",
                        "public",
                        "--redirect-uri",
                        REDIRECT,
                        "--scope",
                        SCOPE,
                    ],
                )
                .await?;
                let ehr = ehr_token(&person).await?;
                let says = json!({"client_id": app, "user": username, "patient": patient,
                    "encounter": visit, "need_patient_banner": false, "intent": "review"});
                let answer = launch(&person, &ehr, &says).await?.expect(201)?.json()?;
                let token = answer["launch"].as_str().context("no launch")?;
                let flow = Launch {
                    client_id: &app,
                    username: &username,
                    password: PASSWORD,
                    ..person.launch(SCOPE)
                };
                let back = flow.authorize(&[("launch", token)]).await?;
                let tokens = flow.exchange(back.code()?, &back.verifier).await?;
                let tokens = tokens.expect(200)?.json()?;
                for (name, expected) in [
                    ("patient", json!(patient)),
                    ("encounter", json!(visit)),
                    ("need_patient_banner", json!(false)),
                    ("intent", json!("review")),
                ] {
                    ensure!(tokens[name] == expected, "{name}: {}", tokens[name]);
                }
                let scope = tokens["scope"].as_str().context("no scope")?;
                ensure!(
                    scope.split(' ').any(|one| one.starts_with("user/")),
                    "no user scope: {scope}"
                );
                // The context can be read with the token.
                let access = tokens["access_token"].as_str().context("no token")?;
                for path in [format!("Patient/{patient}"), format!("Encounter/{visit}")] {
                    let status = person.status_of(access, &path).await?;
                    ensure!(status == 200, "{path}: {status}");
                }
                let style = tokens["smart_style_url"].as_str().context("no style")?;
                let style = Answer::read(world.client.get(style).send().await?).await?;
                style.expect(200)?.json()?;
                // Once.
                let again = flow.authorize(&[("launch", token)]).await?;
                ensure!(again.get("code").is_none(), "a launch was used twice");
                ensure!(again.get("error") == Some("invalid_request"), "no error");
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "EHR launch: only a backend with the scope makes one, of what is there",
            async {
                let person = Person::new(worlds, "ehr-no").await?;
                let patient = person.chart.id("p");
                let says = json!({"client_id": person.world.app, "user": person.username,
                    "patient": patient});
                let feed = person.world.token(&Who::Feed).await?;
                launch(&person, &feed, &says).await?.expect(403)?;
                launch(&person, "nothing", &says).await?.expect(401)?;
                let ehr = ehr_token(&person).await?;
                let mut nobody = says.clone();
                nobody["patient"] = json!("there-is-no-such-id");
                launch(&person, &ehr, &nobody).await?.expect(400)?;
                Ok(())
            },
        )
        .await;
}

async fn client(person: &Person, more: &[&str]) -> Result<String> {
    let arguments = [&["--name", "Launched"], more].concat();
    let printed = person.world.server.add_client(&arguments).await?;
    let id = printed.get("client_id").and_then(Value::as_str);
    Ok(id.context("no client_id printed")?.to_owned())
}

/// A token of a backend that may make launches.
async fn ehr_token(person: &Person) -> Result<String> {
    let key = BackendKey::generate()?;
    let jwks = key.jwks.to_string();
    let file = person.world.server.file("ehr.json", jwks.as_bytes())?;
    let id = client(
        person,
        &["--type", "backend", "--jwks", &file, "--scope", "launch"],
    )
    .await?;
    let now = person.world.now().as_second();
    let (http, endpoints) = (&person.world.client, &person.world.endpoints);
    let tokens = app::backend_token(http, endpoints, &id, &key, "launch", now).await?;
    Ok(tokens.access)
}

async fn launch(person: &Person, token: &str, says: &Value) -> Result<Answer> {
    let url = format!("{}/auth/launch", person.world.server.public);
    let request = person.world.client.post(url).bearer_auth(token).json(says);
    Answer::read(request.send().await?).await
}
