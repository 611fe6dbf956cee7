//! A server with a feed that writes, people who look, and a clock in our hand.

mod bundle;
mod sees;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{self, BackendKey, Endpoints, Launch, Tokens};
use crate::server::Server;

pub use bundle::{entries, next_link, patient_of, reference, transaction};

/// `T0` of release-cases.md.
pub const T0: &str = "2026-11-10T15:00:00Z";
/// Where apps are sent back to; nobody listens there.
pub const REDIRECT: &str = "http://127.0.0.1:9/callback";
pub const PASSWORD: &str = "correct horse battery staple";

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// The patient with this id.
    Patient(String),
    /// The same patient through another app.
    OtherApp(String),
    /// Who acts for the patient (id) as RelatedPerson (id).
    Representative(String, String),
    /// The clinician who is this Practitioner (id).
    Clinician(String),
    /// A health plan (Organization id), through a backend of its own.
    Payer(String),
    /// Release staff.
    Staff,
    /// The privacy office.
    Auditor,
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
    pub async fn read(answer: reqwest::Response) -> Result<Self> {
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
        let text = String::from_utf8_lossy(&answer.bytes().await?).into_owned();
        Ok(Self {
            status,
            headers,
            text,
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text)
            .with_context(|| format!("{}, not JSON: {}", self.status, short(&self.text)))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(own, _)| own == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Demands a status.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(
            self.status.as_u16() == status,
            "{} instead of {status}: {}",
            self.status,
            short(&self.text)
        );
        Ok(self)
    }

    /// Demands a status and an OperationOutcome.
    pub fn expect_outcome(self, statuses: &[u16]) -> Result<Self> {
        ensure!(
            statuses.contains(&self.status.as_u16()),
            "{} instead of one of {statuses:?}: {}",
            self.status,
            short(&self.text)
        );
        let is_xml = self
            .header("content-type")
            .is_some_and(|kind| kind.contains("xml"));
        if is_xml {
            ensure!(
                self.text.contains("<OperationOutcome"),
                "no OperationOutcome: {}",
                short(&self.text)
            );
            return Ok(self);
        }
        let body = self.json()?;
        ensure!(
            body["resourceType"] == "OperationOutcome",
            "no OperationOutcome: {}",
            short(&self.text)
        );
        let issues = body["issue"].as_array().map_or(0, Vec::len);
        ensure!(issues > 0, "an OperationOutcome without an issue");
        Ok(self)
    }
}

