//! The token endpoint: PKCE, codes, clients.

use anyhow::{Context, ensure};

use super::{Person, SCOPE, confidential};
use crate::app::post_form;
use crate::report::Report;
use crate::world::{Answer, REDIRECT};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "smart",
            "PKCE: verifier missing, blank, wrong, or the challenge itself",
            async {
                let person = Person::new(worlds, "pkce").await?;
                let launch = person.launch(SCOPE);
                for kind in ["missing", "blank", "wrong", "challenge"] {
                    let back = launch.authorize(&[]).await?;
                    let challenge = challenge(&back.verifier);
                    let verifier = match kind {
                        "challenge" => challenge.as_str(),
                        "blank" => "",
                        _ => "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                    };
                    let mut form = vec![
                        ("grant_type", "authorization_code"),
                        ("code", back.code()?),
                        ("redirect_uri", REDIRECT),
                        ("client_id", person.world.app.as_str()),
                    ];
                    if kind != "missing" {
                        form.push(("code_verifier", verifier));
                    }
                    let answer =
                        post_form(&person.world.client, &person.world.endpoints.token, &form)
                            .await?;
                    refused(&answer).with_context(|| kind.to_owned())?;
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "a code is good once; used twice, its tokens end",
            async {
                let person = Person::new(worlds, "replay").await?;
                let launch = person.launch(SCOPE);
                let back = launch.authorize(&[]).await?;
                let first = launch
                    .exchange(back.code()?, &back.verifier)
                    .await?
                    .expect(200)?
                    .json()?;
                let access = first["access_token"].as_str().context("no token")?;
                ensure!(
                    person.status(access).await? == 200,
                    "the first token does not work"
                );
                refused(&launch.exchange(back.code()?, &back.verifier).await?)?;
                ensure!(person.status(access).await? == 401, "its token still works");
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "a code that is unknown, old, or of another request",
            async {
                let person = Person::new(worlds, "codes").await?;
                let launch = person.launch(SCOPE);
                refused(&launch.exchange("no-such-code", "v").await?)?;
                let back = launch.authorize(&[]).await?;
                let mut other = launch;
                other.client_id = &person.world.other_app;
                refused(&other.exchange(back.code()?, &back.verifier).await?)
                    .context("another client")?;
                let back = launch.authorize(&[]).await?;
                let mut unknown = launch;
                unknown.client_id = "nobody";
                refused(&unknown.exchange(back.code()?, &back.verifier).await?)
                    .context("unknown client")?;
                let mut elsewhere = launch;
                elsewhere.redirect = "http://127.0.0.1:9/other";
                refused(&elsewhere.exchange(back.code()?, &back.verifier).await?)
                    .context("redirect_uri")?;
                let back = launch.authorize(&[]).await?;
                person.world.pass("PT11M").await?;
                refused(&launch.exchange(back.code()?, &back.verifier).await?)
                    .context("after 11 minutes")
            },
        )
        .await;
    report
        .case(
            "smart",
            "a confidential app: Basic; no secret and a wrong one are 401",
            async {
                let person = Person::new(worlds, "conf").await?;
                let (id, secret) = confidential(&person.world, "Confidential").await?;
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
                let post = async |password: Option<&str>| {
                    let request = person.world.client.post(url.clone());
                    let request = match password {
                        Some(password) => request.basic_auth(&id, Some(password)).form(&form),
                        None => {
                            request.form(&[form.as_slice(), &[("client_id", id.as_str())]].concat())
                        }
                    };
                    Answer::read(request.send().await?).await
                };
                post(None).await?.expect(401).context("no secret")?;
                post(Some("wrong"))
                    .await?
                    .expect(401)
                    .context("a wrong secret")?;
                post(Some(&secret))
                    .await?
                    .expect(200)
                    .context("the secret")?;
                Ok(())
            },
        )
        .await;
    report
        .case("smart", "an access token ends with its time", async {
            let person = Person::new(worlds, "expiry").await?;
            let tokens = person.tokens(SCOPE).await?;
            ensure!(
                person.status(&tokens.access).await? == 200,
                "does not work at all"
            );
            person
                .world
                .pass(&format!("PT{}S", tokens.expires_in + 1))
                .await?;
            ensure!(
                person.status(&tokens.access).await? == 401,
                "works after its time"
            );
            Ok(())
        })
        .await;
    report
        .case(
            "smart",
            "the token endpoint refuses GET, JSON, and parameters twice",
            async {
                let world = worlds.get("US").await?;
                let url = world.endpoints.token.clone();
                let get = world.client.get(url.clone()).send().await?.status();
                ensure!(get.is_client_error(), "GET {get}");
                let json = world
                    .client
                    .post(url.clone())
                    .json(&serde_json::json!({"grant_type": "x"}));
                let json = json.send().await?.status();
                ensure!(json.is_client_error(), "JSON {json}");
                let twice = [
                    ("grant_type", "authorization_code"),
                    ("grant_type", "client_credentials"),
                ];
                refused(&post_form(&world.client, &url, &twice).await?)?;
                let strange = [
                    ("grant_type", "password"),
                    ("username", "a"),
                    ("password", "b"),
                ];
                let answer = post_form(&world.client, &url, &strange)
                    .await?
                    .expect(400)?;
                ensure!(
                    answer.json()?["error"] == "unsupported_grant_type",
                    "{}",
                    answer.text
                );
                Ok(())
            },
        )
        .await;
}

/// 400 or 401 with an OAuth error.
pub fn refused(answer: &Answer) -> anyhow::Result<()> {
    ensure!(
        matches!(answer.status.as_u16(), 400 | 401),
        "{}: {}",
        answer.status,
        answer.text
    );
    let body = answer.json()?;
    ensure!(body["error"].is_string(), "no OAuth error: {}", answer.text);
    ensure!(
        body.get("access_token").is_none(),
        "a token beside the error"
    );
    Ok(())
}

/// The S256 challenge of a verifier.
fn challenge(verifier: &str) -> String {
    let verifier = oauth2::PkceCodeVerifier::new(verifier.to_owned());
    oauth2::PkceCodeChallenge::from_code_verifier_sha256(&verifier)
        .as_str()
        .to_owned()
}
