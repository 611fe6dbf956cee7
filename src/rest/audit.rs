//! Who looked at what: an AuditEvent for every access (IHE Basic Audit Log Patterns, 45 CFR
//! 164.312(b)).
//!
//! A request hands over a few ids and goes on; a task writes them in batches. The queue is bounded:
//! when it is full requests wait, so nothing is lost, and at the end what is queued is written
//! before the database closes. Events about a patient are in the patient's record, who may see
//! them; an access to something that is held back names no patient, for it would tell of it.

mod event;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::route::Route;
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::store::{Method, Op, Origin, Store, StoreError};
use crate::visibility::Viewer;

/// Accesses that wait to be written.
const QUEUE: usize = 10_000;
/// Accesses of one transaction.
const BATCH: usize = 250;
/// Resources whose patients are looked up at once.
const KEYS: usize = 5_000;

/// Keys of the resources that a request saw or wrote.
#[derive(Clone, Debug, Default)]
pub struct Touched(Arc<Mutex<Vec<i64>>>);

impl Touched {
    /// Notes resources.
    pub(super) fn add(&self, keys: impl IntoIterator<Item = i64>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.extend(keys);
    }

    fn take(&self) -> Vec<i64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One access.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) at: Millis,
    /// R4's name of the interaction.
    pub(super) interaction: &'static str,
    pub(super) viewer: Arc<Viewer>,
    pub(super) status: StatusCode,
    /// What the address names.
    pub(super) what: Option<String>,
    /// The address and the names of the query's parameters, without their values.
    pub(super) query: Option<String>,
    pub(super) touched: Vec<i64>,
}

/// Where accesses are handed over. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditLog(mpsc::Sender<Access>);

/// The task behind an [`AuditLog`].
#[derive(Debug)]
pub struct AuditWriter {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl AuditLog {
    /// Starts the task that writes what is handed over.
    #[must_use]
    pub fn start(store: Store) -> (Self, AuditWriter) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let task = tokio::spawn(write_all(store, receiver, stop.clone()));
        (Self(sender), AuditWriter { stop, task })
    }

    /// Hands over an access; waits where too many are waiting.
    pub(super) async fn note(&self, access: Access, touched: &Touched) {
        let access = Access {
            touched: touched.take(),
            ..access
        };
        if self.0.send(access).await.is_err() {
            tracing::error!("an access came after the end of the audit log");
        }
    }
}

impl AuditWriter {
    /// Writes what is waiting and ends.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the audit log ended badly");
        }
    }
}

async fn write_all(store: Store, mut queue: mpsc::Receiver<Access>, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let received = tokio::select! {
            count = queue.recv_many(&mut batch, BATCH) => count,
            () = stop.cancelled(), if !queue.is_closed() => {
                // What is waiting still comes.
                queue.close();
                continue;
            }
        };
        if received == 0 {
            return;
        }
        let mut pause = Duration::from_millis(100);
        while let Err(error) = write(&store, &batch).await {
            tracing::error!(%error, count = batch.len(), "accesses could not be written, trying again");
            if stop.is_cancelled() && pause > Duration::from_secs(5) {
                tracing::error!(
                    count = batch.len(),
                    "accesses are lost: the database cannot be written to"
                );
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
        batch.clear();
    }
}

async fn write(store: &Store, batch: &[Access]) -> Result<(), StoreError> {
    let mut keys: Vec<i64> = batch.iter().flat_map(|one| one.touched.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut subjects = std::collections::HashMap::new();
    for some in keys.chunks(KEYS) {
        subjects.extend(store.subjects(some).await?);
    }
    let Some(type_id) = definitions().type_id("AuditEvent") else {
        return Ok(());
    };
    let mut ops = Vec::with_capacity(batch.len());
    for access in batch {
        let found = || access.touched.iter().filter_map(|key| subjects.get(key));
        // One of its own for each patient: an event is in one record.
        let mut patients: BTreeSet<Option<&str>> = found()
            .filter(|subject| access.what.is_none() || !subject.is_held)
            .map(|subject| Some(&*subject.patient))
            .collect();
        if patients.is_empty() {
            patients.insert(None);
        }
        for patient in patients {
            ops.push(op(type_id, event::event(store.base(), access, patient)));
        }
    }
    for some in ops.chunks(BATCH) {
        store.write(Origin::Feed, some.to_vec()).await?;
    }
    Ok(())
}

fn op(type_id: TypeId, resource: serde_json::Value) -> Op {
    Op {
        type_id,
        id: Uuid::new_v4().to_string(),
        method: Method::Post,
        resource: Some(resource),
        if_match: None,
        must_be_new: true,
    }
}

/// What an address names that an event can name too: a type and an id.
pub(super) fn what(route: Route<'_>) -> Option<String> {
    match route {
        Route::Instance(type_id, id)
        | Route::Version(type_id, id, _)
        | Route::InstanceHistory(type_id, id)
        | Route::InstanceOperation(type_id, id, _)
            if super::route::is_id(id) =>
        {
            Some(format!("{}/{id}", definitions().type_name(type_id)))
        }
        _ => None,
    }
}

/// The address and the names of its parameters: values may name a person or a disease.
pub(super) fn query(path: &str, pairs: &super::query::Pairs) -> String {
    let path = path.trim_matches('/');
    let names: Vec<String> = pairs
        .iter()
        .map(|(name, _)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':' | '.');
            let name: String = name.chars().filter(|c| plain(*c)).take(64).collect();
            format!("{name}=")
        })
        .collect();
    if names.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", names.join("&"))
    }
}