/// The beginning of a text that may be long.
pub fn short(text: &str) -> String {
    let mut short: String = text.chars().take(600).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// A grant of somebody.
#[derive(Debug, Clone)]
struct Held {
    from: Timestamp,
    until: Timestamp,
    tokens: Tokens,
}

#[derive(Debug)]
pub struct World {
    pub server: Server,
    pub client: reqwest::Client,
    pub endpoints: Endpoints,
    backend: String,
    key: BackendKey,
    /// Client ids of the two apps.
    pub app: String,
    pub other_app: String,
    now: Cell<Timestamp>,
    held: RefCell<HashMap<Who, Held>>,
    users: RefCell<BTreeSet<String>>,
}

impl World {
    /// Starts a server for a jurisdiction, registers a feed and two apps, sets the clock to `T0`.
    pub async fn start(candor: &Path, database: &str, jurisdiction: &str) -> Result<Self> {
        let server = Server::start(candor, database, jurisdiction).await?;
        let key = BackendKey::generate()?;
        let jwks = server.file("jwks.json", key.jwks.to_string().as_bytes())?;
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
        let mut apps = Vec::new();
        for name in ["Journal", "Logbook"] {
            let app = server
                .add_client(&[
                    "--name",
                    name,
                    "--type",
                    "public",
                    "--redirect-uri",
                    REDIRECT,
                    "--scope",
                    "openid fhirUser launch/patient offline_access patient/*.rs user/*.rs",
                ])
                .await?;
            apps.push(client_id(&app)?);
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let endpoints = app::discover(&client, &server.fhir()).await?;
        let world = Self {
            backend: client_id(&backend)?,
            other_app: apps.pop().context("an app")?,
            app: apps.pop().context("an app")?,
            server,
            client,
            endpoints,
            key,
            now: Cell::new(T0.parse()?),
            held: RefCell::default(),
            users: RefCell::default(),
        };
        world.clock(T0).await?;
        Ok(world)
    }

    /// Now, by the server's clock.
    pub fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// Puts the server's clock to an instant.
    pub async fn clock(&self, instant: &str) -> Result<()> {
        let answer = self
            .client
            .put(format!("{}/_test/clock", self.server.public))
            .json(&json!({"now": instant}))
            .send()
            .await?;
        let status = answer.status();
        ensure!(status.is_success(), "PUT /_test/clock: {status}");
        self.now.set(instant.parse()?);
        Ok(())
    }

    /// Moves the clock on.
    pub async fn pass(&self, duration: &str) -> Result<()> {
        let by: SignedDuration = duration.parse()?;
        let then = self.now.get().checked_add(by)?;
        self.clock(&then.to_string()).await
    }

    /// A token of somebody that is good by the server's clock.
    pub async fn token(&self, who: &Who) -> Result<String> {
        let now = self.now.get();
        let held = self.held.borrow().get(who).cloned();
        if let Some(held) = &held
            && (held.from..held.until).contains(&now)
        {
            return Ok(held.tokens.access.clone());
        }
        let refresh = held.and_then(|held| held.tokens.refresh);
        let tokens = match (who, refresh) {
            (Who::Feed, _) => self.feed_token(now).await?,
            (Who::Payer(organization), _) => self.payer_token(organization, now).await?,
            (_, Some(refresh)) => {
                match app::refresh(&self.client, &self.endpoints, self.app_of(who), &refresh).await
                {
                    Ok(tokens) => tokens,
                    Err(_) => self.sign_in(who).await?,
                }
            }
            _ => self.sign_in(who).await?,
        };
        let access = tokens.access.clone();
        let life = SignedDuration::from_secs((tokens.expires_in - 20).max(1));
        let held = Held {
            from: now,
            until: now.checked_add(life)?,
            tokens,
        };
        self.held.borrow_mut().insert(who.clone(), held);
        Ok(access)
    }

    /// Forgets what tokens somebody has, so that the next request signs in anew.
    pub fn forget(&self, who: &Who) {
        self.held.borrow_mut().remove(who);
    }

    /// Forgets everybody's tokens.
    pub fn forget_all(&self) {
        self.held.borrow_mut().clear();
    }

    fn app_of(&self, who: &Who) -> &str {
        match who {
            Who::OtherApp(_) => &self.other_app,
            _ => &self.app,
        }
    }

    async fn feed_token(&self, now: Timestamp) -> Result<Tokens> {
        app::backend_token(
            &self.client,
            &self.endpoints,
            &self.backend,
            &self.key,
            "system/*.cruds",
            now.as_second(),
        )
        .await
    }

    async fn payer_token(&self, organization: &str, now: Timestamp) -> Result<Tokens> {
        let id = format!("payer-{organization}");
        if self.users.borrow_mut().insert(id.clone()) {
            let jwks = self
                .server
                .file("payer.json", self.key.jwks.to_string().as_bytes())?;
            let person = format!("Organization/{organization}");
            self.server
                .add_client(&[
                    "--name",
                    "Plan",
                    "--type",
                    "backend",
                    "--jwks",
                    &jwks,
                    "--scope",
                    "system/*.rs",
                    "--client-id",
                    &id,
                    "--as",
                    "payer",
                    "--person",
                    &person,
                ])
                .await?;
        }
        let (client, endpoints) = (&self.client, &self.endpoints);
        let now = now.as_second();
        app::backend_token(client, endpoints, &id, &self.key, "system/*.rs", now).await
    }

    /// Makes the account if there is none yet, and lets the app launch.
    pub async fn sign_in(&self, who: &Who) -> Result<Tokens> {
        let (username, scope) = self.account(who).await?;
        let patient = match who {
            Who::Patient(id) | Who::OtherApp(id) | Who::Representative(id, _) => Some(id.as_str()),
            _ => None,
        };
        let launch = Launch {
            endpoints: &self.endpoints,
            fhir: &self.server.fhir(),
            client_id: self.app_of(who),
            redirect: REDIRECT,
            scope,
            username: &username,
            password: PASSWORD,
            patient,
            allows: true,
        };
        launch
            .run()
            .await
            .with_context(|| format!("signing in as {username}"))
    }

    /// The username of somebody, and the scope that fits; the account is made if need be.
    pub async fn account(&self, who: &Who) -> Result<(String, &'static str)> {
        const PATIENT: &str = "openid fhirUser launch/patient offline_access patient/*.rs";
        const USER: &str = "openid fhirUser offline_access user/*.rs";
        let (username, arguments, scope): (String, Vec<&str>, &'static str) = match who {
            Who::Feed | Who::Payer(_) => bail!("a system has no account"),
            Who::Patient(id) | Who::OtherApp(id) => (
                format!("patient-{id}"),
                vec!["--role", "patient", "--patient", id],
                PATIENT,
            ),
            Who::Representative(patient, related) => (
                format!("for-{related}"),
                vec![
                    "--role",
                    "representative",
                    "--patient",
                    patient,
                    "--related-person",
                    related,
                ],
                PATIENT,
            ),
            Who::Clinician(id) => (
                format!("clinician-{id}"),
                vec!["--role", "clinician", "--practitioner", id],
                USER,
            ),
            Who::Staff => ("release-staff".to_owned(), vec!["--role", "staff"], USER),
            Who::Auditor => ("privacy-office".to_owned(), vec!["--role", "auditor"], USER),
        };
        if !self.users.borrow().contains(&username) {
            let arguments = [&["--username", &username], arguments.as_slice()].concat();
            self.server.add_user(&arguments, PASSWORD).await?;
            self.users.borrow_mut().insert(username.clone());
        }
        Ok((username, scope))
    }

    /// A request below the FHIR base.
    pub async fn request(
        &self,
        who: &Who,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        self.request_with(who, method, path, &[], body).await
    }

    /// The same with headers of one's own.
    pub async fn request_with(
        &self,
        who: &Who,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let body = body.map(serde_json::to_vec).transpose()?;
        self.raw(Some(who), method, path, headers, body).await
    }

    /// A request with any body; without `who`, without a token.
    pub async fn raw(
        &self,
        who: Option<&Who>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer> {
        let url = if path.starts_with("http://") {
            path.to_owned()
        } else {
            format!("{}/{path}", self.server.fhir())
        };
        let mut all = HeaderMap::new();
        all.insert("accept", HeaderValue::from_static("application/fhir+json"));
        if body.is_some() {
            let kind = HeaderValue::from_static("application/fhir+json");
            all.insert("content-type", kind);
        }
        for (name, value) in headers {
            let name: HeaderName = name.parse()?;
            if value.is_empty() {
                all.remove(name);
            } else {
                all.insert(name, HeaderValue::from_bytes(value.as_bytes())?);
            }
        }
        let mut request = self.client.request(method.clone(), &url).headers(all);
        if let Some(who) = who {
            request = request.bearer_auth(self.token(who).await?);
        }
        // After a refused body the server closes the connection; a GET may come just then.
        let again = if body.is_none() {
            request.try_clone()
        } else {
            None
        };
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = match (request.send().await, again) {
            (Err(_), Some(again)) => again.send().await,
            (answer, _) => answer,
        };
        Answer::read(answer.with_context(|| format!("{method} {}", short(path)))?).await
    }

    pub async fn get(&self, who: &Who, path: &str) -> Result<Answer> {
        self.request(who, Method::GET, path, None).await
    }

    /// A search that must succeed; its Bundle.
    pub async fn search(&self, who: &Who, query: &str) -> Result<Value> {
        let answer = self.get(who, query).await?;
        let answer = answer.expect(200).with_context(|| query.to_owned())?;
        answer.json()
    }

    /// References of what a search finds on its first page.
    pub async fn found(&self, who: &Who, query: &str) -> Result<BTreeSet<String>> {
        let bundle = self.search(who, query).await?;
        Ok(entries(&bundle).iter().map(reference).collect())
    }

    /// Writes a resource as the feed does: PUT to its id.
    pub async fn put(&self, resource: &Value) -> Result<()> {
        let answer = self.try_put(resource).await?;
        ensure!(
            answer.status.is_success(),
            "PUT {}: {} {}",
            reference(resource),
            answer.status,
            short(&answer.text)
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

    /// Writes several as one transaction.
    pub async fn put_all(&self, resources: &[Value]) -> Result<()> {
        let answer = self.try_transaction(&transaction(resources)).await?;
        answer.expect(200).context("a transaction")?;
        Ok(())
    }

    /// Posts a Bundle to the base.
    pub async fn try_transaction(&self, bundle: &Value) -> Result<Answer> {
        self.request(&Who::Feed, Method::POST, "", Some(bundle))
            .await
    }

    pub async fn delete(&self, resource: &Value) -> Result<()> {
        let path = reference(resource);
        let answer = self
            .request(&Who::Feed, Method::DELETE, &path, None)
            .await?;
        let status = answer.status;
        ensure!(status.is_success(), "DELETE {path}: {status}");
        Ok(())
    }

    /// `candor import` of one Bundle: the feed that cannot be refused. The command runs by the clock
    /// on the wall, so the server is put there too.
    pub async fn feed(&self, name: &str, bundle: &Value) -> Result<String> {
        let name = format!("{name}.json");
        let file = self.server.file(&name, bundle.to_string().as_bytes())?;
        let printed = self.server.run(&["import", &file], "").await?;
        self.clock(&wall_clock().to_string()).await?;
        Ok(printed)
    }

    /// Demands that somebody sees a resource, or that it does not exist for them.
    pub async fn expect(&self, who: &Who, resource: &Value, visible: bool) -> Result<()> {
        let sees = self.sees(who, resource).await?;
        let verb = if visible { "must see" } else { "must not see" };
        let (now, name) = (self.now.get(), reference(resource));
        ensure!(sees == visible, "{who:?} {verb} {name} at {now}");
        Ok(())
    }

    /// What a viewer reads, which must be there.
    pub async fn read(&self, who: &Who, resource: &Value) -> Result<Value> {
        let path = reference(resource);
        let answer = self.get(who, &path).await?;
        answer.expect(200).with_context(|| path)?.json()
    }

    /// The ledger's newest entries, as text.
    pub async fn ledger(&self) -> Result<String> {
        let answer = self
            .get(&Who::Auditor, "$release-ledger?_count=1000")
            .await?;
        Ok(answer.expect(200).context("$release-ledger")?.text)
    }

    /// `$release-decision` of a resource for a viewer class or person.
    pub async fn decision(&self, resource: &Value, viewer: &str) -> Result<Value> {
        let path = format!("{}/$release-decision?viewer={viewer}", reference(resource));
        let answer = self.get(&Who::Staff, &path).await?;
        answer.expect(200).with_context(|| path)?.json()
    }
}

/// What time it is outside.
#[expect(clippy::disallowed_methods, reason = "commands have no test clock")]
pub fn wall_clock() -> Timestamp {
    Timestamp::now()
}

fn client_id(printed: &Value) -> Result<String> {
    let id = printed.get("client_id").and_then(Value::as_str);
    Ok(id.context("no client_id printed")?.to_owned())
}
