//! A server with a feed that writes, people who look, and a clock in our hand.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{self, BackendKey, Endpoints, Launch};
use crate::server::Server;

/// `T0` of release-cases.md.
pub const T0: &str = "2026-11-10T15:00:00Z";
const REDIRECT: &str = "http://127.0.0.1:9/callback";
const PASSWORD: &str = "correct horse battery staple";

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// The patient with this id.
    Patient(String),
    /// Who acts for the patient (id) as RelatedPerson (id).
    Representative(String, String),
    /// The hospital's feed.
    Feed,
}

/// An answer, read.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("not JSON: {}", self.text))
    }
}

#[derive(Debug)]
pub struct World {
    pub server: Server,
    client: reqwest::Client,
    endpoints: Endpoints,
    backend: String,
    key: BackendKey,
    app: String,
    now: Cell<Timestamp>,
    tokens: RefCell<HashMap<Who, (Timestamp, String)>>,
    users: RefCell<BTreeSet<String>>,
}

impl World {
    /// Starts a server for a jurisdiction, registers a feed and an app, sets the clock to `T0`.
    pub async fn start(candor: &Path, database: &str, jurisdiction: &str) -> Result<Self> {
        let server = Server::start(candor, database, jurisdiction).await?;
        let key = BackendKey::generate()?;
        let directory = tempfile::tempdir()?;
        let jwks = directory.path().join("jwks.json");
        std::fs::write(&jwks, key.jwks.to_string())?;
        let jwks = jwks.to_string_lossy().into_owned();
        let backend = server
            .add_client(&[
                "--name",
                "Feed",
                "--type",
                "backend",
                "--jwks",
                &jwks,
                "--scope",
                "system/*.cruds",
            ])
            .await?;
        let app = server
            .add_client(&[
                "--name",
                "Journal",
                "--type",
                "public",
                "--redirect-uri",
                REDIRECT,
                "--scope",
                "openid fhirUser launch/patient offline_access patient/*.rs",
            ])
            .await?;
        let id = |answer: &Value| -> Result<String> {
            let id = answer.get("client_id").and_then(Value::as_str);
            Ok(id.context("no client_id printed")?.to_owned())
        };
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let endpoints = app::discover(&client, &server.fhir()).await?;
        let world = Self {
            backend: id(&backend)?,
            app: id(&app)?,
            server,
            client,
            endpoints,
            key,
            now: Cell::new(T0.parse()?),
            tokens: RefCell::default(),
            users: RefCell::default(),
        };
        world.clock(T0).await?;
        Ok(world)
    }

    /// Puts the server's clock to an instant.
    pub async fn clock(&self, instant: &str) -> Result<()> {
        let answer = self
            .client
            .put(format!("{}/_test/clock", self.server.public))
            .json(&json!({"now": instant}))
            .send()
            .await?;
        ensure!(
            answer.status().is_success(),
            "the clock: {}",
            answer.status()
        );
        self.now.set(instant.parse()?);
        self.tokens.borrow_mut().clear();
        Ok(())
    }

    /// A token of somebody, fresh enough.
    pub async fn token(&self, who: &Who) -> Result<String> {
        if let Some((_, token)) = self.tokens.borrow().get(who) {
            return Ok(token.clone());
        }
        let now = self.now.get();
        let fhir = self.server.fhir();
        let token = match who {
            Who::Feed => {
                app::backend_token(
                    &self.client,
                    &self.endpoints,
                    &self.backend,
                    &self.key,
                    "system/*.cruds",
                    now.as_second(),
                )
                .await?
            }
            Who::Patient(id) => {
                self.sign_in(&fhir, id, &["--role", "patient", "--patient", id])
                    .await?
            }
            Who::Representative(patient, related) => {
                let arguments = [
                    "--role",
                    "representative",
                    "--patient",
                    patient,
                    "--related-person",
                    related,
                ];
                self.sign_in(&fhir, related, &arguments).await?
            }
        };
        self.tokens
            .borrow_mut()
            .insert(who.clone(), (now, token.clone()));
        Ok(token)
    }

    async fn sign_in(&self, fhir: &str, id: &str, arguments: &[&str]) -> Result<String> {
        let username = format!("user-{id}");
        if self.users.borrow_mut().insert(username.clone()) {
            let arguments = [&["--username", &username], arguments].concat();
            self.server.add_user(&arguments, PASSWORD).await?;
        }
        let launch = Launch {
            endpoints: &self.endpoints,
            fhir,
            client_id: &self.app,
            redirect: REDIRECT,
            scope: "openid fhirUser launch/patient patient/*.rs",
            username: &username,
            password: PASSWORD,
        };
        launch
            .run()
            .await
            .with_context(|| format!("signing in as {username}"))
    }

