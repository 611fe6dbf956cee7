//! `candor import`: files into the configured database, whether or not a server runs on it.
//!
//! Reader threads parse, resolve and check ([`files`], [`read`], [`bundle`]); one loader writes
//! batches, each in one transaction together with how far each file came ([`load`]). A stopped
//! import of the same files therefore goes on where it was. What is refused is named and the rest
//! is loaded ([`report`]).

mod bundle;
mod condition;
mod files;
mod load;
mod read;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::sync::mpsc;

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::Store;
use files::Source;
use load::Loader;
use read::{Reader, Stage, Unit};
pub use report::Report;

/// Exit status when everything but some refused entries was loaded.
const SOME_REFUSED: u8 = 2;
/// Units that may wait for the loader; bounds memory.
const WAITING: usize = 8;

/// Arguments of `candor import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Bundles (transaction, batch, collection), single resources, NDJSON, plain or gzip; FHIR
    /// packages (.tgz); or folders of these.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Load files again that were loaded before. Their resources become new versions.
    #[arg(long)]
    again: bool,
}

impl Import {
    /// Imports and prints a summary. Exit status 0: all is loaded; 2: some entries were refused.
    ///
    /// # Errors
    /// When the database fails. What was loaded until then stays, and the same command goes on
    /// from there.
    pub async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let public_url = config.public_url(config.bind);
        let app = App::open_beside(Arc::new(config), public_url, Clock::system()).await?;
        let report = import(&app.store, &self.paths, self.again, true).await;
        let closed = app.store.close().await;
        let report = report?;
        closed?;
        super::print(&report.to_string())?;
        Ok(if report.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(SOME_REFUSED)
        })
    }
}

/// Loads everything under `paths`. `progress`: show on standard error how far it is.
///
/// # Errors
/// When the database fails.
pub async fn import(
    store: &Store,
    paths: &[PathBuf],
    again: bool,
    progress: bool,
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let sources = files::find(paths, &mut report);
    let bar = report::Bar::start(&sources, progress);
    let mut loader = Loader::new(store, report, bar.clone());
    let mut left = sources;
    for stage in Stage::ALL {
        left = pass(&mut loader, left, again, stage, &bar).await?;
    }
    debug_assert!(left.is_empty(), "the last stage takes everything");
    // What was planned for an empty table must not stay planned for it.
    store.settle_in(bar.resources()).await?;
    bar.finish();
    Ok(loader.finish())
}

/// Reads all sources in threads and loads what they give. Returns the sources that were postponed.
async fn pass(
    loader: &mut Loader<'_>,
    sources: Vec<Source>,
    again: bool,
    stage: Stage,
    bar: &report::Bar,
) -> anyhow::Result<Vec<Source>> {
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let progress = loader.progress().await?;
    let (sender, mut receiver) = mpsc::channel::<Unit>(WAITING);
    let reader = Arc::new(Reader::new(
        sources,
        progress,
        again,
        stage,
        loader.indexer(),
        bar.clone(),
    ));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let readers: Vec<_> = (0..threads)
        .map(|_| {
            let (reader, sender) = (reader.clone(), sender.clone());
            tokio::task::spawn_blocking(move || reader.run(&sender))
        })
        .collect();
    drop(sender);
    while let Some(unit) = receiver.recv().await {
        loader.take(unit).await?;
    }
    loader.flush().await?;
    for reader in readers {
        reader.await?;
    }
    Ok(reader.postponed())
}
