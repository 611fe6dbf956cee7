//! Databases for servers under test.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// A database of its own, dropped with it.
#[derive(Debug)]
pub struct Database {
    pub url: String,
    /// The URL to create and drop through, and the name; none for SQLite.
    made: Option<(String, String)>,
}

impl Database {
    /// A file in a folder, or a database that is made through a PostgreSQL URL.
    pub async fn new(wanted: &str, directory: &Path) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if wanted == "sqlite" {
            let url = format!("sqlite://{}/candor.db", directory.display());
            return Ok(Self { url, made: None });
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("conformance_{}_{number}", std::process::id());
        let output = Command::new("psql")
            .args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-c"])
            .arg(format!("CREATE DATABASE {name}"))
            .arg(wanted)
            .output()
            .await
            .context("psql, which makes the databases, could not be started")?;
        ensure!(
            output.status.success(),
            "psql: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut url = url::Url::parse(wanted).context("--database is no URL")?;
        url.set_path(&name);
        Ok(Self {
            url: url.to_string(),
            made: Some((wanted.to_owned(), name)),
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some((url, name)) = &self.made {
            // FORCE ends the connections of the server that was just killed.
            let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let _ = std::process::Command::new("psql")
                .args(["-q", "-X", "-c", &drop, url])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}
