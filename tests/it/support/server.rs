//! A server in this process, on a port of its own, with a test clock.

use std::path::Path;

use candor::app::{App, Server};
use candor::clock::Clock;
use candor::config::Config;
use candor::smart::clients::{self, ClientKind, NewClient};
use candor::smart::direct::{self, DirectGrant};
use candor::visibility::ViewerClass;
use serde_json::Value;

use super::{Database, T0, TestDatabase};

/// A running server. [`TestServer::stop`] ends it; dropped without, it is cut off.
#[derive(Debug)]
pub struct TestServer {
    server: Server,
    database: TestDatabase,
    client: reqwest::Client,
}

impl TestServer {
    /// Starts with the defaults on a fresh database; the clock stands at [`T0`].
    pub async fn start(database: Database) -> Self {
        Self::start_with(database, |_| {}).await
    }

    /// [`TestServer::start`] with a changed configuration.
    pub async fn start_with(database: Database, change: impl FnOnce(&mut Config)) -> Self {
        let database = TestDatabase::create(database).await;
        let mut config = Config {
            database_url: database.url.clone(),
            bind: "127.0.0.1:0".parse().unwrap(),
            ..Config::default()
        };
        config.limits.connections = 4;
        change(&mut config);
        let server = Server::start(config, Clock::test(T0)).await.unwrap();
        Self {
            server,
            database,
            client: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        }
    }

    /// What the server's parts share.
    pub fn app(&self) -> &App {
        self.server.app()
    }

    /// Its authorization server.
    pub fn smart(&self) -> &candor::smart::SmartState {
        self.server.smart()
    }

    /// The server's clock.
    pub fn clock(&self) -> &Clock {
        self.app().store.clock()
    }

    /// An HTTP client that follows no redirects.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// `http://127.0.0.1:port` and a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// A URL under the FHIR base.
    pub fn fhir(&self, path: &str) -> String {
        self.url(&format!("/fhir/r4/{path}"))
    }

    /// A folder that goes with the server.
    pub fn directory(&self) -> &Path {
        self.database.directory()
    }

    /// A token for the hospital's own system: sees and writes everything.
    pub async fn system_token(&self) -> String {
        self.token(ViewerClass::System, None, None, "system/*.cruds")
            .await
    }

    /// A token of an app that a patient allowed to read their record.
    pub async fn patient_token(&self, patient: &str) -> String {
        let person = format!("Patient/{patient}");
        self.token(
            ViewerClass::Patient,
            Some(&person),
            Some(patient),
            "launch/patient patient/*.rs",
        )
        .await
    }

    /// A token for any viewer, without the dances of OAuth. `person` and `patient` as in
    /// [`candor::visibility::Viewer`].
    pub async fn token(
        &self,
        class: ViewerClass,
        person: Option<&str>,
        patient: Option<&str>,
        scope: &str,
    ) -> String {
        self.client_and_token(class, person, patient, scope).await.1
    }

    /// [`TestServer::token`] with the id of the public client that holds it.
    pub async fn client_and_token(
        &self,
        class: ViewerClass,
        person: Option<&str>,
        patient: Option<&str>,
        scope: &str,
    ) -> (String, String) {
        let client_id = format!("test-{}", uuid::Uuid::new_v4().simple());
        let client = NewClient {
            client_id: Some(client_id.clone()),
            name: "Test".to_owned(),
            kind: ClientKind::Public,
            redirect_uris: vec!["http://127.0.0.1:9/callback".to_owned()],
            keys: None,
            scope: "patient/*.rs".to_owned(),
            class: ViewerClass::System,
            person: None,
            options: candor::smart::clients::ClientOptions::default(),
        };
        clients::add(&self.app().store, client).await.unwrap();
        let grant = DirectGrant {
            client_id: &client_id,
            username: None,
            class,
            person,
            patient,
            scope,
            life: 365 * 86_400_000,
        };
        let smart = self.app().smart().await.unwrap();
        let token = direct::issue(&smart, &grant).await.unwrap();
        (client_id, token)
    }

    /// One more server on the same database, under the same public URL and with a clock of its own;
    /// its address.
    pub async fn second(&self) -> (Server, String) {
        let mut config = Config::clone(&self.app().config);
        config.public_url = Some(self.url(""));
        config.bind = "127.0.0.1:0".parse().unwrap();
        let clock = Clock::test(self.clock().now());
        let server = Server::start(config, clock).await.unwrap();
        let address = format!("http://{}/fhir/r4", server.address());
        (server, address)
    }

    /// `GET` under the FHIR base: status and body.
    pub async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        let answer = self
            .client
            .get(self.fhir(path))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Stops in good order and drops the database.
    pub async fn stop(self) {
        self.server.stop().await.unwrap();
        self.database.drop().await;
    }
}
