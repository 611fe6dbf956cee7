//! Who looks at the demonstration: accounts, apps, and tokens for lines to paste.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64_URL};
use serde_json::json;

use super::data;
use crate::app::Server;
use crate::clock::Millis;
use crate::config::SandboxPatient;
use crate::smart::clients::{
    self, ClientKeys, ClientKind, ClientOptions, NewClient, RegisteredClient,
};
use crate::smart::direct::{self, DirectGrant};
use crate::smart::users::{self, NewRecord, NewUser, Role};
use crate::visibility::ViewerClass;

/// Life of the tokens in the curl lines.
const TOKEN_LIFE: Millis = 12 * 3_600_000;
/// Where a person's app would be.
const REDIRECT_URI: &str = "http://127.0.0.1:3000/callback";
/// Where an EHR would open it.
const LAUNCH_URI: &str = "http://127.0.0.1:3000/launch";
/// Of an app for patients and, opened from a chart, for clinicians.
const LAUNCHED_SCOPE: &str =
    "openid fhirUser launch launch/patient launch/encounter offline_access patient/*.rs user/*.rs";
const PATIENT_SCOPE: &str = "openid fhirUser launch/patient offline_access patient/*.rs";

/// An account and its password, which exists as long as the demonstration.
#[derive(Clone, Debug)]
pub struct Account {
    pub username: &'static str,
    pub password: String,
    /// Who it is, as printed.
    pub who: &'static str,
}

/// Everybody who looks, and everything they need.
#[derive(Clone, Debug)]
pub struct People {
    pub accounts: Vec<Account>,
    /// An app without a secret.
    pub public: RegisteredClient,
    /// An app with one.
    pub confidential: RegisteredClient,
    /// The hospital's own system.
    pub backend: RegisteredClient,
    /// Private key of the backend, PKCS #8 in PEM.
    pub key_file: PathBuf,
    /// Token of Ana's app.
    pub patient_token: String,
    /// Token of the hospital's system.
    pub system_token: String,
    /// Token of the auditor.
    pub auditor_token: String,
    /// Token with which the hospital's system launches apps.
    pub launch_token: String,
}

