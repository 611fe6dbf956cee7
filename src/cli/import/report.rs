//! What an import says: how far it is, and in the end what was loaded and what was not.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::files::Source;
use crate::fhir::definitions::{TypeId, definitions};

/// How often a line is printed where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// What an import did.
#[derive(Debug, Default)]
pub struct Report {
    /// Resources loaded by this run, by type.
    pub loaded: BTreeMap<TypeId, u64>,
    /// Entries whose `ifNoneExist` found that they are there.
    pub present: u64,
    /// Files of this run.
    pub files: u64,
    /// Files that an earlier run had loaded whole.
    pub earlier: u64,
    /// Files in folders that are nothing to import.
    pub skipped: u64,
    /// What was refused, in this run and in the earlier one that it goes on with.
    pub refused: Vec<Refusal>,
    seconds: f64,
}

/// One file or entry that was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub file: String,
    /// Number of the entry or line, from 1; 0 when the file as a whole was refused.
    pub entry: u64,
    pub reason: String,
}

impl Report {
    /// Whether nothing was refused.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.refused.is_empty()
    }

    /// Resources loaded by this run.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.loaded.values().sum()
    }

    pub(super) fn refuse_file(&mut self, file: &str, reason: &str) {
        self.refused.push(Refusal {
            file: file.to_owned(),
            entry: 0,
            reason: reason.to_owned(),
        });
    }

    pub(super) fn took(&mut self, time: Duration) {
        self.seconds = time.as_secs_f64();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        write!(
            formatter,
            "Loaded {total} resources from {} files in {:.1} s",
            self.files, self.seconds
        )?;
        if total > 0 && self.seconds > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let rate = total as f64 / self.seconds;
            write!(formatter, " ({rate:.0}/s)")?;
        }
        writeln!(formatter, ".")?;
        for (type_id, count) in &self.loaded {
            writeln!(
                formatter,
                "  {:<28} {count:>9}",
                definitions().type_name(*type_id)
            )?;
        }
        if self.present > 0 {
            writeln!(
                formatter,
                "{} entries were there already (ifNoneExist).",
                self.present
            )?;
        }
        if self.earlier > 0 {
            writeln!(
                formatter,
                "{} files had been loaded before; --again loads them once more.",
                self.earlier
            )?;
        }
        if self.skipped > 0 {
            writeln!(
                formatter,
                "{} files in the folders are neither .json nor .ndjson and were left alone.",
                self.skipped
            )?;
        }
        if self.refused.is_empty() {
            return Ok(());
        }
        writeln!(formatter, "Refused {}:", self.refused.len())?;
        // The same reason in one file is said once, with all its entries.
        let mut groups: Vec<(&str, &str, Vec<u64>)> = Vec::new();
        let mut places: HashMap<(&str, &str), usize> = HashMap::new();
        for refusal in &self.refused {
            let place = *places
                .entry((&refusal.file, &refusal.reason))
                .or_insert_with(|| {
                    groups.push((&refusal.file, &refusal.reason, Vec::new()));
                    groups.len() - 1
                });
            if let Some((.., entries)) = groups.get_mut(place) {
                entries.push(refusal.entry);
            }
        }
        for (file, reason, mut entries) in groups {
            entries.sort_unstable();
            match entries[..] {
                [0] => writeln!(formatter, "  {file}: {reason}")?,
                [one] => writeln!(formatter, "  {file}, entry {one}: {reason}")?,
                _ => writeln!(
                    formatter,
                    "  {file}, entries {}: {reason}",
                    ranges(&entries)
                )?,
            }
        }
        Ok(())
    }
}

/// `1-3, 7, 9-12` of a sorted list.
fn ranges(sorted: &[u64]) -> String {
    let mut text = String::new();
    for run in sorted.chunk_by(|left, right| left + 1 >= *right) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&first.to_string());
        if last > first {
            text.push_str(&format!("-{last}"));
        }
    }
    text
}

/// A bar on a terminal, a line now and then elsewhere, or nothing. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Bar(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    drawn: Option<ProgressBar>,
    lines: bool,
    began: Instant,
    size: u64,
    read: AtomicU64,
    resources: AtomicU64,
    /// Milliseconds after `began` at which a line was last printed.
    said: AtomicU64,
}

impl Bar {
    pub(super) fn start(sources: &[Source], wanted: bool) -> Self {
        let size = sources.iter().map(|source| source.size).sum();
        let terminal = wanted && std::io::stderr().is_terminal();
        let drawn = terminal.then(|| {
            let style = ProgressStyle::with_template(
                "{bar:40} {bytes}/{total_bytes}  {msg}  {elapsed}, {eta} left",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(size).with_style(style)
        });
        Self(Arc::new(Inner {
            drawn,
            lines: wanted && !terminal,
            began: Instant::now(),
            size,
            read: AtomicU64::new(0),
            resources: AtomicU64::new(0),
            said: AtomicU64::new(0),
        }))
    }

    /// Bytes were read from a file.
    pub(super) fn read(&self, bytes: u64) {
        self.0.read.fetch_add(bytes, Ordering::Relaxed);
        if let Some(bar) = &self.0.drawn {
            bar.inc(bytes);
        }
    }

    /// Resources were committed.
    pub(super) fn loaded(&self, resources: u64) {
        let inner = &self.0;
        let total = inner.resources.fetch_add(resources, Ordering::Relaxed) + resources;
        if let Some(bar) = &inner.drawn {
            bar.set_message(format!("{total} resources"));
        }
        if inner.lines {
            let now = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
            let said = inner.said.load(Ordering::Relaxed);
            if Duration::from_millis(now - said.min(now)) >= EVERY {
                inner.said.store(now, Ordering::Relaxed);
                let percent = inner.read.load(Ordering::Relaxed) * 100 / inner.size.max(1);
                let _ = writeln!(
                    std::io::stderr(),
                    "{total} resources loaded, {percent} % of the bytes read"
                );
            }
        }
    }

    /// Resources loaded so far.
    pub(super) fn resources(&self) -> u64 {
        self.0.resources.load(Ordering::Relaxed)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.began.elapsed()
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.0.drawn {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_is_said_once() {
        let mut report = Report::default();
        for entry in [1, 2, 3, 7, 9, 10] {
            report.refused.push(Refusal {
                file: "a.ndjson".to_owned(),
                entry,
                reason: "not JSON".to_owned(),
            });
        }
        report.refuse_file("b.json", "no such file");
        let text = report.to_string();
        assert!(
            text.ends_with(
                "Refused 7:\n  a.ndjson, entries 1-3, 7, 9-10: not JSON\n  b.json: no such file\n"
            ),
            "{text}"
        );
        assert!(!report.is_clean());
    }
}
