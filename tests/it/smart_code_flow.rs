//! An app connects to a record, through the oauth2 crate and the pages.

use candor::smart::clients::{self, ClientKind};
use candor::smart::users::{self, NewRecord, Role};
use candor::smart::{AuthError, authenticate};
use candor::visibility::ViewerClass;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use oauth2::TokenResponse as _;
use serde_json::{Value, json};
use url::Url;

use crate::smart_support::{App, Browser, End, PASSWORD, Server, SmartTokens, each_smart_database};

const ALL: &str = "openid fhirUser launch/patient offline_access patient/*.rs";
const HOUR: i64 = 3_600_000;

fn scopes(tokens: &SmartTokens) -> Vec<String> {
    let scopes = tokens.scopes().unwrap();
    scopes.iter().map(|scope| scope.to_string()).collect()
}

fn long(form: &mut crate::smart_support::Form) {
    form.set("long", "yes");
}

async fn introspect(server: &Server, app: &App, token: &str) -> Value {
    let response = server
        .http
        .post(server.url("/auth/introspect"))
        .basic_auth(app.client.client_id().as_str(), app.secret.as_deref())
        .form(&[("token", token)])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

each_smart_database! {
async fn a_public_app_reads_as_the_patient(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let tokens = app.connect(server, &user, ALL, |_| ()).await;
    assert_eq!(tokens.extra_fields().patient.as_deref(), Some("ana"));
    assert_eq!(tokens.expires_in().unwrap().as_secs(), 3600);
    // Long-term access was offered, not taken.
    assert!(tokens.refresh_token().is_none());
    let scopes = scopes(&tokens);
    assert!(!scopes.contains(&"offline_access".to_owned()));
    assert!(scopes.contains(&"patient/Observation.rs".to_owned()));
    assert!(!scopes.iter().any(|scope| scope.contains('*')));

    let token = tokens.access_token().secret();
    let viewer = authenticate(&server.state, token).await.unwrap();
    assert_eq!(viewer.class, ViewerClass::Patient);
    assert_eq!(viewer.person.as_deref(), Some("Patient/ana"));
    assert_eq!(viewer.patient.as_deref(), Some("ana"));
    assert_eq!(viewer.client_id, app.client.client_id().as_str());
    assert_eq!(
        viewer.client_device.as_deref(),
        Some(viewer.client_id.as_str())
    );
    assert!(viewer.scopes.contains("patient/Condition.rs"));

    server.advance(HOUR);
    let expired = authenticate(&server.state, token).await;
    assert!(matches!(expired, Err(AuthError::InvalidToken)));
}

async fn the_id_token_verifies_with_the_published_keys(server: Server) {
    let app = App::new(
        server,
        &server.add_client(ClientKind::Confidential, ALL).await,
    );
    let user = server.add_patient().await;
    let mut sent = app.start(ALL);
    sent.url.query_pairs_mut().append_pair("nonce", "n-1");
    let browser = Browser::new(server);
    let answer = browser.allow(&sent, &user, |_| ()).await;
    let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    let id_token = tokens.extra_fields().id_token.clone().unwrap();
    let keys = server
        .http
        .get(server.url("/auth/jwks"))
        .send()
        .await
        .unwrap();
    let keys: JwkSet = serde_json::from_str(&keys.text().await.unwrap()).unwrap();
    let header = jsonwebtoken::decode_header(&id_token).unwrap();
    assert_eq!(header.alg, Algorithm::RS256);
    let key = keys.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[app.client.client_id().as_str()]);
    validation.set_issuer(&[&server.public]);
    let claims =
        jsonwebtoken::decode::<Value>(&id_token, &DecodingKey::from_jwk(key).unwrap(), &validation)
            .unwrap()
            .claims;
    assert_eq!(claims["sub"], user.id.as_str());
    assert_eq!(claims["nonce"], "n-1");
    assert_eq!(claims["fhirUser"], format!("{}/Patient/ana", server.fhir()));

    let userinfo = server
        .http
        .get(server.url("/auth/userinfo"))
        .bearer_auth(tokens.access_token().secret())
        .send()
        .await
        .unwrap();
    let userinfo: Value = serde_json::from_str(&userinfo.text().await.unwrap()).unwrap();
    assert_eq!(
        userinfo,
        json!({"sub": user.id, "fhirUser": claims["fhirUser"]})
    );
    let anonymous = server
        .http
        .get(server.url("/auth/userinfo"))
        .send()
        .await
        .unwrap();
    assert_eq!(anonymous.status(), 401);

    let live = introspect(server, &app, tokens.access_token().secret()).await;
    assert_eq!(live["active"], true);
    assert_eq!(live["client_id"], app.client.client_id().as_str());
    assert_eq!(live["sub"], user.id.as_str());
    assert_eq!(live["patient"], "ana");
    assert_eq!(live["scope"], scopes(&tokens).join(" "));
    assert!(live["exp"].as_i64().unwrap() * 1000 > server.clock.now());
    assert_eq!(
        introspect(server, &app, "nothing").await,
        json!({"active": false})
    );
    // Another client's token is nobody's.
    let other = App::new(
        server,
        &server.add_client(ClientKind::Confidential, ALL).await,
    );
    let foreign = introspect(server, &other, tokens.access_token().secret()).await;
    assert_eq!(foreign, json!({"active": false}));
}

async fn long_term_access_lasts_as_long_as_it_is_used_and_revocation_is_at_once(server: Server) {
    for kind in [ClientKind::Public, ClientKind::Confidential] {
        let app = App::new(server, &server.add_client(kind, ALL).await);
        let user = server.add_patient().await;
        let first = app.connect(server, &user, ALL, long).await;
        server.advance(80 * 24 * HOUR);
        let second = app
            .refresh(first.refresh_token().unwrap(), "")
            .await
            .unwrap();
        assert_eq!(scopes(&first), scopes(&second));
        assert_eq!(second.extra_fields().patient.as_deref(), Some("ana"));
        server.advance(80 * 24 * HOUR);
        let third = app
            .refresh(
                second.refresh_token().unwrap(),
                "launch/patient patient/Patient.rs",
            )
            .await
            .unwrap();
        assert_eq!(scopes(&third), ["launch/patient", "patient/Patient.rs"]);
        let viewer = authenticate(&server.state, third.access_token().secret())
            .await
            .unwrap();
        assert_eq!(viewer.scopes.as_str(), "launch/patient patient/Patient.rs");
        // A narrower access token does not narrow the grant.
        let fourth = app
            .refresh(third.refresh_token().unwrap(), "")
            .await
            .unwrap();
        assert_eq!(scopes(&first), scopes(&fourth));

        let refresh = fourth.refresh_token().unwrap().clone();
        // By hand: the oauth2 crate revokes over https only.
        let mut form = vec![("token", refresh.secret().as_str())];
        let mut request = server.http.post(server.url("/auth/revoke"));
        match &app.secret {
            Some(secret) => {
                request = request.basic_auth(app.client.client_id().as_str(), Some(secret))
            }
            None => form.push(("client_id", app.client.client_id().as_str())),
        }
        assert_eq!(request.form(&form).send().await.unwrap().status(), 200);
        for token in [&third, &fourth] {
            let dead = authenticate(&server.state, token.access_token().secret()).await;
            assert!(matches!(dead, Err(AuthError::InvalidToken)));
        }
        assert!(
            app.refresh(&refresh, "")
                .await
                .unwrap_err()
                .contains("invalid_grant")
        );

        let unused = app.connect(server, &user, ALL, long).await;
        server.advance(91 * 24 * HOUR);
        let late = app.refresh(unused.refresh_token().unwrap(), "").await;
        assert!(late.unwrap_err().contains("invalid_grant"));
    }
}

/// SMART's refresh request of a public app has no `client_id`, and libraries send none.
async fn a_public_client_refreshes_without_naming_itself(server: Server) {
    let user = server.add_patient().await;
    for (kind, expected) in [(ClientKind::Public, 200), (ClientKind::Confidential, 400)] {
        let app = App::new(server, &server.add_client(kind, ALL).await);
        let tokens = app.connect(server, &user, ALL, long).await;
        let refresh = tokens.refresh_token().unwrap().secret();
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.as_str()),
        ];
        let (status, answer) = server.token(&form).await;
        assert_eq!(status, expected, "{answer}");
        if kind == ClientKind::Confidential {
            // Not spent by somebody who is not the client.
            assert_eq!(answer["error"], "invalid_grant");
            app.refresh(tokens.refresh_token().unwrap(), "")
                .await
                .unwrap();
            continue;
        }
        assert_eq!(answer["patient"], "ana");
        // Used up, and its second use ends the grant.
        let (status, _) = server.token(&form).await;
        assert_eq!(status, 400);
        let next = answer["refresh_token"].as_str().unwrap();
        let form = [("grant_type", "refresh_token"), ("refresh_token", next)];
        let (status, answer) = server.token(&form).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_grant".into()));
    }
}

