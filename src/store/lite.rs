//! SELECTs on a SQLite file without a driver between: prepared statements of connections of our
//! own, run where the request runs.
//!
//! A statement that finds its rows by an index takes microseconds; handing it to another thread and
//! its rows back costs more than that. So it runs at once, on the thread of the request, for
//! [`AT_ONCE`] at most; one that needs longer, or meets a lock, begins again on a thread where it may
//! block. Every SELECT sees all that was committed before it began: WAL, and no transaction around it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use sea_orm::{DbBackend, DbErr, RuntimeErr, Value};
use tokio::sync::Semaphore;

use super::select::{self, Selected};
use crate::sql::Sql;

/// How long a statement may keep a thread that serves requests.
const AT_ONCE: Duration = Duration::from_millis(2);
/// Steps of SQLite's machine between two looks at the clock: some 20 µs.
const STEPS: i32 = 1_000;
/// How long a statement waits for a lock: `candor import` may hold it for a while.
const BUSY: Duration = Duration::from_secs(60);
/// Bytes of rows that are made room for before they are known.
const LEAST: usize = 4 << 10;
const MOST: usize = 256 << 10;
/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 200;

/// The readers of one file.
#[derive(Debug)]
pub struct Lite {
    file: PathBuf,
    idle: Mutex<Vec<Connected>>,
    /// Those for statements that take long, see [`Room`].
    idle_slow: Mutex<Vec<Connected>>,
    /// So many of each kind are kept when nobody uses them.
    kept: usize,
    /// Statements that may block at the same time.
    slow: Semaphore,
    is_closed: AtomicBool,
}

/// A connection whose statements stop when its time is over.
#[derive(Debug)]
struct Connected {
    connection: Connection,
    clock: Arc<Clock>,
    /// Of the rows of its last statement.
    bytes: Cell<usize>,
}

/// Memory of a connection. What is mapped counts once for each connection that maps it, so only those
/// that answer nearly everything map, and not all of a large file.
#[derive(Clone, Copy, Debug)]
struct Room {
    cache_kib: i64,
    mapped_bytes: i64,
}

/// Of a connection whose statements run where the request runs: one for each processor.
const AT_HAND: Room = Room {
    cache_kib: 16 << 10,
    mapped_bytes: 64 << 20,
};
/// Of one whose statements take long anyway.
const SLOW: Room = Room {
    cache_kib: 4 << 10,
    mapped_bytes: 0,
};

/// When the statement that runs has to stop.
#[derive(Debug)]
struct Clock {
    zero: Instant,
    /// Nanoseconds since `zero`; 0: never.
    end: AtomicU64,
}

impl Clock {
    fn set(&self, patience: Option<Duration>) {
        let end = patience.map_or(0, |patience| nanoseconds(self.zero.elapsed() + patience));
        self.end.store(end, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        let end = self.end.load(Ordering::Relaxed);
        end != 0 && nanoseconds(self.zero.elapsed()) > end
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Ends a statement on another thread whose caller went away.
#[derive(Debug, Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A SELECT with its values.
#[derive(Debug)]
struct Ask {
    text: String,
    values: Vec<Value>,
}

impl Lite {
    /// Readers of this file, of which so many may wait or work for long. Opens it when first asked.
    pub fn new(file: PathBuf, slow: u32) -> Self {
        Self {
            file,
            idle: Mutex::default(),
            idle_slow: Mutex::default(),
            kept: std::thread::available_parallelism().map_or(2, usize::from),
            slow: Semaphore::new(usize::try_from(slow).unwrap_or(usize::MAX).max(1)),
            is_closed: AtomicBool::new(false),
        }
    }

    /// All rows of a SELECT.
    pub async fn select(self: &Arc<Self>, sql: Sql) -> Result<Vec<Selected>, DbErr> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(closed());
        }
        let statement = sql.statement(DbBackend::Sqlite);
        let ask = Ask {
            text: statement.sql,
            values: statement.values.map(|values| values.0).unwrap_or_default(),
        };
        match self.run(&ask, None) {
            Err(error) if is_for_later(&error) => {}
            answer => return answer.map_err(|error| problem(&error)),
        }
        let _turn = self.slow.acquire().await.map_err(|_| closed())?;
        let abandoned = Abandoned::default();
        let (own, stop) = (self.clone(), abandoned.0.clone());
        let answer = tokio::task::spawn_blocking(move || own.run(&ask, Some(stop))).await;
        drop(abandoned);
        match answer {
            Ok(answer) => answer.map_err(|error| problem(&error)),
            Err(_) => Err(closed()),
        }
    }

    /// Closes the connections; those at work close when they are done.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.clear();
    }

