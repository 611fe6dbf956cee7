//! The write path against SQLite, and against PostgreSQL where `CANDOR_TEST_POSTGRES` names one.

use serde_json::{Value, json};

use super::{Method, Op, Origin, Store, StoreError, StoreOptions};
use crate::clock::{Clock, Millis};
use crate::fhir::definitions::definitions;
use crate::visibility::scope::Scopes;
use crate::visibility::{Viewer, ViewerClass, Visibility};

pub(super) const T0: Millis = 1_794_322_800_000;

pub(super) struct Fixture {
    pub(super) store: Store,
    pub(super) clock: Clock,
    _dir: tempfile::TempDir,
}

pub(super) async fn sqlite() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::test(T0);
    let store = Store::open(&StoreOptions {
        url: format!("sqlite://{}/candor.db", dir.path().display()),
        base: "http://localhost/fhir/r4".to_owned(),
        clock: clock.clone(),
        connections: 2,
    })
    .await
    .unwrap();
    Fixture {
        store,
        clock,
        _dir: dir,
    }
}

pub(super) fn op(resource: Value) -> Op {
    let type_name = resource["resourceType"].as_str().unwrap();
    Op {
        type_id: definitions().type_id(type_name).unwrap(),
        id: resource["id"].as_str().unwrap().to_owned(),
        method: Method::Put,
        resource: Some(resource),
        if_match: None,
        must_be_new: false,
    }
}

pub(super) fn viewer(class: ViewerClass, patient: Option<&str>) -> Viewer {
    Viewer {
        class,
        person: patient.map(|id| format!("Patient/{id}")),
        patient: patient.map(str::to_owned),
        client_id: "test".to_owned(),
        client_device: None,
        scopes: Scopes::parse(if patient.is_some() {
            "patient/*.rs"
        } else {
            "system/*.cruds"
        }),
    }
}

impl Fixture {
    pub(super) fn sees(&self, viewer: &Viewer) -> Visibility {
        let now = self.clock.now();
        Visibility::of(viewer, self.store.keys(), now, now)
    }

    pub(super) async fn read(&self, viewer: &Viewer, reference: &str) -> Result<Value, StoreError> {
        let (type_name, id) = reference.split_once('/').unwrap();
        let type_id = definitions().type_id(type_name).unwrap();
        let narrow = |_: &_, _, _: &str, _: &mut _, _: &str| Ok("1 = 1".to_owned());
        let stored = self
            .store
            .read(&self.sees(viewer), narrow, type_id, id)
            .await?;
        Ok(serde_json::from_slice(&stored.body).unwrap())
    }
}

#[tokio::test]
async fn a_resource_is_written_read_replaced_and_deleted() {
    let fixture = sqlite().await;
    let system = viewer(ViewerClass::System, None);
    let patient = json!({"resourceType": "Patient", "id": "p", "name": [{"family": "Ruiz"}]});
    let written = fixture
        .store
        .write(Origin::Api, vec![op(patient.clone())])
        .await
        .unwrap();
    assert!(written[0].created && written[0].version == 1);
    assert!(matches!(
        fixture.read(&system, "Patient/q").await,
        Err(StoreError::NotFound)
    ));
    let read = fixture.read(&system, "Patient/p").await.unwrap();
    assert_eq!(
        read["meta"],
        json!({"versionId": "1", "lastUpdated": "2026-11-10T15:00:00.000Z"})
    );

    let mut again = op(patient);
    again.if_match = Some(7);
    let refused = fixture.store.write(Origin::Api, vec![again.clone()]).await;
    assert!(matches!(refused, Err(StoreError::VersionConflict)));
    again.if_match = Some(1);
    assert_eq!(
        fixture
            .store
            .write(Origin::Api, vec![again.clone()])
            .await
            .unwrap()[0]
            .version,
        2
    );

    let delete = Op {
        resource: None,
        if_match: None,
        method: Method::Delete,
        ..again
    };
    assert_eq!(
        fixture
            .store
            .write(Origin::Api, vec![delete.clone()])
            .await
            .unwrap()[0]
            .version,
        3
    );
    assert!(matches!(
        fixture.read(&system, "Patient/p").await,
        Err(StoreError::Gone)
    ));
    // Deleting again changes nothing.
    assert_eq!(
        fixture
            .store
            .write(Origin::Api, vec![delete])
            .await
            .unwrap()[0]
            .version,
        3
    );
    let check = fixture.store.verify_ledger().await.unwrap();
    assert_eq!(check.broken_at, None);
}
