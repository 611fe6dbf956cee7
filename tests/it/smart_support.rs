//! A running server, a person's browser and an app, for the tests of the authorization server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use candor::clock::{Clock, Millis};
use candor::fhir::definitions::definitions;
use candor::smart::clients::{self, ClientKind, NewClient, RegisteredClient};
use candor::smart::users::{self, NewRecord, NewUser, RegisteredUser, Role};
use candor::smart::{MailSettings, SmartConfig, SmartState, router};
use candor::store::{Method, Op, Origin, Store, StoreOptions};
use candor::visibility::ViewerClass;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RefreshToken, Scope, StandardRevocableToken, StandardTokenResponse, TokenUrl,
};
use reqwest::redirect::Policy;
use sea_orm::{ConnectionTrait as _, Statement};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use crate::letters::Letters;
use crate::support::{Database, TestDatabase};

pub const PASSWORD: &str = "a long walk by the sea";
pub const REDIRECT: &str = "https://app.example/done";

/// A server on a port of its own, with a clock that stands still until moved.
pub struct Server {
    pub public: String,
    pub state: SmartState,
    pub store: Store,
    pub clock: Clock,
    pub http: reqwest::Client,
    pub letters: Letters,
    database: TestDatabase,
}

/// Runs a test body on a fresh SQLite file and on a fresh PostgreSQL database, as two tests.
macro_rules! each_smart_database {
    ($($(#[$meta:meta])* async fn $name:ident($server:ident: Server) $body:block)+) => {$(
        $(#[$meta])*
        async fn $name($server: &$crate::smart_support::Server) $body

        mod $name {
            use $crate::smart_support::Server;
            use $crate::support::Database;

            #[tokio::test]
            async fn sqlite() {
                let server = Server::start(Database::Sqlite).await;
                super::$name(&server).await;
                server.stop().await;
            }

            #[tokio::test]
            async fn postgres() {
                if !Database::Postgres.is_there() {
                    return;
                }
                let server = Server::start(Database::Postgres).await;
                super::$name(&server).await;
                server.stop().await;
            }
        }
    )+};
}
pub(crate) use each_smart_database;

impl Server {
    /// With staff who sign in with a password alone.
    pub async fn start(database: Database) -> Self {
        Self::start_with(database, |_| ()).await
    }

    /// With another configuration.
    pub async fn start_with(database: Database, change: impl FnOnce(&mut SmartConfig)) -> Self {
        let database = TestDatabase::create(database).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public = format!("http://{}", listener.local_addr().unwrap());
        let clock = Clock::test(Clock::system().now());
        let store = Store::open(&StoreOptions {
            url: database.url.clone(),
            base: format!("{public}/fhir/r4"),
            clock: clock.clone(),
            connections: 4,
        })
        .await
        .unwrap();
        let mut config = SmartConfig::new(&public);
        config.allow_loopback_jwks = true;
        config.registration = candor::config::Registration::Open;
        config.client_address_header = Some("x-forwarded-for".to_owned());
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.staff_needs_second_factor = false;
        change(&mut config);
        let letters = Letters::default();
        config.mail = Some(MailSettings {
            url: format!("file://{}", letters.folder.path().display()),
            from: "Candor <noreply@candor.example>".to_owned(),
        });
        let state = SmartState::new(store.clone(), config).await.unwrap();
        let service = router(state.clone()).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            public,
            state,
            store,
            clock,
            http: reqwest::Client::builder()
                .redirect(Policy::none())
                .build()
                .unwrap(),
            letters,
            database,
        }
    }

    /// Drops the database.
    pub async fn stop(self) {
        self.database.drop().await;
    }

    pub fn fhir(&self) -> String {
        format!("{}/fhir/r4", self.public)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public)
    }

    pub fn advance(&self, by: Millis) {
        assert!(self.clock.set(self.clock.now() + by));
    }

    /// Writes a resource as a feed does.
    pub async fn load(&self, resource: serde_json::Value) {
        let type_name = resource["resourceType"].as_str().unwrap();
        let op = Op {
            type_id: definitions().type_id(type_name).unwrap(),
            id: resource["id"].as_str().unwrap().to_owned(),
            method: Method::Put,
            resource: Some(resource),
            if_match: None,
            must_be_new: false,
        };
        self.store.write(Origin::Feed, vec![op]).await.unwrap();
    }

    /// Writes the RelatedPerson that makes somebody a representative of a patient.
    pub async fn load_related(&self, id: &str, patient: &str) {
        let patient = json!({"reference": format!("Patient/{patient}")});
        self.load(
            json!({"resourceType": "RelatedPerson", "id": id, "active": true,
            "patient": patient}),
        )
        .await;
    }

    /// The values of one column, as texts.
    pub async fn column(&self, select: &str) -> Vec<String> {
        let reader = self.store.reader();
        let rows = reader
            .query_all_raw(Statement::from_string(self.store.backend(), select))
            .await
            .unwrap();
        rows.iter()
            .map(|row| row.try_get_by_index(0).unwrap())
            .collect()
    }

    /// Gives an account a confirmed address, as its holder does.
    pub async fn confirm_email(&self, username: &str, address: &str) {
        let browser = Browser::new(self);
        let login = self.url("/login?next=/settings/email");
        let login = browser.open(&login).await.page();
        let settings = browser.sign_in(&login, username, PASSWORD).await.page();
        let mut form = settings.form("/settings/email");
        form.set("email", address);
        form.set("current", PASSWORD);
        browser.submit(&form).await.page();
        let letter = self.letters.next_to(address).await;
        let page = Browser::new(self);
        let form = page.open(&letter.link()).await.page().form("/confirm");
        assert_eq!(page.submit(&form).await.page().status, 200);
    }

    /// One statement, as another process would run it.
    pub async fn sql(&self, text: &str) {
        let tx = self.store.begin().await.unwrap();
        tx.connection().execute_unprepared(text).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn add_client(&self, kind: ClientKind, scope: &str) -> RegisteredClient {
        let redirect_uris = match kind {
            ClientKind::Backend => vec![],
            _ => vec![REDIRECT.to_owned(), "http://127.0.0.1/done".to_owned()],
        };
        clients::add(
            &self.store,
            NewClient {
                client_id: None,
                name: "Bone Journal".to_owned(),
                kind,
                redirect_uris,
                keys: None,
                scope: scope.to_owned(),
                class: ViewerClass::System,
                person: None,
                options: candor::smart::clients::ClientOptions::default(),
            },
        )
        .await
        .unwrap()
    }

    /// A client whose id and redirect somebody else's configuration has.
    pub async fn add_client_named(&self, id: &str, kind: ClientKind, redirect: &str, scope: &str) {
        let new = NewClient {
            client_id: Some(id.to_owned()),
            name: "Another hospital".to_owned(),
            kind,
            redirect_uris: vec![redirect.to_owned()],
            keys: None,
            scope: scope.to_owned(),
            class: ViewerClass::System,
            person: None,
            options: candor::smart::clients::ClientOptions::default(),
        };
        clients::add(&self.store, new).await.unwrap();
    }

    /// What a statement counts.
    pub async fn count(&self, sql: &str) -> i64 {
        let statement = sea_orm::Statement::from_string(self.store.backend(), sql);
        let row = self.store.reader().query_one_raw(statement).await;
        row.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    pub async fn add_user(
        &self,
        role: Role,
        practitioner: Option<&str>,
        records: &[(&str, Option<&str>, &str)],
    ) -> RegisteredUser {
        users::add(
            &self.store,
            NewUser {
                username: format!("Ana-{}", uuid::Uuid::new_v4()),
                name: "Ana Ruiz".to_owned(),
                role,
                password: PASSWORD.to_owned(),
                practitioner: practitioner.map(str::to_owned),
                records: records
                    .iter()
                    .map(|(patient, related_person, name)| NewRecord {
                        patient: (*patient).to_owned(),
                        related_person: related_person.map(str::to_owned),
                        name: (*name).to_owned(),
                    })
                    .collect(),
            },
        )
        .await
        .unwrap()
    }

    pub async fn add_patient(&self) -> RegisteredUser {
        self.add_user(Role::Patient, None, &[("ana", None, "Ana Ruiz")])
            .await
    }

    /// Posts to the token endpoint by hand.
    pub async fn token(&self, form: &[(&str, &str)]) -> (u16, serde_json::Value) {
        self.token_from("192.0.2.1", form).await
    }

    /// The same, from an address that a proxy reports.
    pub async fn token_from(
        &self,
        address: &str,
        form: &[(&str, &str)],
    ) -> (u16, serde_json::Value) {
        let response = self
            .http
            .post(self.url("/auth/token"))
            .header("x-forwarded-for", format!("203.0.113.9, {address}"))
            .form(form)
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap())
    }
}

/// What SMART adds to a token response.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SmartFields {
    pub patient: Option<String>,
    pub id_token: Option<String>,
    pub need_patient_banner: Option<bool>,
    pub smart_style_url: Option<String>,
    pub encounter: Option<String>,
    pub intent: Option<String>,
    #[serde(rename = "fhirContext")]
    pub fhir_context: Option<serde_json::Value>,
}

