//! Who looked at what: an AuditEvent for every access (IHE Basic Audit Log Patterns, 45 CFR
//! 164.312(b)).
//!
//! A request hands over a few ids and goes on. A task appends them to a journal, many in one row, a
//! few times a second; AuditEvents are made of it ([`make`]) before anybody looks for AuditEvents
//! ([`AuditLog::settle`]), so that nobody who may see them misses one unless told that there are more. Until somebody looks an access takes
//! some twenty bytes, an AuditEvent five thousand. The queue is bounded: when it is full requests wait,
//! so nothing is lost, and at the end what is queued is written before the database closes; what a killed process had not yet written is
//! lost, [`FLUSH`] at most. Events about a patient are in the patient's record, who may see them; an
//! access to something that is held back names no patient, for it would tell of it.

mod event;
mod make;
mod record;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::RestError;
use super::query::Pairs;
use super::route::Route;
use super::session::Session;
use crate::clock::Millis;
use crate::fhir::definitions::definitions;
use crate::fhir::outcome::Issue;
use crate::store::{Store, StoreError};
use crate::visibility::{Access as Permission, Viewer, access_log};

/// Accesses that wait to be written.
const QUEUE: usize = 65_536;
/// Accesses of one row of the journal, whose events are made in one transaction: others wait for it.
const ROW: usize = 50;
/// How long an access may wait to be written.
pub const FLUSH: Duration = Duration::from_millis(500);
/// With so many waiting they are written at once.
const MANY: usize = 16_384;
/// Whoever looks for events waits so long for them to be made; then they get what there is, and are told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at whether somebody waits.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at what is older than is kept.
const SWEEP: Duration = Duration::from_secs(3600);

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

/// Accesses that wait to be written. A request only adds to a list: the task that writes is woken by the
/// first one, not by each.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Something waits.
    some: Notify,
    /// It is to be written now.
    now: Notify,
    /// There is room again.
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    accesses: Vec<Access>,
    /// To be told once everything before is in the journal.
    tell: Vec<oneshot::Sender<()>>,
    /// Nothing more comes out of here.
    is_closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an access, once there is room.
    async fn add(&self, access: Access) {
        let mut room = pin!(self.room.notified());
        loop {
            room.as_mut().enable();
            {
                let mut waiting = self.lock();
                if waiting.is_closed {
                    tracing::error!("an access came after the end of the audit log");
                    return;
                }
                if waiting.accesses.len() < QUEUE {
                    waiting.accesses.push(access);
                    match waiting.accesses.len() {
                        1 => self.some.notify_one(),
                        MANY => self.now.notify_one(),
                        _ => {}
                    }
                    return;
                }
            }
            room.as_mut().await;
            room.set(self.room.notified());
        }
    }

    /// Waits until everything that was added is in the journal.
    async fn flush(&self) {
        let (told, done) = oneshot::channel();
        {
            let mut waiting = self.lock();
            if waiting.is_closed {
                return;
            }
            waiting.tell.push(told);
        }
        self.some.notify_one();
        self.now.notify_one();
        // An error is the end of the server, which writes everything.
        let _ = done.await;
    }
}

/// Where accesses are handed over. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AuditLog {
    /// None: accesses are not noted, those that were can be looked for all the same.
    queue: Option<Arc<Queue>>,
    /// Held by whoever makes events.
    making: Arc<tokio::sync::Mutex<()>>,
    /// Somebody looked, and there was more than they could wait for.
    wanted: Arc<AtomicBool>,
}

/// The tasks behind an [`AuditLog`].
#[derive(Debug)]
pub struct AuditWriter {
    stop: CancellationToken,
    writing: JoinHandle<()>,
    making: JoinHandle<()>,
}

impl AuditLog {
    /// Starts the tasks that write what is handed over, make events of it, and forget what is older
    /// than `days` (0: nothing is).
    #[must_use]
    pub fn start(store: Store, days: u32) -> (Self, AuditWriter) {
        let queue = Arc::new(Queue::default());
        let log = Self {
            queue: Some(queue.clone()),
            ..Self::default()
        };
        let stop = CancellationToken::new();
        let writing = tokio::spawn(write_all(store.clone(), queue, stop.clone()));
        let making = tokio::spawn(keep(store, log.clone(), days));
        let writer = AuditWriter {
            stop,
            writing,
            making,
        };
        (log, writer)
    }

    /// Whether accesses are noted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Hands over an access; waits where too many are waiting.
    pub(super) async fn note(&self, access: Access, touched: &Touched) {
        let access = Access {
            touched: touched.take(),
            ..access
        };
        if let Some(queue) = &self.queue {
            queue.add(access).await;
        }
    }

    /// Makes the events of every access that this process answered until now, and that others wrote.
    /// False: there are so many that it goes on without whoever asks.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn settle(&self, store: &Store) -> Result<bool, StoreError> {
        let until = Instant::now() + PATIENCE;
        if let Some(queue) = &self.queue
            && tokio::time::timeout(PATIENCE, queue.flush()).await.is_err()
        {
            return Ok(false);
        }
        if !store.has_journal().await? {
            return Ok(true);
        }
        let left = until.saturating_duration_since(Instant::now());
        let Ok(_one_at_a_time) = tokio::time::timeout(left, self.making.lock()).await else {
            return Ok(false);
        };
        while make::make(store).await? {
            if Instant::now() > until {
                self.wanted.store(true, Ordering::Relaxed);
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl AuditWriter {
    /// Writes what is waiting and ends.
    pub async fn stop(self) {
        self.making.abort();
        self.stop.cancel();
        if let Err(error) = self.writing.await {
            tracing::error!(%error, "the audit log ended badly");
        }
    }
}

/// Makes the events that somebody waits for, and forgets what is older than is kept.
async fn keep(store: Store, log: AuditLog, days: u32) {
    let mut swept: Option<Instant> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        while log.wanted.load(Ordering::Relaxed) && !store.is_index_closed() {
            let began = Instant::now();
            let made = {
                let _one_at_a_time = log.making.lock().await;
                make::make(&store).await
            };
            match made {
                // Half of the time belongs to other writers.
                Ok(true) => tokio::time::sleep(began.elapsed()).await,
                Ok(false) => log.wanted.store(false, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(%error, "AuditEvents could not be made");
                    break;
                }
            }
        }
        if days > 0 && swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            swept = Some(Instant::now());
            let before = store.clock().now() - Millis::from(days) * 86_400_000;
            loop {
                match store.forget_accesses(before).await {
                    Ok(true) => tokio::time::sleep(Duration::from_millis(10)).await,
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "old AuditEvents could not be removed");
                        break;
                    }
                }
            }
        }
    }
}

