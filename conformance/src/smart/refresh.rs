//! Refresh and revocation.

use anyhow::{Context, Result, ensure};

use super::token::refused;
use super::{Person, SCOPE};
use crate::app::{self, post_form};
use crate::report::Report;
use crate::world::Answer;
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "smart",
            "refresh: rotates, keeps the patient; the old one is spent, and a thief's use ends all",
            async {
                let person = Person::new(worlds, "refresh").await?;
                let first = person.tokens(SCOPE).await?;
                let old = first.refresh.context("no refresh token")?;
                let second = refresh(&person, &old, None).await?.expect(200)?.json()?;
                let access = second["access_token"]
                    .as_str()
                    .context("no token")?
                    .to_owned();
                let next = second["refresh_token"]
                    .as_str()
                    .context("no new refresh token")?;
                ensure!(next != old, "the refresh token is not replaced");
                ensure!(
                    second["patient"] == person.chart.id("p"),
                    "the patient is lost"
                );
                ensure!(
                    second["expires_in"].is_number() && second["scope"].is_string(),
                    "{second}"
                );
                ensure!(
                    person.status(&access).await? == 200,
                    "the new token does not work"
                );
                refused(&refresh(&person, &old, None).await?)?;
                ensure!(
                    person.status(&access).await? == 401,
                    "the grant outlives a replay"
                );
                refused(&refresh(&person, next, None).await?)
            },
        )
        .await;
    report
        .case("smart", "refresh: fewer scopes yes, more no, nonsense no", async {
            let person = Person::new(worlds, "fewer").await?;
            let scope = "openid fhirUser launch/patient offline_access patient/Observation.rs patient/Patient.rs";
            let first = person.tokens(scope).await?;
            let token = first.refresh.context("no refresh token")?;
            let more = refresh(&person, &token, Some("patient/*.rs")).await?;
            refused(&more).context("more")?;
            let fewer = refresh(&person, &token, Some("patient/Patient.rs")).await?;
            let fewer = fewer.expect(200)?.json()?;
            ensure!(!fewer["scope"].to_string().contains("Observation"), "{}", fewer["scope"]);
            let access = fewer["access_token"].as_str().context("no token")?;
            ensure!(person.status(access).await? == 200, "Patient is not readable");
            let status = person.status_of(access, "Observation?_count=1").await?;
            ensure!(matches!(status, 401 | 403), "Observation answers {status}");
            refused(&refresh(&person, "bogus", None).await?)
        })
        .await;
    report
        .case(
            "smart",
            "refresh: another client's, and long after",
            async {
                let person = Person::new(worlds, "others").await?;
                let first = person.tokens(SCOPE).await?;
                let token = first.refresh.context("no refresh token")?;
                let form = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token.as_str()),
                    ("client_id", person.world.other_app.as_str()),
                ];
                refused(
                    &post_form(&person.world.client, &person.world.endpoints.token, &form).await?,
                )?;
                // (g)(10): at least three months.
                person.world.pass("PT2150H").await?;
                refresh(&person, &token, None)
                    .await?
                    .expect(200)
                    .context("after 89 days")?;
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "68 revoked: refused at the very next request, refresh included",
            async {
                let person = Person::new(worlds, "revoke").await?;
                let tokens = person.tokens(SCOPE).await?;
                ensure!(
                    person.status(&tokens.access).await? == 200,
                    "does not work at all"
                );
                revoke(&person, &tokens.access).await?;
                ensure!(
                    person.status(&tokens.access).await? == 401,
                    "works after revocation"
                );
                let tokens = person.tokens(SCOPE).await?;
                let token = tokens.refresh.context("no refresh token")?;
                revoke(&person, &token).await?;
                ensure!(
                    person.status(&tokens.access).await? == 401,
                    "works after the grant's end"
                );
                refused(&refresh(&person, &token, None).await?)?;
                revoke(&person, "never-heard-of").await
            },
        )
        .await;
    report
        .case("smart", "another client cannot revoke it", async {
            let person = Person::new(worlds, "revoke2").await?;
            let tokens = person.tokens(SCOPE).await?;
            let url = revocation(&person).await?;
            let form = [
                ("token", tokens.access.as_str()),
                ("client_id", person.world.other_app.as_str()),
            ];
            let _ = post_form(&person.world.client, &url, &form).await?;
            ensure!(
                person.status(&tokens.access).await? == 200,
                "somebody else ended it"
            );
            Ok(())
        })
        .await;
}

async fn refresh(person: &Person, token: &str, scope: Option<&str>) -> Result<Answer> {
    let mut form = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", person.world.app.as_str()),
    ];
    form.extend(scope.map(|scope| ("scope", scope)));
    post_form(&person.world.client, &person.world.endpoints.token, &form).await
}

async fn revocation(person: &Person) -> Result<url::Url> {
    let document = app::configuration(&person.world.client, &person.fhir).await?;
    let url = document["revocation_endpoint"].as_str();
    Ok(url::Url::parse(url.context("no revocation_endpoint")?)?)
}

async fn revoke(person: &Person, token: &str) -> Result<()> {
    let url = revocation(person).await?;
    let form = [("token", token), ("client_id", person.world.app.as_str())];
    post_form(&person.world.client, &url, &form)
        .await?
        .expect(200)
        .context("revocation")?;
    Ok(())
}