    fn clear(&self) {
        self.idle(false).clear();
        self.idle(true).clear();
    }

    fn idle(&self, is_slow: bool) -> std::sync::MutexGuard<'_, Vec<Connected>> {
        let idle = if is_slow { &self.idle_slow } else { &self.idle };
        idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a SELECT on a connection that nobody uses. `stop`: what ends it, where it may take long.
    fn run(&self, ask: &Ask, stop: Option<Arc<AtomicBool>>) -> rusqlite::Result<Vec<Selected>> {
        let is_slow = stop.is_some();
        let idle = self.idle(is_slow).pop();
        let connected = match idle {
            Some(connected) => connected,
            None if is_slow => Connected::open(&self.file, BUSY, SLOW)?,
            None => Connected::open(&self.file, Duration::ZERO, AT_HAND)?,
        };
        let answer = match stop {
            None => connected.rows_at_once(ask),
            Some(stop) => connected.rows_in_time(ask, stop),
        };
        // One that failed otherwise than by being stopped may be broken.
        let is_sound = answer.as_ref().err().is_none_or(is_for_later);
        if is_sound && !self.is_closed.load(Ordering::SeqCst) {
            let mut idle = self.idle(is_slow);
            if idle.len() < self.kept {
                idle.push(connected);
            }
            drop(idle);
            if self.is_closed.load(Ordering::SeqCst) {
                self.clear();
            }
        }
        answer
    }
}

impl Connected {
    /// `busy`: how long it may wait for a lock meanwhile.
    fn open(file: &Path, busy: Duration, room: Room) -> rusqlite::Result<Self> {
        // Not read-only: a reader may have to recover the log of a process that died.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)?;
        connection.busy_timeout(busy)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -room.cache_kib)?;
        connection.pragma_update(None, "mmap_size", room.mapped_bytes)?;
        connection.pragma_update(None, "temp_store", "memory")?;
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let clock = Arc::new(Clock {
            zero: Instant::now(),
            end: AtomicU64::new(0),
        });
        let connected = Self {
            connection,
            clock,
            bytes: Cell::new(LEAST),
        };
        connected.watch_clock()?;
        Ok(connected)
    }

    fn watch_clock(&self) -> rusqlite::Result<()> {
        let clock = self.clock.clone();
        self.connection
            .progress_handler(STEPS, Some(move || clock.is_over()))
    }

    fn rows_at_once(&self, ask: &Ask) -> rusqlite::Result<Vec<Selected>> {
        self.clock.set(Some(AT_ONCE));
        self.rows(ask)
    }

    fn rows_in_time(&self, ask: &Ask, stop: Arc<AtomicBool>) -> rusqlite::Result<Vec<Selected>> {
        self.connection.busy_timeout(BUSY)?;
        let is_over = move || stop.load(Ordering::Relaxed);
        self.connection.progress_handler(STEPS, Some(is_over))?;
        let rows = self.rows(ask);
        self.watch_clock()?;
        self.connection.busy_timeout(Duration::ZERO)?;
        rows
    }

    fn rows(&self, ask: &Ask) -> rusqlite::Result<Vec<Selected>> {
        let mut statement = self.connection.prepare_cached(&ask.text)?;
        // SQLite numbers `$2` by where it stands first, not by its name.
        for at in 1..=statement.parameter_count() {
            let value = statement
                .parameter_name(at)
                .and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok())
                .and_then(|number| ask.values.get(number.checked_sub(1)?));
            bind(&mut statement, at, value)?;
        }
        let columns = statement.column_count();
        let mut cells = Vec::with_capacity(columns);
        // As much as the last time: growing costs a copy each time.
        let mut bytes: Vec<u8> = Vec::with_capacity(self.bytes.get());
        let mut keep = |part: &[u8]| {
            let from = bytes.len();
            bytes.extend_from_slice(part);
            Copy::Bytes(from, bytes.len())
        };
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            for at in 0..columns {
                cells.push(match row.get_ref(at)? {
                    ValueRef::Null => Copy::Null,
                    ValueRef::Integer(value) => Copy::Int(value),
                    ValueRef::Real(value) => Copy::Real(value),
                    ValueRef::Text(part) | ValueRef::Blob(part) => keep(part),
                });
            }
        }
        drop(rows);
        self.bytes.set(bytes.len().clamp(LEAST, MOST));
        let count = cells.len().checked_div(columns).unwrap_or(0);
        let page = Arc::new(Page {
            columns,
            cells,
            bytes: bytes.into(),
        });
        Ok((0..count)
            .map(|row| {
                let page = page.clone();
                Selected::copied(Copied { page, row })
            })
            .collect())
    }
}

