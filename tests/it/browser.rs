//! Apps and people in a real browser: the npm `fhirclient` library as a SMART app in chromium,
//! against `candor serve` as it is delivered.

mod accounts;
mod app;
mod chromium;
mod covered;
mod hospital;
mod keyboard;
mod long_words;
mod oauth_app;
mod own_pages;
mod pages;
mod passkeys;
mod plain;
mod refused;
mod smart_apps;
mod spanish;
mod tools;

use std::collections::BTreeMap;

use fantoccini::Locator;
use serde_json::{Value, json};
use url::Url;

use crate::support::Database;
use app::AppServer;
use chromium::{Chromium, Scripts, browse};
use hospital::{Hospital, PASSWORD, USERNAME};
use oauth_app::OauthApp;
use pages::{
    ALLOW, DENY, SEND, ask_app, breaches, judge, kept_to_itself, query, sign_in,
    sign_in_to_connect, ticked, wait_for_consent,
};
use tools::Tools;

const SCOPE: &str = "openid fhirUser launch/patient offline_access patient/*.rs";

/// What `tests/browser/seed.json` holds back from Ana: a psychotherapy note, a result that Kentucky
/// delays, two that a clinician holds, what belongs to a study, and what is somebody else's.
const DELAYED: [&str; 2] = ["DiagnosticReport/biopsy", "Observation/biopsy-finding"];
const WITHHELD: [&str; 8] = [
    "DocumentReference/therapy",
    "DiagnosticReport/held",
    "Observation/held-value",
    "DiagnosticReport/trial-mri",
    "Observation/trial-value",
    "DiagnosticReport/blood-count-of-ben",
    "Observation/hemoglobin-of-ben",
    "Encounter/visit-of-ben",
];
const RELEASED: [&str; 8] = [
    "DiagnosticReport/blood-count",
    "DiagnosticReport/chest-xray",
    "DiagnosticReport/mri-knee",
    "DocumentReference/progress",
    "Encounter/visit",
    "Observation/hematocrit",
    "Observation/hemoglobin",
    "Observation/platelets",
];

/// The references that the app shows, in order of their text.
async fn shown(chromium: &Chromium) -> Vec<String> {
    chromium.wait_for("#state[data-state=ready]").await;
    let mut shown = Vec::new();
    let items = Locator::Css("#record li");
    for item in chromium.client.find_all(items).await.unwrap() {
        shown.push(item.attr("data-reference").await.unwrap().unwrap());
    }
    shown.sort();
    shown
}

/// The app asks for what it should not get in every way that names it.
async fn assert_absent(chromium: &Chromium, reference: &str) {
    let get = async |path: &str| ask_app(chromium, &format!("journal.get({})", json!(path))).await;
    let (kind, id) = reference.split_once('/').unwrap();
    let unknown = get(&format!("{kind}/there-is-no-such-id")).await;
    assert_eq!(unknown["status"], 404, "{unknown}");
    for path in [reference.to_owned(), format!("{reference}/_history/1")] {
        let answer = get(&path).await;
        assert_eq!(answer["status"], 404, "{path}: {answer}");
    }
    assert_eq!(get(reference).await, unknown, "{reference}");
    for path in [
        format!("{kind}?_id={id}"),
        format!("{kind}?patient=ana&_count=100"),
        "Patient?_id=ana&_revinclude=DiagnosticReport:patient&_revinclude=Observation:patient\
         &_revinclude=DocumentReference:patient&_revinclude=Encounter:patient"
            .to_owned(),
        "DiagnosticReport?patient=ana&_include=DiagnosticReport:result&_count=100".to_owned(),
        format!("{kind}/_history?_count=100"),
    ] {
        let answer = get(&path).await;
        assert_eq!(answer["status"], 200, "{path}: {answer}");
        // In no body, not even in a link or a reference.
        let body = answer["body"].as_str().unwrap();
        assert!(!body.contains(&format!("{reference}\"")), "{path}: {body}");
        assert!(!body.contains(&format!("/{reference}/")), "{path}: {body}");
    }
    let counted = get(&format!("{kind}?_id={id}&_summary=count")).await;
    let counted: Value = serde_json::from_str(counted["body"].as_str().unwrap()).unwrap();
    assert_eq!(counted["total"], 0, "{reference}: {counted}");
}

