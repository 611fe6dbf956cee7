//! A real `candor serve` with the record of `tests/browser/seed.json`, written by a backend client.

use std::process::Stdio;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::tools::folder;
use crate::letters::Letters;
use crate::support::{Database, TestDatabase};

/// When everything in the record was issued.
pub const T0: &str = "2026-11-10T15:00:00Z";
pub const USERNAME: &str = "ana.ruiz";
pub const PASSWORD: &str = "correct horse battery staple";

/// A server in Kentucky.
#[derive(Debug)]
pub struct Hospital {
    /// `http://127.0.0.1:port`, which is also the origin of its pages.
    pub origin: String,
    pub letters: Letters,
    database: TestDatabase,
    child: Child,
    client: reqwest::Client,
}

impl Hospital {
    /// Starts the server with its clock at [`T0`], writes the record, makes Ana's account.
    pub async fn open(database: Database) -> Self {
        let database = TestDatabase::create(database).await;
        let letters = Letters::default();
        let mut child = command(&database.url, &["serve", "--test-clock"])
            .env("CANDOR_BIND", "127.0.0.1:0")
            .env("CANDOR_JURISDICTION", "US-KY")
            .env("CANDOR_SECOND_FACTOR", "optional")
            .env("CANDOR_LOG", "info")
            .env(
                "CANDOR_MAIL_URL",
                format!("file://{}", letters.folder.path().display()),
            )
            .env(
                "CANDOR_MAIL_FROM",
                "Valley Hospital <noreply@valley.example>",
            )
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let origin = loop {
            let Some(line) = lines.next_line().await.unwrap() else {
                panic!("candor serve ended:\n{}", said.join("\n"));
            };
            // The line that says "serving" has the public URL.
            if let Some((_, rest)) = line.split_once("http://127.0.0.1:")
                && line.contains("serving")
            {
                let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                break format!("http://127.0.0.1:{port}");
            }
            said.push(line);
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let hospital = Self {
            origin,
            letters,
            database,
            child,
            client: reqwest::Client::new(),
        };
        hospital.clock(T0).await;
        hospital.write_record().await;
        hospital
            .add_user(USERNAME, "--role patient --patient ana")
            .await;
        hospital
    }

    /// Stops in good order, and the database goes.
    pub async fn close(mut self) {
        let pid = self.child.id().unwrap().to_string();
        // The shell's own kill: there is always a shell.
        let mut ask = Command::new("sh");
        let asked = ask
            .args(["-c", "kill \"$0\"", &pid])
            .status()
            .await
            .unwrap();
        assert!(asked.success());
        assert!(self.child.wait().await.unwrap().success());
        self.database.drop().await;
    }

    pub fn fhir(&self) -> String {
        format!("{}/fhir/r4", self.origin)
    }

    /// Sets the server's time.
    pub async fn clock(&self, now: &str) {
        let url = format!("{}/_test/clock", self.origin);
        let answer = self.client.put(url).json(&json!({"now": now})).send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }

    /// An activation code for a patient, from the EHR, and the link with it.
    pub async fn activation_code(&self, patient: &str) -> (String, String) {
        let backend = Backend::register(self, "__activation-codes").await;
        let token = backend.token(self, "__activation-codes").await;
        let url = format!("{}/ehr/activation-codes", self.origin);
        let body = json!({"patient": patient});
        let answer = self
            .client
            .post(url)
            .bearer_auth(token)
            .json(&body)
            .send()
            .await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        let text = |key: &str| answer[key].as_str().unwrap().to_owned();
        (text("code"), text("link"))
    }

    /// `candor client add` for a public app: its `client_id`.
    pub async fn add_app(&self, name: &str, redirect_uris: &[&str], scope: &str) -> String {
        let mut arguments = vec![
            "client", "add", "--name", name, "--type", "public", "--scope", scope,
        ];
        for uri in redirect_uris {
            // Where people come back to, however they left.
            arguments.extend(["--redirect-uri", uri, "--post-logout-redirect-uri", uri]);
        }
        let printed: Value = serde_json::from_str(&self.run(&arguments, "").await).unwrap();
        printed["client_id"].as_str().unwrap().to_owned()
    }

    /// `candor client describe`: what people are told of an app.
    pub async fn describe_app(&self, client_id: &str, told: &[&str]) {
        // An id may begin with a hyphen.
        let client_id = format!("--client-id={client_id}");
        let mut arguments = vec!["client", "describe", &client_id];
        arguments.extend(told);
        self.run(&arguments, "").await;
    }

    /// `candor client add` for an app that staff open.
    pub async fn add_launched_app(&self, name: &str, address: &str) {
        let arguments = [
            "client",
            "add",
            "--name",
            name,
            "--type",
            "public",
            "--scope",
            "launch user/*.rs",
            "--redirect-uri",
            address,
            "--launch-uri",
            address,
        ];
        self.run(&arguments, "").await;
    }

    /// `candor user add` with [`PASSWORD`]; `more` are the other arguments.
    pub async fn add_user(&self, username: &str, more: &str) {
        let mut arguments = vec!["user", "add", "--username", username];
        arguments.extend(more.split_ascii_whitespace());
        self.run(&arguments, &format!("{PASSWORD}\n")).await;
    }

    /// `candor client add` for an app with a secret: id and secret.
    pub async fn add_confidential_app(&self, redirect: &str, scope: &str) -> (String, String) {
        let arguments = [
            "client",
            "add",
            "--name",
            "Server app",
            "--type",
            "confidential",
            "--scope",
            scope,
            "--redirect-uri",
            redirect,
        ];
        let printed: Value = serde_json::from_str(&self.run(&arguments, "").await).unwrap();
        let text = |name: &str| printed[name].as_str().unwrap().to_owned();
        (text("client_id"), text("client_secret"))
    }

    /// What an EHR does when somebody opens an app in it: the launch token.
    pub async fn launch(&self, what: Value) -> String {
        let backend = Backend::register(self, "launch system/Patient.r").await;
        let answer = self
            .client
            .post(format!("{}/auth/launch", self.origin))
            .bearer_auth(backend.token(self, "launch").await)
            .json(&what)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        let made: Value = answer.json().await.unwrap();
        made["launch"].as_str().unwrap().to_owned()
    }

    async fn write_record(&self) {
        let bundle = std::fs::read_to_string(folder().join("seed.json")).unwrap();
        let backend = Backend::register(self, "system/*.cruds").await;
        let token = backend.token(self, "system/*.cruds").await;
        let answer = self
            .client
            .post(self.fhir())
            .bearer_auth(token)
            .header("content-type", "application/fhir+json")
            .body(bundle)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let body = answer.text().await.unwrap();
        assert_eq!(status, 200, "{body}");
    }

    async fn run(&self, arguments: &[&str], input: &str) -> String {
        let mut child = command(&self.database.url, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "candor {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A system with a key (SMART Backend Services).
pub struct Backend {
    pub client_id: String,
    /// PKCS #8, DER.
    pub key: Vec<u8>,
    /// The public half.
    pub jwk: Value,
}

impl Backend {
    /// `candor client add`.
    pub async fn register(hospital: &Hospital, scope: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let jwk = json!({
            "kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": "feed",
            "key_ops": ["verify"],
            "x": BASE64.encode(&point[1..49]), "y": BASE64.encode(&point[49..]),
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json!({"keys": [jwk]}).to_string()).unwrap();
        let arguments = [
            "client",
            "add",
            "--name",
            "Feed",
            "--type",
            "backend",
            "--jwks",
            file.path().to_str().unwrap(),
            "--scope",
            scope,
        ];
        let printed: Value = serde_json::from_str(&hospital.run(&arguments, "").await).unwrap();
        Self {
            client_id: printed["client_id"].as_str().unwrap().to_owned(),
            key: pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            jwk,
        }
    }

    /// `d` of the private JWK: of SEC 1's ECPrivateKey inside, what follows `04 30`.
    pub fn private(&self) -> String {
        let start = self
            .key
            .windows(2)
            .position(|pair| pair == [0x04, 0x30])
            .unwrap()
            + 2;
        BASE64.encode(&self.key[start..start + 48])
    }

    /// A token, by a signed assertion.
    pub async fn token(&self, hospital: &Hospital, scope: &str) -> String {
        let url = format!("{}/auth/token", hospital.origin);
        let now = T0.parse::<Timestamp>().unwrap().as_second();
        let mut header = Header::new(Algorithm::ES384);
        header.kid = Some("feed".to_owned());
        let claims = json!({
            "iss": self.client_id, "sub": self.client_id, "aud": url, "iat": now,
            "exp": now + 240, "jti": uuid::Uuid::new_v4().to_string(),
        });
        let key = EncodingKey::from_ec_der(&self.key);
        let assertion = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &assertion),
        ];
        let answer = hospital.client.post(url).form(&form).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        let token = body["access_token"].as_str();
        token.unwrap_or_else(|| panic!("{body}")).to_owned()
    }
}

/// The real program, with nothing configured but the database.
fn command(database_url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candor"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CANDOR_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .env("CANDOR_DATABASE_URL", database_url)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}