fn bind(
    statement: &mut rusqlite::Statement<'_>,
    at: usize,
    value: Option<&Value>,
) -> rusqlite::Result<()> {
    match value {
        Some(Value::BigInt(value)) => statement.raw_bind_parameter(at, value),
        Some(Value::Int(value)) => statement.raw_bind_parameter(at, value),
        Some(Value::SmallInt(value)) => statement.raw_bind_parameter(at, value),
        Some(Value::TinyInt(value)) => statement.raw_bind_parameter(at, value),
        Some(Value::Bool(value)) => statement.raw_bind_parameter(at, value),
        Some(Value::Double(value)) => statement.raw_bind_parameter(at, value),
        Some(Value::String(value)) => statement.raw_bind_parameter(at, value.as_deref()),
        Some(Value::Bytes(value)) => statement.raw_bind_parameter(at, value.as_deref()),
        // What no statement of ours binds: better an error than another answer.
        _ => Err(rusqlite::Error::InvalidParameterCount(at, at)),
    }
}

/// Interrupted, or a lock in the way.
fn is_for_later(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::OperationInterrupted | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Without the statement's text.
fn problem(error: &rusqlite::Error) -> DbErr {
    let words = match error.sqlite_error() {
        Some(code) => format!("SQLite: {code}"),
        None => "SQLite: a value that it does not take".to_owned(),
    };
    DbErr::Query(RuntimeErr::Internal(words))
}

fn closed() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("the database is closed".to_owned()))
}

/// Rows that were copied out of SQLite, their bytes in one piece.
#[derive(Debug)]
struct Page {
    columns: usize,
    cells: Vec<Copy>,
    bytes: Bytes,
}

/// A cell; text and bytes as their place in [`Page::bytes`].
#[derive(Clone, Copy, Debug)]
enum Copy {
    Null,
    Int(i64),
    Real(f64),
    Bytes(usize, usize),
}

/// A row of a [`Page`].
#[derive(Clone, Debug)]
pub struct Copied {
    page: Arc<Page>,
    row: usize,
}

impl Copied {
    /// The cell of a column; None where there is no such column.
    pub(super) fn cell(&self, at: usize) -> Option<select::Cell<'_>> {
        Some(match self.copy(at)? {
            Copy::Null => select::Cell::Null,
            Copy::Int(value) => select::Cell::Int(value),
            Copy::Real(value) => select::Cell::Real(value),
            Copy::Bytes(from, to) => select::Cell::Text(self.page.bytes.get(from..to)?),
        })
    }

    /// The bytes of a column without another copy; None where it holds something else.
    pub(super) fn bytes(&self, at: usize) -> Option<Option<Bytes>> {
        match self.copy(at)? {
            Copy::Null => Some(None),
            Copy::Bytes(from, to) => Some(Some(self.page.bytes.slice(from..to))),
            _ => None,
        }
    }

    fn copy(&self, at: usize) -> Option<Copy> {
        if at >= self.page.columns {
            return None;
        }
        let place = self.row * self.page.columns + at;
        self.page.cells.get(place).copied()
    }
}

#[cfg(test)]
mod tests;
