//! Reader threads: from bytes to entries that are parsed, given their ids and checked.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use super::bundle;
use super::files::Source;
use super::report::Bar;
use crate::fhir::definitions::TypeId;
use crate::fhir::json;
use crate::store::{Indexed, Indexer};

/// Lines of NDJSON that go to the loader together.
const LINES: usize = 200;
/// Longest line or file that is read into memory, in bytes.
const LONGEST: u64 = 1 << 30;

/// What a pass takes. A condition can only be answered once what it may mean is there, so files
/// that have some come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// No conditions.
    Plain,
    /// `ifNoneExist` and conditional updates: these may create what others refer to.
    Writes,
    /// Conditional references.
    References,
}

impl Stage {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Writes, Self::References];
}

/// How far a file came, in this or an earlier run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Entries behind us.
    pub(super) done: u64,
    pub(super) finished: bool,
}

/// Some entries of one file, in order.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) source: Arc<str>,
    /// SHA-256 of the content, hex: the file's name in the database.
    pub(super) hash: Arc<str>,
    pub(super) entries: Vec<Entry>,
    /// Whether entries have conditions that only the database can answer.
    pub(super) conditional: bool,
    /// Whether these are the first entries of this pass.
    pub(super) first: bool,
    /// Whether an earlier pass of this run took the entries before these.
    pub(super) continued: bool,
    /// Whether no more follow.
    pub(super) last: bool,
    /// The file was loaded by an earlier run; there are no entries.
    pub(super) earlier: bool,
    /// What earlier runs said of the file is to be forgotten.
    pub(super) afresh: bool,
    /// Entries up to this number were taken by an earlier run and are here for their conditions.
    pub(super) done: u64,
}

/// One entry of a bundle, line of NDJSON, or single resource.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number in the file, from 1.
    pub(super) number: u64,
    /// What to write, or why not.
    pub(super) outcome: Result<Prepared, String>,
}

/// A write as it can be known without the database.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) type_id: TypeId,
    pub(super) id: String,
    /// None: delete.
    pub(super) resource: Option<Value>,
    /// Query of `ifNoneExist` or of a conditional update.
    pub(super) condition: Option<bundle::Condition>,
    /// Index rows, where no condition may yet change the resource.
    pub(super) indexed: Option<Indexed>,
}

/// What the reader threads share.
pub(super) struct Reader {
    sources: Vec<Source>,
    next: AtomicUsize,
    progress: HashMap<String, Progress>,
    again: bool,
    stage: Stage,
    indexer: Indexer,
    postponed: Mutex<Vec<(usize, Source)>>,
    bar: Bar,
}

impl Reader {
    pub(super) fn new(
        sources: Vec<Source>,
        progress: HashMap<String, Progress>,
        again: bool,
        stage: Stage,
        indexer: Indexer,
        bar: Bar,
    ) -> Self {
        Self {
            sources,
            next: AtomicUsize::new(0),
            progress,
            again,
            stage,
            indexer,
            postponed: Mutex::new(Vec::new()),
            bar,
        }
    }

    /// One thread's work: files until there are none, or nobody listens any more.
    pub(super) fn run(&self, sender: &Sender<Unit>) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(source) = self.sources.get(at) else {
                return;
            };
            let mut file = Feed {
                reader: self,
                at,
                source,
                hash: Arc::from(""),
                sender,
                sent: false,
                done: 0,
            };
            let result = file.hash().and_then(|()| file.read());
            let outcome = match result {
                Ok(open) => open,
                Err(error) => file.send(
                    vec![refused(0, format!("cannot be read: {error}"))],
                    false,
                    true,
                ),
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    /// The sources that are for a later pass, in their order.
    pub(super) fn postponed(&self) -> Vec<Source> {
        let mut postponed = std::mem::take(
            &mut *self
                .postponed
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        postponed.sort_by_key(|(at, _)| *at);
        postponed.into_iter().map(|(_, source)| source).collect()
    }
}

/// The loader is gone.
struct Closed;

/// One file on its way to the loader.
struct Feed<'r> {
    reader: &'r Reader,
    at: usize,
    source: &'r Source,
    hash: Arc<str>,
    sender: &'r Sender<Unit>,
    sent: bool,
    /// Entries that the database has already.
    done: u64,
}

impl Feed<'_> {
    fn hash(&mut self) -> io::Result<()> {
        let mut content = self.source.open(None)?;
        let mut context = digest::Context::new(&digest::SHA256);
        let mut buffer = vec![0_u8; 1 << 16];
        loop {
            let count = content.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            context.update(buffer.get(..count).unwrap_or_default());
        }
        self.hash = hex(context.finish().as_ref()).into();
        Ok(())
    }

