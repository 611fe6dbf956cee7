//! Taking turns on SQLite, which has one writer: who waits when a write ends goes on in the same
//! transaction of the database, and one commit makes all of them durable.
//!
//! A commit waits for the disk, the longest part of a small write. So each write but the first is a
//! savepoint, which is taken back alone if it fails; and each is told that it is done only after the
//! commit that it shares (docs/consistency.md). The commit comes when nobody waits who waited when the
//! first of them was done; latecomers queue behind it, and [`PATIENCE`] after that nobody begins in it.
//! Who finds nobody waiting commits alone. So does a large write: a commit is the least part of it, and
//! nobody's answer should wait for all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

/// How long others may begin in the transaction of a write that is done.
const PATIENCE: Duration = Duration::from_millis(25);

/// How a write is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// With others, if there are some.
    Small,
    /// Alone.
    Large,
}

impl Size {
    /// Of a write of so many resources.
    pub(super) fn of(resources: usize) -> Self {
        /// Some milliseconds, about as long as a commit takes.
        const SMALL: usize = 16;
        if resources <= SMALL {
            Self::Small
        } else {
            Self::Large
        }
    }
}

/// The queue of writers.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    shared: Arc<Mutex<Shared>>,
    /// How many small ones wait for their turn.
    waiting: Arc<AtomicUsize>,
}

/// What the writer whose turn it is finds.
#[derive(Debug, Default)]
struct Shared {
    /// The transaction that all share; none before the first is done.
    open: Option<DatabaseTransaction>,
    /// Who is done and waits for the commit, and since when the first of them does.
    done: Vec<oneshot::Sender<Result<(), String>>>,
    since: Option<Instant>,
    /// Somebody is in the queue to commit.
    closing: bool,
    #[cfg(test)]
    commits: usize,
}

/// A writer's turn. When it is over, the next writer comes, or the commit.
#[derive(Debug)]
pub(super) struct Turn {
    /// Taken when the turn is over.
    shared: Option<OwnedMutexGuard<Shared>>,
    turns: Turns,
    /// Whether the write is the shared transaction itself, not a savepoint within it.
    first: bool,
    size: Size,
}

/// Counts somebody as waiting, until it is dropped.
struct Waiting<'t>(&'t AtomicUsize);

