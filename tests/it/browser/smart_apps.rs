//! SMART apps that others wrote, launched alone and from an EHR, public and with a secret: the person uses
//! the real pages in chromium.

use std::process::Stdio;

use candor::clock::Clock;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use url::Url;

use super::app::AppServer;
use super::chromium::{Chromium, Scripts, browse};
use super::hospital::{Backend, Hospital, PASSWORD};
use super::pages::{ALLOW, ask_app, sign_in, sign_in_to_connect, wait_for_consent};
use super::shown;
use super::tools::{Tools, folder, python};
use crate::support::Database;

const CLINICIAN: &str = "dr.lee";
const ALONE: &str = "openid fhirUser launch/patient offline_access patient/*.rs";
const FROM_EHR: &str = "openid fhirUser launch offline_access patient/*.rs";
/// What of Ana's reports her doctor sees: her doctor may see what she does not see yet.
const ANA_S: [&str; 3] = ["blood-count", "chest-xray", "mri-knee"];

fn address(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse(path).unwrap();
    url.query_pairs_mut().extend_pairs(pairs);
    url.into()
}

/// The doctor opens an app from Ana's chart: signs in (an EHR's sign-in is not ours) and allows.
async fn sign_in_as_doctor(chromium: &Chromium, hospital: &Hospital) {
    let login = format!("{}/login", hospital.origin);
    chromium.wait_for_address(&login).await;
    sign_in(chromium, CLINICIAN, PASSWORD).await;
    wait_for_consent(chromium, &hospital.origin).await;
    chromium.press(ALLOW).await;
}

async fn with_doctor(database: Database) -> Hospital {
    let hospital = Hospital::open(database).await;
    let more = "--role clinician --practitioner lee";
    hospital.add_user(CLINICIAN, more).await;
    hospital
}

