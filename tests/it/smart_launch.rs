//! Launches from an EHR: its backend says who, whom and what; the app gets it when that person agrees.

use candor::smart::authenticate;
use candor::smart::clients::{ClientKeys, ClientKind, RegisteredClient};
use candor::smart::users::{RegisteredUser, Role};
use candor::visibility::ViewerClass;
use jsonwebtoken::Algorithm;
use oauth2::TokenResponse as _;
use serde_json::{Value, json};

use crate::smart_backend::{ask, backend, claims, key, sign};
use crate::smart_support::{App, Browser, PASSWORD, Sent, Server, each_smart_database};

const SCOPE: &str = "openid fhirUser launch offline_access user/*.rs patient/Patient.rs";

/// An access token of a backend with this scope.
pub async fn backend_token(server: &Server, scope: &str) -> String {
    let own = key(Algorithm::ES384, "k1");
    let set = json!({"keys": [own.public]}).to_string();
    let client = backend(server, ClientKeys::Value(set), scope).await;
    let (status, answer) = ask(server, &sign(&own, "k1", &claims(server, &client)), scope).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["scope"], scope);
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn post(server: &Server, token: Option<&str>, body: &Value) -> (u16, Value) {
    let mut request = server.http.post(server.url("/auth/launch")).json(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

/// A hospital with a chart, a clinician, an app and an EHR.
struct World<'a> {
    server: &'a Server,
    ehr: String,
    clinician: RegisteredUser,
    registered: RegisteredClient,
    app: App,
}

impl<'a> World<'a> {
    async fn new(server: &'a Server) -> Self {
        let name = json!([{"family": "Ruiz", "given": ["Ana"]}]);
        server
            .load(json!({"resourceType": "Patient", "id": "ana", "name": name}))
            .await;
        server
            .load(json!({"resourceType": "Patient", "id": "ben"}))
            .await;
        server
            .load(
                json!({"resourceType": "Encounter", "id": "visit", "status": "in-progress",
                "class": {"code": "AMB"}, "subject": {"reference": "Patient/ana"}}),
            )
            .await;
        let registered = server.add_client(ClientKind::Confidential, SCOPE).await;
        Self {
            server,
            ehr: backend_token(server, "launch system/*.cruds").await,
            clinician: server.add_user(Role::Clinician, Some("dr-lee"), &[]).await,
            app: App::new(server, &registered),
            registered,
        }
    }

    /// What the EHR says, with changes.
    fn says(&self, changes: Value) -> Value {
        let mut body = json!({"client_id": self.registered.client_id, "user": self.clinician.username,
            "patient": "ana", "encounter": "visit", "need_patient_banner": false});
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    }

    async fn launch(&self, changes: Value) -> String {
        let (status, answer) = post(self.server, Some(&self.ehr), &self.says(changes)).await;
        assert_eq!(status, 201, "{answer}");
        assert_eq!(answer["expires_in"], 300);
        assert_eq!(answer["iss"], self.server.fhir().as_str());
        answer["launch"].as_str().unwrap().to_owned()
    }

    fn start(&self, launch: &str, scope: &str) -> Sent {
        let mut sent = self.app.start(scope);
        sent.url.query_pairs_mut().append_pair("launch", launch);
        sent
    }
}

each_smart_database! {
async fn the_visit_of_a_launch_is_a_hint_that_is_granted_where_there_is_one(server: Server) {
    let world = World::new(server).await;
    let scope = "launch launch/encounter launch/patient online_access patient/Patient.rs";
    let registered = "launch launch/encounter launch/patient patient/Patient.rs";
    let registered = server.add_client(ClientKind::Confidential, registered).await;
    let app = App::new(server, &registered);
    for (encounter, granted) in [
        (json!("visit"), "launch launch/encounter launch/patient patient/Patient.rs"),
        (Value::Null, "launch launch/patient patient/Patient.rs"),
    ] {
        let says = json!({"client_id": registered.client_id, "encounter": encounter});
        let launch = world.launch(says).await;
        let mut sent = app.start(scope);
        sent.url.query_pairs_mut().append_pair("launch", &launch);
        let browser = Browser::new(server);
        let answer = browser.allow(&sent, &world.clinician, |_| ()).await;
        let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
        let scopes: Vec<String> = tokens.scopes().unwrap().iter().map(|one| one.to_string()).collect();
        assert_eq!(scopes.join(" "), granted);
        assert_eq!(tokens.extra_fields().encounter.as_deref(), encounter.as_str());
    }
}

async fn a_wildcard_for_the_patient_of_a_chart_is_answered_as_the_catalogue(server: Server) {
    let world = World::new(server).await;
    let registered = server.add_client(ClientKind::Confidential, "launch patient/*.rs user/*.rs").await;
    let app = App::new(server, &registered);
    let launch = world.launch(json!({"client_id": registered.client_id})).await;
    let mut sent = app.start("launch patient/*.rs user/*.rs");
    sent.url.query_pairs_mut().append_pair("launch", &launch);
    let browser = Browser::new(server);
    let answer = browser.allow(&sent, &world.clinician, |_| ()).await;
    let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    let scopes: Vec<String> = tokens.scopes().unwrap().iter().map(|one| one.to_string()).collect();
    assert!(scopes.contains(&"patient/Observation.rs".to_owned()), "{scopes:?}");
    assert!(!scopes.contains(&"patient/*.rs".to_owned()), "{scopes:?}");
    assert!(scopes.contains(&"user/*.rs".to_owned()), "{scopes:?}");
}

async fn a_clinician_launches_an_app_from_a_chart(server: Server) {
    let world = World::new(server).await;
    let context = json!([{"reference": "ImagingStudy/scan"}]);
    let says = json!({"user": "Practitioner/dr-lee", "patient": "Patient/ana",
        "fhirContext": context, "intent": "reconcile-medications"});
    let launch = world.launch(says).await;
    let sent = world.start(&launch, SCOPE);
    let browser = Browser::new(server);
    // As a form, which Inferno's EHR launch is.
    let fields: Vec<(String, String)> = sent.url.query_pairs().into_owned().collect();
    let request = browser.http.post(server.url("/auth/authorize")).form(&fields);
    let login = browser.follow(request).await.page();
    let consent = browser
        .sign_in(&login, &world.clinician.username, PASSWORD)
        .await
        .page();
    assert!(consent.body.contains("You opened it for <strong>Ana Ruiz"), "{}", consent.body);
    let mut form = consent.form("/auth/consent");
    form.set("action", "allow");
    form.set("long", "yes");
    let answer = browser.submit(&form).await.answer();
    let tokens = world.app.exchange(&answer["code"], sent.verifier).await.unwrap();
    let fields = tokens.extra_fields();
    assert_eq!(fields.patient.as_deref(), Some("ana"));
    assert_eq!(fields.encounter.as_deref(), Some("visit"));
    assert_eq!(fields.need_patient_banner, Some(false));
    assert_eq!(fields.intent.as_deref(), Some("reconcile-medications"));
    assert_eq!(fields.fhir_context.as_ref(), Some(&context));
    assert!(fields.id_token.is_some() && fields.smart_style_url.is_some());
    let scopes: Vec<String> = tokens.scopes().unwrap().iter().map(|one| one.to_string()).collect();
    assert_eq!(scopes.join(" "), SCOPE);
    let access = tokens.access_token().secret();
    let viewer = authenticate(&server.state, access).await.unwrap();
    assert_eq!(viewer.class, ViewerClass::Clinician);
    assert_eq!(viewer.person.as_deref(), Some("Practitioner/dr-lee"));
    assert_eq!(viewer.patient.as_deref(), Some("ana"));
    // Introspection says the same, and so does the next token.
    let response = server
        .http
        .post(server.url("/auth/introspect"))
        .basic_auth(&world.registered.client_id, world.registered.client_secret.as_ref())
        .form(&[("token", access)])
        .send()
        .await
        .unwrap();
    let live: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    for (key, value) in [
        ("active", json!(true)),
        ("patient", json!("ana")),
        ("encounter", json!("visit")),
        ("fhirContext", context),
        ("intent", json!("reconcile-medications")),
        ("fhirUser", json!(format!("{}/Practitioner/dr-lee", server.fhir()))),
    ] {
        assert_eq!(live[key], value, "{key}");
    }
    let next = world.app.refresh(tokens.refresh_token().unwrap(), "").await.unwrap();
    assert_eq!(next.extra_fields().encounter.as_deref(), Some("visit"));
    // It is among the clinician's apps, and can be removed there.
    let apps = browser.open(&server.url("/apps")).await.page();
    browser.submit(&apps.form("/apps")).await.page();
    assert!(authenticate(&server.state, next.access_token().secret()).await.is_err());
}

async fn an_approved_app_asks_nobody_for_consent(server: Server) {
    let mut world = World::new(server).await;
    let id = world.registered.client_id.clone();
    let approve = async |is_approved| {
        let store = server.state.store();
        assert!(candor::smart::clients::set_approved(store, &id, is_approved).await.unwrap());
    };
    approve(true).await;
    let browser = Browser::new(server);
    let first = world.start(&world.launch(json!({})).await, SCOPE);
    let login = browser.open(first.url.as_str()).await.page();
    let answer = browser.sign_in(&login, &world.clinician.username, PASSWORD).await.answer();
    let tokens = world.app.exchange(&answer["code"], first.verifier).await.unwrap();
    let scopes: Vec<String> = tokens.scopes().unwrap().iter().map(|one| one.to_string()).collect();
    assert_eq!(scopes.join(" "), SCOPE);
    assert_eq!(tokens.extra_fields().patient.as_deref(), Some("ana"));
    // Later neither: no second sign-in for lasting access, no page.
    server.advance(14 * 60_000);
    world.ehr = backend_token(server, "launch system/*.cruds").await;
    let again = world.start(&world.launch(json!({})).await, SCOPE);
    let answer = browser.open(again.url.as_str()).await.answer();
    assert!(world.app.exchange(&answer["code"], again.verifier).await.is_ok());
    // By itself, without a chart, it asks as any other.
    let alone = world.app.start("openid user/Patient.rs offline_access");
    browser.open(alone.url.as_str()).await.page();
    // Whom nobody asked can see it all the same, and so can auditors.
    let events = crate::smart_activation::events(server).await;
    assert_eq!(crate::smart_activation::happened(&events, "approved-app-opened"), 2);
    let apps = browser.open(&server.url("/apps")).await.page();
    assert!(apps.body.contains(&world.registered.client_name), "{}", apps.body);
    // Once it is not approved any more, people are asked again.
    approve(false).await;
    let last = world.start(&world.launch(json!({})).await, "launch user/Patient.rs");
    let consent = browser.open(last.url.as_str()).await.page();
    assert!(!consent.form("/auth/consent").action.is_empty());
}

/// Chromium stops what comes of a form by redirects alone and leads elsewhere (`form-action`).
async fn an_approved_app_opens_from_a_page_and_not_from_the_sign_in_form(server: Server) {
    let world = World::new(server).await;
    let id = &world.registered.client_id;
    assert!(candor::smart::clients::set_approved(server.state.store(), id, true).await.unwrap());
    let sent = world.start(&world.launch(json!({})).await, SCOPE);
    let browser = Browser::new(server);
    let login = browser.open(sent.url.as_str()).await.page();
    let policy = login.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self'"), "{policy}");
    let mut form = login.form("/login");
    form.set("username", &world.clinician.username);
    form.set("password", PASSWORD);
    let request = browser.http.post(server.url("/login")).header("sec-fetch-site", "same-origin");
    let mut answer = request.form(&form.fields).send().await.unwrap();
    while let Some(location) = answer.headers().get("location") {
        let location = location.to_str().unwrap();
        assert!(location.starts_with("/auth/"), "{location}");
        answer = browser.http.get(server.url(location)).send().await.unwrap();
    }
    assert_eq!(answer.status(), 200);
    let body = answer.text().await.unwrap();
    assert!(body.contains("content=\"0;url=https://app.example/"), "{body}");
    assert!(body.contains("code=") && !body.contains("Nothing was shared"), "{body}");
}

async fn an_approved_app_that_wants_to_be_asked_about_is(server: Server) {
    let world = World::new(server).await;
    let store = server.state.store();
    let id = &world.registered.client_id;
    assert!(candor::smart::clients::set_approved(store, id, true).await.unwrap());
    for prompt in ["consent", "login consent"] {
        let browser = Browser::new(server);
        let mut sent = world.start(&world.launch(json!({})).await, SCOPE);
        sent.url.query_pairs_mut().append_pair("prompt", prompt);
        let login = browser.open(sent.url.as_str()).await.page();
        let consent = browser.sign_in(&login, &world.clinician.username, PASSWORD).await.page();
        assert!(!consent.form("/auth/consent").action.is_empty());
        let events = crate::smart_activation::events(server).await;
        assert_eq!(crate::smart_activation::happened(&events, "approved-app-opened"), 0);
        // What they answer counts.
        let mut form = consent.form("/auth/consent");
        form.set("action", "deny");
        let answer = browser.submit(&form).await.answer();
        assert_eq!(answer["error"], "access_denied");
    }
}

async fn a_patient_who_launches_an_approved_app_is_asked(server: Server) {
    let world = World::new(server).await;
    let store = server.state.store();
    let id = &world.registered.client_id;
    assert!(candor::smart::clients::set_approved(store, id, true).await.unwrap());
    let patient = server.add_patient().await;
    let launch = world.launch(json!({"user": patient.username, "encounter": null})).await;
    let sent = world.start(&launch, "launch patient/*.rs");
    let browser = Browser::new(server);
    let login = browser.open(sent.url.as_str()).await.page();
    let consent = browser.sign_in(&login, &patient.username, PASSWORD).await.page();
    assert!(!consent.form("/auth/consent").action.is_empty());
}

async fn a_launch_without_a_patient_and_an_app_for_one_patient(server: Server) {
    let world = World::new(server).await;
    // Nobody's chart is open: user scopes, and no patient scopes.
    let none = world.launch(json!({"patient": null, "encounter": null})).await;
    let sent = world.start(&none, SCOPE);
    let answer = Browser::new(server).allow(&sent, &world.clinician, |_| ()).await;
    let tokens = world.app.exchange(&answer["code"], sent.verifier).await.unwrap();
    assert_eq!(tokens.extra_fields().patient, None);
    assert!(!tokens.scopes().unwrap().iter().any(|one| one.starts_with("patient/")));
    // An app that reads one patient gets the one of the chart.
    let chart = world.launch(json!({"need_patient_banner": null})).await;
    let sent = world.start(&chart, "launch patient/Patient.rs");
    let answer = Browser::new(server).allow(&sent, &world.clinician, |_| ()).await;
    let tokens = world.app.exchange(&answer["code"], sent.verifier).await.unwrap();
    assert_eq!(tokens.extra_fields().need_patient_banner, Some(true));
    assert_eq!(tokens.extra_fields().fhir_context, None);
    let viewer = authenticate(&server.state, tokens.access_token().secret()).await.unwrap();
    assert_eq!(viewer.scopes.as_str(), "launch patient/Patient.rs");
    assert_eq!(viewer.patient.as_deref(), Some("ana"));
}

async fn a_launch_is_for_one_app_one_person_five_minutes_and_once(server: Server) {
    let world = World::new(server).await;
    let refused = async |sent: &Sent| {
        let answer = Browser::new(server).open(sent.url.as_str()).await.answer();
        assert!(!answer.contains_key("code"));
        answer["error"].clone()
    };
    let launch = world.launch(json!({})).await;
    // Asked without the scope, it is not used up, nor by another app.
    assert_eq!(refused(&world.start(&launch, "user/*.rs")).await, "invalid_scope");
    let other = App::new(server, &server.add_client(ClientKind::Public, SCOPE).await);
    let mut stolen = other.start(SCOPE);
    stolen.url.query_pairs_mut().append_pair("launch", &launch);
    let page = Browser::new(server).open(stolen.url.as_str()).await.page();
    assert_eq!(Browser::link_back(&page).answer()["error"], "invalid_request");
    // Somebody else signs in: told so, and not signed in. Then the right one.
    let sent = world.start(&launch, SCOPE);
    let stranger = server.add_user(Role::Clinician, Some("dr-day"), &[]).await;
    let browser = Browser::new(server);
    let login = browser.open(sent.url.as_str()).await.page();
    let page = browser.sign_in(&login, &stranger.username, PASSWORD).await.page();
    assert_eq!(page.status, 400);
    assert!(page.body.contains("opened for somebody else"), "{}", page.body);
    let consent = browser.sign_in(&page, &world.clinician.username, PASSWORD).await.page();
    assert_eq!(consent.url.path(), "/auth/consent");
    // A browser in which somebody else is signed in asks who it is.
    let busy = Browser::new(server);
    let login = busy.open(&server.url("/login")).await.page();
    busy.sign_in(&login, &stranger.username, PASSWORD).await.page();
    let second = world.launch(json!({})).await;
    let page = busy.open(world.start(&second, SCOPE).url.as_str()).await.page();
    assert_eq!(page.url.path(), "/auth/switch");
    assert!(page.body.contains("opened for somebody else"));
    assert!(!page.body.contains("value=\"stay\""));
    let mut form = page.form("/auth/switch");
    form.set("action", "stay");
    let page = busy.submit(&form).await.page();
    assert_eq!(page.url.path(), "/login");
    assert!(!page.body.contains("signed in already") && !page.body.contains(&stranger.username));
    // Once, and for five minutes: the person is told to go back to the chart.
    let gone = async |launch: &str| {
        let sent = world.start(launch, SCOPE);
        let page = Browser::new(server).open(sent.url.as_str()).await.page();
        assert_eq!(page.status, 400);
        assert!(page.body.contains("Go back to the chart"), "{}", page.body);
        let answer = Browser::link_back(&page).answer();
        assert!(!answer.contains_key("code"));
        assert_eq!(answer["error"], "invalid_request");
        assert_eq!(answer["state"], *sent.state.secret());
    };
    gone(&launch).await;
    let late = world.launch(json!({})).await;
    server.advance(300_000);
    gone(&late).await;
    assert!(candor::smart::sweep(&server.state).await.unwrap() >= 1);
    // Launched on its own, an app may ask for the scope; it gets no context.
    let alone = world.app.connect(server, &world.clinician, SCOPE, |_| ()).await;
    assert_eq!(alone.extra_fields().patient, None);
    assert!(!alone.scopes().unwrap().iter().any(|one| one.as_str() == "launch"));
}

async fn a_patient_launches_an_app_about_a_record_of_theirs_only(server: Server) {
    let world = World::new(server).await;
    let patient = server.add_patient().await;
    let says = |patient_id: &str| {
        json!({"user": patient.username, "patient": patient_id, "encounter": null})
    };
    let sent = world.start(&world.launch(says("ana")).await, "launch patient/*.rs user/Goal.rs");
    let answer = Browser::new(server).allow(&sent, &patient, |_| ()).await;
    let tokens = world.app.exchange(&answer["code"], sent.verifier).await.unwrap();
    assert_eq!(tokens.extra_fields().patient.as_deref(), Some("ana"));
    let viewer = authenticate(&server.state, tokens.access_token().secret()).await.unwrap();
    assert_eq!(viewer.class, ViewerClass::Patient);
    let sent = world.start(&world.launch(says("ben")).await, "launch patient/*.rs");
    let browser = Browser::new(server);
    let login = browser.open(sent.url.as_str()).await.page();
    let page = browser.sign_in(&login, &patient.username, PASSWORD).await.page();
    let answer = Browser::link_back(&page).answer();
    assert_eq!(answer["error"], "access_denied");
}

async fn only_an_ehr_makes_launches_and_only_of_what_is_there(server: Server) {
    let world = World::new(server).await;
    let good = world.says(json!({}));
    assert_eq!(post(server, None, &good).await.0, 401);
    assert_eq!(post(server, Some("nothing"), &good).await.0, 401);
    let feed = backend_token(server, "system/*.cruds").await;
    assert_eq!(post(server, Some(&feed), &good).await.0, 403);
    let person = world.app.connect(server, &world.clinician, SCOPE, |_| ()).await;
    let person = person.access_token().secret();
    assert_eq!(post(server, Some(person), &good).await.0, 403);
    let unlaunched = server.add_client(ClientKind::Public, "openid user/*.rs").await;
    for (changes, word) in [
        (json!({"client_id": "nobody"}), "client_id"),
        (json!({"client_id": unlaunched.client_id}), "launch"),
        (json!({"client_id": null}), "client_id"),
        (json!({"user": "nobody"}), "user"),
        (json!({"user": "Practitioner/nobody"}), "user"),
        (json!({"user": 7}), "user"),
        (json!({"patient": "nobody"}), "patient"),
        (json!({"patient": "../ana"}), "patient"),
        (json!({"patient": "ben"}), "encounter"),
        (json!({"patient": null}), "encounter"),
        (json!({"encounter": "nothing"}), "encounter"),
        (json!({"need_patient_banner": "no"}), "need_patient_banner"),
        (json!({"fhirContext": [{"reference": "Patient/ben"}]}), "fhirContext"),
        (json!({"intnet": "x"}), "intnet"),
    ] {
        let (status, answer) = post(server, Some(&world.ehr), &world.says(changes.clone())).await;
        assert_eq!(status, 400, "{changes}: {answer}");
        let words = answer["error_description"].as_str().unwrap();
        assert!(words.contains(word), "{changes}: {words}");
    }
}
}
