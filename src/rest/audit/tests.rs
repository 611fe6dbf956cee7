//! What is said where not all AuditEvents could be waited for.

use std::sync::Arc;

use serde_json::Value;

use crate::clock::Clock;
use crate::rest::negotiate::Prefer;
use crate::rest::operation::{self, graphql};
use crate::rest::query::Pairs;
use crate::rest::reply::{Content, Reply};
use crate::rest::route::Route;
use crate::rest::search::{Place, search};
use crate::rest::session::{Limits, Session};
use crate::store::{Origin, Store, StoreOptions};
use crate::visibility::scope::Scopes;
use crate::visibility::{Viewer, ViewerClass, access_log};

async fn session(folder: &tempfile::TempDir) -> Session {
    let store = Store::open(&StoreOptions {
        url: format!("sqlite://{}/candor.db", folder.path().display()),
        base: "http://127.0.0.1:8080/fhir/r4".to_owned(),
        clock: Clock::test(1_700_000_000_000),
        connections: 2,
    })
    .await
    .unwrap();
    let viewer = Viewer {
        class: ViewerClass::Auditor,
        person: None,
        patient: None,
        client_id: "app".to_owned(),
        client_device: None,
        level: crate::visibility::level::Level::Full,
        scopes: Scopes::parse("user/*.rs"),
    };
    Session::new(store, viewer, Arc::new(Limits::default()), Origin::Api)
}

fn text(reply: Reply) -> String {
    match reply.content {
        Content::Json(body) | Content::Plain(body) => String::from_utf8(body.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_could_not_wait_for_all_events_is_told() {
    for are_all in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let session = session(&folder).await;
        session.events.are_all.set(are_all).unwrap();
        let asked = async |type_id, pairs: &[(&str, &str)]| {
            let pairs: Pairs = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let place = Place {
                type_id,
                compartment: None,
            };
            let reply = search(&session, place, &pairs, Prefer::default()).await;
            text(reply.unwrap())
        };
        let log = Some(access_log());
        let patients = crate::fhir::definitions::definitions().type_id("Patient");
        let about = [
            asked(log, &[]).await,
            asked(None, &[("_type", "AuditEvent")]).await,
            asked(patients, &[("_revinclude", "AuditEvent:patient")]).await,
        ];
        for answer in about {
            let bundle: Value = serde_json::from_str(&answer).unwrap();
            let last = bundle["entry"].as_array().and_then(|all| all.last());
            let said = last.is_some_and(|last| last["search"]["mode"] == "outcome");
            assert_eq!(said, !are_all, "{answer}");
            assert_eq!(answer.contains("incomplete"), !are_all, "{answer}");
        }
        let pairs = vec![("_type".to_owned(), "AuditEvent".to_owned())];
        let route = Route::TypeOperation(patients.unwrap(), "$everything");
        let all = operation::get(&session, route, &pairs).await.unwrap();
        assert_eq!(text(all).contains("incomplete"), !are_all);
        // Of what is no access there is nothing more to come.
        assert!(!asked(patients, &[]).await.contains("incomplete"));
        for (query, says) in [
            ("{ AuditEventList { id } }", !are_all),
            ("{ PatientList { id } }", false),
        ] {
            let asked = vec![("query".to_owned(), query.to_owned())];
            let request = graphql::Request::of_pairs(&asked).unwrap();
            let answer = text(graphql::answer(&session, None, request).await.unwrap());
            assert_eq!(answer.contains("incomplete"), says, "{answer}");
        }
    }
}
