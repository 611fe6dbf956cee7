//! `candor serve`.

use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::Server;
use crate::clock::Clock;
use crate::config::Config;

/// Arguments of `candor serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Let `PUT /_test/clock` set the server's time. Refuses any address but loopback.
    #[arg(long)]
    test_clock: bool,
}

impl Serve {
    /// Serves until SIGINT or SIGTERM, then stops in good order.
    ///
    /// # Errors
    /// When the server cannot start, or the database could not be closed.
    pub async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let clock = if self.test_clock {
            Clock::test(Clock::system().now())
        } else {
            Clock::system()
        };
        let server = Server::start(config, clock).await?;
        tracing::info!(
            address = %server.address(),
            public_url = &*server.app().public_url,
            database = ?server.app().store.backend(),
            jurisdiction = server.app().config.release.jurisdiction,
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        wait_for_signal().await?;
        tracing::info!("stopping");
        server.stop().await?;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns on the first SIGINT or SIGTERM.
///
/// # Errors
/// When the operating system takes no handler.
pub async fn wait_for_signal() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
