//! The FHIR API in process, for viewers of a test's making.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use candor::clock::{Clock, Millis};
use candor::rest::{AuthError, AuthFuture, Authenticator, Limits, OauthUris, RestState, service};
use candor::store::{Store, StoreOptions};
use candor::visibility::scope::Scopes;
use candor::visibility::{Viewer, ViewerClass};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{Database, T0, TestDatabase};

/// Runs a test body against the API on SQLite and on PostgreSQL, as two tests.
macro_rules! each_api {
    ($($(#[$meta:meta])* async fn $name:ident($api:ident: &Api) $body:block)+) => {$(
        $(#[$meta])*
        async fn $name($api: &$crate::rest_support::Api) $body

        mod $name {
            use $crate::rest_support::Api;
            use $crate::support::Database;

            #[tokio::test]
            async fn sqlite() {
                let api = Api::start(Database::Sqlite).await;
                super::$name(&api).await;
                api.stop().await;
            }

            #[tokio::test]
            async fn postgres() {
                if !Database::Postgres.is_there() {
                    return;
                }
                let api = Api::start(Database::Postgres).await;
                super::$name(&api).await;
                api.stop().await;
            }
        }
    )+};
}
pub(crate) use each_api;

pub const BASE: &str = "http://localhost:8080/fhir/r4";

/// Tokens say who they are: `class;patient;scopes`.
pub const SYSTEM: &str = "system;;system/*.cruds";
pub const CLINICIAN: &str = "clinician;;user/*.cruds";
pub const AUDITOR: &str = "auditor;;user/*.rs";

/// A patient's app.
pub fn patient(id: &str) -> String {
    format!("patient;{id};patient/*.rs")
}

#[derive(Debug)]
struct Spelt;

impl Authenticator for Spelt {
    fn authenticate<'a>(&'a self, bearer: &'a str) -> AuthFuture<'a> {
        Box::pin(async move {
            if bearer == "unreachable" {
                return Err(AuthError::Unavailable);
            }
            let mut parts = bearer.splitn(3, ';');
            let class = parts
                .next()
                .and_then(ViewerClass::from_name)
                .ok_or(AuthError::Invalid)?;
            let patient = parts.next().filter(|id| !id.is_empty()).map(str::to_owned);
            let scopes = parts.next().ok_or(AuthError::Invalid)?;
            let person = match class {
                ViewerClass::Patient => patient.as_ref().map(|id| format!("Patient/{id}")),
                ViewerClass::Clinician => Some("Practitioner/doctor".to_owned()),
                _ => None,
            };
            Ok(Viewer {
                class,
                person,
                patient,
                client_id: "test".to_owned(),
                client_device: None,
                level: candor::visibility::level::Level::Full,
                scopes: Scopes::parse(scopes),
            })
        })
    }
}

/// A server with a database of its own.
pub struct Api {
    pub store: Store,
    pub clock: Clock,
    router: Router,
    database: TestDatabase,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The answer, if it has this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    /// The one issue of an OperationOutcome with this status: (code, diagnostics, expression).
    #[track_caller]
    pub fn issue(&self, status: u16) -> (String, String, String) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome");
        let issue = &outcome["issue"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&issue["code"]),
            text(&issue["diagnostics"]),
            text(&issue["expression"][0]),
        )
    }

    /// The id in `Location`.
    #[track_caller]
    pub fn id(&self) -> String {
        let location = self.header("location").unwrap();
        let rest = location.strip_prefix(BASE).unwrap();
        rest.split('/').nth(2).unwrap().to_owned()
    }
}

/// A request being put together.
pub struct Call<'a> {
    api: &'a Api,
    request: axum::http::request::Builder,
    body: Body,
}

impl Call<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn json(self, value: &Value) -> Self {
        self.body("application/fhir+json", value.to_string().into_bytes())
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.request = self.request.header("content-type", content_type);
        self.body = Body::from(body.into());
        self
    }

    pub async fn send(self) -> Answer {
        let request: Request<Body> = self.request.body(self.body).unwrap();
        let response = self.api.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }
}

impl Api {
    pub async fn start(database: Database) -> Self {
        Self::with(database, Limits::default()).await
    }