impl ExtraTokenFields for SmartFields {}

pub type SmartTokens = StandardTokenResponse<SmartFields, BasicTokenType>;
type SmartClient = oauth2::Client<
    BasicErrorResponse,
    SmartTokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// An app, through the oauth2 crate.
pub struct App {
    pub client: SmartClient,
    pub secret: Option<String>,
    http: reqwest::Client,
    aud: String,
}

/// An authorization request that the app has sent.
pub struct Sent {
    pub url: Url,
    pub state: CsrfToken,
    pub verifier: PkceCodeVerifier,
}

impl App {
    pub fn new(server: &Server, registered: &RegisteredClient) -> Self {
        Self::with_redirect(server, registered, REDIRECT)
    }

    pub fn with_redirect(server: &Server, registered: &RegisteredClient, redirect: &str) -> Self {
        let mut client = oauth2::Client::new(ClientId::new(registered.client_id.clone()))
            .set_auth_type(AuthType::BasicAuth)
            .set_redirect_uri(RedirectUrl::new(redirect.to_owned()).unwrap());
        if let Some(secret) = &registered.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.clone()));
        }
        let client = client
            .set_auth_uri(AuthUrl::new(server.url("/auth/authorize")).unwrap())
            .set_token_uri(TokenUrl::new(server.url("/auth/token")).unwrap());
        Self {
            client,
            secret: registered.client_secret.clone(),
            http: server.http.clone(),
            aud: server.fhir(),
        }
    }

    pub fn start(&self, scope: &str) -> Sent {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = self
            .client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(scope.split(' ').map(|one| Scope::new(one.to_owned())))
            .add_extra_param("aud", &self.aud)
            .set_pkce_challenge(challenge)
            .url();
        Sent {
            url,
            state,
            verifier,
        }
    }

    /// The adapter that the oauth2 crate wants, for reqwest 0.13.
    pub async fn call(
        http: reqwest::Client,
        request: HttpRequest,
    ) -> Result<HttpResponse, reqwest::Error> {
        let response = http.execute(request.try_into()?).await?;
        let mut answer = axum::http::Response::new(Vec::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        *answer.body_mut() = response.bytes().await?.to_vec();
        Ok(answer)
    }

    pub async fn exchange(
        &self,
        code: &str,
        verifier: PkceCodeVerifier,
    ) -> Result<SmartTokens, String> {
        let http = self.http.clone();
        self.client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(verifier)
            .request_async(&move |request| Self::call(http.clone(), request))
            .await
            .map_err(|error| format!("{error:?}"))
    }

    pub async fn refresh(&self, token: &RefreshToken, scope: &str) -> Result<SmartTokens, String> {
        let http = self.http.clone();
        self.client
            .exchange_refresh_token(token)
            .add_scopes(
                scope
                    .split_ascii_whitespace()
                    .map(|one| Scope::new(one.to_owned())),
            )
            .request_async(&move |request| Self::call(http.clone(), request))
            .await
            .map_err(|error| format!("{error:?}"))
    }

    /// The whole way: sign in, tick what the closure leaves ticked, allow, exchange.
    pub async fn connect(
        &self,
        server: &Server,
        user: &RegisteredUser,
        scope: &str,
        change: impl Fn(&mut Form),
    ) -> SmartTokens {
        let sent = self.start(scope);
        let browser = Browser::new(server);
        let answer = browser.allow(&sent, user, change).await;
        let code = answer.get("code").unwrap_or_else(|| panic!("{answer:?}"));
        assert_eq!(answer["state"], *sent.state.secret());
        assert_eq!(answer["iss"], server.public);
        self.exchange(code, sent.verifier).await.unwrap()
    }
}

