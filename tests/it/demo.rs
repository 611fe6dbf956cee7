//! `candor demo`: what it prints works as pasted.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{candor, each_database};

/// The demo's process, ended with the test.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the demo: its process, its port, and what it prints to.
fn spawn() -> (Demo, u16, ChildStdout) {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut child = candor()
        .args(["demo", "--port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let printed = child.stdout.take().unwrap();
    (Demo(child), port, printed)
}

/// Starts the demo and reads what it prints, up to its last curl line.
fn start() -> (Demo, Vec<String>) {
    let (demo, _, printed) = spawn();
    let mut lines = Vec::new();
    let mut curls = 0;
    for line in BufReader::new(printed).lines() {
        let line = line.unwrap();
        curls += usize::from(line.trim_start().starts_with("curl "));
        lines.push(line);
        if curls == 4 {
            break;
        }
    }
    (demo, lines)
}

/// `candor demo | head`: it goes on when nobody reads what it prints.
#[tokio::test]
async fn a_reader_who_goes_away_does_not_end_it() {
    let (mut demo, port, printed) = spawn();
    drop(printed);
    let ready = format!("http://127.0.0.1:{port}/health/ready");
    let mut answered = 0;
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(demo.0.try_wait().unwrap().is_none(), "it ended");
        let answer = reqwest::get(&ready).await;
        answered += usize::from(answer.is_ok_and(|one| one.status() == 200));
        if answered == 30 {
            return;
        }
    }
    panic!("it did not get ready");
}

/// Pastes a line into a shell.
fn paste(line: &str) -> Value {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{line}: {output:?}"))
}

fn ids(bundle: &Value) -> Vec<&str> {
    let mut ids: Vec<&str> = bundle["entry"]
        .as_array()
        .unwrap_or_else(|| panic!("{bundle}"))
        .iter()
        .map(|entry| entry["resource"]["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn the_printed_lines_show_what_is_released_and_why_the_rest_is_not() {
    let (_demo, lines) = start();
    let curls: Vec<&str> = lines
        .iter()
        .map(|line| line.trim_start())
        .filter(|line| line.starts_with("curl "))
        .collect();
    let hers = paste(curls[0]);
    assert_eq!(
        ids(&hers),
        [
            "ana-blood-count",
            "ana-chest-xray",
            "ana-skin-biopsy",
            "ana-urine-tests"
        ]
    );
    assert!(!hers.to_string().contains("ana-held-result"), "{hers}");
    let all = paste(curls[1]);
    assert_eq!(ids(&all).len(), 5);
    assert!(all.to_string().contains("ana-held-result"), "{all}");
    let why = paste(curls[2]).to_string();
    assert!(
        why.contains("R21-KY") && why.contains("KRS 333.152"),
        "{why}"
    );

    // The app that it launches asks with what came.
    let launched = paste(curls[3]);
    assert_eq!(launched["expires_in"], 300, "{launched}");
    let app = lines
        .iter()
        .find(|line| line.trim_start().starts_with("confidential "));
    let client_id = app.unwrap().split_whitespace().nth(2).unwrap();
    let fhir = launched["iss"].as_str().unwrap();
    let authorize = format!(
        "curl -s -o /dev/null -w '{{\"to\": \"%{{redirect_url}}\"}}' -G '{}/auth/authorize' \
         -d response_type=code -d client_id={client_id} -d state=s \
         --data-urlencode 'redirect_uri=http://127.0.0.1:3000/callback' --data-urlencode 'aud={fhir}' \
         --data-urlencode 'scope=launch launch/encounter patient/*.rs' -d launch={} \
         -d code_challenge_method=S256 -d code_challenge={}",
        fhir.strip_suffix("/fhir/r4").unwrap(),
        launched["launch"].as_str().unwrap(),
        "c".repeat(43)
    );
    let to = paste(&authorize)["to"].as_str().unwrap().to_owned();
    assert!(to.contains("/login?request="), "{to}");

    // Every page answers, every sign-in is printed with a password.
    for page in lines
        .iter()
        .filter_map(|line| line.trim_start().strip_prefix("http"))
    {
        let url = format!("http{}", page.split_whitespace().next().unwrap());
        let command = format!("curl -s -o /dev/null -w '%{{http_code}}' '{url}'");
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let status = String::from_utf8(output.stdout).unwrap();
        // Without a session, /apps sends to the sign-in page.
        assert!(
            ["200", "303", "302"].contains(&status.as_str()),
            "{url}: {status}"
        );
    }
    for username in ["ana", "sam", "drlee", "records", "auditor", "admin"] {
        assert!(
            lines
                .iter()
                .any(|line| line.trim_start().starts_with(&format!("{username} "))),
            "{username}"
        );
    }
}

each_database! {
    async fn the_record_shows_each_viewer_what_its_readme_says(server: TestServer) {
        let settings = ::candor::store::PolicySettings {
            jurisdiction: Some("US-KY".to_owned()),
            timezone: "America/Kentucky/Louisville".to_owned(),
            switches: Vec::new(),
        };
        server.app().store.adopt_policy(&settings, &|_| {}).await.unwrap();
        ::candor::cli::demo::load(&server.app().store).await.unwrap();
        let ana = server.patient_token("ana").await;
        let system = server.system_token().await;
        let sam = server.token(
            ::candor::visibility::ViewerClass::Representative,
            Some("RelatedPerson/ana-sam"),
            Some("ana"),
            "patient/*.rs",
        ).await;
        // (resource, Ana sees it, Sam sees it)
        let expected = [
            ("DiagnosticReport/ana-blood-count", true, true),
            ("DiagnosticReport/ana-skin-biopsy", true, true),
            ("DiagnosticReport/ana-chest-xray", true, true),
            ("DiagnosticReport/ana-urine-tests", true, true),
            ("DiagnosticReport/ana-breast-biopsy", false, false),
            ("Observation/ana-hemoglobin", true, true),
            ("Observation/ana-chlamydia", true, false),
            ("Observation/ana-held-result", false, false),
            ("Observation/ana-study-marker", false, false),
            ("DocumentReference/ana-progress-note", true, true),
            ("DocumentReference/ana-discharge-summary", true, true),
            ("DocumentReference/ana-psychiatry-note", true, true),
            ("DocumentReference/ana-psychotherapy-note", false, false),
            ("Encounter/ana-visit", true, true),
            ("Encounter/ana-therapy-visit", true, true),
            ("Patient/ben", false, false),
            ("Observation/ben-glucose", false, false),
        ];
        for (resource, hers, his) in expected {
            let status = |seen| if seen { 200 } else { 404 };
            assert_eq!(server.get(&system, resource).await.0, 200, "system {resource}");
            assert_eq!(server.get(&ana, resource).await.0, status(hers), "Ana {resource}");
            assert_eq!(server.get(&sam, resource).await.0, status(his), "Sam {resource}");
            let (type_name, id) = resource.split_once('/').unwrap();
            let (code, found) = server.get(&ana, &format!("{type_name}?_id={id}&_summary=count")).await;
            assert_eq!((code, &found["total"]), (200, &serde_json::json!(u8::from(hers))), "{resource}");
        }
        let (_, report) = server.get(&ana, "DiagnosticReport/ana-urine-tests").await;
        assert!(!report.to_string().contains("ana-held-result"), "{report}");

        // Where everything comes from, and nothing of what is withheld.
        for type_name in [
            "Patient", "AllergyIntolerance", "Condition", "DiagnosticReport", "DocumentReference",
            "Encounter", "Immunization", "Location", "MedicationRequest", "Observation", "Organization",
            "Practitioner", "RelatedPerson",
        ] {
            let query = format!("{type_name}?_count=100&_revinclude=Provenance:target");
            let (_, bundle) = server.get(&system, &query).await;
            let entries = bundle["entry"].as_array().unwrap();
            let (said, found): (Vec<_>, Vec<_>) =
                entries.iter().partition(|entry| entry["resource"]["resourceType"] == "Provenance");
            assert!(!found.is_empty(), "{type_name}");
            for entry in found {
                let address = format!("\"{type_name}/{}\"", entry["resource"]["id"].as_str().unwrap());
                assert!(said.iter().any(|one| one.to_string().contains(&address)), "{address}");
            }
        }
        let (_, own) = server.get(&ana, "Patient?_revinclude=Provenance:target").await;
        let own = own.to_string();
        assert!(own.contains("\"Provenance\"") && own.contains("ana-hemoglobin"), "{own}");
        for withheld in ["ana-held-result", "ana-psychotherapy-note", "ana-breast-biopsy", "ana-study-marker"] {
            assert!(!own.contains(withheld), "{withheld}");
        }

        // Kentucky's 72 hours, to the millisecond, without any job.
        let released = server.clock().now() + 62 * 3_600_000;
        assert!(server.clock().set(released - 1));
        assert_eq!(server.get(&ana, "DiagnosticReport/ana-breast-biopsy").await.0, 404);
        assert!(server.clock().set(released));
        assert_eq!(server.get(&ana, "DiagnosticReport/ana-breast-biopsy").await.0, 200);
    }
}