fn chart(client_id: &str) -> Value {
    json!({
        "client_id": client_id, "user": "Practitioner/lee", "patient": "ana",
        "encounter": "visit", "need_patient_banner": false,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fhirclient_is_launched_from_an_ehr() {
    let Some(tools) = Tools::find() else { return };
    let hospital = with_doctor(Database::Sqlite).await;
    let app = AppServer::start(&tools).await;
    let redirect = app.url("/journal.html");
    let client_id = hospital.add_app("Journal", &[&redirect], FROM_EHR).await;
    let launch = hospital.launch(chart(&client_id)).await;
    let there = address(
        &app.url("/launch.html"),
        &[
            ("iss", &hospital.fhir()),
            ("launch", &launch),
            ("client_id", &client_id),
            ("scope", FROM_EHR),
        ],
    );
    browse(&tools, Scripts::On, async |chromium| {
        chromium.client.goto(&there).await.unwrap();
        sign_in_as_doctor(chromium, &hospital).await;
        chromium.wait_for_address(&redirect).await;
        let record = shown(chromium).await;
        assert!(
            record.contains(&"DiagnosticReport/biopsy".to_owned()),
            "{record:?}"
        );
        assert!(
            !record.iter().any(|one| one.ends_with("-of-ben")),
            "{record:?}"
        );
        let identity = ask_app(chromium, "Promise.resolve(journal.identity())").await;
        assert_eq!(identity["patient"], "ana");
        let user = identity["user"].as_str().unwrap();
        assert!(user.ends_with("Practitioner/lee"), "{identity}");
        // The launch was good once: the doctor is told to go back to the chart, or to the app.
        chromium.client.goto(&there).await.unwrap();
        let authorize = format!("{}/auth/authorize", hospital.origin);
        chromium.wait_for_address(&authorize).await;
        chromium.click("main a").await;
        chromium.wait_for_address(&redirect).await;
        let state = chromium.wait_for("#state[data-state=failed]").await;
        drop(state);
    })
    .await;
    hospital.close().await;
}

/// An app in a process of its own that says where it is.
struct Running {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
    hears: ChildStdin,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            says: BufReader::new(child.stdout.take().unwrap()).lines(),
            hears: child.stdin.take().unwrap(),
            child,
        }
    }

    async fn line(&mut self) -> String {
        self.says.next_line().await.unwrap().unwrap()
    }
}

/// The app on a server needs its client before it starts, and the client the app's address.
async fn start_server_app(
    tools: &Tools,
    hospital: &Hospital,
    scope: &str,
) -> (Running, String, String) {
    // `app` is found from where the package is.
    let own = std::fs::read(folder().join("apps/server.mjs")).unwrap();
    let script = tools
        .modules
        .join(format!("server-{}.mjs", std::process::id()));
    std::fs::write(&script, own).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let origin = format!("http://localhost:{port}");
    let redirect = format!("{origin}/app");
    let (client_id, secret) = hospital.add_confidential_app(&redirect, scope).await;
    let mut app = Running::start(
        Command::new(&tools.node)
            .arg(&script)
            .env("PORT", port.to_string())
            .env("CLIENT_ID", &client_id)
            .env("CLIENT_SECRET", secret)
            .env("SCOPE", scope),
    );
    assert_eq!(app.line().await, origin);
    (app, client_id, origin)
}

/// The app shows what its server read; no script runs in the browser.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fhirclient_on_a_server_keeps_its_secret() {
    let Some(tools) = Tools::find() else { return };
    let hospital = with_doctor(Database::Sqlite).await;
    let lines = async |chromium: &Chromium| -> Vec<String> {
        chromium.wait_for("#shown").await;
        let text = chromium.text("#shown").await;
        text.lines().map(str::to_owned).collect()
    };
    for scripts in [Scripts::Off, Scripts::On] {
        let (_app, _, origin) = start_server_app(&tools, &hospital, ALONE).await;
        browse(&tools, scripts, async |chromium| {
            let there = address(&format!("{origin}/launch"), &[("iss", &hospital.fhir())]);
            chromium.client.goto(&there).await.unwrap();
            sign_in_to_connect(chromium, &hospital.origin).await;
            chromium.press(ALLOW).await;
            let shown = lines(chromium).await;
            assert_eq!(shown[0], "patient ana");
            assert!(shown[1].ends_with("Patient/ana"), "{shown:?}");
            let reports: Vec<String> = ANA_S
                .iter()
                .map(|id| format!("DiagnosticReport/{id}"))
                .collect();
            assert_eq!(shown[3..], reports);
        })
        .await;
    }
    let (_app, client_id, origin) = start_server_app(&tools, &hospital, FROM_EHR).await;
    let launch = hospital.launch(chart(&client_id)).await;
    browse(&tools, Scripts::Off, async |chromium| {
        let there = address(
            &format!("{origin}/launch"),
            &[("iss", &hospital.fhir()), ("launch", &launch)],
        );
        chromium.client.goto(&there).await.unwrap();
        sign_in_as_doctor(chromium, &hospital).await;
        let shown = lines(chromium).await;
        assert_eq!(shown[0], "patient ana");
        assert!(shown[1].ends_with("Practitioner/lee"), "{shown:?}");
        assert_eq!(shown[2], "encounter visit");
        assert!(
            shown.contains(&"DiagnosticReport/biopsy".to_owned()),
            "{shown:?}"
        );
    })
    .await;
    hospital.close().await;
}

