//! A reference written in one patient's record while a hold is put on what it refers to in another's:
//! whoever comes first, the reference is not shown. On PostgreSQL, where two such writes meet.

use std::time::Duration;

use candor::fhir::definitions::definitions;
use candor::store::{Method, Op, Origin};
use serde_json::{Value, json};

use crate::rest_support::{Api, SYSTEM, a_patient, a_psychologist, a_psychotherapy_note, patient};
use crate::support::Database;

fn op(resource: Value) -> Op {
    Op {
        type_id: definitions()
            .type_id(resource["resourceType"].as_str().unwrap())
            .unwrap(),
        id: resource["id"].as_str().unwrap().to_owned(),
        method: Method::Put,
        resource: Some(resource),
        if_match: None,
        must_be_new: false,
    }
}

/// A list in q's record that refers to a note in p's.
fn list() -> Value {
    json!({"resourceType": "List", "id": "l", "status": "current", "mode": "working",
        "subject": {"reference": "Patient/q"},
        "entry": [{"item": {"reference": "DocumentReference/n"}}, {"item": {"reference": "Patient/q"}}]})
}

/// Writes `first`, leaves it open while the API writes `second`, then commits.
async fn meet(api: &Api, first: Value, second: &Value) {
    let mut writer = api.store.writer(Origin::Api).await.unwrap();
    writer.apply(vec![op(first)]).await.unwrap();
    let commit = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        writer.commit().await.unwrap();
    };
    let ((), answer) = tokio::join!(commit, api.put(SYSTEM, second));
    assert!(answer.status.is_success(), "{}", answer.text());
}

#[tokio::test]
async fn a_reference_and_a_hold_that_meet_see_each_other() {
    if !Database::Postgres.is_there() {
        return;
    }
    let mut plain = a_psychotherapy_note("n", "p");
    plain.as_object_mut().unwrap().remove("meta");
    plain["type"] = json!({"coding": [{"system": "http://loinc.org", "code": "11506-3"}]});
    let held = a_psychotherapy_note("n", "p");
    for list_is_first in [true, false] {
        let api = Api::start(Database::Postgres).await;
        for one in [&a_patient("p"), &a_patient("q"), &a_psychologist(), &plain] {
            api.put(SYSTEM, one).await.is(201);
        }
        let seen = api.get(&patient("p"), "DocumentReference/n").await;
        assert_eq!(seen.status, 200, "the note is not held yet");
        match list_is_first {
            true => meet(&api, list(), &held).await,
            false => meet(&api, held.clone(), &list()).await,
        }
        api.get(&patient("p"), "DocumentReference/n").await.is(404);
        let shown = api.get(&patient("q"), "List/l").await.is(200).json();
        assert_eq!(
            shown["entry"].as_array().unwrap().len(),
            1,
            "first: {list_is_first}: {shown}"
        );
        api.stop().await;
    }
}
