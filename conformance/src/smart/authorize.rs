//! The authorization endpoint, sign-in and consent.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Person, SCOPE};
use crate::html;
use crate::report::Report;
use crate::world::{Answer, PASSWORD, REDIRECT};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "smart",
            "standalone launch: code, state, issuer; tokens with the patient",
            async {
                let person = Person::new(worlds, "launch").await?;
                let launch = person.launch(SCOPE);
                let back = launch.authorize(&[]).await?;
                let answer = launch
                    .exchange(back.code()?, &back.verifier)
                    .await?
                    .expect(200)?;
                let cache = answer.header("cache-control").unwrap_or_default();
                ensure!(cache.contains("no-store"), "Cache-Control: {cache}");
                ensure!(answer.header("pragma") == Some("no-cache"), "Pragma");
                let body = answer.json()?;
                let kind = body["token_type"].as_str().unwrap_or_default();
                ensure!(kind.eq_ignore_ascii_case("bearer"), "{kind}");
                ensure!(
                    body["expires_in"].is_number(),
                    "expires_in {}",
                    body["expires_in"]
                );
                ensure!(body["scope"].is_string(), "no scope");
                ensure!(body["refresh_token"].is_string(), "no refresh_token");
                ensure!(body["id_token"].is_string(), "no id_token");
                ensure!(
                    body["patient"] == person.chart.id("p"),
                    "patient {}",
                    body["patient"]
                );
                let access = body["access_token"].as_str().context("no token")?;
                ensure!(
                    person.status(access).await? == 200,
                    "the patient is not readable"
                );
                Ok(())
            },
        )
        .await;
    let refusals: [(&str, &[(&str, &str)]); 8] = [
        (
            "aud of another server",
            &[("aud", "https://elsewhere.example/fhir")],
        ),
        ("no aud", &[("aud", "")]),
        (
            "no code_challenge",
            &[("code_challenge", ""), ("code_challenge_method", "")],
        ),
        (
            "code_challenge_method plain",
            &[("code_challenge_method", "plain")],
        ),
        ("a challenge that is none", &[("code_challenge", "abc")]),
        ("response_type token", &[("response_type", "token")]),
        ("a launch that nobody started", &[("launch", "xyz")]),
        ("scopes that nobody knows", &[("scope", "milk honey")]),
    ];
    for (name, changes) in refusals {
        report
            .case("smart", &format!("no code: {name}"), async {
                let person = Person::new(worlds, "refuse").await?;
                match person.launch(SCOPE).authorize(changes).await {
                    Ok(back) => {
                        ensure!(back.get("code").is_none(), "a code came back");
                        ensure!(
                            back.get("error").is_some(),
                            "no error: {:?}",
                            back.parameters
                        );
                        ensure!(back.get("state") == Some(&back.state), "the state is lost");
                        Ok(())
                    }
                    // A page that says so is as good.
                    Err(_) => Ok(()),
                }
            })
            .await;
    }
    let pages: [(&str, &[(&str, &str)]); 4] = [
        ("an unknown client", &[("client_id", "nobody")]),
        (
            "a redirect_uri that is not registered",
            &[("redirect_uri", "https://evil.example/cb")],
        ),
        (
            "a redirect_uri with more behind it",
            &[("redirect_uri", "http://127.0.0.1:9/callback/more")],
        ),
        ("no redirect_uri", &[("redirect_uri", "")]),
    ];
    for (name, changes) in pages {
        report
            .case("smart", &format!("never redirected: {name}"), async {
                let person = Person::new(worlds, "refuse").await?;
                let (url, _, _) = person.launch(SCOPE).url(changes);
                let answer = Answer::read(person.world.client.get(url).send().await?).await?;
                ensure!(answer.status.is_client_error(), "{}", answer.status);
                ensure!(answer.header("location").is_none(), "redirected");
                Ok(())
            })
            .await;
    }
    report
        .case(
            "smart",
            "the person does not allow it: access_denied",
            async {
                let person = Person::new(worlds, "deny").await?;
                let mut launch = person.launch(SCOPE);
                launch.allows = false;
                let back = launch.authorize(&[]).await?;
                ensure!(
                    back.get("error") == Some("access_denied"),
                    "{:?}",
                    back.parameters
                );
                ensure!(back.get("state") == Some(&back.state), "the state is lost");
                Ok(())
            },
        )
        .await;
    report
        .case("smart", "authorization request as a form post", async {
            let person = Person::new(worlds, "post").await?;
            let (url, _, _) = person.launch(SCOPE).url(&[]);
            let form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            let mut bare = url;
            bare.set_query(None);
            let answer = person.world.client.post(bare).form(&form).send().await?;
            let status = answer.status();
            ensure!(status.is_redirection() || status.is_success(), "{status}");
            Ok(())
        })
        .await;
    report
        .case(
            "smart",
            "a wrong password and an unknown name look alike",
            async {
                let person = Person::new(worlds, "wrong").await?;
                let one = sign_in(&person, &person.username, "not this one").await?;
                let two = sign_in(&person, "nobody-of-that-name", PASSWORD).await?;
                ensure!(one.0 == two.0, "{} and {}", one.0, two.0);
                let strip = |page: &str, name: &str| page.replace(name, "NAME");
                let (left, right) = (
                    strip(&one.1, &person.username),
                    strip(&two.1, "nobody-of-that-name"),
                );
                ensure!(left.len().abs_diff(right.len()) < 64, "the pages differ");
                ensure!(!one.1.contains(REDIRECT), "went on to the app");
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "sign-in and consent forms refuse a foreign post",
            async {
                let person = Person::new(worlds, "csrf").await?;
                let login = format!("{}/login", person.world.server.public);
                let form = [
                    ("username", person.username.as_str()),
                    ("password", PASSWORD),
                ];
                let answer = person.world.client.post(&login).form(&form).send().await?;
                let answer = Answer::read(answer).await?;
                ensure!(
                    !answer.status.is_redirection(),
                    "signed in without the form's token"
                );
                let cookies = answer
                    .headers
                    .iter()
                    .filter(|(name, _)| name == "set-cookie");
                for (_, cookie) in cookies {
                    ensure!(!cookie.contains("session"), "a session: {cookie}");
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "pages: no script in them, no framing, not cached",
            async {
                let person = Person::new(worlds, "pages").await?;
                let page = login_page(&person).await?.1;
                // Nothing in the page itself; a file of this server's may make it nicer.
                for tag in page.text.split("<script").skip(1) {
                    let own = tag.split_once("></script>").is_some_and(|(head, _)| {
                        head.starts_with(" src=\"/assets/") && !head.contains('>')
                    });
                    ensure!(
                        own,
                        "the sign-in page has a script: {}",
                        crate::world::short(tag)
                    );
                }
                let policy = page.header("content-security-policy").unwrap_or_default();
                ensure!(
                    policy.contains("script-src 'self';") && !policy.contains("unsafe"),
                    "{policy}"
                );
                ensure!(policy.contains("frame-ancestors 'none'"), "{policy}");
                let cache = page.header("cache-control").unwrap_or_default();
                ensure!(cache.contains("no-store"), "{cache}");
                Ok(())
            },
        )
        .await;
    report
        .case(
            "smart",
            "id_token: RS256, known key, issuer, audience, fhirUser that reads",
            async {
                let person = Person::new(worlds, "id-token").await?;
                let tokens = person.tokens(SCOPE).await?;
                let token = tokens.body["id_token"].as_str().context("no id_token")?;
                let header = jsonwebtoken::decode_header(token)?;
                ensure!(
                    header.alg == jsonwebtoken::Algorithm::RS256,
                    "{:?}",
                    header.alg
                );
                let public = &person.world.server.public;
                let url = format!("{public}/.well-known/openid-configuration");
                let openid = person
                    .world
                    .raw(None, reqwest::Method::GET, &url, &[], None)
                    .await?
                    .json()?;
                let url = openid["jwks_uri"].as_str().context("no jwks_uri")?;
                let keys = person
                    .world
                    .raw(None, reqwest::Method::GET, url, &[], None)
                    .await?
                    .json()?;
                let kid = header.kid.context("no kid")?;
                let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys)?;
                let key = keys.find(&kid).with_context(|| format!("no key {kid}"))?;
                let key = jsonwebtoken::DecodingKey::from_jwk(key)?;
                let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
                rules.set_audience(&[&person.world.app]);
                rules.validate_exp = false;
                let claims: Value = jsonwebtoken::decode(token, &key, &rules)?.claims;
                ensure!(claims["iss"] == openid["issuer"], "iss {}", claims["iss"]);
                let subject = claims["sub"].as_str().unwrap_or_default();
                ensure!(!subject.is_empty() && subject.len() < 256, "sub {subject}");
                ensure!(
                    claims["exp"].is_number() && claims["iat"].is_number(),
                    "{claims}"
                );
                let user = claims["fhirUser"].as_str().context("no fhirUser")?;
                ensure!(
                    user.ends_with(&format!("Patient/{}", person.chart.id("p"))),
                    "{user}"
                );
                let path = user.rsplit_once("/Patient/").map_or(user, |(_, id)| id);
                let status = person
                    .status_of(&tokens.access, &format!("Patient/{path}"))
                    .await?;
                ensure!(status == 200, "fhirUser reads {status}");
                Ok(())
            },
        )
        .await;
}

/// The page on which a launch asks who somebody is.
async fn login_page(person: &Person) -> Result<(reqwest::Client, Answer, url::Url)> {
    let browser = reqwest::Client::builder()
        .cookie_store(true)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let (mut at, _, _) = person.launch(SCOPE).url(&[]);
    for _ in 0..6 {
        let answer = Answer::read(browser.get(at.clone()).send().await?).await?;
        if !answer.status.is_redirection() {
            return Ok((browser, answer, at));
        }
        at = at.join(answer.header("location").context("no location")?)?;
    }
    bail!("no sign-in page")
}

/// Signs in with a name and a password: the status and the page.
async fn sign_in(person: &Person, username: &str, password: &str) -> Result<(u16, String)> {
    let (browser, page, at) = login_page(person).await?;
    let forms = html::forms(&page.text);
    let form = forms.first().context("no form")?;
    let mut fields = form.defaults();
    fields.retain(|(name, _)| name != "username" && name != "password");
    fields.push(("username".to_owned(), username.to_owned()));
    fields.push(("password".to_owned(), password.to_owned()));
    let answer = browser
        .post(at.join(&form.action)?)
        .form(&fields)
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}