    pub async fn with(database: Database, limits: Limits) -> Self {
        let database = TestDatabase::create(database).await;
        let clock = Clock::test(T0);
        let store = Store::open(&StoreOptions {
            url: database.url.clone(),
            base: BASE.to_owned(),
            clock: clock.clone(),
            connections: 2,
        })
        .await
        .unwrap();
        let oauth = OauthUris {
            authorize: "http://localhost:8080/oauth/authorize".to_owned(),
            token: "http://localhost:8080/oauth/token".to_owned(),
            introspect: String::new(),
            revoke: String::new(),
        };
        let state = RestState::new(store.clone(), Arc::new(Spelt), limits, oauth);
        Self {
            store,
            clock,
            router: Router::new().nest_service("/fhir/r4", service(state, "")),
            database,
        }
    }

    /// Ends the server; a PostgreSQL database goes with it.
    pub async fn stop(self) {
        drop(self.router);
        self.store.close().await.unwrap();
        self.database.drop().await;
    }

    /// A request below the base, without a token.
    pub fn bare(&self, method: &str, path: &str) -> Call<'_> {
        // "" is the base, "/" the base with its slash.
        let uri = match path {
            "" | "/" => format!("/fhir/r4{path}"),
            query if query.starts_with('?') => format!("/fhir/r4{query}"),
            path => format!("/fhir/r4/{}", path.trim_start_matches('/')),
        };
        Call {
            api: self,
            request: Request::builder()
                .method(Method::from_bytes(method.as_bytes()).unwrap())
                .uri(uri),
            body: Body::empty(),
        }
    }

    pub fn call(&self, token: &str, method: &str, path: &str) -> Call<'_> {
        self.bare(method, path)
            .header("authorization", &format!("Bearer {token}"))
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.call(token, "GET", path).send().await
    }

    pub async fn put(&self, token: &str, resource: &Value) -> Answer {
        let address = format!(
            "{}/{}",
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        self.call(token, "PUT", &address)
            .json(resource)
            .send()
            .await
    }

    pub async fn post(&self, token: &str, path: &str, resource: &Value) -> Answer {
        self.call(token, "POST", path).json(resource).send().await
    }

    /// Lets time pass.
    pub fn pass(&self, by: Millis) {
        assert!(self.clock.set(self.clock.now() + by));
    }
}

/// A patient with a name.
pub fn a_patient(id: &str) -> Value {
    json!({"resourceType": "Patient", "id": id, "name": [{"family": "Ruiz"}], "gender": "female"})
}

/// A final laboratory result of a patient.
pub fn an_observation(id: &str, patient: &str) -> Value {
    json!({
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "laboratory",
        }]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "subject": {"reference": format!("Patient/{patient}")},
        "issued": "2026-11-10T14:00:00Z",
        "valueQuantity": {"value": 13.5, "unit": "g/dL"},
    })
}

/// The same without its id, for POST.
pub fn without_id(mut resource: Value) -> Value {
    resource.as_object_mut().unwrap().shift_remove("id");
    resource
}

/// A psychotherapy note with everything that keeps it from all but its author, Practitioner/psy.
pub fn a_psychotherapy_note(id: &str, patient: &str) -> Value {
    json!({
        "resourceType": "DocumentReference", "id": id, "status": "current", "docStatus": "final",
        "meta": {"security": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}]},
        "extension": [{
            "url": "https://candor.example/fhir/StructureDefinition/psychotherapy-attestation",
            "extension": [
                {"url": "author", "valueReference": {"reference": "Practitioner/psy"}},
                {"url": "sessionAnalysis", "valueBoolean": true},
                {"url": "separatelyStored", "valueBoolean": true},
                {"url": "attestedAt", "valueDateTime": "2026-11-03T15:00:00Z"},
            ],
        }],
        "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3"}]},
        "category": [{"coding": [{
            "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
            "code": "clinical-note"}]}],
        "subject": {"reference": format!("Patient/{patient}")},
        "date": "2026-11-03T15:00:00Z",
        "author": [{"reference": "Practitioner/psy"}],
        "content": [{"attachment": {"contentType": "text/plain", "data": "Tm90ZQ=="}}],
    })
}

/// The author of [`a_psychotherapy_note`].
pub fn a_psychologist() -> Value {
    json!({"resourceType": "Practitioner", "id": "psy",
        "qualification": [{"code": {"text": "Clinical Psychologist"}}]})
}