async fn write_all(store: Store, queue: Arc<Queue>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = queue.some.notified() => {}
            () = stop.cancelled() => {}
        }
        // More comes along in a moment, unless somebody waits.
        tokio::select! {
            () = queue.now.notified() => {}
            () = tokio::time::sleep(FLUSH) => {}
            () = stop.cancelled() => {}
        }
        let taken = {
            let mut waiting = queue.lock();
            let is_closed = stop.is_cancelled();
            let next = Waiting {
                is_closed,
                ..Waiting::default()
            };
            Waiting {
                is_closed,
                ..std::mem::replace(&mut *waiting, next)
            }
        };
        queue.room.notify_waiters();
        append(&store, &taken.accesses, &stop).await;
        for told in taken.tell {
            let _ = told.send(());
        }
        if taken.is_closed {
            return;
        }
    }
}

/// Writes accesses, however often it takes.
async fn append(store: &Store, accesses: &[Access], stop: &CancellationToken) {
    let mut pause = Duration::from_millis(100);
    while let Err(error) = try_append(store, accesses).await {
        let count = accesses.len();
        tracing::error!(%error, count, "accesses could not be written, trying again");
        if stop.is_cancelled() && pause > Duration::from_secs(5) {
            tracing::error!(
                count,
                "accesses are lost: the database cannot be written to"
            );
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

async fn try_append(store: &Store, accesses: &[Access]) -> Result<(), StoreError> {
    if accesses.is_empty() {
        return Ok(());
    }
    let rows = accesses.chunks(ROW).map(record::pack);
    store.append_journal(rows.collect::<Result<_, _>>()?).await
}

/// Whether a text names what is made before it is looked for.
pub(super) fn names_events(text: &str) -> bool {
    text.contains("AuditEvent")
}

/// What a request knows of the AuditEvents it may look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    /// Where they are made. None within an open write: there none can be.
    log: Option<AuditLog>,
    /// Whether all were there when this request asked; once for all entries of a batch.
    are_all: Arc<OnceLock<bool>>,
}

impl Events {
    pub(super) fn new(log: AuditLog) -> Self {
        Self {
            log: Some(log),
            ..Self::default()
        }
    }

    /// The same within an open write.
    pub(super) fn within_a_write(&self) -> Self {
        Self {
            log: None,
            are_all: self.are_all.clone(),
        }
    }
}

/// [`settle_events`] where a request may look at AuditEvents, which its address and parameters tell.
///
/// # Errors
/// As [`settle_events`].
pub(super) async fn settle(session: &Session, path: &str, pairs: &Pairs) -> Result<(), RestError> {
    if may_look(path, pairs) {
        settle_events(session).await?;
    }
    Ok(())
}

/// Whether an address and its parameters name AuditEvents.
fn may_look(path: &str, pairs: &Pairs) -> bool {
    let mut texts = pairs.iter().flat_map(|(name, value)| [name, value]);
    names_events(path) || texts.any(|text| names_events(text))
}

/// [`AuditLog::settle`] for whoever may look at AuditEvents.
///
/// # Errors
/// When the database fails.
pub(super) async fn settle_events(session: &Session) -> Result<(), RestError> {
    let events = &session.events;
    let Some(log) = events
        .log
        .as_ref()
        .filter(|_| events.are_all.get().is_none())
    else {
        return Ok(());
    };
    let may = |access| session.visibility.allows(access_log(), access);
    let may = session.visibility.is_told_of_accesses()
        && (may(Permission::Search) || may(Permission::Read));
    if may {
        let are_all = Box::pin(log.settle(&session.store)).await?;
        // Two entries of a batch that asked at once saw the same.
        let _ = events.are_all.set(are_all);
    }
    Ok(())
}

/// What is said beside AuditEvents that are not all yet: whoever looked could not wait for the rest.
pub(super) fn incomplete(session: &Session) -> Option<Issue> {
    let are_all = session.events.are_all.get().copied().unwrap_or(true);
    (!are_all).then(|| {
        Issue::error(
            "incomplete",
            "There were many accesses since somebody last looked, and the latest of them are not AuditEvents \
             yet. They are being made: ask again in a minute.",
        )
        .warning()
    })
}

/// [`incomplete`] where a search may be about AuditEvents.
pub(super) fn incomplete_search(session: &Session, path: &str, pairs: &Pairs) -> Option<Issue> {
    incomplete(session).filter(|_| may_look(path, pairs))
}

/// What an address names that an event can name too: a type and an id.
pub(super) fn what(route: Route<'_>) -> Option<String> {
    match route {
        Route::Instance(type_id, id)
        | Route::Version(type_id, id, _)
        | Route::InstanceHistory(type_id, id)
        | Route::InstanceOperation(type_id, id, _)
        | Route::VersionOperation(type_id, id, ..)
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
