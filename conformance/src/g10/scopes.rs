//! Scopes of the standalone launch, all and few, v1 and v2: tests 1.4, 2.2, 9.13.

use anyhow::{Context, Result, ensure};

use super::{EITHER_TYPES, PATIENT_TYPES, STANDALONE, SUITE, scopes_of};
use crate::app::{How, Tokens};
use crate::demo::Demo;
use crate::html::Form;
use crate::report::Report;

/// The first search of each type that the limited app tries.
const SEARCHES: [(&str, &str); 17] = [
    ("AllergyIntolerance", "patient=ana"),
    ("CarePlan", "patient=ana&category=assess-plan"),
    ("CareTeam", "patient=ana&status=active"),
    ("Condition", "patient=ana"),
    ("Coverage", "patient=ana"),
    ("Device", "patient=ana"),
    ("DiagnosticReport", "patient=ana&category=LAB"),
    ("DocumentReference", "patient=ana"),
    ("Encounter", "patient=ana"),
    ("Goal", "patient=ana"),
    ("Immunization", "patient=ana"),
    ("MedicationDispense", "patient=ana"),
    ("MedicationRequest", "patient=ana&intent=order"),
    ("Observation", "patient=ana&category=laboratory"),
    ("Patient", "_id=ana"),
    ("Procedure", "patient=ana"),
    ("ServiceRequest", "patient=ana"),
];

pub async fn run(demo: &Demo, report: &mut Report) {
    let name = "S1 standalone: patient/X.rs for every type, granted in v2";
    report.case(SUITE, name, every_type(demo, "rs")).await;
    let name = "S2 standalone with v1 scopes: .read granted back";
    report.case(SUITE, name, every_type(demo, "read")).await;
    let name = "S3 a wildcard covers every type of the patient's compartment";
    report.case(SUITE, name, wildcard(demo)).await;
    let name = "S4 limited app: what is unticked is not in scope, and is 401 or 403 in search";
    report.case(SUITE, name, limited(demo)).await;
    let name = "S5 limited app: the person may refuse offline_access";
    report.case(SUITE, name, no_offline(demo)).await;
}

async fn every_type(demo: &Demo, letters: &str) -> Result<()> {
    let types = PATIENT_TYPES.iter().chain(&EITHER_TYPES);
    let scopes: Vec<String> = types
        .map(|name| format!("patient/{name}.{letters}"))
        .collect();
    let asked = format!(
        "openid fhirUser launch/patient offline_access {}",
        scopes.join(" ")
    );
    let client = demo
        .register(serde_json::json!({"token_endpoint_auth_method": "none", "scope": asked}))
        .await?;
    let tokens = demo.launch(&client, "ana", &asked)?.run().await?;
    let granted = scopes_of(&tokens.body);
    for name in PATIENT_TYPES {
        let scope = format!("patient/{name}.{letters}");
        ensure!(granted.contains(&scope), "no {scope}: {granted:?}");
    }
    for name in EITHER_TYPES {
        let found = ["patient", "user"].iter().any(|context| {
            let scope = format!("{context}/{name}.{letters}");
            granted.contains(&scope)
        });
        ensure!(found, "nothing for {name}: {granted:?}");
    }
    for scope in ["openid", "fhirUser", "launch/patient", "offline_access"] {
        ensure!(granted.iter().any(|one| one == scope), "no {scope}");
    }
    let status = demo.status(&tokens.access, "Patient/ana").await?;
    ensure!(status == 200, "Patient: {status}");
    Ok(())
}

async fn wildcard(demo: &Demo) -> Result<()> {
    let tokens = demo.tokens(STANDALONE).await?;
    let granted = scopes_of(&tokens.body);
    for name in PATIENT_TYPES {
        let scope = format!("patient/{name}.rs");
        let found = granted
            .iter()
            .any(|one| *one == scope || one == "patient/*.rs");
        ensure!(found, "no {scope}: {granted:?}");
    }
    Ok(())
}

/// The type that a box of the consent page is about; none for what is no resource.
pub fn type_of(value: &str) -> Option<&str> {
    let value = value.strip_prefix("patient/").unwrap_or(value);
    let name = value.split(['.', '?', ' ', '+']).next().unwrap_or_default();
    name.starts_with(|letter: char| letter.is_ascii_uppercase())
        .then_some(name)
}

/// Leaves only what is about these types ticked.
fn only(types: &[&str], form: &Form, fields: &mut Vec<(String, String)>) {
    let boxes = |name: &str| {
        let mut own = form.fields.iter().filter(|one| one.kind == "checkbox");
        own.any(|one| one.name == name)
    };
    fields.retain(|(name, value)| {
        !boxes(name) || type_of(value).is_none_or(|name| types.contains(&name))
    });
}

async fn limited(demo: &Demo) -> Result<()> {
    let kept = ["Patient", "Condition", "Observation"];
    let choose = move |form: &Form, fields: &mut Vec<(String, String)>| only(&kept, form, fields);
    let tokens = chosen(demo, &choose).await?;
    let granted = scopes_of(&tokens.body);
    let resources: Vec<&String> = granted.iter().filter(|one| one.contains('/')).collect();
    for scope in &resources {
        let name = scope.strip_prefix("patient/").unwrap_or(scope);
        let name = name.split('.').next().unwrap_or_default();
        ensure!(
            kept.contains(&name) || scope.starts_with("launch"),
            "{scope} was unticked"
        );
    }
    for name in kept {
        let scope = format!("patient/{name}.rs");
        ensure!(granted.contains(&scope), "no {scope}: {granted:?}");
    }
    for (name, query) in SEARCHES {
        let status = demo
            .status(&tokens.access, &format!("{name}?{query}"))
            .await?;
        if kept.contains(&name) {
            ensure!(status == 200, "{name}: {status}");
        } else {
            ensure!(matches!(status, 401 | 403), "{name}: {status}");
        }
    }
    Ok(())
}

async fn no_offline(demo: &Demo) -> Result<()> {
    let choose = |form: &Form, fields: &mut Vec<(String, String)>| {
        let radios: Vec<_> = form
            .fields
            .iter()
            .filter(|one| one.kind == "radio")
            .collect();
        for radio in &radios {
            fields.retain(|(name, _)| *name != radio.name);
        }
        // What the page itself proposes, which is the short way.
        for radio in radios.iter().filter(|one| one.checked) {
            fields.push((radio.name.clone(), radio.value.clone()));
        }
    };
    let tokens = chosen(demo, &choose).await?;
    ensure!(tokens.refresh.is_none(), "a refresh token");
    let granted = scopes_of(&tokens.body);
    ensure!(
        !granted.iter().any(|one| one == "offline_access"),
        "granted"
    );
    Ok(())
}

/// Ana's tokens after she changed something on the consent page.
pub async fn chosen(demo: &Demo, choose: &crate::app::Choose) -> Result<Tokens> {
    asked_and_chosen(demo, STANDALONE, choose).await
}

/// The same for scopes of one's own.
pub async fn asked_and_chosen(
    demo: &Demo,
    scope: &str,
    choose: &crate::app::Choose,
) -> Result<Tokens> {
    let how = How {
        posts: false,
        choose: Some(choose),
    };
    let launch = demo.launch(&demo.app, "ana", scope)?;
    let back = launch.authorize_as(&[], &how).await?;
    let answer = launch.exchange(back.code()?, &back.verifier).await?;
    let body = answer.expect(200).context("the token endpoint")?.json()?;
    Tokens::of(body)
}