async fn what_is_unticked_is_not_granted(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let tokens = app
        .connect(server, &user, ALL, |form| {
            form.only(&["Condition", "Observation"]);
            form.set("identity", "yes");
        })
        .await;
    assert_eq!(
        scopes(&tokens),
        [
            "openid",
            "fhirUser",
            "launch/patient",
            "patient/Patient.rs",
            "patient/Observation.rs",
            "patient/Condition.rs"
        ]
    );
    let laboratory = "Observation?category=http://terminology.hl7.org/CodeSystem/\
        observation-category|laboratory";
    let tokens = app
        .connect(
            server,
            &user,
            "launch/patient patient/Observation.rs",
            |form| {
                form.only(&[]);
                form.tick("allow", laboratory);
            },
        )
        .await;
    assert_eq!(
        scopes(&tokens),
        [
            "launch/patient",
            "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/\
             observation-category|laboratory"
        ]
    );
}

async fn v1_asked_is_v1_answered_and_writes_are_dropped(server: Server) {
    let registered = server
        .add_client(ClientKind::Public, "launch/patient patient/*.* user/*.*")
        .await;
    let app = App::new(server, &registered);
    let user = server.add_patient().await;
    let asked = "launch/patient patient/Patient.read patient/Goal.* patient/Condition.write";
    let tokens = app.connect(server, &user, asked, |_| ()).await;
    assert_eq!(
        scopes(&tokens),
        [
            "launch/patient",
            "patient/Patient.read",
            "patient/Goal.read"
        ]
    );
}