    /// A request below the FHIR base.
    pub async fn request(
        &self,
        who: &Who,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let token = self.token(who).await?;
        let mut request = self
            .client
            .request(method, format!("{}/{path}", self.server.fhir()))
            .bearer_auth(token)
            .header("Accept", "application/fhir+json");
        if let Some(body) = body {
            request = request
                .header("Content-Type", "application/fhir+json")
                .body(serde_json::to_vec(body)?);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        Ok(Answer {
            status,
            headers,
            text: answer.text().await?,
        })
    }

    pub async fn get(&self, who: &Who, path: &str) -> Result<Answer> {
        self.request(who, Method::GET, path, None).await
    }

    /// Writes a resource as the feed does: PUT to its id.
    pub async fn put(&self, resource: &Value) -> Result<()> {
        let answer = self.try_put(resource).await?;
        ensure!(
            answer.status.is_success(),
            "PUT {}: {} {}",
            reference(resource),
            answer.status,
            answer.text
        );
        Ok(())
    }

    pub async fn try_put(&self, resource: &Value) -> Result<Answer> {
        self.request(
            &Who::Feed,
            Method::PUT,
            &reference(resource),
            Some(resource),
        )
        .await
    }

    /// Writes several as one batch Bundle.
    pub async fn put_all(&self, resources: &[Value]) -> Result<()> {
        for resource in resources {
            self.put(resource).await?;
        }
        Ok(())
    }

    /// Whether a resource exists for somebody. Read, vread, history, search by id, by patient and
    /// by type, count and include must agree; where they do not, that is the error.
    pub async fn sees(&self, who: &Who, resource: &Value) -> Result<bool> {
        let path = reference(resource);
        let (type_name, id) = path.split_once('/').context("a reference")?;
        let read = self.get(who, &path).await?;
        let visible = match read.status {
            StatusCode::OK => true,
            StatusCode::NOT_FOUND => false,
            other => bail!("read {path}: {other} {}", read.text),
        };
        if !visible {
            let unknown = self
                .get(who, &format!("{type_name}/{}", uuid::Uuid::new_v4()))
                .await?;
            ensure!(
                read.text == unknown.text && steady(&read) == steady(&unknown),
                "{path}: withheld does not look like unknown: {} / {}",
                read.text,
                unknown.text
            );
        }
        for path in [format!("{path}/_history/1"), format!("{path}/_history")] {
            let answer = self.get(who, &path).await?;
            let there = answer.status.is_success();
            ensure!(
                there == visible,
                "{path}: {} but read says {visible}",
                answer.status
            );
        }
        let mut searches = vec![
            format!("{type_name}?_id={id}"),
            format!("{type_name}?_count=200"),
        ];
        let patient = patient_of(resource);
        if let Some(patient) = &patient {
            searches.push(format!("{type_name}?patient={patient}&_count=200"));
            searches.push(format!(
                "{type_name}?patient={patient}&_sort=-_lastUpdated&_count=200"
            ));
        }
        for search in searches {
            let answer = self.get(who, &search).await?;
            ensure!(
                answer.status == StatusCode::OK,
                "{search}: {} {}",
                answer.status,
                answer.text
            );
            let found = entries(&answer.json()?)
                .iter()
                .any(|entry| reference(entry) == path);
            ensure!(
                found == visible,
                "{search}: found {found}, but read says {visible}"
            );
        }
        let count = self
            .get(who, &format!("{type_name}?_id={id}&_summary=count"))
            .await?
            .json()?;
        let count = count.get("total").and_then(Value::as_i64);
        ensure!(
            count == Some(i64::from(visible)),
            "{path}: counted {count:?}, read says {visible}"
        );
        if let Some(patient) = patient
            && type_name != "Patient"
        {
            let query = format!("Patient?_id={patient}&_revinclude={type_name}:patient");
            let answer = self.get(who, &query).await?;
            let found = entries(&answer.json()?)
                .iter()
                .any(|entry| reference(entry) == path);
            ensure!(
                found == visible,
                "{query}: found {found}, but read says {visible}"
            );
            let query = format!("Patient?_has:{type_name}:patient:_id={id}");
            let found = !entries(&self.get(who, &query).await?.json()?).is_empty();
            ensure!(
                found == visible,
                "{query}: found {found}, but read says {visible}"
            );
        }
        Ok(visible)
    }

    /// Demands that somebody sees a resource.
    pub async fn expect(&self, who: &Who, resource: &Value, visible: bool) -> Result<()> {
        let sees = self.sees(who, resource).await?;
        let verb = if visible { "must see" } else { "must not see" };
        ensure!(
            sees == visible,
            "{who:?} {verb} {} at {}",
            reference(resource),
            self.now.get()
        );
        Ok(())
    }

    /// The ledger's text about decisions so far.
    pub async fn ledger(&self) -> Result<String> {
        let mut text = String::new();
        let answer = self.get(&Who::Feed, "$release-ledger?_count=1000").await?;
        ensure!(
            answer.status == StatusCode::OK,
            "$release-ledger: {} {}",
            answer.status,
            answer.text
        );
        text.push_str(&answer.text);
        Ok(text)
    }
}

/// `Type/id` of a resource.
pub fn reference(resource: &Value) -> String {
    let text = |name: &str| {
        resource
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!("{}/{}", text("resourceType"), text("id"))
}

/// Id of the patient a resource is about.
fn patient_of(resource: &Value) -> Option<String> {
    let named = ["subject", "patient", "for", "individual"]
        .iter()
        .find_map(|name| resource.get(name))?;
    let text = named.get("reference")?.as_str()?;
    Some(text.strip_prefix("Patient/")?.to_owned())
}

/// The resources of a searchset, outcomes left out.
pub fn entries(bundle: &Value) -> Vec<Value> {
    bundle
        .get("entry")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("resource"))
        .filter(|resource| resource.get("resourceType") != Some(&json!("OperationOutcome")))
        .cloned()
        .collect()
}

/// Headers that say something, without those that differ from request to request.
fn steady(answer: &Answer) -> Vec<(String, String)> {
    answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"))
        .cloned()
        .collect()
}