impl People {
    /// Loads the record and registers everybody.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle(server: &Server, directory: &Path) -> anyhow::Result<Self> {
        let store = &server.app().store;
        data::load(store).await?;
        let accounts = accounts(server).await?;
        let app = |name: &str, kind, keys, scope: &str| NewClient {
            client_id: None,
            name: name.to_owned(),
            kind,
            redirect_uris: if kind == ClientKind::Backend {
                Vec::new()
            } else {
                vec![REDIRECT_URI.to_owned()]
            },
            keys,
            scope: scope.to_owned(),
            class: ViewerClass::System,
            person: None,
            options: ClientOptions {
                introspects: kind == ClientKind::Backend,
                launch_uri: (kind == ClientKind::Confidential).then(|| LAUNCH_URI.to_owned()),
                ..ClientOptions::default()
            },
        };
        let public = clients::add(
            store,
            app("My Health Journal", ClientKind::Public, None, PATIENT_SCOPE),
        )
        .await?;
        let confidential = clients::add(
            store,
            app(
                "Care Companion",
                ClientKind::Confidential,
                None,
                LAUNCHED_SCOPE,
            ),
        )
        .await?;
        let (key_file, jwks) = new_key(directory)?;
        let backend = clients::add(
            store,
            app(
                "Laboratory feed",
                ClientKind::Backend,
                Some(ClientKeys::Value(jwks)),
                "launch __activation-codes system/*.cruds",
            ),
        )
        .await?;
        let smart = server.app().smart().await?;
        let patient_token = direct::issue(
            &smart,
            &DirectGrant {
                client_id: &public.client_id,
                username: Some("ana"),
                class: ViewerClass::Patient,
                person: Some("Patient/ana"),
                patient: Some("ana"),
                scope: PATIENT_SCOPE,
                life: TOKEN_LIFE,
            },
        )
        .await?;
        let for_backend = |class| DirectGrant {
            client_id: &backend.client_id,
            username: None,
            class,
            person: None,
            patient: None,
            scope: "system/*.cruds",
            life: TOKEN_LIFE,
        };
        let system_token = direct::issue(&smart, &for_backend(ViewerClass::System)).await?;
        let auditor_token = direct::issue(&smart, &for_backend(ViewerClass::Auditor)).await?;
        let launcher = DirectGrant {
            scope: "launch",
            ..for_backend(ViewerClass::System)
        };
        let launch_token = direct::issue(&smart, &launcher).await?;
        Ok(Self {
            accounts,
            public,
            confidential,
            backend,
            key_file,
            patient_token,
            system_token,
            auditor_token,
            launch_token,
        })
    }

    /// The three lines to paste, each with what it shows.
    #[must_use]
    pub fn curl_lines(&self, server: &Server) -> [(&'static str, String); 3] {
        let fhir = server.app().store.base();
        let line = |token: &str, path: &str| {
            format!("curl -s -H 'Authorization: Bearer {token}' '{fhir}/{path}'")
        };
        let search = "DiagnosticReport?patient=ana&_elements=code,issued,result,conclusion";
        [
            (
                "What Ana's app gets: her reports, without the biopsy that Kentucky law delays and without the held result",
                line(&self.patient_token, search),
            ),
            (
                "What the hospital's own system gets: all of them",
                line(&self.system_token, search),
            ),
            (
                "Why the biopsy is held back, until when, and by which law",
                line(
                    &self.auditor_token,
                    "DiagnosticReport/ana-breast-biopsy/$release-decision?viewer=patient",
                ),
            ),
        ]
    }

    /// What an EHR asks when Dr. Lee opens the confidential app from Ana's chart.
    fn launch_line(&self, server: &Server) -> String {
        let body = json!({
            "client_id": self.confidential.client_id,
            "user": "drlee",
            "patient": "ana",
            "encounter": "ana-visit",
        });
        format!(
            "curl -s -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' -d '{body}' '{}/auth/launch'",
            self.launch_token,
            server.app().public_url
        )
    }

    /// What `candor demo` prints.
    #[must_use]
    pub fn text(&self, server: &Server) -> String {
        let public = &*server.app().public_url;
        let fhir = server.app().store.base();
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "Candor is serving a fictional hospital's record. It is gone when you stop it (Ctrl-C)."
        );
        let _ = writeln!(text, "\nPages");
        for (path, what) in [
            (format!("{public}/login"), "sign in"),
            (
                format!("{public}/apps"),
                "the apps that may see a record, after signing in",
            ),
            (format!("{fhir}/metadata"), "what the FHIR API can do"),
            (
                format!("{fhir}/.well-known/smart-configuration"),
                "where apps find everything else",
            ),
            (format!("{public}/metrics"), "figures for Prometheus"),
        ] {
            let _ = writeln!(text, "  {path:<62} {what}");
        }
        let _ = writeln!(text, "\nSign-ins");
        for account in &self.accounts {
            let _ = writeln!(
                text,
                "  {:<8} {:<24} {}",
                account.username, account.password, account.who
            );
        }
        let _ = writeln!(
            text,
            "  Passwords are enough here. `candor serve` asks clinicians, staff, auditors, developers and administrators for a\n  second factor; set one up under {public}/security to see it."
        );
        let _ = writeln!(text, "\nApps (redirect URI {REDIRECT_URI})");
        let _ = writeln!(text, "  public        client_id {}", self.public.client_id);
        let _ = writeln!(
            text,
            "  confidential  client_id {}  client_secret {}",
            self.confidential.client_id,
            self.confidential
                .client_secret
                .as_deref()
                .unwrap_or_default()
        );
        let _ = writeln!(
            text,
            "  backend       client_id {}  ES384 key {}  (it may launch apps and issue activation codes too)",
            self.backend.client_id,
            self.key_file.display()
        );
        let _ = writeln!(text, "\nTo paste (these tokens live for 12 hours)");
        for (what, line) in self.curl_lines(server) {
            let _ = writeln!(text, "\n  # {what}\n  {line}");
        }
        let _ = writeln!(
            text,
            "\n  # A launch of the confidential app from Ana's chart, by Dr. Lee: open {LAUNCH_URI} with iss and launch of the answer\n  {}",
            self.launch_line(server)
        );
        text
    }
}

