//! An app with a server of its own, by the `oauth2` crate.

use oauth2::basic::BasicClient;
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenResponse as _, TokenUrl,
};
use serde_json::Value;
use url::Url;

use super::SCOPE;
use super::hospital::Hospital;
use super::pages::query;

/// An app by the `oauth2` crate, with PKCE.
pub struct OauthApp {
    redirect: String,
    token_url: String,
    pub client_id: String,
    authorize_url: String,
    fhir: String,
    http: reqwest::Client,
}

/// What the app remembers while the person is away.
pub struct Away {
    pub url: Url,
    pub state: CsrfToken,
    verifier: PkceCodeVerifier,
}

impl OauthApp {
    /// `candor client add`, and discovery.
    pub async fn register(hospital: &Hospital, name: &str, redirect: &str) -> Self {
        let http = reqwest::Client::new();
        let discovery = format!("{}/.well-known/smart-configuration", hospital.fhir());
        let found: Value = http
            .get(discovery)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        Self {
            redirect: redirect.to_owned(),
            client_id: hospital.add_app(name, &[redirect], SCOPE).await,
            authorize_url: found["authorization_endpoint"].as_str().unwrap().to_owned(),
            token_url: found["token_endpoint"].as_str().unwrap().to_owned(),
            fhir: hospital.fhir(),
            http,
        }
    }

    /// Where the app sends the person.
    pub fn start(&self, scope: &str) -> Away {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::new(self.authorize_url.clone()).unwrap())
            .set_redirect_uri(RedirectUrl::new(self.redirect.clone()).unwrap());
        let (url, state) = client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(scope.split(' ').map(|scope| Scope::new(scope.to_owned())))
            .add_extra_param("aud", &self.fhir)
            .set_pkce_challenge(challenge)
            .url();
        Away {
            url,
            state,
            verifier,
        }
    }

    /// Exchanges the code that came back: access token and granted scopes.
    pub async fn finish(&self, away: Away, back: &Url) -> (String, Vec<String>) {
        assert_eq!(query(back, "state").as_ref(), Some(away.state.secret()));
        let code = query(back, "code").unwrap_or_else(|| panic!("no code in {back}"));
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_type(oauth2::AuthType::RequestBody)
            .set_token_uri(TokenUrl::new(self.token_url.clone()).unwrap())
            .set_redirect_uri(RedirectUrl::new(self.redirect.clone()).unwrap());
        let send =
            async |request: oauth2::HttpRequest| -> Result<oauth2::HttpResponse, reqwest::Error> {
                let request = reqwest::Request::try_from(request)?;
                let answer = self.http.execute(request).await?;
                let mut response = oauth2::HttpResponse::default();
                *response.status_mut() = answer.status();
                *response.headers_mut() = answer.headers().clone();
                *response.body_mut() = answer.bytes().await?.to_vec();
                Ok(response)
            };
        let token = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(away.verifier)
            .request_async(&send)
            .await
            .unwrap();
        let scopes = token.scopes().unwrap().iter();
        (
            token.access_token().secret().clone(),
            scopes.map(|scope| scope.as_str().to_owned()).collect(),
        )
    }

    /// A request below the FHIR base: status and body.
    pub async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        let url = format!("{}/{path}", self.fhir);
        let answer = self.http.get(url).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}
