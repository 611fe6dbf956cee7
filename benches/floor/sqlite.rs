//! SQLite through rusqlite: prepared statements on a thread of their own.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::Context as _;
use candor::store::packed::unpack;
use rusqlite::{Connection, OpenFlags, params};
use tokio::sync::oneshot;

use super::serve::{Page, row};
use super::{Lookup, READ, SEARCH, SECRET};

enum Ask {
    Read(String, String, oneshot::Sender<Option<Vec<u8>>>),
    Search(String, oneshot::Sender<Option<Vec<u8>>>),
}

/// The thread, as handlers see it.
#[derive(Clone, Debug)]
pub struct Thread(Sender<Ask>);

impl Thread {
    pub fn start(file: &Path) -> anyhow::Result<Self> {
        let connection = open(file)?;
        let lookup = Lookup::new(&secret(&connection)?)?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || answer(&connection, lookup, &receiver));
        Ok(Self(sender))
    }

    pub async fn read(&self, type_name: String, id: String) -> Option<Vec<u8>> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(Ask::Read(type_name, id, sender)).ok()?;
        receiver.await.ok()?
    }

    pub async fn search(&self, patient: String) -> Option<Vec<u8>> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(Ask::Search(patient, sender)).ok()?;
        receiver.await.ok()?
    }
}

/// Candor's file, with its settings.
pub fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "cache_size", -65536)?;
    connection.pragma_update(None, "mmap_size", 268_435_456)?;
    Ok(connection)
}

/// A copy of Candor's file in which no body is compressed: the floor moves the bytes as they leave.
pub fn plain(file: &Path) -> anyhow::Result<PathBuf> {
    let copy = file.with_extension("floor.db");
    let name = copy.to_str().context("a file name")?;
    open(file)?.execute("VACUUM INTO ?", [name])?;
    let mut connection = Connection::open(&copy)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = connection.transaction()?;
    {
        let mut bodies =
            transaction.prepare("SELECT id, body FROM resource WHERE body IS NOT NULL")?;
        let mut update = transaction.prepare("UPDATE resource SET body = ? WHERE id = ?")?;
        let all: Vec<(i64, Vec<u8>)> = bodies
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (id, body) in all {
            update.execute(params![unpack(body.into())?.as_ref(), id])?;
        }
    }
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(copy)
}

pub fn secret(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row(SECRET, [], |row| row.get(0))
}

fn answer(
    connection: &Connection,
    lookup: Lookup,
    receiver: &Receiver<Ask>,
) -> rusqlite::Result<()> {
    let mut read = connection.prepare(READ)?;
    let mut search = connection.prepare(SEARCH)?;
    while let Ok(ask) = receiver.recv() {
        match ask {
            Ask::Read(type_name, id, sender) => {
                let key = lookup.key(&type_name, &id);
                let body = read.query_row(params![key, id], |row| row.get(0));
                let _ = sender.send(body.ok());
            }
            Ask::Search(patient, sender) => {
                let key = lookup.key("Patient", &patient);
                let mut rows = search.query(params![
                    key,
                    lookup.observation,
                    lookup.category,
                    lookup.laboratory()
                ])?;
                let mut page = Page::default();
                while let Some(found) = rows.next()? {
                    let id = found.get_ref(0)?.as_str()?;
                    let body = found.get_ref(1)?.as_blob()?;
                    row(&mut page, id, body);
                }
                let _ = sender.send(Some(page.finish(&patient)));
            }
        }
    }
    Ok(())
}