impl<'t> Waiting<'t> {
    fn one_more(count: &'t AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Turns {
    /// Waits for a turn and begins a write.
    pub(super) async fn next(
        &self,
        on: &DatabaseConnection,
        size: Size,
    ) -> Result<(DatabaseTransaction, Turn), DbErr> {
        let waiting = (size == Size::Small).then(|| Waiting::one_more(&self.waiting));
        let mut turn = Turn {
            shared: Some(self.shared.clone().lock_owned().await),
            turns: self.clone(),
            first: false,
            size,
        };
        drop(waiting);
        let Some(shared) = turn.shared.as_deref_mut() else {
            return Err(DbErr::Custom("a turn that is over".to_owned()));
        };
        let is_late = |since: Instant| size == Size::Large || since.elapsed() > PATIENCE;
        if shared.since.is_some_and(is_late) {
            // A task of its own: who waits here may go away, and others wait for the answer.
            let committed = tokio::spawn(shared.commit()).await;
            committed.map_err(|_| DbErr::Custom("the commit did not end".to_owned()))?;
        }
        let write = match &shared.open {
            Some(open) => open.begin().await?,
            None => {
                turn.first = true;
                on.begin_with_options(TransactionOptions {
                    sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                    ..TransactionOptions::default()
                })
                .await?
            }
        };
        Ok((write, turn))
    }
}

impl Shared {
    /// Commits what is done and tells those who did it.
    fn commit(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let done = std::mem::take(&mut self.done);
        let open = self.open.take();
        self.since = None;
        #[cfg(test)]
        {
            self.commits += usize::from(open.is_some());
        }
        async move {
            let Some(open) = open else { return };
            let result = if done.is_empty() {
                open.rollback().await
            } else {
                open.commit().await
            };
            for one in done {
                // Who does not listen any more went away before the answer.
                let _ = one.send(result.as_ref().map_err(ToString::to_string).copied());
            }
        }
    }
}

impl Turn {
    /// Ends the turn of a write that is done, and waits until it is durable.
    pub(super) async fn durable(mut self, write: DatabaseTransaction) -> Result<(), DbErr> {
        let (sender, receiver) = oneshot::channel();
        let Some(shared) = self.shared.as_deref_mut() else {
            return Err(DbErr::Custom("a turn that is over".to_owned()));
        };
        if !self.first {
            write.commit().await?;
        } else if self.size == Size::Large || self.turns.waiting.load(Ordering::SeqCst) == 0 {
            return write.commit().await;
        } else {
            shared.open = Some(write);
        }
        shared.done.push(sender);
        shared.since.get_or_insert_with(Instant::now);
        drop(self);
        match receiver.await {
            Ok(result) => result.map_err(DbErr::Custom),
            Err(_) => Err(DbErr::Custom("the commit did not come".to_owned())),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut shared) = self.shared.take() else {
            return;
        };
        if shared.open.is_none() || shared.closing {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Nobody is left to answer: without its transaction nothing of it happens.
            shared.open = None;
            return;
        };
        shared.closing = true;
        let shared_by_all = self.turns.shared.clone();
        // In the queue behind those who wait now.
        runtime.spawn(async move {
            let mut shared = shared_by_all.lock_owned().await;
            shared.closing = false;
            shared.commit().await;
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::store::tests::{Fixture, fixtures, op, viewer};
    use crate::store::{Origin, StoreError};
    use crate::visibility::ViewerClass;

    fn basic(id: &str) -> crate::store::Op {
        op(json!({"resourceType": "Basic", "id": id, "code": {"text": "x"}}))
    }

    async fn is_there(fixture: &Fixture, id: &str) -> bool {
        let system = viewer(ViewerClass::System, None);
        match fixture.read(&system, &format!("Basic/{id}")).await {
            Ok(_) => true,
            Err(StoreError::NotFound) => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn writers_that_wait_share_a_commit_and_fail_alone() {
        const WRITERS: usize = 40;
        for fixture in fixtures().await {
            fixture
                .store
                .write(Origin::Api, vec![basic("w7")])
                .await
                .unwrap();
            let before = match &fixture.store.turns {
                Some(turns) => turns.shared.lock().await.commits,
                None => 0,
            };
            let first = fixture.store.writer(Origin::Api).await.unwrap();
            let writers: Vec<_> = (0..WRITERS)
                .map(|at| {
                    let store = fixture.store.clone();
                    tokio::spawn(async move {
                        let mut op = basic(&format!("w{at}"));
                        op.must_be_new = true;
                        // What goes before the refusal in its transaction goes with it.
                        let before = basic(&format!("with{at}"));
                        store.write(Origin::Api, vec![before, op]).await
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            drop(first);
            for (at, writer) in writers.into_iter().enumerate() {
                let result = writer.await.unwrap();
                assert_eq!(result.is_err(), at == 7, "{at}: {result:?}");
                // Who is told that it is done finds it done.
                assert!(is_there(&fixture, &format!("w{at}")).await);
                assert_eq!(is_there(&fixture, &format!("with{at}")).await, at != 7);
            }
            if let Some(turns) = &fixture.store.turns {
                let commits = turns.shared.lock().await.commits - before;
                assert!((1..WRITERS).contains(&commits), "{commits} commits");
            }
        }
    }

    #[tokio::test]
    async fn a_large_write_shares_no_commit() {
        for fixture in fixtures().await {
            let Some(turns) = &fixture.store.turns else {
                continue;
            };
            let first = fixture.store.writer(Origin::Api).await.unwrap();
            let writers: Vec<_> = [("a", 17), ("b", 17), ("c", 1), ("d", 17), ("e", 1)]
                .into_iter()
                .map(|(name, many)| {
                    let store = fixture.store.clone();
                    let ops = (0..many).map(|at| basic(&format!("{name}{at}"))).collect();
                    tokio::spawn(async move { store.write(Origin::Api, ops).await })
                })
                .collect();
            tokio::task::yield_now().await;
            drop(first);
            for writer in writers {
                writer.await.unwrap().unwrap();
            }
            for name in ["a16", "b16", "c0", "d16", "e0"] {
                assert!(is_there(&fixture, name).await, "{name}");
            }
            // At most the two small ones, each once; the large ones commit on their own.
            let commits = turns.shared.lock().await.commits;
            assert!(commits <= 2, "{commits} commits");
        }
    }

    #[tokio::test]
    async fn a_write_that_is_left_alone_never_happened_and_holds_nobody_up() {
        for fixture in fixtures().await {
            let mut left = fixture.store.writer(Origin::Api).await.unwrap();
            left.apply(vec![basic("left")]).await.unwrap();
            let reads_on = left.store();
            drop(left);
            let other = {
                let store = fixture.store.clone();
                tokio::spawn(async move { store.write(Origin::Api, vec![basic("other")]).await })
            };
            tokio::task::yield_now().await;
            drop(reads_on);
            other.await.unwrap().unwrap();
            assert!(is_there(&fixture, "other").await);
            assert!(!is_there(&fixture, "left").await);

            // Nor does it keep the lock of the file, for which other processes wait.
            let mut left = fixture.store.writer(Origin::Api).await.unwrap();
            left.apply(vec![basic("left")]).await.unwrap();
            drop(left);
            let beside = fixture.beside().await;
            beside
                .write(Origin::Api, vec![basic("beside")])
                .await
                .unwrap();
            assert!(is_there(&fixture, "beside").await);
        }
    }
}
