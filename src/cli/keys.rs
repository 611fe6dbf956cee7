//! `candor keys`: the keys that sign id_tokens.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Config;
use crate::smart::signing;

/// Arguments of `candor keys`.
#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make new keys and sign with them from now on. The old ones are published for a day more, so that
    /// what they signed still verifies. Running servers notice by themselves.
    Rotate,
}

impl Keys {
    /// Does what the subcommand says on the configured database.
    ///
    /// # Errors
    /// When keys cannot be made, or the database failed.
    pub async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let Command::Rotate = self.command;
        let store = super::store(config).await?;
        let rotated = signing::rotate(&store).await;
        store.close().await?;
        super::print(&serde_json::to_string_pretty(&rotated?)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
