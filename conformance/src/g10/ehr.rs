//! Launches from an EHR: tests 3.4, 9.9.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{EITHER_TYPES, PATIENT_TYPES, SUITE, scopes_of};
use crate::app::{How, Launch};
use crate::demo::{Client, Demo};
use crate::report::Report;
use crate::world::Answer;

pub async fn run(demo: &Demo, report: &mut Report) {
    let name = "E1 EHR launch by POST: patient and encounter that read, banner, style, id_token";
    report.case(SUITE, name, context(demo)).await;
    let name = "E2 EHR launch: fhirContext holds objects with a reference";
    report.case(SUITE, name, fhir_context(demo)).await;
    let name = "E3 EHR launch: user/ scopes for every type, v2 answered in v2";
    report.case(SUITE, name, user_scopes(demo)).await;
    let name = "E4 EHR launch with patient/Patient.rs alone";
    report.case(SUITE, name, patient_scope(demo)).await;
}

/// A launch of Dr. Lee's about Ana, made by the EHR and answered by form post: the tokens.
async fn launched(demo: &Demo, scope: &str, more: &Value) -> Result<Value> {
    let client = app(demo, scope).await?;
    let mut says = json!({"client_id": client.id, "user": "drlee", "patient": "ana",
        "encounter": "ana-visit"});
    if let (Some(says), Some(more)) = (says.as_object_mut(), more.as_object()) {
        says.extend(more.clone());
    }
    let ehr = demo.backend("launch").await?;
    let url = format!("{}/auth/launch", demo.public);
    let request = demo.http.post(url).bearer_auth(ehr).json(&says);
    let made = Answer::read(request.send().await?).await?;
    let made = made.expect(201).context("making a launch")?.json()?;
    let token = made["launch"].as_str().context("no launch")?;
    let launch: Launch<'_> = demo.launch(&client, "drlee", scope)?;
    let how = How {
        posts: true,
        choose: None,
    };
    let back = launch.authorize_as(&[("launch", token)], &how).await?;
    let answer = launch.exchange(back.code()?, &back.verifier).await?;
    answer.expect(200)?.json()
}

async fn app(demo: &Demo, scope: &str) -> Result<Client> {
    demo.register(json!({"token_endpoint_auth_method": "none", "scope": scope}))
        .await
}

fn user_types() -> String {
    let types = PATIENT_TYPES.iter().chain(&EITHER_TYPES);
    let scopes: Vec<String> = types.map(|name| format!("user/{name}.rs")).collect();
    format!("openid fhirUser launch offline_access {}", scopes.join(" "))
}

async fn context(demo: &Demo) -> Result<()> {
    let more = json!({"need_patient_banner": true});
    let body = launched(demo, &user_types(), &more).await?;
    ensure!(body["patient"] == "ana", "patient {}", body["patient"]);
    ensure!(body["encounter"] == "ana-visit", "{}", body["encounter"]);
    ensure!(body["need_patient_banner"] == true, "no banner");
    ensure!(body["id_token"].is_string(), "no id_token");
    ensure!(body["refresh_token"].is_string(), "no refresh_token");
    let access = body["access_token"].as_str().context("no token")?;
    for path in ["Patient/ana", "Encounter/ana-visit"] {
        let status = demo.status(access, path).await?;
        ensure!(status == 200, "{path}: {status}");
    }
    let style = body["smart_style_url"].as_str().context("no style")?;
    let style = Answer::read(demo.http.get(style).send().await?).await?;
    ensure!(style.expect(200)?.json()?.is_object(), "no JSON object");
    Ok(())
}

async fn fhir_context(demo: &Demo) -> Result<()> {
    let given = json!([{"reference": "ImagingStudy/scan"}]);
    let more = json!({"fhirContext": given});
    let body = launched(demo, &user_types(), &more).await?;
    let list = body["fhirContext"].as_array().context("no fhirContext")?;
    for one in list {
        ensure!(one["reference"].is_string(), "{one}");
    }
    ensure!(body["fhirContext"] == given, "{}", body["fhirContext"]);
    Ok(())
}

async fn user_scopes(demo: &Demo) -> Result<()> {
    let body = launched(demo, &user_types(), &json!({})).await?;
    let granted = scopes_of(&body);
    for name in PATIENT_TYPES.iter().chain(&EITHER_TYPES) {
        let scope = format!("user/{name}.rs");
        ensure!(granted.contains(&scope), "no {scope}: {granted:?}");
    }
    ensure!(
        !granted.iter().any(|one| one.starts_with("patient/")),
        "{granted:?}"
    );
    Ok(())
}

async fn patient_scope(demo: &Demo) -> Result<()> {
    let scope = "openid fhirUser launch patient/Patient.rs";
    let body = launched(demo, scope, &json!({})).await?;
    let granted = scopes_of(&body);
    ensure!(
        granted.iter().any(|one| one == "patient/Patient.rs"),
        "{granted:?}"
    );
    let access = body["access_token"].as_str().context("no token")?;
    let status = demo.status(access, "Patient/ana").await?;
    ensure!(status == 200, "Patient: {status}");
    let status = demo.status(access, "Observation?patient=ana").await?;
    ensure!(matches!(status, 401 | 403), "Observation: {status}");
    Ok(())
}