/// Where a browser ended up.
#[derive(Debug)]
pub enum End {
    Page(Page),
    /// Sent away, to the app.
    Away(Url),
}

impl End {
    pub fn page(self) -> Page {
        match self {
            Self::Page(page) => page,
            Self::Away(url) => panic!("sent away to {url}"),
        }
    }

    /// The parameters that the app got.
    pub fn answer(self) -> HashMap<String, String> {
        match self {
            Self::Page(page) => panic!("still on a page: {} {}", page.status, page.body),
            Self::Away(url) => url.query_pairs().into_owned().collect(),
        }
    }
}

#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub url: Url,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

/// A form with its fields as a browser would send them.
#[derive(Clone, Debug)]
pub struct Form {
    pub action: String,
    pub fields: Vec<(String, String)>,
    /// Boxes that were not ticked.
    pub unticked: Vec<(String, String)>,
}

impl Form {
    pub fn set(&mut self, name: &str, value: &str) {
        self.fields.retain(|(own, _)| own != name);
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    pub fn tick(&mut self, name: &str, value: &str) {
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    /// Leaves only these boxes ticked.
    pub fn only(&mut self, values: &[&str]) {
        self.fields
            .retain(|(name, value)| name != "allow" || values.contains(&value.as_str()));
    }
}

impl Page {
    /// The page without the reference of a refusal, which is another each time.
    pub fn without_reference(&self) -> String {
        let (before, rest) = self.body.split_once(", reference ").unwrap();
        let (_, after) = rest.split_once(')').unwrap();
        format!("{before}{after}")
    }

    pub fn form(&self, action: &str) -> Form {
        let start = self
            .body
            .find(&format!("action=\"{action}\""))
            .unwrap_or_else(|| panic!("no form {action} on {}: {}", self.url, self.body));
        let text = &self.body[start..];
        let text = &text[..text.find("</form>").unwrap()];
        let mut form = Form {
            action: action.to_owned(),
            fields: vec![],
            unticked: vec![],
        };
        for tag in text.split("<input ").skip(1) {
            let tag = &tag[..tag.find('>').unwrap()];
            let attribute = |name: &str| {
                let from = tag.find(&format!("{name}=\""))? + name.len() + 2;
                let value = &tag[from..];
                Some(unescape(&value[..value.find('"')?]))
            };
            let field = (
                attribute("name").unwrap(),
                attribute("value").unwrap_or_default(),
            );
            let kind = attribute("type").unwrap();
            if ["checkbox", "radio"].contains(&kind.as_str()) && !tag.ends_with(" checked") {
                form.unticked.push(field);
            } else {
                form.fields.push(field);
            }
        }
        form
    }
}

fn unescape(text: &str) -> String {
    text.replace("&#38;", "&")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&amp;", "&")
        .replace("&quot;", "\"")
}

/// A person's browser: keeps cookies, follows redirects, stops where it is sent to the app.
#[derive(Clone)]
pub struct Browser {
    pub http: reqwest::Client,
    public: Arc<str>,
}

impl Browser {
    pub fn new(server: &Server) -> Self {
        Self::at(&server.public)
    }

    /// For the pages of whatever server is there.
    pub fn at(public: &str) -> Self {
        Self {
            http: reqwest::Client::builder()
                .cookie_store(true)
                .redirect(Policy::none())
                .build()
                .unwrap(),
            public: public.into(),
        }
    }

    pub async fn open(&self, url: &str) -> End {
        self.follow(self.http.get(url)).await
    }

    pub async fn submit(&self, form: &Form) -> End {
        let url = format!("{}{}", self.public, form.action);
        let request = self
            .http
            .post(url)
            .header("sec-fetch-site", "same-origin")
            .form(&form.fields);
        self.follow(request).await
    }

    /// Follows the link of a page that leads back to an app.
    pub fn link_back(page: &Page) -> End {
        let (_, rest) = page.body.split_once("<a href=\"http").unwrap();
        let (rest, _) = rest.split_once('"').unwrap();
        End::Away(Url::parse(&format!("http{}", unescape(rest))).unwrap())
    }

    pub async fn follow(&self, request: reqwest::RequestBuilder) -> End {
        let mut response = request.send().await.unwrap();
        for _ in 0..10 {
            let Some(location) = response.headers().get("location") else {
                let (status, url) = (response.status().as_u16(), response.url().clone());
                let headers = response.headers().clone();
                let body = response.text().await.unwrap();
                if let Some((_, rest)) = body.split_once("http-equiv=\"refresh\" content=\"0;url=")
                {
                    let address = unescape(rest.split('"').next().unwrap());
                    return End::Away(Url::parse(&address).unwrap());
                }
                return End::Page(Page {
                    status,
                    url,
                    headers,
                    body,
                });
            };
            assert_eq!(response.status(), 303);
            let url = response.url().join(location.to_str().unwrap()).unwrap();
            if !url.as_str().starts_with(&*self.public) {
                return End::Away(url);
            }
            response = self.http.get(url).send().await.unwrap();
        }
        panic!("redirected ten times");
    }

    pub async fn sign_in(&self, page: &Page, username: &str, password: &str) -> End {
        let mut form = page.form("/login");
        form.set("username", username);
        form.set("password", password);
        self.submit(&form).await
    }

    /// From the app's link to the consent page.
    pub async fn to_consent(&self, sent: &Sent, user: &RegisteredUser) -> Page {
        let page = self.open(sent.url.as_str()).await.page();
        assert_eq!(page.status, 200, "{}", page.body);
        self.sign_in(&page, &user.username, PASSWORD).await.page()
    }

    /// From the app's link to the app's answer.
    pub async fn allow(
        &self,
        sent: &Sent,
        user: &RegisteredUser,
        change: impl Fn(&mut Form),
    ) -> HashMap<String, String> {
        let page = self.to_consent(sent, user).await;
        let mut form = page.form("/auth/consent");
        change(&mut form);
        if !form.fields.iter().any(|(name, _)| name == "action") {
            form.set("action", "allow");
        }
        self.submit(&form).await.answer()
    }
}
