//! Apps and backends, as their makers would write them: discovery, PKCE, `private_key_jwt`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oauth2::{CsrfToken, PkceCodeChallenge};
use serde_json::{Value, json};
use url::Url;

use crate::html;
use crate::world::{Answer, short};

/// How `private_key_jwt` names itself.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A key pair and its JWKS.
pub struct BackendKey {
    alg: Algorithm,
    kid: String,
    private: EncodingKey,
    pub jwks: Value,
}

impl std::fmt::Debug for BackendKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "BackendKey {:?} {}", self.alg, self.kid)
    }
}

impl BackendKey {
    /// A fresh ES384 one.
    pub fn generate() -> Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)?;
        let private = EncodingKey::from_ec_der(pair.to_pkcs8v1()?.as_ref());
        Self::of(Algorithm::ES384, "backend-1", private)
    }

    /// A fresh RS384 one.
    pub fn generate_rsa() -> Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'_> = pair.as_der()?;
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let private = EncodingKey::from_rsa_pem(pem.as_bytes())?;
        Self::of(Algorithm::RS384, "rsa-1", private)
    }

    /// An ES384 one from PKCS #8 in PEM, registered under a kid.
    pub fn read(pem: &[u8], kid: &str) -> Result<Self> {
        Self::of(Algorithm::ES384, kid, EncodingKey::from_ec_pem(pem)?)
    }

    fn of(alg: Algorithm, kid: &str, private: EncodingKey) -> Result<Self> {
        let mut jwk = Jwk::from_encoding_key(&private, alg)?;
        jwk.common.key_id = Some(kid.to_owned());
        Ok(Self {
            alg,
            kid: kid.to_owned(),
            private,
            jwks: json!({"keys": [jwk]}),
        })
    }

    /// A client assertion after SMART Backend Services; `now` in seconds, by the server's clock.
    pub fn assertion(&self, client_id: &str, audience: &str, now: i64) -> Result<String> {
        self.sign(&json!({
            "iss": client_id, "sub": client_id, "aud": audience,
            "exp": now + 240, "iat": now, "jti": uuid::Uuid::new_v4().to_string(),
        }))
    }

    /// Any claims, signed.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        let mut header = Header::new(self.alg);
        header.kid = Some(self.kid.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.private)?)
    }
}

/// What discovery says.
#[derive(Debug, Clone)]
pub struct Endpoints {
    pub authorize: Url,
    pub token: Url,
}

/// `.well-known/smart-configuration`.
pub async fn configuration(client: &reqwest::Client, fhir: &str) -> Result<Value> {
    let url = format!("{fhir}/.well-known/smart-configuration");
    let answer = client.get(url).header("Accept", "application/json");
    Answer::read(answer.send().await?)
        .await?
        .expect(200)
        .context("smart-configuration")?
        .json()
}

/// Reads `.well-known/smart-configuration`.
pub async fn discover(client: &reqwest::Client, fhir: &str) -> Result<Endpoints> {
    let document = configuration(client, fhir).await?;
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

/// What a token endpoint gave.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
    /// Seconds.
    pub expires_in: i64,
    /// The whole answer.
    pub body: Value,
}

impl Tokens {
    /// Those of a token response.
    pub fn of(body: Value) -> Result<Self> {
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let access = text("access_token").with_context(|| format!("no access token: {body}"))?;
        let expires_in = body.get("expires_in").and_then(Value::as_i64);
        Ok(Self {
            access,
            refresh: text("refresh_token"),
            expires_in: expires_in.context("expires_in is no number")?,
            body,
        })
    }
}

/// A token by `client_credentials`.
pub async fn backend_token(
    client: &reqwest::Client,
    endpoints: &Endpoints,
    client_id: &str,
    key: &BackendKey,
    scope: &str,
    now: i64,
) -> Result<Tokens> {
    let assertion = key.assertion(client_id, endpoints.token.as_str(), now)?;
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", scope),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion.as_str()),
    ];
    tokens(post_form(client, &endpoints.token, &form).await?)
}

