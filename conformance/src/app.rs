//! Apps and backends, as their makers would write them: discovery, PKCE, `private_key_jwt`.

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oauth2::{CsrfToken, PkceCodeChallenge};
use serde_json::{Value, json};
use url::Url;

use crate::html;

/// An ES384 key pair and its JWKS.
#[derive(Debug)]
pub struct BackendKey {
    pkcs8: Vec<u8>,
    pub jwks: Value,
}

impl BackendKey {
    /// A fresh one.
    pub fn generate() -> Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)?;
        let pkcs8 = pair.to_pkcs8v1()?.as_ref().to_vec();
        let point = pair.public_key().as_ref();
        ensure!(point.len() == 97, "an uncompressed P-384 point");
        let jwks = json!({"keys": [{
            "kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": "backend-1",
            "key_ops": ["verify"],
            "x": BASE64.encode(&point[1..49]), "y": BASE64.encode(&point[49..]),
        }]});
        Ok(Self { pkcs8, jwks })
    }

    /// A client assertion after SMART Backend Services; `now` in seconds, by the server's clock.
    pub fn assertion(&self, client_id: &str, audience: &str, now: i64) -> Result<String> {
        let mut header = Header::new(Algorithm::ES384);
        header.kid = Some("backend-1".to_owned());
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": audience,
            "exp": now + 240, "iat": now, "jti": uuid::Uuid::new_v4().to_string(),
        });
        Ok(jsonwebtoken::encode(
            &header,
            &claims,
            &EncodingKey::from_ec_der(&self.pkcs8),
        )?)
    }
}

/// What discovery says.
#[derive(Debug, Clone)]
pub struct Endpoints {
    pub authorize: Url,
    pub token: Url,
}

/// Reads `.well-known/smart-configuration`.
pub async fn discover(client: &reqwest::Client, fhir: &str) -> Result<Endpoints> {
    let document: Value = client
        .get(format!("{fhir}/.well-known/smart-configuration"))
        .header("Accept", "application/json")
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let url = |name: &str| -> Result<Url> {
        let text = document.get(name).and_then(Value::as_str);
        Ok(Url::parse(
            text.with_context(|| format!("{name} is missing"))?,
        )?)
    };
    Ok(Endpoints {
        authorize: url("authorization_endpoint")?,
        token: url("token_endpoint")?,
    })
}

/// A token by `client_credentials`.
pub async fn backend_token(
    client: &reqwest::Client,
    endpoints: &Endpoints,
    client_id: &str,
    key: &BackendKey,
    scope: &str,
    now: i64,
) -> Result<String> {
    let answer = client
        .post(endpoints.token.clone())
        .form(&[
            ("grant_type", "client_credentials"),
            ("scope", scope),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            (
                "client_assertion",
                &key.assertion(client_id, endpoints.token.as_str(), now)?,
            ),
        ])
        .send()
        .await?;
    access_token(answer).await
}

async fn access_token(answer: reqwest::Response) -> Result<String> {
    let status = answer.status();
    let body: Value = answer.json().await?;
    let token = body.get("access_token").and_then(Value::as_str);
    Ok(token
        .with_context(|| format!("no access token: {status} {body}"))?
        .to_owned())
}

/// An app's launch: signs in as a person, allows everything asked for, exchanges the code.
#[derive(Debug)]
pub struct Launch<'a> {
    pub endpoints: &'a Endpoints,
    pub fhir: &'a str,
    pub client_id: &'a str,
    pub redirect: &'a str,
    pub scope: &'a str,
    pub username: &'a str,
    pub password: &'a str,
}

impl Launch<'_> {
    /// Runs it; the access token.
    pub async fn run(&self) -> Result<String> {
        let browser = reqwest::Client::builder()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = CsrfToken::new_random();
        let mut url = self.endpoints.authorize.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id)
            .append_pair("redirect_uri", self.redirect)
            .append_pair("scope", self.scope)
            .append_pair("state", state.secret())
            .append_pair("aud", self.fhir)
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", "S256");
        let mut answer = browser.get(url.clone()).send().await?;
        let mut at = url;
        for _ in 0..12 {
            if answer.status().is_redirection() {
                let location = answer
                    .headers()
                    .get("location")
                    .and_then(|value| value.to_str().ok())
                    .context("a redirect without a location")?;
                let next = at.join(location)?;
                if next.as_str().starts_with(self.redirect) {
                    return self
                        .exchange(&browser, &next, verifier.secret(), state.secret())
                        .await;
                }
                at = next;
                answer = browser.get(at.clone()).send().await?;
                continue;
            }
            let status = answer.status();
            let page = answer.text().await?;
            let form = html::forms(&page)
                .into_iter()
                .find(|form| form.of_kind("password").is_some())
                .or_else(|| {
                    html::forms(&page)
                        .into_iter()
                        .rev()
                        .find(|form| !form.fields.is_empty())
                })
                .with_context(|| format!("no form to fill in ({status}): {page}"))?;
            let target = at.join(&form.action)?;
            let fields = self.fill(&form);
            answer = browser.post(target.clone()).form(&fields).send().await?;
            at = target;
        }
        bail!("the launch did not come back to the app")
    }

    /// What the person types and clicks.
    fn fill(&self, form: &html::Form) -> Vec<(String, String)> {
        let mut fields = form.defaults();
        if let Some(password) = form.of_kind("password") {
            let user = form
                .fields
                .iter()
                .find(|field| field.name == "username")
                .or_else(|| form.of_kind("text"));
            fields.retain(|(name, _)| {
                *name != password.name && user.is_none_or(|user| *name != user.name)
            });
            fields.push((password.name.clone(), self.password.to_owned()));
            if let Some(user) = user {
                fields.push((user.name.clone(), self.username.to_owned()));
            }
            return fields;
        }
        // Consent: everything stays ticked, and the button that allows is pressed.
        for field in form
            .fields
            .iter()
            .filter(|field| field.kind == "checkbox" && !field.checked)
        {
            fields.push((field.name.clone(), field.value.clone()));
        }
        let buttons = form.fields.iter().filter(|field| field.kind == "submit");
        let allow = buttons
            .clone()
            .find(|button| button.value.contains("allow") && !button.value.contains("don"));
        if let Some(button) = allow.or_else(|| buttons.clone().last()) {
            fields.push((button.name.clone(), button.value.clone()));
        }
        fields
    }

    async fn exchange(
        &self,
        browser: &reqwest::Client,
        back: &Url,
        verifier: &str,
        state: &str,
    ) -> Result<String> {
        let pairs: Vec<(String, String)> = back.query_pairs().into_owned().collect();
        let value = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value)
        };
        ensure!(
            value("state").map(String::as_str) == Some(state),
            "another state came back"
        );
        let code = value("code").with_context(|| format!("no code came back: {pairs:?}"))?;
        let answer = browser
            .post(self.endpoints.token.clone())
            .form(&[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", self.redirect),
                ("client_id", self.client_id),
                ("code_verifier", verifier),
            ])
            .send()
            .await?;
        access_token(answer).await
    }
}
