//! Tokens that nobody issued, and forms that nobody served.

use anyhow::{Context, ensure};
use reqwest::Method;

use super::alive;
use crate::report::Report;
use crate::world::{Answer, Who, short};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "hostile",
            "forged tokens: 401 with an OperationOutcome",
            async {
                let world = worlds.get("US").await?;
                let good = world.token(&Who::Feed).await?;
                let long = "a".repeat(6_000);
                let mut changed = good.clone().into_bytes();
                if let Some(last) = changed.last_mut() {
                    *last = if *last == b'a' { b'b' } else { b'a' };
                }
                let changed = String::from_utf8(changed)?;
                let cut = &good[..good.len() - 1];
                for token in [
                    "",
                    " ",
                    "x",
                    "null",
                    "undefined",
                    "' OR 1=1--",
                    "a.b.c",
                    "..",
                    &long,
                    &changed,
                    cut,
                    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsInNjb3BlIjoic3lzdGVtLyouY3J1ZHMifQ.",
                    "%00",
                    "\u{fffd}",
                    &format!("{good} {good}"),
                    &format!("{good},"),
                ] {
                    let value = format!("Bearer {token}");
                    let headers = [("authorization", value.as_str())];
                    let answer = world
                        .raw(None, Method::GET, "Patient?_count=1", &headers, None)
                        .await?;
                    answer
                        .expect_outcome(&[400, 401])
                        .with_context(|| short(token))?;
                }
                for value in [
                    "Bearer",
                    "bearer",
                    "Basic Og==",
                    "Digest x",
                    "Negotiate",
                    ":",
                    "\u{fffd}",
                ] {
                    let headers = [("authorization", value)];
                    let answer = world
                        .raw(None, Method::GET, "Patient?_count=1", &headers, None)
                        .await?;
                    answer
                        .expect_outcome(&[400, 401])
                        .with_context(|| value.to_owned())?;
                }
                alive(&world).await
            },
        )
        .await;
    report
        .case(
            "hostile",
            "a token in the query or in the form opens nothing",
            async {
                let world = worlds.get("US").await?;
                let good = world.token(&Who::Feed).await?;
                let path = format!("Patient?_count=1&access_token={good}");
                world
                    .raw(None, Method::GET, &path, &[], None)
                    .await?
                    .expect_outcome(&[401])?;
                Ok(())
            },
        )
        .await;
    report
        .case("hostile", "authorization endpoints under nonsense: 4xx, never 5xx", async {
            let world = worlds.get("US").await?;
            let long = "a".repeat(30_000);
            let forms: Vec<Vec<u8>> = vec![
                b"".to_vec(),
                b"&&&===".to_vec(),
                b"grant_type=%00".to_vec(),
                b"grant_type=authorization_code&code=%ff&client_id=%ff".to_vec(),
                format!("grant_type=authorization_code&code={long}&client_id={long}").into_bytes(),
                format!("grant_type=refresh_token&refresh_token={long}&client_id=x").into_bytes(),
                format!("grant_type=client_credentials&client_assertion={long}.{long}.x&client_assertion_type=x").into_bytes(),
                vec![0xff; 1000],
                vec![b'a'; 300_000],
            ];
            for endpoint in ["token", "introspect", "revoke"] {
                for form in &forms {
                    let url = format!("{}/auth/{endpoint}", world.server.public);
                    // One connection each: a refused body may cost it.
                    let request = reqwest::Client::new()
                        .post(url)
                        .header("content-type", "application/x-www-form-urlencoded")
                        .body(form.clone());
                    let answer = Answer::read(request.send().await?).await?;
                    let status = answer.status.as_u16();
                    ensure!((400..500).contains(&status), "{endpoint}: {status} {}", short(&answer.text));
                }
            }
            for path in [
                "/auth/authorize", "/auth/authorize?client_id=%00", "/auth/authorize?client_id=%ff&redirect_uri=%ff",
                "/auth/consent", "/auth/consent?request=%00", "/auth/record?request=x", "/login?request=../..",
                "/login?request=%ff", "/auth/jwks/..%2f", "/auth/token", "/auth/nothing",
            ] {
                let url = format!("{}{path}", world.server.public);
                let answer = Answer::read(reqwest::get(&url).await?).await?;
                ensure!(answer.status.as_u16() < 500, "{path}: {}", answer.status);
            }
            alive(&world).await
        })
        .await;
    report
        .case("hostile", "the test clock takes instants only", async {
            let world = worlds.get("US").await?;
            for body in [
                "",
                "{}",
                "null",
                "{\"now\":\"soon\"}",
                "{\"now\":\"+999999-01-01T00:00:00Z\"}",
                "{\"now\":7}",
            ] {
                let request = world
                    .client
                    .put(format!("{}/_test/clock", world.server.public))
                    .header("content-type", "application/json")
                    .body(body);
                let status = request.send().await?.status().as_u16();
                ensure!((400..500).contains(&status), "{body}: {status}");
            }
            alive(&world).await
        })
        .await;
}