/// New tokens for a refresh token of a public app.
pub async fn refresh(
    client: &reqwest::Client,
    endpoints: &Endpoints,
    client_id: &str,
    refresh: &str,
) -> Result<Tokens> {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        ("client_id", client_id),
    ];
    tokens(post_form(client, &endpoints.token, &form).await?)
}

/// Posts a form.
pub async fn post_form(
    client: &reqwest::Client,
    url: &Url,
    form: &[(&str, &str)],
) -> Result<Answer> {
    Answer::read(client.post(url.clone()).form(form).send().await?).await
}

fn tokens(answer: Answer) -> Result<Tokens> {
    Tokens::of(answer.expect(200).context("the token endpoint")?.json()?)
}

/// An app's launch: signs in as a person, allows everything asked for, exchanges the code.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    pub endpoints: &'a Endpoints,
    pub fhir: &'a str,
    pub client_id: &'a str,
    pub redirect: &'a str,
    pub scope: &'a str,
    pub username: &'a str,
    pub password: &'a str,
    /// Which record to open, where the person is asked.
    pub patient: Option<&'a str>,
    /// Whether the person allows what the app asks for.
    pub allows: bool,
}

/// How an authorization request is sent, and what the person changes on the consent page.
#[derive(Clone, Copy, Default)]
pub struct How<'a> {
    /// As a form, not as a link (SMART's `authorize-post`).
    pub posts: bool,
    pub choose: Option<&'a Choose>,
}

/// Changes what a person who allows everything would post on the consent page.
pub type Choose = dyn Fn(&html::Form, &mut Vec<(String, String)>);

/// A browser: keeps cookies, leaves redirects to us.
pub fn browser() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .cookie_store(true)
        .redirect(reqwest::redirect::Policy::none())
        .build()?)
}

/// What came back to the app, and what it needs for the exchange.
#[derive(Debug, Clone)]
pub struct Back {
    pub parameters: Vec<(String, String)>,
    pub verifier: String,
    pub state: String,
}

impl Back {
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.parameters.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The code, with the state that was sent.
    pub fn code(&self) -> Result<&str> {
        ensure!(
            self.get("state") == Some(self.state.as_str()),
            "another state came back"
        );
        self.get("code")
            .with_context(|| format!("no code came back: {:?}", self.parameters))
    }
}

