//! Scopes v1 and v2: what is granted, and what a grant opens.

use anyhow::{Result, ensure};

use super::Person;
use crate::fixtures::concept;
use crate::report::Report;
use crate::worlds::Worlds;

const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "smart",
            "v1 asked is v1 granted, v2 asked is v2 granted",
            async {
                let person = Person::new(worlds, "v1").await?;
                let tokens = person
                    .tokens("launch/patient patient/Observation.read patient/Patient.read")
                    .await?;
                let scope = tokens.body["scope"].as_str().unwrap_or_default();
                ensure!(scope.contains("patient/Observation.read"), "{scope}");
                let tokens = person
                    .tokens("launch/patient patient/Observation.rs patient/Patient.r")
                    .await?;
                let scope = tokens.body["scope"].as_str().unwrap_or_default();
                ensure!(scope.contains("patient/Observation.rs"), "{scope}");
                ensure!(
                    tokens.body.get("refresh_token").is_none(),
                    "a refresh token nobody asked for"
                );
                ensure!(
                    tokens.body.get("id_token").is_none(),
                    "an id_token nobody asked for"
                );
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "a type outside the scopes is 403, read and search",
            async {
                let person = Person::new(worlds, "types").await?;
                let note = person.chart.note("note", "11506-3");
                let lab = person.chart.observation("lab", "718-7", 9.0);
                person.world.put_all(&[note, lab]).await?;
                let tokens = person
                    .tokens("launch/patient patient/Observation.rs")
                    .await?;
                for (path, status) in [
                    (format!("Observation/{}", person.chart.id("lab")), 200),
                    ("Observation?_count=1".to_owned(), 200),
                    (
                        format!("DocumentReference/{}", person.chart.id("note")),
                        403,
                    ),
                    ("DocumentReference?_count=1".to_owned(), 403),
                    (
                        format!("DocumentReference/{}/_history", person.chart.id("note")),
                        403,
                    ),
                    (format!("Patient/{}", person.chart.id("p")), 403),
                ] {
                    let found = person.status_of(&tokens.access, &path).await?;
                    ensure!(
                        found == status || (status == 403 && found == 401),
                        "{path}: {found}"
                    );
                }
                // Includes and chains do not get around it.
                let query = format!(
                    "Observation?patient={}&_include=Observation:patient",
                    person.chart.id("p")
                );
                let text = body(&person, &tokens.access, &query).await?;
                ensure!(
                    !text.contains("\"resourceType\":\"Patient\""),
                    "_include got around the scope"
                );
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "read alone does not search, search alone does not read",
            async {
                let person = Person::new(worlds, "letters").await?;
                let lab = person.chart.observation("lab", "718-7", 9.0);
                person.world.put(&lab).await?;
                let path = format!("Observation/{}", person.chart.id("lab"));
                let query = "Observation?_count=1";
                let read = person
                    .tokens("launch/patient patient/Observation.r")
                    .await?
                    .access;
                let search = person
                    .tokens("launch/patient patient/Observation.s")
                    .await?
                    .access;
                for (token, path, status) in [
                    (&read, path.as_str(), 200),
                    (&read, query, 403),
                    (&search, path.as_str(), 403),
                    (&search, query, 200),
                ] {
                    let found = person.status_of(token, path).await?;
                    ensure!(found == status, "{path}: {found} instead of {status}");
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "a granular scope opens its category alone",
            async {
                let person = Person::new(worlds, "granular").await?;
                let lab = person.chart.observation("lab", "718-7", 9.0);
                let mut social = person.chart.observation("social", "72166-2", 1.0);
                social["category"] = serde_json::json!([concept(CATEGORY, "social-history")]);
                person.world.put_all(&[lab, social]).await?;
                let scope =
                    format!("launch/patient patient/Observation.rs?category={CATEGORY}|laboratory");
                let tokens = person.tokens(&scope).await?;
                let granted = tokens.body["scope"].as_str().unwrap_or_default();
                ensure!(granted.contains("?category="), "granted {granted}");
                ensure!(
                    !granted
                        .split(' ')
                        .any(|one| one == "patient/Observation.rs"),
                    "widened: {granted}"
                );
                let status = async |name: &str| {
                    let path = format!("Observation/{}", person.chart.id(name));
                    person.status_of(&tokens.access, &path).await
                };
                ensure!(
                    status("lab").await? == 200,
                    "the laboratory result is closed"
                );
                let closed = status("social").await?;
                ensure!(
                    (400..500).contains(&closed),
                    "social history answers {closed}"
                );
                for query in [
                    format!("Observation?patient={}", person.chart.id("p")),
                    format!(
                        "Observation?patient={}&category=social-history",
                        person.chart.id("p")
                    ),
                    format!("Patient/{}/Observation", person.chart.id("p")),
                ] {
                    let text = body(&person, &tokens.access, &query).await?;
                    ensure!(
                        !text.contains(&person.chart.id("social")),
                        "{query} finds it"
                    );
                }
                Ok(())
            },
        )
        .await;
    report
        .case("smart", "scopes beyond the registration are not granted", async {
            let person = Person::new(worlds, "beyond").await?;
            let tokens = person.tokens("launch/patient patient/Observation.cruds system/*.cruds patient/Nonsense.rs").await?;
            let scope = tokens.body["scope"].as_str().unwrap_or_default();
            ensure!(!scope.contains("system/"), "{scope}");
            ensure!(!scope.contains("Nonsense"), "{scope}");
            ensure!(!scope.contains("cruds"), "{scope}");
            Ok(())
        })
        .await;
    report
        .case(
            "smart",
            "a patient's token reaches no other patient by any path",
            async {
                let person = Person::new(worlds, "reach").await?;
                let other = Person::new(worlds, "reached").await?;
                let lab = other.chart.observation("lab", "718-7", 9.0);
                other.world.put(&lab).await?;
                let tokens = person.tokens(super::SCOPE).await?;
                let (victim, lab) = (other.chart.id("p"), other.chart.id("lab"));
                for path in [
                    format!("Patient/{victim}"),
                    format!("Patient/{victim}/$everything"),
                    format!("Patient/{victim}/Observation"),
                    format!("Observation/{lab}"),
                    format!("Observation?patient={victim}"),
                    format!("Observation?_id={lab}"),
                    format!("Observation?patient={victim}&_summary=count"),
                    format!("Patient?_has:Observation:patient:_id={lab}"),
                    format!("Observation/{lab}/_history"),
                    "Patient?family=Ruiz".to_owned(),
                    "Observation?_count=100".to_owned(),
                ] {
                    let text = body(&person, &tokens.access, &path).await?;
                    ensure!(
                        !text.contains(&format!("\"id\":\"{victim}\"")),
                        "{path} shows the patient"
                    );
                    ensure!(
                        !text.contains(&format!("\"id\":\"{lab}\"")),
                        "{path} shows the result"
                    );
                    ensure!(
                        !text.contains("\"total\":1") || path.contains("family"),
                        "{path} counts it"
                    );
                }
                Ok(())
            },
        )
        .await;
}

async fn body(person: &Person, access: &str, path: &str) -> Result<String> {
    let bearer = format!("Bearer {access}");
    let headers = [("authorization", bearer.as_str())];
    let answer = person
        .world
        .raw(None, reqwest::Method::GET, path, &headers, None);
    Ok(answer.await?.text)
}
