//! [`Lite`] on a file of its own, beside a connection that writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::Lite;
use crate::sql::Sql;

/// Counts far enough to need more than [`AT_ONCE`](super::AT_ONCE).
const LONG: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) \
     SELECT COUNT(*) FROM n";
/// Counts for hours.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n";

fn readers() -> (TempDir, Connection, Arc<Lite>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let writer = Connection::open(&file).unwrap();
    writer
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (a INTEGER, b REAL, c TEXT, d BLOB); \
             INSERT INTO t VALUES (7, 0.5, 'ä', x'00ff'), (NULL, NULL, NULL, NULL);",
        )
        .unwrap();
    (folder, writer, Arc::new(Lite::new(file, 2)))
}

async fn number(lite: &Arc<Lite>, text: &str) -> i64 {
    let rows = lite.select(Sql::new(text)).await.unwrap();
    rows[0].get(0).unwrap()
}

#[tokio::test]
async fn rows_are_what_was_written() {
    let (_folder, _writer, lite) = readers();
    let rows = lite.select(Sql::new("SELECT * FROM t")).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get::<i64>(0).unwrap(), 7);
    assert_eq!(rows[0].get::<i32>(0).unwrap(), 7);
    assert!((rows[0].get::<f64>(1).unwrap() - 0.5).abs() < f64::EPSILON);
    assert_eq!(rows[0].get::<String>(2).unwrap(), "ä");
    assert_eq!(rows[0].bytes(3).unwrap().unwrap().as_ref(), [0, 255]);
    assert_eq!(rows[1].get::<Option<i64>>(0).unwrap(), None);
    assert_eq!(rows[1].bytes(3).unwrap(), None);
    for wrong in [
        rows[0].get::<i64>(2).is_err(),
        rows[1].get::<i64>(0).is_err(),
        rows[0].get::<i64>(4).is_err(),
    ] {
        assert!(wrong);
    }
}

#[tokio::test]
async fn values_go_by_their_number_and_not_by_where_they_stand() {
    let (_folder, _writer, lite) = readers();
    let mut sql = Sql::default();
    let (first, second) = (sql.bind(1_i64), sql.bind("two"));
    let list = sql.bind_list((0..300_i64).map(|number| number * 2));
    sql.text = format!("SELECT {second}, {first}, {second}, 598 IN {list}, 599 IN {list}");
    let rows = lite.select(sql).await.unwrap();
    let texts = (
        rows[0].get::<String>(0).unwrap(),
        rows[0].get::<String>(2).unwrap(),
    );
    assert_eq!(texts, ("two".to_owned(), "two".to_owned()));
    let numbers = [1, 3, 4].map(|at| rows[0].get::<i64>(at).unwrap());
    assert_eq!(numbers, [1, 1, 0]);
}

#[tokio::test]
async fn what_was_committed_is_seen_by_the_next_select() {
    let (_folder, writer, lite) = readers();
    for expected in 2..50 {
        assert_eq!(number(&lite, "SELECT COUNT(*) FROM t").await, expected);
        writer
            .execute_batch("BEGIN; INSERT INTO t (a) VALUES (1)")
            .unwrap();
        assert_eq!(number(&lite, "SELECT COUNT(*) FROM t").await, expected);
        writer.execute_batch("COMMIT").unwrap();
    }
    writer
        .execute_batch("ALTER TABLE t ADD COLUMN e INTEGER DEFAULT 5")
        .unwrap();
    assert_eq!(number(&lite, "SELECT e FROM t").await, 5);
}

#[tokio::test]
async fn a_long_statement_leaves_the_thread_to_others() {
    let (_folder, _writer, lite) = readers();
    let (long, short) = tokio::join!(number(&lite, LONG), async {
        let began = Instant::now();
        (number(&lite, "SELECT 1").await, began.elapsed())
    });
    assert_eq!((long, short.0), (1_000_000, 1));
    // On this one thread, whatever ran at once has let go before a statement of a second could end.
    assert!(short.1 < Duration::from_secs(5), "{:?}", short.1);
}

#[tokio::test]
async fn a_statement_ends_with_whoever_asked() {
    let (_folder, _writer, lite) = readers();
    for _ in 0..8 {
        // More than may be slow at a time: each gives its place back.
        let asked = tokio::time::timeout(Duration::from_millis(30), number(&lite, ENDLESS));
        assert!(asked.await.is_err());
    }
    assert_eq!(number(&lite, LONG).await, 1_000_000);
}

#[tokio::test]
async fn a_lock_is_waited_for() {
    let (_folder, writer, lite) = readers();
    writer
        .execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE",
        )
        .unwrap();
    let (found, ()) = tokio::join!(number(&lite, "SELECT COUNT(*) FROM t"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(writer);
    });
    assert_eq!(found, 2);
}

#[tokio::test]
async fn a_statement_that_fails_harms_no_other() {
    let (_folder, _writer, lite) = readers();
    for wrong in [
        "SELECT nothing FROM t",
        "SELECT",
        "INSERT INTO t (a) VALUES (1)",
    ] {
        let error = lite.select(Sql::new(wrong)).await.unwrap_err().to_string();
        assert!(!error.contains("nothing"), "{error}");
    }
    let mut unbound = Sql::new("SELECT $1");
    unbound.values.clear();
    assert!(lite.select(unbound).await.is_err());
    assert_eq!(number(&lite, "SELECT COUNT(*) FROM t").await, 2);
}

#[tokio::test]
async fn nothing_stays_open_once_it_is_closed() {
    let (folder, writer, lite) = readers();
    assert_eq!(number(&lite, "SELECT COUNT(*) FROM t").await, 2);
    lite.close();
    assert!(lite.select(Sql::new("SELECT 1")).await.is_err());
    drop(writer);
    // The last connection takes the log with it.
    assert!(!folder.path().join("a.db-wal").exists());
}