impl Launch<'_> {
    /// Runs it; the tokens.
    pub async fn run(&self) -> Result<Tokens> {
        let back = self.authorize(&[]).await?;
        let answer = self.exchange(back.code()?, &back.verifier).await?;
        tokens(answer)
    }

    /// Walks through the pages until the browser is sent back to the app. `changes` replaces
    /// parameters of the authorization request; an empty value leaves the parameter out.
    pub async fn authorize(&self, changes: &[(&str, &str)]) -> Result<Back> {
        self.authorize_as(changes, &How::default()).await
    }

    /// The same, asked and answered in a way of one's own.
    pub async fn authorize_as(&self, changes: &[(&str, &str)], how: &How<'_>) -> Result<Back> {
        let browser = browser()?;
        let (url, verifier, state) = self.url(changes);
        let mut at = url.clone();
        let request = if how.posts {
            at.set_query(None);
            let form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            browser.post(at.clone()).form(&form)
        } else {
            browser.get(url)
        };
        let mut answer = request.send().await?;
        for _ in 0..12 {
            if answer.status().is_redirection() {
                let location = answer.headers().get("location");
                let location = location
                    .and_then(|value| value.to_str().ok())
                    .context("a redirect without a location")?;
                let next = at.join(location)?;
                if next.as_str().starts_with(self.redirect) {
                    let parameters = next.query_pairs().into_owned().collect();
                    return Ok(Back {
                        parameters,
                        verifier,
                        state,
                    });
                }
                at = next;
                answer = browser.get(at.clone()).send().await?;
                continue;
            }
            let status = answer.status();
            let page = answer.text().await?;
            // A page that leads back to an app on the device, and to one that is told no.
            if let Some(back) = html::link_to(&page, self.redirect) {
                let parameters = Url::parse(&back)?.query_pairs().into_owned().collect();
                return Ok(Back {
                    parameters,
                    verifier,
                    state,
                });
            }
            // What stands around a page's own content (sign out, stay signed in) is not the answer.
            let main = page.split_once("<main").map_or(&*page, |(_, rest)| rest);
            let main = main.split_once("</main>").map_or(main, |(own, _)| own);
            let forms = html::forms(main);
            let form = forms
                .iter()
                .find(|form| form.of_kind("password").is_some())
                .or_else(|| forms.iter().rev().find(|form| !form.fields.is_empty()))
                .with_context(|| format!("no form to fill in ({status}): {}", short(&page)))?;
            ensure!(
                form.of_kind("password").is_none() || !page.contains("role=\"alert\""),
                "the sign-in was refused: {}",
                short(&page)
            );
            at = at.join(&form.action)?;
            let mut fields = self.fill(form);
            if let Some(choose) = how
                .choose
                .filter(|_| form.action.ends_with("/auth/consent"))
            {
                choose(form, &mut fields);
            }
            answer = browser.post(at.clone()).form(&fields).send().await?;
        }
        bail!("the launch did not come back to the app")
    }

    /// The authorization request, the code verifier and the state.
    pub fn url(&self, changes: &[(&str, &str)]) -> (Url, String, String) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = CsrfToken::new_random();
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect),
            ("scope", self.scope),
            ("state", state.secret()),
            ("aud", self.fhir),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in changes {
            parameters.retain(|(own, _)| own != name);
            if !value.is_empty() {
                parameters.push((name, value));
            }
        }
        let mut url = self.endpoints.authorize.clone();
        url.query_pairs_mut().extend_pairs(parameters);
        (url, verifier.secret().clone(), state.secret().clone())
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
        // Consent: everything whole stays ticked or is ticked, for as long as the app may have it.
        for field in &form.fields {
            let is_part = field.value.contains('?');
            if field.kind == "checkbox" && !field.checked && !is_part {
                fields.push((field.name.clone(), field.value.clone()));
            }
        }
        let radios: BTreeSet<&str> = form
            .fields
            .iter()
            .filter(|field| field.kind == "radio")
            .map(|field| field.name.as_str())
            .collect();
        for name in radios {
            let options: Vec<&html::Field> = form
                .fields
                .iter()
                .filter(|field| field.kind == "radio" && field.name == name)
                .collect();
            let choice = options
                .iter()
                .find(|field| Some(field.value.as_str()) == self.patient)
                .or_else(|| options.iter().find(|field| field.value == "yes"))
                .or_else(|| options.first());
            if let Some(choice) = choice {
                fields.retain(|(own, _)| own != name);
                fields.push((name.to_owned(), choice.value.clone()));
            }
        }
        let buttons = form.fields.iter().filter(|field| field.kind == "submit");
        let words: &[&str] = if self.allows {
            &["allow", "yes", "approve"]
        } else {
            &["deny", "no", "cancel"]
        };
        let meant = buttons
            .clone()
            .find(|button| words.contains(&button.value.as_str()));
        if let Some(button) = meant.or_else(|| buttons.clone().next_back()) {
            fields.push((button.name.clone(), button.value.clone()));
        }
        fields
    }

    /// Exchanges a code as a public app.
    pub async fn exchange(&self, code: &str, verifier: &str) -> Result<Answer> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect),
            ("client_id", self.client_id),
            ("code_verifier", verifier),
        ];
        post_form(&reqwest::Client::new(), &self.endpoints.token, &form).await
    }
}