async fn assert_there(chromium: &Chromium, reference: &str) {
    let code = format!("journal.get({})", json!(reference));
    let answer = ask_app(chromium, &code).await;
    assert_eq!(answer["status"], 200, "{reference}: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fhirclient_app_gets_what_is_released_on_sqlite() {
    fhirclient_app_gets_what_is_released(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fhirclient_app_gets_what_is_released_on_postgres() {
    if Database::Postgres.is_there() {
        fhirclient_app_gets_what_is_released(Database::Postgres).await;
    }
}

/// Shows what is typed, and hides it again.
async fn look_at_the_password(chromium: &Chromium) {
    const SHOW: &str = "button[aria-pressed]";
    chromium.type_into("#password", "open sesame").await;
    let state = async || {
        let script = "
            const button = document.querySelector('button[aria-pressed]');
            const field = document.getElementById('password');
            return [field.type, button.getAttribute('aria-pressed'), button.textContent,
                button.getAttribute('aria-label'), field.value];";
        chromium.client.execute(script, vec![]).await.unwrap()
    };
    let hidden = json!(["password", "false", "Show", "Show: Password", "open sesame"]);
    assert_eq!(state().await, hidden);
    chromium.click(SHOW).await;
    assert_eq!(
        state().await,
        json!(["text", "true", "Show", "Show: Password", "open sesame"])
    );
    chromium.click(SHOW).await;
    assert_eq!(state().await, hidden);
    // What is shown is no text when it is sent, nor when the page comes back.
    chromium.click(SHOW).await;
}

async fn fhirclient_app_gets_what_is_released(database: Database) {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(database).await;
    let app = AppServer::start(&tools).await;
    let redirect = app.url("/journal.html");
    let client_id = hospital.add_app("Journal", &[&redirect], SCOPE).await;
    browse(&tools, Scripts::On, async |chromium| {
        let mut launch = Url::parse(&app.url("/launch.html")).unwrap();
        launch
            .query_pairs_mut()
            .append_pair("iss", &hospital.fhir())
            .append_pair("client_id", &client_id)
            .append_pair("scope", SCOPE);
        chromium.client.goto(launch.as_str()).await.unwrap();

        chromium
            .wait_for_address(&format!("{}/login", hospital.origin))
            .await;
        assert!(chromium.text("main").await.contains("Journal"));
        judge(chromium, &tools, "sign-in").await;
        look_at_the_password(chromium).await;
        sign_in(chromium, USERNAME, "not my password").await;
        assert!(chromium.text(".problem").await.contains("not right"));
        judge(chromium, &tools, "sign-in-refused").await;
        sign_in(chromium, USERNAME, PASSWORD).await;
        wait_for_consent(chromium, &hospital.origin).await;
        judge(chromium, &tools, "consent").await;
        chromium.click("#long-yes").await;
        chromium.press(ALLOW).await;

        // Back in the app, which now reads the record.
        chromium.wait_for_address(&redirect).await;
        assert_eq!(shown(chromium).await, RELEASED);
        let identity = ask_app(chromium, "Promise.resolve(journal.identity())").await;
        assert_eq!(identity["patient"], "ana");
        assert!(
            identity["user"].as_str().unwrap().ends_with("Patient/ana"),
            "{identity}"
        );
        for reference in RELEASED {
            assert_there(chromium, reference).await;
        }
        for reference in WITHHELD.iter().chain(&DELAYED) {
            assert_absent(chromium, reference).await;
        }

        // A second before the 72 hours of Kentucky are over, and on the stroke.
        hospital.clock("2026-11-13T14:59:59Z").await;
        ask_app(chromium, "journal.again()").await;
        assert_eq!(shown(chromium).await, RELEASED);
        hospital.clock("2026-11-13T15:00:00Z").await;
        ask_app(chromium, "journal.again()").await;
        let mut all: Vec<&str> = RELEASED.iter().chain(&DELAYED).copied().collect();
        all.sort_unstable();
        assert_eq!(shown(chromium).await, all);
        for reference in DELAYED {
            assert_there(chromium, reference).await;
        }
        for reference in WITHHELD {
            assert_absent(chromium, reference).await;
        }
        kept_to_itself(chromium, &hospital.origin, &[&app.origin]).await;
    })
    .await;
    hospital.close().await;
}

/// Ids of a searchset by type.
fn found(bundle: &Value) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in bundle["entry"].as_array().into_iter().flatten() {
        let resource = &entry["resource"];
        if let (Some(kind), Some(id)) = (resource["resourceType"].as_str(), resource["id"].as_str())
        {
            found.entry(kind).or_default().push(id);
        }
    }
    found.values_mut().for_each(|ids| ids.sort_unstable());
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_in_and_consent_work_without_scripts() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let server = AppServer::start(&tools).await;
    let redirect = server.url("/callback.html");
    let app = OauthApp::register(&hospital, "Ledger", &redirect).await;
    browse(&tools, Scripts::Off, async |chromium| {
        chromium.client.goto(&redirect).await.unwrap();
        assert_eq!(chromium.client.title().await.unwrap(), "Back in the app");

        let away = app.start(SCOPE);
        chromium.client.goto(away.url.as_str()).await.unwrap();
        sign_in_to_connect(chromium, &hospital.origin).await;
        assert!(ticked(chromium).await.len() > 10);
        chromium.picture("consent-without-scripts").await;

        chromium.press("button[name=action][value=none]").await;
        assert!(ticked(chromium).await.is_empty());
        chromium.press("button[name=action][value=all]").await;
        assert!(ticked(chromium).await.len() > 10);
        chromium.press("button[name=action][value=none]").await;

        // Reports and visits whole; of the observations only the laboratory's.
        chromium.click("input[value=DiagnosticReport]").await;
        chromium.click("input[value=Encounter]").await;
        chromium
            .click("input[value^='Observation?'][value$='laboratory']")
            .await;
        chromium.picture("consent-some-of-it").await;
        chromium.press(ALLOW).await;
        let back = chromium.wait_for_address(&format!("{redirect}?")).await;
        assert_eq!(query(&back, "iss").as_ref(), Some(&hospital.origin));
        let (token, scopes) = app.finish(away, &back).await;
        assert!(
            !scopes
                .iter()
                .any(|scope| scope.contains("DocumentReference")
                    || scope == "patient/Observation.rs"
                    || scope.contains('*')
                    || scope == "offline_access"),
            "{scopes:?}"
        );
        let (status, bundle) = app.get(&token, "DiagnosticReport?patient=ana").await;
        assert_eq!(status, 200, "{bundle}");
        let reports = vec!["blood-count", "chest-xray", "mri-knee"];
        assert_eq!(found(&bundle)["DiagnosticReport"], reports);
        let (status, bundle) = app.get(&token, "Observation?patient=ana").await;
        assert_eq!(status, 200, "{bundle}");
        let observations = vec!["hematocrit", "hemoglobin", "platelets"];
        assert_eq!(found(&bundle)["Observation"], observations);
        for path in [
            "DocumentReference?patient=ana",
            "DocumentReference/progress",
        ] {
            let (status, outcome) = app.get(&token, path).await;
            assert!([401, 403].contains(&status), "{path}: {status} {outcome}");
        }

        // Signed in already. Nothing ticked is no answer, and then the answer is no.
        let away = app.start("patient/*.rs");
        chromium.client.goto(away.url.as_str()).await.unwrap();
        wait_for_consent(chromium, &hospital.origin).await;
        chromium.press("button[name=action][value=none]").await;
        chromium.press(ALLOW).await;
        assert!(chromium.text(".problem").await.contains("Tick"));
        chromium.press(DENY).await;
        let back = chromium.wait_for_address(&format!("{redirect}?")).await;
        assert_eq!(query(&back, "error").as_deref(), Some("access_denied"));
        assert_eq!(query(&back, "state").as_ref(), Some(away.state.secret()));
        assert_eq!(query(&back, "code"), None);

        // What was given can be taken back, and the browser signed out.
        let apps = format!("{}/apps", hospital.origin);
        chromium.client.goto(&apps).await.unwrap();
        assert!(chromium.text("main").await.contains("Ledger"));
        chromium.press(SEND).await;
        chromium.wait_for(".done").await;
        let (status, _) = app.get(&token, "Patient/ana").await;
        assert_eq!(status, 401);
        chromium.press("form.who button").await;
        let out = format!("{}/signed-out", hospital.origin);
        chromium.wait_for_address(&out).await;
        chromium.client.goto(&apps).await.unwrap();
        let login = format!("{}/login", hospital.origin);
        chromium.wait_for_address(&login).await;
        kept_to_itself(chromium, &hospital.origin, &[&server.origin]).await;
    })
    .await;
    hospital.close().await;
}

/// Negative controls: the harness notices what the other tests say never happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_harness_notices_what_should_not_be() {
    let Some(tools) = Tools::find() else { return };
    let server = AppServer::start(&tools).await;
    let callback = server.url("/callback.html");
    let trap = AppServer::start_trap(callback.clone()).await;
    browse(&tools, Scripts::On, async |chromium| {
        chromium.client.goto(&callback).await.unwrap();
        let title = chromium.client.title().await.unwrap();
        assert_eq!(title, "Scripts run here");
        assert!(chromium.refused_by_policy().await.is_empty());
        chromium.client.goto(&trap.url("/")).await.unwrap();
        chromium.click("button").await;
        let mut refused = Vec::new();
        for _ in 0..50 {
            refused = chromium.refused_by_policy().await;
            if !refused.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let named = refused.iter().any(|text| text.contains("form-action"));
        assert!(named, "{refused:?}");
        let address = chromium.client.current_url().await.unwrap();
        assert!(address.as_str().starts_with(&trap.origin), "{address}");
        let breaches = breaches(chromium, &tools).await;
        let has_no_language = breaches.iter().any(|line| line.contains("html-has-lang"));
        assert!(has_no_language, "{breaches:?}");
        assert!(pages::moving(chromium).await.is_empty());
        let slow = "document.querySelector('button').style.transition = 'color 1s'";
        chromium.client.execute(slow, vec![]).await.unwrap();
        assert_eq!(pages::moving(chromium).await.len(), 1);
    })
    .await;
    browse(&tools, Scripts::Off, async |chromium| {
        chromium.client.goto(&callback).await.unwrap();
        let title = chromium.client.title().await.unwrap();
        assert_eq!(title, "Back in the app");
        assert_eq!(chromium.text("h1").await, "Back in the app");
    })
    .await;
}

/// `form-action` is checked on the redirect after a form too, and stops it without a word to the
/// person. The consent page must lead to every kind of redirect URI that can be registered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consent_leads_back_to_every_kind_of_app() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    // Nobody listens there; that the browser tries is what counts.
    let unheard = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let https = format!(
        "https://localhost:{}/done",
        unheard.local_addr().unwrap().port()
    );
    drop(unheard);
    let own_scheme = "com.example.journal:/done";
    browse(&tools, Scripts::On, async |chromium| {
        for (name, redirect) in [("Web", https.as_str()), ("Phone", own_scheme)] {
            let app = OauthApp::register(&hospital, name, redirect).await;
            let away = app.start("launch/patient patient/*.rs");
            chromium.client.goto(away.url.as_str()).await.unwrap();
            if name == "Web" {
                sign_in_to_connect(chromium, &hospital.origin).await;
            } else {
                wait_for_consent(chromium, &hospital.origin).await;
            }
            // The error page of a browser that found nobody there is an error of the driver too.
            let _ = chromium.wait_for(ALLOW).await.click().await;
            let back = left_for(chromium, redirect).await;
            let (token, _) = app.finish(away, &back).await;
            let (status, _) = app.get(&token, "Patient/ana").await;
            assert_eq!(status, 200);
        }
        let refused = chromium.refused_by_policy().await;
        assert!(refused.is_empty(), "{refused:?}");
    })
    .await;
    hospital.close().await;
}

/// Between the sign-in form and the app there may be redirects alone, which `form-action` stops without
/// a word: the app must get its answer all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_after_signing_in_reaches_the_app() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let server = AppServer::start(&tools).await;
    let redirect = server.url("/callback.html");
    let app = OauthApp::register(&hospital, "Ledger", &redirect).await;
    let clinician = "--role clinician --practitioner dr-lee";
    hospital.add_user("dr.lee", clinician).await;
    let nobody = "--role representative --patient ana --related-person never-written";
    hospital.add_user("nobody", nobody).await;
    for scripts in [Scripts::On, Scripts::Off] {
        browse(&tools, scripts, async |chromium| {
            // A clinician has no patient scopes to give.
            let away = app.start("launch/patient patient/*.rs");
            chromium.client.goto(away.url.as_str()).await.unwrap();
            sign_in(chromium, "dr.lee", PASSWORD).await;
            let back = chromium.wait_for_address(&format!("{redirect}?")).await;
            assert_eq!(query(&back, "error").as_deref(), Some("invalid_scope"));
            assert_eq!(query(&back, "state").as_ref(), Some(away.state.secret()));
            let refused = chromium.refused_by_policy().await;
            assert!(refused.is_empty(), "{refused:?}");
        })
        .await;
        browse(&tools, scripts, async |chromium| {
            let away = app.start("launch/patient patient/*.rs");
            chromium.client.goto(away.url.as_str()).await.unwrap();
            sign_in(chromium, "nobody", PASSWORD).await;
            chromium
                .wait_for_address(&format!("{}/auth/record", hospital.origin))
                .await;
            if scripts == Scripts::On {
                judge(chromium, &tools, "no-record").await;
            }
            chromium.click("main a").await;
            let back = chromium.wait_for_address(&format!("{redirect}?")).await;
            assert_eq!(query(&back, "error").as_deref(), Some("access_denied"));
            assert_eq!(query(&back, "state").as_ref(), Some(away.state.secret()));
        })
        .await;
    }
    hospital.close().await;
}

