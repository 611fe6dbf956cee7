//! `candor demo`, started and used as what it prints says.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::app::{self, BackendKey, Endpoints, Launch, Tokens};
use crate::database::Database;
use crate::server::free_port;
use crate::world::{Answer, entries, next_link, reference, short, wall_clock};

/// Where the demonstration's apps, and those that register with it here, are sent back to.
pub const REDIRECT: &str = "http://127.0.0.1:3000/callback";

/// A client as it was printed or registered.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub secret: Option<String>,
}

/// A running demonstration.
#[derive(Debug)]
pub struct Demo {
    _child: Child,
    pub public: String,
    pub fhir: String,
    pub http: reqwest::Client,
    pub endpoints: Endpoints,
    /// Passwords by username.
    accounts: HashMap<String, String>,
    /// The printed app without a secret, and the one with one.
    pub app: Client,
    pub confidential: Client,
    backend: String,
    key: BackendKey,
    /// What the hospital's system may do.
    pub system: String,
    _directory: tempfile::TempDir,
    _database: Database,
}

impl Demo {
    /// Starts it on a database of its own, and reads what it prints.
    pub async fn start(candor: &Path, database: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let database = Database::new(database, directory.path()).await?;
        let port = free_port()?;
        let mut child = Command::new(candor)
            .args(["demo", "--port", &port.to_string()])
            .args(["--database", &database.url])
            .env("CANDOR_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not start {}", candor.display()))?;
        let output = child.stdout.take().context("no output")?;
        let printed = tokio::time::timeout(Duration::from_secs(60), read(output));
        let printed = printed.await.context("the demo did not get ready")??;
        let public = format!("http://127.0.0.1:{port}");
        let fhir = format!("{public}/fhir/r4");
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let words = |of: &str| -> Result<Vec<String>> {
            let line = printed.iter().find(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some(of) && words.next() == Some("client_id")
            });
            let line = line.with_context(|| format!("no {of} app is printed"))?;
            Ok(line.split_whitespace().map(str::to_owned).collect())
        };
        let after = |words: &[String], name: &str| -> Result<String> {
            let at = words.iter().position(|word| word == name);
            let value = at.and_then(|at| words.get(at + 1));
            Ok(value.with_context(|| format!("no {name}"))?.clone())
        };
        let (app, confidential, backend) =
            (words("public")?, words("confidential")?, words("backend")?);
        let pem = std::fs::read(after(&backend, "key")?)?;
        Ok(Self {
            _child: child,
            endpoints: app::discover(&http, &fhir).await?,
            accounts: accounts(&printed),
            app: Client {
                id: after(&app, "client_id")?,
                secret: None,
            },
            confidential: Client {
                id: after(&confidential, "client_id")?,
                secret: Some(after(&confidential, "client_secret")?),
            },
            backend: after(&backend, "client_id")?,
            key: BackendKey::read(&pem, "demo")?,
            system: token(&printed, 1)?,
            public,
            fhir,
            http,
            _directory: directory,
            _database: database,
        })
    }

    /// An account's password.
    pub fn password(&self, username: &str) -> Result<&str> {
        let found = self.accounts.get(username).map(String::as_str);
        found.with_context(|| format!("no sign-in of {username} is printed"))
    }

    /// A launch by somebody of the demonstration.
    pub fn launch<'a>(
        &'a self,
        client: &'a Client,
        username: &'a str,
        scope: &'a str,
    ) -> Result<Launch<'a>> {
        Ok(Launch {
            endpoints: &self.endpoints,
            fhir: &self.fhir,
            client_id: &client.id,
            redirect: REDIRECT,
            scope,
            username,
            password: self.password(username)?,
            patient: None,
            allows: true,
        })
    }

    /// Tokens of a launch of the printed app by Ana.
    pub async fn tokens(&self, scope: &str) -> Result<Tokens> {
        self.launch(&self.app, "ana", scope)?.run().await
    }

    /// Registers an app (RFC 7591).
    pub async fn register(&self, metadata: Value) -> Result<Client> {
        let mut all = json!({"client_name": "Checklist", "redirect_uris": [REDIRECT]});
        if let (Some(all), Value::Object(own)) = (all.as_object_mut(), metadata) {
            all.extend(own);
        }
        let url = format!("{}/auth/register", self.public);
        let request = self.http.post(url).json(&all);
        let made = Answer::read(request.send().await?).await?;
        let made = made.expect(201).context("registration")?.json()?;
        let text = |name: &str| made[name].as_str().map(str::to_owned);
        Ok(Client {
            id: text("client_id").context("no client_id")?,
            secret: text("client_secret"),
        })
    }

    /// An access token of the hospital's backend for a scope, by `private_key_jwt`.
    pub async fn backend(&self, scope: &str) -> Result<String> {
        let now = wall_clock().as_second();
        let (http, endpoints) = (&self.http, &self.endpoints);
        let (id, key) = (&self.backend, &self.key);
        let tokens = app::backend_token(http, endpoints, id, key, scope, now).await?;
        Ok(tokens.access)
    }

    /// A request below the FHIR base.
    pub async fn call(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let mut request = self
            .http
            .request(method, format!("{}/{path}", self.fhir))
            .header("accept", "application/fhir+json");
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/fhir+json")
                .body(body.to_string());
        }
        Answer::read(request.send().await?).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Result<Answer> {
        self.call(token, Method::GET, path, None).await
    }

    pub async fn status(&self, token: &str, path: &str) -> Result<u16> {
        Ok(self.get(token, path).await?.status.as_u16())
    }

    /// Writes a resource as the hospital does.
    pub async fn put(&self, resource: &Value) -> Result<()> {
        let path = reference(resource);
        let answer = self.call(&self.system, Method::PUT, &path, Some(resource));
        let answer = answer.await?;
        ensure!(
            answer.status.is_success(),
            "PUT {path}: {} {}",
            answer.status,
            short(&answer.text)
        );
        Ok(())
    }

    /// Everything that a search finds, over all its pages.
    pub async fn search(&self, token: &str, query: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut next = Some(query.to_owned());
        while let Some(query) = next {
            let page = self.get(token, &query).await?;
            let page = page.expect(200).with_context(|| query.clone())?.json()?;
            all.extend(entries(&page));
            next = next_link(&page);
            next = next.map(|link| {
                link.trim_start_matches(&format!("{}/", self.fhir))
                    .to_owned()
            });
            ensure!(all.len() < 10_000, "{query}: pages without end");
        }
        Ok(all)
    }
}

/// Lines up to the third that can be pasted.
async fn read(output: tokio::process::ChildStdout) -> Result<Vec<String>> {
    let mut lines = BufReader::new(output).lines();
    let mut printed = Vec::new();
    let mut curls = 0;
    while curls < 3 {
        let line = lines.next_line().await?;
        let line = line.context("the demo stopped before it was ready")?;
        curls += u32::from(line.trim_start().starts_with("curl "));
        printed.push(line);
    }
    Ok(printed)
}

/// Usernames and passwords.
fn accounts(printed: &[String]) -> HashMap<String, String> {
    let below = printed
        .iter()
        .skip_while(|line| *line != "Sign-ins")
        .skip(1);
    below
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .collect()
}

/// The bearer token of a line that can be pasted.
fn token(printed: &[String], number: usize) -> Result<String> {
    let mut curls = printed.iter().filter(|line| line.contains("Bearer "));
    let line = curls.nth(number).context("no line to paste")?;
    let (_, rest) = line.split_once("Bearer ").context("no token")?;
    Ok(rest.split('\'').next().unwrap_or_default().to_owned())
}