/// The Python library, public and with a secret, alone and from an EHR; scripts on and off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fhirclient_of_python_reads_and_refreshes() {
    let Some(tools) = Tools::find() else { return };
    let Some(programs) = python() else { return };
    let hospital = with_doctor(Database::Sqlite).await;
    // Nothing answers there: the browser's address is what the app wants.
    let redirect = "http://127.0.0.1:9/back";
    for (is_public, is_alone, scripts) in [
        (true, true, Scripts::On),
        (false, true, Scripts::Off),
        (true, false, Scripts::Off),
        (false, false, Scripts::On),
    ] {
        let scope = if is_alone { ALONE } else { FROM_EHR };
        let (client_id, secret) = if is_public {
            (
                hospital.add_app("Python app", &[redirect], scope).await,
                None,
            )
        } else {
            let (id, secret) = hospital.add_confidential_app(redirect, scope).await;
            (id, Some(secret))
        };
        let mut command = Command::new(programs.join("python"));
        command
            .arg(folder().join("apps/standalone.py"))
            .env("CLIENT_ID", &client_id)
            .env("FHIR_BASE", hospital.fhir())
            .env("REDIRECT_URI", redirect)
            // The library adds the launch scope by itself.
            .env("SCOPE", "openid fhirUser offline_access patient/*.rs");
        if let Some(secret) = secret {
            command.env("CLIENT_SECRET", secret);
        }
        if !is_alone {
            command.env("LAUNCH", hospital.launch(chart(&client_id)).await);
        }
        let mut app = Running::start(&mut command);
        let there = app.line().await;
        browse(&tools, scripts, async |chromium| {
            chromium.client.goto(&there).await.unwrap();
            if is_alone {
                sign_in_to_connect(chromium, &hospital.origin).await;
                chromium.click("#long-yes").await;
                chromium.press(ALLOW).await;
            } else {
                let login = format!("{}/login", hospital.origin);
                chromium.wait_for_address(&login).await;
                sign_in(chromium, CLINICIAN, PASSWORD).await;
                wait_for_consent(chromium, &hospital.origin).await;
                chromium.click("#long-yes").await;
                chromium.press(ALLOW).await;
            }
            chromium.wait_for_address(redirect).await;
            let back = chromium.client.current_url().await.unwrap();
            app.hears
                .write_all(format!("{back}\n").as_bytes())
                .await
                .unwrap();
        })
        .await;
        let found: Value = serde_json::from_str(&app.line().await).unwrap();
        assert!(app.child.wait().await.unwrap().success());
        assert_eq!(found["patient"], "ana");
        assert_eq!(
            (&found["refreshed"], &found["again"]),
            (&json!(true), &json!("ana"))
        );
        let reports = found["reports"].as_array().unwrap();
        if is_alone {
            assert_eq!(*reports, ANA_S);
        } else {
            assert!(reports.contains(&json!("biopsy")), "{found}");
            assert!(!reports.contains(&json!("blood-count-of-ben")), "{found}");
        }
    }
    hospital.close().await;
}

/// What research and quality departments run: a backend with a key that crawls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smart_fetch_crawls_by_backend_services() {
    let Some(programs) = python() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    // The program's assertions have the time of today.
    let today = Timestamp::from_millisecond(Clock::system().now()).unwrap();
    hospital.clock(&today.to_string()).await;
    let backend = Backend::register(&hospital, "system/*.rs").await;
    let folder = tempfile::tempdir().unwrap();
    let mut jwk = backend.jwk.clone();
    jwk["d"] = backend.private().into();
    jwk["key_ops"] = json!(["sign"]);
    let keys = folder.path().join("feed.jwks");
    std::fs::write(&keys, json!({"keys": [jwk]}).to_string()).unwrap();
    let out = folder.path().join("out");
    let output = Command::new(programs.join("smart-fetch"))
        .args(["crawl", "--no-compression", "--id-list", "ana,ben"])
        .args(["--type", "Patient,DiagnosticReport,Observation,Encounter"])
        .args([
            "--fhir-url",
            &hospital.fhir(),
            "--smart-client-id",
            &backend.client_id,
        ])
        .arg("--smart-key")
        .arg(&keys)
        .arg(&out)
        .output()
        .await
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    let mut found = std::collections::BTreeMap::<String, Vec<String>>::new();
    for file in std::fs::read_dir(&out).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "ndjson") {
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let resource: Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
                found
                    .entry(text("resourceType"))
                    .or_default()
                    .push(text("id"));
            }
        }
    }
    found.values_mut().for_each(|ids| ids.sort());
    assert_eq!(found["Patient"], ["ana", "ben"], "{said}");
    assert_eq!(found["Encounter"], ["visit", "visit-of-ben"]);
    // A backend of the hospital gets all of it, released or not.
    assert_eq!(found["DiagnosticReport"].len(), 7, "{found:?}");
    assert_eq!(found["Observation"].len(), 7, "{found:?}");
    hospital.close().await;
}