/// Whom developers may sign in as, told at `/developers`.
///
/// # Errors
/// When there is no randomness.
pub fn sandbox() -> anyhow::Result<Vec<SandboxPatient>> {
    let one = |name: &str, username: &str, about: &str| -> anyhow::Result<SandboxPatient> {
        Ok(SandboxPatient {
            name: name.to_owned(),
            username: username.to_owned(),
            password: password()?,
            about: about.to_owned(),
        })
    };
    Ok(vec![
        one(
            "Ana Ruiz",
            "ana",
            "A patient: a report that Kentucky law delays, a result that is held, and all the rest at once.",
        )?,
        one(
            "Sam Ruiz",
            "sam",
            "Her husband, who acts for her: a representative's view of the same record.",
        )?,
    ])
}

async fn accounts(server: &Server) -> anyhow::Result<Vec<Account>> {
    let record = |related: Option<&str>| NewRecord {
        patient: "ana".to_owned(),
        related_person: related.map(ToOwned::to_owned),
        name: "Ana Ruiz".to_owned(),
    };
    let people = [
        (
            "ana",
            "Ana Ruiz",
            Role::Patient,
            vec![record(None)],
            None,
            "Ana Ruiz, patient",
        ),
        (
            "sam",
            "Sam Ruiz",
            Role::Representative,
            vec![record(Some("ana-sam"))],
            None,
            "Sam Ruiz, her husband and proxy",
        ),
        (
            "drlee",
            "Dr. Grace Lee",
            Role::Clinician,
            Vec::new(),
            Some("dr-lee"),
            "Dr. Grace Lee, clinician",
        ),
        (
            "records",
            "Ruth Vale",
            Role::Staff,
            Vec::new(),
            Some("records-office"),
            "Ruth Vale, records office",
        ),
        (
            "auditor",
            "Auditor",
            Role::Auditor,
            Vec::new(),
            None,
            "auditor",
        ),
        (
            "dev",
            "Developer",
            Role::Developer,
            Vec::new(),
            None,
            "developer of apps, at /developers",
        ),
        (
            "admin",
            "Administrator",
            Role::Admin,
            Vec::new(),
            None,
            "administrator",
        ),
    ];
    let mut accounts = Vec::new();
    for (username, name, role, records, practitioner, who) in people {
        // Those whom the developers' pages show everybody have their passwords already.
        let shown = server.app().config.smart.sandbox_patients.iter();
        let password = match shown.into_iter().find(|one| one.username == username) {
            Some(shown) => shown.password.clone(),
            None => password()?,
        };
        let new = NewUser {
            username: username.to_owned(),
            name: name.to_owned(),
            role,
            password: password.clone(),
            practitioner: practitioner.map(ToOwned::to_owned),
            records,
        };
        users::add(&server.app().store, new).await?;
        accounts.push(Account {
            username,
            password,
            who,
        });
    }
    Ok(accounts)
}

/// Letters that are not mistaken for others, in groups: `kfhr-wxtp-mcvd-qzns`, 64 bits.
fn password() -> anyhow::Result<String> {
    const LETTERS: &[u8; 16] = b"bcdfghjkmnpqrstv";
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .ok()
        .context("no randomness")?;
    let mut password = String::new();
    for (at, byte) in bytes.into_iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            password.push('-');
        }
        let letter = LETTERS.get(usize::from(byte & 15)).copied().unwrap_or(b'b');
        password.push(char::from(letter));
    }
    Ok(password)
}

/// A key pair for `private_key_jwt`: the private half in a file, the public half as a JWK Set.
fn new_key(directory: &Path) -> anyhow::Result<(PathBuf, String)> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &SystemRandom::new())
        .ok()
        .context("no key could be made")?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8.as_ref())
        .ok()
        .context("no key could be made")?;
    // An uncompressed point: 4, x, y (SEC 1, 2.3.3).
    let point = pair.public_key().as_ref();
    let half = (point.len() - 1) / 2;
    let coordinate =
        |from: usize| BASE64_URL.encode(point.get(from..from + half).unwrap_or_default());
    let jwks = json!({"keys": [{
        "kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": "demo",
        "x": coordinate(1), "y": coordinate(1 + half),
    }]});
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let encoded = BASE64.encode(pkcs8.as_ref());
    for line in encoded.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    let file = directory.join("backend-key.pem");
    std::fs::write(&file, pem)?;
    Ok((file, jwks.to_string()))
}