async fn no_is_an_answer_and_nothing_ticked_is_asked_again(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let sent = app.start("patient/Goal.rs");
    let browser = Browser::new(server);
    let page = browser.to_consent(&sent, &user).await;
    assert!(page.body.contains("Bone Journal"));
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(!policy.contains("form-action") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(page.headers["cache-control"], "no-store");
    let mut form = page.form("/auth/consent");
    form.only(&[]);
    form.set("action", "allow");
    let again = browser.submit(&form).await.page();
    assert_eq!(again.status, 400);
    assert!(again.body.contains("Tick at least one"));
    form.set("action", "all");
    let mut form = browser.submit(&form).await.page().form("/auth/consent");
    assert!(
        form.fields
            .contains(&("allow".to_owned(), "Goal".to_owned()))
    );
    form.set("action", "deny");
    let answer = browser.submit(&form).await.answer();
    assert_eq!(answer["error"], "access_denied");
    assert_eq!(answer["state"], *sent.state.secret());
    assert_eq!(answer["iss"], server.public);
    // Answered once.
    let gone = browser.submit(&form).await.page();
    assert_eq!(gone.status, 400);
}

async fn a_parent_chooses_whose_record_and_reads_as_a_representative(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server
        .add_user(
            Role::Patient,
            None,
            &[
                ("ana", None, "Ana Ruiz"),
                ("maya", Some("ana-mother"), ""),
            ],
        )
        .await;
    server.load_related("ana-mother", "maya").await;
    let name = json!([{"family": "Ruiz", "given": ["Maya"]}]);
    server
        .load(json!({"resourceType": "Patient", "id": "maya", "name": name}))
        .await;
    let sent = app.start(ALL);
    let browser = Browser::new(server);
    let page = browser.to_consent(&sent, &user).await;
    assert!(page.url.path().ends_with("/auth/record"));
    let mut form = page.form("/auth/record");
    // Nobody is chosen beforehand, and nobody else can be.
    assert_eq!(form.unticked.len(), 2);
    form.set("patient", "somebody-else");
    assert_eq!(browser.submit(&form).await.page().status, 400);
    form.set("patient", "maya");
    let page = browser.submit(&form).await.page();
    assert!(page.body.contains("Maya Ruiz"));
    let mut form = page.form("/auth/consent");
    form.set("action", "allow");
    let answer = browser.submit(&form).await.answer();
    let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    assert_eq!(tokens.extra_fields().patient.as_deref(), Some("maya"));
    let viewer = authenticate(&server.state, tokens.access_token().secret())
        .await
        .unwrap();
    assert_eq!(viewer.class, ViewerClass::Representative);
    assert_eq!(viewer.person.as_deref(), Some("RelatedPerson/ana-mother"));
    assert_eq!(viewer.patient.as_deref(), Some("maya"));
}

async fn staff_give_user_scopes_and_no_patient_context(server: Server) {
    let asked = "openid fhirUser launch/patient user/*.rs user/Observation.cruds patient/*.rs";
    let registered = server
        .add_client(
            ClientKind::Confidential,
            "openid fhirUser launch/patient user/*.cruds patient/*.rs",
        )
        .await;
    let app = App::new(server, &registered);
    let user = server.add_user(Role::Clinician, Some("dr-lee"), &[]).await;
    let tokens = app.connect(server, &user, asked, |_| ()).await;
    // Writing is never ticked beforehand.
    assert_eq!(
        scopes(&tokens),
        ["openid", "fhirUser", "user/*.rs", "user/Observation.rs"]
    );
    let viewer = authenticate(&server.state, tokens.access_token().secret())
        .await
        .unwrap();
    assert_eq!(viewer.class, ViewerClass::Clinician);
    assert_eq!(viewer.person.as_deref(), Some("Practitioner/dr-lee"));
    assert_eq!(viewer.patient, None);
    let tokens = app
        .connect(server, &user, asked, |form| {
            form.tick("allow", "Observation!write")
        })
        .await;
    assert!(scopes(&tokens).contains(&"user/Observation.cruds".to_owned()));
    let none = app.start("patient/*.rs");
    let browser = Browser::new(server);
    let page = browser.open(none.url.as_str()).await.page();
    let refused = browser
        .sign_in(&page, &user.username, PASSWORD)
        .await
        .answer();
    assert_eq!(refused["error"], "invalid_scope");
}

async fn a_native_app_listens_on_any_port_of_the_loopback_address(server: Server) {
    let registered = server.add_client(ClientKind::Public, ALL).await;
    let user = server.add_patient().await;
    let app = App::with_redirect(server, &registered, "http://127.0.0.1:51234/done");
    let tokens = app.connect(server, &user, "patient/Goal.rs", |_| ()).await;
    assert_eq!(scopes(&tokens), ["patient/Goal.rs"]);
    let other = server.add_client(ClientKind::Confidential, ALL).await;
    let app = App::with_redirect(server, &other, "http://127.0.0.1:51234/done");
    let page = Browser::new(server)
        .open(app.start(ALL).url.as_str())
        .await
        .page();
    assert_eq!(page.status, 400);
}

async fn authorize_takes_a_form_and_a_second_app_needs_no_second_password(server: Server) {
    let registered = server.add_client(ClientKind::Public, ALL).await;
    let app = App::new(server, &registered);
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    browser
        .allow(&app.start("patient/Goal.rs"), &user, |_| ())
        .await;
    let sent = app.start("patient/Goal.rs");
    let fields: Vec<(String, String)> = sent.url.query_pairs().into_owned().collect();
    let page = browser
        .follow(
            browser
                .http
                .post(server.url("/auth/authorize"))
                .form(&fields),
        )
        .await
        .page();
    assert_eq!(page.url.path(), "/auth/consent");
    // From another site's form no cookie comes along: with the address that it leads to one does.
    let sent = app.start("patient/Goal.rs");
    let fields: Vec<(String, String)> = sent.url.query_pairs().into_owned().collect();
    let form = server.http.post(server.url("/auth/authorize")).form(&fields);
    let answer = form.send().await.unwrap();
    assert_eq!(answer.status(), 303);
    let address = answer.headers()["location"].to_str().unwrap();
    let same = Url::parse(&server.url(address)).unwrap();
    assert_eq!(same.query_pairs().into_owned().collect::<Vec<_>>(), fields);
    let page = browser.open(same.as_str()).await.page();
    assert_eq!(page.url.path(), "/auth/consent");
    // Long-term access, or prompt=login, needs one that was typed a moment ago.
    server.advance(6 * 60_000);
    let long = browser.open(app.start(ALL).url.as_str()).await.page();
    assert_eq!(long.url.path(), "/login");
    let short = browser
        .open(app.start("patient/Goal.rs").url.as_str())
        .await
        .page();
    assert_eq!(short.url.path(), "/auth/consent");
    let mut prompted = app.start("patient/Goal.rs").url;
    prompted.query_pairs_mut().append_pair("prompt", "login");
    assert_eq!(
        browser.open(prompted.as_str()).await.page().url.path(),
        "/login"
    );
    let mut silent = app.start("patient/Goal.rs").url;
    silent.query_pairs_mut().append_pair("prompt", "none");
    let answer = browser.open(silent.as_str()).await.answer();
    assert_eq!(answer["error"], "consent_required");
    let answer = Browser::new(server).open(silent.as_str()).await.answer();
    assert_eq!(answer["error"], "login_required");
    // Idle for fifteen minutes: signed out.
    server.advance(15 * 60_000 + 1);
    let idle = browser
        .open(app.start("patient/Goal.rs").url.as_str())
        .await
        .page();
    assert_eq!(idle.url.path(), "/login");
}

async fn a_person_removes_an_app_and_signs_out(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let tokens = app.connect(server, &user, ALL, long).await;
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/apps")).await.page();
    let apps = browser
        .sign_in(&login, &user.username, PASSWORD)
        .await
        .page();
    let token = tokens.access_token().secret();
    assert!(authenticate(&server.state, token).await.is_ok());
    assert!(apps.body.contains("Bone Journal") && apps.body.contains("Until you turn it off"));
    let after = browser.submit(&apps.form("/apps")).await.page();
    assert!(after.body.contains("Access was removed"));
    // Nothing left to remove; what could read is listed for a year.
    assert!(!after.body.contains("name=\"grant\""));
    assert!(after.body.contains("last 12 months") && after.body.contains("Bone Journal"));
    let dead = authenticate(&server.state, tokens.access_token().secret()).await;
    assert!(matches!(dead, Err(AuthError::InvalidToken)));
    assert!(
        app.refresh(tokens.refresh_token().unwrap(), "")
            .await
            .is_err()
    );

    let out = browser.submit(&after.form("/logout")).await.page();
    assert_eq!(out.url.path(), "/signed-out");
    assert_eq!(out.headers["clear-site-data"], "\"cache\", \"storage\"");
    let End::Page(page) = browser.open(&server.url("/apps")).await else {
        panic!("sent away");
    };
    assert_eq!(page.url.path(), "/login");
}

async fn what_is_taken_from_a_person_or_an_app_is_taken_at_once(server: Server) {
    let registered = server.add_client(ClientKind::Public, ALL).await;
    let app = App::new(server, &registered);
    let user = server
        .add_user(Role::Representative, None, &[("maya", Some("ana-mother"), "Maya Ruiz")])
        .await;
    server.load_related("ana-mother", "maya").await;
    let tokens = app.connect(server, &user, ALL, long).await;
    let access = tokens.access_token().secret();
    // The command line works beside the server, and at once.
    let is_alive = async || authenticate(&server.state, access).await.is_ok();
    assert!(is_alive().await);

    users::set_disabled(&server.store, &user.username, true).await.unwrap();
    assert!(!is_alive().await);
    let refused = app.refresh(tokens.refresh_token().unwrap(), "").await;
    assert!(refused.unwrap_err().contains("invalid_grant"));
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    let page = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert_eq!(page.status, 400);
    users::set_disabled(&server.store, &user.username, false).await.unwrap();
    assert!(is_alive().await);

    assert!(clients::set_disabled(&server.store, &registered.client_id, true).await.unwrap());
    assert!(!is_alive().await);
    assert_eq!(browser.open(app.start(ALL).url.as_str()).await.page().status, 400);
    assert!(clients::set_disabled(&server.store, &registered.client_id, false).await.unwrap());
    assert!(is_alive().await);

    let signed_in = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert_eq!(signed_in.url.path(), "/apps");
    let new = "another walk by the lake";
    users::set_password(&server.store, &user.username, new).await.unwrap();
    let out = browser.open(&server.url("/apps")).await.page();
    assert_eq!(out.url.path(), "/login");
    assert_eq!(browser.sign_in(&out, &user.username, PASSWORD).await.page().status, 400);
    assert_eq!(browser.sign_in(&out, &user.username, new).await.page().status, 200);
    assert!(is_alive().await);

    users::remove_record(&server.store, &user.username, "maya").await.unwrap();
    assert!(!is_alive().await);
    let refused = app.refresh(tokens.refresh_token().unwrap(), "").await;
    assert!(refused.unwrap_err().contains("invalid_grant"));
    let record = NewRecord {
        patient: "maya".to_owned(),
        related_person: Some("ana-mother".to_owned()),
        name: String::new(),
    };
    users::add_record(&server.store, &user.username, &record).await.unwrap();
    assert!(!is_alive().await);
}
}