/// Waits until the browser set out for a redirect URI, and gives the whole address.
async fn left_for(chromium: &Chromium, redirect: &str) -> Url {
    for _ in 0..100 {
        for (method, params) in chromium.events().await {
            let url = match method.as_str() {
                "Network.requestWillBeSent" => &params["request"]["url"],
                // A scheme that the browser hands to another program.
                "Page.frameRequestedNavigation" => &params["url"],
                "Network.responseReceivedExtraInfo" => &params["headers"]["location"],
                _ => continue,
            };
            if let Some(url) = url.as_str().filter(|url| url.starts_with(redirect)) {
                return Url::parse(url).unwrap();
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the browser did not set out for {redirect}");
}

/// An app asks to sign somebody out; the person says yes, and the browser goes back to the app.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_for_an_app_leads_back_to_it() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let server = AppServer::start(&tools).await;
    let redirect = server.url("/callback.html");
    let app = OauthApp::register(&hospital, "Ledger", &redirect).await;
    browse(&tools, Scripts::On, async |chromium| {
        let login = format!("{}/login", hospital.origin);
        let apps = format!("{}/apps", hospital.origin);
        chromium.client.goto(&login).await.unwrap();
        sign_in(chromium, USERNAME, PASSWORD).await;
        chromium.wait_for_address(&apps).await;
        let mut out = Url::parse(&format!("{}/auth/end-session", hospital.origin)).unwrap();
        out.query_pairs_mut()
            .append_pair("client_id", &app.client_id)
            .append_pair("post_logout_redirect_uri", &redirect)
            .append_pair("state", "s-1");
        chromium.client.goto(out.as_str()).await.unwrap();
        assert!(chromium.text("main").await.contains("Ledger"));
        judge(chromium, &tools, "end-session").await;
        chromium.press(SEND).await;
        let back = chromium.wait_for_address(&format!("{redirect}?")).await;
        assert_eq!(query(&back, "state").as_deref(), Some("s-1"));
        chromium.client.goto(&apps).await.unwrap();
        chromium.wait_for_address(&login).await;
        kept_to_itself(chromium, &hospital.origin, &[&server.origin]).await;
    })
    .await;
    hospital.close().await;
}

/// The other pages that a person may come to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_pages_are_accessible() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let server = AppServer::start(&tools).await;
    let app = OauthApp::register(&hospital, "Ledger", &server.url("/callback.html")).await;
    browse(&tools, Scripts::On, async |chromium| {
        let away = app.start("patient/*.rs");
        let foreign = away.url.as_str().replace(&app.client_id, "nobody");
        chromium.client.goto(&foreign).await.unwrap();
        assert!(chromium.text("h1").await.contains("link"));
        judge(chromium, &tools, "unknown-app").await;

        chromium.client.goto(away.url.as_str()).await.unwrap();
        keyboard::sign_in(chromium, USERNAME).await;
        wait_for_consent(chromium, &hospital.origin).await;
        chromium.press("button[name=action][value=none]").await;
        chromium.press(ALLOW).await;
        chromium.wait_for(".problem").await;
        judge(chromium, &tools, "consent-nothing-ticked").await;
        chromium.press("button[name=action][value=all]").await;
        chromium.press(ALLOW).await;
        let back = chromium.wait_for_address(&server.origin).await;
        app.finish(away, &back).await;
        let apps = format!("{}/apps", hospital.origin);
        chromium.client.goto(&apps).await.unwrap();
        judge(chromium, &tools, "connected-apps").await;
        chromium.press(SEND).await;
        chromium.wait_for(".done").await;
        judge(chromium, &tools, "no-connected-apps").await;
        chromium.press("form.who button").await;
        let out = format!("{}/signed-out", hospital.origin);
        chromium.wait_for_address(&out).await;
        judge(chromium, &tools, "signed-out").await;
        // Nobody sees it by going back.
        chromium.client.back().await.unwrap();
        chromium
            .wait_for_address(&format!("{}/login", hospital.origin))
            .await;
        kept_to_itself(chromium, &hospital.origin, &[&server.origin]).await;
    })
    .await;
    hospital.close().await;
}

/// Somebody who acts for others is asked whose record an app may read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_representative_chooses_the_record() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let username = "maria.otis";
    let account = "--role representative --patient ana --related-person maria-for-ana \
        --patient ben --related-person maria-for-ben";
    hospital.add_user(username, account).await;
    let server = AppServer::start(&tools).await;
    let redirect = server.url("/callback.html");
    let app = OauthApp::register(&hospital, "Ledger", &redirect).await;
    browse(&tools, Scripts::On, async |chromium| {
        let away = app.start("launch/patient patient/*.rs");
        chromium.client.goto(away.url.as_str()).await.unwrap();
        sign_in(chromium, username, PASSWORD).await;
        let record = format!("{}/auth/record", hospital.origin);
        chromium.wait_for_address(&record).await;
        judge(chromium, &tools, "record").await;
        chromium.click("input[name=patient][value=ben]").await;
        chromium.press(SEND).await;
        wait_for_consent(chromium, &hospital.origin).await;
        let words = chromium.text("main").await;
        assert!(words.contains("the record of Ben Otis"), "{words}");
        judge(chromium, &tools, "consent-representative").await;
        chromium.press(ALLOW).await;
        let back = chromium.wait_for_address(&format!("{redirect}?")).await;
        let (token, _) = app.finish(away, &back).await;
        // What she may see is for the record to say, but never anything of the other one.
        for path in ["Patient/ana", "Encounter/visit", "Observation/hemoglobin"] {
            let (status, outcome) = app.get(&token, path).await;
            assert_eq!(status, 404, "{path}: {outcome}");
        }
        kept_to_itself(chromium, &hospital.origin, &[&server.origin]).await;
    })
    .await;
    hospital.close().await;
}
