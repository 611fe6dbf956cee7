//! The lines of `../shared/g10-checklist.md` on discovery, authorization and tokens, granular scopes,
//! revocation and introspection, against `candor demo`. `docs/g10.md` says which case is which line.

mod authorize;
mod discovery;
mod ehr;
mod granular;
mod introspection;
mod openid;
mod refresh;
mod revocation;
mod scopes;
mod tls;
mod token;

use std::path::Path;

use anyhow::Result;

use crate::demo::Demo;
use crate::report::Report;

const SUITE: &str = "g10";

/// What the standalone launch asks for.
const STANDALONE: &str = "openid fhirUser launch/patient offline_access patient/*.rs";

/// Types in a patient's compartment that the granted scopes must cover.
const PATIENT_TYPES: [&str; 17] = [
    "Patient",
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Condition",
    "DiagnosticReport",
    "DocumentReference",
    "Goal",
    "Immunization",
    "MedicationRequest",
    "Observation",
    "Procedure",
    "Provenance",
    "ServiceRequest",
    "Coverage",
    "MedicationDispense",
    "Specimen",
];

/// Types that may be covered by `patient/` or `user/`.
const EITHER_TYPES: [&str; 9] = [
    "Device",
    "Encounter",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "QuestionnaireResponse",
    "RelatedPerson",
];

/// Runs every case against a demonstration of its own.
pub async fn run(candor: &Path, database: &str, report: &mut Report) {
    let demo = match Demo::start(candor, database).await {
        Ok(demo) => demo,
        Err(error) => {
            let failed = async { Err(error) };
            report.case(SUITE, "candor demo starts", failed).await;
            return;
        }
    };
    discovery::run(&demo, report).await;
    authorize::run(&demo, report).await;
    token::run(&demo, report).await;
    ehr::run(&demo, report).await;
    scopes::run(&demo, report).await;
    refresh::run(&demo, report).await;
    openid::run(&demo, report).await;
    introspection::run(&demo, report).await;
    revocation::run(&demo, report).await;
    granular::run(&demo, report).await;
    tls::run(candor, report).await;
}

/// The scopes of a token response.
fn scopes_of(body: &serde_json::Value) -> Vec<String> {
    let text = body["scope"].as_str().unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// 400 or 401.
fn refused(answer: &crate::world::Answer) -> Result<()> {
    let status = answer.status.as_u16();
    anyhow::ensure!(matches!(status, 400 | 401), "{status}: {}", answer.text);
    let body = answer.json()?;
    anyhow::ensure!(body.get("access_token").is_none(), "a token: {body}");
    Ok(())
}