    fn read(&mut self) -> io::Result<Result<(), Closed>> {
        let mut progress = Progress::default();
        if !self.reader.again || self.source.start > 0 {
            progress = self
                .reader
                .progress
                .get(&*self.hash)
                .copied()
                .unwrap_or_default();
        }
        if progress.finished && self.source.start == 0 {
            self.reader.bar.read(match self.source.place {
                super::files::Place::File(_) => self.source.size,
                super::files::Place::Member(_) => 0,
            });
            return Ok(self.unit(Vec::new(), false, true, true));
        }
        let start = progress.done.max(self.source.start);
        self.done = start;
        let content = self.source.open(Some(&self.reader.bar))?;
        if self.source.is_lines() {
            return self.lines(BufReader::with_capacity(1 << 16, content), start);
        }
        let mut bytes = Vec::new();
        content.take(LONGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LONGEST {
            return Ok(self.send(vec![refused(0, TOO_LONG.to_owned())], false, true));
        }
        match json::parse_resource(&bytes) {
            Ok(resource) => Ok(self.whole(resource, start)),
            // NDJSON by another name.
            Err(_) if first_line_is_json(&bytes) => self.lines(&bytes[..], start),
            Err(issue) => Ok(self.send(vec![refused(0, issue.diagnostics)], false, true)),
        }
    }

    /// A bundle or a single resource.
    fn whole(&mut self, resource: Value, start: u64) -> Result<(), Closed> {
        let entries = bundle::entries(resource, &self.hash);
        let stage = entries
            .iter()
            .map(Entry::stage)
            .max()
            .unwrap_or(Stage::Plain);
        if stage > self.reader.stage {
            self.postpone(0);
            return Ok(());
        }
        let conditional = stage > Stage::Plain;
        // A bundle with conditions goes to the loader whole: what they mean must be asked again.
        let skip = if conditional {
            0
        } else {
            usize::try_from(start).unwrap_or(usize::MAX)
        };
        self.send(entries.into_iter().skip(skip).collect(), conditional, true)
    }

    fn lines(&mut self, mut content: impl BufRead, start: u64) -> io::Result<Result<(), Closed>> {
        let mut entries = Vec::with_capacity(LINES);
        let mut number = 0;
        let mut line = Vec::new();
        let mut conditional = false;
        loop {
            line.clear();
            let count = (&mut content)
                .take(LONGEST + 1)
                .read_until(b'\n', &mut line)?;
            if count == 0 {
                break;
            }
            number += 1;
            if number <= start {
                continue;
            }
            let entry = if line.len() as u64 > LONGEST {
                refused(number, TOO_LONG.to_owned())
            } else if line.trim_ascii().is_empty() {
                // Kept, so that positions are line numbers.
                Entry::blank(number)
            } else {
                match json::parse_resource(&line) {
                    Ok(resource) => bundle::single(resource, number, &self.hash),
                    Err(issue) => refused(number, issue.diagnostics),
                }
            };
            if entry.stage() > Stage::Plain {
                if entry.stage() > self.reader.stage {
                    self.postpone(number - 1);
                    if entries.is_empty() {
                        return Ok(Ok(()));
                    }
                    return Ok(self.send(entries, false, false));
                }
                conditional = true;
            }
            entries.push(entry);
            if entries.len() >= LINES {
                let full = std::mem::replace(&mut entries, Vec::with_capacity(LINES));
                if self
                    .send(full, std::mem::take(&mut conditional), false)
                    .is_err()
                {
                    return Ok(Err(Closed));
                }
            }
        }
        Ok(self.send(entries, conditional, true))
    }

    fn postpone(&self, start: u64) {
        let source = Source {
            start: self.source.start.max(start),
            // Its bytes were counted.
            size: 0,
            ..self.source.clone()
        };
        self.reader
            .postponed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((self.at, source));
    }

    fn send(&mut self, entries: Vec<Entry>, conditional: bool, last: bool) -> Result<(), Closed> {
        self.unit(entries, conditional, last, false)
    }

    fn unit(
        &mut self,
        mut entries: Vec<Entry>,
        conditional: bool,
        last: bool,
        earlier: bool,
    ) -> Result<(), Closed> {
        if !conditional {
            for entry in &mut entries {
                if let Ok(prepared) = &mut entry.outcome {
                    prepared.index(&self.reader.indexer);
                }
            }
        }
        let first = !std::mem::replace(&mut self.sent, true);
        self.sender
            .blocking_send(Unit {
                source: self.source.name.clone(),
                hash: self.hash.clone(),
                entries,
                conditional,
                first,
                continued: self.source.start > 0,
                last,
                earlier,
                afresh: first && self.reader.again && self.source.start == 0,
                done: self.done,
            })
            .map_err(|_| Closed)
    }
}

impl Prepared {
    /// Computes the index rows here, while the loader waits for the database.
    fn index(&mut self, indexer: &Indexer) {
        if let Some(resource) = &mut self.resource {
            self.indexed = Some(indexer.index(self.type_id, &self.id, resource));
        }
    }
}

const TOO_LONG: &str = "longer than 1 GiB";

impl Entry {
    /// The first pass that can take it.
    fn stage(&self) -> Stage {
        match &self.outcome {
            Ok(Prepared {
                resource: Some(resource),
                ..
            }) if bundle::has_conditional_reference(resource) => Stage::References,
            Ok(Prepared {
                condition: Some(_), ..
            }) => Stage::Writes,
            _ => Stage::Plain,
        }
    }

    /// A line without anything on it.
    fn blank(number: u64) -> Self {
        Self {
            number,
            outcome: Err(String::new()),
        }
    }

    /// Whether this is an empty line, nothing to load or to complain about.
    pub(super) fn is_blank(&self) -> bool {
        self.outcome.as_ref().is_err_and(String::is_empty)
    }
}

fn refused(number: u64, reason: String) -> Entry {
    Entry {
        number,
        outcome: Err(reason),
    }
}

fn first_line_is_json(bytes: &[u8]) -> bool {
    bytes
        .split(|byte| *byte == b'\n')
        .next()
        .is_some_and(|line| line.len() < bytes.len() && json::parse_resource(line).is_ok())
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| DIGITS.get(usize::from(digit)))
        .collect()
}
