//! `candor reindex`: the index of the configured database built again, beside a server that answers
//! and writes. Stopped, the same command goes on where it was; a running server goes on by itself.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::app::{App, reindex};
use crate::clock::Clock;
use crate::config::Config;
use crate::fhir::definitions::definitions;
use crate::store::{Reindexer, Step, Store};

/// Between two looks at what a server does.
const LOOK: Duration = Duration::from_millis(200);
/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// Arguments of `candor reindex`.
#[derive(Debug, Args)]
pub struct Reindex {
    /// The database instead of the configured one.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Only resources of this type; may be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
}

impl Reindex {
    /// Builds until everything is built, here or in the server that has the work.
    ///
    /// # Errors
    /// When a type is none, or the database fails.
    pub async fn run(self, mut config: Config) -> anyhow::Result<ExitCode> {
        if let Some(url) = self.database {
            config.database_url = url;
        }
        let mut types = Vec::new();
        for name in &self.types {
            let type_id = definitions().type_id(name);
            types.push(type_id.ok_or_else(|| {
                anyhow::anyhow!(
                    "{name} is no resource type of FHIR R4. Use a name such as Observation"
                )
            })?);
        }
        let public_url = config.public_url(config.bind);
        let store = App::connect(&config, &public_url, Clock::system()).await?;
        let bar = Bar::start();
        let began = Instant::now();
        let built = if store.is_index_old().await? {
            // Everything is built anyway.
            reindex::build(&store, &|done, total| bar.at(done, total)).await
        } else {
            again(&store, &types, &bar).await
        };
        bar.finish();
        let closed = store.close().await;
        built?;
        closed?;
        let seconds = began.elapsed().as_secs_f64();
        super::print(&format!("The index is built ({seconds:.1} s)."))?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn again(
    store: &Store,
    types: &[crate::fhir::definitions::TypeId],
    bar: &Bar,
) -> anyhow::Result<()> {
    store.learn().await?;
    let own = store.request_reindex(types).await?;
    let mut hands = Reindexer::new(store.clone());
    loop {
        let step = hands.step().await?;
        let jobs = store.reindex_jobs().await?;
        match jobs.iter().find(|job| job.id == own) {
            Some(job) if job.finished.is_none() => bar.at(job.done, job.total),
            _ => break,
        }
        if step != Step::Worked {
            tokio::time::sleep(LOOK).await;
        }
    }
    hands.rest().await?;
    Ok(())
}

/// Progress on standard error: a bar on a terminal, a line now and then elsewhere.
struct Bar {
    drawn: Option<ProgressBar>,
    said: Mutex<Instant>,
}

impl Bar {
    fn start() -> Self {
        let drawn = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{bar:40} {pos}/{len} resources  {elapsed}, {eta} left",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style)
        });
        Self {
            drawn,
            said: Mutex::new(Instant::now()),
        }
    }

    fn at(&self, done: i64, total: i64) {
        let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
        let total = total.max(done);
        if let Some(bar) = &self.drawn {
            bar.set_length(unsigned(total));
            bar.set_position(unsigned(done));
            return;
        }
        let mut said = self
            .said
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.elapsed() >= EVERY {
            *said = Instant::now();
            let _ = writeln!(std::io::stderr(), "{done} of {total} resources indexed");
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.drawn {
            bar.finish_and_clear();
        }
    }
}
